//! The moment between a connection and the first byte on it.
//!
//! A request that may cost money is recorded before anything of it leaves, and not earlier: a run that
//! is stopped while a connection is still being made has asked for nothing. So the connector of such
//! a request stops at a [`Gate`] once its connection stands (name resolution, proxy and TLS handshake
//! done), and goes on when the record is made. (A connection that is used again ([`crate::http::connect::idle`]) stops
//! nowhere: there the record is made first.)

use crate::error::Result;
use crate::http::connect::connector::{ConnectHook, Connecting};
use crate::http::failure::Failure;
use futures_util::future::LocalBoxFuture;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// What must happen before the first byte of a request leaves.
pub trait BeforeSend {
    /// Makes the record of the request. The request leaves only after a success.
    fn record(&mut self) -> LocalBoxFuture<'_, Result<()>>;
}

impl<F: AsyncFnMut() -> Result<()>> BeforeSend for F {
    fn record(&mut self) -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(self())
    }
}

/// What a connector waits at.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    arrived: Notify,
    open: watch::Sender<bool>,
}

impl Gate {
    /// A closed one.
    pub(crate) fn closed() -> Self {
        Self(Arc::new(Inner {
            arrived: Notify::new(),
            open: watch::Sender::new(false),
        }))
    }

    /// Lets everything pass from now on.
    pub(crate) fn open(&self) {
        self.0.open.send_replace(true);
    }

    /// Does `work`, whose connection passes here; once that stands, waits for `before_send`, and lets
    /// it pass.
    ///
    /// # Errors
    /// Those of `work`; the hook's, after which nothing was sent.
    pub(crate) async fn guard<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
        before_send: &mut dyn BeforeSend,
    ) -> Result<T, Failure> {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = self.0.arrived.notified() => {}
        }
        before_send.record().await.map_err(Failure::unsent)?;
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

impl ConnectHook for Gate {
    fn connect<C, T, E>(&self, connecting: C) -> Connecting<T, E>
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
    use crate::error::{Code, Error};
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
            Ok(7)
        };
        let alone = Gate::closed();
        let waits = tokio::time::timeout(Duration::from_millis(20), alone.pass());
        assert!(waits.await.is_err());
        let mut before_send = async || {
            tokio::task::yield_now().await;
            told.set(true);
            Ok(())
        };
        assert_eq!(gate.guard(work, &mut before_send).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn nothing_passes_when_its_record_fails() {
        let gate = Gate::closed();
        let passed = Cell::new(false);
        let work = async {
            gate.pass().await;
            passed.set(true);
            Ok(())
        };
        let mut before_send = async || Err(Error::new(Code::DiskFull, "no room"));
        let failure = gate.guard(work, &mut before_send).await.unwrap_err();
        assert_eq!(failure.error.code(), Code::DiskFull);
        assert!(!failure.sent && !passed.get());
    }

    #[tokio::test]
    async fn work_that_never_connects_tells_nothing() {
        let told = Cell::new(false);
        let mut before_send = async || {
            told.set(true);
            Ok(())
        };
        let done = Gate::closed()
            .guard(async { Ok(7) }, &mut before_send)
            .await;
        assert_eq!((done.unwrap(), told.get()), (7, false));
    }
}
