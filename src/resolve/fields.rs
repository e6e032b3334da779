//! The few fields that docfetch needs of an API's answer, also of an answer that is cut off.
//!
//! An answer is a JSON object. When it is too long, breaks off or takes too long, docfetch uses the part
//! that arrived, if that has the needed fields: the answer may have been paid for.

use super::answer::AnswerSource;
use crate::error::Error;
use crate::http::{ReadEnd, Reply};
use crate::provider::{Pointer, Provider};
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

/// A place in an answer: several pointers of which the first counts that leads to a value.
type Place<'a> = Vec<&'a Pointer>;

/// What a caller reads of an answer.
#[derive(Default)]
pub(super) struct Wanted<'a> {
    /// Sets of places: an answer that is cut off can be used when it has all places of one set.
    pub(super) enough: Vec<Vec<Place<'a>>>,
    /// Further places, which an answer need not have.
    pub(super) useful: Vec<Place<'a>>,
}

impl Wanted<'_> {
    fn places(&self) -> impl Iterator<Item = &Place<'_>> {
        self.enough.iter().flatten().chain(&self.useful)
    }

    /// The fields of the outermost object that the places lead into.
    fn fields(&self) -> Vec<&str> {
        let pointers = self.places().flatten();
        pointers
            .filter_map(|pointer| pointer.first_field())
            .collect()
    }

    /// Whether no further part of the answer can change what the caller reads.
    fn is_complete(&self, found: &Map<String, Value>) -> bool {
        self.places().all(|place| is_settled(place, found))
    }

    /// Whether the part of the answer can be used.
    fn is_enough(&self, found: &Map<String, Value>) -> bool {
        let mut sets = self.enough.iter();
        sets.any(|set| set.iter().all(|place| is_settled(place, found)))
    }
}

/// Whether the fields tell which of the pointers counts: the fields up to the first that leads to a value are there.
fn is_settled(place: &Place<'_>, found: &Map<String, Value>) -> bool {
    for pointer in place {
        let Some(field) = pointer.first_field().and_then(|name| found.get(name)) else {
            return false;
        };
        if pointer
            .below_first()
            .find(field)
            .is_some_and(|value| !value.is_null())
        {
            return true;
        }
    }
    true
}

/// Reads the body of `reply`, from the API of `provider`. The result is the whole body; for a body that is cut
/// off, it is those fields that arrived and that the pointers `needed` and `useful` lead into: names of fields of the
/// outermost object after a slash.
///
/// # Errors
/// Those of [`read_wanted`].
pub(super) async fn read(
    provider: &Provider,
    reply: Reply,
    needed: &[&str],
    useful: &[&str],
) -> Result<Value, FieldsError> {
    let parsed = |fields: &[&str]| -> Vec<Pointer> {
        let names = fields.iter().map(|field| field.trim_start_matches('/'));
        names.map(Pointer::to_field).collect()
    };
    let (needed, useful) = (parsed(needed), parsed(useful));
    let wanted = Wanted {
        enough: vec![needed.iter().map(|pointer| vec![pointer]).collect()],
        useful: useful.iter().map(|pointer| vec![pointer]).collect(),
    };
    read_wanted(provider, reply, &wanted).await
}

/// Reads the body of `reply`, from the API of `provider`. The result is the whole body; for a body that is cut
/// off, it is those fields that arrived and that the `wanted` places lead into.
///
/// # Errors
/// Returns an error only when no set of places is enough:
/// [`Code::Protocol`](crate::error::Code::Protocol) for a body that is no JSON or too long; else the error
/// that cut the body off.
pub(super) async fn read_wanted(
    provider: &Provider,
    reply: Reply,
    wanted: &Wanted<'_>,
) -> Result<Value, FieldsError> {
    let source = AnswerSource::of(provider, &reply);
    let fields = wanted.fields();
    let (body, end) = reply
        .read_until(MAX_ANSWER_BYTES, |body| {
            wanted.is_complete(&beginning(body, &fields))
        })
        .await;
    let whole = match end {
        ReadEnd::Complete => Some(source.json(&body)),
        ReadEnd::Cut | ReadEnd::Broken(_) => None,
    };
    if let Some(Ok(json)) = whole {
        return Ok(json);
    }
    let found = beginning(&body, &fields);
    if wanted.is_enough(&found) {
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

/// Those of the `fields` that the beginning of a JSON object has whole.
fn beginning(body: &[u8], fields: &[&str]) -> Map<String, Value> {
    let mut found = Map::new();
    let fields = FieldCollector {
        fields,
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
    fields: &'a [&'a str],
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
            if !self.fields.contains(&name.as_str()) {
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
        let of = |body: &str| Value::Object(beginning(body.as_bytes(), &["url", "a"])).to_string();
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
