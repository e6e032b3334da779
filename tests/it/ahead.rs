//! What docfetch does while it awaits an answer: it connects to the storage of last time, and sends the
//! paid request beside the metadata request.

use crate::support::raw::{Raw, Request, api, keeping, presigned, read, reply};
use crate::support::tools::{mounts, skip, strace};
use crate::support::{Run, World};
use std::fs;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long the slow answers of an API take.
const PAUSE: Duration = Duration::from_millis(400);

/// A connection to a storage: when it was made, and when its first byte came.
#[derive(Clone, Copy, Debug)]
struct Visit {
    made: Instant,
    spoken: Option<Instant>,
}

/// A storage of one document.
struct Storage {
    base: String,
    visits: Arc<Mutex<Vec<Visit>>>,
}

impl Storage {
    fn start() -> Self {
        let visits: Arc<Mutex<Vec<Visit>>> = Arc::default();
        let log = Arc::clone(&visits);
        let base = keeping(move |_, mut stream| {
            let made = Instant::now();
            let number = {
                let mut log = log.lock().unwrap();
                log.push(Visit { made, spoken: None });
                log.len() - 1
            };
            if stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0) {
                log.lock().unwrap()[number].spoken = Some(Instant::now());
                assert_eq!(read(&stream).unwrap().method, "GET");
                reply(&mut stream, "200 OK", &[], b"content");
            }
        });
        Self { base, visits }
    }

    fn url(&self) -> String {
        presigned(&self.base, "/x.txt")
    }

    fn visits(&self) -> Vec<Visit> {
        self.visits.lock().unwrap().clone()
    }
}

/// When requests came: their method, and when they were answered.
type Times = Arc<Mutex<Vec<(String, Instant, Instant)>>>;

/// An API that takes its time where `slow` says so, and hands over `url`.
fn slow_api(
    url: impl Fn() -> String + Send + Sync + 'static,
    slow: impl Fn(&Request) -> bool + Send + Sync + 'static,
) -> (Raw, Times) {
    let times = Times::default();
    let log = Arc::clone(&times);
    let server = Raw::start(move |request: &Request, stream: &mut TcpStream| {
        let came = Instant::now();
        if slow(request) {
            std::thread::sleep(PAUSE);
        }
        let entry = (request.method.clone(), came, Instant::now());
        log.lock().unwrap().push(entry);
        api(request, stream, &url());
    });
    (server, times)
}

fn hands_over(request: &Request) -> bool {
    request.path().contains("/download")
}

/// A storage whose documents an API hands over slowly, and a world that knows that API.
fn behind_a_slow_api() -> (Arc<Storage>, World) {
    let storage = Arc::new(Storage::start());
    let there = Arc::clone(&storage);
    let (server, _) = slow_api(move || there.url(), hands_over);
    let world = World::new(&server.base());
    (storage, world)
}

#[test]
fn the_storage_of_last_time_is_connected_to_while_the_api_is_asked() {
    for arguments in [&["sm"][..], &["onecodex"], &["onecodex", "-o", "y"]] {
        let storage = Arc::new(Storage::start());
        let there = Arc::clone(&storage);
        let (server, times) = slow_api(move || there.url(), hands_over);
        let world = World::new(&server.base());
        let run = |id: &str| {
            let mut all = arguments.to_vec();
            all.extend([id, "--if-exists", "rename"]);
            world.run(&all).exits(0);
        };
        run("a");
        let [first] = storage.visits()[..] else {
            panic!("{:?}", storage.visits());
        };
        assert!(first.spoken.unwrap() - first.made < PAUSE / 2, "{first:?}");
        run("b");
        let visits = storage.visits();
        assert_eq!(visits.len(), 2, "{arguments:?}");
        let second = visits[1];
        let answered = times.lock().unwrap().last().unwrap().2;
        assert!(second.made + PAUSE / 2 < answered, "{arguments:?}");
        // Nothing was said before there was anything to ask for.
        assert!(second.spoken.unwrap() >= answered, "{arguments:?}");
    }
}

#[test]
fn a_batch_opens_one_connection_ahead_and_uses_it() {
    let (storage, world) = behind_a_slow_api();
    world.run(&["sm", "a", "--name", "{id}"]).exits(0);
    let ids = ["sm", "-j", "4", "--name", "{id}", "b", "c", "d", "e"];
    world.run(&ids).exits(0);
    let visits = storage.visits();
    assert_eq!(visits.len(), 5, "{visits:?}");
    assert!(visits.iter().all(|visit| visit.spoken.is_some()));
}

#[test]
fn a_storage_that_went_away_costs_nothing() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let (storage, world) = behind_a_slow_api();
    world.run(&["sm", "a"]).exits(0);
    let record = world.record("origins");
    fs::write(&record, format!(r#"{{"origin":"{gone}"}}"#)).unwrap();
    let run = world.run(&["sm", "b", "-o", "y", "-v", "--retries", "0"]);
    run.exits(0).says("ahead");
    // The one that it came from is the next one's.
    let text = fs::read_to_string(&record).unwrap();
    assert_eq!(text, format!(r#"{{"origin":"{}"}}"#, storage.base));
    assert_eq!(storage.visits().len(), 2);
}

#[test]
fn a_storage_that_closes_silent_connections_costs_no_attempt() {
    let dropped = Arc::new(Mutex::new(0));
    let count = Arc::clone(&dropped);
    let base = keeping(move |_, mut stream| {
        let patience = Some(Duration::from_millis(150));
        stream.set_read_timeout(patience).unwrap();
        if stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0) {
            read(&stream).unwrap();
            reply(&mut stream, "200 OK", &[], b"content");
        } else {
            *count.lock().unwrap() += 1;
        }
    });
    let url = presigned(&base, "/x.txt");
    let (api, _) = slow_api(move || url.clone(), hands_over);
    let world = World::new(&api.base());
    for id in ["a", "b"] {
        let run = world.run(&["sm", id, "-o", id, "--retries", "0", "--json"]);
        assert_eq!(run.exits(0).records()[0]["attempts"], 1);
    }
    assert_eq!(*dropped.lock().unwrap(), 1, "the second run was ahead");
}

#[test]
fn only_what_never_answered_on_a_connection_opened_ahead_costs_no_attempt() {
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let base = keeping(move |_, mut stream| {
        if read(&stream).is_none() {
            return;
        }
        let number = {
            let mut count = count.lock().unwrap();
            *count += 1;
            *count
        };
        // The first run's, and the first of the second run.
        if number <= 2 {
            reply(&mut stream, "200 OK", &[], b"content");
        }
    });
    let url = presigned(&base, "/x.txt");
    let (api, _) = slow_api(move || url.clone(), hands_over);
    let world = World::new(&api.base());
    world.run(&["sm", "a", "--name", "{id}"]).exits(0);
    let batch = ["sm", "b", "c", "-j", "1", "--name", "{id}"];
    let once = ["--retries", "0", "-v", "--json"];
    let run = world.run(&[&batch[..], &once].concat());
    run.says("ahead");
    let records = run.records();
    assert_eq!(records[0]["status"], "fetched");
    assert_eq!(records[1]["error"]["code"], "network", "{records:?}");
    assert_eq!(*asked.lock().unwrap(), 3);
}

#[test]
fn nothing_is_connected_to_that_no_document_may_come_from() {
    if !strace() {
        return;
    }
    let (_storage, world) = behind_a_slow_api();
    world.run(&["sm", "a"]).exits(0);
    let record = world.record("origins");
    let run_traced = |number: usize| -> (Run, String) {
        let output = format!("y{number}");
        let trace = world.home().join("given").join(&output);
        fs::create_dir_all(trace.parent().unwrap()).unwrap();
        let binary = env!("CARGO_BIN_EXE_docfetch");
        let mut arguments = vec!["-f", "-qq", "-e", "trace=connect", "-o"];
        arguments.extend([trace.to_str().unwrap(), binary, "sm", "b", "-o", &output]);
        let run = world.run_of("strace", &arguments);
        (run, fs::read_to_string(trace).unwrap())
    };
    for (number, origin) in [
        "https://10.0.0.7",
        "https://169.254.0.7",
        "http://203.0.113.7",
        "https://203.0.113.7/with/a/path",
        "file:///etc/passwd",
    ]
    .iter()
    .enumerate()
    {
        fs::write(&record, format!(r#"{{"origin":"{origin}"}}"#)).unwrap();
        let (run, calls) = run_traced(number);
        run.exits(0);
        assert!(calls.contains("127.0.0.1"), "{calls}");
        assert!(
            !calls.contains("0.7\"") && !calls.contains("113.7\""),
            "{calls}"
        );
    }
    // Nor what others could have written.
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(&record, r#"{"origin":"https://203.0.113.7"}"#).unwrap();
    fs::set_permissions(&record, fs::Permissions::from_mode(0o640)).unwrap();
    let (run, calls) = run_traced(9);
    run.exits(0);
    assert!(!calls.contains("113.7\""), "{calls}");
}

#[test]
fn what_fetches_nothing_connects_to_no_storage() {
    let storage = Arc::new(Storage::start());
    let there = Arc::clone(&storage);
    let (server, _) = slow_api(move || there.url(), |_| false);
    let world = World::new(&server.base());
    world.run(&["onecodex", "a"]).exits(0);
    world.run(&["onecodex", "b", "--dry-run"]).exits(4);
    world.run_showing(&["url", "onecodex", "c"]).exits(0);
    fs::write(world.out().join("there"), "").unwrap();
    let skip = ["onecodex", "d", "-o", "there", "--if-exists", "skip"];
    world.run(&skip).exits(0);
    world.run(&["list", "onecodex"]);
    assert_eq!(storage.visits().len(), 1);
}

#[test]
fn the_paid_request_leaves_beside_the_metadata_request_where_metadata_decides_nothing() {
    let free = rustix::fs::statvfs(std::env::temp_dir()).unwrap();
    if free.f_bavail * free.f_frsize < 17 << 30 {
        skip("less than 17 GiB are free");
        return;
    }
    for (arguments, beside) in [
        (&["-o", "y"][..], true),
        (&["-o", "-"], true),
        (&["--name", "{id}"], true),
        (&[], false),
        (&["--name", "{id}-{name}"], false),
        (&["-o", "y", "--rate-limit", "9/1s"], false),
    ] {
        let found = beside_metadata(|world| {
            let mut all = vec!["onecodex", "a"];
            all.extend(arguments);
            world.run(&all).exits(0);
        });
        assert_eq!(found, beside, "{arguments:?}");
    }
}

/// An API whose metadata is slow, a world, and whether the paid request came beside it.
fn beside_metadata(run: impl Fn(&World)) -> bool {
    let storage = Arc::new(Storage::start());
    let there = Arc::clone(&storage);
    let (server, times) = slow_api(move || there.url(), |request| request.method == "GET");
    run(&World::new(&server.base()));
    let times = times.lock().unwrap();
    assert_eq!(times.len(), 2);
    let of = |method: &str| times.iter().find(|entry| entry.0 == method).unwrap();
    of("POST").1 < of("GET").2
}

#[test]
fn a_document_is_not_paid_for_before_its_size_is_known_where_it_may_not_have_room() {
    if !mounts() {
        return;
    }
    let beside = beside_metadata(|world| {
        let binary = env!("CARGO_BIN_EXE_docfetch");
        let script =
            format!("mount -t tmpfs -o size=1g none . && cd . && {binary} onecodex a -o $PWD/y");
        let child = world.command_of("unshare", &["-m", "sh", "-c", &script]);
        let child = { child }.spawn().unwrap();
        world.finish(child, Instant::now()).exits(0);
    });
    assert!(!beside);
}

#[test]
fn a_refusal_that_comes_before_the_metadata_is_told_as_ever() {
    let is_metadata = |request: &Request| request.method == "GET";
    let server = Raw::start(move |request, stream| {
        if is_metadata(request) {
            std::thread::sleep(PAUSE);
            return reply(stream, "404 Not Found", &[], b"{}");
        }
        reply(stream, "402 Payment Required", &[], b"{}");
    });
    let world = World::new(&server.base());
    let run = world.run(&["onecodex", "a", "-o", "y", "--json"]);
    assert_eq!(run.exits(4).error_code(), "payment_required");
    assert_eq!(world.run(&["ledger", "list"]).stdout, "");
}
