//! The stages of a batch: docfetch resolves free documents ahead of their transfer, and no others.

use crate::support::World;
use crate::support::raw::{Raw, api, presigned, reply};
use rustix::process::Signal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const AFTER_THE_FAILURE: Duration = Duration::from_millis(800);

/// An API and a storage. The API knows no document whose id starts with `none` (and says so after a while)
/// and answers 503 for `busy`; it answers a POST for `paid` once it is `open`. The storage answers for
/// documents that start with `slow` once it is `open`, and fails once for those that start with `weak`.
struct Services {
    api: Raw,
    storage: Arc<Raw>,
    open: Arc<AtomicBool>,
}

impl Services {
    fn start() -> Self {
        let open = Arc::new(AtomicBool::new(false));
        let may_answer = Arc::clone(&open);
        let storage = Raw::start(move |request, stream| {
            let path = request.path().to_owned();
            if path.contains("slow") {
                wait_for(&may_answer);
            }
            let fails = path.contains("weak") && request.before == 0;
            let status = if fails { "503 Slow Down" } else { "200 OK" };
            let name = match path.as_str() {
                "/good3" | "/good4" => "attachment; filename=same.txt",
                _ => "attachment",
            };
            let disposition = [("Content-Disposition", name)];
            reply(stream, status, &disposition, path.as_bytes());
        });
        let storage = Arc::new(storage);
        let may_hand_over = Arc::clone(&open);
        let base = storage.base();
        let api = Raw::start(move |request, stream| {
            let id = request.path().split('/').find(|part| {
                ["slow", "weak", "none", "busy", "paid", "good"]
                    .iter()
                    .any(|kind| part.starts_with(kind))
            });
            let id = id.unwrap_or_default().to_owned();
            if request.method == "POST" && id.starts_with("paid") {
                wait_for(&may_hand_over);
            }
            if id.starts_with("busy") {
                let wait = [("Retry-After", "120")];
                return reply(stream, "503 Service Unavailable", &wait, b"{}");
            }
            if id.starts_with("none") {
                std::thread::sleep(AFTER_THE_FAILURE / 2);
                return reply(stream, "404 Not Found", &[], b"{}");
            }
            if request.method == "GET" && request.path() == "/api/v1/documents/good4" {
                return reply(
                    stream,
                    "200 OK",
                    &[],
                    br#"{"filename":"same.txt","size":6}"#,
                );
            }
            api(request, stream, &presigned(&base, &format!("/{id}")));
        });
        Self { api, storage, open }
    }

    fn world(&self) -> World {
        World::new(&self.api.base())
    }

    /// Waits until docfetch has requested the URLs of so many of Standard Metrics' documents.
    fn have_resolved(&self, world: &World, documents: usize) {
        world.wait_until("so many are resolved", || {
            self.api.count("GET", "/download") >= documents
        });
    }

    fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }
}

fn wait_for(open: &AtomicBool) {
    while !open.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

const SLOW: [&str; 6] = ["slow1", "slow2", "slow3", "slow4", "slow5", "slow6"];

fn fetching<'a>(provider: &'a str, jobs: &'a str, ids: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec![
        provider,
        "-j",
        jobs,
        "--name",
        "{id}",
        "--rate-limit",
        "none",
    ];
    arguments.extend(ids);
    arguments
}

#[test]
fn as_many_urls_as_transfers_are_resolved_ahead() {
    let services = Services::start();
    let world = services.world();
    let started = Instant::now();
    let child = world.command(&fetching("sm", "2", &SLOW)).spawn().unwrap();
    services.have_resolved(&world, 4);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(services.api.count("GET", "/download"), 4);
    assert_eq!(services.storage.seen().len(), 2);
    services.open();
    world.finish(child, started).exits(0);
    assert_eq!(services.api.count("GET", "/download"), 6);
    for id in SLOW {
        assert_eq!(world.read(id), format!("/{id}").as_bytes());
    }
}

#[test]
fn a_paid_url_is_requested_when_its_transfer_may_begin() {
    let services = Services::start();
    let world = services.world();
    let started = Instant::now();
    let child = world
        .command(&fetching("onecodex", "2", &SLOW))
        .spawn()
        .unwrap();
    world.wait_until("the metadata of two more", || {
        services.api.count("GET", "/documents/") >= 4 && services.storage.seen().len() >= 2
    });
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(services.api.count("POST", "/download_uri"), 2);
    assert_eq!(services.api.count("GET", "/documents/"), 4);
    services.open();
    world.finish(child, started).exits(0);
    assert_eq!(services.api.count("POST", "/download_uri"), 6);
}

#[test]
fn metadata_is_requested_while_other_documents_wait_for_their_paid_answers() {
    let services = Services::start();
    let world = services.world();
    let arguments = ["onecodex", "-j", "2", "paid1", "paid2", "paid3", "paid4"];
    let child = world.command(&arguments).spawn().unwrap();
    world.wait_until("four requests", || {
        services.api.count("GET", "/documents/") >= 4
    });
    assert!(services.storage.seen().is_empty());
    services.open();
    world.finish(child, Instant::now()).exits(0);
    assert_eq!(services.api.count("POST", "/download_uri"), 4);
}

#[test]
fn one_at_a_time_is_one_after_the_other() {
    let services = Services::start();
    let world = services.world();
    let started = Instant::now();
    let child = world
        .command(&fetching("sm", "1", &["slow1", "none2", "good3"]))
        .spawn()
        .unwrap();
    world.wait_until("the transfer", || services.storage.seen().len() == 1);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(services.api.count("GET", "/download"), 1);
    services.open();
    world.finish(child, started).exits(4);
}

/// One that is transferred to its end, one that fails, and two that are resolved ahead.
#[test]
fn a_document_that_is_only_resolved_when_a_batch_stops_is_not_transferred() {
    let services = Services::start();
    let world = services.world();
    let mut arguments = fetching("sm", "2", &["slow1", "slow2", "none3", "good4", "good5"]);
    arguments.extend(["--fail-fast", "--json"]);
    let started = Instant::now();
    let child = world.command(&arguments).spawn().unwrap();
    world.wait_until("the failure", || services.api.count("GET", "none3") >= 1);
    std::thread::sleep(AFTER_THE_FAILURE);
    services.open();
    let run = world.finish(child, started);
    let records = run.exits(4).records();
    let mut ids: Vec<_> = records.iter().filter_map(|r| r["id"].as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["none3", "slow1", "slow2"], "{records:#?}");
    assert_eq!(services.storage.count("GET", "good"), 0);
    assert_eq!(
        world.files(),
        ["slow1", "slow2"],
        "nothing is left of others"
    );
}

#[test]
fn a_batch_that_stops_waits_for_no_document_that_has_no_url() {
    let services = Services::start();
    let world = services.world();
    let mut arguments = fetching("sm", "2", &["slow1", "slow2", "none3", "busy4"]);
    arguments.extend(["--fail-fast", "--json"]);
    let child = world.command(&arguments).spawn().unwrap();
    let started = Instant::now();
    world.wait_until("all requests", || {
        services.api.count("GET", "busy4") >= 1 && services.api.count("GET", "none3") >= 1
    });
    std::thread::sleep(AFTER_THE_FAILURE);
    services.open();
    let run = world.finish(child, started);
    let records = run.is_prompt().exits(4).records();
    assert_eq!(records.last().unwrap()["failed"], 1, "{records:#?}");
}

/// The first document does not know its name, and the next one does.
#[test]
fn documents_that_waited_for_their_transfer_take_names_in_the_order_of_the_ids() {
    let services = Services::start();
    let world = services.world();
    let ids = ["slow1", "slow2", "good3", "good4"];
    let mut arguments = vec!["onecodex", "-j", "2"];
    arguments.extend(ids);
    let child = world.command(&arguments).spawn().unwrap();
    world.wait_until("all requests", || services.api.count("GET", "good4") >= 1);
    std::thread::sleep(Duration::from_millis(300));
    services.open();
    world.finish(child, Instant::now()).exits(0);
    assert_eq!(world.read("same.txt"), b"/good3");
    assert_eq!(world.read("same--good4.txt"), b"/good4");
}

#[test]
fn a_file_that_appears_meanwhile_is_seen_before_its_document_is_paid_for() {
    let services = Services::start();
    let world = services.world();
    let child = world
        .command(&fetching("onecodex", "2", &SLOW[..4]))
        .spawn();
    world.wait_until("four requests", || {
        services.api.count("GET", "/documents/") >= 4
    });
    std::fs::write(world.out().join("slow3"), "mine").unwrap();
    services.open();
    world.finish(child.unwrap(), Instant::now()).exits(7);
    assert_eq!(services.api.count("POST", "/slow3/download_uri"), 0);
    assert_eq!(services.api.count("POST", "/download_uri"), 3);
    assert_eq!(world.read("slow3"), b"mine");
}

#[test]
fn an_interrupt_ends_documents_that_wait_for_their_transfer() {
    let services = Services::start();
    let world = services.world();
    let started = Instant::now();
    let child = world.command(&fetching("sm", "2", &SLOW)).spawn().unwrap();
    services.have_resolved(&world, 4);
    crate::support::send(&child, Signal::INT);
    let run = world.finish(child, started);
    run.exits(130);
    assert!(world.files().is_empty(), "{:?}", world.files());
}

/// The first documents keep the others waiting for longer than a failure may be mended.
#[test]
fn waiting_for_other_transfers_uses_up_no_time_of_the_retries() {
    let services = Services::start();
    let world = services.world();
    let mut arguments = fetching("sm", "2", &["slow1", "slow2", "weak3"]);
    arguments.extend(["--retry-max-time", "1s", "--json"]);
    let started = Instant::now();
    let child = world.command(&arguments).spawn().unwrap();
    services.have_resolved(&world, 3);
    let waiting = Instant::now();
    std::thread::sleep(Duration::from_secs(3));
    let waiting = waiting.elapsed().as_millis();
    services.open();
    let run = world.finish(child, started);
    let records = run.exits(0).records();
    let waited = records.iter().find(|record| record["id"] == "weak3");
    let elapsed = waited.unwrap()["elapsed_ms"].as_u64().unwrap();
    assert!(u128::from(elapsed) < waiting, "{elapsed} ms");
}
