//! Help, and what docfetch says about wrong usage.

use crate::support::World;
use crate::support::services::Service;

/// Every command that has a help page.
const COMMANDS: [&[&str]; 11] = [
    &[],
    &["sm"],
    &["onecodex"],
    &["list"],
    &["sync"],
    &["url"],
    &["verify"],
    &["ledger"],
    &["ledger", "list"],
    &["ledger", "forget"],
    &["sandbox"],
];

fn help(command: &[&str]) -> String {
    let run = World::bare().run(&[command, &["--help"]].concat());
    run.exits(0).stdout.clone()
}

#[test]
fn each_help_has_an_example_that_docfetch_can_parse() {
    for command in COMMANDS {
        let help = help(command);
        let (_, examples) = help.split_once("Examples:\n").unwrap();
        let lines: Vec<&str> = examples
            .lines()
            .take_while(|line| !line.is_empty())
            .collect();
        assert!((1..=3).contains(&lines.len()), "{command:?}: {lines:?}");
        let name = ["docfetch", command.first().unwrap_or(&"")].join(" ");
        for line in lines {
            assert!(line.contains(name.trim_end()), "{command:?}: {line}");
            let (_, words) = line.split_once("docfetch ").unwrap();
            // The command alone: without a redirection, quotes or the remark behind two blanks.
            let words = words
                .split(['|', '>', ')'])
                .next()
                .unwrap()
                .replace('\'', "");
            let words = words.split("  ").next().unwrap();
            let words: Vec<&str> = words.split_whitespace().collect();
            let run = World::bare().run(&[&words[..], &["--help"]].concat());
            assert!(run.code == 0 || words.contains(&"--"), "{line}: {run:?}");
        }
    }
}

#[test]
fn help_has_no_line_that_is_broken_in_its_middle() {
    for command in COMMANDS {
        let help = help(command);
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "{line}");
            let last = line.split_whitespace().next_back();
            assert_ne!(last, Some("e.g."), "{command:?}");
            assert!(!line.contains("1..=256"), "{line}");
        }
        assert!(!help.contains("e.g."), "{command:?}");
    }
}

#[test]
fn options_of_one_provider_are_in_its_help_only() {
    let (sm, onecodex) = (help(&["sm"]), help(&["onecodex"]));
    for option in ["--resource", "--allow-recharge", "--max-charges"] {
        assert!(!sm.contains(option), "{option}");
        assert!(onecodex.contains(option), "{option}");
    }
    let (service, content) = Service::with("x.bin", 1000, &[]);
    let world = service.world();
    let run = world.run(&["sm", "doc1", "--resource", "samples"]);
    run.exits(2).says("Standard Metrics has no samples");
    world.run(&["sm", "doc1", "--allow-recharge"]).exits(0);
    assert_eq!(world.read("x.bin"), content);
}

#[test]
fn help_has_help_of_its_own() {
    for arguments in [
        &["help", "--help"][..],
        &["help", "-h"],
        &["help", "help"],
        &["ledger", "help", "--help"],
    ] {
        let run = World::bare().run(arguments);
        let usage = run.exits(0).stdout.contains("help [COMMAND]...");
        assert!(usage, "{arguments:?}: {}", run.stdout);
        assert_eq!(run.stderr, "");
    }
    let run = World::bare().run(&["help", "verify", "--help"]);
    assert!(run.exits(0).stdout.contains("Usage: docfetch verify"));
}

#[test]
fn an_unknown_command_lists_the_providers_and_another_spelling_of_one_is_understood() {
    for (name, hint) in [
        ("standard-metrics", "use 'sm' for Standard Metrics"),
        ("StandardMetrics", "use 'sm' for Standard Metrics"),
        ("one-codex", "use 'onecodex' for One Codex"),
        ("codex", "use 'onecodex' for One Codex"),
        ("lisst", "a similar command is 'list'"),
        ("frobnicate", "see docfetch --help"),
    ] {
        let run = World::bare().run(&[name, "ID"]);
        run.exits(2)
            .says(&format!("docfetch has no command '{name}'"))
            .says("the providers are sm, onecodex, ")
            .says(&format!("hint: {hint}"));
    }
    let run = World::bare().run(&["list", "standard-metrics"]);
    run.exits(2)
        .says("sm, onecodex, ")
        .says("hint: use 'sm' for Standard Metrics");
    let run = World::bare().run(&["ledger", "sm"]);
    run.exits(2).says("the commands are list, forget and help");
}

#[test]
fn a_missing_or_negative_argument_is_named() {
    for (arguments, what) in [
        (
            &["sm"][..],
            "error: docfetch sm needs <ID>...\n  hint: docfetch sm <ID>...",
        ),
        (&["url", "sm"], "error: docfetch url needs <ID>\n"),
        (&["verify"], "error: docfetch verify needs <MANIFEST>\n"),
        (
            &["sm", "ID", "--retry-max-time", "-3"],
            "error: unexpected argument '-3'\n  why: no option begins with a digit",
        ),
    ] {
        World::bare().run(arguments).exits(2).says(what);
    }
}

#[test]
fn a_wrong_option_gets_no_advice_that_makes_things_worse() {
    for (arguments, hint) in [
        (&["sm", "ID", "--foo"][..], "see docfetch sm --help"),
        (&["sm", "-x"], "see docfetch sm --help"),
        (&["sm", "ID", "--dryrun"], "a similar option is '--dry-run'"),
        (&["sm", "ID", "--version"], "see docfetch sm --help"),
        (&["url", "sm", "ID", "--dry-run"], "see docfetch url --help"),
        (&["list", "sm", "--dry-run"], "see docfetch list --help"),
        (&["sandbox", "--dry-run"], "see docfetch sandbox --help"),
        (
            &["sm", "ID", "--since", "2026-01-01"],
            "see docfetch sm --help",
        ),
        // The opposite of an option is not similar to it.
        (&["sm", "ID", "--resume"], "see docfetch sm --help"),
        (
            &["onecodex", "ID", "--no-allow-recharge"],
            "see docfetch onecodex --help",
        ),
        (
            &["--json", "sm", "ID"],
            "options stand after the command: docfetch sm --json",
        ),
    ] {
        let run = World::bare().run(arguments);
        run.exits(2).says(&format!("hint: {hint}"));
        assert!(!run.stderr.contains("'-- "), "{}", run.stderr);
    }
    let run = World::bare().run(&["sm", "ID", "--since", "2026-01-01"]);
    run.says("it is an option of list and sync");
}

#[test]
fn a_wrong_value_is_told_with_what_is_expected() {
    for (arguments, expected) in [
        (&["--jobs", "0"][..], "a number from 1 to 256 is expected"),
        (&["--jobs", "257"], "a number from 1 to 256 is expected"),
        (&["--jobs", "many"], "a number from 1 to 256 is expected"),
        (&["-c", "33"], "a number from 1 to 32 is expected, or auto"),
        (
            &["--retries", "-1"],
            "a whole number such as 0 or 5 is expected",
        ),
        (
            &["--if-exists", "maybe"],
            "fail, skip, overwrite or rename is expected",
        ),
    ] {
        let run = World::bare().run(&[&["sm", "ID"], arguments].concat());
        run.exits(2)
            .says(&format!("invalid value '{}' for '--", arguments[1]))
            .says(&format!("why: {expected}"));
    }
}

#[test]
fn a_wrong_value_from_a_variable_names_the_variable() {
    for (variable, value) in [
        ("DOCFETCH_JOBS", "0"),
        ("DOCFETCH_RETRIES", "many"),
        ("DOCFETCH_JSON", "maybe"),
        ("DOCFETCH_IF_EXISTS", "maybe"),
        ("DOCFETCH_NAME", "{nothing}"),
        ("DOCFETCH_RESOURCE", "samples"),
        ("DOCFETCH_PROXY", "ftp://host"),
    ] {
        let base = match variable {
            "DOCFETCH_PROXY" => "https://api.example.com", // no proxy serves loopback
            _ => "http://127.0.0.1:1",
        };
        let mut world = World::new(base);
        world.set(variable, value);
        world.run(&["sm", "a"]).exits(2).says(variable);
        // The flag wins, and an error about another flag does not name the variable.
        let run = world.run(&["sm", "a", "--stall-timeout", "0s"]);
        run.exits(2);
    }
    let mut world = World::new("http://127.0.0.1:1");
    world.set("DOCFETCH_JOBS", "0");
    let run = world.run(&["sm", "a", "--jobs", "300"]);
    run.exits(2).says("invalid value '300' for '--jobs <N>'");
    assert!(!run.stderr.contains("DOCFETCH_JOBS"), "{}", run.stderr);
    // `sync` reads its template when it knows the provider.
    let mut world = World::new("http://127.0.0.1:1");
    world.set("DOCFETCH_NAME", "{nothing}");
    world
        .run(&["sync", "sm", "d"])
        .exits(2)
        .says("DOCFETCH_NAME");
    let run = world.run(&["sync", "sm", "d", "--name", "{other}"]);
    run.exits(2).says("{other}");
    assert!(!run.stderr.contains("DOCFETCH_NAME"), "{}", run.stderr);
}

#[test]
fn a_template_for_sync_in_the_variable_is_ignored_by_a_fetch() {
    let (service, content) = Service::with("x.bin", 1000, &[]);
    let mut world = service.world();
    world.set("DOCFETCH_NAME", "{company_id}/{name}");
    let run = world.run(&["sm", "doc1", "-v"]);
    run.exits(0)
        .says("DOCFETCH_NAME is ignored: only docfetch sync knows the field {company_id}");
    assert_eq!(world.read("x.bin"), content);
    let run = world.run(&["sm", "doc1", "-d", "quiet"]);
    assert!(!run.exits(0).stderr.contains("DOCFETCH_NAME"));
    // The flag wins, so nothing is ignored.
    let run = world.run(&["sm", "doc1", "-v", "--name", "{id}"]);
    assert!(!run.exits(0).stderr.contains("DOCFETCH_NAME"));
    world.run(&["sync", "sm", "mirror"]).exits(0);
    assert!(!world.files().contains(&"{name}".to_owned()));
    // As a flag it is wrong usage, and so is a field that no command knows.
    let run = world.run(&["sm", "doc1", "--name", "{company_id}-{name}"]);
    run.exits(2).says("{company_id} is not a field");
    world.set("DOCFETCH_NAME", "{company_id}-{nothing}");
    world.run(&["sm", "doc1"]).exits(2).says("DOCFETCH_NAME");
}

#[test]
fn the_sandbox_help_names_no_command_that_waits_for_the_end_of_the_sandbox() {
    let run = World::bare().run(&["sandbox", "--help"]);
    run.exits(0);
    assert!(
        run.stdout
            .contains("  docfetch sandbox >sandbox.env &\n  . ./sandbox.env\n"),
        "{run:?}"
    );
    assert!(!run.stdout.contains("eval"), "{run:?}");
}
