//! Each type of `auth` of a table: what a request carries, and how tokens are requested, kept and replaced.

use crate::support::World;
use crate::support::raw::{self, Raw, Request, presigned, reply};
use docfetch::{Code, Credentials, Error, Provider, Resolver, Secret};
use std::collections::HashSet;
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const KEY: &str = "k3y +/of-the-user";
const GIVEN: &str = "refresh-given-by-the-user";

/// A table with this `auth`, and a free redirect to the presigned URL.
fn provider(auth: &str) -> Provider {
    let text = format!(
        "base = \"https://api.acme.example\"\nheaders = {{ \"Acme-Version\" = \"7\" }}\nauth = {auth}\n\
         resolve = {{ path = \"/v1/documents/{{id}}/download/\", url = \"redirect\" }}\n"
    );
    Provider::from_toml("acme", &text).unwrap()
}

/// Resolves a document in a process of its own, as far as a state folder and locks go.
fn resolve(
    auth: &str,
    credentials: Credentials,
    base: &str,
    state: Option<&Path>,
) -> Result<(), Error> {
    let provider = provider(auth);
    let id = provider.document_id("a").unwrap();
    let mut builder = Resolver::builder(provider, credentials).base(base);
    if let Some(state) = state {
        builder = builder.state_folder(state);
    }
    let mut connection = docfetch::Connection::default();
    connection.retries = 0;
    let resolver = builder.connection(connection).build()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(resolver.resolve(&id)).map(drop)
}

fn redirect(stream: &mut TcpStream) {
    let url = presigned("http://127.0.0.1:9", "/a");
    reply(stream, "302 Found", &[("Location", &url)], b"");
}

fn json(stream: &mut TcpStream, status: &str, body: &str) {
    let headers = [("Content-Type", "application/json")];
    reply(stream, status, &headers, body.as_bytes());
}

fn form(request: &Request) -> Vec<(String, String)> {
    let pairs = url::form_urlencoded::parse(&request.body);
    pairs.into_owned().collect()
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn key() -> Credentials {
    Credentials::Key(Secret::new(KEY))
}

fn client() -> Credentials {
    Credentials::Client {
        id: Secret::new("client 7"),
        secret: Secret::new("s3cret of it"),
    }
}

fn refresh_token() -> Credentials {
    Credentials::RefreshToken {
        id: Secret::new("client"),
        secret: Secret::new("secret"),
        token: Secret::new(GIVEN),
    }
}

/// What the request for the document carried.
fn sent(auth: &str, credentials: Credentials) -> Request {
    let api = Raw::start(|_, stream| redirect(stream));
    let state = tempfile::tempdir().unwrap();
    resolve(auth, credentials, &api.base(), Some(state.path())).unwrap();
    let mut seen = api.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    let request = seen.remove(0);
    assert_eq!(request.header("acme-version"), Some("7"));
    request
}

#[test]
fn a_request_carries_the_credential_where_the_table_says() {
    let none = sent("{ type = \"none\" }", Credentials::None);
    assert_eq!(none.header("authorization"), None);
    assert_eq!(none.target, "/v1/documents/a/download/");
    let token = Credentials::Bearer {
        token: Secret::new("t0ken"),
        account: None,
    };
    let bearer = sent("{ type = \"bearer\" }", token);
    assert_eq!(bearer.header("authorization"), Some("Bearer t0ken"));
    let header = sent("{ type = \"header\", name = \"X-Key\" }", key());
    assert_eq!(header.header("x-key"), Some(KEY));
    assert_eq!(header.header("authorization"), None);
    let prefixed = "{ type = \"header\", name = \"Authorization\", prefix = \"Token \" }";
    let prefixed = sent(prefixed, key());
    let value = format!("Token {KEY}");
    assert_eq!(prefixed.header("authorization"), Some(&*value));
    let query = sent("{ type = \"query\", name = \"api_key\" }", key());
    let expected = "/v1/documents/a/download/?api_key=k3y+%2B%2Fof-the-user";
    assert_eq!(query.target, expected);
    let password = Credentials::Password {
        username: "me".to_owned(),
        password: Secret::new("p:ss w"),
    };
    let basic = sent("{ type = \"basic\" }", password);
    let value = format!("Basic {}", base64("me:p:ss w"));
    assert_eq!(basic.header("authorization"), Some(&*value));
}

#[test]
fn credentials_of_another_type_are_refused_before_any_request() {
    let error = resolve("{ type = \"basic\" }", key(), "http://127.0.0.1:9", None).unwrap_err();
    assert_eq!(error.code(), Code::Config);
    assert_eq!(error.cause(), Some("acme takes a user name and a password"));
    let colon = Credentials::Password {
        username: "a:b".to_owned(),
        password: Secret::new("password"),
    };
    let error = resolve("{ type = \"basic\" }", colon, "http://127.0.0.1:9", None).unwrap_err();
    assert_eq!(error.code(), Code::Config);
}

/// The token request of this `auth`, and the request of the document.
fn token_request(auth: &str, credentials: Credentials, answer: &'static str) -> [Request; 2] {
    let api = Raw::start(move |request, stream| match request.path() {
        "/token" => json(stream, "200 OK", answer),
        _ => redirect(stream),
    });
    let state = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        resolve(auth, credentials.clone(), &api.base(), Some(state.path())).unwrap();
    }
    let mut seen = api.seen();
    assert_eq!(
        api.count("POST", "/token"),
        1,
        "the second run uses the token"
    );
    let document = seen.remove(1);
    [seen.remove(0), document]
}

#[test]
fn an_oauth_token_is_requested_as_the_table_says() {
    let answer = r#"{"access_token":"at","token_type":"Bearer","expires_in":3600}"#;
    let auth = "{ type = \"oauth\", token = \"/token\", scope = \"files read\", \
        form = { subject = \"{base_host}\" }, headers = { \"X-Own\" = \"1\" } }";
    let [token, document] = token_request(auth, client(), answer);
    let value = format!("Basic {}", base64("client%207:s3cret%20of%20it"));
    assert_eq!(token.header("authorization"), Some(&*value));
    assert_eq!(token.header("x-own"), Some("1"));
    assert_eq!(token.header("acme-version"), None);
    let pairs = [
        ("grant_type", "client_credentials"),
        ("scope", "files read"),
        ("subject", "127.0.0.1"),
    ];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(form(&token), pairs);
    assert_eq!(document.header("authorization"), Some("Bearer at"));

    let auth = "{ type = \"oauth\", token = \"/token\", client = \"form\" }";
    let [token, _] = token_request(auth, client(), r#"{"access_token":"at"}"#);
    assert_eq!(token.header("authorization"), None);
    let pairs = [
        ("grant_type", "client_credentials"),
        ("client_id", "client 7"),
        ("client_secret", "s3cret of it"),
    ];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(form(&token), pairs);
}

#[test]
fn a_token_route_of_another_host_gets_the_client_and_the_api_gets_the_token() {
    let answer = r#"{"access_token":"at","token_type":"bearer"}"#;
    let login = Raw::start(move |_, stream| json(stream, "200 OK", answer));
    let api = Raw::start(|_, stream| redirect(stream));
    let auth = format!("{{ type = \"oauth\", token = \"{}/token\" }}", login.base());
    let state = tempfile::tempdir().unwrap();
    resolve(&auth, client(), &api.base(), Some(state.path())).unwrap();
    assert_eq!((login.seen().len(), api.seen().len()), (1, 1));
    assert_eq!(api.seen()[0].header("authorization"), Some("Bearer at"));
    drop(login);
    let gone = Raw::start(|_, stream| reply(stream, "404 Not Found", &[], b""));
    let auth = format!("{{ type = \"oauth\", token = \"{}/token\" }}", gone.base());
    let error = resolve(&auth, client(), &api.base(), None).unwrap_err();
    assert_eq!(error.code(), Code::Config);
    assert!(error.hint().contains("token"), "{}", error.message());
}

#[test]
fn a_key_is_exchanged_for_a_token() {
    let auth = "{ type = \"exchange\", path = \"/token\", json = { key = \"{key}\" }, \
        token = [\"/none\", \"/data/token\"], expires = { at = \"/data/ttl\", as = \"seconds\" } }";
    let answer = r#"{"data":{"token":"at","ttl":"3600"}}"#;
    let [token, document] = token_request(auth, key(), answer);
    let body: serde_json::Value = serde_json::from_slice(&token.body).unwrap();
    assert_eq!(body, serde_json::json!({ "key": KEY }));
    assert_eq!(token.header("authorization"), None);
    assert_eq!(document.header("authorization"), Some("Bearer at"));
    // A token that is about to expire is not kept.
    let api = Raw::start(move |request, stream| match request.path() {
        "/token" => json(stream, "200 OK", r#"{"data":{"token":"at","ttl":50}}"#),
        _ => redirect(stream),
    });
    let state = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        resolve(auth, key(), &api.base(), Some(state.path())).unwrap();
    }
    assert_eq!(api.count("POST", "/token"), 2);
}

#[test]
fn an_exchange_that_is_refused_or_has_no_token_says_so_without_the_key() {
    let auth =
        "{ type = \"exchange\", path = \"/token\", form = { k = \"{key}\" }, token = \"/token\" }";
    for (status, body, code) in [
        (
            "401 Unauthorized",
            r#"{"message":"no such key k3y +/of-the-user"}"#,
            Code::CredentialsRejected,
        ),
        (
            "400 Bad Request",
            r#"{"message":"no such key k3y +/of-the-user"}"#,
            Code::RequestRefused,
        ),
        ("200 OK", r#"{"other":"k3y +/of-the-user"}"#, Code::Protocol),
        ("200 OK", r#"{"token":"two words"}"#, Code::Protocol),
    ] {
        let api = Raw::start(move |_, stream| json(stream, status, body));
        let error = resolve(auth, key(), &api.base(), None).unwrap_err();
        assert_eq!(error.code(), code, "{}", error.message());
        let said = format!("{} {:?} {}", error.message(), error.cause(), error.hint());
        assert!(!said.contains("of-the-user"), "{said}");
        assert_eq!(api.seen().len(), 1);
    }
}

/// A service that takes each refresh token once, and revokes all when one comes twice.
#[derive(Default)]
struct Family {
    /// How many refresh tokens were taken.
    refreshes: usize,
    used: HashSet<String>,
    is_revoked: bool,
    /// Access tokens before this one are refused.
    first_valid: usize,
}

impl Family {
    fn refresh_token(number: usize) -> String {
        match number {
            0 => GIVEN.to_owned(),
            number => format!("refresh-number-{number}"),
        }
    }

    fn answer(&mut self, request: &Request, stream: &mut TcpStream) {
        if request.path() != "/token" {
            let valid = self.first_valid..=self.refreshes;
            let mut tokens = valid.map(|number| format!("Bearer access-{number}"));
            return match request.header("authorization") {
                Some(given) if tokens.any(|token| token == given) => redirect(stream),
                _ => json(stream, "401 Unauthorized", r#"{"detail":"expired"}"#),
            };
        }
        let fields = form(request);
        let token = fields.iter().find(|(name, _)| name == "refresh_token");
        let token = token.unwrap().1.clone();
        let is_current = token == Self::refresh_token(self.refreshes);
        self.is_revoked |= !self.used.insert(token.clone());
        if self.is_revoked || !is_current {
            let body = format!(r#"{{"error":"invalid_grant","error_description":"{token}"}}"#);
            return json(stream, "400 Bad Request", &body);
        }
        self.refreshes += 1;
        let number = self.refreshes;
        let body = format!(
            r#"{{"access_token":"access-{number}","token_type":"bearer","expires_in":3600,"refresh_token":"{}"}}"#,
            Self::refresh_token(number)
        );
        json(stream, "200 OK", &body);
    }
}

const ROTATING: &str =
    "{ type = \"oauth\", token = \"/token\", grant = \"refresh-token\", client = \"form\" }";

/// The server of a family, and the family.
fn family() -> (Raw, Arc<Mutex<Family>>) {
    let family: Arc<Mutex<Family>> = Arc::default();
    family.lock().unwrap().first_valid = 1;
    let served = Arc::clone(&family);
    let api = Raw::start(move |request, stream| {
        if request.path() == "/token" {
            std::thread::sleep(Duration::from_millis(200));
        }
        served.lock().unwrap().answer(request, stream);
    });
    (api, family)
}

#[test]
fn eight_that_start_at_the_same_time_refresh_once_and_so_after_a_401() {
    let (api, family) = family();
    let state = tempfile::tempdir().unwrap();
    let all = || {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    resolve(ROTATING, refresh_token(), &api.base(), Some(state.path())).unwrap();
                });
            }
        });
    };
    all();
    assert_eq!(api.count("POST", "/token"), 1);
    for number in 2..5 {
        family.lock().unwrap().first_valid = number;
        all();
        assert_eq!(api.count("POST", "/token"), number);
    }
    assert!(!family.lock().unwrap().is_revoked);
    // The user gave another token: it is of another account.
    let other = Credentials::RefreshToken {
        id: Secret::new("client"),
        secret: Secret::new("secret"),
        token: Secret::new("refresh-of-another-login"),
    };
    let error = resolve(ROTATING, other, &api.base(), Some(state.path())).unwrap_err();
    assert_eq!(error.code(), Code::CredentialsRejected);
    assert_eq!(api.count("POST", "/token"), 5);
}

#[test]
fn the_stored_refresh_token_wins_until_invalid_grant_and_then_the_users_own_is_tried_once() {
    let (api, family) = family();
    let state = tempfile::tempdir().unwrap();
    let run = || resolve(ROTATING, refresh_token(), &api.base(), Some(state.path()));
    run().unwrap();
    family.lock().unwrap().first_valid = 9;
    family.lock().unwrap().is_revoked = true;
    let error = run().unwrap_err();
    assert_eq!(error.code(), Code::CredentialsRejected);
    assert!(
        error.hint().contains("ACME_REFRESH_TOKEN"),
        "{}",
        error.hint()
    );
    let said = format!("{} {:?} {}", error.message(), error.cause(), error.hint());
    assert!(!said.contains("refresh-"), "{said}");
    let tokens = |api: &Raw| -> Vec<String> {
        let seen = api
            .seen()
            .into_iter()
            .filter(|request| request.path() == "/token");
        seen.map(|request| form(&request)[1].1.clone()).collect()
    };
    assert_eq!(tokens(&api), [GIVEN, "refresh-number-1", GIVEN]);
    // The stored token is dead: the next run does not try it.
    run().unwrap_err();
    assert_eq!(tokens(&api)[3..], [GIVEN]);
}

#[test]
fn nothing_is_refreshed_where_the_new_token_cannot_be_stored() {
    let (api, _) = family();
    let error = resolve(ROTATING, refresh_token(), &api.base(), None).unwrap_err();
    assert_eq!(error.code(), Code::LocalIo);
    assert!(error.message().contains("acme"), "{}", error.message());
    let state = tempfile::tempdir().unwrap();
    std::fs::write(state.path().join("tokens"), b"").unwrap();
    let error = resolve(ROTATING, refresh_token(), &api.base(), Some(state.path())).unwrap_err();
    assert_eq!(error.exit_code(), 7);
    assert!(api.seen().is_empty());
}

#[test]
fn what_a_refresh_brought_is_on_disk_before_it_is_used() {
    let family: Arc<Mutex<Family>> = Arc::default();
    family.lock().unwrap().first_valid = 1;
    let state = tempfile::tempdir().unwrap();
    let (served, folder) = (Arc::clone(&family), state.path().to_owned());
    let api = Raw::start(move |request, stream| {
        let mut family = served.lock().unwrap();
        if request.path() != "/token" {
            let stored = std::fs::read_dir(folder.join("tokens")).unwrap().flatten();
            let mut stored = stored.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
            let last = Family::refresh_token(family.refreshes);
            assert!(stored.any(|text| text.contains(&last)), "{last}");
            if request.before == 0 {
                return; // as if the process had died here
            }
        }
        family.answer(request, stream);
    });
    let run = || resolve(ROTATING, refresh_token(), &api.base(), Some(state.path()));
    run().unwrap_err();
    run().unwrap();
    assert_eq!(api.count("POST", "/token"), 1);
    family.lock().unwrap().first_valid = 2;
    run().unwrap();
    assert_eq!(api.count("POST", "/token"), 2);
}

#[test]
fn a_refresh_of_a_process_that_died_is_passed_over() {
    let (api, family) = family();
    let state = tempfile::tempdir().unwrap();
    let run = || resolve(ROTATING, refresh_token(), &api.base(), Some(state.path()));
    run().unwrap();
    let tokens = state.path().join("tokens");
    let files = || {
        std::fs::read_dir(&tokens)
            .unwrap()
            .flatten()
            .map(|entry| entry.path())
    };
    let first = files()
        .find(|path| path.to_str().unwrap().ends_with(".attempt.1"))
        .unwrap();
    let second = first.with_extension("2");
    std::fs::copy(&first, &second).unwrap(); // with its permissions
    std::fs::write(&second, b"").unwrap();
    family.lock().unwrap().first_valid = 2;
    run().unwrap();
    assert_eq!(api.count("POST", "/token"), 2);
    assert!(first.with_extension("3").exists());
    // What cannot be read could have had the token that counts.
    std::fs::write(first.with_extension("3"), b"garbage\n").unwrap();
    let error = run().unwrap_err();
    assert_eq!(error.code(), Code::LocalIo, "{}", error.message());
    assert!(
        error.hint().contains("remove that file"),
        "{}",
        error.hint()
    );
    assert_eq!(api.count("POST", "/token"), 2);
}

#[test]
fn old_generations_are_removed() {
    let (api, family) = family();
    let state = tempfile::tempdir().unwrap();
    for number in 1..20 {
        family.lock().unwrap().first_valid = number;
        resolve(ROTATING, refresh_token(), &api.base(), Some(state.path())).unwrap();
    }
    assert_eq!(api.count("POST", "/token"), 19);
    let files = std::fs::read_dir(state.path().join("tokens")).unwrap();
    let generations = files
        .flatten()
        .filter(|entry| entry.path().to_string_lossy().contains(".attempt."));
    assert_eq!(generations.count(), 16);
}

#[test]
fn an_account_of_a_name_keeps_its_paid_retrievals_when_the_token_changes() {
    let (api, _storage) = raw::both("/a.bin", |request, stream| {
        raw::serve(request, stream, b"content", "\"tag\"");
    });
    for (account, posts) in [(Some("lab"), 1), (None, 2)] {
        let before = api.count("POST", "/download_uri");
        let mut world = World::bare();
        world.set("ONE_CODEX_API_BASE", &api.base());
        if let Some(account) = account {
            let file = world.home().join("account");
            std::fs::write(&file, account).unwrap();
            world.set("ONE_CODEX_ACCOUNT_FILE", file.to_str().unwrap());
        }
        for token in ["bearer-t0ken-one", "bearer-t0ken-two"] {
            world.hide(token);
            world.set("ONE_CODEX_BEARER_TOKEN", token);
            let run = world.run_showing(&["url", "onecodex", "a", "-v"]);
            let warns = run.exits(0).stderr.contains("for this bearer token only");
            assert_eq!(warns, account.is_none(), "{run:?}");
            assert!(!run.stderr.contains(token), "{run:?}");
        }
        assert_eq!(api.count("POST", "/download_uri"), before + posts);
    }
}

#[test]
fn missing_credentials_name_the_variables_of_each_entry() {
    let world = World::bare();
    let run = world.run(&["onecodex", "a"]);
    run.exits(3)
        .says("neither ONE_CODEX_BEARER_TOKEN nor ONE_CODEX_API_KEY is set, and ~/.onecodex has no key")
        .says("set ONE_CODEX_BEARER_TOKEN or ONE_CODEX_API_KEY; ONE_CODEX_API_KEY_FILE can name");
    let mut world = World::bare();
    let run = world.run(&["sm", "a"]);
    run.exits(3)
        .says("STANDARD_METRICS_CLIENT_ID and STANDARD_METRICS_CLIENT_SECRET are not set");
    world.set("STANDARD_METRICS_CLIENT_ID_FILE", "/dev/null");
    world.set("STANDARD_METRICS_CLIENT_ID", "client-7f3a");
    let run = world.run(&["sm", "a"]);
    run.exits(3)
        .says("STANDARD_METRICS_CLIENT_SECRET is not set");
}

#[test]
fn a_table_whose_auth_cannot_work_is_refused() {
    let file = |keys: &str| format!("{{ type = \"basic\", file = {{ home = \".x\", {keys} }} }}");
    for (auth, says) in [
        (
            "[{ type = \"none\" }, { type = \"bearer\" }]".to_owned(),
            "none",
        ),
        (
            "[{ type = \"query\", name = \"k\" }, { type = \"header\", name = \"X-K\" }]"
                .to_owned(),
            "the same variables",
        ),
        (file("username = \"/u\""), "password"),
        (
            file("username = \"/u\", password = \"/p\", token = \"/t\""),
            "token",
        ),
        (
            "{ type = \"none\", file = { home = \".x\" } }".to_owned(),
            "has no file",
        ),
        (
            "{ type = \"oauth\", token = \"https://login.{base_host}/token\" }".to_owned(),
            "host has no slot",
        ),
        (
            "{ type = \"exchange\", path = \"/t\", form = { k = \"x\" }, token = \"/t\" }"
                .to_owned(),
            "{key}",
        ),
    ] {
        let text = format!(
            "base = \"https://api.acme.example\"\nauth = {auth}\nresolve = {{ path = \"/f/{{id}}\", url = \"redirect\" }}\n"
        );
        let error = Provider::from_toml("acme", &text).unwrap_err();
        let said = format!("{} {:?} {}", error.message(), error.cause(), error.hint());
        assert_eq!(error.code(), Code::Config, "{said}");
        assert!(said.contains(says), "{auth}: {said}");
    }
}
