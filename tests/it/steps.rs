//! Resolving in several steps, by a table of the user, of which one step is charged or none.

use crate::support::raw::{Raw, Request, reply};
use docfetch::{
    Code, Connection, Credentials, Error, FetchOptions, Fetcher, Outcome, Provider, Resolver,
    Secret, Unwatched,
};
use serde_json::json;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The environment variable of the process that a test kills: the base of its API, a space, its folder.
const CHILD: &str = "DOCFETCH_TEST_STEPS_CHILD";
const STORAGE_TOKEN: &str = "canary-of-the-storage-header";
const JOB: &str = "canary-of-the-captured-job";

/// A free step, a paid one, and a free one with the URL.
const PAID: &str = r#"
base = "https://api.example"
rate = ["100/1m"]
auth = { type = "bearer" }

[[resolve]]
path    = "/open/{id}"
capture = { ticket = "/ticket" }

[[resolve]]
method  = "POST"
path    = "/pay/{id}"
json    = { ticket = "{ticket}" }
capture = { job = "/job/id" }
failure = "/failure"
charged = true

[[resolve]]
path            = "/jobs/{job}"
not_ready       = [202]
url             = ["/inline", "/data/url"]
storage_headers = ["/none", "/data/headers"]
expires         = [{ after = "1h" }, { at = "/data/seconds", as = "seconds" }]
name            = "/name"
size            = "/size"
"#;

/// How the service answers.
#[derive(Clone, Debug, Default)]
struct Behaviour {
    /// The number of 202 before a job is ready.
    not_ready: usize,
    /// What the paid step says of a failure.
    failure: Option<&'static str>,
    /// The job is not known any more.
    forgets_jobs: bool,
    /// URLs up to this number are expired.
    expired: usize,
    /// Requests for a path with this part are never answered.
    holds: Option<&'static str>,
}

/// The service and its storage.
struct Service {
    raw: Raw,
    behaviour: Arc<Mutex<Behaviour>>,
}

impl Service {
    fn start() -> Self {
        let behaviour: Arc<Mutex<Behaviour>> = Arc::default();
        let known = Arc::clone(&behaviour);
        let answer = move |request: &Request, stream: &mut TcpStream| {
            let behaviour = known.lock().unwrap().clone();
            if behaviour
                .holds
                .is_some_and(|part| request.path().contains(part))
            {
                sleep(Duration::from_secs(60));
                return;
            }
            respond(request, stream, &behaviour);
        };
        Self {
            raw: Raw::start(answer),
            behaviour,
        }
    }

    fn set(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    fn charges(&self) -> usize {
        self.raw.count("POST", "/pay/")
    }

    /// The paths of the requests, in order.
    fn paths(&self) -> Vec<String> {
        let seen = self.raw.seen();
        seen.iter()
            .map(|request| request.path().to_owned())
            .collect()
    }

    fn await_request(&self, method: &str, part: &str) {
        let started = Instant::now();
        while self.raw.count(method, part) == 0 {
            assert!(started.elapsed() < Duration::from_secs(30), "{part}");
            sleep(Duration::from_millis(10));
        }
    }
}

fn respond(request: &Request, stream: &mut TcpStream, behaviour: &Behaviour) {
    let path = request.path().to_owned();
    if let Some(number) = path.strip_prefix("/storage/") {
        assert_eq!(request.header("authorization"), None, "{path}");
        let number: usize = number.parse().unwrap();
        if request.header("x-storage-token") != Some(STORAGE_TOKEN) {
            return reply(
                stream,
                "403 No",
                &[],
                b"<Error><Code>NoToken</Code></Error>",
            );
        }
        if number <= behaviour.expired {
            let body =
                b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
            return reply(stream, "403 No", &[], body);
        }
        return reply(stream, "200 OK", &[("ETag", "\"1\"")], b"content");
    }
    assert_eq!(
        request.header("authorization"),
        Some("Bearer t0ken-of-tests")
    );
    if path.starts_with("/open/") {
        return reply(stream, "200 OK", &[], br#"{"ticket":"ticket-12345678"}"#);
    }
    if path.starts_with("/pay/") {
        assert_eq!(request.body, br#"{"ticket":"ticket-12345678"}"#);
        let body = json!({"failure": behaviour.failure, "job": {"id": JOB}}).to_string();
        return reply(stream, "201 Created", &[], body.as_bytes());
    }
    assert_eq!(path, format!("/jobs/{JOB}"));
    if behaviour.forgets_jobs {
        return reply(stream, "410 Gone", &[], b"{}");
    }
    if request.before < behaviour.not_ready {
        return reply(stream, "202 Wait", &[("Retry-After", "1")], b"{}");
    }
    let host = request.header("host").unwrap();
    let number = request.before + 1 - behaviour.not_ready;
    let body = json!({
        "inline": null,
        "name": "told by the job.txt",
        "size": "7",
        "data": {
            "url": format!("http://{host}/storage/{number}?sig=signature-of-tests"),
            "headers": [format!("X-Storage-Token: {STORAGE_TOKEN}"), "Range: bytes=0-0"],
            "seconds": 3600,
        },
    });
    reply(stream, "200 OK", &[], body.to_string().as_bytes());
}

fn fetcher(table: &str, base: &str, folder: &Path, wait: Duration) -> Fetcher {
    let provider = Provider::from_toml("acme", table).unwrap();
    let credentials = Credentials::Bearer {
        token: Secret::new("t0ken-of-tests"),
        account: None,
    };
    let mut connection = Connection::default();
    connection.retries = 0;
    connection.wait = wait;
    let resolver = Resolver::builder(provider, credentials)
        .base(base)
        .state_folder(folder.join("state"))
        .connection(connection)
        .build()
        .unwrap();
    let mut options = FetchOptions::default();
    options.target.folder = folder.join("documents");
    Fetcher::new(resolver, options)
}

async fn fetch(service: &Service, folder: &Path) -> Result<Outcome, Error> {
    fetch_from(&service.raw.base(), folder).await
}

async fn fetch_from(base: &str, folder: &Path) -> Result<Outcome, Error> {
    let fetcher = fetcher(PAID, base, folder, Duration::from_secs(20));
    let id = fetcher.resolver().provider().document_id("d 1").unwrap();
    fetcher.fetch(id, &Unwatched).await
}

/// No file but those of the state folder holds a secret of the table.
fn assert_quiet(folder: &Path) {
    for file in fs::read_dir(folder.join("documents")).into_iter().flatten() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("canary"), "{text}");
    }
}

#[tokio::test]
async fn values_and_storage_headers_go_from_step_to_step_and_the_wait_is_obeyed() {
    let (service, folder) = (Service::start(), tempfile::tempdir().unwrap());
    service.set(Behaviour {
        not_ready: 2,
        ..Behaviour::default()
    });
    let outcome = fetch(&service, folder.path()).await.unwrap();
    assert_eq!(outcome.name.as_deref(), Some("told by the job.txt"));
    assert_eq!((outcome.bytes, outcome.charged), (Some(7), Some(true)));
    let job = format!("/jobs/{JOB}");
    let expected = ["/open/d%201", "/pay/d%201", &job, &job, &job, "/storage/1"];
    assert_eq!(service.paths(), expected);
    let storage = service.raw.seen().pop().unwrap();
    assert_eq!(storage.header("range"), None);
    assert_quiet(folder.path());
}

#[tokio::test]
async fn a_document_that_is_not_ready_ends_the_run_unless_the_user_waits() {
    let (service, folder) = (Service::start(), tempfile::tempdir().unwrap());
    service.set(Behaviour {
        not_ready: 9,
        ..Behaviour::default()
    });
    let base = service.raw.base();
    let fetcher = fetcher(PAID, &base, folder.path(), Duration::ZERO);
    let id = fetcher.resolver().provider().document_id("d1").unwrap();
    let error = fetcher.fetch(id, &Unwatched).await.unwrap_err();
    assert_eq!((error.code(), error.exit_code()), (Code::NotReady, 5));
    assert!(error.hint().contains("--wait"), "{}", error.hint());
    assert!(
        error.hint().contains("retrieval is kept"),
        "{}",
        error.hint()
    );
    let shown = format!("{error:?} {} {}", error.message(), error.hint());
    assert!(!shown.contains("canary"), "{shown}");
    assert_eq!(service.charges(), 1);
}

#[tokio::test]
async fn a_recorded_job_brings_urls_without_a_charge_until_the_service_forgets_the_job() {
    let (service, folder) = (Service::start(), tempfile::tempdir().unwrap());
    service.set(Behaviour {
        expired: 1,
        ..Behaviour::default()
    });
    fetch(&service, folder.path()).await.unwrap();
    assert_eq!(service.raw.count("GET", "/storage/"), 2);
    assert_eq!(
        (service.charges(), service.raw.count("GET", "/open/")),
        (1, 1)
    );

    // A delivered document brings its URL in a later run, too.
    fs::remove_dir_all(folder.path().join("documents")).unwrap();
    let outcome = fetch(&service, folder.path()).await.unwrap();
    assert_eq!((service.charges(), outcome.charged), (1, Some(false)));

    let (service, folder) = (Service::start(), tempfile::tempdir().unwrap());
    service.set(Behaviour {
        forgets_jobs: true,
        ..Behaviour::default()
    });
    for _ in 0..2 {
        let error = fetch(&service, folder.path()).await.unwrap_err();
        assert_eq!(error.code(), Code::ChargeRefused, "{error}");
        assert!(
            error.hint().contains("--allow-recharge"),
            "{}",
            error.hint()
        );
    }
    assert_eq!(service.charges(), 1);
}

#[tokio::test]
async fn urls_that_expire_again_and_again_end_the_run_without_a_charge() {
    let (service, folder) = (Service::start(), tempfile::tempdir().unwrap());
    service.set(Behaviour {
        expired: 99,
        ..Behaviour::default()
    });
    let error = fetch(&service, folder.path()).await.unwrap_err();
    assert_eq!(error.code(), Code::UrlExpired, "{error}");
    assert_eq!(
        (service.charges(), service.raw.count("GET", "/storage/")),
        (1, 2)
    );
}

#[tokio::test]
async fn a_failure_in_a_paid_success_is_in_doubt_and_is_not_repeated() {
    let (service, folder) = (Service::start(), tempfile::tempdir().unwrap());
    service.set(Behaviour {
        failure: Some("the archive is offline"),
        ..Behaviour::default()
    });
    let error = fetch(&service, folder.path()).await.unwrap_err();
    assert_eq!((error.code(), error.exit_code()), (Code::ChargeUnknown, 8));
    assert!(
        error.message().contains("the archive is offline"),
        "{error}"
    );
    let error = fetch(&service, folder.path()).await.unwrap_err();
    assert_eq!(error.code(), Code::ChargeRefused, "{error}");
    assert_eq!(service.charges(), 1);
}

#[tokio::test]
async fn a_free_failure_in_a_success_gives_its_reason() {
    let table = r#"
base = "https://api.example"
auth = { type = "bearer" }
resolve = { path = "/pay/{id}", url = "/url", failure = "/error/text", error = "/why" }
"#;
    let answers = [
        (
            "200 OK",
            r#"{"error":{"text":"quota used up"},"url":"https://s.example/1"}"#,
            "quota used up",
        ),
        (
            "403 No",
            r#"{"message":"other","why":"ask the owner"}"#,
            "ask the owner",
        ),
        (
            "200 OK",
            r#"{"error":{"text":""}}"#,
            "url is missing or is not text",
        ),
    ];
    for (status, body, expected) in answers {
        let api = Raw::start(move |_, stream| reply(stream, status, &[], body.as_bytes()));
        let folder = tempfile::tempdir().unwrap();
        let fetcher = fetcher(table, &api.base(), folder.path(), Duration::ZERO);
        let id = fetcher.resolver().provider().document_id("d1").unwrap();
        let error = fetcher.fetch(id, &Unwatched).await.unwrap_err();
        assert!(error.message().contains(expected), "{error}");
    }
}

/// A process of its own that fetches the document, and that a test kills.
fn start_child(service: &Service, folder: &Path) -> Child {
    let given = format!("{} {}", service.raw.base(), folder.display());
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "steps::the_process_that_a_test_kills"])
        .env(CHILD, given)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn the_process_that_a_test_kills() {
    if let Ok(given) = std::env::var(CHILD) {
        let (base, folder) = given.split_once(' ').unwrap();
        fetch_from(base, Path::new(folder)).await.unwrap();
    }
}

#[tokio::test]
async fn a_kill_before_and_after_the_paid_step_never_pays_twice() {
    // The free step before the paid one, the free one after it, the storage.
    for (method, held) in [("GET", "/open/"), ("GET", "/jobs/"), ("GET", "/storage/")] {
        let (service, folder) = (Service::start(), tempfile::tempdir().unwrap());
        service.set(Behaviour {
            holds: Some(held),
            ..Behaviour::default()
        });
        let mut child = start_child(&service, folder.path());
        service.await_request(method, held);
        let paid = service.charges();
        assert_eq!(paid, usize::from(held != "/open/"), "{held}");
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        service.set(Behaviour::default());
        let outcome = fetch(&service, folder.path()).await.unwrap();
        assert_eq!(outcome.charged, Some(paid == 0), "{held}");
        assert_eq!(service.charges(), 1, "{held}");
    }
    // A paid request without an answer stays in doubt.
    let (service, folder) = (Service::start(), tempfile::tempdir().unwrap());
    service.set(Behaviour {
        holds: Some("/pay/"),
        ..Behaviour::default()
    });
    let mut child = start_child(&service, folder.path());
    service.await_request("POST", "/pay/");
    child.kill().unwrap();
    child.wait().unwrap();
    service.set(Behaviour::default());
    let error = fetch(&service, folder.path()).await.unwrap_err();
    assert_eq!((error.code(), service.charges()), (Code::ChargeRefused, 1));
}

#[tokio::test]
async fn a_document_that_is_not_ready_holds_no_other_document() {
    let folder = tempfile::tempdir().unwrap();
    let api = Raw::start(move |request, stream| {
        let body = format!(r#"{{"ticket":"t","job":{{"id":"{JOB}"}}}}"#);
        let is_job = request.path().starts_with("/jobs/");
        let status = if is_job { "202 Wait" } else { "200 OK" };
        let headers: &[(&str, &str)] = if is_job {
            &[("Retry-After", "600")]
        } else {
            &[]
        };
        reply(stream, status, headers, body.as_bytes());
    });
    let started = Instant::now();
    for name in ["d1", "d2"] {
        let fetcher = fetcher(PAID, &api.base(), folder.path(), Duration::ZERO);
        let id = fetcher.resolver().provider().document_id(name).unwrap();
        let error = fetcher.fetch(id, &Unwatched).await.unwrap_err();
        assert_eq!(error.code(), Code::NotReady, "{error}");
    }
    assert!(started.elapsed() < Duration::from_secs(20));
}
