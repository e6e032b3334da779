//! A document id becomes a file.
//!
//! [`Fetcher`] fetches documents of one provider. `engine` has the stages of one document, `attempts` the
//! retries around resolve, transfer and resume. The other modules each do one thing for them.

mod attempts;
pub(crate) mod batch;
pub(crate) mod engine;
mod entity;
pub(crate) mod events;
pub(crate) mod fetcher;
pub(crate) mod file_digest;
mod open_files;
pub(crate) mod options;
pub(crate) mod outcome;
pub(crate) mod partial;
pub(crate) mod summary;
pub(crate) mod target;
mod transfer;

pub(crate) use transfer::is_served;
#[cfg(any(feature = "internals", all(test, feature = "cli")))]
pub(crate) use transfer::sniff;
