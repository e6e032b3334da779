//! Content codings (RFC 9110 section 8.4.1). docfetch requests documents without one and saves bytes as they
//! come. Some servers code bytes all the same, on their way: the user must learn that the file holds coded bytes,
//! unless its name tells that.

use super::html::MAX_SNIFFED_BYTES;
use flate2::read::MultiGzDecoder;
use std::io::Read as _;

/// The names of gzip (RFC 9110 section 8.4.1.3).
const GZIP: [&str; 2] = ["gzip", "x-gzip"];

/// Codings, the extensions that tell them, and the command that decodes them.
const CODINGS: [(&[&str], &[&str], &str); 6] = [
    (
        &GZIP,
        &["gz", "gzip", "tgz", "svgz", "bgz", "bam", "emz", "wmz"],
        "gzip -d",
    ),
    (&["br"], &["br"], "brotli -d"),
    (&["zstd"], &["zst", "zstd", "tzst"], "zstd -d"),
    (&["compress", "x-compress"], &["z", "taz"], "uncompress"),
    (&["bzip2", "x-bzip2"], &["bz2", "tbz", "tbz2"], "bzip2 -d"),
    (&["xz"], &["xz", "txz"], "xz -d"),
];

/// Whether one of the `names` of a document tells that its bytes have this `coding`.
pub(crate) fn is_told<'a>(coding: &str, names: impl IntoIterator<Item = &'a str>) -> bool {
    let extensions = CODINGS
        .iter()
        .find(|(codings, ..)| codings.contains(&coding))
        .map_or(&[][..], |(_, extensions, _)| *extensions);
    names.into_iter().any(|name| {
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        extensions.contains(&&*extension.to_ascii_lowercase())
    })
}

/// The first text, [`MAX_SNIFFED_BYTES`] at most, of a body in this `coding` that starts with `bytes`; `None` for
/// a coding that docfetch does not decode.
pub(super) fn decoded_start(coding: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    if !GZIP.contains(&coding) {
        return None;
    }
    let mut text = Vec::new();
    let mut decoder = MultiGzDecoder::new(bytes).take(MAX_SNIFFED_BYTES as u64);
    // The bytes may end early, which is an error. The text before an error counts.
    let _ = decoder.read_to_end(&mut text);
    Some(text)
}

/// The command that decodes a `coding`, where docfetch knows one.
pub(crate) fn decoding_command(coding: &str) -> Option<&'static str> {
    let known = CODINGS
        .iter()
        .find(|(codings, ..)| codings.contains(&coding));
    known.map(|(.., command)| *command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_gzip_body_is_decoded_and_bounded() {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"<html>").unwrap();
        encoder.write_all(&vec![b' '; 10 << 20]).unwrap();
        let bomb = encoder.finish().unwrap();
        let whole = decoded_start("x-gzip", &bomb).unwrap();
        assert_eq!(whole.len(), MAX_SNIFFED_BYTES);
        let part = decoded_start("gzip", &bomb[..bomb.len() / 2]).unwrap();
        assert!(part.starts_with(b"<html>"));
        assert_eq!(decoded_start("gzip", b"<html>"), Some(Vec::new()));
        assert_eq!(decoded_start("br", &bomb), None);
    }

    #[test]
    fn an_extension_tells_the_coding_of_a_document() {
        for (coding, name) in [
            ("gzip", "a.csv.gz"),
            ("x-gzip", "a.TGZ"),
            ("gzip", "a.vcf.bgz"),
            ("br", "a.js.br"),
            ("zstd", "a.tar.zst"),
        ] {
            assert!(is_told(coding, ["a", name]), "{coding} {name}");
            assert!(decoding_command(coding).is_some());
        }
        for (coding, name) in [
            ("gzip", "a.csv"),
            ("gzip", "gz"),
            ("gzip", "a.br"),
            ("deflate", "a.gz"),
            ("gzip, br", "a.gz"),
        ] {
            assert!(!is_told(coding, [name]), "{coding} {name}");
        }
    }
}
