//! Wrong usage: each error says what to write instead.

use crate::support::World;
use crate::support::raw::{Raw, api, reply};
use crate::support::services::Service;

#[test]
fn an_option_before_the_command_is_shown_behind_it() {
    let world = World::bare();
    for (words, hint) in [
        (&["--json", "sm", "7"][..], "docfetch sm --json"),
        (&["-v", "list", "sm"], "docfetch list -v"),
        (
            &["--output", "x", "onecodex", "7"],
            "docfetch onecodex --output FILE",
        ),
        (&["-j", "4", "sync", "sm", "x"], "docfetch sync -j N"),
        (
            &["--retries=3", "url", "sm", "7"],
            "docfetch url --retries N",
        ),
        (
            &["--tag", "x", "sync", "onecodex", "m"],
            "docfetch sync --tag TAG",
        ),
        (&["--json"], "docfetch sm --json"),
    ] {
        let run = world.run(words);
        run.exits(2)
            .says(&format!("hint: options stand after the command: {hint}\n"));
    }
    world
        .run(&["--bogus", "sm"])
        .exits(2)
        .says("hint: see docfetch --help");
    world
        .run(&["version"])
        .exits(2)
        .says("hint: a similar option is '--version'");
}

#[test]
fn a_value_that_is_given_as_an_option_names_its_option() {
    let world = World::bare();
    for (words, hint) in [
        (&["sm", "7", "--overwrite"][..], "'--if-exists overwrite'"),
        (&["list", "onecodex", "--samples"], "'--resource samples'"),
        (&["verify", "m", "--sha256sum"], "'--format sha256sum'"),
        (&["list", "onecodex", "samples"], "'--resource samples'"),
        (&["sm", "7", "--outpt", "x"], "'--output'"),
    ] {
        world
            .run(words)
            .exits(2)
            .says(&format!("hint: a similar option is {hint}"));
    }
    let run = world.run(&["sm", "7", "--samples"]);
    run.exits(2).says("hint: see docfetch sm --help");
}

#[test]
fn a_filter_of_another_provider_names_it() {
    let (service, _) = Service::with("x", 1, &[]);
    let world = service.world();
    for (words, why, hint) in [
        (
            &["list", "sm", "--tag", "x"][..],
            "it is a filter of One Codex",
            "`docfetch list onecodex --resource samples` takes it",
        ),
        (
            &["sync", "sm", "m", "--larger-than", "1"],
            "it is a filter of One Codex",
            "`docfetch list onecodex` takes it",
        ),
        (
            &["list", "onecodex", "--company", "x"],
            "it is a filter of Standard Metrics",
            "`docfetch list sm` takes it",
        ),
        (
            &["list", "onecodex", "--tag", "x"],
            "documents have no such field, samples have",
            "add --resource samples",
        ),
        (
            &["list", "sm", "--where", "Source=email"],
            "the fields for --where are provider, id, ",
            "a similar field is \"source\"",
        ),
        (
            &["list", "sm", "--where", "ID=1"],
            "the fields for --where are provider, id, ",
            "a similar field is \"id\"",
        ),
        (
            &["list", "sm", "--where", "compan=x"],
            "the fields for --where are provider, id, ",
            "a similar field is \"company_id\"",
        ),
        (
            &["list", "sm", "--where", "colour=x"],
            "the fields for --where are provider, id, ",
            "`docfetch list sm --json` shows the fields",
        ),
        (
            &["list", "sm", "--since", "-7d"],
            "an age without a minus sign is expected, as in 7d",
            "",
        ),
        (
            &["list", "onecodex", "--larger-than", "-5K"],
            "a size such as 1000, 512K",
            "",
        ),
        (
            &["partials", "--remove-older", "-1d"],
            "an age such as 12h, 7d or 4w is expected",
            "",
        ),
    ] {
        let run = world.run(words);
        run.exits(2)
            .says(&format!("\n  why: {why}"))
            .says(&format!("\n  hint: {hint}"));
    }
    assert!(service.report().downloads == 0 && world.files().is_empty());
}

#[test]
fn the_kind_in_a_listing_is_a_field_of_filters_and_templates() {
    let (service, _) = Service::with("x.bin", 1, &[]);
    let world = service.world();
    for (filter, listed) in [
        ("resource=documents", "doc1\n"),
        ("resource=samples", ""),
        ("provider=onecodex", "doc1\n"),
    ] {
        let run = world.run(&["list", "onecodex", "--ids", "--where", filter]);
        assert_eq!(run.exits(0).stdout, listed, "{filter}");
    }
    let run = world.run(&[
        "sync",
        "onecodex",
        "m",
        "--name",
        "{resource}/{name}",
        "--resource",
        "samples",
    ]);
    assert_eq!(run.exits(0).stdout, "m/samples/x.bin\n");
    world
        .run(&["list", "sm", "--where", "resource=documents"])
        .exits(2)
        .says("have no field \"resource\"");
}

#[test]
fn the_quotation_marks_of_another_shell_are_told() {
    let (service, _) = Service::with("x.pdf", 1, &[]);
    let world = service.world();
    for words in [
        ["--include", "'*.pdf'"],
        ["--exclude", "\"*.pdf\""],
        ["--match", "'x'"],
    ] {
        let run = world.run(&[&["list", "sm"][..], &words].concat());
        run.exits(0).says(&format!(
            "warning: the quotation marks of {} are part of the name",
            words[1]
        ));
    }
    let run = world.run(&["list", "sm", "--include", "'x*"]);
    assert!(!run.exits(0).stderr.contains("quotation"));
}

#[test]
fn an_api_without_the_list_names_the_url_and_the_base_in_use() {
    for (provider, path, status, body, what, why) in [
        (
            "sm",
            "/v1/documents/",
            "404 Not Found",
            "{\"detail\":\"no\"}",
            "Standard Metrics has no list of documents at ",
            "HTTP 404 Not Found, \"no\"",
        ),
        (
            "onecodex",
            "/api/v1/documents",
            "404 Not Found",
            "",
            "One Codex has no list of documents at ",
            "HTTP 404 Not Found",
        ),
        (
            "onecodex",
            "/api/v1/documents",
            "200 OK",
            "{}",
            "the answer for ",
            "the JSON is not an array",
        ),
        (
            "sm",
            "/v1/documents/",
            "200 OK",
            "[]",
            "the answer for ",
            "the JSON is not an object",
        ),
        (
            "sm",
            "/v1/documents/",
            "200 OK",
            "no",
            "the answer for ",
            "the body (without a content type) is not valid JSON",
        ),
    ] {
        let server = Raw::start(move |request, stream| match request.path() {
            asked if asked == path => reply(stream, status, &[], body.as_bytes()),
            _ => api(request, stream, ""),
        });
        let base = server.base();
        let base = base.trim_end_matches('/');
        let run = World::new(base).run(&["list", provider, "--retries", "0"]);
        run.exits(if status.starts_with("404") { 4 } else { 5 });
        let what = format!("error: {what}{base}{path}");
        run.says(&what).says(&format!("\n  why: {why}"));
        run.says(&format!("\n  hint: the API base is {base} ("));
    }
}
