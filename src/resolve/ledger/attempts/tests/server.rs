//! A file system that several machines share, as each process sees it.

use crate::error::Result;
use crate::resolve::ledger::record_files::SharedFiles;
use crate::resolve::ledger::table::RetrievalRecord;
use crate::state::Untrusted;
use crate::state::shared_files::CreateError;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

/// How late a process sees at most what another process wrote.
pub(super) const MAX_LATENESS: u64 = 60;

/// A file as it was at some time: who wrote it, when, and what; no content when it was removed.
#[derive(Debug)]
struct Version {
    writer: usize,
    time: u64,
    content: Option<Vec<u8>>,
}

/// A file system that several machines share. Only creating a file exclusively is the same for all.
#[derive(Debug, Default)]
pub(super) struct Server {
    pub now: Cell<u64>,
    files: RefCell<BTreeMap<String, Vec<Version>>>,
}

/// What one process sees of it. Each read shows any version that is not too old, again an older one than
/// before, too.
#[derive(Debug)]
pub(super) struct Client {
    pub server: Rc<Server>,
    pub process: usize,
    /// Decides which version the next reads show.
    pub choice: Cell<usize>,
}

impl Client {
    fn seen(&self, file: &str) -> Option<Vec<u8>> {
        let files = self.server.files.borrow();
        let versions = files.get(file)?;
        let fresh = self.server.now.get().saturating_sub(MAX_LATENESS);
        let is_visible =
            |version: &Version| version.writer == self.process || version.time <= fresh;
        let oldest = versions.iter().rposition(is_visible);
        // Before its first visible version, a file does not exist.
        let candidates = versions.len() - oldest.unwrap_or(0) + usize::from(oldest.is_none());
        self.choice
            .set(self.choice.get().wrapping_mul(31).wrapping_add(7));
        let chosen = versions
            .len()
            .checked_sub(1 + self.choice.get() % candidates)?;
        versions[chosen].content.clone()
    }

    pub(super) fn write(&self, file: &str, content: Option<Vec<u8>>) {
        let mut files = self.server.files.borrow_mut();
        files.entry(file.to_owned()).or_default().push(Version {
            writer: self.process,
            time: self.server.now.get(),
            content,
        });
    }
}

impl SharedFiles for Client {
    type Staged = (String, Vec<u8>);

    fn path(&self, file: &str) -> PathBuf {
        file.into()
    }

    fn read_record(&self, file: &str) -> Result<Option<RetrievalRecord>, Untrusted> {
        Ok(self
            .seen(file)
            .map(|line| serde_json::from_slice(&line).unwrap()))
    }

    fn read(&self, file: &str) -> Result<Option<Vec<u8>>, Untrusted> {
        Ok(self.seen(file))
    }

    fn stage(&self, file: &str, content: &[u8]) -> Result<Self::Staged, CreateError> {
        Ok((file.to_owned(), content.to_owned()))
    }

    fn publish(&self, (file, content): Self::Staged) -> Result<()> {
        self.write(&file, Some(content));
        Ok(())
    }

    fn create(&self, file: &str) -> Result<bool, CreateError> {
        let exists = {
            let files = self.server.files.borrow();
            let last = files.get(file).and_then(|versions| versions.last());
            last.is_some_and(|version| version.content.is_some())
        };
        if !exists {
            self.write(file, Some(Vec::new()));
        }
        Ok(!exists)
    }

    fn remove(&self, file: &str) -> Result<()> {
        self.write(file, None);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}
