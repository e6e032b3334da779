//! The access token of one account.
//!
//! All processes of a user share one token through the state folder: the first process that needs the
//! token requests it, the others wait for that answer. docfetch requests a new token 60 s before the
//! present one expires, and when the API refuses the present one.

use super::refresh_token::RefreshToken;
use super::token_client::{Token, TokenClient};
use crate::error::{Code, Result};
use crate::fingerprint::fingerprint;
use crate::http::Http;
use crate::secret::Secret;
use crate::state::records::{Durability, Records, StateFolder, TOKENS};
use std::time::Duration;
use tokio::sync::Mutex;

/// The longest wait for another process that requests the same token.
const MAX_BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// The access token of one client, shared by all its processes.
#[derive(Debug)]
pub(super) struct TokenCache {
    client: TokenClient,
    records: Records,
    name: String,
    /// The refresh token, where the grant wants one. Its records hold the access token, too.
    refresh_token: Option<RefreshToken>,
    memory: Mutex<TokenMemory>,
}

/// What this process knows of the token. Its lock also makes all tasks wait for one token request.
#[derive(Debug, Default)]
struct TokenMemory {
    token: Option<Token>,
    /// The token that the API refused: a record that holds it is out of date.
    refused: Option<Secret>,
}

impl TokenCache {
    /// The token of `client`. `identity` and the client name its record. `refresh_token` is the one that the user got,
    /// where the grant wants one.
    pub(super) fn new(
        client: TokenClient,
        refresh_token: Option<Secret>,
        identity: &[&[u8]],
        state: &StateFolder,
    ) -> Self {
        let own = client.record_parts();
        let mut parts = identity.to_vec();
        parts.extend(own.iter().map(Vec::as_slice));
        let name = fingerprint(&parts);
        let new = |given| RefreshToken::new(state.records(TOKENS), name.clone(), given);
        Self {
            records: state.records(TOKENS),
            refresh_token: refresh_token.map(new),
            name,
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
        if let Some(refresh_token) = &self.refresh_token {
            let refused = memory.refused.as_ref();
            let token = refresh_token.access_token(&self.client, http, refused, max_hold_wait);
            let token = token.await?;
            return Ok(memory.token.insert(token).value.clone());
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
        let token = self.client.request(http, None, max_hold_wait).await?.token;
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
            token.lives() && token.is_sendable() && memory.refused.as_ref() != Some(&token.value)
        })
    }

    /// Who requests the token.
    #[cfg(any(feature = "internals", all(test, feature = "cli")))]
    pub(super) fn client(&self) -> &TokenClient {
        &self.client
    }

    /// Forgets a token that the API refused, unless the cache has another token by now.
    pub(super) async fn refuse(&self, token: &Secret) {
        let mut memory = self.memory.lock().await;
        let refused = memory.token.take_if(|known| known.value == *token);
        memory.refused = refused.map(|token| token.value).or(memory.refused.take());
    }
}
