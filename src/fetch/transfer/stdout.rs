//! Standard output as a sink. A blocking thread writes, so that the transfer reads on meanwhile.

use crate::error::{Code, Error, Result};
use crate::fetch::entity::Entity;
use crate::state::blocking::{self, BlockingTask};
use crate::state::streams;
use crate::text::counted;
use std::io::{self, IsTerminal as _};

/// docfetch holds back at most this many bytes.
const MAX_HELD_BACK_BYTES: usize = 16 << 20;

/// Standard output, and what docfetch wrote there.
#[derive(Debug, Default)]
pub(crate) struct StdoutStream {
    writer: StdoutWriter,
    /// How many bytes were written or held back.
    position: u64,
    entity: Entity,
    /// Bytes that docfetch writes only after it verified the document.
    held_back: Option<Vec<u8>>,
    /// Whether standard output is a terminal, which gets no binary data.
    is_terminal: bool,
}

impl StdoutStream {
    /// Standard output, with nothing written.
    pub(super) fn new() -> Self {
        Self {
            is_terminal: io::stdout().is_terminal(),
            ..Self::default()
        }
    }

    pub(super) fn hold_back(&mut self, hold: bool) {
        let held_back = self.held_back.take().unwrap_or_default();
        self.held_back = (hold || !held_back.is_empty()).then_some(held_back);
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn entity(&self) -> &Entity {
        &self.entity
    }

    pub(super) fn begin(&mut self, entity: Entity) {
        self.entity = match self.position {
            0 => entity,
            _ => self.entity.updated(entity),
        };
    }

    /// Writes bytes, or holds them back.
    ///
    /// # Errors
    /// [`Code::StorageError`], when the stream would hold back too many bytes; [`Code::LocalIo`], when
    /// standard output did not take the bytes before these, or is a terminal and the bytes are no text.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.is_terminal && bytes.iter().copied().any(is_binary) {
            return Err(binary_for_terminal());
        }
        match &mut self.held_back {
            Some(held_back) if held_back.len() + bytes.len() > MAX_HELD_BACK_BYTES => {
                let what = "the document may be a web page, and is too long for standard output";
                return Err(Error::new(Code::StorageError, what)
                    .with_cause("docfetch cannot hold back the whole document to verify it first")
                    .with_hint("write to a file")
                    .into_permanent());
            }
            Some(held_back) => held_back.extend_from_slice(bytes),
            None => {
                let written = self.writer.write_all(bytes).await;
                written.map_err(|error| Error::stdout(&error))?;
            }
        }
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Writes what was held back, and flushes standard output.
    ///
    /// # Errors
    /// [`Code::LocalIo`].
    pub(super) async fn flush(&mut self) -> Result<()> {
        let held_back = self.held_back.take().unwrap_or_default();
        let written = match self.writer.write_all(&held_back).await {
            Ok(()) => self.writer.flush().await,
            failed => failed,
        };
        written.map_err(|error| Error::stdout(&error))
    }

    /// Starts over, when standard output has no byte yet. `changed`: the reason is that the document changed.
    ///
    /// # Errors
    /// [`Code::DocumentChanged`] or [`Code::Network`] when standard output has bytes already.
    pub(super) fn restart(&mut self, why: &str, changed: bool) -> Result<()> {
        let held_back = self.held_back.as_ref().map_or(0, Vec::len);
        if self.position == held_back as u64 {
            self.position = 0;
            self.held_back = None;
            return Ok(());
        }
        let code = if changed {
            Code::DocumentChanged
        } else {
            Code::Network
        };
        let what = "the document cannot be continued on standard output";
        Err(Error::new(code, what)
            .with_cause(format!(
                "it broke after {}, and {why}",
                counted(self.position, "byte")
            ))
            .with_hint("discard what was written and run again, or write to a file")
            .into_permanent())
    }
}

/// Whether text has no such byte: a control character other than those of lines, tabs and colours.
fn is_binary(byte: u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, 0x08..=0x0d | 0x1b)
}

fn binary_for_terminal() -> Error {
    let what = "docfetch does not write a binary document to a terminal";
    Error::new(Code::LocalIo, what)
        .with_cause("binary data can make a terminal unusable")
        .with_hint("redirect standard output (`-o - > FILE`), or give `-o FILE`")
        .into_permanent()
}

/// Writes to standard output on a blocking thread, one piece at a time.
#[derive(Debug, Default)]
struct StdoutWriter {
    writing: Option<BlockingTask<io::Result<()>>>,
}

impl StdoutWriter {
    /// Begins to write bytes, after it waited for the bytes before them.
    ///
    /// # Errors
    /// The error of the bytes before.
    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.flush().await?;
        let bytes = bytes.to_vec();
        self.writing = Some(blocking::spawn(move || streams::write_stdout(&bytes)));
        Ok(())
    }

    /// Waits until all bytes are written.
    ///
    /// # Errors
    /// The system's error.
    async fn flush(&mut self) -> io::Result<()> {
        match self.writing.take() {
            Some(writing) => writing.join().await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_that_were_held_back_can_be_taken_back() {
        let mut stream = StdoutStream::default();
        stream.hold_back(true);
        stream.write(b"<html>").await.unwrap();
        assert_eq!(stream.position(), 6);
        stream.hold_back(false); // those that are held back stay so
        stream.write(b"</html>").await.unwrap();
        stream.restart("a web page came", true).unwrap();
        assert_eq!(stream.position(), 0);
    }

    #[tokio::test]
    async fn a_terminal_gets_text_only() {
        let mut stream = StdoutStream::default();
        stream.hold_back(true); // standard output of the tests stays as it is
        for is_terminal in [false, true] {
            stream.is_terminal = is_terminal;
            for text in ["caf\u{e9}\r\n\t\u{1b}[1mbold\u{1b}[0m\u{c}", ""] {
                stream.write(text.as_bytes()).await.unwrap();
            }
            stream.write(b"caf\xe9").await.unwrap();
            for binary in [&b"a\0"[..], b"\x1f\x8b\x08", b"\x7f", b"\x0e", b"\x07"] {
                let written = stream.write(binary).await;
                assert_eq!(written.is_err(), is_terminal, "{binary:?}");
            }
        }
        let error = stream.write(b"\0").await.unwrap_err();
        assert!(error.code() == Code::LocalIo && !error.retryable());
    }

    #[tokio::test]
    async fn only_so_many_bytes_are_held_back() {
        let mut stream = StdoutStream::default();
        stream.hold_back(true);
        stream.write(&vec![0; MAX_HELD_BACK_BYTES]).await.unwrap();
        let error = stream.write(b"x").await.unwrap_err();
        assert_eq!(error.code(), Code::StorageError);
    }

    #[test]
    fn bytes_that_were_written_cannot_be_taken_back() {
        for (changed, code) in [(true, Code::DocumentChanged), (false, Code::Network)] {
            let mut stream = StdoutStream {
                position: 5,
                ..StdoutStream::default()
            };
            let error = stream.restart("the storage sent the whole document", changed);
            let error = error.unwrap_err();
            assert_eq!(error.code(), code);
            assert!(error.message().contains("after 5 bytes"), "{error}");
        }
    }
}
