//! Whether as many bytes arrived as the document has.

use crate::current_document::warn_of_document;
use crate::error::{Code, Error, Result};
use crate::text::counted;

/// What docfetch knows about the length of a document, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KnownLengths {
    /// From the storage: the `Content-Length` of the whole, or the total in a `Content-Range`.
    pub announced: Option<u64>,
    /// From the provider's metadata.
    pub metadata: Option<u64>,
    /// Whether the response marks its end, so that a complete body differs from a broken connection
    /// (RFC 9112 section 8).
    pub end_is_marked: bool,
}

impl KnownLengths {
    /// Checks that `length` bytes are the whole document. The storage's length decides over the length
    /// in the metadata. Where neither is known and the end is not marked, the document must be `proven`:
    /// the caller compares a digest of all bytes as well.
    ///
    /// # Errors
    /// [`Code::LengthMismatch`].
    pub(crate) fn check(self, length: u64, proven: bool) -> Result<()> {
        let mismatch = |expected: u64, source: &str| {
            let what = "the document does not have the expected length";
            let why = format!(
                "{source} says {}, {length} arrived",
                counted(expected, "byte")
            );
            Err(Error::new(Code::LengthMismatch, what).with_cause(why))
        };
        match (self.announced, self.metadata) {
            (Some(total), _) if total != length => mismatch(total, "the storage"),
            (Some(_), Some(size)) if size != length => {
                let size = counted(size, "byte");
                warn_of_document!("the provider's metadata says {size}, the document has {length}");
                Ok(())
            }
            (None, Some(size)) if size != length => mismatch(size, "the provider"),
            (None, None) if !self.end_is_marked && !proven => Err(Error::new(
                Code::LengthMismatch,
                "the document may not be complete",
            )
            .with_cause("the storage told neither its length nor where it ends")
            .asking_for_sha256("give the id alone with its --sha256")),
            _ => Ok(()),
        }
    }
}

/// The error of an answer of `host` whose length is not that of the document. `answer` tells that length in words,
/// `known` is the document's length in bytes, and `source` told it.
pub(crate) fn other_length(host: &str, answer: &str, known: u64, source: &str) -> Error {
    let known = counted(known, "byte");
    Error::new(
        Code::StorageError,
        format!("{host} sent something else than the document"),
    )
    .with_cause(format!(
        "the document has {known} according to {source}, the answer has {answer}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_decides_only_where_the_response_has_no_length() {
        let known = |announced, metadata, end_is_marked| KnownLengths {
            announced,
            metadata,
            end_is_marked,
        };
        let ok = |known: KnownLengths, proven| known.check(10, proven).is_ok();
        assert!(ok(known(Some(10), Some(9), true), false));
        assert!(!ok(known(Some(11), Some(10), true), false));
        assert!(ok(known(None, Some(10), false), false));
        assert!(!ok(known(None, Some(11), true), true));
        assert!(ok(known(None, None, true), false));
        assert!(!ok(known(None, None, false), false));
        assert!(ok(known(None, None, false), true));
    }
}
