//! A mirror: a folder that holds every document of a listing.

mod entry;
mod index;
mod layout;
mod store;

pub(crate) use entry::{DocumentVersion, MirrorEntry, Presence};
pub(crate) use layout::Layout;
pub(crate) use store::Mirror;
