//! A document becomes a file: partial, download, publication.

use super::Stages;
use crate::current_document::warn_of_document;
use crate::error::{Code, Error, Result};
use crate::fetch::attempts::{Download, Prefetched};
use crate::fetch::batch::BatchPermit;
use crate::fetch::file_digest::sha256_of_file;
use crate::fetch::outcome::{Outcome, Status};
use crate::fetch::partial::{Partial, Publication, remove_partial_link};
use crate::fetch::target::{BeforePublish, IfExists, RenameProofs, TargetEnd, TargetState};
use crate::fetch::transfer::Sink;
use crate::fingerprint::hexadecimal;
use crate::interrupt::infallible;
use crate::state::blocking;
use crate::text::counted;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

impl Stages<'_> {
    /// The outcome of a document that docfetch skips, because the target exists already; none of any other
    /// document. Removes the partial of a document that docfetch skips.
    ///
    /// # Errors
    /// Those of [`Destination::choose_name`](crate::fetch::target::Destination::choose_name) and of
    /// [`Stages::skip`]; [`Code::LocalIo`], [`Code::DiskFull`] or [`Code::Interrupted`] when docfetch cannot
    /// complete a publication that an earlier run began.
    pub(super) async fn already_there(&mut self) -> Result<Option<Outcome>> {
        if self.context.options.resume && self.destination.has_second_link() {
            self.finish_publication().await?;
        }
        if self.destination.choose_name()? == TargetState::Writable {
            return Ok(None);
        }
        let skipped = self.skip().await?;
        let folder = self.destination.folder();
        let name = self.context.partial_name(self.job);
        match Partial::remove_stale(folder, &name).await {
            // Another process fetches the document, or the partial is not docfetch's.
            Err(error) if matches!(error.code(), Code::Busy | Code::UnsafePartial) => {}
            Err(error) => warn_of_document!("a stale partial stays: {}", error.message()),
            Ok(()) => {}
        }
        Ok(Some(skipped))
    }

    /// The outcome of a document that docfetch skips, because a file exists at the target.
    ///
    /// # Errors
    /// [`Code::DigestMismatch`] when the file does not have the SHA-256 that the user expects;
    /// [`Code::LocalIo`] when docfetch cannot read the file; [`Code::Interrupted`].
    pub(super) async fn skip(&self) -> Result<Outcome> {
        let skipped = self.outcome(Status::Skipped);
        let expected = self.context.options.digests.expected_sha256;
        let (Some(expected), Some(path)) = (expected, skipped.path.clone()) else {
            return Ok(skipped);
        };
        let hashing = async {
            let hashed = path.clone();
            let sha256 = blocking::run(move || sha256_of_file(&hashed)).await;
            sha256.map_err(|error| Error::io("read", &path, &error))
        };
        let actual = self.interrupt.or_interrupted(hashing).await?;
        if actual != hexadecimal(&expected) {
            let what = format!("{} does not have the expected SHA-256", path.display());
            return Err(Error::new(Code::DigestMismatch, what)
                .with_cause(format!(
                    "the file exists, and docfetch did not write over it; its SHA-256 is {actual}"
                ))
                .with_hint("correct --sha256, or fetch the document with --if-exists overwrite"));
        }
        Ok(Outcome {
            sha256: Some(actual),
            ..skipped
        })
    }

    /// The same, where docfetch holds the partial of the document: docfetch discards the partial of a document
    /// that it skips.
    ///
    /// # Errors
    /// Those of [`Stages::skip`], and [`Code::LocalIo`].
    async fn skip_with(&self, partial: Partial) -> Result<Outcome> {
        match self.skip().await {
            Ok(skipped) => {
                partial.discard_all()?;
                Ok(skipped)
            }
            Err(error) => {
                keep(partial);
                Err(error)
            }
        }
    }

    /// Finishes the publication of a process that was killed while its document had two names, or waits for
    /// a process that is about to publish. Otherwise the document's own target would be in its way.
    async fn finish_publication(&mut self) -> Result<()> {
        let (context, folder) = (self.context, self.destination.folder());
        let name = context.partial_name(self.job);
        if !Partial::exists(folder, &name) {
            return Ok(());
        }
        let opening = Partial::open(folder, &name, context.options.busy_timeout, true);
        match self.interrupt.or_interrupted(opening).await {
            Ok(partial) if partial.publication().is_some() => {
                self.note_publication(&partial).await?;
                partial.discard()
            }
            // No note proves that docfetch made this file, so a later stage treats it like any file at the
            // target.
            Err(error) if error.code() == Code::UnsafePartial => {
                let target = self.destination.target();
                target.map_or(Ok(()), remove_partial_link)
            }
            Err(error) if error.code() == Code::Interrupted => Err(error),
            _ => Ok(()), // a later stage opens the partial again, and fails if it must
        }
    }

    /// Takes note of the file that another process made of the partial.
    async fn note_publication(&mut self, partial: &Partial) -> Result<()> {
        let adopting = self.destination.adopt_publication(partial.publication());
        self.interrupt.or_interrupted(infallible(adopting)).await?;
        if partial.publication().is_some_and(Publication::is_finished) {
            self.attempts.delivered().await;
        }
        Ok(())
    }

    /// Opens the partial, in a folder where docfetch can rename files; the outcome of a document that is there.
    async fn open_partial(&mut self) -> Result<ControlFlow<Outcome, Partial>> {
        let context = self.context;
        let (options, name) = (&context.options, context.partial_name(self.job));
        self.destination.make_folder()?;
        let folder = self.destination.folder();
        RenameProofs::check_folder(folder)?;
        let opening = Partial::open(folder, &name, options.busy_timeout, options.resume);
        let mut partial = self.interrupt.or_interrupted(opening).await?;
        self.note_publication(&partial).await?;
        if self.destination.choose_name()? == TargetState::AlreadyThere {
            return self.skip_with(partial).await.map(ControlFlow::Break);
        }
        let watcher = &mut *self.attempts.watcher;
        self.interrupt
            .or_interrupted(partial.resume(watcher))
            .await?;
        let found = &mut self.attempts.facts.found_bytes;
        found.get_or_insert(partial.resumed_from());
        match self.check_before_request(&mut partial) {
            Ok(()) => Ok(ControlFlow::Continue(partial)),
            Err(error) => {
                keep(partial);
                Err(error)
            }
        }
    }

    /// The outcome of a document that the user skips where it exists, and that exists in a folder in which docfetch
    /// could not open a partial: docfetch has nothing to write. Names the document by its metadata.
    ///
    /// # Errors
    /// `error`, with which opening the partial failed, where the document is not there or docfetch does not know its
    /// name; those of [`Stages::skip`].
    async fn skip_without_partial(
        &mut self,
        prefetched: Prefetched,
        error: Error,
    ) -> Result<Outcome> {
        let options = self.job.target.as_ref().unwrap_or(&self.context.target);
        let is_of_folder = matches!(error.code(), Code::LocalIo | Code::DiskFull);
        if !is_of_folder || options.if_exists != IfExists::Skip {
            return Err(error);
        }
        let known = if let Some(known) = prefetched.into_metadata() {
            known
        } else {
            let requesting = Box::pin(self.context.resolver.metadata(&self.job.id));
            self.interrupt
                .or_interrupted(infallible(requesting))
                .await?
        };
        let naming = self.destination.name_after_metadata(known.name.as_deref());
        self.interrupt.or_interrupted(infallible(naming)).await?;
        match self.destination.choose_name() {
            Ok(TargetState::AlreadyThere) => self.skip().await,
            _ => Err(error),
        }
    }

    /// Makes sure that the document can get its final name.
    fn check_before_request(&mut self, partial: &mut Partial) -> Result<()> {
        let (context, destination) = (self.context, &mut self.destination);
        if context.resolver.charges() {
            let proofs = &context.rename_proofs;
            proofs.prove(destination.folder(), partial)?;
        }
        destination.check_replaceable(partial)
    }

    /// Downloads, verifies and publishes the document.
    ///
    /// # Errors
    /// The error of the resolve, the transfer or the publication, or of a failed check of the digests. A
    /// partial that a later run can resume stays on disk.
    pub(super) async fn download_to_file(
        &mut self,
        permit: &mut BatchPermit,
        prefetched: Prefetched,
    ) -> Result<Outcome> {
        let partial = match self.open_partial().await {
            Ok(ControlFlow::Continue(partial)) => partial,
            Ok(ControlFlow::Break(skipped)) => return Ok(skipped),
            Err(error) => {
                return Box::pin(self.skip_without_partial(prefetched, error)).await;
            }
        };
        let mut sink = Sink::Partial(partial);
        let download = self.download(permit, prefetched, &mut sink).await;
        let Sink::Partial(partial) = sink else {
            return Err(Error::new(Code::Unexpected, "the partial is gone"));
        };
        match download {
            Ok(Download::Complete { sha256 }) => self.publish(partial, sha256).await,
            Ok(Download::NotNeeded) => self.skip_with(partial).await,
            Err(error) => {
                keep(partial);
                // `sync` has no --sha256 that could accept the bytes.
                let is_useless = error.code() == Code::DigestMismatch || error.asks_for_sha256();
                Err(if self.job.target.is_some() && is_useless {
                    error.with_hint("run again; if the error stays, tell the provider")
                } else {
                    error
                })
            }
        }
    }

    /// Gives a complete partial the document's final name.
    async fn publish(&mut self, partial: Partial, sha256: Option<String>) -> Result<Outcome> {
        let facts = &self.attempts.facts;
        let found = facts.found_bytes.unwrap_or(u64::MAX);
        let outcome = Outcome {
            bytes: Some(partial.position()),
            sha256,
            etag: partial.entity().tag.clone(),
            resumed_from: Some(partial.resumed_from().min(found)),
            media_type: facts.media_type.clone(),
            ..self.outcome(Status::Fetched)
        };
        let before_publish = self.before_publish(&outcome);
        if self.context.options.remote_time
            && let Some(target) = self.destination.target()
        {
            partial.set_remote_time(target);
        }
        let (sha256, in_batch) = (outcome.sha256.as_deref(), self.context.options.jobs > 1);
        let publishing =
            self.destination
                .publish(partial, sha256, before_publish.as_ref(), in_batch);
        if let TargetEnd::AlreadyThere(partial) = publishing.await? {
            return self.skip_with(*partial).await;
        }
        self.attempts.delivered().await;
        let Outcome { path, name, .. } = self.outcome(Status::Fetched); // the target may have changed
        Ok(Outcome {
            path,
            name,
            ..outcome
        })
    }

    /// What the job wants to be called with right before the document gets its final name.
    fn before_publish(&self, outcome: &Outcome) -> Option<BeforePublish> {
        let before_publish = Arc::clone(self.job.before_publish.as_ref()?);
        let outcome = outcome.clone();
        Some(Arc::new(move |target: &Path| {
            before_publish(&Outcome {
                path: Some(target.to_path_buf()),
                ..outcome.clone()
            })
        }))
    }
}

/// Keeps the partial of a failed document for a later run.
fn keep(partial: Partial) {
    let held = partial.held();
    match partial.keep() {
        Err(error) => warn_of_document!("the partial is lost: {}", error.message()),
        Ok(()) if held > 0 => {
            log::info!(
                "the partial keeps {} for the next run",
                counted(held, "byte")
            );
        }
        Ok(()) => {}
    }
}
