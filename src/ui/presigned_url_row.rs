//! The presigned URL of a document, for other tools. No other file shows one.

use super::printer::Printer;
use crate::error::{Error, Result};
use crate::http::PresignedUrl;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

/// A presigned URL with the headers that belong to it.
#[derive(Serialize)]
#[serde(tag = "type", rename = "url")]
pub(super) struct PresignedUrlRow<'a> {
    /// The provider's name on the command line.
    provider: &'a str,
    /// The id of the document.
    id: &'a str,
    /// The presigned URL, a secret.
    url: &'a str,
    /// The headers that the storage requires with a request for the URL, values by name; empty where the storage requires none. The values are secrets, for the host of the URL only.
    headers: BTreeMap<&'a str, String>,
    /// When the URL expires, in RFC 3339; null where that is not known.
    expires: Option<Timestamp>,
}

impl Printer {
    /// Writes a presigned URL; with `--json`, its record. Without `--json`, a warning tells that the storage requires
    /// headers, and no header is shown.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::Code::LocalIo) when standard output takes no more.
    pub(crate) fn url(&self, provider: &str, id: &str, url: &PresignedUrl) -> Result<()> {
        if self.is_json() {
            let row = PresignedUrlRow {
                provider,
                id,
                url: url.expose().as_str(),
                headers: headers(url),
                expires: url.expires(),
            };
            let row = serde_json::to_string(&row).map_err(|error| Error::stdout(&error.into()))?;
            return self.line(row.as_bytes());
        }
        if url.storage_headers().pairs().next().is_some() {
            log::warn!(
                "the storage refuses this URL without the headers of the service; docfetch url --json prints both"
            );
        }
        self.line(url.expose().as_str().as_bytes())
    }
}

/// The values of each header; those of one name are combined (RFC 9110 section 5.3).
fn headers(url: &PresignedUrl) -> BTreeMap<&str, String> {
    let mut headers = BTreeMap::<&str, String>::new();
    for (name, value) in url.storage_headers().pairs() {
        let values = headers.entry(name).or_default();
        if !values.is_empty() {
            values.push_str(", ");
        }
        values.push_str(value);
    }
    headers
}
