//! What log lines and errors show of a URL and of a status.

use reqwest::StatusCode;
use url::Url;

/// A storage's URL without what makes it a credential: only the scheme, the host and the port remain.
pub(crate) fn redacted(url: &Url) -> String {
    format!("{}://{}/[redacted]", url.scheme(), shown_host(url))
}

/// The host, and the port where it is not the scheme's default.
pub(crate) fn shown_host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A status with the phrase that RFC 9110 section 15 gives it.
pub(crate) fn shown_status(status: u16) -> String {
    let known = StatusCode::from_u16(status).ok();
    match known.and_then(|status| status.canonical_reason()) {
        Some(reason) => format!("HTTP {status} {reason}"),
        None => format!("HTTP {status}"),
    }
}
