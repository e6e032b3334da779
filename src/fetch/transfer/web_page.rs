//! Web pages that come instead of documents: login pages, maintenance pages, pages of a filter on the
//! way. They arrive with status 200, so that only their first bytes and what is known of the document
//! tell them apart from it.

use crate::error::{Code, Error};
use std::borrow::Cow;

/// The first bytes that decide, at most. The WHATWG's MIME sniffing (section 5.2) reads 1445, but a page may
/// begin with any number of blanks.
pub(crate) const MAX_SNIFFED_BYTES: usize = 64 << 10;

/// Names that say that the document is a web page.
const PAGES: [&str; 3] = ["html", "htm", "xhtml"];
/// Names of documents whose first bytes are fixed, and never those of HTML.
const SIGNED: [&str; 14] = [
    "pdf", "png", "jpg", "jpeg", "gif", "webp", "docx", "xlsx", "pptx", "ods", "zip", "gz", "bam",
    "cram",
];
/// How HTML begins: the WHATWG's table (section 7.1), and `<meta`.
const TAGS: [&str; 19] = [
    "!doctype html",
    "html",
    "head",
    "body",
    "script",
    "title",
    "meta",
    "iframe",
    "h1",
    "div",
    "font",
    "table",
    "style",
    "br",
    "a",
    "b",
    "p",
    "center",
    "noscript",
];

/// What is known of a document before its last byte.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ExpectedDocument<'a> {
    /// The service's name for it, else the user's.
    pub name: Option<&'a str>,
    /// Its size in bytes, by the provider's metadata.
    pub size: Option<u64>,
    /// The size in bytes that the storage announced.
    pub announced: Option<u64>,
    /// Whether a digest of the bytes will be compared.
    pub proven: bool,
}

/// What a body that starts as HTML is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PageVerdict {
    /// The document.
    Document,
    /// The document, if its digest or its size turns out to be right; else a page, because of this.
    Unproven(String),
    /// A page, because of this.
    WebPage(String),
}

/// Whether a body with these first bytes starts as HTML. None while more bytes would decide, unless it
/// `ended`.
pub(crate) fn starts_as_html(bytes: &[u8], ended: bool) -> Option<bool> {
    let text = without_utf16(bytes);
    let ended = ended || bytes.len() >= MAX_SNIFFED_BYTES;
    let mut rest = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let mut is_xml = false;
    loop {
        rest = rest.trim_ascii_start();
        let skipped = match rest {
            [b'<', b'!', b'-', b'-', comment @ ..] => behind(comment, b"-->"),
            [b'<', b'?', declaration @ ..] => {
                is_xml = true;
                behind(declaration, b"?>")
            }
            _ => break,
        };
        match skipped {
            Some(behind) => rest = behind,
            None if !ended => return None,
            None => return Some(!is_xml), // a comment without end
        }
    }
    let Some((b'<', tag)) = rest.split_first() else {
        // Also an UTF-8 byte order mark may not be whole yet.
        let is_open = rest.is_empty() || b"\xef\xbb\xbf".starts_with(rest);
        return if is_open && !ended { None } else { Some(false) };
    };
    // An XML document may have an element of any other name.
    let tags = if is_xml { &TAGS[..2] } else { &TAGS[..] };
    let begins = |name: &&str| {
        let same =
            tag.len() >= name.len() && tag[..name.len()].eq_ignore_ascii_case(name.as_bytes());
        let is_whole = |next: &u8| next.is_ascii_whitespace() || matches!(next, b'>' | b'/');
        same && tag.get(name.len()).is_none_or(is_whole)
    };
    let may_become = |name: &&str| {
        tag.len() <= name.len() && name.as_bytes()[..tag.len()].eq_ignore_ascii_case(tag)
    };
    if !ended && (tag == b"!-" || tags.iter().any(may_become)) {
        return None;
    }
    Some(tags.iter().any(begins))
}

fn behind<'a>(bytes: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let at = bytes.windows(end.len()).position(|window| window == end)?;
    Some(&bytes[at + end.len()..])
}

/// UTF-16 with a byte order mark, as the ASCII that matters here.
fn without_utf16(bytes: &[u8]) -> Cow<'_, [u8]> {
    let at = match bytes {
        [0xff, 0xfe, ..] => 0,
        [0xfe, 0xff, ..] => 1,
        _ => return Cow::Borrowed(bytes),
    };
    bytes[2..]
        .iter()
        .skip(at)
        .step_by(2)
        .copied()
        .collect::<Vec<u8>>()
        .into()
}

/// What a body that starts as HTML is, where this is expected.
pub(crate) fn judge(expected: ExpectedDocument<'_>) -> PageVerdict {
    let ExpectedDocument {
        name,
        size,
        announced,
        proven,
    } = expected;
    let extension = name.map(extension);
    if size.is_some() && size == announced {
        return PageVerdict::Document;
    }
    if extension
        .as_ref()
        .is_some_and(|extension| PAGES.contains(&extension.as_str()))
    {
        return PageVerdict::Document;
    }
    let why = match (size, announced, extension) {
        (Some(size), Some(announced), _) => {
            format!("the document has {size} bytes by the provider, this one {announced}")
        }
        (_, _, Some(extension)) if SIGNED.contains(&extension.as_str()) => {
            format!("the document's name ends in .{extension}")
        }
        (_, _, None) => "nothing names the document".to_owned(),
        (None, _, Some(_)) => return PageVerdict::Document,
        // The end will tell its size.
        (Some(size), None, Some(_)) => format!("the document has {size} bytes by the provider"),
    };
    if proven || (size.is_some() && announced.is_none()) {
        PageVerdict::Unproven(why)
    } else {
        PageVerdict::WebPage(why)
    }
}

/// Whether documents of this name usually are web pages: the last segment of a URL says no more.
pub(crate) fn is_usual_web_page_name(name: &str) -> bool {
    let extension = extension(name);
    extension == "xls" || PAGES.contains(&extension.as_str())
}

/// A name's extension in lower case; empty where it has none.
fn extension(name: &str) -> String {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    extension.to_ascii_lowercase()
}

/// The error of a web page from `host`, which is none of the document's, because of `why`. Where the service
/// names no document, the user's name for it decides.
pub(crate) fn refusal(host: &str, why: &str, is_named: bool) -> Error {
    let what = format!("{host} sent a web page instead of the document");
    Error::new(Code::StorageError, what)
        .with_cause(format!("it starts as HTML, and {why}"))
        .with_hint(if is_named {
            "run again later; if the document is a web page, give its --sha256"
        } else {
            "run again later; if the document is a web page, give its --sha256 or -o NAME.html"
        })
        .with_http_status(200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_told_by_how_it_starts() {
        for html in [
            "<!doctype html><title>Blocked</title>",
            "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\">",
            "\n\r\t <html lang=en>",
            "\u{feff}<HTML>",
            "<!-- a\ncomment --> <!-- and <one> -->\n<head>",
            "<script>location = '/login'</script>",
            "<body/>",
            "<title",
            "<meta charset=utf-8>",
            "<h1>403</h1>",
            "<a href=/login>",
            "<?xml version=\"1.0\"?>\n<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML\">",
            "<?xml version=\"1.0\"?><html xmlns=\"http://www.w3.org/1999/xhtml\">",
            "<!-- without end",
        ] {
            assert_eq!(starts_as_html(html.as_bytes(), true), Some(true), "{html}");
            let wide: Vec<u8> = html
                .trim_start_matches('\u{feff}')
                .encode_utf16()
                .flat_map(u16::to_be_bytes)
                .collect();
            assert_eq!(
                starts_as_html(&[&[0xfe, 0xff][..], &wide].concat(), true),
                Some(true),
                "{html}"
            );
        }
        for other in [
            "",
            " ",
            "%PDF-1.7 <html>",
            "PK\u{3}\u{4}",
            "<svg>",
            "<?xml version=\"1.0\"?><a>",
            "<?xml version=\"1.0\"?><!-- <html> --><gpx>",
            "<htmlx>",
            "<!doctype svg>",
            "text <html>",
            "<",
            "<ht",
            ">chr1\nACGT",
            "{\"html\": 1}",
            "<!DOCTYPE plist",
        ] {
            assert_eq!(
                starts_as_html(other.as_bytes(), true),
                Some(false),
                "{other}"
            );
        }
    }

    #[test]
    fn more_bytes_are_waited_for_only_while_they_would_decide() {
        let page = "\u{feff} <!-- x --><!DOCTYPE html>";
        for length in 0..page.len() - 1 {
            assert_eq!(
                starts_as_html(&page.as_bytes()[..length], false),
                None,
                "{length}"
            );
        }
        assert_eq!(starts_as_html(page.as_bytes(), false), Some(true));
        assert_eq!(starts_as_html(b"%", false), Some(false));
        assert_eq!(starts_as_html(b"<s", false), None); // script, style
        assert_eq!(starts_as_html(b"<sv", false), Some(false));
        assert_eq!(
            starts_as_html(&vec![b' '; MAX_SNIFFED_BYTES], false),
            Some(false)
        );
    }

    #[test]
    fn a_page_is_the_document_where_size_or_name_allow_it() {
        let of = |name, size, announced| match judge(ExpectedDocument {
            name,
            size,
            announced,
            proven: false,
        }) {
            PageVerdict::Document => "document",
            PageVerdict::Unproven(_) => "unproven",
            PageVerdict::WebPage(_) => "page",
        };
        for (name, no_size, same, differs, later) in [
            (
                Some("a.html"),
                "document",
                "document",
                "document",
                "document",
            ),
            (
                Some("a.HTM"),
                "document",
                "document",
                "document",
                "document",
            ),
            (Some("a.xls"), "document", "document", "page", "unproven"),
            (Some("README"), "document", "document", "page", "unproven"),
            (Some("a.fastq"), "document", "document", "page", "unproven"),
            (Some("a.pdf"), "page", "document", "page", "unproven"),
            (Some("a.fastq.GZ"), "page", "document", "page", "unproven"),
            (None, "page", "document", "page", "unproven"),
        ] {
            assert_eq!(of(name, None, Some(9)), no_size, "{name:?}");
            assert_eq!(of(name, None, None), no_size, "{name:?}");
            assert_eq!(of(name, Some(9), Some(9)), same, "{name:?}");
            assert_eq!(of(name, Some(8), Some(9)), differs, "{name:?}");
            assert_eq!(of(name, Some(8), None), later, "{name:?}");
        }
        let proven = ExpectedDocument {
            name: Some("a.pdf"),
            proven: true,
            ..ExpectedDocument::default()
        };
        assert!(matches!(judge(proven), PageVerdict::Unproven(_)));
    }
}
