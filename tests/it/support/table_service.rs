//! A service that docfetch ships no table for, and a user's table of the service.

use super::raw::{Raw, Request, presigned, reply, serve};
use super::{Run, World};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The JSON of the answers to requests, by method and target.
type Pages = HashMap<String, (String, Value)>;

/// A service that knows these targets alone, and a world whose configuration file has its table.
pub struct TableService {
    pub raw: Raw,
    pages: Arc<Mutex<Pages>>,
    pub world: World,
}

impl TableService {
    /// Starts a service. `toml` has `BASE` for its address.
    pub fn start(toml: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let base = format!("http://{address}");
        let pages: Arc<Mutex<Pages>> = Arc::default();
        let (known, own) = (Arc::clone(&pages), base.clone());
        let raw = Raw::start_at(address, move |request, stream| {
            let found = known.lock().unwrap().get(&key(request)).cloned();
            match found {
                Some((link, json)) => answer(stream, &link, &json),
                None => document(request, stream, &own),
            }
        });
        let mut world = World::bare();
        world.set("DOCFETCH_RATE_LIMIT", "none");
        world.set("DOCFETCH_RETRIES", "0");
        let file = world.home().join("given/config.toml");
        world.set("DOCFETCH_CONFIG", file.to_str().unwrap());
        let service = Self { raw, pages, world };
        service.configure(toml);
        service
    }

    /// Writes the configuration file. `toml` has `BASE` for the address of the service.
    pub fn configure(&self, toml: &str) {
        let folder = self.world.home().join("given");
        fs::create_dir_all(&folder).unwrap();
        let toml = toml.replace("BASE", &self.raw.base());
        fs::write(folder.join("config.toml"), toml).unwrap();
    }

    /// Answers a request such as `GET /files?page=2` with this JSON, in which `BASE` is the service's address.
    pub fn page(&self, request: &str, json: Value) -> &Self {
        self.linked(request, "", json)
    }

    /// The same with a `Link` to the next page.
    pub fn linked(&self, request: &str, link: &str, json: Value) -> &Self {
        let json = json.to_string().replace("BASE", &self.raw.base());
        let link = link.replace("BASE", &self.raw.base());
        let json = serde_json::from_str(&json).unwrap();
        let mut pages = self.pages.lock().unwrap();
        pages.insert(request.to_owned(), (link, json));
        self
    }

    /// Runs docfetch, and returns the requests that it sent meanwhile.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> (Run, Vec<String>) {
        let before = self.raw.seen().len();
        let run = self.world.run(arguments);
        let seen = self.raw.seen();
        (run, seen[before..].iter().map(key).collect())
    }

    /// What a command prints, in one line, and the requests that it sent.
    #[track_caller]
    pub fn ids(&self, arguments: &[&str]) -> (String, Vec<String>) {
        let (run, requests) = self.run(arguments);
        (run.exits(0).stdout.replace('\n', " "), requests)
    }
}

/// The method, the target and the body of a request.
fn key(request: &Request) -> String {
    let body = String::from_utf8_lossy(&request.body);
    let text = format!("{} {} {body}", request.method, request.target);
    text.trim_end().to_owned()
}

fn answer(stream: &mut TcpStream, link: &str, json: &Value) {
    let body = json.to_string();
    let headers = [("Link", link)];
    let headers = if link.is_empty() {
        &[][..]
    } else {
        &headers[..]
    };
    reply(stream, "200 OK", headers, body.as_bytes());
}

/// Resolves any id at `/dl/…`, to a URL whose content is the rest of the path.
fn document(request: &Request, stream: &mut TcpStream, base: &str) {
    let path = request.path();
    if let Some(rest) = path.strip_prefix("/s/") {
        serve(request, stream, rest.as_bytes(), "\"v1\"");
    } else if let Some(rest) = path.strip_prefix("/dl/") {
        let url = presigned(base, &format!("/s/{rest}"));
        reply(stream, "302 Found", &[("Location", &url)], b"");
    } else {
        reply(stream, "404 Not Found", &[], b"{}");
    }
}
