//! The bodies of answers, which faults slow down or break.

use super::document::Document;
use super::fault::Fault;
use super::open_requests::OpenRequest;
use super::state::SandboxState;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// A body is sent in pieces of at most this many bytes.
const MAX_PIECE_BYTES: u64 = 64 << 10;
/// How long the bytes before a break have to reach the client.
const TIME_BEFORE_BREAK: Duration = Duration::from_millis(20);

/// What goes wrong with a body.
#[derive(Clone, Copy, Debug, Default)]
struct BodyFaults {
    /// After how many bytes the body breaks, and how.
    break_after: Option<(u64, BreakKind)>,
    /// How many bytes are sent in a second.
    bytes_per_second: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum BreakKind {
    /// The connection closes.
    Close,
    /// The connection stays open, and carries nothing more.
    Silence,
}

impl BodyFaults {
    fn of(faults: &[Fault]) -> Self {
        let mut found = Self::default();
        for fault in faults {
            match fault {
                Fault::Truncate(bytes) | Fault::ResetEvery(bytes) => {
                    found.break_after = Some((*bytes, BreakKind::Close));
                }
                Fault::StallAfter(bytes) => found.break_after = Some((*bytes, BreakKind::Silence)),
                Fault::Throttle(bytes) => found.bytes_per_second = Some(*bytes),
                _ => {}
            }
        }
        found
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct SandboxBody {
    source: BodySource,
    /// Offset of the next byte in the source.
    position: u64,
    /// Offset behind the last byte in the source.
    end: u64,
    faults: BodyFaults,
    pause: Option<Pin<Box<Sleep>>>,
    /// Counts the bytes that are sent.
    sent: Arc<AtomicU64>,
    /// The request is open as long as this is here.
    request: Option<OpenRequest>,
}

#[derive(Debug)]
enum BodySource {
    Memory(Bytes),
    Document(Box<Document>),
}

impl SandboxBody {
    /// The bytes of a document from `first` to before `end`, with the faults of the sandbox.
    pub(super) fn part(document: &Document, first: u64, end: u64, state: &SandboxState) -> Self {
        Self {
            source: BodySource::Document(Box::new(document.clone())),
            position: first,
            end,
            faults: BodyFaults::of(&state.faults),
            sent: Arc::clone(&state.sent),
            pause: None,
            request: None,
        }
    }

    /// A body with this content, without faults.
    pub(super) fn of(content: Vec<u8>) -> Self {
        Self {
            position: 0,
            end: content.len() as u64,
            source: BodySource::Memory(content.into()),
            faults: BodyFaults::default(),
            pause: None,
            sent: Arc::default(),
            request: None,
        }
    }

    /// Keeps `request` open until the last byte is sent. The client may not have that byte yet; but a client
    /// that has the whole answer may send its next request at once.
    pub(super) fn keep_open(mut self, request: OpenRequest) -> Self {
        self.request = (self.position < self.end).then_some(request);
        self
    }

    /// The next piece of the source, of at most `length` bytes.
    fn read(&self, length: u64) -> io::Result<Bytes> {
        let piece = match &self.source {
            BodySource::Memory(content) => content.clone(),
            BodySource::Document(document) => {
                document.read(self.position, usize::try_from(length).unwrap_or(usize::MAX))?
            }
        };
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into()); // the file is shorter now
        }
        Ok(piece)
    }

    /// Notes that this many bytes are sent.
    fn advance(&mut self, bytes: u64) {
        self.position += bytes;
        if self.position >= self.end {
            self.request = None;
        }
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        if let Some((left, _)) = &mut self.faults.break_after {
            *left = left.saturating_sub(bytes);
        }
    }
}

impl Body for SandboxBody {
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
            if matches!(self.faults.break_after, Some((0, BreakKind::Close))) {
                return Poll::Ready(Some(Err(io::Error::other("broken on purpose"))));
            }
        }
        let mut length = MAX_PIECE_BYTES.min(self.end - self.position);
        match self.faults.break_after {
            Some((0, BreakKind::Silence)) => return Poll::Pending,
            Some((0, BreakKind::Close)) => {
                let mut pause = Box::pin(tokio::time::sleep(TIME_BEFORE_BREAK));
                let _ = pause.as_mut().poll(cx);
                self.pause = Some(pause);
                return Poll::Pending;
            }
            Some((left, _)) => length = length.min(left),
            None => {}
        }
        if let Some(rate) = self.faults.bytes_per_second {
            length = length.min((rate / 20).max(1));
            let wait = Duration::from_secs_f64(length as f64 / rate as f64);
            self.pause = Some(Box::pin(tokio::time::sleep(wait)));
        }
        let piece = self.read(length);
        Poll::Ready(Some(piece.map(|piece| {
            self.advance(piece.len() as u64);
            Frame::data(piece)
        })))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::super::open_requests::Service;
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn a_request_is_open_until_its_body_is_sent_or_dropped() {
        let state = Arc::new(SandboxState::of(Vec::new()));
        let open = || {
            let changing = state.changing();
            (changing.open_requests, changing.open_storage_requests)
        };
        let begin = |service| OpenRequest::begin(&state, service, "/");
        let mut body = SandboxBody::of(b"ab".to_vec()).keep_open(begin(Service::Storage));
        let dropped = SandboxBody::of(b"ab".to_vec()).keep_open(begin(Service::Api));
        assert_eq!(open(), (2, 1));
        drop(dropped);
        assert_eq!(open(), (1, 1));
        body.frame().await.unwrap().unwrap();
        assert_eq!(open(), (0, 0));
        let empty = SandboxBody::of(Vec::new()).keep_open(begin(Service::Api));
        assert_eq!(open(), (0, 0));
        drop((body, empty));
        let report = state.changing().report.clone();
        let most = (report.max_open_requests, report.max_open_storage_requests);
        assert_eq!(most, (2, 1));
    }
}
