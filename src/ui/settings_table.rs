//! The settings in force, for people and for scripts.

use super::diagnostics::{BOLD, paint};
use super::printer::Printer;
use super::text_width::pad;
use crate::error::{Error, Result};
use crate::fetch::outcome::{ErrorRecord, serialize_path};
use crate::text::printable;
use serde::Serialize;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use unicode_width::UnicodeWidthStr as _;

/// The name of the configuration file's row.
const CONFIG_FILE: &str = "config-file";

/// The configuration file.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "config_file")]
pub(crate) struct ConfigFileRow<'a> {
    /// The path of the configuration file; null where neither `DOCFETCH_CONFIG` nor `HOME` names a place.
    #[serde(flatten, serialize_with = "serialize_path")]
    pub path: Option<PathBuf>,
    /// The variable that names the file; null for the default place.
    pub variable: Option<&'a str>,
    /// `read`, `missing`, or `refused` where docfetch cannot use the file.
    pub state: ConfigFileState,
    /// Why docfetch cannot use the file; null otherwise.
    pub error: Option<ErrorRecord<'a>>,
}

/// What docfetch does with the configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConfigFileState {
    /// docfetch read the file.
    Read,
    /// There is no file.
    Missing,
    /// docfetch cannot use the file.
    Refused,
}

/// A setting in force.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "setting")]
pub(crate) struct SettingRow {
    /// The long option, or `state-dir` for the state folder.
    pub name: String,
    /// The provider whose section has the setting; null for the value of all other providers.
    pub provider: Option<String>,
    /// The value as on the command line, without passwords; null where nothing is set.
    pub value: Option<String>,
    /// `default`, `variable` or `file`.
    pub source: SettingSource,
    /// The variable that the value comes from; null for another source.
    pub variable: Option<String>,
    /// The line of the value in the configuration file; null for another source.
    pub line: Option<u64>,
}

/// Where the value of a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SettingSource {
    /// docfetch itself.
    Default,
    /// An environment variable.
    Variable,
    /// The configuration file.
    File,
}

impl SettingRow {
    /// Name, provider, value and source, as a person reads them.
    fn cells(&self) -> [String; 4] {
        let source = match (&self.variable, self.line) {
            (Some(variable), _) => variable.clone(),
            (None, Some(line)) => format!("line {line}"),
            (None, None) => "default".to_owned(),
        };
        [
            self.name.clone(),
            self.provider.clone().unwrap_or_default(),
            self.value.clone().unwrap_or_default(),
            source,
        ]
    }
}

impl ConfigFileRow<'_> {
    fn cells(&self) -> [String; 4] {
        let path = self.path.as_ref().map(|path| path.display().to_string());
        [
            CONFIG_FILE.to_owned(),
            String::new(),
            path.unwrap_or_default(),
            self.variable.unwrap_or("default").to_owned(),
        ]
    }
}

/// Writes the settings to standard output: as JSON records, as a table on a terminal, else as fields with tabs between
/// them. Standard error tells that there is no configuration file, or shows `error`, which is about the file.
///
/// # Errors
/// When standard output takes no more.
pub(crate) fn print_settings(
    printer: &Printer,
    file: &ConfigFileRow<'_>,
    settings: &[SettingRow],
    error: Option<&Error>,
) -> Result<()> {
    if let Some(error) = error {
        printer.error(error, None);
    } else if file.state == ConfigFileState::Missing {
        printer.note("there is no configuration file; every setting has its default or comes from a variable");
    }
    if printer.is_json() {
        printer.record(file)?;
        return settings.iter().try_for_each(|row| printer.record(row));
    }
    let rows = settings.iter().map(SettingRow::cells);
    let mut rows: Vec<[String; 4]> = std::iter::once(file.cells()).chain(rows).collect();
    for cell in rows.iter_mut().flatten() {
        *cell = printable(cell).into_owned();
    }
    if !io::stdout().is_terminal() {
        return rows
            .iter()
            .try_for_each(|row| printer.text(&row.join("\t")));
    }
    let lines = table(rows);
    let heading = paint(&lines[0], BOLD, printer.has_color());
    printer.text(&heading)?;
    lines[1..].iter().try_for_each(|line| printer.text(line))
}

/// The lines of a table; the first one is the heading.
fn table(mut rows: Vec<[String; 4]>) -> Vec<String> {
    for cell in rows.iter_mut().flatten().filter(|cell| cell.is_empty()) {
        "-".clone_into(cell);
    }
    rows.insert(
        0,
        ["NAME", "PROVIDER", "VALUE", "SOURCE"].map(str::to_owned),
    );
    let width = |column: usize| rows.iter().map(|row| row[column].width()).max();
    let widths = [0, 1, 2, 3].map(|column| width(column).unwrap_or_default());
    let line = |row: &[String; 4]| {
        let cells = row.iter().zip(widths);
        let cells: Vec<String> = cells.map(|(cell, width)| pad(cell, width, false)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
