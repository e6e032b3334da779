//! What a fetch tells whoever watches: plain values, never a terminal.
//!
//! The order for one document is `started`, any number of `moved` and `retrying`, then one of
//! `finished`, `skipped` and `failed`; a document that is skipped or refused before its first byte
//! starts nothing. `finished` is told after the file is published, never for a failure. No call may
//! block.

use crate::error::Error;
use crate::model::DocumentId;

/// A watcher of one document's fetch.
pub trait Progress {
    /// Bytes are about to arrive: from `from` on, of `total` where it is known.
    fn started(&self, _id: &DocumentId, _name: &str, _from: u64, _total: Option<u64>) {}
    /// So many bytes are there now; fewer than before when the transfer started over.
    fn moved(&self, _position: u64) {}
    /// An attempt failed; another follows.
    fn retrying(&self, _error: &Error) {}
    /// The file is complete and published.
    fn finished(&self, _bytes: u64) {}
    /// It turned out not to be needed: the target is there.
    fn skipped(&self) {}
    /// There will be no file.
    fn failed(&self, _error: &Error) {}
}

/// Watches nothing.
#[derive(Debug, Default)]
pub struct Unwatched;

impl Progress for Unwatched {}
