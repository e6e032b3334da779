//! The retry policy.
//!
//! One [`RetryContext`] accompanies one document through resolving, transfer and resumption, so that all
//! attempts share one limit and one deadline.
//!
//! *What is retried.* Only [transient](Error::is_transient) failures: broken connections, stalls, and answers
//! with a [transient status](is_transient_status). Every other failure ends the work at once. Paid requests have
//! stricter rules of their own (`resolve/retrieval.rs`).
//!
//! *How often.* At most `retries` attempts follow the first one, and docfetch tries for at most `max_time`.
//! New bytes of the document reset both limits. An attempt that brought new bytes and then stalled resets
//! only the deadline.
//!
//! *How long docfetch waits.* A random part of an interval that starts at 0.5 s and doubles with every
//! failure up to 30 s ("full jitter"). When the server sends `Retry-After` (RFC 9110 section 10.2.3),
//! docfetch waits that long, but at least half of the interval. With status 429, the reset of a rate limit counts
//! like a `Retry-After`; a free request to the API that gets a 429 without any time waits for one window of the
//! rate budget. A time past the deadline ends the work at once, and the error says when to run docfetch again.
//!
//! *New documents.* A storage may answer 404 for a document that was stored a moment ago. docfetch repeats
//! such requests for 30 s after resolving, independently of `retries`.

use crate::active_time;
use crate::error::Error;
use crate::text::rounded_up;
use std::time::{Duration, Instant};

/// The interval of the first wait.
const FIRST_INTERVAL: Duration = Duration::from_millis(500);
/// No interval is longer.
const MAX_INTERVAL: Duration = Duration::from_secs(30);
/// How long a storage may answer 404 for a new document.
const MAX_INVISIBLE_TIME: Duration = Duration::from_secs(30);
/// After a longer wait that a server asks for, docfetch does not say when to run again.
const LONGEST_SENSIBLE_WAIT: Duration = Duration::from_hours(365 * 24);
/// Shorter waits are logged at a lower level.
const NOTICEABLE_RETRY_WAIT: Duration = Duration::from_secs(2);

/// Whether an answer with this status may be another one a moment later: 408, 425, 429 and every 5xx (RFC 9110
/// section 15.6, and the codes that proxies made up), but 501, 505 and 511.
pub(crate) fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502..=504 | 506..=510 | 512..=599)
}

/// How often and how long docfetch tries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryPolicy {
    /// How many attempts without progress may follow the first one; 0 for a single attempt.
    pub retries: u32,
    /// The longest time without progress.
    pub max_time: Duration,
}

/// What follows a failed attempt.
#[derive(Debug)]
pub(crate) enum RetryDecision {
    /// Wait this long, and try again.
    Wait(Duration),
    /// Give up with this error.
    GiveUp(Error),
}

/// The attempts and the deadline of one document.
#[derive(Clone, Debug)]
pub(crate) struct RetryContext {
    policy: RetryPolicy,
    started: Instant,
    /// The last progress, from which the deadline counts.
    progress: Instant,
    attempts: u32,
    /// Failed attempts since the last progress.
    failures: u32,
    /// Answers of status 404 for a new document.
    not_found_answers: u32,
    jitter: bool,
}

impl RetryContext {
    /// Starts at `now`, an instant of [`active_time`].
    pub(crate) fn new(policy: RetryPolicy, now: Instant) -> Self {
        Self {
            policy,
            started: now,
            progress: now,
            attempts: 0,
            failures: 0,
            not_found_answers: 0,
            jitter: true,
        }
    }

    /// Notes that new bytes of the document arrived. Attempts and deadline start anew.
    pub(crate) fn progressed(&mut self, now: Instant) {
        self.progress = now;
        self.failures = 0;
    }

    /// Notes that new bytes arrived in an attempt that then stalled. The deadline starts anew, but the
    /// attempt counts as failed.
    pub(crate) fn stalled_after_progress(&mut self, now: Instant) {
        self.progress = now;
    }

    /// Makes every wait as long as its interval. Jitter spreads the retries of many clients; a single
    /// client needs none.
    #[must_use]
    pub(crate) fn without_jitter(mut self) -> Self {
        self.jitter = false;
        self
    }

    /// Excludes `time` from the deadline, such as a wait for other documents.
    pub(crate) fn exclude(&mut self, time: Duration) {
        self.started += time;
        self.progress += time;
    }

    /// The time until the deadline.
    pub(crate) fn time_left(&self) -> Duration {
        self.time_left_at(active_time::now())
    }

    fn time_left_at(&self, now: Instant) -> Duration {
        (self.progress + self.policy.max_time).saturating_duration_since(now)
    }

    /// Decides what follows an attempt that failed with `error` at `now`. `random` is uniform in 0..1.
    pub(crate) fn decide(&mut self, error: Error, now: Instant, random: f64) -> RetryDecision {
        self.attempts += 1;
        self.failures += 1;
        if !error.is_transient() {
            return RetryDecision::GiveUp(error);
        }
        let elapsed = now.saturating_duration_since(self.started);
        let left = self.time_left_at(now);
        let asked = error.retry_after();
        let is_over = self.failures > self.policy.retries || left.is_zero();
        if is_over || asked.is_some_and(|asked| asked > left) {
            let error = error.after_attempts(self.attempts, elapsed);
            return RetryDecision::GiveUp(
                match asked.filter(|asked| *asked > MAX_INTERVAL.min(left)) {
                    Some(asked) if asked > LONGEST_SENSIBLE_WAIT => error.with_hint(
                        "ask the provider: the server wants docfetch to wait for more than a year",
                    ),
                    Some(asked) => error.with_hint(format!(
                        "run again in {}, when the server is ready",
                        rounded_up(asked)
                    )),
                    None => error,
                },
            );
        }
        match asked {
            // A `Retry-After` of zero must not cause a request without any wait.
            Some(asked) => {
                let least = half_to_full(self.failures, random).min(left);
                RetryDecision::Wait(asked.max(least))
            }
            None => RetryDecision::Wait(zero_to_full(self.failures, random).min(left)),
        }
    }

    /// How long to wait before the next request for a new document that the storage answered with 404.
    /// `None` to give up: the document was resolved `age` ago, which is too long, or the deadline comes
    /// first. These requests do not count as attempts.
    pub(crate) fn wait_for_new_document(
        &mut self,
        age: Duration,
        asked: Option<Duration>,
        now: Instant,
        random: f64,
    ) -> Option<Duration> {
        self.not_found_answers += 1;
        let jittered = FIRST_INTERVAL / 2 + zero_to_full(self.not_found_answers, random);
        let wait = asked.map_or(jittered, |asked| asked.max(jittered));
        let is_allowed = age.saturating_add(wait) <= MAX_INVISIBLE_TIME;
        (is_allowed && wait <= self.time_left_at(now)).then_some(wait)
    }

    /// Waits after an attempt that failed with `error`.
    ///
    /// # Errors
    /// `error` itself, when no attempt may follow.
    pub(crate) async fn wait_after(&mut self, error: Error) -> Result<(), Error> {
        let message = error.message();
        let random = if self.jitter { random() } else { 1.0 };
        match self.decide(error, active_time::now(), random) {
            RetryDecision::GiveUp(error) => Err(error),
            RetryDecision::Wait(wait) => {
                let seconds = wait.as_secs_f64();
                log::log!(
                    wait_level(wait),
                    "{message}; trying again in {seconds:.1} s"
                );
                active_time::sleep(wait).await;
                Ok(())
            }
        }
    }
}

/// The log level for a wait: warnings only for waits that a person notices.
pub(crate) fn wait_level(wait: Duration) -> log::Level {
    if wait < NOTICEABLE_RETRY_WAIT {
        log::Level::Info
    } else {
        log::Level::Warn
    }
}

/// The interval of the wait after this number of `failures`.
fn interval(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    (FIRST_INTERVAL * 2u32.pow(doublings)).min(MAX_INTERVAL)
}

/// Full jitter: uniform between zero and the interval.
fn zero_to_full(failures: u32, random: f64) -> Duration {
    interval(failures).mul_f64(random)
}

/// Uniform between half of the interval and the interval.
fn half_to_full(failures: u32, random: f64) -> Duration {
    zero_to_full(failures, 0.5 + random / 2.0)
}

/// A random number, uniform in 0..1, from the system; 0.5 where the system has none.
pub(crate) fn random() -> f64 {
    use ring::rand::SecureRandom;
    let mut bytes = [0; 4];
    match ring::rand::SystemRandom::new().fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    const SECOND: Duration = Duration::from_secs(1);

    fn retry(retries: u32, now: Instant) -> RetryContext {
        let policy = RetryPolicy {
            retries,
            max_time: 300 * SECOND,
        };
        RetryContext::new(policy, now)
    }

    fn broken() -> Error {
        Error::new(Code::Network, "broken")
    }

    fn waits(decision: &RetryDecision) -> Option<Duration> {
        match decision {
            RetryDecision::Wait(wait) => Some(*wait),
            RetryDecision::GiveUp(_) => None,
        }
    }

    #[test]
    fn every_5xx_is_retried_but_three() {
        let permanent = (400..=600).filter(|status| !is_transient_status(*status));
        let expected = (400..=499).filter(|status| ![408, 425, 429].contains(status));
        let expected = expected.chain([501, 505, 511, 600]);
        assert!(permanent.eq(expected));
    }

    #[test]
    fn waits_double_from_half_a_second_to_thirty() {
        let now = Instant::now();
        let mut retry = retry(9, now);
        let waits: Vec<_> = (0..10)
            .map(|_| waits(&retry.decide(broken(), now, 1.0)).map(|wait| wait.as_secs_f64()))
            .collect();
        let expected = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0].map(Some);
        assert_eq!(waits[..9], expected);
        assert_eq!(waits[9], None);
    }

    #[test]
    fn jitter_takes_all_of_the_interval() {
        assert_eq!(zero_to_full(3, 0.0), Duration::ZERO);
        assert_eq!(zero_to_full(3, 0.5), SECOND);
    }

    #[test]
    fn no_retries_is_a_single_attempt() {
        let now = Instant::now();
        assert!(waits(&retry(0, now).decide(broken(), now, 1.0)).is_none());
    }

    #[test]
    fn progress_starts_attempts_and_deadline_anew() {
        let mut now = Instant::now();
        let mut retry = retry(1, now);
        for _ in 0..50 {
            now += 299 * SECOND;
            assert!(waits(&retry.decide(broken(), now, 1.0)).is_some());
            retry.progressed(now);
        }
        assert!(waits(&retry.decide(broken(), now, 1.0)).is_some());
        assert!(waits(&retry.decide(broken(), now, 1.0)).is_none());
    }

    #[test]
    fn the_deadline_ends_the_work_whatever_attempts_are_left() {
        let now = Instant::now();
        let mut retry = retry(100, now);
        assert!(waits(&retry.decide(broken(), now + 300 * SECOND, 1.0)).is_none());
    }

    #[test]
    fn retry_after_is_obeyed_and_one_past_the_deadline_ends_it_at_once() {
        let now = Instant::now();
        let mut retry = retry(5, now);
        let asked = |wait| broken().with_retry_after(Some(wait));
        assert_eq!(
            waits(&retry.decide(asked(7 * SECOND), now, 0.0)),
            Some(7 * SECOND)
        );
        match retry.decide(asked(3600 * SECOND), now, 0.0) {
            RetryDecision::GiveUp(error) => assert!(error.hint().contains(" 60 min"), "{error:?}"),
            RetryDecision::Wait(wait) => panic!("waits {wait:?}"),
        }
        match retry.decide(asked(Duration::MAX), now, 0.0) {
            RetryDecision::GiveUp(error) => {
                assert!(error.hint().contains("more than a year"), "{error:?}");
            }
            RetryDecision::Wait(wait) => panic!("waits {wait:?}"),
        }
        match retry.decide(asked(240 * 3600 * SECOND), now, 0.0) {
            RetryDecision::GiveUp(error) => assert!(error.hint().contains("10 days"), "{error:?}"),
            RetryDecision::Wait(wait) => panic!("waits {wait:?}"),
        }
    }

    #[test]
    fn a_retry_after_of_zero_still_waits_half_of_the_interval() {
        let now = Instant::now();
        for (random, first, second) in [(0.0, 0.25, 0.5), (1.0, 0.5, 1.0)] {
            let mut retry = retry(5, now);
            for expected in [first, second] {
                let none = broken().with_retry_after(Some(Duration::ZERO));
                let wait = waits(&retry.decide(none, now, random));
                assert_eq!(wait, Some(Duration::from_secs_f64(expected)));
            }
        }
    }

    #[test]
    fn a_new_document_is_waited_for_up_to_thirty_seconds_or_the_deadline() {
        let now = Instant::now();
        let mut patient = retry(0, now);
        let waits: Vec<_> = (0..4)
            .map(|_| patient.wait_for_new_document(SECOND, None, now, 1.0))
            .collect();
        let seconds = [0.75, 1.25, 2.25, 4.25].map(|s| Some(Duration::from_secs_f64(s)));
        assert_eq!(waits, seconds);
        assert_eq!(
            patient.wait_for_new_document(29 * SECOND, None, now, 1.0),
            None
        );
        assert_eq!(
            patient.wait_for_new_document(SECOND, Some(20 * SECOND), now, 0.0),
            Some(20 * SECOND)
        );
        let late = now + 300 * SECOND;
        assert_eq!(patient.wait_for_new_document(SECOND, None, late, 1.0), None);
    }

    #[test]
    fn a_permanent_failure_is_not_retried() {
        let now = Instant::now();
        let refused = Error::new(Code::Certificate, "expired");
        assert!(waits(&retry(5, now).decide(refused, now, 0.0)).is_none());
    }
}
