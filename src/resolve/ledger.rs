//! The ledger of paid retrievals: all runs and processes together request a paid retrieval once.
//!
//! One record a document and account says how its retrieval stands; what a run may do then, and what
//! happens to the record, is in the two tables of [`table`]. A record is locked from its reading to
//! the answer: another process that needs the same document waits, and finds the answer. A process
//! that ends in between leaves `attempting`. A record that cannot be trusted refuses. Where no record
//! can be written, this run remembers by itself.

pub(crate) mod inspect;
pub(crate) mod table;

use crate::error::{Code, Error, Result};
use crate::fingerprint::fingerprint;
use crate::http::presigned::PresignedUrl;
use crate::model::DocumentId;
use crate::mutex::locked;
use crate::provider::{Provider, Resource};
use crate::state::blocking;
use crate::state::journal::Held;
use crate::state::records::{Durability, Fault, LEDGER, Records, StateFolder, Untrusted};
use crate::text::shell_argument;
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use table::{About, Event, Record, RetrievalRequest, State, Verdict, after, verdict};

const NONSENSE: &str = "it makes no sense";
/// How long to wait for a lock that is held for a moment only.
const MOMENT: Duration = Duration::from_secs(2);

/// The paid retrievals of one account.
#[derive(Debug)]
pub(crate) struct Ledger {
    provider: &'static str,
    resource: Resource,
    /// What stands before the ids of its kind.
    uri_prefix: Option<&'static str>,
    base: String,
    account: String,
    records: Arc<Records>,
    allow_recharge: bool,
    patience: Duration,
    /// What could not be written.
    memory: Mutex<HashMap<String, Record>>,
    /// Documents that were asked for again because the user permits it, in this run.
    recharged: Mutex<HashSet<DocumentId>>,
    /// Documents that are being asked for.
    in_flight: Mutex<HashSet<DocumentId>>,
    /// How many documents are fetched at the moment.
    under_way: AtomicUsize,
}

/// The record of one document, held by this process.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    ledger: &'a Ledger,
    id: &'a DocumentId,
    name: String,
    desk: Arc<Mutex<Desk>>,
    record: Option<Record>,
    /// What was there before it was asked for, while it is.
    before: Option<Option<Record>>,
    /// Whether `record` is more than what is on disk.
    unwritten: bool,
}

/// Where a record is written, by whichever thread.
#[derive(Debug)]
struct Desk {
    records: Arc<Records>,
    /// Without it nothing is written.
    held: Option<Held>,
}

impl Desk {
    fn write(&mut self, record: Option<&Record>) -> Option<Result<()>> {
        let held = self.held.as_mut()?;
        Some(match record {
            Some(record) => held.write(&self.records, record, durability(record)),
            None => held.clear(&self.records),
        })
    }
}

/// Whether a failure says nothing about the state folder: a later moment, or more room, mends it.
fn is_passing(error: &Error) -> bool {
    error.is_temporary_io() || error.code() == Code::DiskFull
}

/// A delivery that a power failure takes back leaves `answered`, which permits less.
fn durability(record: &Record) -> Durability {
    match record.state {
        State::Delivered => Durability::Buffered,
        _ => Durability::Synced,
    }
}

impl Ledger {
    /// The ledger of an account at a provider, whose API lives at `base`; it is told apart by
    /// `identity`.
    pub(crate) fn new(
        (provider, base): (&Provider, &str),
        identity: &[&[u8]],
        state: &StateFolder,
        allow_recharge: bool,
        patience: Duration,
    ) -> Self {
        Self {
            provider: provider.name,
            resource: provider.resource.unwrap_or_default(),
            uri_prefix: provider.id_uri_prefix,
            base: base.to_owned(),
            account: fingerprint(identity),
            records: Arc::new(state.records(LEDGER)),
            allow_recharge,
            patience,
            memory: Mutex::default(),
            recharged: Mutex::default(),
            in_flight: Mutex::default(),
            under_way: AtomicUsize::default(),
        }
    }

    /// Opens the record of a document; waits for another process that has it open.
    ///
    /// # Errors
    /// [`Code::Busy`] when another process keeps it, [`Code::LocalIo`] when that says nothing about the state
    /// folder, [`Code::ChargeRefused`] when it cannot be trusted.
    pub(crate) async fn open<'a>(&'a self, id: &'a DocumentId) -> Result<Entry<'a>> {
        self.open_within(id, self.patience).await
    }

    async fn open_within<'a>(
        &'a self,
        id: &'a DocumentId,
        patience: Duration,
    ) -> Result<Entry<'a>> {
        let name = self.name(id);
        let what = "asking for this document";
        let mut held = match self.records.hold(&name, patience, what).await {
            Err(error) if error.code() == Code::Busy => return Err(error),
            held => held,
        };
        let record = match (self.remembered(&name), &mut held) {
            (Some(record), _) => Some(record),
            (None, Ok(held)) => self.believe(id, held.read())?,
            (None, Err(error)) => match self.look(id)?.0 {
                None if is_passing(error) => return Err(error.clone()),
                record => record,
            },
        };
        let held = held
            .inspect_err(|error| self.records.cannot_keep(error))
            .ok();
        Ok(Entry {
            ledger: self,
            id,
            desk: Arc::new(Mutex::new(Desk {
                records: Arc::clone(&self.records),
                held,
            })),
            name,
            record,
            before: None,
            unwritten: false,
        })
    }

    /// The name of a document's record: it can be found by the document alone, whoever's it is.
    fn name(&self, id: &DocumentId) -> String {
        format!("{}-{}", self.account, of_document(self.resource, id))
    }

    /// How `docfetch ledger forget` is told of a document, and of nothing else: an id alone is of any
    /// kind.
    pub(crate) fn called(&self, id: &DocumentId) -> String {
        shell_argument(&match (self.resource, self.uri_prefix) {
            (Resource::Documents, _) | (_, None) => id.to_string(),
            (_, Some(prefix)) => format!("{prefix}{id}"),
        })
    }

    /// What is recorded of a document, and whether later runs know it, too.
    ///
    /// # Errors
    /// [`Code::ChargeRefused`] when it cannot be trusted.
    pub(crate) fn look(&self, id: &DocumentId) -> Result<(Option<Record>, bool)> {
        let name = self.name(id);
        if let Some(record) = self.remembered(&name) {
            return Ok((Some(record), false));
        }
        Ok((self.believe(id, self.records.read(&name))?, true))
    }

    /// What could not be written of a document.
    fn remembered(&self, name: &str) -> Option<Record> {
        locked(&self.memory).get(name).cloned()
    }

    /// What was read of a document, unless it cannot be trusted.
    fn believe(
        &self,
        id: &DocumentId,
        read: Result<Option<Record>, Untrusted>,
    ) -> Result<Option<Record>> {
        read.and_then(|record| match record {
            Some(record) if !record.makes_sense(id) => Err(Untrusted {
                path: self.records.path(&self.name(id)).unwrap_or_default(),
                why: NONSENSE.to_owned(),
                fault: Fault::Record,
            }),
            record => Ok(record),
        })
        .map_err(|untrusted| distrust(&self.called(id), &untrusted))
    }

    /// What a run would be told now; `begun` when part of the document is here already.
    ///
    /// # Errors
    /// [`Code::ChargeRefused`] when the record cannot be trusted.
    pub(crate) fn foresee(&self, id: &DocumentId, begun: bool, now: Timestamp) -> Result<Verdict> {
        let request = RetrievalRequest {
            begun,
            permitted: self.allow_recharge,
            dry_run_at: Some(now),
            ..RetrievalRequest::default()
        };
        Ok(verdict(self.look(id)?.0.as_ref(), request))
    }

    /// Whether `--allow-recharge` still permits another paid retrieval of a document in this run.
    pub(crate) fn may_recharge(&self, id: &DocumentId) -> bool {
        self.allow_recharge && !locked(&self.recharged).contains(id)
    }

    /// Notes that a document was delivered by `url`, or by the one recorded.
    pub(crate) async fn delivered(&self, id: &DocumentId, url: Option<&PresignedUrl>) {
        // A process that holds it longer than a moment requests anew: then there is another URL to deliver.
        if let Ok(mut entry) = self.open_within(id, MOMENT).await {
            let _ = entry.note(Event::Delivered(url), Timestamp::now()).await;
        }
    }

    /// Counts a document that is fetched, until what is returned is dropped.
    pub(crate) fn under_way(&self) -> UnderWay<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self)
    }

    /// Whether no more than one document is fetched at the moment.
    pub(crate) fn is_alone(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) <= 1
    }

    /// Whether this run asks for a document, or was stopped while it did.
    pub(crate) fn was_asking(&self, id: &DocumentId) -> bool {
        locked(&self.in_flight).contains(id)
    }
}

/// A document that is fetched.
#[derive(Debug)]
pub struct UnderWay<'a>(&'a Ledger);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Entry<'_> {
    /// What this run may do; whether `--allow-recharge` still counts is this ledger's to know.
    pub(crate) fn verdict(&self, request: RetrievalRequest<'_>) -> Verdict {
        let request = RetrievalRequest {
            permitted: self.ledger.may_recharge(self.id),
            ..request
        };
        let verdict = verdict(self.record.as_ref(), request);
        if matches!(verdict, Verdict::AskPermitted) {
            locked(&self.ledger.recharged).insert(self.id.clone());
        }
        verdict
    }

    /// When the retrieval was asked for.
    pub(crate) fn asked(&self) -> Option<Timestamp> {
        self.record.as_ref().map(|record| record.asked)
    }

    /// Notes what happened; it is on disk when this returns, or said that it cannot be. Where nobody
    /// waits for that any more, it is when this entry is dropped.
    ///
    /// # Errors
    /// Of a request that is about to be sent: its record could not be made, and can be made another time.
    /// The request must not leave.
    pub(crate) async fn note(&mut self, event: Event<'_>, now: Timestamp) -> Result<()> {
        let before = match event {
            Event::Sending => {
                self.before.get_or_insert_with(|| self.record.clone());
                None
            }
            Event::NotCharged | Event::Unanswered | Event::Answered(_) => {
                let Some(before) = self.before.take() else {
                    return Ok(()); // nothing was sent: what is recorded is of an earlier run
                };
                before
            }
            Event::Delivered(_) | Event::Expired(_) => None,
        };
        let about = About {
            provider: self.ledger.provider,
            base: &self.ledger.base,
            id: self.id,
        };
        let after = after(about, self.record.clone(), before, event, now);
        if after != self.record {
            self.record = after;
            self.unwritten = true;
            // The connection to the storage is made meanwhile.
            let written = self.write(matches!(event, Event::Answered(_))).await;
            if let (Event::Sending, Some(Err(error))) = (event, &written)
                && is_passing(error)
            {
                let error = error.clone();
                let desk = Arc::clone(&self.desk);
                // A journal that could not be written says what it said before.
                let _ = self.take_back(&mut locked(&desk));
                return Err(error);
            }
            self.wrote(written);
        }
        // Until its record is made, nothing of the request has left.
        match event {
            Event::Sending => locked(&self.ledger.in_flight).insert(self.id.clone()),
            _ => locked(&self.ledger.in_flight).remove(self.id),
        };
        Ok(())
    }

    /// Restores what was there before the request that did not leave.
    fn take_back(&mut self, desk: &mut Desk) -> Option<Result<()>> {
        if let Some(before) = self.before.take() {
            self.record = before;
        }
        locked(&self.ledger.in_flight).remove(self.id);
        self.unwritten = false;
        desk.write(self.record.as_ref())
    }

    /// In a thread where something else goes on meanwhile, or where several documents are under way: the
    /// disk syncs of all go on together then.
    async fn write(&self, beside: bool) -> Option<Result<()>> {
        let durable = self.record.as_ref().map(durability) != Some(Durability::Buffered);
        let waits = durable && !self.ledger.records.is_in_memory();
        if waits && (beside || !self.ledger.is_alone()) {
            let (desk, record) = (Arc::clone(&self.desk), self.record.clone());
            let writing = move || locked(&desk).write(record.as_ref());
            return blocking::run(writing).await;
        }
        locked(&self.desk).write(self.record.as_ref())
    }

    fn wrote(&mut self, written: Option<Result<()>>) {
        self.unwritten = false;
        let records = &self.ledger.records;
        let mut memory = locked(&self.ledger.memory);
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

impl Drop for Entry<'_> {
    /// A run that is stopped while something is written leaves the truth behind: a request whose record
    /// was not made yet has not left, and what an answer brought is written to the end.
    fn drop(&mut self) {
        let desk = Arc::clone(&self.desk);
        let mut desk = locked(&desk); // after a write that is under way
        if self.unwritten {
            let written = self.take_back(&mut desk);
            self.wrote(written);
        }
        desk.held = None; // and before one that has not begun
    }
}

/// A document has had its name since before there were other kinds.
fn of_document(resource: Resource, id: &DocumentId) -> String {
    let id = id.as_str().as_bytes();
    match resource {
        Resource::Documents => fingerprint(&[id]),
        other => fingerprint(&[other.name().as_bytes(), id]),
    }
}

fn distrust(id: &str, untrusted: &Untrusted) -> Error {
    let what = format!("cannot tell whether a retrieval of {id} was paid for already");
    let path = untrusted.path.display();
    let why = format!("its record {path} cannot be trusted: {}", untrusted.why);
    let forget = format!("look at the bill; then `docfetch ledger forget {id}`");
    let hint = match untrusted.fault {
        Fault::Folder => "mend that folder, or name another one with DOCFETCH_STATE_DIR".to_owned(),
        Fault::Open => format!("if you trust it, `chmod 600` it; else {forget}"),
        Fault::Record => forget,
    };
    Error::new(Code::ChargeRefused, what)
        .with_cause(why)
        .with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use proptest::prelude::*;
    use url::Url;

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
        let provider = crate::provider::one_codex(Resource::Documents);
        let about = (&provider, "https://api.example");
        Ledger::new(about, &[b"x"], &state, allow_recharge, Duration::ZERO)
    }

    /// A document is asked for, and nobody knows what became of it.
    async fn send(ledger: &Ledger, id: &DocumentId) {
        let mut entry = ledger.open(id).await.unwrap();
        entry.note(Event::Sending, NOW).await.unwrap();
    }

    #[tokio::test]
    async fn a_record_is_private_and_its_url_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, id) = (ledger(folder.path(), false), id());
        let mut entry = ledger.open(&id).await.unwrap();
        entry.note(Event::Sending, NOW).await.unwrap();
        let busy = ledger.open(&id).await.unwrap_err();
        assert_eq!(busy.code(), Code::Busy);
        entry
            .note(Event::Answered(&url(1, None)), NOW)
            .await
            .unwrap();
        assert!(!format!("{entry:?}").contains("s3cret"));
        drop(entry);
        let files = ledger.records.names().unwrap();
        assert_eq!(files.len(), 1);
        assert!(!files[0].contains("00f2"));
        let state = StateFolder::new(Some(folder.path().to_owned()));
        let (found, untrusted) = inspect::list(&state).await.unwrap();
        assert_eq!((found[0].record.id.as_str(), untrusted.len()), ("00f2", 0));
        assert_eq!(found[0].resource, Some(Resource::Documents));
        let mut wanted = inspect::Wanted {
            id: id.clone(),
            provider: None,
            resources: vec![Resource::Samples, Resource::Assets],
            base: None,
        };
        let of_others = inspect::find(&state, &wanted).unwrap();
        assert!(of_others.is_empty());
        wanted.resources.push(Resource::Documents);
        let found = inspect::find(&state, &wanted).unwrap();
        assert_eq!(found.len(), 1);
        inspect::forget(&state, &found[0]).await.unwrap();
        assert!(inspect::find(&state, &wanted).unwrap().is_empty());
        assert!(ledger.look(&id).unwrap().0.is_none());
    }

    #[tokio::test]
    async fn a_record_of_another_document_refuses() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, id) = (ledger(folder.path(), true), id());
        send(&ledger, &id).await;
        let other = DocumentId::parse("00f3", None).unwrap();
        let path = |id| folder.path().join("ledger").join(ledger.name(id) + ".json");
        std::fs::rename(path(&id), path(&other)).unwrap();
        let error = ledger.open(&other).await.unwrap_err();
        assert_eq!(error.code(), Code::ChargeRefused);
        assert!(error.hint().contains("docfetch ledger forget 00f3"));
    }

    #[tokio::test]
    async fn what_was_never_sent_changes_nothing_of_an_older_doubt() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, id) = (ledger(folder.path(), true), id());
        send(&ledger, &id).await;
        let mut entry = ledger.open(&id).await.unwrap();
        let Verdict::AskPermitted = entry.verdict(RetrievalRequest::default()) else {
            panic!("it is permitted");
        };
        entry.note(Event::NotCharged, NOW).await.unwrap();
        let state = ledger.look(&id).unwrap().0.map(|record| record.state);
        assert_eq!(state, Some(State::Attempting));
    }

    /// What can happen to a document, in any order.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// A run asks, with part of the document here or not, and the API does this.
        Run { api: Api, begun: bool, allow: bool },
        /// One of the runs that have a URL delivers the document.
        Deliver(usize),
        /// The storage tells one of them that the URL expired.
        Expire(usize),
        /// Time passes.
        Pass(i64),
        /// From now on the clock that runs go by is so far off.
        Skew(i64),
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
            4 => Just(Api::Answers),
            1 => Just(Api::AnswersAndTheProcessDies),
            1 => Just(Api::Drops),
            1 => Just(Api::DropsAndTheProcessDies),
            1 => Just(Api::IsNotThere),
            1 => Just(Api::Refuses),
        ];
        let run = (api, any::<bool>(), prop::bool::weighted(0.2));
        prop_oneof![
            4 => run.prop_map(|(api, begun, allow)| Step::Run { api, begun, allow }),
            2 => (0usize..4).prop_map(Step::Deliver),
            1 => (0usize..4).prop_map(Step::Expire),
            2 => (0i64..5000).prop_map(Step::Pass),
            1 => (-200_000i64..200_000).prop_map(Step::Skew),
        ]
    }

    /// The world's own book of the last retrieval that may have been charged.
    #[derive(Clone, Copy, Debug)]
    struct Charge {
        number: u32,
        delivered: bool,
        /// When its URL ends, if one came that anybody has.
        end: Option<Timestamp>,
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        /// Any sequence of sending, answering, dropping, crashing, expiry, delivery and rerun, by any
        /// number of processes, whatever their clocks say: without the flag no request leaves that may be
        /// charged while an earlier charge is undelivered, its URL alive, or a part of the document here;
        /// and nothing else is refused.
        #[test]
        fn nothing_is_charged_twice_without_the_flag(steps in prop::collection::vec(step(), 1..32)) {
            let folder = tempfile::tempdir().unwrap();
            let id = id();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let mut now = NOW;
                let mut charge: Option<Charge> = None;
                let mut held: Vec<(PresignedUrl, u32)> = Vec::new();
                let mut skew = SignedDuration::ZERO;
                for step in steps {
                    match step {
                        Step::Skew(seconds) => skew = SignedDuration::from_secs(seconds),
                        Step::Pass(seconds) => now += SignedDuration::from_secs(seconds),
                        Step::Deliver(which) => if let Some((url, number)) = held.get(which) {
                            ledger(folder.path(), false).delivered(&id, Some(url)).await;
                            let of = charge.as_mut().filter(|charge| charge.number == *number);
                            if let Some(charge) = of { charge.delivered = true; }
                        },
                        Step::Expire(which) => if let Some((url, number)) = held.get(which) {
                            let ledger = ledger(folder.path(), false);
                            let mut entry = ledger.open(&id).await.unwrap();
                            entry.note(Event::Expired(url), now + skew).await.unwrap();
                            let of = charge.as_mut().filter(|charge| charge.number == *number);
                            if let Some(charge) = of { charge.end = charge.end.map(|end| end.min(now)); }
                        },
                        Step::Run { api, begun, allow } => {
                            let ledger = ledger(folder.path(), allow);
                            let mut entry = ledger.open(&id).await.unwrap();
                            let request = RetrievalRequest { begun, ..RetrievalRequest::default() };
                            let mut verdict = entry.verdict(request);
                            let living = charge.is_some_and(|charge| charge.end.is_some_and(|end| now < end));
                            let free = charge.is_none_or(|charge| charge.delivered && !living && !begun);
                            if let Verdict::Use(url) = &verdict && !living {
                                // The storage says so, whatever the clock of this run says.
                                let url = url.clone();
                                entry.note(Event::Expired(&url), now + skew).await.unwrap();
                                verdict = entry.verdict(request);
                            }
                            match verdict {
                                Verdict::Use(url) => {
                                    prop_assert!(living, "{charge:?}");
                                    held.push((url, charge.unwrap().number));
                                    continue;
                                }
                                Verdict::Refuse(_) => {
                                    prop_assert!(!allow && !living && !free, "refused: {charge:?}");
                                    continue;
                                }
                                Verdict::Ask | Verdict::AskAnew => prop_assert!(free, "{charge:?}"),
                                Verdict::AskPermitted => prop_assert!(allow && !living, "{charge:?}"),
                            }
                            entry.note(Event::Sending, now + skew).await.unwrap();
                            if matches!(api, Api::IsNotThere | Api::Refuses) {
                                entry.note(Event::NotCharged, now + skew).await.unwrap();
                                continue;
                            }
                            // From here on it may be charged.
                            let number = charge.map_or(1, |charge| charge.number + 1);
                            let fresh = url(number, Some(now + skew + HOUR));
                            let end = (api == Api::Answers).then_some(now + HOUR);
                            charge = Some(Charge { number, delivered: false, end });
                            match api {
                                Api::Answers => {
                                    entry.note(Event::Answered(&fresh), now + skew).await.unwrap();
                                    held.push((fresh, number));
                                }
                                Api::Drops => entry.note(Event::Unanswered, now + skew).await.unwrap(),
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
