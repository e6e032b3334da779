//! `docfetch sync`: a folder that holds every listed document.

use super::fetch::Count;
use crate::config::settings::Connection;
use crate::error::{Code, Error, Result};
use crate::fetch::batch::permits::BatchPermit;
use crate::fetch::batch::queue::{self, BatchTask, FetchEnd, Source};
use crate::fetch::engine::{DocumentFetch, Job};
use crate::fetch::events::Progress;
use crate::fetch::fetcher::Fetcher;
use crate::fetch::file_digest::sha256_of_file;
use crate::fetch::options::FetchOptions;
use crate::fetch::outcome::{Outcome, RequestedId, Status};
use crate::fetch::summary::Summary;
use crate::fetch::target::{IfExists, TargetOptions, Template};
use crate::fingerprint::digest128;
use crate::interrupt::Interrupt;
use crate::manifest::ManifestAppender;
use crate::mirror::{DocumentVersion, Layout, Mirror, MirrorEntry, Presence};
use crate::model::DocumentId;
use crate::provider::Provider;
use crate::resolve::Filter;
use crate::resolve::Metadata;
use crate::resolve::{BadRow, Row};
use crate::resolve::{Page, Pages};
use crate::state::blocking;
use serde_json::Value;
use std::collections::{HashSet, VecDeque};
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

/// What is to be mirrored.
#[derive(Debug)]
pub(crate) struct Plan {
    /// From whom.
    pub provider: Provider,
    /// Into which folder.
    pub folder: PathBuf,
    /// How files are named below it: a template, which may have folders and fields of the rows.
    pub name: String,
    /// Which documents.
    pub filter: Filter,
    /// So many documents at most.
    pub limit: Option<usize>,
    /// Check the digests of what is there, too.
    pub verify: bool,
    /// How to connect.
    pub connection: Connection,
    /// How to fetch.
    pub options: FetchOptions,
    /// Another manifest to append to.
    pub manifest: Option<PathBuf>,
}

/// Brings the mirror up to date; each result goes to `each` as it ends, which may stop it.
///
/// # Errors
/// What fails before the first document, and a listing that cannot be read to its end. A document's
/// failure is a result.
pub(crate) async fn run(
    plan: Plan,
    progress: &dyn Progress,
    mut each: impl FnMut(&FetchEnd) -> ControlFlow<()>,
) -> (Summary, Result<()>) {
    let (charges, dry_run) = (plan.provider.charges(), plan.options.dry_run);
    let mut tally = Count::new(plan.options.fail_fast, charges);
    if dry_run {
        tally.plans(charges, plan.connection.max_charges);
    }
    let result = Box::pin(work(plan, progress, &mut tally, &mut each)).await;
    tally.end(result)
}

async fn work(
    plan: Plan,
    progress: &dyn Progress,
    tally: &mut Count,
    each: &mut dyn FnMut(&FetchEnd) -> ControlFlow<()>,
) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let layout = layout(&plan.provider, &plan.name)?;
    plan.filter.check(&plan.provider)?;
    let resolver = super::resolver(plan.provider, &plan.connection)?;
    let (provider, options) = (resolver.provider(), plan.options);
    let opening = Mirror::open(
        &plan.folder,
        provider.resource.unwrap_or_default().name(),
        options.busy_timeout,
        options.dry_run,
    );
    let mirror = Arc::new(interrupt.or_interrupted(opening).await?);
    let manifest = ManifestAppender::of_run(plan.manifest.as_deref(), options.dry_run)?;
    let name = provider.name;
    let fetcher = Fetcher::new(resolver, options);
    for (path, id) in mirror.claimed(name) {
        fetcher.claimed().claim(&path, &id);
    }
    progress.expect(None);
    let mut rows = Rows {
        pages: fetcher.resolver().list(&plan.filter, plan.limit),
        page: None,
        ready: VecDeque::new(),
        left: plan.limit.unwrap_or(usize::MAX),
        seen: HashSet::new(),
        progress,
    };
    let keeper = Keeper {
        fetcher: &fetcher,
        mirror,
        layout,
        verify: plan.verify,
        progress,
        interrupt: &interrupt,
    };
    let mut unwritten = None;
    let running = queue::run(
        &mut rows,
        fetcher.limits(),
        &interrupt,
        |order, row| keeper.keep(order, row),
        |ended| {
            progress.ended();
            let noted = manifest
                .as_ref()
                .map_or(Ok(()), |manifest| manifest.note(name, &ended))
                .and_then(|()| keeper.note_failure(&ended));
            if let Err(error) = noted {
                unwritten = Some(error);
            }
            let stop = unwritten.is_some() || fetcher.has_stopped();
            tally.count(&ended, each(&ended).is_break() || stop)
        },
    );
    let ran = Box::pin(running).await;
    tally.ran(&ran, fetcher.resolver());
    ran.result?;
    tally.stopped_by(interrupt.signal())?;
    unwritten.map_or(Ok(()), Err)
}

/// The fields of a row of `provider` that a template may use.
pub(crate) fn fields(provider: &Provider) -> Vec<&'static str> {
    let own = provider.listing.fields.iter().copied();
    own.chain(["modified", "size"]).collect()
}

fn layout(provider: &Provider, name: &str) -> Result<Layout> {
    Layout::parse(name, &fields(provider)).map_err(|why| {
        Error::new(
            Code::Usage,
            format!("invalid value {name:?} for '--name <TEMPLATE>'"),
        )
        .with_cause(why)
    })
}

/// What a row says in a template's field; empty where it says nothing.
fn value(row: &Row, field: &str) -> String {
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

/// The rows of a listing, each document once.
struct Rows<'a> {
    pages: Pages<'a>,
    page: Option<Page<'a>>,
    /// Rows of that page.
    ready: VecDeque<Result<Row, BadRow>>,
    left: usize,
    seen: HashSet<u128>,
    progress: &'a dyn Progress,
}

impl Source for Rows<'_> {
    type Item = Result<Row, BadRow>;

    async fn next(&mut self) -> Result<Option<Self::Item>> {
        while self.left > 0 {
            let Some(row) = self.ready.pop_front() else {
                let Some(rows) = self.page.as_mut().and_then(Page::rows) else {
                    self.page = self.pages.next().await?;
                    match self.page {
                        Some(_) => continue,
                        None => break,
                    }
                };
                tokio::task::yield_now().await; // a long page keeps nobody from hearing a signal
                self.ready = rows.into();
                let total = self.pages.total();
                let most = (self.left + self.seen.len()) as u64;
                self.progress.expect(total.map(|total| total.min(most)));
                continue;
            };
            let Ok(found) = &row else {
                return Ok(Some(row));
            };
            // A document that comes while pages are read moves others onto the next page.
            if self.seen.insert(digest128(&[found.id.as_bytes()])) {
                self.left -= 1;
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    fn id_of(row: &Self::Item) -> RequestedId {
        let shown = match row {
            Ok(row) => &row.id,
            Err(bad) => &bad.shown,
        };
        RequestedId::Unusable(shown.clone())
    }
}

/// Decides about each row, and sees to it.
struct Keeper<'a> {
    fetcher: &'a Fetcher,
    mirror: Arc<Mirror>,
    layout: Layout,
    verify: bool,
    progress: &'a dyn Progress,
    interrupt: &'a Interrupt,
}

impl Keeper<'_> {
    /// The task of a row.
    fn keep(&self, order: u64, row: Result<Row, BadRow>) -> RowTask<'_> {
        let provider = self.fetcher.resolver().provider();
        let read = row.map_err(|bad| (bad.error(provider.title), bad.shown));
        let read = read.and_then(|row| match provider.document_id(&row.id) {
            Ok(id) => Ok((id, row)),
            Err(error) => Err((error, row.id)),
        });
        let (id, row) = match read {
            Ok(read) => read,
            Err((error, shown)) => {
                let id = RequestedId::Unusable(shown);
                return RowTask::Ended(FetchEnd::unasked(id, Err(error), provider.charges()));
            }
        };
        let version = DocumentVersion::of(&row);
        match self.mirror.entry(provider.name, &row.id).cloned() {
            Some(entry) => RowTask::Known(Box::new(KnownRow {
                keeper: self,
                order,
                id,
                row,
                entry,
                version,
            })),
            None => {
                let target_options = self.new_place(&id, &row);
                RowTask::New(Box::new(self.document(
                    order,
                    id,
                    row,
                    target_options,
                    version,
                )))
            }
        }
    }

    async fn is_right(&self, entry: &MirrorEntry, id: &str) -> bool {
        let presence = if self.verify {
            let (mirror, entry) = (Arc::clone(&self.mirror), entry.clone());
            blocking::run(move || mirror.holds(&entry, true)).await
        } else {
            self.mirror.holds(entry, false)
        };
        let path = self.mirror.folder().join(&entry.path);
        let own = |found: fs::Metadata| self.fetcher.claimed().claim_file(&found, id);
        match presence {
            Presence::Right if fs::metadata(&path).is_ok_and(own) => return true,
            Presence::Right => log::warn!(
                "{} is the file of another document: fetching it again",
                path.display()
            ),
            Presence::Missing => log::warn!("{} was removed: fetching it again", path.display()),
            Presence::Wrong => log::warn!(
                "{} is not as it was written: fetching it again",
                path.display()
            ),
        }
        false
    }

    /// Where a document goes that the mirror does not know.
    fn new_place(&self, id: &DocumentId, row: &Row) -> TargetOptions {
        let provider = self.fetcher.resolver().provider();
        let values = |field: &str| value(row, field);
        let (folder, template) = self
            .layout
            .place(id, row.name.as_deref(), provider.name, &values);
        let length = row.size.filter(|_| provider.charges());
        TargetOptions {
            file: None,
            folder: self.mirror.folder().join(folder),
            template,
            if_exists: IfExists::Same { length },
        }
    }

    /// Where a document goes that the mirror knows: the old file is kept until the new one is whole.
    fn old_place(&self, entry: &MirrorEntry) -> TargetOptions {
        TargetOptions {
            file: Some(entry.path.clone()),
            folder: self.mirror.folder().to_path_buf(),
            template: Template::default(),
            if_exists: IfExists::Overwrite,
        }
    }

    fn document(
        &self,
        order: u64,
        id: DocumentId,
        row: Row,
        target_options: TargetOptions,
        version: DocumentVersion,
    ) -> NewRow<'_> {
        let charged = self.fetcher.resolver().charges();
        let mirror = Arc::clone(&self.mirror);
        let publishing = version.clone();
        let job = Job {
            id,
            metadata: Some(Metadata {
                name: row.name,
                size: row.size,
            }),
            target: Some(Arc::new(target_options)),
            // A complete partial of what costs is published without asking anybody: it must be of this.
            version: charged.then(|| version.identity()),
            before_publish: Some(Arc::new(move |outcome: &Outcome| {
                mirror.publishing(outcome, &publishing)
            })),
        };
        let document = self
            .fetcher
            .document(order, job, self.progress, self.interrupt);
        NewRow {
            keeper: self,
            document,
            version,
        }
    }

    /// Notes what is in the mirror now.
    async fn note(&self, mut outcome: Outcome, version: &DocumentVersion) -> Result<Outcome> {
        if outcome.status == Status::Planned {
            return Ok(outcome);
        }
        if let (Status::Skipped, Some(path)) = (outcome.status, outcome.path.clone()) {
            // It was there before the mirror knew of it: with the same bytes, or, where they would cost,
            // with the same name and length, which proves nothing of its content.
            let failed = |error: std::io::Error| Error::io("read", &path, &error);
            outcome.bytes = Some(path.metadata().map_err(failed)?.len());
            if self.fetcher.resolver().charges() {
                log::warn!(
                    "{} was there, with the name and the length of {}: taken for it, unproven",
                    path.display(),
                    outcome.id
                );
            } else {
                let hashed = path.clone();
                let sha256 = blocking::run(move || sha256_of_file(&hashed)).await;
                outcome.sha256 = Some(sha256.map_err(failed)?);
            }
        }
        self.mirror.note(&outcome, version)?;
        Ok(outcome)
    }

    fn note_failure(&self, ended: &FetchEnd) -> Result<()> {
        match (&ended.result, self.mirror.manifest()) {
            (Err(_), Some(manifest)) => {
                let provider = self.fetcher.resolver().provider();
                manifest.note(provider.name, ended)
            }
            _ => Ok(()),
        }
    }
}

/// The task of a row of the listing.
enum RowTask<'a> {
    /// The row ended before anything was requested.
    Ended(FetchEnd),
    /// The mirror has the row's document, perhaps in another version.
    Known(Box<KnownRow<'a>>),
    /// The mirror does not have the row's document.
    New(Box<NewRow<'a>>),
}

struct KnownRow<'a> {
    keeper: &'a Keeper<'a>,
    order: u64,
    id: DocumentId,
    row: Row,
    entry: MirrorEntry,
    version: DocumentVersion,
}

struct NewRow<'a> {
    keeper: &'a Keeper<'a>,
    document: DocumentFetch<'a>,
    version: DocumentVersion,
}

impl BatchTask for RowTask<'_> {
    async fn run(self, permit: &mut BatchPermit) -> Option<FetchEnd> {
        match self {
            Self::Ended(ended) => Some(ended),
            Self::Known(row) => row.run(permit).await,
            Self::New(row) => row.run(permit).await,
        }
    }
}

impl KnownRow<'_> {
    async fn run(self, permit: &mut BatchPermit) -> Option<FetchEnd> {
        let Self {
            keeper,
            order,
            id,
            row,
            entry,
            version,
        } = self;
        let provider = keeper.fetcher.resolver().provider();
        // What was changed here is said, also where a new version replaces it.
        let right = keeper.is_right(&entry, &row.id).await;
        if right && entry.version == version {
            let charged = provider.charges().then_some(false);
            let skipped = entry.skipped(provider.name, id.clone(), keeper.mirror.folder());
            let result = Ok(Outcome { charged, ..skipped });
            return Some(FetchEnd::unasked(id.into(), result, provider.charges()));
        }
        let target_options = if keeper.mirror.is_direct(&entry) {
            keeper.old_place(&entry)
        } else {
            keeper.new_place(&id, &row)
        };
        let document = keeper.document(order, id, row, target_options, version);
        document.run(permit).await
    }
}

impl NewRow<'_> {
    async fn run(self, permit: &mut BatchPermit) -> Option<FetchEnd> {
        let ended = Box::pin(self.document.run(permit)).await?;
        Some(FetchEnd {
            result: match ended.result {
                Ok(outcome) => self.keeper.note(outcome, &self.version).await,
                Err(error) => Err(error),
            },
            ..ended
        })
    }
}
