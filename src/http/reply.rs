//! An answer: its head, and its body while the body arrives.

use super::coding::BodyText;
use super::connect::IdleConnections;
use super::failure;
use super::headers;
use super::peer::Peer;
use super::stall::StallWatch;
use crate::active_time::{self, StallTimer};
use crate::error::{Code, Error, Result};
use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderName};
use reqwest::{Client, Response, StatusCode, Version};
use serde::de::IgnoredAny;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use url::Url;

/// How much of an error's body is read, in bytes.
const MAX_ERROR_BODY_BYTES: usize = 4096;
/// How long the body of an error may take.
const MAX_ERROR_BODY_TIME: Duration = Duration::from_secs(10);
/// How often a reader checks whether the received part of a body suffices.
const BODY_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// A connection that the server closes sooner is not reused.
const MIN_KEEP_ALIVE_SECONDS: u32 = 3;

/// How the reading of a body ended.
#[derive(Debug)]
pub(crate) enum ReadEnd {
    /// The body was read whole.
    Complete,
    /// The rest of the body was not read.
    Cut,
    /// The connection broke, or the body stalled.
    Broken(Error),
}

/// An answer whose body is still to be read.
///
/// The type has no `Debug`, because that of reqwest's response shows the URL.
pub(crate) struct Reply {
    response: Response,
    peer: Peer,
    stall_timeout: Duration,
    deadline: Option<BodyDeadline>,
    reuse: Option<Reuse>,
    /// How long to wait after this answer where its headers name no time.
    assumed_wait: Option<Duration>,
    /// Whether the status 403 stands for 429.
    is_rate_limit: bool,
}

/// When a body must be complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyDeadline {
    /// The instant, by the clock of [`active_time`].
    pub at: Instant,
    /// The time from the request to that instant.
    pub limit: Duration,
}

/// What becomes of the client of a paid request when the body was read whole.
struct Reuse {
    client: Client,
    idle: Arc<IdleConnections>,
}

/// What a wait for the next part of a body brought.
enum BodyEvent {
    Bytes(Bytes),
    End,
    Nothing,
}

impl Reply {
    /// An answer of `peer` whose body may move less than 1 KiB/s for `stall_timeout`.
    pub(super) fn new(
        response: Response,
        peer: Peer,
        stall_timeout: Duration,
        deadline: Option<BodyDeadline>,
    ) -> Self {
        Self {
            response,
            peer,
            stall_timeout,
            deadline,
            reuse: None,
            assumed_wait: None,
            is_rate_limit: false,
        }
    }

    /// An answer that no request was sent for.
    #[cfg(any(feature = "internals", all(test, feature = "cli")))]
    pub(crate) fn unrequested(response: Response) -> Self {
        const LONG: Duration = Duration::from_hours(1);
        Self::new(response, Peer::unrequested(), LONG, None)
    }

    /// Makes `wait` the answer of [`Reply::retry_after`] where the headers name no time.
    pub(super) fn assume_wait(&mut self, wait: Option<Duration>) {
        self.assumed_wait = wait;
    }

    /// Gives the connection of `client` to `idle` after the body, if the connection stays open.
    pub(super) fn reuse_connection(&mut self, client: Client, idle: &Arc<IdleConnections>) {
        self.reuse = self.keeps_alive().then(|| Reuse {
            client,
            idle: Arc::clone(idle),
        });
    }

    /// Takes a status 403 for a 429, if the headers tell of a rate limit: services answer so in place of a 429 (RFC 6585
    /// section 4).
    pub(super) fn recognise_rate_limit(&mut self) {
        if self.response.status() == StatusCode::FORBIDDEN && headers::is_rate_limit(self.headers())
        {
            log::info!(
                "{} refuses a request for its rate limit, with status 403",
                self.peer
            );
            self.is_rate_limit = true;
        }
    }

    /// The status code.
    pub(crate) fn status(&self) -> u16 {
        if self.is_rate_limit {
            return StatusCode::TOO_MANY_REQUESTS.as_u16();
        }
        self.response.status().as_u16()
    }

    /// The URL of the request.
    pub(crate) fn url(&self) -> &Url {
        self.response.url()
    }

    /// The headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The host that answered, with its port where that is not the default.
    pub(crate) fn host(&self) -> &str {
        &self.peer.host
    }

    /// How long the server asks the client to wait: `Retry-After`; with status 429 (RFC 6585 section 4) and
    /// without `Retry-After`, the headers of a rate limit.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let (headers, now) = (self.headers(), SystemTime::now());
        let reset = || headers::rate_limit_reset(headers, now).filter(|_| self.status() == 429);
        let named = headers::retry_after(headers, now).or_else(reset);
        named.or(self.assumed_wait)
    }

    /// The announced length of this body, in bytes (RFC 9110 section 8.6).
    pub(crate) fn content_length(&self) -> Option<u64> {
        headers::content_length(self.headers())
    }

    /// Whether the end of this body differs from a broken connection; `false` for ambiguous headers, too.
    pub(crate) fn end_is_marked(&self) -> bool {
        self.framing() == Ok(true)
    }

    /// Whether the end of this body differs from a broken connection.
    ///
    /// # Errors
    /// Which headers are ambiguous.
    pub(super) fn framing(&self) -> Result<bool, &'static str> {
        headers::end_is_marked(self.response.version(), self.headers())
    }

    /// Whether the connection stays open after the body (RFC 9112 section 9.3), and for how long, where the
    /// server says so in `Keep-Alive` (RFC 2068 section 19.7.1.1).
    fn keeps_alive(&self) -> bool {
        let keep_alive = headers::text(self.headers(), HeaderName::from_static("keep-alive"));
        let closes_soon = keep_alive.is_some_and(|keep_alive| {
            let seconds = keep_alive.split(',').filter_map(|part| {
                let part = part.trim().strip_prefix("timeout=")?;
                part.parse::<u32>().ok()
            });
            seconds
                .min()
                .is_some_and(|seconds| seconds < MIN_KEEP_ALIVE_SECONDS)
        });
        self.response.version() == Version::HTTP_11
            && self.end_is_marked()
            && !closes_soon
            && !headers::text(self.headers(), header::CONNECTION)
                .is_some_and(|options| options.to_ascii_lowercase().contains("close"))
    }

    /// A stall watch with the time limit of this body.
    pub(crate) fn stall_watch(&self) -> StallWatch {
        StallWatch::new(self.stall_timeout)
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// [`Code::Network`] when the connection broke, [`Code::Stalled`] when too little arrived.
    pub(crate) async fn chunk(&mut self, watch: &mut StallWatch) -> Result<Option<Bytes>> {
        loop {
            match self.next_event(watch, Duration::MAX).await? {
                BodyEvent::Bytes(piece) => return Ok(Some(piece)),
                BodyEvent::End => return Ok(None),
                BodyEvent::Nothing => {}
            }
        }
    }

    /// Waits for the next piece of the body, for `max_wait` at most.
    ///
    /// # Errors
    /// As [`Reply::chunk`].
    async fn next_event(
        &mut self,
        watch: &mut StallWatch,
        max_wait: Duration,
    ) -> Result<BodyEvent> {
        loop {
            let waiting = StallTimer::start();
            let left = self.deadline.map_or(Duration::MAX, |deadline| {
                deadline.at.saturating_duration_since(active_time::now())
            });
            let limit = watch.max_wait().min(left).min(max_wait);
            let piece = active_time::timeout(limit, pin!(self.response.chunk())).await;
            let moved = match &piece {
                Ok(Ok(Some(bytes))) => bytes.len() as u64,
                _ => 0,
            };
            watch.record(waiting.elapsed(), moved);
            match (piece, self.deadline) {
                (Ok(Ok(None)), _) => {
                    if let Some(Reuse { client, idle }) = self.reuse.take() {
                        idle.give_back(client);
                    }
                    return Ok(BodyEvent::End);
                }
                (Ok(Err(error)), _) => {
                    return Err(failure::from_reqwest(&error, &self.peer).error);
                }
                (Err(_), Some(deadline)) if active_time::now() >= deadline.at => {
                    return Err(self.is_late(deadline));
                }
                _ if watch.is_stalled() => return Err(self.is_stalled()),
                (Ok(Ok(Some(bytes))), _) => return Ok(BodyEvent::Bytes(bytes)),
                (Err(_), _) if limit == max_wait => return Ok(BodyEvent::Nothing),
                (Err(_), _) => {}
            }
        }
    }

    fn is_late(&self, deadline: BodyDeadline) -> Error {
        let what = format!("{} did not finish its answer", self.peer);
        let seconds = deadline.limit.as_secs_f64();
        Error::new(Code::Stalled, what)
            .with_cause(format!("the answer was not whole after {seconds} s"))
    }

    fn is_stalled(&self) -> Error {
        let seconds = self.stall_timeout.as_secs_f64();
        Error::new(Code::Stalled, format!("{} went silent", self.peer))
            .with_cause(format!("less than 1 KiB/s for {seconds} s"))
    }

    /// Reads the JSON of the body, decoded, up to `limit` bytes. The rest is not read. A body that ends in an
    /// error is whole when its JSON is: a server may close the connection without a TLS
    /// `close_notify` message.
    ///
    /// # Errors
    /// As [`Reply::chunk`]; [`Code::Protocol`] for a body that cannot be decoded.
    pub(crate) async fn json_body(self, limit: usize) -> Result<Vec<u8>> {
        match self.read_until(limit, |_| false).await {
            (body, ReadEnd::Broken(error)) => {
                // The last character of an object or an array tells that nothing is missing.
                let has_end = matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
                if has_end && serde_json::from_slice::<IgnoredAny>(&body).is_ok() {
                    Ok(body)
                } else {
                    Err(error)
                }
            }
            (body, ReadEnd::Complete | ReadEnd::Cut) => Ok(body),
        }
    }

    /// Reads the body, decoded, up to `limit` bytes, or as much of it as arrives. The coded body has the same
    /// limit. Every second, the reading stops early if `suffices` accepts the part that is here.
    pub(crate) async fn read_until(
        mut self,
        limit: usize,
        suffices: impl Fn(&[u8]) -> bool,
    ) -> (Vec<u8>, ReadEnd) {
        let mut watch = self.stall_watch();
        let mut body = BodyText::new(self.headers(), limit);
        let (mut checked, mut received) = (active_time::now(), 0);
        let end = loop {
            match self.next_event(&mut watch, BODY_CHECK_INTERVAL).await {
                Ok(BodyEvent::End) => {
                    break match body.flaw() {
                        Some(why) => ReadEnd::Broken(self.is_unusable(why)),
                        None => ReadEnd::Complete,
                    };
                }
                Ok(BodyEvent::Bytes(piece)) => {
                    received += piece.len();
                    body.push(&piece);
                }
                Ok(BodyEvent::Nothing) => {}
                Err(error) => break ReadEnd::Broken(error),
            }
            if received.max(body.text().len()) > limit {
                break ReadEnd::Cut;
            }
            if active_time::since(checked) >= BODY_CHECK_INTERVAL {
                if suffices(body.text()) {
                    break ReadEnd::Cut;
                }
                checked = active_time::now();
            }
        };
        (body.into_text(), end)
    }

    fn is_unusable(&self, why: String) -> Error {
        let what = format!("{} gave an answer that cannot be used", self.peer);
        Error::new(Code::Protocol, what).with_cause(why)
    }

    /// The first 4 KiB of an error's body, decoded, or the part of them that arrives; empty when the body
    /// takes longer than 10 s.
    pub(crate) async fn error_body(self) -> Vec<u8> {
        let body = self.read_until(MAX_ERROR_BODY_BYTES, |_| false);
        let body = active_time::timeout(MAX_ERROR_BODY_TIME, pin!(body)).await;
        body.map(|(body, _)| body).unwrap_or_default()
    }
}
