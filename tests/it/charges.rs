//! How many paid requests a run sends, and when it sends no more.

use crate::support::raw::{Raw, api, api_without_metadata, keep, keeping, presigned, read, reply};
use crate::support::services::Service;
use crate::support::tls::{Authority, Leaf};
use crate::support::{PROMPT, Run, SILENCE, World, kill, send};
use docfetch::sandbox::Document;
use rustix::process::Signal;
use serde_json::Value;
use std::io::BufRead as _;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn posts(api: &Raw) -> usize {
    api.count("POST", "/")
}

/// Runs a batch of `documents` by their ids, each named after it.
fn batch(world: &World, documents: usize, more: &[&str]) -> Run {
    named(world, documents, "{id}", more)
}

fn named(world: &World, documents: usize, name: &str, more: &[&str]) -> Run {
    let ids: Vec<String> = (0..documents).map(|number| format!("d{number}")).collect();
    let mut arguments = vec!["onecodex", "--name", name, "--json"];
    arguments.extend(ids.iter().map(String::as_str));
    arguments.extend(more);
    world.run(&arguments)
}

fn summary(run: &Run) -> Value {
    run.records().pop().unwrap()
}

/// These counts of a summary.
fn counts<const N: usize>(run: &Run, fields: [&str; N]) -> [u64; N] {
    let summary = summary(run);
    fields.map(|field| {
        summary[field]
            .as_u64()
            .unwrap_or_else(|| panic!("{field}: {run:#?}"))
    })
}

/// Documents in doubt, by the ledger.
fn doubts(world: &World) -> usize {
    let records = world.run(&["ledger", "list", "--json"]).records();
    records
        .iter()
        .filter(|record| record["state"] == "doubtful")
        .count()
}

/// An API whose documents are at `storage`, each at a path of its own.
fn at(storage: String) -> Raw {
    Raw::start(move |request, stream| {
        let id = request
            .path()
            .rsplit('/')
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        api_without_metadata(request, stream, &presigned(&storage, &format!("/{id}")));
    })
}

#[test]
fn after_three_doubts_in_a_row_no_further_document_is_paid_for() {
    for (answer, jobs, most) in [
        ("502 Bad Gateway", "1", 3),
        ("", "1", 3),
        ("502 Bad Gateway", "4", 7),
        ("", "4", 7),
    ] {
        let server = Raw::start(move |request, stream| match (&*request.method, answer) {
            ("POST", "") => {} // closes
            ("POST", status) => reply(stream, status, &[], b""),
            _ => reply(stream, "404 Not Found", &[], b"{}"),
        });
        let world = World::new(&server.base());
        let run = batch(&world, 40, &["-j", jobs]);
        run.exits(8).says("no further paid request is sent");
        assert!(
            (3..=most).contains(&posts(&server)),
            "{} {answer:?}",
            posts(&server)
        );
        assert_eq!(doubts(&world), posts(&server));
        let [failed, not_started, charges] = counts(&run, ["failed", "not_started", "charges"]);
        assert_eq!((failed + not_started, charges), (40, failed), "{run:?}");
    }
}

#[test]
fn an_answer_between_doubts_begins_their_count_anew() {
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"x"));
    let base = storage.base();
    let count = AtomicUsize::new(0);
    let server = Raw::start(move |request, stream| {
        if request.method == "POST" && count.fetch_add(1, Ordering::SeqCst) % 3 < 2 {
            return reply(stream, "502 Bad Gateway", &[], b"");
        }
        api(request, stream, &presigned(&base, "/x"));
    });
    let world = World::new(&server.base());
    let run = batch(&world, 9, &["-j", "1"]);
    assert_eq!(
        counts(run.exits(8), ["fetched", "failed", "not_started"]),
        [3, 6, 0]
    );
    assert_eq!(posts(&server), 9);
}

#[test]
fn ids_of_a_stream_are_not_read_on_only_to_be_counted() {
    let server = Raw::start(|request, stream| match &*request.method {
        "POST" => reply(stream, "502 Bad Gateway", &[], b""),
        _ => reply(stream, "404 Not Found", &[], b"{}"),
    });
    let world = World::new(&server.base());
    let ids: String = (0..30_000).map(|number| format!("d{number}\n")).collect();
    let run = world.run_with_input(&["onecodex", "-", "-j", "2", "--json"], &ids);
    let [failed, not_started] = counts(run.exits(8), ["failed", "not_started"]);
    assert!(failed + not_started < 15_000, "{run:?}");
}

#[test]
fn ids_that_were_read_and_not_taken_up_are_not_started_however_the_batch_stops() {
    let server = Raw::start(|request, stream| match (&*request.method, request.path()) {
        ("POST", path) if path.contains("/hangs") => std::thread::sleep(SILENCE),
        ("POST", path) if path.contains("/doubt") => reply(stream, "502 Bad Gateway", &[], b""),
        _ => reply(stream, "404 Not Found", &[], b"{}"),
    });
    let world = World::new(&server.base());
    let list = |first: &str| {
        let rest: String = (0..90).map(|number| format!("{first}{number}\n")).collect();
        // Comments and repetitions are no documents; a bad id fails, and so does a line that is no text.
        format!("{first}\n# no document\n\n{first}\n{rest}{first}1\nno/document\n{first}last")
    };
    let number = 93;
    let json = ["onecodex", "-", "-j", "1", "--json"];

    let fail_fast = [&json[..], &["--fail-fast"]].concat();
    let run = world.run_with_input(&fail_fast, &list("gone"));
    let [failed, not_started] = counts(run.exits(4), ["failed", "not_started"]);
    assert_eq!((failed, failed + not_started), (1, number));
    std::fs::write(world.home().join("ids"), list("gone")).unwrap();
    let from_file = [
        "onecodex",
        "--from-file",
        "../ids",
        "--fail-fast",
        "-j",
        "1",
        "--json",
    ];
    let run = world.run(&from_file);
    assert_eq!(counts(&run, ["failed", "not_started"]), [1, number - 1]);

    let run = world.run_with_input(&json, &list("doubt"));
    let [failed, not_started] = counts(run.exits(8), ["failed", "not_started"]);
    assert_eq!((failed, failed + not_started), (3, number));

    let ids = world.home().join("ids");
    std::fs::write(&ids, list("hangs")).unwrap();
    let mut command = world.command(&json);
    let child = command.stdin(std::fs::File::open(&ids).unwrap());
    let child = child.spawn().unwrap();
    world.wait_until("a request", || server.count("POST", "/hangs") > 0);
    send(&child, Signal::INT);
    let run = world.finish(child, Instant::now());
    let [failed, not_started] = counts(run.exits(130), ["failed", "not_started"]);
    assert_eq!(failed + not_started, number);
}

#[test]
fn rows_that_were_listed_and_not_taken_up_are_not_started() {
    let documents = (0..40).map(|number| {
        let document = Document::new(&format!("{number:02}.txt"), b"x".to_vec());
        document.with_id(&format!("doc{number:02}"))
    });
    let service = Service::start(documents.collect(), &["status=403"]);
    let world = service.world();
    let sync = ["sync", "onecodex", "m", "--fail-fast", "-j", "1", "--json"];
    let run = world.run(&sync);
    let [failed, not_started] = counts(&run, ["failed", "not_started"]);
    assert_eq!((failed, not_started), (1, 39), "{run:#?}");
}

/// Sends a batch to an API of which each connection answers one paid request, and ends the next one by `end`.
/// The second document is in doubt; all others have fresh connections.
fn batch_over_connections_that_end(end: fn(&mut TcpStream)) {
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"x"));
    let url = presigned(&storage.base(), "/x");
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&arrived);
    let base = keeping(move |number, mut stream| {
        let mut paid = 0;
        while let Some(request) = read(&stream) {
            if request.method != "POST" {
                keep(&mut stream, "404 Not Found", "{}");
                continue;
            }
            paid += 1;
            log.lock().unwrap().push(number);
            if paid == 2 {
                return end(&mut stream);
            }
            let body = serde_json::json!({"download_uri": url, "expires_in_hours": 1});
            keep(&mut stream, "200 OK", &body.to_string());
        }
    });
    let world = World::new(&base);
    let run = batch(&world, 12, &["-j", "1"]);
    assert_eq!(
        counts(run.exits(8), ["fetched", "failed", "not_started"]),
        [11, 1, 0]
    );
    let mut connections = arrived.lock().unwrap().clone();
    connections.dedup();
    assert_eq!((connections.len(), doubts(&world)), (11, 1));
}

#[test]
fn a_used_connection_that_does_not_answer_is_the_last_used_one() {
    batch_over_connections_that_end(|_| {});
}

#[test]
fn a_408_on_a_used_connection_makes_it_the_last_used_one() {
    batch_over_connections_that_end(|stream| {
        reply(stream, "408 Request Timeout", &[], b"");
    });
}

#[test]
fn a_url_that_no_request_can_carry_is_a_doubt_at_once() {
    for length in [65_536, 70_000, 200_000] {
        let server = Raw::start(move |request, stream| {
            let url = format!(
                "{}&k={}",
                presigned("https://s.example", "/x"),
                "k".repeat(length)
            );
            api(request, stream, &url);
        });
        let world = World::new(&server.base());
        let run = world.run(&["onecodex", "a", "--json"]);
        assert_eq!(run.exits(8).error_code(), "charge_unknown");
        run.says("cannot be sent in a request");
        world.run(&["onecodex", "a"]).exits(8);
        assert_eq!((posts(&server), doubts(&world)), (1, 1), "{length}");
    }
}

#[test]
fn a_storage_that_cannot_be_used_ends_the_batch_after_few_documents() {
    let tls = Authority::new().leaf(Leaf::SelfSigned);
    let target = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"x"));
    let untrusted = crate::support::tls::front(tls, target.address);
    let refused = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let page = Raw::start(|_, stream| {
        let name = r#"attachment; filename="report.pdf""#;
        let headers = [("Content-Type", "text/html"), ("Content-Disposition", name)];
        reply(
            stream,
            "200 OK",
            &headers,
            b"<!DOCTYPE html><html>Sign in</html>",
        );
    });
    let broken = Raw::start(|_, stream| reply(stream, "403 Forbidden", &[], b""));
    for (storage, exit) in [
        (format!("https://localhost:{}", untrusted.port()), 9),
        (format!("http://{refused}"), 5),
        (page.base(), 5),
        (broken.base(), 4),
    ] {
        let server = at(storage.clone());
        let world = World::new(&server.base());
        let run = named(&world, 20, "{id}.pdf", &["-j", "2", "--retries", "0"]);
        run.exits(exit)
            .says("no further paid request is sent in this run");
        let [failed, not_started, charges] = counts(&run, ["failed", "not_started", "charges"]);
        assert_eq!((failed + not_started, charges), (20, failed), "{storage}");
        assert!(posts(&server) <= 6, "{storage}: {} paid", posts(&server));
    }
}

#[test]
fn a_storage_that_comes_back_gets_every_document_and_none_is_paid_for_twice() {
    // Down for the first requests of the batch, but not for a document that is tried again.
    for (jobs, down) in [("1", 7), ("4", 12)] {
        let requests = AtomicUsize::new(0);
        let storage = Raw::start(move |request, stream| {
            let number = requests.fetch_add(1, Ordering::SeqCst);
            if number < down && request.before < 2 {
                return reply(stream, "503 Busy", &[], b"");
            }
            reply(stream, "200 OK", &[], b"content");
        });
        let server = at(storage.base());
        let world = World::new(&server.base());
        let run = batch(&world, 12, &["-j", jobs, "--retries", "1"]);
        assert_eq!(counts(run.exits(0), ["fetched", "charges"]), [12, 12]);
        run.says("paying pauses").says("works again");
        assert_eq!(posts(&server), 12);
    }
}

#[test]
fn what_only_concerns_a_document_itself_does_not_end_the_batch() {
    let storage = Raw::start(|_, stream| reply(stream, "410 Gone", &[], b""));
    let server = at(storage.base());
    let world = World::new(&server.base());
    let run = batch(&world, 8, &["-j", "1", "--retries", "0"]);
    assert_eq!(
        counts(run.exits(4), ["failed", "not_started", "charges"]),
        [8, 0, 8]
    );
}

#[test]
fn a_document_that_failed_is_tried_once_more_when_another_arrives() {
    let storage = Raw::start(|request, stream| match request.path() {
        "/d1" | "/d2" | "/d4" | "/d5" => reply(stream, "403 Forbidden", &[], b""),
        _ => reply(stream, "200 OK", &[], b"content"),
    });
    let server = at(storage.base());
    let world = World::new(&server.base());
    let run = batch(&world, 7, &["-j", "1", "--retries", "0"]);
    assert_eq!(
        counts(run.exits(4), ["fetched", "failed", "not_started"]),
        [3, 4, 0]
    );
    assert_eq!(storage.seen().len(), 7 + 4);
}

#[test]
fn a_failure_is_told_though_the_source_of_ids_stays_open() {
    let storage = Raw::start(|_, stream| reply(stream, "403 Forbidden", &[], b""));
    let server = at(storage.base());
    let world = World::new(&server.base());
    let (open, mut write) = std::io::pipe().unwrap();
    let mut command = world.command(&["onecodex", "-", "--json"]);
    let mut child = command.stdin(open).spawn().unwrap();
    drop(command);
    std::io::Write::write_all(&mut write, b"a\n").unwrap();
    let stdout = child.stdout.take().unwrap();
    let (sender, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut lines = std::io::BufReader::new(stdout).lines();
        while let Some(Ok(line)) = lines.next() {
            let _ = sender.send(line);
        }
    });
    let Ok(line) = told.recv_timeout(PROMPT) else {
        kill(child);
        panic!("its failure is never told");
    };
    assert!(line.contains("storage_denied"), "{line}");
    drop(write);
    assert_eq!(child.wait().unwrap().code(), Some(4));
}

#[test]
fn so_many_documents_are_paid_for_as_the_user_permits() {
    for (limit, jobs, fetched) in [("0", "4", 0), ("2", "1", 2), ("2", "4", 2), ("9", "4", 5)] {
        let documents: Vec<Document> = (0..5)
            .map(|number| {
                Document::new(&format!("{number}.bin"), vec![7; 100]).with_id(&format!("d{number}"))
            })
            .collect();
        let service = Service::start(documents, &[]);
        let world = service.world();
        let run = batch(&world, 5, &["-j", jobs, "--max-charges", limit]);
        let [of_run, failed, charges] = counts(&run, ["fetched", "failed", "charges"]);
        assert_eq!((of_run, failed, charges), (fetched, 5 - fetched, fetched));
        assert_eq!(u64::from(service.charges()), fetched);
        if fetched < 5 {
            run.exits(8).says("--max-charges");
        }
        let records = run.records();
        for record in &records[..5] {
            assert_eq!(record["charged"], record["status"] == "fetched", "{record}");
        }
        // A recorded retrieval is no further charge, nor is a URL of an earlier run a charge of this one.
        let run = batch(&world, 5, &["--max-charges", "5", "-d", "again"]);
        assert_eq!(
            counts(run.exits(0), ["fetched", "charges"]),
            [5, 5 - fetched]
        );
    }
}

#[test]
fn a_refused_request_gives_its_permit_back() {
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"x"));
    let base = storage.base();
    let paid = AtomicUsize::new(0);
    let server = Raw::start(move |request, stream| {
        if request.method == "POST" && paid.fetch_add(1, Ordering::SeqCst) < 2 {
            std::thread::sleep(Duration::from_millis(100));
            return reply(stream, "404 Not Found", &[], b"{}");
        }
        api(request, stream, &presigned(&base, "/x"));
    });
    let world = World::new(&server.base());
    let run = batch(&world, 4, &["-j", "4", "--max-charges", "1"]);
    let [fetched, failed, charges] = counts(run.exits(1), ["fetched", "failed", "charges"]);
    assert_eq!((fetched, failed, charges), (1, 3, 1));
    let records = run.records();
    let missing = records
        .iter()
        .filter(|record| record["error"]["code"] == "not_found");
    assert_eq!(
        missing
            .map(|record| record["charged"].clone())
            .collect::<Vec<_>>(),
        [false, false]
    );
}

#[test]
fn a_provider_that_never_charges_says_nothing_of_charges() {
    let (service, _) = Service::with("x.bin", 10, &[]);
    let world = service.world();
    for more in [&[][..], &["--dry-run"]] {
        let arguments = [&["sm", "doc1", "--json", "--if-exists", "skip"][..], more].concat();
        let run = world.run(&arguments);
        let summary = summary(run.exits(0));
        assert_eq!(
            (&run.records()[0]["charged"], &summary["charges"]),
            (&Value::Null, &Value::Null)
        );
        assert!(summary["would_charge"].is_null() && !run.stderr.contains("paid"));
    }
    let run = world.run(&[
        "sm",
        "doc1",
        "nothing",
        "--json",
        "--max-charges",
        "0",
        "-d",
        "new",
    ]);
    assert_eq!(
        counts(run.exits(4), ["fetched", "failed", "not_started"]),
        [1, 1, 0]
    );
}

#[test]
fn what_fail_fast_leaves_is_not_started() {
    let server = Raw::start(|_, stream| reply(stream, "404 Not Found", &[], b"{}"));
    let world = World::new(&server.base());
    let run = batch(&world, 9, &["-j", "1", "--fail-fast"]);
    assert_eq!(
        counts(run.exits(4), ["failed", "not_started", "charges"]),
        [1, 8, 0]
    );
    let mut arguments = vec!["onecodex", "-j", "1", "--fail-fast"];
    arguments.extend(["a", "b", "c"]);
    world
        .run(&arguments)
        .exits(4)
        .says("1 failed, 2 not started");
}

/// The lines that `ledger forget` lists, as arguments.
fn commands(run: &Run) -> Vec<Vec<String>> {
    let lines = run
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("docfetch "));
    let words = lines.map(|line| line.split("  #").next().unwrap().split(' '));
    words
        .map(|words| words.map(str::to_owned).collect())
        .collect()
}

#[test]
fn only_the_record_that_is_meant_is_given_up() {
    let (service, _) = Service::with("x.bin", 10, &[]);
    let other = Raw::start(|request, stream| api(request, stream, "https://s.example/x"));
    let mut world = service.world();
    for kind in ["documents", "samples"] {
        world.run_showing(&["url", "onecodex", "doc1", "--resource", kind]);
    }
    world.set("ONE_CODEX_API_BASE", &other.base());
    world.run_showing(&["url", "onecodex", "doc1"]).exits(0);
    let listed = || world.run(&["ledger", "list", "--json"]).records();
    let mut kinds: Vec<String> = listed()
        .iter()
        .map(|record| record["resource"].to_string())
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [r#""documents""#, r#""documents""#, r#""samples""#]);
    let run = world.run(&["ledger", "forget", "doc1"]);
    run.exits(2)
        .says("3 records match: no record was forgotten");
    let lines = commands(&run);
    assert_eq!((lines.len(), listed().len()), (3, 3));
    for (number, line) in lines.iter().enumerate() {
        let words: Vec<&str> = line.iter().map(String::as_str).collect();
        assert_eq!(world.run(&words).exits(0).stdout, "doc1\n", "{line:?}");
        assert_eq!(listed().len(), 2 - number);
    }
    world
        .run(&["ledger", "forget", "onecodex", "doc1"])
        .exits(4);
    world
        .run(&["ledger", "forget", "nobody", "doc1"])
        .exits(2)
        .says("no provider");
}

#[test]
fn records_of_two_accounts_are_told_apart_by_their_credentials() {
    let (service, _) = Service::with("x.bin", 10, &[]);
    let mut world = service.world();
    world.run_showing(&["url", "onecodex", "doc1"]).exits(0);
    let base = world.variable("ONE_CODEX_API_BASE");
    let server = Raw::start(|request, stream| api(request, stream, "https://s.example/x"));
    world.set("ONE_CODEX_API_BASE", &server.base());
    world.run_showing(&["url", "onecodex", "doc1"]).exits(0);
    world.set("ONE_CODEX_API_KEY", &"f".repeat(32));
    world.run_showing(&["url", "onecodex", "doc1"]).exits(0);
    let of = |base: &str| {
        let arguments = [
            "ledger",
            "forget",
            "onecodex",
            "doc1",
            "--resource",
            "documents",
            "--base",
            base,
        ];
        world.run(&arguments)
    };
    // An option less, and nothing is given up.
    let run = world.run(&[
        "ledger",
        "forget",
        "onecodex",
        "doc1",
        "--base",
        &server.base(),
    ]);
    run.exits(2).says("account");
    of(&server.base()).exits(0);
    assert_eq!(world.run(&["ledger", "list"]).stdout.lines().count(), 2);
    of(&base).exits(0);
}

#[test]
fn documents_whose_recorded_urls_expired_stop_nothing() {
    let expired = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
    let storage = Raw::start(move |request, stream| match request.path() {
        "/d0" | "/d1" | "/d2" => reply(stream, "403 Forbidden", &[], expired),
        _ => reply(stream, "200 OK", &[], b"content"),
    });
    let server = at(storage.base());
    let world = World::new(&server.base());
    batch(&world, 3, &["-j", "1"]).exits(8);
    for jobs in ["1", "4"] {
        let run = batch(&world, 8, &["-j", jobs, "--if-exists", "overwrite"]);
        let [fetched, failed, not_started] =
            counts(run.exits(8), ["fetched", "failed", "not_started"]);
        assert_eq!((fetched, failed, not_started), (5, 3, 0), "-j {jobs}");
    }
}

#[test]
fn targets_that_are_there_already_stop_nothing() {
    let storage = Raw::start(|request, stream| {
        let name = format!("attachment; filename=\"{}.txt\"", &request.path()[1..]);
        reply(
            stream,
            "200 OK",
            &[("Content-Disposition", &name)],
            b"content",
        );
    });
    let server = at(storage.base());
    let world = World::new(&server.base());
    for number in 0..4 {
        std::fs::write(world.out().join(format!("d{number}.txt")), "mine").unwrap();
    }
    let run = named(&world, 6, "{name}", &["-j", "1"]);
    assert_eq!(
        counts(run.exits(7), ["fetched", "failed", "not_started"]),
        [2, 4, 0]
    );
}

/// The first document is paid for, then three doubts stop the batch, then its storage refuses it.
#[test]
fn a_document_that_was_paid_for_is_told_however_the_batch_ends() {
    let storage = Raw::start(|_, stream| {
        std::thread::sleep(Duration::from_secs(1));
        reply(stream, "403 Forbidden", &[], b"");
    });
    let base = storage.base();
    let server = Raw::start(move |request, stream| {
        if request.method == "POST" && !request.path().contains("/d0/") {
            std::thread::sleep(Duration::from_millis(200));
            return reply(stream, "502 Bad Gateway", &[], b"");
        }
        api(request, stream, &presigned(&base, "/x"));
    });
    let world = World::new(&server.base());
    let run = batch(&world, 4, &["-j", "4", "--allow-recharge"]);
    assert_eq!(
        counts(run.exits(1), ["failed", "not_started", "charges"]),
        [4, 0, 4]
    );
    let records = run.records();
    let first = records.iter().find(|record| record["id"] == "d0").unwrap();
    assert_eq!(
        (&first["error"]["code"], &first["charged"]),
        (&"storage_denied".into(), &true.into())
    );
}

#[test]
fn a_plan_knows_that_a_part_of_a_delivered_document_is_here() {
    let expired = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
    let content = crate::support::noise(300_000);
    let body = content.clone();
    let storage = Raw::start(move |request, stream| match request.before {
        0 => crate::support::raw::serve(request, stream, &body, "\"v1\""),
        1 => crate::support::raw::send_part(request, stream, &body, "\"v1\"", 100_000),
        _ => reply(stream, "403 Forbidden", &[], expired),
    });
    let server = at(storage.base());
    let world = World::new(&server.base());
    world.run(&["onecodex", "a", "-o", "whole"]).exits(0);
    world
        .run(&["onecodex", "a", "--retries", "0", "-d", "new"])
        .exits(5);
    world.run(&["onecodex", "a", "-d", "new"]).exits(8);
    let run = world.run(&["onecodex", "a", "-d", "new", "--dry-run", "--json"]);
    assert_eq!(counts(&run, ["would_charge", "would_refuse"]), [0, 1]);
    let other = ["onecodex", "a", "-d", "other", "--dry-run", "--json"];
    let named = [&other[..], &["-o", "x.bin"]].concat();
    let run = world.run(&named);
    assert_eq!(counts(&run, ["would_charge", "would_refuse"]), [1, 0]);
    let run = world.run(&other); // its metadata fails: any file there may be the document
    assert_eq!(counts(&run, ["would_charge", "would_refuse"]), [0, 1]);
}

#[test]
fn a_line_that_is_no_text_is_no_paid_document() {
    let server = Raw::start(|request, stream| api(request, stream, "https://s.example/x"));
    let world = World::new(&server.base());
    let given = world.home().join("given");
    std::fs::create_dir(&given).unwrap();
    std::fs::write(given.join("ids"), b"a\xff\nb\xfe\n").unwrap();
    let ids = given.join("ids");
    let run = world.run(&["onecodex", "--from-file", ids.to_str().unwrap()]);
    run.exits(2).says("line 1 is not UTF-8 text");
    assert_eq!(server.seen().len(), 0);
}

#[test]
fn an_answer_with_more_than_it_needs_is_used() {
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"content"));
    for (behind, missing) in [("\n<!-- gateway -->", 0), ("", 1), ("}", 0)] {
        let url = presigned(&storage.base(), "/x");
        let server = Raw::start(move |request, stream| {
            if request.method != "POST" {
                return api(request, stream, &url);
            }
            let body = serde_json::json!({"download_uri": url, "expires_in_hours": 1});
            let body = format!("{body}{behind}");
            crate::support::raw::head(stream, "200 OK", &[], Some(body.len() + missing));
            let _ = std::io::Write::write_all(stream, body.as_bytes());
            std::thread::sleep(SILENCE * missing as u32);
        });
        let run = World::new(&server.base()).run(&["onecodex", "a", "-o", "x"]);
        run.is_prompt().exits(0);
    }
}
