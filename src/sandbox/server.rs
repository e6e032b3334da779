//! The running sandbox: one listener for the API, one for the storage.

use super::document::Document;
use super::fault::Fault;
use super::open_requests::{OpenRequest, Service};
use super::report::Report;
use super::state::SandboxState;
use super::table::{ServedTable, TableService, UnservableTable};
use super::{api, storage};
use crate::provider::Table;
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

/// Running services. They answer until their Tokio runtime ends; to drop this value does not stop them.
#[derive(Debug)]
pub struct Sandbox {
    state: Arc<SandboxState>,
}

impl Sandbox {
    /// Starts services for `documents` on 127.0.0.1, on free ports, with new credentials. Each of the `faults`
    /// is active from the start. Call this within a Tokio runtime.
    ///
    /// # Errors
    /// The system's error, when the system gives no port or no random bytes.
    pub async fn start(documents: Vec<Document>, faults: Vec<Fault>) -> io::Result<Self> {
        let api = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let storage = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addresses = (api.local_addr()?, storage.local_addr()?);
        let state = Arc::new(SandboxState::new(documents, faults, addresses)?);
        tokio::spawn(serve(api, Arc::clone(&state), Answerer::Api));
        tokio::spawn(serve(storage, Arc::clone(&state), Answerer::Storage));
        Ok(Self { state })
    }

    /// Starts a stand-in for the service of a table, on a port of its own. `tables` has a table for each kind of things.
    ///
    /// # Errors
    /// [`UnservableTable`] for a table that a stand-in cannot follow, and when the system gives no port.
    pub(crate) async fn serve_table(
        &self,
        tables: Vec<Arc<Table>>,
    ) -> Result<ServedTable, UnservableTable> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let documents = self.state.documents.all();
        let service = TableService::new(tables, documents, listener.local_addr()?)?;
        let served = service.served();
        let answerer = Answerer::Table(Arc::new(service));
        tokio::spawn(serve(listener, Arc::clone(&self.state), answerer));
        Ok(served)
    }

    /// The base URL of both APIs, such as `http://127.0.0.1:41234`.
    pub fn base(&self) -> String {
        format!("http://{}", self.state.api)
    }

    /// The id and the secret of the OAuth client that Standard Metrics accepts.
    pub fn client(&self) -> (&str, &str) {
        (&self.state.client_id, &self.state.client_secret)
    }

    /// The API key that One Codex accepts.
    pub fn api_key(&self) -> &str {
        &self.state.api_key
    }

    /// The documents that the services have.
    pub fn documents(&self) -> &[Document] {
        self.state.documents.all()
    }

    /// What has happened since the start.
    pub fn report(&self) -> Report {
        Report {
            storage_bytes: self.state.sent.load(Ordering::Relaxed),
            ..self.state.changing().report.clone()
        }
    }
}

/// What answers the requests of a port.
#[derive(Clone, Debug)]
enum Answerer {
    Api,
    Storage,
    Table(Arc<TableService>),
}

impl Answerer {
    fn service(&self) -> Service {
        match self {
            Self::Api => Service::Api,
            Self::Storage => Service::Storage,
            Self::Table(_) => Service::Table,
        }
    }
}

/// Accepts the connections of one service, and answers their requests.
async fn serve(listener: TcpListener, state: Arc<SandboxState>, answerer: Answerer) {
    let service = answerer.service();
    let resets = state
        .faults
        .iter()
        .any(|fault| matches!(fault, Fault::ResetEvery(_)));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        if service == Service::Storage {
            state.changing().report.storage_connections += 1;
        }
        if resets {
            let _ = stream.set_zero_linger(); // the close of the socket then resets the connection
        }
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        let answerer = answerer.clone();
        let latency = state.fault(|fault| match fault {
            Fault::Latency(latency) => Some(*latency),
            _ => None,
        });
        tokio::spawn(async move {
            let handler = service_fn(|request: Request<Incoming>| {
                let state = Arc::clone(&state);
                let answerer = answerer.clone();
                let open = OpenRequest::begin(&state, service, request.uri().path());
                async move {
                    if let Some(latency) = latency {
                        tokio::time::sleep(latency).await;
                    }
                    let answer = match answerer {
                        Answerer::Api => api::answer(&state, request).await?,
                        Answerer::Storage => storage::answer(&state, &request),
                        Answerer::Table(service) => service.answer(&state, request).await?,
                    };
                    io::Result::Ok(answer.map(|body| body.keep_open(open)))
                }
            });
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), handler)
                .await;
        });
    }
}
