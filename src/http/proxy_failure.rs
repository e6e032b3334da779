//! What a proxy did wrong when docfetch connected through it.
//!
//! hyper-util does not export the error types of its tunnels. This file therefore reads their texts, to tell a
//! proxy that docfetch cannot reach from one that refuses. Where a later hyper-util words an error differently,
//! the message becomes less exact, and nothing else changes. `tests/it/proxies.rs` compares the texts with
//! those of real proxies.

use super::connect::ProxyServer;
use super::peer::Peer;
use crate::error::{Code, Error};
use reqwest::header::{self, HeaderMap, HeaderValue};
use std::error::Error as StdError;

/// Why a connection through a proxy failed before the proxy connected to the host.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ProxyTrouble {
    /// docfetch has no connection to the proxy. The cause, where only this text tells it.
    Unreachable(Option<&'static str>),
    /// The proxy requires other credentials.
    Rejected(ProxyRejection),
    /// The proxy refused a CONNECT request with a status, and hyper-util did not keep the answer.
    RefusedTunnel(TunnelRefusal),
    /// The proxy did not connect to the host, for this cause.
    Failed(String),
    /// This machine cannot resolve the host's name, and the SOCKS proxy gets addresses only.
    Unresolved,
}

/// The status of the answer that refused a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TunnelRefusal {
    /// 407.
    Credentials,
    /// Neither a success nor 407.
    OtherStatus,
}

/// Why a proxy rejects the credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProxyRejection {
    /// There are none, or they are wrong.
    Credentials,
    /// The SOCKS proxy chose no user name and password, which were not sent.
    Method,
    /// The proxy offers no Basic authentication.
    NoBasic,
}

impl ProxyRejection {
    /// The rejection of an answer with the status 407 (RFC 9110 section 11.7.1).
    pub(super) fn of_challenges(headers: &HeaderMap) -> Self {
        let is_basic = |value: &HeaderValue| {
            let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
            let mut challenges = text.split(',');
            challenges.any(|challenge| challenge.split_whitespace().next() == Some("basic"))
        };
        let challenges = headers.get_all(header::PROXY_AUTHENTICATE);
        if challenges.iter().next().is_none() || challenges.iter().any(is_basic) {
            Self::Credentials
        } else {
            Self::NoBasic
        }
    }
}

impl ProxyTrouble {
    /// Finds the trouble in the causes of a failed connection attempt through a proxy. `None` where the proxy
    /// connected to the host, and the TLS handshake with that host failed.
    pub(super) fn find(causes: &[&(dyn StdError + 'static)], peer: &Peer) -> Option<Self> {
        if peer.forwarding_proxy().is_some() {
            return Some(Self::Unreachable(None));
        }
        causes.iter().find_map(|cause| {
            let text = cause.to_string();
            if text == "error resolving for socks proxy" {
                return Some(Self::Unresolved);
            }
            if let Some(text) = text.strip_prefix("tunnel error: ") {
                return Some(Self::of_tunnel(text, *cause));
            }
            let text = text.strip_prefix("SOCKS error: ")?;
            Some(Self::of_socks(text, &format!("{cause:?}")))
        })
    }

    fn of_tunnel(text: &str, error: &(dyn StdError + 'static)) -> Self {
        let why = match text {
            "failed to create underlying connection" => return Self::Unreachable(None),
            "proxy authorization required" => {
                return Self::RefusedTunnel(TunnelRefusal::Credentials);
            }
            "unsuccessful" => return Self::RefusedTunnel(TunnelRefusal::OtherStatus),
            "unexpected end of file" => {
                "the proxy closed the connection before it answered the CONNECT request"
            }
            "proxy response headers too long" => {
                "the proxy's answer to the CONNECT request has more than 8 KiB of headers"
            }
            _ => {
                let cause = error.source().map(ToString::to_string);
                return Self::Failed(cause.unwrap_or_else(|| text.to_owned()));
            }
        };
        Self::Failed(why.to_owned())
    }

    /// `debug` is the only place where this error shows why there is no connection to the proxy.
    fn of_socks(text: &str, debug: &str) -> Self {
        let why = match text {
            "failed to create underlying connection" if debug.contains("ConnectionRefused") => {
                return Self::Unreachable(Some("the proxy refused the connection"));
            }
            "failed to create underlying connection" if debug.contains("dns error") => {
                return Self::Unreachable(Some("the resolver did not find the name of the proxy"));
            }
            "failed to create underlying connection" => {
                return Self::Unreachable(Some("the connection failed"));
            }
            "server does not support user/pass authentication"
            | "server implements authentication incorrectly" => {
                return Self::Rejected(ProxyRejection::Method);
            }
            "credentials not accepted" => return Self::Rejected(ProxyRejection::Credentials),
            "io error during SOCKS handshake" => {
                "the proxy closed the connection during the SOCKS handshake"
            }
            "failed parsing server response" => "the proxy does not speak this version of SOCKS",
            "IPV6 is not supported" => "SOCKS 4 knows no IPv6 address, and the host has no other",
            reply => return Self::Failed(format!("the proxy says: {reply}")),
        };
        Self::Failed(why.to_owned())
    }
}

/// The error of a proxy that requires other credentials (RFC 9110 section 15.5.8). The host got nothing.
pub(super) fn rejected(proxy: &ProxyServer, rejection: ProxyRejection) -> Error {
    let (what, hint) = match rejection {
        ProxyRejection::NoBasic => (
            "requires an authentication that docfetch does not support",
            "docfetch supports Basic; ask the administrator of the proxy for Basic".to_owned(),
        ),
        ProxyRejection::Method if proxy.has_credentials() => (
            "takes no user name and password, or requires another method",
            format!(
                "leave the user name and the password out of {}",
                proxy.source()
            ),
        ),
        _ if proxy.has_credentials() => (
            "does not accept the user name and the password",
            format!("check them in {}", proxy.source()),
        ),
        _ => (
            "requires a user name and a password",
            format!("set them in the environment: {}", proxy.credentials_hint()),
        ),
    };
    Error::new(Code::CredentialsRejected, format!("{proxy} {what}"))
        .with_cause("the proxy sent nothing to the host")
        .with_hint(hint)
        .into_permanent()
}

/// The error of a proxy that does not connect to the host.
pub(super) fn refused(proxy: &ProxyServer, host: &str, why: &str) -> Error {
    let what = format!("{proxy} did not connect to {host}");
    let hint = format!(
        "check {}, ask the administrator of the proxy, or name the host in NO_PROXY",
        proxy.source()
    );
    Error::new(Code::Network, what)
        .with_cause(why)
        .with_hint(hint)
}

/// What the user should do where this machine cannot resolve a name for a SOCKS proxy.
pub(super) fn resolving_hint(proxy: &ProxyServer) -> String {
    let scheme = match proxy.scheme() {
        "socks4" => "socks4a",
        _ => "socks5h",
    };
    format!(
        "check the host's name, or write {scheme}:// in {}: then the proxy resolves names",
        proxy.source()
    )
}
