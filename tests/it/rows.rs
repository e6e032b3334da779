//! Listings of hostile servers: rows of any size, pages of any length, and no end.

use crate::support::raw::{Raw, api, presigned, reply};
use crate::support::{World, processor_time, send};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A server whose list of documents is what `page` says of the page's number, and whose documents are
/// their ids.
fn lister(page: impl Fn(usize) -> String + Send + Sync + 'static) -> (Raw, World) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let base = format!("http://{address}");
    let server = Raw::start_at(address, move |request, stream| {
        let path = request.path().trim_end_matches('/').to_owned();
        if path.ends_with("/documents") {
            reply(stream, "200 OK", &[], page(request.before).as_bytes());
        } else if let Some(id) = path.strip_prefix("/s/") {
            reply(stream, "200 OK", &[("ETag", "\"v1\"")], id.as_bytes());
        } else {
            let id = path.split('/').nth(3).unwrap_or_default();
            api(request, stream, &presigned(&base, &format!("/s/{id}")));
        }
    });
    let mut world = World::new(&server.base());
    world.set("DOCFETCH_RATE_LIMIT", "none");
    (server, world)
}

fn page(rows: &Value, next: Option<String>) -> String {
    json!({"count": null, "next": next, "results": rows}).to_string()
}

#[test]
fn a_row_that_is_no_document_is_told_and_the_others_are_listed_and_mirrored() {
    let long = |bytes: usize| "x".repeat(bytes);
    let rows = json!([
        {"id": "a", "name": "a.txt", "uploaded_at": "1"},
        {"name": "no id"},
        {"id": 7.5},
        {"id": 7, "name": 8, "uploaded_at": "1"},
        {"id": "b/c"},
        {"id": long(1025)},
        {"id": "long-name", "name": long(4097)},
        {"id": "long-time", "uploaded_at": long(2_000_000)},
        {"id": "long-field", "source": {"x": long(64 << 10)}},
        "no object",
        {"id": long(1024), "name": "z.txt", "uploaded_at": long(4096), "source": [1, {"x": null}], "other": long(9000)},
        {"id": "last", "name": 7, "uploaded_at": 7},
    ]);
    let (_server, world) = lister(move |_| page(&rows, None));
    let run = world.run(&["list", "sm", "--json"]);
    assert_eq!(run.exits(0).records().len(), 4);
    let whole_number = &run.records()[1];
    assert_eq!(
        (&whole_number["id"], &whole_number["name"]),
        (&json!("7"), &json!("8"))
    );
    assert_eq!(run.records()[2]["source"], json!([1, {"x": null}]));
    assert_eq!(run.stderr.matches("is not listed").count(), 8, "{run:?}");
    run.says("row 2 is not listed: a row has no id");
    run.says("b/c is not listed");
    run.says("long-time is not listed: a row's uploaded_at has more than 4096 bytes");
    run.says("long-field is not listed: a row's source has more than 65536 bytes");
    // Without a listing's limit no later run reads what it wrote.
    for _ in 0..2 {
        let run = world.run(&["sync", "sm", "m", "--json"]);
        run.exits(5);
        let records = run.records();
        let failed = records.iter().filter(|record| record["status"] == "failed");
        let failed: Vec<_> = failed
            .map(|record| record["error"]["code"].clone())
            .collect();
        assert_eq!(failed, vec!["protocol"; 8]);
        assert_eq!(records.last().unwrap()["failed"], 8);
    }
    assert_eq!(fs::read_dir(world.out().join("m")).unwrap().count(), 5);
    world
        .run(&["verify", "m/.docfetch/manifest.jsonl"])
        .exits(0);
}

#[test]
fn a_listing_ends() {
    let row = |id: String| json!([{"id": id, "name": null, "uploaded_at": "1"}]);
    let next = |number: usize| Some(format!("?page={}", number + 2));
    // Pages that lead to one another, that are the same, that are empty, that repeat ids.
    let (_server, world) = lister(move |_| page(&row("a".into()), Some("?page=2".into())));
    world.run(&["list", "sm"]).exits(5).says("for ever");
    let (_server, world) = lister(move |number| page(&row("a".into()), next(number)));
    world
        .run(&["list", "sm"])
        .exits(5)
        .says("the same page again");
    let (_server, world) = lister(move |number| {
        let rows = json!([{"id": format!("d{}", number % 3), "name": number.to_string()}]);
        page(&rows, next(number))
    });
    world
        .run(&["list", "sm"])
        .exits(5)
        .says("the same page again");
    let (server, world) = lister(move |number| page(&json!([]), next(number)));
    world
        .run(&["list", "sm"])
        .exits(5)
        .says("empty pages without end");
    assert!(server.seen().len() < 200);
    world
        .run(&["sync", "sm", "m"])
        .exits(5)
        .says("empty pages without end");
    // A few empty ones are passed over.
    let (_server, world) = lister(move |number| match number {
        0..10 => page(&json!([]), next(number)),
        _ => page(&row("a".into()), None),
    });
    assert_eq!(world.run(&["list", "sm", "--ids"]).exits(0).stdout, "a\n");
}

/// The largest size that a process had in memory, in bytes.
fn peak(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() * 1024
}

const MIB: usize = 1 << 20;

#[test]
fn a_long_page_takes_little_more_memory_than_its_bytes_and_an_interrupt_ends_its_parsing() {
    let rows = |row: &str, bytes: usize| {
        let mut text = format!("{{\"count\":null,\"next\":null,\"results\":[{row}");
        while text.len() + row.len() < bytes {
            text.push(',');
            text.push_str(row);
        }
        text + "]}"
    };
    let nested = format!("{{\"id\":\"a\",\"source\":[{}0]}}", "[],".repeat(1300));
    for (row, command) in [
        ("{}", &["list", "sm"][..]),
        ("{\"id\":\"a\"}", &["list", "sm"]),
        (&nested, &["list", "sm", "--json"]),
        ("{}", &["sync", "sm", "m", "--json"]),
    ] {
        let text = Arc::new(rows(row, 15 * MIB));
        let sent: Arc<Mutex<Option<Instant>>> = Arc::default();
        let (page, noted) = (Arc::clone(&text), Arc::clone(&sent));
        let (_server, world) = lister(move |_| {
            *noted.lock().unwrap() = Some(Instant::now());
            page.to_string()
        });
        let mut command = world.command(command);
        let mut child = command
            .stdout(fs::File::create("/dev/null").unwrap())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        world.wait_until("the request for a page", || sent.lock().unwrap().is_some());
        let mut most = 0;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) && child.try_wait().unwrap().is_none() {
            most = most.max(peak(child.id()));
            std::thread::sleep(Duration::from_millis(20));
        }
        let before = processor_time(child.id());
        let mut after = before;
        if child.try_wait().unwrap().is_none() {
            send(&child, Signal::INT);
        }
        while child.try_wait().unwrap().is_none() {
            after = processor_time(child.id()).or(after);
            std::thread::sleep(Duration::from_millis(5));
        }
        let worked = after
            .zip(before)
            .map_or(Duration::ZERO, |(after, before)| after - before);
        assert!(worked < Duration::from_secs(1), "{row}: {worked:?}");
        assert!(most > text.len() as u64, "{row}: {most}");
        assert!(most < 4 * text.len() as u64, "{row}: {} MiB", most >> 20);
    }
    // docfetch refuses a longer page.
    let (_server, world) = lister(move |_| "[".repeat(17 * MIB));
    world
        .run(&["list", "sm"])
        .exits(5)
        .says("longer than 16 MiB");
}
