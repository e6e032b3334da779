//! Standard Metrics, after its OpenAPI description and the pages of docs.standardmetrics.io: the token, documents and
//! the companies that documents belong to.

mod tests;

use super::fields::{self, Fields};
use super::tokens::Tokens;
use super::{Answer, Document, Grant, Refusal, Service, Site, query};
use crate::support::noise;
use crate::support::raw::Request;
use crate::support::{CLIENT_ID, CLIENT_SECRET};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

/// "All endpoints are paginated and will return a maximum of 100 results per page."
const MAX_ROWS: usize = 100;

/// The companies: id, name, slug. Names need not be unique.
pub const COMPANIES: [(&str, &str, &str); 5] = [
    ("cZrx93Lk", "Acme, Inc.", "acme-inc"),
    ("d0Qm1bnY", "Globex / North", "globex-north"),
    ("eT7yPq2s", "Acme, Inc.", "acme-inc-2"),
    ("fBv4Xw8u", "Übermut GmbH", "ubermut-gmbh"),
    ("gHn6Rj5t", "..", "dots"),
];
/// A company that the side list does not have.
pub const UNKNOWN_COMPANY: &str = "zUnknown1";

/// The service.
pub struct StandardMetrics {
    tokens: Tokens,
    /// The account may list documents and not companies.
    pub forbids_companies: bool,
}

impl StandardMetrics {
    pub fn new() -> Self {
        Self {
            tokens: Tokens::new("sm-5tandin-t0ken-"),
            forbids_companies: false,
        }
    }
}

/// Documents of the companies above, of a company that nobody knows, and of none.
pub fn documents() -> Vec<Document> {
    let names = [
        ("d1Aa", "Q1 report.pdf"),
        ("d2Bb", "Q1 report.pdf"),
        ("d3Cc", "model.xlsx"),
        ("d4Dd", "deck.pptx"),
        ("d5Ee", "plan.docx"),
        ("d6Ff", "memo.pdf"),
        ("d7Gg", "letter.pdf"),
    ];
    let names = (1_usize..).zip(names);
    let new = |(number, (id, name))| Document::new(id, name, noise(1000 + number));
    names.map(new).collect()
}

/// The company of a document, by the place of the document.
fn company_of(place: usize) -> Option<&'static str> {
    match place {
        0..5 => Some(COMPANIES[place].0),
        5 => Some(UNKNOWN_COMPANY),
        _ => None,
    }
}

impl Service for StandardMetrics {
    fn variables(&self, base: &str) -> Vec<(&'static str, String)> {
        vec![
            ("STANDARD_METRICS_API_BASE", base.to_owned()),
            ("STANDARD_METRICS_CLIENT_ID", CLIENT_ID.to_owned()),
            ("STANDARD_METRICS_CLIENT_SECRET", CLIENT_SECRET.to_owned()),
        ]
    }

    fn secrets(&self) -> Vec<String> {
        vec![CLIENT_SECRET.to_owned(), self.tokens.prefix.to_owned()]
    }

    fn answer(&self, request: &Request, site: &Site) -> Answer {
        if request.target == "/o/token/" {
            return self.token(request);
        }
        if !self.tokens.permit(request) {
            return unauthorized();
        }
        if request.method != "GET" {
            return detail(405, &format!("Method \"{}\" not allowed.", request.method));
        }
        let segments = query::parts(request);
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["v1", "companies", ""] if self.forbids_companies => {
                detail(403, "You do not have permission to perform this action.")
            }
            ["v1", "companies", ""] => companies(request, site),
            ["v1", "documents", ""] => list_documents(request, site),
            ["v1", "documents", id, "download", ""] => download(site, id),
            _ => detail(404, "Not found."),
        }
    }

    fn refuse(&self, refusal: Refusal) -> Answer {
        match refusal {
            Refusal::Limited => detail(
                429,
                "Request was throttled. Expected available in 1 second.",
            ),
            Refusal::Unauthorized => {
                self.tokens.revoke();
                unauthorized()
            }
            Refusal::NotReady => unreachable!("Standard Metrics describes no 202"),
        }
    }
}

impl StandardMetrics {
    /// The client credentials grant with HTTP Basic (RFC 6749, sections 2.3.1, 4.4 and 5.2).
    fn token(&self, request: &Request) -> Answer {
        let encode = |text: &str| -> String {
            url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
        };
        let client = format!("{}:{}", encode(CLIENT_ID), encode(CLIENT_SECRET));
        let basic = format!("Basic {}", STANDARD.encode(client));
        let fields = fields::form(request).unwrap_or_default();
        let failed = |status, error: &str| Answer::json(status, &json!({"error": error}));
        if request.method != "POST" || fields::unknown(&fields, &["grant_type", "scope"]).is_some()
        {
            return failed(400, "invalid_request");
        }
        if fields::only(&fields, "grant_type") != Some("client_credentials") {
            return failed(400, "unsupported_grant_type");
        }
        if request.header("authorization") != Some(&basic) {
            return failed(401, "invalid_client");
        }
        let answer = json!({
            "access_token": self.tokens.issue(),
            "expires_in": 3600,
            "token_type": "Bearer",
            "scope": "read write",
        });
        Answer::json(200, &answer)
    }
}

/// `companies_list` of the description.
fn companies(request: &Request, site: &Site) -> Answer {
    let query = query::query(request);
    if let Some(unknown) = fields::unknown(&query, &["page", "page_size", "ids[]", "name"]) {
        return detail(400, &format!("unknown parameter {unknown}"));
    }
    let ids: Vec<&str> = query
        .iter()
        .filter(|(name, _)| name == "ids[]")
        .map(|(_, id)| id.as_str())
        .collect();
    let part = fields::only(&query, "name")
        .unwrap_or_default()
        .to_lowercase();
    let found = COMPANIES.iter().filter(|(id, name, _)| {
        (ids.is_empty() || ids.contains(id)) && name.to_lowercase().contains(&part)
    });
    let rows = found.map(|(id, name, slug)| {
        json!({
            "id": id, "name": name, "slug": slug, "status": "active", "city": "", "description": "", "sector": "",
            "firm_sector": "", "fiscal_year_end": "12/31", "reporting_currency": "USD", "investment_lead_id": null,
            "invested_fund_ids": [], "logo_url": "https://example.com/logo.png", "website": "", "unique_ref": slug,
        })
    });
    page(request, site, &query, &rows.collect::<Vec<_>>())
}

/// `documents_list` of the description.
fn list_documents(request: &Request, site: &Site) -> Answer {
    let query = query::query(request);
    let known = [
        "page",
        "page_size",
        "company_id",
        "parse_state",
        "from",
        "to",
        "source",
    ];
    if let Some(unknown) = fields::unknown(&query, &known) {
        return detail(400, &format!("unknown parameter {unknown}"));
    }
    let time = |name| fields::only(&query, name).map(str::parse::<Timestamp>);
    let (from, to) = match (time("from").transpose(), time("to").transpose()) {
        (Ok(from), Ok(to)) => (from, to),
        _ => return detail(400, "Enter a valid date/time."),
    };
    let is_value =
        |name, value: &str| fields::only(&query, name).is_none_or(|wanted| wanted == value);
    let documents = site.documents.iter().enumerate();
    let rows = documents.filter(|(place, document)| {
        is_value("company_id", company_of(*place).unwrap_or_default())
            && is_value("parse_state", "completed")
            && is_value("source", "upload")
            && from.is_none_or(|from| from <= document.modified)
            && to.is_none_or(|to| document.modified <= to)
    });
    let rows = rows.map(|(place, document)| {
        json!({
            "id": document.id, "name": document.name, "link": "", "company_id": company_of(place),
            "information_request_id": null, "parse_state": "completed", "parsed_at": null,
            "uploaded_at": document.modified.to_string(), "source": "upload", "submitted_date": "2026-03-01",
        })
    });
    page(request, site, &query, &rows.collect::<Vec<_>>())
}

/// `count`, `next`, `previous` and `results`.
fn page(request: &Request, site: &Site, query: &Fields, rows: &[Value]) -> Answer {
    let number = |name, default| match fields::only(query, name) {
        None => Some(default),
        Some(text) => text.parse().ok().filter(|number| *number > 0_usize),
    };
    let (Some(page), Some(size)) = (number("page", 1), number("page_size", MAX_ROWS)) else {
        return detail(404, "Invalid page.");
    };
    let wanted = size.min(MAX_ROWS);
    let step = wanted.min(site.switches.page_rows);
    let start = (page - 1) * step;
    if page > 1 && start >= rows.len() {
        return detail(404, "Invalid page.");
    }
    let (results, next) = site.switches.page(rows, start, wanted);
    let url = |page: usize| {
        let others = query.iter().filter(|(name, _)| name != "page");
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(others)
            .append_pair("page", &page.to_string())
            .finish();
        format!("{}{}?{query}", site.base, request.path())
    };
    let answer = json!({
        "count": rows.len(),
        "next": next.map(|_| url(page + 1)),
        "previous": (page > 1).then(|| url(page - 1)),
        "results": results,
    });
    Answer::json(200, &answer)
}

/// 302 with a URL that lives for an hour.
fn download(site: &Site, id: &str) -> Answer {
    let Some(document) = site.document(id) else {
        return detail(404, "Not found.");
    };
    let mut grant = Grant::new(format!("/library/{id}"));
    grant.disposition = Some(format!("attachment; filename=\"{}\"", document.name));
    let presigned = site.presign(id, grant);
    Answer::new(302, "").header("Location", &presigned.url)
}

fn unauthorized() -> Answer {
    detail(401, "Authentication credentials were not provided.")
}

fn detail(status: u16, text: &str) -> Answer {
    Answer::json(status, &json!({"detail": text}))
}
