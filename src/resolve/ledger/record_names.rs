//! How the ledger's records are named, how long a process waits for one, and what an invalid one is.

use crate::fingerprint::fingerprint;
use crate::model::DocumentId;
use crate::state::{DistrustReason, Untrusted};
use std::path::PathBuf;
use std::time::Duration;

/// How long to wait for a lock that its holder needs for a moment only.
pub(super) const SHORT_BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// What a process does that has a record locked, for the error of a process that waits for it.
pub(super) const RETRIEVAL_ACTIVITY: &str = "requesting this document";

/// The name of a record: the fingerprint of the account, then that of the document. So a record can be
/// found by its document alone. `kind` is none for the provider's default kind.
pub(super) fn record_name(account: &str, kind: Option<&str>, id: &DocumentId) -> String {
    format!("{account}-{}", document_part(kind, id))
}

/// The fingerprint of the account in a record's name.
pub(super) fn account_part(name: &str) -> &str {
    name.split('-').next().unwrap_or_default()
}

/// Whether a record of this name is about the document `id` of this kind.
pub(super) fn is_about(name: &str, kind: Option<&str>, id: &DocumentId) -> bool {
    let document = name.split_once('-').map(|(_, document)| document);
    document == Some(document_part(kind, id).as_str())
}

/// The names of documents of a provider's default kind have no kind in them: the first version of docfetch knew one kind
/// only.
fn document_part(kind: Option<&str>, id: &DocumentId) -> String {
    let id = id.as_str().as_bytes();
    match kind {
        None => fingerprint(&[id]),
        Some(kind) => fingerprint(&[kind.as_bytes(), id]),
    }
}

/// The record at `path` cannot have been written by docfetch.
pub(super) fn invalid(path: PathBuf) -> Untrusted {
    Untrusted {
        path,
        why: "its content is not valid".to_owned(),
        reason: DistrustReason::Record,
    }
}
