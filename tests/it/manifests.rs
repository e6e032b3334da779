//! `--manifest`: which files docfetch appends to, and what it does to a file that is no manifest.

use crate::support::World;
use crate::support::services::Service;
use std::fs;
use std::os::unix::fs::symlink;

/// The records in a file.
fn records(world: &World, name: &str) -> Vec<serde_json::Value> {
    let text = String::from_utf8(world.read(name)).unwrap();
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_file_that_is_no_manifest_keeps_its_content() {
    let (service, _) = Service::with("x.bin", 10, &[]);
    let world = service.world();
    for text in [
        "@read 1\nACGT\n",
        "doc1\n",
        "{\n \"a\": 1\n}\n",
        "{\"type\":\"Feature\"}\n",
    ] {
        fs::write(world.out().join("mine"), text).unwrap();
        for command in [
            &["sm", "doc1", "-d", "q"][..],
            &["onecodex", "--from-file", "mine", "-d", "q"],
            &["onecodex", "doc1", "-d", "q", "--dry-run"],
            &["sync", "sm", "m"],
        ] {
            let run = world.run(&[command, &["--manifest", "mine"]].concat());
            run.exits(2).says("error: cannot use mine as a manifest");
            run.says("other data").says("first line");
            run.says("hint: give --manifest a new file");
            assert_eq!(world.read("mine"), text.as_bytes());
            assert_eq!(world.files(), ["mine"]);
        }
    }
    assert_eq!(service.charges(), 0);
    fs::write(world.out().join("mine"), "\n").unwrap();
    world.run(&["sm", "doc1", "--manifest", "mine"]).exits(0);
}

#[test]
fn a_document_never_replaces_the_manifest() {
    let (service, content) = Service::with("x.bin", 10, &[]);
    let world = service.world();
    symlink(".", world.out().join("link")).unwrap();
    let same = ["m", "./m", "link/m"];
    for round in 0..2 {
        for manifest in same {
            let all = [
                "sm",
                "doc1",
                "-o",
                "m",
                "--if-exists",
                "overwrite",
                "--manifest",
                manifest,
            ];
            let run = world.run(&all);
            run.exits(2).says("--output and --manifest name one file");
            assert_eq!(world.out().join("m").exists(), round == 1);
        }
        fs::write(world.out().join("m"), "").unwrap();
    }
    // The name comes from the server.
    for (choice, folder) in [("overwrite", "q"), ("skip", "s"), ("fail", "f")] {
        let manifest = format!("{folder}/x.bin");
        let all = [
            "sm",
            "doc1",
            "-d",
            folder,
            "--if-exists",
            choice,
            "--manifest",
            &manifest,
        ];
        world.run(&all).exits(0);
        assert_eq!(records(&world, &manifest)[0]["status"], "fetched");
        assert_eq!(world.read(&format!("{folder}/x--doc1.bin")), content);
    }
    // A device is no file that a document could replace.
    let device = ["sm", "doc1", "-o", "-", "--manifest", "/dev/null"];
    world.run(&device).exits(0);
}

#[test]
fn the_manifest_of_a_mirror_takes_no_lines_of_other_runs() {
    let (service, _) = Service::with("x.bin", 10, &[]);
    let world = service.world();
    let own = "m/.docfetch/manifest.jsonl";
    let refused = |command: &[&str], manifest: &str| {
        let run = world.run(&[command, &["--manifest", manifest]].concat());
        run.exits(2).says("`docfetch sync` writes that file itself");
    };
    refused(&["sync", "sm", "m"], own);
    assert!(world.files().is_empty());
    world.run(&["sync", "sm", "m"]).exits(0);
    let before = world.read(own);
    symlink(own, world.out().join("link")).unwrap();
    symlink("m/.docfetch", world.out().join("folder")).unwrap();
    for manifest in [own, "link", "folder/manifest.jsonl", "folder/new"] {
        refused(&["sync", "sm", "m"], manifest);
        refused(&["sm", "doc1", "-d", "q"], manifest);
        refused(&["sm", "doc1", "-d", "q", "--dry-run"], manifest);
    }
    assert_eq!(world.read(own), before);
    world.run(&["verify", own]).exits(0);
}

#[test]
fn the_missing_folders_of_a_manifest_are_made() {
    let (service, _) = Service::with("x.bin", 10, &[]);
    let world = service.world();
    for (command, manifest) in [
        (&["sm", "doc1", "-d", "q"][..], "q/m.jsonl"),
        (&["sync", "sm", "m"], "a/b/m.jsonl"),
    ] {
        world
            .run(&[command, &["--manifest", manifest]].concat())
            .exits(0);
        assert_eq!(records(&world, manifest)[0]["id"], "doc1");
    }
}

#[test]
fn a_dash_is_no_name_of_a_manifest() {
    let (service, _) = Service::with("x.bin", 10, &[]);
    let mut world = service.world();
    for command in [
        &["sm", "doc1"][..],
        &["sync", "sm", "m"],
        &["sm", "doc1", "--dry-run"],
    ] {
        let run = world.run(&[command, &["--manifest", "-"]].concat());
        run.exits(2).says("error: --manifest - names no file");
        run.says("--json prints the records");
    }
    world.set("DOCFETCH_MANIFEST", "-");
    let run = world.run(&["sm", "doc1"]);
    run.exits(2).says("the value comes from DOCFETCH_MANIFEST");
    assert!(world.files().is_empty());
}

#[test]
fn a_full_disk_under_the_manifest_says_how_to_run_again() {
    let (service, _) = Service::with("x.bin", 10, &[]);
    let world = service.world();
    let run = world.run(&["sm", "doc1", "--manifest", "/dev/full"]);
    run.exits(7)
        .says("hint: free disk space and run again with --if-exists skip");
    let again = ["sm", "doc1", "--if-exists", "skip", "--manifest", "m"];
    world.run(&again).exits(0);
    assert_eq!(records(&world, "m")[0]["path"], "x.bin");
    let run = world.run(&["sync", "sm", "d", "--manifest", "/dev/full"]);
    assert!(!run.exits(7).stderr.contains("--if-exists"), "{run:#?}");
}
