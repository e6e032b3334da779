//! The names of companies at Standard Metrics, which a list of its own gives.

use crate::support::World;
use crate::support::raw::{Raw, api, presigned, reply};
use serde_json::json;
use std::sync::{Arc, Mutex};

/// A server with three documents of two companies, and the paths of its requests for lists. Where `has_companies` is false,
/// it refuses the list of companies.
fn server(has_companies: bool) -> (Raw, World, Arc<Mutex<Vec<String>>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let base = format!("http://{address}");
    let lists: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&lists);
    let server = Raw::start_at(address, move |request, stream| {
        let path = request.path().trim_end_matches('/').to_owned();
        if path.ends_with("/documents") || path.ends_with("/companies") {
            noted.lock().unwrap().push(path.clone());
        }
        if path.ends_with("/documents") {
            let row = |id: &str, company: Option<&str>| json!({"id": id, "name": id, "uploaded_at": "1", "company_id": company});
            let rows = [row("a", Some("7")), row("b", Some("8")), row("c", None)];
            reply(
                stream,
                "200 OK",
                &[],
                json!({"count": 3, "next": null, "results": rows})
                    .to_string()
                    .as_bytes(),
            );
        } else if path.ends_with("/companies") && has_companies {
            let rows = json!([{"id": "7", "name": "Acme/Inc"}, {"id": "8", "name": "Other"}]);
            reply(
                stream,
                "200 OK",
                &[],
                json!({"count": 2, "next": null, "results": rows})
                    .to_string()
                    .as_bytes(),
            );
        } else if path.ends_with("/companies") {
            reply(stream, "403 Forbidden", &[], b"{}");
        } else if let Some(id) = path.strip_prefix("/s/") {
            reply(stream, "200 OK", &[("ETag", "\"v1\"")], id.as_bytes());
        } else {
            let id = path.split('/').nth(3).unwrap_or_default();
            api(request, stream, &presigned(&base, &format!("/s/{id}")));
        }
    });
    let mut world = World::new(&server.base());
    world.set("DOCFETCH_RATE_LIMIT", "none");
    (server, world, lists)
}

#[test]
fn records_and_folders_have_the_names_of_companies() {
    let (_server, world, lists) = server(true);
    let run = world.run(&["list", "sm", "--json"]);
    let names = run.exits(0).records();
    let names: Vec<_> = names.iter().map(|row| row["company"].clone()).collect();
    assert_eq!(names, [json!("Acme/Inc"), json!("Other"), json!(null)]);
    let run = world.run(&["list", "sm", "--where", "company=Other", "--ids"]);
    assert_eq!(run.exits(0).stdout, "b\n");
    let run = world.run(&["sync", "sm", "m", "--name", "{company}/{name}"]);
    run.exits(0);
    for path in ["m/Acme_Inc/a", "m/Other/b", "m/_/c"] {
        assert!(world.out().join(path).exists(), "{path}: {run:?}");
    }
    assert_eq!(lists.lock().unwrap().len(), 6);
}

#[test]
fn a_command_that_shows_no_names_does_not_read_them() {
    let (_server, world, lists) = server(true);
    for arguments in [
        &["list", "sm", "--ids"][..],
        &["list", "sm", "--ids", "--json"],
        &["list", "sm"],
        &["sync", "sm", "m"],
    ] {
        world.run(arguments).exits(0);
    }
    assert_eq!(*lists.lock().unwrap(), vec!["/v1/documents"; 4]);
}

#[test]
fn names_that_cannot_be_read_are_null_and_end_a_run_that_needs_them() {
    let (_server, world, _) = server(false);
    let run = world.run(&["list", "sm", "--json"]);
    assert!(
        run.exits(0)
            .records()
            .iter()
            .all(|row| row["company"].is_null())
    );
    assert_eq!(
        run.stderr
            .matches("docfetch does not know the names of companies")
            .count(),
        1,
        "{run:?}"
    );
    for arguments in [
        &["sync", "sm", "m", "--name", "{company}/{name}"][..],
        &["sync", "sm", "m", "--where", "company=Other"],
        &["list", "sm", "--where", "company=Other"],
    ] {
        let run = world.run(arguments);
        run.exits(4)
            .says("refuses the list of companies")
            .says("--name or --where needs the company");
        assert!(!world.out().join("m/a").exists() && !world.out().join("m/_").exists());
    }
}

#[test]
fn a_list_without_places_has_no_option_for_one() {
    let world = World::bare();
    world
        .run(&["list", "sm", "--in", "a/b"])
        .exits(2)
        .says("the list of Standard Metrics has no --in");
    world
        .run(&["sync", "sm", "m", "--in", "a"])
        .exits(2)
        .says("has no --in");
}
