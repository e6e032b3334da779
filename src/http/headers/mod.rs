//! What response headers say: ranges, lengths, entity tags, waiting times, checksums, file names.

mod checksum;
pub(crate) mod content_disposition;
mod fields;
#[cfg(test)]
mod test_headers;
mod text;

pub(crate) use checksum::{Checksum, checksum};
pub(crate) use fields::{
    ContentRange, content_length, content_range, count, date, end_is_marked, entity_tag, is_quoted,
    is_strong, last_modified, location, media_type, retry_after,
};
pub(crate) use text::text;
