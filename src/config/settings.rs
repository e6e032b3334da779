//! Settings of everything that uses the network, as plain values.

use crate::model::Rate;
use crate::secret::Secret;
use crate::text::parse_duration;
use std::path::PathBuf;
use std::time::Duration;

/// How docfetch connects, how long it tries, how fast it sends requests.
///
/// The default trusts the system's certificates, uses no proxy and has the limits that each field names.
/// Nothing here is read from the environment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connection {
    /// A PEM file of certificates that are trusted in addition. Default: none.
    pub ca_cert: Option<PathBuf>,
    /// Certificates that are trusted instead of the system's. Default: the system's.
    pub roots: RootCertificates,
    /// The proxies. Default: none. Loopback addresses never go through a proxy.
    pub proxies: ProxySettings,
    /// The longest time for name resolution, connection and TLS handshake together. Default: 10 s.
    pub connect_timeout: Duration,
    /// An attempt ends when it moved less than 1 KiB/s for this long. Default: 30 s.
    pub stall_timeout: Duration,
    /// How many further attempts in a row may bring no progress. Default: 5.
    pub retries: u32,
    /// docfetch gives up after this long without progress. Default: 5 minutes.
    pub retry_max_time: Duration,
    /// How long docfetch waits for a document that the service calls not ready. Default: not at all.
    pub wait: Duration,
    /// The rate budget. Default: the provider's.
    pub rate_limit: Option<RateLimit>,
    /// Whether a second paid retrieval is permitted where the ledger refuses it. Default: no.
    pub allow_recharge: bool,
    /// How many paid requests one resolver may send, not counting those that the provider refuses. Default:
    /// no limit.
    pub max_charges: Option<u64>,
    /// Whether private and loopback addresses are permitted, and plain http to them. Default: no.
    pub allow_private: bool,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            ca_cert: None,
            roots: RootCertificates::default(),
            proxies: ProxySettings::default(),
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            retries: 5,
            retry_max_time: Duration::from_mins(5),
            wait: Duration::ZERO,
            rate_limit: None,
            allow_recharge: false,
            max_charges: None,
            allow_private: false,
        }
    }
}

/// Root certificates in PEM that are trusted instead of the system's; the system's when both are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootCertificates {
    /// One file. It must be readable and hold a certificate.
    pub file: Option<PathBuf>,
    /// Folders whose files hold certificates; other files in them are ignored.
    pub folders: Vec<PathBuf>,
}

/// The proxies for http and https.
#[derive(Clone, Debug, Default)]
pub struct ProxySettings {
    /// The proxy for `http://` URLs.
    pub http: Option<ProxyUrl>,
    /// The proxy for `https://` URLs.
    pub https: Option<ProxyUrl>,
    /// Hosts, domains and networks that no proxy serves, separated by commas, as curl reads `NO_PROXY`.
    pub no_proxy: String,
}

/// One proxy.
#[derive(Clone, Debug)]
pub struct ProxyUrl {
    /// A URL with the scheme http, https, socks4, socks4a, socks5 or socks5h, or a host and a port. A URL may
    /// hold a password. With socks4a and socks5h, the proxy resolves the names of hosts. docfetch refuses a
    /// value with [`char::REPLACEMENT_CHARACTER`], which stands for bytes that are not UTF-8.
    pub url: Secret,
    /// What messages call the setting, such as `HTTPS_PROXY`.
    pub source: String,
}

/// A rate budget instead of the provider's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RateLimit {
    /// No budget at all.
    None,
    /// All of these rates together; each has at least one request, and a window from 1 ms to 24 hours.
    Rates(Vec<Rate>),
}

/// Parses a rate such as `120/1m`.
pub(crate) fn parse_rate(text: &str) -> Option<Rate> {
    let (requests, window) = text.split_once('/')?;
    let rate = Rate {
        requests: requests.parse().ok()?,
        window: parse_duration(window)?,
    };
    rate.is_valid().then_some(rate)
}
