//! The shipped table `dropbox` against a stand-in that was written without it.

use super::files::{assert_lists, form, requests, rows};
use crate::standins::dropbox::{self, Dropbox};
use crate::standins::{StandIn, Switches};
use crate::support::{noise, sha256};

const PRIMES: &str = "id:a4ayc_80_OEAAAAAAAAAXw";

fn dropbox(switches: Switches) -> StandIn {
    StandIn::start(Dropbox::new(), dropbox::documents(), switches)
}

#[test]
fn dropbox_fetches_a_file_by_its_temporary_link() {
    let stand_in = dropbox(Switches::default());
    let world = stand_in.world();
    let run = world.run(&["dropbox", PRIMES, "--json"]);
    assert_eq!(run.exits(0).records()[0]["sha256"], sha256(&noise(7212)));
    assert_eq!(world.read("Prime_Numbers.txt"), noise(7212));
    // Larger than a block of its content hash, of which docfetch knows nothing; and empty.
    for id in ["id:a4ayc_80_OEAAAAAAAAAXy", "id:a4ayc_80_OEAAAAAAAAAX0"] {
        world.run(&["dropbox", id]).exits(0);
    }
    assert_eq!(world.read("video.mp4").len(), (4 << 20) + 9);
    assert_eq!(world.read("empty.log"), b"");
    let links = requests(&stand_in, "/get_temporary_link");
    assert_eq!(
        links[0].body,
        format!("{{\"path\":\"{PRIMES}\"}}").as_bytes()
    );
    assert_eq!(links[0].header("content-type"), Some("application/json"));
    // As the SDK asks for a token: once for three runs, the client in the form.
    let tokens = requests(&stand_in, "/oauth2/token");
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].header("authorization"), None);
    let fields = form(&tokens[0]);
    assert_eq!(fields.len(), 4);
    for (name, value) in [
        ("grant_type", "refresh_token"),
        ("refresh_token", dropbox::REFRESH_TOKEN),
        ("client_id", dropbox::APP_KEY),
        ("client_secret", dropbox::APP_SECRET),
    ] {
        assert!(
            fields.contains(&(name.to_owned(), value.to_owned())),
            "{name}"
        );
    }
}

#[test]
fn dropbox_lists_what_can_be_downloaded_with_the_cursor_alone() {
    let stand_in = dropbox(Switches::default());
    let mut world = stand_in.world();
    let list = rows(&world, &["dropbox"]);
    assert_lists(&list, "", &dropbox::documents(), "2015-05-12T15:50:38Z");
    assert_eq!(list[0].1["path"], "/Homework/math/Prime_Numbers.txt");
    assert_eq!(list[0].1["rev"], "a1c10ce0dd78");
    let pages = requests(&stand_in, "/list_folder");
    assert_eq!(pages.len(), 3);
    assert!(
        pages[1..]
            .iter()
            .all(|page| page.path().ends_with("/continue"))
    );
    world.set("DROPBOX_FOLDER", "/Homework/math");
    assert_eq!(rows(&world, &["dropbox"]).len(), 4);
    world.set("DROPBOX_FOLDER", "/nowhere");
    let run = world.run(&["list", "dropbox"]);
    run.exits(4).says("path/not_found");
    let mut service = Dropbox::new();
    service.resets_cursors = true;
    let stand_in = StandIn::start(service, dropbox::documents(), Switches::default());
    let run = stand_in.world().run(&["list", "dropbox"]);
    assert_ne!(run.code, 0, "{run:#?}");
    run.says("reset");
}

#[test]
fn dropbox_tells_what_it_refuses() {
    let stand_in = dropbox(Switches::default());
    let world = stand_in.world();
    for (id, summary) in [
        ("id:another", "path/not_found"),
        (dropbox::PAPER, "unsupported_file"),
        ("rev:a1", "did not match pattern"),
    ] {
        let run = world.run(&["dropbox", id]);
        run.exits(4).says(summary);
    }
    for (name, value) in [
        ("DROPBOX_CLIENT_SECRET", "another"),
        ("DROPBOX_REFRESH_TOKEN", "another"),
    ] {
        let mut world = stand_in.world();
        world.set(name, value);
        let run = world.run(&["dropbox", PRIMES, "--json"]);
        assert_eq!(run.exits(3).error_code(), "credentials_rejected", "{name}");
    }
}
