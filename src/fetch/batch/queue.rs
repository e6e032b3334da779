//! Many documents: taken up in the order of their source, as many at the same time as the batch permits
//! ([`permits`](super::permits)). The queue reads the next document only when there is a permit for it. A
//! panic ends the work on one document and never that on others, which may have been paid for.

use super::outages::Outages;
use super::permits::{BatchLimits, BatchPermit};
use super::source::{BatchItem, DistinctSource, Source};
use crate::current_document;
use crate::error::panics;
use crate::error::{Error, Result};
use crate::fetch::outcome::{Outcome, RequestedId};
use crate::interrupt::Interrupt;
use crate::model::DocumentId;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::cell::Cell;
use std::future::ready;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::time::Duration;
use tokio::sync::mpsc;

/// Documents that wait for others ([`Outages`]) fail when the source brings no document for this long.
const MAX_SOURCE_WAIT: Duration = Duration::from_secs(2);

/// How a document ended.
#[derive(Debug)]
pub(crate) struct FetchEnd {
    /// What the user or the listing names.
    pub id: RequestedId,
    /// The outcome of the document, or its failure.
    pub result: Result<Outcome>,
    /// Whether a paid request of this run left for the document and was not refused; none where the
    /// provider never charges.
    pub charged: Option<bool>,
}

impl FetchEnd {
    /// The end of a document for which docfetch sent no request. `charges` tells whether the provider may
    /// charge.
    pub(crate) fn without_request(id: RequestedId, result: Result<Outcome>, charges: bool) -> Self {
        Self {
            id,
            result,
            charged: charges.then_some(false),
        }
    }
}

/// The work on one document of a batch.
pub(crate) trait BatchTask {
    /// Does the work. The queue owns the permit of the document and keeps it until the caller of the queue
    /// has seen the end. None when the batch ended before the transfer of the document.
    fn run(self, permit: &mut BatchPermit) -> impl Future<Output = Option<FetchEnd>>;
}

/// What all documents of a batch share.
#[derive(Debug)]
pub(crate) struct Queue<'a> {
    /// How many documents are under way at the same time.
    pub limits: &'a BatchLimits,
    /// The documents that wait for others.
    pub outages: &'a Outages,
    /// Stops the reading of the source.
    pub interrupt: &'a Interrupt,
    /// Whether the provider may charge.
    pub charges: bool,
    /// Whether there may be more than one document. Then a warning names its document.
    pub has_many: bool,
}

/// How a batch ended.
#[derive(Debug)]
pub(crate) struct QueueEnd {
    /// Documents that the source read or knows, and whose transfer did not begin.
    pub not_started: u64,
    /// What ended the batch early.
    pub result: Result<()>,
}

/// The work on a document, with the permit that it runs under.
type Running<'a> = Pin<Box<dyn Future<Output = (Option<FetchEnd>, BatchPermit)> + 'a>>;

impl Queue<'_> {
    /// Works on the documents of `source`.
    ///
    /// `start` makes the task of a document; the queue calls `start` with ascending numbers. `each` sees
    /// each end and may stop the batch: then no transfer begins any more, and those under way are finished.
    /// When all documents under way wait for others and the source brings no further one, they fail.
    pub(crate) async fn run<S: Source, T: BatchTask>(
        &self,
        source: &mut DistinctSource<S>,
        start: impl Fn(u64, DocumentId, S::Detail) -> T,
        mut each: impl FnMut(FetchEnd) -> ControlFlow<()>,
    ) -> QueueEnd {
        let read = Cell::new(0);
        let mut ended = 0;
        let counted = |end| {
            ended += 1;
            each(end)
        };
        let (sender, receiver) = mpsc::channel(1);
        let reading = self.read(source, &read, start, sender);
        let result = self.work(reading, receiver, counted).await;
        QueueEnd {
            not_started: read.get() - ended + source.known_rest(),
            result,
        }
    }

    /// Reads the source, an item for each permit, and sends the work on each item.
    async fn read<'t, S: Source, T: BatchTask + 't>(
        &self,
        source: &mut DistinctSource<S>,
        read: &Cell<u64>,
        start: impl Fn(u64, DocumentId, S::Detail) -> T,
        sender: mpsc::Sender<Running<'t>>,
    ) -> Result<()> {
        loop {
            let permit = self.limits.next().await; // an item gets its permit before it is read
            let next = async { panics::guard(pin!(source.next())).await? };
            let Some(item) = self.interrupt.or_interrupted(next).await? else {
                return Ok(());
            };
            let order = read.replace(read.get() + 1);
            let work = self.work_on(item, permit, |id, detail| start(order, id, detail));
            if sender.send(work).await.is_err() {
                return Ok(());
            }
        }
    }

    /// The work on an item. A panic is the failure of its document.
    fn work_on<'t, D, T: BatchTask + 't>(
        &self,
        item: BatchItem<D>,
        mut permit: BatchPermit,
        start: impl FnOnce(DocumentId, D) -> T,
    ) -> Running<'t> {
        let (id, detail) = match item {
            BatchItem::Document(id, detail) => (id, detail),
            BatchItem::Unusable(text, error) => {
                let id = RequestedId::Unusable(text);
                let end = FetchEnd::without_request(id, Err(error), self.charges);
                return Box::pin(ready((Some(end), permit)));
            }
        };
        let requested = RequestedId::Document(id.clone());
        let named = self.has_many.then(|| id.as_str().into());
        let task = panics::catch(|| start(id, detail));
        Box::pin(async move {
            let result = match task {
                Ok(task) => {
                    let running = current_document::scope(named, task.run(&mut permit));
                    panics::guard(pin!(running)).await
                }
                Err(panic) => Err(panic.to_error()),
            };
            let failed = |error| FetchEnd {
                id: requested,
                result: Err(error),
                charged: None,
            };
            let end = result.unwrap_or_else(|error| Some(failed(error)));
            (end, permit)
        })
    }

    /// Does the work that `reading` sends, and tells `each` how each document ended.
    async fn work(
        &self,
        reading: impl Future<Output = Result<()>>,
        mut receiver: mpsc::Receiver<Running<'_>>,
        mut each: impl FnMut(FetchEnd) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut reading = pin!(reading);
        let mut running: FuturesUnordered<Running<'_>> = FuturesUnordered::new();
        let mut read: Option<Result<()>> = None;
        let mut panicked: Option<Error> = None;
        let mut is_open = true;
        while is_open || !running.is_empty() {
            let all_wait = !running.is_empty() && running.len() == self.outages.waiting();
            if all_wait && !is_open {
                self.outages.release();
            }
            tokio::select! {
                Some((end, permit)) = running.next(), if !running.is_empty() => {
                    let flow = end.map_or(Ok(ControlFlow::Continue(())), |end| {
                        panics::catch(|| each(end))
                    });
                    if !matches!(flow, Ok(ControlFlow::Continue(()))) {
                        panicked = panicked.or(flow.err().map(|panic| panic.to_error()));
                        self.limits.close();
                        is_open = false;
                    }
                    drop(permit); // the caller has seen the end
                }
                work = receiver.recv(), if is_open => match work {
                    Some(work) => running.push(work),
                    None => is_open = false,
                },
                result = &mut reading, if is_open && read.is_none() => read = Some(result),
                () = self.outages.changed() => {}
                () = tokio::time::sleep(MAX_SOURCE_WAIT), if all_wait && is_open => {
                    self.outages.release();
                }
            }
        }
        match panicked {
            Some(error) => Err(error),
            None => read.unwrap_or(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests;
