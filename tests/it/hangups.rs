//! Terminals that are slow, non-blocking or gone.

use crate::support::services::Service;
use crate::support::{World, exit_code_unread};
use docfetch::sandbox::Document;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Both sides of a new terminal of 100 columns.
fn terminal() -> (File, File) {
    let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&main).unwrap();
    unlockpt(&main).unwrap();
    let name = ptsname(&main, Vec::new()).unwrap().into_string().unwrap();
    let mut options = File::options();
    options.read(true).write(true);
    options.custom_flags(OFlags::NOCTTY.bits().cast_signed());
    let side = options.open(name).unwrap();
    let size = Winsize {
        ws_row: 30,
        ws_col: 100,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&side, size).unwrap();
    (File::from(main), side)
}

/// Runs with standard input and standard error on `side`, and standard output in a pipe.
fn spawn_on(side: File, mut command: Command) -> Child {
    command
        .stdin(side.try_clone().unwrap())
        .stderr(side)
        .stdout(Stdio::piped())
        .env("TERM", "xterm")
        .spawn()
        .unwrap()
}

fn wait_until_delivered(world: &World, count: usize) {
    let is_delivered = || {
        world
            .files()
            .iter()
            .filter(|name| !name.starts_with('.'))
            .count()
            >= count
    };
    world.wait_until("documents are delivered", is_delivered);
}

fn documents(count: usize, length: usize) -> Vec<Document> {
    let document = |number: usize| {
        Document::new(&format!("{number}.bin"), vec![7; length]).with_id(&format!("d{number}"))
    };
    (0..count).map(document).collect()
}

/// The arguments of a batch of `count` paid documents.
fn batch(count: usize) -> Vec<String> {
    let ids = (0..count).map(|number| format!("d{number}"));
    std::iter::once("onecodex".to_owned()).chain(ids).collect()
}

fn texts(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[test]
fn a_slow_terminal_that_does_not_block_ends_no_paid_batch() {
    let service = Service::start(documents(150, 2000), &[]);
    let world = service.world();
    let (mut main, side) = terminal();
    fcntl_setfl(&side, OFlags::RDWR | OFlags::NONBLOCK).unwrap();
    let child = spawn_on(side, world.command(&texts(&batch(150))));
    let reading = std::thread::spawn(move || {
        sleep(Duration::from_secs(1)); // the terminal is full by then
        let mut piece = [0; 512];
        while main.read(&mut piece).is_ok_and(|read| read > 0) {
            sleep(Duration::from_millis(1));
        }
    });
    let run = world.finish(child, Instant::now());
    assert_eq!(run.exits(0).stdout.lines().count(), 150);
    reading.join().unwrap();
    assert_eq!(service.charges(), 150);
}

#[test]
fn a_terminal_that_closes_ends_the_bars_and_not_the_batch() {
    let service = Service::start(documents(6, 200_000), &["throttle=100K"]);
    let world = service.world();
    let (main, side) = terminal();
    let ignoring = "trap '' HUP; exec \"$0\" \"$@\"";
    let batch = batch(6);
    let arguments = [
        &["-c", ignoring, env!("CARGO_BIN_EXE_docfetch")],
        &texts(&batch)[..],
    ]
    .concat();
    let child = spawn_on(side, world.command_of("sh", &arguments));
    world.wait_for_partial(20_000);
    drop(main);
    let run = world.finish(child, Instant::now());
    assert_eq!(run.exits(0).stdout.lines().count(), 6);
    assert_eq!(service.charges(), 6);
}

#[test]
fn a_controlling_terminal_that_closes_interrupts_in_each_mode() {
    for mode in [
        &[][..],
        &["--progress", "plain"],
        &["--progress", "json"],
        &["--progress", "none"],
        &["-v"],
        &["-q"],
        &["--json"],
    ] {
        let service = Service::start(documents(6, 300_000), &["throttle=100K"]);
        let world = service.world();
        let (main, side) = terminal();
        // The process becomes the leader of a session on this terminal.
        let batch = batch(6);
        let arguments = [
            &["-c", env!("CARGO_BIN_EXE_docfetch")],
            &texts(&batch)[..],
            mode,
        ]
        .concat();
        let child = spawn_on(side, world.command_of("setsid", &arguments));
        world.wait_for_partial(20_000);
        let closed = Instant::now();
        drop(main);
        let run = world.finish(child, closed);
        run.exits(129);
        assert!(run.elapsed < Duration::from_secs(3), "{mode:?}: {run:#?}");
        if mode == ["--json"] {
            let summary = run.records().pop().unwrap();
            assert_eq!(
                (&summary["type"], &summary["exit_code"]),
                (&"summary".into(), &129.into())
            );
        }
    }
}

/// The terminal that closes has all three streams, as in a window that a user closes.
#[test]
fn a_window_that_closes_keeps_partials_and_pays_nothing_twice() {
    for mode in [&[][..], &["--json"]] {
        let service = Service::start(documents(6, 300_000), &["throttle=100K"]);
        let world = service.world();
        let (main, side) = terminal();
        let batch = batch(6);
        let docfetch = ["-c", env!("CARGO_BIN_EXE_docfetch")];
        let arguments = [&docfetch[..], &texts(&batch), mode].concat();
        let mut command = world.command_of("setsid", &arguments);
        command
            .stdin(side.try_clone().unwrap())
            .stdout(side.try_clone().unwrap())
            .stderr(side)
            .env("TERM", "xterm");
        let mut child = command.spawn().unwrap();
        drop(command);
        world.wait_for_partial(50_000);
        drop(main);
        assert_eq!(exit_code_unread(&mut child), Some(129), "{mode:?}");
        let stored = service.report().storage_bytes;
        assert!(service.charges() >= 1 && world.file_ending(".part").is_some());
        let again = [&texts(&batch)[..], &["--if-exists", "skip"]].concat();
        assert_eq!(world.run(&again).exits(0).stdout.lines().count(), 6);
        assert_eq!(service.charges(), 6);
        // The second run has continued where the first one ended.
        assert!(service.report().storage_bytes - stored < 6 * 300_000 - 50_000);
    }
}

#[test]
fn a_batch_that_continues_would_meet_its_own_files() {
    for (options, hint) in [
        (&[][..], "run again with --if-exists skip to continue"),
        (&["--if-exists", "skip"], "run again to continue"),
    ] {
        let service = Service::start(documents(8, 60_000), &["throttle=100K"]);
        let world = service.world();
        let batch = batch(8);
        // At a provider that charges, the hint may name the end of a paid URL, too.
        let arguments = [&["sm"], &texts(&batch)[1..], &["-j", "1"], options].concat();
        let child = world.command(&arguments).spawn().unwrap();
        wait_until_delivered(&world, 1);
        crate::support::send(&child, rustix::process::Signal::INT);
        let run = world.finish(child, Instant::now());
        run.exits(130).says(&format!("hint: {hint}\n"));
    }
}
