//! The body of a storage's response, read into a sink.

use crate::error::{Code, Error, Result};
use crate::fetch::entity::Entity;
use crate::fetch::events::Watcher;
use crate::fetch::transfer::coding::decoded_start;
use crate::fetch::transfer::digests::Digests;
use crate::fetch::transfer::html::{FirstBytes, MAX_SNIFFED_BYTES, sniff};
use crate::fetch::transfer::pace::Pace;
use crate::fetch::transfer::sink::Sink;
use crate::http::{Reply, StallWatch, headers};
use crate::text::counted;
use bytes::Bytes;
use std::collections::VecDeque;

/// The body of a response: some or all bytes of a document.
pub(crate) struct Body {
    reply: Reply,
    /// The body's first bytes, which [`Body::sniff`] read. [`Body::chunk`] returns them first.
    sniffed: VecDeque<Bytes>,
    /// The representation that the bytes belong to.
    pub entity: Entity,
    /// Offset of the body's first byte in the document.
    pub offset: u64,
    /// Offset behind the body's last byte; [`u64::MAX`] where the storage announces no length.
    pub end: u64,
    /// The content coding of the bytes, which docfetch did not request.
    pub coding: Option<String>,
    /// The media type in `Content-Type`.
    pub media_type: Option<String>,
    /// Whether the response marks the end of its body, so that a complete body differs from a broken
    /// connection (RFC 9112 section 8).
    pub end_is_marked: bool,
}

/// How a body ended, when its connection did not break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// With the document's last byte.
    Complete,
    /// Behind the announced end: none of its bytes can be trusted.
    TooLong,
}

impl Body {
    /// The body of `reply`: the bytes of `entity` from `offset` to `end`.
    pub(super) fn new(reply: Reply, entity: Entity, offset: u64, end: u64) -> Self {
        Self {
            coding: headers::content_coding(reply.headers()),
            media_type: headers::media_type(reply.headers()),
            end_is_marked: reply.end_is_marked(),
            reply,
            sniffed: VecDeque::new(),
            entity,
            offset,
            end,
        }
    }

    /// Reads the body into the sink. Skips the first bytes of the body that the sink already holds.
    ///
    /// # Errors
    /// [`Code::Network`] when the connection breaks or the body ends early, [`Code::Stalled`] when too
    /// little arrives, and the errors of [`Sink::write`].
    pub(crate) async fn copy(
        mut self,
        sink: &mut Sink,
        digests: &mut Digests,
        pace: &Pace,
        watcher: &mut dyn Watcher,
    ) -> Result<BodyEnd> {
        let mut watch = self.reply.stall_watch();
        let mut to_skip = sink.position() - self.offset;
        while let Some(piece) = self.chunk(&mut watch).await? {
            let skipped =
                usize::try_from(to_skip).map_or(piece.len(), |skip| skip.min(piece.len()));
            to_skip -= skipped as u64;
            let fresh = &piece[skipped..];
            if sink.position() + fresh.len() as u64 > self.end {
                return Ok(BodyEnd::TooLong);
            }
            for fresh in fresh.chunks(pace.max_piece_bytes()) {
                pace.wait_for(fresh.len()).await;
                sink.write(fresh).await?;
                digests.update(fresh, sink.position());
                watcher.moved(sink.position());
            }
        }
        match self.entity.total {
            Some(total) if sink.position() < total => Err(self.ended_early(sink.position())),
            _ => Ok(BodyEnd::Complete),
        }
    }

    /// The error of a body that ended at `position`, before its announced end.
    pub(super) fn ended_early(&self, position: u64) -> Error {
        let host = self.reply.host();
        let what = format!("the storage {host} sent less than it announced");
        let end = self.entity.total.unwrap_or(self.end);
        Error::new(Code::Network, what)
            .with_cause(format!("{position} of {}", counted(end, "byte")))
    }

    /// A watch that sees when too few bytes of this body arrive.
    pub(super) fn stall_watch(&self) -> StallWatch {
        self.reply.stall_watch()
    }

    /// The next bytes of the body; `None` at its end.
    ///
    /// # Errors
    /// [`Code::Network`] when the connection breaks, [`Code::Stalled`] when too little arrives.
    pub(super) async fn chunk(&mut self, watch: &mut StallWatch) -> Result<Option<Bytes>> {
        match self.sniffed.pop_front() {
            Some(piece) => Ok(Some(piece)),
            None => self.reply.chunk(watch).await,
        }
    }

    /// What the body starts as; where `is_decoded`, what its text without the content coding starts as.
    /// Reads as many of its first bytes as that takes. They are not lost: [`Body::copy`] writes them too.
    ///
    /// # Errors
    /// [`Code::Network`] when the connection breaks, [`Code::Stalled`] when too little arrives.
    pub(crate) async fn sniff(&mut self, is_decoded: bool) -> Result<FirstBytes> {
        let coding = self.coding.clone().filter(|_| is_decoded);
        let is_declared = self.is_declared_as_page();
        let mut watch = self.stall_watch();
        let mut first = Vec::new();
        loop {
            let piece = self.reply.chunk(&mut watch).await?;
            let ended = piece.is_none();
            if let Some(piece) = piece {
                first.extend(piece.iter().take(MAX_SNIFFED_BYTES - first.len()));
                self.sniffed.push_back(piece);
            }
            let ended = ended || first.len() >= MAX_SNIFFED_BYTES;
            let decoded = coding
                .as_ref()
                .and_then(|coding| decoded_start(coding, &first));
            let text = decoded.as_deref().unwrap_or(&first);
            if let Some(found) = sniff(text, ended, is_declared) {
                return Ok(found);
            }
        }
    }

    /// Whether the media type is that of HTML.
    pub(super) fn is_declared_as_page(&self) -> bool {
        self.media_type.as_deref() == Some("text/html")
    }

    /// Whether a body that [`Body::sniff`] read starts with this byte.
    pub(super) fn starts_with(&self, byte: u8) -> bool {
        self.sniffed.iter().flatten().next() == Some(&byte)
    }

    /// Whether a body that [`Body::sniff`] read has no byte.
    pub(crate) fn is_empty(&self) -> bool {
        self.sniffed.iter().all(Bytes::is_empty)
    }

    /// The length of the whole body in bytes, where the storage announces it or where [`MAX_SNIFFED_BYTES`] are
    /// more than the body has. Loses none of these bytes: [`Body::copy`] writes them.
    ///
    /// # Errors
    /// [`Code::Network`] when the connection breaks, [`Code::Stalled`] when too little arrives.
    pub(crate) async fn length(&mut self) -> Result<Option<u64>> {
        if self.entity.total.is_some() {
            return Ok(self.entity.total);
        }
        let mut watch = self.stall_watch();
        let mut length: usize = self.sniffed.iter().map(Bytes::len).sum();
        while length < MAX_SNIFFED_BYTES {
            let Some(piece) = self.reply.chunk(&mut watch).await? else {
                return Ok(Some(length as u64));
            };
            length += piece.len();
            self.sniffed.push_back(piece);
        }
        Ok(None)
    }

    /// The host that sends the body.
    pub(crate) fn host(&self) -> &str {
        self.reply.host()
    }
}
