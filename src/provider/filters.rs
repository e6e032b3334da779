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
    /// The provider's own options.
    pub(crate) own: &'static [OwnOption],
}

impl Filters {
    /// A server without filters.
    pub(crate) const NONE: Self = Self {
        name: None,
        since: None,
        until: None,
        size: None,
        own: &[],
    };

    /// The provider's own option with this long name, without dashes.
    pub(crate) fn own(&self, name: &str) -> Option<&'static OwnOption> {
        self.own.iter().find(|own| own.name == name)
    }
}

/// An option of the provider's own that compares a field of the rows.
#[derive(Debug)]
pub(crate) struct OwnOption {
    /// The long name on the command line, without dashes.
    pub(crate) name: &'static str,
    /// The field of the rows; one of [`Listing::fields`](super::Listing::fields).
    pub(crate) field: &'static str,
    /// The values that the server knows. Empty where the server takes any value.
    pub(crate) values: &'static [&'static str],
    /// How a request applies the filter at the server.
    pub(crate) server: ServerFilter,
    /// Whether the field has several values, so that a request has an array of them.
    pub(crate) is_list: bool,
    /// Where a value is a reference: the list of what has these ids.
    pub(crate) referenced: Option<ReferencedList>,
}

/// The things that a field of the rows refers to, each by its id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReferencedList {
    /// One thing in a sentence.
    pub(crate) thing: &'static str,
    /// The route that lists these things, as an array.
    pub(crate) path: &'static str,
    /// The prefix of an id where the service writes ids as URIs.
    pub(crate) id_uri_prefix: &'static str,
}

impl ReferencedList {
    /// Whether text has the form of an id: 16 hexadecimal digits. Other text is a name.
    pub(crate) fn is_id(text: &str) -> bool {
        text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    /// The URI of an id.
    pub(crate) fn uri(&self, id: &str) -> String {
        format!("{}{id}", self.id_uri_prefix)
    }
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
        /// The operator; empty where the value stands without one.
        operator: &'static str,
    },
}
