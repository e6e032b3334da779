//! The ids of a batch: from the command line, a file, standard input; each once, read as they are
//! wanted.

use crate::error::{Code, Error, Result};
use crate::fetch::batch::queue::Source;
use crate::fetch::outcome::RequestedId;
use crate::fingerprint::digest128;
use crate::model::DocumentId;
use crate::provider::Provider;
use crate::state::blocking;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde_json::Value;
use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

/// No line is longer, in bytes.
const LONGEST: usize = 1 << 20;
/// So many bytes are read at once.
const PIECE: usize = 64 << 10;

/// Where ids are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// One that was given itself.
    Id(DocumentId),
    /// Lines of a file.
    File(PathBuf),
    /// Lines of standard input.
    Stdin,
}

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Asked {
    /// A document.
    Document(DocumentId),
    /// Something that is no document, as it can be shown; that is its failure.
    Wrong(String, Error),
}

/// The ids of a batch, each once.
pub(crate) struct Ids {
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
    reader: Option<Box<dyn Read + Send>>,
    name: String,
    /// What was read, and where what was not handed out begins.
    text: Vec<u8>,
    next: usize,
    /// How many lines were read.
    number: u64,
}

impl Ids {
    /// The ids of these origins, one after the other.
    pub(crate) fn new(provider: Provider, origins: impl IntoIterator<Item = Origin>) -> Self {
        Self {
            provider,
            origins: origins.into_iter().collect(),
            lines: None,
            seen: HashSet::new(),
            ahead: VecDeque::new(),
        }
    }

    /// How many there are, where that is known without reading.
    pub(crate) fn count(&self) -> Option<u64> {
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
    pub(crate) async fn has(&mut self, least: usize) -> Result<bool> {
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
                match line {
                    Some(line) => parse(&self.provider, &line, lines.number),
                    None => Some(no_text(lines.number)),
                }
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

    fn id_of(asked: &Asked) -> RequestedId {
        match asked {
            Asked::Document(id) => RequestedId::Document(id.clone()),
            Asked::Wrong(shown, _) => RequestedId::Unusable(shown.clone()),
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
        let (reader, name): (Box<dyn Read + Send>, String) = match origin {
            Origin::File(path) => {
                let opened = path.clone();
                let file = blocking::run(move || File::open(opened)).await;
                let file = file.map_err(|error| Error::io("read", &path, &error))?;
                (Box::new(file), path.display().to_string())
            }
            Origin::Stdin | Origin::Id(_) => (Box::new(Stdin), "standard input".to_owned()),
        };
        Ok(Self {
            reader: Some(reader),
            name,
            text: Vec::new(),
            next: 0,
            number: 0,
        })
    }

    /// The next line, without what surrounds it; none of a line that is no text.
    async fn next(&mut self) -> Result<Option<Option<String>>> {
        self.number += 1;
        loop {
            let rest = &self.text[self.next..];
            let end = rest.iter().position(|byte| *byte == b'\n');
            let line = match (end, &self.reader) {
                (Some(end), _) => &rest[..=end],
                (None, None) if rest.is_empty() => return Ok(None),
                (None, None) => rest,
                (None, Some(_)) if rest.len() < LONGEST => {
                    self.read().await?;
                    continue;
                }
                (None, Some(_)) => {
                    let why = "a line has more than a million characters";
                    return Err(self.cannot(why).with_hint("give one id a line"));
                }
            };
            self.next += line.len();
            let line = std::str::from_utf8(line).ok();
            let line = line.map(|line| line.trim_start_matches('\u{feff}').trim());
            return Ok(Some(line.map(str::to_owned)));
        }
    }

    /// Reads on; no reader is left at the end.
    async fn read(&mut self) -> Result<()> {
        self.text.drain(..self.next);
        self.next = 0;
        let Some(mut reader) = self.reader.take() else {
            return Ok(());
        };
        let reading = blocking::run(move || {
            let mut piece = vec![0; PIECE];
            let read = loop {
                match reader.read(&mut piece) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read,
                }
            };
            read.map(|read| {
                piece.truncate(read);
                (reader, piece)
            })
        });
        let read = reading.await;
        let (reader, piece) = read.map_err(|error| self.cannot(error.to_string()))?;
        if !piece.is_empty() {
            self.text.extend_from_slice(&piece);
            self.reader = Some(reader);
        }
        Ok(())
    }

    fn cannot(&self, why: impl Into<String>) -> Error {
        let what = format!("cannot read ids from {}", self.name);
        Error::new(Code::LocalIo, what).with_cause(why)
    }
}

/// Standard input, unbuffered.
struct Stdin;

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let stdin = io::stdin();
        loop {
            match rustix::io::read(&stdin, &mut *buffer) {
                // Somebody made it so that it does not wait.
                Err(Errno::AGAIN) => {
                    poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None)?;
                }
                read => return Ok(read?),
            }
        }
    }
}

fn no_text(number: u64) -> Asked {
    let error = Error::new(Code::Usage, "a line is not UTF-8 text");
    let error = error.with_hint("give ids, or the lines that `docfetch list --json` prints");
    Asked::Wrong(format!("line {number}"), error)
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
            .with_hint("give ids, or the lines that `docfetch list --json` prints");
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
                Error::new(Code::Usage, what).with_hint("fetch it from the provider of its line");
            Some(Asked::Wrong(id.as_str().to_owned(), error))
        }
        None => match (text("resource"), provider.resource) {
            (Some(other), Some(resource)) if other != resource.name() => {
                let what = format!("a JSON line is of {other}, not of {}", resource.name());
                let error = Error::new(Code::Usage, what);
                let error = error.with_hint(format!("add --resource {other}"));
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
