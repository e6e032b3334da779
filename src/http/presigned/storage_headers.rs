//! The headers that a storage wants with a request for a presigned URL, such as a token or the key of an encryption.

use crate::secret::register_answer_secrets;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// Headers that belong to one connection (RFC 9110 section 7.6.1), and those that docfetch sets itself.
const IGNORED_HEADERS: [HeaderName; 10] = [
    header::HOST,
    header::RANGE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::ACCEPT_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
];
/// Further headers of one connection, and the start of the names of conditions (RFC 9110 section 13.1).
const IGNORED_STARTS: [&str; 3] = ["keep-alive", "proxy-", "if-"];

/// Headers for the storage. Their values are secrets: `Debug` shows none, and docfetch redacts them in all text.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct StorageHeaders(Arc<HeaderMap>);

/// Why JSON holds no headers for a storage. No text of the JSON is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidStorageHeaders {
    /// Neither an object nor an array of texts.
    #[error("is neither an object of headers nor an array of \"Name: value\"")]
    Form,
    /// A name that no header has (RFC 9110 section 5.1).
    #[error("has a header whose name is not valid")]
    Name,
    /// A value that no header can carry (RFC 9110 section 5.5).
    #[error("has a header whose value is not valid")]
    Value,
}

impl StorageHeaders {
    /// Reads headers from JSON: an object, or an array of `"Name: value"`. Leaves out the headers that docfetch sets
    /// itself, and those of one connection. Registers the values as secrets.
    ///
    /// # Errors
    /// What is wrong with the JSON.
    pub(crate) fn from_json(json: &Value) -> Result<Self, InvalidStorageHeaders> {
        let mut pairs = Vec::new();
        match json {
            Value::Null => {}
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value {
                        Value::Null => {}
                        Value::String(text) => pairs.push((name.as_str(), text.clone())),
                        Value::Number(_) | Value::Bool(_) => {
                            pairs.push((name.as_str(), value.to_string()));
                        }
                        Value::Array(_) | Value::Object(_) => {
                            return Err(InvalidStorageHeaders::Form);
                        }
                    }
                }
            }
            Value::Array(lines) => {
                for line in lines {
                    let line = line.as_str().ok_or(InvalidStorageHeaders::Form)?;
                    let line = line.split_once(':');
                    let (name, value) = line.ok_or(InvalidStorageHeaders::Form)?;
                    pairs.push((name.trim(), value.to_owned()));
                }
            }
            _ => return Err(InvalidStorageHeaders::Form),
        }
        Self::from_pairs(pairs.iter().map(|(name, value)| (*name, value.as_str())))
    }

    /// The headers of these names and values.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub(crate) fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, InvalidStorageHeaders> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes());
            let name = name.map_err(|_| InvalidStorageHeaders::Name)?;
            let text = value.trim_matches([' ', '\t']);
            let value = HeaderValue::from_str(text);
            let mut value = value.map_err(|_| InvalidStorageHeaders::Value)?;
            if is_ignored(&name) {
                continue;
            }
            value.set_sensitive(true);
            register(&name, text);
            headers.append(name, value);
        }
        Ok(Self(Arc::new(headers)))
    }

    /// The headers themselves, for the request.
    pub(crate) fn expose(&self) -> &HeaderMap {
        &self.0
    }

    /// Each name and value, for the ledger and for `docfetch url --json`.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.0.iter();
        pairs.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }
}

impl fmt::Debug for StorageHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

fn is_ignored(name: &HeaderName) -> bool {
    let is_start = |start: &&str| name.as_str().starts_with(start);
    IGNORED_HEADERS.contains(name) || IGNORED_STARTS.iter().any(is_start)
}

/// Registers a value and each word of the value: a server may echo the token without its scheme. A media type is no
/// secret, and records show the one of a document.
fn register(name: &HeaderName, value: &str) {
    if matches!(*name, header::ACCEPT | header::CONTENT_TYPE) {
        return;
    }
    let words = value.split([' ', '\t', ',', ';', '"']);
    let parts = words.flat_map(|word| [word, word.split_once('=').unwrap_or_default().1]);
    register_answer_secrets(parts.chain([value]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::redact;
    use serde_json::json;

    fn pairs(json: &Value) -> Result<Vec<(String, String)>, InvalidStorageHeaders> {
        let headers = StorageHeaders::from_json(json)?;
        let pairs = headers.pairs();
        Ok(pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }

    #[test]
    fn headers_are_read_from_an_object_and_from_an_array() {
        let one = |name: &str, value: &str| Ok(vec![(name.to_owned(), value.to_owned())]);
        for json in [
            json!({"X-Token": "t:1"}),
            json!(["X-Token: t:1"]),
            json!(["x-token:t:1 "]),
        ] {
            assert_eq!(pairs(&json), one("x-token", "t:1"), "{json}");
        }
        assert_eq!(
            pairs(&json!({"X-Count": 7, "X-None": null})),
            one("x-count", "7")
        );
        for json in [json!(null), json!({}), json!([])] {
            assert_eq!(pairs(&json), Ok(vec![]), "{json}");
        }
    }

    #[test]
    fn headers_of_docfetch_and_of_one_connection_are_left_out() {
        let json = json!({
            "Host": "evil", "range": "bytes=0-1", "If-Match": "x", "IF-RANGE": "x", "Content-Length": "3",
            "Transfer-Encoding": "chunked", "Connection": "close", "Accept-Encoding": "gzip", "Keep-Alive": "x",
            "Proxy-Authorization": "x", "TE": "x", "Trailer": "x", "Upgrade": "h2c", "Expect": "100-continue",
            "X-Kept": "y",
        });
        let kept = vec![("x-kept".to_owned(), "y".to_owned())];
        assert_eq!(pairs(&json), Ok(kept));
    }

    #[test]
    fn what_no_header_can_carry_is_refused() {
        use InvalidStorageHeaders::{Form, Name, Value};
        for (json, wrong) in [
            (json!("X-Token: t"), Form),
            (json!(7), Form),
            (json!([7]), Form),
            (json!(["no colon"]), Form),
            (json!({"X-Token": {}}), Form),
            (json!({"X Token": "t"}), Name),
            (json!({"": "t"}), Name),
            (json!([": t"]), Name),
            (json!({"X-Token": "a\r\nX-Evil: b"}), Value),
            (json!({"X-Token": "a\u{0}"}), Value),
        ] {
            assert_eq!(pairs(&json), Err(wrong), "{json}");
        }
    }

    #[test]
    fn values_are_secrets_and_media_types_are_not() {
        let json = json!({
            "Authorization": "Bearer canary-of-storage",
            "Cookie": "session=canary-of-cookie; a=b",
            "Accept": "application/x-canary",
        });
        let headers = StorageHeaders::from_json(&json).unwrap();
        let shown = format!("{headers:?}");
        assert!(
            shown.contains("cookie") && !shown.contains("canary"),
            "{shown}"
        );
        let text = "got canary-of-storage, canary-of-cookie as application/x-canary";
        let clean = "got [redacted], [redacted] as application/x-canary";
        assert_eq!(redact(text), clean);
    }
}
