//! What a folder is like: what its file system does with owners, modes, locks and names.
//!
//! docfetch finds the traits of a folder out once in a process. Everything that depends on a trait asks
//! [`FolderTraits`], and makes no attempt of its own.

mod file_system;

use crate::error::{Error, Result};
use crate::mutex::locked;
use crate::state::files::{FileIdentity, open_folder};
use file_system::FileSystem;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

/// The traits of all folders that this process has asked for.
static KNOWN: LazyLock<Mutex<HashMap<FileIdentity, Arc<FolderTraits>>>> =
    LazyLock::new(Mutex::default);

/// What a folder is like.
#[derive(Debug)]
pub(crate) struct FolderTraits {
    file_system: FileSystem,
}

impl FolderTraits {
    /// The traits of an existing folder.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo) when the folder cannot be opened.
    pub(crate) fn of(folder: &Path) -> Result<Arc<Self>> {
        Self::of_open(&open_folder(folder)?, folder)
    }

    /// As [`FolderTraits::of`], for an open folder; `path` is its path.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo) when the folder cannot be read.
    pub(crate) fn of_open(folder: &File, path: &Path) -> Result<Arc<Self>> {
        let metadata = folder.metadata();
        let metadata = metadata.map_err(|error| Error::io("read", path, &error))?;
        let identity = FileIdentity::of(&metadata);
        if let Some(known) = locked(&KNOWN).get(&identity) {
            return Ok(Arc::clone(known));
        }
        let traits = Arc::new(Self {
            file_system: FileSystem::of(folder),
        });
        locked(&KNOWN).insert(identity, Arc::clone(&traits));
        Ok(traits)
    }

    /// Whether a lock on a file of this folder excludes every other process, on other machines, too. Where
    /// it may not, what must not happen twice is decided by creating a file exclusively.
    pub(crate) fn has_true_locks(&self) -> bool {
        self.file_system.has_true_locks()
    }
}
