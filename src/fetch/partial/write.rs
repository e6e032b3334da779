//! Writing into a partial, with syncs and sidecars while bytes arrive.

use crate::active_time::excluded_from_stall;
use crate::error::{Error, Result, system_text};
use crate::fetch::entity::Entity;
use crate::fetch::partial::partial_file::Partial;
use crate::http::headers::{Checksum, is_strong};
use crate::state::files::is_unsyncable;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

impl Partial {
    /// Sets the entity that the next bytes belong to, and reserves disk space for the missing ones, so
    /// that a full disk is found out before the transfer.
    ///
    /// # Errors
    /// [`Code::DiskFull`](crate::error::Code::DiskFull) when the space is missing,
    /// [`Code::LocalIo`](crate::error::Code::LocalIo) when the file system allows no file of this length.
    pub(crate) fn begin(&mut self, entity: Entity) -> Result<()> {
        let position = self.position();
        if let Some(missing) = entity.total.and_then(|total| total.checked_sub(position))
            && missing > 0
        {
            self.reserve(position, missing)
                .map_err(|errno| Error::io("write", &self.path, &errno.into()))?;
        }
        let entity = match self.held() {
            0 => entity,
            _ => self.entity.updated(entity),
        };
        if self.entity != entity {
            self.sidecar.start_new_file();
            self.entity = entity;
        }
        Ok(())
    }

    /// Adds the checksum of the whole document that a later response announced, unless one is known.
    pub(crate) fn add_checksum(&mut self, checksum: Option<&(Checksum, Vec<u8>)>) {
        if self.entity.checksum.is_none() {
            self.entity.checksum = checksum.cloned();
        }
    }

    /// Reserves disk space for the `missing` bytes from `position` on, if the file system can.
    fn reserve(&self, position: u64, missing: u64) -> Result<(), Errno> {
        if !self.is_in_memory() {
            match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, position, missing) {
                Ok(()) => return Ok(()),
                Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => return Err(errno),
                Err(_) => {} // the file system cannot reserve space
            }
        }
        // In memory, a reservation takes as long as writing. So docfetch only checks what is free.
        match rustix::fs::fstatvfs(&self.file) {
            Ok(disk) if disk.f_blocks == 0 => Ok(()), // the file system does not know its size
            Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < missing => Err(Errno::NOSPC),
            _ => Ok(()),
        }
    }

    /// Writes `bytes` where the first hole begins.
    ///
    /// # Errors
    /// As [`Partial::write_at`].
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_at(self.position(), bytes)
    }

    /// Writes `bytes` at `offset`, where a hole is. Bytes that were written before a failure count.
    ///
    /// # Errors
    /// [`Code::DiskFull`](crate::error::Code::DiskFull), and
    /// [`Code::LocalIo`](crate::error::Code::LocalIo) when the write fails, or an earlier background sync.
    pub(crate) fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        excluded_from_stall(|| self.write_with_clock(offset, bytes, Instant::now))
    }

    /// As [`Partial::write_at`]. `now` tells whether a sync and a new version of the sidecar are due.
    ///
    /// # Errors
    /// As [`Partial::write_at`].
    pub(super) fn write_with_clock(
        &mut self,
        mut offset: u64,
        bytes: &[u8],
        now: impl FnOnce() -> Instant,
    ) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = match self.file.write_at(rest, offset) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                written => written,
            };
            let written = written.map_err(|error| Error::io("write", &self.path, &error))?;
            self.extents.add(offset, &rest[..written]);
            offset += written as u64;
            rest = &rest[written..];
        }
        if let Some(now) = self.sidecar.is_due(bytes.len() as u64, now) {
            self.sync_in_background(now)?;
            self.write_sidecar(now);
        }
        Ok(())
    }

    /// Writes a new version of the sidecar, if a later run can use it: if the entity tag is strong.
    fn write_sidecar(&mut self, now: Instant) {
        let Some(etag) = self.entity.tag.clone().filter(|tag| is_strong(tag)) else {
            return;
        };
        let sidecar = self.describe(etag);
        self.sidecar.write(&sidecar, now);
    }

    /// Takes the result of a background sync that has ended, and begins the next one, if it is due.
    fn sync_in_background(&mut self, now: Instant) -> Result<()> {
        if let Some(result) = self.background_sync.poll() {
            self.end_sync(result)?;
        }
        if self.background_sync.is_due(self.extents.unsynced(), now) {
            self.extents.begin_sync();
            self.background_sync.begin(self.sidecar.file(), now);
        }
        Ok(())
    }

    /// Waits for the background sync, if one is under way. The system reports an error of the disk to one
    /// sync only, so the result must not be lost.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo) or [`Code::DiskFull`](crate::error::Code::DiskFull)
    /// when the sync failed.
    pub(super) fn finish_background_sync(&mut self) -> Result<()> {
        match self.background_sync.wait() {
            Some(result) => self.end_sync(result),
            None => Ok(()),
        }
    }

    /// Syncs every byte.
    ///
    /// # Errors
    /// As [`Partial::finish_background_sync`].
    pub(super) fn sync(&mut self) -> Result<()> {
        self.finish_background_sync()?;
        self.extents.begin_sync();
        let result = self.file.sync_data();
        self.end_sync(result)
    }

    /// Takes the result of the sync that the extents know to be under way.
    fn end_sync(&mut self, result: io::Result<()>) -> Result<()> {
        match result {
            Err(error) if is_unsyncable(&error) => {
                warn_unsyncable(&self.path, &error);
                self.extents.end_sync();
                Ok(())
            }
            Ok(()) => {
                self.extents.end_sync();
                Ok(())
            }
            Err(error) => {
                self.is_doubtful = true;
                Err(Error::io("sync", &self.path, &error))
            }
        }
    }
}

/// Warns once in a process that the file system of the file at `path` cannot sync files.
pub(super) fn warn_unsyncable(path: &Path, error: &io::Error) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        log::warn!(
            "the file system of {} cannot sync files ({}): a power failure may damage new documents; \
             run `docfetch verify` after one",
            path.display(),
            system_text(error)
        );
    }
}
