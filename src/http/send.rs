//! Sends one request: the time limit of its head, the server's clock, and no error that shows a URL.

use super::client::{ClientKind, Clients};
use super::clock::ServerClock;
use super::connect::{ProxyServer, Scheme};
use super::failure::{self, Failure};
use super::peer::Peer;
use super::proxy_failure::{self, ProxyRejection};
use super::reply::{BodyDeadline, Reply};
use super::time_limits::{TimeLimits, TimeSettings};
use super::tunnel_refusal;
use crate::active_time;
use crate::config::settings::Connection;
use crate::error::{Code, Error, Result};
use jiff::Timestamp;
use reqwest::{Client, RequestBuilder, StatusCode};
use std::pin::pin;
use std::sync::OnceLock;
use url::Url;

/// What requests to the API and to the storages share.
#[derive(Debug)]
pub(super) struct Sender {
    /// Makes the clients.
    pub clients: Clients,
    /// The time by the servers' clock.
    pub clock: ServerClock,
    /// From which the time limits of each request follow.
    pub times: TimeSettings,
}

impl Sender {
    /// A sender for an API at `base`.
    ///
    /// # Errors
    /// [`Code::Config`] when a certificate file or a proxy cannot be used.
    pub(super) fn new(settings: &Connection, base: &Url) -> Result<Self> {
        Ok(Self {
            clients: Clients::new(settings, base)?,
            clock: ServerClock::default(),
            times: TimeSettings {
                connect_timeout: settings.connect_timeout,
                stall_timeout: settings.stall_timeout,
                retry_max_time: settings.retry_max_time,
            },
        })
    }

    /// Sends a request to `url` and waits for the head of the answer. `shown` stands for the request in log
    /// lines.
    ///
    /// # Errors
    /// [`Failure`] when no answer arrives. Its error shows no URL.
    pub(super) async fn send(
        &self,
        request: RequestBuilder,
        limits: TimeLimits,
        url: &Url,
        shown: &str,
    ) -> Result<Reply, Failure> {
        let peer = self.clients.peer(url);
        let proxy = peer.proxy.clone();
        let trial = proxy.as_deref().map(ProxyServer::trial);
        let turn = match (trial, &proxy) {
            (Some(trial), Some(proxy)) if proxy.has_credentials() => {
                trial.turn(self.times.connect_timeout).await?
            }
            (Some(trial), _) => {
                trial.check()?;
                None
            }
            (None, _) => None,
        };
        let started = active_time::now();
        let answer = active_time::timeout(limits.head, pin!(request.send())).await;
        let result = match answer {
            Ok(Ok(response))
                if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED
                    && let Some(proxy) = peer.forwarding_proxy() =>
            {
                let rejection = ProxyRejection::of_challenges(response.headers());
                Err(Failure::unsent(proxy_failure::rejected(proxy, rejection)))
            }
            Ok(Ok(response)) => {
                let deadline = limits.whole.map(|limit| BodyDeadline {
                    at: started + limit,
                    limit,
                });
                Ok(Reply::new(response, peer, limits.stall, deadline))
            }
            Ok(Err(error)) => Err(self.failure(&error, &peer).await),
            Err(_) => Err(Failure {
                error: Error::new(Code::Stalled, format!("{peer} went silent"))
                    .with_cause(format!("no answer for {} s", limits.head.as_secs_f64())),
                sent: true,
            }),
        };
        match (trial, &result) {
            (Some(trial), Ok(_)) => trial.accept(),
            (Some(trial), Err(failure)) if failure.error.code() == Code::CredentialsRejected => {
                trial.reject(&failure.error);
            }
            _ => {}
        }
        drop(turn);
        let elapsed = active_time::since(started).as_secs_f64() * 1000.0;
        match &result {
            Ok(reply) => {
                self.clock.learn(reply.headers(), Timestamp::now());
                log::info!("{shown}: {} in {elapsed:.0} ms", reply.status());
            }
            Err(failure) => log::info!("{shown}: {}", failure.error.message()),
        }
        result
    }

    /// Why a request to `peer` got no answer.
    async fn failure(&self, error: &reqwest::Error, peer: &Peer) -> Failure {
        let explained = match failure::tunnel_refusal(error, peer) {
            Some(refusal) => {
                let limit = self.times.connect_timeout;
                tunnel_refusal::explain(refusal, &self.clients, peer, limit).await
            }
            None => None,
        };
        explained.map_or_else(|| failure::from_reqwest(error, peer), Failure::unsent)
    }

    /// The client in `cell`, which is made at the first use.
    ///
    /// # Errors
    /// [`Code::Unexpected`] when the client cannot be made.
    pub(super) fn client_in(
        &self,
        cell: &OnceLock<Client>,
        kind: ClientKind,
        scheme: Scheme,
    ) -> Result<Client> {
        if let Some(client) = cell.get() {
            return Ok(client.clone());
        }
        let client = self.clients.client(kind, scheme)?;
        Ok(cell.get_or_init(|| client).clone())
    }
}
