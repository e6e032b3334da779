//! Values of a table's keys that several parts of the table have.

use crate::config::toml_file::{TomlTable, TomlValue};
use crate::error::{Error, Result};
use crate::provider::pointer::{Pointer, Pointers};
use crate::provider::table::{FieldPlace, TimeField, TimeForm};
use crate::provider::template::{JsonTemplate, TextTemplate};
use crate::text::parse_duration;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use std::time::Duration;

/// How times are written, by the words of a table.
const TIME_FORMS: [(&str, TimeForm); 5] = [
    ("seconds", TimeForm::Seconds),
    ("hours", TimeForm::Hours),
    ("unix", TimeForm::Unix),
    ("unix-ms", TimeForm::UnixMilliseconds),
    ("rfc3339", TimeForm::Rfc3339),
];

/// The longest text that messages or requests repeat whole.
const MAX_TEXT_BYTES: usize = 1024;

/// Headers that docfetch sets itself, or that would change what a request is (RFC 9110, RFC 9112).
const OWN_HEADERS: [&str; 14] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "if-match",
    "if-none-match",
    "if-range",
    "range",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// A pointer.
///
/// # Errors
/// [`Code::Config`](crate::Code::Config) for any other value, as for every function here.
pub(super) fn pointer(value: &TomlValue<'_>) -> Result<Pointer> {
    Pointer::parse(value.text()?).map_err(|why| value.error(why.to_string()))
}

/// A pointer, or an array of pointers.
pub(super) fn pointers(value: &TomlValue<'_>) -> Result<Pointers> {
    let given = value.one_or_many();
    if given.is_empty() {
        return Err(value.error("the array has no pointer"));
    }
    let pointers: Result<Vec<_>> = given.iter().map(pointer).collect();
    pointers.map(Pointers)
}

/// The pointers of a key, where the table has the key.
pub(super) fn optional_pointers(table: &TomlTable<'_>, key: &str) -> Result<Option<Pointers>> {
    table.get(key).as_ref().map(pointers).transpose()
}

/// Text that is not empty.
pub(super) fn text(value: &TomlValue<'_>) -> Result<String> {
    match value.text()? {
        text if text.trim().is_empty() => Err(value.error("the text is empty")),
        text if text.len() > MAX_TEXT_BYTES => Err(too_long(value)),
        text if text.chars().any(char::is_control) => {
            Err(value.error("the text has a control character"))
        }
        text => Ok(text.to_owned()),
    }
}

fn too_long(value: &TomlValue<'_>) -> Error {
    value.error(format!("the text is longer than {MAX_TEXT_BYTES} bytes"))
}

/// The text of a key, where the table has the key.
pub(super) fn optional_text(table: &TomlTable<'_>, key: &str) -> Result<Option<String>> {
    table.get(key).as_ref().map(text).transpose()
}

/// An array of texts that are not empty.
pub(super) fn texts(value: &TomlValue<'_>) -> Result<Vec<String>> {
    value.array()?.iter().map(text).collect()
}

/// Text with slots of `known`.
pub(super) fn template(value: &TomlValue<'_>, known: &[&str]) -> Result<TextTemplate> {
    TextTemplate::parse(value.text()?, known)
        .map_err(|why| with_slots(value, &why.to_string(), known))
}

/// Text of one line, with slots of `known`.
pub(super) fn line(value: &TomlValue<'_>, known: &[&str]) -> Result<TextTemplate> {
    text(value)?;
    template(value, known)
}

fn with_slots(value: &TomlValue<'_>, why: &str, known: &[&str]) -> Error {
    let known: Vec<String> = known.iter().map(|name| format!("{{{name}}}")).collect();
    value.error(format!("{why}; known are {}", known.join(" ")))
}

/// A path below the base of the API.
pub(super) fn path(value: &TomlValue<'_>, known: &[&str]) -> Result<TextTemplate> {
    let path = template(value, known)?;
    let wrong = |why: &str| Err(value.error(why));
    if !path.prefix().starts_with('/') {
        return wrong("a path begins with /");
    }
    let is_wrong = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '?' | '#' | '\\');
    if path.texts().any(|text| text.contains(is_wrong)) {
        return wrong("a path has no blank and none of ? # \\; query has the parameters");
    }
    // A slot stands for some letter here: only a segment of dots alone changes the route.
    let text = value.text()?;
    if text
        .split('/')
        .any(|segment| segment == "." || segment == "..")
    {
        return wrong("a path has no segment . or ..");
    }
    Ok(path)
}

/// JSON with slots of `known`.
pub(super) fn json(value: &TomlValue<'_>, known: &[&str]) -> Result<JsonTemplate> {
    JsonTemplate::parse(&value.json()?, known).map_err(|why| {
        // The error names the innermost value that is wrong.
        let inner: Vec<TomlValue<'_>> = match value.as_table() {
            Some(table) => table.entries().map(|(_, value)| value).collect(),
            None => value.as_array().unwrap_or_default(),
        };
        let mut inner = inner.iter().filter_map(|value| json(value, known).err());
        inner
            .next()
            .unwrap_or_else(|| with_slots(value, &why.to_string(), known))
    })
}

/// The fields of a table, each text with slots of `known`. A number or `true` is text.
pub(super) fn text_fields(
    value: &TomlValue<'_>,
    known: &[&str],
) -> Result<Vec<(String, TextTemplate)>> {
    let table = value.table()?;
    let fields = table.entries().map(|(name, value)| {
        let field = match value.json()? {
            serde_json::Value::Number(number) => TextTemplate::fixed(&number.to_string()),
            serde_json::Value::Bool(boolean) => TextTemplate::fixed(&boolean.to_string()),
            _ => template(&value, known)?,
        };
        Ok((name.to_owned(), field))
    });
    fields.collect()
}

/// Headers, each with text with slots of `known`.
pub(super) fn headers(
    value: &TomlValue<'_>,
    known: &[&str],
) -> Result<Vec<(HeaderName, TextTemplate)>> {
    let table = value.table()?;
    let headers = table.entries().map(|(name, value)| {
        let text = template(&value, known)?;
        if text
            .texts()
            .any(|text| HeaderValue::from_str(text).is_err())
        {
            return Err(value.error("a header has visible ASCII characters and blanks only"));
        }
        Ok((header_name(name, &value)?, text))
    });
    headers.collect()
}

/// The name of a header in `text`, which is the value or the key of `value`.
pub(super) fn header_name(text: &str, value: &TomlValue<'_>) -> Result<HeaderName> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(too_long(value));
    }
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| value.error(format!("{text:?} is no name of a header")))?;
    if OWN_HEADERS.contains(&name.as_str()) || name.as_str().starts_with("proxy-") {
        return Err(value.error(format!("docfetch sets the header {text:?} itself")));
    }
    Ok(name)
}

/// GET or POST.
pub(super) fn method(table: &TomlTable<'_>) -> Result<Method> {
    let words = ["GET", "POST"].map(|word| (word, word == "GET"));
    let is_get = table.get("method").map(|value| value.word(&words));
    Ok(match is_get.transpose()? {
        None | Some(true) => Method::GET,
        Some(false) => Method::POST,
    })
}

/// A length of time such as `4h`.
pub(super) fn duration(value: &TomlValue<'_>) -> Result<Duration> {
    let wrong = || value.error("a length of time such as 500ms, 30s, 5m or 4h is expected");
    parse_duration(value.text()?).ok_or_else(wrong)
}

/// `{ at = POINTER, as = FORM }`.
pub(super) fn time_field(table: &TomlTable<'_>, owner: &str) -> Result<TimeField> {
    table.check_keys(owner, &["at", "as"])?;
    Ok(TimeField {
        at: pointers(&table.need("at")?)?,
        form: table.need("as")?.word(&TIME_FORMS)?,
    })
}

/// A pointer, an array of pointers, or `{ at = POINTER, take = "last-segment" }`.
pub(super) fn field_place(value: &TomlValue<'_>) -> Result<FieldPlace> {
    let Some(table) = value.as_table() else {
        return Ok(FieldPlace {
            at: pointers(value)?,
            is_last_segment: false,
        });
    };
    table.check_keys("a place in a row", &["at", "take"])?;
    let take = table
        .get("take")
        .map(|take| take.word(&[("value", false), ("last-segment", true)]));
    Ok(FieldPlace {
        at: pointers(&table.need("at")?)?,
        is_last_segment: take.transpose()?.unwrap_or_default(),
    })
}
