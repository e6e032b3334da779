//! DNAnexus API 1.0.0, written from <https://documentation.dnanexus.com/developer/api> (Protocols, Files, Search),
//! <https://github.com/dnanexus/dx-toolkit> at ed95c74c, and the statuses in <https://github.com/dnanexus/dxfuse>.

mod tests;

use super::query::{encoded, parts};
use super::{Answer, Document, Grant, Refusal, Service, Site};
use crate::support::raw::Request;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The token of the description's example.
pub const TOKEN: &str = "7Fjfp0ZBr1KtDRbnfVdmIw";
pub const PROJECT: &str = "project-B406G0x2fz2B3GVk65200003";
/// A header that the storage wants from a URL that is not preauthenticated.
const STORAGE_TOKEN: &str = "dl-t0ken-of-one-file";
/// What a URL lives when the request names no duration.
const DEFAULT_DURATION: Duration = Duration::from_secs(24 * 3600);

/// A service that has its documents in [`PROJECT`].
#[derive(Default)]
pub struct Dnanexus {
    /// Files that are not in the state `closed`.
    pub open: Vec<&'static str>,
    /// Files that the requester must not see.
    pub hidden: Vec<&'static str>,
    /// Whether a preauthenticated URL needs headers, too. `dxpy` sends what `headers` holds in any case.
    pub always_headers: bool,
}

impl Dnanexus {
    fn file<'a>(
        &self,
        id: &str,
        input: &Map<String, Value>,
        site: &'a Site,
    ) -> Result<&'a Document, Answer> {
        let Some(document) = site.document(id) else {
            let message = format!("{id:?} is not recognized as a reference to a file");
            return Err(error(404, "ResourceNotFound", &message));
        };
        if self.hidden.contains(&id) {
            let message = "VIEW access required to some project that contains the file object";
            return Err(error(401, "PermissionDenied", message));
        }
        match input.get("project").map(Value::as_str) {
            None | Some(Some(PROJECT)) => Ok(document),
            Some(Some(_)) => {
                let message = "The file object is not in the specified project";
                Err(error(404, "ResourceNotFound", message))
            }
            Some(None) => Err(invalid("expected key \"project\" of input to be a string")),
        }
    }

    fn download(&self, id: &str, input: &Map<String, Value>, site: &Site) -> Result<Value, Answer> {
        let known = [
            "duration",
            "filename",
            "project",
            "preauthenticated",
            "stickyIP",
        ];
        only(input, &known)?;
        self.file(id, input, site)?;
        let preauthenticated = boolean(input, "preauthenticated")?.unwrap_or(false);
        if boolean(input, "stickyIP")?.unwrap_or(false) && !preauthenticated {
            return Err(invalid("\"stickyIP\" requires \"preauthenticated\""));
        }
        let duration = match input.get("duration") {
            None => DEFAULT_DURATION,
            Some(duration) => {
                let seconds = duration.as_u64().filter(|seconds| *seconds > 0);
                let message = "expected key \"duration\" of input to be a positive integer";
                Duration::from_secs(seconds.ok_or_else(|| invalid(message))?)
            }
        };
        if self.open.contains(&id) {
            let message = "The file object is not in the \"closed\" state";
            return Err(error(422, "InvalidState", message));
        }
        let mut path = format!("/F/D/{}", &crate::support::sha256(id.as_bytes())[..40]);
        let mut disposition = "attachment".to_owned();
        match input.get("filename").map(Value::as_str) {
            Some(Some(name)) => {
                path.push_str(&format!("/{}", encoded(name)));
                disposition.push_str(&format!("; filename=\"{name}\""));
            }
            Some(None) => return Err(invalid("expected key \"filename\" of input to be a string")),
            None => {}
        }
        let mut grant = Grant::new(path);
        grant.valid = duration;
        grant.disposition = Some(disposition);
        let mut headers = json!({});
        if !preauthenticated || self.always_headers {
            let value = format!("Bearer {STORAGE_TOKEN}");
            headers["Authorization"] = json!(value);
            grant.headers = vec![("Authorization".to_owned(), value)];
        }
        let presigned = site.presign(id, grant);
        let mut output = json!({"url": presigned.url, "headers": headers});
        if preauthenticated {
            output["expires"] = json!(presigned.end.as_millisecond());
        }
        Ok(output)
    }

    /// The `describe` method of a file: with `fields`, the id and what `fields` names; else the default ones.
    fn describe(&self, id: &str, input: &Map<String, Value>, site: &Site) -> Result<Value, Answer> {
        let known = [
            "project",
            "defaultFields",
            "fields",
            "properties",
            "details",
            "parts",
        ];
        only(input, &known)?;
        Ok(self.description(self.file(id, input, site)?, input))
    }

    fn description(&self, document: &Document, input: &Map<String, Value>) -> Value {
        let is_closed = !self.open.contains(&&*document.id);
        let mut all = json!({
            "id": document.id,
            "project": PROJECT,
            "class": "file",
            "types": [],
            "state": if is_closed { "closed" } else { "open" },
            "hidden": false,
            "links": [],
            "name": document.name,
            "folder": "/",
            "sponsored": false,
            "tags": [],
            "created": document.modified.as_millisecond(),
            "modified": document.modified.as_millisecond(),
            "createdBy": {"user": "user-rfranklin"},
            "media": "application/octet-stream",
        });
        if is_closed {
            all["size"] = json!(document.content.len());
            all["archivalState"] = json!("live");
        }
        let Some(fields) = input.get("fields").and_then(Value::as_object) else {
            return all;
        };
        let is_wanted = |name: &str| name == "id" || fields.get(name) == Some(&json!(true));
        let all = all.as_object().unwrap().iter();
        let wanted = all.filter(|(name, _)| is_wanted(name));
        Value::Object(
            wanted
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    }

    fn find(&self, input: &Map<String, Value>, site: &Site) -> Result<Value, Answer> {
        only(input, &FIND_KEYS)?;
        for name in ["class", "state", "visibility"] {
            if input.get(name).is_some_and(|value| !value.is_string()) {
                let message = format!("expected key \"{name}\" of input to be a string");
                return Err(invalid(&message));
            }
        }
        let is_in_scope = match input.get("scope").map(Value::as_object) {
            None => true,
            Some(None) => return Err(invalid("expected key \"scope\" of input to be a hash")),
            Some(Some(scope)) => {
                only(scope, &["project", "folder", "recurse"])?;
                scope.get("project") == Some(&json!(PROJECT))
            }
        };
        let is_file = input.get("class").is_none_or(|class| class == "file");
        let state = input.get("state").and_then(Value::as_str).unwrap_or("any");
        let is_meant = |document: &&Document| {
            let is_open = self.open.contains(&&*document.id);
            is_in_scope
                && is_file
                && !self.hidden.contains(&&*document.id)
                && (state == "any" || (state == "open") == is_open)
        };
        let rows: Vec<&Document> = site.documents.iter().filter(is_meant).collect();
        let limit = match input.get("limit").map(Value::as_u64) {
            None => 1000,
            Some(Some(limit @ 1..=1000)) => limit,
            Some(_) => return Err(invalid("expected \"limit\" to be in range [1, 1000]")),
        };
        let cursor = |document: &Document| json!({"project": PROJECT, "id": document.id});
        let start = match input.get("starting") {
            None => 0,
            Some(starting) => {
                let found = rows.iter().position(|row| cursor(row) == *starting);
                found.ok_or_else(|| invalid("\"starting\" is not the \"next\" of a result"))?
            }
        };
        let limit = usize::try_from(limit).unwrap();
        let (page, next) = site.switches.page(&rows, start, limit);
        let result = |document: &&Document| {
            let mut row = cursor(document);
            match input.get("describe") {
                Some(Value::Object(describe)) => {
                    row["describe"] = self.description(document, describe)
                }
                Some(Value::Bool(true)) => {
                    row["describe"] = self.description(document, &Map::new())
                }
                _ => {}
            }
            row
        };
        let results: Vec<Value> = page.iter().map(result).collect();
        let next = next.map_or(Value::Null, |next| cursor(rows[next]));
        Ok(json!({"results": results, "next": next}))
    }
}

/// What `/system/findDataObjects` takes.
const FIND_KEYS: [&str; 20] = [
    "id",
    "class",
    "state",
    "visibility",
    "name",
    "type",
    "tags",
    "tag",
    "properties",
    "link",
    "region",
    "archivalState",
    "scope",
    "level",
    "modified",
    "created",
    "describe",
    "sortBy",
    "starting",
    "limit",
];

impl Service for Dnanexus {
    fn variables(&self, base: &str) -> Vec<(&'static str, String)> {
        vec![
            ("DNANEXUS_API_BASE", base.to_owned()),
            ("DNANEXUS_TOKEN", TOKEN.to_owned()),
        ]
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned()]
    }

    fn output_secrets(&self) -> Vec<String> {
        vec![STORAGE_TOKEN.to_owned()]
    }

    fn answer(&self, request: &Request, site: &Site) -> Answer {
        if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return self.refuse(Refusal::Unauthorized);
        }
        if request.method != "POST" {
            return error(405, "MethodNotAllowed", "Method not allowed");
        }
        let parts = parts(request);
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let is_json = request.header("content-type").is_none_or(|kind| {
            let kind = kind.split(';').next().unwrap();
            kind.trim().eq_ignore_ascii_case("application/json")
        });
        let input = serde_json::from_slice::<Value>(&request.body);
        let (true, Ok(input)) = (is_json, input) else {
            return error(
                400,
                "MalformedJSON",
                "The input could not be parsed as JSON",
            );
        };
        let Some(input) = input.as_object() else {
            return invalid("input is not a hash");
        };
        let is_current = request
            .header("dnanexus-api")
            .is_none_or(|version| version == "1.0.0");
        if !is_current {
            return error(
                400,
                "BadRequest",
                "The request is invalid due to bad syntax",
            );
        }
        let output = match *parts {
            ["system", "whoami"] => Ok(json!({"id": "user-rfranklin"})),
            ["system", "findDataObjects"] => self.find(input, site),
            [id, "describe"] => self.describe(id, input, site),
            [id, "download"] => self.download(id, input, site),
            _ => Err(error(
                404,
                "ResourceNotFound",
                "there is no such API method",
            )),
        };
        output.map_or_else(|answer| answer, |output| Answer::json(200, &output))
    }

    fn refuse(&self, refusal: Refusal) -> Answer {
        match refusal {
            Refusal::Unauthorized => {
                error(401, "InvalidAuthentication", "the token could not be found")
            }
            Refusal::Limited => error(429, "RateLimitConditional", "Too many invalid requests"),
            Refusal::NotReady => unreachable!("DNAnexus documents no 202"),
        }
    }
}

/// `{"error": {"type": …, "message": …}}`, as `dxpy.exceptions.DXAPIError` reads it.
fn error(status: u16, kind: &str, message: &str) -> Answer {
    Answer::json(
        status,
        &json!({"error": {"type": kind, "message": message}}),
    )
}

fn invalid(message: &str) -> Answer {
    error(422, "InvalidInput", message)
}

/// Refuses keys that the description does not have.
fn only(input: &Map<String, Value>, known: &[&str]) -> Result<(), Answer> {
    match input.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(invalid(&format!("unexpected key \"{key}\" of input"))),
        None => Ok(()),
    }
}

fn boolean(input: &Map<String, Value>, key: &str) -> Result<Option<bool>, Answer> {
    let message = format!("expected key \"{key}\" of input to be a boolean");
    match input.get(key) {
        None => Ok(None),
        Some(value) => value.as_bool().map(Some).ok_or_else(|| invalid(&message)),
    }
}
