//! Manifests: JSON lines that name the files of earlier runs, with their lengths and SHA-256.

mod append;
mod check;
mod read;

pub(crate) use append::ManifestAppender;
pub(crate) use check::{CheckedFile, MatchingFile, VerifySummary, check_file};
pub(crate) use read::{Manifest, ManifestEntry, ManifestForm, read};
