//! A partial that has a second name: the target's.
//!
//! Where a file system cannot rename without replacing a file, docfetch publishes by a hard link: the
//! partial gets the target's name as a second name, and then loses its own. A process that is killed in
//! between leaves one file with both names. So docfetch writes a note of the target first, at the name
//! for a new sidecar. The next process that opens the partial finishes a publication that the note
//! proves. docfetch refuses a file of two names without a note: another user may have created it.

use crate::error::{Error, Result};
use crate::fetch::partial::names::is_partial_name;
use crate::fetch::partial::same_file::is_named;
use crate::state::files::{
    FileIdentity, is_name_of, open_own, open_own_if_exists, remove, sync_folder, temporary_path,
};
use crate::state::folder::folder_of;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How many bytes of a note are read. A file name has at most 255 bytes, three times as many encoded.
const MAX_NOTE_BYTES: u64 = 1 << 10;

/// What another process published from its partial of the same document.
#[derive(Clone, Debug, Default)]
pub(crate) struct Publication {
    /// The published file, or several files one of which may be published by now.
    pub files: Vec<FileIdentity>,
    /// The file's name in the partial's folder. `None`, unless this process finished the publication of a
    /// process that was killed.
    pub finished_as: Option<OsString>,
}

impl Publication {
    /// The publication of the file that another process `held` as the partial at `partial`. `None`, unless
    /// the file has another name now.
    pub(super) fn of_renamed(held: Option<File>, partial: &Path) -> Option<Self> {
        let held = held?;
        let metadata = held.metadata().ok()?;
        (metadata.nlink() > 0 && !is_name_of(partial, &held)).then(|| Self {
            files: vec![FileIdentity::of(&metadata)],
            finished_as: None,
        })
    }

    /// Whether this process finished the publication of a process that was killed.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished_as.is_some()
    }
}

/// The note, as JSON on disk.
#[derive(Serialize, Deserialize)]
struct PublicationNote {
    /// The target's file name, percent-encoded.
    publishing: String,
}

/// Where the note of a partial is. Every removal of the sidecar removes the note as well.
fn note_path(partial: &Path) -> PathBuf {
    temporary_path(&partial.with_extension("json"))
}

/// Writes the note that docfetch is about to publish `partial` as `target`.
///
/// # Errors
/// [`Code::LocalIo`](crate::error::Code::LocalIo), [`Code::DiskFull`](crate::error::Code::DiskFull).
pub(super) fn write_note(partial: &Path, target: &Path) -> Result<()> {
    let path = note_path(partial);
    let name = target.file_name().unwrap_or_default().as_bytes();
    let note = PublicationNote {
        publishing: percent_encode(name, NON_ALPHANUMERIC).to_string(),
    };
    remove(&path)?;
    let mut file = open_own(&path, OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY)?;
    serde_json::to_vec(&note)
        .map_err(io::Error::from)
        .and_then(|note| file.write_all(&note))
        .map_err(|error| Error::io("write", &path, &error))
}

/// Finishes the publication of the file at `partial` in `folder`, whose metadata is `found`: makes the
/// target's name durable, and removes the partial's. Returns the target's name, or
/// `None` if no note proves that docfetch gave the file that name.
///
/// # Errors
/// [`Code::LocalIo`](crate::error::Code::LocalIo).
pub(super) fn finish(partial: &Path, found: &Metadata, folder: &File) -> Result<Option<OsString>> {
    let name = match read_note(&note_path(partial))? {
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
    remove_names_of(partial)?;
    Ok(Some(name))
}

/// Removes the partial's name of the published file at `target`, if the file has both names.
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
    let folder = folder_of(target);
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io("read", folder, &error))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if is_partial_name(&entry.file_name()) && is_named(&found, &path) {
            remove_names_of(&path)?;
        }
    }
    Ok(())
}

/// Removes the partial's name, its sidecar and its note.
fn remove_names_of(partial: &Path) -> Result<()> {
    remove(partial)?;
    remove(&partial.with_extension("json"))?;
    remove(&note_path(partial)).map(drop)
}

/// The name in the note at `path`. `None` if it is not exactly one component of a path.
fn read_note(path: &Path) -> Result<Option<OsString>> {
    let Some(file) = open_own_if_exists(path, OFlags::RDONLY)? else {
        return Ok(None);
    };
    let mut text = Vec::new();
    let read = file.take(MAX_NOTE_BYTES).read_to_end(&mut text);
    read.map_err(|error| Error::io("read", path, &error))?;
    let Ok(note) = serde_json::from_slice::<PublicationNote>(&text) else {
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
        write_note(&partial, &target).unwrap();
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
        write_note(&partial, &target).unwrap();
        assert_eq!(finish(&partial), None, "another name");
        for text in [
            "",
            "{",
            r#"{"publishing":"..%2Fvictim"}"#,
            r#"{"publishing":""}"#,
        ] {
            std::fs::write(note_path(&partial), text).unwrap();
            assert_eq!(finish(&partial), None, "{text}");
        }
        write_note(&partial, &victim).unwrap();
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
