//! Checks the bytes that an earlier run left against the CRCs in the sidecar.
//!
//! A copy of a partial can be incomplete, a disk can report a sync that it did not do, and a file can
//! have holes. So every byte is read and compared before a run resumes the partial. A thread of its own
//! does that, because other documents are transferred meanwhile.

use crate::fetch::events::Watcher;
use crate::fetch::partial::extents::{ExtentNote, Extents, crc_text, new_crc};
use crate::state::files::read_piece;
use crc_fast::Digest;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// How many bytes one read takes.
const PARTIAL_READ_BYTES: usize = 256 << 10;
/// A check of at most this many bytes runs without a thread: reading them takes less than 1 ms.
const MAX_BYTES_WITHOUT_THREAD: u64 = 1 << 20;
/// The time between two calls of the watcher.
const WATCHER_INTERVAL: Duration = Duration::from_millis(200);

/// A check that a thread runs and its caller can cancel.
#[derive(Debug, Default)]
struct Check {
    /// How many bytes were read.
    read: AtomicU64,
    is_cancelled: AtomicBool,
}

/// Cancels the check when its caller is dropped.
struct CancelOnDrop(Arc<Check>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.is_cancelled.store(true, Ordering::Relaxed);
    }
}

/// Returns the extents that `notes` describe, as far as `file` holds their bytes unchanged. `watcher`
/// sees the progress of a check that takes long.
///
/// # Errors
/// The system's error, when `file` cannot be read.
pub(super) async fn intact_extents(
    file: Arc<File>,
    notes: Vec<ExtentNote>,
    watcher: &mut dyn Watcher,
) -> io::Result<Extents> {
    let total = notes.iter().map(|note| note.end() - note.start).sum();
    let check = Arc::new(Check::default());
    if total <= MAX_BYTES_WITHOUT_THREAD {
        return check.run(&file, notes);
    }
    let caller = CancelOnDrop(Arc::clone(&check));
    let (sender, mut result) = oneshot::channel();
    let (file_in_thread, notes_in_thread) = (Arc::clone(&file), notes.clone());
    let run = move || {
        let _ = sender.send(check.run(&file_in_thread, notes_in_thread));
    };
    if std::thread::Builder::new().spawn(run).is_err() {
        return caller.0.run(&file, notes); // the system allows no further thread
    }
    loop {
        match tokio::time::timeout(WATCHER_INTERVAL, &mut result).await {
            Ok(result) => {
                let no_result = |_| io::Error::other("the thread of the check ended early");
                return result.map_err(no_result)?;
            }
            Err(_) => watcher.checking(caller.0.read.load(Ordering::Relaxed), total),
        }
    }
}

impl Check {
    fn run(&self, file: &File, notes: Vec<ExtentNote>) -> io::Result<Extents> {
        let length = file.metadata()?.len();
        let mut failed = None;
        let extents = Extents::restore(notes, |range, expected| {
            let bytes = range.end - range.start;
            let crc = match failed {
                Some(_) => return None,
                None if range.end > length => None,
                None => self
                    .crc_of(file, range)
                    .map_err(|error| failed = Some(error))
                    .ok(),
            };
            let is_expected =
                |crc: &Digest| expected.is_none_or(|expected| expected == crc_text(crc.finalize()));
            let intact = crc.filter(is_expected);
            if intact.is_none() {
                log::info!("{bytes} bytes of the partial are not as they were written");
            }
            intact
        });
        failed.map_or(Ok(extents), Err)
    }

    fn crc_of(&self, file: &File, mut range: Range<u64>) -> io::Result<Digest> {
        let mut buffer = vec![0; PARTIAL_READ_BYTES];
        let mut crc = new_crc();
        while range.start < range.end {
            if self.is_cancelled.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let bytes = read_piece(file, range.clone(), &mut buffer)?;
            crc.update(bytes);
            range.start += bytes.len() as u64;
            self.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Ok(crc)
    }
}

/// Reads `range` of `file` and returns its CRC.
///
/// # Errors
/// The system's error, when the range cannot be read.
pub(super) fn crc_of(file: &File, range: Range<u64>) -> io::Result<u64> {
    Ok(Check::default().crc_of(file, range)?.finalize())
}
