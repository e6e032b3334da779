//! Files of a record in a folder in which a lock may exclude no other process.
//!
//! A process decides what must not happen twice by creating a file exclusively. It replaces only files that it
//! has created, each time by a whole file under the same name: a reader finds the old content or the new.
//! Other machines may see a change late, so every read opens the file anew.

use super::files::remove;
use super::folder::FolderTraits;
use super::process::ProcessIdentity;
use super::records::Records;
use super::trust::{Untrusted, read_content, read_open};
use crate::error::{Error, Result};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use std::cmp::Reverse;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What stands between the name of a record and the number of an attempt.
const ATTEMPT: &str = ".attempt.";
/// The number of the first attempt. Its file exists as long as any other file of an attempt at the same document.
pub(crate) const FIRST_ATTEMPT: u32 = 1;
/// How often docfetch opens a file anew that another machine replaced while it was read.
const MAX_READS: u32 = 5;

/// A file that is on disk under a temporary name, and removed unless it is published.
#[derive(Debug)]
pub(crate) struct StagedFile {
    temporary: PathBuf,
    path: PathBuf,
    is_published: bool,
}

impl StagedFile {
    /// Replaces the content, durably. Content that is not longer needs no further room on most disks.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo), [`Code::DiskFull`](crate::error::Code::DiskFull).
    pub(crate) fn replace(&self, content: &[u8]) -> Result<()> {
        let write = || {
            let mut file = File::options().write(true).open(&self.temporary)?;
            file.write_all(content)?;
            file.set_len(content.len() as u64)?;
            file.sync_all()
        };
        write().map_err(|error| Error::io("write", &self.path, &error))
    }

    /// Gives the file its name, in place of an older file.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo).
    pub(crate) fn publish(mut self) -> Result<()> {
        std::fs::rename(&self.temporary, &self.path)
            .map_err(|error| Error::io("write", &self.path, &error))?;
        self.is_published = true;
        Ok(())
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.is_published {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// Why a file could not be made.
#[derive(Debug)]
pub(crate) struct CreateError {
    /// The error.
    pub error: Error,
    /// Whether the user may not create files in this folder, now or later.
    pub is_forbidden: bool,
}

impl CreateError {
    fn new(path: &Path, errno: Errno) -> Self {
        Self {
            error: Error::io("create", path, &errno.into()),
            is_forbidden: matches!(errno, Errno::ACCESS | Errno::PERM | Errno::ROFS),
        }
    }
}

impl From<Error> for CreateError {
    fn from(error: Error) -> Self {
        let is_forbidden = false;
        Self {
            error,
            is_forbidden,
        }
    }
}

impl From<CreateError> for Error {
    fn from(failed: CreateError) -> Self {
        failed.error
    }
}

impl Records {
    /// The path of a file of a record.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo) when there is no state folder.
    pub(crate) fn file_path(&self, file: &str) -> Result<PathBuf> {
        Ok(self.folder()?.join(file))
    }

    /// Reads a file of a record; `None` when there is none. The content may be empty: the process that
    /// creates a file writes to it a moment later.
    ///
    /// # Errors
    /// Why the file cannot be trusted.
    pub(crate) fn read_file(&self, file: &str) -> Result<Option<Vec<u8>>, Untrusted> {
        self.read_anew(file, read_content)
    }

    /// Reads the last whole line of a file of a record; `None` when there is no file.
    ///
    /// # Errors
    /// Why the file cannot be trusted.
    pub(crate) fn read_last_line<T: DeserializeOwned>(
        &self,
        file: &str,
    ) -> Result<Option<T>, Untrusted> {
        self.read_anew(file, |path, file| {
            read_open(path, file).map(|(line, _)| line)
        })
    }

    fn read_anew<T>(
        &self,
        file: &str,
        read: impl Fn(&Path, &File) -> Result<T, Untrusted>,
    ) -> Result<Option<T>, Untrusted> {
        let Ok(path) = self.file_path(file) else {
            return Ok(None);
        };
        let open_and_read = || {
            let opened = self.open_trusted(&path)?;
            opened.map(|file| read(&path, &file)).transpose()
        };
        (1..MAX_READS)
            .find_map(|_| open_and_read().ok())
            .map_or_else(open_and_read, Ok)
    }

    /// Whether the attempts at what the record `name` is about are numbered: the first one has a file.
    pub(crate) fn has_attempts(&self, name: &str) -> bool {
        let path = self.file_path(&attempt_file(name, FIRST_ATTEMPT));
        path.is_ok_and(|path| std::fs::symlink_metadata(path).is_ok())
    }

    /// The numbers of the attempts at what the record `name` is about.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo) when the folder cannot be read.
    pub(crate) fn attempt_numbers(&self, name: &str) -> Result<Vec<u32>> {
        let files = self.file_names()?;
        let attempts = files.iter().filter_map(|file| attempt_of(file));
        let own = attempts.filter(|(of, _)| *of == name);
        Ok(own.map(|(_, number)| number).collect())
    }

    /// Writes a file of a record under a temporary name, durably.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo), [`Code::DiskFull`](crate::error::Code::DiskFull).
    pub(crate) fn stage(&self, file: &str, content: &[u8]) -> Result<StagedFile, CreateError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let folder = self.make_folders()?;
        let path = folder.join(file);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let temporary = folder.join(format!("{file}.{}.{number}.new", ProcessIdentity::own()));
            let created = create(&temporary).map_err(|errno| CreateError::new(&path, errno))?;
            let Some(mut created) = created else {
                continue; // a process of this name on another machine
            };
            let staged = StagedFile {
                temporary,
                path: path.clone(),
                is_published: false,
            };
            created
                .write_all(content)
                .and_then(|()| created.sync_data())
                .map_err(|error| Error::io("write", &staged.path, &error))?;
            return Ok(staged);
        }
    }

    /// Creates an empty file of a record exclusively. Returns whether this process created the file. The name
    /// is durable after the next [`Records::sync_files`].
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo), [`Code::DiskFull`](crate::error::Code::DiskFull).
    pub(crate) fn create_exclusively(&self, file: &str) -> Result<bool, CreateError> {
        self.warn_of_double_creation();
        let path = self.make_folders()?.join(file);
        let created = create(&path).map_err(|errno| CreateError::new(&path, errno))?;
        Ok(created.is_some())
    }

    /// Removes the record `name` durably, with all its files.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo).
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let mut files = self.file_names()?;
        let is_of = |file: &str| {
            file.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('.'))
        };
        files.retain(|file| is_of(file));
        // The first attempt is removed last: without it, a reader finds no later one. A kill in between leaves
        // attempts without marks, which permit less.
        files.sort_by_key(|file| attempt_of(file).map(|(_, number)| Reverse(number)));
        for file in files {
            self.remove_file(&file)?;
        }
        self.sync_files()
    }

    /// The names of all records, sorted.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo) when the folder cannot be read.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let mut names = self.file_names()?;
        names.retain_mut(|file| {
            let attempt = || attempt_of(file).map(|(name, _)| name);
            let name = file.strip_suffix(".json").or_else(attempt).map(str::len);
            name.map(|length| file.truncate(length)).is_some()
        });
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The names of all files in the folder.
    fn file_names(&self) -> Result<Vec<String>> {
        let Some(folder) = &self.folder else {
            return Ok(Vec::new());
        };
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("read", folder, &error)),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.collect())
    }

    /// Warns once in a process where creating a file exclusively may not protect from a second charge, or from a second use of a
    /// refresh token.
    fn warn_of_double_creation(&self) {
        static WARNED: AtomicBool = AtomicBool::new(false);
        let twice = if self.is_ledger() {
            "pay twice"
        } else {
            "use a refresh token twice"
        };
        if let Some(folder) = self.folder.as_deref()
            && FolderTraits::of(folder).is_ok_and(|traits| traits.may_create_twice())
            && !WARNED.swap(true, Ordering::Relaxed)
        {
            log::warn!(
                "{} is on a FUSE file system, which may let two machines create the same file: when several \
                 machines share this folder, docfetch may {twice}; set DOCFETCH_STATE_DIR to a folder on NFS",
                folder.display()
            );
        }
    }

    /// Removes a file of a record. No error when there is none.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo).
    pub(crate) fn remove_file(&self, file: &str) -> Result<()> {
        remove(&self.file_path(file)?).map(drop)
    }

    /// Makes the names of files durable.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo).
    pub(crate) fn sync_files(&self) -> Result<()> {
        self.sync(self.folder()?)
    }
}

/// The name of the file of the attempt `number` at what the record `name` is about.
pub(crate) fn attempt_file(name: &str, number: u32) -> String {
    format!("{name}{ATTEMPT}{number}")
}

/// The name of the record, and the number, that a file of an attempt has in its name.
fn attempt_of(file: &str) -> Option<(&str, u32)> {
    let (name, number) = file.rsplit_once(ATTEMPT)?;
    Some((name, number.parse().ok()?))
}

/// Creates a file with permissions 0600. `None` when there is one.
fn create(path: &Path) -> Result<Option<File>, Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => {
            let file = File::from(file);
            // Where this fails, docfetch does not trust the file when it reads the file.
            let _ =
                FolderTraits::of_file(path).and_then(|folder| folder.close_new_file(&file, path));
            Ok(Some(file))
        }
        Err(Errno::EXIST) => Ok(None),
        Err(errno) => Err(errno),
    }
}
