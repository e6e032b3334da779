//! What both services share, and what changes while they run.

use super::document::Document;
use super::fault::Fault;
use super::index::DocumentIndex;
use super::report::Report;
use super::request_window::RequestWindow;
use super::signature::{Signer, encode};
use crate::fingerprint::hexadecimal;
use crate::mutex::locked;
use jiff::Timestamp;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long a presigned URL is valid, unless a fault says otherwise. Both services document one hour.
const URL_LIFETIME: Duration = Duration::from_hours(1);

/// What both services share.
#[derive(Debug)]
pub(super) struct SandboxState {
    pub documents: DocumentIndex,
    pub faults: Vec<Fault>,
    pub client_id: String,
    pub client_secret: String,
    pub api_key: String,
    pub signer: Signer,
    pub api: SocketAddr,
    pub storage: SocketAddr,
    /// Bytes of documents that the storage sent.
    pub sent: Arc<AtomicU64>,
    changing: Mutex<Changing>,
}

/// What changes while the services run.
#[derive(Debug, Default)]
pub(super) struct Changing {
    pub report: Report,
    /// When each access token was issued.
    pub tokens: HashMap<String, Instant>,
    /// When the requests of the last minute to Standard Metrics arrived, without those that were refused.
    pub accepted_requests: VecDeque<Instant>,
    /// The presigned URLs, by their signatures.
    pub signed_urls: HashMap<String, SignedUrl>,
    /// How often the storage applied [`Fault::Status`].
    pub statuses: u32,
    /// How often the storage applied [`Fault::ChangeEtag`].
    pub changed_tags: u32,
    pub open_requests: u32,
    pub open_storage_requests: u32,
    pub standard_metrics_window: RequestWindow,
}

/// A presigned URL.
#[derive(Debug)]
pub(super) struct SignedUrl {
    /// When the URL was signed.
    pub at: Instant,
    /// The header that a request for the URL must have.
    pub header: Option<(String, String)>,
}

impl SandboxState {
    /// The state of services at these addresses, with new credentials.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn new(
        documents: Vec<Document>,
        faults: Vec<Fault>,
        (api, storage): (SocketAddr, SocketAddr),
    ) -> io::Result<Self> {
        Ok(Self {
            documents: DocumentIndex::new(documents),
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

    /// The state of services that listen nowhere.
    #[cfg(test)]
    pub(super) fn of(documents: Vec<Document>) -> Self {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::new(documents, Vec::new(), (nowhere, nowhere)).unwrap()
    }

    /// Locks what changes.
    pub(super) fn changing(&self) -> MutexGuard<'_, Changing> {
        locked(&self.changing)
    }

    /// The first fault that `pick` accepts, as `pick` returns it.
    pub(super) fn fault<T>(&self, pick: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        self.faults.iter().find_map(pick)
    }

    /// Whether the services have this fault.
    pub(super) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// How long a presigned URL is valid.
    pub(super) fn url_lifetime(&self) -> Duration {
        self.fault(|fault| match fault {
            Fault::ExpireAfter(lifetime) => Some(*lifetime),
            _ => None,
        })
        .unwrap_or(URL_LIFETIME)
    }

    /// A new presigned URL of a document. The storage demands `header` with it.
    pub(super) fn presigned(
        &self,
        document: &Document,
        header: Option<(String, String)>,
    ) -> String {
        let host = self.storage.to_string();
        let path = format!("/documents/{}/{}", document.id, encode(&document.name));
        let disposition = format!("attachment; filename*=UTF-8''{}", encode(&document.name));
        let extra = [("response-content-disposition", disposition.as_str())];
        let now = Timestamp::now();
        let query = self
            .signer
            .presign(&host, &path, &extra, now, self.url_lifetime());
        let signature = query.rsplit('=').next().unwrap_or_default().to_owned();
        let at = Instant::now();
        let signed = SignedUrl { at, header };
        self.changing().signed_urls.insert(signature, signed);
        format!("http://{host}{path}?{query}")
    }
}

/// This many random bytes, in hexadecimal.
///
/// # Errors
/// When the system gives no random bytes.
pub(super) fn random(bytes: usize) -> io::Result<String> {
    let mut random = vec![0; bytes];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| io::Error::other("no random bytes"))?;
    Ok(hexadecimal(&random))
}
