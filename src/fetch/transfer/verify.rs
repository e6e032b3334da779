//! Whether the bytes are the right ones: lengths, and what else is wanted of them.

use crate::error::{Code, Error, Result};

/// What is wanted of the bytes beside their length.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Compute the SHA-256.
    pub sha256: bool,
    /// The SHA-256 that they must have.
    pub expected_sha256: Option<[u8; 32]>,
}

/// What is known of how long the document must be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lengths {
    /// By the response: `Content-Length` or the range's total.
    pub announced: Option<u64>,
    /// By the provider's metadata.
    pub metadata: Option<u64>,
    /// Whether the end of the body could be told from a broken connection.
    pub end_was_marked: bool,
}

/// Checks `length`, of a body that ended by itself. `proven` when a digest will be checked as well.
///
/// # Errors
/// [`Code::LengthMismatch`].
pub(crate) fn check_length(length: u64, known: Lengths, proven: bool) -> Result<()> {
    let mismatch = |expected: u64, by: &str| {
        Err(Error::new(
            Code::LengthMismatch,
            "the document does not have its length",
        )
        .why(format!("{by} says {expected} bytes, {length} arrived")))
    };
    match known {
        Lengths {
            announced: Some(total),
            metadata,
            ..
        } => {
            if total != length {
                return mismatch(total, "the storage");
            }
            if let Some(size) = metadata.filter(|size| *size != length) {
                log::warn!("the provider's metadata says {size} bytes, the document has {length}");
            }
            Ok(())
        }
        Lengths {
            metadata: Some(size),
            ..
        } if size != length => mismatch(size, "the provider"),
        Lengths {
            metadata: Some(_), ..
        } => Ok(()),
        Lengths {
            end_was_marked: false,
            ..
        } if !proven => Err(
            Error::new(Code::LengthMismatch, "the document may not be complete")
                .why("the storage told neither its length nor where it ends")
                .hint("give its digest with --sha256"),
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_decides_only_where_the_response_has_no_length() {
        let known = |announced, metadata, end_was_marked| Lengths {
            announced,
            metadata,
            end_was_marked,
        };
        let ok = |known, proven| check_length(10, known, proven).is_ok();
        assert!(ok(known(Some(10), Some(9), true), false));
        assert!(!ok(known(Some(11), Some(10), true), false));
        assert!(ok(known(None, Some(10), false), false));
        assert!(!ok(known(None, Some(11), true), true));
        assert!(ok(known(None, None, true), false));
        assert!(!ok(known(None, None, false), false));
        assert!(ok(known(None, None, false), true));
    }
}
