//! A process that is stopped while its servers go on, and servers whose answers do not end.

use crate::support::raw::{Raw, Request, api, head, presigned, reply, serve};
use crate::support::tls::{Authority, Leaf, front};
use crate::support::{Run, SILENCE, World, send};
use rustix::process::Signal;
use std::io::Write as _;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const SERVICES: [&str; 2] = ["sm", "onecodex"];
const SIZE: usize = 100_000;
/// Stops that are longer than all limits, and begin before one is over.
const LIMITS: [&str; 4] = ["--stall-timeout", "2s", "--connect-timeout", "2s"];
const BEFORE: Duration = Duration::from_millis(300);
const ANSWER: Duration = Duration::from_millis(600);
const STOP: Duration = Duration::from_millis(3500);

/// Runs docfetch, and stops it for a while once `began` says so.
fn stopped(world: &World, arguments: &[&str], began: &Receiver<()>) -> Run {
    let child = world.command(arguments).spawn().unwrap();
    let started = Instant::now();
    began.recv_timeout(Duration::from_secs(20)).unwrap();
    std::thread::sleep(BEFORE);
    send(&child, Signal::STOP);
    std::thread::sleep(STOP);
    send(&child, Signal::CONT);
    world.finish(child, started)
}

/// An API and a storage, at one address; a request for what is `slow` is answered late, its body in two
/// parts.
fn slow(part: &'static str) -> (Raw, Receiver<()>) {
    let (tell, began) = channel();
    let server = Raw::start(move |request, stream| {
        if request.path().contains(part) && request.before == 0 {
            let _ = tell.send(());
            std::thread::sleep(ANSWER);
        }
        both(request, stream, Duration::ZERO);
    });
    (server, began)
}

fn both(request: &Request, stream: &mut TcpStream, pause: Duration) {
    let own = format!("http://{}", stream.local_addr().unwrap());
    match request.path() {
        "/stored.bin" => {
            let content = vec![b'x'; SIZE];
            if pause.is_zero() {
                return serve(request, stream, &content, "\"a\"");
            }
            head(stream, "200 OK", &[("ETag", "\"a\"")], Some(SIZE));
            let _ = stream.write_all(&content[..SIZE / 2]);
            std::thread::sleep(pause);
            let _ = stream.write_all(&content[SIZE / 2..]);
        }
        path if request.method == "GET" && path.starts_with("/api/v1/documents/") => {
            let json = br#"{"filename":"told.bin","size":100000}"#;
            reply(stream, "200 OK", &[], json);
        }
        _ => api(request, stream, &presigned(&own, "/stored.bin")),
    }
}

#[test]
fn an_answer_that_came_while_the_process_was_stopped_is_used() {
    let parts = ["/o/token/", "/download", "/stored"];
    std::thread::scope(|scope| {
        for service in SERVICES {
            for part in parts {
                if (service, part) == ("onecodex", "/o/token/") {
                    continue;
                }
                scope.spawn(move || {
                    let (server, began) = slow(part);
                    let world = World::new(&server.base());
                    let arguments = [&[service, "a", "--retries", "0"][..], &LIMITS].concat();
                    let run = stopped(&world, &arguments, &began);
                    run.exits(0);
                    let requests = server.seen();
                    let asked = requests.iter().filter(|seen| seen.path().contains(part));
                    assert_eq!(asked.count(), 1, "{part}: {run:#?}");
                });
            }
        }
    });
}

#[test]
fn a_body_whose_rest_came_while_the_process_was_stopped_is_whole() {
    let (tell, began) = channel();
    let server = Raw::start(move |request, stream| {
        if request.path() == "/stored.bin" {
            let _ = tell.send(());
        }
        both(request, stream, ANSWER);
    });
    let world = World::new(&server.base());
    let arguments = [&["sm", "a", "--retries", "0"][..], &LIMITS].concat();
    stopped(&world, &arguments, &began).exits(0);
    assert_eq!(world.read("stored.bin").len(), SIZE);
    assert_eq!(server.count("GET", "/stored.bin"), 1);
}

/// The stop is longer than the 5 s that metadata may take.
#[test]
fn metadata_that_came_while_the_process_was_stopped_names_the_document() {
    let (tell, began) = channel();
    let server = Raw::start(move |request, stream| {
        if request.method == "GET" && request.path().starts_with("/api/") {
            let _ = tell.send(());
            std::thread::sleep(Duration::from_secs(1));
        }
        both(request, stream, Duration::ZERO);
    });
    let world = World::new(&server.base());
    let child = world.command(&["onecodex", "a"]).spawn().unwrap();
    let started = Instant::now();
    began.recv().unwrap();
    std::thread::sleep(BEFORE);
    send(&child, Signal::STOP);
    std::thread::sleep(Duration::from_millis(5500));
    send(&child, Signal::CONT);
    let run = world.finish(child, started);
    assert_eq!(run.exits(0).stdout, "told.bin\n");
}

#[test]
fn a_connection_that_stands_since_the_process_was_stopped_is_used() {
    let (tell, began) = channel();
    let server = Raw::start(|request, stream| both(request, stream, Duration::ZERO));
    let authority = Authority::new();
    let behind = front(authority.leaf(Leaf::Good), server.address);
    // Hands everything on late at first: the TLS handshake waits for it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, near) in listener.incoming().flatten().enumerate() {
            let far = TcpStream::connect(behind).unwrap();
            let tell = tell.clone();
            std::thread::spawn(move || {
                if number == 0 {
                    let _ = tell.send(());
                    std::thread::sleep(ANSWER);
                }
                let pairs = [(&near, &far), (&far, &near)];
                std::thread::scope(|scope| {
                    for (mut from, mut to) in pairs {
                        scope.spawn(move || {
                            let _ = std::io::copy(&mut from, &mut to);
                            let _ = to.shutdown(Shutdown::Write);
                        });
                    }
                });
            });
        }
    });
    let mut world = World::new(&format!("https://localhost:{}", address.port()));
    std::fs::create_dir(world.home().join("given")).unwrap();
    let authorities = world.home().join("given/ca.pem");
    std::fs::write(&authorities, authority.pem()).unwrap();
    world.set("DOCFETCH_CA_CERT", authorities.to_str().unwrap());
    world.set("DOCFETCH_ALLOW_PRIVATE", "1");
    let arguments = [&["sm", "a", "--retries", "0"][..], &LIMITS].concat();
    stopped(&world, &arguments, &began).exits(0);
}

#[test]
fn a_stop_uses_up_no_time_of_the_retries() {
    let (tell, began) = channel();
    let server = Raw::start(move |request, stream| {
        if request.path() == "/stored.bin" && request.before == 0 {
            let _ = tell.send(());
            std::thread::sleep(ANSWER);
            return reply(stream, "503 Busy", &[], b"");
        }
        both(request, stream, Duration::ZERO);
    });
    let world = World::new(&server.base());
    let arguments = ["sm", "a", "--retry-max-time", "3s"];
    stopped(&world, &arguments, &began).exits(0);
    assert_eq!(server.count("GET", "/stored.bin"), 2);
}

/// Sends so much a moment that no stall timeout ends it.
fn trickle(stream: &mut TcpStream, first: &str, for_ever: &[u8]) {
    head(stream, "200 OK", &[], Some(50_000_000));
    let _ = stream.write_all(first.as_bytes());
    let began = Instant::now();
    while began.elapsed() < SILENCE && stream.write_all(for_ever).is_ok() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_answer_of_an_api_ends_in_time_however_it_trickles() {
    for part in ["/o/token/", "/download/"] {
        let server = Raw::start(move |request, stream| {
            if request.path().contains(part) {
                return trickle(stream, "", &[b' '; 100]);
            }
            both(request, stream, Duration::ZERO);
        });
        let world = World::new(&server.base());
        let times = ["--retry-max-time", "2s", "--retries", "0", "--json"];
        let run = world.run(&[&["sm", "a"][..], &times].concat());
        // A redirect was due: the body of any other answer is not read.
        let code = if part == "/o/token/" {
            "stalled"
        } else {
            "protocol"
        };
        assert_eq!(run.is_prompt().exits(5).error_code(), code, "{run:#?}");
    }
}

#[test]
fn an_answer_without_an_end_is_used_when_it_holds_what_is_needed() {
    for (length, trickles) in [(3 << 20, false), (0, true)] {
        for service in SERVICES {
            let server = Raw::start(move |request, stream| {
                let own = format!("http://{}", stream.local_addr().unwrap());
                let url = presigned(&own, "/stored.bin");
                let first = match (request.method.as_str(), request.path()) {
                    ("POST", "/o/token/") => {
                        format!(
                            r#"{{"access_token":"{}","expires_in":3600,"token_type":"bearer","#,
                            crate::support::TOKEN
                        )
                    }
                    ("POST", _) => {
                        format!(r#"{{"x":[{{}}],"download_uri":"{url}","expires_in_hours":1,"#)
                    }
                    ("GET", path) if path.starts_with("/api/") => {
                        r#"{"filename":"told.bin","size":100000,"#.to_owned()
                    }
                    _ => return both(request, stream, Duration::ZERO),
                };
                if trickles {
                    return trickle(stream, &first, b" ");
                }
                let rest = "y".repeat(length);
                let json = format!("{first}\"rest\":\"{rest}\"}}");
                reply(stream, "200 OK", &[], json.as_bytes());
            });
            let world = World::new(&server.base());
            let run = world.run(&[service, "a"]);
            run.is_prompt().exits(0);
            let posts = if service == "sm" {
                "/o/token/"
            } else {
                "/download_uri"
            };
            assert_eq!(server.count("POST", posts), 1);
        }
    }
}

#[test]
fn an_answer_that_is_too_long_is_refused_when_it_does_not_hold_what_is_needed() {
    for (service, code) in [("sm", "protocol"), ("onecodex", "charge_unknown")] {
        let server = Raw::start(|request, stream| match request.method.as_str() {
            "POST" => {
                let json = format!("{{\"rest\":\"{}\",", "y".repeat(64 << 20));
                reply(stream, "200 OK", &[], json.as_bytes());
            }
            _ => both(request, stream, Duration::ZERO),
        });
        let world = World::new(&server.base());
        let run = world.run(&[service, "a", "--json", "--retries", "0"]);
        assert_eq!(run.error_code(), code, "{run:#?}");
        run.says("longer than 1048576 bytes");
    }
}
