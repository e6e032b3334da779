//! The filters of `docfetch list` and `docfetch sync`.

use crate::support::World;
use crate::support::raw::{Raw, api, reply};
use crate::support::services::Service;
use docfetch::sandbox::Document;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// Documents that differ in everything that a filter compares.
fn service() -> Service {
    let age = |hours: i64| (Timestamp::now() - SignedDuration::from_hours(hours)).to_string();
    let documents = vec![
        Document::new("Report Q3.pdf", "1")
            .with_id("a")
            .with_created(&age(1))
            .with_project("Soil survey")
            .with_tag("trimmed")
            .with_tag("R1"),
        Document::new("draft Q3.pdf", "12")
            .with_id("b")
            .with_created(&age(3 * 24))
            .with_source("email")
            .with_company("c2")
            .with_project("Soil survey")
            .with_tag("R1"),
        Document::new("Ums\u{e4}tze [2026].csv", "123")
            .with_id("c")
            .with_created(&age(20 * 24))
            .with_parse_state("needs-input")
            .with_tag("trimmed"),
        Document::new("reads.fastq", "1234")
            .with_id("d")
            .with_created(&age(40 * 24))
            .with_source("email"),
    ];
    Service::start(documents, &[])
}

/// The ids that a list with these arguments prints, in one text.
fn ids(world: &World, arguments: &[&str]) -> String {
    let run = world.run(&[&["list", "--ids", "--rate-limit", "none"], arguments].concat());
    run.exits(0).stdout.replace('\n', "")
}

#[test]
fn patterns_of_names_choose_documents() {
    let service = service();
    let world = service.world();
    for provider in ["sm", "onecodex"] {
        for (arguments, expected) in [
            (&["--include", "*.pdf"][..], "ab"),
            (&["--include", "*.pdf", "--include", "reads*"], "abd"),
            (&["--include=*.{pdf,fastq}", "--exclude", "draft*"], "ad"),
            (&["--exclude", "*.pdf", "--exclude", "*.csv"], "d"),
            (&["--include", "Ums?tze*"], "c"),
            (&["--include", r"*\[2026\]*"], "c"),
            (&["--include", "[A-Z]*"], "ac"),
            (&["--include", "*.PDF"], ""),
            (&["--include", "report*"], ""),
            (
                &["--include", "*", "--match", "q3", "--exclude", "Report*"],
                "b",
            ),
            // Rows count that match.
            (
                &[
                    "--include",
                    "*.{pdf,csv}",
                    "--exclude",
                    "R*",
                    "--limit",
                    "1",
                ],
                "b",
            ),
        ] {
            assert_eq!(
                ids(&world, &[&[provider], arguments].concat()),
                expected,
                "{arguments:?}"
            );
        }
    }
}

#[test]
fn values_of_fields_choose_documents() {
    let service = service();
    let world = service.world();
    for (arguments, expected) in [
        (&["sm", "--where", "source=email"][..], "bd"),
        (
            &["sm", "--where", "source=email", "--where", "source=upload"],
            "abcd",
        ),
        (
            &["sm", "--where", "source=email", "--where", "company_id=c2"],
            "b",
        ),
        (&["sm", "--where", "source=fax"], ""),
        (&["sm", "--where", "source=e"], ""),
        (&["sm", "--where", "information_request_id="], "abcd"),
        (&["sm", "--where", "company_id="], ""),
        (&["sm", "--where", "id=a", "--where", "id=d"], "ad"),
        (&["sm", "--company", "c2", "--where", "company_id=c1"], ""),
        (&["onecodex", "--where", "size=2"], "b"),
        (&["onecodex", "--where", "name=reads.fastq"], "d"),
        (&["onecodex", "--where", "created_at=2026"], ""),
        (
            &[
                "onecodex",
                "--resource",
                "samples",
                "--where",
                "status=available",
            ],
            "abcd",
        ),
        (
            &["onecodex", "--resource", "samples", "--where", "project="],
            "cd",
        ),
        (
            &["onecodex", "--resource", "samples", "--where", "tags="],
            "d",
        ),
    ] {
        assert_eq!(ids(&world, arguments), expected, "{arguments:?}");
    }
}

#[test]
fn ages_choose_documents_by_their_last_change() {
    let service = service();
    let world = service.world();
    for provider in ["sm", "onecodex"] {
        for (arguments, expected) in [
            (&["--since", "12h"][..], "a"),
            (&["--since", "7d"], "ab"),
            (&["--since", "4w"], "abc"),
            (&["--until", "7d"], "cd"),
            (&["--since", "4w", "--until", "2d"], "bc"),
            (&["--until", "0h"], "abcd"),
        ] {
            assert_eq!(
                ids(&world, &[&[provider], arguments].concat()),
                expected,
                "{arguments:?}"
            );
        }
    }
}

#[test]
fn samples_are_found_by_project_and_tags() {
    let service = service();
    let world = service.world();
    let samples = |arguments: &[&str]| {
        ids(
            &world,
            &[&["onecodex", "--resource", "samples"], arguments].concat(),
        )
    };
    let run = world.run(&["list", "onecodex", "--resource", "samples", "--json"]);
    let rows = run.exits(0).records();
    let project = rows[0]["project"].as_str().unwrap();
    let tags = [
        rows[1]["tags"][0].as_str().unwrap(),
        rows[2]["tags"][0].as_str().unwrap(),
    ];
    assert_eq!(rows[0]["tags"], json!([tags[1], tags[0]]));
    assert_eq!(
        (&rows[3]["project"], &rows[3]["tags"]),
        (&Value::Null, &json!([]))
    );
    let uri = format!("/api/v1/tags/{}", tags[0]);
    let by_field = format!("tags={}", tags[1]);
    for (arguments, expected) in [
        (&["--project", project][..], "ab"),
        (&["--project", "Soil survey"], "ab"),
        (&["--tag", "R1"], "ab"),
        (&["--tag", tags[0]], "ab"),
        (&["--tag", &uri], "ab"),
        (&["--tag", "trimmed"], "ac"),
        (&["--tag", "trimmed", "--tag", "R1"], "a"),
        (&["--tag", "trimmed", "--project", "Soil survey"], "a"),
        (&["--where", &by_field], "ac"),
        (
            &["--tag", "R1", "--exclude", "draft*", "--larger-than", "0"],
            "a",
        ),
    ] {
        assert_eq!(samples(arguments), expected, "{arguments:?}");
    }
    let run = world.run(&[
        "sync",
        "onecodex",
        "m",
        "--resource",
        "samples",
        "--tag",
        "R1",
        "--name",
        "{project}/{name}",
    ]);
    run.exits(0).says("2 fetched");
    let run = world.run(&["verify", "m/.docfetch/manifest.jsonl"]);
    run.exits(0);
    assert_eq!(world.read(&format!("m/{project}/Report Q3.pdf")), b"1");
}

#[test]
fn a_project_or_tag_that_does_not_exist_is_said_so() {
    let service = service();
    let world = service.world();
    let samples = ["list", "onecodex", "--resource", "samples"];
    for (arguments, code, said) in [
        (
            &["--tag", "trim"][..],
            2,
            "One Codex knows no tag of the name \"trim\"",
        ),
        (&["--tag", "Trimmed"], 2, "knows no tag"),
        (
            &["--project", "Soil"],
            2,
            "knows no project of the name \"Soil\"",
        ),
        (
            &["--tag", "trimmed", "--project", "0123456789abcdef"],
            4,
            "check --project and --tag",
        ),
    ] {
        let run = world.run(&[&samples, arguments].concat());
        assert_eq!(run.exits(code).says(said).stdout, "");
    }
    // Two tags have this name, and a server ignores the filter.
    const ONE: &str = "1111111111111111";
    const TWO: &str = "2222222222222222";
    const THREE: &str = "3333333333333333";
    let server = Raw::start(|request, stream| match request.path() {
        "/api/v1/tags" => {
            let tag =
                |id: &str, name: &str| json!({"$uri": format!("/api/v1/tags/{id}"), "name": name});
            let tags = json!([tag(ONE, "other"), tag(TWO, "same"), tag(THREE, "same")]);
            reply(stream, "200 OK", &[], tags.to_string().as_bytes());
        }
        _ => api(request, stream, ""),
    });
    let world = World::new(&server.base());
    let run = world.run(&[&samples[..], &["--tag", "same"]].concat());
    run.exits(2)
        .says("2 tags of the name \"same\"")
        .says(&format!("{TWO}, {THREE}"));
    let asked = &server.seen()[0].target;
    assert!(
        asked.contains("where=%7B%22name%22%3A%22same%22%7D"),
        "{asked}"
    );
    let run = world.run(&[&samples[..], &["--tag", "oth"]].concat());
    run.exits(2)
        .says("knows no tag")
        .says("`docfetch list onecodex --resource samples --json` shows the tag of each sample");
}

#[test]
fn a_server_that_ignores_references_changes_nothing_and_gets_them() {
    let server = Raw::start(|request, stream| match request.path() {
        "/api/v1/samples" => {
            let row = |id: &str, project: Value, tags: Value| json!({"$uri": format!("/api/v1/samples/{id}"), "filename": id, "project": project, "tags": tags});
            let reference = |uri: &str| json!({ "$ref": uri });
            let (one, two) = (
                reference("/api/v1/tags/1111111111111111"),
                reference("/api/v1/tags/2222222222222222"),
            );
            let project = reference("/api/v1/projects/aaaaaaaaaaaaaaaa");
            let many: Vec<Value> = vec![one.clone(); 500];
            let expanded = json!({"$uri": "/api/v1/projects/aaaaaaaaaaaaaaaa", "name": "x"});
            let rows = json!([
                row("a", project.clone(), json!([one, two])),
                row("b", project, json!([one])),
                row("c", Value::Null, json!([])),
                row("d", expanded, many.into()),
            ]);
            reply(
                stream,
                "200 OK",
                &[("X-Total-Count", "4")],
                rows.to_string().as_bytes(),
            );
        }
        _ => api(request, stream, ""),
    });
    let world = World::new(&server.base());
    let samples = ["onecodex", "--resource", "samples"];
    let filters = ["--project", "aaaaaaaaaaaaaaaa", "--tag", "1111111111111111"];
    assert_eq!(
        ids(
            &world,
            &[&samples[..], &["--tag", "1111111111111111"]].concat()
        ),
        "abd"
    );
    assert_eq!(ids(&world, &[&samples[..], &filters].concat()), "abd");
    let query = server.seen().last().unwrap().target.clone();
    let filter: Vec<_> = url::form_urlencoded::parse(query.split_once('?').unwrap().1.as_bytes())
        .filter(|(name, _)| name == "where")
        .collect();
    let expected = r#"{"project":{"$ref":"/api/v1/projects/aaaaaaaaaaaaaaaa"},"tags":{"$containsall":[{"$ref":"/api/v1/tags/1111111111111111"}]}}"#;
    assert_eq!(filter[0].1, expected);
}

#[test]
fn a_filter_that_cannot_be_is_wrong_usage() {
    let samples = ["onecodex", "--resource", "samples"];
    for (arguments, said) in [
        (
            &["sm", "--tag", "x"][..],
            "Standard Metrics has no filter --tag",
        ),
        (
            &["sm", "--project", "x"],
            "Standard Metrics has no filter --project",
        ),
        (&["onecodex", "--tag", "x"], "hint: add --resource samples"),
        (
            &["onecodex", "--resource", "assets", "--project", "x"],
            "hint: add --resource samples",
        ),
        (
            &["sm", "--include", "a[b"],
            "no ']' for the '[' at character 2",
        ),
        (
            &["sm", "--exclude", "{a"],
            "no '}' for the '{' at character 1",
        ),
        (&["sm", "--include", ""], "*.pdf"),
        (&["sm", "--where", "source"], "source=email"),
        (&["sm", "--where", "=x"], "source=email"),
        (
            &["sm", "--where", "colour=red"],
            "the rows of Standard Metrics have no field \"colour\"",
        ),
        (
            &["sm", "--where", "colour=red"],
            "id, name, modified, company_id, information_request_id, ",
        ),
        (&["sm", "--where", "size=1"], "have no field \"size\""),
        (
            &["onecodex", "--where", "tags=x"],
            "the rows of One Codex documents have no field \"tags\"",
        ),
        (&["sm", "--since", "7m"], "12h, 7d or 4w"),
        (&["sm", "--since", "999999999999w"], "a shorter age"),
        (&["sm", "--tag", ""], "--tag"),
        (&[&samples[..], &["--project", ""]].concat(), "--project"),
    ] {
        let run = World::bare().run(&[&["list"], arguments].concat());
        run.exits(2).says(said);
        let mut sync = vec!["sync", arguments[0], "m"];
        sync.extend(&arguments[1..]);
        World::bare().run(&sync).exits(2).says(said);
    }
}

#[test]
fn a_pattern_given_to_match_is_text_and_the_option_for_patterns_is_named() {
    let service = service();
    let world = service.world();
    let run = world.run(&["list", "onecodex", "--match", "*.pdf", "--ids"]);
    assert_eq!(run.exits(0).says("use --include '*.pdf'").stdout, "");
    let run = world.run(&["sync", "sm", "m", "--match", "Q?"]);
    run.exits(0).says("use --include 'Q?'");
    let run = world.run(&["list", "onecodex", "--match", "*.pdf", "-q"]);
    assert_eq!(run.exits(0).stderr, "");
    let run = world.run(&["list", "onecodex", "--match", "[2026]", "--ids"]);
    assert_eq!(
        (run.exits(0).stderr.as_str(), run.stdout.as_str()),
        ("", "c\n")
    );
}

#[test]
fn an_empty_listing_says_that_it_is_empty() {
    let service = service();
    let world = service.world();
    for options in [&[][..], &["--ids"], &["--json"]] {
        let run = world.run(&[&["list", "sm", "--match", "nothing"], options].concat());
        assert_eq!(run.exits(0).stdout, "");
        assert_eq!(
            run.stderr,
            "Standard Metrics lists no document that matches\n"
        );
        let quiet = world.run(&[&["list", "sm", "--match", "nothing", "-q"], options].concat());
        assert_eq!(
            (quiet.exits(0).stdout.as_str(), quiet.stderr.as_str()),
            ("", "")
        );
    }
    let empty = Service::start(Vec::new(), &[]);
    let run = empty.world().run(&["list", "onecodex"]);
    assert_eq!(run.exits(0).stderr, "One Codex lists no document\n");
}

#[test]
fn the_lines_of_a_list_in_a_pipe_are_ids() {
    let service = service();
    let world = service.world();
    let list = world.run(&["list", "sm", "--where", "source=email"]);
    assert_eq!(
        list.exits(0)
            .stdout
            .lines()
            .next()
            .unwrap()
            .split('\t')
            .count(),
        4
    );
    let run = world.run_with_input(&["sm", "-", "-j", "1"], &list.stdout);
    assert_eq!(run.exits(0).stdout, "draft Q3.pdf\nreads.fastq\n");
    let lines = format!("\u{feff}{}", list.stdout.replace('\n', "\r\n"));
    std::fs::write(world.out().join("ids.txt"), lines).unwrap();
    let run = world.run(&[
        "sm",
        "--from-file",
        "ids.txt",
        "--if-exists",
        "skip",
        "-j",
        "1",
    ]);
    assert_eq!(run.exits(0).stdout, "draft Q3.pdf\nreads.fastq\n");
}

#[test]
fn a_file_of_ids_that_cannot_be_read_ends_a_batch_before_it_pays() {
    let service = service();
    let world = service.world();
    std::fs::create_dir(world.out().join("folder")).unwrap();
    for file in ["nowhere", "folder"] {
        let run = world.run(&["onecodex", "a", "b", "--from-file", file]);
        assert_eq!(run.exits(7).says(&format!("cannot read {file}")).stdout, "");
    }
    assert_eq!(service.charges(), 0);
}

#[test]
fn a_long_option_with_one_dash_is_refused_before_anything_is_paid() {
    let service = service();
    let world = service.world();
    for (option, meant) in [
        ("-dry-run", "--dry-run"),
        ("-output-dir", "--output-dir"),
        ("-output=x", "--output"),
        ("-jobs=3", "--jobs"),
        ("-connections", "--connections"),
        ("-quiet", "--quiet"),
        ("-json", "--json"),
        ("-color", "--color"),
    ] {
        let run = world.run(&["onecodex", "a", option]);
        let given = option.split('=').next().unwrap();
        run.exits(2)
            .says(&format!("docfetch onecodex has no option '{given}'"))
            .says(&format!("a similar option is '{meant}'"));
    }
    world
        .run(&["list", "sm", "-json"])
        .exits(2)
        .says("'--json'");
    assert_eq!(service.charges(), 0);
    // A value that stands right behind the option.
    let run = world.run(&["sm", "a", "-dresults", "-j4", "-c1"]);
    assert_eq!(run.exits(0).stdout, "results/Report Q3.pdf\n");
    let run = world.run(&["sm", "a", "-orun", "-qd", "."]);
    assert_eq!(run.exits(0).stdout, "run\n");
}

#[test]
fn a_uri_of_another_kind_names_the_option() {
    let service = service();
    let world = service.world();
    let hint = "hint: give the id a with --resource samples";
    let uri = "/api/v1/samples/a";
    world.run(&["onecodex", uri]).exits(2).says(hint);
    world.run(&["url", "onecodex", uri]).exits(2).says(hint);
    let run = world.run_with_input(&["onecodex", "-"], &format!("{uri}\n"));
    run.exits(2).says(hint);
    assert_eq!(service.charges(), 0);
}
