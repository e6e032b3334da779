//! Whether the bytes are the right ones: lengths, `--sha256`, checksum headers.

use super::partial::Partial;
use super::sink::Sink;
use crate::error::{Code, Error, Result};
use crate::http::headers::Checksum;
use crate::model::hexadecimal;
use crc_fast::CrcAlgorithm;
use md5::Digest as _;
use ring::digest;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// What is wanted of the bytes beside their length.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Compute the SHA-256.
    pub sha256: bool,
    /// The SHA-256 that they must have.
    pub expected_sha256: Option<[u8; 32]>,
}

/// Digests of everything that went into a sink, from its first byte on.
#[derive(Default)]
pub struct Digests {
    sha256: Option<Hasher>,
    checksum: Option<(Checksum, Vec<u8>, Hasher)>,
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

impl std::fmt::Debug for Digests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let checksum = self.checksum.as_ref().map(|(checksum, ..)| checksum.name());
        f.debug_struct("Digests")
            .field("sha256", &self.sha256.is_some())
            .field("checksum", &checksum)
            .finish()
    }
}

impl Digests {
    /// For a sink that is empty; `sha256` when that digest is wanted whatever the server sends.
    pub fn new(sha256: bool) -> Self {
        Self {
            sha256: sha256.then(|| Hasher::new(Checksum::Sha256)),
            checksum: None,
        }
    }

    /// Takes in bytes that went into the sink.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.sha256 {
            hasher.update(bytes);
        }
        if let Some((.., hasher)) = &mut self.checksum {
            hasher.update(bytes);
        }
    }

    /// Takes in what a partial holds from an earlier run, before any checksum is announced.
    pub async fn catch_up(&mut self, partial: &Partial) -> Result<()> {
        if self.sha256.is_some() {
            let length = partial.position();
            partial
                .read_back(0..length, |bytes| self.update(bytes))
                .await?;
        }
        Ok(())
    }

    /// Starts over.
    pub fn restart(&mut self) {
        *self = Self::new(self.sha256.is_some());
    }

    /// Notes the checksum that a response announces for the whole object. One that comes while bytes
    /// are in a partial already is computed over those first; what is through a pipe cannot be.
    pub async fn expect(
        &mut self,
        announced: Option<(Checksum, Vec<u8>)>,
        sink: &Sink,
    ) -> Result<()> {
        let late = sink.is_stream() && sink.position() > 0;
        let Some((checksum, value)) = announced.filter(|_| self.checksum.is_none() && !late) else {
            return Ok(());
        };
        let mut hasher = Hasher::new(checksum);
        if let Sink::Partial(partial) = sink {
            let length = partial.position();
            partial
                .read_back(0..length, |bytes| hasher.update(bytes))
                .await?;
        }
        self.checksum = Some((checksum, value, hasher));
        Ok(())
    }

    /// Whether there will be something to check the bytes against.
    pub fn proves(&self, expected_sha256: bool) -> bool {
        expected_sha256 || self.checksum.is_some()
    }

    /// Compares; returns the SHA-256 in hexadecimal where it was computed.
    ///
    /// # Errors
    /// [`Code::DigestMismatch`], with both values.
    pub fn check(self, expected_sha256: Option<&[u8; 32]>) -> Result<Option<String>> {
        if let Some((checksum, expected, hasher)) = self.checksum {
            compare(checksum.name(), &expected, &hasher.finish())
                .map_err(|error| error.hint("run again; if it stays, tell the provider"))?;
        }
        let Some(hasher) = self.sha256 else {
            return Ok(None);
        };
        let actual = hasher.finish();
        if let Some(expected) = expected_sha256 {
            compare("SHA-256", expected, &actual)?;
        }
        Ok(Some(hexadecimal(&actual)))
    }
}

/// The SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut piece = vec![0; 128 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hexadecimal(context.finish().as_ref())),
            read => context.update(&piece[..read]),
        }
    }
}

fn compare(name: &str, expected: &[u8], actual: &[u8]) -> Result<()> {
    if expected == actual {
        return Ok(());
    }
    Err(Error::new(
        Code::DigestMismatch,
        format!("the document does not have the expected {name}"),
    )
    .why(format!(
        "expected {}, got {}",
        hexadecimal(expected),
        hexadecimal(actual)
    )))
}

/// What is known of how long the document must be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lengths {
    /// By the response: `Content-Length` or the range's total.
    pub announced: Option<u64>,
    /// By the provider's metadata.
    pub metadata: Option<u64>,
    /// Whether the end of the body could be told from a broken connection.
    pub end_was_marked: bool,
}

/// Checks `length`, of a body that ended by itself. `proven` when a digest will be checked as well.
///
/// # Errors
/// [`Code::LengthMismatch`].
pub fn check_length(length: u64, known: Lengths, proven: bool) -> Result<()> {
    let mismatch = |expected: u64, by: &str| {
        Err(Error::new(
            Code::LengthMismatch,
            "the document does not have its length",
        )
        .why(format!("{by} says {expected} bytes, {length} arrived")))
    };
    match known {
        Lengths {
            announced: Some(total),
            metadata,
            ..
        } => {
            if total != length {
                return mismatch(total, "the storage");
            }
            if let Some(size) = metadata.filter(|size| *size != length) {
                log::warn!("the provider's metadata says {size} bytes, the document has {length}");
            }
            Ok(())
        }
        Lengths {
            metadata: Some(size),
            ..
        } if size != length => mismatch(size, "the provider"),
        Lengths {
            metadata: Some(_), ..
        } => Ok(()),
        Lengths {
            end_was_marked: false,
            ..
        } if !proven => Err(
            Error::new(Code::LengthMismatch, "the document may not be complete")
                .why("the storage told neither its length nor where it ends")
                .hint("give its digest with --sha256"),
        ),
        _ => Ok(()),
    }
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
        let mut digests = Digests::new(true);
        digests
            .expect(Some((Checksum::Crc32, vec![0; 4])), &Sink::stdout())
            .await
            .unwrap();
        digests.update(b"123456789");
        let error = digests.check(None).unwrap_err();
        assert_eq!(error.code(), Code::DigestMismatch);
        assert!(
            error.message().contains("expected 00000000, got cbf43926"),
            "{error}"
        );
    }

    #[test]
    fn the_metadata_decides_only_where_the_response_has_no_length() {
        let known = |announced, metadata, end_was_marked| Lengths {
            announced,
            metadata,
            end_was_marked,
        };
        let ok = |known, proven| check_length(10, known, proven).is_ok();
        assert!(ok(known(Some(10), Some(9), true), false));
        assert!(!ok(known(Some(11), Some(10), true), false));
        assert!(ok(known(None, Some(10), false), false));
        assert!(!ok(known(None, Some(11), true), true));
        assert!(ok(known(None, None, true), false));
        assert!(!ok(known(None, None, false), false));
        assert!(ok(known(None, None, false), true));
    }
}
