//! Connectors that do something about each connection that they make: the library takes such a one as a
//! layer around its own.

use crate::active_time;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;

/// A connection that is being made.
pub(crate) type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// What is done about each connection.
pub(crate) trait ConnectHook: Clone {
    /// Leads to the connection that `connecting` makes, or to another one.
    fn connect<C, T, E>(&self, connecting: C) -> Connecting<T, E>
    where
        C: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static;
}

/// The connection as it is made.
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

/// Lays a way around a connector, whose connections are made within a time limit. (The library's own
/// limit would count the time in which the process did not run.)
#[derive(Clone, Debug)]
pub(crate) struct HookLayer<W>(pub W, pub Duration);

impl<S, W: ConnectHook> Layer<S> for HookLayer<W> {
    type Service = HookedConnector<S, W>;

    fn layer(&self, connector: S) -> HookedConnector<S, W> {
        let Self(hook, limit) = self.clone();
        HookedConnector {
            connector,
            hook,
            limit,
        }
    }
}

/// A connector whose connections go their way.
#[derive(Clone, Debug)]
pub(crate) struct HookedConnector<S, W> {
    connector: S,
    hook: W,
    limit: Duration,
}

impl<S, R, W> Service<R> for HookedConnector<S, W>
where
    S: Service<R>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
    S::Error: From<io::Error> + Send + 'static,
    W: ConnectHook,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Connecting<S::Response, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let (limit, connecting) = (self.limit, self.connector.call(request));
        self.hook.connect(async move {
            let connected = active_time::timeout(limit, pin!(connecting)).await;
            connected.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        })
    }
}
