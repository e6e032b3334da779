//! What a fetch leaves on disk and on standard output.

use crate::support::services::Service;
use crate::support::{World, noise, sha256};
use docfetch::sandbox::Document;
use std::os::unix::fs::{PermissionsExt as _, symlink};

const DECK: &str = "Q3 deck \u{e4}.pdf";

fn service() -> (Service, Vec<u8>, World) {
    let (service, content) = Service::with(DECK, 300_000, &[]);
    let world = service.world();
    (service, content, world)
}

#[test]
fn standard_metrics_brings_the_bytes_with_one_token_and_one_download() {
    let (service, content, world) = service();
    let run = world.run(&["sm", "doc1"]);
    run.exits(0);
    assert_eq!(run.stdout, format!("{DECK}\n"));
    assert_eq!(world.read(DECK), content);
    assert_eq!(world.files(), [DECK]);
    let report = service.report();
    assert_eq!(
        (
            report.tokens,
            report.downloads,
            report.storage_requests,
            report.leaks
        ),
        (1, 1, 1, 0)
    );
}

#[test]
fn one_codex_brings_the_bytes_with_one_charge() {
    let (service, content, world) = service();
    let run = world.run(&["onecodex", "doc1"]);
    run.exits(0);
    assert_eq!(run.stdout, format!("{DECK}\n"));
    assert_eq!(world.read(DECK), content);
    assert_eq!(world.files(), [DECK]);
    assert_eq!((service.charges(), service.report().leaks), (1, 0));
}

#[test]
fn an_empty_document_is_a_file_of_no_bytes() {
    let (service, _) = Service::with("empty.txt", 0, &[]);
    let world = service.world();
    world.run(&["sm", "doc1"]).exits(0);
    assert_eq!(world.read("empty.txt"), b"");
}

#[test]
fn several_documents_share_a_token_and_an_id_given_twice_is_fetched_once() {
    let documents = ["a.pdf", "b.pdf"].map(|name| Document::new(name, noise(1000)).with_id(name));
    let service = Service::start(documents.to_vec(), &[]);
    let world = service.world();
    let run = world.run(&["sm", "a.pdf", "b.pdf", "a.pdf"]);
    run.exits(0).says("2 fetched, 0 skipped, 0 failed");
    let mut paths: Vec<&str> = run.stdout.lines().collect();
    paths.sort_unstable();
    assert_eq!(paths, ["a.pdf", "b.pdf"]);
    assert_eq!(
        (service.report().tokens, service.report().downloads),
        (1, 2)
    );
}

#[test]
fn two_documents_of_one_batch_never_share_a_file() {
    let documents = ["1", "2", "3"].map(|id| Document::new("report.pdf", noise(10)).with_id(id));
    let [one, two, mut three] = documents;
    three.name = "REPORT.pdf".into();
    let service = Service::start(vec![one, two, three], &[]);
    let world = service.world();
    let run = world.run(&["onecodex", "1", "2", "3", "--if-exists", "overwrite"]);
    let mut paths: Vec<&str> = run.exits(0).stdout.lines().collect();
    paths.sort_unstable();
    assert_eq!(paths, ["REPORT--3.pdf", "report--2.pdf", "report.pdf"]);
}

#[test]
fn ids_that_are_alike_do_not_share_a_file_either() {
    let long = "x".repeat(80);
    let ids = [format!("{long}1"), format!("{long}2"), format!("{long}3")];
    let documents = ids
        .iter()
        .map(|id| Document::new("a.txt", id.clone()).with_id(id));
    let service = Service::start(documents.collect(), &[]);
    let world = service.world();
    let [one, two, three] = &ids;
    let run = world.run(&["sm", one, two, three, "--if-exists", "overwrite"]);
    let mut contents: Vec<_> = run
        .exits(0)
        .stdout
        .lines()
        .map(|path| String::from_utf8(world.read(path)).unwrap())
        .collect();
    contents.sort();
    assert_eq!(contents, ids);
}

#[test]
fn an_id_that_one_codex_prints_as_a_uri_is_understood() {
    let (_service, content, world) = service();
    world.run(&["onecodex", "/api/v1/documents/doc1"]).exits(0);
    assert_eq!(world.read(DECK), content);
}

#[test]
fn output_names_the_file_below_the_folder_and_makes_parents() {
    let (_service, content, world) = service();
    let run = world.run(&["sm", "doc1", "-d", "x/y", "-o", "z/deck.pdf"]);
    run.exits(0);
    assert_eq!(run.stdout, "x/y/z/deck.pdf\n");
    assert_eq!(world.read("x/y/z/deck.pdf"), content);
    let absolute = world.out().join("absolute.pdf");
    world
        .run(&["sm", "doc1", "-d", "x", "-o", absolute.to_str().unwrap()])
        .exits(0);
    assert_eq!(world.read("absolute.pdf"), content);
}

#[test]
fn standard_output_takes_the_bytes_and_nothing_else() {
    let (_service, content, world) = service();
    let run = world.run(&["sm", "doc1", "-o", "-"]);
    run.exits(0);
    assert_eq!(run.raw_stdout, content);
    assert!(world.files().is_empty());
}

#[test]
fn permissions_are_as_the_umask_says() {
    let (_service, _, world) = service();
    let binary = env!("CARGO_BIN_EXE_docfetch");
    for (umask, mode) in [("022", 0o644), ("027", 0o640), ("077", 0o600)] {
        let script = format!("umask {umask}; exec {binary} sm doc1 -o {umask}.pdf");
        world.run_of("sh", &["-c", &script]).exits(0);
        let metadata = world.out().join(format!("{umask}.pdf")).metadata().unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "umask {umask}");
    }
}

#[test]
fn an_existing_target_fails_before_anything_is_paid() {
    let (service, _, world) = service();
    std::fs::write(world.out().join(DECK), "mine").unwrap();
    let run = world.run(&["onecodex", "doc1"]);
    run.exits(7).says("exists").says("--if-exists");
    assert_eq!(world.read(DECK), b"mine");
    assert_eq!(service.charges(), 0);
    // Without a name beforehand docfetch sees the target before the first byte.
    let run = world.run(&["sm", "doc1", "--json"]);
    assert_eq!(run.exits(7).error_code(), "target_exists");
    assert_eq!(world.read(DECK), b"mine");
    assert_eq!(world.files(), [DECK]);
}

#[test]
fn an_existing_target_is_skipped_overwritten_or_renamed_as_asked() {
    let (service, content, world) = service();
    std::fs::write(world.out().join(DECK), "mine").unwrap();
    for provider in ["sm", "onecodex"] {
        let run = world.run(&[provider, "doc1", "--if-exists", "skip"]);
        assert_eq!(run.exits(0).stdout, format!("{DECK}\n"));
    }
    assert_eq!(service.charges(), 0);
    assert_eq!(world.read(DECK), b"mine");
    let run = world.run(&["sm", "doc1", "--if-exists", "rename"]);
    assert_eq!(run.exits(0).stdout, "Q3 deck \u{e4} (2).pdf\n");
    let run = world.run(&["onecodex", "doc1", "--if-exists", "rename"]);
    assert_eq!(run.exits(0).stdout, "Q3 deck \u{e4} (3).pdf\n");
    assert_eq!(world.read(DECK), b"mine");
    world
        .run(&["sm", "doc1", "--if-exists", "overwrite"])
        .exits(0);
    assert_eq!(world.read(DECK), content);
}

#[test]
fn a_folder_or_a_device_is_never_replaced() {
    let (service, _, world) = service();
    std::fs::create_dir(world.out().join("folder")).unwrap();
    symlink("/dev/null", world.out().join("device")).unwrap();
    for target in ["folder", "folder/", "/dev/null", "device"] {
        for action in ["fail", "overwrite", "skip"] {
            let run = world.run(&["onecodex", "doc1", "-o", target, "--if-exists", action]);
            run.exits(7);
        }
    }
    assert!(
        std::path::Path::new("/dev/null")
            .metadata()
            .unwrap()
            .permissions()
            .mode()
            & 0o777
            == 0o666
    );
    assert_eq!(service.charges(), 0);
}

#[test]
fn a_target_that_is_a_symlink_is_replaced_and_not_followed() {
    let (_service, content, world) = service();
    std::fs::write(world.out().join("victim"), "mine").unwrap();
    symlink("victim", world.out().join("link")).unwrap();
    world.run(&["sm", "doc1", "-o", "link"]).exits(7);
    world
        .run(&["sm", "doc1", "-o", "link", "--if-exists", "overwrite"])
        .exits(0);
    assert_eq!(world.read("victim"), b"mine");
    assert_eq!(world.read("link"), content);
}

#[test]
fn a_folder_that_cannot_be_written_fails_before_anything_is_paid() {
    let (service, _, world) = service();
    std::fs::write(world.out().join("file"), "").unwrap();
    for folder in ["file", "file/sub", "/proc/nowhere"] {
        let run = world.run(&["onecodex", "doc1", "-d", folder, "--json"]);
        assert_eq!(run.exits(7).error_code(), "local_io");
    }
    assert_eq!(service.charges(), 0);
}

#[test]
fn a_document_larger_than_the_disk_fails_before_anything_is_paid() {
    use crate::support::raw::{Raw, api, reply};
    let server = Raw::start(|request, stream| match request.method.as_str() {
        "GET" => reply(
            stream,
            "200 OK",
            &[],
            br#"{"filename":"big.bin","size":1152921504606846976}"#,
        ),
        _ => api(request, stream, "http://127.0.0.1:1/"),
    });
    let world = World::new(&server.base());
    let run = world.run(&["onecodex", "1", "--json"]);
    assert_eq!(run.exits(7).error_code(), "disk_full");
    assert_eq!(server.count("POST", "/"), 0);
    assert!(world.files().is_empty());
}

#[test]
fn names_follow_the_template() {
    let (_service, _, world) = service();
    let run = world.run(&["sm", "doc1", "--name", "{provider}-{id}-{stem}.{ext}"]);
    assert_eq!(run.exits(0).stdout, "sm-doc1-Q3 deck \u{e4}.pdf\n");
    let run = world.run(&["sm", "doc1", "--name", "..{id}"]);
    assert_eq!(run.exits(0).stdout, "doc1\n");
}

#[test]
fn a_digest_is_checked_and_a_wrong_one_leaves_nothing() {
    let (_service, content, world) = service();
    let wrong = "0".repeat(64);
    let run = world.run(&["sm", "doc1", "--sha256", &wrong, "--json"]);
    assert_eq!(run.exits(6).error_code(), "digest_mismatch");
    assert!(world.files().is_empty());
    world
        .run(&["sm", "doc1", "--sha256", &sha256(&content).to_uppercase()])
        .exits(0);
    assert_eq!(world.read(DECK), content);
}

#[test]
fn records_have_every_field_and_a_summary_comes_last() {
    let (_service, content, world) = service();
    let run = world.run(&["onecodex", "doc1", "missing", "--json", "-j", "1"]);
    let records = run.exits(4).records();
    assert_eq!(records.len(), 3);
    let first = &records[0];
    let keys: Vec<_> = first
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "type",
        "provider",
        "id",
        "status",
        "path",
        "name",
        "bytes",
        "sha256",
        "media_type",
        "etag",
        "resumed_from",
        "attempts",
        "resolves",
        "charged",
        "elapsed_ms",
    ];
    assert_eq!(keys, expected);
    let keys: Vec<_> = records[2].as_object().unwrap().keys().collect();
    let expected = [
        "type",
        "fetched",
        "skipped",
        "failed",
        "not_started",
        "charges",
        "bytes",
        "elapsed_ms",
        "exit_code",
    ];
    assert_eq!(keys, expected);
    assert_eq!(
        (&records[0]["charged"], &records[1]["charged"]),
        (&true.into(), &false.into())
    );
    assert_eq!(first["status"], "fetched");
    assert_eq!(first["path"], DECK);
    assert_eq!(first["bytes"], content.len());
    assert_eq!(first["sha256"], sha256(&content));
    assert_eq!(
        (&first["attempts"], &first["resolves"]),
        (&1.into(), &1.into())
    );
    assert_eq!(records[1]["status"], "failed");
    assert_eq!(records[1]["error"]["code"], "not_found");
    assert_eq!(records[1]["error"]["http_status"], 404);
    assert_eq!(records[1]["error"]["retryable"], false);
    assert_eq!(records[2]["type"], "summary");
    assert_eq!(records[2]["exit_code"], 4);
    assert_eq!(
        (&records[2]["fetched"], &records[2]["failed"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn progress_is_plain_lines_or_events_or_nothing_where_there_is_no_terminal() {
    let (_service, _, world) = service();
    let fetch = |progress: &str| {
        let arguments = [
            "sm",
            "doc1",
            "--if-exists",
            "overwrite",
            "--progress",
            progress,
        ];
        let run = world.run(&arguments);
        run.exits(0);
        assert!(
            !run.stderr.chars().any(|c| c.is_control() && c != '\n'),
            "{run:?}"
        );
        run.stderr
    };
    assert_eq!(fetch("auto"), format!("fetching {DECK} (293.0 KiB)\n"));
    assert_eq!(fetch("plain"), fetch("auto"));
    assert_eq!(fetch("none"), "");
    let events = fetch("json");
    let events: Vec<serde_json::Value> = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events[0]["event"], "started");
    assert_eq!(events[0]["total"], 300_000);
    assert_eq!(events.last().unwrap()["event"], "finished");
    assert_eq!(events.last().unwrap()["bytes"], 300_000);
    assert_eq!(
        world.run(&["sm", "doc1", "-o", "b", "-q"]).exits(0).stderr,
        ""
    );
}

#[test]
fn standard_error_is_json_lines_where_events_are_wanted() {
    let (_service, _, world) = service();
    let run = world.run(&[
        "sm",
        "doc1",
        "missing",
        "-v",
        "--progress",
        "json",
        "-j",
        "1",
    ]);
    let lines: Vec<serde_json::Value> = run
        .exits(4)
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let kinds = |kind: &str| lines.iter().filter(|line| line["type"] == kind).count();
    assert!(kinds("progress") >= 2 && kinds("log") >= 4, "{lines:#?}");
    assert_eq!(lines.last().unwrap()["error"]["code"], "not_found");
}

#[test]
fn a_reader_that_goes_away_is_no_noise() {
    let (_service, _, world) = service();
    let binary = env!("CARGO_BIN_EXE_docfetch");
    for arguments in [
        "sm doc1 -o -",
        "list sm",
        "sm doc1 --json",
        "sm doc1 --if-exists overwrite",
    ] {
        let script = format!("(sleep 0.1; {binary} {arguments}; echo $? >code) | true");
        let run = world.run_of("sh", &["-c", &script]);
        let said: Vec<_> = run
            .stderr
            .lines()
            .filter(|line| !line.starts_with("fetching"))
            .collect();
        assert!(said.is_empty(), "{arguments}: {run:?}");
        assert_eq!(world.read("code"), b"7\n", "{arguments}");
    }
}

#[test]
fn a_url_that_could_not_be_printed_is_kept() {
    let (service, _, world) = service();
    let script = format!(
        "{} url onecodex doc1 >/dev/full",
        env!("CARGO_BIN_EXE_docfetch")
    );
    let run = world.run_of("sh", &["-c", &script]);
    run.exits(7)
        .says("check the program or the file that takes it");
    world.run(&["onecodex", "doc1"]).exits(0);
    assert_eq!(service.charges(), 1);
}
