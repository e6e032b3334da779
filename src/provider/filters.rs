//! What a listing can be narrowed by, and how its server is asked to.

/// How the server is asked for each filter; none where it cannot be.
///
/// Name, size and time are in the rows where [`Listing`](super::Listing) names their fields: what the
/// server cannot be asked, or does not obey, is filtered by those.
#[derive(Debug)]
pub struct Filters {
    /// A part of the name, without case.
    pub name: Option<Asked>,
    /// Not changed before this time.
    pub since: Option<Asked>,
    /// Not changed after this time.
    pub until: Option<Asked>,
    /// At least this size in bytes.
    pub size: Option<Asked>,
    /// The company that it belongs to.
    pub company: Option<Own>,
    /// How it came in.
    pub source: Option<Own>,
    /// How far its parsing is.
    pub parse_state: Option<Own>,
}

impl Filters {
    /// A server that cannot be asked for less than everything.
    pub const NONE: Self = Self {
        name: None,
        since: None,
        until: None,
        size: None,
        company: None,
        source: None,
        parse_state: None,
    };
}

/// A filter by one of the provider's own fields.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// The rows' field; one of [`Listing::fields`](super::Listing::fields).
    pub field: &'static str,
    /// How the server is asked.
    pub asked: Option<Asked>,
}

/// How the server is asked for some of the rows only.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    /// By a query parameter of its own. Times are RFC 3339.
    Parameter(&'static str),
    /// By a field of the JSON object in a query parameter, with one operator: a second filter on the
    /// same field is not asked for.
    Field {
        /// The query parameter.
        parameter: &'static str,
        /// The field.
        field: &'static str,
        /// The operator.
        operator: &'static str,
    },
}
