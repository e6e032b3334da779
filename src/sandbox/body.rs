//! Bodies that come at a pace, and break where a fault wants it.

use super::arrivals::Answering;
use super::faults::Fault;
use super::state::State;
use super::store::Document;
use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// An answer of the sandbox.
pub(super) type Answer = Response<Body>;

/// Bytes are handed on in pieces of this size.
const PIECE: u64 = 64 << 10;
/// What was sent before a break has this long to arrive.
const BEFORE_BREAK: Duration = Duration::from_millis(20);

/// How a body is sent, and where it breaks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    break_after: Option<(u64, Break)>,
    throttle: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Break {
    Close,
    Silence,
}

impl Pace {
    /// As the faults want it.
    pub(super) fn of(faults: &[Fault]) -> Self {
        let mut pace = Self::default();
        for fault in faults {
            match fault {
                Fault::Truncate(bytes) | Fault::ResetEvery(bytes) => {
                    pace.break_after = Some((*bytes, Break::Close));
                }
                Fault::StallAfter(bytes) => pace.break_after = Some((*bytes, Break::Silence)),
                Fault::Throttle(bytes) => pace.throttle = Some(*bytes),
                _ => {}
            }
        }
        pace
    }
}

/// A body that comes as its pace allows.
#[derive(Debug)]
pub(super) struct Body {
    source: Source,
    position: u64,
    end: u64,
    pace: Pace,
    pause: Option<Pin<Box<Sleep>>>,
    /// Counts what is handed out.
    sent: Arc<AtomicU64>,
    /// Its request is being answered as long as this is here.
    answering: Option<Answering>,
}

#[derive(Debug)]
enum Source {
    Memory(Bytes),
    Document(Document),
}

impl Body {
    /// The bytes of a document from `first` to before `end`, as the faults want it.
    pub(super) fn part(document: &Document, first: u64, end: u64, state: &State) -> Self {
        Self {
            source: Source::Document(document.clone()),
            position: first,
            end,
            pace: Pace::of(&state.faults),
            sent: Arc::clone(&state.sent),
            pause: None,
            answering: None,
        }
    }

    /// A body that is sent at once.
    pub(super) fn of(content: Vec<u8>) -> Self {
        Self {
            position: 0,
            end: content.len() as u64,
            source: Source::Memory(content.into()),
            pace: Pace::default(),
            pause: None,
            sent: Arc::default(),
            answering: None,
        }
    }

    /// Ends `answering` when the last byte is handed out, not when the client has it: who has the whole
    /// answer may ask again at once.
    pub(super) fn answering(mut self, answering: Answering) -> Self {
        self.answering = (self.position < self.end).then_some(answering);
        self
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.position >= self.end {
            return Poll::Ready(None);
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
            if matches!(self.pace.break_after, Some((0, Break::Close))) {
                return Poll::Ready(Some(Err(io::Error::other("broken on purpose"))));
            }
        }
        let mut length = PIECE.min(self.end - self.position);
        match self.pace.break_after {
            Some((0, Break::Silence)) => return Poll::Pending,
            Some((0, Break::Close)) => {
                let mut pause = Box::pin(tokio::time::sleep(BEFORE_BREAK));
                let _ = pause.as_mut().poll(cx);
                self.pause = Some(pause);
                return Poll::Pending;
            }
            Some((left, _)) => length = length.min(left),
            None => {}
        }
        if let Some(rate) = self.pace.throttle {
            length = length.min((rate / 20).max(1));
            let wait = Duration::from_secs_f64(length as f64 / rate as f64);
            self.pause = Some(Box::pin(tokio::time::sleep(wait)));
        }
        let piece = match &self.source {
            Source::Memory(content) => Ok(content.clone()),
            Source::Document(document) => {
                document.read(self.position, usize::try_from(length).unwrap_or(usize::MAX))
            }
        };
        let piece = piece.and_then(|piece| match piece.len() {
            0 => Err(io::ErrorKind::UnexpectedEof.into()), // the file is shorter now
            _ => Ok(piece),
        });
        Poll::Ready(Some(piece.map(|piece| {
            self.position += piece.len() as u64;
            if self.position >= self.end {
                self.answering = None;
            }
            self.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            if let Some((left, _)) = &mut self.pace.break_after {
                *left = left.saturating_sub(piece.len() as u64);
            }
            Frame::data(piece)
        })))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.position)
    }
}
