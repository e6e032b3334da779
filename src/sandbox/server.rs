//! Two listeners, what they share, and what is reported at the end.

use super::faults::Fault;
use super::signature::Signer;
use super::storage::Pace;
use super::store::Document;
use super::{routes, storage};
use crate::model::hexadecimal;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// How long a URL lives unless a fault says otherwise: an hour, as the services say.
const LIFETIME: Duration = Duration::from_hours(1);

/// A running sandbox; it serves as long as its runtime runs.
#[derive(Debug)]
pub struct Sandbox {
    state: Arc<State>,
}

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Retrievals that would have been charged, by document.
    pub charges: BTreeMap<String, u32>,
    /// OAuth tokens given out.
    pub tokens: u32,
    /// Download routes answered with a redirect.
    pub downloads: u32,
    /// Requests to the API past its rate limit.
    pub rate_limited: u32,
    /// Requests to the storage.
    pub storage_requests: u32,
    /// Bytes of bodies that the storage handed out.
    pub storage_bytes: u64,
    /// Requests to the storage that brought a credential, a cookie or a `Referer`.
    pub leaks: u32,
}

/// What both listeners know.
#[derive(Debug)]
pub(super) struct State {
    pub documents: Vec<Document>,
    pub faults: Vec<Fault>,
    pub client_id: String,
    pub client_secret: String,
    pub api_key: String,
    pub signer: Signer,
    pub api: SocketAddr,
    pub storage: SocketAddr,
    changing: Mutex<Changing>,
}

/// What changes while it runs.
#[derive(Debug, Default)]
pub(super) struct Changing {
    pub report: Report,
    pub tokens: HashMap<String, Instant>,
    pub requests: VecDeque<Instant>,
    pub signed: HashMap<String, Instant>,
    pub statuses: u32,
    pub versions: u32,
}

impl State {
    pub fn now(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn document(&self, id: &str) -> Option<&Document> {
        self.documents.iter().find(|document| document.id == id)
    }

    /// The first fault that `pick` knows.
    pub fn fault<T>(&self, pick: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        self.faults.iter().find_map(pick)
    }

    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    pub fn lifetime(&self) -> Duration {
        self.fault(|fault| match fault {
            Fault::ExpireAfter(lifetime) => Some(*lifetime),
            _ => None,
        })
        .unwrap_or(LIFETIME)
    }

    pub fn pace(&self) -> Pace {
        Pace::of(&self.faults)
    }
}

impl Sandbox {
    /// Starts to serve `documents` on loopback, on ports that the system picks.
    ///
    /// # Errors
    /// When the system gives no ports or no random bytes.
    pub async fn start(documents: Vec<Document>, faults: Vec<Fault>) -> io::Result<Self> {
        let api = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let storage = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let state = Arc::new(State {
            documents,
            faults,
            client_id: random(10)?,
            client_secret: random(20)?,
            api_key: random(16)?,
            signer: Signer::new(random(10)?, random(20)?),
            api: api.local_addr()?,
            storage: storage.local_addr()?,
            changing: Mutex::default(),
        });
        tokio::spawn(serve(api, Arc::clone(&state), Origin::Api));
        tokio::spawn(serve(storage, Arc::clone(&state), Origin::Storage));
        Ok(Self { state })
    }

    /// The base of both APIs.
    pub fn base(&self) -> String {
        format!("http://{}", self.state.api)
    }

    /// The OAuth client of Standard Metrics: id and secret.
    pub fn client(&self) -> (&str, &str) {
        (&self.state.client_id, &self.state.client_secret)
    }

    /// The key of One Codex.
    pub fn api_key(&self) -> &str {
        &self.state.api_key
    }

    /// The documents that it serves.
    pub fn documents(&self) -> &[Document] {
        &self.state.documents
    }

    /// What happened so far.
    pub fn report(&self) -> Report {
        self.state.now().report.clone()
    }
}

#[derive(Clone, Copy)]
enum Origin {
    Api,
    Storage,
}

async fn serve(listener: TcpListener, state: Arc<State>, origin: Origin) {
    let resets = state
        .faults
        .iter()
        .any(|fault| matches!(fault, Fault::ResetEvery(_)));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        if resets {
            let _ = stream.set_zero_linger(); // closing is a reset then
        }
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        let latency = state.fault(|fault| match fault {
            Fault::Latency(latency) => Some(*latency),
            _ => None,
        });
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let state = Arc::clone(&state);
                async move {
                    if let Some(latency) = latency {
                        tokio::time::sleep(latency).await;
                    }
                    match origin {
                        Origin::Api => routes::answer(&state, request).await,
                        Origin::Storage => Ok(storage::answer(&state, &request)),
                    }
                }
            });
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// So many random bytes in hexadecimal.
pub(super) fn random(bytes: usize) -> io::Result<String> {
    let mut random = vec![0; bytes];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| io::Error::other("no random bytes"))?;
    Ok(hexadecimal(&random))
}
