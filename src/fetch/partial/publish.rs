//! Publishing where a file system cannot rename without replacing: there the partial gets the target's
//! name as a second name, and then loses its own.
//!
//! A process that is killed in between leaves one file with both names. So the partial's sidecar name
//! for new content holds a note of the target meanwhile: the next process that opens the partial
//! finishes what the note proves. A file of two names without such a note may be planted.

use crate::error::{Error, Result};
use crate::state::files::{FileIdentity, fresh, open_own, open_own_if_there, remove, sync_folder};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A note is never longer, in bytes: a name has at most 255.
const LONGEST: u64 = 1 << 10;

#[derive(Serialize, Deserialize)]
struct Note {
    /// The target's name, percent-encoded.
    publishing: String,
}

/// Where the note of a partial is. Whatever removes the sidecar removes the note, too.
fn place(partial: &Path) -> PathBuf {
    fresh(&partial.with_extension("json"))
}

/// Notes that `partial` is about to get the name of `target`.
///
/// # Errors
/// [`Code::LocalIo`](crate::error::Code::LocalIo), [`Code::DiskFull`](crate::error::Code::DiskFull).
pub(crate) fn note(partial: &Path, target: &Path) -> Result<()> {
    let path = place(partial);
    let name = target.file_name().unwrap_or_default().as_bytes();
    let note = Note {
        publishing: percent_encode(name, NON_ALPHANUMERIC).to_string(),
    };
    remove(&path)?;
    let mut file = open_own(&path, OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY)?;
    serde_json::to_vec(&note)
        .map_err(io::Error::from)
        .and_then(|note| file.write_all(&note))
        .map_err(|error| Error::io("write", &path, &error))
}

/// Finishes the publication of the file at `partial`, which has another name, too: that name lasts, and
/// the partial's own is removed. Returns the other name; none when no note proves that docfetch gave it.
///
/// # Errors
/// [`Code::LocalIo`](crate::error::Code::LocalIo).
pub(crate) fn finish(partial: &Path, found: &Metadata, folder: &File) -> Result<Option<OsString>> {
    let name = match read(&place(partial))? {
        Some(name) if found.nlink() == 2 => name,
        _ => return Ok(None),
    };
    let target = partial.with_file_name(&name);
    if !is_named(found, &target) {
        return Ok(None);
    }
    log::info!(
        "{} was being published when its process ended",
        target.display()
    );
    sync_folder(folder, &target)?;
    forget(partial)?;
    Ok(Some(name))
}

/// Removes the partial's name of a published file that has two names.
///
/// # Errors
/// [`Code::LocalIo`](crate::error::Code::LocalIo).
pub(crate) fn remove_partial_link(target: &Path) -> Result<()> {
    let Ok(found) = std::fs::symlink_metadata(target) else {
        return Ok(());
    };
    if found.nlink() < 2 {
        return Ok(());
    }
    let folder = target
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io("read", folder, &error))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if is_partial(&entry.file_name()) && is_named(&found, &path) {
            forget(&path)?;
        }
    }
    Ok(())
}

/// Whether a file name is one of a partial.
fn is_partial(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b".docfetch-") && name.ends_with(b".part")
}

fn forget(partial: &Path) -> Result<()> {
    remove(partial)?;
    remove(&partial.with_extension("json"))?;
    remove(&place(partial)).map(drop)
}

fn is_named(file: &Metadata, path: &Path) -> bool {
    std::fs::symlink_metadata(path)
        .is_ok_and(|named| FileIdentity::of(&named) == FileIdentity::of(file))
}

/// The name in the note at `path`: one component of a path.
fn read(path: &Path) -> Result<Option<OsString>> {
    let Some(file) = open_own_if_there(path, OFlags::RDONLY)? else {
        return Ok(None);
    };
    let mut text = Vec::new();
    let read = file.take(LONGEST).read_to_end(&mut text);
    read.map_err(|error| Error::io("read", path, &error))?;
    let Ok(note) = serde_json::from_slice::<Note>(&text) else {
        return Ok(None);
    };
    let name: Vec<u8> = percent_decode_str(&note.publishing).collect();
    let name = OsString::from_vec(name);
    let is_name = Path::new(&name).file_name() == Some(OsStr::new(&name));
    Ok(is_name.then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let partial = folder.path().join(".docfetch-x.part");
        let target = folder.path().join(OsStr::from_bytes(b"a \xff.pdf"));
        std::fs::write(&partial, "all of it").unwrap();
        (folder, partial, target)
    }

    fn finish(partial: &Path) -> Option<OsString> {
        let folder = File::open(partial.parent().unwrap()).unwrap();
        let found = std::fs::metadata(partial).unwrap();
        super::finish(partial, &found, &folder).unwrap()
    }

    #[test]
    fn a_publication_is_finished_where_the_note_names_the_other_name() {
        let (folder, partial, target) = folder();
        note(&partial, &target).unwrap();
        assert_eq!(finish(&partial), None, "it has no other name");
        std::fs::hard_link(&partial, &target).unwrap();
        assert_eq!(finish(&partial).as_deref(), target.file_name());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        assert_eq!(std::fs::read(target).unwrap(), b"all of it");
    }

    #[test]
    fn a_file_of_two_names_is_believed_by_no_other_note() {
        let (folder, partial, target) = folder();
        let victim = folder.path().join("victim");
        std::fs::hard_link(&partial, &victim).unwrap();
        assert_eq!(finish(&partial), None, "no note");
        note(&partial, &target).unwrap();
        assert_eq!(finish(&partial), None, "another name");
        for text in [
            "",
            "{",
            r#"{"publishing":"..%2Fvictim"}"#,
            r#"{"publishing":""}"#,
        ] {
            std::fs::write(place(&partial), text).unwrap();
            assert_eq!(finish(&partial), None, "{text}");
        }
        note(&partial, &victim).unwrap();
        std::fs::hard_link(&partial, &target).unwrap();
        assert_eq!(finish(&partial), None, "three names");
    }

    #[test]
    fn a_published_file_loses_the_name_of_its_partial_and_no_other() {
        let (folder, partial, target) = folder();
        std::fs::hard_link(&partial, &target).unwrap();
        std::fs::hard_link(&partial, folder.path().join("mine")).unwrap();
        std::fs::write(folder.path().join(".docfetch-y.part"), "other").unwrap();
        remove_partial_link(&target).unwrap();
        assert!(!partial.exists());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3);
    }
}
