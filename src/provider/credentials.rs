//! What proves to a provider which account sends a request.

use super::schema::Provider;
use super::table::{Auth, AuthMethod, CredentialField, CredentialFile, Grant};
use crate::config::credentials::{HomeFile, SourcedSecret, is_set, plain, secret};
use crate::config::variables::{self, FILE_SUFFIX};
use crate::error::{Code, Error, Result};
use crate::fingerprint::fingerprint;
use crate::secret::Secret;

/// Credentials, and where docfetch read them.
pub(crate) struct SourcedCredentials {
    /// The credentials.
    pub credentials: Credentials,
    /// The variables or the file, as messages name them.
    pub source: String,
}

/// What proves to a provider which account sends a request.
///
/// Standard Metrics takes a [`Client`](Self::Client); One Codex takes a [`Key`](Self::Key) or a
/// [`Bearer`](Self::Bearer) token. Which of them another service takes is the `auth` of its table.
///
/// The account of the credentials names the ledger of paid retrievals, the partials and the rate budget. Only a
/// fingerprint of the account is stored.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credentials {
    /// No credential, for a service that takes requests of every client.
    None,
    /// An OAuth 2.0 client (RFC 6749 section 4.4). The account is the client id.
    Client {
        /// The client id.
        id: Secret,
        /// The client secret.
        secret: Secret,
    },
    /// An OAuth 2.0 client with a refresh token (RFC 6749 section 6). The account is the client id together with this
    /// token. When the service replaces the token, the state folder keeps the new one; give this one again.
    RefreshToken {
        /// The client id.
        id: Secret,
        /// The client secret.
        secret: Secret,
        /// The refresh token that the user got.
        token: Secret,
    },
    /// An API key: in a header, in a query parameter, or for a request that exchanges the key for a token. The account is
    /// the key.
    Key(Secret),
    /// A bearer token (RFC 6750).
    Bearer {
        /// The token.
        token: Secret,
        /// The name of the account, which stays the same when the token changes. Default: the account is the token, and
        /// paid retrievals are remembered for this token only.
        account: Option<String>,
    },
    /// A user name and a password (RFC 7617). The account is the user name.
    Password {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
}

impl Credentials {
    /// What tells accounts apart. Only a fingerprint of it is stored.
    pub(crate) fn account(&self) -> Secret {
        match self {
            Self::None => Secret::unregistered(""),
            Self::Client { id, .. } => id.clone(),
            Self::RefreshToken { id, token, .. } => {
                let token = fingerprint(&[token.expose().as_bytes()]);
                Secret::unregistered(format!("{} {token}", id.expose()))
            }
            Self::Key(key) => key.clone(),
            Self::Bearer { token, account } => match account {
                Some(account) => Secret::unregistered(account),
                None => token.clone(),
            },
            Self::Password { username, .. } => Secret::unregistered(username),
        }
    }

    /// Whether requests prove the account in the way of `method`.
    fn fit(&self, method: &AuthMethod) -> bool {
        match (method, self) {
            (AuthMethod::OAuth(oauth), Self::Client { .. }) => {
                oauth.grant == Grant::ClientCredentials
            }
            (AuthMethod::OAuth(oauth), Self::RefreshToken { .. }) => {
                oauth.grant == Grant::RefreshToken
            }
            (AuthMethod::None, Self::None)
            | (AuthMethod::Bearer, Self::Bearer { .. })
            | (AuthMethod::Basic, Self::Password { .. })
            | (
                AuthMethod::Header { .. } | AuthMethod::Query { .. } | AuthMethod::Exchange(_),
                Self::Key(_),
            ) => true,
            _ => false,
        }
    }
}

/// The parts of one credential, in the order of [`AuthMethod::fields`].
type Parts = Vec<SourcedSecret>;

impl Provider {
    /// The entry of the table's `auth` that the credentials are for.
    ///
    /// # Errors
    /// [`Code::Config`] for credentials that the provider does not take.
    pub(crate) fn auth_of(&self, credentials: &Credentials) -> Result<&Auth> {
        let entries = &self.table.auth;
        let fitting = entries.iter().find(|auth| credentials.fit(&auth.method));
        fitting.ok_or_else(|| {
            let title = &self.table.title;
            let kinds: Vec<_> = entries.iter().map(|auth| kind(&auth.method)).collect();
            let what = format!("these are not credentials of {title}");
            let cause = format!("{title} takes {}", kinds.join(" or "));
            Error::new(Code::Config, what).with_cause(cause)
        })
    }

    /// The base URL of the API that the environment sets, if any. It is not checked.
    ///
    /// # Errors
    /// [`Code::Config`] for a value that is not UTF-8.
    pub(crate) fn environment_base(&self) -> Result<Option<String>> {
        variables::value(&self.table.variables.api_base)
    }

    /// Reads the credentials from the environment and the files that it names, else from a file of the service's own
    /// tool. In each of these places, the first entry of the table's `auth` counts that has all its parts there.
    ///
    /// # Errors
    /// [`Code::CredentialsMissing`], with the variables. [`Code::Config`] for a value or a file that cannot
    /// be used.
    pub(crate) fn environment_credentials(&self) -> Result<SourcedCredentials> {
        for auth in &self.table.auth {
            if let Some(parts) = self.parts_in_environment(&auth.method)? {
                return self.credentials(&auth.method, parts);
            }
        }
        for auth in &self.table.auth {
            if let Some(file) = &auth.file
                && let Some(parts) = parts_in_file(&auth.method, file)?
            {
                return self.credentials(&auth.method, parts);
            }
        }
        let needs_none = |auth: &Auth| auth.method.fields().is_empty();
        match self.table.auth.iter().find(|auth| needs_none(auth)) {
            Some(auth) => self.credentials(&auth.method, Vec::new()),
            None => Err(self.missing()),
        }
    }

    /// The parts of a credential in variables. None when one is missing, or the credential has no part.
    fn parts_in_environment(&self, method: &AuthMethod) -> Result<Option<Parts>> {
        let mut parts = Vec::new();
        for field in method.fields() {
            let variable = self.table.variables.of(*field);
            let found = match field {
                CredentialField::Username => plain(variable)?,
                _ => secret(variable)?,
            };
            parts.extend(found);
        }
        Ok(Some(parts).filter(|parts| is_whole(method, parts)))
    }

    fn credentials(&self, method: &AuthMethod, parts: Parts) -> Result<SourcedCredentials> {
        let mut sources: Vec<String> = parts.iter().map(|part| part.source.clone()).collect();
        sources.dedup();
        let mut parts = parts.into_iter().map(|part| part.secret);
        let mut next = || parts.next().unwrap_or_else(|| Secret::unregistered(""));
        let credentials = match method {
            AuthMethod::None => Credentials::None,
            AuthMethod::Bearer => Credentials::Bearer {
                token: next(),
                account: self.account_name()?,
            },
            AuthMethod::Header { .. } | AuthMethod::Query { .. } | AuthMethod::Exchange(_) => {
                Credentials::Key(next())
            }
            AuthMethod::Basic => Credentials::Password {
                username: next().expose().to_owned(),
                password: next(),
            },
            AuthMethod::OAuth(oauth) => match oauth.grant {
                Grant::ClientCredentials => Credentials::Client {
                    id: next(),
                    secret: next(),
                },
                Grant::RefreshToken => Credentials::RefreshToken {
                    id: next(),
                    secret: next(),
                    token: next(),
                },
            },
        };
        Ok(SourcedCredentials {
            source: all_of(&sources),
            credentials,
        })
    }

    /// The name of the account of a bearer token.
    fn account_name(&self) -> Result<Option<String>> {
        let found = plain(&self.table.variables.account)?;
        Ok(found.map(|found| found.secret.expose().to_owned()))
    }

    /// The error when no entry has all its parts.
    fn missing(&self) -> Error {
        let what = format!("no credentials for {}", self.table.title);
        let error = Error::new(Code::CredentialsMissing, what);
        let incomplete = self.table.auth.iter().find_map(|auth| {
            let variables = self.variables_of(&auth.method);
            let (set, unset): (Vec<_>, Vec<_>) =
                variables.into_iter().partition(|name| is_set(name));
            (!set.is_empty()).then_some(unset)
        });
        let cause = match incomplete {
            Some(unset) => not_set(&unset),
            None => self.nothing_set(),
        };
        error.with_cause(cause).with_hint(self.credentials_hint())
    }

    /// Tells that no variable of any entry is set, and that no file has a credential.
    fn nothing_set(&self) -> String {
        let entries = self.table.auth.iter();
        let entries: Vec<_> = entries
            .map(|auth| self.variables_of(&auth.method))
            .collect();
        let mut cause = match entries.as_slice() {
            [one] => not_set(one),
            [first, second] if first.len() == 1 && second.len() == 1 => {
                format!("neither {} nor {} is set", first[0], second[0])
            }
            _ => {
                let entries: Vec<_> = entries.iter().map(|names| all_of(names)).collect();
                format!("none of these is set: {}", entries.join("; "))
            }
        };
        for auth in &self.table.auth {
            if let Some(file) = &auth.file {
                let part = match auth.method.fields() {
                    [CredentialField::ApiKey] => "key",
                    [CredentialField::Token] => "token",
                    _ => "credential",
                };
                cause.push_str(&format!(", and ~/{} has no {part}", file.home));
            }
        }
        cause
    }

    fn credentials_hint(&self) -> String {
        let entries = self.table.auth.iter();
        let entries: Vec<_> = entries
            .map(|auth| self.variables_of(&auth.method))
            .collect();
        let example = entries.last().and_then(|names| names.last());
        let example = example.copied().unwrap_or_default();
        let sets: Vec<_> = entries.iter().map(|names| all_of(names)).collect();
        let sets = sets.join(" or ");
        format!("set {sets}; {example}{FILE_SUFFIX} can name a file with the value instead")
    }

    /// Every variable and file that credentials may come from, for hints.
    pub(crate) fn credential_sources(&self) -> String {
        let entries = self.table.auth.iter();
        let variables = entries.map(|auth| all_of(&self.variables_of(&auth.method)));
        let files = self.table.auth.iter().filter_map(|auth| auth.file.as_ref());
        let files = files.map(|file| format!("~/{}", file.home));
        let sources = variables.filter(|names| !names.is_empty()).chain(files);
        joined(&sources.collect::<Vec<_>>(), "or")
    }

    /// The variables of the parts of a credential.
    fn variables_of(&self, method: &AuthMethod) -> Vec<&str> {
        let fields = method.fields().iter();
        fields
            .map(|field| self.table.variables.of(*field))
            .collect()
    }
}

/// The parts of a credential in a file of the service's own tool. None when one is missing.
fn parts_in_file(method: &AuthMethod, file: &CredentialFile) -> Result<Option<Parts>> {
    let Some(home) = HomeFile::read(&file.home)? else {
        return Ok(None);
    };
    let mut parts = Vec::new();
    for field in method.fields() {
        let place = file.values.iter().find(|(known, _)| known == field);
        let found = home.text(place.and_then(|(_, pointer)| pointer.find(&home.json)))?;
        if let Some(found) = found
            .as_ref()
            .filter(|_| *field != CredentialField::Username)
        {
            found.secret.register();
        }
        parts.extend(found);
    }
    Ok(Some(parts).filter(|parts| is_whole(method, parts)))
}

fn is_whole(method: &AuthMethod, parts: &Parts) -> bool {
    !parts.is_empty() && parts.len() == method.fields().len()
}

/// What a provider takes, in a sentence.
fn kind(method: &AuthMethod) -> &'static str {
    match method {
        AuthMethod::None => "no credential",
        AuthMethod::Bearer => "a bearer token",
        AuthMethod::Header { .. } | AuthMethod::Query { .. } | AuthMethod::Exchange(_) => {
            "an API key"
        }
        AuthMethod::Basic => "a user name and a password",
        AuthMethod::OAuth(oauth) => match oauth.grant {
            Grant::ClientCredentials => "a client id and a client secret",
            Grant::RefreshToken => "a client id, a client secret and a refresh token",
        },
    }
}

/// Tells that variables are not set.
fn not_set(variables: &[&str]) -> String {
    let verb = if variables.len() == 1 { "is" } else { "are" };
    format!("{} {verb} not set", all_of(variables))
}

/// `A, B and C`.
fn all_of(names: &[impl AsRef<str>]) -> String {
    joined(names, "and")
}

/// `A, B and C`, or with another word before the last name.
fn joined(names: &[impl AsRef<str>], word: &str) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, before)) => format!("{} {word} {last}", before.join(", ")),
        None => String::new(),
    }
}
