//! Whether a proxy accepts the credentials of its URL.
//!
//! Many proxies lock an account after a few wrong passwords. docfetch therefore sends a password to a proxy once
//! until the proxy has accepted it, and never again after the proxy has rejected it.

use crate::active_time;
use crate::error::{Error, Result};
use std::pin::pin;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// What this process knows of the credentials of one proxy.
#[derive(Debug, Default)]
pub(crate) struct ProxyTrial {
    /// Held by the request that tries the credentials.
    first: Mutex<()>,
    accepted: OnceLock<()>,
    rejected: OnceLock<Error>,
}

impl ProxyTrial {
    /// Waits until no other request tries the credentials, but at most `limit`, within which a connection
    /// is made. The caller keeps the guard until it knows the outcome of its own request.
    ///
    /// # Errors
    /// The error with which the proxy rejected an earlier request.
    pub(crate) async fn turn(&self, limit: Duration) -> Result<Option<MutexGuard<'_, ()>>> {
        self.check()?;
        if self.accepted.get().is_some() {
            return Ok(None);
        }
        let turn = active_time::timeout(limit, pin!(self.first.lock())).await;
        self.check()?;
        Ok(turn.ok().filter(|_| self.accepted.get().is_none()))
    }

    /// Fails when the proxy has rejected a request.
    ///
    /// # Errors
    /// The error of that request.
    pub(crate) fn check(&self) -> Result<()> {
        self.rejected
            .get()
            .map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Notes that the proxy let a request pass.
    pub(crate) fn accept(&self) {
        let _ = self.accepted.set(());
    }

    /// Notes that the proxy rejected a request with this error.
    pub(crate) fn reject(&self, error: &Error) {
        let _ = self.rejected.set(error.clone());
    }
}
