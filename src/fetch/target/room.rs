//! Whether the disk has room for a document.

use crate::error::{Code, Error, Result};
use crate::fetch::target::destination::Destination;
use crate::state::folder::or_current;
use crate::text::size;
use rustix::fs::statvfs;
use rustix::io::Errno;
use std::path::Path;

impl Destination<'_> {
    /// Checks that the disk has `bytes` free bytes, if the system tells.
    ///
    /// # Errors
    /// [`Code::DiskFull`] if it has fewer.
    pub(crate) fn check_free_space(&self, bytes: u64) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        let folder = self.folder();
        let Some(free) = free_bytes(folder).filter(|free| *free < bytes) else {
            return Ok(());
        };
        let what = format!("no room for the document in {}", folder.display());
        Err(Error::new(Code::DiskFull, what).with_cause(lack_of_room(bytes, free)))
    }

    /// The error of a full disk, with the room that the `missing` bytes of the document need and the room that
    /// is left. Other errors, and those of a quota on a disk that has room, stay as they are.
    pub(crate) fn with_free_space(&self, error: Error, missing: u64) -> Error {
        if error.code() != Code::DiskFull {
            return error;
        }
        self.check_free_space(missing).err().unwrap_or(error)
    }
}

fn lack_of_room(needed: u64, free: u64) -> String {
    let units = (size(needed), size(free));
    if units.0 == units.1 {
        return format!("the transfer needs {needed} bytes, and {free} bytes are free");
    }
    let (needed, free) = units;
    format!("the transfer needs {needed}, and {free} are free")
}

/// The bytes that the user may still write in `folder`, or in the nearest folder above it that exists.
fn free_bytes(folder: &Path) -> Option<u64> {
    for folder in folder.ancestors() {
        match statvfs(or_current(folder)) {
            Ok(disk) if disk.f_blocks == 0 => return None, // it does not know its size
            Ok(disk) => return Some(disk.f_bavail.saturating_mul(disk.f_frsize)),
            Err(Errno::NOENT) => {}
            Err(_) => return None, // a write fails later, if the disk is full
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needed_and_free_room_differ_in_the_text_as_they_do_on_the_disk() {
        for (needed, free, text) in [
            (
                1_288_490_189,
                300 << 20,
                "the transfer needs 1.2 GiB, and 300.0 MiB are free",
            ),
            (5 << 20, 0, "the transfer needs 5.0 MiB, and 0 B are free"),
            (
                (1 << 30) + 1,
                1 << 30,
                "the transfer needs 1073741825 bytes, and 1073741824 bytes are free",
            ),
        ] {
            assert_eq!(lack_of_room(needed, free), text);
        }
    }

    #[test]
    fn a_folder_that_docfetch_has_not_made_has_the_room_of_the_one_above() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_bytes(&folder.path().join("a/b")).is_some());
        assert!(free_bytes(Path::new("no-such-folder/x")).is_some());
        assert_eq!(free_bytes(Path::new("/dev/null/x")), None);
        assert_eq!(free_bytes(Path::new("/proc")), None); // it has no blocks
    }
}
