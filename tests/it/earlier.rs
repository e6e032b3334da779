//! docfetch uses the files that version 0.1.0, as of commit a8e9f6a, left behind. The texts here are what
//! that version wrote; only addresses, names and times are filled in.

use crate::support::raw::{Raw, api, head, presigned};
use crate::support::{API_KEY, CLIENT_ID, World, noise};
use crc_fast::{CrcAlgorithm, checksum};
use jiff::{SignedDuration, Timestamp};
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

const TAG: &str = "\"e7c935532923fe0d975fec53acaaf741\"";

/// The names of that version's records and partials: the first half of a SHA-256 over lengths and values.
fn fingerprint(parts: &[&str]) -> String {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part.as_bytes());
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let first = digest.as_ref().iter().take(16);
    first.map(|byte| format!("{byte:02x}")).collect()
}

pub fn write_private(path: &Path, bytes: &[u8]) {
    let folder = path.parent().unwrap();
    fs::create_dir_all(folder).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// The base as it is hashed: with a slash at its end.
fn base_of(api: &Raw) -> String {
    format!("{}/", api.base())
}

/// Writes a ledger record of the document `a`.
fn record(world: &World, api: &Raw, state: &str, answer: &str) {
    let account = fingerprint(&["onecodex", &base_of(api), API_KEY]);
    let name = format!("{account}-{}.json", fingerprint(&["a"]));
    let asked = Timestamp::now() - SignedDuration::from_mins(5);
    let line = |state: &str, answer: &str| {
        let base = api.base();
        format!(
            r#"{{"version":1,"provider":"onecodex","base":"{base}","id":"a","state":"{state}","asked":"{asked}","answer":{answer}}}"#
        ) + "\n"
    };
    let text = line("attempting", "null") + &line(state, answer);
    let ledger = world.state().join("ledger");
    write_private(&ledger.join(name), text.as_bytes());
    for folder in [world.state(), ledger] {
        fs::set_permissions(folder, Permissions::from_mode(0o700)).unwrap();
    }
}

fn answer(url: &str, ends_in: SignedDuration, over: bool) -> String {
    let expires = Timestamp::now() + ends_in;
    format!(r#"{{"url":"{url}","expires":"{expires}","over":{over}}}"#)
}

/// Writes a partial with a sidecar: `synced` bytes that were on disk, and the rest with their CRC.
fn partial(world: &World, key: &str, content: &[u8], held: usize, synced: usize) {
    let crc = |bytes: &[u8]| format!("{:016x}", checksum(CrcAlgorithm::Crc64Nvme, bytes));
    let written = if held > synced {
        let crc = crc(&content[synced..held]);
        format!(r#"{{"end":{held},"crc":"{crc}"}}"#)
    } else {
        String::new()
    };
    let tag = TAG.replace('"', "\\\"");
    let sidecar = format!(
        r#"{{"extents":[{{"start":0,"synced":{synced},"written":[{written}]}}],"etag":"{tag}","total":{},"name":{{"told":"x.bin","in_url":"x.bin"}}}}"#,
        content.len()
    );
    let seal = crc(&[&7u64.to_be_bytes()[..], sidecar.as_bytes()].concat());
    let text = format!(r#"{{"turn":7,"sidecar":{sidecar},"seal":"{seal}"}}"#);
    let path = world.out().join(format!(".docfetch-{key}.part"));
    write_private(&path, &content[..held]);
    write_private(&path.with_extension("json"), text.as_bytes());
}

/// Writes a partial of one document that lacks the end of `content`, and its sidecar.
pub fn partial_of(world: &World, identity: &[&str], content: &[u8], held: usize) {
    partial(world, &fingerprint(identity), content, held, held);
}

fn storage(content: Vec<u8>) -> Raw {
    Raw::start(move |request, stream: &mut TcpStream| {
        crate::support::raw::serve(request, stream, &content, TAG);
    })
}

fn charging(storage: &Raw) -> Raw {
    let url = presigned(&storage.base(), "/x.bin");
    Raw::start(move |request, stream| api(request, stream, &url))
}

#[test]
fn a_recorded_url_is_used() {
    let storage = storage(b"content".to_vec());
    let api = charging(&storage);
    for state in ["answered", "delivered"] {
        let world = World::new(&api.base());
        let url = presigned(&storage.base(), "/recorded.bin");
        record(
            &world,
            &api,
            state,
            &answer(&url, SignedDuration::from_mins(55), false),
        );
        world.run(&["onecodex", "a", "-o", "x"]).exits(0);
        assert_eq!(world.read("x"), b"content");
    }
    assert_eq!(api.count("POST", "/"), 0);
    assert_eq!(storage.count("GET", "/recorded.bin"), 2);
}

#[test]
fn a_doubt_and_an_expired_url_refuse() {
    let storage = storage(b"content".to_vec());
    let api = charging(&storage);
    let url = presigned(&storage.base(), "/recorded.bin");
    let over = answer(&url, SignedDuration::ZERO, true);
    for (state, answer) in [
        ("attempting", "null"),
        ("doubtful", "null"),
        ("answered", &over),
    ] {
        let world = World::new(&api.base());
        record(&world, &api, state, answer);
        world.run(&["onecodex", "a"]).exits(8);
        let listed = world.run(&["ledger", "list", "--json"]).records();
        assert_eq!(listed[0]["resource"], "documents");
    }
    assert_eq!((api.count("POST", "/"), storage.seen().len()), (0, 0));
}

#[test]
fn a_partial_is_resumed_where_it_stopped() {
    let content = noise(300_000);
    for (held, synced) in [(200_000, 0), (200_000, 200_000), (200_000, 65_536)] {
        let storage = storage(content.clone());
        let api = charging(&storage);
        for (provider, account) in [("sm", CLIENT_ID), ("onecodex", API_KEY)] {
            let world = World::new(&api.base());
            let key = fingerprint(&[provider, &base_of(&api), account, "a", ""]);
            partial(&world, &key, &content, held, synced);
            let run = world.run(&[provider, "a", "--json"]);
            assert_eq!(
                run.exits(0).records()[0]["resumed_from"],
                held,
                "{provider}"
            );
            assert_eq!(
                (world.files(), world.read("x.bin")),
                (vec!["x.bin".to_owned()], content.clone())
            );
        }
    }
}

#[test]
fn a_mirror_is_up_to_date() {
    let row = r#"{"$uri":"/api/v1/documents/a","created_at":"2026-10-01T08:30:00Z","filename":"x.bin","size":7}"#;
    let api = Raw::start(move |request, stream| {
        assert_eq!(request.header("x-api-key"), Some(API_KEY));
        head(
            stream,
            "200 OK",
            &[("X-Total-Count", "1")],
            Some(row.len() + 2),
        );
        let _ = write!(stream, "[{row}]");
    });
    let world = World::new(&api.base());
    fs::create_dir(world.out().join("m")).unwrap();
    fs::write(world.out().join("m/x.bin"), b"content").unwrap();
    let line = |kind: &str, attempts: u32| {
        let sha256 = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
        format!(
            r#"{{"type":"{kind}","provider":"onecodex","id":"a","status":"fetched","path":"x.bin","name":"x.bin","bytes":7,"sha256":"{sha256}","media_type":null,"etag":null,"resumed_from":0,"attempts":{attempts},"resolves":{attempts},"elapsed_ms":6,"resource":"documents","modified":"2026-10-01T08:30:00Z","size":7}}"#
        ) + "\n"
    };
    let manifest = line("publishing", 0) + &line("document", 1);
    write_private(
        &world.out().join("m/.docfetch/manifest.jsonl"),
        manifest.as_bytes(),
    );
    let run = world.run(&["sync", "onecodex", "m", "--verify", "--json"]);
    assert_eq!(run.exits(0).records()[0]["status"], "skipped");
    assert_eq!(api.seen().len(), 1, "{:?}", api.seen());
    world
        .run(&["verify", "m/.docfetch/manifest.jsonl"])
        .exits(0);
}
