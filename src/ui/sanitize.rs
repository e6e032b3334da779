//! Text that cannot move the terminal.

use std::borrow::Cow;

/// `text` with control characters and those that reorder or hide text written as `\u{…}`.
///
/// Names, messages and ids come from servers; an escape sequence in one must stay text.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(harmful) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if harmful(c) {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    Cow::Owned(clean)
}

/// A JSON text whose strings cannot move the terminal either: the same characters, as JSON escapes
/// them (RFC 8259 section 7), so that every parser reads what was there.
pub(super) fn printable_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(harmful) {
        return Cow::Borrowed(json);
    }
    let escape = |c: char| match c {
        c if harmful(c) => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    Cow::Owned(json.chars().map(escape).collect())
}

fn harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stay_text() {
        assert_eq!(
            printable("a\u{1b}[2J\u{9b}b\u{202e}\n"),
            "a\\u{1b}[2J\\u{9b}b\\u{202e}\\n"
        );
        assert_eq!(
            printable_json("\"\u{202e}\u{9b}\u{e4}\""),
            "\"\\u202e\\u009b\u{e4}\""
        );
        assert!(matches!(printable("Ums\u{e4}tze"), Cow::Borrowed(_)));
    }
}
