//! Whether what an earlier run left is as it was written.
//!
//! A copy of a partial can be torn, a disk can lie about what it synced, and a file can have holes. So
//! all bytes are read and compared with their CRCs before the first of them is believed, in a thread of
//! their own: other documents go on meanwhile.

use crate::fetch::events::Watcher;
use crate::fetch::partial::extents::{Extents, Noted, crc, shown};
use crate::state::files::read_piece;
use crc_fast::Digest;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// So many bytes are read at once.
const PIECE: usize = 256 << 10;
/// No more bytes than these are read without a thread: that takes less than a millisecond.
const FEW: u64 = 1 << 20;
/// How often the watcher is told.
const TELL: Duration = Duration::from_millis(200);

/// A check under way.
#[derive(Debug, Default)]
struct Check {
    /// How many bytes were read.
    done: AtomicU64,
    given_up: AtomicBool,
}

/// Gives a check up when its owner does.
struct Owner(Arc<Check>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.given_up.store(true, Ordering::Relaxed);
    }
}

/// What of the `noted` extents is in `file` as it was written.
///
/// # Errors
/// When it cannot be read.
pub(crate) async fn intact(
    file: Arc<File>,
    noted: Vec<Noted>,
    watcher: &mut dyn Watcher,
) -> io::Result<Extents> {
    let total = noted.iter().map(|noted| noted.end() - noted.start).sum();
    let check = Arc::new(Check::default());
    if total <= FEW {
        return check.run(&file, noted);
    }
    let owner = Owner(Arc::clone(&check));
    let (sender, mut ended) = oneshot::channel();
    let (in_thread, copy) = (Arc::clone(&file), noted.clone());
    let run = move || {
        let _ = sender.send(check.run(&in_thread, copy));
    };
    if std::thread::Builder::new().spawn(run).is_err() {
        return owner.0.run(&file, noted); // no thread is left
    }
    loop {
        match tokio::time::timeout(TELL, &mut ended).await {
            Ok(ended) => {
                let lost = |_| io::Error::other("the thread that checks it ended");
                return ended.map_err(lost)?;
            }
            Err(_) => watcher.checking(owner.0.done.load(Ordering::Relaxed), total),
        }
    }
}

impl Check {
    fn run(&self, file: &File, noted: Vec<Noted>) -> io::Result<Extents> {
        let length = file.metadata()?.len();
        let mut failed = None;
        let extents = Extents::restore(noted, |range, noted| {
            let bytes = range.end - range.start;
            let read = match failed {
                Some(_) => return None,
                None if range.end > length => None,
                None => self
                    .read(file, range)
                    .map_err(|error| failed = Some(error))
                    .ok(),
            };
            let is_right = |crc: &Digest| noted.is_none_or(|noted| noted == shown(crc.finalize()));
            let right = read.filter(is_right);
            if right.is_none() {
                log::info!("{bytes} bytes of the partial are not as they were written");
            }
            right
        });
        failed.map_or(Ok(extents), Err)
    }

    fn read(&self, file: &File, mut range: Range<u64>) -> io::Result<Digest> {
        let mut buffer = vec![0; PIECE];
        let mut crc = crc();
        while range.start < range.end {
            if self.given_up.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let piece = read_piece(file, range.clone(), &mut buffer)?;
            crc.update(piece);
            range.start += piece.len() as u64;
            self.done.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        Ok(crc)
    }
}

/// The CRC of these bytes of a file.
///
/// # Errors
/// When they cannot be read.
pub(crate) fn crc_of(file: &File, range: Range<u64>) -> io::Result<u64> {
    Ok(Check::default().read(file, range)?.finalize())
}
