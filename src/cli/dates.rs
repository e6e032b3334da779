//! Days, times and ages on the command line.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use std::time::Duration;

/// A time, the first moment of a day, or the time that long ago.
///
/// # Errors
/// What docfetch expects, for any other text.
pub(super) fn since(text: &str) -> Result<Timestamp, String> {
    date(text, Time::midnight(), Timestamp::now())
}

/// A time, the last moment of a day, or the time that long ago.
///
/// # Errors
/// What docfetch expects, for any other text.
pub(super) fn until(text: &str) -> Result<Timestamp, String> {
    date(text, Time::MAX, Timestamp::now())
}

/// `YYYY-MM-DD`, in UTC and at `time`; a time; or an age, which ends `now`.
fn date(text: &str, time: Time, now: Timestamp) -> Result<Timestamp, String> {
    if let Some(age) = text.strip_prefix('-').filter(|text| age(text).is_some()) {
        return Err(format!(
            "an age without a minus sign is expected, as in {age}"
        ));
    }
    if let Some(age) = age(text) {
        let begin = now.checked_sub(age);
        return begin.map_err(|_| "a shorter age is expected".to_owned());
    }
    let shape: String = text
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    let read = if shape == "0000-00-00" {
        let day = text.parse::<Date>().ok();
        let moment = day.and_then(|day| day.to_datetime(time).to_zoned(TimeZone::UTC).ok());
        moment.map(|moment| moment.timestamp())
    } else {
        text.parse().ok().filter(|_| is_time(&shape))
    };
    read.ok_or_else(|| {
        "a day such as 2026-10-01, a time such as 2026-10-01T08:30:00Z, or an age such as 12h, 7d or 4w is \
         expected"
            .to_owned()
    })
}

/// `12h`, `7d`, `4w`: a number of hours, days of 24 hours, or weeks.
///
/// # Errors
/// What docfetch expects, for any other text.
pub(super) fn age_of(text: &str) -> Result<Duration, String> {
    age(text).ok_or_else(|| "an age such as 12h, 7d or 4w is expected".to_owned())
}

/// An age that is too long for a duration is the longest one.
fn age(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let hours: u64 = match unit {
        'h' => 1,
        'd' => 24,
        'w' => 7 * 24,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().unwrap_or(u64::MAX);
    Some(Duration::from_secs(number.saturating_mul(hours * 3600)))
}

/// Whether a time, its digits all 0, is written as RFC 3339 section 5.6 says: the library takes other
/// forms, too.
fn is_time(shape: &str) -> bool {
    let shape = shape.to_ascii_uppercase();
    let Some(rest) = shape.strip_prefix("0000-00-00T00:00:00") else {
        return false;
    };
    let fraction = rest.strip_prefix('.');
    let offset = fraction.map_or(rest, |digits| digits.trim_start_matches('0'));
    matches!(offset, "Z" | "+00:00" | "-00:00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_whole_and_in_utc() {
        let read = |read: Result<Timestamp, String>| read.map(|time| time.to_string());
        let expected = |text: &str| Ok(text.to_owned());
        assert_eq!(read(since("2026-10-01")), expected("2026-10-01T00:00:00Z"));
        let last = expected("2026-10-01T23:59:59.999999999Z");
        assert_eq!(read(until("2026-10-01")), last);
        for (text, time) in [
            ("2026-10-01T08:30:00Z", "2026-10-01T08:30:00Z"),
            ("2026-10-01t08:30:00.25z", "2026-10-01T08:30:00.25Z"),
            ("2026-10-01T08:30:00+02:00", "2026-10-01T06:30:00Z"),
        ] {
            assert_eq!(read(since(text)), expected(time), "{text}");
            assert_eq!(read(until(text)), expected(time), "{text}");
        }
        for wrong in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-02-30",
            "20261001",
            "2026-10-1",
            "2026-10-01T08:30:00",
            "2026-10-01T08:30Z",
            "2026-10-01T08:30:00+02",
            "2026-10-01T08:30:00Z[UTC]",
            "2026-10-01 08:30:00Z",
            "2026-10-01T08:30:00.Z",
            "9999-12-31",
            "7",
            "h",
            "-7d",
            "+7d",
            "7 d",
            "7D",
            "7m",
            "7y",
            "1.5h",
            "1h30m",
            "7d ",
            "\u{667}d",
            "99999999999999999999w",
        ] {
            assert!(
                since(wrong).is_err() || wrong.starts_with("9999"),
                "{wrong}"
            );
            assert!(until(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_age_ends_now() {
        let now: Timestamp = "2026-10-08T08:30:00.5Z".parse().unwrap();
        for (text, begin) in [
            ("12h", "2026-10-07T20:30:00.5Z"),
            ("7d", "2026-10-01T08:30:00.5Z"),
            ("4w", "2026-09-10T08:30:00.5Z"),
            ("0h", "2026-10-08T08:30:00.5Z"),
            ("007d", "2026-10-01T08:30:00.5Z"),
        ] {
            for time in [Time::midnight(), Time::MAX] {
                let read = date(text, time, now).unwrap();
                assert_eq!(read.to_string(), begin, "{text}");
            }
        }
        let hour = Duration::from_hours(1);
        assert_eq!(
            (age_of("4w"), age_of("1h")),
            (Ok(4 * 7 * 24 * hour), Ok(hour))
        );
        assert!(age_of("2026-10-01").unwrap_err().contains("12h, 7d or 4w"));
    }
}
