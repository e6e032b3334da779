//! The header fields of a response that say something about the response or the document.

use super::text::text;
use crate::secret;
use crate::text::LARGEST_SIZE;
use jiff::Timestamp;
use reqwest::Version;
use reqwest::header::{self, HeaderMap};
use std::time::SystemTime;

/// A `Content-Range` of bytes (RFC 9110 section 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentRange {
    /// `bytes first-last/total`.
    Part {
        /// The offset of the first byte.
        first: u64,
        /// The offset of the last byte.
        last: u64,
        /// The length of the whole document; `None` for `*`.
        total: Option<u64>,
    },
    /// `bytes */total`, in an answer with status 416.
    Unsatisfied {
        /// The length of the whole document.
        total: u64,
    },
}

/// The range of the document that the body holds; `None` when the header is missing, or its numbers
/// contradict one another.
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

/// Parses a number of digits only: `parse` alone accepts a sign. `None` above [`LARGEST_SIZE`].
fn number(text: &str) -> Option<u64> {
    let number = are_digits(text).then(|| text.parse().ok())?;
    number.filter(|number| *number <= LARGEST_SIZE)
}

pub(super) fn are_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// The number in a header that holds a count.
pub(crate) fn count(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<u64> {
    number(text(headers, name)?)
}

/// The announced length of a body, in bytes (RFC 9110 section 8.6); `None` when several lengths differ.
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

/// Whether the end of a body differs from a broken connection (RFC 9112 section 6.3). A length, the last
/// chunk, or the end of an HTTP/2 stream marks the end.
///
/// # Errors
/// What is ambiguous. Two recipients could take different bytes for the body.
pub(crate) fn end_is_marked(version: Version, headers: &HeaderMap) -> Result<bool, &'static str> {
    if version >= Version::HTTP_2 {
        return Ok(true);
    }
    let has_length = headers.contains_key(header::CONTENT_LENGTH);
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) if has_length && content_length(headers).is_none() => {
            Err("its Content-Length is not a length")
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
        _ => Err("its Transfer-Encoding is not `chunked`"),
    }
}

/// The longest entity tag that a sidecar stores.
const MAX_ENTITY_TAG_BYTES: usize = 1024;

/// The entity tag with its quotes (RFC 9110 section 8.8.3); `None` when it is too long for a sidecar, or
/// holds a secret.
pub(crate) fn entity_tag(headers: &HeaderMap) -> Option<String> {
    text(headers, header::ETAG)
        .filter(|tag| {
            !tag.is_empty() && tag.len() <= MAX_ENTITY_TAG_BYTES && !secret::contains_secret(tag)
        })
        .map(str::to_owned)
}

/// Whether an entity tag is strong (RFC 9110 section 8.8.1): only then may parts of two answers with this
/// tag be joined. A tag without quotes, as Swift sends it, counts as strong.
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

/// The media type in lower case, without its parameters (RFC 9110 section 8.3); `None` when it holds a
/// secret.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let essence = text(headers, header::CONTENT_TYPE)?
        .split(';')
        .next()?
        .trim();
    (!essence.is_empty() && !secret::contains_secret(essence)).then(|| essence.to_ascii_lowercase())
}

/// The longest text of a content coding that is shown.
const MAX_CODING_BYTES: usize = 40;

/// The codings of the body in lower case, in their order (RFC 9110 section 8.4); `None` when there is none. That
/// of a streaming upload to S3, `aws-chunked`, says nothing about the stored bytes.
pub(crate) fn content_coding(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    let codings = values.join(",").to_ascii_lowercase();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    let codings: Vec<&str> = codings
        .split(',')
        .map(str::trim)
        .filter(|coding| !matches!(*coding, "" | "identity" | "aws-chunked"))
        .filter(|coding| coding.bytes().all(is_token))
        .collect();
    let shown = codings.join(", ");
    let is_shown = !shown.is_empty() && shown.len() <= MAX_CODING_BYTES;
    (is_shown && !secret::contains_secret(&shown)).then_some(shown)
}

/// The time at which the server made the answer (`Date`, RFC 9110 section 6.6.1).
pub(crate) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(text(headers, header::DATE)?).ok()?;
    Timestamp::try_from(date).ok()
}

/// When the representation changed last, in seconds since 1970 (`Last-Modified`, RFC 9110 section 8.8.2).
pub(crate) fn last_modified(headers: &HeaderMap) -> Option<u64> {
    let date = httpdate::parse_http_date(text(headers, header::LAST_MODIFIED)?).ok()?;
    let since_1970 = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(since_1970.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::test_headers::headers;
    use proptest::prelude::*;
    use reqwest::header::{HeaderName, HeaderValue};

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
    fn content_codings_are_those_that_change_the_bytes() {
        let of = |value| content_coding(&headers(&[("content-encoding", value)]));
        assert_eq!(of("gzip").as_deref(), Some("gzip"));
        assert_eq!(of("aws-chunked, GZIP ,br").as_deref(), Some("gzip, br"));
        for none in ["", "identity", "aws-chunked", ",", "a b"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(content_coding(&HeaderMap::new()), None);
    }

    #[test]
    fn a_tag_that_no_sidecar_can_hold_is_none() {
        let of = |length: usize| entity_tag(&headers(&[("etag", &"t".repeat(length))])).is_some();
        assert!(of(MAX_ENTITY_TAG_BYTES) && !of(MAX_ENTITY_TAG_BYTES + 1) && !of(0));
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
    }
}
