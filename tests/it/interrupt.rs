//! SIGINT, SIGTERM and SIGHUP.

use crate::support::raw::{Raw, Request, api, reply};
use crate::support::services::Service;
use crate::support::{SILENCE, World, exit_code_unread, send};
use docfetch::sandbox::Document;
use rustix::process::{Pid, Signal, kill_process};
use std::process::Child;
use std::time::{Duration, Instant};

#[test]
fn an_interrupt_keeps_the_partial_and_the_next_run_resumes() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let (service, content) = Service::with("x.bin", 1 << 20, &["throttle=1M"]);
        let world = service.world();
        let child = world.command(&["sm", "doc1", "--json"]).spawn().unwrap();
        world.wait_for_partial(150_000);
        send(&child, signal);
        let run = world.finish(child, Instant::now());
        assert_eq!(run.exits(code).error_code(), "interrupted");
        run.says("run again to continue");
        assert_eq!(run.records().last().unwrap()["exit_code"], code);
        assert!(!world.files().contains(&"x.bin".to_owned()));
        let before = service.report().storage_bytes;
        let run = world.run(&["sm", "doc1", "--json"]);
        assert!(run.exits(0).records()[0]["resumed_from"].as_u64().unwrap() > 100_000);
        assert!(service.report().storage_bytes - before < 950_000);
        assert_eq!(world.read("x.bin"), content);
        assert_eq!(world.files(), ["x.bin"]);
    }
}

/// Whether a process ignores a signal.
fn ignores(child: &Child, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
    mask & (1 << (signal.as_raw() - 1)) != 0
}

#[test]
fn sigint_and_sighup_stay_ignored_and_sigterm_never_is() {
    let (service, content) = Service::with("x.bin", 600_000, &["throttle=600K"]);
    let fetch = ["onecodex", "doc1"];
    let list = "trap '' INT HUP TERM; exec \"$0\" \"$@\"";
    for (signal, code) in [(Signal::INT, 0), (Signal::HUP, 0), (Signal::TERM, 143)] {
        let world = service.world();
        let shell = ["-c", list, env!("CARGO_BIN_EXE_docfetch")];
        let all = [&shell[..], &fetch].concat();
        let child = world.command_of("sh", &all).spawn().unwrap();
        world.wait_for_partial(1);
        assert_eq!(ignores(&child, signal), code == 0, "{signal:?}");
        send(&child, signal);
        let run = world.finish(child, Instant::now());
        run.exits(code);
        if code == 0 {
            assert_eq!(world.read("x.bin"), content);
        }
    }
    // Without anything ignored, a background job is as any other process.
    let world = service.world();
    let child = world.command(&fetch).spawn().unwrap();
    world.wait_for_partial(1);
    assert!(!ignores(&child, Signal::INT) && !ignores(&child, Signal::HUP));
    send(&child, Signal::HUP);
    world.finish(child, Instant::now()).exits(129);
}

#[test]
fn an_interrupt_ends_a_backoff_and_a_wait_for_the_budget() {
    let server = Raw::start(|request, stream| match request.path() {
        path if path.ends_with("/download/") => {
            reply(stream, "429 Slow", &[("Retry-After", "120")], b"")
        }
        _ => api(request, stream, ""),
    });
    let world = World::new(&server.base());
    for arguments in [&["sm", "a"][..], &["sm", "a", "b", "--rate-limit", "1/10m"]] {
        let child = world.command(arguments).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        send(&child, Signal::INT);
        let run = world.finish(child, Instant::now());
        run.is_prompt();
        let told = run.exits(130).stderr.matches("error: interrupted").count();
        assert_eq!(told, 1, "{run:#?}");
        assert!(world.files().is_empty());
    }
}

#[test]
fn an_interrupt_after_a_paid_answer_says_how_long_it_is_kept() {
    let (service, _) = Service::with("x.bin", 1 << 20, &["throttle=500K"]);
    let world = service.world();
    let child = world.command(&["onecodex", "doc1"]).spawn().unwrap();
    world.wait_for_partial(1);
    send(&child, Signal::INT);
    world
        .finish(child, Instant::now())
        .exits(130)
        .says("run again within 59 min: the paid URL is kept until then");
    world.run(&["onecodex", "doc1"]).exits(0);
    assert_eq!(service.charges(), 1);
}

#[test]
fn an_interrupt_of_many_says_how_long_the_paid_urls_are_kept() {
    let document = |number: usize, length| {
        Document::new(&format!("{number}.bin"), vec![7; length]).with_id(&format!("d{number}"))
    };
    let all = || vec![document(0, 10), document(1, 1 << 20), document(2, 1 << 20)];
    let batch = ["onecodex", "d0", "d1", "d2"];
    let skipping = ["onecodex", "d0", "d1", "d2", "--if-exists", "skip"];
    let with_skip =
        "run again with --if-exists skip within 59 min: the paid URLs are kept until then";
    let within = "run again within 59 min: the paid URLs are kept until then";
    for (arguments, folder, hint) in [
        (&batch[..], "", with_skip),
        (&skipping, "", within),
        (&["sync", "onecodex", "m"], "m/", within),
    ] {
        let service = Service::start(all(), &["throttle=200K"]);
        let world = service.world();
        let child = world.command(arguments).spawn().unwrap();
        let first = world.out().join(format!("{folder}0.bin"));
        world.wait_until("the POSTs and the first document", || {
            service.charges() == 3 && first.exists()
        });
        std::thread::sleep(Duration::from_millis(300));
        send(&child, Signal::INT);
        let run = world.finish(child, Instant::now());
        run.exits(130).says(&format!("hint: {hint}\n"));
    }
}

#[test]
fn a_listing_and_a_url_are_interrupted_as_well() {
    let server = Raw::start(|request, stream| match request.path() {
        "/v1/documents/" | "/api/v1/documents/a/download_uri" => {
            std::thread::sleep(SILENCE);
        }
        _ => api(request, stream, ""),
    });
    let world = World::new(&server.base());
    for (arguments, said) in [
        (&["list", "sm"][..], "interrupted"),
        (&["url", "onecodex", "a"], "may have been charged"),
    ] {
        let before = server.seen().len();
        let child = world.command(arguments).spawn().unwrap();
        let last = |request: &Request| {
            request.path() == "/v1/documents/" || request.path().ends_with("/download_uri")
        };
        world.wait_until("a request", || server.seen()[before..].iter().any(last));
        send(&child, Signal::TERM);
        let run = world.finish(child, Instant::now());
        run.is_prompt().exits(143).says(said);
    }
}

#[test]
fn a_second_interrupt_ends_at_once_even_while_a_write_blocks() {
    let (service, _) = Service::with("x.bin", 8 << 20, &[]);
    let world = service.world();
    // The test does not read standard output.
    let mut child = world.command(&["sm", "doc1", "-o", "-"]).spawn().unwrap();
    world.wait_until("a transfer", || service.report().storage_requests > 0);
    std::thread::sleep(Duration::from_millis(200)); // until the pipe is full
    send(&child, Signal::INT);
    std::thread::sleep(Duration::from_millis(50));
    let _ = kill_process(Pid::from_child(&child), Signal::INT);
    assert_eq!(exit_code_unread(&mut child), Some(130));
}

#[test]
fn a_second_interrupt_ends_a_process_that_is_blocked() {
    // The test does not read standard error: the process blocks in a write to it.
    let server = Raw::start(|_, stream| reply(stream, "404 Not Found", &[], b"{}"));
    let world = World::new(&server.base());
    let ids: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
    let mut arguments = vec!["onecodex"];
    arguments.extend(ids.iter().map(String::as_str));
    let mut child = world.command(&arguments).spawn().unwrap();
    let stderr = child.stderr.take();
    let mut before = 0;
    world.wait_until("no more requests", || {
        std::thread::sleep(Duration::from_millis(300));
        let now = server.seen().len();
        std::mem::replace(&mut before, now) == now && now > 0
    });
    for _ in 0..2 {
        send(&child, Signal::INT);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(exit_code_unread(&mut child), Some(130));
    drop(stderr);
}

#[test]
fn a_paid_answer_on_its_way_is_kept_when_a_url_was_to_be_printed() {
    let server = Raw::start(|request, stream| {
        if request.method == "POST" {
            std::thread::sleep(Duration::from_millis(500));
        }
        api(request, stream, "https://s.example/x");
    });
    let world = World::new(&server.base());
    let child = world.command(&["url", "onecodex", "a"]).spawn().unwrap();
    world.wait_until("the POST", || server.count("POST", "/") == 1);
    send(&child, Signal::INT);
    world.finish(child, Instant::now());
    let listed = world.run(&["ledger", "list"]);
    assert!(!listed.stdout.contains("doubtful"), "{listed:?}");
    assert_eq!(listed.stdout.lines().count(), 1);
}

#[test]
fn after_an_interrupt_the_hint_says_whether_a_run_continues() {
    let (service, _) = Service::with("x.bin", 1 << 20, &["throttle=300K", "latency=1s"]);
    for (arguments, hint) in [
        (
            &["sm", "doc1", "-o", "-"][..],
            "run again to start over; docfetch continues only files",
        ),
        (&["sm", "doc1"], "run again to continue"),
        (&["list", "sm"], "run again"),
        (&["url", "sm", "doc1"], "run again"),
    ] {
        let world = service.world();
        let child = world.command(arguments).spawn().unwrap();
        world.wait_for_signal_handler(&child);
        std::thread::sleep(Duration::from_millis(200));
        send(&child, Signal::INT);
        let run = world.finish(child, Instant::now());
        run.exits(130).says(&format!("hint: {hint}\n"));
    }
}
