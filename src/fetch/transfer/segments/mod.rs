//! One document over several connections, which send range requests at the same time.
//!
//! The caller passes the first response. When the user wants more connections, or more
//! connections make the download faster ([`growth`]), docfetch cuts the missing bytes into segments. Each
//! connection fetches one segment after another, in the order of the document, so that the digests can
//! follow. When a segment breaks or stalls, its bytes are missing again, and a connection requests them
//! again. Every response must belong to the same representation: docfetch compares its entity tag, its
//! total and its range. docfetch writes each piece to its place as soon as the piece arrives, so that
//! memory holds no more than one piece for each connection.
//!
//! A document arrives without segments too: when they fail, the caller requests the rest in one piece.

mod assignment;
mod connection;
mod driver;
mod failures;
mod growth;
mod missing;
mod state;

use crate::error::Error;
use crate::fetch::options::Connections;
use crate::fetch::partial::Partial;
use crate::fetch::transfer::body::{Body, BodyEnd};
use crate::fetch::transfer::pace::Pace;
use crate::http::PresignedUrl;
use crate::http::headers::is_strong;
use crate::resolve::Resolver;
use missing::MIN_SEGMENT_BYTES;

/// Where the segments of a document come from, and how many connections fetch them.
pub(crate) struct Segments<'a> {
    /// Sends the requests.
    pub resolver: &'a Resolver,
    /// The document's URL.
    pub url: &'a PresignedUrl,
    /// The limit of the bytes per second.
    pub pace: &'a Pace,
    /// How many connections the user wants.
    pub connections: Connections,
    /// How many documents docfetch fetches at the same time.
    pub jobs: usize,
    /// Whether another URL may cost money. docfetch then requests all missing bytes at once, and requests
    /// none in the last minute of the URL.
    pub charged: bool,
}

/// How the segments ended, after every response that was open has been read.
#[derive(Debug)]
pub(crate) enum SegmentsEnd {
    /// The same as one body would have.
    Body(BodyEnd),
    /// The document changed. Says how docfetch knows.
    Changed(&'static str),
    /// The storage sends no ranges of this document.
    NoRanges,
    /// The URL has expired.
    Expired,
    /// The storage does not have the document at the moment.
    NotFound(Error),
}

impl Segments<'_> {
    /// Whether segments are worthwhile for the rest of a document whose next bytes are in `body`: when the
    /// partial has holes, or the rest is long enough for more than one connection.
    pub(crate) fn are_worthwhile_for(&self, body: &Body, partial: &Partial) -> bool {
        let tag = body.entity.tag.as_deref();
        let Some(total) = body.entity.total.filter(|_| tag.is_some_and(is_strong)) else {
            return false;
        };
        let has_holes = partial.held() > partial.position();
        let is_long = total.saturating_sub(partial.held()) >= 2 * MIN_SEGMENT_BYTES;
        has_holes || (is_long && self.connections != Connections::Exactly(1))
    }
}
