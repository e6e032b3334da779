//! Rows of a listing, for people and for scripts.

use crate::provider::Provider;
use crate::resolve::Row;
use crate::text::{printable, size};
use crate::ui::diagnostics::{BOLD, paint};
use crate::ui::text_width::{pad, shortened};
use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

/// The widths of the columns.
const MAX_ID_WIDTH: usize = 40;
const SIZE_WIDTH: usize = 10;
const TIME_WIDTH: usize = 16;
const MIN_NAME_WIDTH: usize = 12;
const MAX_NAME_COLUMN_WIDTH: usize = 24;

/// A row of a listing with tabs between its fields: id, name, size, time of the last change.
pub(super) fn fields(row: &Row) -> String {
    let size = row.size.map(|size| size.to_string()).unwrap_or_default();
    let texts = [
        row.id.as_str(),
        text(row.name.as_ref()),
        size.as_str(),
        text(row.modified.as_ref()),
    ];
    texts.map(|text| printable(text).into_owned()).join("\t")
}

fn text(field: Option<&String>) -> &str {
    field.map(String::as_str).unwrap_or_default()
}

/// A table of a listing that is printed page by page. The first page decides the width of the id column and of the
/// columns with names of things that rows refer to.
#[derive(Debug, Default)]
pub(crate) struct ListingTable {
    id_width: Option<usize>,
    names: Vec<NameColumn>,
}

/// A column with the names of things that rows refer to, such as companies.
#[derive(Debug)]
struct NameColumn {
    /// The field of the rows.
    field: String,
    width: usize,
}

impl NameColumn {
    fn cell(&self, row: &Row) -> String {
        let text = match row.fields.get(&self.field) {
            None | Some(Value::Null) => "-".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(texts)) => {
                let texts = texts.iter().filter_map(Value::as_str);
                texts.collect::<Vec<_>>().join(", ")
            }
            Some(other) => other.to_string(),
        };
        printable(&text).into_owned()
    }
}

impl ListingTable {
    /// A table of the rows of `provider`.
    pub(crate) fn of(provider: &Provider) -> Self {
        let lookups = provider.table.lookups.iter();
        let shown = lookups.filter(|lookup| lookup.field.is_some());
        let names = shown.map(|lookup| NameColumn {
            field: lookup.name.clone(),
            width: 0,
        });
        Self {
            id_width: None,
            names: names.collect(),
        }
    }

    /// Decides the widths of the columns.
    fn fit(&mut self, rows: &[Row]) -> usize {
        if let Some(width) = self.id_width {
            return width;
        }
        for column in &mut self.names {
            let cells = rows.iter().map(|row| column.cell(row).width());
            let widest = cells.chain([column.field.width()]).max();
            column.width = widest.unwrap_or(0).min(MAX_NAME_COLUMN_WIDTH);
        }
        let widest = rows.iter().map(|row| printable(&row.id).width()).max();
        let width = widest.unwrap_or(0).clamp(2, MAX_ID_WIDTH);
        self.id_width = Some(width);
        width
    }

    /// The lines of a page, each at most `width` wide; before the first page, a heading. Where the terminal is
    /// narrow, the names of other things, then the time, and then the size are left out.
    pub(super) fn page(&mut self, rows: &[Row], width: usize, color: bool) -> Vec<String> {
        let mut lines = Vec::with_capacity(rows.len() + 1);
        let is_first = self.id_width.is_none();
        let id_width = self.fit(rows);
        let free = width.saturating_sub(id_width + 2);
        let has_size = free >= SIZE_WIDTH + 2 + MIN_NAME_WIDTH;
        let free = free.saturating_sub(SIZE_WIDTH + 2);
        let has_time = free >= TIME_WIDTH + 2 + MIN_NAME_WIDTH;
        let mut free = free.saturating_sub(TIME_WIDTH + 2 + MIN_NAME_WIDTH);
        let names = self.names.iter().take_while(|column| {
            let fits = has_time && free >= column.width + 2;
            free = free.saturating_sub(column.width + 2);
            fits
        });
        let names: Vec<&NameColumn> = names.collect();
        let line = |[id, size, time, name]: [&str; 4], others: &[String]| {
            let mut text = pad(id, id_width, false) + "  ";
            if has_size {
                text += &(pad(size, SIZE_WIDTH, true) + "  ");
            }
            if has_time {
                text += &(pad(time, TIME_WIDTH, false) + "  ");
            }
            for (column, other) in names.iter().zip(others) {
                let other = shortened(other, column.width);
                text += &(pad(&other, column.width, false) + "  ");
            }
            shortened((text + name).trim_end(), width)
        };
        if is_first {
            let others: Vec<String> = names.iter().map(|one| one.field.to_uppercase()).collect();
            let heading = line(["ID", "SIZE", "MODIFIED", "NAME"], &others);
            lines.push(paint(&heading, BOLD, color));
        }
        for row in rows {
            let size = row.size.map_or_else(|| "-".to_owned(), size);
            let modified: String = text(row.modified.as_ref())
                .replace('T', " ")
                .chars()
                .take(TIME_WIDTH)
                .collect();
            let cells = [&row.id, &size, &modified, text(row.name.as_ref())]
                .map(|cell| printable(cell).into_owned());
            let others: Vec<String> = names.iter().map(|one| one.cell(row)).collect();
            lines.push(line([&cells[0], &cells[1], &cells[2], &cells[3]], &others));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, name: &str, size: Option<u64>) -> Row {
        Row {
            provider: "sm".into(),
            id: id.into(),
            name: Some(name.into()),
            size,
            modified: Some("2026-10-01T08:30:00Z".into()),
            fields: serde_json::Map::new(),
        }
    }

    #[test]
    fn a_table_fits_its_width_with_wide_characters() {
        let rows = [
            row("1", &"\u{5ca1}".repeat(60), None),
            row("22", "a\tb", Some(2048)),
        ];
        let lines = ListingTable::default().page(&rows, 60, false);
        assert!(lines.iter().all(|line| line.width() <= 60), "{lines:#?}");
        assert_eq!(lines[0], "ID        SIZE  MODIFIED          NAME");
        assert!(lines[1].ends_with('\u{2026}'));
        assert_eq!(lines[2], "22     2.0 KiB  2026-10-01 08:30  a\\tb");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let heart = "\u{2764}\u{fe0f}";
        let rows = [
            row("0123456789abcdef", &heart.repeat(90), Some(5 << 30)),
            row("22", &"e\u{301}".repeat(90), None),
            row("333", "a.pdf", Some(2048)),
        ];
        for width in 1..120 {
            let lines = ListingTable::default().page(&rows, width, false);
            assert!(lines.iter().all(|line| line.width() <= width), "{lines:#?}");
        }
        // A narrow terminal shows the name, and leaves out the rest.
        let narrow = ListingTable::default().page(&rows, 47, false);
        assert_eq!(narrow[0], "ID                      SIZE  NAME");
        assert_eq!(narrow[3], "333                  2.0 KiB  a.pdf");
        let narrower = ListingTable::default().page(&rows, 36, false);
        assert_eq!(narrower[3], "333               a.pdf");
    }

    #[test]
    fn the_name_of_a_company_has_a_column_where_there_is_room() {
        let named = |id: &str, company: Value| {
            let mut row = row(id, "a.pdf", None);
            row.fields.insert("company".to_owned(), company);
            row
        };
        let rows = [
            named("1", "Acme\nInc".into()),
            named("2", Value::Null),
            named("3", "x".repeat(90).into()),
        ];
        let mut table = ListingTable::of(&Provider::shipped("sm").unwrap());
        let lines = table.page(&rows, 100, false);
        let start = "ID        SIZE  MODIFIED          COMPANY";
        assert!(lines[0].starts_with(start), "{lines:#?}");
        assert_eq!(
            lines[1],
            format!(
                "1            -  2026-10-01 08:30  {:24}  a.pdf",
                "Acme\\nInc"
            )
        );
        assert_eq!(
            lines[2],
            format!("2            -  2026-10-01 08:30  {:24}  a.pdf", "-")
        );
        assert!(lines[3].contains("xxx\u{2026}  a.pdf"), "{lines:#?}");
        let narrow = ListingTable::of(&Provider::shipped("sm").unwrap()).page(&rows, 60, false);
        assert_eq!(narrow[0], "ID        SIZE  MODIFIED          NAME");
    }

    #[test]
    fn later_pages_have_no_heading() {
        let mut table = ListingTable::default();
        assert_eq!(table.page(&[row("1", "a", None)], 80, false).len(), 2);
        assert_eq!(table.page(&[row("2", "b", None)], 80, false).len(), 1);
    }

    #[test]
    fn fields_never_break_a_line() {
        assert_eq!(
            fields(&row("1", "a\tb\nc", Some(7))),
            "1\ta\\tb\\nc\t7\t2026-10-01T08:30:00Z"
        );
    }
}
