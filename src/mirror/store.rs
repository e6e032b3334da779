//! The folder of a mirror, while a run brings it up to date.
//!
//! `.docfetch/manifest.jsonl` in the folder has a line for each document that was written, with its path
//! relative to the folder. The last line of a document counts. Right before a document gets its name, a
//! line of the type `publishing` is synced to disk. If the process ends between the two lines, the next run
//! finds out by the file's SHA-256 whether the document got its name. So a run that is killed loses no
//! document, and the next run fetches no document twice.

use crate::error::{Code, Error, Result};
use crate::fetch::outcome::Outcome;
use crate::fetch::target::{check_writable, fitted_folder, not_a_folder};
use crate::manifest::{MIRROR_FOLDER, ManifestAppender};
use crate::mirror::entry::{DocumentVersion, MirrorEntry, Presence};
use crate::mirror::index::{DocumentKey, MirrorIndex, PUBLISHING};
use crate::state::files::{make_folder, sync_names};
use crate::state::lock::Lock;
use crate::state::normal_form::existing_form;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The manifest's name in docfetch's own folder.
const MANIFEST_NAME: &str = "manifest.jsonl";

/// A line of the manifest, as it is written.
#[derive(Serialize)]
struct MirrorLine<'a> {
    #[serde(flatten)]
    outcome: &'a Outcome,
    resource: &'a str,
    #[serde(flatten)]
    version: &'a DocumentVersion,
}

/// A mirror that a run brings up to date. One process at a time holds it.
#[derive(Debug)]
pub(crate) struct Mirror {
    folder: PathBuf,
    resource: String,
    index: MirrorIndex,
    /// `None` in a dry run.
    manifest: Option<ManifestAppender>,
    _lock: Option<Lock>,
}

impl Mirror {
    /// Opens the mirror in `folder`, for documents of the kind `resource`, and locks it. Waits up to
    /// `busy_timeout` while another process holds the lock. A dry run neither locks nor writes.
    ///
    /// # Errors
    /// [`Code::Busy`] when another process holds the lock for longer than `busy_timeout`;
    /// [`Code::UnsafePartial`] when docfetch's own folder or the manifest is a link or another user's;
    /// [`Code::LocalIo`], [`Code::DiskFull`] when the manifest cannot be read or written; a dry run, too, fails in
    /// a folder that this user may not write.
    pub(crate) async fn open(
        folder: &Path,
        resource: &str,
        busy_timeout: Duration,
        dry_run: bool,
    ) -> Result<Self> {
        let own_folder = folder.join(MIRROR_FOLDER);
        if own_folder.is_symlink() {
            return Err(is_a_link(&own_folder));
        }
        if let Some(error) = not_a_folder(folder) {
            return Err(error);
        }
        check_writable(if own_folder.is_dir() {
            &own_folder
        } else {
            folder
        })?;
        let mut lock = None;
        if !dry_run {
            make_folder(&own_folder, 0o777)?;
            let activity = "mirroring into this folder";
            lock = Some(Lock::take(own_folder.join("lock"), busy_timeout, activity).await?);
        }
        let path = own_folder.join(MANIFEST_NAME);
        let mut index = MirrorIndex::read(&path).map_err(with_manifest_hint)?;
        let missing_lines = index.settle_pending(folder).await;
        let mut manifest = None;
        if !dry_run {
            let appender = ManifestAppender::own(&path).map_err(with_manifest_hint)?;
            for line in missing_lines {
                appender.append(&line)?;
            }
            index.compact(&path)?;
            manifest = Some(ManifestAppender::own(&path)?); // compacting may have replaced the file
            sync_names(&own_folder)?;
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            resource: resource.to_owned(),
            index,
            manifest,
            _lock: lock,
        })
    }

    /// The mirror's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the manifest says of the document `id` of `provider`.
    pub(crate) fn entry(&self, provider: &str, id: &str) -> Option<MirrorEntry> {
        let entry = self.index.get(&DocumentKey {
            provider: provider.to_owned(),
            resource: self.resource.clone(),
            id: id.to_owned(),
        });
        entry.map(|entry| self.on_disk(entry))
    }

    /// The entry with the path as it is on disk, which may have another Unicode normal form.
    fn on_disk(&self, entry: &MirrorEntry) -> MirrorEntry {
        MirrorEntry {
            path: existing_form(&self.folder, &entry.path).into_owned(),
            ..entry.clone()
        }
    }

    /// The path of every document, with a text that tells the document apart: the id, or for a document
    /// that is not of this `provider` and this mirror's kind of resource, all three.
    pub(crate) fn paths(&self, provider: &str) -> impl Iterator<Item = (PathBuf, String)> {
        self.index.iter().map(move |(key, entry)| {
            let id = if key.provider == provider && key.resource == self.resource {
                key.id.clone()
            } else {
                format!("{}\n{}\n{}", key.provider, key.resource, key.id)
            };
            (self.folder.join(&entry.path), id)
        })
    }

    /// The path of `below` in the mirror's folder. Each name is one that the file system takes, and has the Unicode
    /// normal form that it has on disk.
    pub(crate) fn fitted_folder(&self, below: &Path) -> PathBuf {
        let fitted = fitted_folder(&self.folder, below);
        let below = fitted.strip_prefix(&self.folder).unwrap_or(&fitted);
        self.folder.join(existing_form(&self.folder, below))
    }

    /// The folders that have documents, each once.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let paths = self.index.iter().map(|(_, entry)| entry.path.as_path());
        let folders: BTreeSet<&Path> = paths.filter_map(Path::parent).collect();
        let folders = folders.into_iter();
        folders
            .map(|below| self.folder.join(existing_form(&self.folder, below)))
            .collect()
    }

    /// The documents of `provider` and this mirror's kind of resource, in the order of their paths.
    pub(crate) fn documents(&self, provider: &str) -> Vec<(&str, MirrorEntry)> {
        let own = self
            .index
            .iter()
            .filter(|(key, _)| key.provider == provider && key.resource == self.resource);
        let mut own: Vec<_> = own
            .map(|(key, entry)| (key.id.as_str(), self.on_disk(entry)))
            .collect();
        own.sort_by(|a, b| a.1.path.cmp(&b.1.path));
        own
    }

    /// What became of a document's file: compares its length, and with `compare_sha256` its content.
    pub(crate) fn presence(&self, entry: &MirrorEntry, compare_sha256: bool) -> Presence {
        entry.presence(&self.folder.join(&entry.path), compare_sha256)
    }

    /// Whether a document's file is in the mirror's folder itself. A link to a folder may lead elsewhere.
    pub(crate) fn contains(&self, entry: &MirrorEntry) -> bool {
        let above = entry.path.ancestors().skip(1);
        above
            .map(|folder| self.folder.join(folder))
            .take_while(|folder| *folder != self.folder.join(""))
            .all(|folder| !folder.is_symlink())
    }

    /// Appends the line of a document that is about to get its name, and syncs the manifest.
    ///
    /// # Errors
    /// [`Code::LocalIo`], [`Code::DiskFull`].
    pub(crate) fn append_publishing(
        &self,
        outcome: &Outcome,
        version: &DocumentVersion,
    ) -> Result<()> {
        let Some(manifest) = &self.manifest else {
            return Ok(());
        };
        let mut line = serde_json::to_value(self.line(&self.relative(outcome), version))
            .map_err(|error| Error::io("write", &self.folder, &error.into()))?;
        line["type"] = PUBLISHING.into();
        manifest.append(&line)?;
        manifest.sync()
    }

    /// Appends the line of a document that is in the mirror now.
    ///
    /// # Errors
    /// [`Code::LocalIo`], [`Code::DiskFull`].
    pub(crate) fn append(&self, outcome: &Outcome, version: &DocumentVersion) -> Result<()> {
        match &self.manifest {
            Some(manifest) => manifest.append(&self.line(&self.relative(outcome), version)),
            None => Ok(()),
        }
    }

    /// The manifest, for lines of documents that failed. `None` in a dry run.
    pub(crate) fn manifest(&self) -> Option<&ManifestAppender> {
        self.manifest.as_ref()
    }

    fn line<'a>(&'a self, outcome: &'a Outcome, version: &'a DocumentVersion) -> MirrorLine<'a> {
        MirrorLine {
            outcome,
            resource: &self.resource,
            version,
        }
    }

    /// The outcome with its path relative to the mirror's folder.
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

/// Names what helps where the manifest is a link or another user's. Without its record, docfetch compares the files.
fn with_manifest_hint(error: Error) -> Error {
    if error.code() != Code::UnsafePartial {
        return error;
    }
    error.with_hint(
        "make the manifest a plain file of your own (`chown`), or move it away: `docfetch sync` then records again \
         the files that it finds, those of paid documents by name and length only",
    )
}

fn is_a_link(folder: &Path) -> Error {
    let what = format!("refused to use {}", folder.display());
    Error::new(Code::UnsafePartial, what)
        .with_cause("it is a symbolic link")
        .with_hint("remove it, or mirror into another folder")
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
        std::fs::create_dir_all(folder.join(MIRROR_FOLDER)).unwrap();
        std::fs::write(
            folder.join(MIRROR_FOLDER).join(MANIFEST_NAME),
            lines.concat(),
        )
        .unwrap();
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
    async fn a_changed_file_is_known_by_its_length_or_else_by_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        written(folder, &[line("document", "1", "a", "m")]);
        let mirror = open(folder).await;
        let entry = mirror.entry("sm", "1").unwrap();
        let presence = |content: Option<&str>| {
            if let Some(content) = content {
                std::fs::write(folder.join("a"), content).unwrap();
            }
            [false, true].map(|compare_sha256| mirror.presence(&entry, compare_sha256))
        };
        assert_eq!(presence(None), [Presence::Missing; 2]);
        assert_eq!(presence(Some("abc")), [Presence::Unchanged; 2]);
        assert_eq!(
            presence(Some("abx")),
            [Presence::Unchanged, Presence::Changed]
        );
        assert_eq!(presence(Some("abcd")), [Presence::Changed; 2]);
    }

    #[tokio::test]
    async fn a_file_behind_a_link_to_a_folder_is_not_in_the_mirror() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        std::fs::create_dir(folder.join("real")).unwrap();
        std::os::unix::fs::symlink("real", folder.join("link")).unwrap();
        let paths = ["real/a", "link/a", "a"];
        let lines = paths.map(|path| line("document", path, path, "m"));
        written(folder, &lines);
        let mirror = open(folder).await;
        let contained = paths.map(|path| mirror.contains(&mirror.entry("sm", path).unwrap()));
        assert_eq!(contained, [true, false, true]);
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
        let text =
            std::fs::read_to_string(folder.path().join(MIRROR_FOLDER).join(MANIFEST_NAME)).unwrap();
        assert_eq!(text.lines().count(), 2);
    }
}
