//! Digests of a document, computed while its bytes arrive.
//!
//! A digest covers the bytes in their order, but segments arrive in any order. So docfetch hashes a
//! partial by reading the file back, from the system's memory. A thread does that beside the transfer,
//! because hashing takes about as long as a fast transfer. Short documents are hashed after the
//! transfer. Bytes for standard output are hashed before they are written.

mod follower;
mod hasher;

use crate::current_document::warn_of_document;
use crate::error::{Code, Error, Result};
use crate::fetch::entity::Entity;
use crate::fetch::options::DigestOptions;
use crate::fetch::transfer::digests::follower::{Follower, hash_file};
use crate::fetch::transfer::digests::hasher::Hasher;
use crate::fetch::transfer::sink::Sink;
use crate::fingerprint::hexadecimal;
use crate::http::headers::Checksum;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// When more bytes than this wait to be hashed, a thread starts to hash them.
const MAX_UNHASHED_BYTES: u64 = 1 << 20;

/// The digests of everything that went into a sink, from its first byte on.
#[derive(Debug)]
pub(crate) struct Digests {
    options: DigestOptions,
    /// The partial's file and its path; `None` for standard output.
    file: Option<(Arc<File>, PathBuf)>,
    sha256: Option<PrefixDigest>,
    checksum: Option<AnnouncedChecksum>,
    /// Whether bytes went to standard output. They cannot be read back, so no other digest can start.
    is_late: bool,
}

/// A checksum that the storage announced.
#[derive(Debug)]
struct AnnouncedChecksum {
    expected: (Checksum, Vec<u8>),
    digest: PrefixDigest,
}

/// A digest of the first bytes of a sink.
#[derive(Debug)]
struct PrefixDigest {
    algorithm: Checksum,
    /// Hashes all bytes, unless a follower does.
    hasher: Hasher,
    follower: Option<Follower>,
}

/// What a comparison of the digests found.
#[derive(Debug, Default)]
pub(crate) struct DigestReport {
    /// The SHA-256 of the bytes in hexadecimal, where docfetch computed that.
    pub sha256: Option<String>,
    /// [`Code::DigestMismatch`], with both values, when the bytes do not have the checksum that the
    /// storage announced.
    pub checksum_mismatch: Option<Error>,
}

impl PrefixDigest {
    fn new(algorithm: Checksum) -> Self {
        Self {
            algorithm,
            hasher: Hasher::new(algorithm),
            follower: None,
        }
    }

    /// The same digest of bytes that go to standard output, which no follower hashes.
    fn of_stream_so_far(&self) -> Self {
        Self {
            hasher: self.hasher.clone(),
            ..Self::new(self.algorithm)
        }
    }

    /// Hashes the bytes of the file before `position`, or leaves them for later when they are few.
    fn follow(&mut self, file: &Arc<File>, position: u64) {
        if let Some(follower) = &self.follower {
            follower.advance_to(position);
        } else if position > MAX_UNHASHED_BYTES {
            self.follower = Follower::start(Arc::clone(file), self.algorithm, position);
        }
    }

    /// The digest of the bytes before `position`. They are in `file`, or were hashed already where there
    /// is no file.
    async fn finish(mut self, file: Option<&Arc<File>>, position: u64) -> io::Result<Vec<u8>> {
        if let Some(file) = file {
            self.follow(file, position);
        }
        if let Some(follower) = self.follower {
            return Ok(follower.finish().await?.finish());
        }
        if let Some(file) = file {
            hash_file(file, &mut self.hasher, position)?;
        }
        Ok(self.hasher.finish())
    }
}

impl Digests {
    /// The digests that `options` ask for, of the bytes that `sink` has and will have.
    pub(crate) fn new(options: DigestOptions, sink: &Sink) -> Self {
        let needs_sha256 = options.compute_sha256 || options.expected_sha256.is_some();
        let mut digests = Self {
            options,
            file: match sink {
                Sink::Partial(partial) => Some((partial.file(), partial.path().to_owned())),
                Sink::Stdout(_) => None,
            },
            sha256: needs_sha256.then(|| PrefixDigest::new(Checksum::Sha256)),
            checksum: None,
            is_late: false,
        };
        digests.expect_checksum_of(sink.entity());
        digests
    }

    /// Expects the checksum that the storage announced for `entity`, unless bytes before it went to
    /// standard output unhashed.
    pub(crate) fn expect_checksum_of(&mut self, entity: &Entity) {
        let expected = self.checksum.as_ref().map(|checksum| &checksum.expected);
        if !self.is_late && expected != entity.checksum.as_ref() {
            self.checksum = entity.checksum.clone().map(|expected| AnnouncedChecksum {
                digest: PrefixDigest::new(expected.0),
                expected,
            });
        }
    }

    /// The sink took `bytes`, and holds all bytes before `position` now.
    pub(crate) fn update(&mut self, bytes: &[u8], position: u64) {
        self.is_late = self.file.is_none();
        let checksum = self.checksum.as_mut().map(|checksum| &mut checksum.digest);
        for digest in self.sha256.iter_mut().chain(checksum) {
            match &self.file {
                Some((file, _)) => digest.follow(file, position),
                None => digest.hasher.update(bytes),
            }
        }
    }

    /// Starts over, because the sink does.
    pub(crate) fn restart(&mut self) {
        (self.checksum, self.is_late) = (None, false);
        if self.sha256.is_some() {
            self.sha256 = Some(PrefixDigest::new(Checksum::Sha256));
        }
    }

    /// Whether [`Digests::verify`] will compare a digest.
    pub(crate) fn has_expected_digest(&self) -> bool {
        self.options.expected_sha256.is_some() || self.checksum.is_some()
    }

    /// The digests of the bytes that `sink` has now.
    pub(crate) fn so_far(&self, sink: &Sink) -> Self {
        if self.file.is_some() {
            return Self::new(self.options, sink);
        }
        let checksum = self.checksum.as_ref();
        Self {
            options: self.options,
            file: None,
            sha256: self.sha256.as_ref().map(PrefixDigest::of_stream_so_far),
            checksum: checksum.map(|checksum| AnnouncedChecksum {
                expected: checksum.expected.clone(),
                digest: checksum.digest.of_stream_so_far(),
            }),
            is_late: self.is_late,
        }
    }

    /// Compares the digests of the bytes before `position`, which are all that the sink has. Where the
    /// user gives a SHA-256, that one decides, and a wrong checksum of the storage is only a warning.
    ///
    /// # Errors
    /// [`Code::DigestMismatch`], with both values, when the bytes do not have the SHA-256 that the user
    /// gives; [`Code::LocalIo`] when the file cannot be read.
    pub(crate) async fn verify(self, position: u64) -> Result<DigestReport> {
        let (file, path) = self.file.unzip();
        let (file, path) = (file.as_ref(), path.unwrap_or_default());
        let unreadable = |error| Error::io("read", &path, &error);
        let mut report = DigestReport::default();
        if let Some(digest) = self.sha256 {
            let actual = digest.finish(file, position).await.map_err(unreadable)?;
            if let Some(expected) = self.options.expected_sha256 {
                compare("SHA-256", &expected, &actual)?;
            }
            report.sha256 = Some(hexadecimal(&actual));
        }
        let Some(AnnouncedChecksum { expected, digest }) = self.checksum else {
            return Ok(report);
        };
        let (algorithm, expected) = expected;
        let actual = digest.finish(file, position).await.map_err(unreadable)?;
        let Err(error) = compare(algorithm.name(), &expected, &actual) else {
            return Ok(report);
        };
        if self.options.expected_sha256.is_some() {
            warn_of_document!("{}; --sha256 decides", error.message());
            return Ok(report);
        }
        if report.sha256.is_none() && file.is_some() {
            // The user can accept the bytes by their SHA-256.
            let digest = PrefixDigest::new(Checksum::Sha256);
            let actual = digest.finish(file, position).await.map_err(unreadable)?;
            report.sha256 = Some(hexadecimal(&actual));
        }
        report.checksum_mismatch = Some(error);
        Ok(report)
    }
}

fn compare(name: &str, expected: &[u8], actual: &[u8]) -> Result<()> {
    if expected == actual {
        return Ok(());
    }
    let what = format!("the document does not have the expected {name}");
    Err(Error::new(Code::DigestMismatch, what).with_cause(format!(
        "expected {}, got {}",
        hexadecimal(expected),
        hexadecimal(actual)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digests of a document with this checksum, of which `123456789` went to standard output.
    fn digests(options: DigestOptions, checksum: [u8; 4]) -> Digests {
        let mut sink = Sink::stdout();
        let checksum = Some((Checksum::Crc32, checksum.to_vec()));
        let entity = Entity {
            checksum,
            ..Entity::default()
        };
        sink.begin(entity).unwrap();
        let mut digests = Digests::new(options, &sink);
        digests.update(b"123456789", 9);
        digests
    }

    #[tokio::test]
    async fn a_wrong_checksum_is_named_with_both_values() {
        let options = DigestOptions {
            compute_sha256: true,
            ..DigestOptions::default()
        };
        let report = digests(options, [0; 4]).verify(9).await.unwrap();
        assert!(report.sha256.unwrap().starts_with("15e2b0d3"));
        let error = report.checksum_mismatch.unwrap();
        assert_eq!(error.code(), Code::DigestMismatch);
        let message = error.message();
        assert!(
            message.contains("expected 00000000, got cbf43926"),
            "{message}"
        );
        let right = digests(options, [0xcb, 0xf4, 0x39, 0x26]);
        let report = right.verify(9).await.unwrap();
        assert!(report.checksum_mismatch.is_none());
    }

    #[tokio::test]
    async fn the_sha256_of_the_user_decides_over_the_checksum_of_the_storage() {
        let mut expected = Hasher::new(Checksum::Sha256);
        expected.update(b"123456789");
        let mut expected: [u8; 32] = expected.finish().try_into().unwrap();
        let options = |expected| DigestOptions {
            expected_sha256: Some(expected),
            ..DigestOptions::default()
        };
        let report = digests(options(expected), [0; 4]).verify(9).await.unwrap();
        assert!(report.checksum_mismatch.is_none());
        expected[0] ^= 1;
        let wrong = digests(options(expected), [0; 4]).verify(9).await;
        assert_eq!(wrong.unwrap_err().code(), Code::DigestMismatch);
    }

    #[test]
    fn a_checksum_that_comes_after_bytes_went_to_standard_output_is_not_expected() {
        let mut digests = Digests::new(DigestOptions::default(), &Sink::stdout());
        digests.update(b"1", 1);
        digests.expect_checksum_of(&Entity {
            checksum: Some((Checksum::Crc32, vec![0; 4])),
            ..Entity::default()
        });
        assert!(!digests.has_expected_digest());
    }
}
