//! Which path a document is written to, and never over another document's file.

mod claimed_paths;
#[cfg(test)]
mod corpora;
mod destination;
mod name_order;
pub(crate) mod naming;
mod writable;

pub(crate) use claimed_paths::ClaimedPaths;
pub(crate) use destination::{BeforePublish, Destination, IfExists, TargetOptions, TargetState};
pub(crate) use name_order::NameTicket;
pub(crate) use naming::Template;
pub(crate) use writable::RenameProofs;
