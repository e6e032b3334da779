//! When the sidecar of a partial is written, and what of it is on disk.

use crate::error::{Error, Result};
use crate::fetch::partial::sidecar::{Sidecar, SidecarFile};
use crate::state::files::{remove, temporary_path};
use crate::state::records::Durability;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The least number of bytes between two versions of the sidecar. A new version is due when 64 KiB were
/// written and 2 ms have passed since the last one.
const MIN_BYTES_BETWEEN: u64 = 64 << 10;
/// The least time between two versions.
const MIN_TIME_BETWEEN: Duration = Duration::from_millis(2);

/// The sidecar of one partial.
#[derive(Debug)]
pub(super) struct SidecarWriter {
    path: PathBuf,
    /// The sidecar that this process wrote, while it describes the partial.
    file: Option<SidecarFile>,
    /// Whether it is certain that neither a sidecar nor a temporary file of one exists.
    is_absent: bool,
    /// Bytes of the partial that were written since the last version.
    bytes_since: u64,
    written_at: Instant,
}

impl SidecarWriter {
    /// A sidecar at `path`, where an earlier run may have left one. The time until the first version
    /// counts from `now`.
    pub(super) fn new(path: PathBuf, now: Instant) -> Self {
        Self {
            path,
            file: None,
            is_absent: false,
            bytes_since: 0,
            written_at: now,
        }
    }

    /// Where the sidecar is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The sidecar's file, for a sync. `None` if this process has not written the sidecar.
    pub(super) fn file(&self) -> Option<Arc<File>> {
        self.file.as_ref().map(SidecarFile::file)
    }

    /// Counts bytes of the partial that were written. Returns the time, if a new version is due. Calls
    /// `now` only after enough bytes.
    pub(super) fn is_due(&mut self, bytes: u64, now: impl FnOnce() -> Instant) -> Option<Instant> {
        self.bytes_since += bytes;
        if self.bytes_since < MIN_BYTES_BETWEEN {
            return None;
        }
        let now = now();
        let since = now.saturating_duration_since(self.written_at);
        (since >= MIN_TIME_BETWEEN).then_some(now)
    }

    /// Writes the next version at the time `now`. A failure is only logged: without the version, a crash
    /// loses more bytes, and no more.
    pub(super) fn write(&mut self, sidecar: &Sidecar, now: Instant) {
        self.bytes_since = 0;
        self.written_at = now;
        let written = match &mut self.file {
            Some(file) => file
                .write(sidecar)
                .map_err(|error| Error::io("write", &self.path, &error)),
            None => self.create(sidecar),
        };
        if let Err(error) = written {
            log::info!("{}", error.message());
        }
    }

    /// Creates the sidecar as a new file, which replaces an earlier one.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo), [`Code::DiskFull`](crate::error::Code::DiskFull).
    pub(super) fn create(&mut self, sidecar: &Sidecar) -> Result<()> {
        self.is_absent = false;
        self.file = Some(SidecarFile::create(
            &self.path,
            sidecar,
            Durability::Buffered,
        )?);
        Ok(())
    }

    /// Creates the sidecar as a new file that is on disk before this returns.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo), [`Code::DiskFull`](crate::error::Code::DiskFull).
    pub(super) fn create_synced(&mut self, sidecar: &Sidecar) -> Result<()> {
        self.is_absent = false;
        SidecarFile::create(&self.path, sidecar, Durability::Synced).map(drop)
    }

    /// Lets the next version go to a new file: the partial belongs to another entity.
    pub(super) fn start_new_file(&mut self) {
        self.file = None;
    }

    /// Notes that a file with one of the sidecar's names is about to be created.
    pub(super) fn may_exist(&mut self) {
        self.is_absent = false;
    }

    /// Removes the sidecar, and a temporary file that a crash left of one. Returns whether there was a
    /// sidecar.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo).
    pub(super) fn remove(&mut self) -> Result<bool> {
        if self.is_absent {
            return Ok(false);
        }
        remove(&temporary_path(&self.path))?;
        let was_there = remove(&self.path)?;
        self.is_absent = true;
        Ok(was_there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_due_after_enough_bytes_and_enough_time() {
        let start = Instant::now();
        let mut writer = SidecarWriter::new("x.json".into(), start);
        let later = start + MIN_TIME_BETWEEN;
        let few = MIN_BYTES_BETWEEN - 1;
        assert_eq!(writer.is_due(few, || unreachable!("too few bytes")), None);
        assert_eq!(writer.is_due(1, || start), None, "too early");
        assert_eq!(writer.is_due(0, || later), Some(later));
    }

    #[test]
    fn a_sidecar_that_cannot_be_written_is_tried_again_after_as_many_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let start = Instant::now();
        let mut writer = SidecarWriter::new(folder.path().join("missing/x.json"), start);
        let sidecar = Sidecar {
            extents: Vec::new(),
            etag: "\"v1\"".to_owned(),
            total: None,
            name: crate::fetch::entity::StorageNames::default(),
            checksum: None,
            last_modified: None,
            refused: None,
        };
        let late = start + Duration::from_secs(1);
        assert!(writer.is_due(MIN_BYTES_BETWEEN, || late).is_some());
        writer.write(&sidecar, late);
        assert!(writer.file().is_none());
        assert_eq!(writer.is_due(MIN_BYTES_BETWEEN, || late), None);
        std::fs::create_dir(folder.path().join("missing")).unwrap();
        writer.write(&sidecar, late);
        assert!(writer.file().is_some() && writer.path().exists());
        assert!(writer.remove().unwrap());
        assert!(!writer.path().exists());
    }
}
