//! The ledger as a whole: all its records, and giving one up.

use super::table::{Record, State};
use super::{MOMENT, NONSENSE, of_document};
use crate::error::{Code, Result};
use crate::model::DocumentId;
use crate::provider::{self, Resource};
use crate::state::records::{Fault, LEDGER, StateFolder, Untrusted};
use crate::text::short_duration;
use jiff::Timestamp;
use std::time::Duration;

/// A record of the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// What is recorded.
    pub record: Record,
    /// The kind of the document; none where the provider has no kinds.
    pub resource: Option<Resource>,
}

/// Which records are meant.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Those of this document,
    pub id: DocumentId,
    /// of this provider, by its name,
    pub provider: Option<String>,
    /// of these kinds,
    pub resources: Vec<Resource>,
    /// and of this API base, without a slash at its end.
    pub base: Option<String>,
}

/// A record that is meant.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Its name in the state folder.
    name: String,
    /// The kind of the document.
    pub resource: Resource,
    /// What is recorded; none where that cannot be trusted.
    pub record: Option<Record>,
}

impl Found {
    /// What tells the accounts of records apart: a fingerprint.
    pub(crate) fn account(&self) -> &str {
        self.name.split('-').next().unwrap_or_default()
    }
}

/// All records, of every account, the oldest first, and those that cannot be trusted.
///
/// # Errors
/// [`Code::LocalIo`] when the folder cannot be read.
pub(crate) async fn list(state: &StateFolder) -> Result<(Vec<Listed>, Vec<Untrusted>)> {
    let records = state.records(LEDGER);
    let (mut found, mut untrusted) = (Vec::new(), Vec::new());
    for name in records.names()? {
        let mut read = records.read::<Record>(&name);
        if matches!(&read, Ok(Some(record)) if record.state == State::Attempting)
            && let Ok(mut held) = records.hold(&name, Duration::ZERO, "asking").await
        {
            // A process that asks holds the record: none does, and the record does not change any more.
            read = held.read::<Record>();
            if let Ok(Some(record)) = &mut read
                && record.state == State::Attempting
            {
                record.state = State::Doubtful;
            }
        }
        match read {
            Ok(Some(record)) if !record.is_valid() => untrusted.push(Untrusted {
                path: records.path(&name)?,
                why: NONSENSE.to_owned(),
                fault: Fault::Record,
            }),
            Ok(record) => found.extend(record.map(|record| Listed {
                resource: resource(&name, &record),
                record,
            })),
            Err(wrong) => untrusted.push(wrong),
        }
    }
    found.sort_by_key(|listed| listed.record.asked);
    Ok((found, untrusted))
}

/// The kind of a record's document, by the record's name.
fn resource(name: &str, record: &Record) -> Option<Resource> {
    let id = DocumentId::parse(&record.id, None).ok()?;
    let mut kinds = provider::all().into_iter().filter_map(|known| {
        let resource = known.resource?;
        (known.name == record.provider).then_some(resource)
    });
    kinds.find(|kind| is_of(name, *kind, &id))
}

fn is_of(name: &str, resource: Resource, id: &DocumentId) -> bool {
    let document = name.split_once('-').map(|(_, document)| document);
    document == Some(of_document(resource, id).as_str())
}

/// The records that are `wanted`. One that cannot be trusted may be of any provider and base.
///
/// # Errors
/// [`Code::LocalIo`] when the folder cannot be read.
pub(crate) fn find(state: &StateFolder, wanted: &Wanted) -> Result<Vec<Found>> {
    let records = state.records(LEDGER);
    let mut found = Vec::new();
    for name in records.names()? {
        let mut kinds = wanted.resources.iter().copied();
        let Some(resource) = kinds.find(|kind| is_of(&name, *kind, &wanted.id)) else {
            continue;
        };
        let record = records.read::<Record>(&name).ok().flatten();
        let other = record.as_ref().is_some_and(|record| {
            let provider = wanted.provider.as_ref();
            let base = wanted.base.as_ref();
            provider.is_some_and(|name| *name != record.provider)
                || base.is_some_and(|base| *base != record.base)
        });
        if !other {
            found.push(Found {
                name,
                resource,
                record,
            });
        }
    }
    Ok(found)
}

/// Gives a record up.
///
/// # Errors
/// [`Code::Busy`] while another process asks for the document, [`Code::LocalIo`].
pub(crate) async fn forget(state: &StateFolder, found: &Found) -> Result<()> {
    let records = state.records(LEDGER);
    let what = "asking for this document";
    let held = records.hold(&found.name, MOMENT, what).await;
    if let Err(error) = &held
        && error.code() == Code::Busy
    {
        return Err(error.clone());
    }
    if let Ok(Some(record)) = records.read::<Record>(&found.name)
        && let Some(left) = record.left(Timestamp::now())
    {
        let left = short_duration(left);
        log::warn!("its URL, which is forgotten as well, would have lived for {left}");
    }
    records.remove(&found.name)
}
