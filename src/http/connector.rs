//! Connectors that do something about each connection that they make: the library takes such a one as a
//! layer around its own.

use std::pin::Pin;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// A connection that is being made.
pub type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// What is done about each connection.
pub trait Way: Clone {
    /// Leads to the connection that `connecting` makes, or to another one.
    fn lead<C, T, E>(&self, connecting: C) -> Connecting<T, E>
    where
        C: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static;
}

/// Lays a way around a connector.
#[derive(Clone, Debug)]
pub struct Along<W>(pub W);

impl<S, W: Way> Layer<S> for Along<W> {
    type Service = Led<S, W>;

    fn layer(&self, connector: S) -> Led<S, W> {
        let way = self.0.clone();
        Led { connector, way }
    }
}

/// A connector whose connections go their way.
#[derive(Clone, Debug)]
pub struct Led<S, W> {
    connector: S,
    way: W,
}

impl<S, R, W> Service<R> for Led<S, W>
where
    S: Service<R>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
    S::Error: Send + 'static,
    W: Way,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Connecting<S::Response, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.way.lead(self.connector.call(request))
    }
}
