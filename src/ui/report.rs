//! Tables and sentences.

use super::diagnostics::paint;
use crate::fetch::summary::{CostCounts, Summary};
use crate::manifest::VerifySummary;
use crate::provider::Resource;
use crate::resolve::Row;
use crate::resolve::ledger::inspect::ListedRecord;
use crate::resolve::ledger::table::State;
use crate::sandbox::Report;
use crate::text::printable;
use crate::text::short_duration;
use jiff::Timestamp;
use serde::Serialize;
use std::fmt;
use std::time::{Duration, Instant};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Headings.
const BOLD: &str = "\u{1b}[1m";

/// A size for people, in binary units.
pub(super) fn size(bytes: u64) -> String {
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
pub(super) fn shortened(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else {
        return String::new();
    };
    let mut cut = 0;
    // The width of a text is not the sum of its characters'. Nobody needs more of them than this.
    for (at, c) in text.char_indices().take(8 * columns + 32) {
        let width = text[..at].width();
        if width <= room && c.width() != Some(0) {
            cut = at;
        }
        // The end of a sequence can make it narrower, but by no more.
        if width > room + 2 {
            break;
        }
    }
    format!("{}\u{2026}", &text[..cut])
}

/// How wide the terminal is.
pub(super) fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// How many rows and columns the terminal of standard error has.
pub(super) fn terminal_size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok()?;
    let size = (usize::from(size.ws_row), usize::from(size.ws_col));
    Some(size).filter(|(rows, columns)| *rows > 0 && *columns > 0)
}

/// All documents of a batch together, while it runs.
#[derive(Debug)]
pub(super) struct SoFar {
    /// Documents in all, where that is known.
    pub total: Option<u64>,
    /// Documents that ended.
    pub ended: u64,
    /// Bytes that arrived.
    pub bytes: u64,
    begun: Instant,
}

impl SoFar {
    /// Nothing yet.
    pub(super) fn new(total: Option<u64>) -> Self {
        Self {
            total,
            ended: 0,
            bytes: 0,
            begun: Instant::now(),
        }
    }
}

impl fmt::Display for SoFar {
    /// Documents, bytes, rate, and the time that is left if it goes on like this.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elapsed = self.begun.elapsed().as_secs_f64().max(0.001);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it saturates"
        )]
        let rate = (self.bytes as f64 / elapsed) as u64;
        write!(f, "{}", self.ended)?;
        if let Some(total) = self.total {
            write!(f, " of {total}")?;
        }
        write!(f, " documents, {}, {}/s", size(self.bytes), size(rate))?;
        match self.total {
            Some(total) if self.ended > 0 && self.ended < total => {
                let left = (total - self.ended) as f64 * elapsed / self.ended as f64;
                let left = Duration::try_from_secs_f64(left).unwrap_or_default();
                write!(f, ", {} left", short_duration(left))
            }
            _ => Ok(()),
        }
    }
}

/// A row with tabs between its fields: id, name, size, time of the last change.
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

/// A table whose columns are fitted to its first page.
#[derive(Debug, Default)]
pub(crate) struct Table {
    id: Option<usize>,
}

impl Table {
    /// The lines of a page, with a heading before the first.
    pub(crate) fn page(&mut self, rows: &[Row], width: usize, color: bool) -> Vec<String> {
        const SIZE: usize = 10;
        const TIME: usize = 16;
        const NAME: usize = 12;
        let mut lines = Vec::with_capacity(rows.len() + 1);
        let first = self.id.is_none();
        let id = *self.id.get_or_insert_with(|| {
            let widest = rows.iter().map(|row| printable(&row.id).width()).max();
            widest.unwrap_or(0).clamp(2, 40)
        });
        // What a narrow terminal has no room for goes, the name last.
        let room = width.saturating_sub(id + 2);
        let sized = room >= SIZE + 2 + NAME;
        let timed = room >= SIZE + 2 + TIME + 2 + NAME;
        let line = |[i, s, t, n]: [&str; 4]| {
            let mut text = pad(i, id, false) + "  ";
            if sized {
                text += &(pad(s, SIZE, true) + "  ");
            }
            if timed {
                text += &(pad(t, TIME, false) + "  ");
            }
            shortened((text + n).trim_end(), width)
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
pub(super) struct LedgerRow<'a> {
    /// The provider's name on the command line.
    provider: &'a str,
    /// The base of the provider's API.
    base: &'a str,
    /// The id of the document.
    id: &'a str,
    /// The kind of the document; null where the provider has one kind only.
    resource: Option<&'a str>,
    /// `attempting`, `answered`, `delivered` or `doubtful`.
    state: State,
    /// When docfetch sent the request, in RFC 3339, by the clock of the servers.
    asked: Timestamp,
    /// When the URL expires, in RFC 3339; null where no URL is recorded, or where its expiry is not known.
    expires: Option<Timestamp>,
}

impl<'a> LedgerRow<'a> {
    /// What may be shown of a record.
    pub(super) fn of(listed: &'a ListedRecord) -> Self {
        let record = &listed.record;
        Self {
            provider: &record.provider,
            base: &record.base,
            id: &record.id,
            resource: listed.resource.map(Resource::name),
            state: record.state,
            asked: record.requested,
            expires: record.expires(),
        }
    }
}

/// Records of the ledger: a table that is `width` wide, or fields with tabs between them. What a narrow
/// terminal has no room for is left out, the id last.
pub(super) fn ledger(
    records: &[ListedRecord],
    now: Timestamp,
    width: Option<usize>,
    color: bool,
) -> Vec<String> {
    let time = |time: Timestamp| format!("{time:.0}");
    let kind = |listed: &ListedRecord| listed.resource.map_or("-", Resource::name);
    let Some(width) = width else {
        let fields = |listed: &ListedRecord| {
            let record = &listed.record;
            let expires = record.expires().map(time).unwrap_or_default();
            let texts = [
                &record.id,
                state(record.state),
                &time(record.requested),
                &expires,
                &record.provider,
                kind(listed),
            ];
            texts.map(|text| printable(text).into_owned()).join("\t")
        };
        return records.iter().map(fields).collect();
    };
    let rows = records.iter().map(|listed| {
        let record = &listed.record;
        let lives = match (record.expires(), record.url_time_left(now)) {
            (None, _) => "-".to_owned(),
            (_, None) => "past end".to_owned(),
            (_, Some(left)) => short_duration(left),
        };
        let asked = time(record.requested).replace('T', " ");
        [
            printable(&record.id).into_owned(),
            state(record.state).to_owned(),
            kind(listed).to_owned(),
            lives,
            asked.chars().take(16).collect(),
        ]
    });
    let heading = ["ID", "STATE", "KIND", "URL LIVES", "ASKED (UTC)"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(heading).chain(rows).collect();
    let mut widths = [0; 5];
    for row in &rows {
        for (column, cell) in widths.iter_mut().zip(row) {
            *column = cell.width().max(*column);
        }
    }
    let [id, rest @ ..] = &mut widths;
    *id = (*id).min(width);
    let mut room = Some(width - *id);
    for column in rest {
        // The first column that has no room takes those behind it with it.
        room = room.and_then(|room| room.checked_sub(*column + 2));
        if room.is_none() {
            *column = 0;
        }
    }
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths).filter(|(_, width)| *width > 0);
        let cells: Vec<String> = cells.map(|(cell, width)| pad(cell, width, false)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines[0] = paint(&lines[0], BOLD, color);
    lines
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

/// The end of a batch: what became of the documents, and which failed.
pub(super) fn summary(summary: &Summary) -> Vec<String> {
    let mut lines = vec![counts(summary)];
    for (id, what) in &summary.failures {
        lines.push(format!("failed: {}: {}", printable(id), printable(what)));
    }
    let more = summary.failed - summary.failures.len() as u64;
    if more > 0 {
        lines.push(format!("failed: {more} more"));
    }
    lines
}

fn counts(summary: &Summary) -> String {
    let Summary {
        skipped, failed, ..
    } = summary;
    let not_started = match summary.not_started {
        0 => String::new(),
        number => format!(", {number} not started"),
    };
    let bytes = size(summary.bytes);
    if let Some(plan) = summary.plan {
        let planned = plan.planned;
        return format!(
            "{planned} planned ({bytes} known), {skipped} skipped, {failed} failed{not_started}"
        );
    }
    let seconds = summary.elapsed_ms as f64 / 1000.0;
    let fetched = summary.fetched;
    format!(
        "{fetched} fetched, {skipped} skipped, {failed} failed{not_started}; {bytes} in {seconds:.1} s"
    )
}

/// What a real run would pay, in one line; none where the provider never charges.
pub(super) fn costs(costs: CostCounts) -> Option<String> {
    let (charge, reuse) = (costs.would_charge?, costs.would_reuse?);
    let charges = match charge {
        1 => "1 paid retrieval".to_owned(),
        number => format!("{number} paid retrievals"),
    };
    let reuses = match reuse {
        0 => String::new(),
        1 => ", use 1 recorded URL again".to_owned(),
        number => format!(", use {number} recorded URLs again"),
    };
    let rest = match costs.would_refuse? {
        0 => String::new(),
        1 => ", and refuse 1 document (by --max-charges or `docfetch ledger list`)".to_owned(),
        number => {
            format!(", and refuse {number} documents (by --max-charges or `docfetch ledger list`)")
        }
    };
    Some(format!("a real run would request {charges}{reuses}{rest}"))
}

/// The end of a verification, in one line.
pub(super) fn tally(tally: &VerifySummary) -> String {
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
pub(super) fn sandbox(report: &Report) -> Vec<String> {
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
            counted(report.max_open_requests, "request"),
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
    fn text_is_cut_where_its_width_as_a_whole_fits() {
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
        // However many marks there are, nobody waits.
        let marks = format!("ab{}cd", "\u{301}".repeat(1 << 20));
        assert_eq!(shortened(&marks, 3), "a\u{2026}");
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
            let lines = Table::default().page(&rows, width, false);
            assert!(lines.iter().all(|line| line.width() <= width), "{lines:#?}");
        }
        // On a narrow one the name is worth more than the rest.
        let narrow = Table::default().page(&rows, 47, false);
        assert_eq!(narrow[0], "ID                      SIZE  NAME");
        assert_eq!(narrow[3], "333                  2.0 KiB  a.pdf");
        let narrower = Table::default().page(&rows, 36, false);
        assert_eq!(narrower[3], "333               a.pdf");
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
        let report = |requests, max_open_requests, storage_connections| Report {
            requests,
            max_open_requests,
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
