//! Lines of GNU sha256sum: `<SHA-256>  <name>`.

use crate::manifest::entry::{ManifestEntry, UnreadableLine, checked_path, checked_sha256};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

/// The length of a SHA-256 in hexadecimal.
const DIGEST_CHARACTERS: usize = 64;

/// Parses a line without its end: `<SHA-256>  <name>` (text) or `<SHA-256> *<name>` (binary). A backslash
/// at the beginning says that characters of the name are escaped.
///
/// # Errors
/// The line does not have the form of sha256sum.
pub(super) fn parse(line: &[u8]) -> Result<ManifestEntry, UnreadableLine> {
    let line = line.trim_ascii_start();
    let (is_escaped, line) = match line.strip_prefix(b"\\") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (sha256, rest) = line
        .split_at_checked(DIGEST_CHARACTERS)
        .ok_or(UnreadableLine)?;
    let name = rest
        .strip_prefix(b"  ")
        .or_else(|| rest.strip_prefix(b" *"))
        .ok_or(UnreadableLine)?;
    let name = if is_escaped {
        unescaped(name)?
    } else {
        name.to_vec()
    };
    Ok(ManifestEntry {
        path: checked_path(OsString::from_vec(name).into())?,
        sha256: Some(checked_sha256(sha256)?),
        ..ManifestEntry::default()
    })
}

fn unescaped(name: &[u8]) -> Result<Vec<u8>, UnreadableLine> {
    let mut plain = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'\\') => b'\\',
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                _ => return Err(UnreadableLine),
            },
            byte => *byte,
        });
    }
    Ok(plain)
}

/// Writes a line without its end. `sha256sum -c` finds the file at `path` by this line, also when
/// the path has line feeds or bytes that are not UTF-8.
pub(super) fn line(sha256: &str, path: &Path) -> Vec<u8> {
    let name = path.as_os_str().as_bytes();
    let mut line = Vec::with_capacity(sha256.len() + name.len() + 4);
    if name
        .iter()
        .any(|byte| matches!(byte, b'\\' | b'\n' | b'\r'))
    {
        line.push(b'\\');
    }
    line.extend_from_slice(sha256.as_bytes());
    line.extend_from_slice(b"  ");
    if name == b"-" {
        line.extend_from_slice(b"./"); // for sha256sum, `-` is standard input
    }
    for byte in name {
        match byte {
            b'\\' => line.extend_from_slice(b"\\\\"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            byte => line.push(*byte),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    #[test]
    fn a_file_called_dash_is_not_standard_input() {
        let line = line(A, Path::new("-"));
        assert_eq!(line, format!("{A}  ./-").into_bytes());
    }
}
