//! Whether a file is what a manifest says of it.

use crate::error::panics::Panic;
use crate::error::{Code, Error, system_text};
use crate::fetch::file_digest::sha256_of_file_while;
use crate::fetch::outcome::{ErrorRecord, serialize_path};
use crate::manifest::entry::ManifestEntry;
use crate::manifest::sha256sum;
use crate::state::normal_form::existing_form;
use serde::Serialize;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file that was checked.
#[derive(Debug)]
pub(crate) struct CheckedFile<'a> {
    /// What the manifest says. The path is relative to the current folder.
    pub entry: &'a ManifestEntry,
    /// What the check found.
    pub result: Result<MatchingFile, FileMismatch>,
}

/// A file that is what the manifest says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MatchingFile {
    /// The file's length in bytes.
    pub bytes: u64,
    /// The file's SHA-256 in hexadecimal, if the check computed it.
    pub sha256: Option<String>,
}

/// How a file differs from what the manifest says. Messages show it behind the file's path.
#[derive(Debug)]
pub(crate) enum FileMismatch {
    /// The file does not exist.
    Missing,
    /// A folder, a device or a pipe.
    NoPlainFile,
    /// The file has another length, in bytes.
    Length {
        /// The file's length.
        found: u64,
        /// The length that the manifest says.
        expected: u64,
    },
    /// The file has another SHA-256.
    Digest,
    /// The system does not let docfetch read the file.
    Unreadable(io::Error),
    /// docfetch panicked while it read the file.
    Unchecked(Error),
}

impl fmt::Display for FileMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::NoPlainFile => f.write_str("is no plain file"),
            Self::Length { found, expected } => {
                let unit = if *found == 1 { "byte" } else { "bytes" };
                write!(f, "has {found} {unit} instead of {expected}")
            }
            Self::Digest => f.write_str("its SHA-256 is another"),
            Self::Unreadable(error) => write!(f, "cannot be read: {}", system_text(error)),
            Self::Unchecked(error) => write!(f, "cannot be checked: {error}"),
        }
    }
}

impl From<Panic> for FileMismatch {
    fn from(panic: Panic) -> Self {
        Self::Unchecked(panic.to_error())
    }
}

impl From<io::Error> for FileMismatch {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing,
            _ => Self::Unreadable(error),
        }
    }
}

/// Compares a file with its entry: the length, and then the SHA-256, when the entry has one. A file whose name differs
/// only in its Unicode normal form counts. With `compute_sha256`, the SHA-256 is computed in any case. Reads through
/// `buffer`, and stops before the next read once `keep_reading` returns false; the result is then of no use.
///
/// # Errors
/// The difference.
pub(crate) fn check_file(
    entry: &ManifestEntry,
    compute_sha256: bool,
    buffer: &mut [u8],
    keep_reading: impl Fn() -> bool,
) -> Result<MatchingFile, FileMismatch> {
    let path = existing_form(Path::new(""), &entry.path);
    let metadata = fs::metadata(&path)?;
    if !metadata.is_file() {
        return Err(FileMismatch::NoPlainFile);
    }
    let bytes = metadata.len();
    if let Some(expected) = entry.bytes.filter(|expected| *expected != bytes) {
        let found = bytes;
        return Err(FileMismatch::Length { found, expected });
    }
    if !compute_sha256 && entry.sha256.is_none() {
        let sha256 = None;
        return Ok(MatchingFile { bytes, sha256 });
    }
    let sha256 = sha256_of_file_while(&path, buffer, keep_reading)?;
    if entry.sha256.as_ref().is_some_and(|known| *known != sha256) {
        return Err(FileMismatch::Digest);
    }
    let sha256 = Some(sha256);
    Ok(MatchingFile { bytes, sha256 })
}

impl CheckedFile<'_> {
    /// The difference as an error, if the file differs.
    pub(crate) fn error(&self) -> Option<Error> {
        let wrong = self.result.as_ref().err()?;
        let code = match wrong {
            FileMismatch::Missing | FileMismatch::Length { .. } => Code::LengthMismatch,
            FileMismatch::Digest => Code::DigestMismatch,
            FileMismatch::NoPlainFile | FileMismatch::Unreadable(_) => Code::LocalIo,
            FileMismatch::Unchecked(_) => Code::Unexpected,
        };
        let error = Error::new(code, format!("{}: {wrong}", self.entry.path.display()));
        Some(match code {
            Code::LocalIo | Code::Unexpected => error,
            _ => error.with_hint("fetch the document again"),
        })
    }

    /// The file's line in the form of sha256sum, without its end: with the SHA-256 of the manifest, or else
    /// that of the file. `None` if neither is known.
    pub(crate) fn sha256sum(&self) -> Option<Vec<u8>> {
        let found = self.result.as_ref().ok();
        let found = found.and_then(|found| found.sha256.as_ref());
        let sha256 = self.entry.sha256.as_ref().or(found)?;
        Some(sha256sum::line(sha256, &self.entry.path))
    }

    /// The JSON record. `error` is that of [`CheckedFile::error`].
    pub(crate) fn record<'a>(&'a self, error: Option<&'a Error>) -> CheckRecord<'a> {
        let found = self.result.as_ref().ok();
        CheckRecord {
            provider: self.entry.provider.as_deref(),
            id: self.entry.id.as_deref(),
            status: if found.is_some() {
                "verified"
            } else {
                "failed"
            },
            path: Some(self.entry.path.clone()),
            name: self.entry.name.as_deref(),
            bytes: found.map(|found| found.bytes).or(self.entry.bytes),
            sha256: self.entry.sha256.as_deref(),
            error: error.map(ErrorRecord::from),
        }
    }
}

/// The record of a file that docfetch checked. Unknown values are null.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "document")]
pub(crate) struct CheckRecord<'a> {
    /// The provider of the document, as the manifest says.
    provider: Option<&'a str>,
    /// The id of the document, as the manifest says.
    id: Option<&'a str>,
    /// `verified` or `failed`.
    status: &'static str,
    /// The path of the file.
    #[serde(flatten, serialize_with = "serialize_path")]
    path: Option<PathBuf>,
    /// The name of the document, as the manifest says.
    name: Option<&'a str>,
    /// The length of the file in bytes; the length that the manifest says when the file is wrong.
    bytes: Option<u64>,
    /// The SHA-256 that the manifest says.
    sha256: Option<&'a str>,
    /// What is wrong with the file. Absent for a file that is right.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorRecord<'a>>,
}

/// The last record of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "summary")]
pub(crate) struct VerifySummary {
    /// How many files are what the manifest says.
    pub verified: u64,
    /// How many files are not, and how many lines of the manifest cannot be read.
    pub failed: u64,
    /// The length of all verified files in bytes.
    pub bytes: u64,
    /// The time from the start of the run to its end, in milliseconds.
    pub elapsed_ms: u64,
    /// The exit code of the process.
    pub exit_code: u8,
}

impl VerifySummary {
    /// Counts a file.
    pub(crate) fn add(&mut self, checked: &CheckedFile<'_>) {
        match &checked.result {
            Ok(found) => {
                self.verified += 1;
                self.bytes += found.bytes;
            }
            Err(_) => self.add_wrong(1),
        }
    }

    /// Counts files or lines that are not as they must be.
    pub(crate) fn add_wrong(&mut self, count: u64) {
        self.failed += count;
        if count > 0 {
            self.exit_code = Code::DigestMismatch.exit_code();
        }
    }
}
