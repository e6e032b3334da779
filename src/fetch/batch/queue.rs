//! Many documents: taken up in the order of asking, so many at a time, and just in time: the next one is
//! asked for only when there is a place for it ([`crate::fetch::batch::permits`]). A panic ends the work on one document,
//! and never that on others, which may have been paid for.

use crate::error::Result;
use crate::error::panics::{self, Panic};
use crate::fetch::batch::outages::Outages;
use crate::fetch::batch::permits::{BatchLimits, BatchPermit};
use crate::fetch::outcome::Outcome;
use crate::interrupt::Interrupt;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::cell::Cell;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
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
    fn id_of(item: &Self::Item) -> &str;

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
pub struct FetchEnd {
    /// Its id, as it was asked for.
    pub id: String,
    /// How it ended.
    pub result: Result<Outcome>,
    /// Whether a paid request of this run left for it and was not refused; none where the provider never
    /// charges.
    pub charged: Option<bool>,
    /// Its place in the batch, given up with this.
    pub permit: Option<BatchPermit>,
}

impl FetchEnd {
    /// A document that ended without a request for it.
    pub fn unasked(id: String, result: Result<Outcome>, charges: bool) -> Self {
        Self {
            id,
            result,
            charged: charges.then_some(false),
            permit: None,
        }
    }
}

/// The work on one document; nothing where the batch ended before its transfer.
pub(crate) type Work<'a> = Pin<Box<dyn Future<Output = Option<FetchEnd>> + 'a>>;

/// Works on as many items of `source` as there are `limits`. `start` is called in the order of asking,
/// with the item's number and its place; what it returns is the work. Each document that ended goes to
/// `each`, which may stop the batch: then nothing new is transferred, and what is under way is finished.
/// When all that is under way waits for others ([`Outages`]), and none follows, they wait no longer.
pub(crate) async fn run<'a, S: Source>(
    source: &mut S,
    (limits, outages): (BatchLimits, &Outages),
    interrupt: &Interrupt,
    start: impl Fn(u64, S::Item, BatchPermit) -> Work<'a>,
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

async fn drive<'a, S: Source>(
    source: &mut S,
    (limits, outages): (BatchLimits, &Outages),
    interrupt: &Interrupt,
    start: impl Fn(u64, S::Item, BatchPermit) -> Work<'a>,
    read: &Cell<u64>,
    mut each: impl FnMut(FetchEnd) -> ControlFlow<()>,
) -> Result<()> {
    let (sender, mut started) = mpsc::channel(1);
    let mut asking = pin!(async {
        for order in 0.. {
            // Asking for the next one takes its place, too.
            let permit = limits.next().await;
            let next = async { panics::guard(pin!(source.next())).await? };
            let Some(item) = interrupt.or(next).await? else {
                break;
            };
            read.set(read.get() + 1);
            let id = S::id_of(&item).to_owned();
            let work = panics::catch(|| start(order, item, permit));
            if sender.send(guarded(id, work)).await.is_err() {
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
            Some(ended) = running.next(), if !running.is_empty() => {
                if let Some(ended) = ended && each(ended).is_break() {
                    limits.close();
                    open = false;
                }
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

/// Work whose panic is the failure of its document.
fn guarded(id: String, work: Result<Work<'_>, Panic>) -> Work<'_> {
    Box::pin(async move {
        let result = match work {
            Ok(work) => panics::guard(work).await,
            Err(panic) => Err(panic.to_error()),
        };
        result.unwrap_or_else(|error| {
            Some(FetchEnd {
                id,
                result: Err(error),
                charged: None,
                permit: None,
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::fetch::outcome::Outcome;

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

        fn id_of(item: &String) -> &str {
            item
        }
    }

    /// Runs a batch whose second document panics at once, and the third one after a while.
    async fn batch(panics_at: u64, each: impl FnMut(FetchEnd) -> ControlFlow<()>) -> Result<()> {
        let interrupt = Interrupt::listen().unwrap();
        let limits = BatchLimits::new(5, false);
        let mut source = Numbers { next: 0, panics_at };
        let start = |_, id: String, permit| -> Work<'_> {
            assert_ne!(id, "1", "at once");
            Box::pin(async move {
                tokio::task::yield_now().await;
                assert_ne!(id, "2", "after a while");
                tokio::task::yield_now().await;
                Some(FetchEnd {
                    id,
                    result: Ok(Outcome::default()),
                    charged: None,
                    permit: Some(permit),
                })
            })
        };
        let stages = (limits, &Outages::default());
        let ran = run(&mut source, stages, &interrupt, start, each).await;
        ran.result
    }

    #[tokio::test]
    async fn a_panic_is_the_failure_of_its_document_and_of_no_other() {
        let mut ended = Vec::new();
        let result = batch(9, |document| {
            ended.push((document.id, document.result.err().map(|error| error.code())));
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
