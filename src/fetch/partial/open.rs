//! Opening a partial: locking it, and resuming the bytes of an earlier run.

use crate::active_time;
use crate::current_document::warn_of_document;
use crate::error::{Code, Error, Result};
use crate::fetch::entity::Entity;
use crate::fetch::events::Watcher;
use crate::fetch::partial::background_sync::BackgroundSync;
use crate::fetch::partial::extents::Extents;
use crate::fetch::partial::intact::{CheckedFiles, intact_extents};
use crate::fetch::partial::moved::{find_others, moved_partials_of};
use crate::fetch::partial::names::shared_path;
use crate::fetch::partial::others::{Earlier, OtherPartialsQuery, in_order, remove_left};
use crate::fetch::partial::own::{OwnPartial, take_over};
use crate::fetch::partial::partial_file::Partial;
use crate::fetch::partial::publication::{self, Publication};
use crate::fetch::partial::sidecar::Sidecar;
use crate::fetch::partial::sidecar_writer::SidecarWriter;
use crate::fetch::partial::unfinished::{has_true_locks, partials_of};
use crate::state::files::{
    AllowedNames, FileIdentity, HAS_ANOTHER_NAME, is_lasting_refusal, open_folder, open_own,
    refused, remove, temporary_path,
};
use crate::state::folder::FolderTraits;
use crate::state::lock::{HeldFile, LockRequest, lock_own};
use rustix::fs::OFlags;
use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// What the process with the lock does, for messages of a process that waits for the lock.
const PARTIAL_ACTIVITY: &str = "fetching this document";

/// A partial's file whose lock this process holds.
struct LockedFile {
    file: Arc<File>,
    metadata: Metadata,
    publication: Option<Publication>,
}

/// An empty file that is removed when the value is dropped, unless the process has begun to use the file. No run can
/// resume an empty file.
struct UnusedFile {
    /// None for a file that stays.
    path: Option<PathBuf>,
    /// Keeps the lock until the file is removed.
    _locked: Arc<File>,
}

impl Drop for UnusedFile {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.path.as_deref().map(remove) {
            log::info!("{}", error.message());
        }
    }
}

impl Partial {
    /// Opens or creates a partial of the document `name` in `folder`. Where locks exclude other processes,
    /// all of them share one partial; elsewhere each process has its own. Waits up to `busy_timeout` while
    /// another process holds the lock of a partial of the document.
    ///
    /// With `resume`, the bytes of an earlier run stay, and count after [`Partial::resume`]. Without
    /// `resume`, docfetch discards the bytes, and removes a link or another user's file at a partial's path.
    ///
    /// # Errors
    /// [`Code::UnsafePartial`] when a partial's path is not a plain file of this user, [`Code::Busy`]
    /// when another process holds the lock for longer than `busy_timeout`, [`Code::LocalIo`],
    /// [`Code::DiskFull`].
    pub(crate) async fn open(
        folder: &Path,
        name: &str,
        busy_timeout: Duration,
        resume: bool,
    ) -> Result<Self> {
        if FolderTraits::of(folder)?.has_true_locks()
            && let Some(partial) = Self::open_shared(folder, name, busy_timeout, resume).await?
        {
            return Ok(partial);
        }
        Self::open_own(folder, name, busy_timeout, resume).await
    }

    /// Creates a partial that only this process writes, and finds what earlier runs left.
    ///
    /// # Errors
    /// As [`Partial::open`].
    pub(super) async fn open_own(
        folder: &Path,
        name: &str,
        busy_timeout: Duration,
        resume: bool,
    ) -> Result<Self> {
        let opened = Arc::new(open_folder(folder)?);
        let query = OtherPartialsQuery {
            folder,
            opened: &opened,
            document: name,
            find: partials_of,
            busy_timeout,
            resume,
        };
        let mut others = query.run().await?;
        let mut own = OwnPartial::create(folder, name).await?;
        if !resume {
            others.earlier.clear();
            remove_left(partials_of(folder, name), own.now());
        }
        let mut earlier = in_order(others.earlier);
        if let Some(file) = earlier
            .front_mut()
            .and_then(|first| take_over(&own.path, first))
        {
            own.file = file;
        }
        let mut partial = Self::new(own.path.clone(), opened, Arc::clone(&own.file));
        partial.own = Some(Arc::new(own));
        partial.earlier = earlier;
        partial.publication = others.publication;
        partial.others = others.files;
        partial.set_mode(0o600)?; // a crash during publication leaves it readable by others
        Ok(partial)
    }

    /// Discards the sidecar, and the bytes if the partial `has_bytes`: no intact sidecar describes them, or the user
    /// does not want to `resume`.
    ///
    /// # Errors
    /// [`Code::LocalIo`], [`Code::DiskFull`].
    fn begin_anew(&mut self, has_bytes: bool, resume: bool) -> Result<()> {
        if resume && has_bytes && self.sidecar.path().exists() {
            warn_of_document!(
                "docfetch discards bytes of an earlier run: their sidecar is damaged"
            );
        }
        self.remove_sidecar_durably()?;
        if has_bytes {
            self.truncate_file()?;
        }
        Ok(())
    }

    /// Opens or creates the partial that all processes share. `None` if the file system refuses to lock it.
    ///
    /// # Errors
    /// As [`Partial::open`]. An empty file is removed then.
    async fn open_shared(
        folder: &Path,
        name: &str,
        busy_timeout: Duration,
        resume: bool,
    ) -> Result<Option<Self>> {
        let path = shared_path(folder, name);
        if !resume
            && let Err(error) = open_own(&path, OFlags::RDWR)
            && is_lasting_refusal(&error)
        {
            remove(&path)?;
        }
        let opened = Arc::new(open_folder(folder)?);
        let began = active_time::now();
        let LockedFile {
            file,
            metadata,
            publication,
        } = lock(&path, &opened, busy_timeout).await?;
        let mut unused = UnusedFile {
            path: (metadata.len() == 0).then(|| path.clone()),
            _locked: Arc::clone(&file),
        };
        if !FolderTraits::of(folder)?.has_true_locks() {
            return Ok(None);
        }
        let query = OtherPartialsQuery {
            folder,
            opened: &opened,
            document: name,
            find: moved_partials_of,
            busy_timeout: busy_timeout.saturating_sub(active_time::since(began)),
            resume,
        };
        let mut moved = query.run().await?;
        if !resume {
            moved.earlier.clear();
            remove_left(moved_partials_of(folder, name), SystemTime::now());
        } else if let Some(sidecar) = Sidecar::read(&path.with_extension("json"))? {
            let own = Earlier::of_own_file(sidecar, &metadata);
            moved.earlier.push(own);
        }
        unused.path = None;
        let mut earlier = in_order(moved.earlier);
        let taken_over = earlier
            .front_mut()
            .and_then(|first| take_over(&path, first));
        // A crash during publication leaves the file readable by others, and so may the folder that it moved from.
        let is_private = taken_over.is_none() && metadata.mode() & 0o777 == 0o600;
        let mut partial = Self::new(path, opened, taken_over.unwrap_or(file));
        partial.earlier = earlier;
        partial.publication =
            publication.or_else(|| moved.publication.filter(Publication::is_finished));
        partial.others = moved.files;
        if partial.earlier.is_empty() {
            partial.begin_anew(metadata.len() > 0, resume)?;
        }
        if !is_private {
            partial.set_mode(0o600)?;
        }
        Ok(Some(partial))
    }

    fn new(path: PathBuf, folder: Arc<File>, file: Arc<File>) -> Self {
        let now = Instant::now();
        Self {
            sidecar: SidecarWriter::new(path.with_extension("json"), now),
            background_sync: BackgroundSync::new(Arc::clone(&file), Arc::clone(&folder), now),
            path,
            folder,
            file,
            extents: Extents::default(),
            entity: Entity::default(),
            is_doubtful: false,
            resumed_from: 0,
            refused: None,
            earlier: VecDeque::new(),
            publication: None,
            own: None,
            others: Vec::new(),
        }
    }

    /// Resumes where an earlier run stopped: reads the bytes that the run left, and keeps those whose CRC is as
    /// the sidecar says. Copies bytes that are in a partial of another process, and passes over a partial that
    /// cannot be copied. `watcher` sees the progress of a check that takes long.
    ///
    /// # Errors
    /// [`Code::LocalIo`] when the partial's own file cannot be read or written, [`Code::DiskFull`] when the copy
    /// has no room.
    pub(crate) async fn resume(&mut self, watcher: &mut dyn Watcher) -> Result<()> {
        if self.earlier.is_empty() {
            return Ok(());
        }
        while self.held() == 0
            && let Some(earlier) = self.earlier.pop_front()
        {
            self.resume_from(earlier, watcher).await?;
        }
        self.earlier.clear();
        self.truncate_file()
    }

    async fn resume_from(&mut self, earlier: Earlier, watcher: &mut dyn Watcher) -> Result<()> {
        let Earlier {
            sidecar, source, ..
        } = earlier;
        let what = if source.is_some() {
            "copy the partial of an earlier run to"
        } else {
            "read"
        };
        let files = CheckedFiles {
            file: Arc::clone(&self.file),
            copied_from: source.map(|partial| partial.file),
        };
        let is_copy = files.copied_from.is_some();
        let checked = intact_extents(files, sidecar.extents, watcher).await;
        self.extents = match checked.map_err(|error| Error::io(what, &self.path, &error)) {
            // The process of that partial may have truncated or removed it meanwhile.
            Err(error) if is_copy && error.code() != Code::DiskFull => {
                log::info!("{}", error.message());
                return Ok(());
            }
            checked => checked?,
        };
        if sidecar.refused.is_some() && sidecar.total != Some(self.position()) {
            return self.restart(); // the rest of a refused document can be neither published nor resumed
        }
        self.resumed_from = self.held();
        if self.resumed_from > 0 {
            self.entity = Entity {
                tag: Some(sidecar.etag).filter(|tag| !tag.is_empty()),
                total: sidecar.total,
                name: sidecar.name,
                checksum: sidecar.checksum,
                last_modified: sidecar.last_modified,
            };
            self.refused = sidecar.refused;
        }
        Ok(())
    }

    /// Whether `folder` has a partial of the document `name`, of any process, a sidecar, or a temporary file of a
    /// sidecar.
    pub(crate) fn exists(folder: &Path, name: &str) -> bool {
        let path = shared_path(folder, name);
        let sidecar = path.with_extension("json");
        let paths = [temporary_path(&sidecar), sidecar, path];
        let is_there = |path: &PathBuf| std::fs::symlink_metadata(path).is_ok();
        paths.iter().any(is_there)
            || find_others(folder)(folder, name).is_ok_and(|found| !found.is_empty())
    }

    /// Removes what earlier runs left of the document `name` in `folder`, unless a process may still use it.
    ///
    /// # Errors
    /// As [`Partial::open`], with no wait for another process.
    pub(crate) async fn remove_stale(folder: &Path, name: &str) -> Result<()> {
        if !has_true_locks(folder) {
            remove_left(partials_of(folder, name), SystemTime::now());
            return Ok(());
        }
        if Self::exists(folder, name) {
            let partial = Self::open(folder, name, Duration::ZERO, true).await?;
            partial.discard_all()?;
        }
        Ok(())
    }
}

/// Locks the partial's file at `path`. Finishes a publication that a killed process left there, and then
/// locks a new file.
async fn lock(path: &Path, folder: &File, busy_timeout: Duration) -> Result<LockedFile> {
    // The file that another process held when this one tried to lock it last.
    let mut held: Option<File> = None;
    let mut publication = None;
    loop {
        let request = LockRequest {
            paths: &[path],
            allowed_names: AllowedNames::Two,
            busy_timeout,
            activity: PARTIAL_ACTIVITY,
        };
        let HeldFile { file, .. } = lock_own(request, |busy| {
            let before = held.replace(busy);
            publication = publication
                .take()
                .or_else(|| Publication::of_renamed(before, path));
        })
        .await?;
        let metadata = file.metadata();
        let metadata = metadata.map_err(|error| Error::io("read", path, &error))?;
        if metadata.nlink() < 2 {
            return Ok(LockedFile {
                file: Arc::new(file),
                metadata,
                publication: publication.or_else(|| Publication::of_renamed(held, path)),
            });
        }
        let name = publication::finish(path, &metadata, folder)?;
        publication = Some(Publication {
            files: vec![FileIdentity::of(&metadata)],
            finished_as: Some(name.ok_or_else(|| refused(path, HAS_ANOTHER_NAME))?),
        });
    }
}
