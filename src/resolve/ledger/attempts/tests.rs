mod model;
mod server;

use super::*;
use crate::http::PresignedUrl;
use crate::model::DocumentId;
use crate::resolve::ledger::table::{RecordKey, RetrievalEvent, record_after};
use jiff::SignedDuration;
use server::{Client, MAX_LATENESS, Server};
use std::cell::Cell;
use std::rc::Rc;
use url::Url;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const RECORD: &str = "a.json";

fn id() -> DocumentId {
    DocumentId::parse("00f2", None).unwrap()
}

fn url(number: u32) -> PresignedUrl {
    let url = Url::parse(&format!("https://s.example/{number}?sig=s3cret")).unwrap();
    PresignedUrl::new(url, Some(NOW + SignedDuration::from_hours(1)))
}

fn after(record: Option<RetrievalRecord>, event: RetrievalEvent<'_>) -> Option<RetrievalRecord> {
    let id = id();
    let key = RecordKey {
        provider: "onecodex",
        base: "https://api.example",
        id: &id,
    };
    record_after(key, record, None, event, NOW)
}

/// A client that sees everything at once.
fn client(server: &Rc<Server>, process: usize) -> Client {
    server.now.set(server.now.get() + 2 * MAX_LATENESS);
    Client {
        server: Rc::clone(server),
        process,
        choice: Cell::new(0),
    }
}

fn read_all(client: &Client) -> (NumberedAttempts, Found) {
    let mut attempts = NumberedAttempts::new("a".to_owned());
    client
        .server
        .now
        .set(client.server.now.get() + 2 * MAX_LATENESS);
    let found = attempts.read(client).unwrap();
    (attempts, found)
}

fn begin(attempts: &mut NumberedAttempts, client: &Client, before: &Found) -> NewAttempt {
    let record = after(before.record.clone(), RetrievalEvent::Sending).unwrap();
    attempts
        .begin(client, &record, before.record.clone())
        .unwrap()
}

/// Marks the document as delivered, and its URL as expired.
fn mark_all(attempts: &mut NumberedAttempts, client: &Client, found: &Found) {
    let record = found.record.as_ref().unwrap();
    for mark in [Mark::Delivered, Mark::Expired] {
        attempts.mark(client, mark, record, NOW).unwrap();
    }
}

/// What an earlier version of docfetch records of a retrieval that it requested `hours` after [`NOW`].
fn write_unnumbered(client: &Client, hours: i64) {
    let sent = after(None, RetrievalEvent::Sending);
    let mut record = after(sent, RetrievalEvent::Answered((&url(0)).into())).unwrap();
    record.requested += SignedDuration::from_hours(hours);
    client.write(RECORD, Some(serde_json::to_vec(&record).unwrap()));
}

fn state(found: &Found) -> Option<(State, u32)> {
    found
        .record
        .as_ref()
        .map(|record| (record.state, record.attempt))
}

#[test]
fn an_attempt_belongs_to_the_process_that_created_it() {
    let server = Rc::default();
    let [one, other] = [1, 2].map(|process| client(&server, process));
    let (mut first, nothing) = read_all(&one);
    let (mut second, same) = read_all(&other);
    assert_eq!((&nothing.record, &same.record), (&None, &None));
    assert!(matches!(begin(&mut first, &one, &nothing), NewAttempt::Own));
    assert!(matches!(
        begin(&mut second, &other, &same),
        NewAttempt::Taken
    ));
    let found = second.read(&other).unwrap();
    assert_eq!((found.number(), found.is_under_way()), (1, true));
    // The second process ends nothing that it did not begin.
    second.take_back(&other).unwrap();
    assert_eq!(state(&read_all(&other).1), Some((State::Attempting, 1)));
    let answered = read_all(&one).1.record;
    let answered = after(answered, RetrievalEvent::Answered((&url(1)).into())).unwrap();
    first.end(&one, &answered).unwrap();
    assert_eq!(state(&read_all(&other).1), Some((State::Answered, 1)));
}

#[test]
fn what_was_no_charge_leaves_the_attempt_before_it() {
    let server = Rc::default();
    let [one, other] = [1, 2].map(|process| client(&server, process));
    let (mut first, nothing) = read_all(&one);
    begin(&mut first, &one, &nothing);
    first.take_back(&one).unwrap();
    assert_eq!(read_all(&other).1.record, None);
    let (mut stopped, found) = read_all(&other);
    begin(&mut stopped, &other, &found);
    let attempting = read_all(&other).1.record;
    // The user permits another charge, which the provider refuses.
    let (mut permitted, found) = read_all(&one);
    assert_eq!(state(&found), Some((State::Attempting, 2)));
    begin(&mut permitted, &one, &found);
    permitted.take_back(&one).unwrap();
    // In the meantime, the process before it got its answer.
    let answered = after(attempting, RetrievalEvent::Answered((&url(2)).into())).unwrap();
    stopped.end(&other, &answered).unwrap();
    let (mut last, found) = read_all(&one);
    assert_eq!(state(&found), Some((State::Answered, 2)));
    assert_eq!(last.next(), 4);
    // A mark of any process is about that attempt.
    mark_all(&mut last, &one, &found);
    let found = read_all(&other).1;
    assert_eq!(state(&found), Some((State::Delivered, 2)));
    assert_eq!(found.record.unwrap().expires(), Some(NOW));
}

#[test]
fn an_attempt_that_is_not_visible_is_what_the_next_one_saw() {
    let server = Rc::default();
    let one = client(&server, 1);
    let (mut doubtful, nothing) = read_all(&one);
    begin(&mut doubtful, &one, &nothing);
    let (mut refused, found) = read_all(&one);
    begin(&mut refused, &one, &found);
    refused.take_back(&one).unwrap();
    one.write("a.attempt.1", None);
    one.write(RECORD, None);
    let (mut other, _) = read_all(&one);
    other.known = 1; // another process has it
    let found = other.read(&one).unwrap();
    assert_eq!(state(&found), Some((State::Attempting, 1)));
    assert_eq!(other.next(), 3);
}

#[test]
fn a_record_of_an_earlier_version_counts_until_the_first_charge() {
    let server = Rc::default();
    let one = client(&server, 1);
    write_unnumbered(&one, 0);
    let (mut attempts, found) = read_all(&one);
    assert_eq!(state(&found), Some((State::Answered, 0)));
    mark_all(&mut attempts, &one, &found);
    assert_eq!(state(&read_all(&one).1), Some((State::Delivered, 0)));
    let (mut attempts, found) = read_all(&one);
    begin(&mut attempts, &one, &found);
    assert_eq!(state(&read_all(&one).1), Some((State::Attempting, 1)));
    attempts.take_back(&one).unwrap();
    assert_eq!(state(&read_all(&one).1), Some((State::Delivered, 0)));
}

#[test]
fn a_mark_says_nothing_of_another_retrieval_of_the_same_number() {
    let server = Rc::default();
    let one = client(&server, 1);
    write_unnumbered(&one, 0);
    let (mut attempts, found) = read_all(&one);
    mark_all(&mut attempts, &one, &found);
    assert_eq!(state(&read_all(&one).1), Some((State::Delivered, 0)));
    write_unnumbered(&one, 1);
    let found = read_all(&one).1;
    assert_eq!(state(&found), Some((State::Answered, 0)));
    assert_ne!(found.record.unwrap().expires(), Some(NOW));
}

#[test]
fn a_record_that_an_earlier_version_wrote_after_the_attempts_counts() {
    let server = Rc::default();
    let one = client(&server, 1);
    write_unnumbered(&one, 1);
    for number in 1..=2 {
        let (mut attempts, found) = read_all(&one);
        begin(&mut attempts, &one, &found);
        let answered = after(
            read_all(&one).1.record,
            RetrievalEvent::Answered((&url(number)).into()),
        );
        attempts.end(&one, &answered.unwrap()).unwrap();
    }
    write_unnumbered(&one, 2);
    assert_eq!(state(&read_all(&one).1), Some((State::Answered, 2)));
    let (mut attempts, found) = read_all(&one);
    mark_all(&mut attempts, &one, &found);
    let (mut attempts, found) = read_all(&one);
    assert_eq!(
        state(&found),
        Some((State::Answered, 0)),
        "it may be charged"
    );
    // The next attempt has seen that record, and the first one the record before.
    begin(&mut attempts, &one, &found);
    let answered = after(
        read_all(&one).1.record,
        RetrievalEvent::Answered((&url(3)).into()),
    );
    attempts.end(&one, &answered.unwrap()).unwrap();
    let (mut attempts, found) = read_all(&one);
    mark_all(&mut attempts, &one, &found);
    for hours in [1, 2] {
        write_unnumbered(&one, hours); // a change that is visible late
        let found = read_all(&one).1;
        assert_eq!(state(&found), Some((State::Delivered, 3)), "{hours}");
    }
}

#[test]
fn an_end_that_could_not_be_written_is_written_with_the_next_change() {
    let server = Rc::default();
    let one = client(&server, 1);
    let (mut attempts, nothing) = read_all(&one);
    begin(&mut attempts, &one, &nothing);
    let answered = after(
        read_all(&one).1.record,
        RetrievalEvent::Answered((&url(1)).into()),
    )
    .unwrap();
    // The disk was full: only this run knows the answer.
    let mut later = NumberedAttempts::new("a".to_owned());
    later.reclaim(&one, &answered);
    let delivered = answered.clone().delivered();
    later.mark(&one, Mark::Delivered, &delivered, NOW).unwrap();
    assert_eq!(state(&read_all(&one).1), Some((State::Delivered, 1)));
    // An attempt that was never on disk gets no mark, because the number may become another process's.
    let mut unwritten = answered;
    unwritten.attempt = 2;
    let mut later = NumberedAttempts::new("a".to_owned());
    later.reclaim(&one, &unwritten);
    let marked = later.mark(&one, Mark::Delivered, &unwritten, NOW);
    assert_eq!(marked.unwrap_err().code(), Code::LocalIo);
}

#[test]
fn an_attempt_without_content_may_be_under_way() {
    let server = Rc::default();
    let one = client(&server, 1);
    assert!(one.create("a.attempt.1").unwrap());
    let (attempts, found) = read_all(&one);
    assert!(found.is_unseen && found.is_under_way());
    assert_eq!((found.number(), attempts.next()), (1, 2));
    one.write("a.attempt.1", Some(b"{".to_vec()));
    assert!(NumberedAttempts::new("a".to_owned()).read(&one).is_err());
}
