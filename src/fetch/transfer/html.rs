//! Whether bytes start as HTML, by the WHATWG's MIME Sniffing standard.

use std::borrow::Cow;

/// At most this many of the first bytes decide. The standard reads 1445 bytes (section 5.2), but a page
/// may begin with any number of blanks.
pub(crate) const MAX_SNIFFED_BYTES: usize = 64 << 10;

/// How HTML begins behind its `<`: the table in section 7.1 of the standard, and `meta`.
const HTML_TAGS: [&str; 19] = [
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
/// How many of [`HTML_TAGS`] mean HTML in an XML document: the first ones. An element of any other name
/// can belong to any kind of XML.
const XHTML_TAGS: usize = 2;

const UTF8_BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Whether a body with these first bytes starts as HTML. `None` when more bytes decide, and the body has not
/// `ended`.
pub(crate) fn starts_as_html(bytes: &[u8], ended: bool) -> Option<bool> {
    let ended = ended || bytes.len() >= MAX_SNIFFED_BYTES;
    let text = ascii_of_utf16(bytes);
    let text = text.strip_prefix(UTF8_BYTE_ORDER_MARK).unwrap_or(&text);
    let (first, is_xml) = skip_comments(text);
    let Some(first) = first else {
        return ended.then_some(!is_xml);
    };
    let Some((b'<', tag)) = first.split_first() else {
        let is_incomplete = first.is_empty() || UTF8_BYTE_ORDER_MARK.starts_with(first);
        return (ended || !is_incomplete).then_some(false);
    };
    let tags = if is_xml {
        &HTML_TAGS[..XHTML_TAGS]
    } else {
        &HTML_TAGS[..]
    };
    let is_incomplete = tag == b"!-" || tags.iter().any(|name| may_become(tag, name));
    if is_incomplete && !ended {
        return None;
    }
    Some(tags.iter().any(|name| is_tag(tag, name)))
}

/// Skips blanks, comments and XML declarations. Returns the bytes behind them, or `None` within one that
/// has no end yet; and whether there was an XML declaration.
fn skip_comments(mut rest: &[u8]) -> (Option<&[u8]>, bool) {
    let mut is_xml = false;
    loop {
        rest = rest.trim_ascii_start();
        let behind = match rest {
            [b'<', b'!', b'-', b'-', comment @ ..] => behind(comment, b"-->"),
            [b'<', b'?', declaration @ ..] => {
                is_xml = true;
                behind(declaration, b"?>")
            }
            _ => return (Some(rest), is_xml),
        };
        match behind {
            Some(behind) => rest = behind,
            None => return (None, is_xml),
        }
    }
}

/// The bytes behind the first `end`.
fn behind<'a>(bytes: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let at = bytes.windows(end.len()).position(|window| window == end)?;
    Some(&bytes[at + end.len()..])
}

/// Whether these bytes, from behind a `<`, are the whole tag `name`.
fn is_tag(bytes: &[u8], name: &str) -> bool {
    let ends_name = |next: &u8| next.is_ascii_whitespace() || matches!(next, b'>' | b'/');
    match bytes.split_at_checked(name.len()) {
        Some((start, rest)) => {
            start.eq_ignore_ascii_case(name.as_bytes()) && rest.first().is_none_or(ends_name)
        }
        None => false,
    }
}

/// Whether more bytes can make these bytes the tag `name`.
fn may_become(bytes: &[u8], name: &str) -> bool {
    let start = name.as_bytes().get(..bytes.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(bytes))
}

/// Text in UTF-16 with a byte order mark, as far as it is ASCII: the byte of each unit that holds ASCII.
/// Other text stays as it is.
fn ascii_of_utf16(bytes: &[u8]) -> Cow<'_, [u8]> {
    let low_byte = match bytes {
        [0xff, 0xfe, ..] => 0,
        [0xfe, 0xff, ..] => 1,
        _ => return Cow::Borrowed(bytes),
    };
    let ascii = bytes[2..].iter().skip(low_byte).step_by(2).copied();
    Cow::Owned(ascii.collect())
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
}
