//! What docfetch does after a segment broke while other connections of the document work.

use crate::error::{Code, Error};
use crate::fetch::transfer::progress::MIN_PROGRESS_BYTES;
use crate::http::backoff::{RetryContext, RetryDecision};
use std::time::{Duration, Instant};

/// When the connections of a document may request again after failures. The document's own attempts are not
/// spent on these failures.
#[derive(Debug)]
pub(super) struct Failures {
    retry: RetryContext,
    /// How many bytes the partial held at the last failure.
    held_at_last: u64,
    /// How long the next free connection pauses before its request.
    pause: Duration,
    /// No connection sends a request before this time, which the storage names in its `Retry-After`.
    not_before: Instant,
}

impl Failures {
    /// No failure so far. `retry` says how often to retry; the partial holds `held` bytes.
    pub(super) fn new(retry: RetryContext, held: u64, now: Instant) -> Self {
        Self {
            retry,
            held_at_last: held,
            pause: Duration::ZERO,
            not_before: now,
        }
    }

    /// Notes that a segment broke while `others` connections work; the partial holds `held` bytes. `random`
    /// is uniform in 0..1. Returns the error when docfetch gives up. The caller of the segments judges the
    /// failure of the last connection, so that one is always returned.
    pub(super) fn note(
        &mut self,
        error: Error,
        held: u64,
        others: usize,
        now: Instant,
        random: f64,
    ) -> Option<Error> {
        log::info!("a segment broke: {}", error.message());
        if held >= self.held_at_last + MIN_PROGRESS_BYTES {
            match error.code() {
                Code::Stalled => self.retry.stalled_after_progress(now),
                _ => self.retry.progressed(now),
            }
        }
        self.held_at_last = held;
        if others == 0 {
            return Some(error);
        }
        let storage_asked = error.retry_after().is_some();
        match self.retry.decide(error.clone(), now, random) {
            RetryDecision::Wait(wait) if storage_asked => {
                self.not_before = self.not_before.max(now + wait);
                None
            }
            RetryDecision::Wait(wait) => {
                self.pause = wait;
                None
            }
            RetryDecision::GiveUp(_) => Some(error),
        }
    }

    /// How long the storage wants no requests.
    pub(super) fn held_back(&self, now: Instant) -> Duration {
        self.not_before.saturating_duration_since(now)
    }

    /// How long the next free connection pauses before its request. The one behind it pauses only as long as
    /// the storage wants no requests.
    pub(super) fn take_pause(&mut self, now: Instant) -> Duration {
        self.held_back(now).max(std::mem::take(&mut self.pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::backoff::RetryPolicy;

    const SECOND: Duration = Duration::from_secs(1);

    fn failures(retries: u32, now: Instant) -> Failures {
        let policy = RetryPolicy {
            retries,
            max_time: 60 * SECOND,
        };
        Failures::new(RetryContext::new(policy, now), 0, now)
    }

    fn broken() -> Error {
        Error::new(Code::Network, "the connection broke")
    }

    #[test]
    fn one_connection_pauses_after_a_failure_and_the_others_do_not() {
        let now = Instant::now();
        let mut failures = failures(5, now);
        assert!(failures.note(broken(), 0, 2, now, 1.0).is_none());
        assert_eq!(failures.take_pause(now), SECOND / 2);
        assert_eq!(failures.take_pause(now), Duration::ZERO);
    }

    #[test]
    fn all_connections_wait_as_long_as_the_storage_asks() {
        let now = Instant::now();
        let mut failures = failures(5, now);
        let busy = |seconds| {
            let busy = Error::new(Code::StorageError, "the storage is busy");
            busy.with_retry_after(Some(seconds * SECOND))
        };
        assert!(failures.note(busy(20), 0, 2, now, 1.0).is_none());
        assert!(failures.note(busy(10), 0, 1, now, 1.0).is_none());
        assert_eq!(failures.take_pause(now), 20 * SECOND);
        assert_eq!(failures.take_pause(now + 5 * SECOND), 15 * SECOND);
        assert_eq!(failures.held_back(now + 30 * SECOND), Duration::ZERO);
    }

    #[test]
    fn segments_break_as_often_as_the_policy_allows_without_progress() {
        let now = Instant::now();
        let mut failures = failures(1, now);
        assert!(failures.note(broken(), 0, 2, now, 0.0).is_none());
        let held = MIN_PROGRESS_BYTES;
        assert!(failures.note(broken(), held, 2, now, 0.0).is_none());
        let error = failures.note(broken(), held, 2, now, 0.0);
        assert_eq!(error.unwrap().code(), Code::Network);
    }

    #[test]
    fn the_failure_of_the_last_connection_is_returned() {
        let now = Instant::now();
        assert!(failures(5, now).note(broken(), 0, 0, now, 0.0).is_some());
    }
}
