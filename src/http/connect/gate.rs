//! The gate between a connection and the first byte of a paid request on it.
//!
//! docfetch records a paid request before any byte of the request leaves, and not earlier: a run that is
//! stopped while the connection is still being made has requested nothing. Therefore the connector of a paid
//! request waits at a [`Gate`] when the connection is ready (name resolution, proxy and TLS handshake are
//! done), and continues when the record is on disk.
//!
//! A reused connection ([`IdleConnections`](super::IdleConnections)) passes no gate. There, docfetch writes
//! the record before it hands the request to the connection.

use super::connector::{ConnectHook, Connecting};
use crate::error::{Error, Result};
use futures_util::future::LocalBoxFuture;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// What must succeed before the first byte of a request leaves.
pub(crate) trait BeforeSend {
    /// Records the request. The request leaves only after a success.
    ///
    /// # Errors
    /// Any error of the hook. Then nothing is sent.
    fn record(&mut self) -> LocalBoxFuture<'_, Result<()>>;
}

impl<F: AsyncFnMut() -> Result<()>> BeforeSend for F {
    fn record(&mut self) -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(self())
    }
}

/// Stops connections until the gate is open. Clones share one gate.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<GateState>);

#[derive(Debug)]
struct GateState {
    /// A connection is ready and waits.
    arrived: Notify,
    is_open: watch::Sender<bool>,
}

impl Gate {
    /// A closed gate.
    pub(crate) fn closed() -> Self {
        Self(Arc::new(GateState {
            arrived: Notify::new(),
            is_open: watch::Sender::new(false),
        }))
    }

    /// Lets every connection pass from now on.
    pub(crate) fn open(&self) {
        self.0.is_open.send_replace(true);
    }

    /// Runs `work`, whose connection stops at this gate. When the connection is ready, records the request
    /// and opens the gate. Work that ends without a connection is not recorded.
    ///
    /// # Errors
    /// The errors of `work`, and that of the hook, after which nothing was sent.
    pub(crate) async fn guard<T, E: From<Error>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
        before_send: &mut dyn BeforeSend,
    ) -> Result<T, E> {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = self.0.arrived.notified() => {}
        }
        before_send.record().await?;
        self.open();
        work.await
    }

    async fn pass(&self) {
        self.0.arrived.notify_one();
        let mut is_open = self.0.is_open.subscribe();
        // The channel stays open, because this gate holds its sender.
        let _ = is_open.wait_for(|open| *open).await;
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
    use crate::error::Code;
    use std::cell::Cell;
    use std::time::Duration;

    #[tokio::test]
    async fn nothing_passes_before_its_record_and_everything_after() {
        let gate = Gate::closed();
        let recorded = Cell::new(false);
        let work = async {
            gate.pass().await;
            assert!(recorded.get());
            gate.pass().await; // another connection of the same request
            Ok(7)
        };
        let alone = Gate::closed();
        let waits = tokio::time::timeout(Duration::from_millis(20), alone.pass());
        assert!(waits.await.is_err());
        let mut before_send = async || {
            tokio::task::yield_now().await;
            recorded.set(true);
            Ok(())
        };
        let done: Result<u8> = gate.guard(work, &mut before_send).await;
        assert_eq!(done.unwrap(), 7);
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
        let error: Error = gate.guard(work, &mut before_send).await.unwrap_err();
        assert_eq!(error.code(), Code::DiskFull);
        assert!(!passed.get());
    }

    #[tokio::test]
    async fn work_that_never_connects_is_not_recorded() {
        let recorded = Cell::new(false);
        let mut before_send = async || {
            recorded.set(true);
            Ok(())
        };
        let done: Result<u8> = Gate::closed()
            .guard(async { Ok(7) }, &mut before_send)
            .await;
        assert_eq!((done.unwrap(), recorded.get()), (7, false));
    }
}
