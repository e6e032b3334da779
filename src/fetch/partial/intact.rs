//! Checks the bytes that an earlier run left against the CRCs in the sidecar.
//!
//! A copy of a partial can be incomplete, a disk can report a sync that it did not do, and a file can
//! have holes. So every byte is read and compared before a run resumes the partial. A thread of its own
//! does that, because other documents are transferred meanwhile.
//!
//! Bytes in the partial of another process are copied, and the copy is compared: that process may still write.

use crate::current_document::{self, warn_of_document};
use crate::fetch::events::Watcher;
use crate::fetch::partial::extents::{ExtentNote, Extents, crc_text, new_crc};
use crate::state::files::read_piece;
use crate::text::counted;
use crc_fast::Digest;
use rustix::fs::copy_file_range;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// How many bytes one read takes.
const PARTIAL_READ_BYTES: usize = 256 << 10;
/// How many bytes are copied at a time, before they are read.
const COPIED_BYTES: u64 = 4 << 20;
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

/// The files of a check.
#[derive(Clone, Debug)]
pub(super) struct CheckedFiles {
    /// The file of the partial.
    pub file: Arc<File>,
    /// The partial of another process whose bytes docfetch copies into the file first, if there is one.
    pub copied_from: Option<Arc<File>>,
}

impl CheckedFiles {
    /// The file that has the bytes now.
    fn source(&self) -> &File {
        self.copied_from.as_ref().unwrap_or(&self.file)
    }
}

/// Cancels the check when its caller is dropped.
struct CancelOnDrop(Arc<Check>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.is_cancelled.store(true, Ordering::Relaxed);
    }
}

/// Returns the extents that `notes` describe, as far as the file holds their bytes unchanged, after a copy if
/// there is a file to copy from. `watcher` sees the progress of a check that takes long.
///
/// # Errors
/// The system's error, when the bytes cannot be read or copied.
pub(super) async fn intact_extents(
    files: CheckedFiles,
    notes: Vec<ExtentNote>,
    watcher: &mut dyn Watcher,
) -> io::Result<Extents> {
    let total = notes.iter().map(|note| note.end() - note.start).sum();
    let check = Arc::new(Check::default());
    if total <= MAX_BYTES_WITHOUT_THREAD {
        return check.run(&files, notes);
    }
    let caller = CancelOnDrop(Arc::clone(&check));
    let (sender, mut result) = oneshot::channel();
    let (files_in_thread, notes_in_thread) = (files.clone(), notes.clone());
    let document = current_document::get();
    let run = move || {
        let check = || check.run(&files_in_thread, notes_in_thread);
        let _ = sender.send(current_document::scope_of_thread(document, check));
    };
    if std::thread::Builder::new().spawn(run).is_err() {
        return caller.0.run(&files, notes); // the system allows no further thread
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
    fn run(&self, files: &CheckedFiles, notes: Vec<ExtentNote>) -> io::Result<Extents> {
        let length = files.source().metadata()?.len();
        let mut failed = None;
        let mut damaged = 0;
        let extents = Extents::restore(notes, |range, expected| {
            let bytes = range.end - range.start;
            let crc = match failed {
                Some(_) => return None,
                None if range.end > length => None,
                None => self
                    .copy_and_read(files, range)
                    .map_err(|error| failed = Some(error))
                    .ok(),
            };
            let is_expected =
                |crc: &Digest| expected.is_none_or(|expected| expected == crc_text(crc.finalize()));
            let intact = crc.filter(is_expected);
            if intact.is_none() && failed.is_none() {
                damaged += bytes;
            }
            intact
        });
        if damaged > 0 {
            let bytes = counted(damaged, "byte");
            warn_of_document!(
                "{bytes} of an earlier run are damaged: docfetch requests them again"
            );
        }
        failed.map_or(Ok(extents), Err)
    }

    /// Copies `range` from the source, if there is one, and returns the CRC of the range in the file.
    fn copy_and_read(&self, files: &CheckedFiles, range: Range<u64>) -> io::Result<Digest> {
        let mut crc = new_crc();
        let Some(source) = &files.copied_from else {
            self.add_to_crc(&mut crc, &files.file, range)?;
            return Ok(crc);
        };
        let mut at = range.start;
        while at < range.end {
            let piece = at..range.end.min(at + COPIED_BYTES);
            copy_range(source, &files.file, piece.clone())?;
            self.add_to_crc(&mut crc, &files.file, piece.clone())?;
            at = piece.end;
        }
        Ok(crc)
    }

    fn add_to_crc(&self, crc: &mut Digest, file: &File, mut range: Range<u64>) -> io::Result<()> {
        let mut buffer = vec![0; PARTIAL_READ_BYTES];
        while range.start < range.end {
            if self.is_cancelled.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let bytes = read_piece(file, range.clone(), &mut buffer)?;
            crc.update(bytes);
            range.start += bytes.len() as u64;
            self.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Copies a range of one file to the same place of another one, by the file system itself if it can: it
/// then shares the blocks, or copies them on the server.
fn copy_range(from: &File, to: &File, mut range: Range<u64>) -> io::Result<()> {
    let (mut from_at, mut to_at) = (range.start, range.start);
    while range.start < range.end {
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let copied = copy_file_range(from, Some(&mut from_at), to, Some(&mut to_at), length);
        match copied {
            Ok(copied) if copied > 0 => range.start += copied as u64,
            Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::IO)) => {
                return Err(errno.into());
            }
            Err(Errno::INTR) => {}
            _ => break, // the file system cannot
        }
    }
    let mut buffer = vec![0; PARTIAL_READ_BYTES];
    while range.start < range.end {
        let bytes = read_piece(from, range.clone(), &mut buffer)?;
        to.write_all_at(bytes, range.start)?;
        range.start += bytes.len() as u64;
    }
    Ok(())
}

/// Reads `range` of `file` and returns its CRC.
///
/// # Errors
/// The system's error, when the range cannot be read.
pub(super) fn crc_of(file: &File, range: Range<u64>) -> io::Result<u64> {
    let mut crc = new_crc();
    Check::default().add_to_crc(&mut crc, file, range)?;
    Ok(crc.finalize())
}
