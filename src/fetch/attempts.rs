//! The attempts at one document: resolve, transfer, and resume where a transfer broke, as long as the
//! retry policy allows.
//!
//! `steps` is the table of what docfetch does after each event, `driver` does it. `screening` refuses web
//! pages, and `length_screening` refuses bodies of a length that the document does not have. `unmarked_end` proves
//! that a body is whole whose end has no mark, and `verification` compares the bytes with what they must be.

mod driver;
mod length_screening;
mod screening;
mod sink_transfer;
mod steps;
mod target_steps;
mod unmarked_end;
mod verification;

use crate::error::{Code, Error, Result};
use crate::fetch::entity::StorageNames;
use crate::fetch::events::Watcher;
use crate::fetch::options::FetchOptions;
use crate::fetch::target::naming;
use crate::fetch::target::{Destination, TargetState};
use crate::fetch::transfer::{DigestReport, Digests, KnownLengths, Pace, Sink};
use crate::fingerprint::hexadecimal;
use crate::http::backoff::RetryContext;
use crate::http::{PresignedUrl, shown_host};
use crate::model::DocumentId;
use crate::resolve::ActiveDocument;
use crate::resolve::{Metadata, ResolveRequest, Resolver};
use sink_transfer::SinkTransfer;
use std::ops::ControlFlow;
use std::time::Duration;
use target_steps::{check_target, name_target};
use verification::{Verification, refused_document};

/// Free bytes on the disk that docfetch takes to be enough for a document of unknown size: 16 GiB.
const FREE_BYTES_FOR_UNKNOWN_SIZE: u64 = 16 << 30;

/// How the download of a document ended.
#[derive(Debug)]
pub(super) enum Download {
    /// The sink holds all bytes, and docfetch verified them.
    Complete {
        /// Their SHA-256 in hexadecimal, where docfetch computed it.
        sha256: Option<String>,
    },
    /// The target exists, and docfetch skips the document.
    NotNeeded,
}

/// What docfetch learned from the attempts, for the outcome.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Requests to the storage, without those for further ranges.
    pub requests: u32,
    /// Presigned URLs that the provider made in this run.
    pub resolves: u32,
    /// The media type that the storage told.
    pub media_type: Option<String>,
    /// The content coding that a warning named.
    pub coding: Option<String>,
    /// How long the document waited for its turn in the batch, with nothing left to prefetch.
    pub waited_for_turn: Duration,
    /// How many bytes an earlier run left in the partial.
    pub found_bytes: Option<u64>,
}

/// What docfetch learned about a document before its turn.
#[derive(Debug)]
pub(super) struct Prefetched {
    metadata: Option<Metadata>,
    url: Option<PresignedUrl>,
}

impl Prefetched {
    /// No more than `metadata`.
    pub(super) fn only(metadata: Option<Metadata>) -> Self {
        Self {
            metadata,
            url: None,
        }
    }

    /// The metadata, if docfetch requested them or the listing told them.
    pub(super) fn into_metadata(self) -> Option<Metadata> {
        self.metadata
    }
}

/// What the transfer of a document starts with.
#[derive(Debug)]
pub(super) struct Prepared {
    metadata: Metadata,
    url: Option<PresignedUrl>,
}

/// The attempts at one document. They share one budget of retries, over resolve, transfer and resume.
pub(super) struct Attempts<'a> {
    resolver: &'a Resolver,
    options: &'a FetchOptions,
    pace: &'a Pace,
    id: &'a DocumentId,
    /// Watches the document.
    pub watcher: Box<dyn Watcher + 'a>,
    retry: RetryContext,
    /// Whether the watcher knows that bytes arrive.
    started: bool,
    /// The last presigned URL.
    url: Option<PresignedUrl>,
    /// What docfetch learned so far.
    pub facts: Facts,
    /// The error of bytes that start as HTML, unless a digest or the size proves that they are the document.
    web_page: Option<Error>,
    /// The error of a document whose last body had no marked end, where nothing proves that the body was whole.
    unproven_end: Option<Error>,
    /// Whether the document finds out for others of the batch whether their storage answers again.
    probes_host: bool,
    _active: ActiveDocument<'a>,
}

impl<'a> Attempts<'a> {
    /// Starts the time of the retry policy.
    pub(super) fn new(
        resolver: &'a Resolver,
        options: &'a FetchOptions,
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
            web_page: None,
            unproven_end: None,
            probes_host: false,
            _active: resolver.count_active(),
        }
    }

    /// Whether docfetch has had a URL of the document.
    pub(super) fn has_url(&self) -> bool {
        self.url.is_some()
    }

    /// The host of the last URL.
    pub(super) fn storage_host(&self) -> Option<String> {
        self.url.as_ref().map(|url| shown_host(url.expose()))
    }

    /// Gives the document all its attempts again. A document that `probes_host` waits the longest time that
    /// the retry policy has, without jitter: no other document requests anything from that host meanwhile.
    pub(super) fn begin_again(&mut self, probes_host: bool) {
        self.probes_host = probes_host;
        self.retry = self.new_retry();
        self.started = false;
    }

    fn new_retry(&self) -> RetryContext {
        let retry = self.resolver.retry();
        if self.probes_host {
            return retry.without_jitter();
        }
        retry
    }

    /// Records that the document reached its target.
    pub(super) async fn delivered(&self) {
        self.resolver.delivered(self.id, self.url.as_ref()).await;
    }

    /// Requests what is free before the document's turn: the URL where resolving is free, else the metadata,
    /// unless the caller has `metadata`.
    ///
    /// # Errors
    /// Those of [`Resolver::resolve_within`].
    pub(super) async fn prefetch(&mut self, metadata: Option<Metadata>) -> Result<Prefetched> {
        let (resolver, id) = (self.resolver, self.id);
        let mut prefetched = Prefetched::only(metadata);
        if resolver.has_free_urls() {
            let resolving = resolver.resolve_within(id, &mut self.retry, ResolveRequest::default());
            prefetched.url = Some(resolving.await?);
        } else if prefetched.metadata.is_none() {
            prefetched.metadata = Some(resolver.metadata(id).await);
        }
        Ok(prefetched)
    }

    /// Requests what was not prefetched: the metadata; and the URL, where resolving is free or the metadata
    /// can change nothing. Breaks where docfetch needs no transfer.
    ///
    /// # Errors
    /// Those of [`Resolver::resolve_within`]; [`Code::TargetExists`], [`Code::DiskFull`], [`Code::LocalIo`];
    /// [`Code::DigestMismatch`] of the bytes that an earlier run refused.
    pub(super) async fn prepare(
        &mut self,
        Prefetched { metadata, url }: Prefetched,
        destination: &mut Destination<'_>,
        sink: &Sink,
    ) -> Result<ControlFlow<Download, Prepared>> {
        if let Some(download) = self.accept_refused(destination, sink).await? {
            return Ok(ControlFlow::Break(download));
        }
        let mut url = url.map(|url| {
            self.retry.exclude(url.age()); // the wait for the document's turn does not count
            self.note_url(url)
        });
        if url.is_none() {
            self.retry = self.new_retry();
        }
        let has_name = destination.target().is_some() || sink.is_stream();
        if has_name || !self.resolver.charges() {
            self.resolver.preconnect();
        }
        let mut metadata = match metadata {
            Some(metadata) => self.resolver.with_checksums(self.id, metadata).await,
            None if has_name
                && url.is_none()
                && self.may_resolve_with_metadata(destination, sink) =>
            {
                let (metadata, resolved) = Box::pin(self.resolve_with_metadata()).await?;
                url = Some(resolved);
                metadata
            }
            None => self.resolver.metadata(self.id).await,
        };
        if let Some(url) = &url {
            metadata.learn(url.facts());
        }
        if self.resolver.has_free_urls() {
            if check_target(&metadata, destination, sink)? == TargetState::AlreadyThere {
                return Ok(ControlFlow::Break(Download::NotNeeded));
            }
            if url.is_none() {
                let resolved = self.resolve(ResolveRequest::default()).await?;
                metadata.learn(resolved.facts());
                let has_facts = !resolved.facts().is_empty();
                url = Some(resolved);
                if has_facts
                    && check_target(&metadata, destination, sink)? == TargetState::AlreadyThere
                {
                    return Ok(ControlFlow::Break(Download::NotNeeded));
                }
            }
        }
        Ok(ControlFlow::Continue(Prepared { metadata, url }))
    }

    /// Transfers the document into the sink and verifies the bytes.
    ///
    /// # Errors
    /// Every code of the storage, of the resolver and of this machine, once the retry policy gives up;
    /// [`Code::LengthMismatch`] and [`Code::DigestMismatch`]. The sink keeps the bytes that a later run can
    /// use.
    pub(super) async fn download(
        &mut self,
        Prepared {
            mut metadata,
            mut url,
        }: Prepared,
        destination: &mut Destination<'_>,
        sink: &mut Sink,
    ) -> Result<Download> {
        if self
            .name_before_paying(&metadata, destination, sink)
            .await?
            == TargetState::AlreadyThere
        {
            return Ok(Download::NotNeeded);
        }
        self.resolver.preconnect();
        loop {
            let retry = self.retry.clone();
            let mut work = SinkTransfer {
                digests: Digests::new(self.options.digests, &metadata.checksums, sink),
                lengths: KnownLengths {
                    metadata: metadata.size,
                    ..KnownLengths::default()
                },
                destination,
                sink,
                metadata: &mut metadata,
            };
            if let Some(url) = &url {
                work.learn_from(url);
            }
            self.screen_partial(&mut work)?;
            match self.transfer(&mut work, url.take()).await {
                Ok(TargetState::Writable) => {}
                Ok(TargetState::AlreadyThere) => return Ok(Download::NotNeeded),
                Err(error) => {
                    let error = work.with_free_space(error);
                    return Err(with_refused_bytes(error, sink));
                }
            }
            let verification = Verification {
                digests: work.digests,
                lengths: work.lengths,
                web_page: self.web_page.take(),
                name: self.verified_name(work.sink, work.metadata),
            };
            let error = match verification.run(sink).await {
                Ok(sha256) => return Ok(Download::Complete { sha256 }),
                Err(error) => error,
            };
            if error.code() != Code::StorageError {
                return Err(error);
            }
            self.retry = retry; // a web page is no progress
            self.watcher.retrying(&error);
            self.retry.wait_after(error).await?;
        }
    }

    /// Accepts the complete bytes that an earlier run refused, where the user gives their SHA-256 now.
    /// docfetch requests nothing for that.
    async fn accept_refused(
        &self,
        destination: &mut Destination<'_>,
        sink: &Sink,
    ) -> Result<Option<Download>> {
        let options = self.options.digests;
        let (Sink::Partial(partial), Some(expected)) = (sink, options.expected_sha256) else {
            return Ok(None);
        };
        let expected = hexadecimal(&expected);
        let Some(refused) = partial.refused().filter(|bytes| bytes.sha256 == expected) else {
            return Ok(None);
        };
        let digests = Digests::new(options, &[], sink);
        let DigestReport { sha256, .. } = digests.verify(partial.position()).await?;
        let target = name_target(destination, &refused.name, sink).await?;
        Ok(Some(match target {
            TargetState::Writable => Download::Complete { sha256 },
            TargetState::AlreadyThere => Download::NotNeeded,
        }))
    }

    /// Whether the metadata can change nothing that docfetch decides before a paid request: the target has
    /// its name, the partial holds nothing that may turn out to be complete, and the disk has room for any
    /// document.
    fn may_resolve_with_metadata(&self, destination: &Destination<'_>, sink: &Sink) -> bool {
        let is_decided = match sink {
            Sink::Partial(partial) => {
                let room = destination.check_free_space(FREE_BYTES_FOR_UNKNOWN_SIZE);
                partial.held() == 0 && room.is_ok()
            }
            Sink::Stdout(_) => true,
        };
        is_decided && self.resolver.may_request_with_metadata()
    }

    /// Requests the metadata and the URL at the same time, and waits for both: a paid request that docfetch
    /// drops would be in doubt.
    async fn resolve_with_metadata(&mut self) -> Result<(Metadata, PresignedUrl)> {
        let (resolver, id) = (self.resolver, self.id);
        let resolving = self.resolve(ResolveRequest::default());
        let (metadata, url) = tokio::join!(resolver.metadata(id), resolving);
        Ok((metadata, url?))
    }

    /// Names the target by the metadata and checks it, where the resolver wants that before it pays.
    async fn name_before_paying(
        &self,
        metadata: &Metadata,
        destination: &mut Destination<'_>,
        sink: &Sink,
    ) -> Result<TargetState> {
        let Sink::Partial(partial) = sink else {
            return Ok(TargetState::Writable);
        };
        if !self.resolver.charges() {
            return Ok(TargetState::Writable);
        }
        let name = metadata.name.as_deref();
        destination.name_after_metadata(name).await;
        let target = check_target(metadata, destination, sink)?;
        if target == TargetState::Writable {
            destination.check_replaceable(partial)?;
        }
        Ok(target)
    }

    /// The name of a document whose bytes are all in the sink.
    fn verified_name(&self, sink: &Sink, metadata: &Metadata) -> String {
        let by_metadata = metadata.name.as_deref().and_then(naming::safe);
        match by_metadata {
            Some(name) if self.resolver.charges() => name,
            _ => self.name_of(&sink.entity().name, metadata),
        }
    }

    /// The document's safe name: from the storage's header, the metadata, the URL, or the id.
    fn name_of(&self, names: &StorageNames, metadata: &Metadata) -> String {
        let by_metadata = || metadata.name.as_deref().and_then(naming::safe);
        let by_header = names.header.clone();
        by_header
            .or_else(by_metadata)
            .or_else(|| names.url.clone())
            .unwrap_or_else(|| naming::from_id(self.id, self.facts.media_type.as_deref()))
    }

    /// Resolves the document, for free or as the ledger permits.
    async fn resolve(&mut self, request: ResolveRequest<'_>) -> Result<PresignedUrl> {
        let resolving = self
            .resolver
            .resolve_within(self.id, &mut self.retry, request);
        let url = resolving.await?;
        if let (Some(failure), false) = (request.unknown_name(), self.has_url()) {
            failure.warn_of_unknown("name", self.id);
        }
        Ok(self.note_url(url))
    }

    fn note_url(&mut self, url: PresignedUrl) -> PresignedUrl {
        if !url.is_recorded() {
            self.facts.resolves += 1;
        }
        log::info!("resolved {} to {url:?}", self.id);
        self.url = Some(url.clone());
        url
    }
}

/// An error that forbids another charge, with a hint at the bytes that docfetch has refused and kept.
fn with_refused_bytes(error: Error, sink: &Sink) -> Error {
    match sink {
        Sink::Partial(partial) if error.code() == Code::ChargeRefused => match partial.refused() {
            Some(refused) => refused_document(&error, &refused.sha256),
            None => error,
        },
        _ => error,
    }
}
