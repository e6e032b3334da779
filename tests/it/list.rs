//! `docfetch list` and `docfetch url`.

use crate::support::World;
use crate::support::raw::{Raw, api, reply};
use crate::support::services::Service;
use docfetch::sandbox::Document;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};

fn many(count: usize) -> Service {
    let documents = (0..count)
        .map(|number| {
            Document::new(&format!("file {number}.pdf"), "x").with_id(&format!("id{number:04}"))
        })
        .collect();
    Service::start(documents, &[])
}

#[test]
fn every_page_is_listed_in_order_with_both_providers() {
    let service = many(230);
    let world = service.world();
    for provider in ["sm", "onecodex"] {
        let run = world.run(&["list", provider, "--ids"]);
        let ids: Vec<_> = run.exits(0).stdout.lines().map(str::to_owned).collect();
        let expected: Vec<_> = (0..230).map(|number| format!("id{number:04}")).collect();
        assert_eq!(ids, expected);
        let run = world.run(&["list", provider, "--limit", "150"]);
        assert_eq!(run.exits(0).stdout.lines().count(), 150);
        let run = world.run(&["list", provider, "--limit", "0", "--json"]);
        assert_eq!(run.exits(0).stdout, "");
    }
}

#[test]
fn ids_win_over_a_variable_that_asks_for_records() {
    let service = many(1);
    let mut world = service.world();
    world.set("DOCFETCH_JSON", "1");
    let run = world.run(&["list", "sm", "--ids"]);
    assert_eq!(run.exits(0).stdout, "id0000\n");
}

#[test]
fn a_list_without_a_total_or_with_an_odd_one_ends() {
    for (rows, headers, code, said) in [
        (1, &[][..], 5, "same page again"),
        (0, &[("X-Total-Count", "7")], 0, "ended early: 0 of 7"),
    ] {
        let server = Raw::start(move |_, stream| {
            let row = json!({"$uri": "/api/v1/documents/1", "filename": "a"});
            let page = Value::from(vec![row; rows]).to_string();
            reply(stream, "200 OK", headers, page.as_bytes());
        });
        let world = World::new(&server.base());
        world.run(&["list", "onecodex"]).exits(code).says(said);
    }
}

#[test]
fn records_have_common_fields_and_the_providers_own() {
    let service = many(1);
    let world = service.world();
    let common = |provider: &str| {
        let row = world
            .run(&["list", provider, "--json"])
            .exits(0)
            .records()
            .remove(0);
        assert_eq!(row["provider"], provider);
        assert_eq!(row["id"], "id0000");
        assert_eq!(row["name"], "file 0.pdf");
        assert_eq!(row["modified"], "2026-10-01T08:30:00Z");
        row
    };
    let row = common("sm");
    assert_eq!(
        (&row["company_id"], &row["source"], &row["size"]),
        (&json!("c1"), &json!("upload"), &Value::Null)
    );
    assert_eq!(row["parse_state"], "completed");
    let row = common("onecodex");
    assert_eq!(
        (&row["size"], &row["created_at"]),
        (&json!(1), &json!("2026-10-01T08:30:00Z"))
    );
}

#[test]
fn piped_rows_are_fields_with_tabs_between_them() {
    let service = many(2);
    let run = service.world().run(&["list", "onecodex"]);
    assert_eq!(
        run.exits(0).stdout,
        "id0000\tfile 0.pdf\t1\t2026-10-01T08:30:00Z\nid0001\tfile 1.pdf\t1\t2026-10-01T08:30:00Z\n"
    );
}

#[test]
fn names_from_the_api_cannot_move_the_terminal() {
    let server = Raw::start(|_, stream| {
        let rows = json!([{"$uri": "/api/v1/documents/1", "filename": "a\u{1b}[2J\tb\n\u{202e}", "size": 1}]);
        reply(
            stream,
            "200 OK",
            &[("X-Total-Count", "1")],
            rows.to_string().as_bytes(),
        );
    });
    let world = World::new(&server.base());
    let run = world.run(&["list", "onecodex"]);
    assert_eq!(run.exits(0).stdout, "1\ta\\u{1b}[2J\\tb\\n\\u{202e}\t1\t\n");
    let row = world
        .run(&["list", "onecodex", "--json"])
        .exits(0)
        .records()
        .remove(0);
    assert_eq!(row["name"], "a\u{1b}[2J\tb\n\u{202e}");
}

#[test]
fn the_first_rows_are_printed_before_the_last_page_is_asked_for() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let receiver = std::sync::Mutex::new(receiver);
    let server = Raw::start(
        move |request, stream| match (request.path(), request.before) {
            ("/v1/documents/", 0) => {
                let next = "http://elsewhere.example/v1/documents/?page=2&page_size=100";
                let page =
                    json!({"count": 2, "next": next, "results": [{"id": "one", "name": "a"}]});
                reply(stream, "200 OK", &[], page.to_string().as_bytes());
            }
            ("/v1/documents/", _) => {
                receiver.lock().unwrap().recv().unwrap();
                let page =
                    json!({"count": 2, "next": null, "results": [{"id": "two", "name": "b"}]});
                reply(stream, "200 OK", &[], page.to_string().as_bytes());
            }
            _ => api(request, stream, ""),
        },
    );
    let world = World::new(&server.base());
    let mut child = world.command(&["list", "sm", "--ids"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    sender.send(()).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "two");
    assert!(child.wait().unwrap().success());
    // The `next` link names another host: the credential stays with this one.
    let last = server.seen().pop().unwrap();
    assert_eq!(last.target, "/v1/documents/?page=2&page_size=100");
}

#[test]
fn pages_that_make_no_sense_end_it() {
    for (body, said) in [
        ("<html>", "JSON"),
        ("{}", "results is missing"),
        (r#"{"results":[{"name":"x"}]}"#, "a row has no id"),
        (r#"{"results":[],"next":7}"#, "next is no URL"),
        (r#"{"results":[{"id":"a/b"}]}"#, "is no id"),
        (
            r#"{"results":[],"next":"/v1/documents/?page=1&page_size=100"}"#,
            "for ever",
        ),
        (
            r#"{"results":[],"next":"/v1/documents/?page=2"}"#,
            "for ever",
        ),
    ] {
        let server = Raw::start(move |request, stream| match request.path() {
            "/v1/documents/" => reply(stream, "200 OK", &[], body.as_bytes()),
            _ => api(request, stream, ""),
        });
        World::new(&server.base())
            .run(&["list", "sm", "--retries", "0"])
            .exits(5)
            .says(said);
    }
}

#[test]
fn url_prints_the_presigned_url_and_nothing_else() {
    let (service, content) = Service::with("x.bin", 1000, &[]);
    let world = service.world();
    for provider in ["sm", "onecodex"] {
        let run = world.run_showing(&["url", provider, "doc1"]);
        run.exits(0);
        assert_eq!(run.stderr, "");
        assert!(run.stdout.contains("X-Amz-Signature="));
        let address = run.stdout.trim().strip_prefix("http://").unwrap();
        let (host, target) = address.split_once('/').unwrap();
        let mut stream = std::net::TcpStream::connect(host).unwrap();
        use std::io::{Read as _, Write as _};
        write!(
            stream,
            "GET /{target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.ends_with(&content));
    }
    assert_eq!(service.charges(), 1);
    let run = world.run(&["url", "onecodex", "missing"]);
    assert_eq!(run.exits(4).stdout, "");
}
