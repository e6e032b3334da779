//! The shipped table `dnanexus` against its stand-in.

use super::mutation::{Step, every_key_shows, without_base};
use super::presigned::{CASES, NAME, several};
use crate::standins::dnanexus::{self, Dnanexus};
use crate::standins::{Document, Side, StandIn, Switches};
use crate::support::noise;
use serde_json::{Value, json};

#[test]
fn dnanexus_gets_the_body_of_its_description() {
    let case = CASES[1];
    let (stand_in, world) = case.start(Switches::default());
    case.fetch(&world).exits(0);
    let seen = stand_in.log.of(Side::Api);
    let download = seen
        .iter()
        .find(|seen| seen.request.path() == "/file-B1/download");
    let body: Value = serde_json::from_slice(&download.unwrap().request.body).unwrap();
    let project = dnanexus::PROJECT;
    assert_eq!(
        body,
        json!({"duration": 3600, "preauthenticated": true, "project": project})
    );
}

#[test]
fn headers_of_dnanexus_reach_the_storage_and_are_not_shown() {
    let service = Dnanexus {
        always_headers: true,
        ..Dnanexus::default()
    };
    let document = Document::new("file-B1", NAME, noise(1000));
    let stand_in = StandIn::start(service, vec![document], Switches::default());
    let world = stand_in.world();
    let id = format!("{}/file-B1", dnanexus::PROJECT);
    world.run(&["dnanexus", &id, "-v"]).exits(0);
    assert_eq!(world.read(NAME), noise(1000));
    let plain = world.run_showing(&["url", "dnanexus", &id]);
    assert!(plain.exits(0).stdout.starts_with(&stand_in.storage));
    assert!(!plain.stdout.contains("Bearer"));
}

#[test]
fn a_refusal_is_told_with_the_reason_of_the_service() {
    let ids = ["file-B1", "file-B2", "file-B3", "file-B4", "file-B5"];
    let service = Dnanexus {
        open: vec!["file-B4"],
        hidden: vec!["file-B5"],
        ..Dnanexus::default()
    };
    let stand_in = StandIn::start(service, several(ids), Switches::default());
    let world = stand_in.world();
    let project = dnanexus::PROJECT;
    for (id, code, error, reason) in [
        (
            format!("{project}/file-B4"),
            4,
            "request_refused",
            "The file object is not in the",
        ),
        (
            format!("{project}/file-B5"),
            3,
            "credentials_rejected",
            "VIEW access required",
        ),
        (
            format!("{project}/file-B9"),
            4,
            "not_found",
            "not recognized",
        ),
        (
            "project-B4/file-B1".to_owned(),
            4,
            "not_found",
            "not in the specified project",
        ),
    ] {
        let run = world.run(&["dnanexus", &id, "--json"]);
        assert_eq!(run.exits(code).error_code(), error, "{id}");
        run.says(reason);
    }
}

#[test]
fn each_key_of_the_table_of_dnanexus_shows() {
    const ID: &str = "project-B406G0x2fz2B3GVk65200003/file-B1";
    const FETCH: [&str; 3] = ["dnanexus", ID, "--json"];
    let serve = |hidden: &'static [&'static str], always_headers, switches: Switches| {
        move || {
            let service = Dnanexus {
                hidden: hidden.to_vec(),
                always_headers,
                ..Dnanexus::default()
            };
            let document = Document::new("file-B1", NAME, noise(1000));
            StandIn::start(service, vec![document], switches.clone())
        }
    };
    let plain = || serve(&[], false, Switches::default());
    let listed = || {
        let files = several(["file-B1", "file-B2", "file-B3", "file-B4", "file-B5"]);
        StandIn::start(Dnanexus::default(), files, Switches::default())
    };
    let shorter = Switches {
        stored: |content| content[1..].to_vec(),
        ..Switches::default()
    };
    let list = ["list", "dnanexus", "--in", dnanexus::PROJECT, "--json"];
    let steps = [
        Step::new(plain(), &FETCH),
        Step::new(listed, &list),
        Step::new(plain(), &["dnanexus", "--help"]),
        Step::new(serve(&[], true, Switches::default()), &FETCH),
        Step::new(serve(&["file-B1"], false, Switches::default()), &FETCH),
        Step::new(serve(&[], false, shorter), &FETCH),
        Step::new(plain(), &[&FETCH[..], &["--retries", "0"]].concat())
            .with(|world, stand_in| without_base(world, stand_in, "DNANEXUS_API_BASE")),
    ];
    // No command prints the source. The storage tells, too, that a URL has ended.
    let unseen = [
        "/resolve/expires/as changed",
        "/resolve/expires/at changed",
        "/source changed",
        "/source removed",
    ];
    let table = include_str!("../../../src/provider/tables/dnanexus.toml");
    every_key_shows("dnanexus", table, &steps, &unseen);
}
