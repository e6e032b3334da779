//! Hostile names, through the real binary: what arrives on disk is what the table says.

use crate::support::World;
use crate::support::corpora::{Attack, assert_safe, load, unhex};
use crate::support::raw::{self, Raw, reply};
use std::io::Write as _;

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
        // No URL ends in a segment of dots.
        let last = match paths.get(number / 3) {
            Some(path) if number % 3 == 2 && !["%2E", "%2E%2E"].contains(&&**path) => path,
            _ => "plain",
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
