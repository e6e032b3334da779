//! What a person sees: a pseudo-terminal of 100 columns.

use crate::support::World;
use crate::support::services::Service;
use docfetch::sandbox::Document;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command};

/// Runs with all three streams on a terminal; returns the exit code and everything drawn.
pub fn on_a_terminal(command: Command) -> (i32, String) {
    on_a_terminal_of(100, command)
}

/// The same, after a user typed `input`.
pub fn on_a_terminal_typing(input: &str, command: Command) -> (i32, String) {
    run_on_a_terminal(100, input, command)
}

/// The same on a terminal with so many columns.
fn on_a_terminal_of(columns: u16, command: Command) -> (i32, String) {
    run_on_a_terminal(columns, "", command)
}

fn run_on_a_terminal(columns: u16, input: &str, mut command: Command) -> (i32, String) {
    let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&main).unwrap();
    unlockpt(&main).unwrap();
    let size = Winsize {
        ws_row: 30,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let name = ptsname(&main, Vec::new()).unwrap().into_string().unwrap();
    let side = || File::options().read(true).write(true).open(&name).unwrap();
    let mut child: Child = {
        let stderr = side();
        tcsetwinsize(&stderr, size).unwrap();
        command
            .stdin(side())
            .stdout(side())
            .stderr(stderr)
            .env("TERM", "xterm")
            .spawn()
            .unwrap()
    };
    drop(command);
    let mut screen = Vec::new();
    let mut main = File::from(main);
    main.write_all(input.as_bytes()).unwrap();
    let mut piece = [0; 4096];
    // The last side's closing ends it with an error.
    while let Ok(read) = main.read(&mut piece) {
        if read == 0 {
            break;
        }
        screen.extend_from_slice(&piece[..read]);
    }
    let status = child.wait().unwrap();
    let screen = String::from_utf8_lossy(&screen).into_owned();
    assert!(!screen.contains("X-Amz-Signature"), "{screen}");
    (status.code().unwrap_or(-1), screen)
}

#[test]
fn a_bar_shows_name_bytes_rate_and_remaining_time_and_leaves_the_path() {
    let (service, content) = Service::with("Q3 deck.pdf", 2 << 20, &["throttle=2M"]);
    let world = service.world();
    let (code, screen) = on_a_terminal(world.command(&["sm", "doc1"]));
    assert_eq!(code, 0, "{screen}");
    for part in ["Q3 deck.pdf", "MiB/2.00 MiB", "MiB/s", "left"] {
        assert!(screen.contains(part), "no {part:?} in {screen:?}");
    }
    // The bar is gone in the end: the path is the last thing on the screen.
    let last = screen.trim_end().rsplit(['\r', '\n']).next().unwrap();
    assert!(last.ends_with("Q3 deck.pdf"), "{screen:?}");
    assert_eq!(world.read("Q3 deck.pdf"), content);
}

#[test]
fn an_error_is_three_lines_with_a_coloured_label() {
    let world = World::bare();
    let (code, screen) = on_a_terminal(world.command(&["sm", "doc1"]));
    assert_eq!(code, 3);
    let lines: Vec<&str> = screen.lines().collect();
    assert_eq!(lines.len(), 3, "{screen:?}");
    assert!(lines[0].starts_with("\u{1b}[1;31merror:"));
}

#[test]
fn a_listing_is_a_table_that_fits() {
    let documents = [
        Document::new("short.pdf", vec![0; 2048]).with_id("1"),
        Document::new(&"very long name ".repeat(20), "x").with_id("22"),
    ];
    let service = Service::start(documents.to_vec(), &[]);
    let world = service.world();
    let (code, screen) = on_a_terminal(world.command(&["list", "onecodex", "--color", "never"]));
    assert_eq!(code, 0);
    let lines: Vec<&str> = screen.lines().collect();
    assert_eq!(lines[0], "ID        SIZE  MODIFIED          NAME");
    assert_eq!(lines[1], "1      2.0 KiB  2026-10-01 08:30  short.pdf");
    assert!(
        lines[2].ends_with('\u{2026}') && lines[2].chars().count() <= 100,
        "{}",
        lines[2]
    );
}

#[test]
fn an_empty_listing_has_no_heading() {
    let service = Service::start(Vec::new(), &[]);
    let (code, screen) = on_a_terminal(service.world().command(&["list", "sm"]));
    assert_eq!(code, 0);
    assert!(
        screen.contains("lists no document") && !screen.contains("SIZE"),
        "{screen:?}"
    );
}

#[test]
fn narrow_terminals_keep_the_extension_the_rate_and_the_remaining_time() {
    let name = "the minutes of a very long meeting of the whole board.pdf";
    let (service, _) = Service::with(name, 2 << 20, &["throttle=3M"]);
    for (columns, has_length, has_bytes) in [
        (45, false, false),
        (59, false, false),
        (60, true, false),
        (70, true, false),
        (80, true, true),
        (120, true, true),
    ] {
        let arguments = ["sm", "doc1", "--color", "never"];
        let (code, screen) = on_a_terminal_of(columns, service.world().command(&arguments));
        assert_eq!(code, 0, "{screen}");
        let drawn = screen.split('\r').filter(|line| line.contains(" left"));
        let mut drawn: Vec<&str> = drawn
            .map(|line| {
                line.split("\u{1b}[")
                    .find(|part| part.contains(" left"))
                    .unwrap()
            })
            .collect();
        drawn.retain(|line| line.contains("iB/s"));
        assert!(!drawn.is_empty(), "{columns}: {screen:?}");
        for line in drawn {
            let line = line.trim_start_matches("2K");
            assert!(
                line.chars().count() <= usize::from(columns),
                "{columns}: {line:?}"
            );
            assert!(
                line.starts_with("the ") && line.contains('\u{2026}'),
                "{line:?}"
            );
            assert!(line.contains(".pdf "), "{columns}: {line:?}");
            assert_eq!(line.contains("2.00 MiB"), has_length, "{columns}: {line:?}");
            assert_eq!(line.contains("/2.00 MiB"), has_bytes, "{columns}: {line:?}");
            assert_eq!(line.contains('%'), !has_bytes, "{columns}: {line:?}");
        }
    }
}

#[test]
fn a_resumed_transfer_says_from_where() {
    let (service, _) = Service::with("x.bin", 300 << 10, &["truncate=100K"]);
    let world = service.world();
    let arguments = ["sm", "doc1", "--retries", "0"];
    world
        .run(&arguments)
        .exits(5)
        .says("fetching x.bin (300.0 KiB)\n");
    let run = world.run(&arguments);
    run.exits(5)
        .says("resuming x.bin at 100.0 KiB of 300.0 KiB\n");
    let (_, screen) = on_a_terminal(world.command(&arguments));
    assert!(
        screen.contains("resuming x.bin at 200.0 KiB of 300.0 KiB"),
        "{screen:?}"
    );
}

#[test]
fn a_plan_says_behind_each_path_what_would_become_of_a_file_there() {
    let (service, _) = Service::with("a.pdf", 1000, &[]);
    let world = service.world();
    world.run(&["sync", "onecodex", "m"]).exits(0);
    for (arguments, line) in [
        (
            &["sync", "onecodex", "m"][..],
            "m/a.pdf (would be skipped: it is up to date)",
        ),
        (&["sm", "doc1", "-o", "m/b"], "m/b\r\n"),
        (
            &["sm", "doc1", "-o", "m/a.pdf", "--if-exists", "overwrite"],
            "m/a.pdf (would replace the",
        ),
    ] {
        let (code, screen) = on_a_terminal(world.command(&[arguments, &["--dry-run"]].concat()));
        assert_eq!(code, 0, "{screen}");
        assert_eq!(screen.matches(line).count(), 1, "{screen:?}");
        assert_eq!(screen.matches("m/").count(), 1, "{screen:?}");
    }
}

#[test]
fn names_and_messages_cannot_move_it() {
    use crate::support::raw::{both, reply};
    let (api, _storage) = both("/x", |_, stream| {
        let name = [(
            "Content-Disposition",
            "attachment; filename*=UTF-8''a%E2%80%8Bb.txt",
        )];
        reply(stream, "200 OK", &name, b"x");
    });
    let world = World::new(&api.base());
    let (code, screen) = on_a_terminal(world.command(&[
        "sm",
        "a\u{202e}b",
        "-o",
        "c\u{1b}[2Jd",
        "-v",
        "--progress",
        "plain",
    ]));
    assert_eq!(code, 0, "{screen}");
    assert!(
        !screen.contains('\u{1b}') && !screen.contains('\u{202e}'),
        "{screen:?}"
    );
    assert!(screen.contains("c\\u{1b}[2Jd"));
}

#[test]
fn a_dumb_terminal_gets_no_bar() {
    let (service, _) = Service::with("a.pdf", 1000, &[]);
    let world = service.world();
    let mut command = world.command(&["sm", "doc1"]);
    command = {
        let mut shell = world.command_of(
            "env",
            &[
                "TERM=dumb",
                command.get_program().to_str().unwrap(),
                "sm",
                "doc1",
            ],
        );
        shell.env("TERM", "dumb");
        shell
    };
    let (code, screen) = on_a_terminal(command);
    assert_eq!(code, 0);
    assert!(!screen.contains('\u{1b}'), "{screen:?}");
}

/// What is on the screen after an interrupt, terminal echo and all, as a terminal shows it.
#[test]
fn an_interrupt_leaves_room_for_its_echo() {
    let (service, _) = Service::with("Q3 deck.pdf", 2 << 20, &["throttle=2M"]);
    let world = service.world();
    let (_, screen) = on_a_terminal(world.command(&["sm", "doc1", "--color", "never"]));
    // Each drawing of the bar ends three columns before the edge.
    let drawn = screen
        .split('\r')
        .find(|line| line.contains("left"))
        .unwrap();
    assert!(drawn.contains("left   \u{1b}[3D"), "{drawn:?}");
}

#[test]
fn many_documents_have_a_bar_each_and_a_line_for_the_whole() {
    let documents =
        ["a.bin", "b.bin", "c.bin"].map(|name| Document::new(name, vec![7; 1 << 20]).with_id(name));
    let service = Service::start(documents.to_vec(), &["throttle=1M"]);
    let world = service.world();
    let (code, screen) = on_a_terminal(world.command(&["sm", "a.bin", "b.bin", "gone", "c.bin"]));
    assert_eq!(code, 4, "{screen}");
    for part in ["of 4 documents, ", " left", "KiB/1.00 MiB"] {
        assert!(screen.contains(part), "no {part:?} in {screen:?}");
    }
    // Only the last line may stop before the edge: the next one would begin there.
    let stops = screen
        .split(['\r', '\n'])
        .filter(|line| line.contains("   \u{1b}[3D"));
    let stops: Vec<&str> = stops.collect();
    assert!(!stops.is_empty(), "{screen:?}");
    assert!(
        stops.iter().all(|line| line.contains(" of 4 documents")),
        "{stops:?}"
    );
    let end: Vec<&str> = screen.trim_end().lines().rev().take(2).collect();
    assert!(
        end[0].contains("failed: Standard Metrics does not know document gone"),
        "{screen:?}"
    );
    assert!(
        end[1].contains("3 fetched, 0 skipped, 1 failed"),
        "{screen:?}"
    );
}

#[test]
fn names_of_a_manifest_cannot_move_it() {
    let world = World::bare();
    let sum = "0".repeat(64);
    let manifest = format!("{sum}  gone\u{1b}[2J\u{202e}\n");
    std::fs::write(world.out().join("sums"), manifest).unwrap();
    let record = format!(
        r#"{{"type":"document","status":"fetched","path":"gone\u001b[2J\u202e","sha256":"{sum}"}}"#
    );
    std::fs::write(world.out().join("records"), record).unwrap();
    for arguments in [
        &["verify", "sums", "-v"][..],
        &["verify", "records"],
        &["verify", "records", "--json"],
        &["verify", "records", "--format", "sha256sum"],
    ] {
        let (code, screen) = on_a_terminal(world.command(arguments));
        assert_eq!(code, 6, "{screen}");
        assert!(screen.contains("gone\\u"), "{screen:?}");
        assert!(
            !screen.contains('\u{1b}') && !screen.contains('\u{202e}'),
            "{screen:?}"
        );
    }
}

#[test]
fn the_ledger_shows_id_state_and_kind_in_forty_columns() {
    let id = "5891ee65711c4d5e";
    let document = Document::new("x.bin", vec![7; 10]).with_id(id);
    let service = Service::start(vec![document], &[]);
    let world = service.world();
    world.run(&["onecodex", id]).exits(0);
    let (code, screen) = on_a_terminal_of(40, world.command(&["ledger", "list"]));
    assert_eq!(code, 0);
    assert!(
        screen.contains("5891ee65711c4d5e  delivered  documents\r\n"),
        "{screen:?}"
    );
    let lines = |screen: &str| screen.lines().map(str::trim_end).map(str::len).max();
    assert!(
        lines(&screen).is_some_and(|longest| longest <= 48),
        "{screen:?}"
    ); // with colours
    let (_, screen) = on_a_terminal_of(20, world.command(&["ledger", "list"]));
    assert!(
        screen.contains(id) && !screen.contains("delivered"),
        "{screen:?}"
    );
    let (_, screen) = on_a_terminal_of(100, world.command(&["ledger", "list"]));
    assert!(
        screen.contains("59 min") && screen.contains("REQUESTED (UTC)"),
        "{screen:?}"
    );
}
