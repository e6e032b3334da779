use super::*;
use crate::provider::{Provider, table_of};
use proptest::prelude::*;
use serde_json::json;
use std::sync::Arc;

/// The route of the list of a table with these keys.
fn route(keys: &str) -> RowsRoute {
    let text = format!(
        "resolve = {{ path = \"/x\", url = \"redirect\" }}\nauth = {{ type = \"none\" }}\n[list]\npath = \"/x\"\nid = \"/id\"\n{keys}"
    );
    table_of("acme", &text).list.unwrap().rows
}

fn field() -> RowsRoute {
    let table = Arc::clone(&Provider::shipped("sm").unwrap().table);
    table.list.clone().unwrap().rows
}

fn header() -> RowsRoute {
    let table = Arc::clone(&Provider::shipped("onecodex").unwrap().table);
    table.list.clone().unwrap().rows
}

fn open(text: &str, route: &RowsRoute) -> Result<PageText> {
    PageText::parse(&AnswerSource::example(), text.as_bytes().to_vec(), route)
}

fn rows(page: &mut PageText) -> Vec<String> {
    let mut rows = Vec::new();
    while let Some(row) = page.next_row() {
        rows.push(row.trim().to_owned());
    }
    rows
}

fn why(text: &str, route: &RowsRoute) -> String {
    let error = open(text, route).unwrap_err();
    error.cause().unwrap().to_owned()
}

#[test]
fn rows_are_read_one_after_another() {
    let rows = r#" {"a":"]}\"\\","b":[{}]} ,[1,[2]], 3 ,"x,]", null,{}"#;
    let expected = [
        r#"{"a":"]}\"\\","b":[{}]} "#,
        "[1,[2]]",
        "3 ",
        r#""x,]""#,
        "null",
        "{}",
    ];
    let answer = format!(r#"{{"next":"u\u0041","x":[{{}}],"results":[{rows}] ,"count":7}}"#);
    let url = NextPage::Url("uA".to_owned());
    for (text, route, next) in [
        (answer, field(), url),
        (format!(" [{rows}]\n"), header(), NextPage::Unknown),
    ] {
        let mut page = open(&text, &route).unwrap();
        for expected in expected {
            assert_eq!(page.next_row(), Some(expected));
        }
        assert!(page.next_row().is_none() && page.next_row().is_none());
        assert_eq!(page.rows, 6);
        assert_eq!(page.next, next);
    }
    assert_eq!(open("[]", &header()).unwrap().next_row(), None);
    assert_eq!(open("[ ]", &header()).unwrap().next_row(), None);
}

#[test]
fn what_is_no_page_is_refused() {
    for text in [
        "",
        "[",
        "[1",
        "{}",
        "{\"results\":{}}",
        "{\"results\":[],\"next\":7}",
        "[] x",
        "\"[\"",
    ] {
        assert!(open(text, &field()).is_err(), "{text}");
    }
    for text in ["", "[1 2]", "{}", "[1,]", "null"] {
        assert!(open(text, &header()).is_err(), "{text}");
    }
    let next = format!(
        r#"{{"results":[],"next":"{}"}}"#,
        "x".repeat(MAX_NEXT_BYTES + 1)
    );
    assert!(open(&next, &field()).is_err());
    let long = vec![b' '; MAX_PAGE_BYTES];
    assert!(PageText::parse(&AnswerSource::example(), long, &header()).is_err());
}

#[test]
fn rows_lie_anywhere_in_an_answer() {
    for (pointer, text, expected) in [
        (
            "/data/items",
            json!({"data": {"items": [1, 2]}}),
            &["1", "2"][..],
        ),
        ("/data/1/x", json!({"data": [0, {"x": [3]}]}), &["3"]),
        (
            "/*/files",
            json!([{"files": [1]}, {"files": []}, {}, {"files": null}, {"files": [2, [3]]}]),
            &["1", "2", "[3]"],
        ),
        ("/groups/*/files", json!({"groups": []}), &[]),
        (
            "/[kind=file]/all",
            json!([{"kind": "folder", "all": [1]}, {"kind": "file", "all": [2]}]),
            &["2"],
        ),
        ("/items", json!({"items": null}), &[]),
        ("/a~1b", json!({"a/b": [1]}), &["1"]),
    ] {
        let mut page = open(&text.to_string(), &route(&format!("rows = {pointer:?}"))).unwrap();
        assert_eq!(page.rows, expected.len() as u64, "{pointer}");
        assert_eq!(rows(&mut page), expected, "{pointer}");
    }
    for (pointer, text, said) in [
        ("/items", json!({}), "the JSON has no field \"items\""),
        ("/a/b", json!({"a": {}}), "the JSON has no field \"a/b\""),
        ("/items", json!([]), "the JSON is not an object"),
        (
            "/items",
            json!({"items": "x"}),
            "the field \"items\" is not an array",
        ),
        (
            "/*/files",
            json!([{"files": 7}]),
            "the field \"*/files\" is not an array",
        ),
        (
            "/groups/*/files",
            json!({}),
            "the JSON has no field \"groups/*/files\"",
        ),
        ("", json!({}), "the JSON is not an array"),
    ] {
        let said_here = why(&text.to_string(), &route(&format!("rows = {pointer:?}")));
        assert_eq!(said_here, said, "{pointer}");
    }
}

#[test]
fn the_url_of_the_next_page_is_the_first_usable_one() {
    let route = route(
        "rows = \"/r\"\npaging = { kind = \"next\", at = [\"/links/[rel=next]/href\", \"/next\"], total = \"/meta/total\" }",
    );
    let next = |links: Value, next: Value| {
        let text = json!({"r": [], "links": links, "next": next, "meta": {"total": "12"}});
        let page = open(&text.to_string(), &route).unwrap();
        assert_eq!(page.total, Some(12));
        page.next
    };
    let url = |url: &str| NextPage::Url(url.to_owned());
    let link = json!([{"rel": "self", "href": "a"}, {"rel": "next", "href": "b"}]);
    assert_eq!(next(link, json!("c")), url("b"));
    assert_eq!(next(json!([{"rel": "self"}]), json!("c")), url("c"));
    assert_eq!(
        next(json!([{"rel": "next", "href": ""}]), json!("c")),
        url("c")
    );
    for end in [Value::Null, json!(""), json!(false)] {
        assert_eq!(next(json!([]), end), NextPage::Unknown);
    }
    assert_eq!(
        why(r#"{"r":[],"next":{}}"#, &route),
        "the field \"next\" is not a URL"
    );
}

#[test]
fn a_cursor_is_any_value_and_an_empty_one_ends() {
    let keys = "rows = \"/r\"\npaging = { kind = \"cursor\", at = \"/c/at\", parameter = \"c\", more = \"/more\" }";
    let route = route(keys);
    let next = |cursor: Value, more: Value| {
        let text = json!({"r": [], "c": {"at": cursor}, "more": more});
        open(&text.to_string(), &route).unwrap().next
    };
    for cursor in [
        json!("x"),
        json!(0),
        json!(7.5),
        json!(true),
        json!({"id": 1, "n": null}),
        json!([0]),
    ] {
        assert_eq!(
            next(cursor.clone(), Value::Null),
            NextPage::Cursor(cursor.clone())
        );
        assert_eq!(
            next(cursor.clone(), json!(true)),
            NextPage::Cursor(cursor.clone())
        );
        assert_eq!(next(cursor, json!(false)), NextPage::Unknown);
    }
    for end in [Value::Null, json!(""), json!({}), json!([]), json!(false)] {
        assert_eq!(next(end, Value::Null), NextPage::Unknown);
    }
    assert_eq!(open(r#"{"r":[]}"#, &route).unwrap().next, NextPage::Unknown);
    assert!(why(r#"{"r":[],"more":true}"#, &route).contains("no cursor"));
    let long = json!({"r": [], "c": {"at": "x".repeat(MAX_NEXT_BYTES)}}).to_string();
    assert!(why(&long, &route).contains("8192 bytes"));
}

proptest! {
    #[test]
    fn no_answer_makes_a_page_panic(text in "[\\[\\]{}:,\"ra0 \\\\]{0,40}", keys in 0..3_usize) {
        let keys = ["rows = \"/r\"", "rows = \"/*/r\"", "rows = \"\""][keys];
        if let Ok(mut page) = open(&text, &route(keys)) {
            let count = page.rows;
            prop_assert_eq!(rows(&mut page).len() as u64, count);
        }
    }
}
