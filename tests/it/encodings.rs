//! Files as Windows programs write them: with a byte order mark, or in UTF-16.

use super::support::raw::{Raw, both, reply};
use super::support::services::Service;
use super::support::{API_KEY, World, noise, sha256};

const MARK: &str = "\u{feff}";

/// A text in UTF-16, little endian and big endian, with and without a mark.
fn utf16(text: &str) -> [Vec<u8>; 4] {
    let marked = format!("{MARK}{text}");
    let little = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    [little(&marked), big(&marked), little(text), big(text)]
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_secret() {
    let (service, content) = Service::with("x.bin", 100, &[]);
    let mut world = service.world();
    let key = world.variable("ONE_CODEX_API_KEY");
    world.set("ONE_CODEX_API_KEY", "");
    let given = world.home().join("given");
    std::fs::write(&given, format!("{MARK}{key}\r\n")).unwrap();
    world.set("ONE_CODEX_API_KEY_FILE", given.to_str().unwrap());
    world.run(&["onecodex", "doc1", "-o", "a"]).exits(0);
    assert_eq!(world.read("a"), content);
    let own = std::fs::remove_file(&given);
    own.unwrap();
    // One Codex's own file. The mark stays in it, and the test looks for secrets elsewhere only.
    world.set("ONE_CODEX_API_KEY_FILE", "");
    let mut command = world.command(&["onecodex", "doc1", "-o", "b"]);
    let home = tempfile::tempdir().unwrap();
    let json = serde_json::json!({"email": "x", "api_key": key});
    std::fs::write(home.path().join(".onecodex"), format!("{MARK}{json}")).unwrap();
    let status = command.env("HOME", home.path()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(world.read("b"), content);
}

#[test]
fn utf_16_is_refused_in_those_words() {
    let server = Raw::start(|_, stream| reply(stream, "503 No", &[], b""));
    let secrets = utf16(&format!("{API_KEY}\r\n"));
    let (ids, manifests) = (
        utf16("doc1\r\n"),
        utf16(&format!("{}  a\r\n", sha256(b"a"))),
    );
    for ((secret, ids), manifest) in secrets.into_iter().zip(ids).zip(manifests) {
        let mut world = World::new(&server.base());
        let given = world.home().join("given");
        std::fs::create_dir(&given).unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = given.join(name);
            std::fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (secret, list) = (write("secret", &secret), write("ids", &ids));
        let manifest = write("manifest", &manifest);
        let run = world.run(&["sm", "--from-file", &list]);
        run.exits(2).says("UTF-16").says("UTF-8").says(&list);
        let mut command = world.command(&["sm", "-"]);
        command.env("DOCFETCH_RETRIES", "0");
        let run = world.finish_with_input(command, &ids);
        run.exits(2).says("UTF-16").says("standard input");
        let run = world.run(&["verify", &manifest]);
        run.exits(2).says("UTF-16").says(&manifest);
        let before = std::fs::read(&manifest).unwrap();
        let run = world.run(&["onecodex", "a", "--manifest", &manifest]);
        run.exits(2).says("UTF-16").says(&manifest);
        assert_eq!(std::fs::read(&manifest).unwrap(), before);
        world.set("ONE_CODEX_API_KEY", "");
        world.set("ONE_CODEX_API_KEY_FILE", &secret);
        let run = world.run(&["onecodex", "a"]);
        run.exits(2).says("UTF-16").says("ONE_CODEX_API_KEY_FILE");
    }
    assert!(server.seen().is_empty());
}

#[test]
fn a_byte_order_mark_is_no_part_of_an_id_or_of_a_manifest() {
    let content = noise(100);
    let body = content.clone();
    let (api, _storage) = both("/x.bin", move |_, stream| {
        reply(stream, "200 OK", &[], &body)
    });
    let world = World::new(&api.base());
    let run = world.run_with_input(&["sm", "-", "--manifest", "m"], &format!("{MARK}doc1\r\n"));
    run.exits(0);
    assert!(
        api.seen()
            .iter()
            .any(|seen| seen.path().ends_with("/doc1/download/"))
    );
    let digest = sha256(&content);
    let records = world.read("m");
    let records = String::from_utf8(records).unwrap().replace('\n', "\r\n");
    for (name, text) in [
        ("records", records),
        ("sums", format!("{digest}  x.bin\r\n")),
    ] {
        std::fs::write(world.out().join(name), format!("{MARK}{text}")).unwrap();
        world.run(&["verify", name]).exits(0);
    }
}
