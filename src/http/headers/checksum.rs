//! Checksums of the whole document in response headers.

use super::text::text;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use reqwest::header::{self, HeaderMap};
use serde::{Deserialize, Serialize};

/// A checksum algorithm that servers use in headers. The stronger of two comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Checksum {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
    /// SHA-1.
    Sha1,
    /// MD5.
    Md5,
    /// CRC-64/NVME.
    Crc64Nvme,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-32 (ISO-HDLC).
    Crc32,
}

impl Checksum {
    /// Its name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Sha512 => "SHA-512",
            Self::Sha1 => "SHA-1",
            Self::Md5 => "MD5",
            Self::Crc64Nvme => "CRC-64/NVME",
            Self::Crc32c => "CRC-32C",
            Self::Crc32 => "CRC-32",
        }
    }

    /// The length of a value, in bytes.
    fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
            Self::Sha1 => 20,
            Self::Md5 => 16,
            Self::Crc64Nvme => 8,
            Self::Crc32c | Self::Crc32 => 4,
        }
    }
}

/// Base64 with or without its padding.
const ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A checksum that a document must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExpectedChecksum {
    /// The algorithm.
    pub algorithm: Checksum,
    /// The value, most significant byte first.
    pub value: Vec<u8>,
}

impl ExpectedChecksum {
    /// The checksum that `text` writes in hexadecimal digits of either case. None where the text is none of this
    /// algorithm.
    pub(crate) fn from_hexadecimal(algorithm: Checksum, text: &str) -> Option<Self> {
        let digits = text.trim().as_bytes();
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let pairs = digits.chunks(2).map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
            _ => None,
        });
        Self::of(algorithm, pairs.collect::<Option<_>>()?)
    }

    /// The checksum that `text` writes in base64 (RFC 4648 sections 4 and 5), with or without its padding. None where
    /// the text is none of this algorithm.
    pub(crate) fn from_base64(algorithm: Checksum, text: &str) -> Option<Self> {
        let standard = text.trim().replace('-', "+").replace('_', "/");
        Self::of(algorithm, ANY_PADDING.decode(standard).ok()?)
    }

    fn of(algorithm: Checksum, value: Vec<u8>) -> Option<Self> {
        (value.len() == algorithm.length()).then_some(Self { algorithm, value })
    }
}

/// The strongest checksum that covers the whole document as it is stored, with its value.
///
/// Sources: `x-amz-checksum-*` of S3, `x-goog-hash` of Google, `Repr-Digest` (RFC 9530 section 3),
/// `Digest` (RFC 3230 section 4.3.2) and `Content-MD5` (RFC 1864).
///
/// `is_whole` says whether the body is the whole document. If not, the headers of S3 and `Content-MD5` do
/// not count, because they may cover only the range. Composite checksums of S3, which cover a list of parts,
/// do not count, nor does `x-goog-hash` when the storage decompressed the document.
pub(crate) fn checksum(headers: &HeaderMap, is_whole: bool) -> Option<(Checksum, Vec<u8>)> {
    let mut found = Vec::new();
    if is_whole {
        found.extend(s3_checksums(headers));
    }
    found.extend(digest_fields(headers));
    found.extend(google_hashes(headers));
    if is_whole {
        found.extend(text(headers, "content-md5").map(|value| (Checksum::Md5, value)));
    }
    found
        .into_iter()
        .filter_map(|(algorithm, value)| {
            let value = STANDARD.decode(value).ok()?;
            (value.len() == algorithm.length()).then_some((algorithm, value))
        })
        .min_by_key(|(algorithm, _)| *algorithm as u8)
}

/// A checksum and its value in base64.
type Encoded<'a> = (Checksum, &'a str);

fn s3_checksums(headers: &HeaderMap) -> Vec<Encoded<'_>> {
    let is_composite = text(headers, "x-amz-checksum-type")
        .is_some_and(|kind| kind.eq_ignore_ascii_case("COMPOSITE"));
    if is_composite {
        return Vec::new();
    }
    let algorithms = [
        ("x-amz-checksum-sha256", Checksum::Sha256),
        ("x-amz-checksum-sha1", Checksum::Sha1),
        ("x-amz-checksum-crc64nvme", Checksum::Crc64Nvme),
        ("x-amz-checksum-crc32c", Checksum::Crc32c),
        ("x-amz-checksum-crc32", Checksum::Crc32),
    ];
    let found = algorithms.into_iter().filter_map(|(name, algorithm)| {
        let value = text(headers, name)?;
        Some((algorithm, value))
    });
    found.collect()
}

/// The checksums of `Repr-Digest` and of its predecessor `Digest`.
fn digest_fields(headers: &HeaderMap) -> Vec<Encoded<'_>> {
    let fields = ["repr-digest", "digest"]
        .into_iter()
        .filter_map(|name| text(headers, name));
    let found = fields.flat_map(pairs).filter_map(|(algorithm, value)| {
        let algorithm = match algorithm.to_ascii_lowercase().as_str() {
            "sha-256" => Checksum::Sha256,
            "sha-512" => Checksum::Sha512,
            "sha" => Checksum::Sha1,
            "md5" => Checksum::Md5,
            _ => return None,
        };
        // RFC 9530 puts the value between colons, RFC 3230 does not.
        Some((algorithm, value.trim_matches(':')))
    });
    found.collect()
}

fn google_hashes(headers: &HeaderMap) -> Vec<Encoded<'_>> {
    let is_decompressed = text(headers, "x-goog-stored-content-encoding")
        .is_some_and(|stored| stored != "identity")
        && !headers.contains_key(header::CONTENT_ENCODING);
    if is_decompressed {
        return Vec::new();
    }
    let values = headers.get_all("x-goog-hash").into_iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let found = values
        .flat_map(pairs)
        .filter_map(|(algorithm, value)| match algorithm {
            "crc32c" => Some((Checksum::Crc32c, value)),
            "md5" => Some((Checksum::Md5, value)),
            _ => None,
        });
    found.collect()
}

/// The pairs of `a=x, b=y`. The value is everything after the first `=`, because base64 may end in `=`.
fn pairs(value: &str) -> impl Iterator<Item = (&str, &str)> {
    value
        .split(',')
        .filter_map(|pair| pair.trim().split_once('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::test_headers::headers;

    #[test]
    fn the_strongest_checksum_of_the_whole_object_is_taken() {
        let md5 = ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==");
        let crc = ("x-amz-checksum-crc32c", "AAAAAA==");
        let sha = (
            "repr-digest",
            "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:, md5=:xxxx:",
        );
        let of = |pairs: &[_], whole| checksum(&headers(pairs), whole).map(|(kind, _)| kind);
        assert_eq!(of(&[md5, crc, sha], true), Some(Checksum::Sha256));
        assert_eq!(of(&[md5, crc], true), Some(Checksum::Md5));
        assert_eq!(of(&[md5, crc], false), None);
        assert_eq!(of(&[md5, crc, sha], false), Some(Checksum::Sha256));
        let goog = (
            "x-goog-hash",
            "crc32c=AAAAAA==,md5=1B2M2Y8AsgTpgAmY7PhCfg==",
        );
        assert_eq!(of(&[goog], false), Some(Checksum::Md5));
        assert_eq!(
            of(&[goog, ("x-goog-stored-content-encoding", "gzip")], true),
            None
        );
    }

    #[test]
    fn a_checksum_is_read_from_hexadecimal_and_from_base64() {
        let crc = |value: [u8; 4]| {
            Some(ExpectedChecksum {
                algorithm: Checksum::Crc32c,
                value: value.to_vec(),
            })
        };
        let hexadecimal = |text| ExpectedChecksum::from_hexadecimal(Checksum::Crc32c, text);
        let base64 = |text| ExpectedChecksum::from_base64(Checksum::Crc32c, text);
        for text in ["e306ffbe", "E306FFBE", " e306FFbe\n"] {
            assert_eq!(hexadecimal(text), crc([0xe3, 0x06, 0xff, 0xbe]), "{text}");
        }
        for text in ["4wb/vg==", "4wb/vg", "4wb_vg"] {
            assert_eq!(base64(text), crc([0xe3, 0x06, 0xff, 0xbe]), "{text}");
        }
        for text in [
            "",
            "e306ff",
            "e306ffb",
            "e306ffbeaa",
            "e306ffbx",
            "+306ffbe",
            "4wb/vg==",
        ] {
            assert_eq!(hexadecimal(text), None, "{text}");
        }
        for text in ["", "4wb/", "4wb/vgAA", "e306ffbe", "4wb/vg==-3"] {
            assert_eq!(base64(text), None, "{text}");
        }
    }

    #[test]
    fn composite_and_malformed_checksums_are_passed_over() {
        let of = |pairs: &[_]| checksum(&headers(pairs), true).map(|(kind, _)| kind);
        assert_eq!(of(&[("x-amz-checksum-crc32c", "AAAAAA==-3")]), None);
        let crc = ("x-amz-checksum-crc32c", "AAAAAA==");
        assert_eq!(of(&[crc, ("x-amz-checksum-type", "COMPOSITE")]), None);
        assert_eq!(of(&[("content-md5", "AAAA")]), None);
    }
}
