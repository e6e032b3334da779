//! What docfetch keeps on disk for itself.

pub mod files;
