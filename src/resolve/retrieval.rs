//! A retrieval that may be charged: the ledger decides whether it is asked for, and knows of it before
//! the first byte leaves.

use super::ledger::table::{Event, State, Verdict};
use super::{Need, Resolver};
use crate::error::{Code, Error, Result};
use crate::http::backoff::Retry;
use crate::http::failure::Failure;
use crate::http::presigned::PresignedUrl;
use crate::model::DocumentId;
use jiff::{SignedDuration, Timestamp};
use std::cell::RefCell;

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
            entry.note(Event::Over(url), clock.best());
        }
        let asked = entry.asked();
        match entry.verdict(clock.now(), need.begun) {
            Verdict::Ask => {}
            Verdict::AskAnew => log::error!(
                "{id} was delivered before, and its URL is over: asking for a new paid retrieval"
            ),
            Verdict::AskPermitted => log::error!(
                "asking for another paid retrieval of {id}, as --allow-recharge permits"
            ),
            Verdict::Use(url) => {
                log::info!("using the URL of the paid retrieval of {}", shown(asked));
                return Ok(url);
            }
            Verdict::Refuse(state) => return Err(refused(id, state, asked)),
        }
        let entry = RefCell::new(entry);
        let note = |event: Event<'_>| entry.borrow_mut().note(event, clock.best());
        loop {
            let leaving = || note(Event::Sending);
            let failure = match self.hand_over(id, retry, &leaving).await {
                Ok(url) => {
                    note(Event::Answered(&url));
                    return Ok(url);
                }
                Err(failure) => failure,
            };
            match cost(&failure) {
                Cost::NothingYet => {
                    note(Event::NotCharged);
                    retry.pause(failure.error).await?;
                }
                Cost::Nothing => {
                    note(Event::NotCharged);
                    return Err(failure.error);
                }
                Cost::Unknown => {
                    note(Event::Unanswered);
                    return Err(in_doubt(id, &failure.error));
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
    }

    /// A failure, with what running again means once a paid retrieval was asked for. `resolved` when
    /// this run had its URL.
    pub fn say_what_it_costs(&self, id: &DocumentId, error: Error, resolved: bool) -> Error {
        if self.ledger.was_asking(id) {
            return error
                .why("a paid retrieval was sent and may have been charged")
                .hint(next(id));
        }
        let told = matches!(error.code(), Code::ChargeUnknown | Code::ChargeRefused);
        if told || !resolved || !self.provider.charged {
            return error;
        }
        let Ok((Some(record), kept)) = self.ledger.look(id) else {
            return error;
        };
        if record.state != State::Answered {
            return error;
        }
        match error.code() {
            Code::StorageDenied if error.status() == Some(404) => {
                let forget = format!("`docfetch ledger forget {id}` gives the paid URL up");
                error.hint(format!("tell the provider; {forget}"))
            }
            // Another run with the same URL would only repeat it, or its own hint comes first.
            Code::ClockSkew => error,
            _ if !error.retryable() => error,
            _ if !kept => {
                error.hint("running again may be charged: this answer could not be recorded")
            }
            _ => {
                let now = self.http.clock().best();
                let left = record.expires().map(|end| end.duration_since(now));
                error.hint(match left.filter(SignedDuration::is_positive) {
                    Some(left) => {
                        let left = short(left);
                        format!("run again within {left}: the paid URL is kept until then")
                    }
                    None => "run again while the paid URL lives: it is kept".to_owned(),
                })
            }
        }
    }
}

fn refused(id: &DocumentId, state: State, asked: Option<Timestamp>) -> Error {
    let asked = shown(asked);
    let (what, why) = match state {
        State::Attempting => (
            format!("a paid retrieval of {id} may have been charged already"),
            format!("it was asked for at {asked}, and the process ended before the answer"),
        ),
        State::Doubtful => (
            format!("a paid retrieval of {id} may have been charged already"),
            format!("it was sent at {asked}, and not answered with a URL"),
        ),
        State::Answered | State::Delivered => (
            format!("{id} would need a second paid retrieval"),
            format!("the URL of {asked} is over, and not all bytes are here"),
        ),
    };
    Error::new(Code::ChargeRefused, what)
        .why(why)
        .hint(next(id))
}

fn in_doubt(id: &DocumentId, error: &Error) -> Error {
    let what = format!("the paid retrieval of {id} may have been charged");
    let unknown = Error::new(Code::ChargeUnknown, what)
        .why(error.message())
        .hint(next(id));
    match error.status() {
        Some(status) => unknown.http_status(status),
        None => unknown,
    }
}

fn next(id: &DocumentId) -> String {
    format!("look at the bill; then --allow-recharge, or `docfetch ledger forget {id}`")
}

/// A time to the second.
fn shown(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "an earlier run".to_owned(), |time| format!("{time:.0}"))
}

/// A duration for people, never too long.
fn short(left: SignedDuration) -> String {
    match left.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
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
