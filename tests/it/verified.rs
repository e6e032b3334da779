//! What must be verified is verified, however many runs it takes.

use crate::support::partials::{partial, read_sidecar, write_sidecar};
use crate::support::raw::{Raw, Request, api, asked, both, head, presigned, reply, serve};
use crate::support::{World, noise, sha256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

const SIZE: usize = 300_000;
const TAG: &str = "\"v1\"";

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(digest(&SHA256, bytes))
}

fn wrong(content: &[u8]) -> Vec<u8> {
    let mut wrong = content.to_vec();
    wrong[500] ^= 1;
    wrong
}

/// Answers with a range or the whole, up to `most` bytes of it, and with further headers.
fn send(
    request: &Request,
    stream: &mut TcpStream,
    content: &[u8],
    most: usize,
    further: &[(&str, &str)],
) {
    let mut headers = vec![("ETag", TAG)];
    let total = content.len();
    let (first, last) = asked(request, total).unwrap_or((0, total - 1));
    let range = format!("bytes {first}-{last}/{total}");
    headers.extend(further);
    let status = match request.header("range") {
        Some(_) if first >= total => {
            let range = format!("bytes */{total}");
            return reply(
                stream,
                "416 Range Not Satisfiable",
                &[("Content-Range", &range)],
                b"",
            );
        }
        Some(_) => {
            headers.push(("Content-Range", &range));
            "206 Partial Content"
        }
        None => "200 OK",
    };
    head(stream, status, &headers, Some(last + 1 - first));
    let _ = stream.write_all(&content[first..(last + 1).min(first + most)]);
}

#[test]
fn two_runs_end_as_one_would_wherever_the_first_one_stopped() {
    let content = noise(SIZE);
    let sha = base64(&content);
    let crc = {
        let mut crc = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        crc.update(&content);
        STANDARD.encode(&crc.finalize().to_be_bytes()[4..])
    };
    let repr = format!("sha-256=:{sha}:");
    let goog = format!("crc32c={crc}");
    // Which answers tell the checksum: those with the whole, those with a range.
    let announced: [(&str, String, bool, bool); 4] = [
        ("x-amz-checksum-sha256", sha.clone(), true, false),
        ("x-amz-checksum-crc32c", crc.clone(), true, false),
        ("Repr-Digest", repr, false, true),
        ("x-goog-hash", goog, true, true),
    ];
    for (name, value, with_whole, with_range) in announced {
        for (stop, connections) in [(1, "1"), (65_537, "8"), (SIZE - 1, "1")] {
            for right in [true, false] {
                let body = if right {
                    content.clone()
                } else {
                    wrong(&content)
                };
                let (cut, value) = (AtomicBool::new(true), value.clone());
                let (api, storage) = both("/x.bin", move |request, stream| {
                    let ranged = request.header("range").is_some();
                    let further = [(name, &*value)];
                    let tell = if ranged { with_range } else { with_whole };
                    let further = &further[..usize::from(tell)];
                    let most = if cut.swap(false, Ordering::Relaxed) {
                        stop
                    } else {
                        SIZE
                    };
                    send(request, stream, &body, most, further);
                });
                let world = World::new(&api.base());
                let fetch = ["sm", "a", "--json", "--retries", "0", "-c", connections];
                world.run(&fetch).exits(5);
                let run = world.run(&fetch);
                let case = format!("{name} {stop} {right}");
                if right {
                    assert_eq!(run.exits(0).records()[0]["resumed_from"], stop, "{case}");
                    assert!(world.read("x.bin") == content, "{case}");
                } else {
                    assert_eq!(run.exits(6).error_code(), "digest_mismatch", "{case}");
                    assert!(!world.out().join("x.bin").exists(), "{case}");
                }
                assert_eq!(storage.seen().len(), 2, "{case}");
            }
        }
    }
}

#[test]
fn a_checksum_that_only_segments_tell_is_verified_in_the_same_run() {
    let content = noise(4 << 20);
    let (body, sha) = (wrong(&content), format!("sha-256=:{}:", base64(&content)));
    let (api, storage) = both("/x.bin", move |request, stream| {
        let further = [("Repr-Digest", &*sha)];
        let ranged = request.header("range").is_some();
        send(
            request,
            stream,
            &body,
            body.len(),
            &further[..usize::from(ranged)],
        );
    });
    let world = World::new(&api.base());
    world.run_showing(&["sm", "a", "-c", "8"]).exits(6);
    assert!(storage.seen().len() > 1);
}

/// The checksum came with the first answer, and a 416 or no request at all completes the document.
#[test]
fn what_is_complete_already_is_verified_before_it_is_published() {
    let content = noise(SIZE);
    for (provider, right) in [
        ("sm", true),
        ("sm", false),
        ("onecodex", true),
        ("onecodex", false),
    ] {
        let body = if right {
            content.clone()
        } else {
            wrong(&content)
        };
        let (stored, sha) = (body.clone(), base64(&content));
        let (api, storage) = both("/x.bin", move |request, stream| {
            let most = if request.before == 0 { SIZE - 1 } else { SIZE };
            send(
                request,
                stream,
                &stored,
                most,
                &[("x-amz-checksum-sha256", &sha)],
            );
        });
        let world = World::new(&api.base());
        world.run(&[provider, "a", "--retries", "0"]).exits(5);
        // As if it had been killed right after the last byte.
        let (path, sidecar) = partial(&world);
        let mut noted = read_sidecar(&sidecar);
        fs::write(&path, &body).unwrap();
        let mut crc = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
        crc.update(&body);
        let crc = format!("{:016x}", crc.finalize());
        noted["extents"] = serde_json::json!([{
            "start": 0, "synced": SIZE, "pieces": [{"end": SIZE, "crc": crc}], "written": [],
        }]);
        write_sidecar(&sidecar, &noted);
        let run = world.run(&[provider, "a", "--json"]);
        if right {
            assert_eq!(run.exits(0).records()[0]["resumed_from"], SIZE);
            assert!(world.read("x.bin") == content);
        } else {
            assert_eq!(run.exits(6).error_code(), "digest_mismatch");
            assert!(!world.out().join("x.bin").exists());
        }
        assert_eq!(storage.seen().len(), if provider == "sm" { 2 } else { 1 });
    }
}

/// docfetch expects no checksum of another representation, of which no byte came.
#[test]
fn the_checksum_of_a_body_that_brought_nothing_is_forgotten() {
    let content = noise(SIZE);
    let body = content.clone();
    let (api, _) = both("/x.bin", move |request, stream| match request.before {
        0 => {
            let other = base64(b"other");
            let headers = [("ETag", "\"v0\""), ("x-amz-checksum-sha256", &*other)];
            head(stream, "200 OK", &headers, Some(SIZE));
        }
        _ => serve(request, stream, &body, TAG),
    });
    let world = World::new(&api.base());
    world.run(&["sm", "a"]).exits(0);
    assert!(world.read("x.bin") == content);
}

/// One Codex with metadata, and Standard Metrics; the storage's `Content-MD5` is of other bytes while
/// `stale`.
fn stale(content: &[u8], tag: &'static str, stale: Arc<AtomicBool>) -> (Raw, Raw) {
    let body = content.to_vec();
    let storage = Raw::start(move |request, stream| {
        let md5 = ("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="); // of nothing
        let headers = [("ETag", tag), md5];
        let told = if stale.load(Ordering::Relaxed) {
            &headers[..]
        } else {
            &headers[..1]
        };
        let told = if tag.is_empty() { &told[1..] } else { told };
        if request.header("range").is_some() {
            return serve(request, stream, &body, tag);
        }
        reply(stream, "200 OK", told, &body);
    });
    let url = presigned(&storage.base(), "/in-url.bin");
    let api = Raw::start(move |request, stream| {
        if request.method == "GET" && request.path().starts_with("/api/v1/documents/") {
            return reply(stream, "200 OK", &[], br#"{"filename":"by metadata.bin"}"#);
        }
        api(request, stream, &url);
    });
    (api, storage)
}

#[test]
fn a_digest_of_the_user_decides_over_the_storages_checksum() {
    let content = noise(1000);
    let (api, _) = stale(&content, TAG, Arc::new(AtomicBool::new(true)));
    let world = World::new(&api.base());
    let run = world.run(&["sm", "a", "--sha256", &sha256(&content)]);
    run.exits(0)
        .says("warning: the document does not have the MD5 that the storage announced");
    assert!(world.read("in-url.bin") == content);
}

#[test]
fn bytes_that_the_storages_checksum_refuses_are_kept_and_published_by_their_digest() {
    let content = noise(SIZE);
    let digest = sha256(&content);
    for (provider, tag, name) in [
        ("sm", TAG, "in-url.bin"),
        ("sm", "", "in-url.bin"),
        ("onecodex", TAG, "by metadata.bin"),
        ("onecodex", "W/\"weak\"", "by metadata.bin"),
    ] {
        let (api, storage) = stale(&content, tag, Arc::new(AtomicBool::new(true)));
        let world = World::new(&api.base());
        let run = world.run(&[provider, "a", "--json"]);
        assert_eq!(run.exits(6).error_code(), "digest_mismatch");
        let error = &run.records()[0]["error"];
        assert!(
            error["message"].as_str().unwrap().contains(&digest),
            "{error}"
        );
        assert!(
            error["hint"]
                .as_str()
                .unwrap()
                .contains(&format!("--sha256 {digest}")),
            "{error}"
        );
        partial(&world);
        let requests = api.seen().len() + storage.seen().len();
        let run = world.run(&[provider, "a", "--json", "--sha256", &digest]);
        let record = run.exits(0).records().remove(0);
        assert_eq!(
            (&record["bytes"], &record["sha256"]),
            (&SIZE.into(), &(*digest).into())
        );
        assert_eq!(
            (&record["attempts"], &record["resolves"]),
            (&0.into(), &0.into())
        );
        assert_eq!(requests, api.seen().len() + storage.seen().len());
        assert_eq!(world.files(), [name]);
        assert!(world.read(name) == content);
        if provider == "onecodex" {
            let ledger = world.run(&["ledger", "list"]);
            assert!(ledger.stdout.contains("delivered"), "{ledger:#?}");
        }
    }
}

#[test]
fn refused_bytes_come_again_without_their_digest_and_are_paid_for_once() {
    let content = noise(SIZE);
    for provider in ["sm", "onecodex"] {
        let is_stale = Arc::new(AtomicBool::new(true));
        let (api, storage) = stale(&content, TAG, Arc::clone(&is_stale));
        let world = World::new(&api.base());
        for times in 1..=2 {
            world.run(&[provider, "a"]).exits(6);
            assert_eq!(storage.seen().len(), times);
            assert!(storage.seen()[times - 1].header("range").is_none());
        }
        // Another digest is of other bytes: they come again, too, and are not kept.
        world
            .run(&[provider, "a", "--sha256", &sha256(b"other")])
            .exits(6);
        world.run(&[provider, "a"]).exits(6);
        is_stale.store(false, Ordering::Relaxed);
        let run = world.run(&[provider, "a", "--json"]);
        assert_eq!(run.exits(0).records()[0]["resumed_from"], 0);
        assert_eq!(
            api.count("POST", "/download_uri"),
            usize::from(provider == "onecodex")
        );
    }
}

#[test]
fn refused_bytes_that_were_torn_since_are_not_published() {
    let content = noise(SIZE);
    let (api, storage) = stale(&content, TAG, Arc::new(AtomicBool::new(true)));
    let world = World::new(&api.base());
    world.run(&["sm", "a"]).exits(6);
    let (path, _) = partial(&world);
    fs::write(&path, wrong(&content)).unwrap();
    world
        .run(&["sm", "a", "--sha256", &sha256(&content)])
        .exits(0);
    assert_eq!(storage.seen().len(), 2);
    assert!(world.read("in-url.bin") == content);
}

#[test]
fn refused_bytes_whose_url_is_over_are_neither_paid_for_again_nor_lost() {
    let content = noise(SIZE);
    let body = content.clone();
    let (api, storage) = both("/x.bin", move |request, stream| match request.before {
        0 => reply(
            stream,
            "200 OK",
            &[("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==")],
            &body,
        ),
        _ => {
            let expired =
                b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
            reply(stream, "403 Forbidden", &[], expired);
        }
    });
    let world = World::new(&api.base());
    world.run(&["onecodex", "a"]).exits(6);
    let run = world.run(&["onecodex", "a", "--json"]);
    assert_eq!(run.exits(6).error_code(), "digest_mismatch");
    let hint = run.records()[0]["error"]["hint"].clone();
    assert!(hint.as_str().unwrap().contains(&sha256(&content)), "{hint}");
    assert_eq!(storage.seen().len(), 2);
    world
        .run(&["onecodex", "a", "--sha256", &sha256(&content)])
        .exits(0);
    assert!(world.read("x.bin") == content);
    assert_eq!(api.count("POST", "/download_uri"), 1);
}

#[test]
fn a_paid_document_whose_target_appeared_with_another_content_is_kept() {
    let content = noise(SIZE);
    let (body, target) = (content.clone(), Arc::new(OnceLock::<PathBuf>::new()));
    let appearing = Arc::clone(&target);
    let (api, storage) = both("/x.bin", move |request, stream| {
        fs::write(appearing.get().unwrap(), "of another process").unwrap();
        serve(request, stream, &body, TAG);
    });
    let world = World::new(&api.base());
    target.set(world.out().join("a.bin")).unwrap();
    let digest = sha256(&content);
    let fetching = ["onecodex", "a", "-o", "a.bin", "--sha256", &digest];
    let skipping = [&fetching[..], &["--if-exists", "skip", "--json"]].concat();
    for _ in 0..2 {
        let run = world.run(&skipping);
        assert_eq!(run.exits(6).error_code(), "digest_mismatch");
        assert_eq!(world.read("a.bin"), b"of another process");
        partial(&world);
    }
    let requests = (api.count("POST", "/download_uri"), storage.seen().len());
    assert_eq!(requests, (1, 1));
    let overwriting = [&fetching[..], &["--if-exists", "overwrite"]].concat();
    world.run(&overwriting).exits(0);
    assert_eq!(world.files(), ["a.bin"]);
    assert!(world.read("a.bin") == content);
    assert_eq!(storage.seen().len(), 1);
    assert_eq!(api.count("POST", "/download_uri"), 1);
}
