//! The shipped table `box` against a stand-in that was written without it.

use super::files::{assert_lists, form, requests, rows};
use crate::standins::box_::{self, BoxFiles};
use crate::standins::{Refusal, StandIn, Switches};
use crate::support::{World, noise, sha256};

const CONTRACT: &str = "12345";

fn box_(switches: Switches) -> StandIn {
    StandIn::start(BoxFiles::new(), box_::documents(), switches)
}

#[test]
fn box_fetches_a_file_and_checks_its_digest() {
    let stand_in = box_(Switches::default());
    let world = stand_in.world();
    let run = world.run(&["box", CONTRACT, "--json"]);
    assert_eq!(run.exits(0).records()[0]["sha256"], sha256(&noise(629_644)));
    assert_eq!(world.read("Contract.pdf"), noise(629_644));
    world.run(&["box", "33333"]).exits(0);
    assert_eq!(world.read("Übersicht & more.xlsx"), noise(4096));
    // One token for both runs, with the fields of the official client.
    let tokens = requests(&stand_in, "/oauth2/token");
    assert_eq!(tokens.len(), 1);
    let mut names: Vec<String> = form(&tokens[0]).into_iter().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "box_subject_id",
            "box_subject_type",
            "client_id",
            "client_secret",
            "grant_type"
        ]
    );
    assert_eq!(tokens[0].header("authorization"), None);

    let mut service = BoxFiles::new();
    service.wrong_digest = Some("66666");
    let stand_in = StandIn::start(service, box_::documents(), Switches::default());
    let run = stand_in.world().run(&["box", "66666", "--json"]);
    assert_eq!(run.exits(6).error_code(), "digest_mismatch");
}

#[test]
fn box_waits_for_a_file_that_is_not_ready_as_long_as_the_user_says() {
    let not_ready = || Switches::refusing(Refusal::NotReady, "/content", 2);
    let stand_in = box_(not_ready());
    let run = stand_in.world().run(&["box", CONTRACT, "--json"]);
    assert_eq!(run.exits(5).error_code(), "not_ready");
    let stand_in = box_(not_ready());
    let world = stand_in.world();
    world.run(&["box", CONTRACT, "--wait", "30s"]).exits(0);
    assert_eq!(world.read("Contract.pdf").len(), 629_644);
    assert_eq!(stand_in.log.count("GET", "/content"), 3);
}

#[test]
fn box_lists_the_files_of_a_folder_page_by_page() {
    for ends_empty in [false, true] {
        let mut service = BoxFiles::new();
        service.ends_empty = ends_empty;
        let stand_in = StandIn::start(service, box_::documents(), Switches::default());
        let world = stand_in.world();
        let rows = rows(&world, &["box"]);
        assert_lists(&rows, "", &box_::documents(), "2012-12-12T10:53:43-08:00");
        let pages = requests(&stand_in, "/items");
        assert_eq!(pages.len(), 4);
        assert!(
            pages
                .iter()
                .all(|page| page.target.contains("usemarker=true"))
        );
        assert!(pages.iter().all(|page| page.target.contains("limit=1000")));
    }
    let stand_in = box_(Switches::default());
    let mut world = stand_in.world();
    world.set("BOX_FOLDER", box_::EMPTY_FOLDER);
    assert_eq!(rows(&world, &["box"]), []);
    world.set("BOX_FOLDER", "99999");
    world.run(&["list", "box"]).exits(4);
}

/// The example of Box's guide for server authentication has no `token_type`, which RFC 6749, section 5.1, requires.
#[test]
fn box_gets_by_without_the_type_of_a_token() {
    let mut service = BoxFiles::new();
    service.hides_token_type = true;
    let stand_in = StandIn::start(service, box_::documents(), Switches::default());
    stand_in.world().run(&["box", CONTRACT]).exits(0);
}

#[test]
fn box_tells_what_it_refuses() {
    let stand_in = box_(Switches::default());
    let world = stand_in.world();
    let failed = |id: &str, exit: i32, code: &str| {
        let run = world.run(&["box", id, "--json"]);
        assert_eq!(run.exits(exit).error_code(), code, "{id}");
    };
    failed("99999", 4, "not_found");
    failed(box_::LOCKED_FILE, 4, "forbidden");
    failed("no-number", 4, "request_refused");
    for (name, value) in [
        ("BOX_CLIENT_SECRET", "another"),
        ("BOX_SUBJECT_ID", "987654321"),
        ("BOX_SUBJECT_TYPE", "user"),
    ] {
        let mut world = stand_in.world();
        world.set(name, value);
        let run = world.run(&["box", CONTRACT, "--json"]);
        // All of them are 400 of the token route.
        assert_eq!(run.exits(3).error_code(), "credentials_rejected", "{name}");
    }
    let mut world = World::bare();
    world.set("BOX_API_BASE", &stand_in.base);
    world.run(&["box", CONTRACT]).exits(3);
}
