//! What is missing of a document, and how it is shared.

use std::collections::VecDeque;
use std::ops::Range;

/// No segment is shorter, but for the last, in bytes: a request costs a round trip.
pub const SHORTEST: u64 = 1 << 20;
/// No segment is longer, in bytes.
const LONGEST: u64 = 32 << 20;

/// What nobody fetches yet, in order.
#[derive(Debug)]
pub struct Missing(VecDeque<Range<u64>>);

/// How long a segment is to be when these bytes are shared by so many connections: long at first, and
/// ever shorter, so that all end at about the same time. None when they are not worth sharing.
pub fn share(bytes: u64, connections: usize) -> Option<u64> {
    let share = (bytes / (2 * connections.max(1) as u64)).clamp(SHORTEST, LONGEST);
    (connections > 1 && bytes >= share + SHORTEST).then_some(share)
}

impl Missing {
    /// These holes, in order.
    pub fn new(holes: Vec<Range<u64>>) -> Self {
        Self(holes.into())
    }

    /// Whether everything is here, or on its way.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the whole first hole.
    pub fn first(&mut self) -> Option<Range<u64>> {
        self.0.pop_front()
    }

    /// Takes the hole that begins at `start`.
    pub fn take_from(&mut self, start: u64) -> Option<Range<u64>> {
        let at = self.0.iter().position(|range| range.start == start)?;
        self.0.remove(at)
    }

    /// Takes the next segment.
    pub fn take(&mut self, connections: usize) -> Option<Range<u64>> {
        let bytes = self.0.iter().map(|range| range.end - range.start).sum();
        let first = self.0.front_mut()?;
        match share(bytes, connections) {
            Some(share) if first.end - first.start >= share + SHORTEST => {
                let taken = first.start..first.start + share;
                first.start = taken.end;
                Some(taken)
            }
            _ => self.0.pop_front(),
        }
    }

    /// Takes back what a response did not bring.
    pub fn put_back(&mut self, range: Range<u64>) {
        if !range.is_empty() {
            let at = self.0.partition_point(|other| other.start < range.start);
            self.0.insert(at, range);
        }
    }
}
