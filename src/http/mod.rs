//! Requests that may fail: to the API of a provider, and to the storages that the API names.
//!
//! [`Http`] sends them. It keeps the rate budget, the address rules and the time limits, and its errors show
//! no URL. A request is sent once: [`backoff`] decides about retries, and the caller repeats the request.

mod api;
pub(crate) mod backoff;
mod budget;
mod client;
mod clock;
mod coding;
mod connect;
mod failure;
pub(crate) mod handed_over;
pub(crate) mod headers;
mod peer;
pub(crate) mod presigned;
mod proxy_failure;
mod reply;
mod send;
mod service;
mod shown_url;
mod stall;
mod storage;
mod time_limits;
mod tunnel_refusal;

pub(crate) use api::{ApiRequest, Authorization, RequestBody, RequestedBytes};
#[cfg(any(feature = "internals", all(test, feature = "cli")))]
pub(crate) use budget::fuzz;
#[cfg(test)]
pub(crate) use clock::ServerClock;
pub(crate) use connect::BeforeSend;
pub(crate) use failure::Failure;
pub use presigned::PresignedUrl;
pub(crate) use presigned::{ApiDownload, DocumentFacts, StorageHeaders};
pub(crate) use reply::{ReadEnd, Reply};
pub(crate) use service::Http;
pub(crate) use shown_url::{shown_host, shown_status};
pub(crate) use stall::StallWatch;
pub(crate) use storage::RangeRequest;
