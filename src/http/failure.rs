//! What a failed request means.
//!
//! The errors of reqwest print whole URLs, with their signatures. Only this file reads them. Our own errors
//! repeat only the innermost cause, which holds no URL.

use super::connect::{ProxyServer, tls_failure};
use super::peer::Peer;
use super::proxy_failure::{self, ProxyRejection, ProxyTrouble, TunnelRefusal};
use crate::error::{Code, Error};
use rustls::InvalidMessage;
use std::error::Error as StdError;
use std::io;

/// A request without an answer.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What failed.
    pub error: Error,
    /// Whether any byte of the request may have reached the server. `false` only when that is impossible,
    /// because name resolution, connection, proxy or TLS handshake failed.
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

/// An error in the chain of causes of another.
type Cause<'a> = &'a (dyn StdError + 'static);

/// Translates reqwest's error of a request to `peer`.
pub(super) fn from_reqwest(error: &reqwest::Error, peer: &Peer) -> Failure {
    let causes = causes(error);
    let refusal = causes
        .iter()
        .find_map(|cause| cause.downcast_ref::<Error>());
    if let Some(refusal) = refusal {
        return Failure::unsent(refusal.clone()); // from our own name resolution
    }
    if error.is_connect() {
        return of_connection(error.is_timeout(), &causes, peer);
    }
    let mut by_hyper = causes
        .iter()
        .filter_map(|cause| cause.downcast_ref::<hyper::Error>());
    if let Some(malformed) = by_hyper.find(|error| error.is_parse()) {
        let what = if malformed.is_parse_too_large() {
            format!("{peer} sent an answer that docfetch cannot read")
        } else {
            format!("{peer} sent an answer that breaks HTTP's rules")
        };
        let why = if malformed.is_parse_too_large() {
            "its header section is too large".to_owned()
        } else {
            explain_malformed(malformed)
        };
        let error = Error::new(Code::Protocol, what).with_cause(why);
        return Failure { error, sent: true };
    }
    let what = format!("the connection to {peer} broke");
    let failed = Error::new(Code::Network, what).with_cause(innermost(&causes));
    if error.is_builder() {
        return Failure::unsent(failed.into_permanent());
    }
    Failure {
        error: failed,
        sent: true,
    }
}

/// The refusal of a tunnel by the proxy of `peer`, if that is why a request failed.
pub(super) fn tunnel_refusal(error: &reqwest::Error, peer: &Peer) -> Option<TunnelRefusal> {
    match ProxyTrouble::find(&causes(error), peer)? {
        ProxyTrouble::RefusedTunnel(refusal) => Some(refusal),
        _ => None,
    }
}

/// The failure of a connection attempt, its TLS handshake included.
fn of_connection(timed_out: bool, causes: &[Cause<'_>], peer: &Peer) -> Failure {
    let proxy = peer.proxy.as_deref();
    let trouble = proxy.and_then(|proxy| {
        let trouble = (!timed_out).then(|| ProxyTrouble::find(causes, peer))?;
        Some((proxy, trouble?))
    });
    let refusal = trouble
        .as_ref()
        .and_then(|(proxy, trouble)| of_refusal(trouble, proxy, peer));
    if let Some(error) = refusal {
        return Failure::unsent(error);
    }
    let (name, why, party, hint) = match trouble {
        Some((proxy, ProxyTrouble::Unresolved)) => {
            let hint = proxy_failure::resolving_hint(proxy);
            (peer.to_string(), None, "the server", Some(hint))
        }
        Some((proxy, ProxyTrouble::Unreachable(why))) => {
            let hint = match proxy.scheme() {
                "https" if speaks_no_tls(causes) => {
                    format!("write http:// in {}", proxy.source())
                }
                _ => proxy_hint(proxy),
            };
            (proxy.to_string(), why, "the proxy", Some(hint))
        }
        // The tunnel relays bytes: nothing tells which of both ends sent them.
        _ => match proxy {
            Some(proxy) => {
                let party = "the proxy or the server";
                let hint = format!(
                    "check {} and the host's address, or name the host in NO_PROXY",
                    proxy.source()
                );
                (peer.to_string(), None, party, Some(hint))
            }
            None => (peer.to_string(), None, "the server", None),
        },
    };
    if let Some(error) = of_certificate(causes, &name, party) {
        return Failure::unsent(error);
    }
    let why = match why {
        _ if timed_out => "no connection within --connect-timeout".to_owned(),
        Some(why) => why.to_owned(),
        None => of_party(innermost(causes), party),
    };
    let what = match proxy {
        Some(_) => format!("cannot connect to {name}"),
        None => format!("cannot connect to {}", peer.address),
    };
    let mut io_errors = causes
        .iter()
        .filter_map(|cause| cause.downcast_ref::<io::Error>());
    if let Some(shortage) = io_errors.find_map(|error| Error::shortage(&what, error)) {
        return Failure::unsent(shortage);
    }
    let mut error = Error::new(Code::Network, what).with_cause(why);
    if let Some(hint) = hint {
        error = error.with_hint(hint);
    }
    Failure::unsent(error)
}

/// The error of a proxy that docfetch reached and that did not connect to the host of `peer`. `None` for other trouble.
fn of_refusal(trouble: &ProxyTrouble, proxy: &ProxyServer, peer: &Peer) -> Option<Error> {
    Some(match trouble {
        ProxyTrouble::Rejected(rejection) => proxy_failure::rejected(proxy, *rejection),
        ProxyTrouble::RefusedTunnel(TunnelRefusal::Credentials) => {
            proxy_failure::rejected(proxy, ProxyRejection::Credentials)
        }
        ProxyTrouble::RefusedTunnel(TunnelRefusal::OtherStatus) => {
            let why = "the proxy refused a CONNECT request";
            proxy_failure::refused(proxy, &peer.host, why)
        }
        ProxyTrouble::Failed(why) => proxy_failure::refused(proxy, &peer.host, why),
        ProxyTrouble::Unreachable(_) | ProxyTrouble::Unresolved => return None,
    })
}

/// The error of a certificate that is not trusted, if the causes have one. `name` presented the certificate.
fn of_certificate(causes: &[Cause<'_>], name: &str, party: &str) -> Option<Error> {
    let why = causes
        .iter()
        .find_map(|cause| match cause.downcast_ref()? {
            rustls::Error::InvalidCertificate(why) => Some(why),
            _ => None,
        })?;
    let (why, remedy) = tls_failure::explain_certificate(why);
    let hint = match party {
        "the proxy" => remedy.hint_for_proxy(),
        _ => remedy.hint_for_server(),
    };
    let what = format!("the certificate of {name} is not trusted");
    Some(
        Error::new(Code::Certificate, what)
            .with_cause(why)
            .with_hint(hint),
    )
}

/// A sentence about the server as one about `party`.
fn of_party(sentence: String, party: &str) -> String {
    match sentence.strip_prefix("the server ") {
        Some(rest) => format!("{party} {rest}"),
        None => sentence,
    }
}

fn speaks_no_tls(causes: &[Cause<'_>]) -> bool {
    let is_other = |cause: &Cause<'_>| {
        matches!(
            cause.downcast_ref(),
            Some(rustls::Error::InvalidMessage(
                InvalidMessage::InvalidContentType
            ))
        )
    };
    causes.iter().any(is_other)
}

fn proxy_hint(proxy: &ProxyServer) -> String {
    format!("check {}, or name the host in NO_PROXY", proxy.source())
}

/// The innermost cause, in words.
fn innermost(causes: &[Cause<'_>]) -> String {
    let Some(last) = causes.last() else {
        return "the cause is unknown".to_owned();
    };
    if let Some(error) = last.downcast_ref::<rustls::Error>() {
        return tls_failure::explain(error);
    }
    let kind = last.downcast_ref::<io::Error>().map(io::Error::kind);
    if let Some(words) = kind.and_then(explain_kind) {
        return words.to_owned();
    }
    let text = last.to_string();
    if let Some(why) = text.strip_prefix("failed to lookup address information: ") {
        return explain_lookup(why);
    }
    let in_words = [
        (
            "peer closed connection without sending TLS close_notify",
            "the server closed the connection without a TLS close_notify message",
        ),
        (
            "connection closed before message completed",
            "the server closed the connection before the end of its answer",
        ),
        (
            "end of file before message length reached",
            "the server closed the connection before the end of the body",
        ),
        (
            "tls handshake eof",
            "the server closed the connection during the TLS handshake",
        ),
    ];
    let known = in_words.iter().find(|(begin, _)| text.starts_with(begin));
    known.map_or(text, |(_, words)| (*words).to_owned())
}

/// How an answer breaks HTTP's rules. hyper's texts end in "parsed".
fn explain_malformed(error: &hyper::Error) -> String {
    let text = error.to_string();
    let text = text.split(" parsed").next().unwrap_or_default();
    match text.strip_prefix("invalid ") {
        Some("HTTP version") => "the server does not speak HTTP on this port".to_owned(),
        Some(part) => format!("the server sent a malformed {part}"),
        None => text.to_owned(),
    }
}

/// Why a connection failed, in words.
fn explain_kind(kind: io::ErrorKind) -> Option<&'static str> {
    Some(match kind {
        io::ErrorKind::ConnectionRefused => "the server refused the connection",
        io::ErrorKind::ConnectionReset => "the server reset the connection",
        io::ErrorKind::ConnectionAborted => "this machine ended the connection",
        io::ErrorKind::NetworkUnreachable => "this machine has no route to that network",
        io::ErrorKind::HostUnreachable => "no route leads to the server",
        io::ErrorKind::PermissionDenied => "this machine does not permit the connection",
        io::ErrorKind::TimedOut => "the server did not answer",
        _ => return None,
    })
}

/// Why the system's resolver found no address. The texts are those of glibc, musl and macOS for the errors of
/// `getaddrinfo` (RFC 3493 section 6.1).
fn explain_lookup(why: &str) -> String {
    match why {
        "Name or service not known"
        | "No address associated with hostname"
        | "Name does not resolve"
        | "Name has no usable address"
        | "nodename nor servname provided, or not known" => {
            "the resolver of this machine knows no address of this name".to_owned()
        }
        "Temporary failure in name resolution" | "Try again" => {
            "the resolver of this machine got no answer from its name servers".to_owned()
        }
        other => format!("the resolver of this machine failed: {other}"),
    }
}

/// The causes of an error, outermost first.
fn causes(error: &reqwest::Error) -> Vec<Cause<'_>> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
    .flat_map(inner)
    .collect()
}

/// An error, and the errors inside an `io::Error`, which its `source` does not return.
fn inner(error: Cause<'_>) -> Vec<Cause<'_>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_told_from_a_resolver_without_an_answer() {
        for (text, says) in [
            ("Name or service not known", "knows no address of this name"),
            (
                "No address associated with hostname",
                "knows no address of this name",
            ),
            ("Name does not resolve", "knows no address of this name"),
            (
                "Temporary failure in name resolution",
                "got no answer from its name servers",
            ),
            ("Try again", "got no answer from its name servers"),
            (
                "Non-recoverable failure in name resolution",
                "failed: Non-recoverable failure",
            ),
        ] {
            assert!(explain_lookup(text).contains(says), "{text}");
        }
    }
}
