//! Tables with one mistake each: docfetch names the file, the line and the key, and no other command is in the way.

use crate::support::World;
use std::fs;

/// A table with the keys of every part. Each value is on the line of its key.
const WHOLE: &str = include_str!("../data/tables/whole.toml");

/// The ends of headers whose keys the author of a table chooses.
const FREE_SECTIONS: [&str; 9] = [
    "headers",
    "query",
    "json",
    "form",
    "capture",
    "parameters",
    "fields",
    "lookup",
    "options",
];

/// Keys that a table must have.
const REQUIRED: [&str; 14] = [
    "providers.acme.auth.type",
    "providers.acme.auth.token",
    "providers.acme.auth.file.home",
    "providers.acme.resolve.path",
    "providers.acme.resolve.expires.as",
    "providers.acme.metadata.path",
    "providers.acme.list.path",
    "providers.acme.list.rows",
    "providers.acme.list.id",
    "providers.acme.list.paging.kind",
    "providers.acme.list.paging.at",
    "providers.acme.list.page.rows",
    "providers.acme.lookup.company.name",
    "providers.acme.options.company.field",
];

/// A line of [`WHOLE`] with a key.
struct KeyLine {
    /// The number of the line, from 1.
    number: usize,
    /// The number of the line of the header above.
    header: usize,
    /// The keys of the header above.
    section: &'static str,
    key: &'static str,
    value: &'static str,
}

impl KeyLine {
    fn is_free(&self) -> bool {
        let last = self.section.rsplit('.').next().unwrap();
        FREE_SECTIONS.contains(&last)
    }

    /// The text of [`WHOLE`] with another line in place of this one.
    fn replaced(&self, line: &str) -> String {
        let lines = WHOLE.lines().enumerate();
        let lines = lines.map(|(index, old)| if index + 1 == self.number { line } else { old });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn with_value(&self, value: &str) -> String {
        self.replaced(&format!("{} = {value}", self.key))
    }
}

fn key_lines() -> Vec<KeyLine> {
    let (mut section, mut header) = ("", 0);
    let mut found = Vec::new();
    for (index, line) in WHOLE.lines().enumerate() {
        if line.starts_with('[') {
            (section, header) = (line.trim_matches(['[', ']']), index + 1);
        } else if let Some((key, value)) = line.split_once(" = ") {
            found.push(KeyLine {
                number: index + 1,
                header,
                section,
                key,
                value,
            });
        }
    }
    found
}

/// Runs the table's command with a configuration file of this text.
fn run(world: &World, text: &str, arguments: &[&str]) -> crate::support::Run {
    fs::write(world.home().join("own.toml"), text).unwrap();
    world.run(arguments)
}

fn world() -> World {
    let mut world = World::bare();
    let path = world.home().join("own.toml");
    world.set("DOCFETCH_CONFIG", path.to_str().unwrap());
    world
}

const FETCH: [&str; 3] = ["acme", "project/file", "--dry-run"];

/// Checks that a text is refused at a line. Returns what is wrong instead.
fn refused(world: &World, text: &str, line: usize, says: &[&str]) -> Option<String> {
    let run = run(world, text, &FETCH);
    let place = format!("own.toml, line {line}: ");
    let is_right = run.code == 2
        && run.stderr.contains(&place)
        && says.iter().all(|word| run.stderr.contains(word));
    let broken = text.lines().nth(line - 1).unwrap_or_default();
    let broken: String = broken.chars().take(80).collect();
    (!is_right).then(|| format!("{broken}\n  expected {place}{says:?}\n  {}\n", run.stderr))
}

fn assert_none(wrong: &[String]) {
    assert!(
        wrong.is_empty(),
        "{} cases:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn the_whole_table_is_right() {
    let world = world();
    let run = run(&world, WHOLE, &FETCH);
    run.exits(3).says("ACME_ID");
    assert!(key_lines().len() >= 80, "{}", key_lines().len());
}

#[test]
fn a_misspelt_key_is_named_with_the_nearest_key() {
    let world = world();
    let mut wrong = Vec::new();
    for line in key_lines().iter().filter(|line| !line.is_free()) {
        let (begin, end) = line.key.split_at(line.key.len() / 2);
        let misspelt = format!("{begin}x{end}");
        let text = line.replaced(&format!("{misspelt} = {}", line.value));
        let near = format!("the nearest key is {:?}", line.key);
        wrong.extend(refused(&world, &text, line.number, &[&misspelt, &near]));
    }
    assert_none(&wrong);
}

/// The TOML type of a value that is written on one line.
fn type_of(value: &str) -> char {
    match value.chars().next().unwrap() {
        '"' | '\'' => '"',
        't' | 'f' => 't',
        '0'..='9' => '1',
        other => other,
    }
}

#[test]
fn a_value_of_another_type_is_refused_at_its_line() {
    let world = world();
    let others = [
        "17",
        "-1.5",
        "true",
        "2026-01-01",
        "\"\\u0000\"",
        "[[1]]",
        "{ x = [1] }",
    ];
    let mut wrong = Vec::new();
    let mut cases = 0;
    for line in key_lines().iter().filter(|line| !line.is_free()) {
        for other in others {
            let is_json = line.key == "equals";
            if type_of(other) == type_of(line.value) && !other.contains("\\u") || is_json {
                continue;
            }
            cases += 1;
            let text = line.with_value(other);
            wrong.extend(refused(&world, &text, line.number, &[line.key]));
        }
    }
    assert!(cases > 200, "{cases}");
    assert_none(&wrong);
}

#[test]
fn a_missing_key_is_named_at_the_line_of_its_table() {
    let world = world();
    let lines = key_lines();
    let mut wrong = Vec::new();
    for required in REQUIRED {
        let mut found = lines
            .iter()
            .filter(|line| format!("{}.{}", line.section, line.key) == required);
        let line = found.next().unwrap_or_else(|| panic!("no {required}"));
        let text = line.replaced("");
        let missing = format!("{}\" is missing", line.key);
        wrong.extend(refused(&world, &text, line.header, &[&missing]));
    }
    assert_none(&wrong);
}

#[test]
fn no_hostile_value_ends_docfetch_with_a_panic_or_names_another_line() {
    let world = world();
    let long = format!("\"{}\"", "x".repeat(100_000));
    let deep = format!("{}1{}", "[".repeat(60), "]".repeat(60));
    let hostile = [
        "\"\"",
        "\"a\\r\\nHost: evil\"",
        "\"{\"",
        "\"}\"",
        "\"{nope}\"",
        "\"/../..\"",
        "\"/~2\"",
        "\"/[a=\"",
        "\"https://user:secret@evil.example/?q#f\"",
        "-9223372036854775808",
        "\"list\"",
        "\"\\u202e\\u009b\"",
        &long,
        &deep,
    ];
    let mut wrong = Vec::new();
    let mut refusals = 0;
    let parts = |line: &KeyLine| line.section == "providers.acme" && line.key == "id";
    // Other parts of an id make the templates wrong instead.
    for line in key_lines().into_iter().filter(|line| !parts(line)) {
        for value in hostile {
            let run = run(&world, &line.with_value(value), &FETCH);
            let place = format!("own.toml, line {}: ", line.number);
            let is_right = match run.code {
                2 => run.stderr.contains(&place),
                code => code == 3 && run.stderr.contains("no credentials for"),
            };
            refusals += usize::from(run.code == 2);
            if !is_right || run.stderr.len() > 2000 {
                let value: String = value.chars().take(40).collect();
                wrong.push(format!(
                    "{}.{} = {value}: {}",
                    line.section, line.key, run.stderr
                ));
            }
        }
        // A carriage return, a control character or a broken slot never reaches a request.
        let is_request =
            ["path", "token", "check"].contains(&line.key) || line.section.ends_with("headers");
        for value in ["\"/a\\r\\nb\"", "\"/{\"", "\"/{nope}\""]
            .iter()
            .filter(|_| is_request)
        {
            wrong.extend(refused(&world, &line.with_value(value), line.number, &[]));
        }
    }
    assert!(refusals > 200, "{refusals}");
    assert_none(&wrong);
}

#[test]
fn a_broken_table_is_in_the_way_of_no_other_command() {
    let mut world = world();
    world.set("STANDARD_METRICS_CLIENT_ID", "id");
    world.set("STANDARD_METRICS_CLIENT_SECRET", "secret-of-the-test");
    fs::write(world.home().join("sums"), "").unwrap();
    for (index, line) in key_lines()
        .iter()
        .enumerate()
        .filter(|(index, _)| index % 16 == 0)
    {
        let text = line.with_value("[[1]]");
        run(&world, &text, &FETCH).exits(if line.key == "equals" { 3 } else { 2 });
        for arguments in [
            &["--version"][..],
            &["--help"],
            &["config"],
            &["providers"],
            &["ledger", "list"],
            &["sm", "a", "--dry-run"],
        ] {
            let run = world.run(arguments);
            assert_eq!(run.code, 0, "{index} {arguments:?}: {run:?}");
        }
        let sums = world.home().join("sums");
        let verified = world.run(&["verify", sums.to_str().unwrap()]);
        assert!(
            verified.code == 2 && !verified.stderr.contains("own.toml"),
            "{verified:?}"
        );
    }
}

#[test]
fn a_table_has_the_name_of_no_command_and_no_option() {
    let world = world();
    for name in [
        "list",
        "config",
        "jobs",
        "providers",
        "profiles",
        "docfetch",
        "Acme",
        "9a",
        "a_b",
        "\"\"",
        "\"a b\"",
    ] {
        let text = WHOLE.replace("providers.acme", &format!("providers.{name}"));
        let listed = run(&world, &text, &["providers"]);
        listed.exits(0).says("own.toml, line 1: ");
    }
}

#[test]
fn every_table_of_the_documentation_is_right() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/add-a-provider.md");
    let Ok(page) = fs::read_to_string(page) else {
        return; // a package of the source
    };
    let world = world();
    let blocks = page.split("```toml\n").skip(1);
    let blocks: Vec<&str> = blocks
        .map(|block| block.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() >= 5);
    for block in blocks {
        let records = run(&world, block, &["providers", "--json"])
            .exits(0)
            .records();
        let mut own = records
            .iter()
            .filter(|record| record["source"] == "file")
            .peekable();
        assert!(
            own.peek().is_some() && own.all(|record| record["error"].is_null()),
            "{block}"
        );
    }
}
