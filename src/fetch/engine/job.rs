//! What to fetch.

use crate::error::Result;
use crate::fetch::outcome::Outcome;
use crate::fetch::target::TargetOptions;
use crate::model::DocumentId;
use crate::resolve::Metadata;
use std::sync::Arc;

/// A document to fetch.
pub(crate) struct Job {
    /// The document.
    pub id: DocumentId,
    /// The document's name and size, where a listing has told them; docfetch then requests no metadata.
    pub metadata: Option<Metadata>,
    /// Where this document is written; `None` for the fetcher's own options.
    pub target: Option<Arc<TargetOptions>>,
    /// The version of the document. docfetch continues only a partial of the same version.
    pub version: Option<String>,
    /// Called right before the document gets its final name.
    pub before_publish: Option<BeforeDocumentPublish>,
}

/// Takes note of a document that is about to get its final name. An error keeps the document from getting
/// that name.
pub(crate) type BeforeDocumentPublish = Arc<dyn Fn(&Outcome) -> Result<()> + Send + Sync>;

impl From<DocumentId> for Job {
    fn from(id: DocumentId) -> Self {
        Self {
            id,
            metadata: None,
            target: None,
            version: None,
            before_publish: None,
        }
    }
}
