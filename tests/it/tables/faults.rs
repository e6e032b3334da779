//! Faults that every shipped table of files without charges meets in the same way.

use crate::standins::box_::{self, BoxFiles};
use crate::standins::dropbox::{self, Dropbox};
use crate::standins::github::{self, Delivery, GitHub};
use crate::standins::{Refusal, Refuse, Side, StandIn, Switches};
use crate::support::{each_at_once, noise};
use std::time::Duration;

fn github(switches: Switches) -> StandIn {
    let service = GitHub::new(Delivery::Redirect);
    StandIn::start(service, github::documents(), switches)
}

fn box_(switches: Switches) -> StandIn {
    StandIn::start(BoxFiles::new(), box_::documents(), switches)
}

fn dropbox(switches: Switches) -> StandIn {
    StandIn::start(Dropbox::new(), dropbox::documents(), switches)
}

/// A stand-in with these switches, the provider, an id, and the name and content of its document.
type Start = (
    fn(Switches) -> StandIn,
    &'static str,
    &'static str,
    &'static str,
    usize,
);

const ALL: [Start; 3] = [
    (
        github,
        "github",
        "octocat/Hello-World/2",
        "example.tar.gz",
        300_000,
    ),
    (box_, "box", "12345", "Contract.pdf", 629_644),
    (
        dropbox,
        "dropbox",
        "id:a4ayc_80_OEAAAAAAAAAXy",
        "video.mp4",
        (4 << 20) + 9,
    ),
];

#[test]
fn a_reset_in_the_middle_and_an_url_that_ended_are_overcome() {
    each_at_once(ALL, |(start, provider, id, name, length)| {
        let stand_in = start(Switches {
            reset_once_after: Some(100_000),
            expire_after: Some(Duration::from_millis(400)),
            ..Switches::default()
        });
        let world = stand_in.world();
        world.run(&[provider, id, "-c", "1"]).exits(0);
        assert_eq!(world.read(name), noise(length));
        let storage = stand_in.log.of(Side::Storage);
        assert!(
            storage
                .iter()
                .any(|seen| seen.request.header("range").is_some()),
            "{provider}"
        );
    });
}

#[test]
fn an_url_that_has_always_ended_ends_the_run() {
    each_at_once(ALL, |(start, provider, id, ..)| {
        let stand_in = start(Switches {
            expire_after: Some(Duration::ZERO),
            ..Switches::default()
        });
        let world = stand_in.world();
        let run = world.run(&[provider, id, "--json", "--retries", "1"]);
        assert_eq!(run.exits(5).error_code(), "url_expired", "{provider}");
        // Resolved again once.
        assert!(stand_in.log.of(Side::Storage).len() >= 2, "{provider}");
    });
}

#[test]
fn a_limit_is_waited_for_and_a_token_that_ended_is_replaced() {
    each_at_once(ALL, |(start, provider, id, name, length)| {
        let stand_in = start(Switches::refusing(Refusal::Limited, "", 1));
        let world = stand_in.world();
        world.run(&[provider, id]).exits(0);
        assert_eq!(world.read(name), noise(length));
        if provider == "github" {
            return; // The user's token is the only one.
        }
        let path = match provider {
            "box" => "/content",
            _ => "/get_temporary_link",
        };
        let stand_in = start(Switches {
            refuse: vec![Refuse {
                refusal: Refusal::Unauthorized,
                path,
                times: 1,
            }],
            ..Switches::default()
        });
        let world = stand_in.world();
        world.run(&[provider, id]).exits(0);
        assert_eq!(stand_in.log.count("POST", "/oauth2/token"), 2, "{provider}");
    });
}

#[test]
fn the_storage_gets_no_credential() {
    each_at_once(ALL, |(start, provider, id, ..)| {
        let stand_in = start(Switches::default());
        stand_in.world().run(&[provider, id]).exits(0);
        // The stand-in refuses a credential at the storage with 400.
        assert!(
            stand_in
                .log
                .statuses(Side::Storage)
                .iter()
                .all(|status| *status < 300)
        );
    });
}
