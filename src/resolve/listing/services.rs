//! Services of unit tests: a table, and a server that answers as a function says.

use super::{ListOptions, Pages, list};
use crate::config::settings::Connection;
use crate::error::{Error, Result};
use crate::http::Http;
use crate::http::backoff::RetryPolicy;
use crate::provider::{Credentials, Provider, SourcedCredentials};
use crate::resolve::api::Api;
use crate::resolve::filter::Filter;
use crate::resolve::row::Row;
use crate::resolve::side_list::SideLists;
use crate::secret::Secret;
use crate::state::records::StateFolder;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) const RETRY: RetryPolicy = RetryPolicy {
    retries: 2,
    max_time: Duration::from_secs(10),
};

/// An answer: its status, further header lines, and its body.
pub(super) struct Reply {
    pub(super) status: &'static str,
    pub(super) headers: String,
    pub(super) body: Value,
}

impl Reply {
    pub(super) fn json(body: Value) -> Self {
        Self::with(String::new(), body)
    }

    pub(super) fn with(headers: String, body: Value) -> Self {
        Self {
            status: "200 OK",
            headers,
            body,
        }
    }
}

/// A service of a table, and the requests that its server got.
pub(super) struct Service {
    pub(super) api: Api,
    pub(super) side_lists: SideLists,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Service {
    /// A service whose table has these keys beside `resolve`. `answer` gets each request's target and body, with a blank
    /// between them, and the server's host.
    pub(super) fn start(keys: &str, answer: impl Fn(&str, &str) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let base = format!("http://{host}");
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let (mut line, mut length) = (String::new(), 0);
                reader.read_line(&mut line).unwrap();
                let mut words = line.split(' ');
                let (method, target) = (words.next().unwrap(), words.next().unwrap_or_default());
                let mut request = format!("{method} {target}");
                loop {
                    let mut header = String::new();
                    reader.read_line(&mut header).unwrap();
                    let header = header.trim_end().to_ascii_lowercase();
                    if header.is_empty() {
                        break;
                    }
                    if let Some(value) = header.strip_prefix("content-length: ") {
                        length = value.parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                if length > 0 {
                    request += &format!(" {}", String::from_utf8(body).unwrap());
                }
                noted.lock().unwrap().push(request.clone());
                let (_, without_method) = request.split_once(' ').unwrap();
                let reply = answer(without_method, &host);
                let body = reply.body.to_string();
                let (status, headers, length) = (reply.status, reply.headers, body.len());
                let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n");
                let stream = reader.get_mut();
                let _ = write!(stream, "{head}Connection: close\r\n\r\n{body}");
            }
        });
        let text = format!(
            "resolve = {{ path = \"/x\", url = \"redirect\" }}\nauth = {{ type = \"header\", name = \"X-API-Key\" }}\n{keys}"
        );
        let provider = Provider::from_toml("acme", &text).unwrap();
        Self {
            api: api_at(provider, &base),
            side_lists: SideLists::default(),
            requests,
        }
    }

    /// The requests so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(super) fn pages<'a>(&'a self, filter: &'a Filter, options: ListOptions) -> Pages<'a> {
        list(&self.api, RETRY, &self.side_lists, filter, options).unwrap()
    }

    /// The rows of all pages, those that cannot be used as `Err`, and how the list ended.
    pub(super) async fn rows(
        &self,
        filter: &Filter,
        options: ListOptions,
    ) -> (Vec<Result<Row, String>>, Result<bool, Error>) {
        let mut pages = self.pages(filter, options);
        let mut found = Vec::new();
        loop {
            match pages.next().await {
                Ok(Some(mut page)) => {
                    while let Some(rows) = page.rows() {
                        found.extend(rows.into_iter().map(|row| row.map_err(|bad| bad.why)));
                    }
                }
                Ok(None) => return (found, Ok(pages.is_complete())),
                Err(error) => return (found, Err(error)),
            }
        }
    }

    /// The ids of all rows, and why the list ended early; an empty text where it did not.
    pub(super) async fn ids(&self) -> (Vec<String>, String) {
        let (rows, end) = self.rows(&Filter::default(), ListOptions::default()).await;
        let ids = rows
            .into_iter()
            .map(|row| row.map_or_else(|why| why, |row| row.id));
        let why = end
            .err()
            .map(|error| error.cause().unwrap_or_default().to_owned());
        (ids.collect(), why.unwrap_or_default())
    }
}

/// The API of `provider` at `base`, with any key and without a state folder.
pub(super) fn api_at(provider: Provider, base: &str) -> Api {
    let found = SourcedCredentials {
        credentials: Credentials::Key(Secret::unregistered("key")),
        source: "KEY".to_owned(),
    };
    let base = provider.api_base(Some(base), "").unwrap();
    let state = StateFolder::new(None);
    let account = found.credentials.account();
    let http = Http::new(&Connection::default(), &base, &[], &state, &account).unwrap();
    Api::new(provider, base, http, &found, &state).unwrap()
}
