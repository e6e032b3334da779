//! The warning that the API has sent no answer to a paid request for a while. The answer may take minutes, because
//! docfetch must learn from it whether the request was charged.

use crate::active_time;
use crate::current_document::warn_of_document;
use crate::text::{rounded_up, short_duration};
use std::convert::Infallible;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// How long docfetch waits before it tells the user that it waits.
const QUIET_TIME: Duration = Duration::from_secs(30);

/// Warns of a silent API once a run.
#[derive(Debug, Default)]
pub(super) struct SilenceWarning {
    is_told: AtomicBool,
}

impl SilenceWarning {
    /// Does `work`, which sends a paid request and notifies `sent` when the request leaves. Warns the user when the
    /// answer has not arrived 30 s later; `limit` is how long docfetch waits for an answer.
    pub(super) async fn watch<T>(
        &self,
        sent: &Notify,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> T {
        let warning = async {
            sent.notified().await;
            active_time::sleep(QUIET_TIME).await;
            if !self.is_told.swap(true, Ordering::Relaxed) {
                warn_of_document!(
                    "waiting for the answer to a paid request for {}; docfetch waits at most {} more, to learn \
                     whether the request was charged",
                    short_duration(QUIET_TIME),
                    rounded_up(limit.saturating_sub(QUIET_TIME))
                );
            }
            pending::<Infallible>().await
        };
        tokio::select! {
            biased;
            done = work => done,
            never = warning => match never {},
        }
    }
}
