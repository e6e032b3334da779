//! No clock decides about charges: the storage says whether a paid URL expired.

use crate::support::raw::{Raw, api, presigned, reply, serve};
use crate::support::{Run, SILENCE, World, each_at_once, noise};
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

const TAG: (&str, &str) = ("ETag", "\"v1\"");
const DAY: Duration = Duration::from_hours(24);
const DENIED: &[u8] = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";

fn posts(api: &Raw) -> usize {
    api.count("POST", "/")
}

/// A `Date` so many days from now.
fn date(days: i32) -> String {
    let now = SystemTime::now();
    let time = match u32::try_from(days) {
        Ok(ahead) => now + DAY * ahead,
        Err(_) => now - DAY * days.unsigned_abs(),
    };
    httpdate::fmt_http_date(time)
}

/// An API that hands out URLs for a day; `days` is how far its clock is off when it answers a POST.
fn charging(storage: String, days: i32) -> Raw {
    Raw::start(move |request, stream| {
        let url = format!("{}&n={}", presigned(&storage, "/x.txt"), request.before);
        if request.method == "POST" {
            let body = serde_json::json!({"download_uri": url, "expires_in_hours": 24});
            let headers = [("Date", &*date(days))];
            return reply(stream, "200 OK", &headers, body.to_string().as_bytes());
        }
        let headers = [("Date", &*date(0))];
        reply(stream, "503 Busy", &headers, b"{}");
    })
}

/// A world with a delivered document `a`, whose URL is past its end as far as clocks know; its storage
/// answers as `later` from then on.
fn delivered(later: (&'static str, &'static [u8])) -> (World, Raw, Raw) {
    let (status, body) = later;
    let storage = Raw::start(move |request, stream| match request.before {
        0 => reply(stream, "200 OK", &[TAG], b"content"),
        _ => reply(stream, status, &[TAG], body),
    });
    let api = charging(storage.base(), -3);
    let world = World::new(&api.base());
    world.run(&["onecodex", "a", "-o", "first"]).exits(0);
    (world, api, storage)
}

fn record(world: &World) -> Value {
    world.run(&["ledger", "list", "--json"]).records().remove(0)
}

#[test]
fn a_clock_that_is_off_anywhere_pays_for_nothing_again() {
    for (of_storage, of_api) in [(3, 0), (-3, 0), (0, -3), (0, 3), (3, -3)] {
        let storage = Raw::start(move |_, stream| {
            let headers = [TAG, ("Date", &*date(of_storage))];
            reply(stream, "200 OK", &headers, b"content");
        });
        let api = charging(storage.base(), of_api);
        let world = World::new(&api.base());
        for file in ["first", "second", "third"] {
            world.run(&["onecodex", "a", "-o", file]).exits(0);
            assert_eq!(world.read(file), b"content");
        }
        world.run_showing(&["url", "onecodex", "a"]).exits(0);
        assert_eq!(posts(&api), 1, "storage {of_storage}, API {of_api}");
    }
}

#[test]
fn a_url_past_its_end_is_used_while_the_storage_serves_it() {
    let content = noise(400_000);
    let (whole, first) = (content.clone(), Arc::new(AtomicBool::new(true)));
    let storage = Raw::start(move |request, stream| {
        // The first answer of the second run breaks, too: it is tried again like any other.
        let most = if request.before < 2 {
            100_000
        } else {
            whole.len()
        };
        assert!(request.before < 2 || request.range_start().is_some());
        first.store(false, Ordering::SeqCst);
        crate::support::raw::send_part(request, stream, &whole, "\"v1\"", most);
    });
    let api = charging(storage.base(), -3);
    let world = World::new(&api.base());
    world.run(&["onecodex", "a", "--retries", "0"]).exits(5);
    let run = world.run(&["onecodex", "a", "--json"]);
    assert_eq!(run.exits(0).records()[0]["resumed_from"], 100_000);
    assert_eq!(world.read("x.txt"), content);
    assert_eq!((posts(&api), storage.seen().len()), (1, 3));
}

#[test]
fn a_4xx_for_a_url_past_its_end_says_that_it_expired() {
    let statuses = [
        "401 No",
        "403 Forbidden",
        "404 Not Found",
        "410 Gone",
        "400 Bad",
    ];
    each_at_once(statuses, |status| {
        let (world, api, storage) = delivered((status, DENIED));
        // Delivered, and expired: a new retrieval, which is said.
        let fetch = |output| {
            let limits = ["--retries", "0", "--retry-max-time", "1s", "--json"];
            world.run(&[&["onecodex", "a", "-o", output][..], &limits].concat())
        };
        let run = fetch("second");
        run.says("requesting a new paid retrieval");
        assert_eq!(
            (posts(&api), storage.seen().len() > 1),
            (2, true),
            "{status}"
        );
        assert_eq!(run.records()[0]["charged"], true);
        // The URL of this one has not been delivered: nothing is paid again.
        let run = fetch("third");
        assert_eq!(run.exits(8).error_code(), "charge_refused", "{status}");
        run.says("--allow-recharge");
        assert_eq!(posts(&api), 2, "{status}");
    });
}

#[test]
fn a_storage_that_decides_nothing_is_asked_once_and_nothing_is_paid() {
    for status in ["503 Busy", "500 Oops", "429 Slow", "408 Late", "302 Found"] {
        let (world, api, storage) = delivered((status, b""));
        let run = world.run(&["onecodex", "a", "-o", "second", "--json"]);
        run.exits(5).says("--allow-recharge");
        assert_eq!((posts(&api), storage.seen().len()), (1, 2), "{status}");
        world
            .run(&["url", "onecodex", "a"])
            .exits(5)
            .says("--allow-recharge");
        assert_eq!((posts(&api), storage.seen().len()), (1, 3), "{status}");
        assert_eq!(record(&world)["state"], "delivered");
    }
    // A storage that cannot be reached.
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[TAG], b"content"));
    let free: SocketAddr = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let base = storage.base();
    let api = Raw::start(move |request, stream| {
        let base = match request.target.contains("/a/") {
            true => base.clone(),
            false => format!("http://{free}"),
        };
        let body = serde_json::json!({
            "download_uri": presigned(&base, "/x.txt"), "expires_in_hours": 24
        });
        match &*request.method {
            "POST" => {
                let headers = [("Date", &*date(-3))];
                reply(stream, "200 OK", &headers, body.to_string().as_bytes());
            }
            _ => reply(stream, "404 Not Found", &[("Date", &*date(0))], b"{}"),
        }
    });
    let world = World::new(&api.base());
    world.run(&["onecodex", "b", "--retries", "0"]).exits(5);
    let run = world.run(&["onecodex", "b"]);
    run.exits(5).says("cannot connect").says("--allow-recharge");
    assert!(!run.stderr.contains("gave up after"), "{run:#?}");
    assert_eq!(posts(&api), 1);
}

#[test]
fn a_silent_storage_is_given_ten_seconds_for_a_url_past_its_end() {
    let storage = Raw::start(|request, stream| match request.before {
        0 => reply(stream, "200 OK", &[TAG], b"content"),
        _ => std::thread::sleep(SILENCE),
    });
    let api = charging(storage.base(), -3);
    let world = World::new(&api.base());
    world.run(&["onecodex", "a", "-o", "first"]).exits(0);
    let run = world.run(&["onecodex", "a", "-o", "second"]);
    run.is_prompt().exits(5).says("no answer for 10 s");
    assert!(run.elapsed > Duration::from_secs(9), "{:?}", run.elapsed);
    assert_eq!((posts(&api), storage.seen().len()), (1, 2));
}

#[test]
fn the_user_can_pay_in_place_of_a_url_whose_storage_decides_nothing() {
    let storage = Raw::start(|request, stream| {
        if request.target.contains("n=0") && request.before > 0 {
            return reply(stream, "503 Busy", &[], b"");
        }
        reply(stream, "200 OK", &[TAG], b"content");
    });
    let api = charging(storage.base(), -3);
    let world = World::new(&api.base());
    world.run(&["onecodex", "a", "-o", "first"]).exits(0);
    world
        .run(&["onecodex", "a", "-o", "second", "--allow-recharge"])
        .exits(0)
        .says("as --allow-recharge permits");
    assert_eq!(posts(&api), 2);
    assert_eq!(world.read("second"), b"content");
}

#[test]
fn a_printed_url_past_its_end_is_proven_by_its_first_byte() {
    let (world, api, storage) = delivered(("200 OK", b"content"));
    let run = world.run_showing(&["url", "onecodex", "a"]);
    assert!(run.exits(0).stdout.contains("n=0"));
    let seen = storage.seen();
    assert_eq!(seen[1].header("range"), Some("bytes=0-0"));
    assert_eq!((posts(&api), seen.len()), (1, 2));
    let (world, api, _storage) = delivered(("403 Forbidden", DENIED));
    let run = world.run_showing(&["url", "onecodex", "a"]);
    assert!(run.exits(0).stdout.contains("n=1"));
    run.says("requesting a new paid retrieval");
    assert_eq!(posts(&api), 2);
}

#[test]
fn a_dry_run_takes_a_url_past_its_end_as_expired_and_asks_no_storage() {
    let (world, api, storage) = delivered(("200 OK", b"content"));
    let run = world.run(&["onecodex", "a", "-o", "second", "--dry-run", "--json"]);
    let summary = run.exits(0).records().remove(1);
    assert_eq!(
        (&summary["would_charge"], &summary["would_reuse"]),
        (&1.into(), &0.into())
    );
    assert_eq!((posts(&api), storage.seen().len()), (1, 1));
}

/// Runs both providers against a storage that answers this for URLs that are past their end; returns the
/// run of sm, and that of onecodex.
fn refused_as(status: &'static str, body: &'static [u8], ends_in: i64) -> (Run, Run) {
    let storage = Raw::start(move |request, stream| {
        if request.target.contains("n=0") {
            std::thread::sleep(Duration::from_millis(1500)); // until it is past its end
            return reply(stream, status, &[], body);
        }
        serve(request, stream, b"content", "\"v1\"");
    });
    let base = storage.base();
    let api = Raw::start(move |request, stream| {
        let end = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs() as i64;
        let end = end + ends_in;
        let url = format!(
            "{}&expires={end}&n={}",
            presigned(&base, "/x.txt"),
            request.before
        );
        api(request, stream, &url);
    });
    let world = World::new(&api.base());
    let free = world.run(&["sm", "a", "-o", "free", "--json"]);
    let paid = world.run(&["onecodex", "a", "-o", "paid", "--json"]);
    assert_eq!(api.count("POST", "/download_uri"), 1);
    (free, paid)
}

#[test]
fn a_storage_says_in_its_own_way_that_a_url_expired() {
    let answers = [
        ("401 Unauthorized", 1),
        ("403 Forbidden", 1),
        ("410 Gone", 1),
        // A second before it was handed over.
        ("410 Gone", -1),
        ("401 Unauthorized", -1),
    ];
    each_at_once(answers, |(status, ends_in)| {
        let (free, paid) = refused_as(status, b"no XML", ends_in);
        assert_eq!(free.exits(0).records()[0]["resolves"], 2, "{status}");
        assert_eq!(paid.exits(8).error_code(), "charge_refused", "{status}");
        paid.says("--allow-recharge");
    });
}

#[test]
fn a_url_whose_end_has_just_passed_is_used_first() {
    let storage = Raw::start(|request, stream| serve(request, stream, b"content", "\"v1\""));
    let base = storage.base();
    let api = Raw::start(move |request, stream| {
        let url = format!("{}&temp_url_expires=1600000000", presigned(&base, "/x.txt"));
        api(request, stream, &url);
    });
    let world = World::new(&api.base());
    for provider in ["sm", "onecodex"] {
        let run = world.run(&[provider, "a", "-o", provider, "--json"]);
        assert_eq!(run.exits(0).records()[0]["resolves"], 1);
    }
}

#[test]
fn a_living_url_that_the_storage_refuses_for_good_is_replaced_only_with_permission() {
    let content = noise(200_000);
    let whole = content.clone();
    let storage = Raw::start(move |request, stream| {
        if request.target.contains("n=0") {
            return match request.before {
                0 => crate::support::raw::send_part(request, stream, &whole, "\"v1\"", 50_000),
                _ => reply(stream, "403 Forbidden", &[], DENIED),
            };
        }
        serve(request, stream, &whole, "\"v1\"");
    });
    let api = charging(storage.base(), 0);
    let world = World::new(&api.base());
    for _ in 0..2 {
        let run = world.run(&["onecodex", "a", "--json"]);
        assert_eq!(run.exits(4).error_code(), "storage_denied");
        run.says("--allow-recharge")
            .says("docfetch ledger forget a");
    }
    assert_eq!(
        (posts(&api), world.files().len()),
        (1, 2),
        "the partial is kept"
    );
    let run = world.run(&["onecodex", "a", "--json", "--allow-recharge"]);
    let record = run.exits(0).records().remove(0);
    assert_eq!(
        (&record["resumed_from"], &record["charged"]),
        (&50_000.into(), &true.into())
    );
    assert_eq!((posts(&api), world.read("x.txt")), (2, content));
}

#[test]
fn permission_pays_once_a_document_and_run() {
    let storage = Raw::start(|_, stream| reply(stream, "403 Forbidden", &[], DENIED));
    let api = charging(storage.base(), 0);
    let world = World::new(&api.base());
    world.run(&["onecodex", "a", "--allow-recharge"]).exits(4);
    assert_eq!(posts(&api), 2);
    world.run(&["onecodex", "a", "--allow-recharge"]).exits(4);
    assert_eq!(posts(&api), 3);
}

#[test]
fn a_clock_that_says_expired_against_another_pays_for_nothing() {
    for days in [2, -2] {
        let storage = Raw::start(move |request, stream| {
            let headers = [TAG, ("Date", &*date(days))];
            match request.before {
                0 => reply(stream, "200 OK", &headers, b"content"),
                _ => reply(stream, "403 Forbidden", &headers, b"no XML"),
            }
        });
        let api = charging(storage.base(), 0);
        let world = World::new(&api.base());
        world.run(&["onecodex", "a", "-o", "first"]).exits(0);
        let run = world.run(&["onecodex", "a", "-o", "second"]);
        run.exits(4).says("--allow-recharge");
        assert_eq!(posts(&api), 1, "{days}");
    }
}
