//! Whether a document may be written to its target. A check changes nothing.

use crate::error::{Code, Error, Result};
use crate::fetch::target::claimed_paths::ClaimedPaths;
use crate::fetch::target::fitting::check_path;
use crate::fetch::target::folder_check;
use crate::fetch::target::options::IfExists;
use crate::fetch::target::writable::{self, Replaceable};
use crate::model::DocumentId;
use crate::state::files::FileIdentity;
use crate::state::folder::current_metadata;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::Path;

/// Whether a document must be fetched to its target.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TargetState {
    /// The document can be written to the target.
    Writable,
    /// The file at the target counts as the document.
    AlreadyThere,
}

/// What a check finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// No file exists at the target, or one that docfetch compares with the document after the transfer.
    Free,
    /// The document replaces the file at the target.
    Replaces(Replaceable),
    /// The file at the target counts as the document.
    AlreadyThere,
    /// The file at the target is another document's, or has other content: the target's name needs the
    /// document's id.
    NeedsId,
    /// The target's name needs a number, because a file exists there.
    NeedsNumber,
}

/// A document and its target, for a check.
#[derive(Debug)]
pub(super) struct TargetCheck<'a> {
    pub target: &'a Path,
    pub id: &'a DocumentId,
    pub if_exists: IfExists,
    /// Whether docfetch made the target's name, not the user.
    pub is_named_by_template: bool,
    /// The targets of the batch.
    pub claimed: &'a ClaimedPaths,
    /// The files that other processes made, or are making, of this document.
    pub published: &'a [FileIdentity],
}

impl TargetCheck<'_> {
    /// Checks the target.
    ///
    /// # Errors
    /// [`Code::TargetExists`] when the user's options allow no other name, [`Code::LocalIo`] when the
    /// system tells nothing of the target, refuses its name, or lets no file replace it.
    pub(super) fn run(&self) -> Result<Finding> {
        if self.target.file_name().is_none() || ends_with_slash(self.target) {
            return Err(names_a_folder(self.target, "it names a folder"));
        }
        let found = match current_metadata(self.target) {
            Ok(found) => found,
            Err(error) if self.is_named_by_template && error.kind() == ErrorKind::NotFound => {
                return Ok(Finding::Free);
            }
            Err(error) => {
                let folder = self.target.parent().unwrap_or(self.target);
                if let Some(error) = folder_check::not_a_folder(folder) {
                    return Err(error);
                }
                check_path(self.target)?;
                return if error.kind() == ErrorKind::NotFound {
                    Ok(Finding::Free)
                } else {
                    Err(Error::io("look at", self.target, &error))
                };
            }
        };
        if self.published.contains(&FileIdentity::of(&found)) {
            return Ok(Finding::AlreadyThere);
        }
        if self.claimed.belongs_to_another(&found, self.id.as_str()) {
            // The file system takes the names of two documents of the batch for one.
            return Ok(Finding::NeedsId);
        }
        self.of_existing(found)
    }

    fn of_existing(&self, found: Metadata) -> Result<Finding> {
        // docfetch replaces a link, and not the file that the link leads to. But it treats a link to a
        // folder or a device as the folder or the device.
        let behind = std::fs::metadata(self.target).unwrap_or(found);
        match self.if_exists {
            IfExists::Rename => Ok(Finding::NeedsNumber),
            IfExists::Same { length } if self.is_named_by_template => {
                Ok(same_document(&behind, length))
            }
            _ if behind.is_dir() && !self.is_named_by_template => {
                Err(names_a_folder(self.target, "it is a folder"))
            }
            _ if behind.is_dir() => Err(target_exists(self.target, "it is a folder")
                .with_hint("choose another name with --name, or --if-exists rename")),
            _ if !(behind.is_file() || behind.is_symlink()) => {
                Err(target_exists(self.target, "it is not a plain file")
                    .with_hint("name another file; `-o -` writes to standard output"))
            }
            IfExists::Overwrite => writable::check_file(self.target).map(Finding::Replaces),
            IfExists::Skip => Ok(Finding::AlreadyThere),
            IfExists::Fail | IfExists::Same { .. } => Err(target_exists(
                self.target,
                "docfetch replaces a file only on request",
            )),
        }
    }
}

/// Whether the file `found` can be the document. `length` is given if the document's content must not be
/// fetched only for a comparison.
fn same_document(found: &Metadata, length: Option<u64>) -> Finding {
    match length {
        _ if !found.is_file() => Finding::NeedsId,
        None => Finding::Free, // the publication compares the content
        Some(length) if length == found.len() => Finding::AlreadyThere,
        Some(_) => Finding::NeedsId,
    }
}

fn ends_with_slash(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/")
}

fn names_a_folder(path: &Path, cause: &str) -> Error {
    let what = format!("cannot write the document to {}", path.display());
    Error::new(Code::TargetExists, what)
        .with_cause(cause)
        .with_hint("give a folder with --output-dir (-d); --output (-o) takes the path of a file")
}

/// The error of a target that exists.
pub(super) fn target_exists(path: &Path, cause: &str) -> Error {
    Error::new(Code::TargetExists, format!("{} exists", path.display())).with_cause(cause)
}
