//! The few fields that are needed of an API's answer, also of one that has no end.
//!
//! An answer is a JSON object. What comes whole is read as a whole. Of what is too long, breaks off or
//! takes too long, the part that came is enough when it holds the needed fields: an answer may have been
//! paid for.

use super::answer;
use crate::error::Result;
use crate::http::{ReadEnd, Reply};
use serde::Deserializer as _;
use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// No such answer is read any further, in bytes.
const LONGEST: usize = 1 << 20;

/// The body of `who`'s answer, as far as it is known: all of it, or what came of the fields that the
/// pointers (RFC 6901) `needed` and `useful` lead into.
///
/// # Errors
/// [`Code::Protocol`](crate::error::Code::Protocol) for what is no JSON, and for an answer that is too
/// long; what broke it. Never when all that is needed came.
pub(super) async fn read(
    who: &str,
    reply: Reply,
    needed: &[&str],
    useful: &[&str],
) -> Result<Value> {
    let all = [needed, useful].concat();
    let (body, end) = reply
        .read_until(LONGEST, |body| holds(&beginning(body, &all), &all))
        .await;
    let whole = match end {
        ReadEnd::Complete => Some(answer::json(who, &body)),
        ReadEnd::Cut | ReadEnd::Broken(_) => None,
    };
    if let Some(Ok(json)) = whole {
        return Ok(json);
    }
    let found = beginning(&body, &all);
    if holds(&found, needed) {
        log::info!("used the first {} bytes of an answer of {who}", body.len());
        return Ok(Value::Object(found));
    }
    Err(match (end, whole) {
        (ReadEnd::Broken(error), _) | (_, Some(Err(error))) => error,
        _ => answer::protocol(who).with_cause(format!("it is longer than {LONGEST} bytes")),
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

/// What the beginning of an object says of some fields.
fn beginning(body: &[u8], pointers: &[&str]) -> Map<String, Value> {
    let mut found = Map::new();
    let fields = Fields {
        pointers,
        found: &mut found,
    };
    let mut body = body.trim_ascii_end().to_vec();
    if let Some(last) = body.last_mut().filter(|last| **last == b',') {
        *last = b'}'; // what is before it is whole
    }
    // Where it ends, or is no JSON any more, does not matter to what came before.
    let _ = serde_json::Deserializer::from_slice(&body).deserialize_map(fields);
    found
}

struct Fields<'a> {
    pointers: &'a [&'a str],
    found: &'a mut Map<String, Value>,
}

impl<'de> Visitor<'de> for Fields<'_> {
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
                // Only what follows it tells that it has no more digits.
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
