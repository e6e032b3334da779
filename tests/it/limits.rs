//! Machines that allow few threads and few open files.

use crate::support::services::Service;
use crate::support::tools::works;
use crate::support::{Run, World, each_at_once, noise};
use docfetch::sandbox::Document;

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
        let found = std::fs::read_dir(world.out().join(name)).unwrap();
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
