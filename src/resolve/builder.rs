//! How a [`Resolver`] is made from plain values.

use super::account::identity;
use super::api::Api;
use super::last_storage::LastStorage;
use super::ledger::Ledger;
use super::paid_requests::PaidRequests;
use super::paid_silence::SilenceWarning;
use super::resolver::Resolver;
use super::retrieval::PaidRetrievals;
use super::side_list::SideLists;
use crate::config::settings::Connection;
use crate::error::Result;
use crate::http::Http;
use crate::http::backoff::RetryPolicy;
use crate::provider::{Credentials, Provider, SourcedCredentials};
use crate::state::records::StateFolder;
use std::path::PathBuf;

/// What a [`Resolver`] is made of. Nothing of it is read from the environment.
#[derive(Debug)]
pub struct ResolverBuilder {
    provider: Provider,
    credentials: Credentials,
    /// Where the caller read the credentials, for hints.
    credential_source: Option<String>,
    base: Option<String>,
    state_folder: Option<PathBuf>,
    /// Why there is no state folder, where the caller knows the cause.
    no_state_folder: Option<&'static str>,
    connection: Connection,
}

impl ResolverBuilder {
    /// Sets the URL of the API, such as that of a [`Sandbox`](crate::sandbox::Sandbox). Default: the
    /// provider's own.
    #[must_use]
    pub fn base(mut self, url: impl Into<String>) -> Self {
        self.base = Some(url.into());
        self
    }

    /// Sets the folder, an absolute path, that all processes of a user share: it holds the ledger of paid
    /// retrievals, tokens and rate budgets, and is made when it is missing. Default: none; then a later
    /// process knows nothing of a paid retrieval, and pays for the document again.
    #[must_use]
    pub fn state_folder(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_folder = Some(path.into());
        self
    }

    /// Sets the cause that errors give when there is no state folder.
    #[must_use]
    pub(crate) fn no_state_folder(mut self, why: &'static str) -> Self {
        self.no_state_folder = Some(why);
        self
    }

    /// Sets where the caller read the credentials, as hints name the variables or the file. Default: every
    /// variable and file that the provider's credentials may come from.
    #[must_use]
    pub(crate) fn credential_source(mut self, source: String) -> Self {
        self.credential_source = Some(source);
        self
    }

    /// Sets how the resolver connects, and how long it tries. Default: [`Connection::default`].
    #[must_use]
    pub fn connection(mut self, connection: Connection) -> Self {
        self.connection = connection;
        self
    }

    /// Makes the resolver. No request is sent.
    ///
    /// # Errors
    /// [`Code::Config`](crate::Code::Config) for a base, a proxy, a certificate or a [rate](crate::Rate) that
    /// cannot be used, for credentials that are not of the provider's kind, and for a
    /// parameter without a value that the provider needs;
    /// [`Code::InsecureUrl`](crate::Code::InsecureUrl) for a base with plain http or with a password.
    pub fn build(self) -> Result<Resolver> {
        let Self {
            provider,
            credentials,
            credential_source,
            base,
            state_folder,
            no_state_folder,
            connection,
        } = self;
        provider.check_parameters()?;
        provider.auth_of(&credentials)?;
        let found = SourcedCredentials {
            source: credential_source.unwrap_or_else(|| provider.credential_sources()),
            credentials,
        };
        let base = provider.api_base(base.as_deref(), "the API base")?;
        let mut state = StateFolder::new(state_folder);
        if let Some(why) = no_state_folder {
            state = state.with_absence(why);
        }
        let account = found.credentials.account();
        let http = Http::new(&connection, &base, &provider.table.rates, &state, &account)?;
        let shown_base = base.as_str().trim_end_matches('/');
        let identity = identity(&provider, &base, &account);
        let ledger = Ledger::new(
            &provider,
            shown_base,
            &identity,
            &state,
            connection.allow_recharge,
            connection.retry_max_time,
        );
        let last_storage = LastStorage::new(&identity, &state);
        Ok(Resolver {
            api: Api::new(provider, base, http, &found, &state)?,
            paid: PaidRetrievals {
                ledger,
                requests: PaidRequests::new(connection.max_charges),
                silence: SilenceWarning::default(),
                wait: connection.wait,
            },
            last_storage,
            side_lists: SideLists::default(),
            retry: RetryPolicy {
                retries: connection.retries,
                max_time: connection.retry_max_time,
            },
        })
    }
}

impl Resolver {
    /// A resolver for one account of `provider`.
    pub fn builder(provider: Provider, credentials: Credentials) -> ResolverBuilder {
        ResolverBuilder {
            provider,
            credentials,
            credential_source: None,
            base: None,
            state_folder: None,
            no_state_folder: None,
            connection: Connection::default(),
        }
    }
}
