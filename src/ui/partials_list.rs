//! Partials, for people and for scripts.

use super::printer::Printer;
use crate::error::Result;
use crate::fetch::outcome::serialize_path;
use crate::fetch::partial::{ListedPartial, PartialAction};
use crate::text::{printable, short_duration, size};
use jiff::Timestamp;
use serde::Serialize;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

/// A partial in JSON.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "partial")]
struct PartialRow<'a> {
    /// The path of the partial, or of its sidecar where only that is left.
    #[serde(flatten, serialize_with = "serialize_path")]
    path: Option<PathBuf>,
    /// The file name that the storage gave the document; null where docfetch does not know the name.
    name: Option<&'a str>,
    /// How many bytes a later run can use, unless they were changed.
    bytes: u64,
    /// The length of the partial's file in bytes.
    file_bytes: u64,
    /// The length of the document in bytes; null where docfetch does not know the length.
    total: Option<u64>,
    /// When the partial changed last, in RFC 3339.
    modified: Option<Timestamp>,
    /// `unfinished`; with --remove-older `removed`, or `in_use` where a process may still write the partial.
    state: &'static str,
}

impl<'a> PartialRow<'a> {
    fn of(listed: &'a ListedPartial) -> Self {
        let partial = &listed.partial;
        Self {
            path: Some(partial.existing_path.clone()),
            name: partial.name.as_deref(),
            bytes: partial.held_bytes,
            file_bytes: partial.file_bytes,
            total: partial.total_bytes,
            modified: Timestamp::try_from(partial.modified).ok(),
            state: match listed.action {
                PartialAction::Listed => "unfinished",
                PartialAction::Removed => "removed",
                PartialAction::InUse => "in_use",
            },
        }
    }

    /// What the list calls the document: its name, else the fingerprint in the name of the partial.
    fn title(&self) -> String {
        let file_name = self
            .path
            .as_deref()
            .and_then(Path::file_name)
            .unwrap_or_default();
        let file_name = file_name.to_string_lossy();
        let stem = file_name.trim_start_matches(".docfetch-");
        let fingerprint = stem.split('.').next().unwrap_or(stem);
        printable(self.name.unwrap_or(fingerprint)).into_owned()
    }

    /// Fields with tabs between them: the document, the bytes held and in all, the last change, the path.
    fn fields(&self) -> String {
        let path = self.path.as_ref().map(|path| path.display().to_string());
        let total = self.total.map(|total| total.to_string());
        let modified = self.modified.map(|time| format!("{time:.0}"));
        let fields = [
            self.title(),
            self.bytes.to_string(),
            total.unwrap_or_default(),
            modified.unwrap_or_default(),
            printable(&path.unwrap_or_default()).into_owned(),
        ];
        fields.join("\t")
    }

    fn sentence(&self, listed: &ListedPartial) -> String {
        let held = size(self.bytes);
        let held = match self.total {
            Some(total) => format!("{held} of {}", size(total)),
            None => held,
        };
        let path = self.path.as_ref().map(|path| path.display().to_string());
        format!(
            "{}: {held}, unchanged for {}: {}",
            self.title(),
            short_duration(listed.age),
            printable(&path.unwrap_or_default())
        )
    }
}

/// Lists partials, and counts them.
#[derive(Debug)]
pub(crate) struct PartialsList<'a> {
    printer: &'a Printer,
    listed: u64,
    removed: u64,
    removed_bytes: u64,
    in_use: u64,
}

impl<'a> PartialsList<'a> {
    /// An empty list.
    pub(crate) fn new(printer: &'a Printer) -> Self {
        Self {
            printer,
            listed: 0,
            removed: 0,
            removed_bytes: 0,
            in_use: 0,
        }
    }

    /// Writes a partial to standard output: as a JSON record, as a sentence on a terminal, else as fields with tabs
    /// between them. Standard error tells of a partial that is in use.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn add(&mut self, listed: &ListedPartial) -> Result<()> {
        let row = PartialRow::of(listed);
        match listed.action {
            PartialAction::Listed => self.listed += 1,
            PartialAction::Removed => {
                self.removed += 1;
                self.removed_bytes += row.file_bytes;
            }
            PartialAction::InUse => self.in_use += 1,
        }
        if self.printer.is_json() {
            return self.printer.record(&row);
        }
        if listed.action == PartialAction::InUse {
            let sentence = row.sentence(listed);
            self.printer
                .note(&format!("in use, not removed: {sentence}"));
            return Ok(());
        }
        if io::stdout().is_terminal() {
            self.printer.text(&row.sentence(listed))
        } else {
            self.printer.text(&row.fields())
        }
    }

    /// Tells on standard error how many partials there were.
    pub(crate) fn finish(&self, folder: &Path, is_removal: bool) {
        let partials = |number: u64| match number {
            1 => "1 partial".to_owned(),
            number => format!("{number} partials"),
        };
        let folder = folder.display().to_string();
        let folder = printable(&folder);
        if is_removal {
            let in_use = match self.in_use {
                0 => String::new(),
                number => format!(", {number} in use"),
            };
            let (removed, freed) = (partials(self.removed), size(self.removed_bytes));
            self.printer
                .note(&format!("{removed} removed ({freed}){in_use}"));
        } else if self.listed == 0 {
            self.printer
                .note(&format!("no partials in {folder} and the folders below"));
        }
    }
}
