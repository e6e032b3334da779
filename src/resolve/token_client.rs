//! Who requests access tokens, and what such a request brings.

use crate::error::Error;
use crate::provider::{Exchange, OAuth, Provider, TokenRoute};
use crate::secret::{Secret, stored};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use url::Url;

/// No new request uses a token in its last minute.
const LAST_MINUTE: Duration = Duration::from_mins(1);

/// Who requests tokens, and where.
#[derive(Debug)]
pub(super) struct TokenClient {
    pub(super) provider: Provider,
    /// The base URL of the API.
    pub(super) base: Url,
    pub(super) kind: TokenKind,
    /// Where the credentials come from, for hints.
    pub(super) credential_source: String,
}

/// What a token is requested with.
#[derive(Clone, Debug)]
pub(super) enum TokenKind {
    /// An OAuth 2.0 client.
    Client {
        oauth: Box<OAuth>,
        id: Secret,
        secret: Secret,
    },
    /// A key.
    Exchange {
        exchange: Box<Exchange>,
        key: Secret,
    },
}

/// An access token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Token {
    #[serde(with = "stored")]
    pub(super) value: Secret,
    /// By this machine's clock. When that clock is wrong, the API refuses the token.
    good_until: Timestamp,
}

impl Token {
    /// A token that lives this long from the request on.
    pub(super) fn new(value: String, lifetime: Duration, time: RequestTime) -> Self {
        let good_until = time
            .sent
            .checked_add(lifetime.saturating_sub(LAST_MINUTE))
            .unwrap_or(time.sent);
        Self {
            value: Secret::new(value),
            good_until,
        }
    }

    /// Whether a new request may use the token.
    pub(super) fn lives(&self) -> bool {
        Timestamp::now() < self.good_until
    }

    /// Whether the token can be sent in a header (RFC 6750 section 2.1).
    pub(super) fn is_sendable(&self) -> bool {
        let token = self.value.expose();
        !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

/// What a token request brought.
#[derive(Debug)]
pub(super) struct TokenAnswer {
    pub(super) token: Token,
    /// The refresh token that replaces the one of the request, where the service replaces it.
    pub(super) refresh_token: Option<Secret>,
}

/// Why a token request brought no token.
#[derive(Debug)]
pub(super) struct TokenFailure {
    pub(super) error: Error,
    /// Whether the service says that the refresh token is expired, revoked or used.
    pub(super) is_invalid_grant: bool,
}

impl From<Error> for TokenFailure {
    fn from(error: Error) -> Self {
        let is_invalid_grant = false;
        Self {
            error,
            is_invalid_grant,
        }
    }
}

impl From<TokenFailure> for Error {
    fn from(failure: TokenFailure) -> Self {
        failure.error
    }
}

/// When a token was requested.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestTime {
    /// By this machine's clock, before the request.
    pub(super) sent: Timestamp,
    /// By the server's clock, after the answer.
    pub(super) server_now: Timestamp,
}

impl TokenClient {
    /// Whether the token route is a path of the API.
    pub(super) fn is_at_base(&self) -> bool {
        match &self.kind {
            TokenKind::Client { oauth, .. } => matches!(oauth.token, TokenRoute::Path(_)),
            TokenKind::Exchange { .. } => true,
        }
    }
}
