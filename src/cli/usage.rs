//! What clap says about wrong usage, as an error with cause and hint.

mod clap_error;
mod unknown_option;

use self::clap_error::{CommandPath, listed, source, suggested, text_of, texts_of, usage_or_help};
use self::unknown_option::unknown_option;
use super::command_line::without_variables;
use super::option_sources::{has_variable, variable};
use crate::config::variables;
use crate::error::{Code, Error};
use crate::provider;
use crate::similar::MAX_TYPOS;
use clap::builder::ValueParser;
use clap::error::{ContextKind, ErrorKind};
use std::ffi::OsString;

/// The error for what clap says about `arguments`: what is wrong, what docfetch expects, and what to do next.
pub(super) fn wrong_usage(error: &clap::Error, arguments: &[OsString]) -> Error {
    let command = CommandPath::of(arguments);
    match error.kind() {
        ErrorKind::InvalidSubcommand => unknown_command(error, &command),
        ErrorKind::UnknownArgument => unknown_option(error, &command, arguments),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            wrong_value(error, &command, arguments)
        }
        ErrorKind::InvalidUtf8 => not_utf8(&command, arguments),
        ErrorKind::MissingRequiredArgument => missing_argument(error, &command),
        _ => other(error, &command),
    }
}

/// `'standard-metrics'`, `'frobnicate'`
fn unknown_command(error: &clap::Error, command: &CommandPath) -> Error {
    let name = text_of(error, ContextKind::InvalidSubcommand).unwrap_or_default();
    if command.names.len() == 1
        && let Some(error) = provider::table_error(&name)
    {
        return error; // a table whose name cannot be used is no subcommand
    }
    let names = command
        .command
        .get_subcommands()
        .map(clap::Command::get_name);
    let is_provider = |name: &&str| provider::names().contains(name);
    let (providers, commands): (Vec<&str>, Vec<&str>) = names.partition(is_provider);
    let commands = listed(&commands, "and");
    let why = if commands.is_empty() {
        "there are no commands below this one".to_owned()
    } else if providers.is_empty() {
        format!("the commands are {commands}")
    } else {
        let providers = listed(&providers, "and");
        format!("the providers are {providers}; the other commands are {commands}")
    };
    let wrong =
        Error::new(Code::Usage, format!("docfetch has no command '{name}'")).with_cause(why);
    match (
        provider_meant(&name),
        suggested(error, ContextKind::SuggestedSubcommand),
    ) {
        (Some(meant), _) if !providers.is_empty() => wrong.with_hint(meant),
        (_, Some(similar)) => wrong.with_hint(format!("a similar command is '{similar}'")),
        (_, None) if command.names.len() == 1 && name == "version" => {
            wrong.with_hint("a similar option is '--version'")
        }
        (_, None) => wrong.with_hint(command.see_help()),
    }
}

/// The provider that another spelling of its name means, as a hint: `standard-metrics`, `OneCodex`, `codex`.
fn provider_meant(name: &str) -> Option<String> {
    let letters = |text: &str| {
        let kept = text.chars().filter(|c| c.is_alphanumeric());
        kept.collect::<String>().to_lowercase()
    };
    let given = letters(name);
    provider::all().iter().find_map(|provider| {
        let mut words = provider.table.title.split(' ').map(letters);
        let is_meant = given == letters(&provider.table.title)
            || given == letters(&provider.table.name)
            || words.any(|word| word == given);
        is_meant.then(|| format!("use '{}' for {}", provider.table.name, provider.table.title))
    })
}

/// The error of a name that is no provider's, where clap does not know that the argument is a provider.
pub(super) fn unknown_provider(name: &str) -> Error {
    if let Some(error) = provider::table_error(name) {
        return error;
    }
    let names = provider::names();
    let similar = |known: &&&str| strsim::damerau_levenshtein(name, known) <= MAX_TYPOS;
    let hint = provider_meant(name).or_else(|| {
        let similar = names.iter().find(similar)?;
        Some(format!("a similar name is '{similar}'"))
    });
    Error::new(Code::Usage, format!("there is no provider '{name}'"))
        .with_cause(format!("{} is expected", listed(&names, "or")))
        .with_hint(hint.unwrap_or_else(|| "see docfetch --help".to_owned()))
}

/// `<ID>...` of `docfetch sm`.
fn missing_argument(error: &clap::Error, command: &CommandPath) -> Error {
    let name = command.names.join(" ");
    let missing = texts_of(error, ContextKind::InvalidArg);
    let what = format!("{name} needs {}", listed(&missing, "and"));
    Error::new(Code::Usage, what).with_hint(usage_or_help(error, command))
}

/// A value that docfetch cannot use, from the command line or from a variable.
fn wrong_value(error: &clap::Error, command: &CommandPath, arguments: &[OsString]) -> Error {
    let argument = text_of(error, ContextKind::InvalidArg).unwrap_or_default();
    let value = text_of(error, ContextKind::InvalidValue).unwrap_or_default();
    if value.is_empty() && error.kind() == ErrorKind::InvalidValue {
        let what = format!("'{argument}' has no value");
        return Error::new(Code::Usage, what).with_hint(command.see_help());
    }
    if argument == "<PROVIDER>"
        && let Some(error) = provider::table_error(&value)
    {
        return error;
    }
    let expected = expectation(error);
    let (place, hint) = match variable_of(&argument, error, arguments) {
        Some(variable) => {
            let hint = format!("correct or unset {variable}");
            (format!("{variable}, the variable of '{argument}'"), hint)
        }
        None => (format!("'{argument}'"), command.see_help()),
    };
    let wrong = Error::new(Code::Usage, format!("invalid value '{value}' for {place}"));
    let wrong = wrong.with_cause(expected);
    match (
        provider_meant(&value),
        suggested(error, ContextKind::SuggestedValue),
    ) {
        (Some(meant), _) if argument == "<PROVIDER>" => wrong.with_hint(meant),
        (_, Some(similar)) => wrong.with_hint(format!("a similar value is '{similar}'")),
        (_, None) => wrong.with_hint(hint),
    }
}

/// What docfetch expects in place of a value that clap refused.
pub(super) fn expectation(error: &clap::Error) -> String {
    let valid = texts_of(error, ContextKind::ValidValue);
    match source(error) {
        Some(source) => source.to_string(),
        None if valid.is_empty() => "a value is expected".to_owned(),
        None => format!("{} is expected", listed(&valid, "or")),
    }
}

/// A value that is not UTF-8, and is not a path.
fn not_utf8(command: &CommandPath, arguments: &[OsString]) -> Error {
    let parsed = without_variables(arguments).try_get_matches_from(arguments);
    if parsed.is_err_and(|error| error.kind() == ErrorKind::InvalidUtf8) {
        let argument = arguments
            .iter()
            .find(|argument| argument.to_str().is_none());
        let what = match argument {
            Some(argument) => {
                let shown = argument.to_string_lossy();
                format!("the argument {:?} is not UTF-8", shown.as_ref())
            }
            None => "an argument is not UTF-8".to_owned(),
        };
        return Error::new(Code::Usage, what).with_hint(command.see_help());
    }
    let is_text = |arg: &&clap::Arg| {
        arg.get_value_parser().type_id() != ValueParser::path_buf().type_id() && has_variable(arg)
    };
    let options = command.command.get_arguments().filter(is_text);
    let mut names = options.filter_map(|arg| arg.get_long().map(variable));
    let wrong =
        names.find(|name| std::env::var_os(name).is_some_and(|value| value.to_str().is_none()));
    variables::not_utf8(wrong.as_deref().unwrap_or("a DOCFETCH_ variable"))
}

/// The variable that the wrong value of `argument` comes from: without variables, clap does not find it.
fn variable_of(argument: &str, error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let long = argument.strip_prefix("--")?.split(' ').next()?;
    let parsed = without_variables(arguments).try_get_matches_from(arguments);
    let is_same = parsed.is_err_and(|other| {
        let same = |kind| other.get(kind) == error.get(kind);
        same(ContextKind::InvalidArg) && same(ContextKind::InvalidValue)
    });
    (!is_same).then(|| variable(long))
}

/// A missing argument, an option that is given twice and the like, in clap's own words.
fn other(error: &clap::Error, command: &CommandPath) -> Error {
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let what = lines.next().unwrap_or("wrong usage");
    let what = what.trim_start_matches("error: ").trim_end_matches(':');
    let ends_list = |line: &&str| {
        let ends = ["tip: ", "Usage: ", "For more"];
        ends.iter().any(|start| line.starts_with(start))
    };
    let listed: Vec<&str> = lines.take_while(|line| !ends_list(line)).collect();
    let wrong = Error::new(Code::Usage, what).with_hint(usage_or_help(error, command));
    if listed.is_empty() {
        wrong
    } else {
        wrong.with_cause(listed.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_of_a_provider_mean_it() {
        for (name, meant) in [
            ("standard-metrics", "sm"),
            ("StandardMetrics", "sm"),
            ("metrics", "sm"),
            ("SM", "sm"),
            ("one_codex", "onecodex"),
            ("codex", "onecodex"),
        ] {
            let hint = provider_meant(name).unwrap_or_default();
            assert!(
                hint.starts_with(&format!("use '{meant}' for ")),
                "{name}: {hint}"
            );
        }
        assert_eq!(provider_meant("list"), None);
        assert_eq!(provider_meant(""), None);
    }
}
