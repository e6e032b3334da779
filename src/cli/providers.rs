//! Providers on the command line: a subcommand each.

use super::args::Fetch;
use crate::provider::{self, Provider};
use clap::{Args as _, Command};
use std::ffi::OsString;

/// The options about charges, which a provider that never charges hides.
const CHARGE_OPTIONS: [&str; 2] = ["allow_recharge", "max_charges"];
/// The option that a provider with one kind of things hides.
const KIND_OPTION: &str = "resource";

/// Adds a subcommand for each provider before the other ones. The subcommand that `arguments` names has its options; the
/// others get their options when clap needs them.
pub(super) fn with_fetch_commands(root: Command, arguments: &[OsString]) -> Command {
    let named = |name: &str| arguments.iter().skip(1).any(|argument| argument == name);
    let is_help = arguments.len() < 2 || ["help", "--help", "-h"].into_iter().any(named);
    let providers = provider::names();
    // The options of one subcommand stand for those of all.
    let example = providers.first().copied();
    let fetch = |name: &'static str| {
        let command = Command::new(name);
        if named(name) {
            return full(command, name);
        }
        let is_example = Some(name) == example;
        let command = if is_example {
            Fetch::augment_args(command)
        } else {
            command
        };
        let command = if is_help {
            with_about(command, provider::find(name).ok().as_ref())
        } else {
            command
        };
        if is_example {
            return command;
        }
        command.defer(|command| {
            let name = command.get_name().to_owned();
            full(command, &name)
        })
    };
    let others: Vec<Command> = root.get_subcommands().cloned().collect();
    let all = providers.into_iter().map(fetch).chain(others).enumerate();
    all.fold(root, |root, (order, command)| {
        add(root, command.display_order(order))
    })
}

/// Adds a subcommand, or replaces the one of that name.
fn add(root: Command, command: Command) -> Command {
    match root.find_subcommand(command.get_name()) {
        Some(_) => {
            let name = command.get_name().to_owned();
            root.mut_subcommand(name, |_| command)
        }
        None => root.subcommand(command),
    }
}

/// The subcommand of a provider with its options and its help.
fn full(command: Command, name: &str) -> Command {
    let provider = provider::find(name).ok();
    let command = with_about(Fetch::augment_args(command), provider.as_ref());
    let Some(provider) = provider else {
        return command; // the run tells what is wrong with the table
    };
    let has_kinds = provider.kind_names().next().is_some();
    let charges = provider.charges();
    command.mut_args(|arg| {
        let id = arg.get_id().as_str();
        let is_hidden =
            (id == KIND_OPTION && !has_kinds) || (CHARGE_OPTIONS.contains(&id) && !charges);
        if is_hidden { arg.hide(true) } else { arg }
    })
}

/// The subcommand with the help about its provider; none where docfetch cannot use the table of the provider.
fn with_about(command: Command, provider: Option<&Provider>) -> Command {
    let Some(provider) = provider else {
        return command.about("Fetch documents (the table in the configuration file is wrong)");
    };
    let about = about(provider);
    command
        .long_about(long_about(provider, &about))
        .about(about)
        .after_help(examples(provider))
}

fn about(provider: &Provider) -> String {
    let table = &provider.table;
    format!("Fetch {}s from {}", table.thing, table.title)
}

fn long_about(provider: &Provider, about: &str) -> String {
    let mut text = format!(
        "{about}\n\nCredentials: {}. To read a value from a file instead, name the file in the variable that ends in _FILE.",
        provider.credential_sources()
    );
    if provider.charges() {
        let title = &provider.table.title;
        text.push_str(&format!(
            "\n\n{title} may charge for a retrieval. docfetch records each paid retrieval, and uses the recorded URL as long as \
             the URL is valid (see `docfetch ledger`)."
        ));
    }
    text
}

fn examples(provider: &Provider) -> String {
    let name = &provider.table.name;
    let mut rows = vec![(
        format!("docfetch {name} ID"),
        "fetch a document under the name that the server gives".to_owned(),
    )];
    if let Some(kind) = provider.kind_names().nth(1) {
        rows.push((
            format!("docfetch {name} ID --resource {kind}"),
            format!("fetch one of the {kind}"),
        ));
    }
    rows.push(if provider.charges() {
        (
            format!("docfetch {name} --from-file ids --dry-run"),
            "print what a batch would write and pay".to_owned(),
        )
    } else {
        (
            format!("docfetch {name} -d reports - < ids.txt"),
            "fetch the documents whose ids are in ids.txt".to_owned(),
        )
    });
    let width = rows
        .iter()
        .map(|(command, _)| command.len())
        .max()
        .unwrap_or_default();
    let lines = rows
        .iter()
        .map(|(command, what)| format!("  {command:width$}  {what}"));
    format!("Examples:\n{}", lines.collect::<Vec<_>>().join("\n"))
}
