//! Which parts of a URL are secrets: a reader of such a part can fetch the document.

use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use url::Url;

/// A shorter value, in bytes, is no secret.
const MIN_SECRET_BYTES: usize = 8;
/// A value of this length may be a secret under any name of its parameter.
const MIN_UNNAMED_SECRET_BYTES: usize = 20;
/// A segment of the path of this length may be a secret, where no parameter is one.
const MIN_PATH_SECRET_BYTES: usize = 16;

/// Parameters of presigned URLs that are secrets in any text, in lower case.
const SECRET_SIGNATURE_PARAMETERS: [&str; 17] = [
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

/// Words within the name of a parameter whose value is a secret.
const SECRET_WORDS: [&str; 23] = [
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
/// Parts of such words.
const SECRET_PARTS: [&str; 8] = [
    "accessid",
    "accesskey",
    "apikey",
    "credential",
    "secret",
    "session",
    "signature",
    "token",
];

/// Whether a parameter says how the response looks, and not who may read it.
fn describes_response(name: &str) -> bool {
    name.starts_with("response-") || matches!(name, "rscd" | "rsct" | "filename" | "etag")
}

/// Whether the value of the parameter `name`, in lower case, is a secret.
fn is_secret_name(name: &str) -> bool {
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| SECRET_WORDS.contains(&word))
        || SECRET_PARTS.iter().any(|part| name.contains(part))
}

/// Whether `name`, in lower case, is a parameter of presigned URLs only.
pub(super) fn is_signature_parameter(name: &[u8]) -> bool {
    SECRET_SIGNATURE_PARAMETERS
        .iter()
        .any(|signed| signed.as_bytes() == name)
}

/// Whether the secret of a URL is a part of its path. Such a path gives no file name.
pub(crate) fn has_secret_path(url: &Url) -> bool {
    let path = percent_decode_str(url.path()).decode_utf8_lossy();
    secret_parts(url, &path).next().is_some()
}

/// The parts of a URL's `path` that may be secrets, where no parameter is one.
fn secret_parts<'a>(url: &Url, path: &'a str) -> impl Iterator<Item = &'a str> {
    let parts = path.split('/').filter(|part| {
        let stem = part.rsplit_once('.').map_or(*part, |(stem, _)| stem);
        let digits = stem.bytes().any(|byte| byte.is_ascii_digit());
        stem.len() >= MIN_PATH_SECRET_BYTES && digits && !stem.contains(' ')
    });
    parts.filter(|_| !has_secret_parameter(url))
}

fn has_secret_parameter(url: &Url) -> bool {
    url.query_pairs().any(|(name, value)| {
        let name = name.to_ascii_lowercase();
        value.len() >= MIN_SECRET_BYTES && !describes_response(&name) && is_secret_name(&name)
    })
}

/// A secret of a URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UrlSecret {
    /// A value of its query, or a part of its path.
    pub value: String,
    /// Whether the value is a secret even where an id or a name is equal to it.
    pub certain: bool,
}

/// The secrets of an answer, of these values. `certain` as for the secret of a URL.
pub(super) fn answer_secrets<'a>(
    values: impl IntoIterator<Item = &'a str>,
    certain: bool,
) -> Vec<UrlSecret> {
    let long = values
        .into_iter()
        .filter(|value| value.len() >= MIN_SECRET_BYTES);
    let secrets = long.map(|value| UrlSecret {
        value: value.to_owned(),
        certain,
    });
    secrets.collect()
}

/// The secrets of a URL: values of its query, parts of its path, its user name and password.
pub(super) fn url_secrets(url: &Url) -> Vec<UrlSecret> {
    let path = percent_decode_str(url.path()).decode_utf8_lossy();
    let mut found = Vec::new();
    let mut add = |value: &str, certain| {
        if value.len() >= MIN_SECRET_BYTES {
            let value = value.to_owned();
            found.push(UrlSecret { value, certain });
        }
    };
    for (name, value) in url.query_pairs() {
        let name = name.to_ascii_lowercase();
        let may_be_secret =
            is_secret_name(&name) || value.len() >= MIN_UNNAMED_SECRET_BYTES && !is_time(&value);
        if describes_response(&name) || !may_be_secret {
            continue;
        }
        // The parameter `key` may be the key of an object.
        let certain = is_secret_name(&name) && name != "key";
        if certain || !path.ends_with(&*value) {
            add(&value, certain);
        }
        // The first part of a credential is the id of a key.
        if let Some((id, _)) = value.split_once('/')
            && name.contains("credential")
        {
            add(id, true);
        }
    }
    for part in secret_parts(url, &path) {
        add(part.rsplit_once('.').map_or(part, |(stem, _)| stem), false);
    }
    for part in [Some(url.username()), url.password()].into_iter().flatten() {
        add(&percent_decode_str(part).decode_utf8_lossy(), true);
    }
    found
}

/// Whether a value is a time or a duration in digits.
fn is_time(value: &str) -> bool {
    let digits = |byte: u8| byte.is_ascii_digit() || b"-:;.TZ+ ".contains(&byte);
    value.contains([':', ';']) && value.bytes().all(digits)
}

/// Whether a message of a server mentions a parameter whose value may be a secret.
pub(super) fn mentions_secret(text: &str) -> bool {
    let lower: Cow<'_, str> = text.to_ascii_lowercase().into();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    lower.match_indices('=').any(|(at, _)| {
        let before = &lower[..at];
        let name = &before[before.trim_end_matches(is_name).len()..];
        let value = lower[at + 1..].split(['&', '"', ')', '>', ';']).next();
        !name.is_empty()
            && is_secret_name(name)
            && value.is_some_and(|value| value.len() >= MIN_SECRET_BYTES)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Vec<String> {
        let found = url_secrets(&Url::parse(url).unwrap()).into_iter();
        found.map(|opener| opener.value).collect()
    }

    #[test]
    fn secrets_of_urls_are_told_from_descriptions() {
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
    fn a_path_is_secret_where_no_parameter_is() {
        let of = |url: &str| has_secret_path(&Url::parse(url).unwrap());
        assert!(of("https://h/dl/5igned-and-secret"));
        assert!(of(
            "https://h/5igned-and-secret/x.pdf?response-content-type=application/pdf&v=1"
        ));
        assert!(!of("https://h/dl/report-2026.pdf"));
        assert!(!of("https://h/dl/0123456789abcdef?X-Sig=5igned-and-secret"));
        assert!(!of("https://h/dl/0123456789abcdef?sig=ab%2Bcdefgh%3D"));
    }
}
