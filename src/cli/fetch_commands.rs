//! The commands that fetch: `sm`, `onecodex` and `sync`. From arguments to settings, and from results to
//! output and an exit code.

use super::args::{Fetch, Sync};
use super::choices::ProviderArg;
use super::command_line::Variables;
use super::common::{Terminal, connection, look, provider};
use super::options::BatchArgs;
use crate::commands;
use crate::commands::fetch::Batch;
use crate::commands::ids::Origin;
use crate::config::settings::Connection;
use crate::error::{Code, Error, Result};
use crate::fetch::batch::queue::FetchEnd;
use crate::fetch::options::{DigestOptions, FetchOptions};
use crate::fetch::summary::Summary;
use crate::fetch::target::Template;
use crate::fetch::target::{IfExists, TargetOptions};
use crate::provider::Provider;
use crate::ui::Look;
use rustix::fs::FileType;
use std::collections::HashSet;
use std::io::IsTerminal as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// `docfetch sm` and `docfetch onecodex`.
pub(super) async fn fetch(from: ProviderArg, arguments: Fetch, variables: Variables) -> u8 {
    let terminal = Terminal::new(look_of_batch(&arguments.batch), variables);
    let provider = match provider(from, &arguments.batch.resource) {
        Ok(provider) => provider,
        Err(error) => return terminal.fail(error),
    };
    let (name, charges) = (provider.name, provider.charges());
    let batch = match batch(provider, arguments) {
        Ok(batch) => batch,
        Err(error) => return terminal.fail(error),
    };
    let given = batch.origins.clone();
    let many = !matches!(given.as_slice(), [Origin::Id(_)]);
    let progress = terminal.printer.watcher();
    let mut told = Told::new(&terminal, name, many);
    let (mut summary, result) =
        commands::fetch::run(batch, progress.as_ref(), |ended| told.document(ended)).await;
    drop(progress);
    let result = match result {
        Err(error) if told.nothing() && error.code() == Code::Usage => return terminal.fail(error),
        result => result.map_err(|error| terminal.with_variable(error)),
    };
    if let Err(error) = &result
        && told.nothing()
        && error.code() != Code::Interrupted
    {
        // The batch failed before its first document: every document on the command line failed.
        for origin in &given {
            if let Origin::Id(id) = origin {
                summary.failed += 1;
                told.failure(id.as_str(), charges.then_some(false), error);
            }
        }
    }
    told.end(&summary, result)
}

/// `docfetch sync`.
pub(super) async fn sync(arguments: Sync, variables: Variables) -> u8 {
    let terminal = Terminal::new(look_of_batch(&arguments.batch), variables);
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
        Err(error) => return terminal.fail(error),
    };
    let limit = filters.limit;
    let connection = connection(batch.connection.clone(), &batch.charges);
    let target_options = TargetOptions {
        file: None,
        folder: dir.clone(),
        template: Template::default(),
        if_exists: IfExists::Fail,
    };
    let progress = terminal.printer.watcher();
    let mut told = Told::new(&terminal, provider.name, true);
    let plan = commands::sync::Plan {
        provider,
        folder: dir,
        name,
        filter: filters.into(),
        limit,
        verify,
        options: FetchOptions {
            digests: DigestOptions {
                expected_sha256: None,
                compute_sha256: true,
            },
            ..options(&batch, target_options, &connection)
        },
        connection,
        manifest: batch.manifest,
    };
    let syncing = commands::sync::run(plan, progress.as_ref(), |ended| told.document(ended));
    let (summary, result) = Box::pin(syncing).await;
    drop(progress);
    match result {
        Err(error) if told.nothing() && error.code() == Code::Usage => terminal.fail(error),
        result => told.end(
            &summary,
            result.map_err(|error| terminal.with_variable(error)),
        ),
    }
}

fn look_of_batch(batch: &BatchArgs) -> Look {
    look(&batch.output_args, batch.progress.into())
}

/// What a fetch by ids and a mirror have in common.
fn options(batch: &BatchArgs, target: TargetOptions, connection: &Connection) -> FetchOptions {
    FetchOptions {
        target,
        jobs: usize::from(batch.jobs),
        connections: batch.connections,
        stdout: false,
        digests: DigestOptions::default(),
        dry_run: batch.dry_run,
        resume: !batch.no_resume,
        busy_timeout: connection.retry_max_time,
        limit_rate: batch.limit_rate,
        fail_fast: batch.fail_fast,
    }
}

/// What was told of a batch.
struct Told<'a> {
    terminal: &'a Terminal,
    provider: &'static str,
    many: bool,
    documents: u64,
    /// An interrupt that was not told for each document.
    interrupted: Option<Error>,
    /// Why nothing more can be told.
    closed: Option<Error>,
}

impl<'a> Told<'a> {
    fn new(terminal: &'a Terminal, provider: &'static str, many: bool) -> Self {
        Self {
            terminal,
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

    fn document(&mut self, ended: &FetchEnd) -> ControlFlow<()> {
        self.documents += 1;
        if let Err(error) = &ended.result
            && error.code() == Code::Interrupted
            && self.many
        {
            self.interrupted = Some(error.clone());
        }
        if self.closed.is_none() {
            let told = self
                .terminal
                .printer
                .document(self.provider, ended, self.many);
            self.closed = told.err();
        }
        match self.closed {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    }

    fn failure(&mut self, id: &str, charged: Option<bool>, error: &Error) {
        if self.closed.is_none() {
            let told = self
                .terminal
                .printer
                .failure(self.provider, id, charged, error);
            self.closed = told.err();
        }
    }

    /// The last words, and what the process exits with.
    fn end(self, summary: &Summary, result: Result<()>) -> u8 {
        // A single document has said itself that it was interrupted.
        let told = |error: &Error| error.code() == Code::Interrupted && !self.many;
        let error = result
            .err()
            .filter(|error| self.documents == 0 || !told(error));
        if let Some(error) = error.or(self.interrupted) {
            self.terminal.printer.error(&error, None);
        }
        if let Some(error) = self.closed {
            return self.terminal.fail(error);
        }
        match self
            .terminal
            .printer
            .summary(summary, self.many && self.documents > 0)
        {
            Ok(()) => summary.exit_code,
            Err(error) => self.terminal.fail(error),
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
    let mut origins: Vec<Origin> = Vec::with_capacity(ids.len());
    let mut given = HashSet::new();
    for id in &ids {
        let origin = match id.as_str() {
            "-" => Origin::Stdin,
            id => Origin::Id(provider.document_id(id)?),
        };
        if let Origin::Id(id) = &origin
            && !given.insert(id.clone())
        {
            continue;
        }
        if origin == Origin::Stdin && origins.contains(&origin) {
            return Err(Error::new(Code::Usage, "`-` is given twice")
                .with_cause("standard input can be read only once"));
        }
        origins.push(origin);
    }
    origins.extend(from_file.map(Origin::File));
    let stdout = output.as_deref() == Some(Path::new("-"));
    if stdout && batch.output_args.json {
        return Err(
            Error::new(Code::Usage, "--json cannot go with `--output -`")
                .with_cause("records and the document's bytes would mix on standard output"),
        );
    }
    if stdout
        && let Some(manifest) = &batch.manifest
        && is_standard_output(manifest)
    {
        return Err(
            Error::new(Code::Usage, "--manifest is where `--output -` writes to")
                .with_cause("records and the document's bytes would mix on standard output")
                .with_hint("give --manifest a file of its own"),
        );
    }
    let single = match (&output, arguments.sha256) {
        (Some(_), _) => Some("--output"),
        (None, Some(_)) => Some("--sha256"),
        (None, None) => None,
    };
    let target_options = TargetOptions {
        file: output.filter(|_| !stdout),
        folder: folder(arguments.output_dir),
        template: arguments.name,
        if_exists: arguments.if_exists.into(),
    };
    let connection = connection(batch.connection.clone(), &batch.charges);
    Ok(Batch {
        provider,
        origins,
        options: FetchOptions {
            stdout,
            digests: DigestOptions {
                expected_sha256: arguments.sha256,
                compute_sha256: batch.output_args.json || batch.manifest.is_some(),
            },
            ..options(&batch, target_options, &connection)
        },
        connection,
        manifest: batch.manifest,
        single,
    })
}

/// Whether a path leads to what standard output is, whatever it is called; what is thrown away mixes with
/// nothing.
fn is_standard_output(path: &Path) -> bool {
    let Ok(stdout) = rustix::fs::fstat(std::io::stdout()) else {
        return false;
    };
    let thrown_away = FileType::from_raw_mode(stdout.st_mode) == FileType::CharacterDevice
        && !std::io::stdout().is_terminal();
    let same = rustix::fs::stat(path)
        .is_ok_and(|found| (found.st_dev, found.st_ino) == (stdout.st_dev, stdout.st_ino));
    same && !thrown_away
}

/// The default folder is left out of paths: `docfetch sm ID` prints `name`, not `./name`.
fn folder(given: PathBuf) -> PathBuf {
    if given == Path::new(".") {
        PathBuf::new()
    } else {
        given
    }
}
