//! Builds JSON in which a pointer finds a value.

use super::{Node as _, Pointer, Segment};
use serde_json::{Map, Value};

/// An array in an answer has at most this many elements because of an index in a pointer.
const MAX_INDEX: usize = 100;

impl Pointer {
    /// Puts `value` where the pointer leads, and adds the objects and arrays on the way. Returns `false`, unless the
    /// pointer finds the value afterwards: `json` has something else on the way.
    pub(crate) fn place(&self, json: &mut Value, value: &Value) -> bool {
        place(&self.segments, json, value) && self.find(json) == Some(value)
    }
}

fn place(segments: &[Segment], json: &mut Value, value: &Value) -> bool {
    let Some((segment, rest)) = segments.split_first() else {
        if json.is_null() {
            *json = value.clone();
        }
        return json == value;
    };
    if json.is_null() {
        *json = match segment {
            Segment::Key(name) if index_of(name).is_none() => Value::Object(Map::new()),
            _ => Value::Array(Vec::new()),
        };
    }
    match (segment, json) {
        (Segment::Key(name), Value::Object(object)) => {
            let child = object.entry(name.as_str()).or_insert(Value::Null);
            place(rest, child, value)
        }
        (Segment::Key(name), Value::Array(elements)) => {
            let Some(index) = index_of(name) else {
                return false;
            };
            if elements.len() <= index {
                elements.resize(index + 1, Value::Null);
            }
            place(rest, &mut elements[index], value)
        }
        (Segment::Where { key, value: wanted }, Value::Array(elements)) => {
            let is_wanted = |element: &Value| element.has(key, wanted);
            let at = elements.iter().position(is_wanted).unwrap_or_else(|| {
                let named = Map::from_iter([(key.clone(), wanted.as_str().into())]);
                elements.push(Value::Object(named));
                elements.len() - 1
            });
            place(rest, &mut elements[at], value)
        }
        (Segment::Every, Value::Array(elements)) => {
            if elements.is_empty() {
                elements.push(Value::Null);
            }
            place(rest, &mut elements[0], value)
        }
        _ => false,
    }
}

/// The index of an array's element (RFC 6901 section 4), where the text is a small one.
fn index_of(name: &str) -> Option<usize> {
    let index = name.parse::<usize>().ok();
    index.filter(|index| *index <= MAX_INDEX && index.to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn built(places: &[(&str, Value)]) -> Option<Value> {
        let mut json = Value::Null;
        let mut places = places.iter();
        let are_placed =
            places.all(|(pointer, value)| Pointer::parse(pointer).unwrap().place(&mut json, value));
        are_placed.then_some(json)
    }

    #[test]
    fn every_pointer_finds_its_value_in_what_was_built() {
        let json = built(&[
            ("/data/links/[rel=self]/href", json!("a")),
            ("/data/links/[rel=next]/href", json!("b")),
            ("/data/links/[rel=next]/type", json!("t")),
            ("/tags/*/$ref", json!("r")),
            ("/files/1/url", json!("u")),
            ("/a~1b", json!(7)),
        ]);
        let expected = json!({
            "data": {"links": [{"rel": "self", "href": "a"}, {"rel": "next", "href": "b", "type": "t"}]},
            "tags": [{"$ref": "r"}],
            "files": [null, {"url": "u"}],
            "a/b": 7,
        });
        assert_eq!(json, Some(expected));
        assert_eq!(built(&[("", json!([1]))]), Some(json!([1])));
    }

    #[test]
    fn what_contradicts_is_told() {
        assert_eq!(built(&[("/a", json!(1)), ("/a", json!(2))]), None);
        assert_eq!(built(&[("/a/b", json!(1)), ("/a/*", json!(2))]), None);
        assert_eq!(built(&[("/a/0", json!(1)), ("/a/b", json!(2))]), None);
        assert_eq!(
            built(&[("/a", json!(1)), ("/a", json!(1))]),
            Some(json!({"a": 1}))
        );
    }
}
