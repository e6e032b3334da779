//! `docfetch list` and `docfetch url`.

use crate::support::raw::{Raw, Request, api, presigned, reply};
use crate::support::services::Service;
use crate::support::{World, sha256};
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
fn the_first_rows_are_printed_before_the_last_page_is_requested() {
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
        ("{}", "the JSON has no field \"results\""),
        (r#"{"results":{}}"#, "the field \"results\" is not an array"),
        ("[]", "the JSON is not an object"),
        (
            r#"{"results":[],"next":7}"#,
            "the field \"next\" is not a URL",
        ),
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

/// The query of a request, decoded.
fn query(request: &Request) -> Vec<(String, String)> {
    let query = request
        .target
        .split_once('?')
        .map_or("", |(_, query)| query);
    url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

/// The query of the first page, without its place.
fn asked(server: &Raw) -> Vec<(String, String)> {
    let seen = server.seen();
    let page = seen.iter().find(|request| request.target.contains('?'));
    let paging = ["page", "page_size", "per_page", "sort"];
    let mut asked = query(page.unwrap());
    asked.retain(|(name, _)| !paging.contains(&name.as_str()));
    asked
}

/// Both APIs with all their rows on one page, whatever the query.
fn heedless(rows: impl Fn(&str) -> Value + Send + Sync + 'static) -> Raw {
    Raw::start(move |request, stream| match request.path() {
        "/v1/documents/" => {
            let rows = rows("sm");
            let count = rows.as_array().unwrap().len();
            let page = json!({"count": count, "next": null, "results": rows});
            reply(stream, "200 OK", &[], page.to_string().as_bytes());
        }
        path if path.starts_with("/api/v1/") => {
            let rows = rows("onecodex");
            let count = rows.as_array().unwrap().len().to_string();
            let total = [("X-Total-Count", count.as_str())];
            reply(stream, "200 OK", &total, rows.to_string().as_bytes());
        }
        _ => api(request, stream, ""),
    })
}

fn three_rows(provider: &str) -> Value {
    let row = |id: &str, name: &str, time: Value, size: Value, own: &str| match provider {
        "sm" => json!({
            "id": id, "name": name, "uploaded_at": time,
            "company_id": own, "source": "email", "parse_state": "completed",
        }),
        _ => json!({
            "$uri": format!("/api/v1/documents/{id}"), "filename": name, "created_at": time,
            "size": size,
        }),
    };
    json!([
        row(
            "one",
            "QC report.pdf",
            json!("2026-10-01T00:00:00Z"),
            json!(1024),
            "c1"
        ),
        row(
            "two",
            "deck.pdf",
            json!("2026-10-02T23:59:59.5+00:00"),
            json!(1025),
            "c2"
        ),
        row("three", "qc.csv", Value::Null, Value::Null, "c1"),
    ])
}

#[test]
fn filters_are_asked_of_the_server_and_looked_at_here_as_well() {
    let (first, last) = ("2026-10-02T00:00:00Z", "2026-10-02T23:59:59.999999Z");
    let since = format!(r#"{{"created_at":{{"$gte":"{first}"}}}}"#);
    let until = format!(r#"{{"created_at":{{"$lte":"{last}"}}}}"#);
    let day = ["--since", "2026-10-02", "--until", "2026-10-02"];
    let time = "2026-10-01T02:00:00+02:00";
    let before = r#"{"created_at":{"$lte":"2026-10-01T00:00:00Z"}}"#;
    let name = r#"{"filename":{"$icontains":"Qc"}}"#;
    let both = r#"{"filename":{"$icontains":"qc"},"size":{"$gte":1023}}"#;
    for (arguments, pairs, found) in [
        (&["sm", "--match", "Qc"][..], vec![], "one\nthree\n"),
        (
            &["sm", "--company", "c1"],
            vec![("company_id", "c1")],
            "one\nthree\n",
        ),
        (
            &["sm", "--source", "upload"],
            vec![("source", "upload")],
            "",
        ),
        (
            &["sm", "--source", "email", "--limit", "1"],
            vec![("source", "email")],
            "one\n",
        ),
        (
            &["sm", "--parse-state", "needs-input"],
            vec![("parse_state", "needs-input")],
            "",
        ),
        (
            &["sm", "--since", "2026-10-02"],
            vec![("from", first)],
            "two\n",
        ),
        (
            &["sm", "--until", "2026-10-02"],
            vec![("to", last)],
            "one\ntwo\n",
        ),
        (
            &["sm", "--until", time],
            vec![("to", "2026-10-01T00:00:00Z")],
            "one\n",
        ),
        (
            &[&["sm"][..], &day[..]].concat(),
            vec![("from", first), ("to", last)],
            "two\n",
        ),
        (
            &["onecodex", "--match", "Qc"],
            vec![("where", name)],
            "one\nthree\n",
        ),
        (
            &["onecodex", "--since", "2026-10-02"],
            vec![("where", &since)],
            "two\n",
        ),
        (
            &["onecodex", "--until", "2026-10-02"],
            vec![("where", &until)],
            "one\ntwo\n",
        ),
        (
            &["onecodex", "--until", time],
            vec![("where", before)],
            "one\n",
        ),
        // One operator a field.
        (
            &[
                "onecodex",
                "--since",
                "2026-10-02",
                "--until",
                "2026-10-02T12:00:00Z",
            ],
            vec![("where", &since)],
            "",
        ),
        // Strictly larger.
        (
            &["onecodex", "--larger-than", "1K"],
            vec![("where", r#"{"size":{"$gte":1024}}"#)],
            "two\n",
        ),
        (
            &["onecodex", "--larger-than", "1023", "--match", "qc"],
            vec![("where", both)],
            "one\n",
        ),
    ] {
        let server = heedless(three_rows);
        let mut world = World::new(&server.base());
        // Of one listing, so not of the environment.
        for option in [
            "MATCH",
            "SINCE",
            "COMPANY",
            "SOURCE",
            "LARGER_THAN",
            "LIMIT",
            "IDS",
        ] {
            world.set(&format!("DOCFETCH_{option}"), "0");
        }
        let run = world.run(&[&["list", "--ids"], arguments].concat());
        assert_eq!(run.exits(0).stdout, found, "{arguments:?}");
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(asked(&server), pairs, "{arguments:?}");
    }
}

#[test]
fn a_filter_that_is_none_is_wrong_usage() {
    for (arguments, said) in [
        (
            &["sm", "--larger-than", "1M"][..],
            "Standard Metrics has no filter --larger-than",
        ),
        (
            &["onecodex", "--company", "c"],
            "One Codex has no filter --company",
        ),
        (
            &["onecodex", "--source", "email"],
            "One Codex has no filter --source",
        ),
        (
            &["onecodex", "--parse-state", "completed"],
            "One Codex has no filter --parse-state",
        ),
        (&["sm", "--source", "fax"], "--source"),
        (&["sm", "--parse-state", "done"], "--parse-state"),
        (&["sm", "--since", "yesterday"], "2026-10-01T08:30:00Z"),
        (
            &["sm", "--until", "2026-10-01T08:30"],
            "2026-10-01T08:30:00Z",
        ),
        (&["sm", "--match", ""], "--match"),
        (&["sm", "--company", ""], "--company"),
        (&["onecodex", "--larger-than", "1T"], "512K"),
        (
            &["sm", "--resource", "samples"],
            "Standard Metrics has no samples",
        ),
        (&["onecodex", "--resource", "jobs"], "--resource"),
    ] {
        // Before anything else: there are no credentials either.
        World::bare()
            .run(&[&["list"], arguments].concat())
            .exits(2)
            .says(said);
    }
    World::bare()
        .run(&["sm", "x", "--resource", "assets"])
        .exits(2)
        .says("Standard Metrics has no assets");
    World::bare()
        .run(&["url", "sm", "x", "--resource", "assets"])
        .exits(2)
        .says("Standard Metrics has no assets");
    World::bare()
        .run(&["sm", "x", "--resource", "documents"])
        .exits(2)
        .says("Standard Metrics has documents only");
    // A variable serves One Codex beside a fetch from Standard Metrics.
    let mut world = World::bare();
    world.set("DOCFETCH_RESOURCE", "documents");
    world.run(&["sm", "x"]).exits(3);
}

#[test]
fn filters_work_at_a_strict_service_and_over_pages() {
    let service = many(230);
    let world = service.world();
    for provider in ["sm", "onecodex"] {
        for (arguments, count) in [
            (&["--match", "FILE 1"][..], 111),
            (
                &[
                    "--match",
                    "file 22",
                    "--since",
                    "2026-10-01",
                    "--until",
                    "2026-10-01",
                ],
                11,
            ),
            (&["--until", "2026-09-30"], 0),
            (&["--since", "2026-10-01T08:30:00Z"], 230),
            (&["--since", "2026-10-01T08:30:00.000001Z"], 0),
            // Rows count that match.
            (&["--match", "9.pdf", "--limit", "12"], 12),
        ] {
            let run = world.run(&[&["list", provider, "--ids"], arguments].concat());
            assert_eq!(run.exits(0).stdout.lines().count(), count, "{arguments:?}");
        }
    }
    let run = world.run(&[
        "list",
        "onecodex",
        "--larger-than",
        "0",
        "--ids",
        "--limit",
        "3",
    ]);
    assert_eq!(run.exits(0).stdout.lines().count(), 3);
    let run = world.run(&["list", "onecodex", "--larger-than", "1", "--ids"]);
    assert_eq!(run.exits(0).stdout, "");
    let run = world.run(&[
        "list",
        "sm",
        "--ids",
        "--company",
        "c1",
        "--source",
        "upload",
    ]);
    assert_eq!(run.exits(0).stdout.lines().count(), 230);
}

#[test]
fn a_page_is_as_short_as_the_limit_only_where_the_server_filters() {
    for (arguments, size) in [
        (&["sm", "--limit", "2"][..], "2"),
        (&["sm", "--limit", "2", "--source", "email"], "2"),
        (&["sm", "--limit", "2", "--match", "x"], "100"),
        (&["onecodex", "--limit", "2", "--match", "x"], "2"),
        (
            &[
                "onecodex",
                "--limit",
                "2",
                "--since",
                "2026-10-01",
                "--until",
                "2026-10-02",
            ],
            "100",
        ),
    ] {
        let server = heedless(|_| json!([]));
        World::new(&server.base())
            .run(&[&["list"], arguments].concat())
            .exits(0);
        let pages = server.seen();
        let page = pages.iter().find(|request| request.target.contains('?'));
        let query = query(page.unwrap());
        let size_of = |pair: &&(String, String)| ["page_size", "per_page"].contains(&&*pair.0);
        assert_eq!(query.iter().find(size_of).unwrap().1, size, "{arguments:?}");
    }
}

/// Pages of One Codex, `rows` rows each; the number of a page is the size of its documents.
fn paged(pages: usize, rows: usize) -> Raw {
    let total = (pages * rows).to_string();
    Raw::start(move |request, stream| {
        let query = query(request);
        let page = query.iter().find(|(name, _)| name == "page").unwrap();
        let page: usize = page.1.parse().unwrap();
        let row =
            |row: usize| json!({"$uri": format!("/api/v1/documents/{page}-{row}"), "size": page});
        let rows: Value = (0..rows).map(row).collect();
        let total = [("X-Total-Count", total.as_str())];
        reply(stream, "200 OK", &total, rows.to_string().as_bytes());
    })
}

#[test]
fn later_pages_are_requested_one_ahead_of_printing() {
    // So many rows that printing a page fills the pipe, and waits for a reader.
    let server = paged(4, 20_000);
    let world = World::new(&server.base());
    let mut child = world
        .command(&["list", "onecodex", "--ids"])
        .spawn()
        .unwrap();
    let pages = || server.count("GET", "/documents");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    // The test reads no further: docfetch blocks while it prints the first page, and sends no request.
    assert_eq!(next(), "1-0");
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(pages(), 1);
    // docfetch requests the third page while it prints the second one, before its last row.
    while next() != "2-0" {}
    world.wait_until("the third page", || pages() == 3);
    // One ahead only.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(pages(), 3);
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    assert_eq!(rest.len(), 3 * 20_000 - 1);
    assert_eq!(rest.last().unwrap(), "4-19999");
    assert!(child.wait().unwrap().success());
    assert_eq!(pages(), 4);
}

#[test]
fn no_page_is_requested_beyond_the_limit() {
    for (limit, filter, pages) in [
        ("10", "0", 1),
        ("11", "0", 2),
        ("20", "0", 2),
        ("30", "0", 3),
        ("31", "0", 4),
        ("0", "0", 0),
        // The first page has no row that matches.
        ("10", "1", 2),
    ] {
        let server = paged(4, 10);
        let world = World::new(&server.base());
        let arguments = ["--ids", "--larger-than", filter, "--limit", limit];
        let run = world.run(&[&["list", "onecodex"][..], &arguments].concat());
        let count = run.exits(0).stdout.lines().count();
        assert_eq!(
            (count.to_string().as_str(), server.seen().len()),
            (limit, pages)
        );
    }
}

#[test]
fn rows_are_out_before_the_page_behind_them_fails() {
    let server = Raw::start(|request, stream| match request.before {
        page @ (0 | 1) => {
            let rows = json!([{"$uri": format!("/api/v1/documents/{page}")}]);
            let total = [("X-Total-Count", "3")];
            reply(stream, "200 OK", &total, rows.to_string().as_bytes());
        }
        _ => reply(stream, "403 Forbidden", &[], b"{}"),
    });
    let run = World::new(&server.base()).run(&["list", "onecodex", "--ids"]);
    assert_eq!(run.exits(4).stdout, "0\n1\n");
}

/// One Codex with one thing of each kind, all of the id `7`; its bytes are the kind's name.
fn kinds(storage: &Raw) -> Raw {
    let storage = storage.base();
    Raw::start(move |request, stream| {
        let path = request.path().to_owned();
        let kind = path.split('/').nth(3).unwrap_or_default().to_owned();
        let thing = match kind.as_str() {
            "assets" => {
                json!({"$uri": "/api/v1/assets/7", "name": "assets.bin", "size": 6, "status": "available"})
            }
            kind => json!({
                "$uri": format!("/api/v1/{kind}/7"), "filename": format!("{kind}.bin"),
                "size": kind.len(), "status": "available",
            }),
        };
        let total = [("X-Total-Count", "1")];
        match (request.method.as_str(), path.trim_end_matches('/')) {
            ("POST", _) if path.contains("/7/") => {
                let url = presigned(&storage, &format!("/{kind}.bin"));
                api(request, stream, &url);
            }
            ("GET", path) if path.ends_with("/7") => {
                reply(stream, "200 OK", &[], thing.to_string().as_bytes());
            }
            ("GET", path) if path.ends_with(&kind) => {
                reply(
                    stream,
                    "200 OK",
                    &total,
                    json!([thing]).to_string().as_bytes(),
                );
            }
            _ => reply(stream, "404 Not Found", &[], b"{}"),
        }
    })
}

#[test]
fn documents_samples_and_assets_have_routes_of_their_own() {
    let storage = Raw::start(|request, stream| {
        let name = request.path().trim_matches('/');
        reply(
            stream,
            "200 OK",
            &[],
            name.trim_end_matches(".bin").as_bytes(),
        );
    });
    let server = kinds(&storage);
    let mut world = World::new(&server.base());
    for kind in ["documents", "samples", "assets"] {
        // By the flag, which wins over the variable, or by the variable.
        let flag = ["--resource", kind];
        world.set(
            "DOCFETCH_RESOURCE",
            if kind == "samples" { "assets" } else { kind },
        );
        let flag = if kind == "samples" { &flag[..] } else { &[] };
        let run = world.run(&[&["list", "onecodex", "--json"], flag].concat());
        let row = run.exits(0).records().remove(0);
        let name = format!("{kind}.bin");
        assert_eq!(
            (&row["id"], &row["name"], &row["resource"]),
            (&json!("7"), &json!(name), &json!(kind))
        );
        let status = (kind != "documents").then_some(&row["status"]);
        assert_eq!(status, row.get("status"));
        assert!(status.is_none_or(|status| status == "available"));
        // A different thing each, also to the ledger: each is paid for once.
        let uri = format!("/api/v1/{kind}/7");
        for id in ["7", uri.as_str()] {
            let run = world.run(
                &[
                    &["onecodex", id, "-o", &name, "--if-exists", "overwrite"],
                    flag,
                ]
                .concat(),
            );
            run.exits(0);
            assert_eq!(world.read(&name), kind.as_bytes());
        }
        let run = world.run_showing(&[&["url", "onecodex", "7"], flag].concat());
        assert!(run.exits(0).stdout.contains(&format!("/{kind}.bin?")));
        assert_eq!(
            server.count("POST", &format!("/api/v1/{kind}/7/download_uri")),
            1
        );
        assert!(server.count("GET", &format!("/api/v1/{kind}/7")) > 0);
        let run = world.run(&[&["onecodex", "8", "-o", "x"], flag].concat());
        let one = kind.trim_end_matches('s');
        run.exits(4)
            .says(&format!("One Codex does not know {one} 8"));
        let run = world.run(&[&["onecodex", "a/b"], flag].concat());
        run.exits(2).says(&format!("{one} id"));
    }
    assert_eq!(server.count("POST", "/7/download_uri"), 3);
    let run = world.run(&["onecodex", "/api/v1/samples/7", "--resource", "documents"]);
    run.exits(2).says("--resource samples");
    // The ledger has all three; a URI names one of them, an id alone is of any.
    let left = |world: &World| {
        world
            .run(&["ledger", "list"])
            .exits(0)
            .stdout
            .lines()
            .count()
    };
    assert_eq!(left(&world), 3);
    let run = world.run(&["ledger", "forget", "/api/v1/samples/7"]);
    assert_eq!((run.exits(0).stdout.as_str(), left(&world)), ("7\n", 2));
    world
        .run(&["ledger", "forget", "/api/v1/samples/7"])
        .exits(4);
    world
        .run(&["ledger", "forget", "/api/v1/documents/7"])
        .exits(0);
    assert_eq!(left(&world), 1);
    world.run(&["ledger", "forget", "7"]).exits(0);
    assert_eq!(left(&world), 0);
    world.run(&["ledger", "forget", "/api/v1/jobs/7"]).exits(2);
}

#[test]
fn a_partial_is_of_its_kind() {
    let storage = Raw::start(|request, stream| {
        let tag = [("ETag", "\"one\""), ("Accept-Ranges", "bytes")];
        crate::support::raw::head(stream, "200 OK", &tag, Some(200_000));
        if request.before == 0 {
            use std::io::Write as _;
            let _ = stream.write_all(&[7; 100_000]);
        }
    });
    let server = kinds(&storage);
    let world = World::new(&server.base());
    for kind in ["samples", "assets"] {
        let arguments = ["onecodex", "7", "--resource", kind, "--retries", "0"];
        world.run(&arguments).exits(5);
    }
    let parts = world
        .files()
        .iter()
        .filter(|name| name.ends_with(".part"))
        .count();
    assert_eq!(parts, 2);
    let ranges = storage
        .seen()
        .iter()
        .filter_map(Request::range_start)
        .count();
    assert_eq!(ranges, 0);
}

/// Records and partials of documents lie on users' disks under names that must be found again.
#[test]
fn what_is_kept_of_a_document_is_named_as_ever() {
    let fingerprint = |parts: &[&str]| {
        let with_length =
            |part: &&str| [&(part.len() as u64).to_le_bytes()[..], part.as_bytes()].concat();
        let all: Vec<u8> = parts.iter().flat_map(with_length).collect();
        sha256(&all)[..32].to_owned()
    };
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"documents"));
    let server = kinds(&storage);
    let world = World::new(&server.base());
    world.run(&["onecodex", "7"]).exits(0);
    let base = format!("{}/", server.base());
    let account = fingerprint(&["onecodex", &base, crate::support::API_KEY]);
    let expected = format!("{account}-{}.json", fingerprint(&["7"]));
    let record = world.record("ledger");
    assert_eq!(record.file_name().unwrap().to_str().unwrap(), expected);
}
