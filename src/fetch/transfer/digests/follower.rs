//! A thread that hashes a file while another thread writes that file.

use crate::fetch::file_digest::HASH_BUFFER_BYTES;
use crate::fetch::transfer::digests::hasher::Hasher;
use crate::http::headers::Checksum;
use crate::mutex::locked;
use crate::state::files::read_piece;
use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use tokio::sync::oneshot;

/// A thread that hashes the bytes of a file up to a position that the writer advances. When the
/// `Follower` is dropped, the thread stops.
#[derive(Debug)]
pub(super) struct Follower {
    goal: Arc<Goal>,
    hasher: oneshot::Receiver<io::Result<Hasher>>,
}

/// How far the thread hashes.
#[derive(Debug, Default)]
struct Goal {
    state: Mutex<GoalState>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct GoalState {
    /// The file has all bytes before this offset.
    position: u64,
    /// Whether `position` is the end of the document.
    is_final: bool,
    /// Whether the `Follower` was dropped.
    is_dropped: bool,
}

impl Follower {
    /// Starts a thread that hashes the file from its first byte on. The file has all bytes before
    /// `position`. `None` where the system starts no further thread.
    pub(super) fn start(file: Arc<File>, algorithm: Checksum, position: u64) -> Option<Self> {
        let goal = Arc::new(Goal::default());
        goal.change(|state| state.position = position);
        let threads_goal = Arc::clone(&goal);
        let (sender, hasher) = oneshot::channel();
        let follow = move || {
            let _ = sender.send(threads_goal.follow(&file, Hasher::new(algorithm)));
        };
        std::thread::Builder::new().spawn(follow).ok()?;
        Some(Self { goal, hasher })
    }

    /// Tells the thread that the file has all bytes before `position`.
    pub(super) fn advance_to(&self, position: u64) {
        self.goal.change(|state| state.position = position);
    }

    /// Waits until the thread has hashed all bytes up to the last [position](Self::advance_to). Returns
    /// its hasher.
    ///
    /// # Errors
    /// The system's error when the file cannot be read.
    pub(super) async fn finish(mut self) -> io::Result<Hasher> {
        self.goal.change(|state| state.is_final = true);
        let returned = (&mut self.hasher).await;
        returned.map_err(|_| io::Error::other("the thread that hashes ended"))?
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.goal.change(|state| state.is_dropped = true);
    }
}

impl Goal {
    fn change(&self, change: impl FnOnce(&mut GoalState)) {
        change(&mut locked(&self.state));
        self.changed.notify_one();
    }

    /// Hashes the file as far as the goal allows, until the goal is final or dropped.
    fn follow(&self, file: &File, mut hasher: Hasher) -> io::Result<Hasher> {
        let mut offset = 0;
        let mut buffer = vec![0; HASH_BUFFER_BYTES];
        loop {
            let goal = self.wait_beyond(offset);
            if goal.is_dropped || (goal.is_final && offset >= goal.position) {
                return Ok(hasher);
            }
            let piece = read_piece(file, offset..goal.position, &mut buffer)?;
            hasher.update(piece);
            offset += piece.len() as u64;
        }
    }

    /// Waits until the goal is beyond `offset`, final, or dropped.
    fn wait_beyond(&self, offset: u64) -> GoalState {
        let must_wait =
            |goal: &mut GoalState| goal.position <= offset && !goal.is_final && !goal.is_dropped;
        let goal = self.changed.wait_while(locked(&self.state), must_wait);
        *goal.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds the first `length` bytes of a file to a hasher, on this thread.
///
/// # Errors
/// The system's error when the file cannot be read.
pub(super) fn hash_file(file: &File, hasher: &mut Hasher, length: u64) -> io::Result<()> {
    let mut buffer = vec![0; HASH_BUFFER_BYTES];
    let mut offset = 0;
    while offset < length {
        let piece = read_piece(file, offset..length, &mut buffer)?;
        hasher.update(piece);
        offset += piece.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;

    #[tokio::test]
    async fn a_follower_hashes_what_is_written_after_it_started() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        file.write_all_at(b"1234", 0).unwrap();
        let follower = Follower::start(Arc::clone(&file), Checksum::Crc32, 4).unwrap();
        file.write_all_at(b"56789", 4).unwrap();
        follower.advance_to(9);
        let hasher = follower.finish().await.unwrap();
        assert_eq!(hasher.finish(), [0xcb, 0xf4, 0x39, 0x26]);
    }

    #[tokio::test]
    async fn a_file_that_is_too_short_is_an_error() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let follower = Follower::start(Arc::clone(&file), Checksum::Crc32, 4).unwrap();
        let error = follower.finish().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let error = hash_file(&file, &mut Hasher::new(Checksum::Crc32), 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
