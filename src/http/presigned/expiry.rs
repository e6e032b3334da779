//! When a presigned URL expires, by its own query.
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

/// The earliest expiry that the query of a URL names; `None` when it names none.
pub(crate) fn expiry_of(url: &Url) -> Option<Timestamp> {
    let value = |name: &str| {
        let mut pairs = url.query_pairs();
        pairs
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.into_owned())
    };
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
        value("Policy").and_then(|text| policy(&text)),
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

/// The expiry in a `CloudFront` policy. The policy is JSON in base64, with `-`, `_` and `~` in place of `+`,
/// `=` and `/`.
fn policy(text: &str) -> Option<Timestamp> {
    let text = text.replace('-', "+").replace('_', "=").replace('~', "/");
    let json: serde_json::Value = serde_json::from_slice(&STANDARD.decode(text).ok()?).ok()?;
    let end = json.pointer("/Statement/0/Condition/DateLessThan/AWS:EpochTime")?;
    Timestamp::from_second(end.as_i64()?).ok()
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
