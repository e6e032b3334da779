//! The rows of a service's lists.

use super::answers::{AnswerJson, time_at};
use super::things::{ServedKind, Thing};
use crate::provider::{FieldPlace, Listing, Lookup, Only, SlotValues};
use jiff::Timestamp;
use serde_json::Value;

/// Ids of which one fits nearly every pattern of ids.
const SIDE_IDS: [[&str; 2]; 5] = [
    ["c1", "c2"],
    ["1", "2"],
    ["00000000000000a1", "00000000000000a2"],
    [
        "00000000-0000-4000-8000-0000000000a1",
        "00000000-0000-4000-8000-0000000000a2",
    ],
    ["AAA", "BBB"],
];

/// The rows of the list: one for each thing, and one that does not count where the table drops such rows.
pub(super) fn of_list(kind: &ServedKind, list: &Listing) -> Result<Vec<Value>, String> {
    let mut rows = Vec::new();
    for thing in &kind.things {
        rows.push(row(kind, list, Some(thing))?);
        if rows.len() == 1 && list.rows.only.is_some() {
            rows.push(row(kind, list, None)?);
        }
    }
    Ok(rows)
}

/// The row of a thing, or of something else that the service lists beside its things.
fn row(kind: &ServedKind, list: &Listing, thing: Option<&Thing>) -> Result<Value, String> {
    let mut row = AnswerJson::default();
    if let Some(Only { at, equals }) = &list.rows.only {
        let value = if thing.is_some() {
            equals.clone()
        } else {
            other_than(equals)
        };
        row.put_at(at, &value);
    }
    put_id(&mut row, kind, list, thing);
    let name = thing.map_or("a folder", |thing| &thing.document.name);
    if let Some(pointers) = &list.name {
        row.put(pointers, &name.into());
    }
    if let Some(pointers) = &list.size {
        let size = thing.map_or(0, |thing| thing.document.size);
        row.put(pointers, &size.into());
    }
    if let Some(modified) = &list.modified {
        let created = thing.and_then(|thing| thing.document.created.parse().ok());
        let time = created.unwrap_or(Timestamp::UNIX_EPOCH);
        row.put(&modified.at, &time_at(modified.form, time));
    }
    put_fields(&mut row, kind, list, thing.map_or(0, |thing| thing.index));
    match row.conflicts.first() {
        Some(pointer) => Err(pointer.clone()),
        None => Ok(row.into_json()),
    }
}

fn put_id(row: &mut AnswerJson, kind: &ServedKind, list: &Listing, thing: Option<&Thing>) {
    let table = &kind.table;
    let outside = table
        .id
        .parts
        .iter()
        .filter(|part| !list.scope.contains(part));
    for (part, place) in outside.zip(&list.id) {
        let parts = thing.into_iter().flat_map(|thing| &thing.parts);
        let value = parts
            .filter(|(name, _)| name == part)
            .map(|(_, value)| value.as_str());
        let mut value = value.last().unwrap_or("0").to_owned();
        let prefix = table.uri_prefix.as_ref().filter(|_| table.id.is_single());
        if let Some(prefix) = prefix {
            let values: SlotValues<'_> = kind.values(None);
            value.insert_str(0, &prefix.fill(&values));
        }
        put_text(row, place, &value);
    }
}

/// Puts the service's own fields. A field stays away where the row has something else in its place.
fn put_fields(row: &mut AnswerJson, kind: &ServedKind, list: &Listing, index: usize) {
    for field in &list.fields {
        let mut pointers = field.place.at.iter();
        if pointers.any(|pointer| pointer.find(&row.json).is_some()) {
            continue;
        }
        let mut options = kind.table.options.iter();
        let option = options.find(|option| option.field == field.name);
        let lookup = kind.table.lookups.iter().find(|lookup| {
            let option = option.and_then(|option| option.lookup.as_ref());
            lookup.field.as_ref() == Some(&field.name) || option == Some(&lookup.name)
        });
        let values = option.map_or(&[][..], |option| &option.values);
        let value = match lookup.and_then(side_ids) {
            Some(ids) => ids[index % 2].to_owned(),
            None if values.is_empty() => format!("{}-{}", field.name, index % 2 + 1),
            None => values[index % values.len()].clone(),
        };
        let mut with_field = AnswerJson {
            json: row.json.clone(),
            conflicts: Vec::new(),
        };
        put_text(&mut with_field, &field.place, &value);
        if with_field.conflicts.is_empty() {
            row.json = with_field.json;
        }
    }
}

/// The rows of a side list: two things with their names.
///
/// # Errors
/// What the sandbox cannot serve.
pub(super) fn of_lookup(lookup: &Lookup) -> Result<Vec<Value>, String> {
    let ids = side_ids(lookup).ok_or("the id_pattern, which no id of the sandbox fits")?;
    let names = ["One", "Two"].map(|number| format!("{} {number}", lookup.name));
    let rows = ids.iter().zip(&names).map(|(id, name)| {
        let mut row = AnswerJson::default();
        put_text(&mut row, &lookup.id, id);
        row.put(&lookup.named, &name.as_str().into());
        if let Some(Only { at, equals }) = &lookup.rows.only {
            row.put_at(at, equals);
        }
        match row.conflicts.first() {
            Some(pointer) => Err(pointer.clone()),
            None => Ok(row.into_json()),
        }
    });
    rows.collect()
}

fn side_ids(lookup: &Lookup) -> Option<[&'static str; 2]> {
    let pattern = lookup.id_pattern.as_ref();
    let fits =
        |ids: &&[&str; 2]| pattern.is_none_or(|pattern| ids.iter().all(|id| pattern.is_match(id)));
    SIDE_IDS.iter().find(fits).copied()
}

/// Puts text, or a URI that ends with the text where docfetch takes the end of a URI.
fn put_text(row: &mut AnswerJson, place: &FieldPlace, text: &str) {
    let uri = if place.is_last_segment && !text.starts_with('/') {
        format!("/{text}")
    } else {
        text.to_owned()
    };
    row.put(&place.at, &uri.into());
}

/// A value that is not this one.
fn other_than(value: &Value) -> Value {
    match value {
        Value::Bool(value) => (!value).into(),
        Value::String(text) => format!("not-{text}").into(),
        _ => "something else".into(),
    }
}
