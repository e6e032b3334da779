//! The real binary under strace, which lets system calls fail, or kills at them.

use super::{Run, World};
use rustix::process::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Instant;

/// A command under strace with these expressions (`trace=…`, `inject=…`), for the calls about `paths`.
pub fn traced(
    world: &World,
    paths: &[PathBuf],
    expressions: &[&str],
    arguments: &[&str],
) -> Command {
    let mut all = vec!["-f", "-qq", "-o", "/dev/null"];
    let paths = paths.iter().map(|path| path.to_str().unwrap());
    all.extend(paths.flat_map(|path| ["-P", path]));
    all.extend(expressions.iter().flat_map(|expression| ["-e", expression]));
    all.push(env!("CARGO_BIN_EXE_docfetch"));
    all.extend(arguments);
    world.command_of("strace", &all)
}

/// The process that strace runs.
pub fn tracee(strace: &Child) -> Pid {
    let children = format!("/proc/{0}/task/{0}/children", strace.id());
    let traced = fs::read_to_string(children).unwrap();
    Pid::from_raw(traced.trim().parse().unwrap()).unwrap()
}

/// Runs docfetch while the `number`th `call` meets `fault`; of all, or of those about one file.
pub fn with_fault(
    world: &World,
    (call, fault, number): (&str, &str, usize),
    path: Option<&Path>,
    arguments: &[&str],
) -> Run {
    with_faults(world, (call, fault, &number.to_string()), path, arguments)
}

/// The same, for the calls of these numbers: `3+` is the third and all later ones.
pub fn with_faults(
    world: &World,
    (call, fault, number): (&str, &str, &str),
    path: Option<&Path>,
    arguments: &[&str],
) -> Run {
    let trace = format!("trace={call}");
    let inject = format!("inject={call}:{fault}:when={number}");
    let mut all = vec!["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    if let Some(path) = path {
        all.extend(["-P", path.to_str().unwrap()]);
    }
    all.push(env!("CARGO_BIN_EXE_docfetch"));
    all.extend(arguments);
    let started = Instant::now();
    let child = world.command_of("strace", &all).spawn().unwrap();
    world.finish(child, started)
}

/// Runs docfetch and tells what the partial was called, as it called it.
pub fn with_name_of_partial(world: &World, fetching: &[&str]) -> (Run, PathBuf) {
    let mut arguments = vec!["-f", "-e", "trace=%file", env!("CARGO_BIN_EXE_docfetch")];
    arguments.extend(fetching);
    let child = world.command_of("strace", &arguments).spawn().unwrap();
    let run = world.finish(child, Instant::now());
    let end = run.stderr.find(".part\"").unwrap() + ".part".len();
    let start = run.stderr[..end].rfind('"').unwrap() + 1;
    let path = PathBuf::from(&run.stderr[start..end]);
    (run, path)
}

/// Fetches a document as `x.bin`, removes it again, and tells where its partial was.
pub fn path_of_partial(world: &World, fetching: &[&str]) -> PathBuf {
    let (run, path) = with_name_of_partial(world, fetching);
    run.exits(0);
    fs::remove_file(world.out().join("x.bin")).unwrap();
    world.out().join(path.file_name().unwrap())
}
