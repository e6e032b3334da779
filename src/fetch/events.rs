//! What a fetch tells the program while it runs: plain values, never text for a terminal.

use crate::error::Error;
use crate::model::DocumentId;

/// Watches a batch of documents.
///
/// docfetch calls each method on the thread that fetches; a method must return at once, because no document
/// moves meanwhile. Every method does nothing unless a program implements it.
///
/// ```
/// use docfetch::{DocumentId, Progress, Watcher};
///
/// struct PrintEnds;
/// struct EndPrinter(DocumentId);
///
/// impl Progress for PrintEnds {
///     fn document(&self, id: &DocumentId) -> Box<dyn Watcher + '_> {
///         Box::new(EndPrinter(id.clone()))
///     }
/// }
///
/// impl Watcher for EndPrinter {
///     fn finished(&mut self, bytes: u64) {
///         println!("{}: {bytes} bytes", self.0);
///     }
/// }
/// ```
pub trait Progress {
    /// The batch has this many documents in all, or `None` where docfetch does not know how many. Only the
    /// command line calls this.
    fn expect(&self, _documents: Option<u64>) {}

    /// docfetch takes up a document. Returns what watches the document.
    fn document(&self, _id: &DocumentId) -> Box<dyn Watcher + '_> {
        Box::new(Unwatched)
    }

    /// A document of the batch ended, or an item of the list that is no document. Only the command line calls
    /// this.
    fn ended(&self) {}
}

/// Watches the fetch of one document.
///
/// docfetch calls any number of `checking`, then `started`, then any number of `moved` and `retrying`, and
/// at the end one of `finished`, `skipped` and `failed`. A document that is skipped, or that fails before its
/// first byte, has no `started`. In a batch of the command line, `started` comes again after an outage of the
/// storage. docfetch drops the watcher of a document without an end when the batch stops before the
/// document's turn, and in a dry run.
pub trait Watcher {
    /// docfetch reads the bytes that an earlier run left, and has checked `checked` of `total` bytes. docfetch
    /// does not tell of a check that takes only a moment.
    fn checking(&mut self, _checked: u64, _total: u64) {}

    /// The storage sends the document. The file named `name` has `from` bytes already, of `total` where the
    /// storage told that.
    fn started(&mut self, _name: &str, _from: u64, _total: Option<u64>) {}

    /// The file has `position` bytes now: fewer than before when the transfer started over.
    fn moved(&mut self, _position: u64) {}

    /// An attempt failed with `error`, and docfetch makes another one.
    fn retrying(&mut self, _error: &Error) {}

    /// The document is complete, verified and on disk, with this many bytes. Never called for a failure.
    fn finished(&mut self, _bytes: u64) {}

    /// The target exists already, and docfetch skips the document.
    fn skipped(&mut self) {}

    /// The document failed with `error`.
    fn failed(&mut self, _error: &Error) {}
}

/// A [`Progress`] that watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Progress for Unwatched {}
impl Watcher for Unwatched {}
