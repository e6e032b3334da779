//! The SHA-256 of a file that is already on disk.

use crate::fingerprint::hexadecimal;
use ring::digest;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The size of a read buffer, in bytes, that makes hashing as fast as it can be.
pub(crate) const HASH_BUFFER_BYTES: usize = 128 << 10;

/// The SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// The system's error, when the file cannot be opened or read.
pub(crate) fn sha256_of_file(path: &Path) -> io::Result<String> {
    sha256_of_file_while(path, &mut vec![0; HASH_BUFFER_BYTES], || true)
}

/// The SHA-256 of a file, in hexadecimal. Reads the file through `buffer`, and stops early when
/// `keep_reading` returns false; the digest is then of the bytes read so far.
///
/// # Errors
/// The system's error, when the file cannot be opened or read.
pub(crate) fn sha256_of_file_while(
    path: &Path,
    buffer: &mut [u8],
    keep_reading: impl Fn() -> bool,
) -> io::Result<String> {
    // NONBLOCK: a pipe that took the file's place must not block this process until a writer comes.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let mut context = digest::Context::new(&digest::SHA256);
    while keep_reading() {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(read) => context.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hexadecimal(context.finish().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_hashed_to_its_end_or_until_the_caller_stops() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"123456789").unwrap();
        let whole = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225";
        assert_eq!(sha256_of_file(&path).unwrap(), whole);
        let in_small_pieces = sha256_of_file_while(&path, &mut [0; 4], || true);
        assert_eq!(in_small_pieces.unwrap(), whole);
        let stopped_at_once = sha256_of_file_while(&path, &mut [0; 4], || false);
        assert!(stopped_at_once.unwrap().starts_with("e3b0c442"));
    }
}
