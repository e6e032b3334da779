//! A mirror: a folder that holds every document of a listing.

mod entry;
mod index;
mod layout;
mod store;
mod sync;

pub(crate) use layout::Layout;
pub(crate) use store::Mirror;
pub(crate) use sync::{MirrorSync, RowSource, row_fields};
