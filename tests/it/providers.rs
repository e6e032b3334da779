//! `docfetch providers`: which tables docfetch knows, and their text.

use crate::support::World;
use crate::support::services::Service;
use crate::terminal::on_a_terminal;
use serde_json::{Value, json};
use std::fs;

/// A world whose configuration file is `text`.
fn configured(text: &str) -> World {
    let mut world = World::bare();
    configure(&mut world, text);
    world
}

fn configure(world: &mut World, text: &str) {
    let path = world.home().join("own.toml");
    fs::write(&path, text).unwrap();
    world.set("DOCFETCH_CONFIG", path.to_str().unwrap());
}

/// The names of the tables that docfetch ships.
fn shipped() -> Vec<String> {
    let records = World::bare().run(&["providers", "--json"]);
    let records = records.exits(0).records();
    let names = records
        .iter()
        .map(|record| record["name"].as_str().unwrap());
    names.map(str::to_owned).collect()
}

const USER_TABLES: &str = "\
jobs = 2

# Documents of Acme.
[providers.acme]
title   = \"Acme Documents\"
base    = \"https://api.acme.example/v2\"
auth    = { type = \"oauth\", token = \"/oauth/token\" }
resolve = { path = \"/files/{id}/download\", url = \"redirect\" }

[providers.lab]
base    = \"https://lab.example\"
auth    = [{ type = \"bearer\" }, { type = \"header\", name = \"X-Key\", file = { home = \".lab\", api_key = \"/key\" } }]
resolve = { method = \"POST\", path = \"/files/{id}\", url = \"/url\", charged = true }
[providers.lab.headers]
Lab = \"1\"

[sm]
jobs = 3

[providers.broken]
base = \"https://broken.example\"
resolv = 1
";

#[test]
fn providers_are_listed_with_their_charges_credentials_and_source() {
    let world = configured(USER_TABLES);
    let run = world.run(&["providers", "--json"]);
    let records = run.exits(0).records();
    let of = |name: &str| -> &Value {
        let mut found = records.iter().filter(|record| record["name"] == name);
        let record = found.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(found.next().is_none() && record["type"] == "provider");
        record
    };
    let expected = json!({
        "type": "provider", "name": "lab", "title": "lab", "charges": true,
        "credentials": "LAB_TOKEN, LAB_API_KEY or ~/.lab", "source": "file", "line": 10, "error": null,
    });
    assert_eq!(of("lab"), &expected);
    assert_eq!(
        of("acme")["credentials"],
        "ACME_CLIENT_ID and ACME_CLIENT_SECRET"
    );
    assert_eq!(of("acme")["charges"], false);
    assert_eq!(of("onecodex")["source"], "shipped");
    assert_eq!(of("onecodex")["line"], Value::Null);
    let broken = of("broken");
    assert_eq!(broken["title"], Value::Null);
    assert_eq!(broken["error"]["code"], "config");
    let why = broken["error"]["message"].as_str().unwrap();
    assert!(why.contains("own.toml, line 22: the key \"providers.broken.resolv\""));
    run.says("the nearest key is \"resolve\"");

    let lines = world.run(&["providers"]).exits(0).stdout.clone();
    let mut rows = lines
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>());
    assert!(rows.all(|row| row.len() == 5), "{lines}");
    assert!(lines.contains(
        "onecodex\tOne Codex\tyes\tONE_CODEX_BEARER_TOKEN, ONE_CODEX_API_KEY or ~/.onecodex\tshipped\n"
    ));
    assert!(lines.contains("broken\t\terror\t\tline 20\n"), "{lines}");

    let (code, screen) = on_a_terminal(world.command(&["providers"]));
    assert_eq!(code, 0);
    assert!(
        screen.contains("NAME") && screen.contains("SOURCE"),
        "{screen}"
    );
    assert!(!screen.contains('\t'), "{screen}");
}

#[test]
fn the_users_own_table_is_printed_as_the_user_wrote_it() {
    let world = configured(USER_TABLES);
    let lab = world.run(&["providers", "show", "lab"]);
    let begin = USER_TABLES.find("[providers.lab]").unwrap();
    let end = USER_TABLES.find("[sm]").unwrap();
    assert_eq!(
        lab.exits(0).stdout.trim_end(),
        USER_TABLES[begin..end].trim_end()
    );
    let acme = world.run(&["providers", "show", "acme"]);
    assert!(
        acme.exits(0)
            .stdout
            .starts_with("# Documents of Acme.\n[providers.acme]\n")
    );
    let broken = world.run(&["providers", "show", "broken"]);
    assert!(broken.exits(0).stdout.contains("resolv = 1"));
}

#[test]
fn an_unknown_name_is_wrong_usage_with_the_nearest_name() {
    let world = configured(USER_TABLES);
    let run = world.run(&["providers", "show", "onecodx"]);
    run.exits(2)
        .says("there is no provider \"onecodx\"")
        .says("acme")
        .says("the nearest name is \"onecodex\"");
    let run = world.run(&["providers", "shoow"]);
    run.exits(2).says("a similar command is 'show'");
}

#[test]
fn a_broken_file_leaves_the_shipped_tables() {
    for text in [
        "[providers",
        "providers = 3",
        "nonsense = 1\n",
        "[providers]\nsm = 3",
    ] {
        let world = configured(text);
        let run = world.run(&["providers"]);
        assert!(
            run.exits(0).stdout.contains("onecodex\tOne Codex"),
            "{text}"
        );
        run.says("own.toml, line");
        let shown = world.run(&["providers", "show", "onecodex"]);
        assert!(shown.exits(0).stdout.contains("[providers.onecodex]"));
        let unknown = world.run(&["providers", "show", "acme"]);
        unknown.exits(2).says(if text == "nonsense = 1\n" {
            "nonsense"
        } else {
            ""
        });
    }
}

/// What a run tells, without its folder.
fn told(world: &World, arguments: &[&str]) -> (i32, String, String) {
    let run = world.run(arguments);
    let home = world.home().display().to_string();
    let text = |text: &str| {
        let lines = text.replace(&home, "");
        let without_times = lines
            .lines()
            .map(|line| line.split(r#","elapsed_ms""#).next().unwrap());
        without_times.collect::<Vec<_>>().join("\n")
    };
    (run.code, text(&run.stdout), text(&run.stderr))
}

#[test]
fn every_shipped_table_behaves_the_same_when_it_is_pasted_into_the_file() {
    let names = shipped();
    assert!(names.len() >= 2);
    for name in names {
        let (service, _) = Service::with("x.bin", 1000, &[]);
        let plain = service.world();
        let shown = plain.run(&["providers", "show", &name]);
        let text = shown.exits(0).stdout.clone();
        assert!(text.starts_with(&format!("[providers.{name}]\n")), "{text}");
        let mut pasted = service.world();
        configure(&mut pasted, &format!("{text}\n[{name}]\njobs = 2\n"));
        let again = pasted.run(&["providers", "show", &name]);
        assert_eq!(again.exits(0).stdout, text, "{name}");
        let rows = pasted.run(&["providers", "--json"]);
        let records = rows.exits(0).records();
        let row = records
            .iter()
            .find(|row| row["name"] == name.as_str())
            .unwrap();
        assert_eq!((&row["line"], &row["error"]), (&json!(1), &Value::Null));
        for arguments in [
            &[&*name, "doc1", "--dry-run", "--json", "--retries", "0"][..],
            &[&*name, "--help"],
            &["list", &*name, "--json", "--retries", "0"],
        ] {
            assert_eq!(told(&pasted, arguments), told(&plain, arguments), "{name}");
        }
    }
}

#[test]
fn the_comments_of_a_shipped_table_are_printed() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/provider/tables/onecodex.toml"
    );
    let written = fs::read_to_string(file).unwrap();
    let shown = World::bare().run(&["providers", "show", "onecodex"]);
    let shown = shown.exits(0).stdout.clone();
    for line in written.lines().filter(|line| line.starts_with('#')) {
        assert!(shown.contains(line), "{line}");
    }
    assert!(shown.contains("\n[providers.onecodex.list.filters]\n"));
    assert!(shown.contains("\n[[providers.onecodex.resources]]\n"));
    assert!(shown.contains("\n[providers.onecodex.resources.lookup.tag]\n"));
}
