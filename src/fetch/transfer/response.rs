//! One request to the storage, and what its response means for the bytes that are already here.
//!
//! docfetch accepts only a 200, and a 206 that continues the same representation. Every other response
//! is an error, or a [`StorageAnswer`] that tells the caller how to proceed.

use crate::error::{Code, Error, Result};
use crate::fetch::entity::{Entity, StorageNames};
use crate::fetch::target::naming;
use crate::fetch::transfer::body::Body;
use crate::fetch::transfer::continuation::{Continues, continues, is_whole};
use crate::fetch::transfer::storage_refusal::{StorageRefusal, refusal_of};
use crate::http::backoff::RetryContext;
use crate::http::handed_over::{self, UnusableUrl};
use crate::http::headers::content_disposition;
use crate::http::{Http, PresignedUrl, RangeRequest, Reply, StorageHeaders, headers};
use crate::resolve::{ApiAnswer, Resolver};
use crate::secret::{has_secret_path, register_url};
use reqwest::header::{CONTENT_DISPOSITION, LOCATION};
use std::ops::Range;
use std::time::Duration;
use url::Url;

/// A storage may redirect a request this many times.
const MAX_REDIRECTS: usize = 3;
/// A storage must answer within this time when the URL is past its expiry.
const EXPIRED_URL_TIMEOUT: Duration = Duration::from_secs(10);

/// How a storage answered a request for a document.
pub(crate) enum StorageAnswer {
    /// It sends bytes.
    Body(Box<Body>),
    /// The sink already has all bytes.
    NothingMissing,
    /// The storage cannot continue the bytes that are here.
    StartOver {
        /// The reason, for the log.
        why: &'static str,
        /// Whether the reason is that the document changed.
        changed: bool,
    },
    /// The URL has expired.
    Expired,
    /// The storage does not have the document, or does not have it yet.
    NotFound(Error),
}

impl From<StorageRefusal> for Result<StorageAnswer> {
    fn from(refusal: StorageRefusal) -> Self {
        match refusal {
            StorageRefusal::Expired => Ok(StorageAnswer::Expired),
            StorageRefusal::NotFound(error) => Ok(StorageAnswer::NotFound(error)),
            StorageRefusal::Other(error) => Err(error),
        }
    }
}

/// A reply to a request for a document's bytes.
struct DocumentReply {
    reply: Reply,
    /// The URL whose path may name the document. None where the API itself sends the bytes.
    naming_url: Option<Url>,
}

/// Requests the bytes in `missing` from the storage, as a range request where other bytes of `entity` are
/// already here. The storage may send more than that, or the whole document.
///
/// Where the API itself sends the bytes, the API is the storage. When the API redirects the request, `url` becomes the
/// URL of the redirect.
///
/// # Errors
/// [`Code::Protocol`] when the answer cannot be used; [`Code::UnsafeRedirect`] when the storage redirects
/// too often; [`Code::StorageError`], [`Code::StorageDenied`] and [`Code::ClockSkew`] when the storage
/// refuses; and the errors of [`Http::storage`] and of [`Resolver::request_bytes`].
pub(crate) async fn open(
    resolver: &Resolver,
    url: &mut PresignedUrl,
    missing: &Range<u64>,
    entity: &Entity,
    retry: &mut RetryContext,
) -> Result<StorageAnswer> {
    let whole = missing.start == 0 && missing.end >= entity.total.unwrap_or(0);
    let tag = entity.tag.as_deref().filter(|tag| headers::is_strong(tag));
    let range = match tag {
        _ if whole => None,
        None => return Ok(cannot_continue("it has no strong entity tag")),
        Some(tag) => Some(RangeRequest {
            from: missing.start,
            to: Some(missing.end).filter(|end| entity.total.is_some_and(|total| *end < total)),
            tag: Some(tag),
        }),
    };
    let tag = tag.unwrap_or_default();
    let DocumentReply { reply, naming_url } = request(resolver, url, range, retry).await?;
    let naming_url = naming_url.as_ref();
    let status = reply.status();
    match (status, range) {
        (200, _) => Ok(whole_document(reply, naming_url)),
        (206, Some(_)) => {
            let continued = continues(reply.headers(), missing.start, tag, entity.total);
            continuation(reply, naming_url, continued, (tag, missing.start))
        }
        (206, None) => Err(unusable(&reply).with_cause(
            "docfetch requested the whole document, and the storage sent a part (HTTP 206)",
        )),
        (416, Some(_)) if is_whole(reply.headers(), missing.start, tag, entity.total) => {
            Ok(StorageAnswer::NothingMissing)
        }
        (416, Some(_)) => Ok(changed("the document has another length now")),
        (412, Some(_)) => Ok(changed("the document changed")),
        _ if status < 400 && !is_redirect(status) => {
            Err(unusable(&reply).with_cause(format!("HTTP {status}")))
        }
        _ => refusal_of(reply, url, resolver.http()).await.into(),
    }
}

/// Requests a document, or a range of it, from the API where that sends the bytes itself, else from the storage.
async fn request(
    resolver: &Resolver,
    url: &mut PresignedUrl,
    range: Option<RangeRequest<'_>>,
    retry: &mut RetryContext,
) -> Result<DocumentReply> {
    if let Some(download) = url.api_download().cloned() {
        match resolver.request_bytes(&download, range, retry).await? {
            ApiAnswer::Bytes { reply, facts } => {
                let mut told = url.facts().clone();
                told.complete(facts);
                *url = url.clone().with_facts(told);
                return Ok(DocumentReply {
                    reply,
                    naming_url: None,
                });
            }
            ApiAnswer::Redirected(target) => {
                let mut told = url.facts().clone();
                told.complete(target.facts().clone());
                *url = target.with_facts(told);
            }
        }
    }
    let (reply, last_url) = follow(resolver.http(), url, range).await?;
    let naming_url = if has_secret_path(&last_url) {
        url.expose().clone()
    } else {
        last_url
    };
    Ok(DocumentReply {
        reply,
        naming_url: Some(naming_url),
    })
}

pub(super) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

fn cannot_continue(why: &'static str) -> StorageAnswer {
    let changed = false;
    StorageAnswer::StartOver { why, changed }
}

fn changed(why: &'static str) -> StorageAnswer {
    let changed = true;
    StorageAnswer::StartOver { why, changed }
}

/// Follows the storage's redirects. Checks each URL before docfetch sends a request there. Returns the last
/// reply and its URL.
pub(super) async fn follow(
    http: &Http,
    url: &PresignedUrl,
    range: Option<RangeRequest<'_>>,
) -> Result<(Reply, Url)> {
    let on_trial = url.is_tried_once(http.clock());
    let timeout = on_trial.then_some(EXPIRED_URL_TIMEOUT);
    let mut storage_headers = url.storage_headers().clone();
    let mut url = url.expose().clone();
    for _ in 0..=MAX_REDIRECTS {
        let request = http.storage(&url, storage_headers.expose(), range, timeout);
        let reply = request.await?;
        let leads_on = reply.headers().contains_key(LOCATION);
        if !is_redirect(reply.status()) || !leads_on {
            return Ok((reply, url));
        }
        let location = handed_over::location(reply.headers(), &url);
        url = location.map_err(|wrong| unusable_location(&reply, wrong))?;
        register_url(&url);
        storage_headers = StorageHeaders::default(); // they are for the first URL only
    }
    Err(
        Error::new(Code::UnsafeRedirect, "the storage redirects without end")
            .with_cause(format!("more than {MAX_REDIRECTS} redirects in a row")),
    )
}

/// The answer of a 200.
fn whole_document(reply: Reply, url: Option<&Url>) -> StorageAnswer {
    let entity = Entity {
        tag: headers::entity_tag(reply.headers()),
        total: reply.content_length(),
        name: name(&reply, url),
        checksum: headers::checksum(reply.headers(), true),
        last_modified: headers::last_modified(reply.headers()),
    };
    let end = entity.total.unwrap_or(u64::MAX);
    StorageAnswer::Body(Box::new(Body::new(reply, entity, 0, end)))
}

/// The answer of a 206 to a request for the bytes of `tag` from an offset on.
fn continuation(
    reply: Reply,
    url: Option<&Url>,
    continued: Continues,
    (tag, offset): (&str, u64),
) -> Result<StorageAnswer> {
    let (end, total) = match continued {
        Continues::With { end, total } => (end, total),
        Continues::Not(why) => return Ok(cannot_continue(why)),
        Continues::Other(why) => return Ok(changed(why)),
        Continues::Contradiction => {
            return Err(
                unusable(&reply).with_cause("its Content-Length and Content-Range disagree")
            );
        }
    };
    let entity = Entity {
        tag: Some(tag.to_owned()),
        total: Some(total),
        name: name(&reply, url),
        checksum: headers::checksum(reply.headers(), false),
        last_modified: headers::last_modified(reply.headers()),
    };
    let body = Body::new(reply, entity, offset, end);
    Ok(StorageAnswer::Body(Box::new(body)))
}

/// The names that the storage gives the document, in `Content-Disposition` and in the path of `url`.
pub(super) fn name(reply: &Reply, url: Option<&Url>) -> StorageNames {
    let disposition = reply.headers().get(CONTENT_DISPOSITION);
    StorageNames {
        header: disposition
            .and_then(|value| content_disposition::file_name(value.as_bytes()))
            .and_then(|name| naming::safe(&name)),
        url: url.and_then(naming::from_url),
    }
}

/// The error of a redirect whose target docfetch cannot use.
fn unusable_location(reply: &Reply, wrong: UnusableUrl) -> Error {
    let host = reply.host();
    let what = format!("the storage {host} redirects to a URL that cannot be used");
    Error::new(wrong.code(), what)
        .with_cause(wrong.why())
        .with_http_status(reply.status())
}

/// The error of a response that docfetch cannot use; the caller adds the reason.
pub(super) fn unusable(reply: &Reply) -> Error {
    let host = reply.host();
    let what = format!("the storage {host} gave an answer that cannot be used");
    Error::new(Code::Protocol, what).with_http_status(reply.status())
}
