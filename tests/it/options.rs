//! Flags, variables, and where credentials come from.

use crate::support::raw::{Raw, api, both, reply};
use crate::support::services::Service;
use crate::support::{API_KEY, CLIENT_ID, CLIENT_SECRET, World};
use std::time::Duration;

#[test]
fn a_url_in_place_of_a_path_and_a_folder_in_place_of_a_file_are_wrong_usage() {
    let (service, _) = Service::with("x.bin", 10, &[]);
    let world = service.world();
    for (arguments, says) in [
        (
            &["sm", "doc1", "-d", "s3://bucket/a"][..],
            "--output-dir names s3://",
        ),
        (
            &["sm", "doc1", "-o", "gs://bucket/a"],
            "--output names gs://",
        ),
        (
            &["sm", "doc1", "--manifest", "s3://b/m"],
            "--manifest names s3://",
        ),
        (&["sync", "sm", "s3://bucket/a"], "<DIR> names s3://"),
        (
            &["sm", "doc1", "-d", "file:///tmp/x"],
            "give the path without file://",
        ),
        (
            &["sm", "doc1", "doc2", "-o", "x"],
            "name several files with --output-dir and --name",
        ),
    ] {
        world.run(arguments).exits(2).says(says);
    }
    std::fs::create_dir(world.out().join("folder")).unwrap();
    for provider in ["sm", "onecodex"] {
        for path in ["folder", "folder/", "."] {
            let run = world.run(&[provider, "doc1", "-o", path]);
            run.exits(7).says("give a folder with --output-dir (-d)");
        }
    }
    std::fs::create_dir(world.out().join("x.bin")).unwrap();
    world
        .run(&["sm", "doc1"])
        .exits(7)
        .says("why: it is a folder");
    assert_eq!((service.charges(), world.files().len()), (0, 2));
    // A colon alone makes no URL.
    world.run(&["sm", "doc1", "-d", "a:/b"]).exits(0);
}

#[test]
fn every_fetch_option_is_a_variable_and_the_flag_wins() {
    let (service, content) = Service::with("x.bin", 1000, &[]);
    let mut world = service.world();
    world
        .set("DOCFETCH_OUTPUT_DIR", "from/env")
        .set("DOCFETCH_JSON", "yes")
        .set("DOCFETCH_IF_EXISTS", "overwrite")
        .set("DOCFETCH_NAME", "{id}.bin")
        .set("DOCFETCH_RETRIES", "");
    let run = world.run(&["sm", "doc1"]);
    assert_eq!(run.exits(0).records()[0]["path"], "from/env/doc1.bin");
    world.run(&["sm", "doc1"]).exits(0);
    world.run(&["sm", "doc1", "-d", "flag"]).exits(0);
    assert_eq!(world.read("flag/doc1.bin"), content);
    world.set("DOCFETCH_JSON", "0");
    assert_eq!(
        world.run(&["sm", "doc1"]).exits(0).stdout,
        "from/env/doc1.bin\n"
    );
    world.set("DOCFETCH_RETRIES", "many");
    world.run(&["sm", "doc1"]).exits(2).says("--retries");
    world.set("DOCFETCH_RETRIES", "");
    world.set("DOCFETCH_DRY_RUN", "true");
    world.run(&["sm", "doc1", "-d", "dry"]).exits(0);
    assert!(!world.files().contains(&"dry".to_owned()));
}

#[test]
fn each_option_of_the_help_reads_its_variable() {
    let help = World::bare().run(&["sm", "--help"]);
    let options: Vec<&str> = help
        .exits(0)
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")))
        .map(|option| option.trim_end_matches(','))
        .filter(|option| !["--help", "--allow-recharge"].contains(option))
        .collect();
    assert!(options.len() >= 20, "{options:?}");
    for option in options {
        let base = match option {
            "--proxy" => "https://api.example.com", // no proxy serves loopback
            _ => "http://127.0.0.1:1",
        };
        let mut world = World::new(base);
        let variable = format!("DOCFETCH_{}", option[2..].to_uppercase().replace('-', "_"));
        // No option takes this value, but those that take any text.
        world.set(&variable, "\u{1}{nonsense}");
        let free = [
            "--output",
            "--output-dir",
            "--ca-cert",
            "--from-file",
            "--manifest",
        ]
        .contains(&option);
        let run = world.run(&["sm", "a", "--retries", "0"]);
        if ["--ca-cert", "--proxy"].contains(&option) {
            run.exits(2).says(&variable);
        } else if !free && option != "--retries" {
            run.exits(2).says(option);
        }
    }
}

#[test]
fn secrets_come_from_files_and_the_plain_form_wins() {
    let (service, content) = Service::with("x.bin", 1000, &[]);
    let source = service.world();
    let mut world = World::bare();
    let given = world.home().join("given");
    std::fs::create_dir(&given).unwrap();
    for name in [
        "STANDARD_METRICS_CLIENT_ID",
        "STANDARD_METRICS_CLIENT_SECRET",
        "ONE_CODEX_API_KEY",
    ] {
        let value = source.variable(name);
        let file = given.join(name);
        std::fs::write(&file, format!("{value}\n")).unwrap();
        world.set(&format!("{name}_FILE"), file.to_str().unwrap());
        world.hide(&value);
    }
    for name in ["STANDARD_METRICS_API_BASE", "ONE_CODEX_API_BASE"] {
        world.set(name, &source.variable(name));
    }
    world.run(&["sm", "doc1"]).exits(0);
    world.run(&["onecodex", "doc1", "-o", "y.bin"]).exits(0);
    assert_eq!(world.read("x.bin"), content);
    world.set("ONE_CODEX_API_KEY", "a-wrong-key");
    world.run(&["onecodex", "doc1", "-o", "z.bin"]).exits(3);
}

#[test]
fn the_official_clients_file_is_the_last_resort() {
    let (service, content) = Service::with("x.bin", 1000, &[]);
    let source = service.world();
    let mut world = World::bare();
    world.set("ONE_CODEX_API_BASE", &source.variable("ONE_CODEX_API_BASE"));
    let key = source.variable("ONE_CODEX_API_KEY");
    let file = world.home().join(".onecodex");
    let write = |text: String| std::fs::write(&file, text).unwrap();
    write(serde_json::json!({"email": "a@b", "api_key": key, "saved_at": "x"}).to_string());
    world.run_showing(&["onecodex", "doc1"]).exits(0);
    assert_eq!(world.read("x.bin"), content);
    write(format!("{{\"api_key\": {key}"));
    let run = world.run_showing(&["onecodex", "doc1", "-o", "y"]);
    run.exits(2).says(".onecodex");
    assert!(!run.stderr.contains(&key));
}

#[test]
fn a_bearer_token_wins_over_the_key() {
    let (api, _storage) = both("/x.bin", |_, stream| reply(stream, "200 OK", &[], b"x"));
    let mut world = World::new(&api.base());
    world.set("ONE_CODEX_BEARER_TOKEN", "bearer-0f-bad-news");
    world.hide("bearer-0f-bad-news");
    world.run(&["onecodex", "a", "-v"]).exits(0);
    for request in api.seen() {
        assert_eq!(
            request.header("authorization"),
            Some("Bearer bearer-0f-bad-news")
        );
        assert_eq!(request.header("x-api-key"), None);
    }
}

#[test]
fn requests_are_as_the_providers_describe_them() {
    let (server, storage) = both("/x.bin", |_, stream| reply(stream, "200 OK", &[], b"x"));
    let world = World::new(&server.base());
    world.run(&["sm", "a b~\u{e4}%"]).exits(0);
    world.run(&["onecodex", "a", "-o", "y"]).exits(0);
    let seen = server.seen();
    let token = &seen[0];
    assert_eq!(
        (token.method.as_str(), token.target.as_str()),
        ("POST", "/o/token/")
    );
    assert_eq!(token.body, b"grant_type=client_credentials");
    assert_eq!(
        token.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(token.header("cache-control"), Some("no-cache"));
    use base64::Engine as _;
    let basic =
        base64::engine::general_purpose::STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"));
    assert_eq!(
        token.header("authorization"),
        Some(&*format!("Basic {basic}"))
    );
    assert_eq!(seen[1].target, "/v1/documents/a%20b~%C3%A4%25/download/");
    assert!(
        seen[1]
            .header("authorization")
            .unwrap()
            .starts_with("Bearer ")
    );
    // The user gives the name, so that docfetch requests the metadata beside the retrieval: either may
    // be first.
    let mut of_one_codex: Vec<_> = seen[2..].iter().collect();
    of_one_codex.sort_by_key(|request| request.method.clone());
    let asked: Vec<_> = of_one_codex
        .iter()
        .map(|request| (request.method.as_str(), request.target.as_str()))
        .collect();
    assert_eq!(
        asked,
        [
            ("GET", "/api/v1/documents/a"),
            ("POST", "/api/v1/documents/a/download_uri")
        ]
    );
    for request in of_one_codex {
        assert_eq!(request.header("x-api-key"), Some(API_KEY));
        assert_eq!(request.header("authorization"), None);
    }
    for request in storage.seen() {
        for name in ["authorization", "x-api-key", "cookie", "referer"] {
            assert_eq!(request.header(name), None);
        }
    }
}

#[test]
fn a_base_that_ends_in_v1_or_in_a_slash_or_has_a_path_is_understood() {
    for (suffix, target) in [
        ("/v1", "/v1/documents/a/download/"),
        ("/v1/", "/v1/documents/a/download/"),
        ("/", "/v1/documents/a/download/"),
        ("/gateway/v1", "/gateway/v1/documents/a/download/"),
    ] {
        let server = Raw::start(|request, stream| match request.path() {
            path if path.ends_with("/o/token/") => {
                let mut plain = request.clone();
                plain.target = "/o/token/".into();
                api(&plain, stream, "");
            }
            _ => reply(stream, "404 Not Found", &[], b"{}"),
        });
        let world = World::new(&format!("{}{suffix}", server.base()));
        world.run(&["sm", "a"]).exits(4);
        assert_eq!(server.seen()[1].target, target);
    }
}

#[test]
fn a_rate_limit_spreads_requests() {
    let (service, _) = Service::with("x.bin", 10, &[]);
    let world = service.world();
    let run = world.run(&["sm", "doc1", "--rate-limit", "1/1s"]);
    run.exits(0);
    assert!(run.elapsed >= Duration::from_secs(1), "{:?}", run.elapsed);
}

#[test]
fn the_providers_budget_is_kept_without_a_429() {
    let documents: Vec<_> = (0..40)
        .map(|number| {
            docfetch::sandbox::Document::new(&format!("{number}.txt"), "x")
                .with_id(&number.to_string())
        })
        .collect();
    let service = Service::start(documents, &[]);
    let world = service.world();
    let ids: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    let mut arguments = vec!["sm"];
    arguments.extend(ids.iter().map(String::as_str));
    let run = world.run(&arguments);
    run.exits(0);
    assert_eq!(service.report().rate_limited, 0);
    assert!(run.elapsed >= Duration::from_secs(9), "{:?}", run.elapsed);
}

#[test]
fn verbose_says_requests_and_decisions_and_quiet_says_errors_only() {
    let (service, _) = Service::with("x.bin", 1000, &[]);
    let world = service.world();
    let run = world.run(&["onecodex", "doc1", "-v"]);
    run.exits(0)
        .says("* POST http")
        .says("/download_uri: 200 in")
        .says("/[redacted]: 200 in");
    let run = world.run(&["sm", "doc1", "-q"]);
    run.exits(7).says("error: ");
    assert_eq!(run.stderr.lines().count(), 3);
}

#[test]
fn a_flag_wins_over_the_variable_of_its_opposite() {
    let (service, _) = Service::with("x.bin", 1000, &[]);
    for (variable, value, flag, verbose) in [
        ("DOCFETCH_QUIET", "1", "-v", true),
        ("DOCFETCH_QUIET", "0", "-v", true),
        ("DOCFETCH_VERBOSE", "yes", "-q", false),
        ("DOCFETCH_VERBOSE", "no", "-q", false),
        ("DOCFETCH_VERBOSE", "yes", "-d.", true),
    ] {
        let mut world = service.world();
        world.set(variable, value);
        let run = world.run(&["sm", "doc1", flag]);
        run.exits(0);
        assert_eq!(
            run.stderr.contains("* GET"),
            verbose,
            "{variable} {flag}: {run:?}"
        );
    }
}

#[test]
fn colours_are_used_as_asked() {
    let mut world = World::bare();
    let plain = |run: &crate::support::Run| !run.stderr.contains('\u{1b}');
    assert!(plain(&world.run(&["sm", "a"])));
    assert!(!plain(&world.run(&["sm", "a", "--color", "always"])));
    world.set("CLICOLOR_FORCE", "1");
    assert!(!plain(&world.run(&["sm", "a"])));
    assert!(plain(&world.run(&["sm", "a", "--color", "never"])));
    world.set("NO_COLOR", "1");
    assert!(plain(&world.run(&["sm", "a"])));
}

#[test]
fn a_proxy_is_used_for_other_hosts_and_never_for_loopback() {
    let proxy = Raw::start(|_, stream| reply(stream, "502 No", &[], b""));
    let mut world = World::new("https://api.example.com");
    let run = world.run(&["sm", "a", "--retries", "0", "--proxy", &proxy.base()]);
    run.exits(5);
    assert_eq!(proxy.seen()[0].method, "CONNECT");
    assert_eq!(proxy.seen()[0].target, "api.example.com:443");
    assert_eq!(proxy.seen()[0].header("authorization"), None);
    world.set("https_proxy", &proxy.base());
    world.run(&["sm", "a", "--retries", "0"]).exits(5);
    let seen = proxy.seen().len();
    assert_eq!(seen, 4); // each refused tunnel is requested twice
    world.set("no_proxy", "example.com");
    world.run(&["sm", "a", "--retries", "0"]);
    assert_eq!(proxy.seen().len(), seen);
    let (service, content) = Service::with("x.bin", 10, &[]);
    let mut world = service.world();
    world
        .set("all_proxy", &proxy.base())
        .set("http_proxy", &proxy.base());
    world
        .run(&["sm", "doc1", "--proxy", &proxy.base()])
        .exits(0);
    assert_eq!(world.read("x.bin"), content);
    assert_eq!(proxy.seen().len(), seen);
}

#[test]
fn help_and_version_are_results() {
    let world = World::bare();
    let run = world.run(&["--version"]);
    assert_eq!(
        run.exits(0).stdout,
        format!("docfetch {}\n", env!("CARGO_PKG_VERSION"))
    );
    for arguments in [
        &["--help"][..],
        &["sm", "--help"],
        &["list", "-h"],
        &["help", "sandbox"],
    ] {
        let run = world.run(arguments);
        assert!(run.exits(0).stdout.contains("Usage: docfetch"));
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn standard_output_is_reached_in_one_way_when_it_gets_the_document() {
    let (service, content) = Service::with("x.bin", 1000, &[]);
    let world = service.world();
    let fetch = ["onecodex", "doc1", "-o", "-", "--manifest"];
    std::os::unix::fs::symlink("/dev/stdout", world.out().join("link")).unwrap();
    for way in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"] {
        let run = world.run(&[&fetch[..], &[way]].concat());
        run.exits(2).says("--manifest is where");
        assert_eq!(run.stdout, "");
    }
    // The same by its own name.
    let given = world.home().join("given");
    std::fs::write(&given, "").unwrap();
    let file = std::fs::File::options().append(true).open(&given).unwrap();
    let mut command = world.command(&[&fetch[..], &["../given"]].concat());
    assert_eq!(command.stdout(file).status().unwrap().code(), Some(2));
    assert_eq!(
        (std::fs::read(&given).unwrap().len(), service.charges()),
        (0, 0)
    );
    let run = world.run(&[&fetch[..], &["m"]].concat());
    assert_eq!(run.exits(0).raw_stdout, content);
    world
        .run(&["onecodex", "doc1", "--manifest", "/dev/stdout"])
        .exits(0);
}

#[test]
fn nothing_goes_in_the_clear_to_a_name_that_only_a_proxy_resolves() {
    let proxy = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"content"));
    let server = Raw::start(|request, stream| api(request, stream, "http://public.example/x"));
    let mut world = World::new(&server.base());
    world.set("HTTP_PROXY", &proxy.base());
    world.set("http_proxy", &proxy.base());
    let run = world.run(&["sm", "a", "--allow-private", "--json"]);
    assert_eq!(run.exits(9).error_code(), "insecure_url");
    run.says("through a proxy");
    assert!(proxy.seen().is_empty());
}

#[test]
fn a_template_cannot_go_with_the_name_of_the_file() {
    let (service, _) = Service::with("a.bin", 100, &[]);
    let mut world = service.world();
    for output in ["x", "-"] {
        let run = world.run(&["sm", "doc1", "--name", "{id}", "-o", output]);
        run.exits(2).says("--name cannot go with --output");
    }
    // A variable is a default for all runs: the flag wins.
    world.set("DOCFETCH_NAME", "{id}");
    assert_eq!(world.run(&["sm", "doc1"]).exits(0).stdout, "doc1\n");
    assert_eq!(world.run(&["sm", "doc1", "-o", "x"]).exits(0).stdout, "x\n");
}
