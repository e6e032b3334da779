//! The `Link` header (RFC 8288).

use reqwest::header::{HeaderMap, LINK};

/// The target of the first link with the relation `next`, as the server writes it: perhaps relative. A server may send
/// several `Link` headers, each with several links. A link with another context (`anchor`) is no link of this answer.
pub(crate) fn next_link(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(LINK).iter();
    values.find_map(|value| next_in(&String::from_utf8_lossy(value.as_bytes())))
}

/// The target of the first link with the relation `next` in a header's value (RFC 8288 section 3). The rest of the value
/// is not read where it is no link.
fn next_in(value: &str) -> Option<String> {
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (target, parameters) = rest.strip_prefix('<')?.split_once('>')?;
        let (is_next, after) = read_parameters(parameters);
        if is_next {
            return Some(target.trim().to_owned());
        }
        rest = after;
    }
}

/// Whether the parameters of a link, at the start of `text`, name the relation `next`; and the text after the link.
fn read_parameters(text: &str) -> (bool, &str) {
    let (mut rest, mut rel, mut has_anchor) = (text, None::<String>, false);
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        let Some(parameter) = rest.strip_prefix(';') else {
            let is_next = rel.is_some_and(|rel| is_relation_next(&rel)) && !has_anchor;
            let after = rest.find(',').map_or("", |at| &rest[at..]);
            return (is_next, after);
        };
        let end = parameter.find(['=', ';', ',']).unwrap_or(parameter.len());
        let name = parameter[..end].trim().to_ascii_lowercase();
        let value;
        (value, rest) = match parameter[end..].strip_prefix('=') {
            Some(given) => read_value(given),
            None => (String::new(), &parameter[end..]),
        };
        match name.as_str() {
            // Only the first one counts (section 3.3).
            "rel" if rel.is_none() => rel = Some(value),
            "anchor" => has_anchor = true,
            _ => {}
        }
    }
}

/// The value of a parameter at the start of `text`, quoted or not (RFC 9110 section 5.6.4), and the text after the value.
fn read_value(text: &str) -> (String, &str) {
    let text = text.trim_start_matches([' ', '\t']);
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        return (text[..end].trim().to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

/// Whether one of the relations in `rel`, with blanks between them, is `next`. Their case does not count (section 2.1.1).
fn is_relation_next(rel: &str) -> bool {
    rel.split_ascii_whitespace()
        .any(|relation| relation.eq_ignore_ascii_case("next"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    fn next(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(LINK, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        next_link(&headers)
    }

    #[test]
    fn the_next_page_is_found_however_servers_write_the_header() {
        let first = r#"<https://a.example/x?p=1>; rel="first""#;
        for (values, expected) in [
            (
                &[r#"<https://a.example/x?p=2>; rel="next""#][..],
                "https://a.example/x?p=2",
            ),
            (&["<?p=2>;rel=next"], "?p=2"),
            (&["</x?p=2> ; rel = next ; title=x"], "/x?p=2"),
            (&[r#"<x,y;z>; REL="prev Next last""#], "x,y;z"),
            (
                &[r#"<a>; rel="prev", <b>; rel="next", <c>; rel="last""#],
                "b",
            ),
            (
                &[r#", ,<a>;title="<no>; rel=\"next\", <no>",<b>;x;y=1;rel=next"#],
                "b",
            ),
            (&[first, r#"<b>; rel="next""#], "b"),
            (&["nonsense", "<b>; rel=next"], "b"),
            (
                &[r#"<a>; rel="next"; anchor="/other", <b>; rel="next""#],
                "b",
            ),
            (&["<>; rel=next"], ""),
            (&["<\u{e4}>; title*=UTF-8''%e4; rel=next"], "\u{e4}"),
        ] {
            assert_eq!(next(values).as_deref(), Some(expected), "{values:?}");
        }
        for values in [
            &[][..],
            &[""],
            &[first],
            &["https://a.example; rel=next"],
            &["<b; rel=next"],
            &["<b>"],
            &["<b>; rel=nextpage"],
            &[r#"<b>; rel="prev"; rel="next""#],
            &["<b> rel=next"],
            &[r#"<b>; title="rel=next"#],
        ] {
            assert_eq!(next(values), None, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_the_search_panic_or_run_for_ever(value in "[<>;,=\" \\\\relnext\u{e4}]{0,60}") {
            let _ = next_in(&value);
        }
    }
}
