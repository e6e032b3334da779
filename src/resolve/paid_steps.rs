//! The steps of a table of which one is charged: the free ones before and after the paid one.
//!
//! The free steps before the paid one run in each run that pays. The free steps after the paid one bring a URL for the
//! values that the answer to the paid request brought, as often as docfetch needs one, without a charge.

use super::api::Api;
use super::captures::Captures;
use super::free_steps::StepRun;
use super::ledger::OpenRecord;
use super::ledger::table::{PaidAnswer, RetrievalEvent, RetrievalRequest};
use super::request::ResolveRequest;
use super::steps::StepEnd;
use crate::error::{Code, Error, Result};
use crate::http::backoff::RetryContext;
use crate::http::{DocumentFacts, PresignedUrl};
use crate::model::DocumentId;
use crate::provider::Step;

/// The steps of a table of which one is charged.
#[derive(Clone, Copy)]
pub(super) struct PaidSteps<'a> {
    /// The free steps before the paid one.
    pub(super) before: &'a [Step],
    /// The paid step.
    pub(super) paid: &'a Step,
    /// The free steps after the paid one.
    pub(super) after: &'a [Step],
}

impl<'a> PaidSteps<'a> {
    /// The steps of a table.
    ///
    /// # Errors
    /// [`Code::Unexpected`] for a table without a paid step.
    pub(super) fn of(steps: &'a [Step]) -> Result<Self> {
        let index = steps.iter().position(|step| step.is_charged);
        let split = index.and_then(|index| {
            let (before, rest) = steps.split_at_checked(index)?;
            let (paid, after) = rest.split_first()?;
            Some(Self {
                before,
                paid,
                after,
            })
        });
        split.ok_or_else(|| Error::new(Code::Unexpected, "the table has no charged step"))
    }
}

impl PaidSteps<'_> {
    /// Whether a step after the paid one needs a value of a step before it.
    fn after_needs_before(self) -> bool {
        let captures = self.before.iter().flat_map(|step| &step.captures);
        let names: Vec<&str> = captures.map(|(name, _)| name.as_str()).collect();
        let mut slots = self.after.iter().flat_map(|step| step.request.slots());
        slots.any(|slot| names.contains(&slot))
    }
}

/// One document on its way to a URL.
pub(super) struct Retrieval<'a> {
    pub(super) api: &'a Api,
    pub(super) id: &'a DocumentId,
    pub(super) steps: PaidSteps<'a>,
    pub(super) run: StepRun<'a>,
    pub(super) request: ResolveRequest<'a>,
    /// Whether the free steps before the paid one are done.
    pub(super) is_prepared: bool,
    /// Whether the service said that it does not know the recorded values.
    pub(super) captures_are_gone: bool,
}

/// What the ledger permitted, and what came of it.
pub(super) enum Turn {
    /// The URL of a paid retrieval.
    Url(PresignedUrl),
    /// Values of a paid retrieval for the free steps after it.
    Captured(Captures, DocumentFacts),
    /// A paid request comes next, and the free steps before it are not done.
    Prepare,
}

impl<'a> Retrieval<'a> {
    /// What this run knows when it needs a URL.
    pub(super) fn known(&self) -> RetrievalRequest<'a> {
        RetrievalRequest {
            captures_are_gone: self.captures_are_gone,
            ..self.request.into()
        }
    }

    /// Sends the free requests before the paid one. A step may bring the URL already.
    pub(super) async fn prepare(
        &mut self,
        retry: &mut RetryContext,
    ) -> Result<Option<PresignedUrl>> {
        self.is_prepared = true;
        Box::pin(self.run.run(self.steps.before, retry)).await
    }

    /// Sends the free requests after the paid one, with the values of the paid retrieval. `None` when the service does
    /// not know these values any more.
    pub(super) async fn renew(
        &mut self,
        captures: &Captures,
        facts: DocumentFacts,
        retry: &mut RetryContext,
    ) -> Result<Option<PresignedUrl>> {
        if !self.is_prepared
            && self.steps.after_needs_before()
            && let Some(url) = self.prepare(retry).await?
        {
            return Ok(Some(url));
        }
        self.run.add(captures, facts);
        match Box::pin(self.run.run(self.steps.after, retry)).await {
            Ok(url) => Ok(url.map(PresignedUrl::renewable)),
            Err(error) if matches!(error.http_status(), Some(404 | 410)) => {
                let why = error.message();
                log::info!(
                    "the paid retrieval of {} brings no URL any more: {why}",
                    self.id
                );
                self.captures_are_gone = true;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Records what the answer to the paid request brought.
    pub(super) async fn note_answer(
        &mut self,
        end: StepEnd,
        record: &mut OpenRecord<'_>,
        answered: &impl Fn(&PresignedUrl),
    ) -> Result<Turn> {
        let StepEnd {
            url,
            captures,
            facts,
        } = end;
        // Without further steps, the values bring nothing.
        let captures = if self.steps.after.is_empty() {
            Captures::default()
        } else {
            captures
        };
        let url = url.map(|url| self.run.complete(url));
        url.iter().for_each(answered);
        let answer = PaidAnswer {
            url: url.as_ref(),
            captures: Some(&captures),
            facts: url.as_ref().map_or(&facts, PresignedUrl::facts),
        };
        let now = self.api.http.clock().best();
        record.note(RetrievalEvent::Answered(answer), now).await?;
        self.captures_are_gone = false;
        Ok(match url {
            Some(url) if captures.is_empty() => Turn::Url(url),
            Some(url) => Turn::Url(url.renewable()),
            None => Turn::Captured(captures, facts),
        })
    }
}

impl<'a> From<ResolveRequest<'a>> for RetrievalRequest<'a> {
    fn from(request: ResolveRequest<'a>) -> Self {
        Self {
            has_partial: request.has_partial,
            is_unnamed: request.unknown_name().is_some(),
            refused: request.refused,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::table_of;

    #[test]
    fn the_steps_before_run_again_only_where_those_after_need_their_values() {
        let needs = |last: &str| {
            let table = table_of(
                "acme",
                &format!(
                    "base = \"https://api.example\"\nauth = {{ type = \"none\" }}\n\
                     resolve = [\n\
                     {{ path = \"/open/{{id}}\", capture = {{ ticket = \"/t\" }} }},\n\
                     {{ method = \"POST\", path = \"/pay/{{ticket}}\", capture = {{ job = \"/j\" }}, charged = true }},\n\
                     {{ {last}, url = \"/url\" }},\n\
                     ]"
                ),
            );
            PaidSteps::of(&table.resolve).unwrap().after_needs_before()
        };
        assert!(!needs("path = \"/jobs/{job}\""));
        assert!(needs("path = \"/jobs/{job}/{ticket}\""));
        assert!(needs(
            "path = \"/jobs/{job}\", query = { t = \"{ticket}\" }"
        ));
        assert!(needs(
            "path = \"/jobs/{job}\", headers = { X-T = \"{ticket}\" }"
        ));
        assert!(needs(
            "method = \"POST\", path = \"/jobs/{job}\", json = { t = \"{ticket}\" }"
        ));
    }
}
