//! The partial and its sidecar: what is safely on disk.
//!
//! A document's bytes gather in `.docfetch-<hash>.part` in the target's folder, 0600 and locked,
//! until they are whole. The sidecar beside it, `.docfetch-<hash>.json`, says which representation
//! they belong to (entity tag, total), how many of them were synced to disk, and how many more were
//! written since, with the CRC of those: so a process that is killed loses next to nothing, and after
//! a power failure only what is there as it was written is believed. It never holds a URL. A later
//! run goes on from there. Neither file is followed through a link, nor taken when it is not a plain
//! file of this user.

use crate::error::{Code, Error, Result};
use crate::http::headers::is_strong;
use crate::model::hexadecimal;
use crate::state::files::{
    FileIdentity, fresh, names, open_folder, open_own, remove, rename_new, sync_folder, umask,
    write_record,
};
use crate::state::lock::lock_own;
use crate::state::records::Lasting;
use crc_fast::CrcAlgorithm::Crc64Nvme;
use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How many bytes are written, and how long, before the sidecar is told of them.
const NOTE: (u64, Duration) = (64 << 10, Duration::from_millis(2));
/// How many bytes are written, and how long, before they are synced.
const SYNC: (u64, Duration) = (64 << 20, Duration::from_secs(10));
/// Bytes that a full disk gives back for the sidecar.
const SIDECAR_ROOM: u64 = 64 << 10;
/// A sidecar is never longer.
const SIDECAR: u64 = 4096;

/// Which representation the bytes belong to (RFC 9110 section 8.8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entity {
    /// The entity tag, as it came.
    pub tag: Option<String>,
    /// The length of the whole in bytes.
    pub total: Option<u64>,
    /// How the storage names it.
    pub name: Name,
}

/// Safe names that a storage's answer gives a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    /// By `Content-Disposition`.
    pub told: Option<String>,
    /// By the last segment of the URL's path.
    pub in_url: Option<String>,
}

/// The numbers come first: they are overwritten in place, within the first bytes of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Sidecar {
    /// So many bytes are on disk for good.
    synced: u64,
    /// So many were written.
    written: u64,
    /// CRC-64/NVME of those between, in hexadecimal.
    crc: String,
    etag: String,
    total: Option<u64>,
    name: Name,
}

/// Bytes that were written since the last sync.
struct Tail {
    /// Where they begin: what is before is on disk.
    synced: u64,
    /// Up to where the sidecar knows of them.
    noted: u64,
    noted_at: Instant,
    crc: Box<crc_fast::Digest>,
    since: Instant,
}

impl Tail {
    fn after(synced: u64) -> Self {
        Self {
            synced,
            noted: synced,
            noted_at: Instant::now(),
            crc: Box::new(crc_fast::Digest::new(Crc64Nvme)),
            since: Instant::now(),
        }
    }
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tail({}..{})", self.synced, self.noted)
    }
}

/// A document that is not whole yet. Held by one process at a time.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    /// Opened before the transfer: what cannot be synced must not be found out after it.
    folder: File,
    file: File,
    position: u64,
    tail: Tail,
    /// The sidecar, while it is of this entity.
    sidecar: Option<File>,
    /// Set when a sync failed: nobody knows what is on disk then.
    doubtful: bool,
    entity: Entity,
    resumed_from: u64,
    published_by_other: Option<FileIdentity>,
}

impl Partial {
    /// Opens or creates the partial `name` in `folder` and locks it; waits up to `patience` for
    /// another process that holds it. Unless it is to `resume`, whatever an earlier run left is thrown
    /// away, and whatever else has its name loses it.
    ///
    /// # Errors
    /// [`Code::UnsafePartial`] when something else has its name, [`Code::Busy`],
    /// [`Code::LocalIo`], [`Code::DiskFull`].
    pub async fn open(folder: &Path, name: &str, patience: Duration, resume: bool) -> Result<Self> {
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
        let file = lock_own(&path, patience, what, |lost| {
            published = published.or_else(|| published_as(held.replace(lost), &path));
        })
        .await?;
        let published_by_other = published.or_else(|| published_as(held, &path));
        let folder = open_folder(folder)?;
        let mut partial = Self {
            path,
            folder,
            file,
            position: 0,
            tail: Tail::after(0),
            sidecar: None,
            doubtful: false,
            entity: Entity::default(),
            resumed_from: 0,
            published_by_other,
        };
        if resume && let Some(sidecar) = partial.read_sidecar()? {
            partial.take_up(sidecar).await?;
        } else {
            partial.disown()?;
        }
        partial.set_mode(0o600)?; // a crash while it was published leaves it open to others
        partial.cut()?;
        Ok(partial)
    }

    /// Goes on where an earlier run stopped: behind what was written, if it is there as it was
    /// written, else behind what was synced.
    async fn take_up(&mut self, sidecar: Sidecar) -> Result<()> {
        let mut tail = Tail::after(sidecar.synced);
        let length = self.file.metadata().map_or(0, |metadata| metadata.len());
        self.position = sidecar.synced;
        if (sidecar.synced + 1..=length).contains(&sidecar.written) {
            self.read_back(sidecar.synced..sidecar.written, |bytes| {
                tail.crc.update(bytes);
            })
            .await?;
            if hexadecimal(&tail.crc.finalize().to_be_bytes()) == sidecar.crc {
                self.position = sidecar.written;
                tail.noted = sidecar.written;
            } else {
                log::info!(
                    "{} bytes of the partial are not as they were written",
                    sidecar.written - sidecar.synced
                );
                tail = Tail::after(sidecar.synced);
            }
        }
        self.tail = tail;
        if self.position > 0 {
            self.resumed_from = self.position;
            self.entity = Entity {
                tag: Some(sidecar.etag),
                total: sidecar.total,
                name: sidecar.name,
            };
        }
        Ok(())
    }

    /// Whether there is something under the partial's name or its sidecar's.
    pub fn is_there(folder: &Path, name: &str) -> bool {
        let path = path(folder, name);
        let sidecar = path.with_extension("json");
        let names = [fresh(&sidecar), sidecar, path];
        names
            .iter()
            .any(|path| std::fs::symlink_metadata(path).is_ok())
    }

    /// How many bytes it holds.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What the bytes belong to.
    pub fn entity(&self) -> &Entity {
        &self.entity
    }

    /// Whether it holds as many bytes as the storage announced.
    pub fn is_complete(&self) -> bool {
        self.position > 0 && self.entity.total == Some(self.position)
    }

    /// How many bytes an earlier run had left, and were kept.
    pub fn resumed_from(&self) -> u64 {
        self.resumed_from
    }

    /// The file that another process made of its partial of this document while this one waited.
    pub fn published_by_other(&self) -> Option<FileIdentity> {
        self.published_by_other
    }

    /// Notes what the bytes belong to, and takes the room for the rest, so that a full disk shows
    /// before the transfer and not after it.
    pub fn begin(&mut self, entity: Entity) -> Result<()> {
        if let Some(rest) = entity
            .total
            .and_then(|total| total.checked_sub(self.position))
            && rest > 0
        {
            let taken =
                rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.position, rest);
            // Any other failure means that the file system cannot take room ahead.
            if let Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) = taken {
                return Err(Error::io("write", &self.path, &errno.into()));
            }
        }
        if self.entity != entity {
            self.sidecar = None;
            self.entity = entity;
        }
        Ok(())
    }

    /// Appends. What fits before a failure counts.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = match self.file.write(rest) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                written => written,
            };
            let written = written.map_err(|error| Error::io("write", &self.path, &error))?;
            self.position += written as u64;
            self.tail.crc.update(&rest[..written]);
            rest = &rest[written..];
        }
        let (bytes, time) = NOTE;
        if self.position - self.tail.noted >= bytes && self.tail.noted_at.elapsed() >= time {
            self.note()?;
        }
        Ok(())
    }

    /// Tells the sidecar how far it is; syncs now and then. A sidecar that cannot be written costs
    /// only what a crash would lose.
    fn note(&mut self) -> Result<()> {
        let Some(etag) = self.entity.tag.clone().filter(|tag| is_strong(tag)) else {
            return Ok(()); // no later run can use it
        };
        let (bytes, time) = SYNC;
        let due = self.position - self.tail.synced >= bytes || self.tail.since.elapsed() >= time;
        if due {
            self.sync()?;
        }
        self.tail.noted = self.position;
        self.tail.noted_at = Instant::now();
        let sidecar = self.describe(etag);
        let noted = match &self.sidecar {
            Some(file) => serde_json::to_vec(&sidecar)
                .map_err(io::Error::from)
                .and_then(|text| file.write_all_at(&text, 0))
                .map_err(|error| Error::io("write", &self.sidecar_path(), &error)),
            None => write_record(&self.sidecar_path(), &sidecar, Lasting::Soon)
                .map(|file| self.sidecar = Some(file)),
        };
        let noted = noted.and_then(|()| match &self.sidecar {
            Some(file) if due => file
                .sync_data()
                .map_err(|error| Error::io("sync", &self.sidecar_path(), &error))
                .and_then(|()| sync_folder(&self.folder, &self.path)),
            _ => Ok(()),
        });
        if let Err(error) = noted {
            log::info!("{}", error.message());
        }
        Ok(())
    }

    fn describe(&self, etag: String) -> Sidecar {
        Sidecar {
            synced: self.tail.synced,
            written: self.position,
            crc: hexadecimal(&self.tail.crc.finalize().to_be_bytes()),
            etag,
            total: self.entity.total,
            name: self.entity.name.clone(),
        }
    }

    fn sync(&mut self) -> Result<()> {
        if let Err(error) = self.file.sync_data() {
            self.doubtful = true;
            return Err(Error::io("sync", &self.path, &error));
        }
        self.tail = Tail::after(self.position);
        Ok(())
    }

    /// Throws the bytes away.
    pub fn restart(&mut self) -> Result<()> {
        self.disown()?;
        self.position = 0;
        self.tail = Tail::after(0);
        self.resumed_from = 0;
        self.entity = Entity::default();
        self.cut()
    }

    /// Reads these bytes back, piece by piece.
    pub async fn read_back(&self, range: Range<u64>, mut each: impl FnMut(&[u8])) -> Result<()> {
        let mut buffer = vec![0; 128 << 10];
        let mut at = range.start;
        while at < range.end {
            let want = buffer
                .len()
                .min(usize::try_from(range.end - at).unwrap_or(usize::MAX));
            let read = self
                .file
                .read_at(&mut buffer[..want], at)
                .and_then(|read| {
                    if read == 0 {
                        Err(io::ErrorKind::UnexpectedEof.into())
                    } else {
                        Ok(read)
                    }
                })
                .map_err(|error| Error::io("read", &self.path, &error))?;
            each(&buffer[..read]);
            at += read as u64;
            tokio::task::yield_now().await; // an interrupt ends it
        }
        Ok(())
    }

    /// Leaves the bytes for a later run where that can use them, else removes them. What could not
    /// be synced is not trusted.
    pub fn keep(mut self) -> Result<()> {
        let Some(etag) = self.entity.tag.clone().filter(|tag| is_strong(tag)) else {
            return self.discard();
        };
        // What was taken ahead for the rest is given back: nobody knows when the next run comes.
        let kept = !self.doubtful && self.cut().is_ok() && self.sync().is_ok();
        if self.position == 0 || !kept {
            return self.discard();
        }
        if !names(&self.path, &self.file) {
            return Err(taken_away(&self.path));
        }
        let path = self.sidecar_path();
        let write = |sidecar: &Sidecar| write_record(&path, sidecar, Lasting::Durable).map(drop);
        let written = write(&self.describe(etag.clone()));
        if !matches!(&written, Err(error) if error.code() == Code::DiskFull) {
            return written;
        }
        // The disk is full of the partial: give back a little of it for the sidecar.
        self.position = self.position.saturating_sub(SIDECAR_ROOM);
        self.cut()?;
        if self.position == 0 {
            return self.discard();
        }
        self.tail = Tail::after(self.position);
        write(&self.describe(etag))
    }

    /// Removes it.
    pub fn discard(self) -> Result<()> {
        if !names(&self.path, &self.file) {
            return Ok(()); // what is there now is somebody else's
        }
        self.remove_sidecar()?;
        remove(&self.path)
    }

    /// Makes it a file of the user's under its final name: synced, with the permissions that the
    /// umask gives, never over an existing file unless `overwrite`. When the target exists, the
    /// partial comes back. `announce` is called when nothing but the name is missing.
    ///
    /// # Errors
    /// [`Code::LocalIo`] when anything of it fails: what could not be synced is gone, but for a file that
    /// took the place of another; a partial that could not be renamed is kept.
    pub fn publish(
        self,
        target: &Path,
        overwrite: bool,
        announce: impl FnOnce() -> Result<()>,
    ) -> Result<Published> {
        if let Err(error) = self.file.sync_all() {
            let error = Error::io("sync", &self.path, &error);
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
            std::fs::rename(&self.path, target)
        } else {
            rename_new(&self.path, target)
        };
        match moved {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.set_mode(0o600)?;
                return Ok(Published::Exists(Box::new(self)));
            }
            Err(error) => {
                self.set_mode(0o600)?;
                self.keep()?;
                return Err(Error::io("create", target, &error));
            }
        }
        let synced = sync_folder(&self.folder, target);
        self.sidecar_is_gone();
        match synced {
            Err(error) if overwrite => {
                Err(error.hint("the file is there; check the disk before you trust it"))
            }
            // Nobody knows whether the name lasts: then it is not published.
            Err(error) => {
                remove(target)?;
                Err(error)
            }
            Ok(()) => Ok(Published::Done),
        }
    }

    fn set_mode(&self, mode: u32) -> Result<()> {
        rustix::fs::fchmod(&self.file, Mode::from_raw_mode(mode))
            .map_err(|errno| Error::io("set the permissions of", &self.path, &errno.into()))
    }

    /// Removes the sidecar, and what a crash left of writing it; whether there was one.
    fn remove_sidecar(&self) -> Result<bool> {
        let path = self.sidecar_path();
        remove(&fresh(&path))?;
        let there = std::fs::symlink_metadata(&path).is_ok();
        remove(&path)?;
        Ok(there)
    }

    /// Removes the sidecar of what is no partial any more. One that stays is in nobody's way.
    fn sidecar_is_gone(&self) {
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

    /// Makes the file as long as `position` says.
    fn cut(&mut self) -> Result<()> {
        let position = self.position;
        self.file
            .set_len(position)
            .and_then(|()| self.file.seek(SeekFrom::Start(position)))
            .map(drop)
            .map_err(|error| Error::io("write", &self.path, &error))
    }

    /// What an earlier run left; none when there is nothing that can be trusted.
    fn read_sidecar(&self) -> Result<Option<Sidecar>> {
        let path = self.sidecar_path();
        if std::fs::symlink_metadata(&path).is_err() {
            return Ok(None);
        }
        let mut text = String::new();
        let read = open_own(&path, OFlags::RDONLY)?
            .take(SIDECAR)
            .read_to_string(&mut text);
        let sidecar = read
            .ok()
            .and_then(|_| serde_json::from_str::<Sidecar>(&text).ok());
        let length = self.file.metadata().map_or(0, |metadata| metadata.len());
        Ok(sidecar.filter(|sidecar| {
            sidecar.synced <= length
                && sidecar.synced <= sidecar.written
                && sidecar.total.is_none_or(|total| sidecar.written <= total)
                && is_strong(&sidecar.etag)
        }))
    }
}

fn taken_away(path: &Path) -> Error {
    Error::new(Code::LocalIo, format!("{} was taken away", path.display()))
        .why("something removed or replaced it while it was being written")
        .hint("run again, and leave .docfetch-… files alone")
}

fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!(".docfetch-{name}.part"))
}

/// What became of a partial that was to be published.
#[derive(Debug)]
pub enum Published {
    /// It is the target now.
    Done,
    /// The target exists; here it is back.
    Exists(Box<Partial>),
}

/// A file that was a partial at `path` and has another name now.
fn published_as(held: Option<File>, path: &Path) -> Option<FileIdentity> {
    let held = held?;
    let metadata = held.metadata().ok()?;
    (metadata.nlink() > 0 && !names(path, &held)).then(|| FileIdentity::of(&metadata))
}
