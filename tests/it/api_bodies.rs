//! Documents whose bytes the API itself sends: what holds for a storage holds for the API, and the credential stays there.

use crate::support::raw::{Raw, Request, presigned, reply, reset, send_part, serve};
use crate::support::{API_KEY, CLIENT_ID, CLIENT_SECRET, World, kill, noise};
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SIZE: usize = 300_000;
const TAG: &str = "\"v1\"";

/// A world with the provider `lab`, whose documents are at `path` of `base`.
fn lab(base: &str, resolve: &str) -> World {
    let mut world = World::bare();
    let folder = world.home().join(".config/docfetch");
    std::fs::create_dir_all(&folder).unwrap();
    let table = format!(
        "[providers.lab]\ntitle = 'The Lab'\nbase = '{base}'\nauth = {{ type = 'header', name = 'X-Lab-Key' }}\n\
         resolve = {resolve}\n"
    );
    std::fs::write(folder.join("config.toml"), table).unwrap();
    world.set("LAB_API_KEY", API_KEY);
    world
}

const BODY: &str = "{ path = '/files/{id}/content', url = 'body' }";

/// Whether a request is one that the table describes; answers any other with an error.
fn is_right(request: &Request, stream: &mut TcpStream) -> bool {
    let wrong = if request.header("x-lab-key") != Some(API_KEY) {
        "401 Unauthorized"
    } else if request.path() != "/files/a/content" {
        "404 Not Found"
    } else if request.header("accept") != Some("*/*")
        || request.header("accept-encoding") != Some("identity")
    {
        "406 Not Acceptable"
    } else {
        return true;
    };
    reply(stream, wrong, &[], b"{}");
    false
}

#[test]
fn a_broken_transfer_goes_on_at_the_api_with_range_and_entity_tag() {
    let content = noise(SIZE);
    let bytes = content.clone();
    let api = Raw::start(move |request, stream| {
        if !is_right(request, stream) {
            return;
        }
        if request.before > 0 {
            return serve(request, stream, &bytes, TAG);
        }
        send_part(request, stream, &bytes, TAG, 100_000);
        let _ = stream.flush();
        std::thread::sleep(Duration::from_millis(300)); // the bytes must arrive before the reset
        reset(stream);
    });
    let world = lab(&api.base(), BODY);
    let run = world.run(&["lab", "a", "--json"]);
    run.exits(0);
    assert!(world.read("a") == content);
    let seen = api.seen();
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(seen[1].range_start(), Some(100_000));
    assert_eq!(seen[1].header("if-range"), Some(TAG));
    assert_eq!(run.records()[0]["resumed_from"], 0);
}

#[test]
fn the_name_is_that_of_the_header_and_never_the_last_segment_of_the_route() {
    let api = Raw::start(|request, stream| {
        let named = [("Content-Disposition", "attachment; filename=\"report.txt\"")];
        let headers = if request.path().contains("/a/") {
            &named[..]
        } else {
            &[("Content-Type", "text/plain")]
        };
        reply(stream, "200 OK", headers, b"text");
    });
    let world = lab(&api.base(), BODY);
    world.run(&["lab", "a", "b"]).exits(0);
    let mut files = world.files();
    files.sort();
    assert_eq!(files, ["b.txt", "report.txt"]);
}

#[test]
fn a_killed_run_goes_on_at_the_api_unless_the_document_changed() {
    for changed in [false, true] {
        let (content, other) = (noise(SIZE), [noise(1000), noise(SIZE)].concat());
        let killed = Arc::new(AtomicBool::new(false));
        let (bytes, changed_bytes, is_killed) =
            (content.clone(), other.clone(), Arc::clone(&killed));
        let api = Raw::start(move |request, stream| {
            if !is_right(request, stream) {
                return;
            }
            if !is_killed.load(Ordering::SeqCst) {
                send_part(request, stream, &bytes, TAG, 200_000);
                let _ = stream.flush();
                return std::thread::sleep(Duration::from_secs(20));
            }
            match changed {
                true => serve(request, stream, &changed_bytes, "\"v2\""),
                false => serve(request, stream, &bytes, TAG),
            }
        });
        let world = lab(&api.base(), BODY);
        let child = world.command(&["lab", "a"]).spawn().unwrap();
        world.wait_for_partial(100_000);
        std::thread::sleep(Duration::from_secs(3)); // the sidecar is written every 2 s
        kill(child);
        killed.store(true, Ordering::SeqCst);
        let run = world.run(&["lab", "a", "--json"]);
        run.exits(0);
        assert!(world.read("a") == if changed { other } else { content });
        let seen = api.seen();
        let resumed = &seen[1];
        assert!(
            resumed.range_start().is_some_and(|start| start > 0),
            "{resumed:?}"
        );
        assert_eq!(resumed.header("if-range"), Some(TAG));
        let from = run.records()[0]["resumed_from"].as_u64().unwrap();
        assert_eq!(from == 0, changed);
    }
}

#[test]
fn a_post_sends_its_body_with_each_range() {
    let content = noise(SIZE);
    let bytes = content.clone();
    let api = Raw::start(move |request, stream| {
        let is_right = request.method == "POST"
            && request.header("x-lab-key") == Some(API_KEY)
            && request.header("content-type") == Some("application/json")
            && request.body == br#"{"file":"a"}"#;
        if !is_right {
            return reply(stream, "400 Bad Request", &[], b"{}");
        }
        let most = if request.before == 0 { 100_000 } else { SIZE };
        send_part(request, stream, &bytes, TAG, most);
    });
    let resolve = "{ method = 'POST', path = '/download', json = { file = '{id}' }, url = 'body' }";
    let world = lab(&api.base(), resolve);
    world.run(&["lab", "a"]).exits(0);
    assert!(world.read("a") == content);
    assert_eq!(api.seen()[1].range_start(), Some(100_000));
}

#[test]
fn the_credential_does_not_follow_a_redirect() {
    let content = noise(SIZE);
    for source in ["body", "redirect-or-body"] {
        let bytes = content.clone();
        let storage = Raw::start(move |request, stream| {
            let secrets = [
                "x-lab-key",
                "authorization",
                "cookie",
                "referer",
                "content-type",
            ];
            if secrets.iter().any(|name| request.header(name).is_some()) || request.method != "GET"
            {
                return reply(stream, "400 Bad Request", &[], b"a credential came along");
            }
            let most = if request.before == 0 { 100_000 } else { SIZE };
            send_part(request, stream, &bytes, TAG, most);
        });
        let url = presigned(&storage.base(), "/bucket/object.bin");
        let api = Raw::start(move |request, stream| {
            if is_right(request, stream) {
                reply(stream, "302 Found", &[("Location", &url)], b"");
            }
        });
        let world = lab(&api.base(), &BODY.replace("body", source));
        world.run(&["lab", "a"]).exits(0);
        assert!(world.read("object.bin") == content, "{source}");
        assert_eq!(
            api.seen().len(),
            1,
            "the URL of the redirect serves the rest"
        );
        assert_eq!(storage.seen()[1].range_start(), Some(100_000));
    }
}

#[test]
fn the_api_does_not_redirect_without_end_or_to_an_unsafe_place() {
    for (location, code) in [
        ("/files/a/content", "unsafe_redirect"),
        ("http://169.254.169.254/x", "private_address"),
        ("ftp://127.0.0.1/x", "insecure_url"),
    ] {
        let api =
            Raw::start(move |_, stream| reply(stream, "302 Found", &[("Location", location)], b""));
        let world = lab(&api.base(), BODY);
        let run = world.run(&["lab", "a", "--json"]);
        assert_eq!(run.exits(9).error_code(), code, "{location}");
        let with_key = api
            .seen()
            .iter()
            .filter(|request| request.header("x-lab-key").is_some())
            .count();
        assert_eq!(with_key, 1);
    }
}

#[test]
fn statuses_of_the_api_mean_what_they_mean_for_an_api() {
    for (status, exit, code) in [
        ("401 Unauthorized", 3, "credentials_rejected"),
        ("402 Payment Required", 4, "payment_required"),
        ("403 Forbidden", 4, "forbidden"),
        ("404 Not Found", 4, "not_found"),
        ("410 Gone", 4, "not_found"),
        ("422 Unprocessable", 4, "request_refused"),
        ("429 Too Many Requests", 5, "rate_limited"),
        ("503 Service Unavailable", 5, "provider_error"),
        ("204 No Content", 5, "protocol"),
        ("301 Moved Permanently", 5, "protocol"),
    ] {
        let api =
            Raw::start(move |_, stream| reply(stream, status, &[], b"{\"detail\":\"why so\"}"));
        let world = lab(&api.base(), BODY);
        let run = world.run(&["lab", "a", "--json", "--retries", "0"]);
        assert_eq!(run.exits(exit).error_code(), code, "{status}");
        assert!(
            world
                .files()
                .iter()
                .all(|name| name.starts_with(".docfetch")),
            "{status}"
        );
    }
}

#[test]
fn an_error_page_of_the_api_is_no_document() {
    let api = Raw::start(|request, stream| {
        let disposition = [
            ("Content-Disposition", "attachment; filename=a.pdf"),
            ("Content-Type", "text/html"),
        ];
        let _ = request;
        reply(
            stream,
            "200 OK",
            &disposition,
            b"<!doctype html><html><body>maintenance</body></html>",
        );
    });
    let world = lab(&api.base(), BODY);
    let run = world.run(&["lab", "a", "--json", "--retries", "0"]);
    assert_eq!(run.exits(5).error_code(), "storage_error");
    assert!(!world.files().contains(&"a.pdf".to_owned()));
}

#[test]
fn one_connection_serves_a_document_of_the_api_unless_the_user_wants_more() {
    let content = noise(40 << 20);
    for (connections, least) in [("auto", 1), ("4", 3)] {
        let bytes = content.clone();
        let api = Raw::start(move |request, stream| serve(request, stream, &bytes, TAG));
        let world = lab(&api.base(), BODY);
        world.run(&["lab", "a", "-c", connections]).exits(0);
        assert!(world.read("a") == content);
        let count = api.seen().len();
        assert!(
            if least == 1 {
                count == 1
            } else {
                count >= least
            },
            "{connections}: {count}"
        );
        assert!(
            api.seen()
                .iter()
                .all(|request| request.header("x-lab-key") == Some(API_KEY))
        );
    }
}

#[test]
fn a_document_without_a_presigned_url_has_none_to_print() {
    let api = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"bytes"));
    let world = lab(&api.base(), BODY);
    let run = world.run(&["url", "lab", "a"]);
    run.exits(2)
        .says("The Lab sends the document itself")
        .says("docfetch lab a");
    assert_eq!(api.seen().len(), 0);
    let world = lab(&api.base(), &BODY.replace("body", "redirect-or-body"));
    let run = world.run(&["url", "lab", "a"]);
    run.exits(2).says("The Lab sends the document itself");
    let url = presigned("http://127.0.0.1:9", "/x");
    let location = url.clone();
    let api = Raw::start(move |_, stream| {
        reply(stream, "307 Temporary", &[("Location", &location)], b"")
    });
    let world = lab(&api.base(), &BODY.replace("body", "redirect-or-body"));
    let run = world.run_showing(&["url", "lab", "a"]);
    assert_eq!(run.exits(0).stdout.trim(), url);
}

#[test]
fn a_document_that_is_not_ready_is_waited_for() {
    let content = noise(1000);
    let bytes = content.clone();
    let api = Raw::start(move |request, stream| match request.before {
        0 | 1 => reply(stream, "202 Accepted", &[("Retry-After", "1")], b""),
        _ => serve(request, stream, &bytes, TAG),
    });
    let resolve = "{ path = '/files/{id}/content', url = 'body', not_ready = [202] }";
    let world = lab(&api.base(), resolve);
    let run = world.run(&["lab", "a", "--json"]);
    assert_eq!(run.exits(5).error_code(), "not_ready");
    let started = Instant::now();
    world.run(&["lab", "a", "--wait", "1m"]).exits(0);
    assert!(started.elapsed() < Duration::from_secs(30));
    assert!(world.read("a") == content);
}

#[test]
fn bytes_come_after_a_step_that_captures() {
    let content = noise(SIZE);
    let bytes = content.clone();
    let api = Raw::start(move |request, stream| match request.path() {
        "/files/a" => reply(
            stream,
            "200 OK",
            &[("Content-Type", "application/json")],
            br#"{"blob":"b 7","name":"n.bin"}"#,
        ),
        "/blobs/b%207" => send_part(
            request,
            stream,
            &bytes,
            TAG,
            if request.before == 0 { 100_000 } else { SIZE },
        ),
        _ => reply(stream, "404 Not Found", &[], b"{}"),
    });
    let resolve = "[{ path = '/files/{id}', capture = { blob = '/blob' }, name = '/name' }, { path = '/blobs/{blob}', url = 'body' }]";
    let world = lab(&api.base(), resolve);
    world.run(&["lab", "a"]).exits(0);
    assert!(world.read("n.bin") == content);
    assert_eq!(
        api.count("GET", "/files/a"),
        1,
        "a broken transfer does not resolve again"
    );
}

#[test]
fn a_token_that_ends_in_the_middle_is_renewed_once_and_the_range_is_requested_again() {
    let content = noise(SIZE);
    let bytes = content.clone();
    let api = Raw::start(move |request, stream| {
        let json = [("Content-Type", "application/json")];
        if request.path() == "/token" {
            let token = format!(
                r#"{{"access_token":"t0ken-number-{}","expires_in":3600}}"#,
                request.before
            );
            return reply(stream, "200 OK", &json, token.as_bytes());
        }
        // The first token is good for one request.
        let token = if request.before == 0 {
            "t0ken-number-0"
        } else {
            "t0ken-number-1"
        };
        if request.header("authorization") != Some(&format!("Bearer {token}")) {
            return reply(stream, "401 Unauthorized", &json, b"{}");
        }
        let most = if request.before == 0 { 100_000 } else { SIZE };
        send_part(request, stream, &bytes, TAG, most);
    });
    let mut world = lab(&api.base(), BODY);
    let path = world.home().join(".config/docfetch/config.toml");
    let table = std::fs::read_to_string(&path).unwrap();
    let key = "{ type = 'header', name = 'X-Lab-Key' }";
    std::fs::write(
        &path,
        table.replace(key, "{ type = 'oauth', token = '/token' }"),
    )
    .unwrap();
    world.set("LAB_CLIENT_ID", CLIENT_ID);
    world.set("LAB_CLIENT_SECRET", CLIENT_SECRET);
    world.hide("t0ken-number-0");
    world.hide("t0ken-number-1");
    world.run(&["lab", "a"]).exits(0);
    assert!(world.read("a") == content);
    let ranges: Vec<_> = api
        .seen()
        .iter()
        .filter(|request| request.path() != "/token")
        .map(Request::range_start)
        .collect();
    assert_eq!(ranges, [None, Some(100_000), Some(100_000)]);
    assert_eq!(api.count("POST", "/token"), 2);
}
