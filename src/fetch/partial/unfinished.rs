//! The partials in a folder: what each one holds, whether a process still writes it, and their removal.

use crate::error::{Error, Result};
use crate::fetch::partial::names::PartialName;
use crate::fetch::partial::sidecar::Sidecar;
use crate::fetch::partial::written::is_written_here;
use crate::state::files::{is_lasting_refusal, open_own_if_exists, remove, temporary_path};
use crate::state::folder::FolderTraits;
use crate::state::process::ProcessIdentity;
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A partial that did not change for this long counts as left by its process, where nothing else tells
/// whether the process still runs.
const ABANDONED_AFTER: Duration = Duration::from_mins(10);

/// A partial in a folder, as it is on disk.
#[derive(Debug)]
pub(crate) struct UnfinishedPartial {
    /// The partial's path. A sidecar without a partial is listed under the path that the partial had.
    pub path: PathBuf,
    /// The file name that the storage gave the document, if the sidecar tells.
    pub name: Option<String>,
    /// How many bytes a later run can use, before it checks them: 0 without a sidecar.
    pub held_bytes: u64,
    /// The length of the partial's file in bytes.
    pub file_bytes: u64,
    /// The length of the document in bytes, if the storage told.
    pub total_bytes: Option<u64>,
    /// When the partial or its sidecar changed last.
    pub modified: SystemTime,
    pub(super) partial_name: PartialName,
    pub(super) sidecar: Option<Sidecar>,
}

/// The partials in `folder`, by path; not those in the folders below. Files that docfetch cannot read are
/// listed with 0 bytes.
///
/// # Errors
/// [`Code::LocalIo`](crate::error::Code::LocalIo) when the folder cannot be read.
pub(crate) fn list_partials(folder: &Path) -> Result<Vec<UnfinishedPartial>> {
    let mut found = find(folder, PartialName::is_of_document)?;
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// The partials of one `document` in `folder`, as far as this user may read the folder.
///
/// # Errors
/// [`Code::LocalIo`](crate::error::Code::LocalIo) when the folder cannot be read.
pub(super) fn partials_of(folder: &Path, document: &str) -> Result<Vec<UnfinishedPartial>> {
    match std::fs::read_dir(folder) {
        // In a folder that can be written and not read, docfetch sees no partial of another process.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Vec::new()),
        _ => find(folder, |name| name.document == document),
    }
}

fn find(folder: &Path, is_wanted: impl Fn(&PartialName) -> bool) -> Result<Vec<UnfinishedPartial>> {
    let unreadable = |error: io::Error| Error::io("read", folder, &error);
    let mut newest: BTreeMap<PathBuf, (PartialName, SystemTime)> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let Some(name) = PartialName::parse(&entry.file_name()).filter(&is_wanted) else {
            continue;
        };
        let Ok(metadata) = entry.metadata() else {
            continue; // it was renamed or removed meanwhile
        };
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let known = newest.entry(name.path(folder)).or_insert((name, modified));
        known.1 = known.1.max(modified);
    }
    let partials = newest.into_iter();
    Ok(partials
        .map(|(path, (name, modified))| UnfinishedPartial::read(path, name, modified))
        .collect())
}

impl UnfinishedPartial {
    fn read(path: PathBuf, partial_name: PartialName, modified: SystemTime) -> Self {
        let sidecar = Sidecar::read(&path.with_extension("json")).ok().flatten();
        let file_bytes = std::fs::symlink_metadata(&path).map_or(0, |found| found.len());
        Self {
            name: sidecar.as_ref().and_then(Sidecar::name),
            held_bytes: sidecar.as_ref().map_or(0, Sidecar::noted_bytes),
            total_bytes: sidecar.as_ref().and_then(|sidecar| sidecar.total),
            sidecar,
            file_bytes,
            path,
            modified,
            partial_name,
        }
    }

    /// For how long the partial did not change, at the time `now`.
    pub(crate) fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.modified).unwrap_or_default()
    }

    /// Removes the partial and its sidecar, unless a process may still write the partial. Returns whether
    /// docfetch removed them. `now` is the time of the clock that [`UnfinishedPartial::modified`] is from.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo) when a file cannot be removed.
    pub(crate) fn remove(&self, now: SystemTime) -> Result<bool> {
        let opened = open_own_if_exists(&self.path, OFlags::RDWR);
        let file = match opened {
            Err(error) if is_lasting_refusal(&error) => None, // only the name is removed
            opened => opened?,
        };
        let locked = file.as_ref().map(std::fs::File::try_lock);
        if matches!(locked, Some(Err(TryLockError::WouldBlock))) {
            return Ok(false);
        }
        let is_decided_by_lock = self.partial_name.owner.is_none()
            && matches!(locked, None | Some(Ok(())))
            && self.path.parent().is_some_and(has_true_locks);
        if !is_decided_by_lock && !self.is_left(now) {
            return Ok(false);
        }
        let sidecar = self.path.with_extension("json");
        // The sidecar goes first: without a partial it would describe bytes that there are not.
        remove(&temporary_path(&sidecar))?;
        remove(&sidecar)?;
        remove(&self.path)?;
        Ok(true) // the lock ends here
    }

    /// Whether the process that wrote the partial has ended or keeps it for a later run, or has left it alone
    /// for 10 minutes.
    fn is_left(&self, now: SystemTime) -> bool {
        self.is_certainly_left() || self.age(now) >= ABANDONED_AFTER
    }

    /// Whether it is certain that no process writes the partial any more.
    pub(super) fn is_certainly_left(&self) -> bool {
        let is_left = |owner: &ProcessIdentity| {
            owner.is_gone() || (owner == ProcessIdentity::own() && !is_written_here(&self.path))
        };
        self.partial_name.owner.as_ref().is_some_and(is_left)
    }
}

/// Whether locks in `folder` exclude other processes; false for a folder that cannot be opened.
pub(super) fn has_true_locks(folder: &Path) -> bool {
    FolderTraits::of(folder).is_ok_and(|traits| traits.has_true_locks())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::partial::written::{begin_writing, end_writing};
    use std::fs;

    const DOCUMENT: &str = "0123456789abcdef0123456789abcdef";

    /// Writes a partial of `owner`, and nothing beside it.
    fn partial_of(folder: &Path, owner: &ProcessIdentity) -> PathBuf {
        let path = PartialName::own(DOCUMENT, owner, 0).path(folder);
        fs::write(&path, "bytes").unwrap();
        path
    }

    fn remove_only(folder: &Path, now: SystemTime) -> bool {
        let found = list_partials(folder).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].remove(now).unwrap()
    }

    #[test]
    fn a_shared_partial_is_removed_unless_a_process_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = super::super::names::shared_path(folder.path(), DOCUMENT);
        fs::write(&path, "bytes").unwrap();
        fs::write(path.with_extension("json"), "{").unwrap();
        fs::write(folder.path().join(".docfetch-probe.part"), "").unwrap();
        let held = fs::File::open(&path).unwrap();
        held.lock().unwrap();
        let found = list_partials(folder.path()).unwrap();
        assert_eq!((found[0].held_bytes, found[0].file_bytes), (0, 5));
        let later = SystemTime::now() + 2 * ABANDONED_AFTER;
        assert!(!remove_only(folder.path(), later), "a process holds it");
        drop(held);
        assert!(remove_only(folder.path(), SystemTime::now()));
        assert!(list_partials(folder.path()).unwrap().is_empty());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_partial_of_its_own_process_goes_when_the_process_ended_or_left_it_for_10_minutes() {
        let folder = tempfile::tempdir().unwrap();
        let own = ProcessIdentity::own();
        let path = partial_of(folder.path(), own);
        let now = fs::metadata(&path).unwrap().modified().unwrap();
        let soon = now + ABANDONED_AFTER.checked_sub(Duration::from_secs(1)).unwrap();
        begin_writing(&path);
        assert!(!remove_only(folder.path(), soon), "the process writes");
        assert!(remove_only(folder.path(), now + ABANDONED_AFTER));
        end_writing(&path);
        partial_of(folder.path(), own);
        assert!(remove_only(folder.path(), soon), "the process keeps it");
        let [host, system, _, start] = {
            let text = own.to_string();
            let mut parts: Vec<_> = text.rsplitn(4, '-').map(str::to_owned).collect();
            parts.reverse();
            <[String; 4]>::try_from(parts).unwrap()
        };
        let gone = format!("{host}-{system}-{}-{start}", u32::MAX);
        partial_of(folder.path(), &ProcessIdentity::parse(&gone).unwrap());
        assert!(remove_only(folder.path(), now), "the process has ended");
        let elsewhere = format!("{host}-0123456789abcdef-1-{start}");
        partial_of(folder.path(), &ProcessIdentity::parse(&elsewhere).unwrap());
        assert!(
            !remove_only(folder.path(), now),
            "the process is out of sight"
        );
    }

    #[test]
    fn a_sidecar_without_a_partial_and_a_planted_name_are_listed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = super::super::names::shared_path(folder.path(), DOCUMENT);
        fs::write(path.with_extension("json.new"), "{").unwrap();
        assert!(remove_only(folder.path(), SystemTime::now()));
        let victim = folder.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(remove_only(folder.path(), SystemTime::now()));
        assert_eq!(fs::read(victim).unwrap(), b"mine");
    }
}
