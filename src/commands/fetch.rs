//! `docfetch sm` and `docfetch onecodex`: documents by their ids.

use super::ids::{Asked, Ids, Origin};
use crate::config::settings::Connection;
use crate::error::{Code, Error, Result};
use crate::fetch::batch::permits::BatchPermit;
use crate::fetch::batch::queue::{self, BatchTask, FetchEnd, Ran};
use crate::fetch::engine::DocumentFetch;
use crate::fetch::events::Progress;
use crate::fetch::fetcher::Fetcher;
use crate::fetch::options::FetchOptions;
use crate::fetch::outcome::RequestedId;
use crate::fetch::summary::Summary;
use crate::interrupt::Interrupt;
use crate::manifest::ManifestAppender;
use crate::provider::Provider;
use crate::resolve::PaidRequests;
use crate::resolve::Resolver;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

/// What is to be fetched.
#[derive(Debug)]
pub(crate) struct Batch {
    /// From whom.
    pub provider: Provider,
    /// Which documents.
    pub origins: Vec<Origin>,
    /// How to connect.
    pub connection: Connection,
    /// Into what.
    pub options: FetchOptions,
    /// Where to append a line for each document.
    pub manifest: Option<PathBuf>,
    /// An option that is for a single document, if there is one.
    pub single: Option<&'static str>,
}

/// Fetches them; each result goes to `each` as it ends, which may stop the batch.
///
/// # Errors
/// What fails before the first document: credentials, settings; and what keeps further ids from being
/// read. A document's failure is a result.
pub(crate) async fn run(
    batch: Batch,
    progress: &dyn Progress,
    mut each: impl FnMut(&FetchEnd) -> ControlFlow<()>,
) -> (Summary, Result<()>) {
    let (charges, dry_run) = (batch.provider.charges(), batch.options.dry_run);
    let mut tally = Count::new(batch.options.fail_fast, charges);
    if dry_run {
        tally.plans(charges, batch.connection.max_charges);
    }
    let result = work(batch, progress, &mut tally, &mut each).await;
    tally.end(result)
}

async fn work(
    batch: Batch,
    progress: &dyn Progress,
    tally: &mut Count,
    each: &mut dyn FnMut(&FetchEnd) -> ControlFlow<()>,
) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let (name, charges) = (batch.provider.name, batch.provider.charges());
    let mut ids = Ids::new(batch.provider.clone(), batch.origins);
    let mut options = batch.options;
    match ids.count() {
        Some(1) => options.jobs = 1,
        count => progress.expect(count),
    }
    if let Some(option) = batch.single
        && interrupt.or_interrupted(ids.has(2)).await?
    {
        return Err(
            Error::new(Code::Usage, format!("{option} is for a single document"))
                .with_cause("more than one id is given"),
        );
    }
    if !interrupt.or_interrupted(ids.has(1)).await? {
        return Ok(()); // nothing to do
    }
    let manifest = ManifestAppender::of_run(batch.manifest.as_deref(), options.dry_run)?;
    let resolver = super::resolver(batch.provider, &batch.connection)?;
    let fetcher = Fetcher::new(resolver, options);
    let start = |order, asked| match asked {
        Asked::Document(id) => IdTask::Document(Box::new(fetcher.document(
            order,
            id.into(),
            progress,
            &interrupt,
        ))),
        Asked::Wrong(id, error) => {
            let id = RequestedId::Unusable(id);
            IdTask::Ended(FetchEnd::unasked(id, Err(error), charges))
        }
    };
    let mut unwritten = None;
    let running = queue::run(&mut ids, fetcher.limits(), &interrupt, start, |ended| {
        progress.ended();
        if let Some(manifest) = &manifest
            && let Err(error) = manifest.note(name, &ended)
        {
            unwritten = Some(error);
        }
        let stop = unwritten.is_some() || fetcher.has_stopped();
        tally.count(&ended, each(&ended).is_break() || stop)
    });
    let ran = running.await;
    tally.ran(&ran, fetcher.resolver());
    ran.result?;
    tally.stopped_by(interrupt.signal())?;
    unwritten.map_or(Ok(()), Err)
}

/// The task of an id.
enum IdTask<'a> {
    /// The id ended before anything was requested.
    Ended(FetchEnd),
    /// The id is of a document.
    Document(Box<DocumentFetch<'a>>),
}

impl BatchTask for IdTask<'_> {
    async fn run(self, permit: &mut BatchPermit) -> Option<FetchEnd> {
        match self {
            Self::Ended(ended) => Some(ended),
            Self::Document(document) => document.run(permit).await,
        }
    }
}

/// Counts what ended, and says when to stop.
#[derive(Debug)]
pub(crate) struct Count {
    started: Instant,
    fail_fast: bool,
    summary: Summary,
}

impl Count {
    /// Nothing yet.
    pub(crate) fn new(fail_fast: bool, charges: bool) -> Self {
        Self {
            started: Instant::now(),
            fail_fast,
            summary: Summary {
                charges: charges.then_some(0),
                ..Summary::default()
            },
        }
    }

    /// Counts what a real run would pay, of a provider that `charges` or not.
    pub(crate) fn plans(&mut self, charges: bool, max_charges: Option<u64>) {
        self.summary.begin_plan(charges, max_charges);
    }

    /// Whether a signal kept documents from being fetched.
    ///
    /// # Errors
    /// [`Code::Interrupted`], when it did.
    pub(crate) fn stopped_by(&self, signal: Option<i32>) -> Result<()> {
        let missing = self.summary.failed + self.summary.not_started > 0;
        let signal = signal.filter(|_| missing);
        signal.map_or(Ok(()), |signal| Err(Error::interrupted(signal)))
    }

    /// Takes in how the batch ended.
    pub(crate) fn ran(&mut self, ran: &Ran, resolver: &Resolver) {
        self.summary.not_started = ran.not_started;
        self.summary.charges = resolver.paid_requests().map(PaidRequests::count);
    }

    /// Counts a document; `stop` when the batch is to stop whatever became of it.
    pub(crate) fn count(&mut self, ended: &FetchEnd, stop: bool) -> ControlFlow<()> {
        let failed = match &ended.result {
            Ok(outcome) => {
                self.summary.add(outcome);
                false
            }
            Err(error) => {
                self.summary.add_failure(ended.id.as_str(), error);
                true
            }
        };
        if stop || (failed && self.fail_fast) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// The end, with what ended the batch before its time.
    pub(crate) fn end(mut self, result: Result<()>) -> (Summary, Result<()>) {
        if let Err(error) = &result {
            self.summary.add_exit_code(error);
        }
        let elapsed = self.started.elapsed().as_millis();
        self.summary.elapsed_ms = u64::try_from(elapsed).unwrap_or(u64::MAX);
        (self.summary, result)
    }
}
