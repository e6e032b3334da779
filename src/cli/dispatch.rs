//! From arguments to a command, and from its result to an exit code.

use super::args::{
    Command, Forget, LedgerCommand, List, Partials, Providers, ProvidersCommand, SandboxArgs,
    UrlOf, Verify,
};
use super::choices::FormatArg;
use super::command_line::{CommandLine, OptionOrigins, without_variables};
use super::common::{Terminal, connection, output_options, plain_output_options, provider};
use super::config_file::RunConfig;
use super::fetch_commands::{fetch, sync};
use super::options::OutputArgs;
use super::settings_in_force::{config_file, settings};
use super::usage::{unknown_provider, wrong_usage};
use crate::commands;
use crate::commands::ledger::{Forgotten, LedgerChoice};
use crate::commands::partials::PartialsSettings;
use crate::commands::sandbox::SandboxSettings;
use crate::error::panics;
use crate::error::{Code, Error, Result, system_text};
use crate::manifest::ManifestForm;
use crate::provider;
use crate::resolve::filter::Filter;
use crate::resolve::{ListOptions, Row};
use crate::text::printable;
use crate::ui::{
    ListingTable, PartialsList, ProgressKind, print_providers, print_settings, print_table,
};
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use tokio::runtime::{Builder, Runtime};

/// Runs docfetch with `arguments`, the first of which is the name of the program. Returns the exit code of
/// the process.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut config = RunConfig::open(&arguments);
    let root = without_variables(&arguments);
    config.read_settings(&arguments, &root);
    let command_line = match CommandLine::parse(root, &arguments, &config.settings) {
        Ok(command_line) => command_line,
        Err(error)
            if error.use_stderr()
                && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand =>
        {
            // The table of the command may be in a file that docfetch cannot use.
            let is_unknown = error.kind() == ErrorKind::InvalidSubcommand;
            let of_file = config.error.clone().filter(|_| is_unknown);
            let error = of_file.unwrap_or_else(|| wrong_usage(&error, &arguments));
            return ExitCode::from(Terminal::plain().fail(error));
        }
        Err(error) => {
            // Help and version.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let printed = error.print().map_err(|error| Error::stdout(&error));
            let failed = printed.map_err(|error| Terminal::plain().fail(error));
            return ExitCode::from(failed.err().unwrap_or(code));
        }
    };
    if let Command::Sandbox(sandbox) = &command_line.command
        && sandbox.command.is_empty()
        && arguments.last().is_some_and(|last| last == "--")
    {
        return ExitCode::from(Terminal::plain().fail(commands::sandbox::no_command()));
    }
    let is_needed = match &command_line.command {
        Command::Config(_) | Command::Providers(_) | Command::Verify(_) => false,
        Command::Sandbox(sandbox) => !sandbox.provider.is_empty(),
        _ => true,
    };
    if let Some(error) = config.error.clone().filter(|_| is_needed) {
        return ExitCode::from(Terminal::plain().fail(error));
    }
    panics::silence();
    let runtime = match start_runtime() {
        Ok(runtime) => runtime,
        Err(error) => return ExitCode::from(Terminal::plain().fail(error)),
    };
    let code = panics::catch(|| runtime.block_on(dispatch(command_line, config)))
        .unwrap_or_else(|panic| Terminal::plain().fail(panic.to_error()));
    // A write to a pipe without a reader may still block: do not wait for it.
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// Starts the runtime.
///
/// # Errors
/// [`Code::LocalIo`] when the system has too few file descriptors, processes or memory.
fn start_runtime() -> Result<Runtime> {
    let what = "cannot start";
    let built = panics::catch(|| Builder::new_current_thread().enable_all().build());
    let runtime = built.map_err(|panic| {
        // tokio panics when the system refuses the two sockets that signals arrive through. Three pairs of sockets
        // need more file descriptors than the runtime, so the system tells here why it refused.
        let sockets: io::Result<Vec<_>> = (0..3).map(|_| UnixStream::pair()).collect();
        let shortage = sockets
            .err()
            .and_then(|error| Error::shortage(what, &error));
        shortage.unwrap_or_else(|| panic.to_error())
    })?;
    runtime.map_err(|error| {
        Error::shortage(what, &error)
            .unwrap_or_else(|| Error::new(Code::Unexpected, what).with_cause(system_text(&error)))
    })
}

async fn dispatch(command_line: CommandLine, config: RunConfig) -> u8 {
    let CommandLine { command, origins } = command_line;
    match command {
        Command::Fetch(command) => Box::pin(fetch(command, origins)).await,
        Command::Sync(arguments) => Box::pin(sync(arguments, origins)).await,
        Command::List(arguments) => list(arguments, origins).await,
        Command::Url(arguments) => Box::pin(url(arguments, origins)).await,
        Command::Verify(arguments) => verify(&arguments, origins, config.error.as_ref()),
        Command::Ledger(LedgerCommand::List(arguments)) => {
            let output_options = output_options(&arguments, ProgressKind::None);
            ledger_list(&Terminal::new(output_options, origins)).await
        }
        Command::Ledger(LedgerCommand::Forget(arguments)) => {
            ledger_forget(arguments, origins).await
        }
        Command::Partials(arguments) => partials(arguments, origins),
        Command::Config(arguments) => show_config(&arguments, origins, &config),
        Command::Providers(arguments) => providers(&arguments, origins, config.error),
        Command::Sandbox(arguments) => sandbox(arguments).await,
    }
}

async fn list(arguments: List, origins: OptionOrigins) -> u8 {
    let output_options = output_options(&arguments.output_args, ProgressKind::None);
    let terminal = Terminal::new(output_options, origins);
    let printer = &terminal.printer;
    let connection = arguments.connection.into();
    let limit = arguments.filters.limit;
    arguments.filters.note_pattern();
    let checked = arguments.filters.check_dates();
    let filter = Filter::from(arguments.filters);
    let listed = async {
        checked?;
        let provider = provider(&arguments.provider, &arguments.resource)?;
        let (title, is_filtered) = (provider.table.title.clone(), !filter.is_empty());
        let mut table = ListingTable::of(&provider);
        let options = ListOptions {
            limit,
            shows_names: !arguments.ids && printer.shows_row_fields(),
            needed_names: Vec::new(),
        };
        let each = |rows: &[Row]| {
            if rows.is_empty() {
                printer.empty_listing(&title, is_filtered);
            }
            if arguments.ids {
                printer.ids(rows)
            } else {
                printer.rows(rows, &mut table)
            }
        };
        commands::list::run(provider, &connection, &filter, options, each).await
    };
    terminal.end(listed.await)
}

async fn url(arguments: UrlOf, origins: OptionOrigins) -> u8 {
    let options = output_options(&arguments.output_args, ProgressKind::None);
    let terminal = Terminal::new(options, origins);
    let connection = connection(arguments.connection, &arguments.charges);
    let resolved = async {
        let provider = provider(&arguments.provider, &arguments.resource)?;
        let id = provider.document_id(&arguments.id)?;
        let name = provider.name().to_owned();
        let printing = |url: &_| terminal.printer.url(&name, id.as_str(), url);
        Box::pin(commands::url::run(provider, &connection, &id, printing)).await
    };
    terminal.end(Box::pin(resolved).await)
}

fn show_config(arguments: &OutputArgs, origins: OptionOrigins, config: &RunConfig) -> u8 {
    let terminal = Terminal::new(output_options(arguments, ProgressKind::None), origins);
    let (file, settings) = (config_file(config), settings(config));
    terminal.end(print_settings(
        &terminal.printer,
        &file,
        &settings,
        config.error.as_ref(),
    ))
}

/// `ignored` is why docfetch cannot use the configuration file. The shipped tables are known without the file.
fn providers(arguments: &Providers, origins: OptionOrigins, ignored: Option<Error>) -> u8 {
    let Some(ProvidersCommand::Show(show)) = &arguments.command else {
        let output_options = output_options(&arguments.output_args, ProgressKind::None);
        let terminal = Terminal::new(output_options, origins);
        if let Some(error) = &ignored {
            terminal.printer.error(error, None);
        }
        let known = provider::known_providers();
        return terminal.end(print_providers(&terminal.printer, &known));
    };
    let terminal = Terminal::new(plain_output_options(&show.verbosity), origins);
    let text = provider::toml_text(&show.name);
    // The file that docfetch cannot use may have the table.
    let text = text.map_err(|error| ignored.unwrap_or(error));
    terminal.end(text.and_then(|text| print_table(&terminal.printer, &text)))
}

/// `ignored` is why docfetch cannot use the configuration file, which `verify` can do without.
fn verify(arguments: &Verify, origins: OptionOrigins, ignored: Option<&Error>) -> u8 {
    let output_options = output_options(&arguments.output_args, ProgressKind::None);
    let terminal = Terminal::new(output_options, origins);
    if let Some(error) = ignored {
        let why = printable(&error.message()).into_owned();
        log::warn!("docfetch ignores the configuration file: {why}");
    }
    let printer = &terminal.printer;
    if arguments.manifest.as_path() == Path::new("-") {
        printer.prompt("docfetch reads the manifest from standard input, until Ctrl-D");
    }
    let mut has_wrong = false;
    let mut verified = || -> Result<u8> {
        let manifest = commands::verify::read(&arguments.manifest)?;
        has_wrong = !manifest.unreadable.is_empty();
        let is_list = arguments.format == FormatArg::Sha256sum
            && manifest.form != Some(ManifestForm::Sha256sum);
        let tally = commands::verify::run(&manifest, is_list, |checked| {
            has_wrong |= checked.result.is_err();
            if is_list {
                printer.sha256sum(checked)
            } else {
                printer.checked(checked)
            }
        })?;
        printer.tally(&tally, is_list)?;
        Ok(tally.exit_code)
    };
    match verified() {
        Ok(code) => code,
        // The reader of standard output has seen enough; a file or a line of the manifest is wrong nevertheless.
        Err(error) if error.is_silent() && has_wrong => Code::LengthMismatch.exit_code(),
        Err(error) => terminal.fail(error),
    }
}

async fn ledger_list(terminal: &Terminal) -> u8 {
    let listed = commands::ledger::list().await;
    let shown = listed.and_then(|(found, untrusted)| terminal.printer.ledger(&found, &untrusted));
    terminal.end(shown)
}

async fn ledger_forget(arguments: Forget, origins: OptionOrigins) -> u8 {
    let terminal = Terminal::new(plain_output_options(&arguments.verbosity), origins);
    let forgotten = match ledger_choice(arguments) {
        Ok(choice) => commands::ledger::forget(choice).await,
        Err(error) => Err(error),
    };
    let shown = forgotten.and_then(|forgotten| match forgotten {
        Forgotten::One(id) => terminal.printer.id(id.as_str()),
        Forgotten::None(matches) => {
            terminal.printer.matches(&matches);
            Err(commands::ledger::several(&matches))
        }
    });
    terminal.end(shown)
}

fn ledger_choice(arguments: Forget) -> Result<LedgerChoice> {
    let (provider, document) = if let Some(document) = arguments.second {
        (Some(arguments.first), document)
    } else if provider::names().contains(&arguments.first.as_str()) {
        let what = format!("docfetch ledger forget {} needs <ID>", arguments.first);
        return Err(Error::new(Code::Usage, what).with_hint("`docfetch ledger list` shows the ids"));
    } else {
        (None, arguments.first)
    };
    if let Some(name) = &provider
        && !provider::names().contains(&name.as_str())
    {
        return Err(unknown_provider(name));
    }
    Ok(LedgerChoice {
        provider,
        document,
        resource: arguments.resource,
        base: arguments.base,
    })
}

fn partials(arguments: Partials, origins: OptionOrigins) -> u8 {
    let output_options = output_options(&arguments.output_args, ProgressKind::None);
    let terminal = Terminal::new(output_options, origins);
    let settings = PartialsSettings {
        folder: arguments.dir,
        remove_older: arguments.remove_older,
    };
    let mut list = PartialsList::new(&terminal.printer);
    let listed = commands::partials::run(&settings, |listed| list.add(listed));
    if listed.is_ok() {
        list.finish(&settings.folder, settings.remove_older.is_some());
    }
    terminal.end(listed)
}

async fn sandbox(arguments: SandboxArgs) -> u8 {
    let terminal = Terminal::plain();
    let printer = &terminal.printer;
    let settings = SandboxSettings {
        providers: arguments.provider,
        folder: arguments.dir,
        faults: arguments.fault,
        command: arguments.command,
    };
    let ended = commands::sandbox::run(settings, |running| printer.sandbox(running));
    match ended.await {
        Ok(ended) => {
            printer.sandbox_report(&ended.report);
            ended.exit_code
        }
        Err(error) => terminal.fail(error),
    }
}
