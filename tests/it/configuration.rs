//! The configuration file, and `docfetch config`.

use crate::support::services::Service;
use crate::support::{Run, World, tools};
use crate::terminal::on_a_terminal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// Writes the configuration file at its default place, and returns its path.
fn configure(world: &World, text: impl AsRef<[u8]>) -> PathBuf {
    let folder = world.home().join(".config/docfetch");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("config.toml");
    fs::write(&path, text).unwrap();
    path
}

/// The settings that `docfetch config --json` shows, and its other record.
fn shown(run: &Run) -> (Value, Vec<Value>) {
    let mut records = run.exits(0).records();
    let file = records.remove(0);
    assert_eq!(file["type"], "config_file");
    assert!(records.iter().all(|record| record["type"] == "setting"));
    (file, records)
}

/// Value, source, variable and line of a setting.
#[track_caller]
fn setting(world: &World, name: &str, provider: Option<&str>) -> [Value; 4] {
    let (_, settings) = shown(&world.run(&["config", "--json"]));
    let mut found = settings
        .into_iter()
        .filter(|row| row["name"] == name && row["provider"] == json!(provider));
    let row = found.next().unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(found.next(), None);
    ["value", "source", "variable", "line"].map(|field| row[field].clone())
}

#[test]
fn a_flag_wins_over_a_variable_and_a_section_over_the_rest_of_the_file() {
    let (service, content) = Service::with("x.bin", 1000, &[]);
    let mut world = service.world();
    configure(
        &world,
        "output-dir = \"general\"\nif-exists = 'overwrite'\n[sm]\noutput-dir = \"section\"\n\
         [onecodex]\nname = \"{id}.one\"\n",
    );
    let path = |world: &World, arguments: &[&str]| {
        let run = world.run(arguments);
        run.exits(0).stdout.trim_end().to_owned()
    };
    for _ in 0..2 {
        assert_eq!(path(&world, &["sm", "doc1"]), "section/x.bin");
    }
    assert_eq!(path(&world, &["onecodex", "doc1"]), "general/doc1.one");
    world.set("DOCFETCH_OUTPUT_DIR", "variable");
    assert_eq!(path(&world, &["sm", "doc1"]), "variable/x.bin");
    assert_eq!(path(&world, &["sm", "doc1", "-d", "flag"]), "flag/x.bin");
    world.set("DOCFETCH_OUTPUT_DIR", "");
    assert_eq!(path(&world, &["sm", "doc1"]), "section/x.bin");
    assert_eq!(world.read("section/x.bin"), content);
}

#[test]
fn a_section_counts_where_an_argument_names_the_provider() {
    let (service, _) = Service::with("x.bin", 1000, &[]);
    let world = service.world();
    configure(
        &world,
        "[sm]\njson = true\n[onecodex]\nresource = \"samples\"",
    );
    let listed = world.run(&["list", "--match", "onecodex", "sm"]);
    assert_eq!(listed.exits(0).stdout, "");
    let listed = world.run(&["list", "--match", "x", "sm"]);
    assert_eq!(listed.exits(0).records()[0]["name"], "x.bin");
    let listed = world.run(&["list", "onecodex", "-v"]);
    listed.exits(0).says("/api/v1/samples");
    assert!(!listed.stdout.starts_with('{'), "{listed:?}");
    let run = world.run(&["sync", "sm", "mirror"]);
    assert_eq!(run.exits(0).records()[0]["type"], "document");
}

#[test]
fn every_option_with_a_variable_is_a_key_but_for_those_of_a_single_run() {
    let help = World::bare().run(&["onecodex", "--help"]);
    let options: Vec<String> = help
        .exits(0)
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")))
        .map(|option| option[2..].trim_end_matches(',').to_owned())
        .filter(|option| option != "help")
        .collect();
    assert!(options.len() >= 24, "{options:?}");
    let no_keys = ["from-file", "output", "sha256", "allow-recharge"];
    for option in &options {
        let world = World::new("http://127.0.0.1:1");
        configure(&world, format!("\n{option} = \"\u{fffd}{{nonsense}}\"\n"));
        let run = world.run(&["sm", "a", "--retries", "0"]);
        if no_keys.contains(&&**option) {
            let what = format!("config.toml, line 2: the option --{option} is no setting");
            run.exits(2).says(&what);
        } else if ["output-dir", "ca-cert", "manifest", "proxy"].contains(&&**option) {
            let [value, source, _, line] = setting(&world, option, None);
            assert_eq!(value, "\u{fffd}{nonsense}");
            assert_eq!((source, line), (json!("file"), json!(2)));
        } else {
            let what = format!("config.toml, line 2: the value of \"{option}\" cannot be used");
            run.exits(2).says(&what);
        }
    }
    for option in ["ids", "match", "where", "limit", "verify", "format", "base"] {
        let world = World::bare();
        configure(&world, format!("{option} = 1"));
        world
            .run(&["partials"])
            .exits(2)
            .says("line 1")
            .says(option);
    }
}

#[test]
fn the_file_has_a_place_and_a_variable_names_another_one() {
    let mut world = World::bare();
    let default = configure(&world, "retries = 1");
    let xdg = world.home().join("xdg");
    fs::create_dir_all(xdg.join("docfetch")).unwrap();
    fs::write(xdg.join("docfetch/config.toml"), "retries = 2").unwrap();
    let own = world.home().join("own.toml");
    fs::write(&own, "retries = 3").unwrap();
    let retries = |world: &World| setting(world, "retries", None)[0].clone();
    assert_eq!(retries(&world), "1");
    world.set("XDG_CONFIG_HOME", "relative");
    assert_eq!(retries(&world), "1");
    world.set("XDG_CONFIG_HOME", xdg.to_str().unwrap());
    assert_eq!(retries(&world), "2");
    world.set("DOCFETCH_CONFIG", "");
    assert_eq!(retries(&world), "2");
    world.set("DOCFETCH_CONFIG", own.to_str().unwrap());
    assert_eq!(retries(&world), "3");
    let (file, _) = shown(&world.run(&["config", "--json"]));
    assert_eq!(file["path"], own.to_str().unwrap());
    assert_eq!(file["variable"], "DOCFETCH_CONFIG");
    assert_eq!(file["state"], "read");
    world.set("DOCFETCH_CONFIG", "/dev/null");
    assert_eq!(retries(&world), "5");
    let run = world.run(&["partials"]);
    assert!(!run.exits(0).stderr.contains("ignores"), "{run:?}");
    world.set("DOCFETCH_CONFIG", "own.toml");
    let run = world.run(&["partials"]);
    run.exits(2).says("DOCFETCH_CONFIG is not an absolute path");
    world.set("DOCFETCH_CONFIG", "/nowhere/config.toml");
    let run = world.run(&["partials"]);
    run.exits(2).says("/nowhere/config.toml");
    run.says("correct or unset DOCFETCH_CONFIG");
    // A missing file at the default place is none.
    world
        .set("DOCFETCH_CONFIG", "")
        .set("XDG_CONFIG_HOME", "/nowhere");
    world.run(&["partials"]).exits(0);
    let (file, _) = shown(&world.run(&["config", "--json"]));
    assert_eq!(file["state"], "missing");
    // A link leads to the file.
    world.set("XDG_CONFIG_HOME", "");
    fs::remove_file(&default).unwrap();
    symlink(&own, &default).unwrap();
    assert_eq!(retries(&world), "3");
    let mut command = world.command(&["config"]);
    let without_home = command.env_remove("HOME").output().unwrap();
    assert!(
        without_home
            .stdout
            .starts_with(b"config-file\t\t\tdefault\n")
    );
}

#[test]
fn a_file_that_another_user_could_have_written_is_refused() {
    let world = World::bare();
    let path = configure(&world, "retries = 1");
    let user = rustix::process::geteuid().as_raw();
    let set = |mode: u32, owner: u32, group: u32| {
        std::os::unix::fs::chown(&path, Some(owner), Some(group)).is_ok()
            && fs::set_permissions(&path, fs::Permissions::from_mode(mode)).is_ok()
    };
    assert!(set(0o646, user, rustix::process::getegid().as_raw()));
    let run = world.run(&["partials"]);
    run.exits(2).says("every user can write the file");
    run.says("chmod go-w");
    let (file, settings) = shown(&world.run(&["config", "--json"]));
    assert_eq!(file["state"], "refused");
    assert_eq!(file["error"]["code"], "config");
    let retries = settings.iter().find(|row| row["name"] == "retries");
    assert_eq!(retries.unwrap()["value"], "5");
    if !set(0o664, user, user + 4711) {
        return println!("skipped: only root can give files away");
    }
    let run = world.run(&["partials"]);
    run.exits(2).says("a group of users can write the file");
    assert!(set(0o664, user, user));
    world.run(&["partials"]).exits(0);
    assert!(set(0o644, user, user + 4711));
    world.run(&["partials"]).exits(0);
    assert!(set(0o600, user + 4711, user));
    let run = world.run(&["partials"]);
    run.exits(2)
        .says("another user owns the file")
        .says("chown");
    fs::remove_file(&path).unwrap();
    for (kind, says) in [("mkdir", "it is a folder"), ("mkfifo", "it is a pipe")] {
        let made = world.run_of(kind, &[path.to_str().unwrap()]);
        made.exits(0);
        world.run(&["partials"]).exits(2).is_prompt().says(says);
        world.run_of("rm", &["-r", path.to_str().unwrap()]).exits(0);
    }
}

#[test]
fn a_byte_order_mark_and_crlf_are_accepted() {
    for text in [
        "\u{feff}jobs = 8\r\n[sm]\r\njobs = 9\r\n",
        "jobs = 8\r\n\r\n[sm] # nine\r\njobs = 9",
    ] {
        let world = World::bare();
        configure(&world, text);
        assert_eq!(setting(&world, "jobs", None)[0], "8");
        assert_eq!(setting(&world, "jobs", Some("sm"))[0], "9");
    }
}

/// Broken files: the text, the line that the error names (0 for none), and what the error says.
const BROKEN: [(&[u8], usize, &str); 57] = [
    // Misspelt.
    (b"job = 8", 1, "the nearest key is \"jobs\""),
    (b"\n\nretry_max_time = \"1m\"", 3, "\"retry-max-time\""),
    (b"Jobs = 8", 1, "\"jobs\""),
    (b"ifexists = \"skip\"", 1, "\"if-exists\""),
    (b"# a\nmax_charges = 1", 2, "\"max-charges\""),
    (b"dryrun = true", 1, "\"dry-run\""),
    (b"DOCFETCH_JOBS = 1", 1, "--jobs 8"),
    (b"\"--jobs\" = 1", 1, "\"jobs\""),
    (b"nonsense = 1", 1, "remove the key"),
    (b"[smm]\njobs = 1", 1, "\"sm\""),
    (b"[SM]\njobs = 1", 1, "\"sm\""),
    (b"[one-codex]\njobs = 1", 1, "\"onecodex\""),
    (b"[profile.a]\njobs = 1", 1, "\"profiles\""),
    (b"[provider.a]\nbase = \"x\"", 1, "\"providers\""),
    (b"[nonsense]\njobs = 1", 1, "sections of the file are"),
    (b"[sm]\njob = 1", 2, "\"sm.job\""),
    (b"[profiles.a]\njob = 1", 2, "\"profiles.a.job\""),
    (b"sm.job = 1", 1, "\"jobs\""),
    (b"[sm]\n[sm.jobs]\na = 1", 2, "a whole number is expected"),
    (b"[sm]\napi-base = \"https://h\"", 2, "_API_BASE"),
    // No settings.
    (b"output = \"x\"", 1, "DOCFETCH_OUTPUT"),
    (b"[sm]\nallow-recharge = true", 2, "on the command line"),
    (b"[profiles.a]\nsha256 = \"x\"", 2, "no setting"),
    // Of a wrong type.
    (b"jobs = true", 1, "a whole number is expected"),
    (b"jobs = 1.5", 1, "a whole number is expected"),
    (b"jobs = [1]", 1, "it is an array"),
    (b"jobs = { a = 1 }", 1, "it is a table"),
    (b"json = 1", 1, "true or false is expected"),
    (b"json = 2026-01-01", 1, "it is a date"),
    (b"output-dir = 1", 1, "text is expected"),
    (b"output-dir = true", 1, "text is expected"),
    (b"name = 1", 1, "text is expected"),
    (b"proxy = 3128", 1, "text is expected"),
    (b"sm = 1", 1, "a table is expected"),
    (b"[[sm]]\njobs = 1", 1, "a table is expected"),
    (b"profiles = 1", 1, "a table is expected"),
    (b"[profiles]\na = 1", 2, "a table is expected"),
    (b"providers = 1", 1, "a table is expected"),
    // Of a wrong value.
    (b"jobs = 0", 1, "1 to 256"),
    (b"jobs = -1", 1, "1 to 256"),
    (b"jobs = 99999999999999999999", 1, "too large"),
    (b"json = \"maybe\"", 1, "yes or no"),
    (b"retry-max-time = \"600x\"", 1, "500ms"),
    (b"[onecodex]\nconnect-timeout = \"0s\"", 2, "longer than 0"),
    (
        b"if-exists = \"replace\"",
        1,
        "fail, skip, overwrite or rename",
    ),
    (b"output-dir = \"\"", 1, "a value is expected"),
    (b"output-dir = \"~/reports\"", 1, "does not expand ~"),
    (b"name = \"{nothing}\"", 1, "{stem}"),
    (b"[profiles.a]\nrate-limit = \"120\"", 2, "120/1m"),
    // No TOML.
    (b"jobs = 8\njobs = 9", 2, "not TOML"),
    (b"jobs = 8\n[sm\n", 2, "not TOML"),
    (b"jobs = \n", 1, "not TOML"),
    (b"jobs 8", 1, "not TOML"),
    (b"jobs = 8\nname = \"a\0b\"", 2, "not TOML"),
    (b"jobs = 8\nname = \"\xe4\"", 2, "not UTF-8"),
    (b"\xff\xfej\0o\0b\0s\0", 0, "UTF-16"),
    (b"\x7fELF\x02\x01\x01\0\xff", 1, "not UTF-8"),
];

#[test]
fn a_broken_file_ends_the_run_with_the_line_and_a_remedy() {
    for (text, line, says) in BROKEN {
        let world = World::new("http://127.0.0.1:1");
        let path = configure(&world, text);
        for arguments in [&["partials"][..], &["sm", "a"], &["list", "sm"]] {
            let run = world.run(arguments);
            run.exits(2).says(says).says(path.to_str().unwrap());
            let shown = String::from_utf8_lossy(text);
            if line > 0 {
                let place = format!("config.toml, line {line}: ");
                assert!(run.stderr.contains(&place), "{shown:?}: {run:#?}");
            }
            let lines = run.stderr.lines().count();
            assert_eq!(lines, 3, "{shown:?}: {run:#?}");
        }
    }
}

#[test]
fn a_hostile_file_is_refused_at_once() {
    let deep = |open: &str, close: &str| {
        format!("jobs = {}{}", open.repeat(100_000), close.repeat(100_000))
    };
    for (text, says) in [
        (format!("# {}", "x".repeat(1 << 20)), "larger than 1 MiB"),
        (deep("[", "]"), "not TOML"),
        (deep("{a=", "}"), "not TOML"),
        (format!("{}a = 1", "a.".repeat(400_000)), "not TOML"),
        (format!("{} = 1", "k".repeat(900_000)), "is unknown"),
        (format!("[{}]", "k".repeat(900_000)), "is unknown"),
        (format!("jobs = \"{}\"", "8".repeat(900_000)), "1 to 256"),
        ("a=1\n".repeat(200_000), "not TOML"),
        ("[a]\n".repeat(200_000), "not TOML"),
        ("\n".repeat(900_000) + "a = 1", "line 900001"),
    ] {
        let world = World::bare();
        configure(&world, &text);
        let run = world.run(&["partials"]);
        run.exits(2).says(says);
        assert!(run.elapsed.as_secs() < 10, "{:?}", run.elapsed);
        assert!(run.stderr.len() < 2000, "{says}: {}", run.stderr.len());
    }
}

#[test]
fn a_broken_file_does_not_stop_what_needs_no_settings() {
    let (service, _) = Service::with("x.bin", 1000, &[]);
    let world = service.world();
    world.run(&["sm", "doc1", "--manifest", "m"]).exits(0);
    for text in ["job = 8", "jobs = ", "\u{0}", "jobs = 0"] {
        let path = configure(&world, text);
        for arguments in [
            &["--version"][..],
            &["--help"],
            &["help", "sm"],
            &["sm", "--help"],
            &["list", "-h"],
            &["help"],
        ] {
            let run = world.run(arguments);
            assert_eq!(run.exits(0).stderr, "", "{arguments:?}");
        }
        let run = world.run(&["verify", "m"]);
        run.exits(0).says("docfetch ignores the configuration file");
        let run = world.run(&["config"]);
        run.exits(0).says("error: ").says(path.to_str().unwrap());
        let fields: Vec<&str> = run.stdout.lines().next().unwrap().split('\t').collect();
        assert_eq!(
            fields,
            ["config-file", "", path.to_str().unwrap(), "default"]
        );
        assert!(run.stdout.contains("jobs\t\t4\tdefault\n"), "{run:#?}");
    }
}

#[test]
fn the_file_holds_no_secret_and_a_secret_in_the_file_is_never_shown() {
    const NO_SECRET: &str = "the configuration file holds no secret";
    let secret = "sk-9f8e7d6c5b4a";
    for (text, line, says) in [
        ("api-key = \"S\"", 1, NO_SECRET),
        ("\n[onecodex]\napi_key = \"S\"", 3, NO_SECRET),
        ("[sm]\nclient-secret = \"S\"", 2, NO_SECRET),
        ("[sm]\nclient_id = \"S\"", 2, NO_SECRET),
        ("ONE_CODEX_API_KEY = \"S\"", 1, NO_SECRET),
        ("[profiles.work]\ntoken = \"S\"", 2, NO_SECRET),
        ("[profiles.work]\n\"PassWord\" = \"S\"", 2, NO_SECRET),
        ("[credentials]\nonecodex = \"S\"", 1, NO_SECRET),
        ("proxy = \"http://user:S@proxy.example:3128\"", 1, NO_SECRET),
        ("[sm]\nproxy = \"user:S@proxy.example:3128\"", 2, NO_SECRET),
        ("proxy = \"socks5://user:a/S@proxy.example\"", 1, NO_SECRET),
        // In the wrong place.
        (
            "[profiles.work.onecodex]\npassword = \"S\"",
            1,
            "is unknown",
        ),
        ("jobs = \"S\"", 1, ""),
        ("if-exists = \"S\"", 1, ""),
        ("rate-limit = \"S\"", 1, ""),
        ("jobs = S", 1, ""),
        ("jobs = \"S", 1, ""),
        ("jobs = 8 \"S\"", 1, ""),
        ("jobs = \"\\S\"", 1, ""),
    ] {
        let mut world = World::new("http://127.0.0.1:1");
        world.hide(secret);
        let folder = world.home().join("given");
        fs::create_dir(&folder).unwrap();
        let path = folder.join("c.toml");
        fs::write(&path, text.replace('S', secret)).unwrap();
        world.set("DOCFETCH_CONFIG", path.to_str().unwrap());
        let run = world.run(&["sm", "a", "-v"]);
        run.exits(2)
            .says(&format!("c.toml, line {line}: "))
            .says(says);
        for arguments in [
            &["config"][..],
            &["config", "--json"],
            &["verify", "/dev/null"],
        ] {
            world.run(arguments);
        }
    }
    // Nor is a secret of the environment.
    let mut world = World::bare();
    world.hide(secret);
    let url = format!("http://user:{secret}@proxy.example:3128");
    for variable in ["https_proxy", "DOCFETCH_PROXY"] {
        world.set(variable, &url);
        let [value, source, name, _] = setting(&world, "proxy", None);
        assert_eq!(value, "http://[redacted]@proxy.example:3128");
        assert_eq!((source, name), (json!("variable"), json!(variable)));
        world.run(&["config"]).exits(0);
    }
}

#[test]
fn a_later_error_names_the_line_of_the_setting() {
    let world = World::new("https://api.example.com");
    let path = configure(&world, "retries = 0\n[sm]\nproxy = \"ftp://h\"\n");
    let place = format!("the value comes from line 3 of {}", path.display());
    world.run(&["sm", "a"]).exits(2).says(&place);
    configure(&world, "resource = \"samples\"");
    let run = world.run(&["sm", "a"]);
    run.exits(2).says("the value comes from line 1 of ");
    // Without the setting, the error has no such place.
    configure(&world, "");
    let run = world.run(&["sm", "a", "--proxy", "ftp://h"]);
    assert!(!run.exits(2).stderr.contains("line"), "{run:?}");
}

#[test]
fn a_template_that_only_sync_understands_is_for_sync() {
    let (service, _) = Service::with("x.bin", 1000, &[]);
    for (template, mirrored) in [
        ("{modified}-{name}", "-x.bin"),
        ("all/{name}", "mirror/all/x.bin"),
    ] {
        for section in ["", "[sm]\n"] {
            let world = service.world();
            configure(&world, format!("{section}name = \"{template}\""));
            let run = world.run(&["sm", "doc1", "-v"]);
            assert_eq!(run.exits(0).stdout, "x.bin\n");
            run.says("config.toml is ignored: only docfetch sync ");
            let run = world.run(&["sync", "sm", "mirror"]);
            assert!(run.exits(0).stdout.contains(mirrored), "{run:?}");
        }
    }
    let mut world = service.world();
    world.set("DOCFETCH_NAME", "all/{name}");
    let run = world.run(&["sm", "doc1", "-v"]);
    run.exits(0)
        .says("DOCFETCH_NAME is ignored: only docfetch sync ");
    assert_eq!(run.stdout, "x.bin\n");
}

#[test]
fn the_stronger_one_of_quiet_and_verbose_wins() {
    let (service, _) = Service::with("x.bin", 1000, &[]);
    for (file, variable, flag, is_verbose) in [
        ("verbose = true", "", "-d.", true),
        ("verbose = true\nquiet = true", "", "-d.", false),
        ("quiet = true\n[sm]\nverbose = true", "", "-d.", true),
        ("verbose = true\n[sm]\nquiet = true", "", "-d.", false),
        ("quiet = true", "DOCFETCH_VERBOSE", "-d.", true),
        ("verbose = true", "DOCFETCH_QUIET", "-d.", false),
        ("quiet = true", "", "-v", true),
        ("verbose = true", "", "-q", false),
    ] {
        let mut world = service.world();
        world.set(
            if variable.is_empty() {
                "UNUSED"
            } else {
                variable
            },
            "1",
        );
        configure(&world, file);
        let run = world.run(&["sm", "doc1", flag]);
        let found = run.exits(0).stderr.contains("* GET");
        assert_eq!(found, is_verbose, "{file} {variable} {flag}: {run:?}");
    }
    // A variable also switches off.
    let mut world = service.world();
    configure(&world, "json = true");
    assert!(world.run(&["sm", "doc1"]).exits(0).stdout.starts_with('{'));
    world.set("DOCFETCH_JSON", "no");
    let run = world.run(&["sm", "doc1", "--if-exists", "skip"]);
    assert_eq!(run.exits(0).stdout, "x.bin\n");
}

#[test]
fn profiles_and_parameters_of_tables_are_read() {
    let mut world = World::bare();
    configure(
        &world,
        "[profiles.work]\njobs = 9\nproxy = \"http://p:1\"\n[providers.acme]\nbase = \"https://h\"\n\
         auth = { type = \"none\" }\nresolve = { path = \"/{id}\", url = \"redirect\" }\n\
         parameters = { region = { required = true } }\n[acme]\nregion = \"eu\"\njobs = 3\n",
    );
    assert_eq!(setting(&world, "jobs", None)[0], "4");
    let [value, _, _, line] = setting(&world, "region", Some("acme"));
    assert_eq!((value, line), (json!("eu"), json!(10)));
    world.set("ACME_REGION", "us");
    let [value, _, variable, _] = setting(&world, "region", Some("acme"));
    assert_eq!((value, variable), (json!("us"), json!("ACME_REGION")));
    assert_eq!(setting(&world, "jobs", Some("acme"))[0], "3");
    configure(&world, "[acme]\njobs = 3\n");
    world
        .run(&["partials"])
        .exits(2)
        .says("\"acme\" is unknown");
}

#[test]
fn every_setting_is_shown_with_its_source() {
    let mut world = World::bare();
    let path = configure(
        &world,
        "jobs = 8\nquiet = \"no\"\n[sm]\njobs = 2\nretries = 7\n",
    );
    world
        .set("DOCFETCH_RETRIES", "9")
        .set("DOCFETCH_DRY_RUN", "yes");
    let run = world.run(&["config"]);
    for line in [
        &*format!("config-file\t\t{}\tdefault", path.display()),
        &*format!("state-dir\t\t{}\tdefault", world.state().display()),
        "jobs\t\t8\tline 1",
        "jobs\tsm\t2\tline 4",
        "retries\t\t9\tDOCFETCH_RETRIES",
        "retries\tsm\t9\tDOCFETCH_RETRIES",
        "dry-run\t\ttrue\tDOCFETCH_DRY_RUN",
        "quiet\t\tfalse\tline 2",
        "limit-rate\t\t\tdefault",
        "if-exists\t\tfail\tdefault",
        "retry-max-time\t\t5m\tdefault",
        "verbose\t\tfalse\tdefault",
    ] {
        let found = run.exits(0).stdout.lines().any(|found| found == line);
        assert!(found, "{line:?} is not in {run:#?}");
    }
    assert_eq!(run.stderr, "");
    let (code, screen) = on_a_terminal(world.command(&["config"]));
    assert_eq!(code, 0, "{screen}");
    let has = |words: &[&str]| {
        let found = screen.lines().any(|line| {
            let line = line.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
            line.split_whitespace().eq(words.iter().copied())
        });
        assert!(found, "{words:?} is not in {screen}");
    };
    has(&["NAME", "PROVIDER", "VALUE", "SOURCE"]);
    has(&["jobs", "sm", "2", "line", "4"]);
    has(&["limit-rate", "-", "-", "default"]);
    world.set("DOCFETCH_RETRIES", "many");
    let run = world.run(&["config"]);
    run.exits(0)
        .says("cannot use the value of DOCFETCH_RETRIES");
    world.set("DOCFETCH_STATE_DIR", "relative");
    let run = world.run(&["config"]);
    run.exits(0)
        .says("DOCFETCH_STATE_DIR is not an absolute path");
    assert!(run.stdout.contains("state-dir\t\t\tDOCFETCH_STATE_DIR\n"));
}

#[test]
fn help_shows_the_defaults_of_docfetch() {
    let world = World::bare();
    let before = world.run(&["sm", "--help"]).exits(0).stdout.clone();
    configure(&world, "jobs = 77\njson = true\n[sm]\nretries = 66\n");
    assert_eq!(world.run(&["sm", "--help"]).exits(0).stdout, before);
    assert_eq!(world.run(&["help", "sm"]).exits(0).stdout, before);
}

#[test]
fn a_missing_file_is_one_failed_open_and_the_version_opens_nothing() {
    if !tools::strace() {
        return;
    }
    let world = World::bare();
    let opens = |arguments: &[&str]| {
        let mut all = vec!["-f", "-e", "trace=%file", env!("CARGO_BIN_EXE_docfetch")];
        all.extend(arguments);
        let run = world.run_of("strace", &all);
        let calls = run.exits(0).stderr.lines().map(str::to_owned);
        let calls = calls.filter(|line| line.contains("config.toml"));
        calls.collect::<Vec<String>>()
    };
    let found = opens(&["partials"]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("ENOENT"), "{found:?}");
    configure(&world, "retries = 1");
    let found = opens(&["partials"]);
    assert_eq!(found.len(), 1, "{found:?}");
    for arguments in [["--version"], ["-V"]] {
        assert_eq!(opens(&arguments), Vec::<String>::new());
    }
    // The help lists the providers of the file.
    for arguments in [&["--help"][..], &["help", "sm"]] {
        assert_eq!(opens(arguments).len(), 1);
    }
}

#[test]
fn a_sandbox_has_a_configuration_of_its_own() {
    let mut world = World::bare();
    configure(&world, "json = true");
    let own = world.home().join("own.toml");
    fs::write(&own, "json = true").unwrap();
    let script = "echo \"config: $DOCFETCH_CONFIG\"; docfetch config";
    let arguments = ["sandbox", "--", "sh", "-c", script];
    world.set("DOCFETCH_CONFIG", own.to_str().unwrap());
    let run = world.run(&arguments);
    let mut lines = run.exits(0).stdout.lines();
    assert_eq!(lines.next(), Some("config: "));
    let place = lines.next().unwrap();
    assert!(place.starts_with("config-file\t\t/"), "{run:#?}");
    assert!(!place.contains(world.home().to_str().unwrap()), "{run:#?}");
    assert!(run.stdout.contains("json\t\tfalse\tdefault\n"), "{run:#?}");
    // The sandbox itself has no settings, and does not read a broken file.
    fs::write(&own, "job = 1").unwrap();
    world.run(&["sandbox", "--", "true"]).exits(0);
}

#[test]
fn the_example_of_the_documentation_is_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Ok(page) = fs::read_to_string(root.join("docs/configuration.md")) else {
        return; // a package of the source has no documentation
    };
    let example = page.split("```toml\n").nth(1).unwrap();
    let world = World::bare();
    configure(&world, example.split("```").next().unwrap());
    let (file, _) = shown(&world.run(&["config", "--json"]));
    assert_eq!(file["state"], "read", "{file}");
    assert_eq!(setting(&world, "max-charges", Some("onecodex"))[0], "20");
}
