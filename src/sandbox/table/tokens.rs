//! The route that issues access tokens: OAuth 2.0 (RFC 6749 sections 4.4 and 6), or the exchange of a key.

use super::access::TOKEN_LIFETIME;
use super::answers::{AnswerJson, time_after};
use super::received::{Received, filled, normal_path};
use super::service::TableService;
use crate::provider::{AuthMethod, ClientPlace, Exchange, Expiry, OAuth, TokenRoute};
use crate::sandbox::answer::{Answer, json};
use crate::sandbox::state::{SandboxState, random};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use percent_encoding::percent_decode_str;
use serde_json::json;
use std::io;
use std::time::Instant;

impl TableService {
    /// The answer of the token route. None for a request to another route.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn token_answer(
        &self,
        state: &SandboxState,
        received: &Received,
    ) -> io::Result<Option<Answer>> {
        let service = self;
        match &service.credentials.method {
            AuthMethod::OAuth(oauth) => {
                let TokenRoute::Path(path) = &oauth.token else {
                    return Ok(None);
                };
                let path = path.fill_path(&service.kinds[0].values(None));
                if received.path != normal_path(&path) {
                    return Ok(None);
                }
                oauth_token(service, state, oauth, received).map(Some)
            }
            AuthMethod::Exchange(exchange) => {
                let mut values = service.kinds[0].values(None);
                values.add("key", service.credentials.key.as_str());
                let path = exchange.request.path.fill_path(&values);
                if received.path != normal_path(&path) {
                    return Ok(None);
                }
                exchanged_token(service, state, exchange, received).map(Some)
            }
            _ => Ok(None),
        }
    }
}

fn oauth_token(
    service: &TableService,
    state: &SandboxState,
    oauth: &OAuth,
    received: &Received,
) -> io::Result<Answer> {
    if received.method != Method::POST {
        return Ok(json(405, &json!({"error": "invalid_request"})));
    }
    let form = received.form().unwrap_or_default();
    let field = |name: &str| {
        let field = form.iter().find(|(other, _)| other == name);
        field.map(|(_, value)| value.as_str())
    };
    let issued = &service.credentials;
    let is_client = match oauth.client {
        ClientPlace::Basic => basic(received)
            .is_some_and(|(id, secret)| id == issued.client_id && secret == issued.client_secret),
        ClientPlace::Form => {
            field("client_id") == Some(&issued.client_id)
                && field("client_secret") == Some(&issued.client_secret)
        }
    };
    if !is_client {
        return Ok(json(401, &json!({"error": "invalid_client"})));
    }
    let mut serving = service.serving();
    let values = service.kinds[0].values(None);
    let mut expected = filled(&oauth.form, &values);
    let scope = oauth.scope.iter();
    expected.extend(scope.map(|scope| ("scope".to_owned(), scope.fill(&values))));
    if oauth.client == ClientPlace::Form {
        expected.push(("client_id".to_owned(), issued.client_id.clone()));
        expected.push(("client_secret".to_owned(), issued.client_secret.clone()));
    }
    if issued.refresh() {
        if field("refresh_token") != Some(&serving.refresh_token) {
            return Ok(json(400, &json!({"error": "invalid_grant"})));
        }
        expected.push(("grant_type".to_owned(), "refresh_token".to_owned()));
        expected.push(("refresh_token".to_owned(), serving.refresh_token.clone()));
    } else {
        expected.push(("grant_type".to_owned(), "client_credentials".to_owned()));
    }
    let headers = received.demand_headers(&oauth.headers, &values);
    if let Err(why) = headers.and_then(|()| received.demand_form(expected)) {
        let error = json!({"error": "invalid_request", "error_description": why});
        return Ok(json(400, &error));
    }
    let token = random(20)?;
    let mut answer = json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": TOKEN_LIFETIME.as_secs(),
    });
    if issued.refresh() {
        // The service rotates refresh tokens: the one that was used is worth nothing from here on.
        serving.refresh_token = random(24)?;
        answer["refresh_token"] = serving.refresh_token.as_str().into();
    }
    serving.tokens.insert(token, Instant::now());
    drop(serving);
    state.changing().report.tokens += 1;
    Ok(json(200, &answer))
}

fn exchanged_token(
    service: &TableService,
    state: &SandboxState,
    exchange: &Exchange,
    received: &Received,
) -> io::Result<Answer> {
    let kind = &service.kinds[0];
    let mut values = kind.values(None);
    values.add("key", service.credentials.key.as_str());
    let request = &exchange.request;
    if received.method != request.method {
        return Ok(json(405, &json!({"message": "The method is not allowed."})));
    }
    let checked = received
        .demand_headers(&kind.table.headers, &values)
        .and_then(|()| received.demand_headers(&request.headers, &values))
        .and_then(|()| received.other_query(request, &values))
        .and_then(|_| received.demand_body(request.body.as_ref(), &values));
    if let Err(why) = checked {
        let body = String::from_utf8_lossy(&received.body);
        let has_key = body.contains(service.credentials.key.as_str());
        let status = if has_key { 400 } else { 401 };
        // The reason may repeat the right key.
        let why = why.replace(service.credentials.key.as_str(), "KEY");
        return Ok(json(status, &json!({"message": why})));
    }
    let token = random(20)?;
    let mut answer = AnswerJson::default();
    answer.put(&exchange.token, &token.as_str().into());
    if let Some(Expiry::At(field)) = &exchange.expires {
        answer.put(&field.at, &time_after(field.form, TOKEN_LIFETIME));
    }
    service.serving().tokens.insert(token, Instant::now());
    state.changing().report.tokens += 1;
    Ok(json(200, &answer.into_json()))
}

/// The id and the secret of a Basic credential, each form-decoded (RFC 6749 section 2.3.1).
fn basic(received: &Received) -> Option<(String, String)> {
    let pair = STANDARD.decode(received.authorization("Basic ")?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some((decode(id), decode(secret)))
}
