//! The parts of an error of clap, and the command that the error is about.

use crate::cli::command_line::without_variables;
use crate::similar::MAX_TYPOS;
use clap::error::{ContextKind, ContextValue};
use std::ffi::OsString;

/// The command that `arguments` name.
pub(super) struct CommandPath {
    /// `docfetch`, and the names of the commands below it.
    pub(super) names: Vec<String>,
    /// The innermost command.
    pub(super) command: clap::Command,
}

impl CommandPath {
    /// The first of `arguments` is the name of the program. An option ends the path.
    pub(super) fn of(arguments: &[OsString]) -> Self {
        let mut command = without_variables(arguments);
        command.build();
        let mut names = vec!["docfetch".to_owned()];
        for argument in arguments.iter().skip(1) {
            let Some(found) = argument
                .to_str()
                .and_then(|name| command.find_subcommand(name))
            else {
                break;
            };
            names.push(found.get_name().to_owned());
            command = found.clone();
        }
        Self { names, command }
    }

    /// The help command that the hint names.
    pub(super) fn see_help(&self) -> String {
        format!("see {} --help", self.names.join(" "))
    }
}

/// The usage that clap prints with the error, if any, and the help command.
pub(super) fn usage_or_help(error: &clap::Error, command: &CommandPath) -> String {
    let text = error.render().to_string();
    let usage = text.lines().find_map(|line| line.strip_prefix("Usage: "));
    let see_help = command.see_help();
    usage.map_or_else(|| see_help.clone(), |usage| format!("{usage}; {see_help}"))
}

/// What a value parser of docfetch said.
pub(super) fn source(error: &clap::Error) -> Option<&(dyn std::error::Error + 'static)> {
    std::error::Error::source(error)
}

/// The text that clap keeps under `kind`.
pub(super) fn text_of(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// The texts that clap keeps under `kind`.
pub(super) fn texts_of(error: &clap::Error, kind: ContextKind) -> Vec<&str> {
    match error.get(kind) {
        Some(ContextValue::Strings(texts)) => texts.iter().map(String::as_str).collect(),
        Some(ContextValue::String(text)) => vec![text],
        _ => Vec::new(),
    }
}

/// The most similar text that clap suggests, unless the two differ in more than [`MAX_TYPOS`] letters.
pub(super) fn suggested(error: &clap::Error, kind: ContextKind) -> Option<String> {
    let given = match kind {
        ContextKind::SuggestedArg => text_of(error, ContextKind::InvalidArg),
        ContextKind::SuggestedSubcommand => text_of(error, ContextKind::InvalidSubcommand),
        _ => text_of(error, ContextKind::InvalidValue),
    };
    let given = given.unwrap_or_default();
    let similar = texts_of(error, kind).last().map(|&text| text.to_owned());
    similar.filter(|similar| {
        similar.starts_with(&given) || strsim::damerau_levenshtein(&given, similar) <= MAX_TYPOS
    })
}

/// `a, b and c`
pub(super) fn listed(words: &[&str], joining: &str) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [all @ .., last] => format!("{} {joining} {last}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_listed_as_in_a_sentence() {
        assert_eq!(listed(&["a"], "or"), "a");
        assert_eq!(listed(&["a", "b", "c"], "or"), "a, b or c");
    }
}
