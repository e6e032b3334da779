//! Which path a document is written to. docfetch never writes over another document's file.
//!
//! A document's target gets its name once, as soon as a safe name is known, and in the order of the batch.
//! [`Destination`] is the target of one document; [`ClaimedPaths`] keeps the targets of a batch apart.

mod check;
mod claimed_paths;
#[cfg(test)]
pub(crate) mod corpora;
mod destination;
mod fitting;
mod folder_check;
mod foresight;
mod name_order;
pub(crate) mod naming;
mod options;
mod publish;
mod room;
mod template;
#[cfg(test)]
mod tests;
mod writable;

pub(crate) use check::TargetState;
pub(crate) use claimed_paths::ClaimedPaths;
pub(crate) use destination::Destination;
pub(crate) use fitting::{fitted_folder, takes_path};
pub(crate) use folder_check::{check_writable, not_a_folder};
pub(crate) use name_order::NameTicket;
pub use options::{IfExists, TargetOptions};
pub(crate) use publish::{BeforePublish, TargetEnd};
pub use template::Template;
pub(crate) use writable::RenameProofs;
