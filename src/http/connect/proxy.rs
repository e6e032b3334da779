//! Which proxy a request goes through.
//!
//! A proxy is judged when a URL would use it: a value that docfetch cannot use does no harm in a run whose
//! URLs are all exempt or loopback.

use super::address_class::is_loopback;
use super::no_proxy::NoProxy;
use super::proxy_trial::ProxyTrial;
use crate::config::network::{PROXY_FLAG, PROXY_OPTION};
use crate::config::settings::{ProxySettings, ProxyUrl};
use crate::error::{Code, Error, Result};
use crate::secret::Secret;
use percent_encoding::percent_decode_str;
use std::fmt;
use std::sync::Arc;
use url::{ParseError, Position, Url};

/// The port of a proxy whose value names none, as in curl: 443 for https, else 1080.
const DEFAULT_PORT: u16 = 1080;
/// The protocols between docfetch and a proxy.
const SUPPORTED_SCHEMES: [&str; 6] = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];

/// The proxies for http and https URLs. Loopback URLs never go through a proxy.
#[derive(Debug)]
pub(crate) struct Proxies {
    http: Option<Result<Arc<ProxyServer>>>,
    https: Option<Result<Arc<ProxyServer>>>,
    no_proxy: NoProxy,
}

/// A proxy. `Display` and `Debug` show its address and which setting names it, and no password.
#[derive(Clone)]
pub(crate) struct ProxyServer {
    /// With the user name and the password, if there are any, and always with a port.
    url: Url,
    /// The variable or the flag.
    source: String,
    /// Shared by the settings that name the same URL.
    trial: Arc<ProxyTrial>,
}

impl Proxies {
    /// Parses the proxies of the settings.
    pub(crate) fn new(settings: &ProxySettings) -> Self {
        let mut http = settings.http.as_ref().map(ProxyServer::parse);
        let https = settings.https.as_ref().map(ProxyServer::parse);
        if let (Some(Ok(http)), Some(Ok(https))) = (&mut http, &https)
            && http.url == https.url
        {
            http.trial = Arc::clone(&https.trial);
        }
        Self {
            http: http.map(|proxy| proxy.map(Arc::new)),
            https: https.map(|proxy| proxy.map(Arc::new)),
            no_proxy: NoProxy::parse(&settings.no_proxy),
        }
    }

    /// The proxy of a URL; `None` for a direct connection.
    ///
    /// # Errors
    /// [`Code::Config`] when docfetch cannot use the value of the setting.
    pub(crate) fn for_url(&self, url: &Url) -> Result<Option<&Arc<ProxyServer>>> {
        let proxy = match url.scheme() {
            "http" => self.http.as_ref(),
            _ => self.https.as_ref(),
        };
        match proxy {
            Some(proxy) if !is_loopback(url) && !self.no_proxy.contains(url) => {
                proxy.as_ref().map(Some).map_err(Clone::clone)
            }
            _ => Ok(None),
        }
    }

    /// The URL that reqwest takes for the proxy of a URL. `None` for a direct connection.
    ///
    /// Where docfetch cannot use the setting, the URL is one of a host that does not exist, so that nothing
    /// ever bypasses a proxy.
    pub(crate) fn for_reqwest(&self, url: &Url) -> Option<Url> {
        match self.for_url(url) {
            Ok(proxy) => proxy.map(|proxy| proxy.url_for_reqwest(true)),
            Err(_) => Url::parse("http://proxy.invalid:1080").ok(), // RFC 6761 section 6.4
        }
    }

    /// Checks the proxy of https URLs, unless no host uses a proxy.
    ///
    /// # Errors
    /// [`Code::Config`] when docfetch cannot use the value of the setting.
    pub(crate) fn check_https(&self) -> Result<()> {
        match &self.https {
            Some(Err(error)) if !self.no_proxy.is_for_all() => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// The hosts of all proxies.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let proxies = [&self.http, &self.https].into_iter().flatten().flatten();
        proxies
            .filter_map(|proxy| proxy.url.host_str().map(str::to_owned))
            .collect()
    }

    /// Whether a proxy is one of SOCKS 4, which knows only IPv4 addresses.
    pub(crate) fn needs_ipv4(&self) -> bool {
        let mut proxies = [&self.http, &self.https].into_iter().flatten().flatten();
        proxies.any(|proxy| proxy.url.scheme() == "socks4")
    }
}

impl ProxyServer {
    /// Parses a URL, or a host and a port, and registers its password as a secret.
    ///
    /// # Errors
    /// [`Code::Config`]. The error does not repeat the text, which can hold a password.
    fn parse(setting: &ProxyUrl) -> Result<Self> {
        const FORM: &str = "the value must be a URL, or a host and a port";
        const NOT_UTF8: &str = "the value is not UTF-8";
        const PORT: &str = "the port must be a number from 1 to 65535";
        const ENCODE: &str = "the user name or the password has a character that ends the host of a URL: write \
                              %23 for #, %2F for /, %3F for ?";
        const SCHEMES: &str =
            "docfetch knows http, https, socks4, socks4a, socks5 and socks5h proxies";
        const NO_NAME: &str = "docfetch sends no user name to a SOCKS 4 proxy; SOCKS 5 takes one";
        let source = setting.source.clone();
        let unusable = |why| {
            Error::new(Code::Config, format!("cannot use the proxy of {source}"))
                .with_cause(why)
                .with_hint(format!("correct {source}, or name the host in NO_PROXY"))
        };
        let text = setting.url.expose().trim();
        if text.contains(char::REPLACEMENT_CHARACTER) {
            return Err(unusable(NOT_UTF8));
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        if rest[end..].contains('@') {
            return Err(unusable(ENCODE));
        }
        // With a scheme that has no default port, the URL keeps every port.
        let parts = Url::parse(&format!("proxy://{rest}")).map_err(|error| match error {
            ParseError::InvalidPort => unusable(PORT),
            _ => unusable(FORM),
        })?;
        register_password(&parts);
        if parts.port() == Some(0) {
            return Err(unusable(PORT));
        }
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "socks" => "socks4".to_owned(), // as in curl
            scheme if SUPPORTED_SCHEMES.contains(&scheme) => scheme.to_owned(),
            _ => return Err(unusable(SCHEMES)),
        };
        if scheme.starts_with("socks4") && !parts.username().is_empty() {
            return Err(unusable(NO_NAME));
        }
        let address = &parts[Position::BeforeUsername..Position::AfterPort];
        let url = Url::parse(&format!("{scheme}://{address}")).ok();
        let mut url = url
            .filter(|url| url.host_str().is_some_and(|host| !host.is_empty()))
            .ok_or_else(|| unusable(FORM))?;
        if parts.port().is_none() && scheme != "https" {
            url.set_port(Some(DEFAULT_PORT))
                .map_err(|()| unusable(FORM))?;
        }
        Ok(Self {
            url,
            source,
            trial: Arc::default(),
        })
    }

    /// The URL that reqwest takes for the proxy.
    pub(crate) fn url_for_reqwest(&self, with_credentials: bool) -> Url {
        let mut url = self.url.clone();
        if !with_credentials {
            let _ = url.set_username("");
            let _ = url.set_password(None);
        }
        url
    }

    /// The flag or the variable that names the proxy.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Whether docfetch sends a user name to the proxy.
    pub(crate) fn has_credentials(&self) -> bool {
        !self.url.username().is_empty() || self.url.password().is_some()
    }

    /// What docfetch learned of the credentials.
    pub(crate) fn trial(&self) -> &ProxyTrial {
        &self.trial
    }

    /// The form of a value with credentials. A user sets it in the environment: other users can read the
    /// arguments of a process.
    pub(crate) fn credentials_hint(&self) -> String {
        let variable = match self.source.as_str() {
            PROXY_FLAG => PROXY_OPTION,
            variable => variable,
        };
        let scheme = self.url.scheme();
        format!("{variable}={scheme}://USER:PASSWORD@HOST:PORT")
    }

    /// The scheme of the proxy's URL.
    pub(crate) fn scheme(&self) -> &str {
        self.url.scheme()
    }

    /// Whether it is a SOCKS proxy, which does not see what is sent.
    pub(crate) fn is_socks(&self) -> bool {
        self.url.scheme().starts_with("socks")
    }

    /// Whether the proxy resolves the names of hosts, so that docfetch does not know their addresses.
    pub(crate) fn resolves_names(&self) -> bool {
        !matches!(self.url.scheme(), "socks4" | "socks5")
    }
}

impl fmt::Display for ProxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default().unwrap_or(DEFAULT_PORT);
        write!(f, "the proxy {host}:{port} ({})", self.source)
    }
}

impl fmt::Debug for ProxyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Registers the password of a URL, also as a part of the credentials of HTTP's Basic scheme (RFC 7617).
fn register_password(url: &Url) {
    let Some(password) = url.password() else {
        return;
    };
    let decode = |text| percent_decode_str(text).decode_utf8_lossy();
    let password = decode(password);
    Secret::new(password.as_ref());
    Secret::new(format!("{}:{password}", decode(url.username())));
}
