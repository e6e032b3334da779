//! What an API's answers mean when they are no success, or not what the API's description promises.

use crate::error::{Code, Error, Result};
use crate::http::backoff::is_transient_status;
use crate::http::{Reply, headers, shown_host, shown_status};
use crate::provider::{Pointers, Provider, text_or_integer};
use crate::secret::scrub;
use crate::text::is_control_or_reordering;
use reqwest::header::LOCATION;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

/// How many characters of an error body are shown.
const MAX_DETAIL_CHARACTERS: usize = 200;
/// How many characters of a media type are shown.
const MAX_MEDIA_TYPE_CHARACTERS: usize = 60;
/// Where APIs put the sentence that tells why they refuse a request (RFC 9457 section 3.1, RFC 6749 section
/// 5.2, and frameworks).
const DETAIL_POINTERS: [&str; 9] = [
    "/detail",
    "/message",
    "/error_description",
    "/error/message",
    "/error",
    "/errors/0/message",
    "/errors/0/detail",
    "/detail/0/msg",
    "/title",
];

/// Who sent an answer, and what the head of the answer says about its body.
#[derive(Clone, Debug)]
pub(super) struct AnswerSource {
    /// The provider's name in sentences.
    title: String,
    /// The environment variable with the base URL of the API.
    base_variable: String,
    /// The host that answered.
    host: String,
    /// The media type of the body.
    media_type: Option<String>,
}

impl AnswerSource {
    /// The source of `reply`, which answers a request to the API of `provider`.
    pub(super) fn of(provider: &Provider, reply: &Reply) -> Self {
        let media_type = headers::media_type(reply.headers()).map(|media_type| {
            let shown = media_type.chars().take(MAX_MEDIA_TYPE_CHARACTERS);
            shown.filter(|c| !is_control_or_reordering(*c)).collect()
        });
        Self {
            title: provider.table.title.clone(),
            base_variable: provider.table.variables.api_base.clone(),
            host: reply.host().to_owned(),
            media_type,
        }
    }

    /// Any source, for unit tests.
    #[cfg(test)]
    pub(super) fn example() -> Self {
        Self {
            title: "One Codex".to_owned(),
            base_variable: "ONE_CODEX_API_BASE".to_owned(),
            host: "a.example".to_owned(),
            media_type: None,
        }
    }

    /// The error of an answer that does not follow the API's description; `why` says how.
    pub(super) fn protocol(&self, why: impl Into<String>) -> Error {
        protocol(&self.title).with_cause(why)
    }

    /// Parses a JSON body.
    ///
    /// # Errors
    /// [`Code::Protocol`], without any text of the body.
    pub(super) fn json<'a, T: Deserialize<'a>>(&self, body: &'a [u8]) -> Result<T> {
        serde_json::from_slice(body).map_err(|error| self.wrong_body(body, &error))
    }

    /// The error of a body that is not the JSON that the API's description promises.
    fn wrong_body(&self, body: &[u8], error: &serde_json::Error) -> Error {
        let length = body.len();
        let kind = self.media_type.as_deref();
        let kind = kind.map_or_else(|| "without a content type".to_owned(), str::to_owned);
        if let Some(page) = self.page_error(body) {
            return page;
        }
        let (line, column) = (error.line(), error.column());
        self.protocol(if body.trim_ascii().is_empty() {
            format!("the body is empty ({kind}), not JSON")
        } else if error.is_eof() {
            format!("the JSON breaks off after {length} bytes")
        } else if error.is_data() {
            format!("the JSON is not what its API describes (line {line}, column {column})")
        } else {
            format!("the body ({kind}) is not valid JSON (line {line}, column {column})")
        })
    }

    /// The error of a body that is a web page in place of JSON; none if it is none.
    pub(super) fn page_error(&self, body: &[u8]) -> Option<Error> {
        let page = self.web_page(body)?;
        let error = self.protocol(format!("the body is {page}, not JSON"));
        Some(error.with_hint(self.wrong_base_hint()))
    }

    /// What to call a body that is a web page; none if it is none.
    pub(super) fn web_page(&self, body: &[u8]) -> Option<String> {
        let is_markup = body.trim_ascii_start().starts_with(b"<");
        let media_type = self.media_type.as_deref().unwrap_or_default();
        let is_page = is_markup || media_type == "text/html";
        let host = &self.host;
        (is_page && !body.trim_ascii().is_empty()).then(|| match media_type {
            "" => format!("a web page of {host}"),
            media_type => format!("a web page ({media_type}) of {host}"),
        })
    }

    /// What to check when something else than the API answers.
    pub(super) fn wrong_base_hint(&self) -> String {
        wrong_base_hint(&self.base_variable)
    }
}

/// What to check when something else than the API answers at the base URL in the variable.
pub(super) fn wrong_base_hint(base_variable: &str) -> String {
    format!("check {base_variable}, and whether this network or its proxy wants a login")
}

/// The error of an answer from `who` that does not follow the API's description.
pub(super) fn protocol(who: &str) -> Error {
    Error::new(
        Code::Protocol,
        format!("{who} gave an answer that cannot be used"),
    )
}

/// The error of an answer whose status is no success. `what` names what was requested, and `credential_source` where
/// the credentials come from.
pub(super) async fn refusal(
    provider: &Provider,
    credential_source: &str,
    what: &str,
    reply: Reply,
) -> Error {
    refusal_with_reason(provider, credential_source, what, reply, None).await
}

/// [`refusal`] whose reason the table has at `error_at`.
pub(super) async fn refusal_with_reason(
    provider: &Provider,
    credential_source: &str,
    what: &str,
    reply: Reply,
    error_at: Option<&Pointers>,
) -> Error {
    let status = reply.status();
    let wait = reply.retry_after();
    let source = AnswerSource::of(provider, &reply);
    let redirect = redirected_to(&reply);
    let (code, text) = meaning(&provider.table.title, status, what);
    let body = reply.error_body().await;
    let page = source.web_page(&body);
    let shown_status = shown_status(status);
    let said = detail(&body, source.media_type.as_deref(), error_at);
    let cause = match (redirect, said, &page) {
        (Some(host), _, _) => format!("{shown_status}, to {host}"),
        (_, Some(said), _) => format!("{shown_status}, {said:?}"),
        (_, _, Some(page)) => format!("{shown_status}, with {page}"),
        _ => shown_status,
    };
    let error = Error::new(code, text)
        .with_cause(cause)
        .with_http_status(status)
        .with_retry_after(wait);
    let error = match hint(provider, credential_source, code, status, page.is_some()) {
        Some(hint) => error.with_hint(hint),
        None => error,
    };
    if is_transient_status(status) {
        return error;
    }
    error.into_permanent()
}

/// What a status that is no success means for the request for `what`.
fn meaning(title: &str, status: u16, what: &str) -> (Code, String) {
    match status {
        // No redirect that a client can follow (RFC 9110 section 15.4).
        300 | 304..=306 | 309..=399 => (
            Code::Protocol,
            format!("{title} gave an answer that cannot be used for {what}"),
        ),
        301..=399 => (
            Code::Protocol,
            format!("{title} redirected the request for {what}"),
        ),
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
        status if is_transient_status(status) => (
            Code::ProviderError,
            format!("{title} could not answer for {what}"),
        ),
        400..=499 => (
            Code::RequestRefused,
            format!("{title} refused the request for {what}"),
        ),
        _ => (
            Code::ProviderError,
            format!("{title} did not take the request for {what}"),
        ),
    }
}

/// What the user should do after an answer of this status, where that is not the usual hint of its code.
fn hint(
    provider: &Provider,
    credential_source: &str,
    code: Code,
    status: u16,
    is_page: bool,
) -> Option<String> {
    Some(match code {
        Code::CredentialsRejected | Code::Forbidden if credential_source.is_empty() => {
            let name = &provider.table.name;
            format!(
                "the table of {name} sends no credential; where the service wants one, correct the key auth"
            )
        }
        Code::CredentialsRejected => format!("check {credential_source}"),
        _ if status == 511 => "log in to this network with a web browser, then run again".into(),
        _ if is_transient_status(status) => return None,
        Code::Protocol => wrong_base_hint(&provider.table.variables.api_base),
        _ if is_page => wrong_base_hint(&provider.table.variables.api_base),
        Code::Forbidden => {
            format!("ask the owner for access, or check the account of {credential_source}")
        }
        Code::NotFound => {
            let list = provider.list_command();
            format!("check the id; `{list}` shows the ids of this account")
        }
        Code::ProviderError => "run again with -v; if it stays, tell the provider".to_owned(),
        _ => return None,
    })
}

/// The host that a redirect leads to.
pub(super) fn redirected_to(reply: &Reply) -> Option<String> {
    let location = reply.headers().get(LOCATION)?.to_str().ok()?;
    let url = Url::parse(location.trim()).ok().filter(Url::has_host);
    let url = url.filter(|_| (300..400).contains(&reply.status()))?;
    Some(scrub(&shown_host(&url)))
}

/// The message in an error body, without secrets and control characters.
fn detail(body: &[u8], media_type: Option<&str>, error_at: Option<&Pointers>) -> Option<String> {
    let said = match serde_json::from_slice::<Value>(body) {
        Ok(json) => {
            let of_table = error_at.and_then(|at| at.find_map(&json, reason));
            of_table.or_else(|| detail_of_json(&json))?
        }
        Err(_)
            if media_type == Some("text/plain") && !body.trim_ascii_start().starts_with(b"<") =>
        {
            std::str::from_utf8(body).ok()?.trim().to_owned()
        }
        Err(_) => return None,
    };
    presentable(&said)
}

/// What a server said, without secrets and control characters, and not too long. None where nothing is left.
pub(super) fn presentable(said: &str) -> Option<String> {
    // First the control characters: one inside a secret would hide it from the search.
    let said: String = said
        .chars()
        .filter(|c| !is_control_or_reordering(*c))
        .collect();
    let said: String = scrub(&said).chars().take(MAX_DETAIL_CHARACTERS).collect();
    (!said.is_empty()).then_some(said)
}

/// The reason that a value gives: text, a number, or the sentence within an object or an array.
fn reason(value: &Value) -> Option<String> {
    text_or_integer(value).or_else(|| detail_of_json(value))
}

/// Why a success is a failure, by the value at the place that the table names for failures. None where the value says
/// that nothing failed: null, false, 0, and empty text, array or object.
pub(super) fn failure_in(value: &Value) -> Option<String> {
    let fails = match value {
        Value::Null => false,
        Value::Bool(fails) => *fails,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    };
    let said = || reason(value).and_then(|said| presentable(&said));
    fails.then(|| said().unwrap_or_default())
}

/// The sentence in an error's JSON: a field of a usual name, or the first message about a parameter, as Django
/// writes it (`{"page_size": ["A valid integer is required."]}`).
fn detail_of_json(json: &Value) -> Option<String> {
    let usual = DETAIL_POINTERS
        .iter()
        .find_map(|pointer| json.pointer(pointer)?.as_str());
    if let Some(said) = usual {
        return Some(said.to_owned());
    }
    let about_parameter = json
        .as_object()?
        .iter()
        .find_map(|(parameter, said)| Some(format!("{parameter}: {}", said.get(0)?.as_str()?)));
    about_parameter.or_else(|| json.get(0)?.as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn an_error_body_is_quoted_without_secrets() {
        Secret::new("k3y");
        let of = |body: &str| detail(body.as_bytes(), None, None);
        for (body, said) in [
            (r#"{"detail":"Not found."}"#, Some("Not found.")),
            (r#"{"error":"invalid_client"}"#, Some("invalid_client")),
            (r#"{"error":{"message":"no"}}"#, Some("no")),
            (r#"{"errors":[{"message":"no"}]}"#, Some("no")),
            (r#"{"detail":[{"loc":["x"],"msg":"no"}]}"#, Some("no")),
            (r#"{"page_size":["no"]}"#, Some("page_size: no")),
            (r#"{"k3y":["no"]}"#, Some("[redacted]: no")),
            (
                r#"{"detail":"key k3y\u001b[2J"}"#,
                Some("key [redacted][2J"),
            ),
            (r#"{"detail":{"k3y":1}}"#, None),
            (r#"{"detail":"k\u001b3\u202ey"}"#, Some("[redacted]")),
            ("<html>k3y</html>", None),
            ("no such route", None),
        ] {
            assert_eq!(of(body).as_deref(), said, "{body}");
        }
        let plain = |body: &str| detail(body.as_bytes(), Some("text/plain"), None);
        assert_eq!(
            plain(" k3y is wrong\n").as_deref(),
            Some("[redacted] is wrong")
        );
        assert_eq!(plain("<html>"), None);
    }

    #[test]
    fn a_body_that_is_not_the_json_is_called_what_it_is() {
        let said = |media_type: Option<&str>, body: &str| {
            let source = AnswerSource {
                media_type: media_type.map(str::to_owned),
                ..AnswerSource::example()
            };
            let error = source.json::<Vec<u8>>(body.as_bytes()).unwrap_err();
            (error.cause().unwrap().to_owned(), error.hint().to_owned())
        };
        let html = Some("text/html");
        let (why, hint) = said(html, "<!doctype html>");
        assert_eq!(
            why,
            "the body is a web page (text/html) of a.example, not JSON"
        );
        assert!(hint.contains("ONE_CODEX_API_BASE"), "{hint}");
        for (media_type, body, expected) in [
            (
                None,
                "<html>",
                "the body is a web page of a.example, not JSON",
            ),
            (html, "", "the body is empty (text/html), not JSON"),
            (
                None,
                " ",
                "the body is empty (without a content type), not JSON",
            ),
            (None, "[1,2", "the JSON breaks off after 4 bytes"),
            (
                None,
                "{}",
                "the JSON is not what its API describes (line 1, column 0)",
            ),
            (
                Some("text/plain"),
                "Hi",
                "the body (text/plain) is not valid JSON (line 1, column 1)",
            ),
        ] {
            assert_eq!(said(media_type, body).0, expected, "{body}");
        }
    }
}
