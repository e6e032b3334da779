//! Commands and their options, from clap's definitions.

use super::code;
use crate::cli::option_sources::{has_variable, variable};
use clap::{Arg, Command};

const OPTIONS: &str = "\
## Commands and options

An option on the command line wins over its variable; an empty variable counts as unset. In a variable, an option without
a value takes `1` or `0`, `true` or `false`, `yes` or `no`. Durations read `500ms`, `30s`, `5m`; sizes read `512K`, `2M`,
`1G` (binary units). docfetch warns about a variable that begins with `DOCFETCH_` and that docfetch does not know.

Every option with a variable is also a key of the [configuration file](configuration.md), except for `--from-file`,
`--output` and `--sha256`. A variable wins over the file.

";

/// The section of all commands.
pub(super) fn section(root: &Command) -> String {
    let commands = root.get_subcommands();
    let commands = commands.filter(|command| command.get_name() != "help");
    OPTIONS.to_owned() + &commands.map(of_command).collect::<String>()
}

/// A command, its options and its subcommands.
fn of_command(command: &Command) -> String {
    let name = command.get_bin_name().unwrap_or_default();
    let subcommands: Vec<&Command> = command
        .get_subcommands()
        .filter(|inner| inner.get_name() != "help")
        .collect();
    let below: String = subcommands.into_iter().map(of_command).collect();
    if command.is_subcommand_required_set() {
        return below;
    }
    let about = command.get_long_about().or(command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let examples = command.get_after_help().map(ToString::to_string);
    let examples = examples.unwrap_or_default();
    let mut section =
        format!("### {name}\n\n{about}\n\n```\nUsage: {usage}\n\n{examples}\n```\n\n");
    let mut headings: Vec<Option<&str>> = Vec::new();
    let arguments: Vec<&Arg> = command
        .get_arguments()
        .filter(|argument| is_shown(argument))
        .collect();
    for argument in &arguments {
        if !headings.contains(&argument.get_help_heading()) {
            headings.push(argument.get_help_heading());
        }
    }
    for heading in headings {
        let of_heading = arguments.iter();
        let of_heading = of_heading.filter(|argument| argument.get_help_heading() == heading);
        section += &format!(
            "| {} | meaning | default | variable |\n",
            heading.unwrap_or("argument")
        );
        section += "| --- | --- | --- | --- |\n";
        for argument in of_heading {
            section += &row(argument, command);
        }
        section.push('\n');
    }
    section + &below
}

/// Whether an argument belongs on the page.
fn is_shown(argument: &Arg) -> bool {
    !argument.is_hide_set() && !matches!(argument.get_id().as_str(), "help" | "version")
}

/// An argument of a command as a row of a table.
fn row(argument: &Arg, command: &Command) -> String {
    let long = argument.get_long();
    let variable = long
        .filter(|_| command.get_name() != "sandbox" && has_variable(argument))
        .map(|long| code(&variable(long)))
        .unwrap_or_default();
    let name = match argument.get_short() {
        Some(short) => format!("-{short}, {argument}"),
        None => argument.to_string(),
    };
    let takes_value = argument.get_action().takes_values();
    let default: Vec<String> = argument
        .get_default_values()
        .iter()
        .filter(|_| takes_value)
        .map(|value| code(&value.to_string_lossy()))
        .collect();
    let help = argument.get_long_help().or(argument.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let paragraphs = help
        .split("\n\n")
        .map(|paragraph| paragraph.replace('\n', " "));
    let help = paragraphs.collect::<Vec<_>>().join(". ");
    let cells = [
        code(&name),
        help + &values(argument),
        default.join(" "),
        variable,
    ];
    format!(
        "| {} |\n",
        cells.map(|cell| cell.replace('|', "\\|")).join(" | ")
    )
}

/// The values that an argument takes, where they are few.
fn values(argument: &Arg) -> String {
    let takes_value = argument.get_action().takes_values();
    let values = argument.get_possible_values();
    let values: Vec<String> = values
        .iter()
        .filter(|value| takes_value && !value.is_hide_set())
        .map(|value| match value.get_help() {
            Some(help) => format!("{} ({help})", code(value.get_name())),
            None => code(value.get_name()),
        })
        .collect();
    if values.is_empty() {
        String::new()
    } else {
        format!(". Values: {}", values.join(", "))
    }
}
