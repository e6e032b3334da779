//! Rows of tables: ids of several parts, scopes, fields, and the names of side lists.

use super::ListOptions;
use super::services::{Reply, Service};
use crate::error::Code;
use crate::resolve::filter::{FieldFilter, Filter, OwnFilter};
use crate::resolve::lookup;
use serde_json::{Value, json};

/// A service with one page of rows, and with the table's keys for the list.
fn serve(keys: &str, rows: Value) -> Service {
    Service::start(keys, move |_, _| Reply::json(json!({"rows": rows})))
}

fn in_scope(scope: &str) -> Filter {
    Filter {
        scope: Some(scope.to_owned()),
        ..Filter::default()
    }
}

#[tokio::test]
async fn an_id_of_several_parts_comes_from_the_scope_and_from_the_row() {
    let keys = "id = [\"owner\", \"repo\", \"file\"]\n[list]\npath = \"/repos/{owner}/{repo}/files\"\nscope = [\"owner\", \"repo\"]\nrows = \"/rows\"\nid = \"/id\"\nname = \"/name\"";
    let rows = json!([
        {"id": 7, "name": 12}, {"id": "a b/c", "name": "n"}, {"id": "x%2Fy"}, {"id": "a\u{1b}b"}, {"id": ".."}, {"id": ""},
        {"id": "q?"}, {"id": null}, {}, {"id": 1.5}, "text", {"id": "x".repeat(2000)},
    ]);
    let service = serve(keys, rows);
    let (found, end) = service
        .rows(&in_scope("an owner/re%2Fpo"), ListOptions::default())
        .await;
    assert!(end.unwrap());
    let (good, bad): (Vec<_>, Vec<_>) = found.into_iter().partition(Result::is_ok);
    let good: Vec<_> = good.into_iter().map(Result::unwrap).collect();
    let ids: Vec<&str> = good.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["an owner/re%2Fpo/7", "an owner/re%2Fpo/a b%2Fc"]);
    assert_eq!(good[0].name.as_deref(), Some("12"));
    assert_eq!(bad.len(), 10);
    let why: Vec<String> = bad.into_iter().map(Result::unwrap_err).collect();
    assert!(
        why[0].contains("%2F") && why[1].contains("U+001B"),
        "{why:?}"
    );
    assert_eq!(service.requests(), ["GET /repos/an%20owner/re%2Fpo/files"]);
    // Each id is one that the provider takes, with the parts that a request needs.
    let id = service
        .api
        .provider
        .document_id("an owner/re%2Fpo/a b%2Fc")
        .unwrap();
    assert_eq!(
        id.parts().collect::<Vec<_>>(),
        ["an owner", "re/po", "a b/c"]
    );
}

#[tokio::test]
async fn a_scope_beside_the_id_fills_the_request_only() {
    let keys = "[list]\npath = \"/files\"\nquery = { project = \"{owner}/{project}\" }\nscope = [\"owner\", \"project\"]\nrows = \"/rows\"\nid = \"/id\"";
    let service = serve(keys, json!([{"id": "f1"}]));
    let filter = in_scope("me/a b");
    let (found, end) = service.rows(&filter, ListOptions::default()).await;
    assert!(end.unwrap());
    assert_eq!(found[0].as_ref().unwrap().id.as_str(), "f1");
    assert_eq!(service.requests(), ["GET /files?project=me%2Fa+b"]);
    let error = Filter::default().check(&service.api.provider).unwrap_err();
    assert!(
        error.what().ends_with("needs --in OWNER/PROJECT"),
        "{error}"
    );
}

#[test]
fn a_scope_has_names_that_mean_nothing_else_and_leaves_a_part_to_the_rows() {
    for (scope, why) in [
        ("[]", "a scope has a name"),
        ("[\"id\"]", "leaves a part of the id"),
        ("[\"a\", \"a\"]", "comes twice"),
        ("[\"region\"]", "has a meaning already"),
        ("[\"resource\"]", "has a meaning already"),
        ("[\"Project\"]", "lower-case letters"),
    ] {
        let table = format!(
            "base = \"https://h\"\nauth = {{ type = \"none\" }}\nresolve = {{ path = \"/x\", url = \"redirect\" }}\nparameters.region = {{}}\n[list]\npath = \"/x\"\nscope = {scope}\nrows = \"\"\nid = \"/id\""
        );
        let error = crate::provider::Provider::from_toml("acme", &table).unwrap_err();
        assert!(
            error.to_string().contains(why) || error.cause().unwrap().contains(why),
            "{scope}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_scope_is_checked_before_any_request() {
    let keys = "id = [\"owner\", \"file\"]\n[list]\npath = \"/{owner}\"\nscope = [\"owner\"]\nrows = \"/rows\"\nid = \"/id\"";
    let service = serve(keys, json!([]));
    let provider = &service.api.provider;
    for (scope, what, why) in [
        (None, "the list of acme needs --in OWNER", "one of them"),
        (
            Some("a/b"),
            "invalid value \"a/b\" for '--in <OWNER>'",
            "1 part without a slash",
        ),
        (Some(".."), "invalid value", "folders"),
        (Some("a\u{7}"), "invalid value", "U+0007"),
        (Some("a?"), "invalid value", "'?'"),
    ] {
        let filter = Filter {
            scope: scope.map(str::to_owned),
            ..Filter::default()
        };
        let error = filter.check(provider).unwrap_err();
        assert_eq!(error.code(), Code::Usage);
        assert!(error.what().starts_with(what), "{error}");
        assert!(error.cause().unwrap().contains(why), "{error}");
    }
    assert!(in_scope("a%2Fb").check(provider).is_ok());
    let sm = crate::provider::Provider::shipped("sm").unwrap();
    let error = in_scope("a").check(&sm).unwrap_err();
    assert_eq!(error.what(), "the list of Standard Metrics has no --in");
    let without = crate::provider::Provider::from_toml(
        "acme",
        "auth = { type = \"none\" }\nresolve = { path = \"/x\", url = \"redirect\" }",
    );
    let error = Filter::default().check(&without.unwrap()).unwrap_err();
    assert_eq!(
        (error.code(), error.what()),
        (Code::Usage, "docfetch cannot list the documents of acme")
    );
    assert!(service.requests().is_empty());
}

#[tokio::test]
async fn fields_lie_anywhere_in_a_row_and_have_the_forms_of_the_table() {
    let keys = "id = [\"box\", \"path*\"]\n[list]\npath = \"/x\"\nrows = \"/rows\"\nid = [\"/at/0\", \"/at/1\"]\nname = [\"/title\", \"/name\"]\nsize = \"/meta/bytes\"\nmodified = { at = \"/t\", as = \"unix-ms\" }\nonly = { at = \"/kind\", equals = \"file\" }\nfields.owner = { at = \"/links/[rel=owner]/href\", take = \"last-segment\" }\nfields.tags = \"/tags/*/name\"";
    let rows = json!([
        {"kind": "folder", "at": ["no", "no"]},
        {"kind": "file", "at": ["b/1", "p/q r"], "title": null, "name": "n.txt", "meta": {"bytes": "12"}, "t": 1_795_338_030_500_u64,
            "links": [{"rel": "self"}, {"rel": "owner", "href": "/users/7/"}], "tags": [{"name": "x"}, {}, {"name": "y"}]},
        {"kind": "file", "at": [2, "z"], "tags": [], "meta": null, "t": "soon"},
        {"at": ["no", "kind"]},
    ]);
    let service = serve(keys, rows);
    let mut filter = Filter::default();
    let (found, _) = service.rows(&filter, ListOptions::default()).await;
    let found: Vec<_> = found.into_iter().map(Result::unwrap).collect();
    let shown: Vec<Value> = found
        .iter()
        .map(|row| serde_json::to_value(row).unwrap())
        .collect();
    assert_eq!(
        shown,
        [
            json!({"provider": "acme", "id": "b%2F1/p/q r", "name": "n.txt", "size": 12, "modified": "2026-11-22T09:00:30.5Z",
            "owner": "7", "tags": ["x", "y"]}),
            json!({"provider": "acme", "id": "2/z", "name": null, "size": null, "modified": null, "owner": null, "tags": []}),
        ]
    );
    filter.fields = vec![FieldFilter {
        field: "tags".to_owned(),
        values: vec!["y".to_owned()],
    }];
    assert_eq!(
        service.rows(&filter, ListOptions::default()).await.0.len(),
        1
    );
}

const COMPANIES: &str = "options = { firm = { field = \"firm_id\", resolve = \"firm\" } }\n[list]\npath = \"/files\"\nrows = \"/rows\"\nid = \"/id\"\nfields = [\"firm_id\"]\n[lookup.firm]\npath = \"/firms\"\nrows = \"/firms\"\nid = \"/id\"\nname = \"/name\"\nfield = \"firm_id\"\npaging = { kind = \"page\", parameter = \"p\", total = \"/n\" }";

fn firms() -> Service {
    Service::start(COMPANIES, |request, _| {
        Reply::json(match request {
            "/firms?p=1" => json!({"n": 3, "firms": [{"id": 1, "name": "Acme"}]}),
            "/firms?p=2" => {
                json!({"n": 3, "firms": [{"id": "2", "name": "Twin"}, {"id": "3", "name": "Twin"}]})
            }
            _ => {
                json!({"rows": [{"id": "a", "firm_id": "1"}, {"id": "b", "firm_id": 2}, {"id": "c"}, {"id": "d", "firm_id": "9"}]})
            }
        })
    })
}

fn shown() -> ListOptions {
    ListOptions {
        shows_names: true,
        ..ListOptions::default()
    }
}

fn where_firm(name: &str) -> Filter {
    Filter {
        fields: vec![FieldFilter {
            field: "firm".to_owned(),
            values: vec![name.to_owned()],
        }],
        ..Filter::default()
    }
}

#[tokio::test]
async fn rows_get_the_names_of_a_side_list_that_is_read_once_and_only_when_it_is_used() {
    let service = firms();
    let (rows, _) = service
        .rows(&Filter::default(), ListOptions::default())
        .await;
    assert!(!rows[0].as_ref().unwrap().fields.contains_key("firm"));
    assert_eq!(service.requests(), ["GET /files"]);
    for _ in 0..2 {
        let (rows, _) = service.rows(&Filter::default(), shown()).await;
        let names: Vec<Value> = rows
            .into_iter()
            .map(|row| row.unwrap().fields["firm"].clone())
            .collect();
        assert_eq!(
            names,
            [json!("Acme"), json!("Twin"), Value::Null, Value::Null]
        );
    }
    let (rows, _) = service
        .rows(&where_firm("Twin"), ListOptions::default())
        .await;
    assert_eq!(rows.len(), 1);
    let of_firms = service
        .requests()
        .into_iter()
        .filter(|request| request.contains("firms"));
    assert_eq!(
        of_firms.collect::<Vec<_>>(),
        ["GET /firms?p=1", "GET /firms?p=2"]
    );
}

#[tokio::test]
async fn a_side_list_that_fails_leaves_names_unknown_unless_they_are_needed() {
    let broken = || {
        Service::start(COMPANIES, |request, _| Reply {
            status: if request.contains("firms") {
                "403 Forbidden"
            } else {
                "200 OK"
            },
            headers: String::new(),
            body: json!({"rows": [{"id": "a", "firm_id": "1"}]}),
        })
    };
    let service = broken();
    let (rows, end) = service.rows(&Filter::default(), shown()).await;
    assert_eq!(rows[0].as_ref().unwrap().fields["firm"], Value::Null);
    assert!(end.unwrap());
    let needed = ListOptions {
        needed_names: vec!["firm".to_owned()],
        ..ListOptions::default()
    };
    for (filter, options) in [(Filter::default(), needed), (where_firm("x"), shown())] {
        let (rows, end) = broken().rows(&filter, options).await;
        assert!(rows.is_empty());
        let error = end.unwrap_err();
        assert_eq!(
            (error.code(), error.what()),
            (
                Code::Forbidden,
                "acme refuses the list of firms to this account"
            )
        );
        assert!(
            error
                .cause()
                .unwrap()
                .ends_with("--name or --where needs the firm of each row"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_option_takes_a_name_of_the_side_list_as_well_as_an_id() {
    let service = firms();
    let with = async |value: &str| {
        let mut filter = Filter::default();
        filter.own.push(OwnFilter {
            option: "firm".to_owned(),
            values: vec![value.to_owned()],
        });
        let found = lookup::with_ids(
            &service.api,
            super::services::RETRY,
            &service.side_lists,
            &mut filter,
        )
        .await;
        found.map(|()| filter.own.remove(0).values.remove(0))
    };
    assert_eq!(with("Acme").await.unwrap(), "1");
    assert_eq!(with("3").await.unwrap(), "3");
    let error = with("Twin").await.unwrap_err();
    assert_eq!(error.what(), "acme has 2 firms of the name \"Twin\"");
    assert_eq!(
        (
            error.code(),
            error.hint().contains('2'),
            error.hint().contains('3')
        ),
        (Code::Usage, true, true)
    );
    let error = with("acme").await.unwrap_err();
    assert_eq!(error.what(), "acme knows no firm of the name \"acme\"");
    assert_eq!(service.requests().len(), 2);
}
