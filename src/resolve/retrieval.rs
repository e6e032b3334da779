//! A retrieval that may be charged: the ledger decides whether a request is sent, and has its record
//! before the first byte leaves.

use super::ledger::table::{Event, RetrievalRequest, State, Verdict};
use super::ledger::{ActiveDocument, RecordFound};
use super::paid_requests::{Charged, PaidRequests};
use super::{Need, Resolver};
use crate::active_time;
use crate::error::{Code, Error, Result};
use crate::http::backoff::RetryContext;
use crate::http::{Failure, PresignedUrl};
use crate::model::DocumentId;
use crate::text::short_duration;
use jiff::Timestamp;

/// What a real run would pay for a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// A paid retrieval.
    Charge,
    /// Nothing: a recorded URL serves again.
    Reuse,
    /// Nothing: the ledger would refuse.
    Refuse,
}

/// What a paid request that brought no URL means.
#[derive(Debug, PartialEq, Eq)]
enum Unpaid {
    /// It was not charged, and can be sent again: it never left, or the API named a time.
    Again,
    /// The API refused it.
    Refused,
    /// It left, and may have been charged.
    InDoubt,
}

fn unpaid(failure: &Failure) -> Unpaid {
    match failure.error.http_status() {
        _ if !failure.sent => Unpaid::Again,
        Some(429) if failure.error.retry_after().is_some() => Unpaid::Again,
        Some(300..=407 | 409..=499) => Unpaid::Refused,
        _ => Unpaid::InDoubt,
    }
}

impl Resolver {
    /// The URL of a paid retrieval: a recorded one unless that expired, else a new one.
    ///
    /// # Errors
    /// [`Code::ChargeRefused`] when the ledger forbids it, [`Code::ChargeUnknown`] when it was sent and
    /// not answered with a URL, and what a refusing API says.
    pub(super) async fn retrieve(
        &self,
        id: &DocumentId,
        retry: &mut RetryContext,
        need: Need<'_>,
    ) -> Result<PresignedUrl> {
        let clock = self.http.clock();
        let entry = self.ledger.open(id).await;
        let mut entry = entry.map_err(|error| unrecorded(id, error))?;
        if let Some(url) = need.expired {
            entry.note(Event::Expired(url), clock.best()).await?;
        }
        let asked = entry.requested();
        let request = RetrievalRequest {
            begun: need.begun,
            refused: need.refused,
            ..RetrievalRequest::default()
        };
        let notice = match entry.decide(request) {
            Verdict::Request => None,
            Verdict::RequestAgain => Some(format!(
                "{id} was delivered, or its URL printed, before: asking for a new paid retrieval"
            )),
            Verdict::RequestPermitted => Some(format!(
                "asking for another paid retrieval of {id}, as --allow-recharge permits"
            )),
            Verdict::Use(url) => {
                log::info!("using the URL of the paid retrieval of {}", shown(asked));
                return Ok(url);
            }
            Verdict::Refuse(state) => return Err(self.refused(id, state, asked)),
        };
        loop {
            let waiting = active_time::now();
            let mut permit = self.paid_requests.permit(id).await?;
            retry.exclude(active_time::since(waiting));
            let mut before_send = async || {
                let noted = entry.note(Event::Sending, clock.best()).await;
                noted.map_err(|error| unrecorded(id, error))?;
                permit.leave()?;
                if let Some(notice) = &notice {
                    log::error!("{notice}");
                }
                Ok(())
            };
            let failure = match self.hand_over(id, retry, Some(&mut before_send)).await {
                Ok(url) => {
                    permit.ended(Charged::Yes);
                    self.open_meanwhile(&url);
                    entry.note(Event::Answered(&url), clock.best()).await?;
                    return Ok(url);
                }
                Err(failure) => failure,
            };
            match unpaid(&failure) {
                Unpaid::Again => {
                    entry.note(Event::NotCharged, clock.best()).await?;
                    permit.ended(Charged::No);
                    if !failure.error.is_not_started() {
                        retry.wait_after(failure.error).await?;
                    }
                }
                Unpaid::Refused => {
                    entry.note(Event::NotCharged, clock.best()).await?;
                    permit.ended(Charged::No);
                    return Err(failure.error);
                }
                Unpaid::InDoubt => {
                    entry.note(Event::Unanswered, clock.best()).await?;
                    permit.ended(Charged::InDoubt);
                    return Err(self.in_doubt(id, &failure.error));
                }
            }
        }
    }

    /// Notes that a document was delivered, published or its URL printed: by `url`, or by whatever
    /// was recorded before this run.
    pub(crate) async fn delivered(&self, id: &DocumentId, url: Option<&PresignedUrl>) {
        if self.provider.charged {
            self.ledger.delivered(id, url).await;
        }
        if let Some(url) = url {
            self.remember_storage(url).await;
        }
    }

    /// Counts a document that this run is fetching: records of several are written at the same time.
    pub(crate) fn count_active(&self) -> ActiveDocument<'_> {
        self.ledger.run().count_active()
    }

    /// Whether a paid request for a document may have left and is not answered.
    pub(crate) fn is_pending(&self, id: &DocumentId) -> bool {
        self.ledger.run().is_pending(id)
    }

    /// A failure, with what running again means once a paid retrieval was requested. `resolved` when
    /// this run had its URL.
    pub fn with_charge_hint(&self, id: &DocumentId, error: Error, resolved: bool) -> Error {
        if self.ledger.run().is_pending(id) {
            return error
                .with_cause("a paid retrieval was sent and may have been charged")
                .with_hint(self.next(id));
        }
        let told = matches!(error.code(), Code::ChargeUnknown | Code::ChargeRefused);
        if told || !resolved || !self.provider.charged {
            return error;
        }
        let Ok(RecordFound {
            record: Some(record),
            is_on_disk,
        }) = self.ledger.find(id)
        else {
            return error;
        };
        if !matches!(record.state, State::Answered | State::Delivered) {
            return error;
        }
        if error.code() == Code::StorageDenied {
            let next = match error.http_status() {
                Some(404) => "tell the provider",
                _ => error.hint(),
            };
            let hint = format!("{next}; {}", self.given_up(id));
            return error.with_hint(hint);
        }
        if !is_on_disk {
            return error
                .with_hint("running again may be charged: this answer could not be recorded");
        }
        let now = self.http.clock().best();
        let left = record.url_time_left(now).filter(|left| left.as_secs() > 0);
        let left = left.map(short_duration);
        let hint = match (error.retryable() && error.code() != Code::ClockSkew, left) {
            (true, Some(left)) if !error.has_own_hint() => {
                format!("run again within {left}: the paid URL is kept until then")
            }
            (true, None) if record.expires().is_some() => format!(
                "run again: the paid URL is kept, and tried once more; {}",
                self.given_up(id)
            ),
            (true, None) => "run again while the paid URL lives: it is kept".to_owned(),
            (_, Some(left)) => {
                format!("{}; the paid URL is kept for {left}", error.hint())
            }
            (false, None) => error.hint().to_owned(),
        };
        error.with_hint(hint)
    }

    /// Whether `--allow-recharge` permits another paid retrieval of a document in this run.
    pub fn may_recharge(&self, id: &DocumentId) -> bool {
        self.provider.charged && self.ledger.run().may_recharge(id)
    }

    /// The paid requests of this run; none where the provider never charges.
    pub fn paid_requests(&self) -> Option<&PaidRequests> {
        self.provider.charged.then_some(&self.paid_requests)
    }

    /// What a real run would pay for a document, of which a part is here already if it has `begun`; none
    /// where the provider never charges.
    ///
    /// # Errors
    /// [`Code::ChargeRefused`] when the record cannot be trusted.
    pub fn foresee(&self, id: &DocumentId, begun: bool) -> Result<Option<Cost>> {
        if !self.provider.charged {
            return Ok(None);
        }
        let verdict = self
            .ledger
            .foresee(id, begun, self.http.clock().earliest())?;
        Ok(Some(match verdict {
            Verdict::Use(_) => {
                log::info!("{id} would use the URL of a recorded paid retrieval");
                Cost::Reuse
            }
            Verdict::Refuse(_) => {
                log::info!("{id} would be refused: see `docfetch ledger list`");
                Cost::Refuse
            }
            Verdict::Request | Verdict::RequestAgain | Verdict::RequestPermitted => {
                log::info!("{id} would ask for a paid retrieval");
                Cost::Charge
            }
        }))
    }

    fn refused(&self, id: &DocumentId, state: State, asked: Option<Timestamp>) -> Error {
        let asked = shown(asked);
        let (what, why) = match state {
            State::Attempting => (
                format!("a paid retrieval of {id} may have been charged already"),
                format!("it was asked for at {asked}, and no answer was recorded"),
            ),
            State::Doubtful => (
                format!("a paid retrieval of {id} may have been charged already"),
                format!("it was sent at {asked}, and not answered with a URL"),
            ),
            State::Answered => (
                format!("{id} would need a second paid retrieval"),
                format!("the URL of {asked} expired, and the document was not delivered"),
            ),
            State::Delivered => (
                format!("{id} would need a second paid retrieval"),
                format!("the URL of {asked} expired, and only a part of the document is here"),
            ),
        };
        Error::new(Code::ChargeRefused, what)
            .with_cause(why)
            .with_hint(self.next(id))
    }

    fn in_doubt(&self, id: &DocumentId, error: &Error) -> Error {
        let what = format!("the paid retrieval of {id} may have been charged");
        let unknown = Error::new(Code::ChargeUnknown, what)
            .with_cause(error.message())
            .with_hint(self.next(id));
        match error.http_status() {
            Some(status) => unknown.with_http_status(status),
            None => unknown,
        }
    }

    fn next(&self, id: &DocumentId) -> String {
        format!(
            "look at the bill; then --allow-recharge, or `docfetch ledger forget {}`",
            self.ledger.forget_argument(id)
        )
    }

    /// The way out of a paid URL that is of no use.
    pub(super) fn given_up(&self, id: &DocumentId) -> String {
        format!(
            "--allow-recharge pays for another retrieval, `docfetch ledger forget {}` gives the paid URL up",
            self.ledger.forget_argument(id)
        )
    }
}

/// The error of a paid request that does not leave, since its record cannot be made.
fn unrecorded(id: &DocumentId, error: Error) -> Error {
    match error.code() {
        code @ (Code::DiskFull | Code::LocalIo) => {
            let what = format!("no paid request was sent for {id}");
            Error::new(code, what).with_cause(error.message())
        }
        _ => error,
    }
}

/// A time to the second.
fn shown(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "an earlier run".to_owned(), |time| format!("{time:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_a_paid_request_without_a_url_means() {
        let of = |sent, status: u16, wait: Option<u64>| {
            let error = Error::new(Code::ProviderError, "x").with_http_status(status);
            let error = error.with_retry_after(wait.map(Duration::from_secs));
            unpaid(&Failure { error, sent })
        };
        for status in [
            300, 307, 400, 401, 402, 403, 404, 407, 409, 410, 425, 429, 499,
        ] {
            assert_eq!(of(true, status, None), Unpaid::Refused, "{status}");
        }
        for status in [200, 204, 408, 500, 502, 503, 504, 599] {
            assert_eq!(of(true, status, Some(1)), Unpaid::InDoubt, "{status}");
            assert_eq!(of(false, status, None), Unpaid::Again, "{status}");
        }
        assert_eq!(of(true, 429, Some(1)), Unpaid::Again);
        let broken = Error::new(Code::Network, "x");
        let failure = |sent| Failure {
            error: broken.clone(),
            sent,
        };
        assert_eq!(unpaid(&failure(true)), Unpaid::InDoubt);
        assert_eq!(unpaid(&failure(false)), Unpaid::Again);
    }
}
