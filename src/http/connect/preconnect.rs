//! A connection that is opened before anybody knows what to ask for on it.
//!
//! While an API is still being asked, the connection to the storage of last time can be made already.
//! The library has no call for that, so a request that is never sent starts it: the connector of the
//! client passes through a [`Spare`], which keeps the first connection for whoever connects next.
//! Nothing is sent on it but the TLS handshake, and where it fails nobody is told: then the
//! connection is made when it is needed, as ever.

use crate::http::connect::connector::{ConnectHook, Connecting};
use crate::mutex::locked;
use std::any::Any;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A spare connection is not used when it is older: the server may be about to close it.
const YOUNG: Duration = Duration::from_secs(5);

/// Keeps the first connection of a client for the second who asks for one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spare(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    kept: Mutex<Kept>,
    started: Notify,
}

/// A connection, once it stands; the library's type for it has no name.
type Connection = Box<dyn Any + Send>;

#[derive(Debug, Default)]
enum Kept {
    #[default]
    NotStarted,
    Started(Instant, JoinHandle<Option<Connection>>),
    Taken,
}

impl Spare {
    /// Waits until the first connection is being made.
    pub(crate) async fn started(&self) {
        self.0.started.notified().await;
    }

    /// Takes what is kept, unless it is too old.
    fn take(&self) -> Option<JoinHandle<Option<Connection>>> {
        let mut kept = locked(&self.0.kept);
        match std::mem::replace(&mut *kept, Kept::Taken) {
            Kept::Started(since, connecting) if since.elapsed() < YOUNG => Some(connecting),
            _ => None,
        }
    }
}

impl ConnectHook for Spare {
    fn connect<C, T, E>(&self, connecting: C) -> Connecting<T, E>
    where
        C: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let mut kept = locked(&self.0.kept);
        if matches!(*kept, Kept::NotStarted) {
            // Whoever asked goes away; the connection stays.
            let making = async {
                let made = tokio::time::timeout(YOUNG, connecting).await;
                made.ok()?.ok().map(|made| Box::new(made) as Connection)
            };
            *kept = Kept::Started(Instant::now(), tokio::spawn(making));
            self.0.started.notify_one();
            return Box::pin(std::future::pending());
        }
        drop(kept);
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
