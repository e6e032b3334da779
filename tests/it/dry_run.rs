//! Dry runs: what they print is what a real run then does, and they leave nothing behind.

use crate::support::raw::{Raw, api, api_without_metadata, presigned, reply, reset, serve};
use crate::support::services::Service;
use crate::support::{Run, World, sha256};
use docfetch::sandbox::Document;
use serde_json::Value;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const DECK: &str = "Q3 deck \u{e4}.pdf";

/// Documents `a` and `b` of the same name, and `c` of another.
fn service() -> Service {
    let document = |name: &str, id: &str| Document::new(name, id.repeat(1000)).with_id(id);
    let documents = [(DECK, "a"), (DECK, "b"), ("reads.txt", "c")];
    Service::start(documents.map(|(name, id)| document(name, id)).into(), &[])
}

fn lines(run: &Run) -> Vec<&str> {
    let mut lines: Vec<&str> = run.stdout.lines().collect();
    lines.sort_unstable();
    lines
}

/// The status of each record, by the document's id; `planned`, or the code of an error.
fn ends(run: &Run) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let documents = run
        .records()
        .into_iter()
        .filter(|record| record["type"] == "document");
    let mut ends: Vec<_> = documents
        .map(|record| {
            let end = text(&record["error"]["code"]).or(text(&record["status"]));
            (text(&record["id"]).unwrap(), end.unwrap())
        })
        .collect();
    ends.sort();
    ends
}

#[test]
fn the_plan_has_the_paths_of_the_real_run_and_touches_nothing() {
    let service = service();
    for options in [
        &["onecodex", "a", "b", "c", "-d", "new/x"][..],
        &["onecodex", "a", "b", "c", "--name", "{provider}-{stem}.x"],
        &["sm", "a", "b", "--name", "{id}.x"],
        &["onecodex", "a", "b", "--name", "same"],
        &["sm", "a", "-o", "y/z.pdf"],
    ] {
        let world = service.world();
        let before = (service.charges(), service.report().storage_requests);
        let plan = world.run(&[options, &["--dry-run"]].concat());
        plan.exits(0);
        assert!(world.files().is_empty(), "{:?}", world.files());
        let after = (service.charges(), service.report().storage_requests);
        assert_eq!(before, after, "{options:?}");
        let real = world.run(options);
        assert_eq!(lines(&plan), lines(real.exits(0)), "{options:?}");
    }
    // Standard output has no target.
    let run = service
        .world()
        .run(&["onecodex", "a", "--dry-run", "-o", "-"]);
    assert_eq!(run.exits(0).stdout, "a\n");
}

#[test]
fn a_document_that_does_not_exist_is_not_planned() {
    let service = service();
    let world = service.world();
    let run = world.run(&["onecodex", "a", "nothing", "--dry-run", "--json"]);
    let expected = [("a", "planned"), ("nothing", "not_found")];
    let expected = expected.map(|(id, end)| (id.to_owned(), end.to_owned()));
    assert_eq!(ends(run.exits(4)), expected);
    let summary = run.records().pop().unwrap();
    assert_eq!(
        (&summary["planned"], &summary["failed"]),
        (&1.into(), &1.into())
    );
    let run = world.run(&["onecodex", "nothing", "--dry-run"]);
    assert_eq!(run.exits(4).stdout, "");
    assert!(world.files().is_empty());
    // The API also decides where the path needs no name.
    for output in ["x", "-"] {
        let arguments = ["onecodex", "nothing", "--dry-run", "-o", output];
        world.run(&arguments).exits(4);
    }
    assert_eq!(service.charges(), 0);
}

/// Standard Metrics has no metadata route, and its rate budget is for real runs.
#[test]
fn a_dry_run_resolves_no_url() {
    let server = Raw::start(|_, stream| reply(stream, "500 Broken", &[], b""));
    let world = World::new(&server.base());
    let run = world.run(&["sm", "a", "nothing", "--dry-run"]);
    assert_eq!(run.exits(0).stdout, "a\nnothing\n");
    run.says("a: would get its name from the storage");
    assert!(server.seen().is_empty());
}

#[test]
fn existing_files_are_told_and_stay() {
    let service = service();
    for provider in ["sm", "onecodex"] {
        let world = service.world();
        fs::write(world.out().join(DECK), "mine").unwrap();
        let numbered = DECK.replace('.', " (2).");
        for (if_exists, exit, path, says) in [
            (
                "fail",
                7,
                "",
                "exists\n  why: docfetch replaces a file only on request",
            ),
            ("skip", 0, DECK, "would be skipped: it exists"),
            ("overwrite", 0, DECK, "would replace the existing file"),
            (
                "rename",
                0,
                &*numbered,
                "would get a number: Q3 deck \u{e4}.pdf exists",
            ),
        ] {
            let arguments = [provider, "a", "--dry-run", "--if-exists", if_exists];
            // Only the user names a document of Standard Metrics before its URL does.
            let output: &[&str] = if provider == "sm" { &["-o", DECK] } else { &[] };
            let arguments = [&arguments[..], output].concat();
            let run = world.run(&arguments);
            run.exits(exit).says(says);
            assert_eq!(run.stdout.trim_end(), path);
            let quiet = world.run(&[&arguments[..], &["-q"]].concat());
            assert_eq!(quiet.stdout, run.stdout);
            assert!(exit > 0 || !quiet.stderr.contains("would be"), "{quiet:?}");
            let json = world.run(&[&arguments[..], &["--json"]].concat());
            let end = match if_exists {
                "fail" => "target_exists",
                "skip" => "skipped",
                _ => "planned",
            };
            assert_eq!(ends(&json)[0].1, end);
            assert_eq!(world.read(DECK), b"mine");
            assert_eq!(world.files(), [DECK]);
        }
    }
    assert_eq!(service.charges(), 0);
}

#[test]
fn a_target_that_is_known_and_exists_needs_no_request() {
    let server = Raw::start(|_, stream| reply(stream, "500 Broken", &[], b""));
    let world = World::new(&server.base());
    fs::write(world.out().join("x"), "mine").unwrap();
    for provider in ["sm", "onecodex"] {
        let arguments = [provider, "a", "-o", "x", "--dry-run", "--if-exists"];
        let run = world.run(&[&arguments[..], &["skip"]].concat());
        assert_eq!(run.exits(0).stdout, "x\n");
        world.run(&[&arguments[..], &["fail"]].concat()).exits(7);
    }
    assert!(server.seen().is_empty());
}

#[test]
fn a_folder_that_cannot_take_the_document_fails_as_in_a_real_run() {
    let service = service();
    let world = service.world();
    fs::write(world.out().join("file"), "").unwrap();
    for provider in ["sm", "onecodex"] {
        for folder in ["file", "file/x"] {
            let run = world.run(&[provider, "a", "--dry-run", "-d", folder]);
            assert_eq!(run.exits(7).stdout, "");
            run.says("file is not a folder");
            let real = world.run(&[provider, "a", "-d", folder]);
            assert!(run.stderr.starts_with(&real.exits(7).stderr), "{real:?}");
        }
    }
    let server = Raw::start(|request, stream| match request.method.as_str() {
        "GET" => reply(
            stream,
            "200 OK",
            &[],
            br#"{"filename":"big","size":1152921504606846976}"#,
        ),
        _ => api(request, stream, "http://127.0.0.1:1/"),
    });
    let world = World::new(&server.base());
    let run = world.run(&["onecodex", "a", "--dry-run", "-d", "new"]);
    run.exits(7).says("the transfer needs 1024.0 PiB, and ");
    assert!(world.files().is_empty());
}

#[test]
fn a_name_that_nothing_tells_is_not_made_up() {
    let server = Raw::start(|request, stream| {
        api_without_metadata(request, stream, "http://127.0.0.1:1/key/0123?sig=1");
    });
    let world = World::new(&server.base());
    let run = world.run(&["onecodex", "a", "--dry-run"]);
    assert_eq!(run.exits(0).stdout, "a\n");
    run.says("warning: docfetch does not know the name of a: ");
    // A real run would not reach the API either.
    let world = World::new("http://127.0.0.1:1");
    let run = world.run(&["onecodex", "a", "--dry-run", "--retries", "0"]);
    assert_eq!(run.exits(5).stdout, "");
}

/// Also where the API refuses the document or the credential, or answers nothing.
#[test]
fn a_living_recorded_url_is_planned_and_used_without_the_api() {
    for refusal in ["401 Unauthorized", "404 Not Found", ""] {
        let is_late = Arc::new(AtomicBool::new(false));
        let [serving, refusing] = [Arc::clone(&is_late), Arc::clone(&is_late)];
        let storage = Raw::start(move |request, stream| {
            if serving.load(Ordering::Relaxed) {
                return serve(request, stream, b"content", "\"1\"");
            }
            reply(stream, "503 Service Unavailable", &[], b"");
        });
        let url = presigned(&storage.base(), "/a.txt");
        let server =
            Raw::start(
                move |request, stream| match (refusing.load(Ordering::Relaxed), refusal) {
                    (false, _) => api(request, stream, &url),
                    (true, "") => reset(stream),
                    (true, status) => {
                        let login = [("location", "https://login.invalid/")];
                        reply(stream, status, &login, b"{}");
                    }
                },
            );
        let world = World::new(&server.base());
        let fetching = ["onecodex", "a", "--retries", "0", "--json"];
        world.run(&fetching).exits(5);
        is_late.store(true, Ordering::Relaxed);
        for output in [&[][..], &["-o", "x"]] {
            let run = world.run(&[&fetching[..], &["--dry-run"], output].concat());
            let summary = run.exits(0).records().pop().unwrap();
            let counts = (&summary["planned"], &summary["would_reuse"]);
            assert_eq!(counts, (&1.into(), &1.into()), "{refusal}: {run:?}");
        }
        let run = world.run(&["onecodex", "a", "--retries", "0", "--dry-run", "-o", "-"]);
        assert_eq!(run.exits(0).stdout, "a\n");
        // A document without a record needs the API.
        let run = world.run(&["onecodex", "b", "--retries", "0", "--dry-run"]);
        assert_ne!(run.code, 0, "{refusal}: {run:?}");
        world.run(&fetching).exits(0);
        assert_eq!(server.count("POST", ""), 1, "{refusal}");
    }
}

#[test]
fn the_plan_of_a_mirror_tells_what_it_would_skip_replace_and_fetch_again() {
    let service = service();
    let world = service.world();
    world.run(&["sync", "onecodex", "m"]).exits(0);
    let charges = service.charges();
    let run = world.run(&["sync", "onecodex", "m", "--dry-run"]);
    run.exits(0)
        .says("m/reads.txt: would be skipped: it is up to date");
    run.says("0 planned (0 B known), 3 skipped, 0 failed");
    fs::remove_file(world.out().join("m/reads.txt")).unwrap();
    let run = world.run(&["sync", "onecodex", "m", "--dry-run"]);
    run.exits(0)
        .says("m/reads.txt was removed: a real run would fetch it again");
    run.says("1 planned (1000 B known), 2 skipped, 0 failed");
    assert!(!run.stderr.contains("fetching"), "{run:?}");
    fs::write(world.out().join("m/reads.txt"), "changed").unwrap();
    let run = world.run(&["sync", "onecodex", "m", "--dry-run"]);
    run.exits(0)
        .says("m/reads.txt: would replace the existing file");
    assert_eq!(world.read("m/reads.txt"), b"changed");
    assert_eq!(service.charges(), charges);
    // A file that the mirror did not write is compared, where that is free.
    fs::create_dir(world.out().join("n")).unwrap();
    fs::write(world.out().join("n/reads.txt"), "c".repeat(1000)).unwrap();
    let run = world.run(&["sync", "sm", "n", "--dry-run"]);
    run.exits(0)
        .says("n/reads.txt: would be compared with the existing file");
    run.says("3 planned (sizes not known), 0 skipped, 0 failed");
    let run = world.run(&["sync", "onecodex", "n", "--dry-run"]);
    run.exits(0)
        .says("n/reads.txt: would be skipped: the existing file has the document's name");
}

#[test]
fn after_a_failed_listing_a_dry_run_states_no_price() {
    use crate::support::raw::{Raw, reply};
    let api = Raw::start(|_, stream| reply(stream, "400 Bad Request", &[], b"{}"));
    let world = World::new(&api.base());
    let run = world.run(&["sync", "onecodex", "m", "--dry-run"]);
    run.exits(4);
    assert!(!run.stderr.contains("a real run would"), "{}", run.stderr);
    let run = world.run(&["sync", "onecodex", "m", "--dry-run", "--json"]);
    let summary = run.exits(4).records().pop().unwrap();
    for count in ["would_charge", "would_reuse", "would_refuse"] {
        assert!(summary[count].is_null(), "{summary}");
    }
}

#[test]
fn documents_beyond_max_charges_are_named() {
    let service = service();
    let world = service.world();
    let plan = ["onecodex", "a", "b", "c", "--dry-run", "--max-charges", "1"];
    let run = world.run(&plan);
    run.exits(0)
        .says("request 1 paid retrieval, and refuse 2 documents");
    let note = ": would be refused: --max-charges permits no further charge\n";
    assert_eq!(run.stderr.matches(note).count(), 2, "{run:#?}");
    let run = world.run(&[&plan[..], &["--json"]].concat());
    let summary = run.exits(0).records().pop().unwrap();
    assert_eq!(
        (&summary["would_charge"], &summary["would_refuse"]),
        (&1.into(), &2.into())
    );
    // A recorded URL costs nothing.
    world.run(&["onecodex", "a", "-d", "other"]).exits(0);
    let run = world.run(&plan);
    assert_eq!(run.exits(0).stderr.matches(note).count(), 1, "{run:#?}");
}

#[test]
fn a_file_that_exists_needs_the_expected_sha256_to_be_skipped() {
    let (service, content) = Service::with("a.bin", 1000, &[]);
    let world = service.world();
    let (right, wrong) = (sha256(&content), sha256(b"another"));
    fs::write(world.out().join("a.bin"), &content).unwrap();
    for provider in ["sm", "onecodex"] {
        for dry_run in [&[][..], &["--dry-run"]] {
            for target in [&[][..], &["-o", "a.bin"]] {
                // A dry run of Standard Metrics does not know the name.
                if provider == "sm" && target.is_empty() && !dry_run.is_empty() {
                    continue;
                }
                let fetch = |digest| {
                    let skip = [provider, "doc1", "--if-exists", "skip", "--sha256", digest];
                    world.run(&[&skip[..], target, dry_run, &["--json"]].concat())
                };
                let record = &fetch(&right).exits(0).records()[0];
                assert_eq!(record["status"], "skipped", "{record}");
                assert_eq!(record["sha256"], right.as_str());
                let run = fetch(&wrong);
                assert_eq!(run.exits(6).error_code(), "digest_mismatch");
                run.says(&right).says("--if-exists overwrite");
            }
        }
    }
    assert_eq!((world.read("a.bin"), world.files().len()), (content, 1));
    assert_eq!(service.charges(), 0);
}
