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
use crate::http::headers::{Checksum, ExpectedChecksum};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// When more bytes than this wait to be hashed, a thread starts to hash them.
const MAX_UNHASHED_BYTES: u64 = 1 << 20;

/// The digests of everything that went into a sink, from its first byte on.
#[derive(Debug)]
pub(crate) struct Digests {
    options: DigestOptions,
    /// The partial's file and its path; `None` for standard output.
    file: Option<(Arc<File>, PathBuf)>,
    /// One digest for each algorithm that docfetch needs.
    computed: Vec<PrefixDigest>,
    /// What the API told of the document. All of them must match.
    told: Vec<ExpectedChecksum>,
    /// What the storage announced of the representation.
    announced: Option<ExpectedChecksum>,
    /// Whether bytes went to standard output. They cannot be read back, so no other digest can start.
    is_late: bool,
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
    /// [`Code::DigestMismatch`], with both values, when the bytes do not have a checksum that the API or the
    /// storage told.
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
    /// The digests that `options` ask for, and those of the checksums that the API `told`, of the bytes that `sink`
    /// has and will have.
    pub(crate) fn new(options: DigestOptions, told: &[ExpectedChecksum], sink: &Sink) -> Self {
        let mut digests = Self {
            options,
            file: match sink {
                Sink::Partial(partial) => Some((partial.file(), partial.path().to_owned())),
                Sink::Stdout(_) => None,
            },
            computed: Vec::new(),
            told: told.to_vec(),
            announced: None,
            is_late: false,
        };
        digests.expect_checksum_of(sink.entity());
        digests
    }

    /// Expects the checksum that the storage announced for `entity`, unless bytes before it went to
    /// standard output unhashed.
    pub(crate) fn expect_checksum_of(&mut self, entity: &Entity) {
        let announced = entity.checksum.clone();
        let announced = announced.map(|(algorithm, value)| ExpectedChecksum { algorithm, value });
        if self.announced != announced && !self.is_late {
            self.announced = announced;
        }
        self.start_digests();
    }

    /// Expects a further checksum that the API told, unless bytes before it went to standard output unhashed.
    pub(crate) fn expect_told(&mut self, checksum: &ExpectedChecksum) {
        let can_start = !self.is_late || self.has_digest(checksum.algorithm);
        if can_start && !self.told.contains(checksum) {
            self.told.push(checksum.clone());
            self.start_digests();
        }
    }

    /// Starts the digests that are needed and missing, and ends those that are needed no more.
    fn start_digests(&mut self) {
        let of_user = self.options.compute_sha256 || self.options.expected_sha256.is_some();
        let expected = self.told.iter().chain(&self.announced);
        let algorithms = expected.map(|checksum| checksum.algorithm);
        let needed: Vec<Checksum> = of_user
            .then_some(Checksum::Sha256)
            .into_iter()
            .chain(algorithms)
            .collect();
        self.computed
            .retain(|digest| needed.contains(&digest.algorithm));
        for algorithm in needed {
            if !self.has_digest(algorithm) {
                self.computed.push(PrefixDigest::new(algorithm));
            }
        }
    }

    fn has_digest(&self, algorithm: Checksum) -> bool {
        let mut digests = self.computed.iter();
        digests.any(|digest| digest.algorithm == algorithm)
    }

    /// The sink took `bytes`, and holds all bytes before `position` now.
    pub(crate) fn update(&mut self, bytes: &[u8], position: u64) {
        self.is_late = self.file.is_none();
        for digest in &mut self.computed {
            match &self.file {
                Some((file, _)) => digest.follow(file, position),
                None => digest.hasher.update(bytes),
            }
        }
    }

    /// Starts over, because the sink does. What the API told stays.
    pub(crate) fn restart(&mut self) {
        (self.announced, self.is_late) = (None, false);
        self.computed.clear();
        self.start_digests();
    }

    /// Whether [`Digests::verify`] will compare a digest.
    pub(crate) fn has_expected_digest(&self) -> bool {
        self.options.expected_sha256.is_some() || self.announced.is_some() || !self.told.is_empty()
    }

    /// Whether [`Digests::verify`] will compare a checksum that the API told.
    pub(crate) fn has_told(&self) -> bool {
        !self.told.is_empty()
    }

    /// The digests of the bytes that `sink` has now.
    pub(crate) fn so_far(&self, sink: &Sink) -> Self {
        if self.file.is_some() {
            return Self::new(self.options, &self.told, sink);
        }
        let digests = self.computed.iter();
        Self {
            options: self.options,
            file: None,
            computed: digests.map(PrefixDigest::of_stream_so_far).collect(),
            told: self.told.clone(),
            announced: self.announced.clone(),
            is_late: self.is_late,
        }
    }

    /// Compares the digests of the bytes before `position`, which are all that the sink has. Where the
    /// user gives a SHA-256, that one decides, and any other wrong checksum is only a warning.
    ///
    /// # Errors
    /// [`Code::DigestMismatch`], with both values, when the bytes do not have the SHA-256 that the user
    /// gives; [`Code::LocalIo`] when the file cannot be read.
    pub(crate) async fn verify(mut self, position: u64) -> Result<DigestReport> {
        let mut report = DigestReport::default();
        let mut known: Vec<(Checksum, Vec<u8>)> = Vec::new();
        let of_user = self.options.expected_sha256;
        if of_user.is_some() || self.options.compute_sha256 {
            let actual = self.finish(Checksum::Sha256, position).await?;
            if let Some(expected) = of_user {
                compare("the expected SHA-256", &expected, &actual)?;
            }
            report.sha256 = Some(hexadecimal(&actual));
            known.push((Checksum::Sha256, actual));
        }
        let told = std::mem::take(&mut self.told).into_iter();
        let told = told.map(|checksum| (checksum, "that the API tells"));
        let announced = self.announced.take().into_iter();
        let announced = announced.map(|checksum| (checksum, "that the storage announced"));
        for (ExpectedChecksum { algorithm, value }, teller) in told.chain(announced) {
            let actual = match known.iter().find(|(known, _)| *known == algorithm) {
                Some((_, actual)) => actual.clone(),
                None => self.finish(algorithm, position).await?,
            };
            let what = format!("the {} {teller}", algorithm.name());
            let compared = compare(&what, &value, &actual);
            known.push((algorithm, actual));
            let Err(error) = compared else { continue };
            if of_user.is_some() {
                warn_of_document!("{}; --sha256 decides", error.message());
                continue;
            }
            report.checksum_mismatch.get_or_insert(error);
        }
        if report.checksum_mismatch.is_some() && report.sha256.is_none() && self.file.is_some() {
            // The user can accept the bytes by their SHA-256.
            let actual = self.finish(Checksum::Sha256, position).await?;
            report.sha256 = Some(hexadecimal(&actual));
        }
        Ok(report)
    }

    /// The digest of the bytes before `position`.
    async fn finish(&mut self, algorithm: Checksum, position: u64) -> Result<Vec<u8>> {
        let mut digests = self.computed.iter();
        let started = digests.position(|digest| digest.algorithm == algorithm);
        let digest = match started {
            Some(index) => self.computed.swap_remove(index),
            None => PrefixDigest::new(algorithm),
        };
        let file = self.file.as_ref();
        let finished = digest.finish(file.map(|(file, _)| file), position).await;
        finished.map_err(|error| {
            let path = file.map(|(_, path)| path.as_path());
            Error::io("read", path.unwrap_or(Path::new("")), &error)
        })
    }
}

/// Compares a digest with `what` the document has, such as *the expected MD5*.
fn compare(what: &str, expected: &[u8], actual: &[u8]) -> Result<()> {
    if expected == actual {
        return Ok(());
    }
    let what = format!("the document does not have {what}");
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
        let mut digests = Digests::new(options, &[], &sink);
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

    /// The value of each algorithm for `123456789`: RFC 1321, RFC 6234 and the CRC catalogue.
    const VALUES: [(Checksum, &str); 5] = [
        (
            Checksum::Sha256,
            "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
        ),
        (
            Checksum::Sha512,
            "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274ad27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85",
        ),
        (Checksum::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
        (Checksum::Md5, "25f9e794323b453885f5181f1b624d0b"),
        (Checksum::Crc32c, "e3069283"),
    ];

    /// Checksums of the API, of which those at `wrong` have other values than `123456789` has.
    fn told(wrong: &[usize]) -> Vec<ExpectedChecksum> {
        let values = VALUES
            .iter()
            .enumerate()
            .map(|(index, (algorithm, value))| {
                let mut checksum = ExpectedChecksum::from_hexadecimal(*algorithm, value).unwrap();
                checksum.value[0] ^= u8::from(wrong.contains(&index));
                checksum
            });
        values.collect()
    }

    #[tokio::test]
    async fn each_checksum_of_the_api_must_match() {
        let compute = |compute_sha256| DigestOptions {
            compute_sha256,
            ..DigestOptions::default()
        };
        for compute_sha256 in [true, false] {
            for wrong in [&[][..], &[0], &[1], &[2], &[3], &[4]] {
                let mut digests =
                    Digests::new(compute(compute_sha256), &told(wrong), &Sink::stdout());
                digests.update(b"1234", 4);
                digests.update(b"56789", 9);
                let report = digests.verify(9).await.unwrap();
                let mismatch = report.checksum_mismatch.map(|error| error.message());
                let expected = wrong.first().map(|index| VALUES[*index].0.name());
                assert_eq!(
                    mismatch.is_some(),
                    expected.is_some(),
                    "{wrong:?}: {mismatch:?}"
                );
                let named = format!("the {} that the API tells", expected.unwrap_or_default());
                assert!(
                    mismatch.is_none_or(|message| message.contains(&named)),
                    "{wrong:?}"
                );
            }
        }
    }

    #[tokio::test]
    async fn one_algorithm_is_computed_once_and_a_restart_keeps_what_the_api_told() {
        let options = DigestOptions {
            compute_sha256: true,
            ..DigestOptions::default()
        };
        let mut digests = Digests::new(options, &told(&[]), &Sink::stdout());
        digests.expect_checksum_of(&Entity {
            checksum: Some((Checksum::Md5, vec![0; 16])),
            ..Entity::default()
        });
        assert_eq!(digests.computed.len(), VALUES.len());
        digests.update(b"other", 5);
        digests.expect_told(&ExpectedChecksum {
            algorithm: Checksum::Crc32,
            value: vec![0; 4],
        });
        assert_eq!(
            digests.computed.len(),
            VALUES.len(),
            "the first bytes are gone"
        );
        digests.restart();
        digests.update(b"123456789", 9);
        let report = digests.verify(9).await.unwrap();
        assert!(report.checksum_mismatch.is_none());
    }

    #[test]
    fn a_checksum_that_comes_after_bytes_went_to_standard_output_is_not_expected() {
        let mut digests = Digests::new(DigestOptions::default(), &[], &Sink::stdout());
        digests.update(b"1", 1);
        digests.expect_checksum_of(&Entity {
            checksum: Some((Checksum::Crc32, vec![0; 4])),
            ..Entity::default()
        });
        assert!(!digests.has_expected_digest());
    }
}
