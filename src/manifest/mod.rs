//! Manifests: JSON lines that name the files of earlier runs, with their lengths and SHA-256.

mod append;
mod check;
mod entry;
mod read;
mod record;
mod sha256sum;

/// docfetch's own folder in a mirror: it holds the mirror's manifest.
pub(crate) const MIRROR_FOLDER: &str = ".docfetch";

pub(crate) use append::{ManifestAppender, check_appendable, is_same_file};
pub(crate) use check::{CheckedFile, MatchingFile, VerifySummary, check_file};
pub(crate) use entry::ManifestEntry;
pub(crate) use read::{MAX_MANIFEST_LINE_BYTES, Manifest, ManifestForm, read};
