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
    /// The values of the parameters, by name.
    pub(super) parameters: Vec<(String, String)>,
    /// The identity of the table, and the values of the parameters: a part of the names of records and partials.
    pub(crate) identity: String,
    /// The host of the API's base, where the user sets the base.
    pub(super) base_host: Option<String>,
}
