//! Which representation of a document some bytes belong to, as the storage describes it
//! (RFC 9110 sections 3.2 and 8.8).

use crate::http::headers::Checksum;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// What a response says of the representation that it carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entity {
    /// The entity tag, unchanged, with its quotes and a `W/` where it is weak.
    pub tag: Option<String>,
    /// The length of the whole representation in bytes.
    pub total: Option<u64>,
    /// The file names that the storage gives.
    pub name: StorageNames,
    /// The algorithm and the value of the checksum that the storage announces for the whole
    /// representation.
    pub checksum: Option<(Checksum, Vec<u8>)>,
    /// When the representation changed last, in seconds since 1970 (`Last-Modified`, RFC 9110 section 8.8.2).
    pub last_modified: Option<u64>,
}

impl Entity {
    /// Nothing is known.
    pub(crate) const UNKNOWN: Self = Self {
        tag: None,
        total: None,
        name: StorageNames {
            header: None,
            url: None,
        },
        checksum: None,
        last_modified: None,
    };

    /// This entity as a `later` response describes it. A checksum and a time that were announced before stay,
    /// if both have the same entity tag.
    #[must_use]
    pub(crate) fn updated(&self, later: Self) -> Self {
        let is_same = self.tag == later.tag;
        let earlier = self.checksum.clone().filter(|_| is_same);
        let earlier_time = self.last_modified.filter(|_| is_same);
        Self {
            checksum: earlier.or(later.checksum),
            last_modified: later.last_modified.or(earlier_time),
            ..later
        }
    }

    /// The time for a file with this representation: when the representation changed last, and not later than
    /// `now`.
    pub(crate) fn file_time(&self, now: SystemTime) -> Option<SystemTime> {
        let since_1970 = Duration::from_secs(self.last_modified?);
        let told = SystemTime::UNIX_EPOCH.checked_add(since_1970);
        Some(told.map_or(now, |told| told.min(now)))
    }
}

/// Safe file names that the storage gives a document. Sidecars hold them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StorageNames {
    /// From the `Content-Disposition` header.
    #[serde(rename = "told")]
    pub header: Option<String>,
    /// From the last segment of the URL's path.
    #[serde(rename = "in_url")]
    pub url: Option<String>,
}
