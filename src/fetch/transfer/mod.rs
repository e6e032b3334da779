//! The bytes of a presigned URL arrive in a partial or a pipe, and never bytes of another representation.

pub mod digests;
pub mod pace;
pub mod response;
pub mod segments;
pub mod sink;
pub mod stdout;
pub mod verify;
pub mod web_page;
