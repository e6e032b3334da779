//! Records: small JSON files below the state folder, one kind a folder, each written whole or not at
//! all, or added to ([`super::journal`]). Folders are 0700, records 0600. A record that somebody else could have written or read is
//! not believed; what that means is for whoever asks. So it is for where nothing can be written: that
//! is said once, and whoever asks goes on in memory.

use super::files::{
    fresh, is_in_memory, is_own, make_folder, open_folder, open_own, remove, sync_names,
    write_record,
};
use super::lock::Lock;
use crate::error::{Code, Error, Result};
use crate::mutex::locked;
use log::Level;
use rustix::fs::OFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// No record is longer, in bytes.
const LONGEST: u64 = 1 << 20;

/// The folder that all processes of a user share.
#[derive(Clone, Debug)]
pub struct StateFolder {
    root: Option<PathBuf>,
    told: Arc<AtomicBool>,
}

impl StateFolder {
    /// The folder at `root`; none where the environment names no place for one. Nothing is touched
    /// yet.
    pub fn new(root: Option<PathBuf>) -> Self {
        Self {
            root,
            told: Arc::default(),
        }
    }

    /// Its records of `kind`.
    pub fn records(&self, kind: &str) -> Records {
        Records {
            state: self.clone(),
            folder: self.root.as_deref().map(|root| root.join(kind)),
            costs: kind == LEDGER,
            ready: OnceLock::new(),
            syncs: AtomicU64::default(),
            synced: Mutex::default(),
        }
    }
}

/// Records of one kind.
#[derive(Debug)]
pub struct Records {
    state: StateFolder,
    folder: Option<PathBuf>,
    /// Whether forgetting them may cost money.
    costs: bool,
    /// Set once the folders are there: whether they are on no disk.
    ready: OnceLock<bool>,
    /// How many syncs of the folder were begun, and the last of them that succeeded.
    syncs: AtomicU64,
    synced: Mutex<u64>,
}

/// A record that cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untrusted {
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
    /// Whose fault that is.
    pub fault: Fault,
}

/// What makes a record untrustworthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The folder that it is in.
    Folder,
    /// Its permissions.
    Open,
    /// Anything else about it.
    Record,
}

/// Whether a record lasts through a power failure, or only through the end of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It and its name are on disk when the call returns.
    Synced,
    /// It gets there by itself.
    Buffered,
}

impl Records {
    fn folder(&self) -> Result<&Path> {
        self.folder.as_deref().ok_or_else(|| {
            Error::new(Code::LocalIo, "there is no place for the state folder")
                .with_cause("neither HOME nor DOCFETCH_STATE_DIR is set")
        })
    }

    /// Where the record `name` is.
    ///
    /// # Errors
    /// [`Code::LocalIo`] where there is no place for one.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        Ok(self.folder()?.join(format!("{name}.json")))
    }

    /// Says once a process that nothing can be remembered for other processes; what that may cost is
    /// said even when only errors are.
    pub fn cannot_keep(&self, error: &Error) {
        let (level, what) = if self.costs {
            let what = "what is paid for is remembered in this run only, a later one may pay again";
            (Level::Error, what)
        } else {
            let what = "tokens and rate budgets are remembered in this run only";
            (Level::Warn, what)
        };
        if log::log_enabled!(level) && !self.state.told.swap(true, Ordering::Relaxed) {
            log::log!(level, "{what}: {}", error.message());
        }
    }

    /// Makes the folders where they are missing, and closes them to others. A state folder that holds
    /// other things, too, is left as open as it is.
    pub(super) fn make(&self) -> Result<&Path> {
        let folder = self.folder()?;
        if self.ready.get().is_some() {
            return Ok(folder);
        }
        let failed = |error: io::Error| Error::io("make the folder", folder, &error);
        if let Some(root) = folder.parent() {
            make_folder(root, 0o700)?;
        }
        if self.costs {
            make_folder(folder, 0o700)?;
        } else if let Err(error) = DirBuilder::new().mode(0o700).create(folder)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(failed(error)); // what is in it may be lost
        }
        if let Some(why) = untrusted_folder(folder) {
            return Err(failed(io::Error::other(why)));
        }
        close(folder).map_err(failed)?;
        if let Some(root) = folder.parent() {
            if only_ours(root) {
                close(root).map_err(failed)?;
            }
            // Whoever moves the ledger away makes the next run pay again.
            if self.costs
                && let Some(open) = open_to_others(root)
            {
                log::warn!(
                    "others can replace what is remembered in {}: close {} to them, or set DOCFETCH_STATE_DIR",
                    root.display(),
                    open.display()
                );
            }
        }
        let in_memory = open_folder(folder).is_ok_and(|folder| is_in_memory(&folder));
        let _ = self.ready.set(in_memory);
        Ok(folder)
    }

    /// Whether they are on no disk, as far as that is known.
    pub fn is_in_memory(&self) -> bool {
        self.ready.get().is_some_and(|in_memory| *in_memory)
    }

    /// Keeps other processes from `name` until it is dropped; waits up to `patience` for one that is
    /// doing `what`.
    ///
    /// # Errors
    /// [`Code::Busy`]; [`Code::LocalIo`], [`Code::DiskFull`] and [`Code::UnsafePartial`] where no lock
    /// can be made.
    pub async fn lock(&self, name: &str, patience: Duration, what: &str) -> Result<Lock> {
        let path = self.make()?.join(format!("{name}.lock"));
        Lock::take(path, patience, what).await
    }

    /// The record `name`; none when there is none.
    ///
    /// # Errors
    /// What makes it untrustworthy.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Untrusted> {
        let (Ok(folder), Ok(path)) = (self.folder(), self.path(name)) else {
            return Ok(None);
        };
        let distrust = |why: String, fault| Untrusted {
            path: path.clone(),
            why,
            fault,
        };
        match std::fs::symlink_metadata(&path) {
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(distrust(error.to_string(), Fault::Folder)),
        }
        if let Some(why) = untrusted_folder(folder) {
            return Err(distrust(why, Fault::Folder));
        }
        let file = open_own(&path, OFlags::RDONLY).map_err(|error| {
            let why = error.cause().unwrap_or(error.what());
            distrust(why.to_owned(), Fault::Record)
        })?;
        read_open(&path, &file).map(|(record, _)| Some(record))
    }

    /// Writes the record `name` in place of any other. The caller holds its lock.
    ///
    /// # Errors
    /// [`Code::LocalIo`], [`Code::DiskFull`].
    pub fn write(&self, name: &str, record: &impl Serialize, durability: Durability) -> Result<()> {
        let folder = self.make()?;
        drop(write_record(&self.path(name)?, record, durability)?);
        match durability {
            Durability::Synced => self.sync(folder),
            Durability::Buffered => Ok(()),
        }
    }

    /// Removes the record `name`, and that lasts.
    ///
    /// # Errors
    /// [`Code::LocalIo`].
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.path(name)?;
        remove(&fresh(&path))?;
        remove(&path)?;
        self.sync(self.folder()?)
    }

    /// Makes the names in the folder durable. One sync is enough for all who waited for the one before
    /// it: it was begun when their names were there.
    pub(super) fn sync(&self, folder: &Path) -> Result<()> {
        let before = self.syncs.load(Ordering::SeqCst);
        let mut synced = locked(&self.synced);
        if *synced > before {
            return Ok(());
        }
        let this = self.syncs.fetch_add(1, Ordering::SeqCst) + 1;
        sync_names(folder)?;
        *synced = this;
        Ok(())
    }

    /// The names of all records, sorted.
    ///
    /// # Errors
    /// [`Code::LocalIo`] when the folder cannot be read.
    pub fn names(&self) -> Result<Vec<String>> {
        let Some(folder) = &self.folder else {
            return Ok(Vec::new());
        };
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("read", folder, &error)),
        };
        let mut names: Vec<_> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }
}

/// What the last whole line of a file says, and where that line ends; why it is not believed.
pub(super) fn read_open<T: DeserializeOwned>(
    path: &Path,
    mut file: &File,
) -> Result<(T, u64), Untrusted> {
    let distrust = |why: String, fault| Untrusted {
        path: path.to_owned(),
        why,
        fault,
    };
    let untrusted = |error: io::Error| distrust(error.to_string(), Fault::Record);
    let metadata = file.metadata().map_err(untrusted)?;
    if metadata.mode() & 0o077 != 0 {
        return Err(distrust("it is open to other users".into(), Fault::Open));
    }
    let length = metadata.len().min(LONGEST);
    let mut text = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
    let read = file.by_ref().take(LONGEST).read_to_end(&mut text);
    read.map_err(untrusted)?;
    let (line, end) = last_line(&text);
    // A parser's message can quote the text: only the fact is told.
    let record = serde_json::from_slice(line);
    let record =
        record.map_err(|_| distrust("it is no record of docfetch's".into(), Fault::Record))?;
    Ok((record, end as u64))
}

/// The last line that has an end, and where that is: a crash cuts the one after it short. Where none
/// has, all is one line, with its end at 0.
fn last_line(text: &[u8]) -> (&[u8], usize) {
    let is_end = |byte: &u8| *byte == b'\n';
    let Some(end) = text.iter().rposition(is_end) else {
        return (text, 0);
    };
    let begin = text[..end].iter().rposition(is_end).map_or(0, |at| at + 1);
    (&text[begin..end], end + 1)
}

fn untrusted_folder(folder: &Path) -> Option<String> {
    let found = std::fs::symlink_metadata(folder).ok()?;
    let folder = folder.display();
    if !found.is_dir() {
        return Some(format!("{folder} is no folder"));
    }
    (!is_own(&found)).then(|| format!("{folder} belongs to another user"))
}

/// Takes the permissions of all others from a folder of this user's.
fn close(folder: &Path) -> io::Result<()> {
    let found = std::fs::metadata(folder)?;
    if is_own(&found) && found.mode() & 0o077 != 0 {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// The state folder, or the nearest one above it, in which others can rename things: they own it, or can
/// write to it while it is not sticky. Root is no other, and neither is the owner of `/` (inside a user
/// namespace root has another number), nor the group that has a user's own number.
fn open_to_others(root: &Path) -> Option<PathBuf> {
    const STICKY: u32 = 0o1000;
    let own = rustix::process::geteuid().as_raw();
    let top = std::fs::metadata("/").map_or(0, |found| found.uid());
    let is_open = |folder: &&Path| {
        std::fs::metadata(folder).is_ok_and(|found| {
            let (mode, owner) = (found.mode(), found.uid());
            let group = mode & 0o020 != 0 && ![owner, 0].contains(&found.gid());
            let writable = mode & 0o002 != 0 || group;
            ![own, 0, top].contains(&owner) || (writable && mode & STICKY == 0)
        })
    };
    let real = std::fs::canonicalize(root).ok()?;
    real.ancestors().find(is_open).map(Path::to_path_buf)
}

/// Whether a folder holds nothing but folders of records.
fn only_ours(root: &Path) -> bool {
    std::fs::read_dir(root).is_ok_and(|mut entries| {
        entries.all(|entry| {
            entry.is_ok_and(|entry| KINDS.iter().any(|kind| *kind == entry.file_name()))
        })
    })
}

/// Paid retrievals.
pub(crate) const LEDGER: &str = "ledger";
/// OAuth tokens.
pub(crate) const TOKENS: &str = "tokens";
/// Rate budgets.
pub(crate) const BUDGETS: &str = "budgets";
/// Storages that were used last.
pub(crate) const ORIGINS: &str = "origins";
const KINDS: [&str; 4] = [LEDGER, TOKENS, BUDGETS, ORIGINS];

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn records(root: &Path, kind: &str) -> Records {
        StateFolder::new(Some(root.to_owned())).records(kind)
    }

    #[test]
    fn folders_and_records_are_closed_to_others() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("state");
        fs::create_dir(&root).unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        let records = records(&root, LEDGER);
        assert_eq!(records.read::<u32>("a"), Ok(None));
        records.write("a", &7, Durability::Synced).unwrap();
        assert_eq!(records.read::<u32>("a"), Ok(Some(7)));
        assert_eq!(mode(&root), 0o700);
        assert_eq!(mode(&root.join("ledger")), 0o700);
        assert_eq!(mode(&root.join("ledger/a.json")), 0o600);
        assert_eq!(records.names().unwrap(), ["a"]);
        records.remove("a").unwrap();
        assert_eq!(records.names().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_folder_that_is_not_ours_alone_is_left_as_open_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("the users own"), "").unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let records = records(root.path(), TOKENS);
        records.write("a", &7, Durability::Buffered).unwrap();
        assert_eq!(mode(root.path()), 0o755);
        assert_eq!(mode(&root.path().join("tokens")), 0o700);
    }

    #[test]
    fn without_a_place_nothing_is_there_and_nothing_is_kept() {
        let records = StateFolder::new(None).records(LEDGER);
        assert_eq!(records.read::<u32>("a"), Ok(None));
        assert!(records.names().unwrap().is_empty());
        assert!(records.write("a", &7, Durability::Buffered).is_err());
    }

    #[test]
    fn what_others_could_have_written_or_read_is_not_believed() {
        let root = tempfile::tempdir().unwrap();
        let ledger = records(root.path(), LEDGER);
        let why = |name: &str| ledger.read::<u32>(name).unwrap_err().why;
        ledger.write("a", &7, Durability::Synced).unwrap();
        let of = |name: &str| root.path().join("ledger").join(name);
        let path = of("a.json");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(why("a"), "it is open to other users");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::hard_link(&path, of("b.json")).unwrap();
        assert_eq!(why("a"), "it has another name, too");
        fs::remove_file(of("b.json")).unwrap();
        std::os::unix::fs::symlink(&path, of("c.json")).unwrap();
        assert_eq!(why("c"), "it is a symbolic link");
        fs::create_dir(of("d.json")).unwrap();
        assert_eq!(why("d"), "it is not a plain file");
        for garbage in ["", "{", "\"seven\"", "7 7"] {
            fs::write(&path, garbage).unwrap();
            assert_eq!(why("a"), "it is no record of docfetch's", "{garbage}");
        }
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("a.json"), "7").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), root.path().join(TOKENS)).unwrap();
        let linked = records(root.path(), TOKENS);
        assert!(linked.read::<u32>("a").is_err());
        assert!(linked.write("a", &7, Durability::Buffered).is_err());
    }
}
