//! The kinds of documents of a service that has several kinds.

/// The kind of documents to list and fetch, at a provider that has several kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resource {
    /// Documents.
    #[default]
    Documents,
    /// Samples: files with sequencing data.
    Samples,
    /// Assets: files that analyses need in addition to samples.
    Assets,
}

impl Resource {
    /// Every kind.
    pub(crate) const ALL: [Self; 3] = [Self::Documents, Self::Samples, Self::Assets];

    /// The name of the kind in routes, in records and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Samples => "samples",
            Self::Assets => "assets",
        }
    }

    /// The word for one document of this kind.
    pub(crate) fn singular(self) -> &'static str {
        match self {
            Self::Documents => "document",
            Self::Samples => "sample",
            Self::Assets => "asset",
        }
    }
}
