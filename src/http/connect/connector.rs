//! Hooks into how reqwest makes connections.
//!
//! reqwest accepts a `tower` layer around its connector. [`HookLayer`] is such a layer: it passes each
//! connection attempt through a [`ConnectHook`], and ends the attempt after a time limit. reqwest's own
//! connect timeout is not used, because that one also counts time in which this process was stopped.

use crate::active_time;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;

/// A connection attempt in progress.
pub(super) type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Changes how a client makes its connections.
pub(crate) trait ConnectHook: Clone {
    /// Returns a future of the connection that `connecting` makes, or of another connection in its place.
    fn connect<C, T, E>(&self, connecting: C) -> Connecting<T, E>
    where
        C: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static;
}

/// A hook that changes nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Direct;

impl ConnectHook for Direct {
    fn connect<C, T, E>(&self, connecting: C) -> Connecting<T, E>
    where
        C: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        Box::pin(connecting)
    }
}

/// Wraps a connector so that its connections pass through a hook.
#[derive(Clone, Debug)]
pub(crate) struct HookLayer<H> {
    /// The hook of every connection.
    pub hook: H,
    /// The longest time for name resolution, connection and TLS handshake together.
    pub connect_timeout: Duration,
}

impl<S, H: ConnectHook> Layer<S> for HookLayer<H> {
    type Service = HookedConnector<S, H>;

    fn layer(&self, connector: S) -> HookedConnector<S, H> {
        HookedConnector {
            connector,
            layer: self.clone(),
        }
    }
}

/// A connector whose connections pass through a hook.
#[derive(Clone, Debug)]
pub(crate) struct HookedConnector<S, H> {
    connector: S,
    layer: HookLayer<H>,
}

impl<S, R, H> Service<R> for HookedConnector<S, H>
where
    S: Service<R>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
    S::Error: From<io::Error> + Send + 'static,
    H: ConnectHook,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Connecting<S::Response, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let limit = self.layer.connect_timeout;
        let connecting = self.connector.call(request);
        self.layer.hook.connect(async move {
            let connected = active_time::timeout(limit, pin!(connecting)).await;
            connected.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        })
    }
}
