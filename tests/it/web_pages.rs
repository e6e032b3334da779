//! Web pages that come instead of documents, and documents that are web pages.

use crate::support::raw::{Raw, Request, api, both, head, presigned, reply, send_part, serve};
use crate::support::services::Service;
use crate::support::{World, noise, sha256};
use ring::digest::{SHA256, digest};
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

const PAGE: &[u8] = b"<!doctype html><title>Sign in</title>";
const HTML: (&str, &str) = ("Content-Type", "text/html; charset=utf-8");

/// One Codex, whose metadata tells this name and size.
fn one_codex(
    name: &'static str,
    size: Option<usize>,
    storage: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static,
) -> (Raw, Raw) {
    let storage = Raw::start(storage);
    let url = presigned(&storage.base(), "/x");
    let api = Raw::start(move |request, stream| {
        if request.method == "GET" {
            let json = serde_json::json!({"filename": name, "size": size}).to_string();
            return reply(stream, "200 OK", &[], json.as_bytes());
        }
        api(request, stream, &url);
    });
    (api, storage)
}

/// docfetch saves nothing, and its message names the page and the host.
#[track_caller]
fn is_refused(world: &World, arguments: &[&str], host: &Raw) {
    is_refused_as("a web page", world, arguments, host);
}

/// docfetch saves nothing, and its message names the host, and what the host sent.
#[track_caller]
fn is_refused_as(sent: &str, world: &World, arguments: &[&str], host: &Raw) {
    let run = world.run(&[arguments, &["--json", "--retries", "0"]].concat());
    assert_eq!(run.exits(5).error_code(), "storage_error", "{run:#?}");
    let error = run.records()[0]["error"].clone();
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("{} sent {sent}", host.address)),
        "{message}"
    );
    assert_eq!(error["retryable"], true);
    assert_eq!(world.files(), [""; 0]);
}

#[test]
fn a_login_page_that_the_api_redirects_to_is_no_document() {
    for target in ["/accounts/login/?next=/v1/documents/a", "/login.html", "/"] {
        let api = Raw::start(move |request, stream| match request.path() {
            "/o/token/" => api(request, stream, ""),
            path if path.ends_with("/download/") => {
                reply(stream, "302 Found", &[("Location", target)], b"");
            }
            _ => reply(stream, "200 OK", &[HTML], PAGE),
        });
        let world = World::new(&api.base());
        is_refused(&world, &["sm", "a", "-o", "deck.pdf"], &api);
        if target != "/login.html" {
            is_refused(&world, &["sm", "a"], &api);
        }
    }
}

#[test]
fn a_login_page_that_the_storage_redirects_to_is_no_document() {
    let login = Raw::start(|_, stream| reply(stream, "200 OK", &[], PAGE));
    let target = format!("{}/login", login.base());
    let (api, _) = both("/README", move |_, stream| {
        reply(stream, "302 Found", &[("Location", &target)], b"");
    });
    let world = World::new(&api.base());
    is_refused(&world, &["sm", "a"], &login);
}

#[test]
fn a_paid_page_is_not_delivered_and_the_next_run_pays_nothing() {
    let content = noise(5_000);
    let body = content.clone();
    // The last one tells no length.
    let (api, storage) = one_codex(
        "reads.fastq",
        Some(5_000),
        move |request, stream| match request.before {
            0 => reply(stream, "200 OK", &[HTML], PAGE),
            1 => {
                head(stream, "200 OK", &[HTML], None);
                let _ = stream.write_all(PAGE);
            }
            _ => serve(request, stream, &body, "\"v1\""),
        },
    );
    let world = World::new(&api.base());
    for _ in 0..2 {
        is_refused(&world, &["onecodex", "a"], &storage);
        let ledger = world.run(&["ledger", "list"]);
        assert!(ledger.stdout.contains("answered"), "{ledger:#?}");
    }
    world.run(&["onecodex", "a"]).exits(0);
    assert_eq!(world.read("reads.fastq"), content);
    assert_eq!(api.count("POST", "/download_uri"), 1);
}

#[test]
fn a_page_that_passes_is_waited_for() {
    let content = noise(5_000);
    let digest = sha256(&content);
    for proof in [&[][..], &["--sha256", &digest]] {
        let body = content.clone();
        let (api, storage) = both("/x.pdf", move |request, stream| match request.before {
            0 => reply(stream, "200 OK", &[HTML], PAGE),
            _ => serve(request, stream, &body, "\"v1\""),
        });
        let world = World::new(&api.base());
        let run = world.run(&[&["sm", "a", "-o", "x.pdf", "-v"], proof].concat());
        run.exits(0).says("sent a web page");
        assert_eq!(world.read("x.pdf"), content);
        assert_eq!(storage.seen().len(), 2);
    }
}

#[test]
fn a_page_costs_nothing_of_what_is_here() {
    let content = noise(300_000);
    let body = content.clone();
    let (api, storage) = both("/x.pdf", move |request, stream| match request.before {
        0 => send_part(request, stream, &body, "\"v1\"", 200_000),
        1 => reply(stream, "200 OK", &[HTML, ("ETag", "\"page\"")], PAGE),
        _ => serve(request, stream, &body, "\"v1\""),
    });
    let world = World::new(&api.base());
    let fetch = ["sm", "a", "--retries", "0", "--json"];
    assert_eq!(world.run(&fetch).exits(5).error_code(), "network");
    assert_eq!(world.run(&fetch).exits(5).error_code(), "storage_error");
    assert_eq!(
        world.run(&fetch).exits(0).records()[0]["resumed_from"],
        200_000
    );
    assert_eq!(world.read("x.pdf"), content);
    assert_eq!(storage.seen()[2].header("range"), Some("bytes=200000-"));
}

/// The page says nothing that could continue the partial, and no length, digest or name makes docfetch prefer it.
#[test]
fn a_page_never_replaces_a_part_of_another_kind() {
    let content = [b"%PDF-1.7", &noise(300_000)[..]].concat();
    let digest = sha256(&content);
    let pages = [
        PAGE,
        b"<!DOCTYPE\r\nhtml><title>Sign in</title>",
        b"<form action=/login>",
    ];
    for (path, proof) in [
        ("/x.pdf", &[][..]),
        ("/x.pdf", &["--sha256", &*digest][..]),
        ("/x.fastq", &[][..]),
    ] {
        let body = content.clone();
        let (api, storage) = both(path, move |request, stream| match request.before {
            0 => send_part(request, stream, &body, "\"v1\"", 200_000),
            1 => reply(stream, "200 OK", &[HTML, ("ETag", "\"page\"")], pages[0]),
            2 => reply(stream, "200 OK", &[("ETag", "\"v1\"")], pages[1]),
            3 => {
                head(stream, "200 OK", &[], None);
                let _ = stream.write_all(pages[2]);
            }
            _ => serve(request, stream, &body, "\"v1\""),
        });
        let world = World::new(&api.base());
        let name = &path[1..];
        let fetch = [&["sm", "a", "-o", name, "--retries", "0", "--json"], proof].concat();
        assert_eq!(world.run(&fetch).exits(5).error_code(), "network");
        for _ in pages {
            let run = world.run(&fetch);
            assert_eq!(
                run.exits(5).error_code(),
                "storage_error",
                "{path} {run:#?}"
            );
        }
        let run = world.run(&fetch);
        assert_eq!(run.exits(0).records()[0]["resumed_from"], 200_000);
        assert_eq!(world.read(name), content);
        assert_eq!(storage.seen().len(), 5);
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// A filter may code its page although docfetch requested no coding.
#[test]
fn a_page_in_gzip_is_a_page_unless_the_names_tell_gzip() {
    let coded = |_: &Request, stream: &mut TcpStream| {
        let headers = [HTML, ("Content-Encoding", "gzip")];
        reply(stream, "200 OK", &headers, &gzip(PAGE));
    };
    for name in ["a.pdf", "a.csv.gz", "a.csv", "a.html"] {
        for size in [None, Some(70_000)] {
            let (api, storage) = one_codex(name, size, coded);
            let world = World::new(&api.base());
            if name == "a.pdf" {
                is_refused(&world, &["onecodex", "a"], &storage);
                continue;
            }
            world.run(&["onecodex", "a"]).exits(0);
            assert_eq!(world.read(name), gzip(PAGE), "{name}");
        }
    }
    // A name that only the user gives tells gzip, too.
    let (api, storage) = both("/x", coded);
    let world = World::new(&api.base());
    is_refused(&world, &["sm", "a", "-o", "a.docx"], &storage);
    world.run(&["sm", "a", "-o", "a.tgz"]).exits(0);
    assert_eq!(world.read("a.tgz"), gzip(PAGE));
}

#[test]
fn a_document_that_is_a_web_page_is_fetched_where_name_size_or_digest_allow_it() {
    let digest = sha256(PAGE);
    let named = |name: &'static str| {
        move |_: &Request, stream: &mut TcpStream| {
            let disposition = format!("attachment; filename=\"{name}\"");
            reply(
                stream,
                "200 OK",
                &[HTML, ("Content-Disposition", &disposition)],
                PAGE,
            );
        }
    };
    for name in ["a.html", "a.xls", "README", "a.fastq"] {
        let (api, _) = both("/x.pdf", named(name));
        let world = World::new(&api.base());
        world.run(&["sm", "a"]).exits(0);
        assert_eq!(world.read(name), PAGE);
    }
    let (api, storage) = both("/x", named("a.docx"));
    let world = World::new(&api.base());
    is_refused(&world, &["sm", "a", "-o", "a.html"], &storage);
    let other = sha256(b"other");
    is_refused(&world, &["sm", "a", "--sha256", &other], &storage);
    world.run(&["sm", "a", "--sha256", &digest]).exits(0);
    assert_eq!(world.read("a.docx"), PAGE);
    // A URL says less than a name.
    let (api, storage) = both("/export", |_, stream| {
        reply(stream, "200 OK", &[], PAGE);
    });
    let world = World::new(&api.base());
    is_refused(&world, &["sm", "a"], &storage);
    world.run(&["sm", "a", "-o", "export"]).exits(0);
    // By the name that only the user or the signed URL gives.
    let (api, _) = both("/report.html", |_, stream| {
        reply(stream, "200 OK", &[], PAGE)
    });
    let world = World::new(&api.base());
    world.run(&["sm", "a"]).exits(0);
    world.run(&["sm", "a", "-o", "x.xls"]).exits(0);
    assert_eq!(world.files(), ["report.html", "x.xls"]);
}

#[test]
fn the_size_that_the_provider_tells_decides_about_a_page() {
    for (name, size, chunked, fetched) in [
        ("a.pdf", PAGE.len(), false, true),
        ("a.pdf", PAGE.len(), true, true),
        ("a.pdf", 5, true, false),
        ("a.xls", 5, false, false),
        ("README", 5, true, false),
        ("a.html", 5, false, true),
    ] {
        let (api, storage) = one_codex(name, Some(size), move |_, stream| {
            if !chunked {
                return reply(stream, "200 OK", &[HTML], PAGE);
            }
            head(
                stream,
                "200 OK",
                &[HTML, ("Transfer-Encoding", "chunked")],
                None,
            );
            let _ = write!(stream, "{:x}\r\n", PAGE.len());
            let _ = stream.write_all(PAGE);
            let _ = stream.write_all(b"\r\n0\r\n\r\n");
        });
        let world = World::new(&api.base());
        if fetched {
            world.run(&["onecodex", "a"]).exits(0);
            assert_eq!(world.read(name), PAGE);
        } else {
            is_refused(&world, &["onecodex", "a"], &storage);
        }
    }
}

/// A gateway may send the error of a storage with the status of a success.
#[test]
fn an_error_of_a_storage_is_judged_like_a_page() {
    const ERROR: &[u8] =
        b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code></Error>";
    let digest = sha256(ERROR);
    for (name, size, proof, fetched) in [
        ("a.pdf", None, &[][..], false),
        ("a.bam", None, &[], false),
        ("a.pdf", Some(5), &[], false),
        ("a.pdf", Some(ERROR.len()), &[], true),
        ("a.pdf", None, &["--sha256", &*digest], true),
        ("a.xml", None, &[], true),
        ("a.xml", Some(5), &[], false),
    ] {
        let (api, storage) = one_codex(name, size, |_, stream| {
            reply(
                stream,
                "200 OK",
                &[("Content-Type", "application/xml")],
                ERROR,
            );
        });
        let world = World::new(&api.base());
        let arguments = [&["onecodex", "a"], proof].concat();
        if fetched {
            world.run(&arguments).exits(0);
            assert_eq!(world.read(name), ERROR);
        } else {
            is_refused_as("an error", &world, &arguments, &storage);
        }
        assert_eq!(api.count("POST", "/download_uri"), 1);
    }
    // A part of a document that begins so continues.
    let content = [ERROR, &noise(300_000)].concat();
    let body = content.clone();
    let (api, _) = both("/x.xml", move |request, stream| match request.before {
        0 => send_part(request, stream, &body, "\"v1\"", 200_000),
        _ => serve(request, stream, &body, "\"v1\""),
    });
    let world = World::new(&api.base());
    world.run(&["sm", "a", "-o", "x.xml"]).exits(0);
    assert!(world.read("x.xml") == content);
}

#[test]
fn a_checksum_of_the_storage_proves_a_page() {
    for (value, fetched) in [(PAGE, true), (&b"other"[..], false)] {
        use base64::Engine as _;
        let digest = digest(&SHA256, value);
        let value = base64::engine::general_purpose::STANDARD.encode(digest);
        let (api, storage) = both("/x.pdf", move |_, stream| {
            reply(stream, "200 OK", &[("x-amz-checksum-sha256", &value)], PAGE);
        });
        let world = World::new(&api.base());
        if fetched {
            world.run(&["sm", "a"]).exits(0);
            assert_eq!(world.read("x.pdf"), PAGE);
        } else {
            is_refused(&world, &["sm", "a"], &storage);
        }
    }
}

#[test]
fn what_is_called_html_and_is_none_is_fetched() {
    let pdf = b"%PDF-1.7 <html>";
    let (api, _) = both("/x.pdf", |_, stream| reply(stream, "200 OK", &[HTML], pdf));
    let world = World::new(&api.base());
    world.run(&["sm", "a"]).exits(0);
    assert_eq!(world.read("x.pdf"), pdf);
}

#[test]
fn nothing_of_a_page_goes_to_standard_output() {
    // The page dribbles, so that the first piece does not decide.
    let (api, storage) = both("/x.pdf", |_, stream| {
        head(stream, "200 OK", &[], Some(PAGE.len()));
        for piece in PAGE.chunks(3) {
            let _ = stream.write_all(piece);
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    let world = World::new(&api.base());
    let to_pipe = ["sm", "a", "-o", "-", "--retries", "1"];
    let run = world.run(&to_pipe);
    run.exits(5).says("sent a web page");
    assert_eq!(run.raw_stdout, b"");
    assert_eq!(storage.seen().len(), 2);
    let other = sha256(b"other");
    let run = world.run(&[&to_pipe[..], &["--sha256", &other]].concat());
    run.exits(5).says("sent a web page");
    assert_eq!(run.raw_stdout, b"");
    let digest = sha256(PAGE);
    let run = world.run(&[&to_pipe[..], &["--sha256", &digest]].concat());
    assert_eq!(run.exits(0).raw_stdout, PAGE);
}

#[test]
fn what_an_earlier_run_left_of_a_page_is_not_published() {
    let page = [PAGE, &noise(300_000)].concat();
    let content = [b"%PDF-1.7", &noise(300_000)[..]].concat();
    let (body, right) = (page.clone(), content.clone());
    let (api, _) = both("/x.pdf", move |request, stream| match request.before {
        0 => send_part(request, stream, &body, "\"page\"", 200_000),
        _ if request.header("range").is_some() => serve(request, stream, &body, "\"page\""),
        _ => serve(request, stream, &right, "\"v1\""),
    });
    let world = World::new(&api.base());
    // As it was before pages were refused: the digest could have proven it.
    let digest = sha256(&page);
    let fetch = ["sm", "a", "--retries", "0"];
    world
        .run(&[&fetch[..], &["--sha256", &digest]].concat())
        .exits(5);
    assert!(world.file_ending(".part").is_some());
    world
        .run(&[&fetch[..], &["-v"]].concat())
        .exits(0)
        .says("starting over");
    assert_eq!(world.read("x.pdf"), content);
}

#[test]
fn a_hint_names_no_option_that_the_command_does_not_have() {
    let (service, _) = Service::with("a.pdf", 1000, &["html-page"]);
    let world = service.world();
    let run = world.run(&["sync", "sm", "m", "--retries", "0"]);
    run.exits(5).says("sent a web page");
    assert!(!run.stderr.contains("--sha256"), "{run:#?}");
    let run = world.run(&["sm", "doc1", "--retries", "0"]);
    run.exits(5).says("give the id alone with its --sha256");
}
