//! Documents whose bytes the API itself sends: the last step's request is the first request of the transfer.
//!
//! The request carries the credential and keeps to the rate budget. docfetch drops the credential at a redirect.

use super::answer;
use super::api::{Api, ApiCall};
use super::checksums::ChecksumAnswer;
use super::facts::FactPlaces;
use super::ready_wait::ReadyWait;
use super::steps::StepRequest;
use crate::error::{Code, Error, Result};
use crate::http::backoff::RetryContext;
use crate::http::{ApiDownload, DocumentFacts, PresignedUrl, RangeRequest, Reply, RequestedBytes};
use crate::model::DocumentId;
use crate::provider::{Step, UrlSource};
use reqwest::header::HeaderMap;
use serde_json::Value;
use std::time::Duration;

/// How the API answered a request for a document itself.
pub(crate) enum ApiAnswer {
    /// It redirects to this URL.
    Redirected(PresignedUrl),
    /// It sends bytes, or says why a range request brings none: status 200, 206, 412 or 416.
    Bytes {
        /// The answer.
        reply: Reply,
        /// What its head tells of the document.
        facts: DocumentFacts,
    },
}

impl Api {
    /// The request of a step that the API answers with the document itself. Sends nothing.
    ///
    /// # Errors
    /// Those of [`Api::call`].
    pub(super) fn download(&self, request: StepRequest<'_>) -> Result<PresignedUrl> {
        let StepRequest { id, step, values } = request;
        let call = self.call(&step.request, values)?;
        let url = PresignedUrl::of_api(ApiDownload {
            id: id.clone(),
            method: call.method,
            url: call.url,
            headers: call.headers,
            body: call.body,
        });
        Ok(url.with_facts(self.facts_in_head(id, step, &HeaderMap::new())))
    }

    /// Requests the bytes of a document, or a range of them. Waits at most `wait` while the service calls the document
    /// not ready.
    ///
    /// # Errors
    /// [`Code::NotReady`] after that wait; every code of an API that refuses, cannot be reached, or hands over a URL
    /// that cannot be used.
    pub(super) async fn request_bytes(
        &self,
        download: &ApiDownload,
        range: Option<RangeRequest<'_>>,
        retry: &mut RetryContext,
        wait: Duration,
    ) -> Result<ApiAnswer> {
        let mut ready = ReadyWait::new(wait);
        loop {
            match self.request_bytes_once(download, range, retry).await {
                Err(error) if error.code() == Code::NotReady => {
                    ready.wait_after(error, retry).await?;
                }
                ended => return ended,
            }
        }
    }

    async fn request_bytes_once(
        &self,
        download: &ApiDownload,
        range: Option<RangeRequest<'_>>,
        retry: &RetryContext,
    ) -> Result<ApiAnswer> {
        let last = self.provider.table.resolve.last();
        // A table is read only when its last step has a URL.
        let step = last.ok_or_else(|| Error::new(Code::Unexpected, "the table has no step"))?;
        let call = ApiCall {
            headers: download.headers.clone(),
            body: download.body.clone(),
            bytes: Some(range.map_or(RequestedBytes::All, RequestedBytes::Range)),
            max_hold_wait: retry.time_left(),
            ..ApiCall::new(download.method.clone(), download.url.clone())
        };
        let reply = self.send(call).await.map_err(|failure| failure.error)?;
        let (id, status) = (&download.id, reply.status());
        if matches!(status, 200 | 206 | 412 | 416) && !step.not_ready.contains(&status) {
            let facts = self.facts_in_head(id, step, reply.headers());
            return Ok(ApiAnswer::Bytes { reply, facts });
        }
        if (200..300).contains(&status) && !step.not_ready.contains(&status) {
            let why = format!("HTTP {status} where the document was due");
            let error = answer::protocol(&self.provider.table.title).with_cause(why);
            return Err(error.with_http_status(status));
        }
        let values = &self.slot_values(Some(id));
        let request = StepRequest { id, step, values };
        let requested = reply.url().clone();
        let end = Box::pin(self.read_step(request, &requested, reply)).await?;
        let no_url = || Error::new(Code::Unexpected, "the redirect brought no URL");
        let url = end.url.ok_or_else(no_url)?;
        self.http.check_url(url.expose())?;
        Ok(ApiAnswer::Redirected(url))
    }

    /// What an answer without JSON tells of a document.
    fn facts_in_head(&self, id: &DocumentId, step: &Step, headers: &HeaderMap) -> DocumentFacts {
        let answer = ChecksumAnswer {
            json: &Value::Null,
            headers,
            id,
        };
        FactPlaces::from(step).read(&self.provider.table, answer)
    }

    /// Refuses a document that has no presigned URL, because the API itself sends its bytes.
    ///
    /// # Errors
    /// [`Code::Usage`].
    pub(super) fn check_hands_over_urls(&self, id: &DocumentId) -> Result<()> {
        let last = self.provider.table.resolve.last();
        match last.and_then(|step| step.url.as_ref()) {
            Some(UrlSource::Body) => Err(self.sends_bytes_itself(id)),
            _ => Ok(()),
        }
    }

    /// The error of a document that has no presigned URL.
    pub(super) fn sends_bytes_itself(&self, id: &DocumentId) -> Error {
        let table = &self.provider.table;
        let what = format!("{} has no presigned URL", self.described(id));
        Error::new(Code::Usage, what)
            .with_cause(format!("{} sends the document itself", table.title))
            .with_hint(format!("fetch the document: docfetch {} {id}", table.name))
    }
}
