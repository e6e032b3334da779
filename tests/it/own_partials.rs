//! Folders where a lock may exclude no other process, or where other calls are missing: each process has a
//! partial of its own, a later run takes up what earlier ones left, and no process changes what another one
//! published.

use crate::support::fuse::{Call, Fuse, Mounted};
use crate::support::services::Service;
use crate::support::strace::traced;
use crate::support::{Run, World, each_at_once, kill, noise, send, tools};
use docfetch::sandbox::Document;
use rustix::io::Errno;
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// File systems with odd habits.
fn odd() -> Vec<(&'static str, Fuse)> {
    let no_names = |fuse: Fuse| {
        fuse.refuse(Call::RenameFlags, Errno::INVAL)
            .refuse(Call::Link, Errno::PERM)
    };
    vec![
        ("ENOSYS", Fuse::new().refuse(Call::Flock, Errno::NOSYS)),
        ("ENOLCK", Fuse::new().refuse(Call::Flock, Errno::NOLCK)),
        (
            "EOPNOTSUPP",
            Fuse::new().refuse(Call::Flock, Errno::OPNOTSUPP),
        ),
        ("every lock", Fuse::new().grant_every_lock()),
        ("links", Fuse::new().refuse(Call::RenameFlags, Errno::INVAL)),
        ("neither", no_names(Fuse::new())),
        ("folding", Fuse::new().fold_names()),
        ("unstable", Fuse::new().unstable_inodes()),
        (
            "unstable links",
            Fuse::new()
                .unstable_inodes()
                .refuse(Call::RenameFlags, Errno::INVAL),
        ),
        (
            "all",
            no_names(Fuse::new().unstable_inodes().fold_names())
                .refuse(Call::Flock, Errno::NOSYS)
                .refuse(Call::Chmod, Errno::PERM),
        ),
    ]
}

fn path(folder: &Mounted) -> &str {
    folder.path().to_str().unwrap()
}

/// Starts to fetch a document, and kills the process when a sidecar describes some of its bytes.
fn fetch_and_kill(world: &World, folder: &Mounted, arguments: &[&str]) {
    let child = world.command(arguments).spawn().unwrap();
    world.wait_until("a sidecar", || {
        let mut sidecars = folder.names("").into_iter();
        // The sidecar's name is also tried out, with an empty file, before docfetch pays.
        sidecars.any(|name| {
            name.ends_with(".json") && folder.content(&name).is_some_and(|text| !text.is_empty())
        })
    });
    kill(child);
}

#[test]
fn a_paid_document_is_whole_and_paid_once_after_kills_on_every_odd_file_system() {
    each_at_once(odd(), |(habit, fuse)| {
        let Some(folder) = fuse.mount() else {
            return;
        };
        let (service, content) = Service::with("x.bin", 300_000, &["throttle=200K"]);
        let world = service.world();
        let fetching = ["onecodex", "doc1", "-d", path(&folder)];
        fetch_and_kill(&world, &folder, &fetching);
        let run = world.run(&[&fetching[..], &["--json"]].concat());
        run.exits(0);
        let record = &run.records()[0];
        assert_eq!(record["status"], "fetched", "{habit}");
        assert!(
            record["resumed_from"].as_u64() > Some(0),
            "{habit}: {run:?}"
        );
        assert!(folder.content("x.bin").unwrap() == content, "{habit}");
        assert_eq!(folder.names(""), ["x.bin"], "{habit}");
        assert_eq!(service.charges(), 1, "{habit}");
        let warnings = run.stderr.matches("has no locks").count();
        let is_without = ["ENOSYS", "ENOLCK", "EOPNOTSUPP", "all"].contains(&habit);
        assert_eq!(warnings, usize::from(is_without), "{habit}: {run:?}");
    });
}

#[test]
fn a_kill_while_a_document_has_two_names_is_mended_by_the_next_run() {
    if !tools::strace() {
        return;
    }
    let links = || Fuse::new().refuse(Call::RenameFlags, Errno::INVAL);
    each_at_once([links(), links().unstable_inodes()], |fuse| {
        let mut kills = 0;
        for number in 1.. {
            let Some(folder) = fuse.clone().mount() else {
                return;
            };
            let (service, content) = Service::with("x.bin", 1000, &[]);
            let world = service.world();
            let fetching = ["onecodex", "doc1", "-o", "x.bin", "-d", path(&folder)];
            let inject = format!("inject=unlink,unlinkat,link,linkat:signal=KILL:when={number}");
            let expressions = ["trace=unlink,unlinkat,link,linkat", &inject];
            let command = traced(&world, &[], &expressions, &fetching).spawn();
            let run: Run = world.finish(command.unwrap(), Instant::now());
            if run.code != -1 {
                run.exits(0);
                break;
            }
            kills += 1;
            let when = format!("killed at call {number}: {:?}", folder.names(""));
            let run = world.run(&[&fetching[..], &["--if-exists", "skip"]].concat());
            assert_eq!(run.code, 0, "{when}: {run:#?}");
            assert_eq!(folder.names(""), ["x.bin"], "{when}");
            assert!(folder.content("x.bin").unwrap() == content, "{when}");
            assert!(service.charges() <= 1, "{when}");
        }
        assert!(kills > 3, "only {kills} calls were seen");
    });
}

#[test]
fn what_a_dead_process_left_of_a_mirrored_document_is_removed_by_the_next_sync() {
    each_at_once(odd(), |(habit, fuse)| {
        let Some(folder) = fuse.mount() else {
            return;
        };
        let (service, content) = Service::with("x.bin", 300_000, &["truncate=200000"]);
        let world = service.world();
        let sync = ["sync", "onecodex", path(&folder), "-c", "1"];
        world
            .run(&[&sync[..], &["--retries", "0"]].concat())
            .exits(5);
        let names = folder.names("");
        let partial = names.iter().find(|name| name.ends_with(".part")).unwrap();
        let stem = partial.trim_end_matches(".part");
        let [bytes, sidecar] =
            ["part", "json"].map(|ending| folder.content(&format!("{stem}.{ending}")).unwrap());
        world.run(&sync).exits(0);
        let left: [&[(&str, &[u8])]; 3] = [
            &[("part", &bytes), ("json", &sidecar)],
            &[("json", &sidecar)],
            &[("json.new", &sidecar)],
        ];
        for files in left {
            for (ending, content) in files {
                fs::write(folder.path().join(format!("{stem}.{ending}")), content).unwrap();
            }
            let run = world.run(&sync);
            run.exits(0).says("up to date");
            assert_eq!(folder.names(""), [".docfetch", "x.bin"], "{habit} {run:?}");
        }
        assert!(folder.content("x.bin").unwrap() == content, "{habit}");
        assert_eq!(service.charges(), 1, "{habit}");
    });
}

#[test]
fn two_processes_without_any_lock_end_well_and_leave_one_whole_file() {
    let no_locks = Fuse::new().refuse(Call::Flock, Errno::NOSYS);
    let unstable = Fuse::new().grant_every_lock().unstable_inodes();
    each_at_once(
        [no_locks, Fuse::new().grant_every_lock(), unstable],
        |fuse| {
            let Some(folder) = fuse.mount() else {
                return;
            };
            let (service, content) = Service::with("x.bin", 200_000, &["throttle=200K"]);
            let world = service.world();
            let fetching = ["sm", "doc1", "-o", "x.bin", "--json", "-d", path(&folder)];
            let both = [(); 2].map(|()| world.command(&fetching).spawn().unwrap());
            let ends = both.map(|child| world.finish(child, Instant::now()));
            let mut states: Vec<_> = ends
                .iter()
                .map(|run| run.exits(0).records()[0]["status"].to_string())
                .collect();
            states.sort();
            assert_eq!(states, ["\"fetched\"", "\"skipped\""]);
            assert!(folder.content("x.bin").unwrap() == content);
            // Each of them may have seen the other one at work.
            world
                .run(&[&fetching[..], &["--if-exists", "skip"]].concat())
                .exits(0);
            assert_eq!(folder.names(""), ["x.bin"]);
        },
    );
}

#[test]
fn a_refused_lock_on_an_ordinary_file_system_is_told_once_and_loses_no_byte() {
    if !tools::strace() {
        return;
    }
    each_at_once(["ENOSYS", "ENOLCK", "EOPNOTSUPP"], |errno| {
        let (service, content) = Service::with("x.bin", 150_000, &["truncate=100K"]);
        let world = service.world();
        let inject = format!("inject=flock:error={errno}");
        let fetching = ["sm", "doc1", "--retries", "0", "--json"];
        let run = || {
            let command = traced(&world, &[], &["trace=flock", &inject], &fetching).spawn();
            world.finish(command.unwrap(), Instant::now())
        };
        run().exits(5);
        assert_eq!(world.files().len(), 2, "one partial and its sidecar");
        let second = run();
        assert_eq!(second.exits(0).records()[0]["resumed_from"], 100 << 10);
        assert_eq!(second.stderr.matches("has no locks").count(), 1, "{errno}");
        assert!(world.read("x.bin") == content);
        assert_eq!(world.files(), ["x.bin"], "{errno}");
    });
}

#[test]
fn a_folder_that_cannot_be_read_gets_its_document_without_true_locks_too() {
    if !(tools::mounts() && tools::other_user()) {
        return;
    }
    let (service, content) = Service::with("x.bin", 1000, &[]);
    let world = service.world();
    let folder = world.home().join("given");
    fs::create_dir(&folder).unwrap();
    for open in [world.home(), &world.out()] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o777)).unwrap();
    }
    // ramfs is no file system that docfetch knows to lock truly.
    let text = "mount -t ramfs none $D && chmod 333 $D && \
                setpriv --reuid=65534 --regid=65534 --clear-groups $F >/dev/null && cat $D/x.bin";
    let mut command = world.command_of("unshare", &["-m", "sh", "-c", text]);
    let folder = folder.to_str().unwrap();
    let fetch = format!("{} sm doc1 -d {folder}", env!("CARGO_BIN_EXE_docfetch"));
    command.env("F", fetch).env("D", folder);
    let run = world.finish(command.spawn().unwrap(), Instant::now());
    run.exits(0);
    assert!(run.raw_stdout == content, "{run:?}");
}

const DOCUMENTS: usize = 6;
const ROUNDS: u64 = 5;

#[test]
fn eight_processes_that_get_every_lock_publish_each_document_once_whatever_kill_comes() {
    let late = Duration::from_millis(400);
    let Some(folder) = Fuse::new().grant_every_lock().show_late(late).mount() else {
        return;
    };
    let contents: Vec<Vec<u8>> = (0..DOCUMENTS).map(|_| noise(150_000)).collect();
    let ids: Vec<String> = (0..DOCUMENTS).map(|number| format!("d{number}")).collect();
    let documents = ids
        .iter()
        .zip(&contents)
        .map(|(id, content)| Document::new(&format!("{id}.bin"), content.clone()).with_id(id));
    let service = Service::start(documents.collect(), &["throttle=600K"]);
    let world = service.world();
    let command = |first: usize| {
        let wanted = ids.iter().cycle().skip(first).take(DOCUMENTS);
        let mut arguments = vec!["sm", "--if-exists", "skip", "-j", "2", "-d", path(&folder)];
        arguments.extend(wanted.map(String::as_str));
        world.command(&arguments)
    };
    let done = AtomicBool::new(false);
    let first_seen = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut seen: BTreeMap<String, (Vec<u8>, Option<u64>)> = BTreeMap::new();
            while !done.load(Ordering::Relaxed) {
                let names = folder.names("").into_iter();
                for name in names.filter(|name| !name.starts_with('.')) {
                    let content = || folder.content(&name).unwrap();
                    let known = seen
                        .entry(name.clone())
                        .or_insert_with(|| (content(), None));
                    if known.1.is_none() {
                        let found = fs::metadata(folder.path().join(&name));
                        known.1 = found.ok().map(|found| found.ino());
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            seen
        });
        for round in 0..ROUNDS {
            let children: Vec<_> = (0..8).map(|n| command(n).spawn().unwrap()).collect();
            for (number, child) in (0u64..).zip(children) {
                std::thread::sleep(Duration::from_millis((round * 37 + number * 61) % 140));
                kill(child);
            }
        }
        let last: Vec<_> = (0..8).map(|n| command(n).spawn().unwrap()).collect();
        for child in last {
            world.finish(child, Instant::now()).exits(0);
        }
        folder.settle();
        std::thread::sleep(Duration::from_millis(50));
        done.store(true, Ordering::Relaxed);
        watching.join().unwrap()
    });
    assert_eq!(first_seen.len(), DOCUMENTS);
    for (id, content) in ids.iter().zip(&contents) {
        let name = format!("{id}.bin");
        let (first_content, first_inode) = &first_seen[&name];
        assert!(
            first_content == content,
            "{name} was not whole when it appeared"
        );
        assert!(folder.content(&name).unwrap() == *content, "{name}");
        let inode = fs::metadata(folder.path().join(&name)).unwrap().ino();
        assert_eq!(*first_inode, Some(inode), "{name} is another file now");
    }
    // What the killed processes left goes when a run finds the documents there.
    let run = world.finish(command(0).spawn().unwrap(), Instant::now());
    run.exits(0);
    let names: Vec<String> = ids.iter().map(|id| format!("{id}.bin")).collect();
    assert_eq!(folder.names(""), names);
}

/// The names of the files of docfetch in a folder.
fn own_files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().flatten();
    let names = names.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(".docfetch")).collect()
}

/// Fetches half of a document into `from`, ends the process, and moves the folder's files to `to`, with their
/// times.
fn fetch_half_and_move(world: &World, [from, to]: [&Path; 2], provider: &str, signal: Signal) {
    for folder in [from, to] {
        fs::create_dir_all(folder).unwrap();
    }
    let child = world.command(&fetching(provider, from)).spawn().unwrap();
    world.wait_until("a sidecar", || {
        let is_written = |name| {
            let found = from.join(name).metadata();
            found.is_ok_and(|found| found.len() > 0)
        };
        let names = own_files(from).into_iter();
        names.filter(|name| name.ends_with(".json")).any(is_written)
    });
    send(&child, signal);
    world.finish(child, Instant::now());
    let (from, to) = (from.display(), to.display());
    let script = format!("cp -a {from}/. {to}/ && rm -r {from}");
    world.run_of("sh", &["-c", &script]).exits(0);
}

fn fetching<'a>(provider: &'a str, folder: &'a Path) -> [&'a str; 7] {
    let folder = folder.to_str().unwrap();
    [provider, "doc1", "--json", "-c", "1", "-d", folder]
}

#[test]
fn a_partial_that_moves_to_another_kind_of_file_system_is_resumed_and_removed() {
    let habits = [
        Fuse::new(),
        Fuse::new().grant_every_lock(),
        Fuse::new().refuse(Call::Flock, Errno::NOSYS),
    ];
    each_at_once(habits, |fuse| {
        let Some(mounted) = fuse.mount() else {
            return;
        };
        let cases = [
            ("sm", Signal::KILL, true),
            ("onecodex", Signal::KILL, true),
            ("onecodex", Signal::TERM, true),
            ("onecodex", Signal::TERM, false),
        ];
        for case @ (provider, signal, to_ordinary) in cases {
            let (service, content) = Service::with("x.bin", 300_000, &["throttle=200K"]);
            let world = service.world();
            let (ordinary, odd) = (world.out().join("ordinary"), mounted.path().join("odd"));
            let [from, to] = if to_ordinary {
                [&*odd, &*ordinary]
            } else {
                [&*ordinary, &*odd]
            };
            fetch_half_and_move(&world, [from, to], provider, signal);
            let listed = world.run(&["partials", to.to_str().unwrap()]);
            assert_eq!(listed.exits(0).stdout.lines().count(), 1, "{listed:?}");
            let run = world.run(&fetching(provider, to));
            let record = &run.exits(0).records()[0];
            assert!(
                record["resumed_from"].as_u64() > Some(0),
                "{case:?} {run:?}"
            );
            assert!(fs::read(to.join("x.bin")).unwrap() == content, "{case:?}");
            assert!(provider == "sm" || service.charges() == 1);
            if !to_ordinary {
                // A process that sees the folder on an ordinary file system may write the partial.
                let script = format!("touch -d '11 minutes ago' {}/.docfetch*", to.display());
                world.run_of("sh", &["-c", &script]).exits(0);
                let skipping = [&fetching(provider, to)[..], &["--if-exists", "skip"]];
                world.run(&skipping.concat()).exits(0);
            }
            assert_eq!(own_files(to), [""; 0], "{case:?}");
            fs::remove_dir_all(to).unwrap();
        }
    });
}

#[test]
fn a_moved_partial_goes_with_no_resume_and_with_a_document_that_is_skipped() {
    let Some(mounted) = Fuse::new().mount() else {
        return;
    };
    for (option, resumed_from) in [
        (&["--no-resume"][..], 0.into()),
        (&["--if-exists", "skip"], Value::Null),
    ] {
        let (service, content) = Service::with("x.bin", 300_000, &["throttle=200K"]);
        let world = service.world();
        let folder = world.out().join("ordinary");
        fetch_half_and_move(
            &world,
            [&mounted.path().join("odd"), &folder],
            "sm",
            Signal::KILL,
        );
        if resumed_from.is_null() {
            fs::write(folder.join("x.bin"), &content).unwrap();
        }
        let run = world.run(&[&fetching("sm", &folder)[..], option, &["--name", "x.bin"]].concat());
        assert_eq!(run.exits(0).records()[0]["resumed_from"], resumed_from);
        assert!(fs::read(folder.join("x.bin")).unwrap() == content);
        assert_eq!(own_files(&folder), [""; 0], "{option:?}");
    }
}

#[test]
fn a_partial_in_a_folder_that_cannot_be_read_is_resumed_on_the_same_machine() {
    if !tools::other_user() {
        return;
    }
    let habits = [
        Fuse::new(),
        Fuse::new().grant_every_lock().unstable_inodes(),
        Fuse::new().refuse(Call::Flock, Errno::NOSYS),
    ];
    each_at_once(habits, |fuse| {
        let Some(mounted) = fuse.mount() else {
            return;
        };
        let (service, content) = Service::with("x.bin", 300_000, &["truncate=200000"]);
        let world = service.world();
        let folder = mounted.path().join("given");
        fs::create_dir(&folder).unwrap();
        for (open, mode) in [(world.home(), 0o777), (&folder, 0o333)] {
            fs::set_permissions(open, fs::Permissions::from_mode(mode)).unwrap();
        }
        for provider in ["onecodex", "sm"] {
            let fetch = |more: &[&str]| {
                let as_other = ["--reuid=65534", "--regid=65534", "--clear-groups"];
                let arguments = fetching(provider, &folder);
                let binary = [env!("CARGO_BIN_EXE_docfetch")];
                let arguments = [&as_other[..], &binary, &arguments, more].concat();
                world.run_of("setpriv", &arguments)
            };
            fetch(&["--retries", "0"]).exits(5);
            assert_eq!(own_files(&folder).len(), 2, "the partial and its sidecar");
            let run = fetch(&[]);
            let record = &run.exits(0).records()[0];
            assert!(record["resumed_from"].as_u64() >= Some(200_000), "{run:?}");
            assert!(fs::read(folder.join("x.bin")).unwrap() == content);
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "{run:?}");
            fs::remove_file(folder.join("x.bin")).unwrap();
        }
        assert_eq!(service.charges(), 1);
    });
}
