//! `--limit-rate`: a limit of the bytes per second, over all transfers of one fetcher.

use crate::mutex::locked;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Limits the bytes per second of all transfers that share it.
#[derive(Debug)]
pub(crate) struct Pace {
    /// At least 1; `None` is no limit.
    bytes_per_second: Option<u64>,
    /// When the time of all bytes that any transfer has requested so far will have passed.
    next_free: Mutex<Instant>,
}

impl Pace {
    /// A limit in bytes per second; `None` is no limit, 0 counts as 1.
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            bytes_per_second: bytes_per_second.map(|rate| rate.max(1)),
            next_free: Mutex::new(Instant::now()),
        }
    }

    /// Whether there is a limit.
    pub(super) fn is_limited(&self) -> bool {
        self.bytes_per_second.is_some()
    }

    /// How many bytes a transfer passes on at once: those of a tenth of a second, so that they flow
    /// evenly.
    pub(super) fn max_piece_bytes(&self) -> usize {
        self.bytes_per_second.map_or(usize::MAX, |rate| {
            usize::try_from(rate / 10).unwrap_or(usize::MAX).max(1)
        })
    }

    /// Waits until `bytes` more may pass. Time in which no transfer passed bytes is lost, so that no burst
    /// follows it.
    pub(super) async fn wait_for(&self, bytes: usize) {
        let Some(rate) = self.bytes_per_second else {
            return;
        };
        let time = Duration::from_secs_f64(bytes as f64 / rate as f64);
        let until = {
            let mut next_free = locked(&self.next_free);
            *next_free = (*next_free).max(Instant::now()) + time;
            *next_free
        };
        tokio::time::sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_transfers_share_the_rate() {
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

    #[tokio::test(start_paused = true)]
    async fn a_rate_of_zero_counts_as_one_byte_per_second() {
        let pace = Pace::new(Some(0));
        let begun = Instant::now();
        pace.wait_for(3).await;
        assert_eq!(begun.elapsed().as_secs(), 3);
    }
}
