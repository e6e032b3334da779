//! From a presigned URL to the bytes behind it: one request to the storage, and what its answer
//! means for the bytes that are already there.
//!
//! Only a 200 to a plain request and a 206 that continues the very same representation are
//! accepted. Everything else is an error, or a value that tells the engine which way to go.

use crate::error::{Code, Error, Result};
use crate::fetch::entity::{Entity, StorageNames};
use crate::fetch::events::Watcher;
use crate::fetch::target::naming;
use crate::fetch::transfer::digests::Digests;
use crate::fetch::transfer::pace::Pace;
use crate::fetch::transfer::sink::Sink;
use crate::fetch::transfer::web_page::{MAX_SNIFFED_BYTES, starts_as_html};
use crate::http::content_disposition;
use crate::http::headers::{self, ContentRange};
use crate::http::presigned::{PresignedUrl, Refusal, refusal};
use crate::http::send::{Http, Part, Reply};
use crate::http::stall::StallWatch;
use crate::secret::{path_opens, register_url};
use bytes::Bytes;
use reqwest::header::{CONTENT_DISPOSITION, HeaderMap};
use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;
use url::Url;

/// Redirects that a storage may answer with in a row.
const REDIRECTS: usize = 3;
/// How long a storage may take to answer for a URL that is past its end.
const TRIAL: Duration = Duration::from_secs(10);

/// What a storage answered.
pub(crate) enum StorageAnswer {
    /// Bytes.
    Body(Box<Body>),
    /// All bytes are here already.
    NothingMissing,
    /// What is here cannot be continued.
    StartOver {
        /// Why, for the log.
        why: &'static str,
        /// Whether the storage has another document now.
        changed: bool,
    },
    /// The URL's time is over.
    Expired,
    /// There is nothing there, or not yet.
    NotFound(Error),
}

/// A body that may be read into a sink.
pub(crate) struct Body {
    reply: Reply,
    /// What was read of it already.
    read: VecDeque<Bytes>,
    /// What the bytes belong to.
    pub entity: Entity,
    /// Offset of its first byte in the document.
    pub offset: u64,
    /// Offset behind its last byte, where it is announced; else there is no end of it.
    pub end: u64,
    /// The media type that the storage tells.
    pub media_type: Option<String>,
    /// Whether its end can be told from a broken connection.
    pub end_is_marked: bool,
}

/// How a body ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// With the document's last byte.
    Complete,
    /// Not where it announced: nothing of it is to be trusted.
    TooLong,
}

/// Asks for a range of `entity`, whose first byte may be the document's; whatever follows is behind it.
///
/// # Errors
/// What the storage refuses or fails at; whether to try again is the error's to say.
pub(crate) async fn open(
    http: &Http,
    url: &PresignedUrl,
    wanted: &Range<u64>,
    entity: &Entity,
) -> Result<StorageAnswer> {
    let all = wanted.start == 0 && wanted.end >= entity.total.unwrap_or(0);
    let tag = entity.tag.as_deref().filter(|tag| headers::is_strong(tag));
    let asked = match tag {
        _ if all => None,
        None => return Ok(useless("it has no strong entity tag")),
        Some(tag) => Some(Part {
            from: wanted.start,
            to: Some(wanted.end).filter(|end| entity.total.is_some_and(|total| *end < total)),
            tag: Some(tag),
        }),
    };
    let presigned = url;
    let (reply, url) = follow(http, url, asked).await?;
    let named = if path_opens(&url) {
        presigned.expose()
    } else {
        &url
    };
    let status = reply.status();
    match (status, asked) {
        (200, _) => Ok(whole(reply, named)),
        (206, Some(Part { from, .. })) => {
            part(reply, named, (from, tag.unwrap_or_default()), entity)
        }
        (206, None) => Err(refused(&reply)
            .with_cause("it sent a part of the document where the whole was asked for (HTTP 206)")),
        (416, Some(Part { from, .. })) => {
            let tag = tag.unwrap_or_default();
            Ok(if is_all(reply.headers(), from, tag, entity.total) {
                StorageAnswer::NothingMissing
            } else {
                other_document("the document has another length now")
            })
        }
        (412, Some(_)) => Ok(other_document("the document changed")),
        (200..=399, _) => Err(refused(&reply).with_cause(format!("HTTP {status}"))),
        _ => refusal_of(reply, presigned, http).await,
    }
}

/// Whether the storage still serves a URL, by a request for its first byte.
///
/// # Errors
/// What keeps the storage from answering that.
pub(crate) async fn is_served(http: &Http, url: &PresignedUrl) -> Result<bool> {
    let first = Part {
        from: 0,
        to: Some(1),
        tag: None,
    };
    let (reply, _) = follow(http, url, Some(first)).await?;
    match reply.status() {
        200 | 206 | 416 => Ok(true), // an empty document has no first byte
        200..=399 => Err(refused(&reply).with_cause(format!("HTTP {}", reply.status()))),
        _ => match refusal_of(reply, url, http).await? {
            StorageAnswer::Expired => Ok(false),
            StorageAnswer::NotFound(error) => Err(error),
            StorageAnswer::Body(_)
            | StorageAnswer::NothingMissing
            | StorageAnswer::StartOver { .. } => Ok(true),
        },
    }
}

fn useless(why: &'static str) -> StorageAnswer {
    StorageAnswer::StartOver {
        why,
        changed: false,
    }
}

fn other_document(why: &'static str) -> StorageAnswer {
    StorageAnswer::StartOver { why, changed: true }
}

/// Follows the storage's own redirects by hand; each hop is checked before it is asked.
async fn follow(http: &Http, url: &PresignedUrl, part: Option<Part<'_>>) -> Result<(Reply, Url)> {
    let limit = url.is_on_trial(http.clock()).then_some(TRIAL);
    let mut url = url.expose().clone();
    for _ in 0..=REDIRECTS {
        let reply = http.storage(&url, part, limit).await?;
        if !matches!(reply.status(), 301 | 302 | 303 | 307 | 308) {
            return Ok((reply, url));
        }
        url = headers::location(reply.headers(), &url)
            .map_err(|wrong| refused(&reply).with_cause(wrong))?;
        register_url(&url);
    }
    Err(
        Error::new(Code::UnsafeRedirect, "the storage redirects without end")
            .with_cause(format!("more than {REDIRECTS} redirects in a row")),
    )
}

fn whole(reply: Reply, url: &Url) -> StorageAnswer {
    let entity = Entity {
        tag: headers::entity_tag(reply.headers()),
        total: reply.content_length(),
        name: name(&reply, url),
        checksum: headers::checksum(reply.headers(), true),
    };
    let end = entity.total.unwrap_or(u64::MAX);
    StorageAnswer::Body(Box::new(Body::new(reply, entity, 0, end)))
}

/// What a 206 is to the bytes that are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Continues {
    /// Their continuation.
    With {
        /// Offset behind its last byte.
        end: u64,
        /// Length of the whole.
        total: u64,
    },
    /// Nothing that can be used.
    Not(&'static str),
    /// Part of another document.
    Other(&'static str),
    /// It contradicts itself.
    Contradiction,
}

/// A 206 continues what is here only from the exact byte, of the same total, under the same tag.
fn continues(headers: &HeaderMap, position: u64, tag: &str, known_total: Option<u64>) -> Continues {
    let Some(ContentRange::Part {
        first,
        last,
        total: Some(total),
    }) = headers::content_range(headers)
    else {
        return Continues::Not("its Content-Range cannot be used");
    };
    if headers::entity_tag(headers).as_deref() != Some(tag) {
        return Continues::Other("the document changed");
    }
    if first != position {
        return Continues::Not("another part came than was asked for");
    }
    if known_total.is_some_and(|known| known != total) {
        return Continues::Other("the document has another length now");
    }
    if headers::content_length(headers).is_some_and(|length| length != last - first + 1) {
        return Continues::Contradiction;
    }
    Continues::With {
        end: last + 1,
        total,
    }
}

/// Whether a 416 means that the bytes that are here are all: only when they are as long as the same
/// document. Where the request had no `If-Range`, the 416 itself must name the entity tag.
fn is_all(headers: &HeaderMap, position: u64, tag: &str, known_total: Option<u64>) -> bool {
    let same_tag = match headers::entity_tag(headers) {
        Some(other) => other == tag,
        None => headers::is_quoted(tag),
    };
    let same_length = known_total.is_none_or(|known| known == position);
    let range = headers::content_range(headers);
    same_tag && same_length && range == Some(ContentRange::Unsatisfied { total: position })
}

fn part(
    reply: Reply,
    url: &Url,
    (from, tag): (u64, &str),
    known: &Entity,
) -> Result<StorageAnswer> {
    let (end, total) = match continues(reply.headers(), from, tag, known.total) {
        Continues::With { end, total } => (end, total),
        Continues::Not(why) => return Ok(useless(why)),
        Continues::Other(why) => return Ok(other_document(why)),
        Continues::Contradiction => {
            return Err(refused(&reply).with_cause("its Content-Length and Content-Range disagree"));
        }
    };
    let entity = Entity {
        tag: Some(tag.to_owned()),
        total: Some(total),
        name: name(&reply, url),
        checksum: headers::checksum(reply.headers(), false),
    };
    let body = Body::new(reply, entity, from, end);
    Ok(StorageAnswer::Body(Box::new(body)))
}

/// The name that the storage gives the document: by `Content-Disposition`, else by its URL's path.
fn name(reply: &Reply, url: &Url) -> StorageNames {
    let disposition = reply.headers().get(CONTENT_DISPOSITION);
    StorageNames {
        header: disposition
            .and_then(|value| content_disposition::file_name(value.as_bytes()))
            .and_then(|name| naming::safe(&name)),
        url: naming::from_url(url),
    }
}

fn refused(reply: &Reply) -> Error {
    Error::new(
        Code::Protocol,
        format!(
            "the storage {} gave an answer that cannot be used",
            reply.host()
        ),
    )
    .with_http_status(reply.status())
}

/// A status that is no success: its body is read for the storage's error code, and never saved. Storages
/// say *expired* in many ways, so that any of their denials of a URL past its end means that, and of a
/// URL on trial every 4xx but those that ask to come back.
async fn refusal_of(reply: Reply, url: &PresignedUrl, http: &Http) -> Result<StorageAnswer> {
    let status = reply.status();
    let host = reply.host().to_owned();
    let wait = reply.retry_after();
    let (code, meaning) = refusal(&reply.error_body().await);
    let why = match code {
        Some(code) => format!("HTTP {status}, {code}"),
        None => format!("HTTP {status}"),
    };
    let error = |code, what: String| {
        Error::new(code, what)
            .with_cause(why.clone())
            .with_http_status(status)
            .with_retry_after(wait)
    };
    match (status, meaning) {
        (408 | 425 | 429 | 500 | 502 | 503 | 504, _) => Err(error(
            Code::StorageError,
            format!("the storage {host} could not answer"),
        )),
        (500.., _) => {
            Err(error(Code::StorageError, format!("the storage {host} failed")).into_permanent())
        }
        (400..=499, _) if url.is_on_trial(http.clock()) => Ok(StorageAnswer::Expired),
        (404, _) => Ok(StorageAnswer::NotFound(error(
            Code::StorageDenied,
            format!("the storage {host} does not have the document"),
        ))),
        (_, Refusal::Expired) => Ok(StorageAnswer::Expired),
        (401 | 403 | 410, Refusal::Denied | Refusal::Signature)
            if url.is_expired(url.judged_at(http.clock())) =>
        {
            Ok(StorageAnswer::Expired)
        }
        (_, Refusal::ClockSkew) => Err(error(
            Code::ClockSkew,
            format!("the storage {host} says that the clock of the URL's signer is wrong"),
        )),
        (_, Refusal::Signature) => Err(error(
            Code::StorageDenied,
            format!("the storage {host} does not accept the URL's signature"),
        )
        .with_hint("tell the provider: its storage expects another signature")),
        (_, Refusal::Denied) => Err(error(
            Code::StorageDenied,
            format!("the storage {host} refuses the document"),
        )
        .with_hint("ask the provider whether this account may have the document")),
    }
}

impl Body {
    fn new(reply: Reply, entity: Entity, offset: u64, end: u64) -> Self {
        Self {
            media_type: headers::media_type(reply.headers()),
            end_is_marked: reply.end_is_marked(),
            reply,
            read: VecDeque::new(),
            entity,
            offset,
            end,
        }
    }

    /// Reads it into the sink, which may hold some of its first bytes already; those are passed
    /// over.
    ///
    /// # Errors
    /// A broken or stalled connection, or a sink that takes no more.
    pub(crate) async fn copy(
        mut self,
        sink: &mut Sink,
        digests: &mut Digests,
        pace: &Pace,
        watcher: &mut dyn Watcher,
    ) -> Result<BodyEnd> {
        let mut watch = self.reply.stall_watch();
        let mut held = sink.position() - self.offset;
        while let Some(piece) = self.chunk(&mut watch).await? {
            let known = held.min(piece.len() as u64);
            held -= known;
            let Some(fresh) = usize::try_from(known)
                .ok()
                .and_then(|known| piece.get(known..))
            else {
                continue;
            };
            if fresh.is_empty() {
                continue;
            }
            let after = sink.position() + fresh.len() as u64;
            if after > self.end {
                return Ok(BodyEnd::TooLong);
            }
            for fresh in fresh.chunks(pace.max_piece_bytes()) {
                pace.wait_for(fresh.len()).await;
                sink.write(fresh).await?;
                digests.update(fresh, sink.position());
                watcher.moved(sink.position());
            }
        }
        match self.entity.total {
            Some(total) if sink.position() < total => Err(self.is_short(sink.position())),
            _ => Ok(BodyEnd::Complete),
        }
    }

    /// The error of a body that ended at `position`, before its time.
    pub(crate) fn is_short(&self, position: u64) -> Error {
        let host = self.reply.host();
        let what = format!("the storage {host} sent less than it announced");
        let end = self.entity.total.unwrap_or(self.end);
        Error::new(Code::Network, what).with_cause(format!("{position} of {end} bytes"))
    }

    /// A watch over its pace.
    pub(crate) fn stall_watch(&self) -> StallWatch {
        self.reply.stall_watch()
    }

    /// Its next bytes, none at its end.
    ///
    /// # Errors
    /// As [`Reply::chunk`].
    pub(crate) async fn chunk(&mut self, watch: &mut StallWatch) -> Result<Option<Bytes>> {
        match self.read.pop_front() {
            Some(piece) => Ok(Some(piece)),
            None => self.reply.chunk(watch).await,
        }
    }

    /// Whether it starts as HTML. As many of its first bytes as it takes are read; they come again.
    ///
    /// # Errors
    /// As [`Reply::chunk`].
    pub(crate) async fn starts_as_html(&mut self) -> Result<bool> {
        let mut watch = self.stall_watch();
        let mut first = Vec::new();
        loop {
            let piece = self.reply.chunk(&mut watch).await?;
            let ended = piece.is_none();
            if let Some(piece) = piece {
                first.extend(piece.iter().take(MAX_SNIFFED_BYTES - first.len()));
                self.read.push_back(piece);
            }
            if let Some(is_html) = starts_as_html(&first, ended) {
                return Ok(is_html);
            }
        }
    }

    /// The host that sends it.
    pub(crate) fn host(&self) -> &str {
        self.reply.host()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn headers(pairs: &[(&'static str, String)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).unwrap();
            (HeaderName::from_static(name), value)
        });
        pairs.collect()
    }

    proptest! {
        /// The resume plan: whatever a 206 says, its bytes are joined only when they are the very next
        /// ones of the very same document, and never past its end.
        #[test]
        fn only_the_very_next_bytes_of_the_same_document_are_joined(
            (position, first, length, total, known) in (1u64..20, 0u64..20, 1u64..20, 0u64..40, prop::option::of(0u64..40)),
            (tag, body) in (prop_oneof![Just("\"a\""), Just("\"b\""), Just("W/\"a\""), Just("")], prop::option::of(0u64..20)),
        ) {
            let last = first + length - 1;
            let mut pairs = vec![
                ("content-range", format!("bytes {first}-{last}/{total}")),
                ("etag", tag.to_owned()),
            ];
            pairs.extend(body.map(|body| ("content-length", body.to_string())));
            let found = continues(&headers(&pairs), position, "\"a\"", known);
            let right = tag == "\"a\""
                && first == position
                && last < total
                && known.is_none_or(|known| known == total)
                && body.is_none_or(|body| body == length);
            prop_assert_eq!(matches!(found, Continues::With { .. }), right);
            if let Continues::With { end, total } = found {
                prop_assert!(position < end && end <= total);
            }
        }

        /// A 416 completes only what is exactly as long as the same document.
        #[test]
        fn a_416_completes_only_the_same_document_of_the_same_length(
            (position, total, known) in (0u64..6, 0u64..6, prop::option::of(0u64..6)),
            tag in prop::option::of(prop_oneof![Just("\"a\""), Just("\"b\"")]),
        ) {
            let mut pairs = vec![("content-range", format!("bytes */{total}"))];
            pairs.extend(tag.map(|tag| ("etag", tag.to_owned())));
            let right = total == position
                && known.is_none_or(|known| known == total)
                && tag != Some("\"b\"");
            prop_assert_eq!(is_all(&headers(&pairs), position, "\"a\"", known), right);
        }
    }
}
