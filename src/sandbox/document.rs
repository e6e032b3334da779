//! The documents that a sandbox serves.

use super::samples;
use crate::fingerprint::hexadecimal;
use bytes::Bytes;
use jiff::Timestamp;
use ring::digest;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// The default company of a document at Standard Metrics.
const DEFAULT_COMPANY: &str = "c1";
/// The default source of a document at Standard Metrics.
const DEFAULT_SOURCE: &str = "upload";
/// The default parse state of a document at Standard Metrics.
const DEFAULT_PARSE_STATE: &str = "completed";

/// A document that a [`Sandbox`](super::Sandbox) serves, at both providers.
///
/// ```
/// use docfetch::sandbox::Document;
///
/// let document = Document::new("report.pdf", "%PDF-1.7").with_id("r1").with_company("c2");
/// assert_eq!((document.id.as_str(), document.size), ("r1", 8));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Document {
    /// The id. [`Document::new`] derives 16 hexadecimal characters from the name.
    pub id: String,
    /// The file name.
    pub name: String,
    /// The length in bytes.
    pub size: u64,
    /// The creation time, as RFC 3339 writes times.
    pub created: String,
    /// The company at Standard Metrics.
    pub company: String,
    /// How the document reached Standard Metrics: `information-request`, `implementation`, `upload` or
    /// `email`.
    pub source: String,
    /// How far Standard Metrics has parsed the document: `not-started`, `in-progress`, `completed`,
    /// `needs-input` or `not-parseable`.
    pub parse_state: String,
    /// The name of the project at One Codex, as a sample; none for a sample without a project.
    pub project: Option<String>,
    /// The names of the tags at One Codex, as a sample.
    pub tags: Vec<String>,
    /// The entity tag, without quotes. It derives from the content; for a file, from name, size and
    /// modification time.
    pub tag: String,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Memory(Bytes),
    File(PathBuf),
}

impl Document {
    /// A document with this name and content, created on 2026-10-01, of company `c1`, uploaded and parsed.
    pub fn new(name: &str, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        Self {
            id: id_of(name),
            name: name.to_owned(),
            size: content.len() as u64,
            created: "2026-10-01T08:30:00Z".to_owned(),
            company: DEFAULT_COMPANY.to_owned(),
            source: DEFAULT_SOURCE.to_owned(),
            parse_state: DEFAULT_PARSE_STATE.to_owned(),
            project: None,
            tags: Vec::new(),
            tag: short_digest(&content),
            content: Content::Memory(content),
        }
    }

    /// Replaces the id.
    #[must_use]
    pub fn with_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// Replaces the company.
    #[must_use]
    pub fn with_company(mut self, company: &str) -> Self {
        company.clone_into(&mut self.company);
        self
    }

    /// Replaces the source.
    #[must_use]
    pub fn with_source(mut self, source: &str) -> Self {
        source.clone_into(&mut self.source);
        self
    }

    /// Replaces the parse state.
    #[must_use]
    pub fn with_parse_state(mut self, parse_state: &str) -> Self {
        parse_state.clone_into(&mut self.parse_state);
        self
    }

    /// Puts the sample into the project of this name.
    #[must_use]
    pub fn with_project(mut self, project: &str) -> Self {
        self.project = Some(project.to_owned());
        self
    }

    /// Adds a tag of this name to the sample.
    #[must_use]
    pub fn with_tag(mut self, tag: &str) -> Self {
        self.tags.push(tag.to_owned());
        self
    }

    /// Replaces the creation time, which is written as in RFC 3339.
    #[must_use]
    pub fn with_created(mut self, created: &str) -> Self {
        created.clone_into(&mut self.created);
        self
    }

    /// One document for each plain file of a folder, sorted by name. Files whose name starts with a dot are
    /// left out. The sandbox reads the content when a client requests it.
    ///
    /// # Errors
    /// The system's error, when the folder cannot be read.
    pub fn of_folder(folder: &Path) -> io::Result<Vec<Self>> {
        let mut documents = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !metadata.is_file() || name.starts_with('.') {
                continue;
            }
            let modified = Timestamp::try_from(metadata.modified()?).unwrap_or_default();
            let version = format!("{name}\n{}\n{modified}", metadata.len());
            documents.push(Self {
                id: id_of(&name),
                size: metadata.len(),
                created: modified
                    .round(jiff::Unit::Second)
                    .unwrap_or(modified)
                    .to_string(),
                company: DEFAULT_COMPANY.to_owned(),
                source: DEFAULT_SOURCE.to_owned(),
                parse_state: DEFAULT_PARSE_STATE.to_owned(),
                project: None,
                tags: Vec::new(),
                tag: short_digest(version.as_bytes()),
                content: Content::File(entry.path()),
                name,
            });
        }
        documents.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(documents)
    }

    /// Three sample documents, a PDF, a CSV and a FASTQ file, the newest first. They differ in company, source
    /// and day, and are the same in every run. The FASTQ file is of the project `Soil survey` and has the tags
    /// `trimmed` and `R1`.
    pub fn samples() -> Vec<Self> {
        vec![
            Self::new("Board report Q3 2026.pdf", samples::pdf()),
            Self::new("Ums\u{e4}tze & Ausblick.csv", samples::csv())
                .with_company("c2")
                .with_source("email")
                .with_created("2026-09-14T16:05:00Z"),
            Self::new("reads_R1.fastq", samples::fastq(4 << 20))
                .with_source("information-request")
                .with_project("Soil survey")
                .with_tag("trimmed")
                .with_tag("R1")
                .with_created("2026-08-20T11:45:00Z"),
        ]
    }

    /// Up to `length` bytes from `offset` on.
    ///
    /// # Errors
    /// The system's error, when a file cannot be read.
    pub(super) fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        match &self.content {
            Content::Memory(content) => {
                let start = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(content.len());
                let end = start.saturating_add(length).min(content.len());
                Ok(content.slice(start..end))
            }
            Content::File(path) => {
                let mut piece = vec![0; length];
                let read = File::open(path)?.read_at(&mut piece, offset)?;
                piece.truncate(read);
                Ok(piece.into())
            }
        }
    }
}

/// The id of what has this name.
pub(super) fn id_of(name: &str) -> String {
    short_digest(name.as_bytes())[..16].to_owned()
}

fn short_digest(bytes: &[u8]) -> String {
    hexadecimal(&digest::digest(&digest::SHA256, bytes).as_ref()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_always_the_same() {
        let tags = || {
            Document::samples()
                .into_iter()
                .map(|d| (d.id, d.tag))
                .collect::<Vec<_>>()
        };
        assert_eq!(tags(), tags());
        assert_eq!(tags().len(), 3);
    }

    #[test]
    fn a_read_ends_at_the_end_of_the_document() {
        let document = Document::new("a", "12345");
        assert_eq!(document.read(3, 10).unwrap(), "45");
        assert_eq!(document.read(9, 10).unwrap(), "");
    }
}
