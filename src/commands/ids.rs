//! The ids of a batch: from the command line, a file, standard input; each once, read as they are
//! wanted.

use crate::error::{Code, Error, Result};
use crate::fetch::queue::Source;
use crate::model::{DocumentId, digest128};
use crate::provider::Provider;
use serde_json::Value;
use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::pin::Pin;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

/// No line is longer, in bytes.
const LONGEST: u64 = 1 << 20;

/// Where ids are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// One that was given itself.
    Id(DocumentId),
    /// Lines of a file.
    File(PathBuf),
    /// Lines of standard input.
    Stdin,
}

/// What was asked for.
#[derive(Debug)]
pub enum Asked {
    /// A document.
    Document(DocumentId),
    /// Something that is no document, as it can be shown; that is its failure.
    Wrong(String, Error),
}

/// The ids of a batch, each once.
pub struct Ids {
    provider: Provider,
    origins: VecDeque<Origin>,
    lines: Option<Lines>,
    /// Hashes of those that were handed out: there may be many.
    seen: HashSet<u128>,
    /// What was looked at ahead.
    ahead: VecDeque<Asked>,
}

/// Lines that are being read.
struct Lines {
    reader: Pin<Box<dyn AsyncBufRead>>,
    name: String,
    line: Vec<u8>,
    /// How many were read.
    number: u64,
}

impl Ids {
    /// The ids of these origins, one after the other.
    pub fn new(provider: Provider, origins: impl IntoIterator<Item = Origin>) -> Self {
        Self {
            provider,
            origins: origins.into_iter().collect(),
            lines: None,
            seen: HashSet::new(),
            ahead: VecDeque::new(),
        }
    }

    /// How many there are, where that is known without reading.
    pub fn count(&self) -> Option<u64> {
        let mut ids = HashSet::new();
        for origin in &self.origins {
            match origin {
                Origin::Id(id) => ids.insert(id),
                Origin::File(_) | Origin::Stdin => return None,
            };
        }
        Some(ids.len() as u64)
    }

    /// Whether there are at least so many; reads no further than that.
    ///
    /// # Errors
    /// As [`Source::next`].
    pub async fn has(&mut self, least: usize) -> Result<bool> {
        while self.ahead.len() < least {
            match self.read().await? {
                Some(asked) => self.ahead.push_back(asked),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    async fn read(&mut self) -> Result<Option<Asked>> {
        loop {
            let asked = if let Some(lines) = &mut self.lines {
                let Some(line) = lines.next().await? else {
                    self.lines = None;
                    continue;
                };
                parse(&self.provider, &line, lines.number)
            } else {
                match self.origins.pop_front() {
                    Some(Origin::Id(id)) => Some(Asked::Document(id)),
                    Some(origin) => {
                        self.lines = Some(Lines::open(origin).await?);
                        continue;
                    }
                    None => return Ok(None),
                }
            };
            match asked {
                Some(Asked::Document(id))
                    if !self.seen.insert(digest128(&[id.as_str().as_bytes()])) => {}
                Some(asked) => return Ok(Some(asked)),
                None => {}
            }
        }
    }
}

impl Source for Ids {
    type Item = Asked;

    async fn next(&mut self) -> Result<Option<Asked>> {
        match self.ahead.pop_front() {
            Some(asked) => Ok(Some(asked)),
            None => self.read().await,
        }
    }

    fn id_of(asked: &Asked) -> &str {
        match asked {
            Asked::Document(id) => id.as_str(),
            Asked::Wrong(shown, _) => shown,
        }
    }

    /// Those that were looked at ahead, and those of the command line.
    fn known_rest(&self) -> u64 {
        let given = self.origins.iter().filter_map(|origin| match origin {
            Origin::Id(id) => Some(digest128(&[id.as_str().as_bytes()])),
            Origin::File(_) | Origin::Stdin => None,
        });
        let new = given.filter(|id| !self.seen.contains(id));
        new.count() as u64 + self.ahead.len() as u64
    }
}

impl Lines {
    async fn open(origin: Origin) -> Result<Self> {
        let (reader, name): (Pin<Box<dyn AsyncBufRead>>, String) = match origin {
            Origin::File(path) => {
                let file = tokio::fs::File::open(&path).await;
                let file = file.map_err(|error| Error::io("read", &path, &error))?;
                (Box::pin(BufReader::new(file)), path.display().to_string())
            }
            Origin::Stdin | Origin::Id(_) => {
                let stdin = BufReader::new(tokio::io::stdin());
                (Box::pin(stdin), "standard input".to_owned())
            }
        };
        Ok(Self {
            reader,
            name,
            line: Vec::new(),
            number: 0,
        })
    }

    /// The next line, without what surrounds it.
    async fn next(&mut self) -> Result<Option<String>> {
        self.line.clear();
        self.number += 1;
        let mut limited = (&mut self.reader).take(LONGEST);
        let read = limited.read_until(b'\n', &mut self.line).await;
        let cannot = |why: String| {
            Error::new(Code::LocalIo, format!("cannot read ids from {}", self.name)).why(why)
        };
        match read.map_err(|error| cannot(error.to_string()))? as u64 {
            0 => Ok(None),
            LONGEST if self.line.last() != Some(&b'\n') => {
                Err(cannot("a line has more than a million characters".into())
                    .hint("give one id a line"))
            }
            _ => {
                let line = String::from_utf8_lossy(&self.line);
                let line = line.trim_start_matches('\u{feff}').trim();
                Ok(Some(line.to_owned()))
            }
        }
    }
}

/// A line: an id, a record of a listing (or of a batch before), a comment, or nothing.
fn parse(provider: &Provider, line: &str, number: u64) -> Option<Asked> {
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    if !line.starts_with('{') {
        return Some(checked(provider, line));
    }
    let wrong = |what: String| {
        let error = Error::new(Code::Usage, what)
            .hint("give ids, or the lines that `docfetch list --json` prints");
        Some(Asked::Wrong(format!("line {number}"), error))
    };
    let Ok(record) = serde_json::from_str::<Value>(line) else {
        return wrong("a line starts like a JSON object, and is none".into());
    };
    let text = |field: &str| record.get(field).and_then(Value::as_str);
    if text("type") == Some("summary") {
        return None;
    }
    let Some(id) = text("id") else {
        return wrong("a JSON line has no id".into());
    };
    match text("provider").filter(|name| *name != provider.name) {
        Some(_) => {
            let (Asked::Document(id), name) = (checked(provider, id), provider.name) else {
                return wrong("a JSON line is of another provider".into());
            };
            let what = format!("{id} is listed by another provider than {name}");
            let error =
                Error::new(Code::Usage, what).hint("fetch it from the provider of its line");
            Some(Asked::Wrong(id.as_str().to_owned(), error))
        }
        None => match (text("resource"), provider.resource) {
            (Some(other), Some(resource)) if other != resource.name() => {
                let what = format!("a JSON line is of {other}, not of {}", resource.name());
                let error = Error::new(Code::Usage, what);
                let error = error.hint(format!("add --resource {other}"));
                let shown = match checked(provider, id) {
                    Asked::Document(id) => id.as_str().to_owned(),
                    Asked::Wrong(shown, _) => shown,
                };
                Some(Asked::Wrong(shown, error))
            }
            _ => Some(checked(provider, id)),
        },
    }
}

fn checked(provider: &Provider, text: &str) -> Asked {
    match provider.document_id(text) {
        Ok(id) => Asked::Document(id),
        // A presigned URL given by mistake is not repeated.
        Err(error) if text.contains("://") => Asked::Wrong("a URL".to_owned(), error),
        Err(error) => Asked::Wrong(text.to_owned(), error),
    }
}
