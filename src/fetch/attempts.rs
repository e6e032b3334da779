//! Resolve, transfer, and over again from where it broke, as long as the retry policy allows.

use super::destination::{Destination, Standing};
use super::engine::Options;
use super::events::Progress;
use super::naming;
use super::sink::Sink;
use super::transfer::{self, Body, Opened};
use super::verify::{Digests, Lengths, check_length};
use crate::error::{Code, Error, Result};
use crate::http::backoff::Retry;
use crate::http::headers::is_strong;
use crate::http::presigned::PresignedUrl;
use crate::model::DocumentId;
use crate::resolve::{Known, Resolver};
use std::time::{Duration, Instant};

/// An attempt that moved fewer bytes than this, and not the rest, made no progress.
const PROGRESS: u64 = 16 << 10;
/// How long an object that was just stored may stay invisible.
const NOT_YET: Duration = Duration::from_secs(30);

/// How the bytes ended up.
#[derive(Debug)]
pub enum Arrived {
    /// All of them, and verified.
    Whole {
        /// Their SHA-256 in hexadecimal, where it was computed.
        sha256: Option<String>,
    },
    /// None: the target was there.
    NotNeeded,
}

/// What was learned on the way.
#[derive(Debug, Default)]
pub struct Facts {
    /// Requests to the storage.
    pub requests: u32,
    /// Presigned URLs asked for.
    pub resolves: u32,
    /// The media type that the storage told.
    pub media_type: Option<String>,
}

/// The attempts at one document: one budget of retries over resolve, transfer and resume.
pub struct Attempts<'a> {
    resolver: &'a Resolver,
    options: &'a Options,
    id: &'a DocumentId,
    watcher: &'a dyn Progress,
    retry: Retry,
    /// What was learned on the way.
    pub facts: Facts,
}

impl<'a> Attempts<'a> {
    /// Starts the clock.
    pub fn new(
        resolver: &'a Resolver,
        options: &'a Options,
        id: &'a DocumentId,
        watcher: &'a dyn Progress,
    ) -> Self {
        Self {
            resolver,
            options,
            id,
            watcher,
            retry: resolver.retry(),
            facts: Facts::default(),
        }
    }

    /// Brings all bytes into the sink, and verifies them.
    ///
    /// # Errors
    /// What the retries could not mend. The sink holds what arrived, unless that is wrong.
    pub async fn bring(
        &mut self,
        destination: &mut Destination<'_>,
        sink: &mut Sink,
    ) -> Result<Arrived> {
        let known = self.resolver.metadata(self.id).await;
        if let Sink::Partial(partial) = &*sink {
            // A name that is known before paying shows a clash before paying.
            if self.resolver.provider().charged {
                destination.name_by(known.name.as_deref());
            }
            if destination.look()? == Standing::Skip {
                return Ok(Arrived::NotNeeded);
            }
            destination.has_room(known.size.unwrap_or(0).saturating_sub(partial.position()))?;
        }
        let mut digests =
            Digests::new(self.options.sha256 || self.options.expected_sha256.is_some());
        if let Sink::Partial(partial) = &*sink {
            digests.catch_up(partial)?;
        }
        let mut lengths = Lengths {
            metadata: known.size,
            ..Lengths::default()
        };
        let arrived = self
            .transfer(destination, sink, &known, &mut digests, &mut lengths)
            .await?;
        if let Arrived::NotNeeded = arrived {
            return Ok(arrived);
        }
        let expected = self.options.expected_sha256.as_ref();
        check_length(sink.position(), lengths, digests.proves(expected.is_some()))
            .and_then(|()| digests.check(expected))
            .map(|sha256| Arrived::Whole { sha256 })
            .inspect_err(|_| {
                // What is complete and wrong is of no use to a later run.
                if let Sink::Partial(partial) = sink {
                    let _ = partial.restart();
                }
            })
    }

    /// Attempts until one ends with the last byte.
    async fn transfer(
        &mut self,
        destination: &mut Destination<'_>,
        sink: &mut Sink,
        known: &Known,
        digests: &mut Digests,
        lengths: &mut Lengths,
    ) -> Result<Arrived> {
        const DONE: Arrived = Arrived::Whole { sha256: None };
        let mut url = self.resolve().await?;
        let mut farthest = sink.position();
        let mut renewed = false; // resolved anew since the last progress
        let mut changed = false; // another representation came since the last progress
        loop {
            self.facts.requests += 1;
            let http = self.resolver.http();
            let error = match transfer::open(http, &url, sink.position(), sink.entity()).await {
                Ok(Opened::Complete) => return Ok(DONE),
                Ok(Opened::StartOver { why, other }) => {
                    changed |= other;
                    start_over(sink, digests, why)?;
                    continue;
                }
                Ok(Opened::Expired) if renewed => return Err(still_expired()),
                Ok(Opened::Expired) => {
                    url = self.renew(&url).await?;
                    renewed = true;
                    continue;
                }
                Ok(Opened::NotThere(_)) if wait_for_object(&url, self.facts.requests).await => {
                    continue;
                }
                Ok(Opened::NotThere(error)) => return Err(error),
                Ok(Opened::Body(body)) => {
                    let named = destination.target().is_some();
                    destination.name(&name_of(&body, known, self.id));
                    let to_file = matches!(sink, Sink::Partial(_));
                    if to_file && !named && destination.look()? == Standing::Skip {
                        return Ok(Arrived::NotNeeded);
                    }
                    let again = body.offset < sink.position();
                    if again && !(sink.is_stream() && same_entity(&body, sink)) {
                        start_over(sink, digests, "the storage sent the whole document")?;
                    }
                    self.facts.media_type.clone_from(&body.media_type);
                    lengths.announced = body.entity.total;
                    lengths.end_was_marked = body.end_is_marked;
                    digests.expect(body.checksum.clone(), sink)?;
                    sink.begin(body.entity.clone())?;
                    let name = destination.file_name().unwrap_or_default();
                    let (position, total) = (sink.position(), body.entity.total);
                    self.watcher.started(self.id, &name, position, total);
                    match body.copy(sink, digests, self.watcher).await {
                        Ok(()) => return Ok(DONE),
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            let moved = sink.position().saturating_sub(farthest);
            farthest = farthest.max(sink.position());
            if moved >= PROGRESS && error.code() != Code::Stalled {
                self.retry.progressed(Instant::now());
                (renewed, changed) = (false, false);
            }
            if error.transient() {
                self.watcher.retrying(&error);
            }
            if let Err(error) = self.retry.pause(error).await {
                return Err(if changed { unstable(&error) } else { error });
            }
        }
    }

    async fn resolve(&mut self) -> Result<PresignedUrl> {
        let url = self.resolver.resolve(self.id, &mut self.retry).await?;
        self.facts.resolves += 1;
        log::info!("resolved {} to {url:?}", self.id);
        Ok(url)
    }

    /// A new URL for one that expired: free, or refused.
    async fn renew(&mut self, expired: &PresignedUrl) -> Result<PresignedUrl> {
        if expired.charged {
            return Err(Error::new(
                Code::ChargeRefused,
                format!(
                    "the URL of document {} expired before all of it arrived",
                    self.id
                ),
            )
            .why("a new one is another paid retrieval"));
        }
        log::info!("the URL expired; asking for a new one");
        self.resolve().await
    }
}

/// Throws away what is there.
fn start_over(sink: &mut Sink, digests: &mut Digests, why: &str) -> Result<()> {
    log::info!("starting over: {why}");
    sink.restart()?;
    digests.restart();
    Ok(())
}

/// The first source of a name that leaves a safe one.
fn name_of(body: &Body, known: &Known, id: &DocumentId) -> String {
    let told = [body.name.as_deref(), known.name.as_deref()];
    told.into_iter()
        .flatten()
        .find_map(naming::safe)
        .or_else(|| naming::from_url(&body.url))
        .unwrap_or_else(|| naming::from_id(id, body.media_type.as_deref()))
}

/// Whether a body is of the very representation that the sink holds the first bytes of.
fn same_entity(body: &Body, sink: &Sink) -> bool {
    let tag = body.entity.tag.as_deref();
    tag.is_some_and(is_strong) && tag == sink.entity().tag.as_deref()
}

/// Waits a little for an object that the storage does not show yet; false when it should be there.
async fn wait_for_object(url: &PresignedUrl, requests: u32) -> bool {
    let wait = Duration::from_millis(250 * 2u64.pow(requests.min(5)));
    if url.resolved.elapsed() + wait > NOT_YET {
        return false;
    }
    log::info!(
        "the storage does not show the document yet; looking again in {:.1} s",
        wait.as_secs_f64()
    );
    tokio::time::sleep(wait).await;
    true
}

fn still_expired() -> Error {
    Error::new(
        Code::UrlExpired,
        "the presigned URL expired, and a new one is refused as well",
    )
    .why("the storage finds it expired as soon as it is made")
}

fn unstable(last: &Error) -> Error {
    Error::new(
        Code::DocumentChanged,
        "the document kept changing and could not be fetched whole",
    )
    .why(last.message())
}
