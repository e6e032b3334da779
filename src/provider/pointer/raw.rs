//! Values in the text of a JSON answer. Nothing is copied, so that a long page takes little more memory than its bytes.

use super::{Node, Pointer, Segment, all, first, index};
use serde::Deserialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

impl Pointer {
    /// The text of the first value that the pointer leads to in `json`, which is the text of one JSON value, and that is
    /// not null.
    pub(crate) fn find_text<'a>(&self, json: &'a str) -> Option<&'a str> {
        first(&self.segments, json, &|text| text != "null")
    }

    /// The text of every value that the pointer leads to in `json`, which is the text of one JSON value.
    pub(crate) fn find_texts<'a>(&self, json: &'a str) -> Vec<&'a str> {
        let mut found = Vec::new();
        all(&self.segments, json, &mut found);
        found
    }

    /// Whether the pointer stands for the whole value.
    pub(crate) fn is_whole(&self) -> bool {
        self.segments.is_empty()
    }

    /// The pointer to the first array of which this pointer takes every element. None where it takes no such array.
    pub(crate) fn before_every(&self) -> Option<Self> {
        let at = self
            .segments
            .iter()
            .position(|segment| *segment == Segment::Every)?;
        Some(Self {
            segments: self.segments[..at].to_vec(),
            text: self.text.clone(),
        })
    }
}

impl Node for &str {
    fn child(self, name: &str) -> Option<Self> {
        if self.starts_with('{') {
            return pick(self, &[name])?[0].map(RawValue::get);
        }
        self.elements().get(index(name)?).copied()
    }

    fn elements(self) -> Vec<Self> {
        if !self.starts_with('[') {
            return Vec::new();
        }
        let elements: Vec<&RawValue> = serde_json::from_str(self).unwrap_or_default();
        elements.into_iter().map(RawValue::get).collect()
    }

    fn has(self, key: &str, value: &str) -> bool {
        let found = self.starts_with('{').then(|| self.child(key));
        let Some(found) = found.flatten() else {
            return false;
        };
        match found.as_bytes().first() {
            Some(b'"') => {
                serde_json::from_str::<Cow<'_, str>>(found).is_ok_and(|text| text == value)
            }
            Some(b'{' | b'[') | None => false,
            Some(_) => found == value,
        }
    }
}

/// The JSON text of these fields of a JSON object; none for other JSON.
pub(crate) fn pick<'a, N: AsRef<str>>(
    json: &'a str,
    fields: &[N],
) -> Option<Vec<Option<&'a RawValue>>> {
    let picked = serde_json::Deserializer::from_str(json).deserialize_map(PickFields(fields));
    picked.ok()
}

struct PickFields<'f, N>(&'f [N]);

#[derive(Deserialize)]
struct FieldName<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a, N: AsRef<str>> Visitor<'a> for PickFields<'_, N> {
    type Value = Vec<Option<&'a RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = vec![None; self.0.len()];
        while let Some(FieldName(name)) = map.next_key()? {
            match self.0.iter().position(|field| field.as_ref() == name) {
                Some(place) => found[place] = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// Text is found where the pointer finds a value in the parsed JSON.
    #[test]
    fn text_is_found_where_the_value_is() {
        let json = json!({
            "a": {"b/c": [1, {"x": "\u{e4}]}"}, null]}, "n": null,
            "links": [7, {"rel": "self", "href": "u"}, {"rel": "next"}, {"rel": "next", "href": "v", "n": 7}],
            "groups": [{"items": [1, 2]}, {"items": []}, {}, {"items": [3]}],
        });
        let text = serde_json::to_string_pretty(&json).unwrap();
        for pointer in [
            "",
            "/a",
            "/a/b~1c/1/x",
            "/a/b~1c/0",
            "/a/b~1c/00",
            "/a/b~1c/9",
            "/links/[rel=next]/href",
            "/links/[n=7]/href",
            "/links/[rel=none]/href",
            "/groups/*/items",
            "/groups/*/items/*",
            "/groups/*/none",
            "/none",
            "/n/x",
            "/links/1/rel",
        ] {
            let pointer = Pointer::parse(pointer).unwrap();
            let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            let found: Vec<Value> = pointer.find_texts(&text).into_iter().map(parsed).collect();
            let expected: Vec<Value> = pointer.find_all(&json).into_iter().cloned().collect();
            assert_eq!(found, expected, "{pointer}");
            let first = pointer.find_text(&text).map(parsed);
            assert_eq!(
                first.as_ref(),
                pointer.find_usable(&json, &|value| !value.is_null()),
                "{pointer}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_search_panic(json in "[\\[\\]{}:,\"a0 \\\\]{0,30}", pointer in "(/[a0*]|/\\[a=0\\]){0,3}") {
            let pointer = Pointer::parse(&pointer).unwrap();
            let _ = (pointer.find_text(&json), pointer.find_texts(&json));
        }
    }
}
