//! What both listeners know, and what changes while they run.

use super::arrivals::Lately;
use super::faults::Fault;
use super::shelf::Shelf;
use super::signature::Signer;
use super::store::Document;
use crate::fingerprint::hexadecimal;
use crate::mutex::locked;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long a URL lives unless a fault says otherwise: an hour, as the services say.
const LIFETIME: Duration = Duration::from_hours(1);

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Retrievals that would have been charged, by document; those of One Codex' other kinds by
    /// `samples/ID` and `assets/ID`.
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
    /// Requests to the API and to the storage.
    pub requests: u32,
    /// The most requests that were being answered at the same time, by the API and the storage
    /// together: each from its head's arrival until its body was handed out or dropped.
    pub most_at_once: u32,
    /// The most requests that the storage was answering at the same time.
    pub storage_most_at_once: u32,
    /// Connections that the storage accepted.
    pub storage_connections: u32,
    /// The most requests to Standard Metrics that arrived within ten seconds, refused ones and all.
    pub fullest_window: u32,
}

/// What both listeners know.
#[derive(Debug)]
pub(super) struct State {
    pub shelf: Shelf,
    pub faults: Vec<Fault>,
    pub client_id: String,
    pub client_secret: String,
    pub api_key: String,
    pub signer: Signer,
    pub api: SocketAddr,
    pub storage: SocketAddr,
    /// Bytes of documents that were handed out.
    pub sent: Arc<AtomicU64>,
    pub changing: Mutex<Changing>,
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
    /// Requests that are being answered now.
    pub at_once: u32,
    /// Of them, those to the storage.
    pub storage_at_once: u32,
    pub lately: Lately,
}

impl State {
    /// With credentials of its own, for the API and the storage at these addresses.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn new(
        documents: Vec<Document>,
        faults: Vec<Fault>,
        (api, storage): (SocketAddr, SocketAddr),
    ) -> io::Result<Self> {
        Ok(Self {
            shelf: Shelf::new(documents),
            faults,
            client_id: random(10)?,
            client_secret: random(20)?,
            api_key: random(16)?,
            signer: Signer::new(random(10)?, random(20)?),
            api,
            storage,
            sent: Arc::default(),
            changing: Mutex::default(),
        })
    }

    /// Serves `documents` nowhere.
    #[cfg(test)]
    pub(super) fn of(documents: Vec<Document>) -> Self {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::new(documents, Vec::new(), (nowhere, nowhere)).unwrap()
    }

    pub(super) fn now(&self) -> MutexGuard<'_, Changing> {
        locked(&self.changing)
    }

    pub(super) fn document(&self, id: &str) -> Option<&Document> {
        self.shelf.get(id)
    }

    /// The first fault that `pick` knows.
    pub(super) fn fault<T>(&self, pick: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        self.faults.iter().find_map(pick)
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    pub(super) fn lifetime(&self) -> Duration {
        self.fault(|fault| match fault {
            Fault::ExpireAfter(lifetime) => Some(*lifetime),
            _ => None,
        })
        .unwrap_or(LIFETIME)
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
