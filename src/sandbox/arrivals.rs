//! How many requests are answered at the same time, and how many came shortly after one another.

use super::state::State;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The span of [`Lately`].
const SPAN: Duration = Duration::from_secs(10);

/// Which of the two listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Api,
    Storage,
}

/// Whether a path belongs to Standard Metrics, whose requests are limited.
pub(super) fn is_metrics(path: &str) -> bool {
    matches!(path.split('/').nth(1), Some("o" | "v1"))
}

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
pub(super) struct Answering {
    state: Arc<State>,
    origin: Origin,
}

impl Answering {
    /// Counts a request whose head has just arrived.
    pub(super) fn begin(state: &Arc<State>, origin: Origin, path: &str) -> Self {
        let mut changing = state.now();
        changing.report.requests += 1;
        changing.at_once += 1;
        changing.report.most_at_once = changing.report.most_at_once.max(changing.at_once);
        if origin == Origin::Storage {
            changing.storage_at_once += 1;
            changing.report.storage_most_at_once = changing
                .report
                .storage_most_at_once
                .max(changing.storage_at_once);
        } else if is_metrics(path) {
            let count = changing.lately.count(Instant::now());
            changing.report.fullest_window = changing.report.fullest_window.max(count);
        }
        Self {
            state: Arc::clone(state),
            origin,
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut changing = self.state.now();
        changing.at_once -= 1;
        if self.origin == Origin::Storage {
            changing.storage_at_once -= 1;
        }
    }
}

/// Requests of the last ten seconds.
#[derive(Debug, Default)]
pub(super) struct Lately(VecDeque<Instant>);

impl Lately {
    /// Counts one that arrives at `now`; how many there are with it.
    fn count(&mut self, now: Instant) -> u32 {
        while self
            .0
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) >= SPAN)
        {
            self.0.pop_front();
        }
        self.0.push_back(now);
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::super::body::Body;
    use super::*;
    use http_body_util::BodyExt as _;

    #[test]
    fn a_window_is_ten_seconds_long() {
        let start = Instant::now();
        let mut lately = Lately::default();
        let counts = [0, 4000, 9999, 10_000, 13_999, 30_000]
            .map(|after| lately.count(start + Duration::from_millis(after)));
        assert_eq!(counts, [1, 2, 3, 3, 4, 1]);
    }

    #[test]
    fn only_standard_metrics_fills_the_window() {
        let state = Arc::new(State::of(Vec::new()));
        for (origin, path) in [
            (Origin::Api, "/o/token/"),
            (Origin::Api, "/v1/documents/"),
            (Origin::Api, "/api/v1/documents"),
            (Origin::Storage, "/v1/documents/"),
        ] {
            drop(Answering::begin(&state, origin, path));
        }
        let report = state.now().report.clone();
        assert_eq!((report.fullest_window, report.requests), (2, 4));
        assert_eq!((report.most_at_once, report.storage_most_at_once), (1, 1));
    }

    #[tokio::test]
    async fn an_answer_counts_until_its_body_is_handed_out_or_dropped() {
        let state = Arc::new(State::of(Vec::new()));
        let at_once = || {
            let changing = state.now();
            (changing.at_once, changing.storage_at_once)
        };
        let begin = |origin| Answering::begin(&state, origin, "/");
        let mut body = Body::of(b"ab".to_vec()).answering(begin(Origin::Storage));
        let dropped = Body::of(b"ab".to_vec()).answering(begin(Origin::Api));
        assert_eq!(at_once(), (2, 1));
        drop(dropped);
        assert_eq!(at_once(), (1, 1));
        body.frame().await.unwrap().unwrap();
        assert_eq!(at_once(), (0, 0));
        let empty = Body::of(Vec::new()).answering(begin(Origin::Api));
        assert_eq!(at_once(), (0, 0));
        drop((body, empty));
        let report = state.now().report.clone();
        assert_eq!((report.most_at_once, report.storage_most_at_once), (2, 1));
    }
}
