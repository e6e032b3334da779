//! Whether a document can get its name, found out before anything is paid for: a folder may take new
//! files and let none be renamed, and a file may be one that nothing can replace.

use crate::error::{Code, Error, Result};
use crate::fetch::partial::Partial;
use crate::fingerprint::digest128;
use crate::mutex::locked;
use crate::state::files::remove;
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Mutex;

/// The folders in which a file of this process was renamed.
#[derive(Debug, Default)]
pub(crate) struct RenameProofs(Mutex<HashSet<u128>>);

impl RenameProofs {
    /// Looks whether `folder` lets files be renamed, before anything is put into it.
    ///
    /// # Errors
    /// [`Code::LocalIo`], when it does not for certain.
    pub(crate) fn check_folder(folder: &Path) -> Result<()> {
        match attributes(folder) {
            Some((set, _, _)) if set.contains(StatxAttributes::APPEND) => {
                let what = format!("cannot write documents into {}", folder.display());
                Err(Error::new(Code::LocalIo, what)
                    .with_cause(
                        "the folder is append-only: nothing in it can be renamed or removed",
                    )
                    .with_hint("choose another folder, or `chattr -a` this one"))
            }
            _ => Ok(()),
        }
    }

    /// Renames a file of ours in the `folder` of `partial`, unless one was before.
    ///
    /// # Errors
    /// [`Code::LocalIo`], [`Code::DiskFull`].
    pub(crate) fn prove(&self, folder: &Path, partial: &mut Partial) -> Result<()> {
        let folder = digest128(&[folder.as_os_str().as_bytes()]);
        if !locked(&self.0).contains(&folder) {
            partial.try_rename()?;
            locked(&self.0).insert(folder);
        }
        Ok(())
    }
}

/// Whether the file at `target` can be replaced, as far as a look tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaceable {
    /// It can.
    Yes,
    /// [`try_to_replace`] tells.
    Unsure,
}

/// Looks whether the file at `target` can be replaced.
///
/// # Errors
/// [`Code::LocalIo`], when it cannot.
pub(crate) fn look_at(target: &Path) -> Result<Replaceable> {
    let Some((set, known, owner)) = attributes(target) else {
        return Ok(Replaceable::Unsure);
    };
    for (attribute, why) in [
        (StatxAttributes::IMMUTABLE, "the file is immutable"),
        (StatxAttributes::APPEND, "the file is append-only"),
        (StatxAttributes::MOUNT_ROOT, "something is mounted on it"),
    ] {
        if set.contains(attribute) {
            return Err(irreplaceable(target, why));
        }
    }
    let is_own = owner == rustix::process::geteuid().as_raw();
    let all = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
    Ok(if is_own && known.contains(all) {
        Replaceable::Yes
    } else {
        Replaceable::Unsure
    })
}

/// Asks the system whether the file at `target` can be replaced, by what it never does: an empty folder,
/// made at `spare`, takes the place of no file. Whether the user may replace it is checked first.
///
/// # Errors
/// [`Code::LocalIo`], when it cannot.
pub(crate) fn try_to_replace(target: &Path, spare: &Path) -> Result<()> {
    remove(spare)?;
    std::fs::create_dir(spare).map_err(|error| Error::io("create", spare, &error))?;
    let renamed = rustix::fs::rename(spare, target);
    // The target was removed meanwhile: its name is given back.
    remove(if renamed.is_ok() { target } else { spare })?;
    match renamed {
        Err(Errno::PERM | Errno::ACCESS) => {
            Err(irreplaceable(target, "the folder does not let this user"))
        }
        Err(errno @ (Errno::ROFS | Errno::BUSY)) => Err(irreplaceable(target, &errno.to_string())),
        _ => Ok(()),
    }
}

fn irreplaceable(target: &Path, why: &str) -> Error {
    Error::new(
        Code::LocalIo,
        format!("cannot replace {}", target.display()),
    )
    .with_cause(why)
    .with_hint("make it replaceable, or choose another name")
}

/// Which attributes a file has, which of them its file system knows, and its owner.
fn attributes(path: &Path) -> Option<(StatxAttributes, StatxAttributes, u32)> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let found = rustix::fs::statx(CWD, path, flags, StatxFlags::UID).ok()?;
    Some((
        found.stx_attributes,
        found.stx_attributes_mask,
        found.stx_uid,
    ))
}
