//! The rate budget of an API: never more requests in a window than it allows.
//!
//! A request takes a slot before it leaves, and frees it one window after its *answer*: however long
//! it travels, the server never counts more than the budget. `Retry-After` holds all of them, for at
//! most 15 minutes; whoever has less patience is told at once.

use super::backoff::notice;
use crate::model::Rate;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The longest time that one `Retry-After` can hold everybody.
const LONGEST_HOLD: Duration = Duration::from_mins(15);

/// The requests of this process to one API.
#[derive(Debug)]
pub struct Budget {
    rates: Vec<Rate>,
    log: Mutex<Log>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Log {
    /// When past requests were answered, oldest first.
    answered: VecDeque<Instant>,
    in_flight: usize,
    held_until: Option<Instant>,
}

/// A request's place in the budget: freed one window after it is dropped.
#[derive(Debug)]
pub struct Slot<'a>(&'a Budget);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut log = self.0.log();
        log.in_flight -= 1;
        log.answered.push_back(Instant::now());
        self.0.freed.notify_waiters();
    }
}

impl Budget {
    /// A budget of all `rates` at once; none is no limit.
    pub fn new(rates: Vec<Rate>) -> Self {
        Self {
            rates,
            log: Mutex::default(),
            freed: Notify::new(),
        }
    }

    /// Waits for a slot. What the rates ask is always waited for; a hold is not, when it is longer
    /// than `patience`.
    ///
    /// # Errors
    /// How long the hold lasts.
    pub async fn slot(&self, patience: Duration) -> Result<Slot<'_>, Duration> {
        loop {
            let freed = self.freed.notified();
            let wait = {
                let mut log = self.log();
                let now = Instant::now();
                let held = log
                    .held_until
                    .map(|until| until.saturating_duration_since(now));
                if let Some(held) = held.filter(|held| *held > patience) {
                    return Err(held);
                }
                let wait = log.wait(&self.rates, now);
                if wait == Some(Duration::ZERO) {
                    log.in_flight += 1;
                    return Ok(Slot(self));
                }
                wait
            };
            match wait {
                Some(wait) => {
                    let seconds = wait.as_secs_f64();
                    log::log!(notice(wait), "waiting {seconds:.1} s for the rate budget");
                    tokio::time::sleep(wait).await;
                }
                None => freed.await,
            }
        }
    }

    /// Lets nothing leave for `wait`, at most 15 minutes; without rates there is nothing to move.
    pub fn hold(&self, wait: Duration) {
        if self.rates.is_empty() {
            return;
        }
        let until = Instant::now() + wait.min(LONGEST_HOLD);
        let mut log = self.log();
        log.held_until = Some(log.held_until.map_or(until, |held| held.max(until)));
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    /// How long until a slot is free; none when that hangs on an answer still to come.
    fn wait(&mut self, rates: &[Rate], now: Instant) -> Option<Duration> {
        let longest = rates
            .iter()
            .map(|rate| rate.window)
            .max()
            .unwrap_or_default();
        while self.answered.front().is_some_and(|at| *at + longest <= now) {
            self.answered.pop_front();
        }
        let mut free_at = self.held_until.filter(|until| *until > now).unwrap_or(now);
        for rate in rates {
            let counted = self
                .answered
                .iter()
                .filter(|at| **at + rate.window > now)
                .count();
            let allowed = rate.requests as usize;
            let over = (self.in_flight + counted + 1).saturating_sub(allowed);
            if over == 0 {
                continue;
            }
            if over > counted {
                return None;
            }
            let last = self.answered[self.answered.len() - counted + over - 1];
            free_at = free_at.max(last + rate.window);
        }
        Some(free_at - now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const SECOND: Duration = Duration::from_secs(1);
    const BOTH: [Rate; 2] = [
        Rate {
            requests: 4,
            window: Duration::from_mins(1),
        },
        Rate {
            requests: 2,
            window: Duration::from_secs(10),
        },
    ];

    #[test]
    fn a_slot_is_free_one_window_after_its_answer() {
        let start = Instant::now();
        let mut log = Log::default();
        assert_eq!(log.wait(&BOTH, start), Some(Duration::ZERO));
        log.answered.extend([start, start + SECOND]);
        assert_eq!(log.wait(&BOTH, start + SECOND), Some(9 * SECOND));
        assert_eq!(log.wait(&BOTH, start + 10 * SECOND), Some(Duration::ZERO));
    }

    #[test]
    fn requests_on_their_way_count_until_they_are_answered() {
        let now = Instant::now();
        let mut log = Log {
            in_flight: 2,
            ..Log::default()
        };
        assert_eq!(log.wait(&BOTH, now), None);
    }

    #[test]
    fn every_rate_holds() {
        let start = Instant::now();
        let mut log = Log::default();
        log.answered
            .extend([0, 1, 11, 12].map(|second| start + second * SECOND));
        assert_eq!(log.wait(&BOTH, start + 22 * SECOND), Some(38 * SECOND));
    }

    #[test]
    fn a_hold_stops_everybody_even_without_rates() {
        let now = Instant::now();
        let mut log = Log {
            held_until: Some(now + SECOND),
            ..Log::default()
        };
        assert_eq!(log.wait(&[], now), Some(SECOND));
        assert_eq!(log.wait(&[], now + SECOND), Some(Duration::ZERO));
    }
}
