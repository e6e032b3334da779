//! Folders of docfetch's own.

use super::variables::{STATE_DIR, paths};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Where docfetch remembers between runs: `DOCFETCH_STATE_DIR`, else `docfetch` in
/// `$XDG_STATE_HOME` or `~/.local/state` (XDG Base Directory Specification); none where neither is
/// known.
pub fn state() -> Option<PathBuf> {
    if let Some(folder) = paths(STATE_DIR) {
        return Some(folder.into());
    }
    // A relative path there is invalid, says the specification, and to be ignored.
    let absolute = |folder: &PathBuf| folder.is_absolute();
    let home = || paths("HOME").map(PathBuf::from).filter(absolute);
    paths("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(absolute)
        .or_else(|| Some(home()?.join(Path::new(".local/state"))))
        .map(|folder| folder.join(OsStr::new("docfetch")))
}
