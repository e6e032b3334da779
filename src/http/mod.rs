//! Requests that may fail: whom they are sent to, how often, how patiently, and what an answer means.

pub mod backoff;
pub mod budget;
pub mod client;
pub mod clock;
pub mod connect;
pub mod content_disposition;
pub mod expiry;
pub mod failure;
pub mod headers;
pub mod presigned;
pub mod send;
pub mod stall;
