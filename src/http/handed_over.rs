//! URLs that servers hand over, in a `Location` header or in JSON.
//!
//! Such a URL is signed: the storage compares the signature with the URL as the request carries it. Parsers of
//! URLs (WHATWG URL Standard, section 4.4) remove dot segments, make slashes of backslashes, and drop tabs and
//! line breaks. The changed URL may name another object. docfetch therefore compares the text with what its
//! request would carry, and refuses a text that differs.
//!
//! Two differences are permitted. Characters that no request line can carry, such as blanks and raw UTF-8, are
//! percent-encoded, as curl and browsers do. So is `'` in a query (WHATWG URL Standard, section 1.3): storages
//! decode a query before they read it, so that the request names the same object.
//!
//! A fragment is not sent (RFC 9110 section 4.2.5). A fragment with `?` or `&` is a part of the path or of the query
//! whose `#` is not encoded: docfetch refuses that URL.

use crate::error::Code;
use reqwest::header::{self, HeaderMap};
use std::fmt::Write as _;
use url::{Position, Url};

/// Why a URL that a server handed over cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnusableUrl {
    /// A redirect has no `Location`.
    Missing,
    /// The text is not a URL.
    NotAUrl,
    /// The request would carry another URL than the server handed over.
    Changed,
}

impl UnusableUrl {
    /// The error code.
    pub(crate) fn code(self) -> Code {
        match self {
            Self::Missing | Self::NotAUrl => Code::Protocol,
            Self::Changed => Code::UnsafeRedirect,
        }
    }

    /// Why the target of a redirect cannot be used.
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Missing => "its redirect has no Location header",
            Self::NotAUrl => "its redirect's Location is not a URL",
            Self::Changed => {
                "the URL has dot segments, backslashes, line breaks or a `#` before its query, which HTTP clients \
                 change: the changed URL may name another object"
            }
        }
    }
}

/// The target of a redirect from `base` (`Location`, RFC 9110 section 10.2.2).
///
/// # Errors
/// What is wrong with the header.
pub(crate) fn location(headers: &HeaderMap, base: &Url) -> Result<Url, UnusableUrl> {
    let value = headers.get(header::LOCATION);
    let value = value.filter(|value| !value.is_empty());
    read(value.ok_or(UnusableUrl::Missing)?.as_bytes(), Some(base))
}

/// The absolute URL that `text` is.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn absolute(text: &str) -> Result<Url, UnusableUrl> {
    read(text.as_bytes(), None)
}

/// Reads a URL, which may be relative to `base`.
fn read(bytes: &[u8], base: Option<&Url>) -> Result<Url, UnusableUrl> {
    let text = ascii(bytes.trim_ascii());
    let options = Url::options().base_url(base);
    let mut url = options.parse(&text).map_err(|_| UnusableUrl::NotAUrl)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Ok(url); // the address rules refuse it
    }
    // A query behind the first `#` would not be sent, and with it the signature.
    let (raw, fragment) = text.split_once('#').unwrap_or((&text, ""));
    url.set_fragment(None);
    if !fragment.contains(['?', '&']) && is_sent_as(&url[Position::BeforePath..], raw) {
        Ok(url)
    } else {
        Err(UnusableUrl::Changed)
    }
}

/// A text whose bytes outside ASCII are percent-encoded.
fn ascii(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii() {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Whether `sent`, the path and query of a parsed URL, is what the reference `raw` says (RFC 3986 section 4).
fn is_sent_as(sent: &str, raw: &str) -> bool {
    let of_authority = |rest: &str| {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        // A path that is empty is sent as `/`.
        !authority.is_empty() && matches!(remainder(sent, target), Some("" | "/"))
    };
    if let Some((_, rest)) = scheme_and_rest(raw) {
        return rest.strip_prefix("//").is_some_and(of_authority);
    }
    if let Some(rest) = raw.strip_prefix("//") {
        return of_authority(rest);
    }
    if raw.starts_with('/') {
        return remainder(sent, raw) == Some("");
    }
    // The first segments of a relative path lead to another folder (RFC 3986 section 5.2.4).
    let mut target = raw;
    while let Some(rest) = target.strip_prefix("../").or(target.strip_prefix("./")) {
        target = rest;
    }
    let is_whole = target.is_empty() || target.starts_with('?') || matches!(target, "." | "..");
    is_whole || remainder(sent, target).is_some_and(|folder| folder.ends_with('/'))
}

/// The scheme of a reference (RFC 3986 section 3.1), and what follows its colon.
fn scheme_and_rest(raw: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = raw.split_once(':')?;
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let is_scheme =
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(is_usual);
    is_scheme.then_some((scheme, rest))
}

/// What stands in `sent` before `raw`, some of whose characters may be percent-encoded there; none when `sent`
/// does not end in `raw`.
fn remainder<'a>(sent: &'a str, raw: &str) -> Option<&'a str> {
    let mut before = sent;
    for byte in raw.bytes().rev() {
        before = match before.strip_suffix(char::from(byte)) {
            Some(before) => before,
            None => before.strip_suffix(&*format!("%{byte:02X}"))?,
        };
    }
    Some(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(text: &str) -> Result<String, UnusableUrl> {
        absolute(text).map(|url| url[Position::BeforePath..].to_owned())
    }

    #[test]
    fn a_url_is_sent_as_it_was_signed_or_refused() {
        for (text, expected) in [
            ("https://h/a//b", "/a//b"),
            ("https://h//a", "//a"),
            ("https://h/a%2Fb%2f%5C", "/a%2Fb%2f%5C"),
            ("https://h/a..b/.c/d./...", "/a..b/.c/d./..."),
            ("https://h?x=1", "/?x=1"),
            ("https://h", "/"),
            ("HTTPS://H.Example:443/A", "/A"),
            ("https://h/a?x=../..&y=\\", "/a?x=../..&y=\\"),
            ("https://h/a b?c d", "/a%20b?c%20d"),
            ("https://h/\u{dc}?\u{dc}", "/%C3%9C?%C3%9C"),
            (
                "https://h/a\"<>`{}|^'?\"<>'",
                "/a%22%3C%3E%60%7B%7D|^'?%22%3C%3E%27",
            ),
            ("https://h/a?sig=1#../x", "/a?sig=1"),
            ("https://h/a;x=1/:@!$&'()*+,=~_-", "/a;x=1/:@!$&'()*+,=~_-"),
            (" https://h/a\n", "/a"),
        ] {
            assert_eq!(sent(text).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "https://h/a/../b",
            "https://h/a/./b",
            "https://h/..",
            "https://h/a/.",
            "https://h/a/%2E%2E/b",
            "https://h/a/%2e./b",
            "https://h/a/.%2E",
            "https://h/%2e/b",
            "https://h/a\\b",
            "https://h\\a/b",
            "https://h/a\tb",
            "https://h/a#b.pdf?sig=1",
            "https://h/a?name=b#c&sig=1",
            "https://h/a?x\ny",
            "https:/h/a",
            "https:h/a",
            "https:///h/a",
            "https:\\\\h/a",
            "https://good\\@h/a",
        ] {
            assert_eq!(sent(text), Err(UnusableUrl::Changed), "{text}");
        }
        for text in ["", "x", "/a", "//h/a", "https://", "https://a b/"] {
            assert_eq!(sent(text), Err(UnusableUrl::NotAUrl), "{text}");
        }
    }

    #[test]
    fn a_relative_location_may_begin_with_dot_segments() {
        let base = Url::parse("https://h/a/b/c?x=1").unwrap();
        let to = |text: &[u8]| read(text, Some(&base)).map(|url| url.to_string());
        for (text, expected) in [
            (&b"d?y=2"[..], "https://h/a/b/d?y=2"),
            (b"./d", "https://h/a/b/d"),
            (b"../d%2Fe", "https://h/a/d%2Fe"),
            (b"../../../d", "https://h/d"),
            (b"..", "https://h/a/"),
            (b"?y=2", "https://h/a/b/c?y=2"),
            (b"#y", "https://h/a/b/c?x=1"),
            (b"/d//e", "https://h/d//e"),
            (b"//i/d", "https://i/d"),
            (b"/Z\xfcrich", "https://h/Z%FCrich"),
        ] {
            assert_eq!(to(text).as_deref(), Ok(expected), "{text:?}");
        }
        for text in [
            &b"d/../e"[..],
            b"/d/../e",
            b"//i/d/../e",
            b"d\\e",
            b"\\d",
            b"/\\i/d",
            b"../d/./e",
            b"https:d",
        ] {
            assert_eq!(to(text), Err(UnusableUrl::Changed), "{text:?}");
        }
    }

    proptest! {
        /// Whatever is handed over, the request carries it byte for byte, but for characters that become
        /// percent-encoded.
        #[test]
        fn what_is_sent_decodes_to_what_was_handed_over(target in "/[ -\"$-~\u{e4}/.%2eE\\\\]{0,20}") {
            let decoded = |text: &str| {
                let bytes: Vec<u8> = percent_encoding::percent_decode_str(text).collect();
                bytes
            };
            if let Ok(sent) = sent(&format!("https://h{target}")) {
                prop_assert_eq!(decoded(&sent), decoded(target.trim_end()));
                let slashes = |text: &str| text.matches('/').count();
                prop_assert_eq!(slashes(&sent), slashes(&target));
            }
        }
    }
}
