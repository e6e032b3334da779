//! A mirror: a folder that holds the documents of a listing, and what is known of them.
//!
//! `.docfetch/manifest.jsonl` in it has a line for each document that ended there, with paths relative
//! to the folder; the last one of a document counts. Right before a document gets its name, a line of
//! type `publishing` is on disk: when the process ends between the two, the next run finds by its digest
//! what became of it. So every file of the mirror is known, whenever it was killed, and nothing that is
//! there is fetched again.

use crate::error::{Code, Error, Result};
use crate::fetch::file_digest::sha256_of_file;
use crate::fetch::outcome::{Outcome, Status};
use crate::fetch::partial::remove_partial_link;
use crate::fetch::target::naming;
use crate::manifest::ManifestAppender;
use crate::model::DocumentId;
use crate::resolve::row::Row;
use crate::state::blocking;
use crate::state::files::{fresh, make_folder, open_own, remove, sync_names};
use crate::state::lock::Lock;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// The folder below a mirror's that is docfetch's.
const OWN: &str = ".docfetch";
const MANIFEST: &str = "manifest.jsonl";
/// A manifest is written anew once it has so many lines more than twice the documents.
const SURPLUS: usize = 200;

/// What tells one version of a document from another, as its row says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DocumentVersion {
    /// When it was changed.
    #[serde(default)]
    pub modified: Option<String>,
    /// Its length in bytes, where rows have it.
    #[serde(default)]
    pub size: Option<u64>,
}

impl DocumentVersion {
    /// A text that other versions do not have.
    pub(crate) fn identity(&self) -> String {
        let modified = self.modified.as_deref().unwrap_or_default();
        format!("{modified}\n{}", self.size.unwrap_or_default())
    }

    /// The version that a row lists.
    pub(crate) fn of(row: &Row) -> Self {
        Self {
            modified: row.modified.clone(),
            size: row.size,
        }
    }
}

/// A document of the mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MirrorEntry {
    /// Where it is, relative to the mirror's folder.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal; none of a file that was taken for the document by its length.
    pub sha256: Option<String>,
    /// Which version it is.
    pub version: DocumentVersion,
}

/// A line of the manifest, as far as it is read back.
#[derive(Deserialize)]
struct Line {
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

/// A line of the manifest, as it is written.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    outcome: &'a Outcome,
    resource: &'a str,
    #[serde(flatten)]
    version: &'a DocumentVersion,
}

/// Provider, kind of resource, id.
type Key = (String, String, String);

/// What the manifest says.
#[derive(Debug, Default)]
struct Known {
    entries: HashMap<Key, (MirrorEntry, usize)>,
    /// About to be published when the process ended.
    pending: HashMap<Key, MirrorEntry>,
    lines: usize,
    /// How many entries are not believed for their paths, and the first of these.
    unsafe_paths: (usize, Option<PathBuf>),
}

/// A mirror that is being brought up to date.
#[derive(Debug)]
pub(crate) struct Mirror {
    folder: PathBuf,
    resource: &'static str,
    entries: HashMap<Key, (MirrorEntry, usize)>,
    /// None in a dry run.
    manifest: Option<ManifestAppender>,
    _lock: Option<Lock>,
}

impl Mirror {
    /// Opens the mirror in `folder`, for documents of the kind `resource`; waits up to `patience` for
    /// another process that works on it. A dry run (`look` only) touches nothing.
    ///
    /// # Errors
    /// [`Code::Busy`], and what keeps its manifest from being read or written.
    pub(crate) async fn open(
        folder: &Path,
        resource: &'static str,
        patience: Duration,
        look: bool,
    ) -> Result<Self> {
        let own = folder.join(OWN);
        let path = own.join(MANIFEST);
        let mut held = None;
        if own.is_symlink() {
            let what = format!("refused to use {}", own.display());
            return Err(Error::new(Code::UnsafePartial, what)
                .with_cause("it is a symbolic link")
                .with_hint("remove it, or mirror into another folder"));
        }
        if !look {
            make_folder(&own, 0o777)?;
            let what = "mirroring into this folder";
            held = Some(Lock::take(own.join("lock"), patience, what).await?);
        }
        let mut known = Known::read(&path)?;
        let settled = known.settle(folder).await;
        let mut manifest = None;
        if !look {
            let appender = ManifestAppender::own(&path)?;
            for line in settled {
                appender.append(&line)?;
            }
            known.compact(&path)?;
            manifest = Some(ManifestAppender::own(&path)?); // it may be another file by now
            sync_names(&own)?;
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            resource,
            entries: known.entries,
            manifest,
            _lock: held,
        })
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is known of a document.
    pub(crate) fn entry(&self, provider: &str, id: &str) -> Option<&MirrorEntry> {
        let key = (provider.to_owned(), self.resource.to_owned(), id.to_owned());
        self.entries.get(&key).map(|(entry, _)| entry)
    }

    /// Every path of the mirror, with the id of its document; of a document of another provider or kind
    /// with more than that.
    pub(crate) fn claimed(&self, provider: &str) -> impl Iterator<Item = (PathBuf, String)> {
        self.entries.iter().map(move |(key, (entry, _))| {
            let (of, resource, id) = key;
            let own = of == provider && resource == self.resource;
            let id = if own {
                id.clone()
            } else {
                format!("{of}\n{resource}\n{id}")
            };
            (self.folder.join(&entry.path), id)
        })
    }

    /// Whether a document is there as it was written: its length, and its digest where `digest` is
    /// wanted.
    pub(crate) fn holds(&self, entry: &MirrorEntry, digest: bool) -> Presence {
        let path = self.folder.join(&entry.path);
        if std::fs::symlink_metadata(&path).is_err() {
            return Presence::Missing;
        }
        let right = if digest {
            entry.is_at(&path)
        } else {
            has_length(&path, entry.bytes)
        };
        if right {
            Presence::Right
        } else {
            Presence::Wrong
        }
    }

    /// Whether a document's file is in the mirror itself, and not behind a link in it, which may lead to
    /// anything.
    pub(crate) fn is_direct(&self, entry: &MirrorEntry) -> bool {
        let above = entry.path.ancestors().skip(1);
        above
            .map(|folder| self.folder.join(folder))
            .take_while(|folder| *folder != self.folder.join(""))
            .all(|folder| !folder.is_symlink())
    }

    /// Notes a document that is about to get its name; that lasts.
    ///
    /// # Errors
    /// What keeps the line from being written.
    pub(crate) fn publishing(&self, outcome: &Outcome, version: &DocumentVersion) -> Result<()> {
        let Some(manifest) = &self.manifest else {
            return Ok(());
        };
        let mut line = serde_json::to_value(self.line(&self.relative(outcome), version))
            .map_err(|error| Error::io("write", &self.folder, &error.into()))?;
        line["type"] = "publishing".into();
        manifest.append(&line)?;
        manifest.sync()
    }

    /// Notes a document that ended here.
    ///
    /// # Errors
    /// What keeps the line from being written.
    pub(crate) fn note(&self, outcome: &Outcome, version: &DocumentVersion) -> Result<()> {
        match &self.manifest {
            Some(manifest) => manifest.append(&self.line(&self.relative(outcome), version)),
            None => Ok(()),
        }
    }

    /// What is appended for documents that failed.
    pub(crate) fn manifest(&self) -> Option<&ManifestAppender> {
        self.manifest.as_ref()
    }

    fn line<'a>(&self, outcome: &'a Outcome, version: &'a DocumentVersion) -> Written<'a> {
        Written {
            outcome,
            resource: self.resource,
            version,
        }
    }

    fn relative(&self, outcome: &Outcome) -> Outcome {
        let path = outcome.path.as_deref();
        let path = path.map(|path| {
            path.strip_prefix(&self.folder)
                .unwrap_or(path)
                .to_path_buf()
        });
        Outcome {
            path,
            ..outcome.clone()
        }
    }
}

/// How a document of the mirror is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// As it was written.
    Right,
    /// Changed since.
    Wrong,
    /// Not there.
    Missing,
}

impl Known {
    fn read(path: &Path) -> Result<Self> {
        let mut known = Self::default();
        if std::fs::symlink_metadata(path).is_err() {
            return Ok(known);
        }
        let mut unreadable = 0;
        let mut lines = lines(path)?;
        while let Some(line) = lines.next(path)? {
            known.lines += 1;
            if !line.is_empty() && known.claim(&line).is_none() {
                unreadable += 1;
            }
        }
        if unreadable > 0 {
            log::warn!("{unreadable} lines of {} cannot be read", path.display());
        }
        if let (count, Some(first)) = &known.unsafe_paths {
            log::warn!(
                "{count} lines of {} are ignored: docfetch makes no such path as {}",
                path.display(),
                first.display()
            );
        }
        Ok(known)
    }

    /// Takes in a line; none when it cannot be one.
    fn claim(&mut self, line: &[u8]) -> Option<()> {
        let line: Line = serde_json::from_slice(line).ok()?;
        let (Some(provider), Some(id)) = (line.provider, line.id) else {
            return Some(());
        };
        let key = (provider, line.resource.unwrap_or_default(), id);
        let there = matches!(line.status.as_deref(), Some("fetched" | "skipped"));
        let (Some(path), Some(bytes), true) = (line.path, line.bytes, there) else {
            return Some(());
        };
        // Whoever made the manifest: nothing is touched because of it that docfetch would not have made.
        if !is_inside(&path) {
            return None;
        }
        if !is_safe(&path) {
            self.unsafe_paths.0 += 1;
            self.unsafe_paths.1.get_or_insert(path);
            return Some(());
        }
        let entry = MirrorEntry {
            path,
            bytes,
            sha256: line.sha256,
            version: line.version,
        };
        if line.r#type == "publishing" {
            self.pending.insert(key, entry);
        } else {
            self.pending.remove(&key);
            self.entries.insert(key, (entry, self.lines));
        }
        Some(())
    }

    /// Finds out which documents got their names before the process that gave them ended; returns the
    /// lines that are missing.
    async fn settle(&mut self, folder: &Path) -> Vec<serde_json::Value> {
        let mut missing = Vec::new();
        for (key, entry) in std::mem::take(&mut self.pending) {
            let (path, sought) = (folder.join(&entry.path), entry.clone());
            let looking = blocking::run(move || {
                let is_there = sought.is_at(&path);
                if is_there && let Err(error) = remove_partial_link(&path) {
                    log::warn!("a stale partial stays: {}", error.message());
                }
                is_there
            });
            if !looking.await {
                continue;
            }
            let (provider, resource, id) = &key;
            missing.push(serde_json::json!({
                "type": "document", "provider": provider, "id": id, "status": "fetched",
                "path": entry.path, "bytes": entry.bytes, "sha256": entry.sha256,
                "resource": resource, "modified": entry.version.modified, "size": entry.version.size,
            }));
            self.lines += 1;
            self.entries.insert(key, (entry, self.lines));
        }
        missing
    }

    /// Writes the manifest anew without the lines that count no more, once there are many.
    fn compact(&mut self, path: &Path) -> Result<()> {
        if self.lines <= 2 * self.entries.len() + SURPLUS {
            return Ok(());
        }
        let keep: HashSet<usize> = self.entries.values().map(|(_, line)| *line).collect();
        let fresh = fresh(path);
        remove(&fresh)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
        let mut written = BufWriter::new(open_own(&fresh, flags)?);
        let mut lines = lines(path)?;
        let mut number = 0;
        let failed = |error: io::Error| Error::io("write", &fresh, &error);
        while let Some(mut line) = lines.next(path)? {
            number += 1;
            if keep.contains(&number) {
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

/// A record of a manifest that is longer, in bytes, is passed over: it is not read into memory.
const LONGEST: u64 = 1 << 20;

/// The lines of a manifest.
struct Lines(BufReader<File>);

/// The lines of the manifest at `path`, which is a plain file of this user's and no link.
fn lines(path: &Path) -> Result<Lines> {
    Ok(Lines(BufReader::new(open_own(path, OFlags::RDONLY)?)))
}

impl Lines {
    fn next(&mut self, path: &Path) -> Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let read = self.0.by_ref().take(LONGEST).read_until(b'\n', &mut line);
        let read = read.map_err(|error| Error::io("read", path, &error))?;
        if read as u64 == LONGEST && !line.ends_with(b"\n") {
            if !line.starts_with(b"{") {
                let what = format!("cannot read {}", path.display());
                return Err(Error::new(Code::LocalIo, what)
                    .with_cause("a line has more than a million characters")
                    .with_hint("move it away, if it is no manifest of docfetch"));
            }
            let skipped = self.0.skip_until(b'\n');
            skipped.map_err(|error| Error::io("read", path, &error))?;
            line = b"too long".to_vec(); // it cannot be read, and counts as such
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        Ok((read > 0).then_some(line))
    }
}

fn has_length(path: &Path, bytes: u64) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == bytes)
}

/// Whether a path stays below the folder that it is relative to, and is none of docfetch's own.
fn is_inside(path: &Path) -> bool {
    let mut parts = path.components().peekable();
    parts.peek().is_some_and(|first| first.as_os_str() != OWN)
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Whether each part of a path is a safe name.
fn is_safe(path: &Path) -> bool {
    let mut parts = path.iter();
    parts.all(|part| part.to_str().is_some_and(naming::is_safe))
}

impl MirrorEntry {
    /// Whether the document is in the file at `path`, as far as its length and its digest tell.
    fn is_at(&self, path: &Path) -> bool {
        let wanted = self.sha256.as_deref();
        has_length(path, self.bytes)
            && wanted.is_none_or(|wanted| sha256_of_file(path).is_ok_and(|found| found == wanted))
    }

    /// The outcome of a document that is there already.
    pub(crate) fn skipped(&self, provider: &'static str, id: DocumentId, folder: &Path) -> Outcome {
        let name = self.path.file_name();
        Outcome {
            path: Some(folder.join(&self.path)),
            name: name.map(|name| name.to_string_lossy().into_owned()),
            bytes: Some(self.bytes),
            sha256: self.sha256.clone(),
            ..Outcome::new(provider, id, Status::Skipped)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, id: &str, path: &str, modified: &str) -> String {
        serde_json::json!({
            "type": kind, "provider": "sm", "id": id, "status": "fetched", "path": path,
            "bytes": 3, "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "resource": "documents", "modified": modified, "size": null,
        })
        .to_string()
            + "\n"
    }

    async fn open(folder: &Path) -> Mirror {
        Mirror::open(folder, "documents", Duration::ZERO, false)
            .await
            .unwrap()
    }

    fn written(folder: &Path, lines: &[String]) {
        std::fs::create_dir_all(folder.join(OWN)).unwrap();
        std::fs::write(folder.join(OWN).join(MANIFEST), lines.concat()).unwrap();
    }

    #[tokio::test]
    async fn what_was_being_published_is_known_by_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        written(
            folder,
            &[
                line("document", "1", "a", "old"),
                line("publishing", "1", "a", "new"),
                line("publishing", "2", "b", "new"),
                line("publishing", "3", "c", "new"),
            ],
        );
        std::fs::write(folder.join("a"), "abc").unwrap();
        std::fs::write(folder.join("b"), "xyz").unwrap();
        let known = |mirror: &Mirror, id| {
            let entry = mirror.entry("sm", id);
            entry.and_then(|entry| entry.version.modified.clone())
        };
        for _ in 0..2 {
            let mirror = open(folder).await;
            assert_eq!(known(&mirror, "1").as_deref(), Some("new"));
            assert_eq!((known(&mirror, "2"), known(&mirror, "3")), (None, None));
        }
        std::fs::write(folder.join("a"), "abx").unwrap();
        written(
            folder,
            &[
                line("document", "1", "a", "old"),
                line("publishing", "1", "a", "new"),
            ],
        );
        assert_eq!(known(&open(folder).await, "1").as_deref(), Some("old"));
    }

    #[tokio::test]
    async fn paths_that_leave_the_folder_are_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [
            "../x",
            "/x",
            "a/../../x",
            ".docfetch/manifest.jsonl",
            "",
            ".git/hooks/x",
            "a/.bashrc",
            "-rf",
            "~/x",
            "a\nb",
            "a\u{202e}b",
            "a\\b",
            "nul.txt",
            "a:b",
            "a/b",
            "Q3 (2)--7f.pdf",
            "x. ",
        ];
        let lines: Vec<String> = (0..)
            .zip(paths)
            .map(|(id, path)| line("document", &id.to_string(), path, "m"))
            .collect();
        written(folder.path(), &lines);
        let mirror = open(folder.path()).await;
        let known: Vec<bool> = (0..paths.len())
            .map(|id| mirror.entry("sm", &id.to_string()).is_some())
            .collect();
        let safe = known.iter().position(|known| *known);
        assert_eq!(safe.map(|at| paths[at]), Some("a/b"));
        assert!(known[safe.unwrap()..].iter().all(|known| *known));
    }

    #[tokio::test]
    async fn a_manifest_that_grew_is_written_anew_with_what_counts() {
        let folder = tempfile::tempdir().unwrap();
        let mut lines: Vec<String> = (0..300)
            .map(|number| line("document", "1", "a", &number.to_string()))
            .collect();
        lines.push(line("document", "2", "b", "x"));
        lines.push("{\"type\":\"document\",\"torn".to_owned());
        written(folder.path(), &lines);
        for _ in 0..2 {
            let mirror = open(folder.path()).await;
            let modified = mirror.entry("sm", "1").unwrap().version.modified.clone();
            assert_eq!(modified.as_deref(), Some("299"));
            assert!(mirror.entry("sm", "2").is_some());
        }
        let text = std::fs::read_to_string(folder.path().join(OWN).join(MANIFEST)).unwrap();
        assert_eq!(text.lines().count(), 2);
    }
}
