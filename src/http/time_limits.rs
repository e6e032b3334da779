//! How long docfetch waits for an answer.

use std::time::Duration;

/// The shortest time limit for the answer to a paid request, from its first byte to its last.
const MIN_PAID_ANSWER_TIME: Duration = Duration::from_mins(5);
/// The shortest time limit for a whole answer to a free request.
const MIN_FREE_ANSWER_TIME: Duration = Duration::from_secs(5);

/// How long the parts of an answer may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeLimits {
    /// From the request to the head of the answer.
    pub head: Duration,
    /// From the request to the end of the body; `None` for no limit while enough bytes arrive.
    pub whole: Option<Duration>,
    /// How long the body may bring less than 1 KiB/s.
    pub stall: Duration,
}

/// The settings from which the limits of each request follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeSettings {
    /// The limit for a connection, with its TLS handshake.
    pub connect_timeout: Duration,
    /// How long an answer may bring less than 1 KiB/s.
    pub stall_timeout: Duration,
    /// How long docfetch tries without progress.
    pub retry_max_time: Duration,
}

impl TimeSettings {
    /// The limits of a paid request. Silence does not end the wait for the answer, because the answer says
    /// whether the request was charged.
    pub(super) fn of_paid_request(self) -> TimeLimits {
        let answer = MIN_PAID_ANSWER_TIME.max(self.retry_max_time);
        // A connection attempt has its own limit and ends before this one. A request that exceeds both
        // limits was therefore sent.
        let whole = self.connect_timeout + answer;
        TimeLimits {
            head: whole,
            whole: Some(whole),
            stall: answer,
        }
    }

    /// The limits of a free request to the API. The whole answer may take `limit`, when there is one.
    pub(super) fn of_free_request(self, limit: Option<Duration>) -> TimeLimits {
        let whole = limit.unwrap_or(MIN_FREE_ANSWER_TIME.max(self.retry_max_time));
        TimeLimits {
            head: self.stall_timeout.min(whole),
            whole: Some(whole),
            stall: self.stall_timeout,
        }
    }

    /// The limits of a request to a storage. The head may take `limit`, when there is one.
    pub(super) fn of_storage_request(self, limit: Option<Duration>) -> TimeLimits {
        TimeLimits {
            head: limit.unwrap_or(self.stall_timeout),
            whole: None,
            stall: self.stall_timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paid_answer_has_at_least_five_minutes_whatever_the_other_limits_are() {
        let minutes = Duration::from_mins;
        for (retry_max_time, least) in [(minutes(1), minutes(5)), (minutes(60), minutes(60))] {
            let settings = TimeSettings {
                connect_timeout: Duration::from_secs(5),
                stall_timeout: Duration::from_secs(5),
                retry_max_time,
            };
            let paid = settings.of_paid_request();
            assert!(paid.head >= least && paid.stall >= least, "{paid:?}");
            assert!(paid.whole.is_some_and(|whole| whole >= least), "{paid:?}");
            let free = settings.of_free_request(None);
            assert_eq!(
                (free.head, free.whole),
                (Duration::from_secs(5), Some(retry_max_time))
            );
        }
    }
}
