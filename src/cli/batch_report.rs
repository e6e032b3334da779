//! What a batch tells the user: each document as it ends, and what docfetch prints after the last document.

use super::common::Terminal;
use crate::error::{Code, Error, Result};
use crate::fetch::batch::FetchEnd;
use crate::fetch::summary::Summary;
use crate::model::DocumentId;
use std::ops::ControlFlow;

/// Where the documents of a batch come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchKind {
    /// The user gives their ids.
    Ids,
    /// A listing, for a mirror.
    Mirror {
        /// Whether filters or a limit may have dropped documents.
        is_filtered: bool,
    },
}

/// Tells the user about the documents of a batch.
pub(super) struct BatchReport<'a> {
    terminal: &'a Terminal,
    provider: String,
    kind: BatchKind,
    /// Whether there may be more than one document.
    has_many: bool,
    /// Whether a document whose file exists fails.
    fails_if_exists: bool,
    /// How many documents ended.
    documents: u64,
    /// The interrupt that ended some of many documents.
    interrupted: Option<Error>,
    /// Why standard output takes no more.
    closed: Option<Error>,
}

impl<'a> BatchReport<'a> {
    /// Tells nothing yet. `has_many` says whether there may be more than one document.
    pub(super) fn new(
        terminal: &'a Terminal,
        provider: String,
        kind: BatchKind,
        has_many: bool,
    ) -> Self {
        Self {
            terminal,
            provider,
            kind,
            has_many,
            fails_if_exists: false,
            documents: 0,
            interrupted: None,
            closed: None,
        }
    }

    /// Sets whether a document fails when its file exists.
    pub(super) fn failing_if_exists(mut self, fails: bool) -> Self {
        self.fails_if_exists = fails;
        self
    }

    /// Tells how a document ended. Stops the batch when standard output takes no more.
    pub(super) fn print_document(&mut self, end: &FetchEnd) -> ControlFlow<()> {
        self.documents += 1;
        if let Err(error) = &end.result
            && error.code() == Code::Interrupted
            && self.has_many
        {
            self.interrupted = Some(error.clone());
        }
        if self.closed.is_none() {
            let printer = &self.terminal.printer;
            let told = printer.document(&self.provider, end, self.has_many);
            self.closed = told.err();
        }
        match self.closed {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    }

    /// Tells how the batch ended, and returns the exit code of the process. `given` are the documents on the
    /// command line: all of them failed when the batch failed before its first document.
    pub(super) fn finish(
        mut self,
        mut summary: Summary,
        result: Result<()>,
        given: &[DocumentId],
    ) -> u8 {
        let error = match result {
            Err(error) if self.documents == 0 && error.code() == Code::Usage => {
                return self.terminal.fail(error);
            }
            result => result.err().map(|error| self.terminal.with_origin(error)),
        };
        if let Some(error) = &error
            && self.documents == 0
            && error.code() != Code::Interrupted
        {
            summary.failed += given.len() as u64;
            self.print_failures(given, error, summary.charges.map(|_| false));
        }
        if error.is_some() || summary.not_started > 0 {
            summary.mark_plan_incomplete();
        }
        let nothing = self.nothing_to_fetch(&summary);
        // A single document has told its own interrupt.
        let is_told = |error: &Error| {
            error.code() == Code::Interrupted && !self.has_many && self.documents > 0
        };
        let error = error.filter(|error| !is_told(error)).or(self.interrupted);
        if let Some(mut error) = error {
            // The files of this run would be in the way of the same command.
            let needs_skip = self.fails_if_exists && self.has_many && summary.fetched > 0;
            if error.code() == Code::Interrupted && error.cause().is_none() && self.has_many {
                error = error.with_hint(summary.hint_to_continue(needs_skip));
            }
            self.terminal.printer.error(&error, None);
        }
        if let Some(error) = self.closed {
            return Self::exit_code_of_closed_stdout(self.terminal, error, &summary);
        }
        let has_summary = self.has_many && self.documents > 0;
        if let Some(nothing) = nothing {
            self.terminal.printer.nothing_to_fetch(nothing);
        }
        match self.terminal.printer.summary(&summary, has_summary) {
            Ok(()) => summary.exit_code,
            Err(error) => Self::exit_code_of_closed_stdout(self.terminal, error, &summary),
        }
    }

    /// Tells that standard output takes no more, and returns the exit code of the process. An interrupt decides
    /// over that error: a terminal that closes does both.
    fn exit_code_of_closed_stdout(terminal: &Terminal, error: Error, summary: &Summary) -> u8 {
        let code = terminal.fail(error);
        match summary.exit_code {
            interrupted @ 129.. => interrupted,
            _ => code,
        }
    }

    /// Why a run without failures fetched nothing; none where the run fetched something.
    fn nothing_to_fetch(&self, summary: &Summary) -> Option<&'static str> {
        if summary.exit_code != 0 || summary.plan.is_some_and(|plan| plan.planned > 0) {
            return None;
        }
        match self.kind {
            BatchKind::Ids if self.documents == 0 => Some("no ids were given"),
            BatchKind::Mirror { is_filtered } if self.documents == 0 => Some(if is_filtered {
                "the provider lists no document that matches"
            } else {
                "the provider lists no document"
            }),
            BatchKind::Mirror { .. } if summary.fetched == 0 && summary.skipped > 0 => {
                Some("every listed document is up to date")
            }
            _ => None,
        }
    }

    /// Prints the record of each of these documents, which all failed with `error`.
    fn print_failures(&mut self, documents: &[DocumentId], error: &Error, charged: Option<bool>) {
        for id in documents {
            if self.closed.is_none() {
                let printer = &self.terminal.printer;
                let told = printer.failure(&self.provider, id.as_str(), charged, error);
                self.closed = told.err();
            }
        }
    }
}
