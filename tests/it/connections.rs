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
