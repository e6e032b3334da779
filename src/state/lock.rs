//! One process at a time: a lock on a file of our own, which ends with the process that holds it.

use super::files::{Names, names, open_named, open_own_if_there};
use crate::active_time;
use crate::error::{Code, Error, Result};
use rustix::fs::OFlags;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The first and the longest time between two looks at a lock that another process holds.
const POLL: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(100)];
/// A wait that a person notices.
const NOTICED: Duration = Duration::from_millis(500);

/// Opens the first of `places` that is there, or creates the last, which may have so many names, and
/// locks it; waits up to `patience` for another process, which is doing `what`. Returns the file and which of them it is. Every file
/// that was opened and could not be had is given to `lost`: its holder may have renamed or removed it
/// meanwhile.
///
/// # Errors
/// [`Code::Busy`] when it was not to be had, [`Code::UnsafePartial`] when something else has its
/// name, [`Code::LocalIo`].
pub(crate) async fn lock_own(
    (places, own_names): (&[&Path], Names),
    patience: Duration,
    what: &str,
    mut lost: impl FnMut(File),
) -> Result<(File, usize)> {
    let asked = active_time::now();
    let [mut poll, longest] = POLL;
    let mut told = false;
    loop {
        let (file, place) = open_first(places, own_names)?;
        let path = places[place];
        let is_held = match file.try_lock() {
            // In this order: a holder goes from the first place to the last as well, and takes the name.
            Ok(()) if !places[..place].iter().any(|path| is_there(path)) && names(path, &file) => {
                return Ok((file, place));
            }
            Ok(()) => {
                // Renamed or removed since it was opened. It may be kept, but not locked.
                file.unlock()
                    .map_err(|error| Error::io("unlock", path, &error))?;
                false
            }
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", path, &error)),
        };
        if active_time::since(asked) >= patience && (is_held || poll > POLL[0]) {
            return Err(busy(path, what, is_held));
        }
        if is_held && !told && active_time::since(asked) > NOTICED {
            log::warn!("another process is {what}; waiting for it");
            told = true;
        }
        tokio::time::sleep(poll).await;
        poll = (poll * 2).min(longest);
        lost(file);
    }
}

fn busy(path: &Path, what: &str, is_held: bool) -> Error {
    let path = path.display();
    if is_held {
        return Error::new(Code::Busy, format!("another process is {what}"))
            .with_cause(format!("it holds {path}"));
    }
    Error::new(Code::Busy, format!("cannot hold {path}"))
        .with_cause(
            "each look finds another file there: the file system has no stable inode numbers",
        )
        .with_hint("use a folder on another file system")
}

fn open_first(places: &[&Path], names: Names) -> Result<(File, usize)> {
    let last = places.len() - 1;
    for (place, path) in places[..last].iter().enumerate() {
        if let Some(file) = open_own_if_there(path, OFlags::RDWR)? {
            return Ok((file, place));
        }
    }
    let flags = OFlags::CREATE | OFlags::RDWR;
    Ok((open_named(places[last], flags, names)?, last))
}

fn is_there(path: &Path) -> bool {
    !matches!(std::fs::symlink_metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// A lock whose file goes with it.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Takes the lock at `path`; see [`lock_own`].
    pub async fn take(path: PathBuf, patience: Duration, what: &str) -> Result<Self> {
        let (file, _) = lock_own((&[&path], Names::One), patience, what, drop).await?;
        Ok(Self { path, file })
    }
}

impl Drop for Lock {
    /// Removed while it is still held: whoever opened it before finds it without a name. Somebody
    /// else's is left alone.
    fn drop(&mut self) {
        if names(&self.path, &self.file) {
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

    /// Whoever waits may have opened the very file that the holder removes.
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
