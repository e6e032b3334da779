//! `docfetch sandbox --provider`: stand-ins that follow from tables.

use crate::support::{World, each_at_once, kill, noise, send};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout};
use std::time::Instant;

/// A service with a bit of everything that a table can say.
const LAB: &str = r#"
title   = "Lab"
id      = ["project", "file*"]
rate    = ["1000/1s"]
headers = { "X-Version" = "7" }
auth    = { type = "query", name = "api key" }

[[providers.lab.resolve]]
path      = "/objects/{file}"
capture   = { ticket = "/data/0/ticket" }
not_ready = [202]
checksum  = { at = "/sums/*/value", algorithm_at = "/sums/*/type" }

[[providers.lab.resolve]]
method  = "POST"
path    = "/projects/{project}/link"
json    = { hours = 1, ticket = "{ticket}", file = "{file}" }
url     = "/data/url"
storage_headers = "/data/headers"
expires = { at = "/data/ttl", as = "seconds" }
charged = true
error   = "/reason"

[providers.lab.list]
method = "POST"
path   = "/search"
scope  = ["project"]
json   = { project = "{project}", limit = 5 }
rows   = "/hits"
only   = { at = "/type", equals = "file" }
id     = "/key"
name   = "/name"
size   = "/size"
paging = { kind = "cursor", at = "/next", in = "json", parameter = "after" }
"#;

/// Services that differ from [`LAB`] in what a table can say in one way only.
const OTHERS: [(&str, &str); 3] = [
    (
        "swap",
        r#"
id      = ["box", "item"]
auth    = { type = "exchange", path = "/login", json = { key = "{key}" }, token = "/token", expires = { at = "/end", as = "unix" } }
resolve = { path = "/{box}/x{item}", url = "body", checksum = { header = "X-Sum", algorithm = "md5", encoding = "base64" } }
list    = { path = "/list", rows = "/r", id = ["/a", "/b"], name = "/n", page = { parameter = "count", rows = 50 }, paging = { kind = "offset", parameter = "start", first = 0 } }
"#,
    ),
    (
        "turn",
        r#"
auth    = { type = "oauth", token = "/token", grant = "refresh-token", scope = "a b", client = "form" }
resolve = { path = "/{id}", url = "redirect-or-body" }
list    = { path = "/list", rows = "", id = "/id", name = "/n", page = { parameter = "count", rows = 50 }, paging = { kind = "link" } }
"#,
    ),
    (
        "basic",
        r#"
auth    = { type = "basic" }
resolve = { method = "POST", path = "/get", form = { id = "{id}" }, url = "/url", expires = { at = "/end", as = "rfc3339" }, checksum = { at = "/sum", algorithm = "crc32c", encoding = "base64" } }
list    = { path = "/list", rows = "/rows", id = "/id", name = "/n", paging = { kind = "cursor", at = "/more", parameter = "after" } }
"#,
    ),
];

/// A running `docfetch sandbox --provider`, and a world whose docfetch is pointed at it.
struct Served {
    name: String,
    host: World,
    child: Option<Child>,
    log: PathBuf,
    world: World,
    ids: Vec<String>,
    /// The option `--in` of `list` and `sync`.
    scope: Vec<String>,
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Served {
    /// Serves the table of a provider, which is in the configuration file where `config` is one.
    fn start(name: &str, config: Option<&Path>, documents: &Path, faults: &[&str]) -> Self {
        let mut host = World::bare();
        if let Some(config) = config {
            host.set("DOCFETCH_CONFIG", config.to_str().unwrap());
        }
        let folder = documents.to_str().unwrap();
        let mut arguments = vec!["sandbox", "--provider", name, "--dir", folder];
        for fault in faults {
            arguments.extend(["--fault", fault]);
        }
        let (mut child, log) = host.spawn_logging(&arguments);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut world = World::bare();
        if let Some(config) = config {
            world.set("DOCFETCH_CONFIG", config.to_str().unwrap());
        }
        for line in lines.by_ref() {
            let line = line.unwrap();
            let Some(export) = line.strip_prefix("export ") else {
                break;
            };
            let (variable, value) = export.split_once('=').unwrap();
            let is_secret = ["KEY", "TOKEN", "SECRET", "PASSWORD"];
            if is_secret.iter().any(|end| variable.ends_with(end)) {
                world.hide(value);
            }
            if !matches!(variable, "DOCFETCH_STATE_DIR" | "XDG_CONFIG_HOME") {
                world.set(variable, value);
            }
        }
        host.wait_for_text(&log, "end it with Ctrl-C");
        let text = fs::read_to_string(&log).unwrap();
        let begin = format!("sandbox: serves {name} ");
        let ids = text.lines().filter_map(|line| line.strip_prefix(&begin));
        let ids = ids.map(|rest| rest.split(' ').next().unwrap().to_owned());
        let scope = text.lines().find_map(|line| line.split_once(" --in "));
        let scope = scope.map(|(_, rest)| rest.split('`').next().unwrap().to_owned());
        Self {
            name: name.to_owned(),
            ids: ids.collect(),
            scope: scope
                .into_iter()
                .flat_map(|scope| ["--in".to_owned(), scope])
                .collect(),
            child: Some(child),
            host,
            log,
            world,
            _stdout: lines,
        }
    }

    /// The arguments of a fetch of every document.
    fn fetch(&self, folder: &str) -> Vec<String> {
        let options = ["-d", folder, "--allow-recharge", "--wait", "30s", "-v"];
        let first = [self.name.clone()];
        let rest = self.ids.iter().cloned();
        first
            .into_iter()
            .chain(rest)
            .chain(options.map(str::to_owned))
            .collect()
    }

    fn run(&self, arguments: &[String]) -> crate::support::Run {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.world.run(&arguments)
    }

    fn listing(&self, command: &str) -> Vec<String> {
        let first = [command.to_owned(), self.name.clone()];
        first
            .into_iter()
            .chain(self.scope.iter().cloned())
            .collect()
    }

    /// Ends the sandbox. Returns what it reported.
    fn end(mut self) -> String {
        let mut child = self.child.take().unwrap();
        send(&child, Signal::TERM);
        child.wait().unwrap();
        let _ = &self.host;
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            kill(child);
        }
    }
}

fn documents(home: &Path) -> PathBuf {
    let folder = home.join("documents");
    fs::create_dir(&folder).unwrap();
    for (name, length) in [
        ("a.bin", 300_000),
        ("b c.bin", 1000),
        ("d.bin", 70_000),
        ("e.bin", 20),
    ] {
        fs::write(folder.join(name), noise(length)).unwrap();
    }
    folder
}

/// The contents of the files in a folder.
fn contents(folder: &Path) -> BTreeSet<Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    files.map(|entry| fs::read(entry.path()).unwrap()).collect()
}

/// Takes the table of a provider through everything that docfetch promises for a table.
fn holds_every_promise(name: &str, config: Option<&Path>) {
    let home = World::bare();
    let documents = documents(home.home());
    let all = contents(&documents);

    let served = Served::start(name, config, &documents, &[]);
    assert_eq!(served.ids.len(), 4, "{name}");
    served.run(&served.fetch("fetched")).exits(0);
    assert_eq!(contents(&served.world.out().join("fetched")), all, "{name}");
    let listing = [served.listing("list"), vec!["--ids".to_owned()]].concat();
    let listed = served.run(&listing);
    if listed.code == 2 && served.scope.is_empty() {
        listed.says("has no list");
    } else {
        let listed: BTreeSet<&str> = listed.exits(0).stdout.lines().collect();
        assert_eq!(
            listed,
            served.ids.iter().map(String::as_str).collect(),
            "{name}"
        );
        let sync = [served.listing("sync"), vec!["mirror".to_owned()]].concat();
        served.run(&sync).exits(0);
        assert_eq!(contents(&served.world.out().join("mirror")), all, "{name}");
        served.run(&sync).exits(0).says("4 skipped");
    }
    let report = served.end();
    assert!(!report.contains("was charged"), "{name}: {report}");

    for faults in [
        &["reset-every=50K"][..],
        &["status=429x1"],
        &["not-ready=2"],
        &["expire-after=1s", "reset-every=150K", "throttle=120K"],
    ] {
        let served = Served::start(name, config, &documents, faults);
        served.run(&served.fetch("fetched")).exits(0);
        assert_eq!(
            contents(&served.world.out().join("fetched")),
            all,
            "{name} {faults:?}"
        );
        let report = served.end();
        let may_pay_again = faults[0].starts_with("expire");
        assert!(
            may_pay_again || !report.contains("was charged"),
            "{name} {faults:?}: {report}"
        );
    }

    let served = Served::start(name, config, &documents, &["throttle=150K"]);
    let fetch = [served.name.clone(), served.ids[0].clone()];
    let fetch: Vec<&str> = fetch.iter().map(String::as_str).collect();
    let child = served.world.command(&fetch).spawn().unwrap();
    served.world.wait_for_partial(60_000);
    kill(child);
    served.world.run(&fetch).exits(0);
    assert_eq!(
        contents(&served.world.out()),
        [noise(300_000)].into(),
        "{name}"
    );
    let report = served.end();
    assert!(!report.contains("was charged"), "{name}: {report}");
}

/// The names of all tables of the source tree.
fn shipped() -> Vec<String> {
    let run = World::bare().run(&["sandbox", "--provider", "none-of-them", "--", "true"]);
    let text = &run.exits(2).says("there is no provider").stderr;
    let names = text
        .lines()
        .find_map(|line| line.split_once("the providers are "));
    names.unwrap().1.split(", ").map(str::to_owned).collect()
}

/// A configuration file with a table.
fn config(world: &World, name: &str, table: &str) -> PathBuf {
    let path = world.home().join("config.toml");
    fs::write(&path, format!("retries = 1\n[providers.{name}]\n{table}")).unwrap();
    path
}

#[test]
fn every_shipped_table_is_served_and_holds_every_promise() {
    let names = shipped();
    assert!(names.len() >= 2, "{names:?}");
    each_at_once(names, |name| holds_every_promise(&name, None));
}

#[test]
fn tables_of_the_user_are_served_and_hold_every_promise() {
    each_at_once([("lab", LAB)].into_iter().chain(OTHERS), |(name, table)| {
        let world = World::bare();
        let config = config(&world, name, table);
        holds_every_promise(name, Some(&config));
    });
}

/// The command knows the user's table, and has neither the user's settings nor other credentials.
#[test]
fn a_command_in_the_sandbox_knows_the_table_and_only_the_credentials_of_the_sandbox() {
    let mut world = World::bare();
    let config = config(&world, "lab", LAB);
    world
        .set("DOCFETCH_CONFIG", config.to_str().unwrap())
        .set("LAB_API_KEY", "mine")
        .set("LAB_API_KEY_FILE", "/nowhere")
        .set("ONE_CODEX_API_KEY", "mine");
    let script = "docfetch sync lab --in project-1 . && test -z \"$ONE_CODEX_API_KEY$LAB_API_KEY_FILE\" && \
                  test \"$LAB_API_KEY\" != mine && ! grep -r retries \"$XDG_CONFIG_HOME\"";
    let run = world.run(&["sandbox", "--provider", "lab", "--", "sh", "-c", script]);
    run.exits(0).says("sandbox: 3 paid retrievals");
    let script = "docfetch sync lab --in project-1 second";
    let dropping = [
        "sandbox",
        "--provider",
        "lab",
        "--fault",
        "drop-post-response",
    ];
    let run = world.run(&[&dropping[..], &["--", "sh", "-c", script]].concat());
    run.exits(8).says("paid retrieval");
}

#[test]
fn a_table_that_no_stand_in_can_follow_is_refused() {
    for (table, why) in [
        (
            "auth = { type = \"oauth\", token = \"https://login.example/token\" }\n\
             resolve = { path = \"/{id}\", url = \"redirect\" }",
            "the token route of auth is a whole URL",
        ),
        (
            "auth = { type = \"none\" }\n\
             resolve = { path = \"/{id}\", url = \"/a\", name = \"/a/b\" }",
            "beside the other values",
        ),
    ] {
        let mut world = World::bare();
        let config = config(&world, "acme", table);
        world.set("DOCFETCH_CONFIG", config.to_str().unwrap());
        let run = world.run(&["sandbox", "--provider", "acme", "--", "true"]);
        run.exits(2).says("the sandbox cannot serve acme").says(why);
    }
}

/// Sends one request. Returns the status, and the whole answer.
fn ask(base: &str, line: &str, headers: &str, body: &str) -> (u16, String) {
    let host = base.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

#[test]
fn only_the_requests_of_the_table_are_answered() {
    let world = World::bare();
    let config = config(&world, "lab", LAB);
    let documents = documents(world.home());
    let started = Instant::now();
    let served = Served::start("lab", Some(&config), &documents, &[]);
    let base = served.world.variable("LAB_API_BASE");
    let key = served.world.variable("LAB_API_KEY");
    let file = served.ids[0].strip_prefix("project-1/").unwrap();
    let get = format!("GET /objects/{file}?api+key={key}");
    let version = "X-Version: 7\r\n";
    let (status, answer) = ask(&base, &get, version, "");
    assert_eq!(status, 200, "{answer}");
    let json: serde_json::Value =
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let ticket = json["data"][0]["ticket"].as_str().unwrap();
    for (line, headers, expected) in [
        (format!("GET /objects/{file}"), version, 401),
        (format!("GET /objects/{file}?api+key=0{key}"), version, 401),
        (format!("GET /objects/nothing?api+key={key}"), version, 404),
        (format!("POST /objects/{file}?api+key={key}"), version, 405),
        (get.clone(), "", 400),
        (get.clone(), "X-Version: 8\r\n", 400),
        (format!("{get}&more=1"), version, 400),
        (get.replace("/files/", "/files%2F"), version, 404),
        (get.replace("/objects", "/%6fbjects"), version, 200),
    ] {
        let (status, answer) = ask(&base, &line, headers, "");
        assert_eq!(status, expected, "{line} {answer}");
    }
    let post = format!("POST /projects/project-1/link?api+key={key}");
    let json = |ticket: &str, hours: u32| {
        format!("{{\"file\":\"{file}\",\"hours\":{hours},\"ticket\":\"{ticket}\"}}")
    };
    let media_type = format!("{version}Content-Type: application/json\r\n");
    for (body, headers, expected) in [
        (json("0", 1), &media_type, 400),
        (json(ticket, 2), &media_type, 400),
        (json(ticket, 1), &version.to_owned(), 400),
        (String::new(), &media_type, 400),
        (json(ticket, 1), &media_type, 200),
    ] {
        let (status, answer) = ask(&base, &post, headers, &body);
        assert_eq!(status, expected, "{body} {answer}");
        assert!(status != 400 || answer.contains("\"reason\":"), "{answer}");
    }
    // The storage wants the header that came with the URL.
    let (_, answer) = ask(&base, &post, &media_type, &json(ticket, 1));
    let json: serde_json::Value =
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let url = json["data"]["url"].as_str().unwrap();
    let (storage, target) = url.split_at(url.match_indices('/').nth(2).unwrap().0);
    let (name, value) = json["data"]["headers"]
        .as_object()
        .unwrap()
        .iter()
        .next()
        .unwrap();
    let value = value.as_str().unwrap();
    let line = format!("GET {target}");
    assert_eq!(ask(storage, &line, "", "").0, 403);
    assert_eq!(
        ask(storage, &line, &format!("{name}: 0{value}\r\n"), "").0,
        403
    );
    assert_eq!(
        ask(storage, &line, &format!("{name}: {value}\r\n"), "").0,
        200
    );
    assert!(started.elapsed().as_secs() < 60);
    let report = served.end();
    assert!(report.contains("was charged 2 times"), "{report}");
}
