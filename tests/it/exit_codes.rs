//! Every exit code, provoked, with its error code and its three lines.

use crate::support::raw::{Raw, Request, api, both, presigned, reply};
use crate::support::services::Service;
use crate::support::{API_KEY, TOKEN, World};
use std::net::TcpStream;
use std::time::Duration;

/// An API that answers the routes of a document with a status, and the rest as usual.
fn refusing(status: &'static str, headers: &'static [(&str, &str)], body: &'static str) -> Raw {
    Raw::start(move |request, stream| match request.path() {
        path if path.contains("/documents/") => reply(stream, status, headers, body.as_bytes()),
        _ => api(request, stream, ""),
    })
}

#[track_caller]
fn fails(server: &Raw, arguments: &[&str], exit: i32, code: &str) -> crate::support::Run {
    let world = World::new(&server.base());
    let mut all = arguments.to_vec();
    all.extend(["--json", "--retries", "0"]);
    let run = world.run(&all);
    assert_eq!(
        (run.code, run.error_code().as_str()),
        (exit, code),
        "{run:#?}"
    );
    let records = run.records();
    assert_eq!(records.last().unwrap()["exit_code"], exit);
    let said: Vec<_> = run
        .stderr
        .lines()
        .filter(|line| !line.starts_with("fetching"))
        .collect();
    assert!(
        said.len() <= 3 && said[0].starts_with("error: "),
        "{run:#?}"
    );
    assert!(said.last().unwrap().starts_with("  hint: "), "{run:#?}");
    assert!(world.files().is_empty(), "{:?}", world.files());
    run
}

#[test]
fn usage_errors_exit_2_and_say_what_was_expected() {
    let world = World::new("http://127.0.0.1:1");
    for (arguments, said) in [
        (&["sm"][..], "<ID>"),
        (&["sm", "a/b"], "is not a document id"),
        (&["sm", ""], "is not a document id"),
        (&["sm", ".."], "is not a document id"),
        (&["sm", "-", "-"], "given twice"),
        (&["sm", "a", "-j", "0"], "--jobs"),
        (&["sm", "a", "--limit-rate", "0"], "512K"),
        (&["sm", "a", "b", "-o", "x"], "single document"),
        (
            &["sm", "a", "b", "--sha256", &"0".repeat(64)],
            "single document",
        ),
        (&["sm", "a", "--sha256", "00"], "64 hexadecimal digits"),
        (&["sm", "a", "-o", "-", "--json"], "--json"),
        (
            &["sm", "a", "--name", "{company}"],
            "{company} is not a field",
        ),
        (&["sm", "a", "--name", "a/{name}"], "path separator"),
        (&["sm", "a", "--if-exists", "maybe"], "overwrite"),
        (&["sm", "a", "--stall-timeout", "0s"], "longer than 0"),
        (&["sm", "a", "--retries=-1"], "--retries"),
        (&["sm", "a", "--rate-limit", "fast"], "120/1m"),
        (&["list", "s3"], "onecodex"),
        (&["frobnicate"], "frobnicate"),
    ] {
        let run = world.run(arguments);
        run.exits(2).says(said).says("\n  hint: ");
        assert!(run.stderr.lines().count() <= 3, "{run:?}");
    }
}

#[test]
fn settings_that_cannot_be_used_exit_2() {
    let mut world = World::new("http://127.0.0.1:1");
    world
        .run(&["sm", "a", "--ca-cert", "/nowhere.pem"])
        .exits(2)
        .says("/nowhere.pem");
    world.set("STANDARD_METRICS_API_BASE", "not a url");
    let run = world.run(&["sm", "a", "--json"]);
    assert_eq!(run.exits(2).error_code(), "config");
    run.says("STANDARD_METRICS_API_BASE");
    world.set("ONE_CODEX_API_KEY", "");
    world.set("ONE_CODEX_API_KEY_FILE", "/nowhere");
    world
        .run(&["onecodex", "a"])
        .exits(2)
        .says("ONE_CODEX_API_KEY_FILE");
}

#[test]
fn missing_credentials_exit_3_and_name_the_variables() {
    let world = World::bare();
    let run = world.run(&["sm", "a", "--json"]);
    assert_eq!(run.exits(3).error_code(), "credentials_missing");
    run.says("STANDARD_METRICS_CLIENT_ID")
        .says("STANDARD_METRICS_CLIENT_SECRET");
    world
        .run(&["onecodex", "a"])
        .exits(3)
        .says("ONE_CODEX_API_KEY");
    world.run(&["list", "onecodex"]).exits(3);
    world.run(&["url", "sm", "a"]).exits(3);
}

#[test]
fn refused_credentials_exit_3() {
    let server = Raw::start(|_, stream| {
        reply(
            stream,
            "401 Unauthorized",
            &[],
            br#"{"error":"invalid_client"}"#,
        );
    });
    let run = fails(&server, &["sm", "a"], 3, "credentials_rejected");
    run.says("invalid_client")
        .says("STANDARD_METRICS_CLIENT_SECRET");
    assert_eq!(server.seen().len(), 1);
    let run = fails(&server, &["onecodex", "a"], 3, "credentials_rejected");
    run.says("ONE_CODEX_API_KEY");
}

#[test]
fn a_token_that_is_refused_is_requested_once_more() {
    let revoked = Raw::start(|request, stream| match request.path() {
        path if path.ends_with("/download/") => {
            reply(
                stream,
                "401 Unauthorized",
                &[],
                br#"{"detail":"Token revoked."}"#,
            );
        }
        _ => api(request, stream, ""),
    });
    fails(&revoked, &["sm", "a"], 3, "credentials_rejected");
    assert_eq!(
        (
            revoked.count("POST", "/o/token/"),
            revoked.count("GET", "/download/")
        ),
        (2, 2)
    );
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"x"));
    let url = presigned(&storage.base(), "/x.txt");
    let once = Raw::start(move |request, stream| match request.path() {
        path if path.ends_with("/download/") && request.before == 0 => {
            reply(stream, "401 Unauthorized", &[], b"{}");
        }
        _ => api(request, stream, &url),
    });
    World::new(&once.base()).run(&["sm", "a"]).exits(0);
}

#[test]
fn documents_that_are_not_to_be_had_exit_4() {
    for (status, code) in [
        ("402 Payment Required", "payment_required"),
        ("403 Forbidden", "forbidden"),
        ("404 Not Found", "not_found"),
        ("410 Gone", "not_found"),
    ] {
        for provider in ["sm", "onecodex"] {
            let server = refusing(status, &[], r#"{"detail":"As \u001b[2Jthe API says it."}"#);
            fails(&server, &[provider, "a"], 4, code).says("As [2Jthe API says it.");
        }
    }
}

#[test]
fn a_storage_that_refuses_for_good_exits_4_without_an_echoed_secret() {
    let xml =
        format!("<Error><Code>InvalidArgument</Code><Message>{API_KEY} {TOKEN}</Message></Error>");
    let (api, _storage) = both("/x", move |_, stream| {
        reply(stream, "400 Bad Request", &[], xml.as_bytes())
    });
    fails(&api, &["onecodex", "a"], 4, "storage_denied").says("HTTP 400, InvalidArgument");
    let denied = |code: &'static str| {
        both("/x", move |_, stream| {
            let xml = format!("<Error><Code>{code}</Code></Error>");
            reply(stream, "403 Forbidden", &[], xml.as_bytes());
        })
    };
    let (api, _storage) = denied("SignatureDoesNotMatch");
    fails(&api, &["sm", "a"], 4, "storage_denied").says("signature");
    let (api, _storage) = denied("RequestTimeTooSkewed");
    fails(&api, &["sm", "a"], 5, "clock_skew").says("clock");
}

#[test]
fn trouble_that_outlasts_the_retries_exits_5_and_says_when_it_gave_up() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let world = World::new(&format!("http://{closed}"));
    let run = world.run(&["sm", "a", "--json", "--retries", "1"]);
    assert_eq!(run.exits(5).error_code(), "network");
    run.says("gave up after 2 attempts");
    for (status, code) in [
        ("500 Oops", "provider_error"),
        ("503 Busy", "provider_error"),
        ("520 Unknown", "provider_error"),
    ] {
        fails(&refusing(status, &[], ""), &["sm", "a"], 5, code);
    }
    let (api, storage) = both("/x", |_, stream| {
        reply(
            stream,
            "503 Slow Down",
            &[],
            b"<Error><Code>SlowDown</Code></Error>",
        );
    });
    let world = World::new(&api.base());
    let run = world.run(&["sm", "a", "--json", "--retries", "2"]);
    assert_eq!(run.exits(5).error_code(), "storage_error");
    run.says("SlowDown").says("gave up after 3 attempts");
    assert_eq!(storage.seen().len(), 3);
    assert!(world.files().is_empty());
}

#[test]
fn retry_after_is_obeyed_and_an_hour_ends_the_run_at_once() {
    let hour = refusing("429 Slow", &[("Retry-After", "3600")], "");
    let world = World::new(&hour.base());
    let run = world.run(&["sm", "a", "--json"]);
    assert_eq!(run.exits(5).error_code(), "rate_limited");
    run.is_prompt().says("run again in 60 min");
    // The wait holds for every later process, too: docfetch sends nothing, and ends.
    let before = hour.count("GET", "/download/");
    let run = world.run(&["sm", "a", "b", "--json"]);
    run.is_prompt().exits(5);
    assert_eq!(hour.count("GET", "/download/"), before);
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"x"));
    let url = presigned(&storage.base(), "/x.txt");
    let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(1_000_002));
    let now = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000));
    for headers in [
        vec![("Retry-After", "2".to_owned())],
        vec![("Retry-After", date), ("Date", now)],
    ] {
        let url = url.clone();
        let server = Raw::start(move |request, stream| match request.path() {
            path if path.ends_with("/download/") && request.before == 0 => {
                let headers: Vec<_> = headers
                    .iter()
                    .map(|(name, value)| (*name, value.as_str()))
                    .collect();
                reply(stream, "429 Slow", &headers, b"{}");
            }
            _ => api(request, stream, &url),
        });
        let run = World::new(&server.base()).run(&["sm", "a"]);
        run.exits(0);
        assert!(run.elapsed >= Duration::from_secs(2), "{:?}", run.elapsed);
    }
}

#[test]
fn answers_that_cannot_be_used_say_which_and_by_whom() {
    for (route, status, headers, body, said) in [
        ("/download/", "302 Found", &[][..], "", "no Location"),
        (
            "/download/",
            "302 Found",
            &[("Location", "http://[::")][..],
            "",
            "Location is not a URL",
        ),
        (
            "/download/",
            "200 OK",
            &[][..],
            "<html>",
            "HTTP 200 where a redirect",
        ),
        ("/o/token/", "200 OK", &[][..], "<html>", "JSON"),
        (
            "/o/token/",
            "200 OK",
            &[][..],
            r#"{"access_token":7}"#,
            "JSON",
        ),
        (
            "/o/token/",
            "200 OK",
            &[][..],
            r#"{"access_token":"","expires_in":1,"token_type":"Bearer"}"#,
            "bearer token",
        ),
    ] {
        let server = Raw::start(move |request, stream| match request.path() {
            path if path.ends_with(route) => reply(stream, status, headers, body.as_bytes()),
            _ => api(request, stream, ""),
        });
        fails(&server, &["sm", "a"], 5, "protocol")
            .says(said)
            .says("Standard Metrics");
    }
}

#[test]
fn integrity_exits_6() {
    // Closed early, no length, the size known from the metadata.
    let storage = Raw::start(|_, stream| {
        use std::io::Write as _;
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n12345");
    });
    let url = presigned(&storage.base(), "/x");
    let server = Raw::start(move |request, stream| match request.method.as_str() {
        "GET" => reply(stream, "200 OK", &[], br#"{"filename":"x.txt","size":10}"#),
        _ => api(request, stream, &url),
    });
    fails(&server, &["onecodex", "a"], 6, "length_mismatch").says("10 bytes, 5 arrived");
    // The storage's own checksum.
    let (api, _storage) = both("/x", |_, stream| {
        reply(
            stream,
            "200 OK",
            &[("x-amz-checksum-crc32", "AAAAAA==")],
            b"123456789",
        );
    });
    let world = World::new(&api.base());
    let run = world.run(&["sm", "a", "--json", "--retries", "0"]);
    assert_eq!(run.exits(6).error_code(), "digest_mismatch");
    run.says("CRC-32").says("cbf43926").says("--sha256");
    assert_eq!(world.files().len(), 2, "the bytes are kept");
}

#[test]
fn paid_retrievals_in_doubt_exit_8_after_one_post() {
    fn once(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static, said: &str) {
        let server = Raw::start(move |request: &Request, stream: &mut TcpStream| {
            match request.method.as_str() {
                "POST" => answer(stream),
                _ => reply(stream, "404 Not Found", &[], b"{}"),
            }
        });
        let world = World::new(&server.base());
        let run = world.run(&[
            "onecodex",
            "a",
            "--json",
            "--retries",
            "5",
            "--stall-timeout",
            "1s",
            "--connect-timeout",
            "1s",
        ]);
        assert_eq!(run.exits(8).error_code(), "charge_unknown");
        run.says("may have been charged").says(said);
        assert_eq!(server.count("POST", "/"), 1);
    }
    once(|_| {}, "broke");
    once(|stream| crate::support::raw::reset(stream), "broke");
    // No stall timeout ends the wait for an answer that may have been charged: the server does.
    once(|_| std::thread::sleep(Duration::from_secs(3)), "broke");
    once(
        |stream| reply(stream, "503 Busy", &[("Retry-After", "1")], b""),
        "HTTP 503",
    );
    once(|stream| reply(stream, "500 Oops", &[], b""), "HTTP 500");
    once(|stream| reply(stream, "408 Timeout", &[], b""), "HTTP 408");
    once(|stream| reply(stream, "200 OK", &[], b"<html>"), "JSON");
    once(
        |stream| reply(stream, "200 OK", &[], b"{}"),
        "download_uri is missing",
    );
    once(
        |stream| reply(stream, "200 OK", &[], br#"{"download_uri":7}"#),
        "download_uri is missing",
    );
    once(
        |stream| reply(stream, "200 OK", &[], br#"{"download_uri":"x y"}"#),
        "download_uri is not a URL",
    );
    once(
        |stream| reply(stream, "202 Accepted", &[], b"{}"),
        "HTTP 202",
    );
    once(
        |stream| reply(stream, "200 OK", &[], br#"{"download_uri":"mailto:x"}"#),
        "download_uri is not a URL",
    );
}

#[test]
fn a_paid_post_that_was_answered_without_a_charge_is_no_doubt() {
    for (status, exit, code) in [
        ("429 Slow", 5, "rate_limited"),
        ("400 Bad", 4, "request_refused"),
        ("425 Early", 5, "provider_error"),
    ] {
        let server = refusing(status, &[], "{}");
        let world = World::new(&server.base());
        let run = world.run(&["onecodex", "a", "--json"]);
        assert_eq!(
            (run.code, run.error_code().as_str()),
            (exit, code),
            "{run:#?}"
        );
        assert_eq!(server.count("POST", "/"), 1, "{status}");
        let retryable = &run.records()[0]["error"]["retryable"];
        assert_eq!(retryable, !status.starts_with("400"), "{status}");
    }
}

#[test]
fn a_base_without_the_api_is_a_setting_and_not_a_missing_document() {
    let server = Raw::start(|_, stream| reply(stream, "404 Not Found", &[], b""));
    fails(&server, &["sm", "a"], 2, "config").says("STANDARD_METRICS_API_BASE");
}

#[test]
fn a_failure_after_a_paid_retrieval_says_what_running_again_costs() {
    let (api, _storage) = both("/x", |_, stream| reply(stream, "503 Busy", &[], b""));
    fails(&api, &["onecodex", "a"], 5, "storage_error").says("the paid URL is kept until then");
    let run = fails(&api, &["sm", "a"], 5, "storage_error");
    assert!(!run.stderr.contains("charged"), "{run:?}");
}

#[test]
fn free_metadata_that_asks_to_wait_holds_nothing() {
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"x"));
    let url = presigned(&storage.base(), "/x.txt");
    let server = Raw::start(move |request, stream| match request.method.as_str() {
        "GET" => reply(stream, "429 Slow", &[("Retry-After", "600")], b"{}"),
        _ => api(request, stream, &url),
    });
    let run = World::new(&server.base()).run(&["onecodex", "a"]);
    run.is_prompt().exits(0);
}

#[test]
fn a_connection_that_is_never_made_is_no_doubt_whatever_the_stall_timeout() {
    // The server accepts, and never answers the TLS handshake.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let world = World::new(&format!("https://{}", silent.local_addr().unwrap()));
    let arguments = [
        "onecodex",
        "a",
        "--json",
        "--retries",
        "0",
        "--stall-timeout",
        "500ms",
        "--connect-timeout",
        "1s",
    ];
    let run = world.run(&arguments);
    assert_eq!(run.exits(5).error_code(), "network");
}

#[test]
fn a_failing_token_route_is_tried_as_often_as_was_asked() {
    let server = Raw::start(|_, stream| reply(stream, "503 Busy", &[], b""));
    for (retries, attempts) in [("0", 1), ("2", 3)] {
        let before = server.seen().len();
        let run = World::new(&server.base()).run(&["sm", "a", "--retries", retries]);
        run.exits(5);
        assert_eq!(server.seen().len() - before, attempts);
        let said = format!("gave up after {attempts} attempts");
        assert_eq!(
            run.stderr.matches("gave up").count(),
            usize::from(attempts > 1)
        );
        assert!(attempts == 1 || run.stderr.contains(&said), "{run:?}");
    }
}

#[test]
fn a_token_without_a_lifetime_and_a_location_in_utf_8_are_understood() {
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"x"));
    let url = presigned(&storage.base(), "/\u{dc}bersicht.txt");
    let server = Raw::start(move |request, stream| match request.path() {
        "/o/token/" => {
            let token = format!(r#"{{"access_token":"{TOKEN}","token_type":"bearer"}}"#);
            reply(stream, "200 OK", &[], token.as_bytes());
        }
        _ => api(request, stream, &url),
    });
    let mut world = World::new(&server.base());
    world.set("STANDARD_METRICS_CLIENT_SECRET", "p\u{e4}ss");
    let run = world.run(&["sm", "a"]);
    assert_eq!(run.exits(0).stdout, "\u{dc}bersicht.txt\n");
}

#[test]
fn a_paid_429_that_says_when_is_asked_again() {
    let (service, storage) = both("/x.txt", |_, stream| reply(stream, "200 OK", &[], b"x"));
    let url = presigned(&storage.base(), "/x.txt");
    drop(service);
    let server =
        Raw::start(
            move |request, stream| match (request.method.as_str(), request.before) {
                ("POST", 0) => reply(stream, "429 Slow", &[("Retry-After", "1")], b"{}"),
                _ => api(request, stream, &url),
            },
        );
    let run = World::new(&server.base()).run(&["onecodex", "a"]);
    run.exits(0);
    assert_eq!(server.count("POST", "/"), 2);
    assert!(run.elapsed >= Duration::from_secs(1));
}

#[test]
fn a_paid_post_that_never_left_is_sent_when_the_server_is_back() {
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"x"));
    let url = presigned(&storage.base(), "/x.txt");
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let world = World::new(&format!("http://{address}"));
    let child = world
        .command(&["onecodex", "a", "--retries", "20"])
        .spawn()
        .unwrap();
    let started = std::time::Instant::now();
    std::thread::sleep(Duration::from_millis(300));
    let server = Raw::start_at(address, move |request, stream| api(request, stream, &url));
    world.finish(child, started).exits(0);
    assert_eq!(server.count("POST", "/"), 1);
}

#[test]
fn an_expired_url_is_renewed_for_free_and_refused_where_it_costs() {
    let expired = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
    let (api, storage) = both("/x.txt", |request, stream| match request.before {
        0 => reply(stream, "403 Forbidden", &[], expired),
        _ => reply(stream, "200 OK", &[], b"x"),
    });
    let run = World::new(&api.base()).run(&["sm", "a", "--json"]);
    assert_eq!(run.exits(0).records()[0]["resolves"], 2);
    assert_eq!(storage.seen().len(), 2);
    let (api, _storage) = both("/x.txt", |_, stream| {
        reply(stream, "403 Forbidden", &[], expired)
    });
    fails(&api, &["sm", "a"], 5, "url_expired");
    assert_eq!(api.count("GET", "/download/"), 2);
    let (api, _storage) = both("/x.txt", |_, stream| {
        reply(stream, "403 Forbidden", &[], expired)
    });
    fails(&api, &["onecodex", "a"], 8, "charge_refused");
    assert_eq!(api.count("POST", "/"), 1);
}

#[test]
fn what_is_not_safe_exits_9() {
    let to =
        |location: &'static str| Raw::start(move |request, stream| api(request, stream, location));
    for (location, code) in [
        ("https://user:pw@bucket.example/x", "insecure_url"),
        ("http://bucket.example/x", "insecure_url"),
        ("ftp://bucket.example/x", "insecure_url"),
        ("file:///etc/passwd", "insecure_url"),
        ("http://169.254.169.254/latest/meta-data", "private_address"),
        ("https://[fe80::1]/x", "private_address"),
        ("https://10.0.0.1/x", "private_address"),
        ("https://[::ffff:192.168.1.1]/x", "private_address"),
    ] {
        fails(&to(location), &["sm", "a"], 9, code);
    }
    fails(
        &to("http://169.254.169.254/x"),
        &["sm", "a", "--allow-private"],
        9,
        "private_address",
    );
    let mut world = World::new("http://api.example.com");
    let run = world.run(&["sm", "a", "--json"]);
    assert_eq!(run.exits(9).error_code(), "insecure_url");
    world.set(
        "STANDARD_METRICS_API_BASE",
        "https://user:pw@api.example.com",
    );
    let run = world.run(&["sm", "a", "--json"]);
    assert_eq!(run.exits(9).error_code(), "insecure_url");
}

#[test]
fn an_address_that_is_refused_is_not_asked_of_a_proxy_either() {
    let proxy = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"x"));
    for location in ["https://169.254.169.254/x", "https://10.0.0.1/x"] {
        let server = Raw::start(move |request, stream| api(request, stream, location));
        let arguments = ["sm", "a", "--proxy", &proxy.base()];
        fails(&server, &arguments, 9, "private_address");
    }
    assert!(proxy.seen().is_empty());
}

#[test]
fn a_redirected_paid_post_is_sent_to_no_other_server() {
    let other = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"{}"));
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let elsewhere = format!("{}/x", other.base());
        let server =
            Raw::start(move |_, stream| reply(stream, status, &[("Location", &elsewhere)], b""));
        fails(&server, &["onecodex", "a"], 9, "unsafe_redirect");
    }
    assert!(other.seen().is_empty());
}

#[test]
fn a_storage_may_redirect_three_times_and_no_more() {
    let hops = |most: usize| {
        both("/0", move |request, stream| {
            let hop: usize = request.path()[1..].parse().unwrap();
            match hop {
                hop if hop < most => {
                    reply(
                        stream,
                        "307 On",
                        &[("Location", &format!("/{}", hop + 1))],
                        b"",
                    );
                }
                _ => reply(stream, "200 OK", &[], b"x"),
            }
        })
    };
    let (api, storage) = hops(3);
    World::new(&api.base()).run(&["sm", "a"]).exits(0);
    assert_eq!(storage.seen().len(), 4);
    let (api, storage) = hops(4);
    fails(&api, &["sm", "a"], 9, "unsafe_redirect");
    assert_eq!(storage.seen().len(), 4);
    let (api, _storage) = both("/0", |_, stream| {
        reply(
            stream,
            "302 On",
            &[("Location", "http://169.254.169.254/")],
            b"",
        );
    });
    fails(&api, &["sm", "a"], 9, "private_address");
}

#[test]
fn failures_of_different_kinds_exit_1_and_of_one_kind_keep_their_code() {
    let (service, _) = Service::with("a.txt", 10, &[]);
    let world = service.world();
    std::fs::write(world.out().join("a.txt"), "mine").unwrap();
    world.run(&["sm", "missing", "doc1"]).exits(1);
    world.run(&["sm", "missing", "gone"]).exits(4);
}
