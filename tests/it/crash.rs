//! Processes that are killed, disks that are full or fail, and the next run: the target is absent or
//! complete, and docfetch does not fetch again the bytes that are on disk.

use crate::support::raw::{Raw, both, reply};
use crate::support::services::Service;
use crate::support::strace::{path_of_partial, tracee, with_fault, with_faults};
use crate::support::tools::{faketime, mounts, strace};
use crate::support::{SILENCE, World, each_at_once, kill, noise, send};
use docfetch::sandbox::Document;
use rustix::process::{Signal, kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Calls that change a file, a name, or what a server knows.
const CALLS: &str = "write,writev,pwrite64,fsync,fdatasync,rename,renameat2,unlink,ftruncate,\
                     fallocate,fchmod,flock,mkdir,connect";
const SIZE: usize = 300_000;

/// Whether a file has the final name; fails unless it holds all of `content`.
#[track_caller]
fn whole_or_absent(world: &World, content: &[u8], when: &str) -> bool {
    let target = world.out().join("x.bin");
    let there = target.exists();
    assert!(!there || fs::read(target).unwrap() == content, "{when}");
    there
}

/// The partial of the output folder.
fn partial(world: &World) -> PathBuf {
    let found = world.file_ending(".part");
    found.unwrap_or_else(|| panic!("no partial in {:?}", world.files()))
}

#[test]
fn a_kill_at_any_call_leaves_nothing_half_done_and_the_next_run_finishes() {
    if !strace() {
        return;
    }
    let kills = AtomicUsize::new(0);
    each_at_once(["sm", "onecodex"], |provider| {
        for call in CALLS.split(',') {
            kill_at_each(provider, call, &kills);
        }
    });
    let kills = kills.into_inner();
    assert!(kills > 60, "only {kills} calls were seen");
}

/// Kills a process at its first such call, another one at its second, and so on.
fn kill_at_each(provider: &str, call: &str, kills: &AtomicUsize) {
    for number in 1.. {
        let (service, content) = Service::with("x.bin", SIZE, &[]);
        let world = service.world();
        let run = with_fault(
            &world,
            (call, "signal=KILL", number),
            None,
            &[provider, "doc1"],
        );
        if run.code != -1 {
            run.exits(0);
            break;
        }
        kills.fetch_add(1, Ordering::Relaxed);
        let when = format!("{provider} killed at {call} {number}");
        if whole_or_absent(&world, &content, &when) {
            world
                .run(&[provider, "doc1", "--if-exists", "skip"])
                .exits(0);
            assert_eq!(world.files(), ["x.bin"], "{when}");
            continue;
        }
        let (answered, asked) = (service.charges(), service.report().storage_requests);
        let recorded = world.run(&["ledger", "list"]).stdout;
        let mut run = world.run(&[provider, "doc1"]);
        if run.code == 8 {
            // The request was sent, or about to be sent: docfetch cannot know. What was recorded as answered is used.
            assert!(
                recorded.contains("doubtful") && asked == 0,
                "{when}: {run:?}"
            );
            assert_eq!(service.charges(), answered, "{when}: {run:?}");
            run = world.run(&[provider, "doc1", "--allow-recharge"]);
        } else {
            assert!(answered <= 1 && service.charges() <= 1, "{when}: {run:?}");
        }
        run.exits(0);
        assert!(whole_or_absent(&world, &content, &when), "{when}: {run:?}");
        assert_eq!(world.files(), ["x.bin"], "{when}");
    }
}

#[test]
fn documents_that_are_killed_at_random_all_arrive_and_are_paid_once() {
    let contents: Vec<Vec<u8>> = (1..=5).map(|number| noise(number * 100_000)).collect();
    let documents = contents.iter().enumerate().map(|(number, content)| {
        Document::new(&format!("{number}.bin"), content.clone()).with_id(&format!("doc{number}"))
    });
    let service = Service::start(documents.collect(), &["throttle=1M"]);
    let world = service.world();
    let mut pause = 11;
    for _ in 0..4 {
        let children: Vec<_> = (0..contents.len())
            .map(|number| {
                let id = format!("doc{number}");
                let mut command = world.command(&["onecodex", &id, "--if-exists", "skip"]);
                let child = command.spawn().unwrap();
                // Not before the answer is recorded: what is in doubt stays in doubt.
                world.wait_until("an answer", || {
                    let listed = world.run(&["ledger", "list"]).stdout;
                    listed.lines().any(|line| {
                        line.starts_with(&format!("{id}\t"))
                            && (line.contains("answered") || line.contains("delivered"))
                    })
                });
                pause = pause * 7 % 97;
                std::thread::sleep(Duration::from_millis(pause));
                child
            })
            .collect();
        for child in children {
            kill(child);
        }
    }
    for (number, content) in contents.iter().enumerate() {
        let id = format!("doc{number}");
        world
            .run(&["onecodex", &id, "--if-exists", "skip"])
            .exits(0);
        assert!(world.read(&format!("{number}.bin")) == *content);
    }
    let charges = service.report().charges;
    assert_eq!(charges.len(), contents.len());
    assert!(charges.values().all(|count| *count == 1), "{charges:?}");
}

#[test]
fn a_document_that_is_killed_again_and_again_moves_little_more_than_its_size() {
    const LARGE: usize = 6 << 20;
    let (service, content) = Service::with("x.bin", LARGE, &["throttle=4M"]);
    let world = service.world();
    let (mut kills, mut slowness, mut held) = (0, 1, 0);
    while !world.out().join("x.bin").exists() && kills < 40 {
        let child = world.command(&["onecodex", "doc1"]).spawn().unwrap();
        if kills == 0 {
            world.wait_for_partial(1);
        }
        std::thread::sleep(Duration::from_millis(150) * slowness);
        kill(child);
        kills += 1;
        // A busy machine needs more time before each kill.
        let metadata = world
            .file_ending(".part")
            .and_then(|path| path.metadata().ok());
        let now = metadata.map_or(0, |metadata| metadata.len());
        if std::mem::replace(&mut held, now) == now {
            slowness += 1;
        }
    }
    assert!(kills > 3, "{kills}");
    if !world.out().join("x.bin").exists() {
        world.run(&["onecodex", "doc1"]).exits(0);
    }
    assert_eq!(world.read("x.bin"), content);
    let moved = service.report().storage_bytes;
    assert!(moved < LARGE as u64 * 3 / 2, "{moved} after {kills} kills");
    assert_eq!(service.charges(), 1);
}

/// Kills a transfer in the middle; returns the partial.
fn killed(world: &World, arguments: &[&str]) -> PathBuf {
    let child = world.command(arguments).spawn().unwrap();
    world.wait_for_partial(300_000);
    std::thread::sleep(Duration::from_millis(20));
    kill(child);
    partial(world)
}

#[test]
fn after_a_power_failure_only_what_is_there_as_it_was_written_is_believed() {
    // A file system may have lost the last bytes, kept zeros for them, or something else.
    type Damage = fn(&PathBuf);
    let damages: [Damage; 4] = [
        |partial| {
            let file = fs::OpenOptions::new().write(true).open(partial).unwrap();
            let length = file.metadata().unwrap().len();
            file.set_len(length - 100_000).unwrap();
            file.set_len(length).unwrap();
        },
        |partial| {
            let file = fs::OpenOptions::new().write(true).open(partial).unwrap();
            file.set_len(100_000).unwrap();
        },
        |partial| {
            use std::io::Write as _;
            let mut file = fs::OpenOptions::new().append(true).open(partial).unwrap();
            file.write_all(&[b'!'; 50_000]).unwrap();
        },
        |partial| fs::write(partial.with_extension("json"), "").unwrap(),
    ];
    for damage in damages {
        let (service, content) = Service::with("x.bin", 1 << 20, &["throttle=1M"]);
        let world = service.world();
        damage(&killed(&world, &["sm", "doc1"]));
        world.run(&["sm", "doc1"]).exits(0);
        assert!(world.read("x.bin") == content);
        assert_eq!(world.files(), ["x.bin"]);
    }
}

#[test]
fn what_was_synced_is_kept_when_what_was_written_since_is_lost() {
    let (service, content) = Service::with("x.bin", 1 << 20, &["throttle=1M"]);
    let world = service.world();
    // An interrupt syncs; then a kill leaves a tail that is not synced.
    let child = world.command(&["sm", "doc1"]).spawn().unwrap();
    world.wait_for_partial(300_000);
    send(&child, Signal::INT);
    world.finish(child, Instant::now()).exits(130);
    let synced = fs::metadata(partial(&world)).unwrap().len();
    let child = world.command(&["sm", "doc1"]).spawn().unwrap();
    world.wait_for_partial(synced + 200_000);
    std::thread::sleep(Duration::from_millis(20));
    kill(child);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(partial(&world))
        .unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(synced + 10).unwrap();
    file.set_len(length).unwrap();
    let run = world.run(&["sm", "doc1", "--json"]);
    assert_eq!(run.exits(0).records()[0]["resumed_from"], synced);
    assert!(world.read("x.bin") == content);
}

#[test]
fn an_interrupt_at_half_leaves_half_to_do() {
    let (service, content) = Service::with("x.bin", 2 << 20, &["throttle=2M"]);
    for provider in ["sm", "onecodex"] {
        let world = service.world();
        let child = world.command(&[provider, "doc1"]).spawn().unwrap();
        world.wait_for_partial(1 << 20);
        send(&child, Signal::INT);
        world.finish(child, Instant::now()).exits(130);
        let before = service.report().storage_bytes;
        world.run(&[provider, "doc1"]).exits(0);
        let moved = service.report().storage_bytes - before;
        assert!(moved <= (2 << 20) * 55 / 100, "{moved}");
        assert!(world.read("x.bin") == content);
    }
}

#[test]
fn without_resume_nothing_of_an_earlier_run_is_used() {
    let (service, content) = Service::with("x.bin", 1 << 20, &["throttle=1M"]);
    let world = service.world();
    let left = killed(&world, &["sm", "doc1"]);
    fs::write(&left, vec![b'!'; 400_000]).unwrap();
    let run = world.run(&["sm", "doc1", "--no-resume", "--json"]);
    assert_eq!(run.exits(0).records()[0]["resumed_from"], 0);
    assert!(world.read("x.bin") == content);
    assert_eq!(world.files(), ["x.bin"]);
}

#[test]
fn a_partial_that_was_taken_away_is_not_published_and_neither_is_one_in_its_place() {
    let (service, content) = Service::with("x.bin", 1 << 20, &["throttle=1M"]);
    let world = service.world();
    let first = world.command(&["sm", "doc1", "--json"]).spawn().unwrap();
    world.wait_for_partial(500_000);
    fs::remove_file(partial(&world)).unwrap();
    let second = world.command(&["sm", "doc1"]).spawn().unwrap();
    let run = world.finish(first, Instant::now());
    assert_eq!(run.exits(7).error_code(), "local_io");
    run.says("was taken away");
    assert!(!world.out().join("x.bin").exists());
    world.finish(second, Instant::now()).exits(0);
    assert!(world.read("x.bin") == content);
    assert_eq!(world.files(), ["x.bin"]);
}

#[test]
fn a_sidecar_that_cannot_be_removed_does_not_spoil_a_published_document() {
    if !strace() {
        return;
    }
    let (service, content) = Service::with("x.bin", SIZE, &[]);
    let world = service.world();
    let sidecar = path_of_partial(&world, &["onecodex", "doc1"]).with_extension("json");
    let sidecar = Path::new("./").join(sidecar.file_name().unwrap()); // as it is called there
    let run = with_fault(
        &world,
        ("unlink", "error=EIO", 3), // after that of an older one, and the trial of a rename
        Some(&sidecar),
        &["onecodex", "doc1"],
    );
    run.exits(0).says("a stale sidecar stays");
    assert!(world.read("x.bin") == content);
    let listed = world.run(&["ledger", "list"]);
    assert!(listed.stdout.contains("delivered"), "{listed:?}");
    let more = ["onecodex", "doc1", "--if-exists", "overwrite"];
    world.run(&more).exits(0);
    assert_eq!(world.files(), ["x.bin"]);
}

#[test]
fn a_partial_that_a_crash_left_open_is_closed() {
    use std::os::unix::fs::PermissionsExt as _;
    let (service, _) = Service::with("x.bin", 1 << 20, &["throttle=1M"]);
    let world = service.world();
    let left = killed(&world, &["sm", "doc1"]);
    fs::set_permissions(&left, fs::Permissions::from_mode(0o644)).unwrap();
    let child = world.command(&["sm", "doc1"]).spawn().unwrap();
    world.wait_until("a closed partial", || {
        let found = fs::metadata(&left);
        found.is_ok_and(|found| found.permissions().mode() & 0o777 == 0o600)
    });
    kill(child);
}

#[test]
fn what_a_crash_left_of_a_sidecar_goes_with_the_document() {
    // So little is missing that no sidecar is written any more.
    let (service, content) = Service::with("x.bin", 360_000, &["throttle=500K"]);
    let world = service.world();
    let left = killed(&world, &["sm", "doc1"]);
    fs::write(left.with_extension("json.new"), "half").unwrap();
    world.run(&["sm", "doc1"]).exits(0);
    assert!(world.read("x.bin") == content);
    assert_eq!(world.files(), ["x.bin"]);
}

#[test]
fn without_resume_a_planted_partial_is_unlinked_and_its_victim_untouched() {
    for kind in ["symlink", "hard link", "fifo", "sidecar"] {
        let (service, content) = Service::with("x.bin", 200_000, &["truncate=100K"]);
        let world = service.world();
        world.run(&["sm", "doc1", "--retries", "0"]).exits(5);
        let left = partial(&world);
        let victim = world.out().join("victim");
        fs::write(&victim, "precious").unwrap();
        let planted = match kind {
            "sidecar" => left.with_extension("json"),
            _ => left,
        };
        fs::remove_file(&planted).unwrap();
        match kind {
            "hard link" => fs::hard_link(&victim, &planted).unwrap(),
            "fifo" => {
                let made = world
                    .command_of("mkfifo", &[planted.to_str().unwrap()])
                    .status();
                assert!(made.unwrap().success());
            }
            _ => std::os::unix::fs::symlink(&victim, &planted).unwrap(),
        }
        let run = world.run(&["sm", "doc1", "--json"]);
        assert_eq!(run.exits(9).error_code(), "unsafe_partial", "{kind}");
        run.says("--no-resume");
        drop(service);
        let service = Service::start(
            vec![Document::new("x.bin", content.clone()).with_id("doc1")],
            &[],
        );
        let mut command = service.world().command(&["sm", "doc1", "--no-resume"]);
        let child = command.current_dir(world.out()).spawn().unwrap();
        world.finish(child, Instant::now()).exits(0);
        assert!(world.read("x.bin") == content);
        assert_eq!(world.read("victim"), b"precious", "{kind}");
    }
}

#[test]
fn a_full_disk_at_any_write_leaves_no_target_and_a_partial_that_can_be_used() {
    if !strace() {
        return;
    }
    let (service, content) = Service::with("x.bin", SIZE, &[]);
    let world = service.world();
    let path = path_of_partial(&world, &["onecodex", "doc1"]);
    let mut failures = 0;
    for (fault, call) in ["error=ENOSPC", "error=EDQUOT", "error=EFBIG"]
        .into_iter()
        .flat_map(|fault| ["pwrite64", "fallocate"].map(|call| (fault, call)))
    {
        for number in 1.. {
            let injected = (call, fault, number);
            let run = with_fault(
                &world,
                injected,
                Some(&path),
                &["onecodex", "doc1", "--json"],
            );
            let when = format!("{injected:?}: {run:?}");
            if whole_or_absent(&world, &content, &when) {
                run.exits(0);
                fs::remove_file(world.out().join("x.bin")).unwrap();
                break;
            }
            failures += 1;
            assert_eq!(run.exits(7).error_code(), "disk_full", "{when}");
            let run = world.run(&["onecodex", "doc1", "--json"]);
            let resumed = &run.exits(0).records()[0]["resumed_from"];
            assert_eq!(*resumed != 0, number > 1, "{when}");
            assert!(whole_or_absent(&world, &content, &when));
            fs::remove_file(world.out().join("x.bin")).unwrap();
        }
    }
    assert!(failures > 9, "{failures}");
    assert_eq!(service.charges(), 1);
}

/// A shortage says nothing about the state folder: nothing is paid for that cannot be recorded now.
#[test]
fn whatever_runs_short_no_document_is_paid_twice() {
    if !strace() {
        return;
    }
    let (service, content) = Service::with("x.bin", 1000, &[]);
    let world = service.world();
    let (mut failures, mut charges) = (0, 0);
    for (call, fault) in [
        ("flock", "error=EMFILE"),
        ("openat", "error=EMFILE"),
        ("openat", "error=ENFILE"),
        ("fdatasync", "error=EIO"),
        ("pwrite64", "error=ENOMEM"),
    ] {
        for number in 1..200 {
            let _ = fs::remove_dir_all(world.state());
            let all = format!("{number}+");
            let run = with_faults(&world, (call, fault, &all), None, &["onecodex", "doc1"]);
            let when = format!("{:?}: {run:?}", (call, fault, all));
            failures += usize::from(run.code != 0);
            let done = whole_or_absent(&world, &content, &when) && run.code == 0;
            let next = world.run(&["onecodex", "doc1", "--if-exists", "overwrite"]);
            assert!([0, 8].contains(&next.code), "{when}, {next:?}");
            let now = service.charges();
            assert_eq!(now, charges + 1, "{when}");
            charges = now;
            let _ = fs::remove_file(world.out().join("x.bin"));
            if done {
                break;
            }
        }
    }
    assert!(failures > 9, "{failures}");
}

#[test]
fn a_disk_that_is_really_full_is_said_before_and_is_usable_after_room_was_made() {
    if !mounts() {
        return;
    }
    let (service, content) = Service::with("x.bin", 900_000, &[]);
    let mut world = service.world();
    let folder = world.home().join("given");
    fs::create_dir(&folder).unwrap();
    world.set("D", folder.to_str().unwrap());
    let binary = env!("CARGO_BIN_EXE_docfetch");
    let script = format!(
        "mount -t tmpfs -o size=1m none $D || exit 99; dd if=/dev/zero of=$D/fill bs=100k count=5 2>/dev/null; \
         {binary} sm doc1 -d $D; echo $? >codes; ls $D >left; \
         rm $D/fill; {binary} sm doc1 -d $D; echo $? >>codes; cp $D/x.bin ."
    );
    let mut command = world.command_of("unshare", &["-m", "sh", "-c", &script]);
    let run = world.finish(command.spawn().unwrap(), Instant::now());
    assert_eq!(world.read("codes"), b"7\n0\n", "{run:?}");
    run.says("error: no room for the document in ")
        .says("  why: the transfer needs 878.9 KiB, and ");
    assert!(
        !String::from_utf8(world.read("left"))
            .unwrap()
            .contains("x.bin")
    );
    assert_eq!(world.read("x.bin"), content);
}

#[test]
fn a_sync_that_fails_publishes_nothing_and_what_it_left_is_not_trusted() {
    if !strace() {
        return;
    }
    for provider in ["sm", "onecodex"] {
        let (service, content) = Service::with("x.bin", SIZE, &[]);
        let world = service.world();
        let path = path_of_partial(&world, &[provider, "doc1"]);
        let injected = ("fsync", "error=EIO", 1);
        let run = with_fault(&world, injected, Some(&path), &[provider, "doc1", "--json"]);
        assert_eq!(run.exits(7).error_code(), "local_io", "{run:?}");
        run.says("cannot sync");
        assert!(world.files().is_empty(), "{:?}", world.files());
        let run = world.run(&[provider, "doc1", "--json"]);
        assert_eq!(run.exits(0).records()[0]["resumed_from"], 0);
        assert_eq!(world.read("x.bin"), content);
        assert!(service.charges() <= 1);
    }
    // The folder's own sync: the name may not last.
    for (arguments, stays) in [
        (&["sm", "doc1"][..], false),
        (&["sm", "doc1", "--if-exists", "overwrite"][..], true),
    ] {
        let (service, content) = Service::with("x.bin", SIZE, &[]);
        let world = service.world();
        world.run(&["list", "sm"]).exits(0); // makes the state folder
        let injected = ("fsync", "error=EIO", 1);
        let run = with_fault(&world, injected, Some(&world.out()), arguments);
        run.exits(7).says("sync the folder");
        assert_eq!(whole_or_absent(&world, &content, "folder"), stays);
        assert_eq!(
            world.files().len(),
            usize::from(stays),
            "{:?}",
            world.files()
        );
    }
    // A sync in the middle, here that of an interrupt.
    let (service, _) = Service::with("x.bin", 1 << 20, &["throttle=1M"]);
    let world = service.world();
    let trace = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"];
    let inject = [
        "-e",
        "inject=fdatasync:error=EIO",
        env!("CARGO_BIN_EXE_docfetch"),
        "sm",
        "doc1",
    ];
    let arguments: Vec<&str> = trace.iter().chain(&inject).copied().collect();
    let child = world.command_of("strace", &arguments).spawn().unwrap();
    world.wait_for_partial(300_000);
    kill_process(tracee(&child), Signal::INT).unwrap();
    world.finish(child, Instant::now()).exits(130);
    assert!(world.files().is_empty(), "{:?}", world.files());
}

/// A long transfer is synced now and then. When that fails once, the kernel forgets that it did: the
/// next sync would succeed over lost bytes.
#[test]
fn a_sync_that_fails_in_mid_file_is_not_asked_again() {
    if !strace() {
        return;
    }
    let (service, _) = Service::with("x.bin", 1 << 20, &["throttle=64K"]);
    let world = service.world();
    // An interrupted run tells the partial's name.
    let child = world.command(&["sm", "doc1"]).spawn().unwrap();
    world.wait_for_partial(1);
    send(&child, Signal::INT);
    world.finish(child, Instant::now());
    let path = partial(&world);
    let injected = ("fdatasync", "error=EIO", 1);
    let run = with_fault(&world, injected, Some(&path), &["sm", "doc1", "--json"]);
    assert_eq!(run.exits(7).error_code(), "local_io", "{run:?}");
    // It failed before the last bytes came, and so not at the last sync.
    assert!(service.report().storage_bytes < 1 << 20, "{run:?}");
    assert!(world.files().is_empty(), "{:?}", world.files());
}

#[test]
fn an_interrupt_ends_a_wait_for_another_process() {
    let server = Raw::start(|request, stream| match request.method.as_str() {
        "POST" => std::thread::sleep(SILENCE),
        _ => reply(stream, "404 Not Found", &[], b"{}"),
    });
    let world = World::new(&server.base());
    // One asks; the second waits for its partial, the third for its record.
    let first = world.command(&["onecodex", "a"]).spawn().unwrap();
    world.wait_until("a POST", || server.count("POST", "/") == 1);
    for arguments in [
        &["onecodex", "a"][..],
        &["onecodex", "a", "-d", "elsewhere"],
    ] {
        let (child, log) = world.spawn_logging(arguments);
        world.wait_for_text(&log, "another process is");
        send(&child, Signal::INT);
        world.finish(child, Instant::now()).is_prompt().exits(130);
    }
    // And one that has waited long enough says so.
    let run = world.run(&[
        "onecodex",
        "a",
        "-d",
        "elsewhere",
        "--retry-max-time",
        "500ms",
        "--json",
    ]);
    assert_eq!(run.exits(7).error_code(), "busy");
    assert_eq!(server.count("POST", "/"), 1);
    kill(first);
}

#[test]
fn a_clock_that_is_hours_off_expires_nothing_and_requests_nothing_again() {
    if !faketime() {
        return;
    }
    each_at_once(["-2h", "+2h"], |shift| {
        let (service, content) = Service::with("x.bin", 1 << 20, &["throttle=1M"]);
        let binary = env!("CARGO_BIN_EXE_docfetch");
        for provider in ["sm", "onecodex"] {
            let world = service.world();
            killed(&world, &[provider, "doc1"]);
            let shifted = |more: &[&'static str]| {
                let mut arguments = vec!["-f", shift, binary, provider, "doc1", "--json"];
                arguments.extend(more);
                world.run_of("faketime", &arguments)
            };
            let run = shifted(&[]);
            let resolves = u64::from(provider == "sm");
            assert_eq!(run.exits(0).records()[0]["resolves"], resolves, "{shift}");
            assert!(world.read("x.bin") == content);
            // From its beginning under a wrong clock, and on under the right one.
            shifted(&["-o", "y.bin"]).exits(0);
            world.run(&[provider, "doc1", "-o", "z.bin"]).exits(0);
        }
        assert_eq!(service.charges(), 1, "{shift}");
        assert!(service.report().tokens <= 3);
    });
}

#[test]
fn a_sidecar_holds_no_url_and_only_its_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let (api, _storage) = both("/x.bin", |_, stream| {
        use std::io::Write as _;
        let content = noise(SIZE);
        crate::support::raw::head(stream, "200 OK", &[("ETag", "\"v1\"")], Some(SIZE));
        let _ = stream.write_all(&content[..200_000]);
        std::thread::sleep(SILENCE);
    });
    let world = World::new(&api.base());
    let mut child = world.command(&["sm", "a"]).spawn().unwrap();
    world.wait_until("a sidecar", || world.file_ending(".json").is_some());
    child.kill().unwrap();
    // Looks for secrets in it.
    world.finish(child, Instant::now());
    for name in world.files() {
        let mode = fs::metadata(world.out().join(&name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
