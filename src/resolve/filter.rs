//! Which rows of a listing the user wants.
//!
//! A request has every filter that the server knows ([`query`]). docfetch also compares each row itself, so
//! a server that ignores a filter, or applies it differently, changes nothing.

mod check;
mod name_glob;
pub(super) mod query;

pub(crate) use name_glob::NameGlob;

use super::row::Row;
use crate::provider::Table;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::borrow::Cow;

/// What a row must have. The default matches every row. A row does not match a filter of a field that
/// the row does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// The first parts of its id, as the user names them with `--in`.
    pub scope: Option<String>,
    /// A part of its name; upper and lower case are the same.
    pub name: Option<String>,
    /// Patterns of which one matches its name, unless there are none.
    pub include: Vec<NameGlob>,
    /// Patterns of which none matches its name.
    pub exclude: Vec<NameGlob>,
    /// The earliest time of its last change.
    pub since: Option<Timestamp>,
    /// The latest time of its last change.
    pub until: Option<Timestamp>,
    /// A number of bytes that its size exceeds.
    pub larger_than: Option<u64>,
    /// What the provider's own options say.
    pub own: Vec<OwnFilter>,
    /// The values of its fields, each field once.
    pub fields: Vec<FieldFilter>,
}

/// An option of the provider's own, with its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnFilter {
    /// The long name of the option, without dashes.
    pub option: String,
    /// The values, all of which the field of the option has.
    pub values: Vec<String>,
}

/// A field of a row by its name in records, and the values that the user accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldFilter {
    /// The name of the field.
    pub field: String,
    /// The values, one of which the field has. An empty text stands for a field without a value.
    pub values: Vec<String>,
}

impl Filter {
    /// Whether every row of the scope matches.
    pub(crate) fn is_empty(&self) -> bool {
        let without_scope = Self {
            scope: None,
            ..self.clone()
        };
        without_scope == Self::default()
    }

    /// Whether a row matches.
    pub(super) fn matches(&self, row: &Row, table: &Table) -> bool {
        let Some(listing) = &table.list else {
            return false; // `Filter::check` refused it
        };
        // A server may know more of a document than its rows tell.
        (listing.name.is_none() || self.matches_name(row.name.as_deref()))
            && (listing.modified.is_none() || self.matches_time(row.modified.as_deref()))
            && self.larger_than.is_none_or(|size| {
                listing.size.is_none() || row.size.is_some_and(|bytes| bytes > size)
            })
            && self.own.iter().all(|own| own.matches(row, table))
            && self.fields.iter().all(|field| field.matches(row))
    }

    fn matches_name(&self, name: Option<&str>) -> bool {
        let has_part = self.name.as_ref().is_none_or(|part| {
            name.is_some_and(|name| name.to_lowercase().contains(&part.to_lowercase()))
        });
        let matches = |globs: &[NameGlob]| {
            name.is_some_and(|name| globs.iter().any(|glob| glob.matches(name)))
        };
        has_part && (self.include.is_empty() || matches(&self.include)) && !matches(&self.exclude)
    }

    fn matches_time(&self, modified: Option<&str>) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        modified.and_then(parse_time).is_some_and(|at| {
            self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at <= until)
        })
    }
}

impl OwnFilter {
    fn matches(&self, row: &Row, table: &Table) -> bool {
        let Some(own) = table.option(&self.option) else {
            return true; // `Filter::check` refused it
        };
        let found = values_of(row, &own.field);
        self.values
            .iter()
            .all(|wanted| found.iter().any(|value| value == wanted))
    }
}

impl FieldFilter {
    fn matches(&self, row: &Row) -> bool {
        let found = values_of(row, &self.field);
        self.values.iter().any(|wanted| match wanted.as_str() {
            "" => found.is_empty(),
            wanted => found.iter().any(|value| value == wanted),
        })
    }
}

/// The values of a field, as text; none for null and an empty text. A list has several values.
fn values_of<'a>(row: &'a Row, field: &str) -> Vec<Cow<'a, str>> {
    let text = |text: Option<&'a str>| {
        let text = text.filter(|text| !text.is_empty());
        text.map(Cow::Borrowed).into_iter().collect()
    };
    match field {
        "provider" => text(Some(&row.provider)),
        "id" => text(Some(&row.id)),
        "name" => text(row.name.as_deref()),
        "modified" => text(row.modified.as_deref()),
        "size" => {
            let size = row.size.map(|size| size.to_string().into());
            size.into_iter().collect()
        }
        field => match row.fields.get(field) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(values)) => values.iter().filter_map(text_of).collect(),
            Some(value) => text_of(value).into_iter().collect(),
        },
    }
}

fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Null => None,
        Value::String(text) => {
            Some(text.as_str().into()).filter(|text: &Cow<str>| !text.is_empty())
        }
        other => Some(other.to_string().into()),
    }
}

/// Reads a time as servers write it (ISO 8601). A time without an offset is UTC.
fn parse_time(text: &str) -> Option<Timestamp> {
    let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok();
    let civil = || utc(text.parse().ok()?).map(|time| time.timestamp());
    text.parse().ok().or_else(civil)
}

#[cfg(test)]
mod tests;
