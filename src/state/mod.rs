//! What docfetch keeps on disk for itself.

pub(crate) mod blocking;
pub(crate) mod files;
pub(crate) mod journal;
pub(crate) mod lock;
pub(crate) mod records;
