//! `docfetch sandbox`.

use crate::support::services::Service;
use crate::support::{World, send};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use docfetch::sandbox::Document;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn a_command_runs_with_all_it_needs_and_its_status_is_handed_on() {
    let world = World::bare();
    let script = "docfetch sm $(docfetch list sm --ids) -d sm && \
                  docfetch onecodex $(docfetch list onecodex --ids) -d oc && diff -r sm oc && exit 42";
    let run = world.run(&["sandbox", "--", "sh", "-c", script]);
    run.exits(42)
        .says("sandbox: 3 paid retrievals")
        .says(" at once, ")
        .says("connections to the storage");
    assert_eq!(
        std::fs::read_dir(world.out().join("oc")).unwrap().count(),
        3
    );
    world
        .run(&["sandbox", "--", "sh", "-c", "kill -9 $$"])
        .exits(137);
    world.run(&["sandbox", "--", "/no/such/program"]).exits(2);
}

/// docfetch prefers a bearer token to the key of the sandbox.
#[test]
fn what_it_prints_unsets_what_would_win_over_its_own_credentials() {
    let mut world = World::bare();
    world.set("ONE_CODEX_BEARER_TOKEN", "t0ken");
    let mut child = world.command(&["sandbox"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut printed = String::new();
    while !printed.contains("unset ") {
        printed += &(lines.next().unwrap().unwrap() + "\n");
    }
    let script = "eval \"$1\"; docfetch list onecodex --ids";
    let folder = Path::new(env!("CARGO_BIN_EXE_docfetch")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let mut shell = world.command_of("sh", &["-c", script, "sh", &printed]);
    let listed = shell.env("PATH", path).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.lines().count(), 3, "{listed}");
    send(&child, Signal::TERM);
    child.wait().unwrap();
}

#[test]
fn a_hangup_ends_it_and_its_command_and_leaves_nothing() {
    let folder = |world: &World| {
        let folder = world.home().join("temporary");
        std::fs::create_dir(&folder).unwrap();
        folder
    };
    let is_empty = |folder: &Path| std::fs::read_dir(folder).unwrap().count() == 0;

    let mut world = World::bare();
    let temporary = folder(&world);
    world.set("TMPDIR", temporary.to_str().unwrap());
    let child = world.command(&["sandbox"]).spawn().unwrap();
    world.wait_until("its folder", || !is_empty(&temporary));
    send(&child, Signal::HUP);
    let run = world.finish(child, Instant::now());
    run.exits(0).says("sandbox: 0 paid retrievals, 0 tokens");
    assert!(is_empty(&temporary));

    let script = "trap 'exit 9' HUP; touch started; while true; do sleep 0.05; done";
    let child = world
        .command(&["sandbox", "--", "sh", "-c", script])
        .spawn()
        .unwrap();
    world.wait_until("the command", || world.out().join("started").exists());
    send(&child, Signal::HUP);
    world.finish(child, Instant::now()).exits(9);
    assert!(is_empty(&temporary));
}

#[test]
fn an_empty_command_fails_at_once() {
    let world = World::bare();
    for command in [&["--", ""][..], &["--"], &["--", "", "x"]] {
        let run = world.run(&[&["sandbox"][..], command].concat());
        run.exits(2).says("the command after -- is empty");
    }
    let blank = world.run(&["sandbox", "--", " "]);
    blank.exits(2).says("cannot run ' '");
}

#[test]
fn its_report_counts_one_thing_as_one() {
    let world = World::bare();
    let script = "docfetch onecodex $(docfetch list onecodex --ids | head -1)";
    let run = world.run(&["sandbox", "--", "sh", "-c", script]);
    run.exits(0)
        .says("sandbox: 1 paid retrieval, 0 tokens, 0 downloads, 1 storage request (");
}

#[test]
fn it_serves_the_files_of_a_folder() {
    let world = World::bare();
    let folder = world.home().join("files");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a b.txt"), "content").unwrap();
    std::fs::write(folder.join("empty"), "").unwrap();
    std::fs::create_dir(folder.join("sub")).unwrap();
    let script = "docfetch sm $(docfetch list sm --ids)";
    let run = world.run(&[
        "sandbox",
        "--dir",
        folder.to_str().unwrap(),
        "--",
        "sh",
        "-c",
        script,
    ]);
    let mut paths: Vec<&str> = run.exits(0).stdout.lines().collect();
    paths.sort_unstable();
    assert_eq!(paths, ["a b.txt", "empty"]);
    assert_eq!(world.read("a b.txt"), b"content");
    world
        .run(&["sandbox", "--dir", "/nowhere", "--", "true"])
        .exits(7);
}

#[test]
fn alone_it_prints_variables_for_a_shell_until_it_is_ended() {
    let world = World::bare();
    let mut child = world.command(&["sandbox"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let exports: Vec<String> = (0..5).map(|_| lines.next().unwrap().unwrap()).collect();
    let script = format!(
        "{}\nexec {} list sm --ids",
        exports.join("\n"),
        env!("CARGO_BIN_EXE_docfetch")
    );
    let listed = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&listed.stdout).lines().count(),
        3,
        "{listed:?}"
    );
    send(&child, Signal::INT);
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_it_prints_is_what_a_shell_reads_whatever_the_temporary_folder_is_called() {
    for name in [
        "a;touch PWNED;#",
        "it's $(touch PWNED)",
        "a b\t*?",
        "`touch PWNED`",
        "plain",
    ] {
        let mut world = World::bare();
        let folder = world.home().join(name);
        std::fs::create_dir(&folder).unwrap();
        world.set("TMPDIR", folder.to_str().unwrap());
        let mut child = world.command(&["sandbox"]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut printed = String::new();
        while !printed.contains("DOCFETCH_STATE_DIR") {
            printed += &(lines.next().unwrap().unwrap() + "\n");
        }
        assert_eq!(printed.contains('\''), name != "plain", "{printed}");
        let script =
            "eval \"$1\"; test -d \"$DOCFETCH_STATE_DIR\" && printf %s \"$DOCFETCH_STATE_DIR\"";
        let mut shell = world.command_of("sh", &["-c", script, "sh", &printed]);
        let shown = shell.output().unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(
            shown.starts_with(folder.to_str().unwrap()),
            "{shown:?} {printed}"
        );
        send(&child, Signal::TERM);
        child.wait().unwrap();
        assert_eq!(world.files(), Vec::<String>::new());
    }
}

#[test]
fn the_users_own_credentials_stay_outside() {
    let mut world = World::bare();
    world
        .set("ONE_CODEX_BEARER_TOKEN", "mine")
        .set("ONE_CODEX_BEARER_TOKEN_FILE", "/nowhere")
        .set("ONE_CODEX_API_KEY", "mine");
    let run = world.run(&["sandbox", "--", "sh", "-c", "docfetch list onecodex --ids"]);
    run.exits(0);
}

/// Sends one request as a careless client does; returns the whole answer.
fn ask(method: &str, url: &str, headers: &str) -> String {
    let (host, target) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!(
        "{method} /{target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn it_catches_a_credential_on_the_signed_hop_and_everything_that_was_not_signed() {
    let (service, _) = Service::with("a.txt", 10, &[]);
    let world = service.world();
    let url = world.run_showing(&["url", "sm", "doc1"]).stdout;
    let url = url.trim();
    assert!(ask("GET", url, "").starts_with("HTTP/1.1 200"));
    for (number, header) in [
        "X-API-Key: k",
        "Authorization: Bearer k",
        "Referer: http://a/",
        "Cookie: a=b",
    ]
    .into_iter()
    .enumerate()
    {
        let answer = ask("GET", url, &format!("{header}\r\n"));
        assert!(
            answer.starts_with("HTTP/1.1 400") && answer.contains("InvalidArgument"),
            "{answer}"
        );
        assert_eq!(service.report().leaks as usize, number + 1);
    }
    for (method, url, headers) in [
        ("HEAD", url.to_owned(), ""),
        ("PUT", url.to_owned(), ""),
        ("GET", url.to_owned(), "x-amz-checksum-mode: ENABLED\r\n"),
        ("GET", format!("{url}0"), ""),
        (
            "GET",
            url.replace("X-Amz-Expires=3600", "X-Amz-Expires=9999"),
            "",
        ),
    ] {
        let answer = ask(method, &url, headers);
        assert!(
            answer.starts_with("HTTP/1.1 403"),
            "{method} {headers}: {answer}"
        );
    }
}

#[test]
fn the_sandbox_counts_a_repeated_paid_request_and_keeps_the_rate_limit() {
    let world = World::bare();
    let script = "id=$(docfetch list onecodex --ids --limit 1); \
                  docfetch url onecodex $id >/dev/null; docfetch ledger forget $id; \
                  docfetch url onecodex $id >/dev/null";
    let run = world.run(&["sandbox", "--", "sh", "-c", script]);
    run.exits(0)
        .says("2 paid retrievals")
        .says("was charged 2 times");
    let (service, _) = Service::with("a.txt", 10, &[]);
    let base = service.world().variable("STANDARD_METRICS_API_BASE");
    let answers: Vec<String> = (0..31)
        .map(|_| ask("GET", &format!("{base}/v1/documents/"), ""))
        .collect();
    assert!(answers[29].starts_with("HTTP/1.1 401"), "{}", answers[29]);
    assert!(answers[30].starts_with("HTTP/1.1 429"), "{}", answers[30]);
    assert!(
        answers[30].to_lowercase().contains("retry-after: "),
        "{}",
        answers[30]
    );
}

/// A token of Standard Metrics, as a header.
fn bearer(world: &World) -> String {
    let id = world.variable("STANDARD_METRICS_CLIENT_ID");
    let secret = world.variable("STANDARD_METRICS_CLIENT_SECRET");
    let basic = STANDARD.encode(format!("{id}:{secret}"));
    let form = "grant_type=client_credentials";
    let headers = format!(
        "Authorization: Basic {basic}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let url = format!("{}/o/token/", world.variable("STANDARD_METRICS_API_BASE"));
    let token = content(&ask("POST", &url, &headers));
    format!(
        "Authorization: Bearer {}\r\n",
        token["access_token"].as_str().unwrap()
    )
}

/// What an answer with status 200 says.
fn content(answer: &str) -> Value {
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

#[test]
fn the_listing_of_standard_metrics_can_be_narrowed() {
    let service = Service::start(Document::samples(), &[]);
    let world = service.world();
    let header = bearer(&world);
    let base = world.variable("STANDARD_METRICS_API_BASE");
    let list = |query: &str| ask("GET", &format!("{base}/v1/documents/?{query}"), &header);
    for (query, name) in [
        ("company_id=c2", "Ums\u{e4}tze & Ausblick.csv"),
        ("source=information-request", "reads_R1.fastq"),
        ("from=2026-10-01&to=2026-10-02", "Board report Q3 2026.pdf"),
        ("to=2026-08-21", "reads_R1.fastq"),
    ] {
        let page = content(&list(query));
        assert_eq!(page["count"], 1, "{query}: {page}");
        assert_eq!(page["results"][0]["name"], name, "{query}");
    }
    assert_eq!(content(&list("parse_state=completed"))["count"], 3);
    for query in ["parse_state=done", "from=soon", "colour=red"] {
        assert!(list(query).starts_with("HTTP/1.1 400"), "{query}");
    }
}

#[test]
fn one_codex_serves_samples_and_assets_too_and_narrows_them() {
    let service = Service::start(Document::samples(), &[]);
    let world = service.world();
    let key = format!("X-API-Key: {}\r\n", world.variable("ONE_CODEX_API_KEY"));
    let base = format!("{}/api/v1", world.variable("ONE_CODEX_API_BASE"));
    let document = &Document::samples()[2];
    for (number, kind) in ["documents", "samples", "assets"].into_iter().enumerate() {
        // {"size":{"$gt":1000000}}
        let large = "where=%7B%22size%22%3A%7B%22%24gt%22%3A1000000%7D%7D";
        let answer = ask("GET", &format!("{base}/{kind}?{large}"), &key);
        assert!(
            answer.to_lowercase().contains("x-total-count: 1\r\n"),
            "{answer}"
        );
        let uri = format!("/api/v1/{kind}/{}", document.id);
        assert_eq!(content(&answer)[0]["$uri"], *uri);
        // Two operators: {"size":{"$gt":1,"$lt":9}}
        let range = "where=%7B%22size%22%3A%7B%22%24gt%22%3A1%2C%22%24lt%22%3A9%7D%7D";
        let answer = ask("GET", &format!("{base}/{kind}?{range}"), &key);
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        let one = format!("{base}/{kind}/{}", document.id);
        let row = content(&ask("GET", &one, &key));
        assert_eq!(
            (&row["$uri"], &row["filename"]),
            (&json!(uri), &json!(document.name))
        );
        for _ in 0..=number {
            let answer = content(&ask("POST", &format!("{one}/download_uri"), &key));
            let got = ask("GET", answer["download_uri"].as_str().unwrap(), "");
            assert!(got.starts_with("HTTP/1.1 200") && got.contains("@SANDBOX:1:1\n"));
        }
    }
    let answer = ask("GET", &format!("{base}/analyses"), &key);
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    let id = &document.id;
    let charged = [
        (id.clone(), 1),
        (format!("samples/{id}"), 2),
        (format!("assets/{id}"), 3),
    ];
    assert_eq!(service.report().charges, charged.into());
}

#[test]
fn the_sandbox_counts_requests_at_the_same_time() {
    let (service, _) = Service::with("a.txt", 1 << 20, &["latency=300ms", "throttle=256K"]);
    let world = service.world();
    let base = world.variable("STANDARD_METRICS_API_BASE");
    let url = world.run_showing(&["url", "sm", "doc1"]).stdout;
    let report = service.report();
    assert_eq!(
        (report.max_open_requests, report.max_open_storage_requests),
        (1, 0)
    );
    assert_eq!(
        (report.requests, report.max_requests_in_ten_seconds),
        (2, 2)
    );
    // Requests that wait for their answers, and one whose answer takes seconds.
    std::thread::scope(|scope| {
        let open = |url: &str| {
            let url = url.to_owned();
            scope.spawn(move || ask("GET", &url, ""))
        };
        let slow = open(url.trim());
        std::thread::sleep(Duration::from_millis(600));
        let three: Vec<_> = (0..3)
            .map(|_| open(&format!("{base}/v1/documents/")))
            .collect();
        for one in three {
            assert!(one.join().unwrap().starts_with("HTTP/1.1 401"));
        }
        assert!(!slow.is_finished());
    });
    ask("GET", url.trim(), "Range: bytes=0-9\r\n");
    let report = service.report();
    assert_eq!(
        (report.max_open_requests, report.max_open_storage_requests),
        (4, 1)
    );
    assert_eq!(
        (report.requests, report.max_requests_in_ten_seconds),
        (7, 5)
    );
    assert_eq!(report.storage_connections, 2);
    // Those that are refused count, too.
    let (service, _) = Service::with("a.txt", 10, &[]);
    let base = service.world().variable("STANDARD_METRICS_API_BASE");
    for _ in 0..32 {
        ask("GET", &format!("{base}/v1/documents/"), "");
    }
    let report = service.report();
    assert_eq!(
        (report.rate_limited, report.max_requests_in_ten_seconds),
        (2, 32)
    );
}

#[test]
fn every_fault_is_known_and_nonsense_is_refused() {
    let world = World::bare();
    for fault in [
        "truncate=1K",
        "reset-every=64K",
        "stall-after=1",
        "expire-after=1s",
        "ignore-range",
        "wrong-range",
        "change-etag",
        "status=503x2",
        "drop-post-response",
        "latency=1ms",
        "throttle=1M",
        "html-page",
    ] {
        world
            .run(&["sandbox", "--fault", fault, "--", "true"])
            .exits(0);
    }
    world
        .run(&["sandbox", "--fault", "explode", "--", "true"])
        .exits(2)
        .says("truncate=BYTES");
}

#[test]
fn a_login_page_can_stand_in_for_every_document() {
    let (service, _) = Service::with("a.pdf", 10, &["html-page"]);
    let url = service.world().run_showing(&["url", "sm", "doc1"]).stdout;
    for range in ["", "Range: bytes=3-\r\n"] {
        let answer = ask("GET", url.trim(), range).to_lowercase();
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        assert!(answer.contains("content-type: text/html"), "{answer}");
        assert!(answer.contains("\r\n\r\n<!doctype html>"), "{answer}");
    }
    // Still as strict as without it.
    let answer = ask("GET", url.trim(), "Referer: http://a/\r\n");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[test]
fn faults_that_only_a_client_can_show() {
    let fetch = |fault: &str, command: &str| {
        let world = World::bare();
        let script = format!(
            "docfetch {command} $(docfetch list onecodex --ids | tail -1) --retries 3 --json"
        );
        world.run(&["sandbox", "--fault", fault, "--", "sh", "-c", &script])
    };
    let run = fetch("drop-post-response", "onecodex");
    assert_eq!(run.exits(8).error_code(), "charge_unknown");
    run.says("1 paid retrieval, ");
    let run = fetch("expire-after=0s", "sm");
    assert_eq!(run.exits(5).error_code(), "url_expired");
    let run = fetch("expire-after=0s", "onecodex");
    assert_eq!(run.exits(8).error_code(), "charge_refused");
    fetch("wrong-range", "sm").exits(0);
    let run = fetch("latency=100ms", "sm");
    assert!(run.exits(0).elapsed.as_millis() >= 300);
}

#[test]
fn what_is_remembered_of_it_ends_with_it() {
    let world = World::bare();
    let script = "docfetch sm $(docfetch list sm --ids --limit 1) -q -o x; \
                  ls $DOCFETCH_STATE_DIR; echo $DOCFETCH_STATE_DIR >place";
    let run = world.run(&["sandbox", "--", "sh", "-c", script]);
    assert!(run.exits(0).stdout.contains("tokens"), "{run:?}");
    let place = String::from_utf8(world.read("place")).unwrap();
    assert!(!Path::new(place.trim()).exists());
    assert!(!world.state().exists());
}
