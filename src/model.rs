//! Plain values that every layer uses.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
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
pub struct DocumentId {
    text: String,
    /// The parts, where the provider's ids have other parts than the text alone.
    parts: Vec<String>,
}

/// The parts of a provider's ids, which slashes separate on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdForm {
    /// The names of the parts.
    pub(crate) parts: Vec<String>,
    /// Whether the last part is the rest of the id, with its slashes.
    pub(crate) has_rest: bool,
}

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
    /// The text does not have this number of parts, between slashes.
    #[error("it does not have {}", parts_text(*.0))]
    Parts(usize),
}

impl DocumentId {
    /// Checks `text`, in which `%2F` is a slash. Where a provider prints ids as URIs, such as
    /// `/api/v1/documents/00f2`, `uri_prefix` is the part before the id, and is dropped.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str, uri_prefix: Option<&str>) -> Result<Self, InvalidDocumentId> {
        let id = uri_prefix
            .and_then(|prefix| text.strip_prefix(prefix))
            .map_or(text, |rest| rest.strip_suffix('/').unwrap_or(rest));
        check_part(id, &['/', '?', '#'])?;
        let part = unescaped(id);
        let parts = if part == id { Vec::new() } else { vec![part] };
        for part in &parts {
            check_part(part, &[])?;
        }
        Ok(Self {
            text: id.to_owned(),
            parts,
        })
    }

    /// Checks an id whose parts are those of `form`, or a URI that has the id after `uri_prefix`. Where the prefix has
    /// a scheme, as `drs://host/` has, the id in the URI is percent-encoded (RFC 3986 section 2.1), and letters of the
    /// prefix are compared without case (sections 3.1 and 3.2.2).
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub(crate) fn parse_form(
        text: &str,
        uri_prefix: Option<&str>,
        form: &IdForm,
    ) -> Result<Self, InvalidDocumentId> {
        if let Some(prefix) = uri_prefix.filter(|prefix| prefix.contains("://")) {
            let start = text.get(..prefix.len());
            if start.is_some_and(|start| start.eq_ignore_ascii_case(prefix)) {
                let id = decoded(&text[prefix.len()..], form)?;
                return Self::parse_parts(&id, form);
            }
        }
        if form.is_single() {
            return Self::parse(text, uri_prefix);
        }
        let without = uri_prefix.and_then(|prefix| text.strip_prefix(prefix));
        Self::parse_parts(without.unwrap_or(text), form)
    }

    /// Checks an id whose parts are those of `form`. In a part, `%2F` is a slash.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub(crate) fn parse_parts(text: &str, form: &IdForm) -> Result<Self, InvalidDocumentId> {
        if form.is_single() {
            return Self::parse(text, None);
        }
        let parts = form.split(text)?;
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    /// The id as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The parts of the id.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        let whole = self.parts.is_empty().then_some(self.text.as_str());
        whole
            .into_iter()
            .chain(self.parts.iter().map(String::as_str))
    }

    /// The id percent-encoded as one segment of a URL's path (RFC 3986 section 3.3).
    pub fn path_segment(&self) -> String {
        utf8_percent_encode(&self.text, SEGMENT).to_string()
    }
}

/// How many parts an id has, in a sentence.
fn parts_text(count: usize) -> String {
    match count {
        1 => "1 part without a slash".to_owned(),
        count => format!("{count} parts with slashes between them"),
    }
}

/// Checks one part of an id, which contains none of `refused`. A part may have slashes; it has no segment `.` or `..`,
/// which would change the route of a request.
fn check_part(part: &str, refused: &[char]) -> Result<(), InvalidDocumentId> {
    if part.is_empty() {
        return Err(InvalidDocumentId::Empty);
    }
    let rule = part.chars().find_map(|c| {
        if refused.contains(&c) {
            return Some(InvalidDocumentId::Route(c));
        }
        c.is_control().then_some(InvalidDocumentId::Control(c))
    });
    if let Some(rule) = rule {
        return Err(rule);
    }
    if part
        .split('/')
        .any(|segment| segment == "." || segment == "..")
    {
        return Err(InvalidDocumentId::Dots);
    }
    Ok(())
}

/// A part of an id without the escape of slashes.
fn unescaped(part: &str) -> String {
    part.replace("%2F", "/").replace("%2f", "/")
}

/// The id as users write it, of a percent-encoded one.
///
/// # Errors
/// A text of which no id can be made: it is no UTF-8, or has `%2F` as letters.
fn decoded(encoded: &str, form: &IdForm) -> Result<String, InvalidDocumentId> {
    let mut segments = Vec::new();
    for segment in encoded.split('/') {
        let text = percent_decode_str(segment).decode_utf8();
        let text = text.map_err(|_| InvalidDocumentId::Route('%'))?;
        if unescaped(&text) != text {
            return Err(InvalidDocumentId::Route('%'));
        }
        segments.push(if form.has_rest {
            text.into_owned()
        } else {
            text.replace('/', "%2F")
        });
    }
    Ok(segments.join("/"))
}

impl IdForm {
    /// The parts of `text`, with slashes between them. In a part, `%2F` is a slash.
    ///
    /// # Errors
    /// The rule that a part breaks.
    pub(crate) fn split(&self, text: &str) -> Result<Vec<String>, InvalidDocumentId> {
        let count = self.parts.len();
        let given: Vec<&str> = if self.has_rest {
            text.splitn(count, '/').collect()
        } else {
            text.split('/').collect()
        };
        if text.is_empty() {
            return Err(InvalidDocumentId::Empty);
        }
        if given.len() != count {
            return Err(InvalidDocumentId::Parts(count));
        }
        let mut parts = Vec::with_capacity(count);
        for (index, part) in given.into_iter().enumerate() {
            if self.has_rest && index + 1 == count {
                check_part(part, &[])?;
                parts.push(part.to_owned());
            } else {
                let part = unescaped(part);
                check_part(&part, &['?', '#'])?;
                parts.push(part);
            }
        }
        Ok(parts)
    }

    /// Whether an id is one part without slashes.
    pub(crate) fn is_single(&self) -> bool {
        self.parts.len() == 1 && !self.has_rest
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
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
    fn an_id_after_a_scheme_and_a_host_is_percent_encoded() {
        let single = IdForm {
            parts: vec!["id".to_owned()],
            has_rest: false,
        };
        let parse = |text| {
            let id = DocumentId::parse_form(text, Some("drs://host/"), &single)?;
            Ok((id.as_str().to_owned(), id.parts().collect::<String>()))
        };
        for (text, id, part) in [
            ("drs://host/314159", "314159", "314159"),
            ("DRS://Host/314159", "314159", "314159"),
            ("drs://host/dg.1%2Fb%20c", "dg.1%2Fb c", "dg.1/b c"),
            ("dg.1%2Fb c", "dg.1%2Fb c", "dg.1/b c"),
            ("a%20b", "a%20b", "a%20b"),
        ] {
            assert_eq!(parse(text), Ok((id.to_owned(), part.to_owned())), "{text}");
        }
        for (text, why) in [
            ("drs://other/1", InvalidDocumentId::Route('/')),
            ("drs://host/1/access/x", InvalidDocumentId::Route('/')),
            ("drs://host/1?x=y", InvalidDocumentId::Route('?')),
            ("drs://host/", InvalidDocumentId::Empty),
            ("drs://host", InvalidDocumentId::Route('/')),
            ("drs://host/a%252Fb", InvalidDocumentId::Route('%')),
            ("drs://host/%ff", InvalidDocumentId::Route('%')),
            ("drs://host/..%2F..", InvalidDocumentId::Dots),
            ("..%2Fx", InvalidDocumentId::Dots),
        ] {
            assert_eq!(parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn an_id_of_several_parts_is_split_at_its_slashes() {
        let form = |parts: &[&str], has_rest| IdForm {
            parts: parts.iter().map(|part| (*part).to_owned()).collect(),
            has_rest,
        };
        let three = form(&["a", "b", "c"], false);
        let parts = |text: &str, form: &IdForm| {
            let id = DocumentId::parse_parts(text, form)?;
            Ok(id.parts().map(str::to_owned).collect::<Vec<_>>())
        };
        assert_eq!(
            parts("x y/p%2Fq/%41", &three),
            Ok(["x y", "p/q", "%41"].map(str::to_owned).to_vec())
        );
        let rest = form(&["a", "path"], true);
        assert_eq!(
            parts("x/p/q#r%2F", &rest),
            Ok(["x", "p/q#r%2F"].map(str::to_owned).to_vec())
        );
        for (text, form, why) in [
            ("x/y", &three, InvalidDocumentId::Parts(3)),
            ("x/y/z/w", &three, InvalidDocumentId::Parts(3)),
            ("x//z", &three, InvalidDocumentId::Empty),
            ("x/../z", &three, InvalidDocumentId::Dots),
            ("x/..%2f../z", &three, InvalidDocumentId::Dots),
            ("x/y?/z", &three, InvalidDocumentId::Route('?')),
            ("x", &rest, InvalidDocumentId::Parts(2)),
            ("x/p/../q", &rest, InvalidDocumentId::Dots),
            ("x/", &rest, InvalidDocumentId::Empty),
        ] {
            assert_eq!(parts(text, form), Err(why), "{text}");
        }
    }

    #[test]
    fn an_id_is_encoded_as_one_segment() {
        let id = DocumentId::parse("a b%2f\u{e4}~", None).map(|id| id.path_segment());
        assert_eq!(id.as_deref(), Ok("a%20b%252f%C3%A4~"));
    }
}
