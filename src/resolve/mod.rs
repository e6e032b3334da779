//! A document id becomes a presigned URL.
//!
//! [`Resolver`] holds one provider, its base and the credentials, and knows every request that is
//! made to the API: the token, the free metadata, the handoff and the listing. Free requests are
//! repeated by the retry policy; one that may be charged is the [`ledger`]'s to permit.

mod answer;
mod builder;
mod fields;
pub(crate) mod filter;
mod handoff;
pub(crate) mod ledger;
pub(crate) mod listing;
mod page;
pub(crate) mod paid_requests;
mod prefetch;
pub(crate) mod retrieval;
pub(crate) mod row;
mod token;

use crate::active_time;
use crate::error::{Code, Error, Result};
use crate::fingerprint::fingerprint;
use crate::http::backoff::{RetryContext, RetryPolicy};
use crate::http::{ApiRequest, Authorization, BeforeSend, Failure, Http, PresignedUrl, Reply};
use crate::model::DocumentId;
use crate::provider::{Auth, Credentials, MetadataRoute, Provider, Resource};
use crate::secret::{Secret, register_public};
use crate::text::LARGEST_SIZE;
pub use builder::ResolverBuilder;
use ledger::Ledger;
use paid_requests::PaidRequests;
use prefetch::LastStorage;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderName};
use std::time::Duration;
use token::TokenCache;
use url::Url;

/// How long the free metadata may take: it is a convenience.
const METADATA_TIME: Duration = Duration::from_secs(5);
/// How long a hold of the rate budget is waited for where no deadline says it.
const FREE_PATIENCE: Duration = Duration::from_mins(5);
/// A page of a listing is never longer.
const PAGE: usize = 16 << 20;

/// What a provider tells of a document for free.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Its file name.
    pub name: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
}

/// Why a URL is needed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Need<'a> {
    /// The URL before, of which the storage says that it expired.
    pub expired: Option<&'a PresignedUrl>,
    /// The URL before, which the storage refuses though it has not expired. Only `--allow-recharge`
    /// replaces a paid one.
    pub refused: Option<&'a PresignedUrl>,
    /// Whether part of the document is here already.
    pub begun: bool,
}

/// A request with the credential.
struct Ask<'a> {
    method: Method,
    url: Url,
    /// How long a hold of the rate budget may be waited for.
    patience: Duration,
    /// How long the answer may take, where that is less than usual.
    limit: Option<Duration>,
    /// For a request that may be charged: makes its record right before its first byte leaves.
    before_send: Option<&'a mut dyn BeforeSend>,
}

impl Ask<'_> {
    /// A free request.
    fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            patience: FREE_PATIENCE,
            limit: None,
            before_send: None,
        }
    }
}

/// Speaks to one provider's API as one account.
#[derive(Debug)]
pub struct Resolver {
    provider: Provider,
    base: Url,
    credentials: Credentials,
    http: Http,
    token: TokenCache,
    ledger: Ledger,
    paid_requests: PaidRequests,
    storage: LastStorage,
    retry: RetryPolicy,
}

impl Resolver {
    /// A resolver for one account of `provider`.
    pub fn builder(provider: Provider, credentials: Credentials) -> ResolverBuilder {
        ResolverBuilder::new(provider, credentials)
    }

    /// The provider that is spoken to.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// The way to the provider and its storages.
    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    /// Attempts and deadline for one document.
    pub(crate) fn retry(&self) -> RetryContext {
        RetryContext::new(self.retry, active_time::now())
    }

    /// What makes documents of this provider, kind, base and account different from all others: for
    /// hashing, never shown.
    pub fn identity(&self) -> [&[u8]; 3] {
        identity(&self.provider, &self.base, self.credentials.account())
    }

    /// Name and size, where the provider has a free route for them: one attempt, 5 s. A failure is
    /// nothing but less knowledge.
    pub async fn metadata(&self, id: &DocumentId) -> Metadata {
        let Some(route) = &self.provider.metadata else {
            return Metadata::default();
        };
        self.ask_metadata(route, id).await.unwrap_or_else(|error| {
            log::info!("no metadata for {id}: {}", error.message());
            Metadata::default()
        })
    }

    /// Whether the provider may charge for a URL.
    pub fn charges(&self) -> bool {
        self.provider.charges()
    }

    /// Whether a document's name and size must be known before its URL is requested, so that a name that
    /// is taken, or too little room, shows before the provider charges.
    pub fn metadata_first(&self) -> bool {
        self.charges()
    }

    /// Whether a URL may be requested before the document's turn: only where URLs are free.
    pub fn may_prefetch_url(&self) -> bool {
        !self.charges()
    }

    /// Whether a new URL may be requested while the storage still takes the present one: only where URLs
    /// are free.
    pub fn may_request_again(&self) -> bool {
        !self.charges()
    }

    /// Whether a document's metadata and its URL may be requested at the same time: only where the
    /// metadata is of a document, and no rate budget makes one request wait for the other.
    pub fn may_request_with_metadata(&self) -> bool {
        let documents = self.provider.resource.unwrap_or_default() == Resource::Documents;
        self.provider.metadata.is_some() && documents && !self.http.is_limited()
    }

    async fn ask_metadata(&self, route: &MetadataRoute, id: &DocumentId) -> Result<Metadata> {
        let ask = Ask {
            limit: Some(METADATA_TIME), // but what the rate budget asks for is waited for
            ..Ask::new(Method::GET, self.route(route.path, Some(id)))
        };
        let reply = self.authorized(ask).await;
        let reply = reply.map_err(|failure| failure.error)?;
        if reply.status() != 200 {
            return Err(self.refusal(&self.thing(id), reply).await);
        }
        let wanted = [route.name, route.size];
        let json = fields::read(self.provider.title, reply, &wanted, &[]).await?;
        let name = json.pointer(route.name).and_then(serde_json::Value::as_str);
        name.inspect(|name| register_public(name));
        let size = json.pointer(route.size).and_then(serde_json::Value::as_u64);
        Ok(Metadata {
            name: name.map(str::to_owned),
            size: size.filter(|size| *size <= LARGEST_SIZE),
        })
    }

    /// The presigned URL of a document.
    ///
    /// # Errors
    /// [`ChargeUnknown`](Code::ChargeUnknown) when a paid request was sent and not
    /// answered, [`ChargeRefused`](Code::ChargeRefused) when the ledger does not permit
    /// another one, and every code of a refused or failing API.
    pub(crate) async fn resolve(
        &self,
        id: &DocumentId,
        retry: &mut RetryContext,
        need: Need<'_>,
    ) -> Result<PresignedUrl> {
        register_public(id.as_str());
        let url = if self.provider.charged {
            self.retrieve(id, retry, need).await?
        } else {
            loop {
                match self.hand_over(id, retry, None).await {
                    Ok(url) => break url,
                    Err(failure) => retry.wait_after(failure.error).await?,
                }
            }
        };
        self.http.check_url(url.expose()).map_err(|error| {
            if !self.provider.charged {
                return error;
            }
            let note = "the URL was paid for, and is kept for a later run";
            let why = error.cause().map(|why| format!("{why}; {note}"));
            let told = error.with_cause(why.unwrap_or_else(|| note.to_owned()));
            match told.code() {
                Code::InsecureUrl => {
                    told.with_hint(format!("tell the provider; {}", self.given_up(id)))
                }
                _ => told,
            }
        })?;
        Ok(url)
    }

    /// A URL below the base.
    fn route(&self, path: &str, id: Option<&DocumentId>) -> Url {
        let path = match id {
            Some(id) => path.replace("{id}", &id.path_segment()),
            None => path.to_owned(),
        };
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url
    }

    /// Sends a request with the credential. A token that the API refuses is dropped, and the request
    /// sent once more with a new one: a 401 is not charged.
    async fn authorized(&self, mut ask: Ask<'_>) -> Result<Reply, Failure> {
        let mut renewed = false;
        loop {
            let authorization = self.authorization(ask.patience).await;
            let authorization = authorization.map_err(Failure::unsent)?;
            let request = ApiRequest {
                url: ask.url.clone(),
                method: ask.method.clone(),
                authorization: &authorization,
                form: None,
                max_hold: ask.patience,
                answer_limit: ask.limit,
                before_send: ask.before_send.as_deref_mut().map(|hook| hook as _),
            };
            let reply = self.http.api(request).await?;
            let uses_token = matches!(self.provider.auth, Auth::ClientCredentials { .. });
            if reply.status() != 401 || !uses_token || renewed {
                return Ok(reply);
            }
            log::info!(
                "{} refused the token; asking for a new one",
                self.provider.title
            );
            self.token.refuse(&authorization.value).await;
            renewed = true;
        }
    }

    async fn authorization(&self, patience: Duration) -> Result<Authorization, Error> {
        let bearer = |token: &Secret| Authorization {
            header: AUTHORIZATION,
            value: token::bearer(token),
        };
        match (&self.provider.auth, &self.credentials) {
            (Auth::ClientCredentials { token_path, .. }, Credentials::Client { id, secret }) => {
                let token = self
                    .token
                    .get(self, (token_path, patience), id, secret)
                    .await?;
                Ok(bearer(&token))
            }
            (Auth::Key { header, .. }, Credentials::Key(key)) => Ok(Authorization {
                header: HeaderName::from_static(header),
                value: key.clone(),
            }),
            (_, credentials) => Ok(bearer(credentials.account())),
        }
    }

    /// What is asked for, in sentences.
    fn thing(&self, id: &DocumentId) -> String {
        format!("{} {id}", self.provider.thing())
    }

    /// What a status that is no success means, with the API's own words where they are safe.
    async fn refusal(&self, what: &str, reply: Reply) -> Error {
        answer::refusal(&self.provider, what, reply).await
    }
}

/// What tells the records of the account whose credentials are set from those of others, for an API at
/// `base`.
///
/// # Errors
/// Credentials that are missing or cannot be used, a base that is no URL.
pub(crate) fn account_of(provider: &Provider, base: &str) -> Result<String> {
    let credentials = provider.environment_credentials()?;
    let base = Url::parse(base).map_err(|error| Error::new(Code::Usage, error.to_string()))?;
    let identity = identity(provider, &base, credentials.account());
    Ok(fingerprint(&identity))
}

fn identity<'a>(provider: &Provider, base: &'a Url, account: &'a Secret) -> [&'a [u8]; 3] {
    let account = account.expose().as_bytes();
    [
        provider.identity.as_bytes(),
        base.as_str().as_bytes(),
        account,
    ]
}
