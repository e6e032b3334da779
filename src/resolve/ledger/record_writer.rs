//! Writes a record of the ledger: as a journal that this process has locked, or as numbered attempts where a
//! lock may exclude no other process.

use super::attempts::{Mark, NewAttempt, NumberedAttempts};
use super::table::{RetrievalRecord, State};
use crate::error::{Code, Error, Result};
use crate::state::HeldJournal;
use crate::state::records::{Durability, Records};
use jiff::Timestamp;
use std::sync::Arc;

/// Writes a record, from any thread.
#[derive(Debug)]
pub(super) struct RecordWriter {
    pub(super) records: Arc<Records>,
    /// The locked journal; none where it could not be locked.
    held: Option<HeldJournal>,
    /// The numbered attempts; none where the lock excludes every other process.
    attempts: Option<NumberedAttempts>,
    is_closed: bool,
}

/// How a record changes.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A request is about to leave.
    Begin {
        /// What the record said before.
        before: Option<Box<RetrievalRecord>>,
    },
    /// The request never left, or its answer was no charge.
    TakeBack,
    /// The request ended with a URL, or in doubt.
    End,
    /// A mark, which any process may add.
    Mark(Mark, Timestamp),
}

/// What became of a change.
#[derive(Debug)]
pub(super) enum Written {
    /// The change is on disk.
    OnDisk,
    /// The change cannot be written, now or later; none where docfetch has warned of that already.
    Unwritable(Option<Error>),
    /// The change cannot be written now, and may be written later.
    NotNow(Error),
    /// Another process made the attempt.
    Taken,
}

/// Whether a failed write may succeed later without a change of the state folder.
pub(super) fn passes_by_itself(error: &Error) -> bool {
    error.is_temporary_io() || error.code() == Code::DiskFull
}

/// A power failure may undo `delivered`: the record then says `answered`, which permits less.
pub(super) fn durability(record: &RetrievalRecord) -> Durability {
    match record.state {
        State::Delivered => Durability::Buffered,
        _ => Durability::Synced,
    }
}

impl Written {
    fn of(written: Result<()>) -> Self {
        match written {
            Ok(()) => Self::OnDisk,
            Err(error) if passes_by_itself(&error) => Self::NotNow(error),
            Err(error) => Self::Unwritable(Some(error)),
        }
    }
}

impl RecordWriter {
    /// A writer to the journal `held`, or to `attempts`.
    pub(super) fn new(
        records: Arc<Records>,
        held: Option<HeldJournal>,
        attempts: Option<NumberedAttempts>,
    ) -> Self {
        Self {
            records,
            held,
            attempts,
            is_closed: false,
        }
    }

    /// The numbered attempts, where attempts are numbered.
    pub(super) fn attempts(&mut self) -> Option<&mut NumberedAttempts> {
        self.attempts.as_mut()
    }

    /// The number of the next attempt; 0 where attempts are not numbered.
    pub(super) fn next_attempt(&self) -> u32 {
        self.attempts.as_ref().map_or(0, NumberedAttempts::next)
    }

    /// Writes `record` after a change, or removes it.
    pub(super) fn write(&mut self, change: &Change, record: Option<&RetrievalRecord>) -> Written {
        if self.is_closed {
            return Written::Unwritable(None);
        }
        if self.attempts.is_some() {
            return self.write_attempt(change, record);
        }
        let Some(held) = &mut self.held else {
            return Written::Unwritable(None);
        };
        Written::of(match record {
            Some(record) => held.write(&self.records, record, durability(record)),
            None => held.clear(&self.records),
        })
    }

    fn write_attempt(&mut self, change: &Change, record: Option<&RetrievalRecord>) -> Written {
        let Some(attempts) = &mut self.attempts else {
            return Written::Unwritable(None);
        };
        let files = &*self.records;
        Written::of(match (change, record) {
            (Change::Begin { before }, Some(record)) => {
                return match attempts.begin(files, record, before.as_deref().cloned()) {
                    Ok(NewAttempt::Own) => Written::OnDisk,
                    Ok(NewAttempt::Taken) => Written::Taken,
                    Err(failed) if failed.is_forbidden => Written::Unwritable(Some(failed.error)),
                    Err(failed) => Written::NotNow(failed.error),
                };
            }
            (Change::TakeBack | Change::Begin { .. }, _) => attempts.take_back(files),
            (Change::End, Some(record)) => attempts.end(files, record),
            (Change::Mark(mark, at), Some(record)) => attempts.mark(files, *mark, record, *at),
            (Change::End | Change::Mark(..), None) => Ok(()),
        })
    }

    /// Ends the lock. Every later write does nothing.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.held = None;
    }
}
