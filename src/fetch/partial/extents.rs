//! Which bytes of a document a partial holds, and which of them are synced to disk.
//!
//! An extent is a run of bytes without a gap. Segments of a transfer fill several extents at the same
//! time. CRCs cover every byte of an extent, in blocks, so that a later run can tell whether the file
//! still holds the bytes that were written: a crash loses bytes that were not synced, and a copy of
//! the file can be incomplete.

use crate::fingerprint::hexadecimal;
use crc_fast::CrcAlgorithm::Crc64Nvme;
use crc_fast::{Digest, checksum_combine};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// How many synced blocks one extent keeps; more are merged, because a sidecar has a maximum size.
const MAX_BLOCKS_PER_EXTENT: usize = 8;
/// How many synced blocks all extents keep together; each extent keeps at least one.
const MAX_BLOCKS: usize = 256;

/// The extents of a document, in ascending order, without overlap.
#[derive(Debug, Default)]
pub(super) struct Extents(Vec<Extent>);

/// Bytes without a gap: synced blocks, then a block that a sync is writing, then a tail that no sync
/// has begun to write.
struct Extent {
    start: u64,
    /// Blocks that are synced, in order, without a gap between them.
    synced: Vec<Block>,
    /// The block that the sync under way covers.
    syncing: Option<Block>,
    /// The CRC of the tail.
    tail_crc: Box<Digest>,
    end: u64,
}

/// A part of an extent: the bytes from the end of the block before, or from the extent's start, to `end`.
#[derive(Clone, Copy)]
struct Block {
    end: u64,
    crc: u64,
}

/// What a sidecar says of an extent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ExtentNote {
    /// The offset of the first byte.
    pub start: u64,
    /// The offset behind the last synced byte.
    pub synced: u64,
    /// The synced blocks, in order. The first versions of docfetch wrote none.
    #[serde(rename = "pieces", default, skip_serializing_if = "Vec::is_empty")]
    pub synced_blocks: Vec<BlockNote>,
    /// The blocks behind the synced ones, in order. A power failure may lose their bytes.
    #[serde(rename = "written")]
    pub unsynced_blocks: Vec<BlockNote>,
}

/// What a sidecar says of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BlockNote {
    /// The offset behind the last byte.
    pub end: u64,
    /// The CRC-64/NVME of the block in hexadecimal.
    pub crc: String,
}

impl ExtentNote {
    /// Whether the offsets are in ascending order.
    pub(super) fn is_consistent(&self) -> bool {
        let ends = |blocks: &[BlockNote]| blocks.iter().map(|block| block.end).collect();
        let (synced, unsynced): (Vec<u64>, Vec<u64>) =
            (ends(&self.synced_blocks), ends(&self.unsynced_blocks));
        let offsets = [&[self.start][..], &synced, &[self.synced], &unsynced].concat();
        offsets.is_sorted() && synced.last().is_none_or(|last| *last == self.synced)
    }

    /// The offset behind the last byte.
    pub(super) fn end(&self) -> u64 {
        self.unsynced_blocks
            .last()
            .map_or(self.synced, |last| last.end)
    }
}

impl std::fmt::Debug for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}..{}..{}", self.start, self.synced_end(), self.end)
    }
}

impl Block {
    fn note(self) -> BlockNote {
        let crc = crc_text(self.crc);
        BlockNote { end: self.end, crc }
    }
}

/// A CRC-64/NVME of no bytes yet.
pub(super) fn new_crc() -> Digest {
    Digest::new(Crc64Nvme)
}

/// A CRC as sidecars hold it: hexadecimal.
pub(super) fn crc_text(crc: u64) -> String {
    hexadecimal(&crc.to_be_bytes())
}

impl Extent {
    fn new(start: u64) -> Self {
        Self {
            start,
            synced: Vec::new(),
            syncing: None,
            tail_crc: Box::new(new_crc()),
            end: start,
        }
    }

    /// The offset behind the last synced byte.
    fn synced_end(&self) -> u64 {
        self.synced.last().map_or(self.start, |last| last.end)
    }

    /// The offset of the tail's first byte.
    fn tail_start(&self) -> u64 {
        self.syncing
            .map_or(self.synced_end(), |syncing| syncing.end)
    }

    /// Appends `next`, if `next` begins where this extent ends, and the blocks of both can follow each other
    /// in one extent. Returns whether that was so; if not, both extents are unchanged.
    fn join(&mut self, next: &mut Self) -> bool {
        if self.end != next.start {
            return false;
        }
        if self.synced_end() == self.end {
            self.synced.append(&mut next.synced);
            self.syncing = next.syncing.take();
            std::mem::swap(&mut self.tail_crc, &mut next.tail_crc);
        } else if next.tail_start() == next.start {
            if next.end > next.start {
                self.tail_crc.combine(&next.tail_crc);
            }
        } else {
            return false;
        }
        self.end = next.end;
        true
    }

    /// Merges neighbouring synced blocks, the shortest pair first, until `max_blocks` are left.
    fn merge_blocks(&mut self, max_blocks: usize) {
        while self.synced.len() > max_blocks {
            let start = |at: usize| {
                at.checked_sub(1)
                    .map_or(self.start, |before| self.synced[before].end)
            };
            let length = |at: &usize| self.synced[at + 1].end - start(*at);
            let Some(at) = (0..self.synced.len() - 1).min_by_key(length) else {
                return;
            };
            let next = self.synced.remove(at + 1);
            let block = &mut self.synced[at];
            let length = next.end - block.end;
            block.crc = checksum_combine(Crc64Nvme, block.crc, next.crc, length);
            block.end = next.end;
        }
    }

    fn note(&self) -> ExtentNote {
        let tail = (self.end > self.tail_start()).then(|| Block {
            end: self.end,
            crc: self.tail_crc.finalize(),
        });
        let unsynced = self.syncing.into_iter().chain(tail);
        ExtentNote {
            start: self.start,
            synced: self.synced_end(),
            synced_blocks: self.synced.iter().copied().map(Block::note).collect(),
            unsynced_blocks: unsynced.map(Block::note).collect(),
        }
    }
}

impl Extents {
    /// The extents that `notes` describe, without the blocks that the file no longer holds. `read_crc` reads
    /// a range of the file and returns its CRC, or `None` if another CRC is expected.
    pub(super) fn restore(
        notes: Vec<ExtentNote>,
        mut read_crc: impl FnMut(Range<u64>, Option<&str>) -> Option<Digest>,
    ) -> Self {
        let mut extents = Vec::new();
        for note in notes {
            let mut extent = Extent::new(note.start);
            let without_crc = note
                .synced_blocks
                .is_empty()
                .then_some((note.synced, None, true));
            let synced = note.synced_blocks.iter();
            let synced = synced.map(|block| (block.end, Some(&*block.crc), true));
            let unsynced = note.unsynced_blocks.iter();
            let unsynced = unsynced.map(|block| (block.end, Some(&*block.crc), false));
            for (end, crc, is_synced) in without_crc.into_iter().chain(synced).chain(unsynced) {
                if end == extent.end {
                    continue;
                }
                match read_crc(extent.end..end, crc) {
                    None => extents.push(std::mem::replace(&mut extent, Extent::new(end))),
                    Some(crc) if is_synced => {
                        let crc = crc.finalize();
                        extent.synced.push(Block { end, crc });
                    }
                    Some(crc) => extent.tail_crc.combine(&crc),
                }
                extent.end = end;
            }
            extents.push(extent);
        }
        extents.retain(|extent| extent.end > extent.start);
        let mut extents = Self(extents);
        extents.join_neighbours();
        extents
    }

    /// The number of bytes before the first hole.
    pub(super) fn prefix(&self) -> u64 {
        let mut end = 0;
        for extent in &self.0 {
            if extent.start != end {
                break;
            }
            end = extent.end;
        }
        end
    }

    /// The number of bytes in all extents.
    pub(super) fn held(&self) -> u64 {
        self.0.iter().map(|extent| extent.end - extent.start).sum()
    }

    /// The offset behind the last byte.
    pub(super) fn end(&self) -> u64 {
        self.0.last().map_or(0, |extent| extent.end)
    }

    /// The number of bytes that no sync has begun to write.
    pub(super) fn unsynced(&self) -> u64 {
        self.0
            .iter()
            .map(|extent| extent.end - extent.tail_start())
            .sum()
    }

    /// The ranges of a document of `total` bytes that no extent has.
    pub(super) fn holes(&self, total: u64) -> Vec<Range<u64>> {
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

    /// Adds bytes that were written at `offset`, which lies in a hole. The bytes may reach into the
    /// extents behind the hole. Such extents are removed, because the file no longer holds their bytes.
    pub(super) fn add(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len() as u64;
        let at = self.0.partition_point(|extent| extent.end < offset);
        if self.0.get(at).is_none_or(|extent| extent.end != offset) {
            self.0.insert(at, Extent::new(offset));
        }
        self.0[at].tail_crc.update(bytes);
        self.0[at].end = end;
        let overwritten = self.0[at + 1..].iter().take_while(|next| next.start < end);
        let overwritten = overwritten.count();
        self.0.drain(at + 1..=at + overwritten);
        if overwritten > 0 || self.0.get(at + 1).is_some_and(|next| next.start == end) {
            self.join_neighbours();
        }
    }

    /// Records that a sync begins. The sync writes all bytes that were added before.
    pub(super) fn begin_sync(&mut self) {
        for extent in &mut self.0 {
            if extent.end > extent.tail_start() {
                let crc = std::mem::replace(&mut *extent.tail_crc, new_crc()).finalize();
                let end = extent.end;
                extent.syncing = Some(Block { end, crc });
            }
        }
    }

    /// Records that the sync succeeded.
    pub(super) fn end_sync(&mut self) {
        for extent in &mut self.0 {
            extent.synced.extend(extent.syncing.take());
        }
        self.join_neighbours();
        let max_blocks = (MAX_BLOCKS / self.0.len().max(1)).clamp(1, MAX_BLOCKS_PER_EXTENT);
        for extent in &mut self.0 {
            extent.merge_blocks(max_blocks);
        }
    }

    /// Removes the extents behind the first hole.
    pub(super) fn keep_prefix(&mut self) {
        let prefix = self.prefix();
        self.0.retain(|extent| extent.end <= prefix);
    }

    /// Removes the bytes from offset `length` on. Call only when every byte is synced. `crc_of` reads
    /// back the part of a block that is left.
    ///
    /// # Errors
    /// The error of `crc_of`; the block whose rest it could not read is removed as well.
    pub(super) fn truncate<E>(
        &mut self,
        length: u64,
        crc_of: impl FnOnce(Range<u64>) -> Result<u64, E>,
    ) -> Result<(), E> {
        self.0.retain(|extent| extent.start < length);
        if let Some(last) = self.0.last_mut()
            && last.end > length
        {
            last.synced.retain(|block| block.end <= length);
            last.end = last.synced_end();
            let rest = last.end..length;
            match Some(rest).filter(|rest| !rest.is_empty()).map(crc_of) {
                Some(Ok(crc)) => last.synced.push(Block { end: length, crc }),
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

    /// What the sidecar says of the extents.
    pub(super) fn notes(&self) -> Vec<ExtentNote> {
        self.0.iter().map(Extent::note).collect()
    }

    /// Joins neighbouring extents, as far as [`Extent::join`] can.
    fn join_neighbours(&mut self) {
        self.0.dedup_by(|next, before| before.join(next));
    }
}

#[cfg(test)]
mod tests;
