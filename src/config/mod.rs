//! What the user sets: plain settings, and, for the binary only, what the environment holds.

pub(crate) mod credentials;
pub(crate) mod folders;
pub(crate) mod network;
pub(crate) mod settings;
pub(crate) mod variables;
