//! Whether bytes start as HTML, by the WHATWG's MIME Sniffing standard, or as a storage's XML error.

use std::borrow::Cow;

/// At most this many of the first bytes decide. The standard reads 1445 bytes (section 5.2), but a page
/// may begin with any number of blanks.
pub(crate) const MAX_SNIFFED_BYTES: usize = 64 << 10;

/// How HTML begins behind its `<`: the table in section 7.1 of the standard, and other elements with which
/// pages without a head begin. A blank stands for any number of blanks.
const HTML_TAGS: [&str; 51] = [
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
    "article",
    "aside",
    "base",
    "basefont",
    "button",
    "dl",
    "em",
    "fieldset",
    "footer",
    "form",
    "frameset",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "i",
    "img",
    "input",
    "label",
    "link",
    "main",
    "nav",
    "ol",
    "pre",
    "section",
    "small",
    "span",
    "strong",
    "ul",
];
/// How many of [`HTML_TAGS`] mean HTML in an XML document: the first ones. An element of any other name
/// can belong to any kind of XML.
const XHTML_TAGS: usize = 2;

const UTF8_BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What a body starts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstBytes {
    Html,
    /// The XML in which S3, Google Cloud Storage and Azure tell an error.
    StorageError,
    Other,
}

/// What a body with these first bytes starts as. `is_declared` where its media type is HTML. `None` when more bytes
/// decide, and the body has not `ended`.
pub(crate) fn sniff(bytes: &[u8], ended: bool, is_declared: bool) -> Option<FirstBytes> {
    if starts_as_html(bytes, ended, is_declared)? {
        return Some(FirstBytes::Html);
    }
    let is_error = starts_as_storage_error(bytes, ended || bytes.len() >= MAX_SNIFFED_BYTES)?;
    Some(if is_error {
        FirstBytes::StorageError
    } else {
        FirstBytes::Other
    })
}

/// Whether a body with these first bytes starts as the error of a storage: an element `Error` whose first child is
/// a `Code`.
fn starts_as_storage_error(bytes: &[u8], ended: bool) -> Option<bool> {
    const NAME: &[u8] = b"<Error";
    const CHILD: &[u8] = b"<Code>";
    let undecided = ended.then_some(false);
    let text = bytes.strip_prefix(UTF8_BYTE_ORDER_MARK).unwrap_or(bytes);
    let Some(element) = skip_prolog(text).rest else {
        return undecided;
    };
    let (attributes, child) = match element.strip_prefix(NAME) {
        None if NAME.starts_with(element) => return undecided,
        None => return Some(false),
        Some(rest) => (rest, behind(rest, b">").map(<[u8]>::trim_ascii_start)),
    };
    let ends_name = |byte: &u8| *byte == b'>' || byte.is_ascii_whitespace();
    match child {
        _ if !attributes.first().is_none_or(ends_name) => Some(false),
        Some(child) if child.starts_with(CHILD) => Some(true),
        Some(child) if !CHILD.starts_with(child) => Some(false),
        _ => undecided,
    }
}

/// Whether a body with these first bytes starts as HTML. Text behind a comment is HTML only where the body
/// `is_declared` as that: Markdown may begin so, too. `None` when more bytes decide, and the body has not
/// `ended`.
fn starts_as_html(bytes: &[u8], ended: bool, is_declared: bool) -> Option<bool> {
    let ended = ended || bytes.len() >= MAX_SNIFFED_BYTES;
    let bytes = &bytes[..bytes.len().min(MAX_SNIFFED_BYTES)];
    if !ended && matches!(bytes, [0 | 0xfe | 0xff]) {
        return None; // the first byte of text in UTF-16
    }
    let text = ascii_of_utf16(bytes);
    let text = text.strip_prefix(UTF8_BYTE_ORDER_MARK).unwrap_or(&text);
    let Prolog {
        rest,
        has_comment,
        is_xml,
    } = skip_prolog(text);
    let Some(first) = rest else {
        return ended.then_some(!is_xml);
    };
    let Some((b'<', tag)) = first.split_first() else {
        let is_incomplete = first.is_empty() || UTF8_BYTE_ORDER_MARK.starts_with(first);
        let is_html = is_declared && has_comment && !is_xml;
        return (ended || !is_incomplete).then_some(is_html);
    };
    if tag == b"!-" && !ended {
        return None;
    }
    let tags = if is_xml {
        &HTML_TAGS[..XHTML_TAGS]
    } else {
        &HTML_TAGS[..]
    };
    let mut undecided = false;
    for name in tags {
        match is_tag(tag, name, ended) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => undecided = true,
        }
    }
    (!undecided).then_some(false)
}

/// What stands before the first element or text.
struct Prolog<'a> {
    /// The bytes behind the prolog; `None` within a comment or declaration that has no end yet.
    rest: Option<&'a [u8]>,
    /// Whether it has a comment.
    has_comment: bool,
    /// Whether it has an XML declaration.
    is_xml: bool,
}

/// Skips blanks, comments and XML declarations.
fn skip_prolog(text: &[u8]) -> Prolog<'_> {
    let mut prolog = Prolog {
        rest: Some(text),
        has_comment: false,
        is_xml: false,
    };
    while let Some(rest) = prolog.rest {
        let rest = rest.trim_ascii_start();
        prolog.rest = match rest {
            [b'<', b'!', b'-', b'-', comment @ ..] => {
                prolog.has_comment = true;
                behind(comment, b"-->")
            }
            [b'<', b'?', declaration @ ..] => {
                prolog.is_xml = true;
                behind(declaration, b"?>")
            }
            _ => {
                prolog.rest = Some(rest);
                break;
            }
        };
    }
    prolog
}

/// The bytes behind the first `end`.
fn behind<'a>(bytes: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let at = bytes.windows(end.len()).position(|window| window == end)?;
    Some(&bytes[at + end.len()..])
}

/// Whether these bytes, from behind a `<`, begin with the whole tag `name`. `None` when more bytes decide, and
/// the body has not `ended`.
fn is_tag(bytes: &[u8], name: &str, ended: bool) -> Option<bool> {
    let mut rest = bytes;
    for expected in name.bytes() {
        if expected == b' ' {
            rest = rest.trim_ascii_start();
            continue;
        }
        match rest.split_first() {
            Some((byte, behind)) if byte.eq_ignore_ascii_case(&expected) => rest = behind,
            Some(_) => return Some(false),
            None => return ended.then_some(false),
        }
    }
    match rest.first() {
        Some(next) => Some(next.is_ascii_whitespace() || matches!(next, b'>' | b'/')),
        None => ended.then_some(true),
    }
}

/// Text in UTF-16, as far as it is ASCII; a zero byte stands for any other unit. Text without a byte order mark
/// is in UTF-16 where it begins with `<` or a blank in two bytes. Other text stays as it is.
fn ascii_of_utf16(bytes: &[u8]) -> Cow<'_, [u8]> {
    let may_begin = |byte: u8| byte == b'<' || byte.is_ascii_whitespace();
    let (units, decode): (_, fn([u8; 2]) -> u16) = match bytes {
        [0xff, 0xfe, units @ ..] => (units, u16::from_le_bytes),
        [0xfe, 0xff, units @ ..] => (units, u16::from_be_bytes),
        [first, 0, ..] if may_begin(*first) => (bytes, u16::from_le_bytes),
        [0, first, ..] if may_begin(*first) => (bytes, u16::from_be_bytes),
        _ => return Cow::Borrowed(bytes),
    };
    let units = units.chunks_exact(2).map(|unit| decode([unit[0], unit[1]]));
    let ascii = units.map(|unit| u8::try_from(unit).ok().filter(u8::is_ascii).unwrap_or(0));
    Cow::Owned(ascii.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether these bytes are HTML; no part of them says anything else.
    #[track_caller]
    fn is_decided(bytes: &[u8], is_declared: bool, is_html: bool) {
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(
            starts_as_html(bytes, true, is_declared),
            Some(is_html),
            "{shown}"
        );
        for length in 0..=bytes.len() {
            let early = starts_as_html(&bytes[..length], false, is_declared);
            assert!(
                early.is_none_or(|early| early == is_html),
                "{length} of {shown}"
            );
        }
    }

    #[test]
    fn text_behind_a_comment_is_html_where_it_is_declared() {
        for text in ["<!-- filter -->\nAccess denied", "<!-- filter -->"] {
            is_decided(text.as_bytes(), true, true);
            is_decided(text.as_bytes(), false, false);
        }
        for other in [
            "Access denied",
            "<!-- x --><gpx>",
            "<?xml version=\"1.0\"?><!-- x -->",
        ] {
            is_decided(other.as_bytes(), true, false);
        }
    }

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
            "<!DOCTYPE\nhtml>",
            "<!doctype\t \r\n HTML>",
            "<!doctypehtml>",
            "<form action=/login>",
            "<pre>denied",
            "<link rel=stylesheet>",
            "<section>",
            "<NAV\tclass=x>",
            "<img src=x>",
            "<h2>Sign in</h2>",
        ] {
            is_decided(html.as_bytes(), false, true);
            let text = html.trim_start_matches('\u{feff}');
            let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            is_decided(&little, false, true);
            is_decided(&big, false, true);
            is_decided(&[&[0xff, 0xfe][..], &little].concat(), false, true);
            is_decided(&[&[0xfe, 0xff][..], &big].concat(), false, true);
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
            "<!DOCTYPE\nplist>",
            "<formula>",
            "<\0a\u{1}>\0",
            "\0<\u{1}a\0>",
            "\0\0\0\u{18}ftyp",
        ] {
            is_decided(other.as_bytes(), false, false);
        }
    }

    #[test]
    fn an_error_of_a_storage_is_told_by_its_first_elements() {
        for error in [
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code>",
            "\u{feff}<?xml version='1.0'?><Error><Code>",
            "<Error>\r\n  <Code>NoSuchKey</Code>",
            "<?xml version=\"1.0\"?><Error xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Code>",
        ] {
            let whole = sniff(error.as_bytes(), false, false);
            assert_eq!(whole, Some(FirstBytes::StorageError), "{error}");
            for length in 0..error.len() {
                let early = sniff(&error.as_bytes()[..length], false, false);
                assert!(
                    early.is_none_or(|early| whole == Some(early)),
                    "{length} of {error}"
                );
            }
        }
        for other in [
            "<?xml version=\"1.0\"?><Errors><Code>",
            "<?xml version=\"1.0\"?><Error><Message>",
            "<?xml version=\"1.0\"?><Error>",
            "<?xml version=\"1.0\"?><error><Code>",
            "<Error",
            "<Error><Cod",
            "text <Error><Code>",
        ] {
            let found = sniff(other.as_bytes(), true, false);
            assert_eq!(found, Some(FirstBytes::Other), "{other}");
        }
    }

    #[test]
    fn more_bytes_are_waited_for_only_while_they_would_decide() {
        let page = "\u{feff} <!-- x --><!DOCTYPE html>";
        for length in 0..page.len() - 1 {
            assert_eq!(
                starts_as_html(&page.as_bytes()[..length], false, false),
                None,
                "{length}"
            );
        }
        assert_eq!(starts_as_html(page.as_bytes(), false, false), Some(true));
        assert_eq!(starts_as_html(b"%", false, false), Some(false));
        assert_eq!(starts_as_html(b"<s", false, false), None); // script, style
        assert_eq!(starts_as_html(b"<sv", false, false), Some(false));
        assert_eq!(
            starts_as_html(&vec![b' '; MAX_SNIFFED_BYTES], false, false),
            Some(false)
        );
    }
}
