//! Times in rows.

use super::page::text_of;
use crate::provider::TimeForm;
use jiff::{SignedDuration, Timestamp};

/// The longest text of a time in bytes.
const MAX_TIME_BYTES: usize = 64;

/// The time in RFC 3339 from a number, or a text with a number, to the precision of the number. None for other JSON, and
/// where the table wants a text.
pub(super) fn read(json: &str, form: TimeForm) -> Option<String> {
    let text = json.starts_with('"').then(|| text_of(json, MAX_TIME_BYTES));
    match (form, text) {
        (TimeForm::Rfc3339, _) => None,
        (form, None) => number(json, form),
        (form, Some(text)) => number(text?.trim(), form),
    }
}

/// A number of seconds or milliseconds since 1970, with or without a fraction.
fn number(text: &str, form: TimeForm) -> Option<String> {
    let time = match (form, text.parse::<i64>()) {
        (TimeForm::UnixMilliseconds, Ok(milliseconds)) => {
            Timestamp::from_millisecond(milliseconds).ok()?
        }
        (_, Ok(seconds)) => Timestamp::from_second(seconds).ok()?,
        (_, Err(_)) => {
            let number: f64 = text
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())?;
            let seconds = match form {
                TimeForm::UnixMilliseconds => number / 1000.0,
                _ => number,
            };
            let since = SignedDuration::try_from_secs_f64(seconds).ok()?;
            let rounded = since.round(jiff::Unit::Microsecond).ok()?;
            Timestamp::from_duration(rounded).ok()?
        }
    };
    Some(time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_becomes_rfc_3339() {
        for (json, form, expected) in [
            ("1795338030", TimeForm::Unix, Some("2026-11-22T09:00:30Z")),
            (
                "\"1795338030\"",
                TimeForm::Unix,
                Some("2026-11-22T09:00:30Z"),
            ),
            (
                "1795338030.25",
                TimeForm::Unix,
                Some("2026-11-22T09:00:30.25Z"),
            ),
            (
                "1.795338030e9",
                TimeForm::Unix,
                Some("2026-11-22T09:00:30Z"),
            ),
            ("-1", TimeForm::Unix, Some("1969-12-31T23:59:59Z")),
            (
                "1795338030500",
                TimeForm::UnixMilliseconds,
                Some("2026-11-22T09:00:30.5Z"),
            ),
            (
                "1795338030500.5",
                TimeForm::UnixMilliseconds,
                Some("2026-11-22T09:00:30.5005Z"),
            ),
            ("\"yesterday\"", TimeForm::Unix, None),
            ("99999999999999999999999", TimeForm::Unix, None),
            ("9223372036854775807", TimeForm::UnixMilliseconds, None),
            ("1e400", TimeForm::Unix, None),
            ("\"NaN\"", TimeForm::Unix, None),
            ("{}", TimeForm::Unix, None),
            ("true", TimeForm::Unix, None),
            ("\"\"", TimeForm::Unix, None),
            ("1795338030", TimeForm::Rfc3339, None),
        ] {
            assert_eq!(read(json, form).as_deref(), expected, "{json}");
        }
    }
}
