//! A temporary folder in which docfetch tries names, so that no file of the user's folder ever has them.

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdir, open, rmdir, unlink, unlinkat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The name of the folder. Processes that try names at the same time share the folder.
const SCRATCH_NAME: &str = ".docfetch-probe.d";
/// A name that every file system takes.
const PLAIN_NAME: &str = "docfetch";
/// How often docfetch makes the folder anew, because another process has removed it.
const MAX_ATTEMPTS: u32 = 16;
/// Errors of a creation that say nothing about the name.
const UNRELATED_ERRORS: [Errno; 7] = [
    Errno::NOSPC,
    Errno::DQUOT,
    Errno::INTR,
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOMEM,
    Errno::ROFS,
];

/// The folder for trials. The folder is removed when the value is dropped.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Makes the folder in `folder`. `None` where docfetch cannot make one.
    pub(super) fn new(folder: &Path) -> Option<Self> {
        let scratch = Self(folder.join(SCRATCH_NAME));
        scratch.make().then_some(scratch)
    }

    fn make(&self) -> bool {
        matches!(mkdir(&self.0, Mode::RWXU), Ok(()) | Err(Errno::EXIST))
    }

    /// Whether the file system takes a name. `None` where docfetch cannot find out.
    pub(super) fn takes(&self, name: &OsStr) -> Option<bool> {
        for _ in 0..MAX_ATTEMPTS {
            match self.create(name) {
                Ok(()) => return Some(true),
                Err(errno) if UNRELATED_ERRORS.contains(&errno) => return None,
                Err(_) => {}
            }
            match self.create(OsStr::new(PLAIN_NAME)) {
                Ok(()) => return Some(false),
                Err(Errno::NOENT) if self.make() => {} // another process removed the folder
                Err(_) => return None,
            }
        }
        None
    }

    /// Creates a file and removes it.
    fn create(&self, name: &OsStr) -> Result<(), Errno> {
        let path = self.0.join(name);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        match open(&path, flags, Mode::RUSR | Mode::WUSR) {
            Ok(_) | Err(Errno::EXIST) => {
                let _ = unlink(&path);
                Ok(())
            }
            Err(errno) => Err(errno),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if rmdir(&self.0) != Err(Errno::NOTEMPTY) {
            return;
        }
        // A process that was killed has left a file.
        for entry in std::fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let _ = unlinkat(CWD, entry.path(), AtFlags::empty());
        }
        let _ = rmdir(&self.0);
    }
}
