//! The shipped table `sevenbridges` against its stand-in.

use super::mutation::{Step, every_key_shows, without_base};
use super::presigned::{CASES, NAME, several};
use crate::standins::sevenbridges::{self, Sevenbridges};
use crate::standins::{Document, Side, StandIn, Switches};
use crate::support::noise;

#[test]
fn a_refusal_is_told_with_the_reason_of_the_service() {
    let service = Sevenbridges {
        forbidden: vec!["568e69abe9b0307bc0414164"],
    };
    let document = Document::new("568e69abe9b0307bc0414164", NAME, "x");
    let stand_in = StandIn::start(service, vec![document], Switches::default());
    let world = stand_in.world();
    for (id, error, reason) in [
        (
            "568e69abe9b0307bc0414164",
            "forbidden",
            "Not enough privileges",
        ),
        (
            "568e69abe9b0307bc0414165",
            "not_found",
            "Requested file does not exist.",
        ),
    ] {
        let run = world.run(&["sevenbridges", id, "--json"]);
        assert_eq!(run.exits(4).error_code(), error);
        run.says(reason);
    }
}

#[test]
fn a_token_of_oauth_goes_into_another_header_than_a_key() {
    let (stand_in, mut world) = CASES[2].start(Switches::default());
    world.set("SEVENBRIDGES_API_KEY", "");
    world.set("SEVENBRIDGES_TOKEN", sevenbridges::TOKEN);
    CASES[2].fetch(&world).exits(0);
    let bearer = format!("Bearer {}", sevenbridges::TOKEN);
    for seen in stand_in.log.of(Side::Api) {
        assert_eq!(seen.request.header("authorization"), Some(&*bearer));
        assert_eq!(seen.request.header("x-sbg-auth-token"), None);
    }
}

#[test]
fn each_key_of_the_table_of_sevenbridges_shows() {
    const ID: &str = "568e69abe9b0307bc0414164";
    const FETCH: [&str; 3] = ["sevenbridges", ID, "--json"];
    let serve = |forbidden: &'static [&'static str], switches: Switches| {
        move || {
            let service = Sevenbridges {
                forbidden: forbidden.to_vec(),
            };
            let document = Document::new(ID, NAME, noise(1000));
            StandIn::start(service, vec![document], switches.clone())
        }
    };
    let plain = || serve(&[], Switches::default());
    let listed = || {
        let files = several(["5a1", "5a2", "5a3", "5a4", "5a5"]);
        StandIn::start(Sevenbridges::default(), files, Switches::default())
    };
    let shorter = Switches {
        stored: |content| content[1..].to_vec(),
        ..Switches::default()
    };
    let list = [
        "list",
        "sevenbridges",
        "--in",
        sevenbridges::PROJECT,
        "--json",
    ];
    let steps = [
        Step::new(plain(), &FETCH),
        Step::new(listed, &list),
        Step::new(plain(), &["sevenbridges", "--help"]),
        Step::new(plain(), &["sevenbridges", ID, "--dry-run"]),
        Step::new(plain(), &FETCH).with(|world, _| {
            world.set("SEVENBRIDGES_API_KEY", "");
            world.set("SEVENBRIDGES_TOKEN", sevenbridges::TOKEN);
        }),
        Step::new(serve(&[ID], Switches::default()), &FETCH),
        Step::new(serve(&[], shorter), &FETCH),
        Step::new(plain(), &[&FETCH[..], &["--retries", "0"]].concat())
            .with(|world, stand_in| without_base(world, stand_in, "SEVENBRIDGES_API_BASE")),
    ];
    // No command checks credentials yet, and none prints the source.
    let unseen = [
        "/auth/0/check changed",
        "/auth/0/check removed",
        "/auth/1/check changed",
        "/auth/1/check removed",
        "/source changed",
        "/source removed",
    ];
    let table = include_str!("../../../src/provider/tables/sevenbridges.toml");
    every_key_shows("sevenbridges", table, &steps, &unseen);
}
