//! The credentials that a service issued, and which requests have them.

use super::received::Received;
use crate::provider::{AuthMethod, CredentialField, Grant, Table};
use crate::sandbox::state::random;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

/// How long an access token is valid.
pub(super) const TOKEN_LIFETIME: Duration = Duration::from_hours(1);

/// The credentials that a service issued, for one entry of the table's `auth`.
#[derive(Debug)]
pub(super) struct IssuedCredentials {
    pub(super) method: AuthMethod,
    pub(super) key: String,
    pub(super) username: String,
    pub(super) password: String,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) refresh_token: String,
}

impl IssuedCredentials {
    /// New credentials for the first entry of `auth` that wants some.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn new(table: &Table) -> io::Result<Self> {
        let mut methods = table.auth.iter().map(|auth| &auth.method);
        let method = methods.find(|method| !matches!(method, AuthMethod::None));
        Ok(Self {
            method: method.cloned().unwrap_or(AuthMethod::None),
            key: random(16)?,
            username: format!("user-{}", random(4)?),
            password: random(16)?,
            client_id: random(10)?,
            client_secret: random(20)?,
            refresh_token: random(24)?,
        })
    }

    /// The variables of the credentials, with their values. A bearer token comes with the name of an account.
    pub(super) fn variables(&self, table: &Table) -> Vec<(String, String)> {
        let names = &table.variables;
        let fields = self.method.fields().iter().map(|field| {
            let value = match field {
                CredentialField::ApiKey | CredentialField::Token => &self.key,
                CredentialField::Username => &self.username,
                CredentialField::Password => &self.password,
                CredentialField::ClientId => &self.client_id,
                CredentialField::ClientSecret => &self.client_secret,
                CredentialField::RefreshToken => &self.refresh_token,
            };
            (names.of(*field).to_owned(), value.clone())
        });
        let mut variables: Vec<_> = fields.collect();
        if matches!(self.method, AuthMethod::Bearer) {
            variables.push((names.account.clone(), "sandbox".to_owned()));
        }
        variables
    }

    /// The query parameter of the key, where the table sends the key there.
    pub(super) fn query_parameter(&self) -> Option<&str> {
        match &self.method {
            AuthMethod::Query { name } => Some(name),
            _ => None,
        }
    }

    /// Whether a request has the credential. `tokens` are the access tokens, and when each was issued.
    pub(super) fn are_in(&self, received: &Received, tokens: &HashMap<String, Instant>) -> bool {
        match &self.method {
            AuthMethod::None => true,
            AuthMethod::Bearer => received.authorization("Bearer ") == Some(&self.key),
            AuthMethod::Header { name, prefix } => {
                let value = received.header(name);
                value.and_then(|value| value.strip_prefix(prefix)) == Some(&self.key)
            }
            AuthMethod::Query { name } => {
                let mut keys = received.query.iter().filter(|(other, _)| other == name);
                keys.next().is_some_and(|(_, key)| *key == self.key) && keys.next().is_none()
            }
            AuthMethod::Basic => {
                let expected = STANDARD.encode(format!("{}:{}", self.username, self.password));
                received.authorization("Basic ") == Some(&expected)
            }
            AuthMethod::OAuth(_) | AuthMethod::Exchange(_) => {
                let token = received.authorization("Bearer ");
                let issued = token.and_then(|token| tokens.get(token));
                issued.is_some_and(|issued| issued.elapsed() < TOKEN_LIFETIME)
            }
        }
    }

    /// Whether the table's grant is a refresh token.
    pub(super) fn refresh(&self) -> bool {
        matches!(&self.method, AuthMethod::OAuth(oauth) if oauth.grant == Grant::RefreshToken)
    }
}
