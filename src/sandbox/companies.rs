//! The companies of documents at Standard Metrics.

use super::answer::{Answer, json};
use super::page_request::PageRequest;
use super::state::SandboxState;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What the client requests of the companies.
#[derive(Default)]
struct CompanyFilter {
    /// Their ids; none for all.
    ids: Vec<String>,
    /// A part of the name, without case.
    name: Option<String>,
}

impl CompanyFilter {
    /// Parses the parameters of a query. `None` for a parameter that the service does not have.
    fn parse(query: &[&(String, String)]) -> Option<Self> {
        let mut filter = Self::default();
        for (name, value) in query {
            match name.as_str() {
                "ids[]" => filter.ids.push(value.clone()),
                "name" => filter.name = Some(value.to_lowercase()),
                _ => return None,
            }
        }
        Some(filter)
    }

    fn matches(&self, id: &str) -> bool {
        let is_wanted = self.ids.is_empty() || self.ids.iter().any(|wanted| wanted == id);
        let name = name_of(id).to_lowercase();
        is_wanted && self.name.as_ref().is_none_or(|part| name.contains(part))
    }
}

/// The name of a company: `Company c1`.
fn name_of(id: &str) -> String {
    format!("Company {id}")
}

/// Answers `GET /v1/companies/`: the companies that documents have.
pub(super) fn list(state: &SandboxState, query: &[(String, String)]) -> Answer {
    let parsed = PageRequest::parse(query, "page_size");
    let parsed = parsed.and_then(|(page, parameters)| {
        let filter = CompanyFilter::parse(&parameters)?;
        Some((page, parameters, filter))
    });
    let Some((page, parameters, filter)) = parsed else {
        return json(400, &json!({"detail": "Invalid page or parameter."}));
    };
    let documents = state.documents.all().iter();
    let ids: BTreeSet<&str> = documents
        .map(|document| document.company.as_str())
        .collect();
    let (ids, count) = page.of(ids.into_iter().filter(|id| filter.matches(id)));
    let rows: Vec<Value> = ids.into_iter().map(row).collect();
    page.answer(state, "/v1/companies/", &parameters, count, &rows)
}

/// A company as the service describes it.
fn row(id: &str) -> Value {
    json!({
        "id": id, "name": name_of(id), "slug": id, "status": "active", "city": null, "description": "",
        "sector": null, "firm_sector": null, "fiscal_year_end": "12/31", "reporting_currency": "USD",
        "investment_lead_id": null, "invested_fund_ids": [], "logo_url": null, "website": null, "unique_ref": null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Document;
    use http_body_util::BodyExt as _;
    use url::form_urlencoded;

    async fn request(query: &str) -> (u16, Value) {
        let documents = ["c2", "c1", "c3", "c1"].map(|company| {
            Document::new("a.txt", "x")
                .with_id(&format!("of {company}"))
                .with_company(company)
        });
        let state = SandboxState::of(documents.to_vec());
        let query: Vec<_> = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let (head, body) = list(&state, &query).into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status.as_u16(), serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn the_companies_of_documents_are_listed_once_each() {
        let ids = |page: &Value| {
            let rows = page["results"].as_array().unwrap().iter();
            rows.map(|row| row["id"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let (_, all) = request("").await;
        assert_eq!(
            (ids(&all), &all["count"]),
            (["c1", "c2", "c3"].map(str::to_owned).to_vec(), &json!(3))
        );
        assert_eq!(all["results"][0]["name"], "Company c1");
        for (query, expected) in [
            ("ids[]=c1&ids[]=c3", &["c1", "c3"][..]),
            ("name=PANY%20C2", &["c2"]),
            ("name=none", &[]),
            ("page=2&page_size=2", &["c3"]),
        ] {
            assert_eq!(ids(&request(query).await.1), expected, "{query}");
        }
        let (_, first) = request("page_size=2").await;
        let next = first["next"].as_str().unwrap();
        assert!(
            next.ends_with("/v1/companies/?page=2&page_size=2"),
            "{next}"
        );
        for wrong in ["page=0", "id=c1", "company_id=c1", "per_page=2"] {
            assert_eq!(request(wrong).await.0, 400, "{wrong}");
        }
    }
}
