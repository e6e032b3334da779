//! What response headers say: ranges, entity tags, waits, checksums.

use crate::secret;
use crate::text::{LARGEST_SIZE, LONGEST_TIME};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Version;
use reqwest::header::{self, HeaderMap};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};
use url::Url;

/// A `Content-Range` (RFC 9110 section 14.4) of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentRange {
    /// `bytes first-last/total`.
    Part {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte.
        last: u64,
        /// Length of the whole, unless it is `*`.
        total: Option<u64>,
    },
    /// `bytes */total`, of a 416.
    Unsatisfied {
        /// Length of the whole.
        total: u64,
    },
}

/// The header's text, where it is text.
pub(crate) fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// The `Location` (RFC 9110 section 10.2.2) relative to `url`. Servers send raw UTF-8 as well, which
/// becomes percent-encoded here, as in every browser.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn location(headers: &HeaderMap, url: &Url) -> Result<Url, &'static str> {
    let value = headers
        .get(header::LOCATION)
        .filter(|value| !value.is_empty());
    let bytes = value.ok_or("its redirect has no Location")?.as_bytes();
    std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| url.join(text.trim()).ok())
        .ok_or("its redirect's Location is no URL")
}

/// The `Content-Range`, when there is one and it makes sense.
pub(crate) fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    let value = text(headers, header::CONTENT_RANGE)?;
    let (unit, rest) = value.split_once(' ')?;
    let (range, total) = rest.trim().split_once('/')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    if range == "*" {
        return Some(ContentRange::Unsatisfied {
            total: number(total)?,
        });
    }
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let total = if total == "*" {
        None
    } else {
        Some(number(total)?)
    };
    (first <= last && total.is_none_or(|total| last < total)).then_some(ContentRange::Part {
        first,
        last,
        total,
    })
}

/// Digits only: `parse` alone would take a sign. No position is beyond [`LARGEST_SIZE`].
fn number(text: &str) -> Option<u64> {
    let number = are_digits(text).then(|| text.parse().ok())?;
    number.filter(|number| *number <= LARGEST_SIZE)
}

fn are_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Seconds, with a fraction or without; at most [`LONGEST_TIME`].
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = are_digits(whole) && are_digits(fraction);
    let seconds: f64 = is_number.then(|| text.parse().ok())??;
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_TIME);
    Some(seconds.min(LONGEST_TIME))
}

/// How many things a header counts.
pub(crate) fn count(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<u64> {
    number(text(headers, name)?)
}

/// The announced length of a body (RFC 9110 section 8.6), in bytes. Several must say the same.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let mut lengths = Vec::new();
    for value in headers.get_all(header::CONTENT_LENGTH) {
        for length in value.to_str().ok()?.split(',') {
            lengths.push(number(length.trim())?);
        }
    }
    lengths.dedup();
    let [length] = lengths[..] else {
        return None;
    };
    Some(length)
}

/// Whether the end of a body can be told from a broken connection (RFC 9112 section 6.3): by its length,
/// the last chunk, or the end of an HTTP/2 stream. A recipient that understands only one of several
/// announcements takes something else for the body: only what is unambiguous counts.
///
/// # Errors
/// What is ambiguous.
pub(crate) fn end_is_marked(version: Version, headers: &HeaderMap) -> Result<bool, &'static str> {
    if version >= Version::HTTP_2 {
        return Ok(true);
    }
    let has_length = headers.contains_key(header::CONTENT_LENGTH);
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) if has_length && content_length(headers).is_none() => {
            Err("its Content-Length is no length")
        }
        (None, _) => Ok(has_length),
        (Some(_), _) if has_length => Err("it has a Transfer-Encoding and a Content-Length"),
        (Some(coding), None)
            if version == Version::HTTP_11
                && coding
                    .as_bytes()
                    .trim_ascii()
                    .eq_ignore_ascii_case(b"chunked") =>
        {
            Ok(true)
        }
        _ => Err("its Transfer-Encoding is another one than `chunked`"),
    }
}

/// A longer entity tag, in bytes, is none: a sidecar has no room for it.
const LONGEST_TAG: usize = 1024;

/// The entity tag (RFC 9110 section 8.8.3), quotes and all, as it came. One that holds a secret is none:
/// it would go into records and sidecars.
pub(crate) fn entity_tag(headers: &HeaderMap) -> Option<String> {
    text(headers, header::ETAG)
        .filter(|tag| !tag.is_empty() && tag.len() <= LONGEST_TAG && !secret::is_in(tag))
        .map(str::to_owned)
}

/// Whether an entity tag is strong: only such a tag may join parts of a body (section 13.1.5). Some
/// storages (Swift) send it without its quotes.
pub(crate) fn is_strong(tag: &str) -> bool {
    let is_weak = tag
        .get(..2)
        .is_some_and(|start| start.eq_ignore_ascii_case("W/"));
    is_quoted(tag) || !(tag.is_empty() || tag.contains('"') || is_weak)
}

/// Whether an entity tag that [`is_strong`] has its quotes.
pub(crate) fn is_quoted(tag: &str) -> bool {
    tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"')
}

/// The media type without its parameters. One that holds a secret is none.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let essence = text(headers, header::CONTENT_TYPE)?
        .split(';')
        .next()?
        .trim();
    (!essence.is_empty() && !secret::is_in(essence)).then(|| essence.to_ascii_lowercase())
}

/// How long `Retry-After` (RFC 9110 section 10.2.3) asks to wait, in either of its forms: at most
/// [`LONGEST_TIME`]. Some servers send a fraction. A date is read against the server's own `Date` where
/// it has one, so that a wrong clock here does not matter.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = text(headers, header::RETRY_AFTER)?;
    if let Some(seconds) = seconds(value) {
        return Some(seconds);
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let now = text(headers, header::DATE)
        .and_then(|date| httpdate::parse_http_date(date).ok())
        .unwrap_or(now);
    let wait = date.duration_since(now).unwrap_or_default();
    Some(wait.min(LONGEST_TIME))
}

/// A checksum algorithm that servers send.
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

    fn bytes(self) -> usize {
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

/// The strongest checksum that covers the whole object as it is stored, with its value.
///
/// Sources: S3's `x-amz-checksum-*`, Google's `x-goog-hash`, `Repr-Digest` (RFC 9530), `Digest`
/// (RFC 3230) and `Content-MD5` (RFC 1864). Of S3's and the last only those of a `whole` body count:
/// of a range they can be of a part. A composite value (`…-N`, of parts) is passed over, and so is Google's when the object
/// was decompressed on its way.
pub(crate) fn checksum(headers: &HeaderMap, whole: bool) -> Option<(Checksum, Vec<u8>)> {
    let mut found: Vec<(Checksum, &str)> = Vec::new();
    let composite = text(headers, "x-amz-checksum-type")
        .is_some_and(|kind| kind.eq_ignore_ascii_case("COMPOSITE"));
    // Of a range, S3 may send the checksum of the part that it is aligned with.
    if whole && !composite {
        for (name, algorithm) in [
            ("x-amz-checksum-sha256", Checksum::Sha256),
            ("x-amz-checksum-sha1", Checksum::Sha1),
            ("x-amz-checksum-crc64nvme", Checksum::Crc64Nvme),
            ("x-amz-checksum-crc32c", Checksum::Crc32c),
            ("x-amz-checksum-crc32", Checksum::Crc32),
        ] {
            found.extend(text(headers, name).map(|value| (algorithm, value)));
        }
    }
    for name in ["repr-digest", "digest"] {
        for (algorithm, value) in text(headers, name).into_iter().flat_map(pairs) {
            let algorithm = match algorithm.to_ascii_lowercase().as_str() {
                "sha-256" => Checksum::Sha256,
                "sha-512" => Checksum::Sha512,
                "sha" => Checksum::Sha1,
                "md5" => Checksum::Md5,
                _ => continue,
            };
            // RFC 9530 puts the value between colons, RFC 3230 does not.
            found.push((algorithm, value.trim_matches(':')));
        }
    }
    let decompressed = text(headers, "x-goog-stored-content-encoding")
        .is_some_and(|stored| stored != "identity")
        && !headers.contains_key(header::CONTENT_ENCODING);
    if !decompressed {
        for value in headers.get_all("x-goog-hash") {
            for (algorithm, value) in value.to_str().into_iter().flat_map(pairs) {
                match algorithm {
                    "crc32c" => found.push((Checksum::Crc32c, value)),
                    "md5" => found.push((Checksum::Md5, value)),
                    _ => {}
                }
            }
        }
    }
    if whole {
        found.extend(text(headers, "content-md5").map(|value| (Checksum::Md5, value)));
    }
    found
        .into_iter()
        .filter_map(|(algorithm, value)| {
            let value = STANDARD.decode(value).ok()?;
            (value.len() == algorithm.bytes()).then_some((algorithm, value))
        })
        .min_by_key(|(algorithm, _)| *algorithm as u8)
}

/// `a=x, b=y`: the value is everything after the first `=`, for base64 ends in some.
fn pairs(value: &str) -> impl Iterator<Item = (&str, &str)> {
    value
        .split(',')
        .filter_map(|pair| pair.trim().split_once('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn content_ranges_are_read_or_refused() {
        let of = |value| content_range(&headers(&[("content-range", value)]));
        let part = |first, last, total| Some(ContentRange::Part { first, last, total });
        assert_eq!(of("bytes 5-9/10"), part(5, 9, Some(10)));
        assert_eq!(of("bytes 5-9/*"), part(5, 9, None));
        assert_eq!(
            of("bytes */10"),
            Some(ContentRange::Unsatisfied { total: 10 })
        );
        for wrong in [
            "bytes 5-10/10",
            "bytes 9-5/10",
            "bytes -5/10",
            "items 0-1/2",
            "bytes 0-1",
            "bytes +0-1/2",
            "bytes */*",
            "bytes 0-99999999999999999999/*",
            "",
            "bytes",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_end_of_a_body_is_marked_in_one_way_or_not_at_all() {
        let of = |version, pairs: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in pairs {
                let name = HeaderName::from_static(name);
                map.append(name, HeaderValue::from_static(value));
            }
            end_is_marked(version, &map).ok()
        };
        let (coding, length) = ("transfer-encoding", "content-length");
        for (pairs, marked) in [
            (&[][..], Some(false)),
            (&[(length, "5")], Some(true)),
            (&[(length, "5"), (length, "5")], Some(true)),
            (&[(length, "5, 5")], Some(true)),
            (&[(length, "5"), (length, "6")], None),
            (&[(length, "5, 6")], None),
            (&[(length, "+5")], None),
            (&[(length, "")], None),
            (&[(coding, "chunked")], Some(true)),
            (&[(coding, "Chunked ")], Some(true)),
            (&[(coding, "xchunked")], None),
            (&[(coding, "gzip, chunked")], None),
            (&[(coding, "chunked, chunked")], None),
            (&[(coding, "chunked"), (coding, "chunked")], None),
            (&[(coding, "gzip"), (coding, "chunked")], None),
            (&[(coding, "identity")], None),
            (&[(coding, "")], None),
            (&[(coding, "chunked"), (length, "5")], None),
        ] {
            assert_eq!(of(Version::HTTP_11, pairs), marked, "{pairs:?}");
        }
        assert_eq!(of(Version::HTTP_10, &[(coding, "chunked")]), None);
        assert_eq!(of(Version::HTTP_2, &[]), Some(true));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_by_the_servers_clock() {
        let now = SystemTime::UNIX_EPOCH;
        let of = |pairs: &[_]| retry_after(&headers(pairs), now).map(|wait| wait.as_secs());
        assert_eq!(of(&[("retry-after", "7")]), Some(7));
        assert_eq!(of(&[("retry-after", "0")]), Some(0));
        assert_eq!(of(&[("retry-after", "12.5")]), Some(12));
        for nonsense in ["", ".5", "5.", "1e3", "+7", "inf", "NaN", "1.5.5", "7 s"] {
            assert_eq!(of(&[("retry-after", nonsense)]), None, "{nonsense:?}");
        }
        let huge = "9".repeat(400);
        for huge in ["18446744073709551615", "18446744073709551616", &huge] {
            assert_eq!(of(&[("retry-after", huge)]), Some(1_000_000_000), "{huge}");
        }
        let end = ("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(of(&[end]), Some(1_000_000_000));
        assert_eq!(of(&[("retry-after", "-7")]), None);
        assert_eq!(of(&[("retry-after", "soon")]), None);
        let date = ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(
            of(&[date, ("date", "Sun, 06 Nov 1994 08:49:30 GMT")]),
            Some(7)
        );
        assert_eq!(
            of(&[date, ("date", "Sun, 06 Nov 1994 08:50:00 GMT")]),
            Some(0)
        );
    }

    #[test]
    fn a_tag_that_no_sidecar_can_hold_is_none() {
        let of = |length: usize| entity_tag(&headers(&[("etag", &"t".repeat(length))])).is_some();
        assert!(of(LONGEST_TAG) && !of(LONGEST_TAG + 1) && !of(0));
    }

    #[test]
    fn only_a_strong_entity_tag_joins_parts() {
        assert!(is_strong("\"abc\""));
        assert!(!is_strong("W/\"abc\""));
        assert!(is_strong("d41d8cd98f00b204e9800998ecf8427e"));
        for other in ["", "\"", "\"abc", "abc\"", "W/abc", "w/abc", "W/"] {
            assert!(!is_strong(other), "{other}");
        }
    }

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
    fn composite_and_malformed_checksums_are_passed_over() {
        let of = |pairs: &[_]| checksum(&headers(pairs), true).map(|(kind, _)| kind);
        assert_eq!(of(&[("x-amz-checksum-crc32c", "AAAAAA==-3")]), None);
        let crc = ("x-amz-checksum-crc32c", "AAAAAA==");
        assert_eq!(of(&[crc, ("x-amz-checksum-type", "COMPOSITE")]), None);
        assert_eq!(of(&[("content-md5", "AAAA")]), None);
    }

    /// Positions within a document, and beyond all documents.
    fn position() -> impl Strategy<Value = u64> {
        prop_oneof![0..LARGEST_SIZE, Just(LARGEST_SIZE), any::<u64>()]
    }

    proptest! {
        #[test]
        fn a_content_range_says_what_was_meant_or_nothing(
            first in position(), last in position(), total in prop::option::of(position())
        ) {
            let shown = total.map_or_else(|| "*".to_owned(), |total| total.to_string());
            let value = format!("bytes {first}-{last}/{shown}");
            let found = content_range(&headers(&[("content-range", &value)]));
            let right = first <= last
                && last <= LARGEST_SIZE
                && total.is_none_or(|total| last < total && total <= LARGEST_SIZE);
            prop_assert_eq!(found, right.then_some(ContentRange::Part { first, last, total }));
        }

        /// Whatever comes, what is read from it is a range.
        #[test]
        fn no_content_range_makes_no_sense(value in "(bytes |BYTES |[a-z]{0,5} ?)?[0-9*/ -]{0,24}") {
            match content_range(&headers(&[("content-range", &value)])) {
                Some(ContentRange::Part { first, last, total }) => {
                    prop_assert!(first <= last && total.is_none_or(|total| last < total));
                }
                Some(ContentRange::Unsatisfied { .. }) => prop_assert!(value.contains('*')),
                None => {}
            }
        }

        #[test]
        fn a_retry_after_is_what_the_server_means_by_its_own_clock(
            asked in 0u64..10_000_000, date in 0u64..4_000_000_000, off in 0u64..4_000_000_000
        ) {
            let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let here = time(off);
            let seconds = retry_after(&headers(&[("retry-after", &asked.to_string())]), here);
            prop_assert_eq!(seconds, Some(Duration::from_secs(asked)));
            let until = httpdate::fmt_http_date(time(date + asked));
            let dated = [("retry-after", &*until), ("date", &*httpdate::fmt_http_date(time(date)))];
            prop_assert_eq!(retry_after(&headers(&dated), here), Some(Duration::from_secs(asked)));
        }

        #[test]
        fn no_retry_after_is_read_from_nonsense(value in "[ -~]{0,40}") {
            let found = retry_after(&headers(&[("retry-after", &value)]), SystemTime::now());
            let number = value.trim().bytes().all(|b| b.is_ascii_digit() || b == b'.');
            prop_assert!(found.is_none_or(|wait| wait <= LONGEST_TIME));
            prop_assert!(found.is_none() || number || value.contains("GMT") || value.contains(':'));
        }
    }
}
