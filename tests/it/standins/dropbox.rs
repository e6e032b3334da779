//! Dropbox, after its API specification (dropbox/dropbox-api-spec) and its Python SDK (dropbox/dropbox-sdk-python):
//! refresh tokens, temporary links, folders whose pages continue with a cursor.

mod arguments;
mod tests;

use super::tokens::Tokens;
use super::{Answer, Document, Grant, Refusal, Service, Site, fields};
use crate::support::noise;
use crate::support::raw::Request;
use arguments::{Arguments, is_path};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::SHA256;
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::Duration;

pub const APP_KEY: &str = "oynqxdsk3y5tandin";
pub const APP_SECRET: &str = "tk2oewnSecretOfTheApp";
pub const REFRESH_TOKEN: &str = "oZFWg3DmZ_IAAAAAAAAAAWilOA0M1SjV5tandin";
/// A document that Dropbox can only export: `is_downloadable` is false.
pub const PAPER: &str = "id:a4ayc_80_OEAAAAAAAAAYp";
/// The folders, of which the second is the example of the specification.
const FOLDERS: [&str; 2] = ["/Homework", "/Homework/math"];
const TOKEN_SECONDS: u32 = 14_400;
/// "This link will expire in four hours and afterwards you will get 410 Gone."
const URL_LIFETIME: Duration = Duration::from_secs(4 * 3600);
/// The size of the blocks of a content hash.
const BLOCK: usize = 4 << 20;

/// The examples of the specification.
fn examples() -> Value {
    serde_json::from_str(include_str!("../../data/standins/dropbox.json")).unwrap()
}

/// The service.
pub struct Dropbox {
    tokens: Tokens,
    /// The rows behind each cursor.
    cursors: Mutex<Vec<Cursor>>,
    /// Every cursor is invalid.
    pub resets_cursors: bool,
}

struct Cursor {
    rows: Vec<Value>,
    /// The row that the next page starts with.
    start: usize,
    limit: usize,
}

impl Dropbox {
    pub fn new() -> Self {
        Self {
            tokens: Tokens::new("sl.B2M8yVLTS_5tandin-"),
            cursors: Mutex::default(),
            resets_cursors: false,
        }
    }
}

/// The file of the specification's example, and three others.
pub fn documents() -> Vec<Document> {
    let names = [
        ("id:a4ayc_80_OEAAAAAAAAAXw", "Prime_Numbers.txt", 7212),
        ("id:a4ayc_80_OEAAAAAAAAAXx", "Prüfung \"A\".pdf", 500_000),
        ("id:a4ayc_80_OEAAAAAAAAAXy", "video.mp4", BLOCK + 9),
        ("id:a4ayc_80_OEAAAAAAAAAX0", "empty.log", 0),
    ];
    let new = |(id, name, length)| {
        let mut document = Document::new(id, name, noise(length));
        document.modified = "2015-05-12T15:50:38Z".parse().unwrap();
        document
    };
    names.map(new).to_vec()
}

/// The hash by which Dropbox names contents: not the SHA-256 of the bytes, but that of the SHA-256 digests of
/// their blocks of 4 MiB.
pub fn content_hash(bytes: &[u8]) -> String {
    let blocks = bytes.chunks(BLOCK);
    let digests: Vec<u8> = blocks
        .flat_map(|block| ring::digest::digest(&SHA256, block).as_ref().to_vec())
        .collect();
    fields::hex(&SHA256, &digests)
}

impl Service for Dropbox {
    fn variables(&self, base: &str) -> Vec<(&'static str, String)> {
        vec![
            ("DROPBOX_API_BASE", base.to_owned()),
            ("DROPBOX_CLIENT_ID", APP_KEY.to_owned()),
            ("DROPBOX_CLIENT_SECRET", APP_SECRET.to_owned()),
            ("DROPBOX_REFRESH_TOKEN", REFRESH_TOKEN.to_owned()),
        ]
    }

    fn secrets(&self) -> Vec<String> {
        let basic = STANDARD.encode(format!("{APP_KEY}:{APP_SECRET}"));
        let prefix = self.tokens.prefix;
        let secrets = [APP_SECRET, REFRESH_TOKEN, prefix, &basic];
        secrets.map(str::to_owned).to_vec()
    }

    fn answer(&self, request: &Request, site: &Site) -> Answer {
        if request.path() == "/oauth2/token" {
            return self.token(request);
        }
        let Some(route) = request.target.strip_prefix("/2/") else {
            return Answer::new(404, "Not Found").header("Content-Type", "text/plain");
        };
        match self.call(request, site, route) {
            Ok(answer) => Answer::json(200, &answer),
            Err(refused) => refused,
        }
    }

    fn refuse(&self, refusal: Refusal) -> Answer {
        match refusal {
            Refusal::Limited => {
                let error = json!({"reason": {".tag": "too_many_requests"}, "retry_after": 1});
                let body = json!({"error_summary": "too_many_requests/..", "error": error});
                Answer::json(429, &body)
            }
            Refusal::Unauthorized => {
                self.tokens.revoke();
                tagged(401, "expired_access_token")
            }
            Refusal::NotReady => unreachable!("Dropbox describes no 202"),
        }
    }
}

impl Dropbox {
    /// The refresh token grant. The refresh token stays the same. The client is named by the form, as the SDK does,
    /// or by HTTP Basic (RFC 6749, section 2.3.1), not by both.
    fn token(&self, request: &Request) -> Answer {
        let fields = fields::form(request).unwrap_or_default();
        let field = |name| fields::only(&fields, name);
        let known = [
            "grant_type",
            "refresh_token",
            "client_id",
            "client_secret",
            "scope",
        ];
        let is_meant = request.method == "POST" && request.target == "/oauth2/token";
        if !is_meant || fields::unknown(&fields, &known).is_some() {
            return oauth_failure("invalid_request", "unknown field");
        }
        if field("grant_type") != Some("refresh_token") {
            return oauth_failure("unsupported_grant_type", "grant_type must be refresh_token");
        }
        let basic = STANDARD.encode(format!("{APP_KEY}:{APP_SECRET}"));
        let by_form = (field("client_id"), field("client_secret"));
        let is_client = match request.header("authorization") {
            Some(header) => header == format!("Basic {basic}") && by_form == (None, None),
            None => by_form == (Some(APP_KEY), Some(APP_SECRET)),
        };
        if !is_client {
            // As it was seen: not a code of RFC 6749.
            let error = "invalid_client: Invalid client_id or client_secret";
            return Answer::json(400, &json!({"error": error}));
        }
        if field("refresh_token") != Some(REFRESH_TOKEN) {
            return oauth_failure("invalid_grant", "refresh token is invalid or revoked");
        }
        let answer = json!({
            "access_token": self.tokens.issue(),
            "token_type": "bearer",
            "expires_in": TOKEN_SECONDS,
        });
        Answer::json(200, &answer)
    }

    /// A route of the RPC style: arguments are the JSON of the body.
    fn call(&self, request: &Request, site: &Site, route: &str) -> Result<Value, Answer> {
        let bad = |why: &str| Err(bad_input(route, why));
        match request.header("authorization") {
            None => return Err(tagged(401, "missing_authentication")),
            Some(header) if fields::bearer(request).is_none() => {
                return bad(&format!(
                    "Invalid authorization value in HTTP header \"Authorization\": \"{header}\".  Expecting \"Bearer <oauth2-access-token>\"."
                ));
            }
            Some(_) if !self.tokens.permit(request) => {
                return Err(tagged(401, "invalid_access_token"));
            }
            Some(_) => {}
        }
        if request.method != "POST" {
            return bad("Only POST is allowed.");
        }
        if !fields::is_of(request, "application/json") {
            let declared = request.header("content-type").unwrap_or_default();
            return bad(&format!(
                "Bad HTTP \"Content-Type\" header: \"{declared}\".  Expecting one of \"application/json\"."
            ));
        }
        let Ok(Value::Object(arguments)) = serde_json::from_slice(&request.body) else {
            return bad("request body: could not decode input as JSON");
        };
        let arguments = Arguments::new(route, arguments);
        match route {
            "files/get_temporary_link" => link(site, &arguments),
            "files/get_metadata" => metadata(site, &arguments),
            "files/list_folder" => self.list_folder(site, &arguments),
            "files/list_folder/continue" => self.next_page(site, &arguments),
            "check/user" => {
                arguments.known(&["query"])?;
                let query = arguments.text("query")?.unwrap_or_default();
                Ok(json!({"result": query}))
            }
            _ => bad("Unknown API function"),
        }
    }

    fn list_folder(&self, site: &Site, arguments: &Arguments) -> Result<Value, Answer> {
        let flags = [
            "recursive",
            "include_deleted",
            "include_has_explicit_shared_members",
            "include_mounted_folders",
            "include_non_downloadable_files",
        ];
        arguments.known(&[&flags[..], &["path", "limit"]].concat())?;
        let path = arguments.required("path")?;
        if path == "/" {
            let why = "path: Specify the root folder as an empty string rather than as \"/\".";
            return Err(arguments.refuse(why));
        }
        if !path.is_empty() && !is_path(path) {
            return Err(arguments.mismatch("path", path));
        }
        let folder = match path {
            "" => "",
            path => FOLDERS
                .into_iter()
                .find(|known| known.eq_ignore_ascii_case(path))
                .ok_or_else(|| lookup("not_found"))?,
        };
        let flag = |name| arguments.flag(name);
        let (recursive, deleted) = (flag("recursive")?, flag("include_deleted")?);
        let all = flag("include_non_downloadable_files")?.unwrap_or(true);
        flag("include_has_explicit_shared_members")?;
        flag("include_mounted_folders")?;
        let limit = arguments.limit()?;
        let mut rows = entries(site);
        rows.retain(|row| {
            let path = row["path_display"].as_str().unwrap_or_default();
            let inside = path
                .strip_prefix(folder)
                .and_then(|rest| rest.strip_prefix('/'));
            let is_below =
                inside.is_some_and(|rest| recursive == Some(true) || !rest.contains('/'));
            let is_wanted = match row[".tag"].as_str() {
                Some("deleted") => deleted == Some(true),
                _ => all || row["is_downloadable"] != false,
            };
            is_below && is_wanted
        });
        Ok(self.page(
            site,
            Cursor {
                rows,
                start: 0,
                limit,
            },
        ))
    }

    fn next_page(&self, site: &Site, arguments: &Arguments) -> Result<Value, Answer> {
        arguments.known(&["cursor"])?;
        let cursor = arguments.required("cursor")?;
        let number = cursor
            .strip_prefix(examples()["cursor"].as_str().unwrap())
            .and_then(|rest| rest.strip_prefix('"')?.parse::<usize>().ok());
        let mut cursors = self.cursors.lock().unwrap();
        let found = number.and_then(|number| cursors.get_mut(number));
        let Some(found) = found.filter(|_| !self.resets_cursors) else {
            return Err(tagged(409, "reset"));
        };
        let next = Cursor {
            rows: found.rows.clone(),
            ..*found
        };
        drop(cursors);
        Ok(self.page(site, next))
    }

    /// A page, and the cursor behind it: the last page has one, too.
    fn page(&self, site: &Site, mut cursor: Cursor) -> Value {
        let (page, next) = site.switches.page(&cursor.rows, cursor.start, cursor.limit);
        let page = page.to_vec();
        cursor.start = next.unwrap_or(cursor.rows.len());
        let mut cursors = self.cursors.lock().unwrap();
        // The quote must be escaped in JSON.
        let text = format!(
            "{}\"{}",
            examples()["cursor"].as_str().unwrap(),
            cursors.len()
        );
        cursors.push(cursor);
        json!({"entries": page, "cursor": text, "has_more": next.is_some()})
    }
}

/// What is at a path: the entry of a list.
fn find(site: &Site, arguments: &Arguments) -> Result<Value, Answer> {
    arguments.known(&["path"])?;
    let path = arguments.required("path")?;
    if !is_path(path) {
        return Err(arguments.mismatch("path", path));
    }
    let is_meant = |row: &Value| {
        let revision = row["rev"].as_str().map(|rev| format!("rev:{rev}"));
        row["id"] == path
            || row["path_lower"] == path.to_lowercase()
            || revision.is_some_and(|revision| revision == path)
    };
    let mut rows = entries(site)
        .into_iter()
        .filter(|row| row[".tag"] != "deleted");
    rows.find(is_meant).ok_or_else(|| lookup("not_found"))
}

fn metadata(site: &Site, arguments: &Arguments) -> Result<Value, Answer> {
    find(site, arguments)
}

fn link(site: &Site, arguments: &Arguments) -> Result<Value, Answer> {
    let mut found = find(site, arguments)?;
    if found[".tag"] != "file" {
        return Err(lookup("not_file"));
    }
    if found["is_downloadable"] == false {
        return Err(tagged(409, "unsupported_file"));
    }
    // The field is declared as the struct itself, which carries no tag.
    found.as_object_mut().unwrap().shift_remove(".tag");
    let example = url::Url::parse(examples()["link"].as_str().unwrap()).unwrap();
    let id = found["id"].as_str().unwrap();
    let path = example.path().replace("1234567890", &id["id:".len()..]);
    let mut grant = Grant::new(path);
    grant.valid = URL_LIFETIME;
    grant.ended = 410;
    if id.ends_with("Xw") {
        grant.media_type = "text/plain; charset=utf-8";
    }
    let presigned = site.presign(id, grant);
    Ok(json!({"metadata": found, "link": presigned.url}))
}

/// Everything that the account has, folders first.
fn entries(site: &Site) -> Vec<Value> {
    let examples = examples();
    let tag = |tag: &str, entry: &Value| {
        let mut tagged = json!({".tag": tag});
        let fields = tagged.as_object_mut().unwrap();
        fields.extend(entry.as_object().unwrap().clone());
        tagged
    };
    let mut upper = tag("folder", &examples["folder"]);
    upper["id"] = json!("id:a4ayc_80_OEAAAAAAAAAXv");
    upper["name"] = json!("Homework");
    place(&mut upper, FOLDERS[0]);
    let mut rows = vec![upper, tag("folder", &examples["folder"])];
    for (number, document) in (0..).zip(&site.documents) {
        rows.push(tag("file", &file(document, number)));
    }
    let mut paper = tag("file", &examples["file"]);
    paper["id"] = json!(PAPER);
    paper["name"] = json!("Plan.paper");
    paper["is_downloadable"] = json!(false);
    paper["export_info"] = json!({"export_as": "html"});
    place(&mut paper, &format!("{}/Plan.paper", FOLDERS[1]));
    rows.push(paper);
    rows.push(tag("deleted", &examples["deleted"]));
    rows
}

/// The example of the specification with the facts of this document.
fn file(document: &Document, number: u32) -> Value {
    let mut file = examples()["file"].clone();
    file["id"] = json!(document.id);
    file["name"] = json!(document.name);
    file["rev"] = json!(format!("a1c10ce0dd{:02x}", 0x78 + number));
    file["size"] = json!(document.content.len());
    file["server_modified"] = json!(document.modified.to_string());
    file["content_hash"] = json!(content_hash(&document.content));
    place(&mut file, &format!("{}/{}", FOLDERS[1], document.name));
    file
}

fn place(entry: &mut Value, path: &str) {
    entry["path_display"] = json!(path);
    entry["path_lower"] = json!(path.to_lowercase());
}

/// 400 has a body of text.
fn bad_input(route: &str, why: &str) -> Answer {
    let text = format!("Error in call to API function \"{route}\": {why}");
    Answer::new(400, text).header("Content-Type", "text/plain; charset=utf-8")
}

/// An error that is one tag.
fn tagged(status: u16, tag: &str) -> Answer {
    let summary = format!("{tag}/...");
    Answer::json(
        status,
        &json!({"error_summary": summary, "error": {".tag": tag}}),
    )
}

/// The specification's `LookupError` at the field `path`.
fn lookup(tag: &str) -> Answer {
    let error = json!({".tag": "path", "path": {".tag": tag}});
    let summary = format!("path/{tag}/..");
    Answer::json(409, &json!({"error_summary": summary, "error": error}))
}

fn oauth_failure(error: &str, text: &str) -> Answer {
    Answer::json(400, &json!({"error": error, "error_description": text}))
}
