//! What the answer that brought a presigned URL tells of its document.

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
            size: None,
        });
        facts.complete(DocumentFacts {
            name: Some("b.pdf".to_owned()),
            size: Some(7),
        });
        assert_eq!(
            (facts.name.as_deref(), facts.size),
            (Some("a.pdf"), Some(7))
        );
    }
}
