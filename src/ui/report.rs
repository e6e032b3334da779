//! Tables and sentences.

use super::diagnostics::paint;
use super::sanitize::printable;
use crate::fetch::check::Tally;
use crate::fetch::outcome::Summary;
use crate::model::short_duration;
use crate::resolve::ledger::table::{Record, State};
use crate::resolve::listing::Row;
use crate::sandbox::Report;
use jiff::Timestamp;
use serde::Serialize;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Headings.
const BOLD: &str = "\u{1b}[1m";

/// A size for people, in binary units.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut scaled = bytes as f64;
    let mut unit = "";
    for next in UNITS {
        if scaled < 1024.0 {
            break;
        }
        scaled /= 1024.0;
        unit = next;
    }
    format!("{scaled:.1} {unit}")
}

/// At most `columns` wide, with an ellipsis where something was left out.
pub fn shortened(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut room = columns.saturating_sub(1);
    let mut short = String::new();
    for c in text.chars() {
        let width = c.width().unwrap_or(0);
        if width > room {
            break;
        }
        room -= width;
        short.push(c);
    }
    short.push('\u{2026}');
    short
}

/// How wide the terminal is.
pub fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// A row with tabs between its fields: id, name, size, time of the last change.
pub fn fields(row: &Row) -> String {
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

/// A table whose columns are fitted to its first page.
#[derive(Debug, Default)]
pub struct Table {
    id: Option<usize>,
}

impl Table {
    /// The lines of a page, with a heading before the first.
    pub fn page(&mut self, rows: &[Row], width: usize, color: bool) -> Vec<String> {
        const SIZE: usize = 10;
        const TIME: usize = 16;
        let mut lines = Vec::with_capacity(rows.len() + 1);
        let first = self.id.is_none();
        let id = *self.id.get_or_insert_with(|| {
            let widest = rows.iter().map(|row| printable(&row.id).width()).max();
            widest.unwrap_or(0).clamp(2, 40)
        });
        let name = width.saturating_sub(id + SIZE + TIME + 6).max(12);
        let line = |cells: [&str; 4]| {
            let [i, s, t, n] = cells;
            let text = format!(
                "{}  {}  {}  {}",
                pad(i, id, false),
                pad(s, SIZE, true),
                pad(t, TIME, false),
                shortened(n, name)
            );
            text.trim_end().to_owned()
        };
        if first {
            let heading = line(["ID", "SIZE", "MODIFIED", "NAME"]);
            lines.push(paint(&heading, BOLD, color));
        }
        for row in rows {
            let size = row.size.map_or_else(|| "-".to_owned(), size);
            let modified: String = text(row.modified.as_ref())
                .replace('T', " ")
                .chars()
                .take(TIME)
                .collect();
            let cells = [&row.id, &size, &modified, text(row.name.as_ref())]
                .map(|cell| printable(cell).into_owned());
            lines.push(line([&cells[0], &cells[1], &cells[2], &cells[3]]));
        }
        lines
    }
}

/// A record of the ledger, as scripts see it; its URL is not for them.
#[derive(Debug, Serialize)]
pub struct LedgerRow<'a> {
    provider: &'a str,
    base: &'a str,
    id: &'a str,
    state: State,
    asked: Timestamp,
    /// When the URL dies; null where there is none, or where it is not known.
    expires: Option<Timestamp>,
}

impl<'a> LedgerRow<'a> {
    /// What may be shown of a record.
    pub fn of(record: &'a Record) -> Self {
        Self {
            provider: &record.provider,
            base: &record.base,
            id: &record.id,
            state: record.state,
            asked: record.asked,
            expires: record.expires(),
        }
    }
}

/// Records of the ledger: a table that is `width` wide, or fields with tabs between them.
pub fn ledger(
    records: &[Record],
    now: Timestamp,
    width: Option<usize>,
    color: bool,
) -> Vec<String> {
    let time = |time: Timestamp| format!("{time:.0}");
    let Some(width) = width else {
        let fields = |record: &Record| {
            let expires = record.expires().map(time).unwrap_or_default();
            let state = state(record.state);
            [
                &record.id,
                state,
                &time(record.asked),
                &expires,
                &record.provider,
            ]
            .map(|text| printable(text).into_owned())
            .join("\t")
        };
        return records.iter().map(fields).collect();
    };
    let rows: Vec<[String; 4]> = records
        .iter()
        .map(|record| {
            let lives = match (record.expires(), record.left(now)) {
                (None, _) => "-".to_owned(),
                (_, None) => "expired".to_owned(),
                (_, Some(left)) => short_duration(left),
            };
            let asked = time(record.asked)
                .replace('T', " ")
                .chars()
                .take(16)
                .collect();
            [
                state(record.state).to_owned(),
                asked,
                lives,
                printable(&record.id).into_owned(),
            ]
        })
        .collect();
    let line = |[state, asked, lives, id]: [&str; 4]| {
        let text = format!(
            "{}  {}  {}  {id}",
            pad(state, 10, false),
            pad(asked, 16, false),
            pad(lives, 9, true)
        );
        shortened(text.trim_end(), width)
    };
    let heading = line(["STATE", "ASKED (UTC)", "URL LIVES", "ID"]);
    let heading = paint(&heading, BOLD, color);
    let rows = rows
        .iter()
        .map(|row| line(row.each_ref().map(String::as_str)));
    std::iter::once(heading).chain(rows).collect()
}

fn state(state: State) -> &'static str {
    match state {
        State::Attempting => "attempting",
        State::Answered => "answered",
        State::Delivered => "delivered",
        State::Doubtful => "doubtful",
    }
}

fn pad(text: &str, columns: usize, right: bool) -> String {
    let text = shortened(text, columns);
    let blanks = " ".repeat(columns - text.width());
    if right {
        format!("{blanks}{text}")
    } else {
        format!("{text}{blanks}")
    }
}

/// The end of a batch, in one line.
pub fn summary(summary: &Summary) -> String {
    if summary.planned > 0 {
        let Summary {
            planned,
            skipped,
            failed,
            ..
        } = summary;
        return format!("{planned} planned, {skipped} skipped, {failed} failed");
    }
    let seconds = summary.elapsed_ms as f64 / 1000.0;
    format!(
        "{} fetched, {} skipped, {} failed; {} in {seconds:.1} s",
        summary.fetched,
        summary.skipped,
        summary.failed,
        size(summary.bytes)
    )
}

/// The end of a verification, in one line.
pub fn tally(tally: &Tally) -> String {
    let files = if tally.verified == 1 { "file" } else { "files" };
    let seconds = tally.elapsed_ms as f64 / 1000.0;
    format!(
        "{} {files} verified, {} wrong; {} in {seconds:.1} s",
        tally.verified,
        tally.failed,
        size(tally.bytes)
    )
}

/// What happened at a sandbox, a line each.
pub fn sandbox(report: &Report) -> Vec<String> {
    let charged: u32 = report.charges.values().sum();
    let mut lines = vec![format!(
        "{charged} paid retrievals, {} tokens, {} downloads, {} storage requests ({})",
        report.tokens,
        report.downloads,
        report.storage_requests,
        size(report.storage_bytes)
    )];
    if report.requests > 1 {
        let counted = |number: u32, thing: &str| match number {
            1 => format!("1 {thing}"),
            _ => format!("{number} {thing}s"),
        };
        lines.push(format!(
            "at most {} at once, {} to the storage",
            counted(report.most_at_once, "request"),
            counted(report.storage_connections, "connection")
        ));
    }
    for (id, times) in report.charges.iter().filter(|(_, times)| **times > 1) {
        lines.push(format!("document {id} was charged {times} times"));
    }
    if report.leaks > 0 {
        lines.push(format!(
            "{} requests brought a credential to the storage",
            report.leaks
        ));
    }
    if report.rate_limited > 0 {
        lines.push(format!(
            "{} requests were past the rate limit",
            report.rate_limited
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, name: &str, size: Option<u64>) -> Row {
        Row {
            provider: "sm",
            id: id.into(),
            name: Some(name.into()),
            size,
            modified: Some("2026-10-01T08:30:00Z".into()),
            fields: serde_json::Map::new(),
        }
    }

    #[test]
    fn sizes_are_for_people() {
        let of = [0, 1023, 1024, 1536, 5 << 30].map(size);
        assert_eq!(of, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 GiB"]);
    }

    #[test]
    fn a_table_fits_its_width_with_wide_characters() {
        let rows = [
            row("1", &"\u{5ca1}".repeat(60), None),
            row("22", "a\tb", Some(2048)),
        ];
        let lines = Table::default().page(&rows, 60, false);
        assert!(lines.iter().all(|line| line.width() <= 60), "{lines:#?}");
        assert_eq!(lines[0], "ID        SIZE  MODIFIED          NAME");
        assert!(lines[1].ends_with('\u{2026}'));
        assert_eq!(lines[2], "22     2.0 KiB  2026-10-01 08:30  a\\tb");
    }

    #[test]
    fn later_pages_have_no_heading() {
        let mut table = Table::default();
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

    #[test]
    fn a_sandbox_tells_what_it_caught() {
        let report = Report {
            charges: [("7".to_owned(), 2), ("8".to_owned(), 1)].into(),
            leaks: 1,
            rate_limited: 4,
            ..Report::default()
        };
        let lines = sandbox(&report);
        assert!(lines[0].starts_with("3 paid retrievals, 0 tokens"));
        assert_eq!(lines[1], "document 7 was charged 2 times");
        assert!(lines[2].contains("credential") && lines[3].contains("rate limit"));
        assert_eq!(lines.len(), 4);
        let report = |requests, most_at_once, storage_connections| Report {
            requests,
            most_at_once,
            storage_connections,
            ..Report::default()
        };
        let lines = sandbox(&report(20, 8, 8));
        assert_eq!(
            lines[1],
            "at most 8 requests at once, 8 connections to the storage"
        );
        let lines = sandbox(&report(2, 1, 1));
        assert_eq!(
            lines[1],
            "at most 1 request at once, 1 connection to the storage"
        );
        assert_eq!(sandbox(&report(1, 1, 0)).len(), 1);
    }
}
