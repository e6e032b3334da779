//! Makes a file in a folder, to find out which owner and permissions the file system gives new files.

use rustix::fs::{Mode, OFlags, fchmod, fgetxattr, open, unlink};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The name of the file. A file that a killed process left under this name is removed.
const PROBE_NAME: &str = ".docfetch-probe";
/// How often docfetch tries to create the file while other processes create and remove theirs.
const MAX_ATTEMPTS: u32 = 16;
/// The extended attribute with the access control list of a file (Linux, `acl(5)`).
pub(super) const ACCESS_ACL: &str = "system.posix_acl_access";
/// The longest access control list that Linux keeps (`XATTR_SIZE_MAX`).
const MAX_ACL_BYTES: usize = 64 << 10;
/// The permissions of all users but the owner.
pub(crate) const OTHERS: u32 = 0o077;

/// Owner and permissions of a file that this process has created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewFile {
    /// The user id of its owner.
    pub owner: u32,
    /// Its permissions, without the set-id and sticky bits.
    pub mode: u32,
    /// Its access control list as the system stores it; none when the permissions say everything.
    pub acl: Option<Vec<u8>>,
}

impl NewFile {
    /// A file that docfetch wants for itself: created with permissions 0600, and set to them when the file
    /// system gave others.
    ///
    /// # Errors
    /// The error of the system.
    pub(super) fn private(folder: &Path) -> io::Result<Self> {
        create(folder, Mode::RUSR | Mode::WUSR, |file| {
            let found = Self::of(file)?;
            if found.mode & OTHERS == 0 {
                return Ok(found);
            }
            // Where this fails, the file shows what the file system allows.
            let _ = fchmod(file, Mode::RUSR | Mode::WUSR);
            Self::of(file)
        })
    }

    /// A file as any program makes it: created with permissions 0666 less the umask, or with those of the
    /// folder's default access control list.
    ///
    /// # Errors
    /// The error of the system.
    pub(super) fn public(folder: &Path) -> io::Result<Self> {
        create(folder, Mode::from_raw_mode(0o666), Self::of)
    }

    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            owner: metadata.uid(),
            mode: metadata.mode() & 0o777,
            acl: acl(file),
        })
    }
}

/// The access control list of a file, if it has one.
fn acl(file: &File) -> Option<Vec<u8>> {
    let mut list = vec![0; MAX_ACL_BYTES];
    let length = fgetxattr(file, ACCESS_ACL, &mut list[..]).ok()?;
    list.truncate(length);
    (length > 0).then_some(list)
}

/// Creates an empty file in `folder`, passes it to `inspect`, and removes it. Another process may remove the
/// file before: `inspect` sees only the file that this process has created.
fn create<T>(folder: &Path, mode: Mode, inspect: impl Fn(&File) -> io::Result<T>) -> io::Result<T> {
    let path = folder.join(PROBE_NAME);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    let mut failed = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..MAX_ATTEMPTS {
        let file = match open(&path, flags, mode) {
            Ok(file) => File::from(file),
            Err(Errno::EXIST) => {
                let _ = unlink(&path);
                continue;
            }
            Err(errno) => return Err(errno.into()),
        };
        let seen = inspect(&file);
        let _ = unlink(&path);
        match seen {
            Ok(seen) => return Ok(seen),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
