//! `docfetch partials`: what is unfinished in a folder and in the folders below, and the removal of what is old.

use crate::error::{Error, Result};
use crate::fetch::partial::{ListedPartial, PartialAction, UnfinishedPartial, list_partials};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Which partials to list or to remove.
#[derive(Debug)]
pub(crate) struct PartialsSettings {
    /// The folder.
    pub folder: PathBuf,
    /// Remove the partials that did not change for longer than this; none removes nothing.
    pub remove_older: Option<Duration>,
}

/// Lists the partials, folder by folder, or removes those that are old enough and lists these. Follows no link to a
/// folder. `each` sees each partial that is listed.
///
/// # Errors
/// [`Code::LocalIo`](crate::Code::LocalIo) when the folder cannot be read, or a partial cannot be removed; docfetch
/// lists and removes the others all the same. What `each` returns.
pub(crate) fn run(
    settings: &PartialsSettings,
    mut each: impl FnMut(&ListedPartial) -> Result<()>,
) -> Result<()> {
    let mut folders = vec![settings.folder.clone()];
    let mut failure = None;
    while let Some(folder) = folders.pop() {
        let partials = list_partials(&folder);
        let found = partials.and_then(|partials| Ok((partials, folders_in(&folder)?)));
        let (partials, below) = match found {
            Ok(found) => found,
            Err(error) if folder == settings.folder => return Err(error),
            Err(error) => {
                log::warn!("{}", error.message());
                continue;
            }
        };
        folders.extend(below.into_iter().rev());
        for partial in partials {
            match act(partial, settings.remove_older) {
                Ok(Some(listed)) => each(&listed)?,
                Ok(None) => {}
                Err(error) => {
                    if let Some(earlier) = failure.replace(error) {
                        log::warn!("{}", earlier.message());
                    }
                }
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Removes the partial if it is older than `remove_older`. None for a partial that is not old enough.
fn act(
    partial: UnfinishedPartial,
    remove_older: Option<Duration>,
) -> Result<Option<ListedPartial>> {
    let now = SystemTime::now();
    let age = partial.age(now);
    let action = match remove_older {
        None => PartialAction::Listed,
        Some(least) if age <= least => return Ok(None),
        Some(_) if partial.remove(now)? => PartialAction::Removed,
        Some(_) => PartialAction::InUse,
    };
    Ok(Some(ListedPartial {
        partial,
        age,
        action,
    }))
}

/// The folders in a folder, without links, by name.
fn folders_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |error: io::Error| Error::io("read", folder, &error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
