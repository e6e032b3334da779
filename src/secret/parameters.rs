//! Which parts of a URL make it open a document.

use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use url::Url;

/// A value that is shorter, in bytes, opens nothing.
const SHORTEST: usize = 8;
/// A value that is this long, in bytes, may open something, whatever its parameter is called.
const LONG: usize = 20;
/// So is a segment of the path, where no parameter opens the document.
const LONG_SEGMENT: usize = 16;

/// Parameters that only presigned URLs have, in any text.
const SIGNED: [&str; 17] = [
    "awsaccesskeyid",
    "googleaccessid",
    "key-pair-id",
    "ossaccesskeyid",
    "q-signature",
    "signature",
    "temp_url_sig",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
    "x-bce-security-token",
    "x-cos-security-token",
    "x-goog-credential",
    "x-goog-signature",
    "x-oss-credential",
    "x-oss-security-token",
    "x-oss-signature",
];

/// Words of a parameter's name whose value opens something.
const WORDS: [&str; 23] = [
    "ak",
    "auth",
    "authorization",
    "code",
    "credential",
    "hash",
    "hdnea",
    "hdntl",
    "hdnts",
    "hmac",
    "jwt",
    "key",
    "md5",
    "pass",
    "passwd",
    "password",
    "policy",
    "sas",
    "secret",
    "sig",
    "sign",
    "signature",
    "ticket",
];
/// The same inside a word.
const INSIDE: [&str; 8] = [
    "accessid",
    "accesskey",
    "apikey",
    "credential",
    "secret",
    "session",
    "signature",
    "token",
];

/// Parameters that say how the answer looks, not who may have it.
fn is_harmless(name: &str) -> bool {
    name.starts_with("response-") || matches!(name, "rscd" | "rsct" | "filename" | "etag")
}

/// Whether the value of the parameter `name`, in lower case, opens something.
fn opens(name: &str) -> bool {
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| WORDS.contains(&word)) || INSIDE.iter().any(|part| name.contains(part))
}

/// Whether a parameter of this name, in lower case, is of a presigned URL wherever it stands.
pub(super) fn is_signed(name: &[u8]) -> bool {
    SIGNED.iter().any(|signed| signed.as_bytes() == name)
}

/// Whether it is a part of its path that makes a URL open a document. Such a path names no file.
pub(crate) fn path_opens(url: &Url) -> bool {
    let path = percent_decode_str(url.path()).decode_utf8_lossy();
    open_parts(url, &path).next().is_some()
}

/// The parts of a URL's `path` that may open a document, where no parameter does.
fn open_parts<'a>(url: &Url, path: &'a str) -> impl Iterator<Item = &'a str> {
    let parts = path.split('/').filter(|part| {
        let stem = part.rsplit_once('.').map_or(*part, |(stem, _)| stem);
        let digits = stem.bytes().any(|byte| byte.is_ascii_digit());
        stem.len() >= LONG_SEGMENT && digits && !stem.contains(' ')
    });
    parts.filter(|_| !has_opener(url))
}

fn has_opener(url: &Url) -> bool {
    url.query_pairs().any(|(name, value)| {
        let name = name.to_ascii_lowercase();
        value.len() >= SHORTEST && !is_harmless(&name) && opens(&name)
    })
}

/// What makes a URL open its document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opener {
    /// A value of its query, or a part of its path.
    pub value: String,
    /// Whether that is sure, also where an id or a name reads the same.
    pub sure: bool,
}

/// What makes a URL open its document: values of its query, or parts of its path.
pub(super) fn openers(url: &Url) -> Vec<Opener> {
    let path = percent_decode_str(url.path()).decode_utf8_lossy();
    let mut found = Vec::new();
    let mut add = |value: &str, sure| {
        if value.len() >= SHORTEST {
            let value = value.to_owned();
            found.push(Opener { value, sure });
        }
    };
    for (name, value) in url.query_pairs() {
        let name = name.to_ascii_lowercase();
        let may_open = opens(&name) || value.len() >= LONG && !is_time(&value);
        if is_harmless(&name) || !may_open {
            continue;
        }
        // The key of an object opens nothing.
        let sure = opens(&name) && name != "key";
        if sure || !path.ends_with(&*value) {
            add(&value, sure);
        }
        // The first part of a credential is the id of a key.
        if let Some((id, _)) = value.split_once('/')
            && name.contains("credential")
        {
            add(id, true);
        }
    }
    for part in open_parts(url, &path) {
        add(part.rsplit_once('.').map_or(part, |(stem, _)| stem), false);
    }
    for part in [Some(url.username()), url.password()].into_iter().flatten() {
        add(&percent_decode_str(part).decode_utf8_lossy(), true);
    }
    found
}

/// A moment or a span, in digits.
fn is_time(value: &str) -> bool {
    let digits = |byte: u8| byte.is_ascii_digit() || b"-:;.TZ+ ".contains(&byte);
    value.contains([':', ';']) && value.bytes().all(digits)
}

/// Whether a server's own words hold a parameter whose value may open something.
pub(super) fn has_secret(text: &str) -> bool {
    let lower: Cow<'_, str> = text.to_ascii_lowercase().into();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    lower.match_indices('=').any(|(at, _)| {
        let before = &lower[..at];
        let name = &before[before.trim_end_matches(is_name).len()..];
        let value = lower[at + 1..].split(['&', '"', ')', '>', ';']).next();
        !name.is_empty() && opens(name) && value.is_some_and(|value| value.len() >= SHORTEST)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Vec<String> {
        let found = openers(&Url::parse(url).unwrap()).into_iter();
        found.map(|opener| opener.value).collect()
    }

    #[test]
    fn what_opens_a_document_is_told_from_what_describes_it() {
        let aws = "https://b.example/k/report.pdf?X-Amz-Algorithm=AWS4-HMAC-SHA256\
            &X-Amz-Credential=AKIAEXAMPLE%2F20261001%2Fus-east-1%2Fs3%2Faws4_request\
            &X-Amz-Date=20261001T083000Z&X-Amz-Expires=600&X-Amz-Signature=0123abcd\
            &X-Amz-Security-Token=a+b%2Fcdef%3D%3D&response-content-disposition=attachment%3B%20filename%3Da.pdf\
            &response-content-type=application%2Fpdf-and-more-than-that";
        let credential = "AKIAEXAMPLE/20261001/us-east-1/s3/aws4_request";
        assert_eq!(
            of(aws),
            [credential, "AKIAEXAMPLE", "0123abcd", "a b/cdef=="]
        );
        let azure = "https://a.example/c/b?sv=2024-11-04&se=2026-10-01T08:30:00Z&sr=b&sp=r\
            &rscd=attachment%3B%20filename%3Da-long-name.pdf&rsct=application/octet-stream&sig=ab%2Bcdefgh%3D";
        assert_eq!(of(azure), ["ab+cdefgh="]);
        for (url, expected) in [
            (
                "https://h/x?Policy=eyJTdGF0ZW1lbnQi&Signature=abcdefgh&Key-Pair-Id=APKAEXAMPLE1",
                3,
            ),
            (
                "https://h/x?AWSAccessKeyId=AKIAEXAMPLE&Expires=1790000000&Signature=abcdefgh",
                2,
            ),
            (
                "https://h/x?GoogleAccessId=me@x.example&Expires=1790000000&Signature=abcdefgh",
                2,
            ),
            (
                "https://h/x?temp_url_sig=abcdefgh&temp_url_expires=2026-10-01T08:30:00Z",
                1,
            ),
            ("https://h/x?md5=abcdefgh&expires=1790000000", 1),
            ("https://h/x?anything=01234567890123456789", 1),
            ("https://h/x?anything=short&sig=short", 0),
            (
                "https://h/bucket/a-rather-long-name-1.pdf?key=bucket/a-rather-long-name-1.pdf",
                0,
            ),
            ("https://h/dl/5igned-and-secret", 1),
            ("https://h/dl/5igned-and-secret/report.pdf", 1),
            ("https://h/dl/5igned-and-secret.pdf", 1),
        ] {
            assert_eq!(of(url).len(), expected, "{url} {:?}", of(url));
        }
    }

    #[test]
    fn a_path_opens_where_no_parameter_does() {
        let of = |url: &str| path_opens(&Url::parse(url).unwrap());
        assert!(of("https://h/dl/5igned-and-secret"));
        assert!(of(
            "https://h/5igned-and-secret/x.pdf?response-content-type=application/pdf&v=1"
        ));
        assert!(!of("https://h/dl/report-2026.pdf"));
        assert!(!of("https://h/dl/0123456789abcdef?X-Sig=5igned-and-secret"));
        assert!(!of("https://h/dl/0123456789abcdef?sig=ab%2Bcdefgh%3D"));
    }
}
