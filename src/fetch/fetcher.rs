//! Fetches documents from one provider.

use super::batch::BatchLimits;
use super::batch::Outages;
use super::engine::{DocumentFetch, FetchContext, Job};
use super::events::Progress;
use super::open_files::Concurrency;
use super::options::FetchOptions;
use super::outcome::Outcome;
use super::target::ClaimedPaths;
use crate::error::{Code, Error, Result};
use crate::interrupt::Interrupt;
use crate::model::DocumentId;
use crate::resolve::PaidRequests;
use crate::resolve::Resolver;
use std::sync::atomic::{AtomicU64, Ordering};

/// Fetches documents from one provider, in one batch: two documents of a fetcher never share a file, and
/// all of them together stay within [`FetchOptions::jobs`] and [`FetchOptions::limit_rate`].
///
/// ```
/// use docfetch::sandbox::{Document, Sandbox};
/// use docfetch::{Credentials, FetchOptions, Fetcher, Provider, Resolver, Secret, Unwatched};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let sandbox = Sandbox::start(vec![Document::new("report.pdf", "%PDF-1.7").with_id("r1")], vec![]).await?;
/// let (id, secret) = sandbox.client();
/// let credentials = Credentials::Client {
///     id: Secret::new(id),
///     secret: Secret::new(secret),
/// };
/// let resolver = Resolver::builder(Provider::shipped("sm")?, credentials)
///     .base(sandbox.base())
///     .build()?;
///
/// let mut options = FetchOptions::default();
/// options.target.folder = "documents".into();
/// # options.target.folder = folder.path().into();
/// let fetcher = Fetcher::new(resolver, options);
/// let id = fetcher.resolver().provider().document_id("r1")?;
/// let outcome = fetcher.fetch(id, &Unwatched).await?;
/// assert_eq!(outcome.name.as_deref(), Some("report.pdf"));
/// assert_eq!(outcome.bytes, Some(8));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Fetcher {
    context: FetchContext,
    limits: BatchLimits,
    /// The number of the next document of [`Fetcher::fetch`].
    next_order: AtomicU64,
}

impl Fetcher {
    /// Makes a fetcher. When the system allows too few open files, the fetcher lowers
    /// [`FetchOptions::jobs`] and [`FetchOptions::connections`]. 0 jobs count as 1.
    pub fn new(resolver: Resolver, mut options: FetchOptions) -> Self {
        let jobs = options.jobs.max(1);
        let concurrency = Concurrency::within_open_files(jobs, options.connections);
        (options.jobs, options.connections) = (concurrency.jobs, concurrency.connections);
        Self {
            limits: BatchLimits::new(concurrency.jobs, concurrency.prefetch),
            context: FetchContext::new(resolver, options),
            next_order: AtomicU64::default(),
        }
    }

    /// Fetches one document and tells `progress` of its course. A program may call this for several
    /// documents at the same time; documents take their file names in the order in which the program first
    /// polls the futures. The futures are not [`Send`]: join them on one task.
    ///
    /// docfetch tries everything that can fail for free before it sends a request that may be charged. After
    /// a success the file is complete, verified and on disk. When a program drops the future, the partial
    /// stays on disk, and a later call continues the partial.
    ///
    /// At a provider that charges, do not drop this future: a paid request that has left is then in doubt.
    ///
    /// # Errors
    /// Every [`Code`] but [`Code::Usage`] and [`Code::Interrupted`]; see there for what each of them means.
    /// After an error docfetch has published no incomplete file. With
    /// [`IfExists::Overwrite`](crate::IfExists::Overwrite), a failed sync of the folder leaves the new file
    /// in place.
    pub async fn fetch(&self, id: DocumentId, progress: &dyn Progress) -> Result<Outcome> {
        let order = self.next_order.fetch_add(1, Ordering::Relaxed);
        let interrupt = Interrupt::never();
        let document = DocumentFetch {
            outages: None,
            ..self.document(order, id.into(), progress, &interrupt)
        };
        let mut permit = self.limits.next().await;
        let ended = document.fetch(&mut permit).await;
        let closed = || Error::new(Code::Unexpected, "the batch of the document has ended");
        ended.ok_or_else(closed)?.result
    }

    /// Resolves the documents.
    pub fn resolver(&self) -> &Resolver {
        &self.context.resolver
    }

    /// How the fetcher fetches documents.
    pub fn options(&self) -> &FetchOptions {
        &self.context.options
    }

    /// The paths that documents of the batch have.
    pub(crate) fn claimed(&self) -> &ClaimedPaths {
        &self.context.claimed
    }

    /// The name of the document in the names of its partials.
    pub(crate) fn partial_name(&self, job: &Job) -> String {
        self.context.partial_name(job)
    }

    /// The limits of the batch, and the documents that wait for others.
    pub(crate) fn limits(&self) -> (&BatchLimits, &Outages) {
        (&self.limits, &self.context.outages)
    }

    /// Whether the batch sends no further paid request.
    pub(crate) fn has_stopped(&self) -> bool {
        let paid_requests = self.context.resolver.paid_requests();
        paid_requests.is_some_and(PaidRequests::is_stopped)
    }

    /// Takes up the batch's `order`-th document. Call this in ascending `order`; run the fetches at any time.
    pub(crate) fn document<'a>(
        &'a self,
        order: u64,
        job: Job,
        progress: &'a dyn Progress,
        interrupt: &'a Interrupt,
    ) -> DocumentFetch<'a> {
        DocumentFetch {
            context: &self.context,
            ticket: self.context.claimed.ticket(order),
            job,
            progress,
            interrupt,
            outages: Some(&self.context.outages),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::events::Unwatched;
    use crate::provider::{Credentials, Provider};
    use crate::sandbox::{Document, Sandbox};
    use crate::secret::Secret;

    async fn sandbox() -> Sandbox {
        let documents = vec![Document::new("a.pdf", "%PDF-1.7").with_id("a1")];
        Sandbox::start(documents, Vec::new()).await.unwrap()
    }

    /// A fetcher of One Codex, which charges, with this number of jobs.
    fn fetcher(sandbox: &Sandbox, folder: &std::path::Path, jobs: usize) -> Fetcher {
        let key = Credentials::Key(Secret::new(sandbox.api_key()));
        let resolver = Resolver::builder(Provider::shipped("onecodex").unwrap(), key)
            .base(sandbox.base())
            .state_folder(folder.join("state"))
            .build()
            .unwrap();
        let mut options = FetchOptions {
            jobs,
            ..FetchOptions::default()
        };
        options.target.folder = folder.join("documents");
        Fetcher::new(resolver, options)
    }

    #[tokio::test]
    async fn a_fetcher_without_jobs_fetches_one_document_at_a_time() {
        let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
        let fetcher = fetcher(&sandbox, folder.path(), 0);
        assert_eq!(fetcher.options().jobs, 1);
        let id = DocumentId::parse("a1", None).unwrap();
        let outcome = fetcher.fetch(id, &Unwatched).await.unwrap();
        assert_eq!((outcome.bytes, outcome.charged), (Some(8), Some(true)));
    }

    #[tokio::test]
    async fn a_fetch_of_a_url_that_the_program_paid_for_is_not_charged() {
        let (sandbox, folder) = (sandbox().await, tempfile::tempdir().unwrap());
        let fetcher = fetcher(&sandbox, folder.path(), 1);
        let id = DocumentId::parse("a1", None).unwrap();
        fetcher.resolver().resolve(&id).await.unwrap();
        let outcome = fetcher.fetch(id, &Unwatched).await.unwrap();
        assert_eq!(outcome.charged, Some(false));
        assert_eq!(sandbox.report().charges.values().sum::<u32>(), 1);
    }
}
