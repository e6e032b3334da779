//! The documents of the sandbox.

use crate::fingerprint::hexadecimal;
use bytes::Bytes;
use jiff::Timestamp;
use ring::digest;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// What a document is at Standard Metrics unless told otherwise.
const COMPANY: &str = "c1";
const SOURCE: &str = "upload";
const PARSE_STATE: &str = "completed";

/// A document that both providers serve.
#[derive(Clone, Debug)]
pub struct Document {
    /// 16 hexadecimal characters, derived from the name.
    pub id: String,
    /// The file name.
    pub name: String,
    /// The length in bytes.
    pub size: u64,
    /// When it came, in RFC 3339.
    pub created: String,
    /// The company that it belongs to, at Standard Metrics.
    pub company: String,
    /// How it came, at Standard Metrics: `information-request`, `implementation`, `upload` or `email`.
    pub source: String,
    /// How far Standard Metrics has read it, such as `completed`.
    pub parse_state: String,
    /// The entity tag, without quotes.
    pub tag: String,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Memory(Bytes),
    File(PathBuf),
}

impl Document {
    /// A document in memory.
    pub fn new(name: &str, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        Self {
            id: id_of(name),
            name: name.to_owned(),
            size: content.len() as u64,
            created: "2026-10-01T08:30:00Z".to_owned(),
            company: COMPANY.to_owned(),
            source: SOURCE.to_owned(),
            parse_state: PARSE_STATE.to_owned(),
            tag: short_digest(&content),
            content: Content::Memory(content),
        }
    }

    /// The same document under another id.
    #[must_use]
    pub fn with_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// The same document, of this company.
    #[must_use]
    pub fn with_company(mut self, company: &str) -> Self {
        company.clone_into(&mut self.company);
        self
    }

    /// The same document, come this way.
    #[must_use]
    pub fn with_source(mut self, source: &str) -> Self {
        source.clone_into(&mut self.source);
        self
    }

    /// The same document, read this far.
    #[must_use]
    pub fn with_parse_state(mut self, parse_state: &str) -> Self {
        parse_state.clone_into(&mut self.parse_state);
        self
    }

    /// The same document, come at another time (RFC 3339).
    #[must_use]
    pub fn with_created(mut self, created: &str) -> Self {
        created.clone_into(&mut self.created);
        self
    }

    /// The plain files of a folder, by name.
    ///
    /// # Errors
    /// When the folder cannot be read.
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
                company: COMPANY.to_owned(),
                source: SOURCE.to_owned(),
                parse_state: PARSE_STATE.to_owned(),
                tag: short_digest(version.as_bytes()),
                content: Content::File(entry.path()),
                name,
            });
        }
        documents.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(documents)
    }

    /// A few documents as users have them, the newest first: of different companies, sources and
    /// days.
    pub fn samples() -> Vec<Self> {
        vec![
            Self::new("Board report Q3 2026.pdf", pdf()),
            Self::new("Ums\u{e4}tze & Ausblick.csv", csv())
                .with_company("c2")
                .with_source("email")
                .with_created("2026-09-14T16:05:00Z"),
            Self::new("reads_R1.fastq", fastq(4 << 20))
                .with_source("information-request")
                .with_created("2026-08-20T11:45:00Z"),
        ]
    }

    /// Up to `length` bytes from `offset` on.
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

fn id_of(name: &str) -> String {
    short_digest(name.as_bytes())[..16].to_owned()
}

fn short_digest(bytes: &[u8]) -> String {
    hexadecimal(&digest::digest(&digest::SHA256, bytes).as_ref()[..16])
}

/// One page, one line of text.
fn pdf() -> String {
    let text = "BT /F1 24 Tf 72 720 Td (Board report, third quarter of 2026) Tj ET";
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{text}\nendstream", text.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut pdf = "%PDF-1.4\n".to_owned();
    let mut offsets = String::new();
    for (number, object) in (1..).zip(&objects) {
        offsets.push_str(&format!("{:010} 00000 n \n", pdf.len()));
        pdf.push_str(&format!("{number} 0 obj\n{object}\nendobj\n"));
    }
    let table = pdf.len();
    let count = objects.len() + 1;
    format!(
        "{pdf}xref\n0 {count}\n0000000000 65535 f \n{offsets}trailer\n<< /Size {count} /Root 1 0 R >>\n\
         startxref\n{table}\n%%EOF\n"
    )
}

fn csv() -> String {
    let rows = (1..=1200).map(|month| {
        let revenue = 100_000 + month * 37 % 9_001;
        format!("{month};{revenue};{}\n", revenue * 3 / 5)
    });
    "Monat;Umsatz;Kosten\n".to_owned() + &rows.collect::<String>()
}

/// Reads of 150 bases from a xorshift generator (Marsaglia 2003): always the same.
fn fastq(bytes: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut text = String::with_capacity(bytes + 400);
    for number in 1.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str(&format!("@SANDBOX:1:{number}\n"));
        for _ in 0..150 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push(['A', 'C', 'G', 'T'][(state >> 62) as usize]);
        }
        text.push_str("\n+\n");
        text.extend(std::iter::repeat_n('I', 150));
        text.push('\n');
    }
    text
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
    fn reading_past_the_end_gives_what_is_there() {
        let document = Document::new("a", "12345");
        assert_eq!(document.read(3, 10).unwrap(), "45");
        assert_eq!(document.read(9, 10).unwrap(), "");
    }
}
