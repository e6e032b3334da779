//! A document id becomes a file.

mod attempts;
pub(crate) mod batch;
pub(crate) mod engine;
pub(crate) mod events;
pub(crate) mod file_digest;
pub(crate) mod outcome;
pub(crate) mod partial;
pub(crate) mod target;
pub(crate) mod transfer;
pub(crate) use transfer::response::is_served;
