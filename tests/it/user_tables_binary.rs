//! Tables of services that are not shipped, as a new user writes them, with the real binary against strict servers.

use crate::support::raw::{Raw, Request, reply, send_part, serve};
use crate::support::{API_KEY, CLIENT_ID, CLIENT_SECRET, Run, World, kill, noise, sha256};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::net::TcpStream;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const LINK: &str = "canary link/of-the-step";
const LINK_IN_PATH: &str = "canary%20link%2Fof-the-step";
const STORE_TOKEN: &str = "canary-of-the-store";
const JOB: &str = "canary-of-the-job";
const TAG: &str = "\"v1\"";

/// A world whose configuration file has this table of the provider `acme`; `BASE` in it stands for the base.
fn world(base: &str, table: &str) -> World {
    let mut world = World::bare();
    let file = world.home().join("tables.toml");
    std::fs::write(&file, table.replace("BASE", base)).unwrap();
    world.set("DOCFETCH_CONFIG", file.to_str().unwrap());
    world.set("ACME_API_KEY", API_KEY);
    for secret in [LINK, LINK_IN_PATH, STORE_TOKEN, JOB] {
        world.hide(secret);
    }
    world
}

fn answer(stream: &mut TcpStream, body: &Value) {
    let headers = [("Content-Type", "application/json")];
    reply(stream, "200 OK", &headers, body.to_string().as_bytes());
}

fn refuse(stream: &mut TcpStream, status: &str) {
    reply(stream, status, &[], b"{}");
}

/// The content that each document of a run must have.
fn is_fetched(world: &World, run: &Run, name: &str, content: &[u8]) {
    run.exits(0);
    assert!(world.read(name) == content, "{run:#?}");
}

const TWO_STEPS: &str = "
[providers.acme]
title = 'Acme Documents'
base  = 'BASE'
auth  = { type = 'header', name = 'X-Acme-Key' }

[[providers.acme.resolve]]
path    = '/files/{id}'
capture = { link = '/links/download/id' }

[[providers.acme.resolve]]
method          = 'POST'
path            = '/links/{link}'
json            = { hours = 1 }
url             = '/data/url'
storage_headers = '/data/headers'
expires         = { at = '/data/ttl', as = 'seconds' }
name            = '/data/name'
";

/// The API of [`TWO_STEPS`], whose documents are at `url`.
fn two_steps(url: String) -> Raw {
    Raw::start(move |request, stream| {
        if request.header("x-acme-key") != Some(API_KEY) {
            return refuse(stream, "401 Unauthorized");
        }
        let is_link = request.path() == format!("/links/{LINK_IN_PATH}");
        match request.method.as_str() {
            "GET" if request.path() == "/files/a" => {
                answer(stream, &json!({"links": {"download": {"id": LINK}}}));
            }
            "POST" if is_link && request.body == br#"{"hours":1}"# => {
                let headers = json!({"X-Store-Token": STORE_TOKEN, "Range": "bytes=0-0"});
                let data = json!({"url": url, "headers": headers, "ttl": 900, "name": "a.bin"});
                answer(stream, &json!({ "data": data }));
            }
            _ => refuse(stream, "404 Not Found"),
        }
    })
}

/// Whether the request to the storage has the headers of the table, and none of the API.
fn is_for_storage(request: &Request, stream: &mut TcpStream) -> bool {
    let has_token = request.header("x-store-token") == Some(STORE_TOKEN);
    let is_right = has_token && request.header("x-acme-key").is_none();
    if !is_right {
        reply(
            stream,
            "403 Forbidden",
            &[],
            b"<Error><Code>NoToken</Code></Error>",
        );
    }
    is_right
}

#[test]
fn storage_headers_go_with_each_range_and_with_a_resume_and_are_shown_nowhere() {
    let content = noise(40_000_000);
    let (bytes, breaks) = (content.clone(), Arc::new(AtomicBool::new(true)));
    let is_broken = Arc::clone(&breaks);
    let storage = Raw::start(move |request, stream| {
        if !is_for_storage(request, stream) {
        } else if is_broken.load(Ordering::Relaxed) {
            send_part(request, stream, &bytes, TAG, 3_000_000);
        } else {
            serve(request, stream, &bytes, TAG);
        }
    });
    let api = two_steps(format!("{}/store/a?sig=5igned-and-secret", storage.base()));
    let world = world(&api.base(), TWO_STEPS);
    let arguments = [
        "acme",
        "a",
        "-v",
        "--json",
        "--manifest",
        "m.jsonl",
        "-c",
        "4",
    ];
    world
        .run(&[&arguments[..], &["--retries", "0"]].concat())
        .exits(5);
    breaks.store(false, Ordering::Relaxed);
    let earlier = storage.seen().len();
    let run = world.run(&arguments);
    is_fetched(&world, &run, "a.bin", &content);
    let record = &run.records()[0];
    assert!(record["resumed_from"].as_u64().unwrap() > 0, "{record}");
    assert_eq!(record["charged"], Value::Null);
    let later = storage.seen().split_off(earlier);
    assert!(later.len() > 1, "{later:?}");
    for request in &later {
        assert!(request.header("range").is_some(), "{request:?}");
        assert_eq!(request.header("x-store-token"), Some(STORE_TOKEN));
    }
    world.run(&["ledger", "list", "--json"]).exits(0);
    world.run(&["partials", "--json"]).exits(0);
}

#[test]
fn a_redirect_of_the_storage_to_another_origin_gets_no_header_of_the_table() {
    let content = noise(100_000);
    let bytes = content.clone();
    let other = Raw::start(move |request, stream| serve(request, stream, &bytes, TAG));
    let target = format!("{}/elsewhere?sig=5igned-and-secret", other.base());
    let storage = Raw::start(move |request, stream| {
        if is_for_storage(request, stream) {
            reply(
                stream,
                "307 Temporary Redirect",
                &[("Location", &target)],
                b"",
            );
        }
    });
    let api = two_steps(format!("{}/store/a?sig=5igned-and-secret", storage.base()));
    let world = world(&api.base(), TWO_STEPS);
    let run = world.run(&["acme", "a", "-v"]);
    is_fetched(&world, &run, "a.bin", &content);
    assert_eq!(storage.seen().len(), 1);
    for (request, head) in other.seen_with_heads() {
        assert_eq!(request.header("x-store-token"), None);
        assert!(!head.contains("canary"), "{head}");
    }
}

#[test]
fn url_prints_the_url_alone_and_its_record_has_the_headers() {
    let api = two_steps("http://127.0.0.1:9/store/a?sig=5igned-and-secret".to_owned());
    let world = world(&api.base(), TWO_STEPS);
    let url = "http://127.0.0.1:9/store/a?sig=5igned-and-secret";
    let run = world.run_showing(&["url", "acme", "a", "-v"]);
    assert_eq!(run.exits(0).stdout, format!("{url}\n"));
    run.says("docfetch url --json");
    assert!(!run.stderr.contains("canary"), "{run:#?}");
    let run = world.run_showing(&["url", "acme", "a", "--json", "-v"]);
    let records = run.exits(0).records();
    assert_eq!(records.len(), 1);
    let mut record = records[0].clone();
    let expires = record["expires"].take();
    let expected = json!({"type": "url", "provider": "acme", "id": "a", "url": url,
        "headers": {"x-store-token": STORE_TOKEN}, "expires": null});
    assert_eq!(record, expected);
    let expires: jiff::Timestamp = expires.as_str().unwrap().parse().unwrap();
    let left = expires.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((800..=900).contains(&left), "{left}");
    for secret in ["canary", "5igned"] {
        assert!(!run.stderr.contains(secret), "{run:#?}");
    }
}

/// A free step, a paid one, and a free one with the URL.
const PAID_IN_THE_MIDDLE: &str = "
[providers.acme]
base = 'BASE'
auth = { type = 'header', name = 'X-Acme-Key' }

[[providers.acme.resolve]]
path    = '/open/{id}'
capture = { ticket = '/ticket' }

[[providers.acme.resolve]]
method  = 'POST'
path    = '/pay/{id}'
json    = { ticket = '{ticket}' }
capture = { job = '/job' }
failure = '/failure'
error   = '/why'
charged = true

[[providers.acme.resolve]]
path = '/jobs/{job}'
url  = '/url'
";

/// A free step, and a paid one with the URL.
const PAID_LAST: &str = "
[providers.acme]
base = 'BASE'
auth = { type = 'header', name = 'X-Acme-Key' }

[[providers.acme.resolve]]
path    = '/open/{id}'
capture = { ticket = '/ticket' }

[[providers.acme.resolve]]
method  = 'POST'
path    = '/pay/{id}'
json    = { ticket = '{ticket}' }
url     = '/url'
failure = '/failure'
error   = '/why'
charged = true
";

/// The service of both, and its storage.
struct Paid {
    raw: Raw,
    /// Requests for a path with this part are not answered.
    held: Arc<Mutex<&'static str>>,
    /// The answer to the paid request, instead of the usual one.
    says: Arc<Mutex<Option<(&'static str, &'static str)>>>,
}

impl Paid {
    fn start() -> Self {
        let held = Arc::new(Mutex::new("never"));
        let says: Arc<Mutex<Option<(&'static str, &'static str)>>> = Arc::default();
        let (holds, said) = (Arc::clone(&held), Arc::clone(&says));
        let raw = Raw::start(move |request, stream| {
            if request.path().contains(*holds.lock().unwrap()) {
                std::thread::sleep(Duration::from_secs(100));
                return;
            }
            let path = request.path();
            if path.starts_with("/store/") {
                return serve(request, stream, b"content", TAG);
            }
            if request.header("x-acme-key") != Some(API_KEY) {
                return refuse(stream, "401 Unauthorized");
            }
            let host = request.header("host").unwrap();
            let url = format!("http://{host}/store/a.txt?sig=5igned-and-secret");
            let said = *said.lock().unwrap();
            match (request.method.as_str(), path) {
                ("GET", path) if path.starts_with("/open/") => {
                    answer(
                        stream,
                        &json!({"ticket": format!("ticket of {}", &path[6..])}),
                    );
                }
                ("POST", path) if path.starts_with("/pay/") => {
                    let ticket = json!({"ticket": format!("ticket of {}", &path[5..])});
                    assert_eq!(request.body, ticket.to_string().as_bytes());
                    match said {
                        Some((status, body)) => reply(stream, status, &[], body.as_bytes()),
                        None => answer(stream, &json!({"job": JOB, "url": url})),
                    }
                }
                ("GET", path) if path == format!("/jobs/{JOB}") => {
                    answer(stream, &json!({ "url": url }));
                }
                _ => refuse(stream, "404 Not Found"),
            }
        });
        Self { raw, held, says }
    }

    fn charges(&self) -> usize {
        self.raw.count("POST", "/pay/")
    }

    /// Starts a run and kills it once a request for `part` arrived.
    fn kill_at(&self, world: &World, part: &'static str) {
        *self.held.lock().unwrap() = part;
        let child = world.command(&["acme", "a"]).spawn().unwrap();
        let is_there = || {
            self.raw
                .seen()
                .iter()
                .any(|seen| seen.path().contains(part))
        };
        world.wait_until(part, is_there);
        kill(child);
        *self.held.lock().unwrap() = "never";
    }
}

#[test]
fn a_run_killed_between_the_steps_pays_once() {
    for (table, part) in [
        (PAID_IN_THE_MIDDLE, "/open/"),
        (PAID_IN_THE_MIDDLE, "/jobs/"),
        (PAID_IN_THE_MIDDLE, "/store/"),
        (PAID_LAST, "/open/"),
        (PAID_LAST, "/store/"),
    ] {
        let service = Paid::start();
        let world = world(&service.raw.base(), table);
        service.kill_at(&world, part);
        let paid = service.charges();
        assert_eq!(paid, usize::from(part != "/open/"), "{part}");
        let plan = world.run(&["acme", "a", "--dry-run", "--json"]);
        let summary = plan.exits(0).records().pop().unwrap();
        let costs = ["would_charge", "would_reuse", "would_refuse"];
        let expected = if paid == 0 { [1, 0, 0] } else { [0, 1, 0] };
        assert_eq!(
            costs.map(|cost| summary[cost].clone()),
            expected.map(Value::from),
            "{part}"
        );
        if paid == 0 {
            let run = world.run(&["acme", "a", "--max-charges", "0", "--json"]);
            assert_eq!(run.exits(8).error_code(), "charge_refused");
            world.run(&["acme", "a", "-v"]).exits(0);
        } else {
            let listed = world.run(&["ledger", "list", "--json"]).records();
            let shown = (
                &listed[0]["provider"],
                &listed[0]["id"],
                &listed[0]["state"],
            );
            assert_eq!(
                shown,
                (&json!("acme"), &json!("a"), &json!("answered")),
                "{part}"
            );
            let run = world.run(&["acme", "a", "--max-charges", "0", "-v"]);
            is_fetched(&world, &run, "a.txt", b"content");
        }
        assert_eq!(service.charges(), 1, "{part}");
        let listed = world.run(&["ledger", "list", "--json"]).records();
        assert_eq!(
            (listed.len(), &listed[0]["state"]),
            (1, &json!("delivered"))
        );
        world.run(&["ledger", "forget", "acme", "a"]).exits(0);
        assert_eq!(world.run(&["ledger", "list", "--json"]).exits(0).stdout, "");
        let again = world.run(&["acme", "a", "--if-exists", "overwrite", "--json"]);
        assert_eq!(again.exits(0).records()[0]["charged"], true);
        assert_eq!(service.charges(), 2, "{part}");
    }
}

#[test]
fn two_processes_that_want_one_document_pay_once() {
    for table in [PAID_IN_THE_MIDDLE, PAID_LAST] {
        let service = Paid::start();
        let world = world(&service.raw.base(), table);
        let start = |name| world.command(&["acme", "a", "-o", name]).spawn().unwrap();
        let both = ["one", "two"].map(start);
        for child in both {
            world.finish(child, Instant::now()).exits(0);
        }
        assert_eq!(service.charges(), 1);
        assert_eq!(world.files(), ["one", "two"]);
    }
}

#[test]
fn a_paid_success_that_is_a_failure_is_in_doubt_and_a_refusal_is_no_charge() {
    let service = Paid::start();
    let world = world(&service.raw.base(), PAID_IN_THE_MIDDLE);
    let body = r#"{"why":"ask the owner","job":"canary-of-the-job"}"#;
    *service.says.lock().unwrap() = Some(("403 Forbidden", body));
    let run = world.run(&["acme", "a", "--json"]);
    assert_eq!(run.exits(4).error_code(), "forbidden");
    run.says("ask the owner");
    assert_eq!(world.run(&["ledger", "list", "--json"]).exits(0).stdout, "");
    let body = r#"{"failure":"the archive is offline","job":"canary-of-the-job"}"#;
    *service.says.lock().unwrap() = Some(("200 OK", body));
    let run = world.run(&["acme", "a", "--json"]);
    assert_eq!(run.exits(8).error_code(), "charge_unknown");
    run.says("the archive is offline");
    *service.says.lock().unwrap() = None;
    let run = world.run(&["acme", "a", "--json"]);
    assert_eq!(run.exits(8).error_code(), "charge_refused");
    assert_eq!(service.charges(), 2);
    world.run(&["acme", "a", "--allow-recharge"]).exits(0);
    assert_eq!(service.charges(), 3);
}

/// A table of one free step, whose answers are those of `answers`, in turn.
fn one_step(keys: &str, answers: Vec<(&'static str, String)>) -> (Raw, World) {
    let turn = AtomicUsize::new(0);
    let api = Raw::start(move |request, stream| {
        if request.path().starts_with("/store/") {
            return serve(request, stream, b"content", TAG);
        }
        let (status, body) = &answers[turn.fetch_add(1, Ordering::Relaxed)];
        let host = request.header("host").unwrap();
        let url = format!("http://{host}/store/a.txt?sig=5igned-and-secret");
        reply(stream, status, &[], body.replace("URL", &url).as_bytes());
    });
    let table = format!(
        "[providers.acme]\nbase = 'BASE'\nauth = {{ type = 'header', name = 'X-Acme-Key' }}\n\
         resolve = {{ path = '/files/{{id}}', url = '/url', {keys} }}\n"
    );
    let world = world(&api.base(), &table);
    (api, world)
}

#[test]
fn a_free_failure_gives_the_reason_of_the_service() {
    let answers = vec![
        (
            "200 OK",
            r#"{"failure":{"text":"quota used up"},"url":"URL"}"#.to_owned(),
        ),
        ("404 Not Found", r#"{"why":"moved to tape"}"#.to_owned()),
        ("200 OK", r#"{"failure":null,"url":"URL"}"#.to_owned()),
    ];
    let (_api, world) = one_step("failure = '/failure/text', error = '/why'", answers);
    let run = world.run(&["acme", "a", "--json", "--retries", "0"]);
    assert_eq!(run.exits(4).error_code(), "request_refused");
    run.says("quota used up");
    assert!(world.files().is_empty());
    let run = world.run(&["acme", "a", "--json"]);
    assert_eq!(run.exits(4).error_code(), "not_found");
    run.says("moved to tape");
    is_fetched(&world, &world.run(&["acme", "a"]), "a.txt", b"content");
}

#[test]
fn a_checksum_of_the_table_decides() {
    let right = sha256(b"content");
    let body = |algorithm: &str, sum: &str| {
        let answer = json!({"url": "URL", "sum": sum, "algorithm": algorithm});
        ("200 OK", answer.to_string())
    };
    let answers = vec![
        body("SHA-256", &sha256(b"other")),
        body("SHA-256", &right),
        body("blake3", "00"),
    ];
    let keys = "checksum = { at = '/sum', algorithm_at = '/algorithm' }";
    let (_api, world) = one_step(keys, answers);
    let run = world.run(&["acme", "a", "--json", "--retries", "0"]);
    assert_eq!(run.exits(6).error_code(), "digest_mismatch");
    assert!(!world.out().join("a.txt").exists());
    for _ in 0..2 {
        let run = world.run(&["acme", "a", "--if-exists", "overwrite"]);
        is_fetched(&world, &run, "a.txt", b"content");
    }
}

/// A service that takes each refresh token once, and revokes all when one comes twice.
#[derive(Default)]
struct Family {
    refreshes: usize,
    used: HashSet<String>,
    is_revoked: bool,
    /// Requests for documents are not answered.
    holds_documents: bool,
}

impl Family {
    fn refresh_token(number: usize) -> String {
        format!("canary-refresh-number-{number}")
    }

    fn token(&mut self, request: &Request, stream: &mut TcpStream) {
        let fields: Vec<(String, String)> = url::form_urlencoded::parse(&request.body)
            .into_owned()
            .collect();
        let token = fields.iter().find(|(name, _)| name == "refresh_token");
        let token = token.unwrap().1.clone();
        let is_current = token == Self::refresh_token(self.refreshes);
        self.is_revoked |= !self.used.insert(token.clone());
        if self.is_revoked || !is_current {
            let body = json!({"error": "invalid_grant", "error_description": token}).to_string();
            return reply(stream, "400 Bad Request", &[], body.as_bytes());
        }
        self.refreshes += 1;
        let number = self.refreshes;
        let body = json!({"access_token": format!("canary-access-{number}"), "token_type": "bearer",
            "expires_in": 3600, "refresh_token": Self::refresh_token(number)});
        answer(stream, &body);
    }
}

const ROTATING: &str = "
[providers.acme]
base    = 'BASE'
auth    = { type = 'oauth', token = '/token', grant = 'refresh-token' }
resolve = { path = '/files/{id}', url = '/url' }
";

fn family() -> (Raw, Arc<Mutex<Family>>, World) {
    let family: Arc<Mutex<Family>> = Arc::default();
    let served = Arc::clone(&family);
    let api = Raw::start(move |request, stream| {
        let mut family = served.lock().unwrap();
        if request.path() == "/token" {
            return family.token(request, stream);
        }
        let (number, holds) = (family.refreshes, family.holds_documents);
        drop(family);
        if holds {
            std::thread::sleep(Duration::from_secs(100));
        } else if request.path().starts_with("/store/") {
            assert_eq!(request.header("authorization"), None);
            serve(request, stream, b"content", TAG);
        } else if request.header("authorization")
            == Some(&*format!("Bearer canary-access-{number}"))
        {
            let host = request.header("host").unwrap();
            answer(
                stream,
                &json!({"url": format!("http://{host}/store/a?sig=5igned-and-secret")}),
            );
        } else {
            refuse(stream, "401 Unauthorized");
        }
    });
    let mut world = world(&api.base(), ROTATING);
    world.set("ACME_CLIENT_ID", CLIENT_ID);
    world.set("ACME_CLIENT_SECRET", CLIENT_SECRET);
    world.set("ACME_REFRESH_TOKEN", &Family::refresh_token(0));
    for secret in ["canary-refresh", "canary-access"] {
        world.hide(secret);
    }
    (api, family, world)
}

#[test]
fn eight_processes_that_start_together_refresh_once() {
    let (api, _family, world) = family();
    let start = |number: usize| -> Child {
        let arguments = ["acme", "a", "-v", "--json", "-o", &format!("file{number}")];
        world.command(&arguments).spawn().unwrap()
    };
    let children: Vec<Child> = (0..8).map(start).collect();
    for child in children {
        world.finish(child, Instant::now()).exits(0);
    }
    assert_eq!(api.count("POST", "/token"), 1);
    assert_eq!(world.files().len(), 8);
}

#[test]
fn a_kill_after_a_refresh_loses_no_token_and_a_refused_one_names_the_variable() {
    let (api, family, world) = family();
    family.lock().unwrap().holds_documents = true;
    let child = world.command(&["acme", "a"]).spawn().unwrap();
    world.wait_until("a request with the token", || {
        api.count("GET", "/files/") == 1
    });
    kill(child);
    family.lock().unwrap().holds_documents = false;
    world.run(&["acme", "a", "-v"]).exits(0);
    assert_eq!(api.count("POST", "/token"), 1);
    // The service revokes all: the stored refresh token first, then the user's own, once.
    {
        let mut family = family.lock().unwrap();
        (family.is_revoked, family.refreshes) = (true, 7);
    }
    let run = world.run(&["acme", "a", "--if-exists", "overwrite", "-v", "--json"]);
    assert_eq!(run.exits(3).error_code(), "credentials_rejected");
    run.says("ACME_REFRESH_TOKEN");
    assert_eq!(api.count("POST", "/token"), 3);
}

#[test]
fn a_kill_while_the_token_arrives_ends_in_a_token_or_in_a_login() {
    let (api, _family, world) = family();
    let child = world.command(&["acme", "a"]).spawn().unwrap();
    world.wait_until("a refresh", || api.count("POST", "/token") == 1);
    kill(child);
    let run = world.run(&["acme", "a", "-v"]);
    run.is_prompt();
    assert!([0, 3].contains(&run.code), "{run:#?}");
    if run.code == 3 {
        run.says("ACME_REFRESH_TOKEN");
    }
}

/// A table of this `auth`, with a list, against a server that answers what `is_right`.
fn with_auth(
    auth: &str,
    is_right: impl Fn(&Request) -> bool + Send + Sync + 'static,
) -> (Raw, World) {
    let api = Raw::start(move |request, stream| {
        let host = request.header("host").unwrap();
        match request.path() {
            "/store/a" if request.header("authorization").is_none() => {
                serve(request, stream, b"content", TAG);
            }
            "/session" if request.body == format!(r#"{{"key":"{API_KEY}"}}"#).as_bytes() => {
                answer(stream, &json!({"jwt": "canary-of-the-session", "ttl": 600}));
            }
            _ if !is_right(request) => refuse(stream, "401 Unauthorized"),
            "/files/a" => {
                let url = format!("http://{host}/store/a?sig=5igned-and-secret");
                answer(stream, &json!({ "url": url }));
            }
            "/files" if request.target.contains("page=2") => answer(stream, &json!([])),
            "/files" => answer(stream, &json!([{"id": "a", "title": "A"}])),
            _ => refuse(stream, "404 Not Found"),
        }
    });
    let table = format!(
        "[providers.acme]\nbase = 'BASE'\nauth = {auth}\nresolve = {{ path = '/files/{{id}}', url = '/url' }}\n\
         list = {{ path = '/files', rows = '', id = '/id', name = '/title', paging = {{ kind = 'page', parameter = 'page' }} }}\n"
    );
    let mut world = world(&api.base(), &table);
    world.hide("canary-of-the-session");
    (api, world)
}

/// One list and one document.
fn lists_and_fetches(world: &World) {
    let run = world.run(&["list", "acme", "--json", "-v"]);
    let rows = run.exits(0).records();
    assert_eq!(
        (rows.len(), &rows[0]["id"], &rows[0]["name"]),
        (1, &json!("a"), &json!("A"))
    );
    let run = world.run(&["acme", "a", "-v", "--json", "--manifest", "m.jsonl"]);
    is_fetched(world, &run, "a", b"content");
}

#[test]
fn a_key_is_exchanged_once_for_a_token() {
    let auth = "{ type = 'exchange', path = '/session', json = { key = '{key}' }, token = '/jwt', expires = { at = '/ttl', as = 'seconds' } }";
    let (api, world) = with_auth(auth, |request| {
        request.header("authorization") == Some("Bearer canary-of-the-session")
    });
    lists_and_fetches(&world);
    assert_eq!(api.count("POST", "/session"), 1);
}

#[test]
fn a_user_name_and_a_password_are_sent_to_the_api_alone() {
    let (_api, mut world) = with_auth("{ type = 'basic' }", |request| {
        request.header("authorization") == Some("Basic bWU6Y2FuYXJ5LXBhc3N3b3Jk")
    });
    world
        .set("ACME_USERNAME", "me")
        .set("ACME_PASSWORD", "canary-password");
    world.hide("canary-password");
    world.hide("bWU6Y2FuYXJ5LXBhc3N3b3Jk");
    lists_and_fetches(&world);
}

#[test]
fn a_key_of_the_query_is_in_no_text_whether_the_api_answers_or_not() {
    let (api, mut world) = with_auth("{ type = 'query', name = 'k' }", |request| {
        request.target.contains("k=canary+%2Fkey%2B1")
    });
    world.set("ACME_API_KEY", "canary /key+1");
    for form in [
        "canary /key+1",
        "canary+%2Fkey%2B1",
        "canary%20%2Fkey%2B1",
        "canary+/key",
    ] {
        world.hide(form);
    }
    lists_and_fetches(&world);
    assert_eq!(api.count("GET", "/files"), 3);
    world.set("ACME_API_BASE", "http://127.0.0.1:9");
    for arguments in [&["acme", "b"][..], &["list", "acme"], &["url", "acme", "b"]] {
        let run = world.run(&[arguments, &["-v", "--json", "--retries", "0"]].concat());
        run.exits(5).says("127.0.0.1:9");
    }
}
