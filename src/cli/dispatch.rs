//! Command to `commands::*`, error to exit code.

use super::args::{
    BatchArgs, Cli, Command, ConnectionArgs, Fetch, FormatArg, Ledger, List, OutputArgs,
    ProviderArg, RechargeArgs, ResourceArgs, Sandbox, SpeechArgs, Sync, UrlOf, Verify,
};
use crate::commands;
use crate::commands::fetch::Batch;
use crate::commands::ids::Origin;
use crate::config::settings::Connection;
use crate::error::{Code, Error, Result};
use crate::fetch::destination::{IfExists, Wish};
use crate::fetch::engine::Options;
use crate::fetch::manifest::Form;
use crate::fetch::naming::Template;
use crate::fetch::outcome::Summary;
use crate::fetch::queue::Ended;
use crate::fetch::verify::Wanted;
use crate::provider::{Provider, Resource, one_codex, standard_metrics};
use crate::resolve::filter::Filter;
use crate::resolve::listing::Row;
use crate::ui::{Color, Look, Printer, ProgressKind};
use clap::error::ErrorKind;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

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
        Command::Sm(arguments) => Box::pin(fetch(ProviderArg::Sm, arguments)).await,
        Command::Onecodex(arguments) => Box::pin(fetch(ProviderArg::Onecodex, arguments)).await,
        Command::Sync(arguments) => Box::pin(sync(arguments)).await,
        Command::List(arguments) => list(arguments).await,
        Command::Url(arguments) => url(arguments).await,
        Command::Verify(arguments) => verify(&arguments),
        Command::Ledger(command) => ledger(command).await,
        Command::Sandbox(arguments) => sandbox(arguments).await,
    }
}

async fn fetch(from: ProviderArg, arguments: Fetch) -> u8 {
    let printer = Printer::new(look_of_batch(&arguments.batch));
    let provider = match provider(from, &arguments.batch.resource) {
        Ok(provider) => provider,
        Err(error) => return fail(&printer, &error),
    };
    let name = provider.name;
    let batch = match batch(provider, arguments) {
        Ok(batch) => batch,
        Err(error) => return fail(&printer, &error),
    };
    let given = batch.origins.clone();
    let many = !matches!(given.as_slice(), [Origin::Id(_)]);
    let progress = printer.watcher();
    let mut told = Told::new(&printer, name, many);
    let (mut summary, result) =
        commands::fetch::run(batch, progress.as_ref(), |ended| told.document(ended)).await;
    drop(progress);
    if let Err(error) = &result
        && told.nothing()
        && error.code() != Code::Interrupted
    {
        if error.code() == Code::Usage {
            return fail(&printer, error);
        }
        // Nothing was begun: that is the failure of each document that was asked for.
        for origin in &given {
            if let Origin::Id(id) = origin {
                summary.failed += 1;
                told.failure(id.as_str(), error);
            }
        }
    }
    told.end(&summary, result)
}

async fn sync(arguments: Sync) -> u8 {
    let printer = Printer::new(look_of_batch(&arguments.batch));
    let Sync {
        provider: from,
        dir,
        name,
        verify,
        filters,
        batch,
    } = arguments;
    let provider = match provider(from, &batch.resource) {
        Ok(provider) => provider,
        Err(error) => return fail(&printer, &error),
    };
    let limit = filters.limit;
    let connection = connection(batch.connection.clone(), &batch.recharge);
    let wish = Wish {
        file: None,
        folder: dir.clone(),
        template: Template::default(),
        if_exists: IfExists::Fail,
    };
    let progress = printer.watcher();
    let mut told = Told::new(&printer, provider.name, true);
    let plan = commands::sync::Plan {
        provider,
        folder: dir,
        name,
        filter: filters.into(),
        limit,
        verify,
        options: Options {
            wanted: Wanted {
                expected_sha256: None,
                sha256: true,
            },
            ..options(&batch, wish, &connection)
        },
        connection,
        manifest: batch.manifest,
        fail_fast: batch.fail_fast,
    };
    let syncing = commands::sync::run(plan, progress.as_ref(), |ended| told.document(ended));
    let (summary, result) = Box::pin(syncing).await;
    drop(progress);
    match result {
        Err(error) if told.nothing() && error.code() == Code::Usage => fail(&printer, &error),
        result => told.end(&summary, result),
    }
}

fn look_of_batch(batch: &BatchArgs) -> Look {
    look(&batch.output_args, batch.progress.into())
}

/// What a fetch by ids and a mirror have in common.
fn options(batch: &BatchArgs, wish: Wish, connection: &Connection) -> Options {
    Options {
        wish: Arc::new(wish),
        jobs: usize::from(batch.jobs),
        stdout: false,
        wanted: Wanted::default(),
        dry_run: batch.dry_run,
        resume: !batch.no_resume,
        patience: connection.retry_max_time,
        limit_rate: batch.limit_rate,
    }
}

/// What was told of a batch.
struct Told<'a> {
    printer: &'a Printer,
    provider: &'static str,
    many: bool,
    documents: u64,
    /// An interrupt that was not told for each document.
    interrupted: Option<Error>,
    /// Why nothing more can be told.
    closed: Option<Error>,
}

impl<'a> Told<'a> {
    fn new(printer: &'a Printer, provider: &'static str, many: bool) -> Self {
        Self {
            printer,
            provider,
            many,
            documents: 0,
            interrupted: None,
            closed: None,
        }
    }

    fn nothing(&self) -> bool {
        self.documents == 0
    }

    fn document(&mut self, ended: &Ended) -> ControlFlow<()> {
        self.documents += 1;
        if let Err(error) = &ended.result
            && error.code() == Code::Interrupted
            && self.many
        {
            self.interrupted = Some(error.clone());
        }
        if self.closed.is_none() {
            let told = self.printer.document(self.provider, ended, self.many);
            self.closed = told.err();
        }
        match self.closed {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    }

    fn failure(&mut self, id: &str, error: &Error) {
        if self.closed.is_none() {
            self.closed = self.printer.failure(self.provider, id, error).err();
        }
    }

    /// The last words, and what the process exits with.
    fn end(self, summary: &Summary, result: Result<()>) -> u8 {
        if let Some(error) = result.err().or(self.interrupted) {
            self.printer.error(&error, None);
        }
        if let Some(error) = self.closed {
            return fail(self.printer, &error);
        }
        match self
            .printer
            .summary(summary, self.many && self.documents > 0)
        {
            Ok(()) => summary.exit_code,
            Err(error) => fail(self.printer, &error),
        }
    }
}

/// Checks what clap cannot: ids by provider, and options that need a single id.
fn batch(provider: Provider, arguments: Fetch) -> Result<Batch> {
    let Fetch {
        ids,
        from_file,
        output,
        batch,
        ..
    } = arguments;
    let mut origins = Vec::with_capacity(ids.len());
    for id in &ids {
        let origin = match id.as_str() {
            "-" => Origin::Stdin,
            id => Origin::Id(provider.document_id(id)?),
        };
        if origin == Origin::Stdin && origins.contains(&origin) {
            return Err(Error::new(Code::Usage, "`-` is given twice")
                .why("standard input can be read only once"));
        }
        origins.push(origin);
    }
    origins.extend(from_file.map(Origin::File));
    let stdout = output.as_deref() == Some(Path::new("-"));
    if stdout && batch.output_args.json {
        return Err(
            Error::new(Code::Usage, "--json cannot go with `--output -`")
                .why("records and the document's bytes would mix on standard output"),
        );
    }
    let single = match (&output, arguments.sha256) {
        (Some(_), _) => Some("--output"),
        (None, Some(_)) => Some("--sha256"),
        (None, None) => None,
    };
    let wish = Wish {
        file: output.filter(|_| !stdout),
        folder: folder(arguments.output_dir),
        template: arguments.name,
        if_exists: arguments.if_exists.into(),
    };
    let connection = connection(batch.connection.clone(), &batch.recharge);
    Ok(Batch {
        provider,
        origins,
        options: Options {
            stdout,
            wanted: Wanted {
                expected_sha256: arguments.sha256,
                sha256: batch.output_args.json || batch.manifest.is_some(),
            },
            ..options(&batch, wish, &connection)
        },
        connection,
        manifest: batch.manifest,
        fail_fast: batch.fail_fast,
        single,
    })
}

fn connection(arguments: ConnectionArgs, recharge: &RechargeArgs) -> Connection {
    Connection {
        allow_recharge: recharge.allow_recharge,
        ..arguments.into()
    }
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
    let connection = connection(arguments.connection, &arguments.recharge);
    let resolved = async {
        let provider = provider(arguments.provider, &arguments.resource)?;
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

fn provider(argument: ProviderArg, resource: &ResourceArgs) -> Result<Provider> {
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
        Error::new(Code::Usage, format!("{title} has no {kind}")).why(format!(
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
