//! A folder that holds every listed document.

pub mod layout;
pub mod store;
