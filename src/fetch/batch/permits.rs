//! How many documents are under way at the same time: one bound for preparing them, one for transferring
//! them.
//!
//! `jobs` documents are transferred at the same time, in the order of the batch. Meanwhile as many further
//! documents are prepared, so that a transfer that ends is followed by one that is ready. Preparing sends
//! only free requests, writes nothing and locks nothing; all else waits for the transfer.

use futures_util::FutureExt as _;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::task::unconstrained;

/// The two bounds of a batch.
#[derive(Debug)]
pub(crate) struct BatchLimits {
    preparations: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
    prefetches: bool,
}

/// A document's share of the bounds. A dropped permit returns what it holds.
pub(crate) struct BatchPermit {
    preparation: Option<OwnedSemaphorePermit>,
    transfer: Admission,
    transfers: Arc<Semaphore>,
    prefetches: bool,
}

type PermitFuture = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>>>>;

enum Admission {
    Waiting(PermitFuture),
    Admitted(#[expect(dead_code, reason = "the document holds it")] OwnedSemaphorePermit),
    Released,
    Closed,
}

impl BatchLimits {
    /// Permits `jobs` transfers at the same time. With `prefetches`, `jobs` further documents are prepared
    /// meanwhile.
    pub(crate) fn new(jobs: usize, prefetches: bool) -> Self {
        Self {
            preparations: Arc::new(Semaphore::new(jobs)),
            transfers: Arc::new(Semaphore::new(jobs)),
            prefetches,
        }
    }

    /// Waits until one more document may be prepared. From then on the document waits for its transfer, behind
    /// those before it.
    pub(crate) async fn next(&self) -> BatchPermit {
        let preparation = Arc::clone(&self.preparations).acquire_owned().await;
        // With a budget of the runtime, the first poll might not join the queue of the semaphore.
        let admission = unconstrained(Arc::clone(&self.transfers).acquire_owned());
        let mut permit = BatchPermit {
            preparation: preparation.ok(), // this semaphore is never closed
            transfer: Admission::Waiting(Box::pin(admission)),
            transfers: Arc::clone(&self.transfers),
            prefetches: self.prefetches,
        };
        permit.is_admitted(); // the first poll joins the queue of the semaphore
        permit
    }

    /// Begins no further transfer.
    pub(crate) fn close(&self) {
        self.transfers.close();
    }
}

impl BatchPermit {
    /// Whether the transfer may begin now.
    pub(crate) fn is_admitted(&mut self) -> bool {
        if let Admission::Waiting(admission) = &mut self.transfer
            && let Some(admitted) = admission.now_or_never()
        {
            self.transfer = Admission::from(admitted);
        }
        matches!(self.transfer, Admission::Admitted(_))
    }

    /// Waits until the transfer may begin; false when the batch begins no further transfer.
    pub(crate) async fn admission(&mut self) -> bool {
        if let Admission::Waiting(admission) = &mut self.transfer {
            self.transfer = Admission::from(admission.await);
        }
        matches!(self.transfer, Admission::Admitted(_))
    }

    /// Lets other documents be prepared and transferred until [`BatchPermit::reacquire`].
    pub(crate) fn release(&mut self) {
        self.preparation = None;
        self.transfer = Admission::Released;
    }

    /// Waits until the transfer may begin again; false when the batch begins no further transfer.
    pub(crate) async fn reacquire(&mut self) -> bool {
        self.transfer = Admission::from(Arc::clone(&self.transfers).acquire_owned().await);
        matches!(self.transfer, Admission::Admitted(_))
    }

    /// The document is prepared: with prefetching, another one may be prepared.
    pub(crate) fn finish_preparation(&mut self) {
        if self.prefetches {
            self.preparation = None;
        }
    }
}

impl From<Result<OwnedSemaphorePermit, AcquireError>> for Admission {
    fn from(admitted: Result<OwnedSemaphorePermit, AcquireError>) -> Self {
        admitted.map_or(Self::Closed, Self::Admitted)
    }
}

impl fmt::Debug for BatchPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchPermit").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn transfers_are_admitted_in_the_order_of_the_batch() {
        let limits = BatchLimits::new(2, true);
        let mut first = limits.next().await;
        let mut second = limits.next().await;
        assert!(first.is_admitted() && second.is_admitted());
        assert!(limits.next().now_or_never().is_none(), "two are prepared");
        first.finish_preparation();
        second.finish_preparation();
        let mut third = limits.next().await;
        let mut fourth = limits.next().await;
        assert!(limits.next().now_or_never().is_none(), "two are ahead");
        drop(second);
        assert!(fourth.admission().now_or_never().is_none(), "not its turn");
        assert_eq!(third.admission().now_or_never(), Some(true));
        limits.close();
        assert!(!fourth.admission().await);
        assert!(first.is_admitted() && third.is_admitted());
    }

    #[tokio::test]
    async fn without_prefetching_there_are_never_more_than_jobs() {
        let limits = BatchLimits::new(1, false);
        let mut first = limits.next().await;
        first.finish_preparation();
        assert!(limits.next().now_or_never().is_none());
        drop(first);
        assert!(limits.next().await.is_admitted());
    }
}
