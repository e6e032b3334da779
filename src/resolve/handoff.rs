//! How the presigned URL is handed over: by a redirect that is not followed, or in a JSON field.

use super::{ANSWER, Resolver, answer};
use crate::error::{Code, Error, Result};
use crate::http::backoff::Retry;
use crate::http::failure::Failure;
use crate::http::headers;
use crate::http::send::Reply;
use crate::model::DocumentId;
use crate::provider::Handoff;
use reqwest::Method;
use serde_json::Value;
use url::Url;

impl Resolver {
    /// Asks once, without regard to cost.
    pub(super) async fn hand_over(&self, id: &DocumentId) -> Result<Url, Failure> {
        let (method, path) = match self.provider.handoff {
            Handoff::Redirect { path } => (Method::GET, path),
            Handoff::JsonField { path, .. } => (Method::POST, path),
        };
        let url = self.route(path, Some(id));
        let charged = self.provider.charged;
        let reply = self.authorized(method, &url, charged).await?;
        self.read(id, &url, reply)
            .await
            .map_err(|error| Failure { error, sent: true })
    }

    async fn read(&self, id: &DocumentId, asked: &Url, reply: Reply) -> Result<Url> {
        let title = self.provider.title;
        match (&self.provider.handoff, reply.status()) {
            (Handoff::Redirect { .. }, 301 | 302 | 303 | 307 | 308) => {
                headers::location(reply.headers(), asked)
                    .map_err(|wrong| answer::protocol(title).why(wrong))
            }
            (Handoff::Redirect { .. }, status @ 200..=299) => Err(answer::protocol(title)
                .why(format!(
                    "HTTP {status} where a redirect to the document was due"
                ))
                .http_status(status)),
            (Handoff::JsonField { url, .. }, 200) => {
                let json: Value = answer::json(title, &reply.body(ANSWER).await?)?;
                let field = url.trim_start_matches('/');
                let text = json.pointer(url).and_then(Value::as_str).ok_or_else(|| {
                    answer::protocol(title).why(format!("{field} is missing, or is no text"))
                })?;
                // One without a host opens nothing, but for `file:`, which is refused as unsafe.
                let opens = |url: &Url| url.has_host() || url.scheme() == "file";
                let url = Url::parse(text).ok().filter(opens);
                url.ok_or_else(|| answer::protocol(title).why(format!("{field} is no URL")))
            }
            (Handoff::JsonField { .. }, status @ 200..=299) => Err(answer::protocol(title)
                .why(format!("HTTP {status}"))
                .http_status(status)),
            (Handoff::JsonField { .. }, status @ 300..=399) => Err(Error::new(
                Code::UnsafeRedirect,
                format!("{title} redirected the request for document {id}"),
            )
            .why("it may be charged, and following it would ask again, elsewhere")
            .http_status(status)),
            _ => Err(self.refusal(&format!("document {id}"), reply).await),
        }
    }

    /// Asks for a retrieval that may be charged, at most once in a run. It is sent again only when
    /// it provably never left, or when the API answered 429 and said when to come back: both are
    /// not charged.
    pub(super) async fn retrieve_once(&self, id: &DocumentId, retry: &mut Retry) -> Result<Url> {
        if !self.asked().insert(id.clone()) {
            return Err(Error::new(
                Code::ChargeRefused,
                format!("document {id} would need a second paid retrieval"),
            )
            .why("this run has asked for one already"));
        }
        loop {
            let failure = match self.hand_over(id).await {
                Ok(url) => return Ok(url),
                Err(failure) => failure,
            };
            let error = failure.error;
            let again = !failure.sent || (error.status() == Some(429) && error.wait().is_some());
            if again {
                // Nothing was charged, also when this wait is the end.
                self.asked().remove(id);
                retry.pause(error).await?;
                self.asked().insert(id.clone());
                continue;
            }
            return Err(match error.status() {
                // Answered, and not charged.
                Some(300..=407 | 409..=499) => {
                    self.asked().remove(id);
                    error
                }
                // Not answered, answered by a failing server, or answered without a URL.
                status => {
                    let unknown = Error::new(
                        Code::ChargeUnknown,
                        format!("the paid retrieval of document {id} may have been charged"),
                    )
                    .why(error.message());
                    match status {
                        Some(status) => unknown.http_status(status),
                        None => unknown,
                    }
                }
            });
        }
    }
}
