//! The log of sent requests, from which the next free slot follows. This file reads no clock.
//!
//! The clocks of machines that share the record may differ by one second. A time from another process may
//! therefore be one second later than it looks, and counts for one second longer.

use crate::model::{MOST_REQUESTS, Rate};
use crate::text::LONGEST_TIME;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest time for which one `Retry-After` holds all requests, in milliseconds.
pub(super) const MAX_HOLD: u64 = 15 * 60 * 1000;
/// The longest time for which a request counts as unanswered, in milliseconds.
pub(super) const MAX_ANSWER_TIME: u64 = 15 * 60 * 1000;
/// The longest window of a rate, in milliseconds.
const MAX_WINDOW: u64 = 24 * 60 * 60 * 1000;
/// How much the clocks of machines that share a state folder may differ, in milliseconds.
pub(super) const MAX_CLOCK_DIFFERENCE: u64 = 1000;
/// How far in the future a time of another process may be, in milliseconds.
const MAX_AHEAD: u64 = 2 * MAX_CLOCK_DIFFERENCE;

/// The requests of all processes. Times are milliseconds since 1970, by the clock of the process that wrote
/// them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RequestLog {
    /// The requests that some process still counts.
    pub requests: Vec<LoggedRequest>,
    /// Until when a `Retry-After` holds all requests.
    pub held_until: Option<u64>,
    /// Until when the server asked to wait: the same, unless that is longer than a hold may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_until: Option<u64>,
    /// The longest window of all processes.
    window: u64,
    /// The largest number of requests that a process counts.
    #[serde(rename = "most")]
    max_requests: usize,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LoggedRequest {
    /// A random number.
    pub key: u64,
    /// When the request left.
    #[serde(rename = "at")]
    pub sent: u64,
    /// When the answer arrived, or the end of the request's time limit.
    pub answered: u64,
    /// The process whose clock `answered` is from; 0 in records of earlier versions.
    #[serde(default, rename = "by")]
    pub process: u32,
}

/// When the next slot is free.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NextSlot {
    /// After this number of milliseconds.
    In(u64),
    /// At an unknown time, after the answer of another request.
    AfterAnswer,
}

impl LoggedRequest {
    /// The latest time of the answer, by the clock of `process`.
    fn latest_answer(&self, process: u32) -> u64 {
        let margin = if self.process == process {
            0
        } else {
            MAX_CLOCK_DIFFERENCE
        };
        self.answered.saturating_add(margin)
    }
}

impl RequestLog {
    /// Drops requests that no rate counts any more, times in the future that a changed clock left, and
    /// impossible values.
    pub(super) fn forget(&mut self, rates: &[Rate], process: u32, now: u64) {
        if self.requests.is_empty() {
            // No process counts in the old windows any more.
            (self.window, self.max_requests) = (0, 0);
        }
        for rate in rates {
            self.window = self.window.max(window(rate));
            self.max_requests = self.max_requests.max(rate.requests as usize);
        }
        self.window = self.window.min(MAX_WINDOW);
        self.max_requests = self.max_requests.min(MOST_REQUESTS as usize);
        let window = self.window;
        self.requests.retain(|request| {
            let answer_time = request.answered.checked_sub(request.sent);
            request.sent <= now + MAX_AHEAD
                && answer_time.is_some_and(|time| time <= MAX_ANSWER_TIME)
                && request.latest_answer(process) + window > now
        });
        let surplus = self.requests.len().saturating_sub(self.max_requests);
        self.requests.drain(..surplus);
        self.held_until = self
            .held_until
            .filter(|until| (now..=now + MAX_HOLD + MAX_AHEAD).contains(until));
        let longest = now.saturating_add(milliseconds(LONGEST_TIME));
        self.asked_until = self
            .asked_until
            .filter(|until| self.held_until.is_some() && *until <= longest);
    }

    /// When the next slot is free.
    pub(super) fn next_slot(&self, rates: &[Rate], process: u32, now: u64) -> NextSlot {
        let mut free_at = self.held_until.unwrap_or(now).max(now);
        let (mut answered, unanswered): (Vec<u64>, Vec<u64>) = self
            .requests
            .iter()
            .map(|request| request.latest_answer(process))
            .partition(|answered| *answered <= now);
        answered.sort_unstable();
        for rate in rates {
            let window = window(rate);
            let counted = answered.iter().filter(|at| **at + window > now).count();
            let surplus = (unanswered.len() + counted + 1).saturating_sub(rate.requests as usize);
            if surplus == 0 {
                continue;
            }
            if surplus > counted {
                return NextSlot::AfterAnswer;
            }
            free_at = free_at.max(answered[answered.len() - counted + surplus - 1] + window);
        }
        NextSlot::In(free_at - now)
    }
}

/// The window of a rate, in milliseconds.
fn window(rate: &Rate) -> u64 {
    milliseconds(rate.window).min(MAX_WINDOW)
}

/// A duration in whole milliseconds.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::records::{BUDGETS, Durability, StateFolder};
    use proptest::prelude::*;
    use proptest::test_runner::TestCaseError;

    const START: u64 = 1_000_000;
    const PROCESS: u32 = 1;
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

    fn answered(seconds: &[u64]) -> RequestLog {
        let requests = seconds.iter().map(|second| LoggedRequest {
            key: *second,
            sent: START + second * 1000,
            answered: START + second * 1000,
            process: PROCESS,
        });
        RequestLog {
            requests: requests.collect(),
            ..RequestLog::default()
        }
    }

    fn free(log: &mut RequestLog, second: u64) -> NextSlot {
        log.forget(&BOTH, PROCESS, START + second * 1000);
        log.next_slot(&BOTH, PROCESS, START + second * 1000)
    }

    #[test]
    fn a_slot_is_free_one_window_after_its_answer() {
        assert_eq!(free(&mut RequestLog::default(), 0), NextSlot::In(0));
        let mut log = answered(&[0, 1]);
        assert_eq!(free(&mut log, 1), NextSlot::In(9000));
        assert_eq!(free(&mut log, 10), NextSlot::In(0));
    }

    #[test]
    fn every_rate_holds() {
        assert_eq!(
            free(&mut answered(&[0, 1, 11, 12]), 22),
            NextSlot::In(38_000)
        );
    }

    #[test]
    fn requests_on_their_way_count_until_their_answer_or_the_end_of_their_time() {
        let mut log = RequestLog {
            requests: [1, 2]
                .map(|key| LoggedRequest {
                    key,
                    sent: START,
                    answered: START + 30_000,
                    process: PROCESS,
                })
                .to_vec(),
            ..RequestLog::default()
        };
        assert_eq!(free(&mut log, 20), NextSlot::AfterAnswer);
        assert_eq!(free(&mut log, 31), NextSlot::In(9000));
        assert_eq!(free(&mut log, 40), NextSlot::In(0));
    }

    #[test]
    fn times_and_holds_in_the_future_are_dropped() {
        let mut log = answered(&[100, 101]);
        log.held_until = Some(START + MAX_HOLD + MAX_AHEAD + 5000);
        assert_eq!(free(&mut log, 0), NextSlot::In(0));
        assert!(log.requests.is_empty());
        log.held_until = Some(START + 5000);
        assert_eq!(free(&mut log, 0), NextSlot::In(5000));
    }

    #[test]
    fn impossible_values_are_dropped() {
        let nonsense = |sent, answered| LoggedRequest {
            key: 0,
            sent,
            answered,
            process: PROCESS,
        };
        let mut log = RequestLog {
            requests: vec![
                nonsense(0, u64::MAX),
                nonsense(START, START + MAX_ANSWER_TIME + 1),
                nonsense(START, START - 1),
                nonsense(u64::MAX, u64::MAX),
            ],
            held_until: Some(u64::MAX),
            asked_until: Some(u64::MAX),
            window: u64::MAX,
            max_requests: usize::MAX,
        };
        assert_eq!(free(&mut log, 0), NextSlot::In(0));
        assert!(log.requests.is_empty());
    }

    #[test]
    fn a_log_is_no_longer_than_the_largest_rate_needs() {
        let rate = Rate {
            requests: 3,
            window: Duration::from_hours(1),
        };
        let mut log = answered(&[0, 1, 2, 3, 4]);
        log.forget(&[rate], PROCESS, START + 5000);
        let kept: Vec<u64> = log.requests.iter().map(|request| request.key).collect();
        assert_eq!(kept, [2, 3, 4]);
        let most = LoggedRequest {
            key: u64::MAX,
            sent: u64::MAX >> 8,
            answered: u64::MAX >> 8,
            process: u32::MAX,
        };
        let full = RequestLog {
            requests: vec![most; MOST_REQUESTS as usize],
            ..RequestLog::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let records = StateFolder::new(Some(folder.path().to_owned())).records(BUDGETS);
        records.write("x", &full, Durability::Buffered).unwrap();
        assert_eq!(records.read("x"), Ok(Some(full)));
    }

    #[test]
    fn a_process_with_shorter_windows_forgets_nothing_that_others_count() {
        let mut log = answered(&[0]);
        (log.window, log.max_requests) = (60_000, 120);
        let short = [Rate {
            requests: 1,
            window: Duration::from_secs(1),
        }];
        log.forget(&short, PROCESS, START + 30_000);
        assert_eq!(log.requests.len(), 1);
        assert_eq!(
            log.next_slot(&short, PROCESS, START + 30_000),
            NextSlot::In(0)
        );
        // The longer windows end with the last request that they count.
        log.forget(&short, PROCESS, START + 60_000);
        log.forget(&short, PROCESS, START + 60_000);
        assert_eq!((log.window, log.max_requests), (1000, 1));
    }

    /// Asserts that no window has more arrivals than [`BOTH`] permit.
    fn assert_within_both_rates(mut arrivals: Vec<u64>) -> Result<(), TestCaseError> {
        arrivals.sort_unstable();
        for rate in BOTH {
            let window = milliseconds(rate.window);
            for (index, first) in arrivals.iter().enumerate() {
                let later = arrivals[index..].iter();
                let inside = later.filter(|at| **at < first + window).count();
                prop_assert!(inside <= rate.requests as usize, "{inside} in {window} ms");
            }
        }
        Ok(())
    }

    proptest! {
        /// Requests leave at random times, and their answers take random times. The server counts each
        /// request at a random moment between its departure and its answer.
        #[test]
        fn no_window_ever_holds_more_than_its_rate(
            requests in prop::collection::vec((0u64..4000, 0u64..9000, 0u64..100), 1..60)
        ) {
            let mut log = RequestLog::default();
            let mut now = START;
            let mut arrivals: Vec<u64> = Vec::new();
            for (pause, travel, when) in requests {
                now += pause;
                loop {
                    log.forget(&BOTH, PROCESS, now);
                    match log.next_slot(&BOTH, PROCESS, now) {
                        NextSlot::In(0) => break,
                        NextSlot::In(wait) => now += wait,
                        NextSlot::AfterAnswer => now += 25,
                    }
                }
                log.requests.push(LoggedRequest { key: 0, sent: now, answered: now + travel, process: PROCESS });
                arrivals.push(now + travel * when / 100);
            }
            assert_within_both_rates(arrivals)?;
        }

        /// As above, with several processes whose clocks differ by up to one second. A request whose process
        /// dies is never answered in the log.
        #[test]
        fn clocks_that_differ_by_a_second_let_nothing_more_pass(
            clocks in prop::collection::vec(0..=MAX_CLOCK_DIFFERENCE, 2..5),
            requests in prop::collection::vec(
                (0usize..5, 0u64..4000, 0u64..9000, 0u64..100, prop::bool::weighted(0.9)), 1..60
            ),
        ) {
            const LIMIT: u64 = 9000;
            let mut log = RequestLog::default();
            let mut time = START;
            let mut arrivals: Vec<u64> = Vec::new();
            let mut answers: Vec<(u64, u64, u32)> = Vec::new();
            for (process, pause, travel, when, lives) in requests {
                let process = process % clocks.len();
                let own = u32::try_from(process).unwrap() + 1;
                time += pause;
                loop {
                    // Each process records its answers by its own clock.
                    for (at, key, by) in &answers {
                        let request = log.requests.iter_mut().find(|request| request.key == *key);
                        if let Some(request) = request.filter(|_| *at <= time) {
                            request.answered = at + clocks[*by as usize - 1];
                        }
                    }
                    let now = time + clocks[process];
                    log.forget(&BOTH, own, now);
                    match log.next_slot(&BOTH, own, now) {
                        NextSlot::In(0) => break,
                        NextSlot::In(wait) => time += wait,
                        NextSlot::AfterAnswer => time += 25,
                    }
                }
                let (sent, key) = (time + clocks[process], arrivals.len() as u64);
                log.requests.push(LoggedRequest { key, sent, answered: sent + LIMIT, process: own });
                arrivals.push(time + travel * when / 100);
                if lives {
                    answers.push((time + travel, key, own));
                }
            }
            assert_within_both_rates(arrivals)?;
        }
    }
}
