//! The ledger of paid retrievals: what costs is asked for once, by all runs and processes together.
//!
//! One record a document and account says how its retrieval stands:
//!
//! | state | what is known | its URL lives | its URL is over, or there is none |
//! | --- | --- | --- | --- |
//! | no record | nothing was charged | | ask |
//! | `attempting` | a request may have left, and its process is gone | | refuse |
//! | `doubtful` | a request left, and was not answered with a URL | | refuse |
//! | `answered` | a URL came, the document has not been delivered | use it | refuse |
//! | `delivered` | the document was delivered | use it | ask, and say so: it is a new wish |
//!
//! `--allow-recharge` turns *refuse* into *ask*, once a document and run. The states follow the
//! retrieval:
//!
//! | event | before | after |
//! | --- | --- | --- |
//! | about to be sent | any | `attempting`, on disk before the first byte leaves |
//! | it never left, or was answered without a charge | `attempting` | what was there before |
//! | not answered, or with a failure or without a URL | `attempting` | `doubtful` |
//! | answered with a URL | `attempting` | `answered`, on disk before the document is asked for |
//! | the document is published, or its URL printed | `answered` | `delivered` |
//! | the storage says that the URL is over | `answered`, `delivered` | the same, its URL over |
//!
//! A record is locked from its reading to the answer: whoever asks for the same document meanwhile
//! waits, and finds the answer. A process that ends in between leaves `attempting`. A record that
//! cannot be trusted refuses. Where no record can be written, this run remembers by itself.

use crate::error::{Code, Error, Result};
use crate::http::presigned::PresignedUrl;
use crate::model::{DocumentId, fingerprint};
use crate::secret::{Secret, kept};
use crate::state::lock::Lock;
use crate::state::records::{LEDGER, Lasting, Records, StateFolder, Untrusted};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use url::Url;

/// How long to wait for a lock that is held for a moment only.
const MOMENT: Duration = Duration::from_secs(2);

/// How a paid retrieval stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is being asked for; when nobody is, whoever asked was stopped.
    Attempting,
    /// A URL came; the document was not delivered yet.
    Answered,
    /// The document was delivered.
    Delivered,
    /// It was asked for, and not answered with a URL.
    Doubtful,
}

/// What is recorded of one document's retrieval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The provider's name.
    pub provider: String,
    /// The document.
    pub id: String,
    /// How it stands.
    pub state: State,
    /// When it was asked for, by the servers' clock.
    pub asked: Timestamp,
    /// What came of it.
    #[serde(flatten)]
    answer: Option<Answer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    #[serde(with = "kept")]
    url: Secret,
    /// By the servers' clock.
    expires: Option<Timestamp>,
    /// Whether the storage said that it is over, whatever the clocks say.
    over: bool,
}

/// What happens to a retrieval.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// It is about to be sent.
    Sending,
    /// It never left, or was answered without a charge.
    NotCharged,
    /// It was not answered, or not with a URL.
    Unanswered,
    /// A URL came.
    Answered(&'a PresignedUrl),
    /// The document was published, or its URL printed: by this URL, or by the one recorded.
    Delivered(Option<&'a PresignedUrl>),
    /// The storage says that this URL is over.
    Over(&'a PresignedUrl),
}

/// What a run may do.
#[derive(Debug)]
pub enum Verdict {
    /// Ask: nothing is recorded that was charged.
    Ask,
    /// Ask, and say so: the document was delivered before.
    AskAnew,
    /// Ask, and say so: the user permits another charge.
    AskPermitted,
    /// Use the URL of an earlier answer.
    Use(PresignedUrl),
    /// Do not ask: this state would be charged again.
    Refuse(State),
}

/// The table at the top of this file; `now` is the servers' time where it is known, and `permitted`
/// whether `--allow-recharge` still counts.
pub fn verdict(record: Option<&Record>, now: Option<Timestamp>, permitted: bool) -> Verdict {
    let Some(record) = record else {
        return Verdict::Ask;
    };
    let url = record.living(now).filter(|url| !url.is_over(now));
    match (record.state, url) {
        (State::Answered | State::Delivered, Some(url)) => Verdict::Use(url),
        (State::Delivered, None) => Verdict::AskAnew,
        (State::Attempting | State::Doubtful | State::Answered, _) if permitted => {
            Verdict::AskPermitted
        }
        (state, _) => Verdict::Refuse(state),
    }
}

impl Record {
    /// When its URL dies or was found over, by the servers' clock.
    pub fn expires(&self) -> Option<Timestamp> {
        self.answer.as_ref()?.expires
    }

    /// Its URL, unless the storage found that over.
    fn living(&self, now: Option<Timestamp>) -> Option<PresignedUrl> {
        let answer = self.answer.as_ref().filter(|answer| !answer.over);
        answer.and_then(|_| self.url(now))
    }

    fn url(&self, now: Option<Timestamp>) -> Option<PresignedUrl> {
        let answer = self.answer.as_ref()?;
        let since = now.unwrap_or(self.asked).duration_since(self.asked);
        Some(PresignedUrl::recorded(
            Url::parse(answer.url.expose()).ok()?,
            answer.expires,
            since.unsigned_abs(),
        ))
    }

    fn has(&self, url: &PresignedUrl) -> bool {
        let known = self.answer.as_ref().map(|answer| answer.url.expose());
        known == Some(url.expose().as_str())
    }

    /// Whether it could have been written by this program for `id`.
    fn makes_sense(&self, id: &DocumentId) -> bool {
        let with_url = matches!(self.state, State::Answered | State::Delivered);
        self.id == id.as_str() && self.url(None).is_some() == with_url
    }
}

/// The paid retrievals of one account.
#[derive(Debug)]
pub struct Ledger {
    provider: &'static str,
    account: String,
    records: Records,
    allow_recharge: bool,
    patience: Duration,
    /// What could not be written.
    memory: Mutex<HashMap<String, Record>>,
    /// Documents that were asked for again because the user permits it, in this run.
    recharged: Mutex<HashSet<DocumentId>>,
}

/// The record of one document, held by this process.
#[derive(Debug)]
pub struct Entry<'a> {
    ledger: &'a Ledger,
    id: &'a DocumentId,
    name: String,
    lock: Option<Lock>,
    record: Option<Record>,
    /// What was there before it was asked for.
    before: Option<Record>,
}

impl Ledger {
    /// The ledger of an account, which is told apart by `identity`.
    pub fn new(
        provider: &'static str,
        identity: &[&[u8]],
        state: &StateFolder,
        allow_recharge: bool,
        patience: Duration,
    ) -> Self {
        Self {
            provider,
            account: fingerprint(identity),
            records: state.records(LEDGER),
            allow_recharge,
            patience,
            memory: Mutex::default(),
            recharged: Mutex::default(),
        }
    }

    /// Opens the record of a document; waits for another process that has it open.
    ///
    /// # Errors
    /// [`Code::Busy`] when it is not to be had, [`Code::ChargeRefused`] when it cannot be trusted.
    pub async fn open<'a>(&'a self, id: &'a DocumentId) -> Result<Entry<'a>> {
        self.open_within(id, self.patience).await
    }

    async fn open_within<'a>(
        &'a self,
        id: &'a DocumentId,
        patience: Duration,
    ) -> Result<Entry<'a>> {
        let name = name(&self.account, id);
        let what = "asking for this document";
        let lock = match self.records.lock(&name, patience, what).await {
            Ok(lock) => Some(lock),
            Err(error) if error.code() == Code::Busy => return Err(error),
            Err(error) => {
                self.records.cannot_keep(&error);
                None
            }
        };
        let (record, _) = self.look(id)?;
        Ok(Entry {
            ledger: self,
            id,
            name,
            lock,
            before: record.clone(),
            record,
        })
    }

    /// What is recorded of a document, and whether later runs know it, too.
    ///
    /// # Errors
    /// [`Code::ChargeRefused`] when it cannot be trusted.
    pub fn look(&self, id: &DocumentId) -> Result<(Option<Record>, bool)> {
        let name = name(&self.account, id);
        if let Some(record) = self.memory().get(&name) {
            return Ok((Some(record.clone()), false));
        }
        let record: Option<Record> = self
            .records
            .read(&name)
            .and_then(|record: Option<Record>| match record {
                Some(record) if !record.makes_sense(id) => Err(Untrusted {
                    path: self.records.folder().unwrap_or("".as_ref()).join(&name),
                    why: "it is not about this document".to_owned(),
                }),
                record => Ok(record),
            })
            .map_err(|untrusted| distrust(id, &untrusted))?;
        Ok((record, true))
    }

    /// Notes that a document was delivered by `url`, or by the one recorded.
    pub async fn delivered(&self, id: &DocumentId, url: Option<&PresignedUrl>) {
        // Whoever holds it longer than a moment asks anew: then there is another URL to deliver.
        if let Ok(mut entry) = self.open_within(id, MOMENT).await {
            entry.note(Event::Delivered(url), Timestamp::now());
        }
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<String, Record>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recharged(&self) -> MutexGuard<'_, HashSet<DocumentId>> {
        self.recharged
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry<'_> {
    /// What this run may do; see [`verdict`].
    pub fn verdict(&self, now: Option<Timestamp>) -> Verdict {
        let permitted = self.ledger.allow_recharge && !self.ledger.recharged().contains(self.id);
        let verdict = verdict(self.record.as_ref(), now, permitted);
        if matches!(verdict, Verdict::AskPermitted) {
            self.ledger.recharged().insert(self.id.clone());
        }
        verdict
    }

    /// When the retrieval was asked for.
    pub fn asked(&self) -> Option<Timestamp> {
        self.record.as_ref().map(|record| record.asked)
    }

    /// Notes what happened; it is on disk when this returns, or said that it cannot be.
    pub fn note(&mut self, event: Event<'_>, now: Timestamp) {
        if matches!(event, Event::Sending) {
            self.before.clone_from(&self.record);
        }
        let after = self.after(&event, now);
        if after != self.record {
            self.record = after;
            self.keep();
        }
    }

    /// The second table at the top of this file.
    fn after(&self, event: &Event<'_>, now: Timestamp) -> Option<Record> {
        let current = self.record.clone();
        let state = current.as_ref().map(|record| record.state);
        let to = |state, answer| {
            current.clone().map(|record| Record {
                state,
                answer,
                ..record
            })
        };
        let answer = current.as_ref().and_then(|record| record.answer.clone());
        let is_of = |url: &PresignedUrl| current.as_ref().is_some_and(|record| record.has(url));
        match (event, state) {
            (Event::Sending, _) => Some(Record {
                provider: self.ledger.provider.to_owned(),
                id: self.id.as_str().to_owned(),
                state: State::Attempting,
                asked: now,
                answer: None,
            }),
            (Event::NotCharged, Some(State::Attempting)) => self.before.clone(),
            (Event::Unanswered, Some(State::Attempting)) => to(State::Doubtful, None),
            (Event::Answered(url), Some(State::Attempting)) => {
                let answer = Answer {
                    url: Secret::new(url.expose().as_str()),
                    expires: url.expires,
                    over: false,
                };
                to(State::Answered, Some(answer))
            }
            (Event::Delivered(url), Some(State::Answered)) if url.is_none_or(is_of) => {
                to(State::Delivered, answer)
            }
            (Event::Over(url), Some(state @ (State::Answered | State::Delivered)))
                if is_of(url) =>
            {
                let over = |answer: Answer| Answer {
                    expires: Some(answer.expires.map_or(now, |end| end.min(now))),
                    over: true,
                    ..answer
                };
                to(state, answer.map(over))
            }
            _ => current,
        }
    }

    fn keep(&self) {
        let records = &self.ledger.records;
        let written = self.lock.as_ref().map(|_| match &self.record {
            Some(record) => records.write(&self.name, record, Lasting::Durable),
            None => records.remove(&self.name),
        });
        let mut memory = self.ledger.memory();
        if let Some(Ok(())) = written {
            memory.remove(&self.name);
            return;
        }
        if let Some(Err(error)) = written {
            records.cannot_keep(&error);
        }
        match &self.record {
            Some(record) => memory.insert(self.name.clone(), record.clone()),
            None => memory.remove(&self.name),
        };
    }
}

/// The name of a document's record: it can be found by the document alone, whoever's it is.
fn name(account: &str, id: &DocumentId) -> String {
    format!("{account}-{}", of_document(id))
}

fn of_document(id: &DocumentId) -> String {
    fingerprint(&[id.as_str().as_bytes()])
}

fn distrust(id: &DocumentId, untrusted: &Untrusted) -> Error {
    let what = format!("cannot tell whether a retrieval of {id} was paid for already");
    let why = format!(
        "its record {} cannot be trusted: {}",
        untrusted.path.display(),
        untrusted.why
    );
    Error::new(Code::ChargeRefused, what).why(why).hint(format!(
        "look at the provider's bill; `docfetch ledger forget {id}` gives the record up"
    ))
}

/// All records, of every account, and those that cannot be trusted.
///
/// # Errors
/// [`Code::LocalIo`] when the folder cannot be read.
pub async fn list(state: &StateFolder) -> Result<(Vec<Record>, Vec<Untrusted>)> {
    let records = state.records(LEDGER);
    let (mut found, mut untrusted) = (Vec::new(), Vec::new());
    for name in records.names()? {
        match records.read::<Record>(&name) {
            Ok(Some(mut record)) => {
                let open = async || records.lock(&name, Duration::ZERO, "asking").await;
                if record.state == State::Attempting && open().await.is_ok() {
                    record.state = State::Doubtful; // nobody is asking any more
                }
                found.push(record);
            }
            Ok(None) => {}
            Err(wrong) => untrusted.push(wrong),
        }
    }
    found.sort_by_key(|record| record.asked);
    Ok((found, untrusted))
}

/// Gives up what is recorded of a document, of every account; how many records that were.
///
/// # Errors
/// [`Code::Busy`] while another process asks for it, [`Code::LocalIo`].
pub async fn forget(state: &StateFolder, id: &DocumentId) -> Result<usize> {
    let records = state.records(LEDGER);
    let of_document = of_document(id);
    let mut forgotten = 0;
    for name in records.names()? {
        if name
            .split_once('-')
            .is_some_and(|(_, id)| id == of_document)
        {
            let _lock = records
                .lock(&name, MOMENT, "asking for this document")
                .await?;
            records.remove(&name)?;
            forgotten += 1;
        }
    }
    Ok(forgotten)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn id() -> DocumentId {
        DocumentId::parse("00f2", None).unwrap()
    }

    fn url(number: u32, expires: Option<Timestamp>) -> PresignedUrl {
        let url = Url::parse(&format!("https://s.example/{number}?sig=s3cret")).unwrap();
        PresignedUrl::new(url, expires)
    }

    fn ledger(folder: &std::path::Path, allow_recharge: bool) -> Ledger {
        let state = StateFolder::new(Some(folder.to_owned()));
        Ledger::new("onecodex", &[b"x"], &state, allow_recharge, Duration::ZERO)
    }

    fn record(state: State, over: bool) -> Record {
        let expires = if over { NOW } else { NOW + HOUR };
        let has_url = matches!(state, State::Answered | State::Delivered);
        Record {
            provider: "onecodex".to_owned(),
            id: "00f2".to_owned(),
            state,
            asked: NOW,
            answer: has_url.then(|| Answer {
                url: Secret::new("https://s.example/1?sig=s3cret"),
                expires: Some(expires),
                over: false,
            }),
        }
    }

    fn shown(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Ask => "ask",
            Verdict::AskAnew => "ask, said",
            Verdict::AskPermitted => "ask, permitted",
            Verdict::Use(_) => "use",
            Verdict::Refuse(_) => "refuse",
        }
    }

    #[test]
    fn the_first_table() {
        let table = [
            (None, "ask", "ask"),
            (Some((State::Attempting, true)), "refuse", "ask, permitted"),
            (Some((State::Doubtful, true)), "refuse", "ask, permitted"),
            (Some((State::Answered, false)), "use", "use"),
            (Some((State::Answered, true)), "refuse", "ask, permitted"),
            (Some((State::Delivered, false)), "use", "use"),
            (Some((State::Delivered, true)), "ask, said", "ask, said"),
        ];
        for (case, plain, permitted) in table {
            let record = case.map(|(state, over)| record(state, over));
            let of = |permitted| shown(&verdict(record.as_ref(), Some(NOW), permitted));
            assert_eq!((of(false), of(true)), (plain, permitted), "{case:?}");
        }
        // Without the servers' time nothing is over but what the storage said is.
        for (state, then) in [(State::Answered, "refuse"), (State::Delivered, "ask, said")] {
            let mut record = record(state, true);
            assert_eq!(shown(&verdict(Some(&record), None, false)), "use");
            record.answer.as_mut().unwrap().over = true;
            assert_eq!(shown(&verdict(Some(&record), None, false)), then);
        }
    }

    #[tokio::test]
    async fn the_second_table() {
        let id = id();
        let (one, other) = (url(1, Some(NOW + HOUR)), url(2, None));
        let all = [
            None,
            Some(State::Attempting),
            Some(State::Doubtful),
            Some(State::Answered),
            Some(State::Delivered),
        ];
        for from in all {
            let folder = tempfile::tempdir().unwrap();
            let ledger = ledger(folder.path(), false);
            let mut entry = ledger.open(&id).await.unwrap();
            entry.record = from.map(|state| record(state, false));
            entry.before = Some(record(State::Delivered, true));
            let state = |event: &Event<'_>| entry.after(event, NOW).map(|record| record.state);
            let attempting = from == Some(State::Attempting);
            let expected = |to: State| if attempting { Some(to) } else { from };
            assert_eq!(state(&Event::Sending), Some(State::Attempting));
            assert_eq!(state(&Event::NotCharged), expected(State::Delivered));
            assert_eq!(state(&Event::Unanswered), expected(State::Doubtful));
            assert_eq!(state(&Event::Answered(&one)), expected(State::Answered));
            let delivered = match from {
                Some(State::Answered) => Some(State::Delivered),
                same => same,
            };
            assert_eq!(state(&Event::Delivered(Some(&one))), delivered);
            assert_eq!(state(&Event::Delivered(None)), delivered);
            assert_eq!(
                state(&Event::Delivered(Some(&other))),
                from,
                "of another URL"
            );
            assert_eq!(state(&Event::Over(&one)), from);
            let over = entry.after(&Event::Over(&one), NOW);
            assert_eq!(
                over.and_then(|record| record.expires()),
                entry
                    .record
                    .as_ref()
                    .and_then(|record| record.answer.as_ref())
                    .map(|_| NOW)
            );
            let same = entry.after(&Event::Over(&other), NOW);
            assert_eq!(same, entry.record, "of another URL");
        }
    }

    #[tokio::test]
    async fn a_record_is_private_and_its_url_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, id) = (ledger(folder.path(), false), id());
        let mut entry = ledger.open(&id).await.unwrap();
        entry.note(Event::Sending, NOW);
        let busy = ledger.open(&id).await.unwrap_err();
        assert_eq!(busy.code(), Code::Busy);
        entry.note(Event::Answered(&url(1, None)), NOW);
        assert!(!format!("{entry:?}").contains("s3cret"));
        drop(entry);
        let files = ledger.records.names().unwrap();
        assert_eq!(files.len(), 1);
        assert!(!files[0].contains("00f2"));
        let state = StateFolder::new(Some(folder.path().to_owned()));
        let (found, untrusted) = list(&state).await.unwrap();
        assert_eq!((found[0].id.as_str(), untrusted.len()), ("00f2", 0));
        assert_eq!(forget(&state, &id).await.unwrap(), 1);
        assert_eq!(forget(&state, &id).await.unwrap(), 0);
        assert!(ledger.look(&id).unwrap().0.is_none());
    }

    #[tokio::test]
    async fn a_record_of_another_document_refuses() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, id) = (ledger(folder.path(), true), id());
        ledger.open(&id).await.unwrap().note(Event::Sending, NOW);
        let other = DocumentId::parse("00f3", None).unwrap();
        let path = |id| {
            folder
                .path()
                .join("ledger")
                .join(name(&ledger.account, id) + ".json")
        };
        std::fs::rename(path(&id), path(&other)).unwrap();
        let error = ledger.open(&other).await.unwrap_err();
        assert_eq!(error.code(), Code::ChargeRefused);
        assert!(error.next_step().contains("docfetch ledger forget 00f3"));
    }

    /// What can happen to a document, in any order.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// A run asks, and the API does this.
        Run { api: Api, allow: bool },
        /// A run finishes with the URL that it got.
        Deliver,
        /// The storage finds the URL over.
        Over,
        /// Time passes.
        Pass(i64),
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Api {
        Answers,
        AnswersAndTheProcessDies,
        Drops,
        DropsAndTheProcessDies,
        IsNotThere,
        Refuses,
    }

    fn step() -> impl Strategy<Value = Step> {
        let api = prop_oneof![
            Just(Api::Answers),
            Just(Api::AnswersAndTheProcessDies),
            Just(Api::Drops),
            Just(Api::DropsAndTheProcessDies),
            Just(Api::IsNotThere),
            Just(Api::Refuses),
        ];
        prop_oneof![
            4 => (api, prop::bool::weighted(0.2)).prop_map(|(api, allow)| Step::Run { api, allow }),
            2 => Just(Step::Deliver),
            1 => Just(Step::Over),
            2 => (0i64..5000).prop_map(Step::Pass),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Any sequence of sending, answering, dropping, crashing, expiry and rerun: without the flag
        /// nothing is asked for that may be charged while an earlier charge is undelivered, or its
        /// URL alive.
        #[test]
        fn nothing_is_charged_twice_without_the_flag(steps in prop::collection::vec(step(), 1..24)) {
            let folder = tempfile::tempdir().unwrap();
            let id = id();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let mut now = NOW;
                // The world's own book: what the last charge may have been, and whether it is served.
                let mut charged: Option<(bool, Option<Timestamp>)> = None; // delivered, URL's end
                let mut held: Option<PresignedUrl> = None;
                let mut number = 0;
                for step in steps {
                    match step {
                        Step::Pass(seconds) => now += SignedDuration::from_secs(seconds),
                        Step::Deliver => if let Some(url) = &held {
                            let ledger = ledger(folder.path(), false);
                            ledger.delivered(&id, Some(url)).await;
                            if let Some((delivered, _)) = &mut charged { *delivered = true; }
                        },
                        Step::Over => if let Some(url) = held.take() {
                            let ledger = ledger(folder.path(), false);
                            ledger.open(&id).await.unwrap().note(Event::Over(&url), now);
                            if let Some((_, end)) = &mut charged { *end = Some(now); }
                        },
                        Step::Run { api, allow } => {
                            let ledger = ledger(folder.path(), allow);
                            let mut entry = ledger.open(&id).await.unwrap();
                            let verdict = entry.verdict(Some(now));
                            if let Verdict::Use(url) = verdict {
                                prop_assert!(!url.is_over(Some(now)));
                                held = Some(url);
                                continue;
                            }
                            if let Verdict::Refuse(_) = verdict {
                                prop_assert!(!allow && charged.is_some());
                                continue;
                            }
                            entry.note(Event::Sending, now);
                            if matches!(api, Api::IsNotThere | Api::Refuses) {
                                entry.note(Event::NotCharged, now);
                                continue;
                            }
                            // From here on it may be charged.
                            let may = match charged {
                                None => true,
                                Some((delivered, end)) => {
                                    allow || delivered && end.is_some_and(|end| now >= end)
                                }
                            };
                            prop_assert!(may, "charged twice: {charged:?}");
                            number += 1;
                            let end = now + HOUR;
                            let fresh = url(number, Some(end));
                            held = None;
                            charged = Some((false, None));
                            match api {
                                Api::Answers => {
                                    entry.note(Event::Answered(&fresh), now);
                                    charged = Some((false, Some(end)));
                                    held = Some(fresh);
                                }
                                Api::Drops => entry.note(Event::Unanswered, now),
                                // The lock goes with the process, the record stays.
                                _ => drop(entry),
                            }
                        }
                    }
                }
                Ok(())
            })?;
        }
    }
}
