//! What the answers to a token request mean.

use super::answer::{self, AnswerSource};
use super::fields;
use super::token_client::{RequestTime, Token, TokenAnswer, TokenClient, TokenFailure, TokenKind};
use crate::error::{Code, Error, Result};
use crate::http::Reply;
use crate::provider::{Exchange, Expiry, Grant, Pointers, TimeField, TimeForm};
use crate::secret::Secret;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// The lifetime of a token in seconds where the answer does not tell it.
const DEFAULT_LIFETIME_SECONDS: u64 = 360;
/// The error codes of RFC 6749 section 5.2.
const TOKEN_ERROR_CODES: [&str; 6] = [
    "invalid_client",
    "unauthorized_client",
    INVALID_GRANT,
    "invalid_scope",
    "invalid_request",
    "unsupported_grant_type",
];
/// The code for a refresh token that is expired, revoked or used.
const INVALID_GRANT: &str = "invalid_grant";

/// The answer to a token request (RFC 6749 section 5.1).
#[derive(Deserialize)]
struct OAuthAnswer {
    access_token: String,
    /// Recommended, not required.
    expires_in: Option<Value>,
    /// Required by the standard, and missing at some services.
    token_type: Option<String>,
    refresh_token: Option<String>,
}

/// The answer that refuses a token request (RFC 6749 section 5.2).
#[derive(Deserialize)]
struct OAuthError {
    error: String,
}

impl OAuthError {
    /// The code, if the standard has it. Any other text may echo a secret, and is not shown.
    fn known_code(&self) -> Option<&'static str> {
        let mut known = TOKEN_ERROR_CODES.into_iter();
        known.find(|code| *code == self.error)
    }
}

impl TokenClient {
    /// Reads the token from the answer to a request.
    ///
    /// # Errors
    /// [`Code::CredentialsRejected`] for an answer with an error code of RFC 6749, [`Code::Protocol`] for any other
    /// answer without a token, and the error that cut the body off.
    pub(super) async fn read(
        &self,
        reply: Reply,
        time: RequestTime,
    ) -> Result<TokenAnswer, TokenFailure> {
        match &self.kind {
            TokenKind::Client { .. } => self.read_oauth(reply, time).await,
            TokenKind::Exchange { exchange, .. } => {
                let answer = self.read_exchange(reply, exchange, time).await;
                answer.map_err(TokenFailure::from)
            }
        }
    }

    async fn read_oauth(
        &self,
        reply: Reply,
        time: RequestTime,
    ) -> Result<TokenAnswer, TokenFailure> {
        let status = reply.status();
        let needed = ["/access_token"];
        let useful = ["/token_type", "/expires_in", "/refresh_token"];
        let json = fields::read(&self.provider, reply, &needed, &useful).await;
        let json = json.map_err(Error::from)?;
        // Some servers refuse a client with the status of a success.
        if let Some(code) = OAuthError::deserialize(&json)
            .ok()
            .and_then(|error| error.known_code())
        {
            return Err(self.rejected_client(status, Some(code)));
        }
        let answer = OAuthAnswer::deserialize(json)
            .map_err(|_| self.protocol("the body is not the JSON of a token"))?;
        let refresh_token = answer.refresh_token.filter(|token| !token.is_empty());
        let refresh_token = refresh_token.map(Secret::new);
        let lifetime = Duration::from_secs(seconds(answer.expires_in.as_ref()));
        let token = Token::new(answer.access_token, lifetime, time);
        let kind = answer.token_type.as_deref().unwrap_or("bearer");
        let is_bearer = kind.eq_ignore_ascii_case("bearer");
        if !is_bearer || !token.is_sendable() {
            return Err(self.protocol("the token is not a bearer token").into());
        }
        Ok(TokenAnswer {
            token,
            refresh_token,
        })
    }

    async fn read_exchange(
        &self,
        reply: Reply,
        exchange: &Exchange,
        time: RequestTime,
    ) -> Result<TokenAnswer> {
        let expiry = exchange.expires.as_ref();
        let useful = match expiry {
            Some(Expiry::At(field)) => first_fields(&field.at),
            _ => Vec::new(),
        };
        let needed = first_fields(&exchange.token);
        let needed: Vec<&str> = needed.iter().map(String::as_str).collect();
        let useful: Vec<&str> = useful.iter().map(String::as_str).collect();
        let json = fields::read(&self.provider, reply, &needed, &useful).await?;
        let Some(value) = exchange.token.find_map(&json, Value::as_str) else {
            let why = format!("the answer has no text at {}", exchange.token.shown());
            return Err(self.protocol(&why));
        };
        let lifetime = expiry.and_then(|expiry| lifetime(expiry, &json, time.server_now));
        let lifetime = lifetime.unwrap_or(Duration::from_secs(DEFAULT_LIFETIME_SECONDS));
        let token = Token::new(value.to_owned(), lifetime, time);
        if !token.is_sendable() {
            return Err(self.protocol("no header can carry the token"));
        }
        Ok(TokenAnswer {
            token,
            refresh_token: None,
        })
    }

    fn protocol(&self, why: &str) -> Error {
        answer::protocol(&self.provider.table.title).with_cause(why)
    }

    /// The failure of an answer that refuses the client.
    pub(super) async fn rejected(&self, reply: Reply) -> TokenFailure {
        let status = reply.status();
        let source = AnswerSource::of(&self.provider, &reply);
        let body = reply.error_body().await;
        let code = serde_json::from_slice::<OAuthError>(&body);
        let code = code.ok().and_then(|answer| answer.known_code());
        if let (Some(page), None) = (source.web_page(&body), code) {
            let title = &self.provider.table.title;
            let what = format!("{title} refused the request for a token");
            let refused = Error::new(Code::RequestRefused, what)
                .with_cause(format!("HTTP {status}, with {page}"))
                .with_hint(source.wrong_base_hint())
                .with_http_status(status);
            return refused.into();
        }
        self.rejected_client(status, code)
    }

    /// The failure of a client that the API refuses, with the error `code` of the answer.
    fn rejected_client(&self, status: u16, code: Option<&str>) -> TokenFailure {
        let is_refresh = matches!(&self.kind, TokenKind::Client { oauth, .. } if oauth.grant == Grant::RefreshToken);
        let is_invalid_grant = is_refresh && code == Some(INVALID_GRANT);
        let (refused, hint) = match &self.kind {
            TokenKind::Exchange { .. } => ("API key", format!("check {}", self.credential_source)),
            TokenKind::Client { .. } if is_invalid_grant => {
                let variable = &self.provider.table.variables.refresh_token;
                let hint = format!(
                    "authorize docfetch's client again, and set {variable} to the new refresh token"
                );
                ("refresh token", hint)
            }
            TokenKind::Client { .. } => (
                "client credentials",
                format!("check {}", self.credential_source),
            ),
        };
        let title = &self.provider.table.title;
        let what = format!("{title} does not accept the {refused}");
        let error = Error::new(Code::CredentialsRejected, what)
            .with_cause(match code {
                Some(code) => format!("HTTP {status}, {code}"),
                None => format!("HTTP {status}"),
            })
            .with_hint(hint)
            .with_http_status(status);
        TokenFailure {
            error,
            is_invalid_grant,
        }
    }

    /// The error of an answer that knows no token route.
    pub(super) fn no_token_route(&self, reply: &Reply) -> Error {
        let table = &self.provider.table;
        let status = reply.status();
        let (what, hint) = if self.is_at_base() {
            (
                format!("there is no {} API at {}", table.title, self.base),
                format!("check {}", table.variables.api_base),
            )
        } else {
            (
                format!(
                    "there is no token route of {} at {}",
                    table.title,
                    reply.host()
                ),
                "check the key token of auth in the table".to_owned(),
            )
        };
        Error::new(Code::Config, what)
            .with_cause(format!("HTTP {status} for its token route"))
            .with_hint(hint)
            .with_http_status(status)
    }
}

/// The fields of the outermost object that the pointers lead into.
fn first_fields(pointers: &Pointers) -> Vec<String> {
    let fields = pointers
        .0
        .iter()
        .filter_map(|pointer| pointer.first_field());
    fields.map(|field| format!("/{field}")).collect()
}

/// How long a token lives, from the answer on. None where the answer does not tell it.
fn lifetime(expiry: &Expiry, json: &Value, server_now: Timestamp) -> Option<Duration> {
    let TimeField { at, form } = match expiry {
        Expiry::After(lifetime) => return Some(*lifetime),
        Expiry::At(field) => field,
    };
    let value = at.find_map(json, |value| {
        Some(value).filter(|value| value.is_string() || value.is_number())
    })?;
    let until = |time: Timestamp| {
        let left = time.duration_since(server_now);
        Duration::try_from(left).unwrap_or_default() // of the past: none
    };
    let number = || number(value).filter(|number| number.is_finite());
    let in_seconds =
        |seconds: f64| Duration::try_from_secs_f64(seconds.clamp(0.0, f64::from(u32::MAX))).ok();
    #[allow(clippy::cast_possible_truncation, reason = "the cast saturates")]
    match form {
        TimeForm::Seconds => in_seconds(number()?),
        TimeForm::Hours => in_seconds(number()? * 3600.0),
        TimeForm::Unix => Timestamp::from_second(number()? as i64).ok().map(until),
        TimeForm::UnixMilliseconds => Timestamp::from_millisecond(number()? as i64)
            .ok()
            .map(until),
        TimeForm::Rfc3339 => value.as_str()?.trim().parse().ok().map(until),
    }
}

/// A number. Some servers write it as text.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_f64(),
    }
}

/// A number of seconds. Some servers write it with a fraction.
fn seconds(value: Option<&Value>) -> u64 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates"
    )]
    value
        .and_then(number)
        .map_or(DEFAULT_LIFETIME_SECONDS, |seconds| seconds as u64)
        .min(u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Pointer;
    use serde_json::json;

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
    fn the_end_of_a_token_is_read_in_every_form_of_a_table() {
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let json = json!({
            "s": 3600, "text": "3600", "h": 1, "unix": 1_795_957_200, "ms": "1795957200000",
            "time": "2026-11-29T13:00:00Z", "past": "2026-11-29T11:00:00Z", "no": null, "huge": 1e300,
        });
        let of = |place: &str, form| {
            let at = Pointers(vec![Pointer::parse(place).unwrap()]);
            lifetime(&Expiry::At(TimeField { at, form }), &json, now)
        };
        let hour = Some(Duration::from_hours(1));
        for (place, form) in [
            ("/s", TimeForm::Seconds),
            ("/text", TimeForm::Seconds),
            ("/h", TimeForm::Hours),
            ("/unix", TimeForm::Unix),
            ("/ms", TimeForm::UnixMilliseconds),
            ("/time", TimeForm::Rfc3339),
        ] {
            assert_eq!(of(place, form), hour, "{place}");
        }
        assert_eq!(of("/past", TimeForm::Rfc3339), Some(Duration::ZERO));
        assert_eq!(of("/no", TimeForm::Seconds), None);
        assert_eq!(of("/huge", TimeForm::Unix), None);
        assert_eq!(
            lifetime(&Expiry::After(Duration::from_hours(1)), &json, now),
            hour
        );
    }
}
