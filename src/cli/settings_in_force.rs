//! `docfetch config`: every setting with its value in force, and where the value comes from.

use super::command_line::without_variables;
use super::config_file::{KeyOptions, RunConfig};
use super::option_sources::{is_switch, variable};
use super::values;
use crate::config::folders;
use crate::config::network::{self, without_password};
use crate::config::variables::{CONFIG, STATE_DIR, os_value};
use crate::fetch::outcome::ErrorRecord;
use crate::provider;
use crate::text::printable;
use crate::ui::{ConfigFileRow, ConfigFileState, SettingRow, SettingSource};
use clap::Arg;

/// The name of the state folder's row.
const STATE_FOLDER: &str = "state-dir";
/// The option whose value can have a password.
const PROXY: &str = "proxy";

/// The configuration file.
pub(super) fn config_file(config: &RunConfig) -> ConfigFileRow<'_> {
    let place = config.place.as_ref();
    ConfigFileRow {
        path: place.map(|place| place.path.clone()),
        variable: os_value(CONFIG).map(|_| CONFIG),
        state: match &config.error {
            Some(_) => ConfigFileState::Refused,
            None if config.is_read => ConfigFileState::Read,
            None => ConfigFileState::Missing,
        },
        error: config.error.as_ref().map(ErrorRecord::from),
    }
}

/// Every setting: the state folder, then the options in the order of their definition. A provider has a row of its own for
/// each setting of its section. Warns about each variable whose value docfetch cannot use.
pub(super) fn settings(config: &RunConfig) -> Vec<SettingRow> {
    let root = without_variables(&[]);
    let options = KeyOptions::of(&root);
    let mut rows = vec![state_folder()];
    for (name, arg) in options.settings() {
        rows.push(row(config, None, name, Some(arg)));
        for provider in config.settings.providers() {
            if config.settings.is_of_section(Some(provider), name) {
                rows.push(row(config, Some(provider), name, Some(arg)));
            }
        }
        check_variable(&options, name);
    }
    for provider in config.settings.providers() {
        let section = config.settings.section(provider).iter();
        let is_option = |name: &str| options.settings().any(|(known, _)| known == name);
        let parameters = section.filter(|setting| !is_option(&setting.name));
        rows.extend(parameters.map(|setting| row(config, Some(provider), &setting.name, None)));
    }
    rows
}

/// The row of an option, or of a parameter, which no option is.
fn row(config: &RunConfig, provider: Option<&str>, name: &str, arg: Option<&Arg>) -> SettingRow {
    let row = |value, source| SettingRow {
        name: name.to_owned(),
        provider: provider.map(str::to_owned),
        value,
        source,
        variable: None,
        line: None,
    };
    let from_variable = |variable: String, value: String| SettingRow {
        variable: Some(variable),
        ..row(Some(shown(name, arg, &value)), SettingSource::Variable)
    };
    let variable = match (arg, provider) {
        (None, Some(provider)) => parameter_variable(provider, name),
        _ => variable(name),
    };
    if let Some(value) = os_value(&variable) {
        return from_variable(variable, value.to_string_lossy().into_owned());
    }
    if let Some(setting) = config.settings.get(provider, name) {
        let value = shown(name, arg, &setting.texts.join(","));
        return SettingRow {
            line: Some(setting.line as u64),
            ..row(Some(value), SettingSource::File)
        };
    }
    if name == PROXY
        && let Some(proxy) = network::proxies(None).https
    {
        return from_variable(proxy.source, proxy.url.expose().to_owned());
    }
    row(arg.and_then(default), SettingSource::Default)
}

/// The default of an option; none where the option has no default value.
fn default(arg: &Arg) -> Option<String> {
    if is_switch(arg) {
        return Some(false.to_string());
    }
    let values = arg.get_default_values().iter();
    let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// A value as docfetch shows it: a switch is true or false, and a URL has no password.
fn shown(name: &str, arg: Option<&Arg>, value: &str) -> String {
    if name == PROXY {
        return without_password(value);
    }
    if arg.is_some_and(is_switch)
        && let Ok(value) = values::switch(value)
    {
        return value.to_string();
    }
    value.to_owned()
}

/// The variable of a provider's parameter.
fn parameter_variable(provider: &str, name: &str) -> String {
    let known = provider::find(provider).ok();
    let mut parameters = known.iter().flat_map(|known| &known.table.parameters);
    let parameter = parameters.find(|parameter| parameter.name == name);
    parameter
        .map(|parameter| parameter.variable.clone())
        .unwrap_or_default()
}

fn state_folder() -> SettingRow {
    let is_set = os_value(STATE_DIR).is_some();
    let folder = folders::state().unwrap_or_else(|error| {
        log::error!("{}", error.message());
        None
    });
    SettingRow {
        name: STATE_FOLDER.to_owned(),
        provider: None,
        value: folder.map(|folder| folder.display().to_string()),
        source: if is_set {
            SettingSource::Variable
        } else {
            SettingSource::Default
        },
        variable: is_set.then(|| STATE_DIR.to_owned()),
        line: None,
    }
}

/// Warns about the variable of an option, if docfetch cannot use its value.
fn check_variable(options: &KeyOptions<'_>, name: &str) {
    let variable = variable(name);
    if let Some(value) = os_value(&variable)
        && let Some(value) = value.to_str()
        && let Err(why) = options.check(name, &[value.to_owned()])
    {
        log::warn!(
            "docfetch cannot use the value of {variable}: {}",
            printable(&why)
        );
    }
}
