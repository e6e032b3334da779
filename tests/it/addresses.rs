//! Names and the addresses that they stand for, in a network of the test's own.

use crate::support::World;
use crate::support::raw::{Raw, api, presigned};
use crate::support::tools::networks;
use std::io::Read as _;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A public address (RFC 5737) of the machine itself.
const PUBLIC: &str = "198.51.100.7";
const TLS_HANDSHAKE: u8 = 0x16;

/// Runs an ignored test of this file where `public.example` has the public address.
fn runs_apart(test: &str) {
    if !networks() {
        return;
    }
    let script = format!(
        "set -e; ip link set lo up; ip addr add {PUBLIC}/32 dev lo; mount -t tmpfs none /mnt
        printf '127.0.0.1 localhost\\n{PUBLIC} public.example\\n' >/mnt/hosts
        mount --bind /mnt/hosts /etc/hosts; exec \"$0\" --ignored --exact \"$1\""
    );
    let output = Command::new("unshare")
        .args(["-mn", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .arg(format!("addresses::{test}"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[test]
fn nothing_goes_to_a_public_address_in_the_clear_beside_https_to_the_same_name() {
    runs_apart("http_beside_https");
}

#[test]
#[ignore = "another test runs it in a network of its own"]
fn http_beside_https() {
    let listener = TcpListener::bind((PUBLIC, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let [clear, encrypted]: [Arc<AtomicUsize>; 2] = Default::default();
    let counts = [Arc::clone(&clear), Arc::clone(&encrypted)];
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut first = [0];
            let _ = stream.read(&mut first);
            counts[usize::from(first[0] == TLS_HANDSHAKE)].fetch_add(1, Ordering::Relaxed);
        }
    });
    let server = Raw::start(move |request, stream| {
        let scheme = if request.path().contains("encrypted") {
            "https"
        } else {
            "http"
        };
        let storage = format!("{scheme}://public.example:{port}");
        api(request, stream, &presigned(&storage, "/x"));
    });
    let world = World::new(&server.base());
    let ids = (0..40).flat_map(|n| [format!("clear{n}"), format!("encrypted{n}")]);
    let ids: Vec<String> = ids.collect();
    let mut arguments = vec![
        "sm",
        "--allow-private",
        "--json",
        "--retries",
        "0",
        "-j",
        "16",
    ];
    arguments.extend(["--rate-limit", "none"]);
    arguments.extend(ids.iter().map(String::as_str));
    let run = world.run(&arguments);
    assert_eq!(clear.load(Ordering::Relaxed), 0);
    assert!(encrypted.load(Ordering::Relaxed) > 0);
    for record in run.records() {
        let Some(id) = record["id"].as_str() else {
            continue;
        };
        let expected = if id.starts_with("clear") {
            "insecure_url"
        } else {
            "network"
        };
        assert_eq!(record["error"]["code"], expected, "{record}");
    }
}
