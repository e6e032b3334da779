//! The command line together with the `DOCFETCH_` variables and the configuration file: what the user asks docfetch to
//! do.

use super::args::{Cli, Command, Fetch, FetchFrom, LedgerCommand, ProvidersCommand};
use super::option_sources::{
    value_for_sync_only, variable, why_for_sync_only, with_file, with_variables,
};
use super::options::{FilterArgs, ResourceArgs, VerbosityArgs};
use super::providers::with_fetch_commands;
use super::table_options;
use crate::config::file_settings::FileSettings;
use crate::provider;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};
use std::ffi::OsString;

/// What the user asks for.
#[derive(Debug)]
pub(super) struct CommandLine {
    /// The command with its arguments.
    pub command: Command,
    /// Where the values of options come from, if not from the command line.
    pub origins: OptionOrigins,
}

/// Where the values of options come from, if not from the command line.
#[derive(Debug, Default)]
pub(super) struct OptionOrigins {
    /// The long options whose values come from their variables.
    pub variables: Vec<String>,
    /// The long options whose values come from the configuration file.
    file: Vec<FileOrigin>,
    /// Why docfetch ignores a variable, or a setting of the file.
    pub ignored: Option<String>,
}

/// The place of a setting in the configuration file.
#[derive(Debug)]
struct FileOrigin {
    option: String,
    /// The line and the file.
    place: String,
}

/// The values of options that the command line does not give.
#[derive(Clone, Copy)]
struct Defaults<'a> {
    file: &'a FileSettings,
    /// The provider of the run, whose section counts.
    provider: Option<&'a str>,
}

impl CommandLine {
    /// Parses `arguments`, the first of which is the name of the program. `root` is what [`without_variables`] returns,
    /// and `file` has the settings of the configuration file.
    ///
    /// # Errors
    /// Help, version and wrong usage, as clap describes them.
    pub(super) fn parse(
        root: clap::Command,
        arguments: &[OsString],
        file: &FileSettings,
    ) -> Result<Self, clap::Error> {
        if let Some(error) = single_dash(arguments) {
            return Err(error);
        }
        let mut defaults = Defaults {
            file,
            provider: arguments.get(1).and_then(|name| name.to_str()),
        };
        let mut matches = defaults.matches(root, arguments)?;
        // The argument of `list`, `sync` and `url`.
        let named = argument_text(innermost(&matches), "provider");
        if let Some(named) = named
            .as_deref()
            .filter(|name| !file.section(name).is_empty())
        {
            defaults.provider = Some(named);
            matches = defaults.matches(without_variables(arguments), arguments)?;
        }
        let mut command = command_of(&matches)?;
        let matches = innermost(&matches);
        if let Some(verbosity) = command.verbosity() {
            // The stronger one of the two wins; else quiet wins.
            let is_quieter =
                defaults.strength(matches, "quiet") >= defaults.strength(matches, "verbose");
            verbosity.quiet &= !verbosity.verbose || is_quieter;
            verbosity.verbose &= !verbosity.quiet;
        }
        let is_flag = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        if let Some(filters) = command.filters() {
            filters.own = table_options::given(matches, &provider::all());
        }
        if let Some(resource) = command.resource() {
            resource.is_flag = is_flag("resource");
        }
        if let Command::Fetch(fetch) = &mut command {
            fetch.arguments.is_name_flag = is_flag("name");
        }
        Ok(Self {
            origins: OptionOrigins::of(&command, matches, defaults),
            command,
        })
    }
}

impl Defaults<'_> {
    fn matches(
        self,
        root: clap::Command,
        arguments: &[OsString],
    ) -> Result<ArgMatches, clap::Error> {
        // Help shows docfetch's own defaults.
        let without_file = || {
            let file = &FileSettings::default();
            Defaults { file, ..self }.command(without_variables(arguments))
        };
        match self.command(root).try_get_matches_from(arguments) {
            Err(error) if is_help_of_help(&error) => {
                without_file().try_get_matches_from(without_help_option(arguments))
            }
            Err(error) if !error.use_stderr() && !self.file.is_empty() => {
                without_file().try_get_matches_from(arguments)
            }
            parsed => parsed,
        }
    }

    /// All commands and options. An option takes the value of its variable, where the variable is set and not empty, else
    /// the value that the file has for the provider.
    fn command(self, root: clap::Command) -> clap::Command {
        let with_values = |command| with_variables(with_file(command, self.file, self.provider));
        root.mut_subcommands(|subcommand| {
            if subcommand.get_name() == "sandbox" {
                return subcommand;
            }
            with_values(subcommand).mut_subcommands(with_values)
        })
    }

    /// How strong the source of an option is: flag, variable, section, the rest of the file, default.
    fn strength(self, matches: &ArgMatches, id: &str) -> u8 {
        let option = long_of(id);
        match matches.value_source(id) {
            Some(ValueSource::CommandLine) => 4,
            Some(ValueSource::EnvVariable) => 3,
            _ if self.file.is_of_section(self.provider, &option) => 2,
            _ => u8::from(self.file.get(None, &option).is_some()),
        }
    }
}

/// The command that clap found.
fn command_of(matches: &ArgMatches) -> Result<Command, clap::Error> {
    match matches.subcommand() {
        Some((name, arguments)) if provider::names().contains(&name) => {
            Ok(Command::Fetch(FetchFrom {
                provider: name.to_owned(),
                arguments: Fetch::from_arg_matches(arguments)?,
            }))
        }
        _ => Ok(Cli::from_arg_matches(matches)?.command),
    }
}

/// The matches of the innermost command.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    let mut innermost = matches;
    while let Some((_, matches)) = innermost.subcommand() {
        innermost = matches;
    }
    innermost
}

/// The text of an argument, where the command has the argument.
fn argument_text(matches: &ArgMatches, id: &str) -> Option<String> {
    let mut texts = matches.try_get_raw(id).ok()??;
    Some(texts.next()?.to_str()?.to_owned())
}

/// The long option with the id that clap derives.
fn long_of(id: &str) -> String {
    id.replace('_', "-")
}

impl OptionOrigins {
    fn of(command: &Command, matches: &ArgMatches, defaults: Defaults<'_>) -> Self {
        let (mut variables, mut file) = (Vec::new(), Vec::new());
        let is_fetch = matches!(command, Command::Fetch(_));
        let is_default = |id| matches.value_source(id) == Some(ValueSource::DefaultValue);
        let mut ignored = None;
        if is_fetch && is_default("name") {
            let (name, set) = (
                variable("name"),
                defaults.file.get(defaults.provider, "name"),
            );
            let set = set.and_then(|setting| why_for_sync_only(setting.texts.first()?));
            let place = || format!("the key \"name\" of {}", defaults.file.file_name);
            ignored = value_for_sync_only(&name)
                .map(|why| format!("{name} is ignored: {why}"))
                .or_else(|| Some(format!("{} is ignored: {}", place(), set?)));
        }
        for id in matches.ids().map(clap::Id::as_str) {
            let option = long_of(id);
            let setting = defaults.file.get(defaults.provider, &option);
            let setting = setting.filter(|_| is_default(id) && (id != "name" || ignored.is_none()));
            if matches.value_source(id) == Some(ValueSource::EnvVariable) {
                variables.push(option);
            } else if let Some(setting) = setting {
                let place = format!("line {} of {}", setting.line, defaults.file.file_name);
                file.push(FileOrigin { option, place });
            }
        }
        Self {
            variables,
            file,
            ignored,
        }
    }

    /// The variable, or the line of the configuration file, that sets the long option named in `text`, if one does.
    pub(super) fn named_in(&self, text: &str) -> Option<String> {
        let is_named = |long: &str| {
            let option = format!("--{long}");
            let mut ends = text.split(&option).skip(1);
            ends.any(|rest| !rest.starts_with(|c: char| c == '-' || c.is_alphanumeric()))
        };
        let variable_of = self.variables.iter().find(|long| is_named(long));
        let place = || self.file.iter().find(|origin| is_named(&origin.option));
        variable_of
            .map(|long| variable(long))
            .or_else(|| Some(place()?.place.clone()))
    }
}

/// All commands and options, as the command line alone sets them. The subcommand that `arguments` names is complete.
pub(super) fn without_variables(arguments: &[OsString]) -> clap::Command {
    let root = Cli::command().mut_subcommands(|subcommand| match subcommand.get_name() {
        // The tables are read for these commands only.
        "list" | "sync" => {
            subcommand.defer(|command| table_options::add(command, &provider::all()))
        }
        _ => subcommand,
    });
    with_fetch_commands(root, arguments)
}

/// The error of a long option with a single dash, such as `-dry-run`: clap takes it for `-d` with a value.
fn single_dash(arguments: &[OsString]) -> Option<clap::Error> {
    let options = arguments.iter().take_while(|argument| *argument != "--");
    let mut options = options.filter_map(|argument| argument.to_str()?.strip_prefix('-'));
    let is_long = |text: &str| text.len() > 2 && text.starts_with(|c: char| c.is_ascii_lowercase());
    if !options.clone().any(is_long) {
        return None;
    }
    let mut command = without_variables(arguments);
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
    fn filters(&mut self) -> Option<&mut FilterArgs> {
        match self {
            Self::List(arguments) => Some(&mut arguments.filters),
            Self::Sync(arguments) => Some(&mut arguments.filters),
            _ => None,
        }
    }

    fn resource(&mut self) -> Option<&mut ResourceArgs> {
        match self {
            Self::Fetch(fetch) => Some(&mut fetch.arguments.batch.resource),
            Self::Sync(arguments) => Some(&mut arguments.batch.resource),
            Self::List(arguments) => Some(&mut arguments.resource),
            Self::Url(arguments) => Some(&mut arguments.resource),
            Self::Verify(_)
            | Self::Ledger(_)
            | Self::Partials(_)
            | Self::Config(_)
            | Self::Providers(_)
            | Self::Sandbox(_) => None,
        }
    }

    fn verbosity(&mut self) -> Option<&mut VerbosityArgs> {
        match self {
            Self::Fetch(fetch) => Some(&mut fetch.arguments.batch.output_args.verbosity),
            Self::Sync(arguments) => Some(&mut arguments.batch.output_args.verbosity),
            Self::List(arguments) => Some(&mut arguments.output_args.verbosity),
            Self::Url(arguments) => Some(&mut arguments.output_args.verbosity),
            Self::Verify(arguments) => Some(&mut arguments.output_args.verbosity),
            Self::Partials(arguments) => Some(&mut arguments.output_args.verbosity),
            Self::Config(arguments) | Self::Ledger(LedgerCommand::List(arguments)) => {
                Some(&mut arguments.verbosity)
            }
            Self::Ledger(LedgerCommand::Forget(arguments)) => Some(&mut arguments.verbosity),
            Self::Providers(arguments) => Some(match &mut arguments.command {
                Some(ProvidersCommand::Show(show)) => &mut show.verbosity,
                None => &mut arguments.output_args.verbosity,
            }),
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
        without_variables(&["docfetch", "onecodex"].map(OsString::from)).debug_assert();
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let arguments = ["docfetch", "sm", "ID"].map(OsString::from);
        let matches = without_variables(&arguments)
            .try_get_matches_from(&arguments)
            .unwrap();
        let Command::Fetch(FetchFrom {
            arguments: fetch, ..
        }) = command_of(&matches).unwrap()
        else {
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
        let origins = OptionOrigins {
            variables: vec!["output".into(), "rate-limit".into()],
            ..OptionOrigins::default()
        };
        let named = |text| origins.named_in(text);
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
