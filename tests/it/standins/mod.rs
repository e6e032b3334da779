//! Stand-ins of services that have a shipped table, each written from the service's published description and
//! not from the table. Each is a real HTTP server for the API and another, of another origin, for the storage.
//!
//! A service implements [`Service`]. This module has what all of them share: the storage behind presigned URLs,
//! the switches that a test turns on, and the record of every request.

mod answer;
mod ask;
pub mod box_;
mod checks;
pub mod dnanexus;
pub mod dropbox;
pub mod drs;
mod fields;
pub mod github;
mod log;
mod query;
pub mod sevenbridges;
pub mod standard_metrics;
mod storage;
mod tokens;

pub use answer::Answer;
pub use ask::{Ask, Reply};
pub use log::{Log, Side};
pub use storage::Grant;

use crate::support::World;
use crate::support::raw::Request;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use storage::Storage;
use tokio::net::TcpListener;

/// A document that a service has. What else the service knows of it is the service's own.
#[derive(Clone, Debug)]
pub struct Document {
    pub id: String,
    pub name: String,
    pub content: Vec<u8>,
    pub modified: jiff::Timestamp,
}

impl Document {
    pub fn new(id: &str, name: &str, content: impl Into<Vec<u8>>) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            content: content.into(),
            modified: "2026-03-01T12:00:00Z".parse().unwrap(),
        }
    }
}

/// What a stand-in refuses although the request is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 429 with `Retry-After: 1` and the service's own body.
    Limited,
    /// 401 with the service's own body, as for a token that ended.
    Unauthorized,
    /// 202 with `Retry-After: 1`, of services that document that.
    NotReady,
}

/// Refuses the first `times` requests whose path contains `path`.
#[derive(Clone, Copy, Debug)]
pub struct Refuse {
    pub refusal: Refusal,
    pub path: &'static str,
    pub times: usize,
}

/// What a test turns on.
#[derive(Clone, Debug)]
pub struct Switches {
    /// Presigned URLs end after this time, instead of the service's own.
    pub expire_after: Option<Duration>,
    /// The first transfer that sends more than so many bytes of a document is reset after them.
    pub reset_once_after: Option<usize>,
    /// Every URL that the storage knows ends with that reset.
    pub expires_at_reset: bool,
    /// In the order in which they are tried; each counts for itself.
    pub refuse: Vec<Refuse>,
    /// The most rows on a page of a list, whatever the client wants.
    pub page_rows: usize,
    /// What the storage has instead of the content that the API tells of.
    pub stored: fn(&[u8]) -> Vec<u8>,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            expire_after: None,
            reset_once_after: None,
            expires_at_reset: false,
            refuse: Vec::new(),
            page_rows: 2,
            stored: <[u8]>::to_vec,
        }
    }
}

impl Switches {
    /// Nothing but this refusal.
    pub fn refusing(refusal: Refusal, path: &'static str, times: usize) -> Self {
        let refuse = vec![Refuse {
            refusal,
            path,
            times,
        }];
        Self {
            refuse,
            ..Self::default()
        }
    }

    /// The rows from `start` that fit on a page of at most `wanted` rows, and the start of the next page.
    pub fn page<'a, T>(
        &self,
        rows: &'a [T],
        start: usize,
        wanted: usize,
    ) -> (&'a [T], Option<usize>) {
        let start = start.min(rows.len());
        let end = rows.len().min(start + wanted.min(self.page_rows));
        (&rows[start..end], (end < rows.len()).then_some(end))
    }
}

/// What one service does that the others do not.
pub trait Service: Send + Sync + 'static {
    /// The variables with which a table finds this service at `base`, credentials included.
    fn variables(&self, base: &str) -> Vec<(&'static str, String)>;
    /// The credentials of the API, which the storage must never see and no output may show.
    fn secrets(&self) -> Vec<String>;
    /// Further values that no output may show, such as credentials for the storage.
    fn output_secrets(&self) -> Vec<String> {
        Vec::new()
    }
    /// The service's own answer to this request.
    fn answer(&self, request: &Request, site: &Site) -> Answer;
    /// The service's own answer to a switched refusal, without `Retry-After`.
    fn refuse(&self, refusal: Refusal) -> Answer;
}

/// What a service answers from.
pub struct Site {
    /// The origin of the API, such as `http://127.0.0.1:41234`.
    pub base: String,
    pub documents: Vec<Document>,
    pub switches: Switches,
    storage: Storage,
    /// How often each of `switches.refuse` has refused.
    refused: Vec<AtomicUsize>,
}

impl Site {
    pub fn document(&self, id: &str) -> Option<&Document> {
        self.documents.iter().find(|document| document.id == id)
    }

    /// A new presigned URL of a document.
    pub fn presign(&self, id: &str, mut grant: Grant) -> storage::Presigned {
        grant.valid = self.switches.expire_after.unwrap_or(grant.valid);
        self.storage.presign(id, grant)
    }

    /// The bytes of a document from the API itself, as the storage sends them: with ranges and an entity tag.
    pub fn send(&self, document: &Document, request: &Request) -> Answer {
        self.storage.send(document, request)
    }

    /// The switched refusal of this request, if there is one left.
    fn refusal(&self, request: &Request) -> Option<Refusal> {
        let mut switches = self.switches.refuse.iter().zip(&self.refused);
        let (switch, _) = switches.find(|(switch, refused)| {
            let one_more = |times| (times < switch.times).then_some(times + 1);
            request.path().contains(switch.path)
                && refused
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
                    .is_ok()
        })?;
        Some(switch.refusal)
    }
}

/// A service that runs as long as it is held.
pub struct StandIn {
    /// The origin of the API, such as `http://127.0.0.1:41234`.
    pub base: String,
    /// The origin of the storage.
    pub storage: String,
    pub log: Log,
    service: Arc<dyn Service>,
    _runtime: tokio::runtime::Runtime,
}

impl StandIn {
    pub fn start(service: impl Service, documents: Vec<Document>, switches: Switches) -> Self {
        let service: Arc<dyn Service> = Arc::new(service);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (api, api_address) = listen(&runtime);
        let (storage, storage_address) = listen(&runtime);
        let log = Log::default();
        let site = Arc::new(Site {
            base: format!("http://{api_address}"),
            storage: Storage::new(storage_address, &documents, &switches, service.secrets()),
            refused: switches
                .refuse
                .iter()
                .map(|_| AtomicUsize::new(0))
                .collect(),
            documents,
            switches,
        });
        for (listener, side) in [(api, Side::Api), (storage, Side::Storage)] {
            let (site, service, log) = (Arc::clone(&site), Arc::clone(&service), log.clone());
            let resets = site.switches.reset_once_after.is_some();
            runtime.spawn(serve(listener, resets, move |request| {
                let answer = match side {
                    Side::Api => api_answer(&*service, &site, request),
                    Side::Storage => site.storage.answer(request),
                };
                log.push(side, request, &answer);
                answer
            }));
        }
        Self {
            base: site.base.clone(),
            storage: format!("http://{storage_address}"),
            log,
            service,
            _runtime: runtime,
        }
    }

    /// A world that points at it.
    pub fn world(&self) -> World {
        let mut world = World::bare();
        for (name, value) in self.service.variables(&self.base) {
            world.set(name, &value);
        }
        let secrets = self.service.secrets().into_iter();
        for secret in secrets.chain(self.service.output_secrets()) {
            world.hide(&secret);
        }
        world
    }
}

fn api_answer(service: &dyn Service, site: &Site, request: &Request) -> Answer {
    match site.refusal(request) {
        Some(refusal @ Refusal::Unauthorized) => service.refuse(refusal),
        Some(refusal) => service.refuse(refusal).header("Retry-After", "1"),
        None => service.answer(request, site),
    }
}

fn listen(runtime: &tokio::runtime::Runtime) -> (TcpListener, SocketAddr) {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Answers every request on every connection, which the client may use again. Where a transfer is to be reset,
/// the close of a socket resets the connection.
async fn serve(
    listener: TcpListener,
    resets: bool,
    answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
) {
    let answer = Arc::new(answer);
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        if resets {
            stream.set_zero_linger().unwrap();
        }
        let answer = Arc::clone(&answer);
        tokio::spawn(async move {
            let service = service_fn(|request: hyper::Request<Incoming>| {
                let answer = Arc::clone(&answer);
                async move {
                    let request = whole(request).await?;
                    hyper::Result::Ok(answer(&request).into_response())
                }
            });
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// A request with its body.
async fn whole(request: hyper::Request<Incoming>) -> hyper::Result<Request> {
    let (head, body) = request.into_parts();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter();
    Ok(Request {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        headers: headers
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
        body: body.collect().await?.to_bytes().to_vec(),
        before: 0,
    })
}
