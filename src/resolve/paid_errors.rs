//! What errors say about paid retrievals: what may have been charged, and what the user can do.

use super::ledger::table::{RetrievalRecord, State};
use super::ledger::{Ledger, RecordFound};
use super::metadata::MetadataFailure;
use crate::error::{Code, Error};
use crate::model::DocumentId;
use crate::text::short_duration;
use jiff::Timestamp;

/// The ledger refuses a request, because of a record in this `state` of a retrieval that was `requested`
/// then.
pub(super) fn refused(
    ledger: &Ledger,
    id: &DocumentId,
    state: State,
    requested: Option<Timestamp>,
) -> Error {
    let requested = to_the_second(requested);
    let (what, why) = match state {
        State::Attempting => (
            format!("a paid retrieval of {id} may have been charged already"),
            format!("docfetch requested it at {requested}, and recorded no answer"),
        ),
        State::Doubtful => (
            format!("a paid retrieval of {id} may have been charged already"),
            format!("docfetch requested it at {requested}, and no answer had a URL"),
        ),
        State::Answered => (
            format!("{id} would need a second paid retrieval"),
            format!("the URL of {requested} expired, and the document was not delivered"),
        ),
        State::Delivered => (
            format!("{id} would need a second paid retrieval"),
            format!("the URL of {requested} expired, and only a part of the document is on disk"),
        ),
    };
    Error::new(Code::ChargeRefused, what)
        .with_cause(why)
        .with_hint(way_out_of_doubt(ledger, id))
        .naming_document()
}

/// The ledger refuses a request for a document that was delivered before: docfetch cannot tell whether the
/// document is at its target, because the request for its metadata failed.
pub(super) fn unnamed(id: &DocumentId, failure: &MetadataFailure) -> Error {
    let why = format!(
        "{id} was delivered before, and docfetch cannot learn its name to see whether the file is here: {}",
        failure.error.message()
    );
    Error::new(
        Code::ChargeRefused,
        format!("{id} would need a second paid retrieval"),
    )
    .with_cause(why)
    .with_hint("run again later, name the file with -o, or pass --allow-recharge")
    .naming_document()
}

/// A paid request left, failed with `error`, and may have been charged.
pub(super) fn in_doubt(ledger: &Ledger, id: &DocumentId, error: &Error) -> Error {
    let what = format!("the paid retrieval of {id} may have been charged");
    let way_out = way_out_of_doubt(ledger, id);
    let hint = match error.code() {
        // Another retrieval is likely to bring such a URL again.
        Code::UnsafeRedirect => format!("tell the provider; {way_out}"),
        _ => way_out,
    };
    let unknown = Error::new(Code::ChargeUnknown, what)
        .with_cause(error.message())
        .with_hint(hint)
        .naming_document();
    match error.http_status() {
        Some(status) => unknown.with_http_status(status),
        None => unknown,
    }
}

/// Another process makes an attempt at a document, and recorded no answer in time.
pub(super) fn unanswered(ledger: &Ledger, id: &DocumentId) -> Error {
    let what = format!("a paid retrieval of {id} may have been charged already");
    let waited = short_duration(ledger.answer_timeout());
    let why = format!("another process sent the request, and recorded no answer within {waited}");
    Error::new(Code::ChargeUnknown, what)
        .with_cause(why)
        .with_hint(way_out_of_doubt(ledger, id))
        .naming_document()
}

/// A paid request did not leave, because its record could not be made.
pub(super) fn not_recorded(id: &DocumentId, error: Error) -> Error {
    match error.code() {
        code @ (Code::DiskFull | Code::LocalIo) => {
            let what = format!("no paid request was sent for {id}");
            let unsent = Error::new(code, what).with_cause(error.message());
            unsent.naming_document()
        }
        _ => error,
    }
}

/// The address rules refuse a URL that was paid for.
pub(super) fn unusable_url(ledger: &Ledger, id: &DocumentId, error: Error) -> Error {
    let note = "the URL was paid for, and is kept for a later run";
    let why = error.cause().map(|why| format!("{why}; {note}"));
    let error = error.with_cause(why.unwrap_or_else(|| note.to_owned()));
    match error.code() {
        Code::InsecureUrl => {
            let hint = format!("tell the provider; {}", way_out_of_url(ledger, id));
            error.with_hint(hint)
        }
        _ => error,
    }
}

/// The failure of a document with a hint about its paid retrieval: what it means to run docfetch again at
/// the time `now`. `resolved` when this run had a URL of the document.
pub(super) fn with_charge_hint(
    ledger: &Ledger,
    id: &DocumentId,
    error: Error,
    resolved: bool,
    now: Timestamp,
) -> Error {
    if ledger.run().is_pending(id) {
        return error
            .with_cause("a paid retrieval was sent and may have been charged")
            .with_hint(way_out_of_doubt(ledger, id));
    }
    if matches!(error.code(), Code::ChargeUnknown | Code::ChargeRefused) {
        return error;
    }
    let Ok(RecordFound {
        record: Some(record),
        is_on_disk,
    }) = ledger.find(id)
    else {
        return error;
    };
    if record.is_renewable() && record.state == State::Answered && error.retryable() {
        let hint = format!(
            "{}; the paid retrieval is kept, and its URL costs nothing more",
            error.hint()
        );
        return error.with_hint(hint);
    }
    let left = record.url_time_left(now);
    let is_of_this_run = resolved && matches!(record.state, State::Answered | State::Delivered);
    // An earlier run paid for the URL, and did not deliver the document.
    let is_of_earlier_run = record.state == State::Answered && is_on_disk && left.is_some();
    if !is_of_this_run && !is_of_earlier_run {
        return error;
    }
    if error.code() == Code::StorageDenied {
        let next = match error.http_status() {
            Some(404) => "tell the provider",
            _ => error.hint(),
        };
        let hint = format!("{next}; {}", way_out_of_url(ledger, id));
        return error.with_hint(hint);
    }
    if !is_on_disk {
        return error.with_hint("running again may be charged: this answer could not be recorded");
    }
    let hint = hint_for_kept_url(&error, &record, &way_out_of_url(ledger, id), now);
    let error = error.with_hint(hint);
    match record.expires().filter(|_| left.is_some()) {
        Some(end) => error.with_url_kept_until(end),
        None => error,
    }
}

/// The hint for a failure after which the paid URL is on record.
fn hint_for_kept_url(
    error: &Error,
    record: &RetrievalRecord,
    way_out: &str,
    now: Timestamp,
) -> String {
    let left = record.url_time_left(now);
    let left = left.filter(|left| left.as_secs() > 0).map(short_duration);
    let needs_own_hint = matches!(error.code(), Code::ClockSkew | Code::Busy);
    match (error.retryable() && !needs_own_hint, left) {
        (true, Some(left)) if !error.has_own_hint() => {
            format!("run again within {left}: the paid URL is kept until then")
        }
        (true, None) if record.expires().is_some() => {
            format!("run again: the paid URL is kept, and tried once more; {way_out}")
        }
        (true, None) => "run again while the paid URL lives: it is kept".to_owned(),
        (_, Some(left)) => {
            format!("{}; the paid URL is kept for {left}", error.hint())
        }
        (false, None) => error.hint().to_owned(),
    }
}

/// What the user can do about a retrieval in doubt.
fn way_out_of_doubt(ledger: &Ledger, id: &DocumentId) -> String {
    format!(
        "check the provider's bill; then pass --allow-recharge, or run `docfetch ledger forget {}`",
        ledger.forget_argument(id)
    )
}

/// What the user can do about a paid URL that does not work.
fn way_out_of_url(ledger: &Ledger, id: &DocumentId) -> String {
    format!(
        "--allow-recharge pays for another retrieval, `docfetch ledger forget {}` gives the paid URL up",
        ledger.forget_argument(id)
    )
}

/// Formats a time, rounded to seconds, for messages.
pub(super) fn to_the_second(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "an earlier run".to_owned(), |time| format!("{time:.0}"))
}
