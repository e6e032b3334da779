//! Paid retrievals where every process gets every lock, and sees late what others wrote.

use crate::support::fuse::{Call, Fuse, Mounted};
use crate::support::raw::{Raw, api, both, presigned, reply};
use crate::support::strace::{traced, tracee};
use crate::support::tools::strace;
use crate::support::{Run, SILENCE, World, kill};
use rustix::io::Errno;
use rustix::process::Signal;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const LEDGER: &str = "state/ledger";

/// A world whose state folder is on this file system.
fn world(api: &Raw, mounted: &Mounted) -> World {
    let mut world = World::new(&api.base());
    let state = mounted.path().join("state");
    world.set("DOCFETCH_STATE_DIR", state.to_str().unwrap());
    world
}

fn posts(api: &Raw) -> usize {
    api.count("POST", "/")
}

/// An API and a storage; the API answers its first paid request after this time.
fn slow_once(wait: Duration) -> (Raw, Raw) {
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"content"));
    let url = presigned(&storage.base(), "/x.txt");
    let server = Raw::start(move |request, stream| {
        if request.method == "POST" && request.before == 0 {
            std::thread::sleep(wait);
        }
        if request.method == "GET" && !request.path().ends_with("/download/") {
            let row = br#"{"filename":"x.txt","size":7}"#;
            return reply(
                stream,
                "200 OK",
                &[("Content-Type", "application/json")],
                row,
            );
        }
        api(request, stream, &url);
    });
    (server, storage)
}

/// An API, and a storage that serves a document `times` times, then says once that its URL expired.
fn expiring_after(times: usize) -> (Raw, Raw) {
    both("/x.txt", move |request, stream| {
        if request.before == times {
            let expired =
                b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
            return reply(stream, "403 Forbidden", &[], expired);
        }
        reply(stream, "200 OK", &[], b"content");
    })
}

/// Starts docfetch for the document `a`, in a folder of its own.
fn start(world: &World, folder: usize, more: &[&str]) -> (Child, Instant) {
    let folder = folder.to_string();
    let mut arguments = vec!["onecodex", "a", "-d", &folder];
    arguments.extend(more);
    (world.command(&arguments).spawn().unwrap(), Instant::now())
}

fn finish(world: &World, (child, started): (Child, Instant)) -> Run {
    world.finish(child, started)
}

/// The names of the files of attempts.
fn attempts(mounted: &Mounted) -> Vec<String> {
    let mut names = mounted.names(LEDGER);
    names.retain(|name| {
        let number = name.rsplit_once(".attempt.").map(|(_, number)| number);
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    });
    names
}

/// Waits until the file of the first attempt says that its request is about to leave.
fn wait_for_attempt(world: &World, mounted: &Mounted) {
    world.wait_until("an attempt", || {
        let ledger = mounted.path().join(LEDGER);
        let names = if ledger.exists() {
            attempts(mounted)
        } else {
            Vec::new()
        };
        let content = names
            .first()
            .and_then(|name| mounted.content(&format!("{LEDGER}/{name}")));
        content.is_some_and(|content| String::from_utf8(content).unwrap().contains("attempting"))
    });
}

/// docfetch, which waits for some seconds after its attempt is on disk, before its request leaves: each sync
/// of the ledger's folder takes that long.
fn pausing(world: &World, mounted: &Mounted, folder: &str) -> Command {
    let ledger = mounted.path().join(LEDGER);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&ledger)
        .unwrap();
    mounted.settle();
    let paused = "inject=fsync:delay_exit=3000000";
    traced(
        world,
        &[ledger],
        &["trace=fsync", paused],
        &["onecodex", "a", "-d", folder],
    )
}

#[test]
fn eight_processes_without_a_lock_request_a_document_once() {
    let late = Duration::from_secs(2);
    let Some(mounted) = Fuse::new().grant_every_lock().show_late(late).mount() else {
        return;
    };
    let (api, _storage) = slow_once(Duration::from_millis(300));
    let world = world(&api, &mounted);
    let children: Vec<_> = (0..8).map(|folder| start(&world, folder, &[])).collect();
    let mut fetched = 0;
    for (folder, child) in children.into_iter().enumerate() {
        // The others see too late that the first process got its answer before it ended.
        let run = finish(&world, child);
        assert!([0, 8].contains(&run.code), "{run:?}");
        if run.code == 0 {
            fetched += 1;
            assert_eq!(world.read(&format!("{folder}/x.txt")), b"content");
        }
    }
    assert!(fetched > 0);
    assert_eq!((posts(&api), attempts(&mounted).len()), (1, 1));
    mounted.settle();
    finish(&world, start(&world, 8, &[])).exits(0);
    assert_eq!(posts(&api), 1);
}

#[test]
fn an_attempt_of_a_process_that_was_killed_is_in_doubt_and_taken_over_by_none() {
    let late = Duration::from_secs(1);
    let Some(mounted) = Fuse::new().grant_every_lock().show_late(late).mount() else {
        return;
    };
    let (api, _storage) = slow_once(SILENCE);
    let world = world(&api, &mounted);
    let (first, _) = start(&world, 0, &[]);
    world.wait_until("a POST", || posts(&api) == 1);
    let others: Vec<_> = (1..4).map(|folder| start(&world, folder, &[])).collect();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(posts(&api), 1);
    let forgotten = world.run(&["ledger", "forget", "a"]);
    forgotten
        .exits(7)
        .says("another process is requesting this document");
    kill(first);
    for other in others {
        finish(&world, other).exits(8).says("may have been charged");
    }
    mounted.settle();
    let run = world.run(&["ledger", "list", "--json"]);
    assert_eq!(run.exits(0).records()[0]["state"], "doubtful");
    let planned = world.run(&["onecodex", "a", "-o", "y", "--dry-run", "--json"]);
    assert_eq!(planned.exits(0).records()[1]["would_refuse"], 1);
    finish(&world, start(&world, 0, &[])).exits(8);
    assert_eq!(posts(&api), 1);
    // Each of two processes may cause one more charge, and the second one needs none.
    let permitted = [5, 6].map(|folder| start(&world, folder, &["--allow-recharge"]));
    for child in permitted {
        let run = finish(&world, child);
        assert!([0, 8].contains(&run.code), "{run:?}");
    }
    assert!((2..=3).contains(&posts(&api)), "{}", posts(&api));
    mounted.settle();
    let before = posts(&api);
    finish(&world, start(&world, 7, &[])).exits(0);
    assert_eq!(posts(&api), before);
    assert_eq!(world.run(&["ledger", "forget", "a"]).exits(0).stdout, "a\n");
    assert!(
        mounted.names(LEDGER).is_empty(),
        "{:?}",
        mounted.names(LEDGER)
    );
    mounted.settle();
    finish(&world, start(&world, 8, &[])).exits(0);
    assert_eq!(posts(&api), before + 1);
}

#[test]
fn a_process_that_is_stopped_before_its_request_sends_it_later_and_alone() {
    let late = Duration::from_secs(1);
    let mounted = Fuse::new().grant_every_lock().show_late(late).mount();
    let Some(mounted) = mounted.filter(|_| strace()) else {
        return;
    };
    let (api, _storage) = slow_once(Duration::ZERO);
    let world = world(&api, &mounted);
    let started = Instant::now();
    let first = pausing(&world, &mounted, "0").spawn().unwrap();
    wait_for_attempt(&world, &mounted);
    let stopped = tracee(&first);
    rustix::process::kill_process(stopped, Signal::STOP).unwrap();
    let others: Vec<_> = (1..4).map(|folder| start(&world, folder, &[])).collect();
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(posts(&api), 0, "another process sent the request");
    rustix::process::kill_process(stopped, Signal::CONT).unwrap();
    finish(&world, (first, started)).exits(0);
    for other in others {
        let run = finish(&world, other);
        assert!([0, 8].contains(&run.code), "{run:?}");
    }
    assert_eq!((posts(&api), attempts(&mounted).len()), (1, 1));
}

/// As above, with the times of NFS: other processes give up, and the request is still sent once.
#[test]
#[ignore = "it takes four minutes"]
fn a_process_that_is_stopped_for_200_seconds_causes_one_charge() {
    let late = Duration::from_secs(60);
    let mounted = Fuse::new().grant_every_lock().show_late(late).mount();
    let Some(mounted) = mounted.filter(|_| strace()) else {
        return;
    };
    let (api, _storage) = slow_once(Duration::ZERO);
    let world = world(&api, &mounted);
    let mut first = pausing(&world, &mounted, "0").spawn().unwrap();
    wait_for_attempt(&world, &mounted);
    let stopped = tracee(&first);
    rustix::process::kill_process(stopped, Signal::STOP).unwrap();
    let began = Instant::now();
    let others: Vec<_> = (1..8)
        .map(|folder| start(&world, folder, &["--retry-max-time", "1s", "--json"]))
        .collect();
    for other in others {
        let run = finish(&world, other);
        assert_eq!(run.exits(8).error_code(), "charge_unknown");
        run.says("recorded no answer within");
        assert!(began.elapsed() >= Duration::from_secs(150));
    }
    std::thread::sleep(Duration::from_secs(200).saturating_sub(began.elapsed()));
    assert_eq!(posts(&api), 0);
    rustix::process::kill_process(stopped, Signal::CONT).unwrap();
    assert!(first.wait().unwrap().success());
    mounted.settle();
    finish(&world, start(&world, 8, &[])).exits(0);
    assert_eq!((posts(&api), attempts(&mounted).len()), (1, 1));
}

#[test]
fn an_answer_without_a_charge_permits_the_next_attempt() {
    let Some(mounted) = Fuse::new().grant_every_lock().mount() else {
        return;
    };
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"content"));
    let url = presigned(&storage.base(), "/x.txt");
    let api = Raw::start(move |request, stream| match request.before {
        0 | 1 if request.method == "POST" => reply(stream, "404 Not Found", &[], b"{}"),
        _ => api(request, stream, &url),
    });
    let world = world(&api, &mounted);
    for number in 1..3 {
        world.run(&["onecodex", "a"]).exits(4);
        assert_eq!(attempts(&mounted).len(), number);
        let run = world.run(&["ledger", "list", "--json"]);
        assert!(run.exits(0).records().is_empty());
    }
    world.run(&["onecodex", "a", "-o", "x"]).exits(0);
    world.run(&["onecodex", "a", "-o", "y"]).exits(0);
    assert_eq!((posts(&api), attempts(&mounted).len()), (3, 3));
    let run = world.run(&["ledger", "list", "--json"]);
    assert_eq!(run.exits(0).records()[0]["state"], "delivered");
}

#[test]
fn a_delivered_document_whose_url_expired_is_the_next_attempt() {
    let Some(mounted) = Fuse::new().grant_every_lock().mount() else {
        return;
    };
    let (api, _storage) = expiring_after(1);
    let world = world(&api, &mounted);
    world.run(&["onecodex", "a", "-o", "x"]).exits(0);
    let again = world.run(&["onecodex", "a", "-o", "y"]);
    again.exits(0).says("requesting a new paid retrieval");
    assert_eq!((posts(&api), attempts(&mounted).len()), (2, 2));
}

#[test]
fn a_file_system_without_locks_is_told_once_and_requests_once() {
    for errno in [Errno::NOSYS, Errno::NOLCK, Errno::OPNOTSUPP] {
        let Some(mounted) = Fuse::new().refuse(Call::Flock, errno).mount() else {
            return;
        };
        let (api, _storage) = slow_once(Duration::from_millis(300));
        let world = world(&api, &mounted);
        let children: Vec<_> = (0..4).map(|folder| start(&world, folder, &[])).collect();
        for child in children {
            let run = finish(&world, child);
            run.exits(0);
            assert_eq!(run.stderr.matches("has no locks").count(), 1, "{run:?}");
        }
        assert_eq!((posts(&api), attempts(&mounted).len()), (1, 1), "{errno}");
        // The rate budget and the token need a lock, too.
        let run = world.run(&["sm", "doc", "-d", "sm"]);
        assert_eq!(run.stderr.matches("has no locks").count(), 1, "{run:?}");
        assert!(
            !run.stderr.contains("remembered in this run only"),
            "{run:?}"
        );
    }
}

/// Where the file system usually locks, and refuses it this time.
#[test]
fn a_refused_lock_on_an_ordinary_file_system_numbers_the_attempts() {
    if !strace() {
        return;
    }
    let (api, _storage) = expiring_after(2);
    let world = World::new(&api.base());
    let refused = ["trace=flock", "inject=flock:error=ENOLCK"];
    let child = traced(&world, &[], &refused, &["onecodex", "a", "-d", "0"])
        .spawn()
        .unwrap();
    finish(&world, (child, Instant::now()))
        .exits(0)
        .says("has no locks");
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(world.state().join("ledger")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains(".attempt.")).collect()
    };
    assert_eq!(names().len(), 1);
    // A process that gets the lock reads the attempts, too.
    finish(&world, start(&world, 1, &[])).exits(0);
    let run = world.run(&["ledger", "list", "--json"]);
    assert_eq!(run.exits(0).records()[0]["state"], "delivered");
    assert_eq!((posts(&api), names().len()), (1, 1));
    // It makes the next one, too, when the URL expired.
    finish(&world, start(&world, 2, &[])).exits(0);
    assert_eq!((posts(&api), names().len()), (2, 2));
    // Ordinary folders have no such files.
    let (other_api, _other_storage) = slow_once(Duration::ZERO);
    let ordinary = World::new(&other_api.base());
    ordinary.run(&["onecodex", "a"]).exits(0);
    let kept = ordinary.record("ledger");
    assert_eq!(kept.extension().unwrap(), "json");
    assert!(
        !std::fs::read_to_string(&kept)
            .unwrap()
            .contains("attempt\":")
    );
}
