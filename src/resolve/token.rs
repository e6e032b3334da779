//! The OAuth access token (RFC 6749 section 4.4): asked for once by all
//! processes of a user, used until 60 s before it expires.

use super::{Resolver, answer, fields};
use crate::error::{Code, Error, Result};
use crate::fingerprint::fingerprint;
use crate::http::{ApiRequest, Authorization};
use crate::provider::Credentials;
use crate::secret::{Secret, stored};
use crate::state::records::{Durability, Records, StateFolder, TOKENS};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::AUTHORIZATION;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use tokio::sync::Mutex;
use url::form_urlencoded::byte_serialize;

/// A token this close to its end is not used for a new request.
const MARGIN: Duration = Duration::from_mins(1);
/// Seconds that a token is used for when its answer does not tell.
const UNKNOWN: u64 = 360;
/// The longest wait for another process that asks for the same token.
const PATIENCE: Duration = Duration::from_secs(30);

/// The token of one client, for all its processes. Whoever needs it while another asks for it waits
/// for that answer.
#[derive(Debug)]
pub(super) struct TokenCache {
    records: Records,
    name: String,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    token: Option<Token>,
    /// What the API refused: a record that still holds it is out of date.
    refused: Option<Secret>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Token {
    #[serde(with = "stored")]
    value: Secret,
    /// By this machine's clock. One that is wrong here shows when the API refuses the token.
    good_until: Timestamp,
}

/// RFC 6749 section 5.1.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// Recommended, not required.
    expires_in: Option<Value>,
    token_type: String,
}

/// A number of seconds, which some servers write as a text or with a fraction.
fn seconds(told: Option<&Value>) -> u64 {
    let number = match told {
        Some(Value::String(text)) => text.trim().parse::<f64>().ok(),
        Some(value) => value.as_f64(),
        None => None,
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates, and that is right"
    )]
    number
        .map_or(UNKNOWN, |seconds| seconds as u64)
        .min(u64::from(u32::MAX))
}

/// RFC 6749 section 5.2.
#[derive(Deserialize)]
struct Denied {
    error: String,
}

impl TokenCache {
    /// The token of a client, which is told apart by its `identity` and secret.
    pub(super) fn new(identity: &[&[u8]], credentials: &Credentials, state: &StateFolder) -> Self {
        let mut parts = identity.to_vec();
        if let Credentials::Client { secret, .. } = credentials {
            parts.push(secret.expose().as_bytes());
        }
        Self {
            records: state.records(TOKENS),
            name: fingerprint(&parts),
            memory: Mutex::default(),
        }
    }

    /// The token, asked for if there is none that lives.
    pub(super) async fn get(
        &self,
        resolver: &Resolver,
        (path, patience): (&str, Duration),
        id: &Secret,
        secret: &Secret,
    ) -> Result<Secret> {
        let mut memory = self.memory.lock().await;
        if let Some(token) = memory.token.as_ref().filter(|token| token.lives()) {
            return Ok(token.value.clone());
        }
        if let Some(token) = self.kept(&memory) {
            return Ok(memory.token.insert(token).value.clone());
        }
        let lock = self
            .records
            .lock(&self.name, patience.min(PATIENCE), "asking for a token")
            .await;
        // Whoever held the lock until now has asked for it.
        if let Some(token) = self.kept(&memory) {
            return Ok(memory.token.insert(token).value.clone());
        }
        let token = ask(resolver, (path, patience), id, secret).await?;
        let kept = match &lock {
            Ok(_) => self.records.write(&self.name, &token, Durability::Buffered),
            Err(error) if error.code() == Code::Busy => Ok(()), // its own will be kept
            Err(error) => Err(error.clone()),
        };
        if let Err(error) = kept {
            self.records.cannot_keep(&error);
        }
        Ok(memory.token.insert(token).value.clone())
    }

    /// A token that this or another process asked for, and that still lives. A record that cannot be
    /// trusted is none.
    fn kept(&self, memory: &Memory) -> Option<Token> {
        let kept: Option<Token> = self.records.read(&self.name).ok().flatten();
        if let Some(token) = &kept {
            token.value.register();
        }
        kept.filter(|token| {
            token.lives() && sendable(&token.value) && memory.refused.as_ref() != Some(&token.value)
        })
    }

    /// Drops the token of an `Authorization` that the API refused, unless there is another one by now.
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

/// Whether a token can be sent in a header (RFC 6750 section 2.1).
fn sendable(token: &Secret) -> bool {
    let token = token.expose();
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The Basic credential (RFC 7617) of a client, each part form-encoded first (RFC 6749 section
/// 2.3.1).
pub(super) fn basic(id: &Secret, secret: &Secret) -> Secret {
    let encode = |part: &Secret| byte_serialize(part.expose().as_bytes()).collect::<String>();
    Secret::new(STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
}

/// The credential that a token is (RFC 6750 section 2.1).
pub(super) fn bearer(token: &Secret) -> Secret {
    Secret::unregistered(format!("Bearer {}", token.expose()))
}

async fn ask(
    resolver: &Resolver,
    (path, patience): (&str, Duration),
    id: &Secret,
    secret: &Secret,
) -> Result<Token> {
    let basic = basic(id, secret);
    let authorization = Authorization {
        header: AUTHORIZATION,
        value: Secret::unregistered(format!("Basic {}", basic.expose())),
    };
    let request = ApiRequest {
        url: resolver.route(path, None),
        method: Method::POST,
        authorization: &authorization,
        form: Some("grant_type=client_credentials"),
        max_hold: patience,
        answer_limit: None,
        before_send: None,
    };
    let asked = Timestamp::now();
    let reply = resolver
        .http()
        .api(request)
        .await
        .map_err(|failure| failure.error)?;
    let title = resolver.provider().title;
    match reply.status() {
        200 => {
            let (needed, useful) = (["/access_token", "/token_type"], ["/expires_in"]);
            let granted = fields::read(title, reply, &needed, &useful).await?;
            let granted = Granted::deserialize(granted).map_err(|_| {
                answer::protocol(title).with_cause("the body is not the JSON of a token")
            })?;
            let bearer = granted.token_type.eq_ignore_ascii_case("bearer");
            let value = Secret::new(granted.access_token);
            if !bearer || !sendable(&value) {
                return Err(answer::protocol(title).with_cause("the token is not a bearer token"));
            }
            let lifetime = Duration::from_secs(seconds(granted.expires_in.as_ref()));
            Ok(Token {
                value,
                good_until: asked
                    .checked_add(lifetime.saturating_sub(MARGIN))
                    .unwrap_or(asked),
            })
        }
        status @ (400 | 401 | 403) => {
            let body = reply.error_body().await;
            // Only words from the standard's own list: anything else could be an echo.
            let said = serde_json::from_slice::<Denied>(&body)
                .ok()
                .and_then(|denied| {
                    [
                        "invalid_client",
                        "unauthorized_client",
                        "invalid_grant",
                        "invalid_scope",
                        "invalid_request",
                        "unsupported_grant_type",
                    ]
                    .into_iter()
                    .find(|known| *known == denied.error)
                });
            let error = Error::new(
                Code::CredentialsRejected,
                format!("{title} does not accept the client credentials"),
            );
            Err(error
                .with_cause(match said {
                    Some(said) => format!("HTTP {status}, {said}"),
                    None => format!("HTTP {status}"),
                })
                .with_hint(format!(
                    "check {}",
                    resolver.provider().credential_variables()
                ))
                .with_http_status(status))
        }
        status @ (404 | 405 | 410) => {
            let provider = resolver.provider();
            let what = format!("there is no {title} API at {}", resolver.base);
            Err(Error::new(Code::Config, what)
                .with_cause(format!("HTTP {status} for its token route"))
                .with_hint(format!("check {}", provider.base_variable))
                .with_http_status(status))
        }
        _ => Err(answer::refusal(resolver.provider(), "a token", reply).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_read_in_every_way_that_servers_write_it() {
        let of = |text: &str| seconds(serde_json::from_str(text).ok().as_ref());
        assert_eq!([of("3600"), of("\"3600\""), of("3600.5")], [3600; 3]);
        assert_eq!([of("null"), of("{}"), of("")], [UNKNOWN; 3]);
        assert_eq!([of("-5"), of("1e300")], [0, u64::from(u32::MAX)]);
    }

    #[test]
    fn client_credentials_are_form_encoded_before_they_are_joined() {
        let basic = basic(&Secret::new("a:b"), &Secret::new("p w%\u{e4}"));
        assert_eq!(basic.expose(), STANDARD.encode("a%3Ab:p+w%25%C3%A4"));
    }
}
