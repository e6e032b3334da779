//! Which file a document becomes, and whether it may be written.

use crate::error::{Code, Error, Result};
use crate::fetch::file_digest::sha256_of_file;
use crate::fetch::partial::{Partial, Publication, PublishEnd};
use crate::fetch::target::claimed_paths::ClaimedPaths;
use crate::fetch::target::name_order::NameTicket;
use crate::fetch::target::naming::{self, Template};
use crate::fetch::target::writable::{self, Replaceable};
use crate::model::DocumentId;
use crate::secret::is_in;
use crate::state::blocking;
use crate::state::files::{self, FileIdentity};
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// The document counts as there when the file is the same, else it gets its id into its name. The
    /// same is a file with the same bytes; where fetching them may cost, one that has `length` already.
    Same {
        /// The length of a document that is not fetched only to be compared.
        length: Option<u64>,
    },
}

/// Where documents go, as the user asked for it.
#[derive(Clone, Debug)]
pub struct TargetOptions {
    /// A file for a single document; relative to `folder`.
    pub file: Option<PathBuf>,
    /// The folder.
    pub folder: PathBuf,
    /// How files are named.
    pub template: Template,
    /// What an existing target means.
    pub if_exists: IfExists,
}

/// Told of a target right before a document gets its name there.
pub(crate) type BeforePublish = Arc<dyn Fn(&Path) -> Result<()> + Send + Sync>;

/// So many files may be in the way of one name.
const COPIES: u32 = 10_000;

/// Whether a target is free.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TargetState {
    /// It can be written.
    Writable,
    /// It is there, and that is as wished.
    AlreadyThere,
}

/// One document's file.
#[derive(Debug)]
pub(crate) struct Destination<'a> {
    target_options: Arc<TargetOptions>,
    claimed: &'a ClaimedPaths,
    ticket: NameTicket<'a>,
    id: &'a DocumentId,
    provider: &'a str,
    target: Option<PathBuf>,
    /// The target's name before it was changed because another one has it.
    wanted_name: Option<String>,
    /// How often it was.
    asides: u32,
    /// The target before it got a number.
    unnumbered: Option<PathBuf>,
    published_meanwhile: Option<FileIdentity>,
    /// Whether a target that is to be replaced can be, where that is known.
    replaceable: Option<Replaceable>,
}

impl<'a> Destination<'a> {
    /// The file that was asked for, or one to be named when its `turn` comes.
    pub(crate) fn new(
        target_options: Arc<TargetOptions>,
        claimed: &'a ClaimedPaths,
        ticket: NameTicket<'a>,
        provider: &'a str,
        id: &'a DocumentId,
    ) -> Self {
        let target = target_options
            .file
            .as_ref()
            .map(|file| target_options.folder.join(file));
        if target.is_some() {
            ticket.release();
        }
        Self {
            target_options,
            claimed,
            ticket,
            id,
            provider,
            target,
            wanted_name: None,
            asides: 0,
            unnumbered: None,
            published_meanwhile: None,
            replaceable: None,
        }
    }

    /// Names the target at once where the document's own name does not matter.
    pub(crate) async fn name_without_storage(&mut self) {
        if !self.target_options.template.needs_name() {
            self.name_after(&naming::from_id(self.id, None)).await;
        }
    }

    /// Lets later documents take their names before this one.
    pub(crate) fn release_ticket(&self) {
        self.ticket.release();
    }

    /// The target, once it is known.
    pub(crate) fn target(&self) -> Option<&Path> {
        self.target.as_deref()
    }

    /// The target's own name.
    pub(crate) fn file_name(&self) -> Option<String> {
        let name = self.target.as_deref().and_then(Path::file_name);
        name.map(|name| name.to_string_lossy().into_owned())
    }

    /// The folder that target and partial share.
    pub(crate) fn folder(&self) -> &Path {
        let folder = match &self.target {
            Some(target) => target.parent(),
            None => Some(self.target_options.folder.as_path()),
        };
        folder
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
    }

    /// Whether the target is there, and has another name, too.
    pub(crate) fn has_second_link(&self) -> bool {
        let found = self.target.as_deref().map(std::fs::symlink_metadata);
        found.is_some_and(|found| found.is_ok_and(|found| found.nlink() == 2))
    }

    /// Names the target by what is known before the storage is asked, if that leaves a safe name.
    pub(crate) async fn name_after_metadata(&mut self, name: Option<&str>) {
        if let Some(name) = name.and_then(naming::safe) {
            self.name_after(&name).await;
        }
    }

    /// Notes a file that another process made of the document: wherever that is the target, the
    /// document is there. A target that has no name yet is the file whose publication was finished.
    pub(crate) async fn adopt_publication(&mut self, publication: Option<&Publication>) {
        self.published_meanwhile = publication.map(|publication| publication.file);
        let finished = publication.and_then(|publication| publication.finished_as.as_ref());
        if self.target.is_none()
            && let Some(name) = finished
        {
            self.ticket.wait_for_earlier().await;
            let target = self.target_options.folder.join(name);
            self.claimed.claim(&target, self.id.as_str());
            self.target = Some(target);
            self.ticket.release();
        }
    }

    /// Names the target after a safe name, unless it has one; waits for those who asked earlier. A name
    /// that was given before a secret in it was known is given up for the id. Returns whether the target
    /// is a new one.
    pub(crate) async fn name_after(&mut self, safe_name: &str) -> bool {
        match &self.wanted_name {
            Some(name) if is_in(name) => {
                let id = naming::from_id(self.id, None);
                let target = self.target_options.folder.join(&id);
                self.target = Some(if self.claimed.claim(&target, self.id.as_str()) {
                    target
                } else {
                    self.with_id(&id)
                });
                self.wanted_name = Some(id);
                return true;
            }
            _ if self.target.is_some() => return false,
            _ => {}
        }
        self.ticket.wait_for_earlier().await;
        let template = &self.target_options.template;
        let name = template.file_name(self.id, safe_name, self.provider);
        let mut target = self.target_options.folder.join(&name);
        if !self.claimed.claim(&target, self.id.as_str()) {
            target = self.with_id(&name);
        }
        self.wanted_name = Some(name);
        self.target = Some(target);
        self.ticket.release();
        true
    }

    /// The next path with the id before the extension that no other document has.
    fn with_id(&mut self, name: &str) -> PathBuf {
        let own = naming::from_id(self.id, None);
        let own = &own[..own.floor_char_boundary(64)];
        loop {
            self.asides += 1;
            // Ids can be alike, too: in their first letters, or but for case.
            let suffix = match self.asides {
                1 => format!("--{own}"),
                number => format!("--{own} ({number})"),
            };
            let name = naming::with_suffix(name, &suffix);
            let path = match &self.target {
                Some(target) => target.with_file_name(name),
                None => self.target_options.folder.join(name),
            };
            if self.claimed.claim(&path, self.id.as_str()) {
                return path;
            }
        }
    }

    /// Leaves a file that is not this document's alone, and goes beside it.
    ///
    /// # Errors
    /// [`Code::TargetExists`], when there are very many such files.
    fn step_aside(&mut self) -> Result<()> {
        match (&self.target, self.wanted_name.clone()) {
            (Some(target), _) if self.asides >= COPIES => {
                Err(exists(target, "so do thousands of numbered copies of it"))
            }
            (_, Some(name)) => {
                self.target = Some(self.with_id(&name));
                Ok(())
            }
            (_, None) => Ok(()),
        }
    }

    /// Looks whether the target, if it is known, may be written. With `rename` it may change here.
    ///
    /// # Errors
    /// [`Code::TargetExists`], and [`Code::LocalIo`] when it cannot even be looked at.
    pub(crate) fn choose_name(&mut self) -> Result<TargetState> {
        let Some(target) = self.target.clone() else {
            return Ok(TargetState::Writable);
        };
        if target.file_name().is_none() || ends_like_folder(&target) {
            let what = format!("cannot write to {}", target.display());
            return Err(Error::new(Code::TargetExists, what)
                .with_cause("it names a folder")
                .with_hint("name a file, or give the folder with --output-dir"));
        }
        let found = match std::fs::symlink_metadata(&target) {
            Ok(found) => found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(TargetState::Writable);
            }
            Err(error) => return Err(Error::io("look at", &target, &error)),
        };
        if self.published_meanwhile == Some(FileIdentity::of(&found)) {
            return Ok(TargetState::AlreadyThere);
        }
        if self.claimed.belongs_to_another(&found, self.id.as_str()) {
            // The disk takes two names of this batch for one.
            let name = self.wanted_name.take().or_else(|| self.file_name());
            self.wanted_name = name;
            self.step_aside()?;
            return self.choose_name();
        }
        // A link is replaced, not followed; but one to a device or a folder is no file to replace.
        let behind = std::fs::metadata(&target).unwrap_or(found.clone());
        let replaceable = behind.is_file() || behind.is_symlink();
        match self.target_options.if_exists {
            IfExists::Rename => {
                let unnumbered = self.unnumbered.get_or_insert(target).clone();
                self.target = Some(self.renamed(&unnumbered)?);
                Ok(TargetState::Writable)
            }
            IfExists::Same { length } if self.wanted_name.is_some() => {
                let same_length = length == Some(behind.len());
                match (behind.is_file(), length) {
                    (true, None) => Ok(TargetState::Writable), // compared when it is here
                    (true, Some(_)) if same_length => Ok(TargetState::AlreadyThere),
                    _ => {
                        self.step_aside()?;
                        self.choose_name()
                    }
                }
            }
            _ if !replaceable => Err(exists(&target, "it is not a plain file")
                .with_hint("name another file; `-o -` writes to standard output")),
            IfExists::Overwrite => {
                self.replaceable = Some(writable::look_at(&target)?);
                Ok(TargetState::Writable)
            }
            IfExists::Skip => Ok(TargetState::AlreadyThere),
            IfExists::Fail | IfExists::Same { .. } => Err(exists(
                &target,
                "nothing is overwritten without being asked",
            )),
        }
    }

    /// Whether what was found is another document of this batch.
    fn belongs_to_another(&self, found: std::io::Result<Metadata>) -> bool {
        found.is_ok_and(|found| self.claimed.belongs_to_another(&found, self.id.as_str()))
    }

    /// Makes sure that the target can be replaced where a look does not tell. `partial` is of this
    /// document.
    ///
    /// # Errors
    /// [`Code::LocalIo`], when it cannot.
    pub(crate) fn check_replaceable(&mut self, partial: &Partial) -> Result<()> {
        match (&self.target, self.replaceable) {
            (Some(target), Some(Replaceable::Unsure)) => {
                writable::try_to_replace(target, &partial.spare_path())?;
                self.replaceable = Some(Replaceable::Yes);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The first free numbered name.
    fn renamed(&self, target: &Path) -> Result<PathBuf> {
        let name = target
            .file_name()
            .map(OsStr::to_string_lossy)
            .unwrap_or_default();
        for number in 2..COPIES {
            let path = target.with_file_name(naming::with_suffix(&name, &format!(" ({number})")));
            let free = std::fs::symlink_metadata(&path)
                .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
            if free && self.claimed.claim(&path, self.id.as_str()) {
                return Ok(path);
            }
        }
        Err(exists(target, "so do thousands of numbered copies of it"))
    }

    /// Makes the folder, and what is missing above it; each lasts before anything is put into it.
    ///
    /// # Errors
    /// [`Code::LocalIo`].
    pub(crate) fn make_folder(&self) -> Result<()> {
        files::make_folder(self.folder(), 0o777)
    }

    /// Whether `bytes` more fit onto the disk.
    ///
    /// # Errors
    /// [`Code::DiskFull`] when they do not.
    pub(crate) fn check_free_space(&self, bytes: u64) -> Result<()> {
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
        .with_cause(format!("{bytes} bytes are needed, {free} are free")))
    }

    /// Gives a complete partial its final name, in a thread of its own where others are `beside` it:
    /// then their disk accesses go on together. A target that came up meanwhile counts as any other.
    /// `sha256` is of the document, where it is known.
    ///
    /// # Errors
    /// [`Code::TargetExists`]; [`Code::LocalIo`] when the file system refuses; what `announce` says.
    pub(crate) async fn publish(
        &mut self,
        mut partial: Partial,
        sha256: Option<&str>,
        announce: Option<&BeforePublish>,
        beside: bool,
    ) -> Result<TargetState> {
        loop {
            let Some(target) = self.target.clone() else {
                return Err(Error::new(
                    Code::Unexpected,
                    "a document without a name was to be published",
                ));
            };
            let found = || std::fs::symlink_metadata(&target);
            let overwrite = self.target_options.if_exists == IfExists::Overwrite;
            if !overwrite || !self.belongs_to_another(found()) {
                self.claimed
                    .record_file(partial.identity(), self.id.as_str());
                match publish(partial, &target, overwrite, announce, beside).await? {
                    PublishEnd::Published => return Ok(TargetState::Writable),
                    PublishEnd::TargetExists(back) => partial = *back,
                }
                let other = self.belongs_to_another(found());
                if !other && matches!(self.target_options.if_exists, IfExists::Same { .. }) {
                    let there = blocking::run(move || sha256_of_file(&target)).await.ok();
                    if sha256.is_some() && sha256 == there.as_deref() {
                        partial.discard()?;
                        return Ok(TargetState::AlreadyThere);
                    }
                    self.step_aside()?;
                    continue;
                }
            }
            match self.choose_name() {
                Ok(TargetState::Writable) => {}
                Ok(TargetState::AlreadyThere) => {
                    partial.discard()?;
                    return Ok(TargetState::AlreadyThere);
                }
                Err(error) => {
                    partial.keep()?;
                    return Err(error);
                }
            }
        }
    }
}

async fn publish(
    partial: Partial,
    target: &Path,
    overwrite: bool,
    announce: Option<&BeforePublish>,
    beside: bool,
) -> Result<PublishEnd> {
    let (there, announce) = (target.to_path_buf(), announce.cloned());
    let beside = beside && !partial.is_in_memory();
    let publish = move || {
        partial.publish(&there, overwrite, || {
            announce.map_or(Ok(()), |announce| announce(&there))
        })
    };
    if !beside {
        return publish();
    }
    blocking::run(publish).await
}

fn ends_like_folder(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

fn exists(path: &Path, why: &str) -> Error {
    Error::new(Code::TargetExists, format!("{} exists", path.display())).with_cause(why)
}
