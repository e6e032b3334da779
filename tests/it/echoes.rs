//! Servers that repeat every secret, in every form, in every field of every answer.

use crate::support::raw::{Raw, Request, head, reply};
use crate::support::{Run, World};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use url::form_urlencoded::byte_serialize;

const ID: &str = "client 7f3a+id";
const SECRET: &str = "p+w ~s3cr3t/of-cl1ent";
const KEY: &str = "K3y+of one/codex~9b2d";
const TOKEN: &str = "T0ken-4d2e/abc+def~7";
const SIGNATURE: &str = "S1gnature+of/url=77";
const SESSION: &str = "Sess1on+token/of-the~url==";
const CREDENTIAL: &str = "AK1AEXAMPLE42/20261001/us-east-1/s3/aws4_request";
const POLICY: &str = "eyJQb2xpY3kiOiJ2ZXJ5LXNlY3JldCJ9";
const OTHER: &str = "0ther-value-of-the-url-that-is-long";

fn form(secret: &str) -> String {
    byte_serialize(secret.as_bytes()).collect()
}

fn percent(secret: &str) -> String {
    utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string()
}

/// A secret in every form that is looked for.
fn forms(secret: &str) -> Vec<String> {
    let every_byte = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
    vec![
        secret.to_owned(),
        form(secret),
        percent(secret),
        percent(secret).to_lowercase(),
        percent(&percent(secret)),
        every_byte,
        STANDARD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        STANDARD.encode(form(secret)),
        secret.to_ascii_lowercase(),
    ]
}

/// Those that are known before a URL is, and those that come with it.
fn credentials() -> Vec<String> {
    let basic = STANDARD.encode(format!("{}:{}", percent(ID), percent(SECRET)));
    [SECRET, KEY, TOKEN]
        .map(str::to_owned)
        .into_iter()
        .chain([basic])
        .collect()
}

fn of_the_url() -> Vec<String> {
    [SIGNATURE, SESSION, CREDENTIAL, POLICY, OTHER]
        .map(str::to_owned)
        .to_vec()
}

/// What a document's answers repeat: its id ends with the number of one of them.
fn echoes(provider: &str) -> Vec<String> {
    let mut secrets: Vec<String> = match provider {
        "sm" => vec![SECRET.to_owned(), TOKEN.to_owned()],
        _ => vec![KEY.to_owned()],
    };
    secrets.extend(of_the_url());
    secrets.iter().flat_map(|secret| forms(secret)).collect()
}

/// So many of them are in rows: a value of a URL that is the document's name is no secret, unless it is a
/// signature or the like.
fn rows(provider: &str) -> usize {
    echoes(provider).len() - forms(OTHER).len()
}

/// The query of a presigned URL.
fn query() -> String {
    let pairs = [
        ("X-Amz-Credential", CREDENTIAL),
        ("X-Amz-Security-Token", SESSION),
        ("X-Amz-Signature", SIGNATURE),
        ("Policy", POLICY),
        ("anything", OTHER),
    ];
    let pairs = pairs.map(|(name, value)| format!("{name}={}", form(value)));
    pairs.join("&")
}

/// Answers everything, and repeats what the id's number says.
fn echo(provider: &str, base: &str, request: &Request, stream: &mut TcpStream) {
    let echoes = echoes(provider);
    let id = request.path().split('/').find(|part| {
        let digits = part.get(1..).unwrap_or_default();
        *part != "v1" && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    let kind = id.map_or("", |id| &id[..1]);
    let number = id.map_or(0, |id| id[1..].parse().unwrap_or(0));
    let echo = &echoes[number % echoes.len()];
    let tag = format!("\"{echo}\"");
    let name = format!("attachment; filename=\"{}.pdf\"", echo.replace('/', "%2F"));
    let headers = [
        ("Content-Type", echo.as_str()),
        ("Date", echo),
        ("Retry-After", echo),
        ("Last-Modified", echo),
        ("X-Request-Id", echo),
        ("Content-Language", echo),
    ];
    let storage = [
        &headers[..],
        &[("ETag", &*tag), ("Content-Disposition", &*name)],
    ]
    .concat();
    let json = |stream: &mut TcpStream, json: Value| {
        reply(stream, "200 OK", &headers, json.to_string().as_bytes());
    };
    let url = match kind {
        "g" => format!("http://{echo}.example/x"),
        "h" => echo.clone(),
        "i" => format!("{base}/s/{}/{}", id.unwrap_or_default(), SESSION),
        _ => format!("{base}/s/{}?{}", id.unwrap_or_default(), query()),
    };
    let words = format!(
        "you sent ({echo}), and {base}/k?X-Amz-Signature={}",
        percent("another-signature")
    );
    let error = json!({"detail": words, "error": echo, "message": echo}).to_string();
    match (request.method.as_str(), request.path()) {
        ("POST", "/o/token/") => json(
            stream,
            json!({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer", "scope": echo, "x": SECRET}),
        ),
        ("GET", path) if path.starts_with("/s/") => match kind {
            "c" => {
                let xml = format!("<Error><Code>{echo}</Code><Message>{echo}</Message></Error>");
                reply(stream, "403 Forbidden", &storage, xml.as_bytes());
            }
            "m" => {
                let storage = [&storage[..], &[("ETag", "\"v1\"")]].concat();
                let storage: Vec<_> = storage
                    .into_iter()
                    .filter(|(_, value)| *value != tag)
                    .collect();
                head(stream, "200 OK", &storage, Some(1 << 20));
                let _ = stream.write_all(&[7; 300_000]);
            }
            "n" => {
                head(stream, "200 OK", &storage, Some(1 << 20));
                let _ = stream.write_all(&[7; 300_000]);
            }
            _ => reply(stream, "200 OK", &storage, b"content"),
        },
        (_, path) if path.ends_with("/download/") || path.ends_with("/download_uri") => {
            match kind {
                "a" => reply(stream, "403 Forbidden", &headers, error.as_bytes()),
                "b" => reply(stream, "400 Bad Request", &headers, error.as_bytes()),
                _ if path.ends_with("/download/") => {
                    let location = [&headers[..], &[("Location", &*url)]].concat();
                    reply(stream, "302 Found", &location, echo.as_bytes());
                }
                _ => json(
                    stream,
                    json!({"download_uri": url, "expires_in_hours": echo, "x": echo}),
                ),
            }
        }
        ("GET", path) if path.trim_end_matches('/').ends_with("/documents") => {
            let row = |number: usize| {
                let echo = &echoes[number % echoes.len()];
                json!({
                    "id": format!("d{number}"), "$uri": format!("/api/v1/documents/d{number}"),
                    "name": format!("{echo}.pdf"), "filename": format!("{echo}.pdf"), "size": null,
                    "uploaded_at": echo, "created_at": echo, "company_id": echo, "source": echo, "x": echo,
                })
            };
            let rows: Vec<Value> = (0..rows(provider)).map(row).collect();
            match provider {
                "sm" => json(
                    stream,
                    json!({"count": rows.len(), "next": null, "results": rows}),
                ),
                _ => {
                    let total = rows.len().to_string();
                    let headers = [&headers[..], &[("X-Total-Count", &*total)]].concat();
                    reply(
                        stream,
                        "200 OK",
                        &headers,
                        json!(rows).to_string().as_bytes(),
                    );
                }
            }
        }
        (_, path) if !path.starts_with("/api/v1/documents/") => {
            reply(stream, "200 OK", &storage, b"content");
        }
        _ => json(
            stream,
            json!({"filename": format!("{echo}.pdf"), "size": echo, "x": echo}),
        ),
    }
}

/// Fails where a secret is shown, in any form.
#[track_caller]
fn shows_nothing(world: &World, secrets: &[String], run: &Run, stdout: bool) {
    let mut places = vec![("standard error".to_owned(), run.stderr.clone())];
    if stdout {
        places.push(("standard output".to_owned(), run.stdout.clone()));
    }
    let mut folders = vec![world.out()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            places.push(("a name".to_owned(), file_name(&path)));
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                places.push((path.display().to_string(), text));
            }
        }
    }
    let mut wanted = Vec::new();
    for secret in secrets {
        let lower = forms(secret)
            .into_iter()
            .map(|form| form.to_ascii_lowercase());
        wanted.extend(lower.map(|form| (secret, form)));
    }
    for (place, text) in places {
        let text = text.to_ascii_lowercase().replace("\\/", "/");
        for (secret, form) in &wanted {
            if let Some(at) = memchr::memmem::find(text.as_bytes(), form.as_bytes()) {
                let start = text.floor_char_boundary(at.saturating_sub(200));
                let around: String = text[start..].chars().take(400).collect();
                panic!("{secret} as {form} is in {place}: {around:?}");
            }
        }
        assert!(!text.contains("another-signature"), "{place}: {text}");
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn world(provider: &'static str) -> (World, Raw) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let base = format!("http://{address}");
    let server = Raw::start_at(address, move |request, stream| {
        echo(provider, &base, request, stream)
    });
    let mut world = World::bare();
    for (name, value) in [
        ("STANDARD_METRICS_API_BASE", server.base().as_str()),
        ("STANDARD_METRICS_CLIENT_ID", ID),
        ("STANDARD_METRICS_CLIENT_SECRET", SECRET),
        ("ONE_CODEX_API_BASE", &server.base()),
        ("ONE_CODEX_API_KEY", KEY),
        ("DOCFETCH_RATE_LIMIT", "none"),
        ("DOCFETCH_RETRIES", "0"),
        ("DOCFETCH_JOBS", "8"),
    ] {
        world.set(name, value);
    }
    (world, server)
}

fn every_secret() -> Vec<String> {
    [credentials(), of_the_url()].concat()
}

/// Every document, failure and interrupted transfer, each with another secret in another form.
fn fetched(provider: &'static str, arguments: &[&str]) {
    let (world, _server) = world(provider);
    let number = match provider {
        "sm" => echoes(provider).len(),
        _ => rows(provider), // where metadata names documents
    };
    // What comes with a URL is known once there is one.
    let kinds = ["d", "a", "b", "c", "g", "h", "i", "m", "n"];
    let ids: Vec<String> = kinds
        .iter()
        .flat_map(|kind| (0..number).map(move |number| format!("{kind}{number}")))
        .collect();
    fs::write(world.home().join("ids"), ids.join("\n")).unwrap();
    let arguments = [&[provider, "--from-file", "../ids"][..], arguments].concat();
    let run = world.run(&arguments);
    shows_nothing(&world, &every_secret(), &run, true);
    // Names of servers that hold a secret name no file: the ids do.
    let done = world
        .files()
        .iter()
        .filter(|name| name.starts_with('d'))
        .count();
    assert_eq!(done, number, "{:?}", world.files());
    assert!(run.stdout.lines().count() >= number, "{run:?}");
}

#[test]
fn nothing_that_standard_metrics_echoes_is_shown_by_records_or_the_log() {
    fetched("sm", &["--json", "-v", "--manifest", "m.jsonl"]);
}

#[test]
fn nothing_that_standard_metrics_echoes_is_shown_by_lines_or_events() {
    fetched("sm", &["--progress", "json", "-v", "--name", "{id}-{name}"]);
    fetched("sm", &["--progress", "plain"]);
}

#[test]
fn nothing_that_one_codex_echoes_is_shown_by_records_or_the_log() {
    fetched("onecodex", &["--json", "-v", "--manifest", "m.jsonl"]);
}

#[test]
fn nothing_that_one_codex_echoes_is_shown_by_lines_or_events() {
    fetched("onecodex", &["--progress", "json", "-v"]);
}

#[test]
fn nothing_that_rows_echo_is_listed_or_mirrored() {
    for provider in ["sm", "onecodex"] {
        let (world, _server) = world(provider);
        for arguments in [&["--json", "-v"][..], &[], &["--ids"]] {
            let run = world.run(&[&["list", provider][..], arguments].concat());
            shows_nothing(&world, &credentials(), run.exits(0), true);
            assert_eq!(run.stdout.lines().count(), rows(provider));
        }
        let all = rows(provider);
        let known = all - forms(SIGNATURE).len() * (of_the_url().len() - 1);
        for (arguments, fetched) in [
            (&["--json", "-v"][..], Some(all)),
            // A credential in a row is scrubbed in the same way in every run: nothing is fetched again.
            (&["--json", "-v"], Some(all - known)),
            (&["--progress", "json"], None),
            (&["--dry-run"], None),
        ] {
            let run = world.run(&[&["sync", provider, "mirror"][..], arguments].concat());
            shows_nothing(&world, &every_secret(), run.exits(0), true);
            if let Some(fetched) = fetched {
                assert_eq!(run.records().last().unwrap()["fetched"], fetched, "{run:?}");
            }
        }
    }
}

#[test]
fn the_url_command_shows_the_url_and_no_other_secret() {
    for provider in ["sm", "onecodex"] {
        let (world, server) = world(provider);
        let run = world.run_showing(&["url", provider, "d0", "-v"]);
        assert_eq!(
            run.exits(0).stdout.trim_end(),
            format!("{}/s/d0?{}", server.base(), query())
        );
        shows_nothing(&world, &every_secret(), &run, false);
        for id in ["a1", "b2", "g3"] {
            let run = world.run(&["url", provider, id, "-v"]);
            shows_nothing(&world, &credentials(), &run, true);
        }
    }
}
