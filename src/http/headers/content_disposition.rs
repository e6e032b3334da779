//! The file name in a `Content-Disposition` header: RFC 6266, with RFC 8187 for `filename*`.
//!
//! The parser accepts what servers often send in violation of the standard, when it has only one meaning: no
//! disposition type, blanks or commas in an unquoted name, raw UTF-8 or ISO-8859-1 bytes. A header with more
//! than one meaning has no name. The name is not yet safe to use on disk.

use crate::text::is_control_or_reordering;
use percent_encoding::percent_decode_str;

/// The file name of the header: `filename*` where that is valid, else `filename`. `None` for a name with
/// control characters or characters that reorder text.
pub(crate) fn file_name(header: &[u8]) -> Option<String> {
    let header = text(header);
    let mut plain: Option<Option<String>> = None;
    let mut extended: Option<Option<String>> = None;
    for (position, segment) in segments(&header).enumerate() {
        let segment = segment.trim();
        let Some((name, value)) = split_parameter(segment) else {
            // Only the disposition type, which comes first, has no value. Any other segment without a
            // value makes the rest ambiguous.
            if segment.starts_with('"') || (position > 0 && !segment.is_empty()) {
                break;
            }
            continue;
        };
        // The first of two parameters with the same name counts.
        if name.eq_ignore_ascii_case("filename") {
            plain.get_or_insert_with(|| plain_value(value));
        } else if name.eq_ignore_ascii_case("filename*") {
            extended.get_or_insert_with(|| extended_value(value));
        }
    }
    let usable =
        |name: &String| !name.trim().is_empty() && !name.chars().any(is_control_or_reordering);
    extended
        .flatten()
        .filter(usable)
        .or_else(|| plain.flatten().filter(usable))
}

/// Decodes bytes as UTF-8 where they are valid, else as ISO-8859-1.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => latin1(bytes),
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Splits a header at `;`, but not inside quotes. Only a value that starts with a quote is quoted.
fn segments(header: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(header);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped, mut at_start) = (false, false, true);
        for (at, c) in text.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' if quoted => quoted = false,
                '"' if at_start => quoted = true,
                ';' if !quoted => {
                    rest = Some(&text[at + 1..]);
                    return Some(&text[..at]);
                }
                _ => {}
            }
            at_start = c == '=' || (at_start && c.is_whitespace());
        }
        rest = None;
        Some(text)
    })
}

/// Splits `name = value`; `None` without a `=`, or when the segment starts with a quoted string.
fn split_parameter(segment: &str) -> Option<(&str, &str)> {
    if segment.starts_with('"') {
        return None;
    }
    let (name, value) = segment.split_once('=')?;
    Some((name.trim(), value.trim()))
}

/// Decodes a quoted string (RFC 9110 section 5.6.4), a token, or the text that servers send in place of a
/// token.
fn plain_value(value: &str) -> Option<String> {
    let Some(quoted) = value.strip_prefix('"') else {
        // With a quote, a second `=` or a second header after a comma, the value has more than one meaning.
        let ambiguous = value.contains(['"', '=']) || value.contains(", ");
        return (!value.is_empty() && !ambiguous).then(|| value.to_owned());
    };
    let mut name = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some(name),
            '\\' => name.push(chars.next()?),
            c => name.push(c),
        }
    }
}

/// Decodes an `ext-value` (RFC 8187 section 3.2): charset, language and percent-encoded bytes.
fn extended_value(value: &str) -> Option<String> {
    let mut parts = value.splitn(3, '\'');
    let (charset, _language, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    if !is_extended(encoded) {
        return None;
    }
    let bytes: Vec<u8> = percent_decode_str(encoded).collect();
    match charset.to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" => String::from_utf8(bytes).ok(),
        "iso-8859-1" => Some(latin1(&bytes)),
        _ => None,
    }
}

/// Whether a text holds only `attr-char` and percent-encoded bytes (RFC 8187 section 3.2).
fn is_extended(encoded: &str) -> bool {
    let mut bytes = encoded.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => [bytes.next(), bytes.next()]
                .iter()
                .all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit())),
            _ => byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte),
        };
        if !fits {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_extended_form_wins_wherever_it_stands() {
        let both = "attachment; filename*=UTF-8''%e2%82%ac.pdf; filename=\"eur.pdf\"";
        assert_eq!(file_name(both.as_bytes()).as_deref(), Some("\u{20ac}.pdf"));
    }

    #[test]
    fn a_broken_extended_form_falls_back() {
        let broken = "attachment; filename=\"eur.pdf\"; filename*=UTF-8''%e2%8";
        assert_eq!(file_name(broken.as_bytes()).as_deref(), Some("eur.pdf"));
    }

    #[test]
    fn semicolons_inside_quotes_do_not_split() {
        let header = br#"attachment; foo="a\";b"; filename="x;y.pdf""#;
        assert_eq!(file_name(header).as_deref(), Some("x;y.pdf"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_control_character_in_the_name(bytes: Vec<u8>) {
            let header = [b"attachment; filename=".as_slice(), &bytes].concat();
            for header in [bytes.as_slice(), header.as_slice()] {
                if let Some(name) = file_name(header) {
                    prop_assert!(!name.chars().any(is_control_or_reordering));
                }
            }
        }

        #[test]
        fn any_name_survives_its_own_encoding(name in "[^\\p{C}]{1,40}") {
            prop_assume!(!name.trim().is_empty() && !name.chars().any(is_control_or_reordering));
            let encoded = percent_encoding::utf8_percent_encode(
                &name, percent_encoding::NON_ALPHANUMERIC);
            let header = format!("attachment; filename*=UTF-8''{encoded}");
            prop_assert_eq!(file_name(header.as_bytes()), Some(name));
        }
    }
}
