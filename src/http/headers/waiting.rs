//! How long a server asks the client to wait.

use super::fields::are_digits;
use super::text::text;
use crate::text::LONGEST_TIME;
use jiff::Timestamp;
use reqwest::header::{self, HeaderMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Headers that tell when the server counts requests anew: seconds from now on, or a time. No standard has them
/// any more; early drafts of `RateLimit` had the first one.
const RESET_HEADERS: [&str; 4] = [
    "ratelimit-reset",
    "x-ratelimit-reset",
    "x-rate-limit-reset",
    "x-ratelimit-reset-after",
];
/// Larger numbers are no seconds from now on, but a time: seconds since 1970.
const FIRST_EPOCH_SECOND: f64 = 1e9;
/// Larger numbers are milliseconds since 1970.
const FIRST_EPOCH_MILLISECOND: f64 = 1e12;

/// How long the server asks the client to wait (`Retry-After`, RFC 9110 section 10.2.3), at most
/// [`LONGEST_TIME`].
///
/// The header holds seconds, with or without a fraction, or a date. A date is compared with the answer's
/// own `Date`, so that a wrong clock of this machine has no effect; without a `Date`, with `now`. Where a server or
/// a proxy sends several, the latest time counts.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let values = headers.get_all(header::RETRY_AFTER).iter();
    let values = values.filter_map(|value| value.to_str().ok().map(str::trim));
    let waits = values.filter_map(|value| match httpdate::parse_http_date(value) {
        Ok(date) => Some(until(date, headers, now)),
        Err(_) => longest_of_list(value),
    });
    waits.max()
}

/// How long the server counts no further request of this client, at most [`LONGEST_TIME`]: the `RateLimit` field
/// (draft-ietf-httpapi-ratelimit-headers, also in its earlier forms), or one of [`RESET_HEADERS`].
///
/// Many servers send these headers with every answer. They ask the client to wait only with status 429.
pub(crate) fn rate_limit_reset(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let mut fields = RESET_HEADERS.iter();
    let reset = fields.find_map(|name| reset(text(headers, *name)?, headers, now));
    reset.or_else(|| exhausted_until(text(headers, "ratelimit")?))
}

/// Whether an answer that refuses a request does so for a rate limit: the server asks the client to wait, or has no request
/// left for it.
pub(crate) fn is_rate_limit(headers: &HeaderMap) -> bool {
    headers.contains_key(header::RETRY_AFTER)
        || text(headers, "x-ratelimit-remaining").is_some_and(|left| left.trim() == "0")
}

/// The wait that a reset header names.
fn reset(value: &str, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    if let Ok(date) = httpdate::parse_http_date(value) {
        return Some(until(date, headers, now));
    }
    let value = value.split([',', ';']).next().unwrap_or(value).trim();
    if let Some(wait) = seconds(value) {
        let number: f64 = value.parse().ok()?;
        let since_1970 = match number {
            ..FIRST_EPOCH_SECOND => return Some(wait),
            ..FIRST_EPOCH_MILLISECOND => number,
            milliseconds => milliseconds / 1000.0,
        };
        let time = Duration::try_from_secs_f64(since_1970).ok();
        let time = time.and_then(|since| UNIX_EPOCH.checked_add(since));
        return Some(time.map_or(LONGEST_TIME, |time| until(time, headers, now)));
    }
    let time: Timestamp = value.parse().ok()?;
    Some(until(time.into(), headers, now))
}

/// The wait that a `RateLimit` field names: `"day";r=0;t=30`, or `limit=9, remaining=0, reset=30`. Of several
/// policies, the exhausted one with the longest wait counts; where none says that it is exhausted, the one with
/// the shortest wait.
fn exhausted_until(value: &str) -> Option<Duration> {
    let is_old = value.contains("reset=");
    let policies = value.split(|c| c == ',' && !is_old).map(|policy| {
        let parameter = |name: &str| {
            let mut pairs = policy
                .split([',', ';'])
                .filter_map(|pair| pair.split_once('='));
            pairs.find_map(|(known, value)| (known.trim() == name).then_some(value.trim()))
        };
        let remaining = parameter("r").or_else(|| parameter("remaining"));
        let wait = parameter("t").or_else(|| parameter("reset"));
        (remaining == Some("0"), wait.and_then(seconds))
    });
    let waits = policies.filter_map(|(is_exhausted, wait)| Some((is_exhausted, wait?)));
    let (exhausted, others): (Vec<_>, Vec<_>) = waits.partition(|(is_exhausted, _)| *is_exhausted);
    let wait = |(_, wait)| wait;
    let longest = exhausted.into_iter().map(wait).max();
    longest.or_else(|| others.into_iter().map(wait).min())
}

/// The longest of seconds with commas between them, as a proxy joins several header lines (RFC 9110 section 5.3).
fn longest_of_list(value: &str) -> Option<Duration> {
    let waits: Option<Vec<_>> = value.split(',').map(|part| seconds(part.trim())).collect();
    waits?.into_iter().max()
}

/// How long it takes until `time`, by the answer's own `Date`, or else from `now` on.
fn until(time: SystemTime, headers: &HeaderMap, now: SystemTime) -> Duration {
    let date = text(headers, header::DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    let wait = time.duration_since(date.unwrap_or(now));
    wait.unwrap_or_default().min(LONGEST_TIME)
}

/// Parses seconds, with or without a fraction. Longer times become [`LONGEST_TIME`].
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = are_digits(whole) && are_digits(fraction);
    let seconds: f64 = is_number.then(|| text.parse().ok())??;
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_TIME);
    Some(seconds.min(LONGEST_TIME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::test_headers::headers;
    use proptest::prelude::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_by_the_servers_clock() {
        let now = SystemTime::UNIX_EPOCH;
        let of = |pairs: &[_]| retry_after(&headers(pairs), now).map(|wait| wait.as_secs());
        assert_eq!(of(&[("retry-after", "7")]), Some(7));
        assert_eq!(of(&[("retry-after", "0")]), Some(0));
        assert_eq!(of(&[("retry-after", "12.5")]), Some(12));
        for nonsense in ["", ".5", "5.", "1e3", "+7", "inf", "NaN", "1.5.5", "7 s"] {
            assert_eq!(of(&[("retry-after", nonsense)]), None, "{nonsense:?}");
        }
        let huge = "9".repeat(400);
        for huge in ["18446744073709551615", "18446744073709551616", &huge] {
            assert_eq!(of(&[("retry-after", huge)]), Some(1_000_000_000), "{huge}");
        }
        let end = ("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(of(&[end]), Some(1_000_000_000));
        assert_eq!(of(&[("retry-after", "-7")]), None);
        assert_eq!(of(&[("retry-after", "soon")]), None);
        let date = ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(
            of(&[date, ("date", "Sun, 06 Nov 1994 08:49:30 GMT")]),
            Some(7)
        );
        assert_eq!(
            of(&[date, ("date", "Sun, 06 Nov 1994 08:50:00 GMT")]),
            Some(0)
        );
    }

    #[test]
    fn a_refusal_is_a_rate_limit_where_the_server_names_a_time_or_has_no_request_left() {
        for (pairs, expected) in [
            (&[("retry-after", "7")][..], true),
            (&[("x-ratelimit-remaining", "0")], true),
            (
                &[("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "30")],
                false,
            ),
            (&[("x-ratelimit-remaining", "00")], false),
            (&[("ratelimit-remaining", "0")], false),
            (&[], false),
        ] {
            assert_eq!(is_rate_limit(&headers(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn the_latest_of_several_times_counts() {
        let of = |pairs: &[_]| {
            let wait = retry_after(&headers(pairs), SystemTime::UNIX_EPOCH);
            wait.map(|wait| wait.as_secs())
        };
        let several = [
            ("retry-after", "5"),
            ("retry-after", "soon"),
            ("retry-after", "60"),
        ];
        assert_eq!(of(&several), Some(60));
        assert_eq!(of(&[("retry-after", "60"), ("retry-after", "5")]), Some(60));
        assert_eq!(of(&[("retry-after", "5, 60, 7")]), Some(60));
        assert_eq!(of(&[("retry-after", "5, soon")]), None);
    }

    #[test]
    fn a_rate_limit_names_its_reset_in_every_way_that_servers_write_it() {
        let date = ("date", "Sun, 22 Nov 2026 09:00:00 GMT"); // 1795338000
        let of = |name, value: &str| {
            let found = headers(&[date, (name, value)]);
            rate_limit_reset(&found, UNIX_EPOCH).map(|wait| wait.as_secs_f64())
        };
        for (name, value, expected) in [
            ("ratelimit-reset", "30", 30.0),
            ("ratelimit-reset", "0", 0.0),
            ("x-ratelimit-reset", "12.5", 12.5),
            ("x-ratelimit-reset", "1795338030", 30.0),
            ("x-ratelimit-reset", "1795338030.5", 30.5),
            ("x-ratelimit-reset", "1795338030500", 30.5),
            ("x-ratelimit-reset", "1795337000", 0.0),
            ("x-ratelimit-reset", "30, 60", 30.0),
            ("x-ratelimit-reset", "30;w=60", 30.0),
            ("x-ratelimit-reset", "2026-11-22T09:00:30Z", 30.0),
            ("x-ratelimit-reset", "Sun, 22 Nov 2026 09:00:30 GMT", 30.0),
            ("x-rate-limit-reset", "1795338030", 30.0),
            ("x-ratelimit-reset-after", "1.5", 1.5),
            ("ratelimit", "\"default\";r=0;t=30", 30.0),
            (
                "ratelimit",
                "\"a\";r=0;t=30, \"b\";r=0;t=90, \"c\";r=5;t=3600",
                90.0,
            ),
            ("ratelimit", "\"a\";r=1;t=30, \"b\";r=2;t=9", 9.0),
            ("ratelimit", "limit=100, remaining=0, reset=30", 30.0),
            ("ratelimit", "limit=100,remaining=0,reset=30", 30.0),
            ("x-ratelimit-reset", "99999999999999999999999", 1e9),
            ("x-ratelimit-reset", "253402300799999", 1e9),
            ("ratelimit", "\"a\";r=0;t=99999999999999999999999", 1e9),
        ] {
            assert_eq!(of(name, value), Some(expected), "{name}: {value}");
        }
        for nonsense in ["", "soon", "-5", "+5", "NaN", "1e3", "r=0"] {
            for name in ["x-ratelimit-reset", "ratelimit"] {
                assert_eq!(of(name, nonsense), None, "{name}: {nonsense}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_retry_after_is_what_the_server_means_by_its_own_clock(
            asked in 0u64..10_000_000, date in 0u64..4_000_000_000, off in 0u64..4_000_000_000
        ) {
            let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let here = time(off);
            let seconds = retry_after(&headers(&[("retry-after", &asked.to_string())]), here);
            prop_assert_eq!(seconds, Some(Duration::from_secs(asked)));
            let until = httpdate::fmt_http_date(time(date + asked));
            let dated = [("retry-after", &*until), ("date", &*httpdate::fmt_http_date(time(date)))];
            prop_assert_eq!(retry_after(&headers(&dated), here), Some(Duration::from_secs(asked)));
        }

        #[test]
        fn no_retry_after_is_read_from_nonsense(value in "[ -~]{0,40}") {
            let found = retry_after(&headers(&[("retry-after", &value)]), SystemTime::now());
            let number = value.trim().bytes().all(|b| b.is_ascii_digit() || b"., ".contains(&b));
            prop_assert!(found.is_none_or(|wait| wait <= LONGEST_TIME));
            prop_assert!(found.is_none() || number || value.contains("GMT") || value.contains(':'));
        }

        #[test]
        fn a_reset_is_never_longer_than_the_longest_time(value in "[ -~]{0,40}") {
            for name in ["x-ratelimit-reset", "ratelimit"] {
                let found = rate_limit_reset(&headers(&[(name, &value)]), SystemTime::now());
                prop_assert!(found.is_none_or(|wait| wait <= LONGEST_TIME));
            }
        }
    }
}
