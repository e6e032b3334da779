//! The rate budget of an API: all processes of a user together never send more requests in a window than
//! the provider allows.
//!
//! A request takes a slot before it leaves. The slot is free again one window after the *answer* of the
//! request. However long requests travel, the server therefore never counts more than the budget. A request
//! whose process died counts as answered at the end of its time limit.
//!
//! A `Retry-After` holds the requests of all processes, for 15 minutes at most. A request that may not wait
//! that long fails at once, and its error tells the time that the server named. Where the shared record cannot
//! be written, the budget counts the requests of this process only.

#[cfg(any(feature = "internals", all(test, feature = "cli")))]
pub(crate) mod fuzz;
mod request_log;

use super::backoff::wait_level;
use crate::active_time;
use crate::error::{Code, Error, Result};
use crate::model::Rate;
use crate::mutex::locked;
use crate::state::records::{Durability, Records};
use request_log::{LoggedRequest, MAX_ANSWER_TIME, MAX_HOLD, NextSlot, RequestLog, milliseconds};
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often a request that waits for the answer of another one reads the record.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// A longer wait for the answers of other requests is logged.
const NOTICEABLE_BUDGET_WAIT: Duration = Duration::from_secs(2);
/// How long a finished request waits for the lock of the record.
const BUSY_TIMEOUT_AFTER_ANSWER: Duration = Duration::from_secs(2);

/// The rate budget of one API and account.
#[derive(Debug)]
pub(super) struct Budget {
    rates: Vec<Rate>,
    records: Records,
    /// The name of the shared record.
    name: String,
    /// The number of this process in the record.
    process: u32,
    /// Whether the shared record cannot be written, so that only `memory` counts.
    is_private: AtomicBool,
    memory: Mutex<RequestLog>,
    /// The requests of this process wait for one another here, and not at the lock of the record.
    queue: tokio::sync::Mutex<()>,
    /// When the last logged wait ends.
    logged_until: Mutex<Option<Instant>>,
}

/// A request's slot in the budget.
#[derive(Debug)]
pub(super) struct Slot(u64);

/// Why a request gets no slot.
#[derive(Debug)]
pub(super) enum Blocked {
    /// A `Retry-After` holds all requests: this is how long the server asked to wait.
    Held(Duration),
    /// Another process has the record locked, perhaps because it was stopped.
    Busy(Error),
}

impl Budget {
    /// A budget of all `rates` together, in the record `name`. Without rates there is no limit.
    pub(super) fn new(rates: Vec<Rate>, records: Records, name: String) -> Self {
        Self {
            rates,
            records,
            name,
            process: process_number(),
            is_private: AtomicBool::new(false),
            memory: Mutex::default(),
            queue: tokio::sync::Mutex::default(),
            logged_until: Mutex::default(),
        }
    }

    /// The longest window of the rates, 15 minutes at most; `None` without rates.
    pub(super) fn window(&self) -> Option<Duration> {
        let windows = self.rates.iter().map(|rate| rate.window);
        Some(windows.max()?.min(Duration::from_millis(MAX_HOLD)))
    }

    /// Whether the budget has a limit.
    pub(super) fn is_limited(&self) -> bool {
        !self.rates.is_empty()
    }

    /// Waits for a slot for a request that is answered within `max_answer_time`. The wait for the rates has no
    /// limit; the wait for a hold and for the record is at most `max_hold_wait`. `None` when there are no
    /// rates.
    ///
    /// # Errors
    /// [`Blocked`], when a hold or another process would block the request for longer than `max_hold_wait`.
    pub(super) async fn slot(
        &self,
        max_answer_time: Duration,
        max_hold_wait: Duration,
    ) -> Result<Option<Slot>, Blocked> {
        if self.rates.is_empty() {
            return Ok(None);
        }
        let key = random_key();
        let max_answer_time = milliseconds(max_answer_time).min(MAX_ANSWER_TIME);
        let began = active_time::now();
        let mut logged = false;
        loop {
            let next = self
                .with_log(max_hold_wait, |log| {
                    let request = |now| LoggedRequest {
                        key,
                        sent: now,
                        answered: now + max_answer_time,
                        process: self.process,
                    };
                    self.take_slot(log, request, max_hold_wait)
                })
                .await
                .map_err(Blocked::Busy)??;
            match next {
                NextSlot::In(0) => return Ok(Some(Slot(key))),
                NextSlot::In(wait) => {
                    let wait = Duration::from_millis(wait);
                    self.log_wait(wait);
                    active_time::sleep(wait).await;
                }
                NextSlot::AfterAnswer => {
                    if !logged && active_time::since(began) > NOTICEABLE_BUDGET_WAIT {
                        log::warn!("waiting for the answers of requests that fill the rate budget");
                        logged = true;
                    }
                    active_time::sleep(POLL_INTERVAL).await;
                }
            }
        }
    }

    /// Adds a request to the log, when a slot is free now.
    fn take_slot(
        &self,
        log: &mut RequestLog,
        request: impl FnOnce(u64) -> LoggedRequest,
        max_hold_wait: Duration,
    ) -> Result<NextSlot, Blocked> {
        let now = now();
        log.forget(&self.rates, self.process, now);
        let held = log.held_until.unwrap_or(now).saturating_sub(now);
        if held > milliseconds(max_hold_wait) {
            let asked = log.asked_until.unwrap_or(now).saturating_sub(now);
            return Err(Blocked::Held(Duration::from_millis(held.max(asked))));
        }
        let next = log.next_slot(&self.rates, self.process, now);
        if next == NextSlot::In(0) {
            log.requests.push(request(now));
        }
        Ok(next)
    }

    /// Logs that a request waits. While several requests wait, only the first one logs a warning.
    fn log_wait(&self, wait: Duration) {
        let now = Instant::now();
        let mut logged_until = locked(&self.logged_until);
        let level = match *logged_until {
            Some(until) if until > now => log::Level::Info,
            _ => {
                *logged_until = Some(now + wait);
                wait_level(wait)
            }
        };
        let seconds = wait.as_secs_f64();
        log::log!(level, "waiting {seconds:.1} s for the rate budget");
    }

    /// Records that a request was answered, and holds all requests for `hold`, 15 minutes at most. Where
    /// the answer cannot be recorded, the request counts as unanswered until the end of its time limit.
    pub(super) async fn answered(&self, slot: Option<Slot>, hold: Option<Duration>) {
        let Some(Slot(key)) = slot else {
            return;
        };
        let recorded = self.with_log(BUSY_TIMEOUT_AFTER_ANSWER, |log| {
            let now = now();
            if let Some(request) = log.requests.iter_mut().find(|request| request.key == key) {
                (request.answered, request.process) = (now, self.process);
            }
            if let Some(hold) = hold {
                let asked = now.saturating_add(milliseconds(hold));
                let until = asked.min(now + MAX_HOLD);
                log.held_until = log.held_until.max(Some(until));
                log.asked_until = log.asked_until.max(Some(asked));
            }
        });
        if let Err(error) = recorded.await {
            log::info!("an answer was not counted: {}", error.message());
        }
    }

    /// Reads and changes the log that all processes share. Where no record can be written, the log of this
    /// process takes its place.
    ///
    /// # Errors
    /// [`Code::Busy`] when another process has the record locked for longer than `busy_timeout`.
    async fn with_log<T>(
        &self,
        busy_timeout: Duration,
        change: impl FnOnce(&mut RequestLog) -> T,
    ) -> Result<T> {
        if self.is_private.load(Ordering::Relaxed) {
            return Ok(change(&mut locked(&self.memory)));
        }
        let what = "counting its requests";
        let began = active_time::now();
        let Ok(_first) = active_time::timeout(busy_timeout, pin!(self.queue.lock())).await else {
            return Err(Error::new(Code::Busy, format!("another process is {what}")));
        };
        let busy_timeout = busy_timeout.saturating_sub(active_time::since(began));
        match self.records.lock(&self.name, busy_timeout, what).await {
            Ok(_lock) => Ok(self.change_record(change)),
            Err(error) if error.code() == Code::Busy => Err(error),
            Err(error) => {
                self.become_private(&error);
                Ok(change(&mut locked(&self.memory)))
            }
        }
    }

    /// Changes the shared record. The caller holds its lock.
    fn change_record<T>(&self, change: impl FnOnce(&mut RequestLog) -> T) -> T {
        // A record that cannot be trusted is ignored and rewritten.
        let before: Option<RequestLog> = self.records.read(&self.name).ok().flatten();
        let mut log = before.clone().unwrap_or_default();
        let result = change(&mut log);
        if before.as_ref() != Some(&log)
            && let Err(error) = self.records.write(&self.name, &log, Durability::Buffered)
        {
            *locked(&self.memory) = log;
            self.become_private(&error);
        }
        result
    }

    fn become_private(&self, error: &Error) {
        self.records.warn_unwritable(error);
        self.is_private.store(true, Ordering::Relaxed);
    }
}

/// Milliseconds since 1970, by this machine's clock.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    milliseconds(since.unwrap_or_default())
}

/// A random number that differs from those of other processes. It is never 0, the number in records of
/// earlier versions.
fn process_number() -> u32 {
    u32::try_from(random_key() >> 32).unwrap_or_default().max(1)
}

/// A random number that differs from those of other requests.
fn random_key() -> u64 {
    use ring::rand::SecureRandom as _;
    let mut bytes = [0; 8];
    if ring::rand::SystemRandom::new().fill(&mut bytes).is_err() {
        return u64::from(std::process::id());
    }
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::request_log::MAX_CLOCK_DIFFERENCE;
    use super::*;
    use crate::state::records::{BUDGETS, StateFolder};

    #[tokio::test]
    async fn two_budgets_of_one_name_share_their_slots_and_holds() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::new(Some(folder.path().to_owned()));
        let rates = vec![Rate {
            requests: 1,
            window: Duration::from_millis(300),
        }];
        let second = Duration::from_secs(1);
        let budget = || Budget::new(rates.clone(), state.records(BUDGETS), "x".to_owned());
        let (one, other) = (budget(), budget());
        let slot = one.slot(second, second).await.unwrap();
        let started = Instant::now();
        let (after, ()) = tokio::join!(other.slot(second, second), async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            one.answered(slot, None).await;
        });
        let waited = started.elapsed();
        // The clock of the other process may differ by one second.
        let least = Duration::from_millis(500 + MAX_CLOCK_DIFFERENCE);
        assert!(waited >= least, "{waited:?}");
        // A hold ends after 15 minutes, and the server's own time is told.
        other.answered(after.unwrap(), Some(7200 * second)).await;
        match one.slot(second, second).await.unwrap_err() {
            Blocked::Held(held) => assert!(held > 7000 * second && held <= 7200 * second),
            Blocked::Busy(error) => panic!("{error}"),
        }
    }
}
