//! A partial that this process holds: its state, and how it is kept or removed after a failure.

use crate::error::{Code, Error, Result, system_text};
use crate::fetch::entity::Entity;
use crate::fetch::partial::background_sync::BackgroundSync;
use crate::fetch::partial::extents::Extents;
use crate::fetch::partial::intact::crc_of;
use crate::fetch::partial::moved::{FindPartials, moved_partials_of};
use crate::fetch::partial::names::PartialName;
use crate::fetch::partial::others::{Earlier, remove_left};
use crate::fetch::partial::own::OwnPartial;
use crate::fetch::partial::publication::Publication;
use crate::fetch::partial::sidecar::{RefusedDocument, Sidecar};
use crate::fetch::partial::sidecar_writer::SidecarWriter;
use crate::fetch::partial::unfinished::partials_of;
use crate::http::headers::is_strong;
use crate::state::files::{
    FileIdentity, is_in_memory, is_name_of, open_own, remove, sync_folder, temporary_path,
};
use crate::state::folder::{FolderTraits, folder_of};
use rustix::fs::OFlags;
use std::collections::VecDeque;
use std::fs::{File, FileTimes};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// How many bytes of the partial docfetch removes to make space for the sidecar on a full disk.
const SIDECAR_RESERVE_BYTES: u64 = 64 << 10;
/// The longest step between two modification times that a file system can store: that of FAT.
const MAX_TIME_STEP: Duration = Duration::from_secs(2);

/// The file of a document while bytes are missing, or until the document gets its name. One process at a
/// time holds a partial: the process that has locked the file, or created it for itself alone.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(super) path: PathBuf,
    /// The partial's folder. It is opened before the transfer, so that a folder that cannot be opened fails
    /// the document first.
    pub(super) folder: Arc<File>,
    pub(super) file: Arc<File>,
    pub(super) extents: Extents,
    pub(super) entity: Entity,
    pub(super) sidecar: SidecarWriter,
    pub(super) background_sync: BackgroundSync,
    /// Set when a sync failed: it is unknown which bytes are on disk.
    pub(super) is_doubtful: bool,
    pub(super) resumed_from: u64,
    /// Set when every byte arrived, and the checksum of the storage is not that of the bytes.
    pub(super) refused: Option<RefusedDocument>,
    /// What earlier runs left, until [`Partial::resume`] checks the bytes.
    pub(super) earlier: VecDeque<Earlier>,
    pub(super) publication: Option<Publication>,
    /// Set where each process has a partial of its own.
    pub(super) own: Option<Arc<OwnPartial>>,
    /// The files of the other partials of the document. They are open, so that their inode numbers stay theirs.
    pub(super) others: Vec<Arc<File>>,
}

impl Partial {
    /// The number of bytes before the first hole.
    pub(crate) fn position(&self) -> u64 {
        self.extents.prefix()
    }

    /// The number of bytes that the partial holds.
    pub(crate) fn held(&self) -> u64 {
        self.extents.held()
    }

    /// The first hole with bytes behind it.
    pub(crate) fn next_hole(&self) -> Option<Range<u64>> {
        let holes = self.extents.holes(self.extents.end());
        holes.into_iter().next()
    }

    /// Forgets the bytes behind the first hole: a body that cannot stop at the hole's end overwrites
    /// them.
    pub(crate) fn forget_behind_holes(&mut self) {
        self.extents.keep_prefix();
    }

    /// The ranges of a document of `total` bytes that the partial does not hold.
    pub(crate) fn holes(&self, total: u64) -> Vec<Range<u64>> {
        self.extents.holes(total)
    }

    /// The partial's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The partial's file, to read its bytes.
    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Whether the file is in a file system in memory.
    pub(crate) fn is_in_memory(&self) -> bool {
        is_in_memory(&self.file)
    }

    /// The identity of the partial's file, which a rename does not change. `None` if the system does not tell.
    pub(crate) fn identity(&self) -> Option<FileIdentity> {
        let metadata = self.file.metadata().ok()?;
        Some(FileIdentity::of(&metadata))
    }

    /// The entity that the bytes belong to.
    pub(crate) fn entity(&self) -> &Entity {
        &self.entity
    }

    /// Whether the partial holds as many bytes as the storage announced, and these were not refused.
    pub(crate) fn is_complete(&self) -> bool {
        let position = self.position();
        position > 0 && self.entity.total == Some(position) && self.refused.is_none()
    }

    /// The complete document that was refused because of the storage's checksum.
    pub(crate) fn refused(&self) -> Option<&RefusedDocument> {
        self.refused.as_ref()
    }

    /// Marks the bytes, which are complete, as refused. They are kept for a run whose user gives their
    /// SHA-256.
    pub(crate) fn refuse(&mut self, refused: RefusedDocument) {
        self.entity.total = Some(self.position());
        self.refused = Some(refused);
    }

    /// The number of bytes of an earlier run that this run keeps.
    pub(crate) fn resumed_from(&self) -> u64 {
        self.resumed_from
    }

    /// The file that another process made of its partial of this document: while this process waited for
    /// the lock, or before the other process was killed.
    pub(crate) fn publication(&self) -> Option<&Publication> {
        self.publication.as_ref()
    }

    /// The first bytes of the document: `max_bytes`, or as many as there are.
    ///
    /// # Errors
    /// [`Code::LocalIo`] when they cannot be read.
    pub(crate) fn first_bytes(&self, max_bytes: usize) -> Result<Vec<u8>> {
        let length = usize::try_from(self.position()).unwrap_or(usize::MAX);
        let mut bytes = vec![0; max_bytes.min(length)];
        let read = self.file.read_exact_at(&mut bytes, 0);
        read.map_err(|error| Error::io("read", &self.path, &error))?;
        Ok(bytes)
    }

    /// Discards the bytes, and keeps the partial.
    ///
    /// # Errors
    /// [`Code::LocalIo`] when a sync that was under way failed, or when the file cannot be emptied or its
    /// sidecar removed.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.finish_background_sync()?;
        self.remove_sidecar_durably()?;
        self.extents = Extents::default();
        self.resumed_from = 0;
        self.entity = Entity::default();
        self.refused = None;
        self.truncate_file()
    }

    /// Keeps the bytes for a later run, if a later run can resume them; else removes the partial. Bytes
    /// that could not be synced are not kept.
    ///
    /// # Errors
    /// [`Code::LocalIo`], [`Code::DiskFull`] when the sidecar cannot be written, or the partial cannot be
    /// removed.
    pub(crate) fn keep(self) -> Result<()> {
        let own = self.own.clone();
        self.keep_at_its_path()?;
        own.inspect(|own| own.make_findable());
        Ok(())
    }

    fn keep_at_its_path(mut self) -> Result<()> {
        if !self.earlier.is_empty() {
            return Ok(()); // nothing was changed
        }
        let etag = match (self.entity.tag.clone(), &self.refused) {
            (Some(tag), _) if is_strong(&tag) => tag,
            (tag, Some(_)) => tag.unwrap_or_default(),
            _ => return self.discard(),
        };
        // Truncating also frees the space that was reserved for the rest: the next run may never come.
        let is_on_disk = self.finish_background_sync().is_ok()
            && !self.is_doubtful
            && self.truncate_file().is_ok()
            && self.sync().is_ok();
        if self.held() == 0 || !is_on_disk {
            return self.discard();
        }
        if !self.has_its_name() {
            return Err(taken_away(&self.path));
        }
        let sidecar = self.describe(etag.clone());
        let written = self.sidecar.create_synced(&sidecar);
        if !matches!(&written, Err(error) if error.code() == Code::DiskFull) {
            return written;
        }
        // The partial fills the disk: its last bytes make space for the sidecar.
        let length = self.extents.end().saturating_sub(SIDECAR_RESERVE_BYTES);
        let file = &self.file;
        let truncated = self.extents.truncate(length, |range| crc_of(file, range));
        truncated.map_err(|error| Error::io("read", &self.path, &error))?;
        self.truncate_file()?;
        if self.held() == 0 {
            return self.discard();
        }
        let sidecar = self.describe(etag);
        self.sidecar.create_synced(&sidecar)
    }

    /// Removes the partial and its sidecar, unless another file has its name by now.
    ///
    /// # Errors
    /// [`Code::LocalIo`] when one of them cannot be removed.
    pub(crate) fn discard(mut self) -> Result<()> {
        if !self.has_its_name() {
            return Ok(());
        }
        self.sidecar.remove()?;
        remove(&self.path).map(drop)
    }

    /// As [`Partial::discard`], for a document that is at its target: removes the other partials of the document,
    /// too, as far as no process may still write them.
    ///
    /// # Errors
    /// As [`Partial::discard`].
    pub(crate) fn discard_all(self) -> Result<()> {
        self.remove_others();
        self.discard()
    }

    /// Removes the other partials of the document, as far as no process may still write them.
    pub(super) fn remove_others(&self) {
        let folder = folder_of(&self.path);
        let (find, now): (FindPartials, _) = match &self.own {
            Some(own) => (partials_of, own.now()),
            None => (moved_partials_of, SystemTime::now()),
        };
        if let Some(name) = self.path.file_name().and_then(PartialName::parse) {
            remove_left(find(folder, &name.document), now);
        }
    }

    /// Whether the partial's file still has its name.
    pub(super) fn has_its_name(&self) -> bool {
        match &self.own {
            Some(own) => own.has_its_name(),
            None => is_name_of(&self.path, &self.file),
        }
    }

    /// Renames a temporary file in the partial's folder, to prove that the folder lets files be renamed.
    ///
    /// # Errors
    /// [`Code::LocalIo`] when the folder does not, [`Code::DiskFull`].
    pub(crate) fn try_rename(&mut self) -> Result<()> {
        if let Some(etag) = self.entity.tag.clone().filter(|_| self.held() > 0) {
            let sidecar = self.describe(etag);
            return self.sidecar.create(&sidecar); // renames a temporary file
        }
        self.sidecar.remove()?; // it would describe bytes that there are not
        let (spare, path) = (self.spare_path(), self.sidecar.path());
        drop(open_own(&spare, OFlags::CREATE | OFlags::RDWR)?);
        // Not by a hard link: a kill would leave it.
        let renamed = std::fs::rename(&spare, path).and_then(|()| std::fs::remove_file(path));
        renamed.map_err(|error| {
            let _ = std::fs::remove_file(&spare);
            Error::io("rename or remove", &spare, &error)
                .with_hint("choose a folder that lets files be renamed")
        })
    }

    /// A path in the partial's folder that no other process uses while this process holds the partial.
    pub(crate) fn spare_path(&self) -> PathBuf {
        temporary_path(self.sidecar.path())
    }

    /// The sidecar of the partial as it is now, with the entity tag `etag`.
    pub(super) fn describe(&self, etag: String) -> Sidecar {
        Sidecar {
            extents: self.extents.notes(),
            etag,
            total: self.entity.total,
            name: self.entity.name.clone(),
            checksum: self.entity.checksum.clone(),
            last_modified: self.entity.last_modified,
            refused: self.refused.clone(),
        }
    }

    /// Sets the file's modification time to the time at which the document changed last at the storage, if
    /// the storage told that time. Warns once in a process of a file, shown as `target`, that keeps its time.
    pub(crate) fn set_remote_time(&self, target: &Path) {
        static WARNED: AtomicBool = AtomicBool::new(false);
        let why = match self.entity.file_time(SystemTime::now()) {
            None => "the storage sent no usable Last-Modified".to_owned(),
            Some(time) => match set_time(&self.file, time) {
                Ok(true) => return,
                Ok(false) => "the file system keeps a time of its own".to_owned(),
                Err(error) => {
                    let why = system_text(&error);
                    format!("the file system refuses to set the time: {why}")
                }
            },
        };
        let level = if WARNED.swap(true, Ordering::Relaxed) {
            log::Level::Info
        } else {
            log::Level::Warn
        };
        log::log!(
            level,
            "--remote-time has no effect on {}: {why}",
            target.display()
        );
    }

    /// Sets the permissions of the partial, if the file system permits that.
    ///
    /// # Errors
    /// [`Code::LocalIo`].
    pub(super) fn set_mode(&self, mode: u32) -> Result<()> {
        FolderTraits::of_file(&self.path)?.set_mode(&self.file, &self.path, mode)
    }

    /// Removes the sidecar, and syncs the folder: after a power failure the sidecar must not describe
    /// other bytes.
    ///
    /// # Errors
    /// [`Code::LocalIo`] or [`Code::DiskFull`].
    pub(super) fn remove_sidecar_durably(&mut self) -> Result<()> {
        self.sidecar.start_new_file();
        if self.sidecar.remove()? {
            sync_folder(&self.folder, &self.path)?;
        }
        Ok(())
    }

    /// Sets the file's length: the file ends behind the last byte of the extents.
    ///
    /// # Errors
    /// [`Code::LocalIo`] or [`Code::DiskFull`].
    pub(super) fn truncate_file(&self) -> Result<()> {
        self.file
            .set_len(self.extents.end())
            .map_err(|error| Error::io("write", &self.path, &error))
    }
}

/// Sets the modification time of a file. Returns whether the file has that time, as exactly as the file system stores
/// times.
fn set_time(file: &File, time: SystemTime) -> io::Result<bool> {
    // Some FUSE file systems (bindfs, exFAT) ignore a request that sets only one of the two times.
    let times = FileTimes::new()
        .set_accessed(SystemTime::now())
        .set_modified(time);
    file.set_times(times)?;
    let kept = file.metadata()?.modified()?;
    let difference = kept.duration_since(time);
    Ok(difference.unwrap_or_else(|earlier| earlier.duration()) <= MAX_TIME_STEP)
}

/// The error of a partial whose name another process removed, or gave to another file.
pub(super) fn taken_away(path: &Path) -> Error {
    Error::new(Code::LocalIo, format!("{} was taken away", path.display()))
        .with_cause("another process removed or replaced the file while docfetch wrote it")
        .with_hint("run again, and leave .docfetch-… files alone")
}
