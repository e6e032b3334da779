//! Requests to a provider's API, with the credential of one account.

use super::account::identity;
use super::answer;
use super::base_hint::{other_base, with_base_hint};
use super::token::{self, TokenCache, TokenClient};
use crate::error::{Code, Error};
use crate::http::BeforeSend;
use crate::http::Failure;
use crate::http::{ApiRequest, Authorization, Http, Reply, RequestBody};
use crate::model::DocumentId;
use crate::provider::{
    Auth, BodyTemplate, Credentials, Provider, RequestTemplate, SlotValues, SourcedCredentials,
};
use crate::secret::Secret;
use crate::state::records::StateFolder;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use std::time::Duration;
use url::{Url, form_urlencoded};

/// How long a free request waits for a hold of the rate budget where no deadline limits the wait.
const MAX_HOLD_WAIT: Duration = Duration::from_mins(5);

/// A provider's API as one account sees it.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) provider: Provider,
    pub(super) base: Url,
    pub(super) http: Http,
    pub(super) account: Secret,
    /// Where the credentials come from, for hints.
    credential_source: String,
    credential: Credential,
}

/// Where the header comes from that proves which account sends a request.
#[derive(Debug)]
enum Credential {
    /// An access token, which expires.
    Token(Box<TokenCache>),
    /// A key or a token that the user gave.
    Fixed(Authorization),
}

/// A request to the API.
pub(super) struct ApiCall<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    /// Further headers.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub(super) body: Option<RequestBody>,
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
            max_hold_wait: MAX_HOLD_WAIT,
            max_answer_time: None,
            before_send: None,
        }
    }
}

impl Api {
    /// The API at `base` as the account of the credentials in `found` sees it. All processes that use `state` share
    /// the account's access token.
    pub(super) fn new(
        provider: Provider,
        base: Url,
        http: Http,
        found: &SourcedCredentials,
        state: &StateFolder,
    ) -> Self {
        let account = found.credentials.account();
        let credential = match (&provider.auth, &found.credentials) {
            (Auth::ClientCredentials { token_path, .. }, Credentials::Client { id, secret }) => {
                let client = TokenClient {
                    provider: provider.clone(),
                    base: base.clone(),
                    token_url: route(&base, token_path),
                    id: id.clone(),
                    secret: secret.clone(),
                    credential_source: found.source.clone(),
                };
                let identity = identity(&provider, &base, account);
                Credential::Token(Box::new(TokenCache::new(client, &identity, state)))
            }
            (Auth::Key { header, .. }, Credentials::Key(key)) => Credential::Fixed(Authorization {
                header: HeaderName::from_static(header),
                value: key.clone(),
            }),
            _ => Credential::Fixed(bearer(account)),
        };
        Self {
            account: account.clone(),
            credential_source: found.source.clone(),
            provider,
            base,
            http,
            credential,
        }
    }

    /// The URL of a route. `{id}` in its path is the document.
    pub(super) fn route(&self, path: &str, id: Option<&DocumentId>) -> Url {
        let path = match id {
            Some(id) => path.replace("{id}", &id.path_segment()),
            None => path.to_owned(),
        };
        route(&self.base, &path)
    }

    /// The URL of a path below the base.
    pub(super) fn path_url(&self, path: &str) -> Url {
        route(&self.base, path)
    }

    /// The values of the slots in this API's templates; those of a document's id where `id` is one.
    pub(super) fn slot_values<'a>(&'a self, id: Option<&'a DocumentId>) -> SlotValues<'a> {
        let table = &self.provider.table;
        let mut values = SlotValues::default();
        values.add("base_host", self.base.host_str().unwrap_or_default());
        if let Some(kind) = &table.kind {
            values.add("resource", kind.as_str());
        }
        let parts = id.map(DocumentId::parts).into_iter().flatten();
        let count = table.id.parts.len();
        for (index, (name, part)) in table.id.parts.iter().zip(parts).enumerate() {
            if table.id.has_rest && index + 1 == count {
                values.add_path(name.as_str(), part);
            } else {
                values.add(name.as_str(), part);
            }
        }
        values
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
        let mut url = route(&self.base, &template.path.fill_path(values));
        if !template.query.is_empty() {
            let query = template.query.iter();
            let query = query.map(|(name, value)| (name, value.fill(values)));
            url.query_pairs_mut().extend_pairs(query);
        }
        let unusable = |what: String| Error::new(Code::Usage, what);
        let of_table = self.provider.table.headers.iter();
        let headers = of_table.chain(&template.headers).map(|(name, value)| {
            let value = HeaderValue::from_str(&value.fill(values));
            let value =
                value.map_err(|_| unusable(format!("no header {name} can carry that value")))?;
            Ok((name.clone(), value))
        });
        let body = match &template.body {
            None => None,
            Some(BodyTemplate::Json(json)) => {
                let json = json.fill(values).map_err(|why| unusable(why.to_string()))?;
                Some(RequestBody {
                    media_type: "application/json",
                    bytes: json.to_string().into_bytes(),
                })
            }
            Some(BodyTemplate::Form(fields)) => {
                let fields = fields
                    .iter()
                    .map(|(name, value)| (name, value.fill(values)));
                let form = form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(fields)
                    .finish();
                Some(RequestBody {
                    media_type: "application/x-www-form-urlencoded",
                    bytes: form.into_bytes(),
                })
            }
        };
        Ok(ApiCall {
            headers: headers.collect::<Result<_, Error>>()?,
            body,
            ..ApiCall::new(template.method.clone(), url)
        })
    }

    /// Sends a request with the credential. When the API refuses an access token, the request is sent
    /// once more with a new token: an answer of 401 is not charged.
    ///
    /// # Errors
    /// [`Failure`], which says whether the request may have arrived.
    pub(super) async fn send(&self, mut call: ApiCall<'_>) -> Result<Reply, Failure> {
        let tokens = match &self.credential {
            Credential::Fixed(authorization) => return self.send_as(authorization, call).await,
            Credential::Token(tokens) => tokens,
        };
        let mut is_renewed = false;
        loop {
            let token = tokens.get(&self.http, call.max_hold_wait).await;
            let authorization = bearer(&token.map_err(Failure::unsent)?);
            let again = ApiCall {
                method: call.method.clone(),
                url: call.url.clone(),
                headers: call.headers.clone(),
                body: call.body.clone(),
                before_send: call.before_send.as_deref_mut().map(|hook| hook as _),
                ..call
            };
            let reply = self.send_as(&authorization, again).await?;
            if reply.status() != 401 || is_renewed {
                return Ok(reply);
            }
            let title = &self.provider.table.title;
            log::info!("{title} refused the token; requesting a new one");
            tokens.refuse(&authorization.value).await;
            is_renewed = true;
        }
    }

    async fn send_as(
        &self,
        authorization: &Authorization,
        call: ApiCall<'_>,
    ) -> Result<Reply, Failure> {
        let request = ApiRequest {
            url: call.url,
            method: call.method,
            authorization: Some(authorization),
            headers: &call.headers,
            body: call.body.as_ref(),
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

    /// The error of an answer to a request for a document whose status is no success.
    pub(super) async fn refusal(&self, id: &DocumentId, reply: Reply) -> Error {
        let refusal = self.refusal_of(&self.described(id), reply).await;
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

    /// The error of an answer whose status is no success. `what` names what was requested.
    pub(super) async fn refusal_of(&self, what: &str, reply: Reply) -> Error {
        answer::refusal(&self.provider, &self.credential_source, what, reply).await
    }
}

/// The URL of a path below the base.
fn route(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

fn bearer(token: &Secret) -> Authorization {
    Authorization {
        header: AUTHORIZATION,
        value: token::bearer(token),
    }
}
