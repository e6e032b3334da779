//! Names that a table may give: its own, those of its options and parameters.

use crate::config::toml_file::TomlValue;
use crate::error::Result;

/// Names that no table has: commands, and words with another meaning in the configuration file.
const RESERVED_NAMES: [&str; 18] = [
    "auth",
    "completions",
    "config",
    "docfetch",
    "doctor",
    "help",
    "ledger",
    "list",
    "man",
    "partials",
    "profiles",
    "providers",
    "sandbox",
    "sync",
    "url",
    "verify",
    "version",
    "default",
];

/// The long options of docfetch, which no table, parameter or option has for a name.
const LONG_OPTIONS: [&str; 54] = [
    "all",
    "allow-private",
    "allow-recharge",
    "base",
    "ca-cert",
    "color",
    "command",
    "connect-timeout",
    "connections",
    "dir",
    "dry-run",
    "exclude",
    "fail-fast",
    "fault",
    "format",
    "from-file",
    "help",
    "ids",
    "if-exists",
    "in",
    "include",
    "jobs",
    "json",
    "larger-than",
    "limit",
    "limit-rate",
    "manifest",
    "match",
    "max-charges",
    "name",
    "no-check",
    "no-resume",
    "output",
    "output-dir",
    "profile",
    "progress",
    "provider",
    "proxy",
    "quiet",
    "rate-limit",
    "remote-time",
    "remove-older",
    "resource",
    "retries",
    "retry-max-time",
    "sha256",
    "since",
    "stall-timeout",
    "until",
    "verbose",
    "verify",
    "version",
    "wait",
    "where",
];

/// Checks the name of a table.
///
/// # Errors
/// The rule that the name breaks.
pub(crate) fn check_table(name: &str) -> std::result::Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.bytes().all(is_plain) {
        return Err(
            "a name begins with a letter, and has lower-case letters, digits and dashes only"
                .to_owned(),
        );
    }
    if RESERVED_NAMES.contains(&name) || LONG_OPTIONS.contains(&name) {
        return Err(format!("{name:?} is a word of docfetch: take another name"));
    }
    Ok(())
}

/// Checks the name of an option of a table. `value` is the option.
///
/// # Errors
/// [`Code::Config`](crate::Code::Config) for a name that is none, or that docfetch has.
pub(super) fn check_option(name: &str, value: &TomlValue<'_>) -> Result<()> {
    check_table(name).map_err(|why| value.error(why))
}

/// Checks the name of a parameter. `value` is the parameter.
///
/// # Errors
/// [`Code::Config`](crate::Code::Config) for a name that is none, or that docfetch or an id has.
pub(super) fn check_parameter(name: &str, value: &TomlValue<'_>, parts: &[String]) -> Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.bytes().all(is_plain) {
        return Err(value.error(
            "a parameter begins with a letter, and has lower-case letters, digits and _ only",
        ));
    }
    let slots = ["resource", "base_host", "value", "key"];
    let is_taken = parts.iter().any(|part| part == name) || slots.contains(&name);
    if is_taken
        || LONG_OPTIONS.contains(&name)
        || LONG_OPTIONS.contains(&name.replace('_', "-").as_str())
    {
        return Err(value.error(format!("{name:?} has a meaning already: take another name")));
    }
    Ok(())
}

/// Checks the name of an environment variable.
///
/// # Errors
/// The rule that the name breaks.
pub(super) fn check_variable(name: &str) -> std::result::Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let is_name = name.starts_with(|c: char| c.is_ascii_uppercase()) && name.bytes().all(is_plain);
    if !is_name || name.starts_with("DOCFETCH_") {
        return Err(
            "a variable has capital letters, digits and _ only, and does not begin with DOCFETCH_"
                .to_owned(),
        );
    }
    Ok(())
}
