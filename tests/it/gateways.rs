//! Answers of something between docfetch and the servers: gateways, filters, networks that want a login.

use crate::support::raw::{Raw, Request, api, both, presigned, reply, serve};
use crate::support::{World, each_at_once, noise};
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

const PAGE: &[u8] = b"<!DOCTYPE html><html>Portal</html>";
const HTML: (&str, &str) = ("Content-Type", "text/html");
const STUB: &[u8] = br#"{"error":"blocked by policy"}"#;
const SIZE: usize = 300_009;
const PAST: &str = "X-Amz-Date=20200101T000000Z&X-Amz-Expires=60";

/// One Codex, whose metadata tells the name `x.pdf` and this size, and whose URLs are past their end as far as
/// clocks know.
fn one_codex(
    size: Option<usize>,
    storage: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static,
) -> (Raw, Raw) {
    let storage = Raw::start(storage);
    let url = format!("{}&{PAST}", presigned(&storage.base(), "/x"));
    let api = Raw::start(move |request, stream| {
        if request.method == "GET" {
            let json = serde_json::json!({"filename": "x.pdf", "size": size}).to_string();
            return reply(stream, "200 OK", &[], json.as_bytes());
        }
        api(request, stream, &url);
    });
    (api, storage)
}

fn paid(api: &Raw) -> usize {
    api.count("POST", "/download_uri")
}

/// Whether `docfetch url` takes this answer as a proof that a URL past its end is served.
#[track_caller]
fn proves(size: Option<usize>, status: &'static str, fields: &[(&str, &str)], body: &'static [u8]) {
    let run = probed(size, status, fields, body);
    assert_eq!(run.code, 0, "{status} {fields:?}: {run:#?}");
}

#[track_caller]
fn decides_nothing(
    size: Option<usize>,
    status: &'static str,
    fields: &[(&str, &str)],
    body: &'static [u8],
) {
    let run = probed(size, status, fields, body);
    assert_eq!(run.code, 5, "{status} {fields:?}: {run:#?}");
    run.says("--allow-recharge");
    assert_eq!(run.stdout, "");
}

fn probed(
    size: Option<usize>,
    status: &'static str,
    fields: &[(&str, &str)],
    body: &'static [u8],
) -> crate::support::Run {
    let own = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    let fields: Vec<(String, String)> = fields.iter().map(own).collect();
    let (api, storage) = one_codex(size, move |request, stream| {
        if request.before == 0 {
            return reply(stream, "503 Busy", &[], b"");
        }
        let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (&**n, &**v)).collect();
        reply(stream, status, &fields, body);
    });
    let world = World::new(&api.base());
    world.run(&["onecodex", "a", "--retries", "0"]).exits(5);
    let run = world.run_showing(&["url", "onecodex", "a"]);
    assert_eq!((paid(&api), storage.seen().len()), (1, 2));
    let state = match run.code {
        0 => "delivered",
        _ => "answered",
    };
    let record = world.run(&["ledger", "list", "--json"]).records().remove(0);
    assert_eq!(record["state"], state);
    run
}

#[test]
fn only_an_answer_that_can_be_of_the_document_proves_a_url_past_its_end() {
    let part = |range| ("Content-Range", range);
    let known = Some(SIZE);
    decides_nothing(known, "200 OK", &[HTML], PAGE);
    decides_nothing(None, "200 OK", &[HTML], PAGE);
    decides_nothing(None, "200 OK", &[], PAGE);
    decides_nothing(None, "200 OK", &[HTML], b"");
    decides_nothing(known, "200 OK", &[], b"");
    decides_nothing(known, "200 OK", &[], STUB);
    decides_nothing(
        known,
        "206 Partial Content",
        &[HTML, part("bytes 0-0/27")],
        b"<",
    );
    decides_nothing(
        None,
        "206 Partial Content",
        &[HTML, part("bytes 0-0/27")],
        b"<",
    );
    decides_nothing(None, "206 Partial Content", &[part("bytes 0-0/27")], b"<");
    decides_nothing(known, "206 Partial Content", &[part("bytes 0-0/27")], b"%");
    decides_nothing(
        known,
        "206 Partial Content",
        &[part("bytes 1-1/300009")],
        b"P",
    );
    decides_nothing(known, "206 Partial Content", &[], b"%");
    decides_nothing(known, "416 No", &[part("bytes */0")], b"");
    decides_nothing(None, "416 No", &[], b"");
    let right = "bytes 0-0/300009";
    proves(known, "206 Partial Content", &[part(right)], b"%");
    proves(None, "206 Partial Content", &[part(right)], b"%");
    // The size proves more than the media type.
    proves(known, "206 Partial Content", &[HTML, part(right)], b"%");
    proves(Some(4), "200 OK", &[], b"%PDF");
    proves(None, "200 OK", &[], b"%PDF");
    proves(None, "416 No", &[part("bytes */0")], b"");
}

#[test]
fn a_login_page_behind_a_redirect_proves_no_url_past_its_end() {
    let portal = Raw::start(|_, stream| reply(stream, "200 OK", &[HTML], PAGE));
    let login = format!("{}/login", portal.base());
    let (api, _storage) = one_codex(Some(SIZE), move |request, stream| match request.before {
        0 => reply(stream, "503 Busy", &[], b""),
        _ => reply(stream, "302 Found", &[("Location", &login)], b""),
    });
    let world = World::new(&api.base());
    world.run(&["onecodex", "a", "--retries", "0"]).exits(5);
    world.run(&["url", "onecodex", "a"]).exits(5);
    assert_eq!((paid(&api), portal.seen().len()), (1, 1));
}

/// Fetches a part of a document with the tag `"e1"`, and then gets `answer`, until the storage serves the document
/// again: the part is kept, and nothing is published meanwhile.
fn keeps_the_part(
    size: Option<usize>,
    tag: Option<&'static str>,
    body: &'static [u8],
    sized: bool,
) {
    let content = noise(SIZE);
    let whole = content.clone();
    let gateway = Arc::new(Mutex::new(true));
    let is_there = Arc::clone(&gateway);
    let (api, _storage) = one_codex(size, move |request, stream| {
        if request.before == 0 {
            return crate::support::raw::send_part(request, stream, &whole, "\"e1\"", 200_000);
        }
        if !*is_there.lock().unwrap() {
            return serve(request, stream, &whole, "\"e1\"");
        }
        let tag = tag.map_or_else(String::new, |tag| format!("ETag: {tag}\r\n"));
        let _ = match sized {
            true => write!(
                stream,
                "HTTP/1.1 200 OK\r\n{tag}Content-Length: {}\r\n\r\n",
                body.len()
            ),
            false => write!(stream, "HTTP/1.1 200 OK\r\n{tag}Connection: close\r\n\r\n"),
        };
        let _ = stream.write_all(body);
    });
    let world = World::new(&api.base());
    world.run(&["onecodex", "a", "--retries", "0"]).exits(5);
    let case = format!("{size:?} {tag:?} {} {sized}", body.len());
    for more in [&[][..], &["-c", "8"]] {
        let arguments = ["onecodex", "a", "--retries", "1", "--json"];
        let run = world.run(&[&arguments[..], more].concat());
        assert_eq!(run.code, 5, "{case}: {run:#?}");
        assert_eq!(run.error_code(), "storage_error", "{case}");
        let names = world.files();
        assert!(
            names.iter().all(|name| name.contains(".docfetch-")),
            "{case}: {names:?}"
        );
        let record = world.run(&["ledger", "list", "--json"]).records().remove(0);
        assert_eq!(record["state"], "answered", "{case}");
    }
    *gateway.lock().unwrap() = false;
    let run = world.run(&["onecodex", "a", "--json"]);
    assert_eq!(run.exits(0).records()[0]["resumed_from"], 200_000, "{case}");
    assert!(world.read("x.pdf") == content);
    assert_eq!(paid(&api), 1);
}

#[test]
fn neither_an_empty_answer_nor_a_stub_replaces_a_part_of_the_document() {
    let known = Some(SIZE);
    let cases = [
        (known, None, &b""[..], true),
        (known, Some("\"e1\""), b"", true),
        (None, None, b"", true),
        (known, None, b"", false),
        (known, None, STUB, true),
        (known, Some("\"other\""), STUB, true),
        (known, None, STUB, false),
        (None, Some("\"e1\""), STUB, true),
        (Some(7), Some("\"e1\""), STUB, true),
    ];
    each_at_once(cases, |(size, tag, body, sized)| {
        keeps_the_part(size, tag, body, sized);
    });
}

#[test]
fn an_empty_answer_is_no_document_that_has_bytes() {
    let (api, storage) = one_codex(Some(SIZE), |_, stream| reply(stream, "200 OK", &[], b""));
    let world = World::new(&api.base());
    for output in [&[][..], &["-o", "-"]] {
        let arguments = ["onecodex", "a", "--retries", "1", "--retry-max-time", "20s"];
        let run = world.run(&[&arguments[..], output].concat());
        run.exits(5).says("sent something else than the document");
        assert!(
            run.stdout.is_empty() && world.files().is_empty(),
            "{run:#?}"
        );
    }
    // The URL is past its end: the second run tries it once.
    assert_eq!((paid(&api), storage.seen().len()), (1, 3));
    let (api, _storage) = one_codex(Some(0), |_, stream| reply(stream, "200 OK", &[], b""));
    let world = World::new(&api.base());
    world.run(&["onecodex", "a"]).exits(0);
    assert_eq!(world.read("x.pdf"), b"");
}

#[test]
fn a_changed_length_that_no_metadata_explains_is_a_warning() {
    let (api, _) = both("/x.bin", |request, stream| match request.before {
        0 => crate::support::raw::send_part(request, stream, &noise(SIZE), "\"e1\"", 200_000),
        _ => reply(stream, "200 OK", &[("ETag", "\"e2\"")], b"another one"),
    });
    let world = World::new(&api.base());
    world.run(&["sm", "a", "--retries", "0"]).exits(5);
    let run = world.run(&["sm", "a"]);
    run.exits(0)
        .says("warning: the storage announced 300009 bytes before, the document has 11 bytes now");
    assert_eq!(world.read("x.bin"), b"another one");
}

#[test]
fn folded_header_lines_are_read_as_one_line() {
    let storage = Raw::start(|_, stream| {
        let head =
            "HTTP/1.1 200 OK\r\nContent-Disposition: attachment;\r\n\tfilename=\"x.txt\"\r\n";
        let _ = write!(
            stream,
            "{head}X-Note: a\r\n b\r\n  c\r\nContent-Length:\r\n 7\r\n\r\ncontent"
        );
    });
    let url = presigned(&storage.base(), "/y");
    let server = Raw::start(move |request, stream| match request.path() {
        path if path.ends_with("/download_uri") => {
            let json = serde_json::json!({"download_uri": url, "expires_in_hours": 1}).to_string();
            let head = "HTTP/1.1 200 OK\r\nX-Policy: default-src 'self';\r\n\timg-src *\r\n";
            let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{json}", json.len());
        }
        path if path.ends_with("/download/") => {
            let head = "HTTP/1.1 302 Found\r\nX-Policy: a;\r\n b\r\nContent-Length: 0\r\n";
            let _ = write!(stream, "{head}Location:\r\n {url}\r\n\r\n");
        }
        _ => api(request, stream, &url),
    });
    let world = World::new(&server.base());
    for (service, name) in [("onecodex", "x.txt"), ("sm", "x.txt")] {
        world
            .run(&[service, "a", "--if-exists", "overwrite"])
            .exits(0);
        assert_eq!(world.read(name), b"content");
    }
    assert_eq!(paid(&server), 1);
}

#[test]
fn a_3xx_that_is_no_redirect_is_an_answer_that_cannot_be_used() {
    for status in [
        "300 Choices",
        "304 Not Modified",
        "305 Use Proxy",
        "306 Unused",
    ] {
        for service in ["sm", "onecodex"] {
            let server = Raw::start(move |request, stream| match request.path() {
                "/o/token/" => api(request, stream, ""),
                path if path.contains("/download") => {
                    reply(stream, status, &[("Location", "https://b.example/x")], b"");
                }
                _ => reply(stream, "404 Not Found", &[], b"{}"),
            });
            let world = World::new(&server.base());
            let run = world.run(&[service, "a", "--json"]);
            assert_eq!(run.exits(5).error_code(), "protocol", "{status} {service}");
            assert_eq!(
                server.count(if service == "sm" { "GET" } else { "POST" }, "/download"),
                1
            );
            assert!(
                world
                    .run(&["ledger", "list", "--json"])
                    .records()
                    .is_empty()
            );
        }
    }
}

#[test]
fn a_storage_behind_a_network_that_wants_a_login_says_what_to_do() {
    let (api, storage) = both("/x.bin", |_, stream| {
        reply(stream, "511 Network Authentication Required", &[], PAGE);
    });
    let world = World::new(&api.base());
    for service in ["sm", "onecodex"] {
        let run = world.run(&[service, "a", "--json"]);
        assert_eq!(run.exits(5).error_code(), "storage_error");
        run.says("log in to this network with a web browser");
    }
    assert_eq!(storage.seen().len(), 2);
}
