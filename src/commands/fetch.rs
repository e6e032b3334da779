//! `docfetch PROVIDER`: documents by their ids.

use super::batch::{Batch, BatchTally, OnEnd};
use super::ids::IdSource;
use crate::config::settings::Connection;
use crate::error::{Code, Error, Result};
use crate::fetch::batch::{DistinctSource, FetchEnd};
use crate::fetch::events::Progress;
use crate::fetch::fetcher::Fetcher;
use crate::fetch::options::FetchOptions;
use crate::fetch::summary::Summary;
use crate::interrupt::Interrupt;
use crate::manifest::{ManifestAppender, check_appendable, is_same_file};
use crate::provider::Provider;
use crate::state::streams;
use std::io::{self, IsTerminal as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// What to fetch, and how.
pub(crate) struct FetchSettings {
    /// The provider of the documents.
    pub provider: Provider,
    /// The ids of the documents.
    pub ids: DistinctSource<IdSource>,
    /// How to connect.
    pub connection: Connection,
    /// How to fetch each document.
    pub options: FetchOptions,
    /// A file that gets a line for each document.
    pub manifest: Option<PathBuf>,
    /// An option that permits only one document, such as `--output`.
    pub single_document_option: Option<&'static str>,
}

/// Fetches the documents. `on_end` sees each document that ended, and may stop the batch.
///
/// # Errors
/// What fails before the first document, such as [`Code::Usage`] or [`Code::CredentialsMissing`], and what
/// keeps further ids from being read. The failure of a document goes to `on_end`.
pub(crate) async fn run(
    settings: FetchSettings,
    progress: &dyn Progress,
    mut on_end: impl FnMut(&FetchEnd) -> ControlFlow<()>,
) -> (Summary, Result<()>) {
    let mut tally = BatchTally::new(&settings.provider, &settings.options, &settings.connection);
    let result = fetch(settings, progress, &mut tally, &mut on_end).await;
    (tally.finish(&result), result)
}

async fn fetch(
    settings: FetchSettings,
    progress: &dyn Progress,
    tally: &mut BatchTally,
    on_end: OnEnd<'_>,
) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let mut ids = settings.ids;
    let mut options = settings.options;
    if let Some(manifest) = &settings.manifest {
        check_appendable(manifest)?;
        check_output_is_apart(&options, manifest)?;
    }
    let has_many = ids.total() != Some(1);
    if has_many {
        progress.expect(ids.total());
    } else {
        options.jobs = 1;
    }
    if let Some(option) = settings.single_document_option
        && interrupt.or_interrupted(ids.has(2)).await?
    {
        let what = format!("{option} is for a single document");
        let hint = match option {
            "--output" => "give one id, or name several files with --output-dir and --name",
            _ => "give one id; --manifest records the SHA-256 of several documents",
        };
        let error = Error::new(Code::Usage, what).with_cause("more than one id is given");
        return Err(error.with_hint(hint));
    }
    if !interrupt.or_interrupted(ids.has(1)).await? {
        return Ok(()); // there is no id
    }
    if options.stdout && !options.dry_run {
        streams::check_stdout()?;
        if settings.provider.charges() && io::stdout().is_terminal() {
            return Err(paid_for_terminal());
        }
    }
    let resolver = super::resolver(settings.provider, &settings.connection)?;
    let manifest = ManifestAppender::of_run(settings.manifest.as_deref(), options.dry_run)?;
    let fetcher = Fetcher::new(resolver, options);
    super::reserve_manifest(&fetcher, manifest.as_ref());
    let batch = Batch {
        fetcher: &fetcher,
        progress,
        interrupt: &interrupt,
        manifest,
        has_many,
    };
    let start = |order, id, ()| fetcher.document(order, Into::into(id), progress, &interrupt);
    let running = batch.run(&mut ids, start, |_| Ok(()), tally, on_end);
    running.await.map_err(|error| match error.code() {
        // The manifest has no line of a document that is here now.
        Code::DiskFull if !error.has_own_hint() => {
            error.with_hint("free disk space and run again with --if-exists skip")
        }
        _ => error,
    })
}

/// Checks that the document does not replace the manifest.
fn check_output_is_apart(options: &FetchOptions, manifest: &Path) -> Result<()> {
    let target = &options.target;
    let output = target.file.as_ref().map(|file| target.folder.join(file));
    let is_device = |path: &Path| path.exists() && !path.is_file();
    match output {
        Some(output) if is_same_file(&output, manifest) && !is_device(&output) => {
            let what = format!(
                "--output and --manifest name one file: {}",
                output.display()
            );
            let error = Error::new(Code::Usage, what);
            let error = error.with_cause("the document would replace the manifest");
            Err(error.with_hint("give --manifest a file of its own"))
        }
        _ => Ok(()),
    }
}

/// The error of a document that costs money and would go to a terminal, which is no place for binary data.
fn paid_for_terminal() -> Error {
    Error::new(
        Code::Usage,
        "docfetch writes no document that may be charged to a terminal",
    )
    .with_cause(
        "binary data can make a terminal unusable, and docfetch sees the data only after it paid",
    )
    .with_hint("redirect standard output (`-o - > FILE`), or give `-o FILE`")
}
