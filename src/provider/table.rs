//! What a table says of a service, read and checked: see `docs/add-a-provider.md` for each key.
//!
//! A [`Table`] is of one kind of things. A service with several kinds has a table for each.

mod auth;
mod listing;

pub(crate) use auth::{
    Auth, AuthMethod, ClientPlace, CredentialField, CredentialFile, Exchange, Grant, OAuth,
    TokenRoute,
};
pub(crate) use listing::{
    Cursor, CursorPlace, Field, FieldPlace, FilterRule, Filtered, Follow, Listing, Lookup, Only,
    PageSize, Paging, RowsRoute, ServerFilterRule, TableOption, Total,
};

use super::pointer::{Pointer, Pointers};
use super::template::{JsonTemplate, TextTemplate};
use crate::model::{IdForm, Rate};
use reqwest::Method;
use reqwest::header::HeaderName;
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
    #[allow(dead_code, reason = "`providers show` prints the text of the table")]
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
    /// The value where the user sets none.
    pub(crate) default: Option<String>,
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

impl VariableNames {
    /// The variable of a part of a credential.
    pub(crate) fn of(&self, field: CredentialField) -> &str {
        match field {
            CredentialField::ApiKey => &self.api_key,
            CredentialField::Token => &self.token,
            CredentialField::Username => &self.username,
            CredentialField::Password => &self.password,
            CredentialField::ClientId => &self.client_id,
            CredentialField::ClientSecret => &self.client_secret,
            CredentialField::RefreshToken => &self.refresh_token,
        }
    }
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

impl RequestTemplate {
    /// The names of the slots.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &str> {
        let query = self.query.iter().map(|(_, value)| value);
        let headers = self.headers.iter().map(|(_, value)| value);
        let texts = query.chain(headers).chain([&self.path]);
        let body = self.body.iter().flat_map(BodyTemplate::slots);
        texts.flat_map(TextTemplate::slots).chain(body)
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

impl UrlSource {
    /// Whether the API itself may send the bytes of the document.
    pub(crate) fn may_be_body(&self) -> bool {
        matches!(self, Self::Body | Self::RedirectOrBody { .. })
    }
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

impl Expiry {
    /// Where the answer says when it expires, if it does.
    pub(crate) fn places(&self) -> Option<&Pointers> {
        match self {
            Self::At(field) => Some(&field.at),
            Self::After(_) => None,
        }
    }
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

impl Algorithm {
    /// The algorithms by their names, without case and dashes.
    pub(crate) const NAMES: [(&str, Self); 5] = [
        ("sha256", Self::Sha256),
        ("sha512", Self::Sha512),
        ("sha1", Self::Sha1),
        ("md5", Self::Md5),
        ("crc32c", Self::Crc32c),
    ];

    /// The algorithm of this name, compared without case and dashes. None for any other algorithm.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let name = name.replace('-', "").to_ascii_lowercase();
        let known = Self::NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, algorithm)| *algorithm)
    }
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
