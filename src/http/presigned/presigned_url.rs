//! A URL that is a credential by itself.

use super::api_download::ApiDownload;
use super::document_facts::DocumentFacts;
use super::storage_headers::StorageHeaders;
use crate::active_time;
use crate::http::clock::ServerClock;
use crate::http::shown_url::redacted;
use crate::secret::register_url;
use jiff::{SignedDuration, Timestamp};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::Url;

/// A URL that expires sooner is not used for a further request, where a new one is free.
const MIN_REMAINING_URL_TIME: SignedDuration = SignedDuration::from_mins(1);

/// A presigned URL: until it expires, every holder of the URL can download the document.
///
/// Inside docfetch, the value may stand for a request to the API that the API answers with the document itself. The
/// public functions of [`Resolver`](crate::Resolver) return no such value.
///
/// `Debug` shows only the scheme and the host.
#[derive(Clone)]
pub struct PresignedUrl {
    url: Url,
    resolved_at: Instant,
    expires: Option<Timestamp>,
    is_recorded: bool,
    was_served: bool,
    storage_headers: StorageHeaders,
    facts: Arc<DocumentFacts>,
    is_renewable: bool,
    api_download: Option<Arc<ApiDownload>>,
}

impl PresignedUrl {
    /// A URL that the provider returned just now, with its expiry by the servers' clock. Registers the URL
    /// as a secret: no text that leaves the process shows its path or query.
    pub(crate) fn new(url: Url, expires: Option<Timestamp>) -> Self {
        register_url(&url);
        Self::unregistered(url, expires)
    }

    /// A request that the API answers with the document itself. Its URL opens nothing without the credential.
    pub(crate) fn of_api(download: ApiDownload) -> Self {
        let url = download.url.clone();
        Self {
            api_download: Some(Arc::new(download)),
            ..Self::unregistered(url, None)
        }
    }

    fn unregistered(url: Url, expires: Option<Timestamp>) -> Self {
        Self {
            url,
            resolved_at: active_time::now(),
            expires,
            is_recorded: false,
            was_served: false,
            storage_headers: StorageHeaders::default(),
            facts: Arc::default(),
            is_renewable: false,
            api_download: None,
        }
    }

    /// A URL that the ledger recorded in an earlier run, and that the provider returned `age` ago.
    pub(crate) fn recorded(url: Url, expires: Option<Timestamp>, age: Duration) -> Self {
        let now = active_time::now();
        Self {
            resolved_at: now.checked_sub(age).unwrap_or(now),
            is_recorded: true,
            ..Self::new(url, expires)
        }
    }

    /// Adds the headers that the storage wants, which came with the URL.
    #[must_use]
    pub(crate) fn with_storage_headers(mut self, headers: StorageHeaders) -> Self {
        self.storage_headers = headers;
        self
    }

    /// Adds what the answer that brought the URL tells of the document.
    #[must_use]
    pub(crate) fn with_facts(mut self, facts: DocumentFacts) -> Self {
        self.facts = Arc::new(facts);
        self
    }

    /// The same URL of a paid retrieval that brings further URLs without a charge.
    #[must_use]
    pub(crate) fn renewable(mut self) -> Self {
        self.is_renewable = true;
        self
    }

    /// The headers that the storage wants with each request. They are for the origin of this URL only.
    pub(crate) fn storage_headers(&self) -> &StorageHeaders {
        &self.storage_headers
    }

    /// What the answer that brought the URL tells of the document.
    pub(crate) fn facts(&self) -> &DocumentFacts {
        &self.facts
    }

    /// The request that the API answers with the document itself. None for a presigned URL.
    pub(crate) fn api_download(&self) -> Option<&Arc<ApiDownload>> {
        self.api_download.as_ref()
    }

    /// Whether another URL of the same paid retrieval costs nothing.
    pub(crate) fn is_renewable(&self) -> bool {
        self.is_renewable
    }

    /// When the URL expires, by the servers' clock; `None` where that is unknown.
    pub(crate) fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Whether the URL comes from the ledger, and not from a request of this run.
    pub(crate) fn is_recorded(&self) -> bool {
        self.is_recorded
    }

    /// Notes that the storage served the document under this URL in this run.
    pub(crate) fn mark_served(&mut self) {
        self.was_served = true;
    }

    /// Whether the URL is past its expiry at `now`; `false` where the expiry is unknown.
    pub(crate) fn is_expired_at(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }

    /// Whether the URL is past its expiry. A recorded URL may have been paid for: it counts as expired only
    /// when the servers' clock and this machine's clock agree.
    pub(crate) fn is_expired(&self, clock: &ServerClock) -> bool {
        self.is_expired_at(if self.is_recorded {
            clock.earliest()
        } else {
            clock.best()
        })
    }

    /// Whether docfetch requests the URL only once, without retries: it is a recorded URL past its expiry
    /// that the storage has not served in this run. Only the storage's answer decides whether it expired.
    pub(crate) fn is_tried_once(&self, clock: &ServerClock) -> bool {
        self.is_recorded && !self.was_served && self.is_expired(clock)
    }

    /// Whether the URL expires within one minute, by the servers' time `now`.
    pub(crate) fn expires_soon(&self, now: Option<Timestamp>) -> bool {
        let remaining = self
            .expires
            .zip(now)
            .map(|(end, now)| end.duration_since(now));
        remaining.is_some_and(|remaining| remaining < MIN_REMAINING_URL_TIME)
    }

    /// How long ago the provider returned the URL. Time in which this process was stopped does not count.
    pub(crate) fn age(&self) -> Duration {
        active_time::since(self.resolved_at)
    }

    /// Whether the URL's query has a signature, by the names of its parameters. The URL of a login page has
    /// none.
    pub(crate) fn is_signed(&self) -> bool {
        const SIGNATURE_PARAMETER_ENDINGS: [&str; 5] =
            ["sig", "signature", "token", "expires", "policy"];
        self.url.query_pairs().any(|(name, _)| {
            let name = name.to_ascii_lowercase();
            SIGNATURE_PARAMETER_ENDINGS
                .iter()
                .any(|end| name.ends_with(end))
        })
    }

    /// The URL itself, for the request and for `docfetch url`.
    pub fn expose(&self) -> &Url {
        &self.url
    }
}

impl fmt::Debug for PresignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_url_but_its_host_is_shown() {
        let url = Url::parse("https://b.example:8443/key/name.pdf?X-Amz-Signature=abc").unwrap();
        let shown = format!("{:?}", PresignedUrl::new(url, None));
        assert_eq!(shown, "https://b.example:8443/[redacted]");
    }
}
