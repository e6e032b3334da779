//! File systems that lack a feature: docfetch finds out before it pays for a document, or uses another
//! way, which the next run can finish after a kill.

use crate::support::raw::{Raw, reply};
use crate::support::services::Service;
use crate::support::strace::{path_of_partial, traced, tracee, with_name_of_partial};
use crate::support::tools::{attributes, mounts, other_user, strace};
use crate::support::{Run, World, kill, processor_time, sha256};
use docfetch::sandbox::Document;
use rustix::process::{Signal, kill_process};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

/// A world with a folder `given` that the test makes unwritable in some way, and the file `given/x.bin`.
fn with_file(service: &Service) -> (World, String) {
    let world = service.world();
    let folder = world.home().join("given");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("x.bin"), "old").unwrap();
    (world, folder.to_str().unwrap().to_owned())
}

/// Runs docfetch under strace with these expressions.
fn injected(world: &World, paths: &[PathBuf], expressions: &[&str], arguments: &[&str]) -> Run {
    let child = traced(world, paths, expressions, arguments).spawn();
    world.finish(child.unwrap(), Instant::now())
}

/// Runs a shell script in which `$F` fetches the paid document; its own status is that of the last one.
fn script(world: &World, folder: &str, text: &str) -> Run {
    let fetch = format!(
        "{} onecodex doc1 -d {folder}",
        env!("CARGO_BIN_EXE_docfetch")
    );
    let mut command = world.command_of("sh", &["-c", text]);
    command.env("F", fetch).env("D", folder);
    world.finish(command.spawn().unwrap(), Instant::now())
}

#[test]
fn an_append_only_folder_is_refused_before_paying_and_left_as_it_was() {
    if !attributes() {
        return;
    }
    let (service, _) = Service::with("y.bin", 1000, &[]);
    for more in [
        "",
        "-o y.bin",
        "--name {id}",
        "--if-exists rename",
        "--no-resume",
    ] {
        let (world, folder) = with_file(&service);
        let text = format!("chattr +a $D; $F {more}; code=$?; chattr -a $D; exit $code");
        let run = script(&world, &folder, &text);
        run.exits(7)
            .says("append-only")
            .says("choose another folder");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "{more}");
    }
    assert_eq!(service.charges(), 0);
    assert_eq!(service.report().storage_requests, 0);
}

#[test]
fn an_immutable_folder_or_partial_is_named_with_the_command_that_helps() {
    if !attributes() {
        return;
    }
    let (service, _) = Service::with("y.bin", 300_000, &["truncate=200000"]);
    for more in ["", "-o y.bin", "--dry-run", "-o new/y.bin"] {
        let (world, folder) = with_file(&service);
        let text = format!("chattr +i $D; $F {more}; code=$?; chattr -i $D; exit $code");
        let run = script(&world, &folder, &text);
        run.exits(7).says("is immutable").says("with `chattr -i`");
        assert!(!run.stderr.contains("permission"), "{run:?}");
    }
    assert_eq!(service.charges(), 0);
    let (world, folder) = with_file(&service);
    let text = format!(
        "chattr +i $D; {0}; code=$?; chattr -i $D; exit $code",
        sync("onecodex", &["--dry-run"])
    );
    let run = script(&world, &folder, &text);
    run.exits(7).says("is immutable");
    assert_eq!(run.stderr.matches("error:").count(), 1, "{run:?}");
    for (more, letter, attribute) in [
        ("", "i", "immutable"),
        ("", "a", "append-only"),
        ("--no-resume", "i", "immutable"),
    ] {
        let (world, folder) = with_file(&service);
        script(&world, &folder, "$F --retries 0").exits(5);
        let text = format!(
            "chattr +{letter} $D/.docfetch*.part; $F {more}; code=$?; chattr -{letter} $D/.docfetch*.part; exit $code"
        );
        let run = script(&world, &folder, &text);
        run.exits(7).says(&format!("part is {attribute}"));
        run.says(&format!("with `chattr -{letter}`"));
    }
}

/// A command of a script that mirrors into `$D`.
fn sync(provider: &str, more: &[&str]) -> String {
    let binary = env!("CARGO_BIN_EXE_docfetch");
    format!("{binary} sync {provider} $D {}", more.join(" "))
}

#[test]
fn a_mirror_in_a_folder_that_cannot_be_written_is_one_error_also_in_a_dry_run() {
    if !other_user() {
        return;
    }
    let documents =
        ["1", "2"].map(|id| Document::new(&format!("{id}.pdf"), b"pdf".to_vec()).with_id(id));
    let service = Service::start(documents.to_vec(), &[]);
    let (world, folder) = with_file(&service);
    for open in [world.home(), &world.out()] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let sync = |folder: &str, more: &[&str]| {
        let as_other = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        let binary = env!("CARGO_BIN_EXE_docfetch");
        let arguments = [&as_other[..], &[binary, "sync", "sm", folder], more].concat();
        world.run_of("setpriv", &arguments)
    };
    for below in [&*folder, &format!("{folder}/new")] {
        for more in [&[][..], &["--dry-run"]] {
            let run = sync(below, more);
            run.exits(7)
                .says(&format!("error: cannot write documents into {below}\n"));
            assert_eq!(run.stderr.matches("error:").count(), 1, "{run:?}");
            assert!(!run.stderr.contains("os error"), "{run:?}");
        }
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let missing = format!("{folder}/new/mirror");
    let run = sync(&missing, &["--dry-run"]);
    assert_eq!(run.exits(0).stdout.lines().count(), 2, "{run:?}");
    assert!(!Path::new(&missing).exists());
    // A mirror whose own folder can be written gets its plan.
    sync(&folder, &[]).exits(0);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    sync(&folder, &["--dry-run"]).exits(0);
}

#[test]
fn a_file_that_cannot_be_replaced_is_found_before_paying() {
    if !(attributes() && mounts()) {
        return;
    }
    let (service, _) = Service::with("x.bin", 1000, &[]);
    for (before, after, why) in [
        ("chattr +i $D/x.bin", "chattr -i $D/x.bin", "immutable"),
        ("chattr +a $D/x.bin", "chattr -a $D/x.bin", "append-only"),
        (
            "mount --bind /dev/null $D/x.bin",
            "umount $D/x.bin",
            "not a plain file",
        ),
        (
            "echo mine >$D/../y; mount --bind $D/../y $D/x.bin",
            "umount $D/x.bin",
            "something is mounted on it",
        ),
    ] {
        for more in ["", "-o x.bin", "--name x.bin", "--dry-run"] {
            let (world, folder) = with_file(&service);
            let text =
                format!("{before}; $F --if-exists overwrite {more}; code=$?; {after}; exit $code");
            let mut command = world.command_of("unshare", &["-m", "sh", "-c", &text]);
            let fetch = format!(
                "{} onecodex doc1 -d {folder}",
                env!("CARGO_BIN_EXE_docfetch")
            );
            command.env("F", fetch).env("D", &folder);
            let run = world.finish(command.spawn().unwrap(), Instant::now());
            run.exits(7).says(why);
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "{why} {more}");
            assert_eq!(fs::read(format!("{folder}/x.bin")).unwrap(), b"old");
        }
    }
    assert_eq!(service.charges(), 0);
    // A file that docfetch only reads, or leaves alone, is no failure.
    let (world, folder) = with_file(&service);
    let text = "chattr +i $D/x.bin; $F --if-exists skip && $F --if-exists rename; code=$?; \
                chattr -i $D/x.bin; exit $code";
    script(&world, &folder, text).exits(0);
    assert!(Path::new(&folder).join("x (2).bin").exists());
}

#[test]
fn another_users_file_in_a_sticky_folder_is_found_before_paying() {
    if !other_user() {
        return;
    }
    let (service, content) = Service::with("x.bin", 1000, &[]);
    let (world, folder) = with_file(&service);
    for open in [world.home(), &world.out()] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let as_other = |mode: u32, more: &str| {
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        let text = format!(
            "setpriv --reuid=65534 --regid=65534 --clear-groups $F -q --if-exists overwrite {more}"
        );
        script(&world, &folder, &text)
    };
    for more in ["", "-o x.bin", "--name x.bin"] {
        as_other(0o1777, more).exits(7).says("cannot replace");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "{more}");
    }
    assert_eq!(service.charges(), 0);
    // The name of a free document comes with its first bytes.
    let binary = env!("CARGO_BIN_EXE_docfetch");
    let text = format!(
        "setpriv --reuid=65534 --regid=65534 --clear-groups {binary} sm doc1 -d $D --if-exists overwrite"
    );
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777)).unwrap();
    let run = script(&world, &folder, &text);
    run.exits(7).says("cannot replace").says("x.bin");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "{run:?}");
    // Root may replace the file, and every user may in a folder that is not sticky.
    let _ = fs::remove_dir_all(world.home().join(".local")); // the state of the other user
    script(&world, &folder, "$F --if-exists overwrite").exits(0);
    fs::remove_dir_all(world.home().join(".local")).unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    as_other(0o777, "").exits(0);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    assert!(fs::read(format!("{folder}/x.bin")).unwrap() == content);
}

#[test]
fn a_document_that_exists_in_a_folder_that_takes_no_file_is_skipped_and_costs_nothing() {
    if !other_user() || !attributes() {
        return;
    }
    let (service, content) = Service::with("x.bin", 1000, &[]);
    let sha256 = sha256(&content);
    for (close, open, user) in [
        ("chattr +i $D", "chattr -i $D", ""),
        ("chattr +a $D", "chattr -a $D", ""),
        (
            "chmod 0555 $D",
            "true",
            "setpriv --reuid=65534 --regid=65534 --clear-groups",
        ),
    ] {
        let (world, folder) = with_file(&service);
        for open in [world.home(), &world.out()] {
            fs::set_permissions(open, fs::Permissions::from_mode(0o777)).unwrap();
        }
        let run = |more: &str| {
            let text = format!("{close}; {user} $F {more}; code=$?; {open}; exit $code");
            script(&world, &folder, &text)
        };
        let skipped = run("--if-exists skip --json");
        assert_eq!(
            skipped.exits(0).records()[0]["status"],
            "skipped",
            "{close}"
        );
        run(&format!("--if-exists skip --sha256 {sha256}"))
            .exits(6)
            .says("x.bin");
        for more in ["", "--if-exists skip --name y.bin", "--if-exists overwrite"] {
            run(more).exits(7);
        }
        fs::write(Path::new(&folder).join("x.bin"), &content).unwrap();
        run(&format!("--if-exists skip --sha256 {sha256}")).exits(0);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "{close}");
    }
    assert_eq!(service.charges(), 0);
    assert_eq!(service.report().storage_requests, 0);
}

#[test]
fn a_folder_that_lets_nothing_be_renamed_or_removed_is_found_before_paying() {
    if !strace() {
        return;
    }
    let server = Raw::start(|request, stream| match request.method.as_str() {
        "POST" => reply(stream, "403 Forbidden", &[], b"{}"),
        _ => reply(stream, "404 Not Found", &[], b"{}"),
    });
    let world = World::new(&server.base());
    for fetching in [
        &["onecodex", "doc1"][..],
        &["onecodex", "doc1", "-o", "x.bin"],
        &[
            "onecodex",
            "doc1",
            "--if-exists",
            "overwrite",
            "--name",
            "x",
        ],
    ] {
        let (run, partial) = with_name_of_partial(&world, fetching);
        run.exits(4);
        for (call, fault) in [
            ("rename,renameat,renameat2", "EPERM"),
            ("rename,renameat,renameat2,link,linkat", "EOPNOTSUPP"),
            ("unlink,unlinkat", "EPERM"),
        ] {
            let (trace, inject) = (
                format!("trace={call}"),
                format!("inject={call}:error={fault}"),
            );
            let paths = ["json", "json.new"].map(|ending| partial.with_extension(ending));
            let run = injected(&world, &paths, &[&trace, &inject], fetching);
            run.exits(7).says("cannot re");
            assert!(!world.files().contains(&"x.bin".to_owned()));
        }
    }
    assert_eq!(server.count("POST", "/"), 3);
}

#[test]
fn a_partial_in_a_folder_that_was_closed_meanwhile_costs_nothing() {
    if !other_user() {
        return;
    }
    let (service, _) = Service::with("x.bin", 300_000, &["truncate=100K"]);
    let (world, folder) = with_file(&service);
    fs::remove_file(format!("{folder}/x.bin")).unwrap();
    for open in [world.home(), &world.out(), Path::new(&folder)] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let text = "setpriv --reuid=65534 --regid=65534 --clear-groups $F --retries 0";
    script(&world, &folder, text).exits(5);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let text = format!("{text} --allow-recharge");
    let run = script(&world, &folder, &text);
    run.exits(7).says("Permission denied");
    assert_eq!(service.charges(), 1);
    assert_eq!(service.report().storage_requests, 1);
}

/// The file system knows no RENAME_NOREPLACE.
const NO_NOREPLACE: [&str; 2] = [
    "trace=renameat2,unlink,unlinkat",
    "inject=renameat2:error=EINVAL",
];

/// Starts to fetch a document whose partial is removed only after `then` happened to the call that does.
fn publishing_by_link(world: &World, partial: &Path, then: &str, fetching: &[&str]) -> Child {
    // As docfetch calls it: beside the target.
    let partial = Path::new("./").join(partial.file_name().unwrap());
    let inject = format!("inject=unlink,unlinkat:{then}:when=1");
    let [trace, no_noreplace] = NO_NOREPLACE;
    let expressions = [trace, no_noreplace, &inject];
    let mut command = traced(world, &[partial], &expressions, fetching);
    command.spawn().unwrap()
}

/// Waits until the document has both names.
fn wait_for_both_names(world: &World) {
    world.wait_until("two names", || {
        let found = fs::metadata(world.out().join("x.bin"));
        found.is_ok_and(|found| found.nlink() == 2)
    });
}

const KINDS: [&[&str]; 7] = [
    &["sm", "doc1"],
    &["sm", "doc1", "--if-exists", "skip"],
    &["sm", "doc1", "--if-exists", "overwrite"],
    &["sm", "doc1", "-o", "x.bin", "--if-exists", "rename"],
    &["onecodex", "doc1", "--if-exists", "rename"],
    &["onecodex", "doc1", "-o", "x.bin", "--if-exists", "skip"],
    &["onecodex", "doc1", "--name", "x.bin"],
];

#[test]
fn a_document_that_is_killed_with_two_names_is_finished_by_the_next_run() {
    if !strace() {
        return;
    }
    for (kind, size) in KINDS.into_iter().zip([1000, 300_000].into_iter().cycle()) {
        let (service, content) = Service::with("x.bin", size, &[]);
        let world = service.world();
        // With `overwrite` a rename replaces, which every file system knows.
        let before = [&kind[..kind.len().min(4)], &["--if-exists", "fail"]].concat();
        let first = if kind.contains(&"-o") || kind.contains(&"--name") {
            &before
        } else {
            &before[..2].to_vec()
        };
        let partial = path_of_partial(&world, first);
        let killed = publishing_by_link(&world, &partial, "error=EPERM:signal=KILL", first);
        world.finish(killed, Instant::now()).exits(-1);
        assert!(partial.exists());
        assert_eq!(fs::metadata(&partial).unwrap().nlink(), 2, "{kind:?}");
        let before = service.report().storage_requests;
        let run = world.run(&[kind, &["--json"]].concat());
        assert_eq!(run.exits(0).records()[0]["status"], "skipped", "{kind:?}");
        let path = run.records()[0]["path"].as_str().unwrap().to_owned();
        assert!(path.ends_with("x.bin"), "{run:?}");
        assert_eq!(world.files(), ["x.bin"], "{kind:?}");
        assert!(world.read("x.bin") == content);
        assert_eq!(service.report().storage_requests, before, "{kind:?}");
        if kind[0] == "onecodex" {
            let listed = world.run(&["ledger", "list"]).stdout;
            assert!(listed.contains("delivered"), "{listed}");
            assert_eq!(service.charges(), 1);
        }
    }
}

#[test]
fn a_kill_at_any_call_of_a_publication_by_link_is_mended_by_the_next_run() {
    if !strace() {
        return;
    }
    let mut kills = 0;
    for (provider, call) in [
        ("sm", "unlink"),
        ("sm", "link"),
        ("onecodex", "unlink"),
        ("sm", "fsync"),
    ] {
        for number in 1.. {
            let (service, content) = Service::with("x.bin", 1000, &[]);
            let world = service.world();
            let trace = format!("trace=renameat2,{call}");
            let kill = format!("inject={call}:signal=KILL:when={number}");
            let expressions = [&trace, NO_NOREPLACE[1], &kill];
            let run = injected(&world, &[], &expressions, &[provider, "doc1"]);
            if run.code != -1 {
                run.exits(0);
                break;
            }
            kills += 1;
            let when = format!("{provider} killed at {call} {number}");
            let run = world.run(&[provider, "doc1", "--if-exists", "skip"]);
            assert_eq!(run.code, 0, "{when}: {run:#?}");
            assert_eq!(world.files(), ["x.bin"], "{when}");
            assert!(world.read("x.bin") == content, "{when}");
            assert!(service.charges() <= 1, "{when}");
        }
    }
    assert!(kills > 12, "only {kills} calls were seen");
}

#[test]
fn a_second_name_that_no_note_explains_is_dropped_where_it_is_the_targets() {
    if !strace() {
        return;
    }
    for (if_exists, code) in [("fail", 7), ("skip", 0), ("overwrite", 0), ("rename", 0)] {
        let (service, content) = Service::with("x.bin", 1000, &[]);
        let world = service.world();
        let first = ["onecodex", "doc1", "-o", "x.bin"];
        let partial = path_of_partial(&world, &first);
        let killed = publishing_by_link(&world, &partial, "error=EPERM:signal=KILL", &first);
        world.finish(killed, Instant::now()).exits(-1);
        fs::remove_file(partial.with_extension("json.new")).unwrap(); // the note, lost by a power failure
        let run = world.run(&[&first[..], &["--if-exists", if_exists]].concat());
        run.exits(code);
        let there: &[&str] = if if_exists == "rename" {
            &["x (2).bin", "x.bin"]
        } else {
            &["x.bin"]
        };
        assert_eq!(world.files(), there, "{if_exists}");
        assert!(there.iter().all(|name| world.read(name) == content));
        assert_eq!(service.charges(), 1);
    }
}

#[test]
fn a_process_that_looks_while_a_document_has_two_names_waits_and_finds_it() {
    if !strace() {
        return;
    }
    for fetching in [&["sm", "doc1"][..], &["onecodex", "doc1"]] {
        for is_killed in [false, true] {
            let (service, content) = Service::with("x.bin", 1000, &[]);
            let world = service.world();
            let partial = path_of_partial(&world, fetching);
            let delay = if is_killed {
                "delay_enter=20s"
            } else {
                "delay_enter=700ms"
            };
            let first = publishing_by_link(&world, &partial, delay, fetching);
            wait_for_both_names(&world);
            let second = world.command(fetching).spawn().unwrap();
            if is_killed {
                std::thread::sleep(Duration::from_millis(200));
                kill_process(tracee(&first), Signal::KILL).unwrap();
                kill(first);
            } else {
                world.finish(first, Instant::now()).exits(0);
            }
            world.finish(second, Instant::now()).exits(0);
            assert_eq!(world.files(), ["x.bin"]);
            assert!(world.read("x.bin") == content);
            assert!(service.charges() <= 1);
            // A process that waited requests the name only.
            assert!(service.report().storage_requests <= 3);
        }
    }
}

#[test]
fn a_partial_whose_name_cannot_be_removed_spoils_no_published_document() {
    if !strace() {
        return;
    }
    let (service, content) = Service::with("x.bin", 1000, &[]);
    let world = service.world();
    let partial = path_of_partial(&world, &["sm", "doc1"]);
    let first = publishing_by_link(&world, &partial, "error=EIO", &["sm", "doc1"]);
    let run = world.finish(first, Instant::now());
    run.exits(0).says(".part stays: Input/output error");
    let mode = fs::metadata(&partial).unwrap().mode();
    assert_eq!(mode & 0o777, 0o644);
    world.run(&["sm", "doc1", "--if-exists", "skip"]).exits(0);
    assert_eq!(world.files(), ["x.bin"]);
    assert!(world.read("x.bin") == content);
}

#[test]
fn a_mirror_that_is_killed_while_a_document_has_two_names_resumes() {
    if !strace() {
        return;
    }
    for provider in ["sm", "onecodex"] {
        let (service, content) = Service::with("x.bin", 1000, &[]);
        let world = service.world();
        let fetching = [provider, "m"];
        let (run, partial) = with_name_of_partial(&world, &[&["sync"][..], &fetching].concat());
        run.exits(0);
        fs::remove_dir_all(world.out().join("m")).unwrap();
        let expressions = [
            &NO_NOREPLACE[..],
            &["inject=unlink:error=EPERM:signal=KILL"],
        ]
        .concat();
        let sync = ["sync", provider, "m"];
        injected(&world, &[partial], &expressions, &sync).exits(-1);
        let before = service.report().storage_requests;
        world.run(&sync).exits(0);
        let left = fs::read_dir(world.out().join("m")).unwrap();
        let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".docfetch", "x.bin"]);
        assert!(world.read("m/x.bin") == content);
        assert_eq!(service.report().storage_requests, before);
    }
}

/// What `statx` returns for the partial: a plain file, with another inode than the open one.
fn another_inode() -> String {
    let mut told = Vec::new();
    told.extend(0x7ff_u32.to_le_bytes()); // which fields are valid
    told.extend([0; 12]);
    told.extend(1_u32.to_le_bytes()); // names
    told.extend([0; 8]); // owner
    told.extend(0o100_600_u16.to_le_bytes());
    told.extend([0; 2]);
    told.extend(7_u64.to_le_bytes()); // the inode
    let told: String = told.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("inject=statx:poke_exit=@arg5={told}")
}

#[test]
fn a_lock_without_stable_inode_numbers_is_busy_in_the_end_and_hears_an_interrupt() {
    if !strace() {
        return;
    }
    let (service, _) = Service::with("x.bin", 1000, &[]);
    let world = service.world();
    let partial = path_of_partial(&world, &["onecodex", "doc1"]);
    let partial = [Path::new("./").join(partial.file_name().unwrap())];
    let poke = another_inode();
    let fetching = ["onecodex", "doc1", "--retry-max-time", "1s", "--json"];
    let run = injected(&world, &partial, &["trace=statx", &poke], &fetching);
    assert_eq!(run.exits(7).error_code(), "busy");
    run.says("no stable inode numbers");
    // It does not spin. A path that is there means its descriptors to strace, too.
    fs::remove_file(world.out().join(&partial[0])).unwrap();
    let fetching = ["onecodex", "doc1"];
    let child = traced(&world, &partial, &["trace=statx", &poke], &fetching).spawn();
    let child = child.unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let traced = tracee(&child);
    let used = processor_time(traced.as_raw_nonzero().get().unsigned_abs()).unwrap();
    kill_process(traced, Signal::INT).unwrap();
    world.finish(child, Instant::now()).is_prompt().exits(130);
    assert!(used < Duration::from_millis(400), "{used:?}");
    assert_eq!(service.charges(), 1);
}
