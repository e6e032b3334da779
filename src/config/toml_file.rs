//! TOML with positions: every error names the file, the line and the key.
//!
//! [`TomlFile`] is the text. [`TomlTable`] and [`TomlValue`] are views of it that know their key. Readers take what
//! they know, and [`TomlTable::check_keys`] refuses the rest.

use crate::error::{Code, Error, Result};
use crate::similar::nearest;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The text of a TOML file, and what messages call the file.
#[derive(Clone, Debug)]
pub(crate) struct TomlFile {
    /// The path, or another name, of the file.
    name: String,
    text: String,
}

/// A table of a TOML file. A key of the first layer hides the same key of the second one.
#[derive(Clone, Debug)]
pub(crate) struct TomlTable<'a> {
    file: &'a TomlFile,
    /// The keys from the root of the file to this table, joined by dots. Empty for the root.
    key: String,
    /// The offset of the table in the file, in bytes.
    start: usize,
    layers: Vec<&'a DeTable<'a>>,
}

/// A value of a TOML file.
#[derive(Clone, Debug)]
pub(crate) struct TomlValue<'a> {
    file: &'a TomlFile,
    /// The keys from the root of the file to this value, joined by dots.
    key: String,
    /// The place of the value in the file, in bytes.
    span: Range<usize>,
    value: &'a DeValue<'a>,
}

impl TomlFile {
    /// The file that messages call `name`, with the content `text`.
    pub(crate) fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// The content.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Parses the file. [`TomlFile::root`] is a view of the result.
    ///
    /// # Errors
    /// [`Code::Config`] for a text that is not TOML, with the line. The error shows nothing of the text but keys.
    pub(crate) fn parse(&self) -> Result<DeTable<'_>> {
        let parsed = DeTable::parse(&self.text);
        parsed.map(Spanned::into_inner).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let what = format!("{}, line {}: this is not TOML", self.name, self.line(at));
            Error::new(Code::Config, what)
                .with_cause(error.message())
                .with_hint("correct that line; https://toml.io describes the format")
        })
    }

    /// The root of the file, which [`TomlFile::parse`] returned as `parsed`.
    pub(crate) fn root<'a>(&'a self, parsed: &'a DeTable<'a>) -> TomlTable<'a> {
        TomlTable {
            file: self,
            key: String::new(),
            start: 0,
            layers: vec![parsed],
        }
    }

    /// The number of the line, from 1, with the byte at `offset`.
    pub(crate) fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        before.filter(|byte| **byte == b'\n').count() + 1
    }

    fn error(&self, offset: usize, what: &str) -> Error {
        let line = self.line(offset);
        Error::new(Code::Config, format!("{}, line {line}: {what}", self.name))
    }
}

impl<'a> TomlTable<'a> {
    /// What messages call the file.
    pub(crate) fn file_name(&self) -> &str {
        &self.file.name
    }

    /// The value of a key.
    pub(crate) fn get(&self, name: &str) -> Option<TomlValue<'a>> {
        let mut layers = self.layers.iter();
        let (key, value) = layers.find_map(|layer| layer.get_key_value(name))?;
        Some(self.value(key.get_ref(), value))
    }

    /// The value of a key that must be there.
    ///
    /// # Errors
    /// [`Code::Config`] when the key is missing.
    pub(crate) fn need(&self, name: &str) -> Result<TomlValue<'a>> {
        let missing = || {
            let key = join(&self.key, name);
            let what = format!("the key {key:?} is missing");
            let place = if self.key.is_empty() {
                "the file"
            } else {
                &self.key
            };
            self.file
                .error(self.start, &what)
                .with_cause(format!("{place} needs it"))
                .with_hint(format!("add {name} = … below that line"))
        };
        self.get(name).ok_or_else(missing)
    }

    /// Every key with its value, in the order of the file.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'a str, TomlValue<'a>)> + '_ {
        self.layers
            .iter()
            .enumerate()
            .flat_map(move |(depth, layer)| {
                let is_hidden = move |name: &str| {
                    self.layers[..depth]
                        .iter()
                        .any(|above| above.contains_key(name))
                };
                layer.iter().filter_map(move |(key, value)| {
                    let name: &'a str = key.get_ref();
                    (!is_hidden(name)).then(|| (name, self.value(name, value)))
                })
            })
    }

    /// Refuses every key that is not in `known`. `owner` has the keys, in a sentence: "a provider".
    ///
    /// # Errors
    /// [`Code::Config`], with the key, its line and the nearest known key.
    pub(crate) fn check_keys(&self, owner: &str, known: &[&str]) -> Result<()> {
        for layer in &self.layers {
            let mut keys = layer.keys();
            if let Some(key) = keys.find(|key| !known.contains(&key.get_ref().as_ref())) {
                let why = format!("the keys of {owner} are {}", known.join(", "));
                return Err(self.unknown_key(key.get_ref(), why, known));
            }
        }
        Ok(())
    }

    /// The error of the key `name`, which is in this table and is none of `known`. `why` says which keys are known.
    pub(crate) fn unknown_key(&self, name: &str, why: impl Into<String>, known: &[&str]) -> Error {
        let key = shown(&join(&self.key, name));
        let hint = match nearest(name, known.iter().copied()) {
            Some(near) => format!("the nearest key is {near:?}"),
            None => format!("remove the key {}", shown(name)),
        };
        self.key_error(name, &format!("the key {key} is unknown"))
            .with_cause(why)
            .with_hint(hint)
    }

    /// The error at the line of the key `name`, which is in this table. `what` says what is wrong.
    pub(crate) fn key_error(&self, name: &str, what: &str) -> Error {
        let mut layers = self.layers.iter();
        let found = layers.find_map(|layer| layer.get_key_value(name));
        let at = found.map_or(self.start, |(key, _)| key.span().start);
        self.file.error(at, what)
    }

    /// The table at `name`, laid over the table at the same key of `below`. Keys of `below` show through.
    ///
    /// # Errors
    /// [`Code::Config`] when a value is not a table.
    pub(crate) fn merged(&self, name: &str) -> Result<Option<TomlTable<'a>>> {
        let mut merged: Option<TomlTable<'a>> = None;
        for layer in &self.layers {
            let Some((key, value)) = layer.get_key_value(name) else {
                continue;
            };
            let table = self.value(key.get_ref(), value).table()?;
            match &mut merged {
                Some(above) => above.layers.extend(table.layers),
                None => merged = Some(table),
            }
        }
        Ok(merged)
    }

    /// This table laid over `below`: a key of this table hides the same key of `below`.
    pub(crate) fn over(mut self, below: &TomlTable<'a>) -> Self {
        self.layers.extend(&below.layers);
        self
    }

    /// The error of a table that is wrong as a whole. `why` says why.
    pub(crate) fn error(&self, why: impl Into<String>) -> Error {
        let what = format!("{} cannot be used", shown(&self.key));
        self.file.error(self.start, &what).with_cause(why)
    }

    fn value(&self, name: &str, value: &'a Spanned<DeValue<'a>>) -> TomlValue<'a> {
        TomlValue {
            file: self.file,
            key: join(&self.key, name),
            span: value.span(),
            value: value.get_ref(),
        }
    }
}

impl<'a> TomlValue<'a> {
    /// The line of the value, from 1.
    pub(crate) fn line(&self) -> usize {
        self.file.line(self.span.start)
    }

    /// The error of a value that cannot be used. `why` says why, and does not repeat a secret.
    pub(crate) fn error(&self, why: impl Into<String>) -> Error {
        let what = format!("the value of {} cannot be used", shown(&self.key));
        self.file
            .error(self.span.start, &what)
            .with_cause(why)
            .with_hint("correct that value")
    }

    /// The error of a value of another type than `wanted`: "text".
    fn wrong_type(&self, wanted: &str) -> Error {
        self.error(format!(
            "{wanted} is expected, and it is {}",
            self.type_name()
        ))
    }

    /// The type of the value in a sentence.
    pub(crate) fn type_name(&self) -> &'static str {
        match self.value {
            DeValue::String(_) => "text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        }
    }

    /// Text.
    ///
    /// # Errors
    /// [`Code::Config`] for a value of another type.
    pub(crate) fn text(&self) -> Result<&'a str> {
        self.as_text().ok_or_else(|| self.wrong_type("text"))
    }

    /// Text; none for a value of another type.
    pub(crate) fn as_text(&self) -> Option<&'a str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// One of a few words.
    ///
    /// # Errors
    /// [`Code::Config`] for another value, with the nearest word.
    pub(crate) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T> {
        let text = self.text()?;
        let known = words.iter().map(|(word, _)| *word);
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let list: Vec<&str> = known.clone().collect();
            let error = self.error(format!("it is one of {}", list.join(", ")));
            match nearest(text, known) {
                Some(near) => error.with_hint(format!("the nearest value is {near:?}")),
                None => error,
            }
        })
    }

    /// A whole number.
    ///
    /// # Errors
    /// [`Code::Config`] for a value of another type, and for a number outside of 64 bits.
    pub(crate) fn integer(&self) -> Result<i64> {
        match self.value {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| self.error("the number is too large")),
            _ => Err(self.wrong_type("a whole number")),
        }
    }

    /// True or false.
    ///
    /// # Errors
    /// [`Code::Config`] for a value of another type.
    pub(crate) fn boolean(&self) -> Result<bool> {
        match self.value {
            DeValue::Boolean(value) => Ok(*value),
            _ => Err(self.wrong_type("true or false")),
        }
    }

    /// A table.
    ///
    /// # Errors
    /// [`Code::Config`] for a value of another type.
    pub(crate) fn table(&self) -> Result<TomlTable<'a>> {
        self.as_table().ok_or_else(|| self.wrong_type("a table"))
    }

    /// A table; none for a value of another type.
    pub(crate) fn as_table(&self) -> Option<TomlTable<'a>> {
        match self.value {
            DeValue::Table(table) => Some(TomlTable {
                file: self.file,
                key: self.key.clone(),
                start: self.span.start,
                layers: vec![table],
            }),
            _ => None,
        }
    }

    /// The elements of an array; the value itself where it is no array.
    pub(crate) fn one_or_many(&self) -> Vec<TomlValue<'a>> {
        self.as_array().unwrap_or_else(|| vec![self.clone()])
    }

    /// The elements of an array.
    ///
    /// # Errors
    /// [`Code::Config`] for a value of another type.
    pub(crate) fn array(&self) -> Result<Vec<TomlValue<'a>>> {
        self.as_array().ok_or_else(|| self.wrong_type("an array"))
    }

    /// The elements of an array; none for a value of another type.
    pub(crate) fn as_array(&self) -> Option<Vec<TomlValue<'a>>> {
        let DeValue::Array(array) = self.value else {
            return None;
        };
        let elements = array.iter().enumerate();
        let elements = elements.map(|(index, element)| TomlValue {
            file: self.file,
            key: format!("{}[{index}]", self.key),
            span: element.span(),
            value: element.get_ref(),
        });
        Some(elements.collect())
    }

    /// The value as JSON. A date is text.
    ///
    /// # Errors
    /// [`Code::Config`] for a number that JSON cannot hold.
    pub(crate) fn json(&self) -> Result<serde_json::Value> {
        Ok(match self.value {
            DeValue::String(text) => serde_json::Value::from(text.as_ref()),
            DeValue::Integer(_) => self.integer()?.into(),
            DeValue::Float(number) => {
                let number: Option<f64> = number.as_str().parse().ok();
                let number = number.and_then(serde_json::Number::from_f64);
                number
                    .ok_or_else(|| self.error("JSON has no such number"))?
                    .into()
            }
            DeValue::Boolean(value) => (*value).into(),
            DeValue::Datetime(date) => date.to_string().into(),
            DeValue::Array(_) => {
                let elements = self.array()?;
                let elements: Result<Vec<_>> = elements.iter().map(TomlValue::json).collect();
                elements?.into()
            }
            DeValue::Table(_) => {
                let mut object = serde_json::Map::new();
                for (name, value) in self.table()?.entries() {
                    object.insert(name.to_owned(), value.json()?);
                }
                object.into()
            }
        })
    }
}

/// A key in quotation marks, as messages show it. The middle of a long key is left out.
fn shown(key: &str) -> String {
    const END: usize = 40;
    let length = key.chars().count();
    if length <= 2 * END {
        return format!("{key:?}");
    }
    let begin: String = key.chars().take(END).collect();
    let end: String = key.chars().skip(length - END).collect();
    format!("{:?}", format!("{begin}\u{2026}{end}"))
}

/// The key `name` below the key `parent`.
fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}.{name}")
    }
}

#[cfg(test)]
mod tests;
