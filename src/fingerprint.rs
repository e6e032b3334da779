//! Short names for values that must not be readable in a file name: parts of a SHA-256.

use std::fmt::Write as _;

/// `bytes` in lower-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The first 128 bits of the SHA-256 of `parts`, in hexadecimal. Every part is hashed with its length, so
/// that different parts never hash alike. Nothing of the parts can be read from the result.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> String {
    format!("{:032x}", digest128(parts))
}

/// The number that [`fingerprint`] writes in hexadecimal.
pub(crate) fn digest128(parts: &[&[u8]]) -> u128 {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let digest = context.finish();
    let first = digest.as_ref().iter().take(16);
    first.fold(0, |number, byte| number << 8 | u128::from(*byte))
}
