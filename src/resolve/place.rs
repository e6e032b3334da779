//! Where rows of a list have a value, and the text of a row.
//!
//! A list has many rows: the outermost fields of a row are found in one pass, and only the fields that a table names.

use super::page::text_of;
use crate::provider::{FieldPlace, Pointer, Pointers, pick};
use serde_json::Value;
use serde_json::value::RawValue;

/// The outermost fields of rows that places lead into.
#[derive(Debug, Default)]
pub(super) struct RowFields {
    names: Vec<String>,
}

/// A place in a row.
#[derive(Debug)]
pub(super) struct Place {
    pointers: Vec<PlacePointer>,
    /// Whether only the text after the last slash counts.
    is_last_segment: bool,
    /// The name in messages.
    pub(super) shown: String,
}

#[derive(Debug)]
struct PlacePointer {
    /// The outermost field; none where the pointer leads to the whole row, or into a row that is an array.
    field: Option<usize>,
    /// The pointer from there on.
    rest: Pointer,
    /// From there on, the array of which the pointer takes every element. None for a pointer to a single value.
    array: Option<Pointer>,
}

/// The text of one row.
#[derive(Debug)]
pub(super) struct RowText<'a> {
    json: &'a str,
    /// The values of the outermost fields; none for a row that is no object.
    values: Option<Vec<Option<&'a RawValue>>>,
}

impl RowFields {
    /// The place that pointers lead to.
    pub(super) fn place(&mut self, pointers: &Pointers, is_last_segment: bool) -> Place {
        Place {
            shown: pointers.shown().to_owned(),
            pointers: pointers.iter().map(|one| self.pointer(one)).collect(),
            is_last_segment,
        }
    }

    /// The place of a table's field.
    pub(super) fn field_place(&mut self, place: &FieldPlace) -> Place {
        self.place(&place.at, place.is_last_segment)
    }

    fn pointer(&mut self, pointer: &Pointer) -> PlacePointer {
        let field = pointer.first_field().map(|name| {
            let known = self.names.iter().position(|known| known == name);
            known.unwrap_or_else(|| {
                self.names.push(name.to_owned());
                self.names.len() - 1
            })
        });
        let rest = match field {
            Some(_) => pointer.below_first(),
            None => pointer.clone(),
        };
        PlacePointer {
            field,
            array: rest.before_every(),
            rest,
        }
    }

    /// The row with this text, which is the text of one JSON value.
    pub(super) fn row<'a>(&self, json: &'a str) -> RowText<'a> {
        let json = json.trim_ascii_end();
        let values = json.starts_with('{').then(|| pick(json, &self.names));
        RowText {
            json,
            values: values.flatten(),
        }
    }
}

impl Place {
    /// Whether the place has a row's own fields: a row that is no object has no such place.
    pub(super) fn is_in_object(&self) -> bool {
        self.pointers.iter().all(|pointer| pointer.field.is_some())
    }

    /// What counts of a text at this place.
    pub(super) fn taken<'t>(&self, text: &'t str) -> &'t str {
        if !self.is_last_segment {
            return text;
        }
        let path = text.trim_end_matches('/');
        path.rsplit('/').next().unwrap_or(path)
    }
}

impl<'a> RowText<'a> {
    /// Whether the row is a JSON object.
    pub(super) fn is_object(&self) -> bool {
        self.values.is_some()
    }

    /// The value that the place's own field or the whole row is, before the rest of the pointer.
    fn start(&self, pointer: &PlacePointer) -> Option<&'a str> {
        match pointer.field {
            None => Some(self.json),
            Some(index) => {
                let value: Option<&RawValue> = *self.values.as_ref()?.get(index)?;
                value.map(RawValue::get)
            }
        }
    }

    /// The first value at a pointer that is not null.
    fn find(&self, pointer: &PlacePointer) -> Option<&'a str> {
        let start = self.start(pointer)?;
        if pointer.rest.is_whole() {
            return Some(start).filter(|text| *text != "null");
        }
        pointer.rest.find_text(start)
    }

    /// The first value at the place that is not null, and that `usable` accepts, as `usable` returns it.
    ///
    /// # Errors
    /// What `usable` returns.
    pub(super) fn find_map<T, E>(
        &self,
        place: &Place,
        mut usable: impl FnMut(&'a str) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        for pointer in &place.pointers {
            if let Some(text) = self.find(pointer)
                && let Some(found) = usable(text)?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first value at the place that is not null.
    pub(super) fn first(&self, place: &Place) -> Option<&'a str> {
        place.pointers.iter().find_map(|pointer| self.find(pointer))
    }

    /// The values at the first pointer that leads to one. A pointer to every element of an array leads to several; an
    /// array without elements is no value, but the last resort.
    pub(super) fn values(&self, place: &Place) -> PlaceValues<'a> {
        let mut found = PlaceValues::None;
        for pointer in &place.pointers {
            let Some(start) = self.start(pointer) else {
                continue;
            };
            let Some(array) = &pointer.array else {
                match self.find(pointer) {
                    Some(text) => return PlaceValues::One(text),
                    None => continue,
                }
            };
            let texts = pointer.rest.find_texts(start);
            if !texts.is_empty() {
                return PlaceValues::Several(texts);
            }
            if array
                .find_text(start)
                .is_some_and(|text| text.starts_with('['))
            {
                found = PlaceValues::Several(Vec::new());
            }
        }
        found
    }
}

/// The values at a place.
#[derive(Debug)]
pub(super) enum PlaceValues<'a> {
    /// There is none.
    None,
    /// The text of one.
    One(&'a str),
    /// The texts of those in an array.
    Several(Vec<&'a str>),
}

/// Text, or a whole number as text, from the text of a JSON value. None for other JSON, and for a text of more than
/// `max_bytes`. Services write ids and names in both ways.
pub(super) fn text_or_integer(json: &str, max_bytes: usize) -> Option<String> {
    if json.starts_with('"') {
        return text_of(json, max_bytes);
    }
    let digits = json.strip_prefix('-').unwrap_or(json);
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_integer && json.len() <= max_bytes).then(|| json.to_owned())
}

/// A value without what the place leaves out: of each text, only the part that counts.
pub(super) fn with_taken_texts(place: &Place, value: Value) -> Value {
    match value {
        Value::String(text) if place.is_last_segment => place.taken(&text).into(),
        other => other,
    }
}
