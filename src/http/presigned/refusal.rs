//! Why a storage refuses a presigned URL.

/// Why a storage refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The URL has expired.
    Expired,
    /// The request does not match what was signed.
    Signature,
    /// The storage says that the clock which signed the URL is wrong.
    ClockSkew,
    /// Another reason.
    Denied,
}

/// Reads the error code from an XML error body as S3 and compatible storages send it, and what the code
/// means.
///
/// Only codes from the services' published lists are returned. A storage can therefore not make docfetch
/// print a text of its choice.
pub(crate) fn refusal(body: &[u8]) -> (Option<&'static str>, Refusal) {
    let body = String::from_utf8_lossy(body);
    let element = |name: &str| {
        let start = body.find(&format!("<{name}>"))? + name.len() + 2;
        let length = body[start..].find("</")?;
        Some(body[start..start + length].trim())
    };
    let code = element("Code");
    let known = code.and_then(|code| STORAGE_ERROR_CODES.iter().find(|known| **known == code));
    let lowercase = |name| element(name).unwrap_or_default().to_ascii_lowercase();
    let message = lowercase("Message");
    // Azure: "Signature not valid in the specified time frame".
    let out_of_time = [&message, &lowercase("AuthenticationErrorDetail")]
        .iter()
        .any(|text| text.contains("time frame"));
    let meaning = match known.copied() {
        Some("ExpiredToken" | "TokenRefreshRequired") => Refusal::Expired,
        Some("AccessDenied") if message.contains("expired") => Refusal::Expired,
        Some("AuthenticationFailed") if out_of_time => Refusal::Expired,
        Some("SignatureDoesNotMatch" | "AuthenticationFailed") => Refusal::Signature,
        Some("RequestTimeTooSkewed") => Refusal::ClockSkew,
        _ => Refusal::Denied,
    };
    (known.copied(), meaning)
}

/// The error codes of Amazon S3, Google Cloud Storage (XML API) and Azure Blob Storage, from their published
/// lists.
const STORAGE_ERROR_CODES: [&str; 37] = [
    "AccessDenied",
    "AccountProblem",
    "AllAccessDisabled",
    "AuthenticationFailed",
    "AuthorizationFailure",
    "AuthorizationHeaderMalformed",
    "AuthorizationQueryParametersError",
    "BlobNotFound",
    "ContainerNotFound",
    "ExpiredToken",
    "InternalError",
    "InvalidAccessKeyId",
    "InvalidArgument",
    "InvalidObjectState",
    "InvalidRange",
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
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "ResourceNotFound",
    "ServerBusy",
    "ServiceUnavailable",
    "SignatureDoesNotMatch",
    "SlowDown",
    "TemporaryRedirect",
    "TokenRefreshRequired",
    "UserProjectAccountProblem",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(code: &str, message: &str) -> Vec<u8> {
        format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        )
        .into_bytes()
    }

    #[test]
    fn the_error_code_says_why_a_storage_refuses() {
        for (code, message, meaning) in [
            ("AccessDenied", "Request has expired", Refusal::Expired),
            ("AccessDenied", "Access Denied", Refusal::Denied),
            (
                "ExpiredToken",
                "The provided token has expired.",
                Refusal::Expired,
            ),
            ("SignatureDoesNotMatch", "We calculated", Refusal::Signature),
            ("RequestTimeTooSkewed", "The difference", Refusal::ClockSkew),
            (
                "AuthenticationFailed",
                "Signature not valid in the specified time frame",
                Refusal::Expired,
            ),
        ] {
            assert_eq!(refusal(&xml(code, message)), (Some(code), meaning));
        }
        let azure = "<Error><Code>AuthenticationFailed</Code><Message>Server failed to \
                     authenticate the request.</Message><AuthenticationErrorDetail>Signature not \
                     valid in the specified time frame: Start</AuthenticationErrorDetail></Error>";
        assert_eq!(refusal(azure.as_bytes()).1, Refusal::Expired);
    }

    #[test]
    fn an_unknown_code_is_not_repeated() {
        assert_eq!(refusal(&xml("hunter2", "")), (None, Refusal::Denied));
        assert_eq!(refusal(b"<html>"), (None, Refusal::Denied));
        assert_eq!(refusal(b"<Code>AccessDenied"), (None, Refusal::Denied));
    }
}
