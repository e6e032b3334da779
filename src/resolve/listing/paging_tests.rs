//! The pages of every kind, and of servers that lead nowhere.

use super::ListOptions;
use super::services::{Reply, Service};
use crate::resolve::filter::Filter;
use serde_json::{Value, json};

const ROWS: &str = "rows = \"/rows\"\nid = \"/id\"\npath = \"/files\"\n";

fn table(paging: &str) -> String {
    format!("[list]\n{ROWS}paging = {paging}\n")
}

fn rows(ids: &[&str]) -> Value {
    ids.iter().map(|id| json!({ "id": id })).collect()
}

/// Starts the service of a paging, whose server answers a request with the first of `answers` whose text ends it.
fn serve(keys: &str, answers: &'static [(&'static str, &'static str)]) -> Service {
    Service::start(keys, move |request, host| {
        let found = answers.iter().find(|(end, _)| request.ends_with(end));
        let (_, body) = found.unwrap_or_else(|| panic!("{request}"));
        let body = body.replace("HOST", host);
        Reply::json(serde_json::from_str(&body).unwrap())
    })
}

#[tokio::test]
async fn the_url_of_the_next_page_is_followed_on_the_same_host_whatever_its_scheme_and_port() {
    for next in [
        "http://HOST/v2/files?p=2&x=a%20b",
        "https://127.0.0.1/v2/files?p=2&x=a%20b",
        "ftp://127.0.0.1:99/v2/files?p=2&x=a%20b#end",
        "//127.0.0.1:1/v2/files?p=2&x=a%20b",
        "/v2/files?p=2&x=a%20b",
        "../v2/./files?p=2&x=a%20b",
        "http://user:password@127.0.0.1/v2/files?p=2&x=a%20b",
    ] {
        let service = Service::start(
            &table("{ kind = \"next\", at = \"/next\" }"),
            move |request, host| {
                let next = next.replace("HOST", host);
                Reply::json(match request {
                    "/files" => json!({"rows": rows(&["a"]), "next": next}),
                    _ => json!({"rows": rows(&["b"]), "next": null}),
                })
            },
        );
        let (ids, end) = service.ids().await;
        assert_eq!(
            (ids, end.as_str()),
            (vec!["a".into(), "b".into()], ""),
            "{next}"
        );
        assert_eq!(
            service.requests(),
            ["GET /files", "GET /v2/files?p=2&x=a%20b"],
            "{next}"
        );
    }
}

#[tokio::test]
async fn a_next_page_on_another_host_gets_no_request() {
    for next in [
        "http://localhost:1/files?p=2",
        "https://evil.example/files",
        "//evil.example",
        "http:/\\evil.example/x",
    ] {
        let next_of = move || json!({"rows": rows(&["a"]), "next": next});
        let service = Service::start(
            &table("{ kind = \"next\", at = \"/next\" }"),
            move |_, _| Reply::json(next_of()),
        );
        let (_, why) = service.ids().await;
        assert!(why.contains("another host"), "{next}: {why}");
        assert_eq!(service.requests(), ["GET /files"]);
        // The same host, in a header.
        let service = Service::start(&table("{ kind = \"link\" }"), move |_, _| {
            Reply::with(format!("Link: <{next}>; rel=\"next\"\r\n"), next_of())
        });
        let (_, why) = service.ids().await;
        assert!(why.contains("another host"), "{next}: {why}");
        assert_eq!(service.requests(), ["GET /files"]);
    }
    for next in ["mailto:x@evil.example", "http://[", "data:text/plain,x"] {
        let service = Service::start(
            &table("{ kind = \"next\", at = \"/next\" }"),
            move |_, _| Reply::json(json!({"rows": rows(&["a"]), "next": next})),
        );
        assert_eq!(
            service.ids().await.1,
            "the URL of the next page is not valid",
            "{next}"
        );
    }
    // Only the query counts here.
    let follow = "{ kind = \"next\", at = \"/next\", follow = \"query\", parameter = \"page\" }";
    let service = serve(
        &table(follow),
        &[
            (
                "/files?page=1",
                r#"{"rows":[{"id":"a"}],"next":"https://evil.example/x?page=2"}"#,
            ),
            ("/files?page=2", r#"{"rows":[{"id":"b"}]}"#),
        ],
    );
    assert_eq!(
        service.ids().await,
        (vec!["a".into(), "b".into()], String::new())
    );
}

#[tokio::test]
async fn links_lead_from_page_to_page_and_hostile_ones_nowhere() {
    let service = Service::start(&table("{ kind = \"link\" }"), |request, host| {
        let link = match request {
            "/files" => format!(
                "Link: <http://{host}/files?p=1>; rel=first\r\nlink: <?p=2>;rel=\"next last\"\r\n"
            ),
            "/files?p=2" => "Link: </files?p=3>; rel=next, </files?p=1>; rel=prev\r\n".to_owned(),
            _ => "Link: <\u{1f600}>; rel=\"prev\"; title=\"rel=next\", nonsense;;;,,<>\r\n"
                .to_owned(),
        };
        Reply::with(link, json!({"rows": rows(&[request])}))
    });
    let (_, why) = service.ids().await;
    assert_eq!(why, "");
    assert_eq!(
        service.requests(),
        ["GET /files", "GET /files?p=2", "GET /files?p=3"]
    );
}

#[tokio::test]
async fn pages_that_were_read_already_end_the_list() {
    let cursor = "{ kind = \"cursor\", at = \"/next\", parameter = \"c\" }";
    let post = "{ kind = \"cursor\", at = \"/next\", parameter = \"c\", in = \"json\" }";
    let in_body = table(post).replace("[list]", "[list]\nmethod = \"POST\"");
    for (keys, next, requests) in [
        (
            table("{ kind = \"next\", at = \"/next\" }"),
            ["/files?p=1", "/files?p=2"],
            3,
        ),
        (table(cursor), ["x", "y"], 3),
        (in_body, ["x", "y"], 3),
    ] {
        let number = std::sync::atomic::AtomicUsize::new(0);
        let service = Service::start(&keys, move |_, _| {
            let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let id = format!("id{number}");
            Reply::json(json!({"rows": rows(&[&id]), "next": next[number % 2]}))
        });
        let (_, why) = service.ids().await;
        assert_eq!(why, "its pages lead to one another for ever", "{keys}");
        assert_eq!(service.requests().len(), requests, "{keys}");
    }
}

#[tokio::test]
async fn the_same_rows_again_and_empty_pages_without_end_end_the_list() {
    for (page, why, requests) in [
        (
            r#"{"rows":[{"id":"a"}],"next":7}"#,
            "it sends the same page again",
            2,
        ),
        (
            r#"{"rows":[],"next":7}"#,
            "it sends empty pages without end",
            101,
        ),
    ] {
        let number = std::sync::atomic::AtomicUsize::new(0);
        let cursor = table("{ kind = \"cursor\", at = \"/next\", parameter = \"c\" }");
        let service = Service::start(&cursor, move |_, _| {
            let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let page = page.replace('7', &number.to_string());
            Reply::json(serde_json::from_str(&page).unwrap())
        });
        assert_eq!(service.ids().await.1, why);
        assert_eq!(service.requests().len(), requests);
    }
}

#[tokio::test]
async fn a_cursor_of_any_value_goes_into_the_query() {
    let keys = table("{ kind = \"cursor\", at = [\"/none\", \"/next\"], parameter = \"after\" }");
    let keys = keys.replace(
        "[list]",
        "[list]\nquery = { sort = \"up\" }\npage = { parameter = \"limit\", rows = 2 }",
    );
    let service = serve(
        &keys,
        &[
            (
                "?sort=up&limit=2",
                r#"{"rows":[{"id":"a"}],"next":"x /y&"}"#,
            ),
            ("after=x+%2Fy%26", r#"{"rows":[{"id":"b"}],"next":{"n":1}}"#),
            (
                "after=%7B%22n%22%3A1%7D",
                r#"{"rows":[{"id":"c"}],"next":""}"#,
            ),
        ],
    );
    assert_eq!(service.ids().await.0, ["a", "b", "c"]);
    assert_eq!(
        service.requests()[1],
        "GET /files?sort=up&limit=2&after=x+%2Fy%26"
    );
}

#[tokio::test]
async fn a_cursor_goes_into_the_body_and_to_a_route_of_its_own() {
    let own = "{ kind = \"cursor\", at = \"/next\", parameter = \"cursor\", in = \"json\", path = \"/more\", json = {}, more = \"/more\" }";
    let keys = table(own).replace(
        "[list]",
        "[list]\nmethod = \"POST\"\nquery = { q = 1 }\njson = { path = \"\", deep = true }",
    );
    let service = serve(
        &keys,
        &[
            (
                "/files?q=1 {\"path\":\"\",\"deep\":true}",
                r#"{"rows":[{"id":"a"}],"next":{"k":[1]},"more":true}"#,
            ),
            (
                "/more {\"cursor\":{\"k\":[1]}}",
                r#"{"rows":[{"id":"b"}],"next":"end","more":false}"#,
            ),
        ],
    );
    assert_eq!(
        service.ids().await,
        (vec!["a".into(), "b".into()], String::new())
    );
    assert!(
        service
            .requests()
            .iter()
            .all(|request| request.starts_with("POST "))
    );

    let same = "{ kind = \"cursor\", at = \"/next\", parameter = \"starting\", in = \"json\" }";
    let keys = table(same).replace("[list]", "[list]\nmethod = \"POST\"\njson = { limit = 2 }");
    let service = serve(
        &keys,
        &[
            (
                "{\"limit\":2}",
                r#"{"rows":[{"id":"a"}],"next":{"id":"a"}}"#,
            ),
            (
                "{\"limit\":2,\"starting\":{\"id\":\"a\"}}",
                r#"{"rows":[],"next":null}"#,
            ),
        ],
    );
    assert_eq!(service.ids().await.1, "");
    assert_eq!(service.requests().len(), 2);
}

#[tokio::test]
async fn numbered_pages_and_offsets_end_at_the_total_or_at_an_empty_page() {
    const SHORT: &str = r#"{"rows":[{"id":"a"}]}"#;
    let offset = table("{ kind = \"offset\", parameter = \"start\" }");
    let service = serve(
        &offset,
        &[
            ("start=0", r#"{"rows":[{"id":"a"},{"id":"b"}]}"#),
            ("start=2", r#"{"rows":[{"id":"c"}]}"#),
            ("start=3", r#"{"rows":[]}"#),
        ],
    );
    assert_eq!(service.ids().await.0, ["a", "b", "c"]);
    assert_eq!(service.requests().len(), 3);
    let page = table("{ kind = \"page\", parameter = \"p\", first = 0 }");
    let service = serve(
        &page,
        &[
            ("p=0", SHORT),
            ("p=1", r#"{"rows":[{"id":"b"}]}"#),
            ("p=2", r#"{"rows":[]}"#),
        ],
    );
    assert_eq!(service.ids().await.0, ["a", "b"]);
    let total = table("{ kind = \"page\", parameter = \"p\", total = \"/n\" }");
    let service = serve(
        &total,
        &[
            ("p=1", r#"{"rows":[{"id":"a"}],"n":2}"#),
            ("p=2", r#"{"rows":[{"id":"b"}],"n":2}"#),
        ],
    );
    assert_eq!(service.ids().await.0, ["a", "b"]);
    assert_eq!(service.requests().len(), 2);
    let header = table("{ kind = \"offset\", parameter = \"o\", total_header = \"X-All\" }");
    let service = Service::start(&header, |_, _| {
        Reply::with("X-All: 1\r\n".to_owned(), json!({"rows": rows(&["a"])}))
    });
    assert_eq!(service.ids().await.0, ["a"]);
    assert_eq!(service.requests(), ["GET /files?o=0"]);
}

#[tokio::test]
async fn a_refusal_for_a_rate_limit_is_repeated_and_another_one_is_not() {
    for (headers, requests) in [
        ("Retry-After: 0\r\n", 3),
        (
            "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1000000001\r\n",
            3,
        ),
        (
            "X-RateLimit-Remaining: 5\r\nX-RateLimit-Reset: 1000000001\r\n",
            1,
        ),
        ("", 1),
    ] {
        let service = Service::start(&format!("[list]\n{ROWS}"), move |_, _| Reply {
            status: "403 Forbidden",
            headers: headers.to_owned(),
            body: json!({"message": "no"}),
        });
        let (_, end) = service
            .rows(&Filter::default(), ListOptions::default())
            .await;
        let code = end.unwrap_err().code().as_str();
        assert_eq!(
            (code == "rate_limited", service.requests().len()),
            (requests == 3, requests),
            "{headers}"
        );
    }
}
