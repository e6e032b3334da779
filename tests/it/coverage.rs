//! `tests/faults.md` names tests that exist.

use std::fs;
use std::path::{Path, PathBuf};

/// The rows that the table has.
const ROWS: usize = 111;

/// Where a module's tests are: in `tests/it`, or below `src`.
fn source(path: &[&str]) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let modules = path.join("/");
    let places = ["tests/it/{}.rs", "src/{}.rs", "src/{}/mod.rs"];
    let mut places = places
        .map(|place| root.join(place.replace("{}", &modules)))
        .into_iter();
    places.find(|place| place.exists()).unwrap_or_default()
}

/// Whether a source has a test of this name: attributes, one of them a test's, right above the function.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_named = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ").is_some_and(|rest| {
            rest.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('('))
        })
    };
    lines.iter().enumerate().any(|(at, line)| {
        let above = lines[..at].iter().rev();
        let mut attributes = above.take_while(|line| line.starts_with("#["));
        is_named(line)
            && attributes
                .any(|line| line.starts_with("#[test") || line.starts_with("#[tokio::test"))
    })
}

#[test]
fn every_fault_has_a_row_and_the_tests_that_it_names_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("tests/faults.md")).unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| {
            line.starts_with("| ") && !line.starts_with("| #") && !line.starts_with("| -")
        })
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let mut wrong = Vec::new();
    for (number, row) in (1..).zip(&rows) {
        let [first, scenario, tests] = row[..] else {
            panic!("not three cells: {row:?}");
        };
        assert_eq!(first, number.to_string(), "{row:?}");
        assert!(!scenario.is_empty(), "{row:?}");
        for test in tests.split(", ") {
            let path: Vec<&str> = test.trim_matches('`').split("::").collect();
            let (name, modules) = path.split_last().unwrap();
            let source = fs::read_to_string(source(modules)).unwrap_or_default();
            if !has_test(&source, name) {
                wrong.push(format!("{number}: {test}"));
            }
        }
    }
    assert_eq!(rows.len(), ROWS);
    assert!(wrong.is_empty(), "no such tests: {wrong:#?}");
}

#[test]
fn a_test_is_a_function_with_its_attribute() {
    let source = "#[test]\nfn one() {}\n#[tokio::test]\n#[cfg(unix)]\nasync fn two() {\n}\nfn three() {}\n// #[test]\nfn four() {}\n";
    for (name, is_there) in [
        ("one", true),
        ("two", true),
        ("three", false),
        ("four", false),
        ("on", false),
        ("", false),
    ] {
        assert_eq!(has_test(source, name), is_there, "{name}");
    }
}
