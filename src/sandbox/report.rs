//! What a sandbox counts.

use std::collections::BTreeMap;

/// What happened at a [`Sandbox`](super::Sandbox) since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// How often each document was retrieved in a way that One Codex charges. The key is the id; for samples
    /// and assets it is `samples/ID` and `assets/ID`.
    pub charges: BTreeMap<String, u32>,
    /// OAuth access tokens that the API issued.
    pub tokens: u32,
    /// Redirects to the storage that the download route of Standard Metrics answered with.
    pub downloads: u32,
    /// Requests that the API refused because they exceeded its rate limit.
    pub rate_limited: u32,
    /// Requests to the storage.
    pub storage_requests: u32,
    /// Bytes of documents that the storage sent.
    pub storage_bytes: u64,
    /// Requests to the storage that carried a credential, a cookie or a `Referer`.
    pub leaks: u32,
    /// Requests to the API and to the storage.
    pub requests: u32,
    /// The largest number of requests that were open at the same time, at the API and the storage together. A
    /// request is open from the arrival of its head until the last byte of its answer was sent.
    pub max_open_requests: u32,
    /// The largest number of requests that were open at the storage at the same time.
    pub max_open_storage_requests: u32,
    /// Connections that the storage accepted.
    pub storage_connections: u32,
    /// The largest number of requests to Standard Metrics within ten seconds. Refused requests count.
    pub max_requests_in_ten_seconds: u32,
}
