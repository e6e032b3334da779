//! Secrets stay where they are; every other test looks for them, too (`support::World::run`).

use crate::support::raw::{Raw, both, reply};
use crate::support::services::Service;
use crate::support::{API_KEY, CLIENT_SECRET, SIGNATURE, TOKEN, World};

/// An API that repeats everything that it was sent, in every way that an error can.
#[test]
fn an_echoing_api_is_quoted_without_what_it_echoes() {
    let server = Raw::start(|request, stream| {
        let headers: Vec<String> = request
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let body =
            serde_json::json!({"detail": format!("You sent {}", headers.join(", "))}).to_string();
        let status = if request.path() == "/o/token/" {
            "500 Oops"
        } else {
            "403 Forbidden"
        };
        reply(stream, status, &[], body.as_bytes());
    });
    let mut world = World::new(&server.base());
    world
        .run(&["sm", "a", "-v", "--retries", "0"])
        .exits(5)
        .says("[redacted]");
    world
        .run(&["onecodex", "a", "-v", "--json"])
        .exits(4)
        .says("[redacted]");
    world
        .run(&["list", "onecodex", "-v"])
        .exits(4)
        .says("[redacted]");
    // An escape sequence inside does not hide it.
    let (half, other) = API_KEY.split_at(8);
    let split =
        serde_json::json!({ "detail": format!("key {half}\u{1b}{other} is bad") }).to_string();
    let splitting = Raw::start(move |_, stream| reply(stream, "400 Bad", &[], split.as_bytes()));
    let run = World::new(&splitting.base()).run(&["onecodex", "a", "--json", "-v"]);
    run.exits(4).says("[redacted]");
    world.set("ONE_CODEX_BEARER_TOKEN", TOKEN);
    world
        .run(&["onecodex", "a", "-v", "--json"])
        .exits(4)
        .says("[redacted]");
}

#[test]
fn a_presigned_url_in_an_error_is_not_shown() {
    let (api, _storage) = both("/secret-key", |request, stream| {
        let text = format!(
            "<Error><Code>{}</Code><Message>{SIGNATURE}</Message></Error>",
            request.target
        );
        reply(stream, "403 Forbidden", &[], text.as_bytes());
    });
    let world = World::new(&api.base());
    let run = world.run(&["sm", "a", "-v", "--json", "--progress", "json"]);
    run.exits(4);
    assert!(!run.stderr.contains("secret-key"), "{run:?}");
    // Connection errors of the library print whole URLs.
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{closed}/secret-key?X-Sig={SIGNATURE}");
    let api = Raw::start(move |request, stream| crate::support::raw::api(request, stream, &url));
    let run = World::new(&api.base()).run(&["sm", "a", "-v", "--json", "--retries", "1"]);
    run.exits(5);
    assert!(!run.stderr.contains("secret-key"), "{run:?}");
}

#[test]
fn debug_switches_of_the_environment_open_nothing() {
    let (service, _) = Service::with("x.bin", 1000, &[]);
    let mut world = service.world();
    world
        .set("RUST_LOG", "trace")
        .set("RUST_BACKTRACE", "full")
        .set("SSLKEYLOGFILE", "keys");
    world.run(&["sm", "doc1", "-v"]).exits(0);
    world.run(&["onecodex", "doc1", "-v", "-o", "y"]).exits(0);
    assert_eq!(world.files(), ["x.bin", "y"]);
}

#[test]
fn secrets_are_not_in_the_arguments_or_the_help() {
    let world = World::new("http://127.0.0.1:1");
    for arguments in [
        &["--help"][..],
        &["sm", "--help"],
        &["onecodex", "--help"],
        &["url", "--help"],
    ] {
        let run = world.run(arguments);
        for secret in [API_KEY, CLIENT_SECRET] {
            assert!(!run.stdout.contains(secret));
        }
        for flag in ["--api-key", "--token", "--client-secret", "--password"] {
            assert!(!run.stdout.contains(flag));
        }
    }
}

#[test]
fn a_credential_that_cannot_be_a_header_is_refused_without_being_shown() {
    let mut world = World::new("http://127.0.0.1:1");
    world.set("ONE_CODEX_API_KEY", "two\nlines-of-secret");
    world.hide("lines-of-secret");
    world.run(&["onecodex", "a", "--json"]).exits(2);
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let mut world = World::bare();
    world.set("ONE_CODEX_API_KEY_FILE", API_KEY);
    world
        .run(&["onecodex", "a", "--json"])
        .exits(2)
        .says("ONE_CODEX_API_KEY_FILE");
    let url = format!("https://bucket.example/x?X-Amz-Signature={SIGNATURE}");
    world
        .run(&["sm", &url])
        .exits(2)
        .says("is not a document id");
}

#[test]
fn a_password_in_a_proxy_is_not_repeated() {
    let mut world = World::new("https://api.example.com");
    world.hide("proxy-passw0rd");
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let working = format!("http://user:proxy-passw0rd@{closed}");
    for (proxy, code) in [("ftp://user:proxy-passw0rd@host", 2), (working.as_str(), 5)] {
        world
            .run(&["sm", "a", "-v", "--retries", "0", "--proxy", proxy])
            .exits(code);
    }
}

#[test]
fn nothing_but_the_file_and_the_state_stays_on_disk() {
    let (service, _) = Service::with("x.bin", 1000, &[]);
    let world = service.world();
    world.run(&["sm", "doc1"]).exits(0);
    world.run(&["onecodex", "doc1", "-o", "y.bin"]).exits(0);
    assert_eq!(world.files(), ["x.bin", "y.bin"]);
    let names = |folder: &std::path::Path| {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(world.home()), [".local", "out"]);
    assert_eq!(
        names(&world.state()),
        ["budgets", "ledger", "origins", "tokens"]
    );
    for (kind, records) in [("budgets", 1), ("ledger", 1), ("origins", 2), ("tokens", 1)] {
        let names = names(&world.state().join(kind));
        assert_eq!(names.len(), records, "no locks are left: {names:?}");
    }
}
