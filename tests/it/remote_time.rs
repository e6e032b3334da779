//! `--remote-time`: a file has the time at which the storage changed the document last.

use crate::support::fuse::{Call, Fuse};
use crate::support::mounts::Mount;
use crate::support::raw::{Raw, Request, asked, head, reply};
use crate::support::services::Service;
use crate::support::{World, noise};
use docfetch::sandbox::Document;
use rustix::io::Errno;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, SystemTime};

const SIZE: usize = 200_000;
/// Sat, 01 Jan 2022 00:00:00 GMT.
const TIME: u64 = 1_640_995_200;

/// A world with the document `doc1`, of which the first answer has this `Last-Modified`, and ends early where
/// it `is_cut`. Later answers have none.
fn with_time(told: &'static str, is_cut: bool) -> (World, [Raw; 2]) {
    let content = noise(SIZE);
    let storage = Raw::start(move |request, stream| {
        let time: &[(&str, &str)] = &[("Last-Modified", told)];
        let time = if request.before == 0 { time } else { &[] };
        let sent = if is_cut && request.before == 0 {
            SIZE / 2
        } else {
            SIZE
        };
        send(request, stream, time, &content[..sent]);
    });
    let base = storage.base();
    let api = Raw::start(move |request, stream| {
        let url = format!("{base}/x.bin?X-Sig={}", crate::support::SIGNATURE);
        let json = match request.method.as_str() {
            "POST" => serde_json::json!({"download_uri": url, "expires_in_hours": 1}),
            _ => serde_json::json!({"filename": "x.bin", "size": SIZE}),
        };
        reply(stream, "200 OK", &[], json.to_string().as_bytes());
    });
    (World::new(&api.base()), [storage, api])
}

fn send(request: &Request, stream: &mut TcpStream, more: &[(&str, &str)], content: &[u8]) {
    let (status, first) = match asked(request, SIZE) {
        Some((first, _)) => ("206 Partial Content", first),
        None => ("200 OK", 0),
    };
    let range = format!("bytes {first}-{}/{SIZE}", SIZE - 1);
    let mut headers = vec![("ETag", "\"v1\"")];
    headers.extend(more);
    if status.starts_with("206") {
        headers.push(("Content-Range", &range));
    }
    head(stream, status, &headers, Some(SIZE - first));
    let _ = stream.write_all(&content[first..]);
}

fn time_of(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

fn is_now(time: SystemTime) -> bool {
    SystemTime::now().duration_since(time).unwrap() < Duration::from_secs(120)
}

#[test]
fn a_file_has_the_storages_time_on_request_only() {
    for (option, told, is_set) in [
        (
            &["--remote-time"][..],
            "Sat, 01 Jan 2022 00:00:00 GMT",
            true,
        ),
        (&[], "Sat, 01 Jan 2022 00:00:00 GMT", false),
        (&["--remote-time"], "Sat, 01 Jan 2922 00:00:00 GMT", false),
        (&["--remote-time"], "yesterday", false),
        (&["--remote-time"], "", false),
    ] {
        let (world, _servers) = with_time(told, false);
        let run = world.run(&[&["onecodex", "doc1"], option].concat());
        let warns = !option.is_empty() && !is_set;
        let warnings = run
            .exits(0)
            .stderr
            .matches("warning: --remote-time has no effect on")
            .count();
        assert_eq!(warnings, usize::from(warns), "{run:?}");
        let time = time_of(&world.out().join("x.bin"));
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(TIME);
        assert_eq!(time == expected, is_set, "{option:?} {told}");
        assert_eq!(is_now(time), !is_set, "{option:?} {told}");
    }
}

#[test]
fn a_later_run_knows_the_time_that_an_earlier_answer_told() {
    let (mut world, servers) = with_time("Sat, 01 Jan 2022 00:00:00 GMT", true);
    world.run(&["onecodex", "doc1", "--retries", "0"]).exits(5);
    world.set("DOCFETCH_REMOTE_TIME", "1");
    world.run(&["onecodex", "doc1"]).exits(0);
    assert_eq!(servers[0].count("GET", "/x.bin"), 2);
    let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(TIME);
    assert_eq!(time_of(&world.out().join("x.bin")), expected);
}

#[test]
fn file_systems_that_ignore_a_request_to_set_one_time_alone_set_the_storages_time() {
    let mounts = [
        ("bindfs", Mount::bindfs(&["--force-user=77"])),
        ("exFAT", Mount::exfat("uid=0")),
    ];
    for (name, mount) in mounts {
        let Some(mount) = mount else { continue };
        let (world, _servers) = with_time("Sat, 01 Jan 2022 00:00:00 GMT", false);
        let to = mount.path().to_str().unwrap();
        let run = world.run(&["onecodex", "doc1", "--remote-time", "-d", to]);
        assert_eq!(
            run.exits(0).stderr.matches("warning").count(),
            0,
            "{name} {run:?}"
        );
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(TIME);
        assert_eq!(time_of(&mount.path().join("x.bin")), expected, "{name}");
    }
}

#[test]
fn a_time_that_the_file_system_refuses_or_ignores_is_a_warning() {
    for (file_system, why) in [
        (
            Fuse::new().keep_own_times(),
            "x.bin: the file system keeps a time of its own",
        ),
        (
            Fuse::new().refuse(Call::Times, Errno::PERM),
            "x.bin: the file system refuses to set the time: Operation not permitted\n",
        ),
    ] {
        let Some(folder) = file_system.mount() else {
            return;
        };
        let (world, _servers) = with_time("Sat, 01 Jan 2022 00:00:00 GMT", false);
        let to = folder.path().to_str().unwrap();
        let run = world.run(&["onecodex", "doc1", "--remote-time", "-d", to]);
        run.exits(0)
            .says("--remote-time has no effect on")
            .says(why);
        assert_eq!(folder.names(""), ["x.bin"]);
    }
}

#[test]
fn a_storage_that_tells_no_time_is_one_warning_in_a_run() {
    let documents = ["a", "b"].map(|id| Document::new(id, b"content".to_vec()).with_id(id));
    let service = Service::start(documents.to_vec(), &[]);
    let run = service.world().run(&["sm", "a", "b", "--remote-time"]);
    let warnings = run
        .exits(0)
        .stderr
        .matches("warning: --remote-time")
        .count();
    assert_eq!(warnings, 1, "{run:?}");
}
