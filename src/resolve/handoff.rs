//! How the presigned URL is handed over: by a redirect that is not followed, or in a JSON field.

use super::{Ask, Resolver, answer, fields};
use crate::error::{Code, Error, Result};
use crate::http::backoff::RetryContext;
use crate::http::{BeforeSend, Failure, PresignedUrl, Reply, expiry_of, headers};
use crate::model::DocumentId;
use crate::provider::Handoff;
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::Value;
use url::Url;

/// The longest URL that the HTTP library takes, in bytes (`http::Uri`).
const LONGEST_URL: usize = 65_534;

impl Resolver {
    /// Asks once, without regard to cost; `before_send` is waited for right before a charged request
    /// leaves. (A token that the API refuses is replaced, and the request sent with the new one.)
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
        let request = Ask {
            before_send,
            patience: retry.time_left(),
            ..Ask::new(method, url.clone())
        };
        let reply = self.authorized(request).await?;
        self.read(id, &url, reply)
            .await
            .map_err(|error| Failure { error, sent: true })
    }

    async fn read(&self, id: &DocumentId, asked: &Url, reply: Reply) -> Result<PresignedUrl> {
        let title = self.provider.title;
        match (&self.provider.handoff, reply.status()) {
            (Handoff::Redirect { .. }, 301 | 302 | 303 | 307 | 308) => {
                let url = headers::location(reply.headers(), asked)
                    .map_err(|wrong| answer::protocol(title).with_cause(wrong))?;
                self.presigned(url, None, None)
            }
            (Handoff::Redirect { .. }, status @ 200..=299) => Err(answer::protocol(title)
                .with_cause(format!(
                    "HTTP {status} where a redirect to the document was due"
                ))
                .with_http_status(status)),
            (Handoff::JsonField { url, hours, .. }, 200) => {
                let date = headers::date(reply.headers());
                let json = fields::read(title, reply, &[url], hours.as_slice()).await?;
                let field = url.trim_start_matches('/');
                let text = json.pointer(url).and_then(Value::as_str).ok_or_else(|| {
                    answer::protocol(title).with_cause(format!("{field} is missing, or is no text"))
                })?;
                // One without a host opens nothing, but for `file:`, which is refused as unsafe.
                let opens = |url: &Url| url.has_host() || url.scheme() == "file";
                let url = Url::parse(text).ok().filter(opens);
                let url = url.ok_or_else(|| {
                    answer::protocol(title).with_cause(format!("{field} is no URL"))
                })?;
                let hours = hours.and_then(|hours| json.pointer(hours)?.as_f64());
                let told =
                    hours.and_then(|hours| SignedDuration::try_from_secs_f64(hours * 3600.0).ok());
                self.presigned(url, told, date)
            }
            (Handoff::JsonField { .. }, status @ 200..=299) => Err(answer::protocol(title)
                .with_cause(format!("HTTP {status}"))
                .with_http_status(status)),
            (Handoff::JsonField { .. }, status @ 300..=399) => Err(Error::new(
                Code::UnsafeRedirect,
                format!("{title} redirected the request for {}", self.thing(id)),
            )
            .with_cause("docfetch sends a paid request to the API itself only")
            .with_http_status(status)),
            _ => Err(self.refusal(&self.thing(id), reply).await),
        }
    }

    /// A URL that was handed over just now, with the earlier of two ends: the answer's, as `told` from its
    /// `date` on, and the URL's own.
    ///
    /// # Errors
    /// [`Code::Protocol`] for one that no request can carry.
    fn presigned(
        &self,
        url: Url,
        told: Option<SignedDuration>,
        date: Option<Timestamp>,
    ) -> Result<PresignedUrl> {
        let length = url.as_str().len();
        if length > LONGEST_URL {
            return Err(answer::protocol(self.provider.title).with_cause(format!(
                "its presigned URL of {length} bytes cannot be sent in a request"
            )));
        }
        let now = date.unwrap_or_else(|| self.http.clock().best());
        let told = told.and_then(|told| now.checked_add(told).ok());
        let ends = [told, expiry_of(&url)].into_iter().flatten();
        Ok(PresignedUrl::new(url, ends.min()))
    }
}
