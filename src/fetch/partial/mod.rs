//! The partial and its sidecar: what is safely on disk.
//!
//! A document's bytes gather in `.docfetch-<hash>.part` in the target's folder, 0600 and locked,
//! until they are whole. The sidecar beside it, `.docfetch-<hash>.json`, says which representation
//! they belong to (entity tag, total) and which of them are there ([`Extents`]): those that were
//! synced to disk, and those that were written since, with their CRC. So a process that is killed
//! loses next to nothing, and after a power failure only what is there as it was written is
//! believed. It never holds a URL. A later run goes on from there. Neither file is followed through
//! a link, nor taken when it is not a plain file of this user.
//!
//! What arrives is synced piece by piece in a thread beside the transfer, so that little is left for
//! the last sync, before the file gets its name.

mod extents;
mod intact;
mod publish;
mod sidecar;

pub(crate) use publish::remove_partial_link;
pub(crate) use sidecar::RefusedDocument;

use crate::active_time::excluded_from_stall;
use crate::error::{Code, Error, Result};
use crate::fetch::entity::Entity;
use crate::fetch::events::Watcher;
use crate::fetch::partial::extents::Extents;
use crate::fetch::partial::intact::{crc_of, intact};
use crate::fetch::partial::sidecar::{Sidecar, SidecarFile};
use crate::http::headers::{Checksum, is_strong};
use crate::state::blocking;
use crate::state::files::{
    FileIdentity, HAS_ANOTHER_NAME, Names, Renamed, fresh, is_in_memory, names, open_folder,
    open_own, refused, remove, rename_new, sync_folder, umask,
};
use crate::state::lock::lock_own;
use crate::state::records::Durability;
use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

/// How many bytes are written, and how long, before the sidecar is told of them.
const NOTE: (u64, Duration) = (64 << 10, Duration::from_millis(2));
/// How many bytes are written, and how long, before they are synced.
const SYNC: (u64, Duration) = (16 << 20, Duration::from_secs(10));
/// Bytes that a full disk gives back for the sidecar.
const SIDECAR_ROOM: u64 = 64 << 10;

/// A sync in a thread beside the transfer.
type Syncing = Receiver<io::Result<()>>;

/// A document that is not whole yet. Held by one process at a time.
#[derive(Debug)]
pub(crate) struct Partial {
    path: PathBuf,
    /// Opened before the transfer: what cannot be synced must not be found out after it.
    folder: Arc<File>,
    file: Arc<File>,
    extents: Extents,
    /// Bytes that were written since the sidecar was told, and when that was.
    unnoted: u64,
    noted_at: Instant,
    /// When the last sync was begun.
    synced_at: Instant,
    syncing: Option<Syncing>,
    sidecar: Option<SidecarFile>,
    /// Whether there is no sidecar for certain, nor anything of one.
    bare: bool,
    /// Set when a sync failed: nobody knows what is on disk then.
    doubtful: bool,
    entity: Entity,
    resumed_from: u64,
    /// Set when all bytes are here, and the storage's checksum is not theirs.
    refused: Option<RefusedDocument>,
    /// What an earlier run left, until it is taken up.
    left: Option<Box<Sidecar>>,
    published: Option<Publication>,
}

/// A file that another process made of its partial of this document.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    /// The file.
    pub file: FileIdentity,
    /// Its name in the partial's folder, where that process ended before it was done with it: this one
    /// has finished its publication.
    pub finished: Option<OsString>,
}

impl Publication {
    /// Whether this process finished it.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.is_some()
    }
}

impl Partial {
    /// Opens or creates the partial `name` in `folder` and locks it; waits up to `patience` for
    /// another process that holds it. Unless it is to `resume`, whatever an earlier run left is thrown
    /// away, and whatever else has its name loses it. What an earlier run left counts once it is taken up.
    ///
    /// # Errors
    /// [`Code::UnsafePartial`] when something else has its name, [`Code::Busy`],
    /// [`Code::LocalIo`], [`Code::DiskFull`].
    pub(crate) async fn open(
        folder: &Path,
        name: &str,
        patience: Duration,
        resume: bool,
    ) -> Result<Self> {
        let path = path(folder, name);
        if !resume
            && let Err(error) = open_own(&path, OFlags::RDWR)
            && error.code() == Code::UnsafePartial
        {
            remove(&path)?;
        }
        let what = "fetching this document";
        let mut held: Option<File> = None; // what another process held when it was looked at last
        let mut published = None;
        let folder = open_folder(folder)?;
        let (file, found) = loop {
            let places = (&[path.as_path()][..], Names::Two);
            let (file, _) = lock_own(places, patience, what, |lost| {
                let before = held.replace(lost);
                published = published.take().or_else(|| published_as(before, &path));
            })
            .await?;
            let found = file.metadata();
            let found = found.map_err(|error| Error::io("read", &path, &error))?;
            if found.nlink() < 2 {
                break (file, found);
            }
            let finished = publish::finish(&path, &found, &folder)?;
            published = Some(Publication {
                file: FileIdentity::of(&found),
                finished: Some(finished.ok_or_else(|| refused(&path, HAS_ANOTHER_NAME))?),
            });
        };
        let published = published.or_else(|| published_as(held, &path));
        let mut partial = Self {
            path,
            folder: Arc::new(folder),
            file: Arc::new(file),
            extents: Extents::default(),
            unnoted: 0,
            noted_at: Instant::now(),
            synced_at: Instant::now(),
            syncing: None,
            sidecar: None,
            bare: false,
            doubtful: false,
            entity: Entity::default(),
            resumed_from: 0,
            refused: None,
            left: None,
            published,
        };
        if resume {
            partial.left = Sidecar::read(&partial.sidecar_path())?.map(Box::new);
        }
        if partial.left.is_none() {
            partial.disown()?;
            if found.len() > 0 {
                partial.cut()?;
            }
        }
        if found.mode() & 0o777 != 0o600 {
            partial.set_mode(0o600)?; // a crash while it was published leaves it open to others
        }
        Ok(partial)
    }

    /// Goes on where an earlier run stopped: with what is there as it was written. All of that is read once;
    /// `watcher` sees how far it is.
    ///
    /// # Errors
    /// [`Code::LocalIo`] when it cannot be read.
    pub(crate) async fn resume(&mut self, watcher: &mut dyn Watcher) -> Result<()> {
        let Some(sidecar) = self.left.take() else {
            return Ok(());
        };
        let file = Arc::clone(&self.file);
        let checked = intact(file, sidecar.extents, watcher).await;
        self.extents = checked.map_err(|error| Error::io("read", &self.path, &error))?;
        if sidecar.refused.is_some() && sidecar.total != Some(self.position()) {
            return self.restart(); // what is left of it can be neither published nor resumed
        }
        self.resumed_from = self.held();
        if self.resumed_from > 0 {
            self.entity = Entity {
                tag: Some(sidecar.etag).filter(|tag| !tag.is_empty()),
                total: sidecar.total,
                name: sidecar.name,
                checksum: sidecar.checksum,
            };
            self.refused = sidecar.refused;
        }
        self.cut()
    }

    /// Whether there is something under the partial's name or its sidecar's.
    pub(crate) fn exists(folder: &Path, name: &str) -> bool {
        let path = path(folder, name);
        let sidecar = path.with_extension("json");
        let names = [fresh(&sidecar), sidecar, path];
        names
            .iter()
            .any(|path| std::fs::symlink_metadata(path).is_ok())
    }

    /// How many bytes it holds from the document's first one on without a gap.
    pub(crate) fn position(&self) -> u64 {
        self.extents.prefix()
    }

    /// How many bytes it holds.
    pub(crate) fn held(&self) -> u64 {
        self.extents.held()
    }

    /// The first hole, when something is behind it.
    pub(crate) fn next_hole(&self) -> Option<Range<u64>> {
        let holes = self.extents.holes(self.extents.end());
        holes.into_iter().next()
    }

    /// Forgets what is behind a hole: a body that cannot stop there writes over it.
    pub(crate) fn forget_behind_holes(&mut self) {
        self.extents.keep_prefix();
    }

    /// What is missing of a document of `total` bytes.
    pub(crate) fn holes(&self, total: u64) -> Vec<Range<u64>> {
        self.extents.holes(total)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes, for whoever reads them back.
    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Whether it is on no disk.
    pub(crate) fn is_in_memory(&self) -> bool {
        is_in_memory(&self.file)
    }

    /// What the bytes belong to.
    pub(crate) fn entity(&self) -> &Entity {
        &self.entity
    }

    /// Whether it holds as many bytes as the storage announced, and they were not refused.
    pub(crate) fn is_complete(&self) -> bool {
        let position = self.position();
        position > 0 && self.entity.total == Some(position) && self.refused.is_none()
    }

    /// Complete bytes whose checksum by the storage is another one.
    pub(crate) fn refused(&self) -> Option<&RefusedDocument> {
        self.refused.as_ref()
    }

    /// Keeps complete bytes for a run whose user gives their SHA-256.
    pub(crate) fn refuse(&mut self, refused: RefusedDocument) {
        self.entity.total = Some(self.position());
        self.refused = Some(refused);
    }

    /// How many bytes an earlier run had left, and were kept.
    pub(crate) fn resumed_from(&self) -> u64 {
        self.resumed_from
    }

    /// The file that another process made of its partial of this document: while this one waited, or
    /// right before it ended.
    pub(crate) fn published(&self) -> Option<&Publication> {
        self.published.as_ref()
    }

    /// Notes what the bytes belong to, and takes the room for the rest, so that a full disk shows
    /// before the transfer and not after it.
    pub(crate) fn begin(&mut self, entity: Entity) -> Result<()> {
        let position = self.position();
        if let Some(rest) = entity.total.and_then(|total| total.checked_sub(position))
            && rest > 0
        {
            self.take_room(position, rest)
                .map_err(|errno| Error::io("write", &self.path, &errno.into()))?;
        }
        let entity = match self.held() {
            0 => entity,
            _ => self.entity.updated(entity),
        };
        if self.entity != entity {
            self.sidecar = None;
            self.entity = entity;
        }
        Ok(())
    }

    /// Notes a checksum of the whole that came later, unless there is one.
    pub(crate) fn add_checksum(&mut self, checksum: Option<&(Checksum, Vec<u8>)>) {
        if self.entity.checksum.is_none() {
            self.entity.checksum = checksum.cloned();
        }
    }

    fn take_room(&self, position: u64, rest: u64) -> Result<(), Errno> {
        if self.is_in_memory() {
            // There it would cost as much as writing: looked at is enough.
            let disk = rustix::fs::fstatvfs(&self.file)?;
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            return if free < rest {
                Err(Errno::NOSPC)
            } else {
                Ok(())
            };
        }
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, position, rest) {
            Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => Err(errno),
            // Any other failure means that the file system cannot take room ahead.
            _ => Ok(()),
        }
    }

    /// Appends to the bytes without a gap.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_at(self.position(), bytes)
    }

    /// Writes bytes to where a hole is. What fits before a failure counts.
    pub(crate) fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        excluded_from_stall(|| self.put(offset, bytes))
    }

    fn put(&mut self, mut offset: u64, bytes: &[u8]) -> Result<()> {
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
        self.unnoted += bytes.len() as u64;
        let (bytes, time) = NOTE;
        if self.unnoted >= bytes && self.noted_at.elapsed() >= time {
            self.sync_beside()?;
            self.note();
        }
        Ok(())
    }

    /// Tells the sidecar how far it is. A sidecar that cannot be written costs only what a crash would
    /// lose.
    fn note(&mut self) {
        let Some(etag) = self.entity.tag.clone().filter(|tag| is_strong(tag)) else {
            return; // no later run can use it
        };
        self.unnoted = 0;
        self.noted_at = Instant::now();
        let sidecar = self.describe(etag);
        let path = self.sidecar_path();
        let noted = if let Some(file) = &mut self.sidecar {
            file.write(&sidecar)
                .map_err(|error| Error::io("write", &path, &error))
        } else {
            self.bare = false;
            SidecarFile::create(&path, &sidecar, Durability::Buffered)
                .map(|file| self.sidecar = Some(file))
        };
        if let Err(error) = noted {
            log::info!("{}", error.message());
        }
    }

    fn describe(&self, etag: String) -> Sidecar {
        Sidecar {
            extents: self.extents.note(),
            etag,
            total: self.entity.total,
            name: self.entity.name.clone(),
            checksum: self.entity.checksum.clone(),
            refused: self.refused.clone(),
        }
    }

    /// Has what was written synced in a thread, one sync after another.
    fn sync_beside(&mut self) -> Result<()> {
        self.take_sync(Receiver::try_recv)?;
        let (bytes, time) = SYNC;
        let unsynced = self.extents.unsynced();
        let due = unsynced >= bytes || (unsynced > 0 && self.synced_at.elapsed() >= time);
        if self.syncing.is_some() || !due {
            return Ok(());
        }
        self.extents.syncing();
        self.synced_at = Instant::now();
        let (sender, ended) = sync_channel(1);
        let (file, folder) = (Arc::clone(&self.file), Arc::clone(&self.folder));
        let sidecar = self.sidecar.as_ref().map(SidecarFile::file);
        blocking::begin(move || {
            let synced = file.sync_data();
            // The sidecar knows of the sync before; that it lasts is worth no failure.
            if let Some(sidecar) = sidecar {
                let _ = sidecar.sync_data().and_then(|()| folder.sync_all());
            }
            // Told last: from then on nobody but the transfer syncs, and hears of a failure.
            let _ = sender.send(synced);
        });
        self.syncing = Some(ended);
        Ok(())
    }

    /// Takes in the end of the sync beside, if there is one that `end` finds.
    fn take_sync(
        &mut self,
        end: impl FnOnce(&Syncing) -> Result<io::Result<()>, TryRecvError>,
    ) -> Result<()> {
        let ended = match self.syncing.as_ref().map(end) {
            None | Some(Err(TryRecvError::Empty)) => return Ok(()),
            Some(Ok(ended)) => ended,
            Some(Err(TryRecvError::Disconnected)) => Err(io::Error::other("it did not run")),
        };
        self.syncing = None;
        self.is_synced(ended)
    }

    /// After a sync of everything that the extents know to be syncing.
    fn is_synced(&mut self, ended: io::Result<()>) -> Result<()> {
        match ended {
            Ok(()) => {
                self.extents.synced();
                Ok(())
            }
            Err(error) => {
                self.doubtful = true;
                Err(Error::io("sync", &self.path, &error))
            }
        }
    }

    /// Waits for the sync beside: the system tells a failure once, to whoever asks first.
    fn settle(&mut self) -> Result<()> {
        self.take_sync(|ended| ended.recv().map_err(|_| TryRecvError::Disconnected))
    }

    fn sync(&mut self) -> Result<()> {
        self.settle()?;
        self.extents.syncing();
        let ended = self.file.sync_data();
        self.is_synced(ended)
    }

    /// Throws the bytes away.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.settle()?;
        self.disown()?;
        self.extents = Extents::default();
        self.resumed_from = 0;
        self.entity = Entity::default();
        self.refused = None;
        self.cut()
    }

    /// Its first bytes, as many as are there of so many.
    pub(crate) fn first_bytes(&self, most: usize) -> Result<Vec<u8>> {
        let length = usize::try_from(self.position()).unwrap_or(usize::MAX);
        let mut bytes = vec![0; most.min(length)];
        let read = self.file.read_exact_at(&mut bytes, 0);
        read.map_err(|error| Error::io("read", &self.path, &error))?;
        Ok(bytes)
    }

    /// Leaves the bytes for a later run where that can use them, else removes them. What could not
    /// be synced is not trusted.
    pub(crate) fn keep(mut self) -> Result<()> {
        if self.left.is_some() {
            return Ok(()); // it was not taken up
        }
        let etag = match (self.entity.tag.clone(), &self.refused) {
            (Some(tag), _) if is_strong(&tag) => tag,
            (tag, Some(_)) => tag.unwrap_or_default(),
            _ => return self.discard(),
        };
        // What was taken ahead for the rest is given back: nobody knows when the next run comes.
        let kept =
            self.settle().is_ok() && !self.doubtful && self.cut().is_ok() && self.sync().is_ok();
        if self.held() == 0 || !kept {
            return self.discard();
        }
        if !names(&self.path, &self.file) {
            return Err(taken_away(&self.path));
        }
        self.bare = false;
        let path = self.sidecar_path();
        let write =
            |sidecar: &Sidecar| SidecarFile::create(&path, sidecar, Durability::Synced).map(drop);
        let written = write(&self.describe(etag.clone()));
        if !matches!(&written, Err(error) if error.code() == Code::DiskFull) {
            return written;
        }
        // The disk is full of the partial: give back a little of it for the sidecar.
        let (length, file) = (self.extents.end().saturating_sub(SIDECAR_ROOM), &self.file);
        let cut = self.extents.cut(length, |range| crc_of(file, range));
        cut.map_err(|error| Error::io("read", &self.path, &error))?;
        self.cut()?;
        if self.held() == 0 {
            return self.discard();
        }
        write(&self.describe(etag))
    }

    /// Removes it.
    pub(crate) fn discard(mut self) -> Result<()> {
        if !names(&self.path, &self.file) {
            return Ok(()); // what is there now is somebody else's
        }
        self.remove_sidecar()?;
        remove(&self.path).map(drop)
    }

    /// Makes it a file of the user's under its final name: synced, with the permissions that the
    /// umask gives, never over an existing file unless `overwrite`. When the target exists, the
    /// partial comes back. `announce` is called when nothing but the name is missing.
    ///
    /// # Errors
    /// [`Code::LocalIo`] when anything of it fails: what could not be synced is gone, but for a file that
    /// took the place of another; a partial that could not be renamed is kept.
    pub(crate) fn publish(
        mut self,
        target: &Path,
        overwrite: bool,
        announce: impl FnOnce() -> Result<()>,
    ) -> Result<PublishEnd> {
        let synced = self.settle().and_then(|()| {
            let synced = self.file.sync_all();
            synced.map_err(|error| Error::io("sync", &self.path, &error))
        });
        if let Err(error) = synced {
            self.discard()?;
            return Err(error);
        }
        if !names(&self.path, &self.file) {
            return Err(taken_away(&self.path));
        }
        if let Err(error) = announce() {
            self.keep()?;
            return Err(error);
        }
        self.set_mode(0o666 & !umask())?;
        let moved = if overwrite {
            std::fs::rename(&self.path, target).map(|()| Renamed::Moved)
        } else {
            let path = self.path.clone();
            rename_new(&path, target, || self.note_target(target))
        };
        let mut is_left = false;
        match moved {
            Ok(Renamed::Moved) => {}
            Ok(Renamed::Both(error)) => {
                is_left = true;
                log::warn!("{} stays: {error}", self.path.display());
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.set_mode(0o600)?;
                return Ok(PublishEnd::TargetExists(Box::new(self)));
            }
            Err(error) => {
                self.set_mode(0o600)?;
                self.keep()?;
                return Err(Error::io("create", target, &error));
            }
        }
        let synced = sync_folder(&self.folder, target);
        if !is_left {
            self.sidecar_is_gone();
        }
        match synced {
            Err(error) if overwrite => {
                Err(error.with_hint("the file is there; check the disk before you trust it"))
            }
            // Nobody knows whether the name lasts: then it is not published.
            Err(error) => {
                remove(target)?;
                Err(error)
            }
            Ok(()) => Ok(PublishEnd::Published),
        }
    }

    /// Which file it is, whatever name it gets; none where the system does not tell.
    pub(crate) fn identity(&self) -> Option<FileIdentity> {
        let metadata = self.file.metadata().ok()?;
        Some(FileIdentity::of(&metadata))
    }

    /// Notes that the file is about to have two names. Without the note only a kill in between is not
    /// mended.
    fn note_target(&mut self, target: &Path) {
        self.bare = false;
        if let Err(error) = publish::note(&self.path, target) {
            log::info!("{}", error.message());
        }
    }

    fn set_mode(&self, mode: u32) -> Result<()> {
        rustix::fs::fchmod(&self.file, Mode::from_raw_mode(mode))
            .map_err(|errno| Error::io("set the permissions of", &self.path, &errno.into()))
    }

    /// Renames a file of its own in its folder, as publishing will do.
    pub(crate) fn try_rename(&mut self) -> Result<()> {
        let path = self.sidecar_path();
        if let Some(etag) = self.entity.tag.clone().filter(|_| self.held() > 0) {
            let sidecar = self.describe(etag);
            self.sidecar = Some(SidecarFile::create(&path, &sidecar, Durability::Buffered)?);
            return Ok(());
        }
        self.remove_sidecar()?; // of bytes that are not there
        let spare = self.spare_path();
        drop(open_own(&spare, OFlags::CREATE | OFlags::RDWR)?);
        // Not by a second name, which a kill would leave.
        let renamed = std::fs::rename(&spare, &path).and_then(|()| std::fs::remove_file(&path));
        renamed.map_err(|error| {
            let _ = std::fs::remove_file(&spare);
            Error::io("rename or remove", &spare, &error)
                .with_hint("choose a folder that lets files be renamed")
        })
    }

    /// A name in its folder that is its own, and free for a moment.
    pub(crate) fn spare_path(&self) -> PathBuf {
        fresh(&self.sidecar_path())
    }

    /// Removes the sidecar, and what a crash left of writing it; whether there was one.
    fn remove_sidecar(&mut self) -> Result<bool> {
        if self.bare {
            return Ok(false);
        }
        let path = self.sidecar_path();
        remove(&fresh(&path))?;
        let there = remove(&path)?;
        self.bare = true;
        Ok(there)
    }

    /// Removes the sidecar of what is no partial any more. One that stays is in nobody's way.
    fn sidecar_is_gone(&mut self) {
        if let Err(error) = self.remove_sidecar() {
            log::warn!("a stale sidecar stays: {}", error.message());
        }
    }

    /// Removes the sidecar for good: it must not come back over other bytes after a power failure.
    fn disown(&mut self) -> Result<()> {
        self.sidecar = None;
        if self.remove_sidecar()? {
            sync_folder(&self.folder, &self.path)?;
        }
        Ok(())
    }

    fn sidecar_path(&self) -> PathBuf {
        self.path.with_extension("json")
    }

    /// Makes the file end with the last byte that it holds.
    fn cut(&mut self) -> Result<()> {
        self.file
            .set_len(self.extents.end())
            .map_err(|error| Error::io("write", &self.path, &error))
    }
}

fn taken_away(path: &Path) -> Error {
    Error::new(Code::LocalIo, format!("{} was taken away", path.display()))
        .with_cause("something removed or replaced it while it was being written")
        .with_hint("run again, and leave .docfetch-… files alone")
}

fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!(".docfetch-{name}.part"))
}

/// What became of a partial that was to be published.
#[derive(Debug)]
pub(crate) enum PublishEnd {
    /// It is the target now.
    Published,
    /// The target exists; here it is back.
    TargetExists(Box<Partial>),
}

/// A file that was a partial at `path` and has another name now.
fn published_as(held: Option<File>, path: &Path) -> Option<Publication> {
    let held = held?;
    let metadata = held.metadata().ok()?;
    (metadata.nlink() > 0 && !names(path, &held)).then(|| Publication {
        file: FileIdentity::of(&metadata),
        finished: None,
    })
}
