//! Texts that fit into the columns of a terminal.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The text itself, or its beginning and an ellipsis where it is wider than `columns`.
pub(super) fn shortened(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let Some(kept) = columns.checked_sub(1) else {
        return String::new();
    };
    let mut cut = 0;
    // The width of a text is not the sum of the widths of its characters. A text of thousands of combining
    // characters must not take long, so only the first characters are measured.
    for (at, c) in text.char_indices().take(8 * columns + 32) {
        let width = text[..at].width();
        if width <= kept && c.width() != Some(0) {
            cut = at;
        }
        // The end of a character sequence can make it narrower, but by no more than 2 columns.
        if width > kept + 2 {
            break;
        }
    }
    format!("{}\u{2026}", &text[..cut])
}

/// The text shortened and padded to `columns`, on its left side if `right`-aligned.
pub(super) fn pad(text: &str, columns: usize, right: bool) -> String {
    let text = shortened(text, columns);
    let blanks = " ".repeat(columns - text.width());
    if right {
        format!("{blanks}{text}")
    } else {
        format!("{text}{blanks}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_its_width_as_a_whole_fits() {
        let heart = "\u{2764}\u{fe0f}"; // two columns, though its characters are one and none
        for (text, columns, expected) in [
            ("abcdef", 6, "abcdef"),
            ("abcdef", 5, "abcd\u{2026}"),
            ("abcdef", 1, "\u{2026}"),
            ("abcdef", 0, ""),
            (&heart.repeat(3), 5, &format!("{}\u{2026}", heart.repeat(2))),
            (&heart.repeat(3), 4, &format!("{heart}\u{2026}")),
            // Not between a letter and its marks, even where the letter alone would fit.
            ("abe\u{301}\u{327}def", 4, "abe\u{301}\u{327}\u{2026}"),
            ("abe\u{301}\u{327}def", 3, "ab\u{2026}"),
            ("a\u{2764}\u{fe0f}bc", 3, "a\u{2026}"),
            // Lam and alef together are one column.
            ("ab\u{644}\u{627}cd", 4, "ab\u{644}\u{627}\u{2026}"),
            ("\u{5ca1}\u{5ca1}\u{5ca1}", 5, "\u{5ca1}\u{5ca1}\u{2026}"),
            ("\u{5ca1}\u{5ca1}\u{5ca1}", 4, "\u{5ca1}\u{2026}"),
        ] {
            assert_eq!(shortened(text, columns), expected, "{text:?} {columns}");
        }
        // A million combining characters take no longer.
        let marks = format!("ab{}cd", "\u{301}".repeat(1 << 20));
        assert_eq!(shortened(&marks, 3), "a\u{2026}");
    }
}
