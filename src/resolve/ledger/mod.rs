//! The ledger of paid retrievals: all runs and processes together request a paid retrieval once.
//!
//! The ledger has one record for each document and account. The two tables in [`table`] say what a run
//! may do with a record, and how each event changes the record. A process locks the record from the
//! moment it reads the record until it has noted the answer. Another process that needs the same
//! document waits for that lock, and then finds the answer. A process that ends
//! between the request and the record of its answer leaves `attempting`.
//!
//! Where a lock may exclude no other process, such as on NFS, the requests for a document are numbered
//! ([`attempts`]): only the process that creates the file of an attempt sends its request. What then holds
//! without any lock, however late processes see the files of each other: without `--allow-recharge`, one
//! request that may be charged for each delivery; with the flag, one more for each process that has the flag.
//! The record has the number of its attempt, so that a process that sees the folder on an ordinary file
//! system, for example on the file server, reads the attempts, too.
//!
//! A record that cannot be trusted permits no request. Where docfetch cannot write a record, this run
//! keeps the record in memory.

mod attempts;
pub(crate) mod inspect;
mod open_record;
mod record_files;
mod record_names;
mod record_writer;
mod run_memory;
pub(crate) mod table;

use crate::active_time;
use crate::current_document::warn_of_document;
use crate::error::{Code, Error, Result};
use crate::fingerprint::fingerprint;
use crate::http::PresignedUrl;
use crate::model::DocumentId;
use crate::provider::Provider;
use crate::state::records::{LEDGER, Records, StateFolder};
use crate::state::{DistrustReason, Untrusted};
use crate::text::shell_argument;
use attempts::{Found, NumberedAttempts};
use jiff::Timestamp;
pub(crate) use open_record::OpenRecord;
use record_files::is_numbered;
use record_names::{RETRIEVAL_ACTIVITY, SHORT_BUSY_TIMEOUT, invalid, record_name};
use record_writer::{RecordWriter, passes_by_itself};
pub(crate) use run_memory::ActiveDocument;
use run_memory::RunMemory;
use std::sync::Arc;
use std::time::Duration;
use table::{RecordKey, RetrievalRecord, RetrievalRequest, Verdict, verdict};

/// The shortest wait for the answer to an attempt of another process: NFS shows changes up to a minute late,
/// twice when the folder and the file both do.
const MIN_ANSWER_TIMEOUT: Duration = Duration::from_secs(150);
/// The first pause between two reads of an attempt of another process. Each further pause is twice as long.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The longest pause between two reads.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// A longer wait is logged.
const NOTICEABLE_WAIT: Duration = Duration::from_millis(500);

/// The paid retrievals of one account.
#[derive(Debug)]
pub(crate) struct Ledger {
    provider: String,
    /// The kind; none for the provider's default kind.
    kind: Option<String>,
    /// The prefix of this kind's ids where the provider writes ids as URIs.
    uri_prefix: Option<String>,
    base: String,
    /// The fingerprint of provider, base and account.
    account: String,
    records: Arc<Records>,
    /// How long [`Ledger::open`] waits for another process.
    busy_timeout: Duration,
    /// How long [`Ledger::await_attempt`] waits for one attempt of another process.
    answer_timeout: Duration,
    run: RunMemory,
}

/// What the ledger says of a document.
#[derive(Debug)]
pub(crate) struct RecordFound {
    /// The record; none where the ledger has none.
    pub record: Option<RetrievalRecord>,
    /// Whether the record is on disk, so that later runs know it, too.
    pub is_on_disk: bool,
}

impl Ledger {
    /// The ledger of one account of `provider`, whose API is at `base`. `identity` is what the account's
    /// fingerprint is made of.
    pub(crate) fn new(
        provider: &Provider,
        base: &str,
        identity: &[&[u8]],
        state: &StateFolder,
        allow_recharge: bool,
        busy_timeout: Duration,
    ) -> Self {
        Self {
            provider: provider.table.name.clone(),
            kind: provider.further_kind().map(str::to_owned),
            uri_prefix: provider.uri_prefix(),
            base: base.to_owned(),
            account: fingerprint(identity),
            records: Arc::new(state.records(LEDGER)),
            busy_timeout,
            answer_timeout: busy_timeout.max(MIN_ANSWER_TIMEOUT),
            run: RunMemory::new(allow_recharge),
        }
    }

    /// Locks and reads the record of a document. Waits while another process has the record locked, at
    /// most for the `busy_timeout` of this ledger.
    ///
    /// # Errors
    /// [`Code::Busy`] when another process keeps the record longer. [`Code::LocalIo`] and
    /// [`Code::DiskFull`] when the record cannot be opened now and can be opened later.
    /// [`Code::ChargeRefused`] when the record cannot be trusted.
    pub(crate) async fn open<'a>(&'a self, id: &'a DocumentId) -> Result<OpenRecord<'a>> {
        self.open_within(id, self.busy_timeout).await
    }

    async fn open_within<'a>(
        &'a self,
        id: &'a DocumentId,
        busy_timeout: Duration,
    ) -> Result<OpenRecord<'a>> {
        let name = self.name(id);
        let held = self.records.hold(&name, busy_timeout, RETRIEVAL_ACTIVITY);
        let mut held = held.await;
        // The lock shows whether the file system has any.
        let is_lock_true = self.records.has_true_locks();
        let is_busy = matches!(&held, Err(error) if error.code() == Code::Busy);
        let in_memory = self.run.unwritten(&name);
        let mut record = match (&in_memory, &mut held) {
            (_, Err(error)) if is_busy && is_lock_true => return Err(error.clone()),
            (Some(record), _) => Some(record.clone()),
            (None, Ok(held)) if is_lock_true => self.trusted(id, held.read())?,
            (None, Ok(_)) => None,
            (None, Err(error)) => match self.find(id)?.record {
                None if passes_by_itself(error) => return Err(error.clone()),
                record => record,
            },
        };
        let is_numbered = is_numbered(&self.records, &name, record.as_ref());
        let mut attempts = is_numbered.then(|| NumberedAttempts::new(name.clone()));
        match (&in_memory, &mut attempts) {
            (None, Some(attempts)) => record = self.read_attempts(id, attempts)?.record,
            (in_memory, attempts) => {
                if let (Some(record), Some(attempts)) = (in_memory, attempts) {
                    attempts.reclaim(&*self.records, record);
                }
                if let Err(error) = &held {
                    self.records.warn_unwritable(error);
                }
            }
        }
        let writer = RecordWriter::new(Arc::clone(&self.records), held.ok(), attempts);
        let key = self.key(id);
        Ok(OpenRecord::new(key, name, &self.run, writer, record))
    }

    /// Waits while another process makes an attempt at the document of a record, and reads the record anew.
    /// Returns whether that attempt has ended: where attempts are numbered, no process takes one over.
    ///
    /// # Errors
    /// [`Code::ChargeRefused`] when the record cannot be trusted.
    pub(crate) async fn await_attempt(&self, record: &mut OpenRecord<'_>) -> Result<bool> {
        let id = record.id();
        if record.is_taken() {
            // The attempt on disk is newer than what this run could not write.
            self.run.keep_unwritten(&self.name(id), None);
        } else if !record.is_attempting() || self.run.unwritten(&self.name(id)).is_some() {
            return Ok(true);
        }
        let (mut began, mut under_way) = (active_time::now(), None);
        let mut interval = MIN_POLL_INTERVAL;
        let mut logged = false;
        loop {
            let found = record.read_attempts(|attempts| self.read_attempts(id, attempts));
            let waited = active_time::since(began);
            match &found {
                Ok(None) => return Ok(true),
                Ok(Some(found)) if !found.is_under_way() => return Ok(true),
                Ok(Some(found)) if under_way.replace(found.number()) != Some(found.number()) => {
                    began = active_time::now();
                }
                // Another machine may show a file half changed.
                _ if waited >= self.answer_timeout => return found.map(|_| false),
                _ => {}
            }
            if !logged && waited > NOTICEABLE_WAIT {
                warn_of_document!(
                    "another process is {RETRIEVAL_ACTIVITY}; waiting for its answer"
                );
                logged = true;
            }
            active_time::sleep(interval).await;
            interval = (interval * 2).min(MAX_POLL_INTERVAL);
        }
    }

    /// How long [`Ledger::await_attempt`] waits for one attempt.
    pub(crate) fn answer_timeout(&self) -> Duration {
        self.answer_timeout
    }

    fn key<'a>(&'a self, id: &'a DocumentId) -> RecordKey<'a> {
        RecordKey {
            provider: &self.provider,
            base: &self.base,
            id,
        }
    }

    /// Reads the numbered attempts at a document.
    fn read_attempts(&self, id: &DocumentId, attempts: &mut NumberedAttempts) -> Result<Found> {
        let mut found = attempts
            .read(&*self.records)
            .map_err(|untrusted| refuse_untrusted(&self.forget_argument(id), &untrusted))?;
        if found.is_unseen {
            let mut record = RetrievalRecord::attempting(self.key(id), Timestamp::now());
            record.attempt = found.number();
            found.record = Some(record);
        }
        self.trusted(id, Ok(found.record.clone()))?;
        Ok(found)
    }

    fn name(&self, id: &DocumentId) -> String {
        record_name(&self.account, self.kind.as_deref(), id)
    }

    /// The argument of `docfetch ledger forget` that names this document and no other: an id alone may
    /// belong to several kinds.
    pub(crate) fn forget_argument(&self, id: &DocumentId) -> String {
        shell_argument(&match (&self.kind, &self.uri_prefix) {
            (Some(_), Some(prefix)) => format!("{prefix}{id}"),
            _ => id.to_string(),
        })
    }

    /// What is recorded of a document, without a lock.
    ///
    /// # Errors
    /// [`Code::ChargeRefused`] when the record cannot be trusted.
    pub(crate) fn find(&self, id: &DocumentId) -> Result<RecordFound> {
        let name = self.name(id);
        if let Some(record) = self.run.unwritten(&name) {
            return Ok(RecordFound {
                record: Some(record),
                is_on_disk: false,
            });
        }
        let read = self.records.read(&name);
        let known = read.as_ref().ok().and_then(Option::as_ref);
        let record = if is_numbered(&self.records, &name, known) {
            self.read_attempts(id, &mut NumberedAttempts::new(name))?
                .record
        } else {
            self.trusted(id, read)?
        };
        Ok(RecordFound {
            record,
            is_on_disk: true,
        })
    }

    fn trusted(
        &self,
        id: &DocumentId,
        read: Result<Option<RetrievalRecord>, Untrusted>,
    ) -> Result<Option<RetrievalRecord>> {
        read.and_then(|record| match record {
            Some(record) if !record.is_valid_for(id) => {
                let path = self.records.path(&self.name(id)).unwrap_or_default();
                Err(invalid(path))
            }
            record => Ok(record),
        })
        .map_err(|untrusted| refuse_untrusted(&self.forget_argument(id), &untrusted))
    }

    /// What a real run with this `request` would be permitted at the time `now`.
    ///
    /// # Errors
    /// [`Code::ChargeRefused`] when the record cannot be trusted.
    pub(crate) fn foresee(
        &self,
        id: &DocumentId,
        request: RetrievalRequest<'_>,
        now: Timestamp,
    ) -> Result<Verdict> {
        let request = RetrievalRequest {
            permitted: self.run.allow_recharge,
            dry_run_at: Some(now),
            ..request
        };
        Ok(verdict(self.find(id)?.record.as_ref(), request))
    }

    /// Notes that a document was delivered by `url`, or by the recorded URL. The ledger ignores a failure:
    /// `answered` permits less than `delivered`.
    pub(crate) async fn delivered(&self, id: &DocumentId, url: Option<&PresignedUrl>) {
        // A process that holds the record for more than 2 s is requesting another URL, which this
        // delivery does not concern.
        if let Ok(mut record) = self.open_within(id, SHORT_BUSY_TIMEOUT).await {
            let event = table::RetrievalEvent::Delivered(url);
            let _ = record.note(event, Timestamp::now()).await;
        }
    }

    /// What this run knows beside the records.
    pub(crate) fn run(&self) -> &RunMemory {
        &self.run
    }
}

fn refuse_untrusted(forget_argument: &str, untrusted: &Untrusted) -> Error {
    let what = format!("cannot tell whether a retrieval of {forget_argument} was paid for already");
    let path = untrusted.path.display();
    let why = format!("its record {path} cannot be trusted: {}", untrusted.why);
    let forget =
        format!("check the provider's bill; then run `docfetch ledger forget {forget_argument}`");
    let hint = match untrusted.reason {
        DistrustReason::Folder => {
            "correct that folder, or set DOCFETCH_STATE_DIR to another one".to_owned()
        }
        DistrustReason::Permissions => format!("if you trust it, `chmod 600` it; else {forget}"),
        DistrustReason::Record => forget,
    };
    Error::new(Code::ChargeRefused, what)
        .with_cause(why)
        .with_hint(hint)
}

#[cfg(test)]
mod tests;
