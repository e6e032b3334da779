//! Opening a partial: locking it, and resuming the bytes of an earlier run.

use crate::error::{Code, Error, Result};
use crate::fetch::entity::Entity;
use crate::fetch::events::Watcher;
use crate::fetch::partial::background_sync::BackgroundSync;
use crate::fetch::partial::extents::Extents;
use crate::fetch::partial::intact::intact_extents;
use crate::fetch::partial::names::shared_path;
use crate::fetch::partial::partial_file::Partial;
use crate::fetch::partial::publication::{self, Publication};
use crate::fetch::partial::sidecar::Sidecar;
use crate::fetch::partial::sidecar_writer::SidecarWriter;
use crate::state::files::{
    AllowedNames, FileIdentity, HAS_ANOTHER_NAME, open_folder, open_own, refused, remove,
    temporary_path,
};
use crate::state::lock::{HeldFile, LockRequest, lock_own};
use rustix::fs::OFlags;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the process with the lock does, for messages of a process that waits for the lock.
const PARTIAL_ACTIVITY: &str = "fetching this document";

/// A partial's file whose lock this process holds.
struct LockedFile {
    file: File,
    metadata: Metadata,
    publication: Option<Publication>,
}

impl Partial {
    /// Opens or creates the partial `name` in `folder`, and locks it. Waits up to `busy_timeout` while
    /// another process holds the lock.
    ///
    /// With `resume`, the bytes of an earlier run stay, and count after [`Partial::resume`]. Without
    /// `resume`, docfetch discards the bytes, and removes a link or another user's file at the partial's path.
    ///
    /// # Errors
    /// [`Code::UnsafePartial`] when the partial's path is not a plain file of this user, [`Code::Busy`]
    /// when another process holds the lock for longer than `busy_timeout`, [`Code::LocalIo`],
    /// [`Code::DiskFull`].
    pub(crate) async fn open(
        folder: &Path,
        name: &str,
        busy_timeout: Duration,
        resume: bool,
    ) -> Result<Self> {
        let path = shared_path(folder, name);
        if !resume
            && let Err(error) = open_own(&path, OFlags::RDWR)
            && error.code() == Code::UnsafePartial
        {
            remove(&path)?;
        }
        let folder = Arc::new(open_folder(folder)?);
        let locked = lock(&path, &folder, busy_timeout).await?;
        let (file, now) = (Arc::new(locked.file), Instant::now());
        let mut partial = Self {
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
            earlier: None,
            publication: locked.publication,
        };
        if resume {
            partial.earlier = Sidecar::read(partial.sidecar.path())?.map(Box::new);
        }
        if partial.earlier.is_none() {
            partial.remove_sidecar_durably()?;
            if locked.metadata.len() > 0 {
                partial.truncate_file()?;
            }
        }
        if locked.metadata.mode() & 0o777 != 0o600 {
            partial.set_mode(0o600)?; // a crash during publication leaves it readable by others
        }
        Ok(partial)
    }

    /// Resumes where an earlier run stopped: reads the bytes in the file, and keeps those whose CRC is as the
    /// sidecar says. `watcher` sees the progress of a check that takes long.
    ///
    /// # Errors
    /// [`Code::LocalIo`] when the file cannot be read.
    pub(crate) async fn resume(&mut self, watcher: &mut dyn Watcher) -> Result<()> {
        let Some(sidecar) = self.earlier.take() else {
            return Ok(());
        };
        let file = Arc::clone(&self.file);
        let checked = intact_extents(file, sidecar.extents, watcher).await;
        self.extents = checked.map_err(|error| Error::io("read", &self.path, &error))?;
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
            };
            self.refused = sidecar.refused;
        }
        self.truncate_file()
    }

    /// Whether a file exists at the path of the partial `name` in `folder`, of its sidecar, or of a
    /// temporary file of the sidecar.
    pub(crate) fn exists(folder: &Path, name: &str) -> bool {
        let path = shared_path(folder, name);
        let sidecar = path.with_extension("json");
        let paths = [temporary_path(&sidecar), sidecar, path];
        paths
            .iter()
            .any(|path| std::fs::symlink_metadata(path).is_ok())
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
                file,
                metadata,
                publication: publication.or_else(|| Publication::of_renamed(held, path)),
            });
        }
        let name = publication::finish(path, &metadata, folder)?;
        publication = Some(Publication {
            file: FileIdentity::of(&metadata),
            finished_as: Some(name.ok_or_else(|| refused(path, HAS_ANOTHER_NAME))?),
        });
    }
}
