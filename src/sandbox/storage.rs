//! The presigned store: what an object storage accepts, refuses and sends.

use super::body::{Answer, Body};
use super::faults::Fault;
use super::signature::Rejected;
use super::state::State;
use super::store::Document;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use url::form_urlencoded;

/// Headers that have no business at a storage.
const LEAKS: [HeaderName; 4] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    header::COOKIE,
    header::REFERER,
];

/// What a proxy that wants to be logged in to answers, in place of the storage.
const LOGIN_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\
    <body><form method=\"post\" action=\"/login\"><input name=\"user\"></form></body></html>\n";

/// Answers a request to the storage.
pub(super) fn answer(state: &State, request: &Request<Incoming>) -> Answer {
    state.now().report.storage_requests += 1;
    let headers = request.headers();
    if let Some(leak) = LEAKS.iter().find_map(|name| headers.get(name)) {
        state.now().report.leaks += 1;
        // Real storages echo it: whoever prints this body prints the credential.
        let echo = String::from_utf8_lossy(leak.as_bytes()).into_owned();
        let text = format!(
            "Only one auth mechanism allowed</Message><ArgumentValue>{echo}</ArgumentValue><Message>"
        );
        return error(400, "InvalidArgument", &text);
    }
    if request.method() != Method::GET
        || headers
            .keys()
            .any(|name| name.as_str().starts_with("x-amz-"))
    {
        return error(
            403,
            "SignatureDoesNotMatch",
            "The request is not the one that was signed.",
        );
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let query = request.uri().query().unwrap_or_default();
    match state
        .signer
        .check(host, request.uri().path(), query, Timestamp::now())
    {
        Err(Rejected::Signature) => {
            return error(
                403,
                "SignatureDoesNotMatch",
                "The request signature does not match.",
            );
        }
        Err(Rejected::Expired) => return error(403, "AccessDenied", "Request has expired"),
        Ok(()) if is_expired(state, query) => {
            return error(403, "AccessDenied", "Request has expired");
        }
        Ok(()) => {}
    }
    if let Some(status) = injected_status(state) {
        let code = match status {
            403 => "AccessDenied",
            404 => "NoSuchKey",
            503 => "SlowDown",
            _ => "InternalError",
        };
        return error(status, code, "Broken on purpose");
    }
    if state.has(Fault::HtmlPage) {
        let mut answer = Response::new(Body::of(LOGIN_PAGE.into()));
        insert(
            &mut answer,
            header::CONTENT_TYPE,
            "text/html; charset=utf-8",
        );
        return answer;
    }
    let id = request.uri().path().split('/').nth(2).unwrap_or_default();
    match state.document(id) {
        Some(document) => send(state, document, headers, query),
        None => error(404, "NoSuchKey", "The specified key does not exist."),
    }
}

/// URLs of less than a second live are judged by when they were made.
fn is_expired(state: &State, query: &str) -> bool {
    let signature = query.rsplit('=').next().unwrap_or_default();
    let lifetime = state.lifetime();
    state
        .now()
        .signed
        .get(signature)
        .is_none_or(|made| made.elapsed() > lifetime)
}

fn injected_status(state: &State) -> Option<u16> {
    let (status, times) = state.fault(|fault| match fault {
        Fault::Status(status, times) => Some((*status, *times)),
        _ => None,
    })?;
    let mut changing = state.now();
    changing.statuses += 1;
    times
        .is_none_or(|times| changing.statuses <= times)
        .then_some(status)
}

fn send(state: &State, document: &Document, headers: &HeaderMap, query: &str) -> Answer {
    let mut tag = format!("\"{}\"", document.tag);
    if state.has(Fault::ChangeEtag) {
        let mut changing = state.now();
        changing.versions += 1;
        tag = format!("\"{}{}\"", document.tag, changing.versions);
    }
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_MATCH).is_some_and(|wanted| wanted != "*" && wanted != tag) {
        return error(
            412,
            "PreconditionFailed",
            "At least one of the preconditions did not hold.",
        );
    }
    let still =
        text(header::IF_RANGE).is_none_or(|wanted| wanted == tag || state.has(Fault::ChangeEtag));
    let range = text(header::RANGE).and_then(|range| wanted_range(range, document.size));
    let (status, first, end) = match range {
        Some(Some((first, last))) if still && !state.has(Fault::IgnoreRange) => {
            let first = if state.has(Fault::WrongRange) {
                first.saturating_sub(1)
            } else {
                first
            };
            (206, first, last + 1)
        }
        Some(None) if still && !state.has(Fault::IgnoreRange) => {
            let mut answer = error(
                416,
                "InvalidRange",
                "The requested range is not satisfiable",
            );
            insert(
                &mut answer,
                header::CONTENT_RANGE,
                &format!("bytes */{}", document.size),
            );
            return answer;
        }
        _ => (200, 0, document.size),
    };
    let mut answer = Response::new(Body::part(document, first, end, state));
    *answer.status_mut() = if status == 206 {
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    insert(&mut answer, header::ETAG, &tag);
    insert(&mut answer, header::ACCEPT_RANGES, "bytes");
    insert(
        &mut answer,
        header::CONTENT_TYPE,
        "application/octet-stream",
    );
    if status == 206 {
        let range = format!("bytes {first}-{}/{}", end - 1, document.size);
        insert(&mut answer, header::CONTENT_RANGE, &range);
    }
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == "response-content-disposition" {
            insert(&mut answer, header::CONTENT_DISPOSITION, &value);
        }
    }
    answer
}

/// A single range (RFC 9110 section 14.1.2): none when it is no such thing, `Some(None)` when it
/// cannot be satisfied.
fn wanted_range(text: &str, size: u64) -> Option<Option<(u64, u64)>> {
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

fn error(status: u16, code: &str, message: &str) -> Answer {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    let mut answer = Response::new(Body::of(xml.into_bytes()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    insert(&mut answer, header::CONTENT_TYPE, "application/xml");
    answer
}

fn insert(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        assert_eq!(wanted_range("bytes=2-", 10), Some(Some((2, 9))));
        assert_eq!(wanted_range("bytes=2-99", 10), Some(Some((2, 9))));
        assert_eq!(wanted_range("bytes=-3", 10), Some(Some((7, 9))));
        assert_eq!(wanted_range("bytes=10-", 10), Some(None));
        assert_eq!(wanted_range("bytes=5-4", 10), None);
        assert_eq!(wanted_range("bytes=0-1,3-4", 10), None);
        assert_eq!(wanted_range("items=0-1", 10), None);
    }
}
