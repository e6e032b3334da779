//! Resolve, transfer, and over again from where it broke, as long as the retry policy allows.

use super::engine::Options;
use super::entity::{Entity, StorageNames};
use super::events::Watcher;
use crate::active_time;
use crate::error::{Code, Error, Result};
use crate::fetch::partial::RefusedDocument;
use crate::fetch::target::{Destination, TargetState, naming};
use crate::fetch::transfer::web_page::{self, ExpectedDocument, PageVerdict};
use crate::fetch::transfer::{
    self, Body, BodyEnd, DigestReport, Digests, KnownLengths, MAX_SNIFFED_BYTES,
    MIN_PROGRESS_BYTES, Pace, Segments, SegmentsEnd, Sink, StorageAnswer,
};
use crate::fingerprint::hexadecimal;
use crate::http::backoff::{self, RetryContext};
use crate::http::headers::is_strong;
use crate::http::{PresignedUrl, shown_host};
use crate::model::DocumentId;
use crate::resolve::ActiveDocument;
use crate::resolve::{Metadata, ResolveRequest, Resolver};
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// So much room, in bytes, is taken to be enough for a document whose size nobody knows yet.
const ROOM_FOR_ANY: u64 = 16 << 30;
/// A URL that came less than this ago has only just come.
const NEW: Duration = Duration::from_secs(1);
/// A document that changes more often than this while it is fetched is given up.
const CHANGES: u32 = 5;

/// How the bytes ended up.
#[derive(Debug)]
pub(super) enum Download {
    /// Every byte arrived and is verified.
    Complete {
        /// Their SHA-256 in hexadecimal, where it was computed.
        sha256: Option<String>,
    },
    /// None: the target was there.
    NotNeeded,
}

/// What was learned on the way.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Requests to the storage.
    pub requests: u32,
    /// Presigned URLs asked for.
    pub resolves: u32,
    /// The media type that the storage told.
    pub media_type: Option<String>,
    /// How long it waited for others of its batch.
    pub in_line: Duration,
    /// How many bytes an earlier run had left.
    pub found: Option<u64>,
}

/// What is known of a document before its turn.
#[derive(Debug)]
pub(super) struct Prefetched {
    metadata: Option<Metadata>,
    url: Option<PresignedUrl>,
}

impl Prefetched {
    /// No more than `metadata`.
    pub(super) fn of(metadata: Option<Metadata>) -> Self {
        Self {
            metadata,
            url: None,
        }
    }
}

/// What a transfer needs.
#[derive(Debug)]
pub(super) struct Prepared {
    metadata: Metadata,
    url: Option<PresignedUrl>,
}

/// What a response, and the segments beside it, brought.
enum AttemptEnd {
    /// The document's last byte, and all before it.
    Complete,
    /// Not all: the rest is to be asked for in another way.
    Partial,
    /// Not all, and the URL's time is over.
    Expired,
}

/// How the attempts at one document go.
#[derive(Debug, Default)]
struct AttemptState {
    /// The farthest byte that any attempt reached.
    farthest: u64,
    /// Whether a URL was asked for anew since the last progress.
    renewed: bool,
    /// How often another representation came.
    changes: u32,
    /// Whether one came since the last progress.
    flapping: bool,
    /// Whether, as far as is known, the storage sends parts of the document.
    ranges: bool,
}

impl AttemptState {
    /// Another representation came: its bytes are new bytes again.
    fn changed(&mut self) {
        self.changes += 1;
        self.flapping = true;
        self.farthest = 0;
    }

    /// The rest comes in one piece, from the first hole on.
    fn without_ranges(&mut self, sink: &mut Sink) {
        self.ranges = false;
        sink.forget_behind_holes();
        self.farthest = sink.held();
    }

    /// An attempt ended with `held` bytes here: enough that is new is progress, unless it `stalled`.
    fn moved_to(&mut self, held: u64, retry: &mut RetryContext, stalled: bool) {
        let is_new = held.saturating_sub(self.farthest) >= MIN_PROGRESS_BYTES;
        if is_new && stalled {
            retry.stalled_after_progress(active_time::now());
        } else if is_new {
            retry.progressed(active_time::now());
            (self.renewed, self.flapping) = (false, false);
        }
        self.farthest = self.farthest.max(held);
    }
}

/// The attempts at one document: one budget of retries over resolve, transfer and resume.
pub(super) struct Attempts<'a> {
    resolver: &'a Resolver,
    options: &'a Options,
    pace: &'a Pace,
    id: &'a DocumentId,
    /// Who watches this document.
    pub watcher: Box<dyn Watcher + 'a>,
    retry: RetryContext,
    /// Whether the watcher was told of a start.
    started: bool,
    /// The presigned URL, once there is one.
    url: Option<PresignedUrl>,
    /// What was learned on the way.
    pub facts: Facts,
    /// The error, unless the bytes prove to be the document: they start as HTML.
    unproven: Option<Error>,
    /// Whether it is tried for all documents of its host.
    probes: bool,
    _active: ActiveDocument<'a>,
}

impl<'a> Attempts<'a> {
    /// Starts the clock.
    pub(super) fn new(
        resolver: &'a Resolver,
        options: &'a Options,
        pace: &'a Pace,
        id: &'a DocumentId,
        watcher: Box<dyn Watcher + 'a>,
    ) -> Self {
        Self {
            resolver,
            options,
            pace,
            id,
            watcher,
            retry: resolver.retry(),
            started: false,
            url: None,
            facts: Facts::default(),
            unproven: None,
            probes: false,
            _active: resolver.count_active(),
        }
    }

    /// Whether a URL of the document is known.
    pub(super) fn has_url(&self) -> bool {
        self.url.is_some()
    }

    fn retry_anew(&self) -> RetryContext {
        let retry = self.resolver.retry();
        if self.probes {
            return retry.without_jitter();
        }
        retry
    }

    /// The host that the document's URL names.
    pub(super) fn storage_host(&self) -> Option<String> {
        self.url.as_ref().map(|url| shown_host(url.expose()))
    }

    /// Gives the document all its attempts once more; the only one that `probes` a host takes all the
    /// time between them.
    pub(super) fn begin_anew(&mut self, probes: bool) {
        self.probes = probes;
        self.retry = self.retry_anew();
        self.started = false;
    }

    /// Notes that the document reached its place.
    pub(super) async fn delivered(&self) {
        self.resolver.delivered(self.id, self.url.as_ref()).await;
    }

    /// Requests what is free before the document's turn: the URL where resolving is free, else the
    /// metadata, unless the caller has `metadata`.
    ///
    /// # Errors
    /// Why there is no URL.
    pub(super) async fn prefetch(&mut self, metadata: Option<Metadata>) -> Result<Prefetched> {
        let (resolver, id) = (self.resolver, self.id);
        let mut prefetched = Prefetched::of(metadata);
        if resolver.may_prefetch_url() {
            let url = resolver.resolve_within(id, &mut self.retry, ResolveRequest::default());
            prefetched.url = Some(url.await?);
        } else if prefetched.metadata.is_none() {
            prefetched.metadata = Some(resolver.metadata(id).await);
        }
        Ok(prefetched)
    }

    /// Requests what was not prefetched: the metadata, and the URL where resolving is free, or where the
    /// metadata can change nothing. Breaks where no transfer is needed.
    ///
    /// # Errors
    /// What the retries could not mend, and what is in the way of the target.
    pub(super) async fn prepare(
        &mut self,
        Prefetched { metadata, url }: Prefetched,
        destination: &mut Destination<'_>,
        sink: &Sink,
    ) -> Result<ControlFlow<Download, Prepared>> {
        if let Some(download) = self.accept(destination, sink).await? {
            return Ok(ControlFlow::Break(download));
        }
        // The time until the document's turn does not count.
        let mut url = url.map(|url| {
            self.retry.exclude(url.age());
            self.resolved(url)
        });
        if url.is_none() {
            self.retry = self.retry_anew();
        }
        let named = destination.target().is_some() || !matches!(sink, Sink::Partial(_));
        let metadata_first = self.resolver.metadata_first();
        if named || !metadata_first {
            self.resolver.preconnect();
        }
        let metadata = match metadata {
            Some(metadata) => metadata,
            None if named && url.is_none() && self.may_ask_at_once(destination, sink) => {
                let (resolver, id) = (self.resolver, self.id);
                // Both to their end: a paid request that is dropped is a paid request in doubt.
                let resolving = self.resolve(ResolveRequest::default(), sink);
                let both = async { tokio::join!(resolver.metadata(id), resolving) };
                let (metadata, both) = Box::pin(both).await;
                url = Some(both?);
                metadata
            }
            None => self.resolver.metadata(self.id).await,
        };
        if self.resolver.may_prefetch_url() {
            if check_target(&metadata, destination, sink)? == TargetState::AlreadyThere {
                return Ok(ControlFlow::Break(Download::NotNeeded));
            }
            if url.is_none() {
                url = Some(self.resolve(ResolveRequest::default(), sink).await?);
            }
        }
        Ok(ControlFlow::Continue(Prepared { metadata, url }))
    }

    /// Brings all bytes into the sink, and verifies them.
    ///
    /// # Errors
    /// What the retries could not mend. The sink holds the bytes that arrived, unless that is wrong.
    pub(super) async fn download(
        &mut self,
        Prepared { metadata, mut url }: Prepared,
        destination: &mut Destination<'_>,
        sink: &mut Sink,
    ) -> Result<Download> {
        let metadata_first = self.resolver.metadata_first();
        if let Sink::Partial(partial) = &*sink
            && metadata_first
        {
            // A name that is known before paying shows a clash before paying.
            destination
                .name_after_metadata(metadata.name.as_deref())
                .await;
            if check_target(&metadata, destination, sink)? == TargetState::AlreadyThere {
                return Ok(Download::NotNeeded);
            }
            destination.check_replaceable(partial)?;
        }
        let mut digests = Digests::new(self.options.digests, sink);
        self.resolver.preconnect();
        loop {
            let mut lengths = KnownLengths {
                metadata: metadata.size,
                ..KnownLengths::default()
            };
            let retry = self.retry.clone();
            self.screen_partial(sink, &metadata, &mut digests)?;
            let transferred = self.transfer(
                destination,
                sink,
                &metadata,
                (&mut url, &mut digests, &mut lengths),
            );
            match (transferred.await, &*sink) {
                (Ok(TargetState::Writable), _) => {}
                (Ok(TargetState::AlreadyThere), _) => return Ok(Download::NotNeeded),
                // It cannot come again for free.
                (Err(error), Sink::Partial(partial)) if error.code() == Code::ChargeRefused => {
                    let refused = partial
                        .refused()
                        .map(|refused| is_refused(&error, &refused.sha256));
                    return Err(refused.unwrap_or(error));
                }
                (Err(error), _) => return Err(error),
            }
            let page = self.unproven.take();
            let name = match metadata.name.as_deref().and_then(naming::safe) {
                Some(name) if metadata_first => name,
                _ => self.name_of(&sink.entity().name, &metadata),
            };
            let error = match verify(sink, digests, lengths, (page, name)).await {
                Ok(sha256) => return Ok(Download::Complete { sha256 }),
                Err(error) => error,
            };
            if error.code() != Code::StorageError {
                return Err(error);
            }
            self.retry = retry; // a web page is no progress
            self.watcher.retrying(&error);
            self.retry.wait_after(error).await?;
            digests = Digests::new(self.options.digests, sink);
        }
    }

    /// Takes complete bytes that an earlier run refused, where the user gives their SHA-256 now: nothing is
    /// requested for that.
    async fn accept(
        &self,
        destination: &mut Destination<'_>,
        sink: &Sink,
    ) -> Result<Option<Download>> {
        let wanted = self.options.digests;
        let Sink::Partial(partial) = sink else {
            return Ok(None);
        };
        let expected = wanted
            .expected_sha256
            .map(|expected| hexadecimal(&expected));
        let Some(refused) = partial
            .refused()
            .filter(|refused| expected.as_ref() == Some(&refused.sha256))
        else {
            return Ok(None);
        };
        let DigestReport { sha256, .. } = Digests::new(wanted, sink)
            .verify(partial.position())
            .await?;
        Ok(Some(
            match settle(destination, &refused.name, sink).await? {
                TargetState::Writable => Download::Complete { sha256 },
                TargetState::AlreadyThere => Download::NotNeeded,
            },
        ))
    }

    /// Whether what the metadata tells can change nothing that is decided before paying. The target
    /// has its name already; nothing is here that may turn out to be all of it; and there is room for
    /// any document.
    fn may_ask_at_once(&self, destination: &Destination<'_>, sink: &Sink) -> bool {
        let room = match sink {
            Sink::Partial(partial) => {
                partial.held() == 0 && destination.check_free_space(ROOM_FOR_ANY).is_ok()
            }
            Sink::Stdout(_) => true,
        };
        room && self.resolver.may_request_with_metadata()
    }

    /// Attempts until one ends with the last byte, or the target turns out to be there.
    async fn transfer(
        &mut self,
        destination: &mut Destination<'_>,
        sink: &mut Sink,
        metadata: &Metadata,
        (resolved, digests, lengths): (&mut Option<PresignedUrl>, &mut Digests, &mut KnownLengths),
    ) -> Result<TargetState> {
        if let Sink::Partial(partial) = &*sink
            && self.resolver.charges()
            && partial.is_complete()
            && metadata.size.is_none_or(|size| size == partial.position())
        {
            // Nothing is missing: what was paid for is here.
            lengths.announced = Some(partial.position());
            let name = self.name_of(&partial.entity().name, metadata);
            return settle(destination, &name, sink).await;
        }
        let mut url = match resolved.take() {
            Some(url) => url,
            None => self.resolve(ResolveRequest::default(), sink).await?,
        };
        // A URL that has only just come is used, however short it lives.
        let mut used = url.age() >= NEW;
        let mut state = AttemptState {
            farthest: sink.held(),
            ranges: true,
            ..AttemptState::default()
        };
        loop {
            let http = self.resolver.http();
            if used && self.resolver.may_request_again() && url.expires_soon(http.clock().now()) {
                log::info!("the URL is about to expire; asking for a new one");
                url = self.resolve(ResolveRequest::default(), sink).await?;
            }
            used = true;
            self.facts.requests += 1;
            let (missing, entity) = sink.missing();
            let opened = transfer::open(http, &url, &missing, entity).await;
            let opened = self.screen(opened, &url, metadata).await;
            if let Ok(StorageAnswer::NothingMissing | StorageAnswer::Body(_)) = &opened {
                url.mark_served();
            }
            let error = match opened {
                Ok(StorageAnswer::NothingMissing) => {
                    lengths.announced = Some(sink.position());
                    let name = self.name_of(&sink.entity().name, metadata);
                    return settle(destination, &name, sink).await;
                }
                Ok(StorageAnswer::StartOver { why, changed }) => {
                    self.start_over(sink, digests, &mut state, why, changed)?;
                    continue;
                }
                Ok(StorageAnswer::Expired) => {
                    url = self.renew(&url, sink, &mut state).await?;
                    used = false;
                    continue;
                }
                Ok(StorageAnswer::NotFound(error)) => match self.wait_for_object(&url, error).await
                {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Ok(StorageAnswer::Body(body)) => {
                    self.facts.media_type.clone_from(&body.media_type);
                    let name = self.name_of(&body.entity.name, metadata);
                    if settle(destination, &name, sink).await? == TargetState::AlreadyThere {
                        return Ok(TargetState::AlreadyThere);
                    }
                    let same = same(&body, sink);
                    let again = body.offset < sink.position(); // what is here already
                    if (again && !(sink.is_stream() && same)) || (sink.held() > 0 && !same) {
                        let other = !same;
                        let why = "the storage sent the whole document";
                        self.start_over(sink, digests, &mut state, why, other)?;
                    }
                    lengths.announced = body.entity.total;
                    lengths.end_is_marked = body.end_is_marked;
                    sink.begin(body.entity.clone())?;
                    digests.expect_checksum_of(sink.entity());
                    sink.hold_back(self.unproven.is_some());
                    self.tell_start(destination, sink, body.entity.total);
                    let segments = state.ranges.then_some(&url);
                    let ended = self.copy(*body, segments, sink, digests, &mut state);
                    match ended.await {
                        Ok(AttemptEnd::Complete) => return Ok(TargetState::Writable),
                        Ok(AttemptEnd::Expired) => {
                            state.moved_to(sink.held(), &mut self.retry, false);
                            url = self.renew(&url, sink, &mut state).await?;
                            used = false;
                            continue;
                        }
                        Ok(AttemptEnd::Partial) => continue,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            let stalled = error.code() == Code::Stalled;
            state.moved_to(sink.held(), &mut self.retry, stalled);
            let on_trial = url.is_tried_once(self.resolver.http().clock());
            if on_trial || error.code() == Code::StorageDenied {
                url = self.recharge(&url, error, sink).await?;
                used = false;
                continue;
            }
            self.pause(error, &state).await?;
        }
    }

    /// Waits before the next attempt, as the retry policy allows.
    ///
    /// # Errors
    /// `error`, or that the document keeps changing, when there is no next one.
    async fn pause(&mut self, error: Error, state: &AttemptState) -> Result<()> {
        if error.is_transient() && state.changes > CHANGES {
            return Err(unstable(&error));
        }
        if error.is_transient() {
            self.watcher.retrying(&error);
        }
        self.retry.wait_after(error).await.map_err(|error| {
            let changing = state.flapping && error.is_transient();
            if changing { unstable(&error) } else { error }
        })
    }

    /// Refuses a body that is a web page instead of the document. Notes one that must be proven first.
    async fn screen(
        &mut self,
        opened: Result<StorageAnswer>,
        url: &PresignedUrl,
        metadata: &Metadata,
    ) -> Result<StorageAnswer> {
        let mut opened = opened?;
        if let StorageAnswer::Body(body) = &mut opened
            && body.offset == 0
        {
            self.unproven = None;
            if body.starts_as_html().await? {
                let proven = self.options.digests.expected_sha256.is_some();
                let expected = ExpectedDocument {
                    name: None,
                    size: metadata.size,
                    announced: body.entity.total,
                    proven: proven || body.entity.checksum.is_some(),
                };
                // Only a URL that is signed, and answered itself, names the document.
                let own = naming::from_url(url.expose()).filter(|_| url.is_signed());
                let in_url = own.filter(|own| body.entity.name.url.as_ref() == Some(own));
                let names = (&body.entity.name, in_url.as_deref());
                self.judge(expected, names, metadata, body.host())?;
            }
        }
        Ok(opened)
    }

    /// The same for what an earlier run left; it starts over instead.
    fn screen_partial(
        &mut self,
        sink: &mut Sink,
        metadata: &Metadata,
        digests: &mut Digests,
    ) -> Result<()> {
        self.unproven = None;
        let Sink::Partial(partial) = &*sink else {
            return Ok(());
        };
        if transfer::starts_as_html(&partial.first_bytes(MAX_SNIFFED_BYTES)?, true) != Some(true) {
            return Ok(());
        }
        let Entity { name, total, .. } = partial.entity().clone();
        let expected = ExpectedDocument {
            name: None,
            size: metadata.size,
            announced: total,
            proven: digests.has_expected_digest(),
        };
        let judged = self.judge(
            expected,
            (&name, name.url.as_deref()),
            metadata,
            "the storage",
        );
        if let Err(error) = judged {
            log::info!("starting over with {}: {}", self.id, error.message());
            sink.restart("what is here is a web page", true)?;
            digests.restart();
        }
        Ok(())
    }

    /// Judges what starts as HTML and came from `host`.
    fn judge(
        &mut self,
        expected: ExpectedDocument<'_>,
        (told, in_url): (&StorageNames, Option<&str>),
        metadata: &Metadata,
        host: &str,
    ) -> Result<()> {
        let by_metadata = metadata.name.as_deref().and_then(naming::safe);
        let file = self.options.target_options.file.as_deref();
        let by_user = file.and_then(Path::file_name).and_then(OsStr::to_str);
        let name = by_metadata
            .as_deref()
            .or(told.header.as_deref())
            .or(by_user)
            .or(in_url.filter(|name| web_page::is_usual_web_page_name(name)));
        let is_named = by_metadata.is_some() || told.header.is_some();
        let refused = |why: &str| web_page::refusal(host, why, is_named);
        match web_page::judge(ExpectedDocument { name, ..expected }) {
            PageVerdict::Document => Ok(()),
            PageVerdict::WebPage(why) => Err(refused(&why)),
            PageVerdict::Unproven(why) => {
                self.unproven = Some(refused(&why));
                Ok(())
            }
        }
    }

    /// Reads a body, and more `segments` of what is behind that URL, where they can be had.
    ///
    /// # Errors
    /// What broke; also when what came is not to be trusted: then it is gone.
    async fn copy(
        &mut self,
        body: Body,
        segments: Option<&PresignedUrl>,
        sink: &mut Sink,
        digests: &mut Digests,
        state: &mut AttemptState,
    ) -> Result<AttemptEnd> {
        let (why, other) = match self.read(body, segments, sink, digests).await? {
            SegmentsEnd::Body(BodyEnd::Complete) => return Ok(AttemptEnd::Complete),
            SegmentsEnd::Expired => return Ok(AttemptEnd::Expired),
            SegmentsEnd::NotFound(error) => {
                state.moved_to(sink.held(), &mut self.retry, false);
                if let Some(url) = segments
                    && self.wait_for_object(url, error).await.is_err()
                {
                    state.without_ranges(sink);
                }
                return Ok(AttemptEnd::Partial);
            }
            SegmentsEnd::NoRanges => {
                state.without_ranges(sink);
                return Ok(AttemptEnd::Partial);
            }
            SegmentsEnd::Body(BodyEnd::TooLong) => {
                ("the storage sent more than it announced", false)
            }
            SegmentsEnd::Changed(why) => (why, true),
        };
        state.ranges = false; // what came in one piece is of one document
        self.start_over(sink, digests, state, why, other)?;
        Err(refused_body(why))
    }

    async fn read(
        &mut self,
        body: Body,
        segments: Option<&PresignedUrl>,
        sink: &mut Sink,
        digests: &mut Digests,
    ) -> Result<SegmentsEnd> {
        let (pace, watcher) = (self.pace, &mut *self.watcher);
        if let (Sink::Partial(partial), Some(url)) = (&mut *sink, segments) {
            let options = self.options;
            let segments = Segments {
                http: self.resolver.http(),
                url,
                pace,
                connections: options.connections,
                jobs: options.jobs,
                charged: self.resolver.charges(),
            };
            if segments.are_worthwhile_for(&body, partial) {
                let retry = &self.retry;
                return segments.copy(body, retry, partial, digests, watcher).await;
            }
        }
        sink.forget_behind_holes();
        let copied = body.copy(sink, digests, pace, watcher).await;
        copied.map(SegmentsEnd::Body)
    }

    /// Asks for a new URL instead of an expired one: for free once in a row without
    /// progress, else as the ledger permits.
    async fn renew(
        &mut self,
        expired: &PresignedUrl,
        sink: &Sink,
        state: &mut AttemptState,
    ) -> Result<PresignedUrl> {
        if state.renewed && self.resolver.may_request_again() {
            return Err(still_expired());
        }
        log::info!("the URL expired; asking for a new one");
        state.renewed = true;
        let need = ResolveRequest {
            expired: Some(expired),
            ..ResolveRequest::default()
        };
        self.resolve(need, sink).await
    }

    /// Pays for a new URL instead of one that the storage refuses, or does not answer for, if the user
    /// permits that.
    ///
    /// # Errors
    /// `error`, if the user does not.
    async fn recharge(
        &mut self,
        refused: &PresignedUrl,
        error: Error,
        sink: &Sink,
    ) -> Result<PresignedUrl> {
        if !self.resolver.may_recharge(self.id) {
            return Err(error);
        }
        log::info!("the paid URL is of no use: {}", error.message());
        let need = ResolveRequest {
            refused: Some(refused),
            ..ResolveRequest::default()
        };
        match self.resolve(need, sink).await {
            Err(stopped) if stopped.is_not_started() => Err(error),
            resolved => resolved,
        }
    }

    /// Throws away what is there.
    fn start_over(
        &self,
        sink: &mut Sink,
        digests: &mut Digests,
        state: &mut AttemptState,
        why: &str,
        other: bool,
    ) -> Result<()> {
        log::info!("starting over with {}: {why}", self.id);
        sink.restart(why, other)?;
        digests.restart();
        if other {
            state.changed();
        }
        Ok(())
    }

    /// The first source of a name that leaves a safe one.
    fn name_of(&self, told: &StorageNames, metadata: &Metadata) -> String {
        let by_metadata = || metadata.name.as_deref().and_then(naming::safe);
        let told_first = told.header.clone().or_else(by_metadata);
        told_first
            .or_else(|| told.url.clone())
            .unwrap_or_else(|| naming::from_id(self.id, self.facts.media_type.as_deref()))
    }

    fn tell_start(&mut self, destination: &Destination<'_>, sink: &Sink, total: Option<u64>) {
        if self.started {
            self.watcher.moved(sink.held());
            return;
        }
        self.started = true;
        let name = destination.file_name().unwrap_or_default();
        self.watcher.started(&name, sink.held(), total);
    }

    /// Waits for an object that the storage does not show yet.
    ///
    /// # Errors
    /// `error`, when it should be there.
    async fn wait_for_object(&mut self, url: &PresignedUrl, error: Error) -> Result<()> {
        let since = url.age();
        let now = active_time::now();
        let wait =
            self.retry
                .wait_for_new_document(since, error.retry_after(), now, backoff::random());
        let Some(wait) = wait else {
            return Err(error);
        };
        let seconds = wait.as_secs_f64();
        log::log!(
            backoff::wait_level(wait),
            "the storage does not show the document yet; looking again in {seconds:.1} s"
        );
        active_time::sleep(wait).await;
        Ok(())
    }

    /// A URL: for free, or as the ledger permits.
    async fn resolve(&mut self, need: ResolveRequest<'_>, sink: &Sink) -> Result<PresignedUrl> {
        let begun = sink.held() > 0;
        let need = ResolveRequest { begun, ..need };
        let resolving = self.resolver.resolve_within(self.id, &mut self.retry, need);
        let url = resolving.await?;
        Ok(self.resolved(url))
    }

    /// Takes note of a URL.
    fn resolved(&mut self, url: PresignedUrl) -> PresignedUrl {
        if !url.is_recorded() {
            self.facts.resolves += 1;
        }
        log::info!("resolved {} to {url:?}", self.id);
        self.url = Some(url.clone());
        url
    }
}

/// Verifies what the sink has. Bytes that may be a `page` must be proven to be the document. What only the
/// storage's checksum speaks against is kept, under the document's `name`.
///
/// # Errors
/// What is wrong with them, or the `page`'s own: then they are thrown away.
async fn verify(
    sink: &mut Sink,
    digests: Digests,
    lengths: KnownLengths,
    (page, name): (Option<Error>, String),
) -> Result<Option<String>> {
    if page.is_none() {
        sink.flush().await?;
    }
    let (position, proves) = (sink.position(), digests.has_expected_digest());
    let checked = match lengths.check(position, proves) {
        Ok(()) => digests.verify(position).await,
        Err(error) => Err(error),
    };
    let is_wrong =
        |error: &Error| matches!(error.code(), Code::LengthMismatch | Code::DigestMismatch);
    let wrong = checked.as_ref().is_err_and(is_wrong);
    let refused = matches!(
        &checked,
        Ok(DigestReport {
            checksum_mismatch: Some(_),
            ..
        })
    );
    let unproven = !(proves || lengths.metadata == Some(position));
    match page {
        Some(page) if wrong || refused || unproven => {
            sink.restart("a web page came", true)?;
            return Err(page);
        }
        Some(_) if checked.is_ok() => sink.flush().await?,
        _ => {}
    }
    if wrong && let Sink::Partial(partial) = sink {
        // What is complete and wrong is of no use to a later run.
        let _ = partial.restart();
    }
    match (checked?, sink) {
        (
            DigestReport {
                sha256,
                checksum_mismatch: None,
            },
            _,
        ) => Ok(sha256),
        (
            DigestReport {
                sha256: Some(sha256),
                checksum_mismatch: Some(error),
            },
            Sink::Partial(partial),
        ) => {
            let error = is_refused(&error, &sha256);
            partial.refuse(RefusedDocument { sha256, name });
            Err(error)
        }
        (
            DigestReport {
                checksum_mismatch: Some(error),
                ..
            },
            _,
        ) => Err(error.with_hint("run again; if it stays, tell the provider")),
    }
}

/// The error of complete bytes that are kept, because of `error`.
fn is_refused(error: &Error, sha256: &str) -> Error {
    let what = "the document does not have the checksum that the storage announced";
    let again = match error.code() {
        Code::ChargeRefused => "--allow-recharge pays for it again",
        _ => "run again",
    };
    let hint = format!("{again}; to accept what came, give its id alone with --sha256 {sha256}");
    Error::new(Code::DigestMismatch, what)
        .with_cause(format!(
            "{}; the SHA-256 of what came is {sha256}",
            error.message()
        ))
        .with_hint(hint)
}

/// Checks whether the target may be written, and whether there is room for the rest of the document.
fn check_target(
    metadata: &Metadata,
    destination: &mut Destination<'_>,
    sink: &Sink,
) -> Result<TargetState> {
    let Sink::Partial(partial) = sink else {
        return Ok(TargetState::Writable);
    };
    if destination.choose_name()? == TargetState::AlreadyThere {
        return Ok(TargetState::AlreadyThere);
    }
    let missing = metadata.size.unwrap_or(0).saturating_sub(partial.held());
    destination.check_free_space(missing)?;
    Ok(TargetState::Writable)
}

/// Names the target of a file, unless it has a name, and looks whether it may be written.
async fn settle(destination: &mut Destination<'_>, name: &str, sink: &Sink) -> Result<TargetState> {
    let is_new = destination.name_after(name).await;
    if !is_new || sink.is_stream() {
        return Ok(TargetState::Writable);
    }
    destination.choose_name()
}

/// Whether a body is of the very representation that the sink holds the first bytes of.
fn same(body: &Body, sink: &Sink) -> bool {
    let tag = body.entity.tag.as_deref();
    let (here, there) = (sink.entity().total, body.entity.total);
    tag.is_some_and(is_strong)
        && tag == sink.entity().tag.as_deref()
        && here.is_none_or(|here| there.is_none_or(|there| there == here))
}

fn refused_body(why: &str) -> Error {
    Error::new(Code::StorageError, "a body of the storage was refused").with_cause(why)
}

fn still_expired() -> Error {
    Error::new(
        Code::UrlExpired,
        "the presigned URL expired, and a new one is refused as well",
    )
    .with_cause("the storage finds it expired as soon as it is made")
}

fn unstable(last: &Error) -> Error {
    Error::new(
        Code::DocumentChanged,
        "the document kept changing and could not be fetched whole",
    )
    .with_cause(last.message())
}
