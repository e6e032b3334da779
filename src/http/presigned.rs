//! Presigned URLs, and what storages mean when they refuse one.

use super::clock::Clock;
use crate::active_time;
use crate::secret::register_url;
use jiff::{SignedDuration, Timestamp};
use std::fmt;
use std::time::{Duration, Instant};
use url::Url;

/// A URL this close to its end is not used for a new request where another one is free.
const LAST_MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// A URL that is a credential by itself: whoever has it has the document, until it expires.
#[derive(Clone)]
pub struct PresignedUrl {
    url: Url,
    /// When the provider handed it over.
    pub resolved: Instant,
    /// When it dies, by the servers' clock, where that is known.
    pub expires: Option<Timestamp>,
    /// Whether it was asked for just now, and not in an earlier run.
    pub fresh: bool,
    /// Whether the storage has served it in this run.
    pub proven: bool,
}

impl PresignedUrl {
    /// Wraps what a provider handed over just now. From here on no text that leaves the process shows
    /// what makes it open the document.
    pub fn new(url: Url, expires: Option<Timestamp>) -> Self {
        register_url(&url);
        Self {
            url,
            resolved: active_time::now(),
            expires,
            fresh: true,
            proven: false,
        }
    }

    /// Wraps what a provider handed over `since` ago, in an earlier run.
    pub fn recorded(url: Url, expires: Option<Timestamp>, since: Duration) -> Self {
        let now = active_time::now();
        Self {
            resolved: now.checked_sub(since).unwrap_or(now),
            fresh: false,
            ..Self::new(url, expires)
        }
    }

    /// Whether it is past its end at `now`; not where the end is unknown.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| now >= end)
    }

    /// The time that its end is compared with. A recorded URL may have been paid for: it is past its end
    /// only when no clock denies that.
    pub fn judged_at(&self, clock: &Clock) -> Timestamp {
        if self.fresh {
            clock.best()
        } else {
            clock.earliest()
        }
    }

    /// Whether the storage must prove, by its answer to a single request, that a recorded URL past its
    /// end did not expire.
    pub fn is_on_trial(&self, clock: &Clock) -> bool {
        !self.fresh && !self.proven && self.is_expired(self.judged_at(clock))
    }

    /// Whether its last minute has come.
    pub fn is_about_to_end(&self, now: Option<Timestamp>) -> bool {
        matches!((self.expires, now), (Some(end), Some(now)) if end.duration_since(now) < LAST_MINUTE)
    }

    /// How long ago the provider handed it over, as far as this process ran.
    pub fn age(&self) -> Duration {
        active_time::since(self.resolved)
    }

    /// Whether the URL is signed, as far as the names of its parameters tell. A redirect to a login page
    /// is not.
    pub fn is_signed(&self) -> bool {
        const SIGNED: [&str; 5] = ["sig", "signature", "token", "expires", "policy"];
        let mut names = self.url.query_pairs();
        names.any(|(name, _)| {
            let name = name.to_ascii_lowercase();
            SIGNED.iter().any(|end| name.ends_with(end))
        })
    }

    /// The URL itself: for the request, and for `docfetch url`.
    pub fn expose(&self) -> &Url {
        &self.url
    }
}

impl fmt::Debug for PresignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", redacted(&self.url))
    }
}

/// What may be shown of a storage URL: where it is, not what it opens.
pub(crate) fn redacted(url: &Url) -> String {
    format!("{}://{}/[redacted]", url.scheme(), shown_host(url))
}

/// The host, with the port where it is not the usual one.
pub(crate) fn shown_host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Why a storage refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The URL's time is over.
    Expired,
    /// The request does not match what was signed.
    Signature,
    /// The storage finds the signer's clock wrong.
    ClockSkew,
    /// Not for this URL, and not for want of time.
    Denied,
}

/// The error code of a storage, from the XML of S3 and its likes, and what it means.
///
/// Only codes known from the services' error lists are returned, so that nothing which a storage
/// echoes can pass through here.
pub(crate) fn refusal(body: &[u8]) -> (Option<&'static str>, Refusal) {
    let body = String::from_utf8_lossy(body);
    let element = |name: &str| {
        let start = body.find(&format!("<{name}>"))? + name.len() + 2;
        let length = body[start..].find("</")?;
        Some(body[start..start + length].trim())
    };
    let known = element("Code").and_then(|code| CODES.iter().find(|known| **known == code));
    let said = |name| element(name).unwrap_or_default().to_ascii_lowercase();
    let message = said("Message");
    // Azure: "Signature not valid in the specified time frame".
    let out_of_time = [&message, &said("AuthenticationErrorDetail")]
        .iter()
        .any(|text| text.contains("time frame"));
    let meaning = match known.copied() {
        Some("ExpiredToken" | "TokenRefreshRequired") => Refusal::Expired,
        Some("AccessDenied") if message.contains("expired") => Refusal::Expired,
        Some("AuthenticationFailed") if out_of_time => Refusal::Expired,
        Some("SignatureDoesNotMatch" | "AuthenticationFailed") => Refusal::Signature,
        Some("RequestTimeTooSkewed") => Refusal::ClockSkew,
        _ => Refusal::Denied,
    };
    (known.copied(), meaning)
}

/// Sources: the error lists of Amazon S3, Google Cloud Storage (XML API) and Azure Blob Storage.
const CODES: [&str; 37] = [
    "AccessDenied",
    "AccountProblem",
    "AllAccessDisabled",
    "AuthenticationFailed",
    "AuthorizationFailure",
    "AuthorizationHeaderMalformed",
    "AuthorizationQueryParametersError",
    "BlobNotFound",
    "ContainerNotFound",
    "ExpiredToken",
    "InternalError",
    "InvalidAccessKeyId",
    "InvalidArgument",
    "InvalidObjectState",
    "InvalidRange",
    "InvalidRequest",
    "InvalidSecurity",
    "InvalidToken",
    "KMS.DisabledException",
    "MethodNotAllowed",
    "MissingSecurityHeader",
    "NoSuchBucket",
    "NoSuchKey",
    "NoSuchVersion",
    "OperationAborted",
    "PermanentRedirect",
    "PreconditionFailed",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "ResourceNotFound",
    "ServerBusy",
    "ServiceUnavailable",
    "SignatureDoesNotMatch",
    "SlowDown",
    "TemporaryRedirect",
    "TokenRefreshRequired",
    "UserProjectAccountProblem",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(code: &str, message: &str) -> Vec<u8> {
        format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        )
        .into_bytes()
    }

    #[test]
    fn a_403_is_told_apart_by_its_code() {
        for (code, message, meaning) in [
            ("AccessDenied", "Request has expired", Refusal::Expired),
            ("AccessDenied", "Access Denied", Refusal::Denied),
            (
                "ExpiredToken",
                "The provided token has expired.",
                Refusal::Expired,
            ),
            ("SignatureDoesNotMatch", "We calculated", Refusal::Signature),
            ("RequestTimeTooSkewed", "The difference", Refusal::ClockSkew),
            (
                "AuthenticationFailed",
                "Signature not valid in the specified time frame",
                Refusal::Expired,
            ),
        ] {
            assert_eq!(refusal(&xml(code, message)), (Some(code), meaning));
        }
        let azure = "<Error><Code>AuthenticationFailed</Code><Message>Server failed to \
                     authenticate the request.</Message><AuthenticationErrorDetail>Signature not \
                     valid in the specified time frame: Start</AuthenticationErrorDetail></Error>";
        assert_eq!(refusal(azure.as_bytes()).1, Refusal::Expired);
    }

    #[test]
    fn an_unknown_code_is_not_repeated() {
        assert_eq!(refusal(&xml("hunter2", "")), (None, Refusal::Denied));
        assert_eq!(refusal(b"<html>"), (None, Refusal::Denied));
        assert_eq!(refusal(b"<Code>AccessDenied"), (None, Refusal::Denied));
    }

    #[test]
    fn nothing_of_the_url_but_its_host_is_shown() {
        let url = Url::parse("https://b.example:8443/key/name.pdf?X-Amz-Signature=abc").unwrap();
        let shown = format!("{:?}", PresignedUrl::new(url, None));
        assert_eq!(shown, "https://b.example:8443/[redacted]");
    }
}
