//! Value parsers: text on the command line or in a variable to a value, or a sentence that says what
//! was expected.

use crate::config::settings::{RateLimit, parse_rate};
use crate::fetch::options::Connections;
use crate::fetch::target::Template;
use crate::mirror::{Layout, row_fields};
use crate::model::{MOST_REQUESTS, Rate};
use crate::provider::{self, Provider};
use crate::secret::Secret;
use crate::text::{parse_duration, parse_size};
use clap::builder::PossibleValuesParser;
use std::str::FromStr;
use std::time::Duration;

/// An id on the command line.
#[derive(Clone, Debug)]
pub(super) enum IdArg {
    /// `-`: the ids on standard input.
    Stdin,
    /// A document.
    Document(String),
}

/// An id, or `-`. The provider checks the id.
///
/// # Errors
/// None. A value parser returns a `Result`.
#[allow(clippy::unnecessary_wraps, reason = "the form of a value parser")]
pub(super) fn id(text: &str) -> Result<IdArg, String> {
    Ok(match text {
        "-" => IdArg::Stdin,
        text => IdArg::Document(text.to_owned()),
    })
}

/// The name of a provider.
pub(super) fn provider_name() -> PossibleValuesParser {
    PossibleValuesParser::new(provider::names())
}

/// The name of a kind of things. The provider knows its kinds.
///
/// # Errors
/// What docfetch expects, for text that no kind has for a name.
pub(super) fn kind(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.is_empty() || !text.bytes().all(is_plain) {
        return Err(
            "a kind such as documents is expected: lower-case letters, digits and dashes"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// A duration of any length.
///
/// # Errors
/// What docfetch expects, for any other text.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a duration such as 500ms, 30s or 5m is expected".to_owned())
}

/// A duration as the user writes it, in the largest unit that is exact.
pub(super) fn duration_text(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    match milliseconds {
        0 => "0s".to_owned(),
        _ if milliseconds.is_multiple_of(60_000) => format!("{}m", milliseconds / 60_000),
        _ if milliseconds.is_multiple_of(1000) => format!("{}s", milliseconds / 1000),
        _ => format!("{milliseconds}ms"),
    }
}

/// A duration longer than 0.
///
/// # Errors
/// What docfetch expects, for any other text.
pub(super) fn time_limit(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|duration| match duration {
        Duration::ZERO => Err("it must be longer than 0".to_owned()),
        duration => Ok(duration),
    })
}

/// A field of a row, and a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldValue {
    /// The name of the field.
    pub field: String,
    /// The value; an empty text stands for no value.
    pub value: String,
}

/// `FIELD=VALUE`. The value is everything behind the first `=`.
///
/// # Errors
/// What docfetch expects, for any other text.
pub(super) fn field_value(text: &str) -> Result<FieldValue, String> {
    let expected = || "a field and a value such as source=email are expected".to_owned();
    let (field, value) = text.split_once('=').ok_or_else(expected)?;
    if field.is_empty() {
        return Err(expected());
    }
    Ok(FieldValue {
        field: field.to_owned(),
        value: value.to_owned(),
    })
}

/// A number of bytes.
///
/// # Errors
/// What docfetch expects, for any other text.
pub(super) fn size(text: &str) -> Result<u64, String> {
    parse_size(text).ok_or_else(|| "a size such as 1000, 512K, 2M or 1G is expected".to_owned())
}

/// `120/1m,30/10s`, or `none`.
///
/// # Errors
/// What docfetch expects, for any other text.
pub(super) fn rate_limit(text: &str) -> Result<RateLimit, String> {
    if text == "none" {
        return Ok(RateLimit::None);
    }
    let rates: Option<Vec<Rate>> = text.split(',').map(parse_rate).collect();
    rates.map(RateLimit::Rates).ok_or_else(|| {
        format!("rates such as 120/1m,30/10s are expected, up to {MOST_REQUESTS}/24h, or none")
    })
}

/// How many documents at the same time.
///
/// # Errors
/// What docfetch expects, for any text but a number from 1 to 256.
pub(super) fn jobs(text: &str) -> Result<u16, String> {
    let jobs = text.parse().ok();
    jobs.filter(|jobs| (1..=256).contains(jobs))
        .ok_or_else(|| "a number from 1 to 256 is expected".to_owned())
}

/// A whole number from 0 on.
///
/// # Errors
/// What docfetch expects, for any other text.
pub(super) fn count<T: FromStr>(text: &str) -> Result<T, String> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| is_number);
    let expected = if is_number {
        "a smaller number is expected"
    } else {
        "a whole number such as 0 or 5 is expected"
    };
    number.ok_or_else(|| expected.to_owned())
}

/// Whether an option is on: `1` or `0`, `true` or `false`, `yes` or `no`, `on` or `off`.
///
/// # Errors
/// What docfetch expects, for any other text.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Ok(true),
        "0" | "false" | "f" | "no" | "n" | "off" => Ok(false),
        _ => Err("1 or 0, true or false, yes or no is expected".to_owned()),
    }
}

/// How many connections for one document.
///
/// # Errors
/// What docfetch expects, for any text but `auto` or a number from 1 to 32.
pub(super) fn connections(text: &str) -> Result<Connections, String> {
    match text.parse() {
        Ok(connections @ 1..=32) => Ok(Connections::Exactly(connections)),
        Err(_) if text == "auto" => Ok(Connections::Auto),
        _ => Err("a number from 1 to 32 is expected, or auto".to_owned()),
    }
}

/// A number of connections as the user writes it.
pub(super) fn connections_text(connections: Connections) -> String {
    match connections {
        Connections::Auto => "auto".to_owned(),
        Connections::Exactly(connections) => connections.to_string(),
    }
}

/// Bytes per second, at least 1.
///
/// # Errors
/// What docfetch expects, for any other text.
pub(super) fn rate(text: &str) -> Result<u64, String> {
    parse_size(text)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "at least 1 byte is expected, such as 512K or 2M".to_owned())
}

/// A SHA-256 in hexadecimal.
///
/// # Errors
/// What docfetch expects, for any other text.
pub(super) fn sha256(text: &str) -> Result<[u8; 32], String> {
    let wrong = || "64 hexadecimal digits are expected".to_owned();
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return Err(wrong());
    }
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
        if pair.starts_with('+') {
            return Err(wrong());
        }
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(digest)
}

/// A file name template.
///
/// # Errors
/// As [`Template::parse`].
pub(super) fn template(text: &str) -> Result<Template, String> {
    Template::parse(text)
}

/// Which commands can use a template.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TemplateUse {
    /// Only `sync` knows this field of the template.
    SyncOnly {
        /// The field, without braces.
        field: String,
    },
    /// Only `sync` makes the folders of the template.
    Folders,
    /// Every command can use the template, or none can.
    Other,
}

/// Tells which commands can use a template, of any provider.
pub(super) fn template_use(text: &str) -> TemplateUse {
    let providers = provider::all();
    let fields: Vec<&str> = providers.iter().flat_map(row_fields).collect();
    let is_used = |field: &&&str| text.contains(&format!("{{{field}}}"));
    if Layout::parse(text, &fields).is_err() {
        return TemplateUse::Other;
    }
    match fields.iter().find(is_used) {
        Some(field) => TemplateUse::SyncOnly {
            field: (*field).to_owned(),
        },
        None if text.contains('/') => TemplateUse::Folders,
        None => TemplateUse::Other,
    }
}

/// Where `sync` puts files. The layout may have the fields of the rows of `provider`.
///
/// # Errors
/// A sentence that says what is wrong with the text.
pub(super) fn layout(text: &str, provider: &Provider) -> Result<Layout, String> {
    Layout::parse(text, &row_fields(provider))
}

/// A URL that may hold a password. It is read later, and its password is a secret from then on.
///
/// # Errors
/// None. A value parser returns a `Result`.
#[allow(clippy::unnecessary_wraps, reason = "the form of a value parser")]
pub(super) fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::unregistered(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_written_so_that_it_is_read_back() {
        for (milliseconds, text) in [(0, "0s"), (500, "500ms"), (30_000, "30s"), (300_000, "5m")] {
            let given = Duration::from_millis(milliseconds);
            assert_eq!(duration_text(given), text);
            assert_eq!(duration(text), Ok(given));
        }
        for given in [Connections::Auto, Connections::Exactly(8)] {
            assert_eq!(connections(&connections_text(given)), Ok(given));
        }
    }

    #[test]
    fn numbers_are_read_within_their_range() {
        assert_eq!((jobs("1"), jobs("256")), (Ok(1), Ok(256)));
        for wrong in ["0", "257", "-1", "many", ""] {
            assert!(jobs(wrong).unwrap_err().contains("1 to 256"), "{wrong}");
        }
        assert_eq!(count::<u32>("0"), Ok(0));
        for wrong in ["-1", "+-1", "++1", "many", "", "4294967296"] {
            assert!(count::<u32>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_template_with_a_field_of_any_listing_is_for_sync() {
        let used = |text| template_use(text);
        let field = |field: &str| TemplateUse::SyncOnly {
            field: field.to_owned(),
        };
        assert_eq!(used("{company_id}/{name}"), field("company_id"));
        assert_eq!(used("{modified}-{name}"), field("modified"));
        assert_eq!(used("a/{name}"), TemplateUse::Folders);
        for other in [
            "{name}",
            "a//{name}",
            "{nothing}",
            "{company_id}{nothing}",
            "{",
        ] {
            assert_eq!(used(other), TemplateUse::Other, "{other}");
        }
    }

    #[test]
    fn rates_are_read() {
        let second = Duration::from_secs(1);
        assert_eq!(rate_limit("none"), Ok(RateLimit::None));
        assert_eq!(
            rate_limit("120/1m,30/10s"),
            Ok(RateLimit::Rates(vec![
                Rate {
                    requests: 120,
                    window: 60 * second
                },
                Rate {
                    requests: 30,
                    window: 10 * second
                },
            ]))
        );
        for wrong in ["", "120", "0/1m", "1/0s", "1/1m,", "10001/1h", "1/25h"] {
            assert!(rate_limit(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn digests_are_read_in_either_case() {
        let text = "00ff".repeat(16);
        assert_eq!(sha256(&text), sha256(&text.to_uppercase()));
        assert_eq!(sha256(&text).map(|digest| digest[1]), Ok(255));
        for wrong in [
            "",
            &text[1..],
            &format!("+0{}", &text[2..]),
            &"\u{e4}".repeat(32),
        ] {
            assert!(sha256(wrong).is_err(), "{wrong}");
        }
    }
}
