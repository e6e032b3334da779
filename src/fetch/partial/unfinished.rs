//! The partials in a folder: what each one holds, whether a process still writes it, and their removal.

use crate::error::{Error, Result};
use crate::fetch::partial::names::PartialName;
use crate::fetch::partial::same_file::is_same_file;
use crate::fetch::partial::sidecar::Sidecar;
use crate::fetch::partial::written::is_written_here;
use crate::state::files::{
    is_lasting_refusal, open_own, open_own_if_exists, remove, temporary_path,
};
use crate::state::folder::{FolderTraits, folder_of};
use crate::state::process::ProcessIdentity;
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A partial that did not change for this long counts as left by its process, where nothing else tells
/// whether the process still runs.
const ABANDONED_AFTER: Duration = Duration::from_mins(10);

/// A partial in a folder, as it is on disk.
#[derive(Debug)]
pub(crate) struct UnfinishedPartial {
    /// The partial's path, also where only its sidecar is left.
    pub path: PathBuf,
    /// The path of a file of the partial that exists: of the partial itself or, without it, of its sidecar.
    pub existing_path: PathBuf,
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
    let names = names_in(folder, usize::MAX, PartialName::is_of_document);
    let names = names.map_err(|error| Error::io("read", folder, &error))?;
    Ok(find_all(folder, &names))
}

/// The partials of one `document` in `folder`. In a folder that this user may not read, those whose names docfetch
/// can compute.
///
/// # Errors
/// [`Code::LocalIo`](crate::error::Code::LocalIo) when the folder cannot be read.
pub(super) fn partials_of(folder: &Path, document: &str) -> Result<Vec<UnfinishedPartial>> {
    let names = match names_in(folder, usize::MAX, |name| name.document == document) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let shared = PartialName::shared(document);
            PartialName::findable(document).chain([shared]).collect()
        }
        names => names.map_err(|error| Error::io("read", folder, &error))?,
    };
    Ok(find_all(folder, &names))
}

/// Whether this user may not read the folder, and so cannot list the partials of other processes.
pub(super) fn is_unreadable(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

fn find_all(folder: &Path, names: &[PartialName]) -> Vec<UnfinishedPartial> {
    let found = names.iter();
    found
        .filter_map(|name| UnfinishedPartial::find(folder, name))
        .collect()
}

/// The names of the partials in `folder` that `is_wanted` accepts, each once. Reads at most `max_files` names of
/// files.
///
/// # Errors
/// The error of the system, when the folder cannot be read.
pub(super) fn names_in(
    folder: &Path,
    max_files: usize,
    is_wanted: impl Fn(&PartialName) -> bool,
) -> io::Result<Vec<PartialName>> {
    let mut names = BTreeMap::new();
    for entry in std::fs::read_dir(folder)?.take(max_files) {
        let name = entry?.file_name();
        if let Some(name) = PartialName::parse(&name).filter(&is_wanted) {
            names.insert(name.path(folder), name);
        }
    }
    Ok(names.into_values().collect())
}

/// When the file at `path` changed last. `None` if there is none.
fn modified(path: &Path) -> Option<SystemTime> {
    let found = std::fs::symlink_metadata(path).ok()?;
    Some(found.modified().unwrap_or(SystemTime::UNIX_EPOCH))
}

impl UnfinishedPartial {
    /// The partial of this name in `folder`. `None` if none of its files exists.
    pub(super) fn find(folder: &Path, name: &PartialName) -> Option<Self> {
        let path = name.path(folder);
        let sidecar_path = path.with_extension("json");
        let files = [&path, &sidecar_path, &temporary_path(&sidecar_path)];
        let times = files.map(|path| modified(path));
        let modified = times.into_iter().flatten().max()?;
        let existing = times.iter().position(Option::is_some)?;
        let existing_path = files[existing].clone();
        let sidecar = Sidecar::read(&sidecar_path).ok().flatten();
        let file_bytes = std::fs::symlink_metadata(&path).map_or(0, |found| found.len());
        Some(Self {
            name: sidecar.as_ref().and_then(Sidecar::name),
            held_bytes: sidecar.as_ref().map_or(0, Sidecar::noted_bytes),
            total_bytes: sidecar.as_ref().and_then(|sidecar| sidecar.total),
            sidecar,
            file_bytes,
            existing_path,
            path,
            modified,
            partial_name: name.clone(),
        })
    }

    /// The name of the document in the names of its partials.
    pub(crate) fn document(&self) -> &str {
        &self.partial_name.document
    }

    /// For how long the partial did not change, at the time `now`.
    pub(crate) fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.modified).unwrap_or_default()
    }

    /// Removes the partial and its sidecar, unless a process may still write the partial, or used it since
    /// docfetch found it. Returns whether docfetch removed them. `now` is the time of the clock that
    /// [`UnfinishedPartial::modified`] is from.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo) when a file cannot be removed.
    pub(crate) fn remove(&self, now: SystemTime) -> Result<bool> {
        let has_true_locks = has_true_locks(folder_of(&self.path));
        let is_shared = self.partial_name.owner.is_none();
        // A process that begins to use the partial waits for this lock, also where there is only a sidecar.
        let file = match open_own_if_exists(&self.path, OFlags::RDWR) {
            Ok(None) if is_shared && has_true_locks => {
                open_own(&self.path, OFlags::RDWR | OFlags::CREATE).map(Some)
            }
            Err(error) if is_lasting_refusal(&error) => Ok(None), // only the name is removed
            opened => opened,
        }?;
        let locked = file.as_ref().map(File::try_lock);
        let is_in_use = matches!(locked, Some(Err(TryLockError::WouldBlock)));
        if is_in_use || file.as_ref().is_some_and(|file| self.was_used(file)) {
            return Ok(false);
        }
        let is_decided_by_lock =
            has_true_locks && matches!(locked, None | Some(Ok(()))) && !self.is_being_written();
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

    /// Whether another process published, replaced or wrote the partial since docfetch found it. `file` is what
    /// docfetch opened at its path.
    fn was_used(&self, file: &File) -> bool {
        let sidecar = modified(&self.path.with_extension("json"));
        let written = file.metadata().ok().filter(|found| found.len() > 0);
        let times = [sidecar, written.and_then(|found| found.modified().ok())];
        !is_same_file(&self.path, file) || times.into_iter().flatten().max() > Some(self.modified)
    }

    /// Whether the process that wrote the partial has ended or keeps it for a later run, or has left it alone
    /// for 10 minutes.
    fn is_left(&self, now: SystemTime) -> bool {
        self.is_certainly_left() || self.age(now) >= ABANDONED_AFTER
    }

    /// Whether it is certain that no process writes the partial any more.
    pub(super) fn is_certainly_left(&self) -> bool {
        let owner = self.partial_name.owner.as_ref();
        owner.is_some_and(ProcessIdentity::is_gone)
            || (owner == Some(ProcessIdentity::own()) && !is_written_here(&self.path))
    }

    /// Whether it is certain that the process that the partial's name tells writes the partial.
    fn is_being_written(&self) -> bool {
        let owner = self.partial_name.owner.as_ref();
        owner.is_some_and(ProcessIdentity::is_running) && !self.is_certainly_left()
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
    fn a_limit_bounds_how_many_names_are_read() {
        let folder = tempfile::tempdir().unwrap();
        partial_of(folder.path(), ProcessIdentity::own());
        for (max_files, found) in [(0, 0), (1, 1)] {
            let names = names_in(folder.path(), max_files, |_| true).unwrap();
            assert_eq!(names.len(), found);
        }
    }

    #[test]
    fn a_shared_partial_is_removed_unless_a_process_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = super::super::names::shared_path(folder.path(), DOCUMENT);
        fs::write(&path, "bytes").unwrap();
        fs::write(path.with_extension("json"), "{").unwrap();
        fs::write(folder.path().join(".docfetch-probe.part"), "").unwrap();
        let held = File::open(&path).unwrap();
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
        super::super::own_tests::without_true_locks(folder.path());
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
    fn where_locks_are_true_the_lock_decides_about_the_partial_of_a_process_that_is_out_of_sight() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = ProcessIdentity::parse("node7-0123456789abcdef-1-2").unwrap();
        let path = partial_of(folder.path(), &elsewhere);
        let held = File::open(&path).unwrap();
        held.lock().unwrap();
        assert!(!remove_only(folder.path(), SystemTime::now()));
        drop(held);
        assert!(remove_only(folder.path(), SystemTime::now()));
        let path = partial_of(folder.path(), ProcessIdentity::own());
        begin_writing(&path);
        assert!(!remove_only(folder.path(), SystemTime::now()));
        end_writing(&path);
    }

    #[test]
    fn a_partial_that_was_used_since_it_was_found_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = super::super::names::shared_path(folder.path(), DOCUMENT);
        fs::write(&path, "bytes").unwrap();
        let found = list_partials(folder.path()).unwrap();
        let later = SystemTime::now() + Duration::from_secs(1);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(later).unwrap();
        assert!(!found[0].remove(later).unwrap());
        assert!(path.exists());
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
