//! Where options take their values from, if not from the command line: their variables, and the configuration file.

use super::values::{self, TemplateUse};
use crate::config::file_settings::FileSettings;
use crate::config::variables::OPTION_PREFIX;
use crate::fetch::target::Template;
use clap::{Arg, ArgAction, Command};
use std::any::TypeId;
use std::path::PathBuf;

/// The options of a command, with the values of the file as their defaults. `provider` is the provider of the run.
pub(super) fn with_file(command: Command, file: &FileSettings, provider: Option<&str>) -> Command {
    command.mut_args(|arg| {
        let setting = arg
            .get_long()
            .filter(|_| has_variable(&arg))
            .and_then(|long| file.get(provider, long));
        let is_for_sync = |text: &String| why_for_sync_only(text).is_some();
        match setting {
            Some(setting) if is_template(&arg) && setting.texts.iter().any(is_for_sync) => arg,
            Some(setting) => arg.default_values(setting.texts.clone()),
            None => arg,
        }
    })
}

/// Whether an option takes no value on the command line.
pub(super) fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// Whether an option takes a path.
pub(super) fn is_path(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<PathBuf>()
}

/// Whether an option is a template with the fields that every fetch knows. `sync` reads its template in another way.
pub(super) fn is_template(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<Template>()
}

/// The options of a command, with their variables where these are set and not empty.
pub(super) fn with_variables(command: Command) -> Command {
    command.mut_args(|arg| match arg.get_long().map(variable) {
        Some(name) if has_variable(&arg) && is_set(&name) => {
            if is_template(&arg) && value_for_sync_only(&name).is_some() {
                return arg;
            }
            arg.env(name).hide_env_values(true)
        }
        _ => arg,
    })
}

/// Whether a variable can set the option. `--ids`, `--verify`, `--format` and the filters belong to a single
/// call; the user permits a second paid retrieval each time.
pub(super) fn has_variable(arg: &Arg) -> bool {
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

/// Why a fetch ignores the template in the variable `name`, if only `sync` can use the template.
pub(super) fn value_for_sync_only(name: &str) -> Option<String> {
    why_for_sync_only(&std::env::var(name).ok()?)
}

/// Why a fetch ignores a template, if only `sync` can use the template.
pub(super) fn why_for_sync_only(template: &str) -> Option<String> {
    if values::template(template).is_ok() {
        return None; // without a look at any listing
    }
    match values::template_use(template) {
        TemplateUse::SyncOnly { field } => {
            Some(format!("only docfetch sync knows the field {{{field}}}"))
        }
        TemplateUse::Folders => {
            Some("only docfetch sync makes the folders of a template".to_owned())
        }
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
