//! The request for an access token: an OAuth 2.0 grant (RFC 6749 sections 4.4 and 6), or the exchange of a key.

use super::answer;
use super::base_hint::with_base_hint;
use super::table_request::{self, TableRequest, filled_headers, form, slot_values};
use super::token_client::{RequestTime, TokenAnswer, TokenClient, TokenFailure, TokenKind};
use crate::error::{Code, Error, Result};
use crate::http::{ApiRequest, Authorization, Http};
use crate::provider::{ClientPlace, Grant, TokenRoute};
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CACHE_CONTROL, HeaderValue};
use std::time::Duration;
use url::Url;

impl TokenClient {
    /// What tells the token of this client from those of the same account, for the name of its record.
    pub(super) fn record_parts(&self) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        let TokenKind::Client { oauth, secret, .. } = &self.kind else {
            return self.request_parts();
        };
        parts.push(secret.expose().as_bytes().to_vec());
        let is_fixed =
            matches!(&oauth.token, TokenRoute::Path(path) if path.slots().next().is_none());
        let is_plain = oauth.scope.is_none() && oauth.form.is_empty() && oauth.headers.is_empty();
        if !is_fixed || !is_plain || oauth.grant != Grant::ClientCredentials {
            parts.extend(self.request_parts());
        }
        parts
    }

    fn request_parts(&self) -> Vec<Vec<u8>> {
        let Ok(request) = self.table_request(None) else {
            return Vec::new();
        };
        let mut parts = vec![request.url.to_string().into_bytes()];
        let headers = request.headers.iter();
        parts.extend(
            headers.map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()].join(&b':')),
        );
        parts.extend(request.body.map(|body| body.bytes));
        parts
    }

    /// Requests a token, with this refresh token where the grant wants one.
    ///
    /// # Errors
    /// [`Code::CredentialsRejected`] when the API refuses the client, [`Code::Config`] when the base has
    /// no token route, [`Code::Protocol`] for an answer without a token, and the codes of a request that
    /// fails.
    pub(super) async fn request(
        &self,
        http: &Http,
        refresh_token: Option<&Secret>,
        max_hold_wait: Duration,
    ) -> Result<TokenAnswer, TokenFailure> {
        let filled = self.table_request(refresh_token)?;
        let authorization = self.authorization();
        let request = ApiRequest {
            url: filled.url,
            method: filled.method,
            authorization: authorization.as_ref(),
            headers: &filled.headers,
            body: filled.body.as_ref(),
            bytes: None,
            max_hold_wait,
            max_answer_time: None,
            before_send: None,
        };
        let sent = Timestamp::now();
        let reply = http.token(request).await.map_err(|failure| {
            if self.is_at_base() {
                with_base_hint(failure, &self.provider, &self.base).error
            } else {
                failure.error
            }
        })?;
        let time = RequestTime {
            sent,
            server_now: http.clock().best(),
        };
        match (reply.status(), &self.kind) {
            (200..=299, _) => self.read(reply, time).await,
            (401 | 403, _) | (400, TokenKind::Client { .. }) => Err(self.rejected(reply).await),
            (404 | 405 | 410, _) => Err(self.no_token_route(&reply).into()),
            _ => {
                let source = &self.credential_source;
                let refused = answer::refusal(&self.provider, source, "a token", reply);
                Err(refused.await.into())
            }
        }
    }

    fn table_request(&self, refresh_token: Option<&Secret>) -> Result<TableRequest> {
        let mut values = slot_values(&self.provider, &self.base, None);
        let (oauth, id, secret) = match &self.kind {
            TokenKind::Client { oauth, id, secret } => (oauth, id, secret),
            TokenKind::Exchange { exchange, key } => {
                values.add("key", key.expose());
                let request = &exchange.request;
                return table_request::filled(&self.provider, &self.base, request, &values);
            }
        };
        let url = match &oauth.token {
            TokenRoute::Path(path) => table_request::route(&self.base, &path.fill_path(&values)),
            TokenRoute::Url(url) => Url::parse(&url.fill_path(&values)).map_err(|_| {
                let what = format!("the token route of {} is no URL", self.provider.table.title);
                Error::new(Code::Config, what)
            })?,
        };
        let mut headers = filled_headers(&oauth.headers, &values)?;
        if !headers.iter().any(|(name, _)| name == CACHE_CONTROL) {
            headers.push((CACHE_CONTROL, HeaderValue::from_static("no-cache")));
        }
        let grant = match oauth.grant {
            Grant::ClientCredentials => "client_credentials",
            Grant::RefreshToken => "refresh_token",
        };
        let mut fields = vec![("grant_type", grant.to_owned())];
        if let Some(token) = refresh_token {
            fields.push(("refresh_token", token.expose().to_owned()));
        }
        if oauth.client == ClientPlace::Form {
            fields.push(("client_id", id.expose().to_owned()));
            fields.push(("client_secret", secret.expose().to_owned()));
        }
        if let Some(scope) = &oauth.scope {
            fields.push(("scope", scope.fill(&values)));
        }
        let own = oauth.form.iter();
        fields.extend(own.map(|(name, value)| (name.as_str(), value.fill(&values))));
        Ok(TableRequest {
            method: Method::POST,
            url,
            headers,
            body: Some(form(fields.into_iter())),
        })
    }

    /// The header with the client, where the request has one.
    fn authorization(&self) -> Option<Authorization> {
        match &self.kind {
            TokenKind::Client { oauth, id, secret } if oauth.client == ClientPlace::Basic => {
                Some(Authorization {
                    header: AUTHORIZATION,
                    value: client_credentials(id, secret),
                })
            }
            _ => None,
        }
    }
}

/// The value of an `Authorization` header for a client (RFC 7617). Id and secret are form-encoded first
/// (RFC 6749 section 2.3.1), so that a server which decodes forms and one which decodes URLs read the same:
/// a blank is `%20`, and unreserved characters (RFC 3986 section 2.3) stay.
fn client_credentials(id: &Secret, secret: &Secret) -> Secret {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_credentials_are_form_encoded_before_they_are_joined() {
        let of = client_credentials(&Secret::new("a:b~c"), &Secret::new("p w%+*\u{e4}-._~"));
        let credential = STANDARD.encode("a%3Ab~c:p%20w%25%2B%2A%C3%A4-._~");
        assert_eq!(of.expose(), format!("Basic {credential}"));
    }
}
