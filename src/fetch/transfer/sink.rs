//! Where the bytes go: a partial, or standard output.

use crate::error::{Code, Error, Result};
use crate::fetch::entity::Entity;
use crate::fetch::partial::Partial;
use crate::fetch::transfer::stdout::Stdout;
use std::ops::Range;

/// Where the bytes go.
#[derive(Debug)]
pub(crate) enum Sink {
    /// Into a file that is published when it is whole.
    Partial(Partial),
    /// Through a pipe: what was written cannot be taken back.
    Stdout(Stream),
}

/// Standard output, and what went through it.
#[derive(Debug)]
pub(crate) struct Stream {
    out: Stdout,
    position: u64,
    entity: Entity,
    /// What is not written before all of it is verified.
    held_back: Option<Vec<u8>>,
}

/// So many bytes are held back at most.
const HELD_BACK: usize = 16 << 20;

impl Stream {
    /// Whether nothing of it went through the pipe.
    fn is_unwritten(&self) -> bool {
        let held_back = self.held_back.as_ref().map_or(0, Vec::len);
        self.position == held_back as u64
    }
}

impl Sink {
    /// Standard output, nothing written yet.
    pub(crate) fn stdout() -> Self {
        Self::Stdout(Stream {
            out: Stdout::default(),
            position: 0,
            entity: Entity::default(),
            held_back: None,
        })
    }

    /// Holds bytes of a pipe back until [`Sink::flush`]: what follows is written only if it turns out to be
    /// the document.
    pub(crate) fn hold_back(&mut self, hold: bool) {
        if let Self::Stdout(stream) = self {
            let held_back = stream.held_back.take().unwrap_or_default();
            stream.held_back = (hold || !held_back.is_empty()).then_some(held_back);
        }
    }

    /// How many bytes it has.
    pub(crate) fn position(&self) -> u64 {
        match self {
            Self::Partial(partial) => partial.position(),
            Self::Stdout(stream) => stream.position,
        }
    }

    /// How many bytes it has, those behind a hole, too.
    pub(crate) fn held(&self) -> u64 {
        match self {
            Self::Partial(partial) => partial.held(),
            Self::Stdout(stream) => stream.position,
        }
    }

    /// What is missing next, up to where there is something again or the end, and of what. Bytes that were
    /// refused may have been spoiled on their way: they are kept until all of them come again.
    pub(crate) fn missing(&self) -> (Range<u64>, &Entity) {
        static ANY: Entity = Entity::UNKNOWN;
        let next = match self {
            Self::Partial(partial) if partial.refused().is_some() => return (0..u64::MAX, &ANY),
            Self::Partial(partial) => partial.next_hole(),
            Self::Stdout(_) => None,
        };
        (next.unwrap_or(self.position()..u64::MAX), self.entity())
    }

    /// Forgets what is behind a hole: a body that cannot stop there writes over it.
    pub(crate) fn forget_behind_holes(&mut self) {
        if let Self::Partial(partial) = self {
            partial.forget_behind_holes();
        }
    }

    /// What they belong to.
    pub(crate) fn entity(&self) -> &Entity {
        match self {
            Self::Partial(partial) => partial.entity(),
            Self::Stdout(stream) => &stream.entity,
        }
    }

    /// Notes what the bytes belong to.
    pub(crate) fn begin(&mut self, entity: Entity) -> Result<()> {
        match self {
            Self::Partial(partial) => partial.begin(entity),
            Self::Stdout(stream) => {
                stream.entity = match stream.position {
                    0 => entity,
                    _ => stream.entity.updated(entity),
                };
                Ok(())
            }
        }
    }

    /// Appends.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Partial(partial) => partial.write(bytes),
            Self::Stdout(stream) => {
                match &mut stream.held_back {
                    Some(held_back) if held_back.len() + bytes.len() > HELD_BACK => {
                        let what = "what may be a web page is too long for standard output";
                        return Err(Error::new(Code::StorageError, what)
                            .with_cause("it cannot be verified before it is written")
                            .with_hint("write to a file")
                            .into_permanent());
                    }
                    Some(held_back) => held_back.extend_from_slice(bytes),
                    None => {
                        let written = stream.out.write_all(bytes).await;
                        written.map_err(|error| Error::stdout(&error))?;
                    }
                }
                stream.position += bytes.len() as u64;
                Ok(())
            }
        }
    }

    /// Hands on what is still held back.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        match self {
            Self::Partial(_) => Ok(()),
            Self::Stdout(stream) => {
                let held_back = stream.held_back.take().unwrap_or_default();
                let written = match stream.out.write_all(&held_back).await {
                    Ok(()) => stream.out.flush().await,
                    failed => failed,
                };
                written.map_err(|error| Error::stdout(&error))
            }
        }
    }

    /// Whether what is in it cannot be taken back.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self, Self::Stdout(_))
    }

    /// Starts over because of `why`; `other` when it is another document now.
    ///
    /// # Errors
    /// When bytes are already through a pipe: [`Code::DocumentChanged`] for another document, else
    /// [`Code::Network`].
    pub(crate) fn restart(&mut self, why: &str, other: bool) -> Result<()> {
        match self {
            Self::Partial(partial) => partial.restart(),
            Self::Stdout(stream) if stream.is_unwritten() => {
                stream.position = 0;
                stream.held_back = None;
                Ok(())
            }
            Self::Stdout(stream) => {
                let code = if other {
                    Code::DocumentChanged
                } else {
                    Code::Network
                };
                let what = "the document cannot be continued on standard output";
                Err(Error::new(code, what)
                    .with_cause(format!(
                        "it broke after {} bytes, and {why}",
                        stream.position
                    ))
                    .with_hint("discard what was written and run again, or write to a file")
                    .into_permanent())
            }
        }
    }
}
