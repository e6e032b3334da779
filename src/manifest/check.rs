//! Whether a file is still what a manifest says of it.

use crate::error::panics::Panic;
use crate::error::{Code, Error};
use crate::fetch::file_digest::sha256_of_file_while;
use crate::fetch::outcome::{Failure, with_bytes};
use crate::manifest::read::{ManifestEntry, sha256sum_line};
use serde::Serialize;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

/// A file that was looked at.
#[derive(Debug)]
pub(crate) struct CheckedFile<'a> {
    /// What the manifest says; its path can be opened from the current folder.
    pub entry: &'a ManifestEntry,
    /// What was found.
    pub result: Result<MatchingFile, Wrong>,
}

/// A file that is what its entry says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MatchingFile {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal, where it was computed.
    pub sha256: Option<String>,
}

/// What is wrong with a file; shown behind its path.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// Nothing has this name.
    Missing,
    /// A folder, a device, a pipe…
    NoPlainFile,
    /// It has another length, in bytes.
    Length {
        /// What it has.
        found: u64,
        /// What it must have.
        expected: u64,
    },
    /// It has another SHA-256.
    Digest,
    /// The system refuses to open or to read it.
    Unreadable(io::Error),
    /// docfetch made a mistake while it read it.
    Unchecked(Error),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::NoPlainFile => f.write_str("is no plain file"),
            Self::Length { found, expected } => {
                let unit = if *found == 1 { "byte" } else { "bytes" };
                write!(f, "has {found} {unit} instead of {expected}")
            }
            Self::Digest => f.write_str("its SHA-256 is another"),
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::Unchecked(error) => write!(f, "cannot be checked: {error}"),
        }
    }
}

impl From<Panic> for Wrong {
    fn from(panic: Panic) -> Self {
        Self::Unchecked(panic.to_error())
    }
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing,
            _ => Self::Unreadable(error),
        }
    }
}

/// Looks at the file of an entry: its length first, then its SHA-256, when the entry has one or
/// `digest` asks for it. `goes_on` is asked before each read; a check that ends early has no meaning.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn check_file(
    entry: &ManifestEntry,
    digest: bool,
    buffer: &mut [u8],
    goes_on: impl Fn() -> bool,
) -> Result<MatchingFile, Wrong> {
    let metadata = fs::metadata(&entry.path)?;
    if !metadata.is_file() {
        return Err(Wrong::NoPlainFile);
    }
    let bytes = metadata.len();
    if let Some(expected) = entry.bytes.filter(|expected| *expected != bytes) {
        let found = bytes;
        return Err(Wrong::Length { found, expected });
    }
    if !digest && entry.sha256.is_none() {
        let sha256 = None;
        return Ok(MatchingFile { bytes, sha256 });
    }
    let sha256 = sha256_of_file_while(&entry.path, buffer, goes_on)?;
    if entry.sha256.as_ref().is_some_and(|known| *known != sha256) {
        return Err(Wrong::Digest);
    }
    let sha256 = Some(sha256);
    Ok(MatchingFile { bytes, sha256 })
}

impl CheckedFile<'_> {
    /// What is wrong, as an error of the house.
    pub(crate) fn error(&self) -> Option<Error> {
        let wrong = self.result.as_ref().err()?;
        let code = match wrong {
            Wrong::Missing | Wrong::Length { .. } => Code::LengthMismatch,
            Wrong::Digest => Code::DigestMismatch,
            Wrong::NoPlainFile | Wrong::Unreadable(_) => Code::LocalIo,
            Wrong::Unchecked(_) => Code::Unexpected,
        };
        let error = Error::new(code, format!("{}: {wrong}", self.entry.path.display()));
        Some(match code {
            Code::LocalIo | Code::Unexpected => error,
            _ => error.with_hint("fetch the document again"),
        })
    }

    /// Its line in the form of sha256sum: with the digest that it must have, else with the one that it
    /// has. None when neither is known.
    pub(crate) fn sha256sum(&self) -> Option<Vec<u8>> {
        let found = self.result.as_ref().ok();
        let found = found.and_then(|found| found.sha256.as_ref());
        let sha256 = self.entry.sha256.as_ref().or(found)?;
        Some(sha256sum_line(sha256, &self.entry.path))
    }

    /// As scripts see it; `error` is [`CheckedFile::error`].
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
            error: error.map(Failure::from),
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
    #[serde(flatten, serialize_with = "with_bytes")]
    path: Option<PathBuf>,
    /// The name of the document, as the manifest says.
    name: Option<&'a str>,
    /// The length of the file in bytes; the length that the manifest says when the file is wrong.
    bytes: Option<u64>,
    /// The SHA-256 that the manifest says.
    sha256: Option<&'a str>,
    /// What is wrong with the file. Absent for a file that is right.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure<'a>>,
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

    /// Counts what is wrong, whatever it is: the files are not those of the manifest.
    pub(crate) fn add_wrong(&mut self, count: u64) {
        self.failed += count;
        if count > 0 {
            self.exit_code = Code::DigestMismatch.exit_code();
        }
    }
}
