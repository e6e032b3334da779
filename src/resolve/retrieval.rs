//! Paid retrievals: the resolver requests the URL of a document once, and pays for it once.
//!
//! The ledger decides whether a request is sent. The record of a request is on disk before the first byte
//! of the request leaves; the record of its answer is on disk before this module returns the URL.
//!
//! docfetch repeats a paid request by itself in two cases only. The request never left: name resolution,
//! connection or TLS handshake failed. Or the API answered 429 and named a time to wait. Any other answer
//! of 3xx or 4xx, but 408, is a refusal, which the provider does not charge. Everything else leaves the
//! document *in doubt*: the request may have been charged.

use super::api::Api;
use super::free_steps::StepRun;
use super::ledger::table::{RetrievalEvent, State, Verdict};
use super::ledger::{Ledger, OpenRecord};
use super::paid_errors;
use super::paid_requests::{Charged, PaidRequests};
use super::paid_silence::SilenceWarning;
use super::paid_steps::{PaidSteps, Retrieval, Turn};
use super::request::ResolveRequest;
use super::steps::StepEnd;
use crate::active_time;
use crate::error::{Error, Result};
use crate::http::backoff::RetryContext;
use crate::http::{Failure, PresignedUrl};
use crate::model::DocumentId;
use std::time::Duration;
use tokio::sync::Notify;

/// The paid retrievals of one account in this run.
#[derive(Debug)]
pub(super) struct PaidRetrievals {
    pub(super) ledger: Ledger,
    pub(super) requests: PaidRequests,
    /// Warns when the API does not answer.
    pub(super) silence: SilenceWarning,
    /// How long docfetch waits for a document that the service calls not ready.
    pub(super) wait: Duration,
}

/// What a real run would pay for a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cost {
    /// A paid retrieval.
    Charge,
    /// Nothing: the run would use a recorded URL.
    Reuse,
    /// Nothing: the ledger would refuse the request.
    Refuse,
    /// Nothing: the documents before this one would use up `--max-charges`.
    OverLimit,
}

/// The end of a paid request, unless it ends the retrieval with an error.
enum RequestEnd {
    /// The answer brought a URL, or values for the free steps after it.
    Answered(Box<StepEnd>),
    /// The provider did not charge, and docfetch may send the request again.
    Repeatable(Error),
    /// Nothing was sent: another process sends this request.
    Taken,
}

/// What a failed paid request means.
#[derive(Debug, PartialEq, Eq)]
enum FailedRequest {
    /// The provider did not charge, and docfetch may send the request again.
    Repeatable,
    /// The API refused the request, and did not charge.
    Refused,
    /// The request may have been charged.
    InDoubt,
}

impl FailedRequest {
    fn of(failure: &Failure) -> Self {
        match failure.error.http_status() {
            _ if !failure.sent => Self::Repeatable,
            Some(429) if failure.error.retry_after().is_some() => Self::Repeatable,
            Some(300..=407 | 409..=499) => Self::Refused,
            _ => Self::InDoubt,
        }
    }
}

impl PaidRetrievals {
    /// The recorded URL of a document, unless that expired; else a URL that free steps bring for what is recorded; else
    /// the URL of a new retrieval. Calls `answered` as soon as the answer to a paid request brings a URL, before the
    /// answer is recorded.
    ///
    /// # Errors
    /// [`Code::ChargeRefused`] when the ledger, `--max-charges` or an earlier doubt permits no request.
    /// [`Code::ChargeUnknown`] when the request left and no answer brought a URL. [`Code::Busy`],
    /// [`Code::LocalIo`] and [`Code::DiskFull`] when the record cannot be made. [`Code::NotReady`] when a free step
    /// is not ready in time. Else the codes of an API that refuses, or cannot be reached in time.
    ///
    /// [`Code::ChargeRefused`]: crate::Code::ChargeRefused
    /// [`Code::ChargeUnknown`]: crate::Code::ChargeUnknown
    /// [`Code::Busy`]: crate::Code::Busy
    /// [`Code::LocalIo`]: crate::Code::LocalIo
    /// [`Code::DiskFull`]: crate::Code::DiskFull
    /// [`Code::NotReady`]: crate::Code::NotReady
    pub(super) async fn resolve(
        &self,
        api: &Api,
        id: &DocumentId,
        retry: &mut RetryContext,
        request: ResolveRequest<'_>,
        answered: impl Fn(&PresignedUrl),
    ) -> Result<PresignedUrl> {
        let steps = PaidSteps::of(&api.provider.table.resolve)?;
        let mut retrieval = Retrieval {
            api,
            id,
            steps,
            run: StepRun::new(api, id, self.wait, request.needs_url),
            request,
            is_prepared: steps.before.is_empty(),
            captures_are_gone: false,
        };
        loop {
            let turn = Box::pin(self.turn(&mut retrieval, retry, &answered));
            match turn.await? {
                Turn::Url(url) => return Ok(url),
                Turn::Captured(captures, facts) => {
                    if let Some(url) = retrieval.renew(&captures, facts, retry).await? {
                        return Ok(url);
                    }
                }
                Turn::Prepare => {
                    // This URL is of no paid retrieval.
                    if let Some(url) = retrieval.prepare(retry).await? {
                        return Ok(url);
                    }
                }
            }
        }
    }

    /// Opens the record of a document, and does what the ledger permits. The record is locked meanwhile, so that no
    /// other process sends a paid request; the free steps need no lock.
    async fn turn(
        &self,
        retrieval: &mut Retrieval<'_>,
        retry: &mut RetryContext,
        answered: &impl Fn(&PresignedUrl),
    ) -> Result<Turn> {
        let (api, id, request) = (retrieval.api, retrieval.id, retrieval.request);
        let opened = self.ledger.open(id).await;
        let mut record = opened.map_err(|error| paid_errors::not_recorded(id, error))?;
        loop {
            let taken = record.is_taken();
            let waiting = active_time::now();
            let has_ended = self.ledger.await_attempt(&mut record).await?;
            retry.exclude(active_time::since(waiting));
            if !has_ended && (taken || !self.ledger.run().may_recharge(id)) {
                return Err(paid_errors::unanswered(&self.ledger, id));
            }
            if let Some(url) = request.expired {
                let now = api.http.clock().best();
                record.note(RetrievalEvent::Expired(url), now).await?;
            }
            let requested = record.requested();
            let notice = match record.decide(retrieval.known()) {
                Verdict::Request => None,
                Verdict::RequestAgain => Some(format!(
                    "{id} was delivered, or its URL printed, before: requesting a new paid retrieval"
                )),
                Verdict::RequestPermitted => Some(format!(
                    "requesting another paid retrieval of {id}, as --allow-recharge permits"
                )),
                Verdict::Use(url) => {
                    let requested = paid_errors::to_the_second(requested);
                    log::info!("using the URL of the paid retrieval of {requested}");
                    return Ok(Turn::Url(url));
                }
                Verdict::Renew(captures, facts) => {
                    let requested = paid_errors::to_the_second(requested);
                    log::info!(
                        "requesting a URL of the paid retrieval of {requested}, without a charge"
                    );
                    return Ok(Turn::Captured(captures, facts));
                }
                Verdict::Refuse(state) => {
                    let unnamed = request.unknown_name().filter(|_| !request.has_partial);
                    return Err(match (state, unnamed) {
                        (State::Delivered, Some(failure)) => paid_errors::unnamed(id, failure),
                        _ => paid_errors::refused(&self.ledger, id, state, requested),
                    });
                }
            };
            let failure = request.metadata_failure;
            if let Some(failure) = failure.filter(|failure| failure.forbids_payment) {
                return Err(failure.error.clone());
            }
            if !retrieval.is_prepared {
                record.undo_decision();
                return Ok(Turn::Prepare);
            }
            let retrieving =
                Box::pin(self.retrieve(retrieval, retry, &mut record, notice.as_deref()));
            if let Some(end) = retrieving.await? {
                return retrieval.note_answer(end, &mut record, answered).await;
            }
        }
    }

    /// Sends paid requests until one is answered. `None` when another process sends one.
    async fn retrieve(
        &self,
        retrieval: &Retrieval<'_>,
        retry: &mut RetryContext,
        record: &mut OpenRecord<'_>,
        notice: Option<&str>,
    ) -> Result<Option<StepEnd>> {
        loop {
            match self.request(retrieval, retry, record, notice).await? {
                RequestEnd::Answered(end) => return Ok(Some(*end)),
                RequestEnd::Taken => return Ok(None),
                // The batch paused in the meantime: the next permit waits for its end.
                RequestEnd::Repeatable(error) if error.is_not_started() => {}
                RequestEnd::Repeatable(error) => retry.wait_after(error).await?,
            }
        }
    }

    /// Sends one paid request, and notes every end of it in the record but that it was answered.
    async fn request(
        &self,
        retrieval: &Retrieval<'_>,
        retry: &mut RetryContext,
        record: &mut OpenRecord<'_>,
        notice: Option<&str>,
    ) -> Result<RequestEnd> {
        let (api, id) = (retrieval.api, retrieval.id);
        let clock = api.http.clock();
        let waiting = active_time::now();
        let mut permit = self.requests.permit(id).await?;
        retry.exclude(active_time::since(waiting));
        let sent = Notify::new();
        let mut before_send = async || {
            let noted = record.note(RetrievalEvent::Sending, clock.best()).await;
            noted.map_err(|error| paid_errors::not_recorded(id, error))?;
            permit.leave()?;
            sent.notify_one();
            if let Some(notice) = notice {
                log::error!("{notice}");
            }
            Ok(())
        };
        let step = retrieval.run.request(retrieval.steps.paid);
        let sending = Box::pin(api.step(step, retry, Some(&mut before_send)));
        let limit = api.http.paid_answer_timeout();
        let failure = match self.silence.watch(&sent, limit, sending).await {
            Ok(end) => {
                permit.ended(Charged::Yes);
                return Ok(RequestEnd::Answered(Box::new(end)));
            }
            Err(failure) => failure,
        };
        if record.is_taken() {
            permit.ended(Charged::No);
            return Ok(RequestEnd::Taken);
        }
        let meaning = FailedRequest::of(&failure);
        if meaning == FailedRequest::InDoubt {
            record
                .note(RetrievalEvent::Unanswered, clock.best())
                .await?;
            permit.ended(Charged::InDoubt);
            return Err(paid_errors::in_doubt(&self.ledger, id, &failure.error));
        }
        record
            .note(RetrievalEvent::NotCharged, clock.best())
            .await?;
        permit.ended(Charged::No);
        match meaning {
            FailedRequest::Repeatable => Ok(RequestEnd::Repeatable(failure.error)),
            _ => Err(failure.error),
        }
    }

    /// What a real run would pay for the URL of a document.
    ///
    /// # Errors
    /// [`Code::ChargeRefused`](crate::Code::ChargeRefused) when the record cannot be trusted.
    pub(super) fn foresee(
        &self,
        api: &Api,
        id: &DocumentId,
        request: ResolveRequest<'_>,
    ) -> Result<Cost> {
        let now = api.http.clock().earliest();
        Ok(match self.ledger.foresee(id, request.into(), now)? {
            Verdict::Use(_) | Verdict::Renew(..) => {
                log::info!("{id} would use the URL of a recorded paid retrieval");
                Cost::Reuse
            }
            Verdict::Refuse(_) => {
                log::info!("{id} would be refused: see `docfetch ledger list`");
                Cost::Refuse
            }
            Verdict::Request | Verdict::RequestAgain | Verdict::RequestPermitted => {
                log::info!("{id} would need a paid retrieval");
                Cost::Charge
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use std::time::Duration;

    #[test]
    fn only_a_request_that_never_left_or_a_429_with_a_time_is_repeated() {
        let of = |sent, status: u16, wait: Option<u64>| {
            let error = Error::new(Code::ProviderError, "x").with_http_status(status);
            let error = error.with_retry_after(wait.map(Duration::from_secs));
            FailedRequest::of(&Failure { error, sent })
        };
        for status in [
            300, 307, 400, 401, 402, 403, 404, 407, 409, 410, 425, 429, 499,
        ] {
            assert_eq!(of(true, status, None), FailedRequest::Refused, "{status}");
        }
        for status in [200, 204, 408, 500, 502, 503, 504, 599] {
            let failed = of(true, status, Some(1));
            assert_eq!(failed, FailedRequest::InDoubt, "{status}");
            let failed = of(false, status, None);
            assert_eq!(failed, FailedRequest::Repeatable, "{status}");
        }
        assert_eq!(of(true, 429, Some(1)), FailedRequest::Repeatable);
        let broken = Error::new(Code::Network, "x");
        let failure = |sent| Failure {
            error: broken.clone(),
            sent,
        };
        assert_eq!(FailedRequest::of(&failure(true)), FailedRequest::InDoubt);
        assert_eq!(
            FailedRequest::of(&failure(false)),
            FailedRequest::Repeatable
        );
    }
}
