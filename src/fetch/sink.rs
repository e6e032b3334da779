//! Where the bytes go: a partial, or standard output.

use super::partial::{Entity, Partial};
use crate::error::{Code, Error, Result};
use std::ops::Range;
use tokio::io::AsyncWriteExt as _;

/// Where the bytes go.
#[derive(Debug)]
pub enum Sink {
    /// Into a file that is published when it is whole.
    Partial(Partial),
    /// Through a pipe: what was written cannot be taken back.
    Stdout(Stream),
}

/// Standard output, and what went through it.
#[derive(Debug)]
pub struct Stream {
    out: tokio::io::Stdout,
    position: u64,
    entity: Entity,
}

impl Sink {
    /// Standard output, nothing written yet.
    pub fn stdout() -> Self {
        Self::Stdout(Stream {
            out: tokio::io::stdout(),
            position: 0,
            entity: Entity::default(),
        })
    }

    /// How many bytes it has.
    pub fn position(&self) -> u64 {
        match self {
            Self::Partial(partial) => partial.position(),
            Self::Stdout(stream) => stream.position,
        }
    }

    /// How many bytes it has, those behind a hole, too.
    pub fn held(&self) -> u64 {
        match self {
            Self::Partial(partial) => partial.held(),
            Self::Stdout(stream) => stream.position,
        }
    }

    /// What is missing next, up to where there is something again or the end.
    pub fn missing(&self) -> Range<u64> {
        let next = match self {
            Self::Partial(partial) => partial.next_hole(),
            Self::Stdout(_) => None,
        };
        next.unwrap_or(self.position()..u64::MAX)
    }

    /// Forgets what is behind a hole: a body that cannot stop there writes over it.
    pub fn forget_behind_holes(&mut self) {
        if let Self::Partial(partial) = self {
            partial.forget_behind_holes();
        }
    }

    /// What they belong to.
    pub fn entity(&self) -> &Entity {
        match self {
            Self::Partial(partial) => partial.entity(),
            Self::Stdout(stream) => &stream.entity,
        }
    }

    /// Notes what the bytes belong to.
    pub fn begin(&mut self, entity: Entity) -> Result<()> {
        match self {
            Self::Partial(partial) => partial.begin(entity),
            Self::Stdout(stream) => {
                stream.entity = entity;
                Ok(())
            }
        }
    }

    /// Appends.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Partial(partial) => partial.write(bytes),
            Self::Stdout(stream) => {
                let length = bytes.len() as u64;
                stream
                    .out
                    .write_all(bytes)
                    .await
                    .map_err(|error| Error::stdout(&error))?;
                stream.position += length;
                Ok(())
            }
        }
    }

    /// Hands on what is still held back.
    pub async fn flush(&mut self) -> Result<()> {
        match self {
            Self::Partial(_) => Ok(()),
            Self::Stdout(stream) => stream
                .out
                .flush()
                .await
                .map_err(|error| Error::stdout(&error)),
        }
    }

    /// Whether what is in it cannot be taken back.
    pub fn is_stream(&self) -> bool {
        matches!(self, Self::Stdout(_))
    }

    /// Starts over because of `why`; `other` when it is another document now.
    ///
    /// # Errors
    /// When bytes are already through a pipe: [`Code::DocumentChanged`] for another document, else
    /// [`Code::Network`].
    pub fn restart(&mut self, why: &str, other: bool) -> Result<()> {
        match self {
            Self::Partial(partial) => partial.restart(),
            Self::Stdout(stream) if stream.position == 0 => Ok(()),
            Self::Stdout(stream) => {
                let code = if other {
                    Code::DocumentChanged
                } else {
                    Code::Network
                };
                let what = "the document cannot be continued on standard output";
                Err(Error::new(code, what)
                    .why(format!(
                        "it broke after {} bytes, and {why}",
                        stream.position
                    ))
                    .hint("discard what was written and run again, or write to a file")
                    .permanent())
            }
        }
    }
}
