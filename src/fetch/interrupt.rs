//! SIGINT and SIGTERM: the first asks for a clean stop, a second one ends the process at once.

use crate::error::{Code, Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens from its creation on.
#[derive(Debug)]
pub struct Interrupt {
    int: Signal,
    term: Signal,
    seen: Option<i32>,
}

impl Interrupt {
    /// Starts to listen; from now on signals do not end the process by themselves.
    ///
    /// # Errors
    /// [`Code::Unexpected`] when the signals cannot be caught.
    pub fn listen() -> Result<Self> {
        Self::catch().map_err(|error| {
            Error::new(Code::Unexpected, "cannot listen for signals").why(error.to_string())
        })
    }

    fn catch() -> io::Result<Self> {
        let armed = Arc::new(AtomicBool::new(false));
        for number in [SIGINT, SIGTERM] {
            // In this order: the first signal finds it unarmed and arms it, the second one ends the
            // process even while a write or an fsync blocks it.
            flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&armed))?;
            flag::register(number, Arc::clone(&armed))?;
        }
        // Caught and ignored: a write past `ulimit -f` then fails like one to a full disk.
        drop(signal(SignalKind::from_raw(
            rustix::process::Signal::XFSZ.as_raw(),
        ))?);
        Ok(Self {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
            seen: None,
        })
    }

    /// Waits for a signal and returns its number; at once when one has come before.
    pub async fn wait(&mut self) -> i32 {
        if let Some(number) = self.seen {
            return number;
        }
        let number = tokio::select! {
            _ = self.int.recv() => SIGINT,
            _ = self.term.recv() => SIGTERM,
        };
        self.seen = Some(number);
        number
    }

    /// Does something until it is done or a signal comes. What it has in hand stays with the caller.
    ///
    /// # Errors
    /// Its own, or [`Code::Interrupted`].
    pub async fn or<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            signal = self.wait() => Err(Error::interrupted(signal)),
            result = work => result,
        }
    }
}
