//! Which representation of a document some bytes belong to, as the storage describes it
//! (RFC 9110 sections 3.2 and 8.8).

use crate::http::headers::Checksum;
use serde::{Deserialize, Serialize};

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
    };

    /// This entity as a `later` response describes it. A checksum that was announced before stays, if
    /// both have the same entity tag.
    #[must_use]
    pub(crate) fn updated(&self, later: Self) -> Self {
        let earlier = self.checksum.clone().filter(|_| self.tag == later.tag);
        Self {
            checksum: earlier.or(later.checksum),
            ..later
        }
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
