//! One batch of documents: what `fetch` and `sync` have in common.

use crate::config::settings::Connection;
use crate::error::{Error, Result};
use crate::fetch::batch::{BatchTask, DistinctSource, FetchEnd, Queue, QueueEnd, Source};
use crate::fetch::events::Progress;
use crate::fetch::fetcher::Fetcher;
use crate::fetch::options::FetchOptions;
use crate::fetch::summary::{KeptUrls, Summary};
use crate::interrupt::Interrupt;
use crate::manifest::ManifestAppender;
use crate::model::DocumentId;
use crate::provider::Provider;
use crate::resolve::{PaidRequests, Resolver};
use jiff::Timestamp;
use std::ops::ControlFlow;
use std::time::Instant;

/// Sees each document that ended, and may stop the batch.
pub(super) type OnEnd<'a> = &'a mut dyn FnMut(&FetchEnd) -> ControlFlow<()>;

/// What the documents of a batch share.
pub(super) struct Batch<'a> {
    /// Fetches each document.
    pub fetcher: &'a Fetcher,
    /// Is told how many documents ended.
    pub progress: &'a dyn Progress,
    /// Stops the batch.
    pub interrupt: &'a Interrupt,
    /// The file of `--manifest`, which gets a line for each document.
    pub manifest: Option<ManifestAppender>,
    /// Whether there may be more than one document.
    pub has_many: bool,
}

impl Batch<'_> {
    /// Works on the documents of `source`, and counts them in `tally`. `start` makes the task of a document,
    /// with ascending numbers. `record` and then `on_end` see each document that ended.
    ///
    /// # Errors
    /// What stops the batch early: an interrupt, a source that cannot be read, and a manifest that cannot be
    /// written ([`Code::LocalIo`](crate::Code::LocalIo), [`Code::DiskFull`](crate::Code::DiskFull)). The
    /// failure of a document is no error of the batch.
    pub(super) async fn run<S: Source, T: BatchTask>(
        &self,
        source: &mut DistinctSource<S>,
        start: impl Fn(u64, DocumentId, S::Detail) -> T,
        record: impl Fn(&FetchEnd) -> Result<()>,
        tally: &mut BatchTally,
        on_end: OnEnd<'_>,
    ) -> Result<()> {
        let resolver = self.fetcher.resolver();
        let (limits, outages) = self.fetcher.limits();
        let queue = Queue {
            limits,
            outages,
            interrupt: self.interrupt,
            charges: resolver.charges(),
            has_many: self.has_many,
        };
        let mut unwritten = None;
        let running = queue.run(source, start, |mut end| {
            self.progress.ended();
            if let Ok(outcome) = &mut end.result {
                outcome.cost = tally.summary.limited(outcome.cost);
            }
            let noted = self.note(&end).and_then(|()| record(&end));
            unwritten = noted.err().or(unwritten.take());
            let must_stop = unwritten.is_some() || self.fetcher.has_stopped();
            let told = on_end(&end);
            if tally.count(&end) || must_stop {
                return ControlFlow::Break(());
            }
            told
        });
        let end = Box::pin(running).await;
        tally.end_queue(&end, resolver);
        end.result?;
        tally.check_interrupted(self.interrupt.signal())?;
        unwritten.map_or(Ok(()), Err)
    }

    fn note(&self, end: &FetchEnd) -> Result<()> {
        let provider = &self.fetcher.resolver().provider().table.name;
        match &self.manifest {
            Some(manifest) => manifest.append_document(provider, end),
            None => Ok(()),
        }
    }
}

/// Counts the documents of a batch for its [`Summary`].
#[derive(Debug)]
pub(super) struct BatchTally {
    started: Instant,
    fail_fast: bool,
    summary: Summary,
    /// Until when the paid URLs of the documents that failed are valid.
    url_ends: Vec<Timestamp>,
}

impl BatchTally {
    /// Begins to count. In a dry run, the tally counts what a real run would pay.
    pub(super) fn new(
        provider: &Provider,
        options: &FetchOptions,
        connection: &Connection,
    ) -> Self {
        let charges = provider.charges();
        let mut summary = Summary {
            charges: charges.then_some(0),
            ..Summary::default()
        };
        if options.dry_run {
            summary.begin_plan(charges, connection.max_charges);
        }
        Self {
            started: Instant::now(),
            fail_fast: options.fail_fast,
            summary,
            url_ends: Vec::new(),
        }
    }

    /// Counts a document. Returns whether its failure stops the batch.
    fn count(&mut self, end: &FetchEnd) -> bool {
        match &end.result {
            Ok(outcome) => {
                self.summary.add(outcome);
                false
            }
            Err(error) => {
                self.summary.add_failure(end.id.as_str(), error);
                self.url_ends.extend(error.url_kept_until());
                self.fail_fast
            }
        }
    }

    /// Counts the documents of a mirror that the provider no longer lists, and tells `on_end`.
    pub(super) fn add_gone(&mut self, gone: Vec<FetchEnd>, on_end: OnEnd<'_>) {
        self.summary.gone = Some(0);
        for end in gone {
            self.count(&end);
            if on_end(&end).is_break() {
                break;
            }
        }
    }

    fn end_queue(&mut self, end: &QueueEnd, resolver: &Resolver) {
        self.summary.not_started = end.not_started;
        self.summary.charges = resolver.paid_requests().map(PaidRequests::count);
        let now = resolver.http().clock().best();
        self.summary.kept_urls = KeptUrls::at(now, &self.url_ends);
    }

    /// Whether a signal kept a document from being fetched.
    fn check_interrupted(&self, signal: Option<i32>) -> Result<()> {
        let is_incomplete = self.summary.failed + self.summary.not_started > 0;
        match signal.filter(|_| is_incomplete) {
            Some(signal) => Err(Error::interrupted(signal)),
            None => Ok(()),
        }
    }

    /// The summary of a batch that ended with `result`.
    pub(super) fn finish(mut self, result: &Result<()>) -> Summary {
        if let Err(error) = result {
            self.summary.add_exit_code(error);
        }
        let elapsed = self.started.elapsed().as_millis();
        self.summary.elapsed_ms = u64::try_from(elapsed).unwrap_or(u64::MAX);
        self.summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::fetch::outcome::{Outcome, Status};

    fn tally(options: &FetchOptions) -> BatchTally {
        let provider = Provider::shipped("sm").unwrap();
        BatchTally::new(&provider, options, &Connection::default())
    }

    fn end(result: Result<Status>) -> FetchEnd {
        let id = DocumentId::parse("7", None).unwrap();
        let outcome = |status| Outcome::new("sm", id.clone(), status);
        FetchEnd::without_request(id.clone().into(), result.map(outcome), false)
    }

    fn failed() -> FetchEnd {
        end(Err(Error::new(Code::NotFound, "not there")))
    }

    #[test]
    fn a_failure_stops_the_batch_only_when_the_user_asks_for_that() {
        let mut options = FetchOptions::default();
        for fail_fast in [false, true] {
            options.fail_fast = fail_fast;
            let mut tally = tally(&options);
            assert!(!tally.count(&end(Ok(Status::Fetched))));
            assert_eq!(tally.count(&failed()), fail_fast);
            let summary = tally.finish(&Ok(()));
            assert_eq!((summary.fetched, summary.failed), (1, 1));
            assert_eq!(summary.exit_code, 4);
        }
    }

    #[test]
    fn a_signal_is_a_failure_only_when_a_document_is_missing() {
        let mut tally = tally(&FetchOptions::default());
        tally.count(&end(Ok(Status::Skipped)));
        tally.check_interrupted(Some(15)).unwrap();
        tally.count(&failed());
        tally.check_interrupted(None).unwrap();
        let error = tally.check_interrupted(Some(15)).unwrap_err();
        assert_eq!(error.exit_code(), 143);
        assert_eq!(tally.finish(&Err(error)).exit_code, 143);
    }
}
