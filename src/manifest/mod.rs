//! What runs leave behind, as JSON lines.

pub(crate) mod append;
pub(crate) mod check;
pub(crate) mod read;
