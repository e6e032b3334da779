//! GitHub's release assets, after the REST description (github/rest-api-description) and the pages of
//! docs.github.com on pagination, rate limits, redirects and errors.

mod tests;

use super::{Answer, Document, Grant, Refusal, Service, Site, fields, query};
use crate::support::raw::Request;
use crate::support::{noise, sha256};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

pub const TOKEN: &str = "ghp_5tandInOfTheTokenThatNobodyMaySee";
pub const OWNER: &str = "octocat";
pub const REPOSITORY: &str = "Hello-World";
/// What the repository was called before.
pub const FORMER_REPOSITORY: &str = "Hello-Old-World";
/// The number of the repository, under which its paths are, too.
const REPOSITORY_ID: &str = "1296269";
/// An asset whose upload did not finish.
pub const OPEN_ASSET: &str = "99";
/// Assets a release.
const RELEASE_ASSETS: usize = 2;
const PAGES: &str = "https://docs.github.com/rest";

/// The examples of the description.
fn examples() -> Value {
    serde_json::from_str(include_str!("../../data/standins/github.json")).unwrap()
}

/// How the API answers a request for the bytes of an asset; it documents both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Redirect,
    Stream,
}

/// The service.
pub struct GitHub {
    pub delivery: Delivery,
    /// Only the token sees the repository.
    pub is_private: bool,
    /// The asset whose digest is that of other bytes.
    pub wrong_digest: Option<&'static str>,
    /// Assets from before GitHub kept digests.
    pub without_digest: Vec<&'static str>,
    /// So many requests beside the free check find the primary rate limit exhausted for a second.
    pub exhausted: AtomicUsize,
}

impl GitHub {
    pub fn new(delivery: Delivery) -> Self {
        Self {
            delivery,
            is_private: true,
            wrong_digest: None,
            without_digest: vec!["7"],
            exhausted: AtomicUsize::new(0),
        }
    }
}

/// The asset of the description's example, and six others.
pub fn documents() -> Vec<Document> {
    let names = [
        ("1", "example.zip", 1024),
        ("2", "example.tar.gz", 300_000),
        ("3", "notes.about.all.txt", 10),
        ("4", "SHA256SUMS", 130),
        ("5", "linux-amd64.deb", 5000),
        ("6", "darwin-arm64.pkg", 4999),
        ("7", "legacy.bin", 2048),
    ];
    let new = |(id, name, length)| {
        let mut document = Document::new(id, name, noise(length));
        document.modified = "2013-02-27T19:35:32Z".parse().unwrap();
        document
    };
    names.map(new).to_vec()
}

/// What a path under a repository names.
enum Route {
    Releases,
    Assets(String),
    Asset(String),
}

impl Service for GitHub {
    fn variables(&self, base: &str) -> Vec<(&'static str, String)> {
        vec![
            ("GITHUB_API_BASE", base.to_owned()),
            ("GITHUB_TOKEN", TOKEN.to_owned()),
        ]
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned()]
    }

    fn answer(&self, request: &Request, site: &Site) -> Answer {
        let answer = self.route(request, site);
        let reset = (Timestamp::now().as_second() + 3600).to_string();
        if answer
            .headers
            .iter()
            .any(|(name, _)| name == "X-RateLimit-Remaining")
        {
            return answer;
        }
        answer
            .header("X-RateLimit-Limit", "5000")
            .header("X-RateLimit-Remaining", "4999")
            .header("X-RateLimit-Reset", &reset)
    }

    fn refuse(&self, refusal: Refusal) -> Answer {
        match refusal {
            // A secondary rate limit: 403 or 429, as the page on rate limits says.
            Refusal::Limited => failure(
                403,
                "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
                "/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits",
            ),
            Refusal::Unauthorized => failure(401, "Bad credentials", ""),
            Refusal::NotReady => unreachable!("GitHub describes no 202 for assets"),
        }
    }
}

impl GitHub {
    fn route(&self, request: &Request, site: &Site) -> Answer {
        if request.header("user-agent").is_none_or(str::is_empty) {
            let text = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.";
            return Answer::new(403, text).header("Content-Type", "text/html; charset=utf-8");
        }
        let version = request
            .header("x-github-api-version")
            .unwrap_or("2022-11-28");
        if !["2022-11-28", "2026-03-10"].contains(&version) {
            let message = format!("'{version}' is not a supported version of the REST API.");
            return failure(400, &message, "/about-the-rest-api/api-versions");
        }
        let is_known = match request.header("authorization") {
            None => false,
            Some(header) => {
                let (scheme, token) = header.split_once(' ').unwrap_or_default();
                let is_scheme = ["bearer", "token"].contains(&&*scheme.to_ascii_lowercase());
                if !is_scheme || token != TOKEN {
                    return self.refuse(Refusal::Unauthorized);
                }
                true
            }
        };
        let segments = query::parts(request);
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        if request.method == "GET" && segments == ["rate_limit"] {
            return rate_limit(version);
        }
        let one_less = |left: usize| left.checked_sub(1);
        let exhausted = &self.exhausted;
        if exhausted
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .is_ok()
        {
            return limit_reached();
        }
        let rest = match segments.as_slice() {
            ["repos", owner, name, rest @ ..] if owner.eq_ignore_ascii_case(OWNER) => {
                if name.eq_ignore_ascii_case(FORMER_REPOSITORY) {
                    return moved(request, site, rest);
                }
                if !name.eq_ignore_ascii_case(REPOSITORY) {
                    return not_found("repos/repos");
                }
                rest
            }
            ["repositories", REPOSITORY_ID, rest @ ..] => rest,
            _ => return not_found("repos/repos"),
        };
        let route = match rest {
            ["releases"] => Route::Releases,
            ["releases", release, "assets"] => Route::Assets((*release).to_owned()),
            ["releases", "assets", asset] => Route::Asset((*asset).to_owned()),
            _ => return not_found("releases/releases"),
        };
        if request.method != "GET" || (self.is_private && !is_known) {
            return not_found("releases/assets");
        }
        match route {
            Route::Releases => self.releases(request, site),
            Route::Assets(release) => self.assets(request, site, &release),
            Route::Asset(id) => self.asset(request, site, &id),
        }
    }

    fn asset(&self, request: &Request, site: &Site, id: &str) -> Answer {
        let wants_json = match request.header("accept").unwrap_or("*/*") {
            "application/octet-stream" => false,
            "*/*" | "application/json" | "application/vnd.github+json" => true,
            _ => return failure(415, "Must accept 'application/json'", ""),
        };
        if let Some(unknown) = fields::unknown(&query::query(request), &[]) {
            return invalid(unknown);
        }
        let document = match site.document(id) {
            Some(document) => document,
            None if id == OPEN_ASSET && wants_json => return reply(200, &open_asset(site)),
            None => return not_found("releases/assets#get-a-release-asset"),
        };
        if wants_json {
            return reply(200, &self.asset_json(site, document));
        }
        if self.delivery == Delivery::Stream {
            let answer = site.send(document, request);
            return answer.header("Content-Type", media_type(&document.name));
        }
        let path = format!("/github-production-release-asset/{REPOSITORY_ID}/5544a935-{id}");
        let mut grant = Grant::new(path);
        grant.disposition = Some(format!("attachment; filename={}", document.name));
        let presigned = site.presign(id, grant);
        Answer::new(302, "")
            .header("Content-Type", "text/html;charset=utf-8")
            .header("Location", &presigned.url)
    }

    fn assets(&self, request: &Request, site: &Site, release: &str) -> Answer {
        let number = release.parse::<usize>().ok().filter(|number| *number > 0);
        let chunk = number.and_then(|number| site.documents.chunks(RELEASE_ASSETS).nth(number - 1));
        let Some(chunk) = chunk else {
            return not_found("releases/assets#list-release-assets");
        };
        let mut assets: Vec<Value> = chunk
            .iter()
            .map(|document| self.asset_json(site, document))
            .collect();
        if release == "1" {
            assets.push(open_asset(site));
        }
        page(
            request,
            site,
            &assets,
            &format!("releases/{release}/assets"),
        )
    }

    fn releases(&self, request: &Request, site: &Site) -> Answer {
        let chunks = site
            .documents
            .chunks(RELEASE_ASSETS)
            .map(<[Document]>::to_vec);
        // The last release has no asset.
        let chunks = chunks.chain([Vec::new()]);
        let releases = (1..).zip(chunks).map(|(number, chunk)| {
            let mut assets: Vec<Value> = chunk
                .iter()
                .map(|document| self.asset_json(site, document))
                .collect();
            if number == 1 {
                assets.push(open_asset(site));
            }
            release_json(site, number, assets)
        });
        page(request, site, &releases.collect::<Vec<_>>(), "releases")
    }

    /// The example of the description with the facts of this document.
    fn asset_json(&self, site: &Site, document: &Document) -> Value {
        let mut asset = examples()["release"]["assets"][0].clone();
        let id: u64 = document.id.parse().unwrap();
        let digest = if self.without_digest.contains(&&*document.id) {
            Value::Null
        } else if self.wrong_digest == Some(&*document.id) {
            json!(format!("sha256:{}", sha256(b"other bytes")))
        } else {
            json!(format!("sha256:{}", sha256(&document.content)))
        };
        asset["url"] = json!(asset_url(site, id));
        asset["id"] = json!(id);
        asset["name"] = json!(document.name);
        asset["content_type"] = json!(media_type(&document.name));
        asset["size"] = json!(document.content.len());
        asset["digest"] = digest;
        asset["updated_at"] = json!(document.modified.to_string());
        asset
    }
}

fn asset_url(site: &Site, id: u64) -> String {
    format!(
        "{}/repos/{OWNER}/{REPOSITORY}/releases/assets/{id}",
        site.base
    )
}

fn open_asset(site: &Site) -> Value {
    let mut asset = examples()["release"]["assets"][0].clone();
    asset["url"] = json!(asset_url(site, 99));
    asset["id"] = json!(99);
    asset["name"] = json!("unfinished.bin");
    asset["state"] = json!("open");
    asset["size"] = json!(0);
    asset["digest"] = Value::Null;
    asset
}

fn release_json(site: &Site, number: usize, assets: Vec<Value>) -> Value {
    let mut release = examples()["release"].clone();
    let url = format!("{}/repos/{OWNER}/{REPOSITORY}/releases/{number}", site.base);
    release["assets_url"] = json!(format!("{url}/assets"));
    release["url"] = json!(url);
    release["id"] = json!(number);
    release["tag_name"] = json!(format!("v1.0.{}", number - 1));
    release["assets"] = json!(assets);
    release
}

fn media_type(name: &str) -> &'static str {
    if name.ends_with(".zip") {
        return "application/zip";
    }
    "application/octet-stream"
}

/// A page, with the header `Link` of the page on pagination: its paths name the repository by number.
fn page(request: &Request, site: &Site, rows: &[Value], path: &str) -> Answer {
    let query = query::query(request);
    if let Some(unknown) = fields::unknown(&query, &["per_page", "page"]) {
        return invalid(unknown);
    }
    let number = |name, default| match fields::only(&query, name) {
        None => Some(default),
        Some(text) => text.parse().ok().filter(|number| *number > 0_usize),
    };
    let (Some(per_page), Some(page)) = (number("per_page", 30), number("page", 1)) else {
        return invalid("page");
    };
    let wanted = per_page.min(100);
    let step = wanted.min(site.switches.page_rows);
    let (on_page, next) = site.switches.page(rows, (page - 1) * step, wanted);
    let last = rows.len().div_ceil(step).max(1);
    let url = |page: usize| {
        let base = &site.base;
        format!("<{base}/repositories/{REPOSITORY_ID}/{path}?per_page={per_page}&page={page}>")
    };
    let mut links = Vec::new();
    if page > 1 {
        links.push(format!("{}; rel=\"prev\"", url(page - 1)));
    }
    if next.is_some() {
        links.push(format!("{}; rel=\"next\"", url(page + 1)));
        links.push(format!("{}; rel=\"last\"", url(last)));
    }
    if page > 1 {
        links.push(format!("{}; rel=\"first\"", url(1)));
    }
    let answer = reply(200, &json!(on_page));
    if links.is_empty() {
        return answer;
    }
    answer.header("Link", &links.join(", "))
}

/// A renamed repository: 301 to the paths of its number, as the page on best practices says.
fn moved(request: &Request, site: &Site, rest: &[&str]) -> Answer {
    let query = request.target.split_once('?');
    let query = query.map_or(String::new(), |(_, query)| format!("?{query}"));
    let path = rest.join("/");
    let url = format!("{}/repositories/{REPOSITORY_ID}/{path}{query}", site.base);
    let body = json!({
        "message": "Moved Permanently",
        "url": url,
        "documentation_url": format!("{PAGES}/guides/best-practices-for-using-the-rest-api#follow-redirects"),
    });
    reply(301, &body).header("Location", &url)
}

fn rate_limit(version: &str) -> Answer {
    let mut body = examples()["rate_limit"].clone();
    if version == "2026-03-10" {
        body.as_object_mut().unwrap().shift_remove("rate");
    }
    reply(200, &body)
}

/// The primary rate limit: no `Retry-After`, but the time of its end.
fn limit_reached() -> Answer {
    let end = (Timestamp::now().as_second() + 1).to_string();
    failure(
        403,
        "API rate limit exceeded for user ID 1.",
        "/using-the-rest-api/rate-limits-for-the-rest-api",
    )
    .header("X-RateLimit-Limit", "5000")
    .header("X-RateLimit-Remaining", "0")
    .header("X-RateLimit-Reset", &end)
}

fn reply(status: u16, body: &Value) -> Answer {
    Answer::new(status, body.to_string()).header("Content-Type", "application/json; charset=utf-8")
}

/// The description's `basic-error`.
fn failure(status: u16, message: &str, page: &str) -> Answer {
    let body = json!({
        "message": message,
        "documentation_url": format!("{PAGES}{page}"),
        "status": status.to_string(),
    });
    reply(status, &body)
}

fn not_found(page: &str) -> Answer {
    failure(404, "Not Found", &format!("/{page}"))
}

fn invalid(parameter: &str) -> Answer {
    failure(422, &format!("Invalid request: {parameter}"), "/releases")
}
