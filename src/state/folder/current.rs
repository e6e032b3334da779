//! What the file system says of a file at the moment, where other machines may change the file.

use super::FolderTraits;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// The metadata of the file at `path`; a link is not followed. Where several machines share files, the system
/// may know a file for some seconds after another machine removed or replaced the file. docfetch opens the file
/// there, because the system then asks the server.
///
/// # Errors
/// The error of the system; [`io::ErrorKind::NotFound`] when no file is there.
pub(crate) fn current_metadata(path: &Path) -> io::Result<Metadata> {
    let found = std::fs::symlink_metadata(path)?;
    let is_shared = || FolderTraits::of_file(path).is_ok_and(|folder| !folder.has_true_locks());
    if found.is_file() && is_shared() {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = open(path, flags, Mode::empty()).map_err(io::Error::from);
        match opened.and_then(|file| File::from(file).metadata()) {
            Ok(current) => return Ok(current),
            Err(error) if is_gone(&error) => {
                log::debug!("{} is no longer there: {error}", path.display());
                return Err(io::ErrorKind::NotFound.into());
            }
            Err(_) => {} // the user may not read the file
        }
    }
    Ok(found)
}

fn is_gone(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::NOENT | Errno::STALE))
}
