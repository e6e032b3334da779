//! An option that the command does not have: which option the user may mean, and where it stands.

use super::clap_error::{CommandPath, listed, suggested, text_of, usage_or_help};
use crate::cli::command_line::without_variables;
use crate::error::{Code, Error};
use crate::provider::{self, Provider};
use clap::error::ContextKind;
use std::ffi::OsString;

/// `--dryrun`, `-x`. The hint never turns the option into the value of something else.
pub(super) fn unknown_option(
    error: &clap::Error,
    command: &CommandPath,
    arguments: &[OsString],
) -> Error {
    let given = text_of(error, ContextKind::InvalidArg).unwrap_or_default();
    let name = command.names.join(" ");
    if !given.starts_with('-') {
        let wrong = Error::new(Code::Usage, format!("unexpected argument '{given}'"));
        return wrong.with_hint(match option_with_value(&command.command, &given) {
            Some(option) => format!("a similar option is '{option}'"),
            None => usage_or_help(error, command),
        });
    }
    if given[1..].starts_with(|c: char| c.is_ascii_digit()) {
        // clap shows only the first two characters.
        let texts = arguments.iter().filter_map(|argument| argument.to_str());
        let whole = texts.clone().find(|text| text.starts_with(&given));
        let whole = whole.unwrap_or(&given);
        return Error::new(Code::Usage, format!("unexpected argument '{whole}'"))
            .with_cause("no option begins with a digit, and no value is negative")
            .with_hint(command.see_help());
    }
    let wrong = Error::new(Code::Usage, format!("{name} has no option '{given}'"));
    let similar = suggested(error, ContextKind::SuggestedArg);
    if let Some(similar) = similar.filter(|similar| !is_opposite(&given, similar)) {
        return wrong.with_hint(format!("a similar option is '{similar}'"));
    }
    let arg_of = |command: &clap::Command| {
        let mut all = command.get_arguments();
        all.find(|arg| is_named(arg, &given)).cloned()
    };
    let mut root = without_variables(arguments);
    root.build();
    let others = root
        .get_subcommands()
        .filter(|other| arg_of(other).is_some());
    let others: Vec<&str> = others.map(clap::Command::get_name).collect();
    if command.names.len() == 1 {
        let mut given_names = arguments
            .iter()
            .skip(1)
            .filter_map(|argument| argument.to_str());
        let meant = given_names
            .find(|name| others.contains(name))
            .or(others.first().copied());
        let found = meant.and_then(|name| Some((name, arg_of(root.find_subcommand(name)?)?)));
        if let Some((name, arg)) = found {
            let value = value_of(&arg);
            let hint = format!("options stand after the command: docfetch {name} {given}{value}");
            return wrong.with_hint(hint);
        }
    }
    if let Some(option) = option_with_value(&command.command, given.trim_start_matches('-')) {
        return wrong.with_hint(format!("a similar option is '{option}'"));
    }
    match others.as_slice() {
        [] => wrong.with_hint(command.see_help()),
        others => wrong
            .with_cause(format!("it is an option of {}", listed(others, "and")))
            .with_hint(command.see_help()),
    }
}

/// Whether an argument is the option `given`, such as `--json` or `-j`.
fn is_named(arg: &clap::Arg, given: &str) -> bool {
    match given.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg
            .get_short()
            .is_some_and(|short| given == format!("-{short}")),
    }
}

/// What stands behind an option with a value, for hints: ` FILE`.
fn value_of(arg: &clap::Arg) -> String {
    let has_value = arg.get_action().takes_values()
        && arg
            .get_num_args()
            .is_none_or(|number| number.min_values() > 0);
    let names = arg.get_value_names().filter(|_| has_value);
    names
        .and_then(|names| names.first())
        .map_or_else(String::new, |name| format!(" {name}"))
}

/// The option of which `value` is one of a few values, with this value: `--if-exists overwrite`.
fn option_with_value(command: &clap::Command, value: &str) -> Option<String> {
    let has = |arg: &&clap::Arg| {
        let values = arg.get_possible_values();
        values.iter().any(|known| known.get_name() == value)
    };
    let shown = || command.get_arguments().filter(|arg| !arg.is_hide_set());
    let is_kind = |known: &Provider| known.table.kind.as_deref() == Some(value);
    let is_of_kinds = |arg: &&clap::Arg| arg.get_long() == Some("resource");
    let arg = match shown().find(has) {
        None if provider::all().iter().any(is_kind) => shown().find(is_of_kinds)?,
        found => found?,
    };
    Some(format!("--{} {value}", arg.get_long()?))
}

/// Whether one option is the negation of the other: `--resume` and `--no-resume`.
fn is_opposite(one: &str, other: &str) -> bool {
    one.starts_with("--no-") != other.starts_with("--no-")
}
