//! What the answer that brought a presigned URL tells of its document.

use crate::http::headers::ExpectedChecksum;
use serde::{Deserialize, Serialize};

/// What an answer of the API tells of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DocumentFacts {
    /// Its file name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Its checksums. All of them must match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checksums: Vec<ExpectedChecksum>,
}

impl DocumentFacts {
    /// Whether nothing is known.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what `other` tells and what is not known yet.
    pub(crate) fn complete(&mut self, other: Self) {
        self.name = self.name.take().or(other.name);
        self.size = self.size.or(other.size);
        for checksum in other.checksums {
            if !self.checksums.contains(&checksum) {
                self.checksums.push(checksum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_stays_when_another_answer_tells_more() {
        let mut facts = DocumentFacts::default();
        assert!(facts.is_empty());
        facts.complete(DocumentFacts {
            name: Some("a.pdf".to_owned()),
            ..DocumentFacts::default()
        });
        facts.complete(DocumentFacts {
            name: Some("b.pdf".to_owned()),
            size: Some(7),
            ..DocumentFacts::default()
        });
        assert_eq!(
            (facts.name.as_deref(), facts.size),
            (Some("a.pdf"), Some(7))
        );
    }
}
