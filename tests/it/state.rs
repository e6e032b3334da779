//! What processes share through the state folder: the token, the rate budget; and what a broken state
//! folder means for them.

use crate::support::raw::{Raw, api, presigned, reply};
use crate::support::services::Service;
use crate::support::{TOKEN, World, kill};
use docfetch::sandbox::Document;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

/// An API whose tokens are `token0`, `token1`…; only the newest is accepted. They live for
/// so many seconds.
fn granting(lifetime: u64) -> (Raw, Raw) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"content"));
    let url = presigned(&storage.base(), "/x.txt");
    let granted = AtomicUsize::new(0);
    let api = Raw::start(move |request, stream| {
        if request.path() == "/o/token/" {
            let number = granted.fetch_add(1, Ordering::SeqCst);
            let body = format!(
                r#"{{"access_token":"{TOKEN}{number}","expires_in":{lifetime},"token_type":"Bearer"}}"#
            );
            return reply(stream, "200 OK", &[], body.as_bytes());
        }
        let newest = granted.load(Ordering::SeqCst) - 1;
        let good = request.header("authorization") == Some(&*format!("Bearer {TOKEN}{newest}"));
        match good {
            true => api(request, stream, &url),
            false => reply(stream, "401 Unauthorized", &[], b"{}"),
        }
    });
    (api, storage)
}

fn tokens(api: &Raw) -> usize {
    api.count("POST", "/o/token/")
}

#[test]
fn one_token_serves_many_runs_and_commands() {
    let (service, _) = Service::with("x.bin", 1000, &[]);
    let world = service.world();
    for _ in 0..5 {
        world
            .run(&["sm", "doc1", "--if-exists", "overwrite"])
            .exits(0);
    }
    world.run(&["list", "sm"]).exits(0);
    world.run_showing(&["url", "sm", "doc1"]).exits(0);
    assert_eq!(service.report().tokens, 1);
}

#[test]
fn processes_that_start_at_once_ask_for_one_token() {
    let (service, _) = Service::with("x.bin", 1000, &["latency=100ms"]);
    let world = service.world();
    let children: Vec<Child> = (0..6)
        .map(|number| {
            let file = format!("{number}.bin");
            world.command(&["sm", "doc1", "-o", &file]).spawn().unwrap()
        })
        .collect();
    for child in children {
        world.finish(child, Instant::now()).exits(0);
    }
    assert_eq!(service.report().tokens, 1);
}

#[test]
fn a_kept_token_that_is_refused_is_replaced_for_all() {
    let (api, _storage) = granting(3600);
    let world = World::new(&api.base());
    world.run(&["sm", "a"]).exits(0);
    // Another process requests a token, and the first one expires.
    let other = World::new(&api.base());
    other.run(&["sm", "a"]).exits(0);
    assert_eq!(tokens(&api), 2);
    world.run(&["sm", "a", "-o", "b"]).exits(0);
    assert_eq!(tokens(&api), 3);
    world.run(&["sm", "a", "-o", "c"]).exits(0);
    assert_eq!(tokens(&api), 3);
}

#[test]
fn a_token_in_its_last_minute_is_not_used() {
    let (api, _storage) = granting(61);
    let world = World::new(&api.base());
    world.run(&["sm", "a"]).exits(0);
    std::thread::sleep(Duration::from_millis(1100));
    world.run(&["sm", "a", "-o", "b"]).exits(0);
    assert_eq!(tokens(&api), 2);
}

#[test]
fn another_client_or_secret_is_another_token() {
    let (api, _storage) = granting(3600);
    let mut world = World::new(&api.base());
    world.run(&["sm", "a"]).exits(0);
    world.set(
        "STANDARD_METRICS_CLIENT_SECRET",
        "a-new-secret-of-the-same-client",
    );
    world.run(&["sm", "a", "-o", "b"]).exits(0);
    assert_eq!(tokens(&api), 2);
}

#[test]
fn records_of_tokens_and_budgets_that_cannot_be_trusted_are_written_anew() {
    for kind in ["tokens", "budgets"] {
        for spoil in ["garbage", "nonsense", "open", "symlink"] {
            if (kind, spoil) == ("tokens", "nonsense") {
                continue; // a token that lives for ever is one: the API says what it thinks of it
            }
            let (api, _storage) = granting(3600);
            let world = World::new(&api.base());
            world.run(&["sm", "a"]).exits(0);
            let path = world.record(kind);
            let victim = world.home().join("victim");
            match spoil {
                "garbage" => fs::write(&path, "{\"value\":").unwrap(),
                "nonsense" => {
                    let max = u64::MAX;
                    let sent = format!(r#"{{"key":1,"at":0,"answered":{max}}}"#);
                    let log = format!(
                        r#"{{"requests":[{sent}],"held_until":{max},"window":{max},"most":9}}"#
                    );
                    fs::write(&path, log).unwrap();
                }
                "open" => {
                    use std::os::unix::fs::PermissionsExt as _;
                    let open = fs::Permissions::from_mode(0o644);
                    fs::set_permissions(&path, open).unwrap();
                }
                _ => {
                    fs::write(&victim, "precious").unwrap();
                    fs::remove_file(&path).unwrap();
                    symlink(&victim, &path).unwrap();
                }
            }
            // Looks at the permissions, too.
            world.run(&["sm", "a", "-o", "b"]).exits(0);
            assert_eq!(tokens(&api), 1 + usize::from(kind == "tokens"), "{spoil}");
            assert!(fs::symlink_metadata(&path).unwrap().is_file());
            if spoil == "symlink" {
                assert_eq!(fs::read(&victim).unwrap(), b"precious");
            }
        }
    }
}

#[test]
fn a_token_that_cannot_be_kept_is_told_once_and_the_run_continues() {
    let (service, _) = Service::with("x.bin", 1000, &[]);
    let mut world = service.world();
    world.set("DOCFETCH_STATE_DIR", "/dev/null/state");
    let run = world.run(&["sm", "doc1"]);
    assert_eq!(run.exits(0).stderr.matches("in this run only").count(), 1);
    assert!(
        world
            .run(&["sm", "doc1", "-q", "-o", "y"])
            .exits(0)
            .stderr
            .is_empty()
    );
    assert_eq!(service.report().tokens, 2);
}

#[test]
fn the_state_folder_is_where_it_is_said_to_be_and_what_docfetch_makes_is_closed_to_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let (service, _) = Service::with("x.bin", 1000, &[]);
    let mode = |path: &PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for (variable, below, root_mode) in [
        ("DOCFETCH_STATE_DIR", "", 0o755), // the user's own folder
        ("DOCFETCH_STATE_DIR", "new", 0o700),
        ("XDG_STATE_HOME", "docfetch", 0o700),
    ] {
        let mut world = service.world();
        let folder = world.home().join("given/state");
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let set = match variable {
            "DOCFETCH_STATE_DIR" => folder.join(below),
            _ => folder.clone(),
        };
        world.set(variable, set.to_str().unwrap());
        let binary = env!("CARGO_BIN_EXE_docfetch");
        let script = format!("umask 0; {binary} onecodex doc1; {binary} sm doc1 -o y");
        world.run_of("sh", &["-c", &script]).exits(0);
        let folder = folder.join(below);
        assert_eq!(mode(&folder), root_mode, "{variable} {below}");
        for kind in ["ledger", "tokens", "budgets", "origins"] {
            let kind = folder.join(kind);
            assert_eq!(mode(&kind), 0o700);
            for record in fs::read_dir(kind).unwrap() {
                assert_eq!(mode(&record.unwrap().path()), 0o600);
            }
        }
        assert!(!world.state().exists());
    }
    // A relative one is invalid, as its specification says, and ignored.
    let mut world = service.world();
    world.set("XDG_STATE_HOME", "relative");
    world.run(&["sm", "doc1"]).exits(0);
    assert!(world.state().exists());
    assert_eq!(world.files(), ["x.bin"]);
}

#[test]
fn eight_processes_stay_inside_the_budget_together() {
    let documents = (0..40).map(|number| {
        let name = format!("{number}.txt");
        Document::new(&name, name.clone().into_bytes()).with_id(&format!("doc{number}"))
    });
    let service = Service::start(documents.collect(), &[]);
    let world = service.world();
    let started = Instant::now();
    let children: Vec<Child> = (0..8)
        .map(|process| {
            let ids: Vec<String> = (0..5).map(|n| format!("doc{}", process * 5 + n)).collect();
            let mut arguments = vec!["sm"];
            arguments.extend(ids.iter().map(String::as_str));
            world.command(&arguments).spawn().unwrap()
        })
        .collect();
    for child in children {
        world.finish(child, started).exits(0);
    }
    let report = service.report();
    assert_eq!(
        (report.rate_limited, report.downloads, report.tokens),
        (0, 40, 1)
    );
    assert!(started.elapsed() > Duration::from_secs(9));
    assert_eq!(world.files().len(), 40);
}

#[test]
fn a_slot_of_a_process_that_was_killed_is_free_again_in_time() {
    let (service, _) = Service::with("x.bin", 1000, &["latency=3s"]);
    let world = service.world();
    let limits = ["--rate-limit", "1/2s", "--stall-timeout", "1s"];
    let arguments: Vec<&str> = ["list", "onecodex"]
        .iter()
        .chain(&limits)
        .copied()
        .collect();
    let child = world.command(&arguments).spawn().unwrap();
    world.wait_until("a request", || {
        let records = fs::read_dir(world.state().join("budgets"));
        records.is_ok_and(|mut records| {
            records.any(|record| {
                record
                    .unwrap()
                    .path()
                    .extension()
                    .is_some_and(|e| e == "json")
            })
        })
    });
    kill(child);
    let run = world.run(&["list", "onecodex", "--rate-limit", "1/2s"]);
    // One second for the answer, two for the window, and the latency of its own.
    run.is_prompt().exits(0);
    assert!(run.elapsed > Duration::from_millis(5000), "{run:?}");
}

#[test]
fn a_stopped_process_that_keeps_the_budget_makes_the_others_wait() {
    let (service, _) = Service::with("x.bin", 1000, &[]);
    let world = service.world();
    world.run(&["sm", "doc1"]).exits(0);
    let lock = world.record("budgets").with_extension("lock");
    let held = fs::File::create(&lock).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    held.set_permissions(fs::Permissions::from_mode(0o600))
        .unwrap();
    held.lock().unwrap();
    let run = world.run(&["sm", "doc1", "-o", "y", "--retry-max-time", "1s", "--json"]);
    assert_eq!(run.exits(7).error_code(), "busy");
    assert_eq!(service.report().downloads, 1);
    let (child, log) = world.spawn_logging(&["sm", "doc1", "-o", "y"]);
    world.wait_for_text(&log, "another process is counting its requests");
    drop(held);
    world.finish(child, Instant::now()).exits(0);
}

#[test]
fn one_process_that_is_told_to_wait_holds_the_others() {
    let storage = Raw::start(|_, stream| reply(stream, "200 OK", &[], b"content"));
    let url = presigned(&storage.base(), "/x.txt");
    let server = Raw::start(move |request, stream| match request.path() {
        "/v1/documents/a/download/" if request.before == 0 => {
            reply(stream, "429 Slow", &[("Retry-After", "3")], b"")
        }
        _ => api(request, stream, &url),
    });
    let world = World::new(&server.base());
    let first = world.command(&["sm", "a"]).spawn().unwrap();
    world.wait_until("a hold", || {
        let records = fs::read_dir(world.state().join("budgets"));
        records.is_ok_and(|mut records| {
            records.any(|record| {
                let text = fs::read_to_string(record.unwrap().path());
                text.is_ok_and(|text| text.contains("\"held_until\":1"))
            })
        })
    });
    let run = world.run(&["sm", "b", "-o", "b"]);
    assert!(
        run.exits(0).elapsed > Duration::from_millis(2500),
        "{run:?}"
    );
    world.finish(first, Instant::now()).exits(0);
}

/// A user who can move the ledger away makes the next run pay again.
#[test]
fn a_state_folder_that_others_own_or_can_move_is_said_once_and_used() {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    let (service, _) = Service::with("x.bin", 1000, &[]);
    let said = "other users can replace the records";
    let is_root = rustix::process::geteuid().is_root();
    for (at, mode, owner, open) in [
        ("st", 0o755, None, false),
        ("st", 0o777, None, true), // docfetch does not change the user's folder
        ("", 0o777, None, true),
        ("", 0o775, None, false), // of the user's own group
        ("", 0o1777, None, false),
        ("st", 0o1777, Some(65533), true),
        ("st", 0o700, Some(65533), true),
        ("", 0o755, Some(65533), true),
    ] {
        if owner.is_some() && !is_root {
            println!("skipped: only root can give folders away");
            continue;
        }
        let mut world = service.world();
        let above = world.home().join("above");
        let folder = above.join(at);
        fs::create_dir_all(above.join("st")).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        if owner.is_some() {
            chown(&folder, owner, None).unwrap();
        }
        world.set("DOCFETCH_STATE_DIR", above.join("st").to_str().unwrap());
        for name in ["a", "b"] {
            let run = world.run_showing(&["onecodex", "doc1", "-o", name]);
            let times = run.exits(0).stderr.matches(said).count();
            assert_eq!(times, usize::from(open), "{at} {mode:o} {owner:?}: {run:?}");
        }
        // Nothing is paid for that could be lost.
        assert!(
            !world
                .run_showing(&["sm", "doc1"])
                .exits(0)
                .stderr
                .contains(said)
        );
    }
    let charged = service.charges();
    let mut world = service.world();
    world.set("DOCFETCH_STATE_DIR", "st");
    for arguments in [
        &["onecodex", "doc1"][..],
        &["sm", "doc1"],
        &["ledger", "list"],
    ] {
        world
            .run(arguments)
            .exits(2)
            .says("DOCFETCH_STATE_DIR is not an absolute path");
    }
    assert_eq!((service.charges(), world.files()), (charged, vec![]));
}
