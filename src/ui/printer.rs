//! How things look, and the two streams.

use super::bars::Bars;
use super::console::Console;
use super::diagnostics::{Journal, describe, event};
use super::lines::{Events, Lines};
use super::report;
use crate::error::{Code, Error, Result};
use crate::fetch::batch::FetchEnd;
use crate::fetch::events::{Progress, Unwatched};
use crate::fetch::outcome::{FailedDocument, Outcome, Status};
use crate::fetch::summary::Summary;
use crate::http::PresignedUrl;
use crate::manifest::{CheckedFile, VerifySummary};
use crate::resolve::Row;
use crate::resolve::ledger::inspect::ListedRecord;
use crate::sandbox::{Document, Report};
use crate::secret::{redact, redact_json};
use crate::state::Untrusted;
use crate::text::shell_word;
use crate::text::{printable, printable_json};
use jiff::Timestamp;
use serde::Serialize;
use std::ffi::OsStr;
use std::io::{self, IsTerminal as _, Write as _};
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
    /// Not at all.
    None,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set; `CLICOLOR_FORCE` asks for them everywhere.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How the user wants it to look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Records instead of paths.
    pub json: bool,
    /// How progress is shown.
    pub progress: ProgressKind,
    /// Errors only.
    pub quiet: bool,
    /// Requests, attempts and decisions.
    pub verbose: bool,
    /// When colours are used.
    pub color: Color,
}

/// Writes results and errors.
#[derive(Debug)]
pub(crate) struct Printer {
    console: Console,
    look: Look,
    color: bool,
}

impl Printer {
    /// Sets up the streams, and the log of the lower floors.
    pub(crate) fn new(look: Look) -> Self {
        let console = Console::default();
        let json = look.progress == ProgressKind::Json;
        Journal::install(console.clone(), look.quiet, look.verbose, json);
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let forced = set("CLICOLOR_FORCE")
            && std::env::var_os("CLICOLOR_FORCE").as_deref() != Some(OsStr::new("0"));
        let color = match look.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                !set("NO_COLOR") && (forced || (io::stderr().is_terminal() && !is_dumb()))
            }
        };
        Self {
            console,
            look,
            color,
        }
    }

    /// Who shows the progress of a fetch.
    pub(crate) fn watcher(&self) -> Box<dyn Progress> {
        let kind = match self.look.progress {
            _ if self.look.quiet => ProgressKind::None,
            ProgressKind::Auto if io::stderr().is_terminal() && !is_dumb() => ProgressKind::Bar,
            ProgressKind::Auto => ProgressKind::Plain,
            kind => kind,
        };
        let console = self.console.clone();
        match kind {
            ProgressKind::Bar | ProgressKind::Auto => {
                let size = report::terminal_size();
                Box::new(Bars::new(&console, self.color, size))
            }
            ProgressKind::Plain => Box::new(Lines::new(console)),
            ProgressKind::Json => Box::new(Events::new(console)),
            ProgressKind::None => Box::new(Unwatched),
        }
    }

    /// A document that ended: its path or its record on standard output, its error on standard
    /// error. `many` when it is not the only one.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn document(&self, provider: &str, ended: &FetchEnd, many: bool) -> Result<()> {
        let id = ended.id.as_str();
        match &ended.result {
            Ok(outcome) if self.look.json => self.record(outcome),
            Ok(Outcome {
                path: Some(path), ..
            }) => {
                if io::stdout().is_terminal() {
                    return self.line(printable(&path.display().to_string()).as_bytes());
                }
                self.line(path.as_os_str().as_bytes())
            }
            Ok(outcome) if outcome.status == Status::Planned => {
                self.text(&printable(outcome.id.as_str()))
            }
            Ok(_) => Ok(()),
            Err(error) => {
                // One word on an interrupt is enough, but for what it may cost.
                if !many || error.code() != Code::Interrupted || error.cause().is_some() {
                    self.error(error, many.then_some(id));
                }
                self.failure(provider, id, ended.charged, error)
            }
        }
    }

    /// The record of a failed document, where records are wanted.
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
        if !self.look.json {
            return Ok(());
        }
        self.record(&FailedDocument::new(provider, id, charged, error))
    }

    /// The end of a run.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn summary(&self, summary: &Summary, many: bool) -> Result<()> {
        if self.look.json {
            return self.record(summary);
        }
        if self.look.progress == ProgressKind::Json {
            return Ok(());
        }
        if many && !self.look.quiet {
            for line in report::summary(summary) {
                self.console.say(&line);
            }
        }
        // Said under --quiet, too, as everything about costs is.
        if let Some(costs) = summary.plan.and_then(|plan| report::costs(plan.costs)) {
            self.console.say(&costs);
        }
        Ok(())
    }

    /// An error, on standard error.
    pub(crate) fn error(&self, error: &Error, subject: Option<&str>) {
        if error.is_silent() {
            return;
        }
        match self.look.progress {
            ProgressKind::Json => self.console.say_record(&event(error, subject)),
            _ => self.console.say(&describe(error, subject, self.color)),
        }
    }

    /// Rows of a listing as one id a line.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn ids(&self, rows: &[Row]) -> Result<()> {
        rows.iter().try_for_each(|row| self.id(&row.id))
    }

    /// An id; on a terminal it cannot move it.
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

    /// What is recorded of paid retrievals, in the same three forms as a listing. Records that cannot
    /// be trusted are told on standard error.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn ledger(&self, records: &[ListedRecord], untrusted: &[Untrusted]) -> Result<()> {
        for Untrusted { path, why, .. } in untrusted {
            log::error!("{} cannot be trusted: {why}", path.display());
        }
        let now = Timestamp::now();
        if self.look.json {
            return records
                .iter()
                .try_for_each(|record| self.record(&report::LedgerRow::of(record)));
        }
        if records.is_empty() {
            return Ok(());
        }
        let width = report::terminal_width().filter(|_| io::stdout().is_terminal());
        let lines = report::ledger(records, now, width, self.color);
        lines.iter().try_for_each(|line| self.text(line))
    }

    /// Lists the records that one command means, a line each.
    pub(crate) fn matches(&self, matches: &[String]) {
        for line in matches {
            self.console.say(&printable(line));
        }
    }

    /// Rows of a listing: records, or a table on a terminal, or fields with tabs between them.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn rows(&self, rows: &[Row], table: &mut report::Table) -> Result<()> {
        if self.look.json {
            return rows.iter().try_for_each(|row| self.record(row));
        }
        let width = report::terminal_width().filter(|_| io::stdout().is_terminal());
        let lines = match width {
            Some(width) => table.page(rows, width, self.color),
            None => rows.iter().map(report::fields).collect(),
        };
        lines.iter().try_for_each(|line| self.text(line))
    }

    /// A file that was verified: its record, or what is wrong with it.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn checked(&self, checked: &CheckedFile<'_>) -> Result<()> {
        if self.look.json {
            return self.record(&checked.record(checked.error().as_ref()));
        }
        let Err(wrong) = &checked.result else {
            return Ok(());
        };
        let path = checked.entry.path.as_os_str().as_bytes();
        self.bytes(&[path, format!(": {wrong}").as_bytes()].concat())
    }

    /// The same as a line of sha256sum; what is wrong goes to standard error.
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

    /// The end of a verification; a `list` has no place for a record.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn tally(&self, tally: &VerifySummary, list: bool) -> Result<()> {
        if self.look.json && !list {
            return self.record(tally);
        }
        if !self.look.quiet {
            self.console.say(&report::tally(tally));
        }
        Ok(())
    }

    /// The presigned URL, in the one place where it is shown.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn url(&self, url: &PresignedUrl) -> Result<()> {
        self.line(url.expose().as_str().as_bytes())
    }

    /// The variables that point docfetch at a sandbox, for a shell to read, and what is there.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub(crate) fn sandbox(
        &self,
        documents: &[Document],
        variables: &[(&str, String)],
    ) -> Result<()> {
        for (name, value) in variables {
            self.line(format!("export {name}={}", shell_word(value)).as_bytes())?;
        }
        for document in documents {
            let name = printable(&document.name);
            self.console.say(&format!(
                "sandbox: serves {} {name} ({})",
                document.id,
                report::size(document.size)
            ));
        }
        self.console.say("sandbox: end it with Ctrl-C");
        Ok(())
    }

    /// What happened at a sandbox.
    pub(crate) fn sandbox_report(&self, report: &Report) {
        for line in report::sandbox(report) {
            self.console.say(&format!("sandbox: {line}"));
        }
    }

    fn record(&self, record: &impl Serialize) -> Result<()> {
        let record = serde_json::to_string(record).map_err(|error| Error::stdout(&error.into()))?;
        self.line(printable_json(&redact_json(&record)).as_bytes())
    }

    /// Text of others, without secrets.
    fn text(&self, line: &str) -> Result<()> {
        self.line(redact(line).as_bytes())
    }

    /// A line with a name in it: as it is, but on a terminal it cannot move it.
    fn bytes(&self, line: &[u8]) -> Result<()> {
        if io::stdout().is_terminal() {
            self.line(printable(&String::from_utf8_lossy(line)).as_bytes())
        } else {
            self.line(line)
        }
    }

    /// A line on standard output, without tearing a bar.
    fn line(&self, line: &[u8]) -> Result<()> {
        self.console.without_bars(|| {
            let mut out = io::stdout().lock();
            out.write_all(line)
                .and_then(|()| out.write_all(b"\n"))
                .and_then(|()| out.flush())
                .map_err(|error| Error::stdout(&error))
        })
    }
}

/// A terminal that knows no cursor.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}
