//! A file that a manifest names.

use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// A file that a manifest names, and what the manifest says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ManifestEntry {
    /// The provider's name.
    pub provider: Option<String>,
    /// The document's id.
    pub id: Option<String>,
    /// The kind of the provider's resource, in the manifest of a mirror; `None` in any other manifest.
    pub mirror_resource: Option<String>,
    /// The file's path. It is not empty, and has no NUL.
    pub path: PathBuf,
    /// The file's name.
    pub name: Option<String>,
    /// The file's length in bytes.
    pub bytes: Option<u64>,
    /// The file's SHA-256 in lower-case hexadecimal.
    pub sha256: Option<String>,
}

/// A line that is not of its manifest's form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnreadableLine;

/// Checks that a file can have this path.
///
/// # Errors
/// [`UnreadableLine`] for a path that is empty or has a NUL byte.
pub(super) fn checked_path(path: PathBuf) -> Result<PathBuf, UnreadableLine> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() || bytes.contains(&0) {
        return Err(UnreadableLine);
    }
    Ok(path)
}

/// Checks that a text is a SHA-256 in hexadecimal, and returns it in lower case.
///
/// # Errors
/// [`UnreadableLine`] for any other text.
pub(super) fn checked_sha256(text: &[u8]) -> Result<String, UnreadableLine> {
    if text.len() != 64 || !text.iter().all(u8::is_ascii_hexdigit) {
        return Err(UnreadableLine);
    }
    let text = String::from_utf8_lossy(text);
    Ok(text.to_ascii_lowercase())
}
