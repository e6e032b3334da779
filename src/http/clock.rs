//! The time by the servers' clock. This machine's can be hours off; what expires is judged by whoever
//! made it.

use super::headers;
use crate::mutex::locked;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{DATE, HeaderMap};
use std::sync::Mutex;

/// How far this machine's clock is off, as the last answer's `Date` (RFC 9110 section 6.6.1) told.
#[derive(Debug, Default)]
pub struct Clock(Mutex<Option<SignedDuration>>);

impl Clock {
    /// Takes the `Date` of an answer that came `now`.
    pub fn learn(&self, headers: &HeaderMap, now: Timestamp) {
        if let Some(date) = date(headers) {
            let ahead = date.duration_since(now);
            *locked(&self.0) = Some(ahead);
        }
    }

    /// The servers' time; none before an answer told it.
    pub fn now(&self) -> Option<Timestamp> {
        let ahead = (*locked(&self.0))?;
        Timestamp::now().checked_add(ahead).ok()
    }

    /// The servers' time, or this machine's as long as no answer told it.
    pub fn best(&self) -> Timestamp {
        self.now().unwrap_or_else(Timestamp::now)
    }

    /// The earlier one of the servers' time and this machine's.
    pub fn earliest(&self) -> Timestamp {
        self.best().min(Timestamp::now())
    }
}

/// The `Date` of an answer.
pub(crate) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(headers::text(headers, DATE)?).ok()?;
    Timestamp::try_from(date).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn the_servers_date_corrects_a_wrong_clock() {
        let clock = Clock::default();
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
