//! `docfetch sandbox`.

use crate::support::World;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

#[test]
fn a_command_runs_with_all_it_needs_and_its_status_is_handed_on() {
    let world = World::bare();
    let script = "docfetch sm $(docfetch list sm --ids) -d sm && \
                  docfetch onecodex $(docfetch list onecodex --ids) -d oc && diff -r sm oc && exit 42";
    let run = world.run(&["sandbox", "--", "sh", "-c", script]);
    run.exits(42).says("sandbox: 3 paid retrievals");
    assert_eq!(
        std::fs::read_dir(world.out().join("oc")).unwrap().count(),
        3
    );
    world
        .run(&["sandbox", "--", "sh", "-c", "kill -9 $$"])
        .exits(137);
    world.run(&["sandbox", "--", "/no/such/program"]).exits(2);
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
    assert_eq!(run.exits(0).stdout, "a b.txt\nempty\n");
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
    let exports: Vec<String> = (0..6).map(|_| lines.next().unwrap().unwrap()).collect();
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
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
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

/// Speaks to the sandbox as a careless client would.
fn curl(script: &str) -> crate::support::Run {
    let world = World::bare();
    let child = world
        .command(&["sandbox", "--", "sh", "-c", script])
        .spawn()
        .unwrap();
    world.finish(child, Instant::now())
}

#[test]
fn it_catches_the_classic_mistakes() {
    const URL: &str = "url=$(docfetch url sm $(docfetch list sm --ids --limit 1)); ";
    for (script, said) in [
        // A credential on the signed hop.
        (
            "curl -s -H \"X-API-Key: $ONE_CODEX_API_KEY\" \"$url\"",
            "InvalidArgument",
        ),
        (
            "curl -s -H 'Authorization: Bearer x' \"$url\"",
            "InvalidArgument",
        ),
        ("curl -s -e http://referer/ \"$url\"", "InvalidArgument"),
        ("curl -s -H 'Cookie: a=b' \"$url\"", "InvalidArgument"),
        // A method or a header that was not signed.
        ("curl -sI \"$url\"", "403"),
        (
            "curl -s -H 'x-amz-checksum-mode: ENABLED' \"$url\"",
            "SignatureDoesNotMatch",
        ),
        // A URL that was changed.
        ("curl -s \"${url}0\"", "SignatureDoesNotMatch"),
    ] {
        let run = curl(&format!("{URL}{script}"));
        assert!(run.stdout.contains(said), "{script}: {run:?}");
    }
    let run = curl(&format!("{URL}curl -s -H 'Cookie: a=b' \"$url\""));
    run.says("1 requests brought a credential to the storage");
    // A repeated paid request.
    let run = curl(
        "id=$(docfetch list onecodex --ids --limit 1); \
         for n in 1 2; do curl -s -X POST -H \"X-API-Key: $ONE_CODEX_API_KEY\" \
         $ONE_CODEX_API_BASE/api/v1/documents/$id/download_uri >/dev/null; done",
    );
    run.says("was charged 2 times");
    // Requests past the limit.
    let run = curl(
        "for n in $(seq 31); do curl -so/dev/null -w '%{http_code} ' $STANDARD_METRICS_API_BASE/o/token/; done",
    );
    assert!(run.stdout.trim_end().ends_with("404 429"), "{run:?}");
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
    run.says("1 paid retrievals");
    let run = fetch("expire-after=0s", "sm");
    assert_eq!(run.exits(5).error_code(), "url_expired");
    let run = fetch("expire-after=0s", "onecodex");
    assert_eq!(run.exits(8).error_code(), "charge_refused");
    fetch("wrong-range", "sm").exits(0);
    let run = fetch("latency=100ms", "sm");
    assert!(run.exits(0).elapsed.as_millis() >= 300);
}
