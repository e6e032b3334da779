//! What a caller says when it needs a URL.

use super::metadata::MetadataFailure;
use crate::http::PresignedUrl;

/// What a caller knows when it needs the URL of a document.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ResolveRequest<'a> {
    /// The URL before, of which the storage says that it expired.
    pub expired: Option<&'a PresignedUrl>,
    /// The URL before, which the storage refuses for another reason than its end. Only
    /// `--allow-recharge` permits a new one in place of a paid URL.
    pub refused: Option<&'a PresignedUrl>,
    /// Whether the caller needs a presigned URL, and cannot transfer what the API itself sends.
    pub needs_url: bool,
    /// Whether a part of the document is on disk.
    pub has_partial: bool,
    /// Whether only the document's name tells whether the document is at its target, and docfetch has not
    /// learned the name.
    pub needs_name: bool,
    /// Why the metadata brought no name, where docfetch requested the metadata.
    pub metadata_failure: Option<&'a MetadataFailure>,
}

impl<'a> ResolveRequest<'a> {
    /// Why docfetch cannot tell in this run whether the document is at its target; none if docfetch can, or if no
    /// later run can either.
    pub(crate) fn unknown_name(&self) -> Option<&'a MetadataFailure> {
        let failure = self.metadata_failure.filter(|_| self.needs_name);
        failure.filter(|failure| failure.is_temporary)
    }
}
