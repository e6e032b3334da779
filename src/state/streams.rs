//! The standard streams. Another process that shares a stream, such as an event loop or a shell, may have made
//! the stream non-blocking: reads and writes wait until the stream is ready.

use crate::error::{Error, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat, stat};
use rustix::io::Errno;
use std::io::{self, Read};
use std::os::fd::AsFd;

/// Standard input, without a buffer of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stdin;

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let stdin = io::stdin();
        loop {
            match rustix::io::read(&stdin, &mut *buffer) {
                Err(Errno::AGAIN) => wait(&stdin, PollFlags::IN)?,
                read => return Ok(read?),
            }
        }
    }
}

/// Writes all bytes to standard output.
///
/// # Errors
/// The system's error.
pub(crate) fn write_stdout(bytes: &[u8]) -> io::Result<()> {
    write_all(&io::stdout().lock(), bytes)
}

/// Writes all bytes to standard error.
///
/// # Errors
/// The system's error.
pub(crate) fn write_stderr(bytes: &[u8]) -> io::Result<()> {
    write_all(&io::stderr().lock(), bytes)
}

fn write_all(stream: &impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(stream, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(stream, PollFlags::OUT)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Waits until the stream is ready, or broken.
fn wait(stream: &impl AsFd, ready: PollFlags) -> io::Result<()> {
    match poll(&mut [PollFd::new(stream, ready)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Checks that standard output takes bytes, before docfetch pays for them.
///
/// Before `main`, Rust opens `/dev/null` for reading and writing in the place of a stream that is closed.
/// A program that discards its output has `/dev/null` for writing alone.
///
/// # Errors
/// [`Code::LocalIo`](crate::error::Code::LocalIo) when standard output is closed, is open for reading only, or
/// is a pipe without a reader.
pub(crate) fn check_stdout() -> Result<()> {
    let stdout = io::stdout();
    let failed = |error: Errno| Error::stdout(&error.into());
    let mode = fcntl_getfl(&stdout).map_err(failed)? & OFlags::RWMODE;
    let is_closed = mode == OFlags::RDWR && is_null_device(&stdout).map_err(failed)?;
    if mode == OFlags::RDONLY || is_closed {
        let closed = Error::stdout(&Errno::BADF.into()).with_cause("standard output is closed");
        return Err(closed.with_hint("redirect standard output to a file or to a program"));
    }
    let mut stream = [PollFd::new(&stdout, PollFlags::OUT)];
    let now = rustix::time::Timespec::default();
    let has_no_reader =
        poll(&mut stream, Some(&now)).is_ok() && stream[0].revents().contains(PollFlags::ERR);
    if has_no_reader {
        return Err(failed(Errno::PIPE));
    }
    Ok(())
}

fn is_null_device(stream: &impl AsFd) -> rustix::io::Result<bool> {
    let found = fstat(stream)?;
    let is_device = FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice;
    Ok(is_device && stat("/dev/null").is_ok_and(|null| null.st_rdev == found.st_rdev))
}
