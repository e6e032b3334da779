//! The bytes of a presigned URL arrive in a partial or a pipe, and never bytes of another representation.

pub(crate) mod digests;
pub(crate) mod pace;
pub(crate) mod response;
pub(crate) mod segments;
pub(crate) mod sink;
pub(crate) mod stdout;
pub(crate) mod verify;
pub(crate) mod web_page;

/// An attempt makes progress when it brings at least this many new bytes.
pub(crate) const MIN_PROGRESS_BYTES: u64 = 16 << 10;
