//! What a folder is like: what its file system does with owners, modes, locks and names.
//!
//! docfetch finds the traits of a folder out once in a process. Everything that depends on a trait asks
//! [`FolderTraits`], and makes no attempt of its own. On a file system whose behaviour is known, the traits
//! cost one `fstatfs`. Elsewhere docfetch makes a file when a caller needs a trait, and removes the file.

mod current;
mod file_system;
mod names;
mod new_file;
mod scratch;

use super::identity::FileIdentity;
use crate::error::{Error, Result, system_text};
use crate::mutex::locked;
pub(crate) use current::current_metadata;
use file_system::FileSystem;
use names::FolderNames;
pub(crate) use names::{MAX_NAME_BYTES, NameLimits};
pub(crate) use new_file::OTHERS;
use new_file::{ACCESS_ACL, NewFile};
use rustix::fs::{Mode, OFlags, XattrFlags, fchmod, fsetxattr, getxattr, open};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

/// The extended attribute with the access control list of new files in a folder (Linux, `acl(5)`).
const DEFAULT_ACL: &str = "system.posix_acl_default";
/// How file systems refuse to set permissions.
const REFUSALS_OF_MODES: [Errno; 5] = [
    Errno::PERM,
    Errno::ACCESS,
    Errno::NOSYS,
    Errno::NOTSUP,
    Errno::INVAL,
];
/// How many folders docfetch remembers. A mirror may have any number of folders.
const MAX_KNOWN_FOLDERS: usize = 1024;

/// The traits of folders that this process has found out.
static KNOWN: LazyLock<Mutex<KnownFolders>> = LazyLock::new(Mutex::default);

/// The traits of folders, by their identity and by the paths that led to them.
#[derive(Debug, Default)]
struct KnownFolders {
    by_identity: HashMap<FileIdentity, Arc<FolderTraits>>,
    by_path: HashMap<PathBuf, Arc<FolderTraits>>,
}

/// What a folder is like.
#[derive(Debug)]
pub(crate) struct FolderTraits {
    path: PathBuf,
    file_system: FileSystem,
    /// Owner and permissions of a private file that docfetch has made; none when they need no probe.
    private_file: OnceLock<Option<NewFile>>,
    /// Owner and permissions of a file that any program makes; none for permissions 0666 less the umask.
    public_file: OnceLock<Option<NewFile>>,
    /// Whether the log says that the file system refuses to set permissions.
    has_told_of_modes: AtomicBool,
    names: FolderNames,
    /// Whether the file system refused a lock.
    refused_locks: AtomicBool,
}

impl FolderTraits {
    /// The traits of an existing folder. A path leads to the same folder as long as the process runs.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo) when the folder cannot be opened.
    pub(crate) fn of(folder: &Path) -> Result<Arc<Self>> {
        if let Some(known) = locked(&KNOWN).by_path.get(folder) {
            return Ok(Arc::clone(known));
        }
        let traits = Self::of_open(&open_folder(folder)?, folder)?;
        let by_path = &mut locked(&KNOWN).by_path;
        if by_path.len() >= MAX_KNOWN_FOLDERS {
            by_path.clear();
        }
        by_path.insert(folder.to_path_buf(), Arc::clone(&traits));
        Ok(traits)
    }

    /// The traits of the folder that the file at `path` is in.
    ///
    /// # Errors
    /// As [`FolderTraits::of`].
    pub(crate) fn of_file(path: &Path) -> Result<Arc<Self>> {
        Self::of(folder_of(path))
    }

    /// The traits of a folder, or of the nearest folder above it that exists. `None` when docfetch can open none
    /// of them.
    pub(crate) fn of_nearest(folder: &Path) -> Option<Arc<Self>> {
        let above = folder.ancestors().map(or_current);
        above.map(Self::of).find_map(Result::ok)
    }

    /// As [`FolderTraits::of`], for an open folder; `path` is its path.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo) when the folder cannot be read.
    pub(crate) fn of_open(folder: &File, path: &Path) -> Result<Arc<Self>> {
        let metadata = folder.metadata();
        let metadata = metadata.map_err(|error| Error::io("read", path, &error))?;
        let identity = FileIdentity::of(&metadata);
        if let Some(known) = locked(&KNOWN).by_identity.get(&identity) {
            return Ok(Arc::clone(known));
        }
        let traits = Arc::new(Self {
            path: path.to_path_buf(),
            file_system: FileSystem::of(folder),
            private_file: OnceLock::new(),
            public_file: OnceLock::new(),
            has_told_of_modes: AtomicBool::new(false),
            names: FolderNames::default(),
            refused_locks: AtomicBool::new(false),
        });
        let by_identity = &mut locked(&KNOWN).by_identity;
        if by_identity.len() >= MAX_KNOWN_FOLDERS {
            by_identity.clear();
        }
        // Another thread may have been faster: what the process notes of a folder must stay in one place.
        Ok(Arc::clone(by_identity.entry(identity).or_insert(traits)))
    }

    /// Whether a lock on a file of this folder excludes every other process, on other machines, too. Where
    /// it may not, what must not happen twice is decided by creating a file exclusively.
    pub(crate) fn has_true_locks(&self) -> bool {
        self.file_system.has_true_locks() && !self.refused_locks.load(Ordering::Relaxed)
    }

    /// Notes that the file system refused to lock a file of this folder.
    pub(crate) fn note_refused_lock(&self) {
        self.refused_locks.store(true, Ordering::Relaxed);
    }

    /// Whether two machines may both create the same file of this folder exclusively, as on some file
    /// systems in user space. Then nothing protects from a second charge.
    pub(crate) fn may_create_twice(&self) -> bool {
        self.file_system.may_create_twice()
    }

    /// Whether a file of this folder belongs to this user. Where the mount gives every file an owner, as on
    /// exFAT, that owner is this user.
    pub(crate) fn is_own(&self, found: &Metadata) -> bool {
        let owner = found.uid();
        owner == own_user()
            || self
                .private_file()
                .is_some_and(|private| private.owner == owner)
    }

    /// Whether other users have permissions for a file of this folder that docfetch could take away. Where
    /// the mount gives every file its permissions, docfetch cannot.
    pub(crate) fn is_open_to_others(&self, found: &Metadata) -> bool {
        let mode = found.mode() & 0o777;
        mode & OTHERS != 0
            && !self
                .private_file()
                .is_some_and(|private| private.mode == mode && private.owner == found.uid())
    }

    /// Whether a new file of this folder has the owner and the permissions that docfetch asks for. Where it
    /// has not, other users may be able to read the file: docfetch writes no token there.
    pub(crate) fn keeps_modes(&self) -> bool {
        self.private_file()
            .is_none_or(|private| private.owner == own_user() && private.mode & OTHERS == 0)
    }

    /// Takes the permissions of other users away from a file that this process has created with permissions
    /// 0600, where the file system gave it others.
    ///
    /// # Errors
    /// As [`FolderTraits::set_mode`].
    pub(crate) fn close_new_file(&self, file: &File, path: &Path) -> Result<()> {
        if self.file_system.is_ordinary() {
            return Ok(());
        }
        let found = file.metadata();
        let found = found.map_err(|error| Error::io("read", path, &error))?;
        if self.is_open_to_others(&found) {
            self.set_mode(file, path, 0o600)?;
        }
        Ok(())
    }

    /// Sets the permissions of a file of this folder, if the file system permits that.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo) when the disk fails.
    pub(crate) fn set_mode(&self, file: &File, path: &Path, mode: u32) -> Result<()> {
        let set = fchmod(file, Mode::from_raw_mode(mode));
        self.unless_refused(set, path)
    }

    /// Gives a file of this folder the permissions that a new file of any program has here: 0666 less the
    /// umask, or those of the folder's default access control list, or those of the mount. Where the file system
    /// refuses to change permissions, docfetch warns once in a process.
    ///
    /// # Errors
    /// As [`FolderTraits::set_mode`].
    pub(crate) fn publish_mode(&self, file: &File, path: &Path) -> Result<()> {
        let public = self.public_file();
        let mode = public.map_or_else(|| 0o666 & !umask(), |public| public.mode);
        let set = match public.and_then(|public| public.acl.as_ref()) {
            None => fchmod(file, Mode::from_raw_mode(mode)),
            Some(acl) => fsetxattr(file, ACCESS_ACL, acl, XattrFlags::empty()),
        };
        if let Err(errno) = set
            && let Ok(found) = file.metadata()
        {
            self.warn_of_mode(found.mode() & 0o777, mode, errno);
        }
        self.unless_refused(set, path)
    }

    /// Warns once in a process that published files have the permissions `found` instead of `wanted`.
    fn warn_of_mode(&self, found: u32, wanted: u32, errno: Errno) {
        static WARNED: AtomicBool = AtomicBool::new(false);
        if found == wanted
            || !REFUSALS_OF_MODES.contains(&errno)
            || WARNED.swap(true, Ordering::Relaxed)
        {
            return;
        }
        log::warn!(
            "the file system of {} refuses to change permissions ({}): new documents have {found:04o} and not \
             {wanted:04o}",
            self.path.display(),
            system_text(&errno.into())
        );
    }

    /// What docfetch knows of the names that the folder takes.
    pub(crate) fn name_limits(&self) -> NameLimits {
        self.names.limits()
    }

    /// Whether the folder takes names with any character, of any length that Linux allows.
    pub(crate) fn takes_any_name(&self) -> bool {
        self.file_system.is_ordinary()
    }

    /// Whether the folder takes this name. When it does not, [`FolderTraits::name_limits`] tells more than
    /// before, if docfetch could find out why.
    pub(crate) fn takes_name(&self, name: &OsStr) -> bool {
        self.takes_any_name() || self.names.takes(&self.path, name)
    }

    /// Why the folder refuses this name, in one line; `None` when it takes the name.
    pub(crate) fn name_refusal(&self, name: &OsStr) -> Option<String> {
        (!self.takes_name(name)).then(|| self.names.refusal(name))
    }

    /// The result of setting the permissions of the file at `path`, where a file system that refuses to set
    /// any is no failure.
    fn unless_refused(&self, set: rustix::io::Result<()>, path: &Path) -> Result<()> {
        let errno = match set {
            Ok(()) => return Ok(()),
            Err(errno) => errno,
        };
        if !REFUSALS_OF_MODES.contains(&errno) {
            return Err(Error::io("set the permissions of", path, &errno.into()));
        }
        if !self.has_told_of_modes.swap(true, Ordering::Relaxed) {
            let (path, why) = (path.display(), system_text(&errno.into()));
            log::info!("{path} keeps the permissions that the file system gave it: {why}");
        }
        Ok(())
    }

    fn private_file(&self) -> Option<&NewFile> {
        if self.file_system.is_ordinary() {
            return None;
        }
        let probe = || NewFile::private(&self.path).ok();
        self.private_file.get_or_init(probe).as_ref()
    }

    fn public_file(&self) -> Option<&NewFile> {
        let probe = || {
            let is_as_requested = self.file_system.is_ordinary() && !has_default_acl(&self.path);
            (!is_as_requested).then(|| NewFile::public(&self.path).ok())?
        };
        self.public_file.get_or_init(probe).as_ref()
    }
}

/// The folder that the file at `path` is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    or_current(path.parent().unwrap_or(Path::new("")))
}

/// The folder itself; the current one for an empty path.
pub(crate) fn or_current(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    }
}

/// Opens a folder for a sync, and to read its metadata. A folder that this user can write and not read is opened as a
/// place only.
///
/// # Errors
/// [`Code::LocalIo`](crate::error::Code::LocalIo).
pub(crate) fn open_folder(folder: &Path) -> Result<File> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = match open(folder, flags, Mode::empty()) {
        Err(Errno::ACCESS) => open(folder, flags | OFlags::PATH, Mode::empty()),
        opened => opened,
    };
    let opened = opened.map(File::from);
    opened.map_err(|errno| Error::io("open the folder", folder, &errno.into()))
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn has_default_acl(folder: &Path) -> bool {
    // No list fits into one byte.
    let found = getxattr(folder, DEFAULT_ACL, &mut [0_u8][..]);
    matches!(found, Ok(_) | Err(Errno::RANGE))
}

/// The process's umask. The system returns the umask only when it is set, so docfetch sets the strictest one
/// for a moment.
fn umask() -> u32 {
    static UMASK: OnceLock<u32> = OnceLock::new();
    *UMASK.get_or_init(|| {
        let umask = rustix::process::umask(Mode::from_raw_mode(0o077));
        rustix::process::umask(umask);
        umask.as_raw_mode()
    })
}
