//! `docfetch verify`.

use crate::support::services::Service;
use crate::support::{PROMPT, Run, World, noise, sha256};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::symlink;
use std::time::Instant;

/// Names that break what reads them carelessly.
const ODD: [&str; 8] = [
    "two\nlines",
    "carriage\rreturn",
    "back\\slash\\n",
    " *leading blank",
    "\\",
    "#comment",
    "--check",
    "\u{202e}fdp.\u{1b}[2Jexe",
];

/// A record of a file with this content.
fn record(path: &str, content: &[u8]) -> Value {
    json!({"type": "document", "provider": "sm", "id": "7", "status": "fetched", "path": path,
        "name": "n", "bytes": content.len(), "sha256": sha256(content)})
}

fn lines(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

fn write(world: &World, name: &str, content: impl AsRef<[u8]>) {
    let path = world.out().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn check_with_sha256sum(world: &World, list: &[u8]) -> Run {
    let command = world.command_of("sha256sum", &["--check", "--strict", "--quiet", "-"]);
    world.finish_with_input(command, list)
}

/// A manifest of every kind of wrong, and what is said of each.
fn everything_wrong(world: &World) -> (String, String) {
    let content = noise(300_000);
    let mut other = content.clone();
    other[299_999] ^= 1;
    for (name, content) in [("good", &content[..]), ("long", b"12"), ("one", b"1")] {
        write(world, name, content);
    }
    write(world, "other", &other);
    let out = world.out();
    fs::create_dir(out.join("folder")).unwrap();
    symlink("good", out.join("link")).unwrap();
    symlink("nowhere", out.join("dangling")).unwrap();
    symlink("round", out.join("round")).unwrap();
    let unknown = |path, bytes: Value| {
        json!({"type": "document", "provider": "sm", "id": "8", "status": "skipped",
            "path": path, "bytes": bytes})
    };
    let records = [
        record("good", &content),
        record("gone", &content),
        record("link", &content),
        record("long", b"123"),
        record("one", b"123"),
        record("other", &content),
        record("folder", &content),
        record("dangling", &content),
        record("round", &content),
        record("good/below", &content),
        unknown("long", json!(2)),
        unknown("/dev/null", Value::Null),
        unknown("/proc/self/mem", Value::Null),
        json!({"type": "document", "status": "fetched", "path": "/proc/self/mem", "sha256": sha256(b"")}),
        unknown("./one", json!(4)),
    ];
    let said = "\
gone: is missing
long: has 2 bytes instead of 3
one: has 1 byte instead of 3
other: its SHA-256 is another
folder: is no plain file
dangling: is missing
round: cannot be read: Too many levels of symbolic links
good/below: is missing
/dev/null: is no plain file
/proc/self/mem: cannot be read: Input/output error
";
    (lines(&records), said.to_owned())
}

#[test]
fn what_is_wrong_is_a_line_each_in_the_manifests_order() {
    let world = World::bare();
    let (manifest, said) = everything_wrong(&world);
    write(&world, "m.jsonl", manifest);
    let run = world.run(&["verify", "m.jsonl"]);
    assert_eq!(run.exits(6).stdout, said);
    run.says("2 files verified, 10 wrong; 585.9 KiB in ");
    assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
    let run = world.run(&["verify", "m.jsonl", "-q"]);
    assert_eq!(
        (run.exits(6).stdout.as_str(), run.stderr.as_str()),
        (&*said, "")
    );
}

#[test]
fn records_tell_of_every_file_and_what_is_wrong() {
    let world = World::bare();
    let (manifest, said) = everything_wrong(&world);
    write(&world, "m.jsonl", &manifest);
    let run = world.run(&["verify", "m.jsonl", "--json"]);
    let records = run.exits(6).records();
    assert_eq!(run.stderr, "");
    let (summary, files) = records.split_last().unwrap();
    assert_eq!(files.len(), 12);
    let digest = sha256(&noise(300_000));
    assert_eq!(
        files[0].to_string(),
        format!(
            r#"{{"type":"document","provider":"sm","id":"7","status":"verified","path":"good","name":"n","bytes":300000,"sha256":"{digest}"}}"#
        )
    );
    let codes = files.iter().map(|file| file["error"]["code"].as_str());
    assert_eq!(
        codes.map(Option::unwrap_or_default).collect::<Vec<_>>(),
        [
            "",
            "length_mismatch",
            "",
            "length_mismatch",
            "length_mismatch",
            "digest_mismatch",
            "local_io",
            "length_mismatch",
            "local_io",
            "length_mismatch",
            "local_io",
            "local_io"
        ]
    );
    let messages = files
        .iter()
        .filter_map(|file| file["error"]["message"].as_str());
    assert_eq!(
        messages.map(|line| format!("{line}\n")).collect::<String>(),
        said
    );
    assert_eq!(
        files[3].to_string(),
        format!(
            r#"{{"type":"document","provider":"sm","id":"7","status":"failed","path":"long","name":"n","bytes":3,"sha256":"{}","error":{{"code":"length_mismatch","message":"long: has 2 bytes instead of 3","hint":"fetch the document again","http_status":null,"retryable":false}}}}"#,
            sha256(b"123")
        )
    );
    let elapsed = &summary["elapsed_ms"];
    assert_eq!(
        summary.to_string(),
        format!(
            r#"{{"type":"summary","verified":2,"failed":10,"bytes":600000,"elapsed_ms":{elapsed},"exit_code":6}}"#
        )
    );
    // What a manifest does not say is null.
    let input = format!("{digest}  good\n");
    let run = world.finish_with_input(world.command(&["verify", "-", "--json"]), input.as_bytes());
    assert_eq!(
        run.exits(0).stdout.lines().next().unwrap(),
        format!(
            r#"{{"type":"document","provider":null,"id":null,"status":"verified","path":"good","name":null,"bytes":300000,"sha256":"{digest}"}}"#
        )
    );
}

#[test]
fn without_a_sha256_existence_and_length_count() {
    let world = World::bare();
    write(&world, "a", "abc");
    for (bytes, code) in [(json!(3), 0), (json!(4), 6), (Value::Null, 0)] {
        let line = json!({"type": "document", "status": "skipped", "path": "a", "bytes": bytes});
        write(&world, "m", lines(&[line]));
        let run = world.run(&["verify", "m", "--json"]);
        assert_eq!(run.exits(code).records()[0]["sha256"], Value::Null);
    }
    // What can be opened, but not read, shows that nothing is.
    let line = json!({"type": "document", "status": "skipped", "path": "/proc/self/mem"});
    write(&world, "unread", lines(&[line]));
    world.run(&["verify", "unread"]).exits(0);
    world
        .run(&["verify", "m", "-v"])
        .exits(0)
        .says("a: exists; neither length nor SHA-256 is known");
}

#[test]
fn what_docfetch_and_the_sandbox_left_is_verified() {
    let (service, content) = Service::with("x.bin", 100_000, &[]);
    let world = service.world();
    let fetched = world.run(&["sm", "doc1", "-d", "deep", "--json"]);
    write(&world, "m", fetched.exits(0).raw_stdout.clone());
    world
        .run(&["verify", "m"])
        .exits(0)
        .says("1 file verified, 0 wrong; 97.7 KiB in ");
    write(&world, "deep/x.bin", &content[1..]);
    let run = world.run(&["verify", "m"]);
    assert_eq!(
        run.exits(6).stdout,
        "deep/x.bin: has 99999 bytes instead of 100000\n"
    );
}

#[test]
fn the_last_record_of_a_path_wins() {
    let world = World::bare();
    write(&world, "a", "new");
    let skipped = json!({"type": "document", "status": "skipped", "path": "a"});
    write(
        &world,
        "m",
        lines(&[record("a", b"old"), record("a", b"new"), skipped]),
    );
    let run = world.run(&["verify", "m", "--json"]);
    assert_eq!(run.exits(0).records().len(), 2);
    assert_eq!(run.records()[0]["sha256"], sha256(b"new"));
}

#[test]
fn a_torn_line_is_a_warning_and_any_other_is_wrong() {
    let world = World::bare();
    write(&world, "a", "abc");
    let good = lines(&[record("a", b"abc")]);
    write(&world, "torn", format!("{good}{}", &good[..40]));
    let run = world.run(&["verify", "torn"]);
    run.exits(0).says("warning: torn: line 2 was cut short");
    run.says("1 file verified, 0 wrong");
    assert_eq!(world.run(&["verify", "torn", "-q"]).exits(0).stderr, "");
    write(&world, "broken", format!("{good}null\n\n{good}nonsense\n"));
    for (arguments, failed) in [
        (&["verify", "broken", "-q"][..], None),
        (&["verify", "broken", "--json"], Some(2)),
    ] {
        let run = world.run(arguments);
        run.exits(6).says("broken: line 2 cannot be read");
        run.says("broken: line 5 cannot be read");
        if failed.is_some() {
            assert_eq!(run.records().last().unwrap()["failed"].as_u64(), failed);
        } else {
            assert_eq!(run.stdout, "");
        }
    }
    write(&world, "first", &good[..40]);
    world
        .run(&["verify", "first"])
        .exits(2)
        .says("line 1 was cut short")
        .says("first holds no document");
}

#[test]
fn a_manifest_without_a_document_is_wrong_usage() {
    let world = World::bare();
    write(&world, "m", " \n\r\n# a comment\n");
    let failed = json!({"type": "document", "provider": "sm", "id": "7", "status": "failed",
        "error": {"code": "not_found", "message": "x"}});
    let planned = json!({"type": "document", "status": "planned", "path": "a"});
    write(
        &world,
        "failed",
        lines(&[failed, json!({"type": "summary", "failed": 1})]),
    );
    write(&world, "planned", lines(&[planned]));
    for manifest in ["m", "failed", "planned", "/dev/null"] {
        let run = world.run(&["verify", manifest, "--json"]);
        assert_eq!(run.exits(2).stdout, "");
        run.says("holds no document");
    }
}

#[test]
fn a_folder_in_place_of_a_manifest_names_the_manifest_in_it() {
    let (service, _) = Service::with("x.bin", 10, &[]);
    let world = service.world();
    world.run(&["sync", "sm", "a mirror"]).exits(0);
    let command = "`docfetch verify 'a mirror/.docfetch/manifest.jsonl'`";
    for folder in ["a mirror", "a mirror/.docfetch"] {
        world.run(&["verify", folder]).exits(7).says(command);
    }
    fs::create_dir(world.out().join("other")).unwrap();
    let run = world.run(&["verify", "other"]);
    run.exits(7).says("error: cannot read other");
    run.says("why: it is a folder without a manifest");
}

#[test]
fn what_is_no_manifest_is_wrong_usage() {
    let world = World::bare();
    for text in [
        "# Title\n\nwords\n",
        "{\"id\":\"1\",\"name\":\"x\"}\n",
        "\0\0\0",
        "[]",
    ] {
        write(&world, "m", text);
        let run = world.run(&["verify", "m"]);
        assert_eq!(run.exits(2).stdout, "");
        run.says("error: m is not a manifest");
    }
    // Nothing reads it to its end.
    world
        .run(&["verify", "/dev/zero"])
        .exits(2)
        .says("is not a manifest");
    world.run(&["verify"]).exits(2).says("MANIFEST");
}

#[test]
fn a_damaged_first_line_hides_no_later_record() {
    let world = World::bare();
    write(&world, "a", "abc");
    let record = record("a", b"abc").to_string();
    let digest = sha256(b"abc");
    for text in [
        format!("\0\0{}\n{record}\n", &record[9..]),
        format!("\n{}\n\n{digest}  a\n", &digest[1..]),
    ] {
        write(&world, "m", text);
        let run = world.run(&["verify", "m"]);
        run.exits(6)
            .says("cannot be read")
            .says("1 file verified, 1 wrong");
    }
}

#[test]
fn a_manifest_that_cannot_be_read_is_this_machines_trouble() {
    let world = World::bare();
    world
        .run(&["verify", "gone"])
        .exits(7)
        .says("error: cannot read gone");
    world
        .run(&["verify", "."])
        .exits(7)
        .says("error: cannot read .");
}

#[test]
fn a_manifest_may_come_through_a_pipe() {
    let world = World::bare();
    write(&world, "a", "abc");
    let input = lines(&[record("a", b"abc"), record("b", b"")]);
    // Also in a folder of that name: only a file has a place.
    write(&world, ".docfetch/a", "abc");
    for folder in [world.out(), world.out().join(".docfetch")] {
        let mut command = world.command(&["verify", "-"]);
        command.current_dir(folder);
        let run = world.finish_with_input(command, input.as_bytes());
        assert_eq!(run.exits(6).stdout, "b: is missing\n");
        run.says("1 file verified, 1 wrong");
    }
    let run = world.finish_with_input(world.command(&["verify", "-"]), b"words\n");
    run.exits(2).says("standard input is not a manifest");
    let run = world.finish_with_input(world.command(&["verify", "-"]), b"{\"type\":\"x\"}\n7\n");
    run.exits(6).says("standard input: line 2 cannot be read");
}

#[test]
fn paths_start_at_the_current_folder_and_those_of_a_mirror_at_the_mirror() {
    let world = World::bare();
    write(&world, "mirror/sub/a", "abc");
    let absolute = world.out().join("mirror/sub/a");
    let records = [
        record("sub/a", b"abc"),
        record("sub/b", b"abc"),
        record(absolute.to_str().unwrap(), b"abc"),
    ];
    write(&world, "mirror/.docfetch/manifest.jsonl", lines(&records));
    write(&world, "mirror/manifest.jsonl", lines(&records));
    for (folder, manifest, missing) in [
        ("", "mirror/.docfetch/manifest.jsonl", "mirror/sub/b"),
        ("mirror", ".docfetch/manifest.jsonl", "sub/b"),
        ("mirror/.docfetch", "manifest.jsonl", "../sub/b"),
        ("mirror/.docfetch", "./manifest.jsonl", "./../sub/b"),
        ("mirror/sub", "../.docfetch/manifest.jsonl", "../sub/b"),
        ("mirror", "manifest.jsonl", "sub/b"),
    ] {
        let mut command = world.command(&["verify", manifest]);
        command.current_dir(world.out().join(folder));
        let run = world.finish(command.spawn().unwrap(), Instant::now());
        assert_eq!(
            run.exits(6).stdout,
            format!("{missing}: is missing\n"),
            "{folder} {manifest}"
        );
        run.says("2 files verified, 1 wrong");
    }
    let run = world.run(&["verify", "mirror/manifest.jsonl"]);
    assert_eq!(
        run.exits(6).stdout,
        "sub/a: is missing\nsub/b: is missing\n"
    );
    let run = world.run(&["verify", "mirror/.docfetch/manifest.jsonl", "--json"]);
    assert_eq!(run.records()[0]["path"], "mirror/sub/a");
}

#[test]
fn what_sha256sum_printed_is_verified() {
    let world = World::bare();
    for name in ODD {
        write(&world, name, name);
    }
    let latin = OsStr::from_bytes(b"Ums\xe4tze");
    fs::write(world.out().join(latin), "x").unwrap();
    for mode in ["--text", "--binary"] {
        let mut command = world.command_of("sha256sum", &[mode, "--"]);
        command.args(ODD).arg(latin);
        let sums = world.finish(command.spawn().unwrap(), Instant::now());
        write(&world, "given.sums", &sums.exits(0).raw_stdout);
        let run = world.run(&["verify", "given.sums"]);
        assert_eq!(run.exits(0).stdout, "");
        run.says("9 files verified, 0 wrong");
    }
    // It is such a list already: there is nothing to make of it.
    fs::write(world.out().join(latin), "y").unwrap();
    for more in [&[][..], &["--format", "sha256sum"]] {
        let run = world.run(&[&["verify", "given.sums"], more].concat());
        assert_eq!(
            run.exits(6).raw_stdout,
            b"Ums\xe4tze: its SHA-256 is another\n"
        );
    }
    let run = world.run(&["verify", "given.sums", "--json", "--format", "sha256sum"]);
    assert_eq!(run.exits(6).records().len(), 10);
}

#[test]
fn a_list_for_sha256sum_names_the_same_files() {
    let world = World::bare();
    let mut records = Vec::new();
    for name in ODD.into_iter().chain(["-", "sub/plain"]) {
        write(&world, name, name);
        records.push(record(name, name.as_bytes()));
    }
    write(&world, "unknown", "abc");
    records.push(json!({"type": "document", "status": "skipped", "path": "unknown"}));
    write(&world, "m", lines(&records));
    let run = world.run(&["verify", "m", "--format", "sha256sum"]);
    run.exits(0).says("11 files verified, 0 wrong");
    assert_eq!(run.stdout.lines().count(), 11);
    assert!(
        run.stdout
            .contains(&format!("\n{}  sub/plain\n", sha256(b"sub/plain")))
    );
    assert!(
        run.stdout
            .ends_with(&format!("\n{}  unknown\n", sha256(b"abc")))
    );
    check_with_sha256sum(&world, &run.raw_stdout).exits(0);
    // The list is the same whatever --json says, and both find the same file wrong.
    write(&world, "sub/plain", "changed!!");
    let wrong = world.run(&["verify", "m", "--format", "sha256sum", "--json"]);
    assert_eq!(wrong.exits(6).raw_stdout, run.raw_stdout);
    wrong.says("sub/plain: its SHA-256 is another\n");
    wrong.says("10 files verified, 1 wrong");
    let theirs = check_with_sha256sum(&world, &run.raw_stdout);
    assert_eq!(theirs.exits(1).stdout, "sub/plain: FAILED\n");
    let ours = world.finish_with_input(world.command(&["verify", "-"]), &run.raw_stdout);
    assert_eq!(ours.exits(6).stdout, "sub/plain: its SHA-256 is another\n");
}

#[test]
fn a_list_has_the_expected_digests_and_no_digest_of_what_is_wrong() {
    let world = World::bare();
    write(&world, "short", "abc");
    let length = json!({"type": "document", "status": "fetched", "path": "short", "bytes": 4});
    write(&world, "m", lines(&[record("gone", b"gone"), length]));
    let run = world.run(&["verify", "m", "--format", "sha256sum", "-q"]);
    assert_eq!(run.exits(6).stdout, format!("{}  gone\n", sha256(b"gone")));
    assert_eq!(
        run.stderr,
        "gone: is missing\nshort: has 3 bytes instead of 4\n"
    );
    // The variables are those of every command; the format is said each time.
    let mut world = World::bare();
    world
        .set("DOCFETCH_FORMAT", "sha256sum")
        .set("DOCFETCH_JSON", "1");
    write(&world, "m", lines(&[record("gone", b"gone")]));
    assert_eq!(
        world.run(&["verify", "m"]).exits(6).error_code(),
        "length_mismatch"
    );
}

#[test]
fn ten_thousand_files_keep_their_order() {
    let world = World::bare();
    let content = |number: usize| {
        // The first takes longer than those behind it.
        let length = if number == 0 { 4 << 20 } else { number % 7 };
        format!("{number}").repeat(length).into_bytes()
    };
    let mut records = Vec::new();
    let mut expected = String::new();
    for number in 0..10_000 {
        let name = format!("{number}");
        let content = content(number);
        records.push(record(&name, &content));
        if number % 1000 == 3 {
            expected.push_str(&format!("{name}: is missing\n"));
        } else {
            fs::write(world.out().join(&name), content).unwrap();
        }
    }
    fs::write(world.home().join("m"), lines(&records)).unwrap();
    let run = world.run(&["verify", "../m"]);
    assert_eq!(run.exits(6).stdout, expected);
    run.says("9990 files verified, 10 wrong");
    let records = world.run(&["verify", "../m", "--json"]).records();
    let ids = records.iter().filter_map(|record| record["path"].as_str());
    assert!(ids.eq((0..10_000).map(|number| number.to_string())));
}

#[test]
fn a_manifest_cannot_move_the_terminal() {
    let world = World::bare();
    let odd = "\u{202e}a\u{1b}[2J\u{9b}";
    let mut line = record(odd, b"");
    for field in ["provider", "id", "name"] {
        line[field] = json!(odd);
    }
    write(
        &world,
        "m\u{1b}[2J",
        format!("{}{{\u{1b}\n", lines(&[line])),
    );
    for more in [&[][..], &["--json"], &["--format", "sha256sum", "-v"]] {
        let run = world.run(&[&["verify", "m\u{1b}[2J"], more].concat());
        run.exits(6).says("m\\u{1b}[2J: line 2 cannot be read");
        let shown = [&run.stderr, &run.stdout];
        for text in &shown[..1 + usize::from(more.contains(&"--json"))] {
            let moved = text
                .chars()
                .find(|c| matches!(c, '\u{1b}' | '\u{9b}' | '\u{202e}'));
            assert_eq!(moved, None, "{run:#?}");
        }
        if more.is_empty() {
            // For programs the name stays what it is; tests/it/terminal.rs has the terminal.
            assert_eq!(run.stdout, format!("{odd}: is missing\n"));
        }
        if more.contains(&"--json") {
            assert_eq!(run.records()[0]["id"], odd);
        }
    }
}

#[test]
fn a_reader_that_goes_away_ends_it_silently() {
    let world = World::bare();
    let mut records: Vec<_> = (0..1000)
        .map(|number| record(&format!("gone{number}"), b""))
        .collect();
    // What would take minutes is not waited for.
    let large = fs::File::create(world.home().join("large")).unwrap();
    large.set_len(1 << 40).unwrap();
    let mut late = record("../large", b"");
    late["bytes"] = json!(1_u64 << 40);
    records.insert(1, late);
    write(&world, "m", lines(&records));
    for more in ["--json", "-q"] {
        let started = Instant::now();
        let mut child = world.command(&["verify", "m", more]).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        // The first file is missing, whether or not the reader still wants to know.
        assert_eq!(output.status.code(), Some(6));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert!(started.elapsed() < PROMPT);
    }
    write(&world, "right", b"");
    let right = lines(&vec![record("right", b""); 1000]);
    write(&world, "r", &right);
    write(&world, "unreadable", format!("{right}null\n"));
    for (manifest, code) in [("r", 7), ("unreadable", 6)] {
        let command = ["verify", manifest, "--json"];
        let mut child = world.command(&command).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(code), "{manifest}");
    }
    // A full disk is told.
    fs::remove_file(world.home().join("large")).unwrap();
    let script = "exec \"$0\" verify m > /dev/full";
    let command = world.command_of("sh", &["-c", script, env!("CARGO_BIN_EXE_docfetch")]);
    world
        .finish_with_input(command, b"")
        .exits(7)
        .says("error: cannot write to standard output");
}

#[test]
fn a_name_that_is_no_text_is_found_by_a_sha256sum_list_and_shown_as_it_is() {
    let world = World::bare();
    let name = std::ffi::OsString::from_vec(b"\xff\xfe".to_vec());
    let list = [sha256(b"x").as_bytes(), b" *\xff\xfe\n"].concat();
    let run = world.finish_with_input(world.command(&["verify", "-"]), &list);
    assert_eq!(run.exits(6).raw_stdout, b"\xff\xfe: is missing\n");
    fs::write(world.out().join(name), "x").unwrap();
    let run = world.finish_with_input(world.command(&["verify", "-", "--json"]), &list);
    assert_eq!(run.exits(0).records()[0]["path"], "\u{fffd}\u{fffd}");
}
