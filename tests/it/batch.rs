//! Many documents in one run.

use crate::support::raw::{Raw, api, presigned, reply};
use crate::support::services::Service;
use crate::support::{World, each_at_once, noise, send};
use docfetch::sandbox::Document;
use rustix::process::Signal;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// So many documents of `bytes` each; their ids are `id0000` and so on.
fn many(count: usize, bytes: usize, faults: &[&str]) -> (Service, Vec<(String, Vec<u8>)>) {
    let contents: Vec<(String, Vec<u8>)> = (0..count)
        .map(|number| {
            let mut content = noise(bytes);
            content.extend(number.to_string().bytes());
            (format!("id{number:04}"), content)
        })
        .collect();
    let documents = contents
        .iter()
        .map(|(id, content)| Document::new(&format!("{id}.bin"), content.clone()).with_id(id));
    let service = Service::start(documents.collect(), faults);
    (service, contents)
}

fn lines(contents: &[(String, Vec<u8>)]) -> String {
    contents.iter().map(|(id, _)| format!("{id}\n")).collect()
}

fn are_all_there(world: &World, contents: &[(String, Vec<u8>)]) {
    for (id, content) in contents {
        assert!(world.read(&format!("{id}.bin")) == *content, "{id}");
    }
}

#[test]
fn ids_come_from_standard_input_in_any_form_and_each_once() {
    let (service, contents) = many(5, 10, &[]);
    let world = service.world();
    let listed = world
        .run(&["list", "onecodex", "--json"])
        .exits(0)
        .stdout
        .clone();
    let record = listed.lines().nth(3).unwrap();
    let input = format!(
        "\u{feff}# the run of Monday\n\n  id0000 \r\n{record}\nid0000\n{{\"type\":\"summary\",\"fetched\":1}}\n/api/v1/documents/id0002\nid0004"
    );
    let run = world.run_with_input(&["onecodex", "id0001", "-", "id0001"], &input);
    run.exits(0).says("5 fetched, 0 skipped, 0 failed");
    are_all_there(&world, &contents);
    assert_eq!(service.charges(), 5);
    assert_eq!(run.stdout.lines().count(), 5);
}

#[test]
fn ids_come_from_a_file_as_well() {
    let (service, contents) = many(3, 10, &[]);
    let world = service.world();
    std::fs::write(world.out().join("ids"), lines(&contents)).unwrap();
    world.run(&["sm", "--from-file", "ids"]).exits(0);
    are_all_there(&world, &contents);
    let run = world.run(&["sm", "--from-file", "nowhere", "--json"]);
    run.exits(7).says("cannot read nowhere");
    assert_eq!(run.records().last().unwrap()["exit_code"], 7);
}

#[test]
fn nothing_to_read_is_nothing_to_do() {
    let world = World::bare();
    for input in ["", "\n# nothing\n"] {
        let run = world.run_with_input(&["sm", "-", "--json"], input);
        assert_eq!(run.exits(0).records().len(), 1);
    }
}

#[test]
fn a_line_that_is_no_id_is_the_failure_of_that_document() {
    let (service, _) = many(2, 10, &[]);
    let world = service.world();
    let input = "id0000\na/b\n{\"id\":\"id0001\",\"provider\":\"onecodex\"}\n{no json\n{\"name\":\"x\"}\nhttps://storage/x?X-Sig=5igned-and-secret\nid0001\n";
    let run = world.run_with_input(&["sm", "-", "--json"], input);
    let records = run.exits(2).records();
    let failed = records.iter().filter(|record| record["status"] == "failed");
    let failed: Vec<_> = failed.collect();
    assert_eq!(failed.len(), 5, "{records:#?}");
    assert!(
        failed
            .iter()
            .all(|record| record["error"]["code"] == "usage")
    );
    assert_eq!(records.last().unwrap()["fetched"], 2);
    assert!(failed.iter().any(|record| record["id"] == "line 4"));
    let world = service.world();
    world.run(&["sm", "id0000", "a/b"]).exits(2);
    assert!(world.files().is_empty(), "on the line it is wrong usage");
}

#[test]
fn options_for_a_single_document_take_a_single_line() {
    let (service, contents) = many(2, 10, &[]);
    let world = service.world();
    let run = world.run_with_input(&["sm", "-", "-o", "x"], "id0000\nid0001\n");
    run.exits(2).says("single document");
    assert!(world.files().is_empty());
    assert_eq!(service.report().downloads, 0);
    world
        .run_with_input(&["sm", "-", "-o", "x"], "id0000\nid0000\n")
        .exits(0);
    assert_eq!(world.read("x"), contents[0].1);
}

#[test]
fn jobs_says_how_many_transfers_run_at_once_over_few_connections() {
    let cases = [
        ("onecodex", 8, 24, "throttle=10K"),
        ("sm", 3, 9, "throttle=20K"),
        ("onecodex", 1, 6, "latency=20ms"),
    ];
    each_at_once(cases, |(provider, jobs, documents, slow)| {
        let (service, contents) = many(documents, 20_000, &[slow]);
        let world = service.world();
        let arguments = [
            provider,
            "-",
            "-j",
            &jobs.to_string(),
            "--rate-limit",
            "none",
        ];
        world.run_with_input(&arguments, &lines(&contents)).exits(0);
        are_all_there(&world, &contents);
        let report = service.report();
        assert_eq!(report.max_open_storage_requests, jobs, "{provider}");
        // docfetch resolves as many ahead; of one at a time, none.
        let ahead = if jobs > 1 { jobs } else { 0 };
        assert!(report.max_open_requests <= jobs + ahead, "{report:?}");
        assert!(report.storage_connections <= jobs + 1, "{report:?}");
    });
}

#[test]
fn a_url_is_resolved_when_its_transfer_begins() {
    // Each URL lives for less time than all transfers take.
    each_at_once(["onecodex", "sm"], |provider| {
        let (service, contents) = many(6, 100_000, &["throttle=80K", "expire-after=1s"]);
        let world = service.world();
        let run = world.run_with_input(&[provider, "-", "-j", "2", "-v"], &lines(&contents));
        run.exits(0);
        assert!(run.elapsed > Duration::from_secs(2), "{:?}", run.elapsed);
        let charges = if provider == "onecodex" { 6 } else { 0 };
        assert_eq!(service.charges(), charges);
        let report = service.report();
        // docfetch uses no URL that expired while it transferred other documents.
        assert_eq!(report.storage_requests, 6, "{report:?}");
        are_all_there(&world, &contents);
    });
}

#[test]
fn a_url_of_a_short_life_is_resolved_once() {
    let (service, contents) = many(8, 1000, &["expire-after=30s"]);
    let world = service.world();
    let run = world.run_with_input(&["sm", "-", "-j", "2"], &lines(&contents));
    run.exits(0);
    assert_eq!(service.report().downloads, 8);
}

#[test]
fn results_are_told_as_they_end_and_failures_once_more_at_the_end() {
    let (service, _) = many(2, 10, &[]);
    let world = service.world();
    let run = world.run(&["onecodex", "gone", "id0000", "id0001", "-j", "1"]);
    assert_eq!(run.exits(4).stdout, "id0000.bin\nid0001.bin\n");
    let last: Vec<&str> = run.stderr.lines().rev().take(2).collect();
    assert_eq!(last[0], "failed: One Codex does not know document gone");
    assert!(
        last[1].starts_with("2 fetched, 0 skipped, 1 failed; 22 B in "),
        "{}",
        last[1]
    );
    let ids: String = (0..25).map(|number| format!("gone{number}\n")).collect();
    let run = world.run_with_input(&["onecodex", "-"], &ids);
    run.exits(4).says("failed: 5 more");
}

#[test]
fn fail_fast_starts_no_document_after_a_failure() {
    let (service, contents) = many(6, 10, &[]);
    let world = service.world();
    let ids = format!("id0000\ngone\n{}", lines(&contents[1..]));
    let run = world.run_with_input(&["onecodex", "-", "-j", "1", "--fail-fast", "--json"], &ids);
    let records = run.exits(4).records();
    assert_eq!(records.len(), 3, "{records:#?}");
    assert_eq!(service.charges(), 1);
    let run = world.run_with_input(&["onecodex", "-", "--if-exists", "skip"], &ids);
    run.exits(4).says("5 fetched, 1 skipped, 1 failed");
}

/// The storage answers for the first document last.
#[test]
fn of_two_documents_with_one_name_the_later_one_gets_its_id() {
    let storage = Raw::start(move |request, stream| {
        if request.path().ends_with("/1") {
            std::thread::sleep(Duration::from_millis(400));
        }
        let disposition = [("Content-Disposition", "attachment; filename=report.pdf")];
        reply(stream, "200 OK", &disposition, request.path().as_bytes());
    });
    let base = storage.base();
    let server = Raw::start(move |request, stream| {
        let id = request.path().split('/').nth(3).unwrap_or_default();
        api(request, stream, &presigned(&base, &format!("/{id}")));
    });
    let world = World::new(&server.base());
    world
        .run(&["sm", "1", "2", "3", "--rate-limit", "none"])
        .exits(0);
    assert_eq!(world.read("report.pdf"), b"/1");
    assert_eq!(world.read("report--2.pdf"), b"/2");
    assert_eq!(world.read("report--3.pdf"), b"/3");
}

#[test]
fn all_transfers_together_keep_the_rate() {
    let (service, contents) = many(4, 256 << 10, &[]);
    let world = service.world();
    // A stall timeout that is shorter than the waits: they do not count.
    let arguments = [
        "onecodex",
        "-",
        "--limit-rate",
        "512K",
        "--stall-timeout",
        "500ms",
    ];
    let run = world.run_with_input(&arguments, &lines(&contents));
    run.exits(0);
    are_all_there(&world, &contents);
    let took = run.elapsed.as_secs_f64();
    assert!(
        (2.0..7.0).contains(&took),
        "{took} s for 1 MiB at 512 KiB/s; 8 s if each of four had a quarter of the rate"
    );
}

#[test]
fn a_manifest_gets_a_line_for_each_document() {
    let (service, contents) = many(2, 10, &[]);
    let world = service.world();
    let manifest = world.out().join("m.jsonl");
    std::fs::write(&manifest, "{\"type\":\"document\",\"torn").unwrap();
    world
        .run(&["onecodex", "id0000", "gone", "--manifest", "m.jsonl"])
        .exits(4);
    world
        .run(&["sm", "id0001", "--manifest", "m.jsonl"])
        .exits(0);
    let text = std::fs::read_to_string(&manifest).unwrap();
    let records: Vec<serde_json::Value> = text
        .lines()
        .skip(1)
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records.len(), 3);
    let of = |id: &str| records.iter().find(|record| record["id"] == id).unwrap();
    assert_eq!(of("id0000")["bytes"], contents[0].1.len());
    assert_eq!(of("id0000")["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(of("gone")["error"]["code"], "not_found");
    assert_eq!(of("id0001")["provider"], "sm");
}

#[test]
fn a_manifest_that_cannot_be_written_fails_before_anything_is_paid() {
    let (service, _) = many(1, 10, &[]);
    let world = service.world();
    std::fs::write(world.out().join("file"), "mine").unwrap();
    let run = world.run(&["onecodex", "id0000", "--manifest", "file/m.jsonl"]);
    run.exits(7).says("file").says("give --manifest a file");
    assert_eq!(service.charges(), 0);
    let run = world.run(&["onecodex", "id0000", "--manifest", "/dev/full"]);
    run.exits(7).says("/dev/full");
}

#[test]
fn an_interrupt_is_told_once_and_every_partial_is_kept() {
    let (service, contents) = many(3, 1 << 20, &["throttle=256K"]);
    let world = service.world();
    let mut child = world
        .command(&["sm", "-", "--rate-limit", "none"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines(&contents).as_bytes()).unwrap();
    world.wait_until("three partials", || {
        let partials = world.files().into_iter().filter(|name| {
            let metadata = world.out().join(name).metadata();
            name.ends_with(".part") && metadata.is_ok_and(|found| found.len() > 100_000)
        });
        partials.count() == 3
    });
    send(&child, Signal::INT);
    let run = world.finish(child, Instant::now()); // standard input is still open
    run.exits(130);
    assert_eq!(
        run.stderr.matches("error: interrupted").count(),
        1,
        "{run:#?}"
    );
    drop(input);
    let sent = service.report().storage_bytes;
    world
        .run_with_input(&["sm", "-", "--rate-limit", "none"], &lines(&contents))
        .exits(0);
    are_all_there(&world, &contents);
    let again = service.report().storage_bytes - sent;
    assert!(again < (3 << 20) - 250_000, "{again} bytes were sent again");
}

#[test]
fn a_reader_that_goes_away_ends_the_batch() {
    let (service, contents) = many(40, 10, &["latency=20ms"]);
    let world = service.world();
    let mut child = world
        .command(&["onecodex", "-", "-j", "2"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines(&contents).as_bytes()).unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    drop(out);
    assert_eq!(child.wait().unwrap().code(), Some(7));
    let charges = service.charges();
    assert!(charges < 10, "{charges} documents were fetched");
    // The paid documents have arrived.
    let there = world
        .files()
        .into_iter()
        .filter(|name| name.ends_with(".bin"));
    assert_eq!(there.count(), charges as usize);
}

#[test]
fn what_is_remembered_of_a_hundred_thousand_ids_stays_small() {
    let world = World::new("http://127.0.0.1:1");
    let mut child = world
        .command(&["sm", "-", "--dry-run"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    std::thread::spawn(move || {
        for number in 0..100_000 {
            writeln!(input, "{number:016x}").unwrap();
        }
    });
    let id = child.id();
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?; // none when it has ended
        line.split_whitespace().nth(1)?.parse::<usize>().ok()
    };
    let mut ids = BTreeSet::new();
    let mut seen = Vec::new();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for (number, line) in lines.enumerate() {
        ids.insert(line.unwrap());
        if number % 1000 == 999 {
            seen.extend(resident().map(|resident| (number, resident)));
        }
    }
    let ((_, first), (number, last)) = (seen[0], *seen.last().unwrap());
    assert!(number > 80_000, "it was looked at last after {number} ids");
    assert!(child.wait().unwrap().success());
    assert_eq!(ids.len(), 100_000);
    assert!(last < first + (8 << 10), "{first} KiB, then {last} KiB");
}

#[test]
fn events_tell_of_each_document_and_of_the_whole() {
    let (service, contents) = many(4, 600_000, &["throttle=256K"]);
    let world = service.world();
    let run = world.run_with_input(
        &["onecodex", "-", "-j", "4", "--progress", "json"],
        &lines(&contents),
    );
    let events: Vec<serde_json::Value> = run
        .exits(0)
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for (id, _) in &contents {
        let of_it = events.iter().filter(|event| event["id"] == **id);
        let kinds: Vec<_> = of_it.map(|event| event["event"].clone()).collect();
        assert_eq!(kinds.first(), Some(&json!("started")));
        assert_eq!(kinds.last(), Some(&json!("finished")));
        assert!(kinds.contains(&json!("progress")));
    }
    let whole = events.iter().filter(|event| event["event"] == "batch");
    let bytes: Vec<u64> = whole
        .map(|event| event["bytes"].as_u64().unwrap())
        .collect();
    assert!(!bytes.is_empty() && bytes.is_sorted(), "{bytes:?}");
}

#[test]
fn a_wait_for_the_budget_is_told_once() {
    let (service, contents) = many(12, 10, &[]);
    let world = service.world();
    let run = world.run_with_input(
        &["sm", "-", "-j", "12", "--rate-limit", "8/3s"],
        &lines(&contents),
    );
    run.exits(0);
    are_all_there(&world, &contents);
    assert_eq!(
        run.stderr.matches("for the rate budget").count(),
        1,
        "{run:#?}"
    );
}

#[test]
fn many_at_once_need_no_other_limit_on_open_files() {
    let (service, contents) = many(40, 50_000, &["latency=100ms", "throttle=100K"]);
    let world = service.world();
    std::fs::write(world.out().join("ids"), lines(&contents)).unwrap();
    let binary = env!("CARGO_BIN_EXE_docfetch");
    let script = format!("ulimit -Sn 48; exec {binary} onecodex --from-file ids -j 40");
    world.run_of("sh", &["-c", &script]).exits(0);
    are_all_there(&world, &contents);
}

#[test]
fn a_listing_of_another_kind_is_not_paid_for() {
    let (service, _) = many(2, 10, &[]);
    let world = service.world();
    let listed = world.run(&["list", "onecodex", "--resource", "samples", "--json"]);
    let run = world.run_with_input(&["onecodex", "-"], &listed.exits(0).stdout);
    run.exits(2).says("add --resource samples");
    assert_eq!(service.charges(), 0);
    let arguments = ["onecodex", "-", "--resource", "samples"];
    world.run_with_input(&arguments, &listed.stdout).exits(0);
    assert_eq!(service.report().charges["samples/id0001"], 1);
}

#[test]
fn a_dry_run_appends_nothing_to_a_manifest() {
    let (service, _) = many(1, 10, &[]);
    let world = service.world();
    for arguments in [&["onecodex", "id0000"][..], &["sync", "onecodex", "m"]] {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--dry-run", "--manifest", "m.jsonl"]);
        world.run(&arguments).exits(0);
    }
    assert!(world.files().is_empty());
}

#[test]
fn a_refusal_before_the_first_document_is_told_once_an_id() {
    let run = World::bare().run(&["sm", "a", "a", "b", "--json"]);
    let records = run.exits(3).records();
    assert_eq!(records.len(), 3);
    assert_eq!(records[2]["failed"], 2);
}

/// The metadata's five seconds do not run while the rate budget makes it wait.
#[test]
fn a_tight_budget_makes_no_document_cost_before_its_clash_is_seen() {
    let (service, _) = many(2, 10, &[]);
    let world = service.world();
    std::fs::write(world.out().join("id0001.bin"), "mine").unwrap();
    let arguments = [
        "onecodex",
        "id0000",
        "id0001",
        "--rate-limit",
        "1/3s",
        "-j",
        "2",
    ];
    world.run(&arguments).exits(7).says("id0001.bin exists");
    assert_eq!(service.charges(), 1);
}

#[test]
fn nothing_is_joined_to_a_line_that_a_full_disk_cut_off() {
    let (service, contents) = many(30, 10, &[]);
    let world = service.world();
    std::fs::write(world.out().join("ids"), lines(&contents)).unwrap();
    let binary = env!("CARGO_BIN_EXE_docfetch");
    // The file size limit ends the manifest in mid-line; the documents are shorter.
    let script =
        format!("ulimit -f 4; exec {binary} onecodex --from-file ids -j 8 --manifest m.jsonl");
    world
        .run_of("bash", &["-c", &script])
        .exits(7)
        .says("cannot write m.jsonl");
    world
        .run(&[
            "onecodex",
            "--from-file",
            "ids",
            "--if-exists",
            "skip",
            "--manifest",
            "m.jsonl",
        ])
        .exits(0);
    world.run(&["verify", "m.jsonl"]).exits(0);
}

#[test]
fn a_warning_in_a_batch_names_its_document() {
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"12345"));
    let url = presigned(&storage.base(), "/x.bin");
    let api = Raw::start(move |request, stream| match request.method.as_str() {
        "GET" => reply(stream, "200 OK", &[], br#"{"filename":"x.bin","size":10}"#),
        _ => api(request, stream, &url),
    });
    let world = World::new(&api.base());
    let why = "the provider's metadata says 10 bytes";
    let run = world.run(&["onecodex", "a", "b", "c"]);
    for id in ["a", "b", "c"] {
        let warning = format!("warning: {id}: {why}");
        assert_eq!(run.exits(0).stderr.matches(&warning).count(), 1, "{run:#?}");
    }
    assert_eq!(run.stderr.matches("warning: ").count(), 3, "{run:#?}");
    let run = world.run(&["onecodex", "a", "b", "-d", "new", "--progress", "json"]);
    run.exits(0).says(&format!("\"message\":\"b: {why}"));
    let run = world.run(&["onecodex", "d", "-d", "third"]);
    run.exits(0).says(&format!("warning: {why}"));
}
