use super::*;
use crate::error::Code;
use crate::fetch::batch::outages::AfterFailure;
use crate::fetch::outcome::Status;
use crate::resolve::PaidRequests;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::pending;

fn id(text: &str) -> DocumentId {
    DocumentId::parse(text, None).unwrap()
}

/// Brings these texts one after the other. `!` is no id, `error` ends the source, `panic` panics, and `never`
/// brings nothing any more.
struct Texts(VecDeque<&'static str>);

impl Source for Texts {
    type Detail = ();

    async fn next(&mut self) -> Result<Option<BatchItem<()>>> {
        tokio::task::yield_now().await;
        match self.0.pop_front() {
            None => Ok(None),
            Some("!") => {
                let error = Error::new(Code::Usage, "no id");
                Ok(Some(BatchItem::Unusable("!".into(), error)))
            }
            Some("error") => Err(Error::new(Code::Network, "the listing broke")),
            Some("panic") => panic!("the source"),
            Some("never") => pending().await,
            Some(text) => Ok(Some(BatchItem::Document(id(text), ()))),
        }
    }
}

fn end(id: DocumentId) -> FetchEnd {
    let outcome = Outcome::new("sm", id.clone(), Status::Fetched);
    FetchEnd::without_request(id.into(), Ok(outcome), false)
}

/// What happened in a batch, in its order.
#[derive(Default)]
struct Events(RefCell<Vec<String>>);

impl Events {
    fn note(&self, event: &str, id: &str) {
        self.0.borrow_mut().push(format!("{event} {id}"));
    }
}

/// A document whose id tells what it does: `panics` and `fails` do so, `waits` waits for others.
struct Document<'a> {
    id: DocumentId,
    events: &'a Events,
    outages: &'a Outages,
    paid_requests: &'a PaidRequests,
}

impl BatchTask for Document<'_> {
    async fn run(self, permit: &mut BatchPermit) -> Option<FetchEnd> {
        if !permit.admission().await {
            return None;
        }
        self.events.note("begins", self.id.as_str());
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_ne!(self.id.as_str(), "panics", "in the middle");
        if self.id.as_str().starts_with("waits") {
            let error = Error::new(Code::Network, "broken");
            let paid = self.paid_requests;
            let AfterFailure::Waits(again) = self.outages.failed("h", &self.id, &error, paid)
            else {
                panic!("the document waits");
            };
            permit.release();
            let is_told = again.await.is_ok();
            self.events
                .note(if is_told { "again" } else { "fails" }, self.id.as_str());
        }
        self.events.note("ends", self.id.as_str());
        Some(end(self.id))
    }
}

/// A batch of these texts with so many jobs. `each` sees the id of each document that ended.
async fn batch(
    texts: &[&'static str],
    jobs: usize,
    mut each: impl FnMut(&str) -> ControlFlow<()>,
) -> (QueueEnd, Vec<String>, Vec<(String, Option<Code>)>) {
    let (limits, outages) = (BatchLimits::new(jobs, false), Outages::default());
    let (events, paid_requests) = (Events::default(), PaidRequests::new(None));
    let interrupt = Interrupt::listen().unwrap();
    let queue = Queue {
        limits: &limits,
        outages: &outages,
        interrupt: &interrupt,
        charges: true,
        has_many: true,
    };
    let mut source = DistinctSource::new(Texts(texts.iter().copied().collect()), None);
    let mut ended = Vec::new();
    let start = |order: u64, id: DocumentId, ()| {
        events.note(&format!("starts {order}"), id.as_str());
        assert_ne!(id.as_str(), "cannot-start", "at once");
        Document {
            id,
            events: &events,
            outages: &outages,
            paid_requests: &paid_requests,
        }
    };
    let queue_end = queue.run(&mut source, start, |end| {
        let id = end.id.as_str().to_owned();
        let flow = each(&id);
        ended.push((id, end.result.err().map(|error| error.code())));
        flow
    });
    let queue_end = queue_end.await;
    (queue_end, events.0.into_inner(), ended)
}

fn go_on(_: &str) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn ids(ended: &[(String, Option<Code>)]) -> Vec<&str> {
    ended.iter().map(|(id, _)| id.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn documents_start_in_order_and_one_job_takes_one_at_a_time() {
    let (end, events, ended) = batch(&["a", "b", "a"], 1, go_on).await;
    end.result.unwrap();
    assert_eq!(end.not_started, 0);
    assert_eq!(ids(&ended), ["a", "b"]);
    let expected = [
        "starts 0 a",
        "begins a",
        "ends a",
        "starts 1 b",
        "begins b",
        "ends b",
    ];
    assert_eq!(events, expected);
}

#[tokio::test(start_paused = true)]
async fn several_jobs_are_under_way_at_the_same_time() {
    let (_, events, _) = batch(&["a", "b", "c"], 2, go_on).await;
    let at = |event: &str| events.iter().position(|known| known == event).unwrap();
    assert!(at("begins b") < at("ends a"), "{events:?}");
    assert!(at("begins c") > at("ends a"), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn text_that_is_no_id_is_a_failure_without_a_charge() {
    let (end, events, ended) = batch(&["!", "a"], 4, go_on).await;
    end.result.unwrap();
    assert_eq!(
        ended,
        [("!".to_owned(), Some(Code::Usage)), ("a".to_owned(), None)]
    );
    assert_eq!(events[0], "starts 1 a");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_stops_finishes_what_began_and_counts_what_did_not() {
    let stop = |_: &str| ControlFlow::Break(());
    let (end, events, ended) = batch(&["a", "b", "c", "d"], 2, stop).await;
    end.result.unwrap();
    assert_eq!(ids(&ended), ["a", "b"]);
    assert_eq!(end.not_started, 0);
    assert!(!events.contains(&"begins c".to_owned()), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_breaks_ends_nothing_that_is_under_way() {
    for (broken, code) in [("error", Code::Network), ("panic", Code::Unexpected)] {
        let (end, _, ended) = batch(&["a", "b", broken, "c"], 9, go_on).await;
        assert_eq!(end.result.unwrap_err().code(), code);
        assert_eq!(ids(&ended), ["a", "b"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_failure_of_its_document_and_of_no_other() {
    let (end, _, mut ended) = batch(&["a", "cannot-start", "panics", "z"], 9, go_on).await;
    end.result.unwrap();
    ended.sort_by(|one, other| one.0.cmp(&other.0));
    let failed = Some(Code::Unexpected);
    let expected = [
        ("a", None),
        ("cannot-start", failed),
        ("panics", failed),
        ("z", None),
    ];
    let expected = expected.map(|(id, code)| (id.to_owned(), code));
    assert_eq!(ended, expected);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_caller_ends_nothing_that_is_under_way() {
    let mut count = 0;
    let telling = |_: &str| {
        count += 1;
        assert!(count > 1, "telling");
        ControlFlow::Continue(())
    };
    let (end, _, ended) = batch(&["a", "b", "c"], 9, telling).await;
    assert_eq!(end.result.unwrap_err().code(), Code::Unexpected);
    assert_eq!(ids(&ended), ["b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn documents_that_wait_for_others_fail_when_no_other_comes() {
    let (end, events, ended) = batch(&["waits-1", "waits-2"], 1, go_on).await;
    end.result.unwrap();
    assert_eq!(ended.len(), 2);
    assert!(events.contains(&"fails waits-1".to_owned()), "{events:?}");
    assert!(events.contains(&"fails waits-2".to_owned()), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn documents_that_wait_for_others_wait_two_seconds_for_a_slow_source() {
    let started = tokio::time::Instant::now();
    let stop = |_: &str| ControlFlow::Break(());
    let (end, events, _) = batch(&["waits-1", "never"], 1, stop).await;
    end.result.unwrap();
    assert_eq!(events.last().map(String::as_str), Some("ends waits-1"));
    assert!(events.contains(&"fails waits-1".to_owned()), "{events:?}");
    assert_eq!(started.elapsed().as_secs(), MAX_SOURCE_WAIT.as_secs());
}
