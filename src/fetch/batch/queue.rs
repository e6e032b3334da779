//! Many documents: taken up in the order of asking, so many at a time, and just in time: the next one is
//! asked for only when there is a place for it ([`crate::fetch::batch::permits`]). A panic ends the work on one document,
//! and never that on others, which may have been paid for.

use crate::error::Result;
use crate::error::panics::{self, Panic};
use crate::fetch::batch::outages::Outages;
use crate::fetch::batch::permits::{BatchLimits, BatchPermit};
use crate::fetch::outcome::{Outcome, RequestedId};
use crate::interrupt::Interrupt;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::cell::Cell;
use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;

/// Documents that wait for others do not wait longer for a source that brings none.
const SLOW_SOURCE: Duration = Duration::from_secs(2);

/// Where the documents of a batch come from.
pub(crate) trait Source {
    /// What is asked for.
    type Item;

    /// The next one, none after the last.
    ///
    /// # Errors
    /// What ends the batch: a file that cannot be read, a listing that fails.
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Item>>>;

    /// The id of an item, as it can be shown.
    fn id_of(item: &Self::Item) -> RequestedId;

    /// How many more are known without reading on.
    fn known_rest(&self) -> u64 {
        0
    }
}

/// How a batch ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Items that were read, or known, and not taken up.
    pub not_started: u64,
    /// What ended the source.
    pub result: Result<()>,
}

/// A document that ended.
#[derive(Debug)]
pub(crate) struct FetchEnd {
    /// What the user or the listing names.
    pub id: RequestedId,
    /// How it ended.
    pub result: Result<Outcome>,
    /// Whether a paid request of this run left for it and was not refused; none where the provider never
    /// charges.
    pub charged: Option<bool>,
}

impl FetchEnd {
    /// A document that ended without a request for it.
    pub(crate) fn unasked(id: RequestedId, result: Result<Outcome>, charges: bool) -> Self {
        Self {
            id,
            result,
            charged: charges.then_some(false),
        }
    }
}

/// The work on one item of a batch.
pub(crate) trait BatchTask {
    /// Does the work. The queue owns the permit of the item, and keeps the permit until the result was
    /// handed on. None when the batch ended before the transfer of the document.
    fn run(self, permit: &mut BatchPermit) -> impl Future<Output = Option<FetchEnd>>;
}

/// Works on the items of `source`, as many at a time as the `limits` allow. `start` makes the task of an
/// item; the queue calls `start` in ascending order. Each document that ended goes to
/// `each`, which may stop the batch: then nothing new is transferred, and what is under way is finished.
/// When all that is under way waits for others ([`Outages`]), and none follows, they wait no longer.
pub(crate) async fn run<S: Source, T: BatchTask>(
    source: &mut S,
    (limits, outages): (&BatchLimits, &Outages),
    interrupt: &Interrupt,
    start: impl Fn(u64, S::Item) -> T,
    mut each: impl FnMut(FetchEnd) -> ControlFlow<()>,
) -> Ran {
    let (read, mut told) = (Cell::new(0u64), 0);
    let result = drive(
        source,
        (limits, outages),
        interrupt,
        start,
        &read,
        |ended| {
            told += 1;
            each(ended)
        },
    );
    let result = result.await;
    Ran {
        not_started: read.get() - told + source.known_rest(),
        result,
    }
}

async fn drive<S: Source, T: BatchTask>(
    source: &mut S,
    (limits, outages): (&BatchLimits, &Outages),
    interrupt: &Interrupt,
    start: impl Fn(u64, S::Item) -> T,
    read: &Cell<u64>,
    mut each: impl FnMut(FetchEnd) -> ControlFlow<()>,
) -> Result<()> {
    let (sender, mut started) = mpsc::channel(1);
    let mut asking = pin!(async {
        for order in 0.. {
            // Asking for the next one takes its place, too.
            let permit = limits.next().await;
            let next = async { panics::guard(pin!(source.next())).await? };
            let Some(item) = interrupt.or_interrupted(next).await? else {
                break;
            };
            read.set(read.get() + 1);
            let id = S::id_of(&item);
            let task = panics::catch(|| start(order, item));
            let work = Box::pin(guarded(id, task, permit));
            if sender.send(work).await.is_err() {
                break;
            }
        }
        drop(sender);
        Ok(())
    });
    let mut running = FuturesUnordered::new();
    let (mut asked, mut broken) = (None, None);
    let mut open = true;
    let mut each = |ended| match panics::catch(|| each(ended)) {
        Ok(flow) => flow,
        Err(panic) => {
            broken.get_or_insert(panic.to_error());
            ControlFlow::Break(())
        }
    };
    while open || !running.is_empty() {
        let all_wait = !running.is_empty() && running.len() == outages.waiting();
        if all_wait && !open {
            outages.release();
        }
        tokio::select! {
            Some((ended, permit)) = running.next(), if !running.is_empty() => {
                if let Some(ended) = ended && each(ended).is_break() {
                    limits.close();
                    open = false;
                }
                drop(permit);
            }
            work = started.recv(), if open => match work {
                Some(work) => running.push(work),
                None => open = false,
            },
            result = &mut asking, if open && asked.is_none() => asked = Some(result),
            () = outages.changed() => {}
            () = tokio::time::sleep(SLOW_SOURCE), if all_wait && open => outages.release(),
        }
    }
    match broken {
        Some(error) => Err(error),
        None => asked.unwrap_or(Ok(())),
    }
}

/// Runs the task of the item `id`. A panic of the task is the failure of the item.
async fn guarded<T: BatchTask>(
    id: RequestedId,
    task: Result<T, Panic>,
    mut permit: BatchPermit,
) -> (Option<FetchEnd>, BatchPermit) {
    let result = match task {
        Ok(task) => panics::guard(pin!(task.run(&mut permit))).await,
        Err(panic) => Err(panic.to_error()),
    };
    let ended = result.unwrap_or_else(|error| {
        Some(FetchEnd {
            id,
            result: Err(error),
            charged: None,
        })
    });
    (ended, permit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::fetch::outcome::Status;
    use crate::model::DocumentId;

    /// Numbers from 0 on; the last one is never read.
    struct Numbers {
        next: u64,
        panics_at: u64,
    }

    impl Source for Numbers {
        type Item = String;

        async fn next(&mut self) -> Result<Option<String>> {
            let number = self.next;
            assert!(number < self.panics_at, "the source");
            self.next += 1;
            Ok((number < 5).then(|| number.to_string()))
        }

        fn id_of(item: &String) -> RequestedId {
            DocumentId::parse(item, None).unwrap().into()
        }
    }

    struct Number(String);

    impl BatchTask for Number {
        async fn run(self, _: &mut BatchPermit) -> Option<FetchEnd> {
            tokio::task::yield_now().await;
            assert_ne!(self.0, "2", "after a while");
            tokio::task::yield_now().await;
            let id = DocumentId::parse(&self.0, None).unwrap();
            let outcome = Outcome::new("sm", id.clone(), Status::Fetched);
            Some(FetchEnd::unasked(id.into(), Ok(outcome), false))
        }
    }

    /// Runs a batch whose second document panics at once, and the third one after a while.
    async fn batch(panics_at: u64, each: impl FnMut(FetchEnd) -> ControlFlow<()>) -> Result<()> {
        let interrupt = Interrupt::listen().unwrap();
        let limits = BatchLimits::new(5, false);
        let mut source = Numbers { next: 0, panics_at };
        let start = |_, id: String| {
            assert_ne!(id, "1", "at once");
            Number(id)
        };
        let stages = (&limits, &Outages::default());
        let ran = run(&mut source, stages, &interrupt, start, each).await;
        ran.result
    }

    #[tokio::test]
    async fn a_panic_is_the_failure_of_its_document_and_of_no_other() {
        let mut ended = Vec::new();
        let result = batch(9, |document| {
            let code = document.result.err().map(|error| error.code());
            ended.push((document.id.as_str().to_owned(), code));
            ControlFlow::Continue(())
        });
        result.await.unwrap();
        ended.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let failed = Some(Code::Unexpected);
        let expected = [None, failed, failed, None, None];
        let expected = expected.into_iter().enumerate();
        let expected: Vec<_> = expected.map(|(id, code)| (id.to_string(), code)).collect();
        assert_eq!(ended, expected);
    }

    #[tokio::test]
    async fn a_source_that_panics_ends_nothing_that_is_under_way() {
        let mut count = 0;
        let result = batch(4, |_| {
            count += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(result.await.unwrap_err().code(), Code::Unexpected);
        assert_eq!(count, 4);
    }

    #[tokio::test]
    async fn a_panic_while_a_result_is_told_ends_nothing_that_is_under_way() {
        let mut count = 0;
        let result = batch(9, |_| {
            count += 1;
            assert!(count > 1, "telling");
            ControlFlow::Continue(())
        });
        assert_eq!(result.await.unwrap_err().code(), Code::Unexpected);
        assert!(count > 1);
    }
}
