//! Both services at their own addresses, behind a proxy, so that what docfetch stores of them is the same in each
//! run. They answer as they are told by the ids of documents.

use crate::support::proxies::{Proxy, Speaks};
use crate::support::raw::{self, Raw, Request, presigned, reply};
use crate::support::tls::{Authority, front};
use crate::support::{API_KEY, CLIENT_ID, CLIENT_SECRET, SILENCE, TOKEN, World};
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

const STANDARD_METRICS: &str = "api.standardmetrics.io";
const ONE_CODEX: &str = "app.onecodex.com";
const STORAGE: &str = "storage.example";
const TAG: &str = "\"e7c935532923fe0d975fec53acaaf741\"";
/// A century, in the units of the two services: what was handed over is valid whenever the test runs.
const HOURS: u64 = 876_000;
const SECONDS: u64 = HOURS * 3600;

/// The documents in each list.
const LISTED: [&str; 3] = ["m1", "m2", "m3"];

/// The services.
pub struct Services {
    pub standard_metrics: Raw,
    pub one_codex: Raw,
    pub storage: Raw,
    proxy: Proxy,
    authority: Authority,
}

impl Services {
    /// Starts them. Some documents of a `broken` service are never delivered.
    pub fn start(broken: bool) -> Self {
        let storage = Raw::start(move |request, stream| stored(request, stream, broken));
        let standard_metrics = Raw::start(standard_metrics);
        let one_codex = Raw::start(move |request, stream| one_codex(request, stream, broken));
        let authority = Authority::new();
        let target = |host: &'static str, server: &Raw| {
            (host, front(authority.leaf_for(host), server.address))
        };
        let targets = vec![
            target(STANDARD_METRICS, &standard_metrics),
            target(ONE_CODEX, &one_codex),
            target(STORAGE, &storage),
        ];
        Self {
            standard_metrics,
            one_codex,
            storage,
            proxy: Proxy::start(Speaks::Http, false, targets),
            authority,
        }
    }

    /// A world that knows the credentials and no base.
    pub fn world(&self) -> World {
        let mut world = World::bare();
        let certificate = world.home().join("given/authority.pem");
        fs::create_dir_all(certificate.parent().unwrap()).unwrap();
        fs::write(&certificate, self.authority.pem()).unwrap();
        for (name, value) in [
            ("STANDARD_METRICS_CLIENT_ID", CLIENT_ID),
            ("STANDARD_METRICS_CLIENT_SECRET", CLIENT_SECRET),
            ("ONE_CODEX_API_KEY", API_KEY),
            ("DOCFETCH_PROXY", &format!("http://{}", self.proxy.address)),
            ("DOCFETCH_CA_CERT", certificate.to_str().unwrap()),
            ("DOCFETCH_RETRIES", "0"),
            ("DOCFETCH_JOBS", "1"),
        ] {
            world.set(name, value);
        }
        world
    }

    /// How many requests for URLs of One Codex there were: each may be charged.
    pub fn charges(&self) -> usize {
        self.one_codex.count("POST", "")
    }
}

/// The content of a document: numbered lines. The process that is killed notes only the bytes of long documents.
pub fn content(id: &str) -> Vec<u8> {
    let lines = match id {
        "killed" => 8_000,
        _ => 200,
    };
    let lines = (0..lines).map(|line| format!("line {line:>6}\n"));
    lines.collect::<String>().into_bytes()
}

/// How many bytes of a document a broken storage sends.
pub fn sent(id: &str) -> usize {
    content(id).len() / 4 * 3
}

fn send(stream: &mut TcpStream, headers: &[(&str, &str)], json: &Value) {
    let headers = [&[("Content-Type", "application/json")], headers].concat();
    reply(stream, "200 OK", &headers, json.to_string().as_bytes());
}

fn standard_metrics(request: &Request, stream: &mut TcpStream) {
    let segments: Vec<&str> = request.path().split('/').skip(1).collect();
    match (request.method.as_str(), segments.as_slice()) {
        ("POST", ["o", "token", ""]) => send(
            stream,
            &[],
            &json!({"access_token": TOKEN, "expires_in": SECONDS, "token_type": "Bearer"}),
        ),
        ("GET", ["v1", "documents", "limited", "download", ""]) => {
            let headers = [("Retry-After", "800")];
            reply(stream, "429 Too Many Requests", &headers, b"{}");
        }
        ("GET", ["v1", "documents", id, "download", ""]) => {
            let url = presigned(&format!("https://{STORAGE}"), &format!("/sm/{id}"));
            reply(stream, "302 Found", &[("Location", &url)], b"");
        }
        ("GET", ["v1", "documents", ""]) => {
            let row = |id| json!({"id": id, "name": format!("{id}.bin"), "uploaded_at": "2026-07-01T08:30:00Z"});
            let rows: Vec<Value> = LISTED.into_iter().map(row).collect();
            send(
                stream,
                &[],
                &json!({"count": rows.len(), "next": null, "results": rows}),
            );
        }
        _ => reply(stream, "404 Not Found", &[], b"{}"),
    }
}

fn one_codex(request: &Request, stream: &mut TcpStream, broken: bool) {
    let segments: Vec<&str> = request.path().split('/').skip(1).collect();
    let row = |kind: &str, id: &str| {
        json!({
            "$uri": format!("/api/v1/{kind}/{id}"), "filename": format!("{id}.bin"), "size": content(id).len(),
            "created_at": "2026-07-01T08:30:00Z",
        })
    };
    match (request.method.as_str(), segments.as_slice()) {
        ("POST", [.., "doubtful", "download_uri"]) if broken => {
            reply(stream, "500 Internal Server Error", &[], b"{}");
        }
        ("POST", [.., "attempting", "download_uri"]) if broken => std::thread::sleep(SILENCE),
        ("POST", [.., "delivered-expired", "download_uri"]) if broken && request.before > 0 => {
            reply(stream, "402 Payment Required", &[], b"{}");
        }
        ("POST", ["api", "v1", kind, id, "download_uri"]) => {
            let url = presigned(&format!("https://{STORAGE}"), &format!("/{kind}/{id}"));
            send(
                stream,
                &[],
                &json!({"download_uri": url, "expires_in_hours": HOURS}),
            );
        }
        ("GET", ["api", "v1", kind]) => {
            let rows: Vec<Value> = LISTED.into_iter().map(|id| row(kind, id)).collect();
            let total = rows.len().to_string();
            send(stream, &[("X-Total-Count", &total)], &rows.into());
        }
        ("GET", ["api", "v1", kind, id]) => send(stream, &[], &row(kind, id)),
        _ => reply(stream, "404 Not Found", &[], b"{}"),
    }
}

fn stored(request: &Request, stream: &mut TcpStream, broken: bool) {
    let id = request.path().rsplit('/').next().unwrap();
    let content = content(id);
    match id {
        "answered" if broken => reply(stream, "503 Service Unavailable", &[], b""),
        "expired" | "delivered-expired" if broken && (id == "expired" || request.before > 0) => {
            let body =
                b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
            let headers = [("Content-Type", "application/xml")];
            reply(stream, "403 Forbidden", &headers, body);
        }
        "stopped" | "m3" if broken => raw::send_part(request, stream, &content, TAG, sent(id)),
        "killed" if broken => {
            let length = Some(content.len());
            raw::head(stream, "200 OK", &[("ETag", TAG)], length);
            for part in content[..sent(id)].chunks(10_000) {
                let _ = stream.write_all(part);
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(SILENCE);
        }
        _ => raw::serve(request, stream, &content, TAG),
    }
}
