//! How the provider hands a presigned URL over: by a redirect, which docfetch does not follow, or in a
//! JSON field.

use super::answer::{self, AnswerSource};
use super::api::{Api, ApiCall};
use super::fields;
use crate::error::{Code, Error, Result};
use crate::http::BeforeSend;
use crate::http::Failure;
use crate::http::PresignedUrl;
use crate::http::Reply;
use crate::http::backoff::RetryContext;
use crate::http::handed_over::{self, UnusableUrl};
use crate::http::headers;
use crate::http::presigned::expiry_of;
use crate::model::DocumentId;
use crate::provider::Handoff;
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::Value;
use url::Url;

/// The longest URL in bytes that a request can carry (a limit of `http::Uri`).
const MAX_URL_BYTES: usize = 65_534;

impl Api {
    /// Sends one request for the URL of a document. Where the provider charges, `before_send` makes the
    /// record of the request, and the request leaves only after that.
    ///
    /// # Errors
    /// [`Failure`], which says whether the request may have arrived. Its error has every code of an API
    /// that refuses or fails, and those of `before_send`.
    pub(super) async fn hand_over(
        &self,
        id: &DocumentId,
        retry: &RetryContext,
        before_send: Option<&mut dyn BeforeSend>,
    ) -> Result<PresignedUrl, Failure> {
        let (method, path) = match self.provider.handoff {
            Handoff::Redirect { path } => (Method::GET, path),
            Handoff::JsonField { path, .. } => (Method::POST, path),
        };
        let url = self.route(path, Some(id));
        let call = ApiCall {
            before_send,
            max_hold_wait: retry.time_left(),
            ..ApiCall::new(method, url.clone())
        };
        let reply = self.send(call).await?;
        self.presigned_url(id, &url, reply)
            .await
            .map_err(|error| Failure { error, sent: true })
    }

    /// Reads the URL from the answer to a request to `requested`.
    pub(super) async fn presigned_url(
        &self,
        id: &DocumentId,
        requested: &Url,
        reply: Reply,
    ) -> Result<PresignedUrl> {
        match (&self.provider.handoff, reply.status()) {
            (Handoff::Redirect { .. }, 301 | 302 | 303 | 307 | 308) => {
                let url = handed_over::location(reply.headers(), requested)
                    .map_err(|wrong| self.unusable_url(wrong, wrong.why()))?;
                self.checked(url, None, None)
            }
            (Handoff::Redirect { .. }, 200..=299) => Err(Box::pin(self.no_redirect(reply)).await),
            // The answer may have been paid for, whatever success its status names.
            (Handoff::JsonField { url, hours, .. }, status @ 200..=299) => {
                let reading = self.read_json(reply, url, *hours).await;
                reading.map_err(|error| match (status, error.cause()) {
                    (201.., Some(why)) => {
                        let why = format!("HTTP {status}; {why}");
                        error.with_cause(why).with_http_status(status)
                    }
                    _ => error,
                })
            }
            (Handoff::JsonField { .. }, status @ (301..=303 | 307 | 308)) => {
                let title = &self.provider.table.title;
                let what = format!("{title} redirected the request for {}", self.described(id));
                let target = answer::redirected_to(&reply);
                let target = target.map_or_else(String::new, |target| format!(" to {target}"));
                let why = format!(
                    "HTTP {status}{target}; docfetch sends a paid request to the API itself only"
                );
                Err(Error::new(Code::UnsafeRedirect, what)
                    .with_cause(why)
                    .with_hint(answer::wrong_base_hint(
                        &self.provider.table.variables.api_base,
                    ))
                    .with_http_status(status)
                    .naming_document())
            }
            _ => Err(Box::pin(self.refusal(id, reply)).await),
        }
    }

    /// The error of a URL that cannot be used; `why` says why.
    fn unusable_url(&self, wrong: UnusableUrl, why: &str) -> Error {
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

    /// Reads the URL from JSON: its text is at the pointer `url`, its lifetime in hours at `hours`.
    async fn read_json(
        &self,
        reply: Reply,
        url: &str,
        hours: Option<&str>,
    ) -> Result<PresignedUrl> {
        let title = &self.provider.table.title;
        let wrong = |why: &str| {
            let field = url.trim_start_matches('/');
            answer::protocol(title).with_cause(format!("{field} {why}"))
        };
        let date = headers::date(reply.headers());
        let json = fields::read(&self.provider, reply, &[url], hours.as_slice()).await?;
        let text = json.pointer(url).and_then(Value::as_str);
        let text = text.ok_or_else(|| wrong("is missing or is not text"))?;
        let url = handed_over::absolute(text).map_err(|unusable| match unusable {
            UnusableUrl::Changed => self.unusable_url(unusable, unusable.why()),
            UnusableUrl::Missing | UnusableUrl::NotAUrl => wrong("is not a URL"),
        })?;
        // A URL without a host opens nothing. A `file:` URL passes here: the address rules refuse it.
        if !url.has_host() && url.scheme() != "file" {
            return Err(wrong("is not a URL"));
        }
        let hours = hours.and_then(|hours| json.pointer(hours)?.as_f64());
        let lifetime =
            hours.and_then(|hours| SignedDuration::try_from_secs_f64(hours * 3600.0).ok());
        self.checked(url, lifetime, date)
    }

    /// A URL that the provider handed over just now. The URL expires at the earlier of two times: after
    /// `lifetime` from the answer's `date` on, and when the URL itself says.
    ///
    /// # Errors
    /// [`Code::Protocol`] for a URL that no request can carry.
    fn checked(
        &self,
        url: Url,
        lifetime: Option<SignedDuration>,
        date: Option<Timestamp>,
    ) -> Result<PresignedUrl> {
        let length = url.as_str().len();
        if length > MAX_URL_BYTES {
            return Err(
                answer::protocol(&self.provider.table.title).with_cause(format!(
                    "its presigned URL of {length} bytes cannot be sent in a request"
                )),
            );
        }
        let now = date.unwrap_or_else(|| self.http.clock().best());
        let end = lifetime.and_then(|lifetime| now.checked_add(lifetime).ok());
        let ends = [end, expiry_of(&url)].into_iter().flatten();
        Ok(PresignedUrl::new(url, ends.min()))
    }
}
