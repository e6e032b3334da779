//! As many files as documents, however alike their names are to a disk, and names that every disk takes.

use crate::support::World;
use crate::support::raw::{Raw, Request, api, presigned, reply};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::time::Instant;

/// Serves documents by these names, each with its id for content. Rows say in which company they are.
fn named(names: &'static [(&'static str, &'static str)]) -> (Raw, World) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let base = format!("http://{address}");
    let serve = move |request: &Request, stream: &mut TcpStream| {
        let parts: Vec<&str> = request.path().trim_end_matches('/').split('/').collect();
        let of = |id: &str| {
            names
                .iter()
                .find(|(known, _)| *known == id)
                .map(|(_, name)| *name)
        };
        match &parts[..] {
            ["", "s", id] => {
                let name = of(id).unwrap_or_default();
                let disposition = format!("attachment; filename=\"{name}\"");
                let headers = [("ETag", "\"v1\""), ("Content-Disposition", &*disposition)];
                reply(stream, "200 OK", &headers, &id.as_bytes()[..1]);
            }
            [.., "documents"] => {
                let row = |(id, name): &(&str, &str)| json!({"id": id, "name": name, "uploaded_at": "1", "company_id": id.get(1..)});
                let rows: Vec<Value> = names.iter().map(row).collect();
                let page = json!({"count": rows.len(), "next": null, "results": rows});
                reply(stream, "200 OK", &[], page.to_string().as_bytes());
            }
            [.., "documents", id] => {
                let metadata = json!({"filename": of(id), "size": null}).to_string();
                reply(stream, "200 OK", &[], metadata.as_bytes());
            }
            [.., id, "download" | "download_uri"] => {
                api(request, stream, &presigned(&base, &format!("/s/{id}")));
            }
            _ => api(request, stream, ""),
        }
    };
    let server = Raw::start_at(address, serve);
    let mut world = World::new(&server.base());
    world.set("DOCFETCH_RATE_LIMIT", "none");
    (server, world)
}

const ALIKE: [(&str, &str); 12] = [
    ("a", "stra\u{df}e.pdf"),
    ("b", "STRASSE.pdf"),
    ("c", "caf\u{e9}.pdf"),
    ("d", "cafe\u{301}.pdf"),
    ("e", "\u{3c3}\u{3bf}\u{3c6}\u{3cc}\u{3c2}.pdf"),
    ("f", "\u{3a3}\u{39f}\u{3a6}\u{38c}\u{3a3}.pdf"),
    ("g", "\u{17f}et.pdf"),
    ("h", "Set.pdf"),
    ("i", "\u{fb01}le.pdf"),
    ("j", "file.pdf"),
    ("k", "a\u{200d}b.pdf"),
    ("l", "AB.pdf"),
];

#[test]
fn documents_whose_names_a_disk_folds_have_a_file_each() {
    let (_server, world) = named(&ALIKE);
    let ids = ALIKE.map(|(id, _)| id);
    for provider in ["sm", "onecodex"] {
        for mode in ["overwrite", "skip", "rename", "fail"] {
            let folder = format!("{provider}-{mode}");
            let options = ["-d", &folder, "--if-exists", mode, "-j", "12"];
            world
                .run(&[&[provider], &ids[..], &options].concat())
                .exits(0);
            let mut contents = HashSet::new();
            for entry in fs::read_dir(world.out().join(&folder)).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                let content = fs::read_to_string(&path).unwrap();
                // The first of two has the name, the second its id in it.
                let place = ids.iter().position(|id| *id == content).unwrap();
                assert_eq!(
                    name.ends_with(&format!("--{content}")),
                    place % 2 == 1,
                    "{name}"
                );
                contents.insert(content);
            }
            assert_eq!(contents.len(), ids.len(), "{provider} {mode}");
        }
    }
}

/// A link makes of two paths one file, as a disk does that folds names in its own way.
#[test]
fn documents_of_a_mirror_never_share_a_file_that_has_two_paths() {
    let (_server, world) = named(&[("x1", "x.pdf"), ("x2", "x.pdf")]);
    let mirror = world.out().join("m");
    let sync = ["sync", "sm", "m", "--name", "{company_id}/{name}", "--json"];
    let files = || {
        let entries = fs::read_dir(mirror.join("1")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    fs::create_dir_all(mirror.join("1")).unwrap();
    symlink("1", mirror.join("2")).unwrap();
    world.run(&[&sync[..], &["-j", "1"]].concat()).exits(0);
    assert_eq!(files(), ["x--x2.pdf", "x.pdf"]);
    // Nor do they when a mirror says so: the later one is fetched again.
    fs::remove_dir_all(mirror.join("1")).unwrap();
    fs::remove_file(mirror.join("2")).unwrap();
    fs::remove_dir_all(mirror.join(".docfetch")).unwrap();
    world.run(&sync).exits(0);
    assert_eq!(files(), ["x.pdf"]);
    fs::remove_dir_all(mirror.join("2")).unwrap();
    symlink("1", mirror.join("2")).unwrap();
    world
        .run(&sync)
        .exits(0)
        .says("is the file of another document");
    assert_eq!(files(), ["x--x2.pdf", "x.pdf"]);
    // A user who makes hard links knows that the bytes are the same.
    fs::remove_file(mirror.join("1/x--x2.pdf")).unwrap();
    fs::hard_link(mirror.join("1/x.pdf"), mirror.join("1/x--x2.pdf")).unwrap();
    let run = world.run(&sync);
    assert_eq!(run.exits(0).records().last().unwrap()["skipped"], 2);
}

#[test]
fn names_that_are_cut_or_completed_end_in_neither_a_blank_nor_a_dot() {
    // Of two with one name the later one gets its id into it, cut after 64 bytes.
    let ids = [
        "a".to_owned(),
        format!("{} tail", "b".repeat(63)),
        format!("{}. tail", "c".repeat(62)),
    ];
    let names = [
        "same",
        "same.x. ",
        &format!("{} .pdf", "n".repeat(300)),
        &format!("{} . ", "n".repeat(254)),
    ];
    for name in names {
        let name = name.to_owned();
        let server = Raw::start(move |request, stream| match request.method.as_str() {
            "POST" => {
                let host = request.header("host").unwrap();
                let url = presigned(&format!("http://{host}"), request.path());
                api(request, stream, &url);
            }
            _ if request.target.contains("X-Sig") => {
                reply(stream, "200 OK", &[], request.path().as_bytes())
            }
            _ => {
                let metadata = json!({"filename": name, "size": null}).to_string();
                reply(stream, "200 OK", &[], metadata.as_bytes());
            }
        });
        let world = World::new(&server.base());
        for template in ["{name}", "{stem}{ext}.", "{id}", "{name} "] {
            let given: Vec<&str> = ids.iter().map(String::as_str).collect();
            let run = world.run(
                &[
                    &["onecodex"],
                    &given[..],
                    &["-d", "d", "--name", template, "--if-exists", "rename"],
                ]
                .concat(),
            );
            run.exits(0);
        }
        let entries = fs::read_dir(world.out().join("d")).unwrap();
        let names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names.len(), 4 * ids.len());
        for name in names {
            assert!(!name.ends_with([' ', '.']) && name.len() <= 255, "{name:?}");
        }
    }
}

#[test]
fn a_planted_entry_of_a_mirror_is_ignored_and_said() {
    let (_server, world) = named(&[("a1", "a.pdf"), ("b1", "b.pdf"), ("c1", "c.pdf")]);
    let mirror = world.out().join("m");
    let sync = ["sync", "sm", "m", "--json"];
    world.run(&sync).exits(0);
    let manifest = mirror.join(".docfetch/manifest.jsonl");
    let lines = fs::read_to_string(&manifest).unwrap();
    // Another version is listed than was there: its file would be written anew.
    for (path, planted) in [
        ("a.pdf", ".git/hooks/post-checkout"),
        ("b.pdf", ".bashrc"),
        ("c.pdf", "x\\ny"),
    ] {
        let text = lines.replace(
            &format!("\"path\":\"{path}\""),
            &format!("\"path\":\"{planted}\""),
        );
        fs::write(
            &manifest,
            text.replace("\"modified\":\"1\"", "\"modified\":\"0\""),
        )
        .unwrap();
        let run = world.run(&sync);
        run.exits(0)
            .says("of m/.docfetch/manifest.jsonl, because it never makes a path such as");
        assert!(!run.stdout.contains(planted), "{run:?}");
        let names: Vec<_> = fs::read_dir(&mirror)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 4, "{names:?}");
        assert_eq!(fs::read_to_string(mirror.join(path)).unwrap(), path[..1]);
    }
}

#[test]
fn a_path_that_is_no_text_can_be_read_back_from_records_and_manifests() {
    let (_server, world) = named(&[("a1", "a.pdf"), ("b1", "b.pdf")]);
    let folder = OsStr::from_bytes(b"d\xff \xe4%");
    let run = |arguments: &[&OsStr]| {
        let child = world.command(&[]).args(arguments).spawn().unwrap();
        world.finish(child, Instant::now())
    };
    let text = |text: &'static str| OsStr::new(text);
    let options = ["-d", "--json", "--manifest", "m"].map(OsStr::new);
    let [to, json, manifest, file] = options;
    let fetched = run(&[text("sm"), text("a1"), to, folder, json, manifest, file]);
    let record = &fetched.exits(0).records()[0];
    assert_eq!(record["path"], "d\u{fffd} \u{fffd}%/a.pdf");
    assert_eq!(record["path_bytes"], "d%FF%20%E4%25/a.pdf");
    let verified = world.run(&["verify", "m", "--json"]);
    assert_eq!(
        verified.exits(0).records()[0]["path_bytes"],
        "d%FF%20%E4%25/a.pdf"
    );
    // A name that is text has no other form.
    assert!(
        world.run(&["sm", "b1", "--json"]).exits(0).records()[0]
            .get("path_bytes")
            .is_none()
    );
    // docfetch keeps a mirror there as any other.
    for fetched in [2, 0] {
        let run = run(&[text("sync"), text("sm"), folder, json, manifest, text("m2")]);
        let records = run.exits(0).records();
        assert_eq!(
            records.last().unwrap()["fetched"],
            fetched - i32::from(fetched == 2)
        );
    }
    world.run(&["verify", "m2"]).exits(0);
    let mut manifest = folder.to_owned();
    manifest.push("/.docfetch/manifest.jsonl");
    run(&[text("verify"), &manifest]).exits(0);
    fs::remove_file(world.out().join(folder).join("a.pdf")).unwrap();
    world.run(&["verify", "m"]).exits(6);
    world.run(&["verify", "m2"]).exits(6);
}
