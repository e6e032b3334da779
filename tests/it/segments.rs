//! One document over several connections, and what can break there.

use crate::support::raw::{Raw, Request, asked, both, head, reply, serve};
use crate::support::services::Service;
use crate::support::strace::with_faults;
use crate::support::{World, each_at_once, kill, noise};
use docfetch::sandbox::Document;
use std::io::{Read as _, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
const TAG: &str = "\"v1\"";

/// Passes on 32 KiB at a time, and rests after each.
struct Paced<'a>(&'a mut TcpStream, Duration);

impl Write for Paced<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::thread::sleep(self.1);
        self.0.write(&bytes[..bytes.len().min(32 << 10)])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Answers with a part that calls itself `range`.
fn part(stream: &mut impl Write, tag: Option<&str>, range: &str, body: &[u8]) {
    let tag = tag.map(|tag| ("ETag", tag));
    let headers: Vec<_> = tag.into_iter().chain([("Content-Range", range)]).collect();
    head(stream, "206 Partial Content", &headers, Some(body.len()));
    let _ = stream.write_all(body);
}

/// Answers with the whole.
fn whole(stream: &mut impl Write, tag: &str, body: &[u8]) {
    head(stream, "200 OK", &[("ETag", tag)], Some(body.len()));
    let _ = stream.write_all(body);
}

#[test]
fn a_small_document_has_one_connection_and_one_request() {
    for connections in ["auto", "8"] {
        let (service, content) = Service::with("x.bin", MIB, &[]);
        let world = service.world();
        world.run(&["onecodex", "doc1", "-c", connections]).exits(0);
        assert_eq!(world.read("x.bin"), content);
        let report = service.report();
        let storage = (report.storage_connections, report.storage_requests);
        assert_eq!(storage, (1, 1), "{connections}");
    }
}

#[test]
fn a_large_document_has_as_many_requests_at_once_as_the_user_allows() {
    for (connections, most) in [("8", 8), ("3", 3), ("1", 1)] {
        let (service, content) = Service::with("x.bin", 24 * MIB, &["throttle=8M"]);
        let world = service.world();
        let run = world.run(&["sm", "doc1", "-c", connections, "--json"]);
        let record = &run.exits(0).records()[0];
        assert_eq!(record["bytes"], content.len());
        assert_eq!(
            (&record["attempts"], &record["resolves"]),
            (&1.into(), &1.into())
        );
        assert!(world.read("x.bin") == content);
        assert_eq!(world.files(), ["x.bin"]);
        let report = service.report();
        // A connection that docfetch closes counts until the storage notices.
        let at_once = report.max_open_storage_requests;
        assert!((most..=most + 1).contains(&at_once), "{report:?}");
        // The storage sends nearly no byte twice, and docfetch uses finished connections again.
        assert!(report.storage_bytes < 28 * MIB as u64, "{report:?}");
        assert!(report.storage_connections <= 2 * most, "{report:?}");
    }
}

#[test]
fn connections_are_added_while_they_help() {
    let (service, content) = Service::with("x.bin", 12 * MIB, &["throttle=1M"]);
    let world = service.world();
    world.run(&["sm", "doc1"]).exits(0);
    assert!(world.read("x.bin") == content);
    assert!(service.report().max_open_storage_requests > 4);
}

#[test]
fn a_limited_rate_is_kept_whatever_the_connections() {
    for connections in ["auto", "4"] {
        let (service, content) = Service::with("x.bin", 4 * MIB, &["throttle=4M"]);
        let world = service.world();
        let limited = ["sm", "doc1", "--limit-rate", "2M", "-c", connections];
        let took = world.run(&limited).exits(0).elapsed;
        assert!(took > Duration::from_millis(1800), "{took:?}");
        assert!(world.read("x.bin") == content);
        let most = service.report().max_open_storage_requests;
        assert_eq!(most, if connections == "auto" { 1 } else { 4 });
    }
}

#[test]
fn the_digest_is_of_the_document_in_its_order() {
    let (service, content) = Service::with("x.bin", 12 * MIB, &["throttle=16M"]);
    let world = service.world();
    let run = world.run(&["sm", "doc1", "-c", "8", "--json"]);
    let sha256 = run.exits(0).records()[0]["sha256"].clone();
    let sha256 = sha256.as_str().unwrap();
    assert_eq!(sha256, crate::support::sha256(&content));
    let right = ["sm", "doc1", "-c", "8", "-o", "right", "--sha256", sha256];
    world.run(&right).exits(0);
    let wrong = "0".repeat(64);
    let wrong = [
        "sm", "doc1", "-c", "8", "-o", "wrong", "--sha256", &wrong, "--json",
    ];
    assert_eq!(world.run(&wrong).exits(6).error_code(), "digest_mismatch");
    assert_eq!(world.files(), ["right", "x.bin"]);
}

/// Every fault, over four connections.
#[test]
fn whatever_breaks_the_document_is_whole() {
    let of = |fault: &str| vec![fault.to_owned(), "throttle=8M".to_owned()];
    let all = [
        of("reset-every=700K"),
        of("truncate=1M"),
        of("ignore-range"),
        of("wrong-range"),
        of("status=503x3"),
        of("expire-after=700ms"),
        of("stall-after=1M"),
    ];
    each_at_once(all, |faults| {
        let names: Vec<&str> = faults.iter().map(String::as_str).collect();
        let (service, content) = Service::with("x.bin", 8 * MIB, &names);
        let world = service.world();
        let arguments = [
            "sm",
            "doc1",
            "-c",
            "4",
            "--stall-timeout",
            "1s",
            "-v",
            "--retries",
            "20",
        ];
        world.run(&arguments).exits(0);
        assert!(world.read("x.bin") == content, "{faults:?}");
        assert_eq!(world.files(), ["x.bin"], "{faults:?}");
        // docfetch does not request again what a storage that sends ranges has sent.
        let wasted = service.report().storage_bytes > 12 * MIB as u64;
        let no_ranges = matches!(names[0], "ignore-range" | "wrong-range");
        assert!(!wasted || no_ranges, "{faults:?}: {:?}", service.report());
    });
}

#[test]
fn a_document_whose_tag_changes_with_every_answer_comes_in_one_piece() {
    let (service, content) = Service::with("x.bin", 8 * MIB, &["change-etag"]);
    let world = service.world();
    world.run(&["sm", "doc1", "-c", "4"]).exits(0);
    assert!(world.read("x.bin") == content);
}

#[test]
fn a_document_that_changes_under_way_is_never_a_mixture() {
    for old_goes_on in [true, false] {
        let (old, new) = (noise(8 * MIB), vec![7; 8 * MIB]);
        let (before, after) = (old.clone(), new.clone());
        let changed = Arc::new(AtomicBool::new(false));
        let (api, _storage) = both("/x.bin", move |request, stream| {
            // The first answer is of the old one, which is gone with the next request.
            if request.header("range").is_some() {
                changed.store(true, Ordering::SeqCst);
            }
            if changed.load(Ordering::SeqCst) {
                serve(request, stream, &after, "\"v2\"");
            } else if old_goes_on {
                serve(request, stream, &before, TAG);
            } else {
                let headers = [("ETag", TAG)];
                head(stream, "200 OK", &headers, Some(before.len()));
                let _ = stream.write_all(&before[..MIB]);
            }
        });
        let world = World::new(&api.base());
        world.run(&["sm", "a", "-c", "4"]).exits(0);
        let found = world.read("x.bin");
        assert!(found == new || (old_goes_on && found == old));
        assert_eq!(world.files(), ["x.bin"]);
    }
}

/// Answers with the whole, so slowly that others are answered first. No segment ends where one of its
/// pieces does.
fn slowly(stream: &mut TcpStream, body: &[u8]) {
    head(stream, "200 OK", &[("ETag", TAG)], Some(body.len()));
    for piece in body.chunks(body.len() / 7) {
        let _ = stream.write_all(piece);
        std::thread::sleep(Duration::from_millis(40));
    }
}

/// The first answer, of the whole, is enough, whatever the storage answers to requests for segments.
#[test]
fn an_answer_that_is_no_segment_is_refused_and_spoils_nothing() {
    type Answer = fn(usize, usize, &[u8], &mut TcpStream);
    fn lie(stream: &mut TcpStream, tag: Option<&str>, range: &str, length: usize) {
        part(stream, tag, range, &vec![9; length]);
    }
    let answers: [(&str, Answer); 11] = [
        ("another start", |first, last, all, stream| {
            let range = format!("bytes {}-{last}/{}", first + 1, all.len());
            lie(stream, Some(TAG), &range, last - first);
        }),
        ("another total", |first, last, all, stream| {
            let range = format!("bytes {first}-{last}/{}", all.len() + 1);
            lie(stream, Some(TAG), &range, last + 1 - first);
        }),
        ("no range", |first, last, _, stream| {
            lie(stream, Some(TAG), "bytes", last + 1 - first);
        }),
        ("another length", |first, last, all, stream| {
            let range = format!("bytes {first}-{last}/{}", all.len());
            lie(stream, Some(TAG), &range, last - first);
        }),
        ("no tag", |first, last, all, stream| {
            let range = format!("bytes {first}-{last}/{}", all.len());
            lie(stream, None, &range, last + 1 - first);
        }),
        ("a part with another tag", |first, last, all, stream| {
            let range = format!("bytes {first}-{last}/{}", all.len());
            lie(stream, Some("\"v2\""), &range, last + 1 - first);
        }),
        ("the whole, with another tag", |_, _, all, stream| {
            whole(stream, "\"v2\"", all);
        }),
        ("the whole", |_, _, all, stream| {
            whole(stream, TAG, all);
        }),
        ("nothing there", |_, _, _, stream| {
            reply(stream, "404 Not Found", &[], b"");
        }),
        ("come back in an hour", |_, _, _, stream| {
            reply(stream, "503 Busy", &[("Retry-After", "3600")], b"");
        }),
        ("a reset", |_, _, _, stream| {
            crate::support::raw::reset(stream)
        }),
    ];
    for (what, answer) in answers {
        let content = noise(4 * MIB);
        let (body, answered) = (content.clone(), AtomicUsize::new(0));
        let (api, storage) = both("/x.bin", move |request, stream| {
            if let Some((first, last)) = asked(request, body.len()) {
                answer(first, last, &body, stream);
                // docfetch closes the connection when it has read the answer; a reset waits for the test.
                let moment = Some(Duration::from_millis(300));
                stream.set_read_timeout(moment).unwrap();
                let _ = stream.read(&mut [0]);
                answered.fetch_add(1, Ordering::SeqCst);
                return;
            }
            head(stream, "200 OK", &[("ETag", TAG)], Some(body.len()));
            let _ = stream.write_all(&body[..MIB / 2]);
            until(|| answered.load(Ordering::SeqCst) == 3);
            std::thread::sleep(Duration::from_millis(100));
            let _ = stream.write_all(&body[MIB / 2..]);
        });
        let world = World::new(&api.base());
        let run = world.run(&["sm", "a", "-c", "4", "--retries", "0", "--json"]);
        assert_eq!(run.exits(0).records()[0]["attempts"], 1, "{what}");
        assert!(world.read("x.bin") == content, "{what}");
        // Nor does docfetch request it again and again.
        let requests = storage.seen().len();
        assert!(requests <= 5, "{what}: {requests}");
    }
}

#[test]
fn a_segment_that_is_answered_ten_bytes_at_a_time_counts_as_broken() {
    let content = noise(4 * MIB);
    let body = content.clone();
    let (api, storage) = both("/x.bin", move |request, stream| {
        let bounded = request
            .header("range")
            .is_some_and(|range| !range.ends_with('-'));
        match asked(request, body.len()).filter(|_| bounded) {
            Some((first, _)) => {
                let range = format!("bytes {first}-{}/{}", first + 9, body.len());
                part(stream, Some(TAG), &range, &body[first..first + 10]);
            }
            _ => slowly(stream, &body),
        }
    });
    let world = World::new(&api.base());
    world
        .run(&["sm", "a", "-c", "4", "--retries", "2"])
        .exits(0);
    assert!(world.read("x.bin") == content);
    assert!(storage.seen().len() < 12, "{}", storage.seen().len());
}

#[test]
fn a_storage_that_stops_to_send_ranges_sends_the_rest_in_one_piece() {
    let content = noise(6 * MIB);
    let body = content.clone();
    let (api, _storage) = both("/x.bin", move |request, stream| {
        match (request.before, request.header("range")) {
            // The first is cut off, two bring their part, then there are no ranges.
            (0, _) => {
                head(stream, "200 OK", &[("ETag", TAG)], Some(body.len()));
                let _ = stream.write_all(&body[..MIB / 2]);
                std::thread::sleep(Duration::from_millis(300));
            }
            (1 | 2, Some(_)) => serve(request, stream, &body, TAG),
            _ => whole(stream, TAG, &body),
        }
    });
    let world = World::new(&api.base());
    world.run(&["sm", "a", "-c", "3"]).exits(0);
    assert!(world.read("x.bin") == content);
}

#[test]
fn one_slow_connection_does_not_keep_the_others_waiting() {
    let content = noise(12 * MIB);
    let body = content.clone();
    let slow = AtomicBool::new(false);
    let (api, _storage) = both("/x.bin", move |request, stream| {
        let bounded = request.header("range").is_some();
        if !bounded || slow.swap(true, Ordering::SeqCst) {
            // Some 4 MiB/s, but for the first segment.
            let mut paced = Paced(stream, Duration::from_millis(8));
            return serve(request, &mut paced, &body, TAG);
        }
        serve(
            request,
            &mut Paced(stream, Duration::from_secs(4)),
            &body,
            TAG,
        );
    });
    let world = World::new(&api.base());
    // The slow one takes two minutes for its first segment.
    let run = world.run(&["sm", "a", "-c", "4"]);
    run.is_prompt().exits(0);
    assert!(world.read("x.bin") == content);
}

#[test]
fn a_paid_url_that_expires_during_the_transfer_is_enough_for_the_document() {
    each_at_once(["1", "4", "auto"], |connections| {
        let faults = ["expire-after=1s", "throttle=2M"];
        let (service, content) = Service::with("x.bin", 8 * MIB, &faults);
        let world = service.world();
        world.run(&["onecodex", "doc1", "-c", connections]).exits(0);
        assert!(world.read("x.bin") == content, "{connections}");
        assert_eq!(service.charges(), 1);
    });
}

/// The bytes of a paid document depend on as few requests as possible.
#[test]
fn all_of_a_paid_document_is_requested_at_once() {
    let requests = |provider| {
        let (service, content) = Service::with("x.bin", 24 * MIB, &["throttle=8M"]);
        let world = service.world();
        world.run(&[provider, "doc1", "-c", "4"]).exits(0);
        assert!(world.read("x.bin") == content);
        service.report().storage_requests
    };
    let (paid, free) = (requests("onecodex"), requests("sm"));
    assert!(paid <= 6 && free > 8, "{paid}, {free}");
}

#[test]
fn short_answers_that_bring_something_are_no_failures() {
    let content = noise(6 * MIB);
    let body = content.clone();
    let (api, storage) = both("/x.bin", move |request, stream| {
        let Some((first, last)) = asked(request, body.len()) else {
            return slowly(stream, &body);
        };
        // At most 300 KB of the requested range.
        let last = last.min(first + 299_999);
        let range = format!("bytes {first}-{last}/{}", body.len());
        part(stream, Some(TAG), &range, &body[first..=last]);
    });
    let world = World::new(&api.base());
    world
        .run(&["sm", "a", "-c", "4", "--retries", "0"])
        .exits(0);
    assert!(world.read("x.bin") == content);
    assert!(storage.seen().len() > 4);
}

#[test]
fn a_sidecar_that_was_torn_leaves_the_one_before() {
    // Its two places: one of them is spoilt, or both.
    let cases = [(&[0][..], true), (&[1], true), (&[0, 1], false)];
    each_at_once(cases, |(spoilt, kept)| {
        let (service, content) = Service::with("x.bin", 16 * MIB, &["throttle=1M"]);
        let world = service.world();
        let child = world.command(&["sm", "doc1", "-c", "8"]).spawn().unwrap();
        let sidecar = || world.file_ending(".json");
        world.wait_until("both places are written", || {
            let metadata = sidecar().and_then(|path| path.metadata().ok());
            metadata.is_some_and(|metadata| metadata.len() > 32 << 10)
        });
        // Both record bytes.
        std::thread::sleep(Duration::from_millis(500));
        kill(child);
        let sidecar = sidecar().unwrap();
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(&sidecar)
            .unwrap();
        for place in spoilt {
            // A digit that leaves all of it readable.
            let begin = place * (32 << 10);
            let text = std::fs::read(&sidecar).unwrap().split_off(begin);
            let crc = br#""crc":""#;
            let at = text
                .windows(crc.len())
                .position(|text| text == crc)
                .unwrap()
                + crc.len();
            let other = [if text[at] == b'7' { b'8' } else { b'7' }];
            let at = (begin + at) as u64;
            std::os::unix::fs::FileExt::write_all_at(&file, &other, at).unwrap();
        }
        let run = world.run(&["sm", "doc1", "-c", "8", "--json"]);
        let resumed = run.exits(0).records()[0]["resumed_from"].as_u64().unwrap();
        assert_eq!(resumed > 0, kept, "{spoilt:?}: {resumed}");
        assert!(world.read("x.bin") == content, "{spoilt:?}");
    });
}

#[test]
fn a_storage_that_wants_fewer_connections_gets_fewer() {
    let content = noise(8 * MIB);
    let body = content.clone();
    let busy = Arc::new(AtomicBool::new(false));
    let (api, storage) = both("/x.bin", move |request, stream| {
        if busy.swap(true, Ordering::SeqCst) {
            reply(
                stream,
                "503 Slow Down",
                &[],
                b"<Error><Code>SlowDown</Code></Error>",
            );
            return;
        }
        let asked = request.header("range").is_some();
        std::thread::sleep(Duration::from_millis(if asked { 50 } else { 300 }));
        serve(request, stream, &body, TAG);
        busy.store(false, Ordering::SeqCst);
    });
    let world = World::new(&api.base());
    world
        .run(&["sm", "a", "-c", "8", "--retries", "30"])
        .exits(0);
    assert!(world.read("x.bin") == content);
    assert!(storage.seen().len() < 40, "{}", storage.seen().len());
}

#[test]
fn the_extents_that_a_killed_process_wrote_are_not_requested_again() {
    each_at_once(["8", "1", "auto"], |connections| {
        let (service, content) = Service::with("x.bin", 16 * MIB, &["throttle=1M"]);
        let world = service.world();
        let mut child = world
            .command(&["onecodex", "doc1", "-c", "8"])
            .spawn()
            .unwrap();
        world.wait_until("a good part has come", || {
            service.report().storage_bytes > 7 * MIB as u64
        });
        assert!(child.try_wait().unwrap().is_none());
        kill(child);
        let before = service.report().storage_bytes;
        let run = world.run(&["onecodex", "doc1", "-c", connections, "--json"]);
        let resumed = run.exits(0).records()[0]["resumed_from"].as_u64().unwrap();
        assert!(resumed > 0, "{resumed} of {before}");
        assert!(world.read("x.bin") == content, "{connections}");
        assert_eq!(world.files(), ["x.bin"]);
        let moved = service.report().storage_bytes - before;
        let most = 20 * MIB as u64 - resumed;
        assert!(
            moved < most,
            "{connections}: {moved}, resumed from {resumed}"
        );
        assert_eq!(service.charges(), 1);
    });
}

#[test]
fn a_document_that_is_killed_again_and_again_arrives_over_eight_connections() {
    let (service, content) = Service::with("x.bin", 24 * MIB, &["throttle=1M"]);
    let world = service.world();
    let mut kills = 0u64;
    while !world.out().join("x.bin").exists() && kills < 60 {
        let child = world
            .command(&["onecodex", "doc1", "-c", "8"])
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(150 + kills * 37 % 200));
        kill(child);
        kills += 1;
    }
    assert!(kills > 5, "{kills}");
    world
        .run(&["onecodex", "doc1", "--if-exists", "skip"])
        .exits(0);
    assert!(world.read("x.bin") == content);
    let moved = service.report().storage_bytes;
    assert!(moved < 24 * MIB as u64 * 2, "{moved} after {kills} kills");
    assert_eq!(service.charges(), 1);
}

#[test]
fn an_interrupted_document_resumes_from_all_its_extents() {
    let (service, content) = Service::with("x.bin", 16 * MIB, &["throttle=1M"]);
    let world = service.world();
    let child = world.command(&["sm", "doc1", "-c", "8"]).spawn().unwrap();
    world.wait_until("a good part has come", || {
        service.report().storage_bytes > 7 * MIB as u64
    });
    crate::support::send(&child, rustix::process::Signal::INT);
    world.finish(child, Instant::now()).exits(130);
    let before = service.report().storage_bytes;
    let run = world.run(&["sm", "doc1", "--json"]);
    let resumed = run.exits(0).records()[0]["resumed_from"].as_u64().unwrap();
    assert!(resumed > 3 * MIB as u64, "{resumed}");
    assert!(world.read("x.bin") == content);
    let moved = service.report().storage_bytes - before;
    let most = 20 * MIB as u64 - resumed;
    assert!(moved < most, "{moved}, resumed from {resumed}");
}

#[test]
fn many_documents_over_several_connections_all_arrive() {
    let contents: Vec<Vec<u8>> = (3..9).map(|size| noise(size * MIB)).collect();
    let documents = contents.iter().zip(0..);
    let documents = documents.map(|(content, number)| {
        Document::new(&format!("{number}.bin"), content.clone()).with_id(&format!("doc{number}"))
    });
    let service = Service::start(documents.collect(), &["throttle=8M", "reset-every=1500K"]);
    let world = service.world();
    let ids: Vec<String> = (0..contents.len())
        .map(|number| format!("doc{number}"))
        .collect();
    let mut arguments = vec!["onecodex", "-j", "8", "-c", "4"];
    arguments.extend(ids.iter().map(String::as_str));
    world.run(&arguments).exits(0);
    for (number, content) in contents.iter().enumerate() {
        assert!(world.read(&format!("{number}.bin")) == *content);
    }
    assert!(service.report().charges.values().all(|times| *times == 1));
}

#[test]
fn a_full_disk_and_a_failing_sync_are_told_whatever_the_connections() {
    if !crate::support::tools::strace() {
        return;
    }
    for (call, fault, when, code, what) in [
        ("pwrite64", "error=ENOSPC", "20+", 7, "disk_full"),
        ("fdatasync", "error=EIO", "1+", 7, "local_io"),
    ] {
        let (service, content) = Service::with("x.bin", 24 * MIB, &["throttle=16M"]);
        let world = service.world();
        let arguments = ["sm", "doc1", "-c", "6", "--json"];
        let run = with_faults(&world, (call, fault, when), None, &arguments);
        assert_eq!(run.exits(code).error_code(), what, "{call}");
        assert!(world.files().iter().all(|name| name != "x.bin"));
        world.run(&["sm", "doc1", "-c", "6"]).exits(0);
        assert!(world.read("x.bin") == content, "{call}");
    }
}

#[test]
fn how_many_connections_is_a_number_or_auto() {
    let (service, _) = Service::with("x.bin", 1000, &[]);
    let mut world = service.world();
    for wrong in ["0", "33", "-1", "many", ""] {
        world
            .run(&["sm", "doc1", &format!("--connections={wrong}")])
            .exits(2);
    }
    world.set("DOCFETCH_CONNECTIONS", "0");
    world.run(&["sm", "doc1"]).exits(2).says("--connections");
    world.set("DOCFETCH_CONNECTIONS", "2");
    world.run(&["sm", "doc1"]).exits(0);
}

#[test]
fn a_limited_rate_needs_no_more_connections_however_much_is_left() {
    let (service, content) = Service::with("x.bin", 12 * MIB, &[]);
    let world = service.world();
    let limited = ["sm", "doc1", "--limit-rate", "6M", "-c", "auto"];
    let took = world.run(&limited).exits(0).elapsed;
    assert!(took > Duration::from_millis(1800), "{took:?}");
    assert!(world.read("x.bin") == content);
    assert_eq!(service.report().max_open_storage_requests, 1);
}

#[test]
fn a_paid_document_is_not_cut_up_in_the_last_minute_of_its_url() {
    for (lives, whole) in [("expire-after=50s", true), ("expire-after=10m", false)] {
        let (service, content) = Service::with("x.bin", 8 * MIB, &[lives, "throttle=8M"]);
        let world = service.world();
        world.run(&["onecodex", "doc1", "-c", "4"]).exits(0);
        assert!(world.read("x.bin") == content, "{lives}");
        let requests = service.report().storage_requests;
        assert_eq!(requests == 1, whole, "{lives}: {requests}");
        assert_eq!(service.charges(), 1);
    }
}

/// Looks again and again until something holds, on a server's side.
fn until(holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() && started.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A storage whose first answer, of the whole, ends after half a MiB, when requests for ranges were
/// answered: `answered` of them. `answer` answers them; its first argument is how many came before.
fn cut_off(
    content: &[u8],
    answered: usize,
    answer: impl Fn(usize, &Request, &mut TcpStream) + Send + Sync + 'static,
) -> (Raw, Raw) {
    let body = content.to_vec();
    let (came, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    both("/x.bin", move |request, stream| {
        if request.header("range").is_some() {
            answer(came.fetch_add(1, Ordering::SeqCst), request, stream);
            done.fetch_add(1, Ordering::SeqCst);
            return;
        }
        head(stream, "200 OK", &[("ETag", TAG)], Some(body.len()));
        let _ = stream.write_all(&body[..MIB / 2]);
        until(|| done.load(Ordering::SeqCst) >= answered);
        std::thread::sleep(Duration::from_millis(300));
    })
}

#[test]
fn a_segment_whose_answer_contradicts_itself_leaves_the_rest_to_one_stream() {
    let content = noise(6 * MIB);
    let body = content.clone();
    let (api, storage) = cut_off(&content, 2, move |_, request, stream| {
        let (first, last) = asked(request, body.len()).unwrap();
        // One of the two segments that docfetch requests at first.
        if first < 2 * MIB && last + 1 < body.len() {
            let range = format!("bytes {first}-{last}/{}", body.len());
            return part(stream, Some(TAG), &range, &body[first..last]);
        }
        serve(request, stream, &body, TAG);
    });
    let world = World::new(&api.base());
    world.run(&["sm", "a", "-c", "3"]).exits(0);
    assert!(world.read("x.bin") == content);
    let requests = storage.seen();
    let last = requests.last().unwrap().header("range").unwrap();
    assert_eq!(last, format!("bytes={}-", MIB / 2));
}

/// As a storage of several machines does right after an upload: not all of them know of it.
#[test]
fn a_segment_that_the_storage_does_not_show_yet_is_waited_for() {
    let content = noise(6 * MIB);
    let body = content.clone();
    let missed = OnceLock::new();
    let (api, storage) = cut_off(&content, 2, move |_, request, stream| {
        let (first, _) = asked(request, body.len()).unwrap();
        // One of the two segments that docfetch requests at first.
        let soon = Duration::from_millis(600);
        if first < 2 * MIB && missed.get_or_init(Instant::now).elapsed() < soon {
            return reply(stream, "404 Not Found", &[], b"");
        }
        serve(request, stream, &body, TAG);
    });
    let world = World::new(&api.base());
    world.run(&["sm", "a", "-c", "3"]).exits(0);
    assert!(world.read("x.bin") == content);
    let requests = storage.seen();
    let ranges: Vec<_> = requests
        .iter()
        .filter_map(|request| asked(request, content.len()))
        .collect();
    // docfetch does not request again the segment behind it, which has come meanwhile.
    let other = ranges
        .iter()
        .filter(|(first, last)| (first..=last).contains(&&(5 * MIB / 2)));
    assert_eq!(other.count(), 1, "{ranges:?}");
}

#[test]
fn no_segment_is_requested_before_the_time_that_the_storage_names() {
    let content = noise(8 * MIB);
    let body = content.clone();
    let (came, refused) = (AtomicUsize::new(0), Arc::new(OnceLock::<Instant>::new()));
    let later: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let (log, busy) = (Arc::clone(&later), Arc::clone(&refused));
    let (api, _storage) = both("/x.bin", move |request, stream| {
        if request.header("range").is_none() {
            let mut paced = Paced(stream, Duration::from_millis(50));
            return serve(request, &mut paced, &body, TAG);
        }
        // Three at once: the first one is refused, the others end a while after that.
        match came.fetch_add(1, Ordering::SeqCst) {
            0 => {
                until(|| came.load(Ordering::SeqCst) >= 3);
                busy.set(Instant::now()).unwrap();
                return reply(stream, "503 Slow Down", &[("Retry-After", "2")], b"");
            }
            1 | 2 => {
                until(|| busy.get().is_some());
                std::thread::sleep(Duration::from_millis(500));
            }
            _ => log.lock().unwrap().push(Instant::now()),
        }
        serve(request, stream, &body, TAG);
    });
    let world = World::new(&api.base());
    world.run(&["sm", "a", "-c", "4"]).exits(0);
    assert!(world.read("x.bin") == content);
    let refused = *refused.get().unwrap();
    let later: Vec<Duration> = later
        .lock()
        .unwrap()
        .iter()
        .map(|at| *at - refused)
        .collect();
    assert!(!later.is_empty());
    assert!(
        later.iter().all(|after| *after >= Duration::from_secs(2)),
        "{later:?}"
    );
}

/// The time is the storage's, not the segment's: it counts when the segments end, too.
#[test]
fn no_other_request_leaves_before_the_time_that_the_storage_names() {
    type Answer = fn(&mut TcpStream);
    let ends: [Answer; 2] = [
        |stream| reply(stream, "404 Not Found", &[], b""),
        |stream| crate::support::raw::reset(stream),
    ];
    for (number, end) in ends.into_iter().enumerate() {
        let content = noise(6 * MIB);
        let body = content.clone();
        let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let log = Arc::clone(&times);
        let (api, _storage) = cut_off(&content, 2, move |came, request, stream| {
            if came == 1 {
                until(|| !log.lock().unwrap().is_empty());
            }
            if came <= 1 {
                std::thread::sleep(Duration::from_millis(100));
            }
            log.lock().unwrap().push(Instant::now());
            match came {
                0 => reply(stream, "503 Slow Down", &[("Retry-After", "2")], b""),
                1 => end(stream),
                _ => serve(request, stream, &body, TAG),
            }
        });
        let world = World::new(&api.base());
        let run = world.run(&["sm", "a", "-c", "3", "--retries", "1"]);
        assert!(world.read("x.bin") == content, "{run:?}");
        let times = times.lock().unwrap();
        let rested = times[2] - times[0];
        assert!(rested >= Duration::from_secs(2), "{number}: {rested:?}");
    }
}

/// The storage refuses one of two segments for longer than the first answer, of the whole, takes.
#[test]
fn what_a_segment_waits_for_comes_with_another_answer_if_that_is_sooner() {
    for refused in [MIB, 2 * MIB] {
        let content = noise(3 * MIB);
        let (body, answered) = (content.clone(), AtomicUsize::new(0));
        let (api, storage) = both("/x.bin", move |request, stream| {
            let Some((first, _)) = asked(request, body.len()) else {
                head(stream, "200 OK", &[("ETag", TAG)], Some(body.len()));
                let _ = stream.write_all(&body[..MIB / 2]);
                until(|| answered.load(Ordering::SeqCst) == 2);
                let mut paced = Paced(stream, Duration::from_millis(20));
                let _ = paced.write_all(&body[MIB / 2..]);
                return;
            };
            if first == refused {
                reply(stream, "503 Slow Down", &[("Retry-After", "50")], b"");
            } else {
                serve(request, stream, &body, TAG);
            }
            // docfetch closes the connection when it has read the answer.
            let _ = stream.read(&mut [0]);
            answered.fetch_add(1, Ordering::SeqCst);
        });
        let world = World::new(&api.base());
        world.run(&["sm", "a", "-c", "3"]).exits(0);
        assert!(world.read("x.bin") == content, "{refused}");
        assert_eq!(storage.seen().len(), 3, "{refused}");
    }
}

/// Where the storage refuses what is missing, docfetch tells that, and sends no further request.
#[test]
fn segments_that_are_given_up_end_it_with_what_broke_them() {
    type Answer = fn(&mut TcpStream);
    let denied = |stream: &mut TcpStream| {
        let why = b"<Error><Code>AccessDenied</Code></Error>";
        reply(stream, "403 Forbidden", &[], why);
    };
    let busy = |stream: &mut TcpStream| reply(stream, "503 Slow Down", &[], b"");
    let resets = |stream: &mut TcpStream| crate::support::raw::reset(stream);
    // The first answer and two segments; and more, where that may help.
    let answers: [(Answer, i32, &str, usize); 3] = [
        (denied, 4, "storage_denied", 3),
        (busy, 5, "storage_error", 9),
        (resets, 5, "network", 9),
    ];
    for (answer, exit, code, most) in answers {
        let content = noise(6 * MIB);
        let (api, storage) = cut_off(&content, 2, move |_, _, stream| answer(stream));
        let world = World::new(&api.base());
        let run = world.run(&["sm", "a", "-c", "3", "--retries", "1", "--json"]);
        assert_eq!(run.exits(exit).error_code(), code, "{run:?}");
        let requests = storage.seen().len();
        assert!(requests <= most, "{code}: {requests}");
        assert!(world.files().iter().all(|name| name != "x.bin"));
    }
}

#[test]
fn segments_that_break_are_requested_until_the_deadline() {
    let content = noise(6 * MIB);
    let body = content.clone();
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let log = Arc::clone(&times);
    let (api, _storage) = both("/x.bin", move |request, stream| {
        if request.header("range").is_some() {
            log.lock().unwrap().push(Instant::now());
            return crate::support::raw::reset(stream);
        }
        head(stream, "200 OK", &[("ETag", TAG)], Some(body.len()));
        let _ = stream.write_all(&body[..MIB / 2]);
        std::thread::sleep(Duration::from_millis(3000));
    });
    let world = World::new(&api.base());
    let tries = ["--retries", "1000", "--retry-max-time", "1s", "--json"];
    let run = world.run(&[&["sm", "a", "-c", "3"][..], &tries].concat());
    assert_eq!(run.exits(5).error_code(), "network");
    let times = times.lock().unwrap();
    let after: Vec<Duration> = times.iter().map(|at| *at - times[0]).collect();
    let silent = Duration::from_millis(1700)..Duration::from_millis(2700);
    assert!(!after.iter().any(|at| silent.contains(at)), "{after:?}");
}

/// A request for the whole gets the new version, and a request for a range the old one: only a whole
/// answer is of one version.
#[test]
fn a_storage_whose_machines_disagree_gets_a_request_for_the_whole() {
    let (old, new) = (noise(6 * MIB), vec![7; 6 * MIB]);
    let after = new.clone();
    let parts = AtomicUsize::new(0);
    let (api, storage) = both("/x.bin", move |request, stream| {
        if let Some((first, last)) = asked(request, old.len()) {
            let range = format!("bytes {first}-{last}/{}", old.len());
            part(stream, Some(TAG), &range, &old[first..=last]);
            parts.fetch_add(1, Ordering::SeqCst);
            return;
        }
        // It breaks when a request for a range came meanwhile.
        let before = parts.load(Ordering::SeqCst);
        head(stream, "200 OK", &[("ETag", "\"v2\"")], Some(after.len()));
        let _ = stream.write_all(&after[..MIB / 2]);
        std::thread::sleep(Duration::from_millis(700));
        if parts.load(Ordering::SeqCst) == before {
            let _ = stream.write_all(&after[MIB / 2..]);
        }
    });
    let world = World::new(&api.base());
    world.run(&["sm", "a", "-c", "3"]).exits(0);
    assert!(world.read("x.bin") == new);
    assert!(storage.seen().len() > 3);
}

/// The kernel reports a failed write once: the report must reach the code that publishes.
#[test]
fn a_sync_that_fails_while_the_last_bytes_come_publishes_nothing() {
    if !crate::support::tools::strace() {
        return;
    }
    let (service, content) = Service::with("x.bin", 17 * MIB, &[]);
    let world = service.world();
    let fault = ("fdatasync", "error=EIO:delay_enter=1500000", "1+");
    let run = with_faults(&world, fault, None, &["sm", "doc1", "-c", "2", "--json"]);
    assert_eq!(run.exits(7).error_code(), "local_io");
    assert!(world.files().iter().all(|name| name != "x.bin"));
    world.run(&["sm", "doc1", "-c", "2"]).exits(0);
    assert!(world.read("x.bin") == content);
}

#[test]
fn a_storage_that_never_shows_segments_is_not_asked_without_end() {
    let content = noise(6 * MIB);
    let body = content.clone();
    let (api, storage) = both("/x.bin", move |request, stream| {
        match asked(request, body.len()) {
            // Whole, or to the end: it breaks after a few bytes.
            Some((first, last)) if last + 1 == body.len() && first < MIB => {
                let range = format!("bytes {first}-{last}/{}", body.len());
                let headers = [("ETag", TAG), ("Content-Range", &range[..])];
                head(
                    stream,
                    "206 Partial Content",
                    &headers,
                    Some(last + 1 - first),
                );
                let _ = stream.write_all(&body[first..first + 10]);
            }
            Some(_) => reply(stream, "404 Not Found", &[], b""),
            None => {
                head(stream, "200 OK", &[("ETag", TAG)], Some(body.len()));
                let _ = stream.write_all(&body[..10]);
            }
        }
    });
    let world = World::new(&api.base());
    let limits = ["--retries", "2", "--retry-max-time", "2s", "--json"];
    let run = world.run(&[&["sm", "a", "-c", "4"][..], &limits].concat());
    assert_eq!(run.exits(5).error_code(), "network");
    assert!(storage.seen().len() < 30, "{}", storage.seen().len());
    assert!(world.files().iter().all(|name| name != "x.bin"));
}

#[test]
fn a_disk_that_takes_its_time_is_no_silence_of_the_storage() {
    if !crate::support::tools::strace() {
        return;
    }
    let (service, content) = Service::with("x.bin", 16 * MIB, &["throttle=4M"]);
    let world = service.world();
    let fetch = ["sm", "doc1", "-c", "4", "--stall-timeout", "1s"];
    let fetch = [&fetch[..], &["--retries", "0", "-v"]].concat();
    let run = with_faults(&world, ("pwrite64", "delay_enter=4s", "20"), None, &fetch);
    assert!(run.elapsed > Duration::from_secs(4), "{:?}", run.elapsed);
    assert!(!run.exits(0).stderr.contains("went silent"), "{run:?}");
    assert!(world.read("x.bin") == content);
}

#[test]
fn the_deadline_is_that_of_the_silence_and_not_of_all_that_went_well_before() {
    each_at_once(
        [("1", 30, 2), ("4", 120, 1)],
        |(connections, pace, attempts)| {
            let content = noise(4 * MIB);
            let body = content.clone();
            let first = AtomicBool::new(true);
            let (api, _storage) = both("/x.bin", move |request, stream| {
                if first.swap(false, Ordering::SeqCst) {
                    head(stream, "200 OK", &[("ETag", TAG)], Some(body.len()));
                    let mut paced = Paced(stream, Duration::from_millis(150));
                    let _ = paced.write_all(&body[..MIB / 2]); // in some two and a half seconds
                    return std::thread::sleep(Duration::from_secs(3));
                }
                serve(
                    request,
                    &mut Paced(stream, Duration::from_millis(pace)),
                    &body,
                    TAG,
                );
            });
            let world = World::new(&api.base());
            let times = ["--stall-timeout", "1s", "--retry-max-time", "2s"];
            let run =
                world.run(&[&["sm", "a", "-c", connections, "-v", "--json"][..], &times].concat());
            run.exits(0).says("went silent");
            // Beside other connections docfetch requests it again without another attempt at the document.
            assert_eq!(run.records()[0]["attempts"], attempts);
            assert!(world.read("x.bin") == content);
        },
    );
}
