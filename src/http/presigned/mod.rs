//! Presigned URLs: when they expire, and what a storage means when it refuses one.

#[allow(dead_code, reason = "its callers are being written")]
mod document_facts;
mod expiry;
#[allow(dead_code, reason = "its callers are being written")]
mod presigned_url;
mod refusal;
#[allow(dead_code, reason = "its callers are being written")]
mod storage_headers;

pub(crate) use document_facts::DocumentFacts;
pub(crate) use expiry::{expiry_of, start_of};
pub use presigned_url::PresignedUrl;
pub(crate) use refusal::{Refusal, StorageErrorBody};
pub(crate) use storage_headers::StorageHeaders;
