//! One step from a document id to a presigned URL: the request that the table describes, and what its answer brings.

use super::answer::{self, AnswerSource};
use super::api::{Api, ApiCall};
use super::captures::Captures;
use super::checksums::ChecksumAnswer;
use super::facts::FactPlaces;
use super::times::end_of;
use crate::error::{Code, Error, Result};
use crate::http::backoff::RetryContext;
use crate::http::handed_over::{self, UnusableUrl};
use crate::http::presigned::expiry_of;
use crate::http::{BeforeSend, DocumentFacts, Failure, PresignedUrl, Reply, StorageHeaders};
use crate::http::{headers, shown_status};
use crate::model::DocumentId;
use crate::provider::{SlotValues, Step, UrlSource};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::Value;
use url::Url;

/// The longest URL in bytes that a request can carry (a limit of `http::Uri`).
const MAX_URL_BYTES: usize = 65_534;

/// A step for one document.
#[derive(Clone, Copy)]
pub(super) struct StepRequest<'a> {
    /// The document.
    pub(super) id: &'a DocumentId,
    /// The step.
    pub(super) step: &'a Step,
    /// The values of its slots.
    pub(super) values: &'a SlotValues<'a>,
}

/// What a step's answer brought.
#[derive(Clone, Debug)]
pub(super) struct StepEnd {
    /// The presigned URL. None where the steps after it bring the URL.
    pub(super) url: Option<PresignedUrl>,
    /// Values for the steps after it.
    pub(super) captures: Captures,
    /// What the answer tells of the document.
    pub(super) facts: DocumentFacts,
}

/// What came with a presigned URL.
#[derive(Default)]
pub(super) struct WithUrl {
    /// When the URL expires, beside what the URL itself says.
    pub(super) expires: Option<Timestamp>,
    /// The headers that the storage wants.
    pub(super) storage_headers: StorageHeaders,
}

impl Api {
    /// Sends the request of a step. Where the step is charged, `before_send` makes the record of the request, and the
    /// request leaves only after that.
    ///
    /// # Errors
    /// [`Failure`], which says whether the request may have arrived. Its error has every code of an API that refuses
    /// or fails, [`Code::NotReady`] for a status that means that, and those of `before_send`.
    pub(super) async fn step(
        &self,
        request: StepRequest<'_>,
        retry: &RetryContext,
        before_send: Option<&mut dyn BeforeSend>,
    ) -> Result<StepEnd, Failure> {
        let StepRequest { step, values, .. } = request;
        let call = self.call(&step.request, values).map_err(Failure::unsent)?;
        let call = ApiCall {
            before_send,
            max_hold_wait: retry.time_left(),
            ..call
        };
        let reply = self.send(call).await?;
        let requested = reply.url().clone();
        let reading = self.read_step(request, &requested, reply);
        let end = reading.await;
        end.map_err(|error| Failure { error, sent: true })
    }

    /// Reads the answer to a step's request to `requested`.
    ///
    /// # Errors
    /// Those of [`Api::step`].
    pub(super) async fn read_step(
        &self,
        request: StepRequest<'_>,
        requested: &Url,
        reply: Reply,
    ) -> Result<StepEnd> {
        let StepRequest { id, step, .. } = request;
        let status = reply.status();
        let has_json = !step.captures.is_empty() || matches!(step.url, Some(UrlSource::Json(_)));
        let is_redirected = matches!(
            step.url,
            Some(UrlSource::Redirect { .. } | UrlSource::Body | UrlSource::RedirectOrBody { .. })
        );
        match status {
            _ if step.not_ready.contains(&status) => Err(self.not_ready(id, &reply)),
            301..=303 | 307 | 308 if is_redirected => {
                let url = self.redirect_target(step, requested, &reply)?;
                let answer = ChecksumAnswer {
                    json: &Value::Null,
                    headers: reply.headers(),
                    id,
                };
                let facts = FactPlaces::from(step).read(&self.provider.table, answer);
                Ok(StepEnd {
                    url: Some(url.with_facts(facts.clone())),
                    captures: Captures::default(),
                    facts,
                })
            }
            // The answer may have been paid for, whatever success its status names.
            200..=299 if has_json => {
                let reading = self.read_step_json(id, step, reply).await;
                reading.map_err(|error| match (status, error.cause()) {
                    (201.., Some(why)) if error.http_status().is_none() => {
                        let why = format!("HTTP {status}; {why}");
                        error.with_cause(why).with_http_status(status)
                    }
                    _ => error,
                })
            }
            200..=299 if step.url.as_ref().is_some_and(UrlSource::may_be_body) => {
                Err(self.sends_bytes_itself(id))
            }
            200..=299 => Err(Box::pin(self.no_redirect(reply)).await),
            301..=303 | 307 | 308 if step.is_charged || step.request.method == Method::POST => {
                Err(self.redirected_request(request, &reply))
            }
            _ => Err(Box::pin(self.refusal(id, reply, step.error.as_ref())).await),
        }
    }

    /// The URL that a redirect leads to.
    fn redirect_target(&self, step: &Step, requested: &Url, reply: &Reply) -> Result<PresignedUrl> {
        let url = handed_over::location(reply.headers(), requested)
            .map_err(|wrong| self.unusable_url(wrong, wrong.why()))?;
        let expires = match &step.url {
            Some(UrlSource::Redirect { expires } | UrlSource::RedirectOrBody { expires }) => {
                expires.as_ref()
            }
            _ => None,
        };
        let date = headers::date(reply.headers());
        let answered = date.unwrap_or_else(|| self.http.clock().best());
        let with_url = WithUrl {
            expires: expires.and_then(|expires| end_of(expires, &Value::Null, answered)),
            ..WithUrl::default()
        };
        self.checked(url, with_url)
    }

    /// The error of a document that the service calls not ready.
    fn not_ready(&self, id: &DocumentId, reply: &Reply) -> Error {
        let title = &self.provider.table.title;
        let what = format!("{title} is not ready with {}", self.described(id));
        Error::new(Code::NotReady, what)
            .with_cause(shown_status(reply.status()))
            .with_http_status(reply.status())
            .with_retry_after(reply.retry_after())
            .naming_document()
    }

    /// The error of a request with a body, or of a paid request, that the API redirects.
    fn redirected_request(&self, request: StepRequest<'_>, reply: &Reply) -> Error {
        let (title, status) = (&self.provider.table.title, reply.status());
        let what = format!(
            "{title} redirected the request for {}",
            self.described(request.id)
        );
        let target = answer::redirected_to(reply);
        let target = target.map_or_else(String::new, |target| format!(" to {target}"));
        let kind = if request.step.is_charged {
            "paid"
        } else {
            "POST"
        };
        let why = format!(
            "HTTP {status}{target}; docfetch sends a {kind} request to the API itself only"
        );
        Error::new(Code::UnsafeRedirect, what)
            .with_cause(why)
            .with_hint(answer::wrong_base_hint(
                &self.provider.table.variables.api_base,
            ))
            .with_http_status(status)
            .naming_document()
    }

    /// The error of a URL that cannot be used; `why` says why.
    pub(super) fn unusable_url(&self, wrong: UnusableUrl, why: &str) -> Error {
        let title = &self.provider.table.title;
        let error = match wrong {
            UnusableUrl::Missing | UnusableUrl::NotAUrl => answer::protocol(title),
            UnusableUrl::Changed => Error::new(
                wrong.code(),
                format!("{title} handed over a URL that docfetch cannot send unchanged"),
            )
            .with_hint("tell the provider: HTTP clients change such a URL before they send it"),
        };
        error.with_cause(why)
    }

    /// The error of an answer that is a success, and not the redirect to the document.
    async fn no_redirect(&self, reply: Reply) -> Error {
        let (status, source) = (reply.status(), AnswerSource::of(&self.provider, &reply));
        let why = format!("HTTP {status} where a redirect to the document was due");
        let error = match source.web_page(&reply.error_body().await) {
            Some(page) => source
                .protocol(format!("{why}; the body is {page}"))
                .with_hint(source.wrong_base_hint()),
            None => source.protocol(why),
        };
        error.with_http_status(status)
    }

    /// A URL that the provider handed over just now. The URL expires at the earlier of two times: that of `with_url`,
    /// and when the URL itself says.
    ///
    /// # Errors
    /// [`Code::Protocol`] for a URL that no request can carry.
    pub(super) fn checked(&self, url: Url, with_url: WithUrl) -> Result<PresignedUrl> {
        let length = url.as_str().len();
        if length > MAX_URL_BYTES {
            return Err(
                answer::protocol(&self.provider.table.title).with_cause(format!(
                    "its presigned URL of {length} bytes cannot be sent in a request"
                )),
            );
        }
        let ends = [with_url.expires, expiry_of(&url)].into_iter().flatten();
        let url = PresignedUrl::new(url, ends.min());
        Ok(url.with_storage_headers(with_url.storage_headers))
    }
}
