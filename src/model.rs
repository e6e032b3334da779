//! The plain values that every floor speaks of.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// RFC 3986 section 2.3: everything but the unreserved characters is encoded in a path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The identifier of a document at its provider, checked once.
///
/// It is not empty, holds no control character and none of `/`, `?`, `#`, and is neither `.` nor
/// `..`, so it can be a path segment of a URL without changing the route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentId(String);

/// Why a text is not a [`DocumentId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDocumentId {
    /// Nothing was given.
    #[error("it is empty")]
    Empty,
    /// It would change the route that it is put into.
    #[error("it contains '/', '?' or '#', or is '.' or '..'")]
    Route,
    /// It holds a line break, an escape or another control character.
    #[error("it contains a control character")]
    Control,
}

impl DocumentId {
    /// Checks `text`. A provider that prints ids as URIs names their `uri_prefix`; an id in that
    /// form is reduced to its last part.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str, uri_prefix: Option<&str>) -> Result<Self, InvalidDocumentId> {
        let id = uri_prefix
            .and_then(|prefix| text.strip_prefix(prefix))
            .map_or(text, |rest| rest.strip_suffix('/').unwrap_or(rest));
        if id.is_empty() {
            return Err(InvalidDocumentId::Empty);
        }
        if id.contains(['/', '?', '#']) || id == "." || id == ".." {
            return Err(InvalidDocumentId::Route);
        }
        if id.chars().any(char::is_control) {
            return Err(InvalidDocumentId::Control);
        }
        Ok(Self(id.to_owned()))
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

/// A limit on requests: at most `requests` in any `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many requests fit into the window.
    pub requests: u32,
    /// How long the window is.
    pub window: Duration,
}

/// No rate counts more requests.
pub(crate) const MOST_REQUESTS: u32 = 10_000;

/// Lower-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Locks a mutex, also after its holder panicked: what it guards is a plain value at any moment.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One name for several values together: the first half of a SHA-256, in hexadecimal. Nothing of the
/// values can be read from it.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> String {
    format!("{:032x}", digest128(parts))
}

/// The same as a number.
pub(crate) fn digest128(parts: &[&[u8]]) -> u128 {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let digest = context.finish();
    let first = digest.as_ref().iter().take(16);
    first.fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// The longest time that any number from outside stands for: some thirty years. No clock overflows when
/// it is added.
pub(crate) const LONGEST_TIME: Duration = Duration::from_secs(1_000_000_000);

/// The most bytes or rows that any number from outside stands for: a million TiB. Sums of a few of them
/// do not overflow.
pub(crate) const LARGEST_SIZE: u64 = 1 << 60;

/// A word that a POSIX shell reads as it is (POSIX.1-2024, Shell Command Language, section 2.2).
pub(crate) fn shell_word(word: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

/// The last argument of a command for a shell: a text that is no option, whatever it begins with.
pub(crate) fn shell_argument(text: &str) -> String {
    let separator = if text.starts_with('-') { "-- " } else { "" };
    format!("{separator}{}", shell_word(text))
}

/// A duration for people, never longer than it is.
pub(crate) fn short_duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Reads a duration: `500ms`, `30s`, `5m`, `1h`; a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
    let duration = match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" | "" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        _ => None,
    };
    duration.filter(|duration| *duration <= LONGEST_TIME)
}

/// Reads a size in bytes: `1000`, `512K`, `2M`, `1G`, in powers of 1024.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, shift) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 10),
        b'M' | b'm' => (&text[..text.len() - 1], 20),
        b'G' | b'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_with_their_units() {
        let ms = |text| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(ms("500ms"), Some(500));
        assert_eq!(ms("30s"), Some(30_000));
        assert_eq!(ms("5m"), Some(300_000));
        assert_eq!(ms("7"), Some(7_000));
        for wrong in [
            "",
            "s",
            "5 m",
            "-5s",
            "1.5s",
            "5d",
            "99999999999999999999s",
            "9999999999999999999s",
        ] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
        assert_eq!(parse_size("512K"), Some(512 << 10));
        assert_eq!(parse_size("2m"), Some(2 << 20));
        assert_eq!(parse_size("1000"), Some(1000));
        for wrong in ["", "K", "1T", "+1", "99999999999G"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_shell_reads_a_word_as_it_is() {
        assert_eq!(shell_word("a-b.pdf"), "a-b.pdf");
        assert_eq!(shell_word("a b;$(x)'y"), r"'a b;$(x)'\''y'");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_argument("-x 1"), "-- '-x 1'");
    }

    #[test]
    fn durations_for_people_are_never_longer_than_they_are() {
        let short = |seconds| short_duration(Duration::from_secs(seconds));
        let expected = [
            "0 s", "119 s", "2 min", "59 min", "119 min", "2 h", "47 h", "2 days",
        ];
        let seconds = [0, 119, 120, 3599, 7199, 7200, 172_799, 172_800];
        assert_eq!(seconds.map(short), expected);
    }

    #[test]
    fn ids_that_would_change_the_route_are_refused() {
        for (text, why) in [
            ("", InvalidDocumentId::Empty),
            (".", InvalidDocumentId::Route),
            ("..", InvalidDocumentId::Route),
            ("a/b", InvalidDocumentId::Route),
            ("a?b", InvalidDocumentId::Route),
            ("a#b", InvalidDocumentId::Route),
            ("a\nb", InvalidDocumentId::Control),
            ("a\u{9b}b", InvalidDocumentId::Control),
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
            Err(InvalidDocumentId::Route)
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
