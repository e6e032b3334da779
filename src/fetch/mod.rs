//! A document id becomes a file.

mod attempts;
pub mod check;
pub mod destination;
pub mod engine;
pub mod events;
pub mod interrupt;
pub mod manifest;
pub mod naming;
pub mod outcome;
mod partial;
mod sink;
mod transfer;
pub mod verify;
