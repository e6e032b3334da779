//! How many documents are fetched at the same time, and in which order.

pub mod outages;
pub mod permits;
pub mod queue;
