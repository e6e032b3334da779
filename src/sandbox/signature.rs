//! Signs URLs with AWS Signature Version 4 in the query, and checks such URLs.
//!
//! Source: Amazon S3 API reference, "Authenticating requests: using query parameters".

use crate::fingerprint::hexadecimal;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ring::{digest, hmac};
use std::time::Duration;

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const REGION: &str = "local";

/// Signs URLs with a pair of keys, and checks them.
#[derive(Debug)]
pub(super) struct Signer {
    access_key: String,
    secret_key: String,
}

/// Why the storage refuses a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InvalidUrl {
    /// The URL has no signature, or a signature of another request or another key.
    Signature,
    /// The URL has expired.
    Expired,
}

impl Signer {
    /// A signer with these keys.
    pub(super) fn new(access_key: String, secret_key: String) -> Self {
        Self {
            access_key,
            secret_key,
        }
    }

    /// The query of a URL that is valid for a GET of `path` at `host`, from `now` on for `lifetime`. The query
    /// contains and signs the `extra` parameters as well.
    pub(super) fn presign(
        &self,
        host: &str,
        path: &str,
        extra: &[(&str, &str)],
        now: Timestamp,
        lifetime: Duration,
    ) -> String {
        let (date, time) = stamps(now);
        let scope = format!("{date}/{REGION}/s3/aws4_request");
        let credential = format!("{}/{scope}", self.access_key);
        let seconds = lifetime.as_secs().max(1).to_string();
        let mut parameters: Vec<(String, String)> = [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &time),
            ("X-Amz-Expires", &seconds),
            ("X-Amz-SignedHeaders", "host"),
        ]
        .into_iter()
        .chain(extra.iter().copied())
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
        parameters.sort();
        let signature = self.sign(host, path, &parameters, &date, &time);
        format!("{}&X-Amz-Signature={signature}", joined(&parameters))
    }

    /// Checks the query of a GET of `path` at `host`.
    ///
    /// # Errors
    /// [`InvalidUrl`].
    pub(super) fn check(
        &self,
        host: &str,
        path: &str,
        query: &str,
        now: Timestamp,
    ) -> Result<(), InvalidUrl> {
        let mut signature = None;
        let mut parameters = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if name == "X-Amz-Signature" {
                signature = Some(value);
            } else {
                parameters.push((encode(&name), encode(&value)));
            }
        }
        parameters.sort();
        let parameter = |wanted: &str| {
            let found = parameters.iter().find(|(name, _)| name == wanted);
            found
                .map(|(_, value)| value.as_str())
                .ok_or(InvalidUrl::Signature)
        };
        let time = parameter("X-Amz-Date")?.to_owned();
        let lifetime: i64 = parameter("X-Amz-Expires")?
            .parse()
            .map_err(|_| InvalidUrl::Signature)?;
        let date = time.get(..8).ok_or(InvalidUrl::Signature)?;
        let scope = format!("{}/{date}/{REGION}/s3/aws4_request", self.access_key);
        let expected = self.sign(host, path, &parameters, date, &time);
        let complete = parameter("X-Amz-Algorithm")? == "AWS4-HMAC-SHA256"
            && parameter("X-Amz-SignedHeaders")? == "host"
            && parameter("X-Amz-Credential")? == encode(&scope);
        if !complete || signature.as_deref() != Some(&expected) {
            return Err(InvalidUrl::Signature);
        }
        let signed = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &time)
            .and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC))
            .map_err(|_| InvalidUrl::Signature)?
            .timestamp();
        if now.as_second() > signed.as_second() + lifetime {
            return Err(InvalidUrl::Expired);
        }
        Ok(())
    }

    fn sign(
        &self,
        host: &str,
        path: &str,
        parameters: &[(String, String)],
        date: &str,
        time: &str,
    ) -> String {
        let canonical = format!(
            "GET\n{path}\n{}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD",
            joined(parameters)
        );
        let digest = digest::digest(&digest::SHA256, canonical.as_bytes());
        let text = format!(
            "AWS4-HMAC-SHA256\n{time}\n{date}/{REGION}/s3/aws4_request\n{}",
            hexadecimal(digest.as_ref())
        );
        let mut key = format!("AWS4{}", self.secret_key).into_bytes();
        for part in [date, REGION, "s3", "aws4_request"] {
            key = mac(&key, part);
        }
        hexadecimal(&mac(&key, &text))
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn stamps(now: Timestamp) -> (String, String) {
    let now = now.to_zoned(jiff::tz::TimeZone::UTC);
    (
        now.strftime("%Y%m%d").to_string(),
        now.strftime("%Y%m%dT%H%M%SZ").to_string(),
    )
}

/// Percent-encodes as Signature Version 4 requires.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

fn decode(text: &str) -> Result<String, InvalidUrl> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| InvalidUrl::Signature)
}

fn joined(parameters: &[(String, String)]) -> String {
    let pairs: Vec<_> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_signed_url_is_valid_until_it_expires() {
        let signer = Signer::new("AK".into(), "SK".into());
        let hour = Duration::from_hours(1);
        let query = signer.presign("h:1", "/a%20b", &[("x", "\u{e4} &=")], at(1_000_000), hour);
        let check = |host, path, query: &str, now| signer.check(host, path, query, at(now));
        assert_eq!(check("h:1", "/a%20b", &query, 1_003_600), Ok(()));
        assert_eq!(
            check("h:1", "/a%20b", &query, 1_003_601),
            Err(InvalidUrl::Expired)
        );
        assert_eq!(
            check("h:2", "/a%20b", &query, 1_000_000),
            Err(InvalidUrl::Signature)
        );
        assert_eq!(
            check("h:1", "/a", &query, 1_000_000),
            Err(InvalidUrl::Signature)
        );
        let longer = query.replace("Expires=3600", "Expires=9999");
        assert_eq!(
            check("h:1", "/a%20b", &longer, 1_000_000),
            Err(InvalidUrl::Signature)
        );
        assert_eq!(
            check("h:1", "/a%20b", "", 1_000_000),
            Err(InvalidUrl::Signature)
        );
    }

    /// The same URL signed by another implementation.
    #[test]
    fn an_independent_signer_agrees() {
        use rusty_s3::S3Action as _;
        let bucket = rusty_s3::Bucket::new(
            "http://127.0.0.1:9000".parse().unwrap(),
            rusty_s3::UrlStyle::Path,
            "documents",
            REGION,
        )
        .unwrap();
        let keys = rusty_s3::Credentials::new("AK", "SK");
        let url = bucket
            .get_object(Some(&keys), "a b/\u{e4}.pdf")
            .sign(Duration::from_mins(1));
        let signer = Signer::new("AK".into(), "SK".into());
        let query = url.query().unwrap();
        assert_eq!(
            signer.check("127.0.0.1:9000", url.path(), query, Timestamp::now()),
            Ok(())
        );
    }
}
