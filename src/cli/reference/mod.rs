//! Writes `docs/reference.md` from the code: the options from clap's definitions, the codes, variables and records
//! from the doc comments of their definitions.
//!
//! The test fails when the page is stale, and writes the page when `DOCFETCH_UPDATE_REFERENCE=1` is set.

mod examples;
mod options;
mod records;
mod source;

use super::command_line::without_variables;
use crate::error::{Code, Error};
use clap::Command;
use source::Item;
use std::fs;
use std::path::Path;

/// Set to `1`: the test writes the page instead of comparing it.
const UPDATE: &str = "DOCFETCH_UPDATE_REFERENCE";

/// All error codes, in the order of their definition.
const CODES: [Code; 34] = [
    Code::Unexpected,
    Code::Usage,
    Code::Config,
    Code::CredentialsMissing,
    Code::CredentialsRejected,
    Code::PaymentRequired,
    Code::Forbidden,
    Code::NotFound,
    Code::RequestRefused,
    Code::StorageDenied,
    Code::Network,
    Code::Stalled,
    Code::RateLimited,
    Code::NotReady,
    Code::ProviderError,
    Code::StorageError,
    Code::Protocol,
    Code::UrlExpired,
    Code::ClockSkew,
    Code::LengthMismatch,
    Code::DigestMismatch,
    Code::DocumentChanged,
    Code::TargetExists,
    Code::LocalIo,
    Code::DiskFull,
    Code::Busy,
    Code::ChargeUnknown,
    Code::ChargeRefused,
    Code::InsecureUrl,
    Code::Certificate,
    Code::UnsafeRedirect,
    Code::PrivateAddress,
    Code::UnsafePartial,
    Code::Interrupted,
];

const VARIABLES: &str = include_str!("../../config/variables.rs");
const ERROR: &str = include_str!("../../error/code.rs");

const INTRODUCTION: &str = "\
# Reference

This page lists every command, option, environment variable, exit code, error code and record of docfetch. A test writes
this page from the source.

- [Commands and options](#commands-and-options)
- [Environment variables](#environment-variables)
- [Exit codes](#exit-codes)
- [Error codes](#error-codes)
- [Records](#records)

";

/// The whole page.
fn page() -> String {
    let mut root = without_variables(&[]);
    root.build();
    let mut page = INTRODUCTION.to_owned();
    page += &options::section(&root);
    page += &variables();
    page += &exit_codes(&root);
    page += &error_codes();
    page += &records::section();
    page
}

/// Text in the font of code.
fn code(text: &str) -> String {
    format!("`{text}`")
}

/// The variables that are no options.
fn variables() -> String {
    let mut section = "\
## Environment variables

| variable | meaning |
| --- | --- |
"
    .to_owned();
    for item in source::items(VARIABLES, "") {
        let names: Vec<String> = item.code.split('"').skip(1).step_by(2).map(code).collect();
        let is_name = |name: &String| !name.ends_with("_`") && !name.starts_with("`_");
        if item.code.starts_with("const ") && names.iter().all(is_name) {
            section += &format!("| {} | {} |\n", names.join(", "), item.doc);
        }
    }
    section += "\
| `NO_COLOR`, `CLICOLOR_FORCE` | No colours, or colours also without a terminal, for `--color auto`. |
";
    section += "
The tables of commands show the variable of each option. A credential variable with `_FILE` at the end of its name, such as
`ONE_CODEX_API_KEY_FILE`, names a file that holds the value.

";
    section
}

/// The exit codes, as `docfetch --help` explains them, with their error codes.
fn exit_codes(root: &Command) -> String {
    let help = root
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut section = "\
## Exit codes

| exit | when | error codes |
| --- | --- | --- |
"
    .to_owned();
    let lines = help.lines().map(str::trim);
    for line in lines.filter(|line| line.starts_with(|c: char| c.is_ascii_digit())) {
        let (exit, meaning) = line.split_once("  ").unwrap_or((line, ""));
        let exits: Vec<u8> = exit.split(", ").flat_map(str::parse).collect();
        let codes: Vec<String> = CODES
            .iter()
            .filter(|code| exits.contains(&code.exit_code()))
            .map(|code| format!("[`{0}`](#{0})", code.as_str()))
            .collect();
        section += &format!("| {exit} | {} | {} |\n", meaning.trim(), codes.join(" "));
    }
    section + "\nA run whose failures share an exit code exits with that code.\n\n"
}

/// Each error code with its meaning, its exit code, and what the user can do.
fn error_codes() -> String {
    let mut section = "\
## Error codes

JSON records have these codes as `error.code`. `retryable` says whether the same command may succeed when it runs again,
without any other change. A failure often has a hint of its own instead of the usual hint.

"
    .to_owned();
    let variants: Vec<Item> = source::items(ERROR, "pub enum Code");
    let names: Vec<&str> = variants
        .iter()
        .map(|item| item.code.trim_end_matches(','))
        .collect();
    let known: Vec<String> = CODES.iter().map(|code| format!("{code:?}")).collect();
    assert_eq!(names, known, "CODES is not the list of all codes");
    for (code, item) in CODES.into_iter().zip(&variants) {
        let error = Error::new(code, "");
        section += &format!(
            "### {}

{}

- `retryable` in records: {}
- usual hint: {}

",
            code.as_str(),
            item.doc,
            error.retryable(),
            error.hint()
        );
    }
    section
}

#[test]
fn the_reference_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md");
    let is_package = !path.parent().is_some_and(Path::exists);
    if is_package {
        return; // a package of the source has no documentation
    }
    let expected = page();
    if std::env::var_os(UPDATE).is_some_and(|value| value == "1") {
        fs::write(&path, expected).unwrap();
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let stale = found
        .lines()
        .zip(expected.lines())
        .find(|(old, new)| old != new);
    assert!(
        found == expected,
        "docs/reference.md is stale, first at {stale:?}: run {UPDATE}=1 cargo test --lib cli::reference"
    );
}
