//! The files of attempts in the state folder.

use super::table::RetrievalRecord;
use crate::error::Result;
use crate::state::Untrusted;
use crate::state::records::Records;
use crate::state::shared_files::{CreateError, StagedFile};
use std::path::PathBuf;

/// The files that attempts are made of.
pub(super) trait SharedFiles {
    /// A file that is on disk under a temporary name.
    type Staged;
    /// The path of a file, for messages.
    fn path(&self, file: &str) -> PathBuf;
    /// Reads the last whole line of the file of a record anew; `None` when there is no file.
    ///
    /// # Errors
    /// Why the file cannot be trusted.
    fn read_record(&self, file: &str) -> Result<Option<RetrievalRecord>, Untrusted>;
    /// Reads a file anew; `None` when there is none.
    ///
    /// # Errors
    /// Why the file cannot be trusted.
    fn read(&self, file: &str) -> Result<Option<Vec<u8>>, Untrusted>;
    /// Writes a file under a temporary name.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo), [`Code::DiskFull`](crate::error::Code::DiskFull).
    fn stage(&self, file: &str, content: &[u8]) -> Result<Self::Staged, CreateError>;
    /// Gives a file its name, in place of an older file.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo).
    fn publish(&self, staged: Self::Staged) -> Result<()>;
    /// Creates an empty file exclusively. Returns whether this process created the file.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo), [`Code::DiskFull`](crate::error::Code::DiskFull).
    fn create(&self, file: &str) -> Result<bool, CreateError>;
    /// Removes a file.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo).
    fn remove(&self, file: &str) -> Result<()>;
    /// Makes the names of all files durable.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo).
    fn sync(&self) -> Result<()>;
}

/// Whether the attempts at what the record `name` is about are numbered: where a lock may exclude no other
/// process, and after an attempt of such a place, as `record` tells, or the file of the first attempt.
pub(super) fn is_numbered(records: &Records, name: &str, record: Option<&RetrievalRecord>) -> bool {
    !records.has_true_locks()
        || record.is_some_and(|record| record.attempt > 0)
        || records.has_attempts(name)
}

impl SharedFiles for Records {
    type Staged = StagedFile;

    fn path(&self, file: &str) -> PathBuf {
        self.file_path(file).unwrap_or_default()
    }

    fn read_record(&self, file: &str) -> Result<Option<RetrievalRecord>, Untrusted> {
        self.read_last_line(file)
    }

    fn read(&self, file: &str) -> Result<Option<Vec<u8>>, Untrusted> {
        self.read_file(file)
    }

    fn stage(&self, file: &str, content: &[u8]) -> Result<StagedFile, CreateError> {
        Self::stage(self, file, content)
    }

    fn publish(&self, staged: StagedFile) -> Result<()> {
        staged.publish()
    }

    fn create(&self, file: &str) -> Result<bool, CreateError> {
        self.create_exclusively(file)
    }

    fn remove(&self, file: &str) -> Result<()> {
        self.remove_file(file)
    }

    fn sync(&self) -> Result<()> {
        self.sync_files()
    }
}
