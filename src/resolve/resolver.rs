//! [`Resolver`]: what the layers above may request from a provider.

use super::account::identity;
use super::api::Api;
use super::api_bytes::ApiAnswer;
use super::filter::Filter;
use super::free_steps::StepRun;
use super::last_storage::LastStorage;
use super::ledger::ActiveDocument;
use super::ledger::table::State;
use super::listing::{self, ListOptions, Pages};
use super::lookup;
use super::metadata::{self, Metadata};
use super::paid_errors;
use super::paid_requests::PaidRequests;
use super::request::ResolveRequest;
use super::retrieval::{Cost, PaidRetrievals};
use super::side_list::SideLists;
use crate::active_time;
use crate::error::{Code, Error, Result};
use crate::http::backoff::{RetryContext, RetryPolicy};
use crate::http::{ApiDownload, Http, PresignedUrl, RangeRequest};
use crate::model::DocumentId;
use crate::provider::Provider;
use crate::secret::register_public;
use std::time::Duration;

/// Turns document ids into presigned URLs, at one provider and for one account.
///
/// A resolver sends the requests to the provider's API: for an access token, for a document's name and
/// size, for its URL, and for lists of documents. The resolver retries a free request as
/// [`Connection`](crate::Connection) says, and keeps to the provider's rate budget.
///
/// At a provider that charges, a resolver sends one paid request for a document, and records that request
/// in the state folder before the first byte leaves. All resolvers of one account that use the same state
/// folder, also those of other processes, share that record.
///
/// ```
/// use docfetch::sandbox::{Document, Sandbox};
/// use docfetch::{Credentials, Provider, Resolver, Secret};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let sandbox = Sandbox::start(vec![Document::new("a.pdf", "%PDF-1.7").with_id("a1")], vec![]).await?;
/// let provider = Provider::shipped("onecodex")?;
/// let id = provider.document_id("a1")?;
/// let key = Credentials::Key(Secret::new(sandbox.api_key()));
/// let resolver = Resolver::builder(provider, key)
///     .base(sandbox.base())
///     .state_folder(folder.path())
///     .build()?;
/// let url = resolver.resolve(&id).await?; // one paid request
/// let again = resolver.resolve(&id).await?; // the recorded URL
/// assert_eq!(url.expose(), again.expose());
/// assert_eq!(sandbox.report().charges.values().sum::<u32>(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Resolver {
    pub(super) api: Api,
    pub(super) paid: PaidRetrievals,
    pub(super) last_storage: LastStorage,
    pub(super) side_lists: SideLists,
    pub(super) retry: RetryPolicy,
}

impl Resolver {
    /// The provider.
    pub fn provider(&self) -> &Provider {
        &self.api.provider
    }

    /// Requests the presigned URL of a document.
    ///
    /// At a provider that charges, this costs one paid retrieval, unless the state folder has the URL of an
    /// earlier one: then the resolver returns that URL, even past its end, since only the storage knows
    /// whether the URL expired. Give such a URL to [`Resolver::resolve_again`]. Call
    /// [`Resolver::delivered`] when the document is complete. At a provider that charges, do not drop this
    /// future: a paid request that has left is then in doubt.
    ///
    /// # Errors
    /// [`Code::ChargeUnknown`](crate::Code::ChargeUnknown) when a paid request left and no answer brought a
    /// URL. [`Code::ChargeRefused`](crate::Code::ChargeRefused) when the ledger permits no request.
    /// [`Code::Config`](crate::Code::Config) when no header can carry the credential, or the base has no
    /// API. [`Code::Unexpected`](crate::Code::Unexpected) for a bug. Otherwise every code of exit codes 3, 4,
    /// 5, 7 and 9: the API refuses, cannot be reached in time, or hands over an unsafe URL.
    pub async fn resolve(&self, id: &DocumentId) -> Result<PresignedUrl> {
        self.resolve_apart(id, ResolveRequest::default()).await
    }

    /// Requests a new URL of a document, because the storage says that the URL `expired` expired.
    ///
    /// At a provider that charges, this is another paid retrieval. The resolver requests one only when the
    /// document was [delivered](Resolver::delivered), or
    /// [`Connection::allow_recharge`](crate::Connection) permits that.
    ///
    /// # Errors
    /// As [`Resolver::resolve`].
    pub async fn resolve_again(
        &self,
        id: &DocumentId,
        expired: &PresignedUrl,
    ) -> Result<PresignedUrl> {
        let request = ResolveRequest {
            expired: Some(expired),
            ..ResolveRequest::default()
        };
        self.resolve_apart(id, request).await
    }

    /// [`Resolver::resolve_within`], apart from any fetch: a later fetch of the document does not report
    /// this request as its own.
    async fn resolve_apart(
        &self,
        id: &DocumentId,
        request: ResolveRequest<'_>,
    ) -> Result<PresignedUrl> {
        let request = ResolveRequest {
            needs_url: true,
            ..request
        };
        let resolved = self.resolve_within(id, &mut self.retry(), request).await;
        self.paid.requests.take_charged(id);
        resolved
    }

    /// Records that a document is complete, by `url`; by the recorded URL if that is none. At a provider
    /// that charges, a later run may then pay for the document anew.
    pub async fn delivered(&self, id: &DocumentId, url: Option<&PresignedUrl>) {
        if self.charges() {
            self.paid.ledger.delivered(id, url).await;
        }
        if let Some(url) = url {
            self.last_storage.record(url).await;
        }
    }

    /// [`Resolver::resolve`], as a part of what `retry` counts.
    ///
    /// # Errors
    /// As [`Resolver::resolve`].
    pub(crate) async fn resolve_within(
        &self,
        id: &DocumentId,
        retry: &mut RetryContext,
        request: ResolveRequest<'_>,
    ) -> Result<PresignedUrl> {
        register_public(id.as_str());
        let (api, ledger) = (&self.api, &self.paid.ledger);
        if request.needs_url {
            api.check_hands_over_urls(id)?;
        }
        if !self.charges() {
            let resolving = self.resolve_free(id, retry, request.needs_url);
            return Box::pin(resolving).await;
        }
        let preconnect = |url: &PresignedUrl| {
            // Several documents share the connections of their transfers.
            if ledger.run().has_single_document() {
                self.last_storage.preconnect_unknown(&api.http, url);
            }
        };
        let resolving = self.paid.resolve(api, id, retry, request, preconnect);
        let url = Box::pin(resolving).await?;
        let checked = api.http.check_url(url.expose());
        checked.map_err(|error| paid_errors::unusable_url(ledger, id, error))?;
        Ok(url)
    }

    /// Sends the requests of steps that are all free.
    async fn resolve_free(
        &self,
        id: &DocumentId,
        retry: &mut RetryContext,
        needs_url: bool,
    ) -> Result<PresignedUrl> {
        let steps = &self.provider().table.resolve;
        let mut run = StepRun::new(&self.api, id, self.paid.wait, needs_url);
        let url = run.run(steps, retry).await?;
        // docfetch reads a table only when its last step has a URL.
        let url = url.ok_or_else(|| Error::new(Code::Unexpected, "no step brought a URL"))?;
        self.http().check_url(url.expose())?;
        Ok(url)
    }

    /// Name and size of a document where the provider has a free route for them: one request of 5 s at
    /// most. A failure leaves both unknown, and is in [`Metadata::failure`].
    pub(crate) async fn metadata(&self, id: &DocumentId) -> Metadata {
        Box::pin(metadata::metadata(&self.api, id)).await
    }

    /// `listed` with the checksums that the metadata tell, where a list told name and size.
    pub(crate) async fn with_checksums(&self, id: &DocumentId, listed: Metadata) -> Metadata {
        let route = self.provider().table.metadata.as_ref();
        let tells_checksums = route.is_some_and(|route| !route.checksums.is_empty());
        if !listed.is_listed || !tells_checksums {
            return listed;
        }
        let checksums = self.metadata(id).await.checksums;
        Metadata {
            checksums,
            ..listed
        }
    }

    /// Requests the bytes of a document, or a range of them, from the API that sends them itself.
    ///
    /// # Errors
    /// [`Code::NotReady`] for a document that the service calls not ready, after `--wait`; every code of an API that
    /// refuses, cannot be reached, or redirects to a URL that cannot be used.
    pub(crate) async fn request_bytes(
        &self,
        download: &ApiDownload,
        range: Option<RangeRequest<'_>>,
        retry: &mut RetryContext,
    ) -> Result<ApiAnswer> {
        let wait = self.paid.wait;
        Box::pin(self.api.request_bytes(download, range, retry, wait)).await
    }

    /// Refuses a document that has no presigned URL, because the API itself sends its bytes.
    ///
    /// # Errors
    /// [`Code::Usage`].
    pub(crate) fn check_hands_over_urls(&self, id: &DocumentId) -> Result<()> {
        self.api.check_hands_over_urls(id)
    }

    /// Replaces names in `filter`, such as the name of a tag, by the ids that the provider knows.
    ///
    /// # Errors
    /// [`Code::Usage`](crate::Code::Usage) for a name that nothing has, or that several things have; every code of
    /// an API that refuses or cannot be reached in time.
    pub(crate) async fn with_ids(&self, mut filter: Filter) -> Result<Filter> {
        lookup::with_ids(&self.api, self.retry, &self.side_lists, &mut filter).await?;
        Ok(filter)
    }

    /// Starts a list of the documents that match `filter`, which [`Filter::check`] accepts.
    ///
    /// # Errors
    /// [`Code::Usage`](crate::Code::Usage) for a provider without a list, and for a value that a request cannot carry.
    pub(crate) fn list<'a>(
        &'a self,
        filter: &'a Filter,
        options: ListOptions,
    ) -> Result<Pages<'a>> {
        listing::list(&self.api, self.retry, &self.side_lists, filter, options)
    }

    /// Connects to the storage that this account used last, once in a run. Nothing is sent on that
    /// connection, and a failure has no effect. Does nothing where a proxy serves that storage, or the
    /// address rules forbid it.
    pub(crate) fn preconnect(&self) {
        self.last_storage.preconnect(&self.api.http);
    }
}

/// What may be done, and what a document would cost.
impl Resolver {
    /// Whether the provider may charge for a URL. Then a document's name and size must be known before its URL
    /// is requested, so that a name that is taken, or too little room, shows before the provider charges.
    pub(crate) fn charges(&self) -> bool {
        self.provider().charges()
    }

    /// Whether URLs are free. Then a URL may be requested before the document's turn, and a new one while the
    /// storage still takes the present one.
    pub(crate) fn has_free_urls(&self) -> bool {
        !self.charges()
    }

    /// Whether a document's metadata and its URL may be requested at the same time: only for the
    /// first kind of a table, and where no rate budget makes one request wait for the other.
    pub(crate) fn may_request_with_metadata(&self) -> bool {
        let provider = self.provider();
        let has_metadata = provider.table.metadata.is_some();
        has_metadata && provider.is_default_kind() && !self.http().is_limited()
    }

    /// Whether `--allow-recharge` permits another paid retrieval of a document in this run.
    pub(crate) fn may_recharge(&self, id: &DocumentId) -> bool {
        self.charges() && self.paid.ledger.run().may_recharge(id)
    }

    /// What a real run would pay for the URL of a document. None where the provider never charges.
    ///
    /// # Errors
    /// [`Code::ChargeRefused`](crate::Code::ChargeRefused) when the record cannot be trusted.
    pub(crate) fn foresee(
        &self,
        id: &DocumentId,
        request: ResolveRequest<'_>,
    ) -> Result<Option<Cost>> {
        let cost = || self.paid.foresee(&self.api, id, request);
        self.charges().then(cost).transpose()
    }
}

/// What the layers above share with the resolver.
impl Resolver {
    /// The way to the provider and its storages.
    pub(crate) fn http(&self) -> &Http {
        &self.api.http
    }

    /// The attempts and the deadline of one document, which start now.
    pub(crate) fn retry(&self) -> RetryContext {
        RetryContext::new(self.retry, active_time::now())
    }

    /// What tells the documents of this provider, kind, API base and account from all others. Only a
    /// fingerprint of these is stored; they are never shown.
    pub(crate) fn identity(&self) -> [&[u8]; 3] {
        identity(&self.api.provider, &self.api.base, &self.api.account)
    }

    /// The paid requests of this run; none where the provider never charges.
    pub(crate) fn paid_requests(&self) -> Option<&PaidRequests> {
        self.charges().then_some(&self.paid.requests)
    }

    /// Counts a document that this run is fetching: records of several are written at the same time.
    pub(crate) fn count_active(&self) -> ActiveDocument<'_> {
        self.paid.ledger.run().count_active()
    }

    /// Whether a paid request for a document may have left and is not answered.
    pub(crate) fn is_pending(&self, id: &DocumentId) -> bool {
        self.paid.ledger.run().is_pending(id)
    }

    /// How long the paid URL of a document that was not delivered stays valid; none where there is none.
    pub(crate) fn paid_url_time_left(&self, id: &DocumentId) -> Option<Duration> {
        let record = self.paid.ledger.find(id).ok()?.record?;
        let is_answered = record.state == State::Answered;
        let left = record.url_time_left(self.http().clock().best())?;
        Some(left).filter(|_| is_answered)
    }

    /// The failure of a document with a hint about its paid retrieval, if it has one. `resolved` when this
    /// run had a URL of the document.
    pub(crate) fn with_charge_hint(&self, id: &DocumentId, error: Error, resolved: bool) -> Error {
        if !self.charges() {
            return error;
        }
        let now = self.http().clock().best();
        paid_errors::with_charge_hint(&self.paid.ledger, id, error, resolved, now)
    }
}
