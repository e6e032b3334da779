//! The free steps to a document's URL: each is retried as the retry policy says, and waited for as the user says.

use super::api::Api;
use super::captures::Captures;
use super::ready_wait::ReadyWait;
use super::steps::StepRequest;
use crate::error::{Code, Result};
use crate::http::backoff::RetryContext;
use crate::http::{DocumentFacts, PresignedUrl};
use crate::model::DocumentId;
use crate::provider::{SlotValues, Step, UrlSource};
use std::time::Duration;

/// The way of one document through the steps of its table.
pub(super) struct StepRun<'a> {
    api: &'a Api,
    id: &'a DocumentId,
    values: SlotValues<'a>,
    /// What the answers so far tell of the document.
    facts: DocumentFacts,
    ready: ReadyWait,
    /// Whether only a presigned URL is of use, and not the request that the API answers with the document itself.
    needs_url: bool,
}

impl<'a> StepRun<'a> {
    /// Before the first step. `wait` is how long docfetch waits for a document that is not ready.
    pub(super) fn new(api: &'a Api, id: &'a DocumentId, wait: Duration, needs_url: bool) -> Self {
        Self {
            needs_url,
            api,
            id,
            values: api.slot_values(Some(id)),
            facts: DocumentFacts::default(),
            ready: ReadyWait::new(wait),
        }
    }

    /// A step with the values that are known now.
    pub(super) fn request<'s>(&'s self, step: &'s Step) -> StepRequest<'s> {
        StepRequest {
            id: self.id,
            step,
            values: &self.values,
        }
    }

    /// Adds what the answer to a step brought for the steps after it.
    pub(super) fn add(&mut self, captures: &Captures, facts: DocumentFacts) {
        captures.fill(&mut self.values);
        self.facts.complete(facts);
    }

    /// A URL that a step brought, with what all answers tell of the document.
    pub(super) fn complete(&mut self, url: PresignedUrl) -> PresignedUrl {
        let mut facts = url.facts().clone();
        facts.complete(std::mem::take(&mut self.facts));
        url.with_facts(facts)
    }

    /// Sends the requests of these free steps, in order. None where the steps bring values only. A request that the API
    /// may answer with the document itself is left to the transfer, unless only a URL is of use.
    ///
    /// # Errors
    /// [`Code::NotReady`] where the wait ends before the document is ready; every code of an API that refuses or
    /// fails, once the retry policy gives up.
    pub(super) async fn run(
        &mut self,
        steps: &[Step],
        retry: &mut RetryContext,
    ) -> Result<Option<PresignedUrl>> {
        for step in steps {
            if !self.needs_url && step.url.as_ref().is_some_and(UrlSource::may_be_body) {
                let url = self.api.download(self.request(step))?;
                return Ok(Some(self.complete(url)));
            }
            let end = loop {
                let sending = self.api.step(self.request(step), retry, None);
                match Box::pin(sending).await {
                    Ok(end) => break end,
                    Err(failure) if failure.error.code() == Code::NotReady => {
                        self.ready.wait_after(failure.error, retry).await?;
                    }
                    Err(failure) => retry.wait_after(failure.error).await?,
                }
            };
            if let Some(url) = end.url {
                return Ok(Some(self.complete(url)));
            }
            self.add(&end.captures, end.facts);
        }
        Ok(None)
    }
}
