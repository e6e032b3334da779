//! A document id becomes a file.

mod attempts;
pub mod batch;
pub mod engine;
pub mod events;
pub mod outcome;
pub mod partial;
pub mod target;
pub mod transfer;
pub use transfer::response::is_served;
