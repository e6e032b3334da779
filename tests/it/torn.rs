//! Partials whose bytes are not those that their sidecar speaks of: torn copies, holes, old versions.

use crate::support::partials::{partial, write_sidecar};
use crate::support::raw::{both, send_part, serve};
use crate::support::{World, kill, noise, send};
use rustix::process::Signal;
use serde_json::json;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SIZE: usize = 300_000;
const HERE: usize = 200_000;
const TAG: &str = "\"v1\"";

#[test]
fn bytes_that_are_not_as_they_were_written_are_fetched_again() {
    let content = noise(SIZE);
    let body = content.clone();
    let (api, storage) = both("/x.bin", move |request, stream| {
        let most = if request.header("range").is_none() {
            HERE
        } else {
            SIZE
        };
        send_part(request, stream, &body, TAG, most);
    });
    type Tear = fn(&File);
    let tears: [(&str, Tear); 6] = [
        ("nothing", |_| ()),
        ("one byte", |file| file.write_all_at(b"X", 100_000).unwrap()),
        ("the first page", |file| {
            file.write_all_at(&[0; 4096], 0).unwrap()
        }),
        ("the last page", |file| {
            file.write_all_at(&[0; 4096], HERE as u64 - 4096).unwrap()
        }),
        ("short", |file| file.set_len(HERE as u64 - 1).unwrap()),
        ("only holes", |file| {
            file.set_len(0).unwrap();
            file.set_len(HERE as u64).unwrap();
        }),
    ];
    for (tear, change) in tears {
        let world = World::new(&api.base());
        world
            .run(&["sm", "a", "--retries", "0", "-c", "1"])
            .exits(5);
        let (path, _) = partial(&world);
        change(&File::options().write(true).open(&path).unwrap());
        let before = storage.seen().len();
        let run = world.run(&["sm", "a", "--json", "-v", "-c", "1"]);
        assert!(world.read("x.bin") == content, "{tear}");
        let resumed_from = &run.exits(0).records()[0]["resumed_from"];
        if tear == "nothing" {
            assert_eq!(*resumed_from, HERE);
            assert_eq!(storage.seen().len(), before + 1);
        } else {
            assert_eq!(*resumed_from, 0, "{tear}");
            run.says("bytes of an earlier run are damaged: docfetch requests them again");
        }
    }
}

#[test]
fn bytes_whose_sidecar_is_damaged_are_discarded_and_the_user_is_told() {
    let content = noise(SIZE);
    let body = content.clone();
    let (api, _) = both("/x.bin", move |request, stream| match request.before {
        0 => send_part(request, stream, &body, TAG, HERE),
        _ => send_part(request, stream, &body, TAG, SIZE),
    });
    let world = World::new(&api.base());
    world.run(&["sm", "a", "--retries", "0"]).exits(5);
    let (_, sidecar) = partial(&world);
    fs::write(sidecar, "garbage").unwrap();
    let run = world.run(&["sm", "a"]);
    run.exits(0).says("their sidecar is damaged");
    assert!(world.read("x.bin") == content);
}

/// A partial of several connections, copied while it was written: the sidecar is of a later moment.
#[test]
fn a_torn_copy_of_a_partial_of_segments_is_mended() {
    let content = noise(20 << 20);
    let (body, killed) = (content.clone(), Arc::new(AtomicBool::new(false)));
    let (fast, sent) = (Arc::clone(&killed), AtomicUsize::new(0));
    let (api, _) = both("/x.bin", move |request, stream| {
        if !fast.load(Ordering::Relaxed) {
            // Enough for a sync at once, and the rest slowly.
            let mut all = Vec::new();
            serve(request, &mut all, &body, TAG);
            for piece in all.chunks(4 << 10) {
                if sent.fetch_add(piece.len(), Ordering::Relaxed) > 17 << 20 {
                    std::thread::sleep(Duration::from_millis(20));
                }
                let _ = stream.write_all(piece);
            }
        } else {
            serve(request, stream, &body, TAG);
        }
    });
    let world = World::new(&api.base());
    let child = world.command(&["sm", "a", "-c", "8"]).spawn().unwrap();
    world.wait_for_partial(4 << 20);
    let (path, sidecar) = partial(&world);
    let noted = |sidecar: &PathBuf| {
        let text = fs::read(sidecar).unwrap_or_default();
        String::from_utf8_lossy(&text).contains("pieces")
    };
    world.wait_until("a sidecar that knows of a sync", || noted(&sidecar));
    kill(child);
    killed.store(true, Ordering::Relaxed);
    // What the copy saw of the later segments was not there yet.
    let file = File::options().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    for at in (1 << 20..length).step_by(7 << 20) {
        file.write_all_at(&vec![0; 1 << 20], at).unwrap();
    }
    let run = world.run_showing(&["sm", "a", "-c", "8", "-v"]); // looking for secrets would take long
    run.exits(0).says("of an earlier run are damaged");
    assert!(world.read("x.bin") == content);
}

/// As commit a8e9f6a left a partial: without a CRC of the synced bytes.
#[test]
fn a_partial_of_an_early_version_is_resumed_as_before() {
    let content = noise(SIZE);
    let body = content.clone();
    let (api, storage) = both("/x.bin", move |request, stream| {
        let most = if request.before == 0 { HERE } else { SIZE };
        send_part(request, stream, &body, TAG, most);
    });
    let world = World::new(&api.base());
    let fetch = ["sm", "a", "--json", "--retries", "0", "-c", "1"];
    world.run(&fetch).exits(5);
    let (_, sidecar) = partial(&world);
    let extents = json!([{"start": 0, "synced": 100_000, "written": []}]);
    let early = json!({
        "extents": extents, "etag": TAG, "total": SIZE, "name": {"told": null, "in_url": "x.bin"},
    });
    write_sidecar(&sidecar, &early);
    let run = world.run(&fetch);
    assert_eq!(run.exits(0).records()[0]["resumed_from"], 100_000);
    assert_eq!(storage.seen()[1].header("range"), Some("bytes=100000-"));
    assert!(world.read("x.bin") == content);
}

#[test]
fn a_long_check_is_shown_and_an_interrupt_ends_it_at_once() {
    let (api, _) = both("/x.bin", |request, stream| {
        send_part(request, stream, &noise(SIZE), TAG, HERE);
    });
    let world = World::new(&api.base());
    world
        .run(&["sm", "a", "--retries", "0", "-c", "1"])
        .exits(5);
    let (path, sidecar) = partial(&world);
    let total = 1u64 << 40; // of holes: it takes no room, and minutes to read
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(total).unwrap();
    let extents = json!([{"start": 0, "synced": total, "written": []}]);
    let large = json!({
        "extents": extents, "etag": TAG, "total": total, "name": {"told": null, "in_url": "x.bin"},
    });
    write_sidecar(&sidecar, &large);
    let (child, log) = world.spawn_logging(&["sm", "a", "--progress", "json"]);
    world.wait_for_text(&log, r#""event":"checking""#);
    send(&child, Signal::INT);
    world.finish(child, Instant::now()).is_prompt().exits(130);
    assert_eq!(file.metadata().unwrap().len(), total);
    assert!(path.exists() && sidecar.exists());
}
