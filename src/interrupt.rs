//! SIGINT, SIGTERM and SIGHUP. The first signal stops all work in an orderly way; then a SIGINT or SIGTERM ends
//! the process at once.
//!
//! SIGINT and SIGHUP stay ignored when they were ignored at the start, as under `nohup` and after `&` in scripts.

use crate::active_time;
use crate::error::{Code, Error, Result, system_text};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::fs;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How long work that must not stop may continue after a signal. With it, docfetch ends within a second.
const MAX_DELAY: Duration = Duration::from_millis(700);
/// How often docfetch checks, after a signal, whether the work may stop.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// Catches signals from its creation on. All work of the process shares one.
#[derive(Debug)]
pub(crate) struct Interrupt(watch::Receiver<Option<i32>>);

impl Interrupt {
    /// Starts to catch signals. From now on, the first signal does not end the process by itself.
    ///
    /// # Errors
    /// [`Code::Unexpected`] when the signals cannot be caught.
    pub(crate) fn listen() -> Result<Self> {
        Self::catch_signals().map_err(|error| {
            Error::new(Code::Unexpected, "cannot listen for signals")
                .with_cause(system_text(&error))
        })
    }

    /// No signal ever comes: for a program that handles signals itself.
    pub(crate) fn never() -> Self {
        let (_, receiver) = watch::channel(None);
        Self(receiver)
    }

    fn catch_signals() -> io::Result<Self> {
        let second = Arc::new(AtomicBool::new(false));
        let numbers = stop_signals();
        for number in &numbers {
            // The order matters: the first signal finds the flag unset and sets it. The second signal ends
            // the process, even while a write or an fsync blocks. A SIGHUP does not: a service that stops, and a
            // terminal that closes, send one right after another signal.
            if *number != SIGHUP {
                flag::register_conditional_shutdown(*number, 128 + number, Arc::clone(&second))?;
            }
            flag::register(*number, Arc::clone(&second))?;
        }
        // docfetch catches SIGXFSZ and ignores it, so that a write past `ulimit -f` fails like a write to a
        // full disk.
        drop(signal(SignalKind::from_raw(
            rustix::process::Signal::XFSZ.as_raw(),
        ))?);
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(forward(StopSignals::of(numbers)?, sender));
        Ok(Self(receiver))
    }

    /// The number of the signal that has arrived, if any.
    pub(crate) fn signal(&self) -> Option<i32> {
        *self.0.borrow()
    }

    /// Waits for a signal and returns its number.
    async fn wait(&self) -> i32 {
        let mut receiver = self.0.clone();
        let number = receiver.wait_for(Option::is_some).await;
        match number.ok().and_then(|number| *number) {
            Some(number) => number,
            // The task that forwards signals has ended, together with the runtime.
            None => std::future::pending().await,
        }
    }

    /// Runs `work` until its end or a signal. While `must_not_stop` is true, the work continues after the
    /// signal, for 0.7 s at most.
    ///
    /// # Errors
    /// The errors of `work`; [`Code::Interrupted`] after a signal.
    pub(crate) async fn or_interrupted_after<T>(
        &self,
        work: impl Future<Output = Result<T>>,
        must_not_stop: impl Fn() -> bool,
    ) -> Result<T> {
        let stop = async {
            let signal = self.wait().await;
            let arrived = Instant::now();
            let may_stop = || !must_not_stop() || arrived.elapsed() >= MAX_DELAY;
            while !may_stop() {
                let mut sleep = pin!(tokio::time::sleep(STOP_CHECK_INTERVAL));
                // Checked at each wake-up, not only when the timer ends: other work may keep this thread
                // busy beyond the delay.
                poll_fn(|context| {
                    if may_stop() {
                        return Poll::Ready(());
                    }
                    sleep.as_mut().poll(context)
                })
                .await;
            }
            if must_not_stop() {
                // An answer that has already arrived is still read.
                active_time::read_ready_sockets().await;
            }
            signal
        };
        tokio::select! {
            biased;
            signal = stop => Err(Error::interrupted(signal)),
            result = work => result,
        }
    }

    /// Runs `work` until its end or a signal.
    ///
    /// # Errors
    /// The errors of `work`; [`Code::Interrupted`] after a signal.
    pub(crate) async fn or_interrupted<T>(
        &self,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.or_interrupted_after(work, || false).await
    }
}

/// The signals that stop docfetch: SIGTERM, and of SIGINT and SIGHUP those that were not ignored at the start.
///
/// A signal that this process catches already counts as not ignored.
fn stop_signals() -> Vec<i32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored_signals(&status);
    let is_ignored = |number: &i32| ignored & (1 << (number - 1)) != 0;
    let mut numbers = vec![SIGINT, SIGHUP];
    numbers.retain(|number| !is_ignored(number));
    numbers.push(SIGTERM);
    numbers
}

/// The ignored signals, one bit each, in the text of `/proc/PID/status` (`proc_pid_status(5)`). None are ignored
/// when the text does not tell.
fn ignored_signals(status: &str) -> u64 {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.unwrap_or_default()
}

/// Waits for signals that stop docfetch.
#[derive(Debug)]
pub(crate) struct StopSignals(Vec<(i32, Signal)>);

impl StopSignals {
    /// Catches the signals from now on.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn listen() -> io::Result<Self> {
        Self::of(stop_signals())
    }

    fn of(numbers: Vec<i32>) -> io::Result<Self> {
        let caught = numbers
            .into_iter()
            .map(|number| Ok((number, signal(SignalKind::from_raw(number))?)));
        caught.collect::<io::Result<_>>().map(Self)
    }

    /// The number of the next signal.
    pub(crate) async fn next(&mut self) -> i32 {
        poll_fn(|context| {
            let caught = self.0.iter_mut();
            let mut arrived =
                caught.filter_map(|(number, signal)| match signal.poll_recv(context) {
                    Poll::Ready(Some(())) => Some(*number),
                    _ => None,
                });
            arrived.next().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// Sends the number of the first signal to all receivers.
async fn forward(mut signals: StopSignals, sender: watch::Sender<Option<i32>>) {
    sender.send_replace(Some(signals.next().await));
    // The number stays available for work that starts later.
    sender.closed().await;
}

/// Work that cannot fail, for [`Interrupt::or_interrupted`].
pub(crate) async fn infallible<T>(work: impl Future<Output = T>) -> Result<T> {
    Ok(work.await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_as_the_system_writes_them() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001003\nSigCgt:\t0\n";
        assert_eq!(ignored_signals(status), 0x1003);
        for unknown in ["", "SigIgn:\n", "SigIgn:\tx\n", "SigCgt:\t0003\n"] {
            assert_eq!(ignored_signals(unknown), 0);
        }
    }
}
