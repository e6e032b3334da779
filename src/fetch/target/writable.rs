//! Whether the file system lets a document get its name, checked before a request that may be charged.
//! Some folders take new files and let no file be renamed; some files cannot be replaced.

use crate::error::{Code, Error, ForbiddingAttribute, Result};
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

/// The folders in which this process has renamed a file.
#[derive(Debug, Default)]
pub(crate) struct RenameProofs(Mutex<HashSet<u128>>);

impl RenameProofs {
    /// Checks that `folder` is neither immutable nor append-only, before a file is created in it.
    ///
    /// # Errors
    /// [`Code::LocalIo`] when it is.
    pub(crate) fn check_folder(folder: &Path) -> Result<()> {
        let Some(attribute) = ForbiddingAttribute::of(folder) else {
            return Ok(());
        };
        let ForbiddingAttribute { cause, remedy } = attribute;
        let what = format!("cannot write documents into {}", folder.display());
        Err(Error::new(Code::LocalIo, what)
            .with_cause(format!("{cause}, and docfetch must rename files in it"))
            .with_hint(format!("choose another folder, or {remedy}")))
    }

    /// Renames a file in `folder`, the folder of `partial`, unless this process has done that before.
    ///
    /// # Errors
    /// [`Code::LocalIo`] when the folder lets no file be renamed, [`Code::DiskFull`].
    pub(crate) fn prove(&self, folder: &Path, partial: &mut Partial) -> Result<()> {
        let folder = digest128(&[folder.as_os_str().as_bytes()]);
        if !locked(&self.0).contains(&folder) {
            partial.try_rename()?;
            locked(&self.0).insert(folder);
        }
        Ok(())
    }
}

/// Whether a file can be replaced, as far as its attributes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replaceable {
    /// It can.
    Yes,
    /// [`try_to_replace`] finds out.
    Unknown,
}

/// Checks by its attributes whether the file at `target` can be replaced.
///
/// # Errors
/// [`Code::LocalIo`] when it cannot.
pub(super) fn check_file(target: &Path) -> Result<Replaceable> {
    let Some(found) = attributes(target) else {
        return Ok(Replaceable::Unknown);
    };
    if let Some(ForbiddingAttribute { cause, remedy }) = ForbiddingAttribute::of(target) {
        let hint = format!("{remedy}, or choose another name");
        return Err(irreplaceable(target, &cause).with_hint(hint));
    }
    if found.set.contains(StatxAttributes::MOUNT_ROOT) {
        return Err(irreplaceable(target, "something is mounted on it"));
    }
    let is_own = found.owner == rustix::process::geteuid().as_raw();
    let all = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
    Ok(if is_own && found.supported.contains(all) {
        Replaceable::Yes
    } else {
        Replaceable::Unknown
    })
}

/// Finds out whether the file at `target` can be replaced: makes an empty folder at `spare`, and renames
/// it to `target`. The system never lets a folder replace a file, but checks first whether the user may
/// replace that file.
///
/// # Errors
/// [`Code::LocalIo`] when the file cannot be replaced.
pub(super) fn try_to_replace(target: &Path, spare: &Path) -> Result<()> {
    remove(spare)?;
    std::fs::create_dir(spare).map_err(|error| Error::io("create", spare, &error))?;
    let renamed = rustix::fs::rename(spare, target);
    // The rename succeeds when the target was removed since: then the folder is at the target.
    remove(if renamed.is_ok() { target } else { spare })?;
    match renamed {
        Err(Errno::PERM | Errno::ACCESS) => {
            Err(irreplaceable(target, "the folder does not let this user"))
        }
        Err(errno @ (Errno::ROFS | Errno::BUSY)) => Err(irreplaceable(target, &errno.to_string())),
        _ => Ok(()),
    }
}

fn irreplaceable(target: &Path, cause: &str) -> Error {
    Error::new(
        Code::LocalIo,
        format!("cannot replace {}", target.display()),
    )
    .with_cause(cause)
    .with_hint("make it replaceable, or choose another name")
}

/// The attributes and the owner of a file.
struct Attributes {
    set: StatxAttributes,
    /// The attributes that the file system supports.
    supported: StatxAttributes,
    /// The owner's user id.
    owner: u32,
}

/// The attributes of the file at `path`; of a link, its own. `None` if the system does not tell.
fn attributes(path: &Path) -> Option<Attributes> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let found = rustix::fs::statx(CWD, path, flags, StatxFlags::UID).ok()?;
    Some(Attributes {
        set: found.stx_attributes,
        supported: found.stx_attributes_mask,
        owner: found.stx_uid,
    })
}
