//! A mirror: a folder that holds every document of a listing.

mod entry;
#[cfg(any(feature = "internals", all(test, feature = "cli")))]
pub(crate) mod fuzz;
mod index;
mod layout;
mod rows;
mod stale_partials;
mod store;
mod sync;

pub(crate) use layout::Layout;
pub(crate) use rows::{RowSource, row_fields};
pub(crate) use store::Mirror;
pub(crate) use sync::MirrorSync;
