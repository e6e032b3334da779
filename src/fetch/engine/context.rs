//! What the fetches of one batch share.

use super::job::Job;
use crate::fetch::batch::Outages;
use crate::fetch::options::FetchOptions;
use crate::fetch::target::{ClaimedPaths, RenameProofs, TargetOptions};
use crate::fetch::transfer::Pace;
use crate::fingerprint::fingerprint;
use crate::resolve::Resolver;
use std::sync::Arc;

/// What the fetches of one batch share.
#[derive(Debug)]
pub(crate) struct FetchContext {
    /// Resolves the documents.
    pub resolver: Resolver,
    /// How documents are fetched.
    pub options: FetchOptions,
    /// Where documents are written, unless their [`Job`] says otherwise.
    pub target: Arc<TargetOptions>,
    /// The paths that documents of the batch have.
    pub claimed: ClaimedPaths,
    /// The storage hosts from which paid documents do not arrive.
    pub outages: Outages,
    /// The folders in which docfetch has renamed a file.
    pub rename_proofs: RenameProofs,
    /// The rate limit over all transfers.
    pub pace: Pace,
}

impl FetchContext {
    /// The context of a batch of which nothing was fetched yet.
    pub(crate) fn new(resolver: Resolver, options: FetchOptions) -> Self {
        Self {
            resolver,
            target: Arc::new(options.target.clone()),
            claimed: ClaimedPaths::default(),
            outages: Outages::default(),
            rename_proofs: RenameProofs::default(),
            pace: Pace::new(options.limit_rate),
            options,
        }
    }

    /// The name of the document's partial: a hash of provider, base, account, id, the `-o` path when the
    /// user gave one, and the version when it is known. So a later run finds the partial before it knows
    /// the document's name.
    pub(crate) fn partial_name(&self, job: &Job) -> String {
        let [provider, base, account] = self.resolver.identity();
        let file = self.target.file.as_deref();
        let file = file.map(|file| file.as_os_str().as_encoded_bytes());
        let file = file.unwrap_or_default();
        let id = job.id.as_str().as_bytes();
        match &job.version {
            Some(version) => fingerprint(&[provider, base, account, id, file, version.as_bytes()]),
            None => fingerprint(&[provider, base, account, id, file]),
        }
    }
}
