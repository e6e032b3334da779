//! Idle connections that may carry another paid request.
//!
//! A paid request must not go out on a dead connection: docfetch could not tell whether the request arrived.
//! Therefore each paid request has a connection for itself: a new one, or one whose last answer was read
//! whole less than [`MAX_IDLE_TIME`] ago. Servers keep idle connections open for some seconds, so that such
//! a connection is as safe as a new one, and saves the handshake. A request that fails on it unanswered is
//! in doubt, as on any other connection.
//!
//! Some servers and load balancers close idle connections at once, without notice or with a 408. After the first
//! request that a reused connection left unanswered or answered so, this process uses only new connections.

use crate::mutex::locked;
use reqwest::Client;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The longest time that a connection may have been idle when it is reused.
const MAX_IDLE_TIME: Duration = Duration::from_secs(1);

/// The idle connections of one API; the most recently used is last. `None` after
/// [`IdleConnections::disable`].
#[derive(Debug)]
pub(crate) struct IdleConnections(Mutex<Option<Vec<IdleConnection>>>);

impl Default for IdleConnections {
    fn default() -> Self {
        Self(Mutex::new(Some(Vec::new())))
    }
}

/// A client with one idle connection.
#[derive(Debug)]
pub(crate) struct IdleConnection {
    /// The client. Its gate is open.
    pub client: Client,
    idle_since: Instant,
}

impl IdleConnection {
    /// Whether the connection was used less than [`MAX_IDLE_TIME`] ago.
    pub(crate) fn is_fresh(&self) -> bool {
        self.idle_since.elapsed() < MAX_IDLE_TIME
    }
}

impl IdleConnections {
    /// Takes the most recently used connection, when it is fresh. All others are older.
    pub(crate) fn take(&self) -> Option<IdleConnection> {
        let mut idle = locked(&self.0);
        let idle = idle.as_mut()?;
        let connection = idle.pop().filter(IdleConnection::is_fresh);
        if connection.is_none() {
            idle.clear();
        }
        connection
    }

    /// Keeps the connection of `client`, whose last answer was read whole just now.
    pub(crate) fn give_back(&self, client: Client) {
        if let Some(idle) = locked(&self.0).as_mut() {
            idle.push(IdleConnection {
                client,
                idle_since: Instant::now(),
            });
        }
    }

    /// Drops all connections, and keeps none from now on.
    pub(crate) fn disable(&self) {
        *locked(&self.0) = None;
    }
}
