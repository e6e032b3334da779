//! Seven Bridges API v2 (also Cancer Genomics Cloud, Cavatica, BioData Catalyst), written from
//! <https://docs.sevenbridges.com/docs/the-api>, the pages of its calls, and
//! <https://github.com/sbg/sevenbridges-python> at 10fe4aa2.

mod tests;

use super::query::{encoded, parts, query};
use super::{Answer, Document, Grant, Refusal, Service, Site};
use crate::support::raw::Request;
use serde_json::{Value, json};

/// The token of the description's examples.
pub const TOKEN: &str = "3259c50e1ac5426ea8f1273259740f74";
pub const PROJECT: &str = "RFranklin/my-project";
/// A folder, which the list has between its files.
pub const FOLDER: &str = "57fba0581c94d72f08ba054e";
/// 1000 requests within 5 minutes.
const RATE_LIMIT: u32 = 1000;
/// The most rows that a page may have.
const MAX_LIMIT: usize = 100;
/// What a row has when the request names no `fields`.
const DEFAULT_FIELDS: [&str; 6] = ["href", "id", "name", "project", "parent", "type"];

/// A service that has its documents in the root folder of [`PROJECT`].
#[derive(Default)]
pub struct Sevenbridges {
    /// Files that the requester must not see.
    pub forbidden: Vec<&'static str>,
}

impl Sevenbridges {
    fn route(&self, request: &Request, site: &Site) -> Answer {
        let parts = parts(request);
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        if request.method != "GET" {
            return error(405, None, "Method Not Allowed");
        }
        match *parts {
            ["v2", "user"] => fields_of(&user(site), &query(request)),
            ["v2", "files"] => list(request, site),
            ["v2", "files", id] | ["v2", "files", id, "download_info"] => {
                let Some(document) = site.document(id) else {
                    return error(404, Some(5002), "Requested file does not exist.");
                };
                if self.forbidden.contains(&id) {
                    let message = "Not enough privileges to access the requested file.";
                    return error(403, Some(5001), message);
                }
                let body = if parts.len() == 4 {
                    json!({"url": download_url(document, site)})
                } else {
                    file(document, site)
                };
                fields_of(&body, &query(request))
            }
            _ => error(404, None, "Not Found"),
        }
    }
}

impl Service for Sevenbridges {
    fn variables(&self, base: &str) -> Vec<(&'static str, String)> {
        vec![
            // The service writes its bases so.
            ("SEVENBRIDGES_API_BASE", format!("{base}/v2")),
            ("SEVENBRIDGES_API_KEY", TOKEN.to_owned()),
        ]
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned()]
    }

    fn answer(&self, request: &Request, site: &Site) -> Answer {
        let bearer = format!("Bearer {TOKEN}");
        let is_key = request.header("x-sbg-auth-token") == Some(TOKEN);
        let answer = if is_key || request.header("authorization") == Some(&bearer) {
            self.route(request, site)
        } else {
            self.refuse(Refusal::Unauthorized)
        };
        answer
            .header("X-RateLimit-Limit", &RATE_LIMIT.to_string())
            .header("X-RateLimit-Remaining", &(RATE_LIMIT - 1).to_string())
            .header("X-RateLimit-Reset", &soon())
    }

    fn refuse(&self, refusal: Refusal) -> Answer {
        match refusal {
            Refusal::Unauthorized => error(401, None, "Unauthorized"),
            Refusal::Limited => error(
                429,
                Some(1000),
                "Rate limit exceeded! Check response headers.",
            )
            .header("X-RateLimit-Limit", &RATE_LIMIT.to_string())
            .header("X-RateLimit-Remaining", "0")
            .header("X-RateLimit-Reset", &soon()),
            Refusal::NotReady => unreachable!("Seven Bridges documents no 202"),
        }
    }
}

/// The time in a second, in seconds since 1970.
fn soon() -> String {
    (jiff::Timestamp::now().as_second() + 1).to_string()
}

/// The keys that `sevenbridges/decorators.py` reads.
fn error(status: u16, code: Option<u16>, message: &str) -> Answer {
    let mut body = json!({"status": status, "message": message});
    if let Some(code) = code {
        body["code"] = json!(code);
        body["more_info"] = json!(format!(
            "http://docs.sevenbridges.com/docs/error-code-{code}"
        ));
    }
    Answer::json(status, &body)
}

/// The example of the page "Get my information".
fn user(site: &Site) -> Value {
    json!({
        "href": format!("{}/v2/users/RFranklin", site.base),
        "username": "RFranklin",
        "email": "rosalind.franklin@sbgenomics.com",
        "first_name": "Rosalind",
        "last_name": "Franklin",
        "affiliation": "Seven Bridges",
        "phone": "",
        "address": "",
        "city": "London",
        "state": "",
        "country": "United Kingdom",
        "zip_code": "",
    })
}

/// The example of the page "Get file details", with the data of a document.
fn file(document: &Document, site: &Site) -> Value {
    json!({
        "href": format!("{}/v2/files/{}", site.base, document.id),
        "id": document.id,
        "name": document.name,
        "size": document.content.len(),
        "project": PROJECT,
        "parent": "567890abc4f3066bc3750174",
        "type": "file",
        "created_on": document.modified.to_string(),
        "modified_on": document.modified.to_string(),
        "storage": {"type": "PLATFORM", "hosted_on_locations": ["aws:us-east-1", "google:us-west1"]},
        "origin": {},
        "tags": ["tag"],
        // What users write here is no checksum of the service.
        "metadata": {"md5_sum": "3feb601b556d63db86669175f921463b"},
    })
}

fn folder(site: &Site) -> Value {
    json!({
        "href": format!("{}/v2/files/{FOLDER}", site.base),
        "id": FOLDER,
        "name": "folder-name-1",
        "project": PROJECT,
        "parent": "567890abc4f3066bc3750174",
        "type": "folder",
    })
}

/// As in the example of the page "Get download information and URL for a file".
fn download_url(document: &Document, site: &Site) -> String {
    let name = encoded(&document.name);
    let mut grant = Grant::new(format!("/723c949a-789c-12b3-45b6-b2dd0d8d0021%2B{name}"));
    grant.query = "response-content-type=application%2Foctet-stream&AWSAccessKeyId=AKIAIZUEXM5REEXAMPLE&Expires={end}&";
    grant.disposition = Some(format!("attachment;filename={}", document.name));
    site.presign(&document.id, grant).url
}

/// Folders and files of a project's root. `project` or `parent` is required, and not both.
fn list(request: &Request, site: &Site) -> Answer {
    let query = query(request);
    let value = |name: &str| {
        let found = query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    };
    let is_known = |(name, _): &(String, String)| {
        [
            "project", "parent", "offset", "limit", "fields", "name", "tag",
        ]
        .contains(&name.as_str())
            || name.starts_with("metadata.")
            || name.starts_with("origin.")
    };
    if !query.iter().all(is_known) {
        return error(400, None, "Unknown query parameter.");
    }
    match (value("project"), value("parent")) {
        (Some(PROJECT), None) => {}
        (Some(project), None) if project.split('/').count() != 2 => {
            return error(
                400,
                Some(3012),
                "Malformed project id. Expecting owner/project",
            );
        }
        (Some(_), None) => {
            let message = "Requested project or member does not exist.";
            return error(404, Some(3002), message);
        }
        _ => return error(400, None, "Please specify the project or the parent."),
    }
    let number = |name: &str, default: usize| value(name).map_or(Ok(default), str::parse);
    let (Ok(offset), Ok(limit)) = (number("offset", 0), number("limit", 25)) else {
        return error(400, None, "Pagination parameters must be numbers.");
    };
    let mut rows = vec![folder(site)];
    let names: Vec<&str> = {
        let pairs = query.iter().filter(|(known, _)| known == "name");
        pairs.map(|(_, name)| name.as_str()).collect()
    };
    let is_named = |document: &&Document| names.is_empty() || names.contains(&&*document.name);
    let named = site.documents.iter().filter(is_named);
    rows.extend(named.map(|document| file(document, site)));
    let (page, next) = site.switches.page(&rows, offset, limit.clamp(1, MAX_LIMIT));
    let fields = value("fields");
    let items: Option<Vec<Value>> = page.iter().map(|row| chosen(row, fields, false)).collect();
    let Some(items) = items else {
        return error(400, None, "Unknown field.");
    };
    let href = |offset: usize| {
        let mut url = url::Url::parse(&format!("{}/v2/files", site.base)).unwrap();
        let others = query
            .iter()
            .filter(|(name, _)| name != "offset" && name != "limit");
        let paging = [("offset", offset.to_string()), ("limit", limit.to_string())];
        let mut pairs = url.query_pairs_mut();
        pairs.extend_pairs(paging).extend_pairs(others);
        drop(pairs);
        url.to_string()
    };
    let link = |rel: &str, offset| json!({"href": href(offset), "rel": rel, "method": "GET"});
    let mut links = Vec::new();
    links.extend(next.map(|next| link("next", next)));
    links.extend((offset > 0).then(|| link("prev", offset.saturating_sub(limit))));
    let body = json!({"href": href(offset), "items": items, "links": links});
    Answer::json(200, &body).header("X-Total-Matching-Query", &rows.len().to_string())
}

/// A single resource, with the fields that the request names.
fn fields_of(resource: &Value, query: &[(String, String)]) -> Answer {
    let fields = match query {
        [] => None,
        [(name, fields)] if name == "fields" => Some(fields.as_str()),
        _ => return error(400, None, "Unknown query parameter."),
    };
    match chosen(resource, fields, true) {
        Some(chosen) => Answer::json(200, &chosen),
        None => error(400, None, "Unknown field."),
    }
}

/// Without `fields`, a single resource is whole, and a row has its default fields. None for a field that a file
/// does not have.
fn chosen(resource: &Value, fields: Option<&str>, is_single: bool) -> Option<Value> {
    let resource = resource.as_object().unwrap();
    let fields: Vec<&str> = match fields {
        Some("_all") => return Some(json!(resource)),
        None if is_single => return Some(json!(resource)),
        None => DEFAULT_FIELDS.to_vec(),
        Some(fields) => fields.split(',').collect(),
    };
    let is_folder = resource.get("type") == Some(&json!("folder")); // it lacks fields that a file has
    if !is_folder && !fields.iter().all(|name| resource.contains_key(*name)) {
        return None;
    }
    let pairs = fields
        .iter()
        .filter_map(|name| Some((*name, resource.get(*name)?)));
    Some(
        pairs
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect(),
    )
}
