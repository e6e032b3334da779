//! Paid retrievals: requested once, by all runs and processes.

use crate::support::raw::{Raw, Request, api, api_without_metadata, both, head, presigned, reply};
use crate::support::services::Service;
use crate::support::tools::{mounts, skip, strace};
use crate::support::{Run, SILENCE, World, each_at_once, kill, noise, send};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const TAG: (&str, &str) = ("ETag", "\"v1\"");
const EXPIRED: &[u8] =
    b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";

/// The state of the only record, as `ledger list` tells it.
fn state(world: &World) -> Option<String> {
    let run = world.run(&["ledger", "list", "--json"]);
    let records = run.exits(0).records();
    assert!(records.len() < 2, "{records:?}");
    Some(records.first()?["state"].as_str().unwrap().to_owned())
}

/// Status, headers and body.
type Answer = (
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

/// An API that answers its paid requests one after another with `answers`, then properly.
fn answering(answers: Vec<Answer>) -> (Raw, Raw) {
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[TAG], b"content"));
    let url = presigned(&storage.base(), "/x.txt");
    let api = Raw::start(move |request, stream| {
        match answers
            .get(request.before)
            .filter(|_| request.method == "POST")
        {
            Some(("", ..)) => {} // closes
            Some((status, headers, body)) => reply(stream, status, headers, body.as_bytes()),
            None => api_without_metadata(request, stream, &url),
        }
    });
    (api, storage)
}

fn posts(api: &Raw) -> usize {
    api.count("POST", "/")
}

#[test]
fn a_later_run_uses_the_url_of_an_earlier_one() {
    let (api, storage) = both("/x.txt", |request, stream| match request.before {
        0 => reply(stream, "503 Busy", &[], b""),
        _ => reply(stream, "200 OK", &[TAG], b"content"),
    });
    let world = World::new(&api.base());
    world
        .run(&["onecodex", "a", "--retries", "0"])
        .exits(5)
        .says("the paid URL is kept until then");
    assert_eq!(state(&world).as_deref(), Some("answered"));
    let run = world.run(&["onecodex", "a", "--json"]);
    assert_eq!(run.exits(0).records()[0]["resolves"], 0);
    assert_eq!(state(&world).as_deref(), Some("delivered"));
    // And for another run, as long as the URL lives.
    world.run(&["onecodex", "a", "-o", "again"]).exits(0);
    let url = world.run_showing(&["url", "onecodex", "a"]);
    assert_eq!(
        url.exits(0).stdout.trim(),
        presigned(&storage.base(), "/x.txt")
    );
    assert_eq!(posts(&api), 1);
}

#[test]
fn a_printed_url_is_the_same_retrieval_as_a_fetched_document() {
    let (service, content) = Service::with("x.bin", 1000, &[]);
    let world = service.world();
    let first = world.run_showing(&["url", "onecodex", "doc1"]).stdout;
    assert_eq!(state(&world).as_deref(), Some("delivered"));
    assert_eq!(
        world.run_showing(&["url", "onecodex", "doc1"]).stdout,
        first
    );
    world.run(&["onecodex", "doc1"]).exits(0);
    assert_eq!(world.read("x.bin"), content);
    assert_eq!(service.charges(), 1);
}

#[test]
fn a_retrieval_in_doubt_is_not_repeated_until_it_is_permitted_or_forgotten() {
    let no_url = r#"{"download_uri":"nonsense"}"#;
    for answer in [
        ("", &[][..], ""),
        ("500 Oops", &[][..], ""),
        ("503 Busy", &[("Retry-After", "1")][..], ""),
        ("408 Late", &[][..], ""),
        ("200 OK", &[][..], "{"),
        ("200 OK", &[][..], no_url),
        ("204 None", &[][..], ""),
        ("202 Accepted", &[][..], "{}"),
    ] {
        let (api, _storage) = answering(vec![answer, answer]);
        let world = World::new(&api.base());
        let run = world.run(&["onecodex", "a", "--json"]);
        assert_eq!(run.exits(8).error_code(), "charge_unknown", "{answer:?}");
        run.says("may have been charged").says("--allow-recharge");
        for arguments in [
            &["onecodex", "a", "--json"][..],
            &["onecodex", "a", "--json", "-o", "y"],
        ] {
            let run = world.run(arguments);
            assert_eq!(run.exits(8).error_code(), "charge_refused", "{answer:?}");
            run.says("may have been charged")
                .says("docfetch ledger forget a");
        }
        world.run(&["url", "onecodex", "a"]).exits(8);
        assert_eq!(posts(&api), 1, "{answer:?}");
        assert_eq!(state(&world).as_deref(), Some("doubtful"), "{answer:?}");
        // Permitted once, and in doubt again; then given up.
        world.run(&["onecodex", "a", "--allow-recharge"]).exits(8);
        assert_eq!(posts(&api), 2);
        world.run(&["onecodex", "a"]).exits(8);
        assert_eq!(world.run(&["ledger", "forget", "a"]).exits(0).stdout, "a\n");
        assert_eq!(state(&world), None);
        world.run(&["onecodex", "a"]).exits(0);
        assert_eq!(posts(&api), 3);
        assert_eq!(world.files(), ["x.txt"]);
    }
}

#[test]
fn permission_is_a_flag_of_each_run_and_nothing_else() {
    let (api, _storage) = answering(vec![("", &[], "")]);
    let mut world = World::new(&api.base());
    world.run(&["onecodex", "a"]).exits(8);
    world.set("DOCFETCH_ALLOW_RECHARGE", "1");
    world.run(&["onecodex", "a"]).exits(8);
    assert_eq!(posts(&api), 1);
    world
        .run(&["onecodex", "a", "--allow-recharge"])
        .exits(0)
        .says("requesting another paid retrieval of a");
    assert_eq!(posts(&api), 2);
    // A living URL is used whatever is permitted.
    world
        .run(&["onecodex", "a", "--allow-recharge", "-o", "y"])
        .exits(0);
    assert_eq!(posts(&api), 2);
}

#[test]
fn an_answer_without_a_charge_leaves_nothing_to_remember() {
    for (answer, exit) in [
        (("404 Not Found", &[][..], "{}"), 4),
        (("402 Payment Required", &[][..], "{}"), 4),
        (("403 Forbidden", &[][..], "{}"), 4),
        (("401 Unauthorized", &[][..], "{}"), 3),
        (("400 Bad Request", &[][..], "{}"), 4),
        (("429 Slow", &[][..], "{}"), 5),
        (
            ("307 There", &[("Location", "http://127.0.0.1:1/")][..], ""),
            9,
        ),
    ] {
        let (api, _storage) = answering(vec![answer]);
        let world = World::new(&api.base());
        world.run(&["onecodex", "a"]).exits(exit);
        assert_eq!((posts(&api), state(&world)), (1, None), "{answer:?}");
        world.run(&["onecodex", "a"]).exits(0);
        assert_eq!(posts(&api), 2, "{answer:?}");
    }
}

#[test]
fn an_answer_without_a_charge_does_not_settle_an_older_doubt() {
    let (api, _storage) = answering(vec![("", &[], ""), ("404 Not Found", &[], "{}")]);
    let world = World::new(&api.base());
    world.run(&["onecodex", "a"]).exits(8);
    world.run(&["onecodex", "a", "--allow-recharge"]).exits(4);
    world.run(&["onecodex", "a"]).exits(8);
    assert_eq!(posts(&api), 2);
}

#[test]
fn the_ledger_records_the_request_before_it_leaves_and_the_answer_before_the_transfer() {
    type Seen = Arc<Mutex<Vec<(String, String)>>>;
    fn note(seen: &Seen, folder: &Mutex<PathBuf>, who: &str) {
        let entries = fs::read_dir(&*folder.lock().unwrap()).unwrap();
        let records = entries.map(|entry| entry.unwrap().path());
        let json = records.filter(|path| path.extension().is_some_and(|kind| kind == "json"));
        let states = json.map(|path| {
            let journal = fs::read_to_string(path).unwrap();
            let record: Value = serde_json::from_str(journal.lines().last().unwrap()).unwrap();
            record["state"].as_str().unwrap().to_owned()
        });
        let states: Vec<_> = states.collect();
        seen.lock().unwrap().push((who.to_owned(), states.concat()));
    }
    let (seen, folder): (Seen, Arc<Mutex<PathBuf>>) = Default::default();
    let (at_storage, folder_there) = (Arc::clone(&seen), Arc::clone(&folder));
    let storage = Raw::start(move |_, stream| {
        note(&at_storage, &folder_there, "storage");
        reply(stream, "200 OK", &[], b"x");
    });
    let url = presigned(&storage.base(), "/x.txt");
    let (at_api, folder_there) = (Arc::clone(&seen), Arc::clone(&folder));
    let api = Raw::start(move |request, stream| {
        if request.method == "POST" {
            note(&at_api, &folder_there, "api");
        }
        api(request, stream, &url);
    });
    let world = World::new(&api.base());
    *folder.lock().unwrap() = world.state().join("ledger");
    world.run(&["onecodex", "a"]).exits(0);
    let expected = [("api", "attempting"), ("storage", "answered")];
    let expected = expected.map(|(who, state)| (who.to_owned(), state.to_owned()));
    assert_eq!(*seen.lock().unwrap(), expected);
}

/// A power failure takes what is not synced.
#[test]
fn what_the_ledger_says_is_on_disk_before_the_next_request_leaves() {
    if !strace() {
        return;
    }
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[TAG], b"content"));
    let url = presigned(&storage.base(), "/x.txt");
    let api = Raw::start(move |request, stream| api(request, stream, &url));
    let world = World::new(&api.base());
    let folder = tempfile::tempdir().unwrap(); // the trace shows all that is sent
    let trace = folder.path().join("trace");
    let calls = "trace=write,writev,sendto,pwrite64,fdatasync,fsync,rename";
    let options = ["-f", "-qq", "-s", "400", "-e", calls, "-o"];
    let program = [
        trace.to_str().unwrap(),
        env!("CARGO_BIN_EXE_docfetch"),
        "onecodex",
        "a",
    ];
    let arguments: Vec<&str> = options.iter().chain(&program).copied().collect();
    world.run_of("strace", &arguments).exits(0);
    assert_eq!(storage.count("GET", "/x.txt"), 1);
    let trace = fs::read_to_string(&trace).unwrap();
    let mut calls = trace.lines();
    for sought in [
        "\\\"attempting\\\"",
        "fdatasync = 0",
        "rename",
        "fsync = 0",
        "POST /",
        "\\\"answered\\\"",
        "fdatasync = 0",
        "GET /x.txt?",
    ] {
        let there = |call: &str| match sought.strip_suffix(" = 0") {
            Some(name) => call.contains(&format!(" {name}")) && call.ends_with("= 0"),
            None => call.contains(sought),
        };
        assert!(calls.any(there), "no {sought} in its turn");
    }
}

#[test]
fn a_process_that_is_killed_before_the_answer_leaves_a_doubt() {
    let server = Raw::start(|request, stream| match request.method.as_str() {
        "POST" => std::thread::sleep(SILENCE),
        _ => api(request, stream, ""),
    });
    let world = World::new(&server.base());
    let child = world.command(&["onecodex", "a"]).spawn().unwrap();
    world.wait_until("a POST", || posts(&server) == 1);
    // While the process lives, its request is under way, and the user cannot forget it.
    assert_eq!(state(&world).as_deref(), Some("attempting"));
    world.run(&["ledger", "forget", "a"]).exits(7);
    kill(child);
    assert_eq!(state(&world).as_deref(), Some("doubtful"));
    let run = world.run(&["onecodex", "a", "--json"]);
    assert_eq!(run.exits(8).error_code(), "charge_refused");
    run.says("recorded no answer");
    assert_eq!(posts(&server), 1);
}

#[test]
fn an_interrupt_while_the_answer_is_awaited_leaves_a_doubt() {
    let server = Raw::start(|request, stream| match request.method.as_str() {
        "POST" => std::thread::sleep(SILENCE),
        _ => api(request, stream, ""),
    });
    let world = World::new(&server.base());
    let child = world.command(&["onecodex", "a"]).spawn().unwrap();
    world.wait_until("a POST", || posts(&server) == 1);
    send(&child, Signal::INT);
    let run = world.finish(child, Instant::now());
    run.is_prompt().exits(130).says("may have been charged");
    world.run(&["onecodex", "a"]).exits(8);
    assert_eq!(posts(&server), 1);
}

/// The answer comes a moment after the interrupt.
#[test]
fn an_interrupt_gives_a_paid_request_the_time_to_be_answered() {
    let (storage, content) = (
        Raw::start(|_, stream| reply(stream, "200 OK", &[], b"x")),
        b"x",
    );
    let url = presigned(&storage.base(), "/x.bin");
    let server = Raw::start(move |request, stream| {
        if request.method == "POST" {
            std::thread::sleep(Duration::from_millis(300));
        }
        api(request, stream, &url);
    });
    let world = World::new(&server.base());
    let child = world.command(&["onecodex", "a"]).spawn().unwrap();
    world.wait_until("a POST", || posts(&server) == 1);
    send(&child, Signal::INT);
    world.finish(child, Instant::now()).exits(130);
    // The document may even arrive before the process looks whether it may stop.
    let state = state(&world);
    assert!(
        matches!(state.as_deref(), Some("answered" | "delivered")),
        "{state:?}"
    );
    world
        .run(&["onecodex", "a", "--if-exists", "skip"])
        .exits(0);
    assert_eq!((world.read("x.bin"), posts(&server)), (content.to_vec(), 1));
}

#[test]
fn a_process_that_is_killed_after_the_answer_costs_nothing_more() {
    let (service, content) = Service::with("x.bin", 1 << 20, &["throttle=1M"]);
    let world = service.world();
    let child = world.command(&["onecodex", "doc1"]).spawn().unwrap();
    world.wait_for_partial(300_000);
    kill(child);
    let before = service.report().storage_bytes;
    let run = world.run(&["onecodex", "doc1", "--json"]);
    assert!(run.exits(0).records()[0]["resumed_from"].as_u64().unwrap() >= 200_000);
    assert!(service.report().storage_bytes - before < 850_000);
    assert_eq!(world.read("x.bin"), content);
    assert_eq!(world.files(), ["x.bin"]);
    assert_eq!(service.charges(), 1);
}

#[test]
fn two_processes_in_two_folders_ask_once() {
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"content"));
    let url = presigned(&storage.base(), "/x.txt");
    let server = Raw::start(move |request, stream| {
        if request.method == "POST" {
            std::thread::sleep(Duration::from_millis(700));
        }
        api(request, stream, &url);
    });
    let world = World::new(&server.base());
    let children = ["one", "two", "three"].map(|folder| {
        let mut command = world.command(&["onecodex", "a", "-d", folder]);
        (command.spawn().unwrap(), Instant::now())
    });
    for (child, started) in children {
        world.finish(child, started).exits(0);
    }
    for folder in ["one", "two", "three"] {
        assert_eq!(world.read(&format!("{folder}/x.txt")), b"content");
    }
    assert_eq!(posts(&server), 1);
}

/// A paid document whose URL expires during the transfer: first `first` bytes, then no more until
/// docfetch requests a new URL.
fn dying(first: usize, content: Vec<u8>) -> (Raw, Raw) {
    let asked = Arc::new(AtomicUsize::new(0));
    let living = Arc::clone(&asked);
    let served = AtomicUsize::new(0);
    let storage = Raw::start(move |request: &Request, stream: &mut TcpStream| {
        let generation = living.load(Ordering::SeqCst);
        if generation == 1 && served.fetch_add(1, Ordering::SeqCst) > 0 {
            return reply(stream, "403 Forbidden", &[], EXPIRED);
        }
        let start = request.range_start().unwrap_or(0);
        let rest = &content[start..];
        let range = format!("bytes {start}-{}/{}", content.len() - 1, content.len());
        match start {
            0 => head(stream, "200 OK", &[TAG], Some(content.len())),
            _ => head(
                stream,
                "206 Partial Content",
                &[TAG, ("Content-Range", &range)],
                Some(rest.len()),
            ),
        }
        let most = if generation == 1 { first } else { rest.len() };
        let _ = stream.write_all(&rest[..most]);
    });
    let base = storage.base();
    let api = Raw::start(move |request, stream| {
        if request.method == "POST" {
            asked.fetch_add(1, Ordering::SeqCst);
        }
        let url = format!("{}&n={}", presigned(&base, "/x.bin"), request.before);
        api(request, stream, &url);
    });
    (api, storage)
}

#[test]
fn a_paid_url_that_dies_too_early_is_not_replaced_without_permission() {
    let content = noise(300_000);
    let (api, storage) = dying(200_000, content.clone());
    let world = World::new(&api.base());
    let run = world.run(&["onecodex", "a", "--json"]);
    assert_eq!(run.exits(8).error_code(), "charge_refused");
    run.says("expired, and the document was not delivered");
    assert_eq!(world.files().len(), 2, "the partial is kept");
    // A later run knows without a request.
    let before = storage.seen().len();
    world
        .run(&["onecodex", "a"])
        .exits(8)
        .says("--allow-recharge");
    assert_eq!((posts(&api), storage.seen().len()), (1, before));
    let run = world.run(&["onecodex", "a", "--json", "--allow-recharge"]);
    assert_eq!(run.exits(0).records()[0]["resumed_from"], 200_000);
    assert_eq!(posts(&api), 2);
    assert_eq!(world.read("x.bin"), content);
}

#[test]
fn a_run_that_permits_another_charge_permits_one() {
    let (api, _storage) = both("/x.txt", |_, stream| {
        reply(stream, "403 Forbidden", &[], EXPIRED)
    });
    let world = World::new(&api.base());
    let run = world.run(&["onecodex", "a", "--allow-recharge", "--json"]);
    assert_eq!(run.exits(8).error_code(), "charge_refused");
    assert_eq!(posts(&api), 2);
}

#[test]
fn a_document_whose_bytes_are_all_here_needs_no_url() {
    let content = vec![b'x'; 300_000];
    let target: Arc<Mutex<PathBuf>> = Arc::default();
    let (in_the_way, body) = (Arc::clone(&target), content.clone());
    let (api, storage) = both("/x.bin", move |request, stream| match request.before {
        0 => {
            head(stream, "200 OK", &[TAG], Some(body.len()));
            let _ = stream.write_all(&body[1..]);
            std::thread::sleep(Duration::from_millis(300));
            fs::write(&*in_the_way.lock().unwrap(), "came up meanwhile").unwrap();
            let _ = stream.write_all(&body[..1]);
        }
        _ => reply(stream, "403 Forbidden", &[], EXPIRED),
    });
    let world = World::new(&api.base());
    *target.lock().unwrap() = world.out().join("x.bin");
    world.run(&["onecodex", "a"]).exits(7);
    fs::remove_file(world.out().join("x.bin")).unwrap();
    let before = storage.seen().len();
    world.run(&["onecodex", "a"]).exits(0);
    assert_eq!(world.read("x.bin"), content);
    assert_eq!((posts(&api), storage.seen().len()), (1, before));
    assert_eq!(state(&world).as_deref(), Some("delivered"));
}

#[test]
fn a_delivered_document_whose_url_expired_is_a_new_retrieval() {
    let dead = Arc::new(AtomicBool::new(false));
    let now_dead = Arc::clone(&dead);
    let (api, _storage) = both("/x.txt", move |_, stream| {
        match now_dead.swap(false, Ordering::SeqCst) {
            true => reply(stream, "403 Forbidden", &[], EXPIRED),
            false => reply(stream, "200 OK", &[], b"content"),
        }
    });
    let world = World::new(&api.base());
    world.run(&["onecodex", "a"]).exits(0);
    dead.store(true, Ordering::SeqCst);
    let run = world.run(&["onecodex", "a", "-o", "y", "--json"]);
    run.exits(0).says("requesting a new paid retrieval");
    assert_eq!(run.records()[0]["resolves"], 1);
    assert_eq!(posts(&api), 2);
}

#[test]
fn a_delivered_document_whose_name_cannot_be_learned_is_not_paid_for_again() {
    let answers = [
        ("503 Busy", "{}"),
        ("408 Late", "{}"),
        ("429 Slow", "{}"),
        ("302 Log in", ""),
        ("200 OK", "<html>"),
        ("200 OK", r#"{"filename":"#),
    ];
    each_at_once(answers, |(status, body)| {
        let broken = Arc::new(AtomicBool::new(false));
        let (expired, unnamed) = (Arc::clone(&broken), Arc::clone(&broken));
        let storage = Raw::start(move |_, stream| match expired.load(Ordering::SeqCst) {
            true => reply(stream, "403 Forbidden", &[], EXPIRED),
            false => reply(stream, "200 OK", &[], b"content"),
        });
        let url = presigned(&storage.base(), "/x.txt");
        let server = Raw::start(move |request, stream| match request.method.as_str() {
            "GET" if unnamed.load(Ordering::SeqCst) => reply(stream, status, &[], body.as_bytes()),
            "GET" => reply(stream, "200 OK", &[], br#"{"filename":"x.txt","size":7}"#),
            _ => api(request, stream, &url),
        });
        let world = World::new(&server.base());
        world.run(&["onecodex", "a"]).exits(0);
        broken.store(true, Ordering::SeqCst);
        for if_exists in ["fail", "skip"] {
            let run = world.run(&["onecodex", "a", "--json", "--if-exists", if_exists]);
            let code = run.exits(8).error_code();
            assert_eq!(code, "charge_refused", "{status} {body}");
            run.says("a was delivered before")
                .says("name the file with -o");
            assert_eq!(posts(&server), 1, "{status} {body}");
        }
        world.run(&["onecodex", "a", "--allow-recharge"]);
        let permitted = if body == "<html>" { 1 } else { 2 };
        assert_eq!(posts(&server), permitted, "{status} {body}");
    });
}

#[test]
fn a_delivered_document_that_has_no_name_is_a_new_retrieval() {
    let answers = [("404 None", "{}"), ("410 Gone", "{}"), ("200 OK", "{}")];
    each_at_once(answers, |(status, body)| {
        let calls = AtomicUsize::new(0);
        let storage = Raw::start(
            move |_, stream| match calls.fetch_add(1, Ordering::SeqCst) {
                1 => reply(stream, "403 Forbidden", &[], EXPIRED),
                _ => reply(stream, "200 OK", &[], b"content"),
            },
        );
        let url = presigned(&storage.base(), "/x.txt");
        let server = Raw::start(move |request, stream| match request.method.as_str() {
            "GET" => reply(stream, status, &[], body.as_bytes()),
            _ => api(request, stream, &url),
        });
        let world = World::new(&server.base());
        world.run(&["onecodex", "a"]).exits(0);
        let again = ["onecodex", "a", "--if-exists", "overwrite"];
        let run = world.run(&again);
        run.exits(0).says("requesting a new paid retrieval");
        assert_eq!(posts(&server), 2, "{status} {body}");
    });
}

#[test]
fn nothing_is_paid_where_something_else_than_the_api_answers() {
    let answers = [
        ("200 OK", "<html>log in</html>", 5, "protocol"),
        ("401 No", "{}", 3, "credentials_rejected"),
        ("511 Log in", "<html>", 5, "provider_error"),
    ];
    each_at_once(answers, |(status, body, exit, code)| {
        let server = Raw::start(move |request, stream| match request.method.as_str() {
            "GET" => reply(stream, status, &[], body.as_bytes()),
            _ => api(request, stream, "http://127.0.0.1:1/x"),
        });
        let world = World::new(&server.base());
        let run = world.run(&["onecodex", "a", "--json"]);
        assert_eq!(run.exits(exit).error_code(), code);
        world.run(&["onecodex", "a", "b", "--dry-run"]).exits(exit);
        world.run(&["url", "onecodex", "a"]).exits(exit);
        assert_eq!(posts(&server), 0, "{status}");
    });
}

#[test]
fn a_url_in_any_success_is_used() {
    each_at_once(["201 Made", "202 Accepted", "203 Other"], |status| {
        let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[TAG], b"content"));
        let url = presigned(&storage.base(), "/x.txt");
        let body = serde_json::json!({"download_uri": url, "filename": "y.txt"}).to_string();
        let server = Raw::start(move |_, stream| reply(stream, status, &[], body.as_bytes()));
        let world = World::new(&server.base());
        world.run(&["onecodex", "a"]).exits(0);
        assert_eq!(world.read("y.txt"), b"content");
        assert_eq!(state(&world).as_deref(), Some("delivered"));
    });
}

#[test]
fn a_retrieval_that_has_begun_is_no_new_one() {
    let content = noise(300_000);
    for part in [true, false] {
        // Delivered by `url`; then the document is begun, and the URL dies.
        let (api, _storage) = dying(if part { 200_000 } else { 0 }, content.clone());
        let world = World::new(&api.base());
        world.run_showing(&["url", "onecodex", "a"]).exits(0);
        let run = world.run(&["onecodex", "a", "--json"]);
        if part {
            assert_eq!(run.exits(8).error_code(), "charge_refused");
            run.says("only a part of the document is on disk");
            world.run(&["onecodex", "a"]).exits(8);
            assert_eq!(posts(&api), 1);
            world.run(&["onecodex", "a", "--allow-recharge"]).exits(0);
        } else {
            run.exits(0).says("requesting a new paid retrieval");
        }
        assert_eq!(posts(&api), 2);
        assert!(world.read("x.bin") == content);
    }
}

#[test]
fn a_charge_is_told_even_with_quiet() {
    let content = noise(300_000);
    let (api, _storage) = dying(0, content);
    let mut world = World::new(&api.base());
    world.run_showing(&["url", "onecodex", "a"]).exits(0);
    world
        .run(&["onecodex", "a", "-q"])
        .exits(0)
        .says("requesting a new paid retrieval");
    world.set("DOCFETCH_STATE_DIR", "/dev/null/state");
    world
        .run(&["onecodex", "a", "-q", "-o", "y"])
        .exits(0)
        .says("paid retrievals are remembered in this run only");
}

#[test]
fn an_old_doubt_is_not_told_of_failures_that_have_nothing_to_do_with_it() {
    let (api, _storage) = answering(vec![("", &[], "")]);
    let world = World::new(&api.base());
    world.run(&["onecodex", "a"]).exits(8);
    fs::write(world.out().join("there"), "").unwrap();
    for arguments in [
        &["onecodex", "a", "-o", "there"][..],
        &["onecodex", "a", "-o", "there", "--dry-run"],
    ] {
        let run = world.run(arguments);
        run.exits(7).says("--if-exists");
        assert!(!run.stderr.contains("charge"), "{run:?}");
    }
}

#[test]
fn a_failure_before_the_recorded_url_is_used_says_how_long_the_url_is_kept() {
    let (api, _storage) = both("/x.txt", |_, stream| reply(stream, "503 Busy", &[], b""));
    let world = World::new(&api.base());
    let fetch = ["onecodex", "a", "--retries", "0"];
    world.run(&fetch).exits(5);
    fs::write(world.out().join("there"), "").unwrap();
    let run = world.run(&["onecodex", "a", "-o", "there"]);
    run.exits(7)
        .says("choose --if-exists skip, overwrite or rename; the paid URL is kept for 59 min");
    assert_eq!(posts(&api), 1);
}

#[test]
fn a_charge_for_a_document_that_turns_out_to_exist_is_told_also_with_quiet() {
    let (api, _storage) = both("/x.txt", |_, stream| reply(stream, "200 OK", &[], b"x"));
    let world = World::new(&api.base());
    fs::write(world.out().join("x.txt"), "older").unwrap();
    let skip = ["onecodex", "a", "--if-exists", "skip", "-q"];
    let run = world.run(&skip);
    run.exits(0).says(
        "warning: docfetch paid for a before it knew that x.txt exists; the paid URL is kept for 59 min\n",
    );
    assert!(world.run(&skip).exits(0).stderr.is_empty());
    assert_eq!(posts(&api), 1);
}

#[test]
fn a_paid_request_without_an_answer_for_half_a_minute_is_told_once() {
    let server = Raw::start(|request, stream| match request.method.as_str() {
        "POST" => std::thread::sleep(SILENCE),
        _ => api(request, stream, ""),
    });
    let world = World::new(&server.base());
    let child = world.command(&["onecodex", "a", "b"]).spawn().unwrap();
    world.wait_until("the POSTs", || posts(&server) == 2);
    std::thread::sleep(Duration::from_secs(31));
    send(&child, Signal::INT);
    let run = world.finish(child, Instant::now());
    let told =
        "waiting for the answer to a paid request for 30 s; docfetch waits at most 5 min more";
    assert_eq!(run.exits(130).stderr.matches(told).count(), 1, "{run:?}");
}

#[test]
fn a_paid_url_that_is_refused_for_safety_is_kept() {
    let server = Raw::start(|request, stream| api(request, stream, "https://10.0.0.1/x?sig=1"));
    let world = World::new(&server.base());
    for _ in 0..2 {
        let run = world.run(&["onecodex", "a", "--json"]);
        assert_eq!(run.exits(9).error_code(), "private_address");
        run.says("is kept for a later run").says("--allow-private");
    }
    assert_eq!(posts(&server), 1);
    // One that no flag makes safe can be given up.
    let server = Raw::start(|request, stream| api(request, stream, "http://b.example/x?sig=1"));
    World::new(&server.base())
        .run(&["onecodex", "a"])
        .exits(9)
        .says("`docfetch ledger forget a` gives the paid URL up");
}

#[test]
fn a_digest_that_is_wrong_leaves_the_paid_url() {
    let (api, _storage) = both("/x.txt", |_, stream| reply(stream, "200 OK", &[], b"x"));
    let world = World::new(&api.base());
    let wrong = "0".repeat(64);
    let run = world.run(&["onecodex", "a", "--sha256", &wrong]);
    run.exits(6).says("the paid URL is kept for 59 min");
    world.run(&["onecodex", "a"]).exits(0);
    assert_eq!(posts(&api), 1);
}

#[test]
fn a_dry_run_tells_what_a_real_one_would_cost() {
    let (api, _storage) = answering(vec![("", &[], "")]);
    let world = World::new(&api.base());
    let dry = |more: &[&'static str]| {
        let arguments = ["onecodex", "a", "--dry-run"];
        let arguments: Vec<&str> = arguments.iter().chain(more).copied().collect();
        world.run(&arguments)
    };
    let costs = |run: &Run| run.stderr.lines().last().unwrap_or_default().to_owned();
    let pays = "a real run would request 1 paid retrieval";
    let refuses = "a real run would request 0 paid retrievals, and refuse 1 document \
                   (by --max-charges or `docfetch ledger list`)";
    assert_eq!(costs(dry(&[]).exits(0)), pays);
    assert_eq!(costs(dry(&["-q"]).exits(0)), pays);
    assert_eq!(costs(dry(&["--max-charges", "0"]).exits(0)), refuses);
    world.run(&["onecodex", "a"]).exits(8);
    assert_eq!(costs(dry(&[]).exits(0)), refuses);
    assert_eq!(costs(dry(&["--allow-recharge"]).exits(0)), pays);
    world.run(&["onecodex", "a", "--allow-recharge"]).exits(0);
    let reuses = "a real run would request 0 paid retrievals, use 1 recorded URL again";
    assert_eq!(costs(dry(&["-o", "y"]).exits(0)), reuses);
    let summary = dry(&["-o", "y", "--json"]).records().remove(1);
    let counts = ["planned", "would_charge", "would_reuse", "would_refuse"];
    let counts = counts.map(|field| summary[field].as_u64());
    assert_eq!(counts, [1, 0, 1, 0].map(Some));
    assert_eq!(posts(&api), 2);
}

#[test]
fn a_url_that_is_forgotten_while_it_lives_is_said_so() {
    let (api, _storage) = answering(vec![]);
    let world = World::new(&api.base());
    world.run(&["onecodex", "a"]).exits(0);
    world
        .run(&["ledger", "forget", "a"])
        .exits(0)
        .says("would have stayed valid for 59 min");
}

#[test]
fn the_hint_of_a_failure_before_the_url_is_its_own() {
    let (service, _) = Service::with("x.bin", 1 << 20, &["throttle=500K"]);
    let world = service.world();
    let first = world.command(&["onecodex", "doc1"]).spawn().unwrap();
    world.wait_for_partial(1);
    world
        .run(&["onecodex", "doc1", "--retry-max-time", "300ms"])
        .exits(7)
        .says("wait for the other process");
    kill(first);
}

#[test]
fn a_request_that_waits_for_the_rate_budget_is_no_doubt_yet() {
    let (api, _storage) = answering(vec![]);
    let world = World::new(&api.base());
    // The metadata takes the only slot.
    let arguments = ["onecodex", "a", "--rate-limit", "1/1m"];
    let child = world.command(&arguments).spawn().unwrap();
    world.wait_until("the metadata", || api.count("GET", "/") == 1);
    std::thread::sleep(Duration::from_millis(500));
    send(&child, Signal::INT);
    world.finish(child, Instant::now()).exits(130);
    assert_eq!((posts(&api), state(&world)), (0, None));
    world.run(&["onecodex", "a"]).exits(0);
}

#[test]
fn a_process_that_ends_before_its_connection_stands_has_sent_no_request() {
    for signal in [Signal::INT, Signal::KILL] {
        // Takes the first connection, of the metadata, and closes it; answers no handshake after.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                if count.fetch_add(1, Ordering::SeqCst) > 0 {
                    held.push(stream);
                }
            }
        });
        let world = World::new(&base);
        let child = world.command(&["onecodex", "a"]).spawn().unwrap();
        world.wait_until("a handshake", || taken.load(Ordering::SeqCst) == 2);
        std::thread::sleep(Duration::from_millis(200));
        send(&child, signal);
        let run = world.finish(child, Instant::now());
        assert!(!run.stderr.contains("charged"), "{run:?}");
        assert_eq!(state(&world), None, "{signal:?}");
    }
}

#[test]
fn a_record_that_cannot_even_be_looked_at_refuses() {
    if !strace() {
        return;
    }
    let (api, _storage) = answering(vec![]);
    let world = World::new(&api.base());
    world.run(&["onecodex", "a"]).exits(0);
    let path = world.record("ledger");
    let inject = ["-f", "-qq", "-o", "/dev/null", "-P", path.to_str().unwrap()];
    let fault = ["-e", "trace=statx", "-e", "inject=statx:error=EIO"];
    let run = [env!("CARGO_BIN_EXE_docfetch"), "onecodex", "a", "-o", "y"];
    let arguments: Vec<&str> = inject.iter().chain(&fault).chain(&run).copied().collect();
    world
        .run_of("strace", &arguments)
        .exits(8)
        .says("correct that folder");
    assert_eq!(posts(&api), 1);
}

#[test]
fn an_interrupt_while_a_429_is_waited_for_leaves_no_doubt() {
    let (api, _storage) = answering(vec![("429 Slow", &[("Retry-After", "30")], "{}")]);
    let world = World::new(&api.base());
    let child = world.command(&["onecodex", "a"]).spawn().unwrap();
    world.wait_until("a POST", || posts(&api) == 1);
    std::thread::sleep(Duration::from_millis(300));
    send(&child, Signal::TERM);
    let run = world.finish(child, Instant::now());
    assert!(!run.exits(143).stderr.contains("charged"), "{run:?}");
    assert_eq!(state(&world), None);
    world.run(&["onecodex", "a"]).exits(0);
}

#[test]
fn another_account_is_another_retrieval() {
    let (api, _storage) = answering(vec![("", &[], "")]);
    let mut world = World::new(&api.base());
    world.run(&["onecodex", "a"]).exits(8);
    world.set("ONE_CODEX_API_KEY", "another-key-of-the-same-user");
    world.run(&["onecodex", "a"]).exits(0);
    let run = world.run(&["ledger", "list"]);
    assert_eq!(run.exits(0).stdout.lines().count(), 2);
    // Two records match, and none is given up; the credentials that are set mean one of them.
    world
        .run(&["ledger", "forget", "/api/v1/documents/a"])
        .exits(2);
    assert_eq!(world.run(&["ledger", "list"]).stdout.lines().count(), 2);
    let base = api.base();
    let words = ["ledger", "forget", "onecodex", "a"];
    let words = [&words[..], &["--resource", "documents", "--base", &base]].concat();
    world.run(&words).exits(0);
    assert!(world.run(&["ledger", "list"]).stdout.contains("doubtful"));
    world.run(&["ledger", "forget", "a"]).exits(0);
    assert_eq!(world.run(&["ledger", "list"]).stdout, "");
    world.run(&["ledger", "forget", "a"]).exits(4).says(
        "there is no record of \"a\"\n  why: the ledger holds no paid retrieval that matches",
    );
}

#[test]
fn the_way_out_of_a_sample_in_doubt_leaves_the_document_of_its_id_alone() {
    let (api, _storage) = answering(vec![("", &[], ""), ("", &[], "")]);
    let world = World::new(&api.base());
    let sample = ["onecodex", "a", "--resource", "samples"];
    for _ in ["asked", "refused"] {
        world
            .run(&sample)
            .exits(8)
            .says("`docfetch ledger forget /api/v1/samples/a`");
    }
    world.run(&["onecodex", "a"]).exits(8);
    let forget = ["ledger", "forget", "/api/v1/samples/a"];
    world.run(&forget).exits(0);
    let left = world.run(&["ledger", "list"]).exits(0).stdout.clone();
    assert_eq!(left.lines().count(), 1);
    world.run(&["onecodex", "a"]).exits(8);
    for path in fs::read_dir(world.state().join("ledger")).unwrap() {
        fs::write(path.unwrap().path(), "spoilt\n").unwrap();
    }
    world
        .run(&["onecodex", "a"])
        .exits(8)
        .says("`docfetch ledger forget a`");
}

#[test]
fn a_record_that_cannot_be_trusted_refuses_and_can_be_given_up() {
    type Spoil = fn(&std::path::Path);
    let spoils: [(&str, Spoil); 7] = [
        ("plain file", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("no record", |path| fs::write(path, "{").unwrap()),
        ("no record", |path| fs::write(path, "").unwrap()),
        ("open to other users", |path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        }),
        ("symbolic link", |path| {
            let elsewhere = path.with_extension("elsewhere");
            fs::rename(path, &elsewhere).unwrap();
            std::os::unix::fs::symlink(elsewhere, path).unwrap();
        }),
        ("another name", |path| {
            fs::hard_link(path, path.with_extension("elsewhere")).unwrap();
        }),
        ("another user", |path| {
            if std::os::unix::fs::chown(path, Some(12345), None).is_err() {
                skip("only root can give a file away");
                fs::write(path, "another user").unwrap();
            }
        }),
    ];
    for (why, spoil) in spoils {
        let (api, _storage) = answering(vec![("503 Busy", &[], "")]);
        let world = World::new(&api.base());
        world.run(&["onecodex", "a"]).exits(8);
        spoil(&world.record("ledger"));
        for more in [&["-q"][..], &["--allow-recharge"]] {
            let arguments: Vec<&str> = ["onecodex", "a"].iter().chain(more).copied().collect();
            let run = World::run_showing(&world, &arguments);
            run.exits(8)
                .says("cannot be trusted")
                .says("docfetch ledger forget a");
            let open = why.starts_with("open");
            assert_eq!(run.stderr.contains("chmod 600"), open, "{run:?}");
        }
        assert_eq!(posts(&api), 1, "{why}");
        let listed = World::run_showing(&world, &["ledger", "list"]);
        listed.exits(0).says("cannot be trusted");
        World::run_showing(&world, &["ledger", "forget", "a"]).exits(0);
        world.run_showing(&["onecodex", "a"]).exits(0);
        assert_eq!(posts(&api), 2, "{why}");
    }
}

/// What must hold where nothing can be remembered: said once, one POST a document and run.
fn forgetful(world: &World, api: &Raw) {
    let run = world.run(&["onecodex", "a", "b", "--json"]);
    assert_eq!(run.exits(8).error_code(), "charge_refused", "{run:?}");
    let said = run
        .stderr
        .matches("paid retrievals are remembered in this run only")
        .count();
    assert_eq!(said, 1, "{run:?}");
    assert_eq!(posts(api), 2);
}

#[test]
fn where_nothing_can_be_remembered_it_is_said_and_asked_once_a_run() {
    let always_expired = || {
        both("/x.txt", |_, stream| {
            reply(stream, "403 Forbidden", &[], EXPIRED)
        })
    };
    let (api, _storage) = always_expired();
    let mut world = World::new(&api.base());
    world.set("DOCFETCH_STATE_DIR", "/dev/null/state");
    forgetful(&world, &api);
    // A failure that a later run could mend says what that costs.
    let (api, _storage) = both("/x.txt", |_, stream| reply(stream, "503 Busy", &[], b""));
    world.set("ONE_CODEX_API_BASE", &api.base());
    world
        .run(&["onecodex", "a", "--retries", "0"])
        .exits(5)
        .says("running again may be charged");
    let (api, _storage) = always_expired();
    let mut command = World::new(&api.base()).command(&["onecodex", "a"]);
    let world = World::new(&api.base());
    let child = command.env_remove("HOME").current_dir(world.out());
    let child = child.spawn().unwrap();
    world
        .finish(child, Instant::now())
        .exits(8)
        .says("neither HOME nor DOCFETCH_STATE_DIR");
}

#[test]
fn a_state_folder_that_is_full_or_read_only_still_refuses_what_it_records() {
    if !mounts() {
        return;
    }
    for (options, fill) in [
        ("size=64k", "dd if=/dev/zero of=$D/fill 2>/dev/null;"),
        ("", ""),
    ] {
        let (api, _storage) = both("/x.txt", |_, stream| {
            reply(stream, "403 Forbidden", &[], EXPIRED)
        });
        let mut world = World::new(&api.base());
        let folder = world.home().join("given");
        fs::create_dir(&folder).unwrap();
        world.set("D", folder.to_str().unwrap());
        world.set("DOCFETCH_STATE_DIR", folder.to_str().unwrap());
        let binary = env!("CARGO_BIN_EXE_docfetch");
        let seal = if fill.is_empty() {
            "mount -o remount,ro $D;"
        } else {
            fill
        };
        let option = if options.is_empty() {
            String::new()
        } else {
            format!("-o {options}")
        };
        // The second document is new to the ledger, the first one is in it.
        let script = format!(
            "mount -t tmpfs {option} none $D || exit 99; {binary} onecodex a; {seal} {binary} onecodex a; \
             echo $? >codes; {binary} onecodex b b; echo $? >>codes"
        );
        let child = world.command_of("unshare", &["-m", "sh", "-c", &script]);
        let child = { child }.spawn().unwrap();
        let run = world.finish(child, Instant::now());
        // A disk that is full for a moment is not a folder that can never be written.
        let (codes, charges, said) = if fill.is_empty() {
            (
                b"8\n8\n",
                2,
                "paid retrievals are remembered in this run only",
            )
        } else {
            (b"8\n7\n", 1, "no paid request was sent for b")
        };
        assert_eq!(world.read("codes"), codes, "{run:?}");
        assert_eq!(posts(&api), charges, "{run:?}");
        run.says(said);
    }
}

#[test]
fn the_ledger_is_told_as_a_table_as_fields_and_as_records() {
    let (service, _) = Service::with("x.bin", 1000, &[]);
    let world = service.world();
    assert_eq!(world.run(&["ledger", "list"]).exits(0).stdout, "");
    world.run(&["onecodex", "doc1"]).exits(0);
    let records = world.run(&["ledger", "list", "--json"]).records();
    let fields: Vec<&String> = records[0].as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        [
            "provider", "base", "id", "resource", "state", "asked", "expires"
        ]
    );
    assert_eq!(records[0]["resource"], "documents");
    assert_eq!(records[0]["id"], "doc1");
    let run = world.run(&["ledger", "list"]);
    let fields: Vec<&str> = run.stdout.trim_end().split('\t').collect();
    assert_eq!(
        (fields[0], fields[1], fields[4], fields[5]),
        ("doc1", "delivered", "onecodex", "documents")
    );
}

/// Where a run fails: its code and what it says, for a paid document whose POST the API answers.
fn told(status: &'static str, body: &'static [u8]) -> Run {
    let (api, _storage) = both("/x.txt", move |_, stream| reply(stream, status, &[], body));
    World::new(&api.base()).run(&["onecodex", "a", "--retries", "0"])
}

#[test]
fn a_second_retrieval_that_fails_is_told_of_the_deadline_as_well() {
    let (api, _storage) = both("/x.txt", |_, stream| reply(stream, "503 Busy", &[], b""));
    let world = World::new(&api.base());
    world.run_showing(&["url", "onecodex", "a"]).exits(0);
    world
        .run(&["onecodex", "a", "--retries", "0"])
        .exits(5)
        .says("run again within 59 min");
}

#[test]
fn a_failure_after_the_answer_says_how_long_the_url_is_kept() {
    told("503 Busy", b"")
        .exits(5)
        .says("run again within 59 min");
    // An end that the API does not tell.
    let storage = Raw::start(|_, stream| reply(stream, "503 Busy", &[], b""));
    let body = format!(
        r#"{{"download_uri":"{}"}}"#,
        presigned(&storage.base(), "/x")
    );
    let server = Raw::start(move |request, stream| match request.method.as_str() {
        "POST" => reply(stream, "200 OK", &[], body.as_bytes()),
        _ => reply(stream, "404 Not Found", &[], b"{}"),
    });
    World::new(&server.base())
        .run(&["onecodex", "a", "--retries", "0"])
        .exits(5)
        .says("run again while the paid URL lives");
    // What a mere repetition does not mend has a hint of its own, before that.
    let denied = b"<Error><Code>AccessDenied</Code></Error>";
    told("403 Forbidden", denied)
        .exits(4)
        .says("ask the provider")
        .says("--allow-recharge pays for another retrieval");
    let missing = b"<Error><Code>NoSuchKey</Code></Error>";
    let (api, _storage) = both("/x.txt", move |_, stream| {
        reply(stream, "404 Not Found", &[], missing);
    });
    World::new(&api.base())
        .run(&["onecodex", "a", "--retry-max-time", "1s"])
        .exits(4)
        .says("`docfetch ledger forget a` gives the paid URL up");
}
