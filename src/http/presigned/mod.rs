//! Presigned URLs: when they expire, and what a storage means when it refuses one.

mod expiry;
mod presigned_url;
mod refusal;

pub(crate) use expiry::{expiry_of, start_of};
pub use presigned_url::PresignedUrl;
pub(crate) use refusal::{Refusal, StorageErrorBody};
