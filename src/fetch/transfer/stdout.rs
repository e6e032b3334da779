//! Standard output for a document's bytes: written beside the transfer, one piece after another.

use crate::state::blocking::{self, Begun};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io;

/// Standard output.
#[derive(Debug, Default)]
pub(crate) struct Stdout {
    writing: Option<Begun<io::Result<()>>>,
}

impl Stdout {
    /// Hands bytes on, once those before are written.
    ///
    /// # Errors
    /// Of the bytes before.
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.flush().await?;
        let bytes = bytes.to_vec();
        self.writing = Some(blocking::begin(move || write_all(&bytes)));
        Ok(())
    }

    /// Waits until all bytes are written.
    ///
    /// # Errors
    /// Of what was not written.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        match self.writing.take() {
            Some(writing) => writing.end().await,
            None => Ok(()),
        }
    }
}

fn write_all(mut bytes: &[u8]) -> io::Result<()> {
    let stdout = io::stdout();
    while !bytes.is_empty() {
        match rustix::io::write(&stdout, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            // Somebody made it so that it does not wait.
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
