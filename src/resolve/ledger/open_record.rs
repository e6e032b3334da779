//! One record of the ledger while this process has it locked.
//!
//! [`OpenRecord::note`] applies an event to the record and writes it. A write that waits for the disk runs
//! in a thread of its own when this run has other work in the meantime. So that the record is
//! correct whenever the process dies, dropping an [`OpenRecord`] waits for such a write, and then completes
//! what was begun: it removes the record of a request that has not left, and writes an answer.

use super::run_memory::RunMemory;
use super::table::{
    RecordKey, RetrievalEvent, RetrievalRecord, RetrievalRequest, State, Verdict, record_after,
    verdict,
};
use crate::error::{Code, Error, Result};
use crate::mutex::locked;
use crate::state::HeldJournal;
use crate::state::blocking;
use crate::state::records::{Durability, Records};
use jiff::Timestamp;
use std::sync::{Arc, Mutex};

/// The record of one document, locked by this process.
#[derive(Debug)]
pub(crate) struct OpenRecord<'a> {
    key: RecordKey<'a>,
    name: String,
    run: &'a RunMemory,
    records: Arc<Records>,
    writer: Arc<Mutex<RecordWriter>>,
    record: Option<RetrievalRecord>,
    /// What the record said before the request that is under way; none while none is.
    before_request: Option<Option<RetrievalRecord>>,
    /// Whether `record` is newer than what is on disk.
    is_unwritten: bool,
}

/// Writes a record, from any thread.
#[derive(Debug)]
pub(super) struct RecordWriter {
    records: Arc<Records>,
    /// The locked journal; without it nothing is written.
    held: Option<HeldJournal>,
}

impl RecordWriter {
    /// A writer to the journal `held`; none where that could not be locked.
    pub(super) fn new(records: Arc<Records>, held: Option<HeldJournal>) -> Self {
        Self { records, held }
    }

    /// Writes `record`, or removes it. None where nothing can be written.
    fn write(&mut self, record: Option<&RetrievalRecord>) -> Option<Result<()>> {
        let held = self.held.as_mut()?;
        Some(match record {
            Some(record) => held.write(&self.records, record, durability(record)),
            None => held.clear(&self.records),
        })
    }
}

/// Whether a failed write may succeed later without a change of the state folder.
pub(super) fn passes_by_itself(error: &Error) -> bool {
    error.is_temporary_io() || error.code() == Code::DiskFull
}

/// A power failure may undo `delivered`: the record then says `answered`, which permits less.
fn durability(record: &RetrievalRecord) -> Durability {
    match record.state {
        State::Delivered => Durability::Buffered,
        _ => Durability::Synced,
    }
}

impl<'a> OpenRecord<'a> {
    /// The record `name`, as it was read through `writer`'s lock.
    pub(super) fn new(
        key: RecordKey<'a>,
        name: String,
        run: &'a RunMemory,
        writer: RecordWriter,
        record: Option<RetrievalRecord>,
    ) -> Self {
        Self {
            key,
            name,
            run,
            records: Arc::clone(&writer.records),
            writer: Arc::new(Mutex::new(writer)),
            record,
            before_request: None,
            is_unwritten: false,
        }
    }

    /// What this run may do. Sets `permitted` of the request. Uses `--allow-recharge` up for this
    /// document when only that flag permits a request.
    pub(crate) fn decide(&self, request: RetrievalRequest<'_>) -> Verdict {
        let request = RetrievalRequest {
            permitted: self.run.may_recharge(self.key.id),
            ..request
        };
        let verdict = verdict(self.record.as_ref(), request);
        if matches!(verdict, Verdict::RequestPermitted) {
            self.run.recharge(self.key.id);
        }
        verdict
    }

    /// When the recorded retrieval was requested.
    pub(crate) fn requested(&self) -> Option<Timestamp> {
        self.record.as_ref().map(|record| record.requested)
    }

    /// Applies an event to the record. When this returns `Ok`, the record is on disk, or docfetch has
    /// warned that it cannot be.
    ///
    /// # Errors
    /// Only for [`RetrievalEvent::Sending`]: [`Code::DiskFull`] or [`Code::LocalIo`] when the record cannot be
    /// written now and can be written later. The record is unchanged, and the request must not leave.
    pub(crate) async fn note(&mut self, event: RetrievalEvent<'_>, now: Timestamp) -> Result<()> {
        let before = match event {
            RetrievalEvent::Sending => {
                self.before_request
                    .get_or_insert_with(|| self.record.clone());
                None
            }
            RetrievalEvent::NotCharged
            | RetrievalEvent::Unanswered
            | RetrievalEvent::Answered(_) => {
                let Some(before) = self.before_request.take() else {
                    return Ok(()); // this run sent nothing: the record is of an earlier run
                };
                before
            }
            RetrievalEvent::Delivered(_) | RetrievalEvent::Expired(_) => None,
        };
        let after = record_after(self.key, self.record.clone(), before, event, now);
        if after != self.record {
            self.record = after;
            self.is_unwritten = true;
            // This run connects to the storage while the answer is written.
            let has_other_work = matches!(event, RetrievalEvent::Answered(_));
            let written = self.write(has_other_work).await;
            if let (RetrievalEvent::Sending, Some(Err(error))) = (event, &written)
                && passes_by_itself(error)
            {
                let error = error.clone();
                let writer = Arc::clone(&self.writer);
                // The failed write left the journal as it was.
                let _ = self.take_back(&mut locked(&writer));
                return Err(error);
            }
            self.written(written);
        }
        // Nothing of the request leaves before this.
        let is_pending = matches!(event, RetrievalEvent::Sending);
        self.run.set_pending(self.key.id, is_pending);
        Ok(())
    }

    /// Writes what the record said before a request that has not left, or an answer that is not written
    /// yet.
    fn take_back(&mut self, writer: &mut RecordWriter) -> Option<Result<()>> {
        if let Some(before) = self.before_request.take() {
            self.record = before;
        }
        self.run.set_pending(self.key.id, false);
        self.is_unwritten = false;
        writer.write(self.record.as_ref())
    }

    /// Writes the record; in a thread of its own when this run has other work while the disk is slow, or
    /// is fetching several documents: their writes then reach the disk together.
    async fn write(&self, has_other_work: bool) -> Option<Result<()>> {
        let is_synced = self.record.as_ref().map(durability) != Some(Durability::Buffered);
        let is_slow = is_synced && !self.records.is_in_memory();
        if is_slow && (has_other_work || !self.run.has_single_document()) {
            let (writer, record) = (Arc::clone(&self.writer), self.record.clone());
            let writing = move || locked(&writer).write(record.as_ref());
            return blocking::run(writing).await;
        }
        locked(&self.writer).write(self.record.as_ref())
    }

    /// Keeps the record in memory unless it was written.
    fn written(&mut self, written: Option<Result<()>>) {
        self.is_unwritten = false;
        match written {
            Some(Ok(())) => return self.run.keep_unwritten(&self.name, None),
            Some(Err(error)) => self.records.warn_unwritable(&error),
            None => {}
        }
        self.run.keep_unwritten(&self.name, self.record.as_ref());
    }
}

impl Drop for OpenRecord<'_> {
    fn drop(&mut self) {
        let writer = Arc::clone(&self.writer);
        let mut writer = locked(&writer); // after a write in another thread
        if self.is_unwritten {
            let written = self.take_back(&mut writer);
            self.written(written);
        }
        writer.held = None; // a write that has not begun in another thread now does nothing
    }
}
