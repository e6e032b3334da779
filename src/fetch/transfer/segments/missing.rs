//! What is missing of a document, and how it is shared.

use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};

/// No segment is shorter, but for the last, in bytes: a request costs a round trip.
pub(super) const SHORTEST: u64 = 1 << 20;
/// No segment is longer, in bytes.
const LONGEST: u64 = 32 << 20;

/// What nobody fetches yet, in order.
#[derive(Debug)]
pub(super) struct Missing {
    ranges: VecDeque<Range<u64>>,
    /// Whether all of it is to be asked for at once.
    at_once: bool,
}

impl Missing {
    /// These holes, in order.
    pub(super) fn new(holes: Vec<Range<u64>>, at_once: bool) -> Self {
        let ranges = holes.into();
        Self { ranges, at_once }
    }

    /// How long a segment is to be when these bytes are shared by so many connections: long at first,
    /// and ever shorter, so that all end at about the same time; or all of them together, if that must
    /// be `at_once`. None when they are not worth sharing.
    pub(super) fn share(&self, bytes: u64, connections: usize) -> Option<u64> {
        let shared_by = connections.max(1) as u64;
        let share = if self.at_once {
            bytes.div_ceil(shared_by).max(SHORTEST)
        } else {
            (bytes / (2 * shared_by)).clamp(SHORTEST, LONGEST)
        };
        (connections > 1 && bytes >= share + SHORTEST).then_some(share)
    }

    /// Whether everything is here, or on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Takes the whole first hole.
    pub(super) fn first(&mut self) -> Option<Range<u64>> {
        self.ranges.pop_front()
    }

    /// Takes the first hole that begins within `starts`.
    pub(super) fn take_within(&mut self, starts: RangeInclusive<u64>) -> Option<Range<u64>> {
        let mut ranges = self.ranges.iter();
        let at = ranges.position(|range| starts.contains(&range.start))?;
        self.ranges.remove(at)
    }

    /// Takes the next segment, when so many of the `connections` are `going`.
    pub(super) fn take(&mut self, connections: usize, going: usize) -> Option<Range<u64>> {
        let connections = if self.at_once {
            connections.saturating_sub(going)
        } else {
            connections
        };
        let bytes = self
            .ranges
            .iter()
            .map(|range| range.end - range.start)
            .sum();
        let share = self.share(bytes, connections);
        let first = self.ranges.front_mut()?;
        match share {
            Some(share) if first.end - first.start >= share + SHORTEST => {
                let taken = first.start..first.start + share;
                first.start = taken.end;
                Some(taken)
            }
            _ => self.ranges.pop_front(),
        }
    }

    /// Takes back what a response did not bring.
    pub(super) fn put_back(&mut self, range: Range<u64>) {
        if !range.is_empty() {
            let at = self
                .ranges
                .partition_point(|other| other.start < range.start);
            self.ranges.insert(at, range);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However it is taken and put back: every byte is asked for once, in order, in segments that
        /// are neither tiny nor huge.
        #[test]
        fn every_byte_is_taken_once(
            total in 1u64..400 << 20,
            connections in 1usize..33,
            breaks in prop::collection::vec(0u64..8 << 20, 0..5),
        ) {
            let mut missing = Missing::new(vec![0..total / 3, total / 2..total], false);
            let mut taken: Vec<Range<u64>> = Vec::new();
            let mut breaks = breaks.into_iter();
            while let Some(mut range) = missing.take(connections, 0) {
                prop_assert!(connections == 1 || range.end - range.start <= LONGEST + SHORTEST);
                if let Some(at) = breaks.next() {
                    let end = range.end.min(range.start + at);
                    missing.put_back(end..range.end);
                    range.end = end;
                }
                taken.push(range);
            }
            prop_assert!(missing.is_empty());
            taken.retain(|range| !range.is_empty());
            taken.sort_by_key(|range| range.start);
            let mut at = 0;
            for range in taken {
                if at == total / 3 {
                    at = total / 2;
                }
                prop_assert_eq!(range.start, at);
                at = range.end;
            }
            prop_assert!(at == total || total < 3);
        }
    }

    #[test]
    fn segments_are_long_at_first_and_short_in_the_end() {
        let mut missing = Missing::new(vec![0..1, 1..200 << 20], false);
        assert_eq!(missing.first(), Some(0..1));
        let lengths: Vec<u64> = std::iter::from_fn(|| missing.take(8, 0))
            .map(|range| range.end - range.start)
            .collect();
        assert_eq!(lengths[0], ((200 << 20) - 1) / 16);
        assert!(lengths.is_sorted_by(|a, b| a >= b) || lengths.last() < Some(&(2 * SHORTEST)));
        assert!(lengths.len() < 60, "{}", lengths.len());
    }

    #[test]
    fn what_must_not_wait_is_taken_at_once() {
        let mut missing = Missing::new(vec![0..1, 1..(200 << 20) + 1], true);
        assert_eq!(missing.first(), Some(0..1));
        for number in 0..8 {
            let range = missing.take(8, number).unwrap();
            assert_eq!(range.end - range.start, 25 << 20);
        }
        assert!(missing.is_empty());
    }

    #[test]
    fn a_response_takes_what_comes_next_in_it() {
        let mut missing = Missing::new(vec![10..20, 30..40], false);
        assert_eq!(missing.take_within(25..=29), None);
        assert_eq!(missing.take_within(25..=30), Some(30..40));
        assert_eq!(missing.first(), Some(10..20));
        assert!(missing.is_empty());
    }
}
