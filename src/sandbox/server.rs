//! Two listeners: an API and a storage, two origins as in life.

use super::arrivals::{Answering, Origin};
use super::faults::Fault;
use super::state::{Report, State};
use super::store::Document;
use super::{routes, storage};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
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
        let addresses = (api.local_addr()?, storage.local_addr()?);
        let state = Arc::new(State::new(documents, faults, addresses)?);
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
        self.state.shelf.all()
    }

    /// What happened so far.
    pub fn report(&self) -> Report {
        Report {
            storage_bytes: self.state.sent.load(Ordering::Relaxed),
            ..self.state.now().report.clone()
        }
    }
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
        if origin == Origin::Storage {
            state.now().report.storage_connections += 1;
        }
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
            let service = service_fn(|request: Request<Incoming>| {
                let state = Arc::clone(&state);
                let answering = Answering::begin(&state, origin, request.uri().path());
                async move {
                    if let Some(latency) = latency {
                        tokio::time::sleep(latency).await;
                    }
                    let answer = match origin {
                        Origin::Api => routes::answer(&state, request).await?,
                        Origin::Storage => storage::answer(&state, &request),
                    };
                    io::Result::Ok(answer.map(|body| body.answering(answering)))
                }
            });
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
