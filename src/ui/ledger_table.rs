//! Records of the ledger, for people and for scripts.

use crate::resolve::ledger::inspect::ListedRecord;
use crate::resolve::ledger::table::State;
use crate::text::{printable, short_duration};
use crate::ui::diagnostics::{BOLD, paint};
use crate::ui::text_width::pad;
use jiff::Timestamp;
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

/// How many columns the table has.
const COLUMNS: usize = 5;

/// A record of the ledger in JSON, without its URL.
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
    /// The row of a record.
    pub(super) fn of(listed: &'a ListedRecord) -> Self {
        let record = &listed.record;
        Self {
            provider: &record.provider,
            base: &record.base,
            id: &record.id,
            resource: listed.resource.as_deref(),
            state: record.state,
            asked: record.requested,
            expires: record.expires(),
        }
    }
}

/// Records of the ledger, in lines of fields with tabs between them.
pub(super) fn fields(records: &[ListedRecord]) -> Vec<String> {
    let fields = |listed: &ListedRecord| {
        let record = &listed.record;
        let expires = record.expires().map(seconds).unwrap_or_default();
        let texts = [
            &record.id,
            state(record.state),
            &seconds(record.requested),
            &expires,
            &record.provider,
            kind(listed),
            &record.base,
        ];
        texts.map(|text| printable(text).into_owned()).join("\t")
    };
    records.iter().map(fields).collect()
}

/// Records of the ledger, in a table that is `width` wide. A narrow table leaves out its last columns.
pub(super) fn table(
    records: &[ListedRecord],
    now: Timestamp,
    width: usize,
    color: bool,
) -> Vec<String> {
    let heading = ["ID", "STATE", "KIND", "URL VALID", "REQUESTED (UTC)"].map(str::to_owned);
    let rows = records.iter().map(|listed| cells(listed, now));
    let rows: Vec<[String; COLUMNS]> = std::iter::once(heading).chain(rows).collect();
    let widths = column_widths(&rows, width);
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().zip(widths).filter(|(_, width)| *width > 0);
        let cells: Vec<String> = cells.map(|(cell, width)| pad(cell, width, false)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines[0] = paint(&lines[0], BOLD, color);
    lines
}

fn cells(listed: &ListedRecord, now: Timestamp) -> [String; COLUMNS] {
    let record = &listed.record;
    let url_valid = match (record.expires(), record.url_time_left(now)) {
        (None, _) => "-".to_owned(),
        (_, None) => "past end".to_owned(),
        (_, Some(left)) => short_duration(left),
    };
    let requested = seconds(record.requested).replace('T', " ");
    [
        printable(&record.id).into_owned(),
        state(record.state).to_owned(),
        kind(listed).to_owned(),
        url_valid,
        requested.chars().take(16).collect(),
    ]
}

/// The widths of the columns, 0 for those that do not fit into `width`.
fn column_widths(rows: &[[String; COLUMNS]], width: usize) -> [usize; COLUMNS] {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (column, cell) in widths.iter_mut().zip(row) {
            *column = cell.width().max(*column);
        }
    }
    let [id, others @ ..] = &mut widths;
    *id = (*id).min(width);
    let mut free = Some(width - *id);
    for column in others {
        // Behind the first column that does not fit, no column is shown.
        free = free.and_then(|free| free.checked_sub(*column + 2));
        if free.is_none() {
            *column = 0;
        }
    }
    widths
}

/// A time in RFC 3339, in whole seconds.
fn seconds(time: Timestamp) -> String {
    format!("{time:.0}")
}

fn kind(listed: &ListedRecord) -> &str {
    listed.resource.as_deref().unwrap_or("-")
}

fn state(state: State) -> &'static str {
    match state {
        State::Attempting => "attempting",
        State::Answered => "answered",
        State::Delivered => "delivered",
        State::Doubtful => "doubtful",
    }
}
