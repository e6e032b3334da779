//! The three HTTP clients. Their rules differ:
//!
//! | client | connections | sends |
//! | --- | --- | --- |
//! | api | kept; HTTP/2 where the server offers it | the credential |
//! | paid | one for each request, behind a [`Gate`]; reused only right after an answer ([`IdleConnections`](super::connect::IdleConnections)); HTTP/1.1 | the credential |
//! | storage | kept; HTTP/1.1 | no credential, cookie or `Referer` |
//!
//! No client follows redirects. No client repeats a request of which a byte may have left: reqwest would do
//! so after a pooled connection broke, and a repeated paid request may be charged again. (A request that
//! reqwest still held when a pooled connection closed goes out on another connection.)

use super::connect::{
    AddressPolicy, ConnectHook, Direct, DnsResolver, Gate, HookLayer, Proxies, ProxyServer, Scheme,
    SpareConnection, is_loopback, tls,
};
use super::peer::Peer;
use crate::config::settings::Connection;
use crate::error::{Code, Error, Result};
use reqwest::{Client, ClientBuilder, Proxy, redirect, retry};
use std::sync::Arc;
use std::time::Duration;
use url::{Host, Url};

/// How many unacknowledged bytes a server may send on one HTTP/2 stream (RFC 9113 section 5.2).
const STREAM_WINDOW_BYTES: u32 = 8 << 20;

/// How many header fields an answer may have. Servers send up to 1000 in 64 KiB; there is room for more.
const MAX_HEADER_FIELDS: usize = 1200;
/// How many bytes the header fields of an HTTP/2 answer may take, with 32 bytes for each field (RFC 9113
/// section 6.5.2).
const MAX_HEADER_LIST_BYTES: u32 = 128 << 10;

/// The kind of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientKind {
    /// For free requests to the API.
    Api,
    /// For paid requests to the API.
    Paid,
    /// For requests to presigned URLs.
    Storage,
}

/// Makes HTTP clients for one API and its storages. Certificates and proxies are read once.
#[derive(Debug)]
pub(super) struct Clients {
    tls: rustls::ClientConfig,
    proxies: Arc<Proxies>,
    policy: Arc<AddressPolicy>,
    connect_timeout: Duration,
}

impl Clients {
    /// Reads certificates and proxies, for an API at `base`.
    ///
    /// # Errors
    /// [`Code::Config`] when a certificate file cannot be used.
    pub(super) fn new(settings: &Connection, base: &Url) -> Result<Self> {
        let proxies = Proxies::new(&settings.proxies);
        let policy = AddressPolicy::new(base, settings.allow_private, proxies.hosts());
        Ok(Self {
            tls: tls::client_config(settings.ca_cert.as_deref(), &settings.roots)?,
            proxies: Arc::new(proxies),
            policy: Arc::new(policy),
            connect_timeout: settings.connect_timeout,
        })
    }

    /// Makes a client for many requests to URLs of one scheme.
    ///
    /// # Errors
    /// [`Code::Unexpected`] when reqwest cannot make it.
    pub(super) fn client(&self, kind: ClientKind, scheme: Scheme) -> Result<Client> {
        build(self.builder(kind, scheme, Direct))
    }

    /// Makes a client for paid requests, one at a time. Its connections stop at `gate`.
    ///
    /// # Errors
    /// [`Code::Unexpected`] when reqwest cannot make it.
    pub(super) fn paid(&self, gate: &Gate, scheme: Scheme) -> Result<Client> {
        build(self.builder(ClientKind::Paid, scheme, gate.clone()))
    }

    /// Makes a client for one storage whose first connection is kept in `spare`. `None` when requests to
    /// the storage go through a proxy.
    pub(super) fn preconnecting(&self, origin: &Url, spare: &SpareConnection) -> Option<Client> {
        if !matches!(self.proxies.for_url(origin), Ok(None)) {
            return None;
        }
        let scheme = Scheme::of(origin);
        build(self.builder(ClientKind::Storage, scheme, spare.clone())).ok()
    }

    /// Makes a client that sends its requests for plain http URLs to `proxy`, and to no other host.
    ///
    /// # Errors
    /// [`Code::Unexpected`] when reqwest cannot make it.
    pub(super) fn of_proxy(&self, proxy: &ProxyServer, with_credentials: bool) -> Result<Client> {
        let url = proxy.url_for_reqwest(with_credentials);
        let all = Proxy::custom(move |_| Some(url.clone()));
        build(self.builder_through(ClientKind::Storage, Scheme::Https, Direct, all))
    }

    /// Checks a URL before any connection: the address rules, its proxy, and no plain http to a name that only
    /// a proxy resolves, because then only the proxy learns the address.
    ///
    /// # Errors
    /// [`Code::InsecureUrl`], [`Code::PrivateAddress`]; [`Code::Config`] for a proxy that cannot be used;
    /// [`Code::Network`] for https to an IPv6 address through a proxy.
    pub(super) fn check_url(&self, url: &Url) -> Result<()> {
        self.policy.check_url(url)?;
        let Some(proxy) = self.proxies.for_url(url)? else {
            return Ok(());
        };
        let host = url.host_str().unwrap_or_default();
        match (url.scheme(), url.host()) {
            ("http", Some(Host::Domain(_))) if proxy.resolves_names() => {
                let what = format!("refused plain http to {host} through a proxy");
                Err(Error::new(Code::InsecureUrl, what)
                    .with_cause("the proxy resolves the name, so that the address may be public")
                    .with_hint("use https, or name the host in NO_PROXY"))
            }
            // reqwest takes the brackets for a part of the name in the certificate, and finds no such name.
            ("https", Some(Host::Ipv6(address))) => {
                let what = format!("cannot connect to {host} through {proxy}");
                Err(Error::new(Code::Network, what)
                    .with_cause("docfetch supports no https to an IPv6 address through a proxy")
                    .with_hint(format!("name {address} in NO_PROXY"))
                    .into_permanent())
            }
            _ => Ok(()),
        }
    }

    /// Checks, before a paid request to `url`, the proxy that the storage may need: the URL of the document is
    /// known only after the payment. A storage of a loopback API may be loopback, too, and need no proxy.
    ///
    /// # Errors
    /// [`Code::Config`] for a proxy that cannot be used.
    pub(super) fn check_before_payment(&self, url: &Url) -> Result<()> {
        if is_loopback(url) {
            return Ok(());
        }
        self.proxies.check_https()
    }

    /// Who answers a request to `url`.
    pub(super) fn peer(&self, url: &Url) -> Peer {
        Peer::new(url, self.proxies.for_url(url).ok().flatten())
    }

    fn builder<H>(&self, kind: ClientKind, scheme: Scheme, hook: H) -> ClientBuilder
    where
        H: ConnectHook + Send + Sync + 'static,
    {
        let proxies = Arc::clone(&self.proxies);
        let proxy = Proxy::custom(move |url| proxies.for_reqwest(url));
        self.builder_through(kind, scheme, hook, proxy)
    }

    fn builder_through<H>(
        &self,
        kind: ClientKind,
        scheme: Scheme,
        hook: H,
        proxy: Proxy,
    ) -> ClientBuilder
    where
        H: ConnectHook + Send + Sync + 'static,
    {
        let mut tls = self.tls.clone();
        tls.alpn_protocols = match kind {
            ClientKind::Api => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            ClientKind::Paid | ClientKind::Storage => vec![b"http/1.1".to_vec()],
        };
        let resolver =
            DnsResolver::new(Arc::clone(&self.policy), scheme, self.proxies.needs_ipv4());
        let builder = ClientBuilder::new()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("docfetch/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .retry(retry::never())
            .connector_layer(HookLayer {
                hook,
                connect_timeout: self.connect_timeout,
            })
            .dns_resolver(Arc::new(resolver))
            .no_proxy()
            .proxy(proxy)
            .tcp_nodelay(true)
            .http1_max_headers(MAX_HEADER_FIELDS)
            // A user agent reads a folded line as one line (RFC 9112 section 5.2).
            .http1_allow_obsolete_multiline_headers_in_responses(true);
        match kind {
            // With small windows, a listing waits for round trips of window updates.
            ClientKind::Api => builder
                .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
                .http2_initial_connection_window_size(2 * STREAM_WINDOW_BYTES)
                .http2_max_header_list_size(MAX_HEADER_LIST_BYTES),
            ClientKind::Paid => builder.http1_only().pool_max_idle_per_host(1),
            // A file name with control characters in a header must not make the document unreachable.
            ClientKind::Storage => builder
                .http1_only()
                .http1_ignore_invalid_headers_in_responses(true),
        }
    }
}

fn build(builder: ClientBuilder) -> Result<Client> {
    builder.build().map_err(|_| {
        Error::new(Code::Unexpected, "cannot make an HTTP client")
            .with_cause("reqwest rejects the TLS settings")
    })
}
