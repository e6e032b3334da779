//! How long docfetch waits for a document that the service calls not ready.
//!
//! The user limits the whole wait (`--wait`). docfetch obeys `Retry-After` (RFC 9110 section 10.2.3). Without one, a
//! pause of 1 s comes first, and each further pause is twice as long, up to 30 s. A pause that is longer than the rest
//! of the wait ends the work at once, where the service asked for that pause. The retry policy counts none of this.

use crate::active_time;
use crate::error::{Error, Result};
use crate::http::backoff::{RetryContext, wait_level};
use crate::text::rounded_up;
use std::time::{Duration, Instant};

/// The first pause.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// No pause that docfetch chooses is longer.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// The wait for one document.
#[derive(Debug)]
pub(super) struct ReadyWait {
    /// How long docfetch waits.
    limit: Duration,
    /// When the service called the document not ready for the first time.
    began: Option<Instant>,
    /// The next pause.
    pause: Duration,
}

impl ReadyWait {
    /// A wait of at most `limit`.
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            began: None,
            pause: FIRST_PAUSE,
        }
    }

    /// Waits after an answer whose `error` says that the document is not ready. The deadline of `retry` moves by the
    /// time of the wait.
    ///
    /// # Errors
    /// `error`, where docfetch waits no longer.
    pub(super) async fn wait_after(
        &mut self,
        error: Error,
        retry: &mut RetryContext,
    ) -> Result<()> {
        let message = error.message();
        let pause = self.next_pause(error, active_time::now())?;
        let seconds = pause.as_secs_f64();
        log::log!(
            wait_level(pause),
            "{message}; requesting it again in {seconds:.1} s"
        );
        let started = active_time::now();
        active_time::sleep(pause).await;
        retry.exclude(active_time::since(started));
        Ok(())
    }

    /// The pause before the next request.
    fn next_pause(&mut self, error: Error, now: Instant) -> Result<Duration> {
        let began = *self.began.get_or_insert(now);
        let left = (began + self.limit).saturating_duration_since(now);
        let asked = error.retry_after();
        if left.is_zero() || asked.is_some_and(|asked| asked > left) {
            return Err(self.not_waited_for(error));
        }
        let own = self.pause.min(left);
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        // A `Retry-After` of zero must not cause a request without any wait.
        Ok(asked.map_or(own, |asked| asked.max(FIRST_PAUSE.min(left))))
    }

    /// The error of a document that docfetch waits no longer for.
    fn not_waited_for(&self, error: Error) -> Error {
        let time = error.retry_after().map(rounded_up);
        let hint = match (self.limit.is_zero(), time) {
            (true, None) => "pass --wait 10m, and docfetch waits until it is ready".to_owned(),
            (true, Some(time)) => {
                format!("run again in {time}, or pass --wait with a time that long")
            }
            (false, None) => "run again later, or pass a longer --wait".to_owned(),
            (false, Some(time)) => format!("run again in {time}, or pass a longer --wait"),
        };
        error.with_hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    const SECOND: Duration = Duration::from_secs(1);

    fn not_ready(asked: Option<u64>) -> Error {
        let error = Error::new(Code::NotReady, "not ready");
        error.with_retry_after(asked.map(Duration::from_secs))
    }

    #[test]
    fn without_a_wait_the_first_answer_ends_the_work() {
        for (asked, hint) in [
            (
                None,
                "pass --wait 10m, and docfetch waits until it is ready",
            ),
            (
                Some(120),
                "run again in 2 min, or pass --wait with a time that long",
            ),
        ] {
            let ended = ReadyWait::new(Duration::ZERO).next_pause(not_ready(asked), Instant::now());
            assert_eq!(ended.unwrap_err().hint(), hint);
        }
    }

    #[test]
    fn pauses_grow_from_one_second_to_thirty_and_end_with_the_wait() {
        let mut now = Instant::now();
        let mut wait = ReadyWait::new(100 * SECOND);
        let mut pauses = Vec::new();
        let end = loop {
            match wait.next_pause(not_ready(None), now) {
                Ok(pause) => {
                    pauses.push(pause.as_secs());
                    now += pause;
                }
                Err(error) => break error,
            }
        };
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 9]);
        assert_eq!(end.hint(), "run again later, or pass a longer --wait");
        assert_eq!(end.exit_code(), 5);
    }

    #[test]
    fn a_retry_after_is_obeyed_within_the_wait_and_ends_a_shorter_one() {
        let now = Instant::now();
        let mut wait = ReadyWait::new(60 * SECOND);
        let mut pause = |asked| wait.next_pause(not_ready(Some(asked)), now);
        assert_eq!(pause(45).unwrap(), 45 * SECOND);
        assert_eq!(pause(0).unwrap(), SECOND);
        let error = pause(61).unwrap_err();
        assert!(
            error.hint().contains("pass a longer --wait"),
            "{}",
            error.hint()
        );
    }
}
