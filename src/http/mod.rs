//! Requests that may fail: whom they are sent to, how often, how patiently, and what an answer means.

pub(crate) mod backoff;
pub(crate) mod budget;
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod connect;
pub(crate) mod content_disposition;
pub(crate) mod expiry;
pub(crate) mod failure;
pub(crate) mod headers;
pub(crate) mod presigned;
pub(crate) mod send;
pub(crate) mod stall;
