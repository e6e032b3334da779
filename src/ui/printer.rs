//! Writes results to standard output, and everything else to standard error.

use super::bars::Bars;
use super::console::Console;
use super::diagnostics::{Logger, describe, event};
use super::ledger_table::{self, LedgerRow};
use super::lines::{JsonProgress, PlainProgress};
use super::listing_table::{self, ListingTable};
use super::plan_notes;
use super::summaries;
use super::terminal::{is_dumb, table_width, terminal_size};
use crate::error::{Code, Error, Result};
use crate::fetch::batch::FetchEnd;
use crate::fetch::events::{Progress, Unwatched};
use crate::fetch::outcome::{FailedDocument, Outcome, Status};
use crate::fetch::summary::Summary;
use crate::manifest::{CheckedFile, VerifySummary};
use crate::resolve::Row;
use crate::resolve::ledger::inspect::ListedRecord;
use crate::sandbox::{Report, RunningSandbox};
use crate::secret::{redact, redact_json};
use crate::state::Untrusted;
use crate::state::streams;
use crate::text::{printable, printable_json, shell_word};
use jiff::Timestamp;
use serde::Serialize;
use std::ffi::OsStr;
use std::io::{self, IsTerminal as _};
use std::os::unix::ffi::OsStrExt as _;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgressKind {
    /// Bars on a terminal, else lines.
    Auto,
    /// Bars.
    Bar,
    /// Lines.
    Plain,
    /// JSON lines.
    Json,
    /// No progress.
    None,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set; everywhere, if `CLICOLOR_FORCE` is set to another value than 0.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How the user wants the output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputOptions {
    /// JSON records instead of paths and tables.
    pub json: bool,
    /// How progress is shown.
    pub progress: ProgressKind,
    /// Only errors, and what a request costs.
    pub quiet: bool,
    /// Also requests, attempts and decisions.
    pub verbose: bool,
    /// When colours are used.
    pub color: Color,
}

/// Writes results, errors and progress.
#[derive(Debug)]
pub(crate) struct Printer {
    console: Console,
    options: OutputOptions,
    color: bool,
}

impl Printer {
    /// Sets up the streams, and shows the log from now on.
    pub(crate) fn new(options: OutputOptions) -> Self {
        let console = Console::default();
        let json = options.progress == ProgressKind::Json;
        Logger::install(console.clone(), options.quiet, options.verbose, json);
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let forced = set("CLICOLOR_FORCE")
            && std::env::var_os("CLICOLOR_FORCE").as_deref() != Some(OsStr::new("0"));
        let color = match options.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                !set("NO_COLOR") && (forced || (io::stderr().is_terminal() && !is_dumb()))
            }
        };
        Self {
            console,
            options,
            color,
        }
    }

    /// The progress of a fetch, shown as the user wants. By default there are no bars where the run
    /// `shares_terminal`, because the user types on the terminal or gets a document there.
    pub(crate) fn watcher(&self, shares_terminal: bool) -> Box<dyn Progress> {
        let kind = match self.options.progress {
            _ if self.options.quiet => ProgressKind::None,
            ProgressKind::Auto if !shares_terminal && io::stderr().is_terminal() && !is_dumb() => {
                ProgressKind::Bar
            }
            ProgressKind::Auto => ProgressKind::Plain,
            kind => kind,
        };
        let console = self.console.clone();
        match kind {
            ProgressKind::Bar | ProgressKind::Auto => {
                let size = terminal_size();
                Box::new(Bars::new(&console, self.color, size))
            }
            ProgressKind::Plain => Box::new(PlainProgress::new(console)),
            ProgressKind::Json => Box::new(JsonProgress::new(console)),
            ProgressKind::None => Box::new(Unwatched),
        }
    }

    /// Writes the end of a document: its path or its record to standard output, its error to standard error.
    /// `many` says whether the run has more than one document.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn document(&self, provider: &str, ended: &FetchEnd, many: bool) -> Result<()> {
        let id = ended.id.as_str();
        match &ended.result {
            Ok(outcome) if self.options.json => self.record(outcome),
            Ok(Outcome {
                status: Status::Gone,
                path,
                ..
            }) => {
                self.note(&summaries::of_gone(id, path.as_deref()));
                Ok(())
            }
            Ok(outcome) => self.path(outcome),
            Err(error) => {
                // The run reports an interrupt once. A document reports one that may cost money.
                if !many || error.code() != Code::Interrupted || error.cause().is_some() {
                    self.error(error, many.then_some(id));
                }
                self.failure(provider, id, ended.charged, error)
            }
        }
    }

    /// Writes the path of a document; in a dry run, the id of a document whose name is unknown. What a dry run
    /// learned about the target follows on a terminal, and is on standard error otherwise.
    fn path(&self, outcome: &Outcome) -> Result<()> {
        let id = outcome.id.as_str().as_bytes();
        let line = match &outcome.path {
            Some(path) => path.as_os_str().as_bytes(),
            None if outcome.status == Status::Planned => id,
            None => return Ok(()),
        };
        let note = plan_notes::note(outcome);
        let text = String::from_utf8_lossy(line);
        let shown = printable(&text);
        if io::stdout().is_terminal() {
            let note = note.map(|note| format!(" ({note})")).unwrap_or_default();
            return self.line(format!("{shown}{note}").as_bytes());
        }
        if let Some(note) = note {
            self.note(&format!("{shown}: {note}"));
        }
        self.line(line)
    }

    /// Writes the record of a failed document, with `--json`.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn failure(
        &self,
        provider: &str,
        id: &str,
        charged: Option<bool>,
        error: &Error,
    ) -> Result<()> {
        if !self.options.json {
            return Ok(());
        }
        self.record(&FailedDocument::new(provider, id, charged, error))
    }

    /// Writes the end of a run.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn summary(&self, summary: &Summary, many: bool) -> Result<()> {
        if self.options.json {
            return self.record(summary);
        }
        if self.options.progress == ProgressKind::Json {
            return Ok(());
        }
        if many && !self.options.quiet {
            for line in summaries::of_batch(summary) {
                self.console.say(&line);
            }
        }
        // Costs are shown with --quiet, too.
        if let Some(costs) = summary.plan.and_then(|plan| summaries::costs(plan.costs)) {
            self.console.say(&costs);
        }
        Ok(())
    }

    /// Says why a run fetched nothing.
    pub(crate) fn nothing_to_fetch(&self, why: &str) {
        if !self.options.json {
            self.note(&format!("nothing to fetch: {why}"));
        }
    }

    /// Tells what docfetch reads from standard input, where that is a terminal.
    pub(crate) fn prompt(&self, text: &str) {
        if io::stdin().is_terminal() {
            self.note(text);
        }
    }

    /// Writes an error to standard error. `subject` is the id of a document.
    pub(crate) fn error(&self, error: &Error, subject: Option<&str>) {
        if error.is_silent() {
            return;
        }
        match self.options.progress {
            ProgressKind::Json => self.console.say_record(&event(error, subject)),
            _ => self.console.say(&describe(error, subject, self.color)),
        }
    }

    /// Writes the ids of a listing, one on each line.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn ids(&self, rows: &[Row]) -> Result<()> {
        rows.iter().try_for_each(|row| self.id(&row.id))
    }

    /// Writes an id. On a terminal, control characters are escaped.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn id(&self, id: &str) -> Result<()> {
        if io::stdout().is_terminal() {
            self.text(&printable(id))
        } else {
            self.text(id)
        }
    }

    /// Writes records of the ledger: as JSON records, as a table on a terminal, else as fields with tabs between
    /// them. Standard error has the records that docfetch cannot trust.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn ledger(&self, records: &[ListedRecord], untrusted: &[Untrusted]) -> Result<()> {
        for Untrusted { path, why, .. } in untrusted {
            log::error!("{} cannot be trusted: {why}", path.display());
        }
        if self.options.json {
            return records
                .iter()
                .try_for_each(|record| self.record(&LedgerRow::of(record)));
        }
        if records.is_empty() {
            self.note("the ledger has no record of a paid retrieval");
            return Ok(());
        }
        let lines = match table_width() {
            Some(width) => ledger_table::table(records, Timestamp::now(), width, self.color),
            None => ledger_table::fields(records),
        };
        lines.iter().try_for_each(|line| self.text(line))
    }

    /// Writes the records that a command selects to standard error, one on each line.
    pub(crate) fn matches(&self, matches: &[String]) {
        for line in matches {
            self.console.say(&printable(line));
        }
    }

    /// Writes rows of a listing: as JSON records, as a table on a terminal, else as fields with tabs between them.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn rows(&self, rows: &[Row], table: &mut ListingTable) -> Result<()> {
        if rows.is_empty() {
            return Ok(()); // a table without rows has no heading either
        }
        if self.options.json {
            return rows.iter().try_for_each(|row| self.record(row));
        }
        let lines = match table_width() {
            Some(width) => table.page(rows, width, self.color),
            None => rows.iter().map(listing_table::fields).collect(),
        };
        lines.iter().try_for_each(|line| self.text(line))
    }

    /// Whether [`Printer::rows`] writes the fields that not every provider has.
    pub(crate) fn shows_row_fields(&self) -> bool {
        self.options.json || table_width().is_some()
    }

    /// Tells on standard error that a listing has no row. `is_filtered` says whether filters may have dropped rows.
    pub(crate) fn empty_listing(&self, title: &str, is_filtered: bool) {
        let matching = if is_filtered { " that matches" } else { "" };
        self.note(&format!("{title} lists no document{matching}"));
    }

    /// Tells something on standard error, unless the user wants errors only, or JSON records there.
    pub(super) fn note(&self, text: &str) {
        if !self.options.quiet && self.options.progress != ProgressKind::Json {
            self.console.say(text);
        }
    }

    /// Whether standard output gets JSON records.
    pub(super) fn is_json(&self) -> bool {
        self.options.json
    }

    /// Whether docfetch uses colours.
    pub(super) fn has_color(&self) -> bool {
        self.color
    }

    /// Writes the record of a checked file, or what is wrong with that file.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn checked(&self, checked: &CheckedFile<'_>) -> Result<()> {
        if self.options.json {
            return self.record(&checked.record(checked.error().as_ref()));
        }
        let Err(wrong) = &checked.result else {
            return Ok(());
        };
        let path = checked.entry.path.as_os_str().as_bytes();
        self.bytes(&[path, format!(": {wrong}").as_bytes()].concat())
    }

    /// Writes a checked file as a line of `sha256sum`. What is wrong with the file goes to standard error.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn sha256sum(&self, checked: &CheckedFile<'_>) -> Result<()> {
        if let Err(wrong) = &checked.result {
            let path = checked.entry.path.display().to_string();
            self.console.say(&format!("{}: {wrong}", printable(&path)));
        }
        checked.sha256sum().map_or(Ok(()), |line| self.bytes(&line))
    }

    /// Writes the end of a verification. The output of `list`, in the format of `sha256sum`, has no record.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn tally(&self, summary: &VerifySummary, list: bool) -> Result<()> {
        if self.options.json && !list {
            return self.record(summary);
        }
        if !self.options.quiet {
            self.console.say(&summaries::of_verification(summary));
        }
        Ok(())
    }

    /// Writes the variables that point docfetch at a sandbox, as a shell reads them. Standard error lists the
    /// documents of the sandbox.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn sandbox(&self, running: &RunningSandbox) -> Result<()> {
        for (name, value) in &running.variables {
            self.line(format!("export {name}={}", shell_word(value)).as_bytes())?;
        }
        self.line(format!("unset {}", running.unset.join(" ")).as_bytes())?;
        for line in summaries::of_running_sandbox(running) {
            self.console.say(&format!("sandbox: {line}"));
        }
        self.console.say("sandbox: end it with Ctrl-C");
        Ok(())
    }

    /// Writes what happened at a sandbox to standard error.
    pub(crate) fn sandbox_report(&self, report: &Report) {
        for line in summaries::of_sandbox(report) {
            self.console.say(&format!("sandbox: {line}"));
        }
    }

    pub(super) fn record(&self, record: &impl Serialize) -> Result<()> {
        let record = serde_json::to_string(record).map_err(|error| Error::stdout(&error.into()))?;
        self.line(printable_json(&redact_json(&record)).as_bytes())
    }

    /// Writes a line without the secrets in it.
    pub(super) fn text(&self, line: &str) -> Result<()> {
        self.line(redact(line).as_bytes())
    }

    /// Writes a line with a name in it. On a terminal, control characters are escaped.
    fn bytes(&self, line: &[u8]) -> Result<()> {
        if io::stdout().is_terminal() {
            self.line(printable(&String::from_utf8_lossy(line)).as_bytes())
        } else {
            self.line(line)
        }
    }

    /// Writes a line to standard output while no bar is shown.
    pub(super) fn line(&self, line: &[u8]) -> Result<()> {
        self.console.without_bars(|| {
            let line = [line, b"\n"].concat();
            streams::write_stdout(&line).map_err(|error| Error::stdout(&error))
        })
    }
}
