//! Content codings (RFC 9110 section 8.4.1). docfetch requests documents without one and saves bytes as they
//! come. Some servers code bytes all the same, on their way: the user must learn that the file holds coded bytes,
//! unless its name tells that.

/// Codings, the extensions that tell them, and the command that decodes them.
const CODINGS: [(&[&str], &[&str], &str); 6] = [
    (
        &["gzip", "x-gzip"],
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
