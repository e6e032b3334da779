use super::inspect::{RecordKind, RecordQuery};
use super::table::{RetrievalEvent, State};
use super::*;
use crate::state::folder::FolderTraits;
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
    let provider = Provider::shipped("onecodex").unwrap();
    let base = "https://api.example";
    Ledger::new(
        &provider,
        base,
        &[b"x"],
        &state,
        allow_recharge,
        Duration::ZERO,
    )
}

/// Sends a request for a document, and gets no answer.
async fn send(ledger: &Ledger, id: &DocumentId) {
    let mut entry = ledger.open(id).await.unwrap();
    entry.note(RetrievalEvent::Sending, NOW).await.unwrap();
}

#[tokio::test]
async fn a_record_is_private_and_its_url_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, id) = (ledger(folder.path(), false), id());
    let mut entry = ledger.open(&id).await.unwrap();
    entry.note(RetrievalEvent::Sending, NOW).await.unwrap();
    let busy = ledger.open(&id).await.unwrap_err();
    assert_eq!(busy.code(), Code::Busy);
    entry
        .note(RetrievalEvent::Answered((&url(1, None)).into()), NOW)
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
    assert_eq!(found[0].resource.as_deref(), Some("documents"));
    let kind = |name: &str| {
        let provider = Provider::shipped("onecodex").unwrap();
        RecordKind::of(&provider.of_kind(name).unwrap())
    };
    let mut query = RecordQuery {
        id: id.clone(),
        provider: None,
        kinds: vec![kind("samples"), kind("assets")],
        base: None,
    };
    let of_others = inspect::find(&state, &query).unwrap();
    assert!(of_others.is_empty());
    query.kinds.push(kind("documents"));
    let found = inspect::find(&state, &query).unwrap();
    assert_eq!(found.len(), 1);
    inspect::forget(&state, &found[0]).await.unwrap();
    assert!(inspect::find(&state, &query).unwrap().is_empty());
    assert!(ledger.find(&id).unwrap().record.is_none());
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
    let Verdict::RequestPermitted = entry.decide(RetrievalRequest::default()) else {
        panic!("it is permitted");
    };
    entry.note(RetrievalEvent::NotCharged, NOW).await.unwrap();
    let state = ledger.find(&id).unwrap().record.map(|record| record.state);
    assert_eq!(state, Some(State::Attempting));
}

#[tokio::test]
async fn attempts_without_their_record_count_where_locks_are_true() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [cluster, server] = folders
        .each_ref()
        .map(|folder| ledger(folder.path(), false));
    let id = id();
    let [from, to] = [&cluster, &server].map(|ledger| {
        let path = ledger.records.path(&ledger.name(&id)).unwrap();
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        path.with_extension("attempt.1")
    });
    FolderTraits::of_file(&from).unwrap().note_refused_lock();
    send(&cluster, &id).await;
    std::fs::copy(from, to).unwrap();
    let mut entry = server.open(&id).await.unwrap();
    let verdict = entry.decide(RetrievalRequest::default());
    assert!(matches!(verdict, Verdict::Refuse(State::Attempting)));
    drop(entry);
    let found = server.find(&id).unwrap().record.unwrap();
    assert_eq!((found.state, found.attempt), (State::Attempting, 1));
}

/// What can happen to a document, in any order.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A run asks, with part of the document here or not, and the API does this.
    Run {
        api: ApiBehaviour,
        has_partial: bool,
        allow: bool,
    },
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
enum ApiBehaviour {
    Answers,
    AnswersAndTheProcessDies,
    Drops,
    DropsAndTheProcessDies,
    IsNotThere,
    Refuses,
}

fn step() -> impl Strategy<Value = Step> {
    let api = prop_oneof![
        4 => Just(ApiBehaviour::Answers),
        1 => Just(ApiBehaviour::AnswersAndTheProcessDies),
        1 => Just(ApiBehaviour::Drops),
        1 => Just(ApiBehaviour::DropsAndTheProcessDies),
        1 => Just(ApiBehaviour::IsNotThere),
        1 => Just(ApiBehaviour::Refuses),
    ];
    let run = (api, any::<bool>(), prop::bool::weighted(0.2));
    prop_oneof![
        4 => run.prop_map(|(api, has_partial, allow)| Step::Run { api, has_partial, allow }),
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
                        entry.note(RetrievalEvent::Expired(url), now + skew).await.unwrap();
                        let of = charge.as_mut().filter(|charge| charge.number == *number);
                        if let Some(charge) = of { charge.end = charge.end.map(|end| end.min(now)); }
                    },
                    Step::Run { api, has_partial, allow } => {
                        let ledger = ledger(folder.path(), allow);
                        let mut entry = ledger.open(&id).await.unwrap();
                        let request = RetrievalRequest { has_partial, ..RetrievalRequest::default() };
                        let mut verdict = entry.decide(request);
                        let living = charge.is_some_and(|charge| charge.end.is_some_and(|end| now < end));
                        let free = charge.is_none_or(|charge| charge.delivered && !living && !has_partial);
                        if let Verdict::Use(url) = &verdict && !living {
                            // The storage says so, whatever the clock of this run says.
                            let url = url.clone();
                            entry.note(RetrievalEvent::Expired(&url), now + skew).await.unwrap();
                            verdict = entry.decide(request);
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
                            Verdict::Renew(..) => prop_assert!(false, "no answer brought values"),
                            Verdict::Request | Verdict::RequestAgain => prop_assert!(free, "{charge:?}"),
                            Verdict::RequestPermitted => prop_assert!(allow && !living, "{charge:?}"),
                        }
                        entry.note(RetrievalEvent::Sending, now + skew).await.unwrap();
                        if matches!(api, ApiBehaviour::IsNotThere | ApiBehaviour::Refuses) {
                            entry.note(RetrievalEvent::NotCharged, now + skew).await.unwrap();
                            continue;
                        }
                        // From here on it may be charged.
                        let number = charge.map_or(1, |charge| charge.number + 1);
                        let fresh = url(number, Some(now + skew + HOUR));
                        let end = (api == ApiBehaviour::Answers).then_some(now + HOUR);
                        charge = Some(Charge { number, delivered: false, end });
                        match api {
                            ApiBehaviour::Answers => {
                                entry.note(RetrievalEvent::Answered((&fresh).into()), now + skew).await.unwrap();
                                held.push((fresh, number));
                            }
                            ApiBehaviour::Drops => entry.note(RetrievalEvent::Unanswered, now + skew).await.unwrap(),
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
