//! Each byte that docfetch sends to Standard Metrics and to One Codex, and what it prints of their answers. The files
//! in `tests/data/requests` hold that of one command after another; `DOCFETCH_UPDATE_REQUESTS=1` writes the files again.

use crate::support::raw::{Raw, Request, presigned, reply, serve};
use crate::support::{API_KEY, CLIENT_ID, TOKEN, World};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;

const UPDATE: &str = "DOCFETCH_UPDATE_REQUESTS";
const CONTENT: &[u8] = b"content";
const TAG: &str = "\"e7c935532923fe0d975fec53acaaf741\"";
/// The id of a project or tag that has a name.
const NAMED: &str = "00000000000000aa";
/// A company of which Standard Metrics tells more documents than it lists.
const MANY: &str = "many";
/// A text in a filter for which One Codex does not tell how many rows there are.
const UNTOLD: &str = "untold";
/// What every list of samples is filtered by in one of the commands.
const PROJECT: &str = "0123456789abcdef";

/// A service with two kinds of servers, whose answers depend on the request alone, and what they were sent.
struct Recorder {
    api: Raw,
    storage: Raw,
}

/// The requests of several commands, one after another.
struct Transcript {
    file: &'static str,
    recorder: Recorder,
    text: String,
}

impl Recorder {
    fn start() -> Self {
        let storage = Raw::start(|request, stream| match request.path() {
            "/expired" if request.before == 0 => {
                let body = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
                let headers = [("Content-Type", "application/xml")];
                reply(stream, "403 Forbidden", &headers, body);
            }
            _ => serve(request, stream, CONTENT, TAG),
        });
        let base = storage.base();
        let api = Raw::start(move |request, stream| answer(request, stream, &base));
        Self { api, storage }
    }

    /// A world whose providers live at `path` of the API, without a limit of requests.
    fn world(&self, path: &str) -> World {
        let mut world = World::new(&format!("{}{path}", self.api.base()));
        world.set("DOCFETCH_RATE_LIMIT", "none");
        world.set("DOCFETCH_JOBS", "1");
        world
    }

    /// How many requests the API and the storage got so far.
    fn counts(&self) -> [usize; 2] {
        [&self.api, &self.storage].map(|server| server.seen().len())
    }

    /// The requests after the first `known` ones: those to the API in their order, then those to the storage.
    /// Where docfetch sends requests `at_once`, they are in the order of their paths.
    fn since(&self, known: [usize; 2], at_once: bool) -> String {
        let mut text = String::new();
        let new = [(&self.api, known[0]), (&self.storage, known[1])].map(|(server, known)| {
            let mut new = server.seen_with_heads().split_off(known);
            if at_once {
                new.sort_by(|(one, _), (other, _)| one.path().cmp(other.path()));
            }
            new
        });
        for (request, head) in new.iter().flatten() {
            assert!(head.ends_with("\r\n\r\n"), "{request:?}");
            assert_eq!(head.matches('\n').count(), head.matches("\r\n").count());
            let body = String::from_utf8(request.body.clone()).unwrap();
            for line in head.trim_end().split("\r\n") {
                writeln!(text, "> {line}").unwrap();
            }
            text.push_str(">\n");
            for line in body.lines() {
                writeln!(text, "> {line}").unwrap();
            }
            text.push('\n');
        }
        text
    }
}

impl Transcript {
    fn new(file: &'static str) -> Self {
        Self {
            file,
            recorder: Recorder::start(),
            text: String::new(),
        }
    }

    /// Runs a command, and adds its exit code, its standard output, its warnings and
    /// its requests. `note` says what the command does not show.
    fn add_noted(&mut self, world: &World, note: &str, arguments: &[&str]) {
        let known = self.recorder.counts();
        let run = match arguments[0] {
            "url" => world.run_showing(arguments),
            _ => world.run(arguments),
        };
        let quoted = arguments.iter().map(|argument| match argument {
            argument if argument.contains([' ', '*', '"']) => format!("'{argument}'"),
            argument => (*argument).to_owned(),
        });
        let command = quoted.collect::<Vec<_>>().join(" ");
        let code = run.code;
        writeln!(self.text, "# docfetch {command}{note}: exit {code}\n").unwrap();
        let at_once = arguments[0] == "sync" || arguments.contains(&"-o");
        let mut printed: Vec<&str> = run.stdout.lines().collect();
        if at_once {
            printed.sort_unstable();
        }
        for line in &printed {
            writeln!(self.text, "| {}", untimed(line)).unwrap();
        }
        let warnings = run
            .stderr
            .lines()
            .filter(|line| line.starts_with("warning"));
        for line in warnings.clone() {
            writeln!(self.text, "| {line}").unwrap();
        }
        if !printed.is_empty() || warnings.count() > 0 {
            self.text.push('\n');
        }
        self.text += &self.recorder.since(known, at_once);
    }

    fn add(&mut self, world: &World, arguments: &[&str]) {
        self.add_noted(world, "", arguments);
    }

    /// Compares the requests with the file, without what differs in each run.
    #[track_caller]
    fn compare(self) {
        let text = self
            .text
            .replace(&self.recorder.api.address.to_string(), "{api}")
            .replace(&self.recorder.storage.address.to_string(), "{storage}")
            .replace(
                concat!("docfetch/", env!("CARGO_PKG_VERSION")),
                "docfetch/{version}",
            );
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/requests");
        let path = folder.join(self.file);
        if std::env::var_os(UPDATE).is_some_and(|value| value == "1") {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(path, text).unwrap();
            return;
        }
        let expected = std::fs::read_to_string(&path).unwrap();
        if text == expected {
            return;
        }
        let mut command = "";
        for (number, line) in expected.lines().chain(["(the end)"]).enumerate() {
            let sent = text.lines().nth(number).unwrap_or("(the end)");
            command = if line.starts_with('#') { line } else { command };
            assert_eq!(
                sent,
                line,
                "{}:{}: {command}\nThe file is on the right. Is the change of requests intended? Set {UPDATE}=1.",
                self.file,
                number + 1
            );
        }
        panic!("{} has other line ends", self.file);
    }
}

/// A line without the time that a document took.
fn untimed(line: &str) -> String {
    match line.split_once("\"elapsed_ms\":") {
        None => line.to_owned(),
        Some((before, rest)) => {
            let rest = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
            format!("{before}\"elapsed_ms\":{{time}}{rest}")
        }
    }
}

fn answer(request: &Request, stream: &mut TcpStream, storage: &str) {
    let path = request.path().trim_start_matches("/gateway");
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match (request.method.as_str(), segments.as_slice()) {
        ("POST", ["o", "token", ""]) => {
            let token = format!("{TOKEN}-{}", request.before + 1);
            send(
                stream,
                &json!({"access_token": token, "expires_in": 3600, "token_type": "Bearer"}),
            );
        }
        ("GET", ["v1", "documents", "refused", _, ""]) if request.before == 0 => {
            reply(stream, "401 Unauthorized", &[], b"{}");
        }
        ("GET", [.., "busy", _, ""]) if request.before == 0 => {
            reply(stream, "503 Service Unavailable", &[], b"{}");
        }
        ("GET", ["v1", "documents", id, "download", ""]) => {
            let url = presigned(storage, &format!("/{id}"));
            reply(stream, "302 Found", &[("Location", &url)], b"");
        }
        ("GET", ["v1", "documents", ""]) => standard_metrics_page(request, stream),
        ("GET", ["v1", "companies", ""]) => companies_page(request, stream),
        ("POST", ["api", "v1", _, id, "download_uri"]) => {
            let url = presigned(storage, &format!("/{id}"));
            send(stream, &json!({"download_uri": url, "expires_in_hours": 1}));
        }
        ("GET", ["api", "v1", "projects" | "tags"]) => {
            let uri = format!("{path}/{NAMED}");
            let filter: Value = serde_json::from_str(&parameter(request, "where")).unwrap();
            send(stream, &json!([{"$uri": uri, "name": filter["name"]}]));
        }
        ("GET", ["api", "v1", kind]) => one_codex_page(request, stream, kind),
        ("GET", ["api", "v1", kind, id]) => send(stream, &one_codex_row(kind, id)),
        _ => reply(stream, "404 Not Found", &[], b"{}"),
    }
}

fn send(stream: &mut TcpStream, json: &Value) {
    let headers = [("Content-Type", "application/json")];
    reply(stream, "200 OK", &headers, json.to_string().as_bytes());
}

/// The value of a parameter in a request's query; empty where there is none.
fn parameter(request: &Request, name: &str) -> String {
    let query = request
        .target
        .split_once('?')
        .map_or("", |(_, query)| query);
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let found = pairs.find(|(known, _)| known == name);
    found.map_or_else(String::new, |(_, value)| value.into_owned())
}

/// Two pages, the first of which names the second one by a URL of another host and path.
fn standard_metrics_page(request: &Request, stream: &mut TcpStream) {
    let row = |id: &str, source: &str| {
        json!({
            "id": id, "name": format!("{id} report.bin"), "uploaded_at": "2026-07-01T08:30:00Z",
            "company_id": "7", "source": source, "parse_state": "completed", "information_request_id": null,
            "parsed_at": "2026-07-02T08:30:00Z", "submitted_date": "2026-06-30", "other": "not shown",
        })
    };
    let count = match parameter(request, "company_id").as_str() {
        MANY => 7,
        _ => 3,
    };
    if parameter(request, "page") == "2" {
        return send(
            stream,
            &json!({"count": count, "next": null, "results": [row("c", "upload")]}),
        );
    }
    let (_, query) = request.target.split_once('?').unwrap();
    let next = query.replace("page=1", "page=2");
    let next = format!("https://elsewhere.example/next/?mark=%7Ba+b%20c%7D&{next}");
    let rows = [row("a", "email"), row("b", "email")];
    send(
        stream,
        &json!({"count": count, "next": next, "results": rows}),
    );
}

/// Two pages of companies.
fn companies_page(request: &Request, stream: &mut TcpStream) {
    let page = if parameter(request, "page") == "2" {
        json!({"count": 2, "next": null, "results": [{"id": "7", "name": "Acme"}]})
    } else {
        let next = "https://elsewhere.example/v1/companies/?page=2&page_size=100";
        json!({"count": 2, "next": next, "results": [{"id": "8", "name": "Other"}]})
    };
    send(stream, &page);
}

/// A row; that of `c` has the name in another field.
fn one_codex_row(kind: &str, id: &str) -> Value {
    let name = match id {
        "c" => "name",
        _ => "filename",
    };
    json!({
        "$uri": format!("/api/v1/{kind}/{id}"), name: format!("{id} report.bin"),
        "created_at": "2026-07-01T08:30:00Z", "size": CONTENT.len(), "status": "available",
        "project": {"$ref": format!("/api/v1/projects/{PROJECT}")},
        "tags": [{"$ref": format!("/api/v1/tags/{PROJECT}")}], "other": "not shown",
    })
}

/// Two pages, of three rows in all. The server does not tell the number for a filter with [`UNTOLD`].
fn one_codex_page(request: &Request, stream: &mut TcpStream, kind: &str) {
    let ids: &[&str] = match parameter(request, "page").as_str() {
        "1" => &["a", "b"],
        "2" => &["c"],
        _ => &[],
    };
    let rows: Vec<Value> = ids.iter().map(|id| one_codex_row(kind, id)).collect();
    let is_told = !request.target.contains(UNTOLD);
    let headers = [("Content-Type", "application/json"), ("X-Total-Count", "3")];
    reply(
        stream,
        "200 OK",
        &headers[..1 + usize::from(is_told)],
        Value::from(rows).to_string().as_bytes(),
    );
}

/// The filters that every provider has, each as arguments.
const FILTERS: [&[&str]; 18] = [
    &[],
    &["--ids"],
    &["--json"],
    &["--limit", "1"],
    &["--limit", "3"],
    &["--match", "Report"],
    &["--match", "Report", "--limit", "2"],
    &["--match", "a \"b\\c\" & d=é+%"],
    &["--since", "2026-07-01"],
    &["--since", "2026-07-01T10:30:00.123456789+02:00"],
    &["--until", "2026-07-01"],
    &["--until", "2026-07-01T08:30:00Z"],
    &["--since", "2026-06-01", "--until", "2026-08-01"],
    &["--match", UNTOLD],
    &["--include", "*.bin", "--exclude", "c*", "--limit", "1"],
    &["--where", "unknown=x"],
    &["--where", "created_at=2026-07-01T08:30:00Z"],
    &["--where", "status=available", "--limit", "1"],
];

#[test]
fn standard_metrics() {
    let mut transcript = Transcript::new("sm.txt");
    let world = transcript.recorder.world("");
    for arguments in [
        &["sm", "a"][..],
        &["sm", "b", "c"],
        &["sm", "an id+with%marks&é"],
        &["sm", "dry", "--dry-run"],
        &["url", "sm", "d"],
        &["sm", "g", "-o", "given", "--json"],
    ] {
        transcript.add(&world, arguments);
    }
    transcript.add_noted(&world, ", refused once with 401", &["sm", "refused"]);
    transcript.add_noted(&world, ", refused once with 503", &["sm", "busy"]);
    transcript.add_noted(&world, ", whose URL has expired once", &["sm", "expired"]);
    let partial = transcript.recorder.world("");
    interrupted(&partial, "sm", CLIENT_ID, &transcript.recorder.api.base());
    transcript.add_noted(&partial, ", after an interrupted run", &["sm", "a"]);
    for path in ["/v1", "/v1/", "/gateway", "/gateway/v1"] {
        let world = transcript.recorder.world(path);
        let note = format!(", where the base ends in {path}");
        transcript.add_noted(&world, &note, &["sm", "a"]);
        transcript.add_noted(&world, &note, &["list", "sm", "--limit", "1"]);
    }
    let mut marked = transcript.recorder.world("");
    marked.set("STANDARD_METRICS_CLIENT_ID", "client: 1+é");
    marked.set("STANDARD_METRICS_CLIENT_SECRET", "s%c:r t");
    transcript.add_noted(
        &marked,
        ", with marks in the client's id and secret",
        &["sm", "a"],
    );

    let own: [&[&str]; 15] = [
        &["--company", "7"],
        &["--company", MANY],
        &["--company", "a b&c", "--limit", "1"],
        &["--source", "email"],
        &["--parse-state", "completed"],
        &[
            "--company",
            "7",
            "--source",
            "email",
            "--parse-state",
            "completed",
            "--limit",
            "2",
        ],
        &["--where", "company_id=7"],
        &["--where", "source=email", "--limit", "1"],
        &["--where", "uploaded_at=2026-07-01T08:30:00Z"],
        &["--where", "source=other"],
        &["--where", "source="],
        &["--where", "source=email", "--where", "source=upload"],
        &["--where", "parse_state=completed", "--source", "email"],
        &["--source", "email", "--where", "source=email"],
        &[
            "--match",
            "report",
            "--since",
            "2026-06-01",
            "--until",
            "2026-08-01",
            "--source",
            "email",
        ],
    ];
    for filter in FILTERS.iter().chain(&own) {
        transcript.add(&world, &[&["list", "sm"], *filter].concat());
    }
    transcript.add(&world, &["sync", "sm", "mirror"]);
    transcript.add_noted(&world, ", again", &["sync", "sm", "mirror"]);
    transcript.add(
        &world,
        &["sync", "sm", "other", "--source", "email", "--dry-run"],
    );
    transcript.compare();
}

/// What a run leaves that the storage cut off after three bytes.
fn interrupted(world: &World, identity: &str, account: &str, base: &str) {
    crate::earlier::partial_of(
        world,
        &[identity, &format!("{base}/"), account, "a", ""],
        CONTENT,
        3,
    );
}

/// The requests for documents of one kind.
fn one_codex(file: &'static str, kind: &str, own: &[&[&str]]) {
    let mut transcript = Transcript::new(file);
    let options: &[&str] = match kind {
        "documents" => &[],
        _ => &["--resource", kind],
    };
    let world = transcript.recorder.world("");
    for arguments in [
        &["onecodex", "a"][..],
        &["onecodex", "b", "c"],
        &["onecodex", "an id+with%marks&é"],
        &["onecodex", "dry", "--dry-run"],
        &["onecodex", "dry", "--dry-run", "--json"],
        &["onecodex", "g", "-o", "given", "--json"],
        &["url", "onecodex", "d"],
    ] {
        transcript.add(&world, &[arguments, options].concat());
    }
    let uri = format!("/api/v1/{kind}/h");
    transcript.add(&world, &[&["onecodex", &uri], options].concat());
    transcript.add_noted(
        &world,
        ", whose URL is recorded",
        &[&["onecodex", "d"], options].concat(),
    );
    for path in ["/api/v1", "/gateway", "/gateway/api/v1/"] {
        let world = transcript.recorder.world(path);
        let note = format!(", where the base ends in {path}");
        transcript.add_noted(&world, &note, &[&["onecodex", "a"], options].concat());
        let list = ["list", "onecodex", "--limit", "1"];
        transcript.add_noted(&world, &note, &[&list[..], options].concat());
    }
    for filter in FILTERS.iter().chain(own) {
        let command = ["list", "onecodex"];
        transcript.add(&world, &[&command[..], options, *filter].concat());
    }
    let identity = match kind {
        "documents" => "onecodex".to_owned(),
        _ => format!("onecodex/{kind}"),
    };
    let world = transcript.recorder.world("");
    interrupted(&world, &identity, API_KEY, &transcript.recorder.api.base());
    let note = ", after an interrupted run";
    transcript.add_noted(&world, note, &[&["onecodex", "a"], options].concat());
    let world = transcript.recorder.world("");
    let sync = |folder| [&["sync", "onecodex", folder], options].concat();
    transcript.add(&world, &sync("mirror"));
    transcript.add_noted(&world, ", again", &sync("mirror"));
    transcript.add(
        &world,
        &[sync("other"), vec!["--match", "c", "--dry-run"]].concat(),
    );
    transcript.compare();
}

const SIZES: [&[&str]; 2] = [
    &["--larger-than", "6"],
    &[
        "--larger-than",
        "1K",
        "--match",
        "report",
        "--since",
        "2026-06-01",
        "--limit",
        "1",
    ],
];

#[test]
fn documents_of_one_codex() {
    one_codex("onecodex-documents.txt", "documents", &SIZES);
}

#[test]
fn assets_of_one_codex() {
    one_codex("onecodex-assets.txt", "assets", &SIZES);
}

#[test]
fn samples_of_one_codex() {
    let project_field = format!("project={PROJECT}");
    let tags_field = format!("tags={PROJECT}");
    let project_uri = format!("/api/v1/projects/{PROJECT}");
    let own: [&[&str]; 16] = [
        SIZES[0],
        SIZES[1],
        &["--project", PROJECT],
        &["--project", PROJECT, "--limit", "1"],
        &["--project", &project_uri],
        &["--project", "Soil \"2026\" & é"],
        &["--tag", PROJECT],
        &["--tag", "deep sea"],
        &["--tag", PROJECT, "--tag", "deep sea"],
        &[
            "--project",
            "Soil",
            "--tag",
            "deep sea",
            "--match",
            "report",
            "--larger-than",
            "6",
        ],
        &["--where", &project_field, "--limit", "1"],
        &["--where", &tags_field],
        &["--where", "project="],
        &["--where", "project=Soil"],
        &["--where", &tags_field, "--tag", PROJECT],
        &[
            "--since",
            "2026-06-01",
            "--until",
            "2026-08-01",
            "--project",
            PROJECT,
            "--tag",
            PROJECT,
        ],
    ];
    one_codex("onecodex-samples.txt", "samples", &own);
}

#[test]
fn credentials_of_one_codex() {
    let mut transcript = Transcript::new("onecodex-credentials.txt");
    let mut bearer = transcript.recorder.world("");
    bearer.set("ONE_CODEX_BEARER_TOKEN", "bearer-token");
    transcript.add_noted(
        &bearer,
        ", with a key and a bearer token",
        &["onecodex", "a"],
    );
    let mut only = World::bare();
    only.set("ONE_CODEX_API_BASE", &transcript.recorder.api.base());
    only.set("ONE_CODEX_BEARER_TOKEN", "bearer-token");
    transcript.add_noted(&only, ", with a bearer token", &["list", "onecodex"]);
    let mut file = World::bare();
    file.set("ONE_CODEX_API_BASE", &transcript.recorder.api.base());
    let path = file.home().join(".onecodex");
    crate::earlier::write_private(
        &path,
        json!({"api_key": "key-in-a-file"}).to_string().as_bytes(),
    );
    transcript.add_noted(&file, ", with the key in ~/.onecodex", &["onecodex", "a"]);
    transcript.compare();
}
