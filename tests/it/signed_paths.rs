//! A URL is sent as it was signed, byte for byte, or refused.

use crate::support::raw::{Raw, api, reply};
use crate::support::{SIGNATURE, World, each_at_once};

/// Paths, and how they are sent; none for those that an HTTP client would change.
const PATHS: [(&str, Option<&str>); 20] = [
    ("/a//b", Some("/a//b")),
    ("//b", Some("//b")),
    ("/a%2Fb", Some("/a%2Fb")),
    ("/a%2f..%2fb", Some("/a%2f..%2fb")),
    ("/a%5Cb", Some("/a%5Cb")),
    ("/a..b/.c/d.", Some("/a..b/.c/d.")),
    ("/a+b/c@d:e;f=g", Some("/a+b/c@d:e;f=g")),
    ("/a b", Some("/a%20b")),
    ("/\u{dc}ber", Some("/%C3%9Cber")),
    ("/a%7Eb~c", Some("/a%7Eb~c")),
    ("/a/../b", None),
    ("/a/./b", None),
    ("/..", None),
    ("/.", None),
    ("/a/%2E%2E/b", None),
    ("/a/%2e/b", None),
    ("/a/.%2e/b", None),
    ("/a\\b", None),
    ("/a\\..\\b", None),
    ("/a#b.pdf", None),
];

fn storage() -> Raw {
    Raw::start(|_, stream| reply(stream, "200 OK", &[("ETag", "\"a\"")], b"x"))
}

#[test]
fn a_handed_over_path_is_sent_byte_for_byte_or_refused() {
    each_at_once(PATHS, |(path, sent)| {
        for service in ["sm", "onecodex"] {
            let storage = storage();
            let url = format!("{}{path}?X-Sig={SIGNATURE}&x=/../%2F#part", storage.base());
            let server = Raw::start(move |request, stream| api(request, stream, &url));
            let world = World::new(&server.base());
            let run = world.run(&[service, "a", "--json", "-o", "x"]);
            let seen = storage.seen();
            let Some(sent) = sent else {
                let (exit, code) = match service {
                    "sm" => (9, "unsafe_redirect"),
                    _ => (8, "charge_unknown"),
                };
                assert_eq!(run.exits(exit).error_code(), code, "{path}");
                run.says("dot segments").says("tell the provider");
                assert!(seen.is_empty(), "{path}");
                continue;
            };
            run.exits(0);
            let expected = format!("{sent}?X-Sig={SIGNATURE}&x=/../%2F");
            assert_eq!(seen[0].target, expected, "{path}");
        }
    });
}

#[test]
fn a_redirect_of_the_storage_is_followed_byte_for_byte_or_refused() {
    each_at_once(PATHS, |(path, sent)| {
        if path.starts_with("//") {
            return; // names a host
        }
        for is_absolute in [true, false] {
            let target = storage();
            let base = if is_absolute {
                target.base()
            } else {
                String::new()
            };
            let location = format!("{base}{path}?X-Sig={SIGNATURE}");
            let first = Raw::start(move |request, stream| match request.path() {
                "/first" => reply(stream, "307 Over", &[("Location", &location)], b""),
                _ => reply(stream, "200 OK", &[], b"x"),
            });
            let url = format!("{}/first?X-Sig={SIGNATURE}", first.base());
            let server = Raw::start(move |request, stream| api(request, stream, &url));
            let run = World::new(&server.base()).run(&["onecodex", "a", "--json", "-o", "x"]);
            let seen: Vec<_> = first.seen().into_iter().chain(target.seen()).collect();
            match sent {
                Some(sent) => {
                    run.exits(0);
                    assert_eq!(seen[1].target, format!("{sent}?X-Sig={SIGNATURE}"));
                }
                None => {
                    assert_eq!(run.exits(9).error_code(), "unsafe_redirect", "{path}");
                    assert_eq!(seen.len(), 1);
                }
            }
        }
    });
}

#[test]
fn the_url_command_prints_what_would_be_sent_or_refuses() {
    for (path, sent) in PATHS {
        let url = format!("https://bucket.example{path}?X-Sig={SIGNATURE}");
        let server = Raw::start(move |request, stream| api(request, stream, &url));
        let run = World::new(&server.base()).run_showing(&["url", "sm", "a"]);
        let expected = sent.map(|sent| format!("https://bucket.example{sent}?X-Sig={SIGNATURE}\n"));
        assert_eq!(run.code, if sent.is_some() { 0 } else { 9 }, "{run:#?}");
        assert_eq!(run.stdout, expected.unwrap_or_default());
    }
}
