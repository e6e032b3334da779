//! A retrieval that may be charged: the ledger decides whether it is asked for, and knows of it before
//! the first byte leaves.

use super::ledger::UnderWay;
use super::ledger::table::{Event, State, Verdict};
use super::{Need, Resolver};
use crate::error::{Code, Error, Result};
use crate::http::backoff::Retry;
use crate::http::failure::Failure;
use crate::http::presigned::PresignedUrl;
use crate::model::{DocumentId, short_duration};
use jiff::Timestamp;
use tokio::sync::{Mutex, mpsc};

/// What a request that brought no URL cost.
#[derive(Debug, PartialEq, Eq)]
enum Cost {
    /// Nothing, and it can be sent again: it never left, or the API said when to come back.
    NothingYet,
    /// Nothing, by an answer.
    Nothing,
    /// Nobody knows.
    Unknown,
}

fn cost(failure: &Failure) -> Cost {
    match failure.error.status() {
        _ if !failure.sent => Cost::NothingYet,
        Some(429) if failure.error.wait().is_some() => Cost::NothingYet,
        Some(300..=407 | 409..=499) => Cost::Nothing,
        _ => Cost::Unknown,
    }
}

impl Resolver {
    /// The URL of a paid retrieval: a recorded one while it lives, else one that is asked for.
    ///
    /// # Errors
    /// [`Code::ChargeRefused`] when the ledger forbids it, [`Code::ChargeUnknown`] when it was sent and
    /// not answered with a URL, and what a refusing API says.
    pub(super) async fn retrieve(
        &self,
        id: &DocumentId,
        retry: &mut Retry,
        need: Need<'_>,
    ) -> Result<PresignedUrl> {
        let clock = self.http.clock();
        let mut entry = self.ledger.open(id).await?;
        if let Some(url) = need.over {
            entry.note(Event::Over(url), clock.best()).await;
        }
        let asked = entry.asked();
        match entry.verdict(clock.now(), need.begun) {
            Verdict::Ask => {}
            Verdict::AskAnew => log::error!(
                "{id} was delivered, or its URL printed, before: asking for a new paid retrieval"
            ),
            Verdict::AskPermitted => log::error!(
                "asking for another paid retrieval of {id}, as --allow-recharge permits"
            ),
            Verdict::Use(url) => {
                log::info!("using the URL of the paid retrieval of {}", shown(asked));
                return Ok(url);
            }
            Verdict::Refuse(state) => return Err(self.refused(id, state, asked)),
        }
        let entry = &Mutex::new(entry);
        let note = async |event: Event<'_>| entry.lock().await.note(event, clock.best()).await;
        loop {
            let (tell, mut told) = mpsc::channel(1);
            let leaving = async || {
                note(Event::Sending).await;
                if let Some(trouble) = entry.lock().await.trouble() {
                    let _ = tell.send(trouble).await;
                    std::future::pending::<()>().await; // what is not recorded does not leave
                }
            };
            let handed = tokio::select! {
                Some(trouble) = told.recv() => return Err(trouble),
                handed = self.hand_over(id, retry, &leaving) => handed,
            };
            let failure = match handed {
                Ok(url) => {
                    self.open_meanwhile(&url);
                    note(Event::Answered(&url)).await;
                    return Ok(url);
                }
                Err(failure) => failure,
            };
            match cost(&failure) {
                Cost::NothingYet => {
                    note(Event::NotCharged).await;
                    retry.pause(failure.error).await?;
                }
                Cost::Nothing => {
                    note(Event::NotCharged).await;
                    return Err(failure.error);
                }
                Cost::Unknown => {
                    note(Event::Unanswered).await;
                    return Err(self.in_doubt(id, &failure.error));
                }
            }
        }
    }

    /// Notes that a document was delivered, published or its URL printed: by `url`, or by whatever
    /// was recorded before this run.
    pub async fn delivered(&self, id: &DocumentId, url: Option<&PresignedUrl>) {
        if self.provider.charged {
            self.ledger.delivered(id, url).await;
        }
        if let Some(url) = url {
            self.remember_storage(url).await;
        }
    }

    /// Counts a document that is fetched: records of several are written at the same time.
    pub fn under_way(&self) -> UnderWay<'_> {
        self.ledger.under_way()
    }

    /// Whether a paid request for a document has left, and is not answered.
    pub fn is_asking(&self, id: &DocumentId) -> bool {
        self.ledger.was_asking(id)
    }

    /// A failure, with what running again means once a paid retrieval was asked for. `resolved` when
    /// this run had its URL.
    pub fn say_what_it_costs(&self, id: &DocumentId, error: Error, resolved: bool) -> Error {
        if self.ledger.was_asking(id) {
            return error
                .why("a paid retrieval was sent and may have been charged")
                .hint(self.next(id));
        }
        let told = matches!(error.code(), Code::ChargeUnknown | Code::ChargeRefused);
        if told || !resolved || !self.provider.charged {
            return error;
        }
        let Ok((Some(record), kept)) = self.ledger.look(id) else {
            return error;
        };
        if !matches!(record.state, State::Answered | State::Delivered) {
            return error;
        }
        if error.code() == Code::StorageDenied && error.status() == Some(404) {
            return error.hint(format!("tell the provider; {}", self.given_up(id)));
        }
        if !kept {
            return error.hint("running again may be charged: this answer could not be recorded");
        }
        let now = self.http.clock().best();
        let left = record.left(now).filter(|left| left.as_secs() > 0);
        let left = left.map(short_duration);
        let hint = match (error.retryable() && error.code() != Code::ClockSkew, left) {
            (true, Some(left)) => {
                format!("run again within {left}: the paid URL is kept until then")
            }
            (true, None) => "run again while the paid URL lives: it is kept".to_owned(),
            (false, Some(left)) => {
                format!("{}; the paid URL is kept for {left}", error.next_step())
            }
            (false, None) => error.next_step().to_owned(),
        };
        error.hint(hint)
    }

    /// What a real run would do about the cost, for a dry run.
    ///
    /// # Errors
    /// [`Code::ChargeRefused`] when the record cannot be trusted.
    pub fn foresee(&self, id: &DocumentId) -> Result<()> {
        if !self.provider.charged {
            return Ok(());
        }
        match self.ledger.foresee(id, self.http.clock().now())? {
            Verdict::Use(_) => log::info!("{id} would use the URL of a recorded paid retrieval"),
            Verdict::Refuse(_) => log::warn!("{id} would be refused: see `docfetch ledger list`"),
            Verdict::Ask | Verdict::AskAnew | Verdict::AskPermitted => {
                log::warn!("{id} would ask for a paid retrieval");
            }
        }
        Ok(())
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
                format!("the URL of {asked} is over, and the document was not delivered"),
            ),
            State::Delivered => (
                format!("{id} would need a second paid retrieval"),
                format!("the URL of {asked} is over, and only a part of the document is here"),
            ),
        };
        Error::new(Code::ChargeRefused, what)
            .why(why)
            .hint(self.next(id))
    }

    fn in_doubt(&self, id: &DocumentId, error: &Error) -> Error {
        let what = format!("the paid retrieval of {id} may have been charged");
        let unknown = Error::new(Code::ChargeUnknown, what)
            .why(error.message())
            .hint(self.next(id));
        match error.status() {
            Some(status) => unknown.http_status(status),
            None => unknown,
        }
    }

    fn next(&self, id: &DocumentId) -> String {
        format!(
            "look at the bill; then --allow-recharge, or `docfetch ledger forget {}`",
            self.ledger.called(id)
        )
    }

    /// The way out of a paid URL that is of no use.
    pub(super) fn given_up(&self, id: &DocumentId) -> String {
        format!(
            "`docfetch ledger forget {}` gives the paid URL up",
            self.ledger.called(id)
        )
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
    fn what_a_failure_costs() {
        let of = |sent, status: u16, wait: Option<u64>| {
            let error = Error::new(Code::ProviderError, "x").http_status(status);
            let error = error.retry_after(wait.map(Duration::from_secs));
            cost(&Failure { error, sent })
        };
        for status in [
            300, 307, 400, 401, 402, 403, 404, 407, 409, 410, 425, 429, 499,
        ] {
            assert_eq!(of(true, status, None), Cost::Nothing, "{status}");
        }
        for status in [200, 204, 408, 500, 502, 503, 504, 599] {
            assert_eq!(of(true, status, Some(1)), Cost::Unknown, "{status}");
            assert_eq!(of(false, status, None), Cost::NothingYet, "{status}");
        }
        assert_eq!(of(true, 429, Some(1)), Cost::NothingYet);
        let broken = Error::new(Code::Network, "x");
        let failure = |sent| Failure {
            error: broken.clone(),
            sent,
        };
        assert_eq!(cost(&failure(true)), Cost::Unknown);
        assert_eq!(cost(&failure(false)), Cost::NothingYet);
    }
}
