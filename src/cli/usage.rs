//! What clap says about wrong usage, as an error with cause and hint.

use super::choices::ProviderArg;
use super::command_line::{has_variable, variable, without_variables};
use super::values::InvalidId;
use crate::config::variables;
use crate::error::{Code, Error};
use crate::provider::{self, Resource};
use clap::ValueEnum as _;
use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;

/// A suggestion differs from the user's text in at most this many letters that were left out, added, replaced
/// or exchanged with a neighbour.
pub(super) const MAX_TYPOS: usize = 2;

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

/// The command that `arguments` name.
struct CommandPath {
    names: Vec<String>,
    command: clap::Command,
}

impl CommandPath {
    fn of(arguments: &[OsString]) -> Self {
        let mut command = without_variables();
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
    fn see_help(&self) -> String {
        format!("see {} --help", self.names.join(" "))
    }
}

/// `'standard-metrics'`, `'frobnicate'`
fn unknown_command(error: &clap::Error, command: &CommandPath) -> Error {
    let name = text_of(error, ContextKind::InvalidSubcommand).unwrap_or_default();
    let names = command
        .command
        .get_subcommands()
        .map(clap::Command::get_name);
    let is_provider = |name: &&str| ProviderArg::from_str(name, false).is_ok();
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
    ProviderArg::value_variants().iter().find_map(|known| {
        let provider = known.provider(Resource::default());
        let mut words = provider.title.split(' ').map(letters);
        let is_meant = given == letters(provider.title)
            || given == letters(provider.name)
            || words.any(|word| word == given);
        is_meant.then(|| format!("use '{}' for {}", provider.name, provider.title))
    })
}

/// The error of a name that is no provider's, where clap does not know that the argument is a provider.
pub(super) fn unknown_provider(name: &str) -> Error {
    let known = provider::all();
    let mut names: Vec<&str> = known.iter().map(|provider| provider.name).collect();
    names.dedup();
    let similar = |known: &&&str| strsim::damerau_levenshtein(name, known) <= MAX_TYPOS;
    let hint = provider_meant(name).or_else(|| {
        let similar = names.iter().find(similar)?;
        Some(format!("a similar name is '{similar}'"))
    });
    Error::new(Code::Usage, format!("there is no provider '{name}'"))
        .with_cause(format!("{} is expected", listed(&names, "or")))
        .with_hint(hint.unwrap_or_else(|| "see docfetch --help".to_owned()))
}

/// `--dryrun`, `-x`. The hint never turns the option into the value of something else.
fn unknown_option(error: &clap::Error, command: &CommandPath, arguments: &[OsString]) -> Error {
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
    let root = without_variables();
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
    let arg = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set())
        .find(has)?;
    Some(format!("--{} {value}", arg.get_long()?))
}

/// `<ID>...` of `docfetch sm`.
fn missing_argument(error: &clap::Error, command: &CommandPath) -> Error {
    let name = command.names.join(" ");
    let missing = texts_of(error, ContextKind::InvalidArg);
    let what = format!("{name} needs {}", listed(&missing, "and"));
    Error::new(Code::Usage, what).with_hint(usage_or_help(error, command))
}

/// Whether one option is the negation of the other: `--resume` and `--no-resume`.
fn is_opposite(one: &str, other: &str) -> bool {
    one.starts_with("--no-") != other.starts_with("--no-")
}

/// A value that docfetch cannot use, from the command line or from a variable.
fn wrong_value(error: &clap::Error, command: &CommandPath, arguments: &[OsString]) -> Error {
    if let Some(invalid) = source(error).and_then(|source| source.downcast_ref::<InvalidId>()) {
        let is_provider = |name: &&str| ProviderArg::from_str(name, false).is_ok();
        let mut names = arguments.iter().filter_map(|argument| argument.to_str());
        return wrong_id(invalid, names.find(is_provider));
    }
    let argument = text_of(error, ContextKind::InvalidArg).unwrap_or_default();
    let value = text_of(error, ContextKind::InvalidValue).unwrap_or_default();
    if value.is_empty() && error.kind() == ErrorKind::InvalidValue {
        let what = format!("'{argument}' has no value");
        return Error::new(Code::Usage, what).with_hint(command.see_help());
    }
    let valid = texts_of(error, ContextKind::ValidValue);
    let expected = match source(error) {
        Some(source) => source.to_string(),
        None => format!("{} is expected", listed(&valid, "or")),
    };
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

/// Text that is no id of the provider named `name`, or of any provider where no name is given.
pub(super) fn wrong_id(invalid: &InvalidId, name: Option<&str>) -> Error {
    let mut providers = provider::all();
    let hint = provider::hint_for_address(&invalid.text, &providers, name, None);
    providers.retain(|known| name.is_none_or(|name| known.name == name));
    let mut kinds: Vec<String> = Vec::new();
    for provider in &providers {
        let kind = format!("{} id", provider.thing());
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    let kinds = listed(&kinds, "or");
    // docfetch never shows a URL that the user gives by mistake.
    let shown = if invalid.text.contains("://") {
        "a URL".to_owned()
    } else {
        format!("{:?}", invalid.text)
    };
    let list = format!("docfetch list {}", name.unwrap_or("PROVIDER"));
    Error::new(Code::Usage, format!("{shown} is not a {kinds}"))
        .with_cause(invalid.rule.to_string())
        .with_hint(hint.unwrap_or_else(|| format!("`{list}` shows the ids of this account")))
}

/// A value that is not UTF-8, and is not a path.
fn not_utf8(command: &CommandPath, arguments: &[OsString]) -> Error {
    let parsed = without_variables().try_get_matches_from(arguments);
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
    let parsed = without_variables().try_get_matches_from(arguments);
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

fn usage_or_help(error: &clap::Error, command: &CommandPath) -> String {
    let text = error.render().to_string();
    let usage = text.lines().find_map(|line| line.strip_prefix("Usage: "));
    let see_help = command.see_help();
    usage.map_or_else(|| see_help.clone(), |usage| format!("{usage}; {see_help}"))
}

fn source(error: &clap::Error) -> Option<&(dyn std::error::Error + 'static)> {
    std::error::Error::source(error)
}

fn text_of(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn texts_of(error: &clap::Error, kind: ContextKind) -> Vec<&str> {
    match error.get(kind) {
        Some(ContextValue::Strings(texts)) => texts.iter().map(String::as_str).collect(),
        Some(ContextValue::String(text)) => vec![text],
        _ => Vec::new(),
    }
}

/// The most similar text that clap suggests, unless the two differ in more than [`MAX_TYPOS`] letters.
fn suggested(error: &clap::Error, kind: ContextKind) -> Option<String> {
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
fn listed(words: &[&str], joining: &str) -> String {
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

    #[test]
    fn words_are_listed_as_in_a_sentence() {
        assert_eq!(listed(&["a"], "or"), "a");
        assert_eq!(listed(&["a", "b", "c"], "or"), "a, b or c");
    }
}
