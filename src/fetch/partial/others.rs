//! The partials of a document that other processes write, or that earlier runs left, in a folder where each
//! process has a partial of its own.

use crate::active_time;
use crate::current_document::warn_of_document;
use crate::error::{Code, Error, Result};
use crate::fetch::partial::moved::FindPartials;
use crate::fetch::partial::publication::{self, Publication};
use crate::fetch::partial::sidecar::Sidecar;
use crate::fetch::partial::unfinished::UnfinishedPartial;
use crate::fetch::partial::written::is_written_here;
use crate::state::files::{
    AllowedNames, FileIdentity, HAS_ANOTHER_NAME, is_lasting_refusal, open_named, refused, remove,
};
use rustix::fs::OFlags;
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{File, Metadata, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The first pause between two checks of a partial that another process holds. Each further pause is twice as
/// long.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(1);
/// The longest pause between two checks.
const MAX_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// A longer wait for another process is logged.
const NOTICEABLE_WAIT: Duration = Duration::from_millis(500);

/// Bytes that an earlier run left.
#[derive(Debug)]
pub(super) struct Earlier {
    /// Which bytes there are.
    pub sidecar: Sidecar,
    /// When the partial that has them changed last.
    pub modified: SystemTime,
    /// The partial that has them. `None` for the partial's own file.
    pub source: Option<OtherPartial>,
}

impl Earlier {
    /// Bytes in the partial's own file, whose metadata is `file`.
    pub(super) fn of_own_file(sidecar: Sidecar, file: &Metadata) -> Self {
        Self {
            sidecar,
            modified: file.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            source: None,
        }
    }
}

/// A partial of another process, or of an earlier run.
#[derive(Debug)]
pub(super) struct OtherPartial {
    pub path: PathBuf,
    pub file: Arc<File>,
    /// Whether only a process that holds the partial's lock can still write the partial.
    pub is_certainly_left: bool,
}

/// The other partials of a document.
#[derive(Debug, Default)]
pub(super) struct OtherPartials {
    /// What a run can resume.
    pub earlier: Vec<Earlier>,
    /// The other partials' files. A file at the target that is one of them is the document.
    pub publication: Option<Publication>,
    /// The files themselves. While they are open, the system gives their inode numbers to no other file.
    pub files: Vec<Arc<File>>,
}

/// Where and how to look for the other partials of a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct OtherPartialsQuery<'a> {
    /// The folder.
    pub folder: &'a Path,
    /// The same folder, open.
    pub opened: &'a File,
    /// The document's name in the names of partials.
    pub document: &'a str,
    /// What finds the partials.
    pub find: FindPartials,
    /// How long to wait for a process that holds the lock of its partial.
    pub busy_timeout: Duration,
    /// Whether to refuse files that docfetch did not make; else docfetch removes them.
    pub resume: bool,
}

impl OtherPartialsQuery<'_> {
    /// Looks for the other partials. Waits while another process holds the lock of one: where a lock excludes
    /// that process, its transfer is under way. Finishes a publication that a killed process left.
    ///
    /// # Errors
    /// [`Code::Busy`] when a process holds a lock for longer than the timeout; [`Code::UnsafePartial`];
    /// [`Code::LocalIo`].
    pub(super) async fn run(self) -> Result<OtherPartials> {
        let began = active_time::now();
        let mut interval = MIN_POLL_INTERVAL;
        let mut logged = false;
        let mut seen = OtherPartials::default();
        loop {
            let Some(held) = self.check(&mut seen)? else {
                return Ok(seen);
            };
            let waited = active_time::since(began);
            if waited >= self.busy_timeout {
                let what = "another process is fetching this document";
                let cause = format!("it holds {}", held.path.display());
                return Err(Error::new(Code::Busy, what).with_cause(cause));
            }
            if !logged && waited > NOTICEABLE_WAIT {
                warn_of_document!("another process is fetching this document; waiting for it");
                logged = true;
            }
            tokio::time::sleep(interval).await;
            interval = (interval * 2).min(MAX_POLL_INTERVAL);
        }
    }

    /// Checks the other partials once, and finishes a publication that a killed process left. Returns a partial
    /// whose lock another process holds.
    fn check(self, seen: &mut OtherPartials) -> Result<Option<UnfinishedPartial>> {
        let mut resumable = Vec::new();
        for found in (self.find)(self.folder, self.document)? {
            let Some(file) = self.open(&found)? else {
                continue;
            };
            // A shared lock: two processes that check at the same time do not take one another for writers.
            let lock = file.try_lock_shared();
            if is_written_here(&found.path) || matches!(lock, Err(TryLockError::WouldBlock)) {
                seen.note(&file, None);
                return Ok(Some(found));
            }
            let _ = file.unlock();
            let metadata = file.metadata();
            let metadata = metadata.map_err(|error| Error::io("read", &found.path, &error))?;
            if metadata.nlink() >= 2 {
                let name = publication::finish(&found.path, &metadata, self.opened)?;
                if name.is_none() && std::fs::symlink_metadata(&found.path).is_ok() {
                    if self.resume {
                        return Err(refused(&found.path, HAS_ANOTHER_NAME));
                    }
                    remove(&found.path)?;
                    continue;
                }
                seen.note(&file, name); // without a name, another process finished the publication
                continue;
            }
            let file = seen.note(&file, None);
            let is_certainly_left = found.is_certainly_left();
            if let Some(sidecar) = found.sidecar
                && sidecar.noted_bytes() > 0
            {
                let source = Some(OtherPartial {
                    path: found.path,
                    file,
                    is_certainly_left,
                });
                resumable.push(Earlier {
                    sidecar,
                    modified: found.modified,
                    source,
                });
            }
        }
        seen.earlier = resumable;
        Ok(None)
    }

    /// Opens another partial. `None` when it is no longer there.
    fn open(self, found: &UnfinishedPartial) -> Result<Option<Arc<File>>> {
        let path = &found.path;
        match open_named(path, OFlags::RDWR, AllowedNames::Two) {
            Ok(file) => Ok(Some(Arc::new(file))),
            Err(error) if error.code() == Code::UnsafePartial && !self.resume => {
                remove(path)?;
                Ok(None)
            }
            Err(_) if std::fs::symlink_metadata(path).is_err() => Ok(None),
            // The mount shows it as a file of this user, and lets only another user open it.
            Err(error) if error.code() == Code::LocalIo && is_lasting_refusal(&error) => {
                log::info!("docfetch passes over a partial: {}", error.message());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl OtherPartials {
    /// Notes the file of another partial, and the name under which this process has published it.
    fn note(&mut self, file: &Arc<File>, finished_as: Option<OsString>) -> Arc<File> {
        let publication = self.publication.get_or_insert_default();
        if let Ok(metadata) = file.metadata() {
            let identity = FileIdentity::of(&metadata);
            if !publication.files.contains(&identity) {
                publication.files.push(identity);
                self.files.push(Arc::clone(file));
            }
        }
        publication.finished_as = finished_as.or(publication.finished_as.take());
        Arc::clone(file)
    }
}

/// The order in which to try to resume: first the version of the document that the latest partial is of, and
/// of one version the partial with the most bytes.
pub(super) fn in_order(mut resumable: Vec<Earlier>) -> VecDeque<Earlier> {
    let latest = resumable.iter().max_by_key(|earlier| earlier.modified);
    let latest = latest.map(|earlier| earlier.sidecar.etag.clone());
    resumable.sort_by_key(|Earlier { sidecar, .. }| {
        let is_latest = latest.as_ref() == Some(&sidecar.etag);
        Reverse((is_latest, sidecar.noted_bytes()))
    });
    resumable.into()
}

/// Removes the partials that were `found` and that no process writes any more; `now` is the time of the clock of
/// the file system. A failure is only logged.
pub(crate) fn remove_left(found: Result<Vec<UnfinishedPartial>>, now: SystemTime) {
    let removed = found.and_then(|found| {
        for partial in found
            .iter()
            .filter(|partial| !is_written_here(&partial.path))
        {
            if !partial.remove(now)? {
                log::info!("{} stays: its process may run", partial.path.display());
            }
        }
        Ok(())
    });
    if let Err(error) = removed {
        warn_of_document!("a stale partial stays: {}", error.message());
    }
}
