//! `docfetch sm` and `docfetch onecodex`: documents by their ids.

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
use crate::manifest::ManifestAppender;
use crate::provider::Provider;
use crate::state::streams;
use std::io::{self, IsTerminal as _};
use std::ops::ControlFlow;
use std::path::PathBuf;

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
    let manifest = ManifestAppender::of_run(settings.manifest.as_deref(), options.dry_run)?;
    let resolver = super::resolver(settings.provider, &settings.connection)?;
    let fetcher = Fetcher::new(resolver, options);
    let batch = Batch {
        fetcher: &fetcher,
        progress,
        interrupt: &interrupt,
        manifest,
        has_many,
    };
    let start = |order, id, ()| fetcher.document(order, Into::into(id), progress, &interrupt);
    batch.run(&mut ids, start, |_| Ok(()), tally, on_end).await
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
