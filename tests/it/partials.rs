//! `docfetch partials`: what is unfinished, and its removal.

use crate::support::services::Service;
use crate::support::strace::traced;
use crate::support::{World, tools};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// A world in which the folder `m/sub` has 200 of 1000 kilobytes of a document, and the partial's path.
fn unfinished() -> (Service, World, PathBuf) {
    let (service, _) = Service::with("reads.fastq", 1_000_000, &["truncate=200000"]);
    let world = service.world();
    let run = world.run(&[
        "onecodex",
        "doc1",
        "-d",
        "m/sub",
        "--retries",
        "0",
        "-c",
        "1",
    ]);
    run.exits(5);
    let path = own_files(&world)
        .into_iter()
        .find(|path| path.ends_with(".part"))
        .unwrap();
    let path = world.out().join(path);
    (service, world, path)
}

/// The names of the files of docfetch in `m/sub`.
fn own_files(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.out().join("m/sub")).unwrap().flatten();
    let names = entries.map(|entry| format!("m/sub/{}", entry.file_name().to_str().unwrap()));
    names.filter(|name| name.contains(".docfetch-")).collect()
}

fn make_old(world: &World, age: Duration) {
    for name in own_files(world) {
        let file = File::options()
            .append(true)
            .open(world.out().join(name))
            .unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }
}

#[test]
fn partials_are_listed_with_what_they_hold_also_in_the_folders_below() {
    let (_service, world, path) = unfinished();
    let hidden = world.out().join("elsewhere");
    fs::create_dir(&hidden).unwrap();
    fs::copy(&path, hidden.join(path.file_name().unwrap())).unwrap();
    std::os::unix::fs::symlink(&hidden, world.out().join("m/link")).unwrap();
    let shown = path.strip_prefix(world.out()).unwrap().to_str().unwrap();
    let run = world.run(&["partials", "m"]);
    let fields: Vec<&str> = run.exits(0).stdout.trim_end().split('\t').collect();
    assert_eq!(
        (fields[0], fields[2], fields[4]),
        ("reads.fastq", "1000000", shown)
    );
    assert!(
        (1..=200_000).contains(&fields[1].parse::<u64>().unwrap()),
        "{fields:?}"
    );
    let records = world.run(&["partials", "m", "--json"]).exits(0).records();
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(
        (&record["type"], &record["state"]),
        (&"partial".into(), &"unfinished".into())
    );
    assert_eq!(
        (&record["path"], &record["total"]),
        (&shown.into(), &1_000_000.into())
    );
    assert_eq!(record["bytes"].to_string(), fields[1]);
    assert!(
        record["modified"]
            .as_str()
            .unwrap()
            .starts_with(&fields[3][..16])
    );
    // Without a sidecar, the name is not known, and no byte can be used.
    fs::remove_file(path.with_extension("json")).unwrap();
    let run = world.run(&["partials", "m"]);
    let fingerprint = path
        .file_stem()
        .unwrap()
        .to_str()
        .unwrap()
        .trim_start_matches(".docfetch-");
    let start = format!("{fingerprint}\t0\t\t");
    assert!(run.exits(0).stdout.starts_with(&start), "{run:?}");
    // A list changes nothing.
    assert!(path.exists());
    // Without the partial, the path is that of the file that is left.
    let left = path.with_extension("json.new");
    fs::rename(&path, &left).unwrap();
    let run = world.run(&["partials", "m"]);
    let fields: Vec<&str> = run.exits(0).stdout.trim_end().split('\t').collect();
    assert_eq!(world.out().join(fields[4]), left);
    fs::remove_file(&left).unwrap();
    let run = world.run(&["partials", "m"]);
    assert_eq!(
        (run.exits(0).stdout.as_str(), run.stderr.as_str()),
        ("", "no partials in m and the folders below\n")
    );
    assert_eq!(world.run(&["partials", "m", "-q"]).exits(0).stderr, "");
    world.run(&["partials", "nowhere"]).exits(7).says("nowhere");
}

#[test]
fn old_partials_are_removed_with_their_sidecars_and_no_others() {
    let (_service, mut world, path) = unfinished();
    world.set("DOCFETCH_REMOVE_OLDER", "0h"); // the option has no variable
    let run = world.run(&["partials", "m"]);
    run.exits(0).says("docfetch ignores DOCFETCH_REMOVE_OLDER");
    fs::write(world.out().join("m/sub/.docfetch-mine.part"), "x").unwrap();
    make_old(&world, Duration::from_secs(3600));
    let run = world.run(&["partials", "m", "--remove-older", "2h"]);
    assert_eq!(run.exits(0).stdout, "");
    run.says("\n0 partials removed (0 B)\n");
    assert!(path.exists());
    make_old(&world, Duration::from_secs(3 * 3600));
    let run = world.run(&["partials", "m", "--remove-older", "2h"]);
    assert!(
        run.exits(0)
            .says("1 partial removed")
            .stdout
            .starts_with("reads.fastq\t")
    );
    assert_eq!(own_files(&world), ["m/sub/.docfetch-mine.part"]);
    for wrong in ["2", "2m", "-1h", ""] {
        let option = format!("--remove-older={wrong}");
        world
            .run(&["partials", "m", &option])
            .exits(2)
            .says("--remove-older");
    }
}

#[test]
fn a_partial_that_a_process_holds_is_kept() {
    let (_service, world, path) = unfinished();
    make_old(&world, Duration::from_secs(30 * 24 * 3600));
    let held = File::open(&path).unwrap();
    held.lock().unwrap();
    let run = world.run(&["partials", "m", "--remove-older", "1d"]);
    assert_eq!(
        run.exits(0)
            .says("in use, not removed: reads.fastq: ")
            .stdout,
        ""
    );
    run.says("0 partials removed (0 B), 1 in use");
    let records = world
        .run(&["partials", "m", "--remove-older", "1d", "--json"])
        .exits(0)
        .records();
    assert_eq!(records[0]["state"], "in_use");
    assert!(path.exists() && path.with_extension("json").exists());
    drop(held);
    let records = world
        .run(&["partials", "m", "--remove-older", "1d", "--json"])
        .exits(0)
        .records();
    assert_eq!(records[0]["state"], "removed");
    assert!(!Path::new(&path).exists());
}

#[test]
fn a_partial_that_another_process_takes_up_before_its_removal_stays() {
    if !tools::strace() {
        return;
    }
    let (_service, world, path) = unfinished();
    make_old(&world, Duration::from_hours(24));
    // docfetch has opened the partial, and waits before it locks it.
    let inject = "inject=flock:delay_enter=2000000:when=1";
    let removing = ["partials", "m", "--remove-older", "1h"];
    let command = traced(&world, &[], &["trace=flock", inject], &removing).spawn();
    let child = command.unwrap();
    world.wait_until("the file is open", || is_open(&path));
    // Meanwhile another process publishes the partial, and a third one begins a new one.
    fs::rename(&path, path.with_file_name("reads.fastq")).unwrap();
    fs::write(&path, "new").unwrap();
    let run = world.finish(child, Instant::now());
    run.exits(0).says("in use, not removed");
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert!(path.with_extension("json").exists());
}

/// Whether any process has the file open.
fn is_open(path: &Path) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let descriptors = processes.filter_map(|process| fs::read_dir(process.path().join("fd")).ok());
    let mut descriptors = descriptors.flatten().flatten();
    descriptors.any(|descriptor| fs::read_link(descriptor.path()).is_ok_and(|open| open == path))
}
