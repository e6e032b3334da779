//! A connection that is opened before the first request for it is known.
//!
//! While the API resolves a document id, docfetch can already connect to the storage that served the last
//! document. reqwest has no call for that. Instead, docfetch starts a request on a client whose connector
//! passes through a [`SpareConnection`], and drops the request once its connection attempt has started. The
//! spare keeps that first connection for the client's next request. Nothing but the TLS handshake is sent. A
//! failed attempt has no effect: the next request then makes its own connection.

use super::connector::{ConnectHook, Connecting};
use crate::mutex::locked;
use std::any::Any;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The longest time between the start of a spare connection and its use: an older one may be about to be
/// closed by the server.
const MAX_SPARE_AGE: Duration = Duration::from_secs(5);

/// Keeps the first connection of a client for the client's second connection attempt.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpareConnection(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<SpareState>,
    started: Notify,
}

/// A connection. The type that reqwest has for it is private.
type AnyConnection = Box<dyn Any + Send>;

#[derive(Debug, Default)]
enum SpareState {
    #[default]
    NotStarted,
    Started(Instant, JoinHandle<Option<AnyConnection>>),
    Taken,
}

impl SpareConnection {
    /// Waits until the first connection attempt has started.
    pub(crate) async fn started(&self) {
        self.0.started.notified().await;
    }

    /// Takes the first connection, unless it is too old.
    fn take(&self) -> Option<JoinHandle<Option<AnyConnection>>> {
        let mut state = locked(&self.0.state);
        match std::mem::replace(&mut *state, SpareState::Taken) {
            SpareState::Started(since, connecting) if since.elapsed() < MAX_SPARE_AGE => {
                Some(connecting)
            }
            _ => None,
        }
    }
}

impl ConnectHook for SpareConnection {
    fn connect<C, T, E>(&self, connecting: C) -> Connecting<T, E>
    where
        C: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let mut state = locked(&self.0.state);
        if matches!(*state, SpareState::NotStarted) {
            // A task of its own: the request that starts the connection is dropped.
            let connecting = async {
                let connected = tokio::time::timeout(MAX_SPARE_AGE, connecting).await;
                connected
                    .ok()?
                    .ok()
                    .map(|connection| Box::new(connection) as AnyConnection)
            };
            *state = SpareState::Started(Instant::now(), tokio::spawn(connecting));
            self.0.started.notify_one();
            return Box::pin(std::future::pending());
        }
        drop(state);
        let spare = self.take();
        Box::pin(async move {
            if let Some(spare) = spare
                && let Ok(Some(connection)) = spare.await
                && let Ok(connection) = connection.downcast()
            {
                return Ok(*connection);
            }
            connecting.await
        })
    }
}
