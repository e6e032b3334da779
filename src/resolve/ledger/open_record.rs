//! One record of the ledger while this process has it locked.
//!
//! [`OpenRecord::note`] applies an event to the record and writes it. A write that waits for the disk runs
//! in a thread of its own when this run has other work in the meantime. So that the record is
//! correct whenever the process dies, dropping an [`OpenRecord`] waits for such a write, and then completes
//! what was begun: it removes the record of a request that has not left, and writes an answer.

use super::attempts::{Found, Mark, NumberedAttempts};
use super::record_writer::{Change, RecordWriter, Written, durability};
use super::run_memory::RunMemory;
use super::table::{
    RecordKey, RetrievalEvent, RetrievalRecord, RetrievalRequest, State, Verdict, record_after,
    verdict,
};
use crate::error::{Code, Error, Result};
use crate::model::DocumentId;
use crate::mutex::locked;
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
    /// The change by which `record` is newer than what is on disk.
    unwritten: Option<Change>,
    /// Whether the last decision used `--allow-recharge` up.
    recharged: bool,
    /// Whether another process made the attempt that this process was about to make.
    is_taken: bool,
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
            unwritten: None,
            recharged: false,
            is_taken: false,
        }
    }

    /// The document.
    pub(super) fn id(&self) -> &'a DocumentId {
        self.key.id
    }

    /// Reads the attempts of all processes anew. Returns what the last one is; none where attempts are not
    /// numbered.
    ///
    /// # Errors
    /// [`Code::ChargeRefused`] when one of them cannot be trusted.
    pub(super) fn read_attempts(
        &mut self,
        read: impl FnOnce(&mut NumberedAttempts) -> Result<Found>,
    ) -> Result<Option<Found>> {
        let writer = Arc::clone(&self.writer);
        let mut writer = locked(&writer);
        let Some(attempts) = writer.attempts() else {
            return Ok(None);
        };
        let found = read(attempts)?;
        self.record.clone_from(&found.record);
        Ok(Some(found))
    }

    /// Whether the recorded request has no end.
    pub(super) fn is_attempting(&self) -> bool {
        let record = self.record.as_ref();
        record.is_some_and(|record| record.state == State::Attempting)
    }

    /// Whether another process made the attempt that this process was about to make. Then this process has
    /// sent nothing, and waits for the end of that attempt.
    pub(crate) fn is_taken(&self) -> bool {
        self.is_taken
    }

    /// What this run may do. Sets `permitted` of the request. Uses `--allow-recharge` up for this
    /// document when only that flag permits a request.
    pub(crate) fn decide(&mut self, request: RetrievalRequest<'_>) -> Verdict {
        self.is_taken = false;
        let request = RetrievalRequest {
            permitted: self.run.may_recharge(self.key.id),
            ..request
        };
        let verdict = verdict(self.record.as_ref(), request);
        self.recharged = matches!(verdict, Verdict::RequestPermitted);
        if self.recharged {
            self.run.recharge(self.key.id);
        }
        verdict
    }

    /// Undoes the last decision: this run does not act on it now.
    pub(crate) fn undo_decision(&mut self) {
        if std::mem::take(&mut self.recharged) {
            self.run.give_back_recharge(self.key.id);
        }
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
    /// written now and can be written later; [`Code::Busy`] when the attempt [is taken](Self::is_taken). The
    /// record is unchanged, and the request must not leave.
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
            let change = self.change(event, now);
            self.record = after;
            if let (RetrievalEvent::Sending, Some(record)) = (event, &mut self.record) {
                record.attempt = locked(&self.writer).next_attempt();
            }
            self.unwritten = Some(change.clone());
            // This run connects to the storage while the answer is written.
            let has_other_work = matches!(event, RetrievalEvent::Answered(_));
            let written = self.write(change, has_other_work).await;
            if let RetrievalEvent::Sending = event {
                self.unless_prevented(&written)?;
            }
            self.written(written);
        }
        // Nothing of the request leaves before this.
        let is_pending = matches!(event, RetrievalEvent::Sending);
        self.run.set_pending(self.key.id, is_pending);
        Ok(())
    }

    /// How an event changes what is on disk.
    fn change(&self, event: RetrievalEvent<'_>, now: Timestamp) -> Change {
        match event {
            RetrievalEvent::Sending => Change::Begin {
                before: self.before_request.clone().flatten().map(Box::new),
            },
            RetrievalEvent::NotCharged => Change::TakeBack,
            RetrievalEvent::Unanswered | RetrievalEvent::Answered(_) => Change::End,
            RetrievalEvent::Delivered(_) => Change::Mark(Mark::Delivered, now),
            RetrievalEvent::Expired(_) => Change::Mark(Mark::Expired, now),
        }
    }

    /// Takes a request back that must not leave because of what became of its record.
    ///
    /// # Errors
    /// Why the request must not leave.
    fn unless_prevented(&mut self, written: &Written) -> Result<()> {
        let error = match written {
            Written::OnDisk | Written::Unwritable(_) => return Ok(()),
            Written::NotNow(error) => error.clone(),
            Written::Taken => {
                self.is_taken = true;
                if self.recharged {
                    self.run.give_back_recharge(self.key.id);
                }
                Error::new(Code::Busy, "another process is requesting this document")
            }
        };
        // The failed write left the record as it was.
        let writer = Arc::clone(&self.writer);
        let _ = self.take_back(&mut locked(&writer));
        Err(error)
    }

    /// Writes what the record said before a request that has not left, or a change that is not written
    /// yet.
    fn take_back(&mut self, writer: &mut RecordWriter) -> Option<Written> {
        let mut change = self.unwritten.take()?;
        if let Some(before) = self.before_request.take() {
            self.record = before;
            change = Change::TakeBack;
        }
        self.run.set_pending(self.key.id, false);
        Some(writer.write(&change, self.record.as_ref()))
    }

    /// Writes the record; in a thread of its own when this run has other work while the disk is slow, or
    /// is fetching several documents: their writes then reach the disk together.
    async fn write(&self, change: Change, has_other_work: bool) -> Written {
        let is_synced = self.record.as_ref().map(durability) != Some(Durability::Buffered);
        let is_slow = is_synced && !self.records.is_in_memory();
        if is_slow && (has_other_work || !self.run.has_single_document()) {
            let (writer, record) = (Arc::clone(&self.writer), self.record.clone());
            let writing = move || locked(&writer).write(&change, record.as_ref());
            return blocking::run(writing).await;
        }
        locked(&self.writer).write(&change, self.record.as_ref())
    }

    /// Keeps the record in memory unless it was written.
    fn written(&mut self, written: Written) {
        self.unwritten = None;
        match written {
            Written::OnDisk => return self.run.keep_unwritten(&self.name, None),
            Written::Unwritable(Some(error)) | Written::NotNow(error) => {
                self.records.warn_unwritable(&error);
            }
            Written::Unwritable(None) | Written::Taken => {}
        }
        self.run.keep_unwritten(&self.name, self.record.as_ref());
    }
}

impl Drop for OpenRecord<'_> {
    fn drop(&mut self) {
        let writer = Arc::clone(&self.writer);
        let mut writer = locked(&writer); // after a write in another thread
        if let Some(written) = self.take_back(&mut writer) {
            self.written(written);
        }
        writer.close(); // a write that has not begun in another thread now does nothing
    }
}
