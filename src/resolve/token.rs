//! The OAuth 2.0 access token (RFC 6749 section 4.4).
//!
//! All processes of a user share one token through the state folder: the first process that needs the
//! token requests it, the others wait for that answer. docfetch requests a new token 60 s before the
//! present one expires, and when the API refuses the present one.

use super::answer::{self, AnswerSource};
use super::base_hint::with_base_hint;
use super::fields;
use crate::error::{Code, Error, Result};
use crate::fingerprint::fingerprint;
use crate::http::{ApiRequest, Authorization, Http, Reply, RequestBody};
use crate::provider::Provider;
use crate::secret::{Secret, stored};
use crate::state::records::{Durability, Records, StateFolder, TOKENS};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CACHE_CONTROL, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use tokio::sync::Mutex;
use url::Url;

/// No new request uses a token in its last minute.
const LAST_MINUTE: Duration = Duration::from_mins(1);
/// The lifetime of a token in seconds where the answer does not tell it.
const DEFAULT_LIFETIME_SECONDS: u64 = 360;
/// The longest wait for another process that requests the same token.
const MAX_BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// The error codes of RFC 6749 section 5.2.
const TOKEN_ERROR_CODES: [&str; 6] = [
    "invalid_client",
    "unauthorized_client",
    "invalid_grant",
    "invalid_scope",
    "invalid_request",
    "unsupported_grant_type",
];

/// Who requests tokens, and where.
#[derive(Debug)]
pub(super) struct TokenClient {
    pub(super) provider: Provider,
    /// The base URL of the API, for error texts.
    pub(super) base: Url,
    pub(super) token_url: Url,
    pub(super) id: Secret,
    pub(super) secret: Secret,
    /// Where id and secret come from, for hints.
    pub(super) credential_source: String,
}

/// The access token of one client, shared by all its processes.
#[derive(Debug)]
pub(super) struct TokenCache {
    client: TokenClient,
    records: Records,
    name: String,
    memory: Mutex<TokenMemory>,
}

/// What this process knows of the token. Its lock also makes all tasks wait for one token request.
#[derive(Debug, Default)]
struct TokenMemory {
    token: Option<Token>,
    /// The token that the API refused: a record that holds it is out of date.
    refused: Option<Secret>,
}

/// An access token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Token {
    #[serde(with = "stored")]
    pub(super) value: Secret,
    /// By this machine's clock. When that clock is wrong, the API refuses the token.
    good_until: Timestamp,
}

/// The answer to a token request (RFC 6749 section 5.1).
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    /// Recommended, not required.
    expires_in: Option<Value>,
    token_type: String,
}

/// The answer that refuses a token request (RFC 6749 section 5.2).
#[derive(Deserialize)]
struct TokenError {
    error: String,
}

impl TokenError {
    /// The code, if the standard has it. Any other text may echo a secret, and is not shown.
    fn known_code(&self) -> Option<&'static str> {
        let mut known = TOKEN_ERROR_CODES.into_iter();
        known.find(|code| *code == self.error)
    }
}

impl TokenCache {
    /// The token of `client`. `identity` and the client's secret name its record.
    pub(super) fn new(client: TokenClient, identity: &[&[u8]], state: &StateFolder) -> Self {
        let mut parts = identity.to_vec();
        parts.push(client.secret.expose().as_bytes());
        Self {
            records: state.records(TOKENS),
            name: fingerprint(&parts),
            memory: Mutex::default(),
            client,
        }
    }

    /// The token; a new one when none is known that lives. A token request may wait `max_hold_wait` for
    /// a hold of the rate budget, and for another process at most that long.
    ///
    /// # Errors
    /// [`Code::CredentialsRejected`] when the API refuses the client, [`Code::Config`] when the base has
    /// no token route, [`Code::Protocol`] for an answer without a token, and the codes of a request that
    /// fails.
    pub(super) async fn get(&self, http: &Http, max_hold_wait: Duration) -> Result<Secret> {
        let mut memory = self.memory.lock().await;
        if let Some(token) = memory.token.as_ref().filter(|token| token.lives()) {
            return Ok(token.value.clone());
        }
        if let Some(token) = self.recorded(&memory) {
            return Ok(memory.token.insert(token).value.clone());
        }
        let busy_timeout = max_hold_wait.min(MAX_BUSY_TIMEOUT);
        let lock = self
            .records
            .lock(&self.name, busy_timeout, "requesting a token")
            .await;
        // The process that had the lock until now has recorded its token.
        if let Some(token) = self.recorded(&memory) {
            return Ok(memory.token.insert(token).value.clone());
        }
        let token = self.client.request(http, max_hold_wait).await?;
        let written = match &lock {
            Ok(_) => self.records.write(&self.name, &token, Durability::Buffered),
            Err(error) if error.code() == Code::Busy => Ok(()), // the other process records its own
            Err(error) => Err(error.clone()),
        };
        if let Err(error) = written {
            self.records.warn_unwritable(&error);
        }
        Ok(memory.token.insert(token).value.clone())
    }

    /// The recorded token, if it lives and the API has not refused it. A record that cannot be trusted
    /// counts as none.
    fn recorded(&self, memory: &TokenMemory) -> Option<Token> {
        let token: Option<Token> = self.records.read(&self.name).ok().flatten();
        if let Some(token) = &token {
            token.value.register();
        }
        token.filter(|token| {
            token.lives()
                && is_sendable(&token.value)
                && memory.refused.as_ref() != Some(&token.value)
        })
    }

    /// Forgets the token of an `Authorization` header that the API refused, unless the cache has another
    /// token by now.
    pub(super) async fn refuse(&self, authorization: &Secret) {
        let mut memory = self.memory.lock().await;
        let refused = memory
            .token
            .take_if(|token| bearer(&token.value) == *authorization);
        memory.refused = refused.map(|token| token.value).or(memory.refused.take());
    }
}

impl Token {
    fn lives(&self) -> bool {
        Timestamp::now() < self.good_until
    }
}

impl TokenClient {
    /// Requests a token.
    async fn request(&self, http: &Http, max_hold_wait: Duration) -> Result<Token> {
        let authorization = Authorization {
            header: AUTHORIZATION,
            value: basic(&self.id, &self.secret),
        };
        let request = ApiRequest {
            url: self.token_url.clone(),
            method: Method::POST,
            authorization: Some(&authorization),
            headers: &[(CACHE_CONTROL, HeaderValue::from_static("no-cache"))],
            body: Some(&RequestBody {
                media_type: "application/x-www-form-urlencoded",
                bytes: b"grant_type=client_credentials".to_vec(),
            }),
            max_hold_wait,
            max_answer_time: None,
            before_send: None,
        };
        let requested = Timestamp::now();
        let reply = http
            .api(request)
            .await
            .map_err(|failure| with_base_hint(failure, &self.provider, &self.base).error)?;
        match reply.status() {
            200..=299 => self.read(reply, requested).await,
            400 | 401 | 403 => Err(self.rejected(reply).await),
            404 | 405 | 410 => Err(self.no_token_route(reply.status())),
            _ => Err(
                answer::refusal(&self.provider, &self.credential_source, "a token", reply).await,
            ),
        }
    }

    /// Reads the token from an answer to a request that was sent at the time `requested`.
    ///
    /// # Errors
    /// [`Code::CredentialsRejected`] for an answer with an error code of RFC 6749, [`Code::Protocol`] for any other
    /// answer without a token, and the error that cut the body off.
    pub(super) async fn read(&self, reply: Reply, requested: Timestamp) -> Result<Token> {
        let (title, status) = (&self.provider.table.title, reply.status());
        let (needed, useful) = (["/access_token", "/token_type"], ["/expires_in"]);
        let json = fields::read(&self.provider, reply, &needed, &useful).await?;
        // Some servers refuse a client with the status of a success.
        if let Some(code) = TokenError::deserialize(&json)
            .ok()
            .and_then(|error| error.known_code())
        {
            return Err(self.rejected_client(status, Some(code)));
        }
        let answer = TokenAnswer::deserialize(json).map_err(|_| {
            answer::protocol(title).with_cause("the body is not the JSON of a token")
        })?;
        let is_bearer = answer.token_type.eq_ignore_ascii_case("bearer");
        let value = Secret::new(answer.access_token);
        if !is_bearer || !is_sendable(&value) {
            return Err(answer::protocol(title).with_cause("the token is not a bearer token"));
        }
        let lifetime = Duration::from_secs(seconds(answer.expires_in.as_ref()));
        Ok(Token {
            value,
            good_until: requested
                .checked_add(lifetime.saturating_sub(LAST_MINUTE))
                .unwrap_or(requested),
        })
    }

    /// The error of an answer that refuses the client.
    pub(super) async fn rejected(&self, reply: Reply) -> Error {
        let status = reply.status();
        let source = AnswerSource::of(&self.provider, &reply);
        let body = reply.error_body().await;
        let code = serde_json::from_slice::<TokenError>(&body);
        let code = code.ok().and_then(|answer| answer.known_code());
        let title = &self.provider.table.title;
        if let (Some(page), None) = (source.web_page(&body), code) {
            let what = format!("{title} refused the request for a token");
            return Error::new(Code::RequestRefused, what)
                .with_cause(format!("HTTP {status}, with {page}"))
                .with_hint(source.wrong_base_hint())
                .with_http_status(status);
        }
        self.rejected_client(status, code)
    }

    /// The error of a client that the API refuses, with the error `code` of the answer.
    fn rejected_client(&self, status: u16, code: Option<&str>) -> Error {
        let title = &self.provider.table.title;
        let what = format!("{title} does not accept the client credentials");
        Error::new(Code::CredentialsRejected, what)
            .with_cause(match code {
                Some(code) => format!("HTTP {status}, {code}"),
                None => format!("HTTP {status}"),
            })
            .with_hint(format!("check {}", self.credential_source))
            .with_http_status(status)
    }

    fn no_token_route(&self, status: u16) -> Error {
        let what = format!(
            "there is no {} API at {}",
            self.provider.table.title, self.base
        );
        Error::new(Code::Config, what)
            .with_cause(format!("HTTP {status} for its token route"))
            .with_hint(format!("check {}", self.provider.table.variables.api_base))
            .with_http_status(status)
    }
}

/// Whether a token can be sent in a header (RFC 6750 section 2.1).
fn is_sendable(token: &Secret) -> bool {
    let token = token.expose();
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The value of an `Authorization` header for a client (RFC 7617). Id and secret are form-encoded first
/// (RFC 6749 section 2.3.1), so that a server which decodes forms and one which decodes URLs read the same:
/// a blank is `%20`, and unreserved characters (RFC 3986 section 2.3) stay.
fn basic(id: &Secret, secret: &Secret) -> Secret {
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    let encode = |part: &Secret| utf8_percent_encode(part.expose(), RESERVED).to_string();
    let encoded = STANDARD.encode(format!("{}:{}", encode(id), encode(secret)));
    let credential = Secret::new(encoded); // servers may echo it
    Secret::unregistered(format!("Basic {}", credential.expose()))
}

/// The value of an `Authorization` header for a token (RFC 6750 section 2.1).
pub(super) fn bearer(token: &Secret) -> Secret {
    Secret::unregistered(format!("Bearer {}", token.expose()))
}

/// A number of seconds. Some servers write it as text or with a fraction.
fn seconds(value: Option<&Value>) -> u64 {
    let number = match value {
        Some(Value::String(text)) => text.trim().parse::<f64>().ok(),
        Some(value) => value.as_f64(),
        None => None,
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates"
    )]
    number
        .map_or(DEFAULT_LIFETIME_SECONDS, |seconds| seconds as u64)
        .min(u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_read_in_every_way_that_servers_write_it() {
        let of = |text: &str| seconds(serde_json::from_str(text).ok().as_ref());
        assert_eq!([of("3600"), of("\"3600\""), of("3600.5")], [3600; 3]);
        assert_eq!(
            [of("null"), of("{}"), of("")],
            [DEFAULT_LIFETIME_SECONDS; 3]
        );
        assert_eq!([of("-5"), of("1e300")], [0, u64::from(u32::MAX)]);
    }

    #[test]
    fn client_credentials_are_form_encoded_before_they_are_joined() {
        let basic = basic(&Secret::new("a:b~c"), &Secret::new("p w%+*\u{e4}-._~"));
        let credential = STANDARD.encode("a%3Ab~c:p%20w%25%2B%2A%C3%A4-._~");
        assert_eq!(basic.expose(), format!("Basic {credential}"));
    }
}
