//! What response headers say: ranges, lengths, entity tags, waiting times, checksums, file names.

mod checksum;
pub(crate) mod content_disposition;
mod fields;
mod link;
#[cfg(test)]
pub(super) mod test_headers;
mod text;
mod waiting;

pub(crate) use checksum::{Checksum, ExpectedChecksum, checksum};
pub(crate) use fields::{
    ContentRange, content_coding, content_length, content_range, count, date, end_is_marked,
    entity_tag, is_quoted, is_strong, last_modified, media_type,
};
pub(crate) use link::next_link;
pub(crate) use text::text;
pub(crate) use waiting::{is_rate_limit, rate_limit_reset, retry_after};
