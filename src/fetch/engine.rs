//! A document id becomes a file: the stages of one document, in their order.
//!
//! 1. docfetch checks for free whether a file exists at the target.
//! 2. The document waits for its turn in the batch. Meanwhile docfetch requests what is free.
//! 3. docfetch opens and locks the partial, resolves the document, transfers and verifies the bytes.
//! 4. docfetch publishes the partial under the document's final name.

mod context;
mod job;
mod plan;
mod to_file;

pub(crate) use context::FetchContext;
pub(crate) use job::Job;

use crate::active_time;
use crate::error::{Code, Result, panics};
use crate::fetch::attempts::{Attempts, Download, Prefetched};
use crate::fetch::batch::{AfterFailure, BatchPermit, BatchTask, FetchEnd, Outages, Probe};
use crate::fetch::events::Progress;
use crate::fetch::outcome::{Outcome, RequestedId, Status};
use crate::fetch::target::{Destination, NameTicket};
use crate::fetch::transfer::Sink;
use crate::interrupt::{Interrupt, infallible};
use crate::resolve::PaidRequests;
use crate::secret::register_public;
use crate::text::short_duration;
use std::ops::ControlFlow;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The fetch of one document.
///
/// docfetch tries everything that can fail for free before the first request that may be charged. After a
/// success the document is on disk, or standard output has all its bytes. After a failure docfetch has
/// published no incomplete file, and the partial stays on disk for a later run. With
/// [`IfExists::Overwrite`](crate::IfExists::Overwrite), a failed sync of the folder leaves the new file in
/// place.
pub(crate) struct DocumentFetch<'a> {
    /// What the fetches of the batch share.
    pub context: &'a FetchContext,
    /// The document's turn to take a file name.
    pub ticket: NameTicket<'a>,
    /// The document.
    pub job: Job,
    /// Watches the batch.
    pub progress: &'a dyn Progress,
    /// Ends the fetch.
    pub interrupt: &'a Interrupt,
    /// Where the document waits for others whose storage does not answer; `None` outside of a batch.
    pub outages: Option<&'a Outages>,
}

/// How the fetch of a document ended.
pub(crate) struct DocumentEnd {
    /// The result.
    pub result: Result<Outcome>,
    /// Whether docfetch sent a paid request for the document that the provider did not refuse; `None` where
    /// the provider never charges.
    pub charged: Option<bool>,
}

impl BatchTask for DocumentFetch<'_> {
    async fn run(self, permit: &mut BatchPermit) -> Option<FetchEnd> {
        let id = RequestedId::Document(self.job.id.clone());
        let DocumentEnd { result, charged } = self.fetch(permit).await?;
        Some(FetchEnd {
            id,
            result,
            charged,
        })
    }
}

impl DocumentFetch<'_> {
    /// Fetches the document. None when the batch ended before the document's turn.
    pub(crate) async fn fetch(self, permit: &mut BatchPermit) -> Option<DocumentEnd> {
        let started = Instant::now();
        let Self {
            context,
            ticket,
            job,
            progress,
            interrupt,
            outages,
        } = self;
        let FetchContext {
            resolver,
            options,
            pace,
            ..
        } = context;
        let target = Arc::clone(job.target.as_ref().unwrap_or(&context.target));
        let provider = &resolver.provider().table.name;
        let listed_name = job.metadata.as_ref().and_then(|told| told.name.as_deref());
        listed_name.inspect(|name| register_public(name));
        let watcher = progress.document(&job.id);
        let mut stages = Stages {
            destination: Destination::new(target, &context.claimed, ticket, provider, &job.id),
            attempts: Attempts::new(resolver, options, pace, &job.id, watcher),
            context,
            job: &job,
            interrupt,
            outages,
        };
        let result = Box::pin(stages.run_through_outages(permit)).await;
        let charged = resolver.paid_requests();
        let charged = charged.map(|requests| requests.take_charged(&job.id));
        let result = match result {
            Ok(None) => return None,
            Err(error) if outages.is_some() && error.is_not_started() && charged != Some(true) => {
                return None;
            }
            Ok(Some(outcome)) => {
                let elapsed = started.elapsed();
                Ok(stages.succeeded(outcome, charged, elapsed))
            }
            Err(error) => {
                let resolved = stages.attempts.has_url();
                let error = resolver.with_charge_hint(&job.id, error, resolved);
                stages.attempts.watcher.failed(&error);
                Err(error)
            }
        };
        Some(DocumentEnd { result, charged })
    }
}

/// A document that docfetch is fetching.
struct Stages<'a> {
    context: &'a FetchContext,
    job: &'a Job,
    destination: Destination<'a>,
    attempts: Attempts<'a>,
    interrupt: &'a Interrupt,
    outages: Option<&'a Outages>,
}

impl<'a> Stages<'a> {
    /// Runs the stages, and runs them again where the storage of the document was out of reach for other
    /// documents, too, and answers again. None when the batch ended before the document's turn.
    async fn run_through_outages(&mut self, permit: &mut BatchPermit) -> Result<Option<Outcome>> {
        let mut probe: Option<Probe<'_>> = None;
        let mut is_second_run = false;
        loop {
            let result = panics::guard(pin!(self.run(permit))).await.flatten();
            let Some((outages, paid_requests, host)) = self.outage_of_paid_url() else {
                return result;
            };
            let error = match result {
                Ok(outcome) => {
                    outages.succeeded(&host, paid_requests);
                    return Ok(outcome);
                }
                Err(error) => error,
            };
            if let Some(probe) = probe.take() {
                probe.failed(&error);
                return Err(error);
            }
            // A second failure of the same document says nothing new about the others.
            if is_second_run {
                return Err(error);
            }
            match outages.failed(&host, &self.job.id, &error, paid_requests) {
                AfterFailure::Fails => return Err(error),
                AfterFailure::Probes(for_host) => probe = Some(for_host),
                AfterFailure::Waits(for_others) => {
                    log::info!("{} waits for others: {}", self.job.id, error.message());
                    if !self.wait_for_others(for_others, permit).await {
                        return Err(error);
                    }
                }
            }
            is_second_run = true;
            self.attempts.begin_again(probe.is_some());
        }
    }

    /// The storage host of the document's URL, where docfetch paid for that URL in a batch.
    fn outage_of_paid_url(&self) -> Option<(&'a Outages, &'a PaidRequests, String)> {
        let options = &self.context.options;
        if options.fail_fast || options.stdout {
            return None;
        }
        let paid_requests = self.context.resolver.paid_requests()?;
        Some((self.outages?, paid_requests, self.attempts.storage_host()?))
    }

    /// Leaves the document's place in the batch to others until one of them arrives. False when none does,
    /// or the batch ends.
    async fn wait_for_others(
        &mut self,
        arrived: oneshot::Receiver<()>,
        permit: &mut BatchPermit,
    ) -> bool {
        self.destination.release_ticket();
        permit.release();
        let again = async { Ok(arrived.await.is_ok() && permit.reacquire().await) };
        self.interrupt.or_interrupted(again).await.unwrap_or(false)
    }

    /// Runs all stages once. None when the batch ended before the document's turn.
    async fn run(&mut self, permit: &mut BatchPermit) -> Result<Option<Outcome>> {
        let interrupt = self.interrupt;
        let options = &self.context.options;
        interrupt
            .or_interrupted(infallible(self.destination.name_without_storage()))
            .await?;
        if options.dry_run {
            return self.plan().await.map(Some);
        }
        if !options.stdout
            && let Some(skipped) = self.already_there().await?
        {
            return Ok(Some(skipped));
        }
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
        let metadata = self.job.metadata.clone();
        if permit.is_admitted() {
            return Ok(Some(Prefetched::only(metadata)));
        }
        let prefetched = {
            let mut prefetching = Box::pin(self.attempts.prefetch(metadata));
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
        self.attempts.facts.waited_for_turn = active_time::since(since);
        permit.finish_preparation();
        Ok(Some(prefetched))
    }

    /// Transfers the document into the sink. After a signal, a paid request that has left gets the time to
    /// be answered.
    async fn download(
        &mut self,
        permit: &mut BatchPermit,
        prefetched: Prefetched,
        sink: &mut Sink,
    ) -> Result<Download> {
        let (attempts, destination) = (&mut self.attempts, &mut self.destination);
        let downloading = async {
            match attempts.prepare(prefetched, destination, sink).await? {
                ControlFlow::Break(download) => Ok(download),
                ControlFlow::Continue(prepared) => {
                    permit.finish_preparation();
                    attempts.download(prepared, destination, sink).await
                }
            }
        };
        let (resolver, id) = (&self.context.resolver, &self.job.id);
        self.interrupt
            .or_interrupted_after(downloading, || resolver.is_pending(id))
            .await
    }

    async fn download_to_stdout(
        &mut self,
        permit: &mut BatchPermit,
        prefetched: Prefetched,
    ) -> Result<Outcome> {
        let mut sink = Sink::stdout();
        let download = self.download(permit, prefetched, &mut sink).await;
        let download = download.map_err(|error| match error.code() {
            Code::Interrupted if !error.has_own_hint() => {
                error.with_hint("run again to start over; docfetch continues only files")
            }
            _ => error,
        });
        let sha256 = match download? {
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

    fn outcome(&self, status: Status) -> Outcome {
        let provider = self.context.resolver.provider().name();
        Outcome {
            path: self.destination.target().map(Path::to_path_buf),
            name: self.destination.file_name(),
            ..Outcome::new(provider, self.job.id.clone(), status)
        }
    }

    /// Tells the watcher of the success, and completes the outcome.
    fn succeeded(&mut self, outcome: Outcome, charged: Option<bool>, elapsed: Duration) -> Outcome {
        let watcher = &mut self.attempts.watcher;
        match outcome.status {
            Status::Fetched => watcher.finished(outcome.bytes.unwrap_or_default()),
            Status::Skipped => {
                watcher.skipped();
                if charged == Some(true) {
                    self.tell_charge_of_skipped(&outcome);
                }
            }
            Status::Planned | Status::Gone => {}
        }
        let facts = &mut self.attempts.facts;
        let elapsed = elapsed.saturating_sub(facts.waited_for_turn);
        Outcome {
            path: outcome.path.filter(|_| !self.context.options.stdout),
            media_type: facts.media_type.take(),
            attempts: facts.requests,
            resolves: facts.resolves,
            charged,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            ..outcome
        }
    }

    /// Tells the user that docfetch paid for a document that it skips, because only the storage's answer told the
    /// document's name, or another process published the document meanwhile.
    fn tell_charge_of_skipped(&self, outcome: &Outcome) {
        let id = &self.job.id;
        let path = outcome.path.as_deref().unwrap_or(Path::new("the target"));
        let kept = self.context.resolver.paid_url_time_left(id);
        let kept = kept.map(|left| format!("; the paid URL is kept for {}", short_duration(left)));
        log::error!(
            "docfetch paid for {id} before it knew that {} exists{}",
            path.display(),
            kept.unwrap_or_default()
        );
    }
}
