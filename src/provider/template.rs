//! Text with slots, such as `/files/{id}/download`, and the values that fill the slots.
//!
//! A table is checked when docfetch reads it: a [`TextTemplate`] names known slots only, and a template of a path is a path.
//! So a filled template is a part of a well-formed request.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// RFC 3986 section 2.3: a slot encodes everything but the unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// Slashes stay in a slot that holds several segments of a path.
const SEGMENTS: &AsciiSet = &SEGMENT.remove(b'/');

/// Text with slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TextTemplate {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Slot(String),
}

/// JSON whose strings are templates.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum JsonTemplate {
    /// A number, `true`, `false` or `null`.
    Fixed(Value),
    /// A string.
    Text(TextTemplate),
    /// A whole number in the slot of this name: `"{n:int}"`.
    Integer(String),
    /// An array.
    Array(Vec<JsonTemplate>),
    /// An object.
    Object(Vec<(String, JsonTemplate)>),
}

/// Why a text is no [`TextTemplate`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidTemplate {
    /// A brace without its counterpart.
    #[error("a brace has no counterpart; {{{{ and }}}} stand for braces")]
    Brace,
    /// A slot of this name is not known here.
    #[error("{{{0}}} is not known here")]
    UnknownSlot(String),
    /// Only JSON has numbers.
    #[error("{{{0}:int}} stands alone in a text of json")]
    IntegerOutsideJson(String),
}

/// A slot that a value cannot fill.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{{{slot}}} is not a whole number")]
pub(crate) struct NotAnInteger {
    /// The name of the slot.
    pub slot: String,
}

/// The values of slots, by their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlotValues<'a> {
    values: Vec<(Cow<'a, str>, Cow<'a, str>, IsPath)>,
}

/// Whether a value holds several segments of a path.
type IsPath = bool;

impl<'a> SlotValues<'a> {
    /// Adds a value. In a path, docfetch encodes its slashes.
    pub(crate) fn add(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        self.values.push((name.into(), value.into(), false));
    }

    /// Adds a value that holds several segments of a path, whose slashes stay.
    pub(crate) fn add_path(
        &mut self,
        name: impl Into<Cow<'a, str>>,
        value: impl Into<Cow<'a, str>>,
    ) {
        self.values.push((name.into(), value.into(), true));
    }

    /// The value of a name; the last one that was added.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.find(name).map(|(value, _)| value)
    }

    fn find(&self, name: &str) -> Option<(&str, IsPath)> {
        let mut values = self.values.iter().rev();
        let found = values.find(|(known, ..)| known == name);
        found.map(|(_, value, is_path)| (value.as_ref(), *is_path))
    }
}

impl TextTemplate {
    /// Parses a template whose slots have names of `known`.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub(crate) fn parse(text: &str, known: &[&str]) -> Result<Self, InvalidTemplate> {
        let template = Self::parse_slots(text)?;
        for name in template.slots() {
            if let Some(name) = name.strip_suffix(":int") {
                return Err(InvalidTemplate::IntegerOutsideJson(name.to_owned()));
            }
            if !known.contains(&name) {
                return Err(InvalidTemplate::UnknownSlot(name.to_owned()));
            }
        }
        Ok(template)
    }

    fn parse_slots(text: &str) -> Result<Self, InvalidTemplate> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = brace.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = brace.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else {
                let inner = brace.strip_prefix('{').ok_or(InvalidTemplate::Brace)?;
                let (name, after) = inner.split_once('}').ok_or(InvalidTemplate::Brace)?;
                if name.contains('{') {
                    return Err(InvalidTemplate::Brace);
                }
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Piece::Slot(name.to_owned()));
                rest = after;
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { pieces })
    }

    /// Text without slots.
    pub(crate) fn fixed(text: &str) -> Self {
        Self {
            pieces: vec![Piece::Text(text.to_owned())],
        }
    }

    /// The names of the slots.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Slot(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The parts of the text between the slots.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Slot(_) => None,
        })
    }

    /// The text before the first slot.
    pub(crate) fn prefix(&self) -> &str {
        match self.pieces.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }

    /// The text with the values in its slots, as they are.
    pub(crate) fn fill(&self, values: &SlotValues<'_>) -> String {
        self.filled(values, |value, _| Cow::Borrowed(value))
    }

    /// The path with percent-encoded values in its slots.
    pub(crate) fn fill_path(&self, values: &SlotValues<'_>) -> String {
        self.filled(values, |value, is_path| {
            let reserved = if is_path { SEGMENTS } else { SEGMENT };
            utf8_percent_encode(value, reserved).into()
        })
    }

    /// The path before the slot `name`, with percent-encoded values in the slots before it. None without such a slot.
    pub(crate) fn fill_path_before(&self, name: &str, values: &SlotValues<'_>) -> Option<String> {
        let is_slot = |piece: &Piece| matches!(piece, Piece::Slot(slot) if slot == name);
        let end = self.pieces.iter().position(is_slot)?;
        let before = Self {
            pieces: self.pieces[..end].to_vec(),
        };
        Some(before.fill_path(values))
    }

    fn filled<'a>(
        &'a self,
        values: &'a SlotValues<'_>,
        encode: impl Fn(&'a str, IsPath) -> Cow<'a, str>,
    ) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(fixed) => text.push_str(fixed),
                Piece::Slot(name) => {
                    let (value, is_path) = values.find(name).unwrap_or_default();
                    text.push_str(&encode(value, is_path));
                }
            }
        }
        text
    }
}

impl JsonTemplate {
    /// Parses JSON whose strings are templates with slots of `known`.
    ///
    /// # Errors
    /// The rule that a string breaks.
    pub(crate) fn parse(json: &Value, known: &[&str]) -> Result<Self, InvalidTemplate> {
        Ok(match json {
            Value::String(text) => Self::parse_text(text, known)?,
            Value::Array(elements) => {
                let elements = elements.iter().map(|element| Self::parse(element, known));
                Self::Array(elements.collect::<Result<_, _>>()?)
            }
            Value::Object(object) => {
                let fields = object.iter();
                let fields =
                    fields.map(|(name, value)| Ok((name.clone(), Self::parse(value, known)?)));
                Self::Object(fields.collect::<Result<_, _>>()?)
            }
            fixed => Self::Fixed(fixed.clone()),
        })
    }

    fn parse_text(text: &str, known: &[&str]) -> Result<Self, InvalidTemplate> {
        let template = TextTemplate::parse_slots(text)?;
        if let [Piece::Slot(name)] = template.pieces.as_slice()
            && let Some(name) = name.strip_suffix(":int")
        {
            return if known.contains(&name) {
                Ok(Self::Integer(name.to_owned()))
            } else {
                Err(InvalidTemplate::UnknownSlot(name.to_owned()))
            };
        }
        TextTemplate::parse(text, known).map(Self::Text)
    }

    /// The JSON with the values in its slots.
    ///
    /// # Errors
    /// A slot of a number whose value is none.
    pub(crate) fn fill(&self, values: &SlotValues<'_>) -> Result<Value, NotAnInteger> {
        Ok(match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(template) => template.fill(values).into(),
            Self::Integer(slot) => {
                let number = values.get(slot).and_then(|text| text.parse::<i64>().ok());
                let slot = slot.clone();
                number.ok_or(NotAnInteger { slot })?.into()
            }
            Self::Array(elements) => {
                let elements = elements.iter().map(|element| element.fill(values));
                Value::Array(elements.collect::<Result<_, _>>()?)
            }
            Self::Object(fields) => {
                let fields = fields.iter();
                let fields = fields.map(|(name, value)| Ok((name.clone(), value.fill(values)?)));
                Value::Object(fields.collect::<Result<Map<_, _>, _>>()?)
            }
        })
    }

    /// Whether an array of the JSON has one element, and this element has the slot. [`JsonTemplate::fill_each`] makes an
    /// element for each value.
    pub(crate) fn takes_several(&self, slot: &str) -> bool {
        match self {
            Self::Fixed(_) | Self::Text(_) | Self::Integer(_) => false,
            Self::Array(elements) => {
                let is_repeated =
                    matches!(elements.as_slice(), [one] if one.slots().contains(&slot));
                is_repeated || elements.iter().any(|element| element.takes_several(slot))
            }
            Self::Object(fields) => fields.iter().any(|(_, value)| value.takes_several(slot)),
        }
    }

    /// The JSON with `values` in the only slot: an array whose only element has the slot has an element for each value;
    /// elsewhere, the first value counts. Text that is no number stays text where the template wants a number.
    pub(crate) fn fill_each(&self, slot: &str, values: &[String]) -> Value {
        let with = |value: &str| {
            let mut only = SlotValues::default();
            only.add(slot, value);
            self.fill(&only).unwrap_or_else(|_| value.into())
        };
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(_) | Self::Integer(_) => with(values.first().map_or("", String::as_str)),
            Self::Array(elements) => match elements.as_slice() {
                [one] if one.slots().contains(&slot) => {
                    let each = values.chunks(1).map(|value| one.fill_each(slot, value));
                    each.collect()
                }
                several => several
                    .iter()
                    .map(|one| one.fill_each(slot, values))
                    .collect(),
            },
            Self::Object(fields) => {
                let fields = fields.iter();
                let fields =
                    fields.map(|(name, value)| (name.clone(), value.fill_each(slot, values)));
                Value::Object(fields.collect())
            }
        }
    }

    /// The names of the slots.
    pub(crate) fn slots(&self) -> Vec<&str> {
        match self {
            Self::Fixed(_) => Vec::new(),
            Self::Text(template) => template.slots().collect(),
            Self::Integer(slot) => vec![slot],
            Self::Array(elements) => elements.iter().flat_map(Self::slots).collect(),
            Self::Object(fields) => fields.iter().flat_map(|(_, value)| value.slots()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn values() -> SlotValues<'static> {
        let mut values = SlotValues::default();
        values.add("id", "a b/c%");
        values.add_path("path", "x y/z");
        values.add("n", "7");
        values
    }

    #[test]
    fn a_value_is_encoded_in_a_path_and_stays_as_it_is_elsewhere() {
        let of = |text| TextTemplate::parse(text, &["id", "path"]).unwrap();
        assert_eq!(
            of("/f/{id}.json").fill_path(&values()),
            "/f/a%20b%2Fc%25.json"
        );
        assert_eq!(of("/f/{path}").fill_path(&values()), "/f/x%20y/z");
        assert_eq!(of("{{{id}}}").fill(&values()), "{a b/c%}");
        assert_eq!(of("plain").prefix(), "plain");
    }

    #[test]
    fn text_that_is_no_template_is_refused() {
        for (text, why) in [
            ("{id", InvalidTemplate::Brace),
            ("id}", InvalidTemplate::Brace),
            ("{a{b}}", InvalidTemplate::Brace),
            ("{other}", InvalidTemplate::UnknownSlot("other".into())),
            ("{}", InvalidTemplate::UnknownSlot(String::new())),
            ("{id:int}", InvalidTemplate::IntegerOutsideJson("id".into())),
        ] {
            assert_eq!(TextTemplate::parse(text, &["id"]), Err(why), "{text}");
        }
    }

    #[test]
    fn json_keeps_its_types_and_numbers_come_from_slots() {
        let json = json!({"a": ["{id}", 1, true, null], "n": "{n:int}", "t": "{n}"});
        let template = JsonTemplate::parse(&json, &["id", "n"]).unwrap();
        let filled = json!({"a": ["a b/c%", 1, true, null], "n": 7, "t": "7"});
        assert_eq!(template.fill(&values()), Ok(filled));
        assert_eq!(template.slots(), ["id", "n", "n"]);
        let each = json!({"a": [{"$ref": "/x/{id}"}], "b": "{id}", "c": [[1, "{id}"], 2], "n": "{id:int}"});
        let each = JsonTemplate::parse(&each, &["id"]).unwrap();
        assert!(each.takes_several("id") && !template.takes_several("other"));
        let filled = each.fill_each("id", &["1".to_owned(), "y".to_owned()]);
        let expected = json!({"a": [{"$ref": "/x/1"}, {"$ref": "/x/y"}], "b": "1", "c": [[1, "1"], 2], "n": 1});
        assert_eq!(filled, expected);
        let wrong = JsonTemplate::parse(&json!("{id:int}"), &["id"]).unwrap();
        assert_eq!(
            wrong.fill(&values()),
            Err(NotAnInteger { slot: "id".into() })
        );
        let unknown = JsonTemplate::parse(&json!("{x:int}"), &["id"]);
        assert_eq!(unknown, Err(InvalidTemplate::UnknownSlot("x".into())));
    }
}
