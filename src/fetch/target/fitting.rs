//! Names that the target's file system takes, found before anything is paid.

use crate::error::{Code, Error, Result};
use crate::fetch::target::naming;
use crate::state::folder::{FolderTraits, NameLimits, folder_of};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A file name that `folder` takes. `make` makes the name within limits that docfetch learns from refusals.
pub(super) fn fitted(folder: &Path, make: impl Fn(&NameLimits) -> String) -> String {
    let Some(traits) = FolderTraits::of_nearest(folder) else {
        return make(&NameLimits::default());
    };
    let mut limits = traits.name_limits();
    loop {
        let name = make(&limits);
        if traits.takes_name(OsStr::new(&name)) {
            return name;
        }
        let learned = traits.name_limits();
        if learned == limits {
            return make(&NameLimits::strictest());
        }
        limits = learned;
    }
}

/// Checks that the file system takes the path of a target that the user has named.
///
/// # Errors
/// [`Code::LocalIo`] when the file system refuses one of the names in it.
pub(super) fn check_path(target: &Path) -> Result<()> {
    if FolderTraits::of_nearest(folder_of(target)).is_none_or(|traits| traits.takes_any_name()) {
        return Ok(());
    }
    let folders = target.ancestors().skip(1);
    let missing = folders.take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    let paths = std::iter::once(target).chain(missing);
    for path in paths {
        let (Some(name), Some(folder)) = (path.file_name(), path.parent()) else {
            continue;
        };
        let traits = FolderTraits::of_nearest(folder);
        if let Some(why) = traits.and_then(|traits| traits.name_refusal(name)) {
            return Err(
                Error::new(Code::LocalIo, format!("cannot create {}", path.display()))
                    .with_cause(why)
                    .with_hint("choose another name"),
            );
        }
    }
    Ok(())
}

/// Whether the file system takes the path of a target.
pub(crate) fn takes_path(target: &Path) -> bool {
    check_path(target).is_ok()
}

/// The path `below` in `folder`, in which each name is one that the file system takes.
pub(crate) fn fitted_folder(folder: &Path, below: &Path) -> PathBuf {
    let mut path = folder.to_path_buf();
    for part in below {
        let name = match part.to_str() {
            Some(name) => fitted(&path, |limits| naming::within(name, limits)).into(),
            None => part.to_owned(),
        };
        path.push(name);
    }
    path
}
