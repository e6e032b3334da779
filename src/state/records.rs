//! Records: small JSON files in the state folder, which all processes of a user share.
//!
//! Each kind of record has a folder of its own. A record is written whole ([`Records::write`]) or is a
//! journal of lines ([`HeldJournal`](super::journal::HeldJournal)). Folders have permissions 0700, records
//! 0600. docfetch does not trust a record that another user could have written or read; the caller decides
//! what follows. Where no record can be written, docfetch warns once, and the caller continues in memory.

use super::files::{is_in_memory, make_folder, open_folder, open_own, sync_names, write_record};
use super::folder::FolderTraits;
use super::lock::Lock;
use super::trust::{
    DistrustReason, Untrusted, close_to_others, folder_distrust, is_private, open_to_others,
    read_open,
};
use crate::error::{Code, Error, Result, system_text};
use crate::mutex::locked;
use log::Level;
use rustix::fs::OFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

pub(crate) use super::files::Durability;

/// The kind of records of paid retrievals.
pub(crate) const LEDGER: &str = "ledger";
/// The kind of records of OAuth tokens.
pub(crate) const TOKENS: &str = "tokens";
/// The kind of records of rate budgets.
pub(crate) const BUDGETS: &str = "budgets";
/// The kind of records of the storages that were used last.
pub(crate) const ORIGINS: &str = "origins";

/// The folder that all processes of a user share.
#[derive(Clone, Debug)]
pub(crate) struct StateFolder {
    root: Option<PathBuf>,
    /// Why there is no folder, where `root` is none.
    absence: &'static str,
    /// Whether docfetch has warned that nothing can be written.
    warned: Arc<AtomicBool>,
    /// Whether docfetch has warned that other users can read the folder.
    warned_of_readers: Arc<AtomicBool>,
}

impl StateFolder {
    /// The folder at `root`; `None` when the caller has set none. The folder is made later, with its
    /// first record.
    pub(crate) fn new(root: Option<PathBuf>) -> Self {
        Self {
            root,
            absence: "no state folder is set",
            warned: Arc::default(),
            warned_of_readers: Arc::default(),
        }
    }

    /// The same folder, where errors give `why` as the reason that there is none.
    pub(crate) fn with_absence(self, why: &'static str) -> Self {
        Self {
            absence: why,
            ..self
        }
    }

    /// The records of one kind, such as [`LEDGER`].
    pub(crate) fn records(&self, kind: &str) -> Records {
        Records {
            state: self.clone(),
            folder: self.root.as_deref().map(|root| root.join(kind)),
            is_ledger: kind == LEDGER,
            holds_secrets: kind == TOKENS,
            ready: OnceLock::new(),
            started_syncs: AtomicU64::default(),
            finished_sync: Mutex::default(),
        }
    }
}

/// What the folder of a kind of records is like.
#[derive(Clone, Copy, Debug)]
struct ReadyFolder {
    /// Whether the folder is in memory.
    is_in_memory: bool,
    /// Whether docfetch can keep other users from reading the records.
    is_private: bool,
}

/// The records of one kind.
#[derive(Debug)]
pub(crate) struct Records {
    state: StateFolder,
    pub(super) folder: Option<PathBuf>,
    /// Whether a lost record can cause a second charge.
    is_ledger: bool,
    /// Whether the records are of no use when they are not secret.
    holds_secrets: bool,
    /// Set when the folders exist.
    ready: OnceLock<ReadyFolder>,
    /// How many syncs of the folder have started.
    started_syncs: AtomicU64,
    /// The number of the last sync that succeeded.
    finished_sync: Mutex<u64>,
}

impl Records {
    pub(super) fn folder(&self) -> Result<&Path> {
        self.folder.as_deref().ok_or_else(|| {
            Error::new(Code::LocalIo, "there is no place for the state folder")
                .with_cause(self.state.absence)
        })
    }

    /// The path of the record `name`.
    ///
    /// # Errors
    /// [`Code::LocalIo`] when there is no state folder.
    pub(crate) fn path(&self, name: &str) -> Result<PathBuf> {
        Ok(self.folder()?.join(format!("{name}.json")))
    }

    /// Warns once in a process that no record can be written, because of `error`. For the ledger the message
    /// is an error, because a later run may pay again.
    pub(crate) fn warn_unwritable(&self, error: &Error) {
        let (level, what) = if self.is_ledger {
            let what =
                "paid retrievals are remembered in this run only, and a later run may pay again";
            (Level::Error, what)
        } else {
            let what = "tokens and rate budgets are remembered in this run only";
            (Level::Warn, what)
        };
        if log::log_enabled!(level) && !self.state.warned.swap(true, Ordering::Relaxed) {
            log::log!(level, "{what}: {}", error.message());
        }
    }

    /// Makes the missing folders, and closes the folder of this kind to other users. A state folder that
    /// exists keeps its permissions.
    ///
    /// # Errors
    /// [`Code::LocalIo`], [`Code::DiskFull`].
    pub(super) fn make_folders(&self) -> Result<&Path> {
        let folder = self.folder()?;
        if self.ready.get().is_some() {
            return Ok(folder);
        }
        let failed = |error: io::Error| Error::io("make the folder", folder, &error);
        if let Some(root) = folder.parent() {
            make_folder(root, 0o700)?;
        }
        if self.is_ledger {
            make_folder(folder, 0o700)?;
        } else if let Err(error) = DirBuilder::new().mode(0o700).create(folder)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            // Without a sync: these records may be lost.
            return Err(failed(error));
        }
        if let Some(why) = folder_distrust(folder) {
            return Err(failed(io::Error::other(why)));
        }
        close_to_others(folder)?;
        let is_private = is_private(folder);
        if let Some(root) = folder.parent() {
            if is_private {
                self.warn_of_others(root);
            } else {
                self.warn_of_readers(root);
            }
        }
        let _ = self.ready.set(ReadyFolder {
            is_in_memory: open_folder(folder).is_ok_and(|folder| is_in_memory(&folder)),
            is_private,
        });
        Ok(folder)
    }

    /// Warns when other users can rename the ledger. Without the ledger, the next run would pay again.
    fn warn_of_others(&self, root: &Path) {
        if self.is_ledger
            && let Some(open) = open_to_others(root)
        {
            log::warn!(
                "other users can replace the records in {}: remove their permission to write to {}, \
                 or set DOCFETCH_STATE_DIR",
                root.display(),
                open.display()
            );
        }
    }

    /// Warns once in a process when docfetch cannot keep other users from reading the records.
    fn warn_of_readers(&self, root: &Path) {
        if log::log_enabled!(Level::Warn)
            && !self.state.warned_of_readers.swap(true, Ordering::Relaxed)
        {
            log::warn!(
                "other users may be able to read and to replace the records in {}, because the file system \
                 there sets owners and permissions itself; docfetch writes no token there: set \
                 DOCFETCH_STATE_DIR to a folder on another file system",
                root.display()
            );
        }
    }

    /// Whether a lost record can cause a second charge.
    pub(super) fn is_ledger(&self) -> bool {
        self.is_ledger
    }

    /// Makes the missing folders, and checks that docfetch can keep the records secret there.
    ///
    /// # Errors
    /// [`Code::LocalIo`] when it cannot, or there is no folder; [`Code::DiskFull`].
    pub(crate) fn check_secrecy(&self) -> Result<()> {
        let folder = self.make_folders()?;
        if self.ready.get().is_none_or(|ready| ready.is_private) {
            return Ok(());
        }
        let why = io::Error::other("other users may be able to read the files there");
        Err(Error::io("keep tokens in", folder, &why))
    }

    /// Whether the records are in memory, on no disk. `false` before the folders were made.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.ready.get().is_some_and(|ready| ready.is_in_memory)
    }

    /// Locks the record `name` against other processes. Waits up to `busy_timeout` for another process, which
    /// does `activity`.
    ///
    /// # Errors
    /// [`Code::Busy`] when another process holds the lock for too long; [`Code::LocalIo`],
    /// [`Code::DiskFull`] and [`Code::UnsafePartial`] when the lock cannot be made.
    pub(crate) async fn lock(
        &self,
        name: &str,
        busy_timeout: Duration,
        activity: &str,
    ) -> Result<Lock> {
        let path = self.make_folders()?.join(format!("{name}.lock"));
        Lock::take(path, busy_timeout, activity).await
    }

    /// Reads the record `name`; `None` when there is none.
    ///
    /// # Errors
    /// Why the record cannot be trusted.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Untrusted> {
        let Ok(path) = self.path(name) else {
            return Ok(None);
        };
        let Some(file) = self.open_trusted(&path)? else {
            return Ok(None);
        };
        read_open(&path, &file).map(|(record, _)| Some(record))
    }

    /// Opens a file of this folder that only this user can have written; `None` when there is none.
    ///
    /// # Errors
    /// Why the file cannot be trusted.
    pub(super) fn open_trusted(&self, path: &Path) -> Result<Option<File>, Untrusted> {
        let distrust = |why: String, reason| Untrusted {
            path: path.to_owned(),
            why,
            reason,
        };
        match std::fs::symlink_metadata(path) {
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(distrust(system_text(&error), DistrustReason::Folder)),
        }
        if let Some(why) = path.parent().and_then(folder_distrust) {
            return Err(distrust(why, DistrustReason::Folder));
        }
        if self.holds_secrets && path.parent().is_some_and(|folder| !is_private(folder)) {
            return Ok(None); // docfetch has not written it
        }
        let file = open_own(path, OFlags::RDONLY).map_err(|error| {
            let why = error.cause().unwrap_or(error.what());
            distrust(why.to_owned(), DistrustReason::Record)
        })?;
        Ok(Some(file))
    }

    /// Writes the record `name` in place of an older one. The caller holds the lock of the record. A record
    /// that must be secret is not written where other users could read it.
    ///
    /// # Errors
    /// [`Code::LocalIo`], [`Code::DiskFull`].
    pub(crate) fn write(
        &self,
        name: &str,
        record: &impl Serialize,
        durability: Durability,
    ) -> Result<()> {
        let folder = self.make_folders()?;
        if self.holds_secrets && self.ready.get().is_some_and(|ready| !ready.is_private) {
            return Ok(());
        }
        drop(write_record(&self.path(name)?, record, durability)?);
        match durability {
            Durability::Synced => self.sync(folder),
            Durability::Buffered => Ok(()),
        }
    }

    /// Makes the names in the folder durable. One sync serves all callers that waited for the sync before
    /// it, because their names were in the folder when it started.
    ///
    /// # Errors
    /// [`Code::LocalIo`].
    pub(super) fn sync(&self, folder: &Path) -> Result<()> {
        let before = self.started_syncs.load(Ordering::SeqCst);
        let mut finished = locked(&self.finished_sync);
        if *finished > before {
            return Ok(());
        }
        let this = self.started_syncs.fetch_add(1, Ordering::SeqCst) + 1;
        sync_names(folder)?;
        *finished = this;
        Ok(())
    }

    /// Whether a lock of a record excludes every other process, on other machines, too.
    pub(crate) fn has_true_locks(&self) -> bool {
        let traits = self
            .folder
            .as_deref()
            .and_then(|folder| FolderTraits::of(folder).ok());
        traits.is_none_or(|traits| traits.has_true_locks())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn records(root: &Path, kind: &str) -> Records {
        StateFolder::new(Some(root.to_owned())).records(kind)
    }

    #[test]
    fn new_folders_and_records_are_closed_to_others() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("state");
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
    fn a_state_folder_that_exists_keeps_its_permissions() {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let records = records(root.path(), TOKENS);
        records.write("a", &7, Durability::Buffered).unwrap();
        assert_eq!(mode(root.path()), 0o755);
        assert_eq!(mode(&root.path().join("tokens")), 0o700);
    }

    #[test]
    fn without_a_place_there_is_no_record_and_none_is_written() {
        let records = StateFolder::new(None).records(LEDGER);
        assert_eq!(records.read::<u32>("a"), Ok(None));
        assert!(records.names().unwrap().is_empty());
        let error = records.write("a", &7, Durability::Buffered).unwrap_err();
        assert_eq!(error.cause(), Some("no state folder is set"));
    }

    #[test]
    fn a_record_that_others_could_have_written_or_read_is_not_trusted() {
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
            assert_eq!(why("a"), "it is not a docfetch record", "{garbage}");
        }
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("a.json"), "7").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), root.path().join(TOKENS)).unwrap();
        let linked = records(root.path(), TOKENS);
        assert!(linked.read::<u32>("a").is_err());
        assert!(linked.write("a", &7, Durability::Buffered).is_err());
    }
}
