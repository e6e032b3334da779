//! Whether the answer to a range request fits the bytes that are already here.

use crate::http::headers::{self, ContentRange};
use reqwest::header::HeaderMap;

/// How the bytes of a 206 relate to the bytes that are already here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continues {
    /// They follow directly, in the same representation.
    With {
        /// Offset behind the last byte of the response.
        end: u64,
        /// Length of the whole document in bytes.
        total: u64,
    },
    /// docfetch cannot tell which bytes they are, or did not request them. Says why.
    Not(&'static str),
    /// They belong to another representation. Says why.
    Other(&'static str),
    /// The headers of the response contradict each other.
    Contradiction,
}

/// How a 206 with these headers continues the bytes before `position`, whose entity tag is `tag`. Only
/// a response from exactly that byte on, with the same tag and the same total, continues them (RFC 9110
/// section 15.3.7.3).
pub(super) fn continues(
    headers: &HeaderMap,
    position: u64,
    tag: &str,
    known_total: Option<u64>,
) -> Continues {
    let Some(ContentRange::Part {
        first,
        last,
        total: Some(total),
    }) = headers::content_range(headers)
    else {
        return Continues::Not("its Content-Range cannot be used");
    };
    if headers::entity_tag(headers).as_deref() != Some(tag) {
        return Continues::Other("the document changed");
    }
    if first != position {
        return Continues::Not("the storage sent another range than docfetch requested");
    }
    if known_total.is_some_and(|known| known != total) {
        return Continues::Other("the document has another length now");
    }
    if headers::content_length(headers).is_some_and(|length| length != last - first + 1) {
        return Continues::Contradiction;
    }
    Continues::With {
        end: last + 1,
        total,
    }
}

/// Whether a 416 with these headers means that the bytes before `position` are the whole document. They
/// are when the document has that length and the same entity tag. A 416 to a request without `If-Range`
/// must name the tag itself.
pub(super) fn is_whole(
    headers: &HeaderMap,
    position: u64,
    tag: &str,
    known_total: Option<u64>,
) -> bool {
    let same_tag = match headers::entity_tag(headers) {
        Some(other) => other == tag,
        None => headers::is_quoted(tag), // the request had an `If-Range`
    };
    let same_length = known_total.is_none_or(|known| known == position);
    let range = headers::content_range(headers);
    same_tag && same_length && range == Some(ContentRange::Unsatisfied { total: position })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, String)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).unwrap();
            (HeaderName::from_static(name), value)
        });
        pairs.collect()
    }

    proptest! {
        /// Whatever a 206 says, its bytes are joined only when they are the very next
        /// ones of the very same document, and never past its end.
        #[test]
        fn only_the_very_next_bytes_of_the_same_document_are_joined(
            (position, first, length, total, known) in (1u64..20, 0u64..20, 1u64..20, 0u64..40, prop::option::of(0u64..40)),
            (tag, body) in (prop_oneof![Just("\"a\""), Just("\"b\""), Just("W/\"a\""), Just("")], prop::option::of(0u64..20)),
        ) {
            let last = first + length - 1;
            let mut pairs = vec![
                ("content-range", format!("bytes {first}-{last}/{total}")),
                ("etag", tag.to_owned()),
            ];
            pairs.extend(body.map(|body| ("content-length", body.to_string())));
            let found = continues(&headers(&pairs), position, "\"a\"", known);
            let right = tag == "\"a\""
                && first == position
                && last < total
                && known.is_none_or(|known| known == total)
                && body.is_none_or(|body| body == length);
            prop_assert_eq!(matches!(found, Continues::With { .. }), right);
            if let Continues::With { end, total } = found {
                prop_assert!(position < end && end <= total);
            }
        }

        /// A 416 completes only what is exactly as long as the same document.
        #[test]
        fn a_416_completes_only_the_same_document_of_the_same_length(
            (position, total, known) in (0u64..6, 0u64..6, prop::option::of(0u64..6)),
            tag in prop::option::of(prop_oneof![Just("\"a\""), Just("\"b\"")]),
        ) {
            let mut pairs = vec![("content-range", format!("bytes */{total}"))];
            pairs.extend(tag.map(|tag| ("etag", tag.to_owned())));
            let right = total == position
                && known.is_none_or(|known| known == total)
                && tag != Some("\"b\"");
            prop_assert_eq!(is_whole(&headers(&pairs), position, "\"a\"", known), right);
        }
    }
}
