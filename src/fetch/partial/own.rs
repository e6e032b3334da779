//! A partial that only this process writes, in a folder where a lock may exclude no other process.
//!
//! The file is created exclusively under a name that holds the process and a number. No other process writes
//! into the file. A later run copies its bytes, or renames the file when its process has certainly ended.

use crate::current_document::warn_of_document;
use crate::error::{Error, Result, system_text};
use crate::fetch::partial::names::PartialName;
use crate::fetch::partial::others::{Earlier, OtherPartial};
use crate::fetch::partial::same_file::is_same_file;
use crate::fetch::partial::sidecar::{Sidecar, SidecarFile};
use crate::fetch::partial::unfinished::is_unreadable;
use crate::fetch::partial::written::{begin_writing, end_writing};
use crate::state::files::{remove, temporary_path};
use crate::state::folder::folder_of;
use crate::state::lock::{is_unsupported, note_refused_lock};
use crate::state::process::ProcessIdentity;
use crate::state::records::Durability;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// The number of the next partial of this process.
static NEXT_NUMBER: AtomicU32 = AtomicU32::new(0);
/// How often docfetch tries to lock a partial that it has just created, while other processes test the lock.
const MAX_LOCK_ATTEMPTS: u32 = 100;
/// The pause between two of these attempts.
const LOCK_INTERVAL: Duration = Duration::from_millis(1);

/// The file of a partial that only this process writes. When it is dropped, a file without a sidecar is
/// removed, because no later run can use it.
#[derive(Debug)]
pub(super) struct OwnPartial {
    pub path: PathBuf,
    pub file: Arc<File>,
    /// When the file was created, by the clock of the file system.
    created: SystemTime,
    created_at: Instant,
}

impl OwnPartial {
    /// Creates a partial of `document` in `folder`, and locks it where the file system has locks.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo), [`Code::DiskFull`](crate::error::Code::DiskFull).
    pub(super) async fn create(folder: &Path, document: &str) -> Result<Self> {
        let (path, file) = create_file(folder, document)?;
        begin_writing(&path);
        let created = file.metadata().and_then(|metadata| metadata.modified());
        let own = Self {
            path,
            file: Arc::new(file),
            created: created.unwrap_or_else(|_| SystemTime::now()),
            created_at: Instant::now(),
        };
        for _ in 0..MAX_LOCK_ATTEMPTS {
            match own.file.try_lock() {
                Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_INTERVAL).await,
                Err(TryLockError::Error(error)) if is_unsupported(&error) => {
                    note_refused_lock(&own.path);
                    break;
                }
                _ => break,
            }
        }
        Ok(own)
    }

    /// Gives a partial that is kept for a later run a name that the later run can compute, in a folder that this user
    /// may not read. Warns where docfetch cannot: no later run finds the partial then.
    pub(super) fn make_findable(&self) {
        let is_kept = std::fs::symlink_metadata(self.path.with_extension("json")).is_ok();
        if is_kept
            && is_unreadable(folder_of(&self.path))
            && let Err(error) = self.take_findable_name()
        {
            warn_of_document!(
                "no later run can find {}: {}",
                self.path.display(),
                system_text(&error)
            );
        }
    }

    /// Gives the partial and its sidecar the first findable name that no other partial has. Of two processes that try
    /// this, one creates the sidecar of the name, and the other takes the next name.
    ///
    /// # Errors
    /// The error of the system; `AlreadyExists` when other partials have all findable names. The partial and its
    /// sidecar keep their names then.
    pub(super) fn take_findable_name(&self) -> io::Result<()> {
        let (folder, sidecar) = (folder_of(&self.path), self.path.with_extension("json"));
        let name = self.path.file_name().and_then(PartialName::parse);
        let document = name.map(|name| name.document).unwrap_or_default();
        for name in PartialName::findable(&document) {
            let path = name.path(folder);
            let claim = path.with_extension("json");
            match File::create_new(&claim) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                claimed => drop(claimed?),
            }
            if std::fs::symlink_metadata(&path).is_ok() {
                std::fs::remove_file(&claim)?;
                continue;
            }
            return std::fs::rename(&sidecar, &claim)
                .inspect_err(|_| drop(std::fs::remove_file(&claim)))
                .and_then(|()| {
                    std::fs::rename(&self.path, &path)
                        .inspect_err(|_| drop(std::fs::rename(&claim, &sidecar)))
                });
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// The present time of the clock that sets the modification times of files in this folder.
    pub(super) fn now(&self) -> SystemTime {
        self.created + self.created_at.elapsed()
    }

    /// Whether the file still has its name.
    pub(super) fn has_its_name(&self) -> bool {
        is_same_file(&self.path, &self.file)
    }
}

impl Drop for OwnPartial {
    fn drop(&mut self) {
        let sidecar = self.path.with_extension("json");
        if std::fs::symlink_metadata(&sidecar).is_err() && self.has_its_name() {
            let removed = remove(&temporary_path(&sidecar)).and_then(|_| remove(&self.path));
            if let Err(error) = removed {
                log::info!("{}", error.message());
            }
        }
        end_writing(&self.path);
    }
}

/// Takes the bytes of `earlier` over without a copy, if no process can write them any more: gives their file the
/// name `path`, and returns the locked file. Of two processes that try this, one succeeds, and the other copies.
/// Where the rename fails, `path` keeps its bytes and its sidecar.
pub(super) fn take_over(path: &Path, earlier: &mut Earlier) -> Option<Arc<File>> {
    let source = earlier.source.as_ref();
    let source = source.filter(|source| source.is_certainly_left)?;
    if matches!(source.file.try_lock(), Err(TryLockError::WouldBlock)) {
        return None;
    }
    if let Err(error) = rename_over(path, source, &earlier.sidecar) {
        log::info!(
            "docfetch copies {}: {}",
            source.path.display(),
            error.message()
        );
        let _ = source.file.unlock();
        return None;
    }
    let older_sidecar = source.path.with_extension("json");
    let _ = remove(&temporary_path(&older_sidecar)).and_then(|_| remove(&older_sidecar));
    earlier.source.take().map(|source| source.file)
}

/// Gives the file of `source` the name `path`, with `sidecar` beside it.
fn rename_over(path: &Path, source: &OtherPartial, sidecar: &Sidecar) -> Result<()> {
    let sidecar_path = path.with_extension("json");
    let before = Sidecar::read(&sidecar_path)?;
    // First the sidecar: a crash after the rename must not separate the bytes from it.
    SidecarFile::create(&sidecar_path, sidecar, Durability::Synced)?;
    let renamed = std::fs::rename(&source.path, path);
    if renamed.is_ok() && is_same_file(path, &source.file) {
        return Ok(());
    }
    match before.filter(|_| renamed.is_err()) {
        None => drop(remove(&sidecar_path)?),
        Some(before) => drop(SidecarFile::create(
            &sidecar_path,
            &before,
            Durability::Synced,
        )?),
    }
    let error = renamed.err().unwrap_or_else(|| Errno::STALE.into());
    Err(Error::io("rename", &source.path, &error))
}

fn create_file(folder: &Path, document: &str) -> Result<(PathBuf, File)> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = PartialName::own(document, ProcessIdentity::own(), number);
        let path = name.path(folder);
        match rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => return Ok((path, file.into())),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::io("create", &path, &errno.into())),
        }
    }
}
