//! The one story: a document id becomes a file.

use super::attempts::{Arrived, Attempts};
use super::destination::{Destination, Standing, Taken, Wish};
use super::events::Progress;
use super::interrupt::Interrupt;
use super::outcome::{Outcome, Status};
use super::partial::Partial;
use super::sink::Sink;
use super::verify::Wanted;
use crate::error::{Code, Error, Result};
use crate::model::{DocumentId, fingerprint};
use crate::resolve::Resolver;
use std::time::{Duration, Instant};

/// What to fetch into, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where files go.
    pub wish: Wish,
    /// Write to standard output instead.
    pub stdout: bool,
    /// What to check.
    pub wanted: Wanted,
    /// Resolve and write nothing.
    pub dry_run: bool,
    /// Go on where an earlier run stopped.
    pub resume: bool,
    /// How long to wait for another process that fetches the same document.
    pub patience: Duration,
}

/// Fetches documents from one provider, one batch.
#[derive(Debug)]
pub struct Fetcher {
    resolver: Resolver,
    options: Options,
    taken: Taken,
}

impl Fetcher {
    /// A batch with these options.
    pub fn new(resolver: Resolver, options: Options) -> Self {
        Self {
            resolver,
            options,
            taken: Taken::default(),
        }
    }

    /// Fetches one document. Everything that can fail for free is tried before the first request
    /// that may cost something; a success means that it is on disk, or through the pipe.
    ///
    /// # Errors
    /// Any [`Code`]. Then there is nothing under the final name, and the partial is kept where a
    /// later run can use it.
    pub async fn fetch(
        &self,
        id: &DocumentId,
        watcher: &dyn Progress,
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        let started = Instant::now();
        let provider = self.resolver.provider().name;
        let mut destination = Destination::new(&self.options.wish, &self.taken, provider, id);
        let mut attempts = Attempts::new(&self.resolver, self.options.wanted, id, watcher);
        let result = if self.options.dry_run {
            self.plan(id, &mut destination, interrupt).await
        } else if self.options.stdout {
            self.to_stdout(&mut destination, &mut attempts, interrupt)
                .await
        } else {
            self.to_file(id, &mut destination, &mut attempts, interrupt)
                .await
        };
        match result {
            Ok(outcome) => {
                match outcome.status {
                    Status::Fetched => watcher.finished(outcome.bytes.unwrap_or_default()),
                    Status::Skipped => watcher.skipped(),
                    Status::Planned => {}
                }
                let elapsed = started.elapsed().as_millis();
                Ok(Outcome {
                    provider,
                    id: id.as_str().to_owned(),
                    path: outcome.path.filter(|_| !self.options.stdout),
                    media_type: attempts.facts.media_type,
                    attempts: attempts.facts.requests,
                    resolves: attempts.facts.resolves,
                    elapsed_ms: u64::try_from(elapsed).unwrap_or(u64::MAX),
                    ..outcome
                })
            }
            Err(error) => {
                let resolved = attempts.has_url();
                let error = self.resolver.say_what_it_costs(id, error, resolved);
                watcher.failed(&error);
                Err(error)
            }
        }
    }

    async fn to_file(
        &self,
        id: &DocumentId,
        destination: &mut Destination<'_>,
        attempts: &mut Attempts<'_>,
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        let key = self.key(id);
        if destination.look()? == Standing::Skip {
            discard_stale(destination, &key).await;
            return Ok(outcome(Status::Skipped, destination));
        }
        destination.make_folder()?;
        let (resume, patience) = (self.options.resume, self.options.patience);
        let opening = Partial::open(destination.folder(), &key, patience, resume);
        let partial = interrupt.or(opening).await?;
        destination.published_meanwhile(partial.published_by_other());
        if destination.look()? == Standing::Skip {
            partial.discard()?;
            return Ok(outcome(Status::Skipped, destination));
        }
        let mut sink = Sink::Partial(partial);
        let arrived = interrupt.or(attempts.bring(destination, &mut sink)).await;
        let Sink::Partial(partial) = sink else {
            return Err(Error::new(Code::Unexpected, "the partial is gone"));
        };
        let sha256 = match arrived {
            Ok(Arrived::Whole { sha256 }) => sha256,
            Ok(Arrived::NotNeeded) => {
                partial.discard()?;
                return Ok(outcome(Status::Skipped, destination));
            }
            Err(error) => {
                leave(partial);
                return Err(error);
            }
        };
        let (bytes, resumed_from) = (partial.position(), partial.resumed_from());
        let etag = partial.entity().tag.clone();
        if destination.publish(partial)? == Standing::Skip {
            return Ok(outcome(Status::Skipped, destination));
        }
        attempts.delivered().await;
        Ok(Outcome {
            bytes: Some(bytes),
            sha256,
            etag,
            resumed_from: Some(resumed_from),
            ..outcome(Status::Fetched, destination)
        })
    }

    async fn to_stdout(
        &self,
        destination: &mut Destination<'_>,
        attempts: &mut Attempts<'_>,
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        let mut sink = Sink::stdout();
        let arrived = interrupt.or(attempts.bring(destination, &mut sink)).await?;
        let sha256 = match arrived {
            Arrived::Whole { sha256 } => sha256,
            Arrived::NotNeeded => None,
        };
        attempts.delivered().await;
        Ok(Outcome {
            bytes: Some(sink.position()),
            sha256,
            etag: sink.entity().tag.clone(),
            resumed_from: Some(0),
            ..outcome(Status::Fetched, destination)
        })
    }

    /// What a real run would do, as far as that can be known for free.
    async fn plan(
        &self,
        id: &DocumentId,
        destination: &mut Destination<'_>,
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        if self.options.stdout {
            return Ok(outcome(Status::Planned, destination)); // nothing is in its way
        }
        let known = async { Ok(self.resolver.metadata(id).await) };
        let known = interrupt.or(known).await?;
        if self.resolver.provider().charged {
            destination.name_by(known.name.as_deref());
        }
        let status = match destination.look()? {
            Standing::Free => {
                self.resolver.foresee(id)?;
                Status::Planned
            }
            Standing::Skip => Status::Skipped,
        };
        Ok(Outcome {
            bytes: known.size.filter(|_| status == Status::Planned),
            ..outcome(status, destination)
        })
    }

    /// What names the partial of a document: provider, base, account, id, and the path when one was
    /// asked for. A later run finds it before it knows the document's name.
    fn key(&self, id: &DocumentId) -> String {
        let [provider, base, account] = self.resolver.identity();
        let file = self.options.wish.file.as_deref();
        let file = file.map(|file| file.as_os_str().as_encoded_bytes());
        let file = file.unwrap_or_default();
        fingerprint(&[provider, base, account, id.as_str().as_bytes(), file])
    }
}

fn outcome(status: Status, destination: &Destination<'_>) -> Outcome {
    Outcome {
        status,
        path: destination.target().map(std::path::Path::to_path_buf),
        name: destination.file_name(),
        ..Outcome::default()
    }
}

/// After a failure: the partial stays where a later run can use it.
fn leave(partial: Partial) {
    let held = partial.position();
    match partial.keep() {
        Err(error) => log::warn!("the partial is lost: {}", error.message()),
        Ok(()) if held > 0 => log::info!("{held} bytes are there for the next run"),
        Ok(()) => {}
    }
}

/// Removes what an earlier run left of a document that is there now.
async fn discard_stale(destination: &Destination<'_>, key: &str) {
    if Partial::is_there(destination.folder(), key)
        && let Ok(partial) = Partial::open(destination.folder(), key, Duration::ZERO, true).await
        && let Err(error) = partial.discard()
    {
        log::warn!("a stale partial stays: {}", error.message());
    }
}
