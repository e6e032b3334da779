//! When a transfer counts as stalled.
//!
//! Only time spent waiting for the network counts ([`crate::active_time`]): a slow disk or a paused reader of
//! standard output is not the server's fault.

use std::collections::VecDeque;
use std::time::Duration;

/// Bytes a second below which a transfer does not count as moving.
const FLOOR: u64 = 1024;
/// Marks in a window: the verdict is at most this fraction late.
const MARKS: u32 = 16;

/// Watches that at least 1 KiB/s arrive over any window of waiting.
#[derive(Debug)]
pub struct StallWatch {
    window: Duration,
    waited: Duration,
    moved: u64,
    /// (waited, moved) at past moments; the first is the newest that is a whole window old.
    marks: VecDeque<(Duration, u64)>,
}

impl StallWatch {
    /// A watch that gives up after `window` of too little.
    pub fn new(window: Duration) -> Self {
        Self {
            window,
            waited: Duration::ZERO,
            moved: 0,
            marks: VecDeque::from([(Duration::ZERO, 0)]),
        }
    }

    /// How long the next wait may last before the watch must be asked again.
    pub fn patience(&self) -> Duration {
        let age = self.waited.saturating_sub(self.marks[0].0);
        (self.window.saturating_sub(age)).max(self.window / MARKS)
    }

    /// Notes a wait of `waited` that brought `bytes`.
    pub fn note(&mut self, waited: Duration, bytes: u64) {
        let step = self.window / MARKS;
        if waited >= step {
            self.marks.push_back((self.waited, self.moved)); // what was before does not count for it
        }
        self.waited += waited;
        self.moved += bytes;
        if self
            .marks
            .back()
            .is_none_or(|(at, _)| self.waited.saturating_sub(*at) >= step)
        {
            self.marks.push_back((self.waited, self.moved));
        }
        while self.marks.len() > 1 && self.waited.saturating_sub(self.marks[1].0) >= self.window {
            self.marks.pop_front();
        }
    }

    /// Whether too little moved over the last window.
    pub fn stalled(&self) -> bool {
        let (at, moved) = self.marks[0];
        let least = u128::from(FLOOR) * self.window.as_millis() / 1000;
        self.waited.saturating_sub(at) >= self.window && u128::from(self.moved - moved) < least
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const SECOND: Duration = Duration::from_secs(1);

    fn run(watch: &mut StallWatch, seconds: u32, bytes_a_second: u64) -> Option<u32> {
        (0..seconds).find(|_| {
            watch.note(SECOND, bytes_a_second);
            watch.stalled()
        })
    }

    #[test]
    fn a_dribble_is_a_stall_after_one_window() {
        let mut watch = StallWatch::new(30 * SECOND);
        assert_eq!(run(&mut watch, 100, 1), Some(29));
    }

    #[test]
    fn a_slow_but_steady_transfer_is_not_a_stall() {
        let mut watch = StallWatch::new(30 * SECOND);
        assert_eq!(run(&mut watch, 1000, 2048), None);
    }

    #[test]
    fn silence_after_speed_is_seen_within_a_window_and_a_mark() {
        let mut watch = StallWatch::new(30 * SECOND);
        assert_eq!(run(&mut watch, 60, 1 << 20), None);
        assert!(run(&mut watch, 100, 0).is_some_and(|second| second < 33));
    }

    #[test]
    fn one_long_silence_after_speed_is_seen_as_soon() {
        let mut watch = StallWatch::new(30 * SECOND);
        watch.note(SECOND / 10, 1 << 20);
        let mut silence = Duration::ZERO;
        while !watch.stalled() {
            let patience = watch.patience();
            watch.note(patience, 0);
            silence += patience;
        }
        assert!(silence < 33 * SECOND, "{silence:?}");
    }

    #[test]
    fn waits_are_never_longer_than_the_window() {
        let mut watch = StallWatch::new(30 * SECOND);
        assert_eq!(watch.patience(), 30 * SECOND);
        watch.note(29 * SECOND, 0);
        assert!(watch.patience() < 2 * SECOND);
    }
}
