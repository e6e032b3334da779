//! The rules of the ledger: what a run may do with a record ([`verdict`]), and how each event changes a
//! record ([`record_after`]).
//!
//! What a run may do:
//!
//! | state | what is known | the record has a URL | its URL expired, or it has none |
//! | --- | --- | --- | --- |
//! | no record | nothing was charged | | request |
//! | `attempting` | a request may have left, and its process recorded no answer | | refuse |
//! | `doubtful` | a request left, and the answer had no URL or did not come | | refuse |
//! | `answered` | a URL or values for free steps came; the document was not delivered | use the URL | refuse |
//! | `delivered` | the document was delivered | use the URL | refuse when a part of the document is on disk (a retrieval has begun), or when docfetch cannot tell whether the document is at its target; else request a new retrieval, and log that |
//!
//! A URL has expired when the storage said so. Clocks decide nothing: a URL past its end is used *on
//! trial*, with a single request to the storage. Only a dry run, which sends nothing, takes a URL past its
//! end as expired. `--allow-recharge` turns *refuse* into *request*, once for each document and run. The
//! flag also permits a request when the storage refused the recorded URL in this run.
//!
//! Where the answer brought values for free steps, which bring a URL, a run uses those in place of a URL that expired or
//! that the record does not have: without a charge. Only when the service does not know the values any more, the last
//! column holds. The ledger does not record the URLs of free steps.
//!
//! How events change a record:
//!
//! | event | state before | state after |
//! | --- | --- | --- |
//! | a request is about to leave | any | `attempting`; on disk before the first byte leaves |
//! | the request never left, or the answer was no charge | `attempting` | the record before the request |
//! | no answer, a failure, or an answer without a URL | `attempting` | `doubtful` |
//! | the answer has a URL, or all values for the free steps | `attempting` | `answered`; on disk before the request to the storage |
//! | the document is published, or its URL printed | `answered` | `delivered` |
//! | the storage says that the URL expired | `answered`, `delivered` | the same; its URL expired |

use crate::http::{DocumentFacts, PresignedUrl, StorageHeaders};
use crate::model::DocumentId;
use crate::resolve::captures::Captures;
use crate::secret::{Secret, stored};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use url::Url;

/// The version of the records' format.
const VERSION: u8 = 1;

/// The state of a paid retrieval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// A process is sending the request, or died before it recorded an answer.
    Attempting,
    /// A URL came; the document is not delivered yet.
    Answered,
    /// The document was delivered.
    Delivered,
    /// The request left, and no answer brought a URL.
    Doubtful,
}

/// The record of one document's retrieval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RetrievalRecord {
    version: u8,
    /// The provider's name.
    pub provider: String,
    /// The base URL of its API, without a slash at its end.
    pub base: String,
    /// The document's id.
    pub id: String,
    /// The state of the retrieval.
    pub state: State,
    /// When it was requested, by the servers' clock.
    #[serde(rename = "asked")]
    pub requested: Timestamp,
    /// The answer, where it brought a URL.
    answer: Option<RecordedUrl>,
    /// What the answer brought for the free steps after it.
    #[serde(default, skip_serializing_if = "Captures::is_empty")]
    captures: Captures,
    /// What the answer told of the document.
    #[serde(default, skip_serializing_if = "DocumentFacts::is_empty")]
    facts: DocumentFacts,
    /// The number of the attempt whose request this is; 0 where attempts are not numbered.
    #[serde(default, skip_serializing_if = "is_unnumbered")]
    pub attempt: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes references
fn is_unnumbered(attempt: &u32) -> bool {
    *attempt == 0
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RecordedUrl {
    #[serde(with = "stored")]
    url: Secret,
    /// The end of its lifetime, by the servers' clock, where that is known.
    expires: Option<Timestamp>,
    /// Whether the storage said that the URL expired.
    #[serde(rename = "over")]
    expired: bool,
    /// The headers that the storage wants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<RecordedHeader>,
}

/// A header that the storage wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RecordedHeader {
    name: String,
    #[serde(with = "stored")]
    value: Secret,
}

impl RecordedUrl {
    /// A URL that came just now.
    fn new(url: &PresignedUrl) -> Self {
        let headers = url.storage_headers().pairs();
        let headers = headers.map(|(name, value)| RecordedHeader {
            name: name.to_owned(),
            value: Secret::unregistered(value),
        });
        Self {
            url: Secret::unregistered(url.expose().as_str()),
            expires: url.expires(),
            expired: false,
            headers: headers.collect(),
        }
    }

    /// The URL and the headers, if docfetch can have recorded them.
    fn parts(&self) -> Option<(Url, StorageHeaders)> {
        let url = Url::parse(self.url.expose()).ok()?;
        let headers = self.headers.iter();
        let headers = headers.map(|header| (header.name.as_str(), header.value.expose()));
        Some((url, StorageHeaders::from_pairs(headers).ok()?))
    }
}

/// What the answer to a paid request brought: a URL, or values for the free steps that bring one, or both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PaidAnswer<'a> {
    /// The URL.
    pub url: Option<&'a PresignedUrl>,
    /// The values.
    pub captures: Option<&'a Captures>,
    /// What the answer tells of the document.
    pub facts: &'a DocumentFacts,
}

#[cfg(any(test, feature = "internals"))]
impl<'a> From<&'a PresignedUrl> for PaidAnswer<'a> {
    fn from(url: &'a PresignedUrl) -> Self {
        Self {
            url: Some(url),
            captures: None,
            facts: url.facts(),
        }
    }
}

/// An event in a retrieval.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RetrievalEvent<'a> {
    /// The request is about to leave.
    Sending,
    /// The request never left, or the answer says that the provider charged nothing.
    NotCharged,
    /// The request left, and no answer brought a URL.
    Unanswered,
    /// The answer brought this.
    Answered(PaidAnswer<'a>),
    /// The document was published, or its URL printed: by this URL; by the recorded one if none is given.
    Delivered(Option<&'a PresignedUrl>),
    /// The storage says that this URL expired.
    Expired(&'a PresignedUrl),
}

/// What a run may do.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Request a retrieval: the ledger knows of no charge.
    Request,
    /// Request a new retrieval, and log that: the document was delivered before.
    RequestAgain,
    /// Request another retrieval, and log that: the user permits another charge.
    RequestPermitted,
    /// Use the recorded URL.
    Use(PresignedUrl),
    /// Use the recorded values in the free steps after the paid one, which bring a URL.
    Renew(Captures, DocumentFacts),
    /// Send no request: after this state, a request may be charged a second time.
    Refuse(State),
}

/// What a run knows when it needs a URL.
#[derive(Clone, Copy, Debug, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each says one thing of the run"
)]
pub(crate) struct RetrievalRequest<'a> {
    /// Whether a part of the document is on disk.
    pub has_partial: bool,
    /// Whether docfetch failed to learn the name of the document, and so cannot tell whether the document is at
    /// its target.
    pub is_unnamed: bool,
    /// Whether `--allow-recharge` permits another charge for this document.
    pub permitted: bool,
    /// A URL that the storage refused in this run, for another reason than its end.
    pub refused: Option<&'a PresignedUrl>,
    /// Whether the service said in this run that it does not know the recorded values for free steps.
    pub captures_are_gone: bool,
    /// The time of a dry run, which takes a URL past its end as expired.
    pub dry_run_at: Option<Timestamp>,
}

/// What a run may do: the first table above.
pub(crate) fn verdict(record: Option<&RetrievalRecord>, request: RetrievalRequest<'_>) -> Verdict {
    let Some(record) = record else {
        return Verdict::Request;
    };
    let refused = request.refused.is_some_and(|url| record.brought(url));
    let url = record.url();
    let url = url.filter(|url| !request.dry_run_at.is_some_and(|now| url.is_expired_at(now)));
    match (record.state, url) {
        (State::Answered | State::Delivered, Some(url)) if !(refused && request.permitted) => {
            Verdict::Use(url)
        }
        (State::Answered | State::Delivered, None)
            if record.is_renewable()
                && !request.captures_are_gone
                && !(refused && request.permitted) =>
        {
            Verdict::Renew(record.captures.clone(), record.facts.clone())
        }
        (State::Delivered, None) if !request.has_partial && !request.is_unnamed => {
            Verdict::RequestAgain
        }
        _ if request.permitted => Verdict::RequestPermitted,
        (state, _) => Verdict::Refuse(state),
    }
}

/// What a record belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordKey<'a> {
    /// The provider's name.
    pub provider: &'a str,
    /// The base URL of its API, without a slash at its end.
    pub base: &'a str,
    /// The document's id.
    pub id: &'a DocumentId,
}

impl RetrievalRecord {
    /// A retrieval that is about to be sent.
    pub(super) fn attempting(key: RecordKey<'_>, now: Timestamp) -> Self {
        Self {
            version: VERSION,
            provider: key.provider.to_owned(),
            base: key.base.to_owned(),
            id: key.id.as_str().to_owned(),
            state: State::Attempting,
            requested: now,
            answer: None,
            captures: Captures::default(),
            facts: DocumentFacts::default(),
            attempt: 0,
        }
    }

    /// When its URL expires, or when the storage said that the URL expired; by the servers' clock.
    pub(crate) fn expires(&self) -> Option<Timestamp> {
        self.answer.as_ref()?.expires
    }

    /// Its URL, unless the storage said that the URL expired.
    fn url(&self) -> Option<PresignedUrl> {
        let answer = self.answer.as_ref().filter(|answer| !answer.expired)?;
        let since = Timestamp::now()
            .duration_since(self.requested)
            .unsigned_abs();
        let (url, headers) = answer.parts()?;
        let url = PresignedUrl::recorded(url, answer.expires, since)
            .with_storage_headers(headers)
            .with_facts(self.facts.clone());
        Some(if self.is_renewable() {
            url.renewable()
        } else {
            url
        })
    }

    /// Whether free steps bring further URLs of this retrieval.
    pub(crate) fn is_renewable(&self) -> bool {
        !self.captures.is_empty()
    }

    /// Whether a URL is of this retrieval: the recorded one, or one of the free steps.
    fn brought(&self, url: &PresignedUrl) -> bool {
        self.has(url) || self.is_renewable() && url.is_renewable() && !url.is_recorded()
    }

    fn has(&self, url: &PresignedUrl) -> bool {
        let known = self.answer.as_ref().map(|answer| answer.url.expose());
        known == Some(url.expose().as_str())
    }

    /// How long the recorded URL stays valid after `now`, where that is known.
    pub(crate) fn url_time_left(&self, now: Timestamp) -> Option<Duration> {
        let left = self.expires()?.duration_since(now);
        Duration::try_from(left).ok().filter(|left| !left.is_zero())
    }

    /// Whether docfetch can have written this record.
    pub(crate) fn is_valid(&self) -> bool {
        let with_url = matches!(self.state, State::Answered | State::Delivered);
        let url = self.answer.as_ref().map(RecordedUrl::parts);
        let has_answer = url.is_some() || self.is_renewable();
        self.version == VERSION && !matches!(url, Some(None)) && has_answer == with_url
    }

    /// Whether docfetch can have written this record for `id`.
    pub(crate) fn is_valid_for(&self, id: &DocumentId) -> bool {
        self.is_valid() && self.id == id.as_str()
    }

    /// The record of a document that was delivered by the recorded URL.
    pub(super) fn delivered(self) -> Self {
        match self.state {
            State::Answered => {
                let answer = self.answer.clone();
                self.with(State::Delivered, answer)
            }
            _ => self,
        }
    }

    /// The record whose URL expired, as the storage said at the time `now`.
    pub(super) fn expired(self, now: Timestamp) -> Self {
        let answer = self.answer.clone().map(|answer| RecordedUrl {
            expires: Some(answer.expires.map_or(now, |end| end.min(now))),
            expired: true,
            ..answer
        });
        let state = self.state;
        self.with(state, answer)
    }

    fn with(self, state: State, answer: Option<RecordedUrl>) -> Self {
        Self {
            state,
            answer,
            ..self
        }
    }
}

/// The record after an event at the time `now`: the second table above. `current` is the record before the
/// event, `before` the one before the request that is under way.
pub(crate) fn record_after(
    key: RecordKey<'_>,
    current: Option<RetrievalRecord>,
    before: Option<RetrievalRecord>,
    event: RetrievalEvent<'_>,
    now: Timestamp,
) -> Option<RetrievalRecord> {
    if let RetrievalEvent::Sending = event {
        return Some(RetrievalRecord::attempting(key, now));
    }
    let record = current?;
    match (event, record.state) {
        (RetrievalEvent::NotCharged, State::Attempting) => before,
        (RetrievalEvent::Unanswered, State::Attempting) => Some(record.with(State::Doubtful, None)),
        (RetrievalEvent::Answered(answer), State::Attempting) => {
            let record = RetrievalRecord {
                captures: answer.captures.cloned().unwrap_or_default(),
                facts: answer.facts.clone(),
                ..record
            };
            Some(record.with(State::Answered, answer.url.map(RecordedUrl::new)))
        }
        (RetrievalEvent::Delivered(url), State::Answered)
            if url.is_none_or(|url| record.brought(url)) =>
        {
            Some(record.delivered())
        }
        (RetrievalEvent::Expired(url), State::Answered | State::Delivered) if record.has(url) => {
            Some(record.expired(now))
        }
        _ => Some(record),
    }
}

#[cfg(test)]
mod tests;
