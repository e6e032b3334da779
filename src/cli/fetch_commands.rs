//! The commands that fetch: those of providers and `sync`, from their arguments to their settings.

use super::args::{Fetch, FetchFrom, Sync};
use super::batch_report::{BatchKind, BatchReport};
use super::command_line::OptionOrigins;
use super::common::{Terminal, connection, output_options, provider};
use super::options::BatchArgs;
use super::values::{self, IdArg};
use crate::commands;
use crate::commands::fetch::FetchSettings;
use crate::commands::ids::{IdOrigin, IdSource};
use crate::commands::sync::SyncSettings;
use crate::config::settings::Connection;
use crate::error::{Code, Error, Result};
use crate::fetch::batch::DistinctSource;
use crate::fetch::options::{DigestOptions, FetchOptions};
use crate::fetch::target::{IfExists, TargetOptions, Template};
use crate::provider::Provider;
use crate::ui::OutputOptions;
use rustix::fs::FileType;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

/// `docfetch PROVIDER`.
pub(super) async fn fetch(command: FetchFrom, origins: OptionOrigins) -> u8 {
    let FetchFrom {
        provider: name,
        arguments,
    } = command;
    let terminal = Terminal::new(output_options_of_batch(&arguments.batch), origins);
    let provider = provider(&name, &arguments.batch.resource);
    let reads_stdin = arguments.ids.iter().any(|id| matches!(id, IdArg::Stdin));
    let settings = match provider.and_then(|provider| fetch_settings(provider, arguments)) {
        Ok(settings) => settings,
        Err(error) => return terminal.fail(error),
    };
    if reads_stdin {
        let what = "docfetch reads ids from standard input, one on each line, until Ctrl-D";
        terminal.printer.prompt(what);
    }
    let given = settings.ids.known_documents();
    let has_many = settings.ids.total() != Some(1);
    let shares_terminal = (reads_stdin && io::stdin().is_terminal())
        || (settings.options.stdout && io::stdout().is_terminal());
    let progress = terminal.printer.watcher(shares_terminal);
    let fails_if_exists = settings.options.target.if_exists == IfExists::Fail;
    let report = BatchReport::new(
        &terminal,
        settings.provider.table.name.clone(),
        BatchKind::Ids,
        has_many,
    );
    let mut report = report.failing_if_exists(fails_if_exists);
    let fetching = commands::fetch::run(settings, progress.as_ref(), |end| {
        report.print_document(end)
    });
    let (summary, result) = fetching.await;
    drop(progress);
    report.finish(summary, result, &given)
}

/// `docfetch sync`.
pub(super) async fn sync(arguments: Sync, origins: OptionOrigins) -> u8 {
    let terminal = Terminal::new(output_options_of_batch(&arguments.batch), origins);
    let provider = provider(&arguments.provider, &arguments.batch.resource);
    let settings = match provider.and_then(|provider| sync_settings(provider, arguments)) {
        Ok(settings) => settings,
        Err(error) => return terminal.fail(error),
    };
    let progress = terminal.printer.watcher(false);
    let is_filtered = settings.is_filtered();
    let kind = BatchKind::Mirror { is_filtered };
    let mut report = BatchReport::new(&terminal, settings.provider.table.name.clone(), kind, true);
    let syncing = commands::sync::run(settings, progress.as_ref(), |end| {
        report.print_document(end)
    });
    let (summary, result) = Box::pin(syncing).await;
    drop(progress);
    report.finish(summary, result, &[])
}

fn output_options_of_batch(batch: &BatchArgs) -> OutputOptions {
    output_options(&batch.output_args, batch.progress.into())
}

/// Checks what clap cannot check: options that exclude each other, and those that permit only one document.
///
/// # Errors
/// [`Code::Usage`].
fn fetch_settings(provider: Provider, arguments: Fetch) -> Result<FetchSettings> {
    let Fetch {
        ids,
        from_file,
        output,
        batch,
        ..
    } = arguments;
    let origins = origins(&provider, ids, from_file)?;
    for (option, path) in [
        ("--output-dir", Some(&arguments.output_dir)),
        ("--output", output.as_ref()),
        ("--manifest", batch.manifest.as_ref()),
    ] {
        path.map_or(Ok(()), |path| check_local(option, path))?;
    }
    let stdout = output.as_deref() == Some(Path::new("-"));
    let would_mix = "records and the document's bytes would mix on standard output";
    if stdout && batch.output_args.json {
        let what = "--json cannot go with `--output -`";
        return Err(Error::new(Code::Usage, what).with_cause(would_mix));
    }
    if stdout && batch.manifest.as_deref().is_some_and(is_standard_output) {
        let what = "--manifest is where `--output -` writes to";
        let error = Error::new(Code::Usage, what).with_cause(would_mix);
        return Err(error.with_hint("give --manifest a file of its own"));
    }
    if output.is_some() && arguments.is_name_flag {
        let what = "--name cannot go with --output";
        return Err(Error::new(Code::Usage, what)
            .with_cause("--output names the file itself")
            .with_hint("leave out one of them; --output-dir names the folder"));
    }
    let single_document_option = match (&output, arguments.sha256) {
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
    Ok(FetchSettings {
        ids: DistinctSource::new(IdSource::new(provider.clone(), origins), None),
        provider,
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
        single_document_option,
    })
}

/// The origins of the ids: arguments, standard input, and a file.
///
/// # Errors
/// [`Code::Usage`] when `-` is given twice, or for an id of another provider or kind.
fn origins(
    provider: &Provider,
    ids: Vec<IdArg>,
    from_file: Option<PathBuf>,
) -> Result<Vec<IdOrigin>> {
    let mut origins = Vec::with_capacity(ids.len());
    for id in ids {
        let origin = match id {
            IdArg::Stdin if origins.contains(&IdOrigin::Stdin) => {
                let error = Error::new(Code::Usage, "`-` is given twice");
                return Err(error.with_cause("standard input can be read only once"));
            }
            IdArg::Stdin => IdOrigin::Stdin,
            IdArg::Document(document) => IdOrigin::Id(provider.document_id(&document)?),
        };
        origins.push(origin);
    }
    origins.extend(from_file.map(IdOrigin::File));
    Ok(origins)
}

/// Reads the template, whose fields depend on the provider.
///
/// # Errors
/// [`Code::Usage`] for a template that cannot be used.
fn sync_settings(provider: Provider, arguments: Sync) -> Result<SyncSettings> {
    let Sync {
        dir, name, batch, ..
    } = arguments;
    check_local("<DIR>", &dir)?;
    arguments.filters.check_dates()?;
    arguments.filters.note_pattern();
    let layout = values::layout(&name, &provider).map_err(|why| {
        let what = format!("invalid value {name:?} for '--name <TEMPLATE>'");
        Error::new(Code::Usage, what).with_cause(why)
    })?;
    let target_options = TargetOptions {
        file: None,
        folder: dir.clone(),
        template: Template::default(),
        if_exists: IfExists::Fail,
    };
    let connection = connection(batch.connection.clone(), &batch.charges);
    Ok(SyncSettings {
        provider,
        folder: dir,
        layout,
        limit: arguments.filters.limit,
        filter: arguments.filters.into(),
        verify: arguments.verify,
        options: FetchOptions {
            digests: DigestOptions {
                expected_sha256: None,
                compute_sha256: true,
            },
            ..options(&batch, target_options, &connection)
        },
        connection,
        manifest: batch.manifest,
    })
}

/// Checks that a path is no URL.
///
/// # Errors
/// [`Code::Usage`] for `s3://bucket/folder` and the like.
fn check_local(option: &str, path: &Path) -> Result<()> {
    let Some((scheme, _)) = path.to_str().and_then(|path| path.split_once("://")) else {
        return Ok(());
    };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if !is_scheme {
        return Ok(());
    }
    let what = format!("{option} names {scheme}://…, and docfetch writes to local files only");
    let hint = match scheme {
        "file" => "give the path without file://".to_owned(),
        _ => format!(
            "write to a folder, or pass one document on: `docfetch … -o - | TOOL {scheme}://…`"
        ),
    };
    Err(Error::new(Code::Usage, what)
        .with_cause("docfetch has no client for other storages")
        .with_hint(hint))
}

/// The options that all these commands have.
fn options(batch: &BatchArgs, target: TargetOptions, connection: &Connection) -> FetchOptions {
    FetchOptions {
        target,
        jobs: usize::from(batch.jobs),
        connections: batch.connections,
        stdout: false,
        digests: DigestOptions::default(),
        dry_run: batch.dry_run,
        resume: !batch.no_resume,
        remote_time: batch.remote_time,
        busy_timeout: connection.retry_max_time,
        limit_rate: batch.limit_rate,
        fail_fast: batch.fail_fast,
    }
}

/// Whether a path is standard output under another name. A device that is no terminal, such as /dev/null, does
/// not count: it discards what it gets.
fn is_standard_output(path: &Path) -> bool {
    let Ok(stdout) = rustix::fs::fstat(io::stdout()) else {
        return false;
    };
    let is_discarded = FileType::from_raw_mode(stdout.st_mode) == FileType::CharacterDevice
        && !io::stdout().is_terminal();
    let is_same = rustix::fs::stat(path)
        .is_ok_and(|found| (found.st_dev, found.st_ino) == (stdout.st_dev, stdout.st_ino));
    is_same && !is_discarded
}

/// The folder as it stands in printed paths: `docfetch sm ID` prints `name`, not `./name`.
fn folder(given: PathBuf) -> PathBuf {
    if given == Path::new(".") {
        PathBuf::new()
    } else {
        given
    }
}
