//! Text that cannot move the terminal.

use std::borrow::Cow;

/// `text` with control characters and those that reorder or hide text written as `\u{…}`.
///
/// Names, messages and ids come from servers; an escape sequence in one must stay text.
pub fn printable(text: &str) -> Cow<'_, str> {
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
        assert!(matches!(printable("Ums\u{e4}tze"), Cow::Borrowed(_)));
    }
}
