//! The shipped table `drs` against its stand-in.

use super::mutation::{Step, every_key_shows};
use super::presigned::{DRS, LENGTH, NAME};
use crate::standins::drs::{self, Access, Drs};
use crate::standins::{Document, Refusal, Side, StandIn, Switches};
use crate::support::{World, each_at_once, noise};

fn drs(service: Drs) -> (StandIn, World) {
    let ids = ["314159", "dg.4503/01b048d0 e128"];
    let document = |id| Document::new(id, NAME, noise(1000));
    let stand_in = StandIn::start(service, ids.map(document).to_vec(), Switches::default());
    let world = stand_in.world();
    (stand_in, world)
}

#[test]
fn name_and_size_of_drs_come_with_the_resolve_where_the_metadata_failed() {
    // The limited request is the one for metadata, which has one attempt.
    let mut service = Drs::new(Access::Signed);
    service.checksums = vec!["etag"];
    let document = Document::new("314159", NAME, noise(1000));
    let switches = Switches {
        stored: |content| content[1..].to_vec(),
        ..Switches::refusing(Refusal::Limited, "/objects/314159", 1)
    };
    let stand_in = StandIn::start(service, vec![document], switches);
    let world = stand_in.world();
    world.run(&["drs", "314159"]).exits(0).says("1000");
    assert_eq!(world.read(NAME), noise(1000)[1..]);
    assert_eq!(stand_in.log.statuses(Side::Api), [429, 200, 200]);
}

#[test]
fn each_checksum_of_drs_is_compared() {
    each_at_once(
        [
            "sha-256", "sha256", "sha-512", "sha512", "sha1", "sha-1", "md5", "crc32c",
        ],
        |kind| {
            let mut service = Drs::new(Access::Signed);
            service.checksums = vec!["etag", kind];
            let other = Switches {
                stored: |content| content.iter().rev().copied().collect(),
                ..Switches::default()
            };
            for (switches, code) in [(Switches::default(), 0), (other, 6)] {
                let service = Drs {
                    checksums: service.checksums.clone(),
                    ..Drs::new(Access::Signed)
                };
                let document = Document::new("314159", NAME, noise(1000));
                let stand_in = StandIn::start(service, vec![document], switches);
                let run = stand_in.world().run(&["drs", "314159", "--json"]);
                run.exits(code);
                if code == 6 {
                    assert_eq!(run.error_code(), "digest_mismatch", "{kind}");
                }
            }
        },
    );
}

#[test]
fn an_object_of_drs_is_reached_in_each_way_of_the_description() {
    each_at_once(
        [
            Access::Public,
            Access::Headers,
            Access::Signed,
            Access::SignedHeaders,
            Access::S3,
            Access::Gs,
            Access::InlineS3,
            Access::InlineGs,
        ],
        |access| {
            let (stand_in, world) = drs(Drs::new(access));
            world.run(&["drs", "314159"]).exits(0);
            assert_eq!(world.read(NAME), noise(1000), "{access:?}");
            assert_eq!(stand_in.log.statuses(Side::Storage), [200], "{access:?}");
            let is_inline = matches!(
                access,
                Access::Public | Access::Headers | Access::InlineS3 | Access::InlineGs
            );
            assert_eq!(
                stand_in.log.count("GET", "/access/"),
                usize::from(!is_inline)
            );
        },
    );
}

#[test]
fn a_bundle_of_drs_has_no_bytes() {
    let (stand_in, world) = drs(Drs::new(Access::Bundle));
    let run = world.run(&["drs", "314159", "--json"]);
    assert_eq!(run.exits(5).error_code(), "protocol");
    assert_eq!(stand_in.log.of(Side::Storage).len(), 0);
}

#[test]
fn an_object_of_drs_that_is_not_ready_is_waited_for() {
    each_at_once(["/access/", "/objects/314159"], |path| {
        let start = || DRS.start(Switches::refusing(Refusal::NotReady, path, 3));
        let (_stand_in, world) = start();
        world.run(&["drs", "314159", "--wait", "60s"]).exits(0);
        assert_eq!(world.read(NAME), noise(LENGTH));
        let (stand_in, world) = start();
        let run = DRS.fetch(&world);
        assert_eq!(run.exits(5).error_code(), "not_ready");
        run.says("--wait");
        assert_eq!(stand_in.log.of(Side::Storage).len(), 0);
    });
}

#[test]
fn a_uri_of_drs_is_an_id_of_its_host_only() {
    let (stand_in, world) = drs(Drs::new(Access::Signed));
    let run = world.run(&["drs", "drs://127.0.0.1/314159", "--json"]);
    assert_eq!(run.exits(0).records()[0]["id"], "314159");
    let before = stand_in.log.all().len();
    for uri in [
        "drs://drs.example.org/314159",
        "drs://dg.4503:01b048d0",
        "drs://127.0.0.1/314159/access/x",
        "drs://127.0.0.1",
    ] {
        world.run(&["drs", uri]).exits(2);
    }
    assert_eq!(stand_in.log.all().len(), before);
    let uri = "drs://127.0.0.1/dg.4503%2F01b048d0%20e128";
    world.run(&["drs", uri, "-o", "uri.bam"]).exits(0);
    let id = "dg.4503%2F01b048d0 e128";
    world.run(&["drs", id, "-o", "id.bam"]).exits(0);
    let targets = stand_in.log.all();
    let encoded = "/ga4gh/drs/v1/objects/dg.4503%2F01b048d0%20e128";
    let count = targets.iter().filter(|seen| seen.request.target == encoded);
    assert!(count.count() >= 2);
}

#[test]
fn drs_takes_each_kind_of_credential_and_none() {
    let (_stand_in, mut world) = drs(Drs::new(Access::Signed));
    world.set("DRS_TOKEN", "");
    world.set("DRS_USERNAME", drs::USERNAME);
    world.set("DRS_PASSWORD", drs::PASSWORD);
    world.run(&["drs", "314159"]).exits(0);
    let mut service = Drs::new(Access::Public);
    service.open = true;
    let (stand_in, world) = drs(service);
    world.run(&["drs", "314159"]).exits(0);
    let seen = stand_in.log.all();
    assert!(
        seen.iter()
            .all(|seen| seen.request.header("authorization").is_none())
    );
}

#[test]
fn a_base_may_end_with_the_path_of_drs() {
    let (stand_in, mut world) = drs(Drs::new(Access::Signed));
    let base = format!("{}/ga4gh/drs/v1", stand_in.base);
    world.set("DRS_API_BASE", &base);
    world.run(&["drs", "314159"]).exits(0);
    world.set("DRS_API_BASE", "");
    world.run(&["drs", "314159"]).exits(2).says("DRS_API_BASE");
}

#[test]
fn drs_has_no_list() {
    let (stand_in, world) = drs(Drs::new(Access::Signed));
    world.run(&["list", "drs"]).exits(2);
    assert_eq!(stand_in.log.all().len(), 0);
}

#[test]
fn a_refusal_is_told_with_the_reason_of_the_service() {
    let mut service = Drs::new(Access::Signed);
    service.forbidden = vec!["314159"];
    let (_stand_in, world) = drs(service);
    for (id, code, error, reason) in [
        (
            "314159",
            4,
            "forbidden",
            "not authorized to perform this action",
        ),
        (
            "271828",
            4,
            "not_found",
            "The requested `DrsObject` wasn't found.",
        ),
    ] {
        let run = world.run(&["drs", id, "--json"]);
        assert_eq!(run.exits(code).error_code(), error);
        run.says(reason);
    }
}

/// A service with one object of 1000 bytes.
fn one(
    service: impl Fn() -> Drs + Sync + 'static,
    switches: Switches,
) -> impl Fn() -> StandIn + Sync {
    move || {
        let document = Document::new("314159", NAME, noise(1000));
        StandIn::start(service(), vec![document], switches.clone())
    }
}

#[test]
fn each_key_of_the_table_of_drs_shows() {
    const FETCH: [&str; 3] = ["drs", "314159", "--json"];
    let signed = || Drs::new(Access::Signed);
    let plain = || one(signed, Switches::default());
    let ways = [
        Access::Signed,
        Access::Public,
        Access::Headers,
        Access::SignedHeaders,
        Access::S3,
        Access::Gs,
        Access::InlineS3,
        Access::InlineGs,
    ];
    let way = |access| Step::new(one(move || Drs::new(access), Switches::default()), &FETCH);
    let mut steps: Vec<Step> = ways.map(way).into();
    let kinds = [
        "sha-256", "sha256", "sha-512", "sha512", "sha1", "sha-1", "md5", "crc32c",
    ];
    steps.extend(kinds.map(|kind| {
        let service = move || Drs {
            checksums: vec!["etag", kind],
            ..Drs::new(Access::Signed)
        };
        let other = Switches {
            stored: |content| content.iter().rev().copied().collect(),
            ..Switches::default()
        };
        Step::new(one(service, other), &FETCH)
    }));
    let without_checksum = || Drs {
        checksums: vec!["etag"],
        ..Drs::new(Access::Signed)
    };
    // The first request is the one for the metadata.
    let without_metadata = Switches {
        stored: |content| content[1..].to_vec(),
        ..Switches::refusing(Refusal::Limited, "/objects/314159", 1)
    };
    let forbidden = || Drs {
        forbidden: vec!["314159"],
        ..Drs::new(Access::Signed)
    };
    let open = || Drs {
        open: true,
        ..Drs::new(Access::Public)
    };
    let refusing = |refusal, path| one(signed, Switches::refusing(refusal, path, 3));
    steps.extend([
        Step::new(one(without_checksum, without_metadata), &FETCH),
        Step::new(refusing(Refusal::NotReady, "/access/"), &FETCH),
        Step::new(refusing(Refusal::NotReady, "/objects/314159"), &FETCH),
        Step::new(refusing(Refusal::Unauthorized, "/access/"), &FETCH),
        Step::new(one(forbidden, Switches::default()), &FETCH),
        Step::new(plain(), &["drs", "drs://127.0.0.1/314159", "--json"]),
        Step::new(plain(), &["drs", "314159", "--dry-run", "--json"]),
        Step::new(plain(), &["drs", "--help"]),
        Step::new(one(open, Switches::default()), &FETCH),
        Step::new(plain(), &FETCH).with(|world, _| {
            world.set("DRS_TOKEN", "");
            world.set("DRS_USERNAME", drs::USERNAME);
            world.set("DRS_PASSWORD", drs::PASSWORD);
        }),
        Step::new(plain(), &FETCH).with(|world, stand_in| {
            world.set("DRS_API_BASE", &format!("{}/ga4gh/drs/v1", stand_in.base));
        }),
    ]);
    // No command prints the source.
    let unseen = ["/source changed", "/source removed"];
    let table = include_str!("../../../src/provider/tables/drs.toml");
    every_key_shows("drs", table, &steps, &unseen);
}
