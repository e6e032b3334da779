//! Syncs of a partial in a thread beside its transfer, one after another, so that the last sync, before
//! the document gets its name, has little to write.

use crate::state::blocking;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

/// A sync is due when 16 MiB are unsynced.
const MAX_UNSYNCED_BYTES: u64 = 16 << 20;
/// A sync of fewer bytes is due 10 s after the last sync began.
const MAX_UNSYNCED_TIME: Duration = Duration::from_secs(10);

/// The syncs of one partial.
#[derive(Debug)]
pub(super) struct BackgroundSync {
    file: Arc<File>,
    folder: Arc<File>,
    began_at: Instant,
    /// The result of the sync that is under way.
    result: Option<Receiver<io::Result<()>>>,
}

impl BackgroundSync {
    /// No sync of `file`, a file in `folder`, is under way. The time until the first one counts from `now`.
    pub(super) fn new(file: Arc<File>, folder: Arc<File>, now: Instant) -> Self {
        Self {
            file,
            folder,
            began_at: now,
            result: None,
        }
    }

    /// Whether to begin a sync at the time `now`, with `unsynced` bytes.
    pub(super) fn is_due(&self, unsynced: u64, now: Instant) -> bool {
        let is_time = now.saturating_duration_since(self.began_at) >= MAX_UNSYNCED_TIME;
        self.result.is_none() && (unsynced >= MAX_UNSYNCED_BYTES || (unsynced > 0 && is_time))
    }

    /// Begins a sync of the file at the time `now`, and then of its `sidecar` with the folder that has
    /// both names. Call only when no sync is under way.
    pub(super) fn begin(&mut self, sidecar: Option<Arc<File>>, now: Instant) {
        self.began_at = now;
        let (sender, result) = sync_channel(1);
        let (file, folder) = (Arc::clone(&self.file), Arc::clone(&self.folder));
        blocking::spawn(move || {
            let synced = file.sync_data();
            if let Some(sidecar) = sidecar {
                // The sidecar describes the sync before this one. A crash may lose it: no failure.
                let _ = sidecar.sync_data().and_then(|()| folder.sync_all());
            }
            // Last, so that no other sync of the file runs at the same time: the system reports an error
            // of the disk to one sync only.
            let _ = sender.send(synced);
        });
        self.result = Some(result);
    }

    /// The result of a sync that has ended. `None` while it runs, or if no sync was begun.
    pub(super) fn poll(&mut self) -> Option<io::Result<()>> {
        let result = match self.result.as_ref()?.try_recv() {
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err(no_result()),
            Ok(result) => result,
        };
        self.result = None;
        Some(result)
    }

    /// Waits for the sync that is under way, and returns its result. `None` if no sync is under way.
    pub(super) fn wait(&mut self) -> Option<io::Result<()>> {
        let result = self.result.take()?;
        Some(result.recv().unwrap_or_else(|_| Err(no_result())))
    }
}

fn no_result() -> io::Error {
    io::Error::other("the thread of the sync ended early")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sync(now: Instant) -> BackgroundSync {
        let file = Arc::new(tempfile::tempfile().unwrap());
        BackgroundSync::new(Arc::clone(&file), file, now)
    }

    #[test]
    fn a_sync_is_due_after_enough_bytes_or_enough_time() {
        let start = Instant::now();
        let sync = sync(start);
        let late = start + MAX_UNSYNCED_TIME;
        assert!(!sync.is_due(MAX_UNSYNCED_BYTES - 1, start));
        assert!(sync.is_due(MAX_UNSYNCED_BYTES, start));
        assert!(sync.is_due(1, late));
        assert!(!sync.is_due(0, late), "nothing is unsynced");
    }

    #[test]
    fn no_sync_is_due_while_one_is_under_way_and_time_counts_from_its_begin() {
        let start = Instant::now();
        let mut sync = sync(start);
        let later = start + MAX_UNSYNCED_TIME;
        sync.begin(None, later);
        assert!(!sync.is_due(u64::MAX, later), "one is under way");
        assert!(sync.wait().unwrap().is_ok());
        assert!(sync.poll().is_none() && sync.wait().is_none());
        assert!(!sync.is_due(1, later));
        assert!(sync.is_due(1, later + MAX_UNSYNCED_TIME));
    }
}
