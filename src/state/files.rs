//! Files of our own, and what file systems promise about them: opened without following links,
//! written whole or not at all, never put over a file that is not ours, and durability once synced.

use super::records::Durability;
use crate::error::{Code, Error, Result};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;
use std::fs::{DirBuilder, File, Metadata};
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A file, whatever its name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// The file that this metadata is of.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// The type of a file system in memory: `TMPFS_MAGIC` of Linux' `statfs(2)`.
const IN_MEMORY: rustix::fs::FsWord = 0x0102_1994;

/// Whether a file or folder is on no disk: a sync takes no time there.
pub(crate) fn is_in_memory(file: &File) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|of| of.f_type == IN_MEMORY)
}

/// Whether a file or folder belongs to this user.
pub(crate) fn is_own(metadata: &Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw()
}

/// How many names a file of our own may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// One: a file of more names may be somebody else's.
    One,
    /// Two: the caller finds out which the other is.
    Two,
}

/// Opens without following a link; refuses what is not a plain file of this user with one name.
pub(crate) fn open_own(path: &Path, flags: OFlags) -> Result<File> {
    open_named(path, flags, Names::One)
}

/// The same, where there is something.
pub(crate) fn open_own_if_there(path: &Path, flags: OFlags) -> Result<Option<File>> {
    open_named_if_there(path, flags, Names::One)
}

/// As [`open_own`], of a file that may have so many names.
pub(crate) fn open_named(path: &Path, flags: OFlags, names: Names) -> Result<File> {
    let missing = || Error::io("create", path, &Errno::NOENT.into());
    open_named_if_there(path, flags, names)?.ok_or_else(missing)
}

/// Why something with a name of ours is not used.
pub(crate) fn refused(path: &Path, why: &str) -> Error {
    Error::new(
        Code::UnsafePartial,
        format!("refused to use {}", path.display()),
    )
    .with_cause(why)
}

/// Why a file with another name is not used.
pub(crate) const HAS_ANOTHER_NAME: &str = "it has another name, too";

fn open_named_if_there(path: &Path, flags: OFlags, names: Names) -> Result<Option<File>> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let unsafe_partial = |why: &str| refused(path, why);
    let file = match rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(unsafe_partial("it is a symbolic link")),
        Err(Errno::ISDIR | Errno::NXIO) => return Err(unsafe_partial("it is not a plain file")),
        Err(errno) => return Err(Error::io("create", path, &errno.into())),
    };
    let metadata = file
        .metadata()
        .map_err(|error| Error::io("read", path, &error))?;
    if !metadata.is_file() {
        return Err(unsafe_partial("it is not a plain file"));
    }
    let most = if names == Names::Two { 2 } else { 1 };
    if metadata.nlink() > most {
        return Err(unsafe_partial(HAS_ANOTHER_NAME));
    }
    if !is_own(&metadata) {
        return Err(unsafe_partial("it belongs to another user"));
    }
    Ok(Some(file))
}

/// Reads the next bytes of a range of a file, as many as `buffer` takes.
///
/// # Errors
/// What the system says; `UnexpectedEof` when the file ends before.
pub(crate) fn read_piece<'a>(
    file: &File,
    range: Range<u64>,
    buffer: &'a mut [u8],
) -> io::Result<&'a [u8]> {
    let rest = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    let want = buffer.len().min(rest);
    loop {
        match file.read_at(&mut buffer[..want], range.start) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => return Ok(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Makes a new name durable, where the file system can.
pub(crate) fn sync_folder(folder: &File, of: &Path) -> Result<()> {
    match folder.sync_all() {
        Err(error)
            if matches!(
                Errno::from_io_error(&error),
                Some(Errno::INVAL | Errno::NOTSUP)
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(Error::io("sync the folder of", of, &error).with_hint("check the disk")),
        Ok(()) => Ok(()),
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_names(folder: &Path) -> Result<()> {
    sync_folder(&open_folder(folder)?, folder)
}

/// Makes a folder, and what is missing above it, with permissions `mode` as the umask allows; each
/// lasts before anything is put into it.
pub(crate) fn make_folder(folder: &Path, mode: u32) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let missing: Vec<&Path> = folder
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .collect();
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(folder)
        .map_err(|error| Error::io("make the folder", folder, &error))?;
    for made in missing {
        let above = made.parent().filter(|above| !above.as_os_str().is_empty());
        sync_names(above.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// Opens a folder, so that it can be synced.
pub(crate) fn open_folder(folder: &Path) -> Result<File> {
    File::open(folder).map_err(|error| Error::io("open the folder", folder, &error))
}

/// Whether `path` is a name of the open `file`.
pub(crate) fn names(path: &Path, file: &File) -> bool {
    match (std::fs::symlink_metadata(path), file.metadata()) {
        (Ok(named), Ok(open)) => FileIdentity::of(&named) == FileIdentity::of(&open),
        _ => false,
    }
}

/// Where a record stands while it is not whole yet.
pub(crate) fn fresh(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Writes a record, 0600, to a new file and renames it, so that it is whole or not there; returns it
/// open.
pub(crate) fn write_record(
    path: &Path,
    record: &impl Serialize,
    durability: Durability,
) -> Result<File> {
    let fresh = fresh(path);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let create = || rustix::fs::open(&fresh, flags, Mode::RUSR | Mode::WUSR);
    let created = match create() {
        Err(Errno::EXIST) => {
            remove(&fresh)?;
            create()
        }
        created => created,
    };
    let written = serde_json::to_vec(record)
        .map_err(io::Error::from)
        .and_then(|record| {
            let mut file = File::from(created?);
            file.write_all(&record)?;
            if durability == Durability::Synced {
                file.sync_data()?;
            }
            std::fs::rename(&fresh, path)?;
            Ok(file)
        });
    written.map_err(|error| {
        let _ = std::fs::remove_file(&fresh);
        Error::io("write", path, &error)
    })
}

/// Removes a file, or an empty folder in its place; whether there was one.
pub(crate) fn remove(path: &Path) -> Result<bool> {
    let removed = match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => std::fs::remove_dir(path),
        removed => removed,
    };
    match removed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("remove", path, &error)),
    }
}

/// A file that was renamed.
#[derive(Debug)]
pub(crate) enum Renamed {
    /// It has the new name only.
    Moved,
    /// It has both names: the old one cannot be removed, for this reason.
    Both(io::Error),
}

/// Renames, never over an existing file: atomically where the file system can, else by a second
/// name, else by a look before. `with_both` is called before the file has two names.
pub(crate) fn rename_new(from: &Path, to: &Path, with_both: impl FnOnce()) -> io::Result<Renamed> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        result => return result.map(|()| Renamed::Moved).map_err(io::Error::from),
    }
    with_both();
    match std::fs::hard_link(from, to) {
        Ok(()) => {
            return Ok(match std::fs::remove_file(from) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Renamed::Both(error),
                _ => Renamed::Moved,
            });
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        Err(_) => {}
    }
    if std::fs::symlink_metadata(to).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    std::fs::rename(from, to).map(|()| Renamed::Moved)
}

/// Lets the process open `wanted` files, or as many as the system allows; returns how many those are.
pub(crate) fn allow_open_files(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = wanted as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let now = current.unwrap_or(wanted);
    if now >= wanted {
        return usize::try_from(now).unwrap_or(usize::MAX);
    }
    let allowed = maximum.map_or(wanted, |most| most.min(wanted));
    let raised = Rlimit {
        current: Some(allowed),
        maximum,
    };
    let is_raised = setrlimit(Resource::Nofile, raised).is_ok();
    usize::try_from(if is_raised { allowed } else { now }).unwrap_or(usize::MAX)
}

/// The process's umask. It can only be read by setting it; the value set meanwhile is the strictest.
pub(crate) fn umask() -> u32 {
    static UMASK: OnceLock<u32> = OnceLock::new();
    *UMASK.get_or_init(|| {
        let umask = rustix::process::umask(Mode::from_raw_mode(0o077));
        rustix::process::umask(umask);
        umask.as_raw_mode()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_whole_private_and_without_leftovers() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        std::fs::write(fresh(&path), "what a crash left").unwrap();
        for value in [1, 2] {
            write_record(&path, &value, Durability::Synced).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), value.to_string());
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_new_name_is_never_put_over_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        std::fs::write(&from, "new").unwrap();
        std::fs::write(&to, "old").unwrap();
        let error = rename_new(&from, &to, || ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "old");
        std::fs::remove_file(&to).unwrap();
        rename_new(&from, &to, || ()).unwrap();
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "new");
    }
}
