//! SIGINT and SIGTERM: the first asks everything under way for a clean stop, a second one ends the
//! process at once.

use crate::active_time;
use crate::error::{Code, Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How long what must not be stopped may go on: whoever stops docfetch waits for no longer than a second.
const GRACE: Duration = Duration::from_millis(700);
const LOOK: Duration = Duration::from_millis(5);

/// Listens from its creation on, for everything that is under way.
#[derive(Debug)]
pub struct Interrupt(watch::Receiver<Option<i32>>);

impl Interrupt {
    /// Starts to listen; from now on signals do not end the process by themselves.
    ///
    /// # Errors
    /// [`Code::Unexpected`] when the signals cannot be caught.
    pub fn listen() -> Result<Self> {
        Self::catch().map_err(|error| {
            Error::new(Code::Unexpected, "cannot listen for signals").with_cause(error.to_string())
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
        let (seen, heard) = watch::channel(None);
        let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
        let [int, term] = signals;
        tokio::spawn(tell(int?, term?, seen));
        Ok(Self(heard))
    }

    /// The signal that has come, if any.
    pub fn came(&self) -> Option<i32> {
        *self.0.borrow()
    }

    /// Waits for a signal and returns its number; at once when one has come before.
    async fn wait(&self) -> i32 {
        let mut heard = self.0.clone();
        let number = heard.wait_for(Option::is_some).await.ok().and_then(|n| *n);
        match number {
            Some(number) => number,
            None => std::future::pending().await, // nobody listens any more
        }
    }

    /// As [`Interrupt::or`], but a signal does not end it while it `must_not_stop`, for a short time.
    ///
    /// # Errors
    /// As [`Interrupt::or`].
    pub async fn or_interrupted_after<T>(
        &self,
        work: impl Future<Output = Result<T>>,
        must_not_stop: impl Fn() -> bool,
    ) -> Result<T> {
        let stop = async {
            let signal = self.wait().await;
            let told = Instant::now();
            let over = || !must_not_stop() || told.elapsed() >= GRACE;
            while !over() {
                // Looked at whenever there is news as well: the work must not go on past its time
                // because something else kept the thread until now.
                let mut look = pin!(tokio::time::sleep(LOOK));
                poll_fn(|context| {
                    if over() {
                        return Poll::Ready(());
                    }
                    look.as_mut().poll(context)
                })
                .await;
            }
            if must_not_stop() {
                active_time::read_ready_sockets().await; // for an answer that has arrived by now
            }
            signal
        };
        tokio::select! {
            biased;
            signal = stop => Err(Error::interrupted(signal)),
            result = work => result,
        }
    }

    /// Does something until it is done or a signal comes. What it has in hand stays with the caller.
    ///
    /// # Errors
    /// Its own, or [`Code::Interrupted`].
    pub async fn or<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.or_interrupted_after(work, || false).await
    }
}

async fn tell(mut int: Signal, mut term: Signal, seen: watch::Sender<Option<i32>>) {
    let number = tokio::select! {
        _ = int.recv() => SIGINT,
        _ = term.recv() => SIGTERM,
    };
    seen.send_replace(Some(number));
    seen.closed().await; // whoever asks later is told as well
}
