//! Which bytes of a response one connection writes.

use crate::fetch::transfer::progress::MIN_PROGRESS_BYTES;
use crate::fetch::transfer::segments::missing::Missing;
use std::ops::Range;
use std::time::{Duration, Instant};

/// A connection must have worked this long before docfetch compares its speed.
const MIN_MEASURED_TIME: Duration = Duration::from_secs(1);
/// A connection is slow when the usual one is more than this many times as fast.
const SLOW_FACTOR: u64 = 4;

/// Which bytes of a response one connection writes. All offsets count from the document's first byte.
#[derive(Debug)]
pub(super) struct Assignment {
    /// The bytes of the response.
    response: Range<u64>,
    /// Offset of the next byte that the connection writes.
    next: u64,
    /// Offset behind the last byte that the connection writes.
    end: u64,
    /// How many bytes of the response come before `next` and are skipped: other connections fetch them.
    skip: u64,
    /// When the response began.
    started: Instant,
}

/// What is left of a document, for a connection that shares its rest with idle ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// How many bytes are missing in the whole document.
    pub missing: u64,
    /// How many connections there may be.
    pub connections: usize,
    /// How many bytes per second a connection fetches on average; `None` before that was measured.
    pub usual_speed: Option<u64>,
}

impl Assignment {
    /// The whole `response`, up to `end`.
    pub(super) fn new(response: Range<u64>, end: u64, now: Instant) -> Self {
        Self {
            next: response.start,
            response,
            end,
            skip: 0,
            started: now,
        }
    }

    /// Offset of the next byte that the connection writes.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The bytes that the connection has still to write.
    pub(super) fn rest(&self) -> Range<u64> {
        self.next..self.end
    }

    /// Whether the connection has written all its bytes.
    pub(super) fn is_finished(&self) -> bool {
        self.next == self.end
    }

    /// Offset of the next byte that the connection reads.
    pub(super) fn read_position(&self) -> u64 {
        self.next - self.skip
    }

    /// Whether `length` more bytes are more than the response announced.
    pub(super) fn is_exceeded_by(&self, length: usize) -> bool {
        self.read_position() + length as u64 > self.response.end
    }

    /// Whether to read further. Also true at the end of the response: the connection can be reused only
    /// after the end was read.
    pub(super) fn needs_more_bytes(&self) -> bool {
        self.next < self.end || self.next == self.response.end
    }

    /// Takes from `piece`, which comes next in the response, the bytes to write at [`Assignment::next`].
    pub(super) fn take<'a>(&mut self, piece: &mut &'a [u8]) -> &'a [u8] {
        let skipped = at_most(self.skip, piece.len());
        self.skip -= skipped as u64;
        let rest = &piece[skipped..];
        let (own, others) = rest.split_at(at_most(self.end - self.next, rest.len()));
        *piece = others;
        own
    }

    /// Notes that the connection wrote this many bytes.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.next += bytes as u64;
    }

    /// Whether the response is shorter than its request, but long enough to be worth that request.
    pub(super) fn was_cut_short(&self) -> bool {
        self.next == self.response.end && self.next - self.response.start >= MIN_PROGRESS_BYTES
    }

    /// The speed of this connection in bytes per second.
    fn speed(&self, now: Instant) -> u64 {
        let read = self.read_position() - self.response.start;
        bytes_per_second(read, now.saturating_duration_since(self.started))
    }

    /// Gives the end of a long assignment back to `missing`, so that idle connections fetch it. An assignment
    /// is long when it is twice a fair share of the rest, or when this connection is slow and needs more than
    /// two seconds for it. The connection drops its response when it reaches the new end.
    pub(super) fn share_with_idle(&mut self, missing: &mut Missing, rest: Rest, now: Instant) {
        let own_rest = self.end - self.next;
        let speed = if now.saturating_duration_since(self.started) < MIN_MEASURED_TIME {
            u64::MAX
        } else {
            self.speed(now).max(MIN_PROGRESS_BYTES)
        };
        let is_slow = rest
            .usual_speed
            .is_some_and(|usual| speed < usual / SLOW_FACTOR);
        let kept = match missing.segment_length(rest.missing, rest.connections) {
            Some(share) if own_rest >= 2 * share => share,
            _ if rest.connections > 1 && is_slow && own_rest / 2 > speed => speed,
            _ => return,
        };
        missing.put_back(self.next + kept..self.end);
        self.end = self.next + kept;
    }

    /// Takes over the missing range that comes next in the response, once the connection has written all its
    /// bytes. While no request may leave for `held_back`, the range may be a later one, if the response
    /// reaches that range sooner than a request may leave.
    pub(super) fn take_over(
        &mut self,
        missing: &mut Missing,
        held_back: impl FnOnce() -> Duration,
        now: Instant,
    ) {
        if self.next < self.end || self.next == self.response.end || missing.is_empty() {
            return;
        }
        let reached = u128::from(self.speed(now)) * held_back().as_millis() / 1000;
        let reached = u64::try_from(reached).unwrap_or(u64::MAX);
        let last = self.next.saturating_add(reached).min(self.response.end - 1);
        if let Some(range) = missing.take_within(self.next..=last) {
            self.skip += range.start - self.next;
            self.next = range.start;
            self.end = range.end.min(self.response.end);
            missing.put_back(self.end..range.end);
        }
    }
}

/// The speed of a transfer in bytes per second. Of less than a second, the bytes of that time.
pub(super) fn bytes_per_second(bytes: u64, elapsed: Duration) -> u64 {
    let milliseconds = elapsed.max(MIN_MEASURED_TIME).as_millis();
    let speed = u128::from(bytes) * 1000 / milliseconds;
    u64::try_from(speed).unwrap_or(u64::MAX)
}

fn at_most(bytes: u64, length: usize) -> usize {
    usize::try_from(bytes).map_or(length, |bytes| bytes.min(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const SECOND: Duration = Duration::from_secs(1);

    fn missing(hole: Range<u64>) -> Missing {
        Missing::new(Vec::from([hole]), false)
    }

    fn never() -> Duration {
        Duration::ZERO
    }

    #[test]
    fn a_connection_writes_its_own_bytes_and_then_the_missing_ones_behind_them() {
        let now = Instant::now();
        let mut missing = missing(14..30);
        let mut assignment = Assignment::new(0..20, 4, now);
        let mut piece: &[u8] = b"0123456789";
        assert_eq!(assignment.take(&mut piece), b"0123");
        assignment.wrote(4);
        assert!(assignment.is_finished());
        assignment.take_over(&mut missing, never, now);
        assert!(assignment.is_finished(), "nothing is missing right there");
        // The next request may leave in 10 s; this response reaches the range sooner.
        let later = now + SECOND;
        assignment.take_over(&mut missing, || 10 * SECOND, later);
        assert_eq!(assignment.rest(), 14..20);
        assert_eq!(assignment.read_position(), 4);
        assert_eq!(missing.take_first(), Some(20..30));
        assert_eq!(assignment.take(&mut piece), b"");
        let mut piece: &[u8] = b"abcdefghij";
        assert!(!assignment.is_exceeded_by(piece.len()) && assignment.is_exceeded_by(11));
        assert_eq!(assignment.take(&mut piece), b"efghij");
        assignment.wrote(6);
        assert!(assignment.is_finished() && assignment.needs_more_bytes());
    }

    #[test]
    fn a_range_that_a_request_reaches_sooner_is_left_to_the_request() {
        let now = Instant::now();
        let mut missing = missing(14..20);
        let mut assignment = Assignment::new(0..20, 4, now);
        assignment.wrote(4); // 4 bytes per second
        assignment.take_over(&mut missing, || 2 * SECOND, now + SECOND);
        assert!(assignment.is_finished() && !missing.is_empty());
    }

    #[test]
    fn a_long_assignment_is_shared_with_idle_connections() {
        let now = Instant::now();
        let mut missing = Missing::new(Vec::new(), false);
        let mut assignment = Assignment::new(0..64 * MIB, 64 * MIB, now);
        let rest = Rest {
            missing: 64 * MIB,
            connections: 4,
            usual_speed: None,
        };
        assignment.share_with_idle(&mut missing, rest, now);
        assert_eq!(assignment.rest(), 0..8 * MIB);
        assert_eq!(missing.take_first(), Some(8 * MIB..64 * MIB));
    }

    #[test]
    fn a_slow_connection_keeps_what_it_fetches_in_a_second() {
        let now = Instant::now();
        let shared = |usual_speed, elapsed| {
            let mut missing = Missing::new(Vec::new(), false);
            let mut assignment = Assignment::new(0..MIB, MIB, now);
            assignment.wrote(100_000);
            let rest = Rest {
                missing: MIB,
                connections: 4,
                usual_speed: Some(usual_speed),
            };
            assignment.share_with_idle(&mut missing, rest, now + elapsed);
            assignment.rest()
        };
        let whole = 100_000..MIB;
        assert_eq!(shared(10 * MIB, SECOND / 2), whole, "it just started");
        assert_eq!(shared(100_000, SECOND), whole, "it is as fast as others");
        assert_eq!(shared(10 * MIB, SECOND), 100_000..200_000);
    }

    #[test]
    fn a_short_response_is_worth_its_request_when_it_made_progress() {
        for (length, is_worth_it) in [(MIN_PROGRESS_BYTES - 1, false), (MIN_PROGRESS_BYTES, true)] {
            let mut assignment = Assignment::new(0..length, MIB, Instant::now());
            assignment.wrote(usize::try_from(length).unwrap());
            assert_eq!(assignment.was_cut_short(), is_worth_it);
        }
    }
}
