//! The files that a binary of commit a8e9f6a left, in `tests/data/earlier`. `DOCFETCH_EARLIER=BINARY` names such a
//! binary, with which `cargo test --test it earlier::` writes them again.

use super::services::{Services, sent};
use crate::support::World;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Instant;

pub const KINDS: [&str; 3] = ["documents", "samples", "assets"];

/// The arguments of each kind of documents, and a name for it.
pub const COMMANDS: [(&[&str], &str); 4] = [
    (&["sm"], "sm"),
    (&["onecodex"], "documents"),
    (&["onecodex", "--resource", "samples"], "samples"),
    (&["onecodex", "--resource", "assets"], "assets"),
];

/// The arguments that fetch a document of One Codex.
pub fn fetch_of<'a>(kind: &'a str, id: &'a str) -> Vec<&'a str> {
    vec!["onecodex", id, "--resource", kind]
}

/// Where the files of one world are.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/earlier")
        .join(name)
}

/// A world of healthy services with the files that a world of broken services was left with: `files` or `held`.
pub fn world(services: &Services, name: &str) -> World {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        if let Some(binary) = std::env::var_os("DOCFETCH_EARLIER") {
            let (world, held) = make(binary.to_str().unwrap());
            for (world, name) in [(world, "files"), (held, "held")] {
                let _ = fs::remove_dir_all(folder(name));
                copy(&world.state(), &folder(name).join("state"));
                copy(&world.out(), &folder(name).join("out"));
            }
        }
    });
    let world = services.world();
    copy(&folder(name).join("state"), &world.state());
    copy(&folder(name).join("out"), &world.out());
    world
}

/// Copies a folder. Nothing in it is open to others.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, Permissions::from_mode(0o700)).unwrap();
    let Ok(entries) = fs::read_dir(from) else {
        return; // git keeps no empty folders
    };
    for entry in entries {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::write(&to, fs::read(entry.path()).unwrap()).unwrap();
            fs::set_permissions(&to, Permissions::from_mode(0o600)).unwrap();
        }
    }
}

/// The paths of all files below a folder, relative to it.
pub fn paths(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// A binary that leaves files in a world of broken services.
struct Maker<'a> {
    binary: &'a str,
    services: &'a Services,
    world: &'a World,
}

impl Maker<'_> {
    /// Runs the binary to its end.
    fn run(&self, arguments: &[&str], works: bool) {
        let child = self.world.command_of(self.binary, arguments).spawn();
        let run = self.world.finish(child.unwrap(), Instant::now());
        assert_eq!(run.code == 0, works, "{arguments:?}: {run:#?}");
    }

    /// Kills the binary once `is_time`.
    fn kill(&self, arguments: &[&str], is_time: impl Fn() -> bool) {
        let child = self.world.command_of(self.binary, arguments).spawn();
        self.world.wait_until("the time to kill it", is_time);
        crate::support::kill(child.unwrap());
    }

    /// Leaves a record in each state.
    fn leave_records(&self, kind: &str) {
        let folder = format!("gone/{kind}");
        let fetch = |id, works| {
            let arguments = [&fetch_of(kind, id)[..], &["-d", &folder]].concat();
            self.run(&arguments, works);
        };
        fetch("delivered", true);
        fetch("answered", false);
        fetch("expired", false);
        fetch("delivered-expired", true);
        fs::remove_dir_all(self.world.out().join("gone")).unwrap();
        fetch("delivered-expired", false);
        fetch("doubtful", false);
        let before = self.services.charges();
        let attempting = [&fetch_of(kind, "attempting")[..], &["-d", &folder]].concat();
        self.kill(&attempting, || self.services.charges() > before);
        fs::remove_dir_all(self.world.out().join("gone")).unwrap();
    }

    /// Leaves two partials, and a mirror with a third one.
    fn leave_partials(&self, command: &[&str], kind: &str) {
        let folder = format!("partials/{kind}");
        let fetch = |id| [command, &[id, "-d", &folder]].concat();
        self.run(&fetch("stopped"), false);
        self.kill(&fetch("killed"), || {
            is_partial_of("killed", &self.world.out().join(&folder))
        });
        let mirror = format!("mirrors/{kind}");
        self.run(&[&["sync"], command, &[&mirror]].concat(), false);
    }
}

/// Runs a binary with broken services: what it leaves, and what it leaves while a service holds all requests.
pub fn make(binary: &str) -> (World, World) {
    let services = Services::start(true);
    let (world, held) = (services.world(), services.world());
    let maker = |world| Maker {
        binary,
        services: &services,
        world,
    };
    let files = maker(&world);
    for kind in KINDS {
        files.leave_records(kind);
    }
    for (command, kind) in COMMANDS {
        files.leave_partials(command, kind);
    }
    let manifest = ["-d", "fetched", "--manifest", "fetched.jsonl"];
    files.run(&[&["sm", "plain"], &manifest[..]].concat(), true);
    maker(&held).run(&["sm", "limited"], false);
    (world, held)
}

/// Whether a partial has all bytes that a broken storage sends of `id`, and a sidecar.
fn is_partial_of(id: &str, folder: &Path) -> bool {
    let length = sent(id) as u64;
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.map(|file| file.path()).any(|path| {
        path.extension()
            .is_some_and(|extension| extension == "part")
            && path.metadata().is_ok_and(|found| found.len() == length)
            && path.with_extension("json").exists()
    })
}
