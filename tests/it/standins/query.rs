//! The parts of a request's target.

use crate::support::raw::Request;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// All but the unreserved characters (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The segments of the path, decoded.
pub fn parts(request: &Request) -> Vec<String> {
    let path = request.path().strip_prefix('/').unwrap_or_default();
    let decoded = |part| percent_decode_str(part).decode_utf8_lossy().into_owned();
    path.split('/').map(decoded).collect()
}

/// The pairs of the query, decoded.
pub fn query(request: &Request) -> Vec<(String, String)> {
    let (_, query) = request.target.split_once('?').unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

/// Text as a segment of a path.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}
