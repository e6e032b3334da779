//! Why a folder takes no document, without writing into it.

use crate::error::{Code, Error, Result, system_text};
use crate::fetch::target::writable::RenameProofs;
use crate::state::folder::or_current;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use std::path::Path;

/// Checks, as far as permissions and attributes tell, that the user may write into `folder`, or make the folder where
/// it is missing.
///
/// # Errors
/// [`Code::LocalIo`] when the user may not.
pub(crate) fn check_writable(folder: &Path) -> Result<()> {
    for above in folder.ancestors() {
        let above = or_current(above);
        match accessat(
            CWD,
            above,
            Access::WRITE_OK | Access::EXEC_OK,
            AtFlags::EACCESS,
        ) {
            Err(Errno::NOENT) => {}
            Err(errno @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) if above.is_dir() => {
                RenameProofs::check_folder(above)?; // its permissions may be right
                let cause = format!("{}: {}", above.display(), system_text(&errno.into()));
                return Err(refusal(folder, cause));
            }
            Ok(()) if above.is_dir() => return RenameProofs::check_folder(above),
            // Otherwise only a write would tell.
            _ => return not_a_folder(folder).map_or(Ok(()), Err),
        }
    }
    Ok(())
}

/// The error of a folder whose path leads through a file; none for other folders.
pub(crate) fn not_a_folder(folder: &Path) -> Option<Error> {
    let mut above = folder.ancestors().map(or_current);
    let existing = above.find(|above| above.exists())?;
    let cause = format!("{} is not a folder", existing.display());
    (!existing.is_dir()).then(|| refusal(folder, cause))
}

fn refusal(folder: &Path, cause: String) -> Error {
    let what = format!(
        "cannot write documents into {}",
        or_current(folder).display()
    );
    let refusal = Error::new(Code::LocalIo, what).with_cause(cause);
    refusal.with_hint("choose another folder")
}
