//! What a storage means by an error status.

use crate::error::{Code, Error};
use crate::http::backoff::is_transient_status;
use crate::http::{Http, PresignedUrl, Refusal, Reply, refusal};
use std::time::Duration;

/// A storage's refusal to send the document.
#[derive(Debug)]
pub(super) enum StorageRefusal {
    /// The URL has expired.
    Expired,
    /// The storage does not have the document, or does not have it yet.
    NotFound(Error),
    /// Any other refusal or failure. The error says whether a retry may help.
    Other(Error),
}

/// What docfetch knows about the URL of a refused request.
#[derive(Clone, Copy, Debug, Default)]
struct UrlState {
    /// Whether the URL is past its expiry, as far as the clocks tell.
    is_expired: bool,
    /// Whether the URL is from an earlier run, is past its expiry, and was not served in this run.
    is_tried_once: bool,
}

/// A response with an error status.
#[derive(Debug)]
struct ErrorResponse {
    host: String,
    status: u16,
    retry_after: Option<Duration>,
    /// The storage's own error code, where docfetch knows that code.
    code: Option<&'static str>,
    meaning: Refusal,
}

/// Reads the body of a reply with an error status, and judges it. Nothing of that body is saved.
pub(super) async fn refusal_of(reply: Reply, url: &PresignedUrl, http: &Http) -> StorageRefusal {
    let host = reply.host().to_owned();
    let (status, retry_after) = (reply.status(), reply.retry_after());
    let (code, meaning) = refusal(&reply.error_body().await);
    let clock = http.clock();
    let url = UrlState {
        is_expired: url.is_expired(clock),
        is_tried_once: url.is_tried_once(clock),
    };
    let response = ErrorResponse {
        host,
        status,
        retry_after,
        code,
        meaning,
    };
    response.judge(url)
}

impl ErrorResponse {
    /// Storages say *expired* in many ways. So every denial of a URL that is past its expiry means that
    /// the URL expired. For a URL on trial, so does every 4xx that does not ask for a retry.
    fn judge(&self, url: UrlState) -> StorageRefusal {
        let host = &self.host;
        match (self.status, self.meaning) {
            (status, _) if is_transient_status(status) => StorageRefusal::Other(self.error(
                Code::StorageError,
                format!("the storage {host} could not answer"),
            )),
            (500.., _) => {
                let failed = format!("the storage {host} failed");
                StorageRefusal::Other(self.error(Code::StorageError, failed).into_permanent())
            }
            (400..=499, _) if url.is_tried_once => StorageRefusal::Expired,
            (404, _) => StorageRefusal::NotFound(self.error(
                Code::StorageDenied,
                format!("the storage {host} does not have the document"),
            )),
            (_, Refusal::Expired) => StorageRefusal::Expired,
            (401 | 403 | 410, Refusal::Denied | Refusal::Signature) if url.is_expired => {
                StorageRefusal::Expired
            }
            (_, Refusal::ClockSkew) => StorageRefusal::Other(self.error(
                Code::ClockSkew,
                format!("the storage {host} says that the clock of the URL's signer is wrong"),
            )),
            (_, Refusal::Signature) => StorageRefusal::Other(
                self.error(
                    Code::StorageDenied,
                    format!("the storage {host} does not accept the URL's signature"),
                )
                .with_hint("tell the provider: its storage expects another signature"),
            ),
            (_, Refusal::Denied) => StorageRefusal::Other(
                self.error(
                    Code::StorageDenied,
                    format!("the storage {host} refuses the document"),
                )
                .with_hint("ask the provider whether this account may have the document"),
            ),
        }
    }

    fn error(&self, code: Code, what: String) -> Error {
        let status = self.status;
        let why = match self.code {
            Some(code) => format!("HTTP {status}, {code}"),
            None => format!("HTTP {status}"),
        };
        Error::new(code, what)
            .with_cause(why)
            .with_http_status(status)
            .with_retry_after(self.retry_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_status_means_what_the_storage_and_the_age_of_the_url_say() {
        const VALID: UrlState = UrlState {
            is_expired: false,
            is_tried_once: false,
        };
        const EXPIRED: UrlState = UrlState {
            is_expired: true,
            is_tried_once: false,
        };
        const ON_TRIAL: UrlState = UrlState {
            is_expired: true,
            is_tried_once: true,
        };
        let judged = |status, meaning, url| {
            let response = ErrorResponse {
                host: "b.example".to_owned(),
                status,
                retry_after: None,
                code: None,
                meaning,
            };
            match response.judge(url) {
                StorageRefusal::Expired => "expired".to_owned(),
                StorageRefusal::NotFound(error) => format!("not found: {}", error.code().as_str()),
                StorageRefusal::Other(error) => {
                    let retried = if error.is_transient() {
                        ", retried"
                    } else {
                        ""
                    };
                    format!("{}{retried}", error.code().as_str())
                }
            }
        };
        for (status, meaning, url, expected) in [
            (503, Refusal::Denied, VALID, "storage_error, retried"),
            (503, Refusal::Expired, ON_TRIAL, "storage_error, retried"),
            (429, Refusal::Denied, ON_TRIAL, "storage_error, retried"),
            (501, Refusal::Denied, VALID, "storage_error"),
            (520, Refusal::Denied, ON_TRIAL, "storage_error, retried"),
            (404, Refusal::Denied, VALID, "not found: storage_denied"),
            (404, Refusal::Denied, EXPIRED, "not found: storage_denied"),
            (404, Refusal::Denied, ON_TRIAL, "expired"),
            (403, Refusal::Expired, VALID, "expired"),
            (403, Refusal::Denied, VALID, "storage_denied"),
            (403, Refusal::Denied, EXPIRED, "expired"),
            (403, Refusal::Signature, EXPIRED, "expired"),
            (403, Refusal::ClockSkew, EXPIRED, "clock_skew"),
            (400, Refusal::Denied, EXPIRED, "storage_denied"),
            (400, Refusal::Denied, ON_TRIAL, "expired"),
            (403, Refusal::Signature, VALID, "storage_denied"),
        ] {
            let found = judged(status, meaning, url);
            assert_eq!(found, expected, "{status}, {meaning:?}, {url:?}");
        }
    }
}
