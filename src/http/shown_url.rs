//! What log lines and errors show of a URL.

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
