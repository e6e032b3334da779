//! Times in the JSON of an answer.

use crate::provider::{Expiry, TimeForm};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// When something expires that an answer of the time `answered` brought. None where the answer does not say.
pub(super) fn end_of(expiry: &Expiry, json: &Value, answered: Timestamp) -> Option<Timestamp> {
    match expiry {
        Expiry::After(lifetime) => answered.checked_add(*lifetime).ok(),
        Expiry::At(field) => field
            .at
            .find_map(json, |value| time_in(value, field.form, answered)),
    }
}

/// The time that a value means. Services write numbers as text, too.
fn time_in(value: &Value, form: TimeForm, answered: Timestamp) -> Option<Timestamp> {
    if form == TimeForm::Rfc3339 {
        return value.as_str()?.trim().parse().ok();
    }
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    let seconds = |seconds: f64| SignedDuration::try_from_secs_f64(seconds).ok();
    let after = |start: Timestamp, length: f64| start.checked_add(seconds(length)?).ok();
    match form {
        TimeForm::Seconds => after(answered, number),
        TimeForm::Hours => after(answered, number * 3600.0),
        TimeForm::Unix => after(Timestamp::UNIX_EPOCH, number),
        TimeForm::UnixMilliseconds => after(Timestamp::UNIX_EPOCH, number / 1000.0),
        TimeForm::Rfc3339 => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Pointer, Pointers, TimeField};
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn every_form_of_an_expiry_is_read() {
        let answered: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let end = |form, value: Value| {
            let at = Pointers(vec![Pointer::parse("/x").unwrap()]);
            let expiry = Expiry::At(TimeField { at, form });
            end_of(&expiry, &json!({ "x": value }), answered).map(|end| end.to_string())
        };
        let four = Some("2026-11-29T16:00:00Z".to_owned());
        for (form, value) in [
            (TimeForm::Seconds, json!(14_400)),
            (TimeForm::Seconds, json!("14400")),
            (TimeForm::Hours, json!(4)),
            (TimeForm::Hours, json!(4.0)),
            (TimeForm::Unix, json!(1_795_968_000)),
            (TimeForm::UnixMilliseconds, json!(1_795_968_000_000_u64)),
            (TimeForm::UnixMilliseconds, json!("1795968000000")),
            (TimeForm::Rfc3339, json!("2026-11-29T16:00:00Z")),
            (TimeForm::Rfc3339, json!("2026-11-29T17:00:00.000+01:00")),
        ] {
            assert_eq!(end(form, value.clone()), four, "{form:?} {value}");
        }
        for (form, value) in [
            (TimeForm::Seconds, json!("soon")),
            (TimeForm::Seconds, json!(1e300)),
            (TimeForm::Seconds, json!("NaN")),
            (TimeForm::Hours, json!(null)),
            (TimeForm::Unix, json!(true)),
            (TimeForm::Rfc3339, json!(14_400)),
        ] {
            assert_eq!(end(form, value.clone()), None, "{form:?} {value}");
        }
        let after = Expiry::After(Duration::from_hours(4));
        let found = end_of(&after, &json!({}), answered).map(|end| end.to_string());
        assert_eq!(found, four);
    }
}
