//! Publishing a complete partial: the file gets the document's name.

use crate::current_document::warn_of_document;
use crate::error::{Error, Result, system_text};
use crate::fetch::partial::partial_file::{Partial, taken_away};
use crate::fetch::partial::publication;
use crate::fetch::partial::same_file::has_same_bytes;
use crate::fetch::partial::write::warn_unsyncable;
use crate::state::files::{Renamed, is_unsyncable, remove, rename_without_replacing, sync_folder};
use crate::state::folder::FolderTraits;
use rustix::io::Errno;
use std::io;
use std::path::Path;

/// The result of a publication that did not fail.
#[derive(Debug)]
pub(crate) enum PublishEnd {
    /// The file has the target's name.
    Published,
    /// Another file has the target's name. The partial is unchanged.
    TargetExists(Box<Partial>),
    /// The file system refuses the target's name, with this error. The partial is unchanged.
    NameRefused(Box<Partial>, Error),
    /// Another file has the target's name and every byte of the document: another process, whose partial no
    /// lock shows, was faster. The partial is unchanged.
    SameExists(Box<Partial>),
}

impl Partial {
    /// Gives the complete file the name `target`: syncs it, sets the permissions that the umask allows, and
    /// renames it. Replaces an existing file only with `overwrite`. Calls `before_rename` when only the
    /// rename is missing.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::error::Code::LocalIo) when the file cannot be synced or renamed, and the
    /// error of `before_rename`. A file that could not be synced is removed, unless it replaced another
    /// one. A partial that could not be renamed is kept.
    pub(crate) fn publish(
        mut self,
        target: &Path,
        overwrite: bool,
        before_rename: impl FnOnce() -> Result<()>,
    ) -> Result<PublishEnd> {
        if let Err(error) = self.sync_for_publication() {
            self.discard()?;
            return Err(error);
        }
        if !self.has_its_name() {
            // Where each process has a partial of its own, the process that published removes older ones.
            if self.is_at(target) {
                return Ok(PublishEnd::SameExists(Box::new(self)));
            }
            return Err(taken_away(&self.path));
        }
        if let Err(error) = before_rename() {
            self.keep()?;
            return Err(error);
        }
        FolderTraits::of_file(&self.path)?.publish_mode(&self.file, &self.path)?;
        let is_partial_name_left = match self.rename(target, overwrite) {
            Ok(Renamed::Moved) => false,
            Ok(Renamed::Both(error)) => {
                warn_of_document!("{} stays: {}", self.path.display(), system_text(&error));
                true
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !overwrite => {
                self.set_mode(0o600)?;
                let is_same = self.is_at(target);
                let partial = Box::new(self);
                return Ok(if is_same {
                    PublishEnd::SameExists(partial)
                } else {
                    PublishEnd::TargetExists(partial)
                });
            }
            Err(error) => {
                self.set_mode(0o600)?;
                let failed = Error::io("create", target, &error);
                if is_name_refusal(&error) && self.has_its_name() {
                    return Ok(PublishEnd::NameRefused(Box::new(self), failed));
                }
                self.keep()?;
                return Err(failed);
            }
        };
        let synced = sync_folder(&self.folder, target);
        if !is_partial_name_left && let Err(error) = self.sidecar.remove() {
            warn_of_document!("a stale sidecar stays: {}", error.message());
        }
        if synced.is_ok() {
            self.remove_others();
        }
        match synced {
            Ok(()) => Ok(PublishEnd::Published),
            Err(error) if overwrite => {
                Err(error.with_hint("the file is there; check the disk before you trust it"))
            }
            Err(error) => {
                remove(target)?; // a power failure could remove the name
                Err(error)
            }
        }
    }

    /// Whether another process may have published the document at `target` without this one's notice, and the
    /// file there has the same bytes.
    fn is_at(&self, target: &Path) -> bool {
        self.own.is_some() && has_same_bytes(target, &self.file).unwrap_or(false)
    }

    fn sync_for_publication(&mut self) -> Result<()> {
        self.finish_background_sync()?;
        match self.file.sync_all() {
            Err(error) if is_unsyncable(&error) => {
                warn_unsyncable(&self.path, &error);
                Ok(())
            }
            synced => synced.map_err(|error| Error::io("sync", &self.path, &error)),
        }
    }

    fn rename(&mut self, target: &Path, overwrite: bool) -> io::Result<Renamed> {
        if overwrite {
            return replace(&self.path, target).map(|()| Renamed::Moved);
        }
        let Self { path, sidecar, .. } = self;
        rename_without_replacing(path, target, || {
            // If the note cannot be written, and a kill follows, the file keeps both names.
            sidecar.may_exist();
            if let Err(error) = publication::write_note(path, target) {
                log::info!("{}", error.message());
            }
        })
    }
}

/// Renames a file over an existing one. Where the file system refuses that twice, although `rename(2)` replaces
/// files, removes the existing file first. ntfs-3g refuses the second replacement of a file with a long name.
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    let rename = || std::fs::rename(from, to);
    let is_refusal = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
    match rename().or_else(|error| {
        if is_refusal(&error) {
            rename()
        } else {
            Err(error)
        }
    }) {
        Err(error) if is_refusal(&error) => {
            let why = system_text(&error);
            log::info!("{}: {why}; docfetch removes the file first", to.display());
            remove(to).map_err(|_| error)?;
            rename()
        }
        renamed => renamed,
    }
}

/// Whether a rename failed because of the new name.
fn is_name_refusal(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::NOENT | Errno::ILSEQ | Errno::NAMETOOLONG)
    )
}
