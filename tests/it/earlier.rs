//! docfetch uses the files that version 0.1.0, as of commit a8e9f6a, left behind. That version wrote them into
//! `tests/data/earlier`. Only partials that a power failure cut off are written here, in the form of that version.

pub mod data;
pub mod services;

use crate::support::raw::{Raw, api, presigned};
use crate::support::{API_KEY, CLIENT_ID, TOKEN, World, noise};
use crc_fast::{CrcAlgorithm, checksum};
use data::{COMMANDS, KINDS};
use jiff::Timestamp;
use serde_json::Value;
use services::{Services, content, sent};
use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

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

/// The id and the state of every record of one kind.
fn states(records: &[Value], kind: &str) -> Vec<(String, String)> {
    let of_kind = records.iter().filter(|record| record["resource"] == kind);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut states: Vec<_> = of_kind
        .map(|record| (text(&record["id"]), text(&record["state"])))
        .collect();
    states.sort();
    states
}

#[test]
fn every_record_is_listed() {
    let services = Services::start(false);
    let world = data::world(&services, "files");
    let listed = world.run(&["ledger", "list", "--json"]);
    let records = listed.exits(0).records();
    let expected = [
        ("answered", "answered"),
        ("attempting", "doubtful"),
        ("delivered", "delivered"),
        ("delivered-expired", "delivered"),
        ("doubtful", "doubtful"),
        ("expired", "answered"),
        ("killed", "answered"),
        ("m1", "delivered"),
        ("m2", "delivered"),
        ("m3", "answered"),
        ("stopped", "answered"),
    ];
    let expected = expected.map(|(id, state)| (id.to_owned(), state.to_owned()));
    for kind in KINDS {
        assert_eq!(states(&records, kind), expected, "{kind}");
    }
    assert_eq!(records.len(), KINDS.len() * expected.len());
}

#[test]
fn what_was_paid_for_is_not_paid_again() {
    let services = Services::start(false);
    let mut world = data::world(&services, "files");
    for kind in KINDS {
        for id in ["delivered", "answered", "stopped", "killed"] {
            let arguments = [&data::fetch_of(kind, id)[..], &["-d", "new"]].concat();
            world.run(&arguments).exits(0);
            fs::remove_dir_all(world.out().join("new")).unwrap();
        }
        for id in ["expired", "doubtful", "attempting"] {
            world.run(&data::fetch_of(kind, id)).exits(8);
        }
    }
    assert_eq!(services.charges(), 0);
    // A base of the same API finds the same records.
    world.set("ONE_CODEX_API_BASE", "https://APP.onecodex.com:443/api/v1/");
    for kind in KINDS {
        world.run(&data::fetch_of(kind, "doubtful")).exits(8);
    }
    assert_eq!(services.charges(), 0);
    // A document that was delivered may be bought again once its URL has expired.
    for kind in KINDS {
        let arguments = [
            &data::fetch_of(kind, "delivered-expired")[..],
            &["-d", kind],
        ]
        .concat();
        world.run(&arguments).exits(0);
    }
    assert_eq!(services.charges(), KINDS.len());
}

#[test]
fn the_partial_of_a_stopped_and_of_a_killed_process_is_resumed() {
    let services = Services::start(false);
    let world = data::world(&services, "files");
    for (command, kind) in COMMANDS {
        let folder = format!("partials/{kind}");
        for id in ["stopped", "killed"] {
            let run = world.run(&[command, &[id, "-d", &folder, "--json"]].concat());
            let record = &run.exits(0).records()[0];
            let path = world.out().join(record["path"].as_str().unwrap());
            assert_eq!(fs::read(path).unwrap(), content(id), "{kind} {id}");
            let requests = services.storage.seen();
            let request = requests.last().unwrap();
            assert_eq!(request.path(), format!("/{kind}/{id}"));
            let from = record["resumed_from"].as_u64().unwrap();
            let range = format!("bytes={from}-");
            assert_eq!(request.header("range"), Some(&*range));
            // A process that was killed noted its bytes in pieces of 64 KiB.
            let least = match id {
                "killed" => 64 << 10,
                _ => sent(id),
            };
            assert!((least..=sent(id)).contains(&usize::try_from(from).unwrap()));
        }
    }
    assert_eq!(services.charges(), 0);
    let left = data::paths(&world.out().join("partials"));
    assert_eq!(left.len(), 2 * COMMANDS.len(), "{left:?}");
}

#[test]
fn the_token_is_used() {
    let services = Services::start(false);
    let mut world = data::world(&services, "files");
    world.run(&["sm", "new"]).exits(0);
    world.set(
        "STANDARD_METRICS_API_BASE",
        "https://api.standardmetrics.io/v1/",
    );
    world.run(&["sm", "newer"]).exits(0);
    let sent = services.standard_metrics.seen();
    assert_eq!(sent.len(), 2, "{sent:?}");
    let bearer = format!("Bearer {TOKEN}");
    for request in sent {
        assert_eq!(request.header("authorization"), Some(&*bearer));
    }
}

/// Adds a number of milliseconds to a time in the record of a rate budget.
fn shift(time: &mut Value, milliseconds: i64) {
    *time = (time.as_i64().unwrap() + milliseconds).into();
}

/// The record of a rate budget, as if that version had written it `ago` milliseconds ago, and its path.
fn budget_of(world: &World, ago: i64) -> (Value, PathBuf) {
    let path = world.record("budgets");
    let mut log: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let requests = log["requests"].as_array_mut().unwrap();
    let answered = requests.last().unwrap()["answered"].as_i64().unwrap();
    let later = Timestamp::now().as_millisecond() - ago - answered;
    for request in requests {
        shift(&mut request["at"], later);
        shift(&mut request["answered"], later);
    }
    if !log["held_until"].is_null() {
        shift(&mut log["held_until"], later);
    }
    (log, path)
}

#[test]
fn a_retry_after_holds_the_requests() {
    let services = Services::start(false);
    let world = data::world(&services, "held");
    let (log, path) = budget_of(&world, 60_000);
    fs::write(&path, log.to_string()).unwrap();
    let run = world.run(&["sm", "a", "--json"]);
    assert_eq!(run.exits(5).error_code(), "rate_limited");
    assert_eq!(services.standard_metrics.seen().len(), 0);
}

#[test]
fn requests_of_that_version_count() {
    let services = Services::start(false);
    // 30 requests in 10 seconds, and 120 in a minute.
    for (count, ago, waits) in [
        (29, 1000, false),
        (30, 1000, true),
        (30, 12_000, false),
        (119, 20_000, false),
        (120, 20_000, true),
    ] {
        let world = data::world(&services, "files");
        let (mut log, path) = budget_of(&world, ago);
        let request = log["requests"][0].clone();
        let requests = (0..count).map(|key| {
            let mut request = request.clone();
            request["key"] = key.into();
            request
        });
        log["requests"] = requests.collect();
        fs::write(&path, log.to_string()).unwrap();
        let (child, stderr) = world.spawn_logging(&["sm", "a", "-v"]);
        if waits {
            world.wait_for_text(&stderr, "s for the rate budget");
            crate::support::kill(child);
            assert_eq!(world.file_ending(".bin"), None);
        } else {
            world.finish(child, Instant::now()).exits(0);
            let stderr = fs::read_to_string(stderr).unwrap();
            assert!(!stderr.contains("rate budget"), "{count} {ago}: {stderr}");
        }
    }
}

#[test]
fn a_mirror_is_up_to_date_but_for_the_document_that_was_cut_off() {
    let services = Services::start(false);
    let world = data::world(&services, "files");
    for (command, kind) in COMMANDS {
        let folder = format!("mirrors/{kind}");
        let before = services.storage.seen().len();
        let run = world.run(&[&["sync"], command, &[&folder, "--verify", "--json"]].concat());
        let records = run.exits(0).records();
        let seen = records.iter().filter(|record| record["type"] == "document");
        let mut seen: Vec<_> = seen
            .map(|record| {
                let text = |name: &str| record[name].as_str().unwrap().to_owned();
                (text("id"), text("status"), record["resumed_from"].as_u64())
            })
            .collect();
        seen.sort();
        let expected = [
            ("m1", "skipped", None),
            ("m2", "skipped", None),
            ("m3", "fetched", Some(sent("m3") as u64)),
        ];
        let expected = expected.map(|(id, status, from)| (id.to_owned(), status.to_owned(), from));
        assert_eq!(seen, expected, "{folder}: {records:#?}");
        assert_eq!(services.storage.seen().len(), before + 1);
        let manifest = format!("{folder}/.docfetch/manifest.jsonl");
        world.run(&["verify", &manifest]).exits(0);
    }
    assert_eq!(services.charges(), 0);
    assert_eq!(services.standard_metrics.count("POST", ""), 0);
}

#[test]
fn a_manifest_is_verified() {
    let services = Services::start(false);
    let world = data::world(&services, "files");
    world.run(&["verify", "fetched.jsonl"]).exits(0);
}

/// The last line of each record of the ledger, with the lifetime of the URL in hours in place of times.
fn retrievals(world: &World) -> Vec<Value> {
    let Ok(entries) = fs::read_dir(world.state().join("ledger")) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let mut record: Value = serde_json::from_str(text.lines().next_back().unwrap()).unwrap();
        let time = |value: &Value| {
            value
                .as_str()
                .map(|text| text.parse::<Timestamp>().unwrap())
        };
        let asked = time(&record["asked"]).unwrap();
        if let Some(expires) = time(&record["answer"]["expires"]) {
            record["answer"]["expires"] = expires.duration_since(asked).as_hours().into();
        }
        record.as_object_mut().unwrap().remove("asked");
        record
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn files_have_the_names_and_the_form_of_that_version() {
    let services = Services::start(false);
    let (files, held) = data::make(env!("CARGO_BIN_EXE_docfetch"));
    for (new, name) in [(files, "files"), (held, "held")] {
        let old = data::world(&services, name);
        for kind in ["ledger", "tokens", "budgets"] {
            let of = |world: &World| {
                let folder = world.state().join(kind);
                folder.is_dir().then(|| data::paths(&folder))
            };
            assert_eq!(of(&new), of(&old), "{kind}");
        }
        assert_eq!(retrievals(&new), retrievals(&old));
        let rates = |world: &World| {
            let log: Value =
                serde_json::from_slice(&fs::read(world.record("budgets")).unwrap()).unwrap();
            (log["window"].clone(), log["most"].clone())
        };
        assert_eq!(rates(&new), rates(&old));
        assert_eq!(data::paths(&new.out()), data::paths(&old.out()));
    }
}
