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

/// A service with documents of these ids, and a world that uses the service.
fn served(ids: &[&str]) -> (Service, World) {
    let document = |id: &&str| Document::new(&format!("{id}-x"), b"7".to_vec()).with_id(id);
    let service = Service::start(ids.iter().map(document).collect(), &[]);
    let world = service.world();
    (service, world)
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
    let rows = format!("id,name\n{}", "7,report.pdf\n".repeat(2000));
    let pretty = "[\n  {\n    \"id\": \"7\"\n  }\n]\n";
    let late_nul = format!("{}\0", "# a comment\n".repeat(9000));
    let utf16: Vec<u8> = "7\r\n8\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let columns = "remove headings, quotation marks and other columns";
    for (name, content, why, hint) in [
        (
            "table.csv",
            rows.as_bytes(),
            "line 1 is the heading of a column",
            columns,
        ),
        (
            "heading.csv",
            b"\n# x\nSample ID;name\n7;x\n",
            "line 3 is the heading of a column",
            columns,
        ),
        (
            "quoted.csv",
            b"\"7\"\n\"8\"\n",
            "line 1 starts with a quotation mark",
            columns,
        ),
        (
            "heading.tsv",
            b"# x\r\n\r\nID\tname\r\n7\tx\r\n",
            "line 3 is the heading of a column",
            columns,
        ),
        (
            "heading",
            b"# of today\nid\n7\n",
            "line 2 is the heading of a column",
            columns,
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
    is_one_error(
        &run,
        "standard input",
        "line 1 is the heading of a column",
        columns,
    );
    assert!(server.seen().is_empty());
}

#[test]
fn a_file_of_another_format_ends_a_batch_before_the_ids_of_the_line_are_paid() {
    let (world, server) = world();
    let path = world.home().join("given/other");
    let late = format!("{}id,name\n7,x\n", "# a comment\n".repeat(9000));
    for (content, why) in [
        ("8\n\0", "it has NUL bytes, so it is a binary file"),
        ("id,name\n8,x\n", "line 1 is the heading of a column"),
        (
            "\n# x\n\"8\";\"x\"\n",
            "line 3 starts with a quotation mark",
        ),
        (&late, "line 9001 is the heading of a column"),
        ("[\n\"8\"]\n", "line 1 starts like a JSON array"),
        (
            "{\n\"id\": \"8\"}",
            "line 1 starts like a JSON object, and is none",
        ),
        ("<html>\n", "line 1 starts like HTML or XML"),
    ] {
        fs::write(&path, content).unwrap();
        let run = world.run(&["onecodex", "7", "--from-file", path.to_str().unwrap()]);
        is_one_error(&run, "other", why, "");
    }
    assert!(server.seen().is_empty());
}

#[test]
fn the_line_that_docfetch_reads_to_know_the_format_is_fetched() {
    let (_service, world) = served(&["7", "8"]);
    for content in [
        "8",
        "\u{feff}8\r\n",
        "# x\n\n8\n",
        &format!("{}8\n", "# x\n".repeat(50_000)),
    ] {
        let path = world.home().join("ids");
        fs::write(&path, content).unwrap();
        let run = world.run(&[
            "sm",
            "7",
            "--from-file",
            path.to_str().unwrap(),
            "--dry-run",
        ]);
        assert_eq!(run.exits(0).stdout, "7\n8\n", "{content:.20}");
    }
}

#[test]
fn a_later_line_is_any_id_and_fails_alone() {
    let (_service, world) = served(&["7"]);
    let lines = "7\na,b\n[c]\n\"d\"\te\ne;f\n<g>\nid\n{\n8\n";
    let run = world.run_with_input(&["sm", "-", "--dry-run"], lines);
    assert_eq!(run.exits(2).stdout, "7\na,b\n[c]\n\"d\"\ne;f\n<g>\nid\n8\n");
    run.says("line 8: the line starts like a JSON object, and is none");
    let run = world.run_with_input(&["sm", "-"], "7\n{\n");
    assert_eq!(run.exits(2).stdout, "7-x\n");
    let run = world.run_with_input(&["sm", "-", "--dry-run"], "a,b\n");
    assert_eq!(run.exits(0).stdout, "a,b\n");
}

#[test]
fn a_line_of_another_list_names_both_providers_and_requests_nothing() {
    let (world, server) = world();
    let sm = "{\"provider\":\"sm\",\"id\":\"7\",\"name\":\"x\"}\n";
    let run = world.run_with_input(&["onecodex", "-"], sm);
    run.exits(2).says(
        "error: 7 belongs to Standard Metrics, not to One Codex\n  hint: fetch it with `docfetch sm`\n",
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
            "give the id 7 with --resource documents",
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
            "give the id of the document: docfetch requests the presigned URL itself",
        ),
        (
            "/v1/documents/7/",
            "it contains '/'",
            "the address belongs to Standard Metrics: name the provider sm, and give the id 7",
        ),
    ] {
        for command in [
            &["onecodex"][..],
            &["url", "onecodex"],
            &["ledger", "forget", "onecodex"],
        ] {
            let is_uri = id.starts_with("/api");
            for kind in [&[][..], &["--resource", "samples"]] {
                if is_uri && (command[0] == "ledger" || !kind.is_empty()) {
                    continue; // the URI of a sample is an id here
                }
                let run = world.run(&[command, kind, &[id]].concat());
                let hint = match kind {
                    [] => hint.replace(" with --resource documents", ""),
                    _ => hint
                        .replace("list onecodex`", "list onecodex --resource samples`")
                        .replace(" with --resource samples", ""),
                };
                run.exits(2)
                    .says(&format!("\n  why: {why}\n  hint: {hint}\n"));
            }
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
        "error: there is no provider 'onecdex'\n  why: sm, onecodex, box, dnanexus, drs, dropbox, github or sevenbridges is expected\n  hint: a similar name is 'onecodex'\n"
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
