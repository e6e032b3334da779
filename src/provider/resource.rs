//! The kinds of things that one service hands out by routes of the same shape.

/// What is listed and fetched where a service has several kinds of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resource {
    /// Documents.
    #[default]
    Documents,
    /// Samples: the sequencing data itself.
    Samples,
    /// Assets: what analyses need beside the data.
    Assets,
}

impl Resource {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Documents, Self::Samples, Self::Assets];

    /// Its name in routes, records and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Samples => "samples",
            Self::Assets => "assets",
        }
    }

    /// The other kind that a URI such as `/api/v1/samples/ID` is of.
    pub(super) fn other_in(self, uri: &str) -> Option<Self> {
        let is_of = |kind: &Self| uri.split('/').rev().nth(1) == Some(kind.name());
        Self::ALL
            .into_iter()
            .find(is_of)
            .filter(|kind| *kind != self)
    }

    /// One of them, in sentences.
    pub fn one(self) -> &'static str {
        match self {
            Self::Documents => "document",
            Self::Samples => "sample",
            Self::Assets => "asset",
        }
    }
}
