//! A document id becomes a file.

mod attempts;
pub(crate) mod batch;
pub(crate) mod engine;
mod entity;
pub(crate) mod events;
pub(crate) mod file_digest;
pub(crate) mod options;
pub(crate) mod outcome;
pub(crate) mod partial;
pub(crate) mod target;
mod transfer;
pub(crate) use transfer::is_served;
