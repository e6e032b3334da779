//! Plain values that every layer uses.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt;
use std::time::Duration;

/// RFC 3986 section 2.3: everything but the unreserved characters is encoded in a path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The identifier of a document at its provider, checked once.
///
/// An id is not empty, contains no control character and none of `/`, `?`, `#`, and is neither `.` nor `..`.
/// So an id can be a path segment of a URL without changing the route.
///
/// ```
/// use docfetch::{DocumentId, InvalidDocumentId};
///
/// let id = DocumentId::parse("Q3 deck", None)?;
/// assert_eq!(id.path_segment(), "Q3%20deck");
/// assert_eq!(DocumentId::parse("../x", None), Err(InvalidDocumentId::Route('/')));
/// # Ok::<(), InvalidDocumentId>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentId(String);

/// Why a text is not a [`DocumentId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDocumentId {
    /// The text is empty.
    #[error("it is empty")]
    Empty,
    /// The text contains this character, which would change the route of a request.
    #[error("it contains {0:?}")]
    Route(char),
    /// The text is `.` or `..`, which would change the route of a request.
    #[error("'.' and '..' stand for folders")]
    Dots,
    /// The text contains this line break, escape or other control character.
    #[error("it contains the control character U+{:04X}", u32::from(*.0))]
    Control(char),
}

impl DocumentId {
    /// Checks `text`. Where a provider prints ids as URIs, such as `/api/v1/documents/00f2`, `uri_prefix` is
    /// the part before the id, and is dropped.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str, uri_prefix: Option<&str>) -> Result<Self, InvalidDocumentId> {
        let id = uri_prefix
            .and_then(|prefix| text.strip_prefix(prefix))
            .map_or(text, |rest| rest.strip_suffix('/').unwrap_or(rest));
        if id.is_empty() {
            return Err(InvalidDocumentId::Empty);
        }
        if id == "." || id == ".." {
            return Err(InvalidDocumentId::Dots);
        }
        let rule = id.chars().find_map(|c| match c {
            '/' | '?' | '#' => Some(InvalidDocumentId::Route(c)),
            c => c.is_control().then_some(InvalidDocumentId::Control(c)),
        });
        rule.map_or_else(|| Ok(Self(id.to_owned())), Err)
    }

    /// The id as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id percent-encoded as one segment of a URL's path (RFC 3986 section 3.3).
    pub fn path_segment(&self) -> String {
        utf8_percent_encode(&self.0, SEGMENT).to_string()
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A limit on requests: at most `requests`, from 1 to 10,000, in any `window`, from 1 ms to 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many requests fit into the window.
    pub requests: u32,
    /// How long the window is.
    pub window: Duration,
}

impl Rate {
    /// Whether the budget can keep to this rate.
    pub(crate) fn is_valid(&self) -> bool {
        (1..=MOST_REQUESTS).contains(&self.requests)
            && (Duration::from_millis(1)..=MAX_WINDOW).contains(&self.window)
    }
}

/// The longest window of a [`Rate`].
const MAX_WINDOW: Duration = Duration::from_hours(24);
/// The most requests of a [`Rate`].
pub(crate) const MOST_REQUESTS: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_would_change_the_route_are_refused() {
        for (text, why) in [
            ("", InvalidDocumentId::Empty),
            (".", InvalidDocumentId::Dots),
            ("..", InvalidDocumentId::Dots),
            ("a/b", InvalidDocumentId::Route('/')),
            ("a?b/c", InvalidDocumentId::Route('?')),
            ("a#b", InvalidDocumentId::Route('#')),
            ("a\nb", InvalidDocumentId::Control('\n')),
            ("a\u{9b}b", InvalidDocumentId::Control('\u{9b}')),
        ] {
            assert_eq!(DocumentId::parse(text, None), Err(why), "{text:?}");
        }
    }

    #[test]
    fn a_uri_is_reduced_to_its_id_only_under_its_own_prefix() {
        let prefix = Some("/api/v1/documents/");
        let id = DocumentId::parse("/api/v1/documents/00f2", prefix);
        assert_eq!(id.as_ref().map(DocumentId::as_str), Ok("00f2"));
        assert_eq!(
            DocumentId::parse("/api/v1/samples/00f2", prefix),
            Err(InvalidDocumentId::Route('/'))
        );
        assert_eq!(
            DocumentId::parse("/api/v1/documents/", prefix),
            Err(InvalidDocumentId::Empty)
        );
    }

    #[test]
    fn an_id_is_encoded_as_one_segment() {
        let id = DocumentId::parse("a b%2f\u{e4}~", None).map(|id| id.path_segment());
        assert_eq!(id.as_deref(), Ok("a%20b%252f%C3%A4~"));
    }
}
