//! `docfetch sync`: a folder that holds every listed document.

use crate::support::raw::{Raw, api, presigned, reply};
use crate::support::services::Service;
use crate::support::strace::with_fault;
use crate::support::tools::strace;
use crate::support::{Run, World, each_at_once, kill, noise, send};
use docfetch::sandbox::{Document, Report};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Documents by name, some of which share one.
fn portfolio(count: usize, bytes: usize) -> Vec<(Document, Vec<u8>)> {
    (0..count)
        .map(|number| {
            let mut content = noise(bytes);
            content.extend(number.to_string().bytes());
            let name = format!("report {}.pdf", number % 100);
            let document = Document::new(&name, content.clone())
                .with_id(&format!("id{number:04}"))
                .with_company(&format!("c{}", number % 3));
            (document, content)
        })
        .collect()
}

fn serve(portfolio: &[(Document, Vec<u8>)], faults: &[&str]) -> Service {
    Service::start(
        portfolio
            .iter()
            .map(|(document, _)| document.clone())
            .collect(),
        faults,
    )
}

/// Every file below a folder, but for docfetch's own.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            if path.file_name().unwrap() == ".docfetch" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.clone(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// The mirror holds each document exactly once, and nothing else.
fn holds_all(folder: &Path, portfolio: &[(Document, Vec<u8>)]) {
    let mut there: Vec<Vec<u8>> = files(folder).into_values().collect();
    let mut due: Vec<Vec<u8>> = portfolio
        .iter()
        .map(|(_, content)| content.clone())
        .collect();
    there.sort();
    due.sort();
    assert!(there == due, "{:#?}", files(folder).into_keys());
}

fn summary(run: &Run) -> Value {
    run.records().pop().unwrap()
}

#[test]
fn a_mirror_is_filled_and_the_next_run_moves_nothing() {
    let portfolio = portfolio(230, 300);
    let service = serve(&portfolio, &[]);
    let world = service.world();
    for provider in ["sm", "onecodex"] {
        let folder = world.out().join(provider);
        let sync = || {
            let arguments = ["sync", provider, provider, "--json", "--rate-limit", "none"];
            let mut arguments = arguments.to_vec();
            // The sandbox keeps Standard Metrics' limit for real.
            if provider == "sm" {
                arguments.extend(["--limit", "26"]);
            }
            world.run(&arguments)
        };
        let all = if provider == "sm" {
            &portfolio[..26]
        } else {
            &portfolio[..]
        };
        let run = sync();
        assert_eq!(summary(run.exits(0))["fetched"], all.len());
        holds_all(&folder, all);
        let names: Vec<PathBuf> = files(&folder).into_keys().collect();
        if provider == "onecodex" {
            assert!(names.contains(&folder.join("report 7.pdf")));
            assert!(names.contains(&folder.join("report 7--id0107.pdf")));
            assert!(names.contains(&folder.join("report 7--id0207.pdf")));
        }
        let before = service.report();
        std::thread::sleep(Duration::from_secs(if provider == "sm" { 10 } else { 0 }));
        let run = sync();
        let end = summary(run.exits(0));
        assert_eq!(
            (&end["fetched"], &end["skipped"]),
            (&json!(0), &json!(all.len()))
        );
        assert_eq!(service.report().storage_requests, before.storage_requests);
        assert_eq!(service.report().charges, before.charges);
        assert_eq!(files(&folder).into_keys().collect::<Vec<_>>(), names);
    }
    assert_eq!(service.charges(), 230);
    assert!(service.report().charges.values().all(|times| *times == 1));
}

/// Standard Metrics with three pages and no rate limit, and how many bytes its storage sent.
fn metrics(portfolio: &[(Document, Vec<u8>)]) -> (Raw, Raw) {
    let contents: BTreeMap<String, Vec<u8>> = portfolio
        .iter()
        .map(|(document, content)| (format!("/{}", document.id), content.clone()))
        .collect();
    let storage = Raw::start(move |request, stream| {
        let content = &contents[request.path()];
        let tag = format!("\"{}\"", request.path());
        match request.range_start() {
            Some(at) => {
                let range = format!("bytes {at}-{}/{}", content.len() - 1, content.len());
                let headers = [("ETag", &*tag), ("Content-Range", &*range)];
                reply(stream, "206 Partial Content", &headers, &content[at..]);
            }
            None => reply(stream, "200 OK", &[("ETag", &*tag)], content),
        }
    });
    let rows: Vec<Value> = portfolio
        .iter()
        .map(|(document, _)| {
            json!({"id": document.id, "name": document.name, "uploaded_at": document.created})
        })
        .collect();
    let base = storage.base();
    let server = Raw::start(move |request, stream| match request.path() {
        "/v1/documents/" => {
            let page: usize = request
                .target
                .split(['?', '&'])
                .find_map(|pair| pair.strip_prefix("page=")?.parse().ok())
                .unwrap();
            let next = (page * 100 < rows.len())
                .then(|| format!("/v1/documents/?page={}&page_size=100", page + 1));
            let results: Vec<&Value> = rows.iter().skip((page - 1) * 100).take(100).collect();
            let page = json!({"count": rows.len(), "next": next, "results": results});
            reply(stream, "200 OK", &[], page.to_string().as_bytes());
        }
        path => {
            let id = path.split('/').nth(3).unwrap_or_default();
            api(request, stream, &presigned(&base, &format!("/{id}")));
        }
    });
    (server, storage)
}

/// Kills a mirror's run again and again; what is under a final name meanwhile is whole.
fn kill_often(world: &World, arguments: &[&str], portfolio: &[(Document, Vec<u8>)]) {
    let folder = world.out().join("mirror");
    std::fs::create_dir_all(&folder).unwrap();
    let (mut slowness, mut there) = (1, 0);
    for round in 0..12u32 {
        let child = world.command(arguments).spawn().unwrap();
        std::thread::sleep(Duration::from_millis((60 + round * 37 % 90).into()) * slowness);
        kill(child);
        // A busy machine needs more time before each kill.
        let before = std::mem::replace(&mut there, files(&folder).len());
        if there == before {
            slowness *= 2;
        }
        for (path, content) in files(&folder) {
            let partial = path.to_string_lossy().contains(".docfetch-");
            let whole = portfolio.iter().any(|(_, due)| *due == content);
            assert!(partial || whole, "{}", path.display());
        }
    }
    assert!(there > 0, "nothing was fetched between the kills");
}

#[test]
fn a_mirror_that_is_killed_again_and_again_gets_whole() {
    let portfolio = portfolio(230, 2000);
    let (server, storage) = metrics(&portfolio);
    let world = World::new(&server.base());
    let arguments = ["sync", "sm", "mirror", "-j", "8", "--rate-limit", "none"];
    kill_often(&world, &arguments, &portfolio);
    world.run(&arguments).exits(0);
    holds_all(&world.out().join("mirror"), &portfolio);
    let moved = storage.seen().len();
    assert!(moved < 230 + 12 * 8 * 2, "{moved} requests to the storage");
    world
        .run(&arguments)
        .exits(0)
        .says("0 fetched, 230 skipped");
    assert_eq!(storage.seen().len(), moved);
    world
        .run(&["verify", "mirror/.docfetch/manifest.jsonl"])
        .exits(0);
}

/// A kill right while a paid request is on its way leaves a doubt, and nothing else does.
#[test]
fn a_paid_mirror_that_is_killed_again_and_again_pays_once_or_asks() {
    let portfolio = portfolio(230, 2000);
    let service = serve(&portfolio, &["latency=2ms"]);
    let world = service.world();
    let arguments = ["sync", "onecodex", "mirror", "-j", "8"];
    kill_often(&world, &arguments, &portfolio);
    let run = world.run(&arguments);
    let doubts = world
        .run(&["ledger", "list"])
        .exits(0)
        .stdout
        .matches("\tdoubtful\t")
        .count();
    assert!(doubts <= 12 * 8, "{doubts}");
    assert!(service.report().charges.values().all(|times| *times == 1));
    if doubts > 0 {
        run.exits(8).says("may have been charged already");
        let mut permitted = arguments.to_vec();
        permitted.push("--allow-recharge");
        world.run(&permitted).exits(0);
        let twice = service
            .report()
            .charges
            .into_values()
            .filter(|times| *times > 1);
        assert!(twice.count() <= doubts);
    } else {
        run.exits(0);
    }
    holds_all(&world.out().join("mirror"), &portfolio);
    let moved = service.report().storage_requests;
    world
        .run(&arguments)
        .exits(0)
        .says("0 fetched, 230 skipped");
    assert_eq!(service.report().storage_requests, moved);
}

/// Stopped by a signal that can be heard, nothing is in doubt.
#[test]
fn a_paid_mirror_that_is_stopped_again_and_again_pays_once() {
    let portfolio = portfolio(230, 2000);
    let service = serve(&portfolio, &["latency=2ms"]);
    let world = service.world();
    let arguments = ["sync", "onecodex", "mirror", "-j", "8"];
    for round in 0..12u64 {
        let child = world.command(&arguments).spawn().unwrap();
        world.wait_for_signal_handler(&child);
        std::thread::sleep(Duration::from_millis(50 + round * 37 % 90));
        send(&child, Signal::TERM);
        let run = world.finish(child, Instant::now());
        assert!(matches!(run.code, 143 | 0), "{run:#?}");
    }
    world.run(&arguments).exits(0);
    holds_all(&world.out().join("mirror"), &portfolio);
    assert!(service.report().charges.values().all(|times| *times == 1));
    assert_eq!(service.charges(), 230);
}

/// Killed at each of these calls: before and after a document's line, its name, and all else.
#[test]
fn a_document_is_known_whenever_the_process_was_killed() {
    if !strace() {
        return;
    }
    let portfolio = portfolio(3, 1000);
    each_at_once(["sm", "onecodex"], |provider| {
        let some = || [1, 2, 3, 5, 8, 13, 21].to_vec();
        for (call, numbers) in [
            ("write", some()),
            ("pwrite64", some()),
            ("fdatasync", some()),
            ("fsync", some()),
            ("renameat2", some()),
            ("unlink", (1..36).collect()), // of a sidecar, right after the name was given
        ] {
            for number in numbers {
                let service = serve(&portfolio, &[]);
                let world = service.world();
                let sync = ["sync", provider, "m", "-j", "1"];
                let run = with_fault(&world, (call, "signal=KILL", number), None, &sync);
                if run.code == 0 {
                    break; // it makes fewer calls
                }
                let run = world.run(&sync);
                let charges = service.report().charges;
                assert!(charges.values().all(|times| *times == 1), "{call} {number}");
                if run.code == 8 {
                    let mut permitted = sync.to_vec();
                    permitted.push("--allow-recharge");
                    world.run(&permitted).exits(0);
                } else {
                    run.exits(0);
                }
                holds_all(&world.out().join("m"), &portfolio);
                let Report {
                    storage_requests,
                    storage_bytes,
                    ..
                } = service.report();
                if call == "unlink" {
                    // Never in mid-transfer: what has its name, or only lacks it, is not sent again.
                    assert_eq!(storage_bytes, 3 * 1001, "{provider} {number}");
                }
                world.run(&sync).exits(0).says("0 fetched, 3 skipped");
                assert_eq!(
                    service.report().storage_requests,
                    storage_requests,
                    "{call} {number}"
                );
            }
        }
    });
}

/// When a document was uploaded, and what it holds.
type Version = (String, Vec<u8>);

/// An API whose one document changes.
fn changing() -> (Raw, Raw, Arc<Mutex<Version>>) {
    let now = Arc::new(Mutex::new((
        "2026-10-01T08:30:00Z".to_owned(),
        b"old".to_vec(),
    )));
    let (stored, listed) = (Arc::clone(&now), Arc::clone(&now));
    let storage = Raw::start(move |_, stream| {
        let content = stored.lock().unwrap().1.clone();
        reply(stream, "200 OK", &[], &content);
    });
    let url = presigned(&storage.base(), "/plan.pdf");
    let server = Raw::start(move |request, stream| {
        if request.path() == "/v1/documents/" {
            let uploaded_at = listed.lock().unwrap().0.clone();
            let row = json!({"id": "one", "name": "plan.pdf", "uploaded_at": uploaded_at});
            let page = json!({"count": 1, "next": null, "results": [row]});
            reply(stream, "200 OK", &[], page.to_string().as_bytes());
        } else {
            api(request, stream, &url);
        }
    });
    (server, storage, now)
}

#[test]
fn a_replaced_document_is_fetched_again_and_the_old_one_kept_until_then() {
    let (server, storage, now) = changing();
    let world = World::new(&server.base());
    world.run(&["sync", "sm", "m"]).exits(0);
    assert_eq!(world.read("m/plan.pdf"), b"old");
    *now.lock().unwrap() = ("2026-10-02T08:30:00Z".to_owned(), b"new!".to_vec());
    world
        .run(&["sync", "sm", "m", "--dry-run"])
        .exits(0)
        .says("1 planned");
    assert_eq!(world.read("m/plan.pdf"), b"old");
    // An edit of the user's goes with the old version, and that is said.
    std::fs::write(world.out().join("m/plan.pdf"), "edited").unwrap();
    world
        .run(&["sync", "sm", "m"])
        .exits(0)
        .says("m/plan.pdf is not as it was written")
        .says("1 fetched");
    assert_eq!(world.read("m/plan.pdf"), b"new!");
    let asked = storage.seen().len();
    world
        .run(&["sync", "sm", "m"])
        .exits(0)
        .says("0 fetched, 1 skipped");
    assert_eq!(storage.seen().len(), asked);
}

#[test]
fn what_was_changed_or_removed_is_fetched_again_and_said() {
    let portfolio = portfolio(3, 100);
    let service = serve(&portfolio, &[]);
    let world = service.world();
    world.run(&["sync", "onecodex", "m"]).exits(0);
    std::fs::remove_file(world.out().join("m/report 1.pdf")).unwrap();
    std::fs::write(world.out().join("m/report 2.pdf"), "short").unwrap();
    let run = world.run(&["sync", "onecodex", "m"]);
    run.exits(0)
        .says("m/report 1.pdf was removed: fetching it again")
        .says("m/report 2.pdf is not as it was written: fetching it again")
        .says("2 fetched, 1 skipped");
    holds_all(&world.out().join("m"), &portfolio);
    assert_eq!(service.charges(), 3, "the URLs still live");
    // The same length: only a digest tells.
    let mut same_length = portfolio[0].1.clone();
    same_length[0] ^= 1;
    std::fs::write(world.out().join("m/report 0.pdf"), &same_length).unwrap();
    world
        .run(&["sync", "onecodex", "m"])
        .exits(0)
        .says("0 fetched, 3 skipped");
    world
        .run(&["sync", "onecodex", "m", "--verify"])
        .exits(0)
        .says("1 fetched, 2 skipped");
    holds_all(&world.out().join("m"), &portfolio);
}

#[test]
fn a_removed_document_whose_paid_url_is_over_is_a_new_retrieval_and_said() {
    let portfolio = portfolio(1, 100);
    let service = serve(&portfolio, &["expire-after=1s"]);
    let world = service.world();
    world.run(&["sync", "onecodex", "m"]).exits(0);
    std::fs::remove_file(world.out().join("m/report 0.pdf")).unwrap();
    std::thread::sleep(Duration::from_millis(2200));
    let run = world.run(&["sync", "onecodex", "m"]);
    run.exits(0)
        .says("was removed")
        .says("requesting a new paid retrieval");
    assert_eq!(service.charges(), 2);
}

#[test]
fn files_that_are_not_the_mirrors_are_left_alone() {
    let portfolio = portfolio(3, 100);
    let service = serve(&portfolio, &[]);
    for provider in ["sm", "onecodex"] {
        let world = service.world();
        let folder = world.out().join("m");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("report 0.pdf"), "mine").unwrap();
        std::fs::create_dir(folder.join("report 1.pdf")).unwrap();
        std::fs::write(folder.join("report 2.pdf"), &portfolio[2].1).unwrap();
        let run = world.run(&["sync", provider, "m"]);
        run.exits(0).says("2 fetched, 1 skipped, 0 failed");
        assert_eq!(world.read("m/report 0.pdf"), b"mine");
        assert!(folder.join("report 1.pdf").is_dir());
        for (number, (_, content)) in portfolio[..2].iter().enumerate() {
            assert_eq!(
                world.read(&format!("m/report {number}--id000{number}.pdf")),
                *content
            );
        }
        world
            .run(&["sync", provider, "m"])
            .exits(0)
            .says("0 fetched, 3 skipped");
        world
            .run(&["verify", "m/.docfetch/manifest.jsonl"])
            .exits(0);
    }
    assert_eq!(service.charges(), 2, "what is there is not paid for");
}

#[test]
fn names_stay_when_others_come() {
    let document = |id: &str, created: &str| {
        Document::new("report.pdf", id.to_owned())
            .with_id(id)
            .with_created(created)
    };
    let first = document("one", "2026-10-01T00:00:00Z");
    let second = document("two", "2026-10-02T00:00:00Z");
    let service = Service::start(vec![first.clone()], &[]);
    let world = service.world();
    world.run(&["sync", "onecodex", "m"]).exits(0);
    // It is listed first now, being newer; another base and key make no difference to the mirror.
    let service = Service::start(vec![second, first], &[]);
    let mut world = world;
    let other = service.world();
    for name in ["ONE_CODEX_API_BASE", "ONE_CODEX_API_KEY"] {
        world.set(name, &other.variable(name));
    }
    world
        .run(&["sync", "onecodex", "m"])
        .exits(0)
        .says("1 fetched, 1 skipped");
    assert_eq!(world.read("m/report.pdf"), b"one");
    assert_eq!(world.read("m/report--two.pdf"), b"two");
    assert_eq!(service.charges(), 1);
}

#[test]
fn rows_name_folders_and_cannot_leave_the_mirror() {
    let mut portfolio = portfolio(3, 100);
    portfolio[0].0.company = "../../c0".into();
    portfolio[1].0.company = "..".into();
    let service = serve(&portfolio, &[]);
    let world = service.world();
    let name = "{company_id}/{uploaded_at}-{name}";
    world.run(&["sync", "sm", "m", "--name", name]).exits(0);
    holds_all(&world.out().join("m"), &portfolio);
    let date = "2026-10-01T08_30_00Z";
    for (path, number) in [
        (format!("m/_.._c0/{date}-report 0.pdf"), 0),
        (format!("m/_/{date}-report 1.pdf"), 1),
        (format!("m/c2/{date}-report 2.pdf"), 2),
    ] {
        assert_eq!(world.read(&path), portfolio[number].1);
    }
    for wrong in ["{nothing}", "/x", "a//b", "../{name}"] {
        world
            .run(&["sync", "sm", "n", "--name", wrong])
            .exits(2)
            .says("--name");
    }
    assert!(!world.out().join("n").exists());
}

#[test]
fn a_run_with_nothing_to_fetch_says_so() {
    let portfolio = portfolio(2, 10);
    let service = serve(&portfolio, &[]);
    let world = service.world();
    let nothing = |arguments: &[&str]| {
        let run = world.run(arguments);
        let why = run
            .exits(0)
            .stderr
            .lines()
            .find_map(|line| line.strip_prefix("nothing to fetch: "));
        why.map(str::to_owned)
    };
    assert_eq!(nothing(&["sync", "sm", "m"]), None);
    let real = world.run(&["sync", "sm", "m"]);
    assert!(!real.stderr.contains("would"), "{real:?}");
    let up_to_date = Some("every listed document is up to date".to_owned());
    assert_eq!(nothing(&["sync", "sm", "m"]), up_to_date);
    assert_eq!(nothing(&["sync", "sm", "m", "--dry-run"]), up_to_date);
    let empty = Service::start(Vec::new(), &[]);
    let run = empty.world().run(&["sync", "sm", "m"]);
    run.exits(0)
        .says("nothing to fetch: the provider lists no document\n");
    let none = Some("the provider lists no document that matches".to_owned());
    assert_eq!(
        nothing(&["sync", "sm", "m", "--match", "no such name"]),
        none
    );
    for quiet in ["-q", "--json"] {
        assert_eq!(nothing(&["sync", "sm", "m", quiet]), None);
    }
    std::fs::write(world.out().join("ids"), "# none\n").unwrap();
    let no_ids = Some("no ids were given".to_owned());
    assert_eq!(nothing(&["sm", "--from-file", "ids"]), no_ids);
    std::fs::write(world.out().join("file"), "").unwrap();
    for more in [&[][..], &["--dry-run"]] {
        let arguments = [&["sync", "sm", "file"][..], more].concat();
        world
            .run(&arguments)
            .exits(7)
            .says("why: file is not a folder");
    }
}

#[test]
fn a_dry_run_shows_the_plan_and_touches_nothing() {
    let portfolio = portfolio(3, 100);
    let service = serve(&portfolio, &[]);
    let world = service.world();
    let run = world.run(&["sync", "onecodex", "m", "--dry-run", "--json"]);
    let end = summary(run.exits(0));
    assert_eq!((&end["planned"], &end["bytes"]), (&json!(3), &json!(303)));
    assert!(world.files().is_empty());
    world
        .run(&["sync", "onecodex", "m", "--limit", "1"])
        .exits(0);
    let run = world.run(&["sync", "onecodex", "m", "--dry-run"]);
    run.exits(0)
        .says("2 planned (202 B known), 1 skipped, 0 failed");
    let mut paths: Vec<&str> = run.stdout.lines().collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        ["m/report 0.pdf", "m/report 1.pdf", "m/report 2.pdf"]
    );
    assert_eq!(service.charges(), 1);
}

#[test]
fn the_manifest_has_relative_paths_and_the_records_of_a_fetch() {
    let portfolio = portfolio(2, 100);
    let service = serve(&portfolio, &[]);
    let world = service.world();
    let run = world.run(&["sync", "onecodex", "m", "--json", "--manifest", "all.jsonl"]);
    assert_eq!(
        run.exits(0).records()[0]["path"]
            .as_str()
            .map(|path| &path[..2]),
        Some("m/")
    );
    let text = String::from_utf8(world.read("m/.docfetch/manifest.jsonl")).unwrap();
    let records: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let documents = records.iter().filter(|record| record["type"] == "document");
    let documents: Vec<&Value> = documents.collect();
    assert_eq!(documents.len(), 2);
    for record in documents {
        assert!(
            record["path"].as_str().unwrap().starts_with("report "),
            "{record}"
        );
        assert_eq!(record["status"], "fetched");
        assert_eq!(record["sha256"].as_str().map(str::len), Some(64));
    }
    assert_eq!(
        String::from_utf8(world.read("all.jsonl"))
            .unwrap()
            .lines()
            .count(),
        2
    );
    world.run(&["verify", "all.jsonl"]).exits(0);
    // The mirror can be moved.
    std::fs::rename(world.out().join("m"), world.out().join("n")).unwrap();
    world
        .run(&["verify", "n/.docfetch/manifest.jsonl"])
        .exits(0);
    world
        .run(&["sync", "onecodex", "n"])
        .exits(0)
        .says("0 fetched, 2 skipped");
}

#[test]
fn two_mirrors_of_one_folder_take_turns() {
    let portfolio = portfolio(20, 100);
    let service = serve(&portfolio, &["latency=10ms"]);
    let world = service.world();
    let both = [0, 1].map(|_| world.command(&["sync", "onecodex", "m"]).spawn().unwrap());
    for child in both {
        world.finish(child, Instant::now()).exits(0);
    }
    holds_all(&world.out().join("m"), &portfolio);
    assert_eq!(service.charges(), 20);
    assert_eq!(service.report().storage_requests, 20);
}

#[test]
fn a_planted_manifest_or_folder_is_not_followed() {
    let portfolio = portfolio(1, 100);
    let service = serve(&portfolio, &[]);
    let world = service.world();
    let own = world.out().join("m/.docfetch");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(world.out().join("victim"), "mine").unwrap();
    std::os::unix::fs::symlink("../../victim", own.join("manifest.jsonl")).unwrap();
    let run = world.run(&["sync", "onecodex", "m", "--no-resume"]);
    run.exits(9)
        .says("or move it away")
        .says("by name and length");
    assert!(!run.stderr.contains("--no-resume"), "{run:#?}");
    assert_eq!(world.read("victim"), b"mine");
    assert_eq!(service.charges(), 0);
    std::fs::create_dir_all(world.out().join("elsewhere")).unwrap();
    std::fs::create_dir(world.out().join("n")).unwrap();
    std::os::unix::fs::symlink("../elsewhere", world.out().join("n/.docfetch")).unwrap();
    world
        .run(&["sync", "onecodex", "n"])
        .exits(9)
        .says("symbolic link");
    assert_eq!(
        std::fs::read_dir(world.out().join("elsewhere"))
            .unwrap()
            .count(),
        0
    );
    std::fs::remove_file(own.join("manifest.jsonl")).unwrap();
    let line = json!({
        "type": "document", "provider": "onecodex", "id": "id0000", "status": "fetched",
        "resource": "documents", "path": "../victim", "bytes": 4, "sha256": "0".repeat(64),
        "modified": "2026-10-01T08:30:00Z", "size": 101,
    });
    std::fs::write(own.join("manifest.jsonl"), format!("{line}\n")).unwrap();
    world
        .run(&["sync", "onecodex", "m"])
        .exits(0)
        .says("1 fetched")
        .says("cannot be read");
    assert_eq!(world.read("victim"), b"mine");
}

#[test]
fn a_listing_that_breaks_ends_it_with_what_was_listed() {
    let (storage, first) = (
        Raw::start(|_, stream| reply(stream, "200 OK", &[], b"x")),
        "a",
    );
    let url = presigned(&storage.base(), "/a.pdf");
    let server = Raw::start(
        move |request, stream| match (request.path(), request.before) {
            ("/v1/documents/", 0) => {
                let next = "/v1/documents/?page=2&page_size=100";
                let row =
                    json!({"id": first, "name": "a.pdf", "uploaded_at": "2026-10-01T08:30:00Z"});
                let page = json!({"count": 2, "next": next, "results": [row]});
                reply(stream, "200 OK", &[], page.to_string().as_bytes());
            }
            ("/v1/documents/", _) => reply(stream, "500 Oops", &[], b"{}"),
            _ => api(request, stream, &url),
        },
    );
    let world = World::new(&server.base());
    let run = world.run(&["sync", "sm", "m", "--retries", "0", "--json"]);
    let end = summary(run.exits(5).says("could not answer for the list"));
    assert_eq!((&end["fetched"], &end["exit_code"]), (&json!(1), &json!(5)));
    assert_eq!(world.read("m/a.pdf"), b"x");
}

#[test]
fn filters_and_failures_are_as_elsewhere() {
    let mut portfolio = portfolio(4, 100);
    portfolio[3].0.name = "deck.pdf".into();
    let service = serve(&portfolio, &["status=404"]);
    let world = service.world();
    let run = world.run(&[
        "sync",
        "onecodex",
        "m",
        "--match",
        "REPORT",
        "--fail-fast",
        "-j",
        "1",
        "--retry-max-time",
        "0s",
    ]);
    run.exits(4).says("0 fetched, 0 skipped, 1 failed");
    world
        .run(&["sync", "onecodex", "m", "--company", "c1"])
        .exits(2)
        .says("--company");
    for option in ["--output", "--from-file", "--if-exists"] {
        world
            .run(&["sync", "sm", "m", option, "x"])
            .exits(2)
            .says(option);
    }
}

/// A document that comes while pages are read moves the last row of a page onto the next one.
#[test]
fn a_row_that_is_listed_twice_is_one_document() {
    let storage = Raw::start(|request, stream| {
        reply(stream, "200 OK", &[], request.path().as_bytes());
    });
    let base = storage.base();
    let server = Raw::start(move |request, stream| match request.path() {
        "/v1/documents/" => {
            let row = |id: &str| json!({"id": id, "name": "x.txt", "uploaded_at": "2026-10-01"});
            let (rows, next) = match request.before {
                0 => (vec![row("a"), row("b")], Some("/v1/documents/?page=2")),
                _ => (vec![row("b"), row("c")], None),
            };
            let page = json!({"count": 3, "next": next, "results": rows});
            reply(stream, "200 OK", &[], page.to_string().as_bytes());
        }
        path => {
            let id = path.split('/').nth(3).unwrap_or_default();
            api(request, stream, &presigned(&base, &format!("/{id}")));
        }
    });
    let world = World::new(&server.base());
    let run = world.run(&["sync", "sm", "m"]);
    run.exits(0).says("3 fetched, 0 skipped, 0 failed");
    assert_eq!(files(&world.out().join("m")).len(), 3);
    assert_eq!(storage.seen().len(), 3);
}

#[test]
fn a_folder_at_the_path_of_a_document_is_to_be_moved() {
    let portfolio = portfolio(1, 100);
    let service = serve(&portfolio, &[]);
    let world = service.world();
    world.run(&["sync", "sm", "m"]).exits(0);
    let document = world.out().join("m/report 0.pdf");
    std::fs::remove_file(&document).unwrap();
    std::fs::create_dir(&document).unwrap();
    let run = world.run(&["sync", "sm", "m"]);
    run.exits(7).says("report 0.pdf").says("it is a folder");
    run.says("hint: move or remove what is at that path");
    assert!(!run.stderr.contains("--output"), "{run:#?}");
}

/// A sample of each kind of wrong manifest ends in words, and not in a hang.
#[test]
fn a_manifest_that_is_none_is_said_so() {
    let portfolio = portfolio(1, 100);
    let service = serve(&portfolio, &[]);
    let world = service.world();
    let own = world.out().join("m/.docfetch");
    std::fs::create_dir_all(&own).unwrap();
    let manifest = own.join("manifest.jsonl");
    let status = std::process::Command::new("mkfifo").arg(&manifest).status();
    assert!(status.unwrap().success());
    world
        .run(&["sync", "onecodex", "m"])
        .exits(9)
        .says("not a plain file");
    world.run(&["sync", "onecodex", "m", "--dry-run"]).exits(9);
    std::fs::remove_file(&manifest).unwrap();
    std::fs::write(&manifest, vec![b'x'; 2 << 20]).unwrap();
    world
        .run(&["sync", "onecodex", "m"])
        .exits(7)
        .says("a million characters");
    assert_eq!(service.charges(), 0);
}

/// All bytes of the old version are here when the run ends; the next one lists a new version.
#[test]
fn what_an_interrupted_run_left_of_an_old_version_is_not_the_new_one() {
    if !strace() {
        return;
    }
    let now = Arc::new(Mutex::new((
        "2026-10-01T08:30:00Z".to_owned(),
        b"old".to_vec(),
    )));
    let (stored, listed) = (Arc::clone(&now), Arc::clone(&now));
    let storage = Raw::start(move |_, stream| {
        let content = stored.lock().unwrap().1.clone();
        let tag = format!("\"{}\"", String::from_utf8_lossy(&content));
        reply(stream, "200 OK", &[("ETag", &*tag)], &content);
    });
    let url = presigned(&storage.base(), "/plan.pdf");
    let server = Raw::start(move |request, stream| {
        if request.path() == "/api/v1/documents" {
            let (created_at, content) = listed.lock().unwrap().clone();
            let row = json!([{"$uri": "/api/v1/documents/one", "filename": "plan.pdf",
                "size": content.len(), "created_at": created_at}]);
            let total = [("X-Total-Count", "1")];
            reply(stream, "200 OK", &total, row.to_string().as_bytes());
        } else {
            api(request, stream, &url);
        }
    });
    for new in [&b"new!"[..], b"neW"] {
        let world = World::new(&server.base());
        *now.lock().unwrap() = ("2026-10-01T08:30:00Z".to_owned(), b"old".to_vec());
        let binary = env!("CARGO_BIN_EXE_docfetch");
        let arguments = "-f -qq -o /dev/null -e inject=renameat2:error=EIO".split(' ');
        let arguments = arguments.chain([binary, "sync", "onecodex", "m"]);
        let arguments: Vec<&str> = arguments.collect();
        world.run_of("strace", &arguments).exits(7);
        *now.lock().unwrap() = ("2026-10-02T08:30:00Z".to_owned(), new.to_vec());
        world.run(&["sync", "onecodex", "m"]).exits(0);
        assert_eq!(world.read("m/plan.pdf"), new);
    }
}

#[test]
fn what_is_only_as_long_as_a_document_is_said_to_be_unproven() {
    let portfolio = portfolio(1, 100);
    let service = serve(&portfolio, &[]);
    let world = service.world();
    std::fs::create_dir(world.out().join("m")).unwrap();
    std::fs::write(world.out().join("m/report 0.pdf"), vec![0; 101]).unwrap();
    let run = world.run(&["sync", "onecodex", "m", "--json"]);
    run.exits(0)
        .says("m/report 0.pdf has the name and the length of id0000");
    assert_eq!(
        run.records()[0]["sha256"],
        Value::Null,
        "it is not the document's"
    );
    let text = String::from_utf8(world.read("m/.docfetch/manifest.jsonl")).unwrap();
    let record: Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(
        (&record["sha256"], &record["bytes"]),
        (&Value::Null, &json!(101))
    );
    world
        .run(&["sync", "onecodex", "m"])
        .exits(0)
        .says("1 skipped");
    assert_eq!(service.charges(), 0);
}

#[test]
fn a_mirror_whose_manifest_is_lost_makes_no_further_copies() {
    let portfolio = portfolio(1, 100);
    let service = serve(&portfolio, &[]);
    for provider in ["sm", "onecodex"] {
        let world = service.world();
        let folder = world.out().join("m");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("report 0.pdf"), "mine").unwrap();
        for _ in 0..3 {
            world.run(&["sync", provider, "m"]).exits(0);
            std::fs::remove_dir_all(folder.join(".docfetch")).unwrap();
        }
        let names: Vec<PathBuf> = files(&folder).into_keys().collect();
        let due = ["report 0--id0000.pdf", "report 0.pdf"].map(|name| folder.join(name));
        assert_eq!(names, due);
        assert_eq!(world.read("m/report 0.pdf"), b"mine");
    }
    assert_eq!(service.charges(), 1);
}

#[test]
fn a_name_that_is_too_long_for_the_disk_is_said_so() {
    let mut portfolio = portfolio(1, 100);
    portfolio[0].0.name = format!("{}.pdf", "n".repeat(56));
    let service = serve(&portfolio, &[]);
    let world = service.world();
    // The name fits into the longest path there is, with the id it does not.
    let mut folder = world.out();
    let room = 4095 - 1 - 60;
    while room - folder.as_os_str().len() > 202 {
        folder.push("d".repeat(100));
    }
    folder.push("d".repeat(room - folder.as_os_str().len() - 1));
    let mut short = PathBuf::from(".");
    for part in folder.strip_prefix(world.out()).unwrap() {
        short.push(part);
    }
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(&portfolio[0].0.name), "mine").unwrap();
    let run = world.run(&["sync", "onecodex", folder.to_str().unwrap()]);
    run.exits(7).says("File name too long");
    assert_eq!(service.charges(), 0);
}

#[test]
fn a_link_in_a_mirror_leads_no_document_over_a_file_outside() {
    let portfolio = portfolio(1, 100);
    let service = serve(&portfolio, &[]);
    let world = service.world();
    let outside = world.out().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("report 0.pdf"), "mine").unwrap();
    std::fs::create_dir_all(world.out().join("m/.docfetch")).unwrap();
    std::os::unix::fs::symlink("../outside", world.out().join("m/c0")).unwrap();
    let line = json!({
        "type": "document", "provider": "sm", "id": "id0000", "status": "fetched",
        "resource": "documents", "path": "c0/report 0.pdf", "bytes": 7, "sha256": "0".repeat(64),
        "modified": "2026-10-01T08:30:00Z", "size": null,
    });
    let manifest = world.out().join("m/.docfetch/manifest.jsonl");
    std::fs::write(manifest, format!("{line}\n")).unwrap();
    world.run(&["sync", "sm", "m"]).exits(0);
    assert_eq!(world.read("outside/report 0.pdf"), b"mine");
    assert_eq!(world.read("m/report 0.pdf"), portfolio[0].1);
}

#[test]
fn partials_of_documents_that_are_up_to_date_are_removed_unless_a_process_holds_them() {
    for provider in ["sm", "onecodex"] {
        let (service, content) = Service::with("x.bin", 300_000, &["truncate=200000"]);
        let world = service.world();
        let sync = ["sync", provider, "m", "--name", "{id}/{name}", "-c", "1"];
        world
            .run(&[&sync[..], &["--retries", "0"]].concat())
            .exits(5);
        let folder = world.out().join("m/doc1");
        let left: Vec<_> = files(&folder).into_iter().collect();
        assert_eq!(left.len(), 2, "{left:?}");
        world.run(&sync).exits(0);
        assert_eq!(world.read("m/doc1/x.bin"), content);
        assert_eq!(files(&folder).len(), 1);
        let put_back = || {
            for (path, content) in &left {
                std::fs::write(path, content).unwrap();
            }
        };
        put_back();
        let unknown = folder.join(format!(".docfetch-{}.part", "0".repeat(32)));
        std::fs::write(&unknown, "another document's").unwrap();
        let partial = left
            .iter()
            .find(|(path, _)| path.extension().is_some_and(|e| e == "part"));
        let held = std::fs::File::open(&partial.unwrap().0).unwrap();
        held.lock().unwrap();
        world.run(&sync).exits(0);
        assert_eq!(files(&folder).len(), 4, "a process holds the partial");
        // A child of another test may still have the descriptor.
        held.unlock().unwrap();
        world.run(&[&sync[..], &["--dry-run"]].concat()).exits(0);
        assert_eq!(files(&folder).len(), 4, "a dry run changes nothing");
        let end = summary(&world.run(&[&sync[..], &["--json"]].concat()));
        assert_eq!(end["skipped"], 1);
        let names: Vec<_> = files(&folder).into_keys().collect();
        assert_eq!(names, [unknown, folder.join("x.bin")], "{provider}");
    }
}
