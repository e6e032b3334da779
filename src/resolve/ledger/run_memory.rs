//! What one run knows of its paid retrievals beside the records on disk.

use super::table::RetrievalRecord;
use crate::model::DocumentId;
use crate::mutex::locked;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What this run knows of its paid retrievals.
#[derive(Debug)]
pub(crate) struct RunMemory {
    /// Whether the user gave `--allow-recharge`.
    pub(super) allow_recharge: bool,
    /// Records that could not be written to disk, by name.
    unwritten: Mutex<HashMap<String, RetrievalRecord>>,
    /// Documents for which this run has used `--allow-recharge`.
    recharged: Mutex<HashSet<DocumentId>>,
    /// Documents whose paid request may have left and is not answered.
    pending: Mutex<HashSet<DocumentId>>,
    /// How many documents this run is fetching.
    active: AtomicUsize,
}

/// A document that this run is fetching: counted until this value is dropped.
#[derive(Debug)]
pub(crate) struct ActiveDocument<'a>(&'a RunMemory);

impl RunMemory {
    pub(super) fn new(allow_recharge: bool) -> Self {
        Self {
            allow_recharge,
            unwritten: Mutex::default(),
            recharged: Mutex::default(),
            pending: Mutex::default(),
            active: AtomicUsize::default(),
        }
    }

    /// The record of this name that could not be written to disk.
    pub(super) fn unwritten(&self, name: &str) -> Option<RetrievalRecord> {
        locked(&self.unwritten).get(name).cloned()
    }

    /// Keeps a record that could not be written to disk; none forgets what was kept under this name.
    pub(super) fn keep_unwritten(&self, name: &str, record: Option<&RetrievalRecord>) {
        let mut unwritten = locked(&self.unwritten);
        match record {
            Some(record) => unwritten.insert(name.to_owned(), record.clone()),
            None => unwritten.remove(name),
        };
    }

    /// Whether `--allow-recharge` still permits another paid retrieval of a document: the flag does so
    /// once for each document and run.
    pub(crate) fn may_recharge(&self, id: &DocumentId) -> bool {
        self.allow_recharge && !locked(&self.recharged).contains(id)
    }

    /// Notes that `--allow-recharge` is used for a document.
    pub(super) fn recharge(&self, id: &DocumentId) {
        locked(&self.recharged).insert(id.clone());
    }

    /// Notes that the request did not leave for which `--allow-recharge` was used.
    pub(super) fn give_back_recharge(&self, id: &DocumentId) {
        locked(&self.recharged).remove(id);
    }

    /// Whether a paid request for a document may have left and is not answered. This stays so after the
    /// run was interrupted.
    pub(crate) fn is_pending(&self, id: &DocumentId) -> bool {
        locked(&self.pending).contains(id)
    }

    pub(super) fn set_pending(&self, id: &DocumentId, pending: bool) {
        let mut all = locked(&self.pending);
        if pending {
            all.insert(id.clone());
        } else {
            all.remove(id);
        }
    }

    /// Counts a document that this run is fetching.
    pub(crate) fn count_active(&self) -> ActiveDocument<'_> {
        self.active.fetch_add(1, Ordering::Relaxed);
        ActiveDocument(self)
    }

    /// Whether this run is fetching one document at most.
    pub(crate) fn has_single_document(&self) -> bool {
        self.active.load(Ordering::Relaxed) <= 1
    }
}

impl Drop for ActiveDocument<'_> {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}
