//! The few fields that docfetch needs of an API's answer, also of an answer that is cut off.
//!
//! An answer is a JSON object. When it is too long, breaks off or takes too long, docfetch uses the part
//! that arrived, if that has the needed fields: the answer may have been paid for.

use super::answer::AnswerSource;
use crate::error::Error;
use crate::http::{ReadEnd, Reply};
use crate::provider::Provider;
use serde::Deserializer as _;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// docfetch reads at most this many bytes of an answer.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Why [`read`] found no fields.
pub(super) enum FieldsError {
    /// A web page came in place of JSON: something else than the API answered.
    WebPage(Error),
    /// Any other cause.
    Other(Error),
}

impl From<FieldsError> for Error {
    fn from(error: FieldsError) -> Self {
        match error {
            FieldsError::WebPage(error) | FieldsError::Other(error) => error,
        }
    }
}

/// Reads the body of `reply`, from the API of `provider`. The result is the whole body; for a body that is cut
/// off, it is those fields that arrived and that the pointers (RFC 6901) `needed` and `useful` lead into.
///
/// # Errors
/// Returns an error only when a needed field is missing:
/// [`Code::Protocol`](crate::error::Code::Protocol) for a body that is no JSON or too long; else the error
/// that cut the body off.
pub(super) async fn read(
    provider: &Provider,
    reply: Reply,
    needed: &[&str],
    useful: &[&str],
) -> Result<Value, FieldsError> {
    let source = AnswerSource::of(provider, &reply);
    let all = [needed, useful].concat();
    let (body, end) = reply
        .read_until(MAX_ANSWER_BYTES, |body| holds(&beginning(body, &all), &all))
        .await;
    let whole = match end {
        ReadEnd::Complete => Some(source.json(&body)),
        ReadEnd::Cut | ReadEnd::Broken(_) => None,
    };
    if let Some(Ok(json)) = whole {
        return Ok(json);
    }
    let found = beginning(&body, &all);
    if holds(&found, needed) {
        log::info!(
            "used the first {} bytes of an answer of {}",
            body.len(),
            provider.table.title
        );
        return Ok(Value::Object(found));
    }
    if let ReadEnd::Broken(error) = end {
        return Err(FieldsError::Other(error));
    }
    Err(match (source.page_error(&body), whole) {
        (Some(page), _) => FieldsError::WebPage(page),
        (None, Some(Err(error))) => FieldsError::Other(error),
        (None, _) => {
            let why = format!("it is longer than {MAX_ANSWER_BYTES} bytes");
            FieldsError::Other(source.protocol(why))
        }
    })
}

/// The field of the outermost object that a pointer leads into.
fn field(pointer: &str) -> &str {
    let path = pointer.trim_start_matches('/');
    path.split('/').next().unwrap_or(path)
}

fn holds(found: &Map<String, Value>, pointers: &[&str]) -> bool {
    pointers
        .iter()
        .all(|pointer| found.contains_key(field(pointer)))
}

/// The fields, of those that the pointers lead into, that the beginning of a JSON object has whole.
fn beginning(body: &[u8], pointers: &[&str]) -> Map<String, Value> {
    let mut found = Map::new();
    let fields = FieldCollector {
        pointers,
        found: &mut found,
    };
    let mut body = body.trim_ascii_end().to_vec();
    if let Some(last) = body.last_mut().filter(|last| **last == b',') {
        *last = b'}'; // the value before the comma is whole
    }
    // An error further on does not matter to the fields before it.
    let _ = serde_json::Deserializer::from_slice(&body).deserialize_map(fields);
    found
}

struct FieldCollector<'a> {
    pointers: &'a [&'a str],
    found: &'a mut Map<String, Value>,
}

impl<'de> Visitor<'de> for FieldCollector<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let mut next = object.next_key::<String>()?;
        while let Some(name) = next {
            if !self.pointers.iter().any(|pointer| field(pointer) == name) {
                object.next_value::<IgnoredAny>()?;
                next = object.next_key()?;
                continue;
            }
            let value: Value = object.next_value()?;
            if self.found.contains_key(&name) {
                self.found.clear();
                return Err(A::Error::custom("a field comes twice"));
            }
            if value.is_number() {
                // Only the text after a number tells that the number has no more digits.
                next = object.next_key()?;
                self.found.insert(name, value);
            } else {
                self.found.insert(name, value);
                next = object.next_key()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_from_the_beginning_of_an_object_only_when_they_are_whole() {
        let of =
            |body: &str| Value::Object(beginning(body.as_bytes(), &["/url", "/a/b"])).to_string();
        let whole = r#"{"x":[1,{"url":2}],"url":"u","a":{"b":7},"y":0}"#;
        assert_eq!(of(whole), r#"{"url":"u","a":{"b":7}}"#);
        for (body, found) in [
            (
                r#"{"url":"u","a":{"b":7},"y":"#,
                r#"{"url":"u","a":{"b":7}}"#,
            ),
            (r#"{"url":"u","a":{"b":7"#, r#"{"url":"u"}"#),
            (r#"{"url":"u"nonsense"#, r#"{"url":"u"}"#),
            (r#"{"url":"u"#, "{}"),
            (r#"{"url":12"#, "{}"),
            (r#"{"url":12,"#, r#"{"url":12}"#),
            (r#"{"url":"12,"#, "{}"),
            (r#"{"url":12,"x":"#, r#"{"url":12}"#),
            (r#"{"url":12}"#, r#"{"url":12}"#),
            (r#"{"url":"u""#, r#"{"url":"u"}"#),
            (r#"{"url":"u","url":"v","#, "{}"),
            (r#"[{"url":"u"}"#, "{}"),
            ("", "{}"),
            ("<html>", "{}"),
        ] {
            assert_eq!(of(body), found, "{body}");
        }
    }
}
