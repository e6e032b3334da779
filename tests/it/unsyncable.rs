//! File systems that refuse to replace a file, or to sync one: docfetch ends, and keeps what it paid for.

use crate::support::mounts::Mount;
use crate::support::services::Service;
use crate::support::strace::{path_of_partial, with_faults};
use crate::support::tools::strace;
use std::fs;

#[test]
fn a_file_system_that_refuses_to_replace_a_file_gets_the_document_or_ends_the_run() {
    if !strace() {
        return;
    }
    let (service, content) = Service::with("x.bin", 1000, &[]);
    for (refused, code) in [("1", 0), ("1..2", 0), ("1+", 7)] {
        for provider in ["sm", "onecodex"] {
            let world = service.world();
            let target = world.out().join("x.bin");
            let folder = world.out();
            let fetching = [provider, "doc1", "-d", folder.to_str().unwrap()];
            let partial = path_of_partial(&world, &fetching);
            fs::write(&target, "old").unwrap();
            // The publication is the only rename of the partial itself.
            let fault = ("rename", "error=EEXIST", refused);
            let overwriting = [&fetching[..], &["--if-exists", "overwrite", "-v"]].concat();
            let run = with_faults(&world, fault, Some(&partial), &overwriting);
            run.exits(code);
            let is_removed = run.stderr.contains("docfetch removes the file first");
            assert_eq!(is_removed, refused != "1", "{run:?}");
            if code == 0 {
                assert!(world.read("x.bin") == content);
                assert_eq!(world.files(), ["x.bin"], "{run:?}");
            } else {
                assert!(world.file_ending(".part").is_some(), "{run:?}");
                let run = world.run(&fetching);
                run.exits(0);
                assert!(world.read("x.bin") == content);
                assert_eq!(world.files(), ["x.bin"], "{run:?}");
            }
        }
    }
    assert_eq!(service.charges(), 3);
}

#[test]
fn a_mirror_ends_on_a_file_system_that_refuses_every_new_name() {
    if !strace() {
        return;
    }
    let (service, _) = Service::with("x.bin", 1000, &[]);
    let world = service.world();
    let fault = ("rename,renameat2", "error=EEXIST", "1+");
    let target = world.out().join("x.bin");
    fs::create_dir_all(world.out()).unwrap();
    let mirror = ["sync", "sm", world.out().to_str().unwrap(), "-q"].map(str::to_owned);
    let mirror: Vec<&str> = mirror.iter().map(String::as_str).collect();
    with_faults(&world, fault, Some(&target), &mirror).exits(7);
    world.run(&mirror).exits(0);
}

/// ntfs-3g refuses the second replacement of a file with a long name.
#[test]
fn a_long_name_on_a_real_ntfs_is_replaced_again_and_again() {
    let Some(disk) = Mount::ntfs() else {
        return;
    };
    let name = format!("{}.pdf", "n".repeat(251));
    for number in 1..=4 {
        let (service, content) = Service::with(&name, 1000 + number, &[]);
        let world = service.world();
        let folder = disk.path().to_str().unwrap();
        let fetching = ["sm", "doc1", "-d", folder, "--if-exists", "overwrite"];
        world.run(&fetching).exits(0);
        // ntfs-3g may leave a shortened name of the file that it replaced.
        assert!(fs::read(disk.path().join(&name)).unwrap() == content);
    }
}

#[test]
fn a_document_is_published_where_the_file_system_cannot_sync_it_and_not_where_the_disk_fails() {
    if !strace() {
        return;
    }
    let (service, content) = Service::with("x.bin", 1000, &[]);
    let errors = [("EINVAL", 0), ("EOPNOTSUPP", 0), ("ENOSYS", 0), ("EIO", 7)];
    for (error, code) in errors {
        let world = service.world();
        let folder = world.out();
        let fetching = ["onecodex", "doc1", "-d", folder.to_str().unwrap()];
        let partial = path_of_partial(&world, &fetching);
        let fault = ("fsync,fdatasync", &*format!("error={error}"), "1+");
        let run = with_faults(&world, fault, Some(&partial), &fetching);
        run.exits(code);
        let warned = run.stderr.matches("cannot sync files").count();
        assert_eq!(warned, usize::from(code == 0), "{run:?}");
        assert_eq!(world.out().join("x.bin").exists(), code == 0);
        if code == 0 {
            assert!(world.read("x.bin") == content);
        }
        assert!(world.files().len() <= 1, "{run:?}");
    }
    assert_eq!(service.charges(), 4);
}

#[test]
fn a_folder_that_cannot_be_synced_gets_its_document() {
    if !strace() {
        return;
    }
    let (service, content) = Service::with("x.bin", 1000, &[]);
    for error in ["ENOSYS", "EPERM", "EACCES", "EINVAL", "EOPNOTSUPP"] {
        for place in ["out", "state/ledger"] {
            let world = service.world();
            let folder = world.out();
            let fetching = ["onecodex", "doc1", "-d", folder.to_str().unwrap()];
            world.run(&fetching).exits(0);
            fs::remove_file(folder.join("x.bin")).unwrap();
            let place = match place {
                "out" => folder.clone(),
                _ => world.state().join("ledger"),
            };
            let fault = ("fsync", &*format!("error={error}"), "1+");
            let again = [&fetching[..], &["--allow-recharge"]].concat();
            with_faults(&world, fault, Some(&place), &again).exits(0);
            assert!(world.read("x.bin") == content);
        }
    }
}
