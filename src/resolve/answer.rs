//! What an API's answers mean when they are no success.

use crate::error::{Code, Error, Result};
use crate::http::Reply;
use crate::provider::Provider;
use crate::secret::scrub;
use crate::text::is_control_or_reordering;
use serde::Deserialize;

/// How many characters of an error body are shown.
const MAX_DETAIL_CHARACTERS: usize = 200;

/// Parses the JSON body of an answer from `who`.
///
/// # Errors
/// [`Code::Protocol`], without any text of the body.
pub(super) fn json<'a, T: Deserialize<'a>>(who: &str, body: &'a [u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        protocol(who).with_cause(format!(
            "the body is not the JSON that its API describes (line {}, column {})",
            error.line(),
            error.column()
        ))
    })
}

/// The error of an answer from `who` that does not follow the API's description.
pub(super) fn protocol(who: &str) -> Error {
    Error::new(
        Code::Protocol,
        format!("{who} gave an answer that cannot be used"),
    )
}

/// The error of an answer whose status is no success. `what` names what was requested.
pub(super) async fn refusal(provider: &Provider, what: &str, reply: Reply) -> Error {
    let status = reply.status();
    let wait = reply.retry_after();
    let title = provider.title;
    let (code, text) = match status {
        401 => (
            Code::CredentialsRejected,
            format!("{title} does not accept the credentials"),
        ),
        402 => (
            Code::PaymentRequired,
            format!("{title} does not include {what} in this plan"),
        ),
        403 => (
            Code::Forbidden,
            format!("{title} refuses {what} to this account"),
        ),
        404 | 410 => (Code::NotFound, format!("{title} does not know {what}")),
        429 => (Code::RateLimited, format!("{title} asks to slow down")),
        408 | 425 | 500 | 502 | 503 | 504 => (
            Code::ProviderError,
            format!("{title} could not answer for {what}"),
        ),
        300..=399 => (
            Code::Protocol,
            format!("{title} redirected the request for {what}"),
        ),
        _ => (
            Code::ProviderError,
            format!("{title} did not take the request for {what}"),
        ),
    };
    let transient = matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504);
    let mut error = Error::new(code, text)
        .with_http_status(status)
        .with_retry_after(wait);
    let said = detail(&reply.error_body().await);
    error = error.with_cause(match said {
        Some(said) => format!("HTTP {status}, {said:?}"),
        None => format!("HTTP {status}"),
    });
    if code == Code::CredentialsRejected {
        error = error.with_hint(format!("check {}", provider.credential_variables()));
    }
    if transient {
        return error;
    }
    if code == Code::NotFound {
        let list = provider.list_command();
        error = error.with_hint(format!(
            "check the id; `{list}` shows the ids of this account"
        ));
    }
    if code == Code::ProviderError {
        error = error.with_hint("run again with -v; if it stays, tell the provider");
    }
    error.into_permanent()
}

/// The message in an error body, without secrets and control characters.
fn detail(body: &[u8]) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(body).ok()?;
    let said = ["detail", "message", "error_description", "error"]
        .iter()
        .find_map(|field| json.get(field)?.as_str())?;
    // First the control characters: one inside a secret would hide it from the search.
    let said: String = said
        .chars()
        .filter(|c| !is_control_or_reordering(*c))
        .collect();
    let said: String = scrub(&said).chars().take(MAX_DETAIL_CHARACTERS).collect();
    (!said.is_empty()).then_some(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn an_error_body_is_quoted_without_secrets() {
        Secret::new("k3y");
        let of = |body: &str| detail(body.as_bytes());
        assert_eq!(
            of(r#"{"detail":"Not found."}"#).as_deref(),
            Some("Not found.")
        );
        assert_eq!(
            of(r#"{"error":"invalid_client"}"#).as_deref(),
            Some("invalid_client")
        );
        assert_eq!(
            of(r#"{"detail":"key k3y\u001b[2J"}"#).as_deref(),
            Some("key [redacted][2J")
        );
        assert_eq!(of(r#"{"detail":{"k3y":1}}"#), None);
        assert_eq!(
            of(r#"{"detail":"k\u001b3\u202ey"}"#).as_deref(),
            Some("[redacted]")
        );
        assert_eq!(of("<html>k3y</html>"), None);
    }
}
