//! What docfetch makes of a storage's refusals: expired in other words, not valid yet, in another region.

use crate::support::raw::{Raw, Request, api, head, presigned, reply};
use crate::support::{World, each_at_once, noise};
use jiff::{SignedDuration, Timestamp};
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

const TAG: (&str, &str) = ("ETag", "\"v1\"");
const SIZE: usize = 200_000;

fn xml(code: &str, rest: &str) -> String {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code>{rest}</Error>")
}

/// Sends half of the document to the first request, refuses the second one, and serves the rest to later ones.
fn refusing_the_second(request: &Request, stream: &mut TcpStream, status: &str, body: &str) {
    let content = noise(SIZE);
    match (request.before, request.range_start()) {
        (1, _) => reply(stream, status, &[], body.as_bytes()),
        (_, Some(start)) => {
            let range = format!("bytes {start}-{}/{SIZE}", SIZE - 1);
            let headers = [TAG, ("Content-Range", &*range)];
            reply(stream, "206 Partial Content", &headers, &content[start..]);
        }
        (_, None) => {
            head(stream, "200 OK", &[TAG], Some(SIZE));
            let _ = stream.write_all(&content[..SIZE / 2]);
        }
    }
}

fn handing_over(url: String) -> Raw {
    Raw::start(move |request, stream| api(request, stream, &url))
}

#[test]
fn a_url_that_expired_in_any_words_is_replaced_for_free_and_refused_where_it_costs() {
    let refusals = [
        (
            "400 Bad",
            xml(
                "ExpiredToken",
                "<Message>The provided token has expired.</Message>",
            ),
        ),
        (
            "403 No",
            xml("ExpiredRequest", "<Message>Request has expired</Message>"),
        ),
        (
            "403 No",
            xml("AccessDenied", "<Message>Request has expired.</Message>"),
        ),
        ("400 Bad", xml("RequestExpired", "")),
        ("403 No", xml("TokenExpired", "")),
        (
            "403 No",
            xml(
                "AuthenticationFailed",
                "<AuthenticationErrorDetail>Signature not valid in the specified time frame: Start</AuthenticationErrorDetail>",
            ),
        ),
        (
            "401 No",
            r#"{"code":"expired_auth_token","status":401}"#.to_owned(),
        ),
        (
            "400 Bad",
            r#"{"error":"InvalidJWT","message":"jwt expired"}"#.to_owned(),
        ),
        ("403 No", "Request has expired".to_owned()),
        (
            "410 Gone",
            "<html><p>This link has expired.</p></html>".to_owned(),
        ),
    ];
    each_at_once(refusals, |(status, body)| {
        for (service, exit) in [("sm", 0), ("onecodex", 8)] {
            let said = body.clone();
            let storage = Raw::start(move |request, stream| {
                refusing_the_second(request, stream, status, &said);
            });
            let server = handing_over(presigned(&storage.base(), "/x.bin"));
            let world = World::new(&server.base());
            let run = world.run(&[service, "a", "--json"]);
            run.exits(exit);
            let seen = storage.seen();
            if exit == 0 {
                assert_eq!(run.records()[0]["resolves"], 2, "{body}");
                assert_eq!(world.read("x.bin"), noise(SIZE));
                assert_eq!(seen[2].range_start(), seen[1].range_start());
                assert!(seen[1].range_start() > Some(0));
            } else {
                assert_eq!(run.error_code(), "charge_refused", "{body}");
                assert_eq!((server.count("POST", "/"), seen.len()), (1, 2));
                assert!(world.file_ending(".part").is_some());
            }
        }
    });
}

/// Other things may expire than the URL.
#[test]
fn a_refusal_for_another_reason_gives_no_paid_url_up() {
    for body in [
        "Your licence has expired.",
        &xml("InvalidToken", "<Message>malformed</Message>"),
    ] {
        let said = body.to_owned();
        let storage = Raw::start(move |_, stream| reply(stream, "403 No", &[], said.as_bytes()));
        let server = handing_over(presigned(&storage.base(), "/x.bin"));
        let world = World::new(&server.base());
        for _ in 0..2 {
            let run = world.run(&["onecodex", "a", "--json"]);
            assert_eq!(run.exits(4).error_code(), "storage_denied");
        }
        assert_eq!(server.count("POST", "/"), 1);
    }
}

#[test]
fn a_storage_that_sends_elsewhere_is_told_as_that() {
    let endpoint = "<Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint>";
    let region = ("x-amz-bucket-region", "eu-west-1");
    let expecting = "<Message>the region 'us-east-1' is wrong; expecting 'eu-west-1'</Message><Region>eu-west-1</Region>";
    let cases = [
        (
            "301 Moved",
            ("X", "y"),
            xml("PermanentRedirect", endpoint),
            "at b.s3.eu-west-1.amazonaws.com",
        ),
        (
            "301 Moved",
            region,
            xml("PermanentRedirect", ""),
            "at eu-west-1",
        ),
        (
            "307 Moved",
            ("X", "y"),
            xml("TemporaryRedirect", endpoint),
            "TemporaryRedirect: the document is at",
        ),
        (
            "400 Bad",
            ("X", "y"),
            xml("AuthorizationHeaderMalformed", expecting),
            "at eu-west-1",
        ),
        (
            "400 Bad",
            ("X", "y"),
            xml("AuthorizationQueryParametersError", expecting),
            "at eu-west-1",
        ),
        (
            "400 Bad",
            ("X", "y"),
            xml("IllegalLocationConstraintException", ""),
            "in another region",
        ),
        (
            "400 Bad",
            region,
            xml("IllegalLocationConstraintException", ""),
            "at eu-west-1",
        ),
        (
            "301 Moved",
            ("X", "y"),
            xml(
                "PermanentRedirect",
                "<Endpoint>https://evil.example/\u{1b}x</Endpoint>",
            ),
            "in another region",
        ),
    ];
    each_at_once(cases, |(status, header, body, said)| {
        let storage =
            Raw::start(move |_, stream| reply(stream, status, &[header], body.as_bytes()));
        let server = handing_over(presigned(&storage.base(), "/x.bin"));
        for service in ["sm", "onecodex"] {
            let world = World::new(&server.base());
            let run = world.run(&[service, "a", "--json"]);
            assert_eq!(
                run.is_prompt().exits(5).error_code(),
                "storage_error",
                "{run:#?}"
            );
            run.says(said)
                .says("does not hold the document")
                .says("tell the provider");
            assert!(!run.stderr.contains("evil"), "{run:#?}");
        }
        assert_eq!((server.count("POST", "/a/"), storage.seen().len()), (1, 2));
    });
}

#[test]
fn a_redirect_of_the_storage_without_a_target_breaks_the_protocol() {
    let storage = Raw::start(|_, stream| reply(stream, "302 Found", &[], b""));
    let server = handing_over(presigned(&storage.base(), "/x.bin"));
    let run = World::new(&server.base()).run(&["sm", "a", "--json"]);
    assert_eq!(run.exits(5).error_code(), "protocol");
    run.says("no Location");
}

#[test]
fn a_request_that_timed_out_at_the_storage_is_sent_again() {
    for service in ["sm", "onecodex"] {
        let storage = Raw::start(|request, stream| {
            refusing_the_second(request, stream, "400 Bad", &xml("RequestTimeout", ""));
        });
        let server = handing_over(presigned(&storage.base(), "/x.bin"));
        let world = World::new(&server.base());
        world.run(&[service, "a"]).exits(0);
        assert_eq!(world.read("x.bin"), noise(SIZE));
        assert_eq!(
            server.count("POST", "/a/") + server.count("GET", "/a/download"),
            1
        );
    }
}

/// The parameters of a URL that starts to be valid at `start`, in the form of each service.
fn starting(start: Timestamp) -> [String; 4] {
    let compact = start.strftime("%Y%m%dT%H%M%SZ");
    let policy = {
        use base64::Engine as _;
        let seconds = start.as_second();
        let condition = format!(r#"{{"DateGreaterThan":{{"AWS:EpochTime":{seconds}}}}}"#);
        let json = format!(r#"{{"Statement":[{{"Condition":{condition}}}]}}"#);
        let encoded = base64::engine::general_purpose::STANDARD.encode(json);
        encoded
            .replace('+', "-")
            .replace('=', "_")
            .replace('/', "~")
    };
    [
        format!("X-Amz-Date={compact}&X-Amz-Expires=3600"),
        format!("X-Goog-Date={compact}&X-Goog-Expires=3600"),
        format!("st={start:.0}&sv=2024-01-01"),
        format!("Policy={policy}"),
    ]
}

fn seconds_from_now(seconds: i64) -> Timestamp {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    now.checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

/// A storage that refuses a URL before its start.
fn refusing_until(start: Timestamp, body: &'static str) -> Raw {
    Raw::start(move |_, stream| {
        let date = httpdate::fmt_http_date(SystemTime::now());
        if Timestamp::now() < start {
            reply(stream, "403 Forbidden", &[("Date", &date)], body.as_bytes());
        } else {
            reply(stream, "200 OK", &[("Date", &date)], b"x");
        }
    })
}

#[test]
fn a_url_that_is_not_valid_yet_is_waited_for_and_neither_replaced_nor_paid_again() {
    const DENIED: &str = "<Error><Code>AccessDenied</Code><Message>Access denied</Message></Error>";
    const FRAME: &str = "<Error><Code>AuthenticationFailed</Code><AuthenticationErrorDetail>Signature not valid \
                         in the specified time frame</AuthenticationErrorDetail></Error>";
    let cases = (0..4).flat_map(|form| [(form, DENIED), (form, FRAME)]);
    each_at_once(cases, |(form, body)| {
        for service in ["sm", "onecodex"] {
            let start = seconds_from_now(4);
            let storage = refusing_until(start, body);
            let url = presigned(&storage.base(), "/x.bin");
            let server = handing_over(format!("{url}&{}", starting(start)[form]));
            let run = World::new(&server.base()).run(&[service, "a", "--json"]);
            assert_eq!(run.exits(0).records()[0]["resolves"], 1, "{form}");
            assert_eq!(storage.seen().len(), 2, "{run:#?}");
            assert_eq!(
                server.count("POST", "/a/") + server.count("GET", "/a/download"),
                1
            );
        }
    });
}

#[test]
fn a_url_that_is_valid_in_hours_ends_the_run_at_once_and_costs_nothing_more() {
    for service in ["sm", "onecodex"] {
        let start = seconds_from_now(7200);
        let storage = refusing_until(start, "<Error><Code>AccessDenied</Code></Error>");
        let url = presigned(&storage.base(), "/x.bin");
        let server = handing_over(format!("{url}&{}", starting(start)[0]));
        let world = World::new(&server.base());
        for _ in 0..2 {
            let run = world.run(&[service, "a", "--json"]);
            assert_eq!(run.is_prompt().exits(5).error_code(), "clock_skew");
            run.says("not valid yet").says("run again in 2 h");
        }
        assert!(server.count("POST", "/a/") <= 1);
        assert_eq!(storage.seen().len(), 2);
    }
    // Without a known start, there is nothing to wait for.
    let storage = Raw::start(|_, stream| {
        let body = xml(
            "AccessDenied",
            "<Message>Request is not yet valid</Message>",
        );
        reply(stream, "403 Forbidden", &[], body.as_bytes());
    });
    let server = handing_over(presigned(&storage.base(), "/x.bin"));
    let run = World::new(&server.base()).run(&["onecodex", "a", "--json"]);
    assert_eq!(run.is_prompt().exits(5).error_code(), "clock_skew");
    assert_eq!((server.count("POST", "/"), storage.seen().len()), (1, 1));
    assert!(run.elapsed < Duration::from_secs(20));
}
