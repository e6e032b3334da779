//! Connections that carried a request that may cost money, and may carry another one.
//!
//! Such a request must not find its connection dead: it might have arrived, and nobody would ever know.
//! So it goes out on a connection of its own, a fresh one, or one that nobody else uses and that was
//! answered on, to the last byte, a moment ago. Servers keep idle connections for seconds at least:
//! within `FRESH` such a connection is as safe as one that has only just been made, and saves its
//! handshake. What fails on it unanswered is as much in doubt as on any other. Some servers and balancers
//! close idle connections at once and say nothing: after the first request that a used connection left
//! unanswered, all further ones of this process go out on fresh connections.

use crate::mutex::locked;
use reqwest::Client;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long a connection may have been idle.
const FRESH: Duration = Duration::from_secs(1);

/// Idle connections, the one that was used last on top; none once they are [closed](IdleConnections::close).
#[derive(Debug)]
pub(crate) struct IdleConnections(Mutex<Option<Vec<IdleConnection>>>);

impl Default for IdleConnections {
    fn default() -> Self {
        Self(Mutex::new(Some(Vec::new())))
    }
}

/// A client that keeps one connection.
#[derive(Debug)]
pub(crate) struct IdleConnection {
    /// The client; the gate of its connections is open.
    pub client: Client,
    idle_since: Instant,
}

impl IdleConnection {
    /// Whether it was used a moment ago.
    pub(crate) fn is_fresh(&self) -> bool {
        self.idle_since.elapsed() < FRESH
    }
}

impl IdleConnections {
    /// The connection that was used last, unless that is too long ago. Those below are older.
    pub(crate) fn take(&self) -> Option<IdleConnection> {
        let mut idle = locked(&self.0);
        let idle = idle.as_mut()?;
        let connection = idle.pop().filter(IdleConnection::is_fresh);
        if connection.is_none() {
            idle.clear();
        }
        connection
    }

    /// Takes the client of a request whose answer was read whole.
    pub(crate) fn give_back(&self, client: Client) {
        if let Some(idle) = locked(&self.0).as_mut() {
            idle.push(IdleConnection {
                client,
                idle_since: Instant::now(),
            });
        }
    }

    /// Keeps no connection from now on: one of them did not answer.
    pub(crate) fn close(&self) {
        *locked(&self.0) = None;
    }
}
