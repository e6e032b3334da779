//! What errors say of a connection that could not be made.

use super::support::World;
use super::support::tools::networks;
use std::net::TcpListener;

const LIMITS: [&str; 4] = ["--retries", "0", "--connect-timeout", "1s"];

fn run(base: &str, more: &[&str]) -> super::support::Run {
    let world = World::new(base);
    world.run(&[&["sm", "a"][..], &LIMITS, more].concat())
}

#[test]
fn a_failed_connection_names_the_address_and_the_base() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let base = format!("https://{closed}");
    run(&base, &[])
        .exits(5)
        .says(&format!("cannot connect to {closed}\n"))
        .says("the server refused the connection")
        .says(&format!(
            "the API base is {base} (STANDARD_METRICS_API_BASE)"
        ));
    run("https://name.invalid", &[])
        .exits(5)
        .says("cannot connect to name.invalid:443\n")
        .says("the resolver of this machine")
        .says("the API base is https://name.invalid (STANDARD_METRICS_API_BASE)");
}

#[test]
fn a_missing_route_and_silent_name_servers_are_said_in_words() {
    if !networks() {
        return;
    }
    for (base, script, says) in [
        (
            "https://10.1.2.3:8443",
            "",
            "this machine has no route to that network",
        ),
        (
            "https://api.example.com",
            "ip link set lo up; mount -t tmpfs none /mnt
             echo 'nameserver 127.0.0.1' >/mnt/resolv; mount --bind /mnt/resolv /etc/resolv.conf",
            "got no answer from its name servers",
        ),
    ] {
        let world = World::new(base);
        let script = format!("set -e\n{script}\nexec \"$@\"");
        let binary = env!("CARGO_BIN_EXE_docfetch");
        let limits = ["--retries", "0"];
        let command = ["-mn", "sh", "-c", &script, "sh", binary, "sm", "a"];
        let run = world.run_of("unshare", &[&command[..], &limits].concat());
        run.exits(5).says("cannot connect to ").says(says);
        run.says(&format!(
            "the API base is {base} (STANDARD_METRICS_API_BASE)"
        ));
    }
}

/// The hint says how a user reaches a test server.
#[test]
fn refused_plain_http_says_what_permits_it() {
    for (base, more, says) in [
        (
            "http://192.168.1.5",
            &[][..],
            "or pass --allow-private if you trust this network",
        ),
        (
            "http://8.8.8.8",
            &[],
            "use https; docfetch sends plain http only to loopback and private",
        ),
        (
            "http://8.8.8.8",
            &["--allow-private"],
            "docfetch sends plain http only to loopback",
        ),
        (
            "http://server.example",
            &[],
            "--allow-private permits plain http to private and loopback",
        ),
    ] {
        run(base, more)
            .exits(9)
            .is_prompt()
            .says("refused plain http")
            .says(says);
    }
}

#[test]
fn an_answer_that_is_not_http_is_said_in_words() {
    use std::io::Write as _;
    for (answer, says) in [
        (
            "",
            "the server closed the connection before the end of its answer",
        ),
        (
            "HTTP/1.1 200 OK\r\nA: b",
            "the server closed the connection before the end of its answer",
        ),
        (
            "SSH-2.0-OpenSSH_9.2\r\n",
            "the server does not speak HTTP on this port",
        ),
        (
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "the server sent a malformed HTTP status-code",
        ),
        (
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "the server sent a malformed HTTP header",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
            "the server closed the connection before the end of the body",
        ),
    ] {
        let server = super::support::raw::Raw::start(move |_, stream| {
            let _ = stream.write_all(answer.as_bytes());
        });
        run(&server.base(), &[]).exits(5).says(says);
    }
}
