//! When a presigned URL starts to be valid, and when it expires, by its own query.
//!
//! Sources: Amazon S3 "Authenticating requests: using query parameters" (`X-Amz-Date`,
//! `X-Amz-Expires`; before Signature Version 4, `Expires`), Google Cloud Storage "Signed URLs"
//! (`X-Goog-Date`, `X-Goog-Expires`), Azure Storage "Create a service SAS" (`se`), Amazon `CloudFront`
//! "Signed URLs" (`Expires`, or `Policy`), nginx `secure_link` (`expires`), `OpenStack` Swift "Temporary
//! URL middleware" (`temp_url_expires`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use url::Url;

/// The value of a parameter, whose name is compared without case.
fn parameter(url: &Url, name: &str) -> Option<String> {
    let mut pairs = url.query_pairs();
    let found = pairs.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.into_owned())
}

/// The latest time, of those that the query of a URL names, before which a storage does not accept the URL;
/// `None` when it names none. Azure calls it `st`, `CloudFront` has it in the policy; elsewhere it is the time of
/// the signature.
pub(crate) fn start_of(url: &Url) -> Option<Timestamp> {
    let value = |name: &str| parameter(url, name);
    let found = [
        value("X-Amz-Date").and_then(|text| time(&text)),
        value("X-Goog-Date").and_then(|text| time(&text)),
        value("st").and_then(|text| time(&text)),
        value("Policy").and_then(|text| policy(&text, "DateGreaterThan")),
    ];
    found.into_iter().flatten().max()
}

/// The earliest expiry that the query of a URL names; `None` when it names none.
pub(crate) fn expiry_of(url: &Url) -> Option<Timestamp> {
    let value = |name: &str| parameter(url, name);
    let signed = |date: &str, expires: &str| {
        let seconds = value(expires)?.parse().ok()?;
        time(&value(date)?)?
            .checked_add(SignedDuration::from_secs(seconds))
            .ok()
    };
    let found = [
        signed("X-Amz-Date", "X-Amz-Expires"),
        signed("X-Goog-Date", "X-Goog-Expires"),
        value("se").and_then(|text| time(&text)),
        value("Expires").and_then(|text| epoch(&text)),
        value("temp_url_expires").and_then(|text| epoch(&text).or_else(|| time(&text))),
        value("Policy").and_then(|text| policy(&text, "DateLessThan")),
    ];
    found.into_iter().flatten().min()
}

/// Parses seconds since 1970.
fn epoch(text: &str) -> Option<Timestamp> {
    Timestamp::from_second(text.parse().ok()?).ok()
}

/// Parses ISO 8601 in the forms that the services use. A time without a zone is UTC.
fn time(text: &str) -> Option<Timestamp> {
    let civil = |time: DateTime| time.to_zoned(TimeZone::UTC).ok();
    text.parse()
        .ok()
        .or_else(|| {
            let text = text.trim_end_matches('Z');
            let zoned = civil(text.parse().ok()?)?;
            Some(zoned.timestamp())
        })
        .or_else(|| {
            let day: Date = text.parse().ok()?;
            Some(civil(day.to_datetime(jiff::civil::Time::midnight()))?.timestamp())
        })
}

/// The time of a condition in a `CloudFront` policy. The policy is JSON in base64, with `-`, `_` and `~` in place
/// of `+`, `=` and `/`.
fn policy(text: &str, condition: &str) -> Option<Timestamp> {
    let text = text.replace('-', "+").replace('_', "=").replace('~', "/");
    let json: serde_json::Value = serde_json::from_slice(&STANDARD.decode(text).ok()?).ok()?;
    let pointer = format!("/Statement/0/Condition/{condition}/AWS:EpochTime");
    Timestamp::from_second(json.pointer(&pointer)?.as_i64()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Option<String> {
        let url = Url::parse(&format!("https://s.example/x?{query}")).unwrap();
        expiry_of(&url).map(|time| time.to_string())
    }

    #[test]
    fn every_services_form_of_an_expiry_is_read() {
        let nine = Some("2026-11-21T09:00:00Z".to_owned());
        for query in [
            "X-Amz-Date=20261121T080000Z&X-Amz-Expires=3600",
            "x-amz-date=20261121T080000Z&x-amz-expires=3600",
            "X-Goog-Date=20261121T080000Z&X-Goog-Expires=3600",
            "se=2026-11-21T09%3A00%3A00Z",
            "se=2026-11-21T09%3A00Z",
            "Expires=1795251600",
            "md5=x&expires=1795251600",
            "temp_url_sig=x&temp_url_expires=1795251600",
            "temp_url_sig=x&temp_url_expires=2026-11-21T09:00:00Z",
            // {"Statement":[{"Condition":{"DateLessThan":{"AWS:EpochTime":1795251600}}}]}
            "Policy=eyJTdGF0ZW1lbnQiOlt7IkNvbmRpdGlvbiI6eyJEYXRlTGVzc1RoYW4iOnsiQVdTOkVwb2NoVGltZSI6MTc5NTI1MTYwMH19fV19",
            "Expires=1795251600&X-Amz-Date=20261121T080000Z&X-Amz-Expires=7200",
        ] {
            assert_eq!(of(query), nine, "{query}");
        }
        assert_eq!(of("se=2026-11-21"), Some("2026-11-21T00:00:00Z".to_owned()));
    }

    #[test]
    fn every_services_form_of_a_start_is_read() {
        let start = |query: &str| {
            let url = Url::parse(&format!("https://s.example/x?{query}")).unwrap();
            start_of(&url).map(|time| time.to_string())
        };
        for query in [
            "X-Amz-Date=20261121T090000Z&X-Amz-Expires=3600",
            "X-Goog-Date=20261121T090000Z",
            "st=2026-11-21T09%3A00%3A00Z&se=2026-11-21T10%3A00%3A00Z",
            "st=2026-11-21T09%3A00Z&X-Amz-Date=20261121T080000Z",
            // {"Statement":[{"Condition":{"DateGreaterThan":{"AWS:EpochTime":1795251600}}}]}
            "Policy=eyJTdGF0ZW1lbnQiOlt7IkNvbmRpdGlvbiI6eyJEYXRlR3JlYXRlclRoYW4iOnsiQVdTOkVwb2NoVGltZSI6MTc5NTI1MTYwMH19fV19",
        ] {
            assert_eq!(
                start(query).as_deref(),
                Some("2026-11-21T09:00:00Z"),
                "{query}"
            );
        }
        for query in [
            "",
            "se=2026-11-21T09%3A00Z",
            "Expires=1795251600",
            "st=soon",
            "Policy=x",
        ] {
            assert_eq!(start(query), None, "{query}");
        }
    }

    #[test]
    fn nonsense_names_no_expiry() {
        for query in [
            "",
            "X-Amz-Expires=3600",
            "X-Amz-Date=yesterday&X-Amz-Expires=3600",
            "X-Amz-Date=20261121T080000Z&X-Amz-Expires=99999999999999999",
            "Expires=soon",
            "Expires=99999999999999999999",
            "temp_url_expires=later",
            "Policy=%7B%7D",
            "se=",
        ] {
            assert_eq!(of(query), None, "{query}");
        }
    }
}
