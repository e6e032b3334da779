//! What the fuzz targets in `fuzz/` run: everything that reads bytes of a server, or of a file that another
//! program may have changed.
//!
//! Each function takes any bytes. It panics when docfetch breaks one of its rules on them. Unit tests call
//! the same functions with the seeds: the tables of `tests/data` and the inputs in `tests/data/seeds`.

use crate::fetch::{self, target::Template, target::naming};
use crate::http::headers::{self, ContentRange, content_disposition};
use crate::http::presigned::{StorageErrorBody, expiry_of, start_of};
use crate::http::{self, Reply, handed_over};
use crate::manifest;
use crate::mirror;
use crate::model::DocumentId;
use crate::provider::{self, Credentials, Provider};
use crate::resolve::fuzz::Request;
use crate::resolve::{self, Resolver};
use crate::secret::Secret;
use crate::text::{LONGEST_TIME, printable, printable_json};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::io;
use std::time::SystemTime;
use tokio::runtime::{Builder, Runtime};
use url::Url;

/// The longest file name in bytes.
const MAX_NAME_BYTES: usize = 255;

/// The headers of an answer, one in a line as `Name: value`, and the URL that was requested in a first line
/// that begins with `http`.
///
/// # Panics
/// When a name is unsafe, a range ends before it begins, or a wait is longer than the limit.
pub fn headers(input: &[u8]) {
    let (url, fields) = match input.split(|byte| *byte == b'\n').next() {
        Some(line) if line.starts_with(b"http") => (
            Url::parse(&String::from_utf8_lossy(line)).ok(),
            &input[line.len()..],
        ),
        _ => (None, input),
    };
    if let Some(url) = &url {
        let _ = (expiry_of(url), start_of(url));
        naming::from_url(url).iter().for_each(check_name);
    }
    // A header of its own, and one among others.
    content_disposition::file_name(fields)
        .and_then(|name| naming::safe(&name))
        .iter()
        .for_each(check_name);
    let fields = header_map(fields);
    for value in fields.get_all("content-disposition") {
        content_disposition::file_name(value.as_bytes())
            .and_then(|name| naming::safe(&name))
            .iter()
            .for_each(check_name);
    }
    if let Some(ContentRange::Part { first, last, total }) = headers::content_range(&fields) {
        assert!(first <= last && total.is_none_or(|total| last < total));
    }
    let wait = headers::retry_after(&fields, SystemTime::UNIX_EPOCH);
    assert!(wait.is_none_or(|wait| wait <= LONGEST_TIME));
    let reset = headers::rate_limit_reset(&fields, SystemTime::UNIX_EPOCH);
    assert!(reset.is_none_or(|wait| wait <= LONGEST_TIME));
    let _ = headers::content_coding(&fields);
    if let Some(tag) = headers::entity_tag(&fields) {
        assert!(HeaderValue::from_str(&tag).is_ok(), "If-Range carries it");
    }
    let _ = headers::content_length(&fields);
    let _ = headers::media_type(&fields);
    let _ = headers::date(&fields);
    for is_whole in [true, false] {
        let _ = headers::checksum(&fields, is_whole);
    }
    if let Some(url) = url {
        let _ = handed_over::location(&fields, &url);
    }
}

/// A template, an id and a name, one in a line.
///
/// # Panics
/// When a name is unsafe, or not accepted as safe when docfetch reads it back.
pub fn names(input: &[u8]) {
    let input = String::from_utf8_lossy(input);
    let mut lines = input.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (template, id, name) = (line(), line(), line());
    let safe = naming::safe(name);
    safe.iter().for_each(check_name);
    let printed = printable(name);
    assert!(!printed.contains(char::is_control), "{printed:?}");
    let json = serde_json::to_string(name).unwrap_or_default();
    let back: Option<String> = serde_json::from_str(&printable_json(&json)).ok();
    assert_eq!(back.as_deref(), Some(name), "the JSON says the same");
    let Ok(id) = DocumentId::parse(id, None) else {
        return;
    };
    let name = safe.unwrap_or_else(|| naming::from_id(&id, None));
    check_name(&name);
    if let Ok(template) = Template::parse(template) {
        check_name(template.file_name(&id, &name, "sm"));
    }
    mirror::fuzz::layout(template, &id, &name);
}

/// The content of a file that docfetch wrote for itself, and that anything may have changed since: a
/// sidecar, a record of the ledger or of the rate budget, a manifest.
///
/// # Panics
/// When docfetch believes a content that contradicts itself.
pub fn state(input: &[u8]) {
    fetch::partial::fuzz::sidecar(input);
    http::fuzz::budget(input);
    resolve::fuzz::ledger_record(input);
    mirror::fuzz::manifest(input);
    if let Ok(Some(manifest)) = manifest::read(input) {
        assert!(manifest.entries.len() <= input.len());
    }
}

/// A provider's name in the first line, and a page of its list.
///
/// # Panics
/// When a row has an id that no request can carry.
pub fn rows(input: &[u8]) {
    let (provider, page) = provider_and_rest(input);
    with_resolver(&provider, |resolver| resolve::fuzz::page(resolver, page));
}

/// An answer: a line with the provider's name, what was requested (`url`, `token`, `metadata`, else
/// another request) and the status; lines of headers; a blank line; the body.
///
/// # Panics
/// When docfetch accepts an answer that breaks the rules, or shows control characters of an answer.
pub fn answers(input: &[u8]) {
    let (provider, rest) = provider_and_rest(input);
    let mut words = input.split(|byte| matches!(byte, b' ' | b'\n')).skip(1);
    let request = match words.next() {
        Some(b"url") => Request::Url,
        Some(b"token") => Request::Token,
        Some(b"metadata") => Request::Metadata,
        _ => Request::Other,
    };
    let status = words
        .next()
        .and_then(|status| std::str::from_utf8(status).ok()?.parse().ok())
        .and_then(|status| StatusCode::from_u16(status).ok());
    let head_end = rest.windows(2).position(|two| two == b"\n\n");
    let (head, body) = match head_end {
        Some(end) => (&rest[..end], &rest[end + 2..]),
        None => (&b""[..], rest),
    };
    let mut answer = hyper::Response::new(body.to_vec());
    *answer.headers_mut() = header_map(head);
    *answer.status_mut() = status.unwrap_or(StatusCode::OK);
    let _ = StorageErrorBody::read(body, answer.headers());
    for is_declared in [false, true] {
        let early = fetch::sniff(&body[..body.len() / 2], false, is_declared);
        let late = fetch::sniff(body, true, is_declared);
        assert!(
            early.is_none() || early == late,
            "more bytes change no decision"
        );
    }
    with_resolver(&provider, |resolver| {
        let reply = Reply::unrequested(answer.into());
        RUNTIME.with(|runtime| {
            if let Ok(runtime) = runtime {
                runtime.block_on(resolve::fuzz::answer(resolver, request, reply));
            }
        });
    });
}

thread_local! {
    static RUNTIME: io::Result<Runtime> = Builder::new_current_thread().enable_time().build();
    /// A resolver of each provider. They send no request.
    static RESOLVERS: Vec<Resolver> = provider::all().into_iter().filter_map(resolver).collect();
}

/// Gives `run` the resolver of a provider.
fn with_resolver(provider: &Provider, run: impl FnOnce(&Resolver)) {
    RESOLVERS.with(|resolvers| {
        let identity = &provider.table.identity;
        let mut resolvers = resolvers.iter();
        resolvers
            .find(|known| known.provider().table.identity == *identity)
            .map(run);
    });
}

fn resolver(provider: Provider) -> Option<Resolver> {
    let secret = |text: &str| Secret::unregistered(text);
    let credentials = match provider.table.kind {
        None => Credentials::Client {
            id: secret("id"),
            secret: secret("secret"),
        },
        _ => Credentials::Key(secret("key")),
    };
    let builder = Resolver::builder(provider, credentials);
    builder.base("http://127.0.0.1:9").build().ok()
}

/// Forgets the secrets of earlier inputs. A fuzz target calls this after each input, so that its memory does not grow.
#[cfg(feature = "internals")]
pub fn forget_secrets() {
    crate::secret::forget_all();
}

/// The provider that the first word names, else one by its first byte, and the lines after the first.
fn provider_and_rest(input: &[u8]) -> (Provider, &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n');
    let (line, rest) = input.split_at(end.unwrap_or(input.len()));
    let word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let mut all = provider::all();
    let named = all.iter().position(|known| {
        let kind = known.table.kind.as_ref().unwrap_or(&known.table.name);
        kind.as_bytes() == word
    });
    let first = usize::from(input.first().copied().unwrap_or_default());
    let chosen = named.unwrap_or(first % all.len());
    (all.swap_remove(chosen), rest.get(1..).unwrap_or_default())
}

fn header_map(lines: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            fields.append(name, value);
        }
    }
    fields
}

fn check_name(name: impl AsRef<str>) {
    let name = name.as_ref();
    assert!(!name.is_empty() && name.len() <= MAX_NAME_BYTES, "{name:?}");
    assert!(!name.contains(['/', '\\', '\0']), "{name:?}");
    assert!(!name.starts_with(['.', '-', '~']), "{name:?}");
    assert!(!name.ends_with(['.', ' ']), "{name:?}");
    assert!(!name.contains(char::is_control), "{name:?}");
    assert!(naming::is_safe(name), "docfetch would not believe {name:?}");
}

#[cfg(test)]
mod tests;
