//! Tables of the user with the real binary: waits, options, filters, parameters, names, and the values of rows.

use crate::support::raw::{Raw, presigned, reply, serve};
use crate::support::table_service::TableService;
use crate::support::{Run, World};
use serde_json::json;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[test]
fn a_document_that_is_not_ready_twice_is_waited_for_as_long_as_the_user_says() {
    let base = Arc::new(Mutex::new(String::new()));
    let own = Arc::clone(&base);
    let raw = Raw::start(move |request, stream| {
        if request.path().starts_with("/s/") {
            return serve(request, stream, b"content", "\"v1\"");
        }
        if request.before < 2 {
            return reply(
                stream,
                "202 Accepted",
                &[("Retry-After", "2")],
                b"{\"state\":\"queued\"}",
            );
        }
        let url = presigned(&own.lock().unwrap(), "/s/x");
        reply(stream, "302 Found", &[("Location", &url)], b"");
    });
    *base.lock().unwrap() = raw.base();
    let table = "[providers.slow]\nbase = \"BASE\"\nauth = { type = \"none\" }\n\
                 resolve = { path = \"/dl/{id}\", url = \"redirect\", not_ready = [202] }\n";
    let table = table.replace("BASE", &raw.base());
    let start = |settings: &str| {
        let mut world = World::bare();
        fs::create_dir_all(world.home().join("given")).unwrap();
        let file = world.home().join("given/config.toml");
        fs::write(&file, format!("{settings}\n{table}")).unwrap();
        world.set("DOCFETCH_CONFIG", file.to_str().unwrap());
        world
    };
    let run = start("").run(&["slow", "none", "--json"]);
    assert_eq!(run.exits(5).error_code(), "not_ready");
    run.says("pass --wait");
    let waited = |run: Run| assert!(run.exits(0).elapsed >= Duration::from_secs(4), "{run:?}");
    std::thread::scope(|scope| {
        scope.spawn(|| waited(start("").run(&["slow", "a", "--wait", "1m"])));
        scope
            .spawn(|| waited(start("").run(&["slow", "b", "c", "--wait", "1m", "--name", "{id}"])));
        scope.spawn(|| waited(start("wait = \"1m\"").run(&["slow", "d"])));
        scope.spawn(|| waited(start("[slow]\nwait = \"1m\"").run(&["slow", "e"])));
        scope.spawn(|| {
            let mut world = start("");
            waited(world.set("DOCFETCH_WAIT", "1m").run(&["slow", "f"]));
        });
        scope.spawn(|| {
            let run = start("").run(&["slow", "g", "--wait", "1s"]);
            run.exits(5).says("pass a longer --wait");
        });
    });
}

const TEAMS: &str = r#"
[providers.acme]
base    = "BASE"
auth    = { type = "none" }
resolve = { path = "/dl/{id}", url = "redirect" }

[providers.acme.list]
path     = "/l"
rows     = "/r"
id       = "/id"
name     = "/name"
size     = "/size"
fields   = { team_id = "/team", state = "/state", tags = "/tags/*/ref" }

[providers.acme.list.filters]
match       = "q"
larger-than = { parameter = "where", field = "size", operator = "$gte" }
team_id     = { parameter = "where", json = { team = { "$eq" = "{value}" } } }
tags        = { parameter = "tags", json = { all = ["{value}"] } }
state       = { parameter = "state" }

[providers.acme.options]
team  = { field = "team_id", resolve = "team" }
state = { field = "state", values = ["done", "todo"] }
tag   = { field = "tags" }

[providers.acme.lookup.team]
path   = "/teams"
rows   = "/t"
id     = "/id"
name   = "/name"
field  = "team_id"
paging = { kind = "cursor", at = "/next", parameter = "c" }
"#;

fn with_teams() -> TableService {
    let service = TableService::start(TEAMS);
    service.page(
        "GET /teams",
        json!({"t": [{"id": 1, "name": "Red/Team"}], "next": 2}),
    );
    service.page(
        "GET /teams?c=2",
        json!({"t": [{"id": "2", "name": "Blue"}, {"id": "3", "name": "Blue"}]}),
    );
    service
}

/// The rows of the list of teams' documents.
fn documents() -> serde_json::Value {
    json!({"r": [
        {"id": "a", "name": "A", "size": 1, "team": 1, "state": "done", "tags": [{"ref": "x"}, {"ref": "y"}]},
        {"id": "b", "name": "B", "size": 3000, "team": "2", "state": "todo", "tags": []},
        {"id": "c", "name": "C", "team": null},
    ]})
}

#[test]
fn options_and_filters_of_a_table_go_to_the_server_in_its_form_and_are_compared_here_too() {
    let service = with_teams();
    // The server ignores each filter: only docfetch drops the other rows.
    for (arguments, request, ids) in [
        (
            &["--team", "Red/Team"][..],
            r#"where={"team":{"$eq":"1"}}"#,
            "a ",
        ),
        (&["--team", "3"], r#"where={"team":{"$eq":"3"}}"#, ""),
        (&["--state", "todo"], "state=todo", "b "),
        (
            &["--tag", "x", "--tag", "y"],
            r#"tags={"all":["x","y"]}"#,
            "a ",
        ),
        (&["--where", "tags=y"], r#"tags={"all":["y"]}"#, "a "),
        (&["--match", "c"], "q=c", "c "),
        (
            &["--larger-than", "2K"],
            r#"where={"size":{"$gte":2048}}"#,
            "b ",
        ),
        (&["--where", "team=Blue"], "", "b "),
        (&["--where", "team_id="], "", "c "),
    ] {
        let mut url = url::Url::parse("http://h/l").unwrap();
        if let Some((name, value)) = request.split_once('=') {
            url.query_pairs_mut().append_pair(name, value);
        }
        let query = url
            .query()
            .map_or_else(String::new, |query| format!("?{query}"));
        let target = format!("GET /l{query}");
        service.page(&target, documents());
        let (found, seen) = service.ids(&[&["list", "acme", "--ids"], arguments].concat());
        assert_eq!(found, ids, "{arguments:?} {seen:?}");
        assert!(seen.contains(&target), "{arguments:?} {seen:?}");
    }
    for (arguments, why) in [
        (["--team", "Blue"], "2 teams of the name"),
        (["--team", "none"], "knows no team"),
        (["--state", "other"], "done or todo is expected"),
        (["--since", "2026-01-01"], "acme has no filter --since"),
        (["--until", "2026-01-01"], "acme has no filter --until"),
        (["--where", "color=red"], "have no field \"color\""),
        (["--company", "1"], "acme has no filter --company"),
    ] {
        for command in [&["list", "acme"][..], &["sync", "acme", "m"]] {
            let (run, seen) = service.run(&[command, &arguments].concat());
            run.exits(2).says(why);
            assert!(!seen.iter().any(|seen| seen.contains("/l")), "{seen:?}");
        }
    }
}

#[test]
fn folders_have_the_names_of_a_side_list_and_no_transfer_starts_without_it() {
    let service = with_teams();
    service.page("GET /l", documents());
    let name = ["sync", "acme", "m", "--name", "{team}/{state}/{id}"];
    service.run(&name).0.exits(0);
    for path in ["m/Red_Team/done/a", "m/Blue/todo/b", "m/_/_/c"] {
        assert!(service.world.out().join(path).exists(), "{path}");
    }
    let broken = TableService::start(TEAMS);
    broken.page("GET /l", documents());
    for arguments in [
        &["sync", "acme", "m", "--name", "{team}/{id}"][..],
        &["sync", "acme", "m", "--where", "team=Blue"],
    ] {
        let (run, seen) = broken.run(arguments);
        run.exits(4)
            .says("--name or --where needs the team of each row");
        assert!(!seen.iter().any(|seen| seen.contains("/dl/")), "{seen:?}");
    }
    let (run, _) = broken.run(&["list", "acme", "--json"]);
    let rows = run
        .exits(0)
        .says("does not know the names of teams")
        .records();
    assert!(rows.iter().all(|row| row["team"].is_null()));
}

const TENANTS: &str = r#"
[providers.gr]
base       = "BASE"
auth       = { type = "none" }
parameters = { tenant = { required = true }, region = {} }
list       = { path = "/t/{tenant}/l", rows = "", id = "/id" }

[providers.gr.resolve]
method  = "POST"
path    = "/t/{tenant}/{id}"
query   = { r = "{region}" }
headers = { X-Tenant = "{tenant}" }
json    = { tenant = "{tenant}" }
url     = "/url"
expires = { after = "1h" }
charged = true
"#;

#[test]
fn a_parameter_stands_in_every_part_of_a_request_and_two_tenants_share_no_record() {
    let mut service = TableService::start(TENANTS);
    let url = json!({"url": presigned(&service.raw.base(), "/s/x")});
    let paid = |tenant: &str, path: &str, region: &str| {
        format!(r#"POST /t/{path}/i?r={region} {{"tenant":"{tenant}"}}"#)
    };
    let of = [
        paid("a b/c", "a%20b%2Fc", "eu"),
        paid("file", "file", ""),
        paid("other", "other", ""),
    ];
    for request in &of {
        service.page(request, url.clone());
    }
    for arguments in [
        &["gr", "i"][..],
        &["list", "gr"],
        &["sync", "gr", "m"],
        &["url", "gr", "i"],
    ] {
        let (run, seen) = service.run(arguments);
        run.exits(2).says("GR_TENANT is not set");
        assert_eq!(seen.len(), 0);
    }
    service.configure(&format!("{TENANTS}\n[gr]\ntenant = \"file\"\n"));
    let (run, seen) = service.run(&["gr", "i", "-d", "1"]);
    run.exits(0);
    assert_eq!(seen[0], of[1]);
    service
        .world
        .set("GR_TENANT", "a b/c")
        .set("GR_REGION", "eu");
    let (run, seen) = service.run(&["gr", "i", "-d", "2"]);
    run.exits(0);
    assert_eq!(seen[0], of[0]);
    let header = service
        .raw
        .seen()
        .into_iter()
        .rev()
        .find(|seen| seen.method == "POST");
    assert_eq!(header.unwrap().header("x-tenant"), Some("a b/c"));
    let (run, seen) = service.run(&["gr", "i", "-d", "3"]);
    run.exits(0);
    assert_eq!(seen.len(), 1, "the record of this tenant is used: {seen:?}");
    let (run, _) = service.run(&["ledger", "list"]);
    assert_eq!(run.exits(0).stdout.lines().count(), 2);
    // The parameters in force choose the record, as the credentials do.
    let forget = ["ledger", "forget", "gr", "i"];
    service.run(&forget).0.exits(2).says("2 records match");
    let base = service.raw.base();
    let (run, _) = service.run(&[&forget[..], &["--base", &base]].concat());
    run.exits(0);
    let (run, seen) = service.run(&["gr", "i", "-d", "4"]);
    run.exits(0);
    assert_eq!(
        seen[0], of[0],
        "the record of the other tenant is forgotten"
    );
}

#[test]
fn a_parameter_that_would_change_the_route_is_refused_before_any_request() {
    for wrong in [".", "..", "a\nb"] {
        let mut service = TableService::start(TENANTS);
        service.world.set("GR_TENANT", wrong);
        let (run, seen) = service.run(&["gr", "i"]);
        run.exits(2)
            .says("the value of the parameter")
            .says("correct GR_TENANT");
        assert_eq!(seen.len(), 0);
    }
    // Two values of one segment are a folder together.
    let table = TENANTS.replace("/t/{tenant}/{id}", "/t/{region}.{tenant}./{id}");
    let mut service = TableService::start(&table);
    service.world.set("GR_TENANT", "t");
    let json = table.replace("{region}.{tenant}.", "{region}.{region}.");
    service.configure(&json);
    let (run, seen) = service.run(&["gr", "i"]);
    run.exits(2).says("stand for folders");
    assert_eq!(seen.len(), 0);
}

/// The table of a provider that resolves.
fn good(name: &str) -> String {
    format!(
        "[providers.{name}]\nbase = \"BASE\"\nauth = {{ type = \"none\" }}\n\
         resolve = {{ path = \"/dl/{{id}}\", url = \"redirect\" }}\n"
    )
}

#[test]
fn a_table_that_cannot_be_used_stops_no_other_command_and_is_an_error_where_it_is_named() {
    let names = [
        "list",
        "\"Bad Name\"",
        "docfetch",
        "providers",
        "profiles",
        "a_b",
        "jobs",
    ];
    for name in names {
        let service = TableService::start(&format!("{}{}", good(name), good("good")));
        service.run(&["good", "g"]).0.exits(0);
        let (run, _) = service.run(&["list", name.trim_matches('"')]);
        run.exits(2).says("config.toml, line 1").says("why: ");
        assert!(!run.stderr.contains("is expected"), "{run:?}");
    }
    let bad = good("bad").replace("path =", "pathh =");
    for (bad, line) in [
        (bad.as_str(), "line 8"),
        ("[providers]\nbad = 3\n", "line 6"),
    ] {
        let toml = match bad.strip_prefix("[providers]\n") {
            Some(value) => format!("{}[providers]\n{value}", good("good")),
            None => format!("{}{bad}", good("good")),
        };
        let service = TableService::start(&toml);
        service.run(&["good", "g"]).0.exits(0);
        for arguments in [
            &["bad", "x"][..],
            &["list", "bad"],
            &["sync", "bad", "m"],
            &["url", "bad", "x"],
        ] {
            service.run(arguments).0.exits(2).says(line);
        }
    }
}

#[test]
fn a_table_of_a_shipped_name_replaces_the_shipped_one_whole() {
    let service = TableService::start(&good("sm"));
    service.run(&["sm", "a"]).0.exits(0);
    service.run(&["list", "sm"]).0.exits(2).says("has no list");
    let service = TableService::start(&good("onecodex"));
    let (run, _) = service.run(&["onecodex", "a", "--json"]);
    assert!(run.exits(0).records()[1]["charges"].is_null());
    service
        .run(&["onecodex", "a", "--resource", "samples"])
        .0
        .exits(2);
}

#[test]
fn a_service_without_credentials_that_refuses_names_the_key_auth() {
    let refusing = Raw::start(|request, stream| {
        let status = if request.path() == "/dl/a" {
            "401 Unauthorized"
        } else {
            "403 Forbidden"
        };
        reply(stream, status, &[], b"{}");
    });
    let service = TableService::start(&good("acme").replace("BASE", &refusing.base()));
    service
        .run(&["acme", "a"])
        .0
        .exits(3)
        .says("correct the key auth");
    service
        .run(&["acme", "b"])
        .0
        .exits(4)
        .says("correct the key auth");
}

#[test]
fn rows_may_have_numbers_for_ids_text_for_sizes_and_times_since_1970() {
    let list = |form: &str| {
        let list = "list = { path = \"/l\", rows = \"\", id = \"/id\", name = \"/n\", size = \"/s\", modified = { at = \"/m\", as = \"FORM\" } }";
        format!("{}{}\n", good("v"), list.replace("FORM", form))
    };
    for (form, time, shown) in [
        ("unix", json!(1_767_225_600), "2026-01-01T00:00:00Z"),
        ("unix-ms", json!("1767225600250"), "2026-01-01T00:00:00.25Z"),
    ] {
        let service = TableService::start(&list(form));
        service.page(
            "GET /l",
            json!([
                {"id": 12_345_678_901_234_567_890_u64, "n": "../a\u{1b}[31m/b", "s": "2048", "m": time},
                {"id": 2, "n": 7, "s": "1e3", "m": 1e300, "junk": "z".repeat(2 << 20)},
                {"id": 6.5}, {"id": true}, null,
                {"id": "x".repeat(2000)}, {"id": 3, "n": "n".repeat(5000)},
            ]),
        );
        let (run, _) = service.run(&["list", "v", "--json"]);
        let rows = run.exits(0).records();
        assert_eq!(rows.len(), 2, "{run:?}");
        assert_eq!(
            (&rows[0]["id"], &rows[0]["size"]),
            (&json!("12345678901234567890"), &json!(2048))
        );
        assert_eq!(rows[0]["modified"], shown);
        assert_eq!(
            (&rows[1]["name"], &rows[1]["size"]),
            (&json!("7"), &json!(null))
        );
        assert!(rows[1]["modified"].is_null());
        let (run, _) = service.run(&["list", "v", "--since", "2025-12-31", "--ids"]);
        assert_eq!(run.exits(0).stdout, "12345678901234567890\n");
        assert_eq!(run.stderr.matches(" is not listed").count(), 5, "{run:?}");
        assert!(!run.stderr.contains('\u{1b}'));
    }
}
