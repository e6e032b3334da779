//! Digests of a document: of what went through a pipe while it passes, of what is in a file by reading
//! it back.
//!
//! A digest is computed over the bytes in their order, whichever order they arrive in. So a partial is
//! read back, out of the system's memory, by a thread that follows the writer: hashing costs as much
//! time as a transfer, and goes on beside it. What is short is hashed at its end.

use crate::error::{Code, Error, Result};
use crate::fetch::entity::Entity;
use crate::fetch::options::DigestOptions;
use crate::fetch::transfer::sink::Sink;
use crate::fingerprint::hexadecimal;
use crate::http::headers::Checksum;
use crate::mutex::locked;
use crate::state::files::read_piece;
use crc_fast::CrcAlgorithm;
use md5::Digest as _;
use ring::digest;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use tokio::sync::oneshot;

/// A thread follows when so many bytes wait to be hashed.
const LAG: u64 = 1 << 20;
/// So many are hashed at once.
const PIECE: usize = 128 << 10;

/// Digests of everything that went into a sink, from its first byte on.
#[derive(Debug)]
pub(crate) struct Digests {
    wanted: DigestOptions,
    /// The partial's file and its path; none for a pipe.
    file: Option<(Arc<File>, PathBuf)>,
    sha256: Option<Running>,
    checksum: Option<(Checksum, Vec<u8>, Running)>,
    /// Whether bytes went through a pipe: no other digest of them can be computed.
    is_late: bool,
}

/// A digest of the first bytes of a sink.
#[derive(Debug)]
struct Running {
    /// None while a thread has it.
    hasher: Option<Hasher>,
    done: u64,
    thread: Option<Thread>,
}

/// A thread that hashes up to where it is told.
#[derive(Debug)]
struct Thread {
    goal: Arc<Goal>,
    ended: oneshot::Receiver<io::Result<Hasher>>,
}

#[derive(Debug, Default)]
struct Goal {
    to: Mutex<To>,
    moved: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct To {
    position: u64,
    /// There is nothing behind that.
    last: bool,
    /// Nobody wants it any more.
    given_up: bool,
}

enum Hasher {
    Ring(digest::Context),
    Md5(md5::Md5),
    Crc(crc_fast::Digest, usize),
}

impl Hasher {
    fn new(checksum: Checksum) -> Self {
        match checksum {
            Checksum::Sha256 => Self::Ring(digest::Context::new(&digest::SHA256)),
            Checksum::Sha512 => Self::Ring(digest::Context::new(&digest::SHA512)),
            Checksum::Sha1 => Self::Ring(digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY)),
            Checksum::Md5 => Self::Md5(md5::Md5::new()),
            Checksum::Crc64Nvme => Self::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme), 8),
            Checksum::Crc32c => Self::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi), 4),
            Checksum::Crc32 => Self::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32IsoHdlc), 4),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Ring(context) => context.update(bytes),
            Self::Md5(md5) => md5.update(bytes),
            Self::Crc(crc, _) => crc.update(bytes),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Ring(context) => context.finish().as_ref().to_vec(),
            Self::Md5(md5) => md5.finalize().to_vec(),
            Self::Crc(crc, bytes) => crc.finalize().to_be_bytes()[8 - bytes..].to_vec(),
        }
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

impl Goal {
    fn set(&self, change: impl FnOnce(&mut To)) {
        change(&mut locked(&self.to));
        self.moved.notify_one();
    }

    /// Hashes the file up to wherever it is told, until there is no more.
    fn follow(&self, file: &File, hasher: &mut Hasher, mut done: u64) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        loop {
            let to = self.beyond(done);
            if to.given_up || (to.last && done >= to.position) {
                return Ok(());
            }
            let piece = read_piece(file, done..to.position, &mut buffer)?;
            hasher.update(piece);
            done += piece.len() as u64;
        }
    }

    /// Waits until there is more than `done`, or the end.
    fn beyond(&self, done: u64) -> To {
        let waiting = |to: &mut To| to.position <= done && !to.last && !to.given_up;
        let to = self.moved.wait_while(locked(&self.to), waiting);
        *to.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.goal.set(|to| to.given_up = true);
    }
}

impl Running {
    fn new(checksum: Checksum) -> Self {
        Self {
            hasher: Some(Hasher::new(checksum)),
            done: 0,
            thread: None,
        }
    }

    /// The bytes up to `position` are in the file.
    fn follow(&mut self, file: &Arc<File>, position: u64) {
        if let Some(thread) = &self.thread {
            thread.goal.set(|to| to.position = position);
        } else if position - self.done > LAG {
            self.thread = Thread::start(Arc::clone(file), self, position);
        }
    }

    /// The digest of the bytes up to `position`; `file` has them unless they were hashed.
    async fn finish(mut self, file: Option<&Arc<File>>, position: u64) -> io::Result<Vec<u8>> {
        if let Some(file) = file {
            self.follow(file, position);
        }
        let lost = || io::Error::other("the thread that hashes ended");
        if let Some(mut thread) = self.thread.take() {
            thread.goal.set(|to| to.last = true);
            let hasher = (&mut thread.ended).await.map_err(|_| lost())??;
            return Ok(hasher.finish());
        }
        let mut hasher = self.hasher.take().ok_or_else(lost)?;
        if let Some(file) = file {
            let mut buffer = vec![0; PIECE];
            while self.done < position {
                let piece = read_piece(file, self.done..position, &mut buffer)?;
                hasher.update(piece);
                self.done += piece.len() as u64;
            }
        }
        Ok(hasher.finish())
    }
}

impl Thread {
    /// Starts one for what `running` has hashed so far; none where the system has no thread left: then
    /// all is hashed in the end.
    fn start(file: Arc<File>, running: &mut Running, position: u64) -> Option<Self> {
        let goal = Arc::new(Goal::default());
        goal.set(|to| to.position = position);
        let to = Arc::clone(&goal);
        let (sender, ended) = oneshot::channel();
        let (give, taken) = std::sync::mpsc::sync_channel(1);
        let done = running.done;
        let follow = move || {
            if let Ok(mut hasher) = taken.recv() {
                let hashed = to.follow(&file, &mut hasher, done);
                let _ = sender.send(hashed.map(|()| hasher));
            }
        };
        std::thread::Builder::new().spawn(follow).ok()?;
        give.send(running.hasher.take()?).ok()?;
        Some(Self { goal, ended })
    }
}

impl Digests {
    /// What is `wanted` of the bytes that `sink` has, and will have.
    pub(crate) fn new(wanted: DigestOptions, sink: &Sink) -> Self {
        let mut digests = Self {
            wanted,
            file: match sink {
                Sink::Partial(partial) => Some((partial.file(), partial.path().to_owned())),
                Sink::Stdout(_) => None,
            },
            sha256: (wanted.compute_sha256 || wanted.expected_sha256.is_some())
                .then(|| Running::new(Checksum::Sha256)),
            checksum: None,
            is_late: false,
        };
        digests.expect_checksum_of(sink.entity());
        digests
    }

    /// Takes note of the checksum that was announced for `entity`, unless it is too late for it.
    pub(crate) fn expect_checksum_of(&mut self, entity: &Entity) {
        let announced = entity.checksum.as_ref();
        let expected = self
            .checksum
            .as_ref()
            .map(|(checksum, value, _)| (checksum, value));
        if !self.is_late && expected != announced.map(|(checksum, value)| (checksum, value)) {
            let running = |(checksum, value)| (checksum, value, Running::new(checksum));
            self.checksum = announced.cloned().map(running);
        }
    }

    /// The sink took these bytes, and holds all up to `position` now.
    pub(crate) fn update(&mut self, bytes: &[u8], position: u64) {
        self.is_late = self.file.is_none();
        let checksum = self.checksum.as_mut().map(|(.., running)| running);
        for running in self.sha256.iter_mut().chain(checksum) {
            match &self.file {
                Some((file, _)) => running.follow(file, position),
                None => {
                    if let Some(hasher) = &mut running.hasher {
                        hasher.update(bytes);
                    }
                }
            }
        }
    }

    /// Starts over.
    pub(crate) fn restart(&mut self) {
        (self.checksum, self.is_late) = (None, false);
        if self.sha256.is_some() {
            self.sha256 = Some(Running::new(Checksum::Sha256));
        }
    }

    /// Whether there will be something to check the bytes against.
    pub(crate) fn has_expected_digest(&self) -> bool {
        self.wanted.expected_sha256.is_some() || self.checksum.is_some()
    }

    /// Compares what `sink` has. The SHA-256 that the user expects decides over the storage's checksum.
    ///
    /// # Errors
    /// [`Code::DigestMismatch`] of the expected SHA-256, with both values; [`Code::LocalIo`] when the file
    /// cannot be read.
    pub(crate) async fn verify(self, position: u64) -> Result<DigestReport> {
        let (file, path) = self.file.unzip();
        let (file, path) = (file.as_ref(), path.unwrap_or_default());
        let unreadable = |error| Error::io("read", &path, &error);
        let mut checked = DigestReport::default();
        if let Some(running) = self.sha256 {
            let actual = running.finish(file, position).await.map_err(unreadable)?;
            if let Some(expected) = self.wanted.expected_sha256 {
                compare("SHA-256", &expected, &actual)?;
            }
            checked.sha256 = Some(hexadecimal(&actual));
        }
        let Some((checksum, expected, running)) = self.checksum else {
            return Ok(checked);
        };
        let actual = running.finish(file, position).await.map_err(unreadable)?;
        let Err(error) = compare(checksum.name(), &expected, &actual) else {
            return Ok(checked);
        };
        if self.wanted.expected_sha256.is_some() {
            log::warn!("{}; --sha256 decides", error.message());
            return Ok(checked);
        }
        if checked.sha256.is_none() && file.is_some() {
            let running = Running::new(Checksum::Sha256);
            let actual = running.finish(file, position).await.map_err(unreadable)?;
            checked.sha256 = Some(hexadecimal(&actual));
        }
        checked.checksum_mismatch = Some(error);
        Ok(checked)
    }
}

/// What a check of all bytes found.
#[derive(Debug, Default)]
pub(crate) struct DigestReport {
    /// Their SHA-256 in hexadecimal, where it was computed.
    pub sha256: Option<String>,
    /// [`Code::DigestMismatch`], with both values, when the bytes do not have the checksum that the
    /// storage announced.
    pub checksum_mismatch: Option<Error>,
}

fn compare(name: &str, expected: &[u8], actual: &[u8]) -> Result<()> {
    if expected == actual {
        return Ok(());
    }
    Err(Error::new(
        Code::DigestMismatch,
        format!("the document does not have the expected {name}"),
    )
    .with_cause(format!(
        "expected {}, got {}",
        hexadecimal(expected),
        hexadecimal(actual)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published check values: RFC 1321, RFC 6234, and the CRC catalogue's for "123456789".
    #[test]
    fn every_algorithm_gives_its_published_value() {
        for (checksum, value) in [
            (Checksum::Crc32, "cbf43926"),
            (Checksum::Crc32c, "e3069283"),
            (Checksum::Crc64Nvme, "ae8b14860a799888"),
            (Checksum::Md5, "25f9e794323b453885f5181f1b624d0b"),
            (Checksum::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (
                Checksum::Sha256,
                "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
            ),
        ] {
            let mut hasher = Hasher::new(checksum);
            hasher.update(b"1234");
            hasher.update(b"56789");
            assert_eq!(hexadecimal(&hasher.finish()), value, "{checksum:?}");
        }
    }

    #[tokio::test]
    async fn a_wrong_checksum_is_named_with_both_values() {
        let wanted = DigestOptions {
            compute_sha256: true,
            ..DigestOptions::default()
        };
        let mut digests = Digests::new(wanted, &Sink::stdout());
        let mut sink = Sink::stdout();
        let checksum = Some((Checksum::Crc32, vec![0; 4]));
        sink.begin(Entity {
            checksum,
            ..Entity::default()
        })
        .unwrap();
        digests.expect_checksum_of(sink.entity());
        digests.update(b"123456789", 9);
        let error = digests.verify(9).await.unwrap().checksum_mismatch.unwrap();
        assert_eq!(error.code(), Code::DigestMismatch);
        assert!(
            error.message().contains("expected 00000000, got cbf43926"),
            "{error}"
        );
    }
}
