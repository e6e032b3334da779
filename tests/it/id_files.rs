//! What is given instead of ids: files of other formats, lines of other lists, addresses.

use crate::support::raw::{Raw, api, api_without_metadata};
use crate::support::services::Service;
use crate::support::{Run, World};
use docfetch::sandbox::Document;
use std::fs;

/// A world whose API counts its requests, with a folder for files of ids.
fn world() -> (World, Raw) {
    let server = Raw::start(|request, stream| api(request, stream, "https://s.example/x"));
    let world = World::new(&server.base());
    fs::create_dir(world.home().join("given")).unwrap();
    (world, server)
}

/// Runs `docfetch onecodex` with the file `name`, which has this content.
fn with_file(world: &World, name: &str, content: &[u8]) -> Run {
    let path = world.home().join("given").join(name);
    fs::write(&path, content).unwrap();
    world.run(&["onecodex", "--from-file", path.to_str().unwrap()])
}

/// The lines of an error about the whole file, and that nothing else is told.
fn is_one_error(run: &Run, name: &str, why: &str, hint: &str) {
    assert_eq!(run.exits(2).stdout, "", "{name}");
    let told: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(
        told.iter().filter(|line| line.starts_with("error")).count(),
        1,
        "{told:#?}"
    );
    assert!(
        told[0].starts_with("error: cannot read ids from ") && told[0].ends_with(name),
        "{told:#?}"
    );
    assert_eq!(told[1], format!("  why: {why}"), "{name}");
    assert!(
        told[2].starts_with("  hint: ") && told[2].contains(hint),
        "{told:#?}"
    );
}

#[test]
fn a_file_of_another_format_is_one_error_and_no_request() {
    let (world, server) = world();
    let rows = "7,report.pdf\n".repeat(2000);
    let pretty = "[\n  {\n    \"id\": \"7\"\n  }\n]\n";
    let late_nul = format!("{}\0", "# a comment\n".repeat(9000));
    let utf16: Vec<u8> = "7\r\n8\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let columns = "without other columns";
    for (name, content, why, hint) in [
        ("table.csv", rows.as_bytes(), "line 1 has a comma", columns),
        (
            "heading.csv",
            b"\n# x\nid;name\n7;x\n",
            "line 3 has a semicolon",
            columns,
        ),
        (
            "quoted.csv",
            b"\"7\"\n\"8\"\n",
            "line 1 has a quotation mark",
            columns,
        ),
        (
            "heading.tsv",
            b"ID\tname\n7\tx\n",
            "line 1 is the heading of a column",
            "remove this line",
        ),
        (
            "nul",
            b"7\na\0b\n",
            "it has NUL bytes, so it is a binary file",
            "a text file",
        ),
        (
            "late",
            late_nul.as_bytes(),
            "it has NUL bytes, so it is a binary file",
            "a text file",
        ),
        (
            "utf16",
            &utf16,
            "the text is UTF-16, and docfetch reads UTF-8",
            "UTF-8",
        ),
        (
            "latin1",
            b"caf\xe9\n7\n",
            "line 1 is not UTF-8 text",
            "UTF-8",
        ),
        (
            "array.json",
            b"[{\"id\":\"7\"},{\"id\":\"8\"}]",
            "line 1 starts like a JSON array",
            "jq -c '.[]'",
        ),
        (
            "pretty.json",
            pretty.as_bytes(),
            "line 1 starts like a JSON array",
            "jq",
        ),
        (
            "object.json",
            b"{\n  \"id\": \"7\"\n}\n",
            "line 1 starts like a JSON object, and is none",
            "jq -c .",
        ),
        (
            "page.html",
            b"<!doctype html>\n<p>Log in\n",
            "line 1 starts like HTML or XML",
            "web page",
        ),
    ] {
        is_one_error(&with_file(&world, name, content), name, why, hint);
    }
    let run = world.run_with_input(&["onecodex", "-"], &rows);
    is_one_error(&run, "standard input", "line 1 has a comma", columns);
    assert!(server.seen().is_empty());
}

#[test]
fn a_binary_file_ends_a_batch_before_the_ids_of_the_line_are_paid() {
    let (world, server) = world();
    let path = world.home().join("given/nul");
    fs::write(&path, b"8\n\0").unwrap();
    let run = world.run(&["onecodex", "7", "--from-file", path.to_str().unwrap()]);
    run.exits(2).says("it has NUL bytes");
    assert!(server.seen().is_empty());
}

#[test]
fn a_later_line_of_another_format_is_the_failure_of_that_line() {
    let document = Document::new("seven", b"7".to_vec()).with_id("7");
    let service = Service::start(vec![document], &[]);
    let world = service.world();
    let run = world.run_with_input(&["sm", "-"], "7\n8,x\n[\n");
    assert_eq!(run.exits(2).stdout, "seven\n");
    run.says("line 2: the line has a comma")
        .says("line 3: the line starts like a JSON array");
}

#[test]
fn a_line_of_another_list_names_both_providers_and_requests_nothing() {
    let (world, server) = world();
    let sm = "{\"provider\":\"sm\",\"id\":\"7\",\"name\":\"x\"}\n";
    let run = world.run_with_input(&["onecodex", "-"], sm);
    run.exits(2).says(
        "error: 7 is of Standard Metrics, not of One Codex\n  hint: fetch it with `docfetch sm`\n",
    );
    let samples = "{\"provider\":\"onecodex\",\"id\":\"7\",\"resource\":\"samples\"}\n";
    let run = world.run_with_input(&["onecodex", "-"], samples);
    run.exits(2).says(
        "error: 7 is one of the samples, not of the documents\n  hint: add --resource samples\n",
    );
    assert!(server.seen().is_empty());
}

#[test]
fn a_wrong_id_on_the_line_names_the_wrong_character_or_what_to_give() {
    let (world, server) = world();
    let list = "`docfetch list onecodex` shows the ids of this account";
    let address = "https://app.onecodex.com/api/v1";
    for (id, why, hint) in [
        ("a/b", "it contains '/'", list),
        ("a?b", "it contains '?'", list),
        ("a#b", "it contains '#'", list),
        ("a\tb", "it contains the control character U+0009", list),
        ("..", "'.' and '..' stand for folders", list),
        ("", "it is empty", list),
        (
            "/api/v1/samples/7",
            "it contains '/'",
            "give the id 7 with --resource samples",
        ),
        (
            &format!("{address}/documents/7"),
            "it contains '/'",
            "give the id 7",
        ),
        (
            &format!("{address}/samples/7/"),
            "it contains '/'",
            "give the id 7 with --resource samples",
        ),
        (
            "https://app.onecodex.com/analysis/7",
            "it contains '/'",
            list,
        ),
        (
            "https://x.example/7?X-Amz-Signature=7",
            "it contains '/'",
            "docfetch requests the presigned URL itself",
        ),
        (
            "/v1/documents/7/",
            "it contains '/'",
            "it is of Standard Metrics: give sm the id 7",
        ),
    ] {
        for command in [
            &["onecodex"][..],
            &["url", "onecodex"],
            &["ledger", "forget", "onecodex"],
        ] {
            if command[0] == "ledger" && id.starts_with("/api") {
                continue; // a URI of any kind
            }
            let run = world.run(&[command, &[id]].concat());
            run.exits(2).says(&format!("\n  why: {why}\n")).says(hint);
        }
    }
    assert!(server.seen().is_empty());
}

#[test]
fn the_ledger_names_what_it_cannot_forget() {
    let (world, _server) = world();
    let forget = |words: &[&str], code| {
        world
            .run(&[&["ledger", "forget"], words].concat())
            .exits(code)
            .stderr
            .clone()
    };
    let told = forget(&["onecdex", "7"], 2);
    assert_eq!(
        told,
        "error: there is no provider 'onecdex'\n  why: sm or onecodex is expected\n  hint: a similar name is 'onecodex'\n"
    );
    assert!(forget(&["one-codex", "7"], 2).contains("use 'onecodex' for One Codex"));
    assert!(forget(&["sm", "7"], 4).contains("Standard Metrics never charges"));
    assert!(forget(&["onecodex"], 2).contains("docfetch ledger forget onecodex needs <ID>"));
    assert!(forget(&["onecodex", "7"], 4).contains("there is no record of \"7\""));
    let list = world.run(&["ledger", "list"]);
    assert_eq!(list.exits(0).stdout, "");
    list.says("the ledger has no record of a paid retrieval\n");
}

#[test]
fn a_line_of_the_ledger_in_a_pipe_has_what_forget_needs() {
    let server = Raw::start(|request, stream| {
        api_without_metadata(request, stream, "http://127.0.0.1:1/x");
    });
    let world = World::new(&server.base());
    world.run(&["onecodex", "7", "--retries", "0"]);
    let list = world.run(&["ledger", "list"]).exits(0).stdout.clone();
    let fields: Vec<&str> = list.trim_end().split('\t').collect();
    let [id, _, _, _, provider, kind, base] = fields[..] else {
        panic!("{fields:?}");
    };
    assert_eq!(base, server.base().trim_end_matches('/'));
    world
        .run(&[
            "ledger",
            "forget",
            provider,
            id,
            "--resource",
            kind,
            "--base",
            base,
        ])
        .exits(0);
    assert_eq!(world.run(&["ledger", "list"]).stdout, "");
}
