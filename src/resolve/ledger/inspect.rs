//! The ledger as the user sees it: `docfetch ledger list` and `docfetch ledger forget`.

use super::attempts::{Found, NumberedAttempts};
use super::record_files::is_numbered;
use super::record_names::{
    RETRIEVAL_ACTIVITY, SHORT_BUSY_TIMEOUT, account_part, invalid, is_about,
};
use super::table::{RetrievalRecord, State};
use crate::error::{Code, Error, Result};
use crate::model::DocumentId;
use crate::provider::{self, Provider};
use crate::state::Untrusted;
use crate::state::records::{LEDGER, Records, StateFolder};
use crate::text::short_duration;
use jiff::Timestamp;
use std::time::Duration;

/// A record of the ledger, for a list.
#[derive(Clone, Debug)]
pub(crate) struct ListedRecord {
    /// The record.
    pub record: RetrievalRecord,
    /// The kind of its document; none where the provider has no kinds.
    pub resource: Option<String>,
}

/// Which records a command is about.
#[derive(Clone, Debug)]
pub(crate) struct RecordQuery {
    /// The document's id.
    pub id: DocumentId,
    /// The provider's name; none for every provider.
    pub provider: Option<String>,
    /// The kinds that the document may be of.
    pub kinds: Vec<RecordKind>,
    /// The base URL of the API, without a slash at its end; none for every base.
    pub base: Option<String>,
}

/// A kind of a provider's things, as the names of records and commands have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordKind {
    /// The name; none for a provider with one kind.
    pub name: Option<String>,
    /// Whether it is the provider's default kind, or the only one.
    pub is_default: bool,
}

impl RecordKind {
    /// The kind of a provider.
    pub(crate) fn of(provider: &Provider) -> Self {
        Self {
            name: provider.table.kind.clone(),
            is_default: provider.is_default_kind(),
        }
    }

    /// The kind in the names of records.
    fn in_names(&self) -> Option<&str> {
        self.name.as_deref().filter(|_| !self.is_default)
    }
}

/// A record that matches a [`RecordQuery`].
#[derive(Clone, Debug)]
pub(crate) struct MatchingRecord {
    /// Its name in the state folder.
    name: String,
    /// The kind of its document.
    pub kind: RecordKind,
    /// The record; none when it cannot be trusted.
    pub record: Option<RetrievalRecord>,
}

impl MatchingRecord {
    /// The fingerprint of the record's account.
    pub(crate) fn account(&self) -> &str {
        account_part(&self.name)
    }
}

/// All records of every account, the oldest first, and the records that cannot be trusted. An
/// `attempting` record that no process has locked is listed as `doubtful`.
///
/// # Errors
/// [`Code::LocalIo`] when the folder cannot be read.
pub(crate) async fn list(state: &StateFolder) -> Result<(Vec<ListedRecord>, Vec<Untrusted>)> {
    let records = state.records(LEDGER);
    let (mut found, mut untrusted) = (Vec::new(), Vec::new());
    for name in records.names()? {
        match read_settled(&records, &name).await {
            Ok(Some(record)) if !record.is_valid() => {
                untrusted.push(invalid(records.path(&name)?));
            }
            Ok(record) => found.extend(record.map(|record| ListedRecord {
                resource: resource_of(&name, &record),
                record,
            })),
            Err(wrong) => untrusted.push(wrong),
        }
    }
    found.sort_by_key(|listed| listed.record.requested);
    Ok((found, untrusted))
}

/// Reads a record. `attempting` becomes `doubtful` when no process makes that attempt any more.
async fn read_settled(records: &Records, name: &str) -> Result<Option<RetrievalRecord>, Untrusted> {
    let found = match read(records, name)? {
        Recorded::Journal(Some(record)) if record.state == State::Attempting => {
            let held = records.hold(name, Duration::ZERO, RETRIEVAL_ACTIVITY).await;
            let Ok(mut held) = held else {
                return Ok(Some(record));
            };
            // No process has the record locked, so it does not change any more.
            Found::recorded(held.read::<RetrievalRecord>()?)
        }
        Recorded::Journal(record) => return Ok(record),
        Recorded::Attempts(found) if found.is_under_way() => return Ok(found.record),
        Recorded::Attempts(found) => found,
    };
    Ok(found.record.map(|mut record| {
        if record.state == State::Attempting {
            record.state = State::Doubtful;
        }
        record
    }))
}

/// What is recorded under a name.
enum Recorded {
    /// A journal, which processes lock.
    Journal(Option<RetrievalRecord>),
    /// Numbered attempts.
    Attempts(Found),
}

fn read(records: &Records, name: &str) -> Result<Recorded, Untrusted> {
    let record = records.read::<RetrievalRecord>(name)?;
    if !is_numbered(records, name, record.as_ref()) {
        return Ok(Recorded::Journal(record));
    }
    let found = NumberedAttempts::new(name.to_owned()).read(records)?;
    if found.is_unseen {
        return Err(invalid(records.path(name).unwrap_or_default()));
    }
    Ok(Recorded::Attempts(found))
}

/// The kind of a record's document, by the record's name.
fn resource_of(name: &str, record: &RetrievalRecord) -> Option<String> {
    let kinds = provider::find(&record.provider).ok()?.all_kinds();
    let found = kinds.into_iter().find(|known| {
        let id = known.parse_id(&record.id);
        id.is_ok_and(|id| is_about(name, known.further_kind(), &id))
    });
    found?.table.kind.clone()
}

/// The records that match. A record that cannot be trusted may be of any provider and base, so it
/// matches by its document alone.
///
/// # Errors
/// [`Code::LocalIo`] when the folder cannot be read.
pub(crate) fn find(state: &StateFolder, query: &RecordQuery) -> Result<Vec<MatchingRecord>> {
    let records = state.records(LEDGER);
    let mut found = Vec::new();
    for name in records.names()? {
        let mut kinds = query.kinds.iter();
        let Some(kind) = kinds.find(|kind| is_about(&name, kind.in_names(), &query.id)) else {
            continue;
        };
        let record = match read(&records, &name) {
            Ok(Recorded::Journal(None) | Recorded::Attempts(Found { record: None, .. })) => {
                continue; // nothing was charged
            }
            Ok(Recorded::Attempts(found)) => found.record,
            Ok(Recorded::Journal(record)) => record,
            Err(_) => None,
        };
        let other = record.as_ref().is_some_and(|record| {
            let provider = query.provider.as_ref();
            let base = query.base.as_ref();
            provider.is_some_and(|name| *name != record.provider)
                || base.is_some_and(|base| *base != record.base)
        });
        if !other {
            found.push(MatchingRecord {
                name,
                kind: kind.clone(),
                record,
            });
        }
    }
    Ok(found)
}

/// Removes a record, and warns when its URL is alive.
///
/// # Errors
/// [`Code::Busy`] while another process has the record locked, [`Code::LocalIo`] when it cannot be
/// removed.
pub(crate) async fn forget(state: &StateFolder, found: &MatchingRecord) -> Result<()> {
    let records = state.records(LEDGER);
    let held = records
        .hold(&found.name, SHORT_BUSY_TIMEOUT, RETRIEVAL_ACTIVITY)
        .await;
    if let Err(error) = &held
        && error.code() == Code::Busy
    {
        return Err(error.clone());
    }
    if let Ok(Recorded::Attempts(attempt)) = read(&records, &found.name)
        && attempt.is_running()
    {
        let what = format!("another process is {RETRIEVAL_ACTIVITY}");
        return Err(Error::new(Code::Busy, what).with_cause("it waits for the answer"));
    }
    if let Some(record) = &found.record
        && let Some(left) = record.url_time_left(Timestamp::now())
    {
        let left = short_duration(left);
        log::warn!("the forgotten URL would have stayed valid for {left}");
    }
    records.remove(&found.name)
}
