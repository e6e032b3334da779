//! When a transfer counts as stalled.
//!
//! Only time in which docfetch waits for the network counts ([`crate::active_time`]). A slow disk, or a
//! reader of standard output that pauses, causes no stall.

use std::collections::VecDeque;
use std::time::Duration;

/// A transfer that moves fewer bytes a second is stalled.
const MIN_BYTES_PER_SECOND: u64 = 1024;
/// How many marks a window has. A stall is noticed late by at most one mark's distance.
const MARKS_PER_WINDOW: u32 = 16;

/// Watches that at least 1 KiB/s arrives over any window of waiting time.
#[derive(Debug)]
pub(crate) struct StallWatch {
    window: Duration,
    now: Mark,
    /// Past marks. The first one is the newest that is a whole window old.
    marks: VecDeque<Mark>,
}

/// How far a transfer was at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    /// The waiting time until then.
    waited: Duration,
    /// The bytes that had arrived.
    moved: u64,
}

impl StallWatch {
    /// A watch over windows of this length.
    pub(crate) fn new(window: Duration) -> Self {
        Self {
            window,
            now: Mark::default(),
            marks: VecDeque::from([Mark::default()]),
        }
    }

    /// How long the caller may wait before it must check [`StallWatch::is_stalled`] again.
    pub(super) fn max_wait(&self) -> Duration {
        let age = self.waited_since(self.marks[0]);
        self.window.saturating_sub(age).max(self.mark_distance())
    }

    /// Records a wait that took `waited` and brought `bytes`.
    pub(super) fn record(&mut self, waited: Duration, bytes: u64) {
        if waited >= self.mark_distance() {
            // The window of a long wait starts with the wait, not before.
            self.marks.push_back(self.now);
        }
        self.now.waited += waited;
        self.now.moved += bytes;
        let last = self.marks.back();
        if last.is_none_or(|last| self.waited_since(*last) >= self.mark_distance()) {
            self.marks.push_back(self.now);
        }
        while self.marks.len() > 1 && self.waited_since(self.marks[1]) >= self.window {
            self.marks.pop_front();
        }
    }

    /// Whether less than 1 KiB/s arrived over the last window.
    pub(super) fn is_stalled(&self) -> bool {
        let start = self.marks[0];
        let least = u128::from(MIN_BYTES_PER_SECOND) * self.window.as_millis() / 1000;
        self.waited_since(start) >= self.window && u128::from(self.now.moved - start.moved) < least
    }

    fn waited_since(&self, mark: Mark) -> Duration {
        self.now.waited.saturating_sub(mark.waited)
    }

    fn mark_distance(&self) -> Duration {
        self.window / MARKS_PER_WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const SECOND: Duration = Duration::from_secs(1);

    fn run(watch: &mut StallWatch, seconds: u32, bytes_a_second: u64) -> Option<u32> {
        (0..seconds).find(|_| {
            watch.record(SECOND, bytes_a_second);
            watch.is_stalled()
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
        watch.record(SECOND / 10, 1 << 20);
        let mut silence = Duration::ZERO;
        while !watch.is_stalled() {
            let wait = watch.max_wait();
            watch.record(wait, 0);
            silence += wait;
        }
        assert!(silence < 33 * SECOND, "{silence:?}");
    }

    #[test]
    fn waits_are_never_longer_than_the_window() {
        let mut watch = StallWatch::new(30 * SECOND);
        assert_eq!(watch.max_wait(), 30 * SECOND);
        watch.record(29 * SECOND, 0);
        assert!(watch.max_wait() < 2 * SECOND);
    }
}
