//! One interface for the algorithms of [`Checksum`].

use crate::http::headers::Checksum;
use crc_fast::CrcAlgorithm;
use md5::Digest as _;
use ring::digest;

/// Computes one checksum of bytes that come piece by piece.
#[derive(Clone)]
pub(super) enum Hasher {
    Ring(digest::Context),
    Md5(md5::Md5),
    /// The CRC, and the number of its bytes.
    Crc(crc_fast::Digest, usize),
}

impl Hasher {
    /// A hasher that has seen no bytes.
    pub(super) fn new(algorithm: Checksum) -> Self {
        match algorithm {
            Checksum::Sha256 => Self::Ring(digest::Context::new(&digest::SHA256)),
            Checksum::Sha512 => Self::Ring(digest::Context::new(&digest::SHA512)),
            Checksum::Sha1 => Self::Ring(digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY)),
            Checksum::Md5 => Self::Md5(md5::Md5::new()),
            Checksum::Crc64Nvme => Self::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme), 8),
            Checksum::Crc32c => Self::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi), 4),
            Checksum::Crc32 => Self::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32IsoHdlc), 4),
        }
    }

    /// Adds the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Ring(context) => context.update(bytes),
            Self::Md5(md5) => md5.update(bytes),
            Self::Crc(crc, _) => crc.update(bytes),
        }
    }

    /// The checksum of all bytes, most significant byte first.
    pub(super) fn finish(self) -> Vec<u8> {
        match self {
            Self::Ring(context) => context.finish().as_ref().to_vec(),
            Self::Md5(md5) => md5.finalize().to_vec(),
            Self::Crc(crc, length) => crc.finalize().to_be_bytes()[8 - length..].to_vec(),
        }
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::hexadecimal;

    /// The published check values: RFC 1321, RFC 6234, and the CRC catalogue's for "123456789".
    #[test]
    fn every_algorithm_gives_its_published_value() {
        for (algorithm, value) in [
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
            let mut hasher = Hasher::new(algorithm);
            hasher.update(b"1234");
            hasher.update(b"56789");
            assert_eq!(hexadecimal(&hasher.finish()), value, "{algorithm:?}");
        }
    }
}
