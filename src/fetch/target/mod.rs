//! Which path a document is written to, and never over another document's file.

pub mod claimed_paths;
pub mod destination;
pub mod name_order;
pub mod naming;
pub mod writable;
