//! What docfetch does next while it transfers a document: a table of pure rules, without I/O.
//!
//! | event | next |
//! | --- | --- |
//! | the target exists already | done |
//! | the storage says that nothing is missing | name the target, then done |
//! | a body starts that continues the bytes in the sink | read the body |
//! | a body starts that does not | throw the bytes away, then read the body |
//! | the storage cannot continue the bytes | throw the bytes away, then request again |
//! | the body ends with the last byte | done |
//! | the body is longer than announced, or the document changed | throw the bytes away, then as after a failure |
//! | the storage sends no ranges | forget what is behind a hole, then request the rest in one piece |
//! | the URL expired | resolve again, once in a row without progress where that is free, else as the ledger permits |
//! | the storage does not have the document | wait: the document may be too new |
//! | a paid URL is refused, or does not answer | resolve again if the user permits another charge |
//! | any other failure | pause as the retry policy allows, then request again |

use crate::error::{Code, Error};
use crate::fetch::target::TargetState;
use crate::fetch::transfer::{BodyEnd, MIN_PROGRESS_BYTES, SegmentsEnd};

/// docfetch gives up a document that changes more often than this during its transfer.
const MAX_CHANGES: u32 = 5;

/// How the attempts at one document stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct AttemptState {
    /// The most bytes that the sink held after any attempt at this version of the document.
    most_held: u64,
    /// Whether docfetch replaced an expired URL since the last progress.
    resolved_again: bool,
    /// How often the document changed.
    changes: u32,
    /// Whether the document changed since the last progress.
    changed_lately: bool,
    /// Whether docfetch may request ranges of the document beside a body.
    pub use_ranges: bool,
    /// Whether docfetch may resolve the document again at any time, because that is free.
    pub(super) is_free: bool,
}

/// How many bytes the sink holds when an event happens.
#[derive(Clone, Copy, Debug)]
pub(super) struct SinkBytes {
    /// The bytes in the sink, including those behind a hole.
    pub held: u64,
    /// The bytes before the first hole.
    pub position: u64,
}

/// What happened.
#[derive(Debug)]
pub(super) enum TransferEvent {
    /// The target turned out to exist, and docfetch skips the document.
    TargetExists,
    /// The storage says that the sink holds all bytes.
    NothingMissing,
    /// The storage cannot continue the bytes in the sink.
    CannotContinue {
        /// The reason, for the log.
        why: &'static str,
        /// Whether the reason is that the document changed.
        changed: bool,
    },
    /// The storage sends a body.
    BodyStarted(BodyStart),
    /// The body ended, and the ranges that docfetch requested beside the body.
    BodyEnded(SegmentsEnd),
    /// The storage says that the URL has expired.
    Expired,
    /// The storage does not have the document, or does not have it yet.
    NotFound(Error),
    /// An attempt failed.
    Failed {
        /// The failure.
        error: Error,
        /// Whether the URL is a recorded one past its end, which the storage has not served in this run.
        on_trial: bool,
    },
}

/// How a body relates to the bytes in the sink.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyStart {
    /// Whether the body is of the same version of the document.
    pub same_version: bool,
    /// Whether the body starts with bytes that the sink holds already.
    pub overlaps: bool,
    /// Whether the sink passes over such bytes.
    pub skips_overlap: bool,
}

/// What docfetch does next.
#[derive(Debug)]
pub(super) enum Next {
    /// Request the missing bytes.
    Request,
    /// Forget what is behind a hole, and request the rest in one piece.
    RequestRest,
    /// Read the body, after the bytes in the sink were thrown away if there is a reason.
    Read(Option<StartOver>),
    /// Throw the bytes in the sink away and request again. With an error, count that as a failed attempt.
    StartOver(StartOver, Option<Error>),
    /// Wait until the storage may have the document, then request again. When docfetch has waited long
    /// enough, this error is a failure.
    WaitForDocument(Error),
    /// The same after a range request; when docfetch has waited long enough, the storage sends no ranges.
    WaitForRange(Error),
    /// Replace the expired URL, then request again.
    ReplaceExpired,
    /// Pay for another URL if the user permits that, then request again; else end with this error.
    PayAgain(Error),
    /// Pause as the retry policy allows, then request again; else end with this error.
    Pause(Error),
    /// Name the target: all bytes are there.
    NameTarget,
    /// The transfer is done.
    Done(TargetState),
    /// End with this error.
    GiveUp(Error),
}

/// Why docfetch throws the bytes in the sink away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StartOver {
    /// The reason, for the log.
    pub why: &'static str,
    /// Whether the reason is that the document changed.
    pub changed: bool,
}

/// What an attempt means for the retry policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttemptProgress {
    /// Too few new bytes.
    None,
    /// New bytes, and then a stall: the attempt counts as failed.
    BeforeStall,
    /// New bytes.
    Made,
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Step {
    /// How the attempts stand now.
    pub state: AttemptState,
    /// What the attempt means for the retry policy.
    pub progress: AttemptProgress,
    /// What docfetch does next.
    pub next: Next,
}

impl AttemptState {
    /// Before the first attempt, with `held` bytes in the sink. `is_free` says whether docfetch may resolve
    /// the document again at any time.
    pub(super) fn new(held: u64, is_free: bool) -> Self {
        Self {
            most_held: held,
            resolved_again: false,
            changes: 0,
            changed_lately: false,
            use_ranges: true,
            is_free,
        }
    }

    /// The error of a document whose attempts end with `error`.
    pub(super) fn last_error(&self, error: Error) -> Error {
        if self.changed_lately && error.is_transient() {
            keeps_changing(&error)
        } else {
            error
        }
    }

    /// The document changed: all its bytes are new again.
    fn changed(self) -> Self {
        Self {
            changes: self.changes + 1,
            changed_lately: true,
            most_held: 0,
            ..self
        }
    }

    fn after(self, start_over: StartOver) -> Self {
        if start_over.changed {
            self.changed()
        } else {
            self
        }
    }

    /// After an attempt with `held` bytes in the sink.
    fn moved(self, held: u64, stalled: bool) -> (Self, AttemptProgress) {
        let is_new = held.saturating_sub(self.most_held) >= MIN_PROGRESS_BYTES;
        let state = Self {
            most_held: self.most_held.max(held),
            ..self
        };
        match (is_new, stalled) {
            (false, _) => (state, AttemptProgress::None),
            (true, true) => (state, AttemptProgress::BeforeStall),
            (true, false) => {
                let state = Self {
                    resolved_again: false,
                    changed_lately: false,
                    ..state
                };
                (state, AttemptProgress::Made)
            }
        }
    }
}

/// The table: what docfetch does after `event`, with `bytes` in the sink.
pub(super) fn step(state: &AttemptState, bytes: SinkBytes, event: TransferEvent) -> Step {
    let state = *state;
    match event {
        TransferEvent::TargetExists => plain(state, Next::Done(TargetState::AlreadyThere)),
        TransferEvent::NothingMissing => plain(state, Next::NameTarget),
        TransferEvent::CannotContinue { why, changed } => {
            let start_over = StartOver { why, changed };
            plain(state.after(start_over), Next::StartOver(start_over, None))
        }
        TransferEvent::BodyStarted(body) => body_started(state, bytes, body),
        TransferEvent::BodyEnded(ended) => body_ended(state, bytes, ended),
        TransferEvent::Expired => expired(state, bytes),
        TransferEvent::NotFound(error) => plain(state, Next::WaitForDocument(error)),
        TransferEvent::Failed { error, on_trial } => failed(state, bytes, error, on_trial),
    }
}

/// A step without progress.
fn plain(state: AttemptState, next: Next) -> Step {
    Step {
        state,
        progress: AttemptProgress::None,
        next,
    }
}

fn body_started(state: AttemptState, bytes: SinkBytes, body: BodyStart) -> Step {
    let BodyStart {
        same_version,
        overlaps,
        skips_overlap,
    } = body;
    let continues = same_version || bytes.held == 0;
    if continues && (!overlaps || (skips_overlap && same_version)) {
        return plain(state, Next::Read(None));
    }
    let start_over = StartOver {
        why: "the storage sent the whole document",
        changed: !same_version,
    };
    plain(state.after(start_over), Next::Read(Some(start_over)))
}

fn body_ended(state: AttemptState, bytes: SinkBytes, ended: SegmentsEnd) -> Step {
    let (why, changed) = match ended {
        SegmentsEnd::Body(BodyEnd::Complete) => {
            return plain(state, Next::Done(TargetState::Writable));
        }
        SegmentsEnd::Expired => return expired(state, bytes),
        SegmentsEnd::NotFound(error) => {
            let (state, progress) = state.moved(bytes.held, false);
            return Step {
                state,
                progress,
                next: Next::WaitForRange(error),
            };
        }
        SegmentsEnd::NoRanges => {
            let state = AttemptState {
                use_ranges: false,
                most_held: bytes.position,
                ..state
            };
            return plain(state, Next::RequestRest);
        }
        SegmentsEnd::Body(BodyEnd::TooLong) => ("the storage sent more than it announced", false),
        SegmentsEnd::Changed(why) => (why, true),
    };
    let start_over = StartOver { why, changed };
    let state = AttemptState {
        use_ranges: false, // one response is of one version of the document
        ..state.after(start_over)
    };
    plain(state, Next::StartOver(start_over, Some(refused_body(why))))
}

fn expired(state: AttemptState, bytes: SinkBytes) -> Step {
    let (state, progress) = state.moved(bytes.held, false);
    let next = if state.resolved_again && state.is_free {
        Next::GiveUp(still_expired())
    } else {
        Next::ReplaceExpired
    };
    Step {
        state: AttemptState {
            resolved_again: true,
            ..state
        },
        progress,
        next,
    }
}

fn failed(state: AttemptState, bytes: SinkBytes, error: Error, on_trial: bool) -> Step {
    let (state, progress) = state.moved(bytes.held, error.code() == Code::Stalled);
    let next = if on_trial || error.code() == Code::StorageDenied {
        Next::PayAgain(error)
    } else if error.is_transient() && state.changes > MAX_CHANGES {
        Next::GiveUp(keeps_changing(&error))
    } else {
        Next::Pause(error)
    };
    Step {
        state,
        progress,
        next,
    }
}

fn refused_body(why: &str) -> Error {
    Error::new(
        Code::StorageError,
        "docfetch cannot use the body that the storage sent",
    )
    .with_cause(why)
}

fn still_expired() -> Error {
    Error::new(
        Code::UrlExpired,
        "the presigned URL expired, and a new one is refused as well",
    )
    .with_cause("the storage says that the new URL has expired already")
}

fn keeps_changing(last: &Error) -> Error {
    Error::new(
        Code::DocumentChanged,
        "the document kept changing and could not be fetched whole",
    )
    .with_cause(last.message())
}

#[cfg(test)]
mod tests;
