//! The stages of a batch, each with its own bound: documents are asked for, and then transferred.
//!
//! `jobs` documents are transferred at the same time, in the order of asking. Meanwhile as many are
//! asked for ahead, so that a transfer that ends is followed by one that need not ask any more. Only what
//! is free is asked for ahead, and nothing is written or locked: all else waits for its turn.

use futures_util::FutureExt as _;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::task::unconstrained;

/// The places of a batch.
#[derive(Debug)]
pub struct BatchLimits {
    asking: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
    ahead: bool,
}

/// The place of one document; given up when it is dropped.
pub struct BatchPermit {
    asking: Option<OwnedSemaphorePermit>,
    transfer: Transfer,
    transfers: Arc<Semaphore>,
    ahead: bool,
}

type Admission = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>>>>;

enum Transfer {
    InLine(Admission),
    Admitted(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit),
    GivenUp,
    Closed,
}

impl BatchLimits {
    /// For `jobs` transfers at the same time; where nothing is asked for `ahead`, for `jobs` documents.
    pub fn new(jobs: usize, ahead: bool) -> Self {
        Self {
            asking: Arc::new(Semaphore::new(jobs)),
            transfers: Arc::new(Semaphore::new(jobs)),
            ahead,
        }
    }

    /// Waits until one more document may be asked for, and puts it in line for its transfer.
    pub async fn next(&self) -> BatchPermit {
        let asking = Arc::clone(&self.asking).acquire_owned().await;
        // One that a scheduler may put off would not be in line after its first look.
        let admission = unconstrained(Arc::clone(&self.transfers).acquire_owned());
        let mut permit = BatchPermit {
            asking: asking.ok(), // it is never closed
            transfer: Transfer::InLine(Box::pin(admission)),
            transfers: Arc::clone(&self.transfers),
            ahead: self.ahead,
        };
        permit.is_admitted(); // from its first look on it has its place in the line
        permit
    }

    /// Admits no more transfers.
    pub fn close(&self) {
        self.transfers.close();
    }
}

impl BatchPermit {
    /// Whether the transfer may begin at once.
    pub fn is_admitted(&mut self) -> bool {
        if let Transfer::InLine(admission) = &mut self.transfer
            && let Some(admitted) = admission.now_or_never()
        {
            self.transfer = Transfer::from(admitted);
        }
        matches!(self.transfer, Transfer::Admitted(_))
    }

    /// Waits until the transfer may begin; false when the batch takes up no more.
    pub async fn admission(&mut self) -> bool {
        if let Transfer::InLine(admission) = &mut self.transfer {
            self.transfer = Transfer::from(admission.await);
        }
        matches!(self.transfer, Transfer::Admitted(_))
    }

    /// Lets another document have this place until [`BatchPermit::take_again`].
    pub fn give_up(&mut self) {
        self.asking = None;
        self.transfer = Transfer::GivenUp;
    }

    /// Waits for a place like the one that was given up; false when the batch takes up no more.
    pub async fn take_again(&mut self) -> bool {
        self.transfer = Transfer::from(Arc::clone(&self.transfers).acquire_owned().await);
        matches!(self.transfer, Transfer::Admitted(_))
    }

    /// Nothing more is asked for ahead: the next one may be.
    pub fn asked(&mut self) {
        if self.ahead {
            self.asking = None;
        }
    }
}

impl From<Result<OwnedSemaphorePermit, AcquireError>> for Transfer {
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
    async fn transfers_are_admitted_in_the_order_of_asking() {
        let limits = BatchLimits::new(2, true);
        let mut first = limits.next().await;
        let mut second = limits.next().await;
        assert!(first.is_admitted() && second.is_admitted());
        assert!(limits.next().now_or_never().is_none(), "two are asked for");
        first.asked();
        second.asked();
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
    async fn without_asking_ahead_there_are_never_more_than_so_many() {
        let limits = BatchLimits::new(1, false);
        let mut first = limits.next().await;
        first.asked();
        assert!(limits.next().now_or_never().is_none());
        drop(first);
        assert!(limits.next().await.is_admitted());
    }
}
