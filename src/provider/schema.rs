//! What docfetch knows of a service: the fields of a [`Provider`]'s table.

use super::table::Table;
use std::sync::Arc;

/// A service from whose API docfetch fetches documents through presigned URLs, and one kind of its things.
///
/// A table describes the service: one of the [source tree](Provider::shipped), or one of your own
/// ([`Provider::from_toml`]).
///
/// ```
/// use docfetch::Provider;
///
/// let provider = Provider::shipped("onecodex")?;
/// assert!(provider.charges());
/// let samples = provider.of_kind("samples")?;
/// assert_eq!(samples.document_id("/api/v1/samples/0a1b")?.as_str(), "0a1b");
/// # Ok::<(), docfetch::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Provider {
    /// The table of the kind.
    pub(crate) table: Arc<Table>,
    /// The tables of all kinds, the default one first.
    pub(super) kinds: Arc<[Arc<Table>]>,
    /// The host of the API's base, where the user sets the base.
    pub(super) base_host: Option<String>,
    /// How the API hands a presigned URL over.
    pub(crate) handoff: Handoff,
    /// Whether the service may charge for a presigned URL. Modules above `resolve` ask the resolver.
    pub(super) charged: bool,
    /// The free route to a document's name and size, where there is one.
    pub(crate) metadata: Option<MetadataRoute>,
}

/// The fields that no reader takes from the table yet.
pub(super) struct OldFields {
    pub(super) handoff: Handoff,
    pub(super) metadata: Option<MetadataRoute>,
}

/// How the API hands a presigned URL over. `{id}` in a path is the document.
#[derive(Clone, Debug)]
pub(crate) enum Handoff {
    /// GET; the answer is a redirect, and its `Location` is the presigned URL.
    Redirect {
        /// The route.
        path: &'static str,
    },
    /// POST; the answer is JSON with the presigned URL.
    JsonField {
        /// The route.
        path: &'static str,
        /// The pointer (RFC 6901) to the presigned URL.
        url: &'static str,
        /// The pointer to the URL's lifetime in hours, where the answer has it.
        hours: Option<&'static str>,
    },
}

/// A free route to a document's name and size. The answer is JSON.
#[derive(Clone, Debug)]
pub(crate) struct MetadataRoute {
    /// The route.
    pub(crate) path: &'static str,
    /// The pointer (RFC 6901) to the file name.
    pub(crate) name: &'static str,
    /// The pointer to the size in bytes.
    pub(crate) size: &'static str,
}
