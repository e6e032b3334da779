//! What the shipped tables `drs`, `dnanexus` and `sevenbridges` have in common: the API answers with a presigned URL in JSON.

use crate::standins::dnanexus::{self, Dnanexus};
use crate::standins::drs::{Access, Drs};
use crate::standins::sevenbridges::{self, Sevenbridges};
use crate::standins::{Document, Refusal, Side, StandIn, Switches};
use crate::support::{Run, World, each_at_once, kill, noise, sha256};
use serde_json::Value;

/// The bytes of a document: enough for a reset in the middle.
pub(super) const LENGTH: usize = 256 << 10;
pub(super) const NAME: &str = "NA12878.bam";

/// A table, and its stand-in.
#[derive(Clone, Copy)]
pub(super) struct Case {
    provider: &'static str,
    /// The id of the document in the service.
    document: &'static str,
    /// The same on the command line.
    id: &'static str,
    /// Part of the path of the request that yields the URL.
    resolve: &'static str,
    start: fn(Vec<Document>, Switches) -> StandIn,
}

pub(super) const DRS: Case = Case {
    provider: "drs",
    document: "314159",
    id: "314159",
    resolve: "/access/",
    start: |documents, switches| StandIn::start(Drs::new(Access::Signed), documents, switches),
};

pub(super) const CASES: [Case; 3] = [
    DRS,
    Case {
        provider: "dnanexus",
        document: "file-B1",
        id: "project-B406G0x2fz2B3GVk65200003/file-B1",
        resolve: "/download",
        start: |documents, switches| StandIn::start(Dnanexus::default(), documents, switches),
    },
    Case {
        provider: "sevenbridges",
        document: "567890abc3d8130ea4047731",
        id: "567890abc3d8130ea4047731",
        resolve: "/download_info",
        start: |documents, switches| StandIn::start(Sevenbridges::default(), documents, switches),
    },
];

impl Case {
    pub(super) fn start(&self, switches: Switches) -> (StandIn, World) {
        let document = Document::new(self.document, NAME, noise(LENGTH));
        let stand_in = (self.start)(vec![document], switches);
        let world = stand_in.world();
        (stand_in, world)
    }

    pub(super) fn fetch(&self, world: &World) -> Run {
        world.run(&[self.provider, self.id, "--json"])
    }
}

/// How many requests came to the API for paths that contain `part`.
fn requests(stand_in: &StandIn, part: &str) -> usize {
    let seen = stand_in.log.of(Side::Api);
    seen.iter()
        .filter(|seen| seen.request.path().contains(part))
        .count()
}

/// The documents of a project, with sizes and times of their own.
pub(super) fn several(ids: [&str; 5]) -> Vec<Document> {
    let document = |(number, id): (usize, &str)| {
        let mut document = Document::new(id, &format!("sample {number}.vcf"), noise(100 + number));
        document.modified = format!("2026-03-0{}T12:00:00Z", number + 1)
            .parse()
            .unwrap();
        document
    };
    ids.into_iter().enumerate().map(document).collect()
}

#[test]
fn a_document_is_fetched_whole_under_the_name_of_the_service() {
    each_at_once(CASES, |case| {
        let (stand_in, world) = case.start(Switches::default());
        let run = case.fetch(&world);
        let record = run.exits(0).records()[0].clone();
        assert_eq!(record["provider"], case.provider);
        assert_eq!(record["id"], case.id);
        assert_eq!(record["name"], NAME);
        assert_eq!(record["sha256"], sha256(&noise(LENGTH)));
        assert_eq!(record["charged"], Value::Null);
        assert_eq!(world.read(NAME), noise(LENGTH));
        assert!(
            stand_in
                .log
                .statuses(Side::Api)
                .iter()
                .all(|status| *status == 200)
        );
        assert_eq!(stand_in.log.statuses(Side::Storage), [200]);
    });
}

#[test]
fn a_transfer_that_breaks_is_resumed_in_the_middle() {
    each_at_once(CASES, |case| {
        let (stand_in, world) = case.start(Switches {
            reset_once_after: Some(160 << 10),
            ..Switches::default()
        });
        case.fetch(&world).exits(0);
        assert_eq!(world.read(NAME), noise(LENGTH));
        assert_eq!(stand_in.log.statuses(Side::Storage), [200, 206]);
        assert_eq!(requests(&stand_in, case.resolve), 1);
    });
}

#[test]
fn a_url_that_ends_in_the_middle_is_resolved_again() {
    each_at_once(CASES, |case| {
        let (stand_in, world) = case.start(Switches {
            reset_once_after: Some(160 << 10),
            expires_at_reset: true,
            ..Switches::default()
        });
        let run = case.fetch(&world);
        assert_eq!(run.exits(0).records()[0]["resolves"], 2);
        assert_eq!(world.read(NAME), noise(LENGTH));
        assert_eq!(stand_in.log.statuses(Side::Storage), [200, 403, 206]);
        assert_eq!(requests(&stand_in, case.resolve), 2);
    });
}

#[test]
fn a_run_that_was_killed_is_continued_by_the_next_one() {
    each_at_once(CASES, |case| {
        let (stand_in, world) = case.start(Switches::default());
        let slowly = [case.provider, case.id, "--limit-rate", "32K"];
        let child = world.command(&slowly).spawn().unwrap();
        world.wait_for_partial(32 << 10);
        std::thread::sleep(std::time::Duration::from_secs(3)); // the sidecar is written every 2 s
        kill(child);
        case.fetch(&world).exits(0);
        assert_eq!(world.read(NAME), noise(LENGTH));
        assert_eq!(stand_in.log.statuses(Side::Storage), [200, 206]);
    });
}

#[test]
fn a_request_that_is_limited_is_sent_again() {
    each_at_once(CASES, |case| {
        let (stand_in, world) = case.start(Switches::refusing(Refusal::Limited, case.resolve, 1));
        case.fetch(&world).exits(0);
        assert_eq!(world.read(NAME), noise(LENGTH));
        assert_eq!(requests(&stand_in, case.resolve), 2);
    });
}

#[test]
fn a_credential_that_is_missing_or_refused_ends_before_the_storage() {
    each_at_once(CASES, |case| {
        let (stand_in, mut world) =
            case.start(Switches::refusing(Refusal::Unauthorized, case.resolve, 9));
        let run = case.fetch(&world);
        assert_eq!(run.exits(3).error_code(), "credentials_rejected");
        let name = match case.provider {
            "drs" => "DRS_TOKEN",
            "dnanexus" => "DNANEXUS_TOKEN",
            _ => "SEVENBRIDGES_API_KEY",
        };
        let before = stand_in.log.all().len();
        world.set(name, "");
        let run = case.fetch(&world);
        run.exits(3);
        if case.provider == "drs" {
            // The service may be open: only its answer tells.
            assert_eq!(run.error_code(), "credentials_rejected");
        } else {
            assert_eq!(run.error_code(), "credentials_missing");
            run.says(name);
            assert_eq!(stand_in.log.all().len(), before);
        }
        assert_eq!(stand_in.log.statuses(Side::Storage), [0_u16; 0]);
    });
}

#[test]
fn a_dry_run_knows_the_name_and_resolves_nothing() {
    each_at_once(CASES, |case| {
        let (stand_in, world) = case.start(Switches::default());
        let run = world.run(&[case.provider, case.id, "--dry-run"]);
        assert_eq!(run.exits(0).stdout, format!("{NAME}\n"));
        assert_eq!(requests(&stand_in, case.resolve), 0);
        assert_eq!(stand_in.log.of(Side::Storage).len(), 0);
    });
}

#[test]
fn the_size_of_the_service_is_compared_with_the_bytes() {
    each_at_once(CASES, |case| {
        let (_stand_in, world) = case.start(Switches {
            stored: |content| content[..content.len() - 1].to_vec(),
            ..Switches::default()
        });
        let run = case.fetch(&world);
        if case.provider == "drs" {
            assert_eq!(run.exits(6).error_code(), "digest_mismatch");
        } else {
            run.exits(0).says("262144"); // a warning names the size of the service
        }
    });
}

/// Tables with a list: their stand-ins, the scope, the ids that are listed, and what a page is requested from.
struct Listed {
    provider: &'static str,
    scope: &'static str,
    route: &'static str,
    ids: Vec<String>,
    stand_in: StandIn,
}

fn listed() -> [Listed; 2] {
    let files = ["file-B1", "file-B2", "file-B3", "file-B4", "file-B5"];
    let service = Dnanexus {
        open: vec!["file-B5"],
        ..Dnanexus::default()
    };
    let in_project = |id: &&str| format!("{}/{id}", dnanexus::PROJECT);
    let ids = ["5a1", "5a2", "5a3", "5a4", "5a5"];
    [
        Listed {
            provider: "dnanexus",
            scope: dnanexus::PROJECT,
            route: "/system/findDataObjects",
            ids: files[..4].iter().map(in_project).collect(),
            stand_in: StandIn::start(
                service,
                several(files),
                Switches {
                    page_rows: 1,
                    ..Switches::default()
                },
            ),
        },
        Listed {
            provider: "sevenbridges",
            scope: sevenbridges::PROJECT,
            route: "/v2/files",
            ids: ids.map(str::to_owned).to_vec(),
            stand_in: StandIn::start(Sevenbridges::default(), several(ids), Switches::default()),
        },
    ]
}

#[test]
fn every_page_of_a_list_is_read_and_its_rows_can_be_fetched() {
    for listed in listed() {
        let world = listed.stand_in.world();
        let list = ["list", listed.provider, "--in", listed.scope];
        let run = world.run(&[&list[..], &["--ids"]].concat());
        let ids: Vec<&str> = run.exits(0).stdout.lines().collect();
        assert_eq!(ids, listed.ids);
        assert!(requests(&listed.stand_in, listed.route) >= 3);
        let rows = world.run(&[&list[..], &["--json"]].concat());
        let row = rows.exits(0).records()[1].clone();
        assert_eq!(row["name"], "sample 1.vcf");
        assert_eq!(row["size"], 101);
        assert_eq!(row["modified"], "2026-03-02T12:00:00Z");
        world
            .run_with_input(&[listed.provider, "-"], &rows.stdout)
            .exits(0);
        assert_eq!(world.files().len(), listed.ids.len());
        let before = listed.stand_in.log.all().len();
        world.run(&["list", listed.provider]).exits(2).says("--in");
        assert_eq!(listed.stand_in.log.all().len(), before);
    }
}

#[test]
fn a_project_is_mirrored_once() {
    for listed in listed() {
        let world = listed.stand_in.world();
        let sync = ["sync", listed.provider, "mirror", "--in", listed.scope];
        world.run(&sync).exits(0);
        for number in 0..listed.ids.len() {
            let name = format!("mirror/sample {number}.vcf");
            assert_eq!(world.read(&name), noise(100 + number));
        }
        let transfers = listed.stand_in.log.of(Side::Storage).len();
        assert_eq!(transfers, listed.ids.len());
        world.run(&sync).exits(0);
        assert_eq!(listed.stand_in.log.of(Side::Storage).len(), transfers);
    }
}
