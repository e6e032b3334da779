//! The API of a provider and the storages that it names, behind one type.

use super::api::{ApiChannel, ApiRequest};
use super::budget::Budget;
use super::clock::ServerClock;
use super::failure::Failure;
use super::reply::Reply;
use super::send::Sender;
use super::storage::{RangeRequest, StorageChannel, StorageRequest};
use crate::config::settings::{Connection, RateLimit};
use crate::error::{Code, Error, Result};
use crate::fingerprint::fingerprint;
use crate::model::{MOST_REQUESTS, Rate};
use crate::secret::Secret;
use crate::state::records::{BUDGETS, StateFolder};
use reqwest::header::HeaderMap;
use std::sync::OnceLock;
use std::time::Duration;
use url::{Origin, Url};

/// Sends requests to one API and to the storages that its answers name.
#[derive(Debug)]
pub(crate) struct Http {
    sender: Sender,
    api: ApiChannel,
    /// The origin of the API.
    origin: Origin,
    /// The host of the token route, where that is not the API's.
    token_host: OnceLock<ApiChannel>,
    storage: StorageChannel,
}

impl Http {
    /// For an API at `base`. The rate budget, `rates` unless the settings have another one, is shared
    /// through `state` by all processes that use the same base and account.
    ///
    /// # Errors
    /// [`Code::Config`](crate::error::Code::Config) for settings that cannot be used, and the errors of
    /// [`Http::check_url`] for `base`.
    pub(crate) fn new(
        settings: &Connection,
        base: &Url,
        rates: &[Rate],
        state: &StateFolder,
        account: &Secret,
    ) -> Result<Self> {
        let sender = Sender::new(settings, base)?;
        sender.clients.check_url(base)?;
        let rates = match &settings.rate_limit {
            None => rates.to_vec(),
            Some(RateLimit::None) => Vec::new(),
            Some(RateLimit::Rates(rates)) => rates.clone(),
        };
        if !rates.iter().all(Rate::is_valid) {
            let cause =
                format!("a rate has 1 to {MOST_REQUESTS} requests in a window of 1 ms to 24 h");
            return Err(Error::new(Code::Config, "the rate limit cannot be used").with_cause(cause));
        }
        let name = fingerprint(&[base.as_str().as_bytes(), account.expose().as_bytes()]);
        let budget = Budget::new(rates, state.records(BUDGETS), name);
        Ok(Self {
            sender,
            api: ApiChannel::new(base, budget),
            origin: base.origin(),
            token_host: OnceLock::new(),
            storage: StorageChannel::default(),
        })
    }

    /// The time by the servers' clock.
    pub(crate) fn clock(&self) -> &ServerClock {
        &self.sender.clock
    }

    /// Whether a rate budget can make a request to the API wait.
    pub(crate) fn is_limited(&self) -> bool {
        self.api.is_limited()
    }

    /// How long docfetch waits for the answer to a paid request.
    pub(crate) fn paid_answer_timeout(&self) -> Duration {
        self.sender.times.of_paid_request().head
    }

    /// Checks a URL that an answer named, before anything is sent to its host.
    ///
    /// # Errors
    /// [`Code::InsecureUrl`](crate::error::Code::InsecureUrl),
    /// [`Code::PrivateAddress`](crate::error::Code::PrivateAddress).
    pub(crate) fn check_url(&self, url: &Url) -> Result<()> {
        self.sender.clients.check_url(url)
    }

    /// Waits for a slot of the rate budget, and sends a request to the API. An answer of any status is a
    /// success.
    ///
    /// # Errors
    /// [`Failure`], which says whether the request may have arrived.
    pub(crate) async fn api(&self, request: ApiRequest<'_>) -> Result<Reply, Failure> {
        self.api.send(&self.sender, request).await
    }

    /// Sends a request for an access token: as [`Http::api`] to the API's own host. Another host has no rate budget.
    ///
    /// # Errors
    /// As [`Http::api`], and those of [`Http::check_url`].
    pub(crate) async fn token(&self, request: ApiRequest<'_>) -> Result<Reply, Failure> {
        if request.url.origin() == self.origin {
            return self.api(request).await;
        }
        self.check_url(&request.url)?;
        let new_channel = || {
            let records = StateFolder::new(None).records(BUDGETS);
            ApiChannel::new(
                &request.url,
                Budget::new(Vec::new(), records, String::new()),
            )
        };
        let channel = self.token_host.get_or_init(new_channel);
        channel.send(&self.sender, request).await
    }

    /// Requests a document, or a range of it, from a storage, with the `headers` that this storage wants. The
    /// head of the answer may take `limit`, or else as long as a stall may last.
    ///
    /// # Errors
    /// Those of [`Http::check_url`]; [`Code::Network`](crate::error::Code::Network),
    /// [`Code::Stalled`](crate::error::Code::Stalled) and
    /// [`Code::Certificate`](crate::error::Code::Certificate) of the connection;
    /// [`Code::Protocol`](crate::error::Code::Protocol) for an answer whose length is ambiguous.
    pub(crate) async fn storage(
        &self,
        url: &Url,
        headers: &HeaderMap,
        range: Option<RangeRequest<'_>>,
        limit: Option<Duration>,
    ) -> Result<Reply> {
        let request = StorageRequest {
            url,
            headers,
            range,
        };
        self.storage.get(&self.sender, request, limit).await
    }

    /// Connects to a storage, given by the root URL of its origin, ahead of the first request.
    pub(crate) fn preconnect(&self, origin: &Url) {
        self.storage.preconnect(&self.sender, origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name of this machine's loopback address that does not look like one.
    fn name_of_loopback() -> Option<String> {
        let hosts = std::fs::read_to_string("/etc/hosts").ok()?;
        hosts.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            words
                .next()?
                .parse::<std::net::IpAddr>()
                .ok()
                .filter(std::net::IpAddr::is_loopback)?;
            words
                .find(|name| !name.ends_with("localhost") || name.contains('-'))
                .map(str::to_owned)
        })
    }

    #[test]
    fn a_rate_that_no_budget_can_keep_to_is_a_wrong_setting() {
        let base = Url::parse("https://api.example.com").unwrap();
        let (state, day) = (StateFolder::new(None), Duration::from_hours(24));
        let code = |requests, window| {
            let settings = Connection {
                rate_limit: Some(RateLimit::Rates(vec![Rate { requests, window }])),
                ..Connection::default()
            };
            let made = Http::new(&settings, &base, &[], &state, &Secret::new("x"));
            made.err().map(|error| error.code())
        };
        assert_eq!(
            (code(1, Duration::from_millis(1)), code(10_000, day)),
            (None, None)
        );
        for (requests, window) in [
            (0, day),
            (10_001, day),
            (1, Duration::ZERO),
            (1, day + Duration::from_millis(1)),
        ] {
            let found = code(requests, window);
            assert_eq!(found, Some(Code::Config), "{requests} in {window:?}");
        }
    }

    /// The error of the name resolution comes back unchanged through reqwest.
    #[tokio::test]
    async fn a_name_that_resolves_to_loopback_is_refused_for_a_public_api() {
        let Some(name) = name_of_loopback() else {
            println!("skipped: /etc/hosts names no loopback address but localhost");
            return;
        };
        let settings = Connection::default();
        let base = Url::parse("https://api.example.com").unwrap();
        let state = StateFolder::new(None);
        let http = Http::new(&settings, &base, &[], &state, &Secret::new("x")).unwrap();
        let url = Url::parse(&format!("https://{name}:1/x?sig=secret")).unwrap();
        let error = http
            .storage(&url, &HeaderMap::new(), None, None)
            .await
            .err()
            .unwrap();
        assert_eq!(error.code(), Code::PrivateAddress, "{error}");
        assert!(error.message().contains(&name) && !error.message().contains("secret"));
    }
}
