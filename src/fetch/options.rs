//! What the user chooses about how documents are fetched.

/// How many connections fetch one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// As many as make the download faster. docfetch measures that during the download.
    Auto,
    /// This many, when the document is large enough.
    Exactly(usize),
}

impl Connections {
    /// The number of connections that a large document certainly has.
    pub fn at_least(self) -> usize {
        match self {
            Self::Auto => 1,
            Self::Exactly(connections) => connections,
        }
    }
}

/// Which digests of a document docfetch computes, and what they must be.
#[derive(Clone, Copy, Debug, Default)]
pub struct DigestOptions {
    /// Compute the SHA-256, for the [`Outcome`](crate::Outcome).
    pub compute_sha256: bool,
    /// The SHA-256 that the document must have. A document with another one is refused.
    pub expected_sha256: Option<[u8; 32]>,
}
