//! The time by the servers' clock.
//!
//! The clock of this machine can be wrong by hours. The server that issues a URL decides when the URL
//! expires, so docfetch compares expiry times with the server's clock.

use super::headers;
use crate::mutex::locked;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::HeaderMap;
use std::sync::Mutex;

/// The difference between the servers' clock and this machine's, from the `Date` (RFC 9110 section 6.6.1)
/// of the last answer.
#[derive(Debug, Default)]
pub(crate) struct ServerClock(Mutex<Option<SignedDuration>>);

impl ServerClock {
    /// Reads the `Date` of an answer that arrived at `now`, by this machine's clock.
    pub(super) fn learn(&self, headers: &HeaderMap, now: Timestamp) {
        if let Some(date) = headers::date(headers) {
            *locked(&self.0) = Some(date.duration_since(now));
        }
    }

    /// The servers' time; `None` before the first answer with a `Date`.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        let difference = (*locked(&self.0))?;
        Timestamp::now().checked_add(difference).ok()
    }

    /// The servers' time, or this machine's time before the first answer with a `Date`.
    pub(crate) fn best(&self) -> Timestamp {
        self.now().unwrap_or_else(Timestamp::now)
    }

    /// The earlier one of the servers' time and this machine's time.
    pub(crate) fn earliest(&self) -> Timestamp {
        self.best().min(Timestamp::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{DATE, HeaderValue};

    #[test]
    fn the_servers_date_corrects_a_wrong_clock() {
        let clock = ServerClock::default();
        assert_eq!(clock.now(), None);
        let mut headers = HeaderMap::new();
        headers.insert(DATE, HeaderValue::from_static("nonsense"));
        clock.learn(&headers, Timestamp::now());
        assert_eq!(clock.now(), None);
        let date = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
        headers.insert(DATE, date);
        clock.learn(&headers, Timestamp::now());
        let off = clock.best().as_second() - 784_111_777;
        assert!((0..=1).contains(&off), "{off}");
    }
}
