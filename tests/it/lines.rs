//! Connections that carry paid requests.

use crate::support::World;
use crate::support::raw::{Raw, Request, api, keep, keeping, presigned, read, reply};
use crate::support::tools::strace;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Paid requests as they came: the number of the connection, and the document.
type Posts = Arc<Mutex<Vec<(usize, String)>>>;

/// What a server does with a paid request on a connection.
enum Deed {
    Answer,
    /// Answers, and says this of how long the connection is kept.
    AnswerAndTell(&'static str),
    /// Answers, and closes the connection without a word after a while.
    AnswerAndClose(Duration),
    /// Closes the connection.
    Drop,
}

/// An API that keeps its connections and has all documents at `url`. `deed` is told of each paid
/// request: how many came before on its connection, since when that was idle, and the document.
///
/// The metadata of documents whose id says so takes its time.
fn api_that_keeps(
    url: String,
    deed: impl Fn(usize, Duration, &str) -> Deed + Send + Sync + 'static,
) -> (String, Posts) {
    let posts = Posts::default();
    let log = Arc::clone(&posts);
    let base = keeping(move |number, mut stream| {
        let (mut before, mut idle_since) = (0, Instant::now());
        while let Some(request) = read(&stream) {
            if request.method != "POST" {
                if request.path().contains("slow") {
                    std::thread::sleep(Duration::from_millis(200));
                }
                keep(&mut stream, "404 Not Found", "{}");
                continue;
            }
            let id = id_of(&request);
            log.lock().unwrap().push((number, id.clone()));
            let answer = json!({"download_uri": url, "expires_in_hours": 1}).to_string();
            let done = deed(before, idle_since.elapsed(), &id);
            if matches!(done, Deed::Drop) {
                return;
            }
            let status = match done {
                Deed::AnswerAndTell(kept) => format!("200 OK\r\nKeep-Alive: {kept}"),
                _ => "200 OK".to_owned(),
            };
            keep(&mut stream, &status, &answer);
            if let Deed::AnswerAndClose(after) = done {
                std::thread::sleep(after);
                return;
            }
            before += 1;
            idle_since = Instant::now();
        }
    });
    (base, posts)
}

/// `/api/v1/documents/ID/download_uri`
fn id_of(request: &Request) -> String {
    request.path().split('/').nth(4).unwrap().to_owned()
}

/// A storage that answers after `pause`.
fn storage(pause: Duration) -> (Raw, String) {
    let answer = move |_: &Request, stream: &mut TcpStream| {
        std::thread::sleep(pause);
        reply(stream, "200 OK", &[], b"content");
    };
    let storage = Raw::start(answer);
    let url = presigned(&storage.base(), "/x.txt");
    (storage, url)
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("id{number:02}")).collect()
}

fn fetching<'a>(ids: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    let name = if more.contains(&"--name") {
        &[][..]
    } else {
        &["--name", "{id}"]
    };
    let named = ["onecodex"].into_iter().chain(name.iter().copied());
    let ids = ids.iter().map(String::as_str);
    named
        .into_iter()
        .chain(more.iter().copied())
        .chain(ids)
        .collect()
}

fn connections(posts: &Posts) -> usize {
    let posts = posts.lock().unwrap();
    let numbers: std::collections::BTreeSet<usize> = posts.iter().map(|post| post.0).collect();
    numbers.len()
}

#[test]
fn documents_one_after_another_are_paid_on_one_connection() {
    let (_storage, url) = storage(Duration::ZERO);
    let (base, posts) = api_that_keeps(url, |_, _, _| Deed::Answer);
    let (world, ids) = (World::new(&base), ids(20));
    world.run(&fetching(&ids, &["-j", "1"])).exits(0);
    assert_eq!(connections(&posts), 1);
    assert_eq!(posts.lock().unwrap().len(), 20);
    assert_eq!(world.files(), ids);
}

#[test]
fn a_server_that_closes_after_each_answer_leaves_no_doubt() {
    let (_storage, url) = storage(Duration::ZERO);
    let server = Raw::start(move |request, stream| api(request, stream, &url));
    let (world, ids) = (World::new(&server.base()), ids(5));
    for jobs in ["1", "4"] {
        let out = format!("out{jobs}");
        world
            .run(&fetching(&ids, &["-j", jobs, "-d", &out]))
            .exits(0);
        world.run(&["ledger", "forget", "id00"]).exits(0);
    }
    assert_eq!(server.count("POST", "/"), 6);
}

#[test]
fn a_connection_that_was_closed_without_a_word_is_not_used() {
    let (_storage, url) = storage(Duration::from_millis(200));
    let soon = Duration::from_millis(50);
    let (base, posts) = api_that_keeps(url, move |_, _, _| Deed::AnswerAndClose(soon));
    let (world, ids) = (World::new(&base), ids(5));
    world.run(&fetching(&ids, &["-j", "1"])).exits(0);
    assert_eq!((connections(&posts), posts.lock().unwrap().len()), (5, 5));
}

/// As behind a firewall that forgets idle connections: a request there gets no answer.
#[test]
fn a_connection_that_was_idle_for_longer_is_not_used() {
    let (_storage, url) = storage(Duration::from_millis(1300));
    let (base, posts) = api_that_keeps(url, |before, idle, _| match before {
        1.. if idle > Duration::from_millis(1200) => Deed::Drop,
        _ => Deed::Answer,
    });
    let (world, ids) = (World::new(&base), ids(2));
    world.run(&fetching(&ids, &["-j", "1"])).exits(0);
    assert_eq!(connections(&posts), 2);
}

#[test]
fn what_is_not_answered_on_a_used_connection_is_in_doubt_and_never_repeated() {
    let (_storage, url) = storage(Duration::ZERO);
    let (base, posts) = api_that_keeps(url, |before, _, _| match before {
        0 => Deed::Answer,
        _ => Deed::Drop,
    });
    let (world, ids) = (World::new(&base), ids(2));
    let run = world.run(&fetching(&ids, &["-j", "1", "--json"]));
    assert_eq!(run.exits(8).records()[1]["error"]["code"], "charge_unknown");
    let expected = [(0, "id00".to_owned()), (0, "id01".to_owned())];
    let numbers: Vec<usize> = posts.lock().unwrap().iter().map(|post| post.0).collect();
    assert_eq!(numbers[0], numbers[1]);
    assert_eq!(posts.lock().unwrap().len(), expected.len());
    world.run(&fetching(&ids[1..], &[])).exits(8);
    assert_eq!(posts.lock().unwrap().len(), 2);
}

/// Some servers tell for how many seconds they keep a connection.
#[test]
fn a_connection_that_the_server_will_soon_close_is_not_used() {
    for (told, expected) in [
        ("timeout=1", 3),
        ("max=100, timeout=2", 3),
        ("timeout=5, max=100", 1),
        ("max=2", 1),
        ("timeout=x", 1),
    ] {
        let (_storage, url) = storage(Duration::ZERO);
        let (base, posts) = api_that_keeps(url, move |_, _, _| Deed::AnswerAndTell(told));
        let (world, ids) = (World::new(&base), ids(3));
        world.run(&fetching(&ids, &["-j", "1"])).exits(0);
        assert_eq!(connections(&posts), expected, "{told}");
        assert_eq!(posts.lock().unwrap().len(), 3);
    }
}

/// The state of a document, as a record in this folder tells it.
fn recorded(folder: &Mutex<PathBuf>, id: &str) -> Option<String> {
    let entries = fs::read_dir(&*folder.lock().unwrap()).unwrap();
    let mut records = entries.filter_map(|entry| {
        let path = entry.unwrap().path();
        let json = path.extension()? == "json";
        let text = json.then(|| fs::read_to_string(path).ok())??;
        serde_json::from_str::<Value>(text.lines().last()?).ok()
    });
    let record = records.find(|record| record["id"] == id)?;
    Some(record["state"].as_str().unwrap().to_owned())
}

#[test]
fn the_ledger_knows_before_a_request_leaves_on_any_connection() {
    for jobs in ["1", "8"] {
        let (_storage, url) = storage(Duration::ZERO);
        let folder: Arc<Mutex<PathBuf>> = Arc::default();
        let there = Arc::clone(&folder);
        let states: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
        let seen = Arc::clone(&states);
        let (base, posts) = api_that_keeps(url, move |_, _, id| {
            seen.lock().unwrap().push(recorded(&there, id));
            Deed::Answer
        });
        let (world, ids) = (World::new(&base), ids(16));
        *folder.lock().unwrap() = world.state().join("ledger");
        world.run(&fetching(&ids, &["-j", jobs])).exits(0);
        let states = states.lock().unwrap();
        assert_eq!(states.len(), 16);
        assert!(
            states
                .iter()
                .all(|state| state.as_deref() == Some("attempting")),
            "{states:?}"
        );
        assert!(connections(&posts) <= jobs.parse().unwrap());
    }
}

/// How many records of this kind have that many lines; the first one is written to a `new` one.
fn with_lines(folder: &Path, lines: usize, kind: &str) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let records = entries.filter(|entry| {
        let path = entry.path();
        let text = fs::read_to_string(&path).unwrap_or_default();
        path.extension().is_some_and(|found| found == kind) && text.lines().count() == lines
    });
    records.count()
}

/// Interrupts what strace started.
fn interrupt_traced(strace: &Child) {
    let traced = format!("/proc/{0}/task/{0}/children", strace.id());
    let traced = fs::read_to_string(traced).unwrap().trim().parse().unwrap();
    kill_process(Pid::from_raw(traced).unwrap(), Signal::INT).unwrap();
}

#[test]
fn an_interrupt_while_a_request_is_recorded_sends_no_request() {
    if !strace() {
        return;
    }
    let (_storage, url) = storage(Duration::ZERO);
    let (base, posts) = api_that_keeps(url, |_, _, _| Deed::Answer);
    let (world, ids) = (World::new(&base), ["slow1", "slow2"].map(str::to_owned));
    let trace = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"];
    // So short that an interrupt would wait for the answer of a request that has left.
    let fault = ["-e", "inject=fdatasync:delay_enter=400000"];
    let fetching = fetching(&ids, &["-j", "2", "--name", "{id} {name}"]);
    let arguments = trace.iter().chain(&fault);
    let arguments = arguments
        .chain(&[env!("CARGO_BIN_EXE_docfetch")])
        .chain(&fetching);
    let arguments: Vec<&str> = arguments.copied().collect();
    let child = world.command_of("strace", &arguments).spawn().unwrap();
    let ledger = world.state().join("ledger");
    world.wait_until("two records", || with_lines(&ledger, 1, "new") == 2);
    interrupt_traced(&child);
    let run = world.finish(child, Instant::now());
    assert!(!run.exits(130).stderr.contains("charged"), "{run:?}");
    assert_eq!(posts.lock().unwrap().len(), 0);
    assert_eq!(world.run(&["ledger", "list"]).stdout, "");
}

/// It waits for the answer, and not for a slow disk.
#[test]
fn an_interrupt_while_an_answer_is_recorded_leaves_no_doubt() {
    if !strace() {
        return;
    }
    let (_storage, url) = storage(Duration::ZERO);
    let (base, posts) = api_that_keeps(url, |_, _, _| Deed::Answer);
    let (world, ids) = (World::new(&base), ids(1));
    let trace = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"];
    let fault = ["-e", "inject=fdatasync:delay_enter=1500000"];
    let fetching = fetching(&ids, &[]);
    let arguments = [
        &trace[..],
        &fault,
        &[env!("CARGO_BIN_EXE_docfetch")],
        &fetching,
    ]
    .concat();
    let child = world.command_of("strace", &arguments).spawn().unwrap();
    let ledger = world.state().join("ledger");
    world.wait_until("an answer that is being recorded", || {
        with_lines(&ledger, 2, "json") == 1
    });
    interrupt_traced(&child);
    let run = world.finish(child, Instant::now());
    assert!(!run.exits(130).stderr.contains("charged"), "{run:?}");
    assert_eq!(
        recorded(&Mutex::new(ledger), &ids[0]).as_deref(),
        Some("answered")
    );
    world.run(&fetching).exits(0);
    assert_eq!(posts.lock().unwrap().len(), 1);
}
