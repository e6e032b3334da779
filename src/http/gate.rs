//! The moment between a connection and the first byte on it.
//!
//! A request that may cost money is recorded before anything of it leaves, and not earlier: whoever
//! is stopped while a connection is still being made has asked for nothing. So the connector of such
//! a request stops at a [`Gate`] once its connection stands (name resolution, proxy and TLS handshake
//! done), and goes on when the record is made. (A connection that is used again ([`super::lines`]) stops
//! nowhere: there the record is made first.)

use super::connector::{Connecting, Way};
use futures_util::future::LocalBoxFuture;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// Makes the record of a request that is about to leave.
pub trait Leaving {
    /// Done when the record is made.
    fn record(&self) -> LocalBoxFuture<'_, ()>;
}

impl<F: AsyncFn()> Leaving for F {
    fn record(&self) -> LocalBoxFuture<'_, ()> {
        Box::pin(self())
    }
}

/// Of a request that needs none.
pub async fn unrecorded() {}

/// What a connector waits at.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    arrived: Notify,
    open: watch::Sender<bool>,
}

impl Gate {
    /// A closed one.
    pub fn closed() -> Self {
        Self(Arc::new(Inner {
            arrived: Notify::new(),
            open: watch::Sender::new(false),
        }))
    }

    /// Lets everything pass from now on.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Does `work`, whose connection passes here; once that stands, waits for `leaving`, and lets it
    /// pass.
    pub async fn guard<T>(&self, work: impl Future<Output = T>, leaving: &dyn Leaving) -> T {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = self.0.arrived.notified() => {}
        }
        leaving.record().await;
        self.open();
        work.await
    }

    async fn pass(&self) {
        self.0.arrived.notify_one();
        let mut open = self.0.open.subscribe();
        // It cannot be closed: this gate holds its other end.
        let _ = open.wait_for(|open| *open).await;
    }
}

impl Way for Gate {
    fn lead<C, T, E>(&self, connecting: C) -> Connecting<T, E>
    where
        C: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let gate = self.clone();
        Box::pin(async move {
            let connection = connecting.await?;
            gate.pass().await;
            Ok(connection)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::time::Duration;

    #[tokio::test]
    async fn nothing_passes_before_it_is_told_and_everything_after() {
        let gate = Gate::closed();
        let told = Cell::new(false);
        let work = async {
            gate.pass().await;
            assert!(told.get());
            gate.pass().await; // another connection of the same request
            7
        };
        let alone = Gate::closed();
        let waits = tokio::time::timeout(Duration::from_millis(20), alone.pass());
        assert!(waits.await.is_err());
        let leaving = async || {
            tokio::task::yield_now().await;
            told.set(true);
        };
        assert_eq!(gate.guard(work, &leaving).await, 7);
    }

    #[tokio::test]
    async fn work_that_never_connects_tells_nothing() {
        let told = Cell::new(false);
        let leaving = async || told.set(true);
        let done = Gate::closed().guard(async { 7 }, &leaving).await;
        assert_eq!((done, told.get()), (7, false));
    }
}
