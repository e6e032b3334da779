//! `DOCFETCH_` variables that have no effect.
//!
//! A user who sets `DOCFETCH_DRYRUN=1` expects a dry run, and would pay.

use super::command_line::without_variables;
use super::option_sources::{has_variable, variable};
use crate::config::variables::{CONFIG, OPTION_PREFIX, STATE_DIR};
use crate::similar::MAX_TYPOS;
use crate::text::printable;
use log::Level;

/// The variables that limit what docfetch pays.
const LIMITS_OF_CHARGES: [&str; 2] = ["DOCFETCH_DRY_RUN", "DOCFETCH_MAX_CHARGES"];

/// The variables of docfetch that set no option.
const OTHER_VARIABLES: [&str; 2] = [CONFIG, STATE_DIR];

/// Warns about each variable of the environment that begins as those of docfetch do, and is none of them. `used` are
/// long options whose variables have an effect. With `-q`, the warning appears only where the user may pay.
pub(super) fn warn(used: &[String]) {
    let is_set = |(name, value): &(std::ffi::OsString, std::ffi::OsString)| {
        let has_prefix = name
            .as_encoded_bytes()
            .starts_with(OPTION_PREFIX.as_bytes());
        has_prefix && !value.is_empty()
    };
    let found = std::env::vars_os().filter(is_set);
    let mut found: Vec<String> = found
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .filter(|name| {
            !OTHER_VARIABLES.contains(&name.as_str())
                && !used.iter().any(|long| variable(long) == *name)
        })
        .collect();
    if found.is_empty() {
        return;
    }
    found.sort();
    let known = KnownVariables::of(&without_variables(&[]));
    for (name, effect) in found.iter().map(|name| (name, known.effect(name))) {
        let why = match effect {
            VariableEffect::OfOption => continue,
            VariableEffect::OnCommandLineOnly(ref option) => {
                format!("--{option} works on the command line only")
            }
            VariableEffect::NoneButSimilar(similar) => format!("a similar variable is {similar}"),
            VariableEffect::None => "no option has this variable".to_owned(),
        };
        let may_cost = matches!(effect, VariableEffect::NoneButSimilar(similar) if LIMITS_OF_CHARGES.contains(&similar));
        let level = if may_cost { Level::Error } else { Level::Warn };
        log::log!(level, "docfetch ignores {}: {why}", printable(name));
    }
}

/// What a variable does whose name begins as those of docfetch do.
enum VariableEffect<'a> {
    /// The variable sets an option.
    OfOption,
    /// Nothing: this option works on the command line only.
    OnCommandLineOnly(String),
    /// Nothing. This variable, which has an effect, has a similar name.
    NoneButSimilar(&'a str),
    /// Nothing.
    None,
}

/// The variables that the long options of all commands would have.
struct KnownVariables {
    with_effect: Vec<String>,
    without_effect: Vec<String>,
}

impl KnownVariables {
    fn of(command: &clap::Command) -> Self {
        let mut known = Self {
            with_effect: OTHER_VARIABLES.map(str::to_owned).to_vec(),
            without_effect: Vec::new(),
        };
        known.add(command);
        known
    }

    fn add(&mut self, command: &clap::Command) {
        for arg in command.get_arguments() {
            let Some(name) = arg.get_long().map(variable) else {
                continue;
            };
            if has_variable(arg) {
                self.with_effect.push(name);
            } else {
                self.without_effect.push(name);
            }
        }
        // The options of `sandbox` have no variables.
        let others = command.get_subcommands();
        for other in others.filter(|other| other.get_name() != "sandbox") {
            self.add(other);
        }
    }

    /// The effect of the variable `name`.
    fn effect(&self, name: &str) -> VariableEffect<'_> {
        if self.with_effect.iter().any(|known| known == name) {
            return VariableEffect::OfOption;
        }
        if self.without_effect.iter().any(|known| known == name) {
            let option = name[OPTION_PREFIX.len()..].to_lowercase().replace('_', "-");
            return VariableEffect::OnCommandLineOnly(option);
        }
        let typos = |known: &&String| strsim::damerau_levenshtein(known, name);
        let similar = self.with_effect.iter().min_by_key(typos);
        match similar.filter(|known| typos(known) <= MAX_TYPOS) {
            Some(similar) => VariableEffect::NoneButSimilar(similar),
            None => VariableEffect::None,
        }
    }
}
