//! The checksums of documents, as tables write them.

use crate::fingerprint::hexadecimal;
use crate::provider::{Algorithm, AlgorithmRule, ChecksumEncoding, ChecksumRule};
use crate::sandbox::document::Document;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use md5::Digest as _;
use ring::digest;
use std::io;

/// The bytes of a document that are read at once.
const PIECE_BYTES: usize = 1 << 20;

/// The name of the algorithm of `rule` in answers. A rule that leaves the algorithm to the answer gets SHA-256.
pub(super) fn algorithm_name(rule: &ChecksumRule) -> &'static str {
    let algorithm = algorithm(rule);
    let mut names = Algorithm::NAMES.iter();
    let name = names.find(|(_, known)| *known == algorithm);
    name.map_or("sha256", |(name, _)| name)
}

fn algorithm(rule: &ChecksumRule) -> Algorithm {
    match rule.algorithm {
        AlgorithmRule::Fixed(algorithm) => algorithm,
        AlgorithmRule::At(_) | AlgorithmRule::Prefix => Algorithm::Sha256,
    }
}

/// The checksum of a document, as `rule` says.
///
/// # Errors
/// When the document cannot be read.
pub(super) fn checksum_text(rule: &ChecksumRule, document: &Document) -> io::Result<String> {
    let bytes = checksum(algorithm(rule), document)?;
    let text = match rule.encoding {
        ChecksumEncoding::Hex => hexadecimal(&bytes),
        ChecksumEncoding::Base64 => STANDARD.encode(&bytes),
    };
    Ok(match rule.algorithm {
        AlgorithmRule::Prefix => format!("{}:{text}", algorithm_name(rule)),
        AlgorithmRule::Fixed(_) | AlgorithmRule::At(_) => text,
    })
}

fn checksum(algorithm: Algorithm, document: &Document) -> io::Result<Vec<u8>> {
    let ring = |algorithm| -> io::Result<Vec<u8>> {
        let mut context = digest::Context::new(algorithm);
        each_piece(document, |piece| context.update(piece))?;
        Ok(context.finish().as_ref().to_vec())
    };
    match algorithm {
        Algorithm::Sha256 => ring(&digest::SHA256),
        Algorithm::Sha512 => ring(&digest::SHA512),
        Algorithm::Sha1 => ring(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        Algorithm::Md5 => {
            let mut md5 = md5::Md5::new();
            each_piece(document, |piece| md5.update(piece))?;
            Ok(md5.finalize().to_vec())
        }
        Algorithm::Crc32c => {
            let mut crc = crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi);
            each_piece(document, |piece| crc.update(piece))?;
            let sum = u32::try_from(crc.finalize()).unwrap_or_default();
            Ok(sum.to_be_bytes().to_vec())
        }
    }
}

fn each_piece(document: &Document, mut with: impl FnMut(&[u8])) -> io::Result<()> {
    let mut offset = 0;
    while offset < document.size {
        let piece = document.read(offset, PIECE_BYTES)?;
        if piece.is_empty() {
            break; // the file is shorter now
        }
        with(&piece);
        offset += piece.len() as u64;
    }
    Ok(())
}
