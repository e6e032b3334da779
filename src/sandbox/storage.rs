//! The storage: checks presigned URLs, and sends documents or ranges of them.

use super::answer::{Answer, insert_header, storage_error};
use super::body::SandboxBody;
use super::document::Document;
use super::fault::Fault;
use super::signature::InvalidUrl;
use super::state::SandboxState;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use url::form_urlencoded;

/// Headers that no client may send to a storage.
const FORBIDDEN_HEADERS: [HeaderName; 4] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    header::COOKIE,
    header::REFERER,
];

/// The login page of a proxy, which answers instead of the storage.
const LOGIN_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\
    <body><form method=\"post\" action=\"/login\"><input name=\"user\"></form></body></html>\n";

/// Answers a request to the storage.
pub(super) fn answer(state: &SandboxState, request: &Request<Incoming>) -> Answer {
    state.changing().report.storage_requests += 1;
    if let Some(refusal) = refuse(state, request) {
        return refusal;
    }
    if let Some(broken) = broken(state) {
        return broken;
    }
    let id = request.uri().path().split('/').nth(2).unwrap_or_default();
    let query = request.uri().query().unwrap_or_default();
    match state.documents.get(id) {
        Some(document) => send(state, document, request.headers(), query),
        None => storage_error(404, "NoSuchKey", "The specified key does not exist."),
    }
}

/// The answer that a fault puts in the place of a document. None without such a fault.
pub(super) fn broken(state: &SandboxState) -> Option<Answer> {
    if let Some(status) = injected_status(state) {
        let code = match status {
            403 => "AccessDenied",
            404 => "NoSuchKey",
            503 => "SlowDown",
            _ => "InternalError",
        };
        return Some(storage_error(status, code, "Broken on purpose"));
    }
    state.has(Fault::HtmlPage).then(|| {
        let mut answer = Response::new(SandboxBody::of(LOGIN_PAGE.into()));
        insert_header(
            &mut answer,
            header::CONTENT_TYPE,
            "text/html; charset=utf-8",
        );
        answer
    })
}

/// The refusal of a request that is not exactly the signed one, or whose URL has expired.
fn refuse(state: &SandboxState, request: &Request<Incoming>) -> Option<Answer> {
    let headers = request.headers();
    let forbidden = FORBIDDEN_HEADERS.iter().find_map(|name| headers.get(name));
    if let Some(value) = forbidden {
        state.changing().report.leaks += 1;
        // Real storages repeat the value in this error: a client that prints the error prints a credential.
        let value = String::from_utf8_lossy(value.as_bytes());
        let message = format!(
            "Only one auth mechanism allowed</Message><ArgumentValue>{value}</ArgumentValue><Message>"
        );
        return Some(storage_error(400, "InvalidArgument", &message));
    }
    let mut names = headers.keys();
    let is_unsigned = names.any(|name| name.as_str().starts_with("x-amz-"));
    if request.method() != Method::GET || is_unsigned {
        return Some(storage_error(
            403,
            "SignatureDoesNotMatch",
            "The request is not the one that was signed.",
        ));
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let (path, query) = (
        request.uri().path(),
        request.uri().query().unwrap_or_default(),
    );
    match state.signer.check(host, path, query, Timestamp::now()) {
        Err(InvalidUrl::Signature) => Some(storage_error(
            403,
            "SignatureDoesNotMatch",
            "The request signature does not match.",
        )),
        Ok(()) if !is_expired(state, query) => {
            let lacks = lacks_header(state, query, headers);
            let message = "A header that came with the URL is missing.";
            lacks.then(|| storage_error(403, "AccessDenied", message))
        }
        Err(InvalidUrl::Expired) | Ok(()) => {
            Some(storage_error(403, "AccessDenied", "Request has expired"))
        }
    }
}

/// Whether the request lacks the header that an answer of the API told with the URL.
fn lacks_header(state: &SandboxState, query: &str, headers: &HeaderMap) -> bool {
    let signature = query.rsplit('=').next().unwrap_or_default();
    let changing = state.changing();
    let signed = changing.signed_urls.get(signature);
    let header = signed.and_then(|signed| signed.header.as_ref());
    header.is_some_and(|(name, value)| {
        let given = headers.get(name.as_str());
        given.is_none_or(|given| given.as_bytes() != value.as_bytes())
    })
}

/// Whether a URL has expired by the clock of the sandbox. That clock also measures lifetimes below one
/// second, which a signed URL cannot express.
fn is_expired(state: &SandboxState, query: &str) -> bool {
    let signature = query.rsplit('=').next().unwrap_or_default();
    let lifetime = state.url_lifetime();
    state
        .changing()
        .signed_urls
        .get(signature)
        .is_none_or(|signed| signed.at.elapsed() > lifetime)
}

/// The status of [`Fault::Status`], as often as the fault says.
fn injected_status(state: &SandboxState) -> Option<u16> {
    let (status, times) = state.fault(|fault| match fault {
        Fault::Status(status, times) => Some((*status, *times)),
        _ => None,
    })?;
    let mut changing = state.changing();
    changing.statuses += 1;
    times
        .is_none_or(|times| changing.statuses <= times)
        .then_some(status)
}

/// The entity tag of a document, with its quotes.
fn entity_tag(state: &SandboxState, document: &Document) -> String {
    if state.has(Fault::ChangeEtag) {
        let mut changing = state.changing();
        changing.changed_tags += 1;
        return format!("\"{}{}\"", document.tag, changing.changed_tags);
    }
    format!("\"{}\"", document.tag)
}

/// Which bytes of a document a request selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Selection {
    Whole,
    /// From the first offset to before the second one.
    Range(u64, u64),
    /// A range that begins behind the document's end.
    Unsatisfiable,
}

fn selection(
    state: &SandboxState,
    document: &Document,
    headers: &HeaderMap,
    tag: &str,
) -> Selection {
    let is_same = text(headers, header::IF_RANGE)
        .is_none_or(|condition| condition == tag || state.has(Fault::ChangeEtag));
    if !is_same || state.has(Fault::IgnoreRange) {
        return Selection::Whole;
    }
    let range = text(headers, header::RANGE).and_then(|range| parse_range(range, document.size));
    match range {
        None => Selection::Whole,
        Some(None) => Selection::Unsatisfiable,
        Some(Some((first, last))) if state.has(Fault::WrongRange) => {
            Selection::Range(first.saturating_sub(1), last + 1)
        }
        Some(Some((first, last))) => Selection::Range(first, last + 1),
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Sends a document, or a range of it.
pub(super) fn send(
    state: &SandboxState,
    document: &Document,
    headers: &HeaderMap,
    query: &str,
) -> Answer {
    let size = document.size;
    let tag = entity_tag(state, document);
    if text(headers, header::IF_MATCH).is_some_and(|condition| condition != "*" && condition != tag)
    {
        return storage_error(
            412,
            "PreconditionFailed",
            "At least one of the preconditions did not hold.",
        );
    }
    let mut answer = match selection(state, document, headers, &tag) {
        Selection::Whole => Response::new(SandboxBody::part(document, 0, size, state)),
        Selection::Range(first, end) => {
            let mut answer = Response::new(SandboxBody::part(document, first, end, state));
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {first}-{}/{size}", end - 1);
            insert_header(&mut answer, header::CONTENT_RANGE, &range);
            answer
        }
        Selection::Unsatisfiable => {
            let message = "The requested range is not satisfiable";
            let mut answer = storage_error(416, "InvalidRange", message);
            insert_header(
                &mut answer,
                header::CONTENT_RANGE,
                &format!("bytes */{size}"),
            );
            return answer;
        }
    };
    for (name, value) in [
        (header::ETAG, tag.as_str()),
        (header::ACCEPT_RANGES, "bytes"),
        (header::CONTENT_TYPE, "application/octet-stream"),
    ] {
        insert_header(&mut answer, name, value);
    }
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == "response-content-disposition" {
            insert_header(&mut answer, header::CONTENT_DISPOSITION, &value);
        }
    }
    answer
}

/// Parses a single range (RFC 9110 section 14.1.2) of a document with `size` bytes, to the offsets of the first
/// and the last byte. `None` for anything else, `Some(None)` for a range that begins behind the document's end.
fn parse_range(text: &str, size: u64) -> Option<Option<(u64, u64)>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        let suffix: u64 = last.parse().ok()?;
        return Some((suffix > 0 && size > 0).then(|| (size.saturating_sub(suffix), size - 1)));
    }
    let first: u64 = first.parse().ok()?;
    let last: u64 = if last.is_empty() {
        u64::MAX
    } else {
        last.parse().ok()?
    };
    (first <= last).then(|| (first < size).then(|| (first, last.min(size - 1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_parsed_as_the_standard_says() {
        assert_eq!(parse_range("bytes=2-", 10), Some(Some((2, 9))));
        assert_eq!(parse_range("bytes=2-99", 10), Some(Some((2, 9))));
        assert_eq!(parse_range("bytes=-3", 10), Some(Some((7, 9))));
        assert_eq!(parse_range("bytes=10-", 10), Some(None));
        assert_eq!(parse_range("bytes=5-4", 10), None);
        assert_eq!(parse_range("bytes=0-1,3-4", 10), None);
        assert_eq!(parse_range("items=0-1", 10), None);
    }
}
