//! Presigned URLs: when they expire, and what a storage means when it refuses one.

mod api_download;
mod document_facts;
mod expiry;
mod presigned_url;
mod refusal;
mod storage_headers;

pub(crate) use api_download::ApiDownload;
pub(crate) use document_facts::DocumentFacts;
pub(crate) use expiry::{expiry_of, start_of};
pub use presigned_url::PresignedUrl;
pub(crate) use refusal::{Refusal, StorageErrorBody};
pub(crate) use storage_headers::StorageHeaders;
