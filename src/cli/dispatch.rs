//! Command to `commands::*`, error to exit code.

use super::args::{
    Cli, Command, Forget, FormatArg, Ledger, List, OutputArgs, ProviderArg, ResourceArgs, Sandbox,
    SpeechArgs, UrlOf, Verify,
};
use super::batches::{connection, fetch, sync};
use crate::commands;
use crate::commands::ledger::{Choice, Forgotten};
use crate::error::panics;
use crate::error::{Code, Error, Result};
use crate::manifest::ManifestForm;
use crate::provider::{Provider, Resource, one_codex, standard_metrics};
use crate::resolve::filter::Filter;
use crate::resolve::row::Row;
use crate::ui::{Color, Look, Printer, ProgressKind};
use clap::ValueEnum as _;
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs docfetch with these arguments; returns what the process exits with.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::read(arguments) {
        Ok(cli) => cli,
        Err(error)
            if error.use_stderr()
                && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand =>
        {
            return ExitCode::from(fail(&plain_printer(), &wrong_usage(&error)));
        }
        Err(error) => {
            // Help and version.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = Error::new(Code::Unexpected, "cannot start").with_cause(error.to_string());
            return ExitCode::from(fail(&plain_printer(), &error));
        }
    };
    panics::silence();
    let code = panics::catch(|| runtime.block_on(dispatch(cli.command)))
        .unwrap_or_else(|panic| fail(&plain_printer(), &panic.to_error()));
    // A write to a pipe that nobody reads may still block: do not wait for it.
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// What the parser says, in the three lines of every other error: its first line, what it lists, and
/// its tip or where the help is.
fn wrong_usage(error: &clap::Error) -> Error {
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let what = lines.next().unwrap_or("wrong usage");
    let what = what.trim_start_matches("error: ").trim_end_matches(':');
    let lines: Vec<&str> = lines.collect();
    let says = |line: &&&str| {
        ["tip: ", "Usage: ", "For more"]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let listed: Vec<&str> = lines
        .iter()
        .take_while(|line| !says(line))
        .copied()
        .collect();
    let tip = lines.iter().find_map(|line| line.strip_prefix("tip: "));
    let usage = lines.iter().find_map(|line| line.strip_prefix("Usage: "));
    // "invalid value 'x' for '--retries <N>': invalid digit found in string"
    let (what, cause) = match what.split_once("': ") {
        Some((what, cause)) => (format!("{what}'"), Some(cause.to_owned())),
        None => (what.to_owned(), None),
    };
    let cause = cause.or_else(|| (!listed.is_empty()).then(|| listed.join(" ")));
    let wrong = Error::new(Code::Usage, what);
    let wrong = match cause {
        Some(cause) => wrong.with_cause(cause),
        None => wrong,
    };
    match (tip, usage) {
        (Some(tip), _) => wrong.with_hint(tip),
        (None, Some(usage)) => wrong.with_hint(format!("{usage}; see --help")),
        (None, None) => wrong,
    }
}

async fn dispatch(command: Command) -> u8 {
    match command {
        Command::Sm(arguments) => Box::pin(fetch(ProviderArg::Sm, arguments)).await,
        Command::Onecodex(arguments) => Box::pin(fetch(ProviderArg::Onecodex, arguments)).await,
        Command::Sync(arguments) => Box::pin(sync(arguments)).await,
        Command::List(arguments) => list(arguments).await,
        Command::Url(arguments) => Box::pin(url(arguments)).await,
        Command::Verify(arguments) => verify(&arguments),
        Command::Ledger(command) => ledger(command).await,
        Command::Sandbox(arguments) => sandbox(arguments).await,
    }
}

async fn list(arguments: List) -> u8 {
    let printer = Printer::new(look(&arguments.output_args, ProgressKind::None));
    let mut table = crate::ui::Table::default();
    let connection = arguments.connection.into();
    let limit = arguments.filters.limit;
    let filter = Filter::from(arguments.filters);
    let listed = async {
        let provider = provider(arguments.provider, &arguments.resource)?;
        let each = |rows: &[Row]| {
            if arguments.ids {
                printer.ids(rows)
            } else {
                printer.rows(rows, &mut table)
            }
        };
        commands::list::run(provider, &connection, &filter, limit, each).await
    };
    end(&printer, listed.await)
}

async fn url(arguments: UrlOf) -> u8 {
    let printer = Printer::new(look_plain(&arguments.speech));
    let connection = connection(arguments.connection, &arguments.charges);
    let resolved = async {
        let provider = provider(arguments.provider, &arguments.resource)?;
        let id = provider.document_id(&arguments.id)?;
        let printing = |url: &_| printer.url(url);
        Box::pin(commands::url::run(provider, &connection, &id, printing)).await
    };
    end(&printer, Box::pin(resolved).await)
}

fn verify(arguments: &Verify) -> u8 {
    let printer = Printer::new(look(&arguments.output_args, ProgressKind::None));
    let verified = || {
        let manifest = commands::verify::read(&arguments.manifest)?;
        let sums = arguments.format == FormatArg::Sha256sum;
        let list = sums && manifest.form != Some(ManifestForm::Sha256sum);
        let tally = commands::verify::run(&manifest, list, |checked| {
            if list {
                printer.sha256sum(checked)
            } else {
                printer.checked(checked)
            }
        })?;
        printer.tally(&tally, list)?;
        Ok(tally.exit_code)
    };
    verified().unwrap_or_else(|error| fail(&printer, &error))
}

async fn ledger(command: Ledger) -> u8 {
    match command {
        Ledger::List(arguments) => {
            let printer = Printer::new(look(&arguments, ProgressKind::None));
            let listed = commands::ledger::list().await;
            let shown = listed.and_then(|(found, untrusted)| printer.ledger(&found, &untrusted));
            end(&printer, shown)
        }
        Ledger::Forget(arguments) => {
            let printer = Printer::new(look_plain(&arguments.speech));
            let forgotten = match choice(arguments) {
                Ok(choice) => commands::ledger::forget(choice).await,
                Err(error) => Err(error),
            };
            let shown = forgotten.and_then(|forgotten| match forgotten {
                Forgotten::One(id) => printer.id(id.as_str()),
                Forgotten::None(matches) => {
                    printer.matches(&matches);
                    Err(commands::ledger::several(&matches))
                }
            });
            end(&printer, shown)
        }
    }
}

fn choice(arguments: Forget) -> Result<Choice> {
    let (provider, id) = match arguments.second {
        Some(id) => (Some(arguments.first), id),
        None => (None, arguments.first),
    };
    if let Some(name) = &provider
        && ProviderArg::from_str(name, false).is_err()
    {
        return Err(
            Error::new(Code::Usage, format!("there is no provider {name:?}"))
                .with_hint("see docfetch ledger forget --help"),
        );
    }
    Ok(Choice {
        provider,
        id,
        resource: arguments.resource.map(Resource::from),
        base: arguments.base,
    })
}

async fn sandbox(arguments: Sandbox) -> u8 {
    let printer = plain_printer();
    let plan = commands::sandbox::Plan {
        folder: arguments.dir,
        faults: arguments.fault,
        command: arguments.command,
    };
    let ended = commands::sandbox::run(plan, |documents, variables| {
        printer.sandbox(documents, variables)
    });
    match ended.await {
        Ok(ended) => {
            printer.sandbox_report(&ended.report);
            ended.exit_code
        }
        Err(error) => fail(&printer, &error),
    }
}

pub(super) fn provider(argument: ProviderArg, resource: &ResourceArgs) -> Result<Provider> {
    let resource = Resource::from(resource.resource);
    let provider = match argument {
        ProviderArg::Sm => standard_metrics(),
        ProviderArg::Onecodex => one_codex(resource),
    };
    if provider.resource.unwrap_or_default() == resource {
        return Ok(provider);
    }
    let (title, kind) = (provider.title, resource.name());
    Err(
        Error::new(Code::Usage, format!("{title} has no {kind}")).with_cause(format!(
            "--resource {kind}, or its variable, is for One Codex"
        )),
    )
}

fn plain_printer() -> Printer {
    Printer::new(look_plain(&SpeechArgs::default()))
}

fn end(printer: &Printer, result: Result<()>) -> u8 {
    result.map_or_else(|error| fail(printer, &error), |()| 0)
}

pub(super) fn fail(printer: &Printer, error: &Error) -> u8 {
    printer.error(error, None);
    error.exit_code()
}

pub(super) fn look(arguments: &OutputArgs, progress: ProgressKind) -> Look {
    Look {
        json: arguments.json,
        progress,
        ..look_plain(&arguments.speech)
    }
}

fn look_plain(speech: &SpeechArgs) -> Look {
    Look {
        json: false,
        progress: ProgressKind::None,
        quiet: speech.quiet,
        verbose: speech.verbose,
        color: Color::from(speech.color),
    }
}
