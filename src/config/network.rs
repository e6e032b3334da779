//! What the environment says of the network: proxies and root certificates.

use super::settings::{ProxySettings, RootCertificates};
use super::variables::{
    ALL_PROXY, HTTP_PROXY, HTTPS_PROXY, NO_PROXY, SSL_CERT_DIR, SSL_CERT_FILE, first, paths,
};
use crate::secret::Secret;
use std::path::PathBuf;

/// The proxies: `proxy` for every URL when it is given, else those of the environment, as curl reads them.
/// `NO_PROXY` exempts hosts from both.
pub(crate) fn proxies(proxy: Option<Secret>) -> ProxySettings {
    let of = |names: &[&str]| {
        first(names)
            .or_else(|| first(&ALL_PROXY))
            .map(Secret::unregistered)
    };
    let (http, https) = match proxy {
        Some(proxy) => (Some(proxy.clone()), Some(proxy)),
        None => (of(&HTTP_PROXY), of(&HTTPS_PROXY)),
    };
    ProxySettings {
        http,
        https,
        no_proxy: first(&NO_PROXY).unwrap_or_default(),
    }
}

/// The certificates that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
pub(crate) fn root_certificates() -> RootCertificates {
    let folders = paths(SSL_CERT_DIR);
    RootCertificates {
        file: paths(SSL_CERT_FILE).map(PathBuf::from),
        folders: folders.iter().flat_map(std::env::split_paths).collect(),
    }
}
