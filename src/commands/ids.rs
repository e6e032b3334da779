//! The ids that the user names: on the command line, in a file, on standard input. The source reads them as
//! the batch needs them.

mod line;

use self::line::WrongFormat;
use crate::error::{Code, Error, Result, system_text};
use crate::fetch::batch::{BatchItem, Source};
use crate::model::DocumentId;
use crate::provider::Provider;
use crate::state::blocking;
use crate::state::streams::Stdin;
use crate::text::{Utf16Text, without_byte_order_mark};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

/// A longer line, in bytes, ends the batch.
const MAX_ID_LINE_BYTES: usize = 1 << 20;
/// How many bytes one read takes at most.
const ID_READ_BYTES: usize = 64 << 10;

/// Where ids come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IdOrigin {
    /// An id on the command line.
    Id(DocumentId),
    /// The lines of a file.
    File(PathBuf),
    /// The lines of standard input.
    Stdin,
}

/// The ids of some origins, one origin after the other.
pub(crate) struct IdSource {
    provider: Provider,
    origins: VecDeque<IdOrigin>,
    /// The files of the origins, once they are open.
    files: Option<VecDeque<IdLines>>,
    lines: Option<IdLines>,
}

/// The lines of a file or of standard input.
struct IdLines {
    /// None after the last byte was read.
    reader: Option<Box<dyn Read + Send>>,
    name: String,
    /// Text that was read.
    text: Vec<u8>,
    /// Where in the text the next line begins.
    next: usize,
    /// How many lines were taken.
    number: u64,
    /// Whether a line had something else than a comment.
    has_content: bool,
}

impl IdSource {
    /// The ids of `origins`, which are ids of `provider`.
    pub(crate) fn new(provider: Provider, origins: impl IntoIterator<Item = IdOrigin>) -> Self {
        Self {
            provider,
            origins: origins.into_iter().collect(),
            files: None,
            lines: None,
        }
    }

    /// Opens the files of all origins. A file that cannot be read or is of another format then ends the batch before
    /// its first document.
    async fn open_files(&mut self) -> Result<()> {
        let mut files = VecDeque::new();
        for origin in &self.origins {
            if let IdOrigin::File(path) = origin {
                files.push_back(IdLines::of_file(path.clone(), &self.provider).await?);
            }
        }
        self.files = Some(files);
        Ok(())
    }
}

impl Source for IdSource {
    type Detail = ();

    async fn next(&mut self) -> Result<Option<BatchItem<()>>> {
        if self.files.is_none() {
            self.open_files().await?;
        }
        loop {
            if let Some(lines) = &mut self.lines {
                let Some(line) = lines.next().await? else {
                    self.lines = None;
                    continue;
                };
                let item = lines.item(&self.provider, &line)?;
                if item.is_some() {
                    return Ok(item);
                }
                continue;
            }
            match self.origins.pop_front() {
                Some(IdOrigin::Id(id)) => return Ok(Some(BatchItem::Document(id, ()))),
                Some(IdOrigin::File(_)) => {
                    self.lines = self.files.as_mut().and_then(VecDeque::pop_front);
                }
                Some(IdOrigin::Stdin) => {
                    self.lines = Some(IdLines::new(Box::new(Stdin), "standard input".to_owned()));
                }
                None => return Ok(None),
            }
        }
    }

    fn known_items(&self) -> Vec<BatchItem<()>> {
        let lines = self
            .lines
            .iter()
            .flat_map(|lines| lines.items(&self.provider));
        let ids = self.origins.iter().filter_map(|origin| match origin {
            IdOrigin::Id(id) => Some(BatchItem::Document(id.clone(), ())),
            IdOrigin::File(_) | IdOrigin::Stdin => None,
        });
        lines.chain(ids).collect()
    }

    fn is_known(&self) -> bool {
        let is_id = |origin| matches!(origin, &IdOrigin::Id(_));
        self.lines.is_none() && self.origins.iter().all(is_id)
    }
}

impl IdLines {
    /// The lines of a file. The format of a regular file is known; another file, such as a pipe, may be written later.
    async fn of_file(path: PathBuf, provider: &Provider) -> Result<Self> {
        let opened = path.clone();
        let file = blocking::run(move || {
            let file = File::open(opened)?;
            let kind = file.metadata()?.file_type();
            if kind.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            Ok((file, kind.is_file()))
        });
        let (file, is_regular) = file
            .await
            .map_err(|error| Error::io("read", &path, &error))?;
        let mut lines = Self::new(Box::new(file), path.display().to_string());
        if is_regular {
            lines.check_format(provider).await?;
        }
        Ok(lines)
    }

    /// Reads the text up to the first line with content, which is the next line then.
    async fn check_format(&mut self, provider: &Provider) -> Result<()> {
        while let Some(line) = self.next().await? {
            let has_content = self.item(provider, &line)?.is_some();
            if has_content {
                self.has_content = false;
                self.number -= 1;
                self.next -= line.len();
                break;
            }
        }
        Ok(())
    }

    fn new(reader: Box<dyn Read + Send>, name: String) -> Self {
        Self {
            reader: Some(reader),
            name,
            text: Vec::new(),
            next: 0,
            number: 0,
            has_content: false,
        }
    }

    /// The items of the lines that were read and not taken.
    fn items(&self, provider: &Provider) -> Vec<BatchItem<()>> {
        let lines = self.text[self.next..].split(|byte| *byte == b'\n');
        let numbered = lines.zip(self.number + 1..);
        let item = |(line, number)| {
            line::parse(provider, line, number, false)
                .unwrap_or_else(|wrong| Some(wrong.item(number)))
        };
        numbered.filter_map(item).collect()
    }

    /// The item of the line that was taken last. The first line with content decides whether the text is a file of
    /// ids; a later line of another format is the failure of that line.
    fn item(&mut self, provider: &Provider, line: &[u8]) -> Result<Option<BatchItem<()>>> {
        let item = match line::parse(provider, line, self.number, !self.has_content) {
            Err(wrong) if !self.has_content => return Err(self.wrong_format(wrong)),
            Err(wrong) => Some(wrong.item(self.number)),
            Ok(item) => item,
        };
        self.has_content |= item.is_some();
        Ok(item)
    }

    /// The next line.
    async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        self.number += 1;
        loop {
            let rest = &self.text[self.next..];
            let end = rest.iter().position(|byte| *byte == b'\n');
            let line = match (end, &self.reader) {
                (Some(end), _) => &rest[..=end],
                (None, None) if rest.is_empty() => return Ok(None),
                (None, None) => rest,
                (None, Some(_)) if rest.len() < MAX_ID_LINE_BYTES => {
                    self.read().await?;
                    continue;
                }
                (None, Some(_)) => {
                    let why = "a line has more than a million characters";
                    return Err(self.read_error(why).with_hint("write one id on each line"));
                }
            };
            if self.number == 1 {
                without_byte_order_mark(rest).map_err(|utf16| self.is_utf16(utf16))?;
            }
            let line = line.to_vec();
            self.next += line.len();
            return Ok(Some(line));
        }
    }

    /// Reads further text. At the end, no reader is left.
    async fn read(&mut self) -> Result<()> {
        self.text.drain(..self.next);
        self.next = 0;
        let Some(mut reader) = self.reader.take() else {
            return Ok(());
        };
        let reading = blocking::run(move || {
            let mut piece = vec![0; ID_READ_BYTES];
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
        let (reader, piece) = read.map_err(|error| self.read_error(system_text(&error)))?;
        if !piece.is_empty() {
            self.text.extend_from_slice(&piece);
            self.reader = Some(reader);
        }
        if piece.contains(&0) {
            return Err(match without_byte_order_mark(&self.text) {
                Err(utf16) if !self.has_content => self.is_utf16(utf16),
                _ => self.is_binary(),
            });
        }
        Ok(())
    }

    fn wrong_format(&self, wrong: WrongFormat) -> Error {
        self.usage_error(format!("line {} {wrong}", self.number))
            .with_hint(wrong.hint())
    }

    fn is_binary(&self) -> Error {
        self.usage_error("it has NUL bytes, so it is a binary file")
            .with_hint("give a text file with one id on each line")
    }

    fn is_utf16(&self, utf16: Utf16Text) -> Error {
        self.usage_error(utf16.to_string())
            .with_hint(Utf16Text::HINT)
    }

    fn usage_error(&self, why: impl Into<String>) -> Error {
        Error::new(Code::Usage, format!("cannot read ids from {}", self.name)).with_cause(why)
    }

    fn read_error(&self, why: impl Into<String>) -> Error {
        let what = format!("cannot read ids from {}", self.name);
        Error::new(Code::LocalIo, what).with_cause(why)
    }
}
