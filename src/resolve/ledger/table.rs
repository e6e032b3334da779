//! How a paid retrieval stands, what a run may do then, and what happens to it.
//!
//! | state | what is known | it has a URL | its URL expired, or it has none |
//! | --- | --- | --- | --- |
//! | no record | nothing was charged | | ask |
//! | `attempting` | a request may have left, and its process is gone | | refuse |
//! | `doubtful` | a request left, and was not answered with a URL | | refuse |
//! | `answered` | a URL came, the document has not been delivered | use it | refuse |
//! | `delivered` | the document was delivered | use it | ask, and say so: it is a new retrieval; refuse when part of it is here: that retrieval has begun |
//!
//! A URL expired when the storage said so: clocks decide nothing. One that is past its end as far as
//! clocks know is used *on trial*: the storage is asked once. A dry run asks nothing, and takes such a
//! URL as expired. `--allow-recharge` turns *refuse* into *ask*, once a document and run; it also asks
//! in place of a URL that the storage refused in this run. The states follow the retrieval:
//!
//! | event | before | after |
//! | --- | --- | --- |
//! | about to be sent | any | `attempting`, on disk before the first byte leaves |
//! | it never left, or was answered without a charge | `attempting` | what was there before |
//! | not answered, or with a failure or without a URL | `attempting` | `doubtful` |
//! | answered with a URL | `attempting` | `answered`, on disk before the document is asked for |
//! | the document is published, or its URL printed | `answered` | `delivered` |
//! | the storage says that the URL expired | `answered`, `delivered` | the same, its URL expired |

use crate::http::presigned::PresignedUrl;
use crate::model::DocumentId;
use crate::secret::{Secret, kept};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use url::Url;

/// The form of the records.
const VERSION: u8 = 1;

/// How a paid retrieval stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// A process is sending the request; when none is, that process was stopped.
    Attempting,
    /// A URL came; the document was not delivered yet.
    Answered,
    /// The document was delivered.
    Delivered,
    /// It was asked for, and not answered with a URL.
    Doubtful,
}

/// What is recorded of one document's retrieval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u8,
    /// The provider's name.
    pub provider: String,
    /// Where its API lives.
    pub base: String,
    /// The document.
    pub id: String,
    /// How it stands.
    pub state: State,
    /// When it was asked for, by the servers' clock.
    pub asked: Timestamp,
    /// What came of it.
    answer: Option<Answer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    #[serde(with = "kept")]
    url: Secret,
    /// By the servers' clock.
    expires: Option<Timestamp>,
    /// Whether the storage said that it expired.
    #[serde(rename = "over")]
    expired: bool,
}

/// What happens to a retrieval.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// It is about to be sent.
    Sending,
    /// It never left, or was answered without a charge.
    NotCharged,
    /// It was not answered, or not with a URL.
    Unanswered,
    /// A URL came.
    Answered(&'a PresignedUrl),
    /// The document was published, or its URL printed: by this URL, or by the one recorded.
    Delivered(Option<&'a PresignedUrl>),
    /// The storage says that this URL expired.
    Expired(&'a PresignedUrl),
}

/// What a run may do.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Ask: nothing is recorded that was charged.
    Ask,
    /// Ask, and say so: the document was delivered before.
    AskAnew,
    /// Ask, and say so: the user permits another charge.
    AskPermitted,
    /// Use the URL of an earlier answer.
    Use(PresignedUrl),
    /// Do not ask: this state would be charged again.
    Refuse(State),
}

/// What a run knows when it asks for a verdict.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RetrievalRequest<'a> {
    /// Whether part of the document is here already.
    pub begun: bool,
    /// Whether `--allow-recharge` still counts.
    pub permitted: bool,
    /// A URL that the storage refused in this run, though it has not expired.
    pub refused: Option<&'a PresignedUrl>,
    /// The time of a dry run: it asks no storage, and takes a URL past its end as expired.
    pub dry_run_at: Option<Timestamp>,
}

/// The first table.
pub(crate) fn verdict(record: Option<&Record>, request: RetrievalRequest<'_>) -> Verdict {
    let Some(record) = record else {
        return Verdict::Ask;
    };
    let refused = request.refused.is_some_and(|url| record.has(url));
    let url = record.url();
    let url = url.filter(|url| !request.dry_run_at.is_some_and(|now| url.is_expired(now)));
    match (record.state, url) {
        (State::Answered | State::Delivered, Some(url)) if !(refused && request.permitted) => {
            Verdict::Use(url)
        }
        (State::Delivered, None) if !request.begun => Verdict::AskAnew,
        _ if request.permitted => Verdict::AskPermitted,
        (state, _) => Verdict::Refuse(state),
    }
}

/// What a record is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    /// The provider's name.
    pub provider: &'a str,
    /// Where its API lives.
    pub base: &'a str,
    /// The document.
    pub id: &'a DocumentId,
}

impl Record {
    /// A retrieval that is about to be sent.
    fn attempting(about: About<'_>, now: Timestamp) -> Self {
        Self {
            version: VERSION,
            provider: about.provider.to_owned(),
            base: about.base.to_owned(),
            id: about.id.as_str().to_owned(),
            state: State::Attempting,
            asked: now,
            answer: None,
        }
    }

    /// When its URL expires or was found expired, by the servers' clock.
    pub(crate) fn expires(&self) -> Option<Timestamp> {
        self.answer.as_ref()?.expires
    }

    /// Its URL, unless the storage said that it expired.
    fn url(&self) -> Option<PresignedUrl> {
        let answer = self.answer.as_ref().filter(|answer| !answer.expired)?;
        let since = Timestamp::now().duration_since(self.asked).unsigned_abs();
        let url = Url::parse(answer.url.expose()).ok()?;
        Some(PresignedUrl::recorded(url, answer.expires, since))
    }

    fn has(&self, url: &PresignedUrl) -> bool {
        let known = self.answer.as_ref().map(|answer| answer.url.expose());
        known == Some(url.expose().as_str())
    }

    /// How long its URL lives at `now`, where that is known.
    pub(crate) fn left(&self, now: Timestamp) -> Option<Duration> {
        let left = self.expires()?.duration_since(now);
        Duration::try_from(left).ok().filter(|left| !left.is_zero())
    }

    /// Whether it could have been written by this program.
    pub(crate) fn is_valid(&self) -> bool {
        let with_url = matches!(self.state, State::Answered | State::Delivered);
        let url = self
            .answer
            .as_ref()
            .map(|answer| Url::parse(answer.url.expose()));
        self.version == VERSION && matches!(url, Some(Ok(_))) == with_url
    }

    /// Whether it could have been written by this program for `id`.
    pub(crate) fn makes_sense(&self, id: &DocumentId) -> bool {
        self.is_valid() && self.id == id.as_str()
    }

    fn with(self, state: State, answer: Option<Answer>) -> Self {
        Self {
            state,
            answer,
            ..self
        }
    }
}

/// The second table: what becomes of `current` at `now`; `before` was there before it was asked for.
pub(crate) fn after(
    about: About<'_>,
    current: Option<Record>,
    before: Option<Record>,
    event: Event<'_>,
    now: Timestamp,
) -> Option<Record> {
    if let Event::Sending = event {
        return Some(Record::attempting(about, now));
    }
    let record = current?;
    match (event, record.state) {
        (Event::NotCharged, State::Attempting) => before,
        (Event::Unanswered, State::Attempting) => Some(record.with(State::Doubtful, None)),
        (Event::Answered(url), State::Attempting) => {
            let answer = Answer {
                url: Secret::unlisted(url.expose().as_str()),
                expires: url.expires,
                expired: false,
            };
            Some(record.with(State::Answered, Some(answer)))
        }
        (Event::Delivered(url), State::Answered) if url.is_none_or(|url| record.has(url)) => {
            let answer = record.answer.clone();
            Some(record.with(State::Delivered, answer))
        }
        (Event::Expired(url), state @ (State::Answered | State::Delivered)) if record.has(url) => {
            let answer = record.answer.clone().map(|answer| Answer {
                expires: Some(answer.expires.map_or(now, |end| end.min(now))),
                expired: true,
                ..answer
            });
            Some(record.with(state, answer))
        }
        _ => Some(record),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::clock::Clock;
    use jiff::SignedDuration;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const HOUR: SignedDuration = SignedDuration::from_hours(1);
    const URL: &str = "https://s.example/1?sig=s3cret";

    fn id() -> DocumentId {
        DocumentId::parse("00f2", None).unwrap()
    }

    fn about(id: &DocumentId) -> About<'_> {
        About {
            provider: "onecodex",
            base: "https://api.example",
            id,
        }
    }

    fn record(state: State, expired: bool) -> Record {
        let has_url = matches!(state, State::Answered | State::Delivered);
        Record {
            state,
            answer: has_url.then(|| Answer {
                url: Secret::new(URL),
                expires: Some(NOW + HOUR),
                expired,
            }),
            ..Record::attempting(about(&id()), NOW)
        }
    }

    fn shown(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Ask => "ask",
            Verdict::AskAnew => "ask, said",
            Verdict::AskPermitted => "ask, permitted",
            Verdict::Use(_) => "use",
            Verdict::Refuse(_) => "refuse",
        }
    }

    #[test]
    fn the_first_table() {
        let permitted = "ask, permitted";
        let table = [
            // record, whether its URL expired, whether part is here: without the flag, with it
            (None, true, false, "ask", "ask"),
            (None, true, true, "ask", "ask"),
            (Some(State::Attempting), true, false, "refuse", permitted),
            (Some(State::Attempting), true, true, "refuse", permitted),
            (Some(State::Doubtful), true, false, "refuse", permitted),
            (Some(State::Doubtful), true, true, "refuse", permitted),
            (Some(State::Answered), false, false, "use", "use"),
            (Some(State::Answered), false, true, "use", "use"),
            (Some(State::Answered), true, false, "refuse", permitted),
            (Some(State::Answered), true, true, "refuse", permitted),
            (Some(State::Delivered), false, false, "use", "use"),
            (Some(State::Delivered), false, true, "use", "use"),
            (
                Some(State::Delivered),
                true,
                false,
                "ask, said",
                "ask, said",
            ),
            (Some(State::Delivered), true, true, "refuse", permitted),
        ];
        for (state, expired, begun, without, with) in table {
            let record = state.map(|state| record(state, expired));
            let of = |permitted| {
                let request = RetrievalRequest {
                    begun,
                    permitted,
                    ..RetrievalRequest::default()
                };
                shown(&verdict(record.as_ref(), request))
            };
            assert_eq!(
                (of(false), of(true)),
                (without, with),
                "{state:?} {expired} {begun}"
            );
        }
    }

    #[test]
    fn clocks_decide_nothing_but_in_a_dry_run() {
        for (state, planned) in [(State::Answered, "refuse"), (State::Delivered, "ask, said")] {
            let record = record(state, false);
            let Verdict::Use(mut url) = verdict(Some(&record), RetrievalRequest::default()) else {
                panic!("{state:?}");
            };
            for (now, past_end) in [(NOW, false), (NOW + HOUR, true)] {
                assert_eq!(url.is_expired(now), past_end);
                let request = RetrievalRequest {
                    dry_run_at: Some(now),
                    ..RetrievalRequest::default()
                };
                let expected = if past_end { planned } else { "use" };
                assert_eq!(shown(&verdict(Some(&record), request)), expected);
            }
            // This machine's clock says so as well: the end was decades ago.
            assert!(url.is_on_trial(&Clock::default()));
            url.proven = true;
            assert!(!url.is_on_trial(&Clock::default()));
        }
    }

    #[test]
    fn a_url_that_the_storage_refused_is_replaced_only_where_the_user_permits_it() {
        let refused = |text: &str| PresignedUrl::new(Url::parse(text).unwrap(), None);
        let (this, other) = (refused(URL), refused("https://s.example/2"));
        for state in [State::Answered, State::Delivered] {
            let record = record(state, false);
            for (url, permitted, then) in [
                (&this, true, "ask, permitted"),
                (&this, false, "use"),
                (&other, true, "use"),
            ] {
                let request = RetrievalRequest {
                    refused: Some(url),
                    permitted,
                    ..RetrievalRequest::default()
                };
                assert_eq!(shown(&verdict(Some(&record), request)), then);
            }
        }
    }

    #[test]
    fn the_second_table() {
        let id = id();
        let presigned = |text: &str| PresignedUrl::new(Url::parse(text).unwrap(), Some(NOW + HOUR));
        let (one, other) = (presigned(URL), presigned("https://s.example/2"));
        for from in [
            None,
            Some(State::Attempting),
            Some(State::Doubtful),
            Some(State::Answered),
            Some(State::Delivered),
        ] {
            let current = from.map(|state| record(state, false));
            let before = Some(record(State::Delivered, true));
            let to = |event| after(about(&id), current.clone(), before.clone(), event, NOW);
            let state = |event| to(event).map(|record| record.state);
            let attempting = |to| {
                if from == Some(State::Attempting) {
                    Some(to)
                } else {
                    from
                }
            };
            assert_eq!(state(Event::Sending), Some(State::Attempting));
            assert_eq!(state(Event::NotCharged), attempting(State::Delivered));
            assert_eq!(state(Event::Unanswered), attempting(State::Doubtful));
            assert_eq!(state(Event::Answered(&one)), attempting(State::Answered));
            let delivered = match from {
                Some(State::Answered) => Some(State::Delivered),
                same => same,
            };
            assert_eq!(state(Event::Delivered(Some(&one))), delivered);
            assert_eq!(state(Event::Delivered(None)), delivered);
            assert_eq!(
                to(Event::Delivered(Some(&other))),
                current,
                "of another URL"
            );
            assert_eq!(to(Event::Expired(&other)), current, "of another URL");
            assert_eq!(state(Event::Expired(&one)), from);
            let expired = to(Event::Expired(&one)).and_then(|record| record.answer);
            let has_url = matches!(from, Some(State::Answered | State::Delivered));
            let expected = has_url.then_some((true, Some(NOW)));
            assert_eq!(
                expired.map(|answer| (answer.expired, answer.expires)),
                expected
            );
        }
    }
}
