//! A document id becomes a file.

pub mod append;
mod attempts;
pub mod check;
pub mod destination;
pub mod digests;
pub mod engine;
pub mod events;
mod extents;
pub mod interrupt;
pub mod layout;
pub mod manifest;
pub mod mirror;
pub mod naming;
pub mod outages;
pub mod outcome;
mod pace;
mod partial;
pub mod places;
pub mod queue;
pub mod segments;
mod sidecar;
mod sink;
mod transfer;
mod turns;
pub use transfer::is_served;
pub mod verify;
