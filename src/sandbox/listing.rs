//! The listings of both APIs.

use super::answer::{Answer, json};
use super::document::Document;
use super::filters::{ParameterFilter, WhereFilter};
use super::index::ListingOrder;
use super::page_request::PageRequest;
use super::references::reference;
use super::state::SandboxState;
use serde_json::{Value, json};

/// Answers `GET /v1/documents/` of Standard Metrics.
pub(super) fn standard_metrics(state: &SandboxState, query: &[(String, String)]) -> Answer {
    let parsed = PageRequest::parse(query, "page_size");
    let parsed = parsed.and_then(|(page, parameters)| {
        let filter = ParameterFilter::parse(&parameters)?;
        Some((page, parameters, filter))
    });
    let Some((page, parameters, filter)) = parsed else {
        return json(400, &json!({"detail": "Invalid page or parameter."}));
    };
    let documents = state.documents.ordered(ListingOrder::AsGiven);
    let (rows, count) = page.of(documents.filter(|document| filter.matches(*document)));
    let rows: Vec<Value> = rows
        .into_iter()
        .map(|row| standard_metrics_row(row.document))
        .collect();
    page.answer(state, "/v1/documents/", &parameters, count, &rows)
}

fn standard_metrics_row(document: &Document) -> Value {
    json!({
        "id": document.id, "name": document.name, "link": null, "company_id": document.company,
        "information_request_id": null, "parse_state": document.parse_state,
        "parsed_at": document.created, "uploaded_at": document.created,
        "source": document.source, "submitted_date": null,
    })
}

/// Answers `GET /api/v1/KIND` of One Codex.
pub(super) fn one_codex(state: &SandboxState, kind: &str, query: &[(String, String)]) -> Answer {
    let parsed = PageRequest::parse(query, "per_page");
    let parsed = parsed.and_then(|(page, parameters)| {
        let (order, filter) = order_and_filter(&parameters, kind)?;
        Some((page, order, filter))
    });
    let Some((page, order, filter)) = parsed else {
        return json(400, &json!({"message": "Invalid page or parameter."}));
    };
    if !filter.has_known_references(state.documents.all()) {
        return json(404, &json!({"message": "Not Found"}));
    }
    let documents = state.documents.ordered(order);
    let (rows, count) = page.of(documents.filter(|document| filter.matches(*document)));
    let rows = rows
        .into_iter()
        .map(|row| one_codex_row(row.document, kind));
    let mut answer = json(200, &rows.collect());
    answer.headers_mut().insert("x-total-count", count.into());
    answer
}

fn order_and_filter(
    query: &[&(String, String)],
    kind: &str,
) -> Option<(ListingOrder, WhereFilter)> {
    let mut order = ListingOrder::AsGiven;
    let mut filter = WhereFilter::default();
    for (name, value) in query {
        match name.as_str() {
            "sort" => {
                order = match serde_json::from_str::<Value>(value) {
                    Ok(sort) if sort == json!({"created_at": true}) => ListingOrder::NewestFirst,
                    Ok(sort) if sort == json!({"created_at": false}) => ListingOrder::OldestFirst,
                    // The service accepts other fields, and ignores them.
                    _ => ListingOrder::AsGiven,
                };
            }
            "where" => filter = WhereFilter::parse(value, kind)?,
            _ => return None,
        }
    }
    Some((order, filter))
}

/// A document as One Codex describes one of this kind.
pub(super) fn one_codex_row(document: &Document, kind: &str) -> Value {
    let user = json!({"$ref": "/api/v1/users/5891ee65711c4d5e"});
    let mut row = json!({
        "$uri": format!("/api/v1/{kind}/{}", document.id), "created_at": document.created,
        "filename": document.name, "size": document.size,
    });
    match kind {
        "samples" => {
            let project = document.project.as_deref();
            row["project"] = project.map_or(Value::Null, |name| reference("projects", name));
            let tags = document.tags.iter();
            row["tags"] = tags.map(|name| reference("tags", name)).collect();
            row["owner"] = user;
            row["visibility"] = "private".into();
        }
        "assets" => {
            row["name"] = document.name.as_str().into();
            row["uploader"] = user;
        }
        _ => {
            row["uploader"] = user;
            row["downloaders"] = json!([]);
        }
    }
    if kind != "documents" {
        row["status"] = "available".into();
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use url::form_urlencoded;

    /// Five documents, `0` to `4`. Every other one belongs to c2. All but the last have the same time.
    fn state() -> SandboxState {
        let documents = (0..5).map(|number| {
            let document = Document::new(&format!("{number}.txt"), "x")
                .with_id(&number.to_string())
                .with_company(["c1", "c2"][number % 2]);
            match number {
                4 => document.with_created("2026-10-02T00:00:00Z"),
                _ => document,
            }
        });
        SandboxState::of(documents.collect())
    }

    fn pairs(query: &str) -> Vec<(String, String)> {
        form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect()
    }

    async fn read(answer: Answer) -> (u16, Option<String>, Value) {
        let (head, body) = answer.into_parts();
        let total = head.headers.get("x-total-count");
        let total = total.map(|total| total.to_str().unwrap().to_owned());
        let body = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&body).unwrap();
        (head.status.as_u16(), total, body)
    }

    async fn request_standard_metrics(query: &str) -> (u16, Value) {
        let (status, _, body) = read(standard_metrics(&state(), &pairs(query))).await;
        (status, body)
    }

    async fn request_one_codex(query: &str) -> (u16, Option<String>, Value) {
        read(one_codex(&state(), "documents", &pairs(query))).await
    }

    fn ids(rows: &Value, field: &str) -> String {
        let rows = rows.as_array().unwrap().iter();
        let last = |row: &Value| {
            row[field]
                .as_str()
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap()
                .to_owned()
        };
        rows.map(last).collect()
    }

    #[tokio::test]
    async fn links_of_standard_metrics_keep_the_filters() {
        let (_, page) =
            request_standard_metrics("company_id=c1&page_size=1&page=2&to=2026-10-02").await;
        assert_eq!(page["count"], 3);
        assert_eq!(ids(&page["results"], "id"), "2");
        let (_, from_api) = page["next"].as_str().unwrap().split_once('?').unwrap();
        assert_eq!(from_api, "page=3&page_size=1&company_id=c1&to=2026-10-02");
        let (_, next) = request_standard_metrics(from_api).await;
        assert_eq!(ids(&next["results"], "id"), "4");
        assert!(next["next"].is_null());
        let previous = page["previous"].as_str().unwrap();
        assert!(previous.ends_with("?page=1&page_size=1&company_id=c1&to=2026-10-02"));
        // Links encode their parameters.
        let (_, page) =
            request_standard_metrics("page_size=1&to=2026-10-02T02:00:00%2B02:00").await;
        let next = page["next"].as_str().unwrap();
        assert!(
            next.contains("to=2026-10-02T02%3A00%3A00%2B02%3A00"),
            "{next}"
        );
    }

    #[tokio::test]
    async fn unknown_parameters_are_refused() {
        for query in [
            "page=0",
            "page=x",
            "per_page=1",
            "parse_state=x",
            "where={}",
        ] {
            assert_eq!(request_standard_metrics(query).await.0, 400, "{query}");
        }
        for query in ["per_page=0", "page_size=1", "where=[]", "company_id=c1"] {
            assert_eq!(request_one_codex(query).await.0, 400, "{query}");
        }
        let far = format!("page={}", usize::MAX);
        assert_eq!(request_standard_metrics(&far).await.1["results"], json!([]));
    }

    #[tokio::test]
    async fn one_codex_counts_and_sorts_the_matching_documents() {
        for (query, total, expected) in [
            ("", "5", "01234"),
            (r#"sort={"created_at":true}"#, "5", "40123"),
            (r#"sort={"created_at":false}"#, "5", "01234"),
            (r#"sort={"filename":true}"#, "5", "01234"),
            (r#"sort={"created_at":true}&per_page=2"#, "5", "40"),
            (r#"sort={"created_at":true}&per_page=2&page=3"#, "5", "3"),
            (r#"where={"filename":{"$contains":"3"}}"#, "1", "3"),
            (
                r#"where={"created_at":{"$lt":"2026-10-02T00:00:00Z"}}&per_page=3&page=2"#,
                "4",
                "3",
            ),
        ] {
            let (status, count, rows) = request_one_codex(query).await;
            assert_eq!((status, count.as_deref()), (200, Some(total)), "{query}");
            assert_eq!(ids(&rows, "$uri"), expected, "{query}");
        }
    }

    #[test]
    fn a_row_describes_its_kind() {
        let document = Document::new("a.txt", "x").with_id("1");
        let row = |kind| one_codex_row(&document, kind);
        assert_eq!(row("documents")["$uri"], "/api/v1/documents/1");
        assert!(row("documents").get("status").is_none());
        assert_eq!(row("samples")["$uri"], "/api/v1/samples/1");
        assert_eq!(row("samples")["status"], "available");
        assert!(row("samples").get("name").is_none());
        assert_eq!(
            (&row("samples")["project"], &row("samples")["tags"]),
            (&Value::Null, &json!([]))
        );
        let document = document.clone().with_project("p").with_tag("t");
        let sample = one_codex_row(&document, "samples");
        assert_eq!(sample["project"], reference("projects", "p"));
        assert_eq!(sample["tags"], json!([reference("tags", "t")]));
        assert_eq!(row("assets")["status"], "available");
        assert_eq!(row("assets")["name"], "a.txt");
    }
}
