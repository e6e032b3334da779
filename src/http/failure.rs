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
pub fn from_library(error: &reqwest::Error, host: &str) -> Failure {
    let sent = !error.is_connect();
    let error_is_ours = error.is_builder();
    let chain = || causes(error);
    if let Some(refusal) = chain().find_map(|error| error.downcast_ref::<Refused>()) {
        let error = refusal.to_error();
        return Failure { error, sent: false };
    }
    let certificate = chain().find_map(|error| match error.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(why) => Some(why),
        _ => None,
    });
    if let Some(why) = certificate {
        let (why, hint) = explain(why);
        let what = format!("the certificate of {host} is not trusted");
        let error = Error::new(Code::Certificate, what).why(why).hint(hint);
        return Failure { error, sent: false };
    }
    let what = if error.is_connect() {
        format!("cannot connect to {host}")
    } else {
        format!("the connection to {host} broke")
    };
    let timed_out = error.is_timeout() && error.is_connect();
    let why = if timed_out {
        "no connection within --connect-timeout".to_owned()
    } else {
        chain()
            .last()
            .map_or_else(|| "no cause is known".to_owned(), ToString::to_string)
    };
    let error = Error::new(Code::Network, what).why(why);
    if error_is_ours {
        return Failure::unsent(error.permanent());
    }
    Failure { error, sent }
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

/// Carries our own refusal out of the library's name resolution.
#[derive(Debug)]
pub struct Refused {
    code: Code,
    what: String,
    why: String,
}

impl Refused {
    /// Wraps a refusal.
    pub fn new(error: &Error) -> Self {
        Self {
            code: error.code(),
            what: error.what().to_owned(),
            why: error.cause().unwrap_or_default().to_owned(),
        }
    }

    fn to_error(&self) -> Error {
        Error::new(self.code, self.what.clone()).why(self.why.clone())
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Refused {}
