//! What the environment says of the network: proxies and root certificates.

use super::settings::{ProxySettings, ProxyUrl, RootCertificates};
use super::variables::{
    ALL_PROXY, HTTP_PROXY, HTTPS_PROXY, NO_PROXY, SSL_CERT_DIR, SSL_CERT_FILE, first, os_value,
};
use crate::secret::{PLACEHOLDER, Secret};
use std::path::PathBuf;

/// The variable of the option [`PROXY_FLAG`].
pub(crate) const PROXY_OPTION: &str = "DOCFETCH_PROXY";
/// The option that names a proxy for every URL.
pub(crate) const PROXY_FLAG: &str = "--proxy";

/// The proxies: `proxy` for every URL when it is given, else those of the environment, as curl reads them. An
/// empty `proxy` stands for no proxy at all. `NO_PROXY` exempts hosts from both.
pub(crate) fn proxies(proxy: Option<Secret>) -> ProxySettings {
    let of = |names: &[&str]| {
        let (name, value) = first(names).or_else(|| first(&ALL_PROXY))?;
        Some(ProxyUrl {
            url: Secret::unregistered(value),
            source: name.to_owned(),
        })
    };
    let (http, https) = match proxy {
        Some(url) if url.expose().trim().is_empty() => (None, None),
        Some(url) => {
            let is_set = os_value(PROXY_OPTION).is_some_and(|value| value == url.expose());
            let source = if is_set { PROXY_OPTION } else { PROXY_FLAG }.to_owned();
            let proxy = Some(ProxyUrl { url, source });
            (proxy.clone(), proxy)
        }
        None => (of(&HTTP_PROXY), of(&HTTPS_PROXY)),
    };
    let no_proxy = first(&NO_PROXY).map(|(_, list)| list);
    ProxySettings {
        http,
        https,
        no_proxy: no_proxy.unwrap_or_default(),
    }
}

/// The certificates that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
pub(crate) fn root_certificates() -> RootCertificates {
    let folders = os_value(SSL_CERT_DIR);
    RootCertificates {
        file: os_value(SSL_CERT_FILE).map(PathBuf::from),
        folders: folders.iter().flat_map(std::env::split_paths).collect(),
    }
}

/// Whether the URL of a proxy has a password. A password with a `/` that is not encoded counts, too.
pub(crate) fn has_password(url: &str) -> bool {
    let (_, user, _) = parts(url);
    user.contains(':') || user.to_lowercase().contains("%3a")
}

/// The URL of a proxy as messages show it: a placeholder stands for the user name and the password.
pub(crate) fn without_password(url: &str) -> String {
    match parts(url) {
        (_, "", _) => url.to_owned(),
        (scheme, _, host) => format!("{scheme}{PLACEHOLDER}@{host}"),
    }
}

/// The scheme with `://`, the user name with the password, and the host with all that follows.
fn parts(url: &str) -> (&str, &str, &str) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = url.split_at(start);
    match rest.rsplit_once('@') {
        Some((user, host)) => (scheme, user, host),
        None => (scheme, "", rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_a_proxy_is_recognised() {
        for (url, is_secret, shown) in [
            ("http://u:p@h:1", true, "http://[redacted]@h:1"),
            ("u:p@h:1", true, "[redacted]@h:1"),
            ("http://u:p/q@h:1/", true, "http://[redacted]@h:1/"),
            ("http://u:p@q@h", true, "http://[redacted]@h"),
            ("http://u%3Ap@h:1", true, "http://[redacted]@h:1"),
            ("socks5h://:p@h", true, "socks5h://[redacted]@h"),
            ("http://u@h:1", false, "http://[redacted]@h:1"),
            ("http://h:1", false, "http://h:1"),
            ("h:3128", false, "h:3128"),
            ("", false, ""),
        ] {
            assert_eq!(has_password(url), is_secret, "{url}");
            assert_eq!(without_password(url), shown);
        }
    }
}
