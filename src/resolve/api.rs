//! Requests to a provider's API, with the credential of one account.

use super::answer;
use super::base_hint::{other_base, with_base_hint};
use super::credential::{Credential, bearer};
use super::table_request::{self, route};
use crate::error::{Code, Error};
use crate::http::BeforeSend;
use crate::http::Failure;
use crate::http::{ApiRequest, Authorization, Http, Reply, RequestBody, RequestedBytes};
use crate::model::DocumentId;
use crate::provider::{
    Credentials, Pointers, Provider, RequestTemplate, SlotValues, SourcedCredentials,
};
use crate::secret::Secret;
use crate::state::records::StateFolder;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use url::Url;

/// How long a free request waits for a hold of the rate budget where no deadline limits the wait.
const MAX_HOLD_WAIT: Duration = Duration::from_mins(5);

/// A provider's API as one account sees it.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) provider: Provider,
    pub(super) base: Url,
    pub(super) http: Http,
    pub(super) account: Secret,
    /// Whether the account stays the same when the credential changes.
    has_lasting_account: bool,
    /// Where the credentials come from, for hints.
    credential_source: String,
    pub(super) credential: Credential,
}

/// A request to the API.
pub(super) struct ApiCall<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    /// Further headers.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub(super) body: Option<RequestBody>,
    /// For a request whose answer is a document's bytes: which of them.
    pub(super) bytes: Option<RequestedBytes<'a>>,
    /// How long the request may wait while a `Retry-After` of the API holds all requests.
    pub(super) max_hold_wait: Duration,
    /// How long the answer may take, where that is less than usual.
    pub(super) max_answer_time: Option<Duration>,
    /// For a request that may be charged: makes its record right before the first byte leaves.
    pub(super) before_send: Option<&'a mut dyn BeforeSend>,
}

impl ApiCall<'_> {
    /// A free request.
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            body: None,
            bytes: None,
            max_hold_wait: MAX_HOLD_WAIT,
            max_answer_time: None,
            before_send: None,
        }
    }
}

impl Api {
    /// The API at `base` as the account of the credentials in `found` sees it. All processes that use `state` share
    /// the account's access token.
    ///
    /// # Errors
    /// [`Code::Config`] for credentials that the provider does not take.
    pub(super) fn new(
        provider: Provider,
        base: Url,
        http: Http,
        found: &SourcedCredentials,
        state: &StateFolder,
    ) -> Result<Self, Error> {
        let is_named = !matches!(
            &found.credentials,
            Credentials::Bearer { account: None, .. }
        );
        Ok(Self {
            account: found.credentials.account(),
            has_lasting_account: is_named,
            credential: Credential::new(&provider, &base, found, state)?,
            credential_source: found.source.clone(),
            provider,
            base,
            http,
        })
    }

    /// The URL of a path below the base.
    pub(super) fn path_url(&self, path: &str) -> Url {
        route(&self.base, path)
    }

    /// The values of the slots in this API's templates; those of a document's id where `id` is one.
    pub(super) fn slot_values<'a>(&'a self, id: Option<&'a DocumentId>) -> SlotValues<'a> {
        table_request::slot_values(&self.provider, &self.base, id)
    }

    /// The request that a table describes, with these values in its slots.
    ///
    /// # Errors
    /// [`Code::Usage`] for a value that a header cannot carry, and for one that is no number where the table wants one.
    pub(super) fn call<'a>(
        &self,
        template: &RequestTemplate,
        values: &SlotValues<'_>,
    ) -> Result<ApiCall<'a>, Error> {
        let filled = table_request::filled(&self.provider, &self.base, template, values)?;
        Ok(ApiCall {
            headers: filled.headers,
            body: filled.body,
            ..ApiCall::new(filled.method, filled.url)
        })
    }

    /// Sends a request with the credential. When the API refuses an access token, the request is sent
    /// once more with a new token: an answer of 401 is not charged.
    ///
    /// # Errors
    /// [`Failure`], which says whether the request may have arrived.
    pub(super) async fn send_once(&self, mut call: ApiCall<'_>) -> Result<Reply, Failure> {
        if call.before_send.is_some() {
            self.warn_of_token_account();
        }
        let tokens = match &self.credential {
            Credential::Token(tokens) => tokens,
            Credential::None => return self.send_with(None, call).await,
            Credential::Header(header) => return self.send_with(Some(header), call).await,
            Credential::Query { name, key } => {
                set_parameter(&mut call.url, name, key);
                return self.send_with(None, call).await;
            }
        };
        let mut is_renewed = false;
        loop {
            let token = Box::pin(tokens.get(&self.http, call.max_hold_wait)).await;
            let token = token.map_err(Failure::unsent)?;
            let again = ApiCall {
                method: call.method.clone(),
                url: call.url.clone(),
                headers: call.headers.clone(),
                body: call.body.clone(),
                before_send: call.before_send.as_deref_mut().map(|hook| hook as _),
                ..call
            };
            let reply = self.send_with(Some(&bearer(&token)), again).await?;
            if reply.status() != 401 || is_renewed {
                return Ok(reply);
            }
            let title = &self.provider.table.title;
            log::info!("{title} refused the token; requesting a new one");
            tokens.refuse(&token).await;
            is_renewed = true;
        }
    }

    /// Warns once that a new token of the same account would pay again.
    fn warn_of_token_account(&self) {
        static WARNED: AtomicBool = AtomicBool::new(false);
        if !self.has_lasting_account && !WARNED.swap(true, Ordering::Relaxed) {
            let table = &self.provider.table;
            log::warn!(
                "docfetch remembers the paid retrievals of {} for this bearer token only, and may pay again with \
                 another token: set {} to a name of your account",
                table.title,
                table.variables.account
            );
        }
    }

    async fn send_with(
        &self,
        authorization: Option<&Authorization>,
        call: ApiCall<'_>,
    ) -> Result<Reply, Failure> {
        let request = ApiRequest {
            url: call.url,
            method: call.method,
            authorization,
            headers: &call.headers,
            body: call.body.as_ref(),
            bytes: call.bytes,
            max_hold_wait: call.max_hold_wait,
            max_answer_time: call.max_answer_time,
            before_send: call.before_send.map(|hook| hook as _),
        };
        let answer = self.http.api(request).await;
        answer.map_err(|failure| with_base_hint(failure, &self.provider, &self.base))
    }

    /// A document in a sentence: its kind and id.
    pub(super) fn described(&self, id: &DocumentId) -> String {
        format!("{} {id}", self.provider.table.thing)
    }

    /// The error of an answer to a request for a document whose status is no success. `error_at` is where the table has
    /// the reason.
    pub(super) async fn refusal(
        &self,
        id: &DocumentId,
        reply: Reply,
        error_at: Option<&Pointers>,
    ) -> Error {
        let what = self.described(id);
        let refusal = answer::refusal_with_reason(
            &self.provider,
            &self.credential_source,
            &what,
            reply,
            error_at,
        );
        let refusal = refusal.await;
        let other_base = other_base(&self.provider, &self.base);
        let refusal = match other_base.filter(|_| refusal.code() == Code::NotFound) {
            Some(base) => {
                let hint = format!("{}; {base}", refusal.hint());
                refusal.with_hint(hint)
            }
            None => refusal,
        };
        refusal.naming_document()
    }

    /// The error of an answer whose status is no success. `what` names what was requested, and `error_at` is where the
    /// table has the reason.
    pub(super) async fn refusal_of(
        &self,
        what: &str,
        reply: Reply,
        error_at: Option<&Pointers>,
    ) -> Error {
        let source = &self.credential_source;
        answer::refusal_with_reason(&self.provider, source, what, reply, error_at).await
    }
}

/// Sets a query parameter, in place of parameters of that name.
fn set_parameter(url: &mut Url, name: &str, key: &Secret) {
    let others = url.query_pairs().filter(|(known, _)| known != name);
    let others: Vec<(String, String)> = others
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(others)
        .append_pair(name, key.expose());
}
