//! A folder that holds every listed document.

pub(crate) mod layout;
pub(crate) mod store;
