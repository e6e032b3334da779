//! What a failed request means.
//!
//! The errors of reqwest print whole URLs, with their signatures. This file is the only one that reads them.
//! Our own errors repeat only the innermost cause, which holds no URL.

use crate::error::{Code, Error};
use rustls::CertificateError;
use std::error::Error as StdError;
use std::io;

/// A request without an answer.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What failed.
    pub error: Error,
    /// Whether any byte of the request may have reached the server. `false` only when that is impossible,
    /// because name resolution, connection or TLS handshake failed.
    pub sent: bool,
}

impl Failure {
    /// A failure before any byte of the request was sent.
    pub(crate) fn unsent(error: Error) -> Self {
        Self { error, sent: false }
    }
}

impl From<Error> for Failure {
    /// Errors of our own happen before any byte of the request is sent.
    fn from(error: Error) -> Self {
        Self::unsent(error)
    }
}

/// Translates reqwest's error of a request to `host`.
pub(super) fn from_reqwest(error: &reqwest::Error, host: &str) -> Failure {
    let chain = || causes(error);
    if let Some(refusal) = chain().find_map(|error| error.downcast_ref::<Error>()) {
        return Failure::unsent(refusal.clone()); // from our own name resolution
    }
    let certificate = chain().find_map(|error| match error.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(why) => Some(why),
        _ => None,
    });
    if let Some(why) = certificate {
        let (why, hint) = explain(why);
        let what = format!("the certificate of {host} is not trusted");
        return Failure::unsent(
            Error::new(Code::Certificate, what)
                .with_cause(why)
                .with_hint(hint),
        );
    }
    let is_malformed = |error: &(dyn StdError + 'static)| {
        let by_hyper = error.downcast_ref::<hyper::Error>();
        by_hyper.is_some_and(|error| error.is_parse() && !error.is_parse_too_large())
    };
    if let Some(malformed) = chain().find(|error| is_malformed(*error)) {
        let what = format!("{host} sent an answer that breaks HTTP's rules");
        let error = Error::new(Code::Protocol, what).with_cause(malformed.to_string());
        return Failure { error, sent: true };
    }
    let (what, sent) = if error.is_connect() {
        (format!("cannot connect to {host}"), false)
    } else {
        (format!("the connection to {host} broke"), true)
    };
    let why = if error.is_connect() && error.is_timeout() {
        "no connection within --connect-timeout".to_owned()
    } else {
        chain()
            .last()
            .map_or_else(|| "the cause is unknown".to_owned(), ToString::to_string)
    };
    let failed = Error::new(Code::Network, what).with_cause(why);
    if error.is_builder() {
        return Failure::unsent(failed.into_permanent());
    }
    Failure {
        error: failed,
        sent,
    }
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
    .flat_map(inner)
}

/// An error, and the errors inside an `io::Error`, which its `source` does not return.
fn inner<'a>(error: &'a (dyn StdError + 'static)) -> Vec<&'a (dyn StdError + 'static)> {
    let mut found = vec![error];
    let mut next = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    while let Some(error) = next {
        found.push(error);
        next = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
    }
    found
}

/// Why a certificate is not trusted, and what the user should do.
fn explain(why: &CertificateError) -> (String, &'static str) {
    const CLOCK: &str = "set this machine's clock if it is wrong; else tell the provider";
    const ADDRESS: &str = "check the address; if it is right, tell the provider";
    const AUTHORITY: &str = "pass a private authority's certificate with --ca-cert";
    let (why, hint) = match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ("it has expired", CLOCK)
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("it is not valid yet", CLOCK)
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ("it is for another host", ADDRESS)
        }
        CertificateError::UnknownIssuer => ("no trusted authority issued it", AUTHORITY),
        CertificateError::Revoked => ("it was revoked", ADDRESS),
        CertificateError::BadSignature => ("its signature is wrong", AUTHORITY),
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            ("it is an authority's certificate, not a server's", ADDRESS)
        }
        other => {
            let other: String = format!("{other:?}").chars().take(120).collect();
            return (other, ADDRESS);
        }
    };
    (why.to_owned(), hint)
}
