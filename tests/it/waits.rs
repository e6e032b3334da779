//! How long docfetch waits: what servers ask for, and what they may not.

use crate::support::raw::{Raw, Request, api, presigned, reply, serve};
use crate::support::{World, each_at_once};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SERVICES: [&str; 2] = ["sm", "onecodex"];
/// Numbers of seconds that overflow a clock, a 64-bit number, and a float.
const HUGE: [&str; 3] = [
    "18446744073709551615",
    "18446744073709551616",
    concat!(
        "9999999999",
        "9999999999",
        "9999999999",
        "9999999999",
        "9999999999"
    ),
];

/// An API and a storage. The first requests for paths that contain `part` are refused with `status` and a header;
/// the moments when they and their like came are kept.
struct Busy {
    server: Raw,
    came: Arc<Mutex<Vec<Instant>>>,
}

impl Busy {
    fn start(
        part: &'static str,
        first: usize,
        (status, wait): (&'static str, &'static str),
    ) -> Self {
        Self::saying(part, first, status, &[("Retry-After", wait)])
    }

    fn saying(
        part: &'static str,
        first: usize,
        status: &'static str,
        headers: &[(&'static str, &'static str)],
    ) -> Self {
        let date = ("Date", "Sun, 22 Nov 2026 09:00:00 GMT");
        let headers = [headers, &[date]].concat();
        let came: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let log = Arc::clone(&came);
        let refused = move |request: &Request| {
            if !request.path().contains(part) {
                return false;
            }
            log.lock().unwrap().push(Instant::now());
            request.before < first
        };
        let (refused, headers) = (Arc::new(refused), Arc::new(headers));
        let (refuses, same_headers) = (Arc::clone(&refused), Arc::clone(&headers));
        let storage = Raw::start(move |request, stream| {
            if refuses(request) {
                return reply(stream, status, &same_headers, b"");
            }
            serve(request, stream, b"content", "\"a\"");
        });
        let url = presigned(&storage.base(), "/stored.bin");
        let server = Raw::start(move |request, stream| {
            if refused(request) {
                return reply(stream, status, &headers, b"{}");
            }
            api(request, stream, &url);
        });
        Self { server, came }
    }

    fn pauses(&self) -> Vec<Duration> {
        let came = self.came.lock().unwrap();
        came.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

#[test]
fn a_wait_of_zero_or_of_the_past_is_the_usual_backoff() {
    let refusals = [("/download", "429 Slow"), ("/stored", "503 Slow Down")];
    let waits = ["0", "0.0", "Sun, 06 Nov 1994 08:49:37 GMT"];
    std::thread::scope(|scope| {
        for (service, (part, status), wait) in each_with(refusals, waits) {
            scope.spawn(move || {
                let busy = Busy::start(part, 2, (status, wait));
                let run = World::new(&busy.server.base()).run(&[service, "a"]);
                run.exits(0);
                let pauses = busy.pauses();
                assert_eq!(pauses.len(), 2, "{run:#?}");
                let least = [250, 500].map(Duration::from_millis);
                assert!(pauses[0] >= least[0] && pauses[1] >= least[1], "{pauses:?}");
            });
        }
    });
}

/// Each service with each refusal and each wait.
fn each_with<R: Copy, const N: usize, const M: usize>(
    refusals: [R; N],
    waits: [&'static str; M],
) -> impl Iterator<Item = (&'static str, R, &'static str)> {
    SERVICES.into_iter().flat_map(move |service| {
        let each = move |refusal| waits.map(|wait| (service, refusal, wait));
        refusals.into_iter().flat_map(each)
    })
}

#[test]
fn a_wait_with_a_fraction_is_obeyed() {
    for service in SERVICES {
        let busy = Busy::start("/download", 1, ("429 Slow", "1.5"));
        World::new(&busy.server.base())
            .run(&[service, "a"])
            .exits(0);
        let pauses = busy.pauses();
        assert!(pauses[0] >= Duration::from_millis(1500), "{pauses:?}");
    }
}

#[test]
fn a_wait_for_ever_ends_the_run_at_once_and_overflows_nothing() {
    let refusals = [
        ("/download", "429 Slow", 5),
        ("/stored", "503 Slow Down", 5),
        ("/stored", "404 Not Found", 4),
    ];
    for (service, (part, status, exit), wait) in each_with(refusals, HUGE) {
        let busy = Busy::start(part, 100, (status, wait));
        let run = World::new(&busy.server.base()).run(&[service, "a", "--json"]);
        run.is_prompt().exits(exit);
        assert_eq!(busy.pauses().len(), 0, "{run:#?}");
        if status.starts_with("429") {
            run.says("for more than a year");
        }
    }
}

/// 1795338000 is the `Date` of every refusal.
#[test]
fn the_reset_of_a_rate_limit_is_waited_for() {
    let headers = [
        ("RateLimit-Reset", "2"),
        ("X-RateLimit-Reset", "2"),
        ("X-RateLimit-Reset", "1795338002"),
        ("X-RateLimit-Reset", "1795338002000"),
        ("RateLimit", "\"default\";r=0;t=2"),
        ("Retry-After", "1.8"),
    ];
    each_at_once(headers, |header| {
        for (service, part) in [
            ("sm", "/download"),
            ("onecodex", "/download"),
            ("sm", "/stored"),
        ] {
            let busy = Busy::saying(part, 1, "429 Slow", &[header]);
            let run = World::new(&busy.server.base()).run(&[service, "a"]);
            run.exits(0);
            let pauses = busy.pauses();
            let expected = Duration::from_millis(1800)..Duration::from_secs(20);
            assert!(
                pauses.len() == 1 && expected.contains(&pauses[0]),
                "{header:?} {pauses:?}"
            );
        }
    });
}

#[test]
fn a_reset_that_is_hours_away_ends_the_run_and_is_told_by_every_process() {
    for header in [("X-RateLimit-Reset", "1795345200"), ("Retry-After", "7200")] {
        let busy = Busy::saying("/download", 9, "429 Slow", &[header]);
        let world = World::new(&busy.server.base());
        for retries in ["5", "0"] {
            let run = world.run(&["sm", "a", "--json", "--retries", retries]);
            assert_eq!(run.is_prompt().exits(5).error_code(), "rate_limited");
            run.says("run again in 2 h");
            // The second process requests nothing.
            let is_held = run.stderr.contains("an earlier answer asked all requests");
            assert_eq!(is_held, retries == "0", "{run:#?}");
        }
        assert_eq!(busy.pauses().len(), 0);
        let run = world.run(&["onecodex", "a", "--json"]);
        run.is_prompt().exits(5).says("run again in 2 h");
    }
}

#[test]
fn a_retry_after_counts_and_not_the_reset_of_the_rate_limit() {
    for (service, part) in [
        ("sm", "/download"),
        ("onecodex", "/download"),
        ("sm", "/stored"),
    ] {
        let headers = [
            ("Retry-After", "1"),
            ("X-RateLimit-Remaining", "4000"),
            ("X-RateLimit-Reset", "7200"),
        ];
        let busy = Busy::saying(part, 1, "429 Slow", &headers);
        World::new(&busy.server.base())
            .run(&[service, "a"])
            .exits(0);
        let pauses = busy.pauses();
        assert!(pauses[0] >= Duration::from_millis(950), "{pauses:?}");
    }
}

/// The headers of a rate limit ask for nothing where the status does not.
#[test]
fn a_reset_without_a_429_is_no_wait() {
    let busy = Busy::saying("/stored", 1, "503 Busy", &[("X-RateLimit-Reset", "3600")]);
    let run = World::new(&busy.server.base()).run(&["sm", "a"]);
    run.is_prompt().exits(0);
}

#[test]
fn a_429_that_names_no_time_is_waited_for_by_one_window_where_the_request_is_free() {
    let (budget, none) = (["--rate-limit", "9/3s"], ["--rate-limit", "none"]);
    let refused = |arguments: &[&str], rates: &[&str]| {
        let busy = Busy::start("/d", 1, ("429 Slow", "soon"));
        let run = World::new(&busy.server.base()).run(&[arguments, rates].concat());
        (busy.pauses(), run)
    };
    each_at_once([&["sm", "a"][..], &["list", "sm"]], |arguments| {
        let (pauses, run) = refused(arguments, &budget);
        assert!(
            pauses[0] >= Duration::from_millis(2950),
            "{pauses:?} {run:#?}"
        );
        let (pauses, run) = refused(arguments, &none);
        assert!(
            pauses[0] < Duration::from_millis(2500),
            "{pauses:?} {run:#?}"
        );
    });
    // A paid request is not repeated.
    for rates in [budget, none] {
        let busy = Busy::start("/download", 9, ("429 Slow", "soon"));
        let arguments = [&["onecodex", "a", "--json"], &rates[..]].concat();
        let run = World::new(&busy.server.base()).run(&arguments);
        assert_eq!(run.is_prompt().exits(5).error_code(), "rate_limited");
        assert_eq!(busy.server.count("POST", "/"), 1);
    }
}

/// Three processes share a budget of three requests in two seconds; their clocks are up to a second apart.
#[test]
fn processes_whose_clocks_differ_never_exceed_their_budget_together() {
    if !crate::support::tools::faketime() {
        return;
    }
    let came: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let storage = Raw::start(|request, stream| serve(request, stream, b"content", "\"a\""));
    let (log, url) = (Arc::clone(&came), presigned(&storage.base(), "/x.bin"));
    let server = Raw::start(move |request, stream| {
        log.lock().unwrap().push(Instant::now());
        api(request, stream, &url);
    });
    let world = World::new(&server.base());
    world.out();
    let children = ["-0.5s", "+0s", "+0.49s"].map(|clock| {
        let binary = env!("CARGO_BIN_EXE_docfetch");
        let folder = &clock[1..];
        let mut all = vec!["-f", clock, binary, "sm", "a", "b", "c", "-d", folder];
        all.extend(["--rate-limit", "3/2s"]);
        world.command_of("faketime", &all).spawn().unwrap()
    });
    for child in children {
        world.finish(child, Instant::now()).exits(0);
    }
    let came = came.lock().unwrap();
    assert!(came.len() >= 10, "{}", came.len());
    // The server may see a request later than docfetch sent it.
    let window = Duration::from_millis(1900);
    for (index, first) in came.iter().enumerate() {
        let inside = came[index..].iter().filter(|at| **at - *first < window);
        assert!(inside.count() <= 3, "{came:?}");
    }
}
