//! What the user set: plain settings, and where credentials are read from.

pub(crate) mod credentials;
pub(crate) mod network;
pub(crate) mod places;
pub(crate) mod settings;
pub(crate) mod variables;
