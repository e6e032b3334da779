//! Whether a path leads to a known file, also on file systems whose inode numbers are not stable.

use crate::state::files::{FileIdentity, read_piece};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// How many bytes of two files are compared at a time.
const COMPARED_BYTES: usize = 128 << 10;

/// Whether `path` is a name of the open `file`.
pub(super) fn is_same_file(path: &Path, file: &File) -> bool {
    file.metadata().is_ok_and(|file| is_named(&file, path))
}

/// Whether the file with this metadata has the name `path`. Where each lookup of a file gives another inode
/// number, docfetch compares what else it knows of the file.
pub(super) fn is_named(file: &Metadata, path: &Path) -> bool {
    let Ok(named) = std::fs::symlink_metadata(path) else {
        return false;
    };
    let identity = FileIdentity::of(&named);
    identity == FileIdentity::of(file)
        || (is_alike(&named, file)
            && std::fs::symlink_metadata(path)
                .is_ok_and(|again| is_alike(&again, file) && FileIdentity::of(&again) != identity))
}

fn is_alike(one: &Metadata, other: &Metadata) -> bool {
    let same_time =
        matches!((one.modified(), other.modified()), (Ok(one), Ok(other)) if one == other);
    one.file_type() == other.file_type() && one.len() == other.len() && same_time
}

/// Whether the file at `path` is another plain file with the bytes of `file`.
///
/// # Errors
/// The error of the system, when one of the files cannot be read.
pub(super) fn has_same_bytes(path: &Path, file: &File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let found = std::fs::symlink_metadata(path)?;
    if !found.is_file() || found.len() != length {
        return Ok(false);
    }
    let other = File::open(path)?;
    let (mut ours, mut theirs) = (vec![0; COMPARED_BYTES], vec![0; COMPARED_BYTES]);
    let mut at = 0;
    while at < length {
        let bytes = read_piece(file, at..length, &mut ours)?;
        let theirs = &mut theirs[..bytes.len()];
        other.read_exact_at(theirs, at)?;
        if bytes != theirs {
            return Ok(false);
        }
        at += bytes.len() as u64;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_compared_byte_by_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let long = vec![7; COMPARED_BYTES + 1];
        std::fs::write(&path, &long).unwrap();
        let file = File::open(&path).unwrap();
        assert!(is_same_file(&path, &file));
        let other = folder.path().join("b");
        let mut changed = long.clone();
        changed[COMPARED_BYTES] = 8;
        for (bytes, is_same) in [(&long[..], true), (&long[1..], false), (&changed, false)] {
            std::fs::write(&other, bytes).unwrap();
            assert_eq!(has_same_bytes(&other, &file).unwrap(), is_same);
            assert!(!is_same_file(&other, &file));
        }
        assert!(has_same_bytes(&folder.path().join("c"), &file).is_err());
    }
}
