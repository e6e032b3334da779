//! What proves to a provider which account sends a request.

use super::schema::{Auth, Provider};
use crate::config::credentials::{SourcedSecret, home_json, secret};
use crate::config::variables::{self, FILE_SUFFIX};
use crate::error::{Code, Error, Result};
use crate::secret::Secret;

/// Credentials, and where docfetch read them.
pub(crate) struct SourcedCredentials {
    /// The credentials.
    pub credentials: Credentials,
    /// The variables or the file, as messages name them.
    pub source: String,
}

/// What proves to a provider which account sends a request. Standard Metrics takes a client id and a
/// client secret; One Codex takes an API key or a bearer token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credentials {
    /// An OAuth 2.0 client (RFC 6749 section 4.4).
    Client {
        /// The client id.
        id: Secret,
        /// The client secret.
        secret: Secret,
    },
    /// An API key.
    Key(Secret),
    /// A bearer token (RFC 6750).
    Bearer(Secret),
}

impl Credentials {
    /// The part of the credentials that tells accounts apart. Only a fingerprint of it is stored.
    pub(crate) fn account(&self) -> &Secret {
        match self {
            Self::Client { id, .. } => id,
            Self::Key(secret) | Self::Bearer(secret) => secret,
        }
    }
}

impl Provider {
    /// Checks that the credentials are of a kind that the provider takes.
    ///
    /// # Errors
    /// [`Code::Config`] when they are not.
    pub(crate) fn check_credentials(&self, credentials: &Credentials) -> Result<()> {
        let (fits, kind) = match self.auth {
            Auth::ClientCredentials { .. } => (
                matches!(credentials, Credentials::Client { .. }),
                "a client id and a client secret",
            ),
            Auth::Key { .. } => (
                !matches!(credentials, Credentials::Client { .. }),
                "an API key or a bearer token",
            ),
        };
        if fits {
            return Ok(());
        }
        let what = format!("these are not credentials of {}", self.table.title);
        Err(Error::new(Code::Config, what).with_cause(format!("{} takes {kind}", self.table.title)))
    }

    /// The base URL of the API that the environment sets, if any. It is not checked.
    ///
    /// # Errors
    /// [`Code::Config`] for a value that is not UTF-8.
    pub(crate) fn environment_base(&self) -> Result<Option<String>> {
        variables::value(&self.table.variables.api_base)
    }

    /// Reads the credentials from the environment and the files that it names.
    ///
    /// # Errors
    /// [`Code::CredentialsMissing`], with the variables. [`Code::Config`] for a value or a file that cannot
    /// be used.
    pub(crate) fn environment_credentials(&self) -> Result<SourcedCredentials> {
        match self.auth {
            Auth::ClientCredentials {
                id: id_variable,
                secret: secret_variable,
                ..
            } => match (secret(id_variable)?, secret(secret_variable)?) {
                (Some(id), Some(secret)) => Ok(SourcedCredentials {
                    source: format!("{} and {}", id.source, secret.source),
                    credentials: Credentials::Client {
                        id: id.secret,
                        secret: secret.secret,
                    },
                }),
                (Some(_), None) => Err(self.missing(&format!("{secret_variable} is not set"))),
                (None, Some(_)) => Err(self.missing(&format!("{id_variable} is not set"))),
                (None, None) => {
                    let both = format!("{id_variable} and {secret_variable} are not set");
                    Err(self.missing(&both))
                }
            },
            Auth::Key {
                key,
                bearer,
                key_file,
                ..
            } => {
                if let Some(token) = secret(bearer)? {
                    return Ok(SourcedCredentials::new(token, Credentials::Bearer));
                }
                if let Some(key) = secret(key)? {
                    return Ok(SourcedCredentials::new(key, Credentials::Key));
                }
                if let Some(file) = key_file
                    && let Some(key) = home_json(file.path, file.pointer)?
                {
                    return Ok(SourcedCredentials::new(key, Credentials::Key));
                }
                let file = key_file.map(|file| format!(", and ~/{} has no key", file.path));
                let file = file.unwrap_or_default();
                Err(self.missing(&format!("neither {key} nor {bearer} is set{file}")))
            }
        }
    }

    fn missing(&self, why: &str) -> Error {
        Error::new(
            Code::CredentialsMissing,
            format!("no credentials for {}", self.table.title),
        )
        .with_cause(why)
        .with_hint(self.credentials_hint())
    }

    fn credentials_hint(&self) -> String {
        let (variables, secret) = match self.auth {
            Auth::ClientCredentials { id, secret, .. } => (format!("{id} and {secret}"), secret),
            Auth::Key { key, bearer, .. } => (format!("{key} or {bearer}"), key),
        };
        format!("set {variables}; {secret}{FILE_SUFFIX} can name a file with the value instead")
    }
}

impl SourcedCredentials {
    fn new(found: SourcedSecret, kind: fn(Secret) -> Credentials) -> Self {
        Self {
            credentials: kind(found.secret),
            source: found.source,
        }
    }
}
