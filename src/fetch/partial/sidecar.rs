//! The sidecar of a partial: which representation its bytes belong to, and which of them are there. It
//! never holds a URL.
//!
//! It is written in one of two places of its file in turn, each sealed by a CRC, so that one that is
//! torn by a power failure leaves the other one.

use crate::error::{Error, Result};
use crate::fetch::entity::StorageNames;
use crate::fetch::partial::extents::{self, Noted};
use crate::http::headers::{Checksum, is_strong};
use crate::state::files::{open_own, write_record};
use crate::state::records::Durability;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

/// A sidecar is never longer, in bytes; the next one stands that far behind.
const PLACE: u64 = 32 << 10;

/// What a sidecar says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sidecar {
    /// What is there.
    pub extents: Vec<Noted>,
    /// The entity tag, a strong one; of refused bytes any, or an empty one.
    pub etag: String,
    /// The length of the whole in bytes.
    pub total: Option<u64>,
    /// How the storage names it.
    pub name: StorageNames,
    /// The checksum of the whole that the storage announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<(Checksum, Vec<u8>)>,
    /// Set when all bytes are here, and that checksum is not theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedDocument>,
}

/// Bytes that are complete, and are published only when the user gives their SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefusedDocument {
    /// Their SHA-256 in hexadecimal.
    pub sha256: String,
    /// The document's safe name.
    pub name: String,
}

/// A sidecar as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    /// Of two, the later one counts.
    turn: u64,
    /// The text of a [`Sidecar`].
    sidecar: Box<RawValue>,
    /// CRC-64/NVME of the turn and of that text, in hexadecimal.
    seal: String,
}

/// The file of a sidecar that is being written.
#[derive(Debug)]
pub(crate) struct SidecarFile {
    file: Arc<File>,
    turn: u64,
}

impl Sidecar {
    /// Reads the one at `path`; none where there is none that can be trusted.
    ///
    /// # Errors
    /// [`Code::UnsafePartial`](crate::error::Code::UnsafePartial) when something else has its name.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        if std::fs::symlink_metadata(path).is_err() {
            return Ok(None);
        }
        let mut text = Vec::new();
        let read = open_own(path, OFlags::RDONLY)?
            .take(2 * PLACE)
            .read_to_end(&mut text);
        let place = usize::try_from(PLACE).unwrap_or(usize::MAX);
        let (first, second) = text.split_at(text.len().min(place));
        let places = [first, second].into_iter().filter_map(Sealed::read);
        let sealed = places.max_by_key(|sealed| sealed.turn);
        let sidecar = read.ok().and(sealed).and_then(|sealed| sealed.open());
        Ok(sidecar.filter(Sidecar::makes_sense))
    }

    fn makes_sense(&self) -> bool {
        let total = self.total.unwrap_or(u64::MAX);
        let mut behind = 0;
        (is_strong(&self.etag) || self.refused.is_some())
            && self.extents.iter().all(|extent| {
                let in_order = behind <= extent.start && extent.makes_sense();
                behind = extent.end();
                in_order && behind <= total
            })
    }
}

impl Sealed {
    fn new(turn: u64, sidecar: &Sidecar) -> io::Result<Self> {
        let sidecar = to_raw_value(sidecar)?;
        let seal = Self::seal(turn, &sidecar);
        Ok(Self {
            turn,
            sidecar,
            seal,
        })
    }

    fn seal(turn: u64, sidecar: &RawValue) -> String {
        let mut crc = extents::crc();
        crc.update(&turn.to_be_bytes());
        crc.update(sidecar.get().as_bytes());
        extents::shown(crc.finalize())
    }

    /// What is written at one of the places.
    fn read(text: &[u8]) -> Option<Self> {
        let line = text.split(|byte| matches!(byte, b'\n' | 0)).next()?;
        let sealed: Self = serde_json::from_slice(line).ok()?;
        (sealed.seal == Self::seal(sealed.turn, &sealed.sidecar)).then_some(sealed)
    }

    fn open(&self) -> Option<Sidecar> {
        serde_json::from_str(self.sidecar.get()).ok()
    }
}

impl SidecarFile {
    /// Writes a new one in place of whatever is at `path`.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo), [`Code::DiskFull`](crate::error::Code::DiskFull).
    pub(crate) fn create(path: &Path, sidecar: &Sidecar, durability: Durability) -> Result<Self> {
        let sealed = Sealed::new(0, sidecar).map_err(|error| Error::io("write", path, &error))?;
        let file = Arc::new(write_record(path, &sealed, durability)?);
        Ok(Self { file, turn: 0 })
    }

    /// Writes the next one.
    ///
    /// # Errors
    /// When it cannot be written, or is too long; then the one before counts.
    pub(crate) fn write(&mut self, sidecar: &Sidecar) -> io::Result<()> {
        self.turn += 1;
        let mut text = serde_json::to_vec(&Sealed::new(self.turn, sidecar)?)?;
        text.push(b'\n'); // whatever is left of a longer one does not count
        if text.len() as u64 > PLACE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.file.write_all_at(&text, self.turn % 2 * PLACE)
    }

    /// The file, to be synced.
    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(total: u64) -> Sidecar {
        Sidecar {
            extents: Vec::new(),
            etag: "\"v1\"".to_owned(),
            total: Some(total),
            name: StorageNames::default(),
            checksum: None,
            refused: None,
        }
    }

    #[test]
    fn a_sidecar_with_any_other_byte_leaves_the_other_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        let total = || Sidecar::read(&path).unwrap().and_then(|found| found.total);
        let mut file = SidecarFile::create(&path, &of(10), Durability::Buffered).unwrap();
        assert_eq!(total(), Some(10));
        file.write(&of(20)).unwrap();
        assert_eq!(total(), Some(20));
        let text = std::fs::read(&path).unwrap();
        let writer = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        for (at, byte) in (0u64..).zip(text) {
            if byte == 0 {
                continue; // between the two
            }
            let other = [if byte == b'7' { b'8' } else { b'7' }];
            writer.write_all_at(&other, at).unwrap();
            let left = if at < PLACE { 20 } else { 10 };
            assert_eq!(total(), Some(left), "{at}");
            writer.write_all_at(&[byte], at).unwrap();
        }
        assert_eq!(total(), Some(20));
    }
}
