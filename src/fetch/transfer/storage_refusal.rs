//! What a storage means by an error status.

use crate::error::{Code, Error};
use crate::http::backoff::is_transient_status;
use crate::http::presigned::{Refusal, StorageErrorBody, start_of};
use crate::http::{Http, PresignedUrl, Reply, headers};
use crate::text::rounded_up;
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
    /// How long the URL is not valid yet, by the clock of the storage.
    starts_in: Option<Duration>,
}

/// A response with an error status.
#[derive(Debug)]
struct ErrorResponse {
    host: String,
    status: u16,
    retry_after: Option<Duration>,
    /// What the body says.
    said: StorageErrorBody,
}

/// Reads the body of a reply with an error status, and judges it. Nothing of that body is saved.
pub(super) async fn refusal_of(reply: Reply, url: &PresignedUrl, http: &Http) -> StorageRefusal {
    let host = reply.host().to_owned();
    let (status, retry_after) = (reply.status(), reply.retry_after());
    let response_headers = reply.headers().clone();
    let said = StorageErrorBody::read(&reply.error_body().await, &response_headers);
    let clock = http.clock();
    let date = headers::date(&response_headers).or_else(|| clock.now());
    let start = start_of(url.expose());
    let starts_in = start
        .zip(date)
        .map(|(start, date)| start.duration_since(date));
    let url = UrlState {
        starts_in: starts_in
            .and_then(|left| Duration::try_from(left).ok())
            .filter(|left| !left.is_zero()),
        is_expired: url.is_expired(clock),
        is_tried_once: url.is_tried_once(clock),
    };
    let response = ErrorResponse {
        host,
        status,
        retry_after,
        said,
    };
    response.judge(url)
}

impl ErrorResponse {
    /// Storages say *expired* in many ways. So every denial of a URL that is past its expiry means that
    /// the URL expired. For a URL on trial, so does every 4xx that does not ask for a retry.
    fn judge(self, url: UrlState) -> StorageRefusal {
        match (self.status, self.said.meaning) {
            (400, Refusal::Transient) => StorageRefusal::Other(self.could_not_answer()),
            (status, _) if is_transient_status(status) => {
                StorageRefusal::Other(self.could_not_answer())
            }
            (511, _) => StorageRefusal::Other(self.login_required()),
            (500.., _) => {
                let failed = format!("the storage {} failed", self.host);
                StorageRefusal::Other(self.error(Code::StorageError, failed).into_permanent())
            }
            (300..=399, _) | (_, Refusal::Elsewhere) => StorageRefusal::Other(self.elsewhere()),
            (400 | 401 | 403, _) if url.starts_in.is_some() => {
                StorageRefusal::Other(self.not_valid_yet(url.starts_in))
            }
            (400..=499, _) if url.is_tried_once => StorageRefusal::Expired,
            (404, _) => StorageRefusal::NotFound(self.error(
                Code::StorageDenied,
                format!("the storage {} does not have the document", self.host),
            )),
            (_, Refusal::Expired) => StorageRefusal::Expired,
            (_, Refusal::NotValidYet) => StorageRefusal::Other(self.not_valid_yet(None)),
            (401 | 403 | 410, Refusal::Denied | Refusal::Signature) if url.is_expired => {
                StorageRefusal::Expired
            }
            _ => StorageRefusal::Other(self.denied()),
        }
    }

    fn could_not_answer(&self) -> Error {
        let what = format!("the storage {} could not answer", self.host);
        self.error(Code::StorageError, what)
    }

    /// The error of a network that answers in place of the storage (RFC 6585 section 6).
    fn login_required(&self) -> Error {
        let what = format!("this network does not connect to the storage {}", self.host);
        let why = format!("{}: the network requires a login", self.why());
        self.error(Code::StorageError, what)
            .with_cause(why)
            .with_hint("log in to this network with a web browser, then run again")
            .into_permanent()
    }

    /// The error of a URL that is valid after `starts_in`; after an unknown time if that is none.
    fn not_valid_yet(&self, starts_in: Option<Duration>) -> Error {
        let what = format!(
            "the URL is not valid yet by the clock of the storage {}",
            self.host
        );
        let error = self.error(Code::ClockSkew, what);
        let Some(starts_in) = starts_in else {
            return error.with_retry_after(None);
        };
        let why = format!("{}; it is valid in {}", self.why(), rounded_up(starts_in));
        // The storage's `Date` is up to one second behind its clock, and may come from another clock there.
        let wait = starts_in + Duration::from_secs(1);
        error.with_cause(why).with_retry_after(Some(wait))
    }

    /// The error of a document that is in another region, or at another endpoint.
    fn elsewhere(&self) -> Error {
        let what = format!("the storage {} does not hold the document", self.host);
        let why = match (&self.said.place, self.said.meaning) {
            (Some(place), _) => format!("{}: the document is at {place}", self.why()),
            (None, Refusal::Elsewhere) => {
                format!("{}: the document is in another region", self.why())
            }
            (None, _) => {
                let what = format!("the storage {} redirects the request to no URL", self.host);
                let why = format!("{}: its redirect has no Location header", self.why());
                return self.error(Code::Protocol, what).with_cause(why);
            }
        };
        let hint = match self.said.place {
            Some(_) => "tell the provider: its URLs must be made for that region and endpoint",
            None => "tell the provider: its URLs are made for a wrong region or endpoint",
        };
        let error = self.error(Code::StorageError, what).with_cause(why);
        error.with_hint(hint).into_permanent()
    }

    fn denied(&self) -> Error {
        let host = &self.host;
        match self.said.meaning {
            Refusal::ClockSkew => self
                .error(
                    Code::ClockSkew,
                    format!("the storage {host} says that the clock of the URL's signer is wrong"),
                )
                .with_retry_after(None),
            Refusal::Signature => self
                .error(
                    Code::StorageDenied,
                    format!("the storage {host} does not accept the URL's signature"),
                )
                .with_hint("tell the provider: its storage expects another signature"),
            _ => self
                .error(
                    Code::StorageDenied,
                    format!("the storage {host} refuses the document"),
                )
                .with_hint("ask the provider whether this account may have the document"),
        }
    }

    fn why(&self) -> String {
        let status = self.status;
        match self.said.code {
            Some(code) => format!("HTTP {status}, {code}"),
            None => format!("HTTP {status}"),
        }
    }

    fn error(&self, code: Code, what: String) -> Error {
        Error::new(code, what)
            .with_cause(self.why())
            .with_http_status(self.status)
            .with_retry_after(self.retry_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: UrlState = UrlState {
        is_expired: false,
        is_tried_once: false,
        starts_in: None,
    };
    const EARLY: UrlState = UrlState {
        starts_in: Some(Duration::from_secs(9)),
        ..VALID
    };
    const EXPIRED: UrlState = UrlState {
        is_expired: true,
        ..VALID
    };
    const ON_TRIAL: UrlState = UrlState {
        is_tried_once: true,
        ..EXPIRED
    };

    const CASES: [(u16, Refusal, UrlState, &str); 26] = [
        (503, Refusal::Denied, VALID, "storage_error, retried"),
        (503, Refusal::Expired, ON_TRIAL, "storage_error, retried"),
        (429, Refusal::Denied, ON_TRIAL, "storage_error, retried"),
        (501, Refusal::Denied, VALID, "storage_error"),
        (511, Refusal::Denied, ON_TRIAL, "storage_error"),
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
        (403, Refusal::NotValidYet, VALID, "clock_skew"),
        (403, Refusal::Denied, EARLY, "clock_skew, retried"),
        (403, Refusal::Expired, EARLY, "clock_skew, retried"),
        (404, Refusal::Denied, EARLY, "not found: storage_denied"),
        (400, Refusal::Transient, ON_TRIAL, "storage_error, retried"),
        (301, Refusal::Denied, ON_TRIAL, "protocol"),
        (301, Refusal::Elsewhere, ON_TRIAL, "storage_error"),
        (400, Refusal::Elsewhere, VALID, "storage_error"),
        (400, Refusal::Expired, VALID, "expired"),
    ];

    #[test]
    fn an_error_status_means_what_the_storage_and_the_age_of_the_url_say() {
        let judged = |status, meaning, url| {
            let response = ErrorResponse {
                host: "b.example".to_owned(),
                status,
                retry_after: None,
                said: StorageErrorBody {
                    code: None,
                    meaning,
                    place: None,
                },
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
        for (status, meaning, url, expected) in CASES {
            let found = judged(status, meaning, url);
            assert_eq!(found, expected, "{status}, {meaning:?}, {url:?}");
        }
    }
}
