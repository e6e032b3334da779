//! The retry policy.
//!
//! One [`Retry`] accompanies one document through resolve, transfer and resume, so that attempts and
//! deadline are one budget: at most `retries` further attempts in a row without progress, and no
//! longer than `retry_max_time` without progress. Between attempts it waits with full jitter, from
//! 0.5 s doubling to 30 s, or longer where the server's `Retry-After` asks for it. A wait that would pass
//! the deadline ends the run at once instead. Progress, told by whoever moves bytes, starts both anew.
//! Only [transient](Error::transient) failures are waited for at all.

use crate::active_time;
use crate::error::Error;
use crate::text::short_duration;
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// How long an object that was just stored may stay invisible.
const NOT_SEEN: Duration = Duration::from_secs(30);

/// How often and how long to try.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Further attempts in a row without progress; 0 is a single attempt.
    pub retries: u32,
    /// The longest time without progress.
    pub max_time: Duration,
}

/// What is to be done after a failure.
#[derive(Debug)]
pub enum Verdict {
    /// Wait this long, then try again.
    Wait(Duration),
    /// Say this and stop.
    GiveUp(Error),
}

/// Attempts and deadline of one document.
#[derive(Clone, Debug)]
pub struct Retry {
    policy: Policy,
    started: Instant,
    progress: Instant,
    attempts: u32,
    failures: u32,
    not_seen: u32,
    /// Whether every wait takes all of its interval.
    unhurried: bool,
}

impl Retry {
    /// Starts the clock.
    pub fn new(policy: Policy, now: Instant) -> Self {
        Self {
            policy,
            started: now,
            progress: now,
            attempts: 0,
            failures: 0,
            not_seen: 0,
            unhurried: false,
        }
    }

    /// Bytes arrived that had not been there before.
    pub fn progressed(&mut self, now: Instant) {
        self.progress = now;
        self.failures = 0;
    }

    /// New bytes arrived before an attempt stalled: it counts as failed all the same, but the deadline
    /// is that of the silence, and not of all that went well before.
    pub fn stalled(&mut self, now: Instant) {
        self.progress = now;
    }

    /// Makes every wait as long as its interval: jitter spreads many clients, and this is one.
    #[must_use]
    pub fn without_jitter(mut self) -> Self {
        self.unhurried = true;
        self
    }

    /// So much time was spent waiting for others, and counts for nothing.
    pub fn paused(&mut self, time: Duration) {
        self.started += time;
        self.progress += time;
    }

    /// How long a wait may still be.
    pub fn left(&self) -> Duration {
        self.left_at(active_time::now())
    }

    fn left_at(&self, now: Instant) -> Duration {
        (self.progress + self.policy.max_time).saturating_duration_since(now)
    }

    /// An attempt ended with `error`; `random` is uniform in 0..1.
    pub fn judge(&mut self, error: Error, now: Instant, random: f64) -> Verdict {
        self.attempts += 1;
        self.failures += 1;
        let elapsed = now.saturating_duration_since(self.started);
        if !error.is_transient() {
            return Verdict::GiveUp(error);
        }
        let left = self.left_at(now);
        if self.failures > self.policy.retries || left.is_zero() {
            return Verdict::GiveUp(error.after_attempts(self.attempts, elapsed));
        }
        match error.retry_after() {
            Some(asked) if asked > left => {
                let then = match asked.as_secs() {
                    seconds @ ..86_400 => format!("{seconds} s"),
                    _ => short_duration(asked),
                };
                let hint = format!("run again in {then}, when the server is ready");
                Verdict::GiveUp(error.after_attempts(self.attempts, elapsed).with_hint(hint))
            }
            // A server that names no time, or one that is over, must not be asked without a pause.
            Some(asked) => {
                let least = halfway(self.failures, random).min(left);
                Verdict::Wait(asked.max(least))
            }
            None => Verdict::Wait(jittered(self.failures, random).min(left)),
        }
    }

    /// How long to wait for an object that was just stored and is not seen yet: none when it should
    /// be there `since` that long, or when the deadline comes first. Attempts do not count here.
    pub fn wait_for_object(
        &mut self,
        since: Duration,
        asked: Option<Duration>,
        now: Instant,
        random: f64,
    ) -> Option<Duration> {
        self.not_seen += 1;
        let jittered = FIRST / 2 + jittered(self.not_seen, random);
        let wait = asked.map_or(jittered, |asked| asked.max(jittered));
        let left = self.left_at(now);
        (since.saturating_add(wait) <= NOT_SEEN && wait <= left).then_some(wait)
    }

    /// Judges and waits.
    ///
    /// # Errors
    /// The error itself, when it ends the run.
    pub async fn pause(&mut self, error: Error) -> Result<(), Error> {
        let message = error.message();
        let random = if self.unhurried { 1.0 } else { random() };
        match self.judge(error, active_time::now(), random) {
            Verdict::GiveUp(error) => Err(error),
            Verdict::Wait(wait) => {
                let level = notice(wait);
                log::log!(
                    level,
                    "{message}; trying again in {:.1} s",
                    wait.as_secs_f64()
                );
                active_time::sleep(wait).await;
                Ok(())
            }
        }
    }
}

/// How loud to be about a wait: a person notices two seconds.
pub(crate) fn notice(wait: Duration) -> log::Level {
    if wait < Duration::from_secs(2) {
        log::Level::Info
    } else {
        log::Level::Warn
    }
}

/// Full jitter: uniform between nothing and the exponential bound of the `failures`-th wait.
fn jittered(failures: u32, random: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    (FIRST * 2u32.pow(doublings)).min(LONGEST).mul_f64(random)
}

/// Uniform between half of that bound and all of it.
fn halfway(failures: u32, random: f64) -> Duration {
    jittered(failures, 0.5 + random / 2.0)
}

/// Uniform in 0..1, from the system's source; the middle where that fails.
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

    fn retry(retries: u32, now: Instant) -> Retry {
        let policy = Policy {
            retries,
            max_time: 300 * SECOND,
        };
        Retry::new(policy, now)
    }

    fn broken() -> Error {
        Error::new(Code::Network, "broken")
    }

    fn waits(verdict: &Verdict) -> Option<Duration> {
        match verdict {
            Verdict::Wait(wait) => Some(*wait),
            Verdict::GiveUp(_) => None,
        }
    }

    #[test]
    fn waits_double_from_half_a_second_to_thirty() {
        let now = Instant::now();
        let mut retry = retry(9, now);
        let waits: Vec<_> = (0..10)
            .map(|_| waits(&retry.judge(broken(), now, 1.0)).map(|wait| wait.as_secs_f64()))
            .collect();
        let expected = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0].map(Some);
        assert_eq!(waits[..9], expected);
        assert_eq!(waits[9], None);
    }

    #[test]
    fn jitter_takes_all_of_the_interval() {
        assert_eq!(jittered(3, 0.0), Duration::ZERO);
        assert_eq!(jittered(3, 0.5), SECOND);
    }

    #[test]
    fn no_retries_is_a_single_attempt() {
        let now = Instant::now();
        assert!(waits(&retry(0, now).judge(broken(), now, 1.0)).is_none());
    }

    #[test]
    fn progress_starts_attempts_and_deadline_anew() {
        let mut now = Instant::now();
        let mut retry = retry(1, now);
        for _ in 0..50 {
            now += 299 * SECOND;
            assert!(waits(&retry.judge(broken(), now, 1.0)).is_some());
            retry.progressed(now);
        }
        assert!(waits(&retry.judge(broken(), now, 1.0)).is_some());
        assert!(waits(&retry.judge(broken(), now, 1.0)).is_none());
    }

    #[test]
    fn the_deadline_ends_it_whatever_attempts_are_left() {
        let now = Instant::now();
        let mut retry = retry(100, now);
        assert!(waits(&retry.judge(broken(), now + 300 * SECOND, 1.0)).is_none());
    }

    #[test]
    fn retry_after_is_obeyed_and_one_past_the_deadline_ends_it_at_once() {
        let now = Instant::now();
        let mut retry = retry(5, now);
        let asked = |wait| broken().with_retry_after(Some(wait));
        assert_eq!(
            waits(&retry.judge(asked(7 * SECOND), now, 0.0)),
            Some(7 * SECOND)
        );
        match retry.judge(asked(3600 * SECOND), now, 0.0) {
            Verdict::GiveUp(error) => assert!(error.hint().contains("3600 s"), "{error:?}"),
            Verdict::Wait(wait) => panic!("waits {wait:?}"),
        }
        match retry.judge(asked(Duration::MAX), now, 0.0) {
            Verdict::GiveUp(error) => assert!(error.hint().contains(" days"), "{error:?}"),
            Verdict::Wait(wait) => panic!("waits {wait:?}"),
        }
    }

    #[test]
    fn a_server_that_names_no_time_is_given_half_of_the_usual_wait_at_least() {
        let now = Instant::now();
        for (random, first, second) in [(0.0, 0.25, 0.5), (1.0, 0.5, 1.0)] {
            let mut retry = retry(5, now);
            for expected in [first, second] {
                let none = broken().with_retry_after(Some(Duration::ZERO));
                let wait = waits(&retry.judge(none, now, random));
                assert_eq!(wait, Some(Duration::from_secs_f64(expected)));
            }
        }
    }

    #[test]
    fn an_object_is_waited_for_up_to_thirty_seconds_or_the_deadline() {
        let now = Instant::now();
        let mut patient = retry(0, now);
        let waits: Vec<_> = (0..4)
            .map(|_| patient.wait_for_object(SECOND, None, now, 1.0))
            .collect();
        let seconds = [0.75, 1.25, 2.25, 4.25].map(|s| Some(Duration::from_secs_f64(s)));
        assert_eq!(waits, seconds);
        assert_eq!(patient.wait_for_object(29 * SECOND, None, now, 1.0), None);
        assert_eq!(
            patient.wait_for_object(SECOND, Some(20 * SECOND), now, 0.0),
            Some(20 * SECOND)
        );
        let late = now + 300 * SECOND;
        assert_eq!(patient.wait_for_object(SECOND, None, late, 1.0), None);
    }

    #[test]
    fn what_cannot_help_is_not_tried_again() {
        let now = Instant::now();
        let refused = Error::new(Code::Certificate, "expired");
        assert!(waits(&retry(5, now).judge(refused, now, 0.0)).is_none());
    }
}
