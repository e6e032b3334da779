//! Bodies that have neither a length nor a marked end, and whose connection broke. Over TLS, that is how a server
//! ends such a body without a `close_notify` message (RFC 8446 section 6.1).

use super::Attempts;
use super::sink_transfer::SinkTransfer;
use crate::error::{Code, Error, Result};
use crate::fetch::transfer::BodyEnd;

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
        match compare_digests(work).await {
            Ok(()) => Ok(BodyEnd::Complete),
            Err(wrong) if wrong.code() == Code::DigestMismatch => {
                // What standard output has cannot come again, so a broken connection is the cause to tell.
                self.unproven_end = (!work.sink.is_stream()).then_some(wrong);
                Err(error)
            }
            Err(unreadable) => Err(unreadable),
        }
    }
}

/// Compares the digests of the bytes in the sink. More bytes may follow.
///
/// # Errors
/// [`Code::DigestMismatch`]; [`Code::LocalIo`] when the partial cannot be read.
async fn compare_digests(work: &SinkTransfer<'_, '_>) -> Result<()> {
    let digests = work.digests.so_far(work.sink);
    let report = digests.verify(work.sink.position()).await?;
    report.checksum_mismatch.map_or(Ok(()), Err)
}
