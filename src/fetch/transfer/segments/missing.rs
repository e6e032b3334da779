//! The bytes of a document that no connection fetches yet, and how connections share them.

use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};

/// A segment has at least this many bytes, unless fewer are left: each request costs a round trip.
pub(super) const MIN_SEGMENT_BYTES: u64 = 1 << 20;
/// A segment has at most this many bytes.
const MAX_SEGMENT_BYTES: u64 = 32 << 20;

/// The ranges of a document that no connection fetches yet, in ascending order.
#[derive(Debug)]
pub(super) struct Missing {
    ranges: VecDeque<Range<u64>>,
    /// Whether docfetch requests all of them at once, in one segment for each connection.
    all_at_once: bool,
}

impl Missing {
    /// These `holes`, in ascending order.
    pub(super) fn new(holes: Vec<Range<u64>>, all_at_once: bool) -> Self {
        let ranges = holes.into();
        Self {
            ranges,
            all_at_once,
        }
    }

    /// The length of a segment when `connections` share this many bytes; `None` when there is nothing to
    /// share. Segments are long at first, and become shorter with the rest, so that all connections end at
    /// about the same time. Only if all are requested at once, they are equally long.
    pub(super) fn segment_length(&self, bytes: u64, connections: usize) -> Option<u64> {
        let shared_by = connections.max(1) as u64;
        let length = if self.all_at_once {
            bytes.div_ceil(shared_by).max(MIN_SEGMENT_BYTES)
        } else {
            (bytes / (2 * shared_by)).clamp(MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES)
        };
        (connections > 1 && bytes >= length + MIN_SEGMENT_BYTES).then_some(length)
    }

    /// Whether no range is missing, apart from those that connections fetch.
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Takes the first range, as a whole.
    pub(super) fn take_first(&mut self) -> Option<Range<u64>> {
        self.ranges.pop_front()
    }

    /// Takes the first range that begins within `starts`, as a whole.
    pub(super) fn take_within(&mut self, starts: RangeInclusive<u64>) -> Option<Range<u64>> {
        let mut ranges = self.ranges.iter();
        let index = ranges.position(|range| starts.contains(&range.start))?;
        self.ranges.remove(index)
    }

    /// Takes the next segment. There may be `connections`, and `busy` of them fetch already.
    pub(super) fn take_segment(&mut self, connections: usize, busy: usize) -> Option<Range<u64>> {
        let connections = if self.all_at_once {
            connections.saturating_sub(busy)
        } else {
            connections
        };
        let bytes = self
            .ranges
            .iter()
            .map(|range| range.end - range.start)
            .sum();
        let length = self.segment_length(bytes, connections);
        let first = self.ranges.front_mut()?;
        match length {
            Some(length) if first.end - first.start >= length + MIN_SEGMENT_BYTES => {
                let taken = first.start..first.start + length;
                first.start = taken.end;
                Some(taken)
            }
            _ => self.ranges.pop_front(),
        }
    }

    /// Puts a range back that a response did not bring.
    pub(super) fn put_back(&mut self, range: Range<u64>) {
        if !range.is_empty() {
            let index = self
                .ranges
                .partition_point(|other| other.start < range.start);
            self.ranges.insert(index, range);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Connections take every byte once, in order, in segments that are neither tiny nor huge, also when
        /// they put some bytes back.
        #[test]
        fn every_byte_is_taken_once(
            total in 1u64..400 << 20,
            connections in 1usize..33,
            breaks in prop::collection::vec(0u64..8 << 20, 0..5),
        ) {
            let mut missing = Missing::new(vec![0..total / 3, total / 2..total], false);
            let mut taken: Vec<Range<u64>> = Vec::new();
            let mut breaks = breaks.into_iter();
            while let Some(mut range) = missing.take_segment(connections, 0) {
                prop_assert!(connections == 1 || range.end - range.start <= MAX_SEGMENT_BYTES + MIN_SEGMENT_BYTES);
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
        assert_eq!(missing.take_first(), Some(0..1));
        let lengths: Vec<u64> = std::iter::from_fn(|| missing.take_segment(8, 0))
            .map(|range| range.end - range.start)
            .collect();
        assert_eq!(lengths[0], ((200 << 20) - 1) / 16);
        assert!(
            lengths.is_sorted_by(|a, b| a >= b) || lengths.last() < Some(&(2 * MIN_SEGMENT_BYTES))
        );
        assert!(lengths.len() < 60, "{}", lengths.len());
    }

    #[test]
    fn what_must_not_wait_is_taken_at_once() {
        let mut missing = Missing::new(vec![0..1, 1..(200 << 20) + 1], true);
        assert_eq!(missing.take_first(), Some(0..1));
        for number in 0..8 {
            let range = missing.take_segment(8, number).unwrap();
            assert_eq!(range.end - range.start, 25 << 20);
        }
        assert!(missing.is_empty());
    }

    #[test]
    fn a_response_takes_what_comes_next_in_it() {
        let mut missing = Missing::new(vec![10..20, 30..40], false);
        assert_eq!(missing.take_within(25..=29), None);
        assert_eq!(missing.take_within(25..=30), Some(30..40));
        assert_eq!(missing.take_first(), Some(10..20));
        assert!(missing.is_empty());
    }
}
