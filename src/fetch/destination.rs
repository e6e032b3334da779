//! Which file a document becomes, and whether it may be written.

use super::naming::{self, Template};
use super::partial::{Partial, Published};
use crate::error::{Code, Error, Result};
use crate::model::{DocumentId, locked};
use crate::state::files::{self, FileIdentity};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// What an existing target means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfExists {
    /// A failure.
    Fail,
    /// The document counts as fetched.
    Skip,
    /// It is replaced once the new one is whole.
    Overwrite,
    /// The new one gets a number: `name (2).ext`.
    Rename,
}

/// Where documents go, as the user asked for it.
#[derive(Clone, Debug)]
pub struct Wish {
    /// A file for a single document; relative to `folder`.
    pub file: Option<PathBuf>,
    /// The folder.
    pub folder: PathBuf,
    /// How files are named.
    pub template: Template,
    /// What an existing target means.
    pub if_exists: IfExists,
}

/// Targets that documents of this batch have taken: two never share a file.
#[derive(Debug, Default)]
pub struct Taken(Mutex<HashMap<String, DocumentId>>);

impl Taken {
    /// Takes `path` for `id`, unless another document has it. Compared without case: file systems
    /// differ.
    fn take(&self, path: &Path, id: &DocumentId) -> bool {
        let key = path.to_string_lossy().to_lowercase();
        let mut taken = locked(&self.0);
        taken.entry(key).or_insert_with(|| id.clone()) == id
    }
}

/// Whether a target is free.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// It can be written.
    Free,
    /// It is there, and that is as wished.
    Skip,
}

/// One document's file.
#[derive(Debug)]
pub struct Destination<'a> {
    wish: &'a Wish,
    taken: &'a Taken,
    id: &'a DocumentId,
    provider: &'a str,
    target: Option<PathBuf>,
    /// The target before it got a number.
    unnumbered: Option<PathBuf>,
    published_meanwhile: Option<FileIdentity>,
}

impl<'a> Destination<'a> {
    /// The file that was asked for, or one to be named later.
    pub fn new(wish: &'a Wish, taken: &'a Taken, provider: &'a str, id: &'a DocumentId) -> Self {
        let mut destination = Self {
            wish,
            taken,
            id,
            provider,
            target: wish.file.as_ref().map(|file| wish.folder.join(file)),
            unnumbered: None,
            published_meanwhile: None,
        };
        if !wish.template.needs_name() {
            destination.name(&naming::from_id(id, None));
        }
        destination
    }

    /// The target, once it is known.
    pub fn target(&self) -> Option<&Path> {
        self.target.as_deref()
    }

    /// The target's own name.
    pub fn file_name(&self) -> Option<String> {
        let name = self.target.as_deref().and_then(Path::file_name);
        name.map(|name| name.to_string_lossy().into_owned())
    }

    /// The folder that target and partial share.
    pub fn folder(&self) -> &Path {
        let folder = match &self.target {
            Some(target) => target.parent(),
            None => Some(self.wish.folder.as_path()),
        };
        folder
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
    }

    /// Names the target by what is known before the storage is asked, if that leaves a safe name.
    pub fn name_by(&mut self, name: Option<&str>) {
        if let Some(name) = name.and_then(naming::safe) {
            self.name(&name);
        }
    }

    /// Notes a file that another process published while this one waited: wherever that is the
    /// target, the document is there.
    pub fn published_meanwhile(&mut self, file: Option<FileIdentity>) {
        self.published_meanwhile = file;
    }

    /// Names the target after a safe name, unless it has one.
    pub fn name(&mut self, safe_name: &str) {
        if self.target.is_some() {
            return;
        }
        let name = self
            .wish
            .template
            .file_name(self.id, safe_name, self.provider);
        let mut target = self.wish.folder.join(&name);
        let own = naming::from_id(self.id, None);
        let own = &own[..own.floor_char_boundary(64)];
        let mut number = 1;
        while !self.taken.take(&target, self.id) {
            // Ids can be alike, too: in their first letters, or but for case.
            let suffix = match number {
                1 => format!("--{own}"),
                _ => format!("--{own} ({number})"),
            };
            target = self.wish.folder.join(naming::with_suffix(&name, &suffix));
            number += 1;
        }
        self.target = Some(target);
    }

    /// Looks whether the target, if it is known, may be written. With `rename` it may change here.
    ///
    /// # Errors
    /// [`Code::TargetExists`], and [`Code::LocalIo`] when it cannot even be looked at.
    pub fn look(&mut self) -> Result<Standing> {
        let Some(target) = self.target.clone() else {
            return Ok(Standing::Free);
        };
        if target.file_name().is_none() || ends_like_folder(&target) {
            let what = format!("cannot write to {}", target.display());
            return Err(Error::new(Code::TargetExists, what)
                .why("it names a folder")
                .hint("name a file, or give the folder with --output-dir"));
        }
        let found = match std::fs::symlink_metadata(&target) {
            Ok(found) => found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Standing::Free);
            }
            Err(error) => return Err(Error::io("look at", &target, &error)),
        };
        if self.published_meanwhile == Some(FileIdentity::of(&found)) {
            return Ok(Standing::Skip);
        }
        // A link is replaced, not followed; but one to a device or a folder is no file to replace.
        let behind = std::fs::metadata(&target).unwrap_or(found.clone());
        let replaceable = behind.is_file() || behind.is_symlink();
        match self.wish.if_exists {
            IfExists::Rename => {
                let unnumbered = self.unnumbered.get_or_insert(target).clone();
                self.target = Some(self.renamed(&unnumbered)?);
                Ok(Standing::Free)
            }
            _ if !replaceable => Err(exists(&target, "it is not a plain file")
                .hint("name another file; `-o -` writes to standard output")),
            IfExists::Overwrite => Ok(Standing::Free),
            IfExists::Skip => Ok(Standing::Skip),
            IfExists::Fail => Err(exists(
                &target,
                "nothing is overwritten without being asked",
            )),
        }
    }

    /// The first free numbered name.
    fn renamed(&self, target: &Path) -> Result<PathBuf> {
        let name = target
            .file_name()
            .map(OsStr::to_string_lossy)
            .unwrap_or_default();
        for number in 2..10_000 {
            let path = target.with_file_name(naming::with_suffix(&name, &format!(" ({number})")));
            let free = std::fs::symlink_metadata(&path)
                .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
            if free && self.taken.take(&path, self.id) {
                return Ok(path);
            }
        }
        Err(exists(target, "so do thousands of numbered copies of it"))
    }

    /// Makes the folder, and what is missing above it; each lasts before anything is put into it.
    ///
    /// # Errors
    /// [`Code::LocalIo`].
    pub fn make_folder(&self) -> Result<()> {
        files::make_folder(self.folder(), 0o777)
    }

    /// Whether `bytes` more fit onto the disk.
    ///
    /// # Errors
    /// [`Code::DiskFull`] when they do not.
    pub fn has_room(&self, bytes: u64) -> Result<()> {
        let folder = self.folder();
        let Ok(disk) = rustix::fs::statvfs(folder) else {
            return Ok(()); // the write will tell
        };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if bytes <= free {
            return Ok(());
        }
        Err(Error::new(
            Code::DiskFull,
            format!("no room for the document in {}", folder.display()),
        )
        .why(format!("{bytes} bytes are needed, {free} are free")))
    }

    /// Gives a complete partial its final name. A target that came up meanwhile counts as any other.
    ///
    /// # Errors
    /// [`Code::TargetExists`]; [`Code::LocalIo`] when the file system refuses.
    pub fn publish(&mut self, mut partial: Partial) -> Result<Standing> {
        loop {
            let Some(target) = self.target.clone() else {
                return Err(Error::new(
                    Code::Unexpected,
                    "a document without a name was to be published",
                ));
            };
            let overwrite = self.wish.if_exists == IfExists::Overwrite;
            match partial.publish(&target, overwrite)? {
                Published::Done => return Ok(Standing::Free),
                Published::Exists(back) => partial = *back,
            }
            match self.look() {
                Ok(Standing::Free) => {}
                Ok(Standing::Skip) => {
                    partial.discard()?;
                    return Ok(Standing::Skip);
                }
                Err(error) => {
                    partial.keep()?;
                    return Err(error);
                }
            }
        }
    }
}

fn ends_like_folder(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

fn exists(path: &Path, why: &str) -> Error {
    Error::new(Code::TargetExists, format!("{} exists", path.display())).why(why)
}
