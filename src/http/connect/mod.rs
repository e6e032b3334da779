//! How a connection is made.

pub(crate) mod addresses;
pub(crate) mod connector;
pub(crate) mod gate;
pub(crate) mod idle;
pub(crate) mod preconnect;
