//! Both APIs.

use super::arrivals::is_metrics;
use super::body::{Answer, Body};
use super::faults::Fault;
use super::listing;
use super::signature::encode;
use super::state::{State, random};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use hyper::{Method, Request, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::io;
use std::time::{Duration, Instant};
use url::form_urlencoded;

const TOKEN_LIFETIME: Duration = Duration::from_hours(10);
/// What One Codex has documents among.
const KINDS: [&str; 3] = ["documents", "samples", "assets"];
/// Standard Metrics' limits: requests and seconds.
const LIMITS: [(usize, u64); 2] = [(120, 60), (30, 10)];

/// Answers a request to the API; an error closes the connection without an answer.
pub(super) async fn answer(state: &State, request: Request<Incoming>) -> io::Result<Answer> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, 1 << 16).collect().await;
    let body = body
        .map_err(|error| io::Error::other(error.to_string()))?
        .to_bytes();
    let path = head.uri.path().to_owned();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let query: Vec<(String, String)> =
        form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    if is_metrics(&path)
        && let Some(wait) = past_the_limit(state)
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
        (&Method::GET, ["v1", "documents", ""]) => Ok(listing::metrics(state, &query)),
        (&Method::GET, ["v1", "documents", id, "download", ""]) => Ok(redirect(state, id)),
        (_, ["api", "v1", ..]) if !has_key(state, &head.headers) => {
            Ok(json(401, &json!({"message": "The API key is not valid."})))
        }
        (_, ["api", "v1", kind, ..]) if !KINDS.contains(kind) => Ok(not_found()),
        (&Method::GET, ["api", "v1", kind]) => Ok(listing::codex(state, kind, &query)),
        (&Method::GET, ["api", "v1", kind, id]) => Ok(match state.document(id) {
            Some(document) => json(200, &listing::codex_row(document, kind)),
            None => not_found(),
        }),
        (&Method::POST, ["api", "v1", kind, id, "download_uri"]) => retrieve(state, kind, id),
        _ => Ok(not_found()),
    }
}

/// Counts the request; says how many seconds to wait when it is past the limit.
fn past_the_limit(state: &State) -> Option<u64> {
    let mut changing = state.now();
    let now = Instant::now();
    while changing
        .requests
        .front()
        .is_some_and(|at| now - *at >= Duration::from_mins(1))
    {
        changing.requests.pop_front();
    }
    for (most, seconds) in LIMITS {
        let window = Duration::from_secs(seconds);
        let counted = changing
            .requests
            .iter()
            .filter(|at| now - **at < window)
            .count();
        if counted >= most {
            let oldest = changing.requests[changing.requests.len() - counted];
            changing.report.rate_limited += 1;
            return Some(window.saturating_sub(now - oldest).as_secs() + 1);
        }
    }
    changing.requests.push_back(now);
    None
}

/// RFC 6749 section 4.4, as a Django OAuth Toolkit does it.
fn token(state: &State, headers: &HeaderMap, body: &[u8]) -> io::Result<Answer> {
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
    let mut changing = state.now();
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

/// Id and secret of a Basic credential, each form-decoded (RFC 6749 section 2.3.1).
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

fn has_token(state: &State, headers: &HeaderMap) -> bool {
    let value = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    value
        .and_then(|value| value.strip_prefix("Bearer "))
        .is_some_and(|token| {
            let granted = state.now().tokens.get(token).copied();
            granted.is_some_and(|at| at.elapsed() < TOKEN_LIFETIME)
        })
}

fn has_key(state: &State, headers: &HeaderMap) -> bool {
    headers
        .get("x-api-key")
        .is_some_and(|key| key == state.api_key.as_str())
}

fn redirect(state: &State, id: &str) -> Answer {
    let Some(url) = presigned(state, id) else {
        return json(404, &json!({"detail": "Not found."}));
    };
    state.now().report.downloads += 1;
    let mut answer = empty(302);
    if let Ok(location) = url.parse() {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}

fn retrieve(state: &State, kind: &str, id: &str) -> io::Result<Answer> {
    let Some(url) = presigned(state, id) else {
        return Ok(not_found());
    };
    let charged = match kind {
        "documents" => id.to_owned(),
        _ => format!("{kind}/{id}"),
    };
    *state.now().report.charges.entry(charged).or_default() += 1;
    if state.has(Fault::DropPostResponse) {
        return Err(io::Error::other("dropped on purpose"));
    }
    let hours = state.lifetime().as_secs().div_ceil(3600);
    Ok(json(
        200,
        &json!({"download_uri": url, "expires_in_hours": hours}),
    ))
}

fn presigned(state: &State, id: &str) -> Option<String> {
    let document = state.document(id)?;
    let host = state.storage.to_string();
    let path = format!("/documents/{id}/{}", encode(&document.name));
    let disposition = format!("attachment; filename*=UTF-8''{}", encode(&document.name));
    let extra = [("response-content-disposition", disposition.as_str())];
    let query = state
        .signer
        .presign(&host, &path, &extra, Timestamp::now(), state.lifetime());
    let signature = query.rsplit('=').next().unwrap_or_default().to_owned();
    state.now().signed.insert(signature, Instant::now());
    Some(format!("http://{host}{path}?{query}"))
}

fn not_found() -> Answer {
    json(404, &json!({"message": "Not found."}))
}

/// An answer of JSON.
pub(super) fn json(status: u16, value: &Value) -> Answer {
    let mut answer = Response::new(Body::of(value.to_string().into_bytes()));
    set_status(&mut answer, status);
    answer.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("application/json"),
    );
    answer
}

fn empty(status: u16) -> Answer {
    let mut answer = Response::new(Body::of(Vec::new()));
    set_status(&mut answer, status);
    answer
}

fn set_status(answer: &mut Answer, status: u16) {
    *answer.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
}
