//! One document over several connections: range requests at the same time.
//!
//! It begins with the one response that is there anyway. Where more connections are asked for, or may
//! help (`growth`), what is missing is cut into segments; each connection fetches one after another,
//! in the order of the document, so that whoever reads behind can follow. A segment that breaks or
//! stalls goes back to what is missing, and is asked for again. Every response must be of the very
//! same representation: its entity tag, its total, its range. Memory is what the connections' buffers
//! take: every piece is written where it belongs as soon as it comes.
//!
//! Nothing here is needed for a document to arrive: the engine can do without.

mod growth;
mod missing;

use crate::active_time;
use crate::error::{Code, Error, Result};
use crate::fetch::entity::Entity;
use crate::fetch::events::Watcher;
use crate::fetch::options::Connections;
use crate::fetch::partial::Partial;
use crate::fetch::transfer::body::{Body, BodyEnd};
use crate::fetch::transfer::digests::Digests;
use crate::fetch::transfer::pace::Pace;
use crate::fetch::transfer::progress::MIN_PROGRESS_BYTES;
use crate::fetch::transfer::response::{self, StorageAnswer};
use crate::http::backoff::{self, Retry, Verdict};
use crate::http::headers::is_strong;
use crate::http::presigned::PresignedUrl;
use crate::http::send::Http;
use crate::http::stall::StallWatch;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use growth::Growth;
use missing::{Missing, SHORTEST};
use std::ops::{ControlFlow, Range};
use std::pin::Pin;
use std::time::{Duration, Instant};

/// How long a connection that is slower than others keeps them waiting.
const MOMENT: Duration = Duration::from_secs(1);
/// Slower by this factor is far slower.
const SLOW: u64 = 4;

/// How the segments ended, when all that was under way has arrived.
pub(crate) enum SegmentsEnd {
    /// As one body would have.
    Body(BodyEnd),
    /// The document is another one now.
    Changed(&'static str),
    /// The storage sends no ranges of it.
    NoRanges,
    /// The URL's time is over.
    Expired,
    /// The storage did not show the document for a moment.
    NotFound(Error),
}

/// Why nothing more is asked for; what is under way goes on, and may be all that is missing.
enum Stop {
    Ended(SegmentsEnd),
    Failed(Error),
}

/// Who is asked for the segments of a document, and how.
pub(crate) struct Segments<'a> {
    /// The way to the storage.
    pub http: &'a Http,
    /// The document's URL.
    pub url: &'a PresignedUrl,
    /// How fast bytes may come.
    pub pace: &'a Pace,
    /// How many connections there may be.
    pub connections: Connections,
    /// How many documents are fetched at the same time.
    pub jobs: usize,
    /// Whether another URL would cost: what is missing must not depend on more requests than it has to.
    pub charged: bool,
}

/// A response that is being read.
struct RangeStream {
    body: Body,
    watch: StallWatch,
    /// What was read and has not passed yet.
    piece: Bytes,
    /// Where its next byte belongs.
    at: u64,
    /// Up to here it is its own to fetch.
    end: u64,
    /// How many bytes of the response come before `at` and are passed over: other responses brought
    /// them.
    passed_over: u64,
    since: Instant,
}

/// What happened on one of the connections.
enum Event {
    /// A request was answered.
    Opened(Range<u64>, Result<StorageAnswer>),
    /// Bytes came; none at the end of the body.
    Moved(Box<RangeStream>, Result<Bytes>),
    /// A connection has rested.
    Rested,
}

/// What a connection that is free does.
enum Next {
    /// It asks for a segment.
    Ask(Range<u64>),
    /// It waits, and looks then what is still missing: another one may have brought it.
    Rest(Duration),
}

type Going<'a> = Pin<Box<dyn Future<Output = Event> + 'a>>;

impl RangeStream {
    fn new(body: Body, end: u64) -> Box<Self> {
        Box::new(Self {
            watch: body.stall_watch(),
            piece: Bytes::new(),
            at: body.offset,
            end,
            passed_over: 0,
            since: Instant::now(),
            body,
        })
    }

    /// Waits for its next bytes, and until they may pass.
    async fn next(mut self: Box<Self>, pace: &Pace) -> Event {
        if self.piece.is_empty() {
            match self.body.chunk(&mut self.watch).await {
                Ok(piece) => self.piece = piece.unwrap_or_default(),
                Err(error) => return Event::Moved(self, Err(error)),
            }
        }
        let piece = self
            .piece
            .split_to(self.piece.len().min(pace.max_piece_bytes()));
        pace.wait_for(piece.len()).await;
        Event::Moved(self, Ok(piece))
    }

    /// How far its response was read.
    fn position(&self) -> u64 {
        self.at - self.passed_over
    }

    /// Whether its response has more for it, if only its end: a connection is used again only when that
    /// was read.
    fn goes_on(&self) -> bool {
        self.at < self.end || self.at == self.body.end
    }

    /// Leaves to others, who have nothing to do, what is far more than its share of the `bytes` that are
    /// missing in all, or than it brings in a moment, where others bring far more. (Its response is given
    /// up then, when it comes to that place.)
    fn share(&mut self, missing: &mut Missing, bytes: u64, connections: usize, usual: u64) {
        let rest = self.end - self.at;
        let brings = match self.since.elapsed() {
            young if young < MOMENT => u64::MAX, // who knows
            _ => {
                in_a_moment(self.position() - self.body.offset, self.since).max(MIN_PROGRESS_BYTES)
            }
        };
        let own = match missing.share(bytes, connections) {
            Some(share) if rest >= 2 * share => share,
            _ if connections > 1 && brings < usual / SLOW && rest / 2 > brings => brings,
            _ => return,
        };
        missing.put_back(self.at + own..self.end);
        self.end = self.at + own;
    }

    /// Whether its answer was shorter than asked for, and worth its request.
    fn was_cut_short(&self) -> bool {
        self.at == self.body.end && self.at - self.body.offset >= MIN_PROGRESS_BYTES
    }

    /// Takes over the missing range that comes next in its response. While no request may leave for
    /// `held_back`, that may be a later one, if the response reaches it sooner.
    fn take_over(&mut self, missing: &mut Missing, held_back: Duration) {
        if self.at < self.end || self.at == self.body.end {
            return;
        }
        let rate = in_a_moment(self.position() - self.body.offset, self.since);
        let reach = u128::from(rate) * held_back.as_millis() / MOMENT.as_millis();
        let reach = self
            .at
            .saturating_add(u64::try_from(reach).unwrap_or(u64::MAX));
        if let Some(next) = missing.take_within(self.at..=reach.min(self.body.end - 1)) {
            self.passed_over += next.start - self.at;
            self.at = next.start;
            self.end = next.end.min(self.body.end);
            missing.put_back(self.end..next.end);
        }
    }
}

/// How many bytes come in a moment when so many came since then.
fn in_a_moment(moved: u64, since: Instant) -> u64 {
    let took = since.elapsed().max(MOMENT).as_millis();
    let moved = u128::from(moved) * MOMENT.as_millis() / took;
    u64::try_from(moved).unwrap_or(u64::MAX)
}

impl Segments<'_> {
    /// Whether it is worth to begin: when there are holes to fill, or enough is missing for more than
    /// one connection.
    pub(crate) fn are_worthwhile_for(&self, body: &Body, partial: &Partial) -> bool {
        let tag = body.entity.tag.as_deref();
        let Some(total) = body.entity.total.filter(|_| tag.is_some_and(is_strong)) else {
            return false;
        };
        let many = self.connections != Connections::Exactly(1);
        let long = total.saturating_sub(partial.held()) >= 2 * SHORTEST;
        (many && long) || partial.held() > partial.position()
    }

    /// Reads what is missing into the partial: from `first`, whose bytes come next, and from as many
    /// more responses as it takes.
    ///
    /// # Errors
    /// What broke the last one.
    pub(crate) async fn copy(
        &self,
        first: Body,
        retry: &Retry,
        partial: &mut Partial,
        digests: &mut Digests,
        watcher: &mut dyn Watcher,
    ) -> Result<SegmentsEnd> {
        let entity = &first.entity.clone();
        let total = entity.total.unwrap_or(first.end);
        let connections = match self.connections {
            // One connection is fast enough for what is held back here.
            Connections::Auto if self.pace.is_limited() => Connections::Exactly(1),
            connections => connections,
        };
        let mut work = Work {
            segments: self,
            entity,
            total,
            missing: Missing::new(partial.holes(total), self.charged),
            growth: Growth::new(connections, self.jobs),
            held_first: partial.held(),
            held_then: partial.held(),
            since: Instant::now(),
            partial,
            digests,
            watcher,
            retry: retry.clone(),
            stop: None,
            rest: Duration::ZERO,
            not_before: active_time::now(),
            opening: 0,
            resting: 0,
        };
        let start = |next: Next| -> Going<'_> {
            Box::pin(async move {
                match next {
                    Next::Ask(range) => {
                        let opened = response::open(self.http, self.url, &range, entity).await;
                        Event::Opened(range, opened)
                    }
                    Next::Rest(wait) => {
                        active_time::sleep(wait).await;
                        Event::Rested
                    }
                }
            })
        };
        let mut going: FuturesUnordered<Going<'_>> = FuturesUnordered::new();
        let hole = work.missing.first().unwrap_or(total..total);
        let mut first = RangeStream::new(first, hole.end);
        let bytes = total.saturating_sub(work.partial.held());
        if work.may_ask() {
            first.share(&mut work.missing, bytes, work.growth.wanted, 0);
        }
        going.push(Box::pin(first.next(self.pace)));
        while let Some(event) = going.next().await {
            match work.after(event, going.len())? {
                ControlFlow::Break(ended) => return Ok(ended),
                ControlFlow::Continue(Some(stream)) => going.push(Box::pin(stream.next(self.pace))),
                ControlFlow::Continue(None) => {}
            }
            while let Some(next) = work.next(going.len()) {
                going.push(start(next));
            }
            if work.is_finished(going.len()) {
                break;
            }
        }
        work.end().await
    }
}

/// A document's segments under way.
struct Work<'a> {
    segments: &'a Segments<'a>,
    entity: &'a Entity,
    total: u64,
    missing: Missing,
    growth: Growth,
    partial: &'a mut Partial,
    digests: &'a mut Digests,
    watcher: &'a mut dyn Watcher,
    /// How often what breaks beside others is asked for again. The document's own attempts are not
    /// spent on that.
    retry: Retry,
    /// How many bytes were here when something broke last.
    held_then: u64,
    /// How many there were, and when, at the beginning.
    held_first: u64,
    since: Instant,
    /// Set when nothing more is to be asked for.
    stop: Option<Stop>,
    /// How long the next connection that is free rests, and when any may ask.
    rest: Duration,
    not_before: Instant,
    /// Requests that are not answered yet.
    opening: usize,
    /// Connections that rest.
    resting: usize,
}

impl Work<'_> {
    /// After something happened on one connection while `others` go on: the stream to read on, or the end
    /// of it all.
    fn after(
        &mut self,
        event: Event,
        others: usize,
    ) -> Result<ControlFlow<SegmentsEnd, Option<Box<RangeStream>>>> {
        match event {
            Event::Moved(stream, Ok(piece)) => self.moved(stream, &piece, others),
            Event::Moved(stream, Err(error)) => {
                self.missing.put_back(stream.at..stream.end);
                self.note(error, others);
                Ok(ControlFlow::Continue(None))
            }
            Event::Opened(range, opened) => {
                self.opening -= 1;
                Ok(self.opened(range, opened, others))
            }
            Event::Rested => {
                self.resting -= 1;
                Ok(ControlFlow::Continue(None))
            }
        }
    }

    fn moved(
        &mut self,
        mut stream: Box<RangeStream>,
        piece: &[u8],
        others: usize,
    ) -> Result<ControlFlow<SegmentsEnd, Option<Box<RangeStream>>>> {
        let ended = piece.is_empty();
        if stream.position() + piece.len() as u64 > stream.body.end {
            return Ok(ControlFlow::Break(SegmentsEnd::Body(BodyEnd::TooLong)));
        }
        let mut rest = piece;
        let held_back = self.held_back();
        let writing = Instant::now();
        loop {
            let before = usize::try_from(stream.passed_over).unwrap_or(usize::MAX);
            let (before, wanted) = rest.split_at(rest.len().min(before));
            stream.passed_over -= before.len() as u64;
            rest = wanted;
            let own = usize::try_from(stream.end - stream.at).unwrap_or(usize::MAX);
            let (own, others) = rest.split_at(rest.len().min(own));
            self.partial.write_at(stream.at, own)?;
            stream.at += own.len() as u64;
            rest = others;
            stream.take_over(&mut self.missing, held_back);
            if rest.is_empty() || stream.at == stream.end {
                break; // what is left is another one's
            }
        }
        self.growth.wrote(piece.len(), writing.elapsed());
        self.digests.update(piece, self.partial.position());
        let held = self.partial.held();
        self.watcher.moved(held);
        let missing = self.total.saturating_sub(held);
        self.growth.look(missing, self.opening);
        let idle = others + 1 < self.growth.wanted && self.missing.is_empty();
        if rest.is_empty() && idle && self.may_ask() {
            let connections = self.growth.wanted;
            let moved = held.saturating_sub(self.held_first);
            let usual = in_a_moment(moved, self.since) / connections.max(1) as u64;
            stream.share(&mut self.missing, missing, connections, usual);
        }
        if stream.goes_on() && !ended {
            return Ok(ControlFlow::Continue(Some(stream)));
        }
        self.missing.put_back(stream.at..stream.end);
        if stream.at < stream.end && !stream.was_cut_short() {
            self.note(stream.body.ended_early(stream.position()), others);
        }
        Ok(ControlFlow::Continue(None))
    }

    fn opened(
        &mut self,
        range: Range<u64>,
        opened: Result<StorageAnswer>,
        others: usize,
    ) -> ControlFlow<SegmentsEnd, Option<Box<RangeStream>>> {
        match opened {
            Ok(StorageAnswer::Body(body))
                if body.entity.tag == self.entity.tag && body.offset == range.start =>
            {
                self.partial.add_checksum(body.entity.checksum.as_ref());
                self.digests.expect_checksum_of(self.partial.entity());
                return ControlFlow::Continue(Some(RangeStream::new(*body, range.end)));
            }
            // What is under way is of the document as it was, and may be all of it.
            Ok(StorageAnswer::Body(body)) if body.entity.tag != self.entity.tag => {
                self.stop(SegmentsEnd::Changed("the document changed"));
            }
            Ok(StorageAnswer::StartOver { why, changed: true }) => {
                self.stop(SegmentsEnd::Changed(why))
            }
            Ok(
                StorageAnswer::Body(_)
                | StorageAnswer::NothingMissing
                | StorageAnswer::StartOver { .. },
            ) => {
                self.stop(SegmentsEnd::NoRanges);
            }
            Err(error) if error.code() == Code::Protocol => self.stop(SegmentsEnd::NoRanges),
            Ok(StorageAnswer::Expired) => self.stop(SegmentsEnd::Expired),
            Ok(StorageAnswer::NotFound(error)) => self.stop(SegmentsEnd::NotFound(error)),
            Err(error) => {
                // A storage that refuses has enough of us.
                if error.http_status().is_some() {
                    self.growth.no_more_than(others.max(1));
                }
                self.note(error, others);
            }
        }
        self.missing.put_back(range);
        ControlFlow::Continue(None)
    }

    fn stop(&mut self, ended: SegmentsEnd) {
        self.stop.get_or_insert(Stop::Ended(ended));
    }

    /// A connection broke while `others` go on: its segment is asked for again, as the retry policy
    /// allows. The last one's failure is for whoever began all this to judge.
    fn note(&mut self, error: Error, others: usize) {
        log::info!("a segment broke: {}", error.message());
        let held = self.partial.held();
        let now = active_time::now();
        if held >= self.held_then + MIN_PROGRESS_BYTES {
            match error.code() {
                Code::Stalled => self.retry.stalled(now),
                _ => self.retry.progressed(now),
            }
        }
        self.held_then = held;
        let asked = error.retry_after().is_some();
        let verdict = match others {
            0 => None,
            _ => Some(self.retry.judge(error.clone(), now, backoff::random())),
        };
        match verdict {
            Some(Verdict::Wait(wait)) if asked => {
                self.not_before = self.not_before.max(now + wait);
            }
            Some(Verdict::Wait(wait)) => self.rest = wait,
            Some(Verdict::GiveUp(_)) | None => {
                self.stop.get_or_insert(Stop::Failed(error));
            }
        }
    }

    /// For how long no request may leave.
    fn held_back(&self) -> Duration {
        self.not_before
            .saturating_duration_since(active_time::now())
    }

    /// Whether more requests are likely to be answered.
    fn may_ask(&self) -> bool {
        let Segments { url, http, .. } = self.segments;
        self.stop.is_none() && !(self.segments.charged && url.is_about_to_end(http.clock().now()))
    }

    /// What comes next while so many connections are going.
    fn next(&mut self, going: usize) -> Option<Next> {
        if self.stop.is_some() || going >= self.growth.wanted || self.missing.is_empty() {
            return None;
        }
        let held_back = self
            .not_before
            .saturating_duration_since(active_time::now());
        let rest = held_back.max(std::mem::take(&mut self.rest));
        if !rest.is_zero() {
            self.resting += 1;
            return Some(Next::Rest(rest));
        }
        let range = self.missing.take(self.growth.wanted, going)?;
        self.opening += 1;
        Some(Next::Ask(range))
    }

    /// Whether the connections that are still going rest, and need not ask any more.
    fn is_finished(&self, going: usize) -> bool {
        going == self.resting && (self.stop.is_some() || self.missing.is_empty())
    }

    /// Whoever goes on asks no sooner than the storage allows.
    async fn end(self) -> Result<SegmentsEnd> {
        let held_back = self
            .not_before
            .saturating_duration_since(active_time::now());
        let ended = match self.stop {
            _ if self.missing.is_empty() => return Ok(SegmentsEnd::Body(BodyEnd::Complete)),
            Some(Stop::Failed(error)) => {
                let wait = error
                    .retry_after()
                    .max(Some(held_back).filter(|wait| !wait.is_zero()));
                return Err(error.with_retry_after(wait));
            }
            Some(Stop::Ended(ended)) => ended,
            None => SegmentsEnd::NoRanges,
        };
        active_time::sleep(held_back).await;
        Ok(ended)
    }
}
