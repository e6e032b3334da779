//! One connection that reads a response for one of the segments.

use crate::error::Result;
use crate::fetch::transfer::body::Body;
use crate::fetch::transfer::pace::Pace;
use crate::fetch::transfer::response::StorageAnswer;
use crate::fetch::transfer::segments::assignment::Assignment;
use crate::http::StallWatch;
use bytes::Bytes;
use std::ops::Range;
use std::time::{Duration, Instant};

/// A response that a connection reads, and the bytes of that response that the connection writes.
pub(super) struct RangeStream {
    pub body: Body,
    pub assignment: Assignment,
    watch: StallWatch,
    /// Bytes that were read and must wait for the rate limit.
    unpaced: Bytes,
}

/// What happened on one of the connections.
pub(super) enum ConnectionEvent {
    /// The storage answered a request for this range.
    Answered(Range<u64>, Result<StorageAnswer>),
    /// The next bytes of a response arrived; none at its end.
    Received(Box<RangeStream>, Result<Bytes>),
    /// The pause of a connection ended.
    PauseEnded,
}

/// What a free connection does next.
pub(super) enum NextAction {
    /// It requests this segment.
    Request(Range<u64>),
    /// It pauses. Afterwards the segments may be complete without it.
    Pause(Duration),
}

impl RangeStream {
    /// The stream of a response whose bytes the connection writes up to `end`.
    pub(super) fn new(body: Body, end: u64) -> Box<Self> {
        Box::new(Self {
            watch: body.stall_watch(),
            assignment: Assignment::new(body.offset..body.end, end, Instant::now()),
            unpaced: Bytes::new(),
            body,
        })
    }

    /// Waits for the next bytes of the response, and until the rate limit lets them pass.
    pub(super) async fn next(mut self: Box<Self>, pace: &Pace) -> ConnectionEvent {
        if self.unpaced.is_empty() {
            match self.body.chunk(&mut self.watch).await {
                Ok(piece) => self.unpaced = piece.unwrap_or_default(),
                Err(error) => return ConnectionEvent::Received(self, Err(error)),
            }
        }
        let length = self.unpaced.len().min(pace.max_piece_bytes());
        let piece = self.unpaced.split_to(length);
        pace.wait_for(piece.len()).await;
        ConnectionEvent::Received(self, Ok(piece))
    }
}
