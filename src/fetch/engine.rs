//! The one story: a document id becomes a file.

use super::attempts::{Attempts, Download, Prefetched};
use super::events::Progress;
use super::outcome::{Outcome, RequestedId, Status};
use super::partial::{Partial, Publication, remove_partial_link};
use crate::active_time;
use crate::error::panics;
use crate::error::{Code, Error, Result};
use crate::fetch::batch::outages::{AfterFailure, Outages, Probe};
use crate::fetch::batch::permits::{BatchLimits, BatchPermit};
use crate::fetch::batch::queue::{BatchTask, FetchEnd};
use crate::fetch::options::Connections;
use crate::fetch::options::DigestOptions;
use crate::fetch::target::{
    BeforePublish, ClaimedPaths, Destination, NameTicket, RenameProofs, TargetEnd, TargetOptions,
    TargetState,
};
use crate::fetch::transfer::{Pace, Sink};
use crate::fingerprint::fingerprint;
use crate::interrupt::Interrupt;
use crate::model::DocumentId;
use crate::resolve::PaidRequests;
use crate::resolve::{Metadata, Resolver};
use crate::secret::register_public;
use crate::state::files::allow_open_files;
use std::ops::ControlFlow;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Files that are open while a document is under way: partial, sidecar, folder, a connection to the API,
/// a lock, a record; and those of the process itself, with the connections that come and go.
const FILES_EACH: usize = 8;
const OWN_FILES: usize = 96;
/// And while it is only asked for: a connection, a lock, a record.
const FILES_AHEAD: usize = 3;

/// One document to fetch.
pub(crate) struct Job {
    /// Which.
    pub id: DocumentId,
    /// What is known of it already, so that nobody need be asked.
    pub metadata: Option<Metadata>,
    /// Where it goes, where that is not as all others.
    pub target_options: Option<Arc<TargetOptions>>,
    /// Which version is meant, where the storage will not be asked whether a partial is of it.
    pub version: Option<String>,
    /// Told of what the document will be right before it gets its name.
    pub journal: Option<Journal>,
}

/// Takes note of a document that is about to get its name.
pub(crate) type Journal = Arc<dyn Fn(&Outcome) -> Result<()> + Send + Sync>;

impl From<DocumentId> for Job {
    fn from(id: DocumentId) -> Self {
        Self {
            id,
            metadata: None,
            target_options: None,
            version: None,
            journal: None,
        }
    }
}

/// What to fetch into, and how.
#[derive(Clone, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub struct Options {
    /// Where files go.
    pub target_options: Arc<TargetOptions>,
    /// How many documents are fetched at the same time.
    pub jobs: usize,
    /// How many connections each of them may have.
    pub connections: Connections,
    /// Write to standard output instead.
    pub stdout: bool,
    /// Which digests to compute and compare.
    pub digests: DigestOptions,
    /// Resolve and write nothing.
    pub dry_run: bool,
    /// Go on where an earlier run stopped.
    pub resume: bool,
    /// How long to wait for another process that fetches the same document.
    pub patience: Duration,
    /// Bytes a second, over all transfers.
    pub limit_rate: Option<u64>,
    /// Stop the batch at the first failure.
    pub fail_fast: bool,
}

/// Fetches documents from one provider, one batch.
#[derive(Debug)]
pub struct Fetcher {
    resolver: Resolver,
    options: Options,
    claimed: ClaimedPaths,
    outages: Outages,
    rename_proofs: RenameProofs,
    pace: Pace,
    limits: BatchLimits,
}

impl Fetcher {
    /// A batch with these options.
    pub fn new(resolver: Resolver, mut options: Options) -> Self {
        let jobs = options.jobs;
        let each = FILES_EACH + options.connections.at_least();
        // Whoever wants one at a time gets them one after the other.
        let ahead = if jobs > 1 { jobs } else { 0 };
        let files = OWN_FILES + jobs * each + ahead * FILES_AHEAD;
        let allowed = allow_open_files(files);
        if allowed < files {
            (options.jobs, options.connections) = within(allowed, jobs, options.connections);
            log::info!(
                "{allowed} open files are few: {} documents at a time",
                options.jobs
            );
        }
        Self {
            limits: BatchLimits::new(options.jobs, allowed >= files && ahead > 0),
            resolver,
            pace: Pace::new(options.limit_rate),
            options,
            claimed: ClaimedPaths::default(),
            outages: Outages::default(),
            rename_proofs: RenameProofs::default(),
        }
    }

    /// Who is asked.
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// What to fetch into, and how.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The targets that are claimed.
    pub(crate) fn claimed(&self) -> &ClaimedPaths {
        &self.claimed
    }

    /// The places of the batch, and the documents in it that wait for others.
    pub(crate) fn limits(&self) -> (&BatchLimits, &Outages) {
        (&self.limits, &self.outages)
    }

    /// Whether the batch pays for no further document.
    pub fn has_stopped(&self) -> bool {
        self.resolver
            .paid_requests()
            .is_some_and(PaidRequests::is_stopped)
    }

    /// Takes up the batch's `order`-th document. Call in ascending `order`; run the documents at any time.
    pub(crate) fn document<'a>(
        &'a self,
        order: u64,
        job: Job,
        progress: &'a dyn Progress,
        interrupt: &'a Interrupt,
    ) -> DocumentFetch<'a> {
        DocumentFetch {
            fetcher: self,
            ticket: self.claimed.ticket(order),
            job,
            progress,
            interrupt,
        }
    }

    /// What names the partial of a document: provider, base, account, id, and the path when one was
    /// asked for, or the version when that is known. A later run finds it before it knows the document's
    /// name.
    fn key(&self, job: &Job) -> String {
        let [provider, base, account] = self.resolver.identity();
        let file = self.options.target_options.file.as_deref();
        let file = file.map(|file| file.as_os_str().as_encoded_bytes());
        let file = file.unwrap_or_default();
        let id = job.id.as_str().as_bytes();
        match &job.version {
            Some(version) => fingerprint(&[provider, base, account, id, file, version.as_bytes()]),
            None => fingerprint(&[provider, base, account, id, file]),
        }
    }
}

/// How many documents at a time, with how many connections each, need no more than so many open files.
fn within(allowed: usize, jobs: usize, connections: Connections) -> (usize, Connections) {
    let own = OWN_FILES.min(allowed / 2);
    let rest = allowed - own;
    let connections = match connections {
        Connections::Auto if own < OWN_FILES => Connections::Exactly(1),
        Connections::Auto => Connections::Auto,
        Connections::Exactly(wanted) => {
            let most = rest.saturating_sub(FILES_EACH).max(1);
            Connections::Exactly(wanted.min(most))
        }
    };
    let each = FILES_EACH + connections.at_least();
    ((rest / each).clamp(1, jobs), connections)
}

/// The fetch of one document.
///
/// Everything that can fail for free is tried before the first request that may be charged. After a
/// success the document is on disk, or went through the pipe. After a failure nothing has the document's
/// final name, and the partial is kept where a later run can use the partial.
pub(crate) struct DocumentFetch<'a> {
    fetcher: &'a Fetcher,
    ticket: NameTicket<'a>,
    job: Job,
    progress: &'a dyn Progress,
    interrupt: &'a Interrupt,
}

impl BatchTask for DocumentFetch<'_> {
    async fn run(self, permit: &mut BatchPermit) -> Option<FetchEnd> {
        let started = Instant::now();
        let Self {
            fetcher,
            ticket,
            job,
            progress,
            interrupt,
        } = self;
        let (provider, id) = (fetcher.resolver.provider().name, &job.id);
        let target_options = job
            .target_options
            .as_ref()
            .unwrap_or(&fetcher.options.target_options);
        let target_options = Arc::clone(target_options);
        let destination = Destination::new(target_options, &fetcher.claimed, ticket, provider, id);
        let watcher = progress.document(id);
        let metadata = job
            .metadata
            .as_ref()
            .and_then(|metadata| metadata.name.as_deref());
        metadata.inspect(|name| register_public(name));
        let mut work = Work {
            fetcher,
            job: &job,
            destination,
            attempts: Attempts::new(
                &fetcher.resolver,
                &fetcher.options,
                &fetcher.pace,
                id,
                watcher,
            ),
            interrupt,
        };
        let result = work.bring_in_the_end(permit).await;
        let paid = fetcher.resolver.paid_requests();
        let charged = paid.map(|requests| requests.take_charged(id));
        let Attempts { watcher, facts, .. } = &mut work.attempts;
        let result = match result {
            Ok(None) => return None,
            Err(error) if error.is_not_started() && charged != Some(true) => return None,
            Ok(Some(outcome)) => {
                match outcome.status {
                    Status::Fetched => watcher.finished(outcome.bytes.unwrap_or_default()),
                    Status::Skipped => watcher.skipped(),
                    Status::Planned => {}
                }
                let elapsed = started.elapsed().saturating_sub(facts.in_line).as_millis();
                Ok(Outcome {
                    path: outcome.path.filter(|_| !fetcher.options.stdout),
                    media_type: facts.media_type.take(),
                    attempts: facts.requests,
                    resolves: facts.resolves,
                    charged,
                    elapsed_ms: u64::try_from(elapsed).unwrap_or(u64::MAX),
                    ..outcome
                })
            }
            Err(error) => {
                let resolved = work.attempts.has_url();
                let error = fetcher.resolver.with_charge_hint(id, error, resolved);
                work.attempts.watcher.failed(&error);
                Err(error)
            }
        };
        Some(FetchEnd {
            id: RequestedId::Document(id.clone()),
            result,
            charged,
        })
    }
}

/// One document under way.
struct Work<'a> {
    fetcher: &'a Fetcher,
    job: &'a Job,
    destination: Destination<'a>,
    attempts: Attempts<'a>,
    interrupt: &'a Interrupt,
}

impl<'a> Work<'a> {
    /// Fetches the document; once more from the beginning, where the failures of others in the batch ask
    /// for that.
    async fn bring_in_the_end(&mut self, permit: &mut BatchPermit) -> Result<Option<Outcome>> {
        let mut probe: Option<Probe<'_>> = None;
        let mut is_second = false;
        loop {
            let result = panics::guard(pin!(self.run(permit))).await.flatten();
            let Some((charges, host)) = self.paid_at() else {
                return result;
            };
            let outages = &self.fetcher.outages;
            match (result, probe.take()) {
                (Ok(outcome), _) => {
                    outages.succeeded(&host, charges);
                    return Ok(outcome);
                }
                (Err(error), Some(probe)) => {
                    probe.failed(&error);
                    return Err(error);
                }
                // Another failure of its own says nothing new about the others.
                (Err(error), None) if is_second => return Err(error),
                (Err(error), None) => {
                    match outages.failed((&host, &self.job.id), &error, charges) {
                        AfterFailure::Stands => return Err(error),
                        AfterFailure::Probes(of_host) => probe = Some(of_host),
                        AfterFailure::Waits(again) => {
                            log::info!("{} waits for others: {}", self.job.id, error.message());
                            self.destination.release_ticket();
                            permit.give_up();
                            let again =
                                async { Ok(again.await.is_ok() && permit.take_again().await) };
                            if !self.interrupt.or_interrupted(again).await.unwrap_or(false) {
                                return Err(error);
                            }
                        }
                    }
                }
            }
            is_second = true;
            self.attempts.begin_anew(probe.is_some());
        }
    }

    /// The storage host of the document's URL, where a paid retrieval brought it.
    fn paid_at(&self) -> Option<(&'a PaidRequests, String)> {
        let options = &self.fetcher.options;
        if options.fail_fast || options.stdout {
            return None;
        }
        Some((
            self.fetcher.resolver.paid_requests()?,
            self.attempts.storage_host()?,
        ))
    }

    async fn run(&mut self, permit: &mut BatchPermit) -> Result<Option<Outcome>> {
        let naming = async {
            self.destination.name_without_storage().await;
            Ok(())
        };
        self.interrupt.or_interrupted(naming).await?;
        let options = &self.fetcher.options;
        if options.dry_run {
            return self.plan().await.map(Some);
        }
        if !options.stdout && options.resume && self.destination.has_second_link() {
            self.finish_publication().await?;
        }
        if !options.stdout && self.destination.choose_name()? == TargetState::AlreadyThere {
            let key = self.fetcher.key(self.job);
            discard_stale(&self.destination, &key).await;
            return Ok(Some(self.outcome(Status::Skipped)));
        }
        let interrupt = self.interrupt;
        let Some(prefetched) = interrupt.or_interrupted(self.wait_for_turn(permit)).await? else {
            return Ok(None);
        };
        let running = if options.stdout {
            self.download_to_stdout(permit, prefetched).await
        } else {
            self.download_to_file(permit, prefetched).await
        };
        running.map(Some)
    }

    /// Waits until the document may be transferred, and requests meanwhile what is free. None when the
    /// batch transfers no further document.
    async fn wait_for_turn(&mut self, permit: &mut BatchPermit) -> Result<Option<Prefetched>> {
        let known = self.job.metadata.clone();
        if permit.is_admitted() {
            return Ok(Some(Prefetched::of(known)));
        }
        let prefetched = {
            let mut prefetching = pin!(self.attempts.prefetch(known));
            tokio::select! {
                biased;
                admitted = permit.admission() => {
                    if !admitted {
                        return Ok(None);
                    }
                    prefetching.await?
                }
                prefetched = &mut prefetching => prefetched?,
            }
        };
        let since = active_time::now();
        if !permit.admission().await {
            return Ok(None);
        }
        self.attempts.facts.in_line = active_time::since(since);
        permit.asked();
        Ok(Some(prefetched))
    }

    /// Finishes what a process left that was killed while its document had two is_name_of, or waits for one
    /// that is about to: a target that is there already must not be in the way of itself.
    async fn finish_publication(&mut self) -> Result<()> {
        let (fetcher, folder) = (self.fetcher, self.destination.folder());
        let key = fetcher.key(self.job);
        if !Partial::exists(folder, &key) {
            return Ok(());
        }
        let opening = Partial::open(folder, &key, fetcher.options.patience, true);
        match self.interrupt.or_interrupted(opening).await {
            Ok(partial) if partial.publication().is_some() => {
                self.is_published(&partial).await?;
                partial.discard()
            }
            // No note proves what the file is: it counts as any other under the target's name.
            Err(error) if error.code() == Code::UnsafePartial => {
                let target = self.destination.target();
                target.map_or(Ok(()), remove_partial_link)
            }
            Err(error) if error.code() == Code::Interrupted => Err(error),
            _ => Ok(()), // what it is counts when it is needed
        }
    }

    /// Takes note of what other processes made of the partial.
    async fn is_published(&mut self, partial: &Partial) -> Result<()> {
        let naming = async {
            let naming = self.destination.adopt_publication(partial.publication());
            naming.await;
            Ok(())
        };
        self.interrupt.or_interrupted(naming).await?;
        if partial.publication().is_some_and(Publication::is_finished) {
            self.attempts.delivered().await;
        }
        Ok(())
    }

    /// The partial, in a folder where a document can get its name; none when the document is there.
    async fn open_partial(&mut self) -> Result<Option<Partial>> {
        let fetcher = self.fetcher;
        let (options, key) = (&fetcher.options, fetcher.key(self.job));
        self.destination.make_folder()?;
        let folder = self.destination.folder();
        RenameProofs::check_folder(folder)?;
        let opening = Partial::open(folder, &key, options.patience, options.resume);
        let mut partial = self.interrupt.or_interrupted(opening).await?;
        self.is_published(&partial).await?;
        let destination = &mut self.destination;
        if destination.choose_name()? == TargetState::AlreadyThere {
            partial.discard()?;
            return Ok(None);
        }
        let watcher = &mut *self.attempts.watcher;
        self.interrupt
            .or_interrupted(partial.resume(watcher))
            .await?;
        let found = &mut self.attempts.facts.found;
        found.get_or_insert(partial.resumed_from());
        let mut proven = Ok(());
        if fetcher.resolver.charges() {
            proven = fetcher
                .rename_proofs
                .prove(destination.folder(), &mut partial);
        }
        match proven.and_then(|()| destination.check_replaceable(&partial)) {
            Ok(()) => Ok(Some(partial)),
            Err(error) => {
                leave(partial);
                Err(error)
            }
        }
    }

    async fn download_to_file(
        &mut self,
        permit: &mut BatchPermit,
        prefetched: Prefetched,
    ) -> Result<Outcome> {
        let Some(partial) = self.open_partial().await? else {
            return Ok(self.outcome(Status::Skipped));
        };
        let Self {
            fetcher,
            job,
            destination,
            attempts,
            interrupt,
        } = self;
        let mut sink = Sink::Partial(partial);
        let running = download(attempts, permit, prefetched, destination, &mut sink);
        // A paid request that has left is given the time to be answered.
        let resolver = &fetcher.resolver;
        let download = interrupt
            .or_interrupted_after(running, || resolver.is_pending(&job.id))
            .await;
        let Sink::Partial(partial) = sink else {
            return Err(Error::new(Code::Unexpected, "the partial is gone"));
        };
        let sha256 = match download {
            Ok(Download::Complete { sha256 }) => sha256,
            Ok(Download::NotNeeded) => {
                partial.discard()?;
                return Ok(self.outcome(Status::Skipped));
            }
            Err(error) => {
                leave(partial);
                // A mirror takes no digest: the bytes come again.
                let is_mirrored =
                    job.target_options.is_some() && error.code() == Code::DigestMismatch;
                return Err(if is_mirrored {
                    error.with_hint("run again; if it stays, tell the provider")
                } else {
                    error
                });
            }
        };
        let bytes = partial.position();
        let resumed_from = partial
            .resumed_from()
            .min(self.attempts.facts.found.unwrap_or(u64::MAX));
        let etag = partial.entity().tag.clone();
        let outcome = Outcome {
            bytes: Some(bytes),
            sha256,
            etag,
            resumed_from: Some(resumed_from),
            media_type: self.attempts.facts.media_type.clone(),
            ..self.outcome(Status::Fetched)
        };
        let announce = self.job.journal.as_ref().map(|journal| {
            let (journal, outcome) = (Arc::clone(journal), outcome.clone());
            let announce: BeforePublish = Arc::new(move |target: &Path| {
                journal(&Outcome {
                    path: Some(target.to_path_buf()),
                    ..outcome.clone()
                })
            });
            announce
        });
        let (sha256, beside) = (outcome.sha256.as_deref(), self.fetcher.options.jobs > 1);
        let publishing = self
            .destination
            .publish(partial, sha256, announce.as_ref(), beside);
        let status = match publishing.await? {
            TargetEnd::AlreadyThere => return Ok(self.outcome(Status::Skipped)),
            TargetEnd::Published => Status::Fetched,
        };
        self.attempts.delivered().await;
        let Outcome { path, name, .. } = self.outcome(status); // the target may have changed
        Ok(Outcome {
            path,
            name,
            ..outcome
        })
    }

    async fn download_to_stdout(
        &mut self,
        permit: &mut BatchPermit,
        prefetched: Prefetched,
    ) -> Result<Outcome> {
        let mut sink = Sink::stdout();
        let (attempts, destination) = (&mut self.attempts, &mut self.destination);
        let running = download(attempts, permit, prefetched, destination, &mut sink);
        let (resolver, id) = (&self.fetcher.resolver, &self.job.id);
        let running = self
            .interrupt
            .or_interrupted_after(running, || resolver.is_pending(id));
        let sha256 = match running.await? {
            Download::Complete { sha256 } => sha256,
            Download::NotNeeded => None,
        };
        self.attempts.delivered().await;
        Ok(Outcome {
            bytes: Some(sink.position()),
            sha256,
            etag: sink.entity().tag.clone(),
            resumed_from: Some(0),
            ..self.outcome(Status::Fetched)
        })
    }

    /// What a real run would do, as far as that can be known for free.
    async fn plan(&mut self) -> Result<Outcome> {
        let (fetcher, id) = (self.fetcher, &self.job.id);
        if fetcher.options.stdout {
            let cost = fetcher.resolver.foresee(id, false)?;
            return Ok(Outcome {
                cost,
                ..self.outcome(Status::Planned) // nothing is in its way
            });
        }
        let destination = &mut self.destination;
        let metadata_first = fetcher.resolver.metadata_first();
        let naming = async {
            let metadata = match &self.job.metadata {
                Some(metadata) => metadata.clone(),
                None => fetcher.resolver.metadata(id).await,
            };
            if metadata_first || self.job.metadata.is_some() {
                destination
                    .name_after_metadata(metadata.name.as_deref())
                    .await;
            }
            Ok(metadata)
        };
        let metadata = self.interrupt.or_interrupted(naming).await?;
        let (status, cost) = match self.destination.choose_name()? {
            TargetState::Writable => {
                let folder = self.destination.folder();
                let begun = Partial::exists(folder, &fetcher.key(self.job));
                (Status::Planned, fetcher.resolver.foresee(id, begun)?)
            }
            TargetState::AlreadyThere => (Status::Skipped, None),
        };
        Ok(Outcome {
            cost,
            bytes: metadata.size.filter(|_| status == Status::Planned),
            ..self.outcome(status)
        })
    }

    fn outcome(&self, status: Status) -> Outcome {
        let provider = self.fetcher.resolver.provider().name;
        Outcome {
            path: self.destination.target().map(Path::to_path_buf),
            name: self.destination.file_name(),
            ..Outcome::new(provider, self.job.id.clone(), status)
        }
    }
}

/// Brings all bytes into the sink.
async fn download(
    attempts: &mut Attempts<'_>,
    permit: &mut BatchPermit,
    prefetched: Prefetched,
    destination: &mut Destination<'_>,
    sink: &mut Sink,
) -> Result<Download> {
    match attempts.prepare(prefetched, destination, sink).await? {
        ControlFlow::Break(download) => Ok(download),
        ControlFlow::Continue(prepared) => {
            permit.asked();
            attempts.download(prepared, destination, sink).await
        }
    }
}

/// After a failure: the partial stays where a later run can use it.
fn leave(partial: Partial) {
    let held = partial.held();
    match partial.keep() {
        Err(error) => log::warn!("the partial is lost: {}", error.message()),
        Ok(()) if held > 0 => log::info!("{held} bytes are there for the next run"),
        Ok(()) => {}
    }
}

/// Removes what an earlier run left of a document that is there now.
async fn discard_stale(destination: &Destination<'_>, key: &str) {
    if Partial::exists(destination.folder(), key)
        && let Ok(partial) = Partial::open(destination.folder(), key, Duration::ZERO, true).await
        && let Err(error) = partial.discard()
    {
        log::warn!("a stale partial stays: {}", error.message());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_open_files_are_shared_by_few_documents() {
        use Connections::{Auto, Exactly};
        assert_eq!(within(1024, 256, Auto), (103, Auto));
        assert_eq!(within(1024, 4, Exactly(32)), (4, Exactly(32)));
        assert_eq!(within(32, 64, Auto), (1, Exactly(1)));
        assert_eq!(within(32, 64, Exactly(16)), (1, Exactly(8)));
        assert_eq!(within(8, 64, Auto), (1, Exactly(1)));
    }
}
