use super::*;

const MIB: u64 = 1 << 20;

fn start() -> AttemptState {
    AttemptState::new(0, true)
}

fn paid() -> AttemptState {
    AttemptState::new(0, false)
}

/// That many bytes, without a hole.
fn bytes(held: u64) -> SinkBytes {
    let position = held;
    SinkBytes { held, position }
}

fn error(code: Code) -> Error {
    Error::new(code, "what happened")
}

fn failure(code: Code) -> TransferEvent {
    TransferEvent::Failed {
        error: error(code),
        on_trial: false,
    }
}

fn body(same_version: bool, overlaps: bool, skips_overlap: bool) -> TransferEvent {
    TransferEvent::BodyStarted(BodyStart {
        same_version,
        overlaps,
        skips_overlap,
    })
}

/// The next action in words, with the code of its error.
fn shown(next: &Next) -> String {
    let of = |error: &Error| error.code().as_str();
    let over = |over: &StartOver| if over.changed { "changed" } else { "same" };
    match next {
        Next::Request => "request".to_owned(),
        Next::RequestRest => "request rest".to_owned(),
        Next::Read(None) => "read".to_owned(),
        Next::Read(Some(start_over)) => format!("read from zero, {}", over(start_over)),
        Next::StartOver(start_over, None) => format!("start over, {}", over(start_over)),
        Next::StartOver(start_over, Some(error)) => {
            format!("start over, {}, {}", over(start_over), of(error))
        }
        Next::WaitForDocument(error) => format!("wait for document, {}", of(error)),
        Next::WaitForRange(error) => format!("wait for range, {}", of(error)),
        Next::ReplaceExpired => "replace expired".to_owned(),
        Next::PayAgain(error) => format!("pay again, {}", of(error)),
        Next::Pause(error) => format!("pause, {}", of(error)),
        Next::NameTarget => "name target".to_owned(),
        Next::Done(target) => format!("done, {target:?}"),
        Next::GiveUp(error) => format!("give up, {}", of(error)),
    }
}

fn next(state: AttemptState, held: u64, event: TransferEvent) -> String {
    shown(&step(&state, bytes(held), event).next)
}

/// The state after several events.
fn after(
    state: AttemptState,
    events: impl IntoIterator<Item = (u64, TransferEvent)>,
) -> AttemptState {
    let steps = events.into_iter();
    steps.fold(state, |state, (held, event)| {
        step(&state, bytes(held), event).state
    })
}

#[test]
fn every_answer_of_the_storage_has_its_next_action() {
    let changed = |changed| TransferEvent::CannotContinue { why: "x", changed };
    let denied = || error(Code::StorageDenied);
    for (event, expected) in [
        (TransferEvent::TargetExists, "done, AlreadyThere"),
        (TransferEvent::NothingMissing, "name target"),
        (changed(false), "start over, same"),
        (changed(true), "start over, changed"),
        (TransferEvent::Expired, "replace expired"),
        (
            TransferEvent::NotFound(denied()),
            "wait for document, storage_denied",
        ),
        (failure(Code::Network), "pause, network"),
        (failure(Code::Stalled), "pause, stalled"),
        (failure(Code::Certificate), "pause, certificate"),
        (failure(Code::StorageDenied), "pay again, storage_denied"),
    ] {
        assert_eq!(next(start(), 0, event), expected);
    }
}

#[test]
fn every_end_of_a_body_has_its_next_action() {
    let denied = error(Code::StorageDenied);
    for (ended, expected) in [
        (SegmentsEnd::Body(BodyEnd::Complete), "done, Writable"),
        (
            SegmentsEnd::Body(BodyEnd::TooLong),
            "start over, same, storage_error",
        ),
        (
            SegmentsEnd::Changed("x"),
            "start over, changed, storage_error",
        ),
        (SegmentsEnd::NoRanges, "request rest"),
        (SegmentsEnd::Expired, "replace expired"),
        (
            SegmentsEnd::NotFound(denied),
            "wait for range, storage_denied",
        ),
    ] {
        assert_eq!(
            next(start(), MIB, TransferEvent::BodyEnded(ended)),
            expected
        );
    }
}

#[test]
fn a_body_is_read_only_behind_bytes_of_the_same_version() {
    for (held, event, expected) in [
        // held bytes; whether the body is of the same version, overlaps them, and the sink skips that
        (0, body(false, false, false), "read"),
        (0, body(false, false, true), "read"),
        (MIB, body(true, false, false), "read"),
        (MIB, body(true, true, true), "read"),
        (MIB, body(true, true, false), "read from zero, same"),
        (MIB, body(false, false, false), "read from zero, changed"),
        (MIB, body(false, true, false), "read from zero, changed"),
        (MIB, body(false, true, true), "read from zero, changed"),
    ] {
        let event_shown = format!("{event:?}");
        assert_eq!(next(start(), held, event), expected, "{held} {event_shown}");
    }
}

#[test]
fn an_expired_url_is_replaced_once_in_a_row_where_that_is_free() {
    let state = after(start(), [(0, TransferEvent::Expired)]);
    assert_eq!(
        next(state, 0, TransferEvent::Expired),
        "give up, url_expired"
    );
    let little = MIN_PROGRESS_BYTES - 1;
    assert_eq!(
        next(state, little, TransferEvent::Expired),
        "give up, url_expired"
    );
    // New bytes are progress.
    let ended = || TransferEvent::BodyEnded(SegmentsEnd::Expired);
    assert_eq!(next(state, MIN_PROGRESS_BYTES, ended()), "replace expired");
    // The ledger decides about a paid one.
    let state = after(paid(), [(0, TransferEvent::Expired)]);
    assert_eq!(next(state, 0, TransferEvent::Expired), "replace expired");
}

#[test]
fn only_new_bytes_that_do_not_stall_are_progress() {
    let progress = |held, code| step(&start(), bytes(held), failure(code)).progress;
    for (held, code, expected) in [
        (0, Code::Network, AttemptProgress::None),
        (MIN_PROGRESS_BYTES - 1, Code::Network, AttemptProgress::None),
        (MIN_PROGRESS_BYTES, Code::Network, AttemptProgress::Made),
        (
            MIN_PROGRESS_BYTES,
            Code::Stalled,
            AttemptProgress::BeforeStall,
        ),
        (MIN_PROGRESS_BYTES - 1, Code::Stalled, AttemptProgress::None),
    ] {
        assert_eq!(progress(held, code), expected, "{held} {code:?}");
    }
    // Bytes that come again are not new.
    let state = after(start(), [(MIB, failure(Code::Network))]);
    let again = step(&state, bytes(MIB), failure(Code::Network));
    assert_eq!(again.progress, AttemptProgress::None);
    let more = step(
        &state,
        bytes(MIB + MIN_PROGRESS_BYTES),
        failure(Code::Network),
    );
    assert_eq!(more.progress, AttemptProgress::Made);
    let from_zero = after(state, [(0, failure(Code::Network))]);
    let again = step(&from_zero, bytes(MIB), failure(Code::Network));
    assert_eq!(again.progress, AttemptProgress::None);
    // Bytes of another version are.
    let changed = TransferEvent::CannotContinue {
        why: "x",
        changed: true,
    };
    let state = after(state, [(MIB, changed)]);
    let again = step(&state, bytes(MIB), failure(Code::Network));
    assert_eq!(again.progress, AttemptProgress::Made);
}

#[test]
fn bytes_of_an_earlier_run_are_no_progress() {
    let state = AttemptState::new(MIB, true);
    let first = step(&state, bytes(MIB), failure(Code::Network));
    assert_eq!(first.progress, AttemptProgress::None);
}

#[test]
fn a_document_that_keeps_changing_is_given_up() {
    let changed = || TransferEvent::CannotContinue {
        why: "x",
        changed: true,
    };
    let times = |count| after(start(), (0..count).map(|_| (0, changed())));
    let few = times(MAX_CHANGES);
    assert_eq!(next(few, 0, failure(Code::Network)), "pause, network");
    assert_eq!(
        few.last_error(error(Code::Network)).code(),
        Code::DocumentChanged
    );
    assert_eq!(
        few.last_error(error(Code::Certificate)).code(),
        Code::Certificate
    );
    let many = times(MAX_CHANGES + 1);
    assert_eq!(
        next(many, 0, failure(Code::Network)),
        "give up, document_changed"
    );
    assert_eq!(
        next(many, 0, failure(Code::Certificate)),
        "pause, certificate"
    );
    // After progress, a failure is only a failure.
    let moved = after(few, [(MIB, failure(Code::Network))]);
    assert_eq!(moved.last_error(error(Code::Network)).code(), Code::Network);
    assert_eq!(
        start().last_error(error(Code::Network)).code(),
        Code::Network
    );
}

#[test]
fn the_rest_comes_in_one_piece_once_the_storage_sends_no_ranges() {
    assert!(start().use_ranges);
    let with_hole = SinkBytes {
        held: 2 * MIB,
        position: MIB,
    };
    let none = TransferEvent::BodyEnded(SegmentsEnd::NoRanges);
    let after_ranges = step(&start(), with_hole, none);
    assert!(!after_ranges.state.use_ranges);
    // What was behind the hole comes again, as new bytes.
    let again = step(&after_ranges.state, bytes(2 * MIB), failure(Code::Network));
    assert_eq!(again.progress, AttemptProgress::Made);
    for ended in [
        SegmentsEnd::Body(BodyEnd::TooLong),
        SegmentsEnd::Changed("x"),
    ] {
        let state = after(start(), [(MIB, TransferEvent::BodyEnded(ended))]);
        assert!(!state.use_ranges);
    }
}

#[test]
fn a_recorded_url_that_is_not_proven_leads_to_another_charge_or_to_the_error() {
    let on_trial = TransferEvent::Failed {
        error: error(Code::Network),
        on_trial: true,
    };
    assert_eq!(next(paid(), 0, on_trial), "pay again, network");
}
