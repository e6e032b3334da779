//! The numbered attempts at one document, where a lock may exclude no other process.
//!
//! Each paid request is an attempt with a number. A process creates the file of an attempt exclusively before
//! it records the request, and only the process that created the file sends the request. Other processes may
//! see the files of this one late, in any order, and never at all; that no file exists is therefore decided by
//! creating it, and everything else by what no process takes back:
//!
//! - The file of an attempt is written by its creator only. The file says that the request is about to leave,
//!   then how it ended: with a URL, in doubt, or without a charge. An empty or invisible file stands for a
//!   request that may leave at any time.
//! - That a document was delivered, or its URL expired, is a file of its own, a *mark*. Any process may add it.
//!   A mark names its retrieval, and says nothing about another retrieval of the same number.
//! - The last attempt counts that was not without a charge. Before the first attempt, the record counts that
//!   earlier runs left. A record without a number that no attempt has seen counts, too, once the attempts would
//!   permit a request: an earlier version of docfetch has written it since.
//!
//! So a process that sees too little permits too little. The record itself has the number of the last attempt
//! that its writer knew; processes that lock the record, and earlier versions of docfetch, read it.

use super::record_files::SharedFiles;
use super::record_names::invalid;
use super::table::{RetrievalRecord, State};
use crate::error::{Code, Error, Result};
use crate::state::Untrusted;
use crate::state::process::ProcessIdentity;
use crate::state::shared_files::{CreateError, FIRST_ATTEMPT, attempt_file};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What the file of an attempt says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Attempt {
    /// The process that created the file.
    process: String,
    /// The retrieval of this attempt.
    record: RetrievalRecord,
    /// What was recorded before this attempt.
    before: Option<RetrievalRecord>,
    /// Whether the request never left, or its answer was no charge.
    not_charged: bool,
}

/// What a process adds to an attempt that another process may have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// The document was delivered.
    Delivered,
    /// The storage said that the URL expired.
    Expired,
}

/// What the file of a mark says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct MarkNote {
    /// When the retrieval was requested that the mark is about.
    requested: Timestamp,
    /// When the mark was made.
    at: Timestamp,
}

/// What is known of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The record that counts; none when nothing was charged.
    pub record: Option<RetrievalRecord>,
    /// The number of the attempt that the record is of.
    number: u32,
    /// The process that makes or made that attempt, where its file says so.
    process: Option<String>,
    /// Whether the attempt exists, and nothing that its creator wrote is visible yet.
    pub is_unseen: bool,
}

impl Found {
    /// What a record says, without its attempt.
    pub(super) fn recorded(record: Option<RetrievalRecord>) -> Self {
        Self {
            number: record.as_ref().map_or(0, |record| record.attempt),
            record,
            ..Self::default()
        }
    }

    /// What the attempt `number` and the `base` say, a record of the same attempt. One of them may be older
    /// than the other.
    fn of(number: u32, attempt: Option<Attempt>, base: Option<RetrievalRecord>) -> Self {
        let has_end = |record: &RetrievalRecord| record.state != State::Attempting;
        let process = attempt.as_ref().map(|attempt| attempt.process.clone());
        let stated = attempt.map(|attempt| attempt.record);
        let record = match (stated, base) {
            (Some(stated), _) if has_end(&stated) => Some(stated),
            (_, Some(base)) if has_end(&base) => Some(base),
            (stated, base) => stated.or(base),
        };
        Self {
            is_unseen: record.is_none(),
            record,
            number,
            process,
        }
    }

    /// The number of the attempt that the record is of.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Whether a request may be under way: its attempt has no end, and its process may run.
    pub(super) fn is_under_way(&self) -> bool {
        let record = self.record.as_ref();
        let has_no_end = record.is_some_and(|record| record.state == State::Attempting);
        (has_no_end || self.is_unseen) && !self.is_given_up()
    }

    /// Whether it is certain that the process of this attempt has ended.
    fn is_given_up(&self) -> bool {
        self.process().is_some_and(|process| process.is_gone())
    }

    /// Whether it is certain that the process of this attempt runs, and waits for its answer.
    pub(super) fn is_running(&self) -> bool {
        self.is_under_way() && self.process().is_some_and(|process| process.is_running())
    }

    fn process(&self) -> Option<ProcessIdentity> {
        ProcessIdentity::parse(self.process.as_deref()?)
    }
}

/// What became of a new attempt.
#[derive(Debug)]
pub(super) enum NewAttempt {
    /// This process made the attempt, and may send its request.
    Own,
    /// Another process made the attempt of that number before.
    Taken,
}

/// The attempts at one document, as this process knows them.
#[derive(Debug)]
pub(super) struct NumberedAttempts {
    /// The name of the record.
    name: String,
    /// The highest number of an attempt that this process knows.
    known: u32,
    /// The attempt of this process that has no end yet.
    own: Option<Attempt>,
}

impl NumberedAttempts {
    /// The attempts at what the record `name` is about.
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            known: 0,
            own: None,
        }
    }

    /// The number of the next attempt.
    pub(super) fn next(&self) -> u32 {
        self.known + 1
    }

    /// Reads everything anew.
    ///
    /// # Errors
    /// Why a file cannot be trusted.
    pub(super) fn read(&mut self, files: &impl SharedFiles) -> Result<Found, Untrusted> {
        let base = files.read_record(&self.record_file())?;
        let base_number = base.as_ref().map_or(0, |record| record.attempt);
        self.known = self.known.max(base_number);
        let mut last = match self.known {
            0 => None,
            known => self.read_attempt(files, known)?.flatten(),
        };
        while let Some(next) = self.read_attempt(files, self.next())? {
            last = next;
            self.known += 1;
        }
        let found = self.last_charge(files, base.as_ref(), last)?;
        let found = self.with_marks(files, found)?;
        match base {
            Some(base) if self.is_later(files, &found, &base)? => {
                self.with_marks(files, Found::recorded(Some(base)))
            }
            _ => Ok(found),
        }
    }

    /// Whether the record `base` has no number, and was written after the attempts that led to `found`, which
    /// would permit a request.
    fn is_later(
        &self,
        files: &impl SharedFiles,
        found: &Found,
        base: &RetrievalRecord,
    ) -> Result<bool, Untrusted> {
        let state = found.record.as_ref().map(|record| record.state);
        if base.attempt > 0 || found.number == 0 || state != Some(State::Delivered) {
            return Ok(false);
        }
        for number in FIRST_ATTEMPT..=self.known {
            let Some(attempt) = self.read_attempt(files, number)?.flatten() else {
                return Ok(false);
            };
            let seen = attempt.before.map(|before| before.requested);
            if seen == Some(base.requested) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Continues with `record`, of which a part could not be written: with the attempt of this process, if that
    /// exists.
    pub(super) fn reclaim(&mut self, files: &impl SharedFiles, record: &RetrievalRecord) {
        let attempt = self.read_attempt(files, record.attempt).ok().flatten();
        let own = ProcessIdentity::own().to_string();
        self.own = attempt.flatten().filter(|attempt| attempt.process == own);
        if self.own.is_some() {
            self.known = record.attempt;
        }
    }

    /// The last attempt that was not without a charge. `base` is the record, `last` the last attempt.
    fn last_charge(
        &self,
        files: &impl SharedFiles,
        base: Option<&RetrievalRecord>,
        last: Option<Attempt>,
    ) -> Result<Found, Untrusted> {
        let base_of = |number: u32| base.filter(|record| record.attempt == number).cloned();
        let (mut number, mut attempt) = (self.known, last);
        while number > 0 {
            let before = match attempt {
                Some(attempt) if attempt.not_charged => attempt.before,
                attempt => return Ok(Found::of(number, attempt, base_of(number))),
            };
            number -= 1;
            attempt = match number {
                0 => return Ok(Found::recorded(base_of(0).or(before))),
                number => self.read_attempt(files, number)?.flatten(),
            };
            if attempt.is_none() {
                return Ok(Found::recorded(before));
            }
        }
        Ok(Found::recorded(base_of(0)))
    }

    fn with_marks(&self, files: &impl SharedFiles, mut found: Found) -> Result<Found, Untrusted> {
        let has_url =
            |record: &RetrievalRecord| matches!(record.state, State::Answered | State::Delivered);
        if let Some(mut record) = found.record.take_if(|record| has_url(record)) {
            if self.read_mark(files, Mark::Delivered, &record)?.is_some() {
                record = record.delivered();
            }
            if let Some(at) = self.read_mark(files, Mark::Expired, &record)? {
                record = record.expired(at);
            }
            found.record = Some(record);
        }
        Ok(found)
    }

    /// Makes the next attempt: its `record` is on disk when this returns [`NewAttempt::Own`]. `before` is what
    /// was recorded before.
    ///
    /// # Errors
    /// Why the attempt could not be made. Unless the user may create no files there, the request must not leave.
    pub(super) fn begin(
        &mut self,
        files: &impl SharedFiles,
        record: &RetrievalRecord,
        before: Option<RetrievalRecord>,
    ) -> Result<NewAttempt, CreateError> {
        let number = self.next();
        let mut record = record.clone();
        record.attempt = number;
        let attempt = Attempt {
            process: ProcessIdentity::own().to_string(),
            record,
            before,
            not_charged: false,
        };
        // A disk that is full shows before there is an attempt.
        let file = attempt_file(&self.name, number);
        let staged = stage(files, &file, &attempt)?;
        let staged_record = stage(files, &self.record_file(), &attempt.record)?;
        let is_own = files.create(&file)?;
        self.known = number;
        if !is_own {
            return Ok(NewAttempt::Taken);
        }
        self.own = Some(attempt);
        files.publish(staged)?;
        files.publish(staged_record)?;
        files.sync()?;
        Ok(NewAttempt::Own)
    }

    /// Records how the request of this process's attempt ended: with a URL, or in doubt.
    ///
    /// # Errors
    /// [`Code::LocalIo`], [`Code::DiskFull`].
    pub(super) fn end(&mut self, files: &impl SharedFiles, record: &RetrievalRecord) -> Result<()> {
        let Some(attempt) = self.own.take() else {
            return Ok(());
        };
        let attempt = Attempt {
            record: record.clone(),
            ..attempt
        };
        self.publish_attempt(files, &attempt)?;
        // The attempt has the answer for every process that knows of attempts.
        let published = self.publish_record(files, record);
        published.unwrap_or_else(|error| log::debug!("{}", error.message()));
        files.sync()
    }

    /// Records that the request of this process's attempt never left, or that its answer was no charge.
    ///
    /// # Errors
    /// [`Code::LocalIo`], [`Code::DiskFull`].
    pub(super) fn take_back(&mut self, files: &impl SharedFiles) -> Result<()> {
        let Some(attempt) = self.own.take() else {
            return Ok(());
        };
        // The record first: as soon as the attempt has its end, another process may make the next one.
        match &attempt.before {
            Some(before) => self.publish_record(files, before),
            None => files.remove(&self.record_file()),
        }
        .unwrap_or_else(|error| log::debug!("{}", error.message()));
        let attempt = Attempt {
            not_charged: true,
            ..attempt
        };
        self.publish_attempt(files, &attempt)?;
        files.sync()
    }

    /// Adds a mark to the attempt that `record` is of. Where that attempt has no end yet, `record` becomes its
    /// end.
    ///
    /// # Errors
    /// [`Code::LocalIo`], also for an attempt that was never on disk; [`Code::DiskFull`].
    pub(super) fn mark(
        &mut self,
        files: &impl SharedFiles,
        mark: Mark,
        record: &RetrievalRecord,
        at: Timestamp,
    ) -> Result<()> {
        if self.own.is_some() {
            return self.end(files, record);
        }
        if record.attempt > self.known {
            return Err(Error::new(Code::LocalIo, "the attempt is not on disk"));
        }
        let requested = record.requested;
        let file = self.mark_file(mark, record.attempt);
        files.publish(stage(files, &file, &MarkNote { requested, at })?)?;
        match mark {
            Mark::Delivered => Ok(()), // without this mark, less is permitted
            Mark::Expired => files.sync(),
        }
    }

    fn publish_attempt(&self, files: &impl SharedFiles, attempt: &Attempt) -> Result<()> {
        let file = attempt_file(&self.name, attempt.record.attempt);
        files.publish(stage(files, &file, attempt)?)
    }

    fn publish_record(&self, files: &impl SharedFiles, record: &RetrievalRecord) -> Result<()> {
        files.publish(stage(files, &self.record_file(), record)?)
    }

    fn record_file(&self) -> String {
        format!("{}.json", self.name)
    }

    fn mark_file(&self, mark: Mark, number: u32) -> String {
        let what = match mark {
            Mark::Delivered => "delivered",
            Mark::Expired => "expired",
        };
        format!("{}.{what}.{number}", self.name)
    }

    /// Reads an attempt; the inner option is none where nothing that its creator wrote is visible yet.
    fn read_attempt(
        &self,
        files: &impl SharedFiles,
        number: u32,
    ) -> Result<Option<Option<Attempt>>, Untrusted> {
        read(files, &attempt_file(&self.name, number))
    }

    fn read_mark(
        &self,
        files: &impl SharedFiles,
        mark: Mark,
        record: &RetrievalRecord,
    ) -> Result<Option<Timestamp>, Untrusted> {
        let note = read(files, &self.mark_file(mark, record.attempt))?.flatten();
        let note = note.filter(|note: &MarkNote| note.requested == record.requested);
        Ok(note.map(|note| note.at))
    }
}

/// Reads a file that its creator replaces; the inner option is none where the file is empty, as it was
/// created.
fn read<T: DeserializeOwned>(
    files: &impl SharedFiles,
    file: &str,
) -> Result<Option<Option<T>>, Untrusted> {
    let Some(content) = files.read(file)? else {
        return Ok(None);
    };
    if content.is_empty() {
        return Ok(Some(None));
    }
    let parsed = serde_json::from_slice(&content);
    parsed
        .map(|parsed| Some(Some(parsed)))
        .map_err(|_| invalid(files.path(file)))
}

fn stage<F: SharedFiles>(
    files: &F,
    file: &str,
    content: &impl Serialize,
) -> Result<F::Staged, CreateError> {
    let failed = |error: serde_json::Error| Error::io("write", &files.path(file), &error.into());
    let mut line = serde_json::to_vec(content).map_err(failed)?;
    line.push(b'\n');
    files.stage(file, &line)
}

#[cfg(test)]
mod tests;
