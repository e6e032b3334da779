//! Box, after its OpenAPI description (box/box-openapi) and its guides (box/developer.box.com): client credentials
//! grant, downloads, files, folders with marker-based pages.

mod tests;

use super::fields::{self, Fields};
use super::tokens::Tokens;
use super::{Answer, Document, Grant, Refusal, Service, Site, query};
use crate::support::noise;
use crate::support::raw::Request;
use ring::digest::SHA1_FOR_LEGACY_USE_ONLY as SHA1;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The examples of the description.
pub const CLIENT_ID: &str = "ly1nj6n11vionaie65emwzk575hnnmrk";
pub const CLIENT_SECRET: &str = "hOzsTeFlT6ko0dme22uGbQal04SBPYc1";
pub const ENTERPRISE: &str = "123456789";
/// The folder in which all files are.
pub const ROOT: &str = "0";
/// A folder without anything in it.
pub const EMPTY_FOLDER: &str = "22222";
/// A file that this account may see and not download.
pub const LOCKED_FILE: &str = "55555";
/// The seconds of the guide's example for server authentication.
const TOKEN_SECONDS: u32 = 4123;
/// "In most cases the download URL is valid for 15 minutes."
const URL_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// The examples of the description.
fn examples() -> Value {
    serde_json::from_str(include_str!("../../data/standins/box.json")).unwrap()
}

/// The service.
pub struct BoxFiles {
    tokens: Tokens,
    /// The last page has an empty `next_marker`, else null; the guide has both.
    pub ends_empty: bool,
    /// The file whose SHA-1 is that of other bytes.
    pub wrong_digest: Option<&'static str>,
    /// A token comes as in the example of the guide for server authentication, without `token_type`. The description
    /// has that field.
    pub hides_token_type: bool,
}

impl BoxFiles {
    pub fn new() -> Self {
        Self {
            tokens: Tokens::new("c3FIOG9vSGV4VHo4QzAyg5T1JvNnJoZ3ExaVNyQWw6-"),
            ends_empty: false,
            wrong_digest: None,
            hides_token_type: false,
        }
    }
}

/// The file of the description's example, and four others.
pub fn documents() -> Vec<Document> {
    let names = [
        ("12345", "Contract.pdf", 629_644),
        ("33333", "Übersicht & more.xlsx", 4096),
        ("44444", "data.csv", 1),
        (LOCKED_FILE, "locked.pdf", 100),
        ("66666", "Video.mp4", 70_000),
    ];
    let new = |(id, name, length)| {
        let mut document = Document::new(id, name, noise(length));
        document.modified = "2012-12-12T18:53:43Z".parse().unwrap();
        document
    };
    names.map(new).to_vec()
}

impl Service for BoxFiles {
    fn variables(&self, base: &str) -> Vec<(&'static str, String)> {
        vec![
            ("BOX_API_BASE", base.to_owned()),
            ("BOX_CLIENT_ID", CLIENT_ID.to_owned()),
            ("BOX_CLIENT_SECRET", CLIENT_SECRET.to_owned()),
            ("BOX_SUBJECT_TYPE", "enterprise".to_owned()),
            ("BOX_SUBJECT_ID", ENTERPRISE.to_owned()),
        ]
    }

    fn secrets(&self) -> Vec<String> {
        vec![CLIENT_SECRET.to_owned(), self.tokens.prefix.to_owned()]
    }

    fn answer(&self, request: &Request, site: &Site) -> Answer {
        if request.path() == "/oauth2/token" {
            return self.token(request);
        }
        if !self.tokens.permit(request) {
            return unauthorized();
        }
        if request.method != "GET" {
            return failure(405, "method_not_allowed", "Method Not Allowed");
        }
        let segments = query::parts(request);
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["2.0", "files", id, "content"] => content(request, site, id),
            ["2.0", "files", id] => self.file(request, site, id),
            ["2.0", "folders", id, "items"] => self.items(request, site, id),
            ["2.0", "users", "me"] => Answer::json(200, &examples()["user"]),
            _ => failure(404, "not_found", "Not Found"),
        }
    }

    fn refuse(&self, refusal: Refusal) -> Answer {
        match refusal {
            Refusal::Limited => failure(
                429,
                "rate_limit_exceeded",
                "Request rate limit exceeded, please try again later",
            ),
            Refusal::Unauthorized => {
                self.tokens.revoke();
                unauthorized()
            }
            Refusal::NotReady => Answer::new(202, ""),
        }
    }
}

impl BoxFiles {
    /// The client credentials grant: all fields are in the form, also those of the client.
    fn token(&self, request: &Request) -> Answer {
        let fields = fields::form(request).unwrap_or_default();
        let field = |name| fields::only(&fields, name);
        let known = [
            "grant_type",
            "client_id",
            "client_secret",
            "box_subject_type",
            "box_subject_id",
        ];
        if request.method != "POST" || field("grant_type") != Some("client_credentials") {
            let text = "Invalid grant_type parameter or parameter missing";
            return oauth_failure("invalid_request", text);
        }
        if fields::unknown(&fields, &known).is_some() || request.target != "/oauth2/token" {
            return oauth_failure("invalid_request", "Invalid parameter");
        }
        if (field("client_id"), field("client_secret")) != (Some(CLIENT_ID), Some(CLIENT_SECRET)) {
            return oauth_failure("invalid_client", "The client credentials are not valid");
        }
        let subject = (field("box_subject_type"), field("box_subject_id"));
        if subject != (Some("enterprise"), Some(ENTERPRISE)) {
            return oauth_failure("invalid_grant", "Grant credentials are invalid");
        }
        let type_field = if self.hides_token_type {
            "issued_token_type"
        } else {
            "token_type"
        };
        let answer = json!({
            "access_token": self.tokens.issue(),
            "expires_in": TOKEN_SECONDS,
            "restricted_to": [],
            type_field: "bearer",
        });
        Answer::json(200, &answer)
    }

    fn file(&self, request: &Request, site: &Site, id: &str) -> Answer {
        let query = query::query(request);
        match find(site, id).and_then(|document| known(&query, &["fields"]).map(|()| document)) {
            Ok(document) => Answer::json(200, &select(&self.json(document), &query, None)),
            Err(refused) => refused,
        }
    }

    /// Folders, then files, then web links, as the description sorts them.
    fn items(&self, request: &Request, site: &Site, folder: &str) -> Answer {
        let query = query::query(request);
        let parameters = [
            "fields",
            "usemarker",
            "marker",
            "offset",
            "limit",
            "direction",
        ];
        if !is_id(folder) {
            return failure(405, "method_not_allowed", "Method Not Allowed");
        }
        if let Err(refused) = known(&query, &parameters) {
            return refused;
        }
        let rows = match folder {
            ROOT => self.rows(site),
            EMPTY_FOLDER => Vec::new(),
            _ => return failure(404, "not_found", "Not Found"),
        };
        let Some(limit) = number(&query, "limit", 100) else {
            return failure(400, "invalid_limit", "Limit is not a valid number");
        };
        let uses_markers = fields::only(&query, "usemarker") == Some("true");
        let marker = fields::only(&query, "marker");
        let offset = number(&query, "offset", 0);
        let start = match (uses_markers, marker, offset) {
            (true, None | Some("0"), _) => Some(0),
            (true, Some(marker), _) => read_marker(marker),
            (false, None, offset) => offset,
            (false, Some(_), _) => None,
        };
        let Some(start) = start else {
            let text = "Invalid input parameters in request";
            return failure(400, "invalid_request_parameters", text);
        };
        let limit = limit.min(1000);
        let (page, next) = site.switches.page(&rows, start, limit);
        let entries = page.iter().map(|row| select(row, &query, Some(&MINI)));
        let mut answer = json!({"entries": entries.collect::<Vec<_>>(), "limit": limit});
        if uses_markers {
            let last = if self.ends_empty {
                json!("")
            } else {
                Value::Null
            };
            answer["next_marker"] = next.map_or(last, |next| json!(write_marker(next)));
        } else {
            answer["total_count"] = json!(rows.len());
            answer["offset"] = json!(start);
            answer["order"] = json!([{"by": "type", "direction": "ASC"}]);
        }
        Answer::json(200, &answer)
    }

    fn rows(&self, site: &Site) -> Vec<Value> {
        let examples = examples();
        let mut other_folder = examples["folder"].clone();
        other_folder["id"] = json!("22223");
        let mut rows = vec![examples["folder"].clone(), other_folder];
        rows.extend(site.documents.iter().map(|document| self.json(document)));
        rows.push(examples["web_link"].clone());
        rows
    }

    /// The example of the description with the facts of this document. As there, the digits of the file's SHA-1
    /// are in upper case and those of the version's in lower case.
    fn json(&self, document: &Document) -> Value {
        let mut file = examples()["file"].clone();
        let is_wrong = self.wrong_digest == Some(&*document.id);
        let bytes: &[u8] = if is_wrong {
            b"other bytes"
        } else {
            &document.content
        };
        let sha1 = fields::hex(&SHA1, bytes);
        let modified = document
            .modified
            .to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(-8)));
        let modified = modified.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
        file["id"] = json!(document.id);
        file["name"] = json!(document.name);
        file["size"] = json!(document.content.len());
        file["sha1"] = json!(sha1.to_uppercase());
        file["file_version"]["sha1"] = json!(sha1);
        file["modified_at"] = json!(modified);
        file["content_modified_at"] = json!(modified);
        file
    }
}

fn content(request: &Request, site: &Site, id: &str) -> Answer {
    let query = query::query(request);
    let document = match find(site, id).and_then(|found| known(&query, &[]).map(|()| found)) {
        Ok(document) => document,
        Err(refused) => return refused,
    };
    if id == LOCKED_FILE {
        return failure(
            403,
            "access_denied_insufficient_permissions",
            "Access denied - insufficient permission",
        );
    }
    let mut grant = Grant::new(format!("/d/1/b1!{id}-long-random-string/download"));
    grant.valid = URL_LIFETIME;
    let name = query::encoded(&document.name);
    grant.disposition = Some(format!("attachment;filename*=UTF-8''{name}"));
    let presigned = site.presign(id, grant);
    Answer::new(302, "").header("Location", &presigned.url)
}

/// A file, or the refusal of the description.
fn find<'a>(site: &'a Site, id: &str) -> Result<&'a Document, Answer> {
    if !is_id(id) {
        return Err(failure(405, "method_not_allowed", "Method Not Allowed"));
    }
    site.document(id)
        .ok_or_else(|| failure(404, "not_found", "Not Found"))
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())
}

fn known(query: &Fields, names: &[&str]) -> Result<(), Answer> {
    let text = "Invalid input parameters in request";
    let refuse = |_| Err(failure(400, "invalid_request_parameters", text));
    fields::unknown(query, names).map_or(Ok(()), refuse)
}

fn number(query: &Fields, name: &str, default: usize) -> Option<usize> {
    fields::only(query, name).map_or(Some(default), |text| text.parse().ok())
}

/// A marker has characters that a query must encode.
fn write_marker(start: usize) -> String {
    format!("JV9IRGZmieiBasejOG9y+DCRNgd2ymoZI/bjsx&bJM={start}==")
}

fn read_marker(marker: &str) -> Option<usize> {
    let start = marker
        .strip_suffix("==")?
        .rsplit('=')
        .next()?
        .parse()
        .ok()?;
    (write_marker(start) == marker).then_some(start)
}

/// The fields of the mini form of any item.
const MINI: [&str; 8] = [
    "type",
    "id",
    "etag",
    "sequence_id",
    "name",
    "sha1",
    "file_version",
    "url",
];

/// The fields that the client wants and the base set; without wishes those of `default`, or all.
fn select(row: &Value, query: &Fields, default: Option<&[&str]>) -> Value {
    let wanted: Option<Vec<&str>> = match fields::only(query, "fields") {
        Some(names) => Some(
            ["type", "id", "etag"]
                .into_iter()
                .chain(names.split(','))
                .collect(),
        ),
        None => default.map(<[&str]>::to_vec),
    };
    let Some(wanted) = wanted else {
        return row.clone();
    };
    let fields = row.as_object().unwrap().iter();
    let fields = fields.filter(|(name, _)| wanted.contains(&name.as_str()));
    let fields: Map<String, Value> = fields
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    Value::Object(fields)
}

/// The description's `ClientError`.
fn failure(status: u16, code: &str, message: &str) -> Answer {
    let mut error = examples()["error"].clone();
    error["status"] = json!(status);
    error["code"] = json!(code);
    error["message"] = json!(message);
    Answer::json(status, &error)
}

fn unauthorized() -> Answer {
    let challenge = "Bearer realm=\"Service\", error=\"invalid_token\", error_description=\"The access token provided is invalid.\"";
    failure(401, "unauthorized", "Unauthorized").header("WWW-Authenticate", challenge)
}

/// The description's `OAuth2Error`, always 400.
fn oauth_failure(error: &str, text: &str) -> Answer {
    Answer::json(400, &json!({"error": error, "error_description": text}))
}
