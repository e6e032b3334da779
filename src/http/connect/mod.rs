//! How a connection is made.

pub mod addresses;
pub mod connector;
pub mod gate;
pub mod idle;
pub mod preconnect;
