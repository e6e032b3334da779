//! What a request to the API carries to prove which account sends it.

use super::account::identity;
use super::token::TokenCache;
use super::token_client::{TokenClient, TokenKind};
use crate::error::{Code, Error, Result};
use crate::http::Authorization;
use crate::provider::{AuthMethod, Credentials, Provider, SourcedCredentials};
use crate::secret::{Secret, register_parameter, register_word};
use crate::state::records::StateFolder;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::AUTHORIZATION;
use url::Url;

/// What proves which account sends a request.
#[derive(Debug)]
pub(super) enum Credential {
    /// Nothing.
    None,
    /// A header with what the user gave.
    Header(Authorization),
    /// A query parameter with the key that the user gave.
    Query {
        /// The name of the parameter.
        name: String,
        /// The key.
        key: Secret,
    },
    /// An access token, which expires.
    Token(Box<TokenCache>),
}

impl Credential {
    /// The credential for requests to the API at `base`. All processes that use `state` share an access token.
    ///
    /// # Errors
    /// [`Code::Config`] for credentials that the provider does not take.
    pub(super) fn new(
        provider: &Provider,
        base: &Url,
        found: &SourcedCredentials,
        state: &StateFolder,
    ) -> Result<Self> {
        let token = |kind: TokenKind, refresh_token: Option<Secret>| {
            let client = TokenClient {
                provider: provider.clone(),
                base: base.clone(),
                kind,
                credential_source: found.source.clone(),
            };
            let account = found.credentials.account();
            let identity = identity(provider, base, &account);
            Self::Token(Box::new(TokenCache::new(
                client,
                refresh_token,
                &identity,
                state,
            )))
        };
        let method = &provider.auth_of(&found.credentials)?.method;
        Ok(match (method, found.credentials.clone()) {
            (AuthMethod::Header { name, prefix }, Credentials::Key(key)) => {
                let value = format!("{prefix}{}", key.expose());
                Self::Header(Authorization {
                    header: name.clone(),
                    value: Secret::unregistered(value),
                })
            }
            (AuthMethod::Query { name }, Credentials::Key(key)) => {
                register_parameter(name);
                Self::Query {
                    name: name.clone(),
                    key,
                }
            }
            (AuthMethod::Exchange(exchange), Credentials::Key(key)) => {
                let exchange = exchange.clone();
                token(TokenKind::Exchange { exchange, key }, None)
            }
            (AuthMethod::OAuth(oauth), Credentials::Client { id, secret }) => {
                let oauth = oauth.clone();
                token(TokenKind::Client { oauth, id, secret }, None)
            }
            (
                AuthMethod::OAuth(oauth),
                Credentials::RefreshToken {
                    id,
                    secret,
                    token: given,
                },
            ) => {
                let oauth = oauth.clone();
                token(TokenKind::Client { oauth, id, secret }, Some(given))
            }
            (_, Credentials::Bearer { token, .. }) => Self::Header(bearer(&token)),
            (_, Credentials::Password { username, password }) => {
                register_word(&username);
                Self::Header(basic(&username, &password)?)
            }
            _ => Self::None,
        })
    }
}

/// The header for a token (RFC 6750 section 2.1).
pub(super) fn bearer(token: &Secret) -> Authorization {
    Authorization {
        header: AUTHORIZATION,
        value: Secret::unregistered(format!("Bearer {}", token.expose())),
    }
}

/// The header for a user name and a password (RFC 7617 section 2). Servers may echo it.
///
/// # Errors
/// [`Code::Config`] for a user name with a colon, where the password would begin.
fn basic(username: &str, password: &Secret) -> Result<Authorization> {
    if username.contains(':') {
        let what = "the user name cannot be sent";
        return Err(Error::new(Code::Config, what).with_cause("it contains a colon"));
    }
    let encoded = STANDARD.encode(format!("{username}:{}", password.expose()));
    let credential = Secret::new(encoded);
    Ok(Authorization {
        header: AUTHORIZATION,
        value: Secret::unregistered(format!("Basic {}", credential.expose())),
    })
}
