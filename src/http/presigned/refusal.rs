//! Why a storage refuses a presigned URL.

use crate::http::headers;
use crate::secret::scrub;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// Why a storage refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The URL has expired.
    Expired,
    /// The URL is not valid yet.
    NotValidYet,
    /// The request does not match what was signed.
    Signature,
    /// The storage says that the clock which signed the URL is wrong.
    ClockSkew,
    /// The document is in another region, or at another endpoint.
    Elsewhere,
    /// The storage had trouble with the connection, although the status blames the request.
    Transient,
    /// Another reason.
    Denied,
}

/// What the body of a storage's error says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StorageErrorBody {
    /// The error code, where it is in the services' published lists. So a storage cannot make docfetch print a
    /// text of its choice.
    pub code: Option<&'static str>,
    /// What it means.
    pub meaning: Refusal,
    /// The region or endpoint where the document is, as the storage says.
    pub place: Option<String>,
}

/// The longest name of a region or an endpoint, in bytes: that of a host name (RFC 1035 section 2.3.4).
const MAX_PLACE_BYTES: usize = 255;

/// How storages say that a URL expired, in lower case, whether `has`, `is` or nothing is before `expired`.
const EXPIRED_THINGS: [&str; 9] = [
    "request",
    "url",
    "link",
    "signature",
    "token",
    "jwt",
    "policy",
    "session",
    "sas",
];
/// How storages say that a URL is not valid yet, in lower case.
const NOT_VALID_YET: [&str; 4] = [
    "not valid yet",
    "not yet valid",
    "notreadyyet",
    "not active yet",
];

impl StorageErrorBody {
    /// Reads the XML body of an error as S3, Google, Azure and compatible storages send it, the JSON body of
    /// others, or the text of a page. `headers` are those of the answer.
    pub(crate) fn read(body: &[u8], headers: &HeaderMap) -> Self {
        let text = String::from_utf8_lossy(body);
        let json: Option<Value> = serde_json::from_slice(body).ok();
        let code = element(&text, "Code").or_else(|| {
            let mut fields = ["code", "error", "Code"].iter();
            fields.find_map(|field| json.as_ref()?.get(field)?.as_str())
        });
        let known = code.and_then(|code| STORAGE_ERROR_CODES.iter().find(|known| **known == code));
        let known = known.copied();
        let region = element(&text, "Endpoint").or_else(|| element(&text, "Region"));
        let region = region.or_else(|| headers::text(headers, "x-amz-bucket-region"));
        Self {
            code: known,
            meaning: meaning(code.unwrap_or_default(), &text.to_ascii_lowercase()),
            place: region.filter(|place| is_place(place)).map(scrub),
        }
    }
}

/// The text of the first XML element of this name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let start = xml.find(&format!("<{name}>"))? + name.len() + 2;
    let length = xml[start..].find("</")?;
    Some(xml[start..start + length].trim())
}

/// Whether a text looks like the name of a region or a host.
fn is_place(text: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    !text.is_empty() && text.len() <= MAX_PLACE_BYTES && text.bytes().all(is_usual)
}

/// What a storage means by an error `code` and a body, both of which it chooses; `body` is in lower case.
fn meaning(code: &str, body: &str) -> Refusal {
    // Azure: "Signature not valid in the specified time frame".
    let out_of_time = body.contains("time frame");
    let about_region = body.contains("region");
    match code {
        "RequestTimeTooSkewed" => Refusal::ClockSkew,
        "RequestTimeout" => Refusal::Transient,
        "PermanentRedirect"
        | "Redirect"
        | "TemporaryRedirect"
        | "IllegalLocationConstraintException"
        | "InvalidRegion" => Refusal::Elsewhere,
        "AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError" if about_region => {
            Refusal::Elsewhere
        }
        _ if NOT_VALID_YET.iter().any(|said| body.contains(said)) => Refusal::NotValidYet,
        "TokenRefreshRequired" => Refusal::Expired,
        "AccessDenied" if body.contains("expired") => Refusal::Expired,
        "AuthenticationFailed" if out_of_time => Refusal::Expired,
        "SignatureDoesNotMatch" | "AuthenticationFailed" => Refusal::Signature,
        _ if says_expired(&code.to_ascii_lowercase()) || says_expired(body) => Refusal::Expired,
        _ => Refusal::Denied,
    }
}

/// Whether a text in lower case says that a URL, or what makes it valid, expired: `ExpiredToken`, `TokenExpired`,
/// `expired_auth_token`, "Request has expired". Other things, such as a subscription, do not count.
fn says_expired(text: &str) -> bool {
    text.match_indices("expired").any(|(at, word)| {
        let after = text[at + word.len()..].trim_start_matches(['_', '-', ' ']);
        let after = after.strip_prefix("auth_").unwrap_or(after);
        let mut before = text[..at].trim_end_matches(['_', '-', ' ']);
        for filler in ["already", "has", "is", "have"] {
            before = before.strip_suffix(filler).unwrap_or(before).trim_end();
        }
        let is_alone = before.is_empty() && after.is_empty();
        is_alone
            || EXPIRED_THINGS
                .iter()
                .any(|thing| before.ends_with(thing) || after.starts_with(thing))
    })
}

/// The error codes of Amazon S3, Google Cloud Storage (XML API) and Azure Blob Storage, from their published
/// lists, and a few of compatible storages.
const STORAGE_ERROR_CODES: [&str; 44] = [
    "AccessDenied",
    "AccountProblem",
    "AllAccessDisabled",
    "AuthenticationFailed",
    "AuthorizationFailure",
    "AuthorizationHeaderMalformed",
    "AuthorizationQueryParametersError",
    "BlobNotFound",
    "ContainerNotFound",
    "ExpiredRequest",
    "ExpiredToken",
    "IllegalLocationConstraintException",
    "InternalError",
    "InvalidAccessKeyId",
    "InvalidArgument",
    "InvalidObjectState",
    "InvalidRange",
    "InvalidRegion",
    "InvalidRequest",
    "InvalidSecurity",
    "InvalidToken",
    "KMS.DisabledException",
    "MethodNotAllowed",
    "MissingSecurityHeader",
    "NoSuchBucket",
    "NoSuchKey",
    "NoSuchVersion",
    "OperationAborted",
    "PermanentRedirect",
    "PreconditionFailed",
    "Redirect",
    "RequestExpired",
    "RequestNotReadyYet",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "ResourceNotFound",
    "ServerBusy",
    "ServiceUnavailable",
    "SignatureDoesNotMatch",
    "SlowDown",
    "TemporaryRedirect",
    "TokenExpired",
    "TokenRefreshRequired",
    "UserProjectAccountProblem",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::test_headers::headers;

    const CASES: [(&str, &str, Refusal); 20] = [
        ("AccessDenied", "Request has expired", Refusal::Expired),
        ("AccessDenied", "Request has expired.", Refusal::Expired),
        ("AccessDenied", "Access Denied", Refusal::Denied),
        (
            "AccessDenied",
            "Request is not valid yet",
            Refusal::NotValidYet,
        ),
        (
            "AccessDenied",
            "Request is not yet valid",
            Refusal::NotValidYet,
        ),
        (
            "ExpiredToken",
            "The provided token has expired.",
            Refusal::Expired,
        ),
        ("ExpiredRequest", "x", Refusal::Expired),
        ("RequestExpired", "Request has expired.", Refusal::Expired),
        ("TokenExpired", "x", Refusal::Expired),
        ("SecurityTokenExpired", "x", Refusal::Expired),
        (
            "InvalidToken",
            "The provided token is malformed",
            Refusal::Denied,
        ),
        (
            "SubscriptionExpired",
            "Your subscription has expired",
            Refusal::Denied,
        ),
        ("SignatureDoesNotMatch", "We calculated", Refusal::Signature),
        ("RequestTimeTooSkewed", "The difference", Refusal::ClockSkew),
        ("RequestTimeout", "Your socket", Refusal::Transient),
        ("PermanentRedirect", "The bucket", Refusal::Elsewhere),
        (
            "IllegalLocationConstraintException",
            "The eu",
            Refusal::Elsewhere,
        ),
        (
            "AuthorizationHeaderMalformed",
            "the region 'us-east-1' is wrong; expecting 'eu-west-1'",
            Refusal::Elsewhere,
        ),
        ("AuthorizationHeaderMalformed", "no date", Refusal::Denied),
        (
            "AuthenticationFailed",
            "Signature not valid in the specified time frame",
            Refusal::Expired,
        ),
    ];

    fn read(body: &str) -> StorageErrorBody {
        StorageErrorBody::read(body.as_bytes(), &HeaderMap::new())
    }

    fn xml(code: &str, message: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        )
    }

    #[test]
    fn the_error_code_says_why_a_storage_refuses() {
        for (code, message, meaning) in CASES {
            let found = read(&xml(code, message));
            assert_eq!(found.meaning, meaning, "{code} {message}");
            let is_listed = !matches!(code, "SecurityTokenExpired" | "SubscriptionExpired");
            assert_eq!(found.code, is_listed.then_some(code));
        }
        let azure = "<Error><Code>AuthenticationFailed</Code><Message>Server failed to \
                     authenticate the request.</Message><AuthenticationErrorDetail>Signature not \
                     valid in the specified time frame: Start</AuthenticationErrorDetail></Error>";
        assert_eq!(read(azure).meaning, Refusal::Expired);
        let google = "<Error><Code>ExpiredToken</Code><Message>Invalid argument.</Message>\
                      <Details>Request signature expired at: 2026</Details></Error>";
        assert_eq!(read(google).meaning, Refusal::Expired);
    }

    #[test]
    fn json_and_pages_say_that_a_url_expired() {
        for body in [
            r#"{"code":"expired_auth_token","status":401}"#,
            r#"{"statusCode":"400","error":"InvalidJWT","message":"jwt expired"}"#,
            r#"{"error":"TokenExpired"}"#,
            "Request has expired",
            "URL expired",
            "<html><body>This link has already expired.</body></html>",
        ] {
            assert_eq!(read(body).meaning, Refusal::Expired, "{body}");
        }
        for body in [
            r#"{"error":"denied"}"#,
            "<html>Your licence has expired</html>",
            "a request that was not expired",
        ] {
            assert_eq!(read(body).meaning, Refusal::Denied, "{body}");
        }
    }

    #[test]
    fn the_place_of_a_document_is_a_region_or_a_host_and_nothing_else() {
        let of = |element: &str| {
            read(&format!(
                "<Error><Code>PermanentRedirect</Code>{element}</Error>"
            ))
            .place
        };
        assert_eq!(
            of("<Region>eu-west-1</Region>").as_deref(),
            Some("eu-west-1")
        );
        let endpoint = "<Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint>";
        assert_eq!(
            of(endpoint).as_deref(),
            Some("b.s3.eu-west-1.amazonaws.com")
        );
        for other in [
            "",
            "<Region></Region>",
            "<Region>a b</Region>",
            "<Region>https://a/b?c</Region>",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
        let region = headers(&[("x-amz-bucket-region", "eu-west-1")]);
        let found = StorageErrorBody::read(b"", &region);
        assert_eq!(found.place.as_deref(), Some("eu-west-1"));
    }

    #[test]
    fn an_unknown_code_is_not_repeated() {
        for body in [&xml("hunter2", ""), "<html>", "<Code>AccessDenied"] {
            let found = read(body);
            assert_eq!(
                (found.code, found.meaning),
                (None, Refusal::Denied),
                "{body}"
            );
        }
    }
}
