//! Which bytes of a document are there, and which of those are on disk for good.
//!
//! Bytes arrive in order, or in several places at the same time. An extent is a run of them without
//! a gap. CRCs describe all of it, in pieces, so that a later run can tell whether what is there is what
//! was written: a crash loses what was not synced, and a copy can be torn anywhere.

use crate::fingerprint::hexadecimal;
use crc_fast::CrcAlgorithm::Crc64Nvme;
use crc_fast::{Digest, checksum_combine};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The pieces of one extent are merged to so many, and those of all extents to so many together: a
/// sidecar has its limit.
const PIECES: (usize, usize) = (8, 256);

/// All extents of a document, in order, none touching what another one has.
#[derive(Debug, Default)]
pub(crate) struct Extents(Vec<Extent>);

/// Bytes without a gap.
struct Extent {
    start: u64,
    /// What is on disk, in order, without a gap.
    synced: Vec<Piece>,
    /// What is being synced behind that.
    syncing: Option<Piece>,
    /// Of all that was written behind.
    crc: Box<Digest>,
    end: u64,
}

/// Bytes up to `end`, and their CRC.
#[derive(Clone, Copy)]
struct Piece {
    end: u64,
    crc: u64,
}

/// What a sidecar says of an extent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Noted {
    /// Offset of its first byte.
    pub start: u64,
    /// Up to here it is on disk.
    pub synced: u64,
    /// What is on disk, in order. Early versions noted no CRC of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<Written>,
    /// What was written behind, in order.
    pub written: Vec<Written>,
}

/// Bytes that were written up to `end`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    /// Offset behind the last of them.
    pub end: u64,
    /// Their CRC-64/NVME in hexadecimal.
    pub crc: String,
}

impl Noted {
    /// Whether its numbers are in order.
    pub(crate) fn makes_sense(&self) -> bool {
        let ends = |written: &[Written]| written.iter().map(|written| written.end).collect();
        let (pieces, written): (Vec<u64>, Vec<u64>) = (ends(&self.pieces), ends(&self.written));
        let marks = [&[self.start][..], &pieces, &[self.synced], &written].concat();
        marks.is_sorted() && pieces.last().is_none_or(|last| *last == self.synced)
    }

    /// Offset behind its last byte.
    pub(crate) fn end(&self) -> u64 {
        self.written.last().map_or(self.synced, |last| last.end)
    }
}

impl std::fmt::Debug for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}..{}..{}", self.start, self.synced_end(), self.end)
    }
}

impl Piece {
    fn note(self) -> Written {
        let crc = shown(self.crc);
        Written { end: self.end, crc }
    }
}

/// The CRC that tells whether bytes are as they were written.
pub(crate) fn crc() -> Digest {
    Digest::new(Crc64Nvme)
}

/// A CRC as it is noted.
pub(crate) fn shown(crc: u64) -> String {
    hexadecimal(&crc.to_be_bytes())
}

impl Extent {
    fn new(start: u64) -> Self {
        Self {
            start,
            synced: Vec::new(),
            syncing: None,
            crc: Box::new(crc()),
            end: start,
        }
    }

    /// Up to here it is on disk.
    fn synced_end(&self) -> u64 {
        self.synced.last().map_or(self.start, |last| last.end)
    }

    /// Where what `crc` covers begins.
    fn tail(&self) -> u64 {
        self.syncing
            .map_or(self.synced_end(), |syncing| syncing.end)
    }

    /// Takes in the extent that begins where this one ends, if what is known of both can be said of
    /// one.
    fn join(&mut self, next: &mut Self) -> bool {
        if self.end != next.start {
            return false;
        }
        if self.synced_end() == self.end {
            self.synced.append(&mut next.synced);
            self.syncing = next.syncing.take();
            std::mem::swap(&mut self.crc, &mut next.crc);
        } else if next.tail() == next.start {
            if next.end > next.start {
                self.crc.combine(&next.crc);
            }
        } else {
            return false;
        }
        self.end = next.end;
        true
    }

    /// Merges neighbours, the shortest first, until no more than `most` pieces are left.
    fn merge(&mut self, most: usize) {
        while self.synced.len() > most {
            let start = |at: usize| {
                at.checked_sub(1)
                    .map_or(self.start, |before| self.synced[before].end)
            };
            let length = |at: &usize| self.synced[at + 1].end - start(*at);
            let Some(at) = (0..self.synced.len() - 1).min_by_key(length) else {
                return;
            };
            let next = self.synced.remove(at + 1);
            let piece = &mut self.synced[at];
            let length = next.end - piece.end;
            piece.crc = checksum_combine(Crc64Nvme, piece.crc, next.crc, length);
            piece.end = next.end;
        }
    }
}

impl Extents {
    /// The extents that a sidecar notes, where `is_there` finds the bytes of the given range with that CRC,
    /// or any bytes where none was noted.
    pub(crate) fn restore(
        noted: Vec<Noted>,
        mut is_there: impl FnMut(Range<u64>, Option<&str>) -> Option<Digest>,
    ) -> Self {
        let mut extents = Vec::new();
        for noted in noted {
            let mut extent = Extent::new(noted.start);
            let believed = noted
                .pieces
                .is_empty()
                .then_some((noted.synced, None, true));
            let pieces = noted
                .pieces
                .iter()
                .map(|piece| (piece.end, Some(&*piece.crc), true));
            let written = noted
                .written
                .iter()
                .map(|written| (written.end, Some(&*written.crc), false));
            for (end, crc, synced) in believed.into_iter().chain(pieces).chain(written) {
                if end == extent.end {
                    continue;
                }
                match is_there(extent.end..end, crc) {
                    None => extents.push(std::mem::replace(&mut extent, Extent::new(end))),
                    Some(crc) if synced => {
                        let crc = crc.finalize();
                        extent.synced.push(Piece { end, crc });
                    }
                    Some(crc) => extent.crc.combine(&crc),
                }
                extent.end = end;
            }
            extents.push(extent);
        }
        extents.retain(|extent| extent.end > extent.start);
        let mut extents = Self(extents);
        extents.join();
        extents
    }

    /// How many bytes are there from the document's first one on without a gap.
    pub(crate) fn prefix(&self) -> u64 {
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
    pub(crate) fn held(&self) -> u64 {
        self.0.iter().map(|extent| extent.end - extent.start).sum()
    }

    /// Offset behind the last byte that is there.
    pub(crate) fn end(&self) -> u64 {
        self.0.last().map_or(0, |extent| extent.end)
    }

    /// How many bytes were not handed to a sync yet.
    pub(crate) fn unsynced(&self) -> u64 {
        self.0.iter().map(|extent| extent.end - extent.tail()).sum()
    }

    /// What is missing of a document of `total` bytes.
    pub(crate) fn holes(&self, total: u64) -> Vec<Range<u64>> {
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
    pub(crate) fn add(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len() as u64;
        let at = self.0.partition_point(|extent| extent.end < offset);
        if self.0.get(at).is_none_or(|extent| extent.end != offset) {
            self.0.insert(at, Extent::new(offset));
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
    pub(crate) fn syncing(&mut self) {
        for extent in &mut self.0 {
            if extent.end > extent.tail() {
                let crc = std::mem::replace(&mut *extent.crc, crc()).finalize();
                let end = extent.end;
                extent.syncing = Some(Piece { end, crc });
            }
        }
    }

    /// That sync ended well.
    pub(crate) fn synced(&mut self) {
        for extent in &mut self.0 {
            extent.synced.extend(extent.syncing.take());
        }
        self.join();
        let (of_one, of_all) = PIECES;
        let most = (of_all / self.0.len().max(1)).clamp(1, of_one);
        for extent in &mut self.0 {
            extent.merge(most);
        }
    }

    /// Forgets what is behind the first hole.
    pub(crate) fn keep_prefix(&mut self) {
        let prefix = self.prefix();
        self.0.retain(|extent| extent.end <= prefix);
    }

    /// Forgets what is not before `length`; to be called when all is synced. `crc_of` reads back what is
    /// left of a piece.
    ///
    /// # Errors
    /// Those of `crc_of`; then that piece is forgotten.
    pub(crate) fn cut<E>(
        &mut self,
        length: u64,
        crc_of: impl FnOnce(Range<u64>) -> Result<u64, E>,
    ) -> Result<(), E> {
        self.0.retain(|extent| extent.start < length);
        if let Some(last) = self.0.last_mut()
            && last.end > length
        {
            last.synced.retain(|piece| piece.end <= length);
            last.end = last.synced_end();
            let rest = last.end..length;
            match Some(rest).filter(|rest| !rest.is_empty()).map(crc_of) {
                Some(Ok(crc)) => last.synced.push(Piece { end: length, crc }),
                Some(Err(error)) => {
                    self.0.retain(|extent| extent.end > extent.start);
                    return Err(error);
                }
                None => {}
            }
            last.end = length;
        }
        Ok(())
    }

    /// For the sidecar.
    pub(crate) fn note(&self) -> Vec<Noted> {
        let note = |extent: &Extent| {
            let since = (extent.end > extent.tail()).then(|| Piece {
                end: extent.end,
                crc: extent.crc.finalize(),
            });
            let written = extent.syncing.into_iter().chain(since);
            Noted {
                start: extent.start,
                synced: extent.synced_end(),
                pieces: extent.synced.iter().copied().map(Piece::note).collect(),
                written: written.map(Piece::note).collect(),
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

    fn bytes(range: Range<u64>) -> Range<usize> {
        usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()
    }

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
                        let crc_of = |range: Range<u64>| {
                            let mut crc = crc();
                            crc.update(&file[bytes(range)]);
                            Ok::<_, ()>(crc.finalize())
                        };
                        extents.cut(length as u64, crc_of).unwrap();
                    }
                    _ => {}
                }
                let noted = extents.note();
                let mut last = 0;
                for extent in &noted {
                    prop_assert!(extent.makes_sense() && extent.start >= last && extent.end() > extent.start);
                    last = extent.end();
                    for at in bytes(extent.start..extent.synced) {
                        // It may have been written over since: then the newer CRC tells.
                        prop_assert!(disk[at] != 0);
                    }
                    for at in bytes(extent.start..extent.end()) {
                        prop_assert!(file[at] != 0, "{at} was never written: {extents:?}");
                    }
                }
                let is_there = |range, noted: Option<&str>| {
                    let mut crc = crc();
                    crc.update(&file[bytes(range)]);
                    (noted == Some(&shown(crc.finalize()))).then_some(crc)
                };
                let restored = Extents::restore(noted, is_there);
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

    /// What is noted of 40 bytes that were synced and written in several places, and the bytes.
    fn noted() -> (Vec<Noted>, Vec<u8>) {
        let file: Vec<u8> = (1..=40).collect();
        let mut extents = Extents::default();
        for at in [0, 20, 4, 24, 8, 28, 12] {
            extents.add(at as u64, &file[at..at + 4]);
            extents.syncing();
            extents.synced();
        }
        extents.add(32, &file[32..36]);
        extents.syncing();
        extents.add(36, &file[36..]);
        (extents.note(), file)
    }

    fn restored(noted: &[Noted], file: &[u8]) -> Extents {
        Extents::restore(noted.to_vec(), |range, noted| {
            let mut crc = crc();
            crc.update(file.get(bytes(range))?);
            noted
                .is_none_or(|noted| noted == shown(crc.finalize()))
                .then_some(crc)
        })
    }

    #[test]
    fn a_byte_that_is_another_one_is_there_no_more_and_the_pieces_around_it_are() {
        let (noted, mut file) = noted();
        assert_eq!(restored(&noted, &file).held(), 36);
        for at in (0..16).chain(20..40) {
            file[at] ^= 1;
            let restored = restored(&noted, &file);
            let holes = restored.holes(40);
            assert!(
                holes.iter().any(|hole| hole.contains(&(at as u64))),
                "{at}: {holes:?}"
            );
            assert_eq!(restored.held(), 32, "{at}: {holes:?}");
            file[at] ^= 1;
        }
        for length in 0..40 {
            let restored = restored(&noted, &file[..length]);
            assert!(restored.end() <= length as u64 && restored.held() + 8 > length as u64);
        }
    }

    #[test]
    fn the_notes_of_an_early_version_are_believed_as_it_believed_them() {
        let early = r#"[{"start":0,"synced":16,"written":[]},{"start":20,"synced":24,"written":[{"end":28,"crc":"0000000000000000"}]}]"#;
        let early: Vec<Noted> = serde_json::from_str(early).unwrap();
        assert!(early.iter().all(Noted::makes_sense));
        let found = restored(&early, &[7; 40]);
        assert_eq!(found.holes(40), [16..20, 24..40]);
        // From then on it has CRCs.
        assert!(found.note().iter().all(|noted| noted.pieces.len() == 1));
        assert_eq!(restored(&found.note(), &[7; 40]).held(), 20);
        assert_eq!(restored(&found.note(), &[8; 40]).held(), 0);
    }

    #[test]
    fn many_syncs_leave_few_pieces_of_about_the_same_length() {
        let file = [7; 4000];
        let mut extents = Extents::default();
        for at in (0..4000).step_by(10) {
            extents.add(at as u64, &file[at..at + 10]);
            extents.syncing();
            extents.synced();
        }
        let noted = extents.note();
        assert_eq!(noted[0].pieces.len(), PIECES.0);
        let starts = [0]
            .into_iter()
            .chain(noted[0].pieces.iter().map(|piece| piece.end));
        let longest = noted[0]
            .pieces
            .iter()
            .zip(starts)
            .map(|(piece, start)| piece.end - start)
            .max();
        assert!(longest.unwrap() <= 1100, "{noted:?}");
        assert_eq!(restored(&noted, &file).held(), 4000);
    }
}
