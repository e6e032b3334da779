//! The command line: clap lives here and nowhere else.

mod args;
mod batch_report;
mod choices;
mod command_line;
mod common;
mod config_file;
mod dates;
mod dispatch;
mod fetch_commands;
mod option_sources;
mod options;
mod providers;
#[cfg(test)]
mod reference;
mod settings_in_force;
mod table_options;
mod unknown_variables;
mod usage;
mod values;

pub use dispatch::run;
