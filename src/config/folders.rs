//! The folders where docfetch keeps what later runs need.

use super::variables::{STATE_DIR, os_value};
use crate::error::{Code, Error, Result};
use std::path::PathBuf;

/// The folder in which every program has the folder of its configuration.
pub(crate) const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";

/// The state folder: `DOCFETCH_STATE_DIR`, else `docfetch` in `$XDG_STATE_HOME`, else `docfetch` in
/// `~/.local/state` (XDG Base Directory Specification). None where the environment names no home folder.
///
/// # Errors
/// [`Code::Config`] for a relative `DOCFETCH_STATE_DIR`, with which every working folder would have its own
/// ledger.
pub(crate) fn state() -> Result<Option<PathBuf>> {
    if let Some(folder) = os_value(STATE_DIR).map(PathBuf::from) {
        if folder.is_relative() {
            let what = format!("{STATE_DIR} is not an absolute path");
            return Err(Error::new(Code::Config, what)
                .with_cause("each working folder would have a record of paid retrievals of its own")
                .with_hint(format!("set {STATE_DIR} to a path that begins with /")));
        }
        return Ok(Some(folder));
    }
    Ok(xdg("XDG_STATE_HOME", ".local/state"))
}

/// The folder of the configuration: `docfetch` in `$XDG_CONFIG_HOME`, else `docfetch` in `~/.config` (XDG Base Directory
/// Specification). None where the environment names no home folder.
pub(crate) fn configuration() -> Option<PathBuf> {
    xdg(XDG_CONFIG_HOME, ".config")
}

/// The folder `docfetch` in the folder that `variable` names, else in the folder `below_home` of the home folder.
fn xdg(variable: &str, below_home: &str) -> Option<PathBuf> {
    // The specification calls relative paths here invalid, and says to ignore them.
    let absolute = |folder: &PathBuf| folder.is_absolute();
    let given = os_value(variable).map(PathBuf::from).filter(absolute);
    let home = || os_value("HOME").map(PathBuf::from).filter(absolute);
    let folder = given.or_else(|| Some(home()?.join(below_home)));
    folder.map(|folder| folder.join("docfetch"))
}
