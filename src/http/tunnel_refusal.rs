//! What an HTTP proxy answers when it refuses a tunnel.
//!
//! hyper-util does not keep the answer to a refused CONNECT request (RFC 9110 section 9.3.6). docfetch
//! therefore sends the proxy one further CONNECT request, and reads that answer itself. No request to the host
//! leaves in either case.

use super::backoff::is_transient_status;
use super::client::Clients;
use super::connect::ProxyServer;
use super::headers;
use super::peer::Peer;
use super::proxy_failure::{self, ProxyRejection, TunnelRefusal};
use super::shown_url::shown_status;
use crate::active_time;
use crate::error::{Code, Error};
use reqwest::{Method, Response};
use std::pin::pin;
use std::time::{Duration, SystemTime};
use url::Url;

/// The error of a request for which the proxy of `peer` refused the tunnel. The proxy's further answer may take
/// `limit`. `None` where the proxy gives no such answer.
pub(super) async fn explain(
    refusal: TunnelRefusal,
    clients: &Clients,
    peer: &Peer,
    limit: Duration,
) -> Option<Error> {
    let proxy = peer.proxy.as_deref()?;
    // A password that the proxy has just rejected is not sent again.
    let with_credentials = refusal == TunnelRefusal::OtherStatus;
    let answer = connect(clients, proxy, peer, with_credentials);
    let answer = active_time::timeout(limit, pin!(answer)).await.ok()??;
    Some(match (answer.status().as_u16(), refusal) {
        (407, _) | (_, TunnelRefusal::Credentials) => {
            let rejection = ProxyRejection::of_challenges(answer.headers());
            proxy_failure::rejected(proxy, rejection)
        }
        (status, TunnelRefusal::OtherStatus) => {
            let wait = headers::retry_after(answer.headers(), SystemTime::now());
            of_status(proxy, &peer.host, status).with_retry_after(wait)
        }
    })
}

/// The answer to a CONNECT request for the host of `peer`. `None` for port 80, which the HTTP library leaves out of
/// the request, although RFC 9110 section 9.3.6 requires the port.
async fn connect(
    clients: &Clients,
    proxy: &ProxyServer,
    peer: &Peer,
    with_credentials: bool,
) -> Option<Response> {
    // The HTTP library sends the authority of this URL to the proxy, as a CONNECT request must have it.
    let target = Url::parse(&format!("http://{}", peer.address)).ok()?;
    target.port()?;
    let client = clients.of_proxy(proxy, with_credentials).ok()?;
    client.request(Method::CONNECT, target).send().await.ok()
}

/// The error of a proxy that answered the CONNECT request for `host` with `status`.
fn of_status(proxy: &ProxyServer, host: &str, status: u16) -> Error {
    let source = proxy.source();
    let (meaning, next) = match status {
        200..=299 => (
            "the proxy refused a first CONNECT request, and granted a second one",
            "run again later".to_owned(),
        ),
        403 | 451 => (
            "the proxy does not permit connections to this host",
            format!("ask the administrator of the proxy to permit {host}"),
        ),
        400 | 404 | 405 | 501 => (
            "the server at this address may be no proxy",
            format!("check {source}"),
        ),
        502 => (
            "the proxy has no connection to the host",
            format!("check the address {host}, and run again later"),
        ),
        503 => (
            "the proxy is overloaded, or cannot reach the host",
            format!("check the address {host}, and run again later"),
        ),
        504 => (
            "the host did not answer the proxy in time",
            "run again later".to_owned(),
        ),
        511 => (
            "the network requires a login",
            "log in to this network with a web browser".to_owned(),
        ),
        _ => (
            "the proxy opened no tunnel",
            format!("check {source}, or ask the administrator of the proxy"),
        ),
    };
    let why = format!("the proxy answered {}: {meaning}", shown_status(status));
    let what = format!("{proxy} did not connect to {host}");
    let error = Error::new(Code::Network, what)
        .with_cause(why)
        .with_hint(format!("{next}, or name the host in NO_PROXY"));
    if is_transient_status(status) || status < 300 {
        error
    } else {
        error.into_permanent()
    }
}
