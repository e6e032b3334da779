//! Bodies that have neither a length nor a marked end, and whose connection broke. Over TLS, that is how a server
//! ends such a body without a `close_notify` message (RFC 8446 section 6.1).

use super::Attempts;
use super::sink_transfer::SinkTransfer;
use crate::error::{Code, Error, Result};
use crate::fetch::transfer::{BodyEnd, Digests, Sink};
use crate::http::headers::is_strong;

impl Attempts<'_> {
    /// Whether a body without a marked end is complete although its connection broke with `error`: a digest
    /// or the size in the metadata must prove that. Without a proof, the next attempt may continue the bytes, or
    /// get a response that marks its end. The error of the last attempt then tells what a proof needs.
    ///
    /// # Errors
    /// `error`, when nothing proves that the body is complete; [`Code::LocalIo`].
    pub(super) async fn prove_end(
        &mut self,
        work: &SinkTransfer<'_, '_>,
        error: Error,
    ) -> Result<BodyEnd> {
        let length = work.sink.position();
        let has_digest = work.digests.has_expected_digest();
        if let Err(unproven) = work.lengths.check(length, has_digest) {
            let has_size = work.lengths.metadata.is_some();
            self.unproven_end = (!has_size).then_some(unproven);
            return Err(error);
        }
        if !has_digest {
            return Ok(BodyEnd::Complete);
        }
        if work.sink.is_stream() {
            // Its digests end with its bytes. A later attempt can continue those of a strong entity tag only.
            let can_continue = work.sink.entity().tag.as_deref().is_some_and(is_strong);
            return if can_continue {
                Err(error)
            } else {
                Ok(BodyEnd::Complete)
            };
        }
        match self.compare_digests(work.sink).await {
            Ok(()) => Ok(BodyEnd::Complete),
            Err(wrong) if wrong.code() == Code::DigestMismatch => {
                self.unproven_end = Some(wrong);
                Err(error)
            }
            Err(unreadable) => Err(unreadable),
        }
    }

    /// Compares the digests of the bytes in a partial.
    async fn compare_digests(&self, sink: &Sink) -> Result<()> {
        let digests = Digests::new(self.options.digests, sink);
        let report = digests.verify(sink.position()).await?;
        report.checksum_mismatch.map_or(Ok(()), Err)
    }
}
