//! Standard streams that are not ready, or closed.

use crate::support::raw::{Raw, reply};
use crate::support::services::Service;
use crate::support::{Run, World, noise, send, sha256};
use docfetch::sandbox::Document;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, Timespec, fcntl_setfl};
use rustix::io::ioctl_fionread;
use rustix::process::Signal;
use std::collections::HashSet;
use std::io::{PipeReader, Read as _, Write as _, pipe};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

/// Until a process waits for a pipe.
const PAUSE: Duration = Duration::from_millis(300);
/// More than a pipe holds.
const MORE_THAN_A_PIPE: usize = 150_000;

fn make_nonblocking(stream: &impl AsFd) {
    fcntl_setfl(stream, OFlags::NONBLOCK).unwrap();
}

/// Waits until a pipe is nearly full, or has no writer any more.
fn wait_until_full(reader: &PipeReader) {
    let is_closed = || {
        let mut stream = [PollFd::new(reader, PollFlags::IN)];
        poll(&mut stream, Some(&Timespec::default())).unwrap();
        stream[0].revents().contains(PollFlags::HUP)
    };
    while ioctl_fionread(reader).unwrap() < 60_000 && !is_closed() {
        sleep(Duration::from_millis(5));
    }
}

/// Reads all, slowly: the pipe fills up again and again.
fn read_slowly(mut reader: PipeReader) -> JoinHandle<Vec<u8>> {
    spawn(move || {
        wait_until_full(&reader);
        let (mut all, mut piece) = (Vec::new(), [0; 40_000]);
        loop {
            let read = reader.read(&mut piece).unwrap();
            if read == 0 {
                return all;
            }
            all.extend_from_slice(&piece[..read]);
            sleep(Duration::from_millis(10));
        }
    })
}

/// What a command wrote to its non-blocking standard output and standard error, and its exit code.
struct Slow {
    code: i32,
    stdout: Vec<u8>,
    stderr: String,
}

/// Runs a command whose standard streams are non-blocking pipes with slow peers. `input` comes in pieces.
fn run_slowly(mut command: Command, input: &'static [&'static str]) -> Slow {
    let (stdin, mut writer) = pipe().unwrap();
    let (stdout, out) = pipe().unwrap();
    let (stderr, err) = pipe().unwrap();
    make_nonblocking(&stdin);
    make_nonblocking(&out);
    make_nonblocking(&err);
    command.stdin(stdin).stdout(out).stderr(err);
    let mut child = command.spawn().unwrap();
    drop(command); // its ends of the pipes
    let (stdout, stderr) = (read_slowly(stdout), read_slowly(stderr));
    for piece in input {
        sleep(PAUSE);
        writer.write_all(piece.as_bytes()).unwrap();
    }
    drop(writer);
    let stdout = stdout.join().unwrap();
    let stderr = String::from_utf8(stderr.join().unwrap()).unwrap();
    let code = child.wait().unwrap().code().unwrap_or(-1);
    Slow {
        code,
        stdout,
        stderr,
    }
}

fn many(count: usize) -> Service {
    let document = |number: usize| {
        let name = format!("{number} {}.txt", "a long name ".repeat(8));
        Document::new(&name, number.to_string().into_bytes()).with_id(&format!("doc{number}"))
    };
    Service::start((0..count).map(document).collect(), &[])
}

#[test]
fn a_document_goes_to_a_slow_reader_whole() {
    let (service, content) = Service::with("x.bin", 2_000_000, &[]);
    let world = service.world();
    for service in ["sm", "onecodex"] {
        let run = run_slowly(world.command(&[service, "doc1", "-o", "-"]), &[]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(sha256(&run.stdout), sha256(&content));
    }
}

#[test]
fn a_listing_goes_to_a_slow_reader_whole() {
    let service = many(1500);
    let world = service.world();
    let mut longest = 0;
    for form in [&[][..], &["--json"], &["--ids"]] {
        let list = [&["list", "onecodex"][..], form].concat();
        let run = run_slowly(world.command(&list), &[]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let expected = world.run(&list).exits(0).raw_stdout.clone();
        assert!(run.stdout == expected, "{form:?}");
        longest = longest.max(expected.len());
    }
    assert!(longest > MORE_THAN_A_PIPE, "{longest}");
}

#[test]
fn records_and_errors_go_to_slow_readers_whole() {
    let server = Raw::start(|_, stream| reply(stream, "404 Not Found", &[], b"{}"));
    let world = World::new(&server.base());
    let ids: Vec<String> = (0..1200)
        .map(|number| format!("document-{number}"))
        .collect();
    let mut arguments = vec!["onecodex", "--json"];
    arguments.extend(ids.iter().map(String::as_str));
    let run = run_slowly(world.command(&arguments), &[]);
    assert_eq!(run.code, 4);
    assert!(run.stdout.len() > MORE_THAN_A_PIPE && run.stderr.len() > MORE_THAN_A_PIPE);
    let records = String::from_utf8(run.stdout).unwrap();
    let errors = run
        .stderr
        .lines()
        .filter(|line| line.starts_with("error: "));
    let errors: Vec<_> = errors.collect();
    assert_eq!(errors.len(), ids.len());
    let words: HashSet<_> = errors
        .join(" ")
        .split([' ', ':'])
        .map(str::to_owned)
        .collect();
    let failed = |id: &&String| {
        let record = format!("\"id\":\"{id}\"");
        words.contains(*id) && records.matches(&record).count() == 1
    };
    assert_eq!(ids.iter().filter(failed).count(), ids.len());
    assert_eq!(records.lines().count(), ids.len() + 1);
}

#[test]
fn ids_come_from_a_slow_writer() {
    let service = many(6);
    let world = service.world();
    let ids = &["doc0\ndo", "c1\n", "", "doc2"];
    let run = run_slowly(world.command(&["onecodex", "-", "--name", "{id}"]), ids);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let mut paths: Vec<_> = run.stdout.split(|byte| *byte == b'\n').collect();
    paths.sort_unstable();
    assert_eq!(paths, [&b""[..], b"doc0", b"doc1", b"doc2"]);
}

#[test]
fn a_manifest_comes_from_a_slow_writer() {
    let world = World::bare();
    std::fs::write(world.out().join("a"), "a").unwrap();
    let manifest = &[
        "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72",
        "b9807785afee48bb  a\n",
    ];
    let run = run_slowly(world.command(&["verify", "-"]), manifest);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.starts_with("1 file verified"), "{}", run.stderr);
}

#[test]
fn a_sandbox_lists_its_documents_to_a_slow_reader() {
    let world = World::bare();
    let folder = world.home().join("files");
    std::fs::create_dir(&folder).unwrap();
    for number in 0..1000 {
        let name = format!("{number}-{}", "x".repeat(180));
        std::fs::write(folder.join(name), "").unwrap();
    }
    let mut command = world.command(&["sandbox", "--dir", folder.to_str().unwrap()]);
    let (stderr, err) = pipe().unwrap();
    make_nonblocking(&err);
    let child = command.stderr(err).spawn().unwrap();
    drop(command);
    let stderr = read_slowly(stderr);
    world.wait_for_signal_handler(&child);
    send(&child, Signal::TERM);
    world.finish(child, Instant::now()).exits(0);
    let stderr = String::from_utf8(stderr.join().unwrap()).unwrap();
    assert!(stderr.len() > MORE_THAN_A_PIPE);
    assert_eq!(stderr.matches("sandbox: serves ").count(), 1000);
    assert!(stderr.contains("sandbox: end it with Ctrl-C\n"), "{stderr}");
}

/// Runs docfetch with a redirection of a shell.
fn redirected(world: &World, arguments: &[&str], redirection: &str) -> Run {
    let script = format!("exec \"$0\" \"$@\" {redirection}");
    let shell = ["-c", &script, env!("CARGO_BIN_EXE_docfetch")];
    world.run_of("sh", &[&shell[..], arguments].concat())
}

#[test]
fn where_standard_output_takes_nothing_nothing_is_paid() {
    let (service, _) = Service::with("x.bin", 100, &[]);
    let world = service.world();
    for arguments in [
        &["onecodex", "doc1", "-o", "-"][..],
        &["sm", "doc1", "-o", "-"],
        &["url", "onecodex", "doc1"],
        &["url", "sm", "doc1"],
    ] {
        for redirection in [">&-", "1</dev/null", "<&- >&-"] {
            redirected(&world, arguments, redirection)
                .exits(7)
                .says("standard output is closed");
        }
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut child = world.command(arguments);
        let child = child.stdout(writer).stderr(Stdio::null()).status().unwrap();
        assert_eq!(child.code(), Some(7));
    }
    let report = service.report();
    assert_eq!((service.charges(), report.downloads), (0, 0));
    // A file, a program and a user who wants nothing of it are fine.
    redirected(&world, &["onecodex", "doc1", "-o", "-"], ">/dev/null").exits(0);
    redirected(&world, &["onecodex", "doc1", "-o", "-"], "> file").exits(0);
    assert_eq!(world.read("file"), noise(100));
    redirected(&world, &["onecodex", "doc1", "--dry-run", "-o", "-"], ">&-").exits(0);
}

#[test]
fn a_full_disk_at_standard_output_is_an_error_of_every_command() {
    let (service, _) = Service::with("x.bin", 100, &[]);
    let world = service.world();
    world.run(&["onecodex", "doc1", "--manifest", "m"]).exits(0);
    std::fs::write(world.out().join("sums"), format!("{}  gone\n", sha256(b""))).unwrap();
    for arguments in [
        &["--version"][..],
        &["--help"],
        &["help", "sync"],
        &["list", "sm"],
        &["list", "onecodex", "--ids"],
        &["ledger", "list"],
        &["ledger", "list", "--json"],
        &["verify", "m", "--json"],
        &["verify", "sums"],
        &["verify", "m", "--format", "sha256sum"],
        &["sm", "doc1", "-d", "new"],
        &["sm", "doc1", "-d", "newer", "--json"],
        &["sm", "doc1", "-o", "-"],
        &["sync", "sm", "mirror"],
        &["url", "sm", "doc1"],
    ] {
        let run = redirected(&world, arguments, "> /dev/full");
        run.exits(7).says("error: cannot write to standard output");
    }
}
