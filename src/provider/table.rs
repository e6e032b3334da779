//! What a table says of a service, read and checked: see `docs/add-a-provider.md` for each key.
//!
//! A [`Table`] is of one kind of things. A service with several kinds has a table for each.

use super::pointer::{Pointer, Pointers};
use super::template::{JsonTemplate, TextTemplate};
use crate::model::{IdForm, Rate};
use reqwest::Method;
use reqwest::header::HeaderName;
use serde_json::Value;
use std::time::Duration;

/// A service, and one kind of its things.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// The name on the command line and in records.
    pub(crate) name: String,
    /// The name in sentences.
    pub(crate) title: String,
    /// The word for one thing in sentences.
    pub(crate) thing: String,
    /// The page that the facts of the table come from.
    pub(crate) source: Option<String>,
    /// The kind of things that `--resource` chooses. None where the service has one kind.
    pub(crate) kind: Option<String>,
    /// A part of the names of records and partials, which tells this service and kind from all others: the name, and for
    /// every kind but the first `NAME/KIND`. It never changes.
    pub(crate) identity: String,
    /// The base URL of the API, unless the user sets another one.
    pub(crate) base: Option<String>,
    /// The end of a base URL's path that the routes have already.
    pub(crate) base_suffix: Option<String>,
    /// Headers of every request to the API.
    pub(crate) headers: Vec<(HeaderName, TextTemplate)>,
    /// The rates that all requests to the API keep together.
    pub(crate) rates: Vec<Rate>,
    /// Values that each user sets.
    pub(crate) parameters: Vec<Parameter>,
    /// The environment variables.
    pub(crate) variables: VariableNames,
    /// The parts of an id.
    pub(crate) id: IdForm,
    /// What stands before an id where the service writes ids as URIs.
    pub(crate) uri_prefix: Option<TextTemplate>,
    /// How a request proves which account sends it. docfetch uses the first whose credentials are there.
    pub(crate) auth: Vec<Auth>,
    /// The requests from an id to a presigned URL, one to three.
    pub(crate) resolve: Vec<Step>,
    /// Media types that are never a document of this service.
    pub(crate) refuse: Vec<String>,
    /// The free route to name, size and checksum of a thing.
    pub(crate) metadata: Option<MetadataRoute>,
    /// The free route that lists things.
    pub(crate) list: Option<Listing>,
    /// Free side lists that give names to ids.
    pub(crate) lookups: Vec<Lookup>,
    /// Command-line options of this table.
    pub(crate) options: Vec<TableOption>,
}

/// A value that each user sets, such as a tenant.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    /// The name of its slot, and of its key in the configuration file.
    pub(crate) name: String,
    /// Whether docfetch sends nothing without the value.
    pub(crate) is_required: bool,
    /// The environment variable.
    pub(crate) variable: String,
}

/// The environment variables of a service.
#[derive(Clone, Debug)]
pub(crate) struct VariableNames {
    /// The base URL of the API.
    pub(crate) api_base: String,
    /// The name of the account.
    pub(crate) account: String,
    /// The API key.
    pub(crate) api_key: String,
    /// The bearer token.
    pub(crate) token: String,
    /// The user name.
    pub(crate) username: String,
    /// The password.
    pub(crate) password: String,
    /// The client id.
    pub(crate) client_id: String,
    /// The client secret.
    pub(crate) client_secret: String,
    /// The refresh token.
    pub(crate) refresh_token: String,
}

/// How a request proves which account sends it.
#[derive(Clone, Debug)]
pub(crate) struct Auth {
    /// The way.
    pub(crate) method: AuthMethod,
    /// A file of the service's own tool with the credential.
    pub(crate) file: Option<CredentialFile>,
    /// A free route that tells whether the service accepts the credential.
    pub(crate) check: Option<TextTemplate>,
}

/// The way in which a request proves which account sends it.
#[derive(Clone, Debug)]
pub(crate) enum AuthMethod {
    /// Not at all.
    None,
    /// A bearer token (RFC 6750).
    Bearer,
    /// A key in a header of its own.
    Header {
        /// The header.
        name: HeaderName,
        /// What stands before the key.
        prefix: String,
    },
    /// A key in a query parameter.
    Query {
        /// The parameter.
        name: String,
    },
    /// User name and password (RFC 7617).
    Basic,
    /// An OAuth 2.0 token (RFC 6749).
    OAuth(Box<OAuth>),
    /// A token that the service gives for a key.
    Exchange(Box<Exchange>),
}

/// How docfetch requests an OAuth 2.0 token.
#[derive(Clone, Debug)]
pub(crate) struct OAuth {
    /// The token route.
    pub(crate) token: TokenRoute,
    /// The grant.
    pub(crate) grant: Grant,
    /// The scope (RFC 6749 section 3.3).
    pub(crate) scope: Option<TextTemplate>,
    /// Further fields of the request's form.
    pub(crate) form: Vec<(String, TextTemplate)>,
    /// Headers of the request.
    pub(crate) headers: Vec<(HeaderName, TextTemplate)>,
    /// Where the request has the client id and the client secret.
    pub(crate) client: ClientPlace,
}

/// Where a token request goes.
#[derive(Clone, Debug)]
pub(crate) enum TokenRoute {
    /// A path below the API's base.
    Path(TextTemplate),
    /// A whole https URL.
    Url(TextTemplate),
}

/// An OAuth 2.0 grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// Client credentials (RFC 6749 section 4.4).
    ClientCredentials,
    /// A refresh token (RFC 6749 section 6).
    RefreshToken,
}

/// Where a token request has the client id and the client secret (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientPlace {
    /// In an `Authorization` header.
    Basic,
    /// In the form.
    Form,
}

/// How docfetch requests a token for a key. The slot `{key}` is the key.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    /// The request.
    pub(crate) request: RequestTemplate,
    /// Where the answer has the token.
    pub(crate) token: Pointers,
    /// When the token expires.
    pub(crate) expires: Option<Expiry>,
}

/// A JSON file with a credential in the home folder, which the service's own tool writes.
#[derive(Clone, Debug)]
pub(crate) struct CredentialFile {
    /// Its path below the home folder.
    pub(crate) home: String,
    /// Where the file has each value.
    pub(crate) values: Vec<(CredentialField, Pointer)>,
}

/// A part of a credential, by the name of its variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialField {
    /// The API key.
    ApiKey,
    /// The bearer token.
    Token,
    /// The user name.
    Username,
    /// The password.
    Password,
    /// The client id.
    ClientId,
    /// The client secret.
    ClientSecret,
    /// The refresh token.
    RefreshToken,
}

/// A request to the API.
#[derive(Clone, Debug)]
pub(crate) struct RequestTemplate {
    /// The method.
    pub(crate) method: Method,
    /// The path below the base.
    pub(crate) path: TextTemplate,
    /// The query parameters, in order.
    pub(crate) query: Vec<(String, TextTemplate)>,
    /// Headers beside those of every request.
    pub(crate) headers: Vec<(HeaderName, TextTemplate)>,
    /// The body.
    pub(crate) body: Option<BodyTemplate>,
}

/// The body of a request.
#[derive(Clone, Debug)]
pub(crate) enum BodyTemplate {
    /// JSON.
    Json(JsonTemplate),
    /// A form (`application/x-www-form-urlencoded`).
    Form(Vec<(String, TextTemplate)>),
}

impl BodyTemplate {
    /// The names of the slots.
    pub(crate) fn slots(&self) -> Vec<&str> {
        match self {
            Self::Json(json) => json.slots(),
            Self::Form(fields) => fields.iter().flat_map(|(_, text)| text.slots()).collect(),
        }
    }
}

/// One request of several from an id to a presigned URL.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The request.
    pub(crate) request: RequestTemplate,
    /// Where the presigned URL is. None in a step that only captures values.
    pub(crate) url: Option<UrlSource>,
    /// Values for the steps after this one, by the names of their slots.
    pub(crate) captures: Vec<(String, Pointers)>,
    /// Where the answer has the name of the thing.
    pub(crate) name: Option<Pointers>,
    /// Where the answer has the size in bytes.
    pub(crate) size: Option<Pointers>,
    /// Where the answer has checksums.
    pub(crate) checksums: Vec<ChecksumRule>,
    /// Whether the request may cost money.
    pub(crate) is_charged: bool,
    /// Statuses that mean that the thing is not ready yet.
    pub(crate) not_ready: Vec<u16>,
    /// Where a success has the reason of a failure.
    pub(crate) failure: Option<Pointers>,
    /// Where a failure has its reason.
    pub(crate) error: Option<Pointers>,
}

/// Where a step's answer has the presigned URL.
#[derive(Clone, Debug)]
pub(crate) enum UrlSource {
    /// In the `Location` of a redirect.
    Redirect {
        /// When the URL expires, beside what the URL itself says.
        expires: Option<Expiry>,
    },
    /// Nowhere: the API itself sends the bytes.
    Body,
    /// In the `Location` of a redirect, unless the API itself sends the bytes.
    RedirectOrBody {
        /// When the URL expires, beside what the URL itself says.
        expires: Option<Expiry>,
    },
    /// In the JSON. The first place with an http or https URL counts.
    Json(Vec<UrlPlace>),
}

/// A place in JSON with a presigned URL.
#[derive(Clone, Debug)]
pub(crate) struct UrlPlace {
    /// Where the URL is.
    pub(crate) at: Pointer,
    /// Where the headers are that the storage wants: an object, or an array of `"Name: value"`.
    pub(crate) storage_headers: Option<Pointer>,
    /// When the URL expires, beside what the URL itself says.
    pub(crate) expires: Option<Expiry>,
}

/// When something expires that an answer brought.
#[derive(Clone, Debug)]
pub(crate) enum Expiry {
    /// As the answer says.
    At(TimeField),
    /// This long after the answer.
    After(Duration),
}

/// A time, or a length of time, in JSON.
#[derive(Clone, Debug)]
pub(crate) struct TimeField {
    /// Where it is.
    pub(crate) at: Pointers,
    /// How it is written.
    pub(crate) form: TimeForm,
}

/// How JSON writes a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeForm {
    /// Seconds from the answer on.
    Seconds,
    /// Hours from the answer on.
    Hours,
    /// Seconds since 1970.
    Unix,
    /// Milliseconds since 1970.
    UnixMilliseconds,
    /// RFC 3339.
    Rfc3339,
}

/// A checksum of a thing.
#[derive(Clone, Debug)]
pub(crate) struct ChecksumRule {
    /// Where the checksum is.
    pub(crate) place: ChecksumPlace,
    /// Its algorithm.
    pub(crate) algorithm: AlgorithmRule,
    /// How it is written.
    pub(crate) encoding: ChecksumEncoding,
}

/// Where a checksum is.
#[derive(Clone, Debug)]
pub(crate) enum ChecksumPlace {
    /// In the JSON.
    At(Pointers),
    /// In a header of the answer.
    Header(HeaderName),
    /// In a part of the id.
    Part(String),
}

/// Which algorithm a checksum has.
#[derive(Clone, Debug)]
pub(crate) enum AlgorithmRule {
    /// This one.
    Fixed(Algorithm),
    /// The one that the JSON names here.
    At(Pointers),
    /// The one before the colon of the value: `sha256:…`.
    Prefix,
}

/// A checksum algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Algorithm {
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// SHA-512 (FIPS 180-4).
    Sha512,
    /// SHA-1 (FIPS 180-4).
    Sha1,
    /// MD5 (RFC 1321).
    Md5,
    /// CRC-32C (RFC 3720 section 12.1).
    Crc32c,
}

/// How a checksum is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChecksumEncoding {
    /// Hexadecimal digits.
    Hex,
    /// Base64 (RFC 4648).
    Base64,
}

/// A free route to what is known of a thing.
#[derive(Clone, Debug)]
pub(crate) struct MetadataRoute {
    /// The request.
    pub(crate) request: RequestTemplate,
    /// Where the answer has the name.
    pub(crate) name: Option<Pointers>,
    /// Where the answer has the size in bytes.
    pub(crate) size: Option<Pointers>,
    /// Where the answer has checksums.
    pub(crate) checksums: Vec<ChecksumRule>,
}

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
