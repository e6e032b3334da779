//! The filters of a listing, and how its server applies them.

/// How a request applies each filter at the server; none where the server has no such filter.
///
/// docfetch filters the rows itself as well, by the fields that [`Listing`](super::Listing) names: for
/// filters that the server does not have, and for a server that ignores one.
#[derive(Debug)]
pub(crate) struct Filters {
    /// A part of the name; upper and lower case are the same.
    pub(crate) name: Option<ServerFilter>,
    /// The earliest time of the last change.
    pub(crate) since: Option<ServerFilter>,
    /// The latest time of the last change.
    pub(crate) until: Option<ServerFilter>,
    /// The least size in bytes.
    pub(crate) size: Option<ServerFilter>,
    /// The company that a document belongs to.
    pub(crate) company: Option<OwnField>,
    /// How a document reached the provider.
    pub(crate) source: Option<OwnField>,
    /// How far the provider has parsed a document.
    pub(crate) parse_state: Option<OwnField>,
}

impl Filters {
    /// A server without filters.
    pub(crate) const NONE: Self = Self {
        name: None,
        since: None,
        until: None,
        size: None,
        company: None,
        source: None,
        parse_state: None,
    };
}

/// A field of the provider's own that a filter compares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnField {
    /// The field of the rows; one of [`Listing::fields`](super::Listing::fields).
    pub(crate) field: &'static str,
    /// How a request applies the filter at the server.
    pub(crate) server: Option<ServerFilter>,
}

/// How a request applies a filter at the server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ServerFilter {
    /// A query parameter. Times are RFC 3339.
    Parameter(&'static str),
    /// A field of the JSON object in a query parameter. The server takes one operator for a field, so
    /// docfetch applies a second filter of the same field itself.
    Field {
        /// The query parameter.
        parameter: &'static str,
        /// The field.
        field: &'static str,
        /// The operator.
        operator: &'static str,
    },
}
