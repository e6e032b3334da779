//! A file system of the tests' own, with the habits of file systems that are not at hand here.
//!
//! [`Fuse::new`] is a file system in memory that behaves as tmpfs does. Each further call adds one habit.
//! [`Fuse::mount`] mounts the file system on a temporary folder; a thread of the test process serves it.
//! [`Mounted`] unmounts it when it is dropped, after a panic too.
//!
//! ```ignore
//! let Some(folder) = Fuse::new().fold_names().refuse(Call::Link, Errno::PERM).mount() else {
//!     return; // no root, or no /dev/fuse: the test has said *skipped*
//! };
//! let run = world.run(&["sm", "doc-1", "-d", folder.path().to_str().unwrap()]);
//! ```
//!
//! A test may use the mounted folder as any other one, from all its threads. Any number of file systems can
//! be mounted at the same time. [`Mounted::content`] reads the truth, past the kernel and past what is
//! shown late.
//!
//! The kernel caches nothing: files are read and written directly, names and attributes are looked up
//! anew for each call. A shared memory mapping of a file is not possible.

mod session;
mod tree;
mod views;

use super::tools;
use fuser::{BackgroundSession, Config, MountOption, SessionACL};
use rustix::io::Errno;
use session::Session;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tree::Tree;

/// Calls that the file system can refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `flock(2)`, unlocking included. `fcntl` locks still work.
    Flock,
    /// `chmod(2)` and `fchmod(2)`.
    Chmod,
    /// `chown(2)` and `fchown(2)`.
    Chown,
    /// `utimensat(2)` and `futimens(2)`.
    Times,
    /// `link(2)`.
    Link,
    /// `symlink(2)`.
    Symlink,
    /// `rename(2)`, with flags or without.
    Rename,
    /// `renameat2(2)` with any flag, such as `RENAME_NOREPLACE`.
    RenameFlags,
    /// `fsync(2)` of a file.
    Fsync,
    /// `fsync(2)` of a folder. The kernel turns `ENOSYS` into success.
    FsyncFolder,
    /// `fallocate(2)`. The kernel turns `ENOSYS` into `EOPNOTSUPP`.
    Fallocate,
    /// Everything about extended attributes. The kernel turns `ENOSYS` into `EOPNOTSUPP`.
    Xattr,
}

/// Owner and permissions that a mount sets, whatever is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    pub uid: u32,
    pub gid: u32,
    /// The permission bits of every file; a folder has the execute bits beside its read bits, too.
    pub mode: u32,
}

/// The habits of a file system.
#[derive(Clone, Debug, Default)]
struct Habits {
    folds_names: bool,
    refused: Vec<(Call, Errno)>,
    refused_characters: Vec<(char, Errno)>,
    longest_name: Option<usize>,
    grants_every_lock: bool,
    late: Option<Duration>,
    has_unstable_inodes: bool,
    shown: Option<Shown>,
    cached: Duration,
    keeps_own_times: bool,
}

impl Habits {
    fn refusal(&self, call: Call) -> Result<(), Errno> {
        let refused = self.refused.iter().find(|(refused, _)| *refused == call);
        refused.map_or(Ok(()), |(_, errno)| Err(*errno))
    }
}

/// A file system that is not yet mounted.
#[derive(Clone, Debug, Default)]
pub struct Fuse(Habits);

impl Fuse {
    /// A file system in memory without any peculiar habit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names that differ only in case or in Unicode normal form are one name. A file keeps the name that it
    /// was created with. As APFS, and ext4 with `casefold`.
    pub fn fold_names(mut self) -> Self {
        self.0.folds_names = true;
        self
    }

    /// A call fails with this error.
    pub fn refuse(mut self, call: Call, errno: Errno) -> Self {
        self.0.refused.push((call, errno));
        self
    }

    /// Nothing can be created or renamed to a name with one of these characters: the call fails with this
    /// error, usually `EINVAL`. A lookup of such a name fails with `ENOENT`.
    pub fn refuse_characters(mut self, characters: &str, errno: Errno) -> Self {
        let refused = characters.chars().map(|character| (character, errno));
        self.0.refused_characters.extend(refused);
        self
    }

    /// A name with more bytes fails with `ENAMETOOLONG`.
    pub fn longest_name(mut self, bytes: usize) -> Self {
        self.0.longest_name = Some(bytes);
        self
    }

    /// Every process gets every lock at once, `flock` and `fcntl`, as on Lustre without its mount option.
    pub fn grant_every_lock(mut self) -> Self {
        self.0.grants_every_lock = true;
        self
    }

    /// What a process writes, creates, renames or removes is seen by other processes only after this time.
    ///
    /// - A process sees its own changes at once. Processes are told apart by their process id; the test
    ///   process is one of them ([`Mounted::content`] shows the truth, [`Mounted::settle`] ends all waiting).
    /// - Exclusive creation, `link`, `mkdir` and RENAME_NOREPLACE are decided by the truth: they fail with
    ///   `EEXIST` at once, although a lookup of the same name still says `ENOENT`.
    /// - `mkdir` that fails so, and `open` with `O_CREAT` without `O_EXCL`, make the name visible to their
    ///   process at once; the content of the file stays late.
    /// - A process that appends writes at the true end. Where it does not yet see what stands before its
    ///   own bytes, it reads zeros, as NFS clients do.
    pub fn show_late(mut self, after: Duration) -> Self {
        self.0.late = Some(after);
        self
    }

    /// Each lookup of a file gives another inode number. A descriptor keeps the number that its file had
    /// when it was opened.
    pub fn unstable_inodes(mut self) -> Self {
        self.0.has_unstable_inodes = true;
        self
    }

    /// Every file and folder has this owner and mode, as on exFAT. `chmod` and `chown` succeed without
    /// effect, unless they are refused.
    pub fn owner_and_mode(mut self, shown: Shown) -> Self {
        self.0.shown = Some(shown);
        self
    }

    /// A request to set the times of a file succeeds without effect.
    pub fn keep_own_times(mut self) -> Self {
        self.0.keeps_own_times = true;
        self
    }

    /// The kernel keeps names and attributes for this time, without a request to the file system.
    pub fn cache_for(mut self, time: Duration) -> Self {
        self.0.cached = time;
        self
    }

    /// Mounts the file system on a temporary folder. Where that is not permitted, the test says *skipped*.
    #[must_use]
    pub fn mount(self) -> Option<Mounted> {
        if !rustix::process::geteuid().is_root() {
            tools::skip("a file system of the test's own needs root");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let tree = Arc::new(Mutex::new(Tree::new(self.0)));
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName("docfetch-test".to_owned()),
            MountOption::DefaultPermissions,
        ];
        config.acl = SessionACL::All;
        match fuser::spawn_mount(Session::new(Arc::clone(&tree)), folder.path(), &config) {
            Ok(session) => Some(Mounted {
                session: Some(session),
                folder,
                tree,
            }),
            Err(error) => {
                tools::skip(&format!("FUSE: {error}"));
                None
            }
        }
    }
}

/// A mounted file system.
pub struct Mounted {
    session: Option<BackgroundSession>,
    folder: TempDir,
    tree: Arc<Mutex<Tree>>,
}

impl Mounted {
    /// The root folder of the file system. Everyone may write there.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The true content of a file, by its path below the root.
    pub fn content(&self, path: &str) -> Option<Vec<u8>> {
        self.tree().true_content(path)
    }

    /// The true names in a folder, by its path below the root; the root is an empty path. Sorted.
    #[track_caller]
    pub fn names(&self, folder: &str) -> Vec<String> {
        self.tree().true_names(folder).unwrap()
    }

    /// Removes a file in the root folder as another machine does: the kernel is not told.
    #[track_caller]
    pub fn remove_elsewhere(&self, name: &str) {
        self.tree().remove_from_root(name).unwrap();
    }

    /// Shows everything that was written until now to every process.
    pub fn settle(&self) {
        self.tree().settle();
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // A process that still uses the folder keeps the thread alive; the folder itself is free at once.
        let _ = rustix::mount::unmount(self.path(), rustix::mount::UnmountFlags::DETACH);
        drop(self.session.take());
    }
}
