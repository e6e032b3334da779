//! Two listeners: an API and a storage, two origins as in life.

use super::faults::Fault;
use super::signature::Signer;
use super::state::{Report, State, random};
use super::store::Document;
use super::{routes, storage};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// A running sandbox; it serves as long as its runtime runs.
#[derive(Debug)]
pub struct Sandbox {
    state: Arc<State>,
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
            sent: Arc::default(),
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
        Report {
            storage_bytes: self.state.sent.load(Ordering::Relaxed),
            ..self.state.now().report.clone()
        }
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
