//! What docfetch makes of answers that are no success, and of answers that something else than the API gave.

use crate::support::raw::{Raw, Request, api, presigned, reply, serve};
use crate::support::{API_KEY, CLIENT_SECRET, World, each_at_once};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use std::net::TcpStream;

/// The routes at which a server may fail: of the URL, of the storage, and of the list.
const ROUTES: [&str; 3] = ["/download", "/stored", "/documents"];

/// An API and a storage whose first requests for paths that contain `part` are answered by `answer`. One row is
/// on the list.
fn failing(
    part: &'static str,
    first: usize,
    answer: impl Fn(&mut TcpStream) + Send + Sync + 'static,
) -> (Raw, Raw) {
    let answer = std::sync::Arc::new(answer);
    let fails = move |request: &Request| request.path().contains(part) && request.before < first;
    let again = std::sync::Arc::clone(&answer);
    let storage = Raw::start(move |request, stream| {
        if fails(request) {
            return again(stream);
        }
        serve(request, stream, b"content", "\"a\"");
    });
    let url = presigned(&storage.base(), "/stored.bin");
    let server = Raw::start(move |request, stream| match request.path() {
        _ if fails(request) => answer(stream),
        "/v1/documents/" => reply(
            stream,
            "200 OK",
            &[],
            br#"{"count":1,"next":null,"results":[{"id":"a","name":"a.bin"}]}"#,
        ),
        _ => api(request, stream, &url),
    });
    (server, storage)
}

fn arguments(route: &str) -> &'static [&'static str] {
    match route {
        "/documents" => &["list", "sm", "--json", "-v"],
        _ => &["sm", "a", "--json", "-v"],
    }
}

#[test]
fn less_common_5xx_are_tried_again() {
    let statuses = [
        "507 Full", "520 Odd", "526 Odd", "530 Odd", "598 Late", "599 Late",
    ];
    each_at_once(ROUTES, |route| {
        for status in statuses {
            let (server, _storage) = failing(route, 1, move |stream| {
                reply(stream, status, &[], b"<html>")
            });
            let run = World::new(&server.base()).run(arguments(route));
            run.exits(0).says(&status[..3]);
        }
    });
}

/// An API whose token route answers with `status` and `token`.
fn with_token(status: &'static str, token: String) -> (Raw, Raw) {
    let storage = Raw::start(|request, stream| serve(request, stream, b"content", "\"a\""));
    let url = presigned(&storage.base(), "/stored.bin");
    let server = Raw::start(move |request, stream| match request.path() {
        "/o/token/" => reply(stream, status, &[], token.as_bytes()),
        _ => api(request, stream, &url),
    });
    (server, storage)
}

#[test]
fn a_token_is_used_whatever_lifetime_it_names() {
    let lifetimes = [
        "null", "\"3600\"", "\"soon\"", "0", "-5", "1e300", "{}", "\"-1\"",
    ];
    each_at_once(lifetimes, |lifetime| {
        let token =
            format!(r#"{{"access_token":"t0k3n","expires_in":{lifetime},"token_type":"Bearer"}}"#);
        let (server, _storage) = with_token("201 Made", token);
        let run = World::new(&server.base()).run(&["sm", "a", "--json"]);
        run.exits(0);
    });
}

#[test]
fn a_success_that_refuses_the_client_rejects_the_credentials() {
    let (server, _storage) = with_token("200 OK", r#"{"error":"invalid_client"}"#.to_owned());
    let run = World::new(&server.base()).run(&["sm", "a", "--json"]);
    assert_eq!(run.exits(3).error_code(), "credentials_rejected");
    run.says("HTTP 200, invalid_client");
    assert_eq!(server.count("POST", "/o/token/"), 1);
}

#[test]
fn a_5xx_that_stays_is_not_tried_again() {
    each_at_once(ROUTES, |route| {
        for status in ["501 No", "505 No", "511 Log in"] {
            let (server, storage) = failing(route, 9, move |stream| {
                reply(stream, status, &[], b"<html>")
            });
            let run = World::new(&server.base()).run(arguments(route));
            run.exits(5);
            let count = server.count("GET", route) + storage.count("GET", route);
            assert_eq!(count, 1, "{run:#?}");
        }
    });
}

#[test]
fn an_unusual_4xx_refuses_the_request_for_good() {
    let statuses = [
        "400 Bad",
        "405 No",
        "406 No",
        "409 Conflict",
        "413 Long",
        "418 Teapot",
        "422 Odd",
        "451 Law",
    ];
    each_at_once(statuses, |status| {
        for arguments in [
            &["sm", "a", "--json"][..],
            &["onecodex", "a", "--json"],
            &["sm", "a", "b", "--json"],
        ] {
            let (server, _storage) = failing("/download", 9, move |stream| {
                let secret = if arguments[0] == "sm" {
                    CLIENT_SECRET
                } else {
                    API_KEY
                };
                let said = format!(r#"{{"detail":"As {secret} \u001b[2Jsaid."}}"#);
                reply(stream, status, &[], said.as_bytes());
            });
            let run = World::new(&server.base()).run(arguments);
            assert_eq!(run.exits(4).error_code(), "request_refused", "{status}");
            run.says("refused the request for document a")
                .says("\"As [redacted] [2Jsaid.\"");
            assert_eq!(
                server.count("GET", "a/download") + server.count("POST", "a/download"),
                1
            );
        }
        let (server, _storage) = failing("/documents", 9, move |stream| {
            reply(stream, status, &[], br#"{"page_size":["too large"]}"#);
        });
        let run = World::new(&server.base()).run(&["list", "sm"]);
        run.exits(4)
            .says("the list of documents")
            .says("page_size: too large");
    });
}

/// An id is not repeated before a sentence that names the document.
#[test]
fn a_message_says_an_id_once() {
    let (server, _storage) = failing("/download", 9, |stream| {
        reply(stream, "404 Not Found", &[], b"{}")
    });
    let world = World::new(&server.base());
    for provider in ["sm", "onecodex"] {
        let run = world.run(&[provider, "id-one", "id-two"]);
        run.exits(4).says("does not know document id-one");
        // The id may be right, and the base wrong.
        run.says(&format!("; the API base is {} (", server.base()));
        let about_one = run.stderr.lines().filter(|line| line.contains("id-one"));
        assert!(about_one.clone().count() >= 1, "{run:#?}");
        for line in about_one {
            assert_eq!(line.matches("id-one").count(), 1, "{line}");
        }
    }
    let run = world.run_with_input(&["sm", "-"], "id-one\na/b\n");
    run.says("error: \"a/b\" is not a document id");
    // A message that does not name the document has its id before it.
    let (server, _storage) = failing("/stored", 9, |stream| reply(stream, "403 No", &[], b""));
    let run = World::new(&server.base()).run(&["sm", "id-one", "id-two"]);
    run.exits(4).says("id-one: the storage");
}

#[test]
fn client_credentials_are_the_same_to_servers_that_decode_forms_and_urls() {
    for (id, secret) in [
        ("an id", "a + b ~c-d._"),
        ("id", "p%20w+d&x=y*z"),
        ("a:b", "\u{e4}\u{20ac}:/?#"),
    ] {
        let server =
            Raw::start(|request, stream| reply(stream, "503 Busy", &[], request.target.as_bytes()));
        let mut world = World::new(&server.base());
        world.set("STANDARD_METRICS_CLIENT_ID", id);
        world.set("STANDARD_METRICS_CLIENT_SECRET", secret);
        world.run(&["sm", "a", "--retries", "0"]).exits(5);
        let seen = server.seen();
        let credential = seen[0].header("authorization").unwrap();
        let encoded = STANDARD.decode(&credential["Basic ".len()..]).unwrap();
        let encoded = String::from_utf8(encoded).unwrap();
        let (of_id, of_secret) = encoded.split_once(':').unwrap();
        for (encoded, plain) in [(of_id, id), (of_secret, secret)] {
            let as_url = percent_decode_str(encoded).decode_utf8().unwrap();
            let as_form = encoded.replace('+', " ");
            let as_form = percent_decode_str(&as_form).decode_utf8().unwrap();
            assert_eq!((&*as_url, &*as_form), (plain, plain), "{encoded}");
        }
    }
}

/// What answers in place of the API is named, with its content type and what to check.
#[test]
fn an_answer_of_something_else_than_the_api_is_named() {
    let html = ("Content-Type", "text/html; charset=utf-8");
    let json = ("Content-Type", "application/json");
    let page = "<!DOCTYPE html><title>Log in</title>";
    let cases = [
        (
            "/download",
            "200 OK",
            html,
            page,
            5,
            "web page (text/html) | STANDARD_METRICS_API_BASE",
        ),
        ("/download", "302 Found", ("X", "y"), "", 5, "no Location"),
        (
            "/download",
            "403 Forbidden",
            html,
            page,
            4,
            "HTTP 403 Forbidden | web page (text/html) | API_BASE",
        ),
        (
            "/o/token/",
            "200 OK",
            html,
            page,
            5,
            "web page (text/html) | STANDARD_METRICS_API_BASE",
        ),
        (
            "/o/token/",
            "403 Forbidden",
            html,
            page,
            4,
            "web page (text/html) | STANDARD_METRICS_API_BASE",
        ),
        (
            "/o/token/",
            "302 Found",
            ("Location", "https://login.example/x?y"),
            "",
            5,
            "to login.example | API_BASE",
        ),
        (
            "/o/token/",
            "200 OK",
            json,
            "",
            5,
            "body is empty (application/json)",
        ),
        (
            "/o/token/",
            "200 OK",
            json,
            r#"{"access_token":"#,
            5,
            "breaks off after 16 bytes",
        ),
        (
            "/documents",
            "200 OK",
            html,
            page,
            5,
            "web page (text/html) | STANDARD_METRICS_API_BASE",
        ),
        (
            "/documents",
            "200 OK",
            ("Content-Type", "text/plain"),
            "OK",
            5,
            "body (text/plain) is not valid JSON",
        ),
        (
            "/documents",
            "404 Not Found",
            html,
            page,
            4,
            "STANDARD_METRICS_API_BASE | http://127.0.0.1:",
        ),
        (
            "/documents",
            "301 Moved",
            ("Location", "https://other.example/v1/"),
            "",
            5,
            "to other.example | API_BASE",
        ),
    ];
    each_at_once(cases, |(route, status, header, body, exit, said)| {
        let (server, _storage) = failing(route, 9, move |stream| {
            reply(stream, status, &[header], body.as_bytes());
        });
        let run = World::new(&server.base()).run(arguments(route));
        run.exits(exit);
        for said in said.split(" | ") {
            run.says(said);
        }
        assert!(
            !run.stderr.contains("Log in") && !run.stderr.contains("x?y"),
            "{run:#?}"
        );
    });
}

#[test]
fn a_refusal_names_what_to_check() {
    for (provider, status, exit, said) in [
        (
            "sm",
            "403 Forbidden",
            4,
            "STANDARD_METRICS_CLIENT_ID and STANDARD_METRICS_CLIENT_SECRET",
        ),
        ("onecodex", "403 Forbidden", 4, "ONE_CODEX_API_KEY"),
        ("onecodex", "401 Unauthorized", 3, "ONE_CODEX_API_KEY"),
        ("onecodex", "402 Payment Required", 4, "plan"),
        ("onecodex", "307 Temporary", 9, "ONE_CODEX_API_BASE"),
        (
            "sm",
            "511 Network Authentication Required",
            5,
            "log in to this network",
        ),
    ] {
        let (server, _storage) = failing("/download", 9, move |stream| {
            reply(stream, status, &[], b"{}")
        });
        let run = World::new(&server.base()).run(&[provider, "a"]);
        run.exits(exit).says(&status[..3]).says(said);
    }
}
