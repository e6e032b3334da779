//! The name of every environment variable that docfetch reads or, in the sandbox, sets.

use std::ffi::OsString;

/// Before the capitals of a long option: `DOCFETCH_RETRIES` is `--retries`.
pub(crate) const OPTION_PREFIX: &str = "DOCFETCH_";
/// After the name of any secret's variable: names a file that holds the value.
pub(crate) const FILE_SUFFIX: &str = "_FILE";

/// The folder where docfetch remembers between runs, instead of the XDG place.
pub(crate) const STATE_DIR: &str = "DOCFETCH_STATE_DIR";

/// OAuth application of Standard Metrics.
pub(crate) const STANDARD_METRICS_CLIENT_ID: &str = "STANDARD_METRICS_CLIENT_ID";
/// Its secret.
pub(crate) const STANDARD_METRICS_CLIENT_SECRET: &str = "STANDARD_METRICS_CLIENT_SECRET";
/// Another base than `https://api.standardmetrics.io`.
pub(crate) const STANDARD_METRICS_API_BASE: &str = "STANDARD_METRICS_API_BASE";

/// API key of One Codex.
pub(crate) const ONE_CODEX_API_KEY: &str = "ONE_CODEX_API_KEY";
/// Bearer token of One Codex; wins over the key.
pub(crate) const ONE_CODEX_BEARER_TOKEN: &str = "ONE_CODEX_BEARER_TOKEN";
/// Another base than `https://app.onecodex.com`.
pub(crate) const ONE_CODEX_API_BASE: &str = "ONE_CODEX_API_BASE";

/// A PEM file of trusted certificates, instead of the system's.
pub(crate) const SSL_CERT_FILE: &str = "SSL_CERT_FILE";
/// Folders (separated as in `PATH`) of trusted certificates, instead of the system's.
pub(crate) const SSL_CERT_DIR: &str = "SSL_CERT_DIR";

/// Proxies for https, http and both, and the hosts that go past them, in the order of reading.
pub(crate) const HTTPS_PROXY: [&str; 2] = ["https_proxy", "HTTPS_PROXY"];
/// Only the lower-case form, as in curl: `HTTP_PROXY` can be set by a request in a CGI program.
pub(crate) const HTTP_PROXY: [&str; 1] = ["http_proxy"];
/// A proxy for both.
pub(crate) const ALL_PROXY: [&str; 2] = ["all_proxy", "ALL_PROXY"];
/// Hosts that go past the proxy.
pub(crate) const NO_PROXY: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The first of `names` that is set and not empty.
pub(crate) fn first(names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| value(name))
}

/// The value of a variable; blank counts as unset.
pub(crate) fn value(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty())
}

/// The value of a variable that names files, which need not be text; empty counts as unset.
pub(crate) fn paths(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
