//! Machines that allow few threads and processes, few open files and little memory.

use crate::support::services::Service;
use crate::support::strace::with_faults;
use crate::support::tools::{strace, works};
use crate::support::{Run, World, each_at_once, noise};
use docfetch::sandbox::Document;
use std::fs;
use std::path::{Path, PathBuf};

const SERVICES: [&str; 2] = ["sm", "onecodex"];
const MANY: usize = 24;

/// A service with many documents, and their ids, one a line.
fn many(faults: &[&str]) -> (Service, String) {
    let documents = (0..MANY).map(|number| {
        let document = Document::new(&format!("{number}.bin"), noise(20_000 + number));
        document.with_id(&format!("doc{number}"))
    });
    let ids: Vec<String> = (0..MANY).map(|number| format!("doc{number}\n")).collect();
    (Service::start(documents.collect(), faults), ids.concat())
}

/// Runs docfetch as a user who may start no thread: such a limit does not bind root.
fn without_threads(world: &World, arguments: &[&str], input: &str) -> Run {
    let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let limit = ["prlimit", "--nproc=1:1", env!("CARGO_BIN_EXE_docfetch")];
    world.out();
    let own = std::process::Command::new("chown")
        .args(["-R", "65534:65534"])
        .arg(world.home())
        .status();
    assert!(own.unwrap().success());
    let command = world.command_of("setpriv", &[&user[..], &limit, arguments].concat());
    world.finish_with_input(command, input)
}

fn may_limit_threads() -> bool {
    let probe = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let binary = env!("CARGO_BIN_EXE_docfetch");
    let run = ["prlimit", "--nproc=1:1", binary, "--version"];
    works("prlimit for another user", &[&probe[..], &run].concat())
}

#[test]
fn a_batch_needs_no_thread() {
    if !may_limit_threads() {
        return;
    }
    let (service, ids) = many(&[]);
    let world = service.world();
    for name in SERVICES {
        let arguments = [name, "-", "-j", "8", "-d", name, "--rate-limit", "none"];
        without_threads(&world, &arguments, &ids).exits(0);
        let found = fs::read_dir(world.out().join(name)).unwrap();
        assert_eq!(found.count(), MANY);
    }
    assert_eq!(service.charges(), MANY as u32);
}

#[test]
fn neither_a_mirror_nor_its_verification_nor_a_stream_needs_a_thread() {
    if !may_limit_threads() {
        return;
    }
    let (service, _) = many(&[]);
    let world = service.world();
    for name in SERVICES {
        let sync = ["sync", name, name, "--rate-limit", "none"];
        without_threads(&world, &sync, "").exits(0);
        without_threads(&world, &[&sync[..], &["--verify"]].concat(), "").exits(0);
        let manifest = format!("{name}/.docfetch/manifest.jsonl");
        without_threads(&world, &["verify", &manifest], "").exits(0);
        let run = without_threads(&world, &[name, "doc7", "-o", "-"], "");
        assert_eq!(run.exits(0).raw_stdout, noise(20_007));
    }
    assert_eq!(service.charges(), MANY as u32);
}

#[test]
fn few_open_files_are_enough_for_any_number_of_jobs() {
    let cases = [24, 64].map(|files| SERVICES.map(|name| (files, name)));
    each_at_once(cases.concat(), |(files, name)| {
        let (service, ids) = many(&["latency=20ms"]);
        let world = service.world();
        let script = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
        let arguments = [name, "-", "-j", "64", "--rate-limit", "none"];
        let binary = env!("CARGO_BIN_EXE_docfetch");
        let all = [&["-c", &script, binary][..], &arguments].concat();
        let run = world.finish_with_input(world.command_of("sh", &all), ids);
        assert_eq!(run.exits(0).stderr.matches("error").count(), 0, "{run:#?}");
        assert_eq!(world.files().len(), MANY);
    });
}

#[test]
fn few_open_files_are_enough_for_many_connections() {
    let content = noise(8 << 20);
    let document = Document::new("x.bin", content.clone()).with_id("doc1");
    let service = Service::start(vec![document], &["throttle=8M"]);
    let world = service.world();
    let script = "ulimit -n 24; exec \"$0\" \"$@\"";
    let binary = env!("CARGO_BIN_EXE_docfetch");
    let all = ["-c", script, binary, "sm", "doc1", "-c", "32"];
    world.run_of("sh", &all).exits(0);
    assert_eq!(world.read("x.bin"), content);
}

/// Every command, for a world with many documents; their ids are the input of the first one.
fn every_command(name: &str) -> Vec<Vec<String>> {
    let manifest = format!("mirror-{name}/.docfetch/manifest.jsonl");
    let mirror = format!("mirror-{name}");
    let online = [
        &[name, "-", "-j", "16", "-d", name][..],
        &["sync", name, &mirror],
        &["list", name],
        &["url", name, "doc3"],
        &[name, "doc7", "-o", "-"],
        &[name, "doc8", "-d", "one", "-c", "8", "--if-exists", "skip"],
    ];
    let online = online.map(|arguments| [arguments, &["--rate-limit", "none"]].concat());
    let offline = [vec!["verify", &manifest], vec!["ledger", "list"]];
    let all = online.into_iter().chain(offline);
    all.map(|arguments| arguments.into_iter().map(str::to_owned).collect())
        .collect()
}

/// Runs every command after this script of a shell.
fn run_every_command(world: &World, name: &str, script: &str, ids: &str) {
    for arguments in every_command(name) {
        // Only `url` may show a presigned URL.
        let output = if arguments[0] == "url" {
            "> /dev/null"
        } else {
            ""
        };
        let script = format!("{script}; exec \"$0\" \"$@\" {output}");
        let mut command = world.command_of("sh", &["-c", &script]);
        command.arg(env!("CARGO_BIN_EXE_docfetch")).args(&arguments);
        let input = if arguments[1] == "-" { ids } else { "" };
        world.finish_with_input(command, input).exits(0);
    }
}

#[test]
fn every_command_works_with_32_open_files_or_256_mib() {
    for limit in ["ulimit -n 32", "ulimit -v 262144"] {
        let (service, ids) = many(&[]);
        let world = service.world();
        for name in SERVICES {
            run_every_command(&world, name, limit, &ids);
        }
        let script = format!("{limit}; exec \"$0\" sandbox -- true");
        let sandbox = ["-c", &script, env!("CARGO_BIN_EXE_docfetch")];
        world.run_of("sh", &sandbox).exits(0);
        assert_eq!(service.charges(), MANY as u32);
    }
}

#[test]
fn neither_a_listing_nor_a_url_nor_a_sandbox_needs_a_thread() {
    if !may_limit_threads() {
        return;
    }
    let (service, _) = many(&[]);
    let world = service.world();
    for name in SERVICES {
        let list = ["list", name, "--rate-limit", "none"];
        let run = without_threads(&world, &list, "");
        assert_eq!(run.exits(0).stdout.lines().count(), MANY);
        let script = "exec \"$0\" \"$@\" > /dev/null";
        let url = [
            "-c",
            script,
            env!("CARGO_BIN_EXE_docfetch"),
            "url",
            name,
            "doc1",
        ];
        let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        let limit = ["prlimit", "--nproc=1:1", "sh"];
        let all = [&user[..], &limit, &url].concat();
        world.run_of("setpriv", &all).exits(0);
    }
    without_threads(&world, &["ledger", "list"], "").exits(0);
    // A command is a process of its own, which cannot start.
    without_threads(&world, &["sandbox", "--", "true"], "")
        .exits(7)
        .says("cannot run true");
}

/// A control group of the test's own, in which `most` processes and threads may run.
struct Processes(PathBuf);

impl Processes {
    fn at_most(most: u32) -> Option<Self> {
        let name = format!("docfetch-test-{}", std::process::id());
        for hierarchy in [
            "/sys/fs/cgroup/pids",
            "/sys/fs/cgroup",
            "/sys/fs/cgroup/unified",
        ] {
            let group = Self(Path::new(hierarchy).join(&name));
            let limit = group.0.join("pids.max");
            if fs::create_dir(&group.0).is_ok() && fs::write(limit, most.to_string()).is_ok() {
                return Some(group);
            }
        }
        None
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_control_group_without_room_for_threads_is_enough() {
    let Some(group) = Processes::at_most(1) else {
        println!("skipped: no control group of the test's own is permitted here");
        return;
    };
    let (service, ids) = many(&[]);
    let world = service.world();
    let join = format!("echo $$ > {}/cgroup.procs", group.0.display());
    for name in SERVICES {
        run_every_command(&world, name, &join, &ids);
    }
    assert_eq!(service.charges(), MANY as u32);
}

#[test]
fn without_a_free_descriptor_for_a_connection_the_machine_is_at_fault() {
    if !strace() {
        return;
    }
    let (service, content) = Service::with("x.bin", 1000, &[]);
    let world = service.world();
    for (errno, why) in [
        ("EMFILE", "Too many open files"),
        ("ENFILE", "Too many open files in system"),
        ("ENOBUFS", "No buffer space available"),
    ] {
        let fault = format!("error={errno}");
        for name in SERVICES {
            let all = ("socket", fault.as_str(), "1+");
            let run = with_faults(
                &world,
                all,
                None,
                &[name, "doc1", "--retries", "0", "--json"],
            );
            assert_eq!(run.exits(7).error_code(), "local_io");
            run.says("cannot connect to 127.0.0.1")
                .says(why)
                .says("ulimit");
            let run = with_faults(&world, all, None, &["list", name, "--retries", "0"]);
            run.exits(7).says(why);
        }
    }
    assert_eq!(service.charges(), 0);
    // A descriptor that is free again is used.
    let first = ("socket", "error=EMFILE", "1");
    with_faults(&world, first, None, &["onecodex", "doc1"]).exits(0);
    assert_eq!((world.read("x.bin"), service.charges()), (content, 1));
}

#[test]
fn a_limit_on_open_files_is_named_whatever_needs_a_file() {
    if !strace() {
        return;
    }
    let service = Service::start(Vec::new(), &[]);
    let world = service.world();
    let fault = ("openat", "error=EMFILE", "1+");
    for (file, arguments) in [
        ("ca.pem", &["sm", "doc1", "--ca-cert", "ca.pem"][..]),
        ("m.jsonl", &["verify", "m.jsonl"]),
    ] {
        fs::write(world.out().join(file), "").unwrap();
        let run = with_faults(&world, fault, Some(Path::new(file)), arguments);
        run.exits(7)
            .says("Too many open files")
            .says("hint: permit more open files (`ulimit -n`)");
    }
}

/// Whatever ends the process, nothing is paid for without a trace in the ledger.
#[test]
fn a_process_that_runs_out_of_memory_at_any_size_is_charged_once_at_most() {
    let (service, content) = Service::with("x.bin", 3_000_000, &[]);
    for mib in [8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128, 192] {
        let world = service.world();
        let before = service.charges();
        let kib = mib << 10;
        let script = format!("ulimit -c 0; ulimit -v {kib}; exec \"$0\" onecodex doc1 -c 4");
        let run = world.run_of("sh", &["-c", &script, env!("CARGO_BIN_EXE_docfetch")]);
        let paid = service.charges() - before;
        match run.code {
            0 => assert_eq!(
                (world.read("x.bin"), paid),
                (content.clone(), 1),
                "{mib} MiB"
            ),
            // A process without memory aborts; the next one uses what was paid for.
            _ => assert!(paid <= 1, "{mib} MiB: {run:#?}"),
        }
        assert!(!run.stderr.contains("panicked"), "{mib} MiB: {run:#?}");
        world
            .run(&["onecodex", "doc1", "--if-exists", "skip"])
            .exits(0);
        assert_eq!(service.charges() - before, 1, "{mib} MiB: {run:#?}");
    }
}

/// The runtime needs some open files before docfetch can do anything.
#[test]
fn too_few_open_files_to_start_are_said_so() {
    let world = World::bare();
    let commands: [&[&str]; 4] = [
        &["sm", "doc1"],
        &["list", "sm"],
        &["sync", "sm", "m"],
        &["verify", "m"],
    ];
    for (files, arguments) in (4..8).flat_map(|files| commands.map(|command| (files, command))) {
        let script = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
        let all = [&["-c", &script, env!("CARGO_BIN_EXE_docfetch")], arguments].concat();
        let run = world.run_of("sh", &all);
        run.exits(7).says("error: cannot start\n");
        run.says("why: Too many open files").says("ulimit -n");
    }
}
