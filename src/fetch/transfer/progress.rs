//! When an attempt makes progress.

/// An attempt that brings fewer new bytes than this makes no progress.
pub(crate) const MIN_PROGRESS_BYTES: u64 = 16 << 10;
