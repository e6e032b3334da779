//! Lists and ids by tables of the user, with the real binary against services that no table is shipped for.

use crate::support::raw::presigned;
use crate::support::table_service::TableService;
use serde_json::{Value, json};

fn rows(ids: &[&str]) -> Value {
    let row = |id: &&str| json!({"id": id, "name": format!("{id}.txt"), "size": id.len(), "at": "2026-01-01T00:00:00Z"});
    ids.iter().map(row).collect()
}

fn table(list: &str) -> String {
    format!(
        "[providers.acme]\nbase = \"BASE\"\nauth = {{ type = \"none\" }}\n\
         resolve = {{ path = \"/dl/{{id}}\", url = \"redirect\" }}\n\
         [providers.acme.list]\nid = \"/id\"\nname = \"/name\"\nsize = \"/size\"\nmodified = \"/at\"\n{list}\n"
    )
}

/// A paging, and the pages with `FIRST` for the rows a and b, and `LAST` for the row c.
struct Kind {
    list: &'static str,
    pages: &'static [(&'static str, &'static str, &'static str)],
}

const KINDS: [Kind; 9] = [
    Kind {
        list: r#"method = "POST"
                 path = "/find"
                 json = { limit = 2 }
                 rows = "/r"
                 paging = { kind = "cursor", at = "/next", parameter = "from", in = "json", path = "/find/more", json = {}, more = "/more" }"#,
        pages: &[
            (
                r#"POST /find {"limit":2}"#,
                "",
                r#"{"r": FIRST, "next": {"z": [1]}, "more": true}"#,
            ),
            (
                r#"POST /find/more {"from":{"z":[1]}}"#,
                "",
                r#"{"r": LAST, "next": "again", "more": false}"#,
            ),
        ],
    },
    Kind {
        list: r#"path = "/l"
                 query = { q = "1" }
                 rows = "/r"
                 paging = { kind = "cursor", at = "/next", parameter = "c" }"#,
        pages: &[
            ("GET /l?q=1", "", r#"{"r": FIRST, "next": "x&y"}"#),
            ("GET /l?q=1&c=x%26y", "", r#"{"r": LAST, "next": ""}"#),
        ],
    },
    Kind {
        list: "path = \"/l\"\nrows = \"\"\npaging = { kind = \"link\" }",
        pages: &[
            ("GET /l", r#"<BASE/l?p=2>; rel="next""#, "FIRST"),
            ("GET /l?p=2", r#"<BASE/l>; rel="first""#, "LAST"),
        ],
    },
    Kind {
        list: "path = \"/l\"\nrows = \"/r\"\npaging = { kind = \"next\", at = \"/next\" }",
        pages: &[
            // A proxy in front of the API makes another scheme and port.
            (
                "GET /l",
                "",
                r#"{"r": FIRST, "next": "https://127.0.0.1:9/other?p=2"}"#,
            ),
            ("GET /other?p=2", "", r#"{"r": LAST, "next": null}"#),
        ],
    },
    Kind {
        list: "path = \"/l\"\nrows = \"/r\"\npaging = { kind = \"next\", at = \"/next\", follow = \"query\" }",
        pages: &[
            (
                "GET /l",
                "",
                r#"{"r": FIRST, "next": "https://elsewhere.example/other?p=2"}"#,
            ),
            ("GET /l?p=2", "", r#"{"r": LAST}"#),
        ],
    },
    Kind {
        list: "path = \"/l\"\nrows = \"/r\"\npaging = { kind = \"page\", parameter = \"p\" }",
        pages: &[
            ("GET /l?p=1", "", r#"{"r": FIRST}"#),
            ("GET /l?p=2", "", r#"{"r": LAST}"#),
            ("GET /l?p=3", "", r#"{"r": []}"#),
        ],
    },
    Kind {
        list: r#"path = "/l"
                 rows = "/r"
                 page = { parameter = "n", rows = 2 }
                 paging = { kind = "page", parameter = "p", first = 0, total = "/t" }"#,
        pages: &[
            ("GET /l?p=0&n=2", "", r#"{"r": FIRST, "t": 3}"#),
            ("GET /l?p=1&n=2", "", r#"{"r": LAST, "t": 3}"#),
        ],
    },
    Kind {
        list: "path = \"/l\"\nrows = \"/r\"\npaging = { kind = \"offset\", parameter = \"o\" }",
        pages: &[
            ("GET /l?o=0", "", r#"{"r": FIRST}"#),
            ("GET /l?o=2", "", r#"{"r": LAST}"#),
            ("GET /l?o=3", "", r#"{"r": []}"#),
        ],
    },
    Kind {
        list: "path = \"/l\"\nrows = \"/r\"\npaging = { kind = \"offset\", parameter = \"o\", total = \"/t\" }",
        pages: &[
            ("GET /l?o=0", "", r#"{"r": FIRST, "t": "3"}"#),
            ("GET /l?o=2", "", r#"{"r": LAST, "t": "3"}"#),
        ],
    },
];

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn each_kind_of_paging_feeds_list_a_batch_and_a_mirror() {
    for kind in &KINDS {
        let service = TableService::start(&table(kind.list));
        let set = |last: &Value| {
            for (request, link, json) in kind.pages {
                let json = json.replace("FIRST", &rows(&["a", "b"]).to_string());
                let json = json.replace("LAST", &last.to_string());
                service.linked(request, link, serde_json::from_str(&json).unwrap());
            }
        };
        set(&rows(&["c"]));
        let requests: Vec<&str> = kind.pages.iter().map(|(request, ..)| *request).collect();
        let (ids, seen) = service.ids(&["list", "acme", "--ids"]);
        assert_eq!((ids.as_str(), seen), ("a b c ", owned(&requests)));
        let (run, _) = service.run(&["list", "acme", "--json"]);
        let first = json!({"provider": "acme", "id": "a", "name": "a.txt", "size": 1, "modified": "2026-01-01T00:00:00Z"});
        assert_eq!(run.exits(0).records()[0], first);
        let input = ids.replace(' ', "\n");
        let run = service
            .world
            .run_with_input(&["acme", "-", "-d", "batch", "--name", "{id}"], &input);
        run.exits(0);
        assert_eq!(service.world.read("batch/c"), b"c");

        service.run(&["sync", "acme", "m"]).0.exits(0);
        assert_eq!(service.world.read("m/c.txt"), b"c");
        let (run, seen) = service.run(&["sync", "acme", "m"]);
        assert_eq!(run.exits(0).stdout.lines().count(), 3);
        assert_eq!(
            seen,
            owned(&requests),
            "a document was requested: {}",
            kind.list
        );
        let mut changed = rows(&["c"]);
        changed[0]["at"] = json!("2026-02-02T00:00:00Z");
        set(&changed);
        let (run, seen) = service.run(&["sync", "acme", "m"]);
        run.exits(0);
        let fetched: Vec<_> = seen.iter().filter(|seen| seen.contains("/s/")).collect();
        assert!(
            matches!(fetched[..], [one] if one.contains("/s/c?")),
            "{seen:?}"
        );
    }
}

#[test]
fn a_next_page_on_another_host_and_a_page_that_repeats_end_every_command_with_protocol() {
    let paging = "path = \"/l\"\nrows = \"/r\"\npaging = { kind = \"next\", at = \"/next\" }";
    let service = TableService::start(&table(paging));
    for (next, why) in [
        (
            "http://localhost:9/l?p=2",
            "the next page is on another host: localhost:9",
        ),
        ("BASE/l", "its pages lead to one another for ever"),
    ] {
        service.page("GET /l", json!({"r": rows(&["a"]), "next": next}));
        for arguments in [&["list", "acme", "--ids"][..], &["sync", "acme", "m"]] {
            let (run, seen) = service.run(arguments);
            run.exits(5).says(why);
            assert!(
                seen.iter().all(|request| !request.contains("?p=2")),
                "{seen:?}"
            );
        }
    }
}

const LAB: &str = r#"
[providers.lab]
base    = "BASE"
id      = ["org", "project", "file"]
auth    = { type = "none" }
resolve = { method = "POST", path = "/pay/{org}/{project}/{file}", json = { what = "{project}" }, url = "/url", expires = { after = "1h" }, charged = true }
list    = { path = "/o/{org}/p/{project}", rows = "/r", id = "/id", name = "/n", scope = ["org", "project"] }

[providers.tree]
base    = "BASE"
id      = ["top", "path*"]
auth    = { type = "none" }
resolve = { path = "/dl/{top}/{path}", url = "redirect" }
list    = { path = "/tree", rows = "", id = ["/top", "/path"] }
"#;

#[test]
fn an_id_of_three_parts_with_blanks_and_slashes_is_one_paid_document_everywhere() {
    let id = "a b/c%2Fd/e";
    let service = TableService::start(LAB);
    let paid = r#"POST /pay/a%20b/c%2Fd/e {"what":"c/d"}"#;
    service.page(
        paid,
        json!({"url": presigned(&service.raw.base(), "/s/x.bin")}),
    );
    let (run, seen) = service.run(&["lab", id, "--json"]);
    assert_eq!(run.exits(0).records()[0]["id"], id);
    assert_eq!(seen[0], paid);
    // The recorded URL serves each further command.
    for arguments in [
        &["lab", id, "-o", "q/z.bin"][..],
        &["lab", id, "--name", "{id}"],
    ] {
        let (run, seen) = service.run(arguments);
        run.exits(0);
        assert_eq!(seen.len(), 1, "{seen:?}");
    }
    assert_eq!(service.world.read("q/z.bin"), b"x.bin");
    assert_eq!(service.world.read("a b_c%2Fd_e"), b"x.bin");
    let (run, _) = service.run(&["ledger", "list", "--json"]);
    assert_eq!(run.exits(0).records()[0]["id"], id);
    service.run(&["ledger", "forget", "lab", id]).0.exits(0);
    assert_eq!(service.run(&["ledger", "list"]).0.stdout, "");
    for (wrong, why) in [
        ("a b/c/d/e", "3 parts"),
        ("a b/../e", "stand for folders"),
        ("a b//e", "empty"),
    ] {
        service.run(&["lab", wrong]).0.exits(2).says(why);
    }
}

#[test]
fn a_scope_fills_the_routes_and_the_first_parts_of_ids_and_is_needed_where_the_table_has_one() {
    let service = TableService::start(LAB);
    let list = "GET /o/a%20b/p/c%2Fd";
    service.page(
        list,
        json!({"r": [{"id": "e", "n": "e.txt"}, {"id": "f g/h"}, {"id": 7}]}),
    );
    let place = "a b/c%2Fd";
    let (ids, seen) = service.ids(&["list", "lab", "--in", place, "--ids"]);
    assert_eq!(ids, "a b/c%2Fd/e a b/c%2Fd/f g%2Fh a b/c%2Fd/7 ");
    assert_eq!(seen, [list]);
    for (arguments, why) in [
        (&["list", "lab"][..], "needs --in ORG/PROJECT"),
        (&["sync", "lab", "m"], "needs --in ORG/PROJECT"),
        (&["list", "lab", "--in", "a"], "2 parts"),
        (&["list", "lab", "--in", "a/.."], "stand for folders"),
        (&["list", "tree", "--in", "a"], "has no --in"),
        (&["lab", "a/b/c", "--in", "a/b"], "no option '--in'"),
    ] {
        let (run, seen) = service.run(arguments);
        run.exits(2).says(why);
        assert_eq!(seen.len(), 0);
    }
}

#[test]
fn the_rest_of_an_id_keeps_its_slashes_from_the_list_to_the_mirror() {
    let service = TableService::start(LAB);
    service.page(
        "GET /tree",
        json!([{"top": "t/u", "path": "x y/z%.txt"}, {"top": "t", "path": "x/../z"}]),
    );
    let id = "t%2Fu/x y/z%.txt";
    let (run, _) = service.run(&["list", "tree", "--ids"]);
    assert_eq!(run.exits(0).says("stand for folders").stdout.trim_end(), id);
    let run = service
        .world
        .run_with_input(&["tree", "-", "-o", "one"], id);
    run.exits(0);
    assert_eq!(service.world.read("one"), b"t%2Fu/x%20y/z%25.txt");
    let (run, _) = service.run(&["sync", "tree", "m", "--name", "{id}"]);
    run.exits(5);
    assert_eq!(
        service.world.read("m/t%2Fu_x y_z%.txt"),
        b"t%2Fu/x%20y/z%25.txt"
    );
}
