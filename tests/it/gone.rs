//! Documents of a mirror that the provider no longer lists.

use crate::support::raw::{Raw, api, reply};
use crate::support::services::Service;
use crate::support::{Run, World};
use docfetch::sandbox::Document;
use serde_json::{Value, json};

/// A mirror `m` of the documents `a` to `d`, of which `d` was removed from the disk afterwards.
fn mirrored() -> (Service, World) {
    let documents = ["a", "b", "c", "d"].map(|id| {
        let name = format!("{id}.pdf");
        Document::new(&name, id).with_id(id)
    });
    let service = Service::start(documents.into(), &[]);
    let world = service.world();
    let run = world.run(&["sync", "sm", "m", "--json"]);
    assert_eq!(run.exits(0).records().pop().unwrap()["gone"], 0);
    std::fs::remove_file(world.out().join("m/d.pdf")).unwrap();
    (service, world)
}

/// A service that lists these rows, and says that there are `count`.
fn listing(rows: Value, count: usize) -> Raw {
    Raw::start(move |request, stream| match request.path() {
        "/v1/documents/" => {
            let page = json!({"count": count, "next": null, "results": rows});
            reply(stream, "200 OK", &[], page.to_string().as_bytes());
        }
        _ => api(request, stream, ""),
    })
}

fn row(id: &str) -> Value {
    json!({"id": id, "name": format!("{id}.pdf"), "uploaded_at": "2026-10-01T08:30:00Z"})
}

/// Runs `sync` against a service that lists `rows`.
fn sync(world: &mut World, rows: Value, count: usize, options: &[&str]) -> Run {
    let server = listing(rows, count);
    let mut arguments = vec!["sync", "sm", "m", "--retries", "0"];
    arguments.extend(options);
    world.set("STANDARD_METRICS_API_BASE", &server.base());
    world.run(&arguments)
}

fn gone(run: &Run) -> Vec<String> {
    let records = run.records().into_iter();
    let gone = records.filter(|record| record["status"] == "gone");
    gone.map(|record| record["path"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_sync_tells_which_documents_the_provider_no_longer_lists_and_keeps_their_files() {
    let (_service, mut world) = mirrored();
    for dry_run in [&[][..], &["--dry-run"]] {
        let run = sync(&mut world, json!([row("b")]), 1, dry_run);
        run.exits(0)
            .says("gone: m/a.pdf: the provider no longer lists a; the file stays\ngone: m/c.pdf: ")
            .says("1 skipped, 0 failed, 2 gone");
        assert_eq!(run.stdout, "m/b.pdf\n");
        let run = sync(
            &mut world,
            json!([row("b")]),
            1,
            &[dry_run, &["--json"]].concat(),
        );
        assert_eq!(gone(run.exits(0)), ["m/a.pdf", "m/c.pdf"]);
        let records = run.records();
        assert_eq!(records[1]["bytes"], 1);
        assert_eq!(records.last().unwrap()["gone"], 2);
        let run = sync(
            &mut world,
            json!([row("b")]),
            1,
            &[dry_run, &["-q"]].concat(),
        );
        assert_eq!(
            (run.exits(0).stderr.as_str(), run.stdout.as_str()),
            ("", "m/b.pdf\n")
        );
    }
    assert_eq!(world.read("m/a.pdf"), b"a");
    // A document that is listed again is as any other.
    let run = sync(
        &mut world,
        json!([row("a"), row("b"), row("c")]),
        3,
        &["--json"],
    );
    assert!(gone(run.exits(0)).is_empty());
}

#[test]
fn a_document_is_gone_only_when_the_whole_list_was_read() {
    let (_service, mut world) = mirrored();
    let all = || json!([row("b")]);
    for options in [
        &["--match", "b"][..],
        &["--since", "2020-01-01"],
        &["--company", "c1"],
        &["--limit", "1"],
        &["--limit", "100"],
    ] {
        let run = sync(&mut world, all(), 1, &[&["--json"], options].concat());
        run.exits(0);
        assert!(gone(&run).is_empty(), "{options:?}");
        assert_eq!(
            run.records().pop().unwrap().get("gone"),
            None,
            "{options:?}"
        );
    }
    // The list ends early; a row cannot be read; a document stops the run.
    let run = sync(&mut world, all(), 2, &["--json"]);
    assert!(gone(run.exits(0)).is_empty());
    let run = sync(
        &mut world,
        json!([row("b"), {"name": "a.pdf"}]),
        2,
        &["--json"],
    );
    assert!(gone(run.exits(5)).is_empty());
    let new: Value = (0..300)
        .map(|number| row(&format!("new{number}")))
        .collect();
    let run = sync(&mut world, new, 300, &["--json", "--fail-fast"]);
    assert!(gone(run.exits(5)).is_empty());
}
