//! The listings of both APIs.

use super::body::Answer;
use super::filters::{Parameters, Where};
use super::routes::json;
use super::shelf::{Entry, Order};
use super::state::State;
use super::store::Document;
use serde_json::{Value, json};
use url::form_urlencoded;

/// `GET /v1/documents/` of Standard Metrics.
pub(super) fn metrics(state: &State, query: &[(String, String)]) -> Answer {
    let asked = Page::read(query, "page_size");
    let Some((page, filters, wanted)) =
        asked.and_then(|(page, rest)| Parameters::read(&rest).map(|wanted| (page, rest, wanted)))
    else {
        return json(400, &json!({"detail": "Invalid page or parameter."}));
    };
    let (rows, count) = page.of(state.shelf.entries(Order::AsGiven), |entry| {
        wanted.passes(entry)
    });
    let rows: Vec<Value> = rows.into_iter().map(metrics_row).collect();
    let link = |number: usize| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("page", &number.to_string())
            .append_pair("page_size", &page.size.to_string())
            .extend_pairs(filters.iter().map(|(name, value)| (name, value)));
        format!("http://{}/v1/documents/?{}", state.api, query.finish())
    };
    let next = (page.number.saturating_mul(page.size) < count).then(|| link(page.number + 1));
    let previous = (page.number > 1).then(|| link(page.number - 1));
    json(
        200,
        &json!({"count": count, "next": next, "previous": previous, "results": rows}),
    )
}

fn metrics_row(document: &Document) -> Value {
    json!({
        "id": document.id, "name": document.name, "link": null, "company_id": document.company,
        "information_request_id": null, "parse_state": document.parse_state,
        "parsed_at": document.created, "uploaded_at": document.created,
        "source": document.source, "submitted_date": null,
    })
}

/// `GET /api/v1/documents` of One Codex, and of its other kinds.
pub(super) fn codex(state: &State, kind: &str, query: &[(String, String)]) -> Answer {
    let asked = Page::read(query, "per_page");
    let Some((page, order, wanted)) = asked.and_then(|(page, rest)| {
        let (order, wanted) = order_and_where(&rest)?;
        Some((page, order, wanted))
    }) else {
        return json(400, &json!({"message": "Invalid page or parameter."}));
    };
    let (rows, count) = page.of(state.shelf.entries(order), |entry| wanted.passes(entry));
    let rows = rows.into_iter().map(|document| codex_row(document, kind));
    let mut answer = json(200, &rows.collect());
    answer.headers_mut().insert("x-total-count", count.into());
    answer
}

fn order_and_where(query: &[&(String, String)]) -> Option<(Order, Where)> {
    let mut order = Order::AsGiven;
    let mut wanted = Where::default();
    for (name, value) in query {
        match name.as_str() {
            // Other fields are taken, and change nothing.
            "sort" => {
                order = match serde_json::from_str::<Value>(value) {
                    Ok(sort) if sort == json!({"created_at": true}) => Order::NewestFirst,
                    Ok(sort) if sort == json!({"created_at": false}) => Order::OldestFirst,
                    _ => Order::AsGiven,
                };
            }
            "where" => wanted = Where::read(value)?,
            _ => return None,
        }
    }
    Some((order, wanted))
}

/// A document as One Codex shows it among those of a kind.
pub(super) fn codex_row(document: &Document, kind: &str) -> Value {
    let mut row = json!({
        "$uri": format!("/api/v1/{kind}/{}", document.id), "created_at": document.created,
        "filename": document.name, "size": document.size,
        "uploader": {"$ref": "/api/v1/users/5891ee65711c4d5e"}, "downloaders": [],
    });
    if kind != "documents" {
        row["status"] = "available".into();
    }
    if kind == "assets" {
        row["name"] = document.name.as_str().into();
    }
    row
}

/// Which rows of a listing are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    number: usize,
    size: usize,
}

impl Page {
    /// Reads the page of a query, and hands on the rest of it; none for a page that cannot be.
    fn read<'a>(
        query: &'a [(String, String)],
        size_name: &str,
    ) -> Option<(Self, Vec<&'a (String, String)>)> {
        let mut page = Self {
            number: 1,
            size: 100,
        };
        let mut rest = Vec::new();
        for pair in query {
            let number = || pair.1.parse().ok().filter(|number| *number > 0);
            match pair.0.as_str() {
                "page" => page.number = number()?,
                name if name == size_name => page.size = number()?.min(100),
                _ => rest.push(pair),
            }
        }
        Some((page, rest))
    }

    /// The documents of this page, and how many pass in all.
    fn of<'a>(
        self,
        entries: impl Iterator<Item = Entry<'a>>,
        passes: impl Fn(Entry) -> bool,
    ) -> (Vec<&'a Document>, usize) {
        let first = (self.number - 1).saturating_mul(self.size);
        let here = first..first.saturating_add(self.size);
        let mut rows = Vec::new();
        let mut count = 0;
        for entry in entries.filter(|entry| passes(*entry)) {
            if here.contains(&count) {
                rows.push(entry.document);
            }
            count += 1;
        }
        (rows, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    /// Five documents, `0` to `4`; every other one is of c2, and all but the last came at once.
    fn state() -> State {
        let documents = (0..5).map(|number| {
            let document = Document::new(&format!("{number}.txt"), "x")
                .with_id(&number.to_string())
                .with_company(["c1", "c2"][number % 2]);
            match number {
                4 => document.with_created("2026-10-02T00:00:00Z"),
                _ => document,
            }
        });
        State::of(documents.collect())
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

    async fn ask_metrics(query: &str) -> (u16, Value) {
        let (status, _, body) = read(metrics(&state(), &pairs(query))).await;
        (status, body)
    }

    async fn ask_codex(query: &str) -> (u16, Option<String>, Value) {
        read(codex(&state(), "documents", &pairs(query))).await
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
        let (_, page) = ask_metrics("company_id=c1&page_size=1&page=2&to=2026-10-02").await;
        assert_eq!(page["count"], 3);
        assert_eq!(ids(&page["results"], "id"), "2");
        let (_, from_api) = page["next"].as_str().unwrap().split_once('?').unwrap();
        assert_eq!(from_api, "page=3&page_size=1&company_id=c1&to=2026-10-02");
        let (_, next) = ask_metrics(from_api).await;
        assert_eq!(ids(&next["results"], "id"), "4");
        assert!(next["next"].is_null());
        let previous = page["previous"].as_str().unwrap();
        assert!(previous.ends_with("?page=1&page_size=1&company_id=c1&to=2026-10-02"));
        // What has to be encoded in a query is encoded in a link.
        let (_, page) = ask_metrics("page_size=1&to=2026-10-02T02:00:00%2B02:00").await;
        let next = page["next"].as_str().unwrap();
        assert!(
            next.contains("to=2026-10-02T02%3A00%3A00%2B02%3A00"),
            "{next}"
        );
    }

    #[tokio::test]
    async fn parameters_that_no_listing_knows_are_refused() {
        for query in [
            "page=0",
            "page=x",
            "per_page=1",
            "parse_state=x",
            "where={}",
        ] {
            assert_eq!(ask_metrics(query).await.0, 400, "{query}");
        }
        for query in ["per_page=0", "page_size=1", "where=[]", "company_id=c1"] {
            assert_eq!(ask_codex(query).await.0, 400, "{query}");
        }
        let far = format!("page={}", usize::MAX);
        assert_eq!(ask_metrics(&far).await.1["results"], json!([]));
    }

    #[tokio::test]
    async fn one_codex_counts_and_sorts_what_it_filtered() {
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
            let (status, count, rows) = ask_codex(query).await;
            assert_eq!((status, count.as_deref()), (200, Some(total)), "{query}");
            assert_eq!(ids(&rows, "$uri"), expected, "{query}");
        }
    }

    #[test]
    fn rows_are_of_their_kind() {
        let document = Document::new("a.txt", "x").with_id("1");
        let row = |kind| codex_row(&document, kind);
        assert_eq!(row("documents")["$uri"], "/api/v1/documents/1");
        assert!(row("documents").get("status").is_none());
        assert_eq!(row("samples")["$uri"], "/api/v1/samples/1");
        assert_eq!(row("samples")["status"], "available");
        assert!(row("samples").get("name").is_none());
        assert_eq!(row("assets")["status"], "available");
        assert_eq!(row("assets")["name"], "a.txt");
    }
}
