//! Folders of other file systems: mounts that set owner and permissions, that refuse names, or that fold them.

use crate::support::fuse::{Call, Fuse, Mounted, Shown};
use crate::support::mounts::Mount;
use crate::support::raw::{Raw, Request, api, both, presigned, reply, send_part, serve};
use crate::support::services::Service;
use crate::support::strace::{traced, with_faults, with_name_of_partial};
use crate::support::tools::{other_user, strace, works};
use crate::support::{Run, SILENCE, World, kill, noise};
use docfetch::sandbox::Document;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A folder of any file system.
enum Disk {
    Mount(Mount),
    Fuse(Mounted),
}

impl Disk {
    fn path(&self) -> &Path {
        match self {
            Self::Mount(mount) => mount.path(),
            Self::Fuse(mounted) => mounted.path(),
        }
    }

    /// The names in the root folder, sorted.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

/// File systems that give every file an owner or permissions, by name.
fn disks_of_one_owner() -> Vec<(&'static str, Disk)> {
    let shown = Shown {
        uid: 1234,
        gid: 1234,
        mode: 0o755,
    };
    let forced = ["--force-user=1234", "--force-group=1234"];
    let wide = ["--force-user=1234", "--perms=0666:ugo+rwX", "--chmod-deny"];
    let mounts = [
        ("force-user", Mount::bindfs(&forced)),
        ("force-user and perms", Mount::bindfs(&wide)),
        (
            "create-with-perms",
            Mount::bindfs(&["--create-with-perms=0664"]),
        ),
        ("exFAT", Mount::exfat("uid=1234,gid=1234,allow_other")),
        ("NTFS", Mount::ntfs()),
    ];
    let mounts = mounts.map(|(name, mount)| (name, mount.map(Disk::Mount)));
    let refusing = Fuse::new()
        .owner_and_mode(shown)
        .refuse(Call::Chmod, Errno::PERM);
    let refusing = refusing
        .refuse(Call::Link, Errno::PERM)
        .refuse(Call::RenameFlags, Errno::INVAL);
    let fuses = [
        ("FUSE", Fuse::new().owner_and_mode(shown).mount()),
        ("FUSE that refuses", refusing.mount()),
    ];
    let fuses = fuses.map(|(name, mounted)| (name, mounted.map(Disk::Fuse)));
    let disks = mounts.into_iter().chain(fuses);
    disks
        .filter_map(|(name, disk)| Some((name, disk?)))
        .collect()
}

/// Serves `content`, and of the first request only a part; then the connection stays silent.
fn stopping(content: Vec<u8>) -> (Raw, Raw) {
    both("/x.bin", move |request, stream| {
        if request.before == 0 {
            send_part(request, stream, &content, "\"v1\"", content.len() / 2);
            std::thread::sleep(SILENCE);
        } else {
            serve(request, stream, &content, "\"v1\"");
        }
    })
}

#[test]
fn a_document_is_resumed_after_a_kill_and_paid_once_whoever_seems_to_own_its_partial() {
    let content = noise(600_000);
    for (name, disk) in disks_of_one_owner() {
        for provider in ["onecodex", "sm"] {
            let (api, storage) = stopping(content.clone());
            let world = World::new(&api.base());
            let folder = disk.path().join(provider);
            fs::create_dir(&folder).unwrap();
            let fetching = [provider, "doc1", "-d", folder.to_str().unwrap(), "-c", "1"];
            let child = world.command(&fetching).spawn().unwrap();
            world.wait_until("half of it", || {
                let entries = fs::read_dir(&folder).unwrap().flatten();
                let mut partials =
                    entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "part"));
                partials.any(|entry| entry.metadata().is_ok_and(|found| found.len() >= 300_000))
            });
            // The next version of the sidecar is due 2 ms after the last one at the earliest.
            std::thread::sleep(Duration::from_millis(50));
            kill(child);
            let run = world.run(&[&fetching[..], &["--json"]].concat());
            let record = &run.exits(0).records()[0];
            assert!(record["resumed_from"].as_u64() > Some(0), "{name}: {run:?}");
            let file = folder.join("x.bin");
            assert!(fs::read(&file).unwrap() == content, "{name} {provider}");
            assert_eq!(
                fs::read_dir(&folder).unwrap().count(),
                1,
                "{name} {provider}"
            );
            assert_eq!(storage.seen().len(), 2, "{name} {provider}");
            assert_eq!(
                api.count("POST", "download_uri"),
                usize::from(provider == "onecodex")
            );
        }
    }
}

/// As a user who is not root, on a mount that shows this user's files as another user's: the user cannot open them
/// again.
#[test]
fn a_partial_that_the_mount_takes_away_is_passed_over_and_paid_once() {
    if !other_user() {
        return;
    }
    let Some(mount) = Mount::bindfs(&["--force-user=1234", "--force-group=1234"]) else {
        return;
    };
    let content = noise(600_000);
    let (api, _storage) = stopping(content.clone());
    let world = World::new(&api.base());
    let folder = mount.path().join("open");
    fs::create_dir(&folder).unwrap();
    for open in [world.home(), &folder] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let as_other = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let binary = env!("CARGO_BIN_EXE_docfetch");
    let fetching = [binary, "onecodex", "doc1", "-d", folder.to_str().unwrap()];
    let arguments = [&as_other[..], &fetching].concat();
    let child = world.command_of("setpriv", &arguments).spawn().unwrap();
    world.wait_until("a partial", || {
        let mut entries = fs::read_dir(&folder).unwrap().flatten();
        entries.any(|entry| entry.metadata().is_ok_and(|found| found.len() >= 300_000))
    });
    kill(child);
    world.run_of("setpriv", &arguments).exits(0);
    assert!(fs::read(folder.join("x.bin")).unwrap() == content);
    assert_eq!(api.count("POST", "download_uri"), 1);
    let removing = [
        binary,
        "partials",
        folder.to_str().unwrap(),
        "--remove-older",
        "0h",
    ];
    let removing = [&as_other[..], &removing].concat();
    world.run_of("setpriv", &removing).exits(0);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

/// Row 41 where the file system is one that docfetch does not know.
#[test]
fn another_users_partial_is_refused_where_the_mount_keeps_owners() {
    let Some(mount) = Mount::bindfs(&[]) else {
        return;
    };
    let (api, _storage) = stopping(noise(600_000));
    let world = World::new(&api.base());
    let fetching = ["onecodex", "doc1", "-d", mount.path().to_str().unwrap()];
    let child = world.command(&fetching).spawn().unwrap();
    let partial = || {
        mount
            .names("")
            .into_iter()
            .find(|name| name.ends_with(".part"))
    };
    world.wait_until("a partial", || partial().is_some());
    kill(child);
    let path = mount.path().join(partial().unwrap());
    std::os::unix::fs::chown(&path, Some(1234), None).unwrap();
    let before = fs::read(&path).unwrap();
    let run = world.run(&[&fetching[..], &["--json"]].concat());
    assert_eq!(run.exits(9).error_code(), "unsafe_partial");
    assert!(fs::read(&path).unwrap() == before);
    assert!(!mount.names("").contains(&".docfetch-probe".to_owned()));
}

#[test]
fn a_file_system_that_sets_no_permissions_gets_its_documents() {
    let (service, content) = Service::with("x.bin", 100_000, &[]);
    for errno in [Errno::PERM, Errno::NOSYS, Errno::OPNOTSUPP] {
        let Some(mounted) = Fuse::new().refuse(Call::Chmod, errno).mount() else {
            return;
        };
        let world = service.world();
        let folder = mounted.path().to_str().unwrap();
        for (provider, verbose) in [("onecodex", &[][..]), ("sm", &["-v"])] {
            let file = format!("{provider}.bin");
            let fetching = [provider, "doc1", "-d", folder, "-o", &file];
            let run = world.run(&[&fetching[..], verbose].concat());
            let said = run.exits(0).stderr.matches("keeps the permissions").count();
            assert_eq!(said, verbose.len(), "{run:?}");
            assert!(!run.stderr.contains("os error"), "{run:?}");
            assert!(fs::read(mounted.path().join(&file)).unwrap() == content);
            // The file was private when it was created, as every partial, and stays so.
            let mode = fs::metadata(mounted.path().join(&file)).unwrap().mode() & 0o777;
            assert_eq!(mode, 0o600);
            assert_eq!(
                run.stderr
                    .matches("new documents have 0600 and not 0644")
                    .count(),
                1,
                "{run:?}"
            );
        }
        assert_eq!(mounted.names(""), ["onecodex.bin", "sm.bin"]);
    }
    if let Some(mount) = Mount::bindfs(&["--chmod-deny", "--create-with-perms=0640"]) {
        let world = service.world();
        let folder = mount.path().to_str().unwrap();
        let run = world.run(&["onecodex", "doc1", "-d", folder]);
        assert!(!run.exits(0).stderr.contains("refuses"), "{run:?}");
        let found = fs::metadata(mount.path().join("x.bin")).unwrap();
        assert_eq!(
            found.mode() & 0o777,
            0o640,
            "the rights that the mount gives"
        );
    }
    if strace() {
        for error in ["EPERM", "ENOSYS", "EOPNOTSUPP"] {
            let world = service.world();
            let fault = ("fchmod,fchmodat,chmod", &*format!("error={error}"), "1+");
            for (provider, file) in [("onecodex", "x.bin"), ("sm", "y.bin")] {
                let fetching = [provider, "doc1", "-o", file];
                with_faults(&world, fault, None, &fetching).exits(0);
                assert!(world.read(file) == content);
            }
        }
    }
}

/// A world whose state is on `disk`.
fn with_state_on(service: &Service, disk: &Disk) -> (World, PathBuf) {
    let mut world = service.world();
    let state = disk.path().join("state");
    world.set("DOCFETCH_STATE_DIR", state.to_str().unwrap());
    (world, state)
}

#[test]
fn state_that_others_may_read_serves_the_ledger_and_holds_no_token() {
    for (name, disk) in disks_of_one_owner() {
        let (service, _) = Service::with("x.bin", 1000, &[]);
        let (world, state) = with_state_on(&service, &disk);
        let is_private = name == "create-with-perms"; // chmod works there
        for (number, provider) in ["onecodex", "onecodex", "sm", "sm"].iter().enumerate() {
            let file = format!("{number}.bin");
            let run = world.run(&[provider, "doc1", "-o", &file]);
            let said = run
                .exits(0)
                .stderr
                .matches("other users may be able to read")
                .count();
            assert_eq!(said, usize::from(!is_private), "{name}: {run:?}");
            assert_eq!(
                run.stderr.matches("other users can replace").count(),
                0,
                "{name}"
            );
        }
        let report = service.report();
        assert_eq!(service.charges(), 1, "{name}");
        assert_eq!(report.tokens, if is_private { 1 } else { 2 }, "{name}");
        let records = |kind: &str| {
            let entries = fs::read_dir(state.join(kind)).unwrap().flatten();
            let paths = entries.map(|entry| entry.path());
            paths
                .filter(|path| path.extension().is_some_and(|e| e == "json"))
                .count()
        };
        assert_eq!(records("ledger"), 1, "{name}");
        assert!(records("budgets") > 0, "{name}");
        assert_eq!(records("tokens"), usize::from(is_private), "{name}");
        // What stays in doubt is remembered.
        let (service, _) = Service::with("x.bin", 1000, &["drop-post-response"]);
        let (world, _) = with_state_on(&service, &disk);
        for _ in 0..2 {
            world.run(&["onecodex", "doc1"]).exits(8);
        }
        assert_eq!(service.charges(), 1, "{name}");
    }
}

/// The extended attribute with the access control list of a file.
fn access_list(path: &Path) -> Option<Vec<u8>> {
    let mut list = vec![0; 1024];
    let length = rustix::fs::getxattr(path, "system.posix_acl_access", &mut list[..]).ok()?;
    list.truncate(length);
    Some(list)
}

#[test]
fn a_document_has_the_rights_that_any_new_file_has_in_its_folder() {
    if !works("setfacl", &["setfacl", "--version"]) {
        return;
    }
    let content = noise(400_000);
    for (number, prepare) in [
        "setfacl -d -m u:65533:rw,g:65532:r,o::- d",
        "setfacl -d -m u:65533:rwx,m::r d",
        "setfacl -d -m u::rw,g::rw,o::rw d",
        "setfacl -d -m u::rw,g::-,o::- d",
        "chgrp 65532 d && chmod 2775 d",
        "setfacl -d -m u:65533:rw d && chgrp 65532 d && chmod 2775 d",
    ]
    .iter()
    .enumerate()
    {
        for umask in ["022", "077", "002"] {
            let (api, _storage) = stopping(content.clone());
            let world = World::new(&api.base());
            let script = format!("mkdir d && {prepare} && umask {umask} && : > d/plain");
            world.run_of("sh", &["-c", &script]).exits(0);
            let binary = env!("CARGO_BIN_EXE_docfetch");
            let script = format!("umask {umask}; exec {binary} sm doc1 -d d -c 1");
            let child = world.command_of("sh", &["-c", &script]).spawn().unwrap();
            let folder = world.out().join("d");
            let partial = || {
                let paths = fs::read_dir(&folder)
                    .unwrap()
                    .flatten()
                    .map(|entry| entry.path());
                let mut partials =
                    paths.filter(|path| path.extension().is_some_and(|e| e == "part"));
                partials.next()
            };
            world.wait_until("half of it", || {
                partial()
                    .is_some_and(|path| path.metadata().is_ok_and(|found| found.len() >= 200_000))
            });
            // The group bits are the mask: no user and no group that the list names may read.
            let mode = partial().unwrap().metadata().unwrap().mode();
            assert_eq!(mode & 0o777, 0o600, "{prepare}");
            kill(child);
            let run = world.run_of("sh", &["-c", &script]);
            run.exits(0);
            let (file, plain) = (folder.join("x.bin"), folder.join("plain"));
            let rights = |path: &Path| {
                let found = path.metadata().unwrap();
                (found.mode() & 0o7777, found.gid(), access_list(path))
            };
            assert_eq!(rights(&file), rights(&plain), "{prepare}, umask {umask}");
            assert_eq!(
                access_list(&plain).is_some(),
                [0, 1, 5].contains(&number),
                "{prepare}"
            );
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        }
    }
}

/// File systems that refuse characters in names, by name.
fn disks_that_refuse_characters() -> Vec<(&'static str, Disk)> {
    let fuse = |errno| {
        Fuse::new()
            .refuse_characters("?*<>|\":\u{e9}+", errno)
            .mount()
    };
    let disks = [
        ("NTFS", Mount::ntfs().map(Disk::Mount)),
        ("exFAT", Mount::exfat("allow_other").map(Disk::Mount)),
        ("EINVAL", fuse(Errno::INVAL).map(Disk::Fuse)),
        ("ENOENT", fuse(Errno::NOENT).map(Disk::Fuse)),
    ];
    let disks = disks.into_iter();
    disks
        .filter_map(|(name, disk)| Some((name, disk?)))
        .collect()
}

#[test]
fn a_document_gets_a_name_that_the_file_system_takes_before_it_is_paid_for() {
    let name = "Q3 <final> \"board\" 50%|?*.pdf";
    let safe = "Q3 _final_ _board_ 50%___.pdf";
    let (service, content) = Service::with(name, 1000, &[]);
    for (disk_name, disk) in disks_that_refuse_characters() {
        for provider in ["onecodex", "sm"] {
            let world = service.world();
            let folder = disk.path().join(provider);
            let fetching = [provider, "doc1", "-d", folder.to_str().unwrap()];
            let run = world.run(&[&fetching[..], &["--dry-run"]].concat());
            run.exits(0);
            if provider == "onecodex" {
                assert!(
                    run.stdout.ends_with(&format!("{safe}\n")),
                    "{disk_name}: {run:?}"
                );
            }
            assert!(!folder.exists());
            assert!(
                world
                    .run(&fetching)
                    .exits(0)
                    .stdout
                    .ends_with(&format!("{safe}\n"))
            );
            assert!(
                fs::read(folder.join(safe)).unwrap() == content,
                "{disk_name}"
            );
            for (mode, code, count) in [
                ("fail", 7, 1),
                ("skip", 0, 1),
                ("rename", 0, 2),
                ("overwrite", 0, 2),
            ] {
                let run = world.run(&[&fetching[..], &["--if-exists", mode]].concat());
                run.exits(code);
                assert_eq!(
                    fs::read_dir(&folder).unwrap().count(),
                    count,
                    "{disk_name} {mode}"
                );
            }
            assert!(folder.join("Q3 _final_ _board_ 50%___ (2).pdf").exists());
        }
    }
}

#[test]
fn a_name_of_the_users_that_the_file_system_refuses_is_an_error_before_paying() {
    let (service, _) = Service::with("x.bin", 1000, &[]);
    for (disk_name, disk) in disks_that_refuse_characters() {
        let world = service.world();
        let folder = disk.path().to_str().unwrap();
        for (file, refused) in [
            ("a?b\".pdf", "\" ?"),
            ("new|/x.pdf", "|"),
            ("new/x|.pdf", "|"),
        ] {
            for provider in ["onecodex", "sm"] {
                let run = world.run(&[provider, "doc1", "-d", folder, "-o", file]);
                run.exits(7)
                    .says(&format!("refuses these characters in names: {refused}"));
                run.says("hint: choose another name");
                let run = world.run(&[provider, "doc1", "-d", folder, "-o", file, "--json"]);
                assert_eq!(run.exits(7).error_code(), "local_io");
            }
        }
        assert_eq!(disk.names(), [""; 0], "{disk_name}");
    }
    assert_eq!((service.charges(), service.report().downloads), (0, 0));
}

#[test]
fn a_mirror_has_paths_that_the_file_system_takes() {
    let documents = [("1", "a?.pdf"), ("2", "a*.pdf"), ("3", "plain.pdf")];
    let documents =
        documents.map(|(id, name)| Document::new(name, id.as_bytes().to_vec()).with_id(id));
    let service = Service::start(documents.to_vec(), &[]);
    for (disk_name, disk) in disks_that_refuse_characters() {
        for provider in ["sm", "onecodex"] {
            let world = service.world();
            let folder = disk.path().join(provider);
            let syncing = [
                "sync",
                provider,
                folder.to_str().unwrap(),
                "--name",
                "of {stem}/{name}",
            ];
            world.run(&syncing).exits(0);
            let run = world.run(&syncing);
            run.exits(0);
            assert_eq!(run.stdout.lines().count(), 3, "{disk_name}: {run:?}");
            let names = |below: &str| {
                let entries = fs::read_dir(folder.join(below)).unwrap();
                let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
                names
                    .filter(|name| name != ".docfetch")
                    .collect::<BTreeSet<_>>()
            };
            assert_eq!(names(""), ["of a_", "of plain"].map(str::to_owned).into());
            assert_eq!(names("of a_").len(), 2, "{disk_name}: {:?}", names("of a_"));
        }
    }
}

#[test]
fn a_mirror_that_was_copied_to_another_file_system_is_right_after_a_sync() {
    let documents = [
        ("1", "a?.pdf", "1"),
        ("2", "a*.pdf", "2"),
        ("3", "Report.pdf", "three"),
        ("4", "report.PDF", "four 4"),
        ("5", "plain.pdf", "5"),
    ];
    let documents = documents
        .map(|(id, name, content)| Document::new(name, content.as_bytes().to_vec()).with_id(id));
    let service = Service::start(documents.to_vec(), &[]);
    let fuse = Fuse::new()
        .fold_names()
        .refuse_characters("?*", Errno::INVAL);
    let disks = [
        Mount::exfat("allow_other").map(Disk::Mount),
        fuse.mount().map(Disk::Fuse),
    ];
    for disk in disks.into_iter().flatten() {
        for provider in ["sm", "onecodex"] {
            let world = service.world();
            let (original, copy) = (world.out().join("original"), disk.path().join(provider));
            let sync = |folder: &Path| world.run(&["sync", provider, folder.to_str().unwrap()]);
            sync(&original).exits(0);
            let manifest = copy.join(".docfetch/manifest.jsonl");
            let manifest = manifest.to_str().unwrap();
            // The copy loses the files whose names the file system refuses, and one of those that it folds.
            let (original, folder) = (original.display(), copy.display());
            let script = format!("cp -r {original} {folder}; rm -f {folder}/a*");
            world.run_of("sh", &["-c", &script]).exits(0);
            world.run(&["verify", manifest]).exits(6);
            for round in 0..2 {
                sync(&copy).exits(0);
                let run = world.run(&["verify", manifest, "--json"]);
                let records = run.exits(0).records();
                assert_eq!(records.len(), 5 + 1, "{round}: {run:?}");
            }
        }
    }
}

/// Gives every file below the folder `mirror` its decomposed Unicode normal form.
fn decompose_names(world: &World) {
    let rename = "import os, unicodedata
for above, folders, files in os.walk('mirror', topdown=False):
    for name in folders + files:
        os.rename(os.path.join(above, name), os.path.join(above, unicodedata.normalize('NFD', name)))";
    world.run_of("python3", &["-c", rename]).exits(0);
}

#[test]
fn a_new_document_joins_those_whose_folder_came_back_in_another_normal_form() {
    let names = ["a.pdf", "b.pdf", "new.pdf"];
    let documents = names.map(|name| Document::new(name, name.as_bytes().to_vec()));
    let service = Service::start(documents.to_vec(), &[]);
    let world = service.world();
    let folder = world.out().join("mirror");
    let layout = "D\u{f6}k/{provider}/{name}";
    let syncing = ["sync", "onecodex", "mirror", "--json", "--name", layout];
    let statuses = |options: &[&str]| {
        let run = world.run(&[&syncing[..], options].concat());
        let records = run.exits(0).records().into_iter();
        let statuses = records.filter_map(|record| Some(record["status"].as_str()?.to_owned()));
        let mut statuses: Vec<_> = statuses.collect();
        statuses.sort();
        statuses.join(" ")
    };
    assert_eq!(statuses(&["--exclude", "new*"]), "fetched fetched");
    decompose_names(&world);
    assert_eq!(statuses(&[]), "fetched skipped skipped");
    assert_eq!(statuses(&[]), "skipped skipped skipped");
    assert_eq!(service.charges(), 3);
    let disk = folder.join("Do\u{308}k/onecodex");
    fs::remove_file(disk.join("a.pdf")).unwrap();
    assert_eq!(statuses(&[]), "fetched skipped skipped");
    assert_eq!(fs::read_dir(&disk).unwrap().count(), 3);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    let manifest = folder.join(".docfetch/manifest.jsonl");
    world.run(&["verify", manifest.to_str().unwrap()]).exits(0);
}

#[test]
fn a_mirror_whose_names_came_back_in_another_normal_form_is_right_and_paid_once() {
    let names = ["\u{dc}bersicht \u{e9}t\u{e9}.pdf", "plain.pdf"];
    let documents = names.map(|name| Document::new(name, name.as_bytes().to_vec()));
    let service = Service::start(documents.to_vec(), &[]);
    let world = service.world();
    let folder = world.out().join("mirror");
    let syncing = [
        "sync",
        "onecodex",
        "mirror",
        "--name",
        "of {stem}/{name}",
        "--json",
    ];
    world.run(&syncing).exits(0);
    decompose_names(&world);
    assert!(
        folder
            .join("of U\u{308}bersicht e\u{301}te\u{301}")
            .exists()
    );
    let run = world.run(&syncing);
    let records = run.exits(0).records();
    assert!(
        records[..2]
            .iter()
            .all(|record| record["status"] == "skipped"),
        "{run:?}"
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
    assert_eq!(service.charges(), 2);
    let manifest = folder.join(".docfetch/manifest.jsonl");
    world.run(&["verify", manifest.to_str().unwrap()]).exits(0);
}

#[test]
fn a_name_is_as_long_as_the_file_system_takes() {
    let Some(mounted) = Fuse::new().longest_name(143).mount() else {
        return;
    };
    let name = format!("{}.pdf", "a\u{e9}".repeat(80));
    let (service, content) = Service::with(&name, 1000, &[]);
    let world = service.world();
    for (provider, mode, count) in [
        ("onecodex", "fail", 1),
        ("sm", "rename", 2),
        ("sm", "rename", 3),
    ] {
        let fetching = [provider, "doc1", "-d", mounted.path().to_str().unwrap()];
        world
            .run(&[&fetching[..], &["--if-exists", mode]].concat())
            .exits(0);
        let names = mounted.names("");
        assert_eq!(names.len(), count);
        for name in names {
            assert!(
                name.len() > 135 && name.len() <= 143 && name.ends_with(".pdf"),
                "{name}"
            );
            assert!(fs::read(mounted.path().join(&name)).unwrap() == content);
        }
    }
    let file = format!("{}.pdf", "b".repeat(150));
    let fetching = [
        "onecodex",
        "doc1",
        "-d",
        mounted.path().to_str().unwrap(),
        "-o",
        &file,
    ];
    world
        .run(&fetching)
        .exits(7)
        .says("takes names of at most 143 bytes, and this one has 154");
    assert_eq!(service.charges(), 1);
}

/// Whatever a trial of the name has said.
#[test]
fn a_name_that_is_refused_at_the_very_end_is_replaced_and_nothing_is_paid_again() {
    if !strace() {
        return;
    }
    let name = "r\u{e9}sum\u{e9} (1).pdf";
    let (service, content) = Service::with(name, 1000, &[]);
    for user in [&[][..], &["-o", name]] {
        let fetching = [&["onecodex", "doc1"][..], user].concat();
        let world = service.world();
        let (run, partial) = with_name_of_partial(&world, &fetching);
        run.exits(0);
        for error in ["EINVAL", "ENOENT", "EILSEQ", "ENAMETOOLONG"] {
            let (world, charges) = (service.world(), service.charges());
            let path = world.out().join(partial.file_name().unwrap());
            let dotted = Path::new(".").join(partial.file_name().unwrap());
            // The first of each call: where flags are refused, docfetch links, and renames without a flag.
            let all = "rename,renameat,renameat2,link,linkat";
            let trace = format!("trace={all}");
            let inject = format!("inject={all}:error={error}:when=1");
            let mut command = traced(&world, &[path, dotted], &[&trace, &inject], &fetching);
            let run = world.finish(command.spawn().unwrap(), Instant::now());
            run.exits(0).says("docfetch names the file");
            assert_eq!(world.files(), ["r_sum_ _1_.pdf"], "{error} {user:?}");
            assert!(world.read("r_sum_ _1_.pdf") == content);
            assert_eq!(service.charges(), charges + 1);
        }
    }
}

#[test]
fn a_folder_that_can_be_written_and_not_read_gets_its_documents() {
    if !other_user() {
        return;
    }
    let (service, content) = Service::with("x.bin", 100_000, &[]);
    let world = service.world();
    let folder = world.home().join("given");
    fs::create_dir(&folder).unwrap();
    for (open, mode) in [(world.home(), 0o777), (&folder, 0o333)] {
        fs::set_permissions(open, fs::Permissions::from_mode(mode)).unwrap();
    }
    for (provider, more) in [
        ("onecodex", &["-o", "new/x.bin"][..]),
        ("sm", &[]),
        ("onecodex", &["-o", "y"]),
    ] {
        let as_other = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        let fetching = [
            env!("CARGO_BIN_EXE_docfetch"),
            provider,
            "doc1",
            "-d",
            folder.to_str().unwrap(),
        ];
        let arguments = [&as_other[..], &fetching, more].concat();
        world.run_of("setpriv", &arguments).exits(0);
    }
    let names = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let names: BTreeSet<_> = names.collect();
    assert_eq!(names, ["new", "x.bin", "y"].map(Into::into).into());
    for file in ["new/x.bin", "x.bin", "y"] {
        assert!(fs::read(folder.join(file)).unwrap() == content);
    }
}

#[test]
fn a_file_that_another_machine_has_just_removed_is_not_skipped() {
    let Some(mounted) = Fuse::new().cache_for(Duration::from_secs(2)).mount() else {
        return;
    };
    let folder = mounted.path().to_str().unwrap();
    let (service, content) = Service::with("x.bin", 1000, &[]);
    for provider in ["sm", "onecodex"] {
        let world = service.world();
        let fetching = [provider, "doc1", "-d", folder, "--if-exists", "skip"];
        world.run(&fetching).exits(0);
        mounted.remove_elsewhere("x.bin");
        // The kernel still knows the file.
        assert!(mounted.path().join("x.bin").exists());
        world.run(&fetching).exits(0);
        assert!(
            mounted.content("x.bin") == Some(content.clone()),
            "{provider}"
        );
        mounted.remove_elsewhere("x.bin");
    }
}

const ALIKE: [(&str, &str); 8] = [
    ("a", "Report.pdf"),
    ("b", "report.PDF"),
    ("c", "\u{c9}t\u{e9}.pdf"),
    ("d", "\u{e9}t\u{e9}.pdf"),
    ("e", "E\u{301}t\u{e9}.pdf"),
    ("f", "\u{3a3}.pdf"),
    ("g", "\u{3c3}.pdf"),
    ("h", "REPORT.pdf"),
];

/// The names that it serves, each with its id for content.
fn serving_alike() -> (Raw, Raw) {
    let content = |request: &Request, stream: &mut TcpStream| {
        let id = request.path().rsplit('/').next().unwrap().to_owned();
        let name = ALIKE.iter().find(|(known, _)| *known == id).unwrap().1;
        let disposition = format!("attachment; filename=\"{name}\"");
        let headers = [("ETag", "\"v1\""), ("Content-Disposition", &*disposition)];
        reply(stream, "200 OK", &headers, id.as_bytes());
    };
    let storage = Raw::start(content);
    let base = storage.base();
    let api = Raw::start(move |request, stream| {
        let parts: Vec<&str> = request.path().trim_end_matches('/').split('/').collect();
        match parts[..] {
            [.., "documents", id] => {
                let name = ALIKE.iter().find(|(known, _)| *known == id).unwrap().1;
                let metadata = serde_json::json!({"filename": name, "size": null}).to_string();
                reply(stream, "200 OK", &[], metadata.as_bytes());
            }
            [.., id, "download" | "download_uri"] => {
                api(request, stream, &presigned(&base, &format!("/s/{id}")));
            }
            _ => api(request, stream, ""),
        }
    });
    (api, storage)
}

#[test]
fn documents_whose_names_a_real_disk_folds_have_a_file_each() {
    let fuse = Fuse::new().fold_names();
    let disks = [
        ("exFAT", Mount::exfat("allow_other").map(Disk::Mount)),
        ("FUSE", fuse.mount().map(Disk::Fuse)),
    ];
    let ids = ALIKE.map(|(id, _)| id);
    for (disk_name, disk) in disks {
        let Some(disk) = disk else {
            continue;
        };
        for provider in ["sm", "onecodex"] {
            for mode in ["overwrite", "skip", "rename", "fail"] {
                let (api, _storage) = serving_alike();
                let mut world = World::new(&api.base());
                world.set("DOCFETCH_RATE_LIMIT", "none");
                let folder = disk.path().join(format!("{provider}-{mode}"));
                let options = [
                    "-d",
                    folder.to_str().unwrap(),
                    "--if-exists",
                    mode,
                    "-j",
                    "8",
                ];
                let run: Run = world.run(&[&[provider], &ids[..], &options].concat());
                run.exits(0);
                let entries = fs::read_dir(&folder).unwrap().flatten();
                let contents: Vec<String> = entries
                    .filter(|entry| !entry.file_name().to_string_lossy().starts_with(".docfetch"))
                    .map(|entry| fs::read_to_string(entry.path()).unwrap())
                    .collect();
                let distinct: BTreeSet<&String> = contents.iter().collect();
                assert_eq!(
                    distinct.len(),
                    contents.len(),
                    "{disk_name} {provider} {mode}"
                );
                assert_eq!(contents.len(), ALIKE.len(), "{disk_name} {provider} {mode}");
            }
        }
    }
}
