//! Brings a mirror up to date: what to do about each row of a listing.

use super::entry::{DocumentVersion, MirrorEntry, Presence};
use super::layout::Layout;
use super::store::Mirror;
use crate::error::{Error, Result};
use crate::fetch::batch::{BatchItem, BatchPermit, BatchTask, FetchEnd, Source};
use crate::fetch::engine::{DocumentFetch, Job};
use crate::fetch::events::Progress;
use crate::fetch::fetcher::Fetcher;
use crate::fetch::file_digest::sha256_of_file;
use crate::fetch::outcome::{Outcome, Status};
use crate::fetch::target::{IfExists, TargetOptions, Template};
use crate::interrupt::Interrupt;
use crate::model::DocumentId;
use crate::provider::Provider;
use crate::resolve::{BadRow, Metadata, Page, Pages, Row};
use crate::state::blocking;
use serde_json::Value;
use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The fields of a row of `provider` that a layout may use.
pub(crate) fn row_fields(provider: &Provider) -> Vec<&'static str> {
    let own = provider.listing.fields.iter().copied();
    own.chain(["modified", "size"]).collect()
}

/// The text of one of the [`row_fields`]; empty where the row does not tell it.
fn field_text(row: &Row, field: &str) -> String {
    let own = match field {
        "modified" => return row.modified.clone().unwrap_or_default(),
        "size" => return row.size.map(|size| size.to_string()).unwrap_or_default(),
        field => row.fields.get(field),
    };
    match own {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The rows of a listing, page by page.
pub(crate) struct RowSource<'a> {
    pages: Pages<'a>,
    provider: &'a Provider,
    limit: u64,
    progress: &'a dyn Progress,
    page: Option<Page<'a>>,
    /// Rows of that page.
    ready: VecDeque<Result<Row, BadRow>>,
}

impl<'a> RowSource<'a> {
    /// The rows of `pages`. `progress` is told their number, which is at most `limit`.
    pub(crate) fn new(
        pages: Pages<'a>,
        provider: &'a Provider,
        limit: Option<usize>,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            pages,
            provider,
            limit: limit.map_or(u64::MAX, |limit| limit as u64),
            progress,
            page: None,
            ready: VecDeque::new(),
        }
    }

    fn item(&self, row: Result<Row, BadRow>) -> BatchItem<Row> {
        let read = row.map_err(|bad| (bad.error(self.provider.title), bad.shown));
        let read = read.and_then(|row| match self.provider.document_id(&row.id) {
            Ok(id) => Ok((id, row)),
            Err(error) => Err((error, row.id)),
        });
        match read {
            Ok((id, row)) => BatchItem::Document(id, row),
            Err((error, shown)) => BatchItem::Unusable(shown, error),
        }
    }
}

impl Source for RowSource<'_> {
    type Detail = Row;

    async fn next(&mut self) -> Result<Option<BatchItem<Row>>> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                return Ok(Some(self.item(row)));
            }
            if let Some(rows) = self.page.as_mut().and_then(Page::rows) {
                tokio::task::yield_now().await; // a signal is heard in the middle of a long page
                self.ready = rows.into();
                let total = self.pages.total();
                self.progress
                    .expect(total.map(|total| total.min(self.limit)));
                continue;
            }
            self.page = self.pages.next().await?;
            if self.page.is_none() {
                return Ok(None);
            }
        }
    }
}

/// Decides what to do about each document of a listing.
pub(crate) struct MirrorSync<'a> {
    mirror: Arc<Mirror>,
    layout: Layout,
    fetcher: &'a Fetcher,
    verify: bool,
}

impl<'a> MirrorSync<'a> {
    /// Brings `mirror` up to date through `fetcher`. `verify` compares the SHA-256 of existing files, not only
    /// their length.
    pub(crate) fn new(mirror: Mirror, layout: Layout, fetcher: &'a Fetcher, verify: bool) -> Self {
        let provider = fetcher.resolver().provider();
        for (path, id) in mirror.claimed(provider.name) {
            fetcher.claimed().claim(&path, &id);
        }
        Self {
            mirror: Arc::new(mirror),
            layout,
            fetcher,
            verify,
        }
    }

    /// The task of the batch's `order`-th document, which `row` lists. Call with ascending numbers.
    pub(crate) fn task<'t>(
        &'t self,
        order: u64,
        id: DocumentId,
        row: Row,
        progress: &'t dyn Progress,
        interrupt: &'t Interrupt,
    ) -> RowTask<'t> {
        let provider = self.fetcher.resolver().provider().name;
        let entry = self.mirror.entry(provider, id.as_str()).cloned();
        let listed = ListedDocument {
            sync: self,
            order,
            version: DocumentVersion::of(&row),
            id,
            row,
            progress,
            interrupt,
        };
        match entry {
            Some(entry) => RowTask::Known(Box::new((listed, entry))),
            None => {
                let target_options = listed.new_target();
                RowTask::New(Box::new(listed.fetch_to(target_options)))
            }
        }
    }

    /// Appends the line of a document that failed to the mirror's manifest.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::Code::LocalIo) or [`Code::DiskFull`](crate::Code::DiskFull) when the line
    /// cannot be written.
    pub(crate) fn record_failure(&self, end: &FetchEnd) -> Result<()> {
        match (&end.result, self.mirror.manifest()) {
            (Err(_), Some(manifest)) => manifest.note(self.fetcher.resolver().provider().name, end),
            _ => Ok(()),
        }
    }

    /// Whether the file of `entry` is as docfetch wrote it. Warns where it is not.
    async fn is_intact(&self, entry: &MirrorEntry, id: &DocumentId) -> bool {
        let presence = if self.verify {
            let (mirror, entry) = (Arc::clone(&self.mirror), entry.clone());
            blocking::run(move || mirror.holds(&entry, true)).await
        } else {
            self.mirror.holds(entry, false)
        };
        let path = self.mirror.folder().join(&entry.path);
        let claims = self.fetcher.claimed();
        let is_own = |found: fs::Metadata| claims.claim_file(&found, id.as_str());
        let why = match presence {
            Presence::Right if fs::metadata(&path).is_ok_and(is_own) => return true,
            Presence::Right => "is the file of another document",
            Presence::Missing => "was removed",
            Presence::Wrong => "is not as it was written",
        };
        log::warn!("{} {why}: fetching it again", path.display());
        false
    }

    /// Completes the outcome of a document, and appends its line to the mirror's manifest.
    async fn record(&self, mut outcome: Outcome, version: &DocumentVersion) -> Result<Outcome> {
        if outcome.status == Status::Planned {
            return Ok(outcome);
        }
        if let (Status::Skipped, Some(path)) = (outcome.status, outcome.path.clone()) {
            self.describe_existing(&mut outcome, &path).await?;
        }
        self.mirror.note(&outcome, version)?;
        Ok(outcome)
    }

    /// Adds length and digest of a file that existed before the mirror knew the document. A free document was
    /// compared byte by byte. A paid one was compared by name and length only, which proves nothing.
    async fn describe_existing(&self, outcome: &mut Outcome, path: &Path) -> Result<()> {
        let failed = |error: std::io::Error| Error::io("read", path, &error);
        outcome.bytes = Some(path.metadata().map_err(failed)?.len());
        if self.fetcher.resolver().charges() {
            log::warn!(
                "{} was there, with the name and the length of {}: taken for it, unproven",
                path.display(),
                outcome.id
            );
            return Ok(());
        }
        let hashed = path.to_path_buf();
        let sha256 = blocking::run(move || sha256_of_file(&hashed)).await;
        outcome.sha256 = Some(sha256.map_err(failed)?);
        Ok(())
    }
}

/// A document of the listing.
pub(crate) struct ListedDocument<'a> {
    sync: &'a MirrorSync<'a>,
    order: u64,
    id: DocumentId,
    row: Row,
    version: DocumentVersion,
    progress: &'a dyn Progress,
    interrupt: &'a Interrupt,
}

/// The fetch of a listed document, and the line in the mirror's manifest.
pub(crate) struct MirroredFetch<'a> {
    sync: &'a MirrorSync<'a>,
    document: DocumentFetch<'a>,
    version: DocumentVersion,
}

/// The task of a row.
pub(crate) enum RowTask<'a> {
    /// The mirror has the document, perhaps in another version or damaged.
    Known(Box<(ListedDocument<'a>, MirrorEntry)>),
    /// The mirror does not have the document.
    New(Box<MirroredFetch<'a>>),
}

impl BatchTask for RowTask<'_> {
    async fn run(self, permit: &mut BatchPermit) -> Option<FetchEnd> {
        let fetch = match self {
            Self::New(fetch) => fetch,
            Self::Known(known) => {
                let (listed, entry) = *known;
                // The check warns also about a file that a new version replaces.
                let is_intact = listed.sync.is_intact(&entry, &listed.id).await;
                if is_intact && entry.version == listed.version {
                    return Some(listed.skip(&entry));
                }
                let target_options = if listed.sync.mirror.is_direct(&entry) {
                    listed.known_target(&entry)
                } else {
                    listed.new_target()
                };
                Box::new(listed.fetch_to(target_options))
            }
        };
        fetch.run(permit).await
    }
}

impl<'a> ListedDocument<'a> {
    /// The end of a document that the mirror has.
    fn skip(self, entry: &MirrorEntry) -> FetchEnd {
        let resolver = self.sync.fetcher.resolver();
        let charges = resolver.charges();
        let folder = self.sync.mirror.folder();
        let skipped = entry.skipped(resolver.provider().name, self.id.clone(), folder);
        let result = Ok(Outcome {
            charged: charges.then_some(false),
            ..skipped
        });
        FetchEnd::without_request(self.id.into(), result, charges)
    }

    /// Where the document goes when the mirror does not have it.
    fn new_target(&self) -> TargetOptions {
        let resolver = self.sync.fetcher.resolver();
        let values = |field: &str| field_text(&self.row, field);
        let (folder, template) = self.sync.layout.place(
            &self.id,
            self.row.name.as_deref(),
            resolver.provider().name,
            &values,
        );
        let length = self.row.size.filter(|_| resolver.charges());
        TargetOptions {
            file: None,
            folder: self.sync.mirror.folder().join(folder),
            template,
            if_exists: IfExists::Same { length },
        }
    }

    /// Where the document goes when the mirror has it: in place of the old file, once it is complete.
    fn known_target(&self, entry: &MirrorEntry) -> TargetOptions {
        TargetOptions {
            file: Some(entry.path.clone()),
            folder: self.sync.mirror.folder().to_path_buf(),
            template: Template::default(),
            if_exists: IfExists::Overwrite,
        }
    }

    fn fetch_to(self, target_options: TargetOptions) -> MirroredFetch<'a> {
        let sync = self.sync;
        let (mirror, publishing) = (Arc::clone(&sync.mirror), self.version.clone());
        let job = Job {
            id: self.id,
            metadata: Some(Metadata {
                name: self.row.name,
                size: self.row.size,
            }),
            target: Some(Arc::new(target_options)),
            // docfetch publishes a complete partial of a paid document without a request, so the partial must
            // be of this version.
            version: sync
                .fetcher
                .resolver()
                .charges()
                .then(|| self.version.identity()),
            before_publish: Some(Arc::new(move |outcome: &Outcome| {
                mirror.publishing(outcome, &publishing)
            })),
        };
        let document = sync
            .fetcher
            .document(self.order, job, self.progress, self.interrupt);
        MirroredFetch {
            sync,
            document,
            version: self.version,
        }
    }
}

impl MirroredFetch<'_> {
    async fn run(self, permit: &mut BatchPermit) -> Option<FetchEnd> {
        let end = Box::pin(self.document.run(permit)).await?;
        let result = match end.result {
            Ok(outcome) => self.sync.record(outcome, &self.version).await,
            Err(error) => Err(error),
        };
        Some(FetchEnd { result, ..end })
    }
}
