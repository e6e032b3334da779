//! Header values as text.

use reqwest::header::{AsHeaderName, HeaderMap};

/// The text of a header, without blanks around it; `None` when it is missing or not ASCII.
pub(crate) fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}
