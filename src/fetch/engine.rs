//! The one story: a document id becomes a file.

use super::destination::{Destination, Standing, Taken, Wish};
use super::events::Progress;
use super::interrupt::Interrupt;
use super::naming;
use super::outcome::{Outcome, Status};
use super::partial::{Entity, Partial};
use super::sink::Sink;
use super::transfer::{self, Body, Opened};
use super::verify::{Digests, Lengths, check_length};
use crate::error::{Code, Error, Result};
use crate::http::backoff::Retry;
use crate::http::presigned::PresignedUrl;
use crate::model::{DocumentId, hexadecimal};
use crate::resolve::{Known, Resolver};
use std::time::{Duration, Instant};

/// An attempt that moved fewer bytes than this, and not the rest, made no progress.
const PROGRESS: u64 = 16 << 10;
/// How long an object that was just stored may stay invisible.
const NOT_YET: Duration = Duration::from_secs(30);

/// What to fetch into, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where files go.
    pub wish: Wish,
    /// Write to standard output instead.
    pub stdout: bool,
    /// The SHA-256 that the document must have.
    pub expected_sha256: Option<[u8; 32]>,
    /// Compute the SHA-256 in any case.
    pub sha256: bool,
    /// Resolve and write nothing.
    pub dry_run: bool,
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

/// What is learned while one document is fetched.
#[derive(Debug, Default)]
struct Facts {
    attempts: u32,
    resolves: u32,
    media_type: Option<String>,
    name: Option<String>,
    lengths: Lengths,
}

/// How the bytes ended up.
enum Arrived {
    /// All of them, and verified; with their SHA-256 where it was computed.
    Whole(Option<String>),
    /// None: the target was there.
    NotNeeded,
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

    /// The provider that it fetches from.
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Fetches one document. Everything that can fail for free is tried before the first request
    /// that may cost something; exit 0 means it is on disk.
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
        let mut facts = Facts::default();
        let provider = self.resolver.provider().name;
        let mut destination = Destination::new(&self.options.wish, &self.taken, provider, id);
        destination.name_without_storage();
        let result = if self.options.stdout {
            self.to_stdout(id, &mut destination, &mut facts, watcher, interrupt)
                .await
        } else {
            self.to_file(id, &mut destination, &mut facts, watcher, interrupt)
                .await
        };
        match &result {
            Ok(outcome) if outcome.status == Status::Fetched => {
                watcher.finished(outcome.bytes.unwrap_or_default());
            }
            Ok(_) => {}
            Err(error) => watcher.failed(error),
        }
        result.map(|outcome| Outcome {
            elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            ..outcome
        })
    }

    async fn to_file(
        &self,
        id: &DocumentId,
        destination: &mut Destination<'_>,
        facts: &mut Facts,
        watcher: &dyn Progress,
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        if self.options.dry_run {
            return self.plan(id, destination, facts, interrupt).await;
        }
        let key = self.key(id);
        if destination.look()? == Standing::Skip {
            discard_stale(destination, &key).await;
            return Ok(self.outcome(id, destination, facts, Status::Skipped));
        }
        destination.make_folder()?;
        let opening = Partial::open(destination.folder(), &key, self.options.patience);
        let partial = interruptible(opening, interrupt).await?;
        if partial.waited() && destination.target().is_some_and(std::path::Path::exists) {
            partial.discard()?;
            return Ok(self.outcome(id, destination, facts, Status::Skipped));
        }
        let resumed_from = partial.resumed_from();
        let mut sink = Sink::Partial(partial);
        let working = self.bring(id, destination, facts, &mut sink, watcher);
        let arrived = interruptible(working, interrupt).await;
        let Sink::Partial(partial) = sink else {
            return Err(Error::new(Code::Unexpected, "the partial is gone"));
        };
        let sha256 = match arrived {
            Ok(Arrived::Whole(sha256)) => sha256,
            Ok(Arrived::NotNeeded) => {
                partial.discard()?;
                return Ok(self.outcome(id, destination, facts, Status::Skipped));
            }
            Err(error) => return Err(self.leave(id, partial, error)),
        };
        let (bytes, entity) = (partial.position(), partial.entity().clone());
        let kept = partial.resumed_from().min(resumed_from);
        if destination.publish(partial)? == Standing::Skip {
            return Ok(self.outcome(id, destination, facts, Status::Skipped));
        }
        Ok(Outcome {
            bytes: Some(bytes),
            sha256,
            etag: entity.tag,
            resumed_from: Some(kept),
            ..self.outcome(id, destination, facts, Status::Fetched)
        })
    }

    async fn to_stdout(
        &self,
        id: &DocumentId,
        destination: &mut Destination<'_>,
        facts: &mut Facts,
        watcher: &dyn Progress,
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        if self.options.dry_run {
            return Ok(self.outcome(id, destination, facts, Status::Planned));
        }
        let mut sink = Sink::stdout();
        let working = self.bring(id, destination, facts, &mut sink, watcher);
        let arrived = interruptible(working, interrupt)
            .await
            .map_err(|error| self.say_how_to_go_on(id, error))?;
        let sha256 = match arrived {
            Arrived::Whole(sha256) => sha256,
            Arrived::NotNeeded => None,
        };
        Ok(Outcome {
            path: None,
            bytes: Some(sink.position()),
            sha256,
            etag: sink.entity().tag.clone(),
            resumed_from: Some(0),
            ..self.outcome(id, destination, facts, Status::Fetched)
        })
    }

    /// What a real run would do, as far as that can be known for free.
    async fn plan(
        &self,
        id: &DocumentId,
        destination: &mut Destination<'_>,
        facts: &mut Facts,
        interrupt: &mut Interrupt,
    ) -> Result<Outcome> {
        let known = async { Ok(self.resolver.metadata(id).await) };
        let known = interruptible(known, interrupt).await?;
        self.name_early(destination, &known);
        let status = match destination.look()? {
            Standing::Free => Status::Planned,
            Standing::Skip => Status::Skipped,
        };
        Ok(Outcome {
            bytes: known.size,
            ..self.outcome(id, destination, facts, status)
        })
    }

    /// Metadata, resolve, transfer, verify; over again from where it broke, as long as the retry
    /// policy allows.
    async fn bring(
        &self,
        id: &DocumentId,
        destination: &mut Destination<'_>,
        facts: &mut Facts,
        sink: &mut Sink,
        watcher: &dyn Progress,
    ) -> Result<Arrived> {
        let known = self.resolver.metadata(id).await;
        facts.lengths.metadata = known.size;
        let to_file = matches!(sink, Sink::Partial(_));
        if to_file {
            self.name_early(destination, &known);
            if destination.look()? == Standing::Skip {
                return Ok(Arrived::NotNeeded);
            }
            destination.has_room(known.size.unwrap_or(0).saturating_sub(sink.position()))?;
        }
        let wants_sha256 = self.options.sha256 || self.options.expected_sha256.is_some();
        let mut digests = Digests::new(wants_sha256);
        if let Sink::Partial(partial) = sink {
            digests.catch_up(partial)?;
        }

        let mut retry = self.resolver.retry();
        let mut url = self.resolve(id, facts, &mut retry).await?;
        let mut farthest = sink.position();
        let mut renewed = false; // resolved anew since the last progress
        let mut changed = false; // another representation came since the last progress
        loop {
            facts.attempts += 1;
            let opened =
                transfer::open(self.resolver.http(), &url, sink.position(), sink.entity()).await;
            let error = match opened {
                Ok(Opened::Complete) => break,
                Ok(Opened::StartOver { why, other }) => {
                    log::info!("starting over: {why}");
                    changed |= other;
                    sink.restart()?;
                    digests.restart();
                    continue;
                }
                Ok(Opened::Expired) if renewed => return Err(still_expired()),
                Ok(Opened::Expired) => {
                    url = self.renew(id, facts, &mut retry, &url).await?;
                    renewed = true;
                    continue;
                }
                Ok(Opened::NotThere(error)) => {
                    if wait_for_object(&url, facts.attempts).await {
                        continue;
                    }
                    return Err(error);
                }
                Ok(Opened::Body(body)) => {
                    if to_file
                        && name_late(destination, &body, &known, facts, id)? == Standing::Skip
                    {
                        return Ok(Arrived::NotNeeded);
                    }
                    if body.offset < sink.position() && !continues(&body, sink) {
                        log::info!("starting over: the storage sent the whole document");
                        sink.restart()?;
                        digests.restart();
                    }
                    prepare(&body, sink, &mut digests, facts)?;
                    watcher.started(
                        id,
                        &facts_name(facts, id),
                        sink.position(),
                        body.entity.total,
                    );
                    match body.copy(sink, &mut digests, watcher).await {
                        Ok(()) => break,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            let moved = sink.position().saturating_sub(farthest);
            farthest = farthest.max(sink.position());
            if moved >= PROGRESS && error.code() != Code::Stalled {
                retry.progressed(Instant::now());
                (renewed, changed) = (false, false);
            }
            if error.transient() {
                watcher.retrying(&error);
            }
            if let Err(error) = retry.pause(error).await {
                return Err(if changed { unstable(&error) } else { error });
            }
        }
        let expected = self.options.expected_sha256.as_ref();
        check_length(
            sink.position(),
            facts.lengths,
            digests.proves(expected.is_some()),
        )
        .and_then(|()| digests.check(expected))
        .map(Arrived::Whole)
        .inspect_err(|_| {
            // What is complete and wrong is of no use to a later run.
            if let Sink::Partial(partial) = sink {
                let _ = partial.restart();
            }
        })
    }

    async fn resolve(
        &self,
        id: &DocumentId,
        facts: &mut Facts,
        retry: &mut Retry,
    ) -> Result<PresignedUrl> {
        let url = self.resolver.resolve(id, retry).await?;
        facts.resolves += 1;
        log::info!("resolved {id} to {url:?}");
        Ok(url)
    }

    /// A new URL for one that expired: free, or refused.
    async fn renew(
        &self,
        id: &DocumentId,
        facts: &mut Facts,
        retry: &mut Retry,
        expired: &PresignedUrl,
    ) -> Result<PresignedUrl> {
        if expired.charged {
            return Err(Error::new(
                Code::ChargeRefused,
                format!("the URL of document {id} expired before all of it arrived"),
            )
            .why("a new one is another paid retrieval"));
        }
        log::info!("the URL expired; asking for a new one");
        self.resolve(id, facts, retry).await
    }

    /// A name that is known before the storage is asked: for a charged provider the metadata's, so
    /// that a clash is seen before paying.
    fn name_early(&self, destination: &mut Destination<'_>, known: &Known) {
        if self.resolver.provider().charged
            && let Some(name) = known.name.as_deref().and_then(naming::safe)
        {
            destination.name(&name);
        }
    }

    /// After a failure: the partial stays where a later run can use it.
    fn leave(&self, id: &DocumentId, partial: Partial, error: Error) -> Error {
        let held = partial.position();
        if let Err(second) = partial.keep() {
            log::warn!("the partial is lost: {}", second.message());
        } else if held > 0 {
            log::info!("{held} bytes are kept for the next run");
        }
        self.say_how_to_go_on(id, error)
    }

    fn say_how_to_go_on(&self, id: &DocumentId, error: Error) -> Error {
        if error.code() == Code::Interrupted && self.resolver.was_asked(id) {
            return error
                .why("a paid retrieval had been asked for")
                .hint("running again asks for a new retrieval, which may be charged");
        }
        error
    }

    fn outcome(
        &self,
        id: &DocumentId,
        destination: &Destination<'_>,
        facts: &Facts,
        status: Status,
    ) -> Outcome {
        Outcome {
            provider: self.resolver.provider().name,
            id: id.as_str().to_owned(),
            status,
            path: destination.target().map(std::path::Path::to_path_buf),
            name: destination.file_name().or_else(|| facts.name.clone()),
            bytes: None,
            sha256: None,
            media_type: facts.media_type.clone(),
            etag: None,
            resumed_from: None,
            attempts: facts.attempts,
            resolves: facts.resolves,
            elapsed_ms: 0,
        }
    }

    /// What names the partial of a document: provider, base, account, id, and the path when one was
    /// asked for. A later run finds it before it knows the document's name.
    fn key(&self, id: &DocumentId) -> String {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        let file = self
            .options
            .wish
            .file
            .as_deref()
            .map(|file| file.as_os_str().as_encoded_bytes());
        let identity = self.resolver.identity().map(str::as_bytes);
        for part in identity
            .into_iter()
            .chain([id.as_str().as_bytes(), file.unwrap_or_default()])
        {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        hexadecimal(&context.finish().as_ref()[..16])
    }
}

/// Names the target by what the storage answered, and looks whether it may be written.
fn name_late(
    destination: &mut Destination<'_>,
    body: &Body,
    known: &Known,
    facts: &mut Facts,
    id: &DocumentId,
) -> Result<Standing> {
    let named_before = destination.target().is_some();
    destination.name(&name_of(body, known, id));
    facts.name = destination.file_name();
    if named_before {
        return Ok(Standing::Free);
    }
    destination.look()
}

/// Notes what a body is about to bring.
fn prepare(body: &Body, sink: &mut Sink, digests: &mut Digests, facts: &mut Facts) -> Result<()> {
    facts.media_type.clone_from(&body.media_type);
    facts.lengths.announced = body.entity.total;
    facts.lengths.end_was_marked = body.end_is_marked;
    // What is through a pipe cannot be read back for a checksum that comes late.
    let announced = body.checksum.clone();
    match sink {
        Sink::Partial(partial) => digests.expect(announced, Some(partial))?,
        Sink::Stdout(_) if sink.position() == 0 => digests.expect(announced, None)?,
        Sink::Stdout(_) => {}
    }
    sink.begin(Entity::clone(&body.entity))
}

/// Runs until it is done or a signal comes. What it had in hand stays with the caller.
async fn interruptible<T>(
    work: impl Future<Output = Result<T>>,
    interrupt: &mut Interrupt,
) -> Result<T> {
    tokio::select! {
        biased;
        signal = interrupt.wait() => Err(Error::interrupted(signal)),
        result = work => result,
    }
}

/// Removes what an earlier run left of a document that is there now.
async fn discard_stale(destination: &Destination<'_>, key: &str) {
    if Partial::is_there(destination.folder(), key)
        && let Ok(partial) = Partial::open(destination.folder(), key, Duration::ZERO).await
        && let Err(error) = partial.discard()
    {
        log::warn!("a stale partial stays: {}", error.message());
    }
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

fn facts_name(facts: &Facts, id: &DocumentId) -> String {
    facts.name.clone().unwrap_or_else(|| id.as_str().to_owned())
}

/// Whether a body that starts before what is already through a pipe is of the same representation,
/// so that its first bytes can be passed over.
fn continues(body: &Body, sink: &Sink) -> bool {
    let same = body.entity.tag.as_deref().is_some_and(transfer::can_join)
        && body.entity.tag == sink.entity().tag;
    same && !sink.can_restart()
}

/// Waits a little for an object that the storage does not show yet; false when it should be there.
async fn wait_for_object(url: &PresignedUrl, attempts: u32) -> bool {
    let wait = Duration::from_millis(250 * 2u64.pow(attempts.min(5)));
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
