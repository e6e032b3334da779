//! Locks between processes. A lock is on a file of docfetch's own, and ends with the process that holds it.

use super::files::{AllowedNames, is_name_of, open_named, open_own_if_exists};
use super::folder::FolderTraits;
use crate::active_time;
use crate::current_document::warn_of_document;
use crate::error::{Code, Error, Result};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The first pause between two attempts at a lock. Each further pause is twice as long.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(1);
/// The longest pause between two attempts.
const MAX_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// A longer wait for another process is logged.
const NOTICEABLE_LOCK_WAIT: Duration = Duration::from_millis(500);

/// How often a lock on a file that lost its name is given up where a lock may exclude no other process.
const MAX_LOST_NAMES: u32 = 8;

/// Which file to lock, and how long to wait for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockRequest<'a> {
    /// The paths where the file may be. The first one that exists is locked; if none exists, the last one is
    /// created.
    pub paths: &'a [&'a Path],
    /// How many names the file may have when it is found at the last path.
    pub allowed_names: AllowedNames,
    /// How long to wait for another process.
    pub busy_timeout: Duration,
    /// What a process does that holds this lock, for messages: "another process is …".
    pub activity: &'a str,
}

/// A file that this process has locked.
#[derive(Debug)]
pub(crate) struct HeldFile {
    /// The file. The lock ends when it is closed.
    pub file: File,
    /// The index of its path in [`LockRequest::paths`].
    pub place: usize,
}

/// Opens and locks a file. Also returns a file where the file system has no locks, or locks that
/// exclude no other process: there, the caller creates a file exclusively for what must not happen twice. Passes
/// files that were opened but not locked to `lost`, because the process that holds the lock may have renamed or
/// removed them since.
///
/// # Errors
/// [`Code::Busy`] when another process holds the lock for too long; [`Code::UnsafePartial`] when a path
/// belongs to a file that docfetch did not make; [`Code::LocalIo`].
pub(crate) async fn lock_own(
    request: LockRequest<'_>,
    mut lost: impl FnMut(File),
) -> Result<HeldFile> {
    let LockRequest {
        paths,
        busy_timeout,
        activity,
        ..
    } = request;
    let began = active_time::now();
    let mut interval = MIN_POLL_INTERVAL;
    let mut logged = false;
    let mut lost_names = 0;
    loop {
        let (file, place) = open_first(paths, request.allowed_names)?;
        let path = paths[place];
        let is_held = match file.try_lock() {
            // The order of these checks matters. The holder moves the file from the first path to the last
            // one, too.
            Ok(())
                if !paths[..place].iter().any(|path| exists(path)) && is_name_of(path, &file) =>
            {
                return Ok(HeldFile { file, place });
            }
            Ok(()) if lost_names >= MAX_LOST_NAMES && !has_true_locks(path) => {
                return Ok(HeldFile { file, place });
            }
            Ok(()) => {
                lost_names += 1;
                // The file was renamed or removed after it was opened. `lost` may keep it open, but not
                // locked.
                file.unlock()
                    .map_err(|error| Error::io("unlock", path, &error))?;
                false
            }
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(error)) if is_unsupported(&error) => {
                note_refused_lock(path);
                return Ok(HeldFile { file, place });
            }
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", path, &error)),
        };
        let waited = active_time::since(began);
        if waited >= busy_timeout && (is_held || interval > MIN_POLL_INTERVAL) {
            return Err(busy(path, activity, is_held));
        }
        if is_held && !logged && waited > NOTICEABLE_LOCK_WAIT {
            warn_of_document!("another process is {activity}; waiting for it");
            logged = true;
        }
        tokio::time::sleep(interval).await;
        interval = (interval * 2).min(MAX_POLL_INTERVAL);
        lost(file);
    }
}

/// Whether an error of `flock(2)` means that the file system has no locks.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::NOSYS | Errno::NOLCK | Errno::OPNOTSUPP))
}

fn has_true_locks(path: &Path) -> bool {
    FolderTraits::of_file(path).map_or(true, |folder| folder.has_true_locks())
}

/// Notes for this process that the file system of a file has no locks, and warns once.
pub(crate) fn note_refused_lock(path: &Path) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if let Ok(folder) = FolderTraits::of_file(path) {
        folder.note_refused_lock();
    }
    if !WARNED.swap(true, Ordering::Relaxed) {
        log::warn!(
            "the file system of {} has no locks; docfetch continues without locks",
            path.display()
        );
    }
}

fn busy(path: &Path, activity: &str, is_held: bool) -> Error {
    let path = path.display();
    if is_held {
        return Error::new(Code::Busy, format!("another process is {activity}"))
            .with_cause(format!("it holds {path}"));
    }
    Error::new(Code::Busy, format!("cannot lock {path}"))
        .with_cause("the file system has no stable inode numbers")
        .with_hint("use a folder on another file system")
}

fn open_first(paths: &[&Path], allowed_names: AllowedNames) -> Result<(File, usize)> {
    let last = paths.len() - 1;
    for (place, path) in paths[..last].iter().enumerate() {
        if let Some(file) = open_own_if_exists(path, OFlags::RDWR)? {
            return Ok((file, place));
        }
    }
    let flags = OFlags::CREATE | OFlags::RDWR;
    Ok((open_named(paths[last], flags, allowed_names)?, last))
}

fn exists(path: &Path) -> bool {
    !matches!(std::fs::symlink_metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// A lock whose file is removed with the lock.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Takes the lock at `path`. Waits up to `busy_timeout` for another process, which does `activity`.
    ///
    /// # Errors
    /// As [`lock_own`].
    pub(crate) async fn take(
        path: PathBuf,
        busy_timeout: Duration,
        activity: &str,
    ) -> Result<Self> {
        let request = LockRequest {
            paths: &[&path],
            allowed_names: AllowedNames::One,
            busy_timeout,
            activity,
        };
        let HeldFile { file, .. } = lock_own(request, drop).await?;
        Ok(Self { path, file })
    }
}

impl Drop for Lock {
    /// Removes the file while it is still locked: a process that opened the file before finds that it has
    /// lost its name. A file of another process under this path stays.
    fn drop(&mut self) {
        if is_name_of(&self.path, &self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lock_is_held_by_one_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let held = Lock::take(path.clone(), Duration::ZERO, "busy").await;
        let held = held.unwrap();
        let error = Lock::take(path.clone(), Duration::ZERO, "busy").await;
        assert_eq!(error.unwrap_err().code(), Code::Busy);
        let waiting = Lock::take(path.clone(), Duration::from_secs(10), "busy");
        let free = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop(held);
        };
        let (taken, ()) = tokio::join!(waiting, free);
        assert!(path.exists());
        drop(taken.unwrap());
        assert!(!path.exists());
    }

    /// A process that waits may have opened the file that the holder removes.
    #[test]
    fn a_lock_is_held_by_one_however_often_it_changes_hands() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let inside = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_time()
                        .build()
                        .unwrap();
                    for _ in 0..150 {
                        let taking = Lock::take(path.clone(), Duration::from_secs(20), "busy");
                        let held = runtime.block_on(taking).unwrap();
                        assert!(!inside.swap(true, Ordering::SeqCst), "two hold it");
                        std::thread::yield_now();
                        inside.store(false, Ordering::SeqCst);
                        drop(held);
                    }
                });
            }
        });
    }
}
