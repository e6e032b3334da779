//! The ledger of paid retrievals: all runs and processes together request a paid retrieval once.
//!
//! The ledger has one record for each document and account. The two tables in [`table`] say what a run
//! may do with a record, and how each event changes the record. A process locks the record from the
//! moment it reads the record until it has noted the answer. Another process that needs the same
//! document waits for that lock, and then finds the answer. A process that ends
//! between the request and the record of its answer leaves `attempting`.
//!
//! A record that cannot be trusted permits no request. Where docfetch cannot write a record, this run
//! keeps the record in memory.

pub(crate) mod inspect;
mod open_record;
mod record_names;
mod run_memory;
pub(crate) mod table;

use crate::error::{Code, Error, Result};
use crate::fingerprint::fingerprint;
use crate::http::PresignedUrl;
use crate::model::DocumentId;
use crate::provider::{Provider, Resource};
use crate::state::records::{LEDGER, Records, StateFolder};
use crate::state::{DistrustReason, Untrusted};
use crate::text::shell_argument;
use jiff::Timestamp;
pub(crate) use open_record::OpenRecord;
use open_record::{RecordWriter, passes_by_itself};
use record_names::{RETRIEVAL_ACTIVITY, SHORT_BUSY_TIMEOUT, invalid, record_name};
pub(crate) use run_memory::ActiveDocument;
use run_memory::RunMemory;
use std::sync::Arc;
use std::time::Duration;
use table::{RecordKey, RetrievalRecord, RetrievalRequest, Verdict, verdict};

/// The paid retrievals of one account.
#[derive(Debug)]
pub(crate) struct Ledger {
    provider: &'static str,
    resource: Resource,
    /// The prefix of this kind's ids where the provider writes ids as URIs.
    uri_prefix: Option<&'static str>,
    base: String,
    /// The fingerprint of provider, base and account.
    account: String,
    records: Arc<Records>,
    /// How long [`Ledger::open`] waits for another process.
    busy_timeout: Duration,
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
            provider: provider.name,
            resource: provider.resource.unwrap_or_default(),
            uri_prefix: provider.id_uri_prefix,
            base: base.to_owned(),
            account: fingerprint(identity),
            records: Arc::new(state.records(LEDGER)),
            busy_timeout,
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
        let mut held = match self
            .records
            .hold(&name, busy_timeout, RETRIEVAL_ACTIVITY)
            .await
        {
            Err(error) if error.code() == Code::Busy => return Err(error),
            held => held,
        };
        let record = match (self.run.unwritten(&name), &mut held) {
            (Some(record), _) => Some(record),
            (None, Ok(held)) => self.trusted(id, held.read())?,
            (None, Err(error)) => match self.find(id)?.record {
                None if passes_by_itself(error) => return Err(error.clone()),
                record => record,
            },
        };
        let held = held
            .inspect_err(|error| self.records.warn_unwritable(error))
            .ok();
        let key = RecordKey {
            provider: self.provider,
            base: &self.base,
            id,
        };
        let writer = RecordWriter::new(Arc::clone(&self.records), held);
        Ok(OpenRecord::new(key, name, &self.run, writer, record))
    }

    fn name(&self, id: &DocumentId) -> String {
        record_name(&self.account, self.resource, id)
    }

    /// The argument of `docfetch ledger forget` that names this document and no other: an id alone may
    /// belong to several kinds.
    pub(crate) fn forget_argument(&self, id: &DocumentId) -> String {
        shell_argument(&match (self.resource, self.uri_prefix) {
            (Resource::Documents, _) | (_, None) => id.to_string(),
            (_, Some(prefix)) => format!("{prefix}{id}"),
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
        Ok(RecordFound {
            record: self.trusted(id, self.records.read(&name))?,
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

    /// What a real run would be permitted at the time `now`; `has_partial` when part of the document is on
    /// disk.
    ///
    /// # Errors
    /// [`Code::ChargeRefused`] when the record cannot be trusted.
    pub(crate) fn foresee(
        &self,
        id: &DocumentId,
        has_partial: bool,
        now: Timestamp,
    ) -> Result<Verdict> {
        let request = RetrievalRequest {
            has_partial,
            permitted: self.run.allow_recharge,
            dry_run_at: Some(now),
            ..RetrievalRequest::default()
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
