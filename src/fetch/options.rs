//! What the user chooses about how documents are fetched.

use super::target::TargetOptions;
use std::time::Duration;

/// How a [`Fetcher`](crate::Fetcher) fetches documents.
///
/// [`FetchOptions::default`] gives the defaults of the command line; change the fields that differ:
///
/// ```
/// use docfetch::FetchOptions;
///
/// let mut options = FetchOptions::default();
/// options.target.folder = "documents".into();
/// options.jobs = 8;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub struct FetchOptions {
    /// Where documents are written, and how docfetch names the files.
    pub target: TargetOptions,
    /// How many documents are transferred at the same time; 0 counts as 1. Default: 4.
    pub jobs: usize,
    /// How many connections fetch one document. Default: [`Connections::Auto`].
    pub connections: Connections,
    /// Whether docfetch writes the document to standard output instead of a file. Default: no.
    pub stdout: bool,
    /// Which digests docfetch computes, and what they must be. Default: none.
    pub digests: DigestOptions,
    /// Whether docfetch only tells what a fetch would do: it resolves and writes nothing. Default: no.
    pub dry_run: bool,
    /// Whether docfetch continues a partial of an earlier run; else it discards the partial. Default: yes.
    pub resume: bool,
    /// Whether a file gets the storage's `Last-Modified` as its modification time, instead of the time at
    /// which docfetch wrote it. Default: no.
    pub remote_time: bool,
    /// How long docfetch waits while another process fetches the same document; then the document fails
    /// with [`Code::Busy`](crate::Code::Busy). Default: 5 minutes.
    pub busy_timeout: Duration,
    /// The most bytes per second, over all transfers of the fetcher; `None` is no limit, 0 counts as 1.
    /// Default: `None`.
    pub limit_rate: Option<u64>,
    /// Whether a batch of the command line takes up no further document after the first failure. No effect
    /// in [`Fetcher::fetch`](crate::Fetcher::fetch). Default: no.
    pub fail_fast: bool,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            target: TargetOptions::default(),
            jobs: 4,
            connections: Connections::Auto,
            stdout: false,
            digests: DigestOptions::default(),
            dry_run: false,
            resume: true,
            remote_time: false,
            busy_timeout: Duration::from_mins(5),
            limit_rate: None,
            fail_fast: false,
        }
    }
}

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
