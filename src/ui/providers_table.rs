//! The providers that docfetch knows, for people and for scripts.

use super::diagnostics::{BOLD, paint};
use super::printer::Printer;
use super::text_width::pad;
use crate::error::Result;
use crate::fetch::outcome::ErrorRecord;
use crate::provider::{KnownProvider, Provider};
use crate::text::printable;
use serde::Serialize;
use std::io::{self, IsTerminal as _};
use unicode_width::UnicodeWidthStr as _;

const HEADING: [&str; 5] = ["NAME", "TITLE", "CHARGES", "CREDENTIALS", "SOURCE"];

/// A provider that docfetch knows.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "provider")]
struct ProviderRow<'a> {
    /// The name on the command line.
    name: &'a str,
    /// The service; null where docfetch cannot use the table.
    title: Option<&'a str>,
    /// Whether the service may charge for a document; null where docfetch cannot use the table.
    charges: Option<bool>,
    /// The variables and files with the credential, in the order in which docfetch looks for them: `A and B or C`. Empty
    /// for a service without credentials; null where docfetch cannot use the table.
    credentials: Option<String>,
    /// `shipped`, or `file` for a table of the configuration file.
    source: TableSource,
    /// The line of the configuration file where the table begins; null for a table that docfetch ships.
    line: Option<u64>,
    /// Why docfetch cannot use the table; null otherwise.
    error: Option<ErrorRecord<'a>>,
}

/// Where a table comes from.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum TableSource {
    /// docfetch ships the table.
    Shipped,
    /// The configuration file has the table.
    File,
}

impl<'a> ProviderRow<'a> {
    fn of(known: &'a KnownProvider) -> Self {
        let provider = known.provider.as_ref().ok();
        Self {
            name: known.name,
            title: provider.map(|provider| provider.table.title.as_str()),
            charges: provider.map(Provider::charges),
            credentials: provider.map(Provider::credential_sources),
            source: match known.line {
                Some(_) => TableSource::File,
                None => TableSource::Shipped,
            },
            line: known.line.map(|line| line as u64),
            error: known.provider.as_ref().err().map(ErrorRecord::from),
        }
    }

    /// What a person reads, under [`HEADING`].
    fn cells(&self) -> [String; 5] {
        let charges = self
            .charges
            .map(|charges| if charges { "yes" } else { "no" });
        let source = match self.line {
            Some(line) => format!("line {line}"),
            None => "shipped".to_owned(),
        };
        [
            self.name.to_owned(),
            self.title.unwrap_or_default().to_owned(),
            charges.unwrap_or("error").to_owned(),
            self.credentials.clone().unwrap_or_default(),
            source,
        ]
        .map(|cell| printable(&cell).into_owned())
    }
}

/// Writes the providers to standard output: as JSON records, as a table on a terminal, else as fields with tabs between
/// them. Standard error shows why docfetch cannot use a table.
///
/// # Errors
/// When standard output takes no more.
pub(crate) fn print_providers(printer: &Printer, providers: &[KnownProvider]) -> Result<()> {
    for known in providers {
        if let Err(error) = &known.provider {
            printer.error(error, None);
        }
    }
    let rows: Vec<ProviderRow<'_>> = providers.iter().map(ProviderRow::of).collect();
    if printer.is_json() {
        return rows.iter().try_for_each(|row| printer.record(row));
    }
    let cells: Vec<[String; 5]> = rows.iter().map(ProviderRow::cells).collect();
    if !io::stdout().is_terminal() {
        return cells
            .iter()
            .try_for_each(|row| printer.text(&row.join("\t")));
    }
    let lines = table(cells);
    let heading = paint(&lines[0], BOLD, printer.has_color());
    printer.text(&heading)?;
    lines[1..].iter().try_for_each(|line| printer.text(line))
}

/// The lines of a table; the first one is the heading.
fn table(mut rows: Vec<[String; 5]>) -> Vec<String> {
    for cell in rows.iter_mut().flatten().filter(|cell| cell.is_empty()) {
        "-".clone_into(cell);
    }
    rows.insert(0, HEADING.map(str::to_owned));
    let width = |column: usize| rows.iter().map(|row| row[column].width()).max();
    let widths = [0, 1, 2, 3, 4].map(|column| width(column).unwrap_or_default());
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths);
        let cells: Vec<String> = cells.map(|(cell, width)| pad(cell, width, false)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Writes the TOML text of a table to standard output.
///
/// # Errors
/// When standard output takes no more.
pub(crate) fn print_table(printer: &Printer, text: &str) -> Result<()> {
    let mut lines = text.trim_end().lines();
    lines.try_for_each(|line| printer.text(line))
}
