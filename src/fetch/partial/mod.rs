//! The partial of a document and its sidecar: the bytes that are safely on disk.
//!
//! The bytes of a document gather in `.docfetch-<hash>.part` in the target's folder, until all of them
//! arrived. The file has the permissions 0600, and one process at a time holds its lock. Where a lock may
//! exclude no other process, each process writes a partial of its own, `.docfetch-<hash>.<process>.part`. A
//! later run gives the partial of a process that has ended on the same machine its own name, and copies the
//! bytes of any other partial. When the user copies or moves the folder to another kind of file system, a run there
//! resumes both kinds of partials.
//!
//! The sidecar, which ends in `.json` instead of `.part`, says which representation the bytes belong to (entity
//! tag, length), and which bytes the file holds, with CRCs. A later run resumes there. The run uses only bytes
//! that still have their CRCs, so that neither a kill nor a power failure spoils a document. A sidecar never
//! holds a URL.
//!
//! docfetch follows no link at either name, and refuses anything but a plain file of this user.
//!
//! Nothing here sends a request.

mod background_sync;
mod extents;
#[cfg(any(feature = "internals", all(test, feature = "cli")))]
pub(crate) mod fuzz;
mod intact;
mod listed;
mod moved;
mod names;
mod open;
mod others;
mod own;
#[cfg(test)]
mod own_tests;
mod partial_file;
mod publication;
mod publish;
mod same_file;
mod sidecar;
mod sidecar_writer;
#[cfg(test)]
mod tests;
mod unfinished;
mod write;
mod written;

pub(crate) use listed::{ListedPartial, PartialAction};
pub(crate) use others::remove_left;
pub(crate) use partial_file::Partial;
pub(crate) use publication::{Publication, remove_partial_link};
pub(crate) use publish::PublishEnd;
pub(crate) use sidecar::RefusedDocument;
pub(crate) use unfinished::{UnfinishedPartial, list_partials};
