//! The routes of a table that answer with rows: its list and its lookups.

use super::{RequestTemplate, Table, TimeField};
use crate::provider::pointer::{Pointer, Pointers};
use crate::provider::template::{JsonTemplate, TextTemplate};
use reqwest::header::HeaderName;
use serde_json::Value;

/// The route that lists things, page by page.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    /// The route of the rows.
    pub(crate) rows: RowsRoute,
    /// Where a row has the id, one place for each part that is not in the scope.
    pub(crate) id: Vec<FieldPlace>,
    /// Where a row has the name.
    pub(crate) name: Option<Pointers>,
    /// Where a row has the size in bytes.
    pub(crate) size: Option<Pointers>,
    /// Where a row has the time of the last change.
    pub(crate) modified: Option<TimeField>,
    /// The service's own fields, which records have under these names.
    pub(crate) fields: Vec<Field>,
    /// The parts of ids that the user must name with `--in`.
    pub(crate) scope: Vec<String>,
    /// The filters of the server.
    pub(crate) filters: Vec<FilterRule>,
}

/// A route that answers with rows, page by page.
#[derive(Clone, Debug)]
pub(crate) struct RowsRoute {
    /// The request for the first page, without paging and filters.
    pub(crate) request: RequestTemplate,
    /// Where the answer has the array of rows.
    pub(crate) rows: Pointer,
    /// Which rows count.
    pub(crate) only: Option<Only>,
    /// The parameter with the number of rows on a page.
    pub(crate) page: Option<PageSize>,
    /// How docfetch finds the next page.
    pub(crate) paging: Paging,
    /// Where a failure has its reason.
    pub(crate) error: Option<Pointers>,
}

/// Which rows count: those with this value.
#[derive(Clone, Debug)]
pub(crate) struct Only {
    /// Where the value is.
    pub(crate) at: Pointer,
    /// The value.
    pub(crate) equals: Value,
}

/// The query parameter with the number of rows on a page.
#[derive(Clone, Debug)]
pub(crate) struct PageSize {
    /// The parameter.
    pub(crate) parameter: String,
    /// The largest number.
    pub(crate) rows: usize,
}

/// How docfetch finds the next page.
#[derive(Clone, Debug)]
pub(crate) enum Paging {
    /// There is one page.
    Single,
    /// The answer has the URL of the next page.
    Next {
        /// Where the URL is.
        at: Pointers,
        /// What docfetch takes of the URL.
        follow: Follow,
        /// The number of rows in all.
        total: Total,
        /// The parameter of the first request with the number of the first page.
        first: Option<(String, u64)>,
    },
    /// The `Link` header with `rel="next"` has the URL of the next page (RFC 8288).
    Link,
    /// The answer has a cursor for the next page.
    Cursor(Box<Cursor>),
    /// Pages have numbers.
    Page {
        /// The query parameter.
        parameter: String,
        /// The number of the first page.
        first: u64,
        /// The number of rows in all.
        total: Total,
    },
    /// A page begins at the number of a row.
    Offset {
        /// The query parameter.
        parameter: String,
        /// The number of the first row.
        first: u64,
        /// The number of rows in all.
        total: Total,
    },
}

/// What docfetch takes of the URL of a next page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follow {
    /// Its path and its query.
    Path,
    /// Its query.
    Query,
}

/// Where an answer has the number of rows in all.
#[derive(Clone, Debug)]
pub(crate) enum Total {
    /// Nowhere.
    Unknown,
    /// In the JSON.
    At(Pointer),
    /// In a header.
    Header(HeaderName),
}

/// A cursor for the next page: any JSON value. None, null or an empty text ends the list.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    /// Where the answer has the cursor.
    pub(crate) at: Pointers,
    /// The name of the cursor in the next request.
    pub(crate) parameter: String,
    /// Where the next request has the cursor.
    pub(crate) place: CursorPlace,
    /// Where the answer says whether there is another page.
    pub(crate) more: Option<Pointer>,
    /// The path of the next requests, where it is another one.
    pub(crate) path: Option<TextTemplate>,
    /// The body of the next requests, where it is another one.
    pub(crate) json: Option<JsonTemplate>,
}

/// Where a request has the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CursorPlace {
    /// In the query.
    Query,
    /// In the JSON of the body.
    Json,
}

/// A place in a row, and what docfetch takes of the value there.
#[derive(Clone, Debug)]
pub(crate) struct FieldPlace {
    /// Where the value is.
    pub(crate) at: Pointers,
    /// Whether only the text after the last slash counts: the id of a URI.
    pub(crate) is_last_segment: bool,
}

/// A field of a row.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// The name in records.
    pub(crate) name: String,
    /// Where a row has the value.
    pub(crate) place: FieldPlace,
}

/// A filter that the server of a listing has.
#[derive(Clone, Debug)]
pub(crate) struct FilterRule {
    /// What the filter compares.
    pub(crate) of: Filtered,
    /// How a request has the filter.
    pub(crate) server: ServerFilterRule,
}

/// What a filter compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filtered {
    /// A part of the name, without case.
    Match,
    /// The earliest time of the last change.
    Since,
    /// The latest time of the last change.
    Until,
    /// The least size in bytes.
    LargerThan,
    /// A field of the rows.
    Field(String),
}

/// How a request has a filter.
#[derive(Clone, Debug)]
pub(crate) enum ServerFilterRule {
    /// A query parameter. Times are RFC 3339.
    Parameter(String),
    /// A field of the JSON object in a query parameter. The server takes one operator for a field.
    Field {
        /// The query parameter.
        parameter: String,
        /// The field.
        field: String,
        /// The operator. None where the value stands without one.
        operator: Option<String>,
    },
    /// A part of the JSON object in a query parameter. The slot `{value}` is the value; an array whose only element has
    /// the slot gets an element for each value.
    Json {
        /// The query parameter.
        parameter: String,
        /// The fields of the object.
        json: Vec<(String, JsonTemplate)>,
    },
}

/// A free side list: the names of things that rows refer to by their ids.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    /// The name, under which rows get the name of their thing.
    pub(crate) name: String,
    /// The route of the rows.
    pub(crate) rows: RowsRoute,
    /// Where a row has the id.
    pub(crate) id: FieldPlace,
    /// Where a row has the name.
    pub(crate) named: Pointers,
    /// The field of the listing's rows with the id. None where rows get no name.
    pub(crate) field: Option<String>,
    /// How the server finds the rows of one name.
    pub(crate) by_name: Option<ServerFilterRule>,
    /// The form of ids: other text is a name.
    pub(crate) id_pattern: Option<regex_lite::Regex>,
}

/// A command-line option of a table: a filter of a field.
#[derive(Clone, Debug)]
pub(crate) struct TableOption {
    /// The long name, without dashes.
    pub(crate) name: String,
    /// The field of the rows.
    pub(crate) field: String,
    /// The values that the service knows. Empty where it takes any value.
    pub(crate) values: Vec<String>,
    /// The lookup that turns a name into an id.
    pub(crate) lookup: Option<String>,
    /// What the help says of the option.
    pub(crate) help: Option<String>,
}

impl Lookup {
    /// The id in `text`, which is an id or the URI of one. None for other text, and where the table does not tell the form
    /// of ids.
    pub(crate) fn id_in<'t>(&self, text: &'t str) -> Option<&'t str> {
        let is_uri = self.id.is_last_segment && text.starts_with('/');
        let id = if is_uri {
            let path = text.trim_end_matches('/');
            path.rsplit('/').next().unwrap_or(path)
        } else {
            text
        };
        let pattern = self.id_pattern.as_ref()?;
        pattern.is_match(id).then_some(id)
    }
}

impl Listing {
    /// How the server filters; none where it cannot.
    pub(crate) fn server_filter(&self, of: &Filtered) -> Option<&ServerFilterRule> {
        let rule = self.filters.iter().find(|rule| rule.of == *of);
        rule.map(|rule| &rule.server)
    }

    /// Whether the field of this name has several values in a row.
    pub(crate) fn has_several_values(&self, field: &str) -> bool {
        let field = self.fields.iter().find(|known| known.name == field);
        field.is_some_and(|field| field.place.at.iter().any(Pointer::has_several_values))
    }
}

impl Table {
    /// The command-line option of this table with this long name, without dashes.
    pub(crate) fn option(&self, name: &str) -> Option<&TableOption> {
        self.options.iter().find(|option| option.name == name)
    }

    /// The side list that turns the values of an option into ids.
    pub(crate) fn lookup_of(&self, option: &TableOption) -> Option<&Lookup> {
        let name = option.lookup.as_ref()?;
        self.lookups.iter().find(|lookup| lookup.name == *name)
    }

    /// The fields of a row that not every provider has, by their names in records. Empty for a table without a list.
    pub(crate) fn own_row_fields(&self) -> impl Iterator<Item = &str> {
        let fields = self.list.iter().flat_map(|list| &list.fields);
        let names = self.lookups.iter().filter(|lookup| lookup.field.is_some());
        let kind = self.kind.as_ref().map(|_| "resource");
        kind.into_iter()
            .chain(fields.map(|field| field.name.as_str()))
            .chain(names.map(|lookup| lookup.name.as_str()))
    }

    /// The fields of a row of the list that a filter can compare, by their names in records.
    pub(crate) fn row_fields(&self) -> Vec<&str> {
        let list = self.list.as_ref();
        let has = |is_there: bool, name| is_there.then_some(name);
        let common = [
            Some("provider"),
            Some("id"),
            has(list.is_some_and(|list| list.name.is_some()), "name"),
            has(list.is_some_and(|list| list.size.is_some()), "size"),
            has(list.is_some_and(|list| list.modified.is_some()), "modified"),
        ];
        common
            .into_iter()
            .flatten()
            .chain(self.own_row_fields())
            .collect()
    }
}
