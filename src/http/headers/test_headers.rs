//! Header fields for unit tests.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// Header fields with these names and values.
pub(in crate::http) fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&str, &str)| {
        (
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        )
    };
    pairs.iter().map(field).collect()
}
