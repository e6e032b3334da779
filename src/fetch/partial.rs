//! The partial and its sidecar: what is safely on disk.
//!
//! A document's bytes gather in `.docfetch-<hash>.part` in the target's folder, 0600 and locked,
//! until they are whole. The sidecar beside it, `.docfetch-<hash>.json`, says which representation
//! they belong to (entity tag, total) and how many of them were synced to disk; it never holds a
//! URL. A later run goes on from there. Neither is followed through a link, nor taken when it is
//! not a plain file of this user.

use crate::error::{Code, Error, Result};
use crate::http::headers::is_strong;
use crate::state::files::{
    FileIdentity, fresh, names, open_folder, open_own, remove, rename_new, sync_folder, umask,
    write_whole,
};
use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a partial that another process holds is looked at.
const POLL: Duration = Duration::from_millis(100);
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

#[derive(Debug, Serialize, Deserialize)]
struct Sidecar {
    etag: String,
    total: Option<u64>,
    #[serde(default)]
    name: Name,
    synced: u64,
}

/// A document that is not whole yet. Held by one process at a time.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    /// Opened before the transfer: what cannot be synced must not be found out after it.
    folder: File,
    file: File,
    position: u64,
    entity: Entity,
    resumed_from: u64,
    published_by_other: Option<FileIdentity>,
}

impl Partial {
    /// Opens or creates the partial `name` in `folder` and locks it; waits up to `patience` for
    /// another process that holds it.
    ///
    /// # Errors
    /// [`Code::UnsafePartial`] when something else has its name, [`Code::Busy`],
    /// [`Code::LocalIo`], [`Code::DiskFull`].
    pub async fn open(folder: &Path, name: &str, patience: Duration) -> Result<Self> {
        let path = path(folder, name);
        let asked = Instant::now();
        let mut waiting = false;
        let mut held: Option<File> = None; // what another process held when it was looked at last
        let mut published = None;
        let file = loop {
            let file = open_own(&path, OFlags::CREATE | OFlags::RDWR)?;
            published = published.or_else(|| published_as(held.take(), &path));
            match file.try_lock() {
                Ok(()) if names(&path, &file) => break file,
                Ok(()) => held = Some(file), // published or discarded since it was opened
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path, &error)),
                Err(TryLockError::WouldBlock) if asked.elapsed() < patience => {
                    if !waiting {
                        log::warn!("another process is fetching this document; waiting for it");
                    }
                    waiting = true;
                    held = Some(file);
                    tokio::time::sleep(POLL).await;
                }
                Err(TryLockError::WouldBlock) => {
                    let what = "another process is fetching this document";
                    let why = format!("it holds {}", path.display());
                    return Err(Error::new(Code::Busy, what).why(why));
                }
            }
        };
        let published_by_other = published.or_else(|| published_as(held, &path));
        let folder = open_folder(folder)?;
        let mut partial = Self {
            path,
            folder,
            file,
            position: 0,
            entity: Entity::default(),
            resumed_from: 0,
            published_by_other,
        };
        if let Some(sidecar) = partial.read_sidecar()? {
            partial.position = sidecar.synced;
            partial.resumed_from = sidecar.synced;
            partial.entity = Entity {
                tag: Some(sidecar.etag),
                total: sidecar.total,
                name: sidecar.name,
            };
        }
        partial.cut()?;
        Ok(partial)
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
        self.entity = entity;
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
            rest = &rest[written..];
        }
        Ok(())
    }

    /// Throws the bytes away.
    pub fn restart(&mut self) -> Result<()> {
        remove(&self.sidecar())?;
        self.position = 0;
        self.resumed_from = 0;
        self.entity = Entity::default();
        self.cut()
    }

    /// Reads the first `length` bytes back, piece by piece.
    pub async fn read_back(&self, length: u64, mut each: impl FnMut(&[u8])) -> Result<()> {
        let mut buffer = vec![0; 128 << 10];
        let mut at = 0;
        while at < length {
            let want = buffer
                .len()
                .min(usize::try_from(length - at).unwrap_or(usize::MAX));
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
        let kept = self.cut().is_ok() && self.file.sync_data().is_ok();
        if self.position == 0 || !kept {
            return self.discard();
        }
        let mut sidecar = Sidecar {
            etag,
            total: self.entity.total,
            name: self.entity.name.clone(),
            synced: self.position,
        };
        let written = write_whole(&self.sidecar(), &sidecar);
        if !matches!(&written, Err(error) if error.code() == Code::DiskFull) {
            return written;
        }
        // The disk is full of the partial: give back a little of it for the sidecar.
        self.position = self.position.saturating_sub(SIDECAR_ROOM);
        self.cut()?;
        sidecar.synced = self.position;
        if self.position == 0 {
            return self.discard();
        }
        write_whole(&self.sidecar(), &sidecar)
    }

    /// Removes it.
    pub fn discard(self) -> Result<()> {
        remove(&self.sidecar())?;
        remove(&fresh(&self.sidecar()))?;
        remove(&self.path)
    }

    /// Makes it a file of the user's under its final name: synced, with the permissions that the
    /// umask gives, never over an existing file unless `overwrite`. When the target exists, the
    /// partial comes back.
    ///
    /// # Errors
    /// [`Code::LocalIo`] when anything of it fails: the partial of a failed fsync is gone, one that
    /// could not be renamed is kept; only a folder that cannot be synced leaves the file.
    pub fn publish(self, target: &Path, overwrite: bool) -> Result<Published> {
        if let Err(error) = self.file.sync_all() {
            let error = Error::io("sync", &self.path, &error);
            self.discard()?;
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
                return Ok(Published::Exists(self));
            }
            Err(error) => {
                self.set_mode(0o600)?;
                self.keep()?;
                return Err(Error::io("create", target, &error));
            }
        }
        sync_folder(&self.folder, target)?;
        remove(&self.sidecar())?;
        Ok(Published::Done)
    }

    fn set_mode(&self, mode: u32) -> Result<()> {
        rustix::fs::fchmod(&self.file, Mode::from_raw_mode(mode))
            .map_err(|errno| Error::io("set the permissions of", &self.path, &errno.into()))
    }

    fn sidecar(&self) -> PathBuf {
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
        let path = self.sidecar();
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
            sidecar.synced > 0
                && sidecar.synced <= length
                && sidecar.total.is_none_or(|total| sidecar.synced <= total)
                && is_strong(&sidecar.etag)
        }))
    }
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
    Exists(Partial),
}

/// A file that was a partial at `path` and has another name now.
fn published_as(held: Option<File>, path: &Path) -> Option<FileIdentity> {
    let held = held?;
    let metadata = held.metadata().ok()?;
    (metadata.nlink() > 0 && !names(path, &held)).then(|| FileIdentity::of(&metadata))
}
