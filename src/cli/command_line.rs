//! The command line together with the `DOCFETCH_` variables: what the user asks docfetch to do.

use super::args::{Cli, Command, LedgerCommand};
use super::options::{ResourceArgs, VerbosityArgs};
use super::values::{self, TemplateUse};
use crate::config::variables::OPTION_PREFIX;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};
use std::ffi::OsString;

/// The options of One Codex. `sm` hides them: Standard Metrics has one kind of documents and does not
/// charge.
const ONE_CODEX_OPTIONS: [&str; 3] = ["resource", "allow_recharge", "max_charges"];

/// What the user asks for.
#[derive(Debug)]
pub(super) struct CommandLine {
    /// The command with its arguments.
    pub command: Command,
    /// The variables that set an option, and what they do not set.
    pub variables: Variables,
}

/// The `DOCFETCH_` variables of a run.
#[derive(Debug, Default)]
pub(super) struct Variables {
    /// The long options whose values come from their variables.
    pub used: Vec<String>,
    /// Why docfetch ignores a variable.
    pub ignored: Option<String>,
}

impl CommandLine {
    /// Parses `arguments`, the first of which is the name of the program.
    ///
    /// # Errors
    /// Help, version and wrong usage, as clap describes them.
    pub(super) fn parse(arguments: &[OsString]) -> Result<Self, clap::Error> {
        if let Some(error) = single_dash(arguments) {
            return Err(error);
        }
        let matches = match command().try_get_matches_from(arguments) {
            Err(error) if is_help_of_help(&error) => {
                command().try_get_matches_from(without_help_option(arguments))
            }
            parsed => parsed,
        }?;
        let mut command = Cli::from_arg_matches(&matches)?.command;
        let mut innermost = &matches;
        while let Some((_, matches)) = innermost.subcommand() {
            innermost = matches;
        }
        let is_flag = |id| innermost.value_source(id) == Some(ValueSource::CommandLine);
        if let Some(verbosity) = command.verbosity() {
            // A flag wins over the other one's variable; else quiet wins.
            verbosity.quiet &= !verbosity.verbose || is_flag("quiet") || !is_flag("verbose");
            verbosity.verbose &= !verbosity.quiet;
        }
        if let Some(resource) = command.resource() {
            resource.is_flag = is_flag("resource");
        }
        if let Command::Sm(fetch) | Command::Onecodex(fetch) = &mut command {
            fetch.is_name_flag = is_flag("name");
        }
        Ok(Self {
            variables: Variables::of(&command, innermost),
            command,
        })
    }
}

impl Variables {
    fn of(command: &Command, matches: &ArgMatches) -> Self {
        let is_from_variable =
            |id: &&str| matches.value_source(id) == Some(ValueSource::EnvVariable);
        let used = matches.ids().map(clap::Id::as_str).filter(is_from_variable);
        let is_fetch = matches!(command, Command::Sm(_) | Command::Onecodex(_));
        let is_default =
            || is_fetch && matches.value_source("name") == Some(ValueSource::DefaultValue);
        Self {
            used: used.map(|id| id.replace('_', "-")).collect(),
            ignored: is_for_sync_only(&variable("name")).filter(|_| is_default()),
        }
    }

    /// The variable that sets the long option named in `text`, if one does.
    pub(super) fn named_in(&self, text: &str) -> Option<String> {
        let is_named = |long: &&String| {
            let option = format!("--{long}");
            let mut ends = text.split(&option).skip(1);
            ends.any(|rest| !rest.starts_with(|c: char| c == '-' || c.is_alphanumeric()))
        };
        self.used.iter().find(is_named).map(|long| variable(long))
    }
}

/// All commands and options. An option takes the value of its variable, where the variable is set and not empty.
pub(super) fn command() -> clap::Command {
    without_variables().mut_subcommands(|subcommand| {
        if subcommand.get_name() == "sandbox" {
            return subcommand;
        }
        with_variables(subcommand).mut_subcommands(with_variables)
    })
}

/// All commands and options, as the command line alone sets them.
pub(super) fn without_variables() -> clap::Command {
    Cli::command().mut_subcommands(|subcommand| {
        let is_hidden = subcommand.get_name() == "sm";
        subcommand.mut_args(|arg| {
            let is_of_one_codex = ONE_CODEX_OPTIONS.contains(&arg.get_id().as_str());
            if is_hidden && is_of_one_codex {
                arg.hide(true)
            } else {
                arg
            }
        })
    })
}

fn with_variables(command: clap::Command) -> clap::Command {
    let is_fetch = matches!(command.get_name(), "sm" | "onecodex");
    command.mut_args(|arg| match arg.get_long().map(variable) {
        Some(name) if has_variable(&arg) && is_set(&name) => {
            if is_fetch && arg.get_id() == "name" && is_for_sync_only(&name).is_some() {
                return arg;
            }
            arg.env(name).hide_env_values(true)
        }
        _ => arg,
    })
}

/// Whether a variable can set the option. `--ids`, `--verify`, `--format` and the filters belong to a single
/// call; the user permits a second paid retrieval each time.
pub(super) fn has_variable(arg: &clap::Arg) -> bool {
    let is_filter = arg
        .get_help_heading()
        .is_some_and(|heading| heading.starts_with("Filters"));
    !is_filter
        && !matches!(
            arg.get_id().as_str(),
            "ids"
                | "verify"
                | "format"
                | "base"
                | "kind"
                | "help"
                | "allow_recharge"
                | "remove_older"
        )
}

/// Why a fetch ignores the template in the variable `name`, if only `sync` knows its fields.
fn is_for_sync_only(name: &str) -> Option<String> {
    let template = std::env::var(name).ok()?;
    match values::template_use(&template) {
        TemplateUse::SyncOnly { field } => Some(format!(
            "{name} is ignored: only docfetch sync knows the field {{{field}}}"
        )),
        TemplateUse::Other => None,
    }
}

/// The variable of a long option.
pub(super) fn variable(long: &str) -> String {
    format!("{OPTION_PREFIX}{}", long.to_uppercase().replace('-', "_"))
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// The error of a long option with a single dash, such as `-dry-run`: clap takes it for `-d` with a value.
fn single_dash(arguments: &[OsString]) -> Option<clap::Error> {
    let options = arguments.iter().take_while(|argument| *argument != "--");
    let mut options = options.filter_map(|argument| argument.to_str()?.strip_prefix('-'));
    let is_long = |text: &str| text.len() > 2 && text.starts_with(|c: char| c.is_ascii_lowercase());
    if !options.clone().any(is_long) {
        return None;
    }
    let mut command = without_variables();
    command.build();
    for name in arguments.iter().skip(1) {
        match command.find_subcommand(name) {
            Some(found) => command = found.clone(),
            None => break,
        }
    }
    let (given, name) = options.find_map(|text| {
        let name = text.split('=').next().filter(|_| is_long(text))?;
        let mut known = command.get_arguments().filter_map(clap::Arg::get_long);
        let is_known = known.any(|long| long == name);
        is_known.then(|| (format!("-{name}"), format!("--{name}")))
    })?;
    let mut error = clap::Error::new(ErrorKind::UnknownArgument).with_cmd(&command);
    error.insert(ContextKind::InvalidArg, ContextValue::String(given));
    error.insert(ContextKind::SuggestedArg, ContextValue::String(name));
    Some(error)
}

/// Whether clap takes the `--help` of `docfetch help --help` for the name of a command.
fn is_help_of_help(error: &clap::Error) -> bool {
    let name = error.get(ContextKind::InvalidSubcommand);
    error.kind() == ErrorKind::InvalidSubcommand
        && matches!(name, Some(ContextValue::String(name)) if is_help_option(name.as_ref()))
}

fn is_help_option(argument: &std::ffi::OsStr) -> bool {
    argument == "--help" || argument == "-h"
}

/// `docfetch help --help` becomes `docfetch help help`, and `docfetch help sm --help` becomes `docfetch help sm`.
fn without_help_option(arguments: &[OsString]) -> Vec<OsString> {
    let mut kept = arguments.to_vec();
    kept.retain(|argument| !is_help_option(argument));
    if kept.last().is_some_and(|last| last == "help") {
        kept.push("help".into());
    }
    kept
}

impl Command {
    fn resource(&mut self) -> Option<&mut ResourceArgs> {
        match self {
            Self::Sm(arguments) | Self::Onecodex(arguments) => Some(&mut arguments.batch.resource),
            Self::Sync(arguments) => Some(&mut arguments.batch.resource),
            Self::List(arguments) => Some(&mut arguments.resource),
            Self::Url(arguments) => Some(&mut arguments.resource),
            Self::Verify(_) | Self::Ledger(_) | Self::Partials(_) | Self::Sandbox(_) => None,
        }
    }

    fn verbosity(&mut self) -> Option<&mut VerbosityArgs> {
        match self {
            Self::Sm(arguments) | Self::Onecodex(arguments) => {
                Some(&mut arguments.batch.output_args.verbosity)
            }
            Self::Sync(arguments) => Some(&mut arguments.batch.output_args.verbosity),
            Self::List(arguments) => Some(&mut arguments.output_args.verbosity),
            Self::Url(arguments) => Some(&mut arguments.verbosity),
            Self::Verify(arguments) => Some(&mut arguments.output_args.verbosity),
            Self::Partials(arguments) => Some(&mut arguments.output_args.verbosity),
            Self::Ledger(LedgerCommand::List(arguments)) => Some(&mut arguments.verbosity),
            Self::Ledger(LedgerCommand::Forget(arguments)) => Some(&mut arguments.verbosity),
            Self::Sandbox(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::Connection;
    use crate::fetch::options::FetchOptions;
    use crate::fetch::target::IfExists;
    use std::path::Path;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let arguments = ["docfetch", "sm", "ID"].map(OsString::from);
        let matches = without_variables().try_get_matches_from(arguments).unwrap();
        let Command::Sm(fetch) = Cli::from_arg_matches(&matches).unwrap().command else {
            panic!("another command");
        };
        let (options, connection) = (FetchOptions::default(), Connection::default());
        let target = options.target;
        assert_eq!(fetch.name, target.template);
        assert_eq!(IfExists::from(fetch.if_exists), target.if_exists);
        assert_eq!(
            fetch.output_dir.join(""),
            Path::new(".").join(target.folder)
        );
        assert_eq!(usize::from(fetch.batch.jobs), options.jobs);
        assert_eq!(fetch.batch.connections, options.connections);
        let given = fetch.batch.connection;
        assert_eq!(given.retries, connection.retries);
        assert_eq!(given.retry_max_time, connection.retry_max_time);
        assert_eq!(given.connect_timeout, connection.connect_timeout);
        assert_eq!(given.stall_timeout, connection.stall_timeout);
        assert_eq!(options.busy_timeout, connection.retry_max_time);
    }

    #[test]
    fn a_variable_is_named_for_its_own_option_only() {
        let variables = Variables {
            used: vec!["output".into(), "rate-limit".into()],
            ignored: None,
        };
        let named = |text| variables.named_in(text);
        assert_eq!(
            named("invalid value for '--rate-limit <RATES>'").as_deref(),
            Some("DOCFETCH_RATE_LIMIT")
        );
        assert_eq!(
            named("--output is for a single document").as_deref(),
            Some("DOCFETCH_OUTPUT")
        );
        assert_eq!(named("--output-dir and --limit-rate"), None);
    }
}
