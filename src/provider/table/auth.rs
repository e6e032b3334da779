//! How a table's requests prove which account sends them.

use super::{Expiry, RequestTemplate};
use crate::provider::pointer::{Pointer, Pointers};
use crate::provider::template::TextTemplate;
use reqwest::header::HeaderName;

/// How a request proves which account sends it.
#[derive(Clone, Debug)]
pub(crate) struct Auth {
    /// The way.
    pub(crate) method: AuthMethod,
    /// A file of the service's own tool with the credential.
    pub(crate) file: Option<CredentialFile>,
    /// A free route that tells whether the service accepts the credential. So far only `docfetch providers show` prints
    /// it: no command sends a request to it.
    #[allow(dead_code, reason = "no command asks the service yet")]
    pub(crate) check: Option<TextTemplate>,
}

/// The way in which a request proves which account sends it.
#[derive(Clone, Debug)]
pub(crate) enum AuthMethod {
    /// Not at all.
    None,
    /// A bearer token (RFC 6750).
    Bearer,
    /// A key in a header of its own.
    Header {
        /// The header.
        name: HeaderName,
        /// What stands before the key.
        prefix: String,
    },
    /// A key in a query parameter.
    Query {
        /// The parameter.
        name: String,
    },
    /// User name and password (RFC 7617).
    Basic,
    /// An OAuth 2.0 token (RFC 6749).
    OAuth(Box<OAuth>),
    /// A token that the service gives for a key.
    Exchange(Box<Exchange>),
}

impl AuthMethod {
    /// The parts of the credential, in the order of messages.
    pub(crate) fn fields(&self) -> &'static [CredentialField] {
        use CredentialField as Field;
        match self {
            Self::None => &[],
            Self::Bearer => &[Field::Token],
            Self::Header { .. } | Self::Query { .. } | Self::Exchange(_) => &[Field::ApiKey],
            Self::Basic => &[Field::Username, Field::Password],
            Self::OAuth(oauth) => match oauth.grant {
                Grant::ClientCredentials => &[Field::ClientId, Field::ClientSecret],
                Grant::RefreshToken => &[Field::ClientId, Field::ClientSecret, Field::RefreshToken],
            },
        }
    }
}

/// How docfetch requests an OAuth 2.0 token.
#[derive(Clone, Debug)]
pub(crate) struct OAuth {
    /// The token route.
    pub(crate) token: TokenRoute,
    /// The grant.
    pub(crate) grant: Grant,
    /// The scope (RFC 6749 section 3.3).
    pub(crate) scope: Option<TextTemplate>,
    /// Further fields of the request's form.
    pub(crate) form: Vec<(String, TextTemplate)>,
    /// Headers of the request.
    pub(crate) headers: Vec<(HeaderName, TextTemplate)>,
    /// Where the request has the client id and the client secret.
    pub(crate) client: ClientPlace,
}

/// Where a token request goes.
#[derive(Clone, Debug)]
pub(crate) enum TokenRoute {
    /// A path below the API's base.
    Path(TextTemplate),
    /// A whole https URL.
    Url(TextTemplate),
}

/// An OAuth 2.0 grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// Client credentials (RFC 6749 section 4.4).
    ClientCredentials,
    /// A refresh token (RFC 6749 section 6).
    RefreshToken,
}

/// Where a token request has the client id and the client secret (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientPlace {
    /// In an `Authorization` header.
    Basic,
    /// In the form.
    Form,
}

/// How docfetch requests a token for a key. The slot `{key}` is the key.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    /// The request.
    pub(crate) request: RequestTemplate,
    /// Where the answer has the token.
    pub(crate) token: Pointers,
    /// When the token expires.
    pub(crate) expires: Option<Expiry>,
}

/// A JSON file with a credential in the home folder, which the service's own tool writes.
#[derive(Clone, Debug)]
pub(crate) struct CredentialFile {
    /// Its path below the home folder.
    pub(crate) home: String,
    /// Where the file has each value.
    pub(crate) values: Vec<(CredentialField, Pointer)>,
}

/// A part of a credential, by the name of its variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialField {
    /// The API key.
    ApiKey,
    /// The bearer token.
    Token,
    /// The user name.
    Username,
    /// The password.
    Password,
    /// The client id.
    ClientId,
    /// The client secret.
    ClientSecret,
    /// The refresh token.
    RefreshToken,
}
