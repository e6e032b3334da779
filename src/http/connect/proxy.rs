//! Which proxy a request goes through.

use super::address_class::is_loopback;
use crate::config::settings::ProxySettings;
use crate::error::{Code, Error, Result};
use crate::secret::{PLACEHOLDER, Secret};
use hyper_util::client::proxy::matcher::Matcher;
use percent_encoding::percent_decode_str;
use std::fmt;
use url::Url;

/// The proxies for http and https URLs. Loopback URLs never go through a proxy.
pub(crate) struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    /// Matches every URL that `NO_PROXY` does not exempt.
    not_exempt: Matcher,
}

impl fmt::Debug for Proxies {
    /// Shows nothing: a proxy's URL can hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PLACEHOLDER)
    }
}

impl Proxies {
    /// Parses the proxies of the settings.
    ///
    /// # Errors
    /// [`Code::Config`] when one is neither a URL nor a host and port.
    pub(crate) fn new(settings: &ProxySettings) -> Result<Self> {
        let parse = |proxy: &Option<Secret>| {
            let proxy = proxy.as_ref().map(|proxy| parse_proxy(proxy.expose()));
            proxy.transpose()
        };
        Ok(Self {
            http: parse(&settings.http)?,
            https: parse(&settings.https)?,
            not_exempt: Matcher::builder()
                .all("http://proxy.invalid")
                .no(settings.no_proxy.as_str())
                .build(),
        })
    }

    /// The proxy of a URL; `None` for a direct connection.
    pub(crate) fn for_url(&self, url: &Url) -> Option<Url> {
        let proxy = match url.scheme() {
            "http" => self.http.as_ref(),
            _ => self.https.as_ref(),
        }?;
        let uri = url.as_str().parse().ok()?;
        let exempt = is_loopback(url) || self.not_exempt.intercept(&uri).is_none();
        (!exempt).then(|| proxy.clone())
    }

    /// The hosts of all proxies.
    pub(crate) fn hosts(&self) -> Vec<String> {
        [&self.http, &self.https]
            .into_iter()
            .flatten()
            .filter_map(|proxy| proxy.host_str().map(str::to_owned))
            .collect()
    }
}

/// Parses a URL, or a host and port, and registers its password as a secret.
///
/// # Errors
/// [`Code::Config`]. The error does not repeat the text, which can hold a password.
fn parse_proxy(text: &str) -> Result<Url> {
    let full = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url = Url::parse(&full)
        .ok()
        .filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"));
    if let Some(password) = url.as_ref().and_then(Url::password) {
        Secret::new(percent_decode_str(password).decode_utf8_lossy());
    }
    url.ok_or_else(|| {
        Error::new(
            Code::Config,
            "cannot use --proxy, or the proxy of the environment",
        )
        .with_cause("it must be an http or https URL, or a host and a port")
    })
}
