//! Partials that processes wrote for themselves alone, in a folder where all processes share one partial: the user
//! copied or moved the folder from a file system whose locks may exclude no other process.
//!
//! A process reads such a folder once, and at most [`MAX_READ_FILES`] names, so that a folder with many files makes no
//! document slower. A moved partial that docfetch does not find stays; `docfetch partials` lists it.

use crate::error::{Result, system_text};
use crate::fetch::partial::names::PartialName;
use crate::fetch::partial::unfinished::{UnfinishedPartial, has_true_locks, names_in, partials_of};
use crate::mutex::locked;
use crate::state::folder::or_current;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

/// How many folders docfetch remembers. A mirror may have any number of folders.
const MAX_READ_FOLDERS: usize = 1024;

/// How many names of files docfetch reads in a folder: some milliseconds' work.
const MAX_READ_FILES: usize = 4096;

/// The moved partials in each folder, when this process read the folder.
static READ_FOLDERS: LazyLock<Mutex<HashMap<PathBuf, Arc<Vec<PartialName>>>>> =
    LazyLock::new(Mutex::default);

/// Finds partials of one document in a folder.
pub(super) type FindPartials = fn(&Path, &str) -> Result<Vec<UnfinishedPartial>>;

/// What finds the partials of a document in `folder`: where locks exclude other processes, all but the one that all
/// processes share.
pub(super) fn find_others(folder: &Path) -> FindPartials {
    if has_true_locks(folder) {
        moved_partials_of
    } else {
        partials_of
    }
}

/// The moved partials of `document` in `folder` that still exist; none in a folder that docfetch cannot read.
///
/// # Errors
/// None: the function is a [`FindPartials`].
#[expect(clippy::unnecessary_wraps, reason = "it is a FindPartials")]
pub(super) fn moved_partials_of(folder: &Path, document: &str) -> Result<Vec<UnfinishedPartial>> {
    let names = moved_names_in(folder);
    let names = names.iter().filter(|name| name.document == document);
    Ok(names
        .filter_map(|name| UnfinishedPartial::find(folder, name))
        .collect())
}

/// The names of the moved partials in `folder`, of all documents, when this process first read the folder. An error
/// of the read is only logged: docfetch does not need these partials.
fn moved_names_in(folder: &Path) -> Arc<Vec<PartialName>> {
    if let Some(known) = locked(&READ_FOLDERS).get(folder) {
        return Arc::clone(known);
    }
    let names = names_in(folder, MAX_READ_FILES, |name| name.owner.is_some());
    let names = Arc::new(names.unwrap_or_else(|error| {
        let folder = or_current(folder).display();
        log::info!(
            "docfetch looks for no moved partials in {folder}: {}",
            system_text(&error)
        );
        Vec::new()
    }));
    let folders = &mut locked(&READ_FOLDERS);
    if folders.len() >= MAX_READ_FOLDERS {
        folders.clear();
    }
    folders.insert(folder.to_path_buf(), Arc::clone(&names));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_read_has_no_moved_partials_and_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(moved_partials_of(&file, "x").unwrap().is_empty());
    }
}
