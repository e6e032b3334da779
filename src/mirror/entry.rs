//! A document of a mirror: its file, and which version of the document the file is.

use crate::fetch::file_digest::sha256_of_file;
use crate::fetch::outcome::{Outcome, Status};
use crate::model::DocumentId;
use crate::resolve::Row;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The version of a document, as a row of the listing tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DocumentVersion {
    /// When the document was changed last, as the provider writes times.
    #[serde(default)]
    pub modified: Option<String>,
    /// The length in bytes, if rows have one.
    #[serde(default)]
    pub size: Option<u64>,
}

impl DocumentVersion {
    /// The version that a row lists.
    pub(crate) fn of(row: &Row) -> Self {
        Self {
            modified: row.modified.clone(),
            size: row.size,
        }
    }

    /// A text that differs between two versions of one document.
    pub(crate) fn identity(&self) -> String {
        let modified = self.modified.as_deref().unwrap_or_default();
        format!("{modified}\n{}", self.size.unwrap_or_default())
    }
}

/// A document of the mirror, as the manifest describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MirrorEntry {
    /// The file's path, relative to the mirror's folder.
    pub path: PathBuf,
    /// The file's length in bytes.
    pub bytes: u64,
    /// The file's SHA-256 in hexadecimal. `None` if an existing file counts as the document because of its
    /// length.
    pub sha256: Option<String>,
    /// The version that the file is.
    pub version: DocumentVersion,
}

/// What became of a document's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The file is as it was written.
    Unchanged,
    /// The file was changed.
    Changed,
    /// The file does not exist.
    Missing,
}

impl MirrorEntry {
    /// What became of the file at `path`: compares its length, and with `compare_sha256` its content.
    pub(super) fn presence(&self, path: &Path, compare_sha256: bool) -> Presence {
        if std::fs::symlink_metadata(path).is_err() {
            return Presence::Missing;
        }
        let is_unchanged = if compare_sha256 {
            self.is_at(path)
        } else {
            self.has_length(path)
        };
        if is_unchanged {
            Presence::Unchanged
        } else {
            Presence::Changed
        }
    }

    /// Whether the file at `path` has the length of this document and, where it is known, the SHA-256.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let expected = self.sha256.as_deref();
        self.has_length(path)
            && expected
                .is_none_or(|expected| sha256_of_file(path).is_ok_and(|found| found == expected))
    }

    fn has_length(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == self.bytes)
    }

    /// The outcome of a document whose file is in the mirror's `folder`, and which docfetch does not fetch.
    pub(crate) fn outcome(
        &self,
        status: Status,
        provider: &str,
        id: DocumentId,
        folder: &Path,
    ) -> Outcome {
        let name = self.path.file_name();
        Outcome {
            path: Some(folder.join(&self.path)),
            name: name.map(|name| name.to_string_lossy().into_owned()),
            bytes: Some(self.bytes),
            sha256: self.sha256.clone(),
            ..Outcome::new(provider, id, status)
        }
    }
}
