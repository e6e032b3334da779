//! A partial in the list that `docfetch partials` prints.

use super::unfinished::UnfinishedPartial;
use std::time::Duration;

/// What docfetch did about a partial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartialAction {
    /// Nothing: the user wants a list.
    Listed,
    /// docfetch removed the partial and its sidecar.
    Removed,
    /// Nothing: a process may still write the partial.
    InUse,
}

/// A partial, and what docfetch did about it.
#[derive(Debug)]
pub(crate) struct ListedPartial {
    /// The partial.
    pub partial: UnfinishedPartial,
    /// For how long the partial did not change.
    pub age: Duration,
    /// What docfetch did.
    pub action: PartialAction,
}
