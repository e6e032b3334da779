//! Requests to the API: inside the rate budget, and recorded before they leave when they are paid.

use super::budget::{Blocked, Budget};
use super::client::ClientKind;
use super::connect::{BeforeSend, Gate, IdleConnection, IdleConnections, Scheme};
use super::failure::Failure;
use super::reply::Reply;
use super::send::Sender;
use super::shown_url::shown_host;
use super::storage::{RangeRequest, with_range, with_right_framing};
use super::time_limits::TimeLimits;
use crate::error::{Code, Error};
use crate::secret::Secret;
use reqwest::header::{self, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use url::Url;

/// A header that carries the credential.
#[derive(Clone, Debug)]
pub(crate) struct Authorization {
    /// `Authorization`, or a header of the provider's own.
    pub header: HeaderName,
    /// The header's value.
    pub value: Secret,
}

impl Authorization {
    /// The value as a header carries it.
    ///
    /// # Errors
    /// [`Code::Config`] for a value that no header can carry.
    fn header_value(&self) -> Result<HeaderValue, Error> {
        let mut value = HeaderValue::from_str(self.value.expose()).map_err(|_| {
            Error::new(Code::Config, "cannot send the credential in a header")
                .with_cause("the credential has a character that is not ASCII")
        })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// The body of a request. It may hold a credential.
#[derive(Clone)]
pub(crate) struct RequestBody {
    /// The media type.
    pub media_type: &'static str,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A request to an API.
pub(crate) struct ApiRequest<'a> {
    /// The URL, on the API's host.
    pub url: Url,
    /// GET or POST.
    pub method: Method,
    /// The credential, unless the request has none or has it in the URL or in the body.
    pub authorization: Option<&'a Authorization>,
    /// Further headers. `Accept` and `Content-Type` replace those that docfetch would send.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// The body.
    pub body: Option<&'a RequestBody>,
    /// For a request whose answer is a document's bytes: which of them. The answer may take as long as bytes arrive.
    pub bytes: Option<RequestedBytes<'a>>,
    /// How long the request may wait while a `Retry-After` of the API holds all requests.
    pub max_hold_wait: Duration,
    /// How long the whole answer to a free request may take, where that is less than usual.
    pub max_answer_time: Option<Duration>,
    /// For a paid request: the hook that must succeed right before the first byte of the request leaves.
    /// `None` for a free request.
    pub before_send: Option<&'a mut dyn BeforeSend>,
}

/// Which bytes of a document a request wants.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RequestedBytes<'a> {
    /// All of them.
    All,
    /// A range.
    Range(RangeRequest<'a>),
}

/// Sends the requests to one API.
#[derive(Debug)]
pub(super) struct ApiChannel {
    scheme: Scheme,
    /// The client of free requests.
    client: OnceLock<Client>,
    /// The client of requests for a document's bytes.
    bytes_client: OnceLock<Client>,
    /// The connections of paid requests.
    idle: Arc<IdleConnections>,
    budget: Budget,
}

impl ApiChannel {
    /// A channel to an API at `base`, with its rate budget.
    pub(super) fn new(base: &Url, budget: Budget) -> Self {
        Self {
            scheme: Scheme::of(base),
            client: OnceLock::new(),
            bytes_client: OnceLock::new(),
            idle: Arc::default(),
            budget,
        }
    }

    /// Whether a rate budget can make a request wait.
    pub(super) fn is_limited(&self) -> bool {
        self.budget.is_limited()
    }

    /// Waits for a slot of the budget, and sends a request. An answer of any status is a success. The wait
    /// that the answer asks for holds the budget of all processes; a 429 that names no time holds the budget
    /// for one window. A paid request is never repeated after a time that no header names.
    ///
    /// # Errors
    /// [`Failure`], which says whether the request may have arrived.
    pub(super) async fn send(
        &self,
        sender: &Sender,
        mut request: ApiRequest<'_>,
    ) -> Result<Reply, Failure> {
        let credential = request.authorization.map(Authorization::header_value);
        let credential = credential.transpose()?;
        let before_send = request.before_send.take();
        let is_free = before_send.is_none();
        let limits = if request.bytes.is_some() {
            sender.times.of_storage_request(None)
        } else if is_free {
            sender.times.of_free_request(request.max_answer_time)
        } else {
            sender.clients.check_before_payment(&request.url)?;
            sender.times.of_paid_request()
        };
        let slot = self.budget.slot(limits.head, request.max_hold_wait).await;
        let slot = slot.map_err(|blocked| match blocked {
            Blocked::Busy(error) => error,
            Blocked::Held(hold) => {
                let host = shown_host(&request.url);
                Error::new(Code::RateLimited, format!("{host} asked to slow down"))
                    .with_cause("an earlier answer asked all requests of this account to wait")
                    .with_retry_after(Some(hold))
            }
        })?;
        let mut answer = match before_send {
            Some(hook) => {
                Box::pin(self.send_paid(sender, &request, hook, credential, limits)).await
            }
            None => Box::pin(self.send_free(sender, &request, credential, limits)).await,
        };
        let hold = answer.as_mut().ok().and_then(|reply| {
            if is_free {
                reply.recognise_rate_limit();
            }
            // A 429 that names no time: after one window, the server counts none of the earlier requests.
            let window = self.budget.window().filter(|_| reply.status() == 429);
            if is_free {
                reply.assume_wait(window);
            }
            // With a success, the time is that of one document.
            let named = reply.retry_after().filter(|_| reply.status() >= 300);
            named.or(window)
        });
        self.budget.answered(slot, hold).await;
        answer
    }

    async fn send_free(
        &self,
        sender: &Sender,
        request: &ApiRequest<'_>,
        credential: Option<HeaderValue>,
        limits: TimeLimits,
    ) -> Result<Reply, Failure> {
        if request.bytes.is_none() {
            let client = sender.client_in(&self.client, ClientKind::Api, self.scheme)?;
            return send_on(&client, sender, request, credential, limits).await;
        }
        // A document's bytes arrive as those of a storage do.
        let client = sender.client_in(&self.bytes_client, ClientKind::Storage, self.scheme)?;
        with_right_framing(send_on(&client, sender, request, credential, limits).await?)
    }

    /// Sends a paid request on a connection that was used a moment ago, or on a new one.
    async fn send_paid(
        &self,
        sender: &Sender,
        request: &ApiRequest<'_>,
        before_send: &mut dyn BeforeSend,
        credential: Option<HeaderValue>,
        limits: TimeLimits,
    ) -> Result<Reply, Failure> {
        let gate = Gate::closed();
        let connection = self.idle.take();
        let recorded = connection.is_some();
        if recorded {
            // On a reused connection, the first byte leaves as soon as reqwest has the request.
            before_send.record().await?;
            gate.open();
            // reqwest notices here that the server has closed the connection.
            tokio::task::yield_now().await;
        }
        let connection = connection.filter(IdleConnection::is_fresh);
        let reused = connection.is_some();
        let client = match connection {
            Some(connection) => connection.client,
            None => sender.clients.paid(&gate, self.scheme)?,
        };
        let answer = send_on(&client, sender, request, credential, limits);
        let mut answer = if recorded {
            answer.await
        } else {
            gate.guard(answer, before_send).await
        };
        if reused && may_be_unanswered(&answer) {
            self.idle.disable();
        }
        if let Ok(reply) = &mut answer {
            reply.reuse_connection(client, &self.idle);
        }
        answer
    }
}

/// Whether the server may not have seen the request, which left. Some servers send a 408 before they close an idle
/// connection (RFC 9110 section 15.5.9): such an answer belongs to no request.
fn may_be_unanswered(answer: &Result<Reply, Failure>) -> bool {
    match answer {
        Ok(reply) => reply.status() == 408,
        Err(failure) => failure.sent,
    }
}

async fn send_on(
    client: &Client,
    sender: &Sender,
    request: &ApiRequest<'_>,
    credential: Option<HeaderValue>,
    limits: TimeLimits,
) -> Result<Reply, Failure> {
    let is_own = |name: &HeaderName| request.headers.iter().any(|(own, _)| own == name);
    let mut builder = client.request(request.method.clone(), request.url.clone());
    if !is_own(&header::ACCEPT) {
        let accepted = request.bytes.map_or("application/json", |_| "*/*");
        builder = builder.header(header::ACCEPT, accepted);
    }
    builder = builder.header(header::ACCEPT_ENCODING, "identity");
    if let (Some(authorization), Some(credential)) = (request.authorization, credential) {
        builder = builder.header(&authorization.header, credential);
    }
    if let Some(body) = request.body {
        if !is_own(&header::CONTENT_TYPE) {
            builder = builder.header(header::CONTENT_TYPE, body.media_type);
        }
        builder = builder.body(body.bytes.clone());
    }
    for (name, value) in request.headers {
        builder = builder.header(name, value);
    }
    let mut shown = format!("{} {}", request.method, without_query(&request.url));
    if let Some(RequestedBytes::Range(range)) = request.bytes {
        builder = with_range(builder, range, &mut shown);
    }
    sender.send(builder, limits, &request.url, &shown).await
}

fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}
