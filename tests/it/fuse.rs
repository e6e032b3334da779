//! The file system of the tests' own has each habit that it is given, and no other.

use crate::support::fuse::{Call, Fuse, Mounted, Shown};
use crate::support::services::Service;
use crate::support::tools;
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FlockOperation, Mode, RenameFlags, Timespec, Timestamps,
    XattrFlags,
};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than any step of a test takes.
const VERY_LATE: Duration = Duration::from_secs(3600);

/// Runs a script of a shell in the folder, as another process; returns what it prints.
fn script(folder: &Mounted, script: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder.path())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn is_mounted(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.contains(path.to_str().unwrap())
}

fn rename_no_replace(folder: &Path, from: &str, to: &str) -> rustix::io::Result<()> {
    let (from, to) = (folder.join(from), folder.join(to));
    rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
}

fn lock(file: &File) -> rustix::io::Result<()> {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)
}

#[test]
fn without_a_habit_it_does_what_a_file_system_does() {
    let Some(fuse) = Fuse::new().mount() else {
        return;
    };
    let path = fuse.path();
    fs::create_dir_all(path.join("a/b")).unwrap();
    fs::write(path.join("a/b/f"), b"0123456789").unwrap();
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path.join("a/b/f"))
        .unwrap();
    file.seek(SeekFrom::Start(12)).unwrap();
    file.write_all(b"x").unwrap();
    file.set_len(13).unwrap();
    file.seek(SeekFrom::Start(8)).unwrap();
    let mut end = Vec::new();
    file.read_to_end(&mut end).unwrap();
    assert_eq!(end, b"89\0\0x");
    let append = OpenOptions::new().append(true).open(path.join("a/b/f"));
    append.unwrap().write_all(b"y").unwrap();
    assert_eq!(fuse.content("a/b/f").unwrap(), b"0123456789\0\0xy");

    rename_no_replace(path, "a/b/f", "a/g").unwrap();
    fs::write(path.join("h"), b"h").unwrap();
    assert_eq!(rename_no_replace(path, "h", "a/g"), Err(Errno::EXIST));
    fs::rename(path.join("h"), path.join("a/g")).unwrap();
    assert_eq!(fs::read(path.join("a/g")).unwrap(), b"h");
    fs::hard_link(path.join("a/g"), path.join("second")).unwrap();
    assert_eq!(path.join("second").metadata().unwrap().nlink(), 2);
    symlink("second", path.join("third")).unwrap();
    assert_eq!(fs::read(path.join("third")).unwrap(), b"h");
    let not_empty = fs::remove_dir(path.join("a")).unwrap_err();
    assert_eq!(not_empty.kind(), ErrorKind::DirectoryNotEmpty);
    fs::remove_dir(path.join("a/b")).unwrap();
    fs::remove_file(path.join("a/g")).unwrap();
    let mut open = File::open(path.join("second")).unwrap();
    fs::remove_file(path.join("second")).unwrap();
    let mut rest = String::new();
    open.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "h");
    assert_eq!(fuse.names(""), ["a", "third"]);
    assert_eq!(fuse.names("a"), [""; 0]);
}

#[test]
fn modes_owners_times_and_attributes_are_kept() {
    let Some(fuse) = Fuse::new().mount() else {
        return;
    };
    let path = fuse.path().join("f");
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(&path)
        .unwrap();
    file.sync_all().unwrap();
    File::open(fuse.path()).unwrap().sync_all().unwrap();
    assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o640);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    std::os::unix::fs::chown(&path, Some(7), Some(8)).unwrap();
    let time = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    file.set_modified(time).unwrap();
    let metadata = path.metadata().unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (7, 8));
    assert_eq!(metadata.mode() & 0o7777, 0o604);
    assert_eq!(metadata.modified().unwrap(), time);

    rustix::fs::setxattr(&path, "user.a", b"value", XattrFlags::empty()).unwrap();
    let mut value = [0; 16];
    assert_eq!(rustix::fs::getxattr(&path, "user.a", &mut value), Ok(5));
    assert_eq!(
        rustix::fs::getxattr(&path, "user.b", &mut value),
        Err(Errno::NODATA)
    );
    rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, 4096).unwrap();
    assert_eq!(path.metadata().unwrap().len(), 0);
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 4096).unwrap();
    assert_eq!(path.metadata().unwrap().len(), 4096);
    fs::set_permissions(fuse.path(), fs::Permissions::from_mode(0o2777)).unwrap();
    std::os::unix::fs::chown(fuse.path(), None, Some(9)).unwrap();
    fs::write(fuse.path().join("g"), b"").unwrap();
    assert_eq!(fuse.path().join("g").metadata().unwrap().gid(), 9);
}

#[test]
fn permissions_hold_for_other_users() {
    let Some(fuse) = Fuse::new().mount() else {
        return;
    };
    if !tools::other_user() {
        return;
    }
    fs::set_permissions(fuse.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let other = "setpriv --reuid=65534 --clear-groups touch f 2> /dev/null; echo $?";
    assert_eq!(script(&fuse, other), "1\n");
    fs::set_permissions(fuse.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(script(&fuse, other), "0\n");
    assert_eq!(fuse.path().join("f").metadata().unwrap().uid(), 65_534);
}

#[test]
fn many_names_are_listed_whole() {
    let Some(fuse) = Fuse::new().mount() else {
        return;
    };
    let name = |number| format!("a-rather-long-name-{number:05}");
    for number in 0..2000 {
        File::create(fuse.path().join(name(number))).unwrap();
    }
    let entries = fs::read_dir(fuse.path()).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, (0..2000).map(name).collect::<Vec<_>>());
}

#[test]
fn names_are_folded_and_kept_as_created() {
    let Some(fuse) = Fuse::new().fold_names().mount() else {
        return;
    };
    let path = fuse.path();
    fs::write(path.join("Stra\u{df}e \u{e4}.PDF"), b"1").unwrap();
    assert_eq!(
        fs::read(path.join("STRASSE a\u{308}.pdf")).unwrap(),
        b"1",
        "case and normal form"
    );
    let again = File::create_new(path.join("strasse \u{c4}.pdf"));
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    fs::write(path.join("new"), b"2").unwrap();
    assert_eq!(
        rename_no_replace(path, "new", "strasse \u{c4}.pdf"),
        Err(Errno::EXIST)
    );
    fs::rename(path.join("NEW"), path.join("strasse \u{c4}.pdf")).unwrap();
    assert_eq!(fuse.names(""), ["Stra\u{df}e \u{e4}.PDF"]);
    assert_eq!(fuse.content("STRASSE \u{e4}.pdf").unwrap(), b"2");
}

#[test]
fn each_call_can_be_refused_with_any_error() {
    let with = |call| Fuse::new().refuse(call, Errno::NOLCK).mount();
    let Some(fuse) = with(Call::Flock) else {
        return;
    };
    let create = |fuse: &Mounted| File::create_new(fuse.path().join("f")).unwrap();
    let failed = |result: std::io::Result<()>| result.unwrap_err().raw_os_error();
    let refused = Some(Errno::NOLCK.raw_os_error());
    assert_eq!(lock(&create(&fuse)), Err(Errno::NOLCK));

    let fuse = with(Call::Chmod).unwrap();
    let mode = fs::Permissions::from_mode(0o600);
    assert_eq!(failed(create(&fuse).set_permissions(mode)), refused);

    let fuse = with(Call::Chown).unwrap();
    let chown = std::os::unix::fs::fchown(create(&fuse), Some(1), Some(1));
    assert_eq!(failed(chown), refused);

    let fuse = with(Call::Times).unwrap();
    let time = Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    let set = rustix::fs::futimens(create(&fuse), &times);
    assert_eq!(set, Err(Errno::NOLCK));

    let fuse = with(Call::Link).unwrap();
    create(&fuse);
    let (f, g) = (fuse.path().join("f"), fuse.path().join("g"));
    assert_eq!(failed(fs::hard_link(&f, &g)), refused);
    let linked = rustix::fs::linkat(CWD, &f, CWD, &g, AtFlags::empty());
    assert_eq!(linked, Err(Errno::NOLCK));

    let fuse = with(Call::Symlink).unwrap();
    assert_eq!(failed(symlink("f", fuse.path().join("g"))), refused);

    let fuse = with(Call::Rename).unwrap();
    create(&fuse);
    let renamed = fs::rename(fuse.path().join("f"), fuse.path().join("g"));
    assert_eq!(failed(renamed), refused);

    let fuse = with(Call::RenameFlags).unwrap();
    create(&fuse);
    assert_eq!(rename_no_replace(fuse.path(), "f", "g"), Err(Errno::NOLCK));
    fs::rename(fuse.path().join("f"), fuse.path().join("g")).unwrap();

    let fuse = with(Call::Fsync).unwrap();
    assert_eq!(failed(create(&fuse).sync_all()), refused);

    let fuse = with(Call::FsyncFolder).unwrap();
    create(&fuse).sync_all().unwrap();
    let folder = File::open(fuse.path()).unwrap();
    assert_eq!(failed(folder.sync_all()), refused);

    let fuse = with(Call::Fallocate).unwrap();
    let allocated = rustix::fs::fallocate(create(&fuse), FallocateFlags::empty(), 0, 1);
    assert_eq!(allocated, Err(Errno::NOLCK));

    let fuse = with(Call::Xattr).unwrap();
    let set = rustix::fs::fsetxattr(create(&fuse), "user.a", b"", XattrFlags::empty());
    assert_eq!(set, Err(Errno::NOLCK));
    let mut names = [0u8; 16];
    let listed = rustix::fs::listxattr(fuse.path().join("f"), &mut names);
    assert_eq!(listed, Err(Errno::NOLCK));
}

#[test]
fn flock_fails_as_on_the_file_systems_without_it() {
    for errno in [Errno::NOSYS, Errno::NOLCK, Errno::OPNOTSUPP] {
        let Some(fuse) = Fuse::new().refuse(Call::Flock, errno).mount() else {
            return;
        };
        let file = File::create(fuse.path().join("f")).unwrap();
        for _ in 0..2 {
            assert_eq!(lock(&file), Err(errno));
        }
        rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
    }
}

#[test]
fn names_are_refused_where_they_are_made() {
    let fuse = Fuse::new()
        .refuse_characters("?*<>|\":", Errno::INVAL)
        .longest_name(20);
    let Some(fuse) = fuse.mount() else {
        return;
    };
    let path = fuse.path();
    for name in ["a?", "<a>", "a:b", "\""] {
        let created = File::create(path.join(name)).unwrap_err();
        assert_eq!(created.raw_os_error(), Some(Errno::INVAL.raw_os_error()));
        let found = path.join(name).metadata().unwrap_err();
        assert_eq!(found.kind(), ErrorKind::NotFound);
        assert!(fs::create_dir(path.join(name)).is_err());
    }
    File::create(path.join("fine")).unwrap();
    assert_eq!(rename_no_replace(path, "fine", "a*"), Err(Errno::INVAL));
    assert!(fs::hard_link(path.join("fine"), path.join("a|")).is_err());
    let longer = path.join("x".repeat(21));
    let long = File::create(&longer).unwrap_err();
    assert_eq!(long.raw_os_error(), Some(Errno::NAMETOOLONG.raw_os_error()));
    File::create(path.join("x".repeat(20))).unwrap();
    assert_eq!(fuse.names(""), ["fine", &"x".repeat(20)]);
}

#[test]
fn every_lock_is_granted_where_that_is_the_habit_only() {
    for grants in [false, true] {
        let fuse = Fuse::new();
        let fuse = if grants {
            fuse.grant_every_lock()
        } else {
            fuse
        };
        let Some(fuse) = fuse.mount() else { return };
        let file = File::create(fuse.path().join("f")).unwrap();
        lock(&file).unwrap();
        let flock = "flock --nonblock f true; echo $?";
        let code = i32::from(!grants);
        assert_eq!(script(&fuse, flock), format!("{code}\n"));
        rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        let fcntl = "python3 -c 'import fcntl
f = open(\"f\", \"w\")
try: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB); print(0)
except BlockingIOError: print(1)'";
        assert_eq!(script(&fuse, fcntl), format!("{code}\n"));
    }
}

#[test]
fn what_another_process_writes_is_shown_late() {
    let late = Duration::from_secs(2);
    let Some(fuse) = Fuse::new().show_late(late).mount() else {
        return;
    };
    let path = fuse.path().join("f");
    fs::write(&path, b"old").unwrap();
    fuse.settle();
    let started = Instant::now();
    fs::write(&path, b"newer").unwrap();
    fs::write(fuse.path().join("g"), b"").unwrap();
    let look = "cat f; stat -c ' %s' f; ls";
    let seen = script(&fuse, look);
    if started.elapsed() < late {
        assert_eq!(seen, "old 3\nf\n", "{:?}", started.elapsed());
    }
    assert_eq!(fs::read(&path).unwrap(), b"newer", "its own");
    assert_eq!(fuse.content("f").unwrap(), b"newer", "the truth");
    std::thread::sleep(late);
    assert_eq!(script(&fuse, look), "newer 5\nf\ng\n");
}

#[test]
fn a_process_sees_its_own_changes_at_once_and_no_other_does() {
    let Some(fuse) = Fuse::new().show_late(VERY_LATE).mount() else {
        return;
    };
    // What a shell does by itself, it does as one process.
    let own = "echo one > f; echo two >> f; { read a; read b; } < f; echo $a $b";
    assert_eq!(script(&fuse, own), "one two\n");
    assert!(!fuse.path().join("f").exists());
    assert_eq!(fs::read_dir(fuse.path()).unwrap().count(), 0);
    assert_eq!(fuse.content("f").unwrap(), b"one\ntwo\n");

    // A rename and a removal by another process are late as well.
    fs::write(fuse.path().join("g"), b"mine").unwrap();
    fs::write(fuse.path().join("i"), b"other").unwrap();
    fuse.settle();
    script(&fuse, "ln g h; mv i g; rm f");
    assert_eq!(fs::read(fuse.path().join("g")).unwrap(), b"mine");
    assert_eq!(fs::read(fuse.path().join("f")).unwrap(), b"one\ntwo\n");
    assert!(!fuse.path().join("h").exists());
    assert_eq!(fuse.names(""), ["g", "h"]);
    fuse.settle();
    assert_eq!(fs::read(fuse.path().join("g")).unwrap(), b"other");
    assert!(!fuse.path().join("f").exists());
    // All threads of a process see the same.
    fs::write(fuse.path().join("t"), b"t").unwrap();
    let path = fuse.path().join("t");
    let read = std::thread::spawn(move || fs::read(path).unwrap());
    assert_eq!(read.join().unwrap(), b"t");
}

#[test]
fn an_exclusive_creation_is_true_among_all_processes() {
    let Some(fuse) = Fuse::new().show_late(VERY_LATE).mount() else {
        return;
    };
    let path = fuse.path().join("f");
    script(&fuse, "echo other > f; mkdir folder");
    assert!(!path.exists());
    let created = File::create_new(&path).unwrap_err();
    assert_eq!(created.kind(), ErrorKind::AlreadyExists);
    assert!(!path.exists(), "still late");
    fs::write(fuse.path().join("g"), b"g").unwrap();
    assert_eq!(rename_no_replace(fuse.path(), "g", "f"), Err(Errno::EXIST));
    let linked = fs::hard_link(fuse.path().join("g"), &path).unwrap_err();
    assert_eq!(linked.kind(), ErrorKind::AlreadyExists);
    assert!(!fuse.path().join("folder").exists());
    fs::create_dir_all(fuse.path().join("folder")).unwrap();
    // Without O_EXCL, the process gets what is there; its content comes late.
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(&path)
        .unwrap();
    let mut seen = Vec::new();
    file.read_to_end(&mut seen).unwrap();
    assert_eq!(seen, b"");
    file.write_all(b"mine").unwrap();
    assert_eq!(fuse.content("f").unwrap(), b"other\nmine");
    assert_eq!(fs::read(&path).unwrap(), b"\0\0\0\0\0\0mine");

    let once = "i=0; while [ $i -lt 8 ]; do
        (set -C; echo > once) 2> /dev/null && echo won & i=$((i + 1)); done; wait";
    assert_eq!(script(&fuse, once), "won\n");
}

#[test]
fn inode_numbers_change_where_that_is_the_habit_only() {
    for unstable in [false, true] {
        let fuse = Fuse::new();
        let fuse = if unstable {
            fuse.unstable_inodes()
        } else {
            fuse
        };
        let Some(fuse) = fuse.mount() else { return };
        let path = fuse.path().join("f");
        let mut file = File::create(&path).unwrap();
        let number = || path.metadata().unwrap().ino();
        assert_eq!(number() != number(), unstable);
        assert_eq!(file.metadata().unwrap().ino() != number(), unstable);
        let own = file.metadata().unwrap().ino();
        assert_eq!(file.metadata().unwrap().ino(), own);
        file.write_all(b"text").unwrap();
        fs::rename(&path, fuse.path().join("g")).unwrap();
        fs::hard_link(fuse.path().join("g"), &path).unwrap();
        fs::remove_file(fuse.path().join("g")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"text");
    }
}

#[test]
fn owner_and_mode_are_the_mounts() {
    let shown = Shown {
        uid: 1234,
        gid: 5678,
        mode: 0o644,
    };
    let Some(fuse) = Fuse::new().owner_and_mode(shown).mount() else {
        return;
    };
    let path = fuse.path().join("f");
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .unwrap();
    fs::create_dir(fuse.path().join("folder")).unwrap();
    rustix::fs::fchmod(&file, Mode::from_raw_mode(0o600)).unwrap();
    std::os::unix::fs::fchown(&file, Some(0), Some(0)).unwrap();
    for metadata in [file.metadata().unwrap(), path.metadata().unwrap()] {
        assert_eq!((metadata.uid(), metadata.gid()), (1234, 5678));
        assert_eq!(metadata.mode() & 0o7777, 0o644);
    }
    let folder = fuse.path().join("folder").metadata().unwrap();
    assert_eq!(folder.mode() & 0o7777, 0o755);
}

#[test]
fn a_mount_ends_with_its_test_whatever_happens() {
    let Some(fuse) = Fuse::new().mount() else {
        return;
    };
    let path = fuse.path().to_owned();
    assert!(is_mounted(&path));
    let panics = std::thread::spawn(move || {
        let _fuse = fuse;
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(panics.join().is_err());
    assert!(!is_mounted(&path) && !path.exists());

    let fuse = Fuse::new().mount().unwrap();
    let path = fuse.path().to_owned();
    let mut busy = File::create(path.join("f")).unwrap();
    drop(fuse);
    assert!(!is_mounted(&path) && !path.exists());
    busy.write_all(b"served as long as it is open").unwrap();
}

#[test]
fn documents_are_fetched_into_several_mounts_at_the_same_time() {
    let (service, content) = Service::with("deck.pdf", 3_000_000, &[]);
    let habits = [
        Fuse::new(),
        Fuse::new().fold_names(),
        Fuse::new().show_late(Duration::from_secs(1)),
    ];
    let fetch = |fuse: Fuse| {
        let Some(fuse) = fuse.mount() else { return };
        let world = service.world();
        let folder = fuse.path().to_str().unwrap();
        world.run(&["sm", "doc1", "-d", folder]).exits(0);
        assert_eq!(fuse.names(""), ["deck.pdf"]);
        assert_eq!(fuse.content("deck.pdf").unwrap(), content);
    };
    std::thread::scope(|scope| {
        for fuse in habits {
            scope.spawn(|| fetch(fuse));
        }
    });
}
