//! A mirror: a folder that holds every document of a listing.

mod layout;
mod store;

pub(crate) use layout::Layout;
pub(crate) use store::{DocumentVersion, Mirror, MirrorEntry, Presence};
