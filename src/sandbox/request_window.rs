//! How many requests arrive within ten seconds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The length of the window.
const WINDOW: Duration = Duration::from_secs(10);

/// The arrival times of the requests of the last ten seconds.
#[derive(Debug, Default)]
pub(super) struct RequestWindow(VecDeque<Instant>);

impl RequestWindow {
    /// Adds a request that arrives at `now`. Returns how many requests arrived within the window, with this
    /// one.
    pub(super) fn add(&mut self, now: Instant) -> u32 {
        let is_old = |at: &Instant| now.saturating_duration_since(*at) >= WINDOW;
        while self.0.front().is_some_and(is_old) {
            self.0.pop_front();
        }
        self.0.push_back(now);
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_ten_seconds_long() {
        let start = Instant::now();
        let mut window = RequestWindow::default();
        let counts = [0, 4000, 9999, 10_000, 13_999, 30_000]
            .map(|after| window.add(start + Duration::from_millis(after)));
        assert_eq!(counts, [1, 2, 3, 3, 4, 1]);
    }
}
