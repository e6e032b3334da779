//! Which bytes of a document are there, and which of those are on disk for good.
//!
//! Bytes arrive in order, or in several places at the same time. An extent is a run of them without
//! a gap. What of it was synced is certain; what was written since is described by CRCs, so that it
//! can be told after a crash whether it is there as it was written.

use crate::model::hexadecimal;
use crc_fast::CrcAlgorithm::Crc64Nvme;
use crc_fast::Digest;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// All extents of a document, in order, none touching what another one has.
#[derive(Debug, Default)]
pub struct Extents(Vec<Extent>);

/// Bytes without a gap.
struct Extent {
    start: u64,
    /// Up to here they are on disk.
    synced: u64,
    /// Up to here they are being synced, and the CRC of those.
    syncing: Option<(u64, u64)>,
    /// Of all that were written behind.
    crc: Box<Digest>,
    end: u64,
}

/// What a sidecar says of an extent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// Offset of its first byte.
    pub start: u64,
    /// Up to here it is on disk.
    pub synced: u64,
    /// What was written behind, in order.
    pub written: Vec<Written>,
}

/// Bytes that were written up to `end`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Offset behind the last of them.
    pub end: u64,
    /// Their CRC-64/NVME in hexadecimal.
    pub crc: String,
}

impl Noted {
    /// Whether its numbers are in order.
    pub fn makes_sense(&self) -> bool {
        let ends = self.written.iter().map(|written| written.end);
        let marks = [self.start, self.synced].into_iter().chain(ends);
        marks.is_sorted()
    }

    /// Offset behind its last byte.
    pub fn end(&self) -> u64 {
        self.written.last().map_or(self.synced, |last| last.end)
    }
}

impl std::fmt::Debug for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}..{}..{}", self.start, self.synced, self.end)
    }
}

/// The CRC that tells whether bytes are as they were written.
pub fn crc() -> Digest {
    Digest::new(Crc64Nvme)
}

/// A CRC as it is noted.
pub fn shown(crc: u64) -> String {
    hexadecimal(&crc.to_be_bytes())
}

impl Extent {
    fn new(start: u64, synced: u64) -> Self {
        Self {
            start,
            synced,
            syncing: None,
            crc: Box::new(crc()),
            end: synced,
        }
    }

    /// Where what `crc` covers begins.
    fn tail(&self) -> u64 {
        self.syncing.map_or(self.synced, |(end, _)| end)
    }

    /// Takes in the extent that begins where this one ends, if what is known of both can be said of
    /// one.
    fn join(&mut self, next: &mut Self) -> bool {
        if self.end != next.start {
            return false;
        }
        if self.synced == self.end {
            (self.synced, self.syncing) = (next.synced, next.syncing.take());
            std::mem::swap(&mut self.crc, &mut next.crc);
        } else if next.tail() == next.start && next.syncing.is_none() {
            if next.end > next.start {
                self.crc.combine(&next.crc);
            }
        } else {
            return false;
        }
        self.end = next.end;
        true
    }
}

impl Extents {
    /// The extents that a sidecar notes, where `is_there` finds the bytes that were not synced, from
    /// the given range on with that CRC, as they were written.
    pub async fn restore(
        noted: Vec<Noted>,
        mut is_there: impl AsyncFnMut(Range<u64>, &str) -> Option<Digest>,
    ) -> Self {
        let mut extents = Self::default();
        for noted in noted {
            let mut extent = Extent::new(noted.start, noted.synced);
            for written in noted.written {
                let Some(crc) = is_there(extent.end..written.end, &written.crc).await else {
                    break;
                };
                extent.crc.combine(&crc);
                extent.end = written.end;
            }
            if extent.end > extent.start {
                extents.0.push(extent);
            }
        }
        extents.join();
        extents
    }

    /// How many bytes are there from the document's first one on without a gap.
    pub fn prefix(&self) -> u64 {
        let mut end = 0;
        for extent in &self.0 {
            if extent.start != end {
                break;
            }
            end = extent.end;
        }
        end
    }

    /// How many bytes are there.
    pub fn held(&self) -> u64 {
        self.0.iter().map(|extent| extent.end - extent.start).sum()
    }

    /// Offset behind the last byte that is there.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |extent| extent.end)
    }

    /// How many bytes were not handed to a sync yet.
    pub fn unsynced(&self) -> u64 {
        self.0.iter().map(|extent| extent.end - extent.tail()).sum()
    }

    /// What is missing of a document of `total` bytes.
    pub fn holes(&self, total: u64) -> Vec<Range<u64>> {
        let mut holes = Vec::new();
        let mut at = 0;
        for extent in &self.0 {
            holes.push(at..extent.start.min(total));
            at = extent.end;
        }
        holes.push(at..total);
        holes.retain(|hole| hole.start < hole.end);
        holes
    }

    /// Notes bytes that were written at `offset`, where a hole is. An extent behind that is reached is
    /// there no more: it is written over.
    pub fn add(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len() as u64;
        let at = self.0.partition_point(|extent| extent.end < offset);
        if self.0.get(at).is_none_or(|extent| extent.end != offset) {
            self.0.insert(at, Extent::new(offset, offset));
        }
        self.0[at].crc.update(bytes);
        self.0[at].end = end;
        let covered = self.0[at + 1..].iter().take_while(|next| next.start < end);
        let covered = covered.count();
        self.0.drain(at + 1..=at + covered);
        if covered > 0 || self.0.get(at + 1).is_some_and(|next| next.start == end) {
            self.join();
        }
    }

    /// A sync begins: everything that was written until now will be on disk when it ends.
    pub fn syncing(&mut self) {
        for extent in &mut self.0 {
            let crc = std::mem::replace(&mut *extent.crc, crc());
            extent.syncing = Some((extent.end, crc.finalize()));
        }
    }

    /// That sync ended well.
    pub fn synced(&mut self) {
        for extent in &mut self.0 {
            if let Some((end, _)) = extent.syncing.take() {
                extent.synced = end;
            }
        }
        self.join();
    }

    /// Forgets what is behind the first hole.
    pub fn keep_prefix(&mut self) {
        let prefix = self.prefix();
        self.0.retain(|extent| extent.end <= prefix);
    }

    /// Forgets what is not before `length`; to be called when all is synced.
    pub fn cut(&mut self, length: u64) {
        self.0.retain(|extent| extent.start < length);
        if let Some(last) = self.0.last_mut()
            && last.end > length
        {
            *last = Extent::new(last.start, length);
        }
    }

    /// For the sidecar.
    pub fn note(&self) -> Vec<Noted> {
        let note = |extent: &Extent| {
            let syncing = extent.syncing.filter(|(end, _)| *end > extent.synced);
            let since = (extent.end > extent.tail()).then(|| (extent.end, extent.crc.finalize()));
            let written = syncing.into_iter().chain(since);
            Noted {
                start: extent.start,
                synced: extent.synced,
                written: written
                    .map(|(end, crc)| Written {
                        end,
                        crc: shown(crc),
                    })
                    .collect(),
            }
        };
        self.0.iter().map(note).collect()
    }

    /// Makes one extent of neighbours, where what is known of both can be said of one.
    fn join(&mut self) {
        self.0.dedup_by(|next, before| before.join(next));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LENGTH: usize = 40;

    #[derive(Clone, Debug)]
    enum Step {
        Write(usize, usize),
        Begin,
        End,
        Cut(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..LENGTH, 1usize..9).prop_map(|(at, length)| Step::Write(at, length)),
            1 => Just(Step::Begin),
            1 => Just(Step::End),
            1 => (0..LENGTH).prop_map(Step::Cut),
        ]
    }

    proptest! {
        /// Whatever is written and synced in whatever order: only what was written counts as there, what
        /// is noted is true of the bytes, and comes back from the notes.
        #[test]
        fn what_is_noted_is_what_was_written(steps in prop::collection::vec(step(), 1..40)) {
            let mut file = [0u8; LENGTH + 9];
            let mut extents = Extents::default();
            let mut syncing: Option<[u8; LENGTH + 9]> = None;
            let mut disk = file;
            for (number, step) in (1u8..).zip(steps) {
                match step {
                    Step::Write(at, length) => {
                        if !extents.holes(100).iter().any(|hole| hole.contains(&(at as u64))) {
                            continue;
                        }
                        let bytes = vec![number; length];
                        file[at..at + length].copy_from_slice(&bytes);
                        extents.add(at as u64, &bytes);
                    }
                    Step::Begin if syncing.is_none() => {
                        extents.syncing();
                        syncing = Some(file);
                    }
                    Step::End => if let Some(then) = syncing.take() {
                        extents.synced();
                        disk = then;
                    }
                    Step::Cut(length) if syncing.is_none() => {
                        extents.syncing();
                        extents.synced();
                        disk = file;
                        extents.cut(length as u64);
                    }
                    _ => {}
                }
                let noted = extents.note();
                let mut last = 0;
                for extent in &noted {
                    prop_assert!(extent.makes_sense() && extent.start >= last && extent.end() > extent.start);
                    last = extent.end();
                    let bytes = |range: Range<u64>| usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
                    for at in bytes(extent.start..extent.synced) {
                        // It may have been written over since: then the newer CRC tells.
                        prop_assert!(disk[at] != 0);
                    }
                    for at in bytes(extent.start..extent.end()) {
                        prop_assert!(file[at] != 0, "{at} was never written: {extents:?}");
                    }
                }
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let restored = runtime.block_on(Extents::restore(noted.clone(), async |range, noted| {
                    let bytes = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
                    let mut crc = crc();
                    crc.update(&file[bytes]);
                    (shown(crc.finalize()) == noted).then_some(crc)
                }));
                prop_assert_eq!(restored.held(), extents.held(), "{:?} {:?}", restored, extents);
                prop_assert_eq!(restored.prefix(), extents.prefix());
                let holes: u64 = extents.holes(100).iter().map(|hole| hole.end - hole.start).sum();
                prop_assert_eq!(holes + extents.held(), 100);
            }
        }
    }

    #[test]
    fn neighbours_become_one_however_much_of_them_is_synced() {
        let mut extents = Extents::default();
        extents.add(4, b"efgh");
        extents.add(0, b"abcd");
        assert_eq!(extents.note().len(), 1);
        extents.syncing();
        extents.add(8, b"ijkl");
        extents.add(16, b"qr");
        extents.synced();
        extents.add(12, b"mnop");
        assert_eq!((extents.prefix(), extents.note().len()), (18, 1));
    }
}
