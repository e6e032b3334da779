//! The keys of a request, of a step of `resolve`, and of `metadata`.

use super::values;
use crate::config::toml_file::{TomlTable, TomlValue};
use crate::error::Result;
use crate::provider::pointer::Pointers;
use crate::provider::table::{
    Algorithm, AlgorithmRule, BodyTemplate, ChecksumEncoding, ChecksumPlace, ChecksumRule, Expiry,
    MetadataRoute, RequestTemplate, Step, UrlPlace, UrlSource,
};
use reqwest::Method;

/// The keys of every request.
pub(super) const REQUEST_KEYS: [&str; 6] = ["method", "path", "query", "headers", "json", "form"];
/// The keys of a step of `resolve`.
const STEP_KEYS: [&str; 17] = [
    "method",
    "path",
    "query",
    "headers",
    "json",
    "form",
    "url",
    "capture",
    "expires",
    "storage_headers",
    "name",
    "size",
    "checksum",
    "charged",
    "not_ready",
    "failure",
    "error",
];
/// The most steps from an id to a URL.
const MAX_STEPS: usize = 3;

/// The request in a table that may have other keys, too. Its slots are of `known`.
///
/// # Errors
/// [`Code::Config`](crate::Code::Config) for a key that cannot be used, as for every function here.
pub(super) fn request(table: &TomlTable<'_>, known: &[&str]) -> Result<RequestTemplate> {
    request_with(values::method(table)?, table, known)
}

/// The request with this method.
pub(super) fn request_with(
    method: Method,
    table: &TomlTable<'_>,
    known: &[&str],
) -> Result<RequestTemplate> {
    let json = table.get("json");
    let form = table.get("form");
    if let (Some(_), Some(form)) = (&json, &form) {
        return Err(form.error("a request has one body: json, or form"));
    }
    if let Some(body) = json
        .as_ref()
        .or(form.as_ref())
        .filter(|_| method == Method::GET)
    {
        return Err(body.error("a request with a body has method = \"POST\""));
    }
    let body = match (json, form) {
        (Some(json), _) => Some(BodyTemplate::Json(values::json(&json, known)?)),
        (_, Some(form)) => Some(BodyTemplate::Form(values::text_fields(&form, known)?)),
        _ => None,
    };
    let query = table.get("query");
    let query = query.map(|query| values::text_fields(&query, known));
    let headers = table.get("headers");
    let headers = headers.map(|headers| values::headers(&headers, known));
    Ok(RequestTemplate {
        path: values::path(&table.need("path")?, known)?,
        query: query.transpose()?.unwrap_or_default(),
        headers: headers.transpose()?.unwrap_or_default(),
        method,
        body,
    })
}

/// The steps of `resolve`. Their slots are of `known`, and of the captures before.
pub(super) fn steps(value: &TomlValue<'_>, known: &[&str], parts: &[String]) -> Result<Vec<Step>> {
    let given = value.one_or_many();
    if given.is_empty() || given.len() > MAX_STEPS {
        return Err(value.error(format!("resolve has one step to {MAX_STEPS} steps")));
    }
    let mut known: Vec<String> = known.iter().map(|name| (*name).to_owned()).collect();
    let mut steps: Vec<Step> = Vec::new();
    for (index, step) in given.iter().enumerate() {
        let slots: Vec<&str> = known.iter().map(String::as_str).collect();
        let is_last = index + 1 == given.len();
        let read = self::step(step, &slots, parts, is_last)?;
        known.extend(read.captures.iter().map(|(name, _)| name.clone()));
        steps.push(read);
    }
    if steps.iter().filter(|step| step.is_charged).count() > 1 {
        return Err(value.error("one step at most is charged"));
    }
    Ok(steps)
}

fn step(value: &TomlValue<'_>, known: &[&str], parts: &[String], is_last: bool) -> Result<Step> {
    let table = value.table()?;
    table.check_keys("a step of resolve", &STEP_KEYS)?;
    let url = url_source(&table)?;
    let captures = captures(&table, known)?;
    if url.is_none() {
        if is_last {
            return Err(table
                .need("url")
                .err()
                .unwrap_or_else(|| table.error("url is missing")));
        }
        if captures.is_empty() {
            return Err(table.error("a step without url has capture"));
        }
    }
    let is_body = matches!(
        url,
        Some(UrlSource::Body | UrlSource::RedirectOrBody { .. })
    );
    if is_body && !is_last {
        return Err(table.error("only the last step can have a url with the bytes themselves"));
    }
    let not_ready = table.get("not_ready").map(|value| statuses(&value));
    let not_ready = not_ready.transpose()?.unwrap_or_default();
    let charged = table.get("charged");
    let is_charged = charged
        .as_ref()
        .map(TomlValue::boolean)
        .transpose()?
        .unwrap_or_default();
    if let Some(charged) = charged.filter(|_| is_charged) {
        if is_body {
            return Err(charged.error(
                "a step whose url is the body is not charged: each range would be a charge",
            ));
        }
        if !not_ready.is_empty() {
            return Err(charged.error("a step with not_ready is not charged: each request would be a charge; wait in a later free step"));
        }
    }
    Ok(Step {
        request: request(&table, known)?,
        url,
        captures,
        name: values::optional_pointers(&table, "name")?,
        size: values::optional_pointers(&table, "size")?,
        checksums: checksums(&table, parts)?,
        is_charged,
        not_ready,
        failure: values::optional_pointers(&table, "failure")?,
        error: values::optional_pointers(&table, "error")?,
    })
}

fn captures(table: &TomlTable<'_>, known: &[&str]) -> Result<Vec<(String, Pointers)>> {
    let Some(value) = table.get("capture") else {
        return Ok(Vec::new());
    };
    let captures = value.table()?;
    let captures = captures.entries().map(|(name, value)| {
        let is_name = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name || name.is_empty() {
            return Err(value.error("the name of a capture has letters, digits and _ only"));
        }
        if known.contains(&name) {
            return Err(value.error(format!("{{{name}}} has a value already")));
        }
        Ok((name.to_owned(), values::pointers(&value)?))
    });
    captures.collect()
}

/// The statuses that are no failure.
fn statuses(value: &TomlValue<'_>) -> Result<Vec<u16>> {
    let statuses = value.array()?;
    let statuses = statuses.iter().map(|status| match status.integer()? {
        number @ (200..=299 | 400..=599) if number != 401 => {
            Ok(u16::try_from(number).unwrap_or_default())
        }
        _ => {
            Err(status.error("a status such as 202 is expected: 200 to 299, or 400 to 599 but 401"))
        }
    });
    statuses.collect()
}

fn url_source(table: &TomlTable<'_>) -> Result<Option<UrlSource>> {
    let expires = table.get("expires");
    let storage_headers = table.get("storage_headers");
    let Some(value) = table.get("url") else {
        return match expires.or(storage_headers) {
            Some(other) => Err(other.error("only a step with url has this key")),
            None => Ok(None),
        };
    };
    let is_word = value.as_text().is_some_and(|text| !text.starts_with('/'));
    if !is_word {
        let places = url_places(&value, expires.as_ref(), storage_headers.as_ref())?;
        return Ok(Some(UrlSource::Json(places)));
    }
    let single =
        || -> Result<Option<Expiry>> { expires.as_ref().map(|value| expiry(value)).transpose() };
    let words = [("redirect", 0), ("body", 1), ("redirect-or-body", 2)];
    let word = value.word(&words).map_err(|error| {
        error.with_cause(
            "a pointer such as /data/url, redirect, body or redirect-or-body is expected",
        )
    })?;
    if let Some(headers) = storage_headers {
        return Err(headers.error("only a url in JSON has storage_headers"));
    }
    Ok(Some(match word {
        0 => UrlSource::Redirect { expires: single()? },
        1 => match &expires {
            Some(expires) => return Err(expires.error("a url that is the body does not expire")),
            None => UrlSource::Body,
        },
        _ => UrlSource::RedirectOrBody { expires: single()? },
    }))
}

/// The places of the URL, each with its expiry and its headers.
fn url_places(
    url: &TomlValue<'_>,
    expires: Option<&TomlValue<'_>>,
    headers: Option<&TomlValue<'_>>,
) -> Result<Vec<UrlPlace>> {
    let urls = url.one_or_many();
    if urls.is_empty() {
        return Err(url.error("the array has no pointer"));
    }
    let expires = paired(expires, urls.len())?;
    let headers = paired(headers, urls.len())?;
    let places = urls.iter().enumerate().map(|(index, url)| {
        let headers = headers.get(index).map(values::pointer);
        Ok(UrlPlace {
            at: values::pointer(url)?,
            storage_headers: headers.transpose()?,
            expires: expires.get(index).map(expiry).transpose()?,
        })
    });
    places.collect()
}

/// The values of a key that belong to `count` URLs, one to each. Empty without the key.
fn paired<'a>(value: Option<&TomlValue<'a>>, count: usize) -> Result<Vec<TomlValue<'a>>> {
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    let values = value.one_or_many();
    if values.len() == count {
        return Ok(values);
    }
    Err(value.error(format!(
        "url has {count} pointers: this key has as many values"
    )))
}

/// `{ at, as }` or `{ after }`.
pub(super) fn expiry(value: &TomlValue<'_>) -> Result<Expiry> {
    let table = value.table()?;
    if let Some(after) = table.get("after") {
        table.check_keys("an expiry", &["after"])?;
        return Ok(Expiry::After(values::duration(&after)?));
    }
    table.check_keys("an expiry", &["at", "as", "after"])?;
    values::time_field(&table, "an expiry").map(Expiry::At)
}

/// The checksums in the key `checksum`, one or an array.
fn checksums(table: &TomlTable<'_>, parts: &[String]) -> Result<Vec<ChecksumRule>> {
    let Some(value) = table.get("checksum") else {
        return Ok(Vec::new());
    };
    value
        .one_or_many()
        .iter()
        .map(|value| checksum(value, parts))
        .collect()
}

fn checksum(value: &TomlValue<'_>, parts: &[String]) -> Result<ChecksumRule> {
    let table = value.table()?;
    let keys = [
        "at",
        "header",
        "part",
        "algorithm",
        "algorithm_at",
        "encoding",
    ];
    table.check_keys("a checksum", &keys)?;
    let place = match (table.get("at"), table.get("header"), table.get("part")) {
        (Some(at), None, None) => ChecksumPlace::At(values::pointers(&at)?),
        (None, Some(header), None) => {
            ChecksumPlace::Header(values::header_name(header.text()?, &header)?)
        }
        (None, None, Some(part)) => {
            let name = values::text(&part)?;
            if !parts.contains(&name) {
                return Err(part.error(format!("the parts of an id are {}", parts.join(", "))));
            }
            ChecksumPlace::Part(name)
        }
        _ => return Err(table.error("a checksum has one of at, header and part")),
    };
    let words = [("hex", 0), ("base64", 1), ("prefixed", 2)];
    let encoding = table.get("encoding").map(|value| value.word(&words));
    let encoding = encoding.transpose()?.unwrap_or_default();
    let algorithm = match (table.get("algorithm"), table.get("algorithm_at"), encoding) {
        (None, None, 2) => AlgorithmRule::Prefix,
        (Some(other), _, 2) | (_, Some(other), 2) => {
            return Err(other.error("a prefixed checksum names its algorithm itself"));
        }
        (Some(name), None, _) => AlgorithmRule::Fixed(name.word(&Algorithm::NAMES)?),
        (None, Some(at), _) => AlgorithmRule::At(values::pointers(&at)?),
        _ => return Err(table.error("a checksum has one of algorithm and algorithm_at")),
    };
    Ok(ChecksumRule {
        place,
        algorithm,
        encoding: if encoding == 1 {
            ChecksumEncoding::Base64
        } else {
            ChecksumEncoding::Hex
        },
    })
}

/// The keys of `metadata`.
pub(super) fn metadata(
    table: &TomlTable<'_>,
    known: &[&str],
    parts: &[String],
) -> Result<MetadataRoute> {
    let keys = [&REQUEST_KEYS[..], &["name", "size", "checksum"]].concat();
    table.check_keys("metadata", &keys)?;
    Ok(MetadataRoute {
        request: request(table, known)?,
        name: values::optional_pointers(table, "name")?,
        size: values::optional_pointers(table, "size")?,
        checksums: checksums(table, parts)?,
    })
}
