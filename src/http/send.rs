//! One request, one answer: budget, address rules, time limits, and no error that shows a URL.

use super::addresses::Policy;
use super::ahead::Spare;
use super::budget::{Blocked, Budget};
use super::client::{Channel, Clients};
use super::clock::Clock;
use super::failure::{self, Failure};
use super::gate::{BeforeSend, Gate};
use super::headers;
use super::lines::{Line, Lines};
use super::presigned::{redacted, shown_host};
use super::stall::{StallWatch, Wait};
use crate::config::settings::{Connection, RateLimit};
use crate::error::{Code, Error, Result};
use crate::model::{Rate, fingerprint};
use crate::secret::Secret;
use crate::state::records::{BUDGETS, StateFolder};
use jiff::Timestamp;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, Version};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};
use url::{Origin, Url};

/// Whatever an error body says beyond this is not read.
pub const ERROR_BODY: usize = 4096;

/// Everything that is spoken to for one API: its own host, and the storages that it names.
#[derive(Debug)]
pub struct Http {
    clients: Clients,
    api: OnceLock<Client>,
    storage: OnceLock<Client>,
    /// The client of a storage that was connected to before a document of it was asked for.
    ahead: Arc<OnceLock<Ahead>>,
    lines: Arc<Lines>,
    policy: Arc<Policy>,
    budget: Budget,
    clock: Clock,
    connect_timeout: Duration,
    stall_timeout: Duration,
}

/// The client of a storage that was connected to ahead.
#[derive(Debug)]
struct Ahead {
    origin: Origin,
    client: Client,
    /// Whether a request was answered on it.
    proven: AtomicBool,
    /// Whether its first request broke.
    failed: AtomicBool,
}

/// A header that proves who asks.
#[derive(Clone, Debug)]
pub struct Authorization {
    /// `Authorization`, or a header of the provider's own.
    pub header: HeaderName,
    /// Its value.
    pub value: Secret,
}

/// A part of a document (RFC 9110 section 14).
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Offset of its first byte.
    pub from: u64,
    /// Offset behind its last byte; none for all that follows.
    pub to: Option<u64>,
    /// The entity tag that the document must still have; none asks for these bytes of whatever is there.
    pub tag: Option<&'a str>,
}

/// A request to an API.
pub struct ApiRequest<'a> {
    /// Where.
    pub url: Url,
    /// Whether it may cost money.
    pub charged: bool,
    /// GET or POST.
    pub method: Method,
    /// Who asks.
    pub authorization: &'a Authorization,
    /// A body of type `application/x-www-form-urlencoded`.
    pub form: Option<&'static str>,
    /// How long a hold of the budget may be waited for.
    pub patience: Duration,
    /// How long the answer may take, where that is less than usual.
    pub limit: Option<Duration>,
    /// Waited for, of a charged request, right before its first byte leaves.
    pub before_send: &'a dyn BeforeSend,
}

impl Http {
    /// For an API at `base` whose own budget is `rates`, shared through `state` by all processes that
    /// ask as `account`.
    ///
    /// # Errors
    /// [`Code::Config`] for settings that cannot be used, and what [`Http::check`] says of `base`.
    pub fn new(
        settings: &Connection,
        base: &Url,
        rates: &[Rate],
        state: &StateFolder,
        account: &Secret,
    ) -> Result<Self> {
        let (clients, policy) = Clients::new(settings, base)?;
        policy.check(base)?;
        let rates = match &settings.rate_limit {
            None => rates.to_vec(),
            Some(RateLimit::None) => Vec::new(),
            Some(RateLimit::Rates(rates)) => rates.clone(),
        };
        let name = fingerprint(&[base.as_str().as_bytes(), account.expose().as_bytes()]);
        Ok(Self {
            clients,
            api: OnceLock::new(),
            storage: OnceLock::new(),
            ahead: Arc::default(),
            lines: Arc::default(),
            connect_timeout: settings.connect_timeout,
            policy,
            budget: Budget::new(rates, state.records(BUDGETS), name),
            clock: Clock::default(),
            stall_timeout: settings.stall_timeout,
        })
    }

    /// The time by the servers' clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether a rate budget can make a request wait.
    pub fn is_limited(&self) -> bool {
        self.budget.is_limited()
    }

    /// Judges a URL that an answer named, before anything is sent there.
    ///
    /// # Errors
    /// [`Code::InsecureUrl`], [`Code::PrivateAddress`].
    pub fn check(&self, url: &Url) -> Result<()> {
        self.policy.check(url)
    }

    /// Sends a request to the API, inside the budget. Any status is an answer; a `Retry-After` holds
    /// the budget for everybody.
    ///
    /// # Errors
    /// [`Failure`], which says whether the request may have arrived.
    pub async fn api(&self, request: ApiRequest<'_>) -> Result<Reply, Failure> {
        let mut value =
            HeaderValue::from_str(request.authorization.value.expose()).map_err(|_| {
                Failure::unsent(Error::new(
                    Code::Config,
                    "a credential cannot be sent in a header",
                ))
            })?;
        value.set_sensitive(true);
        // A connection that is still being made ends by its own time limit, as one that carried
        // nothing: so whatever outlasts both has been sent.
        let time = if request.charged {
            self.connect_timeout + self.stall_timeout
        } else {
            self.stall_timeout
        };
        let time = request.limit.map_or(time, |limit| limit.min(time));
        let slot = self.budget.slot(time, request.patience).await;
        let slot = slot.map_err(|blocked| match blocked {
            Blocked::Busy(error) => Failure::unsent(error),
            Blocked::Held(held) => {
                let host = shown_host(&request.url);
                let error = Error::new(Code::RateLimited, format!("{host} asked to slow down"));
                Failure::unsent(error.retry_after(Some(held)))
            }
        })?;
        let answer = if request.charged {
            Box::pin(self.send_charged(&request, value, time)).await
        } else {
            match self.client(&self.api, Channel::Api) {
                Ok(client) => Box::pin(self.send_api(&client, &request, value, time)).await,
                Err(failure) => Err(failure),
            }
        };
        let hold = answer.as_ref().ok().and_then(Reply::retry_after);
        self.budget.answered(slot, hold).await;
        answer
    }

    /// On a connection that was used a moment ago, or a fresh one.
    async fn send_charged(
        &self,
        request: &ApiRequest<'_>,
        credential: HeaderValue,
        time: Duration,
    ) -> Result<Reply, Failure> {
        let gate = Gate::closed();
        let line = self.lines.take();
        let recorded = line.is_some();
        if recorded {
            // Its first byte leaves as soon as the library has the request.
            let recorded = request.before_send.record().await;
            recorded.map_err(Failure::unsent)?;
            gate.open();
            // What the server closed meanwhile is seen to be closed after this.
            tokio::task::yield_now().await;
        }
        let line = line.filter(Line::is_fresh);
        let reused = line.is_some();
        let client = match line {
            Some(line) => line.client,
            None => self.clients.charged(&gate).map_err(Failure::unsent)?,
        };
        let answer = self.send_api(&client, request, credential, time);
        let mut answer = if recorded {
            answer.await
        } else {
            gate.guard(answer, request.before_send).await
        };
        if reused && matches!(&answer, Err(failure) if failure.sent) {
            self.lines.close();
        }
        if let Ok(reply) = &mut answer {
            reply.line = reply
                .keeps_alive()
                .then(|| (client, Arc::clone(&self.lines)));
        }
        answer
    }

    async fn send_api(
        &self,
        client: &Client,
        request: &ApiRequest<'_>,
        credential: HeaderValue,
        time: Duration,
    ) -> Result<Reply, Failure> {
        let mut sent = client
            .request(request.method.clone(), request.url.clone())
            .header(header::ACCEPT, "application/json")
            .header(&request.authorization.header, credential);
        if let Some(form) = request.form {
            sent = sent
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header(header::CACHE_CONTROL, "no-cache")
                .body(form);
        }
        let shown = format!("{} {}", request.method, without_query(&request.url));
        self.send(sent, time, &request.url, &shown).await
    }

    /// Asks a storage for the bytes behind a URL, or for a part of them. Nothing else is sent: the URL is
    /// the credential, and a header that was not signed can spoil it. The head of the answer may take
    /// `limit`, else as long as any silence may.
    ///
    /// # Errors
    /// What was wrong with the URL or the connection.
    pub async fn storage(
        &self,
        url: &Url,
        part: Option<Part<'_>>,
        limit: Option<Duration>,
    ) -> Result<Reply> {
        let limit = limit.unwrap_or(self.stall_timeout);
        self.check(url)?;
        if let Some(ahead) = self.ahead.get()
            && ahead.origin == url.origin()
            && !ahead.failed.load(Ordering::Relaxed)
        {
            match self.send_storage(&ahead.client, url, part, limit).await {
                Err(failure)
                    if failure.error.code() == Code::Network
                        && !ahead.proven.load(Ordering::Relaxed) =>
                {
                    // A connection that was opened ahead costs nothing, not even an attempt.
                    ahead.failed.store(true, Ordering::Relaxed);
                }
                answer => {
                    ahead.proven.store(true, Ordering::Relaxed);
                    return answer.map_err(|failure| failure.error);
                }
            }
        }
        let client = self.client(&self.storage, Channel::Storage);
        let client = client.map_err(|failure| failure.error)?;
        let answer = self.send_storage(&client, url, part, limit).await;
        answer.map_err(|failure| failure.error)
    }

    async fn send_storage(
        &self,
        client: &Client,
        url: &Url,
        part: Option<Part<'_>>,
        limit: Duration,
    ) -> Result<Reply, Failure> {
        let mut request = client
            .get(url.clone())
            .header(header::ACCEPT_ENCODING, "identity");
        let mut shown = format!("GET {}", redacted(url));
        if let Some(Part { from, to, tag }) = part {
            // RFC 9110 section 14.1.2: the last byte is part of a range.
            let last = to.map_or_else(String::new, |to| (to - 1).to_string());
            request = request.header(header::RANGE, format!("bytes={from}-{last}"));
            // Section 13.1.5: the part if it is still the same, else the whole. Servers take a tag
            // without quotes for a wrong date there, and send the whole.
            if let Some(tag) = tag.filter(|tag| headers::is_quoted(tag)) {
                request = request.header(header::IF_RANGE, tag);
            }
            shown = format!(
                "{shown}, bytes {from} to {}",
                if last.is_empty() { "the end" } else { &last }
            );
        }
        self.send(request, limit, url, &shown).await
    }

    /// Opens a connection to a storage, given by the root of its origin, for the first request to it.
    /// Nothing happens where it may not be spoken to.
    pub fn open_ahead(&self, origin: &Url) {
        if let Err(error) = self.check(origin) {
            log::info!("no storage is connected to ahead: {}", error.message());
            return;
        }
        let spare = Spare::default();
        let Some(client) = self.clients.ahead(origin, &spare) else {
            return;
        };
        let (root, ahead) = (origin.clone(), Arc::clone(&self.ahead));
        log::info!("connecting to {} ahead", shown_host(origin));
        tokio::spawn(async move {
            // This request never gets a connection: it only starts one.
            tokio::select! {
                _ = client.get(root.clone()).send() => {}
                () = spare.started() => {
                    let _ = ahead.set(Ahead {
                        origin: root.origin(),
                        client: client.clone(),
                        proven: AtomicBool::default(),
                        failed: AtomicBool::default(),
                    });
                }
            }
        });
    }

    async fn send(
        &self,
        request: RequestBuilder,
        time: Duration,
        url: &Url,
        shown: &str,
    ) -> Result<Reply, Failure> {
        let host = shown_host(url);
        let started = Instant::now();
        let answer = tokio::time::timeout(time, request.send()).await;
        let result = match answer {
            Ok(Ok(response)) => Ok(Reply {
                response,
                host,
                stall_timeout: self.stall_timeout,
                line: None,
            }),
            Ok(Err(error)) => Err(failure::from_library(&error, &host)),
            Err(_) => Err(Failure {
                error: Error::new(Code::Stalled, format!("{host} went silent"))
                    .why(format!("no answer for {} s", time.as_secs_f64())),
                sent: true,
            }),
        };
        let elapsed = started.elapsed().as_secs_f64() * 1000.0;
        match &result {
            Ok(reply) => {
                self.clock.learn(reply.headers(), Timestamp::now());
                log::info!("{shown}: {} in {elapsed:.0} ms", reply.status());
            }
            Err(failure) => log::info!("{shown}: {}", failure.error.message()),
        }
        result
    }

    /// The client that is kept in `cell`, made when it is needed first.
    fn client(&self, cell: &OnceLock<Client>, channel: Channel) -> Result<Client, Failure> {
        if let Some(client) = cell.get() {
            return Ok(client.clone());
        }
        let client = self.clients.client(channel).map_err(Failure::unsent)?;
        Ok(cell.get_or_init(|| client).clone())
    }
}

fn stalled(host: &str, window: Duration) -> Error {
    Error::new(Code::Stalled, format!("{host} went silent"))
        .why(format!("less than 1 KiB/s for {} s", window.as_secs_f64()))
}

fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

/// An answer, its body still to be read. (No `Debug`: the library's shows the URL.)
pub struct Reply {
    response: Response,
    host: String,
    stall_timeout: Duration,
    /// Where the client of a charged request goes when this body was read whole.
    line: Option<(Client, Arc<Lines>)>,
}

impl Reply {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The host that answered.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// How long the server asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        headers::retry_after(self.headers(), SystemTime::now())
    }

    /// The announced length of this body, in bytes.
    pub fn content_length(&self) -> Option<u64> {
        headers::content_length(self.headers())
    }

    /// Whether the end of this body can be told from a broken connection: by its length, the chunked
    /// terminator (RFC 9112 section 7.1) or the end of an HTTP/2 stream.
    pub fn end_is_marked(&self) -> bool {
        self.content_length().is_some()
            || self.response.version() >= Version::HTTP_2
            || headers::text(self.headers(), header::TRANSFER_ENCODING)
                .is_some_and(|codings| codings.to_ascii_lowercase().ends_with("chunked"))
    }

    /// Whether its connection can carry another request after the body (RFC 9112 section 9.3), and is
    /// kept for long enough: some servers tell (RFC 2068 section 19.7.1.1).
    fn keeps_alive(&self) -> bool {
        let kept = headers::text(self.headers(), HeaderName::from_static("keep-alive"));
        let soon_closed = kept.is_some_and(|kept| {
            let seconds = kept.split(',').filter_map(|part| {
                let part = part.trim().strip_prefix("timeout=")?;
                part.parse::<u32>().ok()
            });
            seconds.min().is_some_and(|seconds| seconds < 3)
        });
        self.response.version() == Version::HTTP_11
            && self.end_is_marked()
            && !soon_closed
            && !headers::text(self.headers(), header::CONNECTION)
                .is_some_and(|options| options.to_ascii_lowercase().contains("close"))
    }

    /// A watch over the body's pace.
    pub fn stall_watch(&self) -> StallWatch {
        StallWatch::new(self.stall_timeout)
    }

    /// The next piece of the body, none at its end.
    ///
    /// # Errors
    /// [`Code::Network`] when the connection broke, [`Code::Stalled`] when too little moved.
    pub async fn chunk(&mut self, watch: &mut StallWatch) -> Result<Option<bytes::Bytes>> {
        loop {
            let wait = Wait::begin();
            let piece = tokio::time::timeout(watch.patience(), self.response.chunk()).await;
            let moved = match &piece {
                Ok(Ok(Some(bytes))) => bytes.len() as u64,
                _ => 0,
            };
            watch.note(wait.took(), moved);
            match piece {
                Ok(Ok(None)) => {
                    if let Some((client, lines)) = self.line.take() {
                        lines.give_back(client);
                    }
                    return Ok(None);
                }
                Ok(Err(error)) => return Err(failure::from_library(&error, &self.host).error),
                _ if watch.stalled() => return Err(stalled(&self.host, self.stall_timeout)),
                Ok(Ok(some)) => return Ok(some),
                Err(_) => {}
            }
        }
    }

    /// The body up to `limit` bytes; the rest is not read.
    ///
    /// # Errors
    /// As [`Reply::chunk`].
    pub async fn body(mut self, limit: usize) -> Result<Vec<u8>> {
        let mut watch = self.stall_watch();
        let mut body = Vec::new();
        while body.len() < limit
            && let Some(piece) = self.chunk(&mut watch).await?
        {
            body.extend_from_slice(&piece);
        }
        body.truncate(limit);
        Ok(body)
    }

    /// The first bytes of an error's body; a body that breaks says nothing.
    pub async fn error_body(self) -> Vec<u8> {
        self.body(ERROR_BODY).await.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name of this machine that does not look like one.
    fn name_of_loopback() -> Option<String> {
        let hosts = std::fs::read_to_string("/etc/hosts").ok()?;
        hosts.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            words
                .next()?
                .parse::<std::net::IpAddr>()
                .ok()
                .filter(std::net::IpAddr::is_loopback)?;
            words
                .find(|name| !name.ends_with("localhost") || name.contains('-'))
                .map(str::to_owned)
        })
    }

    /// The refusal comes back whole through the library that resolved the name for us.
    #[tokio::test]
    async fn a_name_that_resolves_to_loopback_is_refused_for_a_public_api() {
        let Some(name) = name_of_loopback() else {
            println!("skipped: /etc/hosts names no loopback address but localhost");
            return;
        };
        let settings = Connection {
            ca_cert: None,
            proxy: None,
            connect_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(5),
            retries: 0,
            retry_max_time: Duration::from_secs(5),
            rate_limit: None,
            allow_recharge: false,
            max_charges: None,
            allow_private: false,
        };
        let base = Url::parse("https://api.example.com").unwrap();
        let state = StateFolder::new(None);
        let http = Http::new(&settings, &base, &[], &state, &Secret::new("x")).unwrap();
        let url = Url::parse(&format!("https://{name}:1/x?sig=secret")).unwrap();
        let error = http.storage(&url, None, None).await.err().unwrap();
        assert_eq!(error.code(), Code::PrivateAddress, "{error}");
        assert!(error.message().contains(&name) && !error.message().contains("secret"));
    }
}
