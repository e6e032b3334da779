//! What a fetch tells whoever watches: plain values, never a terminal.
//!
//! A [`Progress`] watches a batch, and gives a [`Watcher`] to each document that is taken up. The order
//! for one document is any number of `checking`, `started`, any number of `moved` and `retrying`, then one of `finished`,
//! `skipped` and `failed`; a document that is skipped or refused before its first byte starts nothing.
//! `finished` is told after the file is published, never for a failure. A watcher that is dropped
//! without an end was given up. No call may block.

use crate::error::Error;
use crate::model::DocumentId;

/// A watcher of a batch.
pub trait Progress {
    /// Several documents are to come, so many in all where that is known.
    fn expect(&self, _documents: Option<u64>) {}
    /// A document is taken up.
    fn document(&self, _id: &DocumentId) -> Box<dyn Watcher + '_> {
        Box::new(Unwatched)
    }
    /// A document ended, also one that was never taken up.
    fn ended(&self) {}
}

/// A watcher of one document's fetch.
pub trait Watcher {
    /// What an earlier run left is read and checked: so many bytes of so many are. Not told of what takes
    /// only a moment.
    fn checking(&mut self, _checked: u64, _total: u64) {}
    /// Bytes are about to arrive: from `from` on, of `total` where it is known.
    fn started(&mut self, _name: &str, _from: u64, _total: Option<u64>) {}
    /// So many bytes are there now; fewer than before when the transfer started over.
    fn moved(&mut self, _position: u64) {}
    /// An attempt failed; another follows.
    fn retrying(&mut self, _error: &Error) {}
    /// The file is complete and published.
    fn finished(&mut self, _bytes: u64) {}
    /// It turned out not to be needed: the target is there.
    fn skipped(&mut self) {}
    /// There will be no file.
    fn failed(&mut self, _error: &Error) {}
}

/// Watches nothing.
#[derive(Debug, Default)]
pub(crate) struct Unwatched;

impl Progress for Unwatched {}
impl Watcher for Unwatched {}
