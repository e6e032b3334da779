//! Transfers that break: in this run, and across runs.

use crate::support::raw::{self, Raw, Request, both, head, reply, send_part, serve};
use crate::support::services::Service;
use crate::support::tools::skip;
use crate::support::{SILENCE, World, noise, sha256};
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const SIZE: usize = 300_000;
const TAG: &str = "\"v1\"";

/// Sends all bytes in one chunk, but without the end that chunked bodies have.
fn endless(stream: &mut TcpStream, content: &[u8]) {
    let headers = [("ETag", TAG), ("Transfer-Encoding", "chunked")];
    head(stream, "200 OK", &headers, None);
    let _ = stream.write_all(format!("{:x}\r\n", content.len()).as_bytes());
    let _ = stream.write_all(content);
}

#[test]
fn a_short_body_is_resumed_with_a_validator() {
    let content = noise(SIZE);
    let body = content.clone();
    let (api, storage) = both("/x.bin", move |request, stream| match request.before {
        0 => send_part(request, stream, &body, TAG, SIZE * 4 / 10),
        _ => serve(request, stream, &body, TAG),
    });
    let world = World::new(&api.base());
    let run = world.run(&["sm", "a", "--json"]);
    assert_eq!(run.exits(0).records()[0]["attempts"], 2);
    assert_eq!(world.read("x.bin"), content);
    assert_eq!(world.files(), ["x.bin"]);
    let seen = storage.seen();
    assert_eq!(seen[0].header("range"), None);
    assert_eq!(seen[0].header("accept-encoding"), Some("identity"));
    assert_eq!(
        seen[1].header("range"),
        Some(&*format!("bytes={}-", SIZE * 4 / 10))
    );
    assert_eq!(seen[1].header("if-range"), Some(TAG));
    assert_eq!(api.count("GET", "/download/"), 1);
}

#[test]
fn resets_are_resumed_without_a_byte_twice() {
    let (service, content) = Service::with("x.bin", 10 * 65_536, &["reset-every=64K"]);
    let world = service.world();
    world.run(&["onecodex", "doc1"]).exits(0);
    assert_eq!(world.read("x.bin"), content);
    assert_eq!(service.charges(), 1);
    assert!(service.report().storage_requests >= 10);
}

#[test]
fn a_body_that_never_moves_ends_after_bounded_attempts() {
    let (api, storage) = both("/x.bin", |request, stream| {
        send_part(request, stream, &noise(SIZE), TAG, 10);
    });
    let world = World::new(&api.base());
    let run = world.run(&["sm", "a", "--json", "--retries", "2"]);
    assert_eq!(run.exits(5).error_code(), "network");
    assert_eq!(storage.seen().len(), 3);
    assert!(!world.files().contains(&"x.bin".to_owned()));
}

#[test]
fn the_next_run_resumes_where_this_one_stopped() {
    let content = noise(SIZE);
    let body = content.clone();
    let (api, storage) = both("/x.bin", move |request, stream| match request.before {
        0 => send_part(request, stream, &body, TAG, 200_000),
        _ => serve(request, stream, &body, TAG),
    });
    let world = World::new(&api.base());
    let run = world.run(&["sm", "a", "--json", "--retries", "0"]);
    assert_eq!(run.exits(5).error_code(), "network");
    assert_eq!(
        world.files().len(),
        2,
        "partial and sidecar: {:?}",
        world.files()
    );
    let run = world.run(&["sm", "a", "--json"]);
    assert_eq!(run.exits(0).records()[0]["resumed_from"], 200_000);
    // The digest covers the bytes of the earlier run, too.
    assert_eq!(run.records()[0]["sha256"], sha256(&content));
    assert_eq!(world.read("x.bin"), content);
    assert_eq!(world.files(), ["x.bin"]);
    assert_eq!(storage.seen()[1].header("range"), Some("bytes=200000-"));
}

#[test]
fn a_range_that_is_ignored_starts_over_in_that_same_response() {
    let body = noise(SIZE);
    let (api, storage) = both("/y.bin", move |request, stream| match request.before {
        0 => send_part(request, stream, &body, TAG, 100_000),
        _ => reply(stream, "200 OK", &[("ETag", TAG)], &body),
    });
    let world = World::new(&api.base());
    world.run(&["sm", "a"]).exits(0);
    assert_eq!(world.read("y.bin"), noise(SIZE));
    assert_eq!(storage.seen().len(), 2);
    assert!(storage.seen()[1].header("range").is_some());
}

/// The first attempt breaks; the second is answered by `second`; later ones are right again.
fn second_answer(
    second: impl Fn(&Request, &mut TcpStream, &[u8]) + Send + Sync + 'static,
) -> (World, Raw, Raw) {
    let body = noise(SIZE);
    let (api, storage) = both("/x.bin", move |request, stream| match request.before {
        0 => send_part(request, stream, &body, TAG, 100_000),
        1 => second(request, stream, &body),
        _ => serve(request, stream, &body, TAG),
    });
    (World::new(&api.base()), api, storage)
}

#[test]
fn a_206_that_does_not_continue_is_refused_and_starts_over() {
    type Part = (&'static str, &'static str);
    let parts: [Part; 7] = [
        ("bytes 99999-299999/300000", TAG),  // starts elsewhere
        ("bytes 100000-299999/300001", TAG), // another total
        ("bytes 100000-299999/*", TAG),
        ("bytes 0-199999/200000", TAG),
        ("nonsense", TAG),
        ("bytes 100000-299999/300000", "\"v2\""), // another tag
        ("bytes 100000-299999/300000", "W/\"v1\""), // a weak one
    ];
    for (range, tag) in parts {
        let (world, _api, storage) = second_answer(move |_, stream, _| {
            // Bytes that would be seen in the file.
            let headers = [("Content-Range", range), ("ETag", tag)];
            reply(
                stream,
                "206 Partial Content",
                &headers,
                &vec![b'!'; 200_000],
            );
        });
        world.run(&["sm", "a"]).exits(0);
        assert_eq!(world.read("x.bin"), noise(SIZE), "{range} {tag}");
        assert_eq!(storage.seen()[2].header("range"), None, "{range} {tag}");
    }
}

#[test]
fn a_206_without_an_entity_tag_is_refused() {
    let (world, _api, _storage) = second_answer(|_, stream, _| {
        let headers = [("Content-Range", "bytes 100000-299999/300000")];
        reply(
            stream,
            "206 Partial Content",
            &headers,
            &vec![b'!'; 200_000],
        );
    });
    world.run(&["sm", "a"]).exits(0);
    assert_eq!(world.read("x.bin"), noise(SIZE));
}

#[test]
fn a_document_that_changed_between_attempts_is_fetched_whole_and_never_mixed() {
    let new = noise(SIZE + 7);
    let body = noise(SIZE);
    let expected = new.clone();
    let (api, _storage) = both("/x.bin", move |request, stream| match request.before {
        0 => send_part(request, stream, &body, TAG, 100_000),
        _ => serve(request, stream, &new, "\"v2\""),
    });
    let world = World::new(&api.base());
    world.run(&["sm", "a"]).exits(0);
    assert_eq!(world.read("x.bin"), expected);
    let (world, _api, storage) =
        second_answer(|_, stream, _| reply(stream, "412 Changed", &[], b""));
    world.run(&["sm", "a"]).exits(0);
    assert_eq!(world.read("x.bin"), noise(SIZE));
    assert_eq!(storage.seen().len(), 3);
}

#[test]
fn a_document_that_changes_every_time_is_given_up() {
    let (service, _) = Service::with("x.bin", SIZE, &["change-etag", "truncate=100K"]);
    let world = service.world();
    let run = world.run(&["sm", "doc1", "--json", "--retries", "2"]);
    assert_eq!(run.exits(6).error_code(), "document_changed");
    assert!(!world.files().contains(&"x.bin".to_owned()));
}

#[test]
fn a_416_completes_only_what_is_as_long_as_the_document() {
    let body = noise(SIZE);
    let (api, storage) = both("/x.bin", move |request, stream| match request.before {
        0 => endless(stream, &body),
        _ => serve(request, stream, &body, TAG),
    });
    let world = World::new(&api.base());
    world.run(&["sm", "a"]).exits(0);
    assert_eq!(world.read("x.bin"), noise(SIZE));
    assert_eq!(storage.seen().len(), 2);
    let (world, _api, storage) = second_answer(|_, stream, _| {
        reply(stream, "416 No", &[("Content-Range", "bytes */50000")], b"");
    });
    world.run(&["sm", "a"]).exits(0);
    assert_eq!(world.read("x.bin"), noise(SIZE));
    assert_eq!(storage.seen()[2].header("range"), None);
}

#[test]
fn without_a_strong_entity_tag_nothing_is_joined() {
    for tag in ["", "W/\"v1\""] {
        let body = noise(SIZE);
        let (api, storage) = both("/x.bin", move |request, stream| {
            let headers = [("ETag", tag)];
            let headers = if tag.is_empty() {
                &[][..]
            } else {
                &headers[..]
            };
            head(stream, "200 OK", headers, Some(SIZE));
            let most = if request.before == 0 { 100_000 } else { SIZE };
            let _ = stream.write_all(&body[..most]);
        });
        let world = World::new(&api.base());
        world.run(&["sm", "a"]).exits(0);
        assert_eq!(world.read("x.bin"), noise(SIZE));
        assert_eq!(storage.seen()[1].header("range"), None);
    }
}

#[test]
fn an_unasked_part_is_refused() {
    let (api, _storage) = both("/x.bin", |_, stream| {
        reply(
            stream,
            "206 Partial Content",
            &[("Content-Range", "bytes 0-4/10")],
            b"12345",
        );
    });
    let world = World::new(&api.base());
    let run = world.run(&["sm", "a", "--json"]);
    assert_eq!(run.exits(5).error_code(), "protocol");
    assert!(world.files().is_empty());
}

#[test]
fn an_error_body_is_never_saved() {
    let (service, content) = Service::with("x.bin", SIZE, &["status=503x2"]);
    let world = service.world();
    world.run(&["sm", "doc1"]).exits(0);
    assert_eq!(world.read("x.bin"), content);
    assert_eq!(service.report().storage_requests, 3);
}

#[test]
fn an_object_that_is_not_there_yet_is_waited_for_whatever_the_retries() {
    let (api, storage) = both("/x.bin", |request, stream| match request.before {
        0 | 1 => reply(
            stream,
            "404 Not Found",
            &[],
            b"<Error><Code>NoSuchKey</Code></Error>",
        ),
        _ => reply(stream, "200 OK", &[], b"there"),
    });
    let world = World::new(&api.base());
    world.run(&["onecodex", "a", "--retries", "0"]).exits(0);
    assert_eq!(world.read("x.bin"), b"there");
    assert_eq!(storage.seen().len(), 3);
}

#[test]
fn stored_bytes_are_saved_as_they_are() {
    let (api, _storage) = both("/x.gz", |_, stream| {
        reply(
            stream,
            "200 OK",
            &[("Content-Encoding", "gzip")],
            b"\x1f\x8b not really",
        );
    });
    let world = World::new(&api.base());
    world.run(&["sm", "a"]).exits(0);
    assert_eq!(world.read("x.gz"), b"\x1f\x8b not really");
}

#[test]
fn a_chunked_body_is_complete_only_with_its_terminator() {
    let chunked = |end: &'static [u8]| {
        both("/x.bin", move |_, stream| {
            head(stream, "200 OK", &[("Transfer-Encoding", "chunked")], None);
            let _ = stream.write_all(b"5\r\n12345\r\n");
            let _ = stream.write_all(end);
        })
    };
    let (api, _storage) = chunked(b"0\r\n\r\n");
    let world = World::new(&api.base());
    world.run(&["sm", "a"]).exits(0);
    assert_eq!(world.read("x.bin"), b"12345");
    let (api, _storage) = chunked(b"");
    let world = World::new(&api.base());
    world.run(&["sm", "a", "--retries", "0"]).exits(5);
    assert!(world.files().is_empty());
}

#[test]
fn a_body_that_just_ends_needs_something_to_be_checked_against() {
    let (api, _storage) = both("/x.bin", |_, stream| {
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n12345");
    });
    let world = World::new(&api.base());
    let run = world.run(&["sm", "a", "--json"]);
    assert_eq!(run.exits(6).error_code(), "length_mismatch");
    assert!(world.files().is_empty());
    let digest = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5";
    world.run(&["sm", "a", "--sha256", digest]).exits(0);
    assert_eq!(world.read("x.bin"), b"12345");
}

#[test]
fn another_size_in_the_metadata_is_a_warning() {
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"12345"));
    let url = raw::presigned(&storage.base(), "/x.bin");
    let api = Raw::start(move |request, stream| match request.method.as_str() {
        "GET" => reply(stream, "200 OK", &[], br#"{"filename":"x.bin","size":10}"#),
        _ => raw::api(request, stream, &url),
    });
    let world = World::new(&api.base());
    world
        .run(&["onecodex", "a"])
        .exits(0)
        .says("warning: the provider's metadata says 10 bytes");
    assert_eq!(world.read("x.bin"), b"12345");
}

#[test]
fn metadata_that_fails_or_hangs_is_not_fatal() {
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"12345"));
    for hang in [false, true] {
        let url = raw::presigned(&storage.base(), "/x.bin");
        let api = Raw::start(move |request, stream| match request.method.as_str() {
            "GET" if hang => std::thread::sleep(SILENCE),
            "GET" => reply(stream, "500 Oops", &[], b""),
            _ => raw::api(request, stream, &url),
        });
        let world = World::new(&api.base());
        let run = world.run(&["onecodex", "a"]);
        run.is_prompt().exits(0);
        run.says("warning: docfetch does not know the name of a: ");
        assert_eq!(world.read("x.bin"), b"12345");
        assert_eq!(api.count("GET", "/"), 1);
    }
}

#[test]
fn a_silent_or_dribbling_storage_is_left_within_the_stall_timeout() {
    let dribble = |bytes: bool| {
        both("/x.bin", move |_, stream| {
            head(stream, "200 OK", &[("ETag", TAG)], Some(SIZE));
            for _ in 0..20 {
                if bytes && stream.write_all(b".").is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(500));
            }
        })
    };
    for bytes in [true, false] {
        let (api, storage) = dribble(bytes);
        let world = World::new(&api.base());
        let run = world.run(&[
            "sm",
            "a",
            "--json",
            "--stall-timeout",
            "1s",
            "--retries",
            "1",
        ]);
        assert_eq!(run.exits(5).error_code(), "stalled");
        assert_eq!(storage.seen().len(), 2);
    }
}

#[test]
fn a_stalled_transfer_resumes_in_the_next_attempt() {
    let (service, content) = Service::with("x.bin", SIZE, &["stall-after=200K"]);
    let world = service.world();
    let run = world.run(&["sm", "doc1", "--stall-timeout", "500ms"]);
    run.exits(0);
    assert_eq!(world.read("x.bin"), content);
}

#[test]
fn a_flood_of_headers_ends_in_bounded_time() {
    for endless in [false, true] {
        let (api, storage) = both("/x.bin", move |_, stream| {
            let piece: &[u8] = if endless {
                b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n"
            } else {
                b"X-Long: 0123456789\r\n"
            };
            if !endless {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
            }
            while stream.write_all(piece).is_ok() {}
        });
        let world = World::new(&api.base());
        let retries = if endless { "0" } else { "2" };
        let options = ["--retries", retries, "--stall-timeout", "1s", "--json"];
        let run = world.run(&[&["sm", "a"], &options[..]].concat());
        let code = run.exits(5).error_code();
        if !endless {
            assert_eq!(code, "protocol");
            run.says("its header section is too large");
            assert_eq!(storage.seen().len(), 1);
        }
    }
}

#[test]
fn a_stream_to_standard_output_resumes_without_a_byte_twice() {
    let (service, content) = Service::with("x.bin", 4 * 65_536, &["reset-every=64K"]);
    let run = service.world().run(&["sm", "doc1", "-o", "-"]);
    run.exits(0);
    assert!(run.raw_stdout == content);
    // A storage that sends the whole again: docfetch passes over the bytes that are through the pipe.
    let body = noise(SIZE);
    let (api, _storage) = both("/x.bin", move |request, stream| match request.before {
        0 => send_part(request, stream, &body, TAG, 100_000),
        _ => reply(stream, "200 OK", &[("ETag", TAG)], &body),
    });
    let run = World::new(&api.base()).run(&["sm", "a", "-o", "-"]);
    run.exits(0);
    assert!(run.raw_stdout == noise(SIZE));
}

#[test]
fn a_stream_to_standard_output_fails_when_the_document_changed() {
    let body = noise(SIZE);
    let (api, _storage) = both("/x.bin", move |request, stream| match request.before {
        0 => send_part(request, stream, &body, TAG, 100_000),
        _ => serve(request, stream, &body, "\"v2\""),
    });
    let run = World::new(&api.base()).run(&["sm", "a", "-o", "-"]);
    run.exits(6).says("it broke after 100000 bytes");
    assert!(run.raw_stdout == noise(SIZE)[..100_000]);
}

#[test]
fn a_full_disk_or_a_file_size_limit_leaves_no_target_and_does_not_kill() {
    let (service, content) = Service::with("x.bin", 4 << 20, &[]);
    let world = service.world();
    let binary = env!("CARGO_BIN_EXE_docfetch");
    for limit in ["ulimit -f 1024", "trap '' XFSZ; ulimit -f 1024"] {
        let script = format!("{limit}; exec {binary} sm doc1 --json");
        let run = world.run_of("sh", &["-c", &script]);
        assert_eq!(run.exits(7).error_code(), "disk_full");
        assert!(!world.files().contains(&"x.bin".to_owned()));
    }
    world.run(&["sm", "doc1"]).exits(0);
    assert_eq!(world.read("x.bin"), content);
    assert_eq!(world.files(), ["x.bin"]);
}

#[test]
fn something_else_under_the_partials_name_is_left_alone() {
    let (service, _) = Service::with("x.bin", SIZE, &["truncate=100K"]);
    let world = service.world();
    world.run(&["sm", "doc1", "--retries", "0"]).exits(5);
    let path = world.file_ending(".part").unwrap();
    let victim = world.out().join("victim");
    let plant = |how: &str| {
        let _ = std::fs::remove_file(&path);
        std::fs::write(&victim, "mine").unwrap();
        match how {
            "symlink" => std::os::unix::fs::symlink(&victim, &path).unwrap(),
            "hard link" => std::fs::hard_link(&victim, &path).unwrap(),
            "folder" => std::fs::create_dir(&path).unwrap(),
            "another user's" => {
                std::fs::write(&path, "theirs").unwrap();
                std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
            }
            _ => rustix::fs::mknodat(
                rustix::fs::CWD,
                &path,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
                0,
            )
            .unwrap(),
        }
    };
    for how in ["symlink", "hard link", "another user's", "fifo", "folder"] {
        if how == "another user's" && !rustix::process::geteuid().is_root() {
            skip("only root can give a file away");
            continue;
        }
        plant(how);
        let run = world.run(&["sm", "doc1", "--json"]);
        assert_eq!(
            (run.code, run.error_code().as_str()),
            (9, "unsafe_partial"),
            "{how}: {run:?}"
        );
        assert_eq!(std::fs::read(&victim).unwrap(), b"mine", "{how}");
    }
}

#[test]
fn a_sidecar_that_lies_is_not_believed() {
    let content = noise(SIZE);
    for lie in [
        "",
        "{}",
        "garbage",
        r#"{"etag":"W/\"x\"","total":null,"synced":5}"#,
        r#"{"etag":"\"x\"","total":1,"synced":999999999}"#,
    ] {
        let body = noise(SIZE);
        let (api, _storage) = both("/x.bin", move |request, stream| match request.before {
            0 => send_part(request, stream, &body, TAG, 200_000),
            _ => serve(request, stream, &body, TAG),
        });
        let world = World::new(&api.base());
        world.run(&["sm", "a", "--retries", "0"]).exits(5);
        let sidecar = world.file_ending(".json").unwrap();
        std::fs::write(sidecar, lie).unwrap();
        world.run(&["sm", "a"]).exits(0);
        assert_eq!(world.read("x.bin"), content, "{lie}");
        assert_eq!(world.files(), ["x.bin"]);
    }
}

#[test]
fn two_processes_for_one_target_transfer_once() {
    let (service, content) = Service::with("x.bin", 600_000, &["throttle=600K"]);
    let world = service.world();
    let together = |processes: usize, arguments: &[&str]| {
        let started = std::time::Instant::now();
        let children: Vec<_> = (0..processes)
            .map(|_| world.command(arguments).spawn().unwrap())
            .collect();
        let status = |child| {
            let run = world.finish(child, started);
            let status = &run.exits(0).records()[0]["status"];
            status.as_str().unwrap().to_owned()
        };
        let mut statuses: Vec<String> = children.into_iter().map(status).collect();
        statuses.sort();
        statuses
    };
    let statuses = together(2, &["sm", "doc1", "-o", "x.bin", "--json"]);
    assert_eq!(statuses, ["fetched", "skipped"]);
    assert_eq!(world.read("x.bin"), content);
    assert_eq!(service.report().storage_requests, 1);
    // Also where docfetch does not know the name beforehand.
    let statuses = together(4, &["sm", "doc1", "-d", "named", "--json"]);
    assert_eq!(statuses, ["fetched", "skipped", "skipped", "skipped"]);
    let holder = world
        .command(&["sm", "doc1", "-o", "y.bin"])
        .spawn()
        .unwrap();
    world.wait_for_partial(1);
    let run = world.run(&[
        "sm",
        "doc1",
        "-o",
        "y.bin",
        "--json",
        "--retry-max-time",
        "200ms",
    ]);
    assert_eq!(run.exits(7).error_code(), "busy");
    world.finish(holder, std::time::Instant::now()).exits(0);
}

/// A whole document is kept when its target comes up while it is fetched; the next run makes a file
/// of it without another byte.
#[test]
fn a_target_that_comes_up_meanwhile_is_not_overwritten_and_nothing_is_lost() {
    for arguments in [
        &["sm", "doc1", "--json"][..],
        &["sm", "doc1", "--json", "-o", "x.bin"],
    ] {
        let (service, content) = Service::with("x.bin", SIZE, &["throttle=300K"]);
        let world = service.world();
        let child = world.command(arguments).spawn().unwrap();
        world.wait_for_partial(1);
        std::fs::write(world.out().join("x.bin"), "mine").unwrap();
        let run = world.finish(child, std::time::Instant::now());
        assert_eq!(run.exits(7).error_code(), "target_exists");
        assert_eq!(world.read("x.bin"), b"mine");
        let mut again = arguments.to_vec();
        again.extend(["--if-exists", "rename"]);
        let run = world.run(&again);
        assert_eq!(run.exits(0).records()[0]["path"], "x (2).bin");
        assert_eq!(world.read("x (2).bin"), content);
        assert_eq!(service.report().storage_bytes, SIZE as u64);
        assert_eq!(world.files(), ["x (2).bin", "x.bin"]);
    }
}

#[test]
fn another_failure_after_a_change_keeps_its_own_code() {
    let (world, _api, _storage) =
        second_answer(|_, stream, _| reply(stream, "412 Changed", &[], b""));
    let run = world.run(&["sm", "a"]);
    run.exits(0);
    let body = noise(SIZE);
    let (api, _storage) = both("/x.bin", move |request, stream| match request.before {
        0 => send_part(request, stream, &body, TAG, 100_000),
        1 => reply(stream, "412 Changed", &[], b""),
        _ => {
            let xml = b"<Error><Code>SignatureDoesNotMatch</Code></Error>";
            reply(stream, "403 Forbidden", &[], xml);
        }
    });
    let run = World::new(&api.base()).run(&["sm", "a", "--json"]);
    assert_eq!(run.exits(4).error_code(), "storage_denied");
}

#[test]
fn a_change_that_could_not_be_followed_is_told_as_such() {
    let body = noise(SIZE);
    let (api, _storage) = both("/x.bin", move |request, stream| match request.before {
        0 => send_part(request, stream, &body, TAG, 100_000),
        1 => reply(stream, "412 Changed", &[], b""),
        _ => reply(stream, "503 Busy", &[], b""),
    });
    let run = World::new(&api.base()).run(&["sm", "a", "--json", "--retries", "1"]);
    assert_eq!(run.exits(6).error_code(), "document_changed");
}

#[test]
fn a_changed_document_that_comes_in_pieces_makes_progress_again() {
    let (old, new) = (noise(5 << 20), noise(3 << 20));
    let expected = new.clone();
    let (api, _storage) = both("/x.bin", move |request, stream| match request.before {
        0 => send_part(request, stream, &old, TAG, 4 << 20),
        _ => send_part(request, stream, &new, "\"v2\"", 500_000),
    });
    let world = World::new(&api.base());
    world.run(&["sm", "a", "--retries", "1"]).exits(0);
    assert!(world.read("x.bin") == expected);
}

/// Nothing of a response that says one thing and sends another is trusted, by this run or the next.
#[test]
fn a_part_that_is_longer_than_it_says_is_thrown_away() {
    for (range, length) in [
        ("bytes 100000-109999/300000", 20_000), // more than the part
        ("bytes 100000-299999/300000", 200_000_000), // more than the document
    ] {
        let pieces = Arc::new(AtomicUsize::new(0));
        let sent = Arc::clone(&pieces);
        let (world, _api, storage) = second_answer(move |_, stream, _| {
            let headers = [
                ("ETag", TAG),
                ("Content-Range", range),
                ("Transfer-Encoding", "chunked"),
            ];
            head(stream, "206 Partial Content", &headers, None);
            for _ in 0..length / 10_000 {
                sent.fetch_add(1, Ordering::Relaxed);
                let piece = [b"2710\r\n".as_slice(), &[b'!'; 10_000], b"\r\n"].concat();
                if stream.write_all(&piece).is_err() {
                    return;
                }
            }
            let _ = stream.write_all(b"0\r\n\r\n");
        });
        world.run(&["sm", "a"]).exits(0);
        assert!(world.read("x.bin") == noise(SIZE), "{range}");
        assert_eq!(storage.seen()[2].header("range"), None, "{range}");
        // 200 MB were on offer.
        assert!(pieces.load(Ordering::Relaxed) < 10_000);
    }
}

#[test]
fn what_a_crash_left_beside_a_document_goes_with_a_skip() {
    let (service, _) = Service::with("x.bin", SIZE, &["truncate=100K"]);
    let world = service.world();
    for suffix in [".part", ".json", ".json.new"] {
        world
            .run(&["onecodex", "doc1", "-o", "x.bin", "--retries", "0"])
            .exits(5);
        let partial = world
            .files()
            .into_iter()
            .find(|name| name.ends_with(".part"))
            .unwrap();
        for name in world.files() {
            std::fs::remove_file(world.out().join(name)).unwrap();
        }
        std::fs::write(world.out().join("x.bin"), "there").unwrap();
        let left = partial.replace(".part", suffix);
        std::fs::write(world.out().join(left), "{}").unwrap();
        world
            .run(&["onecodex", "doc1", "-o", "x.bin", "--if-exists", "skip"])
            .exits(0);
        assert_eq!(world.files(), ["x.bin"], "{suffix}");
        std::fs::remove_file(world.out().join("x.bin")).unwrap();
    }
}

#[test]
fn a_slow_reader_of_standard_output_gets_every_byte() {
    let body = noise(3 << 20);
    let (api, _storage) = both("/x.bin", move |request, stream| match request.before {
        0 => endless(stream, &body), // the next answer is a 416
        _ => serve(request, stream, &body, TAG),
    });
    let world = World::new(&api.base());
    let script = format!(
        "{} sm a -o - | (sleep 1; cat)",
        env!("CARGO_BIN_EXE_docfetch")
    );
    let run = world.run_of("sh", &["-c", &script]);
    assert!(
        run.raw_stdout == noise(3 << 20),
        "{} bytes",
        run.raw_stdout.len()
    );
}

#[test]
fn a_break_that_cannot_be_continued_on_standard_output_is_no_change() {
    let body = noise(SIZE);
    let (api, _storage) = both("/x.bin", move |_, stream| {
        head(stream, "200 OK", &[], Some(SIZE));
        let _ = stream.write_all(&body[..100_000]);
    });
    let run = World::new(&api.base()).run(&["sm", "a", "-o", "-"]);
    run.exits(5).says("no strong entity tag");
}

#[test]
fn a_kept_partial_takes_no_more_room_than_its_bytes() {
    use std::os::unix::fs::MetadataExt as _;
    let (api, _storage) = both("/x.bin", |_, stream| {
        head(stream, "200 OK", &[("ETag", TAG)], Some(100 << 20));
        let _ = stream.write_all(&noise(SIZE));
    });
    let world = World::new(&api.base());
    world.run(&["sm", "a", "--retries", "0"]).exits(5);
    let metadata = world.file_ending(".part").unwrap().metadata().unwrap();
    assert_eq!(metadata.len(), SIZE as u64);
    assert!(
        metadata.blocks() * 512 < 2 * SIZE as u64,
        "{} blocks",
        metadata.blocks()
    );
}
