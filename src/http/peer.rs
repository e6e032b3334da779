//! Who answers a request: its host, and the proxy in front of that host.

use super::connect::ProxyServer;
use super::shown_url::shown_host;
use std::fmt;
use std::sync::Arc;
use url::Url;

/// The other side of a request, as errors name it. `Display` shows the host, and the proxy if there is one.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// The host, with its port where that is not the default.
    pub host: String,
    /// The host with its port.
    pub address: String,
    /// The proxy of the request.
    pub proxy: Option<Arc<ProxyServer>>,
    /// Whether the URL has the scheme `http`.
    is_plain: bool,
}

impl Peer {
    /// The other side of a request to `url`.
    pub(super) fn new(url: &Url, proxy: Option<&Arc<ProxyServer>>) -> Self {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        Self {
            host: shown_host(url),
            address: format!("{host}:{port}"),
            proxy: proxy.cloned(),
            is_plain: url.scheme() == "http",
        }
    }

    /// The other side of a request that was not sent.
    #[cfg(any(feature = "internals", all(test, feature = "cli")))]
    pub(super) fn unrequested() -> Self {
        Self {
            host: "host".to_owned(),
            address: "host:443".to_owned(),
            proxy: None,
            is_plain: false,
        }
    }

    /// The proxy that reads the request and forwards it. Other proxies only relay bytes.
    pub(super) fn forwarding_proxy(&self) -> Option<&ProxyServer> {
        let proxy = self.proxy.as_deref();
        proxy.filter(|proxy| self.is_plain && !proxy.is_socks())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.proxy {
            Some(proxy) => write!(f, "{} through {proxy}", self.host),
            None => f.write_str(&self.host),
        }
    }
}
