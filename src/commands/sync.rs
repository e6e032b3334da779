//! `docfetch sync`: a folder that holds every listed document.

use super::batch::{Batch, BatchTally, OnEnd};
use crate::config::settings::Connection;
use crate::error::Result;
use crate::fetch::batch::{DistinctSource, FetchEnd};
use crate::fetch::events::Progress;
use crate::fetch::fetcher::Fetcher;
use crate::fetch::options::FetchOptions;
use crate::fetch::summary::Summary;
use crate::interrupt::{Interrupt, infallible};
use crate::manifest::{ManifestAppender, check_appendable};
use crate::mirror::{Layout, Mirror, MirrorSync, RowSource};
use crate::provider::Provider;
use crate::resolve::filter::Filter;
use crate::resolve::{ListOptions, Scope};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// What to mirror, and how.
#[derive(Debug)]
pub(crate) struct SyncSettings {
    /// The provider of the documents.
    pub provider: Provider,
    /// The folder of the mirror.
    pub folder: PathBuf,
    /// Where files go below the folder.
    pub layout: Layout,
    /// Which documents to mirror.
    pub filter: Filter,
    /// How many documents to mirror at most.
    pub limit: Option<usize>,
    /// Compare the SHA-256 of existing files, not only their length.
    pub verify: bool,
    /// How to connect.
    pub connection: Connection,
    /// How to fetch each document.
    pub options: FetchOptions,
    /// A file besides the mirror's manifest that gets a line for each document.
    pub manifest: Option<PathBuf>,
}

impl SyncSettings {
    /// Whether the run may leave out documents that the provider lists.
    pub(crate) fn is_filtered(&self) -> bool {
        !self.filter.is_empty() || self.limit.is_some()
    }
}

/// Brings the mirror up to date. `on_end` sees each document that ended, and may stop the run.
///
/// # Errors
/// What fails before the first document, such as [`Code::Usage`](crate::Code::Usage) or
/// [`Code::Busy`](crate::Code::Busy), and a listing that cannot be read to its end. The failure of a document
/// goes to `on_end`.
pub(crate) async fn run(
    settings: SyncSettings,
    progress: &dyn Progress,
    mut on_end: impl FnMut(&FetchEnd) -> ControlFlow<()>,
) -> (Summary, Result<()>) {
    let mut tally = BatchTally::new(&settings.provider, &settings.options, &settings.connection);
    let result = Box::pin(sync(settings, progress, &mut tally, &mut on_end)).await;
    (tally.finish(&result), result)
}

/// The kind of things in the index of a mirror, which names one for every provider.
fn mirror_kind(provider: &Provider) -> &str {
    provider.table.kind.as_deref().unwrap_or("documents")
}

async fn sync(
    settings: SyncSettings,
    progress: &dyn Progress,
    tally: &mut BatchTally,
    on_end: OnEnd<'_>,
) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    settings.filter.check(&settings.provider)?;
    settings
        .manifest
        .as_deref()
        .map_or(Ok(()), check_appendable)?;
    // A document that a filter drops is not gone.
    let lists_all = !settings.is_filtered();
    let resolver = super::resolver(settings.provider, &settings.connection)?;
    let options = settings.options;
    let kind = mirror_kind(resolver.provider()).to_owned();
    let opening = Mirror::open(
        &settings.folder,
        &kind,
        options.busy_timeout,
        options.dry_run,
    );
    let mirror = interrupt.or_interrupted(opening).await?;
    let manifest = ManifestAppender::of_run(settings.manifest.as_deref(), options.dry_run)?;
    let fetcher = Fetcher::new(resolver, options);
    super::reserve_manifest(&fetcher, manifest.as_ref());
    progress.expect(None);
    let naming = fetcher.resolver().with_ids(settings.filter);
    let filter = interrupt.or_interrupted(Box::pin(naming)).await?;
    let list_options = ListOptions {
        limit: settings.limit,
        shows_names: false,
        needed_names: settings.layout.row_fields(),
    };
    let pages = fetcher.resolver().list(&filter, list_options)?;
    let rows = RowSource::new(
        pages,
        fetcher.resolver().provider(),
        settings.limit,
        progress,
    );
    let mut rows = DistinctSource::new(rows, settings.limit);
    let sync = MirrorSync::new(mirror, settings.layout, &fetcher, settings.verify);
    let batch = Batch {
        fetcher: &fetcher,
        progress,
        interrupt: &interrupt,
        manifest,
        has_many: true,
    };
    let start = |order, id, row| sync.task(order, id, row, progress, &interrupt);
    let record = |end: &FetchEnd| sync.record_failure(end);
    batch.run(&mut rows, start, record, tally, on_end).await?;
    if lists_all && rows.source().is_complete() {
        let scope = Scope::parse(filter.scope.as_deref(), fetcher.resolver().provider())?;
        let gone = sync.gone(|id| rows.has_read(id) || !scope.holds(id));
        tally.add_gone(gone, on_end);
    }
    if !fetcher.options().dry_run {
        let removing = infallible(sync.remove_stale_partials());
        interrupt.or_interrupted(removing).await?;
    }
    Ok(())
}
