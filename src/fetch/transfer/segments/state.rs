//! The state of one document's segments, which changes with each event on a connection.

use crate::active_time;
use crate::error::{Code, Error, Result};
use crate::fetch::entity::Entity;
use crate::fetch::events::Watcher;
use crate::fetch::options::Connections;
use crate::fetch::partial::Partial;
use crate::fetch::transfer::body::{Body, BodyEnd};
use crate::fetch::transfer::digests::Digests;
use crate::fetch::transfer::response::StorageAnswer;
use crate::fetch::transfer::segments::assignment::{Rest, bytes_per_second};
use crate::fetch::transfer::segments::connection::{ConnectionEvent, NextAction, RangeStream};
use crate::fetch::transfer::segments::failures::Failures;
use crate::fetch::transfer::segments::growth::{Growth, processor_time};
use crate::fetch::transfer::segments::missing::Missing;
use crate::fetch::transfer::segments::{Segments, SegmentsEnd};
use crate::http::backoff::{self, RetryContext};
use crate::http::headers;
use std::ops::{ControlFlow, Range};
use std::time::Instant;

/// Whether the connection reads on from a stream, or all connections end now.
type Flow = ControlFlow<SegmentsEnd, Option<Box<RangeStream>>>;

/// Why docfetch sends no further request. The open responses are read to their end all the same: together
/// they may bring all missing bytes.
enum Stop {
    Ended(SegmentsEnd),
    Failed(Error),
}

/// The segments of one document.
pub(super) struct SegmentsState<'a> {
    segments: &'a Segments<'a>,
    entity: &'a Entity,
    /// The length of the document in bytes.
    total: u64,
    missing: Missing,
    growth: Growth,
    failures: Failures,
    partial: &'a mut Partial,
    digests: &'a mut Digests,
    watcher: &'a mut dyn Watcher,
    /// How many bytes the partial held when the segments started, and when that was.
    held_at_start: u64,
    started: Instant,
    /// Set when docfetch sends no further request.
    stop: Option<Stop>,
    /// How many requests are not answered yet.
    unanswered: usize,
    /// How many connections pause.
    pausing: usize,
}

impl<'a> SegmentsState<'a> {
    /// The state before the first event.
    pub(super) fn new(
        segments: &'a Segments<'a>,
        entity: &'a Entity,
        total: u64,
        retry: &RetryContext,
        partial: &'a mut Partial,
        digests: &'a mut Digests,
        watcher: &'a mut dyn Watcher,
    ) -> Self {
        let connections = match segments.connections {
            // One connection is fast enough for a limited rate.
            Connections::Auto if segments.pace.is_limited() => Connections::Exactly(1),
            connections => connections,
        };
        let held = partial.held();
        let now = Instant::now();
        Self {
            missing: Missing::new(partial.holes(total), segments.charged),
            growth: Growth::new(connections, segments.jobs, now, processor_time()),
            failures: Failures::new(retry.clone(), held, active_time::now()),
            segments,
            entity,
            total,
            partial,
            digests,
            watcher,
            held_at_start: held,
            started: now,
            stop: None,
            unanswered: 0,
            pausing: 0,
        }
    }

    /// The stream of the first response. It writes the first hole, or leaves a part of that to others.
    pub(super) fn first_stream(&mut self, body: Body) -> Box<RangeStream> {
        let hole = self.missing.take_first();
        let end = hole.map_or(self.total, |hole| hole.end);
        let mut stream = RangeStream::new(body, end);
        if self.may_request() {
            let rest = Rest {
                missing: self.total.saturating_sub(self.partial.held()),
                connections: self.growth.wanted(),
                usual_speed: None,
            };
            let assignment = &mut stream.assignment;
            assignment.share_with_idle(&mut self.missing, rest, Instant::now());
        }
        stream
    }

    /// Handles an event on one connection while `others` work. Returns the stream to read on, or the end of
    /// the segments.
    ///
    /// # Errors
    /// Those of [`Partial::write_at`].
    pub(super) fn handle(&mut self, event: ConnectionEvent, others: usize) -> Result<Flow> {
        match event {
            ConnectionEvent::Received(stream, Ok(piece)) => self.received(stream, &piece, others),
            ConnectionEvent::Received(stream, Err(error)) => {
                self.missing.put_back(stream.assignment.rest());
                self.failed(error, others);
                Ok(ControlFlow::Continue(None))
            }
            ConnectionEvent::Answered(range, answer) => {
                self.unanswered -= 1;
                Ok(self.answered(range, answer, others))
            }
            ConnectionEvent::PauseEnded => {
                self.pausing -= 1;
                Ok(ControlFlow::Continue(None))
            }
        }
    }

    /// Writes the next piece of a response; an empty piece is its end.
    fn received(
        &mut self,
        mut stream: Box<RangeStream>,
        piece: &[u8],
        others: usize,
    ) -> Result<Flow> {
        if stream.assignment.is_exceeded_by(piece.len()) {
            return Ok(ControlFlow::Break(SegmentsEnd::Body(BodyEnd::TooLong)));
        }
        let started_writing = Instant::now();
        let is_read_up = self.write(&mut stream, piece, started_writing)?;
        let now = Instant::now();
        let write_time = now.saturating_duration_since(started_writing);
        self.growth.received(piece.len(), write_time);
        self.digests.update(piece, self.partial.position());
        let held = self.partial.held();
        self.watcher.moved(held);
        let rest = self.total.saturating_sub(held);
        self.growth
            .measure(now, processor_time, rest, self.unanswered);
        if is_read_up && self.has_idle_connections(others) && self.may_request() {
            let received = held.saturating_sub(self.held_at_start);
            let elapsed = now.saturating_duration_since(self.started);
            let connections = self.growth.wanted();
            let rest = Rest {
                missing: rest,
                connections,
                usual_speed: Some(bytes_per_second(received, elapsed) / connections.max(1) as u64),
            };
            let assignment = &mut stream.assignment;
            assignment.share_with_idle(&mut self.missing, rest, now);
        }
        let assignment = &stream.assignment;
        if assignment.needs_more_bytes() && !piece.is_empty() {
            return Ok(ControlFlow::Continue(Some(stream)));
        }
        self.missing.put_back(assignment.rest());
        if !assignment.is_finished() && !assignment.was_cut_short() {
            let error = stream.body.ended_early(assignment.read_position());
            self.failed(error, others);
        }
        Ok(ControlFlow::Continue(None))
    }

    /// Writes the bytes of a piece that no other connection fetches. Returns whether those are all bytes of
    /// the piece.
    fn write(&mut self, stream: &mut RangeStream, mut piece: &[u8], now: Instant) -> Result<bool> {
        let assignment = &mut stream.assignment;
        loop {
            let own = assignment.take(&mut piece);
            self.partial.write_at(assignment.next(), own)?;
            assignment.wrote(own.len());
            let held_back = || self.failures.held_back(active_time::now());
            assignment.take_over(&mut self.missing, held_back, now);
            if piece.is_empty() || assignment.is_finished() {
                return Ok(piece.is_empty());
            }
        }
    }

    /// Judges the storage's answer to a request for `range`.
    fn answered(
        &mut self,
        range: Range<u64>,
        answer: Result<StorageAnswer>,
        others: usize,
    ) -> Flow {
        match answer {
            Ok(StorageAnswer::Body(body))
                if body.entity.tag == self.entity.tag && body.offset == range.start =>
            {
                self.partial.add_checksum(body.entity.checksum.as_ref());
                self.digests.expect_checksum_of(self.partial.entity());
                return ControlFlow::Continue(Some(RangeStream::new(*body, range.end)));
            }
            // A whole answer without a strong tag may be no document at all: the next request tells.
            Ok(StorageAnswer::Body(body))
                if body.entity.tag.as_deref().is_some_and(headers::is_strong)
                    && body.entity.tag != self.entity.tag =>
            {
                self.stop(SegmentsEnd::Changed("the document changed"));
            }
            Ok(StorageAnswer::StartOver { why, changed: true }) => {
                self.stop(SegmentsEnd::Changed(why));
            }
            Ok(
                StorageAnswer::Body(_)
                | StorageAnswer::NothingMissing
                | StorageAnswer::StartOver { .. },
            ) => self.stop(SegmentsEnd::NoRanges),
            Err(error) if error.code() == Code::Protocol => self.stop(SegmentsEnd::NoRanges),
            Ok(StorageAnswer::Expired) => self.stop(SegmentsEnd::Expired),
            Ok(StorageAnswer::NotFound(error)) => self.stop(SegmentsEnd::NotFound(error)),
            Err(error) => {
                // A storage that refuses a request has enough of them.
                if error.http_status().is_some() {
                    self.growth.limit_to(others.max(1));
                }
                self.failed(error, others);
            }
        }
        self.missing.put_back(range);
        ControlFlow::Continue(None)
    }

    fn stop(&mut self, end: SegmentsEnd) {
        self.stop.get_or_insert(Stop::Ended(end));
    }

    /// A connection failed while `others` work.
    fn failed(&mut self, error: Error, others: usize) {
        let (held, now) = (self.partial.held(), active_time::now());
        let random = backoff::random();
        if let Some(error) = self.failures.note(error, held, others, now, random) {
            self.stop.get_or_insert(Stop::Failed(error));
        }
    }

    /// Whether docfetch can have more connections than this one and the `others`, and they would have nothing
    /// to fetch.
    fn has_idle_connections(&self, others: usize) -> bool {
        others + 1 < self.growth.wanted() && self.missing.is_empty()
    }

    /// Whether docfetch sends further requests. It sends none for a charged URL that expires soon.
    fn may_request(&self) -> bool {
        let Segments {
            url,
            resolver,
            charged,
            ..
        } = self.segments;
        self.stop.is_none() && !(*charged && url.expires_soon(resolver.http().clock().now()))
    }

    /// What a further connection does while `busy` connections work or pause; `None` when there is nothing
    /// to do.
    pub(super) fn next_action(&mut self, busy: usize) -> Option<NextAction> {
        if self.stop.is_some() || busy >= self.growth.wanted() || self.missing.is_empty() {
            return None;
        }
        let pause = self.failures.take_pause(active_time::now());
        if !pause.is_zero() {
            self.pausing += 1;
            return Some(NextAction::Pause(pause));
        }
        let range = self.missing.take_segment(self.growth.wanted(), busy)?;
        self.unanswered += 1;
        Some(NextAction::Request(range))
    }

    /// Whether all of the `busy` connections pause, and none of them will request anything.
    pub(super) fn is_finished(&self, busy: usize) -> bool {
        busy == self.pausing && (self.stop.is_some() || self.missing.is_empty())
    }

    /// How the segments ended. Where bytes are missing, waits until the storage wants requests again, or adds
    /// that time to the error.
    ///
    /// # Errors
    /// The error that ended the segments.
    pub(super) async fn end(self) -> Result<SegmentsEnd> {
        if self.missing.is_empty() {
            return Ok(SegmentsEnd::Body(BodyEnd::Complete));
        }
        let held_back = self.failures.held_back(active_time::now());
        let end = match self.stop {
            Some(Stop::Failed(error)) => {
                let held_back = Some(held_back).filter(|wait| !wait.is_zero());
                let wait = error.retry_after().max(held_back);
                return Err(error.with_retry_after(wait));
            }
            Some(Stop::Ended(end)) => end,
            None => SegmentsEnd::NoRanges,
        };
        active_time::sleep(held_back).await;
        Ok(end)
    }
}
