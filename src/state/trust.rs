//! Which records docfetch trusts: only those that no other user could have written or read.

use super::files::is_open_to_others;
use super::folder::{FolderTraits, OTHERS, open_folder};
use crate::error::{Error, Result, system_text};
use serde::de::DeserializeOwned;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The longest record that is read.
const MAX_RECORD_BYTES: u64 = 1 << 20;
/// In a sticky folder, users can rename only their own files.
const STICKY: u32 = 0o1000;

/// A record that cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Untrusted {
    /// The path of the record.
    pub path: PathBuf,
    /// What is wrong, in one line.
    pub why: String,
    /// Where the problem is.
    pub reason: DistrustReason,
}

/// Where the problem with a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DistrustReason {
    /// In the folder of the record.
    Folder,
    /// In the permissions of the record.
    Permissions,
    /// In the record itself.
    Record,
}

/// Reads the last whole line of an open record. Returns the record and the offset after that line.
///
/// # Errors
/// Why the record cannot be trusted.
pub(super) fn read_open<T: DeserializeOwned>(
    path: &Path,
    file: &File,
) -> std::result::Result<(T, u64), Untrusted> {
    let text = read_content(path, file)?;
    let (line, end) = last_line(&text);
    // The message of the parser is not repeated, because it can quote the record.
    let record = serde_json::from_slice(line).map_err(|_| Untrusted {
        path: path.to_owned(),
        why: "it is not a docfetch record".into(),
        reason: DistrustReason::Record,
    })?;
    Ok((record, end as u64))
}

/// Reads an open file, which may be empty.
///
/// # Errors
/// Why the file cannot be trusted.
pub(super) fn read_content(
    path: &Path,
    mut file: &File,
) -> std::result::Result<Vec<u8>, Untrusted> {
    let distrust = |why: String, reason| Untrusted {
        path: path.to_owned(),
        why,
        reason,
    };
    let unreadable = |error: io::Error| distrust(system_text(&error), DistrustReason::Record);
    let metadata = file.metadata().map_err(unreadable)?;
    if is_open_to_others(path, &metadata) {
        let why = "it is open to other users".into();
        return Err(distrust(why, DistrustReason::Permissions));
    }
    let length = metadata.len().min(MAX_RECORD_BYTES);
    let mut text = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
    let read = file.by_ref().take(MAX_RECORD_BYTES).read_to_end(&mut text);
    read.map_err(unreadable)?;
    Ok(text)
}

/// The last line that ends with a line feed, and the offset after it. A crash can cut the line after it
/// short. Without any line feed, the whole text is the line, and the offset is 0.
fn last_line(text: &[u8]) -> (&[u8], usize) {
    let is_end = |byte: &u8| *byte == b'\n';
    let Some(end) = text.iter().rposition(is_end) else {
        return (text, 0);
    };
    let begin = text[..end].iter().rposition(is_end).map_or(0, |at| at + 1);
    (&text[begin..end], end + 1)
}

/// Why a folder cannot be trusted; `None` when it can, or does not exist.
pub(super) fn folder_distrust(folder: &Path) -> Option<String> {
    let found = std::fs::symlink_metadata(folder).ok()?;
    if !found.is_dir() {
        return Some(format!("{} is no folder", folder.display()));
    }
    let is_own = is_own_folder(folder, &found);
    (!is_own).then(|| format!("{} belongs to another user", folder.display()))
}

/// Whether a folder, whose metadata is `found`, belongs to this user.
fn is_own_folder(folder: &Path, found: &Metadata) -> bool {
    found.uid() == rustix::process::geteuid().as_raw()
        || FolderTraits::of(folder).is_ok_and(|traits| traits.is_own(found))
}

/// Whether docfetch can keep other users from the files in an existing folder of this user.
pub(super) fn is_private(folder: &Path) -> bool {
    is_closed(folder) || FolderTraits::of(folder).is_ok_and(|traits| traits.keeps_modes())
}

/// Whether a folder belongs to this user, and other users have no permission for it.
fn is_closed(folder: &Path) -> bool {
    std::fs::symlink_metadata(folder).is_ok_and(|found| {
        found.uid() == rustix::process::geteuid().as_raw() && found.mode() & OTHERS == 0
    })
}

/// Takes all permissions of other users away from a folder of this user, if the file system permits that.
///
/// # Errors
/// [`Code::LocalIo`](crate::error::Code::LocalIo).
pub(super) fn close_to_others(folder: &Path) -> Result<()> {
    if is_closed(folder) {
        return Ok(());
    }
    let open = open_folder(folder)?;
    let traits = FolderTraits::of_open(&open, folder)?;
    let found = open.metadata();
    let found = found.map_err(|error| Error::io("read", folder, &error))?;
    if traits.is_own(&found) && traits.is_open_to_others(&found) {
        traits.set_mode(&open, folder, 0o700)?;
    }
    Ok(())
}

/// The state folder, or the nearest folder above it, in which other users can rename files: they own it, or
/// can write to it while it is not sticky.
///
/// Root is not another user, nor is the owner of `/`, which is root inside a user namespace. A group is not
/// another user when it is root's, or has the number of the folder's owner.
pub(super) fn open_to_others(root: &Path) -> Option<PathBuf> {
    let own = rustix::process::geteuid().as_raw();
    let top = std::fs::metadata("/").map_or(0, |found| found.uid());
    let is_open = |folder: &&Path| {
        std::fs::metadata(folder).is_ok_and(|found| {
            let (mode, owner) = (found.mode(), found.uid());
            let group = mode & 0o020 != 0 && ![owner, 0].contains(&found.gid());
            let writable = mode & 0o002 != 0 || group;
            ![own, 0, top].contains(&owner) || (writable && mode & STICKY == 0)
        })
    };
    let real = std::fs::canonicalize(root).ok()?;
    real.ancestors().find(is_open).map(Path::to_path_buf)
}
