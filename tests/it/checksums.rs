//! Documents are compared with the checksums that the API tells of them.

use crate::support::raw::{Raw, Request, presigned, reply, send_part, serve};
use crate::support::{World, kill, noise, sha256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Digest as _;
use ring::digest;
use serde_json::{Value, json};
use std::net::TcpStream;
use std::time::Duration;

const SIZE: usize = 3_000_000;
const TAG: &str = "\"v1\"";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest of an algorithm, by its name in tables.
fn digest_of(algorithm: &str, content: &[u8]) -> Vec<u8> {
    let ring = |algorithm| digest::digest(algorithm, content).as_ref().to_vec();
    match algorithm {
        "sha256" => ring(&digest::SHA256),
        "sha512" => ring(&digest::SHA512),
        "sha1" => ring(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        "md5" => md5::Md5::digest(content).to_vec(),
        "crc32c" => {
            let mut crc = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
            crc.update(content);
            crc.finalize().to_be_bytes()[4..].to_vec()
        }
        other => panic!("{other}"),
    }
}

/// A service with the provider `lab`: its metadata are `metadata`, with this `checksum` in the table, and its storage
/// answers with `storage`.
struct Lab {
    world: World,
    api: Raw,
    storage: Raw,
}

impl Lab {
    fn new(
        checksum: &str,
        metadata: Value,
        storage: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let metadata_route =
            format!("{{ path = '/files/{{id}}', name = '/name', checksum = {checksum} }}");
        let resolve = "{ path = '/files/{id}/link', url = '/url' }";
        Self::of(
            &format!("metadata = {metadata_route}\nresolve = {resolve}"),
            metadata,
            storage,
        )
    }

    fn of(
        table: &str,
        answer: Value,
        storage: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let storage = Raw::start(storage);
        let url = presigned(&storage.base(), "/object.bin");
        let api = Raw::start(move |request, stream| {
            let json = [
                ("Content-Type", "application/json"),
                ("X-Sum", answer["in_header"].as_str().unwrap_or("")),
            ];
            let mut answer = answer.clone();
            answer["url"] = json!(url);
            match request.path() {
                "/files" | "/files/a" => {
                    reply(stream, "200 OK", &json, answer.to_string().as_bytes())
                }
                path if path.ends_with("/link") => {
                    reply(stream, "200 OK", &json, answer.to_string().as_bytes())
                }
                _ => reply(stream, "404 Not Found", &json, b"{}"),
            }
        });
        let world = World::bare();
        let folder = world.home().join(".config/docfetch");
        std::fs::create_dir_all(&folder).unwrap();
        let text = format!(
            "[providers.lab]\ntitle = 'The Lab'\nbase = '{}'\nauth = {{ type = 'none' }}\n{table}\n",
            api.base()
        );
        std::fs::write(folder.join("config.toml"), text).unwrap();
        Self {
            world,
            api,
            storage,
        }
    }
}

#[test]
fn each_algorithm_is_compared_in_hexadecimal_and_in_base64() {
    let content = noise(SIZE);
    for algorithm in ["sha256", "sha512", "sha1", "md5", "crc32c"] {
        let right = digest_of(algorithm, &content);
        let mut wrong = right.clone();
        wrong[3] ^= 1;
        for (encoding, sum, exit) in [
            ("hex", hex(&right), 0),
            ("hex", hex(&right).to_uppercase(), 0),
            ("base64", STANDARD.encode(&right), 0),
            ("hex", hex(&wrong), 6),
            ("base64", STANDARD.encode(&wrong), 6),
        ] {
            let rule =
                format!("{{ at = '/sum', algorithm = '{algorithm}', encoding = '{encoding}' }}");
            let bytes = content.clone();
            let lab = Lab::new(
                &rule,
                json!({"name": "n.bin", "sum": sum}),
                move |request, stream| {
                    serve(request, stream, &bytes, TAG);
                },
            );
            let run = lab.world.run(&["lab", "a", "--json"]);
            run.exits(exit);
            let is_there = lab.world.out().join("n.bin").exists()
                || lab.world.out().join("object.bin").exists();
            assert_eq!(is_there, exit == 0, "{algorithm} {encoding} {sum}");
            if exit == 6 {
                assert_eq!(run.error_code(), "digest_mismatch");
                run.says("that the API tells").says(&sha256(&content));
            }
        }
    }
}

#[test]
fn a_checksum_is_found_in_a_header_in_the_id_and_in_the_answer_with_the_url() {
    let content = noise(SIZE);
    let sum = hex(&digest_of("sha1", &content));
    let resolve = |rule: &str| {
        format!("resolve = {{ path = '/files/{{id}}/link', url = '/url', checksum = {rule} }}")
    };
    let wrong = "00".repeat(20);
    for (rule, answer) in [
        ("{ at = '/sum', algorithm = 'sha1' }", "sum"),
        ("{ at = '/sum', algorithm_at = '/kind' }", "sum"),
        ("{ at = '/prefixed', encoding = 'prefixed' }", "prefixed"),
        ("{ header = 'X-Sum', algorithm = 'sha1' }", "in_header"),
    ] {
        for (value, exit) in [(&sum, 0), (&wrong, 6)] {
            let value = if answer == "prefixed" {
                format!("SHA-1:{value}")
            } else {
                value.clone()
            };
            let bytes = content.clone();
            let lab = Lab::of(
                &resolve(rule),
                json!({answer: value, "kind": "SHA-1"}),
                move |request, stream| {
                    serve(request, stream, &bytes, TAG);
                },
            );
            lab.world.run(&["lab", "a"]).exits(exit);
            assert_eq!(
                lab.world.out().join("object.bin").exists(),
                exit == 0,
                "{rule}"
            );
        }
    }
    let by_id = "id = ['repo', 'oid']\nresolve = { path = '/files/{repo}/{oid}/link', url = '/url', \
                 checksum = { part = 'oid', algorithm = 'sha1' } }";
    for (oid, exit) in [(&sum, 0), (&wrong, 6)] {
        let bytes = content.clone();
        let lab = Lab::of(by_id, json!({}), move |request, stream| {
            serve(request, stream, &bytes, TAG)
        });
        lab.world.run(&["lab", &format!("r/{oid}")]).exits(exit);
    }
}

#[test]
fn all_usable_checksums_must_match_and_the_others_are_passed_over() {
    let content = noise(SIZE);
    let right = |algorithm: &str| hex(&digest_of(algorithm, &content));
    let rules = "[{ at = '/sums/*/value', algorithm_at = '/sums/*/kind' }, { at = '/digest', encoding = 'prefixed' }]";
    let sums = |last: &str| {
        json!({"name": "n.bin", "digest": null, "sums": [
            {"kind": "trunc512", "value": "00"},
            {"kind": "MD5", "value": right("md5")},
            {"kind": "sha-256", "value": right("sha256")},
            {"kind": "etag", "value": "abc-3"},
            {"kind": "crc32c", "value": last},
            {"kind": "sha512", "value": "00"},
        ]})
    };
    for (last, exit) in [(right("crc32c"), 0), ("00000000".to_owned(), 6)] {
        let bytes = content.clone();
        let lab = Lab::new(rules, sums(&last), move |request, stream| {
            serve(request, stream, &bytes, TAG)
        });
        let run = lab.world.run(&["lab", "a"]);
        run.exits(exit);
        if exit == 6 {
            run.says("CRC-32C");
        }
    }
    let no_check = json!({"name": "n.bin", "digest": null, "sums": []});
    let bytes = content.clone();
    let lab = Lab::new(rules, no_check, move |request, stream| {
        serve(request, stream, &bytes, TAG)
    });
    lab.world.run(&["lab", "a"]).exits(0);
}

#[test]
fn a_digest_of_the_user_decides_over_the_checksum_of_the_api() {
    let content = noise(SIZE);
    let digest = sha256(&content);
    let bytes = content.clone();
    let wrong = json!({"name": "n.bin", "sum": "00".repeat(16)});
    let lab = Lab::new(
        "{ at = '/sum', algorithm = 'md5' }",
        wrong,
        move |request, stream| {
            serve(request, stream, &bytes, TAG);
        },
    );
    let run = lab.world.run(&["lab", "a"]);
    run.exits(6).says(&format!("--sha256 {digest}"));
    let before = lab.storage.seen().len();
    lab.world.run(&["lab", "a", "--sha256", &digest]).exits(0);
    assert_eq!(lab.storage.seen().len(), before, "the bytes are here");
    let run = lab
        .world
        .run(&["lab", "a", "--sha256", &digest, "-o", "again.bin"]);
    run.exits(0)
        .says("warning: the document does not have the MD5 that the API tells");
    let file = lab.world.read("again.bin");
    assert!(file == content);
}

#[test]
fn bytes_of_a_killed_run_are_hashed_from_the_disk() {
    let content = noise(SIZE);
    for exit in [0, 6] {
        let mut sum = digest_of("md5", &content);
        sum[0] ^= u8::from(exit == 6);
        let bytes = content.clone();
        let metadata = json!({"name": "n.bin", "sum": hex(&sum)});
        let lab = Lab::new(
            "{ at = '/sum', algorithm = 'md5' }",
            metadata,
            move |request, stream| {
                if request.before == 0 {
                    send_part(request, stream, &bytes, TAG, 2_000_000);
                    return std::thread::sleep(Duration::from_secs(20));
                }
                serve(request, stream, &bytes, TAG);
            },
        );
        let child = lab.world.command(&["lab", "a"]).spawn().unwrap();
        lab.world.wait_for_partial(1_000_000);
        std::thread::sleep(Duration::from_secs(3)); // the sidecar is written every 2 s
        kill(child);
        lab.world.run(&["lab", "a"]).exits(exit);
        assert!(
            lab.storage.seen()[1]
                .range_start()
                .is_some_and(|start| start > 0)
        );
    }
}

#[test]
fn a_checksum_goes_to_standard_output_and_stops_a_wrong_document() {
    let content = noise(SIZE);
    for exit in [0, 6] {
        let mut sum = digest_of("sha512", &content);
        sum[0] ^= u8::from(exit == 6);
        let bytes = content.clone();
        let metadata = json!({"name": "n.bin", "sum": hex(&sum)});
        let lab = Lab::new(
            "{ at = '/sum', algorithm = 'sha512' }",
            metadata,
            move |request, stream| {
                serve(request, stream, &bytes, TAG);
            },
        );
        let run = lab.world.run(&["lab", "a", "-o", "-"]);
        run.exits(exit);
        assert_eq!(lab.api.count("GET", "/files/a/link"), 1);
    }
}

#[test]
fn a_checksum_confirms_a_document_that_starts_as_html() {
    let page = b"<!doctype html><html><body>a report</body></html>".to_vec();
    for (sum, exit) in [(digest_of("md5", &page), 0), (vec![0; 16], 5)] {
        let bytes = page.clone();
        let metadata = json!({"name": "report.pdf", "sum": hex(&sum)});
        let lab = Lab::new(
            "{ at = '/sum', algorithm = 'md5' }",
            metadata,
            move |request, stream| {
                serve(request, stream, &bytes, TAG);
            },
        );
        lab.world.run(&["lab", "a", "--retries", "0"]).exits(exit);
    }
}

#[test]
fn a_media_type_that_the_table_refuses_is_an_error() {
    let page = b"<!doctype html><html><body>log in</body></html>".to_vec();
    let problem = br#"{"error":"no such file"}"#.to_vec();
    let resolve = "resolve = { path = '/files/{id}/link', url = '/url' }";
    for (refuse, media_type, body, refused) in [
        ("['text/html']", "application/octet-stream", &page, true),
        ("['text/html']", "application/json", &problem, false),
        (
            "['application/json']",
            "Application/JSON; charset=utf-8",
            &problem,
            true,
        ),
    ] {
        let bytes = body.clone();
        let name = [
            ("Content-Disposition", "attachment; filename=\"x.html\""),
            ("Content-Type", media_type),
        ];
        let table = format!("refuse = {refuse}\n{resolve}");
        let lab = Lab::of(&table, json!({}), move |_, stream| {
            reply(stream, "200 OK", &name, &bytes)
        });
        let run = lab.world.run(&["lab", "a", "--json", "--retries", "0"]);
        run.exits(if refused { 5 } else { 0 });
        if refused {
            assert_eq!(run.error_code(), "storage_error");
            assert!(!lab.world.out().join("x.html").exists());
            lab.world
                .run(&["lab", "a", "--retries", "0", "--sha256", &sha256(body)])
                .exits(0);
            assert!(lab.world.read("x.html") == *body);
        }
    }
}

#[test]
fn a_mirror_compares_the_checksums_of_the_metadata_too() {
    let content = noise(SIZE);
    for exit in [0, 6] {
        let mut sum = digest_of("sha256", &content);
        sum[0] ^= u8::from(exit == 6);
        let bytes = content.clone();
        let table = "metadata = { path = '/files/{id}', checksum = { at = '/sum', algorithm = 'sha256' } }\n\
                     list = { path = '/files', rows = '/rows', id = '/id', name = '/name' }\n\
                     resolve = { path = '/files/{id}/link', url = '/url' }";
        let answer = json!({"sum": hex(&sum), "rows": [{"id": "a", "name": "n.bin"}]});
        let lab = Lab::of(table, answer, move |request, stream| {
            serve(request, stream, &bytes, TAG);
        });
        lab.world.run(&["sync", "lab", "mirror"]).exits(exit);
        assert_eq!(lab.world.out().join("mirror/n.bin").exists(), exit == 0);
    }
}
