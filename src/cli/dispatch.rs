//! Command to `commands::*`, error to exit code.

use super::args::{
    Cli, Command, Fetch, FormatArg, Ledger, List, OutputArgs, ProviderArg, Sandbox, SpeechArgs,
    UrlOf, Verify,
};
use crate::commands;
use crate::commands::fetch::Batch;
use crate::config::settings::Connection;
use crate::error::{Code, Error, Result};
use crate::fetch::destination::Wish;
use crate::fetch::engine::Options;
use crate::fetch::manifest::Form;
use crate::fetch::outcome::Summary;
use crate::fetch::verify::Wanted;
use crate::provider::{Provider, one_codex, standard_metrics};
use crate::ui::{Color, Look, Printer, ProgressKind};
use clap::error::ErrorKind;
use std::collections::HashSet;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
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
            let error = Error::new(Code::Unexpected, "cannot start").why(error.to_string());
            return ExitCode::from(fail(&plain_printer(), &error));
        }
    };
    let code = runtime.block_on(dispatch(cli.command));
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
        Some(cause) => wrong.why(cause),
        None => wrong,
    };
    match (tip, usage) {
        (Some(tip), _) => wrong.hint(tip),
        (None, Some(usage)) => wrong.hint(format!("{usage}; see --help")),
        (None, None) => wrong,
    }
}

async fn dispatch(command: Command) -> u8 {
    match command {
        Command::Sm(arguments) => Box::pin(fetch(standard_metrics(), arguments)).await,
        Command::Onecodex(arguments) => Box::pin(fetch(one_codex(), arguments)).await,
        Command::List(arguments) => list(arguments).await,
        Command::Url(arguments) => url(arguments).await,
        Command::Verify(arguments) => verify(&arguments),
        Command::Ledger(command) => ledger(command).await,
        Command::Sandbox(arguments) => sandbox(arguments).await,
    }
}

async fn fetch(provider: Provider, arguments: Fetch) -> u8 {
    let printer = Printer::new(look(&arguments.output_args, arguments.progress.into()));
    let name = provider.name;
    let batch = match batch(provider, arguments) {
        Ok(batch) => batch,
        Err(error) => return fail(&printer, &error),
    };
    let ids = batch.ids.clone();
    let many = ids.len() > 1;
    let watcher = printer.watcher();
    let mut closed = None;
    let result = commands::fetch::run(batch, watcher.as_ref(), |id, result| {
        match printer.document(name, id, result, many) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                closed = Some(error);
                ControlFlow::Break(())
            }
        }
    })
    .await;
    drop(watcher);
    let summary = match result {
        Ok(summary) => Ok(summary),
        Err(error) => {
            printer.error(&error, None);
            let mut summary = Summary::default();
            let told = ids.iter().try_for_each(|id| {
                summary.add_failure(&error);
                printer.failure(name, id, &error)
            });
            told.map(|()| summary)
        }
    };
    let told = match (closed, summary) {
        (Some(error), _) | (None, Err(error)) => Err(error),
        (None, Ok(summary)) => printer.summary(&summary, many).map(|()| summary.exit_code),
    };
    told.unwrap_or_else(|error| fail(&printer, &error))
}

/// Checks what clap cannot: ids by provider, and options that need a single id.
fn batch(provider: Provider, arguments: Fetch) -> Result<Batch> {
    let mut ids = Vec::with_capacity(arguments.ids.len());
    let mut seen = HashSet::new();
    for id in &arguments.ids {
        if id == "-" {
            return Err(Error::new(Code::Usage, "`-` is not a document id")
                .hint("give the ids as arguments, e.g. through xargs"));
        }
        let id = provider.document_id(id)?;
        if seen.insert(id.clone()) {
            ids.push(id);
        }
    }
    let single = |option: &str, given: bool| {
        if given && ids.len() > 1 {
            Err(
                Error::new(Code::Usage, format!("{option} is for a single document"))
                    .why(format!("{} ids are given", ids.len())),
            )
        } else {
            Ok(())
        }
    };
    single("--output", arguments.output.is_some())?;
    single("--sha256", arguments.sha256.is_some())?;
    let stdout = arguments.output.as_deref() == Some(Path::new("-"));
    if stdout && arguments.output_args.json {
        return Err(
            Error::new(Code::Usage, "--json cannot go with `--output -`")
                .why("records and the document's bytes would mix on standard output"),
        );
    }
    let mut connection = Connection::from(arguments.connection);
    connection.allow_recharge = arguments.recharge.allow_recharge;
    let options = Options {
        wish: Wish {
            file: arguments.output.filter(|_| !stdout),
            folder: folder(arguments.output_dir),
            template: arguments.name,
            if_exists: arguments.if_exists.into(),
        },
        stdout,
        wanted: Wanted {
            expected_sha256: arguments.sha256,
            sha256: arguments.output_args.json,
        },
        dry_run: arguments.dry_run,
        resume: !arguments.no_resume,
        patience: connection.retry_max_time,
    };
    Ok(Batch {
        provider,
        ids,
        connection,
        options,
    })
}

/// The default folder is left out of paths: `docfetch sm ID` prints `name`, not `./name`.
fn folder(given: PathBuf) -> PathBuf {
    if given == Path::new(".") {
        PathBuf::new()
    } else {
        given
    }
}

async fn list(arguments: List) -> u8 {
    let printer = Printer::new(look(&arguments.output_args, ProgressKind::None));
    let mut table = crate::ui::Table::default();
    let connection = arguments.connection.into();
    let listed = commands::list::run(
        provider(arguments.provider),
        &connection,
        arguments.limit,
        |rows| {
            if arguments.ids {
                printer.ids(rows)
            } else {
                printer.rows(rows, &mut table)
            }
        },
    );
    end(&printer, listed.await)
}

async fn url(arguments: UrlOf) -> u8 {
    let printer = Printer::new(look_plain(&arguments.speech));
    let provider = provider(arguments.provider);
    let mut connection = Connection::from(arguments.connection);
    connection.allow_recharge = arguments.recharge.allow_recharge;
    let resolved = async {
        let id = provider.document_id(&arguments.id)?;
        commands::url::run(provider, &connection, &id, |url| printer.url(url)).await
    };
    end(&printer, resolved.await)
}

fn verify(arguments: &Verify) -> u8 {
    let printer = Printer::new(look(&arguments.output_args, ProgressKind::None));
    let verified = || {
        let manifest = commands::verify::read(&arguments.manifest)?;
        let sums = arguments.format == FormatArg::Sha256sum;
        let list = sums && manifest.form != Some(Form::Sha256sum);
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
        Ledger::Forget { id, speech } => {
            let printer = Printer::new(look_plain(&speech));
            let forgotten = commands::ledger::forget(&id).await;
            end(&printer, forgotten.and_then(|id| printer.id(id.as_str())))
        }
    }
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

fn provider(argument: ProviderArg) -> Provider {
    match argument {
        ProviderArg::Sm => standard_metrics(),
        ProviderArg::Onecodex => one_codex(),
    }
}

fn plain_printer() -> Printer {
    Printer::new(look_plain(&SpeechArgs::default()))
}

fn end(printer: &Printer, result: Result<()>) -> u8 {
    result.map_or_else(|error| fail(printer, &error), |()| 0)
}

fn fail(printer: &Printer, error: &Error) -> u8 {
    printer.error(error, None);
    error.exit_code()
}

fn look(arguments: &OutputArgs, progress: ProgressKind) -> Look {
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
