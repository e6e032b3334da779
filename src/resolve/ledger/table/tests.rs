use super::*;
use crate::http::ServerClock;
use jiff::SignedDuration;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const URL: &str = "https://s.example/1?sig=s3cret";

fn id() -> DocumentId {
    DocumentId::parse("00f2", None).unwrap()
}

fn key(id: &DocumentId) -> RecordKey<'_> {
    RecordKey {
        provider: "onecodex",
        base: "https://api.example",
        id,
    }
}

fn record(state: State, expired: bool) -> RetrievalRecord {
    let has_url = matches!(state, State::Answered | State::Delivered);
    RetrievalRecord {
        state,
        answer: has_url.then(|| RecordedUrl {
            url: Secret::new(URL),
            expires: Some(NOW + HOUR),
            expired,
            headers: Vec::new(),
        }),
        ..RetrievalRecord::attempting(key(&id()), NOW)
    }
}

fn shown(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Request => "request",
        Verdict::RequestAgain => "request, said",
        Verdict::RequestPermitted => "request, permitted",
        Verdict::Use(_) => "use",
        Verdict::Renew(..) => "renew",
        Verdict::Refuse(_) => "refuse",
    }
}

#[test]
fn each_state_permits_what_the_first_table_says() {
    let permitted = "request, permitted";
    let table = [
        // state, whether its URL expired, whether a part is on disk: verdict without and with --allow-recharge
        (None, true, false, "request", "request"),
        (None, true, true, "request", "request"),
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
            "request, said",
            "request, said",
        ),
        (Some(State::Delivered), true, true, "refuse", permitted),
    ];
    for (state, expired, has_partial, without, with) in table {
        let record = state.map(|state| record(state, expired));
        let of = |permitted| {
            let request = RetrievalRequest {
                has_partial,
                permitted,
                ..RetrievalRequest::default()
            };
            shown(&verdict(record.as_ref(), request))
        };
        assert_eq!(
            (of(false), of(true)),
            (without, with),
            "{state:?} {expired} {has_partial}"
        );
    }
}

#[test]
fn a_document_that_may_be_at_its_target_is_not_paid_for_again() {
    let of = |expired, is_unnamed, permitted| {
        let request = RetrievalRequest {
            is_unnamed,
            permitted,
            ..RetrievalRequest::default()
        };
        shown(&verdict(Some(&record(State::Delivered, expired)), request))
    };
    assert_eq!(of(true, true, false), "refuse");
    assert_eq!(of(true, true, true), "request, permitted");
    assert_eq!(of(true, false, false), "request, said");
    assert_eq!(of(false, true, false), "use");
}

#[test]
fn clocks_decide_nothing_but_in_a_dry_run() {
    for (state, planned) in [
        (State::Answered, "refuse"),
        (State::Delivered, "request, said"),
    ] {
        let record = record(state, false);
        let Verdict::Use(mut url) = verdict(Some(&record), RetrievalRequest::default()) else {
            panic!("{state:?}");
        };
        for (now, past_end) in [(NOW, false), (NOW + HOUR, true)] {
            assert_eq!(url.is_expired_at(now), past_end);
            let request = RetrievalRequest {
                dry_run_at: Some(now),
                ..RetrievalRequest::default()
            };
            let expected = if past_end { planned } else { "use" };
            assert_eq!(shown(&verdict(Some(&record), request)), expected);
        }
        // This machine's clock says so as well: the end was decades ago.
        assert!(url.is_tried_once(&ServerClock::default()));
        url.mark_served();
        assert!(!url.is_tried_once(&ServerClock::default()));
    }
}

#[test]
fn a_url_that_the_storage_refused_is_replaced_only_where_the_user_permits_it() {
    let refused = |text: &str| PresignedUrl::new(Url::parse(text).unwrap(), None);
    let (this, other) = (refused(URL), refused("https://s.example/2"));
    for state in [State::Answered, State::Delivered] {
        let record = record(state, false);
        for (url, permitted, then) in [
            (&this, true, "request, permitted"),
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
fn each_event_changes_the_record_as_the_second_table_says() {
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
        let to = |event| record_after(key(&id), current.clone(), before.clone(), event, NOW);
        let state = |event| to(event).map(|record| record.state);
        let attempting = |to| {
            if from == Some(State::Attempting) {
                Some(to)
            } else {
                from
            }
        };
        assert_eq!(state(RetrievalEvent::Sending), Some(State::Attempting));
        assert_eq!(
            state(RetrievalEvent::NotCharged),
            attempting(State::Delivered)
        );
        assert_eq!(
            state(RetrievalEvent::Unanswered),
            attempting(State::Doubtful)
        );
        assert_eq!(
            state(RetrievalEvent::Answered((&one).into())),
            attempting(State::Answered)
        );
        let delivered = match from {
            Some(State::Answered) => Some(State::Delivered),
            same => same,
        };
        assert_eq!(state(RetrievalEvent::Delivered(Some(&one))), delivered);
        assert_eq!(state(RetrievalEvent::Delivered(None)), delivered);
        assert_eq!(
            to(RetrievalEvent::Delivered(Some(&other))),
            current,
            "of another URL"
        );
        assert_eq!(
            to(RetrievalEvent::Expired(&other)),
            current,
            "of another URL"
        );
        assert_eq!(state(RetrievalEvent::Expired(&one)), from);
        let expired = to(RetrievalEvent::Expired(&one)).and_then(|record| record.answer);
        let has_url = matches!(from, Some(State::Answered | State::Delivered));
        let expected = has_url.then_some((true, Some(NOW)));
        assert_eq!(
            expired.map(|answer| (answer.expired, answer.expires)),
            expected
        );
    }
}

/// A record whose answer brought values for free steps, and a URL as well if that is `Some(whether it expired)`.
fn renewable(state: State, url: Option<bool>) -> RetrievalRecord {
    let mut captures = Captures::default();
    captures.add("job", "captured-job-7".to_owned());
    RetrievalRecord {
        captures,
        answer: url.and_then(|expired| record(state, expired).answer),
        ..record(state, false)
    }
}

#[test]
fn values_for_free_steps_stand_in_for_a_url_until_the_service_forgets_them() {
    for state in [State::Answered, State::Delivered] {
        for (url, expected) in [(Some(false), "use"), (Some(true), "renew"), (None, "renew")] {
            let record = renewable(state, url);
            assert!(record.is_valid(), "{state:?} {url:?}");
            for (has_partial, permitted) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                let request = RetrievalRequest {
                    has_partial,
                    permitted,
                    ..RetrievalRequest::default()
                };
                assert_eq!(shown(&verdict(Some(&record), request)), expected);
                if expected == "renew" {
                    let gone = RetrievalRequest {
                        captures_are_gone: true,
                        ..request
                    };
                    let without = verdict(Some(&self::record(state, true)), request);
                    assert_eq!(shown(&verdict(Some(&record), gone)), shown(&without));
                }
            }
        }
    }
    for state in [State::Attempting, State::Doubtful] {
        assert!(!renewable(state, None).is_valid(), "{state:?}");
    }
    assert!(
        !RetrievalRecord {
            answer: None,
            ..record(State::Answered, false)
        }
        .is_valid()
    );
}

#[test]
fn a_url_of_free_steps_delivers_the_document_and_is_replaced_where_the_user_permits_it() {
    let id = id();
    let plain = PresignedUrl::new(Url::parse("https://s.example/2").unwrap(), None);
    let renewed = plain.clone().renewable();
    let record = renewable(State::Answered, None);
    let delivered = |url| {
        let event = RetrievalEvent::Delivered(Some(url));
        let after = record_after(key(&id), Some(record.clone()), None, event, NOW);
        after.unwrap().state
    };
    assert_eq!(delivered(&renewed), State::Delivered);
    assert_eq!(delivered(&plain), State::Answered);
    for (url, permitted, then) in [
        (&renewed, true, "request, permitted"),
        (&renewed, false, "renew"),
        (&plain, true, "renew"),
    ] {
        let request = RetrievalRequest {
            refused: Some(url),
            permitted,
            ..RetrievalRequest::default()
        };
        assert_eq!(shown(&verdict(Some(&record), request)), then);
    }
}

#[test]
fn a_record_keeps_what_the_answer_brought_and_is_else_written_as_before() {
    let id = id();
    let attempting = RetrievalRecord::attempting(key(&id), NOW);
    let after = |answer: PaidAnswer<'_>| {
        let event = RetrievalEvent::Answered(answer);
        record_after(key(&id), Some(attempting.clone()), None, event, NOW).unwrap()
    };
    let url = PresignedUrl::new(Url::parse(URL).unwrap(), None);
    let written = serde_json::to_value(after((&url).into())).unwrap();
    for field in ["captures", "facts"] {
        assert_eq!(written.get(field), None, "{field}");
    }
    assert_eq!(written["answer"].get("headers"), None);

    let json = serde_json::json!({"X-Storage-Token": "canary-of-storage"});
    let facts = DocumentFacts {
        name: Some("a.pdf".to_owned()),
        size: Some(7),
        ..DocumentFacts::default()
    };
    let url = url
        .with_storage_headers(StorageHeaders::from_json(&json).unwrap())
        .with_facts(facts.clone());
    let captures = renewable(State::Answered, None).captures;
    let record = after(PaidAnswer {
        captures: Some(&captures),
        ..(&url).into()
    });
    let read: RetrievalRecord =
        serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    assert_eq!(read, record);
    let Verdict::Use(again) = verdict(Some(&read), RetrievalRequest::default()) else {
        panic!("{read:?}");
    };
    assert_eq!(again.storage_headers(), url.storage_headers());
    assert_eq!(again.facts(), &facts);
    let shown = format!("{read:?} {again:?}");
    assert!(
        !shown.contains("canary") && !shown.contains("captured-job"),
        "{shown}"
    );
}
