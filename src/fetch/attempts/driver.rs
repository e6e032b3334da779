//! Transfers a document: does what the table in `steps` says, until the transfer is done.

use super::Attempts;
use super::sink_transfer::SinkTransfer;
use super::steps::{AttemptProgress, AttemptState, Next, StartOver, TransferEvent, step};
use super::target_steps::name_target;
use crate::active_time;
use crate::error::{Code, Error, Result};
use crate::fetch::options::Connections;
use crate::fetch::target::TargetState;
use crate::fetch::transfer::coding::{decoding_command, is_told};
use crate::fetch::transfer::{Body, Segments, SegmentsEnd, Sink, StorageAnswer, open};
use crate::http::PresignedUrl;
use crate::http::backoff;
use crate::resolve::ResolveRequest;
use std::ops::ControlFlow;
use std::time::Duration;

/// docfetch uses a URL that is younger than this, however soon the URL expires.
const NEW_URL_AGE: Duration = Duration::from_secs(1);

/// The URL that docfetch requests the document from.
struct SourceUrl {
    url: PresignedUrl,
    /// Replace the URL when it expires within a minute: after its first request, or when it was 1 s old at
    /// the start.
    replace_if_expiring: bool,
}

impl SourceUrl {
    fn new(url: PresignedUrl) -> Self {
        Self {
            url,
            replace_if_expiring: false,
        }
    }
}

impl Attempts<'_> {
    /// Transfers the document until the sink holds all bytes, or the target turns out to exist.
    ///
    /// # Errors
    /// Every code of the storage, of the resolver and of this machine, once the retry policy gives up.
    pub(super) async fn transfer(
        &mut self,
        work: &mut SinkTransfer<'_, '_>,
        url: Option<PresignedUrl>,
    ) -> Result<TargetState> {
        if self.is_paid_and_complete(work) {
            return self.name_complete(work).await;
        }
        let mut source = if let Some(url) = url {
            SourceUrl {
                replace_if_expiring: url.age() >= NEW_URL_AGE,
                url,
            }
        } else {
            let url = self.resolve(work.resolve_request()).await?;
            work.learn_from(&url);
            SourceUrl::new(url)
        };
        let is_free = self.resolver.has_free_urls();
        let mut state = AttemptState::new(work.sink.held(), is_free);
        let mut body = None;
        let mut next = Next::Request;
        loop {
            let event = match next {
                Next::Request => self.request(work, &mut source, &mut body).await?,
                Next::Read(start_over) => {
                    if let Some(start_over) = start_over {
                        self.start_over(work, start_over)?;
                    }
                    let ranges_of = state.use_ranges.then_some(&source.url);
                    match self.read(work, body.take(), ranges_of).await {
                        Ok(ended) => TransferEvent::BodyEnded(ended),
                        Err(error) => self.failed(error, &source),
                    }
                }
                other => match self
                    .prepare_request(work, &mut source, &state, other)
                    .await?
                {
                    ControlFlow::Break(target) => return Ok(target),
                    ControlFlow::Continue(Some(event)) => event,
                    ControlFlow::Continue(None) => {
                        next = Next::Request;
                        continue;
                    }
                },
            };
            state.is_free = is_free || source.url.is_renewable();
            let after = step(&state, work.bytes(), event);
            self.note_progress(after.progress);
            (state, next) = (after.state, after.next);
        }
    }

    /// Does what the table asks for before the next request. Continues with an event where that did not
    /// work, and breaks at the end of the transfer.
    async fn prepare_request(
        &mut self,
        work: &mut SinkTransfer<'_, '_>,
        source: &mut SourceUrl,
        state: &AttemptState,
        next: Next,
    ) -> Result<ControlFlow<TargetState, Option<TransferEvent>>> {
        let event = match next {
            Next::Done(target) => return Ok(ControlFlow::Break(target)),
            Next::NameTarget => return self.name_complete(work).await.map(ControlFlow::Break),
            Next::GiveUp(error) => return Err(error),
            Next::StartOver(start_over, error) => {
                self.start_over(work, start_over)?;
                error.map(|error| self.failed(error, source))
            }
            Next::RequestRest => {
                work.sink.forget_behind_holes();
                None
            }
            Next::WaitForDocument(error) => self
                .wait_for_object(&source.url, error)
                .await
                .err()
                .map(|error| self.failed(error, source)),
            Next::WaitForRange(error) => self
                .wait_for_object(&source.url, error)
                .await
                .err()
                .map(|_| TransferEvent::BodyEnded(SegmentsEnd::NoRanges)),
            Next::ReplaceExpired => {
                log::info!("the URL expired: docfetch resolves the document again");
                let request = ResolveRequest {
                    expired: Some(&source.url),
                    ..work.resolve_request()
                };
                *source = SourceUrl::new(self.resolve(request).await?);
                None
            }
            Next::PayAgain(error) => {
                *source = SourceUrl::new(self.pay_again(&source.url, error, work).await?);
                None
            }
            Next::Pause(error) => {
                self.pause(error, state).await?;
                None
            }
            Next::Request | Next::Read(_) => None,
        };
        Ok(ControlFlow::Continue(event))
    }

    /// Whether the partial holds all bytes of a document that was paid for: docfetch then requests nothing.
    fn is_paid_and_complete(&self, work: &SinkTransfer<'_, '_>) -> bool {
        let Sink::Partial(partial) = &*work.sink else {
            return false;
        };
        let has_size = |size| size == partial.position();
        self.resolver.charges() && partial.is_complete() && work.metadata.size.is_none_or(has_size)
    }

    /// Names the target of a document whose bytes are all in the sink.
    async fn name_complete(&self, work: &mut SinkTransfer<'_, '_>) -> Result<TargetState> {
        work.lengths.announced = Some(work.sink.position());
        let name = self.name_of(&work.sink.entity().name, work.metadata);
        name_target(work.destination, &name, work.sink).await
    }

    /// Requests the missing bytes from the storage. Puts a body that the storage sends into `body`.
    async fn request(
        &mut self,
        work: &mut SinkTransfer<'_, '_>,
        source: &mut SourceUrl,
        body: &mut Option<Box<Body>>,
    ) -> Result<TransferEvent> {
        self.unproven_end = None;
        let http = self.resolver.http();
        let is_about_to_end = source.url.expires_soon(http.clock().now());
        if source.replace_if_expiring && is_about_to_end && self.resolver.has_free_urls() {
            log::info!("the URL is about to expire: docfetch resolves the document again");
            source.url = self.resolve(work.resolve_request()).await?;
        }
        source.replace_if_expiring = true;
        self.facts.requests += 1;
        let (missing, entity) = work.sink.missing();
        let is_of_api = source.url.api_download().is_some();
        let (url, retry) = (&mut source.url, &mut self.retry);
        let answer = open(self.resolver, url, &missing, entity, retry).await;
        if is_of_api {
            work.learn_from(&source.url);
            self.url = Some(source.url.clone()); // the API may have redirected the request
        }
        let answer = self.screen(answer, &source.url, work).await;
        if let Ok(StorageAnswer::NothingMissing | StorageAnswer::Body(_)) = &answer {
            source.url.mark_served();
        }
        Ok(match answer {
            Ok(StorageAnswer::NothingMissing) => TransferEvent::NothingMissing,
            Ok(StorageAnswer::StartOver { why, changed }) => {
                TransferEvent::CannotContinue { why, changed }
            }
            Ok(StorageAnswer::Expired) => TransferEvent::Expired,
            Ok(StorageAnswer::NotFound(error)) => TransferEvent::NotFound(error),
            Ok(StorageAnswer::Body(received)) => {
                self.facts.media_type.clone_from(&received.media_type);
                let name = self.name_of(&received.entity.name, work.metadata);
                match name_target(work.destination, &name, work.sink).await? {
                    TargetState::AlreadyThere => TransferEvent::TargetExists,
                    TargetState::Writable => {
                        self.warn_of_coding(&received, &name, work);
                        let start = work.body_start(&received);
                        *body = Some(received);
                        TransferEvent::BodyStarted(start)
                    }
                }
            }
            Err(error) => self.failed(error, source),
        })
    }

    /// Reads the body into the sink, and ranges of the document at `ranges_of` beside the body, where
    /// several connections are worthwhile.
    async fn read(
        &mut self,
        work: &mut SinkTransfer<'_, '_>,
        body: Option<Box<Body>>,
        ranges_of: Option<&PresignedUrl>,
    ) -> Result<SegmentsEnd> {
        let Some(body) = body else {
            return Err(Error::new(Code::Unexpected, "the storage sent no body"));
        };
        let total = body.entity.total;
        work.lengths.announced = total;
        work.lengths.end_is_marked = body.end_is_marked;
        if body.coding.is_some() {
            work.lengths.metadata = None; // the size of bytes without the coding
        }
        work.sink.begin(body.entity.clone())?;
        work.digests.expect_checksum_of(work.sink.entity());
        work.sink.hold_back(self.web_page.is_some());
        self.tell_start(work, total);
        let (pace, watcher, digests) = (self.pace, &mut *self.watcher, &mut work.digests);
        if let (Sink::Partial(partial), Some(url)) = (&mut *work.sink, ranges_of) {
            let segments = Segments {
                resolver: self.resolver,
                url,
                pace,
                connections: match self.options.connections {
                    // Each range of a document that the API itself sends is a request to the API.
                    Connections::Auto if url.api_download().is_some() => Connections::Exactly(1),
                    connections => connections,
                },
                jobs: self.options.jobs,
                charged: self.resolver.charges(),
            };
            if segments.are_worthwhile_for(&body, partial) {
                let copying = segments.copy(*body, &self.retry, partial, digests, watcher);
                return copying.await;
            }
        }
        work.sink.forget_behind_holes();
        let ends_unmarked = total.is_none() && !body.end_is_marked;
        let copied = body.copy(work.sink, digests, pace, watcher).await;
        let ended = match copied {
            Err(error) if ends_unmarked && error.code() == Code::Network => {
                self.prove_end(work, error).await
            }
            copied => copied,
        };
        ended.map(SegmentsEnd::Body)
    }

    /// Warns, once a run, of bytes that have a coding which the document's names do not tell.
    fn warn_of_coding(&mut self, body: &Body, name: &str, work: &SinkTransfer<'_, '_>) {
        let file = work.destination.file_name();
        let Some(coding) = &body.coding else {
            return;
        };
        if self.facts.coding.as_ref() == Some(coding)
            || is_told(coding, file.as_deref().into_iter().chain([name]))
        {
            return;
        }
        self.facts.coding = Some(coding.clone());
        let (id, host) = (self.id, body.host());
        let how = decoding_command(coding).map(|command| format!("; `{command}` decodes them"));
        log::warn!(
            "{id}: {host} sent bytes in the content coding {coding}, which docfetch did not request; the bytes \
             are saved as sent{}",
            how.unwrap_or_default()
        );
    }

    /// Tells the watcher how many bytes the sink holds when a body starts.
    fn tell_start(&mut self, work: &SinkTransfer<'_, '_>, total: Option<u64>) {
        if self.started {
            self.watcher.moved(work.sink.held());
            return;
        }
        self.started = true;
        let name = work.destination.file_name().unwrap_or_default();
        self.watcher.started(&name, work.sink.held(), total);
    }

    fn failed(&self, error: Error, source: &SourceUrl) -> TransferEvent {
        let on_trial = source.url.is_tried_once(self.resolver.http().clock());
        TransferEvent::Failed { error, on_trial }
    }

    fn start_over(&self, work: &mut SinkTransfer<'_, '_>, start_over: StartOver) -> Result<()> {
        log::info!("starting over with {}: {}", self.id, start_over.why);
        work.start_over(start_over)
    }

    fn note_progress(&mut self, progress: AttemptProgress) {
        match progress {
            AttemptProgress::None => {}
            AttemptProgress::BeforeStall => self.retry.stalled_after_progress(active_time::now()),
            AttemptProgress::Made => self.retry.progressed(active_time::now()),
        }
    }

    /// Waits before the next attempt, as the retry policy allows.
    ///
    /// # Errors
    /// When the retry policy allows no further attempt: `error`, [`Code::DocumentChanged`], or what kept a body
    /// without a marked end from being accepted.
    async fn pause(&mut self, error: Error, state: &AttemptState) -> Result<()> {
        if error.is_transient() {
            self.watcher.retrying(&error);
        }
        let paused = self.retry.wait_after(error).await;
        let unproven = self.unproven_end.take();
        paused.map_err(|error| unproven.unwrap_or_else(|| state.last_error(error)))
    }

    /// Pays for another URL instead of one that the storage refuses, or does not answer, if the user permits
    /// that.
    ///
    /// # Errors
    /// `error`, unless the user permits it; those of the resolver.
    async fn pay_again(
        &mut self,
        refused: &PresignedUrl,
        error: Error,
        work: &SinkTransfer<'_, '_>,
    ) -> Result<PresignedUrl> {
        if !self.resolver.may_recharge(self.id) {
            return Err(error);
        }
        log::info!(
            "the storage does not serve the paid URL: {}",
            error.message()
        );
        let request = ResolveRequest {
            refused: Some(refused),
            ..work.resolve_request()
        };
        match self.resolve(request).await {
            Err(stopped) if stopped.is_not_started() => Err(error),
            resolved => resolved,
        }
    }

    /// Waits for a document that the storage does not have yet.
    ///
    /// # Errors
    /// `error`, once the storage should have the document.
    async fn wait_for_object(&mut self, url: &PresignedUrl, error: Error) -> Result<()> {
        let (now, random) = (active_time::now(), backoff::random());
        let asked = error.retry_after();
        let wait = self
            .retry
            .wait_for_new_document(url.age(), asked, now, random);
        let Some(wait) = wait else {
            return Err(error);
        };
        log::log!(
            backoff::wait_level(wait),
            "the storage does not have the document yet: docfetch requests it again in {:.1} s",
            wait.as_secs_f64()
        );
        active_time::sleep(wait).await;
        Ok(())
    }
}
