//! How many documents are fetched at the same time, and in which order. Requests nothing and opens no file.

mod outages;
mod permits;
mod queue;
mod source;

pub(crate) use outages::{AfterFailure, Outages, Probe};
pub(crate) use permits::{BatchLimits, BatchPermit};
pub(crate) use queue::{BatchTask, FetchEnd, Queue, QueueEnd};
pub(crate) use source::{BatchItem, DistinctSource, Source};
