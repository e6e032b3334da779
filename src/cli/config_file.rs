//! The configuration file of a run. Its keys are the long options, so that an option has one definition.

use super::option_sources::{
    has_variable, is_path, is_switch, is_template, variable, why_for_sync_only,
};
use super::usage::expectation;
use crate::config::file::{self, ConfigPlace};
use crate::config::file_settings::{
    CheckValue, ConfigKeys, FileSettings, OptionKey, OtherOption, ValueKind,
};
use crate::config::toml_file::TomlTable;
use crate::error::{Error, Result};
use crate::provider;
use crate::secret::Secret;
use clap::{Arg, ArgAction, Command};
use std::any::TypeId;
use std::ffi::OsString;

/// The commands that need no settings: they read the file for the tables of the user alone.
const COMMANDS_WITHOUT_SETTINGS: [&str; 2] = ["help", "sandbox"];
/// What needs no file.
const COMMANDS_WITHOUT_FILE: [&str; 2] = ["--version", "-V"];
/// The options that have a variable, and are no keys: they belong to a single run.
const NO_KEYS: [&str; 4] = ["from-file", "output", "profile", "sha256"];

/// What the configuration file says.
#[derive(Debug, Default)]
pub(super) struct RunConfig {
    /// The settings; none where there is no file, and where docfetch cannot use the file.
    pub settings: FileSettings,
    /// Where the file is or would be. None where the environment names no place.
    pub place: Option<ConfigPlace>,
    /// Whether docfetch read a file.
    pub is_read: bool,
    /// Why docfetch cannot use the file.
    pub error: Option<Error>,
    /// The root of the file.
    root: Option<TomlTable<'static>>,
}

impl RunConfig {
    /// Opens the file, if the command of `arguments` needs settings or the tables of the user. The first of `arguments`
    /// is the name of the program.
    pub(super) fn open(arguments: &[OsString]) -> Self {
        let name = arguments.get(1).and_then(|argument| argument.to_str());
        let needs_file = name.is_none_or(|name| !COMMANDS_WITHOUT_FILE.contains(&name));
        let mut config = Self::default();
        if needs_file {
            config.error = config.find().err();
        }
        config
    }

    /// # Errors
    /// [`Code::Config`](crate::Code::Config) for a file that docfetch cannot use.
    fn find(&mut self) -> Result<()> {
        self.place = file::place()?;
        let Some(place) = &self.place else {
            return Ok(());
        };
        if let Some(file) = file::read(place)? {
            // The tables of the user live as long as the process.
            let file = Box::leak(Box::new(file));
            self.is_read = true;
            self.root = Some(provider::add_user_tables(file)?);
        }
        Ok(())
    }

    /// Reads the settings of the file that [`RunConfig::open`] found, if the command of `arguments` needs settings.
    /// `commands` has all commands, as the command line alone sets them.
    pub(super) fn read_settings(&mut self, arguments: &[OsString], commands: &Command) {
        let name = arguments.get(1).and_then(|argument| argument.to_str());
        let needs_settings =
            |name: &str| !name.starts_with('-') && !COMMANDS_WITHOUT_SETTINGS.contains(&name);
        let Some(root) = self
            .root
            .as_ref()
            .filter(|_| name.is_some_and(needs_settings))
        else {
            return;
        };
        let options = KeyOptions::of(commands);
        let check = |name: &str, texts: &[String]| options.check(name, texts);
        match FileSettings::parse(root, &options.keys(&check)) {
            Ok(settings) => self.settings = settings,
            Err(error) => self.error = Some(error),
        }
    }
}

/// The names of a provider's parameters. None where its table cannot be used.
fn parameter_names(name: &str) -> Vec<String> {
    let provider = provider::find(name).ok();
    let parameters = provider.iter().flat_map(|known| &known.table.parameters);
    parameters.map(|parameter| parameter.name.clone()).collect()
}

/// The options of all commands but `sandbox`.
pub(super) struct KeyOptions<'a> {
    options: Vec<&'a Arg>,
}

impl<'a> KeyOptions<'a> {
    /// The options of the commands below `root`. Of options with one name, the first one counts.
    pub(super) fn of(root: &'a Command) -> Self {
        let mut options = Self {
            options: Vec::new(),
        };
        options.add(root);
        options
    }

    fn add(&mut self, command: &'a Command) {
        for arg in command.get_arguments() {
            let is_known = |known: &&Arg| known.get_long() == arg.get_long();
            if arg.get_long().is_some() && !self.options.iter().any(is_known) {
                self.options.push(arg);
            }
        }
        let others = command.get_subcommands();
        for other in others.filter(|other| other.get_name() != "sandbox") {
            self.add(other);
        }
    }

    /// The options that are keys or have a variable, in the order of their definition.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&'a str, &'a Arg)> {
        let with_variable = self.options.iter().filter(|arg| has_variable(arg)).copied();
        with_variable.filter_map(|arg| Some((arg.get_long()?, arg)))
    }

    fn keys<'c>(&self, check: CheckValue<'c>) -> ConfigKeys<'c> {
        let (mut options, mut other_options) = (Vec::new(), Vec::new());
        for arg in self.options.iter().copied() {
            let Some(name) = arg.get_long() else { continue };
            if has_variable(arg) && !NO_KEYS.contains(&name) {
                options.push(OptionKey {
                    name: name.to_owned(),
                    kind: value_kind(arg),
                    repeats: matches!(arg.get_action(), ArgAction::Append),
                });
            } else {
                other_options.push(OtherOption {
                    name: name.to_owned(),
                    variable: has_variable(arg).then(|| variable(name)),
                });
            }
        }
        ConfigKeys {
            options,
            other_options,
            providers: provider::names(),
            parameters: &parameter_names,
            check,
        }
    }

    /// Checks that an option takes these texts, as on the command line.
    ///
    /// # Errors
    /// A sentence that says what docfetch expects.
    pub(super) fn check(&self, name: &str, texts: &[String]) -> Result<(), String> {
        let mut options = self.settings();
        let Some((_, arg)) = options.find(|(known, _)| *known == name) else {
            return Ok(());
        };
        if is_path(arg)
            && texts
                .iter()
                .any(|text| text == "~" || text.starts_with("~/"))
        {
            return Err("docfetch does not expand ~: the whole path is expected".to_owned());
        }
        if is_template(arg) && texts.iter().any(|text| why_for_sync_only(text).is_some()) {
            return Ok(());
        }
        let mut arg = arg.clone().hide(true);
        if is_switch(&arg) {
            arg = arg.action(ArgAction::Set).num_args(1);
        }
        let command = Command::new("docfetch").no_binary_name(true).arg(arg);
        let given = texts.iter().map(|text| format!("--{name}={text}"));
        let parsed = command.try_get_matches_from(given);
        parsed.map(|_| ()).map_err(|error| expectation(&error))
    }
}

/// What the value of an option is in the file.
fn value_kind(arg: &Arg) -> ValueKind {
    let value = arg.get_value_parser().type_id();
    let is_text = |known| value == known;
    let texts = [TypeId::of::<String>(), TypeId::of::<Secret>()];
    if is_switch(arg) {
        ValueKind::Switch
    } else if is_path(arg) || is_template(arg) || texts.into_iter().any(is_text) {
        ValueKind::Text
    } else {
        ValueKind::Number
    }
}
