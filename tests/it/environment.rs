//! What the environment sets: credentials and where they come from, bases, and variables that have no effect.

use super::support::raw::{Raw, api, presigned, reply, serve};
use super::support::services::Service;
use super::support::{World, noise};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// Runs with one variable whose value is not UTF-8.
fn run_with_bytes(
    world: &World,
    arguments: &[&str],
    name: &str,
    value: &[u8],
) -> super::support::Run {
    let mut command = world.command(arguments);
    command.env(name, OsStr::from_bytes(value));
    world.finish_with_input(command, "")
}

#[test]
fn a_credential_file_that_cannot_be_used_is_named_with_its_variable() {
    let mut world = World::bare();
    let folder = world.home().join("keys");
    std::fs::create_dir(&folder).unwrap();
    let file = |name: &str, text: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    for (path, says) in [
        (file("two", b"first-line\nsecond\n"), "more than one line"),
        (
            file("crlf", b"first-line\r\nsecond\r\n"),
            "more than one line",
        ),
        (file("empty", b" \n"), "the file is empty"),
        (file("latin1", b"first-line\xe4"), "not UTF-8"),
        (file("control", b"first-line\x07"), "control characters"),
        (folder.to_str().unwrap().to_owned(), "directory"),
        (
            folder.join("missing").to_str().unwrap().to_owned(),
            "No such file",
        ),
    ] {
        for (provider, variable) in [
            ("onecodex", "ONE_CODEX_API_KEY_FILE"),
            ("sm", "STANDARD_METRICS_CLIENT_ID_FILE"),
        ] {
            world.set(variable, &path);
            let run = world.run(&[provider, "a"]);
            run.exits(2)
                .says(&format!("{variable} ({path})"))
                .says(says);
            assert!(!run.stderr.contains("first-line"), "{run:?}");
        }
    }
    world.set("ONE_CODEX_API_KEY_FILE", "~/key");
    world
        .run(&["onecodex", "a"])
        .says("docfetch does not expand ~");
    world.set("ONE_CODEX_API_KEY_FILE", "");
    let run = run_with_bytes(
        &world,
        &["onecodex", "a"],
        "ONE_CODEX_API_KEY_FILE",
        b"/no\xff",
    );
    run.exits(2)
        .says("ONE_CODEX_API_KEY_FILE")
        .says("No such file");
    let run = world.run(&["onecodex", "a"]);
    run.exits(3).says("ONE_CODEX_API_KEY_FILE can name a file");
}

/// A secret in base64 can begin as a path does.
#[test]
fn a_secret_in_the_variable_of_a_file_is_not_shown() {
    let mut world = World::bare();
    world.hide("S3cret");
    for secret in [
        "S3cret",
        "/S3cret",
        "//S3cret",
        "/../S3cret",
        "/S3cret/x+y==",
        "/x/S3cret/",
        ".S3cret",
        "./S3cret",
        "../S3cret",
        "~S3cret",
        "~/S3cret",
        "a/S3cret",
    ] {
        for (provider, variable) in [
            ("onecodex", "ONE_CODEX_API_KEY_FILE"),
            ("sm", "STANDARD_METRICS_CLIENT_SECRET_FILE"),
        ] {
            world
                .set(variable, secret)
                .set("STANDARD_METRICS_CLIENT_ID", "id");
            let run = world.run(&[provider, "a", "-v"]);
            run.exits(2)
                .says(&format!("cannot use the file of {variable}\n"));
        }
    }
    let run = world.run(&["onecodex", "a"]);
    run.says("ONE_CODEX_API_KEY_FILE must be the path of a readable file");
}

#[test]
fn rejected_credentials_name_the_source_that_was_used() {
    let server = Raw::start(|_, stream| reply(stream, "401 Unauthorized", &[], b"{}"));
    let file = |world: &World, name: &str, text: &str| {
        let path = world.home().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let hint = |world: &World, provider: &str| {
        let run = world.run(&[provider, "a", "--retries", "0"]);
        run.exits(3);
        run.stderr.lines().last().unwrap().to_owned()
    };
    let mut world = World::new(&server.base());
    assert_eq!(hint(&world, "onecodex"), "  hint: check ONE_CODEX_API_KEY");
    let both = "  hint: check STANDARD_METRICS_CLIENT_ID and STANDARD_METRICS_CLIENT_SECRET";
    assert_eq!(hint(&world, "sm"), both);
    let path = file(&world, "sm-secret", "secret-of-a-file\n");
    world.set("STANDARD_METRICS_CLIENT_SECRET", "");
    world.set("STANDARD_METRICS_CLIENT_SECRET_FILE", &path);
    assert_eq!(hint(&world, "sm"), format!("{both}_FILE ({path})"));
    world.set("ONE_CODEX_BEARER_TOKEN", "token-of-one-codex");
    assert_eq!(
        hint(&world, "onecodex"),
        "  hint: check ONE_CODEX_BEARER_TOKEN"
    );
    world
        .set("ONE_CODEX_BEARER_TOKEN", "")
        .set("ONE_CODEX_API_KEY", "");
    let path = file(&world, ".onecodex", r#"{"api_key":"key-of-the-tool"}"#);
    assert_eq!(hint(&world, "onecodex"), format!("  hint: check {path}"));
}

#[test]
fn a_variable_that_is_not_utf8_is_an_error_and_not_ignored() {
    let server = Raw::start(|_, stream| reply(stream, "500 No", &[], b""));
    let world = World::new(&server.base());
    for (provider, name) in [
        ("onecodex", "ONE_CODEX_API_BASE"),
        ("onecodex", "ONE_CODEX_API_KEY"),
        ("sm", "STANDARD_METRICS_API_BASE"),
        ("sm", "STANDARD_METRICS_CLIENT_ID"),
        ("sm", "DOCFETCH_JOBS"),
        ("sm", "DOCFETCH_NAME"),
        ("sm", "DOCFETCH_DRY_RUN"),
    ] {
        let run = run_with_bytes(&world, &[provider, "a", "--json"], name, b"http://x\xff");
        run.exits(2).says(name).says("the value is not UTF-8");
    }
    assert!(server.seen().is_empty());
    // A path need not be text.
    let (service, _) = Service::with("x.bin", 10, &[]);
    let world = service.world();
    run_with_bytes(&world, &["sm", "doc1"], "DOCFETCH_OUTPUT_DIR", b"d\xff").exits(0);
    let mut command = world.command(&["sm", "doc1"]);
    command.arg(OsStr::from_bytes(b"--jobs=\xff"));
    let run = world.finish_with_input(command, "");
    run.exits(2)
        .says("the argument \"--jobs=\u{fffd}\" is not UTF-8");
}

#[test]
fn a_variable_that_sets_nothing_is_told_with_the_nearest_name() {
    let (service, _) = Service::with("x.bin", 10, &[]);
    for (name, says) in [
        (
            "DOCFETCH_DRYRUN",
            Some("a similar variable is DOCFETCH_DRY_RUN"),
        ),
        ("DOCFETCH_JOB", Some("a similar variable is DOCFETCH_JOBS")),
        (
            "DOCFETCH_MAX_CHARGE",
            Some("a similar variable is DOCFETCH_MAX_CHARGES"),
        ),
        (
            "DOCFETCH_STATEDIR",
            Some("a similar variable is DOCFETCH_STATE_DIR"),
        ),
        ("DOCFETCH_NONSENSE", Some("no option has this variable")),
        (
            "DOCFETCH_ALLOW_RECHARGE",
            Some("--allow-recharge works on the command line only"),
        ),
        (
            "DOCFETCH_SINCE",
            Some("--since works on the command line only"),
        ),
        ("DOCFETCH_NAME", None),
        ("DOCFETCH_JSON", None),
    ] {
        let mut world = service.world();
        let value = if name == "DOCFETCH_NAME" { "{id}" } else { "1" };
        world.set(name, value).set("DOCFETCH_RETRIES", "3");
        for arguments in [&["sm", "doc1", "--if-exists", "skip"][..], &["list", "sm"]] {
            let run = world.run(arguments);
            run.exits(0);
            let warning = format!("docfetch ignores {name}: ");
            let warned = run.stderr.matches(&warning).count();
            assert_eq!(warned, usize::from(says.is_some()), "{run:?}");
            run.says(says.unwrap_or_default());
        }
        let quiet = world.run(&["list", "sm", "-q"]);
        let limits_charges = ["DOCFETCH_DRYRUN", "DOCFETCH_MAX_CHARGE"].contains(&name);
        assert_eq!(!quiet.stderr.is_empty(), limits_charges, "{quiet:?}");
        world.set(name, "");
        let run = world.run(&["list", "sm"]);
        assert!(!run.exits(0).stderr.contains("ignores"), "{run:?}");
    }
}

/// The bases of the APIs' own descriptions.
#[test]
fn a_base_that_ends_in_the_path_of_the_api_is_understood() {
    let content = noise(100);
    let body = content.clone();
    let storage = Raw::start(move |request, stream| serve(request, stream, &body, "\"1\""));
    let url = presigned(&storage.base(), "/x.bin");
    let server = Raw::start(move |request, stream| api(request, stream, &url));
    for (number, end) in ["", "/", "/api/v1", "/api/v1/"].into_iter().enumerate() {
        let mut world = World::new(&server.base());
        world.set("ONE_CODEX_API_BASE", &format!("{}{end}", server.base()));
        world.run(&["onecodex", "a", "-o", "x"]).exits(0);
        assert_eq!(world.read("x"), content, "{end}");
        assert_eq!(server.count("POST", "/download_uri"), number + 1, "{end}");
        // The same record as with the plain base.
        world.set("ONE_CODEX_API_BASE", &server.base());
        world.run(&["onecodex", "a", "-o", "y"]).exits(0);
        assert_eq!(server.count("POST", "/download_uri"), number + 1, "{end}");
    }
    let seen = server.seen();
    assert!(
        seen.iter()
            .all(|request| !request.target.contains("/api/api")),
        "{seen:?}"
    );
    assert!(
        seen.iter()
            .all(|request| !request.target.contains("v1/api")),
        "{seen:?}"
    );
}

/// A gateway may have the API under any path, and that path may end in `/api`.
#[test]
fn a_base_that_ends_in_a_path_of_a_gateway_is_kept() {
    let storage = Raw::start(|request, stream| serve(request, stream, b"content", "\"1\""));
    let url = presigned(&storage.base(), "/x.bin");
    let server = Raw::start(move |request, stream| api(request, stream, &url));
    let mut world = World::new(&server.base());
    world.set("ONE_CODEX_API_BASE", &format!("{}/x/api", server.base()));
    world.run(&["onecodex", "a", "-o", "x"]).exits(0);
    let seen = server.seen();
    let below_base = |target: &str| target.starts_with("/x/api/api/v1/documents/a");
    assert!(
        seen.len() == 2 && seen.iter().all(|request| below_base(&request.target)),
        "{seen:?}"
    );
}

#[test]
fn dates_in_the_wrong_order_and_negative_values_are_usage_errors() {
    let world = World::new("http://127.0.0.1:1");
    for dates in [
        ["--since=2024-05-01", "--until=2024-04-01"],
        ["--since=7d", "--until=9d"],
        [
            "--since=2024-05-01T00:00:00Z",
            "--until=2024-04-30T23:59:59Z",
        ],
    ] {
        for command in [&["list", "sm"][..], &["sync", "onecodex", "mirror"]] {
            let run = world.run(&[command, &dates].concat());
            run.exits(2).says("--since is later than --until");
        }
    }
    assert!(world.files().is_empty());
    let same_day = ["--since=2024-05-01", "--until=2024-05-01", "--retries=0"];
    world
        .run(&[&["list", "sm"][..], &same_day].concat())
        .exits(5);
    let run = world.run(&["sm", "a", "--retry-max-time", "-7d"]);
    run.exits(2)
        .says("unexpected argument '-7d'")
        .says("no value is negative");
    let run = world.run(&["sm", "a", "--limit-rate", "0"]);
    run.exits(2).says("at least 1 byte");
}

#[test]
fn a_base_that_is_no_url_is_told_by_what_is_wrong_in_it() {
    for (base, why) in [
        (
            "http://localhost:99999",
            "the port is not a number up to 65535",
        ),
        ("http://localhost:x", "the port is not a number up to 65535"),
        ("http://", "the host is missing"),
        ("localhost:8080", "a base begins with https:// or http://"),
        ("example.com/api", "a base begins with https:// or http://"),
        ("http://[::1", "invalid IPv6 address"),
    ] {
        let mut world = World::new("http://127.0.0.1:9");
        world.set("ONE_CODEX_API_BASE", base);
        let run = world.run(&["onecodex", "doc1"]);
        run.exits(2).says("error: ONE_CODEX_API_BASE is not");
        run.says(why);
    }
}
