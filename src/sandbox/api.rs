//! The APIs of both providers.

use super::answer::{Answer, empty, json};
use super::companies;
use super::fault::Fault;
use super::listing;
use super::open_requests::is_standard_metrics;
use super::references::{self, REFERENCED_KINDS};
use super::state::{SandboxState, random};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use hyper::{Method, Request};
use serde_json::json;
use std::io;
use std::time::{Duration, Instant};
use url::form_urlencoded;

/// How long an access token is valid.
const TOKEN_LIFETIME: Duration = Duration::from_hours(10);
/// The kinds of resources that One Codex has documents for.
const ONE_CODEX_KINDS: [&str; 3] = ["documents", "samples", "assets"];
/// The rate limits of Standard Metrics: at most this many requests within this many seconds.
const RATE_LIMITS: [(usize, u64); 2] = [(120, 60), (30, 10)];
/// The API refuses a longer request body.
const MAX_REQUEST_BODY_BYTES: usize = 1 << 16;

/// Answers a request to the API.
///
/// # Errors
/// When the connection must close without an answer.
pub(super) async fn answer(state: &SandboxState, request: Request<Incoming>) -> io::Result<Answer> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_REQUEST_BODY_BYTES).collect().await;
    let body = body
        .map_err(|error| io::Error::other(error.to_string()))?
        .to_bytes();
    let path = head.uri.path().to_owned();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let query: Vec<(String, String)> =
        form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    if is_standard_metrics(&path)
        && let Some(wait) = wait_for_rate_limit(state)
    {
        let mut answer = json(429, &json!({"detail": "Request was throttled."}));
        answer.headers_mut().insert(RETRY_AFTER, wait.into());
        return Ok(answer);
    }
    match (&head.method, segments.as_slice()) {
        (&Method::POST, ["o", "token", ""]) => Ok(token(state, &head.headers, &body)?),
        (_, ["v1", ..]) if !has_token(state, &head.headers) => Ok(json(
            401,
            &json!({"detail": "Authentication credentials were not provided."}),
        )),
        (&Method::GET, ["v1", "documents", ""]) => Ok(listing::standard_metrics(state, &query)),
        (&Method::GET, ["v1", "companies", ""]) => Ok(companies::list(state, &query)),
        (&Method::GET, ["v1", "documents", id, "download", ""]) => Ok(redirect(state, id)),
        (_, ["api", "v1", ..]) if !has_key(state, &head.headers) => {
            Ok(json(401, &json!({"message": "The API key is not valid."})))
        }
        (&Method::GET, ["api", "v1", kind]) if REFERENCED_KINDS.contains(kind) => {
            Ok(references::list(state, kind, &query))
        }
        (_, ["api", "v1", kind, ..]) if !ONE_CODEX_KINDS.contains(kind) => Ok(not_found()),
        (&Method::GET, ["api", "v1", kind]) => Ok(listing::one_codex(state, kind, &query)),
        (&Method::GET, ["api", "v1", kind, id]) => Ok(match state.documents.get(id) {
            Some(document) => json(200, &listing::one_codex_row(document, kind)),
            None => not_found(),
        }),
        (&Method::POST, ["api", "v1", kind, id, "download_uri"]) => retrieve(state, kind, id),
        _ => Ok(not_found()),
    }
}

/// Counts a request. Returns how many seconds the client must wait when the request exceeds a rate limit.
fn wait_for_rate_limit(state: &SandboxState) -> Option<u64> {
    let mut changing = state.changing();
    let now = Instant::now();
    while changing
        .accepted_requests
        .front()
        .is_some_and(|at| now - *at >= Duration::from_mins(1))
    {
        changing.accepted_requests.pop_front();
    }
    for (most, seconds) in RATE_LIMITS {
        let window = Duration::from_secs(seconds);
        let counted = changing
            .accepted_requests
            .iter()
            .filter(|at| now - **at < window)
            .count();
        if counted >= most {
            let oldest = changing.accepted_requests[changing.accepted_requests.len() - counted];
            changing.report.rate_limited += 1;
            return Some(window.saturating_sub(now - oldest).as_secs() + 1);
        }
    }
    changing.accepted_requests.push_back(now);
    None
}

/// Issues an access token (RFC 6749 section 4.4). The answers are those of Django OAuth Toolkit.
fn token(state: &SandboxState, headers: &HeaderMap, body: &[u8]) -> io::Result<Answer> {
    let known = basic(headers)
        .is_some_and(|(id, secret)| id == state.client_id && secret == state.client_secret);
    if !known {
        return Ok(json(401, &json!({"error": "invalid_client"})));
    }
    let form = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/x-www-form-urlencoded");
    let grant = form_urlencoded::parse(body).find(|(name, _)| name == "grant_type");
    if !form || grant.is_none_or(|(_, grant)| grant != "client_credentials") {
        return Ok(json(400, &json!({"error": "unsupported_grant_type"})));
    }
    let token = random(15)?;
    let mut changing = state.changing();
    changing.tokens.insert(token.clone(), Instant::now());
    changing.report.tokens += 1;
    Ok(json(
        200,
        &json!({
            "access_token": token,
            "expires_in": TOKEN_LIFETIME.as_secs(),
            "token_type": "Bearer",
            "scope": "read write",
        }),
    ))
}

/// The id and the secret of a Basic credential, each form-decoded (RFC 6749 section 2.3.1).
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers
        .get(AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode = |text: &str| {
        form_urlencoded::parse(text.as_bytes())
            .next()
            .map(|(text, _)| text.into_owned())
    };
    Some((decode(id)?, decode(secret)?))
}

fn has_token(state: &SandboxState, headers: &HeaderMap) -> bool {
    let value = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    value
        .and_then(|value| value.strip_prefix("Bearer "))
        .is_some_and(|token| {
            let granted = state.changing().tokens.get(token).copied();
            granted.is_some_and(|at| at.elapsed() < TOKEN_LIFETIME)
        })
}

fn has_key(state: &SandboxState, headers: &HeaderMap) -> bool {
    headers
        .get("x-api-key")
        .is_some_and(|key| key == state.api_key.as_str())
}

/// Redirects to a document's presigned URL, as Standard Metrics does.
fn redirect(state: &SandboxState, id: &str) -> Answer {
    let Some(url) = presigned(state, id) else {
        return json(404, &json!({"detail": "Not found."}));
    };
    state.changing().report.downloads += 1;
    let mut answer = empty(302);
    if let Ok(location) = url.parse() {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}

/// Charges a retrieval, and answers with a presigned URL, as One Codex does.
fn retrieve(state: &SandboxState, kind: &str, id: &str) -> io::Result<Answer> {
    let Some(url) = presigned(state, id) else {
        return Ok(not_found());
    };
    let charged_key = match kind {
        "documents" => id.to_owned(),
        _ => format!("{kind}/{id}"),
    };
    *state
        .changing()
        .report
        .charges
        .entry(charged_key)
        .or_default() += 1;
    if state.has(Fault::DropPostResponse) {
        return Err(io::Error::other("dropped on purpose"));
    }
    let hours = state.url_lifetime().as_secs().div_ceil(3600);
    Ok(json(
        200,
        &json!({"download_uri": url, "expires_in_hours": hours}),
    ))
}

/// A new presigned URL of the document with this id.
fn presigned(state: &SandboxState, id: &str) -> Option<String> {
    let document = state.documents.get(id)?;
    Some(state.presigned(document, None))
}

fn not_found() -> Answer {
    json(404, &json!({"message": "Not found."}))
}
