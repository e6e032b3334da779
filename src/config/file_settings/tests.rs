use super::*;
use crate::config::toml_file::TomlFile;

fn option(name: &str, kind: ValueKind, repeats: bool) -> OptionKey {
    OptionKey {
        name: name.to_owned(),
        kind,
        repeats,
    }
}

fn parse(text: &str) -> Result<FileSettings> {
    let check = |name: &str, texts: &[String]| {
        let is_wrong = name == "jobs" && texts[0] == "0";
        if is_wrong {
            return Err("a number from 1 on is expected".to_owned());
        }
        Ok(())
    };
    let keys = ConfigKeys {
        options: vec![
            option("jobs", ValueKind::Number, false),
            option("json", ValueKind::Switch, false),
            option("proxy", ValueKind::Text, false),
            option("tag", ValueKind::Text, true),
        ],
        other_options: vec![OtherOption {
            name: "output".to_owned(),
            variable: Some("DOCFETCH_OUTPUT".to_owned()),
        }],
        providers: vec!["graph"],
        parameters: &|provider| {
            assert_eq!(provider, "graph", "this provider is not of the user");
            vec!["tenant".to_owned()]
        },
        check: &check,
    };
    let file = TomlFile::new("c.toml", text);
    let parsed = file.parse()?;
    FileSettings::parse(&file.root(&parsed), &keys)
}

#[track_caller]
fn error(text: &str) -> Error {
    let error = parse(text).unwrap_err();
    assert_eq!(error.code(), crate::Code::Config);
    error
}

#[test]
fn a_section_wins_over_the_whole_file() {
    let settings = parse("jobs = 0x10\njson = true\n[graph]\njobs = 2\ntenant = \"t\"").unwrap();
    let text = |provider, name| {
        let found = settings.get(provider, name);
        found.map(|setting| (setting.texts.join(","), setting.line))
    };
    assert_eq!(text(None, "jobs"), Some(("16".into(), 1)));
    assert_eq!(text(Some("graph"), "jobs"), Some(("2".into(), 4)));
    assert_eq!(text(Some("other"), "jobs"), Some(("16".into(), 1)));
    assert_eq!(text(Some("graph"), "json"), Some(("true".into(), 2)));
    assert_eq!(text(Some("graph"), "tenant"), Some(("t".into(), 5)));
    assert!(settings.is_of_section(Some("graph"), "jobs"));
    assert!(!settings.is_of_section(Some("graph"), "json"));
    assert_eq!(settings.providers().collect::<Vec<_>>(), ["graph"]);
}

#[test]
fn an_array_is_for_options_that_repeat() {
    let settings = parse("tag = [\"a\", \"b\"]").unwrap();
    assert_eq!(settings.get(None, "tag").unwrap().texts, ["a", "b"]);
    let why = error("jobs = [1]").cause().unwrap().to_owned();
    assert_eq!(why, "a whole number is expected, and it is an array");
}

#[test]
fn a_table_of_the_user_has_a_section_with_its_parameters() {
    let table = "[providers.acme]\nparameters = { region = { required = true } }\n";
    let settings = parse(&format!("{table}[acme]\nregion = \"eu\"")).unwrap();
    assert_eq!(settings.section("acme")[0].name, "region");
    let wrong = error(&format!("{table}[acme]\nregiom = \"eu\""));
    assert_eq!(
        wrong.what(),
        "c.toml, line 4: the key \"acme.regiom\" is unknown"
    );
    assert_eq!(wrong.hint(), "the nearest key is \"region\"");
    parse(&format!("{table}[profiles.x]\nregion = \"eu\"\njobs = 1")).unwrap();
    error("[acme]\njobs = 1");
    error("region = \"eu\"");
}

#[test]
fn a_table_that_cannot_be_used_does_not_stop_other_settings() {
    for name in ["providers", "profiles", "jobs", "acme"] {
        let settings = parse(&format!("jobs = 8\n[providers.{name}]\nbase = \"x\""));
        assert!(settings.unwrap().get(None, "jobs").is_some(), "{name}");
    }
    parse("[providers]\na = 1").unwrap();
}

#[test]
fn an_unknown_key_has_a_remedy() {
    for (text, what, hint) in [
        ("job = 1", "\"job\" is unknown", "\"jobs\""),
        ("[grahp]\njobs = 1", "\"grahp\" is unknown", "\"graph\""),
        ("[graph]\noutput = 1", "--output is no", "DOCFETCH_OUTPUT"),
        ("ONE_CODEX_API_KEY = 1", "names a credential", "_FILE"),
        (
            "[profiles.a]\n\"client secret\" = 1",
            "names a credential",
            "_FILE",
        ),
        ("[credentials]\na = 1", "names a credential", "_FILE"),
    ] {
        let error = error(text);
        assert!(error.what().contains(what), "{error:?}");
        assert!(error.hint().contains(hint), "{error:?}");
    }
}

#[test]
fn a_wrong_value_is_named_with_its_line() {
    for (text, line) in [
        ("\njobs = 0", 2),
        ("jobs = true", 1),
        ("json = 1", 1),
        ("json = 2026-01-01", 1),
        ("proxy = 3128", 1),
        ("[graph]\njobs = 1\njson = {}", 3),
        ("graph = 1", 1),
        ("[profiles]\na = 1", 2),
        ("profiles = 1", 1),
        ("providers = []", 1),
    ] {
        let what = error(text).what().to_owned();
        let start = format!("c.toml, line {line}: the value of ");
        assert!(what.starts_with(&start), "{what}");
    }
}

#[test]
fn a_proxy_with_a_password_is_refused() {
    let error = error("[graph]\nproxy = \"http://u:p@h:1\"");
    assert!(error.what().contains("line 2"), "{error:?}");
    assert!(error.hint().contains("DOCFETCH_PROXY"), "{error:?}");
    parse("proxy = \"http://h:1\"").unwrap();
}
