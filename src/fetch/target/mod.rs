//! Which path a document is written to, and never over another document's file.

pub(crate) mod claimed_paths;
#[cfg(test)]
mod corpora;
pub(crate) mod destination;
pub(crate) mod name_order;
pub(crate) mod naming;
pub(crate) mod writable;
