//! Requests that may fail: who is spoken to, how often, how patiently, and what an answer means.

pub mod addresses;
pub mod ahead;
pub mod backoff;
pub mod budget;
pub mod client;
pub mod clock;
pub mod connector;
pub mod content_disposition;
pub mod expiry;
pub mod failure;
pub mod gate;
pub mod headers;
pub mod lines;
pub mod presigned;
pub mod send;
pub mod stall;
