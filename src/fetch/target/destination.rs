//! The target of one document: its name, and what the name becomes when another file has it.

use crate::current_document::warn_of_document;
use crate::error::{Error, Result};
use crate::fetch::partial::{Partial, Publication};
use crate::fetch::target::check::{Finding, TargetCheck, TargetState, target_exists};
use crate::fetch::target::claimed_paths::ClaimedPaths;
use crate::fetch::target::fitting::fitted;
use crate::fetch::target::folder_check;
use crate::fetch::target::name_order::NameTicket;
use crate::fetch::target::naming;
use crate::fetch::target::options::TargetOptions;
use crate::fetch::target::writable::{self, Replaceable};
use crate::model::DocumentId;
use crate::secret::contains_secret;
use crate::state::files::{self, FileIdentity};
use crate::state::folder::{NameLimits, folder_of, or_current};
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many names with a number, and how many with the id, docfetch tries for one document.
const MAX_NAMES: u32 = 10_000;
/// How many bytes of an id a file name gets.
const MAX_ID_BYTES: usize = 64;

/// The target of one document.
#[derive(Debug)]
pub(crate) struct Destination<'a> {
    pub(super) options: Arc<TargetOptions>,
    pub(super) claimed: &'a ClaimedPaths,
    ticket: NameTicket<'a>,
    pub(super) id: &'a DocumentId,
    provider: &'a str,
    /// The target's path, once it is known.
    pub(super) target: Option<PathBuf>,
    /// The target's name without an id. `None` if the target has the user's name, or none yet.
    base_name: Option<String>,
    /// How many names with the id were tried.
    names_with_id: u32,
    /// The target's path without a number.
    pub(super) unnumbered: Option<PathBuf>,
    /// The files that other processes made, or are making, of this document.
    published: Vec<FileIdentity>,
    /// Whether the file that the document replaces can be replaced, as far as a check tells.
    pub(super) replaceable: Option<Replaceable>,
}

impl<'a> Destination<'a> {
    /// The target of the document `id` of `provider`. The path that the user gave is the target at once.
    /// Without one, the target is named later, in the order of the `ticket`.
    pub(crate) fn new(
        options: Arc<TargetOptions>,
        claimed: &'a ClaimedPaths,
        ticket: NameTicket<'a>,
        provider: &'a str,
        id: &'a DocumentId,
    ) -> Self {
        let file = options.file.as_ref();
        let target = file.map(|file| options.folder.join(file));
        if target.is_some() {
            ticket.release();
        }
        Self {
            options,
            claimed,
            ticket,
            id,
            provider,
            target,
            base_name: None,
            names_with_id: 0,
            unnumbered: None,
            published: Vec::new(),
            replaceable: None,
        }
    }

    /// The target's path, once it is known.
    pub(crate) fn target(&self) -> Option<&Path> {
        self.target.as_deref()
    }

    /// The target's file name, once it is known.
    pub(crate) fn file_name(&self) -> Option<String> {
        let name = self.target.as_deref().and_then(Path::file_name);
        name.map(|name| name.to_string_lossy().into_owned())
    }

    /// The folder of the target and of the partial.
    pub(crate) fn folder(&self) -> &Path {
        match &self.target {
            Some(target) => folder_of(target),
            None => or_current(&self.options.folder),
        }
    }

    /// Whether the target is a file with exactly two names (hard links).
    pub(crate) fn has_second_link(&self) -> bool {
        let found = self.target.as_deref().map(std::fs::symlink_metadata);
        found.is_some_and(|found| found.is_ok_and(|found| found.nlink() == 2))
    }

    /// Lets later documents of the batch take their names before this one.
    pub(crate) fn release_ticket(&self) {
        self.ticket.release();
    }

    /// Names the target, if the template needs no name from the storage.
    pub(crate) async fn name_without_storage(&mut self) {
        if !self.options.template.needs_name() {
            self.name_after(&naming::from_id(self.id, None)).await;
        }
    }

    /// Names the target after the name in the document's metadata, if that leaves a safe name.
    pub(crate) async fn name_after_metadata(&mut self, name: Option<&str>) {
        if let Some(name) = name.and_then(naming::safe) {
            self.name_after(&name).await;
        }
    }

    /// Names the target after a safe name, unless it has a name. Waits until all earlier documents of the
    /// batch have theirs. Returns whether the target has a new name.
    ///
    /// A name that holds a secret, which docfetch learned after it gave the name, is replaced by the id.
    pub(crate) async fn name_after(&mut self, safe_name: &str) -> bool {
        match &self.base_name {
            Some(name) if contains_secret(name) => {
                self.set_name(&naming::from_id(self.id, None));
                return true;
            }
            _ if self.target.is_some() => return false,
            _ => {}
        }
        self.ticket.wait_for_earlier().await;
        let template = &self.options.template;
        self.set_name(&template.file_name(self.id, safe_name, self.provider));
        self.ticket.release();
        true
    }

    /// Takes the path of `name`, as the file system takes it, or with the id in it, when another document of
    /// the batch has that path.
    fn set_name(&mut self, name: &str) {
        let name = fitted(&self.options.folder, |limits| naming::within(name, limits));
        let target = self.options.folder.join(&name);
        self.target = Some(if self.claimed.claim(&target, self.id.as_str()) {
            target
        } else {
            self.next_path_with_id(&name)
        });
        self.base_name = Some(name);
    }

    /// Notes a file that another process made of this document. A target with the same file counts as the
    /// document. If this process finished the publication, an unnamed target gets the file's name.
    pub(crate) async fn adopt_publication(&mut self, publication: Option<&Publication>) {
        self.published = publication.map_or_else(Vec::new, |publication| publication.files.clone());
        let finished = publication.and_then(|publication| publication.finished_as.as_ref());
        if self.target.is_none()
            && let Some(name) = finished
        {
            self.ticket.wait_for_earlier().await;
            let target = self.options.folder.join(name);
            self.claimed.claim(&target, self.id.as_str());
            self.target = Some(target);
            self.ticket.release();
        }
    }

    /// Checks the target, if it has a name. Changes the name as the user's options say, until the document
    /// can be written to the target, or the file at the target counts as the document.
    ///
    /// # Errors
    /// [`Code::TargetExists`] when the options allow no other name, or too many names are taken;
    /// [`Code::LocalIo`] when the system tells nothing of the target, or lets no file replace it.
    pub(crate) fn choose_name(&mut self) -> Result<TargetState> {
        loop {
            match self.check()? {
                Finding::Free => return Ok(TargetState::Writable),
                Finding::Replaces(replaceable) => {
                    self.replaceable = Some(replaceable);
                    return Ok(TargetState::Writable);
                }
                Finding::AlreadyThere => return Ok(TargetState::AlreadyThere),
                Finding::NeedsId => self.add_id()?,
                Finding::NeedsNumber => {
                    self.add_number()?;
                    return Ok(TargetState::Writable);
                }
            }
        }
    }

    /// Checks the target, and changes nothing.
    ///
    /// # Errors
    /// As [`TargetCheck::run`].
    pub(super) fn check(&self) -> Result<Finding> {
        let Some(target) = self.target.as_deref() else {
            return Ok(Finding::Free);
        };
        let check = TargetCheck {
            target,
            id: self.id,
            if_exists: self.options.if_exists,
            is_named_by_template: self.base_name.is_some(),
            claimed: self.claimed,
            published: &self.published,
        };
        check.run()
    }

    /// Gives the target the next name with the id.
    ///
    /// # Errors
    /// [`Code::TargetExists`] after 10,000 names with the id.
    pub(super) fn add_id(&mut self) -> Result<()> {
        if let Some(target) = self.target.as_deref()
            && self.names_with_id >= MAX_NAMES
        {
            return Err(too_many_copies(target));
        }
        let name = self.base_name.take().or_else(|| self.file_name());
        let name = name.unwrap_or_default();
        self.target = Some(self.next_path_with_id(&name));
        self.base_name = Some(name);
        Ok(())
    }

    /// The next path of `name` with the id before the extension that no other document of the batch has.
    fn next_path_with_id(&mut self, name: &str) -> PathBuf {
        let id = naming::from_id(self.id, None);
        let id = &id[..id.floor_char_boundary(MAX_ID_BYTES)];
        loop {
            self.names_with_id += 1;
            // Two ids may give the same text: if they begin alike, or differ only in case.
            let suffix = match self.names_with_id {
                1 => format!("--{id}"),
                number => format!("--{id} ({number})"),
            };
            let folder = self.folder();
            let name = fitted(folder, |limits| naming::with_suffix(name, &suffix, limits));
            let path = match &self.target {
                Some(target) => target.with_file_name(name),
                None => self.options.folder.join(name),
            };
            if self.claimed.claim(&path, self.id.as_str()) {
                return path;
            }
        }
    }

    /// Gives the target the first free number.
    ///
    /// # Errors
    /// [`Code::TargetExists`] if files with all numbers below 10,000 exist.
    fn add_number(&mut self) -> Result<()> {
        let Some(target) = self.target.clone() else {
            return Ok(());
        };
        let unnumbered = self.unnumbered.get_or_insert(target).clone();
        let name = unnumbered
            .file_name()
            .map(OsStr::to_string_lossy)
            .unwrap_or_default();
        for number in 2..MAX_NAMES {
            let suffix = format!(" ({number})");
            let name = fitted(self.folder(), |limits| {
                naming::with_suffix(&name, &suffix, limits)
            });
            let path = unnumbered.with_file_name(name);
            let is_free = std::fs::symlink_metadata(&path)
                .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
            if is_free && self.claimed.claim(&path, self.id.as_str()) {
                self.target = Some(path);
                return Ok(());
            }
        }
        Err(too_many_copies(&unnumbered))
    }

    /// Gives the target a name that every file system takes, because the file system refuses the present one
    /// with `error`.
    ///
    /// # Errors
    /// [`Code::LocalIo`] when the present name is already one of those.
    pub(super) fn replace_refused_name(&mut self, error: Error) -> Result<()> {
        let name = self.file_name().unwrap_or_default();
        let plain = naming::within(&name, &NameLimits::strictest());
        let Some(target) = self.target.take().filter(|_| plain != name) else {
            return Err(error);
        };
        let plain = target.with_file_name(plain);
        warn_of_document!(
            "{}: docfetch names the file {}",
            error.message(),
            plain.display()
        );
        self.base_name = plain
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let is_free = self.claimed.claim(&plain, self.id.as_str());
        self.target = Some(plain);
        if is_free { Ok(()) } else { self.add_id() }
    }

    /// Checks whether the file at the target can be replaced, where [`Destination::choose_name`] could not
    /// tell. `partial` is the partial of this document.
    ///
    /// # Errors
    /// [`Code::LocalIo`] when it cannot.
    pub(crate) fn check_replaceable(&mut self, partial: &Partial) -> Result<()> {
        match (&self.target, self.replaceable) {
            (Some(target), Some(Replaceable::Unknown)) => {
                writable::try_to_replace(target, &partial.spare_path())?;
                self.replaceable = Some(Replaceable::Yes);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Makes the folder, and the missing folders above it, durably.
    ///
    /// # Errors
    /// [`Code::LocalIo`].
    pub(crate) fn make_folder(&self) -> Result<()> {
        let folder = self.folder();
        files::make_folder(folder, 0o777)
            .map_err(|error| folder_check::not_a_folder(folder).unwrap_or(error))
    }
}

fn too_many_copies(target: &Path) -> Error {
    target_exists(target, "10,000 files with such names exist")
}
