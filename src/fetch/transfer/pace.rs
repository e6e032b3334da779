//! `--limit-rate`: so many bytes a second, over all transfers of the process.

use crate::mutex::locked;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Hands out the time that bytes take at a rate; none is no limit.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_a_second: Option<u64>,
    /// When everything that was handed out will have passed.
    free: Mutex<Instant>,
}

impl Pace {
    /// A pace of so many bytes a second.
    pub(crate) fn new(bytes_a_second: Option<u64>) -> Self {
        Self {
            bytes_a_second,
            free: Mutex::new(Instant::now()),
        }
    }

    /// Whether there is a limit.
    pub(crate) fn is_limited(&self) -> bool {
        self.bytes_a_second.is_some()
    }

    /// How many bytes to pass on at once: a tenth of a second's, so that the flow is even.
    pub(crate) fn max_piece_bytes(&self) -> usize {
        self.bytes_a_second.map_or(usize::MAX, |rate| {
            usize::try_from(rate / 10).unwrap_or(usize::MAX).max(1)
        })
    }

    /// Waits until `bytes` more have had their time. Time that nobody used is not made up for.
    pub(crate) async fn wait_for(&self, bytes: usize) {
        let Some(rate) = self.bytes_a_second else {
            return;
        };
        let until = {
            let mut free = locked(&self.free);
            *free =
                (*free).max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / rate as f64);
            *free
        };
        tokio::time::sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_that_pass_share_the_rate() {
        let pace = Pace::new(Some(1000));
        let begun = Instant::now();
        let one = async || {
            for _ in 0..10 {
                pace.wait_for(100).await;
            }
        };
        tokio::join!(one(), one(), one());
        let took = begun.elapsed().as_secs_f64();
        assert!((2.99..3.1).contains(&took), "{took}");
        tokio::time::sleep(Duration::from_mins(1)).await;
        let begun = Instant::now();
        pace.wait_for(1000).await;
        assert!(
            begun.elapsed() >= Duration::from_secs(1),
            "time was saved up"
        );
    }
}
