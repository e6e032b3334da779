//! The shipped table `github` against a stand-in that was written without it.

use super::files::{assert_lists, requests, rows};
use crate::standins::github::{self, Delivery, GitHub};
use crate::standins::{Refusal, Side, StandIn, Switches};
use crate::support::{World, noise, sha256};
use serde_json::Value;
use std::sync::atomic::AtomicUsize;

const FIRST_ASSET: &str = "octocat/Hello-World/1";

fn github(switches: Switches) -> StandIn {
    StandIn::start(
        GitHub::new(Delivery::Redirect),
        github::documents(),
        switches,
    )
}

#[test]
fn github_fetches_an_asset_by_redirect_and_checks_its_digest() {
    let stand_in = github(Switches::default());
    let world = stand_in.world();
    let run = world.run(&["github", FIRST_ASSET, "--json"]);
    let record = &run.exits(0).records()[0];
    assert_eq!(record["id"], FIRST_ASSET);
    assert_eq!(record["sha256"], sha256(&noise(1024)));
    assert_eq!(record["charged"], Value::Null);
    assert_eq!(world.read("example.zip"), noise(1024));
    let asset = requests(&stand_in, "/releases/assets/1");
    let accepts: Vec<_> = asset
        .iter()
        .map(|request| request.header("accept").unwrap())
        .collect();
    assert_eq!(
        accepts,
        ["application/vnd.github+json", "application/octet-stream"]
    );
    for request in asset {
        assert_eq!(request.header("x-github-api-version"), Some("2022-11-28"));
    }
    // An asset without a digest is accepted as it is.
    world.run(&["github", "octocat/Hello-World/7"]).exits(0);
    assert_eq!(world.read("legacy.bin"), noise(2048));
}

#[test]
fn github_refuses_bytes_of_another_digest_however_they_come() {
    for delivery in [Delivery::Redirect, Delivery::Stream] {
        let mut service = GitHub::new(delivery);
        service.wrong_digest = Some("4");
        let stand_in = StandIn::start(service, github::documents(), Switches::default());
        let world = stand_in.world();
        let run = world.run(&["github", "octocat/Hello-World/4", "--json"]);
        assert_eq!(run.exits(6).error_code(), "digest_mismatch");
        assert!(!world.files().contains(&"SHA256SUMS".to_owned()));
    }
}

#[test]
fn github_resumes_what_the_api_itself_sends() {
    let switches = Switches {
        reset_once_after: Some(100_000),
        ..Switches::default()
    };
    let stand_in = StandIn::start(GitHub::new(Delivery::Stream), github::documents(), switches);
    let world = stand_in.world();
    world
        .run(&["github", "octocat/Hello-World/2", "-c", "1"])
        .exits(0);
    assert_eq!(world.read("example.tar.gz"), noise(300_000));
    assert_eq!(stand_in.log.of(Side::Storage).len(), 0);
    let asset = requests(&stand_in, "/releases/assets/2");
    let last = asset.last().unwrap();
    assert_eq!(last.header("accept"), Some("application/octet-stream"));
    assert!(last.header("range").is_some() && last.header("if-range").is_some());
    // `url` has nothing to print.
    let stand_in = StandIn::start(
        GitHub::new(Delivery::Stream),
        github::documents(),
        Switches::default(),
    );
    assert_ne!(
        stand_in
            .world()
            .run_showing(&["url", "github", FIRST_ASSET])
            .code,
        0
    );
}

#[test]
fn github_lists_the_finished_assets_of_all_releases() {
    let stand_in = github(Switches::default());
    let world = stand_in.world();
    let rows = rows(&world, &["github", "--in", "octocat/Hello-World"]);
    assert_lists(
        &rows,
        "octocat/Hello-World/",
        &github::documents(),
        "2013-02-27T19:35:32Z",
    );
    assert_eq!(rows[0].1["label"], "short description");
    assert_eq!(rows[0].1["content_type"], "application/zip");
    let pages = requests(&stand_in, "/releases");
    assert_eq!(pages.len(), 3);
    assert!(pages[0].target.contains("per_page=100"));
    assert!(pages[1].path().starts_with("/repositories/"));
    world.run(&["list", "github"]).exits(2);
    world
        .run(&["sync", "github", "mirror", "--in", "octocat/Hello-World"])
        .exits(0);
    assert_eq!(world.read("mirror/linux-amd64.deb"), noise(5000));
}

/// GitHub answers 301 with a location in the API, whose default answer is JSON: google/go-github, pull request 3392.
#[test]
fn github_follows_a_renamed_repository_to_the_asset_and_never_takes_json_for_it() {
    for (is_private, delivery) in [
        (false, Delivery::Redirect),
        (true, Delivery::Redirect),
        (true, Delivery::Stream),
    ] {
        let mut service = GitHub::new(delivery);
        service.is_private = is_private;
        let stand_in = StandIn::start(service, github::documents(), Switches::default());
        let world = stand_in.world();
        let run = world.run(&["github", "octocat/Hello-Old-World/1"]);
        run.exits(0);
        assert_eq!(world.read("example.zip"), noise(1024));
        let repeated = requests(&stand_in, "/repositories/");
        assert_eq!(repeated.len(), 2, "{run:#?}");
        for request in repeated {
            assert!(request.header("authorization").is_some());
            assert!(request.header("accept").is_some());
        }
        let rows = rows(&world, &["github", "--in", "octocat/Hello-Old-World"]);
        assert_lists(
            &rows,
            "octocat/Hello-Old-World/",
            &github::documents(),
            "2013-02-27T19:35:32Z",
        );
    }
}

#[test]
fn github_waits_for_its_limits() {
    let mut service = GitHub::new(Delivery::Redirect);
    service.exhausted = AtomicUsize::new(1);
    let switches = Switches::refusing(Refusal::Limited, "/assets/", 1);
    let stand_in = StandIn::start(service, github::documents(), switches);
    let world = stand_in.world();
    world.run(&["github", FIRST_ASSET]).exits(0).is_prompt();
    assert_eq!(world.read("example.zip"), noise(1024));
    let mut service = GitHub::new(Delivery::Redirect);
    service.exhausted = AtomicUsize::new(1);
    let stand_in = StandIn::start(service, github::documents(), Switches::default());
    let rows = rows(
        &stand_in.world(),
        &["github", "--in", "octocat/Hello-World"],
    );
    assert_eq!(rows.len(), 7);
}

#[test]
fn github_needs_a_token_for_private_repositories_only() {
    let without_token = |stand_in: &StandIn| {
        let mut world = World::bare();
        world.set("GITHUB_API_BASE", &stand_in.base);
        world
    };
    let mut service = GitHub::new(Delivery::Redirect);
    service.is_private = false;
    let public = StandIn::start(service, github::documents(), Switches::default());
    let world = without_token(&public);
    world.run(&["github", FIRST_ASSET]).exits(0);
    let private = github(Switches::default());
    let run = without_token(&private).run(&["github", FIRST_ASSET, "--json"]);
    assert_eq!(run.exits(4).error_code(), "not_found");
    let mut world = without_token(&private);
    world.set("GITHUB_TOKEN", "ghp_another");
    let run = world.run(&["github", FIRST_ASSET, "--json"]);
    assert_eq!(run.exits(3).error_code(), "credentials_rejected");
    run.says("Bad credentials");
    // An upload that did not finish has no bytes.
    let open = format!("octocat/Hello-World/{}", github::OPEN_ASSET);
    private.world().run(&["github", &open]).exits(4);
}
