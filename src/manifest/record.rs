//! Records in manifests: lines of JSON, as docfetch writes them.

use crate::fetch::outcome::path_from_bytes;
use crate::manifest::entry::{ManifestEntry, UnreadableLine, checked_path, checked_sha256};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::path::PathBuf;

#[derive(Deserialize)]
struct RecordType {
    #[serde(rename = "type")]
    name: String,
}

/// The record of a document: the fields that are read back.
#[derive(Deserialize)]
struct DocumentRecord {
    provider: Option<String>,
    id: Option<String>,
    resource: Option<String>,
    status: String,
    path: Option<PathBuf>,
    /// The path percent-encoded, if it is not UTF-8.
    path_bytes: Option<String>,
    name: Option<String>,
    bytes: Option<u64>,
    sha256: Option<String>,
}

/// Parses a record. `None` if the record names no file that a run wrote or found.
///
/// # Errors
/// The line is no record.
pub(super) fn parse(line: &[u8]) -> Result<Option<ManifestEntry>, UnreadableLine> {
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err(UnreadableLine); // serde reads a struct from an array as well
    }
    let kind: RecordType = serde_json::from_slice(line).map_err(|_| UnreadableLine)?;
    if kind.name != "document" {
        return Ok(None);
    }
    let record: DocumentRecord = serde_json::from_slice(line).map_err(|_| UnreadableLine)?;
    if !matches!(record.status.as_str(), "fetched" | "skipped") {
        return Ok(None);
    }
    let path = record.path_bytes.as_deref().map(path_from_bytes);
    let Some(path) = path.or(record.path) else {
        return Ok(None); // the document went to standard output
    };
    let sha256 = match record.sha256 {
        Some(text) => Some(checked_sha256(text.as_bytes())?),
        None => None,
    };
    Ok(Some(ManifestEntry {
        provider: record.provider,
        id: record.id,
        mirror_resource: record.resource,
        path: checked_path(path)?,
        name: record.name,
        bytes: record.bytes,
        sha256,
    }))
}

/// Whether a line is the beginning of a record, whose end a killed process did not write.
pub(super) fn is_torn(line: &[u8]) -> bool {
    let read = serde_json::from_slice::<IgnoredAny>(line);
    line.starts_with(b"{") && read.is_err_and(|error| error.is_eof())
}

/// Whether a line is a record that a run writes, or the beginning of one.
pub(super) fn is_of_run(line: &[u8]) -> bool {
    if !line.starts_with(b"{") {
        return false;
    }
    match serde_json::from_slice::<RecordType>(line) {
        Ok(kind) => ["document", "summary", "publishing"].contains(&kind.name.as_str()),
        Err(_) => line.starts_with(b"{\"ty") && is_torn(line),
    }
}
