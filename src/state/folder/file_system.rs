//! The types of file systems, by the number that `statfs(2)` gives for them.

use rustix::fs::{FsWord, fstatfs};
use std::fs::File;

/// The ordinary file systems of a machine (Linux, `statfs(2)`, and the sources of ZFS): locks exclude every
/// other process, files have the owner and the permissions that the process asks for, and names may have any
/// character.
const ORDINARY_FILE_SYSTEMS: [FsWord; 7] = [
    0xEF53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683E, // btrfs
    0x2FC1_2FC1, // zfs
    0xF2F5_2010, // f2fs
    0x0102_1994, // tmpfs
    0x794C_7630, // overlay
];

/// A file system in user space (Linux, `FUSE_SUPER_MAGIC`), which may be on a storage of objects.
const FUSE: FsWord = 0x6573_5546;

/// The type of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileSystem {
    /// `f_type` of `statfs(2)`; none when the system does not tell.
    magic: Option<FsWord>,
}

impl FileSystem {
    /// The file system of an open file or folder.
    pub(super) fn of(file: &File) -> Self {
        Self {
            magic: fstatfs(file).ok().map(|found| found.f_type),
        }
    }

    /// Whether a lock excludes every other process.
    pub(super) fn has_true_locks(self) -> bool {
        self.is_ordinary()
    }

    /// Whether owners, permissions and names need no probe.
    pub(super) fn is_ordinary(self) -> bool {
        self.magic
            .is_some_and(|magic| ORDINARY_FILE_SYSTEMS.contains(&magic))
    }

    /// Whether two machines may both create the same file exclusively.
    pub(super) fn may_create_twice(self) -> bool {
        self.magic == Some(FUSE)
    }
}
