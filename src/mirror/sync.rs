//! Brings a mirror up to date: whether docfetch fetches a listed document, and to which path.

use super::entry::{DocumentVersion, MirrorEntry, Presence};
use super::layout::Layout;
use super::rows::field_text;
use super::store::Mirror;
use crate::current_document::warn_of_document;
use crate::error::{Code, Error, Result};
use crate::fetch::batch::{BatchPermit, BatchTask, FetchEnd};
use crate::fetch::engine::{DocumentFetch, Job};
use crate::fetch::events::Progress;
use crate::fetch::fetcher::Fetcher;
use crate::fetch::file_digest::sha256_of_file;
use crate::fetch::outcome::{Outcome, Status, TargetPlan};
use crate::fetch::target::{IfExists, TargetOptions, Template, takes_path};
use crate::interrupt::Interrupt;
use crate::model::DocumentId;
use crate::mutex::locked;
use crate::resolve::{Metadata, Row};
use crate::state::blocking;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Decides what to do about each document of a listing.
pub(crate) struct MirrorSync<'a> {
    pub(super) mirror: Arc<Mirror>,
    layout: Layout,
    pub(super) fetcher: &'a Fetcher,
    verify: bool,
    /// The documents that this run found up to date.
    pub(super) up_to_date: Mutex<Vec<DocumentId>>,
}

impl<'a> MirrorSync<'a> {
    /// Brings `mirror` up to date through `fetcher`. `verify` compares the SHA-256 of existing files, not only
    /// their length.
    pub(crate) fn new(mirror: Mirror, layout: Layout, fetcher: &'a Fetcher, verify: bool) -> Self {
        let provider = fetcher.resolver().provider();
        for (path, id) in mirror.paths(&provider.table.name) {
            fetcher.claimed().claim(&path, &id);
        }
        Self {
            mirror: Arc::new(mirror),
            layout,
            fetcher,
            verify,
            up_to_date: Mutex::default(),
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
        let provider = &self.fetcher.resolver().provider().table.name;
        let entry = self.mirror.entry(provider, id.as_str());
        let listed = ListedDocument {
            sync: self,
            order,
            version: DocumentVersion::of(&row),
            id,
            row,
            progress,
            interrupt,
        };
        if let Some(entry) = entry {
            return RowTask::Known(Box::new((listed, entry)));
        }
        let target_options = listed.new_target();
        RowTask::New(Box::new(listed.fetch_to(target_options)))
    }

    /// Appends the line of a document that failed to the mirror's manifest.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::Code::LocalIo) or [`Code::DiskFull`](crate::Code::DiskFull) when the line
    /// cannot be written.
    pub(crate) fn record_failure(&self, end: &FetchEnd) -> Result<()> {
        match (&end.result, self.mirror.manifest()) {
            (Err(_), Some(manifest)) => {
                manifest.append_document(&self.fetcher.resolver().provider().table.name, end)
            }
            _ => Ok(()),
        }
    }

    /// The documents whose files are in the mirror and that `is_listed` denies, in the order of their paths.
    pub(crate) fn gone(&self, is_listed: impl Fn(&DocumentId) -> bool) -> Vec<FetchEnd> {
        let resolver = self.fetcher.resolver();
        let (provider, charges) = (resolver.provider(), resolver.charges());
        let folder = self.mirror.folder();
        let documents = self.mirror.documents(&provider.table.name).into_iter();
        let gone = documents.filter_map(|(id, entry)| {
            let id = provider.document_id(id).ok()?;
            let is_here = folder.join(&entry.path).symlink_metadata().is_ok();
            if !is_here || is_listed(&id) {
                return None;
            }
            let outcome = entry.outcome(Status::Gone, &provider.table.name, id.clone(), folder);
            let result = Ok(Outcome {
                charged: charges.then_some(false),
                ..outcome
            });
            Some(FetchEnd::without_request(id.into(), result, charges))
        });
        gone.collect()
    }

    /// The version that a partial of the document must be of. docfetch publishes a complete partial of a paid document
    /// without a request, so that partial must be of the listed version.
    pub(super) fn version_of_partial(&self, version: &DocumentVersion) -> Option<String> {
        let charges = self.fetcher.resolver().charges();
        charges.then(|| version.identity())
    }

    /// Whether the file of `entry` is as docfetch wrote it. Warns where it is not.
    async fn is_intact(&self, entry: &MirrorEntry, id: &DocumentId) -> bool {
        let presence = if self.verify {
            let (mirror, entry) = (Arc::clone(&self.mirror), entry.clone());
            blocking::run(move || mirror.presence(&entry, true)).await
        } else {
            self.mirror.presence(entry, false)
        };
        let path = self.mirror.folder().join(&entry.path);
        let claims = self.fetcher.claimed();
        let is_own = |found: fs::Metadata| claims.claim_file(&found, id.as_str());
        let why = match presence {
            Presence::Unchanged if fs::metadata(&path).is_ok_and(is_own) => return true,
            Presence::Unchanged => "is the file of another document",
            Presence::Missing => "was removed",
            Presence::Changed => "is not as it was written",
        };
        let next = if self.fetcher.options().dry_run {
            "a real run would fetch it again"
        } else {
            "fetching it again"
        };
        warn_of_document!("{} {why}: {next}", path.display());
        false
    }

    /// Completes the outcome of a document, and appends its line to the mirror's manifest.
    async fn record(&self, mut outcome: Outcome, version: &DocumentVersion) -> Result<Outcome> {
        if self.fetcher.options().dry_run {
            return Ok(outcome);
        }
        if let (Status::Skipped, Some(path)) = (outcome.status, outcome.path.clone()) {
            self.describe_existing(&mut outcome, &path).await?;
        }
        self.mirror.append(&outcome, version)?;
        Ok(outcome)
    }

    /// Adds the length of a file that existed before the mirror knew the document, and the SHA-256 of a free
    /// document, which was compared with the file's. A paid document was only compared by name and length.
    async fn describe_existing(&self, outcome: &mut Outcome, path: &Path) -> Result<()> {
        let failed = |error: std::io::Error| Error::io("read", path, &error);
        outcome.bytes = Some(path.metadata().map_err(failed)?.len());
        if self.fetcher.resolver().charges() {
            log::warn!(
                "{} has the name and the length of {}: docfetch takes the file for that document, \
                 without proof",
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
                let path = listed.sync.mirror.folder().join(&entry.path);
                let is_usable = listed.sync.mirror.contains(&entry) && takes_path(&path);
                let target_options = if is_usable {
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
        locked(&self.sync.up_to_date).push(self.id.clone());
        let resolver = self.sync.fetcher.resolver();
        let charges = resolver.charges();
        let dry_run = self.sync.fetcher.options().dry_run;
        let folder = self.sync.mirror.folder();
        let provider = &resolver.provider().table.name;
        let skipped = entry.outcome(Status::Skipped, provider, self.id.clone(), folder);
        let result = Ok(Outcome {
            charged: charges.then_some(false),
            plan: dry_run.then_some(TargetPlan::SkipUpToDate),
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
            &resolver.provider().table.name,
            &values,
        );
        let length = self.row.size.filter(|_| resolver.charges());
        TargetOptions {
            file: None,
            folder: self.sync.mirror.fitted_folder(&folder),
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
                is_listed: true,
                ..Metadata::default()
            }),
            target: Some(Arc::new(target_options)),
            version: sync.version_of_partial(&self.version),
            before_publish: Some(Arc::new(move |outcome: &Outcome| {
                mirror.append_publishing(outcome, &publishing)
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
            // `sync` has no option that names another path.
            Err(error) if error.code() == Code::TargetExists => {
                Err(error.with_hint("move or remove what is at that path, and run again"))
            }
            Err(error) => Err(error),
        };
        Some(FetchEnd { result, ..end })
    }
}
