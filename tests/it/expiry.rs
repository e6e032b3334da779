//! When presigned URLs die, and what storages say of it.

use crate::support::raw::{Raw, Request, api, head, presigned, reply};
use crate::support::{World, noise};
use jiff::Timestamp;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

const TAG: (&str, &str) = ("ETag", "\"v1\"");
const SIZE: usize = 200_000;

fn date() -> String {
    httpdate::fmt_http_date(SystemTime::now())
}

/// An API that hands over URLs of its own, each living for `lifetime` seconds, as S3 writes it.
fn handing_over(base: String, lifetime: i64, signed: i64) -> Raw {
    let handed = AtomicUsize::new(0);
    Raw::start(move |request, stream| {
        let number = handed.fetch_add(1, Ordering::SeqCst);
        let signed = Timestamp::from_second(Timestamp::now().as_second() + signed).unwrap();
        let signed = signed.strftime("%Y%m%dT%H%M%SZ");
        let url = presigned(&base, "/x.bin");
        let url = format!("{url}&X-Amz-Date={signed}&X-Amz-Expires={lifetime}&number={number}");
        match request.path() {
            path if path.ends_with("/download/") => {
                let headers = [("Location", &*url), ("Date", &*date())];
                reply(stream, "302 Found", &headers, b"");
            }
            path if path.ends_with("/download_uri") => {
                let body = serde_json::json!({"download_uri": url, "expires_in_hours": 1});
                let headers = [("Date", &*date())];
                reply(stream, "200 OK", &headers, body.to_string().as_bytes());
            }
            _ => api(request, stream, &url),
        }
    })
}

/// Sends the first half of the document to the first request, and the rest to the second.
fn halves(request: &Request, stream: &mut TcpStream) {
    let content = noise(SIZE);
    match request.range_start() {
        None => {
            head(stream, "200 OK", &[TAG], Some(SIZE));
            let _ = stream.write_all(&content[..SIZE / 2]);
        }
        Some(start) => {
            let range = format!("bytes {start}-{}/{SIZE}", SIZE - 1);
            let headers = [TAG, ("Content-Range", range.as_str())];
            reply(stream, "206 Partial Content", &headers, &content[start..]);
        }
    }
}

#[test]
fn a_free_url_in_its_last_minute_is_replaced_before_a_new_request() {
    for (lifetime, resolves) in [(30, 2), (300, 1)] {
        let storage = Raw::start(halves);
        let server = handing_over(storage.base(), lifetime, 0);
        let world = World::new(&server.base());
        let run = world.run(&["sm", "a", "--json"]);
        assert_eq!(
            run.exits(0).records()[0]["resolves"],
            resolves,
            "{lifetime}"
        );
        assert_eq!(world.read("x.bin"), noise(SIZE));
        let seen = storage.seen();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].target != seen[1].target, resolves == 2);
    }
}

#[test]
fn a_paid_url_in_its_last_minute_is_used() {
    let storage = Raw::start(halves);
    let server = handing_over(storage.base(), 30, 0);
    let world = World::new(&server.base());
    world.run(&["onecodex", "a"]).exits(0);
    assert_eq!(world.read("x.bin"), noise(SIZE));
    assert_eq!(server.count("POST", "/"), 1);
}

#[test]
fn the_earlier_of_two_ends_counts() {
    for (lifetime, signed, expected) in [(600, 0, 600), (90_000, 0, 3600), (600, -7200, -6600)] {
        let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"x"));
        let server = handing_over(storage.base(), lifetime, signed);
        let world = World::new(&server.base());
        world.run(&["onecodex", "a"]).exits(0);
        let record = world.run(&["ledger", "list", "--json"]).records().remove(0);
        let time = |field: &str| -> Timestamp { record[field].as_str().unwrap().parse().unwrap() };
        let lives = time("expires").as_second() - time("asked").as_second();
        assert!((lives - expected).abs() <= 2, "{lives} of {expected}");
    }
}

#[test]
fn a_storage_that_only_denies_a_url_that_is_over_means_that() {
    // As CloudFront does.
    let denied = b"<Error><Code>AccessDenied</Code><Message>Access denied</Message></Error>";
    let storage = Raw::start(move |request, stream| {
        if request.before == 0 {
            std::thread::sleep(Duration::from_secs(2)); // until it is over
            return reply(stream, "403 Forbidden", &[], denied);
        }
        reply(stream, "200 OK", &[], b"x");
    });
    let server = handing_over(storage.base(), 1, 0);
    let run = World::new(&server.base()).run(&["sm", "a", "--json"]);
    assert_eq!(run.exits(0).records()[0]["resolves"], 2);
    let storage = Raw::start(move |_, stream| {
        std::thread::sleep(Duration::from_secs(2));
        reply(stream, "403 Forbidden", &[], denied);
    });
    let server = handing_over(storage.base(), 1, 0);
    let run = World::new(&server.base()).run(&["onecodex", "b", "--json"]);
    assert_eq!(run.exits(8).error_code(), "charge_refused");
    assert_eq!(server.count("POST", "/"), 1);
}

#[test]
fn each_kind_of_403_has_a_hint_of_its_own() {
    let kinds = [
        ("AccessDenied", "Request has expired", 5, "url_expired"),
        ("SignatureDoesNotMatch", "x", 4, "storage_denied"),
        ("RequestTimeTooSkewed", "x", 5, "clock_skew"),
        ("AccessDenied", "Access Denied", 4, "storage_denied"),
    ];
    for provider in ["sm", "onecodex"] {
        let mut hints = Vec::new();
        for (code, message, exit, error) in kinds {
            let storage = Raw::start(move |_, stream| {
                let body =
                    format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
                reply(stream, "403 Forbidden", &[], body.as_bytes());
            });
            let server = handing_over(storage.base(), 3600, 0);
            let run = World::new(&server.base()).run(&[provider, "a", "--json"]);
            let paid_and_expired = provider == "onecodex" && error == "url_expired";
            let (exit, error, requests) = match (paid_and_expired, error) {
                (true, _) => (8, "charge_refused", 1),
                (false, "url_expired") => (exit, error, 2),
                (false, _) => (exit, error, 1),
            };
            assert_eq!(run.exits(exit).error_code(), error, "{code} {message}");
            assert_eq!(storage.seen().len(), requests);
            let hint = run.records()[0]["error"]["hint"]
                .as_str()
                .unwrap()
                .to_owned();
            assert!(!hints.contains(&hint), "{hint}");
            hints.push(hint);
        }
    }
}
