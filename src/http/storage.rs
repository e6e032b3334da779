//! Requests to storages, and connections to a storage ahead of the first request.

use super::client::ClientKind;
use super::connect::{Scheme, SpareConnection};
use super::failure::Failure;
use super::headers::is_quoted;
use super::reply::Reply;
use super::send::Sender;
use super::shown_url::{redacted, shown_host};
use crate::error::{Code, Error, Result};
use reqwest::header::{self, HeaderMap};
use reqwest::{Client, RequestBuilder};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use url::{Origin, Url};

/// A range of a document's bytes (RFC 9110 section 14).
#[derive(Clone, Copy, Debug)]
pub(crate) struct RangeRequest<'a> {
    /// The offset of the first byte.
    pub from: u64,
    /// The offset after the last byte; `None` for the end of the document.
    pub to: Option<u64>,
    /// The entity tag that the document must still have; `None` for any representation.
    pub tag: Option<&'a str>,
}

/// A request for a document, or for a range of it.
#[derive(Clone, Copy)]
pub(super) struct StorageRequest<'a> {
    /// The URL.
    pub url: &'a Url,
    /// The headers that the storage wants.
    pub headers: &'a HeaderMap,
    /// The range; `None` for the whole document.
    pub range: Option<RangeRequest<'a>>,
}

/// Sends the requests to storages.
#[derive(Debug, Default)]
pub(super) struct StorageChannel {
    /// The client for plain http, and the client for https.
    clients: [OnceLock<Client>; 2],
    preconnected: Arc<OnceLock<Preconnected>>,
}

/// A client that connected to one storage ahead of the first request.
#[derive(Debug)]
struct Preconnected {
    origin: Origin,
    client: Client,
    /// Whether its first request had any outcome but a broken connection.
    first_request_done: AtomicBool,
    /// Whether its first request broke. Then the client is not used any more.
    failed: AtomicBool,
}

impl StorageChannel {
    /// Requests the document behind a URL, or a range of it. The head of the answer may take `limit`, or
    /// else as long as a stall may last.
    ///
    /// The request has only those further headers that came with the URL, because the URL is the credential,
    /// and an unsigned header can make its signature invalid.
    ///
    /// # Errors
    /// The error of the address rules, of the connection, or [`Code::Protocol`] for an answer whose length
    /// is ambiguous.
    pub(super) async fn get(
        &self,
        sender: &Sender,
        request: StorageRequest<'_>,
        limit: Option<Duration>,
    ) -> Result<Reply> {
        let url = request.url;
        sender.clients.check_url(url)?;
        if let Some(client) = self.preconnected_to(url) {
            let answer = send_on(&client.client, sender, request, limit).await;
            let broke = matches!(&answer, Err(failure) if failure.error.code() == Code::Network);
            if !broke || client.first_request_done.load(Ordering::Relaxed) {
                client.first_request_done.store(true, Ordering::Relaxed);
                return answer.map_err(|failure| failure.error);
            }
            // A failed early connection does not count as an attempt.
            client.failed.store(true, Ordering::Relaxed);
        }
        let scheme = Scheme::of(url);
        let cell = &self.clients[scheme as usize];
        let client = sender.client_in(cell, ClientKind::Storage, scheme)?;
        let answer = send_on(&client, sender, request, limit).await;
        answer.map_err(|failure| failure.error)
    }

    fn preconnected_to(&self, url: &Url) -> Option<&Preconnected> {
        let client = self.preconnected.get()?;
        let is_usable = client.origin == url.origin() && !client.failed.load(Ordering::Relaxed);
        is_usable.then_some(client)
    }

    /// Connects to a storage, given by the root URL of its origin, ahead of the first request. Does nothing
    /// when the address rules refuse the storage, or when a proxy is used.
    pub(super) fn preconnect(&self, sender: &Sender, origin: &Url) {
        if let Err(error) = sender.clients.check_url(origin) {
            log::info!("does not connect to the storage ahead: {}", error.message());
            return;
        }
        let spare = SpareConnection::default();
        let Some(client) = sender.clients.preconnecting(origin, &spare) else {
            return;
        };
        let (root, preconnected) = (origin.clone(), Arc::clone(&self.preconnected));
        log::info!(
            "connecting to {} ahead of the first request",
            shown_host(origin)
        );
        tokio::spawn(async move {
            // This request only starts the connection. It is never sent.
            tokio::select! {
                _ = client.get(root.clone()).send() => {}
                () = spare.started() => {
                    let _ = preconnected.set(Preconnected {
                        origin: root.origin(),
                        client: client.clone(),
                        first_request_done: AtomicBool::default(),
                        failed: AtomicBool::default(),
                    });
                }
            }
        });
    }
}

async fn send_on(
    client: &Client,
    sender: &Sender,
    StorageRequest {
        url,
        headers,
        range,
    }: StorageRequest<'_>,
    limit: Option<Duration>,
) -> Result<Reply, Failure> {
    let mut request = client
        .get(url.clone())
        .headers(headers.clone())
        .header(header::ACCEPT_ENCODING, "identity");
    let mut shown = format!("GET {}", redacted(url));
    if let Some(range) = range {
        request = with_range(request, range, &mut shown);
    }
    let limits = sender.times.of_storage_request(limit);
    with_right_framing(sender.send(request, limits, url, &shown).await?)
}

/// Adds the headers of a range request, and the range to `shown`.
pub(super) fn with_range(
    request: RequestBuilder,
    RangeRequest { from, to, tag }: RangeRequest<'_>,
    shown: &mut String,
) -> RequestBuilder {
    // The last byte belongs to a range (RFC 9110 section 14.1.2).
    let last = to.map_or_else(String::new, |to| (to - 1).to_string());
    let end = if last.is_empty() { "the end" } else { &last };
    let _ = write!(shown, ", bytes {from} to {end}");
    let request = request.header(header::RANGE, format!("bytes={from}-{last}"));
    // With `If-Range`, the server sends the range if the document is still the same, else the whole
    // document (section 13.1.5). Servers read a tag without quotes as a wrong date, and send the whole.
    match tag.filter(|tag| is_quoted(tag)) {
        Some(tag) => request.header(header::IF_RANGE, tag),
        None => request,
    }
}

/// Refuses a success whose length is ambiguous.
///
/// # Errors
/// [`Code::Protocol`].
pub(super) fn with_right_framing(reply: Reply) -> Result<Reply, Failure> {
    if reply.status() < 300
        && let Err(why) = reply.framing()
    {
        let what = format!("{} sent an answer that breaks HTTP's rules", reply.host());
        let error = Error::new(Code::Protocol, what)
            .with_http_status(reply.status())
            .with_cause(why);
        return Err(Failure { error, sent: true });
    }
    Ok(reply)
}
