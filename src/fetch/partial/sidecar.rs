//! The sidecar of a partial: which representation its bytes belong to, and which bytes there are. A
//! sidecar never holds a URL.
//!
//! The file has two slots of a fixed size. Each version of the sidecar goes into the slot that the
//! version before did not use, with a CRC. So a power failure during a write leaves the other version.

use crate::error::{Error, Result};
use crate::fetch::entity::StorageNames;
use crate::fetch::partial::extents::{ExtentNote, crc_text, new_crc};
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

/// The size of a slot, in bytes: the longest sidecar.
const SLOT_BYTES: u64 = 32 << 10;

/// What a sidecar says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sidecar {
    /// Which bytes there are.
    pub extents: Vec<ExtentNote>,
    /// The entity tag, a strong one. Bytes that were refused may have a weak one, or an empty text for none.
    pub etag: String,
    /// The length of the whole document in bytes.
    pub total: Option<u64>,
    /// The file names that the storage gave.
    pub name: StorageNames,
    /// The algorithm and the value of the checksum that the storage announced for the whole document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<(Checksum, Vec<u8>)>,
    /// When the document changed last at the storage, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<u64>,
    /// Set when every byte arrived, and the checksum of the storage is not that of the bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedDocument>,
}

/// A complete document whose bytes do not have the checksum that the storage announced. docfetch
/// publishes the document when the user gives the SHA-256 of its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefusedDocument {
    /// The SHA-256 of the bytes in hexadecimal.
    pub sha256: String,
    /// The document's safe name.
    pub name: String,
}

/// A version of a sidecar as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct SealedSidecar {
    /// Which version this is: the higher of two counts.
    #[serde(rename = "turn")]
    version: u64,
    /// The JSON of a [`Sidecar`].
    sidecar: Box<RawValue>,
    /// CRC-64/NVME of the version number and of that JSON, in hexadecimal.
    #[serde(rename = "seal")]
    crc: String,
}

/// The open file of a sidecar.
#[derive(Debug)]
pub(super) struct SidecarFile {
    file: Arc<File>,
    /// The version that was written last.
    version: u64,
}

impl Sidecar {
    /// Reads the sidecar at `path`. `None` if the file does not exist, or no version in it is intact.
    ///
    /// # Errors
    /// [`Code::UnsafePartial`](crate::error::Code::UnsafePartial) when `path` is not a plain file of this
    /// user.
    pub(super) fn read(path: &Path) -> Result<Option<Self>> {
        if std::fs::symlink_metadata(path).is_err() {
            return Ok(None);
        }
        let mut text = Vec::new();
        let read = open_own(path, OFlags::RDONLY)?
            .take(2 * SLOT_BYTES)
            .read_to_end(&mut text);
        Ok(read.ok().and_then(|_| Self::parse(&text)))
    }

    /// Parses the content of a sidecar's file. `None` if no version in it is intact.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let slot_bytes = usize::try_from(SLOT_BYTES).unwrap_or(usize::MAX);
        let (first, second) = text.split_at(text.len().min(slot_bytes));
        let versions = [first, second].into_iter().filter_map(SealedSidecar::parse);
        let latest = versions.max_by_key(|sealed| sealed.version)?;
        latest.open().filter(Self::is_consistent)
    }

    /// The file name that the storage gave the document.
    pub(super) fn name(&self) -> Option<String> {
        let StorageNames { header, url } = &self.name;
        header.as_ref().or(url.as_ref()).cloned()
    }

    /// How many bytes the sidecar describes.
    pub(super) fn noted_bytes(&self) -> u64 {
        self.extents
            .iter()
            .map(|extent| extent.end() - extent.start)
            .sum()
    }

    /// Whether the offsets of the extents are in ascending order, and the entity tag permits a resume.
    pub(super) fn is_consistent(&self) -> bool {
        let total = self.total.unwrap_or(u64::MAX);
        let mut previous_end = 0;
        (is_strong(&self.etag) || self.refused.is_some())
            && self.extents.iter().all(|extent| {
                let in_order = previous_end <= extent.start && extent.is_consistent();
                previous_end = extent.end();
                in_order && previous_end <= total
            })
    }
}

impl SealedSidecar {
    fn new(version: u64, sidecar: &Sidecar) -> io::Result<Self> {
        let sidecar = to_raw_value(sidecar)?;
        let crc = Self::crc(version, &sidecar);
        Ok(Self {
            version,
            sidecar,
            crc,
        })
    }

    fn crc(version: u64, sidecar: &RawValue) -> String {
        let mut crc = new_crc();
        crc.update(&version.to_be_bytes());
        crc.update(sidecar.get().as_bytes());
        crc_text(crc.finalize())
    }

    /// Parses the version in a slot. `None` if it is not intact.
    fn parse(slot: &[u8]) -> Option<Self> {
        let line = slot.split(|byte| matches!(byte, b'\n' | 0)).next()?;
        let sealed: Self = serde_json::from_slice(line).ok()?;
        (sealed.crc == Self::crc(sealed.version, &sealed.sidecar)).then_some(sealed)
    }

    fn open(&self) -> Option<Sidecar> {
        serde_json::from_str(self.sidecar.get()).ok()
    }
}

impl SidecarFile {
    /// Writes the first version of a sidecar to a new file, which replaces anything at `path`.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo), [`Code::DiskFull`](crate::error::Code::DiskFull).
    pub(super) fn create(path: &Path, sidecar: &Sidecar, durability: Durability) -> Result<Self> {
        let sealed =
            SealedSidecar::new(0, sidecar).map_err(|error| Error::io("write", path, &error))?;
        let file = Arc::new(write_record(path, &sealed, durability)?);
        Ok(Self { file, version: 0 })
    }

    /// Writes the next version.
    ///
    /// # Errors
    /// The system's error, or [`io::ErrorKind::FileTooLarge`] when the sidecar is longer than a slot. The
    /// version before counts then.
    pub(super) fn write(&mut self, sidecar: &Sidecar) -> io::Result<()> {
        self.version += 1;
        let mut text = serde_json::to_vec(&SealedSidecar::new(self.version, sidecar)?)?;
        text.push(b'\n'); // the slot may hold the rest of a longer version behind it
        if text.len() as u64 > SLOT_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.file.write_all_at(&text, self.version % 2 * SLOT_BYTES)
    }

    /// The file, for a sync.
    pub(super) fn file(&self) -> Arc<File> {
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
            last_modified: None,
            refused: None,
        }
    }

    #[test]
    fn a_sidecar_with_any_changed_byte_leaves_the_other_version() {
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
            let left = if at < SLOT_BYTES { 20 } else { 10 };
            assert_eq!(total(), Some(left), "{at}");
            writer.write_all_at(&[byte], at).unwrap();
        }
        assert_eq!(total(), Some(20));
    }

    #[test]
    fn the_json_of_a_sidecar_stays_as_earlier_versions_wrote_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        let mut sidecar = of(10);
        sidecar.name.header = Some("a.pdf".to_owned());
        let block = |end| super::super::extents::BlockNote {
            end,
            crc: "00".to_owned(),
        };
        sidecar.extents = vec![ExtentNote {
            start: 0,
            synced: 4,
            synced_blocks: vec![block(4)],
            unsynced_blocks: vec![block(6)],
        }];
        sidecar.checksum = Some((Checksum::Crc32c, vec![1, 2]));
        sidecar.refused = Some(RefusedDocument {
            sha256: "ab".to_owned(),
            name: "a.pdf".to_owned(),
        });
        SidecarFile::create(&path, &sidecar, Durability::Buffered).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let json = r#"{"turn":0,"sidecar":{"extents":[{"start":0,"synced":4,"pieces":[{"end":4,"crc":"00"}],"written":[{"end":6,"crc":"00"}]}],"etag":"\"v1\"","total":10,"name":{"told":"a.pdf","in_url":null},"checksum":["crc32c",[1,2]],"refused":{"sha256":"ab","name":"a.pdf"}},"seal":""#;
        assert!(text.starts_with(json), "{text}");
    }
}
