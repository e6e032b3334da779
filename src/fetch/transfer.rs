//! From a presigned URL to the bytes behind it: one request to the storage, and what its answer
//! means for the bytes that are already there.
//!
//! Only a 200 to a plain request and a 206 that continues the very same representation are
//! accepted. Everything else is an error, or a value that tells the engine which way to go.

use super::events::Progress;
use super::naming;
use super::partial::{Entity, Name};
use super::sink::Sink;
use super::verify::Digests;
use crate::error::{Code, Error, Result};
use crate::http::content_disposition;
use crate::http::headers::{self, Checksum, ContentRange};
use crate::http::presigned::{PresignedUrl, Refusal, refusal};
use crate::http::send::{Http, Reply};
use reqwest::header::CONTENT_DISPOSITION;
use url::Url;

/// Redirects that a storage may answer with in a row.
const REDIRECTS: usize = 3;

/// What a storage answered.
pub enum Opened {
    /// Bytes.
    Body(Box<Body>),
    /// All bytes are here already.
    Complete,
    /// What is here cannot be continued.
    StartOver {
        /// Why, for the log.
        why: &'static str,
        /// Whether it is because the document is another one now.
        other: bool,
    },
    /// The URL's time is over.
    Expired,
    /// There is nothing there, or not yet.
    NotThere(Error),
}

/// A body that may be read into a sink.
pub struct Body {
    reply: Reply,
    /// What the bytes belong to.
    pub entity: Entity,
    /// Offset of its first byte in the document.
    pub offset: u64,
    /// Offset behind its last byte, where it is announced.
    end: Option<u64>,
    /// The media type that the storage tells.
    pub media_type: Option<String>,
    /// The checksum of the whole object that the storage announces.
    pub checksum: Option<(Checksum, Vec<u8>)>,
    /// Whether its end can be told from a broken connection.
    pub end_is_marked: bool,
}

/// How a body ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// With the document's last byte.
    All,
    /// Not where it announced: nothing of it is to be trusted.
    TooMuch,
}

/// Asks for what is missing after `position` bytes of `entity`.
///
/// # Errors
/// What the storage refuses or fails at; whether to try again is the error's to say.
pub async fn open(
    http: &Http,
    url: &PresignedUrl,
    position: u64,
    entity: &Entity,
) -> Result<Opened> {
    let tag = entity.tag.as_deref().filter(|tag| headers::is_strong(tag));
    let range = match (position, tag) {
        (0, _) => None,
        (_, None) => return Ok(useless("it has no strong entity tag")),
        (_, Some(tag)) => Some((position, tag)),
    };
    let presigned = url;
    let (reply, url) = follow(http, url, range).await?;
    let status = reply.status();
    match (status, range) {
        (200, _) => Ok(whole(reply, &url)),
        (206, Some((position, tag))) => part(reply, &url, position, tag, entity),
        (206, None) => Err(refused(&reply)
            .why("it sent a part of the document where the whole was asked for (HTTP 206)")),
        (416, Some((position, tag))) => {
            let other = headers::entity_tag(reply.headers()).is_some_and(|other| other != tag);
            Ok(match headers::content_range(reply.headers()) {
                Some(ContentRange::Unsatisfied { total })
                    if total == position
                        && entity.total.is_none_or(|known| known == total)
                        && !other =>
                {
                    Opened::Complete
                }
                _ => other_document("the document has another length now"),
            })
        }
        (412, Some(_)) => Ok(other_document("the document changed")),
        (200..=399, _) => Err(refused(&reply).why(format!("HTTP {status}"))),
        _ => refusal_of(reply, presigned.is_over(http.clock().now())).await,
    }
}

fn useless(why: &'static str) -> Opened {
    Opened::StartOver { why, other: false }
}

fn other_document(why: &'static str) -> Opened {
    Opened::StartOver { why, other: true }
}

/// Follows the storage's own redirects by hand; each hop is checked before it is asked.
async fn follow(
    http: &Http,
    url: &PresignedUrl,
    range: Option<(u64, &str)>,
) -> Result<(Reply, Url)> {
    let mut url = url.expose().clone();
    for _ in 0..=REDIRECTS {
        let reply = http.storage(&url, range).await?;
        if !matches!(reply.status(), 301 | 302 | 303 | 307 | 308) {
            return Ok((reply, url));
        }
        url =
            headers::location(reply.headers(), &url).map_err(|wrong| refused(&reply).why(wrong))?;
    }
    Err(
        Error::new(Code::UnsafeRedirect, "the storage redirects without end")
            .why(format!("more than {REDIRECTS} redirects in a row")),
    )
}

fn whole(reply: Reply, url: &Url) -> Opened {
    let entity = Entity {
        tag: headers::entity_tag(reply.headers()),
        total: reply.content_length(),
        name: name(&reply, url),
    };
    let end = entity.total;
    let checksum = headers::checksum(reply.headers(), true);
    Opened::Body(Box::new(Body::new(reply, entity, 0, end, checksum)))
}

/// A 206 continues what is here only from the exact byte, of the same total, under the same tag.
fn part(reply: Reply, url: &Url, position: u64, tag: &str, known: &Entity) -> Result<Opened> {
    let Some(ContentRange::Part {
        first,
        last,
        total: Some(total),
    }) = headers::content_range(reply.headers())
    else {
        return Ok(useless("its Content-Range cannot be used"));
    };
    if headers::entity_tag(reply.headers()).as_deref() != Some(tag) {
        return Ok(other_document("the document changed"));
    }
    if first != position {
        return Ok(useless("another part came than was asked for"));
    }
    if known.total.is_some_and(|known| known != total) {
        return Ok(other_document("the document has another length now"));
    }
    if reply
        .content_length()
        .is_some_and(|length| length != last - first + 1)
    {
        return Err(refused(&reply).why("its Content-Length and Content-Range disagree"));
    }
    let entity = Entity {
        tag: Some(tag.to_owned()),
        total: Some(total),
        name: name(&reply, url),
    };
    let checksum = headers::checksum(reply.headers(), false);
    Ok(Opened::Body(Box::new(Body::new(
        reply,
        entity,
        position,
        Some(last + 1),
        checksum,
    ))))
}

/// The name that the storage gives the document: by `Content-Disposition`, else by its URL's path.
fn name(reply: &Reply, url: &Url) -> Name {
    let disposition = reply.headers().get(CONTENT_DISPOSITION);
    Name {
        told: disposition
            .and_then(|value| content_disposition::file_name(value.as_bytes()))
            .and_then(|name| naming::safe(&name)),
        in_url: naming::from_url(url),
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
    .http_status(reply.status())
}

/// A status that is no success: its body is read for the storage's error code, and never saved. A
/// storage that only denies a URL whose time is `over` means that.
async fn refusal_of(reply: Reply, over: bool) -> Result<Opened> {
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
            .why(why.clone())
            .http_status(status)
            .retry_after(wait)
    };
    match (status, meaning) {
        (408 | 425 | 429 | 500 | 502 | 503 | 504, _) => Err(error(
            Code::StorageError,
            format!("the storage {host} could not answer"),
        )),
        (500.., _) => {
            Err(error(Code::StorageError, format!("the storage {host} failed")).permanent())
        }
        (404, _) => Ok(Opened::NotThere(error(
            Code::StorageDenied,
            format!("the storage {host} does not have the document"),
        ))),
        (_, Refusal::Expired) => Ok(Opened::Expired),
        (403, Refusal::Denied) if over => Ok(Opened::Expired),
        (_, Refusal::ClockSkew) => Err(error(
            Code::ClockSkew,
            format!("the storage {host} finds the clock of whoever signed the URL wrong"),
        )),
        (_, Refusal::Signature) => Err(error(
            Code::StorageDenied,
            format!("the storage {host} does not accept the URL's signature"),
        )
        .hint("tell the provider: its storage expects another signature")),
        (_, Refusal::Denied) => Err(error(
            Code::StorageDenied,
            format!("the storage {host} refuses the document"),
        )
        .hint("ask the provider whether this account may have the document")),
    }
}

impl Body {
    fn new(
        reply: Reply,
        entity: Entity,
        offset: u64,
        end: Option<u64>,
        checksum: Option<(Checksum, Vec<u8>)>,
    ) -> Self {
        Self {
            media_type: headers::media_type(reply.headers()),
            end_is_marked: reply.end_is_marked(),
            reply,
            entity,
            offset,
            end,
            checksum,
        }
    }

    /// Reads it into the sink, which may hold some of its first bytes already; those are passed
    /// over.
    ///
    /// # Errors
    /// A broken or stalled connection, or a sink that takes no more.
    pub async fn copy(
        mut self,
        sink: &mut Sink,
        digests: &mut Digests,
        watcher: &dyn Progress,
    ) -> Result<Copied> {
        let mut watch = self.reply.stall_watch();
        let mut held = sink.position() - self.offset;
        while let Some(piece) = self.reply.chunk(&mut watch).await? {
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
            if self.end.is_some_and(|end| after > end) {
                return Ok(Copied::TooMuch);
            }
            sink.write(fresh).await?;
            digests.update(fresh);
            watcher.moved(sink.position());
        }
        match self.entity.total {
            Some(total) if sink.position() < total => Err(Error::new(
                Code::Network,
                format!(
                    "the storage {} sent less than it announced",
                    self.reply.host()
                ),
            )
            .why(format!("{} of {total} bytes", sink.position()))),
            _ => Ok(Copied::All),
        }
    }
}
