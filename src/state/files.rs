//! Operations on files that docfetch makes for itself: open them without following links, write them whole or
//! not at all, rename them without replacing another file, and make them durable.

use super::folder::{FolderTraits, OTHERS, folder_of};
use crate::error::{Code, Error, Result};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;
use std::fs::{DirBuilder, File, Metadata};
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

pub(crate) use super::folder::open_folder;
pub(crate) use super::identity::FileIdentity;

/// Whether a file survives a power failure, or only the end of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The file and its name are on disk when the call returns.
    Synced,
    /// The system writes the file to disk later.
    Buffered,
}

/// The type of a file system in memory: `TMPFS_MAGIC` of Linux' `statfs(2)`.
const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;

/// Whether a file or folder is in memory, where a sync takes no time.
pub(crate) fn is_in_memory(file: &File) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|of| of.f_type == TMPFS_MAGIC)
}

/// Whether the file at `path`, whose metadata is `found`, belongs to this user.
pub(crate) fn is_own(path: &Path, found: &Metadata) -> bool {
    found.uid() == rustix::process::geteuid().as_raw()
        || FolderTraits::of_file(path).is_ok_and(|folder| folder.is_own(found))
}

/// Whether other users have permissions for the file at `path`, whose metadata is `found`.
pub(crate) fn is_open_to_others(path: &Path, found: &Metadata) -> bool {
    found.mode() & OTHERS != 0
        && FolderTraits::of_file(path).map_or(true, |folder| folder.is_open_to_others(found))
}

/// How many names (hard links) an existing file may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AllowedNames {
    /// One. The other name of a file could belong to another user's file.
    One,
    /// Two. The caller finds out the other name.
    Two,
}

/// Opens a file without following a link.
///
/// # Errors
/// [`Code::UnsafePartial`] when it is not a regular file of this user with one name; [`Code::LocalIo`] or
/// [`Code::DiskFull`] when it cannot be opened or created.
pub(crate) fn open_own(path: &Path, flags: OFlags) -> Result<File> {
    open_named(path, flags, AllowedNames::One)
}

/// As [`open_own`]; `None` when there is no file.
///
/// # Errors
/// As [`open_own`].
pub(crate) fn open_own_if_exists(path: &Path, flags: OFlags) -> Result<Option<File>> {
    open_named_if_exists(path, flags, AllowedNames::One)
}

/// As [`open_own`], for a file that may have as many names as `names` allows.
///
/// # Errors
/// As [`open_own`].
pub(crate) fn open_named(path: &Path, flags: OFlags, names: AllowedNames) -> Result<File> {
    let missing = || Error::io("create", path, &Errno::NOENT.into());
    open_named_if_exists(path, flags, names)?.ok_or_else(missing)
}

/// The error for a file at `path` that docfetch does not use, because of `why`.
pub(crate) fn refused(path: &Path, why: &str) -> Error {
    Error::new(
        Code::UnsafePartial,
        format!("refused to use {}", path.display()),
    )
    .with_cause(why)
}

/// Why docfetch does not use a file with a second name.
pub(crate) const HAS_ANOTHER_NAME: &str = "it has another name, too";

fn open_named_if_exists(path: &Path, flags: OFlags, names: AllowedNames) -> Result<Option<File>> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let unsafe_partial = |why: &str| refused(path, why);
    let file = match rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(unsafe_partial("it is a symbolic link")),
        Err(Errno::ISDIR | Errno::NXIO) => return Err(unsafe_partial("it is not a plain file")),
        Err(Errno::ACCESS) if is_of_another_user(path) => {
            return Err(unsafe_partial("it belongs to another user"));
        }
        Err(errno) => return Err(Error::io("create", path, &errno.into())),
    };
    let metadata = file
        .metadata()
        .map_err(|error| Error::io("read", path, &error))?;
    if !metadata.is_file() {
        return Err(unsafe_partial("it is not a plain file"));
    }
    let max_names = if names == AllowedNames::Two { 2 } else { 1 };
    if metadata.nlink() > max_names {
        return Err(unsafe_partial(HAS_ANOTHER_NAME));
    }
    if !is_own(path, &metadata) {
        return Err(unsafe_partial("it belongs to another user"));
    }
    if flags.contains(OFlags::CREATE) && metadata.len() == 0 && metadata.mode() & OTHERS != 0 {
        FolderTraits::of_file(path)?.close_new_file(&file, path)?;
    }
    Ok(Some(file))
}

/// Whether another user's file, of any type, is at `path`.
fn is_of_another_user(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| !is_own(path, &found))
}

/// Whether an error of [`open_own`] stays as long as the file does: not that of a system with too many open files.
pub(crate) fn is_lasting_refusal(error: &Error) -> bool {
    match error.code() {
        Code::UnsafePartial => true,
        Code::LocalIo => !error.is_temporary_io(),
        _ => false,
    }
}

/// Reads the first bytes of a range of a file, at most as many as `buffer` holds.
///
/// # Errors
/// The error of the system; `UnexpectedEof` when the file ends before the range.
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

/// Whether an error of `fsync(2)` means that the file system cannot sync a file. An error of the disk is none.
pub(crate) fn is_unsyncable(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS))
}

/// Makes the names in an open folder durable, where the file system can sync folders. `of` is a file in the folder,
/// or the folder itself. Where this user can write the folder and not read it, the whole file system is synced.
///
/// # Errors
/// [`Code::LocalIo`].
pub(crate) fn sync_folder(folder: &File, of: &Path) -> Result<()> {
    let synced = match folder.sync_all() {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::BADF) => sync_file_system(of),
        synced => synced,
    };
    match synced {
        Err(error) if is_unsyncable(&error) || error.kind() == io::ErrorKind::PermissionDenied => {
            Ok(())
        }
        Err(error) => Err(Error::io("sync the folder of", of, &error).with_hint("check the disk")),
        Ok(()) => Ok(()),
    }
}

/// Syncs the file system of a file.
fn sync_file_system(file: &Path) -> io::Result<()> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(file, flags, Mode::empty())?;
    rustix::fs::syncfs(file).map_err(io::Error::from)
}

/// Makes the names in a folder durable.
///
/// # Errors
/// [`Code::LocalIo`].
pub(crate) fn sync_names(folder: &Path) -> Result<()> {
    sync_folder(&open_folder(folder)?, folder)
}

/// Makes a folder and its missing parents, with permissions `mode` less the umask. All new folders
/// are durable when the call returns.
///
/// # Errors
/// [`Code::LocalIo`], [`Code::DiskFull`].
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
        sync_folder(&open_folder(folder_of(made))?, made)?;
    }
    Ok(())
}

/// Whether `path` is a name of the open `file`.
pub(crate) fn is_name_of(path: &Path, file: &File) -> bool {
    match (std::fs::symlink_metadata(path), file.metadata()) {
        (Ok(named), Ok(open)) => FileIdentity::of(&named) == FileIdentity::of(&open),
        _ => false,
    }
}

/// The path of a record while it is written.
pub(crate) fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Writes a record with permissions 0600 to a new file, renames the file to `path`, and returns it open. The
/// file at `path` is therefore always whole.
///
/// # Errors
/// [`Code::LocalIo`], [`Code::DiskFull`].
pub(crate) fn write_record(
    path: &Path,
    record: &impl Serialize,
    durability: Durability,
) -> Result<File> {
    let temporary = temporary_path(path);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let create = || rustix::fs::open(&temporary, flags, Mode::RUSR | Mode::WUSR);
    let created = match create() {
        Err(Errno::EXIST) => {
            remove(&temporary)?;
            create()
        }
        created => created,
    };
    let created = File::from(created.map_err(|errno| Error::io("write", path, &errno.into()))?);
    FolderTraits::of_file(&temporary)?.close_new_file(&created, &temporary)?;
    let written = serde_json::to_vec(record)
        .map_err(io::Error::from)
        .and_then(|record| {
            let mut file = created;
            file.write_all(&record)?;
            if durability == Durability::Synced {
                file.sync_data()?;
            }
            std::fs::rename(&temporary, path)?;
            Ok(file)
        });
    written.map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        Error::io("write", path, &error)
    })
}

/// Removes a file, or an empty folder in its place. Returns whether there was one.
///
/// # Errors
/// [`Code::LocalIo`].
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

/// The names of a file after a rename.
#[derive(Debug)]
pub(crate) enum Renamed {
    /// The file has only the new name.
    Moved,
    /// The file has both names, because the old one could not be removed.
    Both(io::Error),
}

/// Renames a file, but never over an existing one. Where the file system has no atomic operation for that,
/// the file gets its new name as a second name; where it has no second names either, the new name is checked
/// first. `before_two_names` is called before the file has two names.
///
/// # Errors
/// The error of the system; `AlreadyExists` when there is a file at `to`.
pub(crate) fn rename_without_replacing(
    from: &Path,
    to: &Path,
    before_two_names: impl FnOnce(),
) -> io::Result<Renamed> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        result => return result.map(|()| Renamed::Moved).map_err(io::Error::from),
    }
    before_two_names();
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

/// Raises the process's limit of open files to `wanted`, or as far as the system allows. Returns the limit.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_whole_private_and_without_leftovers() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        std::fs::write(temporary_path(&path), "what a crash left").unwrap();
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
        let error = rename_without_replacing(&from, &to, || ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "old");
        std::fs::remove_file(&to).unwrap();
        rename_without_replacing(&from, &to, || ()).unwrap();
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "new");
    }
}
