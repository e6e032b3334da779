//! Real headers and hostile names, through the real binary: what arrives on disk is what the tables
//! say.

use crate::support::World;
use crate::support::raw::{self, Raw, reply};
use serde::Deserialize;
use std::io::Write as _;
use std::path::Path;

#[derive(Deserialize)]
struct Header {
    id: String,
    header: String,
    header_hex: Option<String>,
    expect: Option<String>,
    #[serde(default)]
    accept: Vec<Option<String>>,
}

#[derive(Deserialize)]
struct Attack {
    name: String,
    bytes_hex: Option<String>,
}

fn load<T: for<'a> Deserialize<'a>>(name: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// SPEC's rule of names.
fn assert_safe(name: &str, what: &str) {
    assert!(!name.is_empty() && name.len() <= 255, "{what}: {name:?}");
    assert!(!name.contains(['/', '\\']), "{what}: {name:?}");
    assert!(!name.starts_with(['.', '-', '~']), "{what}: {name:?}");
    assert!(!name.ends_with(['.', ' ']), "{what}: {name:?}");
    let overrides = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(
        !name.chars().any(|c| c.is_control() || overrides(c)),
        "{what}: {name:?}"
    );
    let stem = name.split('.').next().unwrap().to_uppercase();
    let devices = [
        "CON",
        "PRN",
        "AUX",
        "NUL",
        "COM1",
        "COM9",
        "LPT1",
        "COM\u{b9}",
        "CONIN$",
        "CLOCK$",
    ];
    assert!(!devices.contains(&stem.as_str()), "{what}: {name:?}");
}

/// The name that docfetch derives from a header, none when it falls back to the URL's.
fn derived(header: &[u8]) -> Option<String> {
    docfetch::http::content_disposition::file_name(header)
        .and_then(|name| docfetch::fetch::target::naming::safe(&name))
}

#[test]
fn all_350_headers_give_their_names() {
    let headers: Vec<Header> = load("content_disposition.json");
    assert_eq!(headers.len(), 350);
    let mut wrong = Vec::new();
    for case in &headers {
        let bytes = case
            .header_hex
            .as_deref()
            .map_or(case.header.clone().into_bytes(), unhex);
        let name = derived(&bytes);
        if let Some(name) = &name {
            assert_safe(name, &case.id);
        }
        if name != case.expect && !case.accept.contains(&name) {
            wrong.push(format!(
                "{}: {:?} gave {name:?}, not {:?}",
                case.id, case.header, case.expect
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        headers.len(),
        wrong.join("\n")
    );
}

#[test]
fn most_headers_give_the_very_name_that_the_table_prefers() {
    let headers: Vec<Header> = load("content_disposition.json");
    let exact = headers.iter().filter(|case| {
        let bytes = case
            .header_hex
            .as_deref()
            .map_or(case.header.clone().into_bytes(), unhex);
        derived(&bytes) == case.expect
    });
    assert!(exact.count() >= 340);
}

#[test]
fn all_119_hostile_names_are_safe_or_refused_whatever_their_way_in() {
    let attacks: Vec<Attack> = load("filename_attacks.json");
    assert_eq!(attacks.len(), 119);
    for attack in &attacks {
        let bytes = attack
            .bytes_hex
            .as_deref()
            .map_or(attack.name.clone().into_bytes(), unhex);
        let quoted = [b"attachment; filename=\"".as_slice(), &bytes, b"\""].concat();
        let encoded: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
        let extended = format!("attachment; filename*=UTF-8''{encoded}").into_bytes();
        for header in [quoted, extended] {
            if let Some(name) = derived(&header) {
                assert_safe(&name, &attack.name);
            }
        }
        if let Some(name) = docfetch::fetch::target::naming::safe(&attack.name) {
            assert_safe(&name, &attack.name);
        }
        let url = url::Url::parse(&format!("https://host/{encoded}")).unwrap();
        if let Some(name) = docfetch::fetch::target::naming::from_url(&url) {
            assert_safe(&name, &attack.name);
        }
    }
}

/// One process fetches every hostile name over the wire: as header, metadata and URL path in turn.
#[test]
fn hostile_names_never_leave_the_folder() {
    let attacks: Vec<Attack> = load("filename_attacks.json");
    let count = attacks.len() * 3;
    let names: Vec<Vec<u8>> = attacks
        .iter()
        .map(|attack| {
            attack
                .bytes_hex
                .as_deref()
                .map_or(attack.name.clone().into_bytes(), unhex)
        })
        .collect();
    let encode = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("%{byte:02X}"))
            .collect::<String>()
    };
    let texts: Vec<String> = attacks.iter().map(|attack| attack.name.clone()).collect();
    let paths: Vec<String> = names.iter().map(|name| encode(name)).collect();
    let headers = names.clone();
    let storage = Raw::start(move |request, stream| {
        // Not in the path: a hostile one may lose its other segments.
        let number: usize = request.target.rsplit('=').next().unwrap().parse().unwrap();
        let mut head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n".to_vec();
        if number.is_multiple_of(3) {
            let name = &headers[number / 3];
            head.extend_from_slice(b"Content-Disposition: attachment; filename=\"");
            head.extend(
                name.iter()
                    .filter(|byte| !matches!(byte, b'\r' | b'\n' | 0 | b'"')),
            );
            head.extend_from_slice(b"\"\r\n");
        }
        head.extend_from_slice(b"\r\nx");
        let _ = stream.write_all(&head);
    });
    let base = storage.base();
    let api = Raw::start(move |request, stream| {
        let number: usize = request
            .path()
            .split('/')
            .find_map(|part| part.parse().ok())
            .unwrap_or_default();
        let last = if number % 3 == 2 {
            &paths[number / 3]
        } else {
            "plain"
        };
        let url = format!(
            "{}&n={number}",
            raw::presigned(&base, &format!("/documents/{last}"))
        );
        if request.method == "GET" && number % 3 == 1 {
            let row = serde_json::json!({"filename": texts[number / 3], "size": 1}).to_string();
            return reply(stream, "200 OK", &[], row.as_bytes());
        }
        raw::api(request, stream, &url);
    });
    let world = World::new(&api.base());
    let ids: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    let mut arguments = vec!["onecodex", "-d", "in/here", "--if-exists", "rename", "-q"];
    arguments.extend(ids.iter().map(String::as_str));
    let run = world.run(&arguments);
    run.exits(0);
    assert_eq!(run.stdout.lines().count(), count);
    let inside: Vec<_> = std::fs::read_dir(world.out().join("in/here"))
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(inside.len(), count);
    for entry in inside {
        assert!(entry.file_type().unwrap().is_file());
        assert_safe(entry.file_name().to_str().unwrap(), "on disk");
    }
    assert_eq!(world.files(), ["in"]);
    let mut home: Vec<_> = std::fs::read_dir(world.home())
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .collect();
    home.sort();
    assert_eq!(home, [".local", "out"]);
}
