//! What the user sets: plain settings, and, for the binary only, what the environment holds.

pub(crate) mod credentials;
pub(crate) mod file;
pub(crate) mod file_settings;
pub(crate) mod folders;
pub(crate) mod network;
pub(crate) mod settings;
pub(crate) mod toml_file;
pub(crate) mod toml_sections;
pub(crate) mod variables;
