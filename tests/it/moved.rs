//! Permanent redirects of an API to itself, as services send them for a renamed resource.

use crate::support::raw::{Raw, presigned, reply};
use crate::support::{API_KEY, World};

/// A world with the provider `lab` at `base`, whose documents are behind this step.
fn lab(base: &str, resolve: &str) -> World {
    let mut world = World::bare();
    let folder = world.home().join(".config/docfetch");
    std::fs::create_dir_all(&folder).unwrap();
    let table = format!(
        "[providers.lab]\nbase = '{base}'\nauth = {{ type = 'header', name = 'X-Lab-Key' }}\n\
         headers = {{ X-Version = '7' }}\nresolve = {resolve}\n"
    );
    std::fs::write(folder.join("config.toml"), table).unwrap();
    world.set("LAB_API_KEY", API_KEY);
    world
}

const STEP: &str = "{ path = '/files/{id}', headers = { Accept = 'application/octet-stream' }, url = 'redirect-or-body' }";

#[test]
fn a_renamed_resource_is_requested_at_its_new_url_with_headers_and_credential() {
    let storage = Raw::start(|request, stream| {
        if request.header("x-lab-key").is_some() {
            return reply(stream, "400 Bad Request", &[], b"");
        }
        reply(stream, "200 OK", &[], b"content");
    });
    let url = presigned(&storage.base(), "/bucket/a.bin");
    for status in ["301 Moved Permanently", "308 Permanent Redirect"] {
        for (source, sends_bytes) in [
            ("redirect", false),
            ("redirect-or-body", false),
            ("redirect-or-body", true),
            ("body", true),
        ] {
            let url = url.clone();
            let api = Raw::start(move |request, stream| {
                let is_right = request.header("x-lab-key") == Some(API_KEY)
                    && request.header("x-version") == Some("7")
                    && request.header("accept") == Some("application/octet-stream");
                match request.path() {
                    _ if !is_right => reply(stream, "401 Unauthorized", &[], b"{}"),
                    "/files/a" => reply(stream, status, &[("Location", "/by-number/1")], b"{}"),
                    "/by-number/1" => {
                        reply(stream, status, &[("Location", "/by-number/2")], b"{}");
                    }
                    _ if sends_bytes => reply(stream, "200 OK", &[], b"content"),
                    _ => reply(stream, "302 Found", &[("Location", &url)], b""),
                }
            });
            let world = lab(&api.base(), &STEP.replace("redirect-or-body", source));
            let run = world.run(&["lab", "a", "-o", "a.bin"]);
            run.exits(0);
            assert_eq!(world.read("a.bin"), b"content", "{source}");
            assert_eq!(api.seen().len(), 3, "{source}: {run:#?}");
        }
    }
}

#[test]
fn a_resource_that_moves_without_end_ends_the_run() {
    let api = Raw::start(|_, stream| {
        reply(
            stream,
            "301 Moved Permanently",
            &[("Location", "/again")],
            b"{}",
        );
    });
    let run = lab(&api.base(), STEP).run(&["lab", "a", "--json", "--retries", "0"]);
    assert_eq!(run.exits(9).error_code(), "unsafe_redirect");
    assert_eq!(api.seen().len(), 4, "{run:#?}");
}

/// A temporary redirect hands the document over, also where the API is the storage itself.
#[test]
fn a_temporary_redirect_and_one_to_another_origin_get_no_credential() {
    let other = Raw::start(|request, stream| {
        if request.header("x-lab-key").is_some() {
            return reply(stream, "400 Bad Request", &[], b"");
        }
        reply(stream, "200 OK", &[], b"content");
    });
    let elsewhere = presigned(&other.base(), "/a.bin");
    for (status, location) in [
        ("302 Found", "/storage/a.bin"),
        ("303 See Other", "/storage/a.bin"),
        ("307 Temporary Redirect", "/storage/a.bin"),
        ("301 Moved Permanently", elsewhere.as_str()),
        ("308 Permanent Redirect", elsewhere.as_str()),
    ] {
        let location = location.to_owned();
        let api = Raw::start(move |request, stream| match request.path() {
            "/files/a" => reply(stream, status, &[("Location", &location)], b""),
            _ if request.header("x-lab-key").is_some() => {
                reply(stream, "400 Bad Request", &[], b"");
            }
            _ => reply(stream, "200 OK", &[], b"content"),
        });
        let world = lab(&api.base(), STEP);
        world.run(&["lab", "a", "-o", "a.bin"]).exits(0);
        assert_eq!(world.read("a.bin"), b"content", "{status}");
    }
}

#[test]
fn a_request_with_a_body_and_a_paid_one_are_not_repeated_elsewhere() {
    for step in [
        "{ method = 'POST', path = '/files/{id}', json = { a = 1 }, url = '/url' }",
        "{ method = 'POST', path = '/files/{id}', url = '/url', charged = true }",
    ] {
        let api = Raw::start(|_, stream| {
            reply(
                stream,
                "308 Permanent Redirect",
                &[("Location", "/again")],
                b"{}",
            );
        });
        let run = lab(&api.base(), step).run(&["lab", "a", "--json", "--retries", "0"]);
        assert_eq!(run.exits(9).error_code(), "unsafe_redirect");
        assert_eq!(api.seen().len(), 1, "{run:#?}");
    }
}
