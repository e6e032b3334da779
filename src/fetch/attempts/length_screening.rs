//! Bodies whose length shows that they are not the document, such as the empty answer of a gateway, are refused
//! before they replace the bytes that are here.

use super::sink_transfer::SinkTransfer;
use crate::current_document::warn_of_document;
use crate::error::{Error, Result};
use crate::fetch::transfer::{Body, other_length};
use crate::http::headers::is_strong;
use crate::text::counted;

/// Checks the length of a body that starts with the document's first byte. Warns where the storage announced another
/// length before, and no metadata tells which is right.
///
/// # Errors
/// [`Code::StorageError`](crate::Code::StorageError) for an empty body of a document that is not empty; and, where bytes of the document are
/// here, for another length of the same version, and for another length than the provider and the storage told
/// before. The errors of [`Body::length`].
pub(super) async fn check(body: &mut Body, work: &SinkTransfer<'_, '_>) -> Result<()> {
    let (here, size) = (work.sink.entity(), work.metadata.size);
    let noted = here.total.filter(|_| work.sink.held() > 0);
    let known = size.or(noted);
    if let Some(known) = known.filter(|known| *known > 0 && body.is_empty()) {
        return Err(refusal(body.host(), 0, known, work));
    }
    let Some(noted) = noted else {
        return Ok(());
    };
    let Some(length) = body.length().await?.filter(|length| *length != noted) else {
        return Ok(());
    };
    let is_same = here.tag.as_deref().is_some_and(is_strong) && here.tag == body.entity.tag;
    // The size in the metadata may be that of the bytes without the coding.
    let is_confirmed = size == Some(noted) && body.coding.is_none();
    if is_same || is_confirmed {
        return Err(refusal(body.host(), length, noted, work));
    }
    if size.is_none() {
        let (noted, length) = (counted(noted, "byte"), counted(length, "byte"));
        warn_of_document!("the storage announced {noted} before, the document has {length} now");
    }
    Ok(())
}

/// The error of a body of `length` bytes in place of a document of `known` bytes.
fn refusal(host: &str, length: u64, known: u64, work: &SinkTransfer<'_, '_>) -> Error {
    let source = match work.metadata.size {
        Some(_) => "the provider",
        None => "an earlier answer of the storage",
    };
    let has_part = work.sink.held() > 0 && !work.sink.is_stream();
    let hint = if has_part {
        "run again later; if the document changed, pass --no-resume"
    } else {
        "run again later; if the error stays, tell the provider"
    };
    other_length(host, &counted(length, "byte"), known, source)
        .with_hint(hint)
        .with_http_status(200)
}
