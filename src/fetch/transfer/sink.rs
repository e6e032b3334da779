//! Where the bytes of a document go: into a partial, or to standard output.

use crate::error::Result;
use crate::fetch::entity::Entity;
use crate::fetch::partial::Partial;
use crate::fetch::transfer::stdout::StdoutStream;
use std::ops::Range;

/// Where the bytes of a document go.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a document has one sink, in one place"
)]
pub(crate) enum Sink {
    /// Into a file, which docfetch publishes when it is complete.
    Partial(Partial),
    /// To standard output. What docfetch has written there stays written.
    Stdout(StdoutStream),
}

impl Sink {
    /// Standard output, with nothing written.
    pub(crate) fn stdout() -> Self {
        Self::Stdout(StdoutStream::new())
    }

    /// Holds the bytes for standard output back until [`Sink::flush`], if `hold`. They may belong to a web
    /// page instead of the document.
    pub(crate) fn hold_back(&mut self, hold: bool) {
        if let Self::Stdout(stream) = self {
            stream.hold_back(hold);
        }
    }

    /// How many bytes the sink has from the document's first byte on, without a gap.
    pub(crate) fn position(&self) -> u64 {
        match self {
            Self::Partial(partial) => partial.position(),
            Self::Stdout(stream) => stream.position(),
        }
    }

    /// How many bytes the sink has, including those behind a hole.
    pub(crate) fn held(&self) -> u64 {
        match self {
            Self::Partial(partial) => partial.held(),
            Self::Stdout(stream) => stream.position(),
        }
    }

    /// The first range that is missing, and the entity of the bytes that are here. When the bytes that are
    /// here do not have the storage's checksum, the whole document is missing: any of them may be damaged.
    /// They are kept until all of them have come again.
    pub(crate) fn missing(&self) -> (Range<u64>, &Entity) {
        static UNKNOWN: Entity = Entity::UNKNOWN;
        let hole = match self {
            Self::Partial(partial) if partial.refused().is_some() => {
                return (0..u64::MAX, &UNKNOWN);
            }
            Self::Partial(partial) => partial.next_hole(),
            Self::Stdout(_) => None,
        };
        (hole.unwrap_or(self.position()..u64::MAX), self.entity())
    }

    /// Forgets the bytes behind the first hole. Call this before a body that does not end at the hole's
    /// end: that body writes over them.
    pub(crate) fn forget_behind_holes(&mut self) {
        if let Self::Partial(partial) = self {
            partial.forget_behind_holes();
        }
    }

    /// The representation that the bytes belong to.
    pub(crate) fn entity(&self) -> &Entity {
        match self {
            Self::Partial(partial) => partial.entity(),
            Self::Stdout(stream) => stream.entity(),
        }
    }

    /// Notes the representation that the next bytes belong to.
    ///
    /// # Errors
    /// [`Code::DiskFull`](crate::Code::DiskFull) and [`Code::LocalIo`](crate::Code::LocalIo), when the disk
    /// has no space for the rest of the document.
    pub(crate) fn begin(&mut self, entity: Entity) -> Result<()> {
        match self {
            Self::Partial(partial) => partial.begin(entity),
            Self::Stdout(stream) => {
                stream.begin(entity);
                Ok(())
            }
        }
    }

    /// Appends bytes behind [`Sink::position`].
    ///
    /// # Errors
    /// [`Code::DiskFull`](crate::Code::DiskFull) and [`Code::LocalIo`](crate::Code::LocalIo) of a file; for
    /// standard output the errors of [`StdoutStream::write`].
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Partial(partial) => partial.write(bytes),
            Self::Stdout(stream) => stream.write(bytes).await,
        }
    }

    /// Writes the bytes that [`Sink::hold_back`] held back, and waits until standard output has all bytes.
    ///
    /// # Errors
    /// [`Code::LocalIo`](crate::Code::LocalIo), when standard output takes no more bytes.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        match self {
            Self::Partial(_) => Ok(()),
            Self::Stdout(stream) => stream.flush().await,
        }
    }

    /// Whether the sink is standard output.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self, Self::Stdout(_))
    }

    /// Discards all bytes, because of `why`; `changed` says whether the storage has another document now.
    ///
    /// # Errors
    /// When bytes went to standard output already: [`Code::DocumentChanged`](crate::Code::DocumentChanged)
    /// if `changed`, else [`Code::Network`](crate::Code::Network). The errors of [`Partial::restart`].
    pub(crate) fn restart(&mut self, why: &str, changed: bool) -> Result<()> {
        match self {
            Self::Partial(partial) => partial.restart(),
            Self::Stdout(stream) => stream.restart(why, changed),
        }
    }
}
