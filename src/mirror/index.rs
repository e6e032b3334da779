//! What the manifest of a mirror says: the documents of the mirror, and those whose publication was under
//! way when a process ended.

use crate::error::{Code, Error, Result};
use crate::fetch::partial::remove_partial_link;
use crate::fetch::target::naming;
use crate::manifest::{MAX_MANIFEST_LINE_BYTES, MIRROR_FOLDER};
use crate::mirror::entry::{DocumentVersion, MirrorEntry};
use crate::state::blocking;
use crate::state::files::{open_own, remove, temporary_path};
use crate::state::normal_form::existing_form;
use crate::text::counted;
use rustix::fs::OFlags;
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};

/// docfetch rewrites a manifest that has more lines than twice its documents, and this many more.
const MAX_OUTDATED_LINES: usize = 200;
/// The type of the line that is written right before a document gets its name.
pub(super) const PUBLISHING: &str = "publishing";

/// What tells the documents of a mirror apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct DocumentKey {
    pub provider: String,
    /// The kind of the provider's resource; empty for a provider with only one.
    pub resource: String,
    pub id: String,
}

/// The last line of a document.
#[derive(Debug)]
struct IndexedEntry {
    entry: MirrorEntry,
    /// The line's number in the manifest, from 1 on.
    line: usize,
}

/// The documents of a mirror.
#[derive(Debug, Default)]
pub(super) struct MirrorIndex {
    entries: HashMap<DocumentKey, IndexedEntry>,
    /// Documents whose last line says that their publication was about to begin.
    pending: HashMap<DocumentKey, MirrorEntry>,
    line_count: usize,
    /// The paths that are ignored, because docfetch never makes such paths.
    unsafe_paths: UnsafePaths,
}

#[derive(Debug, Default)]
struct UnsafePaths {
    count: usize,
    first: Option<PathBuf>,
}

/// A line of the manifest: the fields that are read back.
#[derive(Deserialize)]
struct ManifestLine {
    r#type: String,
    provider: Option<String>,
    id: Option<String>,
    #[serde(default)]
    resource: Option<String>,
    status: Option<String>,
    path: Option<PathBuf>,
    bytes: Option<u64>,
    sha256: Option<String>,
    #[serde(flatten)]
    version: DocumentVersion,
}

/// A line that is no line of a manifest.
pub(super) struct NotAManifestLine;

impl MirrorIndex {
    /// Reads the manifest at `path`. Returns an empty index if the file does not exist.
    ///
    /// # Errors
    /// [`Code::LocalIo`] when the manifest cannot be read, or is not a manifest of docfetch;
    /// [`Code::UnsafePartial`] when it is not a plain file of this user.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let mut index = Self::default();
        if std::fs::symlink_metadata(path).is_err() {
            return Ok(index);
        }
        let mut unreadable = 0;
        let mut reader = LineReader::open(path)?;
        while let Some(line) = reader.next()? {
            index.line_count += 1;
            if !line.is_empty() && index.add(&line).is_err() {
                unreadable += 1;
            }
        }
        if unreadable > 0 {
            let unreadable = counted(unreadable, "line");
            log::warn!("{unreadable} of {} cannot be read", path.display());
        }
        if let UnsafePaths {
            count,
            first: Some(first),
        } = &index.unsafe_paths
        {
            log::warn!(
                "docfetch ignores {} of {}, because it never makes a path such as {}",
                counted(*count, "line"),
                path.display(),
                first.display()
            );
        }
        Ok(index)
    }

    /// The entry of a document.
    pub(super) fn get(&self, key: &DocumentKey) -> Option<&MirrorEntry> {
        self.entries.get(key).map(|indexed| &indexed.entry)
    }

    /// All entries, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&DocumentKey, &MirrorEntry)> {
        let entries = self.entries.iter();
        entries.map(|(key, indexed)| (key, &indexed.entry))
    }

    /// Adds a line, the last one that was read.
    pub(super) fn add(&mut self, line: &[u8]) -> Result<(), NotAManifestLine> {
        let line: ManifestLine = serde_json::from_slice(line).map_err(|_| NotAManifestLine)?;
        let (Some(provider), Some(id)) = (line.provider, line.id) else {
            return Ok(()); // not of a document
        };
        let key = DocumentKey {
            provider,
            resource: line.resource.unwrap_or_default(),
            id,
        };
        let has_file = matches!(line.status.as_deref(), Some("fetched" | "skipped"));
        let (Some(path), Some(bytes), true) = (line.path, line.bytes, has_file) else {
            return Ok(());
        };
        // Another program may have written the line: docfetch touches only paths that it would make.
        if !stays_inside(&path) {
            return Err(NotAManifestLine);
        }
        if !is_safe(&path) {
            self.unsafe_paths.count += 1;
            self.unsafe_paths.first.get_or_insert(path);
            return Ok(());
        }
        let entry = MirrorEntry {
            path,
            bytes,
            sha256: line.sha256,
            version: line.version,
        };
        if line.r#type == PUBLISHING {
            self.pending.insert(key, entry);
        } else {
            self.pending.remove(&key);
            self.insert(key, entry);
        }
        Ok(())
    }

    fn insert(&mut self, key: DocumentKey, entry: MirrorEntry) {
        let line = self.line_count;
        self.entries.insert(key, IndexedEntry { entry, line });
    }

    /// Finds out by their SHA-256 which of the pending documents got their names in `folder`. Returns the
    /// lines that the manifest lacks for them.
    pub(super) async fn settle_pending(&mut self, folder: &Path) -> Vec<serde_json::Value> {
        let mut missing_lines = Vec::new();
        for (key, entry) in std::mem::take(&mut self.pending) {
            let path = folder.join(existing_form(folder, &entry.path));
            let expected = entry.clone();
            let check = blocking::run(move || {
                let is_there = expected.is_at(&path);
                if is_there && let Err(error) = remove_partial_link(&path) {
                    log::warn!("a stale partial stays: {}", error.message());
                }
                is_there
            });
            if !check.await {
                continue;
            }
            missing_lines.push(serde_json::json!({
                "type": "document", "provider": key.provider, "id": key.id, "status": "fetched",
                "path": entry.path, "bytes": entry.bytes, "sha256": entry.sha256,
                "resource": key.resource, "modified": entry.version.modified,
                "size": entry.version.size,
            }));
            self.line_count += 1;
            self.insert(key, entry);
        }
        missing_lines
    }

    /// Writes the manifest at `path` anew, if many of its lines do not count: only with the lines that do.
    ///
    /// # Errors
    /// [`Code::LocalIo`], [`Code::DiskFull`]. The manifest is unchanged then.
    pub(super) fn compact(&self, path: &Path) -> Result<()> {
        if self.line_count <= 2 * self.entries.len() + MAX_OUTDATED_LINES {
            return Ok(());
        }
        let counts: HashSet<usize> = self.entries.values().map(|indexed| indexed.line).collect();
        let fresh = temporary_path(path);
        remove(&fresh)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
        let mut written = BufWriter::new(open_own(&fresh, flags)?);
        let mut reader = LineReader::open(path)?;
        let mut number = 0;
        let failed = |error: io::Error| Error::io("write", &fresh, &error);
        while let Some(mut line) = reader.next()? {
            number += 1;
            if counts.contains(&number) {
                line.push(b'\n');
                written.write_all(&line).map_err(failed)?;
            }
        }
        let file = written.into_inner().map_err(|error| failed(error.into()))?;
        std::fs::metadata(path)
            .and_then(|old| file.set_permissions(old.permissions()))
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&fresh, path))
            .map_err(failed)
    }
}

/// Reads the lines of a manifest.
struct LineReader<'a> {
    path: &'a Path,
    file: BufReader<File>,
}

impl<'a> LineReader<'a> {
    /// Opens the manifest at `path`, if it is a plain file of this user.
    fn open(path: &'a Path) -> Result<Self> {
        let file = BufReader::new(open_own(path, OFlags::RDONLY)?);
        Ok(Self { path, file })
    }

    /// The next line without its end. `None` at the end of the manifest. A line that is too long comes as a
    /// text that is no line of a manifest.
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let failed = |error: io::Error| Error::io("read", self.path, &error);
        let mut line = Vec::new();
        let file = &mut self.file;
        let read = file
            .by_ref()
            .take(MAX_MANIFEST_LINE_BYTES as u64)
            .read_until(b'\n', &mut line);
        let read = read.map_err(failed)?;
        if read == MAX_MANIFEST_LINE_BYTES && !line.ends_with(b"\n") {
            if !line.starts_with(b"{") {
                return Err(not_a_manifest(self.path));
            }
            file.skip_until(b'\n').map_err(failed)?;
            line = b"too long".to_vec();
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        Ok((read > 0).then_some(line))
    }
}

fn not_a_manifest(path: &Path) -> Error {
    Error::new(Code::LocalIo, format!("cannot read {}", path.display()))
        .with_cause("a line has more than a million characters")
        .with_hint("move the file away, unless it is a manifest of docfetch")
}

/// Whether a relative path stays in its folder, and leads into no folder of docfetch's own.
fn stays_inside(path: &Path) -> bool {
    let mut parts = path.components().peekable();
    parts
        .peek()
        .is_some_and(|first| first.as_os_str() != MIRROR_FOLDER)
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Whether every component of a path is a safe name.
fn is_safe(path: &Path) -> bool {
    let mut parts = path.iter();
    parts.all(|part| part.to_str().is_some_and(naming::is_safe))
}
