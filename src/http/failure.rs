//! What a failed request means. The HTTP library's own errors print whole URLs, signatures and all:
//! they end here, and only the innermost cause, which knows no URL, is told.

use crate::error::{Code, Error};
use rustls::CertificateError;
use std::error::Error as StdError;
use std::io;

/// A request that brought no answer.
#[derive(Debug)]
pub struct Failure {
    /// What to tell.
    pub error: Error,
    /// Whether anything of the request may have reached the server. False only when it provably
    /// did not: name resolution, connection or TLS handshake failed.
    pub sent: bool,
}

impl Failure {
    /// Before anything of the request was sent.
    pub fn unsent(error: Error) -> Self {
        Self { error, sent: false }
    }
}

/// Reads the library's error about `host`.
pub(crate) fn from_library(error: &reqwest::Error, host: &str) -> Failure {
    let chain = || causes(error);
    if let Some(refusal) = chain().find_map(|error| error.downcast_ref::<Error>()) {
        return Failure::unsent(refusal.clone()); // of our own name resolution
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
        let of_library = error.downcast_ref::<hyper::Error>();
        of_library.is_some_and(|error| error.is_parse() && !error.is_parse_too_large())
    };
    if let Some(malformed) = chain().find(|error| is_malformed(*error)) {
        let what = format!("{host} gave an answer that cannot be used");
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
            .map_or_else(|| "no cause is known".to_owned(), ToString::to_string)
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

/// An error, and what `io::Error` hides inside itself rather than behind `source`.
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

/// Why a certificate is not trusted, and what to do.
fn explain(why: &CertificateError) -> (String, &'static str) {
    const CLOCK: &str = "set this machine's clock if it is wrong; else tell the provider";
    const TELL: &str = "check the address; if it is right, tell the provider";
    const TRUST: &str = "pass a private authority's certificate with --ca-cert";
    let (why, hint) = match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ("it has expired", CLOCK)
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("it is not valid yet", CLOCK)
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ("it is for another host", TELL)
        }
        CertificateError::UnknownIssuer => ("no trusted authority issued it", TRUST),
        CertificateError::Revoked => ("it was revoked", TELL),
        CertificateError::BadSignature => ("its signature is wrong", TRUST),
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            ("it is an authority's certificate, not a server's", TELL)
        }
        other => {
            let other: String = format!("{other:?}").chars().take(120).collect();
            return (other, TELL);
        }
    };
    (why.to_owned(), hint)
}
