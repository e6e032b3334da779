//! Whether the storage still serves a URL that is past its expiry.

use super::body::Body;
use super::html::FirstBytes;
use super::lengths::other_length;
use super::response::{follow, is_redirect, name, unusable};
use super::storage_refusal::{StorageRefusal, refusal_of};
use super::web_page::{self, ExpectedDocument, PageVerdict};
use crate::error::Result;
use crate::fetch::entity::Entity;
use crate::http::headers::{self, ContentRange};
use crate::http::{Http, PresignedUrl, RangeRequest, Reply};
use crate::text::counted;

/// Whether the storage still serves the document behind a URL. Requests the document's first byte. `name` and
/// `size` are those of the provider's metadata. Another server than the storage may answer, such as a network that
/// wants a login: only an answer that can be of the document tells that the storage serves the URL.
///
/// # Errors
/// [`Code::Protocol`](crate::Code::Protocol), [`Code::StorageError`](crate::Code::StorageError), [`Code::StorageDenied`](crate::Code::StorageDenied), [`Code::ClockSkew`](crate::Code::ClockSkew), and the errors
/// of [`Http::storage`], when the storage does not tell.
pub(crate) async fn is_served(
    http: &Http,
    url: &PresignedUrl,
    name: Option<&str>,
    size: Option<u64>,
) -> Result<bool> {
    let first_byte = RangeRequest {
        from: 0,
        to: Some(1),
        tag: None,
    };
    let (reply, last_url) = follow(http, url, Some(first_byte)).await?;
    let range = headers::content_range(reply.headers());
    let total = match (reply.status(), range) {
        (200, _) => reply.content_length(),
        (
            206,
            Some(ContentRange::Part {
                first: 0,
                last: 0,
                total: Some(total),
            }),
        ) => Some(total),
        // An empty document has no first byte.
        (416, Some(ContentRange::Unsatisfied { total: 0 })) if size.unwrap_or(0) == 0 => {
            return Ok(true);
        }
        (206 | 416, _) => {
            return Err(unusable(&reply).with_cause("its Content-Range is not that of the request"));
        }
        (status, _) if status < 400 && !is_redirect(status) => {
            return Err(unusable(&reply).with_cause(format!("HTTP {status}")));
        }
        _ => {
            return match refusal_of(reply, url, http).await {
                StorageRefusal::Expired => Ok(false),
                StorageRefusal::NotFound(error) | StorageRefusal::Other(error) => Err(error),
            };
        }
    };
    let entity = Entity {
        total,
        name: self::name(&reply, Some(&last_url)),
        ..Entity::default()
    };
    check_document(reply, entity, name, size).await?;
    Ok(true)
}

/// Checks that an answer can be of the document.
async fn check_document(
    reply: Reply,
    entity: Entity,
    name: Option<&str>,
    size: Option<u64>,
) -> Result<()> {
    let (host, total) = (reply.host().to_owned(), entity.total);
    let is_part = reply.status() == 206;
    let mut body = Body::new(reply, entity, 0, u64::MAX);
    // The provider may tell the size of the bytes without the coding.
    let size = size.filter(|size| body.coding.is_none() || Some(*size) == total);
    if let (Some(size), false) = (size, size == total) {
        let answer = match total {
            Some(total) => counted(total, "byte"),
            None => "an unknown number of bytes".to_owned(),
        };
        return Err(other_length(&host, &answer, size, "the provider"));
    }
    let is_declared = body.is_declared_as_page();
    let kind = match body.sniff(body.coding.is_some()).await? {
        // Of a page, only the first byte may be here.
        FirstBytes::Other if is_declared || (is_part && body.starts_with(b'<')) => FirstBytes::Html,
        kind => kind,
    };
    if kind == FirstBytes::Other {
        return Ok(());
    }
    let name = name.or(body.entity.name.header.as_deref());
    // Any other document than a web page can be one by mistake only, and a false proof can cost a retrieval.
    let expected = ExpectedDocument {
        name: name.filter(|name| web_page::is_usual_web_page_name(name)),
        size,
        announced: total,
        ..ExpectedDocument::default()
    };
    match web_page::judge(expected) {
        PageVerdict::Document => Ok(()),
        PageVerdict::Unproven(_) | PageVerdict::WebPage(_) => {
            let why = "neither its name nor its size shows that the document does";
            Err(web_page::refusal(&host, kind, why, name.is_some()))
        }
    }
}
