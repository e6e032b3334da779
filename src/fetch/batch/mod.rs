//! How many documents are fetched at the same time, and in which order.

pub(crate) mod outages;
pub(crate) mod permits;
pub(crate) mod queue;
