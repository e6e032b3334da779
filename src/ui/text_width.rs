//! Texts that fit into the columns of a terminal.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// In fewer columns, a name shows only its beginning.
const MIN_NAME_COLUMNS: usize = 8;

/// The text itself, or its beginning and an ellipsis where it is wider than `columns`.
pub(super) fn shortened(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    match columns.checked_sub(1) {
        Some(kept) => format!("{}\u{2026}", beginning(text, kept)),
        None => String::new(),
    }
}

/// The file name itself, or its beginning, an ellipsis and its end where it is wider than `columns`. The
/// extension stays, unless it leaves fewer than three columns for the beginning.
pub(super) fn shortened_name(name: &str, columns: usize) -> String {
    if name.width() <= columns || columns < MIN_NAME_COLUMNS {
        return shortened(name, columns);
    }
    let kept = columns - 1;
    let extension = name.rfind('.').map_or(0, |dot| name[dot..].width());
    let end = match kept / 3 {
        third if extension + 3 <= kept => extension.max(third),
        third => third,
    };
    let end = ending(name, end);
    let text = format!("{}\u{2026}{end}", beginning(name, kept - end.width()));
    // The width of a text is not the sum of the widths of its parts.
    if text.width() <= columns {
        text
    } else {
        shortened(name, columns)
    }
}

/// The longest beginning of `text` that fits into `columns` and does not separate a character from its marks.
fn beginning(text: &str, columns: usize) -> &str {
    let mut cut = 0;
    // The width of a text is not the sum of the widths of its characters. A text of thousands of combining
    // characters must not take long, so only the first characters are measured.
    for (at, c) in text.char_indices().take(8 * columns + 32) {
        let width = text[..at].width();
        if width <= columns && c.width() != Some(0) {
            cut = at;
        }
        // The end of a character sequence can make it narrower, but by no more than 2 columns.
        if width > columns + 2 {
            break;
        }
    }
    &text[..cut]
}

/// The longest end of `text` that fits into `columns` and does not separate a character from its marks.
fn ending(text: &str, columns: usize) -> &str {
    let mut cut = text.len();
    for (at, c) in text.char_indices().rev().take(8 * columns + 32) {
        let width = text[at..].width();
        if width <= columns && c.width() != Some(0) {
            cut = at;
        }
        if width > columns + 2 {
            break;
        }
    }
    &text[cut..]
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

    #[test]
    fn a_name_is_cut_in_its_middle_and_keeps_its_extension() {
        let heart = "\u{2764}\u{fe0f}";
        for (name, columns, expected) in [
            ("report.pdf", 10, "report.pdf"),
            (
                "a-very-long-report-of-2026.pdf",
                16,
                "a-very-lon\u{2026}6.pdf",
            ),
            ("a-very-long-report-of-2026.pdf", 8, "a-v\u{2026}.pdf"),
            ("a-very-long-report-of-2026.pdf", 7, "a-very\u{2026}"),
            ("no extension at all", 10, "no ext\u{2026}all"),
            // An extension that would leave no room for the name.
            ("report.of-the-whole-year", 13, "report.o\u{2026}year"),
            // Wide characters: never more columns than there are, and no half of one.
            (
                &format!("{}.pdf", "\u{5ca1}".repeat(9)),
                13,
                "\u{5ca1}\u{5ca1}\u{5ca1}\u{5ca1}\u{2026}.pdf",
            ),
            (
                &format!("{}.pdf", "\u{5ca1}".repeat(9)),
                12,
                "\u{5ca1}\u{5ca1}\u{5ca1}\u{2026}.pdf",
            ),
            (
                &format!("{}.x", heart.repeat(9)),
                9,
                &format!("{}\u{2026}.x", heart.repeat(3)),
            ),
            (
                "abcdefgh\u{301}.e\u{301}\u{327}f",
                8,
                "abcd\u{2026}.e\u{301}\u{327}f",
            ),
        ] {
            let shown = shortened_name(name, columns);
            assert_eq!(shown, expected, "{name:?} {columns}");
            assert!(shown.width() <= columns, "{name:?} {columns}");
        }
        let marks = format!("ab{}cd.pdf", "\u{301}".repeat(1 << 20));
        assert!(shortened_name(&marks, 9).width() <= 9);
    }
}
