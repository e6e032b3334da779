//! What runs leave behind, as JSON lines.

pub mod append;
pub mod check;
pub mod read;
