//! Answers of an API whose bodies are coded, marked, cut or full of header fields.

use super::support::raw::{Raw, Request, api, head, presigned, reply, serve};
use super::support::tls::{Authority, Identity, Leaf, abrupt_front, acceptor, front};
use super::support::{self, World, noise};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http_body_util::Full;
use hyper::Response;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

type Recode = fn(&[u8]) -> Vec<u8>;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn marked(text: &[u8]) -> Vec<u8> {
    [b"\xef\xbb\xbf", text].concat()
}

/// The JSON of every route of an API, with one document at `url`.
fn json(request: &Request, url: &str) -> Option<String> {
    let listing =
        r#"{"count":1,"next":null,"previous":null,"results":[{"id":"7","name":"n.pdf"}]}"#;
    match (request.method.as_str(), request.path()) {
        ("POST", "/o/token/") => {
            let token = support::TOKEN;
            Some(format!(
                r#"{{"access_token":"{token}","expires_in":3600,"token_type":"Bearer"}}"#
            ))
        }
        ("POST", path) if path.ends_with("/download_uri") => {
            Some(serde_json::json!({"download_uri": url, "expires_in_hours": 1}).to_string())
        }
        ("GET", path) if path.ends_with("/documents/") => Some(listing.to_owned()),
        _ => None,
    }
}

/// An API that passes all its JSON through `recode`.
fn recoding(coding: &'static str, recode: Recode, url: String) -> Raw {
    Raw::start(move |request, stream| match json(request, &url) {
        Some(text) => {
            let headers = [("Content-Encoding", coding)];
            let headers = if coding.is_empty() {
                &headers[1..]
            } else {
                &headers[..]
            };
            reply(stream, "200 OK", headers, &recode(text.as_bytes()));
        }
        None => api(request, stream, &url),
    })
}

#[test]
fn coded_and_marked_answers_are_read_and_docfetch_requests_none() {
    let content = noise(3000);
    let body = content.clone();
    let storage = Raw::start(move |request, stream| serve(request, stream, &body, "\"1\""));
    let cases: [(&str, Recode); 6] = [
        ("gzip", gzip),
        ("x-gzip", |text| gzip(&marked(text))),
        ("", gzip),
        ("gzip", <[u8]>::to_vec),
        ("deflate", deflate),
        ("", marked),
    ];
    for (coding, recode) in cases {
        let url = presigned(&storage.base(), "/x.bin");
        let server = recoding(coding, recode, url);
        let world = World::new(&server.base());
        for provider in ["sm", "onecodex"] {
            world.run(&[provider, "7", "-o", provider]).exits(0);
            assert_eq!(world.read(provider), content, "{coding}");
        }
        let run = world.run(&["list", "sm", "--ids"]);
        assert_eq!(run.exits(0).stdout, "7\n");
        assert_eq!(server.count("POST", "/download_uri"), 1);
        for request in server.seen() {
            assert_eq!(request.header("accept-encoding"), Some("identity"));
        }
    }
}

#[test]
fn a_coding_that_docfetch_does_not_know_is_named() {
    let server = recoding(
        "br",
        |text| [b"\x8b\x03", text].concat(),
        presigned("http://127.0.0.1:1", "/x"),
    );
    let world = World::new(&server.base());
    let run = world.run(&["sm", "7", "--json", "--retries", "0"]);
    assert_eq!(run.exits(5).error_code(), "protocol");
    assert!(run.stdout.contains("content coding"), "{run:?}");
    let run = world.run(&["list", "sm", "--retries", "0"]);
    run.exits(5).says("content coding \"br\"");
    // A paid answer without a usable URL is in doubt.
    world.run(&["onecodex", "7"]).exits(8).says("br");
}

#[test]
fn a_body_without_end_in_a_coding_that_docfetch_does_not_know_is_cut() {
    let server = Raw::start(|_, stream| {
        head(stream, "200 OK", &[("Content-Encoding", "br")], None);
        while stream.write_all(&[0x8b; 64 << 10]).is_ok() {}
    });
    let run = World::new(&server.base()).run(&["onecodex", "7"]);
    run.exits(8).is_prompt();
}

#[test]
fn a_compressed_bomb_ends_in_bounded_memory_and_time() {
    let bomb = Arc::new(gzip(&vec![b' '; 200 << 20]));
    let server = Raw::start(move |_, stream| {
        reply(stream, "200 OK", &[("Content-Encoding", "gzip")], &bomb);
    });
    let world = World::new(&server.base());
    let arguments = ["list", "sm", "--retries", "0"];
    // The address space, most of which is code and stacks, has no room for the bomb.
    let limited = r#"ulimit -v 300000; exec "$0" "$@""#;
    let binary = env!("CARGO_BIN_EXE_docfetch");
    let run = world.run_of("sh", &[&["-c", limited, binary][..], &arguments].concat());
    run.exits(5).is_prompt();
    let run = world.run(&["onecodex", "7"]);
    run.exits(8).is_prompt();
}

/// An API behind TLS whose answers have no length, miss the last `cut` bytes, and end without a
/// `close_notify`.
fn abrupt(authority: &Authority, cut: usize, url: String) -> (SocketAddr, Raw) {
    let server = Raw::start(move |request, stream| match json(request, &url) {
        Some(text) => {
            // Without a token, docfetch asks for nothing else.
            let cut = if request.path() == "/o/token/" {
                0
            } else {
                cut
            };
            head(stream, "200 OK", &[], None);
            let _ = stream.write_all(&text.as_bytes()[..text.len() - cut]);
        }
        None => api(request, stream, &url),
    });
    let address = abrupt_front(authority.leaf(Leaf::Good), server.address);
    (address, server)
}

fn trusting(address: SocketAddr, authority: &Authority) -> World {
    let mut world = World::new(&format!("https://localhost:{}", address.port()));
    let path = world.home().join("ca.pem");
    std::fs::write(&path, authority.pem()).unwrap();
    world.set("DOCFETCH_CA_CERT", path.to_str().unwrap());
    world
}

#[test]
fn json_is_whole_without_a_close_notify() {
    let content = noise(3000);
    let body = content.clone();
    let storage = Raw::start(move |request, stream| serve(request, stream, &body, "\"1\""));
    let authority = Authority::new();
    let port = front(authority.leaf(Leaf::Good), storage.address).port();
    let url = presigned(&format!("https://localhost:{port}"), "/x.bin");
    let (address, server) = abrupt(&authority, 0, url);
    let world = trusting(address, &authority);
    world.run(&["onecodex", "7"]).exits(0);
    assert_eq!(world.read("x.bin"), content);
    assert_eq!(server.count("POST", "/download_uri"), 1);
    world.run(&["sm", "7", "-o", "y"]).exits(0);
    let run = world.run(&["list", "sm", "--ids"]);
    assert_eq!(run.exits(0).stdout, "7\n");
}

#[test]
fn cut_json_without_a_close_notify_is_no_answer() {
    let url = presigned("https://localhost:1", "/x.bin");
    let authority = Authority::new();
    let (address, server) = abrupt(&authority, 30, url);
    let world = trusting(address, &authority);
    let run = world.run(&["list", "sm", "--ids", "--retries", "0"]);
    run.exits(5).says("without a TLS close_notify");
    world.run(&["onecodex", "7", "--retries", "0"]).exits(8);
    assert_eq!(server.count("POST", "/download_uri"), 1);
}

/// A storage and an API behind TLS. The storage sends [`UNMARKED`] without a length, has these headers, and ends
/// without a `close_notify`; the metadata of the API tells this size.
fn unmarked(headers: &'static [(&str, &str)], size: Option<usize>) -> (World, Raw, Raw) {
    unmarked_pieces(headers, &[UNMARKED], size)
}

/// As [`unmarked`], with a storage that sends these bytes, one after the other: the last for ever.
fn unmarked_pieces(
    headers: &'static [(&str, &str)],
    pieces: &'static [&[u8]],
    size: Option<usize>,
) -> (World, Raw, Raw) {
    let authority = Authority::new();
    let answered = AtomicUsize::new(0);
    let storage = Raw::start(move |_, stream| {
        head(stream, "200 OK", headers, None);
        let number = answered.fetch_add(1, Ordering::Relaxed);
        let _ = stream.write_all(pieces[number.min(pieces.len() - 1)]);
        // Bytes that arrive together with the end of the connection may stay unwritten.
        std::thread::sleep(Duration::from_millis(250));
    });
    let port = abrupt_front(authority.leaf(Leaf::Good), storage.address).port();
    let url = presigned(&format!("https://localhost:{port}"), "/x.bin");
    let server = Raw::start(move |request, stream| {
        if request.method == "GET" && size.is_some() {
            let json = serde_json::json!({"filename": "x.bin", "size": size}).to_string();
            return reply(stream, "200 OK", &[], json.as_bytes());
        }
        api(request, stream, &url);
    });
    let front = front(authority.leaf(Leaf::Good), server.address);
    (trusting(front, &authority), storage, server)
}

const UNMARKED: &[u8] = b"12345";
const SHA256_OF_UNMARKED: &str = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5";

#[test]
fn a_document_that_ends_without_length_and_close_notify_is_not_published() {
    let wrong = "0".repeat(64);
    for (headers, size, proof, code) in [
        (&[][..], None, &[][..], "length_mismatch"),
        (&[("ETag", "\"1\"")], None, &[], "length_mismatch"),
        (&[], None, &["--sha256", &*wrong], "digest_mismatch"),
        (
            &[("x-amz-checksum-crc32", "AAAAAA==")],
            None,
            &[],
            "digest_mismatch",
        ),
        (&[], Some(6), &[], "network"),
    ] {
        let (world, storage, _server) = unmarked(headers, size);
        let provider = if size.is_some() { "onecodex" } else { "sm" };
        let run = world.run(&[&[provider, "a", "--retries", "1", "--json"], proof].concat());
        assert_eq!(run.error_code(), code, "{run:?}");
        run.exits(if code == "network" { 5 } else { 6 });
        assert!(world.file_ending("x.bin").is_none());
        assert_eq!(storage.seen().len(), 2, "a second attempt may tell more");
    }
}

#[test]
fn a_proven_document_needs_no_close_notify() {
    let sha256 = ["--sha256", SHA256_OF_UNMARKED];
    for (headers, size, proof) in [
        (&[][..], None, &sha256[..]),
        (&[("x-amz-checksum-crc32", "y/U6HA==")], None, &[]),
        (&[], Some(5), &[]),
    ] {
        let (world, storage, _server) = unmarked(headers, size);
        let provider = if size.is_some() { "onecodex" } else { "sm" };
        let to_file = [&[provider, "a"], proof].concat();
        world.run(&to_file).exits(0);
        assert_eq!(world.read("x.bin"), UNMARKED);
        let run = world.run(&[&to_file[..], &["-o", "-"]].concat());
        assert_eq!(run.exits(0).raw_stdout, UNMARKED);
        assert_eq!(storage.seen().len(), 2);
    }
}

/// What is on standard output cannot come again, and may be a part of a right document.
#[test]
fn a_stream_that_breaks_before_its_digest_is_right_is_a_broken_connection() {
    let wrong = "0".repeat(64);
    for (headers, proof, requests) in [
        (&[][..], &["--sha256", &*wrong][..], 1),
        (&[("ETag", "\"1\"")], &["--sha256", &wrong], 3),
        (&[("x-amz-checksum-crc32", "AAAAAA==")], &[], 1),
    ] {
        for retries in ["0", "2"] {
            let (world, storage, _server) = unmarked(headers, None);
            let fetching = ["onecodex", "a", "-o", "-", "--retries", retries];
            let run = world.run(&[&fetching[..], proof].concat());
            assert_eq!(run.exits(5).raw_stdout, UNMARKED);
            run.says("run again");
            assert!(!run.stderr.contains("SHA-256"), "{run:?}");
            let requests = if retries == "0" { 1 } else { requests };
            assert_eq!(storage.seen().len(), requests, "{run:?}");
        }
    }
    // A digest proves each end at once, also where a later attempt could continue.
    let (world, storage, _server) = unmarked(&[("ETag", "\"1\"")], None);
    let run = world.run(&["sm", "a", "-o", "-", "--sha256", SHA256_OF_UNMARKED]);
    assert_eq!(run.exits(0).raw_stdout, UNMARKED);
    assert_eq!(storage.seen().len(), 1);
}

/// docfetch holds the bytes back, since they may be a web page, and can request them again.
#[test]
fn bytes_that_are_held_back_come_again_when_their_digest_is_not_right() {
    const PAGE: &[u8] = b"<html><p>the document</p></html>";
    const CUT: &[u8] = b"<html><p>the";
    let (world, storage, server) = unmarked_pieces(&[], &[CUT, CUT, PAGE], None);
    let digest = support::sha256(PAGE);
    let fetching = ["onecodex", "a", "-o", "-", "--sha256", &digest];
    let run = world.run(&[&fetching[..], &["--retries", "0"]].concat());
    assert_eq!(run.exits(5).stdout, "");
    run.says("the connection to localhost");
    let run = world.run(&fetching);
    assert_eq!(run.exits(0).raw_stdout, PAGE);
    assert_eq!(storage.seen().len(), 3);
    assert_eq!(server.count("POST", "/download_uri"), 1);
}

/// So many header fields, of 64 KiB together at most.
fn fields(count: usize) -> Vec<(String, String)> {
    let field = |n| (format!("x-field-{n}"), format!("{n:040}"));
    (0..count).map(field).collect()
}

/// An API on HTTP/2 whose answers have many header fields.
fn http2_api(identity: Identity, count: usize, url: String) -> SocketAddr {
    let acceptor = acceptor(identity, b"h2");
    support::serve(move |sender| async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        sender.send(listener.local_addr().unwrap()).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, url) = (acceptor.clone(), url.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let service = service_fn(|request: hyper::Request<_>| {
                    let mut response = Response::builder();
                    for (name, value) in fields(count) {
                        response = response.header(name, value);
                    }
                    let token = request.uri().path() == "/o/token/";
                    let response = match token {
                        true => response,
                        false => response.status(302).header("location", &url),
                    };
                    let token = format!(
                        r#"{{"access_token":"{}","expires_in":3600,"token_type":"Bearer"}}"#,
                        support::TOKEN
                    );
                    let body = Full::new(Bytes::from(token));
                    let response = response.body(body).unwrap();
                    async move { Ok::<_, Infallible>(response) }
                });
                let server = http2::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}

#[test]
fn hundreds_of_header_fields_are_read() {
    let content = noise(3000);
    for count in [101, 1000] {
        let body = content.clone();
        let storage = Raw::start(move |_, stream| {
            let fields = fields(count);
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| (&**name, &**value))
                .collect();
            reply(stream, "200 OK", &fields, &body);
        });
        let url = presigned(&storage.base(), "/x.bin");
        let server = Raw::start(move |request, stream| match json(request, &url) {
            Some(text) => {
                let fields = fields(count);
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(name, value)| (&**name, &**value))
                    .collect();
                reply(stream, "200 OK", &fields, text.as_bytes());
            }
            None => api(request, stream, &url),
        });
        let world = World::new(&server.base());
        for provider in ["sm", "onecodex"] {
            world.run(&[provider, "7", "-o", provider]).exits(0);
            assert_eq!(world.read(provider), content);
        }
        let authority = Authority::new();
        let port = front(authority.leaf(Leaf::Good), storage.address).port();
        let url = presigned(&format!("https://localhost:{port}"), "/x.bin");
        let address = http2_api(authority.leaf(Leaf::Good), count, url);
        let world = trusting(address, &authority);
        world.run(&["sm", "7"]).exits(0);
        assert_eq!(world.read("x.bin"), content);
    }
}
