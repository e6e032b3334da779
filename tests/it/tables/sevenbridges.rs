//! The shipped table `sevenbridges` against its stand-in.

use super::presigned::{CASES, NAME};
use crate::standins::sevenbridges::{self, Sevenbridges};
use crate::standins::{Document, Side, StandIn, Switches};

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
