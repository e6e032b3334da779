//! What docfetch keeps on disk for itself, and how it works with files: records and journals in the state
//! folder, locks between processes, durable files, threads for blocking work, standard streams.

pub(crate) mod blocking;
pub(crate) mod files;
pub(crate) mod folder;
mod identity;
mod journal;
pub(crate) mod lock;
pub(crate) mod normal_form;
pub(crate) mod process;
pub(crate) mod records;
pub(crate) mod shared_files;
pub(crate) mod streams;
mod trust;

pub(crate) use journal::HeldJournal;
pub(crate) use trust::{DistrustReason, Untrusted};
