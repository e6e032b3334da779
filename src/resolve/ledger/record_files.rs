//! The files of attempts in the state folder.

use super::attempts::SharedFiles;
use super::table::RetrievalRecord;
use crate::error::Result;
use crate::state::Untrusted;
use crate::state::records::Records;
use crate::state::shared_files::{CreateError, StagedFile};
use std::path::PathBuf;

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
