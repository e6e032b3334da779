//! Processes that are killed at random moments, four at a time, with one state folder and hosts whose
//! clocks are off: docfetch pays for no document twice, and every file is whole.

use crate::support::raw::{Raw, Request, asked, head, reply};
use crate::support::{World, kill, noise};
use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::net::TcpStream;
use std::ops::Range;
use std::time::{Duration, SystemTime};

/// So many documents are wanted by all processes of a world.
const DOCUMENTS: usize = 10;
const SIZE: usize = 150_000;
/// So many times four processes are started and killed before the documents are looked at.
const ROUNDS: usize = 6;
/// Of so many seconds any clock may be off: two days.
const OFF: u64 = 2 * 24 * 3600;

/// How many processes are killed in all: `DOCFETCH_TEST_KILLS`, or as many as a few seconds allow.
fn kills() -> usize {
    let told = std::env::var("DOCFETCH_TEST_KILLS").ok();
    told.map_or(120, |number| number.parse().unwrap())
}

/// Some number of a range, another one each time.
fn random(range: Range<u64>) -> u64 {
    let number = RandomState::new().hash_one(range.start);
    range.start + number % (range.end - range.start)
}

fn pause(milliseconds: Range<u64>) {
    std::thread::sleep(Duration::from_millis(random(milliseconds)));
}

/// The time by a clock that is off by up to two days.
fn date() -> String {
    let past = SystemTime::now() - Duration::from_secs(OFF);
    httpdate::fmt_http_date(past + Duration::from_secs(random(0..2 * OFF)))
}

/// The bytes of a document; those of two are never alike.
fn content(id: &str) -> Vec<u8> {
    let mut content = noise(SIZE);
    content[..id.len()].copy_from_slice(id.as_bytes());
    content
}

/// Sends the requested range of a document, piece by piece.
fn store(request: &Request, stream: &mut TcpStream) {
    let content = content(request.path().trim_matches('/').trim_end_matches(".bin"));
    let date = date();
    let tag = "\"v1\"";
    let part = asked(request, SIZE)
        .filter(|_| request.header("if-range").is_none_or(|known| known == tag));
    let (first, last) = part.unwrap_or((0, SIZE - 1));
    let range = format!("bytes {first}-{last}/{SIZE}");
    let headers = [("ETag", tag), ("Date", &date), ("Content-Range", &range)];
    match part {
        Some(_) => head(
            stream,
            "206 Partial Content",
            &headers,
            Some(last + 1 - first),
        ),
        None => head(stream, "200 OK", &headers[..2], Some(SIZE)),
    }
    for piece in content[first..=last].chunks(40_000) {
        pause(0..15);
        if stream.write_all(piece).is_err() {
            return;
        }
    }
}

/// Tells names and hands over URLs that never die, whatever clocks say.
fn hand_over(request: &Request, stream: &mut TcpStream, storage: &str) {
    pause(0..20);
    let id = request.path().split('/').nth(4).unwrap_or_default();
    let date = date();
    let headers = [("Date", &*date)];
    let json = if request.method == "POST" {
        let url = format!("{storage}/{id}.bin?X-Sig={}", crate::support::SIGNATURE);
        serde_json::json!({"download_uri": url, "expires_in_hours": 1})
    } else {
        serde_json::json!({"filename": format!("{id}.bin"), "size": SIZE})
    };
    reply(stream, "200 OK", &headers, json.to_string().as_bytes());
}

/// Fails unless every file under a final name of a folder is whole.
#[track_caller]
fn is_whole(world: &World, folder: &str) {
    let Ok(entries) = fs::read_dir(world.out().join(folder)) else {
        return;
    };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.starts_with(".docfetch-") {
            let id = name
                .strip_suffix(".bin")
                .unwrap_or_else(|| panic!("{name}"));
            assert!(fs::read(&path).unwrap() == content(id), "{name}");
        }
    }
}

/// Ids of the documents whose retrieval is in doubt, as the ledger tells.
fn in_doubt(world: &World) -> BTreeSet<String> {
    let records = world.run(&["ledger", "list", "--json"]).records();
    let doubtful = records
        .iter()
        .filter(|record| matches!(record["state"].as_str(), Some("doubtful" | "attempting")));
    doubtful
        .map(|record| record["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Four processes at a time want documents that others want, too, and are killed; returns how many
/// documents ended in doubt, and how many of these were paid for.
fn kill_at_random() -> (usize, usize) {
    let storage = Raw::start(store);
    let base = storage.base();
    let api = Raw::start(move |request, stream| hand_over(request, stream, &base));
    let world = World::new(&api.base());
    let ids: Vec<String> = (0..DOCUMENTS)
        .map(|number| format!("doc{number}"))
        .collect();
    for _ in 0..ROUNDS {
        let children: Vec<_> = (0..4)
            .map(|_| {
                let first = random(0..DOCUMENTS as u64) as usize;
                let wanted = ids.iter().cycle().skip(first).take(4).map(String::as_str);
                let folder = ["a", "b"][random(0..2) as usize];
                let jobs = random(1..5).to_string();
                let mut arguments = vec!["onecodex", "-d", folder, "-j", &jobs];
                arguments.extend(["--if-exists", "skip"]);
                arguments.extend(wanted);
                let child = world.command(&arguments).spawn().unwrap();
                pause(0..30);
                child
            })
            .collect();
        for child in children {
            pause(0..60);
            kill(child);
        }
        is_whole(&world, "a");
        is_whole(&world, "b");
    }
    let doubtful = in_doubt(&world);
    let mut all = vec!["onecodex", "-d", "a", "--if-exists", "skip", "--json"];
    all.extend(ids.iter().map(String::as_str));
    let run = world.run(&all);
    run.exits(if doubtful.is_empty() { 0 } else { 8 });
    let records = run.records();
    let failed = records.iter().filter(|record| record["status"] == "failed");
    let failed: BTreeSet<String> = failed
        .map(|record| record["id"].as_str().unwrap().to_owned())
        .collect();
    // A document in this folder counts, whatever became of another folder's retrieval.
    assert!(
        failed.is_subset(&doubtful),
        "{run:#?}, in doubt: {doubtful:?}"
    );
    is_whole(&world, "a");
    for id in &ids {
        let posts = api.count("POST", &format!("/{id}/"));
        assert!(posts <= 1, "{id} was paid for {posts} times");
        let is_there = world.out().join(format!("a/{id}.bin")).exists();
        assert!(
            is_there || doubtful.contains(id),
            "{id} is missing: {run:#?}"
        );
        assert!(posts == 1 || !is_there, "{id} came from nowhere");
    }
    let paid = doubtful
        .iter()
        .filter(|id| api.count("POST", &format!("/{id}/")) > 0);
    let paid = paid.count();
    (doubtful.len(), paid)
}

#[test]
fn whenever_four_processes_are_killed_and_whatever_clocks_say_nothing_is_paid_twice() {
    let worlds = kills().div_ceil(4 * ROUNDS);
    let (mut doubtful, mut paid) = (0, 0);
    for _ in 0..worlds {
        let (in_doubt, of_them_paid) = kill_at_random();
        doubtful += in_doubt;
        paid += of_them_paid;
    }
    println!(
        "{} kills, {} documents: {doubtful} in doubt, of which {paid} were paid for",
        worlds * ROUNDS * 4,
        worlds * DOCUMENTS
    );
    assert!(doubtful < worlds * DOCUMENTS, "none arrived");
}
