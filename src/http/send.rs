//! One request, one answer: budget, address rules, time limits, and no error that shows a URL.

use super::budget::{Blocked, Budget};
use super::client::{Channel, Clients};
use super::clock::Clock;
use super::failure::{self, Failure};
use super::headers;
use super::presigned::{redacted, shown_host};
use super::stall::StallWatch;
use crate::active_time::{self, Wait};
use crate::config::settings::{Connection, RateLimit};
use crate::error::{Code, Error, Result};
use crate::fingerprint::fingerprint;
use crate::http::connect::addresses::{Policy, Scheme};
use crate::http::connect::gate::{BeforeSend, Gate};
use crate::http::connect::idle::{IdleConnection, IdleConnections};
use crate::http::connect::preconnect::Spare;
use crate::model::Rate;
use crate::secret::Secret;
use crate::state::records::{BUDGETS, StateFolder};
use jiff::Timestamp;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, Version};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};
use url::{Origin, Url};

/// Whatever an error body says beyond this is not read.
pub(crate) const ERROR_BODY: usize = 4096;
/// Its words are worth no longer wait.
const ERROR_TIME: Duration = Duration::from_secs(10);
/// The answer to a paid request is waited for at least so long, from its first byte to its last.
const PAID_ANSWER: Duration = Duration::from_mins(5);
/// The answer to a free one is.
const FREE_ANSWER: Duration = Duration::from_secs(5);
/// How often a reader looks whether the part of a body that is here is enough.
const LOOK: Duration = Duration::from_secs(1);

/// Everything that is spoken to for one API: its own host, and the storages that it names.
#[derive(Debug)]
pub struct Http {
    clients: Clients,
    /// That of the API's base.
    scheme: Scheme,
    api: OnceLock<Client>,
    /// For plain http, and for https.
    storage: [OnceLock<Client>; 2],
    /// The client of a storage that was connected to before a document of it was asked for.
    ahead: Arc<OnceLock<Preconnected>>,
    idle: Arc<IdleConnections>,
    policy: Arc<Policy>,
    budget: Budget,
    clock: Clock,
    connect_timeout: Duration,
    stall_timeout: Duration,
    retry_max_time: Duration,
}

/// The client of a storage that was connected to ahead.
#[derive(Debug)]
struct Preconnected {
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
    /// GET or POST.
    pub method: Method,
    /// Who asks.
    pub authorization: &'a Authorization,
    /// A body of type `application/x-www-form-urlencoded`.
    pub form: Option<&'static str>,
    /// How long a hold of the budget may be waited for.
    pub patience: Duration,
    /// How long the answer may take in all, where that is less than usual.
    pub limit: Option<Duration>,
    /// For a request that may cost money: makes its record right before its first byte leaves. None for
    /// a free request.
    pub before_send: Option<&'a mut dyn BeforeSend>,
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
        clients.check(base)?;
        let rates = match &settings.rate_limit {
            None => rates.to_vec(),
            Some(RateLimit::None) => Vec::new(),
            Some(RateLimit::Rates(rates)) => rates.clone(),
        };
        let name = fingerprint(&[base.as_str().as_bytes(), account.expose().as_bytes()]);
        Ok(Self {
            clients,
            scheme: Scheme::of(base),
            api: OnceLock::new(),
            storage: Default::default(),
            ahead: Arc::default(),
            idle: Arc::default(),
            connect_timeout: settings.connect_timeout,
            policy,
            budget: Budget::new(rates, state.records(BUDGETS), name),
            clock: Clock::default(),
            stall_timeout: settings.stall_timeout,
            retry_max_time: settings.retry_max_time,
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
        self.policy.check(url)?;
        self.clients.check(url)
    }

    /// Sends a request to the API, inside the budget. Any status is an answer; a `Retry-After` holds
    /// the budget for everybody.
    ///
    /// # Errors
    /// [`Failure`], which says whether the request may have arrived.
    pub async fn api(&self, mut request: ApiRequest<'_>) -> Result<Reply, Failure> {
        let mut value =
            HeaderValue::from_str(request.authorization.value.expose()).map_err(|_| {
                Failure::unsent(Error::new(
                    Code::Config,
                    "a credential cannot be sent in a header",
                ))
            })?;
        value.set_sensitive(true);
        let time = self.time_for(&request);
        let slot = self.budget.slot(time.head, request.patience).await;
        let slot = slot.map_err(|blocked| match blocked {
            Blocked::Busy(error) => Failure::unsent(error),
            Blocked::Held(held) => {
                let host = shown_host(&request.url);
                let error = Error::new(Code::RateLimited, format!("{host} asked to slow down"));
                Failure::unsent(error.with_retry_after(Some(held)))
            }
        })?;
        let answer = if let Some(before_send) = request.before_send.take() {
            Box::pin(self.send_charged(&request, before_send, value, time)).await
        } else {
            match self.client(&self.api, Channel::Api, self.scheme) {
                Ok(client) => Box::pin(self.send_api(&client, &request, value, time)).await,
                Err(failure) => Err(failure),
            }
        };
        let hold = answer.as_ref().ok().and_then(Reply::retry_after);
        self.budget.answered(slot, hold).await;
        answer
    }

    /// No silence ends the wait for the answer to a paid request: its charge may depend on it.
    fn time_for(&self, request: &ApiRequest<'_>) -> Time {
        if request.before_send.is_some() {
            let whole = PAID_ANSWER.max(self.retry_max_time);
            // A connection that is still being made ends by its own time limit, as one that carried
            // nothing: so whatever outlasts both has been sent.
            let head = self.connect_timeout + whole;
            return Time {
                head,
                whole: Some(head),
                silence: whole,
            };
        }
        let whole = FREE_ANSWER.max(self.retry_max_time);
        let whole = request.limit.unwrap_or(whole);
        Time {
            head: self.stall_timeout.min(whole),
            whole: Some(whole),
            silence: self.stall_timeout,
        }
    }

    /// On a connection that was used a moment ago, or a fresh one.
    async fn send_charged(
        &self,
        request: &ApiRequest<'_>,
        before_send: &mut dyn BeforeSend,
        credential: HeaderValue,
        time: Time,
    ) -> Result<Reply, Failure> {
        let gate = Gate::closed();
        let connection = self.idle.take();
        let recorded = connection.is_some();
        if recorded {
            // Its first byte leaves as soon as the library has the request.
            let recorded = before_send.record().await;
            recorded.map_err(Failure::unsent)?;
            gate.open();
            // What the server closed meanwhile is seen to be closed after this.
            tokio::task::yield_now().await;
        }
        let connection = connection.filter(IdleConnection::is_fresh);
        let reused = connection.is_some();
        let client = match connection {
            Some(connection) => connection.client,
            None => self
                .clients
                .charged(&gate, self.scheme)
                .map_err(Failure::unsent)?,
        };
        let answer = self.send_api(&client, request, credential, time);
        let mut answer = if recorded {
            answer.await
        } else {
            gate.guard(answer, before_send).await
        };
        if reused && matches!(&answer, Err(failure) if failure.sent) {
            self.idle.close();
        }
        if let Ok(reply) = &mut answer {
            reply.idle = reply
                .keeps_alive()
                .then(|| (client, Arc::clone(&self.idle)));
        }
        answer
    }

    async fn send_api(
        &self,
        client: &Client,
        request: &ApiRequest<'_>,
        credential: HeaderValue,
        time: Time,
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
        let scheme = Scheme::of(url);
        let cell = &self.storage[scheme as usize];
        let client = self.client(cell, Channel::Storage, scheme);
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
        let time = Time {
            head: limit,
            whole: None,
            silence: self.stall_timeout,
        };
        let reply = self.send(request, time, url, &shown).await?;
        if reply.status() < 300
            && let Err(why) = reply.framing()
        {
            let what = format!("{} gave an answer that cannot be used", reply.host);
            let error = Error::new(Code::Protocol, what).with_http_status(reply.status());
            let (error, sent) = (error.with_cause(why), true);
            return Err(Failure { error, sent });
        }
        Ok(reply)
    }

    /// Opens a connection to a storage, given by the root of its origin, for the first request to it.
    /// Nothing happens where it may not be spoken to.
    pub fn preconnect(&self, origin: &Url) {
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
                    let _ = ahead.set(Preconnected {
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
        time: Time,
        url: &Url,
        shown: &str,
    ) -> Result<Reply, Failure> {
        let host = shown_host(url);
        let started = active_time::now();
        let answer = active_time::timeout(time.head, pin!(request.send())).await;
        let result = match answer {
            Ok(Ok(response)) => Ok(Reply {
                response,
                host,
                stall_timeout: time.silence,
                end: time.whole.map(|whole| (started + whole, whole)),
                idle: None,
            }),
            Ok(Err(error)) => Err(failure::from_library(&error, &host)),
            Err(_) => Err(Failure {
                error: Error::new(Code::Stalled, format!("{host} went silent"))
                    .with_cause(format!("no answer for {} s", time.head.as_secs_f64())),
                sent: true,
            }),
        };
        let elapsed = active_time::since(started).as_secs_f64() * 1000.0;
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
    fn client(
        &self,
        cell: &OnceLock<Client>,
        channel: Channel,
        scheme: Scheme,
    ) -> Result<Client, Failure> {
        if let Some(client) = cell.get() {
            return Ok(client.clone());
        }
        let client = self
            .clients
            .client(channel, scheme)
            .map_err(Failure::unsent)?;
        Ok(cell.get_or_init(|| client).clone())
    }
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug)]
struct Time {
    /// Until its head is here.
    head: Duration,
    /// Until its body is here, too; none for as long as it moves.
    whole: Option<Duration>,
    /// How long less than 1 KiB/s may move in its body.
    silence: Duration,
}

/// How a body that was read ended.
pub enum End {
    /// By itself.
    Whole,
    /// It goes on, and is read no further.
    Cut,
    /// The connection broke, or too little moved.
    Broken(Error),
}

fn stalled(host: &str, window: Duration) -> Error {
    Error::new(Code::Stalled, format!("{host} went silent"))
        .with_cause(format!("less than 1 KiB/s for {} s", window.as_secs_f64()))
}

fn endless(host: &str, whole: Duration) -> Error {
    Error::new(
        Code::Stalled,
        format!("{host} gave an answer without an end"),
    )
    .with_cause(format!("it was not whole after {} s", whole.as_secs_f64()))
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
    /// When the body must be here, and how long that is after the request.
    end: Option<(Instant, Duration)>,
    /// Where the client of a charged request goes when this body was read whole.
    idle: Option<(Client, Arc<IdleConnections>)>,
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

    /// Whether the end of this body can be told from a broken connection.
    pub fn end_is_marked(&self) -> bool {
        self.framing() == Ok(true)
    }

    fn framing(&self) -> Result<bool, &'static str> {
        headers::end_is_marked(self.response.version(), self.headers())
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
            if let Some(piece) = self.chunk_within(watch, Duration::MAX).await? {
                return Ok(piece);
            }
        }
    }

    /// The same; none when nothing came for so long.
    async fn chunk_within(
        &mut self,
        watch: &mut StallWatch,
        longest: Duration,
    ) -> Result<Option<Option<bytes::Bytes>>> {
        loop {
            let wait = Wait::begin();
            let left = self
                .end
                .map(|(end, _)| end.saturating_duration_since(active_time::now()));
            let patience = watch.patience().min(left.unwrap_or(Duration::MAX));
            let patience = patience.min(longest);
            let piece = active_time::timeout(patience, pin!(self.response.chunk())).await;
            let moved = match &piece {
                Ok(Ok(Some(bytes))) => bytes.len() as u64,
                _ => 0,
            };
            watch.note(wait.took(), moved);
            match (piece, self.end) {
                (Ok(Ok(None)), _) => {
                    if let Some((client, idle)) = self.idle.take() {
                        idle.give_back(client);
                    }
                    return Ok(Some(None));
                }
                (Ok(Err(error)), _) => {
                    return Err(failure::from_library(&error, &self.host).error);
                }
                (Err(_), Some((end, whole))) if active_time::now() >= end => {
                    return Err(endless(&self.host, whole));
                }
                _ if watch.stalled() => return Err(stalled(&self.host, self.stall_timeout)),
                (Ok(Ok(some)), _) => return Ok(Some(some)),
                (Err(_), _) if patience == longest => return Ok(None),
                (Err(_), _) => {}
            }
        }
    }

    /// The body up to `limit` bytes; the rest is not read.
    ///
    /// # Errors
    /// As [`Reply::chunk`].
    pub async fn body(self, limit: usize) -> Result<Vec<u8>> {
        match self.read(limit, |_| false).await {
            (_, End::Broken(error)) => Err(error),
            (body, End::Whole | End::Cut) => Ok(body),
        }
    }

    /// The body up to `limit` bytes, or as much of it as came. A body that takes long is read until it is
    /// `enough`.
    pub async fn read(mut self, limit: usize, enough: impl Fn(&[u8]) -> bool) -> (Vec<u8>, End) {
        let mut watch = self.stall_watch();
        let mut body = Vec::new();
        let mut looked = active_time::now();
        loop {
            match self.chunk_within(&mut watch, LOOK).await {
                Ok(Some(None)) => return (body, End::Whole),
                Ok(Some(Some(piece))) => body.extend_from_slice(&piece),
                Ok(None) => {}
                Err(error) => return (body, End::Broken(error)),
            }
            if body.len() > limit {
                body.truncate(limit);
                return (body, End::Cut);
            }
            if active_time::since(looked) >= LOOK {
                if enough(&body) {
                    return (body, End::Cut);
                }
                looked = active_time::now();
            }
        }
    }

    /// The first bytes of an error's body; a body that breaks or takes long says nothing.
    pub async fn error_body(self) -> Vec<u8> {
        let body = active_time::timeout(ERROR_TIME, pin!(self.body(ERROR_BODY))).await;
        body.unwrap_or_else(|_| Ok(Vec::new())).unwrap_or_default()
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

    fn http(retry_max_time: Duration) -> Http {
        let settings = Connection {
            connect_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(5),
            retries: 0,
            retry_max_time,
            ..Connection::default()
        };
        let base = Url::parse("https://api.example.com").unwrap();
        let state = StateFolder::new(None);
        Http::new(&settings, &base, &[], &state, &Secret::new("x")).unwrap()
    }

    /// The refusal comes back whole through the library that resolved the name for us.
    #[tokio::test]
    async fn a_name_that_resolves_to_loopback_is_refused_for_a_public_api() {
        let Some(name) = name_of_loopback() else {
            println!("skipped: /etc/hosts names no loopback address but localhost");
            return;
        };
        let http = http(Duration::from_secs(5));
        let url = Url::parse(&format!("https://{name}:1/x?sig=secret")).unwrap();
        let error = http.storage(&url, None, None).await.err().unwrap();
        assert_eq!(error.code(), Code::PrivateAddress, "{error}");
        assert!(error.message().contains(&name) && !error.message().contains("secret"));
    }

    #[test]
    fn a_paid_answer_is_waited_for_five_minutes_whatever_the_other_limits_are() {
        let minutes = |minutes| Duration::from_mins(minutes);
        let time = |retry_max_time, charged: bool| {
            let mut record = async || Ok(());
            let request = ApiRequest {
                url: Url::parse("https://api.example.com").unwrap(),
                method: Method::POST,
                authorization: &Authorization {
                    header: header::AUTHORIZATION,
                    value: Secret::new("x"),
                },
                form: None,
                patience: Duration::ZERO,
                limit: None,
                before_send: charged.then_some(&mut record),
            };
            http(retry_max_time).time_for(&request)
        };
        for (retry_max_time, least) in [(minutes(1), minutes(5)), (minutes(60), minutes(60))] {
            let paid = time(retry_max_time, true);
            assert!(paid.head >= least && paid.silence >= least, "{paid:?}");
            assert!(paid.whole.is_some_and(|whole| whole >= least), "{paid:?}");
            let free = time(retry_max_time, false);
            assert_eq!(
                (free.head, free.whole),
                (Duration::from_secs(5), Some(retry_max_time))
            );
        }
    }
}
