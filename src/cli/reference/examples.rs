//! Every command line of the documentation is one that docfetch understands.

use crate::cli::command_line::{CommandLine, without_variables};
use crate::config::file_settings::FileSettings;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// What stands in the documentation for a value of the reader.
const PLACEHOLDERS: [(&str, &str); 2] = [("$id", "ID"), ("$DOCUMENT", "ID")];

/// The words of the docfetch commands of a line: up to a comment, a redirection or the next command.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word = String::new();
    let mut quote = None;
    for c in line.chars().chain([' ']) {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            ('|' | ';' | '&' | '<' | '>' | ')' | '#', None) if word.is_empty() || c == ')' => {
                finish(&mut commands, &mut word);
                commands.push(Vec::new());
            }
            (c, None) if c.is_whitespace() => finish(&mut commands, &mut word),
            (c, _) => word.push(c),
        }
    }
    commands.retain(|words| words.first().is_some_and(|first| first == "docfetch"));
    commands
}

/// Adds a finished word to the last command.
fn finish(commands: &mut [Vec<String>], word: &mut String) {
    let word = std::mem::take(word);
    if let Some(last) = commands.last_mut()
        && !word.is_empty()
    {
        let known = PLACEHOLDERS
            .iter()
            .find(|(placeholder, _)| *placeholder == word);
        last.push(known.map_or(word, |(_, value)| (*value).to_owned()));
    }
}

#[test]
fn every_command_line_of_the_documentation_is_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    for entry in fs::read_dir(root.join("docs")).into_iter().flatten() {
        pages.push(entry.unwrap().path());
    }
    let mut understood = 0;
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    for page in pages.iter().filter(|page| !page.ends_with("reference.md")) {
        let text = fs::read_to_string(page).unwrap();
        for block in text.split("```sh\n").skip(1) {
            let block = block.split("```").next().unwrap_or_default();
            let inside = block.replace("$(docfetch", "; docfetch");
            for words in inside.lines().flat_map(commands) {
                let shown = words.join(" ");
                if shown.ends_with("--version") {
                    continue;
                }
                let words: Vec<OsString> = words.iter().map(Into::into).collect();
                let read =
                    CommandLine::parse(without_variables(&words), &words, &FileSettings::default());
                let page = page.display();
                assert!(read.is_ok(), "{page}: {shown}: {:?}", read.err());
                understood += 1;
            }
        }
    }
    assert!(
        understood > 0 || pages.len() < 2,
        "no command line was found"
    );
}

#[test]
fn a_line_has_its_commands() {
    let words = |line| {
        commands(line)
            .iter()
            .map(|words| words.join(" "))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        words("docfetch list sm --ids | docfetch sm -  # all"),
        ["docfetch list sm --ids", "docfetch sm -"]
    );
    assert_eq!(
        words("docfetch sm a --name '{id} {name}' >sums"),
        ["docfetch sm a --name {id} {name}"]
    );
    assert_eq!(words("cargo install docfetch"), Vec::<String>::new());
}
