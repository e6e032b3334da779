//! What docfetch keeps on disk for itself.

pub mod blocking;
pub mod files;
pub mod journal;
pub mod lock;
pub mod records;
