//! The state of one document's transfer: destination, sink, digests, lengths.

use super::steps::{BodyStart, SinkBytes, StartOver};
use crate::error::{Error, Result};
use crate::fetch::target::Destination;
use crate::fetch::transfer::{Body, Digests, KnownLengths, Sink};
use crate::http::PresignedUrl;
use crate::http::headers::is_strong;
use crate::resolve::{Metadata, ResolveRequest};

/// The state of one document's transfer.
pub(super) struct SinkTransfer<'t, 'd> {
    /// Where the document is written.
    pub destination: &'t mut Destination<'d>,
    /// Where the bytes go.
    pub sink: &'t mut Sink,
    /// What the provider told of the document.
    pub metadata: &'t mut Metadata,
    /// Digests of the bytes in the sink.
    pub digests: Digests,
    /// What docfetch knows about the document's length.
    pub lengths: KnownLengths,
}

impl SinkTransfer<'_, '_> {
    /// How many bytes the sink holds.
    pub(super) fn bytes(&self) -> SinkBytes {
        SinkBytes {
            held: self.sink.held(),
            position: self.sink.position(),
        }
    }

    /// What docfetch knows when it needs a URL for this transfer.
    pub(super) fn resolve_request(&self) -> ResolveRequest<'_> {
        ResolveRequest {
            has_partial: self.sink.held() > 0,
            needs_name: !self.sink.is_stream() && self.destination.target().is_none(),
            metadata_failure: self.metadata.failure.as_ref(),
            ..ResolveRequest::default()
        }
    }

    /// Adds what the answer that brought `url` tells of the document.
    pub(super) fn learn_from(&mut self, url: &PresignedUrl) {
        let size = self.metadata.size;
        self.metadata.learn(url.facts());
        for checksum in &url.facts().checksums {
            self.digests.expect_told(checksum);
        }
        if size.is_none() {
            self.lengths.metadata = self.metadata.size;
        }
    }

    /// A failure of the transfer; where the disk is full, with the room that the rest of the document needs.
    pub(super) fn with_free_space(&self, error: Error) -> Error {
        let total = self.lengths.announced.or(self.lengths.metadata);
        let missing = total.map(|total| total.saturating_sub(self.sink.held()));
        match missing.filter(|_| !self.sink.is_stream()) {
            Some(missing) => self.destination.with_free_space(error, missing),
            None => error,
        }
    }

    /// Throws the bytes in the sink away.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::Code::LocalIo); for standard output that has some of the bytes,
    /// [`Code::DocumentChanged`](crate::Code::DocumentChanged) or [`Code::Network`](crate::Code::Network).
    pub(super) fn start_over(&mut self, StartOver { why, changed }: StartOver) -> Result<()> {
        self.sink.restart(why, changed)?;
        self.digests.restart();
        Ok(())
    }

    /// How `body` relates to the bytes in the sink. Two responses are of the same version of a document
    /// when they have the same strong entity tag (RFC 9110 section 8.8.3.2), and no other length.
    pub(super) fn body_start(&self, body: &Body) -> BodyStart {
        let (here, there) = (self.sink.entity(), &body.entity);
        let same_length = match (here.total, there.total) {
            (Some(here), Some(there)) => here == there,
            _ => true,
        };
        let same_tag = there.tag.as_deref().is_some_and(is_strong) && here.tag == there.tag;
        BodyStart {
            same_version: same_tag && same_length,
            overlaps: body.offset < self.sink.position(),
            skips_overlap: self.sink.is_stream(),
        }
    }
}
