//! The name of every environment variable that docfetch reads or, in the sandbox, sets.

use crate::error::{Code, Error, Result};
use std::env::VarError;
use std::ffi::OsString;

/// The begin of the variable of a long option: `DOCFETCH_RETRIES` is `--retries`.
pub(crate) const OPTION_PREFIX: &str = "DOCFETCH_";
/// The end of the variable that names a file with a secret: `ONE_CODEX_API_KEY_FILE`.
pub(crate) const FILE_SUFFIX: &str = "_FILE";

/// The state folder, an absolute path. Default: `docfetch` in `$XDG_STATE_HOME` or `~/.local/state`.
pub(crate) const STATE_DIR: &str = "DOCFETCH_STATE_DIR";

/// The configuration file, an absolute path. Default: `docfetch/config.toml` in `$XDG_CONFIG_HOME` or `~/.config`.
pub(crate) const CONFIG: &str = "DOCFETCH_CONFIG";

/// The client id of an OAuth application at Standard Metrics.
pub(crate) const STANDARD_METRICS_CLIENT_ID: &str = "STANDARD_METRICS_CLIENT_ID";
/// The client secret of that OAuth application.
pub(crate) const STANDARD_METRICS_CLIENT_SECRET: &str = "STANDARD_METRICS_CLIENT_SECRET";
/// The base of the Standard Metrics API. Default: `https://api.standardmetrics.io`.
pub(crate) const STANDARD_METRICS_API_BASE: &str = "STANDARD_METRICS_API_BASE";

/// The API key of a One Codex account. Default: the key in `~/.onecodex`.
pub(crate) const ONE_CODEX_API_KEY: &str = "ONE_CODEX_API_KEY";
/// The base of the One Codex API. Default: `https://app.onecodex.com`.
pub(crate) const ONE_CODEX_API_BASE: &str = "ONE_CODEX_API_BASE";

/// A PEM file of root certificates that docfetch trusts instead of the system's.
pub(crate) const SSL_CERT_FILE: &str = "SSL_CERT_FILE";
/// Folders of root certificates that docfetch trusts instead of the system's, separated by colons.
pub(crate) const SSL_CERT_DIR: &str = "SSL_CERT_DIR";

/// The proxy for https. docfetch reads the names in this order.
pub(crate) const HTTPS_PROXY: [&str; 2] = ["https_proxy", "HTTPS_PROXY"];
/// The proxy for http. As in curl, docfetch does not read `HTTP_PROXY`, which a request can set in a CGI program.
pub(crate) const HTTP_PROXY: [&str; 1] = ["http_proxy"];
/// The proxy for https and http, where the variable of the scheme is not set.
pub(crate) const ALL_PROXY: [&str; 2] = ["all_proxy", "ALL_PROXY"];
/// Hosts that no proxy serves, separated by commas, as curl reads the list.
pub(crate) const NO_PROXY: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The first of `names` that is set and not blank, and its value. [`char::REPLACEMENT_CHARACTER`] stands for
/// bytes that are not UTF-8: a variable with such a value is set.
pub(crate) fn first<'a>(names: &[&'a str]) -> Option<(&'a str, String)> {
    names.iter().find_map(|name| {
        let value = std::env::var_os(name)?.to_string_lossy().into_owned();
        (!value.trim().is_empty()).then_some((*name, value))
    })
}

/// The value of a variable; blank counts as unset.
///
/// # Errors
/// [`Code::Config`] for a value that is not UTF-8.
pub(crate) fn value(name: &str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.trim().is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(not_utf8(name)),
    }
}

/// The error of a variable whose value is not UTF-8.
pub(crate) fn not_utf8(name: &str) -> Error {
    Error::new(Code::Config, format!("cannot use the value of {name}"))
        .with_cause("the value is not UTF-8")
        .with_hint(format!("correct or unset {name}"))
}

/// The value of a variable as the system has it: a path need not be UTF-8, and may be blank. Only an empty value
/// counts as unset.
pub(crate) fn os_value(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
