//! What the user set: plain settings, and where credentials are read from.

pub mod credentials;
pub mod places;
pub mod settings;
pub mod variables;
