//! Where a value lies in a JSON answer.
//!
//! A pointer is one of RFC 6901 with two more kinds of segments: `[key=value]` is the first element of an array whose
//! `key` is `value` and in which the rest of the pointer finds something; `*` is every element of an array.

mod place;
mod raw;

pub(crate) use raw::pick;

use serde_json::Value;
use std::fmt;

/// A place in a JSON value, checked once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    segments: Vec<Segment>,
    /// The pointer as the table writes it.
    text: String,
}

/// Pointers of which the first one counts that leads to a usable value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointers(pub(crate) Vec<Pointer>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// A key of an object, or the index of an array's element.
    Key(String),
    /// The first element whose `key` is `value` and in which the rest of the pointer finds something.
    Where { key: String, value: String },
    /// Every element.
    Every,
}

/// Why a text is no [`Pointer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidPointer {
    /// A pointer begins with a slash, unless it is empty.
    #[error("a pointer begins with /, or is empty for the whole answer")]
    NoSlash,
    /// A tilde stands for itself as `~0`, and for a slash as `~1`.
    #[error("a pointer writes ~ as ~0, and / as ~1")]
    Escape,
    /// A segment `[…]` without a key, or without `=`.
    #[error("a segment in brackets is [key=value]")]
    Brackets,
}

impl Pointer {
    /// Parses a pointer.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidPointer> {
        let segments = match text.strip_prefix('/') {
            Some(rest) => rest
                .split('/')
                .map(Segment::parse)
                .collect::<Result<_, _>>()?,
            None if text.is_empty() => Vec::new(),
            None => return Err(InvalidPointer::NoSlash),
        };
        Ok(Self {
            segments,
            text: text.to_owned(),
        })
    }

    /// A pointer to a field of the outermost object.
    pub(crate) fn to_field(name: &str) -> Self {
        Self {
            segments: vec![Segment::Key(name.to_owned())],
            text: format!("/{}", name.replace('~', "~0").replace('/', "~1")),
        }
    }

    /// The first value that the pointer leads to.
    pub(crate) fn find<'a>(&self, json: &'a Value) -> Option<&'a Value> {
        first(&self.segments, json, &|_| true)
    }

    /// The first value that the pointer leads to and that `is_usable` accepts.
    pub(crate) fn find_usable<'a>(
        &self,
        json: &'a Value,
        is_usable: &dyn Fn(&Value) -> bool,
    ) -> Option<&'a Value> {
        first(&self.segments, json, &|value| is_usable(value))
    }

    /// Every value that the pointer leads to: what other ways of reading are compared with.
    #[cfg(test)]
    pub(crate) fn find_all<'a>(&self, json: &'a Value) -> Vec<&'a Value> {
        let mut found = Vec::new();
        all(&self.segments, json, &mut found);
        found
    }

    /// Whether the pointer leads to every element of an array, so that it can have several values.
    pub(crate) fn has_several_values(&self) -> bool {
        self.segments.contains(&Segment::Every)
    }

    /// How many elements the array has that the first `*` stands for. None where the pointer has no `*`, or leads to no
    /// array.
    pub(crate) fn element_count(&self, json: &Value) -> Option<usize> {
        let before = self
            .segments
            .iter()
            .position(|segment| *segment == Segment::Every)?;
        let array = first(&self.segments[..before], json, &Value::is_array)?;
        array.as_array().map(Vec::len)
    }

    /// The same pointer with the index of one element instead of the first `*`.
    #[must_use]
    pub(crate) fn to_element(&self, index: usize) -> Self {
        let mut pointer = self.clone();
        let every = pointer
            .segments
            .iter_mut()
            .find(|segment| **segment == Segment::Every);
        if let Some(segment) = every {
            *segment = Segment::Key(index.to_string());
        }
        pointer
    }

    /// The name of the outermost object's field that the pointer leads into. None where the outermost value is an array,
    /// or the pointer stands for the whole answer.
    pub(crate) fn first_field(&self) -> Option<&str> {
        match self.segments.first()? {
            Segment::Key(name) => Some(name),
            Segment::Where { .. } | Segment::Every => None,
        }
    }

    /// The pointer without its first segment, for a caller that took that field from the outermost object.
    pub(crate) fn below_first(&self) -> Self {
        Self {
            segments: self.segments.get(1..).unwrap_or_default().to_vec(),
            text: self.text.clone(),
        }
    }

    /// The name in messages: the pointer without its first slash.
    pub(crate) fn shown(&self) -> &str {
        self.text.strip_prefix('/').unwrap_or("the answer")
    }
}

impl Pointers {
    /// The first value that a pointer leads to and that `usable` accepts, as `usable` returns it.
    pub(crate) fn find_map<'a, T>(
        &self,
        json: &'a Value,
        usable: impl Fn(&'a Value) -> Option<T>,
    ) -> Option<T> {
        self.0.iter().find_map(|pointer| {
            pointer
                .find_usable(json, &|value| !value.is_null())
                .and_then(&usable)
        })
    }

    /// The first value that is text or a whole number, as text.
    pub(crate) fn text(&self, json: &Value) -> Option<String> {
        self.find_map(json, text_or_integer)
    }

    /// The name in messages: that of the first pointer.
    pub(crate) fn shown(&self) -> &str {
        self.0.first().map_or("", Pointer::shown)
    }

    /// The pointers.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Pointer> {
        self.0.iter()
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, InvalidPointer> {
        if text == "*" {
            return Ok(Self::Every);
        }
        let Some(inner) = text.strip_prefix('[') else {
            return Ok(Self::Key(unescaped(text)?));
        };
        let inner = inner.strip_suffix(']').ok_or(InvalidPointer::Brackets)?;
        let (key, value) = inner.split_once('=').ok_or(InvalidPointer::Brackets)?;
        if key.is_empty() {
            return Err(InvalidPointer::Brackets);
        }
        Ok(Self::Where {
            key: unescaped(key)?,
            value: unescaped(value)?,
        })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Text, or a whole number as text. Services write ids in both ways.
pub(crate) fn text_or_integer(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// A segment with `~1` as a slash and `~0` as a tilde (RFC 6901 section 4).
fn unescaped(text: &str) -> Result<String, InvalidPointer> {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        plain.push(match c {
            '~' => match characters.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err(InvalidPointer::Escape),
            },
            c => c,
        });
    }
    Ok(plain)
}

/// JSON that a pointer leads through: parsed, or as text.
trait Node: Copy {
    /// The value of an object's key, or the element of an array at an index (RFC 6901 section 4: no leading zeros).
    fn child(self, name: &str) -> Option<Self>;

    /// The elements of an array; none for other JSON.
    fn elements(self) -> Vec<Self>;

    /// Whether the value of `key` is `value`, as text or as the text of a number, `true`, `false` or `null`.
    fn has(self, key: &str, value: &str) -> bool;
}

/// The first value that the segments lead to from `json`, and that `is_usable` accepts.
fn first<N: Node>(segments: &[Segment], json: N, is_usable: &dyn Fn(N) -> bool) -> Option<N> {
    let Some((segment, rest)) = segments.split_first() else {
        return is_usable(json).then_some(json);
    };
    let found = |element: N| first(rest, element, is_usable);
    match segment {
        Segment::Key(name) => found(json.child(name)?),
        Segment::Where { key, value } => {
            let elements = json.elements().into_iter();
            let mut matching = elements.filter(|element| element.has(key, value));
            matching.find_map(found)
        }
        Segment::Every => json.elements().into_iter().find_map(found),
    }
}

/// Adds every value that the segments lead to from `json`.
fn all<N: Node>(segments: &[Segment], json: N, found: &mut Vec<N>) {
    let Some((segment, rest)) = segments.split_first() else {
        found.push(json);
        return;
    };
    match segment {
        Segment::Key(name) => {
            if let Some(child) = json.child(name) {
                all(rest, child, found);
            }
        }
        Segment::Where { key, value } => {
            let elements = json.elements().into_iter();
            let mut matching = elements.filter(|element| element.has(key, value));
            let before = found.len();
            while found.len() == before
                && let Some(element) = matching.next()
            {
                all(rest, element, found);
            }
        }
        Segment::Every => {
            for element in json.elements() {
                all(rest, element, found);
            }
        }
    }
}

/// The index of an array's element that a segment names.
fn index(name: &str) -> Option<usize> {
    let is_index = name == "0" || !name.starts_with(['0', '+', '-']);
    name.parse().ok().filter(|_| is_index)
}

impl Node for &Value {
    fn child(self, name: &str) -> Option<Self> {
        match self {
            Value::Object(object) => object.get(name),
            Value::Array(elements) => elements.get(index(name)?),
            _ => None,
        }
    }

    fn elements(self) -> Vec<Self> {
        self.as_array().into_iter().flatten().collect()
    }

    fn has(self, key: &str, value: &str) -> bool {
        match self.get(key) {
            Some(Value::String(text)) => text == value,
            Some(Value::Number(number)) => number.to_string() == value,
            Some(Value::Bool(boolean)) => value == if *boolean { "true" } else { "false" },
            Some(Value::Null) => value == "null",
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn find(pointer: &str, json: &Value) -> Option<Value> {
        Pointer::parse(pointer).unwrap().find(json).cloned()
    }

    /// The examples of RFC 6901 section 5, but the empty key.
    #[test]
    fn the_examples_of_the_standard_are_found() {
        let json = json!({"foo": ["bar", "baz"], "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7,
            "m~n": 8, "": 0});
        assert_eq!(find("", &json), Some(json.clone()));
        for (pointer, value) in [
            ("/foo", json!(["bar", "baz"])),
            ("/foo/0", json!("bar")),
            ("/", json!(0)),
            ("/a~1b", json!(1)),
            ("/c%d", json!(2)),
            ("/e^f", json!(3)),
            ("/g|h", json!(4)),
            ("/i\\j", json!(5)),
            ("/k\"l", json!(6)),
            ("/ ", json!(7)),
            ("/m~0n", json!(8)),
        ] {
            assert_eq!(find(pointer, &json), Some(value), "{pointer}");
        }
        for pointer in ["/foo/2", "/foo/00", "/foo/-", "/foo/+1", "/none", "/a~1b/0"] {
            assert_eq!(find(pointer, &json), None, "{pointer}");
        }
    }

    #[test]
    fn an_element_is_found_by_the_value_of_its_key() {
        let json = json!({"links": [{"rel": "self", "href": "a"}, {"rel": "next"}, {"rel": "next", "href": "b", "n": 7}]});
        assert_eq!(find("/links/[rel=next]/href", &json), Some("b".into()));
        assert_eq!(find("/links/[n=7]/href", &json), Some("b".into()));
        assert_eq!(find("/links/[rel=last]/href", &json), None);
        assert_eq!(find("/links/*/href", &json), Some("a".into()));
        let all = Pointer::parse("/links/*/href").unwrap();
        assert_eq!(all.find_all(&json), ["a", "b"]);
        assert!(all.has_several_values());
        assert_eq!(all.element_count(&json), Some(3));
        assert_eq!(all.to_element(2).find(&json), Some(&"b".into()));
        assert_eq!(all.to_element(1).find(&json), None);
        assert_eq!(all.to_element(2).element_count(&json), None);
    }

    #[test]
    fn text_that_is_no_pointer_is_refused() {
        for (text, why) in [
            ("foo", InvalidPointer::NoSlash),
            ("/a~2", InvalidPointer::Escape),
            ("/a~", InvalidPointer::Escape),
            ("/[a]", InvalidPointer::Brackets),
            ("/[=b]", InvalidPointer::Brackets),
            ("/[a=b", InvalidPointer::Brackets),
        ] {
            assert_eq!(Pointer::parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn the_first_pointer_to_a_usable_value_wins() {
        let pointers = Pointers(vec![
            Pointer::parse("/a").unwrap(),
            Pointer::parse("/b").unwrap(),
        ]);
        assert_eq!(
            pointers.text(&json!({"a": null, "b": 7})).as_deref(),
            Some("7")
        );
        assert_eq!(
            pointers.text(&json!({"a": "x", "b": 7})).as_deref(),
            Some("x")
        );
        assert_eq!(pointers.text(&json!({"a": 1.5, "b": {}})), None);
    }
}
