//! The bytes of a presigned URL go into a partial or to standard output. Bytes of another
//! representation of the document never do.

mod body;
pub(crate) mod coding;
mod continuation;
mod digests;
mod html;
mod lengths;
mod pace;
mod progress;
mod response;
mod segments;
mod served;
mod sink;
mod stdout;
mod storage_refusal;
pub(crate) mod web_page;

pub(crate) use body::{Body, BodyEnd};
pub(crate) use digests::{DigestReport, Digests};
pub(crate) use html::{FirstBytes, MAX_SNIFFED_BYTES, sniff};
pub(crate) use lengths::{KnownLengths, other_length};
pub(crate) use pace::Pace;
pub(crate) use progress::MIN_PROGRESS_BYTES;
pub(crate) use response::{StorageAnswer, open};
pub(crate) use segments::{Segments, SegmentsEnd};
pub(crate) use served::is_served;
pub(crate) use sink::Sink;
